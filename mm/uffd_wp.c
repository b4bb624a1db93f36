/*
 * userfaultfd: write protection.
 *
 * A protected entry has PTE_UFFD_WP and is not writable. Memory objects and files of huge pages have pages that are there without being mapped,
 * and entries that come and go without the program's doing; there protection must outlive the entry. So in their mappings an entry that maps
 * nothing may be a marker: PTE_UFFD_WP alone. A page that comes to such a place is mapped protected; taking a mapping out
 * leaves a marker (ZAP_KEEP_WP), unless the mapping itself goes. Anonymous memory has no markers: what is not there is not written to either.
 *
 * Markers are found in VMAs with VM_UFFD_WP that are not anonymous, nowhere else (mm_check): uffd_strip takes them out when that ends.
 */
#include <mm/uffd.h>
#include "vm.h"

/* Sets or lifts the protection of one entry. True when a translation lost the right to write. => table locked */
static bool change_entry(const struct vma *v, pte_t *entry, bool wp)
{
	pte_t e = pte_read(entry), n;

	do {
		if (pte_vacant(e))
			n.v = wp && !vma_anonymous(v) ? PTE_UFFD_WP : 0;
		else if (pte_mapped(e))
			n.v = wp ? (soft_dirty_kept(e.v) | PTE_UFFD_WP) & ~PTE_W : e.v & ~PTE_UFFD_WP;
		else
			return false;
		if (n.v == e.v)
			return false;
	} while (!pte_cmpxchg(entry, &e, n));
	return e.v & ~n.v & PTE_W;
}

/* => m, or nobody else knows the mm */
static void change_entries(struct vma *v, pte_t *entry, u64 addr, u64 end, u64 size, bool wp, struct tlb_gather *g)
{
	spinlock_t *lock = pt_lock_of(entry);

	spin_lock(lock);
	for (; addr < end; addr += size, entry++)
		if (change_entry(v, entry, wp))
			tlb_gather_range(g, addr, addr + size);
	spin_unlock(lock);
}

static int change_pool(struct vma *v, u64 start, u64 end, bool wp, struct tlb_gather *g)
{
	u64 size = vma_page_size(v);

	for (u64 a = start; a < end; a += size) {
		pte_t *entry = wp ? hugetlb_entry_alloc(v, a) : hugetlb_entry(v, a);

		if (!entry && wp)
			return -ENOMEM;
		if (entry)
			change_entries(v, entry, a, a + size, size, wp, g);
	}
	return 0;
}

/* The table of @addr, where there is one or protection needs one; NULL with *err 0: nothing to do. */
static pte_t *table_for(struct vma *v, u64 addr, bool wp, int *err)
{
	bool make = wp && !vma_anonymous(v);
	pmd_t *pmd = make ? pt_pmd_alloc(v->mm, addr) : pt_pmd(v->mm, addr), e;

	*err = make && !pmd ? -ENOMEM : 0;
	if (!pmd)
		return NULL;
	if (pmd_huge(pte_settled(pmd))) {
		*err = wp ? huge_split_pmd(v, pmd, addr) : 0; /* a huge entry is never protected */
		if (*err || !wp)
			return NULL;
	}
	if (make && pte_none(pte_read(pmd)) && (*err = pt_table_alloc(v->mm, pmd)))
		return NULL;
	e = pte_read(pmd);
	return pmd_has_table(e) ? table_of(e) : NULL;
}

static int change_range(struct vma *v, u64 start, u64 end, bool wp)
{
	struct tlb_gather g;
	u64 addr, next;
	int err = 0;

	tlb_gather_init(&g, v->mm, false);
	if (v->flags & VM_HUGETLB) {
		err = change_pool(v, start, end, wp, &g);
		start = end;
	}
	for (addr = start; addr < end && !err; addr = next) {
		pte_t *table = table_for(v, addr, wp, &err);

		next = min((addr | ((pt_pmd(v->mm, addr) ? PMD_SIZE : PUD_SIZE) - 1)) + 1, end);
		if (table)
			change_entries(v, table + pte_index(addr), addr, next, PAGE_SIZE, wp, &g);
	}
	tlb_gather_flush(&g);
	return err;
}

