// VARIANTS: musl
// BOOT: --smp 2 --memory 1G
// TIMEOUT: 120
/*
 * Huge pages: taken at the first touch, split by partial unmap, protect, advice and copy-on-write, made again by MADV_COLLAPSE and by the
 * background thread; no byte is lost on the way.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>

#define P 4096ul
#define H (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Sum of a field of /proc/self/smaps over regions inside [start, end), in KiB. */
static long smaps(const char *field, char *start, char *end)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long a, b;
	bool inside = false;
	long sum = 0, kb;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < strchr(line, ' '))
			inside = a < (unsigned long)end && b > (unsigned long)start;
		else if (inside && !strncmp(line, field, strlen(field)) && line[strlen(field)] == ':' &&
			 sscanf(line + strlen(field) + 1, "%ld", &kb) == 1)
			sum += kb;
	}
	if (f)
		fclose(f);
	return sum;
}

/* n aligned huge ranges, untouched. */
static char *area(int n)
{
	char *p = mmap(NULL, (n + 1) * H, RW, ANON, -1, 0), *a;

	if (p == MAP_FAILED)
		return NULL;
	a = (char *)(((unsigned long)p + H - 1) & ~(H - 1));
	if (a > p)
		munmap(p, a - p);
	munmap(a + n * H, p + (n + 1) * H - (a + n * H));
	return a;
}

static void fill(char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += P)
		*(unsigned *)(p + i) = *(unsigned *)(p + i + P - 4) = seed + i / P;
}

static bool filled(const char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += P)
		if (*(unsigned *)(p + i) != seed + i / P || *(unsigned *)(p + i + P - 4) != seed + i / P)
			return false;
	return true;
}

static bool policy(const char *word)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY);
	bool ok = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);

	close(fd);
	return ok;
}

/* How long the background thread sleeps between its rounds. */
static bool background(const char *ms)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", O_WRONLY);
	bool ok = fd >= 0 && write(fd, ms, strlen(ms)) == (ssize_t)strlen(ms);

	close(fd);
	return ok;
}

/* The number a line of /proc/vmstat has. */
static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ' ')
			n = atol(line + strlen(name));
	if (f)
		fclose(f);
	return n;
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

TEST(first_touch)
{
	char *p = area(32);

	REQUIRE(p && policy("always"));
	for (size_t i = 0; i < 64ul << 20; i += P)
		CHECK_EQ(*(long *)(p + i) , 0) ; /* reads take no memory */
	CHECK_EQ(smaps("AnonHugePages", p, p + 32 * H), 0);
	munmap(p, 32 * H);
	p = area(32);
	fill(p, 32 * H, 7);
	CHECK_EQ(smaps("AnonHugePages", p, p + 32 * H), 64 << 10);
	CHECK(filled(p, 32 * H, 7));
	munmap(p, 32 * H);
}

/* Untouched ranges read as zeros of one huge page; a write, a split and a fork part from it. */
TEST(page_of_zeros)
{
	char *p = area(4), buf[16] = "x";
	struct iovec here = { buf, 16 }, there;
	long before = vmstat("thp_zero_page_alloc");
	unsigned long f;

	REQUIRE(p && policy("always"));
	CHECK_EQ(p[0] + p[H + 5] + p[2 * H] + p[3 * H], 0);
	CHECK_EQ(vmstat("thp_zero_page_alloc") - before, 4);
	f = frame(p);
	CHECK_EQ(frame(p + H), f);
	CHECK_EQ(frame(p + H + 7 * P), f + 7);
	CHECK_EQ(smaps("Rss", p, p + 4 * H), 0);
	there = (struct iovec){ p + H + 9 * P, 16 };
	CHECK_EQ(process_vm_readv(getpid(), &here, 1, &there, 1, 0), 16);
	CHECK_EQ(buf[0], 0);
	p[H + 3 * P] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + 4 * H), 2048);
	CHECK_EQ(p[H + 3 * P] + p[3 * P] + p[H + 4 * P], 1);
	CHECK_OK(mprotect(p + 5 * P, P, PROT_READ)); /* split */
	CHECK_EQ(smaps("Rss", p, p + 6 * P), 0);
	CHECK_EQ(p[5 * P] + p[6 * P], 0);
	p[6 * P] = 2;
	CHECK_EQ(p[7 * P] + p[6 * P], 2);
	CHECK_EXITS(0, {
		CHECK_EQ(p[2 * H] + p[3 * H + 1], 0);
		p[2 * H] = 3;
		CHECK_EQ(p[2 * H] + p[2 * H + 1], 3);
	});
	CHECK_EQ(p[2 * H], 0);
	CHECK_OK(madvise(p + 2 * H, H, MADV_DONTNEED));
	CHECK_OK(munmap(p + 3 * H, P));
	CHECK_EQ(p[2 * H] + p[3 * H + P], 0);
	munmap(p, 4 * H);
}

