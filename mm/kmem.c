/*
 * kmem.c - object caches: locks and pages around slab.c and magazine.c.
 *
 * Layers of an allocation, each asked when the one before has nothing:
 *   1. the CPU's loaded magazine, then its previous one: preemption off, no lock, no atomic
 *   2. the cache's depot of full magazines (depot_lock)
 *   3. the slabs: a batch of objects fills the loaded magazine (lock, interrupts off)
 *   4. pages for a new slab, formatted and constructed without a lock held
 * Freeing goes the same way back; the depot keeps a bounded number of full magazines and gives
 * the rest to the slabs; a cache keeps KEEP_EMPTY empty slabs.
 *
 * Why this ends: magazines come from caches without magazines (SLAB_NOMAG), whose slabs come from
 * pages; pages come from zones, which know nothing of caches except when they ask for reaping,
 * and reaping allocates nothing.
 *
 * Interrupt handlers skip layers 1 and 2, so neither the magazines nor the depot need interrupts
 * off.  Lock order: a node's depot_lock, then its lock, then zone locks; cache_lock before all of them.
 *
 * Nodes: slabs, depot and their locks are per node.  A CPU fills its magazines from its node's slabs; an object of another node
 * that is freed here goes home, past the magazines, so that a magazine never mixes nodes for long (memory that ran out on a node
 * is the exception: then objects of another one are handed out and go home when freed).  With one node this costs one test.
 *
 * Magazines grow: a cache whose depot lock is contended often gets larger ones from then on, so
 * that the lock is taken less often.
 *
 * SLAB_RCU: an empty slab's pages are freed a grace period later, so an RCU reader that holds a
 * stale pointer still finds an object of this cache, constructed, though perhaps reused.
 */
#include <mm/slab_impl.h>

#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <lib/assert.h>
#include <lib/bitmap.h>
#include <lib/string.h>
#include <mm/vmstat.h>
#include <mm/zone.h>

#define KEEP_EMPTY	2
#define DEPOT_MAX_FULL	16

static DEFINE_PER_CPU(struct mag_cpu, kmem_cpus[KMEM_MAX_CACHES]);

static DEFINE_SPINLOCK(cache_lock);
static LIST_HEAD(caches);			/* (cache_lock) */
static DECLARE_BITMAP(ids, KMEM_MAX_CACHES);	/* (cache_lock) */
static struct kmem_cache cache_cache;		/* of struct kmem_cache */
static struct kmem_cache mag_caches[MAG_CLASSES];
static const u32 mag_sizes[MAG_CLASSES] = { 14, 30, 62 };
static bool kmem_ready;
u32 nr_kmem_nodes = 1;
u8 kmem_node_index[64];

/* The cache's part on this CPU's node; may be stale at once. */
static __always_inline struct kmem_node *node_here(struct kmem_cache *c)
{
	return likely(nr_kmem_nodes == 1) ? &c->first : kmem_node(c, kmem_node_index[this_node()]);
}

static struct kmem_node *node_of(struct kmem_cache *c, const struct page *p)
{
	return kmem_node(c, kmem_node_index[page_node(p)]);
}

static void report_broken(const struct slab_shape *s, const void *obj, const char *what)
{
	panic("slab %s: object %p: %s", s->name, obj, what);
}

/* ---- slabs ---- */

static void slab_pages_free(struct page *p)
{
	p->slab_cache = NULL;
	p->slab_free = NULL;
	p->private = 0;
	p->spare = 0;
	page_set_type(p, PT_KERNEL);
	free_pages(p, page_flag(p, PG_HEAD) ? page_order(p) : 0);
}

static void slab_rcu_free(struct rcu_head *head)
{
	slab_pages_free((struct page *)((u8 *)head - offsetof(struct page, slab_list)));
}

static void slab_release(struct kmem_cache *c, struct page *p)
{
	count_vm_event(SLABS_FREED);
	mod_vm_state(NR_SLAB, -(1 << c->shape.order));
	if (c->flags & SLAB_RCU)
		call_rcu((struct rcu_head *)&p->slab_list, slab_rcu_free);
	else
		slab_pages_free(p);
}

/* A new slab on the list of empty ones of its node, which is returned; NULL when there is no memory. */
static struct kmem_node *slab_grow(struct kmem_cache *c, gfp_t gfp)
{
	struct kmem_node *n;
	struct page *p;
	u64 flags;
	u32 colour;

