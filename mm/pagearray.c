/*
 * pagearray.c - the page structs of a big machine, made by all CPUs.
 *
 * Boot makes the structs of what it uses, and allocation makes those of a section when its zone runs low.  That is cheap for
 * who never uses the rest, but on a big machine in use each 128 MiB would cost some allocation the time to clear 2 MiB.
 * So when more than FILL_LEAST pages are deferred, threads of the lowest priority, one bound to each CPU, make all of them
 * as soon as process 1 exists: nothing of it lies on the way there.
 *
 * Every CPU has its share: of its own node's sections those whose number is its rank modulo the node's CPUs; sections of a
 * node without CPUs are shared by all.  Nobody takes another's, so each CPU's part is the same in every boot; an
 * allocation that runs short meanwhile takes whichever comes first (zone_grow), or waits for one that is being made.
 *
 *	page_array=lazy		structs are made when their memory is used, on a big machine too
 *	page_array=eager	all are made, on a small machine too
 */
#include <mm/section.h>

#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/wait.h>
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <kernel/time.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/vmstat.h>

#define FILL_LEAST ((4ull << 30) >> PAGE_SHIFT)

static u32 made[MAX_CPUS];	/* sections; written by the CPU's thread */
static s32 running;		/* (a) */
static u64 began;

/* Rank of the CPU among those that work on a node, and their number; false: it is none of them. */
static bool share_of(int cpu, int node, u64 *k, u64 *n)
{
	bool own = false;
	int c;

	*k = *n = 0;
	for_each_online_cpu(c)
		own |= cpu_to_node(c) == node;
	for_each_online_cpu(c) {
		if (own && cpu_to_node(c) != node)
			continue;
		if (c < cpu)
			(*k)++;
		(*n)++;
	}
	return !own || cpu_to_node(cpu) == node;
}

static void report(void)
{
	char text[256];
	struct seq_buf s;
	u32 cpus = 0, sections = 0;

	seq_buf_init(&s, text, sizeof(text));
	for (int c = 0; c < MAX_CPUS; c++) {
		cpus += made[c] != 0;
		sections += made[c];
		if (made[c])
			seq_printf(&s, " %u", made[c]);
	}
	pr_info("mm: page structs of %u sections made by %u CPUs in %llu ms:%.*s\n", sections, cpus,
		(ktime_ns() - began) / NSEC_PER_MSEC, (int)s.len, text);
}

static int filler(void *arg)
{
	int cpu = (int)(u64)arg;
	struct zone *z;
	u64 k, n;

	kthread_set_lowest();
	for_each_zone(z) {
		if (!share_of(cpu, z->node, &k, &n))
			continue;
		while (zone_grow_share(z, k, n)) {
			made[cpu]++;
			count_vm_event(PAGE_ARRAY_FILLED);
			cond_resched();
		}
	}
	if (__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL) == 0)
		report();
	return 0;
}

static bool wanted(void)
{
	u64 deferred = 0;
	struct zone *z;
	char word[8];

	for_each_zone(z)
		deferred += READ_ONCE(z->deferred);
	if (cmdline_get("page_array", word, sizeof(word)) > 0) {
		if (streq(word, "lazy"))
			return false;
		if (streq(word, "eager"))
			return deferred != 0;
	}
	return deferred >= FILL_LEAST;
}

void page_array_fill(void)
{
	int cpu;

	if (!wanted())
		return;
	began = ktime_ns();
	running = 1;
	for_each_online_cpu(cpu) {
		__atomic_fetch_add(&running, 1, __ATOMIC_RELAXED);
		/* without memory for a thread its share is made when it is needed */
		if (!kthread_run(filler, (void *)(u64)cpu, cpu, "pagearray/%d", cpu))
			__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
	}
	if (__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL) == 0)
		report();
}
