/*
 * mremap: shrink, grow in place, move.
 *
 * A move makes a VMA at the new place that has the same offsets in the same object (and is in the same anonymous group), moves the
 * entries, and unmaps the old place. Entries move 2 MiB at a time with the reverse-map locks of the VMA held for
 * writing, and the old translations are flushed before those are released: a walk of the reverse map sees each page at exactly one
 * place, and nobody can free a page that a stale translation still reaches. Where both places are aligned alike, whole
 * tables and huge pages move by their PMD entry.
 */
#include <mm/uffd.h>
#include "vm.h"

static void rmap_lock(struct vma *v)
{
	if (v->mapping)
		down_write(&v->mapping->rmap_lock);
	if (v->anon)
		spin_lock(&v->anon->lock);
}

static void rmap_unlock(struct vma *v)
{
	if (v->anon)
		spin_unlock(&v->anon->lock);
	if (v->mapping)
		up_write(&v->mapping->rmap_lock);
}

/* Both ranges lie in one table each. => reverse-map locks */
static void move_entries(pte_t *from, pte_t *to, u64 n)
{
	spinlock_t *a = pt_lock_of(from), *b = pt_lock_of(to);

	spin_lock(a);
	if (b != a)
		spin_lock(b); /* the only place with two; nobody else moves in this mm */
	for (; n; n--, from++, to++) {
		if (pte_none(pte_read(from)))
			continue;
		pte_set(to, pte_get_and_clear(from));
	}
	if (b != a)
		spin_unlock(b);
	spin_unlock(a);
}

/* A whole PMD entry. False when the target is in use. => reverse-map locks */
static bool move_pmd(pmd_t *from, pmd_t *to)
{
	spinlock_t *a = pt_lock_of(from), *b = pt_lock_of(to);
	bool done = false;

	spin_lock(a);
	if (b != a)
		spin_lock(b);
	if (pte_none(pte_read(to))) {
		pmd_t e = pte_read(from);

		if (pmd_has_table(e)) { /* a fault without m that came in time is done with the table: vmalock.h */
			spin_lock(pt_lock_of(table_of(e)));
			spin_unlock(pt_lock_of(table_of(e)));
		}
		pte_set(to, pte_get_and_clear(from));
		done = true;
	}
	if (b != a)
		spin_unlock(b);
	spin_unlock(a);
	return done;
}

/* What one step covers: up to the next table border of either side. */
static u64 step_len(u64 from, u64 to, u64 left)
{
	u64 a = PMD_SIZE - (from & ~PMD_MASK), b = PMD_SIZE - (to & ~PMD_MASK);

	return min3(a, b, left);
}

static int move_step(struct vma *old, struct vma *new, u64 from, u64 to, u64 len)
{
	struct mm *mm = old->mm;
	pmd_t *fpmd = pt_pmd(mm, from), *tpmd;

	if (!fpmd || pte_none(pte_settled(fpmd)))
		return 0;
	tpmd = pt_pmd_alloc(mm, to);
	if (!tpmd)
		return -ENOMEM;
	if (len == PMD_SIZE && pte_none(pte_read(tpmd))) {
		bool done;

		rmap_lock(old);
		done = move_pmd(fpmd, tpmd);
		tlb_flush_range(mm, from, from + len, PAGE_SHIFT);
		rmap_unlock(old);
		if (done)
			return 0;
	}
	if (huge_split_pmd(old, fpmd, from) || (pte_none(pte_read(tpmd)) && pt_table_alloc(mm, tpmd)))
		return -ENOMEM;
	rmap_lock(old);
	move_entries(table_of(pte_read(fpmd)) + pte_index(from), table_of(pte_read(tpmd)) + pte_index(to), len >> PAGE_SHIFT);
	tlb_flush_range(mm, from, from + len, PAGE_SHIFT);
	rmap_unlock(old);
	return 0;
}

/* One page of a pool. */
static int move_pool_page(struct vma *old, struct vma *new, u64 from, u64 to)
{
	pte_t *f = hugetlb_entry(old, from), *t;

	if (!f || pte_none(pte_settled(f)))
		return 0;
	t = hugetlb_entry_alloc(new, to);
	if (!t)
		return -ENOMEM;
	rmap_lock(old);
	move_pmd(f, t);
	tlb_flush_range(old->mm, from, from + vma_page_size(old), PAGE_SHIFT);
	rmap_unlock(old);
	return 0;
}

