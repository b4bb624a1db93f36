/*
 * The scheduler's core: switching threads.
 *
 * schedule() takes the queue lock, charges the leaving thread, takes it off the queue when it sleeps, picks the next and
 * switches stacks; the arriving thread releases the lock (finish_switch). A new thread arrives through schedule_tail.
 * The leaving thread's preemption count is 1 at the switch and so is the arriving one's: that is why the count can be per
 * CPU. One clock reading per switch.
 *
 * Kinds: real-time first (rt.c), then fair (fairq.c), then the CPU's idle thread, which is on no queue and never sleeps:
 * boot code may wait for events although it runs as CPU 0's idle thread; it then polls through schedule().
 *
 * A dead thread's stack is given back by the thread that arrives after it (sched_exit).
 *
 * need_resched is kept twice: TIF_NEED_RESCHED of the running thread, for returns to user mode, and inverted in bit 31 of
 * preempt_count, for preempt_enable. resched_curr sets both (the remote half through an interrupt); schedule clears both
 * under the queue lock.
 */
#include "rq.h"
#include <kernel/rcu.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <x86/tlb.h>

DEFINE_PER_CPU(u32, preempt_count) = PREEMPT_NO_RESCHED;
DEFINE_PER_CPU(struct thread *, cpu_current);
DEFINE_PER_CPU(struct run_queue, run_queues);

/* Room for whoever embeds struct thread, see THREAD_ROOM. */
static union {
	struct thread thread;
	u8 room[THREAD_ROOM];
} boot_idle __aligned(64);

/* into tree or list, not running */
static void rq_queue(struct run_queue *rq, struct thread *t)
{
	if (is_fair(t))
		fairq_insert(&rq->fair, &t->se);
	else
		rt_insert(&rq->rt, t, false);
}

static void rq_unqueue(struct run_queue *rq, struct thread *t)
{
	if (rq->hint == t)
		rq->hint = NULL;
	if (is_fair(t))
		fairq_erase(&rq->fair, &t->se);
	else
		rt_erase(&rq->rt, t);
}

void rq_activate(struct run_queue *rq, struct thread *t)
{
	ASSERT(!t->on_rq && t->cpu == rq->cpu && t->kind != SK_IDLE);
	t->on_rq = 1;
	rq->nr_running++;
	rq->fair.load += t->se.weight;
	rq_queue(rq, t);
}

/* @queued: it is in tree or list, that is, not the running thread. */
void rq_deactivate(struct run_queue *rq, struct thread *t, bool queued)
{
	ASSERT(t->on_rq && t->cpu == rq->cpu);
	if (queued)
		rq_unqueue(rq, t);
	t->on_rq = 0;
	rq->nr_running--;
	rq->fair.load -= t->se.weight;
}

static struct thread *pick_next(struct run_queue *rq)
{
	struct thread *hint = rq->hint;
	struct sched_entity *e;

	rq->hint = NULL;
	if (unlikely(rq->rt.queued) && (!rq->rt.throttled || !rq->fair.queued)) {
		struct thread *t = rt_first(&rq->rt);

		rt_erase(&rq->rt, t);
		return t;
	}
	e = fairq_pick(&rq->fair, hint && is_fair(hint) ? &hint->se : NULL);
	return likely(e) ? container_of(e, struct thread, se) : rq->idle;
}

/* The leaving thread stays runnable: back into its queue, unless it may no longer run here. */
static void requeue_prev(struct run_queue *rq, struct thread *prev)
{
	prev->nivcsw++;
	if (unlikely(!cpumask_has(prev->affinity, rq->cpu))) {
		rq_deactivate(rq, prev, false);
		/* wakers must not take it for a sleeper, should it be on its way to sleep: one turn more for it */
		prev->state = TASK_RUNNING;
		rq->push = prev; /* finish_switch places it: its stack is still in use here */
	} else if (is_fair(prev)) {
		fairq_insert(&rq->fair, &prev->se);
	} else {
		/* preempted: first of its equals; a used-up RR slice or a yield: last */
		bool tail = prev->se.slice_start == U64_MAX;

		rt_insert(&rq->rt, prev, !tail);
	}
}

/* Runs on the arriving thread's stack with the lock the leaving thread took. */
static void finish_switch(struct thread *prev)
{
	struct run_queue *rq = this_rq();
	struct thread *push = rq->push;
	bool dead = prev->state == TASK_DEAD;

	__atomic_store_n(&prev->on_cpu, 0, __ATOMIC_RELEASE);
	rq->push = NULL;
	rq_unlock(rq);
	if (unlikely(push))
		sched_place_elsewhere(push);
	local_irq_enable();
	if (unlikely(dead))
		sched_thread_release(prev);
}

void schedule_tail(struct thread *prev)
{
	finish_switch(prev);
	preempt_enable();
}

