/*
 * madvise with every advice of 6.1, process_madvise, process_mrelease, membarrier, mlock2, mmap and mremap corner cases.
 */
// BOOT: --smp 2
// TIMEOUT: 60
#include "check.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#define ADV_COLD 20
#define ADV_PAGEOUT 21
#define ADV_POPULATE_READ 22
#define ADV_POPULATE_WRITE 23
#define ADV_DONTNEED_LOCKED 24
#define ADV_COLLAPSE 25

static char *anon(size_t n) { return mmap(NULL, n * PAGE, RW, ANON, -1, 0); }
/* the same, between two pages that keep it from merging with others */
static char *lone(size_t n)
{
	char *p = mmap(NULL, (n + 2) * PAGE, PROT_NONE, ANON, -1, 0);

	return mprotect(p + PAGE, n * PAGE, RW) ? NULL : p + PAGE;
}

/* kB of a field of the mapping at @at in smaps; -1: not there */
static long smaps(void *at, const char *field)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long a, b;
	char line[256];
	bool in = false;
	long v = -1;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < line + 17)
			in = (unsigned long)at >= a && (unsigned long)at < b;
		else if (in && !strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			v = atol(line + strlen(field) + 1);
	}
	if (f)
		fclose(f);
	return v;
}

static bool has_flag(void *at, const char *name)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long a, b;
	char line[256];
	bool in = false, has = false;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < line + 17)
			in = (unsigned long)at >= a && (unsigned long)at < b;
		else if (in && !strncmp(line, "VmFlags:", 8))
			has = strstr(line, name);
	}
	if (f)
		fclose(f);
	return has;
}

static void keep_capabilities(unsigned keep)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	CHECK_OK(syscall(SYS_capget, &h, d));
	d[0].permitted &= keep;
	d[0].effective = d[0].permitted;
	CHECK_OK(syscall(SYS_capset, &h, d));
}

TEST(refused)
{
	char *p = anon(4), *q = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_ERRNO(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, 7), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, 26), EINVAL);
	CHECK_ERRNO(madvise(p, -1ul, MADV_NORMAL), EINVAL);
	CHECK_OK(madvise(p, 0, MADV_DONTNEED));
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERRNO(madvise(p, 3 * PAGE, MADV_RANDOM), ENOMEM);
	CHECK(has_flag(p + 2 * PAGE, " rr")); /* behind the hole it was done */
	CHECK_ERRNO(madvise(q, PAGE, MADV_FREE), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, MADV_REMOVE), EINVAL);
	CHECK_ERRNO(madvise(q, PAGE, MADV_WIPEONFORK), EINVAL);
	CHECK_OK(mlock(p, PAGE));
	CHECK_ERRNO(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, MADV_FREE), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, ADV_COLD), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, ADV_PAGEOUT), EINVAL);
	p[3] = 1;
	CHECK_OK(madvise(p, PAGE, ADV_DONTNEED_LOCKED));
	CHECK_EQ(p[3], 0);
	q[0] = 1;
	CHECK_OK(mprotect(q, PAGE, PROT_READ));
	CHECK_OK(madvise(q, PAGE, MADV_REMOVE)); /* the file could be written */
	CHECK_EQ(q[0], 0);
	int fd = memfd_create("m", 0);
	char path[64], *ro;
	CHECK_OK(ftruncate(fd, PAGE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rofd = open(path, O_RDONLY);
	ro = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, rofd, 0);
	CHECK_ERRNO(madvise(ro, PAGE, MADV_REMOVE), EACCES);
	munmap(ro, PAGE);
	close(rofd);
	close(fd);
	CHECK_ERRNO(madvise(p, PAGE, ADV_COLLAPSE), EINVAL); /* no room for a huge page */
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(madvise(p, PAGE, MADV_HWPOISON), EPERM);
		CHECK_ERRNO(madvise(p, PAGE, MADV_SOFT_OFFLINE), EPERM);
	});
	munmap(p, 4 * PAGE);
	munmap(q, 2 * PAGE);
}

