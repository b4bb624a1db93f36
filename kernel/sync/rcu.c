/*
 * Read-copy-update by quiescent states (kernel/rcu.h).
 *
 * A reader is a stretch with preemption off, so a CPU is quiescent whenever it switches threads, halts
 * in the idle loop, or is interrupted by a tick in user mode. Each CPU counts its quiescent states in
 * rcu_qs (one increment, no barrier, no shared line); nothing else happens on the hot paths.
 *
 * One kernel thread does the rest, in cycles: take all callbacks queued so far, wait for a grace
 * period, run them. A grace period: remember every CPU's counter, then wait until each online CPU has
 * counted on or is seen halted (cpu_in_idle). A CPU that stays busy is made to reschedule.
 *
 * Ordering. The updater's unlinking comes before the full barrier at the start of the grace period (the
 * callback reached the thread through an atomic exchange). For a CPU that counted on: its increment
 * follows, in program order and hence in x86's store order, everything readers did before it, and the
 * locked operations of the run queue lock separate it from readers after it. For a halted CPU:
 * cpu_in_idle goes up before HLT with a full barrier and down at the first interrupt with a full
 * barrier (irq_enter), so a reader in that interrupt that we did not see starts after our barrier and
 * sees the unlinking.
 *
 * With one CPU synchronize_rcu returns at once: its caller may sleep, so no reader is active.
 *
 * Batching: the first callback arms a timer of RCU_DELAY; many callbacks, synchronize_rcu and
 * rcu_barrier start the cycle at once. Per-CPU callback lists are stacks taken as a whole, so
 * order between callbacks is not kept.
 */
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <kernel/kthread.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/assert.h>
#include <x86/cpu.h>

/* Doors upward: mm for kfree_rcu, sched to make a busy CPU switch. */
void kfree(const void *p);
void resched_cpu(int cpu);

#define RCU_DELAY_NS (20 * NSEC_PER_MSEC)
#define RCU_BATCH 2048u /* callbacks of one CPU that start a cycle early */
#define RCU_POLL_NS NSEC_PER_MSEC
#define RCU_POLLS_BEFORE_IPI 3

DEFINE_PER_CPU(u64, rcu_qs);
DEFINE_PER_CPU(u32, cpu_in_idle);
static DEFINE_PER_CPU(struct rcu_head *, rcu_list); /* (a) pushed by its CPU, taken by the thread */
static DEFINE_PER_CPU(u32, rcu_queued); /* hint: pushed since last taken */

static struct thread *rcu_thread;
static struct ktimer rcu_timer;
static u32 rcu_armed; /* (a) a cycle is due: the timer runs or the thread was kicked */
static u32 rcu_kicked; /* (a) the thread must not sleep */
static DEFINE_WAIT_QUEUE(rcu_thread_wait);
static DEFINE_WAIT_QUEUE(rcu_done_wait);
/* Cycles begun and ended. What was queued before a cycle began is over when it ended. */
static u64 rcu_begun, rcu_ended;

static void rcu_kick(void)
{
	WRITE_ONCE(rcu_kicked, 1);
	wake_up(&rcu_thread_wait);
}

