// BOOT: --smp 4 --memory 768M --accel single
// TIMEOUT: 90
/*
 * Memory that may be taken (MADV_FREE): what /proc says of the lists, and who gets on and off them.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include "check.h"

#define PG 4096ul
#define ADV_COLD 20
#define ADV_PAGEOUT 21
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static unsigned long field(const char *file, const char *name)
{
	unsigned long v = ~0ul;
	FILE *f = fopen(file, "r");
	char line[160];
	size_t n = strlen(name);

	while (f && v == ~0ul && fgets(line, sizeof(line), f)) {
		char *at = line + strspn(line, " ");

		if (!strncmp(at, name, n) && (at[n] == ' ' || at[n] == ':'))
			v = strtoul(at + n + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return v;
}

#define VM(name) field("/proc/vmstat", name)
static unsigned long inactive(void) { return VM("nr_inactive_file"); }
static unsigned long active(void) { return VM("nr_active_file"); }

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

static char *filled(unsigned long n, bool small)
{
	char *p = mmap(NULL, n * PG, RW, ANON, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (small)
		madvise(p, n * PG, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < n; i++)
		*(volatile unsigned long *)(p + i * PG) = i + 1;
	return p;
}

static bool there(char *p)
{
	unsigned char v = 0;

	return !mincore(p, PG, &v) && v & 1;
}

TEST(on_and_off)
{
	unsigned long freed = VM("pglazyfree");
	char *p = filled(64, true);

	REQUIRE(p);
	CHECK_EQ(inactive(), 0);
	CHECK_OK(madvise(p, 32 * PG, MADV_FREE));
	CHECK_EQ(inactive(), 32);
	CHECK_EQ(active(), 0);
	CHECK_EQ(VM("pglazyfree") - freed, 32);
	CHECK_EQ(field("/proc/meminfo", "Inactive(file)"), 128);
	CHECK_EQ(field("/proc/meminfo", "Inactive"), 128);
	CHECK_EQ(field("/proc/zoneinfo", "nr_inactive_file"), 32);
	CHECK_OK(madvise(p, 32 * PG, MADV_FREE)); /* again: still once on the list */
	CHECK_EQ(inactive(), 32);
	CHECK_EQ(checkers(), 0);
	munmap(p, 4 * PG);
	CHECK_EQ(inactive(), 28);
	CHECK_OK(madvise(p + 4 * PG, 4 * PG, MADV_DONTNEED));
	CHECK_EQ(inactive(), 24);
	CHECK(mremap(p + 8 * PG, 4 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	CHECK_EQ(inactive(), 24);
	CHECK_EQ(checkers(), 0);
	munmap(p, 4 * PG);
	CHECK_EXITS(0, {
		p[12 * PG] = 1; /* the child's copy: not the page */
		CHECK_EQ(inactive(), 20);
	});
	munmap(p + 12 * PG, 52 * PG);
	CHECK_EQ(inactive(), 0);
	CHECK_EQ(checkers(), 0);
}

TEST(pageout_takes_what_may_go)
{
	char *p = filled(16, true);

	REQUIRE(p);
	CHECK_OK(madvise(p, 8 * PG, MADV_FREE));
	*(volatile unsigned long *)(p + PG) = 77; /* wanted again */
	(void)*(volatile char *)(p + 2 * PG); /* read: may go */
	CHECK_OK(madvise(p, 16 * PG, ADV_PAGEOUT));
	CHECK(!there(p) && there(p + PG) && !there(p + 2 * PG) && !there(p + 7 * PG));
	for (int i = 8; i < 16; i++)
		CHECK(there(p + i * PG)); /* there is no swap */
	CHECK_EQ(*(unsigned long *)(p + PG), 77);
	CHECK_EQ(*(unsigned long *)p, 0);
	CHECK_EQ(*(unsigned long *)(p + 9 * PG), 10);
	CHECK_EQ(checkers(), 0);
	munmap(p, 16 * PG);
	CHECK_EQ(inactive(), 0);
}

/* Written by somebody else than a store of ours, which the CPU's dirty bit does not tell: kept all the same. */
TEST(written_from_outside)
{
	unsigned long v = 55;
	char *p = filled(4, true);
	struct iovec from = { &v, sizeof(v) }, to = { p + PG, sizeof(v) };

	REQUIRE(p);
	CHECK_OK(madvise(p, 4 * PG, MADV_FREE));
	CHECK_EQ(process_vm_writev(getpid(), &from, 1, &to, 1, 0), sizeof(v));
	CHECK_EQ(inactive(), 3);
	CHECK_OK(madvise(p, 4 * PG, ADV_PAGEOUT));
	CHECK(!there(p) && there(p + PG) && !there(p + 2 * PG));
	CHECK_EQ(*(volatile unsigned long *)(p + PG), 55);
	munmap(p, 4 * PG);
	CHECK_EQ(checkers(), 0);
}

TEST(huge_pages)
{
	unsigned long two = 2ul << 20, taken = VM("pglazyfreed");
	char *m = mmap(NULL, 3 * two, RW, ANON, -1, 0), *h;

	REQUIRE(m != MAP_FAILED);
	h = (char *)(((unsigned long)m + two - 1) & ~(two - 1));
	madvise(h, two, MADV_HUGEPAGE);
	memset(h, 5, two);
	if (field("/proc/meminfo", "AnonHugePages") == 0) {
		puts("no huge page was to be had");
		munmap(m, 3 * two);
		return;
	}
	CHECK_OK(madvise(h, two, MADV_FREE));
	CHECK_EQ(inactive(), 512);
	CHECK_OK(mprotect(h + 5 * PG, PG, PROT_READ)); /* split: each part is a member */
	CHECK_EQ(inactive(), 512);
	CHECK_EQ(checkers(), 0);
	munmap(h + 8 * PG, 8 * PG);
	CHECK_EQ(inactive(), 504);
	CHECK_OK(madvise(h, 4 * PG, ADV_PAGEOUT));
	CHECK_EQ(inactive(), 500);
	munmap(m, 3 * two);
	CHECK_EQ(inactive(), 0);
	m = mmap(NULL, 3 * two, RW, ANON, -1, 0);
	h = (char *)(((unsigned long)m + two - 1) & ~(two - 1));
	madvise(h, two, MADV_HUGEPAGE);
	memset(h, 5, two);
	CHECK_OK(madvise(h, two, MADV_FREE));
	CHECK_OK(madvise(h, two, ADV_PAGEOUT)); /* as a whole */
	CHECK_EQ(inactive(), 0);
	CHECK_EQ(VM("pglazyfreed") - taken, 516);
	CHECK_EQ(h[two - 1], 0);
	munmap(m, 3 * two);
	CHECK_EQ(checkers(), 0);
}

/* Moved pages stay members. */
TEST(compaction_keeps_them)
{
	unsigned long n = 100ul << 8, moved = VM("pgmigrate_success"), listed;
	char *p = filled(n, true);

	REQUIRE(p);
	for (unsigned long i = 0; i < n; i++)
		if (i % 8)
			madvise(p + i * PG, PG, MADV_DONTNEED);
	CHECK_OK(madvise(p, n * PG, MADV_FREE));
	listed = inactive();
	CHECK_EQ(listed, n / 8);
	CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "1"), 0);
	CHECK_GT(VM("pgmigrate_success"), moved);
	CHECK_EQ(inactive() + active(), listed);
	CHECK_EQ(checkers(), 0);
	for (unsigned long i = 0; i < n; i += 8)
		CHECK_EQ(*(unsigned long *)(p + i * PG), i + 1);
	munmap(p, n * PG);
	CHECK_EQ(inactive() + active(), 0);
}

