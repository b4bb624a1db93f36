/*
 * Marks in entries: pages a program may do without (MADV_FREE), age (MADV_COLD, clear_refs), written since (soft-dirty).
 *
 * MADV_FREE takes the dirty bit of an anonymous page's entry away and marks the page. It stays mapped with what it holds; a write
 * sets the dirty bit again and with that takes the permission back. When memory runs out, marked pages whose entry is still clean are
 * taken out, and the next access finds zeros. That needs no list: only address spaces that ever said MADV_FREE are walked
 * (MMF_LAZYFREE), and only where the allocator would otherwise fail.
 *
 * No write is lost. Clearing the bit is followed by a flush, so a CPU must walk the tables to write again; the page is taken
 * by compare-and-swap against an entry without the bit, so either the walk sees the empty entry and faults, or the swap sees the bit.
 * Writes that bypass the entry (pins, mm_access) take the mark off the page under the table's lock.
 *
 * Soft-dirty: an entry is dirty in this sense when it has PTE_SOFT_DIRTY, or is writable and the CPU's dirty bit is set. Clearing
 * takes the right to write away, so the next write faults and sets both; whoever takes that right away for another reason first
 * turns the second form into the first; whoever gives it back without a write does so only where the bit is set (VM_SOFTTRACK).
 */
#include <mm/vmstat.h>
#include "vm.h"

#define RECLAIM_BATCH 512

/* A page only this entry has. */
static bool may_mark(struct page *head)
{
	return page_type(head) == PT_ANON && page_exclusive(head) && !head->private;
}

/* => entry's lock */
static bool mark_entry(pte_t *entry, pte_t e)
{
	struct page *head;

	if (!pte_has_page(e))
		return false;
	head = page_head(pte_frame(e));
	if (!may_mark(head))
		return false;
	page_clear_flag(head, PG_DIRTY);
	page_set_flag(head, PG_LAZYFREE);
	__atomic_fetch_and(&entry->v, ~(PTE_D | PTE_A), __ATOMIC_RELAXED);
	return true;
}

static bool age_entry(pte_t *entry, pte_t e)
{
	if (!pte_has_page(e) || !pte_young(e))
		return false;
	__atomic_fetch_and(&entry->v, ~PTE_A, __ATOMIC_RELAXED);
	page_clear_flag(page_head(pte_frame(e)), PG_REFERENCED);
	return true;
}

/* Does @fn to every mapped entry of the range, and flushes where it says so. => m read; no huge page straddles the ends */
static void for_entries(struct vma *v, u64 start, u64 end, bool (*fn)(pte_t *entry, pte_t e))
{
	struct tlb_gather g;
	u64 addr, next;

	tlb_gather_init(&g, v->mm, false);
	for (addr = start; addr < end; addr = next) {
		pmd_t *pmd = pt_pmd(v->mm, addr), e;
		spinlock_t *lock;
		pte_t *entry;

		next = min((addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1, end);
		if (!pmd)
			continue;
		lock = pt_lock_of(pmd);
		spin_lock(lock);
		e = pte_read(pmd);
		if (pmd_huge(e) && next - addr == PMD_SIZE && fn(pmd, e))
			tlb_gather_range(&g, addr, next);
		spin_unlock(lock);
		if (!pmd_has_table(e))
			continue;
		entry = table_of(e) + pte_index(addr);
		lock = pt_lock_of(entry);
		spin_lock(lock);
		for (u64 a = addr; a < next; a += PAGE_SIZE, entry++)
			if (fn(entry, pte_read(entry)))
				tlb_gather_range(&g, a, a + PAGE_SIZE);
		spin_unlock(lock);
	}
	tlb_gather_flush(&g);
}

/* Clean for soft-dirty: not writable, so that the next write is seen. */
static bool forget_write(pte_t *entry, pte_t e)
{
	if (!pte_mapped(e) || !(e.v & (PTE_W | PTE_SOFT_DIRTY)))
		return false;
	__atomic_fetch_and(&entry->v, ~(PTE_W | PTE_SOFT_DIRTY), __ATOMIC_RELAXED);
	return e.v & PTE_W;
}

void softdirty_clear(struct vma *v)
{
	vma_write_lock(v);
	v->flags |= VM_SOFTTRACK;
	for_entries(v, v->start, v->end, forget_write);
}

void lazyfree_mark(struct vma *v, u64 start, u64 end)
{
	__atomic_fetch_or(&v->mm->flags, MMF_LAZYFREE, __ATOMIC_RELAXED);
	for_entries(v, start, end, mark_entry);
}

void age_range(struct vma *v, u64 start, u64 end)
{
	for_entries(v, start, end, age_entry);
}

/* --- taking them --- */

/* Takes a clean marked page out of its entry. NULL: it is not, or not any more. => entry's lock */
static struct page *take(pte_t *entry, pte_t e)
{
	struct page *head;

	if (!pte_has_page(e) || pte_dirty(e))
		return NULL;
	head = page_head(pte_frame(e));
	if (!page_flag(head, PG_LAZYFREE) || !may_mark(head) || page_flag(head, PG_DIRTY))
		return NULL;
	if (!pte_cmpxchg(entry, &e, (pte_t){ 0 }))
		return NULL; /* read or written this moment: it is in use */
	page_unmap_one(head);
	return head;
}

static u64 take_table(struct vma *v, struct tlb_gather *g, pte_t *entry, u64 addr, u64 end)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 n = 0;

	spin_lock(lock);
	for (; addr < end; addr += PAGE_SIZE, entry++) {
		struct page *p = take(entry, pte_read(entry));

		if (!p)
			continue;
		n++;
		tlb_gather_range(g, addr, addr + PAGE_SIZE);
		if (tlb_gather_page(g, p))
			break;
	}
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_ANON, -(s64)n);
	return n;
}

