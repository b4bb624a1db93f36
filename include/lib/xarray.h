/*
 * xarray.h - a sparse array of pointers indexed by u64: a radix tree of 64-slot nodes with
 * three marks per entry.
 *
 * An entry is a pointer that is a multiple of 4, or a value made by xa_mk_value; never NULL.
 * Changes need the caller's lock.  xa_load, xa_find and xa_get_mark may run under
 * rcu_read_lock beside one writer: a node is complete before it is linked, keeps its contents
 * after it is unlinked, and node_ops->free must wait a grace period before reuse.  A reader
 * beside a writer sees each entry before or after, never in between.
 *
 * Pure: nodes come from the callbacks.  An array that holds index 0 only needs no node.
 */
#ifndef LIB_XARRAY_H
#define LIB_XARRAY_H

#include "lib/bitops.h"

#define XA_SHIFT	6
#define XA_SLOTS	(1U << XA_SHIFT)
#define XA_MARKS	3

typedef unsigned int xa_mark_t;
#define XA_MARK_0	0U
#define XA_MARK_1	1U
#define XA_MARK_2	2U

struct xa_node {
	u8 shift;			/* of the index bits this node decides */
	u8 offset;			/* of this node in its parent */
	struct xa_node *parent;		/* NULL at the top */
	u64 present;			/* which slots are in use */
	u64 marks[XA_MARKS];
	void *slots[XA_SLOTS];
	void *owner_words[2];		/* free for node_ops->free: room for an rcu_head */
};

struct xa_node_ops {
	/* A node; its contents do not matter.  NULL when there is no memory. */
	struct xa_node *(*alloc)(gfp_t gfp);
	/* Takes a node back once no reader can be in it. */
	void (*free)(struct xa_node *node);
};

struct xarray {
	void *head;			/* NULL, entry of index 0, or tagged node */
	const struct xa_node_ops *ops;	/* I */
	u8 head_marks;			/* marks of index 0 while it lives in `head` */
};

/* The kernel's own callbacks: a slab cache and call_rcu (mm/). */
extern const struct xa_node_ops xa_slab_ops;

#define XARRAY_INIT(o)		{ .head = NULL, .ops = (o), .head_marks = 0 }
#define DEFINE_XARRAY(name)	struct xarray name = XARRAY_INIT(&xa_slab_ops)

static inline void xa_init(struct xarray *xa, const struct xa_node_ops *ops)
{
	xa->head = NULL;
	xa->ops = ops;
	xa->head_marks = 0;
}

static inline bool xa_empty(const struct xarray *xa)
{
	return !READ_ONCE(xa->head);
}

/* Integers below 2^62 as entries. */
static inline void *xa_mk_value(u64 v)
{
	return (void *)(uintptr_t)(v << 2 | 1);
}

static inline bool xa_is_value(const void *entry)
{
	return ((uintptr_t)entry & 3) == 1;
}

static inline u64 xa_to_value(const void *entry)
{
	return (u64)(uintptr_t)entry >> 2;
}

/* The entry, or NULL. => lock or rcu_read_lock. */
void *xa_load(const struct xarray *xa, u64 index);
/* Puts an entry, keeping the marks of one it replaces; NULL erases.
 * => lock held; 0 or -ENOMEM (then nothing changed). */
int __must_check xa_store(struct xarray *xa, u64 index, void *entry, gfp_t gfp);
/* The same, but -EBUSY when there is an entry already. */
int __must_check xa_insert(struct xarray *xa, u64 index, void *entry, gfp_t gfp);
/* Removes and returns the entry, NULL when there was none. => lock held; never fails. */
void *xa_erase(struct xarray *xa, u64 index);
/* Replaces an entry that is there; the old one, or NULL when there was none (nothing done).
 * => lock held; never fails. */
void *xa_replace(struct xarray *xa, u64 index, void *entry);
/* First entry with *index <= i <= max; *index becomes i.  NULL when there is none. */
void *xa_find(const struct xarray *xa, u64 *index, u64 max);
void *xa_find_marked(const struct xarray *xa, u64 *index, u64 max, xa_mark_t mark);
/* Up to `n` entries from *index to max into `out` and their indices into `indices` (may be
 * NULL). => how many; *index is where to go on, and may have wrapped to 0 at the very end. */
unsigned int xa_gather(const struct xarray *xa, u64 *index, u64 max, void **out, u64 *indices,
		       unsigned int n);
/* Marks only stick to entries that are there. => lock held. */
void xa_set_mark(struct xarray *xa, u64 index, xa_mark_t mark);
void xa_clear_mark(struct xarray *xa, u64 index, xa_mark_t mark);
bool xa_get_mark(const struct xarray *xa, u64 index, xa_mark_t mark);
/* Some entry has the mark. */
bool xa_marked(const struct xarray *xa, xa_mark_t mark);
/* Frees all nodes; the entries are the caller's. => lock held. */
void xa_destroy(struct xarray *xa);
/* Walks the whole tree. => 0, or -1 and *what names the first rule broken. */
int xa_check(const struct xarray *xa, const char **what);

#define xa_for_each_range(xa, index, entry, start, last)			\
	for (index = (start), entry = xa_find(xa, &index, last); entry;		\
	     entry = index == (last) ? NULL : (index++, xa_find(xa, &index, last)))
#define xa_for_each(xa, index, entry)	xa_for_each_range(xa, index, entry, 0, U64_MAX)
#define xa_for_each_marked(xa, index, entry, mark)				\
	for (index = 0, entry = xa_find_marked(xa, &index, U64_MAX, mark); entry; \
	     entry = index == U64_MAX ? NULL :					\
		     (index++, xa_find_marked(xa, &index, U64_MAX, mark)))

#endif