TEST(lazy_free)
{
	char *p = lone(16);

	memset(p, 7, 16 * PAGE);
	CHECK_EQ(smaps(p, "LazyFree"), 0);
	CHECK_OK(madvise(p, 8 * PAGE, MADV_FREE));
	CHECK_EQ(smaps(p, "LazyFree"), 32);
	CHECK_EQ(smaps(p, "Anonymous"), 64);
	p[0] = 8; /* written again: kept */
	CHECK_EQ(smaps(p, "LazyFree"), 28);
	CHECK(p[1] == 7 || p[1] == 0);
	CHECK_EQ(p[0], 8);
	munmap(p, 16 * PAGE);
	/* under pressure they go, and what was written stays */
	size_t n = 64ul << 20;
	CHECK_EXITS(0, {
		p = mmap(NULL, n, RW, ANON, -1, 0);
		madvise(p, n, MADV_NOHUGEPAGE);
		madvise(p, n, MADV_DONTFORK); /* or they are the hog's too */
		memset(p, 5, n);
		CHECK_OK(madvise(p, n, MADV_FREE));
		for (size_t i = 0; i < n; i += 64 * PAGE)
			p[i] = 6;
		int fd = open("/proc/self/oom_score_adj", O_WRONLY);
		CHECK_EQ(write(fd, "-1000", 5), 5);
		close(fd);
		CHECK_KILLED(SIGKILL, {
			fd = open("/proc/self/oom_score_adj", O_WRONLY);
			CHECK_EQ(write(fd, "1000", 4), 4);
			for (;;)
				memset(mmap(NULL, 16 << 20, RW, ANON | MAP_NORESERVE, -1, 0), 1, 16 << 20);
		});
		CHECK_LT(smaps(p, "Rss"), (long)(n >> 10));
		for (size_t i = 0; i < n; i += PAGE)
			CHECK(i % (64 * PAGE) ? p[i] == 0 || p[i] == 5 : p[i] == 6);
	});
}

TEST(ages_and_populates)
{
	char *p = lone(8);
	unsigned char vec[8];

	memset(p, 1, 8 * PAGE);
	CHECK_EQ(smaps(p, "Referenced"), 32);
	CHECK_OK(madvise(p, 4 * PAGE, ADV_COLD));
	CHECK_EQ(smaps(p, "Referenced"), 16);
	CHECK_OK(madvise(p, 8 * PAGE, ADV_PAGEOUT));
	CHECK_EQ(p[5], 1);
	CHECK_OK(madvise(p, 8 * PAGE, MADV_DONTNEED));
	CHECK_OK(madvise(p, 8 * PAGE, MADV_NOHUGEPAGE));
	CHECK_OK(mincore(p, 8 * PAGE, vec));
	CHECK_EQ(vec[0] & 1, 0);
	CHECK_OK(madvise(p, 4 * PAGE, ADV_POPULATE_READ));
	CHECK_OK(madvise(p + 4 * PAGE, 2 * PAGE, ADV_POPULATE_WRITE));
	CHECK_OK(mincore(p, 8 * PAGE, vec));
	CHECK(vec[0] & 1 && vec[3] & 1 && vec[5] & 1 && !(vec[6] & 1));
	CHECK_EQ(smaps(p, "Rss"), 8);
	CHECK_OK(mprotect(p, PAGE, PROT_READ));
	CHECK_ERRNO(madvise(p, PAGE, ADV_POPULATE_WRITE), EINVAL);
	CHECK_OK(mprotect(p, PAGE, PROT_NONE));
	CHECK_ERRNO(madvise(p, PAGE, ADV_POPULATE_READ), EINVAL);
	CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	CHECK_ERRNO(madvise(p + PAGE, 3 * PAGE, ADV_POPULATE_READ), ENOMEM);
	munmap(p, 8 * PAGE);
	int fd = memfd_create("m", 0);
	p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	CHECK_ERRNO(madvise(p, PAGE, ADV_POPULATE_READ), EFAULT); /* beyond the end of the file */
	CHECK_OK(ftruncate(fd, 2 * PAGE));
	memset(p, 3, 2 * PAGE);
	CHECK_OK(madvise(p, PAGE, MADV_REMOVE));
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[PAGE], 3);
	munmap(p, 2 * PAGE);
	close(fd);
}

