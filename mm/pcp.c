/*
 * pcp.c - per-CPU lists of free pages: the fast paths of allocation and release.
 *
 * Each CPU has a stack of page pointers for each mobility, filled and spilled PCP_BATCH pages at a
 * time.  Taking or putting a page is a counter and a slot of an array this CPU alone uses: no
 * lock, no atomic, and of the page only its own cache line.  Pages on the lists are clean (see
 * struct pcp), so that handing one out writes its flags and its count and nothing else.
 *
 * Safety: only thread context of the CPU itself, with preemption off, touches its lists.
 * Interrupt handlers go to the zone.  Who needs the lists empty (checkers, contiguous allocation,
 * memory pressure) sets a flag and pokes the CPU, which empties them itself: at once when the
 * interrupt found it outside of any preemption-off stretch, else at its next slow path or idle
 * turn.
 *
 * Zeroed pages: the idle loop clears pages of the movable and the unmovable list and keeps them
 * on a stack of their own; GFP_ZERO takes those first.
 */
#include <mm/zone.h>

#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/bitops.h>
#include <mm/pagedebug.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>

DEFINE_PER_CPU(struct pcp, pcp);

static u32 list_high = PCP_BATCH;	/* pages a list may hold, by the size of the machine */
static u32 zero_high;

/* Our node and any zone but DMA, whose number is highest. */
static __always_inline bool pcp_accepts(const struct pcp *pc, u64 flags)
{
	return (flags >> PG_ZONE_SHIFT) - pc->home_min < ZONE_DMA;
}

#define FLAGS_KEPT	(PG_HOME_MASK | PG_MT_MASK)

/* (I) Flags of a page that cannot go on a list as it is.  While page_debug is set also the bits of which every type of an
 * owned page has one, so that all come by page_free_slow. */
static u64 free_slow_flags = 1ull << PG_HEAD | 1ull << PG_TAIL | 1ull << PG_LRU | 1ull << PG_MLOCKED |
			     1ull << PG_PRIVATE1 | 1ull << PG_HUGETLB | 1ull << PG_LOCKED;

static __always_inline void mark_handed_out(struct page *p)
{
	p->flags = (p->flags & FLAGS_KEPT) | (u64)PT_KERNEL << PG_TYPE_SHIFT;
	p->refcount = 1;
}

static __always_inline void mark_listed(struct page *p, u64 flags)
{
	p->flags = (flags & FLAGS_KEPT) | (u64)PT_PCP << PG_TYPE_SHIFT;
	p->mapping = NULL;
	p->private = 0;
}

void prep_pages(struct page *p, unsigned int order, gfp_t gfp)
{
	u64 flags = (p->flags & FLAGS_KEPT) | (u64)PT_KERNEL << PG_TYPE_SHIFT;
	bool comp = (gfp & GFP_COMP) && order;

	for (u64 i = 0; i < 1ull << order; i++) {
		p[i].flags = comp && i ? flags | 1ull << PG_TAIL : flags;
		p[i].refcount = !(comp && i);
		p[i].mapcount = 0;
		p[i].head = p;
		p[i].mapping = NULL;
		p[i].private = 0;
	}
	if (comp)
		p->flags |= 1ull << PG_HEAD | (u64)order << PG_ORDER_SHIFT;
	if (unlikely(page_debug))
		page_debug_alloc(p, order, gfp);
	if (gfp & GFP_ZERO)
		clear_pages(page_address(p), 1u << order);
}

/* First use of this CPU's lists: they begin as zeroes. */
static void pcp_setup(struct pcp *pc)
{
	pc->home_min = (u64)this_node() << (PG_NODE_SHIFT - PG_ZONE_SHIFT);
	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++)
		pc->list[mt].high = mt == MT_RECLAIMABLE ? PCP_BATCH : list_high;
	pc->zero_high[MT_MOVABLE] = zero_high;
	pc->zero_high[MT_UNMOVABLE] = zero_high / 2;
}

void pcp_drain_local(void)
{
	struct pcp *pc = this_cpu_ptr(&pcp);

	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++) {
		zones_free_bulk(pc->list[mt].pages, pc->list[mt].count);
		pc->list[mt].count = 0;
		zones_free_bulk(pc->zero[mt], pc->nr_zero[mt]);
		pc->nr_zero[mt] = 0;
	}
	while (pc->nr_huge) {
		struct page *p = pc->huge[--pc->nr_huge];

		p->flags &= FLAGS_KEPT;
		zone_free_block(p, PAGEBLOCK_ORDER);
	}
}

static void serve(u32 mask)
{
	u32 what = __atomic_load_n(&this_cpu_ptr(&pcp)->drain, __ATOMIC_ACQUIRE) & mask;

	if (what & PCP_DRAIN_SLABS)
		kmem_drain_local();
	if (what & PCP_DRAIN_STACKS)
		kstack_drain_local();
	if (what & PCP_DRAIN_PAGES)
		pcp_drain_local();
	__atomic_fetch_and(&this_cpu_ptr(&pcp)->drain, ~what, __ATOMIC_RELEASE);
}

