/*
 * PI futexes: locks whose word holds the owner's thread number, handed over by the kernel from the
 * owner to the waiter of highest priority (futex(2), "Priority-inheritance futexes").
 *
 * struct pi_state stands for one contended lock: made by its first waiter, shared by all of them,
 * listed at its owner so that the owner's death reaches the waiters. It lives as long as somebody
 * waits. A waiter that was granted the lock stays queued until it has seen so itself; who comes
 * meanwhile joins behind it and need not trust the word.
 *
 * Inheritance: an owner runs at the highest real-time priority among those in line for any of its locks (sched_boost), and a
 * waiter's place in line follows the priority it runs at, so what is lent goes on along the chain waiter -> lock -> owner -> lock
 * it waits for. pi_adjust walks that chain. Chains have no cycles: whoever would close one is refused (EDEADLK). One lock
 * for all chains is enough: only contended PI locks come here.
 *
 * The word is written by the unlocking owner (new owner's number and FUTEX_WAITERS); only when the
 * owner died does the new one write it, adding FUTEX_OWNER_DIED.
 *
 * Locks: bucket lock -> pi_lock (owners, lines, references) -> run queue lock.
 */
#include <lib/assert.h>
#include <lib/err.h>
#include <mm/slab.h>
#include <proc/futex_pi.h>
#include <x86/uaccess.h>

static DEFINE_SPINLOCK(pi_lock);
#define OWNER_GONE ((void *)1) /* task->futex_wait: its list is closed */

/* ---- lines and what they lend; => pi_lock ---- */

static void line_up(struct futex_q *q)
{
	struct list_head *at = &q->pi->waiters;
	struct futex_q *o;

	list_for_each_entry(o, &q->pi->waiters, pi_link)
		if (o->prio < q->prio) {
			at = &o->pi_link;
			break;
		}
	list_add_tail(&q->pi_link, at);
}

static int lent_to(struct task *t)
{
	struct pi_state *pi;
	int prio = 0;

	list_for_each_entry(pi, &t->pi_state, link)
		if (!list_empty(&pi->waiters))
			prio = max(prio, list_first_entry(&pi->waiters, struct futex_q, pi_link)->prio);
	return prio;
}

/* Something changed in the lines for t's locks, or about t: its priority, its own place in line, and so on along the chain. */
static void pi_adjust(struct task *t)
{
	while (t) {
		struct futex_q *q = t->pi_wait;

		sched_boost(&t->thread, lent_to(t));
		if (!q || q->prio == sched_rt_prio(&t->thread))
			return;
		q->prio = sched_rt_prio(&t->thread);
		list_del(&q->pi_link);
		line_up(q);
		t = q->pi->owner;
	}
}

static bool would_deadlock(struct task *owner, struct task *who)
{
	while (owner && owner != who)
		owner = owner->pi_wait ? owner->pi_wait->pi->owner : NULL;
	return owner != NULL;
}

static void leave_line(struct futex_q *q, struct task *who)
{
	if (who->pi_wait == q) {
		list_del(&q->pi_link);
		who->pi_wait = NULL;
	}
}

static void enter_line(struct futex_q *q, struct task *who, struct pi_state *pi)
{
	q->pi = pi;
	q->prio = sched_rt_prio(&who->thread);
	who->pi_wait = q;
	line_up(q);
	pi_adjust(pi->owner);
}

void futex_pi_priority_changed(struct task *t)
{
	spin_lock(&pi_lock);
	pi_adjust(t);
	spin_unlock(&pi_lock);
}

u64 futex_pi_check(struct task *t)
{
	struct pi_state *pi;
	struct futex_q *q;
	u64 bad = 0;

	spin_lock(&pi_lock);
	if (t->thread.rt_boost != lent_to(t) || (t->pi_wait && t->pi_wait->prio != sched_rt_prio(&t->thread)))
		bad++;
	list_for_each_entry(pi, &t->pi_state, link) {
		s32 above = S32_MAX;

		bad += pi->owner != t || pi->refs <= 0;
		list_for_each_entry(q, &pi->waiters, pi_link) {
			bad += q->pi != pi || q->prio > above || task_of(q->thread)->pi_wait != q;
			above = q->prio;
		}
	}
	spin_unlock(&pi_lock);
	return bad;
}

/* ---- owners ---- */

