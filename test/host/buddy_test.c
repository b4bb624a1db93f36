// SOURCES: mm/buddy.c
// CFLAGS: -DHOST_TEST -DDEBUG
/*
 * The buddy system against a model that knows the owner of every page: blocks handed out are
 * aligned, disjoint and inside the zone; everything comes back; the checker runs all the time.
 */
#include "check.h"
#include <mm/buddy.h>

enum { START = 37, END = 4000, MAXB = 5000, STEPS = 100000 };

static struct page map[ALIGN(END, 512)] __aligned(64);
static u8 mts[16];
static u64 sections[1] = { 1 };
static struct buddy b;
static const u64 home = 1ull << PG_ZONE_SHIFT | 3ull << PG_NODE_SHIFT;

struct block {
	u64 pfn, n;
};
static struct block blocks[MAXB];
static unsigned int nblocks;
static bool used[END];
static u64 nused;

static void report(const char *what, u64 pfn, u64 is, u64 should)
{
	printf("  pfn %llu: %s: is %llx, should be %llx\n", pfn, what, is, should);
}

static void fresh(void)
{
	memset(map, 0, sizeof(map));
	memset(used, 0, sizeof(used));
	memset(mts, MT_MOVABLE, sizeof(mts));
	nblocks = 0;
	nused = 0;
	buddy_init(&b, map, START, END, home, mts, sections);
	for (u64 i = START; i < END; i++)
		map[i].flags = home | (u64)PT_BOOT << PG_TYPE_SHIFT;
	buddy_free_range(&b, START, END);
}

/* Notes [pfn, pfn + n) as handed out; false when that is wrong. */
static bool note(u64 pfn, u64 n)
{
	if (pfn < START || pfn + n > END || nblocks == MAXB)
		return false;
	for (u64 i = pfn; i < pfn + n; i++) {
		if (used[i])
			return false;
		used[i] = true;
		map[i].flags = home | (u64)PT_ANON << PG_TYPE_SHIFT;
		map[i].refcount = 1;
	}
	nused += n;
	blocks[nblocks++] = (struct block){ pfn, n };
	return true;
}

static void give_back(unsigned int i)
{
	struct block x = blocks[i];

	blocks[i] = blocks[--nblocks];
	for (u64 k = x.pfn; k < x.pfn + x.n; k++) {
		used[k] = false;
		map[k].refcount = 0;
	}
	nused -= x.n;
	buddy_free_range(&b, x.pfn, x.pfn + x.n);
}

static void step_alloc(void)
{
	unsigned int order = (unsigned int)(check_rand_below(3) ? check_rand_below(4)
							       : check_rand_below(12));
	enum mobility mt = (enum mobility)check_rand_below(MT_HANDED_OUT);
	int largest = buddy_largest(&b);
	struct page *p = buddy_alloc(&b, order, mt);

	CHECK((p != NULL) == (largest >= (int)order));
	if (!p)
		return;
	CHECK(IS_ALIGNED((u64)(p - map), 1ull << order));
	CHECK_EQ(page_type(p), PT_KERNEL);
	CHECK_OR_RETURN(note((u64)(p - map), 1ull << order));
}

static void step_bulk(void)
{
	struct page *out[64];
	unsigned int n = 1 + (unsigned int)check_rand_below(64);
	u64 free_before = b.nr_free;
	unsigned int got = buddy_alloc_bulk(&b, (enum mobility)check_rand_below(3), out, n);

	CHECK_EQ(got, min((u64)n, free_before));
	for (unsigned int i = 0; i < got; i++)
		CHECK_OR_RETURN(note((u64)(out[i] - map), 1));
}

static void step_range(void)
{
	u64 pfn = START + check_rand_below(END - START), n = 1 + check_rand_below(80);
	bool all = pfn + n <= END;

	for (u64 i = pfn; i < min(pfn + n, (u64)END); i++)
		all = all && !used[i];
	if (pfn + n > END)
		return;
	CHECK_EQ(buddy_take_range(&b, pfn, n), all);
	if (all)
		CHECK_OR_RETURN(note(pfn, n));
}

