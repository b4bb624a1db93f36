/*
 * mempolicy.c - NUMA policies: which node a page of user memory comes from.
 *
 * A page of a VMA is placed by the first of these that is there: the policy of the shared memory object (for the page's index;
 * shared mappings of tmpfs, memfd, SysV and anonymous shared memory), the VMA's own, the thread's, the default. The default and LOCAL take
 * the node the CPU is on, then the others by distance.
 *
 *	PREFERRED		one node first, then the others by distance from it
 *	PREFERRED_MANY		the given nodes, nearest to the home node or the CPU first; then any
 *	BIND			the same, but no others: if all are empty the allocation fails and the OOM killer is told the nodes
 *	INTERLEAVE		node (page number modulo nodes) of the set; for what has no address, by turns; then any
 *
 * Kernel memory (objects, page tables, stacks) follows the CPU, never a policy.
 *
 * A policy is a few words and is copied, not shared: a VMA has its own copy (split copies it, equal ones merge), a thread has one in its struct
 * task (inherited by fork and clone, kept by exec). Faults read v->policy under RCU, because they may hold no lock that keeps mbind
 * out: it replaces the pointer and frees the old copy a grace period later. The ranges of a shared object are an array that is replaced as a
 * whole, under policy_mutex, and read under RCU too.
 *
 * The cost for who uses no policy is one test of mempolicy_used, a byte that is set once and read by all.
 */
#include <mm/mempolicy.h>

#include <kernel/mutex.h>
#include <lib/bitops.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/migrate.h>
#include <mm/vmstat.h>
#include <mm/zone.h>
#include "vm.h"

bool mempolicy_used;

struct shared_policy {
	struct rcu_head rcu;
	u32 n;
	struct shared_range {
		u64 first, end; /* indices, sorted, disjoint */
		struct mempolicy p;
	} range[];
};
static DEFINE_MUTEX(policy_mutex);

/* --- policies --- */

static u64 nth_node(u64 nodes, u64 n)
{
	while (n--)
		nodes &= nodes - 1;
	return nodes ? __ffs(nodes) : 0;
}

/* Node k of the set is allowed node k modulo their number. */
static u64 relative_nodes(u64 nodes, u64 allowed)
{
	u64 w = (u64)__builtin_popcountll(allowed), out = 0;

	for (u64 k = 0; k < MAX_NODES; k++)
		if (nodes >> k & 1)
			out |= 1ull << nth_node(allowed, k % w);
	return out;
}

int mpol_make(struct mempolicy *p, unsigned mode, unsigned flags, u64 nodes)
{
	bool by_nodes = flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES);

	*p = (struct mempolicy){ .home = NUMA_NO_NODE };
	if (mode >= MPOL_MAX || (flags & MPOL_F_STATIC_NODES && flags & MPOL_F_RELATIVE_NODES))
		return -EINVAL;
	if (flags & MPOL_F_NUMA_BALANCING && mode != MPOL_BIND)
		return -EINVAL;
	if (mode == MPOL_DEFAULT)
		return nodes ? -EINVAL : 0;
	if (mode == MPOL_PREFERRED && !nodes) {
		if (by_nodes)
			return -EINVAL;
		mode = MPOL_LOCAL;
	}
	if (mode == MPOL_LOCAL ? nodes || by_nodes : !nodes)
		return -EINVAL;
	p->mode = (u16)mode;
	p->flags = (u16)flags;
	p->user_nodes = nodes;
	if (mode == MPOL_LOCAL)
		return 0;
	nodes = flags & MPOL_F_RELATIVE_NODES ? relative_nodes(nodes, node_online_map) : nodes & node_online_map;
	if (!nodes)
		return -EINVAL;
	p->nodes = mode == MPOL_PREFERRED ? 1ull << __ffs(nodes) : nodes;
	return 0;
}

u64 mpol_nodes(const struct mempolicy *p)
{
	if (p->mode == MPOL_DEFAULT)
		return node_online_map;
	return p->nodes ? p->nodes : 1ull << this_node();
}

bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b)
{
	if (!a || !b)
		return a == b;
	return a->mode == b->mode && a->flags == b->flags && a->home == b->home && a->nodes == b->nodes &&
	       a->user_nodes == b->user_nodes;
}

