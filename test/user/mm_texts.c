// BOOT: --smp 4 --memory 1G
/*
 * The text files about memory have the shape programs read (vmstat, slabtop, numastat and their like parse by these words and columns), and
 * their numbers agree with each other.
 */
#include "check.h"

#include <ctype.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static char text[1 << 18];

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	CHECK(f && n);
	text[n] = 0;
	if (f)
		fclose(f);
	return text;
}

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static unsigned long number(const char *path, const char *name)
{
	char *at = read_file(path);
	size_t n = strlen(name);

	for (; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (!strncmp(at, name, n) && (at[n] == ' ' || at[n] == ':'))
			return strtoul(at + n + 1, NULL, 10);
	printf("%s has no %s\n", path, name);
	CHECK(!"a name is missing");
	return 0;
}

TEST(zoneinfo)
{
	static const char *const words[] = { "pages free", "boost", "min", "low", "high", "spanned", "present", "managed", "cma", "protection:",
		"nr_free_pages", "pagesets", "cpu: 0", "count:", "high:", "batch:", "cpu: 3", "vm stats threshold:",
		"node_unreclaimable:", "start_pfn:", NULL };
	unsigned long managed = 0, high = 0, count = 0, x;
	char *at = read_file("/proc/zoneinfo"), *line, name[32];
	int node, cpus = 0, zones = 0, w = -1, numa = 0;

	for (line = strtok(at, "\n"); line; line = strtok(NULL, "\n")) {
		if (sscanf(line, "Node %d, zone %31s", &node, name) == 2) {
			CHECK(w < 0 || !words[w]);	/* all words of the zone before, in order */
			w = 0;
			zones++;
			CHECK(zones != 1 || !strcmp(name, "DMA"));
			continue;
		}
		for (line += strspn(line, " "); w >= 0 && words[w] && !strncmp(line, words[w], strlen(words[w])); )
			w++;
		if (sscanf(line, "managed %lu", &x) == 1)
			managed += x;
		cpus += !strncmp(line, "cpu: ", 5);
		numa += !strncmp(line, "numa_hit ", 9);
		if (sscanf(line, "count: %lu", &count) == 1)
			continue;
		if (sscanf(line, "high: %lu", &high) == 1)
			CHECK(count <= high);
		if (sscanf(line, "batch: %lu", &x) == 1)
			CHECK(x >= 1 && (high == 0 || x <= high));
	}
	CHECK(!words[w]);
	CHECK(zones >= 2);
	CHECK_EQ(numa, 1); /* a node's number stands with the node, not with each of its zones */
	CHECK_EQ(cpus, 4 * zones);
	CHECK_EQ(managed * 4, number("/proc/meminfo", "MemTotal"));
}

/* Eleven columns of blocks; the pages they hold, and those on the CPUs' lists, are the free ones. */
TEST(buddyinfo_and_pagetypeinfo)
{
	unsigned long free, buddy = 0, types = 0, n[11], listed = 0, x;
	char *line, kind[32];
	int node;

	for (line = strtok(read_file("/proc/zoneinfo"), "\n"); line; line = strtok(NULL, "\n"))
		if (sscanf(line, " count: %lu", &x) == 1)
			listed += x;
	for (line = strtok(read_file("/proc/buddyinfo"), "\n"); line; line = strtok(NULL, "\n")) {
		CHECK_EQ(sscanf(line, "Node %d, zone %31s %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu", &node, kind, n, n + 1, n + 2, n + 3, n + 4,
				n + 5, n + 6, n + 7, n + 8, n + 9, n + 10), 13);
		for (int o = 0; o < 11; o++)
			buddy += n[o] << o;
	}
	free = number("/proc/meminfo", "MemFree") / 4;
	CHECK(buddy + listed < free + 2048 && free < buddy + listed + 2048);
	read_file("/proc/pagetypeinfo");
	CHECK(begins(text, "Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at order       0 "));
	CHECK(strstr(text, "\nNumber of blocks type     Unmovable      Movable  Reclaimable "));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		types += sscanf(line, "Node %d, zone %*[^,], type %31s %lu", &node, kind, &x) == 3;
	CHECK(types >= 8);
}

TEST(slabinfo)
{
	unsigned long active, total, size, per, pages, slabs, all, pages_all = 0, seen = 0;
	char *line, name[64];

	line = strtok(read_file("/proc/slabinfo"), "\n");
	CHECK_STR(line, "slabinfo - version: 2.1");
	line = strtok(NULL, "\n");
	CHECK(line && begins(line, "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables "));
	while ((line = strtok(NULL, "\n"))) {
		CHECK_EQ(sscanf(line, "%63s %lu %lu %lu %lu %lu : tunables %*u %*u %*u : slabdata %lu %lu %*u", name, &active, &total, &size, &per, &pages,
				&slabs, &all), 8);
		CHECK(active <= total && total == all * per && slabs <= all && size * per <= pages * 4096);
		pages_all += all * pages;
		seen += !strcmp(name, "dentry") || !strcmp(name, "kmalloc-64") || !strcmp(name, "task_struct");
	}
	CHECK_EQ(seen, 3);
	size = number("/proc/meminfo", "Slab") / 4;
	CHECK(pages_all < size + 64 && size < pages_all + 64);
}

TEST(vmallocinfo)
{
	unsigned long from, to, len;
	char *line;
	int lines = 0;

	for (line = strtok(read_file("/proc/vmallocinfo"), "\n"); line; line = strtok(NULL, "\n"), lines++) {
		CHECK_EQ(sscanf(line, "0x%lx-0x%lx %lu ", &from, &to, &len), 3);
		CHECK(from < to && (len == to - from || strstr(line, "kernel stacks")));
	}
	CHECK(lines > 1);
}

TEST(vmstat_names)
{
	static const char *const names[] = { "nr_free_pages", "nr_page_table_pages", "nr_kernel_stack", "nr_slab_reclaimable", "nr_slab_unreclaimable",
		"nr_dirty", "nr_writeback", "nr_mlock", "nr_unevictable", "nr_anon_pages", "nr_mapped", "nr_file_pages", "nr_shmem", "numa_hit", "numa_local", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_dma",
		"pgalloc_dma32", "pgalloc_normal", "pgalloc_movable", "pgfree", "pgfault",
		"pgmajfault", "pgmigrate_success", "compact_stall", "thp_fault_alloc", "slabs_scanned", "allocstall_normal", "oom_kill" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		number("/proc/vmstat", names[i]);
	CHECK_EQ(number("/proc/vmstat", "nr_slab_reclaimable") * 4, number("/proc/meminfo", "SReclaimable"));
	CHECK(isdigit(text[strcspn(text, ":") + 1 + strspn(text + strcspn(text, ":") + 1, " ")]));
}

static unsigned long vmstat(const char *name)
{
	return number("/proc/vmstat", name);
}

static unsigned long pages_taken(void)
{
	return vmstat("pgalloc_dma") + vmstat("pgalloc_dma32") + vmstat("pgalloc_normal") + vmstat("pgalloc_movable");
}

/* @now is @then plus what was done, and a little of what others did. */
static void moved(const char *what, unsigned long then, unsigned long now, unsigned long by)
{
	if (now + 64 < then + by || now > then + by + 512)
		printf("%s went from %lu to %lu, not by %lu\n", what, then, now, by);
	CHECK(now + 64 >= then + by && now <= then + by + 512);
}

#define N 8192ul /* pages of each kind */

TEST(vmstat_counts_what_happens)
{
	unsigned long anon = vmstat("nr_anon_pages"), file = vmstat("nr_file_pages"), shmem = vmstat("nr_shmem"), mapped = vmstat("nr_mapped");
	unsigned long lock = vmstat("nr_mlock"), unevictable = vmstat("nr_unevictable"), taken = pages_taken(), freed = vmstat("pgfree");
	unsigned long faults = vmstat("pgfault"), tables = vmstat("nr_page_table_pages");
	char *a = mmap(NULL, N << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *m;
	int fd = memfd_create("texts", 0);

	REQUIRE(a != MAP_FAILED && fd >= 0);
	CHECK_OK(madvise(a, N << 12, MADV_NOHUGEPAGE));
	CHECK_OK(ftruncate(fd, N << 12));
	m = mmap(NULL, N << 12, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(m != MAP_FAILED);
	for (unsigned long i = 0; i < N; i++)
		a[i << 12] = m[i << 12] = 1;
	moved("nr_anon_pages", anon, vmstat("nr_anon_pages"), N);
	moved("nr_file_pages", file, vmstat("nr_file_pages"), N);
	moved("nr_shmem", shmem, vmstat("nr_shmem"), N);
	moved("nr_mapped", mapped, vmstat("nr_mapped"), N);
	moved("nr_unevictable", unevictable, vmstat("nr_unevictable"), 2 * N);
	moved("nr_page_table_pages", tables, vmstat("nr_page_table_pages"), 2 * N / 512);
	CHECK(pages_taken() > taken + N); /* what lists of the CPUs and the idle loop's zeroed pages had apart */
	CHECK(vmstat("pgfault") > faults + N);
	CHECK_OK(mlock(a, 1 << 20));
	moved("nr_mlock", lock, vmstat("nr_mlock"), 256);
	munmap(a, N << 12);
	munmap(m, N << 12);
	close(fd);
	CHECK(vmstat("pgfree") > freed + N);
	moved("nr_anon_pages", anon, vmstat("nr_anon_pages"), 0);
	moved("nr_shmem", shmem, vmstat("nr_shmem"), 0);
}

TEST(status_of_a_process)
{
	union sigval v = { 0 };
	sigset_t set;

	CHECK_EQ(number("/proc/self/status", "CoreDumping"), 0);
	CHECK_EQ(number("/proc/self/status", "THP_enabled"), 1);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_EQ(number("/proc/self/status", "THP_enabled"), 0);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_EQ(number("/proc/self/status", "SigQ"), 0);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sigqueue(getpid(), SIGRTMIN, v));
	CHECK_EQ(number("/proc/self/status", "SigQ"), 3);
	while (sigtimedwait(&set, NULL, &(struct timespec){ 0 }) > 0)
		;
	CHECK_EQ(number("/proc/self/status", "SigQ"), 0);
}

TEST_MAIN
