/*
 * Transparent huge pages: anonymous memory in 2 MiB pages.
 *
 * A huge page is a compound page of order 9 mapped by one PMD entry. All counts live in its head: each entry that maps it or a
 * part of it, large or small, is one in refcount and one in mapcount. That makes two kinds of demotion possible:
 *
 *	split of the entry	always: the PMD entry becomes a table of 512 entries; counts rise by 511. Others may go on mapping it large.
 *	split of the page	when the 512 entries are all there is (nobody shares or pins it): each part becomes a page of its own, so
 *				that freeing a part gives memory back at once. refcount is frozen to 0 meanwhile, so that nobody
 *				who looks at page frames from outside can take a reference to a half-split page.
 *
 * A shared huge page whose entry was split frees its memory when the last part is unmapped. Its parts are copied on write page by
 * page.
 *
 * The first read of such a range maps one page of zeros, 2 MiB long, made when it is first wanted (thp_use_zero_page). Its entries have PTE_SPECIAL, count
 * nowhere and are read-only; the first write replaces one by a huge page of ours, a split by 512 entries of the small page of zeros.
 *
 * Promotion at fault time: the first write to an aligned 2 MiB range inside an anonymous VMA takes a huge page if one is to be had
 * without effort; otherwise small pages, silently. Locking: the PMD table's pt_lock; PMD lock before PTE lock.
 */
#include <mm/mempolicy.h>
#include "lru.h"
#include "run.h"

int thp_enabled = THP_ALWAYS, thp_defrag = DEFRAG_MADVISE;

bool huge_eligible(const struct vma *v, u64 addr)
{
	u64 base = addr & PMD_MASK;

	if (!vma_anonymous(v) || base < v->start || base + PMD_SIZE > v->end)
		return false;
	if (v->flags & (VM_NOHUGEPAGE | VM_UFFD_MISSING | VM_UFFD_WP | VM_SHARED) || v->mm->flags & MMF_NO_THP)
		return false;
	/* a part's index and address must have the same offset in the huge page, for the reverse map */
	return thp_enabled == THP_ALWAYS || (thp_enabled == THP_MADVISE && v->flags & VM_HUGEPAGE);
}

u64 thp_use_zero_page = 1;
static struct page *huge_zero; /* (a) set once */

static struct page *huge_zero_page(void)
{
	struct page *p = READ_ONCE(huge_zero), *none = NULL;

	if (likely(p))
		return p;
	p = alloc_pages(GFP_COMP | GFP_ZERO | GFP_NOWARN, HPAGE_ORDER);
	if (p && !try_cmpxchg(&huge_zero, &none, p)) {
		page_put(p);
		p = none;
	}
	return p;
}

bool page_is_zeros(const struct page *head)
{
	return head == zero_page || head == READ_ONCE(huge_zero);
}

int huge_zero_fault(struct fault *f, pmd_t *pmd)
{
	spinlock_t *lock = pt_lock_of(pmd);
	struct page *p = READ_ONCE(thp_use_zero_page) ? huge_zero_page() : NULL;

	if (!p)
		return FR_RETRY;
	spin_lock(lock);
	if (pte_none(*pmd))
		pte_set(pmd, pte_make(page_to_phys(p), (f->vma->prot & ~PTE_W) | PTE_PS | PTE_SPECIAL));
	spin_unlock(lock);
	count_vm_event(THP_ZERO_PAGE);
	return FR_OK;
}

static u64 huge_bits(const struct vma *v)
{
	return v->prot | PTE_PS | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0);
}

gfp_t huge_gfp(const struct vma *v)
{
	bool advised = v && v->flags & VM_HUGEPAGE;
	bool work = thp_defrag == DEFRAG_ALWAYS || (advised && (thp_defrag == DEFRAG_MADVISE || thp_defrag == DEFRAG_DEFER_MADVISE));

	return GFP_MOVABLE | GFP_COMP | GFP_NOWARN | (work ? GFP_WAIT : 0);
}

static struct page *huge_alloc(const struct vma *v, u64 addr)
{
	return alloc_vma_pages(huge_gfp(v), HPAGE_ORDER, v, addr & PMD_MASK);
}

static void huge_own(struct vma *v, struct page *p, u64 addr)
{
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, addr & PMD_MASK);
	p->mapcount = 1;
	p->private = 0;
}

