/*
 * hugetlb_vm.c - mappings of pool pages: faults, copy on write, and what unmap, protect, fork and mremap do with them.
 *
 * A VMA with VM_HUGETLB maps whole huge pages of one size: its ends, its offset and every cut are aligned to it (hugetlb_may_split). The entry of
 * a page is a PMD, or for 1 GiB a PUD entry; its lock is that of the table page it stands in. No table hangs below such an
 * entry: the aligned range belongs to this VMA alone, and tables of earlier mappings went with the last of those.
 *
 *	mapping		first access						write to a read-only entry
 *	shared		the file's page, made when missing			made writable
 *	private		read of a page the file has: that page, read-only	copy
 *			otherwise a page of our own				ours alone: made writable, else copy
 *
 * Promises: a shared mapping's are the file's. A private mapping's belong to the address space that called mmap (v->private, shared by the parts
 * of a split mapping); a child has none. When the pool is empty the owner of the promises must still be able to write to a page it shares with
 * children: the children lose it, and get SIGBUS when they touch it (HUGE_ROBBED), as in Linux.
 *
 * Locking: faults at one index of one file take one of the fault mutexes, so that two threads at the same page do not need two pages; entries change under
 * the table's lock; everything else as for small pages.
 */
#include <lib/hash.h>
#include <lib/string.h>
#include <mm/hugetlb.h>
#include "vm.h"

#define HUGE_ROBBED ((void *)1)

/* Promises of one private mapping and how many VMAs it is in. */
struct huge_private {
	struct huge_resv resv;
	struct mm *mm; /* (I) the owner */
	struct huge_quota *quota; /* (I) charged for the whole range, used or not */
	s32 refs; /* (a) */
};

#define FAULT_BITS 5
static struct mutex fault_mutexes[1 << FAULT_BITS];

void hugetlb_vm_init(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fault_mutexes); i++)
		mutex_init(&fault_mutexes[i]);
}

static struct mutex *fault_mutex(const struct mapping *m, u64 index)
{
	return &fault_mutexes[((u64)m / 64 * GOLDEN_RATIO_64 + index * GOLDEN_RATIO_64) >> (64 - FAULT_BITS)];
}

struct hstate *vma_hstate(const struct vma *v)
{
	return huge_file_of(v->mapping)->resv.h;
}

static struct huge_private *private_of(const struct vma *v)
{
	void *p = READ_ONCE(v->private);

	return v->flags & VM_MAYSHARE || p == HUGE_ROBBED ? NULL : p;
}

static u64 huge_index(const struct vma *v, u64 addr)
{
	return vma_index(v, addr) >> vma_hstate(v)->order;
}

pte_t *hugetlb_entry(const struct vma *v, u64 addr)
{
	return vma_hstate(v)->shift == PMD_SHIFT ? pt_pmd(v->mm, addr) : pt_pud(v->mm, addr);
}

pte_t *hugetlb_entry_alloc(const struct vma *v, u64 addr)
{
	return vma_hstate(v)->shift == PMD_SHIFT ? pt_pmd_alloc(v->mm, addr) : pt_pud_alloc(v->mm, addr);
}

static void count_mapped(struct mm *mm, const struct hstate *h, int sign)
{
	__atomic_fetch_add(&mm->hugetlb_pages, sign * (s64)hstate_pages(h), __ATOMIC_RELAXED);
}

/* --- faults --- */

static void copy_huge(struct page *to, struct page *from, u64 n)
{
	for (u64 i = 0; i < n; i++)
		copy_page(page_address(to + i), page_address(from + i));
}

static void own_page(struct vma *v, struct page *p, u64 base)
{
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, base);
	p->mapcount = 1;
	p->private = 0;
}

static u64 own_bits(const struct vma *v)
{
	return v->prot | PTE_PS | PTE_D | (v->flags & VM_WRITE ? PTE_W : 0);
}

