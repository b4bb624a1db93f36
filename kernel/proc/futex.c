/*
 * Futexes (futex(2)): the kernel half of user-space locks. A word is identified by its memory, not
 * its address: (mm, address) for private ones, without looking at page tables; (object, offset) for
 * shared ones. Sleepers hang in a hash of buckets, each with a lock.
 *
 * The one race that matters: a waiter must not sleep after the word changed and the waker went by.
 * Waiter: lock bucket; put itself on the queue; read the word; equal: unlock, sleep. Waker: (user
 * stores the word;) lock bucket; look for sleepers. The bucket lock orders the two: either the
 * waiter reads the new word, or the waker finds the waiter. The word is read with page faults
 * disabled, since the lock is held; a missing page is faulted in without the lock, and all starts over.
 *
 * A waker with an empty bucket must not take the lock (uncontended wakes are common): the waiter
 * queues before it reads, with a full barrier between, and the waker's store is before its look at
 * the list, with a full barrier between; so one of them sees the other.
 *
 * struct futex_q lies on the sleeper's stack. The waker unlinks it and sets bucket = NULL as the last
 * access, having taken the thread pointer before; the sleeper may be gone right after. The thread
 * itself stays allocated: the waker holds it under RCU (preemption is off under the lock).
 */
#include <kernel/cpumask.h>
#include <lib/assert.h>
#include <lib/hash.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/futex.h>
#include <x86/uaccess.h>

static struct futex_bucket *buckets;
static unsigned bucket_bits;

void futex_init(void)
{
	u64 n;

	bucket_bits = 8;
	n = 1ull << bucket_bits;
	buckets = vzalloc(n * sizeof(*buckets));
	VERIFY(buckets);
	for (u64 i = 0; i < n; i++) {
		spin_lock_init(&buckets[i].lock);
		INIT_LIST_HEAD(&buckets[i].waiters);
	}
}

struct futex_bucket *futex_bucket(const struct mem_key *k)
{
	return &buckets[hash_64(k->a ^ k->b ^ k->off, bucket_bits)];
}

int futex_key(u64 uaddr, bool shared, struct mem_key *k)
{
	u32 v;

	if (uaddr & 3)
		return -EINVAL;
	if (!access_ok((void __user *)uaddr, 4))
		return -EFAULT;
	if (!shared) {
		k->a = (u64)current->thread.mm;
		k->b = uaddr & PAGE_MASK;
		k->off = uaddr & ~PAGE_MASK;
		return 0;
	}
	/* the word is there: a file may have been truncated under its mapping */
	return get_user(v, (u32 __user *)uaddr) ? -EFAULT : mm_mem_key(current->thread.mm, uaddr, true, k);
}

void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	if (a > b)
		swap(a, b);
	spin_lock(&a->lock);
	if (a != b)
		spin_lock(&b->lock);
}

void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

int futex_peek(u32 *v, u64 uaddr)
{
	int err;

	pagefault_disable();
	err = get_user(*v, (u32 __user *)uaddr);
	pagefault_enable();
	return err;
}

int futex_cmpxchg(u64 uaddr, u32 expect, u32 new, u32 *seen)
{
	int err;

	pagefault_disable();
	err = user_cmpxchg_u32((u32 __user *)uaddr, expect, new, seen);
	pagefault_enable();
	return err;
}

int futex_fault_in(u64 uaddr, bool write)
{
	u32 v;

	if (get_user(v, (u32 __user *)uaddr))
		return -EFAULT;
	/* an exchange of the same value: a write fault without a change */
	return write ? user_cmpxchg_u32((u32 __user *)uaddr, v, v, &v) : 0;
}

/* ---- queue ---- */

void futex_enqueue(struct futex_q *q, struct futex_bucket *b)
{
	q->bucket = b;
	/* by priority among real-time threads, else in order of arrival */
	struct list_head *at = &b->waiters;
	if (unlikely(q->prio)) {
		struct futex_q *o;
		list_for_each_entry(o, &b->waiters, link)
			if (o->prio < q->prio) {
				at = &o->link;
				break;
			}
	}
	list_add_tail(&q->link, at);
}

