/*
 * Reverse map: from a page to the entries that map it.
 *
 * A page-cache page is found through the interval tree of its mapping, an anonymous page through its group. Both name VMAs that
 * may map the page; the entry itself decides. See struct anon_group in vm.h.
 *
 * Groups and time: page->anon is set once, before the page is mapped, and never changes while it lives as an anonymous page. A
 * group lives as long as one VMA is in it. A walker that starts from a page alone does: rcu_read_lock; g = page->anon; is it
 * mapped? lock g; is it still mapped? Only a VMA of the right group can map it, so if it is, g is that group and is kept by that VMA;
 * SLAB_RCU keeps the memory a group (some group) in between, and the constructor-made lock valid.
 *
 * Lock order: mapping->rmap_lock or group->lock, then pt_lock.
 */
#include "vm.h"

static struct kmem_cache *group_cache;

static void group_ctor(void *p)
{
	struct anon_group *g = p;

	spin_lock_init(&g->lock);
	INIT_LIST_HEAD(&g->vmas);
}

void anon_group_init(void)
{
	group_cache = kmem_cache_create("anon_vma", sizeof(struct anon_group), 8, SLAB_PANIC | SLAB_RCU, group_ctor);
}

void anon_group_join(struct vma *v, struct anon_group *g)
{
	spin_lock(&g->lock);
	list_add_tail(&v->anon_link, &g->vmas);
	v->anon = g;
	spin_unlock(&g->lock);
}

void anon_group_leave(struct vma *v)
{
	struct anon_group *g = v->anon;
	bool last;

	spin_lock(&g->lock);
	list_del(&v->anon_link);
	v->anon = NULL;
	last = list_empty(&g->vmas);
	spin_unlock(&g->lock);
	if (last)
		kmem_cache_free(group_cache, g);
}

/* The group of a neighbour that differs in nothing but rights: then the two can merge later. */
static struct anon_group *neighbour_group(struct vma *v)
{
	struct vma *p = vma_prev(v), *n = vma_next(v);
	u64 ignore = VM_READ | VM_WRITE | VM_EXEC;

	if (p && p->anon && p->end == v->start && p->file == v->file && !((p->flags ^ v->flags) & ~ignore) &&
	    p->pgoff + npages_of(p) == v->pgoff)
		return p->anon;
	if (n && n->anon && v->end == n->start && n->file == v->file && !((n->flags ^ v->flags) & ~ignore) &&
	    v->pgoff + npages_of(v) == n->pgoff)
		return n->anon;
	return NULL;
}

int anon_group_attach(struct vma *v)
{
	struct mm *mm = v->mm;
	struct anon_group *fresh = kmem_cache_alloc(group_cache, GFP_KERNEL), *g;

	if (unlikely(!fresh))
		return -ENOMEM;
	/* other faults attach under the same lock; splits and merges are kept out by mm->lock */
	spin_lock(&mm->page_table_lock);
	if (!v->anon) {
		g = neighbour_group(v);
		if (!g) {
			g = fresh;
			fresh = NULL;
		}
		spin_lock(&g->lock);
		list_add_tail(&v->anon_link, &g->vmas);
		WRITE_ONCE(v->anon, g);
		spin_unlock(&g->lock);
	}
	spin_unlock(&mm->page_table_lock);
	if (fresh)
		kmem_cache_free(group_cache, fresh);
	return 0;
}

/* The entry of @addr in v's tables, if it maps @p or one of its parts. Calls w->fn under its lock. */
static bool walk_entry(struct rmap_walk *w, struct vma *v, u64 addr, struct page *p)
{
	pmd_t *pmd = pt_pmd(v->mm, addr), e;
	spinlock_t *lock;
	pte_t *entry;
	bool go_on = true;

	if (!pmd)
		return true;
	e = pte_read(pmd);
	if (pmd_huge(e)) {
		lock = pt_lock_of(pmd);
		spin_lock(lock);
		e = pte_read(pmd);
		if (pmd_huge(e)) {
			if (pte_frame(e) + pte_index(addr) == p)
				go_on = w->fn(w, v, addr, pmd, true);
			spin_unlock(lock);
			return go_on;
		}
		spin_unlock(lock);
	}
	if (!pmd_has_table(e))
		return true;
	entry = table_of(e) + pte_index(addr);
	lock = pt_lock_of(entry);
	spin_lock(lock);
	if (pte_has_page(*entry) && page_head(pte_frame(*entry)) == p)
		go_on = w->fn(w, v, addr, entry, false);
	spin_unlock(lock);
	return go_on;
}

/* Every place in @v where pages [first, first + n) of its object may be. */
static bool walk_vma(struct rmap_walk *w, struct vma *v, struct page *p, u64 n)
{
	u64 first, last;

	if (unlikely(v->flags & VM_HUGETLB))
		return hugetlb_rmap(w, v, p);
	first = max(p->index, v->pgoff);
	last = min(p->index + n, v->pgoff + npages_of(v));

	for (; first < last; first++)
		if (!walk_entry(w, v, v->start + ((first - v->pgoff) << PAGE_SHIFT), p))
			return false;
	return true;
}

void rmap_walk_anon(struct page *p, struct rmap_walk *w)
{
	u64 n = page_flag(p, PG_HEAD) ? HPAGE_PAGES : 1;
	struct anon_group *g;
	struct vma *v;

	rcu_read_lock();
	g = READ_ONCE(p->anon);
	smp_rmb(); /* the group before the proof that it was the page's: a mapped page's group lives, and its memory stays a group's */
	if (READ_ONCE(p->mapcount) > 0 && page_type(p) == PT_ANON && READ_ONCE(p->anon) == g) {
		spin_lock(&g->lock);
		if (READ_ONCE(p->mapcount) > 0 && p->anon == g) {
			list_for_each_entry(v, &g->vmas, anon_link)
				if (!walk_vma(w, v, p, n))
					break;
		}
		spin_unlock(&g->lock);
	}
	rcu_read_unlock();
}

void rmap_walk(struct page *p, struct rmap_walk *w)
{
	u64 n = page_flag(p, PG_HEAD) ? 1ull << page_order(p) : 1;
	struct mapping *m;

	if (page_type(p) == PT_ANON) {
		rmap_walk_anon(p, w);
		return;
	}
	m = READ_ONCE(p->mapping);
	if (page_type(p) == PT_FILE && m)
		mapping_walk_vmas(m, p, w, walk_vma, n);
}
