// BOOT: --smp 4 --memory 640M
// TIMEOUT: 90
/*
 * Moving pages under a running program: memory is torn into single pages, compaction makes large blocks of it again, and meanwhile
 * threads write, a child shares pages copy-on-write, a shared mapping and its file are written by two ways. No byte may be lost.
 */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#define PG 4096ul
#define SPREAD 8ul	/* one page in so many stays */

static unsigned long vmstat(const char *name)
{
	char line[128];
	unsigned long v = 0;
	FILE *f = fopen("/proc/vmstat", "r");
	size_t n = strlen(name);

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ' ')
			v = strtoul(line + n, NULL, 10);
	if (f)
		fclose(f);
	return v;
}

/* Pages in free blocks of 2 MiB and more. */
static unsigned long large_free(void)
{
	char line[256];
	unsigned long pages = 0;
	FILE *f = fopen("/proc/buddyinfo", "r");

	while (f && fgets(line, sizeof(line), f)) {
		char *p = strstr(line, "zone");
		int order = 0;

		p = p ? strtok(p, " ") : NULL;
		strtok(NULL, " ");
		while ((p = strtok(NULL, " \n"))) {
			if (order >= 9)
				pages += strtoul(p, NULL, 10) << order;
			order++;
		}
	}
	if (f)
		fclose(f);
	return pages;
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

static unsigned long check_result(void)
{
	FILE *f;
	unsigned long bad = ~0ul;

	write_file("/proc/sys/vm/check", "1");
	f = fopen("/proc/sys/vm/check", "r");
	if (f && fscanf(f, "%lu", &bad) != 1)
		bad = ~0ul;
	if (f)
		fclose(f);
	return bad;
}

/* Anonymous small pages of which only every eighth stays, marked. */
static unsigned long *torn(unsigned long npages)
{
	char *p = mmap(NULL, npages * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, npages * PG, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < npages; i++)
		*(unsigned long *)(p + i * PG) = i * 0x9e3779b97f4a7c15ul;
	for (unsigned long i = 0; i < npages; i++)
		if (i % SPREAD)
			madvise(p + i * PG, PG, MADV_DONTNEED);
	return (unsigned long *)p;
}

static unsigned long torn_wrong(unsigned long *p, unsigned long npages)
{
	unsigned long bad = 0;

	for (unsigned long i = 0; i < npages; i += SPREAD)
		bad += p[i * PG / 8] != i * 0x9e3779b97f4a7c15ul;
	return bad;
}

TEST(compact_makes_large_blocks)
{
	unsigned long n = 300ul << 8, before, after, moved;
	unsigned long *p = torn(n);

	REQUIRE(p != NULL);
	before = large_free();
	moved = vmstat("pgmigrate_success");
	CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "1"), 0);
	after = large_free();
	printf("pages in blocks of 2 MiB: %lu before, %lu after; %lu moved\n", before, after,
	       vmstat("pgmigrate_success") - moved);
	/* 300 MiB less an eighth; half of that is certain */
	CHECK(after > before + n / 2);
	CHECK(vmstat("pgmigrate_success") - moved > n / SPREAD / 2);
	CHECK_EQ(torn_wrong(p, n), 0);
	CHECK_EQ(check_result(), 0);
	munmap(p, n * PG);
}

TEST(compact_memory_errors)
{
	CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "2"), -EINVAL);
	CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "x"), -EINVAL);
}

#define NTHREADS 3
#define WPAGES 512ul
static volatile bool stop;
static char *area;	/* private, written by threads */
static char *shared;	/* a file's, written through the mapping and through the file */
static int fd;

struct writer {
	int me;
	unsigned long rounds, wrong;
};

static void *writer(void *arg)
{
	struct writer *w = arg;
	unsigned long last[WPAGES / NTHREADS + 1] = { 0 }, r = 0;

	while (!stop) {
		r++;
		for (unsigned long k = 0, i = w->me; i < WPAGES; i += NTHREADS, k++) {
			volatile unsigned long *a = (void *)(area + i * PG + 8 * w->me);
			volatile unsigned long *s = (void *)(shared + i * PG + 8 * w->me);
			unsigned long back = 0;

			w->wrong += *a != last[k] || *s != last[k];
			*a = *s = last[k] = r << 16 | i;
			if (i % 7 == 0) {
				if (pread(fd, &back, 8, i * PG + 8 * w->me) != 8 || back != last[k])
					w->wrong++;
				last[k]++;
				*a = last[k];
				if (pwrite(fd, &last[k], 8, i * PG + 8 * w->me) != 8 || *s != last[k])
					w->wrong++;
			}
		}
	}
	w->rounds = r;
	return NULL;
}

