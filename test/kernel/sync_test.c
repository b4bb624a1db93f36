/* In-kernel tests of wait queues, sleeping locks, RCU, timers and work. They count; none depends on how long anything takes. */
#include <kernel/cpumask.h>
#include <kernel/kthread.h>
#include <kernel/ktest.h>
#include <kernel/mutex.h>
#include <kernel/random.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/string.h>
#include <mm/slab.h>

/* A crew of threads that run one function and are waited for. */
struct crew {
	void (*fn)(struct crew *c, int id);
	u32 running; /* (a) */
	wait_queue_t done;
	struct crew_member { struct crew *crew; int id; } member[64];
};

static int crew_main(void *arg)
{
	struct crew_member *m = arg;
	struct crew *c = m->crew;

	c->fn(c, m->id);
	spin_lock_irq(&c->done.lock);
	c->running--;
	spin_unlock_irq(&c->done.lock);
	wake_up_all(&c->done);
	return 0;
}

static u32 crew_running(struct crew *c)
{
	u32 n;

	spin_lock_irq(&c->done.lock); /* the last member has let go of the crew when this sees 0 ... */
	n = c->running;
	spin_unlock_irq(&c->done.lock);
	return n;
}

/* ... but for its wake-up: so the crew is static and its queue is never initialised again */
static struct crew crew = { .done = WAIT_QUEUE_INIT(crew.done) };

static void crew_start(void (*fn)(struct crew *, int), int n, bool spread)
{
	crew.fn = fn;
	crew.running = (u32)n;
	for (int i = 0; i < n; i++) {
		crew.member[i] = (struct crew_member){ &crew, i };
		if (!kthread_run(crew_main, &crew.member[i], spread ? i % nr_cpus : -1, "crew/%d", i)) {
			ktest_fail(__FILE__, __LINE__, "no thread");
			spin_lock_irq(&crew.done.lock);
			crew.running--;
			spin_unlock_irq(&crew.done.lock);
		}
	}
}

static void crew_wait(void)
{
	wait_event(crew.done, crew_running(&crew) == 0);
}

static void nap(u64 ns)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_until(ktime_ns() + ns);
}

/* --- wait queues ----------------------------------------------------------------------------------- */

static DEFINE_WAIT_QUEUE(queue_a);
static DEFINE_WAIT_QUEUE(queue_b);
static u32 turn, entered, left_queue;

#define ROUNDS 5000u

static void ping_pong(struct crew *c, int id)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		wait_event(*(id ? &queue_a : &queue_b), READ_ONCE(turn) % 2 == (u32)id);
		WRITE_ONCE(turn, turn + 1);
		wake_up(id ? &queue_b : &queue_a);
	}
}

KTEST(wait_no_wakeup_is_lost)
{
	turn = 0;
	crew_start(ping_pong, 2, true);
	crew_wait();
	KCHECK_EQ(turn, 2 * ROUNDS);
}

static void sleep_exclusive(struct crew *c, int id)
{
	DEFINE_WAIT(w);

	__atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST);
	prepare_to_wait_exclusive(&queue_a, &w, TASK_UNINTERRUPTIBLE);
	schedule();
	finish_wait(&queue_a, &w);
	__atomic_fetch_add(&left_queue, 1, __ATOMIC_SEQ_CST);
}

static u32 queue_length(wait_queue_t *q)
{
	struct list_head *l;
	u32 n = 0;

	spin_lock_irq(&q->lock);
	list_for_each(l, &q->head)
		n++;
	spin_unlock_irq(&q->lock);
	return n;
}

KTEST(wait_exclusive_wakes_as_many_as_asked)
{
	entered = left_queue = 0;
	crew_start(sleep_exclusive, 6, false);
	while (queue_length(&queue_a) < 6)
		nap(NSEC_PER_MSEC);
	wake_up(&queue_a);
	KCHECK_EQ(queue_length(&queue_a), 5);
	wake_up_key(&queue_a, TASK_NORMAL, 2, 0, 0);
	KCHECK_EQ(queue_length(&queue_a), 3);
	wake_up_interruptible(&queue_a); /* they sleep uninterruptibly */
	KCHECK_EQ(queue_length(&queue_a), 3);
	wake_up_all(&queue_a);
	crew_wait();
	KCHECK_EQ(left_queue, 6);
}

KTEST(wait_deadline_passes)
{
	u64 start = ktime_ns();
	int err = wait_event_interruptible_until(queue_a, false, start + 3 * NSEC_PER_MSEC);

	KCHECK_EQ(-err, ETIME);
	KCHECK(ktime_ns() >= start + 3 * NSEC_PER_MSEC);
	KCHECK(!wait_queue_active(&queue_a));
	KCHECK_EQ(wait_event_interruptible_until(queue_a, true, start), 0);
}

