/* vmstat.c - sums of the per-CPU counters, and /proc/vmstat. */
#include <mm/vmstat.h>

#include <kernel/cpumask.h>
#include <lib/seq_buf.h>
#include <mm/alloc.h>
#include <mm/hugetlb.h>
#include <mm/show.h>
#include <x86/tlb.h>
#include "lru.h"

DEFINE_PER_CPU(u64, vm_events[NR_VM_EVENTS]);
DEFINE_PER_CPU(s64, vm_states[NR_VM_STATES]);

#define VM_TEXT(sym, text) text,
static const char *const event_names[] = { VM_EVENTS(VM_TEXT) };
static const char *const state_names[] = { VM_STATES(VM_TEXT) };

DEFINE_PER_CPU(u64, numa_events[64][NR_NUMA_EVENTS]);

u64 numa_event_sum(int node, enum numa_event e)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		for (int k = max(node, 0); k <= (node < 0 ? MAX_NODES - 1 : node); k++)
			n += READ_ONCE(per_cpu(numa_events[k][e], cpu));
	return n;
}

u64 vm_event_sum(enum vm_event e)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += READ_ONCE(per_cpu(vm_events[e], cpu));
	return n;
}

static const char *const numa_names[] = {
	"numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other",
};

u64 vm_state_sum(enum vm_state s)
{
	s64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += READ_ONCE(per_cpu(vm_states[s], cpu));
	return n > 0 ? (u64)n : 0;
}

void numa_vmstat_show(struct seq_buf *m, int node, const char *indent)
{
	for (unsigned int i = 0; i < NR_NUMA_EVENTS; i++)
		seq_printf(m, "%s%s %llu\n", indent, numa_names[i], numa_event_sum(node, i));
}

void vmstat_show(struct seq_buf *m)
{
	struct tlb_stats t;

	seq_printf(m, "nr_free_pages %llu\n", nr_free_pages());
	lru_vmstat_show(m, -1, "");
	user_pages_vmstat_show(m);
	seq_printf(m, "nr_kernel_stack %llu\n", vm_state_sum(NR_KSTACK_PAGES) * (PAGE_SIZE / 1024));
	for (unsigned int i = 0; i < NR_VM_STATES; i++)
		seq_printf(m, "%s %llu\n", state_names[i], vm_state_sum(i));
	numa_vmstat_show(m, -1, "");
	zone_vmstat_show(m);
	/* nothing is read from a disk, nor written to one */
	seq_puts(m, "pgmajfault 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n");
	for (unsigned int i = 0; i < NR_VM_EVENTS; i++)
		seq_printf(m, "%s %llu\n", event_names[i], vm_event_sum(i));
	hugetlb_vmstat_show(m);
	tlb_stats_sum(&t);
	seq_printf(m, "nr_tlb_remote_flush %llu\nnr_tlb_remote_flush_received %llu\n", t.requests, t.received);
	seq_printf(m, "nr_tlb_ipis_sent %llu\nnr_tlb_ipis_avoided %llu\nnr_tlb_ipis_merged %llu\n",
		   t.ipis_sent, t.ipis_avoided, t.ipis_merged);
	seq_printf(m, "nr_tlb_local_flush_all %llu\nnr_tlb_local_flush_one %llu\n", t.flush_full,
		   t.flush_local);
}

void node_numastat_show(struct seq_buf *m, int node)
{
	static const char *const names[] = {
		"numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node",
	};

	for (unsigned int i = 0; i < NR_NUMA_EVENTS; i++)
		seq_printf(m, "%s %llu\n", names[i], numa_event_sum(node, i));
}

void node_vmstat_show(struct seq_buf *m, int node)
{
	seq_printf(m, "nr_free_pages %llu\n", nr_free_pages_node(node));
	lru_vmstat_show(m, node, "");
	numa_vmstat_show(m, node, "");
}
