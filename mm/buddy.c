/*
 * buddy.c - the binary buddy system over the page array (pure).
 *
 * Concepts.  Free memory of a zone is a set of disjoint blocks of 2^order pages, each aligned to
 * its size.  The only free page with an identity is the first of a block: type PT_FREE, its order
 * and mobility in its flags, linked on free[mobility][order].  Pages inside a free block keep
 * whatever flags their last owner left, except that none has type PT_FREE: when a block is
 * swallowed by a merge its former head becomes PT_FREE_INNER.  So freeing and splitting touch one
 * page struct per step and nothing depends on the size of the block.
 *
 * Merging.  The buddy of block (pfn, order) is (pfn ^ 2^order, order).  It is free as a whole
 * exactly when its first page's upper flag bits (type, order, zone, node) have one given value:
 * one comparison.  Page structs of another section (128 MiB) may not exist, so from that order on
 * the section bitmap is asked first.
 *
 * Mobility.  Each 2 MiB pageblock has a kind; blocks below that size lie on the lists of their
 * pageblock's kind, larger ones on the list of the kind of their first pageblock.  A request is
 * served from its own kind's smallest block that fits.  When there is none it takes the largest
 * block of another kind; of a block of half a pageblock or more it claims the pageblock (changes its
 * kind and moves its free parts), so that foreign pages collect in few pageblocks and large
 * blocks survive.
 *
 * Cost.  Allocation finds its list by one find-first-set in nonempty[]; splitting and merging
 * take at most MAX_ORDER steps.  Claiming walks one pageblock.
 *
 * Invariants (buddy_check_one): every listed block is aligned, in range, of our home, marked as
 * said above; no two free buddies of equal order stand side by side unmerged (unless one is
 * isolated); nonempty, nr_blocks and nr_free agree with the lists; free pages have refcount 0.
 */
#include <mm/buddy.h>

#include <lib/assert.h>
#include <lib/bitops.h>

/* The flag bits from the type up: type, order, zone, node. */
#define UPPER(flags)	((flags) >> PG_TYPE_SHIFT)

static __always_inline u64 head_flags(const struct buddy *b, unsigned int order, enum mobility mt)
{
	return b->home | (u64)order << PG_ORDER_SHIFT | (u64)PT_FREE << PG_TYPE_SHIFT |
	       (u64)mt << PG_MT_SHIFT;
}

static __always_inline enum mobility flags_mt(u64 flags)
{
	return (flags >> PG_MT_SHIFT) & 3;
}

static __always_inline enum mobility block_mt(const struct buddy *b, u64 pfn)
{
	return b->block_mt[pfn >> PAGEBLOCK_ORDER];
}

void buddy_init(struct buddy *b, struct page *map, u64 start_pfn, u64 end_pfn, u64 home,
		u8 *mts, const u64 *sections)
{
	*b = (struct buddy){
		.map = map, .start_pfn = start_pfn, .end_pfn = end_pfn, .home = home,
		.block_mt = mts, .sections = sections,
	};
	for (unsigned int mt = 0; mt < MT_NR; mt++)
		for (unsigned int o = 0; o < NR_ORDERS; o++)
			INIT_LIST_HEAD(&b->free[mt][o]);
}

static __always_inline void put_block(struct buddy *b, struct page *p, unsigned int order,
				      enum mobility mt)
{
	p->flags = head_flags(b, order, mt);
	list_add(&p->buddy, &b->free[mt][order]);
	b->nr_blocks[mt][order]++;
	b->nonempty[mt] |= 1u << order;
}

/* The block leaves its list; its flags are the caller's to set. */
static __always_inline void take_block(struct buddy *b, struct page *p, unsigned int order)
{
	enum mobility mt = flags_mt(p->flags);

	__list_del_entry(&p->buddy);
	if (--b->nr_blocks[mt][order] == 0)
		b->nonempty[mt] &= ~(1u << order);
}

static __always_inline void mark_inner(const struct buddy *b, struct page *p)
{
	p->flags = b->home | (u64)PT_FREE_INNER << PG_TYPE_SHIFT;
}

static __always_inline void mark_handed_out(const struct buddy *b, struct page *p, enum mobility mt)
{
	p->flags = b->home | (u64)PT_KERNEL << PG_TYPE_SHIFT | (u64)mt << PG_MT_SHIFT;
}

