/*
 * The checkers are checked: each structure is damaged in one field, the checker must complain, the field is put back, and it must be
 * silent again. The damage lasts for one call and hits fields that nobody else reads meanwhile, or under the lock
 * that keeps others away. What the checkers print is expected: see the lines around "check_test" in the log.
 */
#include <lib/string.h>
#include <mm/arena.h>
#include <mm/check.h>
#include <mm/hugetlb.h>
#include <mm/kstack.h>
#include <mm/slab_impl.h>
#include <mm/vmalloc.h>
#include <mm/zone.h>
#include <uapi/mman.h>
#include "../../mm/ksm_impl.h"
#include "../../mm/lru.h"
#include "expect.h"

#define BASE 0x10000000ull

/* ---- physical ---- */

static struct page *some_free_block(struct zone *z)
{
	struct page *p = NULL;

	for (u64 pfn = z->start_pfn; pfn < z->end_pfn && !p; pfn++)
		if (pfn_valid(pfn) && page_type(pfn_to_page(pfn)) == PT_FREE)
			p = pfn_to_page(pfn);
	return p;
}

KTEST(check_buddy)
{
	struct zone *z = &nodes[0]->zone[ZONE_DMA];

	if (!z->managed)
		return;
	pcp_drain_all();
	EXPECT_COMPLAINT(z->b.nr_free, z->b.nr_free + 1, buddy_check());
	EXPECT_COMPLAINT(z->b.nr_free, z->b.nr_free - 1, buddy_check());
	struct page *p = some_free_block(z);
	KCHECK(p);
	if (!p)
		return;
	EXPECT_COMPLAINT(p->flags, p->flags ^ 1ull << PG_ORDER_SHIFT, buddy_check());
	EXPECT_COMPLAINT(p->flags, p->flags & ~(15ull << PG_TYPE_SHIFT), buddy_check());
	EXPECT_COMPLAINT(p->refcount, 1, buddy_check());
}

KTEST(check_cpu_lists)
{
	enum mobility mt = MT_UNMOVABLE;
	struct pcp_list *l;
	struct page *p;

	page_put(alloc_page(GFP_KERNEL)); /* so there is one on the list */
	preempt_disable();
	l = &this_cpu_ptr(&pcp)->list[mt];
	KCHECK(l->count);
	p = l->pages[0];
	EXPECT_COMPLAINT(p->flags, p->flags ^ 1ull << PG_TYPE_SHIFT, pcp_check());
	EXPECT_COMPLAINT(p->refcount, 1, pcp_check());
	EXPECT_COMPLAINT(p->private, 5, pcp_check());
	preempt_enable();
}

KTEST(check_arena)
{
	void *a = vmalloc(PAGE_SIZE), *b = vmalloc(PAGE_SIZE);
	struct arena_seg *s = arena_find(&vmalloc_arena, (u64)a);

	KCHECK(s && b);
	if (!s)
		return;
	EXPECT_COMPLAINT(vmalloc_arena.nr_segs, vmalloc_arena.nr_segs + 1, vmalloc_check());
	EXPECT_COMPLAINT(vmalloc_arena.free, vmalloc_arena.free - 1, vmalloc_check());
	EXPECT_COMPLAINT(s->end, s->end + PAGE_SIZE, vmalloc_check());
	EXPECT_COMPLAINT(s->largest, s->largest + 1, vmalloc_check());
	vfree(a);
	vfree(b);
}

KTEST(check_pools)
{
	struct hstate *h = &hstates[HUGE_2M];
	struct page *p;

	hugetlb_resize(h, -1, 2);
	KCHECK_EQ(h->free, 2);
	if (h->free != 2)
		return;
	p = hugetlb_take(h, false);
	KCHECK(p);
	EXPECT_COMPLAINT(h->free, 2, hugetlb_check());
	EXPECT_COMPLAINT(h->resv, 2, hugetlb_check());
	EXPECT_COMPLAINT(h->node_nr[page_node(p)], 9, hugetlb_check());
	EXPECT_COMPLAINT(p->flags, p->flags & ~(1ull << PG_HUGETLB), hugetlb_check());
	page_put(p);
	EXPECT_COMPLAINT(p->refcount, 1, hugetlb_check());
	hugetlb_resize(h, -1, 0);
}

/* ---- objects ---- */

KTEST(check_slab)
{
	struct kmem_cache *c = kmem_cache_create("check_test", 200, 8, 0, NULL);
	void *o[40];

	for (int i = 0; i < 40; i++)
		o[i] = kmem_cache_alloc(c, GFP_KERNEL);
	struct page *p = page_head(virt_to_page(o[0]));
	EXPECT_COMPLAINT(c->first.nr_slabs, c->first.nr_slabs + 1, slab_check());
	EXPECT_COMPLAINT(c->first.inuse, c->first.inuse - 1, slab_check());
	EXPECT_COMPLAINT(p->private, p->private - 1, slab_check());
	EXPECT_COMPLAINT(p->slab_cache, NULL, slab_check());
	for (int i = 0; i < 40; i++)
		kmem_cache_free(c, o[i]);
	kmem_cache_destroy(c);
}

