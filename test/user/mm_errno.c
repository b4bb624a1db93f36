// VARIANTS: musl
// TIMEOUT: 60
/* What the memory calls refuse, and with which errno: the answers are those of Linux 6.1, checked there with this program. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define MREMAP_DONTUNMAP_ 4
#define P 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *region(int pages, int prot)
{
	char *p = mmap(NULL, pages * P, prot, ANON, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static long raw_mmap(unsigned long a, unsigned long len, long prot, long flags, long fd, unsigned long off)
{
	return syscall(SYS_mmap, a, len, prot, flags, fd, off);
}

static int temp_file(int flags, int pages)
{
	char name[] = "/tmp/mm_errno_XXXXXX";
	int fd = mkstemp(name), fd2;

	if (ftruncate(fd, pages * P))
		return -1;
	fd2 = open(name, flags);
	close(fd);
	unlink(name);
	return fd2;
}

/* Where user addresses end: 2^47, with 5-level paging 2^56, where nobody gets anything without asking for it by a hint. */
static unsigned long task_top(void)
{
	void *high = mmap((void *)(1ul << 48), P, PROT_NONE, ANON, -1, 0);
	bool five = high == (void *)(1ul << 48);

	munmap(high, P);
	return five ? 1ul << 56 : 1ul << 47;
}

TEST(mmap_refuses)
{
	int ro = temp_file(O_RDONLY, 2), wo = temp_file(O_WRONLY, 2), rw = temp_file(O_RDWR, 2), pipefd[2];
	char *r = region(4, RW);

	CHECK_OK(pipe(pipefd));
	CHECK_ERRNO(raw_mmap(0, P, RW, ANON, -1, 1), EINVAL);
	CHECK_ERRNO(raw_mmap(0, 0, RW, ANON, -1, 0), EINVAL);
	CHECK_ERRNO(raw_mmap(0, ~0ul, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(raw_mmap(0, 1ul << 47, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(raw_mmap(0, P, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	CHECK_ERRNO(raw_mmap(0, P, RW, MAP_PRIVATE, -1, 0), EBADF);
	CHECK_ERRNO(raw_mmap(0, P, RW, MAP_PRIVATE, 9999, 0), EBADF);
	CHECK_ERRNO(raw_mmap((unsigned long)r + 1, P, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
	CHECK_ERRNO(raw_mmap(task_top(), P, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_LT(raw_mmap(0, P, RW, ANON, -1, 0), 1l << 47);
	CHECK_ERRNO(raw_mmap((unsigned long)r, P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_ERRNO(raw_mmap(0, 2 * P, PROT_READ, MAP_PRIVATE, ro, ~0ul - P + 1), EOVERFLOW);
	CHECK_ERRNO(raw_mmap(0, P, RW, MAP_SHARED, ro, 0), EACCES);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_SHARED, wo, 0), EACCES);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, pipefd[0], 0), ENODEV);
	CHECK_ERRNO(raw_mmap(0, P, RW, 3 /* SHARED_VALIDATE */ | MAP_SYNC, rw, 0), EOPNOTSUPP);
	CHECK_ERRNO(raw_mmap(0, P, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), EINVAL);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, rw, 0), EINVAL);
	/* allowed: private writable mapping of a read-only file */
	CHECK(raw_mmap(0, P, RW, MAP_PRIVATE, ro, 0) > 0);
	munmap(r, 4 * P);
	close(ro), close(wo), close(rw), close(pipefd[0]), close(pipefd[1]);
}

/* Where offsets end depends on what kind of file it is, and nothing of proc and sysfs may be executed. */
TEST(mmap_refuses_by_file)
{
	int rw = temp_file(O_RDWR, 2), zero = open("/dev/zero", O_RDWR), proc = open("/proc/self/status", O_RDONLY), pipefd[2];
	int sys = open("/sys/kernel/mm/ksm/run", O_RDONLY);

	CHECK_OK(pipe(pipefd));
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, rw, 1ul << 63), EOVERFLOW);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, pipefd[0], 1ul << 63), ENODEV);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, pipefd[0], -P), EOVERFLOW);
	CHECK(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, zero, 1ul << 63) > 0);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ | PROT_EXEC, MAP_PRIVATE, proc, 0), EPERM);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ, MAP_PRIVATE, proc, 0), ENODEV);
	CHECK_ERRNO(raw_mmap(0, P, PROT_READ | PROT_EXEC, MAP_PRIVATE, sys, 0), EPERM);
	CHECK_ERRNO(raw_mmap(0, P, RW, 3 /* SHARED_VALIDATE */ | 1u << 31, rw, 0), EOPNOTSUPP);
	close(rw), close(zero), close(proc), close(sys), close(pipefd[0]), close(pipefd[1]);
}

