// VARIANTS: musl
// BOOT: --smp 2 --memory 1G
// TIMEOUT: 60
/*
 * /proc/quoin/memmap, /proc/PID/pagetables and memview: what they say adds up to what /proc/meminfo and the process itself say, memory
 * that changes hands is seen to, and bad arguments are refused in words.
 */
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>

#define MIB 256l /* pages */
enum { FREE, PCP, ANON, FILEP, SLAB, TABLE, KERNEL, RESERVED, THP, POOL, NR };

static long sum[NR], zone_managed;
static int lines;

static bool load(void)
{
	FILE *f = fopen("/proc/quoin/memmap", "r");
	char line[512], zone[16];
	unsigned long n[NR], pfn, count, managed;
	int node, largest, ok = 0;

	memset(sum, 0, sizeof sum);
	zone_managed = lines = 0;
	while (f && fgets(line, sizeof line, f)) {
		ok |= !strcmp(line, "quoin-memmap 1\n");
		if (sscanf(line, "zone %d %15s %*x %*x %lu", &node, zone, &managed) == 3)
			zone_managed += managed;
		if (sscanf(line, "block %lx %lu %d %15s %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %d", &pfn, &count, &node, zone, n, n + 1, n + 2,
			   n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, &largest) != 15)
			continue;
		lines++;
		for (int k = 0; k < NR; k++) {
			if (n[k] > 512)
				return false;
			sum[k] += n[k] * count;
		}
	}
	if (f)
		fclose(f);
	return ok && lines;
}

static long meminfo(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			n = atol(line + strlen(key) + 1) / 4;
	if (f)
		fclose(f);
	return n;
}

static bool near(long a, long b, long pages)
{
	if (a - b <= pages && b - a <= pages)
		return true;
	printf("  %ld and %ld differ by more than %ld pages\n", a, b, pages);
	return false;
}

TEST(adds_up)
{
	long all = 0;

	REQUIRE(load());
	for (int k = 0; k < NR; k++)
		all += k == RESERVED ? 0 : sum[k];
	CHECK(near(all, meminfo("MemTotal"), 32 * MIB)); /* the image and boot memory are in the one, not in the other */
	CHECK_EQ(zone_managed, meminfo("MemTotal"));
	CHECK(near(sum[FREE] + sum[PCP], meminfo("MemFree"), 2 * MIB));
	CHECK(near(sum[SLAB], meminfo("Slab"), 1 * MIB));
	CHECK(near(sum[TABLE], meminfo("PageTables"), 1 * MIB));
	CHECK(near(sum[FILEP], meminfo("Cached"), 1 * MIB));
	CHECK_EQ(sum[THP], meminfo("AnonHugePages"));
	CHECK_EQ(sum[POOL], meminfo("Hugetlb"));
}

TEST(changes_are_seen)
{
	char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *a;
	long before[NR];
	int fd;

	REQUIRE(p != MAP_FAILED && load());
	memcpy(before, sum, sizeof before);
	a = (char *)(((long)p + (2 << 20) - 1) & ~((2l << 20) - 1));
	for (int i = 0; i < 8; i++)
		a[i << 21] = 1;
	CHECK(load());
	CHECK_EQ(sum[THP] - before[THP], 8 * 512);
	CHECK_OK(madvise(a + (16 << 20), 8 << 20, MADV_NOHUGEPAGE));
	for (int i = 0; i < 2048; i++)
		a[(16 << 20) + i * 4096] = 1;
	CHECK(load());
	CHECK(near(sum[ANON] - before[ANON], 2048, 64));
	munmap(p, 64 << 20);
	fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	CHECK_EQ(write(fd, "5", 1), 1);
	CHECK(load());
	CHECK_EQ(sum[POOL], 5 * 512);
	CHECK_EQ(write(fd, "0", 1), 1);
	close(fd);
}