	gfp &= ~(GFP_ZERO | GFP_MOVABLE | GFP_RECLAIMABLE | GFP_ACCOUNT);
	p = alloc_pages(gfp | GFP_COMP, c->shape.order);
	if (!p)
		return NULL;
	count_vm_event(SLABS_MADE);
	mod_vm_state(NR_SLAB, 1 << c->shape.order);
	page_set_type(p, PT_SLAB);
	p->slab_cache = c;
	colour = __atomic_fetch_add(&c->colour, 1, __ATOMIC_RELAXED);
	slab_format(&c->shape, p, page_address(p), colour, c->ctor);
	n = node_of(c, p);
	spin_lock_irqsave(&n->lock, flags);
	list_add(&p->slab_list, &n->empty);
	n->nr_empty++;
	n->nr_slabs++;
	spin_unlock_irqrestore(&n->lock, flags);
	return n;
}

/* Up to n objects from the slabs there are on the node. */
static u32 slabs_take(struct kmem_cache *c, struct kmem_node *kn, void **out, u32 n)
{
	u32 got = 0;
	u64 flags;

	spin_lock_irqsave(&kn->lock, flags);
	while (got < n) {
		struct page *p;

		if (!list_empty(&kn->partial)) {
			p = list_first_entry(&kn->partial, struct page, slab_list);
		} else if (!list_empty(&kn->empty)) {
			p = list_first_entry(&kn->empty, struct page, slab_list);
			kn->nr_empty--;
			list_move(&p->slab_list, &kn->partial);
		} else {
			break;
		}
		while (got < n && !slab_full(&c->shape, p))
			out[got++] = slab_take(&c->shape, p);
		if (slab_full(&c->shape, p))
			list_move(&p->slab_list, &kn->full);
	}
	kn->inuse += got;
	spin_unlock_irqrestore(&kn->lock, flags);
	return got;
}

/* Objects of one node home; how many of the first were its. */
static u32 slabs_give_node(struct kmem_cache *c, struct kmem_node *kn, void **objs, u32 n)
{
	LIST_HEAD(gone);
	struct page *p, *next;
	u64 flags;
	u32 i;

	spin_lock_irqsave(&kn->lock, flags);
	for (i = 0; i < n; i++) {
		p = page_head(virt_to_page(objs[i]));
		ASSERT3P(p->slab_cache, ==, c);
		if (unlikely(nr_kmem_nodes > 1) && node_of(c, p) != kn)
			break;
		if (slab_full(&c->shape, p))
			list_move(&p->slab_list, &kn->partial);
		slab_give(&c->shape, p, objs[i]);
		if (p->private)
			continue;
		if (kn->nr_empty < KEEP_EMPTY) {
			list_move(&p->slab_list, &kn->empty);
			kn->nr_empty++;
		} else {
			list_move(&p->slab_list, &gone);
			kn->nr_slabs--;
		}
	}
	kn->inuse -= i;
	spin_unlock_irqrestore(&kn->lock, flags);
	list_for_each_entry_safe(p, next, &gone, slab_list)
		slab_release(c, p);
	return i;
}

static void slabs_give(struct kmem_cache *c, void **objs, u32 n)
{
	for (u32 done = 0; done < n;)
		done += slabs_give_node(c, node_of(c, page_head(virt_to_page(objs[done]))), objs + done, n - done);
}

/* The node to take objects from when this CPU's has none: with a new slab here, then what others have, then a new slab anywhere. */
static struct kmem_node *more_objects(struct kmem_cache *c, gfp_t gfp)
{
	struct kmem_node *n;

	if (likely(nr_kmem_nodes == 1))
		return slab_grow(c, gfp);
	n = slab_grow(c, (gfp & ~(GFP_WAIT | GFP_NOFAIL)) | GFP_THISNODE | GFP_NOWARN);
	for (u32 k = 0; !n && k < nr_kmem_nodes; k++) {
		struct kmem_node *o = kmem_node(c, k);

		if (!list_empty(&o->partial) || !list_empty(&o->empty)) /* a guess; taking looks again */
			n = o;
	}
	return n ? n : slab_grow(c, gfp);
}

