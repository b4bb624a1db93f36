/*
 * Deferred work in thread context (kernel/kthread.h).
 *
 * One worker thread and one list per CPU; work runs on the CPU that queued it, in order. pending is cleared before the
 * function runs, so that work queued from then on runs again, and the function may free the work: the worker does not touch
 * it afterwards. flush_work waits until the work neither waits nor runs on any CPU.
 */
#include <kernel/cpumask.h>
#include <kernel/kthread.h>
#include <kernel/wait.h>
#include <lib/assert.h>

struct worker {
	spinlock_t lock;
	struct list_head list; /* (lock) */
	struct work *running; /* (lock) */
	wait_queue_t wait;
	bool ready; /* (I) once set */
};
static DEFINE_PER_CPU(struct worker, worker);
static DEFINE_WAIT_QUEUE(flush_wait);
/* Work of the time before workqueue_init. */
static LIST_HEAD(early_list); /* (early_lock) */
static DEFINE_SPINLOCK(early_lock);
static bool workers_ready; /* (early_lock to set) */

static bool queue_early(struct work *w)
{
	bool early;
	u64 flags;

	spin_lock_irqsave(&early_lock, flags);
	early = !workers_ready;
	if (early)
		list_add_tail(&w->link, &early_list);
	spin_unlock_irqrestore(&early_lock, flags);
	return early;
}

bool schedule_work(struct work *w)
{
	struct worker *k;
	u64 flags;

	if (__atomic_exchange_n(&w->pending, 1, __ATOMIC_ACQ_REL))
		return false;
	if (unlikely(!smp_load_acquire(&workers_ready)) && queue_early(w))
		return true;
	flags = local_irq_save();
	k = this_cpu_ptr(&worker);
	if (!k->ready)
		k = per_cpu_ptr(&worker, 0);
	spin_lock(&k->lock);
	list_add_tail(&w->link, &k->list);
	spin_unlock_irqrestore(&k->lock, flags);
	wake_up(&k->wait);
	return true;
}

static int worker_main(void *arg)
{
	struct worker *k = arg;

	for (;;) {
		struct work *w;

		wait_event_interruptible(k->wait, !list_empty(&k->list));
		spin_lock_irq(&k->lock);
		if (list_empty(&k->list)) {
			spin_unlock_irq(&k->lock);
			continue;
		}
		w = list_first_entry(&k->list, struct work, link);
		list_del_init(&w->link);
		k->running = w;
		__atomic_store_n(&w->pending, 0, __ATOMIC_RELEASE);
		spin_unlock_irq(&k->lock);
		w->func(w);
		spin_lock_irq(&k->lock);
		k->running = NULL;
		spin_unlock_irq(&k->lock);
		wake_up_all(&flush_wait);
	}
	return 0;
}

static bool work_idle(struct work *w)
{
	bool idle = true;
	int cpu;

	for_each_online_cpu(cpu) {
		struct worker *k = per_cpu_ptr(&worker, cpu);

		spin_lock_irq(&k->lock);
		idle &= k->running != w && !READ_ONCE(w->pending);
		spin_unlock_irq(&k->lock);
	}
	return idle;
}

void flush_work(struct work *w)
{
	might_sleep();
	wait_event(flush_wait, work_idle(w));
}

void workqueue_init(void)
{
	int cpu;

	for_each_online_cpu(cpu) {
		struct worker *k = per_cpu_ptr(&worker, cpu);

		spin_lock_init(&k->lock);
		INIT_LIST_HEAD(&k->list);
		init_wait_queue(&k->wait);
		VERIFY(kthread_run(worker_main, k, cpu, "worker/%d", cpu));
		k->ready = true;
	}
	spin_lock_irq(&early_lock);
	smp_store_release(&workers_ready, true);
	spin_unlock_irq(&early_lock);
	while (!list_empty(&early_list)) {
		struct work *w = list_first_entry(&early_list, struct work, link);

		list_del_init(&w->link);
		__atomic_store_n(&w->pending, 0, __ATOMIC_RELEASE);
		schedule_work(w);
	}
}
