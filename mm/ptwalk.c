/*
 * Walking and growing the user half of a page-table tree.
 *
 * Tables appear under a lock and are seen at once by walkers without one: a table is all zero before its entry is stored
 * (release), and x86 page walkers follow the same order. They disappear in pt_free_range only, which the owner of
 * mm->lock for writing calls after the range left the VMA set and the reverse map; the pages go through the gather,
 * so they are reused only after every CPU dropped what it cached of them.
 *
 * A table page that is given back is all zero again: each entry was cleared by the zap or by us.
 */
#include "vm.h"

#define TABLE_BITS (PTE_P | PTE_W | PTE_U | PTE_A)

struct page *pt_page_alloc(struct mm *mm)
{
	return page_table_alloc(mm, GFP_KERNEL);
}

void pt_page_free(struct mm *mm, struct page *p)
{
	page_table_free(p);
}

/*
 * Page-table isolation: an entry of the root is set and cleared in the twin for user mode too. The kernel's copy gets NX, so that
 * kernel mode runs no user code even where the CPU has no SMEP. => the entry's lock
 */
static void mirror(struct mm *mm, pte_t *entry)
{
	u64 i = ((u64)entry - (u64)mm->root) / sizeof(pte_t);
	pte_t e = pte_read(entry);

	if (i >= PTRS)
		return;
	pte_set(&mm->user_root[i], e);
	if (pte_present(e) && cpu_has(nx))
		pte_set(entry, (pte_t){ e.v | PTE_NX });
}

/* Fills an empty entry with a new table. @lock guards the entry. */
static int fill_entry(struct mm *mm, pte_t *entry, spinlock_t *lock)
{
	struct page *p = pt_page_alloc(mm);

	if (unlikely(!p))
		return -ENOMEM;
	spin_lock(lock);
	if (likely(pte_none(*entry))) {
		pte_set(entry, pte_make(page_to_phys(p), TABLE_BITS));
		if (unlikely(mm->user_root))
			mirror(mm, entry);
		p = NULL;
	}
	spin_unlock(lock);
	if (unlikely(p))
		pt_page_free(mm, p);
	return 0;
}

/*
 * The entry of 512 GiB. All below 2^48 hangs below mm->pgd, whatever the number of levels; what lies above, which only
 * programs with 5 levels that asked for it have, is found from the root. NULL: the table is missing.
 */
static pte_t *high_entry(struct mm *mm, u64 addr)
{
	pte_t e = pte_read(&mm->root[pgd5_index(addr)]);

	return pte_present(e) ? table_of(e) + pgd_index(addr) : NULL;
}

static inline pte_t *pgd_entry(struct mm *mm, u64 addr)
{
	return likely(!(addr >> PGDIR5_SHIFT)) ? &mm->pgd[pgd_index(addr)] : high_entry(mm, addr);
}

u64 pt_hole_size(struct mm *mm, u64 addr)
{
	pte_t *e = pgd_entry(mm, addr);

	if (!e)
		return 1ull << PGDIR5_SHIFT;
	return pte_present(pte_read(e)) ? PUD_SIZE : 1ull << PGDIR_SHIFT;
}

pmd_t *pt_pmd(struct mm *mm, u64 addr)
{
	pte_t *top = pgd_entry(mm, addr), e;

	if (unlikely(!top))
		return NULL;
	e = pte_read(top);
	if (!pte_present(e))
		return NULL;
	e = pte_read(table_of(e) + pud_index(addr));
	if (!pmd_has_table(e)) /* nothing, or a page of 1 GiB */
		return NULL;
	return table_of(e) + pmd_index(addr);
}

pud_t *pt_pud(struct mm *mm, u64 addr)
{
	pte_t *top = pgd_entry(mm, addr), e;

	if (!top)
		return NULL;
	e = pte_read(top);
	return pte_present(e) ? table_of(e) + pud_index(addr) : NULL;
}

