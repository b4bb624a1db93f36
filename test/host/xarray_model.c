// SOURCES: kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: kernel/lib/xarray.c: if (n->marks[m])\n\t\t\tbreak; => (void)0;
// PLANT: kernel/lib/xarray.c: if (is_node(old))\n\t\t\tto_node(old)->parent = n; => (void)0;
// PLANT: kernel/lib/xarray.c: prune(xa, n);\n\t\t\treturn NULL; => return NULL;
// PLANT: kernel/lib/xarray.c: if (at > max)\n\t\t\treturn NULL;\n\t\te = => e =
/* The radix tree against a sorted array of (index, entry, marks), with failing allocations. */
#include "model.h"
#include "lib/err.h"
#include "lib/xarray.h"

enum { MAXN = 400 };

struct pair {
	u64 index;
	void *entry;
	u8 marks;
};

static struct xarray xa;
static struct pair model_of[MAXN];
static int count;
static long nodes;
static bool failing, filling;

static struct xa_node *node_alloc(gfp_t gfp __unused)
{
	if (failing && one_in(3))
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

	while (p < count && model_of[p].index < i)
		p++;
	return p;
}

static bool there_at(int p, u64 i)
{
	return p < count && model_of[p].index == i;
}

/* Indices that collide often, of every height. */
static u64 some_index(void)
{
	switch (choose(5)) {
	case 0:
		return choose(8);
	case 1:
		return choose(300);
	case 2:
		return choose(40) << 12 | choose(16);
	case 3:
		return choose(4) << 62 | choose(16);
	default:
		return U64_MAX - choose(4);
	}
}

static u64 some_max(void)
{
	return choose(2) ? U64_MAX : some_index();
}

static void step_store(void)
{
	u64 i = some_index();
	void *entry = xa_mk_value(choose(65536));
	bool insert = choose(2), there;
	int p = place(i), err;

	there = there_at(p, i);
	if (count == MAXN && !there)
		return;
	failing = one_in(4);
	err = insert ? xa_insert(&xa, i, entry, 0) : xa_store(&xa, i, entry, 0);
	if (insert && there) {
		CHECK_EQ(err, -EBUSY);
	} else if (err) {
		CHECK(err == -ENOMEM && failing);
	} else {
		if (!there) {
			memmove(&model_of[p + 1], &model_of[p], (size_t)(count - p) * sizeof(model_of[0]));
			model_of[p] = (struct pair){ .index = i };
			count++;
		}
		model_of[p].entry = entry;
	}
	failing = false;
}

static u64 index_in_use(void)
{
	return count && choose(2) ? model_of[choose((u64)count)].index : some_index();
}

static void step_erase(void)
{
	u64 i = index_in_use();
	int p = place(i);
	bool there = there_at(p, i);

	CHECK(xa_erase(&xa, i) == (there ? model_of[p].entry : NULL));
	if (there)
		memmove(&model_of[p], &model_of[p + 1], (size_t)(--count - p) * sizeof(model_of[0]));
}

static void step_replace(void)
{
	u64 i = index_in_use();
	void *entry = xa_mk_value(choose(256));
	int p = place(i);

	CHECK(xa_replace(&xa, i, entry) == (there_at(p, i) ? model_of[p].entry : NULL));
	if (there_at(p, i))
		model_of[p].entry = entry;
}

static void step_mark(void)
{
	u64 i = index_in_use();
	xa_mark_t m = (xa_mark_t)choose(XA_MARKS);
	int p = place(i);
	bool set = choose(2);

	(set ? xa_set_mark : xa_clear_mark)(&xa, i, m);
	if (there_at(p, i))
		model_of[p].marks = (u8)(set ? model_of[p].marks | 1 << m : model_of[p].marks & ~(1 << m));
}

static void step_look(void)
{
	u64 i = some_index(), max = some_max(), at = i;
	xa_mark_t m = (xa_mark_t)choose(XA_MARKS);
	int p = place(i), q;
	void *e;

	e = xa_load(&xa, i);
	CHECK(e == (there_at(p, i) ? model_of[p].entry : NULL));
	CHECK_EQ(xa_get_mark(&xa, i, m), there_at(p, i) && model_of[p].marks >> m & 1);
	e = xa_find(&xa, &at, max);
	q = p < count && model_of[p].index <= max ? p : -1;
	CHECK(q < 0 ? !e : e == model_of[q].entry && at == model_of[q].index);
	for (q = p; q < count && !(model_of[q].marks >> m & 1); q++)
		;
	at = i;
	e = xa_find_marked(&xa, &at, max, m);
	CHECK(q == count || model_of[q].index > max ? !e : e == model_of[q].entry && at == model_of[q].index);
}

static void step_gather(void)
{
	void *out[20];
	u64 idx[20], at = some_index(), max = some_max();
	int p = place(at);
	unsigned int n = 1 + (unsigned int)choose(20);
	unsigned int got = xa_gather(&xa, &at, max, out, idx, n);

	for (unsigned int k = 0; k < got; k++, p++)
		CHECK_OR_RETURN(p < count && out[k] == model_of[p].entry && idx[k] == model_of[p].index);
	if (got < n)
		CHECK(p >= count || model_of[p].index > max);
}

static void start(void)
{
	count = 0;
	filling = true;
	xa_init(&xa, &ops);
}

static void step(void)
{
	u64 r = choose(100);

	if (r < (filling ? 40 : 10))
		step_store();
	else if (r < 45)
		step_erase();
	else if (r < 50)
		step_replace();
	else if (r < 70)
		step_mark();
	else if (r < 90)
		step_look();
	else if (r < 99)
		step_gather();
	else if (one_in(20))
		filling = !filling;
}

static void check(void)
{
	const char *what = "";
	int bad = xa_check(&xa, &what);
	u8 marks = 0;

	if (bad)
		printf("  %s\n", what);
	CHECK_EQ(bad, 0);
	for (int p = 0; p < count; p++)
		marks |= model_of[p].marks;
	for (xa_mark_t m = 0; m < XA_MARKS; m++)
		CHECK_EQ(xa_marked(&xa, m), marks >> m & 1);
}

static void finish(void)
{
	xa_destroy(&xa);
	CHECK_EQ(nodes, 0);
	CHECK(xa_empty(&xa));
}

static void one_entry_needs_no_node(void)
{
	int x;

	start();
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

static void others(void)
{
	RUN(one_entry_needs_no_node);
}

const struct model model = {
	.round = 20000, .start = start, .step = step, .check = check, .finish = finish, .others = others,
};
