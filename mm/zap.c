/*
 * Taking mappings out of page tables.
 *
 * The pages taken out are collected in a gather and freed after one flush for all of them. An entry's reference moves
 * to the gather; its share of mapcount is given up at once, under the table's lock. When the gather is full the walk
 * leaves the table's lock, flushes, and goes on where it was.
 *
 * A dirty entry of a page-cache page leaves its mark on the page before the page can lose its last mapping. A CPU that
 * still has the translation may go on writing until the flush; the page is kept by the gather until then, and is dirty
 * already.
 */
#include "run.h"

#define ZAP_RUNS 16

struct zap {
	struct tlb_gather *g;
	struct vma *v;
	unsigned how;
	s64 rss[NR_RSS];
	unsigned nruns;
	struct page *runs[ZAP_RUNS]; /* whose references go after the flush */
};

/* One entry. True when the gather is full. */
static inline bool zap_any(struct zap *z, pte_t *entry, pte_t e)
{
	struct page *p;
	int kind;

	if (unlikely(!pte_has_page(e))) {
		pte_set(entry, (pte_t){ 0 });
		return false;
	}
	p = page_head(pte_frame(e));
	kind = page_rss(p);
	e = pte_get_and_clear(entry);
	if (kind != RSS_ANON && pte_dirty(e) && !page_flag(p, PG_DIRTY))
		page_set_flag(p, PG_DIRTY);
	page_unmap_one(p);
	z->rss[kind]--;
	return tlb_gather_page(z->g, p);
}

/* The same where not everything goes. */
static noinline bool zap_some(struct zap *z, pte_t *entry, pte_t e)
{
	bool full;

	if (z->how & ZAP_KEEP_ANON && pte_has_page(e) && page_rss(page_head(pte_frame(e))) == RSS_ANON)
		return false;
	full = zap_any(z, entry, e);
	if (z->how & ZAP_KEEP_WP && e.v & PTE_UFFD_WP)
		pte_set(entry, PTE_MARKER_WP);
	return full;
}

static inline bool zap_entry(struct zap *z, pte_t *entry, pte_t e)
{
	return likely(!z->how) ? zap_any(z, entry, e) : zap_some(z, entry, e);
}

/* The part of one PTE table. Returns where it stopped. */
static u64 zap_table(struct zap *z, pte_t *entry, u64 addr, u64 end)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 first = 0, last = 0;

	spin_lock(lock);
	for (; addr < end; addr += PAGE_SIZE, entry++) {
		pte_t e = pte_read(entry);

		if (pte_none(e)) {
			u64 more = pte_none_after(entry, (end - addr - 1) >> PAGE_SHIFT);

			addr += more << PAGE_SHIFT;
			entry += more;
			continue;
		}
		if (!last)
			first = addr;
		last = addr + PAGE_SIZE;
		if (unlikely(zap_entry(z, entry, e))) {
			addr = last;
			break;
		}
	}
	spin_unlock(lock);
	if (last)
		tlb_gather_range(z->g, first, last);
	return addr;
}

static void put_runs(struct zap *z)
{
	tlb_gather_flush(z->g);
	while (z->nruns)
		run_put_parts(z->runs[--z->nruns]);
}

/* Of a run the whole entry goes, even if only a part is asked for: the rest comes back by faults. */
static void zap_huge(struct zap *z, pmd_t *pmd, u64 addr)
{
	struct page *p;

	if (!huge_zap_pmd(z->v, pmd, z->rss, &p))
		return;
	tlb_gather_huge(z->g, addr & PMD_MASK);
	if (!p)
		return;
	if (unlikely(!vma_anonymous(z->v))) {
		z->runs[z->nruns++] = p;
		if (z->nruns == ZAP_RUNS)
			put_runs(z);
	} else if (tlb_gather_page(z->g, p)) {
		tlb_gather_flush(z->g);
	}
}

/* End of the part of [addr, end) that one entry of @shift bits covers. */
static inline u64 span_end(u64 addr, u64 end, unsigned shift)
{
	u64 next = (addr | ((1ull << shift) - 1)) + 1;

	return min(next, end);
}

static void zap_walk(struct zap *z, u64 addr, u64 end)
{
	struct mm *mm = z->v->mm;

	while (addr < end) {
		pmd_t *pmd = pt_pmd(mm, addr), e;
		u64 next = span_end(addr, end, PMD_SHIFT);

		if (!pmd) {
			addr = min((addr | (pt_hole_size(mm, addr) - 1)) + 1, end);
			continue;
		}
		e = pte_settled(pmd);
		if (pmd_huge(e) && (next - addr == PMD_SIZE || !vma_anonymous(z->v))) {
			zap_huge(z, pmd, addr);
			addr = next;
			continue;
		}
		if (!pmd_has_table(e)) {
			ASSERT(!pmd_huge(e)); /* edges were split */
			addr = next;
			continue;
		}
		addr = zap_table(z, table_of(e) + pte_index(addr), addr, next);
		if (z->g->npages == TLB_GATHER_PAGES)
			tlb_gather_flush(z->g);
	}
}

void zap_range(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how)
{
	struct zap z;

	z.g = g;
	z.v = v;
	z.nruns = 0;
	for (int i = 0; i < NR_RSS; i++)
		z.rss[i] = 0;
	if (!(v->flags & VM_UFFD_WP) || vma_anonymous(v))
		how &= ~ZAP_KEEP_WP;
	z.how = how;
	if (unlikely(v->flags & VM_HUGETLB)) {
		hugetlb_zap(g, v, start, end, how);
		return;
	}
	zap_walk(&z, start, end);
	if (unlikely(z.nruns))
		put_runs(&z);
	for (int i = 0; i < NR_RSS; i++)
		if (z.rss[i])
			mm_add_rss(v->mm, i, z.rss[i]);
}

void zap_vma_range(struct vma *v, u64 start, u64 end)
{
	struct tlb_gather g;

	tlb_gather_init(&g, v->mm, false);
	zap_range(&g, v, start, end, ZAP_KEEP_WP);
	tlb_gather_flush(&g);
}
