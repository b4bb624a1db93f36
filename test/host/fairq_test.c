// SOURCES: sched/fairq.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/*
 * The fair queue against a simulated CPU: order, shares by weight, bounded lag, wake-up placement, hints, and the checker
 * after every step of a random run.
 */
#include "check.h"
#include <sched/fairq.h>

#define TICK 4000000ull

static struct fair_queue q;
static struct sched_entity e[64];

static void add(struct sched_entity *s, int nice, bool fork)
{
	memset(s, 0, sizeof(*s));
	fair_set_nice(s, nice);
	fairq_place(&q, s, fork);
	q.load += s->weight;
	fairq_insert(&q, s);
}

static uint64_t rnd_state = 88172645463325252ull;
static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

/* Runs what is first for one tick, n times. */
static void run(int ticks)
{
	static u64 now;

	for (int i = 0; i < ticks; i++) {
		struct sched_entity *s = fairq_pick(&q, NULL);

		s->exec_start = now;
		now += TICK;
		fairq_charge(&q, s, now);
		fairq_insert(&q, s);
	}
}

static void equal_weights_share_equally(void)
{
	fairq_init(&q);
	for (int i = 0; i < 5; i++)
		add(&e[i], 0, true);
	run(1000);
	for (int i = 0; i < 5; i++) {
		CHECK(e[i].sum_exec >= 199 * TICK);
		CHECK(e[i].sum_exec <= 201 * TICK);
	}
	CHECK_EQ(fairq_check(&q), 0);
}

static void weights_share_in_proportion(void)
{
	u64 total = 0, weights = 0;

	fairq_init(&q);
	for (int i = 0; i < 4; i++) {
		add(&e[i], i * 5 - 5, true);
		weights += e[i].weight;
	}
	run(40000);
	for (int i = 0; i < 4; i++)
		total += e[i].sum_exec;
	for (int i = 0; i < 4; i++) {
		double want = (double)total * e[i].weight / weights;

		CHECK(e[i].sum_exec > want * 0.98 - 2 * TICK);
		CHECK(e[i].sum_exec < want * 1.02 + 2 * TICK);
	}
}

static void every_nice_level_is_a_tenth(void)
{
	struct sched_entity a, b;

	for (int n = -20; n < 19; n++) {
		fair_set_nice(&a, n);
		fair_set_nice(&b, n + 1);
		double ratio = (double)a.weight / b.weight;

		CHECK(ratio > 1.18 && ratio < 1.32);
	}
	fair_set_nice(&a, 0);
	CHECK_EQ(a.weight, FAIR_WEIGHT_0);
	CHECK_EQ(fair_scale(&a, 12345), 12345);
	fair_set_weight(&b, 2048);
	CHECK_EQ(fair_scale(&b, 1000000), 500000);
}

static void sleep_is_not_saved_up(void)
{
	fairq_init(&q);
	add(&e[0], 0, true);
	add(&e[1], 0, true);
	struct sched_entity *slept = fairq_pick(&q, NULL);
	struct sched_entity *other = slept == &e[0] ? &e[1] : &e[0];

	q.load -= slept->weight;
	run(1000); /* the other one alone: 4 s */
	fairq_place(&q, slept, false);
	q.load += slept->weight;
	CHECK(fair_before(slept->vruntime, other->vruntime));
	CHECK(other->vruntime - slept->vruntime <= FAIR_SLEEP_CREDIT_NS + TICK);
	CHECK(fair_should_preempt(other, slept));
	fairq_insert(&q, slept);
	u64 had = slept->sum_exec;

	run(100);
	CHECK(slept->sum_exec - had <= 52 * TICK);
}

static void a_new_one_waits_for_its_turn(void)
{
	fairq_init(&q);
	add(&e[0], 0, true);
	run(10);
	struct sched_entity *curr = fairq_pick(&q, NULL);

	add(&e[1], 0, true);
	CHECK(!fair_should_preempt(curr, &e[1]));
}

