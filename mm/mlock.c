/*
 * mlock, mincore, msync.
 *
 * There is no swap and no dropping of mapped pages, so a locked page needs no mark of its own: VM_LOCKED on the VMA, the count
 * against RLIMIT_MEMLOCK, and the pages made present are all of it.
 */
#include "vm.h"

/* Sets the locking bits of one VMA's part. */
static int lock_one(struct mm *mm, struct vma **vp, u64 start, u64 end, u64 bits)
{
	struct vma *v = *vp;
	u64 flags = (v->flags & ~(VM_LOCKED | VM_LOCKONFAULT)) | bits;
	s64 n = (end - start) >> PAGE_SHIFT;

	if (flags == v->flags || v->flags & (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB))
		return 0;
	v = vma_isolate(v, start, end);
	if (IS_ERR(v))
		return PTR_ERR(v);
	if (flags & ~v->flags & VM_LOCKED)
		mm->locked_vm += n;
	else if (v->flags & ~flags & VM_LOCKED)
		mm->locked_vm -= n;
	vma_write_lock(v);
	v->flags = flags;
	*vp = vma_try_merge(v);
	return 0;
}

static int lock_range(struct mm *mm, u64 start, u64 end, u64 bits)
{
	struct vma *v = vma_at(mm, start);

	if (!v)
		return -ENOMEM;
	for (;;) {
		u64 next = min(v->end, end);
		int err = lock_one(mm, &v, start, next, bits);

		if (err || next >= end)
			return err;
		start = next;
		if (v->end <= start)
			v = vma_next(v);
		if (!v || v->start > start)
			return -ENOMEM;
	}
}

/* Pages of the range that are locked already. */
static u64 count_locked(struct mm *mm, u64 start, u64 end)
{
	struct vma *v;
	u64 n = 0;

	for (v = vma_find(mm, start); v && v->start < end; v = vma_next(v))
		if (v->flags & VM_LOCKED)
			n += (min(v->end, end) - max(v->start, start)) >> PAGE_SHIFT;
	return n;
}

int do_mlock(struct mm *mm, u64 addr, u64 len, u64 vmflags, bool lock)
{
	u64 start = addr & PAGE_MASK, end;
	int err;

	len = PAGE_ALIGN(len + (addr & ~PAGE_MASK));
	end = start + len;
	if (lock && !mm->may_lock_unlimited && !mm->rlimit_memlock)
		return -EPERM;
	down_write(&mm->lock);
	err = -ENOMEM;
	if (lock && !mlock_allowed(mm, len >> PAGE_SHIFT) &&
	    (end < start || !mlock_allowed(mm, (len >> PAGE_SHIFT) - count_locked(mm, start, end))))
		goto out;
	err = end < start ? -EINVAL : 0;
	if (end > start)
		err = lock_range(mm, start, end, lock ? vmflags : 0);
out:
	mm_up_write(mm);
	if (!err && lock && end > start && !(vmflags & VM_LOCKONFAULT)) {
		err = mm_populate(mm, start, end, POPULATE_PRIVATE);
		/* what POSIX wants to hear */
		err = err == -EFAULT || err == -EHWPOISON ? -ENOMEM : err == -ENOMEM ? -EAGAIN : err;
	}
	return err;
}

int do_mlockall(struct mm *mm, int flags)
{
	u64 bits = 0;
	struct vma *v;

	if (flags >= 0) {
		bits = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
		if (!mm->may_lock_unlimited && !mm->rlimit_memlock)
			return -EPERM;
	}
	down_write(&mm->lock);
	if (flags >= 0 && flags & MCL_CURRENT && !mm->may_lock_unlimited && mm->total_vm > mm->rlimit_memlock >> PAGE_SHIFT) {
		mm_up_write(mm);
		return -ENOMEM;
	}
	mm->def_flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
	if (flags >= 0 && flags & MCL_FUTURE)
		mm->def_flags |= bits;
	if (flags < 0 || flags & MCL_CURRENT) {
		for (v = vma_find(mm, 0); v; v = vma_next(v))
			(void)lock_one(mm, &v, v->start, v->end, bits); /* a VMA that cannot is left, as in Linux */
	}
	mm_up_write(mm);
	if (flags >= 0 && (flags & (MCL_CURRENT | MCL_ONFAULT)) == MCL_CURRENT)
		mm_populate(mm, 0, TASK_SIZE_MAX, POPULATE_PRIVATE | POPULATE_BEST);
	return 0;
}

/* --- mincore --- */