/* A hint beyond 2 GiB is none for MAP_32BIT. */
TEST(low_2g_only)
{
	void *high = (void *)0x200000000000ul, *low = (void *)0x50000000ul, *p;

	p = mmap(high, P, RW, ANON | MAP_32BIT, -1, 0);
	CHECK(p != MAP_FAILED && (unsigned long)p < 1ul << 31);
	CHECK_OK(munmap(p, P));
	CHECK(mmap(low, P, RW, ANON | MAP_32BIT, -1, 0) == low);
	CHECK_OK(munmap(low, P));
	CHECK_ERRNO(raw_mmap((unsigned long)high, 1ul << 31, RW, ANON | MAP_32BIT | MAP_NORESERVE, -1, 0), ENOMEM);
}

TEST(munmap_mprotect_refuse)
{
	int ro = temp_file(O_RDONLY, 1);
	char *r = region(4, RW), *f = mmap(NULL, P, PROT_READ, MAP_SHARED, ro, 0);

	CHECK_ERRNO(munmap(r + 1, P), EINVAL);
	CHECK_ERRNO(munmap(r, 0), EINVAL);
	CHECK_ERRNO(munmap((char *)task_top(), P), EINVAL);
	CHECK_ERRNO(munmap(r, task_top()), EINVAL);
	CHECK_OK(munmap(r + P, P));
	CHECK_OK(munmap(r + P, P)); /* nothing there: fine */
	CHECK_ERRNO(syscall(SYS_mprotect, r + 1, P, PROT_READ), EINVAL);
	CHECK_OK(mprotect(r, 0, PROT_READ));
	CHECK_ERRNO(mprotect(r, ~0ul - (unsigned long)r, PROT_READ), ENOMEM);
	CHECK_ERRNO(mprotect(r, P, 0x100), EINVAL);
	CHECK_ERRNO(mprotect(r, 4 * P, PROT_READ), ENOMEM); /* hole */
	CHECK_ERRNO(syscall(SYS_mprotect, r, P, PROT_READ | 0x01000000 | 0x02000000), EINVAL);
	CHECK_ERRNO(syscall(SYS_mprotect, r, P, PROT_READ | 0x01000000), EINVAL); /* does not grow down */
	CHECK_ERRNO(mprotect(f, P, RW), EACCES);
	munmap(r, 4 * P);
	munmap(f, P);
	close(ro);
}

TEST(mremap_refuses)
{
	char *r = region(8, RW), *q = region(8, RW);

	CHECK_ERRNO((long)mremap(r + 1, P, P, 0), EINVAL);
	CHECK_ERRNO((long)mremap(r, P, 0, 0), EINVAL);
	CHECK_ERRNO((long)mremap(r, P, P, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, P, MREMAP_FIXED, q), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, 2 * P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP_, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, q + 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, r + P), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, task_top()), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, task_top(), MREMAP_MAYMOVE, 0), ENOMEM);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, task_top(), MREMAP_MAYMOVE | MREMAP_FIXED, q), EINVAL);
	CHECK_ERRNO((long)mremap(r, 0, P, MREMAP_MAYMOVE), EINVAL); /* private: no second mapping */
	munmap(r + 4 * P, 4 * P);
	CHECK_ERRNO((long)mremap(r + 4 * P, P, P, 0), EFAULT);
	CHECK_ERRNO((long)mremap(r, 6 * P, 8 * P, MREMAP_MAYMOVE), EFAULT);
	CHECK_OK(mmap(r + 4 * P, P, PROT_NONE, ANON | MAP_FIXED, -1, 0));
	CHECK_ERRNO((long)mremap(r, 4 * P, 5 * P, 0), ENOMEM); /* no room, may not move */
	munmap(r, 8 * P);
	munmap(q, 8 * P);
}

