/* Device interrupts: vectors are handed out per line or message; handlers run in hard interrupt context. */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include <kernel/cpumask.h>
#include <kernel/preempt.h>
#include <lib/atomic.h>
#include <lib/types.h>

/*
 * Bracket of every hard interrupt (device, timer, IPI; not NMI), irqs off. The entry code calls irq_enter before the
 * handler and irq_exit after it; when irq_exit returns true and kernel mode was interrupted with interrupts on it calls
 * preempt_schedule_irq(). irq_regs is the innermost interrupted state (NULL outside), for the tick's accounting.
 * cpu_in_idle is 1 while the CPU halts: RCU need not wait for it. Hence the barrier when an interrupt ends that.
 */
struct pt_regs;
DECLARE_PER_CPU(struct pt_regs *, irq_regs);
DECLARE_PER_CPU(u32, cpu_in_idle);
static inline struct pt_regs *irq_enter(struct pt_regs *regs)
{
	struct pt_regs *outer = this_cpu_read(irq_regs);

	this_cpu_add(preempt_count, HARDIRQ_OFFSET);
	this_cpu_write(irq_regs, regs);
	if (this_cpu_read(cpu_in_idle)) {
		this_cpu_write(cpu_in_idle, 0);
		smp_mb(); /* pairs with rcu_cpu_quiescent: the flag is down before the handler reads shared data */
	}
	return outer; /* for irq_exit */
}
static inline bool irq_exit(struct pt_regs *outer)
{
	this_cpu_write(irq_regs, outer);
	this_cpu_sub(preempt_count, HARDIRQ_OFFSET);
	return unlikely(this_cpu_read(preempt_count) == 0);
}

typedef void (*irq_handler_t)(void *arg);
/* Routes an ISA IRQ (through MADT overrides) or a global system interrupt. 0 or -errno; handler may run at once. */
int irq_request_isa(unsigned isa_irq, irq_handler_t fn, void *arg, const char *name);
int irq_request_gsi(unsigned gsi, bool level, bool active_low, irq_handler_t fn, void *arg, const char *name);
/* Allocates a vector for MSI; fills address/data to program. 0 or -ENOSPC. */
int irq_request_msi(irq_handler_t fn, void *arg, const char *name, u64 *addr, u32 *data);
/* How the target of a message is changed: @fn writes the new address where the device reads it; irqs off, takes no sleeping lock.
 * @vector is the data irq_request_msi gave. */
typedef void (*irq_msi_writer_t)(void *arg, u64 addr);
void irq_set_msi_writer(unsigned vector, irq_msi_writer_t fn, void *arg);
/* Where a device's interrupt may go and goes; false: not a device's. */
bool irq_affinity(unsigned vector, cpumask_t *may, int *cpu);
/* 0; -EINVAL: no such CPU is online (or can be reached); -EIO: not a device's, or it cannot be moved. */
int irq_set_affinity(unsigned vector, cpumask_t mask);
const char *irq_name(unsigned vector); /* NULL when nothing uses it */
u64 irq_count(unsigned vector, int cpu); /* for /proc/interrupts */

#endif