void futex_wake_q(struct futex_q *q)
{
	struct thread *t = q->thread;

	list_del(&q->link);
	smp_store_release(&q->bucket, NULL); /* q may be gone from here on */
	wake_thread(t, TASK_NORMAL, 1);
}

struct futex_bucket *futex_q_lock(struct futex_q *q)
{
	struct futex_bucket *b;

	/* requeueing moves it between buckets: lock what it says, look again */
	while ((b = __atomic_load_n(&q->bucket, __ATOMIC_ACQUIRE))) {
		spin_lock(&b->lock);
		if (likely(q->bucket == b))
			return b;
		spin_unlock(&b->lock);
	}
	return NULL;
}

/* after sleeping: true when nobody had woken it */
static bool futex_dequeue(struct futex_q *q)
{
	struct futex_bucket *b = futex_q_lock(q);

	if (!b)
		return false;
	list_del(&q->link);
	q->bucket = NULL;
	spin_unlock(&b->lock);
	return true;
}

void futex_q_init(struct futex_q *q, u32 bitset)
{
	struct thread *t = &current->thread;

	q->thread = t;
	q->pi = NULL;
	q->requeue_pi_key = NULL;
	q->pi_granted = false;
	q->bitset = bitset;
	q->prio = t->policy == SCHED_FIFO || t->policy == SCHED_RR ? t->rt_priority : 0;
}

/* ---- waiting ---- */

u64 futex_deadline(const struct futex_timeout *to)
{
	return !to->set ? U64_MAX : to->real ? clock_to_mono(0, to->ns) : to->ns;
}

int futex_wait_setup(struct futex_q *q, u64 uaddr, bool shared, u32 val)
{
	struct futex_bucket *b;
	u32 seen;
	int err;

	err = futex_key(uaddr, shared, &q->key);
	if (err)
		return err;
	b = futex_bucket(&q->key);
	for (;;) {
		spin_lock(&b->lock);
		futex_enqueue(q, b);
		smp_mb(); /* pairs with the one in futex_wake_user */
		err = futex_peek(&seen, uaddr);
		if (likely(!err && seen == val)) {
			WRITE_ONCE(current->thread.state, TASK_INTERRUPTIBLE);
			spin_unlock(&b->lock);
			return 0;
		}
		list_del(&q->link);
		q->bucket = NULL;
		spin_unlock(&b->lock);
		if (!err)
			return -EAGAIN;
		err = futex_fault_in(uaddr, false);
		if (err)
			return err;
	}
}

/* True when the time was over. */
static bool sleep_on(struct futex_q *q, u64 deadline)
{
	bool late = false;

	if (READ_ONCE(q->bucket) && !signal_pending_current()) {
		if (deadline == U64_MAX)
			schedule();
		else
			late = schedule_until(deadline);
	}
	WRITE_ONCE(current->thread.state, TASK_RUNNING);
	return late;
}

static long wait_restart(struct task *t)
{
	struct futex_timeout to = { .ns = t->restart.deadline, .set = true };
	u64 a = (u64)t->restart.arg[1];

	return futex_wait((u64)t->restart.arg[0], a >> 32 & 1, (u32)a, (u32)(u64)t->restart.arg[2], &to);
}

long futex_wait(u64 uaddr, bool shared, u32 val, u32 bitset, const struct futex_timeout *to)
{
	struct task *t = current;
	struct futex_q q;
	bool late;
	int err;

	if (!bitset)
		return -EINVAL;
	futex_q_init(&q, bitset);
	for (;;) {
		u64 deadline = futex_deadline(to);
		err = futex_wait_setup(&q, uaddr, shared, val);
		if (err)
			return err;
		late = sleep_on(&q, deadline);
		if (!futex_dequeue(&q))
			return 0; /* woken */
		if (late && futex_deadline(to) <= ktime_ns())
			return -ETIMEDOUT;
		if (signal_pending_current())
			break;
		/* spurious, or the clock was set: again */
	}
	if (!to->set)
		return -ERESTARTSYS;
	t->restart.fn = wait_restart;
	t->restart.deadline = futex_deadline(to);
	t->restart.arg[0] = (void *)uaddr;
	t->restart.arg[1] = (void *)((u64)shared << 32 | val);
	t->restart.arg[2] = (void *)(u64)bitset;
	return -ERESTART_RESTARTBLOCK;
}

