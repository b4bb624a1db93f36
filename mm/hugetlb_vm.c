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
#include <mm/uffd.h>
#include "hugetlb_impl.h"

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

struct mutex *hugetlb_fault_mutex(const struct vma *v, u64 addr)
{
	return fault_mutex(v->mapping, huge_index(v, addr));
}

pte_t *hugetlb_entry(const struct vma *v, u64 addr)
{
	return vma_hstate(v)->shift == PMD_SHIFT ? pt_pmd(v->mm, addr) : pt_pud(v->mm, addr);
}

pte_t *hugetlb_entry_alloc(const struct vma *v, u64 addr)
{
	return vma_hstate(v)->shift == PMD_SHIFT ? pt_pmd_alloc(v->mm, addr) : pt_pud_alloc(v->mm, addr);
}

/* --- faults --- */

static void copy_huge(struct page *to, struct page *from, u64 n)
{
	for (u64 i = 0; i < n; i++)
		copy_page(page_address(to + i), page_address(from + i));
}

void hugetlb_own_page(struct vma *v, struct page *p, u64 base)
{
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, base);
	p->mapcount = 1;
	p->private = 0;
}

/* The same handshake with truncation as filemap.c's. */
bool hugetlb_map_cached(struct vma *v, pte_t *entry, u64 base, struct page *p, enum hugetlb_protect protect)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = v->prot | PTE_PS;
	bool mapped = false;

	if (!(v->flags & VM_SHARED))
		bits &= ~PTE_W;
	spin_lock(lock);
	if (pte_vacant(*entry)) {
		__atomic_fetch_add(&p->mapcount, 1, __ATOMIC_SEQ_CST);
		mapped = READ_ONCE(p->mapping) == v->mapping;
		if (mapped)
			pte_set(entry, pte_make(page_to_phys(p), hugetlb_bits_over(*entry, bits, protect)));
		else
			page_unmap_one(p);
	}
	spin_unlock(lock);
	if (mapped)
		hugetlb_count_mapped(v->mm, vma_hstate(v), 1);
	return mapped;
}

/* Maps a page of the file, or lets it be: the access faults again then. Takes over the reference. */
static int map_file_page(struct vma *v, pte_t *entry, u64 base, struct page *p)
{
	if (!hugetlb_map_cached(v, entry, base, p, PROTECT_AS_MARKED))
		page_put(p);
	return FR_OK;
}

/* A page for a private mapping, by its promise if there is one. NULL: the pool is empty. */
static struct page *take_own(struct vma *v, u64 index)
{
	struct huge_private *hp = hugetlb_private(v);

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
	hugetlb_own_page(v, p, base);
	spin_lock(lock);
	ASSERT(pte_vacant(*entry));
	pte_set(entry, pte_make(page_to_phys(p), hugetlb_bits_over(*entry, hugetlb_own_bits(v), PROTECT_AS_MARKED)));
	spin_unlock(lock);
	hugetlb_count_mapped(v->mm, h, 1);
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
	return map_file_page(f->vma, entry, base, p);
}

/* What a registered range waits for; 0: nothing. */
static u64 reason_to_wait(const struct vma *v, u64 base)
{
	struct page *p = mapping_find(v->mapping, vma_index(v, base));

	if (!p)
		return v->flags & VM_UFFD_MISSING;
	page_put(p);
	return v->flags & VM_UFFD_MINOR;
}

static int missing(struct fault *f, pte_t *entry, u64 base, u64 *reason)
{
	struct vma *v = f->vma;
	struct page *cached;
	int r;

	if (beyond_end(v->mapping, vma_index(v, base)) || READ_ONCE(v->private) == HUGE_ROBBED)
		return FR_SIGBUS;
	if (unlikely(v->flags & (VM_UFFD_MISSING | VM_UFFD_MINOR)) && (*reason = reason_to_wait(v, base)))
		return FR_OK;
	if (v->flags & VM_MAYSHARE)
		return shared_fault(f, entry, base);
	cached = mapping_find(v->mapping, vma_index(v, base));
	if (unlikely(cached && page_flag(cached, PG_HWPOISON))) {
		page_put(cached);
		return FR_HWPOISON;
	}
	if (cached && !(f->flags & FAULT_WRITE))
		return map_file_page(f->vma, entry, base, cached);
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

	if (v->mm == r->owner->mm || hugetlb_private(v))
		return true;
	(void)pte_get_and_clear(entry);
	tlb_flush_range(v->mm, addr, addr + hstate_bytes(h), h->shift);
	page_unmap_one(r->page);
	hugetlb_count_mapped(v->mm, h, -1);
	WRITE_ONCE(v->private, HUGE_ROBBED);
	r->taken++;
	return true;
}

/* The pool is empty and the owner writes: its children lose the page. */
static int rob_children(struct vma *v, struct page *p)
{
	struct robbery r = { .page = p, .owner = v };
	struct rmap_walk w = { .fn = rob_one, .arg = &r };

	if (!hugetlb_private(v) || page_type(p) != PT_ANON)
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
	hugetlb_own_page(v, p, base);
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
	pte_set(entry, pte_make(page_to_phys(p), hugetlb_own_bits(v)));
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
	struct fault waiting;
	pte_t *entry, e;
	u64 reason = 0;
	int r = FR_OOM;

	mutex_lock(mutex);
	entry = hugetlb_entry_alloc(v, base);
	if (entry) {
		e = pte_settled(entry);
		ASSERT(!pmd_has_table(e));
		if (unlikely(pte_poisoned(e))) {
			r = FR_HWPOISON;
		} else if (pte_vacant(e)) {
			r = missing(f, entry, base, &reason);
		} else if (f->flags & FAULT_WRITE && !pte_write(e)) {
			if (unlikely(e.v & PTE_UFFD_WP && v->flags & VM_UFFD_WP))
				reason = VM_UFFD_WP;
			else
				r = write_fault(f, entry, base, e);
		} else {
			tlb_flush_local(f->addr);
			r = FR_OK;
		}
	}
	mutex_unlock(mutex);
	if (likely(!reason))
		return r;
	waiting = *f;
	waiting.addr = base;
	return uffd_fault(&waiting, reason);
}

/* --- walks --- */

void hugetlb_zap(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how)
{
	struct hstate *h = vma_hstate(v);
	u64 size = hstate_bytes(h);

	if (!(v->flags & VM_UFFD_WP))
		how &= ~ZAP_KEEP_WP;
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
		if (how & ZAP_KEEP_WP && e.v & PTE_UFFD_WP && (p || pte_marker(e)))
			pte_set(entry, PTE_MARKER_WP);
		else if (pte_marker(e))
			pte_set(entry, (pte_t){ 0 });
		spin_unlock(lock);
		if (!p)
			continue;
		tlb_gather_range(g, a, a + size);
		hugetlb_count_mapped(v->mm, h, -1);
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
	hugetlb_own_page(dst, p, addr);
	pte_set(to, (pte_t){ page_to_phys(p) | (e.v & ~PTE_ADDR_MASK) });
	hugetlb_count_mapped(dst->mm, h, 1);
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
		hugetlb_count_mapped(dst->mm, h, 1);
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