static u64 take_huge(struct vma *v, struct tlb_gather *g, pmd_t *pmd, u64 addr)
{
	spinlock_t *lock = pt_lock_of(pmd);
	struct page *p = NULL;
	pmd_t e;

	spin_lock(lock);
	e = pte_read(pmd);
	if (pmd_huge(e))
		p = take(pmd, e);
	spin_unlock(lock);
	if (!p)
		return 0;
	tlb_gather_range(g, addr, addr + PMD_SIZE);
	(void)tlb_gather_page(g, p);
	mm_add_rss(v->mm, RSS_ANON, -(s64)HPAGE_PAGES);
	mod_vm_state(NR_ANON_THPS, -1);
	return HPAGE_PAGES;
}

/* Pages freed, about @want at most. => m read */
static u64 take_vma(struct vma *v, u64 want)
{
	struct tlb_gather g;
	u64 addr, next, n = 0;

	tlb_gather_init(&g, v->mm, false);
	for (addr = v->start; addr < v->end && n < want; addr = next) {
		pmd_t *pmd = pt_pmd(v->mm, addr), e;

		next = min((addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1, v->end);
		if (!pmd)
			continue;
		e = pte_read(pmd);
		if (pmd_huge(e) && next - addr == PMD_SIZE)
			n += take_huge(v, &g, pmd, addr);
		else if (pmd_has_table(e))
			n += take_table(v, &g, table_of(e) + pte_index(addr), addr, next);
		if (g.npages)
			tlb_gather_flush(&g);
	}
	tlb_gather_flush(&g);
	return n;
}

/* The allocator's last resort before failing. The caller may hold its own m: others' are only tried. */
u64 mm_reclaim_pages(gfp_t gfp, unsigned int order)
{
	struct mm *mm, *prev = NULL;
	u64 freed = 0, want = max_t(u64, RECLAIM_BATCH, 1ull << order);
	struct vma *v;

	spin_lock(&mm_list_lock);
	list_for_each_entry(mm, &all_mms, mm_list) {
		if (!(READ_ONCE(mm->flags) & MMF_LAZYFREE) || freed >= want || !mm_get_not_zero(mm))
			continue;
		spin_unlock(&mm_list_lock);
		if (prev)
			mm_put(prev);
		prev = mm;
		if (down_read_trylock(&mm->lock)) {
			for_each_vma(v, mm)
				if (vma_anonymous(v) && freed < want)
					freed += take_vma(v, want - freed);
			up_read(&mm->lock);
		}
		spin_lock(&mm_list_lock);
	}
	spin_unlock(&mm_list_lock);
	if (prev)
		mm_put(prev);
	return freed;
}