TEST(fork_and_dump)
{
	char *p = anon(3);

	memset(p, 1, 3 * PAGE);
	CHECK_OK(madvise(p, PAGE, MADV_WIPEONFORK));
	CHECK_OK(madvise(p + 2 * PAGE, PAGE, MADV_DONTFORK));
	CHECK(has_flag(p, " wf") && has_flag(p + 2 * PAGE, " dc"));
	CHECK_EXITS(0, {
		CHECK_EQ(p[0], 0);
		CHECK_EQ(p[PAGE], 1);
		unsigned char c;
		CHECK_ERRNO(mincore(p + 2 * PAGE, PAGE, &c), ENOMEM);
		CHECK(has_flag(p, " wf"));
	});
	CHECK_OK(madvise(p, PAGE, MADV_KEEPONFORK));
	CHECK_OK(madvise(p + 2 * PAGE, PAGE, MADV_DOFORK));
	CHECK_EXITS(0, CHECK_EQ(p[0] + p[2 * PAGE], 2));
	CHECK_OK(madvise(p, PAGE, MADV_DONTDUMP));
	CHECK(has_flag(p, " dd"));
	CHECK_OK(madvise(p, PAGE, MADV_DODUMP));
	CHECK(!has_flag(p, " dd"));
	munmap(p, 3 * PAGE);
}

TEST(of_other_processes)
{
	int to[2];
	char *p = anon(4), c;

	memset(p, 1, 4 * PAGE);
	CHECK_OK(pipe(to));
	pid_t child = fork();
	if (!child) {
		(void)!read(to[0], &c, 1);
		_exit(0);
	}
	int fd = syscall(SYS_pidfd_open, child, 0);
	struct iovec v[2] = { { p, PAGE }, { p + 2 * PAGE, PAGE } };

	CHECK_EQ(syscall(SYS_process_madvise, fd, v, 2, ADV_COLD, 0), 2 * PAGE);
	CHECK_EQ(syscall(SYS_process_madvise, fd, v, 1, MADV_WILLNEED, 0), PAGE);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 2, ADV_COLD, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 2, MADV_DONTNEED, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, -1, v, 2, ADV_COLD, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_madvise, to[0], v, 2, ADV_COLD, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 1025, ADV_COLD, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, (void *)8, 1, ADV_COLD, 0), EFAULT);
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 1, ADV_COLD, 0), EACCES);
	});
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_mrelease, -1, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 0), EINVAL); /* not dying */
	kill(child, SIGKILL);
	long r = syscall(SYS_process_mrelease, fd, 0);
	CHECK(!r || errno == ESRCH); /* it may be gone already */
	waitpid(child, NULL, 0);
	CHECK_ERRNO(syscall(SYS_process_mrelease, fd, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, v, 2, ADV_COLD, 0), ESRCH);
	close(fd);
	close(to[0]);
	close(to[1]);
	munmap(p, 4 * PAGE);
}

/* Both the right to look into the process and that to slow it down are asked for. */
TEST(rights_over_others)
{
	char *p = anon(1);
	pid_t other = getpid();
	struct iovec v = { p, PAGE };
	int fd = syscall(SYS_pidfd_open, other, 0);

	p[0] = 1;
	CHECK_EXITS(0, {
		keep_capabilities(~(1u << CAP_SYS_NICE));
		CHECK_EQ(process_vm_readv(other, &(struct iovec){ &p[1], 1 }, 1, &v, 1, 0), 1);
		CHECK_ERRNO(syscall(SYS_process_madvise, fd, &v, 1, ADV_COLD, 0), EPERM);
	});
	CHECK_EXITS(0, {
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
		CHECK_OK(setgid(1000));
		CHECK_OK(setuid(1000));
		keep_capabilities(1u << CAP_SYS_NICE);
		CHECK_ERRNO(process_vm_readv(other, &(struct iovec){ &p[1], 1 }, 1, &v, 1, 0), EPERM);
		CHECK_ERRNO(syscall(SYS_process_madvise, fd, &v, 1, ADV_COLD, 0), EACCES);
	});
	CHECK_EXITS(0, CHECK_EQ(syscall(SYS_process_madvise, fd, &v, 1, ADV_COLD, 0), PAGE));
	close(fd);
	munmap(p, PAGE);
}