void pcp_serve_drain(void)
{
	serve(~0u);
}

static __always_inline void pcp_poll(struct pcp *pc)
{
	if (unlikely(!pc->list[0].high))
		pcp_setup(pc);
	/* Only the pages: whoever refills or spills may hold locks of the object caches. */
	if (unlikely(READ_ONCE(pc->drain) & PCP_DRAIN_PAGES))
		serve(PCP_DRAIN_PAGES);
}

/* Fills an empty list with a batch. => preemption off */
static noinline bool pcp_refill(struct pcp *pc, enum mobility mt)
{
	struct pcp_list *l = &pc->list[mt];
	gfp_t gfp = (gfp_t)mt << 6;
	unsigned int n;

	pcp_poll(pc);
	n = zones_alloc_bulk(this_node(), gfp, l->pages, min(l->high, (u32)PCP_BATCH));
	pc->refills++;
	count_numa(this_node(), NUMA_HIT, n);
	count_numa(this_node(), NUMA_LOCAL, n);
	/* Highest address first in, so that the stack gives ascending ones. */
	for (unsigned int i = 0; i < n / 2; i++)
		swap(l->pages[i], l->pages[n - 1 - i]);
	for (unsigned int i = 0; i < n; i++) {
		mark_listed(l->pages[i], l->pages[i]->flags);
		l->pages[i]->refcount = 0;
		l->pages[i]->mapcount = 0;
	}
	l->count = n;
	return n != 0;
}

/* Makes room on a full list. => preemption off */
static noinline void pcp_spill(struct pcp *pc, struct pcp_list *l)
{
	u32 n;

	pcp_poll(pc);
	if (l->count < l->high)
		return;
	n = min(l->count, (u32)PCP_BATCH);
	l->count -= n;
	pc->spills++;
	zones_free_bulk(l->pages + l->count, n);
}

static noinline struct page *alloc_page_refill(gfp_t gfp)
{
	enum mobility mt = gfp_mobility(gfp);
	struct page *p = NULL;
	struct pcp *pc;

	if (!mm_ready)
		return virt_to_page(bootmem_alloc(PAGE_SIZE, PAGE_SIZE, NUMA_NO_NODE));
	if (!(gfp & GFP_NOFAIL) && fail_alloc())
		return NULL;
	if (!in_interrupt()) {
		preempt_disable();
		pc = this_cpu_ptr(&pcp);
		if (pc->list[mt].count || pcp_refill(pc, mt)) {
			p = pc->list[mt].pages[--pc->list[mt].count];
			mark_handed_out(p);
		}
		preempt_enable();
	}
	if (!p)
		return zones_alloc(this_node(), gfp, 0);
	if (unlikely(page_debug))
		page_debug_alloc(p, 0, gfp);
	if (gfp & GFP_ZERO)
		clear_page(page_address(p));
	return p;
}

static __always_inline struct page *alloc_page_fast(gfp_t gfp)
{
	enum mobility mt = gfp_mobility(gfp);
	struct pcp_list *l;
	struct page *p;
	struct pcp *pc;

	ASSERT3U(mt, <, MT_HANDED_OUT);
	preempt_disable();
	if (unlikely(in_interrupt() || alloc_hooks))
		goto slow;
	pc = this_cpu_ptr(&pcp);
	if ((gfp & GFP_ZERO) && pc->nr_zero[mt]) {
		p = pc->zero[mt][--pc->nr_zero[mt]];
		pc->zero_hits++;
		preempt_enable();
		mark_handed_out(p);
		return p;
	}
	l = &pc->list[mt];
	if (unlikely(!l->count))
		goto slow;
	p = l->pages[--l->count];
	preempt_enable();
	mark_handed_out(p);
	if (gfp & GFP_ZERO)
		clear_page(page_address(p));
	return p;
slow:
	preempt_enable();
	return alloc_page_refill(gfp);
}

/* A cached 2 MiB block, compound already. */
static struct page *alloc_huge_cached(gfp_t gfp)
{
	struct page *p = NULL;
	struct pcp *pc;

	if (in_interrupt() || alloc_hooks)
		return NULL;
	preempt_disable();
	pc = this_cpu_ptr(&pcp);
	if (pc->nr_huge) {
		p = pc->huge[--pc->nr_huge];
		p->flags = (p->flags & (FLAGS_KEPT | 1ull << PG_HEAD | 63ull << PG_ORDER_SHIFT)) |
			   (u64)PT_KERNEL << PG_TYPE_SHIFT;
		p->refcount = 1;
	}
	preempt_enable();
	if (p && (gfp & GFP_ZERO))
		clear_pages(page_address(p), PAGEBLOCK_PAGES);
	return p;
}

