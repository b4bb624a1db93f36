/*
 * tasklist_lock: the tree of tasks - parents and children, threads, tracers and tracees, groups and sessions.
 *
 * Fork, exit and wait change one family only, and unrelated families shall not meet. So there are three ways to hold the lock:
 *
 *   inside    tasklist_enter   many CPUs at a time. Families keep their shape: nobody gets another parent, tracer, group or
 *                              session, or swaps numbers. Members may be born, die and be reaped meanwhile; who does that,
 *                              or looks at it, also holds the lock of the family (struct signal_state) or of the pid.
 *   reading   tasklist_read_lock    nothing changes at all: no CPU is inside or writes
 *   writing   tasklist_write_lock   the holder alone: relations between families change
 *
 * Each CPU that is inside says so in a flag of its own, then looks whether somebody reads or writes, who in turn says so first and
 * then looks at all flags; both with a full barrier between the two, so one of them sees the other. The one inside gives way.
 * So fork and exit write no common line, and those who read or write, which is rare, look at a line of every CPU.
 *
 * => Never taken twice by one thread, in whatever ways, except reading in an interrupt handler while the thread reads: that cannot
 *    wait for a CPU that waits for us, because inside and writing are with interrupts off. For the same reason every lock taken
 *    inside is always held with interrupts off.
 */
#ifndef PROC_TASKLIST_H
#define PROC_TASKLIST_H

#include <kernel/percpu.h>
#include <kernel/spinlock.h>

extern rwlock_t tasklist_lock; /* held by who reads or writes */
DECLARE_PER_CPU(u32, tasklist_inside);

void tasklist_enter_slow(void); /* waits until nobody reads or writes, then is inside */
void tasklist_empty(void); /* waits until nobody is inside; => tasklist_lock */

/* => turns interrupts off, on when leaving: not from within a section with interrupts off */
static inline void tasklist_enter(void)
{
	local_irq_disable();
	preempt_disable();
	lock_acquire(&tasklist_lock, &tasklist_lock.class, LOCK_SHARED);
	__atomic_exchange_n(this_cpu_ptr(&tasklist_inside), 1, __ATOMIC_SEQ_CST);
	if (unlikely(READ_ONCE(tasklist_lock.state)))
		tasklist_enter_slow();
}
static inline void tasklist_leave(void)
{
	lock_release(&tasklist_lock, LOCK_SHARED);
	__atomic_store_n(this_cpu_ptr(&tasklist_inside), 0, __ATOMIC_RELEASE);
	local_irq_enable();
	preempt_enable();
}

static inline void tasklist_read_lock(void)
{
	read_lock(&tasklist_lock);
	tasklist_empty();
}
static inline void tasklist_read_unlock(void)
{
	read_unlock(&tasklist_lock);
}
#define tasklist_read_lock_irqsave(flags)     \
	do {                                  \
		(flags) = local_irq_save();   \
		tasklist_read_lock();         \
	} while (0)
static inline void tasklist_read_unlock_irqrestore(u64 flags)
{
	read_unlock_irqrestore(&tasklist_lock, flags);
}

/* => turns interrupts off, on when unlocking */
static inline void tasklist_write_lock(void)
{
	write_lock_irq(&tasklist_lock);
	tasklist_empty();
}
static inline void tasklist_write_unlock(void)
{
	write_unlock_irq(&tasklist_lock);
}

/* Inside, or writing when @cond, looked at inside, says that more than one family is concerned. True: writing. */
#define tasklist_enter_or_write(cond)            \
	({                                       \
		tasklist_enter();                \
		bool writing_ = unlikely(cond);  \
		if (writing_) {                  \
			tasklist_leave();        \
			tasklist_write_lock();   \
		}                                \
		writing_;                        \
	})
static inline void tasklist_end(bool writing)
{
	if (unlikely(writing))
		tasklist_write_unlock();
	else
		tasklist_leave();
}

/* For assertions: this thread may change a family. */
#define tasklist_held() (this_cpu_read(tasklist_inside) || READ_ONCE(tasklist_lock.state) == -1)

#endif
