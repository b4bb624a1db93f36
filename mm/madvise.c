/*
 * madvise.
 *
 * Three kinds: advice that changes VMA flags (split, set, merge; needs mm->lock for writing), advice that drops pages now (needs it
 * for reading only: faults may refill behind us, which the caller asked for by racing), and hints that change nothing we do.
 * Holes in the range are skipped and reported as ENOMEM at the end, as in Linux.
 */
#include <mm/ksm.h>
#include <mm/uffd.h>
#include "vm.h"

static bool known(int advice)
{
	switch (advice) {
	case MADV_NORMAL ... MADV_DONTNEED:
	case MADV_FREE ... MADV_DOFORK:
	case MADV_MERGEABLE ... MADV_KEEPONFORK:
	case MADV_COLD ... MADV_COLLAPSE:
		return true;
	default:
		return false;
	}
}

static bool changes_flags(int advice)
{
	switch (advice) {
	case MADV_NORMAL ... MADV_SEQUENTIAL:
	case MADV_DONTFORK ... MADV_DOFORK:
	case MADV_MERGEABLE ... MADV_KEEPONFORK:
		return true;
	default:
		return false;
	}
}

/* New flags, or -errno in *err. */
static u64 advised_flags(const struct vma *v, int advice, int *err)
{
	u64 f = v->flags;

	*err = 0;
	switch (advice) {
	case MADV_NORMAL:
		return f & ~(VM_RAND_READ | VM_SEQ_READ);
	case MADV_SEQUENTIAL:
		return (f & ~VM_RAND_READ) | VM_SEQ_READ;
	case MADV_RANDOM:
		return (f & ~VM_SEQ_READ) | VM_RAND_READ;
	case MADV_DONTFORK:
		return f | VM_DONTCOPY;
	case MADV_DOFORK:
		*err = f & VM_IO ? -EINVAL : 0;
		return f & ~VM_DONTCOPY;
	case MADV_WIPEONFORK:
		*err = v->file || f & VM_SHARED ? -EINVAL : 0;
		return f | VM_WIPEONFORK;
	case MADV_KEEPONFORK:
		return f & ~VM_WIPEONFORK;
	case MADV_DONTDUMP:
		return f | VM_DONTDUMP;
	case MADV_DODUMP:
		*err = !(f & VM_HUGETLB) && f & (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP) ? -EINVAL : 0;
		return f & ~VM_DONTDUMP;
	case MADV_MERGEABLE:
		if (!ksm_can_merge(f))
			return f;
		*err = ksm_enter(v->mm);
		return f | VM_MERGEABLE;
	case MADV_UNMERGEABLE:
		return f & ~VM_MERGEABLE;
	case MADV_HUGEPAGE:
		return (f & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
	default: /* MADV_NOHUGEPAGE */
		return (f & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
	}
}

static int set_flags(struct vma **vp, u64 start, u64 end, int advice)
{
	struct vma *v = *vp;
	int err;
	u64 f = advised_flags(v, advice, &err);

	if (err || f == v->flags)
		return err == -ENOMEM ? -EAGAIN : err;
	if (advice == MADV_UNMERGEABLE && (err = ksm_unmerge(v, start, end)))
		return err == -ENOMEM ? -EAGAIN : err;
	v = vma_isolate(v, start, end);
	if (IS_ERR(v))
		return PTR_ERR(v) == -ENOMEM ? -EAGAIN : PTR_ERR(v);
	vma_write_lock(v);
	v->flags = f;
	*vp = vma_try_merge(v);
	return 0;
}

static int drop_pages(struct vma *v, u64 start, u64 end, int advice)
{
	u64 mask = ~(vma_page_size(v) - 1);
	u64 forbidden = VM_PFNMAP | (advice == MADV_DONTNEED ? VM_LOCKED : 0) | (advice == MADV_FREE ? VM_LOCKED : 0);

	if (v->flags & forbidden)
		return -EINVAL;
	if (advice == MADV_FREE && !vma_anonymous(v))
		return -EINVAL;
	if (v->flags & VM_HUGETLB) {
		if (start & ~mask)
			return -EINVAL;
		end &= mask; /* a part of a huge page stays */
	} else if (huge_split_edges(v, start, end))
		return -EAGAIN;
	if (advice == MADV_FREE)
		lazyfree_mark(v, start, end);
	else
		zap_vma_range(v, start, end);
	return 0;
}

static int punch(struct vma *v, u64 start, u64 end)
{
	int err;

	if (v->flags & VM_LOCKED || !v->mapping)
		return -EINVAL;
	if ((v->flags & (VM_SHARED | VM_MAYWRITE)) != (VM_SHARED | VM_MAYWRITE)) /* the file may be written, the mapping need not be */
		return -EACCES;
	if (!(v->flags & VM_HUGETLB) && !(v->mapping->flags & MAPPING_SHMEM))
		return -EOPNOTSUPP;
	if ((err = vma_file_may_punch(v->file)))
		return err;
	if (v->flags & VM_HUGETLB)
		hugetlb_punch(v, start, end);
	else
		mapping_punch(v->mapping, vma_index(v, start) << PAGE_SHIFT, vma_index(v, end) << PAGE_SHIFT);
	vma_file_modified(v->file);
	return 0;
}

static int act(struct vma *v, u64 start, u64 end, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return drop_pages(v, start, end, advice);
	case MADV_REMOVE:
		return punch(v, start, end);
	case MADV_COLD:
	case MADV_PAGEOUT:
		if (v->flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB))
			return -EINVAL;
		(advice == MADV_COLD ? age_range : lazyfree_pageout)(v, start, end);
		return 0;
	case MADV_COLLAPSE:
		return huge_collapse_range(v, start, end);
	default: /* MADV_WILLNEED: cached pages are mapped around each fault anyway */
		return 0;
	}
}

