/*
 * Marks in entries: pages a program may do without (MADV_FREE), age (MADV_COLD, clear_refs), written since (soft-dirty).
 *
 * MADV_FREE takes the dirty bit of an anonymous page's entry away and puts the page on a list (lru.c). It stays mapped with what it holds; a write
 * sets the dirty bit again and with that takes the permission back. When memory runs out, listed pages whose entry is still clean are
 * taken out, and the next access finds zeros; MADV_PAGEOUT does that at once. Without swap nothing else can be paged out: it stays.
 *
 * No write is lost. Clearing the bit is followed by a flush, so a CPU must walk the tables to write again; the page is taken
 * by compare-and-swap against an entry without the bit, so either the walk sees the empty entry and faults, or the swap sees the bit.
 * Writes that bypass the entry (pins, mm_access) take the page off its list under the table's lock.
 *
 * Soft-dirty: an entry is dirty in this sense when it has PTE_SOFT_DIRTY, or is writable and the CPU's dirty bit is set. Clearing
 * takes the right to write away, so the next write faults and sets both; whoever takes that right away for another reason first
 * turns the second form into the first; whoever gives it back without a write does so only where the bit is set (VM_SOFTTRACK).
 */
#include <mm/vmstat.h>
#include "lru.h"

/* Something done to every entry of a range. */
struct marking {
	struct vma *v;
	bool (*one)(struct marking *m, pte_t *entry, pte_t e); /* true: its translation is flushed. => entry's lock */
	struct tlb_gather g; /* and pages taken out */
	struct page *batch[LRU_BATCH]; /* for the list, while the table is locked */
	unsigned n;
	u64 taken; /* small pages */
};

static void put_batch(struct marking *m, u64 each)
{
	lru_add(m->batch, m->n);
	count_vm_events(PGLAZYFREE, m->n * each);
	m->n = 0;
}

/* Part of one table, until its end or the gather is full. Where it stopped. */
static u64 mark_table(struct marking *m, pte_t *entry, u64 addr, u64 end)
{
	spinlock_t *lock = pt_lock_of(entry);

	spin_lock(lock);
	for (; addr < end && m->g.npages < TLB_GATHER_PAGES; addr += PAGE_SIZE, entry++)
		if (m->one(m, entry, pte_read(entry)))
			tlb_gather_range(&m->g, addr, addr + PAGE_SIZE);
	if (m->n)
		put_batch(m, 1);
	spin_unlock(lock);
	return addr;
}

/* An entry that is a huge page, or a table. Where it stopped. */
static u64 mark_pmd(struct marking *m, pmd_t *pmd, u64 addr, u64 end)
{
	spinlock_t *lock = pt_lock_of(pmd);
	pmd_t e;

	spin_lock(lock);
	e = pte_read(pmd);
	if (pmd_huge(e)) {
		if (end - addr == PMD_SIZE && m->one(m, pmd, e))
			tlb_gather_range(&m->g, addr, end);
		if (m->n)
			put_batch(m, HPAGE_PAGES);
	}
	spin_unlock(lock);
	return pmd_has_table(e) ? mark_table(m, table_of(e) + pte_index(addr), addr, end) : end;
}

