// BOOT: --smp 4 --memory 1G --numa 2 --accel single
// TIMEOUT: 60
/*
 * Pages of a pool move between nodes: mbind, move_pages, migrate_pages, private and shared, with and without a free page on the other node,
 * while others read and write them.
 */
#define _GNU_SOURCE 1
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define TWO (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define MOVE 2
#define MOVE_ALL 4
#define STRICT 1
#define BIND 2
typedef unsigned long ul;

static void put(const char *path, long v)
{
	FILE *f = fopen(path, "r+");

	if (f)
		fprintf(f, "%ld\n", v);
	if (!f || fclose(f))
		CHECK_EQ(-errno, 0);
}

static long get(const char *path)
{
	FILE *f = fopen(path, "r");
	long v = -1;

	if (f && fscanf(f, "%ld", &v) != 1)
		v = -1;
	if (f)
		fclose(f);
	return v;
}

#define POOL(node, what) "/sys/devices/system/node/node" #node "/hugepages/hugepages-2048kB/" what
static long checkers(void)
{
	put("/proc/sys/vm/check", 1);
	return get("/proc/sys/vm/check");
}

static int node_of(void *p)
{
	int st = -1000;

	return syscall(SYS_move_pages, 0, 1, &p, NULL, &st, 0) ? -errno : st;
}

static int move_to(void *p, int node)
{
	int st = -1000;

	return syscall(SYS_move_pages, 0, 1, &p, &node, &st, MOVE) < 0 ? -errno : st;
}

static ul wrong(char *p, ul len, ul salt)
{
	ul bad = 0;

	for (ul i = 0; i < len; i += 512)
		bad += *(volatile ul *)(p + i) != i * 7 + salt;
	return bad;
}

static void fill(char *p, ul len, ul salt)
{
	for (ul i = 0; i < len; i += 512)
		*(volatile ul *)(p + i) = i * 7 + salt;
}

static void pools(long a, long b)
{
	put(POOL(0, "nr_hugepages"), a);
	put(POOL(1, "nr_hugepages"), b);
	CHECK_EQ(get(POOL(0, "nr_hugepages")), a);
	CHECK_EQ(get(POOL(1, "nr_hugepages")), b);
}

/* Both nodes have free pages: they change places, the shares stay. */
TEST(change_places)
{
	char *p;

	pools(2, 2);
	p = mmap(NULL, 2 * TWO, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	fill(p, 2 * TWO, 1);
	for (int to = 0; to < 2; to++) {
		CHECK_EQ(move_to(p, to), to);
		CHECK_EQ(node_of(p + TWO / 2), to);
		CHECK_EQ(wrong(p, 2 * TWO, 1), 0);
	}
	CHECK_EQ(get(POOL(0, "nr_hugepages")), 2);
	CHECK_EQ(get(POOL(1, "nr_hugepages")), 2);
	CHECK_EQ(get(POOL(0, "free_hugepages")) + get(POOL(1, "free_hugepages")), 2);
	CHECK_EQ(checkers(), 0);
	munmap(p, 2 * TWO);
	CHECK_EQ(get(POOL(0, "free_hugepages")) + get(POOL(1, "free_hugepages")), 4);
	CHECK_EQ(checkers(), 0);
}

/* The other node has none: a fresh page joins, the old one leaves. */
TEST(shares_move_along)
{
	ul mask = 2;
	char *p;

	pools(3, 0);
	p = mmap(NULL, 3 * TWO, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	fill(p, 3 * TWO, 2);
	CHECK_EQ(syscall(SYS_mbind, p, 3 * TWO, BIND, &mask, 65, MOVE | STRICT), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(node_of(p + i * TWO), 1);
	CHECK_EQ(wrong(p, 3 * TWO, 2), 0);
	CHECK_EQ(get(POOL(0, "nr_hugepages")), 0);
	CHECK_EQ(get(POOL(1, "nr_hugepages")), 3);
	CHECK_EQ(checkers(), 0);
	munmap(p, 3 * TWO);
	CHECK_EQ(get(POOL(1, "free_hugepages")), 3);
	CHECK_EQ(get("/proc/sys/vm/nr_hugepages"), 3);
	CHECK_EQ(checkers(), 0);
}

/* A file's page, mapped by two processes, goes for both; the file keeps it. */
/* The writer's policy says where pages come from and go to; the number is of all nodes. */
TEST(size_by_policy)
{
	static const char *const both[] = { "/proc/sys/vm/nr_hugepages_mempolicy",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages_mempolicy" };
	ul second = 2, all = 3;

	for (int i = 0; i < 2; i++) {
		pools(2, 1);
		CHECK_OK(syscall(SYS_set_mempolicy, BIND, &second, 65));
		put(both[i], 6);
		CHECK_EQ(get(POOL(0, "nr_hugepages")), 2);
		CHECK_EQ(get(POOL(1, "nr_hugepages")), 4);
		CHECK_EQ(get(both[i]), 6);
		put(both[i], 1);	/* node 0 keeps its two */
		CHECK_EQ(get(POOL(0, "nr_hugepages")), 2);
		CHECK_EQ(get(POOL(1, "nr_hugepages")), 0);
		CHECK_OK(syscall(SYS_set_mempolicy, 3 /* interleave */, &all, 65));
		put(both[i], 6);
		CHECK_EQ(get(POOL(0, "nr_hugepages")), 4);
		CHECK_EQ(get(POOL(1, "nr_hugepages")), 2);
		CHECK_OK(syscall(SYS_set_mempolicy, 0, NULL, 0));
		put(both[i], 0);
		CHECK_EQ(get("/proc/sys/vm/nr_hugepages"), 0);
	}
	CHECK_EQ(checkers(), 0);
}

TEST(shared_page)
{
	int fd, to[2], status;
	ul from = 1, other = 2;
	char *p, c;
	pid_t child;

	pools(2, 1);
	fd = memfd_create("h", MFD_HUGETLB);
	REQUIRE(fd >= 0);
	CHECK_OK(ftruncate(fd, TWO));
	p = mmap(NULL, TWO, RW, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	fill(p, TWO, 3);
	move_to(p, 0);
	CHECK_EQ(node_of(p), 0);
	CHECK_OK(pipe(to));
	child = fork();
	if (!child) {
		ul bad = wrong(p, TWO, 3);

		bad += read(to[0], &c, 1) != 1;
		bad += wrong(p, TWO, 3) + (node_of(p) != 1);
		*(volatile ul *)p = 99;
		_exit(bad != 0);
	}
	usleep(50000);
	CHECK_EQ(syscall(SYS_migrate_pages, getpid(), 65, &from, &other), 0);
	CHECK_EQ(node_of(p), 1);
	CHECK_EQ(write(to[1], "x", 1), 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(*(volatile ul *)p, 99);
	munmap(p, TWO);
	p = mmap(NULL, TWO, RW, MAP_SHARED, fd, 0);
	CHECK_EQ(*(volatile ul *)p, 99);
	munmap(p, TWO);
	close(fd);
	CHECK_EQ(checkers(), 0);
}

static volatile int stop;
static char *area;

static void *count(void *arg)
{
	volatile ul *c = (ul *)(area + (ul)arg * (TWO / 2) + 64);
	ul n = 0;

	while (!stop) {
		if (*c != n)
			return (void *)1;
		*c = ++n;
	}
	return NULL;
}

TEST(under_writers)
{
	pthread_t t[4];
	void *bad;
	int moved = 0;

	pools(2, 2);
	area = mmap(NULL, 2 * TWO, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	REQUIRE(area != MAP_FAILED);
	for (ul i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, count, (void *)i);
	for (ul i = 0; i < 4; i++)
		while (!*(volatile ul *)(area + i * (TWO / 2) + 64))
			usleep(1000);
	for (int r = 0; r < 16; r++) {
		int r0 = move_to(area, r & 1), r1 = move_to(area + TWO, ~r & 1);

		moved += (r0 >= 0) + (r1 >= 0);
		CHECK(r0 == (r & 1) || r0 == -EBUSY);
	}
	stop = 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		CHECK(!bad);
	}
	CHECK_GT(moved, 4);
	munmap(area, 2 * TWO);
	CHECK_EQ(checkers(), 0);
	pools(0, 0);
	CHECK_EQ(checkers(), 0);
}

TEST_MAIN
