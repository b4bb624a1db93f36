/*
 * compact.c - exact ranges of free frames, by moving out what is in the way.
 *
 * One operation does it all, range_take: the pageblocks of a range are isolated (their free pages are on no list anybody allocates
 * from), the per-CPU lists are emptied, every page of the range that is in use is moved to a page elsewhere, and
 * when all of the range is free it is taken out of the buddy in one piece. Then the pageblocks go back to their kind.
 *
 *	alloc_contig_range	a range the caller names
 *	alloc_contig		any range of n pages that can be emptied
 *	compact_alloc		an aligned block of 2^order: the cheapest such range, by the pages to move
 *	compact_node		the same for 2 MiB, over and over, giving the blocks back: /proc/sys/vm/compact_memory
 *
 * Others need not stand still. Pages that are freed meanwhile go to isolated lists or, through a CPU's list, come back when the
 * lists are emptied again; a page that is handed out from such a list makes this attempt longer, or fail.
 * Each attempt is bounded: EVACUATE_ROUNDS over the range.
 *
 * Who may be moved decides page_movable without locks; migrate_page finds out. Kernel memory stays, so a range with one such page is
 * given up at once: mobility grouping (mm/buddy.c) sees to it that such pages are in few pageblocks.
 *
 * Direct compaction of a caller that cannot have its block is tried again after 1, 2, 4 .. 64 calls when it failed in a row.
 *
 * Locks: compact_mutex (one at a time, so that two do not isolate each other's targets), below mm->lock and whatever sleeping lock an
 * allocation is made under; zone locks inside. Moving takes its own locks by trying.
 */
#include <kernel/mutex.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <mm/migrate.h>
#include <mm/mm.h>
#include <mm/section.h>
#include <mm/slab.h>
#include <mm/vmstat.h>

#define EVACUATE_ROUNDS 6
#define SCAN_BLOCKS 512 /* candidates looked at for one block */
#define CHEAP_ENOUGH 32 /* pages to move: do not look further */

static DEFINE_MUTEX(compact_mutex);
static struct migration *migration; /* (compact_mutex) made at the first use */
static u64 cursor[MAX_NODES][NR_ZONES]; /* (compact_mutex) where the next search begins */
static u32 defer_shift, defer_count; /* (racy hints) */

/* What stands at a frame: how far the next one is, and the pages to move (0: free), or -1 when it stays. */
static s64 look(const struct zone *z, u64 pfn, u64 *step)
{
	const struct page *p;
	u64 flags;

	*step = 1;
	if (!pfn_valid(pfn))
		return -1;
	p = pfn_to_page(pfn);
	flags = READ_ONCE(p->flags);
	switch ((enum page_type)((flags >> PG_TYPE_SHIFT) & 15)) {
	case PT_FREE:
		if ((flags & PG_HOME_MASK) != z->b.home)
			return -1;
		*step = 1ull << min((flags >> PG_ORDER_SHIFT) & 63, (u64)MAX_ORDER);
		return 0;
	case PT_PCP: /* with the lists emptied it is free */
		if (flags >> PG_HEAD & 1)
			*step = 1ull << min((flags >> PG_ORDER_SHIFT) & 63, (u64)MAX_ORDER);
		return (flags & PG_HOME_MASK) == z->b.home ? 0 : -1;
	case PT_ANON:
	case PT_FILE:
		if ((flags & PG_HOME_MASK) != z->b.home || !page_movable(p))
			return -1;
		if (flags >> PG_HEAD & 1)
			*step = 1ull << min((flags >> PG_ORDER_SHIFT) & 63, (u64)MAX_ORDER);
		return (s64)*step;
	default:
		return -1;
	}
}

/* Where the free block ends that reaches over pfn from below; pfn when there is none. What its inner pages say is stale. */
static u64 skip_free(const struct zone *z, u64 pfn)
{
	for (unsigned int o = 1; o <= MAX_ORDER; o++) {
		u64 head = pfn & ~((1ull << o) - 1), step;

		if (head < z->start_pfn || !pfn_valid(head))
			break;
		if (head != pfn && !look(z, head, &step) && head + step > pfn)
			return head + step;
	}
	return pfn;
}

/* Pages to move to empty the range, at most @limit; -1: it cannot be emptied. */
static s64 range_cost(const struct zone *z, u64 start, u64 end, s64 limit)
{
	s64 cost = 0;
	u64 step;

	for (u64 pfn = skip_free(z, start); pfn < end && cost <= limit; pfn += step) {
		s64 n = look(z, pfn, &step);

		if (n < 0)
			return -1;
		cost += n;
	}
	return cost;
}