/* => m read; no huge page straddles the ends (a part of one is left alone) */
static u64 mark_range(struct vma *v, u64 start, u64 end, bool (*one)(struct marking *m, pte_t *entry, pte_t e))
{
	struct marking m = { .v = v, .one = one };
	u64 addr = start, next;

	tlb_gather_init(&m.g, v->mm, false);
	while (addr < end) {
		pmd_t *pmd = pt_pmd(v->mm, addr);

		next = min((addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1, end);
		addr = pmd ? mark_pmd(&m, pmd, addr, next) : next;
		if (m.g.npages)
			tlb_gather_flush(&m.g);
	}
	tlb_gather_flush(&m.g);
	if (m.taken)
		mm_add_rss(v->mm, RSS_ANON, -(s64)m.taken);
	return m.taken;
}

/* --- marks --- */

/* A page only this entry has. */
static bool may_mark(struct page *head)
{
	return page_type(head) == PT_ANON && page_exclusive(head) && !page_pins(head);
}

static bool free_one(struct marking *m, pte_t *entry, pte_t e)
{
	struct page *head;

	if (!pte_has_page(e))
		return false;
	head = page_head(pte_frame(e));
	if (!may_mark(head))
		return false;
	page_clear_flag(head, PG_DIRTY);
	__atomic_fetch_and(&entry->v, ~(PTE_D | PTE_A), __ATOMIC_RELAXED);
	if (page_flag(head, PG_LRU)) {
		lru_deactivate(head);
	} else {
		m->batch[m->n++] = head;
		if (m->n == LRU_BATCH)
			put_batch(m, 1);
	}
	return true;
}

static bool age_one(struct marking *m, pte_t *entry, pte_t e)
{
	struct page *head;

	(void)m;
	if (!pte_has_page(e))
		return false;
	head = page_head(pte_frame(e));
	if (page_flag(head, PG_LRU) && page_flag(head, PG_ACTIVE))
		lru_deactivate(head);
	if (!pte_young(e))
		return false;
	__atomic_fetch_and(&entry->v, ~PTE_A, __ATOMIC_RELAXED);
	page_clear_flag(head, PG_REFERENCED);
	return true;
}

/* Clean for soft-dirty: not writable, so that the next write is seen. */
static bool forget_write(struct marking *m, pte_t *entry, pte_t e)
{
	(void)m;
	if (!pte_mapped(e) || !(e.v & (PTE_W | PTE_SOFT_DIRTY)))
		return false;
	__atomic_fetch_and(&entry->v, ~(PTE_W | PTE_SOFT_DIRTY), __ATOMIC_RELAXED);
	return e.v & PTE_W;
}

void softdirty_clear(struct vma *v)
{
	vma_write_lock(v);
	v->flags |= VM_SOFTTRACK;
	mark_range(v, v->start, v->end, forget_write);
}

void lazyfree_mark(struct vma *v, u64 start, u64 end)
{
	mark_range(v, start, end, free_one);
}

void age_range(struct vma *v, u64 start, u64 end)
{
	mark_range(v, start, end, age_one);
}

/* --- taking them --- */

/* Takes a listed page that was not written since out of its entry. NULL: it is not, or not any more. => entry's lock */
static struct page *take(pte_t *entry, pte_t e, bool force)
{
	struct page *head;

	if (!pte_has_page(e) || pte_dirty(e) || (pte_young(e) && !force))
		return NULL;
	head = page_head(pte_frame(e));
	if (!page_flag(head, PG_LRU) || !may_mark(head) || page_flag(head, PG_DIRTY) || (page_flag(head, PG_ACTIVE) && !force))
		return NULL;
	if (!pte_cmpxchg(entry, &e, (pte_t){ 0 }))
		return NULL; /* read or written this moment: it is in use */
	page_unmap_one(head);
	return head;
}

/* One entry, into the gather. Small pages taken. */
static u64 take_into(struct tlb_gather *g, pte_t *entry, bool force)
{
	pte_t e = pte_read(entry);
	struct page *p = take(entry, e, force);
	u64 n = p && pmd_huge(e) && page_flag(p, PG_HEAD) ? HPAGE_PAGES : 1;

	if (!p)
		return 0;
	(void)tlb_gather_page(g, p); /* there is room */
	if (n > 1)
		mod_vm_state(NR_ANON_THPS, -1);
	count_vm_events(PGLAZYFREED, n);
	return n;
}

static bool take_one(struct marking *m, pte_t *entry, pte_t e)
{
	u64 n = take_into(&m->g, entry, true);

	(void)e;
	m->taken += n;
	return n;
}

void lazyfree_pageout(struct vma *v, u64 start, u64 end)
{
	mark_range(v, start, end, age_one);
	count_vm_events(PGSTEAL_DIRECT, mark_range(v, start, end, take_one));
}

#define AROUND (64 * PAGE_SIZE)

u64 lazyfree_take_around(struct vma *v, u64 addr, pte_t *entry, bool huge, bool force)
{
	u64 size = huge ? PMD_SIZE : PAGE_SIZE, first = addr, end = addr + size, n = 0;
	struct tlb_gather g;

	/* neighbours are mostly of the same age, and one flush serves all */
	if (!huge) {
		first = max(addr & ~(AROUND - 1), v->start);
		end = min((addr | (AROUND - 1)) + 1, v->end);
		entry -= (addr - first) >> PAGE_SHIFT;
	}
	tlb_gather_init(&g, v->mm, false);
	for (; first < end; first += size, entry++) {
		u64 got = take_into(&g, entry, force);

		if (got)
			tlb_gather_range(&g, first, first + size);
		n += got;
	}
	if (n)
		mm_add_rss(v->mm, RSS_ANON, -(s64)n);
	tlb_gather_flush(&g);
	return n;
}
