/*
 * A sum that all CPUs change, and nobody needs exactly most of the time.
 *
 * Each CPU adds to a part of its own; a part that leaves -SPREAD_BATCH..SPREAD_BATCH is moved to the common sum. So the common sum
 * alone is wrong by at most SPREAD_BATCH for each CPU, and adding up all parts gives the sum at some moment but for the changes
 * under way. Limits compare with the common sum first and add up only when it is that close (spread_reaches).
 *
 * Cost: one addition in a line of the CPU's own, one atomic addition in SPREAD_BATCH; 64 bytes a CPU.
 */
#ifndef PROC_SPREAD_H
#define PROC_SPREAD_H

#include <kernel/percpu.h>
#include <kernel/preempt.h>

#define SPREAD_BATCH 32

struct spread_part { s32 n; } __attribute__((aligned(64)));
struct spread {
	s64 sum; /* (a) */
	struct spread_part *parts; /* cpus_possible() of them, each (own CPU) */
};

/* => 0 or -ENOMEM; the sum is 0. After kmem_init */
int spread_init(struct spread *s);
void spread_fini(struct spread *s);
/* The sum. => any context; reads a line of each CPU */
s64 spread_sum(const struct spread *s);
/* Is the sum @limit or more? Exact but for changes under way. */
bool spread_reaches(const struct spread *s, s64 limit);
/* => thread context: no interrupt handler changes the same sum */
static inline void spread_add(struct spread *s, s32 n)
{
	preempt_disable();
	struct spread_part *p = &s->parts[smp_processor_id()];
	s32 v = p->n + n;
	if (unlikely(v > SPREAD_BATCH || v < -SPREAD_BATCH)) {
		__atomic_fetch_add(&s->sum, v, __ATOMIC_RELAXED);
		v = 0;
	}
	WRITE_ONCE(p->n, v);
	preempt_enable();
}

#endif