/* Maps a page of the file; the reference becomes the entry's. The same handshake with truncation as filemap.c's. */
static int map_file_page(struct fault *f, pte_t *entry, u64 base, struct page *p)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = v->prot | PTE_PS;

	if (!(v->flags & VM_SHARED))
		bits &= ~PTE_W;
	spin_lock(lock);
	if (!pte_none(*entry)) {
		spin_unlock(lock);
		page_put(p);
		return FR_OK;
	}
	__atomic_fetch_add(&p->mapcount, 1, __ATOMIC_SEQ_CST);
	if (READ_ONCE(p->mapping) != v->mapping) {
		page_unmap_one(p);
		spin_unlock(lock);
		page_put(p);
		return FR_OK;
	}
	pte_set(entry, pte_make(page_to_phys(p), bits));
	spin_unlock(lock);
	count_mapped(v->mm, vma_hstate(v), 1);
	return FR_OK;
}

/* A page for a private mapping, by its promise if there is one. NULL: the pool is empty. */
static struct page *take_own(struct vma *v, u64 index)
{
	struct huge_private *hp = private_of(v);

	return hugetlb_take(vma_hstate(v), hp && huge_resv_take(&hp->resv, index));
}

/* => fault mutex: nobody else fills the entry */
static int own_fault(struct fault *f, pte_t *entry, u64 base, struct page *cached)
{
	struct vma *v = f->vma;
	struct hstate *h = vma_hstate(v);
	spinlock_t *lock = pt_lock_of(entry);
	struct page *p;

	if (anon_prepare(v))
		return FR_OOM;
	p = take_own(v, huge_index(v, base));
	if (!p)
		return FR_SIGBUS;
	if (cached)
		copy_huge(p, cached, hstate_pages(h));
	else
		clear_pages(page_address(p), hstate_pages(h));
	own_page(v, p, base);
	spin_lock(lock);
	ASSERT(pte_none(*entry));
	pte_set(entry, pte_make(page_to_phys(p), own_bits(v)));
	spin_unlock(lock);
	count_mapped(v->mm, h, 1);
	return FR_OK;
}

static inline bool beyond_end(const struct mapping *m, u64 small_index)
{
	return small_index >= READ_ONCE(m->size) >> PAGE_SHIFT;
}

static int shared_fault(struct fault *f, pte_t *entry, u64 base)
{
	struct mapping *m = f->vma->mapping;
	u64 small = vma_index(f->vma, base);
	struct page *p;
	int err = 0;

	p = huge_file_get(m, huge_index(f->vma, base), &err);
	if (!p)
		return err == -ENOMEM ? FR_OOM : err == -EHWPOISON ? FR_HWPOISON : FR_SIGBUS;
	/* made after a truncation had passed here: it must not stay */
	if (beyond_end(m, small)) {
		mapping_drop_page(m, p);
		page_put(p);
		return FR_SIGBUS;
	}
	return map_file_page(f, entry, base, p);
}

static int missing(struct fault *f, pte_t *entry, u64 base)
{
	struct vma *v = f->vma;
	struct page *cached;
	int r;

	if (beyond_end(v->mapping, vma_index(v, base)) || READ_ONCE(v->private) == HUGE_ROBBED)
		return FR_SIGBUS;
	if (v->flags & VM_MAYSHARE)
		return shared_fault(f, entry, base);
	cached = mapping_find(v->mapping, vma_index(v, base));
	if (unlikely(cached && page_flag(cached, PG_HWPOISON))) {
		page_put(cached);
		return FR_HWPOISON;
	}
	if (cached && !(f->flags & FAULT_WRITE))
		return map_file_page(f, entry, base, cached);
	r = own_fault(f, entry, base, cached);
	if (cached)
		page_put(cached);
	return r;
}

struct robbery {
	struct page *page;
	struct vma *owner;
	u64 taken;
};

