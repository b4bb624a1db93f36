// SOURCES: kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Red-black trees, plain and augmented, against a sorted model; checked after every step. */
#include "check.h"
#include "lib/rbtree.h"

enum { KEYS = 400, STEPS = 100000 };

struct item {
	struct rb_node rb;
	u64 key, value, biggest;
	bool in;
};

static struct item items[KEYS];

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

static void insert(struct rb_root *root, struct item *it, bool augmented)
{
	struct rb_node **link = &root->rb_node, *parent = NULL;

	while (*link) {
		struct item *at = rb_entry(*link, struct item, rb);

		parent = *link;
		if (augmented)
			at->biggest = max(at->biggest, it->value);
		link = it->key < at->key ? &parent->rb_left : &parent->rb_right;
	}
	it->biggest = it->value;
	rb_link_node(&it->rb, parent, link);
	if (augmented)
		rb_insert_augmented(&it->rb, root, &item_aug);
	else
		rb_insert_color(&it->rb, root);
}

/* Order, membership, links both ways and augmented values. */
static bool agrees(struct rb_root *root, bool augmented)
{
	struct rb_node *n = rb_first(root);

	for (int i = 0; i < KEYS; i++) {
		if (!items[i].in)
			continue;
		if (n != &items[i].rb)
			return false;
		if (augmented && items[i].biggest != biggest_of(&items[i]))
			return false;
		if (rb_next(n) && rb_prev(rb_next(n)) != n)
			return false;
		n = rb_next(n);
	}
	return !n;
}

static void steps(bool augmented)
{
	struct rb_root root = RB_ROOT;
	const struct rb_node *bad;

	memset(items, 0, sizeof(items));
	for (int i = 0; i < KEYS; i++)
		items[i].key = (u64)i;
	for (int step = 0; step < STEPS; step++) {
		/* Sizes from a handful to all. */
		int span = step / 1000 % 2 ? 12 : KEYS;
		struct item *it = &items[check_rand_below((u64)span)];

		if (!it->in) {
			it->value = check_rand_below(1000);
			insert(&root, it, augmented);
		} else if (augmented) {
			rb_erase_augmented(&it->rb, &root, &item_aug);
		} else {
			rb_erase(&it->rb, &root);
		}
		it->in = !it->in;
		if (span == 12 || step % 16 == 0)
			CHECK_OR_RETURN(rb_check(&root, &bad) >= 0 && agrees(&root, augmented));
	}
}

static void test_plain(void)
{
	steps(false);
}

static void test_augmented(void)
{
	steps(true);
}

static void test_postorder_and_replace(void)
{
	struct rb_root root = RB_ROOT;
	struct item *p, *n, other = { .key = 50 };
	int count = 0;

	memset(items, 0, sizeof(items));
	for (int i = 0; i < 100; i++) {
		items[i].key = (u64)i;
		insert(&root, &items[i], false);
	}
	rb_replace_node(&items[50].rb, &other.rb, &root);
	CHECK(rb_next(&items[49].rb) == &other.rb && rb_prev(&items[51].rb) == &other.rb);
	rbtree_postorder_for_each_entry_safe(p, n, &root, rb) {
		CHECK(!p->in);
		p->in = true;
		if (p->rb.rb_left)
			CHECK(rb_entry(p->rb.rb_left, struct item, rb)->in);
		if (p->rb.rb_right)
			CHECK(rb_entry(p->rb.rb_right, struct item, rb)->in);
		count++;
	}
	CHECK_EQ(count, 100);
}

int main(void)
{
	RUN(test_plain);
	RUN(test_augmented);
	RUN(test_postorder_and_replace);
	return check_done();
}