/* --- isolation --- */

static void isolate(struct zone *z, u64 first, u64 end)
{
	u64 flags;

	spin_lock_irqsave(&z->lock, flags);
	for (u64 pfn = first; pfn < end; pfn += PAGEBLOCK_PAGES) {
		buddy_set_mobility(&z->b, pfn, MT_ISOLATE);
		z->nr_isolated++;
	}
	spin_unlock_irqrestore(&z->lock, flags);
}

static void restore(struct zone *z, u64 first, u64 end, enum mobility mt)
{
	u64 flags;

	spin_lock_irqsave(&z->lock, flags);
	for (u64 pfn = first; pfn < end; pfn += PAGEBLOCK_PAGES) {
		buddy_set_mobility(&z->b, pfn, mt);
		z->nr_isolated--;
	}
	spin_unlock_irqrestore(&z->lock, flags);
}

/* --- emptying --- */

/* A page outside [first, end) to move to. */
static struct page *target(u64 first, u64 end, unsigned int order)
{
	for (int i = 0; i < 8; i++) {
		struct page *to = alloc_pages(GFP_MOVABLE | GFP_NOWARN | (order ? GFP_COMP : 0), order);

		if (!to || page_to_pfn(to) < first || page_to_pfn(to) >= end)
			return to;
		/* out of a CPU's list: back to the zone, where it is isolated */
		to->refcount = 0;
		to->flags &= PG_HOME_MASK | PG_MT_MASK;
		zone_free_block(to, order);
		pcp_drain_all();
	}
	return NULL;
}

static int move_out(struct page *p, u64 first, u64 end)
{
	unsigned int order = page_flag(p, PG_HEAD) ? page_order(p) : 0;
	struct page *to = target(first, end, min(order, (unsigned int)MAX_ORDER));
	int err;

	if (!to)
		return -ENOMEM;
	count_vm_events(COMPACT_ISOLATED, 1);
	err = migrate_page(migration, p, to);
	if (err)
		page_put(to);
	return err;
}

/* One pass over the range. Pages left in use, or -errno when there is no point in going on. */
static s64 evacuate_once(struct zone *z, u64 start, u64 n, u64 first, u64 end)
{
	s64 left = 0;
	u64 step;

	for (u64 pfn = skip_free(z, start); pfn < start + n; pfn += step) {
		s64 used = look(z, pfn, &step);
		int err;

		if (used < 0) {
			enum page_type t = page_type(pfn_to_page(pfn));

			/* what is free is found when the range is taken; a page just handed out, or pinned, may change its mind */
			if (!READ_ONCE(pfn_to_page(pfn)->refcount))
				continue;
			if (t != PT_KERNEL && t != PT_ANON && t != PT_FILE)
				return -EBUSY;
			left++;
			continue;
		}
		if (used) {
			err = move_out(pfn_to_page(pfn), first, end);
			if (err == -EBUSY || err == -ENOMEM)
				return err;
			if (err)
				left += used;
			cond_resched();
		}
	}
	count_vm_events(COMPACT_MIGRATE_SCANNED, n);
	return left;
}

static bool take(struct zone *z, u64 start, u64 n, enum mobility kind)
{
	u64 flags;
	bool ok;

	spin_lock_irqsave(&z->lock, flags);
	ok = buddy_take_range(&z->b, start, n);
	spin_unlock_irqrestore(&z->lock, flags);
	for (u64 i = 0; ok && i < n; i++)
		pfn_to_page(start + i)->flags = (pfn_to_page(start + i)->flags & ~PG_MT_MASK) | (u64)kind << PG_MT_SHIFT;
	return ok;
}

/* Empties the range and takes it. The pages are as buddy_alloc leaves them. @kind: of the pageblocks afterwards. => compact_mutex */
static int range_take(struct zone *z, u64 start, u64 n, enum mobility kind)
{
	u64 first = start & ~(PAGEBLOCK_PAGES - 1), end = ALIGN(start + n, PAGEBLOCK_PAGES);
	enum mobility was;
	int err = -EBUSY;

	if (!migration && !(migration = migration_alloc()))
		return -ENOMEM;
	was = z->b.block_mt[first >> PAGEBLOCK_ORDER];
	isolate(z, first, end);
	pcp_drain_all();
	for (int round = 0; round < EVACUATE_ROUNDS; round++) {
		s64 left = evacuate_once(z, start, n, first, end);

		if (left < 0) {
			err = (int)left;
			break;
		}
		if (!left && take(z, start, n, kind)) {
			err = 0;
			break;
		}
		pcp_drain_all();
	}
	restore(z, first, end, err ? was : kind);
	return err;
}

