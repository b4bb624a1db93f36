/*
 * struct mapping: the page cache of one file (or shared memory object): a radix tree from page index to page,
 * and the VMAs that map it (interval tree) for the reverse map. A page in the tree holds one reference for the tree.
 * Lookup is lock-free under RCU: load, page_get_unless_zero, check again.
 */
#ifndef MM_MAPPING_H
#define MM_MAPPING_H

#include <kernel/mutex.h>
#include <lib/rbtree.h>
#include <lib/xarray.h>
#include <mm/mm.h>

struct mapping_ops {
	/* Fills a locked page that is not up to date. 0 or -errno. NULL: memory object, new pages are zero. */
	int (*read_page)(struct mapping *m, struct page *p);
	int (*write_page)(struct mapping *m, struct page *p);
	void (*free_page)(struct mapping *m, struct page *p);
};
/* Who wants huge pages of an object: mm/run.c. */
struct run_policy {
	const int *huge; /* SHMEM_HUGE_* */
	int (*room)(struct mapping *m, u64 npages); /* may it grow by so many? 0 or -ENOSPC. NULL: no limit */
};
struct mapping {
	spinlock_t lock; /* tree changes */
	struct xarray pages; /* (lock; readers RCU) */
	u64 nrpages; /* (lock) */
	struct rw_semaphore rmap_lock; /* VMAs */
	struct rb_root vmas; /* (rmap_lock) interval tree by page offset */
	const struct mapping_ops *ops; /* (I) NULL: pure memory (tmpfs) */
	void *host; /* (I) struct inode */
	s32 writable; /* (a) count of VM_SHARED|VM_MAYWRITE mappings; negative: denied (seals) */
	u32 flags;
	u32 nr_runs; /* (lock) */
	struct list_head run_link; /* (run_list_lock) */
	const struct run_policy *runs; /* (I) NULL: small pages only */
	void *policy; /* (RCU) NUMA policies of ranges of a shared memory object */
	u64 size; /* (inode lock; racy readers) bytes: faults beyond it are SIGBUS */
};
#define MAPPING_SHMEM 1u /* pages are swap-backed and never dropped; charged as shmem */
#define MAPPING_HUGE 2u

/* Does the policy want a run at @index? @v: the mapping a fault comes through, or NULL. */
bool run_wanted(const struct mapping *m, u64 index, const struct vma *v);

void mapping_init(struct mapping *m, const struct mapping_ops *ops, void *host, u32 flags);
/* Has it anything mapping_destroy gives back? One without pages may have a policy, and had runs once. */
static inline bool mapping_holds(const struct mapping *m)
{
	return m->nrpages || m->policy || !list_empty(&m->run_link);
}
void mapping_destroy(struct mapping *m); /* all pages dropped; no VMAs may be left */
/* A referenced page or NULL (not cached). => no locks, does not sleep */
struct page *mapping_find(struct mapping *m, u64 index);
/* Referenced pages of up to @n (at most MAPPING_RUN) indices from @index on, ending before the first that is not cached. How many.
 * => no locks, does not sleep */
#define MAPPING_RUN 16
unsigned mapping_find_run(struct mapping *m, u64 index, unsigned n, struct page **pages);
/* A referenced, up-to-date page: found, read, or (memory objects, or create) new and zeroed. NULL + *err. @overwrite: caller will fill the whole page, do not zero. => may sleep */
struct page *mapping_get(struct mapping *m, u64 index, bool create, bool overwrite, int *err);
/* Memory objects: a page whose contents nobody looks at before its first use, which makes them zeros. 0, -EEXIST, -ENOMEM. */
int mapping_allocate(struct mapping *m, u64 index);
/* Takes back those of mapping_allocate, with first <= index < end, that nobody has used since. => may sleep */
void mapping_drop_unused(struct mapping *m, u64 first, u64 end);
/* Inserts a page the caller prepared (takes one more reference). 0, -EEXIST, -ENOMEM. */
int mapping_insert(struct mapping *m, u64 index, struct page *p);
/* Drops pages at and after @from_byte (zeroing the tail of a partial page), after unmapping them from all VMAs. */
void mapping_truncate(struct mapping *m, u64 from_byte);
/* Punch a hole: whole pages freed, edges zeroed. */
void mapping_punch(struct mapping *m, u64 from, u64 to);
void mapping_unmap(struct mapping *m, u64 first_index, u64 n, bool even_private);
/* First cached index >= start, or ~0 (SEEK_DATA/HOLE, mincore). */
u64 mapping_next_index(struct mapping *m, u64 start);
/* Default ops for regular files whose pages live in v->mapping. */
extern const struct vma_ops filemap_vma_ops;
void mapping_add_vma(struct mapping *m, struct vma *v);
/* Before @v, which may be written through, is linked: counts it ahead, so that no seal comes in between; false: sealed already. Once linked
 * mapping_add_vma counts it, and mapping_allow_seal takes this count back. */
bool mapping_deny_seal(struct mapping *m, const struct vma *v);
void mapping_allow_seal(struct mapping *m, const struct vma *v);
void mapping_del_vma(struct mapping *m, struct vma *v);
u64 nr_file_pages(void);
u64 nr_shmem_pages(void);

#endif