/* Gives the upper halves of a taken block back until `want` pages' order is left. */
static __always_inline void split(struct buddy *b, struct page *p, unsigned int order,
				  unsigned int want, enum mobility mt)
{
	while (order > want) {
		struct page *half = p + (1ull << --order);

		/* Whole pageblocks keep their own kind. */
		put_block(b, half, order, order < PAGEBLOCK_ORDER ? mt :
			  block_mt(b, (u64)(half - b->map)));
	}
}

/* Is the block at pfn free as a whole, of this order? */
static __always_inline bool is_free_block(const struct buddy *b, u64 pfn, unsigned int order)
{
	if (order >= SECTION_ORDER && !test_bit(pfn >> SECTION_ORDER, b->sections))
		return false;
	/* The flags of a page in use are its owner's to change; it never makes them those of a free block. */
	return UPPER(READ_RACY(b->map[pfn].flags)) == UPPER(head_flags(b, order, 0));
}

void buddy_free(struct buddy *b, u64 pfn, unsigned int order)
{
	enum mobility mt = block_mt(b, pfn);

	ASSERT3U(pfn, >=, b->start_pfn);
	ASSERT3U(pfn + (1ull << order), <=, b->end_pfn);
	ASSERT(IS_ALIGNED(pfn, 1ull << order));
	ASSERT(page_type(&b->map[pfn]) != PT_FREE);
	b->nr_free += 1ull << order;
	for (; order < MAX_ORDER; order++) {
		u64 other = pfn ^ (1ull << order);
		u64 low = pfn & ~(1ull << order);

		if (low < b->start_pfn || low + (2ull << order) > b->end_pfn)
			break;
		if (!is_free_block(b, other, order))
			break;
		if (order >= PAGEBLOCK_ORDER &&
		    (mt == MT_ISOLATE) != (flags_mt(b->map[other].flags) == MT_ISOLATE))
			break;
		take_block(b, &b->map[other], order);
		mark_inner(b, &b->map[pfn | (1ull << order)]);
		pfn = low;
	}
	put_block(b, &b->map[pfn], order, order < PAGEBLOCK_ORDER ? mt : block_mt(b, pfn));
}

void buddy_free_range(struct buddy *b, u64 pfn, u64 end)
{
	while (pfn < end) {
		unsigned int order = MAX_ORDER;

		if (pfn && __ffs(pfn) < order)
			order = __ffs(pfn);
		while (pfn + (1ull << order) > end)
			order--;
		buddy_free(b, pfn, order);
		pfn += 1ull << order;
	}
}

/* Runs over a pageblock's free blocks: each moves to the list of kind mt. */
static u64 move_free_blocks(struct buddy *b, u64 first, enum mobility mt)
{
	u64 pfn = max(first, b->start_pfn), end = min(first + PAGEBLOCK_PAGES, b->end_pfn), n = 0;

	while (pfn < end) {
		struct page *p = &b->map[pfn];
		unsigned int order = page_order(p);

		if (page_type(p) != PT_FREE || (p->flags & PG_HOME_MASK) != b->home) {
			pfn++;
			continue;
		}
		take_block(b, p, order);
		put_block(b, p, order, mt);
		n += 1ull << order;
		pfn += 1ull << order;
	}
	return n;
}

/*
 * The free block of at least a pageblock that contains pfn: cut down so that the pageblock is a
 * block of its own.  False when the pageblock does not lie in such a block.
 */
static bool carve_pageblock(struct buddy *b, u64 pfn)
{
	for (unsigned int o = PAGEBLOCK_ORDER; o <= MAX_ORDER; o++) {
		u64 head = pfn & ~((1ull << o) - 1);

		if (head < b->start_pfn || head + (1ull << o) > b->end_pfn ||
		    !is_free_block(b, head, o))
			continue;
		take_block(b, &b->map[head], o);
		mark_inner(b, &b->map[head]);
		while (o-- > PAGEBLOCK_ORDER) {
			u64 upper = head + (1ull << o);

			if (pfn >= upper) {
				put_block(b, &b->map[head], o, block_mt(b, head));
				head = upper;
			} else {
				put_block(b, &b->map[upper], o, block_mt(b, upper));
			}
		}
		put_block(b, &b->map[head], PAGEBLOCK_ORDER, block_mt(b, head));
		return true;
	}
	return false;
}