/* The zone whose memory all of [start, start + n) is, with page structs there; NULL: none. */
static struct zone *zone_of_range(u64 start, u64 n)
{
	struct zone *z = NULL;
	struct phys_piece p;

	for (u64 s = start >> SECTION_ORDER; s <= (start + n - 1) >> SECTION_ORDER; s++)
		if (!pfn_valid(max(start, s << SECTION_ORDER)))
			return NULL;
	for_each_piece(p, start, start + n) {
		if (!region_usable(p.type) || !nodes[p.node] || (z && z != &nodes[p.node]->zone[p.zone]))
			return NULL;
		z = &nodes[p.node]->zone[p.zone];
	}
	return z;
}

/* Pageblocks are isolated whole: they must be the zone's. */
static bool blocks_inside(const struct zone *z, u64 start, u64 end)
{
	return (start & ~(PAGEBLOCK_PAGES - 1)) >= z->start_pfn && ALIGN(end, PAGEBLOCK_PAGES) <= z->end_pfn;
}

int alloc_contig_range(u64 start, u64 n, gfp_t gfp)
{
	struct zone *z;
	int err;

	might_sleep();
	if (!n || start + n < start || start + n > max_pfn)
		return -EINVAL;
	z = zone_of_range(start, n);
	if (!z || !blocks_inside(z, start, start + n))
		return -EINVAL;
	if (READ_ONCE(z->b.nr_free) < z->wmark[WMARK_MIN] + n)
		return -ENOMEM;
	mutex_lock(&compact_mutex);
	err = range_take(z, start, n, MT_MOVABLE);
	mutex_unlock(&compact_mutex);
	if (!err)
		for (u64 i = 0; i < n; i++)
			prep_pages(pfn_to_page(start + i), 0, gfp & ~GFP_COMP);
	return err;
}

/* --- looking for a place --- */

/* The cheapest aligned range of n pages of the zone, looking at a bounded number; 0: none can be emptied. => compact_mutex */
static u64 find_range(struct zone *z, u64 n, u64 align, u64 from, s64 limit)
{
	u64 first = ALIGN(z->start_pfn, align), slots, best = 0, looked = 0;
	s64 best_cost = limit + 1;

	if (first + n > z->end_pfn)
		return 0;
	slots = (z->end_pfn - n - first) / align + 1;
	from = from > first ? (from - first) / align % slots : 0;
	for (u64 i = 0; i < slots && looked < SCAN_BLOCKS && best_cost > CHEAP_ENOUGH; i++) {
		u64 start = first + (from + i) % slots * align;
		s64 cost;

		if (!pfn_valid(start))
			continue;
		looked++;
		cond_resched();
		if (!blocks_inside(z, start, start + n))
			continue;
		/* others' kinds stay out of it: their pages would come back at once */
		if (z->b.block_mt[start >> PAGEBLOCK_ORDER] == MT_ISOLATE)
			continue;
		cost = range_cost(z, start, start + n, best_cost);
		if (cost < 0 || cost >= best_cost || zone_of_range(start, n) != z)
			continue;
		best = start;
		best_cost = cost;
	}
	return best;
}

static struct page *take_found(struct zone *z, u64 n, u64 align, gfp_t gfp)
{
	u64 *at = &cursor[z->node][z->nr], start;
	u64 mark = z->wmark[WMARK_MIN] + (z->nr == gfp_zone(gfp) ? 0 : z->reserve); /* as any allocation */
	s64 spare = (s64)READ_ONCE(z->b.nr_free) - (s64)(mark + n);

	if (spare < 0)
		return NULL;
	for (int tries = 0; tries < 3; tries++) {
		enum mobility kind;

		start = find_range(z, n, align, *at, (s64)n);
		if (!start)
			return NULL;
		*at = start + n;
		/* an unmovable block of some size makes the pageblock unmovable */
		kind = gfp_mobility(gfp) != MT_MOVABLE && n < PAGEBLOCK_PAGES / 2 ? z->b.block_mt[start >> PAGEBLOCK_ORDER] :
										     gfp_mobility(gfp);
		if (!range_take(z, start, n, kind))
			return pfn_to_page(start);
	}
	return NULL;
}

