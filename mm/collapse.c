/*
 * Promotion: 512 small pages become one huge page.
 *
 * The owner of mm->lock for writing keeps faults out. The table is unhooked from its PMD entry and the range flushed: from then on no
 * CPU reads or writes the pages, so they can be taken at leisure. What is in the table decides how:
 *
 *	a run		512 pages of ours alone, in order, beginning at a frame that is a multiple of 512: what a split of a huge page leaves
 *			behind. Their counts are frozen, one by one, then they are one compound page again: nothing is copied.
 *	a whole page	the 512 parts of one compound page that nobody else maps (any more): its counts become those of one entry.
 *	scattered	anonymous pages nobody pinned, and empty places: copied to a huge page. Empty entries and zero pages become zeros. Pages
 *			shared with other processes are copied too, like on a write, as long as they are not more than allowed.
 *
 * Anything else makes the attempt fail and the table is hooked in again, unchanged.
 *
 * A walk of the reverse map in between finds no entry of these pages and must live with that; it does, as it must live with an
 * entry that went away. The table is freed after a second flush (the walker may have cached the PMD entry: gather).
 */
#include <lib/string.h>
#include <mm/mempolicy.h>
#include "lru.h"
#include "run.h"

enum { PARTS_BAD, PARTS_SCATTERED, PARTS_RUN, PARTS_WHOLE };

struct collapse {
	struct vma *v;
	pmd_t *pmd, old; /* the entry, and what it was */
	u64 base;
	int parts; /* PARTS_* */
	unsigned present; /* entries that map pages */
};

/* Its references are entries and nothing else, so its contents change through entries only. */
static inline bool only_mapped(const struct page *p)
{
	u64 counts = READ_ONCE(*page_counts((struct page *)p));

	return (u32)counts == counts >> 32 && !p->private;
}

static bool in_one_run(const pte_t *table)
{
	u64 first = pte_pfn(table[0]);

	if (first & (HPAGE_PAGES - 1))
		return false;
	for (unsigned i = 0; i < PTRS; i++)
		if (!pte_has_page(table[i]) || pte_pfn(table[i]) != first + i)
			return false;
	return true;
}

int huge_look(const pte_t *table, const struct huge_limits *max, unsigned *present)
{
	bool run = in_one_run(table);
	unsigned shared = 0;
	struct page *p;

	*present = 0;
	if (run && page_flag(p = pte_frame(table[0]), PG_HEAD)) {
		*present = PTRS;
		return page_order(p) == HPAGE_ORDER && page_type(p) == PT_ANON && p->mapcount == (s32)PTRS && only_mapped(p) ?
			       PARTS_WHOLE : PARTS_BAD;
	}
	for (unsigned i = 0; i < PTRS; i++) {
		pte_t e = pte_read((pte_t *)&table[i]);

		if (pte_none(e) || (e.v & PTE_SPECIAL && pte_frame(e) == zero_page))
			continue;
		if (!pte_has_page(e))
			return PARTS_BAD;
		p = pte_frame(e);
		if (page_flag(p, PG_HEAD) || page_flag(p, PG_TAIL) || page_type(p) != PT_ANON || !only_mapped(p))
			return PARTS_BAD;
		shared += READ_ONCE(p->mapcount) > 1;
		++*present;
	}
	if (PTRS - *present > max->none || shared > max->shared)
		return PARTS_BAD;
	return run && !shared ? PARTS_RUN : PARTS_SCATTERED;
}

/* --- in place --- */

/* Nobody can take a reference to any of the 512 pages from now on. False: somebody has one. */
static bool freeze_run(struct page *first)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		u64 want = PAGE_ENTRY;

		if (__atomic_compare_exchange_n(page_counts(first + i), &want, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		while (i--)
			__atomic_store_n(page_counts(first + i), PAGE_ENTRY, __ATOMIC_RELEASE);
		return false;
	}
	return true;
}

/* What the table maps as one page, its counts those of one entry. NULL: it has to be copied. */
static struct page *join(const struct collapse *c, pte_t *table)
{
	struct page *p = pte_frame(table[0]);
	u64 parts = PTRS * PAGE_ENTRY;

	if (c->parts == PARTS_WHOLE) {
		lru_del(p); /* as a copy: it is in use */
		return __atomic_compare_exchange_n(page_counts(p), &parts, PAGE_ENTRY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) ? p : NULL;
	}
	if (c->parts != PARTS_RUN || !freeze_run(p))
		return NULL;
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		lru_del(p + i);
	join_pages(p, HPAGE_ORDER);
	return p;
}

/* --- by copy --- */

static void copy_parts(struct page *huge, const pte_t *table)
{
	for (unsigned i = 0; i < PTRS; i++) {
		if (pte_has_page(table[i]))
			copy_page(page_address(huge + i), page_address(pte_frame(table[i])));
		else
			clear_page(page_address(huge + i));
	}
}

static void release_parts(const pte_t *table)
{
	for (unsigned i = 0; i < PTRS; i++) {
		if (pte_has_page(table[i])) {
			page_unmap_one(pte_frame(table[i]));
			page_put(pte_frame(table[i]));
		}
	}
}

/* --- the entry --- */

