/*
 * The set of VMAs of one address space: an augmented red-black tree for search and an ordered list for walking.
 *
 * Pure: no lock, no allocation, no knowledge of pages. It owns the fields rb, gap, rb_max_gap and list of struct vma and
 * vmas, vma_list, last and nr_vmas of struct mm. start, end and flags are the caller's, but change only through
 * vmatree_resize while the VMA is in the set. => mm->lock held for writing (find, prev, next: reading).
 */
#ifndef MM_VMATREE_H
#define MM_VMATREE_H

#include <lib/finding.h>
#include <mm/mm.h>

/* Bytes kept free below a mapping that grows down. */
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

void vmatree_init(struct mm *mm);
/* Puts @v in its place; the range must be free. */
void vmatree_insert(struct mm *mm, struct vma *v);
/* Puts @v behind all others (fork copies in order). */
void vmatree_append(struct mm *mm, struct vma *v);
void vmatree_erase(struct mm *mm, struct vma *v);
/* Moves the ends of @v; its neighbours do not change. */
void vmatree_resize(struct mm *mm, struct vma *v, u64 start, u64 end);
/* @v gives the part from n->start on to @n, which is not in the set yet and ends where v ended. No gap changes. */
void vmatree_split(struct mm *mm, struct vma *v, struct vma *n);
/* @v takes over the range of @n, which follows it without a gap and leaves the set. */
void vmatree_join(struct mm *mm, struct vma *v, struct vma *n);
/* First VMA that intersects [start, end), or NULL. */
struct vma *vmatree_intersect(struct mm *mm, u64 start, u64 end);
/* Highest (lowest) free address a, a multiple of @align (a power of two, >= PAGE_SIZE), with low <= a and a + len <= high.
 * False when there is none. */
bool vmatree_gap_topdown(const struct mm *mm, u64 len, u64 low, u64 high, u64 align, u64 *addr);
bool vmatree_gap_bottomup(const struct mm *mm, u64 len, u64 low, u64 high, u64 align, u64 *addr);
/* Walks everything. 0, or the number of broken rules, the first of them in *f. */
u64 vmatree_check(const struct mm *mm, struct finding *f);

static inline u64 vma_low(const struct vma *v)
{
	if (likely(!(v->flags & VM_GROWSDOWN)))
		return v->start;
	return v->start > STACK_GUARD_GAP ? v->start - STACK_GUARD_GAP : 0;
}

#endif
