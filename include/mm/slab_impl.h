/*
 * slab_impl.h - the inside of object caches: slabs, magazines and depot (pure), struct kmem_cache.
 *
 * Theory in mm/slab.c, mm/magazine.c and mm/kmem.c.
 */
#ifndef MM_SLAB_IMPL_H
#define MM_SLAB_IMPL_H

#include <lib/finding.h>
#include <mm/page.h>
#include <mm/slab.h>

/* ---- slabs (pure) ---- */

#define SLAB_MAX_ORDER	3

/* How the objects of a cache lie in a slab. */
struct slab_shape {
	u32 size;		/* of an object, as asked for */
	u32 stride;		/* from one object to the next */
	u32 align;
	u32 count;		/* objects in a slab */
	u32 free_off;		/* of the free link in a free object */
	u32 red;		/* bytes of redzone before an object; 0: no checking */
	u32 colours;		/* different places for the first object */
	u32 order;		/* pages of a slab */
	bool poison;		/* fill free objects and check the filling */
	const char *name;
	/* A broken redzone, a write after free, a double free. */
	void (*broken)(const struct slab_shape *s, const void *obj, const char *what);
};

/* keep_state: constructed or RCU-read objects, whose bytes must survive being free. */
void slab_shape_init(struct slab_shape *s, u32 size, u32 align, bool keep_state, bool debug);
/* Makes the objects of a new slab and links them. => p->private: objects in use (0);
 * p->spare: address of the first object; p->slab_free: first free one */
void slab_format(const struct slab_shape *s, struct page *p, void *mem, u32 colour,
		 void (*ctor)(void *));
/* One object. => the slab is not full */
void *slab_take(const struct slab_shape *s, struct page *p);
/* => false: it is no object in use, said s->broken (checking on), and nothing was done */
bool slab_give(const struct slab_shape *s, struct page *p, void *obj);
/* obj is the address of an object of this slab. */
bool slab_holds(const struct slab_shape *s, const struct page *p, const void *obj);

static inline bool slab_full(const struct slab_shape *s, const struct page *p)
{
	return p->private == s->count;
}

typedef void (*slab_report_fn)(const char *cache, const char *what, const void *at, u64 is,
			       u64 should);
/* Walks the free list and, with checking on, all objects. => mismatches */
u64 slab_check_one(const struct slab_shape *s, const struct page *p, slab_report_fn report);

/* ---- magazines (pure) ---- */

/* A stack of constructed objects.  The number of rounds is kept by whoever holds it. */
struct magazine {
	struct magazine *next;
	u32 size;
	u32 rounds;		/* valid in the depot */
	void *round[];
};

/* Two magazines of a CPU; either may be missing (size 0). */
struct mag_cpu {
	struct magazine *loaded, *prev;
	u32 rounds, prev_rounds;
	u32 size, prev_size;
};

struct depot {
	struct magazine *full, *empty;
	u32 nfull, nempty;
	u64 rounds;		/* in the full ones */
	/* The least of nfull and nempty since depot_new_interval: what nobody needed. */
	u32 full_min, empty_min;
};

static __always_inline void *mag_pop(struct mag_cpu *c)
{
	return c->loaded->round[--c->rounds];
}

static __always_inline void mag_push(struct mag_cpu *c, void *obj)
{
	c->loaded->round[c->rounds++] = obj;
}

/* After these, when true, a pop (push) succeeds. */
bool mag_swap_for_pop(struct mag_cpu *c);
bool mag_swap_for_push(struct mag_cpu *c);
bool mag_load_full(struct mag_cpu *c, struct depot *d);
bool mag_load_empty(struct mag_cpu *c, struct depot *d);
/* Gives the CPU a new empty magazine; what it pushes out goes to the depot. */
void mag_install(struct mag_cpu *c, struct depot *d, struct magazine *m);
void depot_put(struct depot *d, struct magazine *m, u32 rounds);
struct magazine *depot_get_full(struct depot *d);
struct magazine *depot_get_empty(struct depot *d);
/* The working set is measured from now on. */
void depot_new_interval(struct depot *d);
/* => 0 when the structure is sound, else the first broken rule is in *f (which begins empty) */
u64 mag_check_one(const struct mag_cpu *c, struct finding *f);
u64 depot_check_one(const struct depot *d, struct finding *f);