int huge_anon_fault(struct fault *f, pmd_t *pmd, pmd_t old)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(pmd);
	struct page *p;

	if (anon_prepare(v))
		return FR_OOM;
	p = huge_alloc(v, f->addr);
	if (!p) {
		count_vm_event(THP_FAULT_FALLBACK);
		return FR_RETRY;
	}
	clear_pages(page_address(p), HPAGE_PAGES);
	huge_own(v, p, f->addr);
	spin_lock(lock);
	if (unlikely(pte_read(pmd).v != old.v)) {
		spin_unlock(lock);
		p->mapcount = 0;
		page_put(p);
		return FR_OK;
	}
	if (!pte_none(old)) { /* zeros: nobody may read them after another wrote */
		pte_set(pmd, (pmd_t){ 0 });
		tlb_flush_range(v->mm, f->addr & PMD_MASK, (f->addr & PMD_MASK) + PMD_SIZE, PMD_SHIFT);
	}
	pte_set(pmd, pte_make(page_to_phys(p), huge_bits(v)));
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_ANON, HPAGE_PAGES);
	mod_vm_state(NR_ANON_THPS, 1);
	count_vm_event(THP_FAULT_ALLOC);
	return FR_OK;
}

bool huge_zap_pmd(struct vma *v, pmd_t *pmd, s64 *rss, struct page **p)
{
	spinlock_t *lock = pt_lock_of(pmd);
	bool huge;
	pmd_t e;

	*p = NULL;
	spin_lock(lock);
	e = pte_read(pmd);
	huge = pmd_huge(e);
	if (huge)
		e = pte_get_and_clear(pmd);
	if (huge && pte_has_page(e)) {
		*p = pte_frame(e);
		rss[page_rss(*p)] -= HPAGE_PAGES;
		if (unlikely(!vma_anonymous(v))) {
			run_unmap_parts(*p, e);
		} else {
			page_unmap_one(*p);
			mod_vm_state(NR_ANON_THPS, -1);
		}
	}
	spin_unlock(lock);
	return huge;
}