static void rcu_timer_fired(struct ktimer *t)
{
	rcu_kick();
}

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *))
{
	struct rcu_head **list, *first;
	bool many;

	head->func = func;
	preempt_disable();
	list = this_cpu_ptr(&rcu_list);
	first = READ_ONCE(*list);
	do
		head->next = first;
	while (!__atomic_compare_exchange_n(list, &first, head, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	this_cpu_inc(rcu_queued);
	many = this_cpu_read(rcu_queued) == RCU_BATCH;
	preempt_enable();
	if (unlikely(many && rcu_thread))
		rcu_kick();
	else if (unlikely(!READ_ONCE(rcu_armed)) && rcu_thread && !xchg(&rcu_armed, 1))
		ktimer_start(&rcu_timer, ktime_ns() + RCU_DELAY_NS);
}

/* kfree_rcu hides the offset in the function pointer: no function lies in the first page. */
void kfree_rcu_at(struct rcu_head *head, size_t off)
{
	ASSERT(off < 4096);
	call_rcu(head, (void (*)(struct rcu_head *))off);
}

static void run_callbacks(struct rcu_head *head)
{
	while (head) {
		struct rcu_head *next = head->next;
		size_t off = (size_t)head->func;

		if (off < 4096)
			kfree((char *)head - off);
		else
			head->func(head);
		head = next;
		cond_resched();
	}
}

static bool rcu_cpu_quiescent(int cpu, u64 before)
{
	return smp_load_acquire(per_cpu_ptr(&rcu_qs, cpu)) != before || smp_load_acquire(per_cpu_ptr(&cpu_in_idle, cpu));
}

static void sleep_ns(u64 ns)
{
	set_current_state(TASK_INTERRUPTIBLE);
	schedule_until(ktime_ns() + ns);
	set_current_state(TASK_RUNNING);
}

static void wait_grace_period(void)
{
	u64 before[MAX_CPUS];
	cpumask_t waiting = READ_ONCE(cpu_online_mask);
	int cpu, polls = 0;

	smp_mb(); /* unlinking before looking at any CPU's state */
	for_each_cpu_mask(cpu, waiting)
		before[cpu] = READ_ONCE(per_cpu(rcu_qs, cpu));
	preempt_disable();
	waiting &= ~cpumask_of(smp_processor_id()); /* this CPU runs no reader: we do */
	preempt_enable();
	for (;; polls++) {
		for_each_cpu_mask(cpu, waiting) {
			if (rcu_cpu_quiescent(cpu, before[cpu]))
				waiting &= ~cpumask_of(cpu);
			else if (polls >= RCU_POLLS_BEFORE_IPI)
				resched_cpu(cpu);
		}
		if (!waiting)
			break;
		sleep_ns(RCU_POLL_NS);
	}
	smp_mb(); /* readers' accesses before the callbacks */
}

static int rcu_main(void *arg)
{
	for (;;) {
		struct rcu_head *taken[MAX_CPUS];
		cpumask_t online;
		int cpu;

		wait_event_interruptible(rcu_thread_wait, READ_ONCE(rcu_kicked));
		/* Down before the lists are taken: a callback queued from here on starts the next cycle. */
		WRITE_ONCE(rcu_kicked, 0);
		xchg(&rcu_armed, 0);
		smp_store_mb(rcu_begun, rcu_begun + 1);
		online = READ_ONCE(cpu_online_mask);
		for_each_cpu_mask(cpu, online) {
			taken[cpu] = xchg(per_cpu_ptr(&rcu_list, cpu), NULL);
			WRITE_ONCE(per_cpu(rcu_queued, cpu), 0);
		}
		wait_grace_period();
		for_each_cpu_mask(cpu, online)
			run_callbacks(taken[cpu]);
		smp_store_mb(rcu_ended, rcu_begun);
		wake_up_all(&rcu_done_wait);
	}
	return 0;
}

/* Waits for the end of a cycle that begins after now. */
static void wait_cycle(void)
{
	u64 target;

	smp_mb(); /* what the caller unlinked or queued is seen by a cycle we count as later */
	target = READ_ONCE(rcu_begun) + 1;
	rcu_kick();
	wait_event(rcu_done_wait, smp_load_acquire(&rcu_ended) >= target);
}

void synchronize_rcu(void)
{
	might_sleep();
	if (nr_cpus > 1 && rcu_thread)
		wait_cycle();
}

void rcu_barrier(void)
{
	might_sleep();
	if (rcu_thread)
		wait_cycle();
}

void rcu_init(void)
{
	ktimer_init(&rcu_timer, rcu_timer_fired);
	rcu_thread = kthread_run(rcu_main, NULL, -1, "rcu");
	VERIFY(rcu_thread);
	rcu_kick(); /* callbacks queued since boot */
}