static u8 page_resident(struct vma *v, u64 addr)
{
	struct page *p;
	pmd_t *pmd, e;
	u8 there;

	if (v->flags & VM_HUGETLB) {
		pmd = hugetlb_entry(v, addr);
		return pmd && !pte_none(pte_settled(pmd));
	}
	pmd = pt_pmd(v->mm, addr);
	if (pmd) {
		e = pte_settled(pmd);
		if (pmd_huge(e))
			return 1;
		if (pmd_has_table(e)) {
			e = pte_settled(table_of(e) + pte_index(addr));
			if (pte_mapped(e) || pte_poisoned(e))
				return 1;
		}
	}
	if (!v->mapping)
		return 0;
	p = mapping_find(v->mapping, vma_index(v, addr));
	if (!p)
		return 0;
	there = page_flag(p, PG_UPTODATE); /* not what was only allocated ahead, as in Linux */
	page_put(p);
	return there;
}

u64 do_mincore(struct mm *mm, u64 addr, u64 npages, u8 *vec)
{
	u64 i;

	down_read(&mm->lock);
	for (i = 0; i < npages; i++, addr += PAGE_SIZE) {
		struct vma *v = vma_at(mm, addr);

		if (!v)
			break;
		vec[i] = page_resident(v, addr);
	}
	up_read(&mm->lock);
	return i;
}

/* --- msync --- */

/* Dirty bits of the entries become dirty marks of their pages. True when there was one. */
static bool collect_dirty(struct vma *v, u64 start, u64 end)
{
	bool any = false;

	for (u64 a = start; a < end; a += PAGE_SIZE) {
		pte_t *entry = pt_pte(v->mm, a), e;
		spinlock_t *lock;

		if (!entry) {
			a = (a | (PMD_SIZE - 1)) + 1 - PAGE_SIZE;
			continue;
		}
		lock = pt_lock_of(entry);
		spin_lock(lock);
		e = pte_read(entry);
		if (pte_has_page(e) && pte_dirty(e)) {
			if (pte_soft_dirty(e.v))
				__atomic_fetch_or(&entry->v, PTE_SOFT_DIRTY, __ATOMIC_RELAXED);
			__atomic_fetch_and(&entry->v, ~(PTE_D | (v->ops->page_mkwrite ? PTE_W : 0)), __ATOMIC_RELAXED);
			page_set_flag(page_head(pte_frame(e)), PG_DIRTY);
			any = true;
		}
		spin_unlock(lock);
	}
	if (any)
		tlb_flush_range(v->mm, start, end, PAGE_SHIFT);
	return any;
}

static int write_dirty(struct mapping *m, u64 first, u64 end)
{
	int err = 0;

	for (u64 i = first; i < end; i++) {
		struct page *p;

		i = mapping_next_index(m, i);
		if (i >= end)
			break;
		p = mapping_find(m, i);
		if (!p)
			continue;
		page_lock(p);
		if (p->mapping == m && page_test_and_clear_flag(p, PG_DIRTY)) {
			int e = m->ops->write_page(m, p);

			err = err ? err : e;
		}
		page_unlock(p);
		page_put(p);
	}
	return err;
}

/* A file that was written through this mapping says so in its times, at the latest now (msync(2)). */
static int sync_part(struct vma *v, u64 start, u64 end, int flags)
{
	bool write_back = flags & MS_SYNC && v->mapping->ops && v->mapping->ops->write_page;

	if ((v->flags & VM_MAYWRITE || write_back) && collect_dirty(v, start, end))
		vma_file_modified(v->file);
	return write_back ? write_dirty(v->mapping, vma_index(v, start), vma_index(v, end)) : 0;
}

int do_msync(struct mm *mm, u64 addr, u64 len, int flags)
{
	u64 end = addr + PAGE_ALIGN(len);
	int err = 0, unmapped = 0;
	struct vma *v;

	down_read(&mm->lock);
	for (v = vma_find(mm, addr); addr < end; v = vma_next(v)) {
		u64 stop;

		if (!v || v->start >= end || v->start > addr)
			unmapped = -ENOMEM;
		if (!v || v->start >= end)
			break;
		addr = max(addr, v->start);
		stop = min(v->end, end);
		if (flags & MS_INVALIDATE && v->flags & VM_LOCKED) {
			err = -EBUSY;
			break;
		}
		if (v->file && v->mapping && v->flags & VM_SHARED && (err = sync_part(v, addr, stop, flags)))
			break;
		addr = stop;
	}
	up_read(&mm->lock);
	return err ? err : unmapped;
}
