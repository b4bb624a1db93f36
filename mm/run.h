/*
 * Huge pages of shared memory: theory in run.c.
 *
 * A run is 512 pages of a memory object that lie together in memory as they do in the object, aligned in both. run.c makes and breaks
 * runs in the object's tree, run_map.c maps them by one PMD entry, run_collapse.c makes them of what is there.
 */
#ifndef MM_RUN_H
#define MM_RUN_H

#include "vm.h"

/* Could it have runs at all? */
static inline bool run_possible(const struct mapping *m)
{
	int all = READ_ONCE(shmem_enabled);

	if (likely(!m->runs) || all == SHMEM_HUGE_DENY)
		return false;
	return all == SHMEM_HUGE_FORCE || READ_ONCE(*m->runs->huge) != SHMEM_HUGE_NEVER;
}
static inline u64 run_base(u64 index) { return index & ~(u64)(HPAGE_PAGES - 1); }
static inline struct page *run_first(struct page *p) { return p - (page_to_pfn(p) & (HPAGE_PAGES - 1)); }
/* Pages the object has room for; faults beyond are SIGBUS. */
static inline u64 run_limit(const struct mapping *m) { return (READ_ONCE(m->size) + PAGE_SIZE - 1) >> PAGE_SHIFT; }
/* Makes the run around @index of zeros, if the policy wants it. 0, -ENOENT: not wanted, -EEXIST: pages are there, -ENOMEM, -ENOSPC: small
 * pages will do. @data: it is data already, not only room for it. => may sleep */
int run_make(struct mapping *m, u64 index, const struct vma *v, bool data);
/* The pages go their own ways: one of them leaves the tree. => m->lock, @p is in the tree with PG_RUN */
void run_break_locked(struct mapping *m, struct page *p);
void run_break(struct page *p); /* whatever page it is. => a reference; no locks */
/* What run_make and a promotion have in common. 512 single pages that nobody can take (refcount 0). */
struct page *run_alloc(struct mapping *m, u64 base, const struct vma *v);
/* Puts those in the tree where it has nothing (where @old, if given, is NULL). 0 or -ENOMEM: nothing was changed. => m->lock */
int run_insert_locked(struct mapping *m, u64 base, struct page *first, struct page *const *old);
void run_publish_locked(struct mapping *m, struct page *first, u64 fresh); /* from here on it is a run, and can be taken. => m->lock */
void run_mark_locked(struct mapping *m); /* its pages have PG_RUN already: counts it. => m->lock */
void run_free_parts(struct page *first); /* never published */
void run_forget(struct mapping *m); /* the mapping ends */
void runs_init(void);

/* run_map.c. May the aligned range around @addr be mapped by one entry? */
bool run_fits(const struct vma *v, u64 addr);
int run_fault(struct fault *f, pmd_t *pmd); /* FR_*; FR_RETRY: small pages. => m read, *pmd was empty */
int run_wp_fault(struct fault *f, pmd_t *pmd, pmd_t e); /* a write to a read-only entry of a run */
int run_map(struct vma *v, pmd_t *pmd, u64 base, struct page *first, bool write); /* FR_OK, FR_RETRY: it is a run no more */
/* An entry goes: the parts' mappings at once, their references when no CPU has the translation any more. => entry's lock */
void run_unmap_parts(struct page *first, pmd_t e);
void run_put_parts(struct page *first);
/* Both, with the flush; faults bring back what is still to be mapped. True: it did map a run. => entry's lock */
bool run_zap_entry(struct vma *v, pmd_t *pmd, u64 addr);
/* No entry maps the run of @p as a whole any more, and it is none. 0 or -EAGAIN. => m->lock, m->rmap_lock (r) */
int run_open_locked(struct mapping *m, struct page *p);

/* run_collapse.c. 0, -EINVAL: no room or nothing there, -ENOMEM, -ENOSPC, -EAGAIN: not now. => m write */
int run_collapse(struct vma *v, u64 base, const struct huge_limits *max);
/* Is it worth trying? A hint. => m read */
bool run_worth_it(struct vma *v, u64 base, const struct huge_limits *max);

#endif
