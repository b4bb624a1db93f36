/*
 * The VMA tree.
 *
 * VMAs are disjoint half-open ranges. Each stands in two structures at once: a red-black tree ordered by address, and a
 * circular list in the same order. The list gives neighbours in one load (merging, unmapping of ranges, fork), the tree
 * gives search, and through its augmentation the search for free space:
 *
 *	v->gap		free bytes between the previous VMA's end (or 0) and vma_low(v), which leaves room below a stack
 *	v->rb_max_gap	the largest gap in v's subtree
 *
 * A change of a VMA's ends concerns two gaps only: its own and its successor's. Both are recomputed and the maxima
 * propagated upwards until one does not change, so every operation is O(log n).
 *
 * mm->last remembers the VMA found last. Readers race on it (faults hold mm->lock for reading), which is harmless: it is
 * only ever a VMA of the set, because erasing one clears it under the write lock.
 *
 * Rejected: a B-tree with a range per slot (fewer cache misses, but the ends of a VMA then live in two places and
 * every split moves slots under the readers); measured in instructions the hint makes both equal.
 */
#include <lib/assert.h>
#include <lib/list.h>
#include <mm/vmatree.h>

static inline struct vma *rb_vma(struct rb_node *n)
{
	return rb_entry(n, struct vma, rb);
}

static u64 subtree_max_gap(struct vma *v)
{
	u64 g = v->gap;

	if (v->rb.rb_left && rb_vma(v->rb.rb_left)->rb_max_gap > g)
		g = rb_vma(v->rb.rb_left)->rb_max_gap;
	if (v->rb.rb_right && rb_vma(v->rb.rb_right)->rb_max_gap > g)
		g = rb_vma(v->rb.rb_right)->rb_max_gap;
	return g;
}

RB_DECLARE_CALLBACKS(static, gap_callbacks, struct vma, rb, u64, rb_max_gap, subtree_max_gap);

void vmatree_init(struct mm *mm)
{
	mm->vmas = RB_ROOT;
	INIT_LIST_HEAD(&mm->vma_list);
	mm->last = NULL;
	mm->nr_vmas = 0;
}

struct vma *vma_next(struct vma *v)
{
	return list_is_last(&v->list, &v->mm->vma_list) ? NULL : list_next_entry(v, list);
}

struct vma *vma_prev(struct vma *v)
{
	return list_is_first(&v->list, &v->mm->vma_list) ? NULL : list_prev_entry(v, list);
}

static u64 gap_below(struct vma *v)
{
	struct vma *prev = vma_prev(v);
	u64 from = prev ? prev->end : 0, to = vma_low(v);

	return to > from ? to - from : 0;
}

/* Recomputes the gap of a VMA in the tree. */
static void gap_update(struct vma *v)
{
	u64 g = gap_below(v);

	if (v->gap == g)
		return;
	v->gap = g;
	gap_callbacks_propagate(&v->rb, NULL);
}

struct vma *vma_find(struct mm *mm, u64 addr)
{
	struct vma *v = READ_ONCE(mm->last), *best = NULL;
	struct rb_node *n;

	if (likely(v && v->start <= addr && addr < v->end))
		return v;
	n = mm->vmas.rb_node;
	while (n) {
		v = rb_vma(n);
		if (addr < v->end) {
			best = v;
			if (v->start <= addr)
				break;
			n = n->rb_left;
		} else {
			n = n->rb_right;
		}
	}
	if (best)
		WRITE_ONCE(mm->last, best);
	return best;
}

struct vma *vmatree_intersect(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = vma_find(mm, start);

	return v && v->start < end ? v : NULL;
}

/* Links a node found by its parent; @prev is its predecessor. The gap of the successor shrinks. */
static void link_node(struct mm *mm, struct vma *v, struct vma *prev, struct rb_node *parent,
		      struct rb_node **link)
{
	struct vma *next;

	list_add(&v->list, prev ? &prev->list : &mm->vma_list);
	rb_link_node(&v->rb, parent, link);
	v->gap = v->rb_max_gap = gap_below(v);
	mm->nr_vmas++;
	if (parent)
		gap_callbacks_propagate(parent, NULL);
	next = vma_next(v);
	if (next)
		gap_update(next);
	rb_insert_augmented(&v->rb, &mm->vmas, &gap_callbacks);
}

