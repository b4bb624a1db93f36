// SOURCES: mm/vmatree.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* The VMA tree against an array of pages: random inserts, erases, resizes and searches, checked after every step. */
#include "check.h"
#include "mm/vmatree.h"

#define PAGES 512 /* of the model */
enum { STEPS = 100000, BASE_PAGE = 16 };

static struct mm mm;
static struct vma pool[PAGES];
static struct vma *owner[PAGES]; /* model: who owns each page */

static u64 addr_of(unsigned page) { return (u64)(BASE_PAGE + page) << PAGE_SHIFT; }

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

static unsigned page_of(u64 addr) { return (unsigned)(addr >> PAGE_SHIFT) - BASE_PAGE; }

static void step_insert(void)
{
	unsigned at = check_rand_below(PAGES), n = 0;
	struct vma *v;

	while (at + n < PAGES && !owner[at + n] && n < 9)
		n++;
	if (!n || !(v = pool_get()))
		return;
	n = 1 + check_rand_below(n);
	memset(v, 0, sizeof(*v));
	v->mm = &mm;
	v->start = addr_of(at);
	v->end = addr_of(at + n);
	v->flags = check_rand_below(8) ? 0 : VM_GROWSDOWN;
	vmatree_insert(&mm, v);
	own(v, at, at + n);
}

static void step_erase(void)
{
	struct vma *v = owner[check_rand_below(PAGES)];

	if (!v)
		return;
	own(NULL, page_of(v->start), page_of(v->end));
	vmatree_erase(&mm, v);
	v->mm = NULL;
}

static void step_resize(void)
{
	struct vma *v = owner[check_rand_below(PAGES)];
	unsigned s, e;

	if (!v)
		return;
	s = page_of(v->start);
	e = page_of(v->end);
	own(NULL, s, e);
	if (check_rand_below(2)) {
		while (s > 0 && !owner[s - 1] && check_rand_below(3))
			s--;
		while (e < PAGES && !owner[e] && check_rand_below(3))
			e++;
	} else if (e - s > 1) {
		s += check_rand_below(e - s - 1);
		e -= check_rand_below(e - s);
	}
	own(v, s, e);
	vmatree_resize(&mm, v, addr_of(s), addr_of(e));
}

static void step_split(void)
{
	struct vma *v = owner[check_rand_below(PAGES)], *n;
	unsigned s, e, at;

	if (!v)
		return;
	s = page_of(v->start);
	e = page_of(v->end);
	if (e - s < 2 || v->flags & VM_GROWSDOWN || !(n = pool_get()))
		return;
	at = s + 1 + check_rand_below(e - s - 1);
	*n = *v;
	n->start = addr_of(at);
	vmatree_split(&mm, v, n);
	own(n, at, e);
}

static void step_join(void)
{
	struct vma *v = owner[check_rand_below(PAGES)], *n;

	if (!v || !(n = vma_next(v)) || n->start != v->end || n->flags & VM_GROWSDOWN)
		return;
	own(v, page_of(n->start), page_of(n->end));
	vmatree_join(&mm, v, n);
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
	u64 low = check_rand_below(PAGES) << PAGE_SHIFT, high = low + (check_rand_below(PAGES) << PAGE_SHIFT);
	u64 len = (1 + check_rand_below(12)) << PAGE_SHIFT, align = PAGE_SIZE << check_rand_below(4);
	u64 a = 0, b = 0;
	bool top = check_rand_below(2);
	bool want = model_gap(top, len, low, high, align, &a);
	bool got = top ? vmatree_gap_topdown(&mm, len, low, high, align, &b) :
			 vmatree_gap_bottomup(&mm, len, low, high, align, &b);

	CHECK_EQ(got, want);
	if (got && want)
		CHECK_EQ(b, a);
}

static void step_find(void)
{
	unsigned p = check_rand_below(PAGES), q = p + 1 + check_rand_below(10);
	struct vma *want = model_find(p), *v = vma_find(&mm, addr_of(p));

	CHECK(v == want);
	if (want && want->start >= addr_of(q))
		want = NULL;
	CHECK(vmatree_intersect(&mm, addr_of(p), addr_of(q)) == want);
}

static void random_steps(void)
{
	const struct vma *at;
	const char *what;

	vmatree_init(&mm);
	for (int i = 0; i < STEPS; i++) {
		switch (check_rand_below(10)) {
		case 8: step_split(); break;
		case 9: step_join(); break;
		case 0 ... 1: step_insert(); break;
		case 2: step_erase(); break;
		case 3: step_resize(); break;
		case 4 ... 5: step_find(); break;
		default: step_gap(); break;
		}
		CHECK_EQ(vmatree_check(&mm, &what, &at), 0);
		CHECK_OR_RETURN(1);
	}
}

/* Appending in order gives the same set as inserting. */
static void append_in_order(void)
{
	const struct vma *at;
	const char *what;

	memset(pool, 0, sizeof(pool));
	vmatree_init(&mm);
	for (int i = 0; i < PAGES; i++) {
		pool[i] = (struct vma){ .start = addr_of(2 * i), .end = addr_of(2 * i + 1), .mm = &mm };
		vmatree_append(&mm, &pool[i]);
		CHECK_EQ(vmatree_check(&mm, &what, &at), 0);
		CHECK_OR_RETURN(1);
	}
	CHECK_EQ(mm.nr_vmas, PAGES);
	CHECK(vma_find(&mm, addr_of(2 * 7 + 1)) == &pool[8]);
}

int main(void)
{
	RUN(random_steps);
	RUN(append_in_order);
	return check_done();
}
