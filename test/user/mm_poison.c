// BOOT: --smp 2 --memory 768M
/*
 * Memory that fails: MADV_HWPOISON, MADV_SOFT_OFFLINE. And what mincore and lseek say of pages that were only allocated.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include "check.h"

#define PG 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef BUS_MCEERR_AR
#define BUS_MCEERR_AR 4
#endif
#define ADV_POPULATE_READ 22

static sigjmp_buf back;
static siginfo_t seen;

static void on_bus(int sig, siginfo_t *i, void *ctx)
{
	(void)sig;
	(void)ctx;
	seen = *i;
	siglongjmp(back, 1);
}

/* The code of the SIGBUS an access gives; 0: none. */
static int touch(volatile char *p, bool write)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	memset(&seen, 0, sizeof(seen));
	if (!sigsetjmp(back, 1)) {
		if (write)
			*p = 1;
		else
			(void)*p;
		return 0;
	}
	CHECK_EQ((unsigned long)seen.si_addr, (unsigned long)p);
	return seen.si_code;
}

static long corrupted(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[160];
	long v = -1;

	while (f && v < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "HardwareCorrupted: %ld", &v);
	if (f)
		fclose(f);
	return v;
}

static unsigned long pfn_of(void *p)
{
	unsigned long e = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &e, 8, (unsigned long)p / PG * 8) != 8)
		e = 0;
	close(fd);
	return e >> 63 ? e & ((1ul << 55) - 1) : 0;
}

static unsigned long kpageflags(unsigned long pfn)
{
	unsigned long e = 0;
	int fd = open("/proc/kpageflags", O_RDONLY);

	if (fd < 0 || pread(fd, &e, 8, pfn * 8) != 8)
		e = 0;
	close(fd);
	return e;
}

static long checkers(void)
{
	int fd = open("/proc/sys/vm/check", O_RDWR);
	char b[32] = "";

	if (fd < 0 || write(fd, "1", 1) != 1 || pread(fd, b, 31, 0) <= 0)
		return -1;
	close(fd);
	return atol(b);
}

static char *filled(unsigned long n)
{
	char *p = mmap(NULL, n * PG, RW, ANON, -1, 0);

	madvise(p, n * PG, MADV_NOHUGEPAGE);
	memset(p, 7, n * PG);
	return p;
}

TEST(refused)
{
	char *p = filled(2);

	CHECK_ERRNO(madvise(p + 1, PG, MADV_HWPOISON), EINVAL);
	CHECK_OK(madvise(p, 0, MADV_HWPOISON));
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(madvise(p + PG, PG, MADV_HWPOISON), EFAULT);
	CHECK_ERRNO(madvise(p + PG, PG, MADV_SOFT_OFFLINE), EFAULT);
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(madvise(p, PG, MADV_HWPOISON), EPERM);
		CHECK_ERRNO(madvise(p + 1, PG, MADV_HWPOISON), EINVAL);
	});
	CHECK_EQ(corrupted(), 0);
	munmap(p, PG);
	/* the zero page is everybody's */
	p = mmap(NULL, PG, PROT_READ, ANON, -1, 0);
	(void)*(volatile char *)p;
	CHECK_ERRNO(madvise(p, PG, MADV_HWPOISON), EBUSY);
	CHECK_ERRNO(madvise(p, PG, MADV_SOFT_OFFLINE), EIO);
	munmap(p, PG);
}

TEST(anonymous)
{
	char *p = filled(4), b[8];
	struct iovec to = { b, 8 }, from = { p + PG, 8 };
	unsigned long pfn = pfn_of(p + PG);
	long was = corrupted();
	unsigned char vec;

	CHECK_OK(madvise(p + PG, PG, MADV_HWPOISON));
	CHECK_EQ(corrupted(), was + 4);
	CHECK(kpageflags(pfn) >> 19 & 1);
	CHECK_EQ(touch(p + PG + 5, false), BUS_MCEERR_AR);
	CHECK_EQ(seen.si_addr_lsb, 12);
	CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR);
	CHECK_EQ(touch(p, true) | touch(p + 2 * PG, false), 0);
	CHECK_ERRNO(process_vm_readv(getpid(), &to, 1, &from, 1, 0), EFAULT);
	int mem = open("/proc/self/mem", O_RDONLY);
	CHECK_ERRNO(pread(mem, b, 8, (long)(p + PG)), EIO);
	close(mem);
	CHECK_ERRNO(madvise(p + PG, PG, ADV_POPULATE_READ), EHWPOISON);
	CHECK_ERRNO(madvise(p + PG, PG, MADV_HWPOISON), EFAULT);
	CHECK_OK(mincore(p + PG, PG, &vec));
	CHECK_EQ(vec & 1, 1);
	CHECK_EQ(checkers(), 0);
	/* a child has it, too, and rights do not change it, nor does moving */
	CHECK_EXITS(0, CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR));
	CHECK_OK(mprotect(p, 4 * PG, PROT_READ));
	CHECK_OK(mprotect(p, 4 * PG, RW));
	CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR);
	p = mremap(p, 4 * PG, 8 * PG, MREMAP_MAYMOVE);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR);
	CHECK_EQ(p[2 * PG + 1], 7);
	/* given up, there is a new page */
	CHECK_OK(madvise(p + PG, PG, MADV_DONTNEED));
	CHECK_EQ(touch(p + PG, true), 0);
	CHECK_NE(pfn_of(p + PG), pfn);
	CHECK(kpageflags(pfn) >> 19 & 1);
	munmap(p, 8 * PG);
	CHECK_EQ(corrupted(), was + 4);
	CHECK_EQ(checkers(), 0);
}