static bool page_tables(unsigned long addr, char *kind, char *flags, unsigned long *count)
{
	FILE *f = fopen("/proc/self/pagetables", "r");
	char line[256], k[8], fl[16];
	unsigned long a, b, n;
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f))
		if (sscanf(line, " %7s %lx-%lx %15s %lu", k, &a, &b, fl, &n) == 5 && k[0] != 'L' && a <= addr && addr < b) {
			strcpy(kind, k);
			strcpy(flags, fl);
			*count = n;
			found = true;
		}
	if (f)
		fclose(f);
	return found;
}

TEST(tables_of_a_process)
{
	char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *a, kind[8], flags[16];
	unsigned long n;

	REQUIRE(p != MAP_FAILED);
	a = (char *)(((long)p + (2 << 20) - 1) & ~((2l << 20) - 1));
	*a = 1;
	REQUIRE(page_tables((unsigned long)a, kind, flags, &n));
	CHECK(!strcmp(kind, "2M") && n == 1 && flags[0] == 'r' && flags[1] == 'w' && flags[2] == '-' && flags[5] == 'D');
	CHECK_OK(mprotect(a + 4096, 8192, PROT_READ));
	REQUIRE(page_tables((unsigned long)a + 4096, kind, flags, &n));
	CHECK(!strcmp(kind, "4k") && n == 2 && flags[0] == 'r' && flags[1] == '-');
	CHECK_OK(mprotect(a, 4096, PROT_NONE));
	REQUIRE(page_tables((unsigned long)a, kind, flags, &n));
	CHECK(n == 1 && flags[0] == '-' && flags[7] == 'n');
	munmap(p, 8 << 20);
	CHECK(!page_tables((unsigned long)a, kind, flags, &n));
}

static int run(const char *command, char *out, size_t size)
{
	FILE *f = popen(command, "r");
	size_t n = 0, k;

	if (!f)
		return -1;
	while ((k = fread(out + n, 1, size - 1 - n, f)) > 0)
		n += k;
	out[n] = 0;
	return WEXITSTATUS(pclose(f));
}

TEST(program)
{
	static char out[1 << 18];
	char total[16];
	long kb[NR];

	CHECK_EQ(run("memview --once", out, sizeof out), 0);
	REQUIRE(strstr(out, "\ntotal"));
	CHECK_EQ(sscanf(strstr(out, "\ntotal"), " %15s %ld %ld %ld %ld %ld %ld %ld %ld %ld %ld", total, kb, kb + 1, kb + 2, kb + 3, kb + 4, kb + 5,
			kb + 6, kb + 7, kb + 8, kb + 9), 11);
	CHECK(near((kb[FREE] + kb[PCP]) / 4, meminfo("MemFree"), 4 * MIB));
	CHECK(strstr(out, "node 0 zone"));
	CHECK_EQ(run("memview --pid 1", out, sizeof out), 0);
	CHECK(strstr(out, "levels ") && strstr(out, "  4k "));
	CHECK_EQ(run("memview --help", out, sizeof out), 0);
	CHECK(strstr(out, "usage: memview"));
	CHECK_EQ(run("memview --interval never 2>&1", out, sizeof out), 2);
	CHECK(strstr(out, "--interval: never"));
	CHECK_EQ(run("memview --pid 99999999 2>&1", out, sizeof out), 2);
	CHECK_EQ(run("memview --pid 30000 2>&1", out, sizeof out), 1);
	CHECK(strstr(out, "/proc/30000/pagetables"));
	CHECK_EQ(run("memview extra 2>&1", out, sizeof out), 2);
	/* two pictures */
	CHECK_EQ(run("(sleep 0.5) | timeout 1 memview --interval 0.2 </dev/null; true", out, sizeof out), 0);
	CHECK(strstr(out, "is 2 MiB; q quits") && strstr(out, "\033[38;2;48;48;48m"));
	CHECK(strstr(out, "free by size"));
	CHECK_EQ(run("(sleep 0.5) | timeout 1 memview --pid 1 --live --interval 0.2 </dev/null; true", out, sizeof out), 0);
	CHECK(strstr(out, "page tables of 1: tables L4 1 ") && strstr(out, "\033[38;2;255;95;95m"));
}

TEST_MAIN
