// SOURCES: mm/buddy.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: mm/buddy.c: buddy_free_range(b, end < stop ? end : stop, stop); => (void)0;
// PLANT: mm/buddy.c: (mt == MT_ISOLATE) != (flags_mt(b->map[other].flags) == MT_ISOLATE) => false
// PLANT: mm/buddy.c: mark_inner(b, &b->map[pfn | (1ull << order)]); => (void)0;
// PLANT: mm/buddy.c: b->nr_free -= 1ull << keep; => b->nr_free -= 1;
// PLANT: mm/buddy.c: if (mt != MT_ISOLATE && is_free_block => if (0 && is_free_block
// PLANT: mm/buddy.c: buddy_free_range(b, head, at); => (void)0;
/*
 * The buddy system against a model that knows the owner of every page: blocks handed out are
 * aligned, disjoint and inside the zone; everything comes back; the checker runs all the time.
 */
#include "model.h"
#include <mm/buddy.h>

enum { START = 37, MAX_END = 4200, MAXB = MAX_END, NO_BLOCK = -1 };

static struct page map[ALIGN(MAX_END, 512)] __aligned(64);
static u8 mts[16];
static u64 sections[1] = { 1 };
static struct buddy b;
static const u64 home = 1ull << PG_ZONE_SHIFT | 3ull << PG_NODE_SHIFT;

struct block {
	u64 pfn, n;
};
static struct block blocks[MAXB];
static unsigned int nblocks;
static bool used[MAX_END];
static u64 nused, end;
static int isolated;		/* pageblock, or NO_BLOCK */
static bool filling;

static void report(const char *what, u64 pfn, u64 is, u64 should)
{
	printf("  pfn %llu: %s: is %llx, should be %llx\n", pfn, what, is, should);
}

static void fresh(u64 zone_end)
{
	end = zone_end;
	memset(map, 0, ALIGN(end, 512) * sizeof(map[0]));
	memset(used, 0, end);
	memset(mts, MT_MOVABLE, sizeof(mts));
	nblocks = 0;
	nused = 0;
	isolated = NO_BLOCK;
	filling = true;
	buddy_init(&b, map, START, end, home, mts, sections);
	for (u64 i = START; i < end; i++)
		map[i].flags = home | (u64)PT_BOOT << PG_TYPE_SHIFT;
	buddy_free_range(&b, START, end);
}

