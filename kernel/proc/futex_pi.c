/*
 * PI futexes: locks whose word holds the owner's thread number, handed over by the kernel from the
 * owner to the waiter of highest priority (futex(2), "Priority-inheritance futexes"). The owner is
 * not boosted; everything else, the hand-over, death of the owner, deadlock with oneself, is done.
 *
 * struct pi_state stands for one contended lock: made by its first waiter, shared by all of them,
 * listed at its owner so that the owner's death reaches the waiters. It lives as long as somebody
 * waits. A waiter that was granted the lock stays queued until it has seen so itself; who comes
 * meanwhile joins behind it and need not trust the word.
 *
 * The word is written by the unlocking owner (new owner's number and FUTEX_WAITERS); only when the
 * owner died does the new one write it, adding FUTEX_OWNER_DIED.
 *
 * Locks: bucket lock -> pi_lock (owner, owner's list, refs).
 */
#include <lib/assert.h>
#include <lib/err.h>
#include <mm/slab.h>
#include <proc/futex.h>
#include <x86/uaccess.h>

struct pi_state {
	struct list_head link; /* (pi_lock) owner->pi_state */
	struct task *owner; /* (pi_lock) NULL: died, being handed over */
	struct mem_key key; /* (I) */
	s32 refs; /* (pi_lock) waiters, and a dying owner at work */
};
static DEFINE_SPINLOCK(pi_lock);
#define OWNER_GONE ((void *)1) /* task->futex_wait: its list is closed */

static void pi_put(struct pi_state *pi)
{
	spin_lock(&pi_lock);
	bool last = --pi->refs == 0;
	if (last && pi->owner)
		list_del(&pi->link);
	spin_unlock(&pi_lock);
	if (last)
		kfree(pi);
}

/* False when @owner does not take locks any more. */
static bool pi_set_owner(struct pi_state *pi, struct task *owner)
{
	bool ok;

	spin_lock(&pi_lock);
	if (pi->owner)
		list_del(&pi->link);
	list_add(&pi->link, &owner->pi_state);
	smp_mb(); /* pairs with futex_pi_owner_exit: it sees the list or we see the mark */
	ok = READ_ONCE(owner->futex_wait) != OWNER_GONE;
	if (!ok)
		list_del(&pi->link);
	pi->owner = ok ? owner : NULL;
	spin_unlock(&pi_lock);
	return ok;
}

/* First queued PI waiter of the key. => b->lock */
static struct futex_q *pi_waiter(struct futex_bucket *b, const struct mem_key *k, bool not_granted)
{
	struct futex_q *q;

	list_for_each_entry(q, &b->waiters, link)
		if (q->pi && futex_key_eq(&q->key, k) && !(not_granted && q->pi_granted))
			return q;
	return NULL;
}

/* One exchange under the bucket lock. 1: done, 0: the word changed, look again; -EFAULT: fault it in. */
static int exchange(u64 uaddr, u32 old, u32 new)
{
	u32 seen;
	int err = futex_cmpxchg(uaddr, old, new, &seen);

	return err ? err : seen == old;
}

/* The owner a word names, referenced. ERR_PTR: -ESRCH gone, -EAGAIN on its way, -EPERM */
static struct task *word_owner(u32 v)
{
	struct task *t = task_find_get(v & FUTEX_TID_MASK);

	if (!t)
		return ERR_PTR(-ESRCH);
	int err = t->flags & PF_KTHREAD ? -EPERM : t->futex_wait == OWNER_GONE ? -ESRCH :
		  t->flags & PF_EXITING ? -EAGAIN : 0;
	if (!err)
		return t;
	task_put(t);
	return ERR_PTR(err);
}

/*
 * One try to take the lock or to get in line, under b->lock. 1: taken; 0: queued on q; -EFAULT: fault in;
 * -EBUSY: look again at once; -EAGAIN: try-lock failed or wait for the owner's exit; others are results.
 */
