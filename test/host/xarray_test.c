// SOURCES: kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG
/*
 * The radix tree against a sorted array of (index, entry, marks), with failing allocations,
 * checked after every step; and no node is left at the end.
 */
#include "check.h"
#include "lib/err.h"
#include "lib/xarray.h"

enum { MAXN = 600, STEPS = 100000 };

struct pair {
	u64 index;
	void *entry;
	u8 marks;
};

static struct pair model[MAXN];
static int count;
static long nodes;
static bool failing;

static struct xa_node *node_alloc(gfp_t gfp __unused)
{
	if (failing && check_rand_below(3) == 0)
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

/* First place with index >= i. */
static int place(u64 i)
{
	int p = 0;

	while (p < count && model[p].index < i)
		p++;
	return p;
}

/* Indices that collide often, of every height. */
static u64 random_index(void)
{
	u64 i = check_rand();

	switch (check_rand_below(5)) {
	case 0:
		return i & 7;
	case 1:
		return i % 300;
	case 2:
		return (i % 40) << 12 | (i >> 60);
	case 3:
		return ((i >> 8) & 3) << 62 | (i & 15);
	default:
		return U64_MAX - (i & 3);
	}
}

static void step_store(struct xarray *xa)
{
	u64 i = random_index();
	void *entry = xa_mk_value(check_rand() >> 3);
	bool insert = check_rand() & 1;
	int p = place(i), err;
	bool there = p < count && model[p].index == i;

	if (count == MAXN && !there)
		return;
	failing = check_rand_below(4) == 0;
	err = insert ? xa_insert(xa, i, entry, 0) : xa_store(xa, i, entry, 0);
	if (insert && there) {
		CHECK_EQ(err, -EBUSY);
	} else if (err) {
		CHECK(err == -ENOMEM && failing);
	} else {
		if (!there) {
			memmove(&model[p + 1], &model[p], (size_t)(count - p) * sizeof(model[0]));
			model[p] = (struct pair){ .index = i };
			count++;
		}
		model[p].entry = entry;
	}
	failing = false;
}

static void step_erase(struct xarray *xa)
{
	u64 i = count && check_rand() & 1 ? model[check_rand_below((u64)count)].index
					  : random_index();
	int p = place(i);
	bool there = p < count && model[p].index == i;

	CHECK(xa_erase(xa, i) == (there ? model[p].entry : NULL));
	if (there) {
		memmove(&model[p], &model[p + 1], (size_t)(--count - p) * sizeof(model[0]));
	}
}

static void step_mark(struct xarray *xa)
{
	u64 i = count ? model[check_rand_below((u64)count)].index : random_index();
	xa_mark_t m = (xa_mark_t)check_rand_below(XA_MARKS);
	int p = place(i);
	bool set = check_rand() & 1;

	(set ? xa_set_mark : xa_clear_mark)(xa, i, m);
	if (p < count && model[p].index == i)
		model[p].marks = (u8)(set ? model[p].marks | 1 << m : model[p].marks & ~(1 << m));
}

static void step_look(struct xarray *xa)
{
	u64 i = random_index(), max = check_rand() & 1 ? U64_MAX : random_index(), at = i;
	xa_mark_t m = (xa_mark_t)check_rand_below(XA_MARKS);
	int p = place(i), q;
	void *e;

	e = xa_load(xa, i);
	CHECK(e == (p < count && model[p].index == i ? model[p].entry : NULL));
	e = xa_find(xa, &at, max);
	q = p < count && model[p].index <= max ? p : -1;
	CHECK(q < 0 ? !e : e == model[q].entry && at == model[q].index);
	for (q = p; q < count && !(model[q].marks >> m & 1); q++)
		;
	at = i;
	e = xa_find_marked(xa, &at, max, m);
	CHECK(q == count || model[q].index > max ? !e : e == model[q].entry && at == model[q].index);
}

static void step_gather(struct xarray *xa)
{
	void *out[20];
	u64 idx[20], at = random_index(), max = check_rand() & 1 ? U64_MAX : random_index();
	int p = place(at);
	unsigned int n = 1 + (unsigned int)check_rand_below(20);
	unsigned int got = xa_gather(xa, &at, max, out, idx, n);

	for (unsigned int k = 0; k < got; k++, p++)
		CHECK_OR_RETURN(p < count && out[k] == model[p].entry && idx[k] == model[p].index);
	if (got < n)
		CHECK(p >= count || model[p].index > max);
}

static void test_random(void)
{
	struct xarray xa;
	const char *what = "";

	xa_init(&xa, &ops);
	for (int step = 0; step < STEPS; step++) {
		bool filling = (step / 5000) % 2 == 0;
		u64 r = check_rand_below(10);

		if (r < (filling ? 4 : 1))
			step_store(&xa);
		else if (r < 5)
			step_erase(&xa);
		else if (r < 7)
			step_mark(&xa);
		else if (r < 9)
			step_look(&xa);
		else
			step_gather(&xa);
		if (xa_check(&xa, &what))
			printf("  step %d: %s\n", step, what);
		CHECK_OR_RETURN(xa_check(&xa, &what) == 0);
		if (step % 64 == 0) {
			for (int p = 0; p < count; p++)
				for (xa_mark_t m = 0; m < XA_MARKS; m++)
					CHECK(xa_get_mark(&xa, model[p].index, m) ==
					      (model[p].marks >> m & 1));
		}
	}
	xa_destroy(&xa);
	CHECK_EQ(nodes, 0);
	CHECK(xa_empty(&xa));
}

static void test_one_entry_needs_no_node(void)
{
	struct xarray xa = XARRAY_INIT(&ops);
	int x;

	CHECK_EQ(xa_store(&xa, 0, &x, 0), 0);
	xa_set_mark(&xa, 0, XA_MARK_1);
	CHECK_EQ(nodes, 0);
	CHECK_EQ(xa_store(&xa, 1000000, &x, 0), 0);
	CHECK(nodes > 0 && xa_get_mark(&xa, 0, XA_MARK_1) && !xa_get_mark(&xa, 1000000, XA_MARK_1));
	CHECK(xa_erase(&xa, 1000000) == &x);
	CHECK_EQ(nodes, 0);
	CHECK(xa_get_mark(&xa, 0, XA_MARK_1) && xa_load(&xa, 0) == &x);
	CHECK(xa_erase(&xa, 0) == &x && !xa_marked(&xa, XA_MARK_1));
}

int main(void)
{
	RUN(test_random);
	RUN(test_one_entry_needs_no_node);
	return check_done();
}
