// BOOT: --smp 4 --memory 1G
/*
 * The text files about memory have the shape programs read (vmstat, slabtop, numastat and their like parse by these words and columns), and
 * their numbers agree with each other.
 */
#include "check.h"

#include <ctype.h>

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
		"nr_free_pages", "numa_hit", "pagesets", "cpu: 0", "count:", "high:", "batch:", "cpu: 3", "vm stats threshold:",
		"node_unreclaimable:", "start_pfn:", NULL };
	unsigned long managed = 0, high = 0, count = 0, x;
	char *at = read_file("/proc/zoneinfo"), *line, name[32];
	int node, cpus = 0, zones = 0, w = -1;

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
		if (sscanf(line, "count: %lu", &count) == 1)
			continue;
		if (sscanf(line, "high: %lu", &high) == 1)
			CHECK(count <= high);
		if (sscanf(line, "batch: %lu", &x) == 1)
			CHECK(x >= 1 && (high == 0 || x <= high));
	}
	CHECK(!words[w]);
	CHECK(zones >= 2);
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
		"nr_dirty", "nr_writeback", "nr_mlock", "numa_hit", "numa_local", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfree", "pgfault",
		"pgmajfault", "pgmigrate_success", "compact_stall", "thp_fault_alloc", "slabs_scanned", "allocstall_normal", "oom_kill" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		number("/proc/vmstat", names[i]);
	CHECK_EQ(number("/proc/vmstat", "nr_slab_reclaimable") * 4, number("/proc/meminfo", "SReclaimable"));
	CHECK(isdigit(text[strcspn(text, ":") + 1 + strspn(text + strcspn(text, ":") + 1, " ")]));
}

TEST_MAIN