/* ---- address spaces ---- */

static struct mm *touched_mm(u64 pages)
{
	struct mm *mm = mm_alloc();
	u8 byte = 7;

	KCHECK(mm);
	mm_publish(mm);
	KCHECK_EQ(do_mmap(mm, NULL, BASE, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0), BASE);
	do_madvise(mm, BASE, pages * PAGE_SIZE, 15 /* no huge pages */);
	for (u64 i = 0; i < pages; i++)
		KCHECK_EQ(mm_access(mm, BASE + i * PAGE_SIZE, &byte, 1, true, false), 1);
	return mm;
}

KTEST(check_mm_lists)
{
	struct mm *mm = touched_mm(1);

	KCHECK(mm_is_listed(mm));
	EXPECT_COMPLAINT(mm->mm_list_cpu, nr_cpus == 1 ? 1 : !mm->mm_list_cpu, mm_lists_check());
	EXPECT_COMPLAINT(mm->mm_list.pprev, NULL, mm_lists_check());
	mm_put(mm);
}

KTEST(check_vmas)
{
	struct mm *mm = touched_mm(8);
	struct vma *v;

	KCHECK_EQ(do_mprotect(mm, BASE + 2 * PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ, -1), 0);
	v = vma_at(mm, BASE + 2 * PAGE_SIZE);
	KCHECK(v && v->end == BASE + 4 * PAGE_SIZE);
	EXPECT_COMPLAINT(v->start, v->start - PAGE_SIZE, mm_check(mm));
	EXPECT_COMPLAINT(v->end, v->end + PAGE_SIZE, mm_check(mm));
	EXPECT_COMPLAINT(mm->total_vm, mm->total_vm + 1, mm_check(mm));
	EXPECT_COMPLAINT(mm->nr_vmas, mm->nr_vmas + 1, mm_check(mm));
	EXPECT_COMPLAINT(v->gap, v->gap + PAGE_SIZE, mm_check(mm));
	mm_put(mm);
}

KTEST(check_page_tables)
{
	struct mm *mm = touched_mm(8);
	struct vma *v = vma_at(mm, BASE);
	pte_t *e = pt_pte(mm, BASE);

	KCHECK(e && pte_has_page(*e));
	EXPECT_COMPLAINT(v->flags, v->flags & ~VM_WRITE, mm_check(mm));
	if (cpu_has(nx))
		EXPECT_COMPLAINT(e->v, e->v & ~PTE_NX, mm_check(mm));
	EXPECT_COMPLAINT(e->v, e->v | PTE_UFFD_WP, mm_check(mm));
	EXPECT_COMPLAINT(e->v, e->v ^ 1ull << PTE_PKEY_SHIFT, mm_check(mm));
	if (mm->user_root)
		EXPECT_COMPLAINT(mm->user_root[PTRS - 1].v, mm->user_root[PTRS - 1].v ^ PTE_ADDR_MASK, mm_check(mm));
	EXPECT_COMPLAINT(mm->cpu[0].rss[RSS_ANON], 7, mm_check(mm));
	EXPECT_COMPLAINT(mm->pgtables_bytes, mm->pgtables_bytes + PAGE_SIZE, mm_check(mm));
	/* an entry that nobody took out, behind the mapping's end */
	EXPECT_COMPLAINT(e[8].v, e->v, mm_check(mm));
	/* and one that was lost */
	EXPECT_COMPLAINT(e[3].v, 0, mm_check(mm));
	mm_put(mm);
}

KTEST(check_pages_and_rmap)
{
	struct mm *mm = touched_mm(8), *child = mm_fork(mm);
	struct page *p = pte_frame(*pt_pte(mm, BASE)), *q = pte_frame(*pt_pte(mm, BASE + PAGE_SIZE));

	KCHECK(!IS_ERR(child));
	KCHECK_EQ(p->mapcount, 2);
	EXPECT_COMPLAINT(p->mapcount, 3, rmap_check());
	EXPECT_COMPLAINT(p->mapcount, 0, mm_check(mm));
	EXPECT_COMPLAINT(p->refcount, 1, mm_check(mm));
	EXPECT_COMPLAINT(p->index, q->index, mm_check(mm));
	EXPECT_COMPLAINT(p->anon, NULL, mm_check(mm));
	EXPECT_COMPLAINT(p->flags, p->flags ^ 1ull << PG_TYPE_SHIFT, mm_check(mm));
	mm_put(child);
	mm_put(mm);
}