/* Moves entries of [from, from+len) to @to. On failure *moved tells how far it came. */
static int move_tables(struct vma *old, struct vma *new, u64 from, u64 to, u64 len, u64 *moved)
{
	int err = 0;

	*moved = 0;
	while (*moved < len && !err) {
		bool pool = old->flags & VM_HUGETLB;
		u64 n = pool ? vma_page_size(old) : step_len(from + *moved, to + *moved, len - *moved);

		err = pool ? move_pool_page(old, new, from + *moved, to + *moved) :
			     move_step(old, new, from + *moved, to + *moved, n);
		if (!err)
			*moved += n;
	}
	return err;
}

/* => decode checked everything; new range is free */
static s64 move_vma(struct vma *v, u64 addr, u64 old_len, u64 new_len, u64 to, u64 flags)
{
	struct mm *mm = v->mm;
	u64 account = v->flags & VM_ACCOUNT, n = new_len >> PAGE_SHIFT, moved, back;
	struct vma *new;
	int err;

	if (mm->nr_vmas >= max_map_count - 3)
		return -ENOMEM;
	if (v->ops && v->ops->may_split && (addr != v->start || addr + old_len != v->end) &&
	    (err = v->ops->may_split(v, addr)))
		return err;
	if (!(flags & MREMAP_DONTUNMAP) && old_len) {
		/* alone in its VMA the old place can be unmapped without fail */
		v = vma_isolate(v, addr, addr + old_len);
		if (IS_ERR(v))
			return PTR_ERR(v);
	}
	if (huge_split_edges(v, addr, addr + old_len))
		return -ENOMEM;
	vma_write_lock(v);
	if (account && vm_charge(mm, n))
		return -ENOMEM;
	new = vma_dup(v, mm, addr);
	if (!new)
		goto uncharge;
	/* not in the tree yet; walkers of the group look at it, and find nothing wrong there */
	if (new->anon)
		spin_lock(&new->anon->lock);
	new->start = to;
	new->end = to + new_len;
	if (new->anon)
		spin_unlock(&new->anon->lock);
	new->flags &= ~VM_SOFTTRACK; /* new at its place */
	vma_link(mm, new);
	vma_stat(mm, new->flags, n);
	if (new->flags & VM_LOCKED)
		mm->locked_vm += n;
	err = move_tables(v, new, addr, to, old_len, &moved);
	if (!err && v->ops && v->ops->mremap)
		err = v->ops->mremap(new);
	if (err) {
		/* tables of the old place still exist: moving back cannot fail, nor unmapping a whole VMA */
		move_tables(new, v, to, addr, moved, &back);
		new->uffd = NULL;
		munmap_locked(mm, to, to + new_len);
		vma_try_merge(v);
		return err;
	}
	if (unlikely(new->uffd))
		(void)uffd_remap(new, addr, old_len);
	if (v->flags & VM_HUGETLB)
		hugetlb_moved(v);
	if (flags & MREMAP_DONTUNMAP) {
		if (v->flags & VM_LOCKED)
			mm->locked_vm -= npages_of(v);
		v->flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
	} else if (old_len) {
		err = munmap_locked(mm, addr, addr + old_len);
		ASSERT(!err);
	}
	vma_try_merge(new);
	return to;
uncharge:
	if (account)
		vm_uncharge(n);
	vma_try_merge(v);
	return -ENOMEM;
}

