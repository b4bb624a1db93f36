// SOURCES: mm/slab.c mm/magazine.c kernel/lib/string.c
// CFLAGS: -DHOST_TEST -DDEBUG
/*
 * Slabs and magazines as a cache of two CPUs without pages: every object has at most one owner,
 * its contents survive, all come back; checked after every step.  Then the debug layout: each
 * kind of misuse is seen.
 */
#include "check.h"
#include <mm/slab_impl.h>

enum { SLABS = 12, CPUS = 2, MAXOBJ = 3000, STEPS = 100000 };

static struct slab_shape shape;
static struct page slabs[SLABS];
static void *mem[SLABS];
static struct mag_cpu cpus[CPUS];
static struct depot depot;
static void *live[MAXOBJ];
static unsigned int nlive;
static long mags;
static const char *seen;

static void broken(const struct slab_shape *s __unused, const void *obj __unused, const char *what)
{
	seen = what;
}

static void report(const char *cache __unused, const char *what, const void *at, u64 is, u64 should)
{
	printf("  %p: %s: is %llx, should be %llx\n", at, what, is, should);
}

static void construct(void *obj)
{
	memset(obj, 0x77, shape.size);
}

static struct page *slab_of(void *obj)
{
	for (int i = 0; i < SLABS; i++)
		if (slab_holds(&shape, &slabs[i], obj))
			return &slabs[i];
	return NULL;
}

static void *from_slabs(void)
{
	for (int i = 0; i < SLABS; i++)
		if (!slab_full(&shape, &slabs[i]))
			return slab_take(&shape, &slabs[i]);
	return NULL;
}

static struct magazine *mag_new(void)
{
	struct magazine *m = malloc(sizeof(*m) + 8 * sizeof(void *));

	mags++;
	m->next = NULL;
	m->rounds = 0;
	m->size = 4 + (u32)check_rand_below(5);
	return m;
}

static void *alloc(struct mag_cpu *c)
{
	if (c->rounds || mag_swap_for_pop(c) || mag_load_full(c, &depot))
		return mag_pop(c);
	return from_slabs();
}

static void give(struct mag_cpu *c, void *obj)
{
	if (c->rounds >= c->size && !mag_swap_for_push(c) && !mag_load_empty(c, &depot)) {
		if (check_rand_below(3) == 0) {
			slab_give(&shape, slab_of(obj), obj);
			return;
		}
		mag_install(c, &depot, mag_new());
	}
	mag_push(c, obj);
}

static void empty_mag(struct magazine *m, u32 rounds)
{
	for (u32 i = 0; i < rounds; i++)
		slab_give(&shape, slab_of(m->round[i]), m->round[i]);
	free(m);
	mags--;
}

static void drain(struct mag_cpu *c)
{
	struct mag_cpu old = *c;

	*c = (struct mag_cpu){ 0 };
	if (old.loaded)
		empty_mag(old.loaded, old.rounds);
	if (old.prev)
		empty_mag(old.prev, old.prev_rounds);
}

static void reap(void)
{
	struct magazine *m;

	while ((m = depot_get_full(&depot)) || (m = depot_get_empty(&depot)))
		empty_mag(m, m->rounds);
}

static bool all_sound(void)
{
	u64 inuse = 0, cached = depot.rounds;
	const char *what = "";

	for (int i = 0; i < SLABS; i++) {
		inuse += slabs[i].private;
		if (slab_check_one(&shape, &slabs[i], report))
			return false;
	}
	for (int i = 0; i < CPUS; i++) {
		cached += cpus[i].rounds + cpus[i].prev_rounds;
		if (mag_check_one(&cpus[i], &what)) {
			printf("  %s\n", what);
			return false;
		}
	}
	if (depot_check_one(&depot, &what)) {
		printf("  %s\n", what);
		return false;
	}
	return inuse == cached + nlive;
}

