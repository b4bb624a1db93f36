/*
 * Waking threads, and choosing a CPU for them.
 *
 * Why no wake-up is lost, and no thread runs twice. A sleeper stores its state with a full barrier, tests its condition, and
 * calls schedule(), which looks at the state under the lock of its queue and takes it off the queue in the same critical
 * section, released only after the stack was switched. A waker makes the condition true and takes the lock of t->cpu (a
 * locked operation: full barrier) before it looks at the state. So either
 *  - the sleeper's test saw the condition, or the waker sees the sleeping state. Then, under the lock,
 *  - on_rq: the sleeper has not come to schedule()'s decision; setting the state to RUNNING makes it stay; or
 *  - not on_rq: it is completely switched out; it is put on a queue, by exactly one waker, because the state is RUNNING
 *    from then on. Between leaving the old queue's lock and taking the new one's the thread is on no queue, RUNNING, and
 *    belongs to nobody but the waker.
 *
 * Placement: a synchronous waker (about to sleep) keeps the wakee on its own CPU, and the next pick prefers it: hand-over
 * without an interrupt or an idle CPU in between. Else the CPU it ran on last if idle, any idle one, the less loaded of
 * last and this.
 */
#include "rq.h"
#include <mm/alloc.h>

cpumask_t cpu_idle_mask;

void set_current_state(unsigned state)
{
	(void)__atomic_exchange_n(&current_thread()->state, state, __ATOMIC_SEQ_CST);
}

bool thread_on_cpu(const struct thread *t)
{
	return READ_ONCE(t->on_cpu);
}

const char *thread_comm(const struct thread *t)
{
	return t ? t->comm : "";
}

void rq_check_preempt(struct run_queue *rq, struct thread *t)
{
	struct thread *curr = rq->curr;

	if (curr == rq->idle) {
		resched_curr(rq);
	} else if (unlikely(t->kind == SK_RT)) {
		if (curr->kind != SK_RT ? !rq->rt.throttled : sched_rt_prio(t) > sched_rt_prio(curr))
			resched_curr(rq);
	} else if (likely(curr->kind == SK_FAIR) && t->policy != SCHED_BATCH) {
		charge_current(rq, sched_clock());
		if ((curr->policy == SCHED_IDLE && t->policy != SCHED_IDLE) ||
		    fair_should_preempt(&curr->se, &t->se))
			resched_curr(rq);
	}
}

/* An idle CPU of @mask, of @near's node if there is one. -1: none. */
static int find_idle(cpumask_t mask, int near)
{
	cpumask_t idle = READ_ONCE(cpu_idle_mask) & mask;
	int cpu, node;

	if (!idle)
		return -1;
	node = cpu_to_node(near);
	for_each_cpu_mask(cpu, idle)
		if (cpu_to_node(cpu) == node)
			return cpu;
	return __builtin_ctzll(idle);
}

/* The CPU of @mask that runs the least urgent thread. */
static int find_rt(struct thread *t, cpumask_t mask, int prev)
{
	int cpu, best = prev, best_prio = 200;

	for_each_cpu_mask(cpu, mask) {
		struct thread *curr = READ_ONCE(cpu_rq(cpu)->curr);
		int prio = curr->kind == SK_IDLE ? -1 : curr->kind == SK_FAIR ? 0 : sched_rt_prio(curr);

		if (prio < best_prio || (prio == best_prio && cpu == prev)) {
			best = cpu;
			best_prio = prio;
		}
	}
	return best;
}

/* => the choice is a hint computed without locks; the caller holds at most t's queue lock */
static int select_cpu(struct thread *t, int prev, bool sync)
{
	int this = smp_processor_id(), idle;
	cpumask_t mask = t->affinity & READ_ONCE(cpu_online_mask);

	if (likely(nr_cpus == 1))
		return 0;
	if (unlikely(!mask))
		mask = READ_ONCE(cpu_online_mask);
	if (!(mask & (mask - 1)))
		return __builtin_ctzll(mask);
	if (sync && cpumask_has(mask, this) && READ_ONCE(this_rq()->nr_running) <= 1 && !in_interrupt())
		return this;
	if (!cpumask_has(mask, prev))
		prev = cpumask_has(mask, this) ? this : __builtin_ctzll(mask);
	if (cpumask_has(READ_ONCE(cpu_idle_mask), prev))
		return prev;
	if (unlikely(t->kind == SK_RT))
		return find_rt(t, mask, prev);
	idle = find_idle(mask, prev);
	if (idle >= 0)
		return idle;
	if (cpumask_has(mask, this) &&
	    READ_ONCE(cpu_rq(prev)->nr_running) > READ_ONCE(this_rq()->nr_running) + 1)
		return this;
	return prev;
}

