/*
 * zone.h - memory of one kind on one node, and what the files of the physical level share.
 *
 * A node has up to four zones.  Requests name the highest kind they can use; a zonelist gives the
 * zones to try, nearest node first, scarce kinds last.  A zone's pages are either free in its
 * buddy, on a per-CPU list, handed out, or deferred: in sections (128 MiB) whose page structs do
 * not exist yet, which are built when the zone runs low (mm/section.c).
 */
#ifndef MM_ZONE_H
#define MM_ZONE_H

#include <mm/buddy.h>

/* DMA has the highest number so that "ours, and not DMA" is one comparison on the free path. */
enum zone_nr { ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE, ZONE_DMA, NR_ZONES };

#define DMA_END_PFN	(1ull << (24 - PAGE_SHIFT))
#define DMA32_END_PFN	(1ull << (32 - PAGE_SHIFT))

enum wmark { WMARK_MIN, WMARK_LOW, WMARK_HIGH, NR_WMARKS };

struct zone {
	spinlock_t lock;	/* irqs off: taken in interrupt context */
	struct buddy b;		/* (lock) */
	u64 start_pfn, end_pfn;	/* (I) span; may have holes and other nodes' pages in it */
	u64 spanned, present;	/* (I) pages in the span; pages of memory in it */
	u64 managed;		/* (grow_lock) pages the allocator owns: free, deferred or handed out */
	u64 deferred;		/* (grow_lock) free pages without page structs */
	u32 growing;		/* (grow_lock) sections that get theirs just now */
	u64 wmark[NR_WMARKS];	/* pages */
	u64 reserve;		/* pages kept from requests that could use better zones */
	u64 nr_isolated;
	u8 nr;			/* (I) enum zone_nr */
	int node;		/* (I) */
	u64 grown;		/* (grow_lock) sections made present after boot */
	u64 allocs, frees;	/* (lock) pages handed out and taken back */
} __aligned(64);

struct node {
	int nid;
	struct zone zone[NR_ZONES];
	/* For each class of request: zones in the order to try, NULL at the end. */
	struct zone **zonelist[NR_ZONES];
	u64 present;		/* pages */
};

extern struct node *nodes[MAX_NODES];	/* (I) NULL: not online */
extern int nr_nodes;
extern bool mm_ready;			/* the page allocator works; before: boot memory */

extern const char *const zone_names[NR_ZONES];

static inline struct zone *page_zone(const struct page *p)
{
	return &nodes[page_node(p)]->zone[page_zone_nr(p)];
}

#define for_each_node(n) for (int __nid = 0; __nid < MAX_NODES; __nid++)	\
	if (((n) = nodes[__nid]) != NULL)
/* Zones that have memory. */
#define for_each_zone(z) for (int __zi = 0; __zi < MAX_NODES * NR_ZONES; __zi++)	\
	if (nodes[__zi / NR_ZONES] &&						\
	    ((z) = &nodes[__zi / NR_ZONES]->zone[__zi % NR_ZONES])->present)

/* Kind of a request's pages and the highest zone it can use. */
static inline enum mobility gfp_mobility(gfp_t gfp)
{
	return (gfp >> 6) & 3;
}

static inline enum zone_nr gfp_zone(gfp_t gfp)
{
	if (unlikely(gfp & (GFP_DMA | GFP_DMA32)))
		return gfp & GFP_DMA ? ZONE_DMA : ZONE_DMA32;
	return gfp & GFP_MOVABLE ? ZONE_MOVABLE : ZONE_NORMAL;
}

/*
 * Per-CPU lists.  A list is a stack of pages in state PT_PCP with refcount 0, mapcount 0, no
 * mapping and no private data, of this CPU's node and not of zone DMA.  Only thread context of
 * the CPU itself, with preemption off, touches its lists: an interrupt handler goes to the zone,
 * and another CPU asks (pcp_drain_all) and waits.
 */
#define PCP_MAX		512
#define PCP_ZERO_MAX	256
#define PCP_HUGE_MAX	4
#define PCP_BATCH	64

struct pcp_list {
	u32 count;
	u32 high;			/* <= PCP_MAX */
	struct page *pages[PCP_MAX];
};

struct pcp {
	u64 home_min;			/* node << 4: see pcp_accepts */
	u32 drain;			/* (a) others ask: PCP_DRAIN_* */
	u32 zero_high[MT_HANDED_OUT];
	u32 nr_zero[MT_HANDED_OUT];
	u32 nr_huge;
	struct page *huge[PCP_HUGE_MAX];	/* compound, order 9, movable */
	struct pcp_list list[MT_HANDED_OUT];
	struct page *zero[MT_HANDED_OUT][PCP_ZERO_MAX];
	u64 refills, spills, zero_hits, zero_made;
};
#define PCP_DRAIN_PAGES	1u
#define PCP_DRAIN_SLABS	2u
#define PCP_DRAIN_STACKS 4u

DECLARE_PER_CPU(struct pcp, pcp);

/* Allocation from the zones, all contexts.  alloc_pages without the per-CPU lists. */
struct page *zones_alloc(int node, gfp_t gfp, unsigned int order);
/* Up to n single pages of this CPU's node and kind from one zone, for its list. */
unsigned int zones_alloc_bulk(int node, gfp_t gfp, struct page **out, unsigned int n);
/* Pages without references, each PT_PCP or PT_KERNEL, back to their zones. */
void zones_free_bulk(struct page **pages, unsigned int n);
void zone_free_block(struct page *p, unsigned int order);
/* Sets the fields of a block just taken from the buddy. */
void prep_pages(struct page *p, unsigned int order, gfp_t gfp);
void zones_init(void);
/* From the zones' sizes and these two sysctls, and the sum of all memory. => any context; when two run at once the marks may be of either */
void zones_set_watermarks(void);
extern u64 min_free_kbytes, watermark_scale_factor;
void pcp_init(void);
/* Empties this CPU's lists. => preemption off, not in an interrupt */
void pcp_drain_local(void);
/* Asks every CPU for PCP_DRAIN_*, and waits a bounded time. => thread context */
void pcp_request_drain(u32 what);
/* Serves a request made to this CPU. => preemption off, not in an interrupt */
void pcp_serve_drain(void);
/* Pages on all per-CPU lists; exact when quiet. */
u64 pcp_pages(void);
u64 pcp_pages_node(int node);
/* What a CPU's lists have of a zone, may have, and take at a time. => exact when quiet */
struct pcp_usage {
	u32 count, high, batch;
};
void pcp_usage(int cpu, const struct zone *z, struct pcp_usage *u);
u64 pcp_check(void);
void kmem_drain_local(void);
/* This CPU's spare kernel stacks become common property. => preemption off, not in an interrupt */
void kstack_drain_local(void);
void page_waits_init(void);

/* Doors upward, defined by the virtual half when it has them. */
__weak u64 shrink_objects(unsigned int priority);	/* mm/shrinker.h */
/* Frees pages by dropping caches or swapping: how many. */
__weak u64 mm_reclaim_pages(gfp_t gfp, unsigned int order);
/* A block made by moving pages away (mm/compact.c). => sleeps */
__weak struct page *compact_alloc(struct zone **zonelist, gfp_t gfp, unsigned int order);
/* A page with PG_HUGETLB lost its last reference: true when its pool keeps it. */
__weak bool hugetlb_page_release(struct page *p);
/* A page with PG_LRU, PG_MLOCKED or PG_PRIVATE1 lost its last reference. */
__weak void mm_page_release(struct page *p);

#endif
