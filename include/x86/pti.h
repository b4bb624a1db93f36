/*
 * Page-table isolation: what runs in user mode runs on a root table that maps no kernel page but the entry area.
 *
 * kernel/x86/pti.c has the theory. Everything here is a no-op, and the entry code is the plain one, unless cpu_has(pti).
 */
#ifndef X86_PTI_H
#define X86_PTI_H

#include <kernel/percpu.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/pgtable.h>

/* What the entry code puts into CR3; (entry area) the CPU itself, interrupts off. */
DECLARE_PER_CPU(u64, pti_kernel_cr3); /* of the tables loaded, keeping what is cached */
DECLARE_PER_CPU(u64, pti_user_cr3); /* of their user twin: flushes when a flush is due */
DECLARE_PER_CPU(u64, pti_user_keep); /* the same, keeping */
DECLARE_PER_CPU(struct cpu_tss, pti_tss); /* the segment in use: RSP0 is the entry stack */

void pti_choose(void); /* decides cpu_features.pti; after CPUID, before the control registers */
void pti_patch(void); /* the entry code becomes the isolating one. => boot CPU, before any user mode, irqs off */
void pti_init(void); /* the entry area of the boot CPU, the checker. => page allocator works, before the first root_alloc */
/* The entry area of another CPU, before it runs and before process 1. 0 or -ENOMEM */
int pti_map_cpu(int cpu, void *ist_stacks);
/* Upper half of a new user twin. */
void pti_fill_root(pgd_t *user_root);
/* The entry stack's top; 0 without isolation. */
u64 pti_stack_top(void);

#endif
