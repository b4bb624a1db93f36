/*
 * xarray.c - a radix tree of pointers.
 *
 * A node decides six bits of the index, those from `shift` up; nodes with shift 0 are leaves
 * and hold entries, the others hold nodes, tagged by bit 1.  `head` is NULL, the entry of index
 * 0 alone, or the tagged top node.
 *
 * Invariants (xa_check): bit i of `present` is set exactly when slot i is not NULL; no node is
 * empty; the top node uses a slot other than 0 (else it would have been taken away); a mark bit
 * of an inner node is set exactly when the child has a mark bit set; marks only on slots in use.
 *
 * Readers: every pointer is published by a release store after what it points to is complete,
 * and read by an acquire load.  A node taken out keeps its contents, so a reader inside it ends
 * at an entry that was there when it began, or at NULL.  `present` and the marks are hints to
 * readers: whatever they say, the slot itself decides.
 *
 * Growing adds levels on top, so an array costs as many levels as its largest index needs:
 * lookup is O(log64 max index), one load a level.
 */
#include "lib/xarray.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"

#define NODE_TAG	2UL

static __always_inline bool is_node(const void *e)
{
	return ((uintptr_t)e & 3) == NODE_TAG;
}

static __always_inline struct xa_node *to_node(const void *e)
{
	return (struct xa_node *)((uintptr_t)e - NODE_TAG);
}

static __always_inline void *mk_node(const struct xa_node *n)
{
	return (void *)((uintptr_t)n + NODE_TAG);
}

/* The indices a node's subtree covers, less one. */
static __always_inline u64 node_mask(const struct xa_node *n)
{
	return ((u64)XA_SLOTS << n->shift) - 1;
}

static __always_inline unsigned int slot_of(const struct xa_node *n, u64 index)
{
	return (index >> n->shift) & (XA_SLOTS - 1);
}

static __always_inline bool covers(const struct xa_node *top, u64 index)
{
	return (index >> top->shift) < XA_SLOTS;
}

void *xa_load(const struct xarray *xa, u64 index)
{
	void *e = smp_load_acquire(&xa->head);

	if (!is_node(e))
		return index ? NULL : e;
	if (!covers(to_node(e), index))
		return NULL;
	do {
		struct xa_node *n = to_node(e);

		e = smp_load_acquire(&n->slots[slot_of(n, index)]);
	} while (is_node(e));
	return e;
}

/* The leaf of an index that has an entry, or NULL.  Writers only. */
static struct xa_node *leaf_of(const struct xarray *xa, u64 index)
{
	void *e = xa->head;
	struct xa_node *n = NULL;

	if (!is_node(e) || !covers(to_node(e), index))
		return NULL;
	while (is_node(e)) {
		n = to_node(e);
		e = n->slots[slot_of(n, index)];
	}
	return e ? n : NULL;
}

static struct xa_node *node_new(struct xarray *xa, unsigned int shift, struct xa_node *parent,
				unsigned int offset, gfp_t gfp)
{
	struct xa_node *n = xa->ops->alloc(gfp);

	if (unlikely(!n))
		return NULL;
	memset(n, 0, sizeof(*n));
	n->shift = (u8)shift;
	n->parent = parent;
	n->offset = (u8)offset;
	return n;
}

/* Puts `value` into an unused slot. */
static void slot_fill(struct xa_node *n, unsigned int i, void *value)
{
	smp_store_release(&n->slots[i], value);
	WRITE_ONCE(n->present, n->present | 1ULL << i);
}

/* Adds levels on top until `index` is covered.  At least one node is there afterwards. */
static int grow(struct xarray *xa, u64 index, gfp_t gfp)
{
	while (!is_node(xa->head) || !covers(to_node(xa->head), index)) {
		void *old = xa->head;
		unsigned int shift = is_node(old) ? to_node(old)->shift + XA_SHIFT : 0;
		struct xa_node *n;

		if (!old)	/* nothing to keep: the right height at once */
			while (index >> shift >= XA_SLOTS)
				shift += XA_SHIFT;
		n = node_new(xa, shift, NULL, 0, gfp);
		if (!n)
			return -ENOMEM;
		if (old)
			slot_fill(n, 0, old);
		for (unsigned int m = 0; m < XA_MARKS && old; m++)
			n->marks[m] = is_node(old) ? to_node(old)->marks[m] != 0
						   : (xa->head_marks >> m) & 1;
		smp_store_release(&xa->head, mk_node(n));
		if (is_node(old))
			to_node(old)->parent = n;
		WRITE_ONCE(xa->head_marks, 0);
	}
	return 0;
}

