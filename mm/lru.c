/*
 * Least recently used: the pages that can be evicted, and reclaim, which takes them from the old end.
 *
 * What can be evicted. There is no swap, so an anonymous page goes only when the program said it may (MADV_FREE) and has not written to it
 * since; memory objects (tmpfs, memfd) are the only place of their contents; no file system here reads pages from a device. So exactly the
 * pages with PG_LAZYFREE are on lists, and PG_LRU and PG_LAZYFREE come and go together. Everything else is on no list, by design: a list nobody
 * takes from would cost every fault and every free. Linux keeps such pages on its "file" lists, and so do the names in /proc.
 *
 *	none --MADV_FREE--> inactive --found accessed twice--> active
 *	                       ^ |                               |
 *	                       | +-- rotated once when found     |
 *	                       |     accessed (PG_REFERENCED)    |
 *	                       +----- not accessed for a round --+
 *
 *	off the list: taken (from the old end of inactive); found written to, or locked; written through a pin; freed; moved (the new page takes
 *	the place); copied into a huge page. A huge page is one member that counts 512; split, its parts are members.
 *
 * Lists. A node's pages are on lists by CPU: an addition goes to the lists of the CPU that runs, so that programs on different CPUs that
 * give memory back share no line; page->spare says which CPU's. Order is kept within a CPU's lists; reclaim goes round them.
 * Nothing holds a reference: a reference would make the page look shared.
 *
 * Who may touch what. PG_LRU and page->spare change only with the entry's lock held (whoever holds it and finds the page mapped there knows
 * it is neither freed nor moved), or by who has the page alone (free, migration). Links, PG_ACTIVE and sums change under the part's lock,
 * which is a leaf and taken with interrupts off, because pages are freed in interrupts.
 *
 * Reclaim copies a few page pointers from the old end under the part's lock, rotating them, and lets go of it. What it has then is a hint: the page may be
 * freed and be anything. The reverse map says (rmap_walk_anon): if an entry is found that maps the page, under that entry's lock it is what
 * it was, or another page of the same kind, which is as good. The entry decides: written since (dirty), accessed since, shared, pinned. It is
 * taken by compare-and-swap (lazyfree.c), so that no write is lost.
 *
 * Rounds: first, what was not accessed; second, after active pages were aged; last, everything that was not written: the
 * alternative is to kill a process.
 */
#include "lru.h"

#include <kernel/rcu.h>
#include <lib/seq_buf.h>
#include <mm/ksm.h>
#include <mm/zone.h>

#define RECLAIM_BATCH 512
#define PICK 16
#define ROUNDS 3

struct lru_part {
	spinlock_t lock;
	struct list_head list[NR_LRU]; /* (lock) young end first */
	u64 pages[NR_LRU]; /* (lock) */
	u64 changes; /* (lock) pages that came, went, or changed lists, ever */
} __aligned(64);

static struct lru_part *parts[MAX_NODES]; /* (I) one a CPU, NULL: no such node */
static unsigned nr_parts; /* (I) */

#define FLAGS_MEMBER (1ull << PG_LRU | 1ull << PG_LAZYFREE)
#define FLAGS_GONE (FLAGS_MEMBER | 1ull << PG_ACTIVE | 1ull << PG_REFERENCED)

static inline u64 weight(const struct page *p)
{
	return page_flag(p, PG_HEAD) ? HPAGE_PAGES : 1;
}

static inline enum lru_kind kind_of(const struct page *p)
{
	return page_flag(p, PG_ACTIVE) ? LRU_ACTIVE : LRU_INACTIVE;
}

static inline struct lru_part *part_of(const struct page *p)
{
	return &parts[page_node(p)][p->spare];
}

void lru_init(void)
{
	nr_parts = (unsigned)cpus_possible();
	for (int node = 0; node < MAX_NODES; node++) {
		if (!(node_online_map >> node & 1))
			continue;
		parts[node] = kmalloc(nr_parts * sizeof(struct lru_part), GFP_KERNEL);
		VERIFY(parts[node]);
		for (unsigned i = 0; i < nr_parts; i++) {
			struct lru_part *part = &parts[node][i];

			*part = (struct lru_part){ 0 };
			spin_lock_init(&part->lock);
			for (int k = 0; k < NR_LRU; k++)
				INIT_LIST_HEAD(&part->list[k]);
		}
	}
}

/* --- membership --- */

