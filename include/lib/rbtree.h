/*
 * rbtree.h - red-black trees with links inside the objects.
 *
 * The caller finds the place with its own comparison, links the node with rb_link_node and
 * calls rb_insert_color.  A tree may be augmented: every node then carries a value computed
 * from its subtree, kept by three callbacks.  No locks; readers exclude writers.
 */
#ifndef LIB_RBTREE_H
#define LIB_RBTREE_H

#include "lib/atomic.h"

struct rb_node {
	uintptr_t __rb_parent_color;	/* parent | colour: 0 red, 1 black */
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} __aligned(8);

struct rb_root {
	struct rb_node *rb_node;
};

/* A tree that knows its leftmost node. */
struct rb_root_cached {
	struct rb_root rb_root;
	struct rb_node *rb_leftmost;
};

#define RB_ROOT			(struct rb_root){ NULL }
#define RB_ROOT_CACHED		(struct rb_root_cached){ { NULL }, NULL }
#define RB_EMPTY_ROOT(root)	(READ_ONCE((root)->rb_node) == NULL)
#define RB_EMPTY_NODE(n)	((n)->__rb_parent_color == (uintptr_t)(n))
#define RB_CLEAR_NODE(n)	((void)((n)->__rb_parent_color = (uintptr_t)(n)))
#define rb_parent(n)		((struct rb_node *)((n)->__rb_parent_color & ~(uintptr_t)3))
#define rb_entry(ptr, type, member)		container_of(ptr, type, member)
#define rb_entry_safe(ptr, type, member) ({					\
	__typeof__(ptr) __rp = (ptr);						\
	__rp ? rb_entry(__rp, type, member) : NULL; })

/*
 * propagate: recompute from `node` up to, not including, `stop`.
 * copy: `new` takes the place of `old`, with its value.
 * rotate: `new` takes the place of `old` and its value; `old` is recomputed.
 */
struct rb_augment_callbacks {
	void (*propagate)(struct rb_node *node, struct rb_node *stop);
	void (*copy)(struct rb_node *old, struct rb_node *new);
	void (*rotate)(struct rb_node *old, struct rb_node *new);
};

void rb_insert_color(struct rb_node *node, struct rb_root *root);
void rb_erase(struct rb_node *node, struct rb_root *root);
/* => before rb_insert_augmented the caller has updated the values from the parent up. */
void rb_insert_augmented(struct rb_node *node, struct rb_root *root,
			 const struct rb_augment_callbacks *aug);
void rb_erase_augmented(struct rb_node *node, struct rb_root *root,
			const struct rb_augment_callbacks *aug);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
/* Children before their parents, for tearing a tree down without rebalancing. */
struct rb_node *rb_first_postorder(const struct rb_root *root);
struct rb_node *rb_next_postorder(const struct rb_node *node);
/* new takes the place and colour of victim; it must sort the same. */
void rb_replace_node(struct rb_node *victim, struct rb_node *new, struct rb_root *root);
/* Shape and colours. => the black height (0 for an empty tree), or -1 and *bad is set. */
int rb_check(const struct rb_root *root, const struct rb_node **bad);

static __always_inline void rb_link_node(struct rb_node *node, struct rb_node *parent,
					 struct rb_node **link)
{
	node->__rb_parent_color = (uintptr_t)parent;
	WRITE_ONCE(node->rb_left, NULL);
	WRITE_ONCE(node->rb_right, NULL);
	smp_store_release(link, node); /* who walks without a lock finds it whole */
}

static __always_inline struct rb_node *rb_first_cached(const struct rb_root_cached *root)
{
	return root->rb_leftmost;
}

static __always_inline void rb_insert_color_cached(struct rb_node *node,
						   struct rb_root_cached *root, bool leftmost)
{
	if (leftmost)
		root->rb_leftmost = node;
	rb_insert_color(node, &root->rb_root);
}

static __always_inline void rb_erase_cached(struct rb_node *node, struct rb_root_cached *root)
{
	if (root->rb_leftmost == node)
		root->rb_leftmost = rb_next(node);
	rb_erase(node, &root->rb_root);
}

static __always_inline void rb_insert_augmented_cached(struct rb_node *node,
						       struct rb_root_cached *root, bool leftmost,
						       const struct rb_augment_callbacks *aug)
{
	if (leftmost)
		root->rb_leftmost = node;
	rb_insert_augmented(node, &root->rb_root, aug);
}

static __always_inline void rb_erase_augmented_cached(struct rb_node *node,
						      struct rb_root_cached *root,
						      const struct rb_augment_callbacks *aug)
{
	if (root->rb_leftmost == node)
		root->rb_leftmost = rb_next(node);
	rb_erase_augmented(node, &root->rb_root, aug);
}

/*
 * Defines callbacks for a value `field` of `type` computed by `compute(struct s *)`, which
 * looks at the node and its children only.
 */
#define RB_DECLARE_CALLBACKS(linkage, name, s, member, type, field, compute)	\
static void name##_propagate(struct rb_node *rb, struct rb_node *stop)		\
{										\
	while (rb != stop) {							\
		s *__n = rb_entry(rb, s, member);				\
		type __v = compute(__n);					\
		if (__n->field == __v)						\
			break;							\
		__n->field = __v;						\
		rb = rb_parent(&__n->member);					\
	}									\
}										\
static void name##_copy(struct rb_node *o, struct rb_node *n)			\
{										\
	rb_entry(n, s, member)->field = rb_entry(o, s, member)->field;		\
}										\
static void name##_rotate(struct rb_node *o, struct rb_node *n)			\
{										\
	s *__o = rb_entry(o, s, member);					\
	rb_entry(n, s, member)->field = __o->field;				\
	__o->field = compute(__o);						\
}										\
linkage const struct rb_augment_callbacks name = {				\
	.propagate = name##_propagate, .copy = name##_copy, .rotate = name##_rotate, \
}

#define rb_for_each_entry(p, root, member)					\
	for (p = rb_entry_safe(rb_first(root), __typeof__(*p), member); p;	\
	     p = rb_entry_safe(rb_next(&p->member), __typeof__(*p), member))
#define rbtree_postorder_for_each_entry_safe(p, n, root, member)		\
	for (p = rb_entry_safe(rb_first_postorder(root), __typeof__(*p), member); \
	     p && ({ n = rb_entry_safe(rb_next_postorder(&p->member),		\
				       __typeof__(*p), member); 1; });		\
	     p = n)

#endif