/* Takes levels off the top that only lead to slot 0. */
static void shrink(struct xarray *xa)
{
	while (is_node(xa->head)) {
		struct xa_node *n = to_node(xa->head);
		void *child = n->slots[0];

		if (n->present > 1)
			return;
		if (is_node(child)) {
			to_node(child)->parent = NULL;
		} else {
			u8 marks = 0;

			for (unsigned int m = 0; m < XA_MARKS; m++)
				marks |= (n->marks[m] & 1) << m;
			WRITE_ONCE(xa->head_marks, marks);
		}
		smp_store_release(&xa->head, child);
		xa->ops->free(n);
	}
}

/* Takes out empty nodes from n upwards, then needless levels. */
static void prune(struct xarray *xa, struct xa_node *n)
{
	while (n && !n->present) {
		struct xa_node *parent = n->parent;

		if (parent) {
			WRITE_ONCE(parent->present, parent->present & ~(1ULL << n->offset));
			smp_store_release(&parent->slots[n->offset], NULL);
		} else {
			smp_store_release(&xa->head, NULL);
		}
		xa->ops->free(n);
		n = parent;
	}
	shrink(xa);
}

/* The leaf for an index, made if need be; NULL when there is no memory. */
static struct xa_node *make_leaf(struct xarray *xa, u64 index, gfp_t gfp)
{
	struct xa_node *n, *child;

	if (grow(xa, index, gfp)) {
		shrink(xa);
		return NULL;
	}
	for (n = to_node(xa->head); n->shift; n = child) {
		unsigned int i = slot_of(n, index);

		if (n->slots[i]) {
			child = to_node(n->slots[i]);
			continue;
		}
		child = node_new(xa, n->shift - XA_SHIFT, n, i, gfp);
		if (!child) {
			prune(xa, n);
			return NULL;
		}
		slot_fill(n, i, mk_node(child));
	}
	return n;
}

static int store(struct xarray *xa, u64 index, void *entry, gfp_t gfp, bool replace)
{
	struct xa_node *n;
	unsigned int i;

	ASSERT(!is_node(entry) && ((uintptr_t)entry & 3) != 3);
	if (index == 0 && !is_node(xa->head)) {
		if (xa->head && !replace)
			return -EBUSY;
		smp_store_release(&xa->head, entry);
		return 0;
	}
	n = leaf_of(xa, index);
	if (n) {
		if (!replace)
			return -EBUSY;
		smp_store_release(&n->slots[slot_of(n, index)], entry);
		return 0;
	}
	n = make_leaf(xa, index, gfp);
	if (unlikely(!n))
		return -ENOMEM;
	i = slot_of(n, index);
	slot_fill(n, i, entry);
	return 0;
}

int xa_store(struct xarray *xa, u64 index, void *entry, gfp_t gfp)
{
	if (!entry) {
		xa_erase(xa, index);
		return 0;
	}
	return store(xa, index, entry, gfp, true);
}

int xa_insert(struct xarray *xa, u64 index, void *entry, gfp_t gfp)
{
	ASSERT(entry);
	return store(xa, index, entry, gfp, false);
}

/* Clears a mark at slot i and upwards where nothing else carries it. */
static void mark_clear(struct xa_node *n, unsigned int i, xa_mark_t m)
{
	while (n && (n->marks[m] >> i & 1)) {
		WRITE_ONCE(n->marks[m], n->marks[m] & ~(1ULL << i));
		if (n->marks[m])
			break;
		i = n->offset;
		n = n->parent;
	}
}