TEST(madvise_refuses)
{
	char *r = region(4, RW), *s = mmap(NULL, P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_ERRNO(madvise(r + 1, P, MADV_NORMAL), EINVAL);
	CHECK_ERRNO(madvise(r, P, 77), EINVAL);
	CHECK_OK(madvise(r, 0, MADV_NORMAL));
	CHECK_ERRNO(madvise(r, ~0ul - P, MADV_NORMAL), EINVAL);
	CHECK_ERRNO(madvise(s, P, MADV_FREE), EINVAL);
	CHECK_ERRNO(madvise(s, P, MADV_WIPEONFORK), EINVAL);
	CHECK_ERRNO(madvise(r, P, MADV_REMOVE), EINVAL);
	CHECK_OK(munmap(r + P, P));
	CHECK_ERRNO(madvise(r, 4 * P, MADV_DONTNEED), ENOMEM);
	CHECK_OK(mlock(r, P));
	CHECK_ERRNO(madvise(r, P, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(madvise(r, 3 * P, 23 /* POPULATE_WRITE */), ENOMEM);
	CHECK_OK(mprotect(r + 2 * P, P, PROT_READ));
	CHECK_ERRNO(madvise(r + 2 * P, P, 23), EINVAL);
	CHECK_OK(madvise(r + 2 * P, P, 22 /* POPULATE_READ */));
	munmap(r, 4 * P);
	munmap(s, P);
}

TEST(small_calls_refuse)
{
	char *r = region(4, RW);
	unsigned char vec[8] = { 9, 9, 9, 9 };

	CHECK_OK(munmap(r + 2 * P, P));
	*r = 1;
	CHECK_ERRNO(mincore(r + 1, P, vec), EINVAL);
	CHECK_ERRNO(mincore(r, 4 * P, vec), ENOMEM);
	CHECK(vec[0] == 1 && vec[1] == 0 && vec[2] == 9); /* told up to the hole */
	CHECK_ERRNO(mincore(r, P, (void *)8), EFAULT);
	CHECK_ERRNO(msync(r + 1, P, MS_SYNC), EINVAL);
	CHECK_ERRNO(msync(r, P, 64), EINVAL);
	CHECK_ERRNO(msync(r, P, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERRNO(msync(r, 4 * P, MS_SYNC), ENOMEM);
	CHECK_OK(mlock(r, P));
	CHECK_ERRNO(msync(r, P, MS_INVALIDATE), EBUSY);
	CHECK_ERRNO(mlock(r, 4 * P), ENOMEM);
	CHECK_ERRNO(munlock(r, 4 * P), ENOMEM);
	CHECK_ERRNO(syscall(SYS_mlock2, r, P, 8), EINVAL);
	CHECK_ERRNO(mlockall(0), EINVAL);
	CHECK_ERRNO(mlockall(64), EINVAL);
	CHECK_ERRNO(mlockall(4), EINVAL);
	CHECK_ERRNO(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_membarrier, 0, 4, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pkey_free, 17), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, r, P, 1, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, r, P, 0, 0, 0), EINVAL);
	munmap(r, 4 * P);
}

TEST(process_vm_refuses)
{
	char buf[16] = "abc", out[16];
	struct iovec l = { out, 4 }, r = { buf, 4 };

	CHECK_EQ(process_vm_readv(getpid(), &l, 1, &r, 1, 0), 4);
	CHECK_STR(out, "abc");
	CHECK_ERRNO(process_vm_readv(getpid(), &l, 1, &r, 1, 1), EINVAL);
	CHECK_ERRNO(process_vm_readv(0x3ffffff, &l, 1, &r, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(getpid(), &l, 1025, &r, 1, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), (void *)8, 1, &r, 1, 0), EFAULT);
	r.iov_base = (void *)4096;
	CHECK_ERRNO(process_vm_readv(getpid(), &l, 1, &r, 1, 0), EFAULT);
	CHECK_EQ(process_vm_readv(getpid(), &l, 0, &r, 1, 0), 0);
	l.iov_base = (void *)-P; /* looked at before the process */
	CHECK_ERRNO(process_vm_readv(0x3ffffff, &l, 1, &r, 1, 0), EFAULT);
}

/* A program that may not be dumped hides its memory from its own user, too. */
TEST_FORK(process_vm_of_the_undumpable)
{
	char buf[16] = "abc", out[16];
	struct iovec l = { out, 4 }, r = { buf, 4 }, advised = { (void *)((unsigned long)buf & -P), P };
	pid_t child;
	int fd;

	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	fd = syscall(SYS_pidfd_open, child, 0);
	CHECK_EQ(process_vm_readv(child, &l, 1, &r, 1, 0), 4);
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(waitpid(child, NULL, 0), child);
	close(fd);
	CHECK_ERRNO(process_vm_readv(1, &l, 1, &r, 1, 0), EPERM);
	fd = syscall(SYS_pidfd_open, 1, 0);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, &advised, 1, MADV_WILLNEED, 0), EACCES);
	close(fd);
	child = fork();
	if (!child) {
		prctl(PR_SET_DUMPABLE, 0);
		pause();
		_exit(0);
	}
	usleep(100000);
	CHECK_ERRNO(process_vm_readv(child, &l, 1, &r, 1, 0), EPERM);
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

TEST_FORK(memlock_limit)
{
	struct rlimit none = { 0, 0 }, small = { 2 * P, 2 * P };
	char *r = region(8, RW);

	CHECK_OK(munlockall());
	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000)); /* no more CAP_IPC_LOCK */
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &small));
	CHECK_OK(mlock(r, 2 * P));
	CHECK_OK(mlock(r, 2 * P)); /* the same pages again are not counted twice */
	CHECK_ERRNO(mlock(r, 3 * P), ENOMEM);
	CHECK_ERRNO(raw_mmap(0, P, RW, ANON | MAP_LOCKED, -1, 0), EAGAIN);
	CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_ERRNO(mlock(r, P), EPERM);
	CHECK_ERRNO(raw_mmap(0, P, RW, ANON | MAP_LOCKED, -1, 0), EPERM);
}