static void install(const struct collapse *c, struct page *huge)
{
	struct vma *v = c->v;
	spinlock_t *lock = pt_lock_of(c->pmd);

	page_set_type(huge, PT_ANON);
	huge->anon = v->anon;
	huge->index = vma_index(v, c->base);
	huge->mapcount = 1;
	huge->private = 0;
	spin_lock(lock);
	pte_set(c->pmd, pte_make(page_to_phys(huge), v->prot | PTE_PS | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0)));
	spin_unlock(lock);
}

/* Unhooks the table so that nobody can use the pages, and says what is in it. NULL: there is none. */
static pte_t *unhook(struct collapse *c, const struct huge_limits *max)
{
	spinlock_t *lock = pt_lock_of(c->pmd);
	pte_t *table;

	spin_lock(lock);
	c->old = pte_read(c->pmd);
	if (!pmd_has_table(c->old)) {
		spin_unlock(lock);
		return NULL;
	}
	table = table_of(c->old);
	pte_set(c->pmd, (pmd_t){ 0 });
	spin_unlock(lock);
	tlb_flush_range(c->v->mm, c->base, c->base + PMD_SIZE, PAGE_SHIFT);
	/* a walk of the reverse map that found the table before is done with each entry when we had its lock */
	spin_lock(pt_lock_of(table));
	c->parts = huge_look(table, max, &c->present);
	spin_unlock(pt_lock_of(table));
	return table;
}

void huge_free_table(struct mm *mm, u64 base, pte_t *table)
{
	struct tlb_gather g;

	memset(table, 0, PAGE_SIZE);
	tlb_gather_init(&g, mm, false);
	tlb_gather_range(&g, base, base + PAGE_SIZE);
	tlb_gather_table(&g, virt_to_page(table));
	tlb_gather_flush(&g);
}

/* The range becomes one page: the run it is, or a copy in *spare, which is used up then. False: as before. */
static bool promote(struct collapse *c, const struct huge_limits *max, struct page **spare)
{
	pte_t *table = unhook(c, max);
	struct page *huge = NULL;

	if (!table)
		return false;
	if (c->parts != PARTS_BAD)
		huge = join(c, table);
	if (!huge && (c->parts == PARTS_BAD || !*spare)) {
		pte_set(c->pmd, c->old);
		return false;
	}
	/* commit: no failure below */
	if (huge) {
		count_vm_event(THP_COLLAPSE_INPLACE);
		install(c, huge);
	} else {
		huge = *spare;
		*spare = NULL;
		copy_parts(huge, table);
		install(c, huge);
		release_parts(table);
		count_vm_event(THP_COLLAPSE_ALLOC);
	}
	/* who walks the reverse map may still be in the table */
	spin_lock(&c->v->anon->lock);
	spin_unlock(&c->v->anon->lock);
	huge_free_table(c->v->mm, c->base, table);
	return true;
}

int huge_collapse(struct vma *v, u64 base, const struct huge_limits *max)
{
	struct collapse c = { .v = v, .base = base, .pmd = pt_pmd(v->mm, base) };
	struct page *spare = NULL;
	bool done;

	if (c.pmd && pmd_huge(pte_read(c.pmd)))
		return 0;
	if (!c.pmd || !pmd_has_table(pte_read(c.pmd)))
		return -EINVAL;
	if (anon_prepare(v))
		return -ENOMEM;
	if (huge_look(table_of(pte_read(c.pmd)), max, &c.present) == PARTS_SCATTERED) {
		spare = alloc_vma_pages((max->work ? GFP_USER : GFP_MOVABLE) | GFP_COMP | GFP_NOWARN, HPAGE_ORDER, v, base);
		if (!spare)
			return -ENOMEM;
	}
	vma_write_lock(v);
	done = promote(&c, max, &spare);
	if (spare)
		page_put(spare);
	if (!done)
		return -EAGAIN;
	mm_add_rss(v->mm, RSS_ANON, HPAGE_PAGES - c.present);
	mod_vm_state(NR_ANON_THPS, 1);
	return 0;
}

int huge_collapse_range(struct vma *v, u64 start, u64 end)
{
	u64 base = (start + PMD_SIZE - 1) & PMD_MASK, last = (v->end - PMD_SIZE) & PMD_MASK;
	static const struct huge_limits unlimited = { PTRS, PTRS, true }; /* advice asks no policy */
	int err = 0;

	bool shared = v->mapping && v->mapping->runs;

	if (!shared && (!vma_anonymous(v) || v->flags & (VM_NOHUGEPAGE | VM_SHARED | VM_PFNMAP | VM_UFFD_MISSING | VM_UFFD_WP)))
		return -EINVAL;
	if (v->end < PMD_SIZE || last < v->start) /* no huge page has room in the mapping, whatever the range */
		return -EINVAL;
	for (; base + PMD_SIZE <= end && base + PMD_SIZE > base; base += PMD_SIZE) {
		pmd_t *pmd = pt_pmd(v->mm, base);
		int e;

		if (shared)
			e = run_collapse(v, base, &unlimited);
		else if (!pmd || pte_none(pte_read(pmd)))
			e = -EINVAL; /* nothing there to collapse */
		else
			e = huge_collapse(v, base, &unlimited);
		if (e == -ENOMEM)
			return e;
		err = err ? err : e;
	}
	return err;
}
