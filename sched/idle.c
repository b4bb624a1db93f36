/*
 * The idle loop: useful things first, then HLT.
 *
 * A CPU with nothing to run first looks for a thread waiting on another CPU, then zeroes free pages for later, one at a time,
 * then halts with the tick off. It holds preemption off all the time, so that interrupts come back here and the loop
 * decides. The test for need_resched and HLT are one step for interrupts (STI; HLT), so a wake-up in between is not lost.
 * cpu_in_idle tells RCU that this CPU reads nothing; irq_enter takes it down again.
 */
#include "rq.h"
#include <kernel/irq.h>
#include <mm/alloc.h>
#include <mm/check.h>

void schedule_idle(void); /* core.c */

static void halt(void)
{
	local_irq_disable();
	if (need_resched()) {
		local_irq_enable();
		return;
	}
	this_cpu_write(cpu_in_idle, 1);
	smp_mb(); /* pairs with rcu_cpu_quiescent's caller: what was read before is read before the flag is seen */
	cpu_halt_irqs_on();
	this_cpu_write(cpu_in_idle, 0);
	smp_mb();
}

static bool pull(struct run_queue *rq)
{
	bool got;

	local_irq_disable();
	got = balance_pull(rq);
	local_irq_enable();
	return got;
}

void idle_loop(void)
{
	struct run_queue *rq;
	cpumask_t me;

	preempt_disable();
	rq = this_rq();
	me = cpumask_of(rq->cpu);
	if (rq->cpu == 0) {
		sched_stats_start();
		check_register("sched", sched_check);
	}
	for (;;) {
		if (nr_cpus > 1)
			__atomic_fetch_or(&cpu_idle_mask, me, __ATOMIC_SEQ_CST);
		while (!need_resched()) {
			if (pull(rq))
				break;
			if (!page_zero_idle())
				halt();
		}
		if (nr_cpus > 1)
			__atomic_fetch_and(&cpu_idle_mask, ~me, __ATOMIC_RELAXED);
		schedule_idle();
	}
}