static void *slabs_alloc_one(struct kmem_cache *c, gfp_t gfp)
{
	struct kmem_node *n = node_here(c);
	void *obj;

	while (!slabs_take(c, n, &obj, 1))
		if (!(n = more_objects(c, gfp)))
			return NULL;
	return obj;
}

/* ---- magazines ---- */

static struct magazine *magazine_new(struct kmem_cache *c, gfp_t gfp)
{
	u32 class = READ_ONCE(c->mag_class);
	struct magazine *m = slabs_alloc_one(&mag_caches[class],
					     (gfp & GFP_HIGHPRI) | GFP_NOWAIT);

	if (m) {
		m->next = NULL;
		m->size = mag_sizes[class];
		m->rounds = 0;
	}
	return m;
}

static void magazine_free(struct magazine *m)
{
	struct kmem_cache *c = page_head(virt_to_page(m))->slab_cache;
	void *obj = m;

	slabs_give(c, &obj, 1);
}

static void depot_lock(struct kmem_cache *c, struct kmem_node *n)
{
	u32 class = READ_ONCE(c->mag_class);

	if (spin_trylock(&n->depot_lock))
		return;
	spin_lock(&n->depot_lock);
	if (++n->contended >= 256 && class + 1 < MAG_CLASSES) {
		n->contended = 0;
		WRITE_ONCE(c->mag_class, class + 1);
	}
}

/* An object by way of the magazines, refilling the loaded one.  NULL: nothing in the slabs.
 * => preemption off, not in an interrupt */
static void *magazine_refill(struct kmem_cache *c, struct kmem_node *from, struct mag_cpu *m, gfp_t gfp)
{
	struct kmem_node *n = node_here(c);
	struct magazine *new;
	bool loaded;

	if (m->rounds || mag_swap_for_pop(m))
		return mag_pop(m);
	depot_lock(c, n);
	loaded = mag_load_full(m, &n->depot);
	spin_unlock(&n->depot_lock);
	if (loaded)
		return mag_pop(m);
	if (!m->size) {
		new = magazine_new(c, gfp);
		if (!new)
			return NULL;
		m->loaded = new;
		m->size = new->size;
		m->rounds = 0;
	}
	/* Half a magazine: room is left for frees. */
	m->rounds = slabs_take(c, from, m->loaded->round, m->size / 2);
	return m->rounds ? mag_pop(m) : NULL;
}

/* Others want this CPU's magazines emptied.  Slow paths ask: they hold no lock of ours. */
static void serve_requests(void)
{
	preempt_disable();
	if (unlikely(READ_ONCE(this_cpu_ptr(&pcp)->drain)) && !in_interrupt())
		pcp_serve_drain();
	preempt_enable();
}

static noinline void *alloc_slow(struct kmem_cache *c, gfp_t gfp)
{
	serve_requests();
	if (!(gfp & GFP_NOFAIL) && fail_alloc())
		return NULL;
	if (!(c->flags & SLAB_NOMAG) && !in_interrupt()) {
		struct kmem_node *n = node_here(c);

		do {
			void *obj;

			preempt_disable();
			obj = magazine_refill(c, n, this_cpu_ptr(c->percpu), gfp);
			preempt_enable();
			if (obj)
				return obj;
		} while ((n = more_objects(c, gfp)));
	}
	return slabs_alloc_one(c, gfp);
}

static __always_inline void *cache_alloc(struct kmem_cache *c, gfp_t gfp)
{
	struct mag_cpu *m;
	void *obj;

	preempt_disable();
	m = this_cpu_ptr(c->percpu);
	if (unlikely(in_interrupt() || fail_nth_armed || !m->rounds)) {
		preempt_enable();
		return alloc_slow(c, gfp);
	}
	obj = mag_pop(m);
	preempt_enable();
	return obj;
}

void *kmem_cache_alloc(struct kmem_cache *c, gfp_t gfp)
{
	void *obj = cache_alloc(c, gfp);

	if (unlikely((gfp & GFP_ZERO) && obj))
		memset(obj, 0, c->shape.size);
	return obj;
}

void *kmem_cache_zalloc(struct kmem_cache *c, gfp_t gfp)
{
	void *obj = cache_alloc(c, gfp);

	if (likely(obj))
		memset(obj, 0, c->shape.size);
	return obj;
}