/* ---- waking ---- */

static int wake_key(const struct mem_key *k, struct futex_bucket *b, int nr, u32 bitset)
{
	struct futex_q *q, *n;
	int woken = 0;

	list_for_each_entry_safe(q, n, &b->waiters, link) {
		if (!futex_key_eq(&q->key, k))
			continue;
		if (q->pi || q->requeue_pi_key)
			return -EINVAL;
		if (!(q->bitset & bitset))
			continue;
		futex_wake_q(q);
		if (++woken >= nr)
			break;
	}
	return woken;
}

static long wake_by_key(const struct mem_key *k, int nr, u32 bitset)
{
	struct futex_bucket *b = futex_bucket(k);
	int r;

	smp_mb(); /* the user's store, then the list: pairs with futex_wait_setup */
	if (list_empty(&b->waiters))
		return 0;
	spin_lock(&b->lock);
	r = wake_key(k, b, nr, bitset);
	spin_unlock(&b->lock);
	return r;
}

long futex_wake_user(u64 uaddr, bool shared, int nr, u32 bitset)
{
	struct mem_key k;
	int err;

	if (!bitset)
		return -EINVAL;
	err = futex_key(uaddr, shared, &k);
	return err ?: wake_by_key(&k, nr, bitset);
}

/* For exit: the word may be waited for as a private or as a shared one. */
long futex_wake(struct mm *mm, u64 uaddr, bool shared, int nr, u32 bitset)
{
	struct mem_key k = { (u64)mm, uaddr & PAGE_MASK, uaddr & ~PAGE_MASK };
	long n = uaddr & 3 ? 0 : wake_by_key(&k, nr, bitset);

	if (shared && n >= 0 && n < nr && !(uaddr & 3) && !mm_mem_key(mm, uaddr, true, &k))
		n += wake_by_key(&k, nr - n, bitset);
	return n;
}

/* ---- two words ---- */

void futex_move(struct futex_q *q, struct futex_bucket *to, const struct mem_key *k)
{
	list_del(&q->link);
	q->key = *k;
	list_add_tail(&q->link, &to->waiters);
	smp_store_release(&q->bucket, to);
}

long futex_requeue(u64 from, u64 to, bool shared, int nr_wake, int nr_requeue, const u32 *expect)
{
	struct mem_key k1, k2;
	struct futex_bucket *b1, *b2;
	struct futex_q *q, *n;
	int done = 0, err;
	u32 seen;

	if (nr_wake < 0 || nr_requeue < 0)
		return -EINVAL;
again:
	err = futex_key(from, shared, &k1);
	if (!err)
		err = futex_key(to, shared, &k2);
	if (err)
		return err;
	b1 = futex_bucket(&k1);
	b2 = futex_bucket(&k2);
	futex_lock_two(b1, b2);
	if (expect) {
		err = futex_peek(&seen, from);
		if (err || seen != *expect) {
			futex_unlock_two(b1, b2);
			if (!err)
				return -EAGAIN;
			err = futex_fault_in(from, false);
			if (err)
				return err;
			goto again;
		}
	}
	list_for_each_entry_safe(q, n, &b1->waiters, link) {
		if (done - nr_wake >= nr_requeue)
			break;
		if (!futex_key_eq(&q->key, &k1))
			continue;
		if (q->pi || q->requeue_pi_key) {
			done = -EINVAL;
			break;
		}
		if (++done <= nr_wake)
			futex_wake_q(q);
		else
			futex_move(q, b2, &k2);
	}
	futex_unlock_two(b1, b2);
	return done;
}

