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
 * Magazines grow: a cache whose depot lock was waited for DEPOT_CONTENDED times within
 * DEPOT_INTERVAL visits gets larger ones from then on, so that the lock is taken less often; not
 * when what the CPUs and depots could then hold of it would be more than a DEPOT_SHARE'th of
 * memory.  Under pressure they are given back and small again (mm/kmem_cache.c).
 *
 * SLAB_RCU: an empty slab's pages are freed a grace period later, so an RCU reader that holds a
 * stale pointer still finds an object of this cache, constructed, though perhaps reused.
 */
#include <mm/slab_impl.h>

#include <kernel/cpumask.h>
#include <kernel/rcu.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/vmstat.h>
#include <mm/zone.h>

#define KEEP_EMPTY	2

struct kmem_cache mag_caches[MAG_CLASSES];
const u32 mag_sizes[MAG_CLASSES] = { 14, 30, 62 };
u32 nr_kmem_nodes = 1;
u8 kmem_node_index[64];
u8 kmem_free_hooks;

/* The cache's part on this CPU's node; may be stale at once. */
static __always_inline struct kmem_node *node_here(struct kmem_cache *c)
{
	return likely(nr_kmem_nodes == 1) ? &c->first : kmem_node(c, kmem_node_index[this_node()]);
}

static struct kmem_node *node_of(struct kmem_cache *c, const struct page *p)
{
	return kmem_node(c, kmem_node_index[page_node(p)]);
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

/* The counter of a cache's pages. */
static __always_inline enum vm_state pages_state(const struct kmem_cache *c)
{
	return c->flags & SLAB_RECLAIM ? NR_SLAB_RECLAIMABLE : NR_SLAB;
}

void slab_release(struct kmem_cache *c, struct page *p)
{
	count_vm_event(SLABS_FREED);
	mod_vm_state(pages_state(c), -(1 << c->shape.order));
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
	if (c->flags & SLAB_RECLAIM)
		gfp |= GFP_RECLAIMABLE;
	p = alloc_pages(gfp | GFP_COMP, c->shape.order);
	if (!p)
		return NULL;
	count_vm_event(SLABS_MADE);
	mod_vm_state(pages_state(c), 1 << c->shape.order);
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
	u32 i, refused = 0;
	bool was_full;
	u64 flags;

	spin_lock_irqsave(&kn->lock, flags);
	for (i = 0; i < n; i++) {
		p = page_head(virt_to_page(objs[i]));
		ASSERT3P(p->slab_cache, ==, c);
		if (unlikely(nr_kmem_nodes > 1) && node_of(c, p) != kn)
			break;
		was_full = slab_full(&c->shape, p);
		if (unlikely(!slab_give(&c->shape, p, objs[i]))) {
			refused++;
			continue;
		}
		if (was_full)
			list_move(&p->slab_list, &kn->partial);
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
	kn->inuse -= i - refused;
	spin_unlock_irqrestore(&kn->lock, flags);
	list_for_each_entry_safe(p, next, &gone, slab_list)
		slab_release(c, p);
	return i;
}

void slabs_give(struct kmem_cache *c, void **objs, u32 n)
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

void magazine_free(struct magazine *m)
{
	struct kmem_cache *c = page_head(virt_to_page(m))->slab_cache;
	void *obj = m;

	slabs_give(c, &obj, 1);
}

/* What all magazines of this class could hold of the cache, in pages. */
static u64 most_cached(const struct kmem_cache *c, u32 class)
{
	u64 mags = 2ull * (u32)nr_cpus + (u64)DEPOT_MAX_FULL * nr_kmem_nodes;

	return (mags * mag_sizes[class] * c->shape.stride) >> PAGE_SHIFT;
}

noinline void kmem_depot_waited(struct kmem_cache *c, struct kmem_node *n)
{
	u32 class = READ_ONCE(c->mag_class);

	if (++n->contended < DEPOT_CONTENDED || class + 1 >= MAG_CLASSES)
		return;
	n->contended = 0;
	if (most_cached(c, class + 1) > nr_total_pages() / DEPOT_SHARE)
		return;
	WRITE_ONCE(c->mag_class, class + 1);
	count_vm_event(MAGAZINE_GROWN);
}

static void depot_lock(struct kmem_cache *c, struct kmem_node *n)
{
	bool waited = !spin_trylock(&n->depot_lock);

	if (unlikely(waited))
		spin_lock(&n->depot_lock);
	if (unlikely(++n->visits >= DEPOT_INTERVAL)) {
		n->visits = 0;
		n->contended = 0;
	}
	if (unlikely(waited))
		kmem_depot_waited(c, n);
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

/*
 * Others want this CPU's magazines emptied.  Slow paths ask, but not where a spinning lock may be held: draining waits for
 * cache_lock, whose holder may be interrupted by a handler that wants that lock (a signal's, say).
 */
static void serve_requests(void)
{
	if (likely(!READ_ONCE(this_cpu_ptr(&pcp)->drain)) || !may_sleep())
		return;
	preempt_disable();
	pcp_serve_drain();
	preempt_enable();
}

static void *alloc_layers(struct kmem_cache *c, gfp_t gfp)
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

static noinline void *alloc_slow(struct kmem_cache *c, gfp_t gfp)
{
	void *obj = alloc_layers(c, gfp);

	if (unlikely(c->flags & SLAB_INIT_ALLOC) && obj)
		memset(obj, 0, c->shape.size);
	return obj;
}

static __always_inline void *cache_alloc(struct kmem_cache *c, gfp_t gfp)
{
	struct mag_cpu *m;
	void *obj;

	preempt_disable();
	m = this_cpu_ptr(c->percpu);
	if (unlikely(in_interrupt() || alloc_hooks || !m->rounds)) {
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
	if (unlikely(c->flags & SLAB_INIT_FREE))
		memset(obj, 0, c->shape.size);
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
	if (unlikely(in_interrupt() || m->rounds >= m->size ||
		     (kmem_free_hooks && ((c->flags & SLAB_INIT_FREE) || is_remote(obj))))) {
		preempt_enable();
		free_slow(c, obj);
		return;
	}
	mag_push(m, obj);
	preempt_enable();
}
