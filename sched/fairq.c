/*
 * The fair queue (sched/fairq.h): a red-black tree by vruntime with the leftmost entity at hand.
 *
 * A virtual-deadline order (EEVDF) was considered: it needs an augmented tree, which costs on every hop of a ping-pong, and
 * its gain, latency by slice length, is what the sleep credit gives here. The most frequent tree has no or one node: those
 * cases are done without the general rebalancing.
 *
 * Fairness: an entity that is always runnable waits until all others passed its vruntime, so the spread of vruntimes among
 * the runnable is bounded by one slice plus the credit; tests hold that (test/host/fairq_test.c).
 */
#include <sched/fairq.h>

/* 1024 * 1.25^-nice: one step of nice is about 10 % of a CPU between two equals. */
static const u32 nice_weight[40] = {
	88818, 71054, 56843, 45475, 36380, 29104, 23283, 18626, 14901, 11921,
	9537, 7629, 6104, 4883, 3906, 3125, 2500, 2000, 1600, 1280,
	1024, 819, 655, 524, 419, 336, 268, 215, 172, 137,
	110, 88, 70, 56, 45, 36, 29, 23, 18, 15,
};

void fairq_init(struct fair_queue *q)
{
	q->tree = RB_ROOT_CACHED;
	q->min_vruntime = 1ull << 40; /* room below for credits */
	q->load = 0;
	q->queued = 0;
}

void fair_set_weight(struct sched_entity *e, u32 weight)
{
	e->weight = weight;
	e->inv_weight = (u32)((1ull << 32) / weight);
}

void fair_set_nice(struct sched_entity *e, int nice)
{
	fair_set_weight(e, nice_weight[nice + 20]);
}

static void insert_slow(struct fair_queue *q, struct sched_entity *e)
{
	struct rb_node **link = &q->tree.rb_root.rb_node, *parent = NULL;
	bool first = true;

	while (*link) {
		parent = *link;
		if (fair_before(e->vruntime, rb_entry(parent, struct sched_entity, node)->vruntime)) {
			link = &parent->rb_left;
		} else {
			link = &parent->rb_right;
			first = false;
		}
	}
	rb_link_node(&e->node, parent, link);
	rb_insert_color_cached(&e->node, &q->tree, first);
}

void fairq_insert(struct fair_queue *q, struct sched_entity *e)
{
	if (likely(!q->queued++)) {
		rb_link_node(&e->node, NULL, &q->tree.rb_root.rb_node);
		e->node.__rb_parent_color = 1; /* black root */
		q->tree.rb_leftmost = &e->node;
		return;
	}
	insert_slow(q, e);
}

void fairq_erase(struct fair_queue *q, struct sched_entity *e)
{
	if (likely(!--q->queued)) {
		q->tree = RB_ROOT_CACHED;
		return;
	}
	rb_erase_cached(&e->node, &q->tree);
}

struct sched_entity *fairq_pick(struct fair_queue *q, struct sched_entity *hint)
{
	struct sched_entity *e = fairq_first(q);

	if (!e)
		return NULL;
	if (unlikely(hint && hint != e) && fair_before(hint->vruntime, e->vruntime + FAIR_HINT_NS))
		e = hint;
	fairq_erase(q, e);
	return e;
}

void fairq_place(struct fair_queue *q, struct sched_entity *e, bool fork)
{
	u64 v = q->min_vruntime;

	if (fork) { /* a new entity waits for its turn: forking must not win CPU time */
		e->vruntime = v + fair_scale(e, FAIR_SLEEP_CREDIT_NS / 2);
		return;
	}
	v -= FAIR_SLEEP_CREDIT_NS;
	if (fair_before(e->vruntime, v))
		e->vruntime = v;
}

bool fair_should_preempt(const struct sched_entity *curr, const struct sched_entity *e)
{
	return (s64)(curr->vruntime - e->vruntime) > (s64)fair_scale(e, FAIR_WAKE_GRAN_NS);
}

void fairq_rebase(struct sched_entity *e, const struct fair_queue *from, const struct fair_queue *to)
{
	e->vruntime = e->vruntime - from->min_vruntime + to->min_vruntime;
}

u64 fairq_check(const struct fair_queue *q)
{
	const struct rb_node *bad;
	struct sched_entity *prev = NULL;
	u64 wrong = 0, n = 0;

	wrong += rb_check(&q->tree.rb_root, &bad) < 0;
	wrong += q->tree.rb_leftmost != rb_first(&q->tree.rb_root);
	for (struct rb_node *r = rb_first(&q->tree.rb_root); r; r = rb_next(r), n++) {
		struct sched_entity *e = rb_entry(r, struct sched_entity, node);

		wrong += prev && fair_before(e->vruntime, prev->vruntime);
		prev = e;
	}
	return wrong + (n != q->queued);
}
