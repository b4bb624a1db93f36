/*
 * New mappings: mmap, brk, and what exec needs.
 *
 * do_mmap decides what is wanted, in Linux's order of checks; mmap_locked makes one VMA of it. A mapping that continues its neighbour
 * (same rights, same object, next offset) becomes part of that VMA without allocating one: heaps and thread arenas grow this way.
 *
 * Placement is top-down below mm->mmap_base, or, when the stack may grow without limit, bottom-up from it; a large anonymous mapping goes to a 2 MiB boundary, so that huge pages fit.
 */
#include <kernel/random.h>
#include <mm/hugetlb.h>
#include <mm/uffd.h>
#include "run.h"

#define LEGACY_FLAGS                                                                                      \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |           \
	 MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |    \
	 MAP_STACK | MAP_HUGETLB | MAP_32BIT | 31u << MAP_HUGE_SHIFT)

bool mlock_allowed(struct mm *mm, u64 more)
{
	return mm->may_lock_unlimited || mm->locked_vm + more <= mm->rlimit_memlock >> PAGE_SHIFT;
}

/* Is [addr, addr+len) free, with room for the guard of a stack above it? */
static bool area_free(struct mm *mm, u64 addr, u64 len)
{
	struct vma *v = vma_find(mm, addr);

	return !v || addr + len <= vma_low(v);
}

/* A hint counts when all of it lies on one side of the default limit, and where MAP_32BIT would have it. */
static bool hint_valid(u64 addr, u64 len, u64 flags)
{
	if (unlikely(flags & MAP_32BIT) && addr + len > 0x80000000)
		return false;
	return addr <= TASK_SIZE_MAX - len && (addr > TASK_SIZE_DEFAULT) == (addr + len > TASK_SIZE_DEFAULT);
}

/*
 * Addresses above 2^47 are for programs that ask for them by a hint up there; then the search, from the top, takes in
 * all of user space. Without a hint nothing lands there, because programs keep tags in the upper bits of pointers.
 */
s64 mm_find_area(struct mm *mm, u64 addr, u64 len, u64 flags, u64 align)
{
	u64 a, wide = 0;

	if (len > TASK_SIZE_MAX)
		return -ENOMEM;
	if (flags & MAP_FIXED) {
		if (addr > TASK_SIZE_MAX - len)
			return -ENOMEM;
		return addr & ~PAGE_MASK ? -EINVAL : (s64)addr;
	}
	if (addr && !(addr & (align - 1)) && addr >= mm->mmap_min && hint_valid(addr, len, flags) && area_free(mm, addr, len))
		return (s64)addr;
	if (unlikely(addr > TASK_SIZE_DEFAULT))
		wide = TASK_SIZE_MAX - TASK_SIZE_DEFAULT;
	if (flags & MAP_32BIT)
		return vmatree_gap_bottomup(mm, len, 0x40000000, 0x80000000, align, &a) ? (s64)a : -ENOMEM;
	if (unlikely(mm->mmap_bottomup)) {
		if (vmatree_gap_bottomup(mm, len, mm->mmap_base, TASK_SIZE_DEFAULT + wide, align, &a) ||
		    vmatree_gap_topdown(mm, len, mm->mmap_min, mm->mmap_base, align, &a))
			return (s64)a;
	} else if (likely(vmatree_gap_topdown(mm, len, mm->mmap_min, mm->mmap_base + wide, align, &a))) {
		return (s64)a;
	}
	/* the region below mmap_base is full: anywhere above */
	if (vmatree_gap_bottomup(mm, len, TASK_SIZE_DEFAULT / 3 & PAGE_MASK, TASK_SIZE_DEFAULT + wide, align, &a))
		return (s64)a;
	if (align > PAGE_SIZE)
		return mm_find_area(mm, 0, len, flags, PAGE_SIZE);
	return -ENOMEM;
}

static u64 prot_to_vm(u64 prot)
{
	return prot & (PROT_READ | PROT_WRITE | PROT_EXEC); /* same bits */
}

/* Tries to grow a neighbour over [addr, end). */
static bool extend_neighbour(struct mm *mm, const struct vma *like)
{
	struct vma *next = vma_find(mm, like->start), *prev;

	if (next)
		prev = vma_prev(next);
	else
		prev = list_empty(&mm->vma_list) ? NULL : list_last_entry(&mm->vma_list, struct vma, list);
	if (prev && vma_can_follow(prev, like)) {
		vma_adjust(prev, prev->start, like->end, prev->pgoff);
		if (next && next->start == prev->end)
			vma_try_merge(next);
		return true;
	}
	if (next && vma_can_follow(like, next)) {
		vma_adjust(next, like->start, next->end, like->pgoff);
		return true;
	}
	return false;
}

