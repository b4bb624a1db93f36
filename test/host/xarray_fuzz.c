// SOURCES: kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Four bytes an operation: what, how high the index is, index, mark.  Checked after each. */
#include "check.h"
#include "lib/xarray.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long nodes, fail_in;

static struct xa_node *node_alloc(gfp_t gfp __unused)
{
	if (fail_in && --fail_in == 0)
		return NULL;
	nodes++;
	return malloc(sizeof(struct xa_node));
}

static void node_free(struct xa_node *node)
{
	nodes--;
	free(node);
}

static const struct xa_node_ops ops = { node_alloc, node_free };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xarray xa = XARRAY_INIT(&ops);
	const char *what;

	fail_in = 0;
	for (; size >= 4; data += 4, size -= 4) {
		u64 i = (u64)data[2] << (data[1] % 57);
		xa_mark_t m = data[3] % XA_MARKS;
		void *e = xa_mk_value(data[3]);

		switch (data[0] % 6) {
		case 0:
			fail_in = data[3] % 8;
			if (xa_store(&xa, i, e, 0) == 0 && xa_load(&xa, i) != e)
				abort();
			break;
		case 1:
			xa_erase(&xa, i);
			if (xa_load(&xa, i))
				abort();
			break;
		case 2:
			xa_set_mark(&xa, i, m);
			break;
		case 3:
			xa_clear_mark(&xa, i, m);
			break;
		case 4:
			if (xa_find(&xa, &i, U64_MAX) != xa_load(&xa, i))
				break;	/* not found: i may be anything */
			break;
		default:
			if (xa_find_marked(&xa, &i, U64_MAX, m) && !xa_get_mark(&xa, i, m))
				abort();
		}
		fail_in = 0;
		if (xa_check(&xa, &what))
			abort();
	}
	xa_destroy(&xa);
	if (nodes)
		abort();
	return 0;
}
