// SOURCES: mm/movable.c kernel/lib/string.c
// CFLAGS: -DHOST_TEST -DDEBUG
/*
 * Which frames become Movable: every form of the words over machines of one to four nodes, each with its own memory.
 */
#include "check.h"
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/section.h>

static const char *kernelcore, *movablecore;
static bool movable_node;
static int said;

static const char *value(const char *word)
{
	return streq(word, "kernelcore") ? kernelcore : streq(word, "movablecore") ? movablecore : NULL;
}

int cmdline_get(const char *word, char *buf, size_t n)
{
	const char *v = value(word);

	return v ? (int)strscpy(buf, v, n) : -1;
}

bool cmdline_has(const char *word) { return streq(word, "movable_node") && movable_node; }

u64 cmdline_u64(const char *word, u64 otherwise)
{
	const char *v = value(word);

	return v ? strtoull(v, NULL, 0) << (strchr(v, 'M') ? 20 : strchr(v, 'G') ? 30 : 0) : otherwise;
}

void printk(int level __unused, const char *fmt __unused, ...) { said++; }

#define GIB ((1ull << 30) >> PAGE_SHIFT)

static u64 present[MAX_NODES], top[MAX_NODES];

/* Movable pages of the plan, where nodes have no holes; node n is the n-th GiBs. */
static u64 plan(const char *kernel, const char *movable, int nodes, const u64 *gib)
{
	u64 at = 0, sum = 0;

	kernelcore = kernel;
	movablecore = movable;
	said = 0;
	memset(present, 0, sizeof(present));
	memset(top, 0, sizeof(top));
	for (int n = 0; n < nodes; n++) {
		present[n] = gib[n] * GIB;
		at += present[n];
		top[n] = at;
	}
	for (int n = 0; n < MAX_NODES; n++)
		node_movable_start[n] = U64_MAX;
	if (!movable_plan(present, top))
		return 0;
	for (int n = 0; n < nodes; n++) {
		CHECK(node_movable_start[n] == U64_MAX || node_movable_start[n] % SECTION_PAGES == 0);
		CHECK(node_movable_start[n] >= DMA_END_PFN);
		if (node_movable_start[n] < top[n])
			sum += top[n] - node_movable_start[n];
	}
	return sum;
}

/* As many pages as said, but for rounding each node's boundary up to a section. */
static bool about(u64 pages, u64 want, int nodes)
{
	return pages <= want && pages + (u64)nodes * SECTION_PAGES >= want;
}

int main(void)
{
	const u64 one[] = { 4 }, four[] = { 2, 1, 4, 1 }, small[] = { 1 };

	CHECK_EQ(plan(NULL, NULL, 1, one), 0);
	CHECK(about(plan(NULL, "1G", 1, one), GIB, 1));
	CHECK(about(plan(NULL, "30%", 1, one), 4 * GIB * 30 / 100, 1));
	CHECK(about(plan("1G", NULL, 1, one), 3 * GIB, 1));
	CHECK(about(plan("25%", NULL, 1, one), 3 * GIB, 1));
	CHECK(about(plan("3G", "2G", 1, one), GIB, 1));		/* the larger kernel part */
	CHECK(about(plan("1G", "2G", 1, one), 2 * GIB, 1));
	CHECK_EQ(plan("100%", NULL, 1, one), 0);
	CHECK(about(plan(NULL, "100%", 1, one), 4 * GIB - 2 * SECTION_PAGES, 1));	/* two sections stay */
	CHECK(about(plan("1M", NULL, 1, small), GIB - 2 * SECTION_PAGES, 1));
	CHECK(about(plan(NULL, "4G", 4, four), 4 * GIB, 4));
	CHECK(node_movable_start[0] == GIB && node_movable_start[2] == 5 * GIB);	/* half of each node */
	CHECK_EQ(plan("mirror", NULL, 1, one), 0);
	CHECK_EQ(said, 1);
	CHECK_EQ(plan("1x%", NULL, 1, one), 0);
	CHECK_EQ(said, 1);
	CHECK_EQ(plan("99999999999999999999%", NULL, 1, one), 0);
	CHECK_EQ(said, 1);

	movable_node = true;		/* no hot-pluggable memory: nothing, and the sizes do not count */
	CHECK_EQ(plan(NULL, "1G", 4, four), 0);
	node_mark_hotplug(2, 6ull << 30);
	node_mark_hotplug(2, 4ull << 30);
	node_mark_hotplug(3, 7ull << 30);
	CHECK_EQ(plan(NULL, "1G", 4, four), 4 * GIB);	/* of node 2 the upper 3 GiB, node 3 whole */
	CHECK(node_movable_start[0] == U64_MAX && node_movable_start[2] == 4 * GIB && node_movable_start[3] == 7 * GIB);
	CHECK_EQ(said, 0);
	for (int n = 0; n < 3; n++)
		node_mark_hotplug(n, 0);
	CHECK_EQ(plan(NULL, NULL, 3, four), 0);	/* all of it: refused */
	CHECK_EQ(said, 1);
	printf(check_failed_now ? "FAIL\n" : "ok\n");
	return check_failed_now != 0;
}
