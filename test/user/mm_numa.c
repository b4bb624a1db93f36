// BOOT: --smp 4 --memory 1G --numa 2
// TIMEOUT: 60
/*
 * NUMA policies: where pages of a range, a shared object and a thread come from, moving them, and every refusal of the manual pages.
 * Runs on any number of nodes; with one, what needs two is left out (test/guest --numa N says how many).
 */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define PG 4096ul
enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY };
#define STATIC (1 << 15)
#define RELATIVE (1 << 14)
#define BALANCING (1 << 13)
#define F_NODE 1
#define F_ADDR 2
#define F_MEMS 4
#define STRICT 1
#define MOVE 2
#define MOVE_ALL 4

typedef unsigned long ul;

static int nodes;

static long set_pol(int mode, ul mask)
{
	return syscall(SYS_set_mempolicy, mode, &mask, 65) ? -errno : 0;
}
static long mbind_(void *p, ul len, int mode, ul mask, unsigned flags)
{
	return syscall(SYS_mbind, p, len, mode, &mask, 65, flags) ? -errno : 0;
}
static long get_pol(int *mode, ul *mask, void *addr, ul flags)
{
	return syscall(SYS_get_mempolicy, mode, mask, 64, addr, flags) ? -errno : 0;
}
/* The node of each page, by move_pages without targets. */
static int node_of(void *p)
{
	int st = -1000;

	return syscall(SYS_move_pages, 0, 1, &p, NULL, &st, 0) ? -errno : st;
}
static char *anon(ul npages)
{
	char *p = mmap(NULL, npages * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		madvise(p, npages * PG, MADV_NOHUGEPAGE);
	return p;
}
/* How many of the pages are on the node. */
static ul on_node(char *p, ul npages, int node)
{
	ul n = 0;

	for (ul i = 0; i < npages; i++)
		n += node_of(p + i * PG) == node;
	return n;
}
static ul numastat(int node, const char *what)
{
	char path[64], word[32];
	ul v = 0, x;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/numastat", node);
	f = fopen(path, "r");
	while (f && fscanf(f, "%31s %lu", word, &x) == 2)
		if (!strcmp(word, what))
			v = x;
	if (f)
		fclose(f);
	return v;
}
/* The policy word of numa_maps for the mapping at p. */
static void numa_maps(void *p, char *out)
{
	char line[1024];
	FILE *f = fopen("/proc/self/numa_maps", "r");

	*out = 0;
	while (f && fgets(line, sizeof(line), f))
		if (strtoul(line, NULL, 16) == (ul)p)
			sscanf(line, "%*s %60[^ \n]", out);
	if (f)
		fclose(f);
}

TEST(how_many_nodes)
{
	ul mask = 0;
	int mode = -1;

	CHECK_EQ(get_pol(&mode, &mask, NULL, F_MEMS), 0);
	CHECK_EQ(mode, 0);
	nodes = __builtin_popcountl(mask);
	CHECK(nodes >= 1);
	printf("%d nodes\n", nodes);
}

TEST(thread_policy)
{
	int last = nodes - 1, mode = -1;
	ul mask = 99;
	char *p = anon(64);

	CHECK_EQ(get_pol(&mode, &mask, NULL, 0), 0);
	CHECK_EQ(mode, DEFAULT);
	CHECK_EQ(mask, 0);
	CHECK_EQ(set_pol(BIND, 1ul << last), 0);
	CHECK_EQ(get_pol(&mode, &mask, NULL, 0), 0);
	CHECK_EQ(mode, BIND);
	CHECK_EQ(mask, 1ul << last);
	memset(p, 1, 64 * PG);
	CHECK_EQ(on_node(p, 64, last), 64);
	madvise(p, 64 * PG, MADV_DONTNEED);
	CHECK_EQ(set_pol(PREFERRED, 1), 0);
	memset(p, 1, 64 * PG);
	CHECK_EQ(on_node(p, 64, 0), 64);
	CHECK_EQ(set_pol(PREFERRED, 0), 0);
	CHECK_EQ(get_pol(&mode, &mask, NULL, 0), 0);
	CHECK_EQ(mode, LOCAL);
	CHECK_EQ(set_pol(DEFAULT, 0), 0);
	munmap(p, 64 * PG);
}

/* A name is one word. */
TEST(names_in_numa_maps)
{
	int fd = memfd_create("a b=c", 0);
	char *p, line[512];
	bool there = false;
	FILE *f;

	CHECK_OK(ftruncate(fd, PG));
	p = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	f = fopen("/proc/self/numa_maps", "r");
	while (f && fgets(line, sizeof(line), f))
		there |= strtoul(line, NULL, 16) == (ul)p && strstr(line, " file=/memfd:a\\040b\\075c\\040(deleted)");
	CHECK(there);
	if (f)
		fclose(f);
	munmap(p, PG);
	close(fd);
}

TEST(interleave_by_address)
{
	ul all = (1ul << nodes) - 1, before = numastat(nodes - 1, "interleave_hit");
	char *p = anon(64);

	CHECK_EQ(mbind_(p, 64 * PG, INTERLEAVE, all, 0), 0);
	/* backwards: the place depends on the address alone */
	for (long i = 63; i >= 0; i--)
		p[i * PG] = 1;
	for (int n = 0; n < nodes; n++)
		CHECK(on_node(p, 64, n) == 64u / nodes || nodes == 3);
	for (int i = 0; i + nodes < 64; i++)
		CHECK_EQ(node_of(p + i * PG), node_of(p + (i + nodes) * PG));
	CHECK(numastat(nodes - 1, "interleave_hit") - before >= 64u / nodes);
	munmap(p, 64 * PG);
}

TEST(ranges_split_and_merge)
{
	char *p = anon(30), text[64];
	int last = nodes - 1, mode;
	ul mask;

	CHECK_EQ(mbind_(p + 10 * PG, 10 * PG, BIND, 1ul << last, 0), 0);
	CHECK_EQ(get_pol(&mode, &mask, p + 9 * PG, F_ADDR), 0);
	CHECK_EQ(mode, DEFAULT);
	CHECK_EQ(get_pol(&mode, &mask, p + 10 * PG, F_ADDR), 0);
	CHECK_EQ(mode, BIND);
	CHECK_EQ(mask, 1ul << last);
	numa_maps(p + 10 * PG, text);
	char want[32];
	snprintf(want, sizeof(want), "bind:%d", last);
	CHECK(!strcmp(text, want));
	/* the same for the rest: one mapping again */
	CHECK_EQ(mbind_(p, 30 * PG, BIND, 1ul << last, 0), 0);
	numa_maps(p + 10 * PG, text);
	CHECK_EQ(text[0], 0);
	numa_maps(p, text);
	CHECK(!strcmp(text, want));
	memset(p, 1, 30 * PG);
	CHECK_EQ(on_node(p, 30, last), 30);
	/* a child has it too */
	pid_t pid = fork();
	if (!pid) {
		memset(p, 2, 30 * PG);
		_exit(on_node(p, 30, last) == 30 ? 0 : 1);
	}
	int st;
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(st, 0);
	CHECK_EQ(mbind_(p, 30 * PG, DEFAULT, 0, 0), 0);
	CHECK_EQ(get_pol(&mode, &mask, p, F_ADDR), 0);
	CHECK_EQ(mode, DEFAULT);
	munmap(p, 30 * PG);
}

TEST(kept_over_exec)
{
	int st;
	pid_t pid = fork();

	if (!pid) {
		char *argv[] = { "/proc/self/exe", "after_exec", NULL };

		if (set_pol(INTERLEAVE, 1))
			_exit(9);
		execv("/proc/self/exe", argv);
		_exit(8);
	}
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(st, 0);
}

TEST(shared_policy)
{
	int fd = memfd_create("numa", 0), last = nodes - 1, mode = -1;
	ul mask = 0;
	char *a, *b;

	REQUIRE(fd >= 0);
	CHECK_EQ(ftruncate(fd, 32 * PG), 0);
	a = mmap(NULL, 32 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 16 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 8 * PG);
	CHECK_EQ(mbind_(a, 16 * PG, BIND, 1ul << last, 0), 0);
	/* the object has it, so another mapping sees it, at its own offset */
	CHECK_EQ(get_pol(&mode, &mask, b + 7 * PG, F_ADDR), 0);
	CHECK_EQ(mode, BIND);
	CHECK_EQ(get_pol(&mode, &mask, b + 8 * PG, F_ADDR), 0);
	CHECK_EQ(mode, DEFAULT);
	memset(b, 1, 8 * PG);
	CHECK_EQ(on_node(b, 8, last), 8);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(node_of(a), -ENOENT);
	CHECK_EQ(a[0], 'x');
	CHECK_EQ(node_of(a), last);
	munmap(a, 32 * PG);
	munmap(b, 16 * PG);
	close(fd);
}

TEST(move_pages_call)
{
	int last = nodes - 1;
	char *p = anon(34);
	void *pages[34];
	int to[34], st[34];

	for (int i = 0; i < 34; i++) {
		pages[i] = p + i * PG;
		to[i] = last;
	}
	for (int i = 0; i < 32; i++)
		*(ul *)(p + i * PG) = 0x1234567890ul * i;
	(void)*(volatile char *)(p + 33 * PG);
	CHECK_EQ(syscall(SYS_move_pages, 0, 34, pages, to, st, MOVE), 0);
	for (int i = 0; i < 32; i++) {
		CHECK_EQ(st[i], last);
		CHECK_EQ(*(ul *)(p + i * PG), 0x1234567890ul * i);
	}
	CHECK_EQ(st[32], -ENOENT);
	CHECK_EQ(st[33], -EFAULT);	/* the zero page */
	CHECK_EQ(on_node(p, 32, last), 32);
	CHECK_EQ(node_of((void *)0x10000), -EFAULT);
	to[1] = 63;
	CHECK_EQ(syscall(SYS_move_pages, 0, 2, pages, to, st, MOVE) ? -errno : 0, -ENODEV);
	to[1] = -1;
	CHECK_EQ(syscall(SYS_move_pages, 0, 2, pages, to, st, MOVE) ? -errno : 0, -ENODEV);
	CHECK_EQ(syscall(SYS_move_pages, 0, 1, pages, to, st, 8) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(SYS_move_pages, 999999, 1, pages, to, st, MOVE) ? -errno : 0, -ESRCH);
	CHECK_EQ(syscall(SYS_move_pages, 0, 1, (void *)8, to, st, MOVE) ? -errno : 0, -EFAULT);
	munmap(p, 34 * PG);
}

TEST(mbind_moves)
{
	ul moved_mask = 1ul << (nodes - 1);
	char *p = anon(64);
	int st;

	set_pol(PREFERRED, 1);
	for (ul i = 0; i < 64; i++)
		*(ul *)(p + i * PG) = ~i;
	set_pol(DEFAULT, 0);
	CHECK_EQ(on_node(p, 64, 0), 64);
	if (nodes > 1)
		CHECK_EQ(mbind_(p, 64 * PG, BIND, moved_mask, STRICT), -EIO);
	CHECK_EQ(mbind_(p, 64 * PG, BIND, moved_mask, STRICT | MOVE), 0);
	CHECK_EQ(on_node(p, 64, nodes - 1), 64);
	for (ul i = 0; i < 64; i++)
		CHECK_EQ(*(ul *)(p + i * PG), ~i);
	/* migrate_pages brings all of the process back */
	ul from = moved_mask, to = 1;
	CHECK_EQ(syscall(SYS_migrate_pages, 0, 65, &from, &to), 0);
	CHECK_EQ(on_node(p, 64, 0), 64);
	for (ul i = 0; i < 64; i++)
		CHECK_EQ(*(ul *)(p + i * PG), ~i);
	/* a page two processes have moves with MOVE_ALL only */
	pid_t pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	CHECK_EQ(mbind_(p, 64 * PG, PREFERRED, moved_mask, MOVE), 0);
	if (nodes > 1)
		CHECK_EQ(on_node(p, 64, 0), 64);
	CHECK_EQ(mbind_(p, 64 * PG, PREFERRED, moved_mask, MOVE_ALL), 0);
	CHECK_EQ(on_node(p, 64, nodes - 1), 64);
	kill(pid, 9);
	waitpid(pid, &st, 0);
	munmap(p, 64 * PG);
}

TEST(huge_page_moves)
{
	ul len = 8ul << 20;
	char *q = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(q, len, MADV_HUGEPAGE);
	for (ul i = 0; i < len; i += 8)
		*(ul *)(q + i) = i * 3;
	CHECK_EQ(mbind_(q, len, BIND, 1, MOVE | STRICT), 0);
	CHECK_EQ(on_node(q, len / PG, 0), len / PG);
	CHECK_EQ(mbind_(q, len, BIND, 1ul << (nodes - 1), MOVE | STRICT), 0);
	CHECK_EQ(on_node(q, len / PG, nodes - 1), len / PG);
	for (ul i = 0; i < len; i += 8)
		if (*(ul *)(q + i) != i * 3) {
			CHECK_EQ(*(ul *)(q + i), i * 3);
			break;
		}
	munmap(q, len);
}

static volatile int stop;
static volatile ul counters[4 * PG / 8] __attribute__((aligned(4096)));
static void *count(void *arg)
{
	volatile ul *c = &counters[(ul)arg];
	ul n = 0;

	while (!stop) {
		if (*c != n)
			return (void *)1;
		*c = ++n;
	}
	return NULL;
}

TEST(moves_under_writers)
{
	pthread_t t[4];
	void *pages[4], *bad;
	int to[4], st[4];

	for (ul i = 0; i < 4; i++) {
		pages[i] = (void *)&counters[i * PG / 8];
		pthread_create(&t[i], NULL, count, (void *)(i * PG / 8 + i));
	}
	time_t end = time(NULL) + 4;
	int r;

	for (r = 0; r < 2000 && time(NULL) < end; r++) {
		for (int i = 0; i < 4; i++)
			to[i] = (r + i) % nodes;
		if (syscall(SYS_move_pages, 0, 4, pages, to, st, MOVE) < 0) {
			CHECK_EQ(errno, 0);
			break;
		}
	}
	printf("%d rounds\n", r);
	stop = 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		CHECK(!bad);
	}
}