static struct completion completion;

static void complete_later(struct crew *c, int id)
{
	nap(NSEC_PER_MSEC);
	complete(&completion);
}

KTEST(completion_counts)
{
	init_completion(&completion);
	complete(&completion);
	wait_for_completion(&completion);
	crew_start(complete_later, 3, true);
	for (int i = 0; i < 3; i++)
		wait_for_completion(&completion);
	crew_wait();
	KCHECK_EQ(completion.done, 0);
	complete_all(&completion);
	wait_for_completion(&completion);
	wait_for_completion(&completion);
}

/* --- mutex, rw_semaphore --------------------------------------------------------------------------- */

static DEFINE_MUTEX(mutex);
static struct rw_semaphore rwsem = RWSEM_INIT(rwsem);
static u64 plain_a, plain_b, torn, reads;

static void count_locked(struct crew *c, int id)
{
	for (int i = 0; i < 2000; i++) {
		mutex_lock(&mutex);
		u64 v = READ_ONCE(plain_a);
		if (i % 64 == 0)
			schedule(); /* others pile up */
		WRITE_ONCE(plain_a, v + 1);
		mutex_unlock(&mutex);
	}
}

KTEST(mutex_excludes)
{
	plain_a = 0;
	crew_start(count_locked, 8, true);
	crew_wait();
	KCHECK_EQ(plain_a, 8 * 2000);
	KCHECK(!mutex_is_locked(&mutex));
	KCHECK(!wait_queue_active(&mutex.wait));
}

static void read_or_write(struct crew *c, int id)
{
	for (int i = 0; i < 2000; i++) {
		if ((i + id) % 8 == 0) {
			down_write(&rwsem);
			WRITE_ONCE(plain_a, plain_a + 1);
			if (i % 32 == 0)
				schedule();
			WRITE_ONCE(plain_b, plain_b + 1);
			if (i % 16 == 0) {
				downgrade_write(&rwsem);
				if (READ_ONCE(plain_a) != READ_ONCE(plain_b))
					__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
				up_read(&rwsem);
			} else {
				up_write(&rwsem);
			}
		} else {
			down_read(&rwsem);
			if (READ_ONCE(plain_a) != READ_ONCE(plain_b))
				__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
			up_read(&rwsem);
		}
	}
}

KTEST(rwsem_readers_see_whole_writes)
{
	plain_a = plain_b = torn = reads = 0;
	crew_start(read_or_write, 8, true);
	crew_wait();
	KCHECK_EQ(torn, 0);
	KCHECK_EQ(plain_a, 8 * 250);
	KCHECK_EQ(reads, 8 * 1750);
	KCHECK_EQ(rwsem.count, 0);
}

KTEST(rwsem_trylock)
{
	KCHECK(down_read_trylock(&rwsem));
	KCHECK(down_read_trylock(&rwsem));
	KCHECK(!down_write_trylock(&rwsem));
	up_read(&rwsem);
	up_read(&rwsem);
	KCHECK(down_write_trylock(&rwsem));
	KCHECK(!down_read_trylock(&rwsem));
	up_write(&rwsem);
	KCHECK_EQ(rwsem.count, 0);
}

/* --- RCU ------------------------------------------------------------------------------------------- */

#define ALIVE 0x600dbeefull

struct rcu_object {
	u64 magic;
	struct rcu_head rcu;
};
static struct rcu_object *published;
static u32 freed, stop_readers;

static void free_object(struct rcu_head *h)
{
	struct rcu_object *o = container_of(h, struct rcu_object, rcu);

	WRITE_ONCE(o->magic, 0);
	kfree(o);
	__atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
}

static struct rcu_object *new_object(void)
{
	struct rcu_object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (o)
		o->magic = ALIVE;
	return o;
}

static void rcu_reader(struct crew *c, int id)
{
	while (!READ_ONCE(stop_readers)) {
		rcu_read_lock();
		struct rcu_object *o = rcu_dereference(published);
		for (int i = 0; i < 50; i++)
			if (READ_ONCE(o->magic) != ALIVE)
				__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
		rcu_read_unlock();
		reads++;
		if (id % 2)
			cond_resched();
		else
			nap(1000);
	}
}