static noinline struct page *alloc_pages_large(gfp_t gfp, unsigned int order)
{
	struct page *p;

	if (!mm_ready)
		return virt_to_page(bootmem_alloc(PAGE_SIZE << order, PAGE_SIZE << order,
						  NUMA_NO_NODE));
	if (order == PAGEBLOCK_ORDER && (gfp & GFP_COMP) && (gfp & GFP_MOVABLE)) {
		p = alloc_huge_cached(gfp);
		if (p)
			return p;
	}
	return zones_alloc(this_node(), gfp, order);
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	if (likely(order == 0 && !(gfp & (GFP_DMA | GFP_DMA32))))
		return alloc_page_fast(gfp);
	return alloc_pages_large(gfp, order);
}

struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order)
{
	if (!mm_ready || node < 0 || node == this_node())
		return alloc_pages(gfp, order);
	return zones_alloc(node, gfp, order);
}

/* Takes a page whose last reference is gone. */
static __always_inline void pcp_put(struct page *p, u64 flags)
{
	struct pcp_list *l;
	struct pcp *pc;

	preempt_disable();
	pc = this_cpu_ptr(&pcp);
	l = &pc->list[(flags >> PG_MT_SHIFT) & 3];
	if (unlikely(in_interrupt() || !pcp_accepts(pc, flags)))
		goto zone;
	if (unlikely(l->count >= l->high)) {
		pcp_spill(pc, l);
		if (!pcp_accepts(pc, flags))	/* the first use just set our node */
			goto zone;
	}
	mark_listed(p, flags);
	l->pages[l->count++] = p;
	preempt_enable();
	return;
zone:
	preempt_enable();
	mark_listed(p, flags);
	zone_free_block(p, 0);
}

/* Compound pages, pages that still hang on something, and all when their bytes matter. */
static noinline void page_free_slow(struct page *p, void *who)
{
	unsigned int order = page_flag(p, PG_HEAD) ? page_order(p) : 0;
	struct pcp *pc;
	bool cached = false;

	VERIFY(!page_flag(p, PG_TAIL));
	if (page_flag(p, PG_HUGETLB) && hugetlb_page_release(p))
		return;
	if (mm_page_release)
		mm_page_release(p);
	p->mapping = NULL;
	p->private = 0;
	if (unlikely(page_debug))
		page_debug_free(p, order, who);
	if (!order) {
		pcp_put(p, p->flags);
		return;
	}
	if (order == PAGEBLOCK_ORDER && gfp_mobility(GFP_MOVABLE) == ((p->flags >> PG_MT_SHIFT) & 3) &&
	    !in_interrupt()) {
		preempt_disable();
		pc = this_cpu_ptr(&pcp);
		if (pcp_accepts(pc, p->flags) && pc->nr_huge < PCP_HUGE_MAX && zero_high) {
			p->flags = (p->flags & (FLAGS_KEPT | 1ull << PG_HEAD |
						63ull << PG_ORDER_SHIFT)) |
				   (u64)PT_PCP << PG_TYPE_SHIFT;
			pc->huge[pc->nr_huge++] = p;
			cached = true;
		}
		preempt_enable();
	}
	if (!cached) {
		p->flags &= FLAGS_KEPT;
		zone_free_block(p, order);
	}
}

void page_free_last(struct page *p)
{
	u64 flags = p->flags;

	ASSERT3S(p->refcount, ==, 0);
	ASSERT3S(p->mapcount, ==, 0);
	if (unlikely(flags & free_slow_flags))
		page_free_slow(p, __builtin_return_address(0));
	else
		pcp_put(p, flags);
}

/* The same as page_put on each, with the way to the lists found once. */
void pages_put_list(struct page **pages, unsigned int n)
{
	struct pcp *pc;

	preempt_disable();
	pc = this_cpu_ptr(&pcp);
	for (unsigned int i = 0; i < n; i++) {
		struct page *p = pages[i];
		struct pcp_list *l;
		u64 flags;

		if (__atomic_sub_fetch(&p->refcount, 1, __ATOMIC_ACQ_REL))
			continue;
		flags = p->flags;
		l = &pc->list[(flags >> PG_MT_SHIFT) & 3];
		if (unlikely((flags & free_slow_flags) || l->count >= l->high ||
			     !pcp_accepts(pc, flags) || in_interrupt())) {
			page_free_last(p);
			continue;
		}
		ASSERT3S(p->mapcount, ==, 0);
		mark_listed(p, flags);
		l->pages[l->count++] = p;
	}
	preempt_enable();
}

