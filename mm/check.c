/*
 * check.c - the checkers of the physical and object levels, and the list of all checkers.
 *
 * Each takes the lock of one structure at a time and walks it, so a running system is disturbed
 * but not stopped.  Counts that several CPUs change without a common lock are only compared when
 * nothing else runs.
 */
#include <mm/check.h>

#include <kernel/printk.h>
#include <lib/err.h>
#include <mm/kstack.h>
#include <mm/slab_impl.h>
#include <mm/zone.h>

#define MAX_CHECKERS 24

static struct {
	const char *name;
	u64 (*fn)(void);
} checkers[MAX_CHECKERS];
static u32 nr_checkers;

static void report_page(const char *what, u64 pfn, u64 is, u64 should)
{
	pr_err("check: buddy: pfn %#llx: %s is %#llx, should be %#llx\n", pfn, what, is, should);
}

u64 buddy_check(void)
{
	struct zone *z;
	u64 bad = 0;

	for_each_zone(z) {
		u64 flags;

		spin_lock_irqsave(&z->lock, flags);
		bad += buddy_check_one(&z->b, report_page);
		spin_unlock_irqrestore(&z->lock, flags);
	}
	return bad + pcp_check();
}

static void report_slab(const char *cache, const char *what, const void *at, u64 is, u64 should)
{
	pr_err("check: slab %s: %p: %s is %#llx, should be %#llx\n", cache, at, what, is, should);
}

struct slab_sum {
	u64 slabs, inuse, bad;
};

static void check_slab_list(struct kmem_cache *c, const struct kmem_node *n, const struct list_head *list, u64 low, u64 high,
			    struct slab_sum *sum)
{
	const struct page *p;

	list_for_each_entry(p, list, slab_list) {
		sum->slabs++;
		sum->inuse += p->private;
		sum->bad += slab_check_one(&c->shape, p, report_slab);
		if (p->slab_cache != c || page_type(p) != PT_SLAB) {
			report_slab(c->name, "owner of a slab", p, (u64)p->slab_cache, (u64)c);
			sum->bad++;
		}
		if (kmem_node(c, kmem_node_index[page_node(p)]) != n) {
			report_slab(c->name, "slabs of the node a slab is of", p, (u64)kmem_node(c, kmem_node_index[page_node(p)]), (u64)n);
			sum->bad++;
		}
		if (p->private < low || p->private > high) {
			report_slab(c->name, "objects in use of a slab on this list", p, p->private, p->private < low ? low : high);
			sum->bad++;
		}
	}
}

static u64 check_node(struct kmem_cache *c, struct kmem_node *n)
{
	struct slab_sum sum = { 0 };
	struct finding f = { 0 };
	u64 flags;

	spin_lock(&n->depot_lock);
	if (depot_check_one(&n->depot, &f)) {
		report_slab(c->name, f.what, f.at, f.is, f.should);
		sum.bad++;
	}
	spin_unlock(&n->depot_lock);
	spin_lock_irqsave(&n->lock, flags);
	check_slab_list(c, n, &n->partial, 1, c->shape.count - 1, &sum);
	check_slab_list(c, n, &n->full, c->shape.count, c->shape.count, &sum);
	check_slab_list(c, n, &n->empty, 0, 0, &sum);
	if (sum.slabs != n->nr_slabs) {
		report_slab(c->name, "number of slabs", n, n->nr_slabs, sum.slabs);
		sum.bad++;
	}
	if (sum.inuse != n->inuse) {
		report_slab(c->name, "objects in use", n, n->inuse, sum.inuse);
		sum.bad++;
	}
	spin_unlock_irqrestore(&n->lock, flags);
	return sum.bad;
}

static void check_cache(struct kmem_cache *c, void *arg)
{
	for (u32 k = 0; k < nr_kmem_nodes; k++)
		*(u64 *)arg += check_node(c, kmem_node(c, k));
}

u64 slab_check(void)
{
	u64 bad = 0;

	kmem_for_each(check_cache, &bad);
	return bad;
}

void check_register(const char *name, u64 (*fn)(void))
{
	if (nr_checkers == MAX_CHECKERS) {
		pr_err("check: no room for %s\n", name);
		return;
	}
	checkers[nr_checkers].name = name;
	checkers[nr_checkers++].fn = fn;
}

u64 check_everything(void)
{
	u64 bad = buddy_check() + slab_check() + vmalloc_check();

	for (u32 i = 0; i < nr_checkers; i++) {
		u64 n = checkers[i].fn();

		if (n)
			pr_err("check: %s: %llu mismatches\n", checkers[i].name, n);
		bad += n;
	}
	return bad;
}
