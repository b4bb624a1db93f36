/* Futexes: waiting on a user word. kernel/proc/futex*.c; the decode half is kernel/sys/futex.c. */
#ifndef PROC_FUTEX_H
#define PROC_FUTEX_H

#include <mm/mm.h>
#include <proc/impl.h>

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define FUTEX_BITSET_ANY 0xffffffffu

struct pi_state;
struct futex_bucket {
	spinlock_t lock;
	struct list_head waiters; /* (lock) struct futex_q */
} __aligned(64);

/* A sleeper, on its own kernel stack. Taken off by a waker (lock of the bucket it is in); bucket NULL: woken. */
struct futex_q {
	struct list_head link;
	struct mem_key key; /* (bucket lock) */
	struct futex_bucket *bucket; /* (its lock; NULL once off the queue) */
	struct thread *thread;
	struct pi_state *pi; /* PI waiters */
	struct list_head pi_link; /* (pi_lock) in pi->waiters until granted */
	const struct mem_key *requeue_pi_key; /* WAIT_REQUEUE_PI: where it may be moved */
	bool pi_granted; /* the lock was handed to it */
	u32 bitset;
	s32 prio;
};

int futex_key(u64 uaddr, bool shared, struct mem_key *k); /* of the running process; EINVAL, EFAULT; may sleep */
static inline bool futex_key_eq(const struct mem_key *x, const struct mem_key *y)
{
	return x->a == y->a && x->b == y->b && x->off == y->off;
}
struct futex_bucket *futex_bucket(const struct mem_key *k); /* where those who wait at that word stand */
void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b); /* in address order; a may be b */
void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b);
/* Reads a user word under a bucket lock, without sleeping. -EFAULT: fault it in with futex_fault_in and try again. */
int futex_peek(u32 *v, u64 uaddr);
int futex_fault_in(u64 uaddr, bool write); /* 0 or -EFAULT; may sleep */
int futex_cmpxchg(u64 uaddr, u32 expect, u32 new, u32 *seen); /* as futex_peek */
void futex_enqueue(struct futex_q *q, struct futex_bucket *b); /* => b->lock */
void futex_wake_q(struct futex_q *q); /* => its bucket's lock; q is gone afterwards */

/* deadline U64_MAX: none; real: the deadline is of CLOCK_REALTIME (ns) */
struct futex_timeout { u64 ns; bool set, real; };
u64 futex_deadline(const struct futex_timeout *t); /* on the monotonic clock; ~0: none */
/* 0, -EAGAIN: the word is not val, -ETIMEDOUT, -ERESTARTSYS or -ERESTART_RESTARTBLOCK, -EFAULT. => sleeps */
long futex_wait(u64 uaddr, bool shared, u32 val, u32 bitset, const struct futex_timeout *to);
long futex_wake_user(u64 uaddr, bool shared, int nr, u32 bitset); /* of the running process' word: how many were woken */
/* Woken and moved; *expect (may be NULL) is what from must hold, else -EAGAIN. */
long futex_requeue(u64 from, u64 to, bool shared, int nr_wake, int nr_requeue, const u32 *expect);
/* Changes the second word, wakes at the first, and at the second if its old value compares. */
long futex_wake_op(u64 uaddr, u64 uaddr2, bool shared, int nr, int nr2, u32 op);
struct futex_waitv_k { u64 val, uaddr; bool shared; };
long futex_wait_many(struct futex_waitv_k *v, unsigned n, const struct futex_timeout *to);
long futex_lock_pi(u64 uaddr, bool shared, const struct futex_timeout *to, bool try);
long futex_unlock_pi(u64 uaddr, bool shared); /* hands over to the first in line. 0, -EPERM: not the owner */
long futex_wait_requeue_pi(u64 uaddr, u64 uaddr2, bool shared, u32 val, u32 bitset, const struct futex_timeout *to);
long futex_cmp_requeue_pi(u64 from, u64 to, bool shared, int nr_wake, int nr_requeue, const u32 *expect);
void futex_pi_owner_exit(struct task *t);
void futex_pi_priority_changed(struct task *t); /* its own priority: places in lines for PI locks, and their owners' */
u64 futex_pi_check(struct task *t); /* checker: its PI locks, their lines, what is lent; how many do not fit */
/* Parts of waiting that requeueing shares. init: @q is current's. setup: queues and checks the word; 0: queued, state is
 * INTERRUPTIBLE; -EAGAIN: changed; -EFAULT, -EINVAL */
void futex_q_init(struct futex_q *q, u32 bitset);
int futex_wait_setup(struct futex_q *q, u64 uaddr, bool shared, u32 val);
void futex_move(struct futex_q *q, struct futex_bucket *to, const struct mem_key *k); /* => both bucket locks */
struct futex_bucket *futex_q_lock(struct futex_q *q); /* the bucket it is in, locked; NULL: it was woken */

#endif