static void pi_put(struct pi_state *pi)
{
	spin_lock(&pi_lock);
	bool last = --pi->refs == 0;
	if (pi->owner) {
		if (last)
			list_del(&pi->link);
		pi_adjust(pi->owner);
	}
	spin_unlock(&pi_lock);
	if (last)
		kfree(pi);
}

/* False when @owner does not take locks any more. => pi_lock */
static bool pi_set_owner(struct pi_state *pi, struct task *owner)
{
	struct task *old = pi->owner;
	bool ok;

	if (old)
		list_del(&pi->link);
	list_add(&pi->link, &owner->pi_state);
	smp_mb(); /* pairs with futex_pi_owner_exit: it sees the list or we see the mark */
	ok = READ_ONCE(owner->futex_wait) != OWNER_GONE;
	if (!ok)
		list_del(&pi->link);
	pi->owner = ok ? owner : NULL;
	pi_adjust(old);
	pi_adjust(pi->owner);
	return ok;
}

/* Any queued PI waiter of the key, granted ones too: they know the state. => b->lock */
static struct futex_q *pi_waiter(struct futex_bucket *b, const struct mem_key *k)
{
	struct futex_q *q;

	list_for_each_entry(q, &b->waiters, link)
		if (q->pi && futex_key_eq(&q->key, k))
			return q;
	return NULL;
}

