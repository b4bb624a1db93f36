/*
 * Policies, nice values, lent priorities, affinity; and the checker of the run queues.
 *
 * Changes take the thread off its queue, change it, and put it back, all under the queue's lock. A running thread that may no
 * longer stay on its CPU is told to reschedule, and is placed elsewhere by the thread that follows it (core.c).
 */
#include "rq.h"
#include <kernel/printk.h>
#include <uapi/errno.h>

static void apply(struct thread *t)
{
	t->kind = sched_rt_prio(t) ? SK_RT : SK_FAIR;
	if (t->policy == SCHED_IDLE)
		fair_set_weight(&t->se, FAIR_WEIGHT_IDLE);
	else
		fair_set_nice(&t->se, t->nice);
}

enum { SET_POLICY = 1, SET_NICE = 2, SET_BOOST = 4 };
struct standing { int policy, rt_priority, nice, boost; };

static void change(struct thread *t, u32 what, struct standing to)
{
	u64 flags = local_irq_save();
	struct run_queue *rq = lock_thread_rq(t);
	bool on = t->on_rq, running = rq->curr == t;

	if (running)
		charge_current(rq, sched_clock());
	if (on)
		rq_deactivate(rq, t, !running);
	if (what & SET_POLICY) {
		t->policy = (u8)to.policy;
		t->rt_priority = (u8)to.rt_priority;
	}
	if (what & SET_NICE)
		t->nice = (s8)clamp(to.nice, -20, 19);
	if (what & SET_BOOST)
		t->rt_boost = (u8)to.boost;
	if (t->kind != SK_IDLE)
		apply(t);
	if (on && running) {
		if (is_fair(t)) /* it may come from another policy, with an old vruntime */
			fairq_place(&rq->fair, &t->se, false);
		t->on_rq = 1;
		rq->nr_running++;
		rq->fair.load += t->se.weight;
		resched_curr(rq); /* it may have become less urgent than a queued one */
	} else if (on) {
		if (is_fair(t))
			fairq_place(&rq->fair, &t->se, false);
		rq_activate(rq, t);
		rq_check_preempt(rq, t);
	}
	rq_unlock(rq);
	local_irq_restore(flags);
}

int sched_set_policy(struct thread *t, int policy, int rt_priority, int nice)
{
	bool rt = policy == SCHED_FIFO || policy == SCHED_RR;

	if (!rt && policy != SCHED_NORMAL && policy != SCHED_BATCH && policy != SCHED_IDLE)
		return -EINVAL;
	if (rt ? rt_priority < 1 || rt_priority > 99 : rt_priority != 0)
		return -EINVAL;
	change(t, SET_POLICY | SET_NICE, (struct standing){ .policy = policy, .rt_priority = rt_priority, .nice = nice });
	return 0;
}

void sched_set_nice(struct thread *t, int nice)
{
	change(t, SET_NICE, (struct standing){ .nice = nice });
}

void sched_boost(struct thread *t, int prio)
{
	if (t->rt_boost != prio) /* callers are serialised: nobody else changes it */
		change(t, SET_BOOST, (struct standing){ .boost = prio });
}

int sched_set_affinity(struct thread *t, cpumask_t mask)
{
	struct run_queue *rq;
	bool me = t == current_thread(), away, elsewhere = false;
	u64 flags;

	if (!(mask & READ_ONCE(cpu_online_mask)))
		return -EINVAL;
	flags = local_irq_save();
	rq = lock_thread_rq(t);
	t->affinity = mask;
	away = t->on_rq && !cpumask_has(mask, rq->cpu);
	if (away && rq->curr == t) {
		resched_curr(rq);
	} else if (away) {
		rq_deactivate(rq, t, true);
		t->state = TASK_RUNNING; /* as in requeue_prev: it is ours until placed */
		elsewhere = true;
	}
	rq_unlock(rq);
	if (elsewhere)
		sched_place_elsewhere(t);
	local_irq_restore(flags);
	if (me && away)
		schedule(); /* comes back on a CPU of the mask */
	return 0;
}

/* --- checker --------------------------------------------------------------------------------------- */

/* Numbers collected under the lock and printed after it. */
struct rq_counts {
	u64 tree_errors, queued, load, expect_load;
	u32 nr_running, expect_running;
	const struct thread *bad_member, *bad_curr;
};

static void report_thread(const struct run_queue *rq, const char *what, const struct thread *t)
{
	pr_err("sched_check: run queue %d at %p: %s %p (%s): cpu is %d, should be %d; on_rq %d, on_cpu %d\n", rq->cpu, (void *)rq, what, t,
	       t->comm, t->cpu, rq->cpu, t->on_rq, t->on_cpu);
}

static void count_member(struct run_queue *rq, struct thread *t, struct rq_counts *c)
{
	c->queued++;
	c->load += t->se.weight;
	if (t->cpu != rq->cpu || !t->on_rq || t == rq->curr || t->on_cpu)
		c->bad_member = t;
}

static void collect(struct run_queue *rq, struct rq_counts *c)
{
	u64 flags = local_irq_save();

	rq_lock(rq);
	c->tree_errors = fairq_check(&rq->fair);
	for (struct rb_node *n = rb_first(&rq->fair.tree.rb_root); n; n = rb_next(n))
		count_member(rq, container_of(rb_entry(n, struct sched_entity, node), struct thread, se), c);
	for (int i = 0; i < RT_PRIOS; i++) {
		struct thread *t;

		list_for_each_entry(t, &rq->rt.list[i], rt_link)
			count_member(rq, t, c);
	}
	if (rq->curr != rq->idle && rq->curr->on_rq) {
		c->queued++;
		c->load += rq->curr->se.weight;
	}
	c->bad_curr = rq->curr->cpu != rq->cpu || !rq->curr->on_cpu ? rq->curr : NULL;
	c->nr_running = rq->nr_running;
	c->expect_running = (u32)c->queued;
	c->expect_load = rq->fair.load;
	rq_unlock(rq);
	local_irq_restore(flags);
}

u64 sched_check(void)
{
	u64 wrong = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		struct rq_counts c = { 0 };
		u64 before = wrong;

		collect(cpu_rq(cpu), &c);
		wrong += c.tree_errors;
		if (c.bad_member && ++wrong)
			report_thread(cpu_rq(cpu), "thread in line", c.bad_member);
		if (c.bad_curr && ++wrong)
			report_thread(cpu_rq(cpu), "running thread", c.bad_curr);
		wrong += c.nr_running != c.expect_running;
		wrong += c.load != c.expect_load;
		if (wrong != before)
			pr_err("sched_check: run queue %d at %p: tree errors %llu, should be 0; running is %u, should be %u; load is %llu, should be %llu\n",
			       cpu, (void *)cpu_rq(cpu), c.tree_errors, c.nr_running, c.expect_running, c.expect_load, c.load);
	}
	return wrong;
}