void uffd_strip(struct vma *v, u64 start, u64 end)
{
	(void)change_range(v, start, end, false);
}

int uffd_protect(struct uffd *u, u64 start, u64 len, bool wp)
{
	struct mm *mm = u->mm;
	struct vma *v;
	int err;

	if (!mm_get_not_zero(mm))
		return -ESRCH;
	down_read(&mm->lock);
	err = -EAGAIN;
	if (READ_ONCE(u->changing))
		goto out;
	err = -ENOENT;
	v = uffd_target(mm, start, len);
	if (!v || !(v->flags & VM_UFFD_WP))
		goto out;
	err = -EINVAL;
	if ((start | len) & (vma_page_size(v) - 1))
		goto out;
	err = change_range(v, start, start + len, wp);
out:
	up_read(&mm->lock);
	mm_put(mm);
	return err;
}

/* --- faults and fork --- */

int uffd_marker_fault(struct fault *f, pte_t *entry, pte_t e)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(entry);
	bool mapped = false;
	struct page *head;
	int r;

	if (!pte_marker(e) || !v->ops || !v->ops->fault)
		return FR_SIGBUS;
	if (v->flags & (VM_UFFD_MISSING | VM_UFFD_MINOR) && (r = uffd_file_fault(f)))
		return r;
	r = v->ops->fault(f);
	if (r || !f->page)
		return r;
	head = page_head(f->page);
	spin_lock(lock);
	if (pte_marker(pte_read(entry))) {
		__atomic_fetch_add(&head->mapcount, 1, __ATOMIC_SEQ_CST);
		mapped = READ_ONCE(head->mapping) == v->mapping; /* or truncated: filemap.c */
		if (mapped)
			pte_set(entry, pte_make(page_to_phys(f->page), (v->prot & ~PTE_W) | PTE_UFFD_WP));
		else
			page_unmap_one(head);
	}
	spin_unlock(lock);
	if (mapped)
		mm_add_rss(v->mm, page_rss(head), 1);
	else
		page_put(head);
	return FR_OK; /* a write comes again, and waits */
}

/* What is protected in the parent and has no entry of its own in the child has a marker there. */
static int copy_mark(struct vma *to, u64 addr, pte_t e)
{
	bool pool = to->flags & VM_HUGETLB;
	pmd_t *pmd = pool ? NULL : pt_pmd_alloc(to->mm, addr);
	pte_t *entry;

	if (!(e.v & PTE_UFFD_WP))
		return 0;
	if (!pool && (!pmd || (pte_none(pte_read(pmd)) && pt_table_alloc(to->mm, pmd))))
		return -ENOMEM;
	entry = pool ? hugetlb_entry_alloc(to, addr) : table_of(pte_read(pmd)) + pte_index(addr);
	if (!entry)
		return -ENOMEM;
	if (pte_none(pte_read(entry)))
		pte_set(entry, PTE_MARKER_WP);
	return 0;
}

int uffd_copy_marks(struct vma *to, struct vma *from)
{
	u64 size = vma_page_size(from);
	int err = 0;

	if (!(to->flags & VM_UFFD_WP)) {
		uffd_strip(to, to->start, to->end);
		return 0;
	}
	if (vma_anonymous(from))
		return 0; /* copied with the entries */
	for (u64 a = from->start; a < from->end && !err; a += size) {
		pte_t *entry = from->flags & VM_HUGETLB ? hugetlb_entry(from, a) : pt_pte(from->mm, a);

		if (entry)
			err = copy_mark(to, a, pte_settled(entry));
		else if (!(from->flags & VM_HUGETLB))
			a |= PMD_SIZE - PAGE_SIZE; /* no table */
	}
	return err;
}