static int wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return !arg;
}

/* A process that dies alone, while another runs in the same memory, has nothing to give back. */
TEST(release_of_shared_memory)
{
	char *stack = anon(8), *p = anon(4);
	int refused = 0;

	memset(p, 5, 4 * PAGE);
	for (int i = 0; i < 50; i++) {
		pid_t child = clone(wait_for_ever, stack + 8 * PAGE, CLONE_VM | SIGCHLD, NULL);
		int fd = syscall(SYS_pidfd_open, child, 0);

		kill(child, SIGKILL);
		long r = syscall(SYS_process_mrelease, fd, 0);
		CHECK(r == -1 && (errno == EINVAL || errno == ESRCH)); /* or it is gone already */
		refused += errno == EINVAL;
		waitpid(child, NULL, 0);
		close(fd);
		CHECK_EQ(p[0] + p[3 * PAGE], 10);
	}
	CHECK_GT(refused, 0);
	munmap(p, 4 * PAGE);
	munmap(stack, 8 * PAGE);
}

static void *in_thread(void *arg)
{
	wait_for_ever(arg);
	return NULL;
}

/* Stopped by its tracer on the way out, with its memory still there. */
TEST(release_of_the_dying)
{
	size_t n = 8ul << 20;
	char path[64], text[64] = "", *p = mmap(NULL, n, RW, ANON, -1, 0);
	int st, fd, pages = 0;
	pid_t child = fork();

	if (!child) {
		pthread_t t;

		memset(p, 1, n);
		pthread_create(&t, NULL, in_thread, NULL); /* with a second thread, exit_group has something to end */
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(3);
	}
	REQUIRE(waitpid(child, &st, 0) == child && WIFSTOPPED(st));
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT));
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	REQUIRE(waitpid(child, &st, 0) == child && WIFSTOPPED(st));
	CHECK_EQ(st >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	int pidfd = syscall(SYS_pidfd_open, child, 0);
	CHECK_OK(syscall(SYS_process_mrelease, pidfd, 0));
	snprintf(path, sizeof(path), "/proc/%d/statm", child);
	fd = open(path, O_RDONLY);
	CHECK_GT(read(fd, text, sizeof(text) - 1), 0);
	CHECK_EQ(sscanf(text, "%*d %d", &pages), 1);
	CHECK_LT(pages, 1024); /* of more than 2048 */
	close(fd);
	close(pidfd);
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 3);
	munmap(p, n);
}

static long barrier(int cmd, unsigned flags, int cpu) { return syscall(SYS_membarrier, cmd, flags, cpu); }

TEST_FORK(membarriers)
{
	CHECK_EQ(barrier(0, 0, 0), 511);
	CHECK_ERRNO(barrier(0, 1, 0), EINVAL);
	CHECK_ERRNO(barrier(3, 0, 0), EINVAL);
	CHECK_ERRNO(barrier(512, 0, 0), EINVAL);
	CHECK_OK(barrier(MEMBARRIER_CMD_GLOBAL, 0, 0));
	CHECK_OK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0));
	CHECK_OK(barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
	CHECK_OK(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	CHECK_OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), EPERM);
	CHECK_OK(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
	CHECK_OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
	CHECK_ERRNO(barrier(128, 0, 0), EPERM);
	CHECK_OK(barrier(256, 0, 0));
	CHECK_OK(barrier(128, 0, 0));
	CHECK_OK(barrier(128, 1, 0));
	CHECK_ERRNO(barrier(128, 2, 0), EINVAL);
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 1, 0), EINVAL);
	CHECK_EXITS(0, _exit(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) || barrier(128, 0, 0))); /* a child inherits it */
}