void vmatree_insert(struct mm *mm, struct vma *v)
{
	struct rb_node **link = &mm->vmas.rb_node, *parent = NULL;
	struct vma *prev = NULL;

	while (*link) {
		parent = *link;
		if (v->start < rb_vma(parent)->start) {
			link = &parent->rb_left;
		} else {
			prev = rb_vma(parent);
			link = &parent->rb_right;
		}
	}
	ASSERT(!prev || prev->end <= v->start);
	link_node(mm, v, prev, parent, link);
	ASSERT(!vma_next(v) || v->end <= vma_next(v)->start);
}

void vmatree_append(struct mm *mm, struct vma *v)
{
	struct vma *prev;

	if (list_empty(&mm->vma_list)) {
		link_node(mm, v, NULL, NULL, &mm->vmas.rb_node);
		return;
	}
	prev = list_last_entry(&mm->vma_list, struct vma, list);
	ASSERT(prev->end <= v->start);
	link_node(mm, v, prev, &prev->rb, &prev->rb.rb_right);
}

void vmatree_erase(struct mm *mm, struct vma *v)
{
	struct vma *next = vma_next(v);

	if (mm->last == v)
		WRITE_ONCE(mm->last, NULL);
	rb_erase_augmented(&v->rb, &mm->vmas, &gap_callbacks);
	list_del(&v->list);
	mm->nr_vmas--;
	if (next)
		gap_update(next);
}

void vmatree_resize(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	struct vma *next = vma_next(v);
	bool tail = end != v->end;

	ASSERT(start < end);
	ASSERT(!next || end <= next->start);
	ASSERT(!vma_prev(v) || vma_prev(v)->end <= start);
	WRITE_ONCE(v->start, start);
	WRITE_ONCE(v->end, end);
	gap_update(v);
	if (tail && next)
		gap_update(next);
}

void vmatree_split(struct mm *mm, struct vma *v, struct vma *n)
{
	struct rb_node *right = v->rb.rb_right;

	ASSERT(v->start < n->start && n->start < v->end && n->end == v->end);
	WRITE_ONCE(v->end, n->start);
	n->gap = n->rb_max_gap = 0;
	/* the place behind v: its right child, or the left child of its successor */
	if (right) {
		struct rb_node *next = &list_next_entry(v, list)->rb;

		rb_link_node(&n->rb, next, &next->rb_left);
	} else {
		rb_link_node(&n->rb, &v->rb, &v->rb.rb_right);
	}
	list_add(&n->list, &v->list);
	mm->nr_vmas++;
	rb_insert_augmented(&n->rb, &mm->vmas, &gap_callbacks);
	/* what grows down and is not the lowest part has its guard inside v: no gap below it */
}

void vmatree_join(struct mm *mm, struct vma *v, struct vma *n)
{
	ASSERT(v->end == n->start && list_next_entry(v, list) == n);
	if (mm->last == n)
		WRITE_ONCE(mm->last, v);
	rb_erase_augmented(&n->rb, &mm->vmas, &gap_callbacks);
	list_del(&n->list);
	mm->nr_vmas--;
	WRITE_ONCE(v->end, n->end);
}

/* Fits [*, hi) from the top, or from lo upwards. */
static bool fit_top(u64 lo, u64 hi, u64 len, u64 align, u64 *addr)
{
	u64 a;

	if (hi < lo || hi - lo < len)
		return false;
	a = ALIGN_DOWN(hi - len, align);
	if (a < lo)
		return false;
	*addr = a;
	return true;
}

static bool fit_bottom(u64 lo, u64 hi, u64 len, u64 align, u64 *addr)
{
	u64 a = ALIGN(lo, align);

	if (a < lo || hi < a || hi - a < len)
		return false;
	*addr = a;
	return true;
}

static u64 last_end(const struct mm *mm)
{
	return list_empty(&mm->vma_list) ? 0 : list_last_entry(&mm->vma_list, struct vma, list)->end;
}