static int take_or_queue(u64 uaddr, struct futex_q *q, struct futex_bucket *b, struct pi_state *fresh, bool try)
{
	u32 v, me = (u32)current->pid;
	struct futex_q *top;
	struct task *owner;
	int r = futex_peek(&v, uaddr);

	if (r)
		return r;
	if ((v & FUTEX_TID_MASK) == me)
		return -EDEADLK;
	top = pi_waiter(b, &q->key, false);
	if (!top && !(v & FUTEX_TID_MASK)) {
		r = exchange(uaddr, v, me | (v & FUTEX_OWNER_DIED));
		return r == 0 ? -EBUSY : r;
	}
	if (try)
		return -EWOULDBLOCK;
	if (!(v & FUTEX_WAITERS)) {
		r = exchange(uaddr, v, v | FUTEX_WAITERS);
		if (r <= 0)
			return r ?: -EBUSY;
	}
	if (top) {
		spin_lock(&pi_lock);
		top->pi->refs++;
		spin_unlock(&pi_lock);
		q->pi = top->pi;
	} else {
		owner = word_owner(v);
		if (IS_ERR(owner))
			return PTR_ERR(owner);
		fresh->key = q->key;
		fresh->refs = 1;
		fresh->owner = NULL;
		bool ok = pi_set_owner(fresh, owner);
		task_put(owner);
		if (!ok)
			return -EAGAIN;
		q->pi = fresh;
	}
	futex_enqueue(q, b);
	WRITE_ONCE(current->thread.state, TASK_INTERRUPTIBLE);
	return 0;
}

/* The dead owner's word becomes ours. => b->lock held at entry and exit */
static void take_from_dead(u64 uaddr, struct futex_bucket *b, bool more)
{
	u32 v, me = (u32)current->pid | FUTEX_OWNER_DIED | (more ? FUTEX_WAITERS : 0);
	int r;

	for (;;) {
		r = futex_peek(&v, uaddr);
		if (!r)
			r = exchange(uaddr, v, me);
		if (r > 0)
			return;
		if (r < 0) {
			spin_unlock(&b->lock);
			r = futex_fault_in(uaddr, true);
			spin_lock(&b->lock);
			if (r)
				return; /* the memory is gone, and the lock with it */
		}
	}
}

/* After sleeping: granted, or not. */
static int finish(u64 uaddr, struct futex_q *q, struct futex_bucket *b, bool late)
{
	struct pi_state *pi = q->pi;
	u32 v;
	int r;

	spin_lock(&b->lock);
	bool granted = q->pi_granted;
	list_del(&q->link);
	q->bucket = NULL;
	if (granted) {
		bool more = pi_waiter(b, &q->key, false) != NULL;
		if (!futex_peek(&v, uaddr) && (v & FUTEX_TID_MASK) != (u32)current->pid)
			take_from_dead(uaddr, b, more);
		r = 0;
	} else {
		r = late ? -ETIMEDOUT : -ERESTARTNOINTR;
	}
	spin_unlock(&b->lock);
	pi_put(pi);
	return r;
}

static bool pi_sleep(struct futex_q *q, u64 deadline)
{
	bool late = false;

	while (!READ_ONCE(q->pi_granted) && !signal_pending_current() && !late) {
		late = schedule_until(deadline);
		WRITE_ONCE(current->thread.state, TASK_INTERRUPTIBLE);
		smp_mb();
	}
	WRITE_ONCE(current->thread.state, TASK_RUNNING);
	return late;
}

static long lock_once(u64 uaddr, bool shared, const struct futex_timeout *to, bool try, struct pi_state *fresh,
		      bool *used)
{
	struct futex_q q = { .thread = &current->thread, .prio = current->thread.rt_priority };
	struct futex_bucket *b;
	int r = futex_key(uaddr, shared, &q.key);

	if (r)
		return r;
	b = futex_bucket(&q.key);
	spin_lock(&b->lock);
	do
		r = take_or_queue(uaddr, &q, b, fresh, try);
	while (r == -EBUSY);
	spin_unlock(&b->lock);
	if (r)
		return r;
	*used = q.pi == fresh;
	bool late = pi_sleep(&q, futex_deadline(to));
	return finish(uaddr, &q, b, late);
}