struct page *compact_alloc(struct zone **list, gfp_t gfp, unsigned int order)
{
	int node = *list ? (*list)->node : -1;
	struct page *p = NULL;

	might_sleep();
	if (READ_ONCE(defer_count) < 1u << READ_ONCE(defer_shift)) {
		defer_count++;
		if (defer_shift)
			return NULL;
	}
	if (!mutex_trylock(&compact_mutex))
		return NULL; /* somebody is at it, for all of us */
	count_vm_event(COMPACT_STALL);
	for (; *list && !p; list++) {
		if ((gfp & GFP_THISNODE) && (*list)->node != node)
			break;
		p = take_found(*list, 1ull << order, 1ull << order, gfp);
	}
	mutex_unlock(&compact_mutex);
	count_vm_event(p ? COMPACT_SUCCESS : COMPACT_FAIL);
	WRITE_ONCE(defer_count, 0);
	WRITE_ONCE(defer_shift, p ? 0 : min(defer_shift + 1, 6u));
	return p;
}

struct page *alloc_contig(u64 npages, u64 align_pages, gfp_t gfp)
{
	unsigned int order = 0;
	struct zone **list, *z;
	struct page *p = NULL;

	while ((1ull << order) < npages || (1ull << order) < align_pages)
		order++;
	if (!npages || (align_pages & (align_pages - 1)))
		return NULL;
	if (order <= MAX_ORDER)
		p = alloc_pages((gfp & ~GFP_COMP) | GFP_NOWARN, order);
	if (p) {
		free_contig(p + npages, (1ull << order) - npages);
		return p;
	}
	if (!(gfp & GFP_WAIT) || !may_sleep())
		return NULL;
	mutex_lock(&compact_mutex);
	for (list = nodes[this_node()]->zonelist[gfp_zone(gfp)]; (z = *list) && !p; list++)
		p = take_found(z, npages, max(align_pages, 1ull), gfp);
	mutex_unlock(&compact_mutex);
	for (u64 i = 0; p && i < npages; i++)
		prep_pages(p + i, 0, gfp & ~GFP_COMP);
	return p;
}

void free_contig(struct page *p, u64 npages)
{
	for (u64 i = 0; i < npages; i++)
		page_put(p + i);
}

/* --- on request --- */

/* Largest number of pageblocks one request empties: as many as can be free at all. */
static void compact_zone(struct zone *z)
{
	u64 *at = &cursor[z->node][z->nr], most = READ_ONCE(z->b.nr_free) >> PAGEBLOCK_ORDER;

	/* from the top down in cost: a pageblock that is nearly empty first; half full is the most that pays */
	for (s64 limit = PAGEBLOCK_PAGES / 8; limit <= (s64)PAGEBLOCK_PAGES / 2; limit *= 2) {
		for (u64 pfn = ALIGN(z->start_pfn, PAGEBLOCK_PAGES); pfn + PAGEBLOCK_PAGES <= z->end_pfn && most; pfn += PAGEBLOCK_PAGES) {
			s64 cost;

			cond_resched();
			if (!pfn_valid(pfn) || z->b.block_mt[pfn >> PAGEBLOCK_ORDER] == MT_ISOLATE)
				continue;
			cost = range_cost(z, pfn, pfn + PAGEBLOCK_PAGES, limit);
			if (cost <= 0 || cost > limit)
				continue;
			if (READ_ONCE(z->b.nr_free) < z->wmark[WMARK_LOW] + 2 * PAGEBLOCK_PAGES)
				return;
			if (zone_of_range(pfn, PAGEBLOCK_PAGES) != z || range_take(z, pfn, PAGEBLOCK_PAGES, MT_MOVABLE))
				continue;
			*at = pfn;
			most--;
			pfn_to_page(pfn)->flags &= PG_HOME_MASK | PG_MT_MASK;
			zone_free_block(pfn_to_page(pfn), PAGEBLOCK_ORDER);
		}
	}
}

void compact_node(int node)
{
	struct zone *z;

	might_sleep();
	kmem_reap_all();
	mutex_lock(&compact_mutex);
	for_each_zone(z)
		if (node < 0 || z->node == node)
			compact_zone(z);
	mutex_unlock(&compact_mutex);
	WRITE_ONCE(defer_shift, 0);
}
