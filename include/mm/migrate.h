/*
 * migrate.h - moving the contents of user pages to other frames, and what is built on it: making large blocks
 * (compaction) and taking exact ranges of frames.
 *
 * Theory in mm/migrate.c and mm/compact.c.
 */
#ifndef MM_MIGRATE_H
#define MM_MIGRATE_H

#include <mm/alloc.h>

struct zone;

/* What one move at a time needs to remember: too large for a stack. */
struct migration;
struct migration *migration_alloc(void); /* NULL when out of memory */
void migration_free(struct migration *m);

/* Looks like a page that can be moved: user memory or page cache, not pinned. A guess, without a lock. */
bool page_movable(const struct page *p);
/*
 * Moves user page @p (a head or a single page) to @to, fresh and of the same order (compound like p). 0: everything that
 * mapped p maps @to now, which belongs to them, and p is free. Otherwise nothing changed and @to is still the caller's:
 * -EAGAIN: somebody uses the page just now; -EBUSY: it is pinned, or of a kind that stays; -ENOENT: it is no user page any more.
 * => does not sleep; p is looked at without a reference, so it may be any page that has a struct
 */
int migrate_page(struct migration *m, struct page *p, struct page *to);
/* The same for pages of a pool, both of them; afterwards p has no reference and no mapping, but is on the pool's list. */
int migrate_pool_page(struct migration *m, struct page *p, struct page *to);
/* The same, and the frame of p is not free but kept, with PG_HWPOISON and one reference. */
int migrate_page_retire(struct migration *m, struct page *p, struct page *to);
/* The same with a target from node @node and no other. -ENOMEM when that has none. => may sleep when @gfp says so */
int migrate_to_node(struct migration *m, struct page *p, int node, gfp_t gfp);

/* compact.c. A block of the order made by moving pages out of the way, ready to hand out; NULL when that cannot be done. => sleeps */
struct page *compact_alloc(struct zone **zonelist, gfp_t gfp, unsigned int order);
/* All of a node's movable memory into as few pageblocks as possible (node < 0: every node's). => sleeps */
void compact_node(int node);
/* Takes exactly frames [start, start + n): free ones, and those whose pages can be moved. 0, or -EBUSY, -EINVAL (not memory
 * of one zone), -EINTR (a fatal signal). Every page has one reference and is given back with free_contig. => sleeps */
int alloc_contig_range(u64 start, u64 n, gfp_t gfp);

#endif
