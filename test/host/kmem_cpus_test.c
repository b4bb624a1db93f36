// SOURCES: test/host/phys_machine.c test/host/simcpu.c
// ARGS: 12000
// PLANT_ARGS: 12000
// PLANT: mm/kmem.c: loaded = mag_load_full(m, &n->depot);\n\tspin_unlock(&n->depot_lock); => spin_unlock(&n->depot_lock);\n\tloaded = mag_load_full(m, &n->depot);
// PLANT: include/kernel/spinlock.h: if (unlikely(__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE))) => if (0)
// PLANT: mm/kmem.c: call_rcu((struct rcu_head *)&p->slab_list, slab_rcu_free); => slab_pages_free(p);
/*
 * Page lists, magazines, depots, slabs and zones used by four CPUs at once, under ThreadSanitizer: what one CPU allocates
 * another frees, CPUs ask each other to drain, and readers hold on to objects of a SLAB_RCU cache that are freed and used again.
 * An object or page has one owner at a time, whose stamp it keeps; at the end all is free again and the kernel's checkers
 * find nothing.
 */
#include <sched.h>
#include <kernel/rcu.h>
#include <mm/check.h>
#include <mm/section.h>
#include <mm/slab_impl.h>
#include <mm/zone.h>
#include "phys_machine.h"
#include "simcpu.h"

enum { CPUS = 4, SLOTS = 512, SHOWN = 128 };

/* What is on its way from one CPU to another. */
struct thing {
	struct thing *self;	/* stamp */
	u64 kind;		/* order of pages, else a cache */
	u64 stamp;
};
enum { KIND_SMALL = 16, KIND_CACHE, NR_KINDS };

static struct thing *slots[SLOTS];	/* (a) */
static struct kmem_cache *plain, *typed;
static u64 rounds;
static u64 wrong, passed_on;		/* (a) */
static u64 settled_free;
static bool settled;

/* Objects of a type-stable cache: readers find what the constructor wrote, whether the object is in use or not. */
struct stable {
	u64 owned[250];
	u64 always;
};
static struct stable *shown[SHOWN];	/* (a) what readers look at */

static void stable_ctor(void *p)
{
	struct stable *s = p;

	s->always = 0x5ab1e;
}

static void complain(bool bad)
{
	if (bad)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static struct thing *make(void)
{
	u64 kind = sim_rand_below(NR_KINDS + 8), n = sizeof(struct thing);
	struct thing *t;
	struct page *p;

	if (kind > NR_KINDS)
		kind = 0;
	switch (kind) {
	case 3 ... 15:
		kind = KIND_SMALL;
		fallthrough;
	case KIND_SMALL:
		t = kmalloc(n + sim_rand_below(500), GFP_KERNEL);
		break;
	case KIND_CACHE:
		t = kmem_cache_alloc(plain, GFP_KERNEL);
		break;
	default:
		kind = kind < 3 ? kind : 0;
		p = alloc_pages((sim_rand_below(4) ? 0 : GFP_ZERO) | GFP_USER | GFP_NOWARN, (u32)kind);
		t = p ? page_address(p) : NULL;
	}
	if (!t)
		return NULL;
	WRITE_ONCE(t->self, t);
	WRITE_ONCE(t->kind, kind);
	WRITE_ONCE(t->stamp, (u64)(uintptr_t)t * 3);
	return t;
}

static void drop(struct thing *t)
{
	u64 kind = READ_ONCE(t->kind);

	complain(READ_ONCE(t->self) != t || READ_ONCE(t->stamp) != (u64)(uintptr_t)t * 3);
	WRITE_ONCE(t->self, NULL);
	if (kind == KIND_SMALL)
		kfree(t);
	else if (kind == KIND_CACHE)
		kmem_cache_free(plain, t);
	else
		free_pages(virt_to_page(t), (u32)kind);
}

/* One half of the CPUs make things, the other frees them; now and then they change places. */
static void exchange(bool maker)
{
	struct thing *t = maker ? make() : NULL;

	t = xchg(&slots[sim_rand_below(SLOTS)], t);
	if (!t)
		return;
	__atomic_fetch_add(&passed_on, 1, __ATOMIC_RELAXED);
	drop(t);
}

/* A reader's object may be freed and be another's meanwhile, but it stays an object of the cache. */
static void look(void)
{
	struct stable *s;

	rcu_read_lock();
	s = READ_POINTER(shown[sim_rand_below(SHOWN)]);
	if (sim_rand_below(16) == 0)
		sched_yield();
	complain(s && s->always != 0x5ab1e);
	rcu_read_unlock();
}

/* All CPUs put objects up for some time, then all take them away, so that slabs become empty under the readers. */
static void show(bool more)
{
	struct stable *s = more ? kmem_cache_alloc(typed, GFP_KERNEL) : NULL;

	if (s)
		memset(s->owned, 1, sizeof(s->owned));
	s = xchg(&shown[sim_rand_below(SHOWN)], s);
	if (s)
		kmem_cache_free(typed, s);
}

static void cpu(int n)
{
	for (u64 i = 0; i < rounds; i++) {
		exchange((i / 1000 + (u64)n) & 1);
		look();
		show(i / 512 & 1);
		if (sim_rand_below(1000) == 0)
			kmem_reap_all();
		if (sim_rand_below(2000) == 0)
			pcp_drain_all();
		sim_pass();
	}
}

/* CPU 0 takes back what all have. */
static void settle(int n)
{
	if (n == 0) {
		quiet_free();	/* what this gives to RCU, */
		settled_free = quiet_free() + page_array_pages();	/* this waits for */
		WRITE_ONCE(settled, true);
	}
	while (!READ_ONCE(settled))
		sim_pass();
}

static u64 all_free(void)
{
	settled = false;
	sim_run(settle);
	return settled_free;
}

static void cpus_free_each_others(void)
{
	u64 before;

	plain = kmem_cache_create("plain", 120, 0, 0, NULL);
	typed = kmem_cache_create("typed", sizeof(struct stable), 64, SLAB_RCU | SLAB_NOMAG, stable_ctor);
	CHECK_OR_RETURN(plain && typed);
	before = all_free();
	sim_run(cpu);
	CHECK_EQ(wrong, 0);
	CHECK(passed_on > rounds / 2);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i])
			drop(slots[i]);
	for (int i = 0; i < SHOWN; i++)
		if (shown[i])
			kmem_cache_free(typed, shown[i]);
	CHECK_EQ(check_everything(), 0);
	CHECK_EQ(all_free(), before);
	CHECK_EQ(check_everything(), 0);
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 12000;
	slabdebug = "off";
	sim_start(CPUS);
	machine_boot();
	RUN(cpus_free_each_others);
	return check_done();
}
