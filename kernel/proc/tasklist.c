/*
 * The slow halves of the lock of the tree of tasks (proc/tasklist.h).
 */
#include <kernel/cpumask.h>
#include <proc/tasklist.h>

DEFINE_RWLOCK(tasklist_lock);
DEFINE_PER_CPU(u32, tasklist_inside) __attribute__((aligned(64))); /* (own; others read) */

void tasklist_enter_slow(void)
{
	u32 *inside = this_cpu_ptr(&tasklist_inside);

	do {
		__atomic_store_n(inside, 0, __ATOMIC_RELEASE);
		while (READ_ONCE(tasklist_lock.state))
			spin_poll();
		__atomic_exchange_n(inside, 1, __ATOMIC_SEQ_CST);
	} while (READ_ONCE(tasklist_lock.state));
}

void tasklist_empty(void)
{
	int cpu;

	/* taking tasklist_lock was a full barrier; pairs with the exchange of who enters */
	for_each_online_cpu(cpu)
		while (__atomic_load_n(per_cpu_ptr(&tasklist_inside, cpu), __ATOMIC_ACQUIRE))
			spin_poll();
}