/* Everybody who maps it loses it. */
TEST(shared_by_fork)
{
	char *p = filled(1);
	int to[2], from[2];
	char c;

	CHECK_OK(pipe(to));
	CHECK_OK(pipe(from));
	pid_t child = fork();
	if (!child) {
		(void)!read(to[0], &c, 1);
		_exit(touch(p, false) == BUS_MCEERR_AR ? 0 : 1);
	}
	CHECK_OK(madvise(p, PG, MADV_HWPOISON));
	CHECK_EQ(touch(p, false), BUS_MCEERR_AR);
	int status;
	CHECK_EQ(write(to[1], "x", 1), 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	munmap(p, PG);
	CHECK_EQ(checkers(), 0);
}

TEST(memory_object)
{
	int fd = memfd_create("m", 0);
	char *p, *q, b[PG];

	CHECK_OK(ftruncate(fd, 4 * PG));
	p = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
	q = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
	memset(p, 3, 4 * PG);
	q[0] = 4; /* a copy of its own */
	(void)*(volatile char *)(q + PG);
	CHECK_OK(madvise(p, 2 * PG, MADV_HWPOISON));
	CHECK_EQ(touch(p, false), BUS_MCEERR_AR);
	CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR);
	CHECK_EQ(touch(q, false), 0);
	CHECK_EQ(touch(q + PG, false), BUS_MCEERR_AR);
	CHECK_EQ(pread(fd, b, PG, 2 * PG), PG);
	CHECK_ERRNO(pread(fd, b, PG, PG), EIO);
	CHECK_ERRNO(pwrite(fd, b, 10, PG), EIO);
	munmap(q, 4 * PG);
	munmap(p, 4 * PG);
	p = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
	CHECK_EQ(touch(p, false), BUS_MCEERR_AR); /* still in the object */
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PG));
	CHECK_EQ(touch(p, true), 0); /* a new one */
	CHECK_EQ(touch(p + PG, true), BUS_MCEERR_AR);
	CHECK_EQ(checkers(), 0);
	munmap(p, 4 * PG);
	close(fd);
	CHECK_EQ(checkers(), 0);
}

TEST(huge_page)
{
	unsigned long two = 2ul << 20;
	char *m = mmap(NULL, 2 * two, RW, ANON, -1, 0), *h;
	long was = corrupted();

	h = (char *)(((unsigned long)m + two - 1) & ~(two - 1));
	madvise(h, two, MADV_HUGEPAGE);
	memset(h, 5, two);
	CHECK_OK(madvise(h + 3 * PG, PG, MADV_HWPOISON));
	CHECK_EQ(corrupted(), was + 4);
	CHECK_EQ(touch(h + 3 * PG, false), BUS_MCEERR_AR);
	for (unsigned long i = 0; i < 512; i++)
		if (i != 3)
			CHECK_EQ(h[i * PG], 5);
	munmap(m, 2 * two);
	CHECK_EQ(checkers(), 0);
}

TEST(soft)
{
	char *p = filled(8);
	unsigned long at[8];
	long was = corrupted();
	int fd = memfd_create("m", 0), fds[2];

	for (int i = 0; i < 8; i++)
		at[i] = pfn_of(p + i * PG);
	CHECK_OK(madvise(p, 8 * PG, MADV_SOFT_OFFLINE));
	CHECK_EQ(corrupted(), was + 32);
	for (int i = 0; i < 8; i++) {
		CHECK_NE(pfn_of(p + i * PG), at[i]);
		CHECK(kpageflags(at[i]) >> 19 & 1);
		CHECK_EQ(p[i * PG + i], 7);
	}
	CHECK_EQ(touch(p, true), 0);
	/* pinned for long: it stays */
	struct iovec v = { p, PG };
	CHECK_OK(pipe(fds));
	CHECK_EQ(vmsplice(fds[1], &v, 1, 0), PG);
	CHECK_ERRNO(madvise(p, PG, MADV_SOFT_OFFLINE), EBUSY);
	close(fds[0]);
	close(fds[1]);
	CHECK_OK(madvise(p, PG, MADV_SOFT_OFFLINE));
	munmap(p, 8 * PG);
	CHECK_OK(ftruncate(fd, PG));
	p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
	p[9] = 6;
	at[0] = pfn_of(p);
	CHECK_OK(madvise(p, PG, MADV_SOFT_OFFLINE));
	CHECK_EQ(p[9], 6);
	CHECK_NE(pfn_of(p), at[0]);
	munmap(p, PG);
	close(fd);
	CHECK_EQ(corrupted(), was + 40);
	CHECK_EQ(checkers(), 0);
}

