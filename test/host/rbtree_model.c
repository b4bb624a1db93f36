// SOURCES: kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: kernel/lib/rbtree.c: set_colour_of(s, parent); => (void)0;
// PLANT: kernel/lib/rbtree.c: aug->propagate(parent, s); => (void)0;
// PLANT: kernel/lib/rbtree.c: set_red(gran);\n\t\treturn; => return;
// PLANT: kernel/lib/rbtree.c: change_child(victim, new, rb_parent(victim), root); => (void)0;
// PLANT: include/lib/rbtree.h: root->rb_leftmost = rb_next(node);\n\trb_erase( => (void)0;\n\trb_erase(
/*
 * Red-black trees, plain and augmented, with and without a leftmost node, against a table of keys: order,
 * links both ways, colours and the augmented values of all nodes.
 */
#include "model.h"
#include "lib/rbtree.h"

enum { KEYS = 96 };

struct item {
	struct rb_node rb;
	u64 key, value, biggest;
};

static struct item store[2 * KEYS]; /* two for a key: a node may be replaced */
static struct item *in[KEYS];
static struct rb_root_cached tree;
static bool augmented, cached;
static u64 span;

static u64 biggest_of(struct item *n)
{
	u64 v = n->value;

	if (n->rb.rb_left)
		v = max(v, rb_entry(n->rb.rb_left, struct item, rb)->biggest);
	if (n->rb.rb_right)
		v = max(v, rb_entry(n->rb.rb_right, struct item, rb)->biggest);
	return v;
}

RB_DECLARE_CALLBACKS(static, item_aug, struct item, rb, u64, biggest, biggest_of);

static void insert(struct item *it)
{
	struct rb_node **link = &tree.rb_root.rb_node, *parent = NULL;
	bool leftmost = true;

	it->biggest = it->value;
	while (*link) {
		struct item *at = rb_entry(*link, struct item, rb);

		parent = *link;
		if (augmented)
			at->biggest = max(at->biggest, it->value);
		leftmost = leftmost && it->key < at->key;
		link = it->key < at->key ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&it->rb, parent, link);
	if (augmented && cached)
		rb_insert_augmented_cached(&it->rb, &tree, leftmost, &item_aug);
	else if (augmented)
		rb_insert_augmented(&it->rb, &tree.rb_root, &item_aug);
	else if (cached)
		rb_insert_color_cached(&it->rb, &tree, leftmost);
	else
		rb_insert_color(&it->rb, &tree.rb_root);
}

static void erase(struct item *it)
{
	if (augmented && cached)
		rb_erase_augmented_cached(&it->rb, &tree, &item_aug);
	else if (augmented)
		rb_erase_augmented(&it->rb, &tree.rb_root, &item_aug);
	else if (cached)
		rb_erase_cached(&it->rb, &tree);
	else
		rb_erase(&it->rb, &tree.rb_root);
	memset(it, 0x5a, sizeof(*it));
}

static void replace(u64 key)
{
	struct item *old = in[key], *new = old == &store[2 * key] ? old + 1 : old - 1;

	*new = *old;
	rb_replace_node(&old->rb, &new->rb, &tree.rb_root);
	if (tree.rb_leftmost == &old->rb)
		tree.rb_leftmost = &new->rb;
	memset(old, 0x5a, sizeof(*old));
	in[key] = new;
}

static void start(void)
{
	u64 kind = choose(4);

	augmented = kind & 1;
	cached = kind & 2;
	memset(in, 0, sizeof(in));
	tree = RB_ROOT_CACHED;
	span = choose(2) ? 12 : KEYS;
}

static void step(void)
{
	u64 key = choose(span);

	if (in[key] && one_in(8)) {
		replace(key);
	} else if (in[key]) {
		erase(in[key]);
		in[key] = NULL;
	} else {
		in[key] = &store[2 * key];
		*in[key] = (struct item){ .key = key, .value = choose(256) };
		insert(in[key]);
	}
}

static void check(void)
{
	const struct rb_node *bad;
	struct rb_node *n = rb_first(&tree.rb_root), *last = NULL;

	CHECK_OR_RETURN(rb_check(&tree.rb_root, &bad) >= 0);
	if (cached)
		CHECK(rb_first_cached(&tree) == n);
	for (u64 key = 0; key < KEYS; key++) {
		if (!in[key])
			continue;
		CHECK_OR_RETURN(n == &in[key]->rb && rb_prev(n) == last && in[key]->key == key);
		if (augmented)
			CHECK_EQ(in[key]->biggest, biggest_of(in[key]));
		last = n;
		n = rb_next(n);
	}
	CHECK(!n && rb_last(&tree.rb_root) == last);
}

/* Children come before their parents, so everything can be taken down on the way. */
static void finish(void)
{
	struct item *p, *next;
	u64 seen = 0, there = 0;

	rbtree_postorder_for_each_entry_safe(p, next, &tree.rb_root, rb) {
		memset(p, 0x5a, sizeof(*p));
		seen++;
	}
	for (u64 key = 0; key < KEYS; key++)
		there += in[key] != NULL;
	CHECK_EQ(seen, there);
}

const struct model model = { .round = 5000, .start = start, .step = step, .check = check, .finish = finish };