static void run(u32 size, u32 align, bool keep, bool debug)
{
	shape = (struct slab_shape){ .name = "test", .broken = broken };
	slab_shape_init(&shape, size, align, keep, debug);
	seen = NULL;
	for (u32 i = 0; i < SLABS; i++) {
		mem[i] = aligned_alloc(4096, PAGE_SIZE << shape.order);
		slab_format(&shape, &slabs[i], mem[i], i, keep ? construct : NULL);
	}
	for (int step = 0; step < STEPS / 5; step++) {
		struct mag_cpu *c = &cpus[check_rand_below(CPUS)];
		bool filling = step / 500 % 2 == 0;
		u64 r = check_rand_below(1000);

		if (r == 0) {
			drain(c);
		} else if (r == 1) {
			reap();
		} else if (r < (filling ? 600u : 400u)) {
			u8 *obj = nlive < MAXOBJ ? alloc(c) : NULL;

			if (obj) {
				CHECK(IS_ALIGNED((uintptr_t)obj, max(align, 8u)));
				if (keep)
					CHECK(obj[0] == 0x77 && obj[size - 1] == 0x77);
				else
					memset(obj, (int)nlive, size);
				live[nlive++] = obj;
			}
		} else if (nlive) {
			unsigned int k = (unsigned int)check_rand_below(nlive);
			void *obj = live[k];

			live[k] = live[--nlive];
			give(c, obj);
		}
		CHECK_OR_RETURN(all_sound() && !seen);
	}
	while (nlive)
		give(&cpus[0], live[--nlive]);
	drain(&cpus[0]);
	drain(&cpus[1]);
	reap();
	for (int i = 0; i < SLABS; i++) {
		CHECK_EQ(slabs[i].private, 0);
		free(mem[i]);
	}
	CHECK_EQ(mags, 0);
}

static void test_small(void)
{
	run(16, 16, false, false);
}

static void test_odd_size(void)
{
	run(200, 8, false, false);
}

static void test_constructed(void)
{
	run(300, 64, true, false);
}

static void test_debug(void)
{
	run(100, 16, false, true);
}

static void test_debug_constructed(void)
{
	run(640, 64, true, true);
}

static void test_misuse_is_seen(void)
{
	struct page p = { 0 };
	u8 *a, *b;
	void *area = aligned_alloc(4096, PAGE_SIZE << SLAB_MAX_ORDER);

	shape = (struct slab_shape){ .name = "test", .broken = broken };
	slab_shape_init(&shape, 40, 8, false, true);
	slab_format(&shape, &p, area, 0, NULL);
	a = slab_take(&shape, &p);
	b = slab_take(&shape, &p);
	seen = NULL;
	a[40] = 1;
	slab_give(&shape, &p, a);
	CHECK_STR(seen ? seen : "", "redzone overwritten");
	seen = NULL;
	slab_give(&shape, &p, b);
	CHECK(!seen);
	p.private++;	/* as if another object were still out */
	slab_give(&shape, &p, b);
	CHECK_STR(seen ? seen : "", "object freed twice");
	slab_format(&shape, &p, area, 0, NULL);
	a = slab_take(&shape, &p);
	slab_give(&shape, &p, a);
	a[3] = 0;
	seen = NULL;
	slab_take(&shape, &p);
	CHECK_STR(seen ? seen : "", "free object written to");
	free(area);
}

static void test_shapes(void)
{
	for (u32 size = 8; size <= 8192; size += 8) {
		slab_shape_init(&shape, size, is_power_of_2(size) ? min(size, 4096u) : 8, false, false);
		CHECK(shape.count >= 2 && shape.stride >= size);
		CHECK((u64)shape.count * shape.stride + (shape.colours - 1) * shape.align <=
		      PAGE_SIZE << shape.order);
	}
}

int main(void)
{
	RUN(test_small);
	RUN(test_odd_size);
	RUN(test_constructed);
	RUN(test_debug);
	RUN(test_debug_constructed);
	RUN(test_misuse_is_seen);
	RUN(test_shapes);
	return check_done();
}
