/*
 * In-kernel tests of the scheduler: shares, order, placement. Shares are compared as CPU time against CPU time of threads on
 * the same CPU, so a slow machine changes nothing.
 */
#include <kernel/kthread.h>
#include <kernel/ktest.h>
#include <kernel/random.h>
#include <kernel/time.h>
#include <sched/thread.h>

#define MAX_RUNNERS 16

struct runner {
	int id, cpu, nice;
	u64 runtime; /* (own) */
	u64 count;
};
static struct runner runner[MAX_RUNNERS];
static u32 ready, finished, go, stop;
static DEFINE_WAIT_QUEUE(gate);

static void start(int (*fn)(void *), int n)
{
	ready = finished = go = stop = 0;
	for (int i = 0; i < n; i++) {
		runner[i].id = i;
		runner[i].runtime = runner[i].count = 0;
		if (!kthread_run(fn, &runner[i], runner[i].cpu, "runner/%d", i)) {
			ktest_fail(__FILE__, __LINE__, "no thread");
			__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
			__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
		}
	}
	wait_event(gate, READ_ONCE(ready) == (u32)n);
	WRITE_ONCE(go, 1);
	wake_up_all(&gate);
}

static void enter(struct runner *r)
{
	if (r->nice)
		sched_set_nice(current_thread(), r->nice);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	wake_up_all(&gate);
	wait_event(gate, READ_ONCE(go));
}

static int leave(struct runner *r)
{
	r->runtime = sched_runtime_ns(current_thread());
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	wake_up_all(&gate);
	return 0;
}

static void join(int n)
{
	wait_event(gate, READ_ONCE(finished) == (u32)n);
}

static int spin(void *arg)
{
	struct runner *r = arg;

	enter(r);
	u64 begin = sched_runtime_ns(current_thread());
	while (!READ_ONCE(stop)) {
		r->count++;
		if (r->id == 0 && sched_runtime_ns(current_thread()) - begin > 200 * NSEC_PER_MSEC)
			WRITE_ONCE(stop, 1);
	}
	return leave(r);
}

KTEST(sched_equals_share_equally)
{
	for (int i = 0; i < 3; i++)
		runner[i] = (struct runner){ .cpu = 0 };
	start(spin, 3);
	join(3);
	for (int i = 1; i < 3; i++) {
		KCHECK(runner[i].runtime > runner[0].runtime / 3);
		KCHECK(runner[i].runtime < runner[0].runtime * 3);
	}
	KCHECK_EQ(sched_check(), 0);
}

KTEST(sched_nice_weighs)
{
	runner[0] = (struct runner){ .cpu = 0 };
	runner[1] = (struct runner){ .cpu = 0, .nice = 5 }; /* weight 336 of 1024: a third */
	start(spin, 2);
	join(2);
	KCHECK(runner[1].runtime < runner[0].runtime * 2 / 3);
	KCHECK(runner[1].runtime > runner[0].runtime / 8);
}

static u32 max_lead;

static int yielder(void *arg)
{
	struct runner *r = arg;

	enter(r);
	for (int i = 0; i < 1000; i++) {
		s64 lead = (s64)r->count - (s64)READ_ONCE(runner[!r->id].count);

		r->count++;
		if (lead > (s64)max_lead && READ_ONCE(runner[!r->id].count))
			max_lead = (u32)lead;
		sched_yield();
	}
	return leave(r);
}

KTEST(sched_yield_alternates)
{
	max_lead = 0;
	runner[0] = runner[1] = (struct runner){ .cpu = 0 };
	start(yielder, 2);
	join(2);
	KCHECK_EQ(runner[0].count, 1000);
	KCHECK_EQ(runner[1].count, 1000);
	/* one may run ahead by a bounded part of its debt, never to the end */
	KCHECK(max_lead < 500);
}

static int migrant(void *arg)
{
	struct runner *r = arg;
	int cpu;

	enter(r);
	for (int round = 0; round < 50; round++) {
		for_each_online_cpu(cpu) {
			KCHECK_EQ(sched_set_affinity(current_thread(), cpumask_of(cpu)), 0);
			KCHECK_EQ(smp_processor_id(), cpu);
			r->count++;
		}
	}
	return leave(r);
}

