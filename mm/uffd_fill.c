/*
 * userfaultfd: filling pages on behalf of a faulting thread. Pages of a pool: uffd_pool.c.
 *
 * The bytes of a copied page are read before m is taken: the source may itself be missing, and may be behind another
 * userfaultfd. So each page is made first, then installed into an entry that must still be empty, under m for reading; whatever
 * was decided before is looked at again there.
 */
#include <mm/uffd.h>
#include <x86/uaccess.h>
#include "vm.h"

struct vma *uffd_target(struct mm *mm, u64 start, u64 len)
{
	struct vma *v = vma_at(mm, start);

	return v && v->uffd && len <= v->end - start ? v : NULL;
}

/* The empty entry of @addr, or NULL with *err. */
static pte_t *empty_entry(struct vma *v, u64 addr, int *err)
{
	pmd_t *pmd = pt_pmd_alloc(v->mm, addr), e;

	*err = -ENOMEM;
	if (!pmd)
		return NULL;
	if (pte_none(pte_read(pmd)) && pt_table_alloc(v->mm, pmd))
		return NULL;
	e = pte_read(pmd);
	*err = -EEXIST;
	return pmd_has_table(e) ? table_of(e) + pte_index(addr) : NULL;
}

static u64 fill_bits(const struct vma *v, bool wp)
{
	u64 bits = (v->prot & ~PTE_W) | PTE_WRITTEN;

	if (wp)
		return bits | PTE_UFFD_WP;
	return v->flags & VM_WRITE ? bits | PTE_W : bits;
}

/* Private memory: @p becomes the only mapping's page. Takes over its reference when it succeeds. */
static int install_private(struct vma *v, u64 addr, pte_t *entry, struct page *p, bool wp)
{
	spinlock_t *lock = pt_lock_of(entry);

	if (anon_prepare(v))
		return -ENOMEM;
	spin_lock(lock);
	if (!pte_vacant(*entry)) {
		spin_unlock(lock);
		return -EEXIST;
	}
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, addr);
	p->mapcount = 1;
	p->private = 0;
	pte_set(entry, pte_make(page_to_phys(p), fill_bits(v, wp)));
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_ANON, 1);
	return 0;
}

static int install_zero(struct vma *v, pte_t *entry)
{
	spinlock_t *lock = pt_lock_of(entry);
	int err = -EEXIST;

	spin_lock(lock);
	if (pte_vacant(*entry)) {
		pte_set(entry, pte_make(page_to_phys(zero_page), (v->prot & ~PTE_W) | PTE_SPECIAL));
		err = 0;
	}
	spin_unlock(lock);
	return err;
}

/* Maps a page of the object; takes over its reference when it succeeds. */
static int install_cached(struct vma *v, pte_t *entry, struct page *p, bool wp)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = v->prot & ~PTE_W;
	int err = -EEXIST;

	if (wp)
		bits |= PTE_UFFD_WP;
	else if ((v->flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE))
		bits |= PTE_W | PTE_WRITTEN;
	spin_lock(lock);
	if (!pte_vacant(*entry))
		goto out;
	__atomic_fetch_add(&p->mapcount, 1, __ATOMIC_SEQ_CST);
	err = -EFAULT;
	if (READ_ONCE(p->mapping) != v->mapping) { /* truncated: see filemap.c */
		page_unmap_one(p);
		goto out;
	}
	if (bits & PTE_W && !page_flag(p, PG_DIRTY))
		page_set_flag(p, PG_DIRTY);
	pte_set(entry, pte_make(page_to_phys(p), bits));
	err = 0;
out:
	spin_unlock(lock);
	if (!err)
		mm_add_rss(v->mm, RSS_SHMEM, 1);
	return err;
}

/* A new page of a shared object. */
static int fill_shared(struct vma *v, u64 index, pte_t *entry, struct page *p, bool wp)
{
	int err;

	if (!pte_vacant(pte_read(entry)))
		return -EEXIST;
	p->flags |= 1ull << PG_UPTODATE;
	err = mapping_insert(v->mapping, index, p);
	if (err) {
		p->flags &= ~(1ull << PG_UPTODATE);
		return err;
	}
	err = install_cached(v, entry, p, wp);
	if (err)
		mapping_drop_page(v->mapping, p);
	return err;
}

