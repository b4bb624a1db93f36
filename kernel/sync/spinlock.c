/*
 * Slow halves of the spinning locks (kernel/spinlock.h).
 *
 * Every loop turns through spin_poll, which answers TLB shootdowns sent to this CPU. That is what makes
 * it legal to wait for shootdown acknowledgements with locks held: CPU A holds lock L and waits for B,
 * B spins for L with interrupts off, and B still acknowledges.
 *
 * Waiting is by reading only (test-and-test-and-set), so the lock's cache line stays shared until it
 * is released. Writers of an rwlock are not favoured: read sections are short and nested read locks
 * in interrupts must not deadlock behind a waiting writer.
 */
#include <kernel/spinlock.h>
#include <lib/assert.h>
#include <x86/cpu.h>
#include <x86/tlb.h>

void spin_poll(void)
{
	cpu_relax();
	tlb_poll();
}

void spin_lock_slow(spinlock_t *l)
{
#ifdef LOCKCHECK
	VERIFY(READ_ONCE(l->holder) != smp_processor_id() || !READ_ONCE(l->locked));
#endif
	lock_contended(l->class);
	do {
		while (READ_ONCE(l->locked))
			spin_poll();
	} while (__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE));
}

void read_lock_slow(rwlock_t *l)
{
	lock_contended(l->class);
	for (;;) {
		s32 v = READ_ONCE(l->state);

		if (v >= 0 && __atomic_compare_exchange_n(&l->state, &v, v + 1, 0, __ATOMIC_ACQUIRE,
							  __ATOMIC_RELAXED))
			return;
		spin_poll();
	}
}

void write_lock_slow(rwlock_t *l)
{
	lock_contended(l->class);
	for (;;) {
		s32 v = 0;

		if (READ_ONCE(l->state) == 0 &&
		    __atomic_compare_exchange_n(&l->state, &v, -1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		spin_poll();
	}
}