static void step_kind(void)
{
	u64 pfn = START + check_rand_below(END - START), n = 0, first = pfn & ~511ull;
	/* Isolation is undone soon, so that memory does not run dry. */
	enum mobility mt = (enum mobility)check_rand_below(mts[0] == MT_ISOLATE ? 3 : 4);

	if (mt == MT_ISOLATE)
		first = 0;
	for (u64 i = max(first, (u64)START); i < min(first + 512, (u64)END); i++)
		n += !used[i];
	CHECK_EQ(buddy_set_mobility(&b, first, mt), n);
	if (mts[0] == MT_ISOLATE && check_rand_below(2))
		buddy_set_mobility(&b, 0, MT_MOVABLE);
}

static u64 isolated_free(void)
{
	u64 n = 0;

	for (unsigned int o = 0; o < NR_ORDERS; o++)
		n += b.nr_blocks[MT_ISOLATE][o] << o;
	return n;
}

static void test_random(void)
{
	fresh();
	for (int step = 0; step < STEPS; step++) {
		bool filling = step / 3000 % 2 == 0;
		u64 r = check_rand_below(100);

		if (mts[0] == MT_ISOLATE)
			buddy_set_mobility(&b, 0, MT_UNMOVABLE);
		if (r < (filling ? 48 : 30))
			step_alloc();
		else if (r < (filling ? 50 : 31))
			step_bulk();
		else if (r < 96)
			nblocks ? give_back((unsigned int)check_rand_below(nblocks)) : step_alloc();
		else if (r < 98)
			step_range();
		else
			step_kind();
		CHECK_EQ(b.nr_free + nused, END - START);
		CHECK(buddy_check_one(&b, report) == 0);
		CHECK_OR_RETURN(!check_failed_now);
	}
	while (nblocks)
		give_back(0);
	CHECK_EQ(buddy_check_one(&b, report), 0);
	CHECK_EQ(b.nr_free, END - START);
	CHECK_EQ(isolated_free(), 0);
}

/* What is freed page by page in any order merges to what it was. */
static void test_merges_fully(void)
{
	u64 before[NR_ORDERS];

	fresh();
	for (unsigned int o = 0; o < NR_ORDERS; o++)
		before[o] = buddy_blocks(&b, o);
	while (b.nr_free)
		step_alloc();
	while (nblocks)
		give_back((unsigned int)check_rand_below(nblocks));
	for (unsigned int o = 0; o < NR_ORDERS; o++)
		CHECK_EQ(buddy_blocks(&b, o), before[o]);
}

/* Unmovable pages collect: 100 of them do not spoil 100 pageblocks. */
static void test_mobility_groups(void)
{
	u64 spoiled = 0;

	fresh();
	for (int i = 0; i < 200; i++) {
		struct page *m = buddy_alloc(&b, 0, MT_MOVABLE), *u = buddy_alloc(&b, 0, MT_UNMOVABLE);

		note((u64)(m - map), 1);
		note((u64)(u - map), 1);
	}
	for (unsigned int i = 0; i < 8; i++)
		spoiled += mts[i] == MT_UNMOVABLE;
	CHECK_EQ(spoiled, 1);
}

/* Page structs of a section that is not there are never looked at. */
static void test_missing_section(void)
{
	static struct page two[2];
	static u8 kinds[130];
	u64 none[1] = { 2 };
	struct buddy big;
	/* The map is so placed that only the first page of section 1 exists. */
	struct page *base = (struct page *)((uintptr_t)two - SECTION_PAGES * sizeof(struct page));

	memset(kinds, MT_MOVABLE, sizeof(kinds));
	buddy_init(&big, base, 0, 3 * SECTION_PAGES, home, kinds, none);
	buddy_free(&big, SECTION_PAGES, SECTION_ORDER);
	CHECK_EQ(buddy_largest(&big), SECTION_ORDER);
}

int main(void)
{
	RUN(test_random);
	RUN(test_merges_fully);
	RUN(test_mobility_groups);
	RUN(test_missing_section);
	return check_done();
}