TEST(refusals)
{
	char *p = anon(4);
	ul mask[2] = { 1, 1 };
	int mode;

	CHECK_EQ(set_pol(6, 1), -EINVAL);
	CHECK_EQ(set_pol(-1, 1), -EINVAL);
	CHECK_EQ(set_pol(BIND | STATIC | RELATIVE, 1), -EINVAL);
	CHECK_EQ(set_pol(PREFERRED | BALANCING, 1), -EINVAL);
	CHECK_EQ(set_pol(BIND | BALANCING, 1), 0);
	CHECK_EQ(set_pol(BIND | STATIC, 1), 0);
	CHECK_EQ(get_pol(&mode, mask, NULL, 0), 0);
	CHECK_EQ(mode, BIND | STATIC);
	CHECK_EQ(set_pol(DEFAULT, 1), -EINVAL);
	CHECK_EQ(set_pol(BIND, 0), -EINVAL);
	CHECK_EQ(set_pol(INTERLEAVE, 0), -EINVAL);
	CHECK_EQ(set_pol(PREFERRED_MANY, 0), -EINVAL);
	CHECK_EQ(set_pol(LOCAL, 1), -EINVAL);
	CHECK_EQ(set_pol(PREFERRED | STATIC, 0), -EINVAL);
	CHECK_EQ(set_pol(BIND, 1ul << 62), -EINVAL);	/* no such node here */
	CHECK_EQ(set_pol(BIND | RELATIVE, 1ul << 62), 0);
	CHECK_EQ(set_pol(PREFERRED_MANY, 1), 0);
	CHECK_EQ(set_pol(DEFAULT, 0), 0);
	mask[0] = mask[1] = 1;
	CHECK_EQ(syscall(SYS_set_mempolicy, BIND, mask, 129) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(SYS_set_mempolicy, BIND, mask, 40000) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(SYS_set_mempolicy, BIND, (void *)8, 65) ? -errno : 0, -EFAULT);

	CHECK_EQ(mbind_(p + 1, PG, BIND, 1, 0), -EINVAL);
	CHECK_EQ(mbind_(p, PG, BIND, 1, 8), -EINVAL);
	CHECK_EQ(mbind_(p, PG, 6, 1, 0), -EINVAL);
	CHECK_EQ(mbind_(p, PG, BIND, 0, 0), -EINVAL);
	CHECK_EQ(mbind_(p, 0, BIND, 1, 0), 0);
	CHECK_EQ(mbind_(p, -PG, BIND, 1, 0), -EINVAL);
	munmap(p + PG, PG);
	CHECK_EQ(mbind_(p, 4 * PG, BIND, 1, 0), -EFAULT);
	CHECK_EQ(mbind_(p, 4 * PG, DEFAULT, 0, 0), 0);

	CHECK_EQ(get_pol(&mode, mask, p, 0), -EINVAL);
	CHECK_EQ(get_pol(&mode, mask, p + PG, F_ADDR), -EFAULT);
	CHECK_EQ(get_pol(&mode, mask, NULL, F_MEMS | F_ADDR), -EINVAL);
	CHECK_EQ(get_pol(&mode, mask, NULL, F_NODE), -EINVAL);
	CHECK_EQ(get_pol(&mode, mask, NULL, 8), -EINVAL);
	CHECK_EQ(get_pol((void *)8, mask, NULL, 0), -EFAULT);
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, mask, 0, NULL, 0) ? -errno : 0, -EINVAL);
	CHECK_EQ(get_pol(&mode, NULL, p, F_ADDR | F_NODE), 0);
	CHECK(mode >= 0 && mode < nodes);

	CHECK_EQ(syscall(450, p, PG, 0, 0) ? -errno : 0, -ENOENT);	/* set_mempolicy_home_node: no policy there */
	CHECK_EQ(syscall(450, p, PG, 0, 1) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(450, p, PG, 63, 0) ? -errno : 0, -EINVAL);
	CHECK_EQ(mbind_(p, PG, INTERLEAVE, 1, 0), 0);
	CHECK_EQ(syscall(450, p, PG, 0, 0) ? -errno : 0, -EOPNOTSUPP);
	CHECK_EQ(mbind_(p, PG, BIND, 1, 0), 0);
	CHECK_EQ(syscall(450, p, PG, 0, 0) ? -errno : 0, 0);

	ul none = 0, one = 1, far = 1ul << 63;
	CHECK_EQ(syscall(SYS_migrate_pages, 0, 65, &one, &none) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(SYS_migrate_pages, 0, 65, &one, &far) ? -errno : 0, -EINVAL);
	CHECK_EQ(syscall(SYS_migrate_pages, 999999, 65, &one, &one) ? -errno : 0, -ESRCH);
	CHECK_EQ(syscall(SYS_migrate_pages, 0, 65, (void *)8, &one) ? -errno : 0, -EFAULT);
	munmap(p, PG);
}

