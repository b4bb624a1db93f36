/*
 * Wait queues: the one way to sleep for an event.
 *
 * A sleeper puts an entry on the queue, sets its state, tests the condition, and calls schedule();
 * the waker changes the condition, then wakes. The queue lock may be taken in interrupt context.
 * Entries carry a function, so that poll and epoll can hang callbacks on the same queues.
 * A wake-up with a key (poll event bits) lets entries ignore events they do not wait for.
 */
#ifndef KERNEL_WAIT_H
#define KERNEL_WAIT_H

#include <kernel/current.h>
#include <kernel/spinlock.h>
#include <uapi/errno.h>
#include <lib/list.h>

#define TASK_RUNNING 0u
#define TASK_INTERRUPTIBLE 1u
#define TASK_UNINTERRUPTIBLE 2u
#define TASK_STOPPED 4u
#define TASK_TRACED 8u
#define TASK_DEAD 16u
#define TASK_WAKEKILL 32u
#define TASK_KILLABLE (TASK_UNINTERRUPTIBLE | TASK_WAKEKILL)
#define TASK_NORMAL (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)

struct wait_entry;
/* Returns >0 when it woke somebody (counts against nr exclusive), 0 when not. Called under the queue lock, irqs off. */
typedef int (*wait_func_t)(struct wait_entry *e, unsigned mode, int sync, u64 key);

#define WQ_EXCLUSIVE 1u
struct wait_entry {
	struct list_head link; /* (queue lock) */
	wait_func_t func;
	struct thread *thread;
	void *private;
	u32 flags;
	u32 pad;
};
typedef struct wait_queue {
	spinlock_t lock;
	struct list_head head;
} wait_queue_t;

#define WAIT_QUEUE_INIT(name) { SPINLOCK_INIT, LIST_HEAD_INIT((name).head) }
#define DEFINE_WAIT_QUEUE(name) wait_queue_t name = WAIT_QUEUE_INIT(name); LOCK_DECLARE(name)
static inline void init_wait_queue(wait_queue_t *q)
{
	spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->head);
}
#ifdef LOCKCHECK
#define init_wait_queue(q) (init_wait_queue(q), (void)((q)->lock.class = LOCK_CLASS(#q)))
#endif
static inline bool wait_queue_active(const wait_queue_t *q)
{
	return !list_empty(&q->head);
}

int wait_wake_thread(struct wait_entry *e, unsigned mode, int sync, u64 key);
int wait_autoremove(struct wait_entry *e, unsigned mode, int sync, u64 key);
#define DEFINE_WAIT(name)                                                                      \
	struct wait_entry name = { .link = LIST_HEAD_INIT((name).link), .func = wait_autoremove, \
				   .thread = current_thread() }

void add_wait_queue(wait_queue_t *q, struct wait_entry *e);
void remove_wait_queue(wait_queue_t *q, struct wait_entry *e);
/* Puts @e on the queue (when it is not) and sets the thread's state, in that order. */
void prepare_to_wait(wait_queue_t *q, struct wait_entry *e, unsigned state);
void prepare_to_wait_exclusive(wait_queue_t *q, struct wait_entry *e, unsigned state);
void finish_wait(wait_queue_t *q, struct wait_entry *e);

/* Wakes all shared and up to @nr exclusive sleepers whose state is in @mode. nr 0: all. */
void __wake_up(wait_queue_t *q, unsigned mode, int nr, int sync, u64 key);
static inline void wake_up_key(wait_queue_t *q, unsigned mode, int nr, int sync, u64 key)
{
	smp_mb(); /* pairs with the barrier in prepare_to_wait: condition stored before the list is read */
	if (wait_queue_active(q))
		__wake_up(q, mode, nr, sync, key);
}
#define wake_up(q) wake_up_key(q, TASK_NORMAL, 1, 0, 0)
#define wake_up_all(q) wake_up_key(q, TASK_NORMAL, 0, 0, 0)
#define wake_up_interruptible(q) wake_up_key(q, TASK_INTERRUPTIBLE, 1, 0, 0)
#define wake_up_poll(q, ev) wake_up_key(q, TASK_NORMAL, 1, 0, ev)
/* The waker is about to sleep: hand the CPU over directly instead of spreading. */
#define wake_up_sync_poll(q, ev) wake_up_key(q, TASK_NORMAL, 1, 1, ev)

