/*
 * kmem_cache.c - the life of object caches, and what is taken back from them.
 *
 * Memory that caches hold beyond their objects lies in three places: magazines of CPUs, magazines in depots, empty slabs.
 * Two steps take it back:
 *   kmem_trim     the working set stays.  A depot remembers the least number of full and of empty magazines it had since the
 *                 interval began (depot->full_min, empty_min): so many were never asked for, and go.  Empty slabs go.
 *   kmem_reap_all everything goes, the CPUs' magazines too, and the next magazines are small again.
 * The allocator asks for the first when it runs short and for the second when that was not enough (mm/zone.c); intervals of
 * KMEM_INTERVAL_NS are begun by mm/shrinker.c.
 */
#include <mm/slab_impl.h>

#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <lib/bitmap.h>
#include <lib/string.h>
#include <mm/pagedebug.h>
#include <mm/vmstat.h>
#include <mm/zone.h>

static DEFINE_PER_CPU(struct mag_cpu, kmem_cpus[KMEM_MAX_CACHES]);

static DEFINE_SPINLOCK(cache_lock);
static LIST_HEAD(caches);			/* (cache_lock) */
static DECLARE_BITMAP(ids, KMEM_MAX_CACHES);	/* (cache_lock) */
static struct kmem_cache cache_cache;		/* of struct kmem_cache */
static bool kmem_ready;
u64 kmem_leaks;

static void report_broken(const struct slab_shape *s, const void *obj, const char *what)
{
	panic("slab %s: object %p: %s", s->name, obj, what);
}

/* ---- taking memory back ---- */

static void drain_cpu_cache(struct kmem_cache *c)
{
	struct mag_cpu *m = this_cpu_ptr(c->percpu), old = *m;

	*m = (struct mag_cpu){ 0 };
	if (old.loaded) {
		slabs_give(c, old.loaded->round, old.rounds);
		magazine_free(old.loaded);
	}
	if (old.prev) {
		slabs_give(c, old.prev->round, old.prev_rounds);
		magazine_free(old.prev);
	}
}

void kmem_drain_local(void)
{
	struct kmem_cache *c;

	spin_lock(&cache_lock);
	list_for_each_entry(c, &caches, link)
		drain_cpu_cache(c);
	spin_unlock(&cache_lock);
}

/* Takes up to so many magazines of each kind out of a depot and apart. */
static void drain_node(struct kmem_cache *c, struct kmem_node *n, u32 full, u32 empty)
{
	struct magazine *m;

	while (full || empty) {
		spin_lock(&n->depot_lock);
		m = full ? depot_get_full(&n->depot) : NULL;
		full -= m != NULL;
		if (!m) {
			full = 0;
			m = empty ? depot_get_empty(&n->depot) : NULL;
			empty -= m != NULL;
		}
		spin_unlock(&n->depot_lock);
		if (!m)
			break;
		slabs_give(c, m->round, m->rounds);
		magazine_free(m);
	}
}

static void drain_depot(struct kmem_cache *c)
{
	for (u32 k = 0; k < nr_kmem_nodes; k++)
		drain_node(c, kmem_node(c, k), ~0u, ~0u);
}

/* What a cache's depots did not need in this interval. */
static void trim_depot(struct kmem_cache *c)
{
	for (u32 k = 0; k < nr_kmem_nodes; k++) {
		struct kmem_node *n = kmem_node(c, k);

		drain_node(c, n, READ_ONCE(n->depot.full_min), READ_ONCE(n->depot.empty_min));
	}
}

static void drop_empty_of(struct kmem_cache *c, struct kmem_node *n)
{
	LIST_HEAD(gone);
	struct page *p, *next;
	u64 flags;

	spin_lock_irqsave(&n->lock, flags);
	list_splice_init(&n->empty, &gone);
	n->nr_slabs -= n->nr_empty;
	n->nr_empty = 0;
	spin_unlock_irqrestore(&n->lock, flags);
	list_for_each_entry_safe(p, next, &gone, slab_list)
		slab_release(c, p);
}

/* Frees all empty slabs. */
static void drop_empty_slabs(struct kmem_cache *c)
{
	for (u32 k = 0; k < nr_kmem_nodes; k++)
		drop_empty_of(c, kmem_node(c, k));
}

static u64 slab_pages(void)
{
	return vm_state_sum(NR_SLAB) + vm_state_sum(NR_SLAB_RECLAIMABLE);
}

/* Does fn to every depot, then frees empty slabs. => pages that came free */
static u64 reap(void (*fn)(struct kmem_cache *c))
{
	struct kmem_cache *c;
	u64 before = slab_pages(), after;

	spin_lock(&cache_lock);
	list_for_each_entry(c, &caches, link)
		fn(c);
	/* Magazine caches were created first, so they are last on the list: by now the
	 * magazines of all others came back. */
	list_for_each_entry(c, &caches, link)
		drop_empty_slabs(c);
	spin_unlock(&cache_lock);
	after = slab_pages();
	return before > after ? before - after : 0;
}

