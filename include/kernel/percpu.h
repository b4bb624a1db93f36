/*
 * Per-CPU variables.
 *
 * A per-CPU variable is a template in the section .data..percpu; every CPU owns a copy of the
 * whole section, and GS.base of a CPU is the distance from the template to its copy. A
 * GS-relative access to the template's own (RIP-relative) address therefore reaches the copy in
 * one instruction, which cannot be torn by an interrupt on the same CPU.
 *
 * => this_cpu_* are safe against interrupts of this CPU; a pointer from this_cpu_ptr() is only
 *    stable while preemption is off.
 */
#ifndef KERNEL_PERCPU_H
#define KERNEL_PERCPU_H

#include <lib/compiler.h>
#include <lib/types.h>

#define MAX_CPUS 64

#ifdef HOST_TEST /* a name that the linker makes __start_ and __stop_ symbols for */
#define PERCPU_SECTION "percpu"
#else
#define PERCPU_SECTION ".data..percpu"
#endif
#define DEFINE_PER_CPU(type, name) \
	__attribute__((section(PERCPU_SECTION), used)) __typeof__(type) name
/* The few that the entry code touches before it is on the kernel's page tables. Nothing secret. */
#define DEFINE_PER_CPU_ENTRY(type, name) \
	__attribute__((section(".data..percpu.entry"), used)) __typeof__(type) name
#define DECLARE_PER_CPU(type, name) extern __typeof__(type) name

/* Distance from the template section to the copy of each CPU, in bytes. Immutable once a CPU is up. */
extern u64 percpu_delta[MAX_CPUS];

#define __pcp(var) (*(__seg_gs __typeof__(var) *)(uintptr_t)&(var))
#define __pcpv(var) (*(volatile __seg_gs __typeof__(var) *)(uintptr_t)&(var))

#define this_cpu_read(var) (__pcpv(var))
#define this_cpu_write(var, val) (__pcpv(var) = (val))
/* One read-modify-write instruction each; not atomic against other CPUs. */
#define this_cpu_add(var, n) (__pcp(var) += (n))
#define this_cpu_sub(var, n) (__pcp(var) -= (n))
#define this_cpu_inc(var) (__pcp(var)++)
#define this_cpu_dec(var) (__pcp(var)--)

#define per_cpu_ptr(ptr, cpu) ((__typeof__(ptr))((uintptr_t)(ptr) + percpu_delta[cpu]))
#define per_cpu(var, cpu) (*per_cpu_ptr(&(var), cpu))

DECLARE_PER_CPU(u64, this_percpu_delta);
#define this_cpu_ptr(ptr) \
	((__typeof__(ptr))((uintptr_t)(ptr) + this_cpu_read(this_percpu_delta)))

DECLARE_PER_CPU(u32, this_cpu_number);
/* Number of this CPU, 0..nr_cpus-1. => stable only with preemption off. */
#define smp_processor_id() ((int)this_cpu_read(this_cpu_number))

#endif
