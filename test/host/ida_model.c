// SOURCES: kernel/lib/ida.c kernel/lib/bitmap.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: kernel/lib/ida.c: storage[words - 1] = ~0ULL << (bits & 63); => (void)0;
// PLANT: kernel/lib/ida.c: if (old != ~0ULL)\n\t\t\tbreak; => break;
// PLANT: kernel/lib/ida.c: k++, at = (at >> 6) + 1) => k++, at = (at >> 6))
// PLANT: kernel/lib/ida.c: ida->next = (u32)id + 1; => (void)0;
/* The number allocator against an array of flags, in sizes that end in the middle of words and levels. */
#include "model.h"
#include "lib/err.h"
#include "lib/ida.h"

enum { MAXN = 4200 };

static DEFINE_IDA_STORAGE(storage, MAXN);
static struct ida ida;
static bool taken[MAXN];
static u32 size, next, used;
static bool filling;

static int model_alloc(u32 min, u32 limit)
{
	u32 end = limit && limit < size ? limit : size;

	for (u32 i = min; i < end; i++)
		if (!taken[i])
			return (int)i;
	return -ENOSPC;
}

static void took(int got, int want)
{
	CHECK_EQ(got, want);
	if (got < 0 || got != want)
		return;
	taken[got] = true;
	used++;
}

static void step_cyclic(u32 min, u32 limit)
{
	int want = next > min ? model_alloc(next, limit) : -ENOSPC;

	if (want < 0)
		want = model_alloc(min, limit);
	took(ida_alloc_cyclic(&ida, min, limit), want);
	if (want >= 0)
		next = (u32)want + 1;
}

static void step_one(u32 id)
{
	CHECK_EQ(ida_taken(&ida, id), taken[id]);
	if (taken[id] && one_in(4)) {
		CHECK_EQ(ida_take(&ida, id), -EBUSY);
	} else if (taken[id]) {
		ida_free(&ida, id);
		taken[id] = false;
		used--;
	} else {
		took(ida_take(&ida, id) ? -EBUSY : (int)id, (int)id);
	}
}

static void start(void)
{
	static const u32 sizes[] = { 1, 5, 64, 65, 300, 700, 4096, MAXN };

	size = sizes[choose(ARRAY_SIZE(sizes))];
	next = used = 0;
	filling = true;
	memset(taken, 0, sizeof(taken));
	memset(storage, 0xa5, sizeof(storage));
	ida_init(&ida, storage, size);
}

static void step(void)
{
	u32 id = (u32)choose(size), limit = one_in(4) ? (u32)choose(size + 2) : 0;

	switch (choose(filling ? 8 : 40)) {
	case 0 ... 3:
		took(ida_alloc_range(&ida, id, limit), model_alloc(id, limit));
		break;
	case 4:
		step_cyclic(id, limit);
		break;
	case 5:
		if (one_in(size / 4 + 1))
			filling = !filling;
		break;
	default:
		if (taken[id] || filling)
			step_one(id);
	}
}

static void check(void)
{
	const char *what = "";
	int bad = ida_check(&ida, &what);

	if (bad)
		printf("  %s\n", what);
	CHECK_EQ(bad, 0);
	CHECK_EQ(ida.used, used);
}

static void finish(void)
{
	for (u32 i = 0; i < size; i++) {
		CHECK_EQ(ida_taken(&ida, i), taken[i]);
		if (taken[i])
			ida_free(&ida, i);
	}
	CHECK_EQ(ida.used, 0);
	CHECK(ida_taken(&ida, size));
}

const struct model model = { .round = 4000, .start = start, .step = step, .check = check, .finish = finish };