int mpol_text(const struct mempolicy *p, char *buf, u64 n)
{
	static const char *const names[MPOL_MAX] = { "default", "prefer", "bind", "interleave", "local", "prefer (many)" };
	const char *how = p->flags & MPOL_F_STATIC_NODES ? "=static" : p->flags & MPOL_F_RELATIVE_NODES ? "=relative" : "";
	int at = snprintf(buf, n, "%s%s", names[p->mode], p->mode == MPOL_DEFAULT ? "" : how);
	const char *sep = ":";

	for (int a = 0; a < MAX_NODES && at < (int)n; a++) {
		int b = a;

		if (!(p->nodes >> a & 1))
			continue;
		while (b + 1 < MAX_NODES && p->nodes >> (b + 1) & 1)
			b++;
		at += snprintf(buf + at, n - (u64)at, b > a ? "%s%d-%d" : "%s%d", sep, a, b);
		sep = ",";
		a = b;
	}
	return at;
}

/* --- allocation --- */

/* The nodes of the set, nearest to @from first; each alone. */
static struct page *alloc_among(u64 nodes, int from, gfp_t gfp, unsigned order)
{
	struct page *p = NULL;

	for (u64 left = nodes & node_online_map; left && !p;) {
		int best = -1;

		for (int n = 0; n < MAX_NODES; n++)
			if (left >> n & 1 && (best < 0 || node_distance[from][n] < node_distance[from][best]))
				best = n;
		left &= ~(1ull << best);
		p = alloc_pages_node(best, gfp | GFP_THISNODE, order);
	}
	return p;
}

static struct page *alloc_bound(const struct mempolicy *pol, int from, gfp_t gfp, unsigned order)
{
	struct page *p = alloc_among(pol->nodes, from, (gfp & ~GFP_WAIT) | GFP_NOWARN, order);

	if (!p && gfp & GFP_WAIT)
		p = alloc_among(pol->nodes, from, gfp | GFP_NOWARN, order);
	if (!p && !order && thread_bound_oom)
		thread_bound_oom(pol->nodes);
	return p;
}

/* @turn: which node of an interleaved set. */
static struct page *alloc_by(const struct mempolicy *pol, gfp_t gfp, unsigned order, u64 turn)
{
	int from = pol->home >= 0 ? pol->home : this_node(), node;
	struct page *p;

	switch (pol->mode) {
	case MPOL_PREFERRED:
		return alloc_pages_node((int)__ffs(pol->nodes), gfp, order);
	case MPOL_BIND:
		return alloc_bound(pol, from, gfp, order);
	case MPOL_PREFERRED_MANY:
		p = alloc_among(pol->nodes, from, (gfp & ~GFP_WAIT) | GFP_NOWARN, order);
		return p ? p : alloc_pages(gfp, order);
	case MPOL_INTERLEAVE:
		node = (int)nth_node(pol->nodes, turn % (u64)__builtin_popcountll(pol->nodes));
		p = alloc_pages_node(node, gfp, order);
		if (p && page_node(p) == node)
			count_numa(node, NUMA_INTERLEAVE, 1);
		return p;
	default:
		return alloc_pages(gfp, order);
	}
}

static bool shared_policy_at(struct mapping *m, u64 index, struct mempolicy *out)
{
	const struct shared_policy *s;
	bool found = false;

	rcu_read_lock();
	s = rcu_dereference(m->policy);
	for (u32 i = 0; s && i < s->n && !found; i++)
		if (index >= s->range[i].first && index < s->range[i].end) {
			*out = s->range[i].p;
			found = true;
		}
	rcu_read_unlock();
	return found;
}

static bool has_shared_policy(const struct vma *v)
{
	return v->mapping && v->flags & VM_SHARED && v->mapping->flags & MAPPING_SHMEM;
}

bool vma_policy_at(const struct vma *v, u64 addr, struct mempolicy *out)
{
	const struct mempolicy *p;

	if (has_shared_policy(v))
		return shared_policy_at(v->mapping, vma_index(v, addr), out);
	rcu_read_lock();
	p = rcu_dereference(v->policy);
	if (p)
		*out = *p;
	rcu_read_unlock();
	return p;
}

struct page *alloc_vma_policy(gfp_t gfp, unsigned order, const struct vma *v, u64 addr)
{
	struct mempolicy pol, *t;

