/*
 * Wait queues and completions (kernel/wait.h).
 *
 * Why no wake-up is lost. The sleeper does
 *	S1 link the entry (queue lock)   S2 state = SLEEP; full barrier   S3 test the condition   S4 schedule()
 * and the waker
 *	W1 make the condition true   W2 full barrier (wake_up_key)   W3 list empty?   W4 state of each entry
 * If S3 misses W1, then W3 comes after S1 and S2: both fences order "store mine, then load yours", so at
 * least one side sees the other. The waker therefore finds the entry, and wake_thread finds a sleeping
 * state or waits for the run queue lock under which schedule() decides (sched/wake.c has that half).
 *
 * Shared entries stand before exclusive ones, so a walk that ends after the n-th exclusive wake-up has
 * seen all shared ones. Entry functions run under the queue lock and may unlink their own entry.
 */
#include <kernel/wait.h>
#include <lib/assert.h>

int wait_wake_thread(struct wait_entry *e, unsigned mode, int sync, u64 key)
{
	return wake_thread(e->thread, mode, sync);
}

/*
 * The entry lies on the sleeper's stack and the sleeper may run as soon as it is woken: finish_wait leaves
 * without the lock only when it sees both links written, after which nobody here touches the entry.
 * Not woken (it was running): left for finish_wait.
 */
int wait_autoremove(struct wait_entry *e, unsigned mode, int sync, u64 key)
{
	struct thread *t = e->thread;
	int woken = wake_thread(t, mode, sync);

	if (woken)
		list_del_init(&e->link);
	return woken;
}

void add_wait_queue(wait_queue_t *q, struct wait_entry *e)
{
	u64 flags;

	spin_lock_irqsave(&q->lock, flags);
	if (e->flags & WQ_EXCLUSIVE)
		list_add_tail(&e->link, &q->head);
	else
		list_add(&e->link, &q->head);
	spin_unlock_irqrestore(&q->lock, flags);
}

void remove_wait_queue(wait_queue_t *q, struct wait_entry *e)
{
	u64 flags;

	spin_lock_irqsave(&q->lock, flags);
	list_del_init(&e->link);
	spin_unlock_irqrestore(&q->lock, flags);
}

static void prepare(wait_queue_t *q, struct wait_entry *e, unsigned state, u32 flag)
{
	u64 flags;

	spin_lock_irqsave(&q->lock, flags);
	e->flags = flag;
	if (list_empty(&e->link)) {
		if (flag & WQ_EXCLUSIVE)
			list_add_tail(&e->link, &q->head);
		else
			list_add(&e->link, &q->head);
	}
	set_current_state(state);
	spin_unlock_irqrestore(&q->lock, flags);
}

void prepare_to_wait(wait_queue_t *q, struct wait_entry *e, unsigned state)
{
	prepare(q, e, state, 0);
}

void prepare_to_wait_exclusive(wait_queue_t *q, struct wait_entry *e, unsigned state)
{
	prepare(q, e, state, WQ_EXCLUSIVE);
}

void finish_wait(wait_queue_t *q, struct wait_entry *e)
{
	u64 flags;

	set_current_state(TASK_RUNNING);
	/*
	 * Unlinked by the waker in the usual case. Both links must be seen, else the waker is still
	 * writing to our stack: then the lock waits for it.
	 */
	if (list_empty(&e->link) && READ_ONCE(e->link.prev) == &e->link)
		return;
	spin_lock_irqsave(&q->lock, flags);
	list_del_init(&e->link);
	spin_unlock_irqrestore(&q->lock, flags);
}

static void wake_up_locked(wait_queue_t *q, unsigned mode, int nr, int sync, u64 key)
{
	struct wait_entry *e, *n;

	list_for_each_entry_safe(e, n, &q->head, link) {
		u32 flags = e->flags; /* the entry may be gone after a successful wake-up */
		int woken = e->func(e, mode, sync, key);

		if (woken > 0 && (flags & WQ_EXCLUSIVE) && --nr == 0)
			break;
	}
}

void __wake_up(wait_queue_t *q, unsigned mode, int nr, int sync, u64 key)
{
	u64 flags;

	spin_lock_irqsave(&q->lock, flags);
	wake_up_locked(q, mode, nr, sync, key);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* --- completions ----------------------------------------------------------------------------------- */

#define COMPLETE_ALL 0x80000000u

void init_completion(struct completion *c)
{
	c->done = 0;
	init_wait_queue(&c->wait);
}

/*
 * All under the queue lock, so that a waiter whose completion lies on its stack cannot return from
 * wait_for_completion (which takes the lock last) before complete() has let go of it.
 */
void complete(struct completion *c)
{
	u64 flags;

	spin_lock_irqsave(&c->wait.lock, flags);
	if (!(c->done & COMPLETE_ALL))
		c->done++;
	wake_up_locked(&c->wait, TASK_NORMAL | TASK_WAKEKILL, 1, 0, 0);
	spin_unlock_irqrestore(&c->wait.lock, flags);
}

void complete_all(struct completion *c)
{
	u64 flags;

	spin_lock_irqsave(&c->wait.lock, flags);
	c->done |= COMPLETE_ALL;
	wake_up_locked(&c->wait, TASK_NORMAL | TASK_WAKEKILL, 0, 0, 0);
	spin_unlock_irqrestore(&c->wait.lock, flags);
}

static int wait_completion(struct completion *c, unsigned state)
{
	struct wait_entry w = { .link = LIST_HEAD_INIT(w.link), .func = wait_wake_thread,
				.flags = WQ_EXCLUSIVE, .thread = current_thread() };
	int err = 0;

	might_sleep();
	spin_lock_irq(&c->wait.lock);
	if (!c->done) {
		list_add_tail(&w.link, &c->wait.head);
		for (;;) {
			set_current_state(state);
			if (c->done)
				break;
			if ((state & TASK_WAKEKILL) && fatal_signal_pending_current()) {
				err = -ERESTARTSYS;
				break;
			}
			spin_unlock_irq(&c->wait.lock);
			schedule();
			spin_lock_irq(&c->wait.lock);
		}
		set_current_state(TASK_RUNNING);
		list_del(&w.link);
	}
	if (c->done && !(c->done & COMPLETE_ALL) && !err)
		c->done--;
	spin_unlock_irq(&c->wait.lock);
	return err;
}

void wait_for_completion(struct completion *c)
{
	(void)wait_completion(c, TASK_UNINTERRUPTIBLE);
}

int wait_for_completion_killable(struct completion *c)
{
	return wait_completion(c, TASK_KILLABLE);
}
