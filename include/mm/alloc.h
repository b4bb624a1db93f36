/*
 * Physical pages. Order 0 comes from this CPU's list: preemption off, no lock, no atomic.
 */
#ifndef MM_ALLOC_H
#define MM_ALLOC_H

#include <lib/types.h>
#include <mm/page.h>

#define GFP_WAIT 0x01u /* may sleep: reclaim, wait */
#define GFP_ZERO_F 0x02u /* all bytes zero */
#define GFP_HIGHPRI 0x04u /* may use the reserve below the min watermark */
#define GFP_NOWARN 0x08u
#define GFP_DMA 0x10u /* below 16 MiB */
#define GFP_DMA32 0x20u /* below 4 GiB */
#define GFP_MOVABLE 0x40u /* user memory: may be migrated */
#define GFP_RECLAIMABLE 0x80u
#define GFP_COMP 0x100u /* make a compound page */
#define GFP_THISNODE 0x200u
#define GFP_NOFAIL 0x400u /* boot only: panic instead of NULL */
#define GFP_NOTHP 0x800u
#define GFP_ACCOUNT 0x1000u
#define GFP_ATOMIC (GFP_HIGHPRI | GFP_NOWARN)
#define GFP_NOWAIT GFP_NOWARN
#define GFP_KERNEL GFP_WAIT
#define GFP_USER (GFP_WAIT | GFP_MOVABLE)
#define GFP_ZERO GFP_ZERO_F

#define MAX_ORDER 18 /* 1 GiB */
#define MAX_NODES 64
#define NUMA_NO_NODE (-1)

/* A block of 2^order pages, refcount 1 (each page its own unless GFP_COMP), type PT_KERNEL; or NULL. => sleeps only with GFP_WAIT */
struct page *alloc_pages(gfp_t gfp, unsigned order);
struct page *alloc_pages_node(int node, gfp_t gfp, unsigned order);
static inline struct page *alloc_page(gfp_t gfp)
{
	return alloc_pages(gfp, 0);
}
/* Gives back a block whose only reference is the caller's. Any context. */
void free_pages(struct page *p, unsigned order);
/* Drops one reference of each page of a list of n (batched, teardown). */
void pages_put_list(struct page **pages, unsigned n);
/* Splits an order-n block into single pages with a reference each. */
void split_page(struct page *p, unsigned order);
/* The other way: 2^order single pages in order, all of refcount and mapcount 0, become a compound page of reference 1 (PT_KERNEL). */
void join_pages(struct page *p, unsigned order);
/* Address forms (direct map). */
void *get_free_pages(gfp_t gfp, unsigned order);
void put_free_pages(void *va, unsigned order);
static inline void *get_zeroed_page(gfp_t gfp) { return get_free_pages(gfp | GFP_ZERO, 0); }
static inline void put_free_page(void *va) { put_free_pages(va, 0); }
/* A zeroed page-table page (PT_TABLE, pt_lock initialised, counted), or NULL. */
struct page *page_table_alloc(struct mm *mm, gfp_t gfp);
void page_table_free(struct page *p);
/* Physically contiguous range not of a power of two. */
struct page *alloc_contig(u64 npages, u64 align_pages, gfp_t gfp);
void free_contig(struct page *p, u64 npages);

/* Idle loop: zeroes one free page for later. False when the pool is full. */
bool page_zero_idle(void);

u64 nr_free_pages(void); /* all zones incl. per-CPU lists */
u64 nr_total_pages(void); /* managed pages */
u64 nr_free_pages_node(int node);
extern u64 node_online_map; /* bit per node */
extern u8 node_distance[MAX_NODES][MAX_NODES];
int this_node(void);
int cpu_to_node(int cpu);
void cpu_set_node(int cpu, int node);
void node_add_range(int node, u64 base, u64 len); /* from SRAT, before mm_init_physical */
void node_mark_hotplug(int node, u64 base); /* the node's memory from here on can be pulled out (SRAT) */

struct handoff;
/* Boot order: bootmem_init (early allocator) -> mm_init_physical (page array, zones, buddy) -> kmem_init (slab) -> vmalloc_init. */
void bootmem_init(const struct handoff *h);
void *bootmem_alloc(u64 len, u64 align, int node); /* zeroed, direct map; panics when there is none */
void mm_init_physical(const struct handoff *h);
void kmem_init(void);
void vmalloc_init(void);
/* Loader-owned memory back to the allocator when the initrd and hand-off were read; boot-services memory too. */
void mm_release_boot_memory(void);
void pcp_drain_all(void); /* give per-CPU lists back to the zones (tests, checkers) */

/* Fault injection, issue 3: true when this allocation must fail. */
bool fail_alloc_slow(void);
extern bool fail_nth_armed;
/* Why the fast paths of allocation lead to the slow ones: one byte for them to test. */
#define ALLOC_HOOK_FAIL 1u /* fail_nth_armed: the Nth or some at random */
#define ALLOC_HOOK_DEBUG 2u /* page_debug (mm/pagedebug.h) */
extern u8 alloc_hooks; /* (a) */
static inline bool fail_alloc(void) { return unlikely(fail_nth_armed) && fail_alloc_slow(); }

#endif
