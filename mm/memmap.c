/*
 * memmap.c - /proc/quoin/memmap: who owns each 2 MiB of physical memory, for memview and for people.
 *
 *	quoin-memmap 1			format
 *	block_kb 2048
 *	zone NODE NAME START_PFN END_PFN MANAGED FREE LARGEST_ORDER UNUSABLE
 *	block PFN COUNT NODE ZONE free pcp anon file slab table kernel reserved thp hugetlb LARGEST_ORDER
 *
 * One block line stands for COUNT neighbouring blocks of equal content; the ten numbers are pages of one block: in the buddy (page structs not made yet
 * included), on per-CPU lists, anonymous, page cache, slabs, page tables, other kernel use (page structs, stacks, buffers), never given to the allocator,
 * in transparent huge pages, in pools of huge pages. They add up to the block's frames that are memory; a block cut by a zone has fewer than 512. LARGEST_ORDER is
 * of the free blocks that begin in it or cover it, -1 none. UNUSABLE says in thousandths how much of the zone's free memory lies in blocks too small for a huge page.
 *
 * Each block is read with its zone's lock held, so that free lists do not move; what is handed out moves all the same. A page's identity may
 * be read while it changes hands: then it counts as either. A sum over all blocks is right to within what moved meanwhile.
 */
#include <lib/seq_buf.h>
#include <mm/section.h>
#include <mm/show.h>

enum owner { OW_FREE, OW_PCP, OW_ANON, OW_FILE, OW_SLAB, OW_TABLE, OW_KERNEL, OW_RESERVED, OW_THP, OW_POOL, NR_OWNERS };

struct block {
	u64 n[NR_OWNERS];
	s64 largest;
	int node, zone;
};

static enum owner owner_of(struct page *p)
{
	struct page *head = page_head(p);

	if (page_flag(head, PG_HUGETLB))
		return OW_POOL;
	switch (page_type(head)) {
	case PT_PCP:
		return OW_PCP;
	case PT_KSM:
		return OW_ANON;
	case PT_ANON:
		return page_flag(head, PG_HEAD) && page_order(head) == PAGEBLOCK_ORDER ? OW_THP : OW_ANON;
	case PT_FILE:
		return OW_FILE;
	case PT_SLAB:
		return OW_SLAB;
	case PT_TABLE:
		return OW_TABLE;
	case PT_RESERVED:
		return OW_RESERVED;
	default:
		return OW_KERNEL;
	}
}

/* The free block that covers @pfn but begins before it: its order, or -1. => zone lock */
static s64 covered_by(const struct zone *z, u64 pfn)
{
	for (unsigned int o = PAGEBLOCK_ORDER + 1; o < NR_ORDERS; o++) {
		u64 head = pfn & ~((1ull << o) - 1);

		if (head < z->start_pfn || !pfn_valid(head))
			break;
		if (head != pfn && page_type(pfn_to_page(head)) == PT_FREE && page_order(pfn_to_page(head)) >= o)
			return page_order(pfn_to_page(head));
	}
	return -1;
}

/* [pfn, end) lies in one block and one zone. */
static void count_pages(struct zone *z, u64 pfn, u64 end, struct block *b)
{
	unsigned long flags;
	s64 over;

	spin_lock_irqsave(&z->lock, flags);
	over = covered_by(z, pfn);
	if (over >= 0) {
		b->n[OW_FREE] += end - pfn;
		b->largest = max(b->largest, over);
		pfn = end;
	}
	while (pfn < end) {
		struct page *p = pfn_to_page(pfn);
		u64 n = 1;

		if (page_type(p) == PT_FREE) {
			n = min(1ull << page_order(p), end - pfn);
			b->n[OW_FREE] += n;
			b->largest = max(b->largest, (s64)page_order(p));
		} else {
			b->n[owner_of(p)]++;
		}
		pfn += n;
	}
	spin_unlock_irqrestore(&z->lock, flags);
}

/* The part of a piece in one block. */
static void count_piece(const struct phys_piece *p, struct block *b)
{
	struct node *node = nodes[p->node];

	if (b->node < 0) {
		b->node = p->node;
		b->zone = p->zone;
	}
	if (!p->type || p->type > HANDOFF_MEM_KERNEL || !node) {
		b->n[OW_RESERVED] += p->type ? p->end - p->start : 0;
	} else if (!pfn_valid(p->start)) {
		b->n[region_usable(p->type) ? OW_FREE : OW_RESERVED] += p->end - p->start;
		b->largest = max(b->largest, (s64)SECTION_ORDER);
	} else {
		count_pages(&node->zone[p->zone], p->start, p->end, b);
	}
}

static bool same(const struct block *a, const struct block *b)
{
	for (int i = 0; i < NR_OWNERS; i++)
		if (a->n[i] != b->n[i])
			return false;
	return a->largest == b->largest && a->node == b->node && a->zone == b->zone;
}

static void print_run(struct seq_buf *s, u64 pfn, u64 count, const struct block *b)
{
	u64 sum = 0;

	for (int i = 0; i < NR_OWNERS; i++)
		sum += b->n[i];
	if (!count || !sum)
		return; /* no memory there */
	seq_printf(s, "block %llx %llu %d %s", pfn, count, b->node, zone_names[b->zone]);
	for (int i = 0; i < NR_OWNERS; i++)
		seq_printf(s, " %llu", b->n[i]);
	seq_printf(s, " %lld\n", b->largest);
}

static void print_zone(struct seq_buf *s, const struct zone *z)
{
	u64 free = READ_ONCE(z->b.nr_free) + READ_ONCE(z->deferred), large = READ_ONCE(z->deferred);
	int largest = buddy_largest(&z->b);

	for (unsigned int o = PAGEBLOCK_ORDER; o < NR_ORDERS; o++)
		large += buddy_blocks(&z->b, o) << o;
	if (z->deferred)
		largest = max(largest, SECTION_ORDER);
	seq_printf(s, "zone %d %s %llx %llx %llu %llu %d %llu\n", z->node, zone_names[z->nr], z->start_pfn, z->end_pfn, z->managed, free,
		   largest, free ? (free - min(large, free)) * 1000 / free : 0);
}

void memmap_show(struct seq_buf *s)
{
	struct block run = { 0 }, b;
	u64 run_pfn = 0, count = 0;
	struct phys_piece p;
	struct zone *z;

	seq_puts(s, "quoin-memmap 1\nblock_kb 2048\n");
	for_each_zone(z)
		print_zone(s, z);
	for (u64 pfn = 0; pfn < max_pfn && !s->overflow; pfn += PAGEBLOCK_PAGES) {
		b = (struct block){ .largest = -1, .node = -1 };
		for_each_piece(p, pfn, min(pfn + PAGEBLOCK_PAGES, max_pfn))
			count_piece(&p, &b);
		if (!count || !same(&b, &run)) {
			print_run(s, run_pfn, count, &run);
			run = b;
			run_pfn = pfn;
			count = 0;
		}
		count++;
	}
	print_run(s, run_pfn, count, &run);
}