/* Moves @t, RUNNING and on no queue, to @rq's CPU. => lock of t->cpu held and released; rq locked afterwards */
static void move_to(struct thread *t, struct run_queue *from, struct run_queue *rq)
{
	u64 base = from->fair.min_vruntime;

	WRITE_ONCE(t->cpu, rq->cpu);
	rq_unlock(from);
	rq_lock(rq);
	t->se.vruntime += rq->fair.min_vruntime - base;
}

bool wake_thread(struct thread *t, unsigned mode, int sync)
{
	struct run_queue *rq, *target;
	u64 flags;

	preempt_disable();
	flags = local_irq_save();
	rq = lock_thread_rq(t);
	if (!(t->state & mode)) {
		rq_unlock(rq);
		local_irq_restore(flags);
		preempt_enable();
		return false;
	}
	if (!t->on_rq) {
		if (t->state & TASK_UNINTERRUPTIBLE)
			rq->uninterruptible--;
		t->state = TASK_RUNNING;
		target = cpu_rq(select_cpu(t, rq->cpu, sync));
		if (unlikely(target != rq)) {
			move_to(t, rq, target);
			rq = target;
		}
		if (is_fair(t))
			fairq_place(&rq->fair, &t->se, false);
		rq_activate(rq, t);
		if (sync && rq == this_rq() && rq->curr != rq->idle && is_fair(t))
			rq->hint = t;
		else
			rq_check_preempt(rq, t);
	} else {
		t->state = TASK_RUNNING;
	}
	rq_unlock(rq);
	local_irq_restore(flags);
	preempt_enable();
	return true;
}

void sched_place_elsewhere(struct thread *t)
{
	struct run_queue *rq = lock_thread_rq(t), *target = cpu_rq(select_cpu(t, t->cpu, false));

	ASSERT(!t->on_rq && t->state == TASK_RUNNING);
	if (target != rq) {
		move_to(t, rq, target);
		rq = target;
	}
	rq_activate(rq, t);
	rq_check_preempt(rq, t);
	rq_unlock(rq);
}

/* A new thread: an idle CPU if there is one, else the least loaded it may use. */
static int select_cpu_new(struct thread *t)
{
	cpumask_t mask = t->affinity & READ_ONCE(cpu_online_mask);
	int this = smp_processor_id(), cpu, best;

	if (likely(nr_cpus == 1))
		return 0;
	if (unlikely(!mask))
		mask = READ_ONCE(cpu_online_mask);
	best = find_idle(mask, this);
	if (best >= 0)
		return best;
	best = cpumask_has(mask, this) ? this : __builtin_ctzll(mask);
	for_each_cpu_mask(cpu, mask)
		if (READ_ONCE(cpu_rq(cpu)->nr_running) < READ_ONCE(cpu_rq(best)->nr_running))
			best = cpu;
	return best;
}

void sched_wake_new(struct thread *t)
{
	struct run_queue *rq;
	u64 flags;

	preempt_disable();
	flags = local_irq_save();
	rq = cpu_rq(select_cpu_new(t));
	rq_lock(rq);
	WRITE_ONCE(t->cpu, rq->cpu);
	if (is_fair(t))
		fairq_place(&rq->fair, &t->se, true);
	rq_activate(rq, t);
	rq_check_preempt(rq, t);
	rq_unlock(rq);
	local_irq_restore(flags);
	preempt_enable();
}

/* --- sleeping with a deadline ---------------------------------------------------------------------- */

struct sleeper {
	struct ktimer timer;
	struct thread *thread;
	bool fired; /* before the wake-up; read after ktimer_cancel_sync */
};

static void sleeper_fired(struct ktimer *timer)
{
	struct sleeper *s = container_of(timer, struct sleeper, timer);

	WRITE_ONCE(s->fired, true);
	wake_thread(s->thread, TASK_NORMAL | TASK_WAKEKILL, 0);
}

bool schedule_until(u64 deadline_ns)
{
	struct sleeper s = { .thread = current_thread() };

	if (deadline_ns == U64_MAX) {
		schedule();
		return false;
	}
	if (ktime_ns() >= deadline_ns) {
		set_current_state(TASK_RUNNING);
		return true;
	}
	ktimer_init(&s.timer, sleeper_fired);
	ktimer_start(&s.timer, deadline_ns);
	schedule();
	ktimer_cancel_sync(&s.timer);
	return s.fired;
}