u64 kmem_trim(void)
{
	return kmem_ready ? reap(trim_depot) : 0;
}

static void drain_all_of(struct kmem_cache *c)
{
	drain_depot(c);
	WRITE_ONCE(c->mag_class, 0);
}

u64 kmem_reap_all(void)
{
	if (!kmem_ready)
		return 0;
	pcp_request_drain(PCP_DRAIN_SLABS);
	return reap(drain_all_of);
}

void kmem_new_interval(void)
{
	struct kmem_cache *c;

	spin_lock(&cache_lock);
	list_for_each_entry(c, &caches, link) {
		for (u32 k = 0; k < nr_kmem_nodes; k++) {
			struct kmem_node *n = kmem_node(c, k);

			spin_lock(&n->depot_lock);
			depot_new_interval(&n->depot);
			spin_unlock(&n->depot_lock);
		}
	}
	spin_unlock(&cache_lock);
}

/* ---- life of caches ---- */

/* slabdebug: all caches; slabdebug=name,name: those; slabdebug=off: none. */
static bool wants_debug(const char *name, u32 flags)
{
	char buf[128], *rest = buf, *word;
	int n = cmdline_get("slabdebug", buf, sizeof(buf));

	if (flags & (SLAB_NODEBUG | SLAB_CHECKED))
		return flags & SLAB_CHECKED;
	if (n < 0) {
#ifdef DEBUG
		return true;
#else
		return cmdline_has("slabdebug");
#endif
	}
	if (!n || streq(buf, "on"))
		return true;
	while ((word = strsep(&rest, ",")))
		if (streq(word, name))
			return true;
	return false;
}

static void node_init(struct kmem_node *n)
{
	spin_lock_init(&n->lock);
	spin_lock_init(&n->depot_lock);
	INIT_LIST_HEAD(&n->partial);
	INIT_LIST_HEAD(&n->full);
	INIT_LIST_HEAD(&n->empty);
}

/* The parts of a cache on nodes but the first: cut from pages, kept for the next cache when one is destroyed. */
static struct kmem_node *spare_nodes;	/* (cache_lock) linked by their first word */
static struct kmem_node *node_room;	/* (cache_lock) */
static u32 node_room_left;

static struct kmem_node *other_nodes_alloc(void)
{
	u32 need = nr_kmem_nodes - 1, order = 0;
	struct kmem_node *n;

	if (!need)
		return NULL;
	spin_lock(&cache_lock);
	n = spare_nodes;
	if (n) {
		spare_nodes = *(struct kmem_node **)n;
	} else {
		if (node_room_left < need) {
			while (PAGE_SIZE << order < need * sizeof(*n))
				order++;
			node_room = get_free_pages(GFP_NOWAIT | GFP_NOFAIL, order);
			node_room_left = node_room ? (u32)((PAGE_SIZE << order) / sizeof(*n)) : 0;
		}
		if (node_room_left >= need) {
			n = node_room;
			node_room += need;
			node_room_left -= need;
		}
	}
	spin_unlock(&cache_lock);
	if (!n)
		panic("mm: no memory for the nodes of an object cache");
	memset(n, 0, need * sizeof(*n));
	return n;
}

/* init_on_alloc and init_on_free: not for objects that keep their state, nor for those that are poisoned. */
static u32 init_flags(u32 flags, void (*ctor)(void *), bool debug)
{
	if (ctor || (flags & SLAB_RCU) || debug)
		return 0;
	return (page_debug & INIT_ON_ALLOC ? SLAB_INIT_ALLOC : 0) | (page_debug & INIT_ON_FREE ? SLAB_INIT_FREE : 0);
}

static void cache_init(struct kmem_cache *c, const char *name, size_t size, size_t align,
		       u32 flags, void (*ctor)(void *))
{
	struct kmem_node *other = other_nodes_alloc();
	bool debug = wants_debug(name, flags);

	if (flags & SLAB_HWCACHE_ALIGN)
		align = max(align, size > 32 ? (size_t)64 : (size_t)8);
	memset(c, 0, sizeof(*c));
	strscpy(c->name, name, sizeof(c->name));
	slab_shape_init(&c->shape, (u32)size, (u32)align, ctor || (flags & SLAB_RCU), debug);
	c->shape.name = c->name;
	c->shape.broken = report_broken;
	c->flags = flags | (debug ? SLAB_NOMAG : 0) | init_flags(flags, ctor, debug);
	c->ctor = ctor;
	c->other = other;
	for (u32 k = 0; k < nr_kmem_nodes; k++)
		node_init(kmem_node(c, k));
	spin_lock(&cache_lock);
	c->id = (u32)find_first_zero_bit(ids, KMEM_MAX_CACHES);
	if (c->id < KMEM_MAX_CACHES - 1) {
		__set_bit(c->id, ids);
	} else {
		/* The last slot stays empty: caches beyond the table share it and go without
		 * magazines. */
		c->id = KMEM_MAX_CACHES - 1;
		c->flags |= SLAB_NOMAG;
	}
	c->percpu = &kmem_cpus[c->id];
	list_add(&c->link, &caches);
	spin_unlock(&cache_lock);
}

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align, u32 flags,
				     void (*ctor)(void *))
{
	struct kmem_cache *c = NULL;

	if (size && size <= (PAGE_SIZE << SLAB_MAX_ORDER) / 2 &&
	    (!align || (is_power_of_2(align) && align <= PAGE_SIZE)))
		c = kmem_cache_alloc(&cache_cache, GFP_KERNEL);
	if (!c) {
		if (flags & SLAB_PANIC)
			panic("mm: cannot make the cache %s", name);
		return NULL;
	}
	cache_init(c, name, size, align, flags, ctor);
	return c;
}

