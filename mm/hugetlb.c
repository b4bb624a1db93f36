/*
 * hugetlb.c - the pools: their size, promises, pages going out and coming back. Promises and files: hugetlb_file.c.
 *
 * The size of a pool has two parts: pages that stay (nr - surplus), which the administrator sets, and surplus pages, made when a reservation needs more than
 * is free and nr_overcommit_hugepages allows it, or left over when the pool shrank below what is in use. A page of a node that has surplus goes back
 * to the allocator when it is freed. Shrinking never takes a page that is promised.
 *
 * Counting is done under hstate.lock, in whole steps: (free, resv) change together, so that resv <= free holds whenever the lock is free. Memory
 * is asked of the allocator outside the lock; what changed meanwhile is looked at again.
 */
#include <kernel/cmdline.h>
#include <lib/bitops.h>
#include <lib/parse.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/check.h>
#include <mm/hugetlb.h>
#include "pool.h"
#include "vm.h"

struct hstate hstates[NR_HSTATES] = {
	[HUGE_2M] = { .name = "2048kB", .order = HPAGE_ORDER, .shift = PMD_SHIFT, .usable = true },
	[HUGE_1G] = { .name = "1048576kB", .order = PUD_SHIFT - PAGE_SHIFT, .shift = PUD_SHIFT },
};
struct hstate *hstate_default = &hstates[HUGE_2M];

#define for_each_hstate(h) for (struct hstate *h = hstates; h < hstates + NR_HSTATES; h++)

struct hstate *hstate_of_log(unsigned log)
{
	if (!log)
		return hstate_default;
	for_each_hstate(h)
		if (h->shift == log && h->usable)
			return h;
	return NULL;
}

struct hstate *hstate_of_size(u64 bytes)
{
	for_each_hstate(h)
		if (hstate_bytes(h) == bytes && h->usable)
			return h;
	return NULL;
}

/* --- pages --- */

/* => lock */
static void enlist_free(struct hstate *h, struct page *p)
{
	int node = page_node(p);

	list_add(&p->lru, &h->list[node]);
	h->free++;
	h->node_free[node]++;
}

/* => lock. NULL: the node has none */
struct page *pool_unlist_free(struct hstate *h, int node)
{
	struct page *p = list_first_entry_or_null(&h->list[node], struct page, lru);

	if (!p)
		return NULL;
	list_del(&p->lru);
	h->free--;
	h->node_free[node]--;
	return p;
}

/* A fresh page for the pool, free in it (refcount 0) but on no list. */
struct page *pool_new_page(struct hstate *h, int node)
{
	struct page *p = alloc_pages_node(node, GFP_USER | GFP_COMP | GFP_NOWARN | (node >= 0 ? GFP_THISNODE : 0), h->order);
	u64 flags;

	if (p && node >= 0 && page_node(p) != node) {
		page_put(p); /* a node without room gave the request on */
		p = NULL;
	}
	spin_lock_irqsave(&h->lock, flags);
	*(p ? &h->alloc_ok : &h->alloc_fail) += 1;
	spin_unlock_irqrestore(&h->lock, flags);
	if (!p)
		return NULL;
	page_set_flag(p, PG_HUGETLB);
	WRITE_ONCE(p->refcount, 0);
	return p;
}

/* Back to the allocator: a page on no list. */
void pool_discard(struct page *p)
{
	page_clear_flag(p, PG_HUGETLB);
	WRITE_ONCE(p->refcount, 1);
	page_put(p);
}

/* A surplus page, put into the pool. => not locked; false: not allowed or no memory */
static bool add_surplus(struct hstate *h)
{
	struct page *p;
	bool ok = false;
	u64 flags;

	if (READ_ONCE(h->surplus) >= READ_ONCE(h->overcommit))
		return false;
	p = pool_new_page(h, NUMA_NO_NODE);
	if (!p)
		return false;
	spin_lock_irqsave(&h->lock, flags);
	if (h->surplus < h->overcommit) {
		h->nr++;
		h->surplus++;
		h->node_nr[page_node(p)]++;
		h->node_surplus[page_node(p)]++;
		enlist_free(h, p);
		ok = true;
	}
	spin_unlock_irqrestore(&h->lock, flags);
	if (!ok)
		pool_discard(p);
	return ok;
}