static struct { volatile char *p; volatile int step; volatile long stale; } zero_look;

/* Looks at the zeros until they are said to be written, then once more; steps: 1 look, 2 written, 3 seen, 4 end. */
static void *look_at_zeros(void *arg)
{
	while (zero_look.step != 4) {
		if (zero_look.step == 1) {
			while (zero_look.step == 1)
				(void)*zero_look.p;
			zero_look.stale += *zero_look.p != 1;
			zero_look.step = 3;
		}
	}
	return arg;
}

/* A CPU that has just read a range as zeros does not go on doing so when another one has written there. */
TEST(zeros_part_everywhere)
{
	char *p = area(1);
	pthread_t t;

	REQUIRE(p && policy("always"));
	zero_look.p = p + H / 2;
	REQUIRE(!pthread_create(&t, NULL, look_at_zeros, NULL));
	for (int i = 0; i < 50; i++) {
		CHECK_OK(madvise(p, H, MADV_DONTNEED));
		CHECK_EQ(p[0], 0);
		zero_look.step = 1;
		usleep(2000);
		p[H / 2] = 1;
		zero_look.step = 2;
		while (zero_look.step != 3)
			sched_yield();
	}
	zero_look.step = 4;
	pthread_join(t, NULL);
	CHECK_EQ(zero_look.stale, 0);
	munmap(p, H);
}

TEST(policies)
{
	char *p;

	REQUIRE(policy("never"));
	p = area(1);
	p[0] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + H), 0);
	munmap(p, H);
	REQUIRE(policy("madvise"));
	p = area(2);
	CHECK_OK(madvise(p + H, H, MADV_HUGEPAGE));
	p[0] = p[H] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + 2 * H), 2048);
	munmap(p, 2 * H);
	REQUIRE(policy("always"));
	p = area(1);
	CHECK_OK(madvise(p, H, MADV_NOHUGEPAGE));
	p[0] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + H), 0);
	munmap(p, H);
}

TEST(partial_operations)
{
	char *p = area(4);

	REQUIRE(p && background("600000")); /* what is split here stays so */
	fill(p, 4 * H, 100);
	CHECK_OK(munmap(p + 10 * P, 5 * P));
	CHECK_EQ(smaps("Rss", p, p + 4 * H), (4 << 11) - 20); /* the memory is back */
	CHECK(filled(p, 10 * P, 100) && filled(p + 15 * P, 4 * H - 15 * P, 115));
	CHECK_OK(mprotect(p + H + 3 * P, P, PROT_READ));
	CHECK(filled(p + H, H, 612));
	CHECK_OK(madvise(p + 2 * H + 7 * P, 2 * P, MADV_DONTNEED));
	CHECK_EQ(*(int *)(p + 2 * H + 7 * P), 0);
	CHECK(filled(p + 2 * H, 7 * P, 1124) && filled(p + 2 * H + 9 * P, H - 9 * P, 1133));
	CHECK_EQ(smaps("AnonHugePages", p, p + 4 * H), 2048); /* the last one */
	munmap(p, 4 * H);
}