/* The scheduler's doors, implemented in sched/ and proc/. */
void set_current_state(unsigned state); /* with a full barrier */
void schedule(void);
/* Sleeps until woken or @deadline_ns of the monotonic clock. Returns true when the time was over. => state set before. */
bool schedule_until(u64 deadline_ns);
bool signal_pending_current(void); /* a signal wants to be handled by this thread */
bool fatal_signal_pending_current(void);
/* Wakes @t when its state is in @mode. Returns true if it was asleep. => any context. */
bool wake_thread(struct thread *t, unsigned mode, int sync);
/* True while @t runs on some CPU (a hint, for adaptive spinning). => @t stays allocated: RCU or a reference */
bool thread_on_cpu(const struct thread *t);
/* Name of a thread for messages; "" for NULL. */
const char *thread_comm(const struct thread *t);
/* True when this CPU should switch threads soon: long loops in kernel threads call cond_resched(). */
bool need_resched(void);
void cond_resched(void);
#define wake_up_process(t) wake_thread(t, TASK_NORMAL, 0)

#define __wait_event(q, cond, state, intr, out)                                  \
	({                                                                       \
		int __ret = 0;                                                   \
		DEFINE_WAIT(__w);                                                \
		for (;;) {                                                       \
			prepare_to_wait(&(q), &__w, state);                      \
			if (cond)                                                \
				break;                                           \
			if ((intr) == 1 ? signal_pending_current() :              \
			    (intr) == 2 ? fatal_signal_pending_current() : false) { \
				__ret = out;                                     \
				break;                                           \
			}                                                        \
			schedule();                                              \
		}                                                                \
		finish_wait(&(q), &__w);                                         \
		__ret;                                                           \
	})
#define wait_event(q, cond) \
	((void)((cond) ? 0 : __wait_event(q, cond, TASK_UNINTERRUPTIBLE, 0, 0)))
/* 0 or -ERESTARTSYS */
#define wait_event_interruptible(q, cond) \
	((cond) ? 0 : __wait_event(q, cond, TASK_INTERRUPTIBLE, 1, -ERESTARTSYS))
#define wait_event_killable(q, cond) \
	((cond) ? 0 : __wait_event(q, cond, TASK_KILLABLE, 2, -ERESTARTSYS))
/* 0, -ERESTARTSYS or -ETIME (deadline of the monotonic clock passed, condition still false) */
#define wait_event_interruptible_until(q, cond, deadline_ns)                     \
	({                                                                       \
		int __ret = 0;                                                   \
		if (!(cond)) {                                                   \
			DEFINE_WAIT(__w);                                        \
			for (;;) {                                               \
				prepare_to_wait(&(q), &__w, TASK_INTERRUPTIBLE); \
				if (cond)                                        \
					break;                                   \
				if (signal_pending_current()) {                  \
					__ret = -ERESTARTSYS;                    \
					break;                                   \
				}                                                \
				if (schedule_until(deadline_ns)) {               \
					__ret = (cond) ? 0 : -ETIME;             \
					break;                                   \
				}                                                \
			}                                                        \
			finish_wait(&(q), &__w);                                 \
		}                                                                \
		__ret;                                                           \
	})

/* One-shot events. */
struct completion {
	u32 done; /* (wait.lock) */
	wait_queue_t wait;
};
void init_completion(struct completion *c);
void complete(struct completion *c);
void complete_all(struct completion *c);
void wait_for_completion(struct completion *c);
int wait_for_completion_killable(struct completion *c);

#endif
