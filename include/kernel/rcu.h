/*
 * Read-copy-update by quiescent states.
 *
 * A read-side section is a stretch with preemption off; a context switch, idle, or return to user
 * mode is a quiescent state. A grace period ends when every online CPU has passed one. Callbacks run
 * in thread context (a kernel thread), so they may free memory and take sleeping locks' fast paths.
 */
#ifndef KERNEL_RCU_H
#define KERNEL_RCU_H

#include <kernel/preempt.h>
#include <lib/types.h>

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *);
};
#define rcu_read_lock() preempt_disable()
#define rcu_read_unlock() preempt_enable()
#define rcu_dereference(p) READ_POINTER(p)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

/* Runs @func(@head) after a grace period. => any context; never fails. */
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *));
/* kfree(ptr) after a grace period; @off is the offset of the rcu_head in the object. */
void kfree_rcu_at(struct rcu_head *head, size_t off);
#define kfree_rcu(ptr, member) kfree_rcu_at(&(ptr)->member, offsetof(__typeof__(*(ptr)), member))
void synchronize_rcu(void); /* => may sleep */
void rcu_barrier(void); /* waits for all callbacks queued so far; may sleep */
/* Called by schedule() and by ticks that interrupt user mode: one instruction. */
DECLARE_PER_CPU(u64, rcu_qs);
static inline void rcu_note_context_switch(void)
{
#if __has_feature(thread_sanitizer) /* it does not see GS */
	__atomic_fetch_add(this_cpu_ptr(&rcu_qs), 1, __ATOMIC_RELEASE);
#else
	this_cpu_inc(rcu_qs);
#endif
}
void rcu_init(void); /* after kernel threads work */

#endif