TEST(moves)
{
	char *p = area(2), *q = area(4), *r;

	fill(p, 2 * H, 5);
	r = mremap(p, 2 * H, 2 * H, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	CHECK(r == q && filled(q, 2 * H, 5));
	CHECK_EQ(smaps("AnonHugePages", q, q + 2 * H), 4096); /* aligned: as they are */
	p = area(4);
	r = mremap(q, 2 * H, 2 * H, MREMAP_MAYMOVE | MREMAP_FIXED, p + 3 * P);
	CHECK(r == p + 3 * P && filled(r, 2 * H, 5)); /* not aligned: split */
	CHECK_EQ(smaps("AnonHugePages", p, p + 4 * H), 0);
	munmap(p, 4 * H);
	munmap(q, 4 * H);
}

TEST(fork_and_write)
{
	char *p = area(2);

	fill(p, 2 * H, 50);
	CHECK_EXITS(0, {
		CHECK(filled(p, 2 * H, 50));
		*(int *)(p + 9 * P) = 1;
		CHECK_EQ(*(int *)(p + 9 * P), 1);
		CHECK(filled(p, 9 * P, 50) && filled(p + 10 * P, 2 * H - 10 * P, 60));
		CHECK_OK(munmap(p + H + P, P)); /* splits a shared one */
		CHECK(filled(p + H, P, 562) && filled(p + H + 2 * P, H - 2 * P, 564));
		fill(p + H + 2 * P, 4 * P, 9000);
	});
	CHECK(filled(p, 2 * H, 50));
	fill(p, 2 * H, 51);
	CHECK(filled(p, 2 * H, 51));
	munmap(p, 2 * H);
}

/* What the parent writes after fork is not the child's, with the page still huge on both sides. */
TEST(fork_and_parent_writes)
{
	char *p = area(2), c = 0;
	int go[2], st;
	pid_t child;

	REQUIRE(p && policy("always") && !pipe(go));
	fill(p, 2 * H, 70);
	child = fork();
	if (!child) {
		check_failures = 0;
		CHECK_EQ(read(go[0], &c, 1), 1);
		CHECK(filled(p, 2 * H, 70));
		_exit(check_failures ? 1 : 0);
	}
	fill(p, H, 71);
	CHECK_OK(madvise(p + H, H, MADV_DONTNEED));
	p[H] = 1;
	CHECK_EQ(write(go[1], &c, 1), 1);
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
	CHECK(filled(p, H, 71));
	close(go[0]);
	close(go[1]);
	munmap(p, 2 * H);
}

TEST_FORK(switched_off)
{
	char *p;

	REQUIRE(policy("always"));
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	p = area(2);
	p[0] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + 2 * H), 0);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	p[H] = 1;
	CHECK_EQ(smaps("AnonHugePages", p, p + 2 * H), 2048);
}

TEST(collapse)
{
	char *p;
	long full = 0;

	REQUIRE(policy("never"));
	p = area(3);
	fill(p, 3 * H, 11);
	CHECK_EQ(smaps("AnonHugePages", p, p + 3 * H), 0);
	CHECK_OK(madvise(p, H, MADV_COLLAPSE)); /* the policy does not matter */
	CHECK_EQ(smaps("AnonHugePages", p, p + 3 * H), 2048);
	CHECK(filled(p, 3 * H, 11));
	/* the rest is done behind our back */
	REQUIRE(background("50") && policy("always"));
	for (int i = 0; i < 150 && full < 6144; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
		full = smaps("AnonHugePages", p, p + 3 * H);
	}
	CHECK_EQ(full, 6144);
	CHECK(filled(p, 3 * H, 11));
	munmap(p, 3 * H);
}

static struct { char *p; volatile bool stop; volatile long passes, wrong; } watched;

static void *watch(void *arg)
{
	while (!watched.stop) {
		if (!filled(watched.p, H, 31))
			watched.wrong++;
		watched.passes++;
	}
	return arg;
}

/* What a split left behind becomes the same huge page again: same frame, same bytes, seen by a thread that reads all the time. */
TEST(collapse_in_place)
{
	char *p = area(1);
	pthread_t t;
	unsigned long f;
	long before = vmstat("thp_collapse_inplace"), copied = vmstat("thp_collapse_alloc");

	REQUIRE(p && policy("always") && before >= 0);
	CHECK_OK(madvise(p, H, MADV_HUGEPAGE));
	fill(p, H, 31);
	REQUIRE(policy("madvise")); /* nobody else's memory is promoted meanwhile */
	CHECK_OK(madvise(p, H, MADV_NOHUGEPAGE));
	CHECK_EQ(smaps("AnonHugePages", p, p + H), 2048);
	f = frame(p);
	CHECK_NE(f, 0);
	watched.p = p;
	REQUIRE(!pthread_create(&t, NULL, watch, NULL));
	for (int i = 0; i < 50; i++) {
		CHECK_OK(mprotect(p + i * P, P, PROT_READ));
		CHECK_OK(mprotect(p + i * P, P, RW));
		CHECK_EQ(smaps("AnonHugePages", p, p + H), 0);
		CHECK_OK(madvise(p, H, MADV_HUGEPAGE));
		CHECK_OK(madvise(p, H, MADV_COLLAPSE));
		CHECK_EQ(smaps("AnonHugePages", p, p + H), 2048);
		CHECK_EQ(frame(p), f);
		CHECK_OK(madvise(p, H, MADV_NOHUGEPAGE));
	}
	watched.stop = true;
	pthread_join(t, NULL);
	CHECK_EQ(watched.wrong, 0);
	CHECK_GT(watched.passes, 0);
	CHECK_GE(vmstat("thp_collapse_inplace") - before, 50);
	CHECK_EQ(vmstat("thp_collapse_alloc"), copied);
	*(volatile int *)(p + 7 * P) = 38; /* and it can be written */
	CHECK(filled(p, H, 31));
	munmap(p, H);
	policy("always");
}