/* Notes [pfn, pfn + n) as handed out; false when that is wrong. */
static bool note(u64 pfn, u64 n)
{
	if (pfn < START || pfn + n > end || nblocks == MAXB)
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

static u64 unused_in(u64 from, u64 to)
{
	u64 n = 0;

	for (u64 i = max(from, (u64)START); i < min(to, end); i++)
		n += !used[i];
	return n;
}

static void alloc(unsigned int order, enum mobility mt)
{
	int largest = buddy_largest(&b);
	struct page *p = buddy_alloc(&b, order, mt);

	CHECK((p != NULL) == (largest >= (int)order));
	if (!p)
		return;
	CHECK(IS_ALIGNED((u64)(p - map), 1ull << order));
	CHECK_EQ(page_type(p), PT_KERNEL);
	CHECK_OR_RETURN(note((u64)(p - map), 1ull << order));
	if (isolated != NO_BLOCK)
		CHECK((int)((u64)(p - map) >> PAGEBLOCK_ORDER) != isolated);
}

static void step_alloc(void)
{
	unsigned int order = (unsigned int)choose(one_in(3) ? 12 : 4);

	alloc(order, (enum mobility)choose(MT_HANDED_OUT));
}

static void step_bulk(void)
{
	struct page *out[64];
	unsigned int n = 1 + (unsigned int)choose(64);
	u64 there = b.nr_free, base = (u64)isolated << PAGEBLOCK_ORDER;
	unsigned int got;

	if (isolated != NO_BLOCK)
		there -= unused_in(base, base + PAGEBLOCK_PAGES);
	got = buddy_alloc_bulk(&b, (enum mobility)choose(MT_HANDED_OUT), out, n);
	CHECK_EQ(got, min((u64)n, there));
	for (unsigned int i = 0; i < got; i++)
		CHECK_OR_RETURN(note((u64)(out[i] - map), 1));
}

static void step_free(void)
{
	if (nblocks)
		give_back((unsigned int)choose(nblocks));
	else
		step_alloc();
}

static void step_range(void)
{
	u64 pfn = START + choose(end - START), n = 1 + choose(80);
	bool all = pfn + n <= end;

	if (!all)
		return;
	for (u64 i = pfn; i < pfn + n; i++)
		all = all && !used[i];
	CHECK_EQ(buddy_take_range(&b, pfn, n), all);
	if (all)
		CHECK_OR_RETURN(note(pfn, n));
}

static void step_kind(void)
{
	u64 pfn = START + choose(end - START), first = pfn & ~(PAGEBLOCK_PAGES - 1);
	enum mobility mt = (enum mobility)choose(MT_NR);

	if (isolated != NO_BLOCK && one_in(3)) {
		buddy_set_mobility(&b, (u64)isolated << PAGEBLOCK_ORDER, mt % MT_HANDED_OUT);
		isolated = NO_BLOCK;
	}
	if (isolated != NO_BLOCK)
		return;
	CHECK_EQ(buddy_set_mobility(&b, first, mt), unused_in(first, first + PAGEBLOCK_PAGES));
	if (mt == MT_ISOLATE)
		isolated = (int)(pfn >> PAGEBLOCK_ORDER);
}

static void start(void)
{
	static const u64 ends[] = { 100, 600, 2100, MAX_END };

	fresh(ends[choose(ARRAY_SIZE(ends))]);
}

static void step(void)
{
	u64 r = choose(200);

	if (r < (filling ? 96 : 40))
		step_alloc();
	else if (r < (filling ? 100 : 41))
		step_bulk();
	else if (r < 190)
		step_free();
	else if (r < 194)
		step_range();
	else if (r < 199)
		step_kind();
	else if (one_in(10))
		filling = !filling;
}

static void check(void)
{
	CHECK_EQ(b.nr_free + nused, end - START);
	CHECK_EQ(buddy_check_one(&b, report), 0);
}

static void finish(void)
{
	if (isolated != NO_BLOCK)
		buddy_set_mobility(&b, (u64)isolated << PAGEBLOCK_ORDER, MT_MOVABLE);
	while (nblocks)
		give_back(0);
	CHECK_EQ(buddy_check_one(&b, report), 0);
	CHECK_EQ(b.nr_free, end - START);
	CHECK_EQ(b.nonempty[MT_ISOLATE], 0);
}

/* What is freed page by page in any order merges to what it was. */
static void merges_fully(void)
{
	u64 before[NR_ORDERS];

	fresh(MAX_END);
	for (unsigned int o = 0; o < NR_ORDERS; o++)
		before[o] = buddy_blocks(&b, o);
	while (b.nr_free)
		alloc((unsigned int)check_rand_below(4), (enum mobility)check_rand_below(MT_HANDED_OUT));
	while (nblocks)
		give_back((unsigned int)check_rand_below(nblocks));
	for (unsigned int o = 0; o < NR_ORDERS; o++)
		CHECK_EQ(buddy_blocks(&b, o), before[o]);
}

/* Unmovable pages collect: 200 of them do not spoil 5 pageblocks. */
static void mobility_groups(void)
{
	u64 spoiled = 0;

	fresh(MAX_END);
	for (int i = 0; i < 200; i++) {
		alloc(0, MT_MOVABLE);
		alloc(0, MT_UNMOVABLE);
	}
	for (unsigned int i = 0; i < 8; i++)
		spoiled += mts[i] == MT_UNMOVABLE;
	CHECK_EQ(spoiled, 1);
}

/* Page structs of a section that is not there are never looked at. */
static void missing_section(void)
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

/* A pageblock cut out of a larger free block merges again when it has its kind. */
static void kind_change_merges(void)
{
	fresh(MAX_END);
	CHECK_EQ(buddy_set_mobility(&b, 1024, MT_UNMOVABLE), PAGEBLOCK_PAGES);
	check();
	CHECK_EQ(buddy_set_mobility(&b, 1536, MT_ISOLATE), PAGEBLOCK_PAGES);
	check();
	CHECK_EQ(buddy_set_mobility(&b, 1536, MT_MOVABLE), PAGEBLOCK_PAGES);
	check();
}

static void others(void)
{
	RUN(merges_fully);
	RUN(kind_change_merges);
	RUN(mobility_groups);
	RUN(missing_section);
}

const struct model model = {
	.round = 5000, .start = start, .step = step, .check = check, .finish = finish, .others = others,
};