u64 buddy_set_mobility(struct buddy *b, u64 pfn, enum mobility mt)
{
	u64 first = pfn & ~(PAGEBLOCK_PAGES - 1), n;

	carve_pageblock(b, first);
	b->block_mt[first >> PAGEBLOCK_ORDER] = (u8)mt;
	n = move_free_blocks(b, first, mt);
	/* Free as a whole: it was carved out, or isolated, so its neighbours may wait to merge with it. */
	if (mt != MT_ISOLATE && is_free_block(b, first, PAGEBLOCK_ORDER)) {
		take_block(b, &b->map[first], PAGEBLOCK_ORDER);
		mark_inner(b, &b->map[first]);
		b->nr_free -= PAGEBLOCK_PAGES;
		buddy_free(b, first, PAGEBLOCK_ORDER);
	}
	return n;
}

/* Another kind's largest block that fits, as a block of kind mt; NULL when there is none. */
static struct page *steal(struct buddy *b, unsigned int want, enum mobility mt, unsigned int *order)
{
	static const u8 others[MT_HANDED_OUT][2] = {
		[MT_UNMOVABLE] = { MT_RECLAIMABLE, MT_MOVABLE },
		[MT_MOVABLE] = { MT_RECLAIMABLE, MT_UNMOVABLE },
		[MT_RECLAIMABLE] = { MT_UNMOVABLE, MT_MOVABLE },
	};
	int best = -1;
	unsigned int from = 0;

	for (unsigned int i = 0; i < 2; i++) {
		u32 m = b->nonempty[others[mt][i]];

		if (m && (int)__fls(m) > best) {
			best = (int)__fls(m);
			from = others[mt][i];
		}
	}
	if (best < (int)want)
		return NULL;
	/* Of a small block only what is asked for; of a large one the smallest that is large,
	 * so that the largest survive. */
	if (best >= PAGEBLOCK_ORDER) {
		unsigned int floor = max(want, (unsigned int)PAGEBLOCK_ORDER);

		best = (int)(floor + __ffs(b->nonempty[from] >> floor));
	}
	struct page *p = list_first_entry(&b->free[from][best], struct page, buddy);

	*order = (unsigned int)best;
	if (best >= PAGEBLOCK_ORDER) {
		u64 pfn = (u64)(p - b->map);

		/* The first pageblock (all that the request covers) becomes ours. */
		for (u64 i = 0; i < (want > PAGEBLOCK_ORDER ? 1ull << (want - PAGEBLOCK_ORDER) : 1); i++)
			b->block_mt[(pfn >> PAGEBLOCK_ORDER) + i] = (u8)mt;
	} else if (best == PAGEBLOCK_ORDER - 1) {
		u64 first = (u64)(p - b->map) & ~(PAGEBLOCK_PAGES - 1);

		b->block_mt[first >> PAGEBLOCK_ORDER] = (u8)mt;
		move_free_blocks(b, first, mt);
	}
	return p;
}

/* Takes a block of at least `want` for kind mt out of the lists, unsplit. */
static __always_inline struct page *take_for(struct buddy *b, unsigned int want, enum mobility mt,
					     unsigned int *order)
{
	u32 fits = b->nonempty[mt] >> want;
	struct page *p;

	if (likely(fits)) {
		*order = want + __ffs(fits);
		p = list_first_entry(&b->free[mt][*order], struct page, buddy);
	} else {
		p = steal(b, want, mt, order);
		if (!p)
			return NULL;
	}
	take_block(b, p, *order);
	return p;
}

struct page *buddy_alloc(struct buddy *b, unsigned int want, enum mobility mt)
{
	unsigned int order;
	struct page *p = take_for(b, want, mt, &order);

	if (unlikely(!p))
		return NULL;
	/* The halves stay with the kind of the pageblock they lie in. */
	split(b, p, order, want, block_mt(b, (u64)(p - b->map)));
	b->nr_free -= 1ull << want;
	mark_handed_out(b, p, mt);
	return p;
}

unsigned int buddy_alloc_bulk(struct buddy *b, enum mobility mt, struct page **out, unsigned int n)
{
	unsigned int got = 0;

	while (got < n) {
		unsigned int order, keep;
		struct page *p = take_for(b, 0, mt, &order);

		if (!p)
			break;
		keep = min(order, (unsigned int)__fls(n - got));
		split(b, p, order, keep, block_mt(b, (u64)(p - b->map)));
		b->nr_free -= 1ull << keep;
		for (unsigned int i = 0; i < 1u << keep; i++) {
			mark_handed_out(b, p + i, mt);
			out[got++] = p + i;
		}
	}
	return got;
}