static bool op_compare(u32 op, u32 old)
{
	s32 arg = (s32)(op << 20) >> 20, v = (s32)old;

	switch (op >> 24 & 15) {
	case 0: return v == arg;
	case 1: return v != arg;
	case 2: return v < arg;
	case 3: return v <= arg;
	case 4: return v > arg;
	default: return v >= arg;
	}
}

static int op_modify(u64 uaddr, u32 op, u32 *old)
{
	u32 arg = (u32)((s32)(op << 8) >> 20);
	int err;

	if (op >> 28 & 8) /* FUTEX_OP_OPARG_SHIFT */
		arg = 1u << (arg & 31);
	pagefault_disable();
	err = user_atomic_op_u32((u32 __user *)uaddr, op >> 28 & 7, arg, old);
	pagefault_enable();
	return err;
}

long futex_wake_op(u64 uaddr, u64 uaddr2, bool shared, int nr, int nr2, u32 op)
{
	struct mem_key k1, k2;
	struct futex_bucket *b1, *b2;
	u32 old;
	int err, r, r2;

	if ((op >> 28 & 7) > 4 || (op >> 24 & 15) > 5)
		return -ENOSYS;
	for (;;) {
		err = futex_key(uaddr, shared, &k1);
		if (!err)
			err = futex_key(uaddr2, shared, &k2);
		if (err)
			return err;
		b1 = futex_bucket(&k1);
		b2 = futex_bucket(&k2);
		futex_lock_two(b1, b2);
		err = op_modify(uaddr2, op, &old);
		if (!err)
			break;
		futex_unlock_two(b1, b2);
		err = futex_fault_in(uaddr2, true);
		if (err)
			return err;
	}
	r = wake_key(&k1, b1, nr, FUTEX_BITSET_ANY);
	if (r >= 0 && op_compare(op, old)) {
		r2 = wake_key(&k2, b2, nr2, FUTEX_BITSET_ANY);
		r = r2 < 0 ? r2 : r + r2;
	}
	futex_unlock_two(b1, b2);
	return r;
}

/* ---- several at once: futex_waitv(2) ---- */

static int unqueue_many(struct futex_q *q, unsigned n)
{
	int woken = -1;

	for (unsigned i = 0; i < n; i++)
		if (!futex_dequeue(&q[i]) && woken < 0)
			woken = i;
	return woken;
}

static int queue_many(struct futex_q *q, struct futex_waitv_k *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		futex_q_init(&q[i], FUTEX_BITSET_ANY);
		int err = futex_wait_setup(&q[i], v[i].uaddr, v[i].shared, (u32)v[i].val);
		WRITE_ONCE(current->thread.state, TASK_RUNNING); /* the next one may fault */
		if (err) {
			int w = unqueue_many(q, i);
			return w >= 0 ? w + 1 : err; /* one was woken meanwhile: that counts */
		}
	}
	return 0;
}

long futex_wait_many(struct futex_waitv_k *v, unsigned n, const struct futex_timeout *to)
{
	struct futex_q *q = kmalloc(n * sizeof(*q), GFP_KERNEL);
	bool late = false;
	long r;

	if (!q)
		return -ENOMEM;
	for (;;) {
		r = queue_many(q, v, n);
		if (r) {
			r = r > 0 ? r - 1 : r;
			break;
		}
		bool all = true;
		set_current_state(TASK_INTERRUPTIBLE);
		for (unsigned i = 0; i < n; i++)
			all &= READ_ONCE(q[i].bucket) != NULL;
		if (all && !signal_pending_current())
			late = schedule_until(futex_deadline(to));
		WRITE_ONCE(current->thread.state, TASK_RUNNING);
		r = unqueue_many(q, n);
		if (r >= 0)
			break;
		if (late && futex_deadline(to) <= ktime_ns()) {
			r = -ETIMEDOUT;
			break;
		}
		if (signal_pending_current()) {
			r = -ERESTARTSYS;
			break;
		}
	}
	kfree(q);
	return r;
}
