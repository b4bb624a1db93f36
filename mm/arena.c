/* arena.c - see include/mm/arena.h. */
#include <mm/arena.h>

#include <lib/assert.h>

#define seg_of(node)	rb_entry_safe(node, struct arena_seg, rb)

static u64 largest_of(struct arena_seg *s)
{
	u64 v = s->busy ? 0 : s->end - s->start;

	if (s->rb.rb_left)
		v = max(v, seg_of(s->rb.rb_left)->largest);
	if (s->rb.rb_right)
		v = max(v, seg_of(s->rb.rb_right)->largest);
	return v;
}

RB_DECLARE_CALLBACKS(static, seg_aug, struct arena_seg, rb, u64, largest, largest_of);

void arena_init(struct arena *a)
{
	*a = (struct arena){ .root = RB_ROOT };
}

static void insert(struct arena *a, struct arena_seg *s)
{
	struct rb_node **link = &a->root.rb_node, *parent = NULL;
	u64 len = s->busy ? 0 : s->end - s->start;

	while (*link) {
		struct arena_seg *at = seg_of(*link);

		parent = *link;
		at->largest = max(at->largest, len);
		link = s->start < at->start ? &parent->rb_left : &parent->rb_right;
	}
	s->largest = len;
	rb_link_node(&s->rb, parent, link);
	rb_insert_augmented(&s->rb, &a->root, &seg_aug);
	a->nr_segs++;
}

static void erase(struct arena *a, struct arena_seg *s)
{
	rb_erase_augmented(&s->rb, &a->root, &seg_aug);
	a->nr_segs--;
}

/* The segment's length or state changed: sums above it follow. */
static void changed(struct arena_seg *s)
{
	seg_aug.propagate(&s->rb, NULL);
}

void arena_add(struct arena *a, struct arena_seg *seg, u64 start, u64 end)
{
	*seg = (struct arena_seg){ .start = start, .end = end };
	a->free += end - start;
	insert(a, seg);
}

/* Does it fit there?  *at is the aligned start. */
static bool fits(const struct arena_seg *s, u64 len, u64 align, u64 *at)
{
	*at = ALIGN(s->start, align);
	return !s->busy && *at >= s->start && *at < s->end && s->end - *at >= len;
}

/*
 * Lowest fit.  Subtrees without a free segment of `len` are skipped; with large alignments a
 * segment long enough may still not fit, then the walk goes on behind it.
 */
static struct arena_seg *find_fit(const struct arena *a, u64 len, u64 align, u64 *at)
{
	struct arena_seg *s = seg_of(a->root.rb_node), *parent;

	if (!s || s->largest < len)
		return NULL;
	for (;;) {
		if (s->rb.rb_left && seg_of(s->rb.rb_left)->largest >= len) {
			s = seg_of(s->rb.rb_left);
			continue;
		}
		for (;;) {
			if (fits(s, len, align, at))
				return s;
			if (s->rb.rb_right && seg_of(s->rb.rb_right)->largest >= len) {
				s = seg_of(s->rb.rb_right);
				break;
			}
			/* Up to the first ancestor we come to from the left. */
			while ((parent = seg_of(rb_parent(&s->rb))) && parent->rb.rb_right == &s->rb)
				s = parent;
			if (!parent)
				return NULL;
			s = parent;
		}
	}
}

static struct arena_seg *use(struct arena_seg *spare[2])
{
	struct arena_seg *s = spare[0] ? spare[0] : spare[1];

	if (spare[0])
		spare[0] = NULL;
	else
		spare[1] = NULL;
	VERIFY(s);
	return s;
}

struct arena_seg *arena_alloc(struct arena *a, u64 len, u64 align, struct arena_seg *spare[2])
{
	u64 at, end;
	struct arena_seg *s = len ? find_fit(a, len, align, &at) : NULL, *rest;

	if (!s)
		return NULL;
	end = s->end;
	if (at > s->start) {
		/* The part before stays free in the old struct. */
		s->end = at;
		changed(s);
		s = use(spare);
		*s = (struct arena_seg){ .start = at, .end = at + len, .busy = true };
		insert(a, s);
	} else {
		s->end = at + len;
		s->busy = true;
		s->owner = NULL;
		changed(s);
	}
	if (end > at + len) {
		rest = use(spare);
		*rest = (struct arena_seg){ .start = at + len, .end = end };
		insert(a, rest);
	}
	a->free -= len;
	a->busy += len;
	return s;
}

void arena_free(struct arena *a, struct arena_seg *seg, struct arena_seg *gone[2])
{
	struct arena_seg *prev = seg_of(rb_prev(&seg->rb)), *next = seg_of(rb_next(&seg->rb));

	VERIFY(seg->busy);
	gone[0] = prev && !prev->busy && prev->end == seg->start ? prev : NULL;
	gone[1] = next && !next->busy && next->start == seg->end ? next : NULL;
	/* The tree's sums must be right whenever it is reshaped: out with the neighbours first,
	 * then grow. */
	if (gone[0])
		erase(a, gone[0]);
	if (gone[1])
		erase(a, gone[1]);
	a->free += seg->end - seg->start;
	a->busy -= seg->end - seg->start;
	if (gone[0])
		seg->start = gone[0]->start;
	if (gone[1])
		seg->end = gone[1]->end;
	seg->busy = false;
	seg->owner = NULL;
	changed(seg);
}

/* The last segment that starts at or before addr. */
static struct arena_seg *at_or_before(const struct arena *a, u64 addr)
{
	struct arena_seg *s = seg_of(a->root.rb_node), *best = NULL;

	while (s) {
		if (s->start <= addr) {
			best = s;
			s = seg_of(s->rb.rb_right);
		} else {
			s = seg_of(s->rb.rb_left);
		}
	}
	return best;
}

struct arena_seg *arena_find(const struct arena *a, u64 addr)
{
	struct arena_seg *s = at_or_before(a, addr);

	return s && s->busy && addr < s->end ? s : NULL;
}

struct arena_seg *arena_next_busy(const struct arena *a, u64 addr)
{
	struct arena_seg *s = at_or_before(a, addr);

	if (!s)
		s = seg_of(rb_first(&a->root));
	while (s && (!s->busy || s->start < addr))
		s = seg_of(rb_next(&s->rb));
	return s;
}

int arena_check(const struct arena *a, struct finding *f)
{
	struct arena_seg *s, *prev = NULL;
	u64 n = 0, free = 0, busy = 0, bad = 0;
	const struct rb_node *at;

	*f = (struct finding){ 0 };
	if (rb_check(&a->root, &at) < 0)
		return -(int)found(f, "colour and height of a tree node", at, 0, 1);
	rb_for_each_entry(s, &a->root, rb) {
		if (s->start >= s->end)
			bad += found(f, "start of a segment, below its end,", s, s->start, s->end);
		if (prev && prev->end > s->start)
			bad += found(f, "start of a segment, not below the end of the one before,", s, s->start, prev->end);
		if (prev && prev->end == s->start && !prev->busy && !s->busy)
			bad += found(f, "free neighbour, merged with the segment that ends at", s, s->start, prev->end);
		bad += expect_same(f, "largest free length of the subtree", s, s->largest, largest_of(s));
		n++;
		*(s->busy ? &busy : &free) += s->end - s->start;
		prev = s;
	}
	bad += expect_same(f, "number of segments", a, a->nr_segs, n) + expect_same(f, "free units", a, a->free, free) +
	       expect_same(f, "busy units", a, a->busy, busy);
	return bad ? -1 : 0;
}
