// SOURCES: mm/slab.c mm/magazine.c kernel/lib/string.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* One slab, one CPU, magazines of 4; a byte an operation, checked after each. */
#include "check.h"
#include <mm/slab_impl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void broken(const struct slab_shape *s __unused, const void *o __unused, const char *w __unused)
{
	abort();
}

static void report(const char *c __unused, const char *w __unused, const void *at __unused,
		   u64 is __unused, u64 should __unused)
{
	abort();
}

static struct magazine *mag_new(void)
{
	struct magazine *m = malloc(sizeof(*m) + 4 * sizeof(void *));

	*m = (struct magazine){ .size = 4 };
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slab_shape s = { .name = "fuzz", .broken = broken };
	struct mag_cpu c = { 0 };
	struct depot d = { 0 };
	struct page p = { 0 };
	static _Alignas(4096) u8 mem[PAGE_SIZE << SLAB_MAX_ORDER];
	void *live[128];
	unsigned int n = 0;
	const char *what;
	struct magazine *m;

	if (!size)
		return 0;
	slab_shape_init(&s, 24 + data[0], 8, data[0] & 1, data[0] & 2);
	slab_format(&s, &p, mem, data[0], NULL);
	for (size_t i = 1; i < size; i++) {
		if (data[i] & 1) {
			if (n == 128)
				continue;
			if (c.rounds || mag_swap_for_pop(&c) || mag_load_full(&c, &d))
				live[n++] = mag_pop(&c);
			else if (!slab_full(&s, &p))
				live[n++] = slab_take(&s, &p);
		} else if (n) {
			void *obj = live[data[i] / 2 % n];

			live[data[i] / 2 % n] = live[n - 1];
			n--;
			if (c.rounds >= c.size && !mag_swap_for_push(&c) && !mag_load_empty(&c, &d)) {
				if (data[i] & 0x80) {
					slab_give(&s, &p, obj);
					continue;
				}
				mag_install(&c, &d, mag_new());
			}
			mag_push(&c, obj);
		}
		slab_check_one(&s, &p, report);
		if (mag_check_one(&c, &what) || depot_check_one(&d, &what) ||
		    p.private != n + c.rounds + c.prev_rounds + d.rounds)
			abort();
	}
	while ((m = depot_get_full(&d)) || (m = depot_get_empty(&d)))
		free(m);
	free(c.loaded);
	free(c.prev);
	return 0;
}
