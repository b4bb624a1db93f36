/*
 * Promotion of shared memory: what an object has in an aligned range becomes a run, and the mapping that asked maps it by one entry.
 *
 * In place, where the pages are all there and lie together as they should (a run that lost PG_RUN to a page that went and came
 * back elsewhere is not; one whose neighbours were only moved by one another is): nothing but PG_RUN is set.
 *
 * By copy otherwise. The pages are locked and marked PG_MOVING: a fault that finds one waits for its lock. So once all mappings of
 * the range, in all address spaces, lost their entries, none comes back but by faults that were under way, and these are few. Then,
 * under mapping->lock, each page is frozen: its count, if the tree's reference and ours are the only ones, becomes zero, and from then on nobody can
 * take it; a lookup waits. A page mapped by a fault that was under way is unmapped again; one with another reference (a pin, a read) ends the attempt, the
 * frozen ones get their count back, and nobody noticed.
 * When all are frozen the holes get their part of the new run, equally frozen; that can fail too. Then, without failure, contents are
 * copied, the tree is given the new pages, and these get their counts. The lock is held for the copy of 2 MiB, as in a migration.
 *
 * A range with a mapping that userfaultfd watches is left alone: its holes are somebody's, and so are its faults.
 *
 * Locks: mm->lock (w) of the mapping that asked; rmap_lock (r) and mapping->lock of the object, table locks of all address spaces inside.
 */
#include <kernel/rcu.h>
#include <mm/mempolicy.h>
#include <mm/uffd.h>
#include "run.h"

#define FREEZE_TRIES 64

struct merge {
	struct mapping *m;
	u64 base;
	struct page *to;
	struct page *old[HPAGE_PAGES]; /* referenced, locked, then frozen; NULL: a hole */
};

/* --- looking --- */

/* What the tree has of the range: pages in *present. False: something that stays where it is. */
static bool look(struct mapping *m, u64 base, unsigned *present, bool *in_order)
{
	u64 at = base, indices[MAPPING_RUN], first = 0;
	void *pages[MAPPING_RUN];
	bool fine = true;
	unsigned n;

	*present = 0;
	*in_order = true;
	rcu_read_lock();
	while (fine && at < base + HPAGE_PAGES && (n = xa_gather(&m->pages, &at, base + HPAGE_PAGES - 1, pages, indices, MAPPING_RUN))) {
		for (unsigned i = 0; i < n; i++) {
			struct page *p = pages[i];

			if (xa_is_value(p) || page_flag(p, PG_HWPOISON) || page_flag(p, PG_LOCKED) || READ_ONCE(p->private)) {
				fine = false;
				break;
			}
			if (!*present)
				first = page_to_pfn(p) - (indices[i] - base);
			*in_order &= page_to_pfn(p) == first + (indices[i] - base) && !(first & (HPAGE_PAGES - 1));
			++*present;
		}
	}
	rcu_read_unlock();
	*in_order &= *present == HPAGE_PAGES;
	return fine;
}

static bool is_run(struct mapping *m, u64 base)
{
	struct page *p = mapping_find(m, base);
	bool run = p && page_flag(p, PG_RUN);

	if (p)
		page_put(p);
	return run;
}

static bool watched(struct rmap_walk *w, struct vma *v, struct page *p, u64 n)
{
	(void)p;
	(void)n;
	*(bool *)w->arg |= v->uffd != NULL;
	return true;
}

static bool anybody_watches(struct mapping *m, u64 base)
{
	struct page range = { .index = base };
	bool yes = false;
	struct rmap_walk w = { .arg = &yes };

	mapping_walk_vmas_locked(m, &range, &w, watched, HPAGE_PAGES);
	return yes;
}

/* --- in place --- */

/* => m->lock */
static bool mark_in_place(struct mapping *m, u64 base)
{
	struct page *first;
	unsigned present;
	bool in_order;

	if (!look(m, base, &present, &in_order) || !in_order)
		return false;
	first = xa_load(&m->pages, base);
	if (!page_flag(first, PG_RUN)) {
		for (unsigned i = 0; i < HPAGE_PAGES; i++)
			page_set_flag(first + i, PG_RUN);
		run_mark_locked(m);
	}
	return true;
}

/* --- by copy --- */

/* Locks and marks what there is. False: somebody has a page locked. */
static bool grab(struct merge *g)
{
	bool fine = true;

	spin_lock(&g->m->lock);
	for (unsigned i = 0; i < HPAGE_PAGES && fine; i++) {
		struct page *p = xa_load(&g->m->pages, g->base + i);

		if (!p)
			continue;
		fine = !xa_is_value(p) && !page_flag(p, PG_HWPOISON) && page_trylock(p);
		if (!fine)
			break;
		page_get(p);
		page_set_flag(p, PG_MOVING);
		g->old[i] = p;
	}
	spin_unlock(&g->m->lock);
	return fine;
}

static void let_go(struct merge *g)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		if (!g->old[i])
			continue;
		page_clear_flag(g->old[i], PG_MOVING);
		page_unlock(g->old[i]);
		page_put(g->old[i]);
	}
}