/* Where the objects are that nobody gave back: the first of each slab, some slabs. */
static void report_leaks(struct kmem_cache *c, struct kmem_node *n)
{
	struct list_head *lists[] = { &n->partial, &n->full };
	u32 left = 8;
	u64 flags;

	spin_lock_irqsave(&n->lock, flags);
	for (u32 i = 0; i < ARRAY_SIZE(lists); i++) {
		struct page *p;

		list_for_each_entry(p, lists[i], slab_list) {
			if (!left--)
				break;
			pr_err("slab %s: %llu objects in use in the slab at %p\n", c->name, p->private, page_address(p));
		}
	}
	spin_unlock_irqrestore(&n->lock, flags);
}

void kmem_cache_destroy(struct kmem_cache *c)
{
	u64 inuse = 0;

	if (!c)
		return;
	pcp_request_drain(PCP_DRAIN_SLABS);
	drain_depot(c);
	drop_empty_slabs(c);
	for (u32 k = 0; k < nr_kmem_nodes; k++)
		inuse += kmem_node(c, k)->inuse;
	if (inuse) {
		/* Better to leak the cache than to pull it from under its objects. */
		__atomic_fetch_add(&kmem_leaks, 1, __ATOMIC_RELAXED);
		pr_err("slab %s: destroyed with %llu objects in use\n", c->name, inuse);
		for (u32 k = 0; k < nr_kmem_nodes; k++)
			report_leaks(c, kmem_node(c, k));
		return;
	}
	spin_lock(&cache_lock);
	list_del(&c->link);
	if (c->id < KMEM_MAX_CACHES - 1)
		__clear_bit(c->id, ids);
	spin_unlock(&cache_lock);
	if (c->flags & SLAB_RCU)
		rcu_barrier();
	if (c->other) {
		spin_lock(&cache_lock);
		*(struct kmem_node **)c->other = spare_nodes;
		spare_nodes = c->other;
		spin_unlock(&cache_lock);
	}
	kmem_cache_free(&cache_cache, c);
}

void kmem_for_each(void (*fn)(struct kmem_cache *c, void *arg), void *arg)
{
	struct kmem_cache *c;

	spin_lock(&cache_lock);
	list_for_each_entry(c, &caches, link)
		fn(c, arg);
	spin_unlock(&cache_lock);
}

void kmem_usage(struct kmem_cache *c, struct kmem_usage *u)
{
	int cpu;

	*u = (struct kmem_usage){ 0 };
	for (u32 k = 0; k < nr_kmem_nodes; k++) {
		const struct kmem_node *n = kmem_node(c, k);

		u->cached += READ_ONCE(n->depot.rounds);
		u->slabs += READ_ONCE(n->nr_slabs);
		u->active += READ_ONCE(n->inuse);
	}
	for_each_online_cpu(cpu) {
		const struct mag_cpu *m = per_cpu_ptr(c->percpu, cpu);

		if (c->id < KMEM_MAX_CACHES - 1)
			u->cached += READ_ONCE(m->rounds) + READ_ONCE(m->prev_rounds);
	}
	u->total = u->slabs * c->shape.count;
	u->active = u->active > u->cached ? u->active - u->cached : 0;
}

u64 kmem_cache_active(struct kmem_cache *c)
{
	struct kmem_usage u;

	kmem_usage(c, &u);
	return u.active;
}

void kmalloc_init(void);

void kmem_init(void)
{
	static const char *const names[MAG_CLASSES] = { "magazine-14", "magazine-30", "magazine-62" };

	nr_kmem_nodes = 0;
	for (int n = 0; n < MAX_NODES; n++)
		if (nodes[n])
			kmem_node_index[n] = (u8)nr_kmem_nodes++;
	kmem_free_hooks = nr_kmem_nodes > 1 || (page_debug & INIT_ON_FREE);
	cache_init(&cache_cache, "kmem_cache", sizeof(struct kmem_cache), 64, SLAB_NODEBUG, NULL);
	for (unsigned int i = 0; i < MAG_CLASSES; i++)
		cache_init(&mag_caches[i], names[i],
			   sizeof(struct magazine) + mag_sizes[i] * sizeof(void *), 64,
			   SLAB_NOMAG | SLAB_NODEBUG, NULL);
	kmalloc_init();
	kmem_ready = true;
}