/* A page shared with a child, or a place out of order, has to be copied; both sides keep their bytes. */
TEST(collapse_by_copy)
{
	char *p = area(1);
	long before;
	int fds[2];
	char c;
	pid_t pid;

	REQUIRE(p && !pipe(fds) && policy("madvise"));
	CHECK_OK(madvise(p, H, MADV_NOHUGEPAGE));
	fill(p, H, 77);
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) == 0 && filled(p, H, 77) ? 0 : 1);
	}
	close(fds[0]);
	CHECK_OK(madvise(p, H, MADV_HUGEPAGE));
	before = vmstat("thp_collapse_alloc");
	CHECK_OK(madvise(p, H, MADV_COLLAPSE));
	CHECK_EQ(vmstat("thp_collapse_alloc") - before, 1);
	CHECK(filled(p, H, 77));
	fill(p, H, 78); /* the child does not see it */
	close(fds[1]);
	CHECK_EQ(waitpid(pid, (int *)&before, 0), pid);
	CHECK_EQ((int)before, 0);
	CHECK(filled(p, H, 78));
	munmap(p, H);
	policy("always");
}

/*
 * 64 MiB in small pages ends up in huge ones and is split again, round after round, while another process reads it all the time through
 * the pages (process_vm_readv): every word is as it was written.
 */
#define WORDS ((64ul << 20) / 8)
static unsigned long word_at(unsigned long i) { return i * 0x9e3779b97f4a7c15ul + 1; }

static int read_for_ever(pid_t pid, unsigned long *p, int stop)
{
	static unsigned long buf[64 * 512];
	unsigned long n = sizeof buf / 8, passes = 0;
	char c;

	for (unsigned long at = 0;; at = (at + n) % WORDS) {
		struct iovec here = { buf, sizeof buf }, there = { p + at, sizeof buf };

		if (process_vm_readv(pid, &here, 1, &there, 1, 0) != sizeof buf)
			return 2;
		for (unsigned long i = 0; i < n; i++)
			if (buf[i] != word_at(at + i)) {
				printf("  word %lu is %#lx, not %#lx\n", at + i, buf[i], word_at(at + i));
				return 1;
			}
		passes += at + n == WORDS;
		if (passes && read(stop, &c, 1) == 0) /* all of it once, at least, however slow we are */
			return 0;
	}
}

TEST(nothing_torn_or_lost)
{
	unsigned long *p;
	int fds[2], st;
	pid_t pid;

	REQUIRE(background("20") && !pipe(fds) && policy("never"));
	p = (unsigned long *)area(32);
	REQUIRE(p && !madvise(p, 32 * H, MADV_DONTFORK));
	for (unsigned long i = 0; i < WORDS; i++)
		p[i] = word_at(i);
	pid = fork();
	if (!pid) {
		close(fds[1]);
		fcntl(fds[0], F_SETFL, O_NONBLOCK);
		_exit(read_for_ever(getppid(), p, fds[0]));
	}
	close(fds[0]);
	CHECK(policy("always"));
	for (int round = 0; round < 3; round++) {
		long full = 0;

		for (int i = 0; i < 200 && full < 64 << 10; i++) {
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
			full = smaps("AnonHugePages", (char *)p, (char *)p + 32 * H);
		}
		CHECK_EQ(full, 64 << 10);
		for (int i = 0; i < 32; i++) { /* apart again */
			char *at = (char *)p + i * H + (i * 37 % 512) * P;

			CHECK_OK(mprotect(at, P, PROT_READ));
			CHECK_OK(mprotect(at, P, RW));
		}
	}
	close(fds[1]);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK(WIFEXITED(st));
	CHECK_EQ(WEXITSTATUS(st), 0);
	for (unsigned long i = 0; i < WORDS; i++)
		if (p[i] != word_at(i)) {
			CHECK_EQ(p[i], word_at(i));
			break;
		}
	munmap(p, 32 * H);
	CHECK(background("10000"));
}

TEST_MAIN
