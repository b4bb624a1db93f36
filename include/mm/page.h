/*
 * struct page: one 64-byte descriptor for every page frame of the hand-off map, an array at PAGE_ARRAY_BASE
 * indexed by pfn (holes unmapped; pfn_valid tells).
 *
 * Identities (page_type): FREE in the buddy, PCP, SLAB, TABLE (page-table page), ANON, FILE (page cache), KERNEL (vmalloc, stacks, anything
 * else), RESERVED (firmware, image). A compound page is 2^order frames with the data in its head; tails point at it.
 * refcount: 0 only while free. mapcount: page-table entries that map the page (head: of the whole compound by a large entry, plus small ones).
 */
#ifndef MM_PAGE_H
#define MM_PAGE_H

#include <kernel/spinlock.h>
#include <lib/atomic.h>
#include <lib/list.h>
#include <lib/rbtree.h>
#include <x86/layout.h>

struct mapping;
struct anon_group;
struct kmem_cache;

enum page_type { PT_RESERVED, PT_FREE, PT_PCP, PT_SLAB, PT_TABLE, PT_ANON, PT_FILE, PT_KERNEL, PT_BOOT,
	PT_FREE_INNER /* was the head of a free block before it merged */, PT_KSM /* equal pages of several, read-only: mm/ksm_page.c */ };

/* flags: low bits below; type in bits 40-43, order of a compound head or free block in 44-49, zone in 50-53, node in 54-61 */
#define PG_LOCKED 0
#define PG_DIRTY 1
#define PG_UPTODATE 2
#define PG_WRITEBACK 3
#define PG_LRU 4
#define PG_ACTIVE 5
#define PG_REFERENCED 6
#define PG_HEAD 7
#define PG_TAIL 8
#define PG_SWAPBACKED 9
#define PG_UNEVICTABLE 10
#define PG_MLOCKED 11
#define PG_ERROR 12
#define PG_HUGETLB 13
#define PG_ZEROED 14 /* free and known to be all zero */
#define PG_ISOLATED 15
#define PG_WAITERS 16
#define PG_PRIVATE1 17 /* ANON: PG_LAZYFREE; FILE of a memfd_secret: out of the direct map */
#define PG_LAZYFREE PG_PRIVATE1 /* may be taken while its entry is clean (mm/lazyfree.c); with PG_LRU */
#define PG_RUN 18 /* FILE: part of a run, 2 MiB in one piece: mm/run.c */
#define PG_MOVING 19 /* FILE, with PG_LOCKED: about to be replaced (mm/run_collapse.c), not to be mapped */
#define PG_HWPOISON 20 /* the frame is not to be used: mm/poison.c */
#define PG_MT_SHIFT 32 /* mobility type of a free block: 2 bits */
#define PG_TYPE_SHIFT 40
#define PG_ORDER_SHIFT 44
#define PG_ZONE_SHIFT 50
#define PG_NODE_SHIFT 54

struct page {
	u64 flags; /* (a) */
	s32 refcount; /* (a) */
	s32 mapcount; /* (a) number of mapping entries; 0 none */
	union {
		struct { /* ANON, FILE */
			struct list_head lru;
			union {
				struct mapping *mapping;
				struct anon_group *anon;
			};
			u64 index; /* page offset in the mapping / anon group */
		};
		struct { /* KSM */
			struct rb_node ksm_rb;
			u64 ksm_hash;
		};
		struct { /* FREE, PCP */
			struct list_head buddy;
		};
		struct { /* SLAB (head) */
			struct list_head slab_list;
			struct kmem_cache *slab_cache;
			void *slab_free; /* first free object */
		};
		struct { /* TABLE */
			spinlock_t pt_lock;
			u32 pt_used; /* entries in use, optional */
			struct mm *pt_mm;
			u64 pt_va; /* of a root table: its twin for user mode */
		};
		struct { /* tail of a compound */
			struct page *head;
		};
	};
	u64 private; /* owner's: swap entry, pin count... */
	u64 spare; /* SLAB: first object; PG_LRU: whose list (mm/lru.c) */
};
_Static_assert(sizeof(struct page) == 64, "one cache line a page");

#define page_array ((struct page *)PAGE_ARRAY_BASE)
extern u64 max_pfn; /* one past the last valid pfn */
bool pfn_valid(u64 pfn);
static inline u64 page_to_pfn(const struct page *p) { return (u64)(p - page_array); }
static inline struct page *pfn_to_page(u64 pfn) { return page_array + pfn; }
static inline u64 page_to_phys(const struct page *p) { return page_to_pfn(p) << PAGE_SHIFT; }
static inline struct page *phys_to_page(u64 pa) { return pfn_to_page(pa >> PAGE_SHIFT); }
static inline void *page_address(const struct page *p) { return phys_to_virt(page_to_phys(p)); }
static inline struct page *virt_to_page(const void *va) { return phys_to_page(virt_to_phys(va)); } /* direct map only */

static inline bool page_flag(const struct page *p, int bit) { return READ_ONCE(p->flags) >> bit & 1; }
static inline void page_set_flag(struct page *p, int bit) { __atomic_fetch_or(&p->flags, 1ull << bit, __ATOMIC_RELAXED); }
static inline void page_clear_flag(struct page *p, int bit) { __atomic_fetch_and(&p->flags, ~(1ull << bit), __ATOMIC_RELAXED); }
static inline bool page_test_and_set_flag(struct page *p, int bit) { return __atomic_fetch_or(&p->flags, 1ull << bit, __ATOMIC_ACQUIRE) >> bit & 1; }
static inline bool page_test_and_clear_flag(struct page *p, int bit) { return __atomic_fetch_and(&p->flags, ~(1ull << bit), __ATOMIC_RELEASE) >> bit & 1; }
static inline enum page_type page_type(const struct page *p) { return (READ_ONCE(p->flags) >> PG_TYPE_SHIFT) & 15; }
/* => the caller owns the page exclusively (just allocated, or about to free) */
static inline void page_set_type(struct page *p, enum page_type t) { p->flags = (p->flags & ~(15ull << PG_TYPE_SHIFT)) | (u64)t << PG_TYPE_SHIFT; }
static inline unsigned page_order(const struct page *p) { return (p->flags >> PG_ORDER_SHIFT) & 63; }
static inline unsigned page_zone_nr(const struct page *p) { return (p->flags >> PG_ZONE_SHIFT) & 15; }
static inline int page_node(const struct page *p) { return (p->flags >> PG_NODE_SHIFT) & 255; }
static inline struct page *page_head(struct page *p) { return unlikely(page_flag(p, PG_TAIL)) ? p->head : p; }

static inline void page_get(struct page *p)
{
	__atomic_fetch_add(&p->refcount, 1, __ATOMIC_RELAXED);
}
bool page_get_unless_zero(struct page *p);
void page_free_last(struct page *p); /* the last reference is gone: cleans identity, back to the allocator */
static inline void page_put(struct page *p)
{
	if (__atomic_sub_fetch(&p->refcount, 1, __ATOMIC_RELEASE) == 0) {
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		page_free_last(p);
	}
}
void page_lock(struct page *p); /* PG_LOCKED; may sleep */
bool page_trylock(struct page *p);
void page_unlock(struct page *p);

#endif
