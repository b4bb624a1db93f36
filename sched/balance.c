/*
 * Load balancing: threads are pulled, by a CPU that went idle or by a busy CPU's periodic tick.
 *
 * The load of a CPU is the sum of the weights of its runnable threads. An idle CPU takes one queued thread from the CPU with
 * the most load that has more than one. A busy CPU compares every 64 ms with the most loaded CPU and takes threads while
 * that makes the two more equal. A tick on a CPU with queued threads prods one idle CPU, whose idle loop then pulls: idle
 * CPUs do not tick.
 *
 * Looking around is done without locks; the decision is made again under both locks, taken in the order of CPU numbers.
 */
#include "rq.h"

#define BALANCE_TICKS 16
#define BALANCE_MAX_MOVES 8

int load_balance_enabled = 1;

static void lock_two(struct run_queue *a, struct run_queue *b)
{
	if (a->cpu > b->cpu)
		swap(a, b);
	rq_lock(a);
	rq_lock(b);
}

/* The CPU worth taking from: most load among those with a queued thread. */
static struct run_queue *find_busiest(struct run_queue *me)
{
	struct run_queue *best = NULL;
	u64 most = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		struct run_queue *rq = cpu_rq(cpu);
		u64 load = READ_ONCE(rq->fair.load);

		if (rq == me || READ_ONCE(rq->nr_running) < 2 || load <= most)
			continue;
		most = load;
		best = rq;
	}
	return best;
}

/* => both locked */
static void migrate(struct run_queue *from, struct run_queue *to, struct thread *t)
{
	rq_deactivate(from, t, true);
	WRITE_ONCE(t->cpu, to->cpu);
	if (is_fair(t))
		fairq_rebase(&t->se, &from->fair, &to->fair);
	rq_activate(to, t);
	rq_check_preempt(to, t);
}

/* A queued thread of @from that may run on @to and weighs at most @max. Fair ones from the end: they wait longest. */
static struct thread *find_movable(struct run_queue *from, struct run_queue *to, u64 max)
{
	for (int i = 0; from->rt.queued && i < RT_PRIOS; i++) {
		struct thread *t;

		list_for_each_entry(t, &from->rt.list[i], rt_link)
			if (cpumask_has(t->affinity, to->cpu))
				return t;
	}
	for (struct rb_node *n = rb_last(&from->fair.tree.rb_root); n; n = rb_prev(n)) {
		struct thread *t = container_of(rb_entry(n, struct sched_entity, node), struct thread, se);

		if (cpumask_has(t->affinity, to->cpu) && t->se.weight <= max)
			return t;
	}
	return NULL;
}

bool balance_pull(struct run_queue *rq)
{
	struct run_queue *busiest;
	struct thread *t = NULL;

	if (nr_cpus == 1 || !load_balance_enabled)
		return false;
	busiest = find_busiest(rq);
	if (!busiest)
		return false;
	lock_two(rq, busiest);
	if (!rq->nr_running && busiest->nr_running >= 2)
		t = find_movable(busiest, rq, U64_MAX);
	if (t)
		migrate(busiest, rq, t);
	rq_unlock(busiest);
	rq_unlock(rq);
	return t != NULL;
}

static void balance_busy(struct run_queue *rq)
{
	struct run_queue *busiest = find_busiest(rq);

	if (!busiest || READ_ONCE(busiest->fair.load) <= READ_ONCE(rq->fair.load))
		return;
	lock_two(rq, busiest);
	for (int i = 0; i < BALANCE_MAX_MOVES && busiest->nr_running >= 2; i++) {
		s64 more = (s64)(busiest->fair.load - rq->fair.load);
		struct thread *t = more > 1 ? find_movable(busiest, rq, (u64)more / 2) : NULL;

		if (!t)
			break;
		migrate(busiest, rq, t);
	}
	rq_unlock(busiest);
	rq_unlock(rq);
}

void balance_tick(struct run_queue *rq)
{
	cpumask_t idle = READ_ONCE(cpu_idle_mask) & ~cpumask_of(rq->cpu);

	if (!load_balance_enabled)
		return;
	if (rq->nr_running > 1 && idle)
		smp_send_reschedule(__builtin_ctzll(idle));
	if (++rq->balance_ticks >= BALANCE_TICKS) {
		rq->balance_ticks = 0;
		balance_busy(rq);
	}
}