/* ---- caches ---- */

#define KMEM_MAX_CACHES	160
#define MAG_CLASSES	3
extern const u32 mag_sizes[MAG_CLASSES];	/* rounds */
#define DEPOT_MAX_FULL	16	/* full magazines a depot keeps */
#define DEPOT_INTERVAL	1024	/* visits over which waiting is counted */
#define DEPOT_CONTENDED	64	/* so many of them waited: larger magazines */
#define DEPOT_SHARE	64	/* of memory that the magazines of one cache may come to hold */

/* What a cache has on one node: its slabs there, and the depot of the magazines of its CPUs. */
struct kmem_node {
	spinlock_t lock;		/* slabs; irqs off */
	u32 nr_empty;			/* (lock) */
	struct list_head partial, full, empty;	/* (lock) */
	u64 nr_slabs, inuse;		/* (lock) slabs; objects outside slabs */

	spinlock_t depot_lock;	/* thread context only */
	u32 visits, contended;		/* (depot_lock) of this interval: all, those that waited for the lock */
	struct depot depot;		/* (depot_lock) */
};

struct kmem_cache {
	struct mag_cpu *percpu;		/* (I) template address of this cache's per-CPU part */
	struct slab_shape shape;	/* (I) */
	u32 flags;			/* (I) SLAB_*, SLAB_NOMAG */
	u32 id;				/* (I) */
	void (*ctor)(void *);		/* (I) */
	char name[24];

	u32 colour;			/* (a) */
	u32 mag_class;			/* (a) size of new magazines: grows; 0 again when all was taken back */
	struct list_head link;		/* (cache_lock) */
	struct kmem_node *other;	/* (I) the nodes but the first */
	struct kmem_node first;
};
#define SLAB_NOMAG	0x100u		/* objects go to the slabs directly */
#define SLAB_NODEBUG	0x200u
#define SLAB_CHECKED	0x400u		/* object checking whatever the command line says */
#define SLAB_INIT_ALLOC	0x800u		/* cleared when handed out (mm/pagedebug.h) */
#define SLAB_INIT_FREE	0x1000u		/* cleared when given back */

extern u8 kmem_free_hooks;	/* (I) why a free may need the slow path: several nodes, init_on_free */
extern u64 kmem_leaks;		/* (a) caches destroyed with objects in use */

/* Shared by mm/kmem.c and mm/kmem_cache.c. */
extern struct kmem_cache mag_caches[MAG_CLASSES];
void slab_release(struct kmem_cache *c, struct page *p);
void slabs_give(struct kmem_cache *c, void **objs, u32 n);
void magazine_free(struct magazine *m);
/* This visit to the depot had to wait.  Larger magazines come less often, if memory allows them. => depot_lock */
void kmem_depot_waited(struct kmem_cache *c, struct kmem_node *n);

extern u32 nr_kmem_nodes;	/* (I) nodes with memory */
extern u8 kmem_node_index[64];	/* (I) by node number */
/* k < nr_kmem_nodes */
static inline struct kmem_node *kmem_node(struct kmem_cache *c, u32 k)
{
	return likely(!k) ? &c->first : &c->other[k - 1];
}

/* Calls fn for each cache, under the list's lock. */
void kmem_for_each(void (*fn)(struct kmem_cache *c, void *arg), void *arg);
struct kmem_usage {
	u64 active, total, slabs, cached;	/* objects, objects, slabs, objects in magazines */
};
void kmem_usage(struct kmem_cache *c, struct kmem_usage *u);

#endif
