/*
 * The tick, statistics and load averages.
 *
 * A CPU ticks every 4 ms while it runs threads and not while it is idle: the timer is armed by the first switch to a thread
 * and is not armed again once it finds the CPU idle. The tick divides CPU time between user and system (by what it
 * interrupted), ends slices, balances, and is a quiescent state for RCU when it interrupted user mode.
 */
#include "rq.h"
#include <kernel/irq.h>
#include <kernel/rcu.h>
#include <x86/ptregs.h>

static void account(struct run_queue *rq, struct thread *t, bool user)
{
	if (user) {
		t->utime_ns += TICK_NS;
		if (t->nice > 0)
			rq->nice_ns += TICK_NS;
		else
			rq->user_ns += TICK_NS;
	} else {
		t->stime_ns += TICK_NS;
		rq->system_ns += TICK_NS;
	}
}

/* Keeps real-time threads to their share of each period. True when the CPU should switch. => rq locked, charged */
static bool rt_throttle(struct run_queue *rq, u64 now)
{
	struct rt_queue *q = &rq->rt;

	if (now - q->period_start >= RT_PERIOD_NS) {
		bool was = q->throttled;

		q->period_start = now;
		q->ran = 0;
		q->throttled = false;
		return was && q->queued;
	}
	if (!q->throttled && q->ran < RT_RUNTIME_NS)
		return false;
	q->throttled = true;
	return rq->fair.queued && rq->curr->kind == SK_RT;
}

/* Whether the running thread's time is up. => rq locked, charged */
static bool slice_over(struct run_queue *rq, struct thread *t)
{
	struct sched_entity *first;
	u64 ran = t->se.sum_exec - t->se.slice_start;

	if (unlikely(t->kind == SK_RT)) {
		if (t->policy != SCHED_RR || t->se.slice_start == U64_MAX || ran < RR_SLICE_NS)
			return false;
		if (list_empty(&rq->rt.list[RT_PRIOS - 1 - sched_rt_prio(t)]))
			return false;
		t->se.slice_start = U64_MAX; /* requeue_prev: last of its equals */
		return true;
	}
	first = fairq_first(&rq->fair);
	return (rq->rt.queued && !rq->rt.throttled) || (first && fair_before(first->vruntime, t->se.vruntime));
}

static void tick_fired(struct ktimer *timer)
{
	struct run_queue *rq = this_rq();
	struct pt_regs *regs = this_cpu_read(irq_regs);
	struct thread *t;
	u64 now;

	rq_lock(rq);
	t = rq->curr;
	if (t == rq->idle) {
		rq->tick_on = false;
		rq_unlock(rq);
		return;
	}
	now = sched_clock();
	charge_current(rq, now);
	account(rq, t, regs && user_mode(regs));
	if (rt_throttle(rq, now) || (rq->nr_running > 1 && slice_over(rq, t)))
		resched_curr(rq);
	rq_unlock(rq);
	if (regs && user_mode(regs))
		rcu_note_context_switch();
	ktimer_start(timer, now + TICK_NS);
	if (nr_cpus > 1)
		balance_tick(rq);
}

void tick_init(struct run_queue *rq)
{
	ktimer_init(&rq->tick, tick_fired);
	rq->tick.state = (u32)rq->cpu; /* its home, see timer.c */
}

void tick_start(struct run_queue *rq)
{
	rq->tick_on = true;
	ktimer_start(&rq->tick, sched_clock() + TICK_NS);
}

/* --- statistics ------------------------------------------------------------------------------------ */

u64 sched_runtime_ns(struct thread *t)
{
	u64 flags = local_irq_save();
	struct run_queue *rq = lock_thread_rq(t);
	u64 sum;

	if (rq->curr == t)
		charge_current(rq, sched_clock());
	sum = t->se.sum_exec;
	rq_unlock(rq);
	local_irq_restore(flags);
	return sum;
}

void sched_cputime(struct thread *t, u64 *utime, u64 *stime)
{
	u64 sum = sched_runtime_ns(t), u = READ_ONCE(t->utime_ns), s = READ_ONCE(t->stime_ns);

	/* too short for a tick: count it as user time, as most short programs' is */
	*utime = u + s ? mul_u64_u64_div_u64(sum, u, u + s) : sum;
	*stime = sum - *utime;
}

u64 nr_running(void)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += READ_ONCE(cpu_rq(cpu)->nr_running);
	return n;
}

u64 sched_switches(void)
{
	u64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += READ_ONCE(cpu_rq(cpu)->switches);
	return n;
}

u64 sched_idle_ns(int cpu)
{
	return sched_runtime_ns(cpu_rq(cpu)->idle);
}

u64 sched_user_ns(int cpu)
{
	return READ_ONCE(cpu_rq(cpu)->user_ns);
}

u64 sched_nice_ns(int cpu)
{
	return READ_ONCE(cpu_rq(cpu)->nice_ns);
}

u64 sched_system_ns(int cpu)
{
	return READ_ONCE(cpu_rq(cpu)->system_ns);
}

/*
 * Load averages over 1, 5 and 15 minutes: every 5 s  a' = a * e + n * (1 - e)  with e = exp(-5 / period), in fixed point with
 * 11 bits; n counts runnable threads and those in uninterruptible sleep.
 */
u64 avenrun[3];
static struct ktimer load_timer;
#define LOAD_PERIOD_NS (5 * NSEC_PER_SEC)
#define FIXED_1 2048u

static void load_fired(struct ktimer *t)
{
	static const u32 factor[3] = { 1884, 2014, 2037 };
	s64 n = (s64)nr_running();
	int cpu;

	for_each_online_cpu(cpu)
		n += READ_ONCE(cpu_rq(cpu)->uninterruptible);
	if (n < 0)
		n = 0;
	for (int i = 0; i < 3; i++)
		avenrun[i] = (avenrun[i] * factor[i] + (u64)n * FIXED_1 * (FIXED_1 - factor[i]) + FIXED_1 / 2) /
			     FIXED_1;
	ktimer_start(t, ktime_ns() + LOAD_PERIOD_NS);
}

void sched_stats_start(void)
{
	ktimer_init(&load_timer, load_fired);
	ktimer_start(&load_timer, ktime_ns() + LOAD_PERIOD_NS);
}
