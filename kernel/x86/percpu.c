/*
 * Memory of per-CPU variables.
 *
 * The template between __percpu_start and __percpu_end is never written: head.S copies it to .bss
 * for the boot CPU, the others get a copy in pages of their own node. GS.base of a CPU is the
 * distance from the template to its copy (include/kernel/percpu.h), which may be negative.
 */
#include <kernel/percpu.h>
#include <kernel/cpumask.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/vmstat.h>
#include <uapi/errno.h>
#include <x86/machine.h>

extern char __percpu_start[], __percpu_end[], __percpu_boot[];

u64 percpu_delta[MAX_CPUS];
DEFINE_PER_CPU(u64, this_percpu_delta);
DEFINE_PER_CPU(u32, this_cpu_number);

cpumask_t cpu_present_mask = 1;
cpumask_t cpu_online_mask = 1;
int nr_cpus = 1;

void percpu_boot_init(void)
{
	percpu_delta[0] = (u64)(__percpu_boot - __percpu_start);
	this_cpu_write(this_percpu_delta, percpu_delta[0]);
	this_cpu_write(this_cpu_number, 0);
}

int percpu_cpu_init(int cpu, int node)
{
	u64 len = (u64)(__percpu_end - __percpu_start);
	unsigned order = 0;

	while ((PAGE_SIZE << order) < len)
		order++;
	struct page *p = alloc_pages_node(node, GFP_KERNEL, order);
	if (!p)
		return -ENOMEM;
	mod_vm_state(NR_PERCPU, 1 << order);
	char *area = page_address(p);
	memcpy(area, __percpu_start, len);
	percpu_delta[cpu] = (u64)area - (u64)__percpu_start;
	per_cpu(this_percpu_delta, cpu) = percpu_delta[cpu];
	per_cpu(this_cpu_number, cpu) = (u32)cpu;
	return 0;
}