/* On success whoever links @v gives mapping_allow_seal back after it: a seal must not come between the look and the count. */
static int attach_file(struct vma *v, struct file *file)
{
	int err;

	v->file = vma_file_get(file);
	err = vma_file_mmap(file, v);
	if (err)
		return err;
	if (v->mapping && !mapping_deny_seal(v->mapping, v))
		return -EPERM;
	vma_set_prot(v);
	return 0;
}

/* A VMA that nobody sees yet, with its file; an ERR_PTR when there is no memory or the file refuses. */
static struct vma *vma_prepare(struct mm *mm, struct file *file, u64 addr, u64 end, u64 vmflags, u64 pgoff)
{
	struct vma *v = vma_new(mm, addr, end, vmflags, pgoff);
	int err;

	if (unlikely(!v))
		return ERR_PTR(-ENOMEM);
	if (!file || !(err = attach_file(v, file)))
		return v;
	if (v->file && !(v->flags & VM_HUGETLB))
		v->ops = NULL; /* never opened */
	vma_free(v);
	return ERR_PTR(err);
}

/* Takes back what vma_prepare made. */
static void vma_forget(struct vma *v)
{
	if (v->mapping)
		mapping_allow_seal(v->mapping, v);
	vma_free(v);
}

/*
 * Room where something is mapped already. The new VMA is made first, so that the old one stays when there is no memory; not so for huge
 * pages, whose promises may have to be those of the old mapping. => 0 with *v the new one or NULL, or an error and nothing has changed
 */
static int mmap_over(struct mm *mm, struct file *file, u64 addr, u64 end, u64 vmflags, u64 pgoff, struct vma **v)
{
	int err;

	if (!(vmflags & VM_HUGETLB)) {
		*v = vma_prepare(mm, file, addr, end, vmflags, pgoff);
		if (IS_ERR(*v))
			return (int)PTR_ERR(*v);
	}
	err = munmap_locked(mm, addr, end);
	if (err && *v)
		vma_forget(*v);
	return err;
}

/* What a mapping over [start, end) takes away, and so need not fit the limits besides it. */
static u64 mapped_pages(struct mm *mm, u64 start, u64 end)
{
	u64 bytes = 0;

	for (struct vma *v = vma_find(mm, start); v && v->start < end; v = vma_next(v))
		bytes += min(v->end, end) - max(v->start, start);
	return bytes >> PAGE_SHIFT;
}

static s64 mmap_locked(struct mm *mm, struct file *file, u64 addr, u64 len, u64 vmflags, u64 pgoff)
{
	u64 n = len >> PAGE_SHIFT, charged = 0;
	struct vma *v = NULL;
	int err;

	if (unlikely(vmflags & VM_HUGETLB))
		vmflags &= ~(VM_LOCKED | VM_LOCKONFAULT); /* a pool's pages stay anyway, and count against no limit */
	if (unlikely(!mm_may_expand(mm, vmflags, n)) && !mm_may_expand(mm, vmflags, n - mapped_pages(mm, addr, addr + len)))
		return -ENOMEM;
	if (vmatree_intersect(mm, addr, addr + len) && (err = mmap_over(mm, file, addr, addr + len, vmflags, pgoff, &v)))
		return err;
	if (vm_accountable(vmflags)) {
		err = -ENOMEM;
		if (vm_charge(mm, n))
			goto forget;
		vmflags |= charged = VM_ACCOUNT;
	}
	if (!file && !(vmflags & VM_SHARED)) {
		struct vma like = { .start = addr, .end = addr + len, .flags = vmflags, .pgoff = pgoff, .mm = mm };

		if (extend_neighbour(mm, &like)) {
			if (unlikely(v))
				vma_forget(v);
			goto done;
		}
	}
	if (likely(!v)) {
		v = vma_prepare(mm, file, addr, addr + len, vmflags, pgoff);
		if (IS_ERR(v))
			goto uncharge;
	}
	v->flags |= charged;
	vma_link(mm, v);
	vmflags = v->flags;
	if (file) {
		if (v->mapping)
			mapping_allow_seal(v->mapping, v);
		vma_try_merge(v);
	}
done:
	vma_stat(mm, vmflags, n);
	if (vmflags & VM_LOCKED)
		mm->locked_vm += n;
	return (s64)addr;
uncharge:
	err = (int)PTR_ERR(v);
	if (charged)
		vm_uncharge(n);
	return err;
forget:
	if (v)
		vma_forget(v);
	return err;
}

