/*
 * shrinker.c - asking caches to shrink, and the intervals of working sets.
 *
 * Whoever keeps unused objects for later (names and inodes of the file layer) registers how to count and how to drop them.
 * The allocator calls shrink_objects when it is short, with a falling priority: first an eighth of each cache, in the end
 * all (mm/zone.c).  What a scan frees are objects; their pages come free when the object caches are reaped afterwards.
 *
 * Shrinkers are never unregistered, so the list is walked without its lock: it only grows, at the tail.
 *
 * Every KMEM_INTERVAL_NS a timer has the object caches begin a new interval for the working sets of their depots.  The
 * timer's handler runs in interrupt context, where depots must not be touched, so a worker does it.
 */
#include <mm/shrinker.h>

#include <kernel/kthread.h>
#include <kernel/time.h>
#include <lib/assert.h>
#include <mm/slab.h>
#include <mm/vmstat.h>

#define SCAN_LEAST 128

static DEFINE_SPINLOCK(shrinker_lock);
static LIST_HEAD(shrinkers);

void shrinker_register(struct shrinker *s)
{
	spin_lock(&shrinker_lock);
	list_add_tail(&s->link, &shrinkers);
	spin_unlock(&shrinker_lock);
}

u64 shrink_objects(unsigned int priority)
{
	struct shrinker *s;
	u64 freed = 0;

	list_for_each_entry(s, &shrinkers, link) {
		u64 have = s->count(), n = min(have, max(have >> priority, (u64)SCAN_LEAST));

		if (!n)
			continue;
		count_vm_events(SLABS_SCANNED, n);
		freed += s->scan(n);
	}
	return freed;
}

static void new_interval(struct work *w __unused)
{
	kmem_new_interval();
}

static struct work interval_work = WORK_INIT(new_interval);

static void interval_over(struct ktimer *t)
{
	schedule_work(&interval_work);
	ktimer_start(t, ktime_ns() + KMEM_INTERVAL_NS);
}

void shrinker_init(void)
{
	static struct ktimer timer;

	ktimer_init(&timer, interval_over);
	ktimer_start(&timer, ktime_ns() + KMEM_INTERVAL_NS);
}