static void switch_to(struct run_queue *rq, struct thread *prev, struct thread *next, u64 now)
{
	rq->switches++;
	rq->curr = next;
	next->on_cpu = 1;
	next->last_cpu = rq->cpu;
	next->se.exec_start = now;
	next->se.slice_start = next->se.sum_exec;
	this_cpu_write(cpu_current, next);
	if (unlikely(!rq->tick_on) && next != rq->idle)
		tick_start(rq);
	if (prev->mm != next->mm)
		tlb_switch_mm(prev->mm, next->mm);
	arch_switch_state(prev, next);
	prev = arch_switch_to(prev, next);
	/* another time, maybe another CPU: nothing computed above may be used */
	finish_switch(prev);
}

/* How every way of giving up the CPU begins: interrupts off, the queue locked, the running thread charged up to @now. */
static __always_inline struct run_queue *schedule_begin(u64 *now)
{
	struct run_queue *rq;

	ASSERT3U(preempt_depth(), ==, 1);
	lock_assert_may_switch();
	local_irq_disable();
	rcu_note_context_switch(); /* the lock below is the barrier after it */
	rq = this_rq();
	rq_lock(rq);
	*now = sched_clock();
	charge_current(rq, *now);
	return rq;
}

/*
 * => after schedule_begin; interrupts are on and the queue unlocked afterwards. @preempt: the thread did not ask for it, so a
 * sleeping state it may just have set does not count (it has not finished looking at its condition).
 */
static __always_inline void schedule_end(struct run_queue *rq, u64 now, bool preempt)
{
	struct thread *prev = rq->curr, *next;

	if (thread_test_flag(prev, TIF_NEED_RESCHED)) {
		thread_clear_flag(prev, TIF_NEED_RESCHED);
		__pcp(preempt_count) |= PREEMPT_NO_RESCHED;
	}
	if (likely(prev->state != TASK_RUNNING && !preempt && prev != rq->idle)) {
		if ((prev->state & TASK_INTERRUPTIBLE) && thread_test_flag(prev, TIF_SIGPENDING)) {
			prev->state = TASK_RUNNING;
			requeue_prev(rq, prev);
		} else {
			prev->nvcsw++;
			if (prev->state & TASK_UNINTERRUPTIBLE)
				rq->uninterruptible++;
			rq_deactivate(rq, prev, false);
		}
	} else if (prev != rq->idle) {
		requeue_prev(rq, prev);
	}
	next = pick_next(rq);
	if (likely(next != prev)) {
		switch_to(rq, prev, next, now);
		return;
	}
	prev->se.slice_start = prev->se.sum_exec;
	rq_unlock(rq);
	local_irq_enable();
}

/* => preemption count 1 */
static void __schedule(bool preempt)
{
	u64 now;
	struct run_queue *rq = schedule_begin(&now);

	schedule_end(rq, now, preempt);
}

void schedule(void)
{
	do {
		preempt_disable();
		__schedule(false);
		preempt_enable_no_resched();
	} while (unlikely(need_resched()));
}

/* For the idle loop, which holds the one count all the time. */
void schedule_idle(void)
{
	__schedule(false);
}

void preempt_schedule(void)
{
	if (irqs_disabled())
		return;
	do {
		preempt_disable();
		__schedule(true);
		preempt_enable_no_resched();
	} while (unlikely(need_resched()));
}

void preempt_schedule_irq(void)
{
	do {
		preempt_disable();
		__schedule(true);
		local_irq_disable();
		preempt_enable_no_resched();
	} while (unlikely(need_resched()));
}

bool need_resched(void)
{
	return thread_test_flag(current_thread(), TIF_NEED_RESCHED);
}

void cond_resched(void)
{
	if (unlikely(need_resched()) && !preempt_depth())
		preempt_schedule();
}

void resched_curr(struct run_queue *rq)
{
	if (thread_test_flag(rq->curr, TIF_NEED_RESCHED))
		return;
	thread_set_flag(rq->curr, TIF_NEED_RESCHED);
	if (rq->cpu == smp_processor_id())
		__pcp(preempt_count) &= ~PREEMPT_NO_RESCHED;
	else
		smp_send_reschedule(rq->cpu);
}

void resched_interrupt(void)
{
	/* the flag may have been acted upon already: then there is nothing to do */
	if (need_resched())
		__pcp(preempt_count) &= ~PREEMPT_NO_RESCHED;
}

void resched_cpu(int cpu)
{
	u64 flags = local_irq_save();
	struct run_queue *rq = cpu_rq(cpu);

	rq_lock(rq);
	resched_curr(rq);
	rq_unlock(rq);
	local_irq_restore(flags);
}

