/*
 * The run queue of a CPU: private to sched/.
 *
 * rq->lock protects everything here, and of every thread with t->cpu == this CPU the fields marked (rq) in sched/thread.h. It is
 * taken with interrupts off and is held across the context switch: taken by the thread that leaves, released by the thread
 * that arrives (finish_switch). So whoever holds the lock of t->cpu and sees t->on_rq == 0 knows that t is completely
 * switched out and its stack is quiet.
 *
 * Lock order: wait queue locks -> rq->lock (lower CPU number first) -> timer base. Nothing that may print is called under
 * it except from sched_check, which collects first.
 */
#ifndef SCHED_RQ_H
#define SCHED_RQ_H

#include <kernel/cpumask.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <lib/assert.h>
#include <lib/math64.h>
#include <sched/thread.h>
#include <x86/cpu.h>

#define RT_PRIOS 100
#define RR_SLICE_NS (100 * NSEC_PER_MSEC)

/* Real-time threads leave fair ones at least 5 % of a CPU: a loop at high priority must not lock the machine up. */
#define RT_PERIOD_NS NSEC_PER_SEC
#define RT_RUNTIME_NS (950 * NSEC_PER_MSEC)

struct rt_queue {
	u64 period_start, ran; /* ns; of the running period */
	bool throttled; /* used up its share: fair threads go first until the period ends */
	u64 bitmap[2]; /* bit 99 - priority: the lowest set bit is the most urgent */
	u32 queued;
	struct list_head list[RT_PRIOS];
};

struct run_queue {
	spinlock_t lock;
	u32 nr_running; /* runnable threads, the running one included, the idle thread not */
	struct thread *curr;
	struct thread *idle;
	struct thread *hint; /* woken synchronously: the next pick prefers it */
	struct thread *push; /* switched out while runnable but not allowed here: goes elsewhere */
	struct fair_queue fair;
	u64 switches;
	s32 cpu; /* (I) */
	bool tick_on; /* the tick timer is armed */
	s64 uninterruptible; /* sleepers gone from here minus woken here; only the sum over CPUs has a meaning */
	u64 user_ns, nice_ns, system_ns, irq_ns; /* (own CPU) tick samples */
	u32 balance_ticks; /* (own CPU) ticks until the next periodic balance */
	struct ktimer tick;
	struct rt_queue rt;
} __aligned(64);

DECLARE_PER_CPU(struct run_queue, run_queues);
extern cpumask_t cpu_idle_mask; /* (a) CPUs in their idle loop; a hint */

static inline struct run_queue *this_rq(void)
{
	return this_cpu_ptr(&run_queues);
}
static inline struct run_queue *cpu_rq(int cpu)
{
	return per_cpu_ptr(&run_queues, cpu);
}

/* Inside sched/ interrupts are off, so the lock needs no preemption count. */
static inline void rq_lock(struct run_queue *rq)
{
	__spin_acquire(&rq->lock);
}
static inline void rq_unlock(struct run_queue *rq)
{
	__spin_release(&rq->lock);
}

/* Scheduler's clock: the monotonic clock, a TSC read directly; charging tolerates steps back when the scale is adjusted. */
static inline u64 sched_clock(void)
{
	const struct clock_scale *c = READ_ONCE(clock_scale);

	return likely(c->source == CLOCK_TSC) ? clock_scale_ns(c, rdtsc()) : ktime_ns();
}

static inline bool is_fair(const struct thread *t)
{
	return likely(t->kind == SK_FAIR);
}

/* Locks the queue a thread belongs to. => irqs off */
static inline struct run_queue *lock_thread_rq(struct thread *t)
{
	for (;;) {
		s32 cpu = READ_ONCE(t->cpu);
		struct run_queue *rq = cpu_rq(cpu);

		rq_lock(rq);
		if (likely(t->cpu == cpu))
			return rq;
		rq_unlock(rq);
	}
}

/* All of these: => rq locked */
static inline void charge_current(struct run_queue *rq, u64 now)
{
	struct thread *t = rq->curr;

	if (is_fair(t)) {
		fairq_charge(&rq->fair, &t->se, now);
	} else if ((s64)(now - t->se.exec_start) > 0) { /* no virtual time: it must not move the fair queue's */
		if (t->kind == SK_RT)
			rq->rt.ran += now - t->se.exec_start;
		t->se.sum_exec += now - t->se.exec_start;
		t->se.exec_start = now;
	}
}
void resched_curr(struct run_queue *rq);
void rq_activate(struct run_queue *rq, struct thread *t); /* becomes runnable, placed by the caller */
void rq_deactivate(struct run_queue *rq, struct thread *t, bool queued);
void rq_check_preempt(struct run_queue *rq, struct thread *t);
/* Makes a switched-out thread runnable on a CPU it may use. => no rq lock, irqs off; t on no queue, state RUNNING */
void sched_place_elsewhere(struct thread *t);

void rt_init(struct rt_queue *q);
void rt_insert(struct rt_queue *q, struct thread *t, bool head);
void rt_erase(struct rt_queue *q, struct thread *t);
struct thread *rt_first(struct rt_queue *q); /* NULL when empty */

void tick_start(struct run_queue *rq);
void tick_init(struct run_queue *rq);
void sched_stats_start(void); /* load averages */

/* Takes runnable threads from busier CPUs. => irqs off, no rq lock; returns true when something came */
bool balance_pull(struct run_queue *rq);
void balance_tick(struct run_queue *rq);

#endif
