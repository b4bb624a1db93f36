/*
 * Time. The monotonic clock is the TSC scaled to nanoseconds since boot; real time is that plus an offset. adjtimex(2) may make the
 * monotonic clock run faster or slower than the TSC was measured; the raw clock never changes its rate.
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

/*
 * The scale: ns = base_ns + ((count - base_count) * mult >> shift), and the same with raw_ns and raw_mult for the raw clock. The count is
 * a TSC for those who read it by themselves, as the vDSO does, only when source says so.
 * A scale that was published never changes: turning fills the other one of two and turns the pointer. A reader that is held up for
 * longer than two turns, which are a second apart, would see a mixture; ktime_ns() looks for that.
 */
enum clock_source { CLOCK_TSC, CLOCK_HPET, CLOCK_CLAMPED, NR_CLOCK_SOURCES };
struct clock_scale {
	u64 base_count, base_ns, raw_ns;
	u32 mult, shift, raw_mult;
	enum clock_source source;
};
extern struct clock_scale *clock_scale;
extern u64 tsc_khz;

/* Signed: the counter may have been read before a pointer that is newer than it. */
static inline u64 clock_scale_ns(const struct clock_scale *c, u64 count)
{
	return c->base_ns + (u64)((__int128)(s64)(count - c->base_count) * c->mult >> c->shift);
}

u64 ktime_ns(void); /* CLOCK_MONOTONIC; any context */
u64 ktime_raw_ns(void); /* CLOCK_MONOTONIC_RAW */
u64 ktime_real_ns(void); /* CLOCK_REALTIME, ns since 1970 */
extern s64 realtime_offset_ns; /* real - monotonic; written under a seqcount by clock_settime */
void ktime_set_real(u64 ns);
/* From now on a second of the raw clock is @ns of the monotonic one, in 32.32 fixed point; within 20 % of 1e9 << 32. */
void clock_steer(u64 ns);
const char *clock_source_name(enum clock_source source); /* NULL: the machine has none, or it is not to be trusted */
void clock_use(const char *name); /* that counter makes the time from now on; no such: nothing happens. => thread context */
void clock_sources_init(void); /* what the command line asks for; boot, when all CPUs are there */
/*
 * Implemented by proc: turns of the scale are one at a time, and readers of the vDSO's page wait, between the two. hold returns the
 * flags for release, which shows the page the scale and offsets of now. => irqs are off in between
 */
u64 vdso_hold(void);
void vdso_release(u64 flags);
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
