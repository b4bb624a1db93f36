// BOOT: --smp 4 --memory 512M --numa 2
// TIMEOUT: 60
/*
 * Counters that other tests do not see move: interrupts merged, where pages came from when a node is full, huge pages that were not to be
 * had, what compaction took, kernel stacks. Each is made to move by what it counts, and by about as much.
 */
#include "fail.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define H (2ul << 20)

static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char line[128];
	long v = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ' ')
			v = atol(line + strlen(name));
	if (f)
		fclose(f);
	if (v < 0)
		printf("  /proc/vmstat has no %s\n", name);
	return v;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static char *anon(size_t pages)
{
	char *p = mmap(NULL, pages * P, RW, ANON, -1, 0);

	if (p != MAP_FAILED)
		madvise(p, pages * P, MADV_NOHUGEPAGE);
	return p;
}

/* ---- shootdowns ---- */

static atomic_bool over;

/* MADV_DONTNEED takes mm->lock for reading only: those of several threads are under way at once. */
static void *gives_back(void *arg)
{
	char *p = anon(8);

	pin((int)(long)arg);
	while (!over) {
		for (int i = 0; i < 8; i++)
			p[i * P] = 1;
		madvise(p, 8 * P, MADV_DONTNEED);
	}
	munmap(p, 8 * P);
	return NULL;
}

static void *runs(void *arg)
{
	pin((int)(long)arg);
	while (!over)
		__builtin_ia32_pause();
	return NULL;
}

TEST(interrupts_are_merged)
{
	long merged = vmstat("nr_tlb_ipis_merged"), sent = vmstat("nr_tlb_ipis_sent"), received = vmstat("nr_tlb_remote_flush_received");
	pthread_t t[3];

	over = false;
	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, i < 2 ? gives_back : runs, (void *)(i + 1));
	for (int ms = 0; ms < 10000 && (ms < 200 || vmstat("nr_tlb_ipis_merged") == merged); ms += 50)
		usleep(50000);
	over = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(vmstat("nr_tlb_ipis_merged") > merged);
	CHECK(vmstat("nr_tlb_ipis_sent") > sent);
	/* who was asked answered, whether by an interrupt of its own or not */
	CHECK(vmstat("nr_tlb_remote_flush_received") - received >=
	      (vmstat("nr_tlb_ipis_sent") - sent) + (vmstat("nr_tlb_ipis_merged") - merged) - 64);
}

/* ---- nodes ---- */

static long numastat(int node, const char *what)
{
	char path[64], word[32];
	long v = -1, x;
	FILE *f;

	snprintf(path, sizeof path, "/sys/devices/system/node/node%d/numastat", node);
	f = fopen(path, "r");
	while (f && fscanf(f, "%31s %ld", word, &x) == 2)
		if (!strcmp(word, what))
			v = x;
	if (f)
		fclose(f);
	return v;
}

/* CPUs 0 and 1 are of node 0; 280 MiB do not fit there. */
TEST(a_node_that_is_full)
{
	long miss = numastat(1, "numa_miss"), foreign = numastat(0, "numa_foreign"), other = numastat(1, "other_node");
	long hit = numastat(0, "numa_hit"), local = numastat(0, "local_node"), n = (280ul << 20) / P;
	char *p = anon(n);

	REQUIRE(p != MAP_FAILED && miss >= 0);
	pin(0);
	for (long i = 0; i < n; i++)
		p[i * P] = 1;
	CHECK(numastat(1, "numa_miss") - miss > 2000);
	CHECK(numastat(0, "numa_foreign") - foreign > 2000);
	CHECK(numastat(1, "other_node") - other > 2000);
	CHECK(numastat(0, "numa_hit") - hit > n / 2);
	CHECK(numastat(0, "local_node") - local > n / 2);
	munmap(p, n * P);
}

/* ---- huge pages ---- */

