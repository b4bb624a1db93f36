/*
 * rbtree.c - red-black trees.
 *
 * Rules: (1) the root is black; (2) a red node has no red child; (3) every way from a node down
 * to a missing child has the same number of black nodes.  So the longest way is at most twice
 * the shortest.  Colour is bit 0 of the parent word: 0 red, 1 black; a new node is red.
 *
 * Insertion breaks (2) only: recolour upwards while the uncle is red, then at most two
 * rotations.  Erasure of a black node leaves its place one black short: recolour upwards while
 * the sibling's children are black, then at most three rotations.  Both are O(log n).
 *
 * The augmented and the plain forms are one body: for plain trees the callbacks are constants
 * that do nothing and the compiler drops them.
 */
#include "lib/rbtree.h"

#define RB_RED		0
#define RB_BLACK	1

typedef void (*rotate_fn)(struct rb_node *old, struct rb_node *new);

static __always_inline bool is_black(const struct rb_node *n)
{
	return !n || (n->__rb_parent_color & 1);
}

static __always_inline bool is_red(const struct rb_node *n)
{
	return !is_black(n);
}

static __always_inline void set_black(struct rb_node *n)
{
	n->__rb_parent_color |= RB_BLACK;
}

static __always_inline void set_red(struct rb_node *n)
{
	n->__rb_parent_color &= ~(uintptr_t)RB_BLACK;
}

static __always_inline void set_parent(struct rb_node *n, struct rb_node *p)
{
	n->__rb_parent_color = (n->__rb_parent_color & 1) | (uintptr_t)p;
}

static __always_inline void set_colour_of(struct rb_node *n, const struct rb_node *of)
{
	n->__rb_parent_color = (n->__rb_parent_color & ~(uintptr_t)1) | (of->__rb_parent_color & 1);
}

/* Whatever pointed from `parent` (or the root) to `old` points to `new`. */
static __always_inline void change_child(struct rb_node *old, struct rb_node *new,
					 struct rb_node *parent, struct rb_root *root)
{
	if (!parent)
		WRITE_ONCE(root->rb_node, new);
	else if (parent->rb_left == old)
		WRITE_ONCE(parent->rb_left, new);
	else
		WRITE_ONCE(parent->rb_right, new);
}

/* The right child c rises over n; returns c.  Colours stay with the nodes. */
static __always_inline struct rb_node *rotate_left(struct rb_node *n, struct rb_root *root,
						   rotate_fn rotate)
{
	struct rb_node *c = n->rb_right, *parent = rb_parent(n);

	WRITE_ONCE(n->rb_right, c->rb_left);
	if (c->rb_left)
		set_parent(c->rb_left, n);
	WRITE_ONCE(c->rb_left, n);
	set_parent(c, parent);
	change_child(n, c, parent, root);
	set_parent(n, c);
	rotate(n, c);
	return c;
}

static __always_inline struct rb_node *rotate_right(struct rb_node *n, struct rb_root *root,
						    rotate_fn rotate)
{
	struct rb_node *c = n->rb_left, *parent = rb_parent(n);

	WRITE_ONCE(n->rb_left, c->rb_right);
	if (c->rb_right)
		set_parent(c->rb_right, n);
	WRITE_ONCE(c->rb_right, n);
	set_parent(c, parent);
	change_child(n, c, parent, root);
	set_parent(n, c);
	rotate(n, c);
	return c;
}