/* Puts an object away when the loaded magazine is full. => preemption off */
static bool magazine_make_room(struct kmem_cache *c, struct mag_cpu *m)
{
	struct magazine *surplus = NULL, *new;
	struct kmem_node *n = node_here(c);
	bool room;

	if (m->rounds < m->size || mag_swap_for_push(m))
		return true;
	depot_lock(c, n);
	room = mag_load_empty(m, &n->depot);
	if (n->depot.nfull > DEPOT_MAX_FULL)
		surplus = depot_get_full(&n->depot);
	spin_unlock(&n->depot_lock);
	if (surplus) {
		slabs_give(c, surplus->round, surplus->rounds);
		if (room) {
			depot_lock(c, n);
			depot_put(&n->depot, surplus, 0);
			spin_unlock(&n->depot_lock);
			return true;
		}
		new = surplus;
	} else if (room) {
		return true;
	} else {
		new = magazine_new(c, 0);
	}
	if (!new)
		return false;
	depot_lock(c, n);
	mag_install(m, &n->depot, new);
	spin_unlock(&n->depot_lock);
	return true;
}

/* An object of another node goes home: magazines hold memory of their own node only. */
static bool is_remote(const void *obj)
{
	return nr_kmem_nodes > 1 && page_node(page_head(virt_to_page(obj))) != this_node();
}

static noinline void free_slow(struct kmem_cache *c, void *obj)
{
	serve_requests();
	if (!(c->flags & SLAB_NOMAG) && !in_interrupt() && !is_remote(obj)) {
		struct mag_cpu *m;
		bool room;

		preempt_disable();
		m = this_cpu_ptr(c->percpu);
		room = magazine_make_room(c, m);
		if (room)
			mag_push(m, obj);
		preempt_enable();
		if (room)
			return;
	}
	slabs_give(c, &obj, 1);
}

void kmem_cache_free(struct kmem_cache *c, void *obj)
{
	struct mag_cpu *m;

	ASSERT3P(page_head(virt_to_page(obj))->slab_cache, ==, c);
	preempt_disable();
	m = this_cpu_ptr(c->percpu);
	if (unlikely(in_interrupt() || m->rounds >= m->size || (nr_kmem_nodes > 1 && is_remote(obj)))) {
		preempt_enable();
		free_slow(c, obj);
		return;
	}
	mag_push(m, obj);
	preempt_enable();
}

/* ---- draining ---- */

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

static void drain_node(struct kmem_cache *c, struct kmem_node *n)
{
	struct magazine *m;

	for (;;) {
		spin_lock(&n->depot_lock);
		m = depot_get_full(&n->depot);
		if (!m)
			m = depot_get_empty(&n->depot);
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
		drain_node(c, kmem_node(c, k));
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

u64 kmem_reap_all(void)
{
	struct kmem_cache *c;
	u64 before = vm_state_sum(NR_SLAB), after;

	if (!kmem_ready)
		return 0;
	pcp_request_drain(PCP_DRAIN_SLABS);
	spin_lock(&cache_lock);
	list_for_each_entry(c, &caches, link)
		drain_depot(c);
	/* Magazine caches were created first, so they are last on the list: by now the
	 * magazines of all others came back. */
	list_for_each_entry(c, &caches, link)
		drop_empty_slabs(c);
	spin_unlock(&cache_lock);
	after = vm_state_sum(NR_SLAB);
	return before > after ? before - after : 0;
}

/* ---- life of caches ---- */

/* slabdebug: all caches; slabdebug=name,name: those; slabdebug=off: none. */
static bool wants_debug(const char *name, u32 flags)
{
	char buf[128], *rest = buf, *word;
	int n = cmdline_get("slabdebug", buf, sizeof(buf));

	if (flags & SLAB_NODEBUG)
		return false;
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
	c->flags = flags | (debug ? SLAB_NOMAG : 0);
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
	cache_init(&cache_cache, "kmem_cache", sizeof(struct kmem_cache), 64, SLAB_NODEBUG, NULL);
	for (unsigned int i = 0; i < MAG_CLASSES; i++)
		cache_init(&mag_caches[i], names[i],
			   sizeof(struct magazine) + mag_sizes[i] * sizeof(void *), 64,
			   SLAB_NOMAG | SLAB_NODEBUG, NULL);
	kmalloc_init();
	kmem_ready = true;
}
