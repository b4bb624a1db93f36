/*
 * userfaultfd: which ranges are registered, and for what.
 *
 * Anonymous memory, memory objects (tmpfs, memfd, shared anonymous memory) and files of huge pages can be registered for missing pages and write
 * protection; the latter two also for pages that are cached and not mapped (minor). A range begins and ends at whole pages of its mapping.
 */
#include <mm/hugetlb.h>
#include <mm/ksm.h>
#include <mm/uffd.h>
#include "vm.h"

static bool vma_is_shmem(const struct vma *v)
{
	return v->mapping && v->mapping->flags & MAPPING_SHMEM;
}

static bool can_register(const struct vma *v, u64 vmflags)
{
	if (v->flags & VM_HUGETLB)
		return true;
	if (v->flags & (VM_PFNMAP | VM_SECRET))
		return false;
	if (vmflags & VM_UFFD_MINOR && !vma_is_shmem(v))
		return false;
	return vma_anonymous(v) || vma_is_shmem(v);
}

static bool cuts_page(const struct vma *v, u64 start, u64 end)
{
	return (max(start, v->start) | min(end, v->end)) & (vma_page_size(v) - 1);
}

static int check_range(struct mm *mm, struct uffd *u, u64 start, u64 end, u64 vmflags, bool *pool)
{
	struct vma *v = vma_find(mm, start);

	*pool = false;
	if (!v)
		return -ENOMEM;
	if (v->start >= end)
		return -EINVAL;
	for (; v && v->start < end; v = vma_next(v)) {
		if (!can_register(v, u ? vmflags : v->flags) || cuts_page(v, start, end))
			return -EINVAL;
		*pool |= !!(v->flags & VM_HUGETLB);
		if (!u)
			continue;
		if (!(v->flags & VM_MAYWRITE))
			return -EPERM;
		if (v->uffd && v->uffd != u)
			return -EBUSY;
	}
	return 0;
}

/* Gives every VMA's part of the range the context and flags; u NULL takes them away, waking @closing's sleepers. */
static int set_range(struct mm *mm, struct uffd *u, u64 start, u64 end, u64 vmflags)
{
	struct vma *v = vma_find(mm, start);

	while (start < end && v && v->start < end) {
		u64 stop = min(v->end, end);

		if (u ? v->uffd != u || (v->flags & VM_UFFD) != vmflags : v->uffd != NULL) {
			struct uffd *old = v->uffd;

			v = vma_isolate(v, max(start, v->start), stop);
			if (IS_ERR(v))
				return PTR_ERR(v);
			/* writes to a merged page would not be seen as what they are */
			if (u && v->flags & VM_MERGEABLE && ksm_unmerge(v, v->start, v->end))
				return -ENOMEM;
			vma_write_lock(v);
			if (u) {
				if (v->flags & ~vmflags & VM_UFFD_WP)
					uffd_strip(v, v->start, v->end);
				v->flags = (v->flags & ~VM_UFFD) | vmflags;
				v->uffd = u;
			} else {
				uffd_clear_vma(v);
				uffd_wake(old, v->start, v->end);
			}
			v = vma_try_merge(v);
		}
		start = stop;
		if (v->end <= start)
			v = vma_next(v);
	}
	return 0;
}

int uffd_register(struct uffd *u, u64 start, u64 end, u64 vmflags, bool *pool)
{
	struct mm *mm = u->mm;
	int err;

	if (!mm_get_not_zero(mm))
		return -ENOMEM;
	down_write(&mm->lock);
	err = check_range(mm, u, start, end, vmflags, pool);
	if (!err)
		err = set_range(mm, u, start, end, vmflags);
	mm_up_write(mm);
	mm_put(mm);
	return err;
}

int uffd_unregister(struct uffd *u, u64 start, u64 end)
{
	struct mm *mm = u->mm;
	bool pool;
	int err;

	if (!mm_get_not_zero(mm))
		return -ENOMEM;
	down_write(&mm->lock);
	err = check_range(mm, NULL, start, end, 0, &pool);
	if (!err)
		err = set_range(mm, NULL, start, end, 0);
	mm_up_write(mm);
	mm_put(mm);
	return err;
}

void uffd_clear_vma(struct vma *v)
{
	if (v->flags & VM_UFFD_WP)
		uffd_strip(v, v->start, v->end);
	vma_write_lock(v);
	v->flags &= ~VM_UFFD;
	v->uffd = NULL;
}
