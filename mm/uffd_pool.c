/*
 * userfaultfd: filling huge pages of a pool.
 *
 * The page comes from the pool by the promise its place has, so it is taken when it is sure to be installed: with m and the fault mutex of the place held. Its bytes
 * are copied then, with faults off, for the source may be behind m, or another userfaultfd. The source is touched before; should it be gone again
 * all the same, the page goes back with its promise, and the source is touched again.
 */
#include <mm/hugetlb.h>
#include <mm/uffd.h>
#include <x86/uaccess.h>
#include "hugetlb_impl.h"

/* Brings the source in. => no locks */
static int touch(u64 src, u64 len)
{
	u8 byte;

	for (u64 a = src; a < src + len; a += PAGE_SIZE)
		if (get_user(byte, (const u8 __user *)a))
			return -EFAULT;
	return 0;
}

/* False: some of the source is not there. */
static bool copy_bytes(struct page *p, u64 src, u64 npages)
{
	for (u64 i = 0; i < npages; i++) {
		u64 left;

		preempt_disable();
		pagefault_disable();
		left = copy_from_user(page_address(p + i), (const void __user *)(src + (i << PAGE_SHIFT)), PAGE_SIZE);
		pagefault_enable();
		preempt_enable();
		if (left)
			return false;
	}
	return true;
}

/* A new page of the file, mapped. => fault mutex */
static int copy_shared(struct vma *v, u64 addr, pte_t *entry, u64 src, bool wp)
{
	struct mapping *m = v->mapping;
	u64 index = huge_index(v, addr);
	struct page *p = mapping_find(m, vma_index(v, addr));
	bool promised;
	int err;

	if (p) {
		page_put(p);
		return -EEXIST;
	}
	p = huge_file_take(m, index, &promised);
	if (!p)
		return -ENOMEM;
	if (!copy_bytes(p, src, hstate_pages(vma_hstate(v)))) {
		huge_resv_undo(&huge_file_of(m)->resv, index, p, promised);
		return -EBUSY;
	}
	err = huge_file_add(m, index, p);
	if (err)
		return err;
	if (!hugetlb_map_cached(v, entry, addr, p, wp ? PROTECT_YES : PROTECT_NO)) {
		mapping_drop_page(m, p);
		err = -EFAULT; /* truncated */
		page_put(p);
	}
	return err;
}

/* => fault mutex */
static int copy_own(struct vma *v, u64 addr, pte_t *entry, u64 src, bool wp)
{
	struct huge_private *hp = hugetlb_private(v);
	u64 index = huge_index(v, addr);
	spinlock_t *lock = pt_lock_of(entry);
	bool promised = hp && huge_resv_take(&hp->resv, index);
	struct page *p = hugetlb_take(vma_hstate(v), promised);

	if (!p)
		return -ENOMEM;
	if (anon_prepare(v) || !copy_bytes(p, src, hstate_pages(vma_hstate(v)))) {
		if (hp)
			huge_resv_undo(&hp->resv, index, p, promised);
		else
			page_put(p);
		return -EBUSY;
	}
	hugetlb_own_page(v, p, addr);
	spin_lock(lock);
	pte_set(entry, pte_make(page_to_phys(p), hugetlb_bits_over(*entry, hugetlb_own_bits(v), wp ? PROTECT_YES : PROTECT_NO)));
	spin_unlock(lock);
	hugetlb_count_mapped(v->mm, vma_hstate(v), 1);
	return 0;
}

static int map_there(struct vma *v, u64 addr, pte_t *entry)
{
	struct page *p = mapping_find(v->mapping, vma_index(v, addr));

	if (!p)
		return -EFAULT;
	if (!page_flag(p, PG_HWPOISON) && hugetlb_map_cached(v, entry, addr, p, PROTECT_NO))
		return 0;
	page_put(p);
	return -EEXIST;
}

/* One page. -EBUSY: the source has to be touched again. => m read */
static int fill_pool_page(struct vma *v, enum uffd_fill kind, u64 addr, u64 src, bool wp)
{
	struct mutex *mutex = hugetlb_fault_mutex(v, addr);
	pte_t *entry;
	int err = -ENOMEM;

	if (vma_index(v, addr) >= READ_ONCE(v->mapping->size) >> PAGE_SHIFT)
		return -EFAULT;
	mutex_lock(mutex);
	entry = hugetlb_entry_alloc(v, addr);
	if (entry && !pte_vacant(pte_settled(entry)))
		err = -EEXIST;
	else if (entry && kind == UFFD_CONTINUE)
		err = map_there(v, addr, entry);
	else if (entry)
		err = v->flags & VM_MAYSHARE ? copy_shared(v, addr, entry, src, wp) : copy_own(v, addr, entry, src, wp);
	mutex_unlock(mutex);
	return err;
}

int uffd_fill_pool(struct uffd *u, enum uffd_fill kind, u64 dst, u64 src, u64 len, bool wp, u64 *size)
{
	struct mm *mm = u->mm;
	struct vma *v;
	int err;

	do {
		err = kind == UFFD_COPY ? touch(src, *size) : 0;
		if (err)
			break;
		down_read(&mm->lock);
		err = uffd_check_target(u, kind, dst, len, wp, &v);
		if (!err && (!(v->flags & VM_HUGETLB) || vma_page_size(v) != *size))
			err = -EAGAIN; /* another mapping came to this place */
		if (!err)
			err = fill_pool_page(v, kind, dst, src, wp);
		up_read(&mm->lock);
	} while (err == -EBUSY && !fatal_signal_pending_current());
	return err == -EBUSY ? -EINTR : err;
}
