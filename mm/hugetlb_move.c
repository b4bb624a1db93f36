/*
 * Moving a pool page to another node (mbind, move_pages, migrate_pages), or away from a frame that is about to fail (MADV_SOFT_OFFLINE).
 *
 * The move itself is migrate.c's: entries, counts and the place in the file's cache change as for any page; the entries are PMD entries in mappings with VM_HUGETLB.
 * Here is where the new page comes from, and where the old one goes:
 *
 *	the pool has a page on the node that nobody was promised	they change places: the old one is free in the pool
 *	otherwise a fresh page of the node				joins the pool first; the old one leaves it. nr, resv and surplus in all
 *									are what they were, only the nodes' shares change
 *
 * While both count, nr is one too high; nobody minds. A page of 1 GiB would keep its tables locked for too long: EBUSY.
 */
#include <mm/migrate.h>
#include "pool.h"
#include "vm.h"

/* In use from here on: on the used list, one reference. => h->lock */
static void enlist_used(struct hstate *h, struct page *p)
{
	list_add(&p->lru, &h->used);
	p->mapcount = 0;
	p->private = 0;
	WRITE_ONCE(p->refcount, 1);
}

static struct page *take_pooled(struct hstate *h, int node)
{
	struct page *p = NULL;
	u64 flags;

	spin_lock_irqsave(&h->lock, flags);
	if (h->free > h->resv && (p = pool_unlist_free(h, node)))
		enlist_used(h, p);
	spin_unlock_irqrestore(&h->lock, flags);
	return p;
}

/* @node < 0: any */
static struct page *take_fresh(struct hstate *h, int node)
{
	struct page *p = pool_new_page(h, node);
	u64 flags;

	if (!p)
		return NULL;
	node = page_node(p);
	spin_lock_irqsave(&h->lock, flags);
	h->nr++;
	h->node_nr[node]++;
	enlist_used(h, p);
	spin_unlock_irqrestore(&h->lock, flags);
	return p;
}

/* A page nobody refers to leaves the pool; a page of node @instead has its place. */
static void leave_pool(struct hstate *h, struct page *p, int instead)
{
	int node = page_node(p);
	u64 flags;

	spin_lock_irqsave(&h->lock, flags);
	list_del(&p->lru);
	h->nr--;
	h->node_nr[node]--;
	if (h->node_surplus[node] > h->node_nr[node]) { /* the share moves along */
		h->node_surplus[node]--;
		h->node_surplus[instead]++;
	}
	spin_unlock_irqrestore(&h->lock, flags);
	p->flags &= ~(1ull << PG_DIRTY | 1ull << PG_UPTODATE | 1ull << PG_REFERENCED | 1ull << PG_SWAPBACKED);
	page_set_type(p, PT_KERNEL);
	p->mapping = NULL;
}

int hugetlb_migrate(struct migration *m, struct page *p, int node)
{
	struct hstate *h = &hstates[HUGE_2M];
	bool fresh = false;
	struct page *to;
	int err;

	if (page_order(p) != h->order)
		return -EBUSY;
	to = take_pooled(h, node);
	if (!to) {
		to = take_fresh(h, node);
		fresh = true;
	}
	if (!to)
		return -ENOMEM;
	err = migrate_pool_page(m, p, to);
	if (err && fresh) {
		WRITE_ONCE(to->refcount, 0);
		leave_pool(h, to, page_node(p));
		pool_discard(to);
	} else if (err) {
		page_put(to);
	} else if (fresh) {
		leave_pool(h, p, node);
		pool_discard(p);
	} else if (!hugetlb_page_release(p)) {
		pool_discard(p);
	}
	return err;
}

int hugetlb_offline(struct migration *m, struct page *p, struct page *bad)
{
	struct hstate *h = &hstates[HUGE_2M];
	struct page *to;
	int err;

	if (page_order(p) != h->order)
		return -EBUSY;
	to = take_fresh(h, page_node(p)) ?: take_fresh(h, NUMA_NO_NODE);
	if (!to)
		return -ENOMEM;
	err = migrate_pool_page(m, p, to);
	if (err) {
		WRITE_ONCE(to->refcount, 0);
		leave_pool(h, to, page_node(p));
		pool_discard(to);
		return err;
	}
	/* commit: no failure below */
	leave_pool(h, p, page_node(to));
	page_clear_flag(p, PG_HUGETLB);
	split_page(p, h->order);
	page_set_flag(bad, PG_HWPOISON);
	for (u64 i = 0; i < hstate_pages(h); i++)
		if (p + i != bad)
			page_put(p + i);
	return 0;
}