static __always_inline void insert_fixup(struct rb_node *n, struct rb_root *root, rotate_fn rotate)
{
	struct rb_node *parent, *gran, *uncle;

	while ((parent = rb_parent(n)) && is_red(parent)) {
		/* A red parent is not the root, so there is a (black) grandparent. */
		gran = rb_parent(parent);
		uncle = gran->rb_left == parent ? gran->rb_right : gran->rb_left;
		if (is_red(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(gran);
			n = gran;
			continue;
		}
		if (parent == gran->rb_left) {
			if (n == parent->rb_right)
				parent = rotate_left(parent, root, rotate);
			rotate_right(gran, root, rotate);
		} else {
			if (n == parent->rb_left)
				parent = rotate_right(parent, root, rotate);
			rotate_left(gran, root, rotate);
		}
		set_black(parent);
		set_red(gran);
		return;
	}
	if (!parent)
		set_black(n);
}

/* The subtree at n (may be NULL) under `parent` has one black too few. */
static __always_inline void erase_fixup(struct rb_node *n, struct rb_node *parent,
					struct rb_root *root, rotate_fn rotate)
{
	while (parent && is_black(n)) {
		bool left = parent->rb_left == n;
		struct rb_node *s = left ? parent->rb_right : parent->rb_left, *far, *near;

		if (is_red(s)) {
			set_black(s);
			set_red(parent);
			if (left)
				rotate_left(parent, root, rotate);
			else
				rotate_right(parent, root, rotate);
			s = left ? parent->rb_right : parent->rb_left;
		}
		far = left ? s->rb_right : s->rb_left;
		near = left ? s->rb_left : s->rb_right;
		if (is_black(far) && is_black(near)) {
			set_red(s);
			n = parent;
			parent = rb_parent(n);
			continue;
		}
		if (is_black(far)) {
			set_black(near);
			set_red(s);
			s = left ? rotate_right(s, root, rotate) : rotate_left(s, root, rotate);
			far = left ? s->rb_right : s->rb_left;
		}
		set_colour_of(s, parent);
		set_black(parent);
		set_black(far);
		if (left)
			rotate_left(parent, root, rotate);
		else
			rotate_right(parent, root, rotate);
		return;
	}
	if (n)
		set_black(n);
}

/* n has two children: its successor s takes its place, colour and children. */
static __always_inline void erase_inner(struct rb_node *n, struct rb_root *root,
					const struct rb_augment_callbacks *aug)
{
	struct rb_node *s = n->rb_right, *child, *parent;
	bool black;

	while (s->rb_left)
		s = s->rb_left;
	child = s->rb_right;
	parent = rb_parent(s);
	black = is_black(s);
	if (parent == n) {
		parent = s;
	} else {
		WRITE_ONCE(parent->rb_left, child);
		if (child)
			set_parent(child, parent);
		WRITE_ONCE(s->rb_right, n->rb_right);
		set_parent(s->rb_right, s);
	}
	WRITE_ONCE(s->rb_left, n->rb_left);
	set_parent(s->rb_left, s);
	s->__rb_parent_color = n->__rb_parent_color;
	change_child(n, s, rb_parent(n), root);
	aug->copy(n, s);
	if (parent != s)
		aug->propagate(parent, s);
	aug->propagate(s, NULL);
	if (black)
		erase_fixup(child, parent, root, aug->rotate);
}

static __always_inline void erase(struct rb_node *n, struct rb_root *root,
				  const struct rb_augment_callbacks *aug)
{
	struct rb_node *child = n->rb_left ? n->rb_left : n->rb_right, *parent = rb_parent(n);

	if (n->rb_left && n->rb_right) {
		erase_inner(n, root, aug);
		return;
	}
	if (child)
		set_parent(child, parent);
	change_child(n, child, parent, root);
	aug->propagate(parent, NULL);
	if (is_black(n))
		erase_fixup(child, parent, root, aug->rotate);
}

static void no_propagate(struct rb_node *n __unused, struct rb_node *stop __unused)
{
}

static void no_change(struct rb_node *old __unused, struct rb_node *new __unused)
{
}

static const struct rb_augment_callbacks plain = {
	.propagate = no_propagate, .copy = no_change, .rotate = no_change,
};

void rb_insert_color(struct rb_node *node, struct rb_root *root)
{
	insert_fixup(node, root, no_change);
}

void rb_erase(struct rb_node *node, struct rb_root *root)
{
	erase(node, root, &plain);
}

void rb_insert_augmented(struct rb_node *node, struct rb_root *root,
			 const struct rb_augment_callbacks *aug)
{
	insert_fixup(node, root, aug->rotate);
}

void rb_erase_augmented(struct rb_node *node, struct rb_root *root,
			const struct rb_augment_callbacks *aug)
{
	erase(node, root, aug);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *n = root->rb_node;

	while (n && n->rb_left)
		n = n->rb_left;
	return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
	struct rb_node *n = root->rb_node;

	while (n && n->rb_right)
		n = n->rb_right;
	return n;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	struct rb_node *n = node->rb_right, *parent;

	if (n) {
		while (n->rb_left)
			n = n->rb_left;
		return n;
	}
	while ((parent = rb_parent(node)) && node == parent->rb_right)
		node = parent;
	return parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	struct rb_node *n = node->rb_left, *parent;

	if (n) {
		while (n->rb_right)
			n = n->rb_right;
		return n;
	}
	while ((parent = rb_parent(node)) && node == parent->rb_left)
		node = parent;
	return parent;
}

static struct rb_node *deepest_left(struct rb_node *n)
{
	while (n->rb_left || n->rb_right)
		n = n->rb_left ? n->rb_left : n->rb_right;
	return n;
}

struct rb_node *rb_first_postorder(const struct rb_root *root)
{
	return root->rb_node ? deepest_left(root->rb_node) : NULL;
}

struct rb_node *rb_next_postorder(const struct rb_node *node)
{
	struct rb_node *parent = rb_parent(node);

	if (parent && node == parent->rb_left && parent->rb_right)
		return deepest_left(parent->rb_right);
	return parent;
}

void rb_replace_node(struct rb_node *victim, struct rb_node *new, struct rb_root *root)
{
	*new = *victim;
	if (new->rb_left)
		set_parent(new->rb_left, new);
	if (new->rb_right)
		set_parent(new->rb_right, new);
	change_child(victim, new, rb_parent(victim), root);
}

/* Walks in order without recursion; compares the black depth at each missing child. */
int rb_check(const struct rb_root *root, const struct rb_node **bad)
{
	int height = -1;

	if (root->rb_node && (rb_parent(root->rb_node) || is_red(root->rb_node))) {
		*bad = root->rb_node;
		return -1;
	}
	for (const struct rb_node *n = rb_first(root); n; n = rb_next(n)) {
		const struct rb_node *l = n->rb_left, *r = n->rb_right;
		int depth = 0;

		*bad = n;
		if ((l && rb_parent(l) != n) || (r && rb_parent(r) != n))
			return -1;
		if (is_red(n) && (is_red(l) || is_red(r)))
			return -1;
		if (l && r)
			continue;
		for (const struct rb_node *up = n; up; up = rb_parent(up))
			depth += is_black(up);
		if (height >= 0 && depth != height)
			return -1;
		height = depth;
	}
	*bad = NULL;
	return height < 0 ? 0 : height;
}
