// BOOT: --smp 4 --memory 8G
// TIMEOUT: 60
/*
 * A big machine: after process 1 is there, threads on all CPUs make the page structs of the memory that was not used yet. All of
 * it is there then, each CPU did its share, and memory taken while they work is as good as any.
 */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>

static unsigned long meminfo(const char *name)
{
	char line[256], key[64];
	unsigned long v = 0, x;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^:]: %lu", key, &x) == 2 && !strcmp(key, name))
			v = x;
	if (f)
		fclose(f);
	return v;
}

/* Sum of the lines "word N" of zoneinfo. */
static unsigned long zones(const char *word)
{
	char line[256], key[64];
	unsigned long sum = 0, x;
	FILE *f = fopen("/proc/zoneinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %63s %lu", key, &x) == 2 && !strcmp(key, word))
			sum += x;
	if (f)
		fclose(f);
	return sum;
}

/* The kernel's line about it: sections of each CPU. */
static int shares(unsigned *sections, unsigned share[8])
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK), n = -1;
	char line[1024];
	ssize_t len;

	while ((len = read(fd, line, sizeof(line) - 1)) > 0) {
		char *at;

		line[len] = 0;
		if (!(at = strstr(line, "page structs of ")) || sscanf(at, "page structs of %u sections", sections) != 1)
			continue;
		at = strstr(at, "ms:");
		CHECK(at);
		n = 0;
		for (at += 3; n < 8 && sscanf(at, " %u", &share[n]) == 1; n++)
			at += 1 + strspn(at + 1, "0123456789");
	}
	close(fd);
	return n;
}

TEST(all_page_structs)
{
	unsigned sections = 0, share[8], sum = 0;
	char *p = mmap(NULL, 256ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int n;

	for (size_t i = 0; i < 256ul << 20; i += 4096)
		p[i] = 1;
	for (int i = 0; i < 300 && zones("deferred:"); i++)
		usleep(100000);
	CHECK_EQ(zones("deferred:"), 0);
	for (int i = 0; i < 20 && (n = shares(&sections, share)) < 0; i++)
		usleep(100000);
	CHECK_EQ(n, 4);
	for (int i = 0; i < n; i++) {
		printf("%u ", share[i]);
		CHECK(share[i] >= 2);
		sum += share[i];
	}
	printf("sections of %u\n", sections);
	CHECK_EQ(sum, sections);
	/* 2 MiB of structs for each 128 MiB */
	CHECK(meminfo("PageArray") >= 8192 / 128 * 2048);
	CHECK(meminfo("MemTotal") > 8000ul << 10);
	CHECK(meminfo("MemFree") > 7500ul << 10);
	CHECK_EQ(zones("managed"), meminfo("MemTotal") / 4);
	munmap(p, 256ul << 20);
}

/* What the buddies say they have can be had: all but a little, touched. */
TEST(memory_is_there)
{
	unsigned long free = meminfo("MemFree");
	size_t len = 1ul << 30;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *f = fopen("/proc/sys/vm/check", "r+");
	int bad = -1;

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
	CHECK(meminfo("MemFree") < free - (len >> 10) * 9 / 10);
	munmap(p, len);
	CHECK(f && fputs("1", f) >= 0 && !fflush(f));
	rewind(f);
	CHECK_EQ(fscanf(f, "%d", &bad), 1);
	CHECK_EQ(bad, 0);
	fclose(f);
}

TEST_MAIN
