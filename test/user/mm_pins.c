// BOOT: --smp 4 --memory 512M --append movablecore=192M
// TIMEOUT: 60
/*
 * Pinned pages: what is in a pipe by vmsplice is the program's own memory. It does not move, is not given up, and goes on being what the
 * program sees after fork; short pins (process_vm_writev) race with fork and with migration.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include "check.h"

#define PG 4096ul
#define MADV_FREE_ 8
#define MADV_PAGEOUT_ 21

static unsigned long vmstat(const char *name)
{
	unsigned long v = 0, n;
	FILE *f = fopen("/proc/vmstat", "r");
	char word[64];

	while (f && fscanf(f, "%63s %lu", word, &n) == 2)
		if (!strcmp(word, name))
			v = n;
	if (f)
		fclose(f);
	return v;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static long checkers(void)
{
	char b[32] = "";
	int fd;

	write_file("/proc/sys/vm/check", "1");
	fd = open("/proc/sys/vm/check", O_RDONLY);
	if (fd < 0 || read(fd, b, 31) <= 0)
		return -1;
	close(fd);
	return atol(b);
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

/* Where zone Movable begins. */
static unsigned long movable_start(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	unsigned long start = 0;
	char line[160];
	bool here = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Node", 4))
			here = strstr(line, "Movable") != NULL;
		if (here)
			sscanf(line, " start_pfn: %lu", &start);
	}
	if (f)
		fclose(f);
	return start;
}

static char *small_pages(unsigned long n)
{
	char *p = mmap(NULL, n * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, n * PG, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < n; i++)
		*(unsigned long *)(p + i * PG) = i;
	return p;
}

static ssize_t splice_in(int fd, void *p, size_t n)
{
	struct iovec v = { p, n };

	return vmsplice(fd, &v, 1, 0);
}

/* Pinned for long: out of zone Movable, and then it stays. */
TEST(pinned_pages_stay)
{
	unsigned long n = 1024, start = movable_start(), acquired = vmstat("nr_foll_pin_acquired");
	unsigned long in = 0, at[16];
	int p[2];
	char *m, *hole;

	REQUIRE(start > 0);
	CHECK_OK(pipe(p));
	hole = small_pages(8192); /* something to compact around */
	m = small_pages(n);
	REQUIRE(m && hole);
	for (unsigned long i = 0; i < 16; i++)
		in += pfn_of(m + i * PG) >= start;
	CHECK_EQ(in, 16); /* user memory begins there */
	CHECK_EQ(splice_in(p[1], m, 16 * PG), 16 * PG);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 16);
	CHECK(vmstat("nr_foll_pin_acquired") >= acquired + 16);
	for (unsigned long i = 0; i < 16; i++) {
		at[i] = pfn_of(m + i * PG);
		CHECK(at[i] && at[i] < start);
		CHECK_EQ(*(unsigned long *)(m + i * PG), i);
	}
	for (unsigned long i = 0; i < 8192; i++)
		if (i % 4)
			madvise(hole + i * PG, PG, MADV_DONTNEED);
	CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "1"), 0);
	CHECK_EQ(madvise(m, 16 * PG, MADV_FREE_), 0);
	CHECK_EQ(madvise(m, 16 * PG, MADV_PAGEOUT_), 0);
	for (unsigned long i = 0; i < 16; i++) {
		CHECK_EQ(pfn_of(m + i * PG), at[i]);
		CHECK_EQ(*(unsigned long *)(m + i * PG), i);
	}
	CHECK_EQ(checkers(), 0);
	/* unmapped, they are still what the pipe gives */
	munmap(m, n * PG);
	for (unsigned long i = 0; i < 16; i++) {
		unsigned long b[PG / 8];

		CHECK_EQ(read(p[0], b, PG), PG);
		CHECK_EQ(b[0], i);
	}
	CHECK_EQ(vmstat("nr_pinned_longterm"), 0);
	CHECK_EQ(vmstat("nr_foll_pin_acquired"), vmstat("nr_foll_pin_released"));
	munmap(hole, 8192 * PG);
	close(p[0]);
	close(p[1]);
	CHECK_EQ(checkers(), 0);
}

static void fork_with_pinned(char *m, unsigned long len)
{
	int p[2], status = 0;
	unsigned long b[2] = { 0 };
	pid_t child;
	ssize_t n;

	CHECK_OK(pipe(p));
	((volatile unsigned long *)m)[0] = 1;
	((volatile unsigned long *)m)[1] = 1;
	CHECK_EQ(splice_in(p[1], m, 16), 16);
	child = fork();
	if (!child) {
		/* as it was at the fork; and its own */
		if (((volatile unsigned long *)m)[0] != 1)
			_exit(1);
		usleep(20000);
		if (((volatile unsigned long *)m)[0] != 1)
			_exit(2);
		if (checkers()) /* the copy is found where it is mapped */
			_exit(3);
		((volatile unsigned long *)m)[0] = 3;
		_exit(0);
	}
	((volatile unsigned long *)m)[0] = 2;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	/* rights taken away and given back cost nobody the page */
	CHECK_OK(mprotect(m, len, PROT_READ));
	CHECK_OK(mprotect(m, len, PROT_READ | PROT_WRITE));
	((volatile unsigned long *)m)[1] = 5;
	n = read(p[0], b, 16);
	CHECK_EQ(n, 16);
	CHECK_EQ(b[0], 2);
	CHECK_EQ(b[1], 5);
	close(p[0]);
	close(p[1]);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 0);
}