TEST_FORK(locks)
{
	struct rlimit none = { 0, 0 }, four = { 4 * PAGE, 4 * PAGE };
	char *p = anon(8);
	unsigned char vec[8];

	CHECK_ERRNO(syscall(SYS_mlock2, p, PAGE, 2), EINVAL);
	CHECK_OK(syscall(SYS_mlock2, p, 2 * PAGE, 1));
	CHECK_OK(mincore(p, PAGE, vec));
	CHECK_EQ(vec[0] & 1, 0);
	p[0] = 1;
	CHECK_EQ(smaps(p, "Locked"), 4);
	CHECK(has_flag(p, " lo") && has_flag(p, " lf"));
	CHECK_OK(munlock(p, 8 * PAGE));
	CHECK(!has_flag(p, " lo"));
	CHECK_ERRNO(mlockall(0), EINVAL);
	CHECK_ERRNO(mlockall(4), EINVAL);
	CHECK_ERRNO(mlockall(8), EINVAL);
	CHECK_OK(mlockall(MCL_FUTURE | 4));
	char *q = mmap(NULL, PAGE * 2, RW, ANON, -1, 0);
	CHECK(has_flag(q, " lf"));
	CHECK_OK(munlockall());
	CHECK(!has_flag(q, " lo"));
	CHECK_ERRNO(mlock((void *)0x1000, PAGE), ENOMEM);
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &four));
	CHECK_OK(setuid(1000));
	CHECK_OK(mlock(p, 4 * PAGE));
	CHECK_OK(mlock(p, 4 * PAGE)); /* counted once */
	CHECK_ERRNO(mlock(p + 4 * PAGE, PAGE), ENOMEM);
	CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
	CHECK_EQ((long)mmap(NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_ERRNO((long)mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE), EAGAIN);
	CHECK_OK(munlock(p, 4 * PAGE));
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_ERRNO(mlock(p, PAGE), EPERM);
	CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
	CHECK_OK(munlock(p, PAGE));
}

#define MMAP_ERRNO(want, ...)                                 \
	do {                                                  \
		CHECK(mmap(__VA_ARGS__) == MAP_FAILED);       \
		CHECK_EQ(errno, want);                        \
	} while (0)

TEST(mmap_flags)
{
	int fd = memfd_create("m", 0);
	char *p = anon(4);

	CHECK_OK(ftruncate(fd, 4 * PAGE));
	MMAP_ERRNO(EINVAL, NULL, 0, RW, ANON, -1, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, MAP_ANONYMOUS | 3, -1, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, 0, fd, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, MAP_SHARED, fd, 1);
	MMAP_ERRNO(EBADF, NULL, PAGE, RW, MAP_SHARED, -1, 0);
	MMAP_ERRNO(EINVAL, p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	MMAP_ERRNO(ENOMEM, NULL, 1ul << 62, RW, ANON, -1, 0);
	MMAP_ERRNO(EOVERFLOW, NULL, 2 * PAGE, RW, MAP_SHARED, fd, -PAGE);
	MMAP_ERRNO(EOPNOTSUPP, NULL, PAGE, RW, 3 | 0x80000, fd, 0); /* SYNC */
	MMAP_ERRNO(EOPNOTSUPP, NULL, PAGE, RW, 3 | 0x200000, fd, 0); /* unknown */
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | 0x80000, fd, 0) != MAP_FAILED); /* not validated */
	MMAP_ERRNO(EEXIST, p, PAGE, RW, ANON | 0x100000, -1, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	MMAP_ERRNO(EINVAL, NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0);
	char *low = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	CHECK((unsigned long)low < 0x80000000);
	munmap(low, PAGE);
	CHECK(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + PAGE);
	int ro = open("/proc/self/exe", O_RDONLY);
	MMAP_ERRNO(EACCES, NULL, PAGE, RW, MAP_SHARED, ro, 0);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, ro, 0) != MAP_FAILED);
	CHECK_ERRNO(mprotect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0), PAGE, RW), EACCES);
	close(ro);
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		MMAP_ERRNO(EPERM, (void *)PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	});
	close(fd);
	munmap(p, 4 * PAGE);
}