/* Surplus pages nobody was promised leave. => not locked */
static void trim_surplus(struct hstate *h)
{
	for (;;) {
		struct page *p = NULL;
		u64 flags;

		spin_lock_irqsave(&h->lock, flags);
		for (int n = 0; n < MAX_NODES && !p && h->surplus && h->free > h->resv; n++) {
			if (!h->node_surplus[n] || !(p = pool_unlist_free(h, n)))
				continue;
			h->nr--;
			h->surplus--;
			h->node_nr[n]--;
			h->node_surplus[n]--;
		}
		spin_unlock_irqrestore(&h->lock, flags);
		if (!p)
			return;
		pool_discard(p);
	}
}

int hugetlb_reserve(struct hstate *h, u64 n)
{
	for (;;) {
		bool ok = false;
		u64 flags;

		spin_lock_irqsave(&h->lock, flags);
		if (n <= h->free - h->resv) {
			h->resv += n;
			ok = true;
		}
		spin_unlock_irqrestore(&h->lock, flags);
		if (ok)
			return 0;
		if (!add_surplus(h)) {
			trim_surplus(h);
			return -ENOMEM;
		}
	}
}

void hugetlb_unreserve(struct hstate *h, u64 n)
{
	u64 flags;

	if (!n)
		return;
	spin_lock_irqsave(&h->lock, flags);
	ASSERT3U(h->resv, >=, n);
	h->resv -= n;
	spin_unlock_irqrestore(&h->lock, flags);
	if (READ_ONCE(h->surplus))
		trim_surplus(h);
}

struct page *hugetlb_take(struct hstate *h, bool reserved)
{
	struct page *p = NULL;
	u64 flags;
	int node;

	if (fail_alloc() && !reserved)
		return NULL;
	do {
		node = this_node();
		spin_lock_irqsave(&h->lock, flags);
		if (reserved || h->free > h->resv) {
			p = pool_unlist_free(h, node);
			for (int n = 0; n < MAX_NODES && !p; n++)
				p = pool_unlist_free(h, n);
		}
		if (p) {
			h->resv -= reserved;
			list_add(&p->lru, &h->used);
			p->mapcount = 0;
			p->private = 0;
			WRITE_ONCE(p->refcount, 1);
		}
		spin_unlock_irqrestore(&h->lock, flags);
	} while (!p && !reserved && add_surplus(h));
	return p;
}

void hugetlb_give_back(struct hstate *h, struct page *p)
{
	u64 flags;

	spin_lock_irqsave(&h->lock, flags);
	list_del(&p->lru);
	WRITE_ONCE(p->refcount, 0);
	enlist_free(h, p);
	h->resv++;
	spin_unlock_irqrestore(&h->lock, flags);
}

bool hugetlb_page_release(struct page *p)
{
	struct hstate *h = page_order(p) == HPAGE_ORDER ? &hstates[HUGE_2M] : &hstates[HUGE_1G];
	int node = page_node(p);
	bool keep;
	u64 flags;

	/* what is left of its last use; nobody has a reference */
	p->flags &= ~(1ull << PG_DIRTY | 1ull << PG_UPTODATE | 1ull << PG_REFERENCED | 1ull << PG_LOCKED | 1ull << PG_WAITERS |
		      1ull << PG_SWAPBACKED);
	page_set_type(p, PT_KERNEL);
	spin_lock_irqsave(&h->lock, flags);
	list_del(&p->lru);
	p->mapping = NULL;
	p->private = 0;
	keep = !h->node_surplus[node] || h->free < h->resv;
	if (keep) {
		enlist_free(h, p);
	} else {
		h->nr--;
		h->surplus--;
		h->node_nr[node]--;
		h->node_surplus[node]--;
		page_clear_flag(p, PG_HUGETLB);
	}
	spin_unlock_irqrestore(&h->lock, flags);
	return keep;
}

/* --- size --- */

static u64 staying(const struct hstate *h, int node)
{
	return node < 0 ? h->nr - h->surplus : h->node_nr[node] - h->node_surplus[node];
}

/* Moves a page between surplus and staying, on one of @nodes. => lock. False: none to move */
static bool shift_surplus(struct hstate *h, u64 nodes, bool to_surplus)
{
	for (int n = 0; n < MAX_NODES; n++) {
		if (!(nodes >> n & 1) || (to_surplus ? h->node_surplus[n] >= h->node_nr[n] : !h->node_surplus[n]))
			continue;
		h->node_surplus[n] += to_surplus ? 1 : -1;
		h->surplus += to_surplus ? 1 : -1;
		return true;
	}
	return false;
}

