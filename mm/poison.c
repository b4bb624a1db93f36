/*
 * Frames that are not to be used again: MADV_HWPOISON (as if the memory had failed) and MADV_SOFT_OFFLINE (before it fails).
 *
 * Soft: the page is moved, and the old frame kept instead of freed. Nobody notices.
 *
 * Hard: what the frame holds is lost. Every entry that maps it becomes a poison entry (poison_entry: not present, PTE_U, the frame), and whoever touches
 * it gets SIGBUS, BUS_MCEERR_AR with the size of the damage. fork copies poison entries, unmapping and MADV_DONTNEED forget them: there is a new
 * page then. A page of a memory object stays in the object with PG_HWPOISON and without PG_UPTODATE, so that reading gives EIO
 * and mapping SIGBUS, until it is truncated or punched out. A huge page is split first; one that is shared cannot be: EBUSY.
 *
 * Either way the frame keeps one reference for ever, is not given back, counts in HardwareCorrupted, and there is no way to undo it.
 *
 * A page of a pool fails as a whole (si_addr_lsb is 21 or 30) and stays in its pool, in use for ever; soft, it is replaced by a fresh one and
 * but for the frame named freed.
 *
 * Only user memory can be given up: the kernel's own pages (zero page, vDSO) and pages somebody else is working on say EBUSY (softly,
 * the kernel's own say EIO, as Linux), secret memory EFAULT.
 */
#include <mm/migrate.h>
#include "lru.h"
#include "pool.h"
#include "run.h"

#define TRIES 8

struct strike {
	struct page *p;
	s32 taken;
};

/* => entry's lock */
static bool strike_entry(struct rmap_walk *w, struct vma *v, u64 addr, pte_t *entry, bool huge)
{
	struct strike *s = w->arg;

	u64 size = vma_page_size(v);

	if (huge && !(v->flags & VM_HUGETLB)) { /* of a run: faults bring back the rest of it */
		run_zap_entry(v, entry, addr);
		return true;
	}
	lru_del(s->p);
	(void)pte_get_and_clear(entry);
	tlb_flush_range(v->mm, addr, addr + size, size == PAGE_SIZE ? PAGE_SHIFT : PMD_SHIFT);
	pte_set(entry, poison_entry(s->p));
	page_unmap_one(s->p);
	if (v->flags & VM_HUGETLB)
		__atomic_fetch_sub(&v->mm->hugetlb_pages, (s64)(size >> PAGE_SHIFT), __ATOMIC_RELAXED);
	else
		mm_add_rss(v->mm, page_rss(s->p), -1);
	s->taken++;
	return true;
}

static void count_frame(const struct page *p, const char *how)
{
	mod_vm_state(NR_POISONED, 1);
	pr_err("Memory failure: %#llx: %s\n", page_to_pfn(p), how);
}

/* => a reference of the caller's, which stays with the page; small, or a pool's */
static int strike(struct page *p)
{
	struct strike s = { .p = p };
	struct rmap_walk w = { .fn = strike_entry, .arg = &s };

	if (page_test_and_set_flag(p, PG_HWPOISON))
		return -EHWPOISON;
	if (page_type(p) == PT_FILE) {
		/* whoever fills it or makes it zero is waited for; from here on it is found bad */
		page_lock(p);
		page_clear_flag(p, PG_UPTODATE);
		run_break(p);
		page_unlock(p);
	}
	for (int i = 0; i < TRIES && READ_ONCE(p->mapcount) > 0; i++)
		rmap_walk(p, &w);
	for (; s.taken; s.taken--)
		page_put(p);
	count_frame(p, "given up, who touches it is told");
	return 0;
}

/* Makes the page at @addr a small one. 0, -ENOMEM, -EBUSY: it is shared. => m not held */
static int split_at(struct mm *mm, u64 addr)
{
	int err = -EFAULT;
	struct vma *v;
	pmd_t *pmd;

	down_read(&mm->lock);
	v = vma_at(mm, addr);
	pmd = v && !(v->flags & VM_HUGETLB) ? pt_pmd(mm, addr) : NULL;
	if (pmd)
		err = huge_split_pmd(v, pmd, addr);
	up_read(&mm->lock);
	return err;
}

static int retire_small(struct migration *m, struct page *p)
{
	struct page *to = alloc_pages(GFP_USER | GFP_NOWARN, 0);
	int err = to ? migrate_page_retire(m, p, to) : -ENOMEM;

	if (err && to)
		page_put(to);
	return err;
}

/* What is in the frame goes elsewhere. 0, -EAGAIN: look again, -EBUSY, -ENOMEM */
static int move_away(struct page *head, struct page *p)
{
	struct migration *m = migration_alloc();
	int err;

	if (!m)
		return -ENOMEM;
	err = page_flag(head, PG_HUGETLB) ? hugetlb_offline(m, head, p) : retire_small(m, p);
	migration_free(m);
	if (!err)
		count_frame(p, "taken out of use");
	return err == -ENOENT ? -EAGAIN : err;
}

static bool can_fail(const struct page *head)
{
	enum page_type t = page_type(head);

	return t == PT_ANON || t == PT_FILE;
}