static bool drops_contents(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_FREE || advice == MADV_REMOVE;
}

static int advise_vmas(struct mm *mm, u64 start, u64 end, int advice)
{
	struct vma *v = vma_find(mm, start);
	int unmapped = 0, err = 0;

	while (start < end) {
		u64 stop;

		if (v && v->end <= start)
			v = vma_next(v); /* a merge may have made v longer than what was done */
		if (!v || v->start >= end)
			return -ENOMEM;
		if (v->start > start) {
			unmapped = -ENOMEM;
			start = v->start;
		}
		stop = min(v->end, end);
		if (unlikely(v->uffd) && drops_contents(advice) && v->uffd->features & UFFD_FEATURE_EVENT_REMOVE) {
			uffd_remove(v, start, stop);
			v = vma_at(mm, start);
			if (!v)
				return -ENOMEM;
			stop = min(v->end, stop);
		}
		err = changes_flags(advice) ? set_flags(&v, start, stop, advice) : act(v, start, stop, advice);
		if (err)
			return err;
		start = stop;
	}
	return unmapped;
}

static int populate(struct mm *mm, u64 start, u64 end, bool write)
{
	struct vma *v;
	int err = 0;

	down_read(&mm->lock);
	if (!vma_range_full(mm, start, end))
		err = -ENOMEM;
	for (v = vma_find(mm, start); !err && v && v->start < end; v = vma_next(v)) {
		if (v->flags & (VM_IO | VM_PFNMAP) || !(v->flags & (write ? VM_WRITE : VM_READ)))
			err = -EINVAL;
	}
	up_read(&mm->lock);
	return err ? err : mm_populate(mm, start, end, write ? POPULATE_WRITE : 0);
}

int do_madvise(struct mm *mm, u64 start, u64 len_in, int advice)
{
	u64 len = PAGE_ALIGN(len_in), end = start + len;
	int err;

	if (!known(advice) || start & ~PAGE_MASK)
		return -EINVAL;
	if ((len_in && !len) || end < start)
		return -EINVAL;
	if (end == start)
		return 0;
	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
		return populate(mm, start, end, advice == MADV_POPULATE_WRITE);
	if (changes_flags(advice) || advice == MADV_COLLAPSE) {
		down_write(&mm->lock);
		err = advise_vmas(mm, start, end, advice);
		mm_up_write(mm);
	} else {
		down_read(&mm->lock);
		err = advise_vmas(mm, start, end, advice);
		up_read(&mm->lock);
	}
	return err;
}

void mm_reap(struct mm *mm)
{
	struct vma *v;

	down_read(&mm->lock);
	for_each_vma(v, mm)
		if (!(v->flags & (VM_HUGETLB | VM_PFNMAP)) && (vma_anonymous(v) || !(v->flags & VM_SHARED)))
			zap_vma_range(v, v->start, v->end);
	up_read(&mm->lock);
}