/* One page more. The nodes take turns, beginning at *turn. */
static bool grow_one(struct hstate *h, u64 nodes, int *turn)
{
	struct page *p = NULL;
	u64 flags;
	bool moved;

	spin_lock_irqsave(&h->lock, flags);
	moved = shift_surplus(h, nodes, false);
	spin_unlock_irqrestore(&h->lock, flags);
	if (moved)
		return true;
	for (int i = 0; i < MAX_NODES && !p; i++) {
		int n = (*turn)++ % MAX_NODES;

		if ((nodes & node_online_map) >> n & 1)
			p = pool_new_page(h, n);
	}
	if (!p)
		return false;
	spin_lock_irqsave(&h->lock, flags);
	h->nr++;
	h->node_nr[page_node(p)]++;
	enlist_free(h, p);
	spin_unlock_irqrestore(&h->lock, flags);
	return true;
}

/* One page less: a free one that nobody was promised, else one in use becomes surplus. */
static bool shrink_one(struct hstate *h, u64 nodes, int *turn)
{
	struct page *p = NULL;
	bool moved = false;
	u64 flags;

	spin_lock_irqsave(&h->lock, flags);
	for (int i = 0; i < MAX_NODES && !p && h->free > h->resv; i++) {
		int n = (*turn)++ % MAX_NODES;

		if (nodes >> n & 1 && h->node_nr[n] > h->node_surplus[n] && (p = pool_unlist_free(h, n))) {
			h->nr--;
			h->node_nr[n]--;
		}
	}
	if (!p)
		moved = shift_surplus(h, nodes, true);
	spin_unlock_irqrestore(&h->lock, flags);
	if (p)
		pool_discard(p);
	return p || moved;
}

/* What stays on @node (-1: in all) becomes @want, by pages of @nodes. */
static void resize(struct hstate *h, int node, u64 nodes, u64 want)
{
	int turn = 0;

	if (!h->usable)
		return;
	mutex_lock(&h->resize);
	while (staying(h, node) < want && !fatal_signal_pending_current() && grow_one(h, nodes, &turn))
		;
	while (staying(h, node) > want && shrink_one(h, nodes, &turn))
		;
	mutex_unlock(&h->resize);
}

void hugetlb_resize(struct hstate *h, int node, u64 want)
{
	resize(h, node, node < 0 ? ~0ull : 1ull << node, want);
}

void hugetlb_resize_among(struct hstate *h, u64 nodes, u64 want)
{
	resize(h, -1, nodes, want);
}

void hugetlb_set_overcommit(struct hstate *h, u64 n)
{
	u64 flags;

	spin_lock_irqsave(&h->lock, flags);
	h->overcommit = n;
	spin_unlock_irqrestore(&h->lock, flags);
}

/* --- boot --- */

static void boot_pool(struct hstate *h, u64 n)
{
	hugetlb_resize(h, -1, n);
	if (staying(h, -1) < n)
		pr_warn("hugetlb: %llu of %llu pages of %s\n", staying(h, -1), n, h->name);
}

/* One word of the command line. hugepages= is for the size named last before it. */
static void boot_word(const char *word, struct hstate **h, bool *sized)
{
	const char *end;
	u64 n;

	if (!strncmp(word, "hugepagesz=", 11) || !strncmp(word, "default_hugepagesz=", 19)) {
		n = memparse(strchr(word, '=') + 1, &end);
		*h = hstate_of_size(n);
		*sized = true;
		if (!*h)
			pr_warn("hugetlb: %s: no such size here\n", word);
		else if (word[0] == 'd')
			hstate_default = *h;
	} else if (!strncmp(word, "hugepages=", 10)) {
		n = memparse(word + 10, &end);
		if (!*sized)
			*h = hstate_default;
		if (*h && end != word + 10)
			boot_pool(*h, n);
	}
}

static void boot_pools(void)
{
	struct hstate *h = NULL;
	bool sized = false;
	char word[48];
	u64 n = 0;

	for (const char *s = kernel_cmdline;; s++) {
		if (*s && *s != ' ') {
			if (n < sizeof(word) - 1)
				word[n++] = *s;
			continue;
		}
		word[n] = 0;
		if (!strcmp(word, "--"))
			return;
		boot_word(word, &h, &sized);
		n = 0;
		if (!*s)
			return;
	}
}

