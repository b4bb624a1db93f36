// SOURCES: mm/slab.c kernel/lib/string.c
// CFLAGS: -DHOST_TEST -DDEBUG
// RUNS: 10000
// PLANT: mm/slab.c: s->free_off = ALIGN(size, 8); => s->free_off = 0;
// PLANT: mm/slab.c: p->slab_free = *link_of(s, obj); => if (p->private != 3) p->slab_free = *link_of(s, obj);
// PLANT: mm/slab.c: && off % s->stride == 0; => ;
// PLANT: mm/slab.c: if (red_is(s, obj, RED_FREE)) { => if (0) {
// PLANT: mm/slab.c: if (s->poison && !poison_whole(s, obj)) => if (0)
/*
 * Slabs without caches: every object has at most one owner, is aligned, keeps what its owner wrote and, where
 * constructed, what the constructor wrote; all come back.  In all layouts, plain, constructed and checking.  Then
 * each kind of misuse is seen.
 */
#include "model.h"
#include <mm/slab_impl.h>

enum { SLABS = 3, MAXOBJ = 4096 };

static struct slab_shape shape;
static struct page slabs[SLABS];
static _Alignas(4096) u8 memory[SLABS][PAGE_SIZE << SLAB_MAX_ORDER];
static bool keep;

static struct object {
	u8 *p;
	u32 slab;
	u8 fill;
} live[MAXOBJ];
static u32 nlive, in_slab[SLABS];
static const char *seen;
static bool filling;

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

static bool all_bytes(const u8 *p, u8 v)
{
	for (u32 i = 0; i < shape.size; i++)
		if (p[i] != v)
			return false;
	return true;
}

static void format(u32 k)
{
	memset(memory[k], 0xee, PAGE_SIZE << shape.order);
	slab_format(&shape, &slabs[k], memory[k], (u32)choose(64), keep ? construct : NULL);
}

static void step_take(u32 k)
{
	u8 *p;

	CHECK_EQ(slab_full(&shape, &slabs[k]), in_slab[k] == shape.count);
	if (in_slab[k] == shape.count || nlive == MAXOBJ)
		return;
	p = slab_take(&shape, &slabs[k]);
	CHECK(IS_ALIGNED((uintptr_t)p, shape.align) && slab_holds(&shape, &slabs[k], p));
	CHECK(!slab_holds(&shape, &slabs[(k + 1) % SLABS], p) && !slab_holds(&shape, &slabs[k], p + 1));
	CHECK_OR_RETURN(p >= memory[k] && p + shape.size <= memory[k] + (PAGE_SIZE << shape.order));
	if (keep)
		CHECK(all_bytes(p, 0x77));
	live[nlive] = (struct object){ p, k, keep ? 0x77 : (u8)(1 + nlive) };
	memset(p, live[nlive++].fill, shape.size);
	in_slab[k]++;
}

static void give(u32 i)
{
	struct object o = live[i];

	CHECK(all_bytes(o.p, o.fill));
	live[i] = live[--nlive];
	in_slab[o.slab]--;
	slab_give(&shape, &slabs[o.slab], o.p);
}

static void start(void)
{
	static const struct { u16 size, align; bool keep, debug; } shapes[] = {
		{ 16, 16, false, false }, { 200, 8, false, false }, { 300, 64, true, false }, { 1024, 1024, false, false },
		{ 100, 16, false, true }, { 640, 64, true, true }, { 8, 8, true, false }, { 3000, 8, false, true },
	};
	u64 n = choose(ARRAY_SIZE(shapes));

	keep = shapes[n].keep;
	seen = NULL;
	filling = true;
	nlive = 0;
	memset(in_slab, 0, sizeof(in_slab));
	memset(slabs, 0, sizeof(slabs));
	shape = (struct slab_shape){ .name = "test", .broken = broken };
	slab_shape_init(&shape, shapes[n].size, shapes[n].align, keep, shapes[n].debug);
	for (u32 k = 0; k < SLABS; k++)
		format(k);
}

static void step(void)
{
	u64 r = choose(200), k = choose(SLABS);

	if (r < (filling ? 110 : 80))
		step_take((u32)k);
	else if (r < 198 && nlive)
		give((u32)choose(nlive));
	else if (r == 198 && !in_slab[k])
		format((u32)k);	/* an empty slab was taken apart and made again */
	else if (one_in(4))
		filling = !filling;
}

static void check(void)
{
	for (u32 k = 0; k < SLABS; k++) {
		CHECK_EQ(slab_check_one(&shape, &slabs[k], report), 0);
		CHECK_EQ(slabs[k].private, in_slab[k]);
	}
	CHECK_STR(seen ? seen : "", "");
}

static void finish(void)
{
	while (nlive)
		give(0);
	check();
}

static void expect(const char *what)
{
	CHECK_STR(seen ? seen : "", what);
	seen = NULL;
}

static void misuse_is_seen(void)
{
	struct page p = { 0 };
	u8 *a, *b;

	shape = (struct slab_shape){ .name = "test", .broken = broken };
	slab_shape_init(&shape, 40, 8, false, true);
	slab_format(&shape, &p, memory[0], 0, NULL);
	a = slab_take(&shape, &p);
	b = slab_take(&shape, &p);
	expect("");
	a[40] = 1;
	slab_give(&shape, &p, a);
	expect("redzone overwritten");
	slab_give(&shape, &p, b);
	expect("");
	p.private++;	/* as if another object were still out */
	slab_give(&shape, &p, b);
	expect("object freed twice");
	slab_format(&shape, &p, memory[0], 0, NULL);
	a = slab_take(&shape, &p);
	slab_give(&shape, &p, a);
	a[3] = 0;
	slab_take(&shape, &p);
	expect("free object written to");
}

static void shapes(void)
{
	for (u32 size = 8; size <= 8192; size += 8) {
		slab_shape_init(&shape, size, is_power_of_2(size) ? min(size, 4096u) : 8, false, false);
		CHECK(shape.count >= 2 && shape.stride >= size);
		CHECK((u64)shape.count * shape.stride + (shape.colours - 1) * shape.align <=
		      PAGE_SIZE << shape.order);
	}
}

static void others(void)
{
	RUN(misuse_is_seen);
	RUN(shapes);
}

const struct model model = {
	.round = 2500, .start = start, .step = step, .check = check, .finish = finish, .others = others,
};
