/* What futex_pi.c (PI locks) lends to futex_requeue.c (moving waiters to one). Nobody else includes this. */
#ifndef PROC_FUTEX_PI_H
#define PROC_FUTEX_PI_H

#include <proc/futex.h>

/* One contended lock: made by its first waiter, shared by all of them. */
struct pi_state {
	struct list_head link; /* (pi_lock) owner->pi_state */
	struct task *owner; /* (pi_lock) NULL: died, being handed over */
	struct list_head waiters; /* (pi_lock) struct futex_q not yet granted, by falling priority */
	struct mem_key key; /* (I) */
	s32 refs; /* (pi_lock) waiters, and a dying owner at work */
};

/* A PI lock somebody wants: where it is, under whose bucket lock all this happens. */
struct pi_lock_at { u64 uaddr; const struct mem_key *key; struct futex_bucket *b; };

/*
 * One try to take the lock for q's thread, or to get it in line, from where it lends its priority along the chain of owners. 1: taken,
 * with FUTEX_WAITERS when @waiters; 0: in line, q->pi is @fresh when nobody waited yet; the caller queues q in l->b. -EFAULT:
 * fault it in; -EAGAIN: let the owner exit; with @try the same number: it is held; others are results. => l->b->lock
 */
int pi_take_or_line_up(const struct pi_lock_at *l, struct futex_q *q, struct pi_state *fresh, bool waiters, bool try);
/* Until granted, woken otherwise, a signal, or the time is over (true). => state INTERRUPTIBLE */
bool pi_sleep(struct futex_q *q, u64 deadline);
/* After pi_sleep, for a q in line: 0 the lock is ours, -ETIMEDOUT, or -ERESTARTNOINTR for a signal. */
int pi_finish(u64 uaddr, struct futex_q *q, bool late);
/* The owner is on its way out: gives it a moment. 0, or -ERESTARTNOINTR */
int pi_wait_for_exit(void);

#endif
