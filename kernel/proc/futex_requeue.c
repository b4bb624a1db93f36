/*
 * Waiters of a plain futex that are moved into the line for a PI lock, so that a broadcast on a condition variable does not
 * wake them all to fight for its mutex (futex(2), FUTEX_CMP_REQUEUE_PI).
 *
 * Such a waiter says beforehand which lock it may be moved to. It leaves its sleep for one of four reasons: still at the first
 * word, the time or a signal; bucket NULL, a mover has taken the lock for it; granted, it was in line and the lock was handed to it;
 * in line, the time or a signal. Nobody wakes it otherwise: plain wakes are refused at a word with such waiters.
 *
 * Locks: both buckets -> pi_lock.
 */
#include <lib/err.h>
#include <mm/slab.h>
#include <proc/futex_pi.h>

/* Woken before it was moved, or not at all. */
static long never_moved(struct futex_q *q, struct futex_bucket *b, bool late)
{
	list_del(&q->link);
	q->bucket = NULL;
	spin_unlock(&b->lock);
	return late ? -ETIMEDOUT : signal_pending_current() ? -ERESTARTNOINTR : -EAGAIN;
}

long futex_wait_requeue_pi(u64 uaddr, u64 uaddr2, bool shared, u32 val, u32 bitset, const struct futex_timeout *to)
{
	struct mem_key k1, k2;
	struct futex_bucket *b;
	struct futex_q q;
	int err = uaddr == uaddr2 || !bitset ? -EINVAL : futex_key(uaddr, shared, &k1);

	if (!err)
		err = futex_key(uaddr2, shared, &k2);
	if (!err && futex_key_eq(&k1, &k2))
		err = -EINVAL;
	if (err)
		return err;
	futex_q_init(&q, bitset);
	q.requeue_pi_key = &k2;
	u64 deadline = futex_deadline(to);
	err = futex_wait_setup(&q, uaddr, shared, val);
	if (err)
		return err;
	bool late = pi_sleep(&q, deadline);
	b = futex_q_lock(&q);
	if (!b)
		return 0;
	if (!q.pi)
		return never_moved(&q, b, late);
	spin_unlock(&b->lock);
	err = pi_finish(uaddr2, &q, late);
	/* to begin again would only find the first word changed */
	return err == -ERESTARTNOINTR ? -EAGAIN : err;
}

/* What moving says when the first word changed; -EAGAIN means an owner that is exiting. */
#define WORD_CHANGED 1

struct move {
	u64 from;
	struct mem_key k1, k2;
	struct futex_bucket *b1;
	struct pi_lock_at to;
	int done, most; /* woken or moved; how many may be */
	struct pi_state *fresh;
};

/* One waiter: gets the lock, or its place in line. */
static int move_one(struct move *m, struct futex_q *q)
{
	if (q->pi || !q->requeue_pi_key || !futex_key_eq(q->requeue_pi_key, &m->k2))
		return -EINVAL;
	int r = pi_take_or_line_up(&m->to, q, m->fresh, m->most > 1, false);

	if (r < 0)
		return r;
	m->done++;
	if (r > 0) {
		futex_wake_q(q);
		return 0;
	}
	if (q->pi == m->fresh)
		m->fresh = NULL;
	futex_move(q, m->to.b, &m->k2);
	return 0;
}

/* => both bucket locks */
static int move_all(struct move *m, const u32 *expect)
{
	struct futex_q *q, *n;
	u32 seen;
	int err = m->done ? 0 : futex_peek(&seen, m->from);

	if (!err && !m->done && seen != *expect)
		return WORD_CHANGED;
	list_for_each_entry_safe(q, n, &m->b1->waiters, link) {
		if (err || m->done >= m->most)
			break;
		if (futex_key_eq(&q->key, &m->k1))
			err = move_one(m, q);
	}
	return err;
}

static int keys_of(struct move *m, u64 to, bool shared)
{
	int err = futex_key(m->from, shared, &m->k1);

	if (!err)
		err = futex_key(to, shared, &m->k2);
	if (!err && futex_key_eq(&m->k1, &m->k2))
		err = -EINVAL;
	if (err)
		return err;
	m->b1 = futex_bucket(&m->k1);
	m->to = (struct pi_lock_at){ to, &m->k2, futex_bucket(&m->k2) };
	return 0;
}

static int move_once(struct move *m, u64 to, bool shared, const u32 *expect)
{
	int err = keys_of(m, to, shared);

	if (err)
		return err;
	futex_lock_two(m->b1, m->to.b);
	err = move_all(m, expect);
	futex_unlock_two(m->b1, m->to.b);
	return err;
}

long futex_cmp_requeue_pi(u64 from, u64 to, bool shared, int nr_wake, int nr_requeue, const u32 *expect)
{
	struct move m = { .from = from, .most = nr_requeue < S32_MAX ? nr_requeue + 1 : S32_MAX };
	int err;

	if (nr_wake != 1 || nr_requeue < 0 || from == to)
		return -EINVAL;
	do {
		if (!m.fresh)
			m.fresh = kmalloc(sizeof(*m.fresh), GFP_KERNEL);
		err = m.fresh ? move_once(&m, to, shared, expect) : -ENOMEM;
		if (err == -EFAULT)
			err = futex_fault_in(from, false) || futex_fault_in(to, true) ? -EFAULT : -EBUSY;
		else if (err == -EAGAIN)
			err = pi_wait_for_exit() ?: -EBUSY;
	} while (err == -EBUSY);
	kfree(m.fresh);
	return m.done ?: err == WORD_CHANGED ? -EAGAIN : err;
}
