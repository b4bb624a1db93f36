// SOURCES: mm/arena.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: mm/arena.c: at->largest = max(at->largest, len); => (void)len;
// PLANT: mm/arena.c: seg->end = gone[1]->end; => ;
// PLANT: mm/arena.c: && s->end - *at >= len; => && s->end - *at > len;
// PLANT: mm/arena.c: if (s->start <= addr) => if (s->start < addr)
/* Arena against an array of units; lowest fit is checked, and that all structs come back. */
#include "model.h"
#include <mm/arena.h>

enum { START = 100, END = 700 };

static struct arena a;
static struct arena_seg *owner[END];
static struct arena_seg *live[END];
static unsigned int nlive;
static long structs;
static bool filling;

static struct arena_seg *seg_new(void)
{
	structs++;
	return malloc(sizeof(struct arena_seg));
}

static void seg_drop(struct arena_seg *s)
{
	structs -= s != NULL;
	free(s);
}

static u64 model_fit(u64 len, u64 align)
{
	for (u64 at = ALIGN((u64)START, align); at + len <= END; at += align) {
		u64 i = at;

		while (i < at + len && !owner[i])
			i++;
		if (i == at + len)
			return at;
	}
	return 0;
}

static void step_alloc(void)
{
	u64 len = 1 + choose(one_in(4) ? 120 : 10);
	u64 align = 1ull << (one_in(4) ? choose(7) : 0);
	u64 want = model_fit(len, align);
	struct arena_seg *spare[2] = { seg_new(), seg_new() };
	struct arena_seg *s = arena_alloc(&a, len, align, spare);

	seg_drop(spare[0]);
	seg_drop(spare[1]);
	CHECK_EQ(s ? s->start : 0, want);
	if (!s)
		return;
	CHECK_EQ(s->end, want + len);
	for (u64 i = s->start; i < s->end; i++)
		owner[i] = s;
	live[nlive++] = s;
}

static void drop(unsigned int k)
{
	struct arena_seg *s = live[k], *gone[2];

	for (u64 i = s->start; i < s->end; i++)
		owner[i] = NULL;
	live[k] = live[--nlive];
	arena_free(&a, s, gone);
	seg_drop(gone[0]);
	seg_drop(gone[1]);
}

static void step_find(void)
{
	u64 at = START + choose(END - START), i = at;
	struct arena_seg *next = arena_next_busy(&a, at);

	CHECK(arena_find(&a, at) == owner[at]);
	while (i < END && (!owner[i] || owner[i]->start < at))
		i++;
	CHECK(next == (i < END ? owner[i] : NULL));
}

static void start(void)
{
	memset(owner, 0, sizeof(owner));
	filling = true;
	arena_init(&a);
	arena_add(&a, seg_new(), START, END);
}

static void step(void)
{
	u64 r = choose(200);

	if (r < (filling ? 100 : 60))
		step_alloc();
	else if (r < 160 && nlive)
		drop((unsigned int)choose(nlive));
	else if (r < 199)
		step_find();
	else if (one_in(10))
		filling = !filling;
}

static void check(void)
{
	struct finding f;
	int bad = arena_check(&a, &f);

	if (bad)
		printf("  %s is %#llx, should be %#llx\n", f.what, (unsigned long long)f.is, (unsigned long long)f.should);
	CHECK_EQ(bad, 0);
}

static void finish(void)
{
	while (nlive)
		drop(0);
	CHECK_EQ(a.nr_segs, 1);
	CHECK_EQ(a.free, END - START);
	seg_drop(rb_entry(a.root.rb_node, struct arena_seg, rb));
	CHECK_EQ(structs, 0);
}

const struct model model = { .round = 10000, .start = start, .step = step, .check = check, .finish = finish };