/* Checks common to growing and moving. */
static int check_resize(struct vma *v, u64 addr, u64 old_len, u64 new_len, u64 flags)
{
	struct mm *mm = v->mm;
	u64 pgoff, more;

	if (!old_len && !(v->flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && v->flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EINVAL;
	if (old_len > v->end - addr)
		return -EFAULT;
	if (new_len == old_len)
		return 0;
	pgoff = vma_index(v, addr);
	if (pgoff + (new_len >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	if (v->flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EFAULT;
	more = (new_len - old_len) >> PAGE_SHIFT;
	if (v->flags & VM_LOCKED && !mlock_allowed(mm, more))
		return -EAGAIN;
	return mm_may_expand(mm, v->flags, more) ? 0 : -ENOMEM;
}

static s64 remap_to(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 to)
{
	struct vma *v;
	s64 at = to;
	int err;

	if (flags & MREMAP_FIXED || to) {
		if (to & ~PAGE_MASK || new_len > TASK_SIZE_MAX || to > TASK_SIZE_MAX - new_len)
			return -EINVAL;
		if (addr + old_len > to && to + new_len > addr)
			return -EINVAL;
	}
	if (mm->nr_vmas + 2 >= max_map_count - 3)
		return -ENOMEM;
	/* what can be refused is refused before the target goes */
	v = vma_at(mm, addr);
	if (!v)
		return -EFAULT;
	err = check_resize(v, addr, min(old_len, new_len), new_len, flags);
	if (err)
		return err;
	if (flags & MREMAP_FIXED && to < mm->mmap_min && !mm->may_lock_unlimited)
		return -EPERM;
	if (flags & MREMAP_FIXED && (err = munmap_locked(mm, to, to + new_len)))
		return err;
	if (old_len > new_len) {
		if ((err = munmap_locked(mm, addr + new_len, addr + old_len)))
			return err;
		old_len = new_len;
	}
	v = vma_at(mm, addr); /* the target may have been a part of the same VMA */
	if (flags & MREMAP_DONTUNMAP && !mm_may_expand(mm, v->flags, old_len >> PAGE_SHIFT))
		return -ENOMEM;
	if (!(flags & MREMAP_FIXED)) {
		at = mm_find_area(mm, to, new_len, 0, vma_page_size(v));
		if (at >= 0 && at & (vma_page_size(v) - 1))
			at = -ENOMEM;
		if (at < 0)
			return at;
	}
	return move_vma(v, addr, old_len, new_len, at, flags);
}

/* Room above v for it to end at @end? */
static bool can_grow(struct vma *v, u64 end)
{
	struct vma *next = vma_next(v);

	return end > v->end && end <= TASK_SIZE_MAX && (!next || end <= vma_low(next));
}

static s64 grow_in_place(struct mm *mm, struct vma *v, u64 addr, u64 more, u64 end)
{
	if (v->flags & VM_ACCOUNT && vm_charge(mm, more))
		return -ENOMEM;
	vma_adjust(v, v->start, end, v->pgoff);
	vma_stat(mm, v->flags, more);
	if (v->flags & VM_LOCKED)
		mm->locked_vm += more;
	vma_try_merge(v);
	return addr;
}

static s64 remap_locked(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 to, bool *locked)
{
	struct vma *v = vma_at(mm, addr);
	s64 at;
	int err;

	if (!v)
		return -EFAULT;
	*locked = v->flags & VM_LOCKED;
	if (unlikely(v->flags & VM_HUGETLB)) {
		u64 part = vma_page_size(v) - 1;

		old_len = (old_len + part) & ~part;
		new_len = (new_len + part) & ~part;
		/* promises do not grow */
		if ((addr | to) & part || new_len > old_len)
			return -EINVAL;
	}
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		return remap_to(mm, addr, old_len, new_len, flags, to);
	if (old_len >= new_len) {
		if (old_len > new_len && (err = munmap_locked(mm, addr + new_len, addr + old_len)))
			return err;
		*locked = false;
		return addr;
	}
	err = check_resize(v, addr, old_len, new_len, flags);
	if (err)
		return err;
	if (old_len == v->end - addr && can_grow(v, addr + new_len))
		return grow_in_place(mm, v, addr, (new_len - old_len) >> PAGE_SHIFT, addr + new_len);
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	at = mm_find_area(mm, 0, new_len, 0, !v->file && new_len >= PMD_SIZE ? PMD_SIZE : PAGE_SIZE);
	if (at < 0)
		return at;
	return move_vma(v, addr, old_len, new_len, at, flags);
}

s64 do_mremap(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 new_addr)
{
	bool locked = false;
	s64 ret;

	if (flags & ~(u64)(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
		return -EINVAL;
	if (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && (!(flags & MREMAP_MAYMOVE) || old_len != new_len))
		return -EINVAL;
	if (addr & ~PAGE_MASK)
		return -EINVAL;
	old_len = PAGE_ALIGN(old_len);
	new_len = PAGE_ALIGN(new_len);
	if (!new_len || old_len > TASK_SIZE_MAX)
		return -EINVAL;
	if (new_len > TASK_SIZE_MAX && !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return -ENOMEM;
	down_write(&mm->lock);
	ret = remap_locked(mm, addr, old_len, new_len, flags, new_addr, &locked);
	mm_unlock_write(mm);
	if (ret >= 0 && locked && new_len > old_len)
		mm_populate(mm, ret + old_len, ret + new_len, POPULATE_PRIVATE | POPULATE_BEST);
	return ret;
}
