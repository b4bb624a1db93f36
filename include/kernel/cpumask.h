/* Sets of CPUs: one 64-bit word, because MAX_CPUS is 64. */
#ifndef KERNEL_CPUMASK_H
#define KERNEL_CPUMASK_H

#include <kernel/percpu.h>

typedef u64 cpumask_t;

#define cpumask_of(cpu) ((cpumask_t)1 << (cpu))
#define cpumask_has(mask, cpu) (((mask) >> (cpu)) & 1)
#define for_each_cpu_mask(cpu, mask) \
	for (cpumask_t __m = (mask); __m && ((cpu) = __builtin_ctzll(__m), 1); __m &= __m - 1)

extern cpumask_t cpu_present_mask; /* found in the firmware's tables */
extern cpumask_t cpu_online_mask; /* running; only grows */
extern int nr_cpus; /* number of online CPUs, numbered without holes */

int cpus_possible(void); /* an upper bound of nr_cpus that does not change. => after acpi_init */

#define for_each_online_cpu(cpu) for_each_cpu_mask(cpu, READ_ONCE(cpu_online_mask))

#endif
