/*
 * The fair queue: runnable threads ordered by the CPU time they had, scaled by weight. Pure.
 *
 * vruntime of an entity grows by (ns on the CPU) * 1024 / weight. The one with the least runs next; so over time each gets CPU
 * in proportion to its weight. The running entity is not in the tree. min_vruntime never goes back and follows the least
 * vruntime of all; entities that slept are placed near it, so that sleep is not saved up.
 */
#ifndef SCHED_FAIRQ_H
#define SCHED_FAIRQ_H

#include <lib/rbtree.h>
#include <lib/types.h>

#define FAIR_WEIGHT_0 1024u /* nice 0 */
#define FAIR_WEIGHT_IDLE 3u /* SCHED_IDLE */
#define FAIR_SLEEP_CREDIT_NS 2000000ull /* a waking entity stands at most this far before the others */
#define FAIR_WAKE_GRAN_NS 1000000ull /* lead a waking entity needs to preempt */
#define FAIR_HINT_NS 4000000ull /* how far behind the first a hinted entity may stand and still be picked */

struct sched_entity {
	struct rb_node node; /* (rq) in the tree while runnable and not running */
	u64 vruntime; /* (rq) ns of CPU time scaled by 1024 / weight; compared by signed difference */
	u32 weight, inv_weight; /* (rq) 2^32 / weight */
	u64 exec_start; /* (rq) clock when sum_exec was last brought up to date */
	u64 sum_exec; /* (rq) ns on a CPU; sched_runtime_ns() is exact */
	u64 slice_start; /* (rq) sum_exec when it was picked */
};

struct fair_queue {
	struct rb_root_cached tree; /* by vruntime; equal ones in order of arrival */
	u64 min_vruntime;
	u64 load; /* sum of weights, the running entity's included */
	u32 queued; /* nodes in the tree */
};

void fairq_init(struct fair_queue *q);
/* Sets the weight for a nice value -20..19, or a given weight. => not in a tree, or its load accounted by the caller */
void fair_set_nice(struct sched_entity *e, int nice);
void fair_set_weight(struct sched_entity *e, u32 weight);
void fairq_insert(struct fair_queue *q, struct sched_entity *e);
void fairq_erase(struct fair_queue *q, struct sched_entity *e);
/* Takes out what runs next: @hint if it is queued and not too far behind (NULL: none), else the first. NULL when empty. */
struct sched_entity *fairq_pick(struct fair_queue *q, struct sched_entity *hint);
/* Gives a waking (slept) or new (@fork) entity its place before it is inserted. */
void fairq_place(struct fair_queue *q, struct sched_entity *e, bool fork);
/* True when the waking @e should run instead of @curr, both up to date. */
bool fair_should_preempt(const struct sched_entity *curr, const struct sched_entity *e);
/* Moves an entity's time base from one queue to another. => in neither tree */
void fairq_rebase(struct sched_entity *e, const struct fair_queue *from, const struct fair_queue *to);
/* Number of broken invariants: order, counts, colours, leftmost. */
u64 fairq_check(const struct fair_queue *q);

static inline struct sched_entity *fairq_first(const struct fair_queue *q)
{
	return rb_entry_safe(q->tree.rb_leftmost, struct sched_entity, node);
}
static inline bool fair_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}
static inline u64 fair_scale(const struct sched_entity *e, u64 delta)
{
	if (likely(e->weight == FAIR_WEIGHT_0))
		return delta;
	return (u64)(((unsigned __int128)delta * e->inv_weight) >> 22); /* * 1024 / weight */
}
/* Charges the running entity for the time since exec_start. A clock that went back charges nothing. */
static inline void fairq_charge(struct fair_queue *q, struct sched_entity *e, u64 now)
{
	u64 delta = now - e->exec_start, min;

	if (unlikely((s64)delta <= 0))
		return;
	e->exec_start = now;
	e->sum_exec += delta;
	min = e->vruntime += fair_scale(e, delta);
	if (q->tree.rb_leftmost && fair_before(fairq_first(q)->vruntime, min))
		min = fairq_first(q)->vruntime;
	if (fair_before(q->min_vruntime, min))
		q->min_vruntime = min;
}

#endif
