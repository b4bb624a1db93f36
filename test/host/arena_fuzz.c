// SOURCES: mm/arena.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Two bytes an operation; the checker runs after each, and all structs come back. */
#include "check.h"
#include <mm/arena.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct arena_seg *s, *pair[2];
	const char *what;

	arena_init(&a);
	arena_add(&a, malloc(sizeof(*s)), 1, 5000);
	for (; size >= 2; data += 2, size -= 2) {
		if (data[0] & 1) {
			pair[0] = malloc(sizeof(*s));
			pair[1] = malloc(sizeof(*s));
			arena_alloc(&a, data[1] + 1, 1ull << (data[0] >> 1) % 10, pair);
		} else {
			s = arena_next_busy(&a, data[1] * 20 + (data[0] >> 1));
			pair[0] = pair[1] = NULL;
			if (s)
				arena_free(&a, s, pair);
		}
		free(pair[0]);
		free(pair[1]);
		if (arena_check(&a, &what))
			abort();
	}
	while ((s = arena_next_busy(&a, 0))) {
		arena_free(&a, s, pair);
		free(pair[0]);
		free(pair[1]);
	}
	if (a.nr_segs != 1)
		abort();
	free(rb_entry(a.root.rb_node, struct arena_seg, rb));
	return 0;
}
