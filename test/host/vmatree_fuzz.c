// SOURCES: mm/vmatree.c kernel/lib/rbtree.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Byte pairs insert, erase, resize or place; the tree is checked after each. */
#include "check.h"
#include "mm/vmatree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void place(struct mm *mm, unsigned a, unsigned b)
{
	u64 len = (u64)(1 + b % 16) << PAGE_SHIFT, low = (u64)a << PAGE_SHIFT, high = low + ((u64)b << PAGE_SHIFT), at;

	if (vmatree_gap_topdown(mm, len, low, high, PAGE_SIZE, &at) &&
	    (at < low || at + len > high || vmatree_intersect(mm, at, at + len)))
		abort();
	if (vmatree_gap_bottomup(mm, len, low, high, PAGE_SIZE, &at) &&
	    (at < low || at + len > high || vmatree_intersect(mm, at, at + len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vma pool[256];
	struct mm mm = { 0 };
	const struct vma *at;
	const char *what;

	memset(pool, 0, sizeof(pool));
	vmatree_init(&mm);
	for (size_t i = 0; i + 1 < size; i += 2) {
		struct vma *v = &pool[data[i]];
		u64 start = (u64)data[i] * 4 << PAGE_SHIFT, end = start + ((1 + data[i + 1] % 4) << PAGE_SHIFT);

		if (!v->mm) {
			*v = (struct vma){ .start = start, .end = end, .mm = &mm,
					   .flags = data[i + 1] & 128 ? VM_GROWSDOWN : 0 };
			vmatree_insert(&mm, v);
		} else if (data[i + 1] & 64) {
			vmatree_erase(&mm, v);
			v->mm = NULL;
		} else {
			vmatree_resize(&mm, v, start, end);
		}
		place(&mm, data[i], data[i + 1]);
		if (vmatree_check(&mm, &what, &at))
			abort();
	}
	return 0;
}
