/*
 * Overcommit accounting: how much memory programs were promised.
 *
 * Private writable mappings are charged in full when they are made. The sum is kept per CPU without atomics, and added up
 * only where somebody wants to know it: in mode 2 (strict), and for /proc/meminfo.
 *
 * Modes as in Linux: 0 heuristic (refuses only what exceeds all memory by itself), 1 always, 2 never more than overcommit_ratio
 * percent of memory (or overcommit_kbytes), with a part kept back from who has much (user_reserve_kbytes) and one
 * from all but an administrator (admin_reserve_kbytes).
 */
#include "vm.h"

u64 overcommit_memory, overcommit_ratio = 50, overcommit_kbytes, user_reserve_kbytes = 131072, admin_reserve_kbytes = 8192;
static DEFINE_PER_CPU(s64, committed);

u64 vm_committed(void)
{
	s64 sum = 0;
	int cpu;

	for_each_online_cpu(cpu)
		sum += per_cpu(committed, cpu);
	return sum > 0 ? sum : 0;
}

u64 vm_commit_limit(void)
{
	return overcommit_kbytes ? overcommit_kbytes >> (PAGE_SHIFT - 10) : nr_total_pages() * overcommit_ratio / 100;
}

int vm_charge(struct mm *mm, u64 npages)
{
	this_cpu_add(committed, (s64)npages);
	if (likely(overcommit_memory == 0)) {
		if (likely(npages <= nr_total_pages()))
			return 0;
	} else if (overcommit_memory == 1) {
		return 0;
	} else {
		u64 reserve = min(mm ? mm->total_vm / 32 : 0, user_reserve_kbytes >> (PAGE_SHIFT - 10));

		if (!commit_privileged())
			reserve += admin_reserve_kbytes >> (PAGE_SHIFT - 10);
		if (vm_committed() + reserve <= vm_commit_limit())
			return 0;
	}
	this_cpu_sub(committed, (s64)npages);
	return -ENOMEM;
}

void vm_uncharge(u64 npages)
{
	this_cpu_sub(committed, (s64)npages);
}