TEST(compact_under_writers)
{
	unsigned long n = 200ul << 8, moved = vmstat("pgmigrate_success"), sum = 0;
	struct writer w[NTHREADS] = { 0 };
	pthread_t t[NTHREADS];
	unsigned long *p;
	pid_t child;
	int status = 0, pipefd[2];

	fd = open("/tmp/compact", O_RDWR | O_CREAT | O_TRUNC, 0600);
	REQUIRE(fd >= 0);
	CHECK_EQ(ftruncate(fd, WPAGES * PG), 0);
	area = mmap(NULL, WPAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, WPAGES * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(area != MAP_FAILED && shared != MAP_FAILED);
	madvise(area, WPAGES * PG, MADV_NOHUGEPAGE);
	p = torn(n);
	REQUIRE(p != NULL);
	CHECK_EQ(pipe(pipefd), 0);
	child = fork();
	if (!child) {
		/* shares every torn page, and writes half of them while they move */
		unsigned long bad = 0;
		char c;

		for (int r = 0; r < 20; r++) {
			bad += torn_wrong(p, n);
			for (unsigned long i = r % 10 * SPREAD; i < n; i += 10 * SPREAD)
				*(volatile unsigned long *)&p[i * PG / 8 + 1] = r;
		}
		if (read(pipefd[0], &c, 1) != 1)
			bad++;
		bad += torn_wrong(p, n);
		_exit(bad != 0);
	}
	for (int i = 0; i < NTHREADS; i++) {
		w[i].me = i;
		pthread_create(&t[i], NULL, writer, &w[i]);
	}
	for (int r = 0; r < 6; r++) {
		CHECK_EQ(write_file("/proc/sys/vm/compact_memory", "1"), 0);
		for (unsigned long i = 0; i < n; i += 64 * SPREAD)	/* tear again */
			madvise((char *)p + (i + 1) * PG, PG * (SPREAD - 1), MADV_DONTNEED);
		for (unsigned long i = 1; i < n; i += 3)
			if (i % SPREAD)
				((volatile unsigned long *)p)[i * PG / 8] = 1;
		for (unsigned long i = 1; i < n; i++)
			if (i % SPREAD)
				madvise((char *)p + i * PG, PG, MADV_DONTNEED);
	}
	CHECK_EQ(write(pipefd[1], "x", 1), 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	stop = true;
	for (int i = 0; i < NTHREADS; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(w[i].wrong, 0);
		CHECK(w[i].rounds > 0);
		sum += w[i].rounds;
	}
	printf("%lu rounds of writers, %lu pages moved, %lu attempts failed\n", sum, vmstat("pgmigrate_success") - moved,
	       vmstat("pgmigrate_fail"));
	CHECK_EQ(torn_wrong(p, n), 0);
	CHECK_EQ(check_result(), 0);
	munmap(p, n * PG);
	munmap(area, WPAGES * PG);
	munmap(shared, WPAGES * PG);
	close(fd);
	unlink("/tmp/compact");
}

/* MADV_HUGEPAGE faults compact when no huge page is free. */
TEST(compact_for_a_huge_page)
{
	unsigned long n = 0, stall = vmstat("compact_stall"), *p;
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128], *h;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	n = n / 4 * 97 / 100 & ~511ul;
	p = torn(n);
	REQUIRE(p != NULL);
	h = mmap(NULL, 64ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(h != MAP_FAILED);
	madvise(h, 64ul << 20, MADV_HUGEPAGE);
	memset(h, 1, 64ul << 20);
	printf("%lu direct compactions, %lu gave a block\n", vmstat("compact_stall") - stall, vmstat("compact_success"));
	CHECK(vmstat("compact_stall") > stall);
	CHECK_EQ(torn_wrong(p, n), 0);
	munmap(p, n * PG);
	munmap(h, 64ul << 20);
	CHECK_EQ(check_result(), 0);
}

TEST_MAIN