static void hog(void)
{
	write_file("/proc/self/oom_score_adj", "1000");
	for (;;)
		memset(mmap(NULL, 16 << 20, RW, ANON | MAP_NORESERVE, -1, 0), 1, 16 << 20);
}

/* Under pressure the unused go, the written and the locked stay. */
TEST(reclaim)
{
	unsigned long n = 48ul << 8, stolen = VM("pgsteal_direct"), gone = 0;
	char *p = filled(n, true), *locked = filled(256, true);
	pid_t child;

	REQUIRE(p && locked);
	CHECK_OK(madvise(p, n * PG, MADV_DONTFORK));
	CHECK_OK(madvise(locked, 256 * PG, MADV_DONTFORK));
	CHECK_OK(madvise(p, n * PG, MADV_FREE));
	CHECK_OK(madvise(locked, 256 * PG, MADV_FREE));
	CHECK_OK(mlock(locked, 256 * PG));
	for (unsigned long i = 0; i < n; i += 16)
		*(volatile unsigned long *)(p + i * PG) = ~i;
	write_file("/proc/self/oom_score_adj", "-1000");
	child = fork();
	if (!child)
		hog();
	CHECK_EQ(waitpid(child, NULL, 0), child);
	write_file("/proc/self/oom_score_adj", "0");
	for (unsigned long i = 0; i < n; i++) {
		bool here = there(p + i * PG);

		gone += !here;
		if (i % 16 == 0)
			CHECK_EQ(*(unsigned long *)(p + i * PG), ~i);
		else
			CHECK_EQ(*(unsigned long *)(p + i * PG), here ? i + 1 : 0);
	}
	printf("%lu of %lu pages went; %lu scanned, %lu activated\n", gone, n, VM("pgscan_direct"), VM("pgactivate"));
	CHECK_GE(gone, n - n / 16 - 64);
	CHECK_GE(VM("pgsteal_direct") - stolen, gone);
	for (unsigned long i = 0; i < 256; i++)
		CHECK_EQ(*(unsigned long *)(locked + i * PG), i + 1);
	CHECK_EQ(checkers(), 0);
	munmap(p, n * PG);
	munmap(locked, 256 * PG);
	CHECK_EQ(inactive() + active(), 0);
}