void lru_add(struct page **pages, unsigned n)
{
	struct lru_part *part = NULL;
	u64 flags = 0;
	u32 cpu;

	preempt_disable();
	cpu = smp_processor_id();
	for (unsigned i = 0; i < n; i++) {
		struct page *p = pages[i];
		struct lru_part *its = &parts[page_node(p)][cpu];

		ASSERT(!page_flag(p, PG_LRU));
		if (its != part) {
			if (part)
				spin_unlock_irqrestore(&part->lock, flags);
			part = its;
			spin_lock_irqsave(&part->lock, flags);
		}
		p->spare = cpu;
		list_add(&p->lru, &part->list[LRU_INACTIVE]);
		part->pages[LRU_INACTIVE] += weight(p);
		part->changes += weight(p);
		__atomic_fetch_or(&p->flags, FLAGS_MEMBER, __ATOMIC_RELEASE);
	}
	if (part)
		spin_unlock_irqrestore(&part->lock, flags);
	preempt_enable();
}

void lru_del(struct page *p)
{
	struct lru_part *part;
	u64 flags;

	if (!page_flag(p, PG_LRU))
		return;
	part = part_of(p);
	spin_lock_irqsave(&part->lock, flags);
	list_del(&p->lru);
	part->pages[kind_of(p)] -= weight(p);
	part->changes += weight(p);
	__atomic_fetch_and(&p->flags, ~FLAGS_GONE, __ATOMIC_RELAXED);
	spin_unlock_irqrestore(&part->lock, flags);
}

/* To the young end of a list. => entry's lock, a member */
static void move_to(struct page *p, enum lru_kind kind)
{
	struct lru_part *part = part_of(p);
	enum lru_kind was;
	u64 flags;

	spin_lock_irqsave(&part->lock, flags);
	was = kind_of(p);
	list_move(&p->lru, &part->list[kind]);
	part->pages[was] -= weight(p);
	part->pages[kind] += weight(p);
	part->changes += weight(p);
	__atomic_fetch_and(&p->flags, ~(1ull << PG_ACTIVE | 1ull << PG_REFERENCED), __ATOMIC_RELAXED);
	if (kind == LRU_ACTIVE)
		page_set_flag(p, PG_ACTIVE);
	spin_unlock_irqrestore(&part->lock, flags);
	if (was != kind)
		count_vm_events(kind == LRU_ACTIVE ? PGACTIVATE : PGDEACTIVATE, weight(p));
}

void lru_deactivate(struct page *p)
{
	move_to(p, LRU_INACTIVE);
}

void lru_moved(struct page *p, struct page *to)
{
	enum lru_kind kind = kind_of(p);

	if (!page_flag(p, PG_LRU))
		return;
	lru_del(p);
	lru_add(&to, 1);
	if (kind == LRU_ACTIVE)
		move_to(to, LRU_ACTIVE);
}

/* The last reference of a page that hangs on something is gone. */
void mm_page_release(struct page *p)
{
	if (unlikely(page_type(p) == PT_KSM))
		ksm_page_release(p);
	else
		lru_del(p);
}

u64 lru_pages(int node, enum lru_kind kind)
{
	u64 sum = 0;

	for (int n = max(node, 0); n < MAX_NODES && (node < 0 || n == node); n++)
		for (unsigned i = 0; parts[n] && i < nr_parts; i++)
			sum += READ_ONCE(parts[n][i].pages[kind]);
	return sum;
}

u64 lru_changes(void)
{
	u64 sum = 0;

	for (int n = 0; n < MAX_NODES; n++)
		for (unsigned i = 0; parts[n] && i < nr_parts; i++)
			sum += READ_ONCE(parts[n][i].changes);
	return sum;
}

void lru_vmstat_show(struct seq_buf *m, int node, const char *indent)
{
	static const char *const names[NR_LRU][2] = { { "nr_inactive_anon", "nr_inactive_file" }, { "nr_active_anon", "nr_active_file" } };

	for (int k = 0; k < NR_LRU; k++)
		seq_printf(m, "%s%s 0\n%s%s %llu\n", indent, names[k][0], indent, names[k][1], lru_pages(node, (enum lru_kind)k));
}

/* --- reclaim --- */

struct scan {
	struct page *p;
	enum lru_kind from;
	bool force; /* accessed or not */
	u64 freed;
};

/* An entry that maps the page (or one that was reused as another member): what becomes of it. => entry's lock */
static bool look_at(struct rmap_walk *w, struct vma *v, u64 addr, pte_t *entry, bool huge)
{
	struct scan *s = w->arg;
	struct page *p = s->p;
	pte_t e = pte_read(entry);

	if (!page_flag(p, PG_LRU))
		return false; /* left meanwhile */
	if (pte_dirty(e) || page_flag(p, PG_DIRTY) || v->flags & VM_LOCKED) {
		lru_del(p);
		return false;
	}
	if (pte_young(e) && !s->force) {
		__atomic_fetch_and(&entry->v, ~PTE_A, __ATOMIC_RELAXED); /* a hint: not flushed */
		if (s->from == LRU_ACTIVE || page_test_and_set_flag(p, PG_REFERENCED))
			move_to(p, LRU_ACTIVE);
		return false;
	}
	if (s->from == LRU_ACTIVE && !s->force) {
		move_to(p, LRU_INACTIVE);
		return false;
	}
	/* shared since, or pinned: it was rotated, later perhaps */
	if (page_exclusive(p) && !page_pins(p))
		s->freed += lazyfree_take_around(v, addr, entry, huge, s->force);
	return false;
}

