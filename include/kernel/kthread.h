/* Kernel threads and deferred work (thread context). */
#ifndef KERNEL_KTHREAD_H
#define KERNEL_KTHREAD_H

#include <lib/list.h>
#include <lib/types.h>

struct thread;
/* Creates a kernel thread and starts it. cpu -1: anywhere. NULL when out of memory. Implemented by proc. */
struct thread *kthread_run(int (*fn)(void *), void *arg, int cpu, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The calling kernel thread gets the least share of its CPU (nice 19) from now on. */
void kthread_set_lowest(void);

struct work {
	struct list_head link;
	void (*func)(struct work *w);
	u32 pending; /* (a) */
};
#define WORK_INIT(f) { .func = (f) }
static inline void work_init(struct work *w, void (*f)(struct work *))
{
	INIT_LIST_HEAD(&w->link);
	w->func = f;
	w->pending = 0;
}
/* Queues on this CPU's worker. False when it was already pending. => any context. */
bool schedule_work(struct work *w);
void flush_work(struct work *w); /* => may sleep */
void workqueue_init(void); /* after all CPUs are up; work queued before waits for it */

#endif