/* fallocate promises room; the pages are no data and not in core before somebody uses them. */
TEST(allocated_ahead)
{
	int fd = memfd_create("m", 0);
	unsigned char vec[8];
	char *p, b[2 * PG];

	CHECK_OK(fallocate(fd, 0, 0, 8 * PG));
	p = mmap(NULL, 8 * PG, RW, MAP_SHARED, fd, 0);
	CHECK_OK(mincore(p, 8 * PG, vec));
	CHECK_EQ(vec[0] & 1, 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), -1);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	memset(b, 1, sizeof(b));
	CHECK_EQ(pread(fd, b, 2 * PG, 0), 2 * PG);
	for (unsigned long i = 0; i < 2 * PG; i++)
		if (b[i]) {
			CHECK_EQ(b[i], 0);
			break;
		}
	CHECK_EQ(pwrite(fd, "ab", 2, 3 * PG + 10), 2); /* the rest of the page is zeros */
	for (unsigned long i = 0; i < PG; i++)
		if (p[3 * PG + i] != (i == 10 ? 'a' : i == 11 ? 'b' : 0)) {
			CHECK_EQ(i, PG);
			break;
		}
	p[5 * PG] = 1;
	for (unsigned long i = 1; i < PG; i++)
		if (p[5 * PG + i]) {
			CHECK_EQ(i, PG);
			break;
		}
	CHECK_OK(mincore(p, 8 * PG, vec));
	CHECK_EQ((vec[3] & 1) + (vec[5] & 1), 2);
	CHECK_EQ((vec[0] & 1) + (vec[1] & 1) + (vec[4] & 1) + (vec[6] & 1), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 3 * PG);
	CHECK_EQ(lseek(fd, 4 * PG, SEEK_DATA), 5 * PG);
	CHECK_EQ(lseek(fd, 3 * PG, SEEK_HOLE), 4 * PG);
	munmap(p, 8 * PG);
	close(fd);
	CHECK_EQ(checkers(), 0);
}

static void pool(int n)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (f) {
		fprintf(f, "%d", n);
		fclose(f);
	}
}

static long pool_free(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[160];
	long v = -1;

	while (f && v < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "HugePages_Free: %ld", &v);
	if (f)
		fclose(f);
	return v;
}

/* Pages of a pool: soft, the pool keeps its size; hard, all of the page is lost, to everybody. */
TEST(pool_pages)
{
	unsigned long two = 2ul << 20;
	int fd = memfd_create("h", MFD_HUGETLB);
	char *p, *q;
	long was = corrupted();

	pool(4);
	p = mmap(NULL, 2 * two, RW, ANON | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED && fd >= 0);
	memset(p, 3, 2 * two);
	CHECK_OK(madvise(p + 5 * PG, PG, MADV_SOFT_OFFLINE));
	CHECK_EQ(corrupted(), was + 4);
	CHECK_EQ(pool_free(), 2);
	for (unsigned long i = 0; i < two; i += 512)
		if (p[i] != 3) {
			CHECK_EQ(i, two);
			break;
		}
	CHECK_EQ(checkers(), 0);
	CHECK_OK(madvise(p, two, MADV_HWPOISON));
	CHECK_EQ(corrupted(), was + 8);
	CHECK_EQ(touch(p + 9 * PG, true), BUS_MCEERR_AR);
	CHECK_EQ(seen.si_addr_lsb, 21);
	CHECK_EQ(touch(p + two, true), 0);
	CHECK_EXITS(0, CHECK_EQ(touch(p + PG, false), BUS_MCEERR_AR));
	CHECK_EQ(checkers(), 0);
	munmap(p, 2 * two);
	CHECK_OK(ftruncate(fd, two));
	p = mmap(NULL, two, RW, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	memset(p, 4, two);
	CHECK_OK(madvise(p + PG, PG, MADV_SOFT_OFFLINE));
	CHECK_EQ(p[two - 1], 4);
	CHECK_OK(madvise(p + PG, PG, MADV_HWPOISON));
	CHECK_EQ(touch(p, false), BUS_MCEERR_AR);
	q = mmap(NULL, two, RW, MAP_SHARED, fd, 0);
	CHECK_EQ(touch(q, false), BUS_MCEERR_AR);
	munmap(q, two);
	munmap(p, two);
	CHECK_ERRNO(pread(fd, &was, 8, 0), EIO);
	close(fd);
	CHECK_EQ(pool_free(), 2); /* two are lost to it */
	CHECK_EQ(checkers(), 0);
	pool(0);
	CHECK_EQ(checkers(), 0);
}

TEST_MAIN