static bool rob_one(struct rmap_walk *w, struct vma *v, u64 addr, pte_t *entry, bool huge)
{
	struct robbery *r = w->arg;
	struct hstate *h = vma_hstate(v);

	if (v->mm == r->owner->mm || private_of(v))
		return true;
	(void)pte_get_and_clear(entry);
	tlb_flush_range(v->mm, addr, addr + hstate_bytes(h), h->shift);
	page_unmap_one(r->page);
	count_mapped(v->mm, h, -1);
	WRITE_ONCE(v->private, HUGE_ROBBED);
	r->taken++;
	return true;
}

/* The pool is empty and the owner writes: its children lose the page. */
static int rob_children(struct vma *v, struct page *p)
{
	struct robbery r = { .page = p, .owner = v };
	struct rmap_walk w = { .fn = rob_one, .arg = &r };

	if (!private_of(v) || page_type(p) != PT_ANON)
		return FR_SIGBUS;
	rmap_walk(p, &w);
	if (!r.taken)
		return FR_SIGBUS;
	pr_warn("hugetlb: the pool is empty: children lose a page of %s\n", vma_hstate(v)->name);
	for (u64 i = 0; i < r.taken; i++)
		page_put(p);
	return FR_OK; /* the write is tried again */
}

static int cow(struct fault *f, pte_t *entry, u64 base, pte_t e)
{
	struct vma *v = f->vma;
	struct hstate *h = vma_hstate(v);
	spinlock_t *lock = pt_lock_of(entry);
	struct page *old = pte_frame(e), *p;
	bool done = false;
	int r = FR_OK;

	spin_lock(lock);
	if (pte_read(entry).v != e.v) {
		done = true;
	} else if (page_type(old) == PT_ANON && page_exclusive(old)) {
		pte_set(entry, (pte_t){ e.v | PTE_A | PTE_D | (v->flags & VM_WRITE ? PTE_W : 0) });
		done = true;
	} else {
		page_get(old);
	}
	spin_unlock(lock);
	if (done) {
		tlb_flush_local(f->addr);
		return FR_OK;
	}
	p = anon_prepare(v) ? NULL : take_own(v, huge_index(v, base));
	if (!p) {
		r = rob_children(v, old);
		page_put(old);
		return r;
	}
	copy_huge(p, old, hstate_pages(h));
	own_page(v, p, base);
	spin_lock(lock);
	if (pte_read(entry).v != e.v) {
		spin_unlock(lock);
		p->mapcount = 0;
		page_put(p);
		page_put(old);
		return FR_OK;
	}
	(void)pte_get_and_clear(entry);
	tlb_flush_range(v->mm, base, base + hstate_bytes(h), h->shift);
	pte_set(entry, pte_make(page_to_phys(p), own_bits(v)));
	spin_unlock(lock);
	page_unmap_one(old);
	page_put(old); /* ours */
	page_put(old); /* the entry's */
	return FR_OK;
}

static int write_fault(struct fault *f, pte_t *entry, u64 base, pte_t e)
{
	spinlock_t *lock = pt_lock_of(entry);

	if (!(f->vma->flags & VM_SHARED))
		return cow(f, entry, base, e);
	spin_lock(lock);
	if (pte_read(entry).v == e.v)
		pte_set(entry, (pte_t){ e.v | PTE_W | PTE_D | PTE_A });
	spin_unlock(lock);
	tlb_flush_local(f->addr);
	return FR_OK;
}

int hugetlb_fault(struct fault *f)
{
	struct vma *v = f->vma;
	u64 base = f->addr & hstate_mask(vma_hstate(v));
	struct mutex *mutex = fault_mutex(v->mapping, huge_index(v, base));
	pte_t *entry, e;
	int r = FR_OOM;

	mutex_lock(mutex);
	entry = hugetlb_entry_alloc(v, base);
	if (entry) {
		e = pte_settled(entry);
		ASSERT(!pmd_has_table(e));
		if (unlikely(pte_poisoned(e))) {
			r = FR_HWPOISON;
		} else if (pte_none(e)) {
			r = missing(f, entry, base);
		} else if (f->flags & FAULT_WRITE && !pte_write(e)) {
			r = write_fault(f, entry, base, e);
		} else {
			tlb_flush_local(f->addr);
			r = FR_OK;
		}
	}
	mutex_unlock(mutex);
	return r;
}

