/*
 * Promotion: 512 small pages become one huge page.
 *
 * The owner of mm->lock for writing keeps faults out. The table is unhooked from its PMD entry and the range flushed: from then on no
 * CPU reads or writes the pages, so they can be copied at leisure. Only pages that are ours alone are taken: a shared or pinned one
 * makes the attempt fail and the table is hooked in again, unchanged. Empty entries and zero pages become zeros.
 *
 * A walk of the reverse map in between finds no entry of these pages and must live with that; it does, as it must live with an
 * entry that went away. The table is freed after a second flush (the walker may have cached the PMD entry: gather).
 */
#include <lib/string.h>
#include <mm/mempolicy.h>
#include "vm.h"

static bool may_take(struct page *p)
{
	return !page_flag(p, PG_HEAD) && !page_flag(p, PG_TAIL) && page_type(p) == PT_ANON && page_exclusive(p) && !p->private;
}

/* All entries are empty, zero page, or pages of ours alone. *present counts the latter. */
static bool table_is_ours(const pte_t *table, unsigned *present)
{
	*present = 0;
	for (unsigned i = 0; i < PTRS; i++) {
		if (pte_none(table[i]) || (table[i].v & PTE_SPECIAL && pte_frame(table[i]) == zero_page))
			continue;
		if (!pte_has_page(table[i]) || !may_take(pte_frame(table[i])))
			return false;
		++*present;
	}
	return true;
}

static void copy_parts(struct page *huge, const pte_t *table)
{
	for (unsigned i = 0; i < PTRS; i++) {
		if (pte_has_page(table[i]))
			copy_page(page_address(huge + i), page_address(pte_frame(table[i])));
		else
			clear_page(page_address(huge + i));
	}
}

static void release_parts(pte_t *table)
{
	for (unsigned i = 0; i < PTRS; i++) {
		if (pte_has_page(table[i])) {
			struct page *p = pte_frame(table[i]);

			p->mapcount = 0;
			page_put(p);
		}
		table[i] = (pte_t){ 0 };
	}
}

static void install(struct vma *v, pmd_t *pmd, struct page *huge, u64 base)
{
	spinlock_t *lock = pt_lock_of(pmd);

	page_set_type(huge, PT_ANON);
	huge->anon = v->anon;
	huge->index = vma_index(v, base);
	huge->mapcount = 1;
	huge->private = 0;
	spin_lock(lock);
	pte_set(pmd, pte_make(page_to_phys(huge), v->prot | PTE_PS | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0)));
	spin_unlock(lock);
}

/* Unhooks the table of [base, base + 2 MiB) so that nobody can use the pages. NULL: there is none, or it is not ours alone. */
static pte_t *unhook(struct vma *v, pmd_t *pmd, u64 base, unsigned *present)
{
	spinlock_t *lock = pt_lock_of(pmd);
	pte_t *table;
	pmd_t e;

	spin_lock(lock);
	e = pte_read(pmd);
	if (!pmd_has_table(e)) {
		spin_unlock(lock);
		return NULL;
	}
	table = table_of(e);
	pte_set(pmd, (pmd_t){ 0 });
	spin_unlock(lock);
	tlb_flush_range(v->mm, base, base + PMD_SIZE, PAGE_SHIFT);
	/* a walk of the reverse map that found the table before is done with each entry when we had its lock */
	spin_lock(pt_lock_of(table));
	if (!table_is_ours(table, present)) {
		spin_unlock(pt_lock_of(table));
		pte_set(pmd, e);
		return NULL;
	}
	spin_unlock(pt_lock_of(table));
	return table;
}

int huge_collapse(struct vma *v, u64 base)
{
	struct mm *mm = v->mm;
	pmd_t *pmd = pt_pmd(mm, base);
	struct page *huge;
	struct tlb_gather g;
	unsigned present;
	pte_t *table;

	if (pmd && pmd_huge(pte_read(pmd)))
		return 0;
	if (!pmd || !pmd_has_table(pte_read(pmd)))
		return -EINVAL;
	if (anon_prepare(v))
		return -ENOMEM;
	vma_write_lock(v);
	huge = alloc_vma_pages(GFP_USER | GFP_COMP | GFP_NOWARN, HPAGE_ORDER, v, base);
	if (!huge)
		return -ENOMEM;
	table = unhook(v, pmd, base, &present);
	if (!table) {
		page_put(huge);
		return -EAGAIN;
	}
	/* commit: no failure below */
	copy_parts(huge, table);
	install(v, pmd, huge, base);
	release_parts(table);
	mm_add_rss(mm, RSS_ANON, HPAGE_PAGES - present);
	tlb_gather_init(&g, mm, false);
	tlb_gather_range(&g, base, base + PAGE_SIZE);
	tlb_gather_table(&g, virt_to_page(table));
	tlb_gather_flush(&g);
	mod_vm_state(NR_ANON_THPS, 1);
	count_vm_event(THP_COLLAPSE_ALLOC);
	return 0;
}

int huge_collapse_range(struct vma *v, u64 start, u64 end)
{
	u64 base = (start + PMD_SIZE - 1) & PMD_MASK;
	int err = 0;

	if (!vma_anonymous(v) || v->flags & (VM_NOHUGEPAGE | VM_SHARED | VM_PFNMAP | VM_UFFD_MISSING | VM_UFFD_WP))
		return -EINVAL;
	for (; base + PMD_SIZE <= end && base + PMD_SIZE > base; base += PMD_SIZE) {
		pmd_t *pmd = pt_pmd(v->mm, base);
		int e;

		if (!pmd || pte_none(pte_read(pmd)))
			e = -EINVAL; /* nothing there to collapse */
		else
			e = huge_collapse(v, base);
		if (e == -ENOMEM)
			return e;
		err = err ? err : e;
	}
	return err;
}