/* The page belongs to these 512 entries alone: make it 512 pages, one reference and one mapping each. => PMD locked. False when it is shared. */
static bool split_page_of(struct page *head)
{
	s32 want = HPAGE_PAGES;
	struct anon_group *anon = head->anon;
	u64 index = head->index;
	bool listed = page_flag(head, PG_LRU);

	if (READ_ONCE(head->mapcount) != HPAGE_PAGES || head->private)
		return false;
	if (!__atomic_compare_exchange_n(&head->refcount, &want, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	lru_del(head);
	head->refcount = 1;
	head->mapcount = 0;
	split_page(head, HPAGE_ORDER); /* from a compound to single pages of reference 1 */
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		struct page *p = head + i;

		page_set_type(p, PT_ANON);
		p->anon = anon;
		p->index = index + i;
		p->mapcount = 1;
		p->private = 0;
		if (listed)
			lru_add(&p, 1);
	}
	count_vm_event(THP_SPLIT_PAGE);
	return true;
}

/* The counts of the page that @e mapped, whose parts 512 entries are to map. A run's are right already. => PMD locked */
static void split_counts(const struct vma *v, pmd_t e)
{
	struct page *head = pte_frame(e);

	if (!pte_has_page(e))
		return;
	if (!vma_anonymous(v)) {
		mod_vm_state(NR_SHMEM_PMDS, -1);
		return;
	}
	page_entry_add(head, HPAGE_PAGES - 1);
	split_page_of(head);
	mod_vm_state(NR_ANON_THPS, -1);
}

/* No memory for a table: an entry of a run just goes. */
static int split_without_table(struct vma *v, pmd_t *pmd, u64 addr)
{
	if (vma_anonymous(v))
		return -ENOMEM;
	spin_lock(pt_lock_of(pmd));
	run_zap_entry(v, pmd, addr);
	spin_unlock(pt_lock_of(pmd));
	return 0;
}

/* Fills a table with what the huge entry maps. */
static void fill_table(pte_t *table, pmd_t e)
{
	u64 pa = pte_pa(e), bits = e.v & ~PTE_ADDR_MASK & ~PTE_PS, step = PAGE_SIZE;

	if (!pte_has_page(e)) { /* zeros */
		pa = page_to_phys(zero_page);
		step = 0;
	}
	for (unsigned i = 0; i < PTRS; i++)
		table[i] = pte_make(pa + i * step, bits);
}

int huge_split_pmd(struct vma *v, pmd_t *pmd, u64 addr)
{
	struct mm *mm = v->mm;
	spinlock_t *lock = pt_lock_of(pmd);
	struct page *table;
	pmd_t e;

	if (!pmd_huge(pte_settled(pmd)))
		return 0;
	table = pt_page_alloc(mm);
	if (!table)
		return split_without_table(v, pmd, addr);
	spin_lock(lock);
	e = pte_read(pmd);
	if (!pmd_huge(e)) {
		spin_unlock(lock);
		pt_page_free(mm, table);
		return 0;
	}
	/* Take the large translation away everywhere before small ones appear: a CPU must not hold both sizes (SDM 4.10.2.3). */
	e = pte_get_and_clear(pmd);
	tlb_flush_range(mm, addr & PMD_MASK, (addr & PMD_MASK) + PMD_SIZE, PMD_SHIFT);
	split_counts(v, e);
	fill_table(page_address(table), e);
	pte_set(pmd, pte_make(page_to_phys(table), PTE_P | PTE_W | PTE_U | PTE_A));
	spin_unlock(lock);
	count_vm_event(THP_SPLIT_PMD);
	return 0;
}

int huge_split_at(struct vma *v, u64 addr)
{
	pmd_t *pmd;

	if (!(addr & ~PMD_MASK) || addr <= v->start || addr >= v->end || (addr & PMD_MASK) < v->start)
		return 0;
	pmd = pt_pmd(v->mm, addr);
	return pmd && pmd_huge(pte_settled(pmd)) ? huge_split_pmd(v, pmd, addr) : 0;
}

int huge_split_edges(struct vma *v, u64 start, u64 end)
{
	int err = huge_split_at(v, start);

	return err ? err : huge_split_at(v, end);
}

/* Write to a read-only huge page. */
int huge_wp_fault(struct fault *f, pmd_t *pmd, pmd_t e)
{
	struct vma *v = f->vma;
	struct page *old = pte_frame(e), *p;
	spinlock_t *lock = pt_lock_of(pmd);

	if (v->flags & VM_SHARED)
		return run_wp_fault(f, pmd, e);
	if (!pte_has_page(e)) {
		int r = huge_eligible(v, f->addr) ? huge_anon_fault(f, pmd, e) : FR_RETRY;

		return r != FR_RETRY ? r : huge_split_pmd(v, pmd, f->addr) ? FR_OOM : FR_OK;
	}
	spin_lock(lock);
	if (pte_read(pmd).v != e.v) {
		spin_unlock(lock);
		return FR_OK;
	}
	if (page_exclusive(old)) {
		pte_set(pmd, (pmd_t){ e.v | PTE_A | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0) });
		spin_unlock(lock);
		tlb_flush_local(f->addr);
		return FR_OK;
	}
	page_get(old);
	spin_unlock(lock);
	p = anon_prepare(v) ? NULL : huge_alloc(v, f->addr);
	if (!p) {
		/* no huge page: small ones, the next fault copies one */
		int err = huge_split_pmd(v, pmd, f->addr);

		page_put(old);
		return err ? FR_OOM : FR_OK;
	}
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		copy_page(page_address(p + i), page_address(old + i));
	huge_own(v, p, f->addr);
	spin_lock(lock);
	if (unlikely(pte_read(pmd).v != e.v)) {
		spin_unlock(lock);
		p->mapcount = 0;
		page_put(p);
		page_put(old);
		return FR_OK;
	}
	pte_set(pmd, (pmd_t){ 0 });
	tlb_flush_range(v->mm, f->addr & PMD_MASK, (f->addr & PMD_MASK) + PMD_SIZE, PMD_SHIFT);
	pte_set(pmd, pte_make(page_to_phys(p), huge_bits(v)));
	spin_unlock(lock);
	page_unmap_one(old);
	page_put(old); /* ours */
	page_put(old); /* the entry's */
	return FR_OK;
}

/* fork. -EAGAIN: there is a table now (the parent's page is pinned and was split), copy that. */
int huge_copy_pmd(struct mm *mm, struct vma *dst, struct vma *src, u64 addr, pmd_t *dpmd, pmd_t *spmd)
{
	spinlock_t *lock = pt_lock_of(spmd);
	struct page *p;
	pmd_t e;

	spin_lock(lock);
	e = pte_read(spmd);
	if (unlikely(!pmd_huge(e))) {
		spin_unlock(lock);
		return -EAGAIN;
	}
	if (!pte_has_page(e)) { /* zeros: the child's faults bring them back */
		spin_unlock(lock);
		return 0;
	}
	p = pte_frame(e);
	if (unlikely(p->private)) {
		int err;

		spin_unlock(lock);
		err = huge_split_pmd(src, spmd, addr);
		return err ? err : -EAGAIN;
	}
	__atomic_fetch_and(&spmd->v, ~PTE_W, __ATOMIC_RELAXED);
	page_entry_add(p, 1);
	pte_set(dpmd, (pmd_t){ e.v & ~PTE_W });
	spin_unlock(lock);
	mm_add_rss(mm, RSS_ANON, HPAGE_PAGES);
	mod_vm_state(NR_ANON_THPS, 1);
	return 0;
}