void *xa_erase(struct xarray *xa, u64 index)
{
	struct xa_node *n;
	unsigned int i;
	void *old;

	if (!is_node(xa->head)) {
		old = index ? NULL : xa->head;
		if (old) {
			smp_store_release(&xa->head, NULL);
			WRITE_ONCE(xa->head_marks, 0);
		}
		return old;
	}
	n = leaf_of(xa, index);
	if (!n)
		return NULL;
	i = slot_of(n, index);
	old = n->slots[i];
	for (xa_mark_t m = 0; m < XA_MARKS; m++)
		mark_clear(n, i, m);
	WRITE_ONCE(n->present, n->present & ~(1ULL << i));
	smp_store_release(&n->slots[i], NULL);
	if (!n->present || !n->parent)
		prune(xa, n);
	return old;
}

void *xa_replace(struct xarray *xa, u64 index, void *entry)
{
	void *old = xa_load(xa, index);

	if (old)
		VERIFY(store(xa, index, entry, 0, true) == 0);
	return old;
}

/*
 * Descends to the first slot in use (mark < XA_MARKS: marked) at or after *index.
 * => the entry with *leaf (NULL for an entry in `head`) and *index; NULL past `max`.
 */
static void *find_entry(const struct xarray *xa, u64 *index, u64 max, xa_mark_t mark,
			struct xa_node **leaf)
{
	u64 at = *index;
	struct xa_node *n;
	void *e;

restart:
	e = smp_load_acquire(&xa->head);
	if (!is_node(e)) {
		*leaf = NULL;
		*index = 0;
		return at || (mark < XA_MARKS && !(READ_ONCE(xa->head_marks) >> mark & 1)) ?
			NULL : e;
	}
	n = to_node(e);
	if (!covers(n, at))
		return NULL;
	for (;;) {
		unsigned int i = slot_of(n, at);
		u64 bits = mark < XA_MARKS ? READ_ONCE(n->marks[mark]) : READ_ONCE(n->present);

		bits &= ~0ULL << i;
		if (!bits) {
			at = (at | node_mask(n)) + 1;
			if (!at || at > max)
				return NULL;
			goto restart;
		}
		if (__ffs(bits) != i)
			at = (at & ~node_mask(n)) | (u64)__ffs(bits) << n->shift;
		if (at > max)
			return NULL;
		e = smp_load_acquire(&n->slots[__ffs(bits)]);
		if (is_node(e)) {
			n = to_node(e);
			continue;
		}
		if (e) {
			*leaf = n;
			*index = at;
			return e;
		}
		/* A writer took it away meanwhile: go on behind it. */
		at = (at | ((1ULL << n->shift) - 1)) + 1;
		if (!at || at > max)
			return NULL;
		goto restart;
	}
}

void *xa_find(const struct xarray *xa, u64 *index, u64 max)
{
	struct xa_node *leaf;

	return *index > max ? NULL : find_entry(xa, index, max, XA_MARKS, &leaf);
}

void *xa_find_marked(const struct xarray *xa, u64 *index, u64 max, xa_mark_t mark)
{
	struct xa_node *leaf;

	return *index > max ? NULL : find_entry(xa, index, max, mark, &leaf);
}

unsigned int xa_gather(const struct xarray *xa, u64 *index, u64 max, void **out, u64 *indices,
		       unsigned int n)
{
	unsigned int got = 0;
	u64 at = *index;
	bool wrapped = false;

	while (got < n && !wrapped && at <= max) {
		struct xa_node *leaf;
		void *e = find_entry(xa, &at, max, XA_MARKS, &leaf);

		if (!e) {
			wrapped = max == U64_MAX;
			at = max + 1;
			break;
		}
		/* This entry and those behind it in the same leaf. */
		for (unsigned int i = at & (XA_SLOTS - 1);;) {
			if (e) {
				out[got] = e;
				if (indices)
					indices[got] = at;
				got++;
			}
			wrapped = ++at == 0;
			if (!leaf || ++i == XA_SLOTS || got == n || wrapped || at > max)
				break;
			e = smp_load_acquire(&leaf->slots[i]);
		}
	}
	*index = wrapped ? 0 : at;
	return got;
}

