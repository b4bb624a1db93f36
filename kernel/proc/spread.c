/*
 * The slow halves of include/proc/spread.h: making one, and adding it up.
 */
#include <kernel/cpumask.h>
#include <lib/atomic.h>
#include <mm/slab.h>
#include <proc/spread.h>
#include <uapi/errno.h>

int spread_init(struct spread *s)
{
	s->sum = 0;
	s->parts = kzalloc((u64)cpus_possible() * sizeof(*s->parts), GFP_KERNEL);
	return s->parts ? 0 : -ENOMEM;
}

void spread_fini(struct spread *s)
{
	kfree(s->parts);
}

s64 spread_sum(const struct spread *s)
{
	s64 n = READ_ONCE(s->sum);

	for (int cpu = 0; cpu < cpus_possible(); cpu++)
		n += READ_ONCE(s->parts[cpu].n);
	return n;
}

bool spread_reaches(const struct spread *s, s64 limit)
{
	s64 n = READ_ONCE(s->sum), slack = (s64)SPREAD_BATCH * cpus_possible();

	if (likely(n + slack < limit))
		return false;
	return spread_sum(s) >= limit;
}