/* The reader of a pinned page sees what the parent writes after a fork. */
TEST(parent_keeps_pinned_page)
{
	char *m = small_pages(4);

	REQUIRE(m);
	fork_with_pinned(m, PG);
	munmap(m, 4 * PG);
}

TEST(parent_keeps_pinned_huge_page)
{
	unsigned long two = 2ul << 20;
	char *m = mmap(NULL, 2 * two, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *h;
	unsigned long huge = vmstat("nr_anon_transparent_hugepages");

	REQUIRE(m != MAP_FAILED);
	/* with so little memory the policy is "never" */
	REQUIRE(!write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"));
	h = (char *)(((unsigned long)m + two - 1) & ~(two - 1));
	CHECK_OK(madvise(h, two, MADV_HUGEPAGE));
	memset(h, 7, two);
	CHECK_EQ(vmstat("nr_anon_transparent_hugepages") - huge, 1);
	fork_with_pinned(h + 5 * PG, PG);
	for (unsigned long i = 6 * PG; i < two; i += PG)
		CHECK_EQ(h[i], 7);
	munmap(m, 2 * two);
	CHECK_EQ(checkers(), 0);
}

/* Shared after fork: the pin is of a copy of its own, so that a later write does not part the two. */
TEST(pin_after_fork)
{
	char *m = small_pages(1), c;
	int p[2], q[2], status;
	unsigned long v = 0;
	pid_t child;

	REQUIRE(m);
	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	child = fork();
	if (!child) {
		if (read(q[0], &c, 1) != 1 || *(unsigned long *)m != 0)
			_exit(1);
		_exit(0);
	}
	CHECK_EQ(splice_in(p[1], m, 8), 8);
	*(volatile unsigned long *)m = 9;
	CHECK_EQ(read(p[0], &v, 8), 8);
	CHECK_EQ(v, 9);
	CHECK_EQ(write(q[1], "x", 1), 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	munmap(m, PG);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
}

/* A child pins a page it may only read, shares with its parent and then may write again: the write is the child's alone. */
TEST(pin_of_a_shared_page)
{
	char *m = small_pages(1);

	REQUIRE(m);
	*(volatile unsigned long *)m = 4;
	CHECK_EXITS(0, {
		unsigned long v = 0;
		int p[2];

		CHECK_OK(pipe(p));
		CHECK_OK(mprotect(m, PG, PROT_READ));
		CHECK_EQ(splice_in(p[1], m, 8), 8);
		CHECK_OK(mprotect(m, PG, PROT_READ | PROT_WRITE));
		*(volatile unsigned long *)m = 5;
		CHECK_EQ(read(p[0], &v, 8), 8);
		CHECK_EQ(*(volatile unsigned long *)m, 5);
	});
	CHECK_EQ(*(volatile unsigned long *)m, 4);
	munmap(m, PG);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 0);
}

/* tee and splice pass pins on; ends that close give them back. */
TEST(pins_through_pipes)
{
	char *m = small_pages(3), b[64];
	int p[2], q[2];

	REQUIRE(m);
	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	CHECK_EQ(splice_in(p[1], m, 3 * PG), 3 * PG);
	CHECK_EQ(tee(p[0], q[1], 3 * PG, 0), 3 * PG);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 6);
	CHECK_EQ(checkers(), 0);
	CHECK_EQ(read(q[0], b, 64), 64);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, PG, 0), PG);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 6);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
	CHECK_EQ(vmstat("nr_pinned_longterm"), 0);
	CHECK_EQ(checkers(), 0);
	munmap(m, 3 * PG);
}

static char *area;
static atomic_bool stop;
static unsigned long wrong, rounds;

/* Writes through the kernel's short pins, and looks whether the mapping shows it. */
static void *writer(void *arg)
{
	(void)arg;
	while (!stop) {
		unsigned long v = ++rounds;
		struct iovec from = { &v, 8 }, to = { area + rounds % 64 * PG, 8 };

		if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) != 8 || *(volatile unsigned long *)to.iov_base != v)
			wrong++;
	}
	return NULL;
}

TEST(short_pins_race_fork_and_compaction)
{
	pthread_t t;

	area = small_pages(64);
	REQUIRE(area);
	pthread_create(&t, NULL, writer, NULL);
	for (int i = 0; i < 60; i++) {
		int status;
		pid_t child = fork();

		if (!child) {
			for (int k = 0; k < 64; k++)
				*(volatile unsigned long *)(area + k * PG) = ~0ul;
			_exit(0);
		}
		if (i % 20 == 0)
			CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "1"), 0);
		CHECK_EQ(waitpid(child, &status, 0), child);
	}
	stop = true;
	pthread_join(t, NULL);
	printf("%lu rounds\n", rounds);
	CHECK(rounds > 100);
	CHECK_EQ(wrong, 0);
	CHECK_EQ(vmstat("nr_foll_pin_acquired"), vmstat("nr_foll_pin_released"));
	munmap(area, 64 * PG);
	CHECK_EQ(checkers(), 0);
}

TEST_MAIN