static noinline void yield_to_others(void)
{
	struct thread *me = current_thread();
	struct run_queue *rq;
	struct sched_entity *first;
	u64 now;

	preempt_disable();
	rq = schedule_begin(&now);
	first = fairq_first(&rq->fair);
	if (!is_fair(me))
		me->se.slice_start = U64_MAX; /* last of its equals */
	else if (first && !fair_before(first->vruntime, me->se.vruntime))
		me->se.vruntime = first->vruntime + 1;
	schedule_end(rq, now, false);
	preempt_enable_no_resched();
	if (unlikely(need_resched()))
		schedule();
}

void sched_yield(void)
{
	if (unlikely(READ_ONCE(this_rq()->nr_running) > 1)) /* alone: no registers to save */
		yield_to_others();
}

bool may_sleep(void)
{
	return !preempt_depth() && !irqs_disabled();
}

#ifdef LOCKCHECK
struct lock_stack *lock_stack_of(struct thread *t)
{
	return &t->locks;
}
#endif

#ifdef DEBUG
void might_sleep_at(const char *file, int line)
{
	if (unlikely(!may_sleep() && current_thread()->kind != SK_IDLE))
		panic("%s:%d: may sleep with preemption count %#x, interrupts %s", file, line,
		      this_cpu_read(preempt_count), irqs_disabled() ? "off" : "on");
}
#endif

void sched_exit(void)
{
	struct thread *me = current_thread();

	lock_assert_none();
	local_irq_disable();
	__atomic_store_n(&me->state, TASK_DEAD, __ATOMIC_SEQ_CST);
	preempt_disable();
	__schedule(false);
	panic("a dead thread runs");
}

/* --- bring-up -------------------------------------------------------------------------------------- */

static void rq_init(int cpu, struct thread *idle)
{
	struct run_queue *rq = cpu_rq(cpu);

	memset(rq, 0, sizeof(*rq));
	spin_lock_init(&rq->lock);
	fairq_init(&rq->fair);
	rt_init(&rq->rt);
	rq->cpu = cpu;
	rq->idle = rq->curr = idle;
	tick_init(rq);

	idle->cpu = idle->last_cpu = cpu;
	idle->on_cpu = 1;
	idle->kind = SK_IDLE;
	idle->policy = SCHED_NORMAL;
	idle->affinity = cpumask_of(cpu);
	idle->refs = 1;
	fair_set_weight(&idle->se, FAIR_WEIGHT_IDLE);
	INIT_LIST_HEAD(&idle->rt_link);
	strscpy(idle->comm, "idle", sizeof(idle->comm));
	per_cpu(cpu_current, cpu) = idle;
}

void sched_init(void)
{
	rq_init(0, &boot_idle.thread);
}

struct thread *sched_cpu_create(int cpu)
{
	struct thread *idle = kzalloc(THREAD_ROOM, GFP_KERNEL);
	void *stack = kstack_alloc();

	if (!idle || !stack) {
		kfree(idle);
		if (stack)
			kstack_free(stack);
		return NULL;
	}
	idle->kstack = stack;
	idle->arch.kstack_top = (u64)stack + KSTACK_SIZE;
	rq_init(cpu, idle);
	return idle;
}

void sched_fork(struct thread *t, const struct thread *parent)
{
#ifdef LOCKCHECK
	lock_stack_init(&t->locks); /* the parent may hold some */
#endif
	t->state = TASK_RUNNING; /* on no queue: nobody can wake it before sched_wake_new */
	t->on_rq = t->on_cpu = 0;
	t->cpu = t->last_cpu = smp_processor_id();
	t->nvcsw = t->nivcsw = 0;
	t->utime_ns = t->stime_ns = 0;
	t->flags &= ~(1u << TIF_NEED_RESCHED);
	INIT_LIST_HEAD(&t->rt_link);
	memset(&t->se, 0, sizeof(t->se));
	t->policy = parent ? parent->policy : SCHED_NORMAL;
	t->nice = parent ? parent->nice : 0;
	t->rt_priority = parent ? parent->rt_priority : 0;
	t->rt_boost = 0; /* what is lent to the parent is not the child's */
	t->affinity = parent ? parent->affinity : ~0ull;
	t->reset_on_fork = 0;
	if (parent && parent->reset_on_fork) {
		if (t->rt_priority) {
			t->policy = SCHED_NORMAL;
			t->rt_priority = 0;
		}
		if (t->nice < 0)
			t->nice = 0;
	}
	t->kind = t->rt_priority ? SK_RT : SK_FAIR;
	if (parent && parent->kind == SK_IDLE) /* boot code forks the first threads */
		t->affinity = ~0ull;
	if (t->policy == SCHED_IDLE)
		fair_set_weight(&t->se, FAIR_WEIGHT_IDLE);
	else
		fair_set_nice(&t->se, t->nice);
}