static atomic_bool stop;
static unsigned long wrong[4];

/* Gives memory back and takes it again, while others do and memory is short. */
static void *churn(void *arg)
{
	unsigned long me = (unsigned long)arg, n = 64, seed = me * 7919 + 1, turns = 0;
	char *p = filled(n, true);

	while (p && !stop) {
		unsigned long i = (seed = seed * 6364136223846793005ul + 1442695040888963407ul) >> 33, at = i % n;

		if (!(++turns & 31))
			usleep(1000); /* the hog is to get on */
		if (i & 0x10000) {
			madvise(p + at * PG, (1 + i / 512 % 32) * PG > (n - at) * PG ? PG : (1 + i / 512 % 32) * PG, MADV_FREE);
		} else if (i & 0x20000) {
			madvise(p + at * PG, PG, ADV_PAGEOUT);
		} else {
			unsigned long v = *(volatile unsigned long *)(p + at * PG);

			wrong[me] += v && v != at + 1;
			*(volatile unsigned long *)(p + at * PG) = at + 1;
			wrong[me] += *(volatile unsigned long *)(p + at * PG) != at + 1;
		}
	}
	if (p)
		munmap(p, n * PG);
	return NULL;
}

TEST(churn_under_pressure)
{
	pthread_t t[4];
	pid_t child;

	write_file("/proc/self/oom_score_adj", "-1000");
	for (unsigned long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, churn, (void *)i);
	{
		child = fork();
		if (!child)
			hog();
		CHECK_EQ(waitpid(child, NULL, 0), child);
		CHECK_EQ(checkers(), 0);
	}
	stop = true;
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(wrong[i], 0);
	}
	write_file("/proc/self/oom_score_adj", "0");
	CHECK_EQ(inactive() + active(), 0);
	CHECK_EQ(checkers(), 0);
}

TEST_MAIN