/* --- walks --- */

void hugetlb_zap(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how)
{
	struct hstate *h = vma_hstate(v);
	u64 size = hstate_bytes(h);

	end = (end + size - 1) & ~(size - 1);
	for (u64 a = start & ~(size - 1); a < end; a += size) {
		pte_t *entry = hugetlb_entry(v, a), e;
		struct page *p = NULL;
		spinlock_t *lock;

		if (!entry)
			continue;
		lock = pt_lock_of(entry);
		spin_lock(lock);
		e = pte_read(entry);
		if (pte_mapped(e) && !(how & ZAP_KEEP_ANON && page_type(pte_frame(e)) == PT_ANON)) {
			e = pte_get_and_clear(entry); /* with what the CPU wrote into it meanwhile */
			p = pte_frame(e);
			page_unmap_one(p);
		} else if (unlikely(pte_poisoned(e))) {
			pte_set(entry, (pte_t){ 0 });
		}
		spin_unlock(lock);
		if (!p)
			continue;
		tlb_gather_range(g, a, a + size);
		count_mapped(v->mm, h, -1);
		if (tlb_gather_page(g, p))
			tlb_gather_flush(g);
	}
}

/* A page somebody does I/O into stays the parent's: the child has a copy at once. */
static int copy_pinned(struct vma *dst, pte_t *to, pte_t e, u64 addr)
{
	struct hstate *h = vma_hstate(dst);
	struct page *p = hugetlb_take(h, false);

	if (!p)
		return -ENOMEM;
	copy_huge(p, pte_frame(e), hstate_pages(h));
	own_page(dst, p, addr);
	pte_set(to, (pte_t){ page_to_phys(p) | (e.v & ~PTE_ADDR_MASK) });
	count_mapped(dst->mm, h, 1);
	return 0;
}

int hugetlb_copy(struct vma *dst, struct vma *src, bool *wrprotected)
{
	struct hstate *h = vma_hstate(src);
	int err = 0;

	if (src->flags & VM_MAYSHARE)
		return 0; /* faults bring the file's pages back */
	for (u64 a = src->start; a < src->end && !err; a += hstate_bytes(h)) {
		pte_t *from = hugetlb_entry(src, a), *to, e;
		spinlock_t *lock;

		if (!from || pte_none(pte_settled(from)))
			continue;
		to = hugetlb_entry_alloc(dst, a);
		if (!to)
			return -ENOMEM;
		lock = pt_lock_of(from);
		spin_lock(lock);
		e = pte_read(from);
		if (!pte_mapped(e)) { /* truncated just now, or failed */
			if (pte_poisoned(e))
				pte_set(to, e);
			spin_unlock(lock);
			continue;
		}
		if (page_type(pte_frame(e)) == PT_ANON && pte_frame(e)->private) {
			spin_unlock(lock); /* mm->lock is held: only the file's pages can go */
			err = copy_pinned(dst, to, e, a);
			continue;
		}
		__atomic_fetch_and(&from->v, ~PTE_W, __ATOMIC_RELAXED);
		page_entry_add(pte_frame(e), 1);
		pte_set(to, (pte_t){ e.v & ~PTE_W });
		spin_unlock(lock);
		count_mapped(dst->mm, h, 1);
		*wrprotected = true;
	}
	return err;
}

bool hugetlb_rmap(struct rmap_walk *w, struct vma *v, struct page *p)
{
	pte_t *entry = NULL;
	spinlock_t *lock;
	bool go_on = true;
	u64 addr;

	if (p->index < v->pgoff || p->index >= v->pgoff + npages_of(v))
		return true;
	addr = v->start + ((p->index - v->pgoff) << PAGE_SHIFT);
	entry = hugetlb_entry(v, addr);
	if (!entry)
		return true;
	lock = pt_lock_of(entry);
	spin_lock(lock);
	if (pte_has_page(*entry) && pte_frame(*entry) == p)
		go_on = w->fn(w, v, addr, entry, true);
	spin_unlock(lock);
	return go_on;
}

