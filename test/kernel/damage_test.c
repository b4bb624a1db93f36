/*
 * Damage on purpose: what the allocators' debugging must see.  Objects of a checked cache are overrun, freed twice, written to
 * after free, lost; free pages are written to while page_poison is on (its tests do nothing otherwise: the boots "poison" and
 * "init" of test/run have the words).  What is printed on the way is expected.
 */
#include <kernel/cpumask.h>
#include <kernel/ktest.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/check.h>
#include <mm/pagedebug.h>
#include <mm/shrinker.h>
#include <mm/slab_impl.h>
#include <mm/vmstat.h>
#include <mm/zone.h>

static const char *said;	/* what the checked cache last complained of */

static void note(const struct slab_shape *s __unused, const void *obj, const char *what)
{
	pr_notice("damage_test: object %p: %s\n", obj, what);
	said = what;
}

static struct kmem_cache *checked_cache(u32 flags)
{
	struct kmem_cache *c = kmem_cache_create("damage", 100, 8, flags, NULL);

	if (c)
		c->shape.broken = note;
	return c;
}

static bool complained(const char *what)
{
	bool yes = said && strstr(said, what);

	said = NULL;
	return yes;
}

KTEST(damage_slab)
{
	struct kmem_cache *c = checked_cache(SLAB_CHECKED);
	u8 *o = kmem_cache_alloc(c, GFP_KERNEL);

	KCHECK(c && o && o[0] == 0x6b);
	said = NULL;
	kmem_cache_free(c, o);
	KCHECK(!said);
	kmem_cache_free(c, o);				/* twice */
	KCHECK(complained("twice"));
	kmem_cache_destroy(c);
	c = checked_cache(SLAB_CHECKED);
	o = kmem_cache_alloc(c, GFP_KERNEL);
	for (int off = -1; off <= 100; off += 101) {	/* one byte before, one behind */
		u8 was = o[off];

		o[off] = 1;
		kmem_cache_free(c, o);
		KCHECK(complained("redzone"));
		o = kmem_cache_alloc(c, GFP_KERNEL);
		KCHECK(!said && o[off] == was);
	}
	kmem_cache_free(c, o);
	o[50] ^= 1;					/* after free */
	KCHECK(slab_check() != 0);
	o = kmem_cache_alloc(c, GFP_KERNEL);
	KCHECK(complained("written to"));
	kmem_cache_free(c, o + 8);			/* not an object */
	KCHECK(complained("no object"));
	kmem_cache_free(c, o);
	kmem_cache_destroy(c);
	KCHECK_EQ(slab_check(), 0);
}

KTEST(damage_slab_leak)
{
	struct kmem_cache *c = checked_cache(0);
	u64 leaks = kmem_leaks;
	void *o = kmem_cache_alloc(c, GFP_KERNEL);

	kmem_cache_destroy(c);				/* refuses: one is lost */
	KCHECK_EQ(kmem_leaks, leaks + 1);
	KCHECK_EQ(kmem_cache_active(c), 1);
	kmem_cache_free(c, o);
	kmem_cache_destroy(c);
	KCHECK_EQ(kmem_leaks, leaks + 1);
}

/* Counts of a depot against its lists, and its working set against its counts. */
KTEST(damage_depot)
{
	struct kmem_cache *c = kmem_cache_create("damage", 64, 8, 0, NULL);
	static void *o[400];
	struct finding f = { 0 };

	if (c->flags & SLAB_NOMAG)	/* object checking is on for all */
		return kmem_cache_destroy(c);
	preempt_disable();
	for (int i = 0; i < 400; i++)
		o[i] = kmem_cache_alloc(c, GFP_NOWAIT);
	for (int i = 0; i < 400; i++)
		kmem_cache_free(c, o[i]);
	preempt_enable();
	struct depot *d = &kmem_node(c, kmem_node_index[this_node()])->depot;

	KCHECK(d->nfull > 4 && !depot_check_one(d, &f));
	d->nfull++;
	KCHECK(slab_check() != 0);
	d->nfull--;
	d->rounds--;
	KCHECK(slab_check() != 0);
	d->rounds++;
	d->full_min = d->nfull + 1;
	KCHECK(slab_check() != 0);
	depot_new_interval(d);
	KCHECK_EQ(slab_check(), 0);
	kmem_cache_destroy(c);
}

/* A depot gives back what it did not need in the interval, and keeps the rest. */
KTEST(damage_depot_trim)
{
	struct kmem_cache *c = kmem_cache_create("damage", 64, 8, 0, NULL);
	static void *o[200];

	if (c->flags & SLAB_NOMAG)
		return kmem_cache_destroy(c);
	preempt_disable();
	for (int i = 0; i < 200; i++)
		o[i] = kmem_cache_alloc(c, GFP_NOWAIT);
	for (int i = 0; i < 200; i++)
		kmem_cache_free(c, o[i]);
	struct depot *d = &kmem_node(c, kmem_node_index[this_node()])->depot;
	depot_new_interval(d);
	for (int i = 0; i < 100; i++)
		o[i] = kmem_cache_alloc(c, GFP_NOWAIT);
	for (int i = 0; i < 100; i++)
		kmem_cache_free(c, o[i]);
	u32 full = d->nfull, idle = d->full_min;
	preempt_enable();
	KCHECK(idle && idle + 3 <= full);
	kmem_trim();
	KCHECK_EQ(d->nfull, full - idle);
	KCHECK_EQ(slab_check(), 0);
	kmem_reap_all();
	KCHECK_EQ(d->nfull + d->nempty, 0);
	kmem_cache_destroy(c);
}

