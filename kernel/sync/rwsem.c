/*
 * Reader-writer semaphores, slow paths (kernel/mutex.h).
 *
 * count = readers + RWSEM_WRITER when held for writing + RWSEM_WAITERS when the queue is not empty. The
 * fast paths fail while RWSEM_WAITERS is up, so new readers do not pass a waiting writer. The queue is
 * strictly first come, first served: the semaphore is granted to the entries at its head, by whoever
 * changes the queue or releases the semaphore (grant), and the sleeper finds it granted. Granting moves
 * the count for the sleeper, so there is no moment at which a third thread could slip in.
 *
 * A contender polls for a while before it queues, and only while nobody else queues: most holders let go sooner than
 * a switch takes. Without that, one meeting of two starts a convoy: each holder finds somebody asleep to grant to,
 * who is not there to let go before the next one arrives and goes to sleep too.
 *
 * RWSEM_WAITERS changes only under wait.lock. A release that happens before the bit is up does not look
 * at the queue: therefore each new waiter calls grant itself after raising the bit.
 */
#include <kernel/cpumask.h>
#include <kernel/mutex.h>
#include <lib/assert.h>

struct rwsem_waiter {
	struct list_head link; /* (wait.lock) */
	struct thread *thread;
	bool writer;
	u32 granted; /* (a) set last by the granter; the waiter's stack may be gone after it */
};

void (init_rwsem)(struct rw_semaphore *s)
{
	s->count = 0;
	s->owner = NULL;
	init_wait_queue(&s->wait);
}

/* Grants to the head of the queue as far as possible. => wait.lock held */
static void grant(struct rw_semaphore *s)
{
	s64 v = READ_ONCE(s->count);

	while (!list_empty(&s->wait.head)) {
		struct rwsem_waiter *w = list_first_entry(&s->wait.head, struct rwsem_waiter, link);
		struct thread *t = w->thread;

		if (w->writer ? (v & ~RWSEM_WAITERS) != 0 : (v & RWSEM_WRITER) != 0)
			return;
		if (!__atomic_compare_exchange_n(&s->count, &v, v + (w->writer ? RWSEM_WRITER : 1), 0,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		list_del(&w->link);
		smp_store_release(&w->granted, 1);
		wake_thread(t, TASK_NORMAL | TASK_WAKEKILL, 0); /* t lives: preemption is off (RCU) */
		v = READ_ONCE(s->count);
	}
	__atomic_fetch_and(&s->count, ~RWSEM_WAITERS, __ATOMIC_RELAXED);
}

void rwsem_wake(struct rw_semaphore *s)
{
	spin_lock(&s->wait.lock);
	grant(s);
	spin_unlock(&s->wait.lock);
}

/* The killed waiter leaves the queue unless it was granted meanwhile. True when it left. */
static bool give_up(struct rw_semaphore *s, struct rwsem_waiter *w)
{
	bool left;

	spin_lock(&s->wait.lock);
	left = !w->granted;
	if (left) {
		list_del(&w->link);
		grant(s); /* readers behind a departing writer */
	}
	spin_unlock(&s->wait.lock);
	return left;
}

/* True when the semaphore was taken. */
static bool poll_for(struct rw_semaphore *s, bool writer)
{
	enum { POLLS = 200 }; /* about the time of two switches */

	if (nr_cpus == 1)
		return false;
	for (int i = 0; i < POLLS && !need_resched() && READ_ONCE(s->count) < RWSEM_WAITERS; i++) {
		if (writer ? __rwsem_try_write(s) : __rwsem_try_read(s))
			return true;
		spin_poll();
	}
	return false;
}

static int down_slow(struct rw_semaphore *s, bool writer, unsigned state)
{
	struct rwsem_waiter w = { .thread = current_thread(), .writer = writer };
	int err = 0;

	lock_contended(s->class);
	if (poll_for(s, writer))
		return 0;
	spin_lock(&s->wait.lock);
	list_add_tail(&w.link, &s->wait.head);
	__atomic_fetch_or(&s->count, RWSEM_WAITERS, __ATOMIC_RELAXED);
	grant(s);
	spin_unlock(&s->wait.lock);
	for (;;) {
		set_current_state(state);
		if (smp_load_acquire(&w.granted))
			break;
		if ((state & TASK_WAKEKILL) && fatal_signal_pending_current() && give_up(s, &w)) {
			err = -EINTR;
			break;
		}
		schedule();
	}
	set_current_state(TASK_RUNNING);
	return err;
}

void down_read_slow(struct rw_semaphore *s)
{
	/* Losing a race against another reader is not contention: try again before queueing. */
	while (READ_ONCE(s->count) < RWSEM_WRITER)
		if (__rwsem_try_read(s))
			return;
	(void)down_slow(s, false, TASK_UNINTERRUPTIBLE);
}

void down_write_slow(struct rw_semaphore *s)
{
	(void)down_slow(s, true, TASK_UNINTERRUPTIBLE);
}

void downgrade_write(struct rw_semaphore *s)
{
	s64 v;

	lock_downgrade(s);
	v = __atomic_add_fetch(&s->count, 1 - RWSEM_WRITER, __ATOMIC_ACQ_REL);
	ASSERT(!(v & RWSEM_WRITER));
	if (v >= RWSEM_WAITERS)
		rwsem_wake(s);
}