/* => m->lock, rmap_lock */
static bool freeze_part(struct merge *g, unsigned i)
{
	struct page *p = g->old[i];

	if (xa_load(&g->m->pages, g->base + i) != p)
		return false;
	for (unsigned tries = 0; p && tries < FREEZE_TRIES; tries++) {
		u64 tree_and_us = 2;

		if (READ_ONCE(p->private))
			return false;
		if (__atomic_compare_exchange_n(page_counts(p), &tree_and_us, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		if (READ_ONCE(p->mapcount) > 0)
			mapping_unmap_locked(g->m, g->base + i, 1, false);
		else
			spin_poll();
	}
	return !p;
}

/* Frozen pages can be taken again, of the first @n. */
static void thaw(struct merge *g, unsigned n, s32 refs)
{
	for (unsigned i = 0; i < n; i++)
		if (g->old[i])
			__atomic_store_n(page_counts(g->old[i]), (u64)(u32)refs, __ATOMIC_RELEASE);
}

/* => m->lock; all frozen. Cannot fail. */
static void replace(struct merge *g)
{
	u64 kept = 1ull << PG_DIRTY | 1ull << PG_REFERENCED, holes = 0;

	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		struct page *old = g->old[i], *p = g->to + i;

		if (old && page_flag(old, PG_UPTODATE))
			copy_page(page_address(p), page_address(old));
		else
			clear_page(page_address(p));
		p->flags |= 1ull << PG_UPTODATE | (old ? old->flags & kept : 0);
		if (!old) {
			holes++;
			continue;
		}
		xa_replace(&g->m->pages, g->base + i, p);
		WRITE_ONCE(old->mapping, NULL);
	}
	run_publish_locked(g->m, g->to, holes);
}

/* 0, -EAGAIN, -ENOMEM. => rmap_lock */
static int merge(struct merge *g)
{
	struct mapping *m = g->m;
	unsigned n = 0;
	int err;

	mapping_unmap_locked(m, g->base, HPAGE_PAGES, false);
	spin_lock(&m->lock);
	while (n < HPAGE_PAGES && freeze_part(g, n))
		n++;
	err = n < HPAGE_PAGES ? -EAGAIN : run_insert_locked(m, g->base, g->to, g->old);
	if (!err)
		replace(g);
	thaw(g, n, err ? 2 : 1);
	spin_unlock(&m->lock);
	return err;
}

static int copy_to_run(struct mapping *m, u64 base, const struct vma *v)
{
	struct merge *g = kmalloc(sizeof(*g), GFP_KERNEL);
	int err = -ENOMEM;

	if (!g)
		return -ENOMEM;
	*g = (struct merge){ .m = m, .base = base, .to = run_alloc(m, base, v) };
	if (!g->to)
		goto out;
	err = -EAGAIN;
	if (grab(g)) {
		down_read(&m->rmap_lock);
		err = anybody_watches(m, base) ? -EINVAL : merge(g);
		up_read(&m->rmap_lock);
	}
	let_go(g);
	if (err) {
		run_free_parts(g->to);
		goto out;
	}
	count_vm_event(THP_COLLAPSE_ALLOC);
out:
	kfree(g);
	return err;
}

static int make_run(struct mapping *m, u64 base, const struct vma *v, const struct huge_limits *max)
{
	unsigned present;
	bool in_order;
	int err;

	if (!look(m, base, &present, &in_order))
		return -EAGAIN;
	if (!present || HPAGE_PAGES - present > max->none)
		return -EINVAL;
	if (in_order) {
		spin_lock(&m->lock);
		in_order = mark_in_place(m, base);
		spin_unlock(&m->lock);
		count_vm_events(THP_COLLAPSE_INPLACE, in_order);
		return in_order ? 0 : -EAGAIN;
	}
	if (m->runs->room && (err = m->runs->room(m, HPAGE_PAGES - present)))
		return err;
	return copy_to_run(m, base, v);
}

/* --- the mapping that asked --- */

/* Its table goes, one entry comes. Where that fails faults do it, or bring small entries. => m write */
static void remap(struct vma *v, u64 base)
{
	struct mapping *m = v->mapping;
	pmd_t *pmd = pt_pmd_alloc(v->mm, base), e;
	struct page *first;

	if (!pmd)
		return;
	vma_write_lock(v);
	zap_vma_range(v, base, base + PMD_SIZE);
	spin_lock(pt_lock_of(pmd));
	e = pte_read(pmd);
	if (pmd_has_table(e))
		pte_set(pmd, (pmd_t){ 0 });
	spin_unlock(pt_lock_of(pmd));
	if (pmd_has_table(e)) {
		/* who walks the reverse map may still be in the table */
		down_write(&m->rmap_lock);
		up_write(&m->rmap_lock);
		huge_free_table(v->mm, base, table_of(e));
	}
	first = mapping_find(m, vma_index(v, base));
	if (!first)
		return;
	if (page_flag(first, PG_RUN))
		(void)run_map(v, pmd, base, first, false);
	page_put(first);
}

int run_collapse(struct vma *v, u64 base, const struct huge_limits *max)
{
	struct mapping *m = v->mapping;
	pmd_t *pmd = pt_pmd(v->mm, base);
	u64 index;
	int err;

	if (!run_fits(v, base))
		return -EINVAL;
	if (pmd && pmd_huge(pte_read(pmd)))
		return 0;
	index = vma_index(v, base);
	if (index + HPAGE_PAGES > run_limit(m))
		return -EINVAL;
	err = is_run(m, index) ? 0 : make_run(m, index, v, max);
	if (!err)
		remap(v, base);
	return err;
}

bool run_worth_it(struct vma *v, u64 base, const struct huge_limits *max)
{
	u64 index = vma_index(v, base);
	unsigned present;
	bool in_order;

	if (!run_fits(v, base) || !run_wanted(v->mapping, index, v) || index + HPAGE_PAGES > run_limit(v->mapping))
		return false;
	return look(v->mapping, index, &present, &in_order) && present && HPAGE_PAGES - present <= max->none;
}
