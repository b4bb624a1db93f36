/*
 * Mutexes, slow paths (kernel/mutex.h).
 *
 * owner is the holding thread, with bit 0 "somebody queues" (FLAG). States: 0 free; T held; T|FLAG held
 * and waited for; FLAG free but waited for: only slow paths may take it then. Changes of FLAG and of the
 * queue happen under wait.lock; the fast paths compare against exact values and so fall into the slow
 * path whenever FLAG is up.
 *
 * A contender first spins while the owner runs on another CPU (it will let go soon), then queues. Unlock
 * with waiters sets "free but waited for" and wakes the first one; a spinning contender may take the
 * mutex before it (no idle gap: throughput), but a waiter that was passed once asks for the mutex to
 * be handed over to it (no starvation).
 *
 * The mutex may lie in an object that its last user frees: unlock touches it after the release only
 * under wait.lock, which every later owner out of the queue takes too.
 */
#include <kernel/mutex.h>
#include <lib/assert.h>

#define FLAG 1ull
#define WANTS_HANDOVER ((void *)1)

void (mutex_init)(struct mutex *m)
{
	m->owner = 0;
	init_wait_queue(&m->wait);
}

static struct thread *owner_of(u64 v)
{
	return (struct thread *)(v & ~FLAG);
}

/* Spins while it makes sense. True when the mutex was taken. */
static bool spin_on_owner(struct mutex *m)
{
	u64 me = (u64)current_thread();
	bool taken = false;

	preempt_disable(); /* a thread's memory outlives a stretch without preemption (RCU) */
	while (!need_resched()) {
		u64 v = READ_ONCE(m->owner);

		if (!owner_of(v)) {
			taken = __atomic_compare_exchange_n(&m->owner, &v, me | v, 0, __ATOMIC_ACQUIRE,
							    __ATOMIC_RELAXED);
			if (taken)
				break;
		} else if (!thread_on_cpu(owner_of(v))) {
			break;
		}
		spin_poll();
	}
	preempt_enable();
	return taken;
}

/* Takes the mutex for the queued @w or raises FLAG. => wait.lock held */
static bool take_queued(struct mutex *m, struct wait_entry *w)
{
	u64 me = (u64)w->thread;
	u64 v = READ_ONCE(m->owner);

	for (;;) {
		u64 new;
		bool free = !owner_of(v);

		if (owner_of(v) == w->thread)
			return true; /* handed over, and unlinked */
		if (!free && (v & FLAG))
			return false;
		if (!free)
			new = v | FLAG;
		else
			new = me | (list_is_singular(&m->wait.head) ? 0 : FLAG);
		if (!__atomic_compare_exchange_n(&m->owner, &v, new, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		if (free)
			list_del_init(&w->link);
		return free;
	}
}

static bool interrupted(unsigned state)
{
	if (state & TASK_WAKEKILL)
		return fatal_signal_pending_current();
	return (state & TASK_INTERRUPTIBLE) && signal_pending_current();
}

static int lock_slow(struct mutex *m, unsigned state)
{
	struct wait_entry w = { .link = LIST_HEAD_INIT(w.link), .thread = current_thread() };
	int err = 0;

	lock_contended(m->class);
	ASSERT(owner_of(m->owner) != w.thread);
	if (spin_on_owner(m))
		return 0;
	spin_lock(&m->wait.lock);
	list_add_tail(&w.link, &m->wait.head);
	for (;;) {
		set_current_state(state);
		if (take_queued(m, &w))
			break;
		if (interrupted(state)) {
			err = -EINTR;
			list_del(&w.link);
			if (list_empty(&m->wait.head))
				__atomic_fetch_and(&m->owner, ~FLAG, __ATOMIC_RELEASE);
			break;
		}
		spin_unlock(&m->wait.lock);
		schedule();
		spin_lock(&m->wait.lock);
		w.private = WANTS_HANDOVER;
	}
	set_current_state(TASK_RUNNING);
	/* Left a free mutex to the others: the wake-up we may have consumed goes on to the next one. */
	if (err && m->owner == FLAG)
		wake_thread(list_first_entry(&m->wait.head, struct wait_entry, link)->thread,
			    TASK_NORMAL | TASK_WAKEKILL, 0);
	spin_unlock(&m->wait.lock);
	return err;
}

void mutex_lock_slow(struct mutex *m)
{
	(void)lock_slow(m, TASK_UNINTERRUPTIBLE);
}

static int lock_or_interrupted(struct mutex *m, unsigned state)
{
	int err;

	might_sleep();
	lock_acquire(m, &m->class, LOCK_SLEEPS);
	err = __mutex_try(m) ? 0 : lock_slow(m, state);
	if (err)
		lock_release(m, LOCK_SLEEPS);
	return err;
}

int mutex_lock_interruptible(struct mutex *m)
{
	return lock_or_interrupted(m, TASK_INTERRUPTIBLE);
}

void mutex_unlock_slow(struct mutex *m)
{
	struct wait_entry *first;

	spin_lock(&m->wait.lock);
	ASSERT(owner_of(m->owner) == current_thread());
	if (list_empty(&m->wait.head)) { /* the only waiter gave up after our fast path failed */
		__atomic_store_n(&m->owner, 0, __ATOMIC_RELEASE);
		spin_unlock(&m->wait.lock);
		return;
	}
	first = list_first_entry(&m->wait.head, struct wait_entry, link);
	if (first->private == WANTS_HANDOVER) {
		u64 more = list_is_singular(&m->wait.head) ? 0 : FLAG;

		list_del_init(&first->link);
		__atomic_store_n(&m->owner, (u64)first->thread | more, __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&m->owner, FLAG, __ATOMIC_RELEASE);
	}
	wake_thread(first->thread, TASK_NORMAL | TASK_WAKEKILL, 0);
	spin_unlock(&m->wait.lock);
}
