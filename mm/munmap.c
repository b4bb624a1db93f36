/*
 * Unmapping.
 *
 * Decode checks; then everything that can fail (splitting a VMA in two, splitting a huge page at an edge) is done; from there on
 * nothing fails. A VMA that only loses its head or tail is resized in place, so most calls allocate nothing.
 *
 * Order per VMA, because of walkers of the reverse map: entries out (under table locks), VMA out of the reverse map (waits for
 * walkers), tables out, flush, pages and tables free.
 */
#include <mm/uffd.h>
#include "vm.h"

/* What of @v lies in [start, end) is gone from the counters. */
static void unaccount(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	u64 n = (end - start) >> PAGE_SHIFT;

	vma_stat(mm, v->flags, -(s64)n);
	if (v->flags & VM_ACCOUNT)
		vm_uncharge(n);
	if (v->flags & VM_LOCKED)
		mm->locked_vm -= n;
}

/* Free space around a hole: tables that serve only it may go. */
static void free_tables_around(struct tlb_gather *g, struct mm *mm, u64 start, u64 end)
{
	struct vma *next = vma_find(mm, start), *prev;

	if (next)
		prev = vma_prev(next);
	else
		prev = list_empty(&mm->vma_list) ? NULL : list_last_entry(&mm->vma_list, struct vma, list);
	pt_free_range(g, start, end, prev ? prev->end : 0, next ? next->start : TASK_SIZE_MAX + PAGE_SIZE);
}

/* => nothing can fail any more */
static void unmap_commit(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	struct list_head gone = LIST_HEAD_INIT(gone);
	struct tlb_gather g;
	struct vma *next;
	u64 rss = mm_rss_total(mm);

	if (rss > mm->hiwater_rss)
		mm->hiwater_rss = rss;
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	tlb_gather_init(&g, mm, false);
	for (; v && v->start < end; v = next) {
		u64 a = max(v->start, start), b = min(v->end, end);

		next = vma_next(v);
		vma_write_lock(v);
		zap_range(&g, v, a, b, 0);
		unaccount(mm, v, a, b);
		if (a == v->start && b == v->end) {
			vmatree_erase(mm, v);
			vma_unlink_rmap(v);
			list_add_tail(&v->list, &gone);
			continue;
		}
		if (unlikely(v->flags & VM_HUGETLB))
			hugetlb_forget(v, a, b);
		if (a == v->start) {
			vma_adjust(v, b, v->end, vma_index(v, b));
		} else {
			vma_adjust(v, v->start, a, v->pgoff);
		}
	}
	free_tables_around(&g, mm, start, end);
	tlb_gather_flush(&g);
	list_for_each_entry_safe(v, next, &gone, list)
		vma_free(v);
}

/* May these ends cut through the VMAs they lie in? */
static int check_cut(struct vma *v, u64 addr)
{
	if (!v || addr <= v->start || addr >= v->end || !v->ops || !v->ops->may_split)
		return 0;
	return v->ops->may_split(v, addr);
}

int munmap_locked(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = vmatree_intersect(mm, start, end), *last;
	int err;

	if (!v)
		return 0;
	if (v->start < start && end < v->end) {
		/* a hole in the middle: the only case that needs another VMA */
		last = vma_split(v, end);
		if (IS_ERR(last))
			return PTR_ERR(last);
	} else if (end < v->end) {
		last = v;
	} else {
		last = end - v->end ? vma_find(mm, end - 1) : v;
		if (last && last->start >= end)
			last = NULL;
	}
	if ((err = check_cut(v, start)) || (err = huge_split_at(v, start)))
		return err;
	if (last && ((err = check_cut(last, end)) || (err = huge_split_at(last, end))))
		return err;
	if (unlikely(mm->uffd_count) && (err = uffd_unmap_prep(mm, v, start, end)))
		return err;
	/* commit: no failure below */
	unmap_commit(mm, v, start, end);
	return 0;
}

int do_munmap(struct mm *mm, u64 addr, u64 len)
{
	int err;

	if (addr & ~PAGE_MASK || addr > TASK_SIZE_MAX || len > TASK_SIZE_MAX - addr)
		return -EINVAL;
	len = PAGE_ALIGN(len);
	if (!len)
		return -EINVAL;
	down_write(&mm->lock);
	err = munmap_locked(mm, addr, addr + len);
	mm_unlock_write(mm);
	return err;
}

int do_munmap_picked(struct mm *mm, u64 addr, struct munmap_pick *p)
{
	struct vma *v;
	int err = -EINVAL;

	down_write(&mm->lock);
	v = vma_find(mm, addr);
	while (v && v->start < p->end) {
		u64 end = v->end;

		if (!p->wanted(p, v)) {
			v = vma_next(v);
			continue;
		}
		err = munmap_locked(mm, v->start, end);
		if (err)
			break;
		v = vma_find(mm, end);
	}
	mm_unlock_write(mm);
	return err;
}