TEST(huge_pages)
{
	char *low = mmap(NULL, 6 * H, RW, ANON, -1, 0), *m = (char *)(((unsigned long)low + H - 1) & ~(H - 1));
	long there = vmstat("nr_anon_transparent_hugepages"), got = vmstat("thp_fault_alloc"), not = vmstat("thp_fault_fallback");

	REQUIRE(low != MAP_FAILED && fail_there());
	REQUIRE(put("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"));
	CHECK_OK(madvise(low, 6 * H, MADV_HUGEPAGE));
	for (int i = 0; i < 3; i++)
		m[i * H] = 1;
	CHECK_EQ(vmstat("nr_anon_transparent_hugepages") - there, 3);
	CHECK_EQ(vmstat("thp_fault_alloc") - got, 3);
	CHECK_EQ(vmstat("thp_fault_fallback") - not, 0);
	for (int n = 1; n < 8 && vmstat("thp_fault_fallback") == not; n++) {
		fail_arm(n, 1);
		m[3 * H] = 1;
		fail_disarm(0);
		madvise(m + 3 * H, H, MADV_DONTNEED);
	}
	CHECK_EQ(vmstat("thp_fault_fallback") - not, 1);
	munmap(low, 6 * H);
	CHECK_EQ(vmstat("nr_anon_transparent_hugepages"), there);
}

/* A tmpfs with less room than a huge page, and one whose huge page cannot be had. */
TEST(huge_pages_of_files)
{
	long room = vmstat("thp_file_fallback_charge"), not = vmstat("thp_file_fallback"), got = vmstat("thp_file_alloc");
	int fd;

	mkdir("/tmp/counters", 0700);
	REQUIRE(!mount("t", "/tmp/counters", "tmpfs", 0, "huge=always,size=1m"));
	fd = open("/tmp/counters/f", O_CREAT | O_RDWR, 0600);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(vmstat("thp_file_fallback_charge") - room, 1);
	close(fd);
	CHECK_OK(umount("/tmp/counters"));
	REQUIRE(!mount("t", "/tmp/counters", "tmpfs", 0, "huge=always"));
	for (int n = 1; n < 20 && vmstat("thp_file_fallback") == not; n++) {
		fd = open("/tmp/counters/f", O_CREAT | O_RDWR | O_TRUNC, 0600);
		fail_arm(n, 1);
		(void)!write(fd, "x", 1);
		fail_disarm(0);
		close(fd);
	}
	CHECK_EQ(vmstat("thp_file_fallback") - not, 1);
	CHECK(vmstat("thp_file_alloc") >= got);
	CHECK_OK(umount("/tmp/counters"));
}

/* ---- compaction ---- */

TEST(compaction)
{
	long seen = vmstat("compact_migrate_scanned"), took = vmstat("compact_isolated"), moved = vmstat("pgmigrate_success"), n = (64ul << 20) / P;
	char *p = anon(n);

	REQUIRE(p != MAP_FAILED);
	for (long i = 0; i < n; i++)
		p[i * P] = (char)i;
	for (long i = 0; i < n; i++)
		if (i % 8)
			madvise(p + i * P, P, MADV_DONTNEED);
	CHECK(put("/proc/sys/vm/compact_memory", "1"));
	seen = vmstat("compact_migrate_scanned") - seen, took = vmstat("compact_isolated") - took, moved = vmstat("pgmigrate_success") - moved;
	printf("  %ld looked at, %ld taken, %ld moved\n", seen, took, moved);
	CHECK(seen >= took && took >= moved && moved > n / 32);
	for (long i = 0; i < n; i += 8)
		if (p[i * P] != (char)i) {
			CHECK(!"the bytes are there");
			break;
		}
	munmap(p, n * P);
}

/* ---- kernel stacks ---- */

static void *waits(void *arg)
{
	(void)arg;
	while (!over)
		usleep(10000);
	return NULL;
}

TEST(kernel_stacks)
{
	long stacks = vmstat("nr_kernel_stack_pages"), kb = vmstat("nr_kernel_stack");
	pthread_attr_t small;
	pthread_t t[200];
	int n;

	over = false;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 32 << 10);
	for (n = 0; n < 200 && !pthread_create(&t[n], &small, waits, NULL); n++)
		;
	CHECK_EQ(n, 200);
	stacks = vmstat("nr_kernel_stack_pages") - stacks, kb = vmstat("nr_kernel_stack") - kb;
	over = true;
	while (n)
		pthread_join(t[--n], NULL);
	CHECK(stacks >= 100 * 4 && stacks <= 260 * 4); /* 16 KiB each; some were there, some are in store */
	CHECK_EQ(kb, stacks * 4);
}

TEST_MAIN
