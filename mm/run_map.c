/*
 * Huge pages of shared memory, as they are mapped: one PMD entry for a run.
 *
 * The entry stands for one reference and one mapping of each of the 512 pages, as if a full table stood there. So an entry turns into a
 * table without a count being touched (huge_split_pmd), and where no table can be had, or only a part is to go and nobody may fail (truncation), it
 * is just taken away whole: the pages are in the object, faults bring them back.
 *
 * Only mappings that share the object's pages (MAP_SHARED) have such entries, and none that userfaultfd watches, whose events are for single pages.
 * Mappings whose address and offset are not aligned alike, and private ones, map a run by small entries.
 *
 * Making an entry follows the rule of filemap.c, for each page of it: under the PMD table's lock its mapping count is raised, then
 * it is seen to be in the tree and part of the run, and only if all are is the entry stored. Whoever takes a page out of the tree clears its
 * place, then looks at its mapping count: either we see that it left, or it sees our count and comes to take the entry, for which it waits for our lock.
 */
#include <mm/mempolicy.h>
#include "run.h"

#define VM_NO_RUN (VM_NOHUGEPAGE | VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR | VM_PFNMAP | VM_HUGETLB | VM_SECRET)

bool run_fits(const struct vma *v, u64 addr)
{
	u64 base = addr & PMD_MASK;

	if (!v->mapping || !v->mapping->runs || !(v->flags & VM_MAYSHARE) || v->flags & VM_NO_RUN || v->mm->flags & MMF_NO_THP)
		return false;
	return base >= v->start && base + PMD_SIZE <= v->end && !(vma_index(v, base) & (HPAGE_PAGES - 1));
}

/* --- counts --- */

/* One part of the entry that is being made. False: it is no part of the run (any more). => PMD locked */
static bool add_part(struct mapping *m, struct page *p, u64 index)
{
	u64 need = 1ull << PG_UPTODATE | 1ull << PG_RUN;

	if (!page_entry_add_unless_free(p))
		return false;
	if (likely(READ_ONCE(p->mapping) == m && p->index == index && (READ_ONCE(p->flags) & need) == need))
		return true;
	page_unmap_one(p);
	page_put(p);
	return false;
}

void run_unmap_parts(struct page *first, pmd_t e)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		if (pte_dirty(e) && !page_flag(first + i, PG_DIRTY))
			page_set_flag(first + i, PG_DIRTY);
		page_unmap_one(first + i);
	}
	mod_vm_state(NR_SHMEM_PMDS, -1);
}

void run_put_parts(struct page *first)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		page_put(first + i);
}

/* --- entries --- */

int run_map(struct vma *v, pmd_t *pmd, u64 base, struct page *first, bool write)
{
	u64 index = vma_index(v, base);
	spinlock_t *lock = pt_lock_of(pmd);
	unsigned n = 0;

	spin_lock(lock);
	if (unlikely(!pte_none(pte_read(pmd)))) {
		spin_unlock(lock);
		return FR_OK; /* somebody was faster: the access is tried again */
	}
	while (n < HPAGE_PAGES && add_part(v->mapping, first + n, index + n))
		n++;
	if (unlikely(n < HPAGE_PAGES)) {
		for (unsigned i = 0; i < n; i++)
			page_unmap_one(first + i);
		spin_unlock(lock);
		while (n--)
			page_put(first + n);
		return FR_RETRY;
	}
	pte_set(pmd, pte_make(page_to_phys(first), v->prot | PTE_PS | (write ? PTE_WRITTEN : 0)));
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_SHMEM, HPAGE_PAGES);
	mod_vm_state(NR_SHMEM_PMDS, 1);
	count_vm_event(THP_FILE_MAPPED);
	return FR_OK;
}

bool run_zap_entry(struct vma *v, pmd_t *pmd, u64 addr)
{
	u64 base = addr & PMD_MASK;
	pmd_t e = pte_read(pmd);
	struct page *first;

	if (!pmd_huge(e))
		return false;
	first = pte_frame(e);
	e = pte_get_and_clear(pmd);
	tlb_flush_range(v->mm, base, base + PMD_SIZE, PMD_SHIFT);
	run_unmap_parts(first, e);
	run_put_parts(first);
	mm_add_rss(v->mm, RSS_SHMEM, -(s64)HPAGE_PAGES);
	return true;
}

/* --- faults --- */

/* Pages that were allocated ahead become zeros. False: one is bad or gone. */
static bool fill(struct mapping *m, struct page *first, u64 index)
{
	int err = 0;

	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		struct page *p;

		if (likely(page_flag(first + i, PG_UPTODATE)))
			continue;
		p = mapping_get(m, index + i, false, false, &err);
		if (!p)
			return false;
		page_put(p);
	}
	return true;
}

int run_fault(struct fault *f, pmd_t *pmd)
{
	struct vma *v = f->vma;
	struct mapping *m = v->mapping;
	u64 base = f->addr & PMD_MASK, index;
	struct page *p;
	int r = FR_RETRY;

	if (!run_fits(v, base))
		return FR_RETRY;
	index = vma_index(v, base);
	if (index + HPAGE_PAGES > run_limit(m)) /* nothing beyond the end is mapped */
		return FR_RETRY;
	p = mapping_find(m, index);
	if (!p) {
		if (run_make(m, index, v, true))
			return FR_RETRY;
		p = mapping_find(m, index);
	}
	if (p && page_flag(p, PG_RUN) && fill(m, p, index))
		r = run_map(v, pmd, base, p, f->flags & FAULT_WRITE);
	if (p)
		page_put(p);
	return r;
}

int run_wp_fault(struct fault *f, pmd_t *pmd, pmd_t e)
{
	spinlock_t *lock = pt_lock_of(pmd);

	spin_lock(lock);
	if (pte_read(pmd).v == e.v)
		pte_set(pmd, (pmd_t){ e.v | PTE_W | PTE_WRITTEN | PTE_A });
	spin_unlock(lock);
	tlb_flush_local(f->addr);
	return FR_OK;
}

/* --- by the reverse map --- */

#define OPEN_TRIES 200

/* => m->lock, rmap_lock; the lock of the table is tried: others hold it while they wait for an answer of ours */
static bool open_one(struct rmap_walk *w, struct vma *v, struct page *first, u64 n)
{
	u64 addr = v->start + ((first->index - v->pgoff) << PAGE_SHIFT);
	pmd_t *pmd;

	(void)n;
	if (v->flags & VM_HUGETLB || first->index < v->pgoff || addr & ~PMD_MASK)
		return true;
	pmd = pt_pmd(v->mm, addr);
	if (!pmd || !pmd_huge(pte_read(pmd)))
		return true;
	for (unsigned i = 0; i < OPEN_TRIES; i++) {
		if (spin_trylock(pt_lock_of(pmd))) {
			run_zap_entry(v, pmd, addr);
			spin_unlock(pt_lock_of(pmd));
			return true;
		}
		spin_poll();
	}
	*(int *)w->arg = -EAGAIN;
	return false;
}

int run_open_locked(struct mapping *m, struct page *p)
{
	int err = 0;
	struct rmap_walk w = { .arg = &err };

	mapping_walk_vmas_locked(m, run_first(p), &w, open_one, HPAGE_PAGES);
	if (!err)
		run_break_locked(m, p);
	return err;
}