/* Whose turn it is. => the bucket lock, under which lines only lose and gain; pi_lock for the order */
static struct futex_q *pi_next(struct pi_state *pi)
{
	return list_empty(&pi->waiters) ? NULL : list_first_entry(&pi->waiters, struct futex_q, pi_link);
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
 * q gets in line: for @pi, or for @fresh with @owner when nobody waited yet. Looking for a cycle and closing a link of the chain are
 * one step, or two threads that want each other's lock would both get in. -EDEADLK, -EAGAIN: the owner takes no locks any more.
 */
static int get_in_line(struct futex_q *q, struct pi_state *pi, struct pi_state *fresh, struct task *owner)
{
	struct task *who = task_of(q->thread);
	int err = 0;

	spin_lock(&pi_lock);
	if (would_deadlock(pi ? pi->owner : owner, who))
		err = -EDEADLK;
	else if (!pi && !pi_set_owner(fresh, owner))
		err = -EAGAIN;
	if (!err) {
		pi = pi ?: fresh;
		pi->refs++;
		enter_line(q, who, pi);
	}
	spin_unlock(&pi_lock);
	return err;
}

static int line_up_behind(u32 v, struct futex_q *q, struct pi_state *fresh, const struct mem_key *key)
{
	struct task *owner = word_owner(v);

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	*fresh = (struct pi_state){ .key = *key };
	INIT_LIST_HEAD(&fresh->waiters);
	int err = get_in_line(q, NULL, fresh, owner);
	task_put(owner);
	return err;
}

/* As pi_take_or_line_up; -EBUSY: the word changed, look again. */
static int try_once(const struct pi_lock_at *l, struct futex_q *q, struct pi_state *fresh, bool waiters, bool try)
{
	u32 v, tid = (u32)task_of(q->thread)->pid;
	struct futex_q *other;
	int r = futex_peek(&v, l->uaddr);

	if (r)
		return r;
	if ((v & FUTEX_TID_MASK) == tid)
		return -EDEADLK;
	other = pi_waiter(l->b, l->key);
	if (!other && !(v & FUTEX_TID_MASK)) {
		r = exchange(l->uaddr, v, tid | (v & FUTEX_OWNER_DIED) | (waiters ? FUTEX_WAITERS : 0));
		return r ?: -EBUSY;
	}
	if (try)
		return -EWOULDBLOCK;
	if (!(v & FUTEX_WAITERS)) {
		r = exchange(l->uaddr, v, v | FUTEX_WAITERS);
		if (r <= 0)
			return r ?: -EBUSY;
	}
	return other ? get_in_line(q, other->pi, NULL, NULL) : line_up_behind(v, q, fresh, l->key);
}

int pi_take_or_line_up(const struct pi_lock_at *l, struct futex_q *q, struct pi_state *fresh, bool waiters, bool try)
{
	int r;

	do
		r = try_once(l, q, fresh, waiters, try);
	while (r == -EBUSY);
	return r;
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

int pi_finish(u64 uaddr, struct futex_q *q, bool late)
{
	struct futex_bucket *b = q->bucket; /* in line it is not moved any more */
	u32 v;
	int r = 0;

	spin_lock(&b->lock);
	bool granted = q->pi_granted;
	list_del(&q->link);
	q->bucket = NULL;
	if (granted) {
		bool more = pi_waiter(b, &q->key) != NULL;
		if (!futex_peek(&v, uaddr) && (v & FUTEX_TID_MASK) != (u32)current->pid)
			take_from_dead(uaddr, b, more);
	} else {
		spin_lock(&pi_lock);
		leave_line(q, current);
		spin_unlock(&pi_lock);
		r = late ? -ETIMEDOUT : -ERESTARTNOINTR;
	}
	spin_unlock(&b->lock);
	pi_put(q->pi);
	return r;
}

bool pi_sleep(struct futex_q *q, u64 deadline)
{
	bool late = false;

	while (!READ_ONCE(q->pi_granted) && READ_ONCE(q->bucket) && !signal_pending_current() && !late) {
		late = schedule_until(deadline);
		WRITE_ONCE(current->thread.state, TASK_INTERRUPTIBLE);
		smp_mb();
	}
	WRITE_ONCE(current->thread.state, TASK_RUNNING);
	return late;
}

int pi_wait_for_exit(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
	schedule_until(ktime_ns() + NSEC_PER_MSEC);
	return signal_pending_current() ? -ERESTARTNOINTR : 0;
}

static long lock_once(u64 uaddr, bool shared, const struct futex_timeout *to, bool try, struct pi_state **fresh)
{
	struct futex_bucket *b;
	struct futex_q q;

	futex_q_init(&q, FUTEX_BITSET_ANY);
	int r = futex_key(uaddr, shared, &q.key);
	if (r)
		return r;
	b = futex_bucket(&q.key);
	spin_lock(&b->lock);
	r = pi_take_or_line_up(&(struct pi_lock_at){ uaddr, &q.key, b }, &q, *fresh, false, try);
	if (!r) {
		futex_enqueue(&q, b);
		WRITE_ONCE(current->thread.state, TASK_INTERRUPTIBLE);
	}
	spin_unlock(&b->lock);
	if (r)
		return r;
	if (q.pi == *fresh)
		*fresh = NULL;
	return pi_finish(uaddr, &q, pi_sleep(&q, futex_deadline(to)));
}

long futex_lock_pi(u64 uaddr, bool shared, const struct futex_timeout *to, bool try)
{
	struct pi_state *fresh = NULL;
	long r;

	for (;;) {
		if (!fresh)
			fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return -ENOMEM;
		r = lock_once(uaddr, shared, to, try, &fresh);
		if (r == -EFAULT && !futex_fault_in(uaddr, true))
			continue;
		if (r == -EAGAIN && !try) {
			r = pi_wait_for_exit();
			if (!r)
				continue;
		}
		break;
	}
	kfree(fresh);
	return r > 0 ? 0 : r;
}

/* => b->lock; @q stays queued until its thread has noticed */
static void grant(struct futex_q *q, struct task *to)
{
	spin_lock(&pi_lock);
	leave_line(q, to);
	pi_set_owner(q->pi, to);
	spin_unlock(&pi_lock);
	q->pi_granted = true;
	wake_thread(q->thread, TASK_NORMAL, 0);
}

/* The next in line at a word, NULL: nobody. => b->lock; lines are only left and entered under it */
static struct futex_q *next_at(struct futex_bucket *b, const struct mem_key *k)
{
	struct futex_q *any = pi_waiter(b, k), *q;

	if (!any)
		return NULL;
	spin_lock(&pi_lock);
	q = pi_next(any->pi);
	spin_unlock(&pi_lock);
	return q;
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
		q = next_at(b, &k);
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

/* One lock of a dying owner, referenced by the caller: to the next in line, or to nobody. */
static void hand_over(struct pi_state *pi, struct task *t)
{
	struct futex_bucket *b = futex_bucket(&pi->key);
	struct futex_q *q;

	spin_lock(&b->lock);
	q = next_at(b, &pi->key);
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

/* Closes the list, then hands each lock to its first waiter. */
void futex_pi_owner_exit(struct task *t)
{
	struct pi_state *pi;

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
		hand_over(pi, t);
	}
}
