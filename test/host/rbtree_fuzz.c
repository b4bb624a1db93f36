// SOURCES: kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Each byte puts a key in or takes it out; the tree is checked after every one. */
#include "check.h"
#include "lib/rbtree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rb_node nodes[256];
	static bool in[256];
	struct rb_root root = RB_ROOT;
	const struct rb_node *bad;

	memset(in, 0, sizeof(in));
	for (size_t i = 0; i < size; i++) {
		struct rb_node *n = &nodes[data[i]], **link = &root.rb_node, *parent = NULL;

		if (in[data[i]]) {
			rb_erase(n, &root);
		} else {
			while (*link) {
				parent = *link;
				link = n < parent ? &parent->rb_left : &parent->rb_right;
			}
			rb_link_node(n, parent, link);
			rb_insert_color(n, &root);
		}
		in[data[i]] = !in[data[i]];
		if (rb_check(&root, &bad) < 0)
			abort();
	}
	return 0;
}
