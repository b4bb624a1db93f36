/*
 * failinject.c - see include/mm/failinject.h.
 *
 * fail_nth_armed is the only word the allocators read; while it is set their fast paths lead to
 * the slow ones, which ask fail_alloc_slow.  Allocations in interrupts are not counted: they
 * belong to nobody and would make runs differ.
 */
#include <mm/failinject.h>

#include <kernel/cmdline.h>
#include <kernel/current.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <lib/atomic.h>

bool fail_nth_armed;
static struct thread *fail_thread;
static atomic64_t fail_left;

bool fail_alloc_slow(void)
{
	if (in_interrupt() || (fail_thread && fail_thread != current_thread()))
		return false;
	if (atomic64_dec_return(&fail_left) != 0)
		return false;
	WRITE_ONCE(fail_nth_armed, false);
	return true;
}

void fail_nth_arm(struct thread *t, u64 n)
{
	WRITE_ONCE(fail_nth_armed, false);
	fail_thread = t;
	atomic64_set(&fail_left, (s64)n);
	smp_store_release(&fail_nth_armed, n != 0);
}

u64 fail_nth_left(void)
{
	s64 left = atomic64_read(&fail_left);

	return READ_ONCE(fail_nth_armed) && left > 0 ? (u64)left : 0;
}

void fail_nth_boot(void)
{
	u64 n = cmdline_u64("fail_nth", 0);

	if (n) {
		pr_info("mm: allocation number %llu will fail\n", n);
		fail_nth_arm(NULL, n);
	}
}
