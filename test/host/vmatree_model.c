// SOURCES: mm/vmatree.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: mm/vmatree.c: if (tail && next) => if (0)
// PLANT: mm/vmatree.c: if (mm->last == n) => if (0)
// PLANT: mm/vmatree.c: && v->end <= high - len) => && v->end < high - len)
// PLANT: mm/vmatree.c: a = ALIGN_DOWN(hi - len, align); => a = hi - len;
// PLANT: mm/vmatree.c: return fit_bottom(max(low, last_end(mm)), high, len, align, addr); => return false;
/* The VMA tree against an array of pages: inserts, erases, resizes, splits, joins and searches. */
#include "model.h"
#include "mm/vmatree.h"

enum { PAGES = 400, BASE_PAGE = 16 };

static struct mm mm;
static struct vma pool[PAGES];
static struct vma *owner[PAGES]; /* model: who owns each page */

static u64 addr_of(unsigned page) { return (u64)(BASE_PAGE + page) << PAGE_SHIFT; }
static unsigned page_of(u64 addr) { return (unsigned)(addr >> PAGE_SHIFT) - BASE_PAGE; }

static struct vma *pool_get(void)
{
	for (int i = 0; i < PAGES; i++)
		if (!pool[i].mm)
			return &pool[i];
	return NULL;
}

static void own(struct vma *v, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		owner[i] = v;
}

static void step_insert(void)
{
	unsigned at = choose(PAGES), n = 0;
	struct vma *v;

	while (at + n < PAGES && !owner[at + n] && n < 9)
		n++;
	if (!n || !(v = pool_get()))
		return;
	n = 1 + choose(n);
	*v = (struct vma){ .mm = &mm, .start = addr_of(at), .end = addr_of(at + n), .flags = one_in(8) ? VM_GROWSDOWN : 0 };
	vmatree_insert(&mm, v);
	own(v, at, at + n);
}

static void step_erase(void)
{
	struct vma *v = owner[choose(PAGES)];

	if (!v)
		return;
	own(NULL, page_of(v->start), page_of(v->end));
	vmatree_erase(&mm, v);
	v->mm = NULL;
}

static void step_resize(void)
{
	struct vma *v = owner[choose(PAGES)];
	unsigned s, e;

	if (!v)
		return;
	s = page_of(v->start);
	e = page_of(v->end);
	own(NULL, s, e);
	if (choose(2)) {
		while (s > 0 && !owner[s - 1] && choose(3))
			s--;
		while (e < PAGES && !owner[e] && choose(3))
			e++;
	} else if (e - s > 1) {
		s += choose(e - s - 1);
		e -= choose(e - s);
	}
	own(v, s, e);
	vmatree_resize(&mm, v, addr_of(s), addr_of(e));
}

static void step_split(void)
{
	struct vma *v = owner[choose(PAGES)], *n;
	unsigned s, e, at;

	if (!v)
		return;
	s = page_of(v->start);
	e = page_of(v->end);
	if (e - s < 2 || v->flags & VM_GROWSDOWN || !(n = pool_get()))
		return;
	at = s + 1 + choose(e - s - 1);
	*n = *v;
	n->start = addr_of(at);
	vmatree_split(&mm, v, n);
	own(n, at, e);
}

static void step_join(void)
{
	struct vma *v = owner[choose(PAGES)], *n;
	u64 at;

	if (!v || !(n = vma_next(v)) || n->start != v->end || n->flags & VM_GROWSDOWN)
		return;
	at = n->start;
	own(v, page_of(at), page_of(n->end));
	CHECK(vma_find(&mm, at) == n);
	vmatree_join(&mm, v, n);
	CHECK(vma_find(&mm, at) == v);
	n->mm = NULL;
}

/* The model's first VMA with end > page. */
static struct vma *model_find(unsigned page)
{
	for (; page < PAGES; page++)
		if (owner[page])
			return owner[page];
	return NULL;
}

/* A page is free for a placement when nobody owns it and no stack guard covers it. */
static bool model_free(u64 a, u64 len)
{
	for (u64 x = a; x < a + len; x += PAGE_SIZE)
		if (x >= addr_of(0) && x < addr_of(PAGES) && owner[page_of(x)])
			return false;
	for (struct vma *v = pool; v < pool + PAGES; v++)
		if (v->mm && v->flags & VM_GROWSDOWN && a + len > vma_low(v) && a < v->start) {
			/* the guard ends at the previous vma: space below that is free again */
			struct vma *p = vma_prev(v);

			if (!p || a >= p->end)
				return false;
		}
	return true;
}

static bool model_gap(bool top, u64 len, u64 low, u64 high, u64 align, u64 *addr)
{
	bool found = false;

	if (high < len)
		return false;
	for (u64 a = ALIGN(low, align); a + len <= high; a += align) {
		if (!model_free(a, len))
			continue;
		*addr = a;
		found = true;
		if (!top)
			break;
	}
	return found;
}

static void step_gap(void)
{
	u64 low = choose(PAGES) << PAGE_SHIFT, high = low + (choose(PAGES) << PAGE_SHIFT);
	u64 len = (1 + choose(12)) << PAGE_SHIFT, align = PAGE_SIZE << choose(4);
	u64 a = 0, b = 0;
	bool top = choose(2);
	bool want = model_gap(top, len, low, high, align, &a);
	bool got = top ? vmatree_gap_topdown(&mm, len, low, high, align, &b) :
			 vmatree_gap_bottomup(&mm, len, low, high, align, &b);

	CHECK_EQ(got, want);
	if (got && want)
		CHECK_EQ(b, a);
}

static void step_find(void)
{
	unsigned p = choose(PAGES), q = p + 1 + choose(10);
	struct vma *want = model_find(p), *v = vma_find(&mm, addr_of(p));

	CHECK(v == want);
	if (want && want->start >= addr_of(q))
		want = NULL;
	CHECK(vmatree_intersect(&mm, addr_of(p), addr_of(q)) == want);
}

static void start(void)
{
	memset(pool, 0, sizeof(pool));
	memset(owner, 0, sizeof(owner));
	vmatree_init(&mm);
}

static void step(void)
{
	switch (choose(10)) {
	case 0 ... 1: step_insert(); break;
	case 2: step_erase(); break;
	case 3: step_resize(); break;
	case 4 ... 5: step_find(); break;
	case 6 ... 7: step_gap(); break;
	case 8: step_split(); break;
	default: step_join(); break;
	}
}

static void check(void)
{
	struct finding f;
	u64 bad = vmatree_check(&mm, &f);

	if (bad)
		printf("  %s is %#llx, should be %#llx\n", f.what, (unsigned long long)f.is, (unsigned long long)f.should);
	CHECK_EQ(bad, 0);
}

/* Appending in order gives the same set as inserting. */
static void append_in_order(void)
{
	start();
	for (int i = 0; i < PAGES; i++) {
		pool[i] = (struct vma){ .start = addr_of(2 * i), .end = addr_of(2 * i + 1), .mm = &mm };
		vmatree_append(&mm, &pool[i]);
		check();
		CHECK_OR_RETURN(1);
	}
	CHECK_EQ(mm.nr_vmas, PAGES);
	CHECK(vma_find(&mm, addr_of(2 * 7 + 1)) == &pool[8]);
}

static void others(void)
{
	RUN(append_in_order);
}

const struct model model = { .round = 20000, .start = start, .step = step, .check = check, .others = others };