/* What a file mapping may do. */
static int file_flags(struct file *file, u64 len, u64 prot, u64 flags, u64 pgoff, u64 *vmflags)
{
	u64 may = 0, type = flags & MAP_TYPE, max = vma_file_size_max(file);
	int err;

	if (len > max || pgoff > (max - len) >> PAGE_SHIFT)
		return -EOVERFLOW;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && flags & ~(u64)LEGACY_FLAGS)
		return -EOPNOTSUPP;
	err = vma_file_check(file, prot, flags, &may);
	if (err)
		return err;
	if (*vmflags & VM_GROWSDOWN)
		return -EINVAL;
	*vmflags = (*vmflags & ~(VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)) | (may & (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC));
	if (type != MAP_PRIVATE) {
		*vmflags |= VM_MAYSHARE;
		if (may & VM_MAYWRITE)
			*vmflags |= VM_SHARED; /* read-only sharing needs no private copies and no dirty pages: as private */
	} else {
		*vmflags |= VM_MAYWRITE;
	}
	return 0;
}

static int anon_flags(u64 flags, u64 *vmflags)
{
	switch (flags & MAP_TYPE) {
	case MAP_SHARED:
		if (*vmflags & VM_GROWSDOWN)
			return -EINVAL;
		*vmflags |= VM_SHARED | VM_MAYSHARE;
		return 0;
	case MAP_PRIVATE:
		return 0;
	default:
		return -EINVAL;
	}
}

static u64 initial_flags(struct mm *mm, u64 prot, u64 flags)
{
	u64 f = prot_to_vm(prot) | mm->def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

	if (unlikely(prot == PROT_EXEC) && cpu_has(pku))
		f |= (u64)pkey_exec_only(mm) << VM_PKEY_SHIFT;
	if (flags & MAP_GROWSDOWN)
		f |= VM_GROWSDOWN;
	if (flags & MAP_LOCKED)
		f |= VM_LOCKED;
	if (flags & MAP_NORESERVE && overcommit_memory != 2)
		f |= VM_NORESERVE;
	return f;
}

static u64 area_align(struct file *file, unsigned huge_shift, u64 len, u64 flags)
{
	if (unlikely(huge_shift))
		return 1ull << huge_shift;
	if (len < PMD_SIZE || flags & MAP_STACK)
		return PAGE_SIZE;
	if (file ? !run_possible(vma_file_mapping(file)) : thp_enabled == THP_NEVER && shmem_enabled == SHMEM_HUGE_NEVER)
		return PAGE_SIZE;
	return PMD_SIZE;
}

/* Everything between the checks of the arguments and the new VMA. => m write */
static s64 mmap_checked(struct mm *mm, struct file *file, u64 addr, u64 len, u64 prot, u64 flags, u64 pgoff, u64 *vmflags)
{
	unsigned huge_shift = file ? vma_file_huge_shift(file) : 0;
	struct file *shm = NULL;
	s64 at, ret;
	int err;

	if (mm->nr_vmas > max_map_count)
		return -ENOMEM;
	if (unlikely(huge_shift) && !(flags & MAP_FIXED))
		addr = ALIGN(addr, 1ull << huge_shift);
	at = mm_find_area(mm, addr, len, flags, area_align(file, huge_shift, len, flags));
	if (at < 0)
		return at;
	if (unlikely(huge_shift) && (len | (u64)at) & ((1ull << huge_shift) - 1))
		return -EINVAL;
	if (flags & MAP_FIXED_NOREPLACE && vmatree_intersect(mm, at, at + len))
		return -EEXIST;
	*vmflags = initial_flags(mm, prot, flags) | (huge_shift ? VM_HUGETLB | VM_DONTEXPAND : 0);
	if (flags & MAP_LOCKED && !mm->may_lock_unlimited && !mm->rlimit_memlock)
		return -EPERM;
	if (*vmflags & VM_LOCKED && !mlock_allowed(mm, len >> PAGE_SHIFT))
		return -EAGAIN;
	err = file ? file_flags(file, len, prot, flags, pgoff, vmflags) : anon_flags(flags, vmflags);
	if (err)
		return err;
	if (!file && *vmflags & VM_SHARED) {
		shm = shmem_zero_file(len, *vmflags);
		if (IS_ERR(shm))
			return PTR_ERR(shm);
		file = shm;
		pgoff = 0;
	} else if (!file) {
		pgoff = (u64)at >> PAGE_SHIFT;
	}
	ret = mmap_locked(mm, file, at, len, *vmflags, pgoff);
	if (shm)
		vma_file_put(shm);
	return ret;
}