KTEST(sched_affinity_moves_at_once)
{
	for (int i = 0; i < 4; i++)
		runner[i] = (struct runner){ .cpu = -1 };
	start(migrant, 4);
	join(4);
	for (int i = 0; i < 4; i++)
		KCHECK_EQ(runner[i].count, 50ull * (u64)nr_cpus);
	KCHECK_EQ(-sched_set_affinity(current_thread(), 0), EINVAL);
	KCHECK_EQ(sched_check(), 0);
}

static u32 order, rt_turn, fair_turn;

static int rt_runner(void *arg)
{
	struct runner *r = arg;
	bool rt = r->id == 1;

	if (rt)
		KCHECK_EQ(sched_set_policy(current_thread(), SCHED_FIFO, 10, 0), 0);
	enter(r);
	if (rt)
		rt_turn = __atomic_add_fetch(&order, 1, __ATOMIC_SEQ_CST);
	else
		fair_turn = __atomic_add_fetch(&order, 1, __ATOMIC_SEQ_CST);
	return leave(r);
}

KTEST(sched_fifo_runs_first)
{
	/* woken together on one CPU: the real-time thread comes first whatever the order of waking */
	for (int round = 0; round < 10; round++) {
		order = 0;
		runner[0] = runner[1] = (struct runner){ .cpu = 0 };
		sched_set_affinity(current_thread(), cpumask_of(0));
		sched_set_policy(current_thread(), SCHED_FIFO, 50, 0);
		start(rt_runner, 2);
		sched_set_policy(current_thread(), SCHED_NORMAL, 0, 0);
		sched_set_affinity(current_thread(), ~0ull);
		join(2);
		KCHECK_EQ(rt_turn, 1);
		KCHECK_EQ(fair_turn, 2);
	}
	KCHECK_EQ(-sched_set_policy(current_thread(), SCHED_FIFO, 0, 0), EINVAL);
	KCHECK_EQ(-sched_set_policy(current_thread(), SCHED_NORMAL, 1, 0), EINVAL);
	KCHECK_EQ(-sched_set_policy(current_thread(), SCHED_DEADLINE, 0, 0), EINVAL);
}

static int rt_hog(void *arg)
{
	struct runner *r = arg;

	if (r->id == 1)
		KCHECK_EQ(sched_set_policy(current_thread(), SCHED_FIFO, 20, 0), 0);
	enter(r);
	if (r->id == 1)
		while (!READ_ONCE(stop))
			r->count++;
	else
		WRITE_ONCE(stop, 1); /* runs only because the other one is throttled */
	return leave(r);
}

KTEST(sched_realtime_leaves_a_share)
{
	runner[0] = runner[1] = (struct runner){ .cpu = 0 };
	sched_set_policy(current_thread(), SCHED_FIFO, 50, 0);
	start(rt_hog, 2);
	join(2);
	sched_set_policy(current_thread(), SCHED_NORMAL, 0, 0);
	KCHECK_EQ(stop, 1);
}

static u32 tokens[MAX_RUNNERS];
static wait_queue_t token_wait[MAX_RUNNERS];

/* Passes tokens around at random; every wake-up counts. */
static int passer(void *arg)
{
	struct runner *r = arg;

	enter(r);
	for (int i = 0; i < 500; i++) {
		u32 to = get_random_below(MAX_RUNNERS);

		__atomic_fetch_add(&tokens[to], 1, __ATOMIC_SEQ_CST);
		wake_up_key(&token_wait[to], TASK_NORMAL, 1, (int)get_random_below(2), 0);
		wait_event_interruptible_until(token_wait[r->id], READ_ONCE(tokens[r->id]) != 0,
					       ktime_ns() + NSEC_PER_MSEC);
		if (READ_ONCE(tokens[r->id])) {
			__atomic_fetch_sub(&tokens[r->id], 1, __ATOMIC_SEQ_CST);
			r->count++;
		}
		if (i % 50 == 0)
			sched_set_nice(current_thread(), (int)get_random_below(10));
	}
	return leave(r);
}

KTEST(sched_wakeup_storm)
{
	u64 taken = 0, left = 0;

	for (int i = 0; i < MAX_RUNNERS; i++) {
		runner[i] = (struct runner){ .cpu = -1 };
		tokens[i] = 0;
		init_wait_queue(&token_wait[i]);
	}
	start(passer, MAX_RUNNERS);
	join(MAX_RUNNERS);
	for (int i = 0; i < MAX_RUNNERS; i++) {
		taken += runner[i].count;
		left += tokens[i];
	}
	KCHECK_EQ(taken + left, 500 * MAX_RUNNERS);
	KCHECK_EQ(sched_check(), 0);
}