/* MADV_REMOVE: whole pages of the file. Parts at the ends stay. => m read */
void hugetlb_punch(struct vma *v, u64 start, u64 end)
{
	u64 pages = hstate_pages(vma_hstate(v)), first = vma_index(v, start), last = vma_index(v, end);

	first = (first + pages - 1) / pages;
	if (first < last / pages)
		huge_file_drop(v->mapping, first, last / pages);
}

u64 vma_page_size(const struct vma *v)
{
	return likely(!(v->flags & VM_HUGETLB)) ? PAGE_SIZE : hstate_bytes(vma_hstate(v));
}

/* --- the life of a mapping --- */

static void private_put(struct huge_private *hp)
{
	if (__atomic_sub_fetch(&hp->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ASSERT3U(hp->resv.count, ==, 0);
	xa_destroy(&hp->resv.set);
	kfree(hp);
}

void hugetlb_forget(struct vma *v, u64 start, u64 end)
{
	struct huge_private *hp = private_of(v);

	if (!hp)
		return;
	huge_resv_drop(&hp->resv, huge_index(v, start), huge_index(v, start) + ((end - start) >> hp->resv.h->shift));
	huge_quota_uncharge(hp->quota, (end - start) >> hp->resv.h->shift);
}

void hugetlb_moved(struct vma *v)
{
	struct huge_private *hp = private_of(v);

	if (!hp)
		return;
	v->private = NULL;
	private_put(hp);
}

/* A part split off shares the promises; a child of fork has none. */
static void huge_vma_open(struct vma *v)
{
	struct huge_private *hp = private_of(v);

	if (!hp)
		return;
	if (hp->mm == v->mm)
		__atomic_fetch_add(&hp->refs, 1, __ATOMIC_RELAXED);
	else
		v->private = NULL;
}

static void huge_vma_close(struct vma *v)
{
	hugetlb_forget(v, v->start, v->end);
	hugetlb_moved(v);
}

int hugetlb_may_split(struct vma *v, u64 addr)
{
	return addr & ~hstate_mask(vma_hstate(v)) ? -EINVAL : 0;
}

const struct vma_ops hugetlb_vma_ops = { .open = huge_vma_open, .close = huge_vma_close, .may_split = hugetlb_may_split };

static int reserve_private(struct huge_file *hf, struct vma *v, u64 first, u64 n)
{
	struct huge_private *hp = kzalloc(sizeof(*hp), GFP_KERNEL);
	int err = -ENOMEM;

	if (!hp)
		return -ENOMEM;
	huge_resv_init(&hp->resv, hf->resv.h, NULL);
	hp->mm = v->mm;
	hp->quota = hf->resv.quota;
	hp->refs = 1;
	if (!huge_quota_charge(hp->quota, n))
		goto free;
	err = huge_resv_add(&hp->resv, first, first + n, NULL);
	if (err)
		goto uncharge;
	v->private = hp;
	return 0;
uncharge:
	huge_quota_uncharge(hp->quota, n);
free:
	kfree(hp);
	return err;
}

int hugetlb_mmap(struct mapping *m, struct vma *v)
{
	struct huge_file *hf = huge_file_of(m);
	struct hstate *h = hf->resv.h;
	u64 first = v->pgoff >> h->order, n = npages_of(v) >> h->order;

	if ((v->start | v->end) & ~hstate_mask(h) || v->pgoff & (hstate_pages(h) - 1))
		return -EINVAL;
	v->flags |= VM_HUGETLB | VM_DONTEXPAND;
	v->ops = &hugetlb_vma_ops;
	v->mapping = m;
	if (v->flags & VM_NORESERVE)
		return 0;
	if (v->flags & VM_MAYSHARE)
		return huge_resv_add(&hf->resv, first, first + n, m);
	return reserve_private(hf, v, first, n);
}