/* Memory locked before it could be written is there when it can be. */
TEST_FORK(locked_then_writable)
{
	char *r = region(4, PROT_NONE);
	unsigned char vec[4];

	CHECK_ERRNO(mlock(r, 4 * P), ENOMEM); /* locked all the same */
	CHECK_OK(mincore(r, 4 * P, vec));
	CHECK_EQ(vec[0] | vec[3], 0);
	CHECK_OK(mprotect(r + P, 2 * P, RW));
	CHECK_OK(mincore(r, 4 * P, vec));
	CHECK(!vec[0] && vec[1] && vec[2] && !vec[3]);
}

TEST_FORK(low_addresses)
{
	char *r = region(1, RW);

	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
	CHECK_ERRNO(raw_mmap(P, P, RW, ANON | MAP_FIXED, -1, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_mremap, r, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, P), EPERM);
	*r = 1; /* and it is where it was */
}

/* What a mapping replaces does not count against the limit besides it. */
TEST_FORK(address_space_limit)
{
	struct rlimit lim = { 64 << 20, 64 << 20 };
	char *r = mmap(NULL, 40 << 20, RW, ANON | MAP_NORESERVE, -1, 0);

	CHECK_OK(setrlimit(RLIMIT_AS, &lim));
	CHECK_ERRNO(raw_mmap(0, 40 << 20, RW, ANON, -1, 0), ENOMEM);
	CHECK(mmap(r, 44 << 20, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) == r);
	CHECK_ERRNO(raw_mmap((unsigned long)r, 80 << 20, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
}

TEST_FORK(data_limit)
{
	struct rlimit lim = { 4 << 20, 4 << 20 };
	void *top = sbrk(0);

	CHECK_OK(setrlimit(RLIMIT_DATA, &lim));
	CHECK_ERRNO(raw_mmap(0, 8 << 20, RW, ANON, -1, 0), ENOMEM);
	CHECK(raw_mmap(0, 8 << 20, PROT_READ, ANON, -1, 0) > 0);
	CHECK_EQ(syscall(SYS_brk, (char *)top + (8 << 20)), (long)top); /* refused: where it was */
}

TEST_MAIN