static void equal_ones_run_in_order_of_arrival(void)
{
	fairq_init(&q);
	for (int i = 0; i < 20; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		fair_set_nice(&e[i], 0);
		e[i].vruntime = 1000;
		fairq_insert(&q, &e[i]);
	}
	for (int i = 0; i < 20; i++)
		CHECK(fairq_pick(&q, NULL) == &e[i]);
	CHECK(fairq_pick(&q, NULL) == NULL);
}

static void a_hint_is_followed_within_bounds(void)
{
	fairq_init(&q);
	for (int i = 0; i < 3; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		fair_set_nice(&e[i], 0);
		e[i].vruntime = 1000 + i * (FAIR_HINT_NS / 2 + 1);
		fairq_insert(&q, &e[i]);
	}
	CHECK(fairq_pick(&q, &e[1]) == &e[1]);
	CHECK(fairq_pick(&q, &e[2]) == &e[0]); /* too far behind */
	CHECK(fairq_pick(&q, NULL) == &e[2]);
}

static void a_clock_that_goes_back_charges_nothing(void)
{
	fairq_init(&q);
	add(&e[0], 0, true);
	struct sched_entity *s = fairq_pick(&q, NULL);
	u64 v = s->vruntime;

	s->exec_start = 1000;
	fairq_charge(&q, s, 900);
	CHECK_EQ(s->vruntime, v);
	CHECK_EQ(s->exec_start, 1000);
}

static void rebase_keeps_the_distance(void)
{
	static struct fair_queue p;

	fairq_init(&q);
	fairq_init(&p);
	p.min_vruntime += 123456789;
	memset(&e[0], 0, sizeof(e[0]));
	e[0].vruntime = q.min_vruntime + 77;
	fairq_rebase(&e[0], &q, &p);
	CHECK_EQ(e[0].vruntime, p.min_vruntime + 77);
}

static void random_steps_keep_the_invariants(void)
{
	enum { OFF, ON } state[64] = { OFF };
	struct sched_entity *curr = NULL;
	u64 now = 1;

	fairq_init(&q);
	for (int i = 0; i < 64; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		fair_set_nice(&e[i], (int)(rnd() % 40) - 20);
	}
	for (int step = 0; step < 100000; step++) {
		int i = rnd() % 64;

		now += rnd() % TICK;
		if (curr)
			fairq_charge(&q, curr, now);
		u64 min = q.min_vruntime;

		if (rnd() % 3 == 0) { /* switch */
			if (curr && rnd() % 2)
				fairq_insert(&q, curr);
			else if (curr)
				state[curr - e] = OFF;
			curr = fairq_pick(&q, rnd() % 2 && state[i] == ON && &e[i] != curr ? &e[i] : NULL);
			if (curr)
				curr->exec_start = now;
		} else if (state[i] == OFF) { /* wake */
			fairq_place(&q, &e[i], rnd() % 8 == 0);
			fairq_insert(&q, &e[i]);
			state[i] = ON;
		} else if (&e[i] != curr) { /* migrate away */
			fairq_erase(&q, &e[i]);
			state[i] = OFF;
		}
		CHECK(!fair_before(q.min_vruntime, min));
		if (step % 16 == 0)
			CHECK_EQ(fairq_check(&q), 0);
		if (check_failed_now)
			return;
	}
}

int main(void)
{
	RUN(equal_weights_share_equally);
	RUN(weights_share_in_proportion);
	RUN(every_nice_level_is_a_tenth);
	RUN(sleep_is_not_saved_up);
	RUN(a_new_one_waits_for_its_turn);
	RUN(equal_ones_run_in_order_of_arrival);
	RUN(a_hint_is_followed_within_bounds);
	RUN(a_clock_that_goes_back_charges_nothing);
	RUN(rebase_keeps_the_distance);
	RUN(random_steps_keep_the_invariants);
	return check_done();
}
