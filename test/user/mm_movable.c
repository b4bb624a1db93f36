// BOOT: --memory 1G --append movablecore=30%
// TIMEOUT: 30
/*
 * movablecore=30%: so much of the memory is zone Movable, programs' pages come from it first, the kernel's do not.
 */
#include "check.h"

#include <sys/mman.h>

/* A number of zone Movable in zoneinfo; sum: of all zones. */
static unsigned long zone_number(const char *word, bool all)
{
	char line[256], name[32] = "", key[64];
	unsigned long sum = 0, x;
	FILE *f = fopen("/proc/zoneinfo", "r");
	int node;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %31s", &node, name) == 2)
			continue;
		if (sscanf(line, "  pages %63s %lu", key, &x) != 2 && sscanf(line, " %63s %lu", key, &x) != 2)
			continue;
		if (!strcmp(key, word) && (all || !strcmp(name, "Movable")))
			sum += x;
	}
	if (f)
		fclose(f);
	return sum;
}

TEST(share_of_memory)
{
	unsigned long movable = zone_number("present", false), all = zone_number("present", true);

	/* rounded up to 128 MiB from 30 % below the top */
	CHECK(movable <= all * 30 / 100 && movable + 32768 >= all * 30 / 100);
	CHECK(zone_number("managed", false) <= movable);
}

TEST(users_memory_first)
{
	size_t len = 64ul << 20;
	unsigned long before = zone_number("free", false);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
	CHECK(zone_number("free", false) + (len >> 12) * 3 / 4 < before);
	munmap(p, len);
}

/* Page tables are the kernel's: those of many sparse pages do not come from Movable. */
TEST(kernels_memory_elsewhere)
{
	size_t len = 8ul << 30;
	unsigned long before = zone_number("free", false);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	madvise(p, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 2ul << 20)	/* one page and one table each: 4096 of both */
		p[i] = 1;
	CHECK(zone_number("free", false) + 4096 + 1024 > before);
	munmap(p, len);
}

TEST_MAIN
