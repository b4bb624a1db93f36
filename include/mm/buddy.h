/*
 * buddy.h - free memory of one zone as blocks of 2^order pages (pure: no locks, no allocation).
 *
 * Theory in mm/buddy.c.  The caller holds the zone's lock around every call.
 */
#ifndef MM_BUDDY_H
#define MM_BUDDY_H

#include <mm/alloc.h>
#include <mm/page.h>

#define NR_ORDERS	(MAX_ORDER + 1)

/* Mobility: what kind of owner the pages of a 2 MiB pageblock have. */
enum mobility {
	MT_UNMOVABLE,		/* kernel objects, page tables */
	MT_MOVABLE,		/* user memory: can be migrated */
	MT_RECLAIMABLE,		/* caches that can be dropped */
	MT_ISOLATE,		/* being emptied: nothing is handed out from it */
	MT_NR
};
#define MT_HANDED_OUT		3	/* kinds that allocations ask for */

#define PAGEBLOCK_ORDER		9
#define PAGEBLOCK_PAGES		(1ull << PAGEBLOCK_ORDER)
#define SECTION_ORDER		15	/* 128 MiB: its page structs fill 2 MiB */
#define SECTION_PAGES		(1ull << SECTION_ORDER)

/* Bits of page->flags that belong to the frame for ever: zone and node. */
#define PG_HOME_MASK		(0xfffull << PG_ZONE_SHIFT)
#define PG_MT_MASK		(3ull << PG_MT_SHIFT)

struct buddy {
	struct page *map;		/* I: struct page of pfn 0 */
	u64 start_pfn, end_pfn;		/* I: blocks never reach outside */
	u64 home;			/* I: the zone and node bits of our pages */
	u8 *block_mt;			/* mobility of each pageblock, by pfn >> PAGEBLOCK_ORDER */
	const u64 *sections;		/* bitmap of sections whose page structs exist */
	u64 nr_free;			/* pages */
	u32 nonempty[MT_NR];		/* bit per order */
	u64 nr_blocks[MT_NR][NR_ORDERS];
	struct list_head free[MT_NR][NR_ORDERS];
};

void buddy_init(struct buddy *b, struct page *map, u64 start_pfn, u64 end_pfn, u64 home,
		u8 *block_mt, const u64 *sections);
/* A block, taken from the kind's own lists or, failing that, from another kind's; or NULL.
 * => flags of the first page: home, mobility, PT_KERNEL; the others' are stale. */
struct page *buddy_alloc(struct buddy *b, unsigned int order, enum mobility mt);
/* Up to n single pages, whole blocks at a time, in ascending order within a block.
 * => how many; their flags are as after buddy_alloc. */
unsigned int buddy_alloc_bulk(struct buddy *b, enum mobility mt, struct page **out, unsigned int n);
/* Takes back a block that is not free. => refcounts are 0; no page of it has type PT_FREE. */
void buddy_free(struct buddy *b, u64 pfn, unsigned int order);
/* The same for any range. */
void buddy_free_range(struct buddy *b, u64 pfn, u64 end);
/* Changes the kind of a pageblock and moves its free pages; MT_ISOLATE takes them from everybody, another kind ends that.
 * => how many were free. */
u64 buddy_set_mobility(struct buddy *b, u64 pfn, enum mobility mt);
/* Takes exactly [pfn, pfn + n) out of the free lists; false (nothing done) unless all is free. */
bool buddy_take_range(struct buddy *b, u64 pfn, u64 n);
/* The first page of the free block that covers pfn, and its order; NULL: pfn is not free. */
struct page *buddy_block_of(const struct buddy *b, u64 pfn, unsigned int *order);
/* The largest order with a free block, or -1. */
int buddy_largest(const struct buddy *b);
/* Free blocks of one order, of all kinds. */
u64 buddy_blocks(const struct buddy *b, unsigned int order);

/* Walks everything and reports each mismatch. => how many. */
typedef void (*buddy_report_fn)(const char *what, u64 pfn, u64 is, u64 should);
u64 buddy_check_one(const struct buddy *b, buddy_report_fn report);

#endif
