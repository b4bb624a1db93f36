/*
 * arena.h - ranges of an address space, handed out and taken back (pure).
 *
 * A set of segments, disjoint, in one tree by address, each free or busy; neighbours are never
 * both free.  The tree carries the largest free length of each subtree, so the lowest fit is found
 * in O(log n).  Segment structs come from the caller: an allocation uses up to two, and
 * whatever a call does not need any more it hands back.  Units are the caller's (bytes, pages).
 */
#ifndef MM_ARENA_H
#define MM_ARENA_H

#include <lib/finding.h>
#include <lib/rbtree.h>
#include <lib/types.h>

struct arena_seg {
	struct rb_node rb;
	u64 start, end;
	u64 largest;		/* free segment in this subtree */
	bool busy;
	void *owner;		/* of a busy one */
};

struct arena {
	struct rb_root root;
	u64 nr_segs, free, busy;	/* segments; units */
};

void arena_init(struct arena *a);
/* Adds free space that touches nothing added before, in `seg`. */
void arena_add(struct arena *a, struct arena_seg *seg, u64 start, u64 end);
/*
 * The lowest `len` free units at a multiple of `align` (a power of two), or NULL.  Takes the
 * structs it needs out of spare[0..1] and leaves NULL there.
 */
struct arena_seg *arena_alloc(struct arena *a, u64 len, u64 align, struct arena_seg *spare[2]);
/* Takes a busy segment back; structs no longer needed are put into gone[0..1] (else NULL). */
void arena_free(struct arena *a, struct arena_seg *seg, struct arena_seg *gone[2]);
/* The busy segment that contains addr, or NULL. */
struct arena_seg *arena_find(const struct arena *a, u64 addr);
/* The first busy segment at or after addr. */
struct arena_seg *arena_next_busy(const struct arena *a, u64 addr);
extern struct arena vmalloc_arena; /* mm/vmalloc.c */
/* => 0, or -1 and the first broken rule in *f */
int arena_check(const struct arena *a, struct finding *f);

#endif
