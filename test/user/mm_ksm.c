// BOOT: --smp 2 --memory 1G
// TIMEOUT: 120
/*
 * KSM: equal pages become one frame, a write parts them again, nobody loses a byte; what /sys/kernel/mm/ksm says is what there is.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#define P 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int set(const char *name, long v)
{
	char path[96], text[24];
	int fd, n = snprintf(text, sizeof text, "%ld", v), r;

	snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", name);
	fd = open(path, O_WRONLY);
	r = fd >= 0 && write(fd, text, n) == n ? 0 : -1;
	if (fd >= 0)
		close(fd);
	return r;
}

static long get(const char *name)
{
	char path[96], text[24] = "";
	int fd;

	snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

static unsigned long frame(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	unsigned long e = 0;

	if (pread(fd, &e, 8, (unsigned long)p / P * 8) != 8)
		e = 0;
	close(fd);
	return e & ((1ul << 55) - 1);
}

/* Some whole passes. */
static void passes(int n)
{
	long until = get("full_scans") + n + 1;

	for (int i = 0; i < 2000 && get("full_scans") < until; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	CHECK_GE(get("full_scans"), until);
}

static void begin(void)
{
	CHECK_OK(set("run", 2));
	CHECK_OK(set("pages_to_scan", 2000));
	CHECK_OK(set("sleep_millisecs", 1));
	CHECK_OK(set("max_page_sharing", 256));
	CHECK_OK(set("use_zero_pages", 0));
	CHECK_OK(set("run", 1));
}

static void fill(char *p, unsigned long n, unsigned seed)
{
	for (unsigned long i = 0; i < n; i++)
		memset(p + i * P, seed + i % 3, P);
}

static bool filled(const char *p, unsigned long n, unsigned seed)
{
	for (unsigned long i = 0; i < n * P; i++)
		if ((unsigned char)p[i] != (unsigned char)(seed + i / P % 3))
			return false;
	return true;
}

static char *offered(unsigned long n)
{
	char *p = mmap(NULL, n * P, RW, ANON, -1, 0);

	return p == MAP_FAILED || madvise(p, n * P, MADV_MERGEABLE) ? NULL : p;
}

static void kernel_checks(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/vm/check", O_RDWR);

	CHECK_EQ(write(fd, "1", 1), 1);
	CHECK_GT(pread(fd, text, sizeof text - 1, 0), 0);
	CHECK_EQ(atol(text), 0);
	close(fd);
}

TEST(equal_pages)
{
	char *p = offered(300), *q = offered(300);
	unsigned long f;

	REQUIRE(p && q);
	begin();
	fill(p, 300, 1);
	fill(q, 300, 1);
	memset(q + 299 * P, 99, P); /* unlike any other */
	passes(3);
	CHECK_EQ(get("pages_shared"), 3);
	CHECK_EQ(get("pages_sharing"), 599 - 3);
	CHECK_EQ(get("pages_unshared"), 1);
	CHECK_EQ(get("pages_volatile"), 0);
	f = frame(p);
	CHECK_NE(f, 0);
	CHECK_EQ(frame(p + 3 * P), f);
	CHECK_EQ(frame(q + 297 * P), f);
	CHECK_NE(frame(p + P), f);
	CHECK(filled(p, 300, 1) && filled(q, 299, 1));
	kernel_checks();
	/* a write is the writer's */
	p[6 * P] = 77;
	CHECK_NE(frame(p + 6 * P), f);
	CHECK_EQ(p[6 * P], 77);
	CHECK_EQ(q[6 * P], 1);
	CHECK_EQ(p[6 * P + 1], 1);
	/* advice taken back */
	CHECK_OK(madvise(q, 300 * P, MADV_UNMERGEABLE));
	CHECK_NE(frame(q), f);
	CHECK(filled(q, 299, 1));
	/* and the administrator's no */
	CHECK_OK(set("run", 2));
	CHECK_EQ(get("pages_shared"), 0);
	CHECK_EQ(get("pages_sharing"), 0);
	CHECK_NE(frame(p), frame(p + 3 * P));
	p[6 * P] = 1;
	CHECK(filled(p, 300, 1));
	munmap(p, 300 * P);
	munmap(q, 300 * P);
}

TEST(between_processes)
{
	char *p = offered(64);
	int up[2], down[2], st;
	char c;
	pid_t pid;

	REQUIRE(p && !pipe(up) && !pipe(down));
	begin();
	pid = fork(); /* the mapping is offered in the child too */
	if (!pid) {
		close(down[1]);
		fill(p, 64, 20);
		if (write(up[1], "x", 1) != 1 || read(down[0], &c, 1) != 1 || !filled(p, 64, 20))
			_exit(1);
		p[0] = 3;
		_exit(filled(p + 3 * P, 61, 20) && write(up[1], "x", 1) == 1 && read(down[0], &c, 1) == 0 ? 0 : 2);
	}
	close(down[0]);
	fill(p, 64, 20);
	CHECK_EQ(read(up[0], &c, 1), 1);
	passes(3);
	CHECK_EQ(get("pages_shared"), 3);
	CHECK_EQ(get("pages_sharing"), 128 - 3);
	CHECK_EQ(write(down[1], "x", 1), 1);
	CHECK_EQ(read(up[0], &c, 1), 1);
	CHECK(filled(p, 64, 20));
	kernel_checks();
	close(down[1]);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(st, 0);
	CHECK_EQ(get("pages_shared"), 3);
	CHECK_EQ(get("pages_sharing"), 64 - 3);
	CHECK(filled(p, 64, 20));
	munmap(p, 64 * P);
	CHECK_EQ(get("pages_shared"), 0); /* with the last mapping the page is gone */
}

TEST(limits)
{
	char *p = offered(20);

	REQUIRE(p);
	begin();
	CHECK_OK(set("run", 0));
	CHECK_OK(set("max_page_sharing", 4));
	memset(p, 5, 20 * P);
	CHECK_OK(set("run", 1));
	passes(8);
	CHECK_EQ(get("pages_shared"), 5);
	CHECK_EQ(get("pages_sharing"), 15);
	CHECK_EQ(get("stable_node_chains"), 1);
	CHECK_EQ(get("stable_node_dups"), 5);
	CHECK_EQ(set("max_page_sharing", 1), -1);
	CHECK_EQ(set("merge_across_nodes", 0), -1); /* busy */
	CHECK_EQ(set("run", 3), -1);
	for (unsigned i = 0; i < 20 * P; i++)
		if (p[i] != 5) {
			CHECK_EQ(p[i], 5);
			break;
		}
	munmap(p, 20 * P);
	CHECK_OK(set("merge_across_nodes", 0));
	CHECK_OK(set("merge_across_nodes", 1));
}

TEST(zero_pages)
{
	char *p = offered(20), *z = mmap(NULL, P, PROT_READ, ANON, -1, 0);

	REQUIRE(p && z != MAP_FAILED && *z == 0);
	begin();
	CHECK_OK(set("use_zero_pages", 1));
	memset(p, 0, 20 * P);
	passes(2);
	CHECK_EQ(frame(p), frame(z));
	CHECK_EQ(frame(p + 19 * P), frame(z));
	CHECK_EQ(get("pages_shared"), 0);
	p[7] = 1;
	CHECK_EQ(*z + p[8], 0);
	CHECK_NE(frame(p), frame(z));
	munmap(p, 20 * P);
	munmap(z, P);
	CHECK_OK(set("use_zero_pages", 0));
}

/* A huge page is taken apart where parts of it are equal; advice for other kinds of memory changes nothing. */
TEST(kinds)
{
	char *p = mmap(NULL, 4ul << 20, RW, ANON, -1, 0), *h, *s;

	REQUIRE(p != MAP_FAILED);
	begin();
	h = (char *)(((unsigned long)p + (2ul << 20) - 1) & ~((2ul << 20) - 1));
	fill(h, 512, 40);
	CHECK_OK(madvise(h, 2ul << 20, MADV_MERGEABLE));
	s = mmap(NULL, 8 * P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(s, 9, 8 * P);
	CHECK_OK(madvise(s, 8 * P, MADV_MERGEABLE));
	passes(4);
	CHECK_EQ(get("pages_sharing") + get("pages_shared"), 512);
	CHECK_NE(frame(s), frame(s + P));
	CHECK(filled(h, 512, 40));
	kernel_checks();
	munmap(p, 4ul << 20);
	munmap(s, 8 * P);
}

#define CELLS 32
static struct { char *p; volatile bool stop; long wrong; } busy;

/* Pages of two threads that become equal and unequal all the time. */
static void *writer(void *arg)
{
	char *p = busy.p + (long)arg * CELLS * P;

	for (unsigned round = 1; !busy.stop; round++)
		for (int i = 0; i < CELLS; i++) {
			volatile unsigned *w = (unsigned *)(p + i * P + (round % 1000) * 4);
			unsigned old = *w;

			*w = old + 1;
			if (*w != old + 1)
				__atomic_fetch_add(&busy.wrong, 1, __ATOMIC_RELAXED);
			*w = old;
			if (*w != old)
				__atomic_fetch_add(&busy.wrong, 1, __ATOMIC_RELAXED);
		}
	return NULL;
}

TEST(no_write_is_lost)
{
	pthread_t t[2];

	busy.p = offered(2 * CELLS);
	REQUIRE(busy.p);
	begin();
	CHECK_OK(set("sleep_millisecs", 0));
	for (int i = 0; i < 2 * CELLS; i++)
		memset(busy.p + i * P, 7, P);
	for (long i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&t[i], NULL, writer, (void *)i));
	nanosleep(&(struct timespec){ .tv_sec = 4 }, NULL);
	busy.stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(busy.wrong, 0);
	for (unsigned i = 0; i < 2 * CELLS * P; i++)
		if (busy.p[i] != 7) {
			CHECK_EQ(busy.p[i], 7);
			break;
		}
	passes(3);
	CHECK_EQ(get("pages_shared"), 1);
	kernel_checks();
	CHECK_OK(set("run", 2));
	CHECK_OK(set("run", 0));
	CHECK_OK(set("sleep_millisecs", 20));
	CHECK_OK(set("pages_to_scan", 100));
	munmap(busy.p, 2 * CELLS * P);
}

TEST_MAIN