	if (vma_policy_at(v, addr, &pol))
		return alloc_by(&pol, gfp, order, vma_index(v, addr) >> order);
	t = thread_policy ? thread_policy() : NULL;
	return t ? alloc_by(t, gfp, order, vma_index(v, addr) >> order) : alloc_pages(gfp, order);
}

struct page *alloc_mapping_policy(gfp_t gfp, unsigned order, struct mapping *m, u64 index)
{
	struct mempolicy pol, *t;

	if (READ_ONCE(m->policy) && shared_policy_at(m, index, &pol))
		return alloc_by(&pol, gfp, order, index >> order);
	t = thread_policy ? thread_policy() : NULL;
	return t ? alloc_by(t, gfp, order, t->mode == MPOL_INTERLEAVE ? (*thread_interleave())++ : 0) : alloc_pages(gfp, order);
}

/* --- setting --- */

/* The ranges of an object with [first, end) as @p says (default: none). => policy_mutex */
static int shared_policy_set(struct mapping *m, u64 first, u64 end, const struct mempolicy *p)
{
	struct shared_policy *old = m->policy, *s;
	u32 n = old ? old->n : 0, k = 0;

	s = kmalloc(sizeof(*s) + (n + 2) * sizeof(s->range[0]), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++)
		if (old->range[i].first < first) {
			s->range[k] = old->range[i];
			s->range[k].end = min(s->range[k].end, first);
			k++;
		}
	if (p->mode != MPOL_DEFAULT)
		s->range[k++] = (struct shared_range){ first, end, *p };
	for (u32 i = 0; i < n; i++)
		if (old->range[i].end > end) {
			s->range[k] = old->range[i];
			s->range[k].first = max(s->range[k].first, end);
			k++;
		}
	s->n = k;
	rcu_assign_pointer(m->policy, s);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

void mapping_policy_free(struct mapping *m)
{
	struct shared_policy *s = m->policy;

	kfree_rcu(s, rcu);
	m->policy = NULL;
}

static int set_one(struct vma *v, const struct mempolicy *p)
{
	struct mempolicy *old = v->policy, *n = NULL;
	int err;

	if (has_shared_policy(v)) {
		mutex_lock(&policy_mutex);
		err = shared_policy_set(v->mapping, v->pgoff, v->pgoff + npages_of(v), p);
		mutex_unlock(&policy_mutex);
		return err;
	}
	if (p->mode != MPOL_DEFAULT) {
		n = kmemdup(p, sizeof(*p), GFP_KERNEL);
		if (!n)
			return -ENOMEM;
	}
	rcu_assign_pointer(v->policy, n);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

static int set_range(struct mm *mm, u64 start, u64 end, const struct mempolicy *p)
{
	struct vma *v;
	int err;

	for (v = vma_find(mm, start); v && v->start < end; v = vma_next(v)) {
		u64 a = max(v->start, start), b = min(v->end, end);

		if (!has_shared_policy(v) && mpol_equal(v->policy, p->mode == MPOL_DEFAULT ? NULL : p))
			continue;
		v = vma_isolate(v, a, b);
		if (IS_ERR(v))
			return (int)PTR_ERR(v);
		err = set_one(v, p);
		if (err)
			return err;
		v = vma_try_merge(v);
	}
	return 0;
}

/* --- moving what is there --- */

/* The page an address is mapped to, and where the next one begins. NULL: none that can be moved. *err: -ENOENT, -EFAULT (zero page). */
static struct page *mapped_at(struct vma *v, u64 addr, u64 *next, int *err)
{
	pmd_t *pmd = pt_pmd(v->mm, addr), e;
	bool huge;

	*next = addr + PAGE_SIZE;
	*err = -ENOENT;
	if (!pmd) {
		*next = (addr | (pt_hole_size(v->mm, addr) - 1)) + 1;
		return NULL;
	}
	e = pte_settled(pmd);
	huge = pmd_huge(e);
	if (!huge) {
		if (!pmd_has_table(e)) {
			*next = (addr | (PMD_SIZE - 1)) + 1;
			return NULL;
		}
		e = pte_read(table_of(e) + pte_index(addr));
	} else {
		*next = (addr | (PMD_SIZE - 1)) + 1;
	}
	if (!pte_has_page(e)) {
		if (pte_mapped(e))
			*err = -EFAULT;
		return NULL;
	}
	if (huge && !page_flag(pte_frame(e), PG_HEAD)) { /* the pages of a run are on their own */
		*next = addr + PAGE_SIZE;
		return pte_frame(e) + pte_index(addr);
	}
	return page_head(pte_frame(e));
}

static bool only_ours(const struct page *p)
{
	return READ_ONCE(p->mapcount) <= 1 || (page_flag(p, PG_HEAD) && READ_ONCE(p->mapcount) == HPAGE_PAGES);
}

static int move_now(struct migration *m, struct vma *v, u64 addr, struct page *p, int node)
{
	pmd_t *pmd = pt_pmd(v->mm, addr);
	int err = -EAGAIN;

	/* a run is moved page by page: those that follow are to be found mapped */
	if (page_flag(p, PG_RUN) && pmd && (err = huge_split_pmd(v, pmd, addr)))
		return err;
	err = -EAGAIN;
	for (int i = 0; i < 4 && err == -EAGAIN; i++) {
		err = migrate_to_node(m, p, node, GFP_WAIT);
		if (err == -EAGAIN)
			pcp_drain_all(); /* gives others time, too */
	}
	if (err == -ENOMEM && page_flag(p, PG_HEAD) && !(v->flags & VM_HUGETLB)) {
		/* no huge page there: small ones, and the caller comes again */
		if (pmd && pmd_huge(pte_read(pmd)) && !huge_split_pmd(v, pmd, addr))
			return -ECHILD;
	}
	return err;
}

/* Where a page of this node should go: @node itself when it may stay. */
typedef int (*where_fn)(void *arg, struct vma *v, u64 addr, int node);

/* Moves the pages of [start, end) of one VMA. Pages that did not. => m held */
static s64 move_range(struct vma *v, u64 start, u64 end, struct migration *m, bool all, where_fn where, void *arg)
{
	s64 failed = 0;
	u64 next;

	if (v->flags & (VM_IO | VM_PFNMAP | VM_SECRET))
		return 0;
	for (u64 a = start; a < end; a = next) {
		int err, node, to;
		struct page *p = mapped_at(v, a, &next, &err);

		if (!p)
			continue;
		cond_resched();
		node = page_node(p);
		to = where(arg, v, a, node);
		if (to == node || (!all && !only_ours(p)))
			continue;
		err = m ? move_now(m, v, a, p, to) : -EBUSY;
		if (err == -ECHILD)
			next = a;
		else if (err && err != -ENOENT)
			failed++;
	}
	return failed;
}

static int where_policy(void *arg, struct vma *v, u64 addr, int node)
{
	const struct mempolicy *p = arg;
	int from = p->home >= 0 ? p->home : this_node(), best = -1;

	if (p->mode == MPOL_DEFAULT || p->mode == MPOL_LOCAL)
		return this_node();
	if (p->nodes >> node & 1)
		return node;
	if (p->mode == MPOL_INTERLEAVE)
		return (int)nth_node(p->nodes, vma_index(v, addr) % (u64)__builtin_popcountll(p->nodes));
	for (int n = 0; n < MAX_NODES; n++)
		if (p->nodes >> n & 1 && (best < 0 || node_distance[from][n] < node_distance[from][best]))
			best = n;
	return best;
}

static s64 move_all_in(struct mm *mm, u64 start, u64 end, struct migration *m, bool all, where_fn where, void *arg)
{
	s64 failed = 0;

	for (struct vma *v = vma_find(mm, start); v && v->start < end; v = vma_next(v))
		failed += move_range(v, max(v->start, start), min(v->end, end), m, all, where, arg);
	return failed;
}

int do_mbind(struct mm *mm, u64 start, u64 len, const struct mempolicy *p, unsigned flags, bool default_mode)
{
	u64 end = start + PAGE_ALIGN(len);
	struct migration *m = NULL;
	s64 failed = 0;
	int err;

	if (start & ~PAGE_MASK || end < start || end > TASK_SIZE_MAX + PAGE_SIZE)
		return -EINVAL;
	if (end == start)
		return 0;
	if (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) && !(m = migration_alloc()))
		return -ENOMEM;
	WRITE_ONCE(mempolicy_used, true);
	down_write(&mm->lock);
	err = -EFAULT;
	if (default_mode ? !vma_find(mm, start) || vma_find(mm, start)->start >= end : !vma_range_full(mm, start, end))
		goto out;
	err = -EIO;
	if (flags & MPOL_MF_STRICT && !m && move_all_in(mm, start, end, NULL, true, where_policy, (void *)p))
		goto out;
	err = set_range(mm, start, end, p);
	if (!err && m)
		failed = move_all_in(mm, start, end, m, flags & MPOL_MF_MOVE_ALL, where_policy, (void *)p);
	if (!err && failed && flags & MPOL_MF_STRICT)
		err = -EIO;
out:
	up_write(&mm->lock);
	if (m)
		migration_free(m);
	return err;
}

int do_set_home_node(struct mm *mm, u64 start, u64 len, int node)
{
	u64 end = start + PAGE_ALIGN(len);
	struct mempolicy pol;
	int err = -ENOENT;
	struct vma *v;

	if (end < start)
		return -EINVAL;
	if (end == start)
		return 0;
	down_write(&mm->lock);
	for (v = vma_find(mm, start); v && v->start < end; v = vma_next(v)) {
		if (!v->policy)
			continue;
		pol = *(struct mempolicy *)v->policy;
		err = -EOPNOTSUPP;
		if (pol.mode != MPOL_BIND && pol.mode != MPOL_PREFERRED_MANY)
			break;
		pol.home = (s16)node;
		v = vma_isolate(v, max(v->start, start), min(v->end, end));
		err = IS_ERR(v) ? (int)PTR_ERR(v) : set_one(v, &pol);
		if (err)
			break;
		v = vma_try_merge(v);
	}
	up_write(&mm->lock);
	return err;
}

int mm_node_of(struct mm *mm, u64 addr)
{
	struct page *p;
	s64 n = mm_pin_pages(mm, addr & PAGE_MASK, 1, 0, &p);
	int node;

	if (n != 1)
		return n < 0 ? (int)n : -EFAULT;
	node = page_node(p);
	mm_unpin_pages(&p, 1, 0);
	return node;
}

int mm_move_page(struct mm *mm, struct migration *m, u64 addr, int node, bool all)
{
	int err = -EFAULT, at = -1;
	struct page *p;
	struct vma *v;
	u64 next;

	down_read(&mm->lock);
	v = vma_at(mm, addr);
	if (!v || v->flags & (VM_IO | VM_PFNMAP | VM_SECRET))
		goto out;
again:
	p = mapped_at(v, addr & PAGE_MASK, &next, &err);
	if (!p)
		goto out;
	at = page_node(p);
	err = 0;
	if (node < 0 || at == node)
		goto out;
	err = -EACCES;
	if (!all && !only_ours(p))
		goto out;
	err = move_now(m, v, addr & PAGE_MASK, p, node);
	if (err == -ECHILD)
		goto again;
	at = node;
	if (err == -EAGAIN)
		err = -EBUSY;
out:
	up_read(&mm->lock);
	return err ? err : at;
}

struct node_map {
	u64 from, to;
};

/* The n-th node of one set goes to the n-th of the other, around if that is smaller. */
static int where_mapped(void *arg, struct vma *v, u64 addr, int node)
{
	const struct node_map *map = arg;
	u64 nfrom = (u64)__builtin_popcountll(map->from), nto = (u64)__builtin_popcountll(map->to), k;

	(void)v;
	(void)addr;
	if (!(map->from >> node & 1) || (nfrom != nto && map->to >> node & 1))
		return node;
	k = (u64)__builtin_popcountll(map->from & ((1ull << node) - 1));
	return (int)nth_node(map->to, k % nto);
}

s64 mm_migrate_nodes(struct mm *mm, u64 from, u64 to, bool all)
{
	struct node_map map = { from & node_online_map, to };
	struct migration *m = migration_alloc();
	s64 failed;

	if (!m)
		return -ENOMEM;
	down_read(&mm->lock);
	failed = move_all_in(mm, 0, TASK_SIZE_MAX, m, all, where_mapped, &map);
	up_read(&mm->lock);
	migration_free(m);
	return failed;
}