/* A process bound to a node that is full is killed; it never gets memory elsewhere. */
TEST(bound_to_the_end)
{
	int st;
	pid_t pid;

	if (nodes < 2)
		return;
	pid = fork();
	if (!pid) {
		int fd = open("/proc/self/oom_score_adj", O_WRONLY);

		if (write(fd, "1000", 4) != 4 || set_pol(BIND, 1ul << (nodes - 1)))
			_exit(9);
		for (;;) {
			char *p = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (p == MAP_FAILED)
				_exit(8);
			for (int i = 0; i < 64; i++)
				p[i * PG] = 1;
			if (node_of(p) != nodes - 1)
				_exit(7);
		}
	}
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == 9);
}

static long small_objects(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	long sum = 0, n;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "kmalloc-%*s %ld", &n) == 1)
			sum += n;
	if (f)
		fclose(f);
	return sum;
}

/* The policy of an object that never had a page goes with it. */
TEST(policy_of_nothing)
{
	long before = small_objects();

	CHECK_GT(before, 0);
	for (int i = 0; i < 2000; i++) {
		int fd = memfd_create("m", 0);
		char *p;

		CHECK_OK(ftruncate(fd, PG));
		p = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK_EQ(mbind_(p, PG, BIND, 1, 0), 0);
		munmap(p, PG);
		close(fd);
	}
	usleep(100000); /* freed after a grace period */
	CHECK_LT(small_objects() - before, 1000);
}

TEST(files)
{
	char buf[256];
	static const char *const paths[] = { "online", "possible", "has_cpu", "has_memory", "has_normal_memory", "node0/cpulist",
		"node0/cpumap", "node0/distance", "node0/meminfo", "node0/numastat", "node0/vmstat" };

	for (ul i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		char path[96];
		int fd;

		snprintf(path, sizeof(path), "/sys/devices/system/node/%s", paths[i]);
		fd = open(path, O_RDONLY);
		CHECK(fd >= 0 && read(fd, buf, sizeof(buf)) > 0);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "after_exec")) {
		int mode = -1;
		ul mask = 0;

		return get_pol(&mode, &mask, NULL, 0) || mode != INTERLEAVE || mask != 1;
	}
	return check_main(argc, argv);
}