void free_pages(struct page *p, unsigned int order)
{
	bool last;

	if (likely(!order) || page_flag(p, PG_HEAD)) {
		page_put(p);
		return;
	}
	/* Not compound: every page has a reference of its own.  A speculative reader may hold one
	 * more on the first page for a moment: then that page goes when it lets go. */
	last = __atomic_sub_fetch(&p->refcount, 1, __ATOMIC_ACQ_REL) == 0;
	for (u64 i = 1; i < 1ull << order; i++)
		p[i].refcount = 0;
	for (u64 i = !last; unlikely(page_debug) && i < 1ull << order; i++)
		page_debug_free(p + i, 0, __builtin_return_address(0));
	if (last) {
		p->flags &= FLAGS_KEPT;
		zone_free_block(p, order);
		return;
	}
	while (order--) {
		p[1ull << order].flags = p->flags & FLAGS_KEPT;
		zone_free_block(p + (1ull << order), order);
	}
}

static void drain_poke(void *unused __unused)
{
	/* In interrupt context: the lists are quiet only if the thread we interrupted had
	 * preemption on. */
	if (!(this_cpu_read(preempt_count) & PREEMPT_MASK)) {
		lock_irq_is_thread(true);
		pcp_serve_drain();
		lock_irq_is_thread(false);
	}
}

/*
 * CPUs that the first poke caught in the middle of something follow at their next slow path, which a program that only
 * computes never comes to: they are poked again, after waits that double.  We may have moved to one of them meanwhile, and
 * nobody pokes us: then we serve ourselves.
 */
static void wait_drained(cpumask_t others, u32 what)
{
	for (u32 turns = 0, poke = 64; turns < 100000; turns++) {
		cpumask_t left = 0, self;
		int cpu;

		for_each_cpu_mask(cpu, others)
			if (READ_ONCE(per_cpu(pcp, cpu).drain) & what)
				left |= cpumask_of(cpu);
		if (!left)
			return;
		if (turns == poke) {
			poke *= 2;
			preempt_disable();
			self = cpumask_of(smp_processor_id());
			if (left & self)
				pcp_serve_drain();
			if ((left & ~self) && !irqs_disabled())
				smp_call_mask(left & ~self, drain_poke, NULL, true);
			preempt_enable();
		}
		spin_poll();
	}
}

void pcp_request_drain(u32 what)
{
	u64 others = READ_ONCE(cpu_online_mask);
	int cpu, self;

	preempt_disable();
	self = smp_processor_id();
	__atomic_fetch_or(&per_cpu(pcp, self).drain, what, __ATOMIC_ACQ_REL);
	pcp_serve_drain();
	others &= ~cpumask_of(self);
	for_each_cpu_mask(cpu, others)
		__atomic_fetch_or(&per_cpu(pcp, cpu).drain, what, __ATOMIC_ACQ_REL);
	if (others && !irqs_disabled())
		smp_call_mask(others, drain_poke, NULL, true);
	preempt_enable();
	wait_drained(others, what);
}

void pcp_drain_all(void)
{
	pcp_request_drain(PCP_DRAIN_PAGES);
}

/* One page of list mt cleared and put by; false when there is enough or none. */
static bool zero_one(struct pcp *pc, enum mobility mt)
{
	struct pcp_list *l = &pc->list[mt];
	struct page *p;

	if (pc->nr_zero[mt] >= pc->zero_high[mt])
		return false;
	if (!l->count && !pcp_refill(pc, mt))
		return false;
	p = l->pages[--l->count];
	clear_page(page_address(p));
	p->flags |= 1ull << PG_ZEROED;
	pc->zero[mt][pc->nr_zero[mt]++] = p;
	pc->zero_made++;
	return true;
}

bool page_zero_idle(void)
{
	struct pcp *pc;
	bool more;

	if (unlikely(!mm_ready))
		return false;
	preempt_disable();
	pc = this_cpu_ptr(&pcp);
	pcp_poll(pc);
	if (unlikely(READ_ONCE(pc->drain)))
		pcp_serve_drain();
	more = zero_one(pc, MT_MOVABLE) || zero_one(pc, MT_UNMOVABLE);
	preempt_enable_no_resched();	/* the idle loop looks for itself */
	return more;
}

/* A 64th of the machine on all lists of a kind together, within [PCP_BATCH, PCP_MAX]. */
void pcp_init(void)
{
	u64 total = nr_total_pages();

	list_high = (u32)clamp(total / 256, (u64)PCP_BATCH, (u64)PCP_MAX);
	zero_high = (u32)clamp(total / 512, 16ull, (u64)PCP_ZERO_MAX);
	if (page_debug) {
		zero_high = 0;
		free_slow_flags |= 7ull << PG_TYPE_SHIFT;
		__atomic_fetch_or(&alloc_hooks, ALLOC_HOOK_DEBUG, __ATOMIC_RELEASE);
	}
	preempt_disable();
	pcp_setup(this_cpu_ptr(&pcp));
	preempt_enable();
}
