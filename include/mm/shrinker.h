/*
 * shrinker.h - caches of other parts that can give objects back when memory is short.
 */
#ifndef MM_SHRINKER_H
#define MM_SHRINKER_H

#include <lib/list.h>
#include <mm/alloc.h>

struct shrinker {
	const char *name;
	u64 (*count)(void);		/* objects that could go; a guess is enough. => takes no lock that sleeps */
	/* Looks at up to n objects and frees those that can go. => objects freed. Called where memory was asked for with
	 * GFP_WAIT: it may not wait for anything that is held while allocating, nor allocate with GFP_WAIT itself */
	u64 (*scan)(u64 n);
	struct list_head link;		/* (shrinker_lock) */
};

/* For good. => thread context */
void shrinker_register(struct shrinker *s);
/* Lets every shrinker look at a 2^-priority'th of its objects, at least 128. => objects freed; may sleep */
u64 shrink_objects(unsigned int priority);
/* Starts what runs every KMEM_INTERVAL_NS. => workqueues work */
void shrinker_init(void);

#define KMEM_INTERVAL_NS (15ull * 1000000000)

#endif