struct page *buddy_block_of(const struct buddy *b, u64 pfn, unsigned int *order)
{
	for (unsigned int o = 0; o <= MAX_ORDER; o++) {
		u64 head = pfn & ~((1ull << o) - 1);

		if (head < b->start_pfn)
			break;
		if (is_free_block(b, head, o)) {
			*order = o;
			return &b->map[head];
		}
	}
	return NULL;
}

bool buddy_take_range(struct buddy *b, u64 pfn, u64 n)
{
	u64 end = pfn + n;
	unsigned int order;
	struct page *p;

	for (u64 at = pfn; at < end;) {
		p = buddy_block_of(b, at, &order);
		if (!p)
			return false;
		at = (u64)(p - b->map) + (1ull << order);
	}
	for (u64 at = pfn; at < end;) {
		u64 head, stop;

		p = buddy_block_of(b, at, &order);
		head = (u64)(p - b->map);
		stop = head + (1ull << order);
		take_block(b, p, order);
		b->nr_free -= 1ull << order;
		mark_inner(b, p);
		/* What sticks out at either end goes back; it cannot merge with what we took,
		 * whose pages are not PT_FREE. */
		buddy_free_range(b, head, at);
		buddy_free_range(b, end < stop ? end : stop, stop);
		for (; at < min(stop, end); at++) {
			enum mobility mt = block_mt(b, at);

			mark_handed_out(b, &b->map[at], mt == MT_ISOLATE ? MT_MOVABLE : mt);
		}
	}
	return true;
}

int buddy_largest(const struct buddy *b)
{
	u32 m = 0;

	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++)
		m |= b->nonempty[mt];
	return ilog2(m);
}

u64 buddy_blocks(const struct buddy *b, unsigned int order)
{
	u64 n = 0;

	for (unsigned int mt = 0; mt < MT_NR; mt++)
		n += b->nr_blocks[mt][order];
	return n;
}

static u64 check_block(const struct buddy *b, const struct page *p, unsigned int order,
		       enum mobility mt, buddy_report_fn report)
{
	u64 pfn = (u64)(p - b->map), other = pfn ^ (1ull << order), low = min(pfn, other), bad = 0;

#define EXPECT(what, is, should) do {						\
	u64 __is = (is), __should = (should);					\
	if (__is != __should) {							\
		report(what, pfn, __is, __should);				\
		bad++;								\
	}									\
} while (0)
	EXPECT("free block flags", p->flags, head_flags(b, order, mt));
	EXPECT("free block alignment", pfn & ((1ull << order) - 1), 0);
	EXPECT("free block kind", mt, block_mt(b, pfn));
	EXPECT("free block in range", pfn >= b->start_pfn && pfn + (1ull << order) <= b->end_pfn, 1);
	if (order < MAX_ORDER && low >= b->start_pfn && low + (2ull << order) <= b->end_pfn &&
	    (order < PAGEBLOCK_ORDER ||
	     (mt == MT_ISOLATE) == (block_mt(b, other) == MT_ISOLATE)))
		EXPECT("buddies not merged", is_free_block(b, other, order), false);
	for (u64 i = 0; i < 1ull << order; i++) {
		if (p[i].refcount)
			EXPECT("reference count of a free page", (u64)p[i].refcount, 0);
		if (i && page_type(p + i) == PT_FREE)
			EXPECT("free head inside a free block", i, 0);
	}
	return bad;
}

u64 buddy_check_one(const struct buddy *b, buddy_report_fn report)
{
	u64 bad = 0, pages = 0, pfn = 0;

	for (unsigned int mt = 0; mt < MT_NR; mt++) {
		for (unsigned int o = 0; o < NR_ORDERS; o++) {
			const struct page *p;
			u64 n = 0;

			list_for_each_entry(p, &b->free[mt][o], buddy) {
				bad += check_block(b, p, o, mt, report);
				n++;
			}
			pfn = (u64)mt << 8 | o;	/* names the list */
			EXPECT("blocks on a free list", b->nr_blocks[mt][o], n);
			EXPECT("nonempty bit", b->nonempty[mt] >> o & 1, n != 0);
			pages += n << o;
		}
	}
	EXPECT("free pages of the zone", b->nr_free, pages);
#undef EXPECT
	return bad;
}