s64 do_mmap(struct mm *mm, struct file *file, u64 addr, u64 len, u64 prot, u64 flags, u64 pgoff)
{
	u64 vmflags = 0, given = len;
	s64 ret;

	if (!len)
		return -EINVAL;
	if (flags & MAP_FIXED_NOREPLACE)
		flags |= MAP_FIXED;
	if (!(flags & MAP_FIXED)) {
		addr &= PAGE_MASK;
		if (addr && addr < mm->mmap_min)
			addr = PAGE_ALIGN(mm->mmap_min);
	}
	len = PAGE_ALIGN(len);
	if (!len || len < given)
		return -ENOMEM;
	if (pgoff + (len >> PAGE_SHIFT) < pgoff)
		return -EOVERFLOW;
	if (flags & MAP_FIXED && addr < mm->mmap_min && !mm->may_lock_unlimited)
		return -EPERM;
	down_write(&mm->lock);
	ret = mmap_checked(mm, file, addr, len, prot, flags, pgoff, &vmflags);
	mm_unlock_write(mm);
	if (ret >= 0 && ((vmflags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED ||
			 (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE))
		mm_populate(mm, ret, ret + len, POPULATE_PRIVATE | POPULATE_BEST);
	return ret;
}

s64 mm_map_exec(struct mm *mm, struct file *file, u64 addr, u64 len, u64 vmflags, u64 pgoff)
{
	s64 ret;

	len = PAGE_ALIGN(len);
	if (!len || addr & ~PAGE_MASK || len > TASK_SIZE_MAX || addr > TASK_SIZE_MAX - len)
		return -ENOMEM;
	vmflags |= VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
	down_write(&mm->lock);
	ret = mmap_locked(mm, file, addr, len, vmflags, file ? pgoff : addr >> PAGE_SHIFT);
	mm_up_write(mm);
	return ret;
}

/* --- fixed kernel pages (vDSO) --- */

static int special_fault(struct fault *f)
{
	struct page **pages = f->vma->private;
	pmd_t *pmd = pt_pmd_alloc(f->vma->mm, f->addr);
	spinlock_t *lock;
	pte_t *entry;

	if (!pmd || (!pmd_has_table(pte_read(pmd)) && pt_table_alloc(f->vma->mm, pmd)))
		return FR_OOM;
	entry = table_of(pte_read(pmd)) + pte_index(f->addr);
	lock = pt_lock_of(entry);
	spin_lock(lock);
	if (pte_none(*entry))
		pte_set(entry, pte_make(page_to_phys(pages[f->pgoff]), f->vma->prot | PTE_SPECIAL));
	spin_unlock(lock);
	return FR_OK;
}

static int special_may_split(struct vma *v, u64 addr)
{
	return -EINVAL;
}

static const struct vma_ops special_ops = { .fault = special_fault, .may_split = special_may_split };

s64 mm_install_special(struct mm *mm, u64 addr_hint, struct page **pages, unsigned n, u64 vmflags, const char *name)
{
	u64 len = (u64)n << PAGE_SHIFT;
	struct vma *v;
	s64 at;

	down_write(&mm->lock);
	at = mm_find_area(mm, addr_hint, len, 0, PAGE_SIZE);
	if (at < 0)
		goto out;
	v = vma_new(mm, at, at + len, vmflags | VM_DONTEXPAND, 0);
	if (!v) {
		at = -ENOMEM;
		goto out;
	}
	v->ops = &special_ops;
	v->private = pages;
	v->special_name = name;
	vma_link(mm, v);
	vma_stat(mm, v->flags, n);
out:
	mm_up_write(mm);
	return at;
}

/* --- brk --- */

s64 do_brk(struct mm *mm, u64 brk)
{
	u64 old_end, new_end, flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
	s64 ret;

	down_write(&mm->lock);
	ret = mm->brk;
	if (brk < mm->start_brk || brk >= TASK_SIZE_DEFAULT)
		goto out;
	if (brk - mm->start_brk + (mm->end_data - mm->start_data) > mm->rlimit_data)
		goto out;
	old_end = PAGE_ALIGN(mm->brk);
	new_end = PAGE_ALIGN(brk);
	if (new_end < old_end) {
		if (munmap_locked(mm, new_end, old_end))
			goto out;
	} else if (new_end > old_end) {
		flags |= mm->def_flags;
		if (mm->nr_vmas > max_map_count || !area_free(mm, old_end, new_end - old_end + PAGE_SIZE))
			goto out;
		if (flags & VM_LOCKED && !mlock_allowed(mm, (new_end - old_end) >> PAGE_SHIFT))
			goto out;
		if (mmap_locked(mm, NULL, old_end, new_end - old_end, flags, old_end >> PAGE_SHIFT) < 0)
			goto out;
	}
	mm->brk = brk;
	ret = brk;
out:
	mm_unlock_write(mm);
	if (ret == (s64)brk && flags & VM_LOCKED && new_end > old_end)
		mm_populate(mm, old_end, new_end, POPULATE_PRIVATE | POPULATE_BEST);
	return ret;
}