/* The oldest members, which become the youngest. How many. */
static unsigned pick(struct lru_part *part, enum lru_kind kind, struct page **out)
{
	struct list_head *list = &part->list[kind];
	unsigned n = 0;
	u64 flags;

	spin_lock_irqsave(&part->lock, flags);
	while (n < PICK && !list_empty(list)) {
		struct page *p = list_last_entry(list, struct page, lru);

		if (n && p == out[0])
			break; /* once around */
		list_move(&p->lru, list);
		out[n++] = p;
	}
	spin_unlock_irqrestore(&part->lock, flags);
	return n;
}

/* Goes once over a list, at most, until @want pages were freed. */
static u64 shrink_list(struct lru_part *part, enum lru_kind kind, u64 want, bool force)
{
	struct scan s = { .from = kind, .force = force };
	struct rmap_walk w = { .fn = look_at, .arg = &s };
	struct page *pages[PICK];
	u64 left = READ_ONCE(part->pages[kind]);

	while (left && s.freed < want) {
		unsigned n = pick(part, kind, pages);

		if (!n)
			break;
		for (unsigned i = 0; i < n && s.freed < want; i++) {
			s.p = pages[i];
			rmap_walk_anon(s.p, &w);
		}
		count_vm_events(kind == LRU_ACTIVE ? PGREFILL : PGSCAN_DIRECT, n);
		left -= min_t(u64, left, n);
	}
	return s.freed;
}

static u64 shrink_node(struct lru_part *part, u64 want, int round)
{
	u64 freed = 0;

	for (unsigned i = 0; i < nr_parts && freed < want; i++, part++) {
		if (round)
			freed += shrink_list(part, LRU_ACTIVE, want - freed, round == ROUNDS - 1);
		if (freed < want)
			freed += shrink_list(part, LRU_INACTIVE, want - freed, round == ROUNDS - 1);
	}
	return freed;
}

/* The allocator's last resort before failing: pages freed, about RECLAIM_BATCH. Takes no sleeping lock, so the caller may hold any. */
u64 mm_reclaim_pages(gfp_t gfp, unsigned int order)
{
	u64 freed = 0, want = max_t(u64, RECLAIM_BATCH, 1ull << order);
	int first = this_node();

	(void)gfp;
	for (int round = 0; round < ROUNDS && freed < want; round++)
		for (int i = 0; i < MAX_NODES && freed < want; i++) {
			struct lru_part *its = parts[(first + i) % MAX_NODES];

			if (its)
				freed += shrink_node(its, want - freed, round);
		}
	count_vm_events(PGSTEAL_DIRECT, freed);
	return freed;
}

/* --- checker --- */

static u64 complain(const struct page *p, const char *what, u64 is, u64 should)
{
	if (is == should)
		return 0;
	pr_err("check: lru: page %#llx: %s is %#llx, should be %#llx\n", page_to_pfn(p), what, is, should);
	return 1;
}

/* => lock */
static u64 check_list(const struct lru_part *part, enum lru_kind kind, int node, unsigned cpu)
{
	u64 member = FLAGS_MEMBER | (kind == LRU_ACTIVE ? 1ull << PG_ACTIVE : 0), sum = 0, bad = 0;
	const struct page *p;

	list_for_each_entry(p, &part->list[kind], lru) {
		bad += complain(p, "flags", p->flags & (FLAGS_MEMBER | 1ull << PG_ACTIVE), member);
		bad += complain(p, "type", page_type(p), PT_ANON);
		bad += complain(p, "node", (u64)page_node(p), (u64)node);
		bad += complain(p, "list of CPU", p->spare, cpu);
		sum += weight(p);
		if (bad > 20)
			return bad;
	}
	if (sum != part->pages[kind]) {
		pr_err("check: lru: node %d, CPU %u, list %d has %llu pages, its count is %llu\n", node, cpu, (int)kind, sum,
		       part->pages[kind]);
		bad++;
	}
	return bad;
}

u64 lru_check(void)
{
	u64 bad = 0, flags;

	for (int node = 0; node < MAX_NODES; node++)
		for (unsigned i = 0; parts[node] && i < nr_parts; i++) {
			struct lru_part *part = &parts[node][i];

			spin_lock_irqsave(&part->lock, flags);
			for (int k = 0; k < NR_LRU; k++)
				bad += check_list(part, (enum lru_kind)k, node, i);
			spin_unlock_irqrestore(&part->lock, flags);
		}
	return bad;
}
