/*
 * pcp_look.c - looking at per-CPU lists from outside: counts for people, and the checker.
 *
 * Lists belong to their CPU (mm/pcp.c).  Others read counts and slots while they move, so what they see is right when the CPU
 * is quiet and near it otherwise; the checker looks at its own CPU's only.
 */
#include <mm/zone.h>

#include <kernel/cpumask.h>
#include <kernel/printk.h>

static u64 pages_on(int cpu)
{
	const struct pcp *pc = &per_cpu(pcp, cpu);
	u64 n = (u64)READ_ONCE(pc->nr_huge) << PAGEBLOCK_ORDER;

	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++)
		n += READ_ONCE(pc->list[mt].count) + READ_ONCE(pc->nr_zero[mt]);
	return n;
}

u64 pcp_pages(void)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += pages_on(cpu);
	return n;
}

u64 pcp_pages_node(int node)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu_to_node(cpu) == node)
			n += pages_on(cpu);
	return n;
}

static u32 count_of_zone(struct page *const *pages, u32 n, const struct zone *z)
{
	u32 count = 0;

	/* slots change under us, but what is in them is always a page */
	for (u32 i = 0; i < n; i++) {
		const struct page *p = READ_ONCE(pages[i]);

		count += p && page_zone(p) == z;
	}
	return count;
}

void pcp_usage(int cpu, const struct zone *z, struct pcp_usage *u)
{
	const struct pcp *pc = &per_cpu(pcp, cpu);

	*u = (struct pcp_usage){ .batch = 1 };
	if (cpu_to_node(cpu) != z->node || z->nr == ZONE_DMA)
		return;
	u->batch = PCP_BATCH;
	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++) {
		u->count += count_of_zone(pc->list[mt].pages, READ_ONCE(pc->list[mt].count), z) +
			    count_of_zone(pc->zero[mt], READ_ONCE(pc->nr_zero[mt]), z);
		u->high += pc->list[mt].high + pc->zero_high[mt];
	}
	u->count += count_of_zone(pc->huge, READ_ONCE(pc->nr_huge), z) << PAGEBLOCK_ORDER;
	u->high += PCP_HUGE_MAX << PAGEBLOCK_ORDER;
}

static u64 check_listed(const struct page *p, u64 more)
{
	u64 should = (p->flags & (PG_HOME_MASK | PG_MT_MASK)) | (u64)PT_PCP << PG_TYPE_SHIFT | more;

	if (p->flags == should && !p->refcount && !p->mapcount && !p->mapping && !p->private)
		return 0;
	pr_err("check: per-CPU list: page %p (pfn %#llx): flags are %#llx, should be %#llx; refcount %d, mapcount %d, mapping %p, private %#llx should be 0\n",
	       p, page_to_pfn(p), p->flags, should, p->refcount, p->mapcount, p->mapping, p->private);
	return 1;
}

/* This CPU's lists; the others' cannot be looked at while they run. */
u64 pcp_check(void)
{
	const struct pcp *pc;
	u64 bad = 0;

	preempt_disable();
	pc = this_cpu_ptr(&pcp);
	for (unsigned int mt = 0; mt < MT_HANDED_OUT; mt++) {
		for (u32 i = 0; i < pc->list[mt].count; i++)
			bad += check_listed(pc->list[mt].pages[i], 0);
		for (u32 i = 0; i < pc->nr_zero[mt]; i++)
			bad += check_listed(pc->zero[mt][i], 1ull << PG_ZEROED);
	}
	preempt_enable();
	return bad;
}
