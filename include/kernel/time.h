/*
 * Time. The monotonic clock is the TSC scaled to nanoseconds since boot; real time is that plus an offset.
 * Timers are per-CPU red-black trees in front of the CPU's one-shot interrupt.
 */
#ifndef KERNEL_TIME_H
#define KERNEL_TIME_H

#include <lib/rbtree.h>
#include <lib/types.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
#define TICK_NS (4 * NSEC_PER_MSEC) /* scheduler tick while a CPU is busy, 250 Hz */
#define USER_HZ 100

/* The scale the vDSO shares: ns = base_ns + ((tsc - base_tsc) * mult >> shift). */
struct clock_scale {
	u64 base_tsc, base_ns;
	u32 mult, shift;
};
extern struct clock_scale clock_scale;
extern u64 tsc_khz;

u64 ktime_ns(void); /* CLOCK_MONOTONIC; any context */
u64 ktime_real_ns(void); /* CLOCK_REALTIME, ns since 1970 */
extern s64 realtime_offset_ns; /* real - monotonic; written under a seqcount by clock_settime */
void ktime_set_real(u64 ns);
void udelay(u64 us); /* busy wait, hardware bring-up only */

struct ktimer {
	struct rb_node node; /* (base lock of .cpu) */
	u64 expires; /* ns, monotonic */
	void (*func)(struct ktimer *t); /* hard interrupt context, irqs off; may re-arm */
	s32 cpu; /* whose tree; -1 idle */
	u32 state;
};
void ktimer_init(struct ktimer *t, void (*func)(struct ktimer *));
/* (Re-)arms for an absolute monotonic time on this CPU. => any context. */
void ktimer_start(struct ktimer *t, u64 expires_ns);
/* Returns true when it was armed. ktimer_cancel_sync also waits until a running handler has finished. */
bool ktimer_cancel(struct ktimer *t);
bool ktimer_cancel_sync(struct ktimer *t);
static inline bool ktimer_active(const struct ktimer *t)
{
	return t->cpu >= 0;
}
/* The whole handler of the CPU's timer interrupt: runs what is due (the scheduler's tick is one of them), programs the next
 * event. => irqs off, inside irq_enter/irq_exit */
void ktimer_interrupt(void);
void ktimer_cpu_init(void);
/* Implemented by x86: arms this CPU's one-shot interrupt for absolute monotonic @ns (U64_MAX: off). */
void clock_event_program(u64 ns);

#endif