/* Waiting for a depot's lock makes magazines larger; taking everything back makes them small again. */
KTEST(damage_depot_contended)
{
	struct kmem_cache *c = kmem_cache_create("damage", 64, 8, 0, NULL);
	u64 grown = vm_event_sum(MAGAZINE_GROWN);

	KCHECK_EQ(c->mag_class, 0);
	for (u32 i = 0; i + 1 < DEPOT_CONTENDED; i++)
		kmem_depot_waited(c, &c->first);
	KCHECK_EQ(c->mag_class, 0);
	kmem_depot_waited(c, &c->first);
	KCHECK_EQ(c->mag_class, 1);
	KCHECK_EQ(vm_event_sum(MAGAZINE_GROWN), grown + 1);
	for (u32 i = 0; i < 10 * DEPOT_CONTENDED; i++)
		kmem_depot_waited(c, &c->first);
	KCHECK_EQ(c->mag_class, MAG_CLASSES - 1);
	kmem_reap_all();
	KCHECK_EQ(c->mag_class, 0);
	kmem_cache_destroy(c);
	/* objects of which larger magazines could hold too much of the machine's memory */
	c = kmem_cache_create("damage", 4096, 8, 0, NULL);
	u64 most = 0;
	for (u32 i = 0; i < 10 * DEPOT_CONTENDED; i++)
		kmem_depot_waited(c, &c->first);
	most = (u64)mag_sizes[c->mag_class] * (2ull * (u32)nr_cpus + (u64)DEPOT_MAX_FULL * nr_kmem_nodes);
	KCHECK(!c->mag_class || most * c->shape.stride >> PAGE_SHIFT <= nr_total_pages() / DEPOT_SHARE);
	kmem_cache_destroy(c);
}

static u64 to_drop, dropped;
static u64 fake_count(void) { return to_drop; }
static u64 fake_scan(u64 n)
{
	dropped += min(n, to_drop);
	return min(n, to_drop);
}

KTEST(damage_shrinkers)
{
	static struct shrinker fake = { .name = "ktest", .count = fake_count, .scan = fake_scan };

	shrinker_register(&fake);
	to_drop = 8000;
	shrink_objects(3);
	KCHECK_EQ(dropped, 1000);
	shrink_objects(0);
	KCHECK_EQ(dropped, 9000);
	to_drop = 10;			/* a few go whatever the priority */
	shrink_objects(3);
	KCHECK_EQ(dropped, 9010);
	to_drop = 0;
	shrink_objects(0);
	KCHECK_EQ(dropped, 9010);
}

/* ---- pages ---- */

KTEST(damage_poisoned_page)
{
	u64 before = page_poison_errors();

	if (!(page_debug & PAGE_POISON))
		return;
	preempt_disable();	/* what this CPU frees last it takes next */
	struct page *p = alloc_page(GFP_NOWAIT), *q;
	u8 *mem = page_address(p);

	memset(mem, 7, PAGE_SIZE);
	page_put(p);
	KCHECK(!memchr_inv(mem, POISON_BYTE, PAGE_SIZE));
	KCHECK(p->spare);		/* who freed it */
	q = alloc_page(GFP_NOWAIT);
	KCHECK(q == p);
	KCHECK_EQ(page_poison_errors(), before);
	page_put(q);
	mem[1234] = 0x2a;		/* through a stale pointer */
	q = alloc_page(GFP_NOWAIT | GFP_ZERO);
	preempt_enable();
	KCHECK(q == p);
	KCHECK_EQ(page_poison_errors(), before + 1);
	KCHECK(!memchr_inv(mem, 0, PAGE_SIZE));
	page_put(q);
	/* blocks, and what the checker sees of memory nobody takes */
	p = alloc_pages(GFP_KERNEL, 4);
	KCHECK(p);
	mem = page_address(p);
	free_pages(p, 4);
	pcp_drain_all();
	KCHECK_EQ(page_poison_check(), 0);
	mem[9 * PAGE_SIZE + 1] ^= 0x10;
	KCHECK(page_poison_check() == 1);
	mem[9 * PAGE_SIZE + 1] ^= 0x10;
	KCHECK_EQ(page_poison_check(), 0);
}

KTEST(damage_init_words)
{
	bool on_free = page_debug & INIT_ON_FREE, on_alloc = page_debug & INIT_ON_ALLOC;

	if (page_debug & PAGE_POISON || !page_debug)
		return;
	preempt_disable();
	struct page *p = alloc_page(GFP_NOWAIT);
	u8 *mem = page_address(p), *o;

	KCHECK(!on_alloc || !memchr_inv(mem, 0, PAGE_SIZE));
	memset(mem, 7, PAGE_SIZE);
	page_put(p);
	KCHECK_EQ(!memchr_inv(mem, 0, PAGE_SIZE), on_free);
	KCHECK(alloc_page(GFP_NOWAIT) == p);
	KCHECK(!memchr_inv(mem, 0, PAGE_SIZE));
	page_put(p);
	o = kmalloc(500, GFP_NOWAIT);
	memset(o, 7, 500);
	kfree(o);
	/* a free object's first word may be its link; object checking fills it otherwise */
	if (!(((struct page *)page_head(virt_to_page(o)))->slab_cache->flags & SLAB_NOMAG)) {
		KCHECK_EQ(!memchr_inv(o + 8, 0, 492), on_free);
		KCHECK(kmalloc(500, GFP_NOWAIT) == o);
		KCHECK(!memchr_inv(o, 0, 500));
		kfree(o);
	}
	preempt_enable();
}