void xa_set_mark(struct xarray *xa, u64 index, xa_mark_t mark)
{
	struct xa_node *n;
	unsigned int i;

	if (!is_node(xa->head)) {
		if (!index && xa->head)
			WRITE_ONCE(xa->head_marks, xa->head_marks | 1U << mark);
		return;
	}
	n = leaf_of(xa, index);
	if (!n)
		return;
	for (i = slot_of(n, index); n && !(n->marks[mark] >> i & 1); n = n->parent) {
		WRITE_ONCE(n->marks[mark], n->marks[mark] | 1ULL << i);
		i = n->offset;
	}
}

void xa_clear_mark(struct xarray *xa, u64 index, xa_mark_t mark)
{
	struct xa_node *n;

	if (!is_node(xa->head)) {
		if (!index)
			WRITE_ONCE(xa->head_marks, xa->head_marks & ~(1U << mark));
		return;
	}
	n = leaf_of(xa, index);
	if (n)
		mark_clear(n, slot_of(n, index), mark);
}

bool xa_get_mark(const struct xarray *xa, u64 index, xa_mark_t mark)
{
	void *e = smp_load_acquire(&xa->head);
	struct xa_node *n;

	if (!is_node(e))
		return !index && (READ_ONCE(xa->head_marks) >> mark & 1);
	if (!covers(to_node(e), index))
		return false;
	do {
		n = to_node(e);
		if (!(READ_ONCE(n->marks[mark]) >> slot_of(n, index) & 1))
			return false;
		e = smp_load_acquire(&n->slots[slot_of(n, index)]);
	} while (is_node(e));
	return true;
}

bool xa_marked(const struct xarray *xa, xa_mark_t mark)
{
	void *e = smp_load_acquire(&xa->head);

	return is_node(e) ? READ_ONCE(to_node(e)->marks[mark]) != 0
			  : (READ_ONCE(xa->head_marks) >> mark & 1);
}

void xa_destroy(struct xarray *xa)
{
	struct xa_node *n = is_node(xa->head) ? to_node(xa->head) : NULL;

	smp_store_release(&xa->head, NULL);
	WRITE_ONCE(xa->head_marks, 0);
	/* Down to a node without child nodes, free it, go on in its parent.  `present` is used
	 * up on the way; slots stay for readers still inside. */
	while (n) {
		struct xa_node *parent = n->parent;

		if (n->shift && n->present) {
			unsigned int i = __ffs(n->present);

			WRITE_ONCE(n->present, n->present & (n->present - 1));
			n = to_node(n->slots[i]);
			continue;
		}
		xa->ops->free(n);
		n = parent;
	}
}

#define RULE(cond, text) do { if (!(cond)) { *what = text; return -1; } } while (0)

static int check_node(const struct xa_node *n, const char **what)
{
	u64 present = 0, any[XA_MARKS] = { 0 };

	for (unsigned int i = 0; i < XA_SLOTS; i++) {
		void *e = n->slots[i];

		if (!e)
			continue;
		present |= 1ULL << i;
		RULE(is_node(e) == (n->shift != 0), "entry in an inner node or node in a leaf");
		if (!is_node(e))
			continue;
		RULE(to_node(e)->parent == n && to_node(e)->offset == i, "parent link");
		RULE(to_node(e)->shift + XA_SHIFT == n->shift, "shift");
		for (xa_mark_t m = 0; m < XA_MARKS; m++)
			any[m] |= (u64)(to_node(e)->marks[m] != 0) << i;
		if (check_node(to_node(e), what))
			return -1;
	}
	RULE(present, "empty node");
	RULE(present == n->present, "present bits");
	for (xa_mark_t m = 0; m < XA_MARKS; m++) {
		RULE(!(n->marks[m] & ~present), "mark on an unused slot");
		RULE(!n->shift || n->marks[m] == any[m], "mark not summed up");
	}
	return 0;
}

int xa_check(const struct xarray *xa, const char **what)
{
	const struct xa_node *n;

	if (!is_node(xa->head)) {
		RULE(xa->head || !xa->head_marks, "marks of no entry");
		return 0;
	}
	n = to_node(xa->head);
	RULE(!n->parent, "top node with a parent");
	RULE(!xa->head_marks, "head marks beside a node");
	RULE(n->present > 1, "needless top level");
	return check_node(n, what);
}