TEST(mremap_corners)
{
	char *p = anon(8), *q = anon(8);

	memset(p, 1, 8 * PAGE);
	CHECK_ERRNO((long)mremap(p + 1, PAGE, PAGE, 0), EINVAL);
	CHECK_ERRNO((long)mremap(p, PAGE, 0, 0), EINVAL);
	CHECK_ERRNO((long)mremap(p, PAGE, PAGE, 8), EINVAL);
	CHECK_ERRNO((long)mremap(p, PAGE, PAGE, MREMAP_FIXED, q), EINVAL);
	CHECK_ERRNO((long)mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4, 0), EINVAL);
	CHECK_ERRNO((long)mremap(p, PAGE, PAGE, 4, 0), EINVAL);
	CHECK_ERRNO((long)mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE), EINVAL);
	CHECK_ERRNO((long)mremap(p, 0, PAGE, MREMAP_MAYMOVE), EINVAL); /* only shared memory can be doubled */
	munmap(q, 8 * PAGE);
	CHECK_ERRNO((long)mremap(q, PAGE, PAGE * 2, MREMAP_MAYMOVE), EFAULT);
	char *n = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | 4, 0);
	CHECK(n != MAP_FAILED && n != p);
	CHECK_EQ(n[0], 1);
	CHECK_EQ(p[0], 0); /* still mapped, empty */
	CHECK_EQ(p[4 * PAGE], 1);
	munmap(n, 4 * PAGE);
	munmap(p, 8 * PAGE);
	p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	n = mremap(p, 0, PAGE, MREMAP_MAYMOVE);
	CHECK(n != MAP_FAILED);
	n[5] = 9;
	CHECK_EQ(p[5], 9);
	munmap(p, PAGE);
	munmap(n, PAGE);
}

TEST(msync_mincore_remap)
{
	char *p = anon(4), *q;
	unsigned char vec[8];
	int fd = memfd_create("m", 0);

	CHECK_ERRNO(msync(p + 1, PAGE, MS_SYNC), EINVAL);
	CHECK_ERRNO(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERRNO(msync(p, PAGE, 8), EINVAL);
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERRNO(msync(p, 3 * PAGE, MS_SYNC), ENOMEM);
	CHECK_OK(mlock(p, PAGE));
	CHECK_ERRNO(msync(p, PAGE, MS_INVALIDATE), EBUSY);
	CHECK_ERRNO(mincore(p + 1, PAGE, vec), EINVAL);
	CHECK_ERRNO(mincore(p, 3 * PAGE, vec), ENOMEM);
	CHECK_ERRNO(mincore(p, PAGE, (void *)-1), EFAULT);
	CHECK_ERRNO(mincore(p, -1ul, vec), ENOMEM);
	CHECK_OK(ftruncate(fd, 4 * PAGE));
	q = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	for (int i = 0; i < 4; i++)
		q[i * PAGE] = i;
	CHECK_OK(remap_file_pages(q, PAGE, 0, 3, 0));
	CHECK_EQ(q[0], 3);
	CHECK_EQ(q[3 * PAGE], 3);
	CHECK_ERRNO(remap_file_pages(q, PAGE, PROT_READ, 3, 0), EINVAL);
	CHECK_ERRNO(remap_file_pages(p, PAGE, 0, 0, 0), EINVAL);
	munmap(q, 4 * PAGE);
	munmap(p, 4 * PAGE);
	close(fd);
}

TEST_FORK(limits)
{
	struct rlimit as = { 64 << 20, 64 << 20 }, data = { 0, 0 };

	CHECK_OK(setrlimit(RLIMIT_AS, &as));
	MMAP_ERRNO(ENOMEM, NULL, 65 << 20, RW, ANON, -1, 0);
	MMAP_ERRNO(ENOMEM, NULL, 65 << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	char *p = anon(4);
	CHECK(p != MAP_FAILED);
	CHECK_ERRNO((long)mremap(p, PAGE, 70 << 20, MREMAP_MAYMOVE), ENOMEM);
	CHECK_OK(setrlimit(RLIMIT_DATA, &data));
	MMAP_ERRNO(ENOMEM, NULL, PAGE, RW, ANON, -1, 0);
	p = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK_ERRNO(mprotect(p, PAGE, RW), ENOMEM);
	long end = syscall(SYS_brk, 0);
	CHECK_EQ(syscall(SYS_brk, end + PAGE), end); /* sbrk() of musl would refuse by itself */
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); /* no data of its own */
}

TEST_MAIN
