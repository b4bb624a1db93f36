/*
 * Preemption control.
 *
 * preempt_count is per CPU: bits 0-7 depth of preempt_disable, bits 16-19 depth of hard interrupts,
 * bit 31 is the *inverted* need-resched flag: the word is zero exactly when preemption is allowed
 * and wanted, so that preempt_enable is one decrement and one branch.
 */
#ifndef KERNEL_PREEMPT_H
#define KERNEL_PREEMPT_H

#include <kernel/percpu.h>

#define PREEMPT_MASK 0x000000ffu
#define HARDIRQ_OFFSET 0x00010000u
#define HARDIRQ_MASK 0x000f0000u
#define PREEMPT_NO_RESCHED 0x80000000u

DECLARE_PER_CPU(u32, preempt_count);

/*
 * Doors implemented by sched.
 * preempt_schedule: gives the CPU away from a preemption point; called with the count at zero; does nothing with
 * interrupts off (the flag stays up, a later point acts on it).
 * preempt_schedule_irq: the same from the end of an interrupt that goes back to kernel mode. => count zero, irqs off
 * resched_interrupt: the whole handler of the reschedule IPI. => irqs off, inside irq_enter/irq_exit
 */
void preempt_schedule(void);
void preempt_schedule_irq(void);
void resched_interrupt(void);

static inline void preempt_disable(void)
{
	this_cpu_inc(preempt_count);
	barrier();
}

static inline void preempt_enable_no_resched(void)
{
	barrier();
	this_cpu_dec(preempt_count);
}

static inline void preempt_enable(void)
{
	barrier();
	if (unlikely(--__pcp(preempt_count) == 0))
		preempt_schedule();
}

static inline u32 preempt_depth(void)
{
	return this_cpu_read(preempt_count) & ~PREEMPT_NO_RESCHED;
}
static inline bool in_interrupt(void)
{
	return this_cpu_read(preempt_count) & HARDIRQ_MASK;
}

/* True where sleeping is allowed: no preemption or interrupt nesting, interrupts on. */
bool may_sleep(void);
#ifdef DEBUG
void might_sleep_at(const char *file, int line);
#define might_sleep() might_sleep_at(__FILE__, __LINE__)
#else
#define might_sleep() ((void)0)
#endif

#endif