/* In every fault: inline. */
static __always_inline pud_t *pud_alloc(struct mm *mm, u64 addr)
{
	pte_t *entry = pgd_entry(mm, addr);

	if (unlikely(!entry)) {
		if (fill_entry(mm, &mm->root[pgd5_index(addr)], &mm->page_table_lock))
			return NULL;
		entry = high_entry(mm, addr);
	}
	if (unlikely(!pte_present(pte_read(entry))) && fill_entry(mm, entry, &mm->page_table_lock))
		return NULL;
	return table_of(pte_read(entry)) + pud_index(addr);
}

pud_t *pt_pud_alloc(struct mm *mm, u64 addr)
{
	return pud_alloc(mm, addr);
}

pmd_t *pt_pmd_alloc(struct mm *mm, u64 addr)
{
	pud_t *entry = pud_alloc(mm, addr);

	if (unlikely(!entry))
		return NULL;
	if (unlikely(!pte_present(pte_read(entry))) && fill_entry(mm, entry, &mm->page_table_lock))
		return NULL;
	return table_of(pte_read(entry)) + pmd_index(addr);
}

int pt_table_alloc(struct mm *mm, pmd_t *pmd)
{
	return fill_entry(mm, pmd, pt_lock_of(pmd));
}

pte_t *pt_pte(struct mm *mm, u64 addr)
{
	pmd_t *pmd = pt_pmd(mm, addr), e;

	if (!pmd)
		return NULL;
	e = pte_read(pmd);
	return pmd_has_table(e) ? table_of(e) + pte_index(addr) : NULL;
}

static void free_entry(struct tlb_gather *g, pte_t *entry, u64 from, u64 to)
{
	struct page *p = phys_to_page(pte_pa(*entry));

	pte_set(entry, (pte_t){ 0 });
	if (unlikely(g->mm->user_root))
		mirror(g->mm, entry);
	/* the walker may have cached the upper entry: any address below it must be flushed */
	tlb_gather_range(g, from, min(to, from + PAGE_SIZE));
	tlb_gather_table(g, p);
}

/* One level: entries of @shift bits each in @table, which starts at @base. Frees children first. */
static void free_level(struct tlb_gather *g, pte_t *table, unsigned shift, u64 start, u64 end, u64 floor, u64 ceiling)
{
	u64 size = 1ull << shift, next;
	u64 a = start & ~(size - 1);

	for (; a < end; a = next) {
		pte_t *entry = table + ((a >> shift) & 511);

		next = a + size;
		if (!pmd_has_table(*entry))
			continue;
		if (shift > PMD_SHIFT)
			free_level(g, table_of(*entry), shift - 9, max(a, start), min(next, end), floor, ceiling);
		if (a >= floor && next <= ceiling)
			free_entry(g, entry, a, next);
	}
}

void pt_free_range(struct tlb_gather *g, u64 start, u64 end, u64 floor, u64 ceiling)
{
	u64 middle = 1ull << PGDIR5_SHIFT;

	if (start < middle)
		free_level(g, g->mm->pgd, PGDIR_SHIFT, start, min(end, middle), floor, ceiling);
	if (unlikely(end > middle))
		free_level(g, g->mm->root, PGDIR5_SHIFT, max(start, middle), end, floor, ceiling);
}

u64 vm_prot(u64 flags)
{
	u64 prot = PTE_U | PTE_A | (flags >> VM_PKEY_SHIFT << PTE_PKEY_SHIFT);

	if (!(flags & VM_EXEC) && cpu_has(nx))
		prot |= PTE_NX;
	if (!(flags & (VM_READ | VM_WRITE | VM_EXEC)))
		return prot | PTE_PROTNONE;
	if ((flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE))
		prot |= PTE_W;
	return prot | PTE_P;
}

void vma_set_prot(struct vma *v)
{
	u64 keep = v->prot & (PTE_PWT | PTE_PCD | PTE_PAT); /* caching of device mappings */

	v->prot = vm_prot(v->flags) | keep;
	if (v->ops && v->ops->page_mkwrite)
		v->prot &= ~PTE_W;
}