KTEST(rcu_readers_never_see_freed_objects)
{
	struct rcu_object *old, *new;
	u32 updates = 0;

	torn = freed = stop_readers = 0;
	published = new_object();
	KCHECK(published);
	if (!published)
		return;
	crew_start(rcu_reader, nr_cpus > 1 ? nr_cpus : 2, true);
	for (int i = 0; i < 300; i++) {
		new = new_object();
		if (!new)
			continue;
		old = published;
		rcu_assign_pointer(published, new);
		updates++;
		if (i % 30 == 0) {
			synchronize_rcu();
			free_object(&old->rcu);
		} else {
			call_rcu(&old->rcu, free_object);
		}
		nap(NSEC_PER_MSEC / 10);
	}
	rcu_barrier();
	KCHECK_EQ(freed, updates);
	WRITE_ONCE(stop_readers, 1);
	crew_wait();
	KCHECK_EQ(torn, 0);
	kfree(published);
}

KTEST(rcu_barrier_waits_for_all_callbacks)
{
	freed = 0;
	for (int i = 0; i < 5000; i++) {
		struct rcu_object *o = new_object();

		if (o)
			call_rcu(&o->rcu, free_object);
		else
			freed++;
	}
	rcu_barrier();
	KCHECK_EQ(freed, 5000);
}

/* --- timers ---------------------------------------------------------------------------------------- */

#define TIMERS 64
static struct ktimer timers[TIMERS];
static u32 fired, early, misordered;
static u64 last_expiry;

static void on_timer(struct ktimer *t)
{
	fired++;
	if (ktime_ns() < t->expires)
		early++;
	if (t->expires < last_expiry)
		misordered++;
	last_expiry = t->expires;
}

KTEST(timer_order_and_time)
{
	u64 now;

	fired = early = misordered = 0;
	last_expiry = 0;
	u64 flags = local_irq_save(); /* all on one CPU, and none fires before the last is set: a stalled virtual CPU may need long */
	now = ktime_ns() + NSEC_PER_MSEC;
	for (int i = 0; i < TIMERS; i++) {
		ktimer_init(&timers[i], on_timer);
		ktimer_start(&timers[i], now + get_random_below(10 * NSEC_PER_MSEC));
	}
	/* every fourth moves, every fifth goes */
	for (int i = 0; i < TIMERS; i += 4)
		ktimer_start(&timers[i], now + get_random_below(5 * NSEC_PER_MSEC));
	u32 cancelled = 0;
	for (int i = 0; i < TIMERS; i += 5)
		cancelled += ktimer_cancel(&timers[i]);
	local_irq_restore(flags);
	for (int i = 0; i < 2000 && READ_ONCE(fired) < TIMERS - cancelled; i++)
		nap(NSEC_PER_MSEC);
	KCHECK_EQ(fired, TIMERS - cancelled);
	KCHECK_EQ(early, 0);
	KCHECK_EQ(misordered, 0);
	for (int i = 0; i < TIMERS; i++)
		KCHECK(!ktimer_cancel_sync(&timers[i]));
}

static void on_periodic(struct ktimer *t)
{
	if (++fired < 20)
		ktimer_start(t, t->expires + NSEC_PER_MSEC / 2);
}

KTEST(timer_rearms_itself)
{
	fired = 0;
	ktimer_init(&timers[0], on_periodic);
	ktimer_start(&timers[0], ktime_ns());
	for (int i = 0; i < 2000 && READ_ONCE(fired) < 20; i++)
		nap(NSEC_PER_MSEC);
	ktimer_cancel_sync(&timers[0]);
	KCHECK_EQ(fired, 20);
}

static void fight_for_timers(struct crew *c, int id)
{
	for (int i = 0; i < 2000; i++) {
		struct ktimer *t = &timers[get_random_below(4)];

		if (get_random_below(3))
			ktimer_start(t, ktime_ns() + get_random_below(200000));
		else
			ktimer_cancel_sync(t);
	}
}

KTEST(timer_moves_between_cpus)
{
	for (int i = 0; i < 4; i++)
		ktimer_init(&timers[i], on_timer);
	crew_start(fight_for_timers, 4, true);
	crew_wait();
	for (int i = 0; i < 4; i++)
		ktimer_cancel_sync(&timers[i]);
	for (int i = 0; i < 4; i++)
		KCHECK(!ktimer_active(&timers[i]));
}

/* --- work ------------------------------------------------------------------------------------------ */

static u32 worked;
static struct work works[8];

static void do_work(struct work *w)
{
	nap(NSEC_PER_MSEC / 10);
	__atomic_fetch_add(&worked, 1, __ATOMIC_RELAXED);
}

KTEST(work_runs_once_per_queueing)
{
	u32 queued = 0;

	worked = 0;
	for (int i = 0; i < 8; i++)
		work_init(&works[i], do_work);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 8; i++)
			queued += schedule_work(&works[i]);
		for (int i = 0; i < 8; i++)
			flush_work(&works[i]);
		KCHECK_EQ(worked, queued);
	}
	KCHECK_EQ(queued, 80);
}