void hugetlb_init_sizes(void)
{
	hstates[HUGE_1G].usable = cpu_has(gb_pages);
	for_each_hstate(h) {
		spin_lock_init(&h->lock);
		mutex_init(&h->resize);
		INIT_LIST_HEAD(&h->used);
		for (int n = 0; n < MAX_NODES; n++)
			INIT_LIST_HEAD(&h->list[n]);
	}
	hugetlb_vm_init();
	check_register("hugetlb", hugetlb_check);
}

void hugetlb_init(void)
{
	boot_pools();
}

/* --- text and checker --- */

/* in small pages; -1: all */
static u64 hugetlb_pool_pages(int node)
{
	u64 n = 0;

	for_each_hstate(h)
		n += (node < 0 ? READ_ONCE(h->nr) : READ_ONCE(h->node_nr[node])) << h->order;
	return n;
}

void hugetlb_meminfo_show(struct seq_buf *s)
{
	struct hstate *h = hstate_default;

	seq_printf(s, "HugePages_Total:   %5llu\nHugePages_Free:    %5llu\nHugePages_Rsvd:    %5llu\nHugePages_Surp:    %5llu\n", h->nr,
		   h->free, h->resv, h->surplus);
	seq_printf(s, "Hugepagesize:   %8llu kB\nHugetlb:        %8llu kB\n", hstate_bytes(h) >> 10, hugetlb_pool_pages(-1) << 2);
}

void hugetlb_vmstat_show(struct seq_buf *s)
{
	u64 ok = 0, fail = 0;

	for_each_hstate(h) {
		ok += h->alloc_ok;
		fail += h->alloc_fail;
	}
	seq_printf(s, "htlb_buddy_alloc_success %llu\nhtlb_buddy_alloc_fail %llu\n", ok, fail);
}

void hugetlb_node_meminfo_show(struct seq_buf *s, int node)
{
	struct hstate *h = hstate_default;

	seq_printf(s, "Node %d HugePages_Total: %5llu\nNode %d HugePages_Free:  %5llu\nNode %d HugePages_Surp:  %5llu\n", node,
		   h->node_nr[node], node, h->node_free[node], node, h->node_surplus[node]);
}

static u64 check_list(struct hstate *h, struct list_head *list, int node, u64 *count)
{
	struct page *p;
	u64 bad = 0;

	*count = 0;
	list_for_each_entry(p, list, lru) {
		bool free = node >= 0, ok = page_flag(p, PG_HUGETLB) && page_flag(p, PG_HEAD) && page_order(p) == h->order;

		if (free)
			ok = ok && !p->refcount && !p->mapcount && page_type(p) == PT_KERNEL && page_node(p) == node;
		if (!ok && bad++ < 8)
			pr_err("hugetlb_check: %s: page %#llx %s: flags %#llx, refcount %d, mapcount %d, node should be %d\n", h->name,
			       page_to_pfn(p), free ? "free" : "in use", p->flags, p->refcount, p->mapcount, node);
		++*count;
	}
	return bad;
}

static u64 check_pool(struct hstate *h)
{
	u64 bad = 0, nr = 0, free = 0, surplus = 0, used, n, flags;

	spin_lock_irqsave(&h->lock, flags);
	for (int i = 0; i < MAX_NODES; i++) {
		bad += check_list(h, &h->list[i], i, &n);
		if (n != h->node_free[i] || h->node_free[i] > h->node_nr[i] || h->node_surplus[i] > h->node_nr[i]) {
			pr_err("hugetlb_check: %s: node %d lists %llu free, counts nr %llu free %llu surplus %llu\n", h->name, i, n,
			       h->node_nr[i], h->node_free[i], h->node_surplus[i]);
			bad++;
		}
		nr += h->node_nr[i];
		free += n;
		surplus += h->node_surplus[i];
	}
	bad += check_list(h, &h->used, -1, &used);
	if (nr != h->nr || free != h->free || surplus != h->surplus || used + free != nr || h->resv > free) {
		pr_err("hugetlb_check: %s: nr %llu free %llu surplus %llu resv %llu; found nr %llu free %llu surplus %llu, in use %llu\n",
		       h->name, h->nr, h->free, h->surplus, h->resv, nr, free, surplus, used);
		bad++;
	}
	spin_unlock_irqrestore(&h->lock, flags);
	return bad;
}

u64 hugetlb_check(void)
{
	u64 bad = 0;

	for_each_hstate(h)
		bad += check_pool(h);
	return bad;
}