/* One page; @want: only if it is this one, else -EAGAIN. *next: where to go on. */
static int poison_page(struct mm *mm, u64 addr, const struct page *want, bool soft, u64 *next)
{
	struct page *p, *head;
	s64 n = mm_pin_pages(mm, addr, 1, 0, &p);
	bool bad, large, whole;

	if (n < 0)
		return (int)n;
	if (want && p != want) {
		mm_unpin_pages(&p, 1, 0);
		return -EAGAIN;
	}
	head = page_head(p);
	bad = !can_fail(head);
	large = page_flag(head, PG_HEAD);
	whole = !large || page_flag(head, PG_HUGETLB); /* need not be split */
	*next = bad || !large ? addr + PAGE_SIZE : (addr & ~((PAGE_SIZE << page_order(head)) - 1)) + (PAGE_SIZE << page_order(head));
	if (!bad && whole && !soft) {
		page_get(head); /* for ever */
		mm_unpin_pages(&p, 1, 0);
		n = strike(head);
		if (n)
			page_put(head);
		return (int)n;
	}
	mm_unpin_pages(&p, 1, 0);
	if (bad)
		return soft ? -EIO : -EBUSY;
	if (!whole)
		return split_at(mm, addr) ?: -EAGAIN;
	return move_away(head, p);
}

int do_poison(struct mm *mm, u64 start, u64 end, bool soft)
{
	u64 next;

	for (u64 a = start; a < end; a = next) {
		u64 first_next = 0;
		int err = -EAGAIN;

		for (int i = 0; i < TRIES && err == -EAGAIN; i++) {
			if (i > 1)
				pcp_drain_all(); /* gives whoever works on it time */
			err = poison_page(mm, a, NULL, soft, &next);
			first_next = max(first_next, next); /* of a huge page one part, as Linux */
		}
		if (err)
			return err == -EAGAIN ? -EBUSY : err;
		next = first_next;
	}
	return 0;
}

unsigned mm_page_shift(struct mm *mm, u64 addr)
{
	u64 size = PAGE_SIZE;
	struct vma *v;

	down_read(&mm->lock);
	v = vma_at(mm, addr);
	if (v)
		size = vma_page_size(v);
	up_read(&mm->lock);
	return (unsigned)__builtin_ctzll(size);
}

/* --- memory that failed by itself --- */

/* Where one table maps the frame: the index of its entry, or PTRS. */
static unsigned find_in_table(pte_t *table, u64 pfn)
{
	unsigned i;

	for (i = 0; i < PTRS; i++) {
		pte_t e = pte_read(&table[i]);

		if (pte_has_page(e) && pte_pfn(e) == pfn)
			break;
	}
	return i;
}

static bool entry_has(pte_t e, u64 size, u64 pfn)
{
	return pmd_huge(e) && pte_has_page(e) && pfn - pte_pfn(e) < size >> PAGE_SHIFT;
}

/* => m read */
static u64 find_in_vma(struct vma *v, u64 pfn)
{
	bool pool = v->flags & VM_HUGETLB;
	u64 size = pool ? vma_page_size(v) : PMD_SIZE, next;

	for (u64 a = v->start; a < v->end; a = next) {
		pte_t *entry = pool ? hugetlb_entry(v, a) : pt_pmd(v->mm, a), e;
		u64 base = a & ~(size - 1);

		next = base + size;
		if (!entry)
			continue;
		e = pte_settled(entry);
		if (entry_has(e, size, pfn))
			return base + ((pfn - pte_pfn(e)) << PAGE_SHIFT);
		if (!pool && pmd_has_table(e)) {
			unsigned i = find_in_table(table_of(e), pfn);

			if (i < PTRS)
				return base + i * PAGE_SIZE;
		}
	}
	return 0;
}

u64 mm_find_frame(struct mm *mm, u64 pfn)
{
	u64 addr = 0;
	struct vma *v;

	if (!mm)
		return 0;
	down_read(&mm->lock);
	for_each_vma(v, mm) {
		if (!(v->flags & (VM_PFNMAP | VM_IO)) && (addr = find_in_vma(v, pfn)))
			break;
	}
	up_read(&mm->lock);
	return addr;
}

/* A page of a memory object that nobody maps. */
static int fail_cached(struct page *p)
{
	int err;

	if (!page_get_unless_zero(p))
		return -EAGAIN;
	if (page_type(p) != PT_FILE || page_flag(p, PG_TAIL) || page_flag(p, PG_HEAD) || !READ_ONCE(p->mapping)) {
		page_put(p);
		return -EBUSY;
	}
	err = strike(p);
	if (err)
		page_put(p);
	return err;
}

/* A free frame never comes back. */
static int fail_free(struct page *p)
{
	if (alloc_contig_range(page_to_pfn(p), 1, GFP_WAIT))
		return -EBUSY;
	page_set_flag(p, PG_HWPOISON);
	count_frame(p, "was free, taken out of use");
	return 0;
}

/* One attempt. */
static int fail_frame(struct page *p)
{
	enum page_type t = page_type(p);
	int err = -ENOENT;
	u64 next;

	if (t == PT_FREE || t == PT_PCP || t == PT_FREE_INNER)
		return fail_free(p);
	for (struct mm *mm = NULL; (mm = mm_next(mm, NULL));) {
		u64 addr = err == -ENOENT ? mm_find_frame(mm, page_to_pfn(p)) : 0;

		if (addr)
			err = poison_page(mm, addr, p, false, &next);
	}
	return err == -ENOENT ? fail_cached(p) : err;
}

int memory_failure(u64 pfn)
{
	int err = -EAGAIN;

	if (!pfn_valid(pfn))
		return -ENXIO;
	for (int i = 0; i < TRIES && err == -EAGAIN; i++) {
		if (i > 1)
			pcp_drain_all();
		err = fail_frame(pfn_to_page(pfn));
	}
	if (err)
		pr_err("Memory failure: %#llx: cannot be given up (%d)\n", pfn, err);
	return err;
}
