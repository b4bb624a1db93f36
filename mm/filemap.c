/*
 * Faults in file mappings.
 *
 * A read fault, and any fault in a shared mapping that needs no page_mkwrite, maps the cached pages of the aligned 16-page window
 * around the address in one go: the faults that do not happen are the cheapest. Pages mapped ahead are clean, so the
 * dirty bit still tells what was written.
 *
 * Faults against truncation, without page locks. Truncation: size lowered; range unmapped; each page: out of the tree, page->mapping
 * = NULL; barrier; mapcount != 0 -> range unmapped again. Fault, under the table's lock: mapcount raised (a locked instruction,
 * thus a barrier); page->mapping looked at; entry stored only if it is still the mapping. If the fault saw the mapping, truncation sees the
 * mapcount, and its second walk waits for the table's lock and finds the entry. Otherwise the fault backs out.
 */
#include <kernel/rcu.h>
#include <mm/uffd.h>
#include <mm/mempolicy.h>
#include "vmalock.h"

#define AROUND 16

bool page_entry_add_unless_free(struct page *p)
{
	u64 v = READ_ONCE(*page_counts(p));

	while (likely((u32)v))
		if (__atomic_compare_exchange_n(page_counts(p), &v, v + PAGE_ENTRY, true, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

/* Maps a cached page seen without a reference. => table locked, RCU */
static bool map_cached(struct mapping *m, pte_t *entry, struct page *p, u64 index, u64 bits)
{
	u64 state = 1ull << PG_UPTODATE | 1ull << PG_MOVING;

	if ((READ_ONCE(p->flags) & state) != 1ull << PG_UPTODATE || !page_entry_add_unless_free(p))
		return false;
	if (unlikely(READ_ONCE(p->mapping) != m || p->index != index)) {
		page_unmap_one(p);
		page_put(p);
		return false;
	}
	pte_set(entry, pte_make(page_to_phys(p), bits));
	return true;
}

/* The window as indices in the file, by those of the faulting page and its VMA. */
static void around_window(const struct fault *f, u64 size, u64 *first, u64 *last)
{
	const struct vma *v = f->vma;
	u64 lo = f->addr & ~(AROUND * PAGE_SIZE - 1), hi = lo + AROUND * PAGE_SIZE;

	lo = max(lo, v->start);
	hi = min(hi, v->end);
	*first = f->pgoff - ((f->addr - lo) >> PAGE_SHIFT);
	*last = min(f->pgoff + ((hi - f->addr) >> PAGE_SHIFT), (size + PAGE_SIZE - 1) >> PAGE_SHIFT); /* exclusive */
}

/* FR_OK: the faulting address is mapped now. FR_SLOW: it is not. FR_BUSY: as fault_lock. */
int filemap_map_around(struct fault *f, pte_t *table)
{
	struct vma *v = f->vma;
	struct mm *mm = v->mm;
	struct mapping *m = v->mapping;
	u64 first, last, index, indices[AROUND], bits = v->prot & ~PTE_W;
	void *pages[AROUND];
	unsigned n, mapped = 0;
	int kind = RSS_FILE;
	spinlock_t *lock = pt_lock_of(table);
	int r = FR_SLOW;

	around_window(f, READ_ONCE(m->size), &first, &last);
	if (f->pgoff >= last)
		return FR_SLOW;
	if (v->flags & VM_SHARED)
		bits = v->prot;
	index = first;
	rcu_read_lock();
	n = xa_gather(&m->pages, &index, last - 1, pages, indices, AROUND);
	if (!n)
		goto out;
	if (!fault_lock(f, lock)) {
		r = FR_BUSY;
		goto out;
	}
	/* nothing of v is read from here on */
	for (unsigned i = 0; i < n; i++) {
		pte_t *entry = table + pte_index(f->addr + ((indices[i] - f->pgoff) << PAGE_SHIFT));

		if (unlikely(xa_is_value(pages[i])))
			continue;
		if (!pte_none(*entry)) {
			if (indices[i] == f->pgoff)
				r = FR_OK;
			continue;
		}
		if (!map_cached(m, entry, pages[i], indices[i], bits))
			continue;
		mapped++;
		if (indices[i] == f->pgoff) {
			r = FR_OK;
			if (f->flags & FAULT_WRITE)
				entry->v |= PTE_WRITTEN;
		}
	}
	spin_unlock(lock);
	if (mapped) {
		if (m->flags & MAPPING_SHMEM)
			kind = RSS_SHMEM;
		mm_add_rss(mm, kind, mapped);
	}
out:
	rcu_read_unlock();
	return r;
}

static int filemap_fault(struct fault *f)
{
	struct mapping *m = f->vma->mapping;
	int err = 0;

	if (unlikely(f->pgoff >= (READ_ONCE(m->size) + PAGE_SIZE - 1) >> PAGE_SHIFT))
		return FR_SIGBUS;
	f->page = mapping_get(m, f->pgoff, true, false, &err);
	if (likely(f->page)) {
		if (unlikely(page_flag(f->page, PG_MOVING))) { /* the access is tried again when that is over */
			page_lock(f->page);
			page_unlock(f->page);
			page_put(f->page);
			f->page = NULL;
			return FR_OK;
		}
		/* made after a truncation had passed here: it must not stay */
		if (unlikely(f->pgoff >= (READ_ONCE(m->size) + PAGE_SIZE - 1) >> PAGE_SHIFT)) {
			mapping_drop_page(m, f->page);
			page_put(f->page);
			f->page = NULL;
			return FR_SIGBUS;
		}
		return FR_OK;
	}
	return err == -ENOMEM ? FR_OOM : err == -EHWPOISON ? FR_HWPOISON : FR_SIGBUS;
}

const struct vma_ops filemap_vma_ops = { .fault = filemap_fault, .map_cached = true };

int map_page_at(struct fault *f, pmd_t *pmd, struct page *p, bool write)
{
	struct vma *v = f->vma;
	pte_t *entry = table_of(pte_read(pmd)) + pte_index(f->addr);
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = v->prot & ~PTE_W;
	struct page *head = page_head(p);

	if (write)
		bits |= PTE_W | PTE_WRITTEN;
	spin_lock(lock);
	if (unlikely(!pte_none(*entry)))
		goto undo;
	__atomic_fetch_add(&head->mapcount, 1, __ATOMIC_SEQ_CST);
	if (unlikely(v->mapping && READ_ONCE(head->mapping) != v->mapping)) {
		page_unmap_one(head);
		goto undo;
	}
	pte_set(entry, pte_make(page_to_phys(p), bits));
	if (write)
		page_set_flag(head, PG_DIRTY);
	spin_unlock(lock);
	mm_add_rss(v->mm, page_rss(head), 1);
	return FR_OK;
undo:
	spin_unlock(lock);
	page_put(head);
	return FR_OK; /* the access faults again and finds what is there now */
}

/* First write to a page of a private mapping: straight to the copy. */
static int private_write(struct fault *f, pmd_t *pmd)
{
	struct vma *v = f->vma;
	pte_t *entry = table_of(pte_read(pmd)) + pte_index(f->addr);
	spinlock_t *lock = pt_lock_of(entry);
	struct page *p;
	int r;

	if (anon_prepare(v))
		return FR_OOM;
	r = v->ops->fault(f);
	if (r || !f->page)
		return r;
	p = alloc_vma_pages(GFP_USER, 0, v, f->addr);
	if (unlikely(!p)) {
		page_put(page_head(f->page));
		return FR_OOM;
	}
	copy_page(page_address(p), page_address(f->page));
	page_put(page_head(f->page));
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = f->pgoff;
	p->mapcount = 1;
	p->private = 0;
	spin_lock(lock);
	if (unlikely(!pte_none(*entry))) {
		spin_unlock(lock);
		p->mapcount = 0;
		page_put(p);
		return FR_OK;
	}
	pte_set(entry, pte_make(page_to_phys(p), v->prot | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0)));
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_ANON, 1);
	return FR_OK;
}

int file_fault(struct fault *f, pmd_t *pmd)
{
	struct vma *v = f->vma;
	bool write = f->flags & FAULT_WRITE, shared = v->flags & VM_SHARED;
	struct page *p;
	int r;

	if (!v->ops->fault)
		return FR_SIGBUS;
	if (unlikely(v->flags & (VM_UFFD_MISSING | VM_UFFD_MINOR)) && (r = uffd_file_fault(f)))
		return r;
	if (write && !shared)
		return private_write(f, pmd);
	/* minor faults are to be seen page by page */
	if (v->ops->map_cached && (!write || !v->ops->page_mkwrite) && likely(!(v->flags & VM_UFFD_MINOR)) &&
	    filemap_map_around(f, table_of(pte_read(pmd))) == FR_OK)
		return FR_OK;
	r = v->ops->fault(f);
	if (r || !f->page)
		return r;
	p = f->page;
	if (write && v->ops->page_mkwrite && (r = v->ops->page_mkwrite(f))) {
		page_put(page_head(p));
		return r;
	}
	return map_page_at(f, pmd, p, write);
}
