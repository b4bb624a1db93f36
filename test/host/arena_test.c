// SOURCES: mm/arena.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Arena against an array of units; lowest fit is checked, the checker runs after every step. */
#include "check.h"
#include <mm/arena.h>

enum { START = 100, END = 1100, STEPS = 100000 };

static struct arena a;
static struct arena_seg *owner[END];
static struct arena_seg *live[END];
static unsigned int nlive;
static long structs;

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
	u64 len = 1 + check_rand_below(check_rand_below(4) ? 10 : 120);
	u64 align = 1ull << (check_rand_below(4) ? 0 : check_rand_below(7));
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

static void step_free(void)
{
	unsigned int k = (unsigned int)check_rand_below(nlive);
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
	u64 at = START + check_rand_below(END - START), i = at;
	struct arena_seg *next = arena_next_busy(&a, at);

	CHECK(arena_find(&a, at) == owner[at]);
	while (i < END && (!owner[i] || owner[i]->start < at))
		i++;
	CHECK(next == (i < END ? owner[i] : NULL));
}

static void test_random(void)
{
	const char *what = "";

	arena_init(&a);
	arena_add(&a, seg_new(), START, END);
	for (int step = 0; step < STEPS; step++) {
		bool filling = step / 2000 % 2 == 0;
		u64 r = check_rand_below(10);

		if (r < (filling ? 5 : 3))
			step_alloc();
		else if (r < 8 && nlive)
			step_free();
		else
			step_find();
		CHECK(arena_check(&a, &what) == 0);
		CHECK_OR_RETURN(!check_failed_now);
	}
	while (nlive)
		step_free();
	CHECK_EQ(a.nr_segs, 1);
	CHECK_EQ(a.free, END - START);
	seg_drop(rb_entry(a.root.rb_node, struct arena_seg, rb));
	CHECK_EQ(structs, 0);
}

int main(void)
{
	RUN(test_random);
	return check_done();
}
