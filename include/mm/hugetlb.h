/*
 * hugetlb.h - pools of huge pages set aside: 2 MiB, and 1 GiB where the CPU maps them.
 *
 * A pool page is a compound page with PG_HUGETLB. Its life: taken from the allocator (boot, a write to nr_hugepages, or a surplus
 * page made for a reservation) -> free in the pool, refcount 0 -> handed out, refcount 1, on the list of pages in use; PT_ANON in a private mapping,
 * PT_FILE in a file of hugetlbfs -> its last reference goes: free in the pool again, or, when the node has surplus, back to the allocator.
 *
 * A reservation is a promise of one free page to one index of one object (a file, or a private mapping): made by mmap, redeemed by the
 * first fault there, so that the fault cannot fail. resv counts promises not redeemed; resv <= free always.
 *
 * Lock order: mm->lock -> a fault mutex -> huge_resv.lock -> hstate.lock; hstate.lock is a leaf, interrupts off (the last reference may go anywhere).
 */
#ifndef MM_HUGETLB_H
#define MM_HUGETLB_H

#include <lib/xarray.h>
#include <mm/alloc.h>
#include <mm/mapping.h>

struct hstate {
	const char *name; /* (I) "2048kB" */
	unsigned order, shift; /* (I) */
	bool usable; /* (I) the CPU maps this size */
	spinlock_t lock; /* irqs off */
	struct mutex resize; /* one change of size at a time */
	struct list_head used; /* (lock) pages handed out, by lru */
	struct list_head list[MAX_NODES]; /* (lock) free pages, by lru */
	u64 nr, free, resv, surplus; /* (lock) pages; nr includes surplus */
	u64 node_nr[MAX_NODES], node_free[MAX_NODES], node_surplus[MAX_NODES]; /* (lock) */
	u64 overcommit; /* (lock) most surplus pages */
	u64 alloc_ok, alloc_fail; /* (lock) pages asked of the allocator for a pool */
};
enum { HUGE_2M, HUGE_1G, NR_HSTATES };
extern struct hstate hstates[NR_HSTATES];
extern struct hstate *hstate_default;

static inline u64 hstate_bytes(const struct hstate *h) { return 1ull << h->shift; }
static inline u64 hstate_mask(const struct hstate *h) { return ~(hstate_bytes(h) - 1); }
static inline u64 hstate_pages(const struct hstate *h) { return 1ull << h->order; }
/* By the logarithm of the size as in MAP_HUGE_*, 0: the default. NULL: no such size here. */
struct hstate *hstate_of_log(unsigned log);
struct hstate *hstate_of_size(u64 bytes);

/* Boot: which sizes there are, with empty pools. (mm_init) */
void hugetlb_init_sizes(void);
/* Boot: the pools of hugepagesz=, hugepages=, default_hugepagesz=. => thread context, allocator whole */
void hugetlb_init(void);
/* Sets the number of pages that stay (not surplus), on one node or (-1) on all in turn. As many as can be had: no error. => sleeps */
void hugetlb_resize(struct hstate *h, int node, u64 want);
/* The same for all nodes together, but pages come and go on @nodes only. => sleeps */
void hugetlb_resize_among(struct hstate *h, u64 nodes, u64 want);
void hugetlb_set_overcommit(struct hstate *h, u64 n);

/* Promises @n pages. 0 or -ENOMEM; may make surplus pages. => sleeps */
int hugetlb_reserve(struct hstate *h, u64 n);
void hugetlb_unreserve(struct hstate *h, u64 n);
/* A page, refcount 1, not cleared: against one promise, or one nobody was promised (then NULL when there is none). => sleeps */
struct page *hugetlb_take(struct hstate *h, bool reserved);
/* Undoes hugetlb_take against a promise: the page is free again and promised again. => the only reference */
void hugetlb_give_back(struct hstate *h, struct page *p);
/* The last reference is gone. True: the pool has it again; false: it is the allocator's. Any context. */
bool hugetlb_page_release(struct page *p);

struct huge_quota { u64 max; s64 used; }; /* (a) pages of one mount */

/* The indices of one object that were promised a page and have not got it. */
struct huge_resv {
	struct hstate *h; /* (I) */
	struct huge_quota *quota; /* (I) charged with each promise, and the page it becomes; NULL: none */
	struct mutex lock;
	struct xarray set; /* (lock) by huge index: the number of the call that promised */
	u64 count, gen; /* (lock) */
};
void huge_resv_init(struct huge_resv *r, struct hstate *h, struct huge_quota *quota);
/* Promises to the indices [first, end) that @skip (NULL: none) does not say have a page. 0 or -ENOMEM, nothing done. */
int huge_resv_add(struct huge_resv *r, u64 first, u64 end, struct mapping *skip);
/* Takes the promise of one index: true when there was one; the page must be taken next, or the promise given back. */
bool huge_resv_take(struct huge_resv *r, u64 index);
/* The page of huge_resv_take's place is not needed after all: page and promise are as before. Drops the page's reference. */
void huge_resv_undo(struct huge_resv *r, u64 index, struct page *p, bool promised);
/* Drops the promises of a range. */
void huge_resv_drop(struct huge_resv *r, u64 first, u64 end);

/* A file of huge pages: lives in its inode. Pages are cached at the index of their first small page. */
struct huge_file {
	struct mapping_ops ops; /* mapping->ops points here */
	struct huge_resv resv; /* of shared mappings */
};
static inline struct huge_file *huge_file_of(const struct mapping *m) { return container_of(m->ops, struct huge_file, ops); }
void huge_file_init(struct huge_file *hf, struct mapping *m, struct hstate *h, struct huge_quota *quota);
/* Drops pages and promises of [first, end) (huge indices). */
void huge_file_drop(struct mapping *m, u64 first, u64 end);
/* The page of a huge index, referenced, made when it is not there. NULL with *err. => sleeps */
struct page *huge_file_get(struct mapping *m, u64 index, int *err);
/* Its two halves, for who has the contents: a page for the index, by its promise (NULL: none left), not cleared; and into the file. An error drops it. */
struct page *huge_file_take(struct mapping *m, u64 index, bool *promised);
int huge_file_add(struct mapping *m, u64 index, struct page *p);
bool huge_quota_charge(struct huge_quota *q, u64 n);
void huge_quota_uncharge(struct huge_quota *q, u64 n);

/* Mappings (mm/hugetlb_vm.c). The mmap of a file of huge pages; the VMA has its range and flags. 0, -EINVAL, -ENOMEM. */
int hugetlb_mmap(struct mapping *m, struct vma *v);
int hugetlb_may_split(struct vma *v, u64 addr); /* for vma_ops put in front of ours */
extern const struct vma_ops hugetlb_vma_ops;

/* A file of huge pages without a name, the door for MAP_HUGETLB, memfd and shm. reserve: all pages promised now. ERR_PTR. (fs) */
struct file *hugetlb_file_create(struct hstate *h, const char *name, u64 size, bool reserve);
/* 0, or the logarithm of the page size of a file of huge pages. (fs) */
unsigned vma_file_huge_shift(struct file *f);

/* Text. */
struct seq_buf;
void hugetlb_meminfo_show(struct seq_buf *s);
void hugetlb_vmstat_show(struct seq_buf *s);
void hugetlb_node_meminfo_show(struct seq_buf *s, int node);
u64 hugetlb_check(void);

#endif