static int fill_continue(struct vma *v, u64 index, pte_t *entry)
{
	int err = 0;
	struct page *p = mapping_get(v->mapping, index, false, false, &err);

	if (!p)
		return -EFAULT;
	err = install_cached(v, entry, p, false);
	if (err)
		page_put(p);
	return err;
}

/* One page. *page is NULL afterwards when it was used. => m read */
static int fill_one(struct vma *v, enum uffd_fill kind, u64 addr, struct page **page, bool wp)
{
	u64 index = vma_index(v, addr);
	pte_t *entry;
	int err;

	if (v->mapping && index >= (READ_ONCE(v->mapping->size) + PAGE_SIZE - 1) >> PAGE_SHIFT)
		return -EFAULT;
	entry = empty_entry(v, addr, &err);
	if (!entry)
		return err;
	if (kind == UFFD_CONTINUE)
		return fill_continue(v, index, entry);
	if (!(v->flags & VM_SHARED) && kind == UFFD_ZERO)
		return install_zero(v, entry);
	err = v->flags & VM_SHARED ? fill_shared(v, index, entry, *page, wp) : install_private(v, addr, entry, *page, wp);
	if (!err)
		*page = NULL;
	return err;
}

int uffd_check_target(struct uffd *u, enum uffd_fill kind, u64 dst, u64 len, bool wp, struct vma **vp)
{
	struct vma *v;

	if (READ_ONCE(u->changing))
		return -EAGAIN;
	*vp = v = uffd_target(u->mm, dst, len);
	if (!v)
		return -ENOENT;
	if (wp && !(v->flags & VM_UFFD_WP))
		return -EINVAL;
	return kind == UFFD_CONTINUE && vma_anonymous(v) ? -EINVAL : 0;
}

/* The page for the next step: none, zero or copied. */
static int make_page(enum uffd_fill kind, u64 src, struct page **page)
{
	if (*page || kind == UFFD_CONTINUE)
		return 0;
	*page = alloc_page(GFP_USER | (kind == UFFD_ZERO ? GFP_ZERO : 0));
	if (!*page)
		return -ENOMEM;
	if (kind == UFFD_COPY && copy_from_user(page_address(*page), (const void __user *)src, PAGE_SIZE))
		return -EFAULT;
	return 0;
}

/* Pages of a pool, @size each. *done is how much was filled. => no locks */
static int fill_pool(struct uffd *u, enum uffd_fill kind, u64 dst, u64 src, u64 len, bool wp, u64 size, u64 *done)
{
	int err = kind == UFFD_ZERO || (dst | len) & (size - 1) ? -EINVAL : 0;

	for (; !err && *done < len; *done += err ? 0 : size) {
		err = uffd_fill_pool(u, kind, dst + *done, src + *done, len - *done, wp, &size);
		if (!err && fatal_signal_pending_current())
			err = -EINTR;
	}
	return err;
}

s64 uffd_fill(struct uffd *u, enum uffd_fill kind, u64 dst, u64 src, u64 len, bool wp)
{
	struct page *page = NULL;
	struct mm *mm = u->mm;
	u64 done = 0, pool = 0;
	struct vma *v;
	bool zero_map;
	int err;

	if (!mm_get_not_zero(mm))
		return -ESRCH;
	down_read(&mm->lock);
	err = uffd_check_target(u, kind, dst, len, wp, &v);
	zero_map = !err && kind == UFFD_ZERO && !(v->flags & VM_SHARED);
	if (!err && v->flags & VM_HUGETLB)
		pool = vma_page_size(v);
	up_read(&mm->lock);
	if (pool)
		err = fill_pool(u, kind, dst, src, len, wp, pool, &done);
	while (!err && !pool && done < len) {
		err = zero_map ? 0 : make_page(kind, src + done, &page);
		if (err)
			break;
		down_read(&mm->lock);
		err = uffd_check_target(u, kind, dst + done, len - done, wp, &v);
		if (!err && kind == UFFD_ZERO && !page && v->flags & VM_SHARED)
			err = -EAGAIN; /* another mapping came to this place */
		if (!err && v->flags & VM_HUGETLB)
			err = -EAGAIN;
		if (!err)
			err = fill_one(v, kind, dst + done, &page, wp);
		up_read(&mm->lock);
		if (!err)
			done += PAGE_SIZE;
		if (!err && fatal_signal_pending_current())
			err = -EINTR;
	}
	if (page)
		page_put(page);
	mm_put(mm);
	return done ? (s64)done : err;
}