long futex_lock_pi(u64 uaddr, bool shared, const struct futex_timeout *to, bool try)
{
	struct pi_state *fresh = NULL;
	bool used = false;
	long r;

	for (;;) {
		if (!fresh)
			fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return -ENOMEM;
		r = lock_once(uaddr, shared, to, try, fresh, &used);
		if (used)
			fresh = NULL;
		used = false;
		if (r == -EFAULT) {
			if (!futex_fault_in(uaddr, true))
				continue;
		} else if (r == -EAGAIN && !try) { /* the owner is exiting: let it */
			set_current_state(TASK_INTERRUPTIBLE);
			schedule_until(ktime_ns() + NSEC_PER_MSEC);
			if (!signal_pending_current())
				continue;
			r = -ERESTARTNOINTR;
		}
		break;
	}
	kfree(fresh);
	return r > 0 ? 0 : r;
}

/* => b->lock; @q stays queued until its thread has noticed */
static void grant(struct futex_q *q, struct task *to)
{
	pi_set_owner(q->pi, to);
	q->pi_granted = true;
	wake_thread(q->thread, TASK_NORMAL, 0);
}

long futex_unlock_pi(u64 uaddr, bool shared)
{
	u32 v, me = (u32)current->pid;
	struct futex_bucket *b;
	struct mem_key k;
	struct futex_q *q;
	int r = futex_key(uaddr, shared, &k);

	if (r)
		return r;
	b = futex_bucket(&k);
	for (;;) {
		if (get_user(v, (u32 __user *)uaddr))
			return -EFAULT;
		if ((v & FUTEX_TID_MASK) != me)
			return -EPERM;
		spin_lock(&b->lock);
		q = pi_waiter(b, &k, true);
		r = exchange(uaddr, v, q ? (u32)task_of(q->thread)->pid | FUTEX_WAITERS : 0);
		if (r > 0 && q)
			grant(q, task_of(q->thread));
		spin_unlock(&b->lock);
		if (r > 0)
			return 0;
		if (r < 0 && futex_fault_in(uaddr, true))
			return -EFAULT;
	}
}

/* Moving waiters of a plain futex to a PI lock is not offered: callers fall back to waking them all. */
long futex_wait_requeue_pi(u64 uaddr, u64 uaddr2, bool shared, u32 val, u32 bitset, const struct futex_timeout *to)
{
	return -ENOSYS;
}

long futex_cmp_requeue_pi(u64 from, u64 to, bool shared, int nr_wake, int nr_requeue, const u32 *expect)
{
	return -ENOSYS;
}

/* Closes the list, then hands each lock to its first waiter. */
void futex_pi_owner_exit(struct task *t)
{
	struct pi_state *pi;
	struct futex_bucket *b;
	struct futex_q *q;

	WRITE_ONCE(t->futex_wait, OWNER_GONE);
	smp_mb();
	if (likely(list_empty(&t->pi_state)))
		return; /* no lock at all: every exit comes here */
	for (;;) {
		spin_lock(&pi_lock);
		pi = list_empty(&t->pi_state) ? NULL : list_first_entry(&t->pi_state, struct pi_state, link);
		if (pi)
			pi->refs++;
		spin_unlock(&pi_lock);
		if (!pi)
			return;
		b = futex_bucket(&pi->key);
		spin_lock(&b->lock);
		q = pi_waiter(b, &pi->key, true);
		if (q && pi->owner == t) {
			grant(q, task_of(q->thread));
		} else if (pi->owner == t) {
			spin_lock(&pi_lock);
			list_del(&pi->link);
			pi->owner = NULL;
			spin_unlock(&pi_lock);
		}
		spin_unlock(&b->lock);
		pi_put(pi);
	}
}