/* First ancestor reached from its right (left) child: the next node in descending (ascending) order when the subtree is done. */
static struct rb_node *climb_from(struct rb_node *n, bool right)
{
	struct rb_node *p;

	while ((p = rb_parent(n)) && n != (right ? p->rb_right : p->rb_left))
		n = p;
	return p;
}

bool vmatree_gap_topdown(const struct mm *mm, u64 len, u64 low, u64 high, u64 align, u64 *addr)
{
	struct rb_node *n = mm->vmas.rb_node;
	bool down = true; /* the right subtree of n was not looked at */

	if (!len || high < len || fit_top(max(low, last_end(mm)), high, len, align, addr))
		return len && high >= len;
	while (n) {
		struct vma *v = rb_vma(n);
		u64 top = vma_low(v), bottom = top - v->gap;

		/* a right subtree that starts above the limit holds nothing for us */
		if (down && n->rb_right && rb_vma(n->rb_right)->rb_max_gap >= len && v->end <= high - len) {
			n = n->rb_right;
			continue;
		}
		if (v->gap >= len && fit_top(max(bottom, low), min(top, high), len, align, addr))
			return true;
		if (v->start <= low)
			return false; /* everything further left is lower */
		if (n->rb_left && rb_vma(n->rb_left)->rb_max_gap >= len) {
			n = n->rb_left;
			down = true;
			continue;
		}
		n = climb_from(n, true);
		down = false;
	}
	return false;
}

bool vmatree_gap_bottomup(const struct mm *mm, u64 len, u64 low, u64 high, u64 align, u64 *addr)
{
	struct rb_node *n = mm->vmas.rb_node;
	bool down = true; /* the left subtree of n was not looked at */

	if (!len || high < len)
		return false;
	while (n) {
		struct vma *v = rb_vma(n);
		u64 top = vma_low(v), bottom = top - v->gap;

		if (down && n->rb_left && rb_vma(n->rb_left)->rb_max_gap >= len && v->start >= low) {
			n = n->rb_left;
			continue;
		}
		if (v->gap >= len && fit_bottom(max(bottom, low), min(top, high), len, align, addr))
			return true;
		if (v->end >= high)
			return false;
		if (n->rb_right && rb_vma(n->rb_right)->rb_max_gap >= len) {
			n = n->rb_right;
			down = true;
			continue;
		}
		n = climb_from(n, false);
		down = false;
	}
	return fit_bottom(max(low, last_end(mm)), high, len, align, addr);
}

static u64 check_one(const struct mm *mm, struct vma *v, struct vma *prev, struct finding *f)
{
	if (v->start >= v->end || (v->start | v->end) & ~PAGE_MASK)
		return found(f, "start of a range, page aligned and below its end,", v, v->start, v->end);
	if (prev && prev->end > v->start)
		return found(f, "start of a range, not below the end of the one before,", v, v->start, prev->end);
	return expect_same(f, "mm of a vma", v, (u64)(uintptr_t)v->mm, (u64)(uintptr_t)mm) +
	       expect_same(f, "gap to the previous vma", v, v->gap, gap_below(v)) +
	       expect_same(f, "largest gap of the subtree", v, v->rb_max_gap, subtree_max_gap(v));
}

u64 vmatree_check(const struct mm *mm, struct finding *f)
{
	struct rb_node *n = rb_first(&mm->vmas);
	const struct rb_node *bad_node;
	struct vma *v, *prev = NULL;
	u64 bad = 0, count = 0;

	*f = (struct finding){ 0 };
	if (rb_check(&mm->vmas, &bad_node) < 0)
		return found(f, "colour and height of a tree node", bad_node, 0, 1);
	list_for_each_entry(v, &mm->vma_list, list) {
		bad += check_one(mm, v, prev, f);
		bad += expect_same(f, "node of the tree at this place of the list", v, (u64)(uintptr_t)n, (u64)(uintptr_t)&v->rb);
		n = n ? rb_next(n) : NULL;
		prev = v;
		count++;
	}
	bad += expect_same(f, "node of the tree behind the end of the list", mm, (u64)(uintptr_t)n, 0);
	return bad + expect_same(f, "number of vmas", mm, mm->nr_vmas, count);
}