/* ---- page structs ---- */

KTEST(check_references)
{
	struct mm *mm = touched_mm(2);
	struct page *p = pte_frame(*pt_pte(mm, BASE));

	EXPECT_COMPLAINT(p->refcount, 0x100, frames_check()); /* somebody forgot to drop one */
	EXPECT_COMPLAINT(p->mapcount, 2, frames_check());
	EXPECT_COMPLAINT(p->mapcount, -1, frames_check());
	mm_put(mm);
}

KTEST(check_file_pages)
{
	struct mm *mm = mm_alloc();
	u8 byte = 7;

	KCHECK(mm);
	mm_publish(mm);
	KCHECK_EQ(do_mmap(mm, NULL, BASE, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0), BASE);
	for (u64 i = 0; i < 2; i++)
		KCHECK_EQ(mm_access(mm, BASE + i * PAGE_SIZE, &byte, 1, true, false), 1);
	struct page *p = pte_frame(*pt_pte(mm, BASE));
	KCHECK_EQ(page_type(p), PT_FILE);
	EXPECT_COMPLAINT(p->refcount, 1, frames_check()); /* the mapping's, and none for the cache */
	EXPECT_COMPLAINT(p->flags, p->flags | 1ull << PG_RUN, frames_check());
	EXPECT_COMPLAINT(p->index, 1, mm_check(mm));
	EXPECT_COMPLAINT(p->mapping, (void *)8, mm_check(mm));
	mm_put(mm);
}

KTEST(check_merged_pages)
{
	struct page *k = alloc_page(GFP_KERNEL | GFP_ZERO);
	u64 *word;

	KCHECK(k);
	word = page_address(k);
	*word = 77;
	ksm_insert(k, ksm_hash_page(k));
	EXPECT_COMPLAINT(*word, 78, ksm_check());
	EXPECT_COMPLAINT(k->ksm_hash, k->ksm_hash + 1, ksm_check());
	EXPECT_COMPLAINT(k->mapcount, 2, ksm_check());
	EXPECT_COMPLAINT(k->flags, k->flags ^ 1ull << PG_TYPE_SHIFT, ksm_check());
	page_put(k);
}

/* ---- pins ---- */

KTEST(check_pins)
{
	struct mm *mm = touched_mm(2);
	struct page *p;

	KCHECK_EQ(mm_pin_pages(mm, BASE, 1, PIN_WRITE | PIN_LONGTERM, &p), 1);
	KCHECK_EQ(page_pins(p), 1);
	KCHECK_EQ(page_pins_long(p), 1);
	EXPECT_COMPLAINT(p->private, PIN_ONE_LONG + (1ull << 32), frames_check());
	EXPECT_COMPLAINT(p->private, PIN_ONE_LONG + PIN_ONE, frames_check());
	EXPECT_COMPLAINT(p->private, 0, frames_check());
	EXPECT_COMPLAINT(p->refcount, 1, frames_check());
	mm_unpin_pages(&p, 1, PIN_WRITE | PIN_LONGTERM);
	KCHECK_EQ(page_pins(p), 0);
	mm_put(mm);
}

/* ---- lists of what can be evicted ---- */

KTEST(check_lru)
{
	struct mm *mm = touched_mm(4);
	struct page *p, *q;

	KCHECK_EQ(do_madvise(mm, BASE, 2 * PAGE_SIZE, MADV_FREE), 0);
	p = pte_frame(*pt_pte(mm, BASE));
	q = pte_frame(*pt_pte(mm, BASE + 3 * PAGE_SIZE));
	KCHECK(page_flag(p, PG_LRU) && !page_flag(q, PG_LRU));
	EXPECT_COMPLAINT(p->flags, p->flags & ~(1ull << PG_LRU), lru_check());
	EXPECT_COMPLAINT(p->flags, p->flags & ~(1ull << PG_LAZYFREE), lru_check() + frames_check());
	EXPECT_COMPLAINT(p->flags, p->flags | 1ull << PG_ACTIVE, lru_check());
	EXPECT_COMPLAINT(p->flags, p->flags | 1ull << PG_HEAD, lru_check());
	EXPECT_COMPLAINT(p->flags, p->flags ^ 1ull << PG_NODE_SHIFT, lru_check());
	EXPECT_COMPLAINT(p->flags, p->flags ^ 1ull << PG_TYPE_SHIFT, lru_check());
	EXPECT_COMPLAINT(p->spare, p->spare + 1, lru_check());
	/* on a list by its flags only */
	EXPECT_COMPLAINT(q->flags, q->flags | 1ull << PG_LRU | 1ull << PG_LAZYFREE, frames_check());
	mm_put(mm);
	KCHECK_EQ(lru_pages(-1, LRU_INACTIVE), 0);
}
