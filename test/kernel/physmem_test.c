/*
 * Pages and objects on all CPUs at once: what one thread owns no other touches, what was given
 * back is all there afterwards, and the checkers agree.
 */
#include <kernel/cpumask.h>
#include <kernel/ktest.h>
#include <kernel/kthread.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/check.h>
#include <mm/failinject.h>
#include <mm/kstack.h>
#include <mm/section.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <mm/vmstat.h>

#define HELD 128

static s32 running;			/* (a) */
static DEFINE_WAIT_QUEUE(finished);
static void *exchange[256];		/* (a) objects that change owners */
static struct kmem_cache *cache;

static u64 next_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void done(void)
{
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	wake_up_all(&finished);
}

static void run_everywhere(int (*fn)(void *))
{
	int cpu;

	for_each_online_cpu(cpu) {
		for (int k = 0; k < 2; k++) {
			__atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
			if (!kthread_run(fn, (void *)(u64)(cpu * 2 + k + 1), cpu, "ktest/%d", cpu)) {
				ktest_fail(__FILE__, __LINE__, "no thread");
				done();
			}
		}
	}
	wait_event(finished, READ_ONCE(running) == 0);
}

static void pause_ns(u64 ns)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_until(ktime_ns() + ns);
}

static u64 quiet_free(void)
{
	rcu_barrier();
	kstack_reap();
	kmem_reap_all();
	pcp_drain_all();
	/* Page structs made meanwhile took memory for good; each CPU keeps stacks of threads that ended there for the next ones. */
	return nr_free_pages() + page_array_pages() + vm_state_sum(NR_KSTACK_PAGES);
}

static int page_worker(void *arg)
{
	struct page *held[HELD] = { NULL };
	u8 order[HELD];
	u64 me = (u64)arg, seed = me * 0x9e3779b97f4a7c15ULL;

	for (int step = 0; step < 20000; step++) {
		u64 r = next_random(&seed);
		u32 k = r % HELD;

		if (held[k]) {
			u64 *mem = page_address(held[k]);

			KCHECK(mem[0] == (me << 32 | k) && held[k]->refcount == 1);
			free_pages(held[k], order[k]);
			held[k] = NULL;
			continue;
		}
		order[k] = r >> 20 & 7 ? 0 : r >> 24 & 3;
		held[k] = alloc_pages((r >> 30 & 1 ? GFP_USER : GFP_KERNEL) |
				      (r >> 31 & 1 ? GFP_ZERO : 0) | GFP_NOWARN, order[k]);
		if (held[k]) {
			u64 *mem = page_address(held[k]);

			if (r >> 31 & 1)
				KCHECK(!memchr_inv(mem, 0, PAGE_SIZE << order[k]));
			memset(mem, 0xa5, PAGE_SIZE);
			mem[0] = me << 32 | k;
		}
	}
	for (u32 k = 0; k < HELD; k++)
		if (held[k])
			free_pages(held[k], order[k]);
	done();
	return 0;
}

KTEST(mm_pages_smp)
{
	u64 before, after;

	run_everywhere(page_worker);
	before = quiet_free();
	run_everywhere(page_worker);
	after = quiet_free();
	/* Threads that just ended hold on to a stack and a task until they are switched from and reaped. */
	for (int tries = 0; tries < 100 && after + 64 < before; tries++) {
		pause_ns(10 * NSEC_PER_MSEC);
		after = quiet_free();
	}
	if (after + 64 < before)
		ktest_fail(__FILE__, __LINE__, "%llu of %llu pages are back", after, before);
	KCHECK_EQ(check_everything(), 0);
}

struct thing {
	u64 magic, owner;
	u64 body[10];
};

static void thing_init(void *p)
{
	struct thing *t = p;

	t->magic = 0x7468696e67;
	t->owner = 0;
}

/* Takes objects, swaps them with other threads', frees what it gets. */
static int object_worker(void *arg)
{
	u64 me = (u64)arg, seed = me * 0x2545f4914f6cdd1dULL;

	for (int step = 0; step < 30000; step++) {
		u64 r = next_random(&seed);
		struct thing *t = kmem_cache_alloc(cache, GFP_KERNEL), *other;
		u8 *bytes = kmalloc(1 + r % 3000, GFP_KERNEL);

		if (bytes) {
			bytes[r % 3000] = (u8)me;
			kfree(bytes);
		}
		if (!t)
			continue;
		KCHECK(t->magic == 0x7468696e67 && t->owner == 0);
		t->owner = me;
		other = xchg(&exchange[r >> 40 & 255], (void *)t);
		if (other) {
			KCHECK(other->magic == 0x7468696e67 && other->owner != 0);
			other->owner = 0;
			kmem_cache_free(cache, other);
		}
	}
	done();
	return 0;
}

KTEST(mm_objects_smp)
{
	cache = kmem_cache_create("ktest-thing", sizeof(struct thing), 0, SLAB_HWCACHE_ALIGN,
				  thing_init);
	KCHECK(cache);
	if (!cache)
		return;
	run_everywhere(object_worker);
	for (u32 i = 0; i < 256; i++) {
		struct thing *t = exchange[i];

		exchange[i] = NULL;
		if (t) {
			t->owner = 0;
			kmem_cache_free(cache, t);
		}
	}
	kmem_reap_all();
	KCHECK_EQ(kmem_cache_active(cache), 0);
	KCHECK_EQ(check_everything(), 0);
	kmem_cache_destroy(cache);
}

static int vmalloc_worker(void *arg)
{
	u64 me = (u64)arg, seed = me * 77777777777777ULL;

	for (int step = 0; step < 200; step++) {
		u64 len = next_random(&seed) % 100000 + 1;
		u8 *p = vmalloc(len);

		if (!p)
			continue;
		memset(p, (int)me, len);
		KCHECK(!memchr_inv(p, (int)(u8)me, len));
		vfree(p);
	}
	done();
	return 0;
}

KTEST(mm_vmalloc_smp)
{
	run_everywhere(vmalloc_worker);
	KCHECK_EQ(check_everything(), 0);
}

KTEST(mm_zeroed_pages_are_zero)
{
	struct page *p[200];

	for (int round = 0; round < 3; round++) {
		while (page_zero_idle())
			;
		for (int i = 0; i < 200; i++) {
			p[i] = alloc_page(GFP_USER | GFP_ZERO);
			KCHECK(p[i] && !memchr_inv(page_address(p[i]), 0, PAGE_SIZE));
		}
		for (int i = 0; i < 200; i++) {
			if (p[i]) {
				memset(page_address(p[i]), 0xff, PAGE_SIZE);
				free_pages(p[i], 0);
			}
		}
	}
}

KTEST(mm_fail_nth)
{
	u64 failed = 0;

	for (u64 n = 1; n < 60; n++) {
		void *a, *b, *c;

		fail_nth_arm(current_thread(), n);
		a = kmalloc(100, GFP_KERNEL);
		b = vmalloc(20000);
		c = get_zeroed_page(GFP_KERNEL);
		fail_nth_arm(NULL, 0);
		failed += !a + !b + !c;
		kfree(a);
		vfree(b);
		put_free_page(c);
	}
	KCHECK(failed >= 8);
	KCHECK_EQ(check_everything(), 0);
}
