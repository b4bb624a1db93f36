/*
 * Page faults.
 *
 *	entry of the address		access		result
 *	----------------------------	--------------	-----------------------------------------------------------
 *	no VMA				any		stack grows, or MAPERR
 *	VMA without the right		any		ACCERR
 *	empty, anonymous		read		zero page, read-only; the huge one where one fits
 *	empty, anonymous		write		huge page where one fits, else a zeroed page
 *	empty, file			read		page of the cache, and its cached neighbours (fault-around)
 *	empty, file shared		write		the same, writable and dirty (after page_mkwrite)
 *	empty, file private		write		copy of the cached page
 *	read-only, shared mapping	write		made writable (after page_mkwrite)
 *	read-only, private mapping	write		copy, unless nobody else has the page: then made writable
 *	allows the access		any		somebody else was faster, or our TLB was stale: drop the translation
 *
 * Most faults come without mm->lock (fault_fast, vmalock.h) and end in the same functions as those that hold it. f->fast tells them
 * not to sleep, and to read nothing of the VMA once they have the table's lock.
 *
 * Nothing is decided on an entry read without the table's lock: the lock is taken once, with the page ready in hand,
 * and the entry compared. Only the page is allocated, tables aside, and never under the lock.
 */
#include <mm/uffd.h>
#include <mm/mempolicy.h>
#include "run.h"
#include "vmalock.h"

int fault_to_errno(int fr)
{
	switch (fr) {
	case FR_OK:
		return 0;
	case FR_OOM:
		return -ENOMEM;
	case FR_RETRY:
	case FR_UNLOCKED:
		return -EAGAIN;
	case FR_HWPOISON:
		return -EHWPOISON;
	default:
		return -EFAULT;
	}
}

/* Bits of an entry for a page of ours alone. */
static inline u64 own_bits(const struct vma *v)
{
	return v->prot | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0);
}

/* Installs the only mapping of a fresh anonymous page, if the entry is still @old. FR_OK (either way) or FR_BUSY. */
static int install_anon(struct fault *f, pte_t *entry, pte_t old, struct page *p)
{
	struct vma *v = f->vma;
	struct mm *mm = v->mm;
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = own_bits(v);
	int r = FR_OK;

	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, f->addr);
	p->mapcount = 1;
	p->private = 0;
	if (unlikely(!fault_lock(f, lock))) {
		r = FR_BUSY;
		goto undo;
	}
	if (unlikely(entry->v != old.v)) {
		spin_unlock(lock);
		goto undo;
	}
	pte_set(entry, pte_make(page_to_phys(p), bits));
	spin_unlock(lock);
	mm_add_rss(mm, RSS_ANON, 1);
	return FR_OK;
undo:
	p->mapcount = 0;
	page_put(p);
	return r;
}

static int anon_fault(struct fault *f, pte_t *entry)
{
	struct vma *v = f->vma;
	struct page *p;

	if (unlikely(v->flags & VM_UFFD_MISSING))
		return uffd_fault(f, VM_UFFD_MISSING);
	if (!(f->flags & FAULT_WRITE)) {
		spinlock_t *lock = pt_lock_of(entry);
		u64 bits = v->prot | PTE_SPECIAL;

		if (unlikely(!fault_lock(f, lock)))
			return FR_BUSY;
		if (pte_none(*entry))
			pte_set(entry, pte_make(page_to_phys(zero_page), bits));
		spin_unlock(lock);
		return FR_OK;
	}
	if (unlikely(!READ_ONCE(v->anon)) && (f->fast || anon_group_attach(v)))
		return FR_OOM;
	p = alloc_vma_pages(f->gfp | GFP_ZERO, 0, v, f->addr);
	if (unlikely(!p))
		return FR_OOM;
	return install_anon(f, entry, (pte_t){ 0 }, p);
}

/* The page of @e is ours alone: FR_OK, it is writable now. FR_RETRY: it is not (any more). */
static int reuse_page(struct fault *f, pte_t *entry, pte_t e, struct page *head)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 more = PTE_WRITTEN | PTE_A | (f->vma->flags & VM_WRITE ? PTE_W : 0);
	int r = FR_RETRY;

	if (page_type(head) != PT_ANON || !(page_exclusive(head) || unlikely(page_pins(head))))
		return FR_RETRY;
	if (unlikely(!fault_lock(f, lock)))
		return FR_BUSY;
	/* exclusive under the lock stays so: new references come through this entry only */
	if (unlikely(pte_read(entry).v != e.v)) {
		r = FR_OK; /* look again */
	} else if (page_exclusive(head) || pinned_parts_ours(entry, head)) {
		pte_set(entry, (pte_t){ e.v | more });
		r = FR_OK;
	}
	spin_unlock(lock);
	if (r == FR_OK)
		tlb_flush_local(f->addr);
	return r;
}

/* A private mapping is written through a read-only entry @e. */
static int cow_fault(struct fault *f, pte_t *entry, pte_t e)
{
	struct vma *v = f->vma;
	struct mm *mm = v->mm;
	spinlock_t *lock = pt_lock_of(entry);
	struct page *old = e.v & PTE_SPECIAL ? NULL : pte_frame(e), *head = old, *p;
	u64 bits = own_bits(v);
	int kind, r;

	if (unlikely(old && page_flag(old, PG_TAIL))) {
		if (f->fast)
			return FR_SLOW; /* without m it may become another page while we look for its head */
		head = old->head;
	}
	if (head && (r = reuse_page(f, entry, e, head)) != FR_RETRY)
		return r;
	if (unlikely(!READ_ONCE(v->anon)) && (f->fast || anon_group_attach(v)))
		return FR_OOM;
	if (!old && pte_pa(e) == page_to_phys(zero_page))
		p = alloc_vma_pages(f->gfp | GFP_ZERO, 0, v, f->addr);
	else
		p = alloc_vma_pages(f->gfp, 0, v, f->addr);
	if (unlikely(!p))
		return FR_OOM;
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, f->addr);
	p->private = 0;
	r = FR_OK;
	if (unlikely(!fault_lock(f, lock))) {
		r = FR_BUSY;
		goto undo;
	}
	if (unlikely(pte_read(entry).v != e.v || (old && page_head(old) != head))) {
		spin_unlock(lock);
		goto undo;
	}
	if (old)
		copy_page(page_address(p), page_address(old));
	else if (pte_pa(e) != page_to_phys(zero_page))
		copy_page(page_address(p), phys_to_virt(pte_pa(e)));
	p->mapcount = 1;
	/* no CPU may read the old page after another wrote the new one: empty, flush, then the new entry */
	pte_set(entry, (pte_t){ 0 });
	tlb_flush_page(mm, f->addr);
	pte_set(entry, pte_make(page_to_phys(p), bits));
	spin_unlock(lock);
	kind = head ? page_rss(head) : -1;
	if (head) {
		page_unmap_one(head);
		page_put(head);
	}
	if (kind != RSS_ANON) {
		mm_add_rss(mm, RSS_ANON, 1);
		if (kind >= 0)
			mm_add_rss(mm, kind, -1);
	}
	return FR_OK;
undo:
	page_put(p);
	return r;
}

/* A shared mapping is written through a read-only entry. */
static int shared_wp_fault(struct fault *f, pte_t *entry, pte_t e)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(entry);
	struct page *p = NULL;
	int r;

	if (v->ops && v->ops->page_mkwrite && pte_has_page(e)) {
		spin_lock(lock);
		if (pte_read(entry).v != e.v) {
			spin_unlock(lock);
			return FR_OK;
		}
		p = page_head(pte_frame(e));
		page_get(p);
		spin_unlock(lock);
		f->page = p;
		r = v->ops->page_mkwrite(f);
		f->page = NULL;
		if (r) {
			page_put(p);
			return r;
		}
	}
	spin_lock(lock);
	if (pte_read(entry).v == e.v) {
		pte_set(entry, (pte_t){ e.v | PTE_W | PTE_WRITTEN | PTE_A });
		if (pte_has_page(e))
			page_set_flag(page_head(pte_frame(e)), PG_DIRTY);
	}
	spin_unlock(lock);
	tlb_flush_local(f->addr);
	if (p)
		page_put(p);
	return FR_OK;
}

static int present_fault(struct fault *f, pte_t *entry, pte_t e)
{
	if (f->flags & FAULT_WRITE && !pte_write(e)) {
		if (unlikely(e.v & PTE_UFFD_WP && f->vma->flags & VM_UFFD_WP))
			return uffd_fault(f, VM_UFFD_WP);
		if (f->vma->flags & VM_SHARED)
			return shared_wp_fault(f, entry, e);
		return cow_fault(f, entry, e);
	}
	/* nothing to do: a stale translation, or accessed/dirty to be noted by the walker */
	tlb_flush_local(f->addr);
	return FR_OK;
}

int handle_fault(struct fault *f)
{
	struct vma *v = f->vma;
	pmd_t *pmd, pe;
	pte_t *entry, e;
	int r;

	if (unlikely(v->flags & VM_HUGETLB))
		return hugetlb_fault(f);
	pmd = pt_pmd_alloc(v->mm, f->addr);
	if (unlikely(!pmd))
		return FR_OOM;
	f->pgoff = vma_index(v, f->addr);
	pe = pte_read(pmd);
	if (unlikely(pte_none(pe))) {
		if (huge_eligible(v, f->addr)) {
			r = f->flags & FAULT_WRITE ? huge_anon_fault(f, pmd, pe) : huge_zero_fault(f, pmd);
			if (r != FR_RETRY)
				return r;
		} else if (v->mapping && unlikely(v->mapping->runs) && (r = run_fault(f, pmd)) != FR_RETRY) {
			return r;
		}
		if (pt_table_alloc(v->mm, pmd))
			return FR_OOM;
		pe = pte_read(pmd);
	}
	if (unlikely(pmd_huge(pe))) {
		if (f->flags & FAULT_WRITE && !pte_write(pe))
			return huge_wp_fault(f, pmd, pe);
		tlb_flush_local(f->addr);
		return FR_OK;
	}
	if (unlikely(!pmd_has_table(pe)))
		return FR_OK; /* changing: the access faults again if it must */
	entry = table_of(pe) + pte_index(f->addr);
	e = pte_read(entry);
	if (likely(pte_none(e)))
		return vma_anonymous(v) ? anon_fault(f, entry) : file_fault(f, pmd);
	if (unlikely(!pte_mapped(e)))
		return pte_poisoned(e) ? FR_HWPOISON : uffd_marker_fault(f, entry, e);
	return present_fault(f, entry, e);
}

/* --- without mm->lock: vmalock.h --- */

static inline bool may_access(const struct vma *v, u32 flags)
{
	if (flags & FAULT_WRITE)
		return v->flags & VM_WRITE;
	if (unlikely(flags & FAULT_EXEC))
		return v->flags & VM_EXEC;
	return v->flags & (VM_READ | VM_WRITE | VM_EXEC);
}

/* Here no more than the entry's case is found out; each case takes the table's lock itself. => irqs off */
static int entry_fault_fast(struct fault *f, struct mm *mm)
{
	struct vma *v = f->vma;
	bool write = f->flags & FAULT_WRITE, shared = v->flags & VM_SHARED;
	const struct vma_ops *ops = v->ops;
	pmd_t *pmd = pt_pmd(mm, f->addr), pe;
	pte_t *entry, e;

	if (unlikely(!pmd))
		return FR_SLOW;
	pe = pte_read(pmd);
	if (unlikely(!pmd_has_table(pe)))
		return FR_SLOW;
	entry = table_of(pe) + pte_index(f->addr);
	e = pte_read(entry);
	if (likely(pte_none(e))) {
		if (likely(!ops))
			return anon_fault(f, entry);
		if (!ops->map_cached || !v->mapping || (write && (!shared || ops->page_mkwrite)))
			return FR_SLOW;
		f->pgoff = vma_index(v, f->addr);
		return filemap_map_around(f, table_of(pe));
	}
	if (unlikely(!pte_mapped(e)))
		return FR_SLOW;
	if (write && !pte_write(e))
		return shared ? FR_SLOW : cow_fault(f, entry, e);
	tlb_flush_local(f->addr);
	return FR_OK;
}

/* FR_OK, FR_BUSY: try again, anything else: with m. => irqs off */
static int fault_fast(struct fault *f, struct mm *mm)
{
	f->vma = vma_find_fast(mm, f->addr);
	if (unlikely(!f->vma || !vma_fast_begin(f, mm)))
		return FR_SLOW;
	if (unlikely(f->vma->flags & VM_NO_FAST || f->vma->policy || !may_access(f->vma, f->flags) || fail_nth_armed))
		return FR_SLOW;
	/* a private page needs the group, which needs m: known before anything else is done */
	if (unlikely(!READ_ONCE(f->vma->anon) && (f->flags & FAULT_WRITE) && !(f->vma->flags & VM_SHARED)))
		return FR_SLOW;
	f->answers = tlb_answers();
	return entry_fault_fast(f, mm);
}

#define FAST_TRIES 16

/* True when it is done. */
static bool try_fast(struct mm *mm, u64 addr, u32 flags)
{
	struct fault f = { .addr = addr & PAGE_MASK, .flags = flags, .fast = true, .gfp = GFP_MOVABLE | GFP_NOWARN };
	int r;

	for (int i = 0; i < FAST_TRIES; i++) {
		local_irq_disable();
		r = fault_fast(&f, mm);
		local_irq_enable(); /* whoever waits for this CPU is answered */
		if (likely(r == FR_OK)) {
			count_vm_event(VMA_LOCK_SUCCESS);
			return true;
		}
		if (r != FR_BUSY)
			break;
		count_vm_event(VMA_LOCK_RETRY);
		cpu_relax();
	}
	count_vm_event(VMA_LOCK_ABORT);
	return false;
}

/* --- stack growth --- */

int stack_expand(struct mm *mm, struct vma *v, u64 addr)
{
	struct vma *prev = vma_prev(v);
	u64 grow, size;

	addr &= PAGE_MASK;
	if (addr >= v->start)
		return 0;
	grow = (v->start - addr) >> PAGE_SHIFT;
	size = v->end - addr;
	if (addr < mm->mmap_min)
		return -EPERM;
	/* a neighbour that can be accessed keeps its distance; an inaccessible one is a guard the program made */
	if (prev && !(prev->flags & VM_GROWSDOWN) && prev->flags & (VM_READ | VM_WRITE | VM_EXEC) &&
	    addr < prev->end + STACK_GUARD_GAP)
		return -ENOMEM;
	if (prev && addr < prev->end)
		return -ENOMEM;
	if (size > mm->rlimit_stack || !mm_may_expand(mm, v->flags, grow))
		return -ENOMEM;
	if (v->flags & VM_LOCKED && !mlock_allowed(mm, grow))
		return -ENOMEM;
	if (v->pgoff < grow)
		return -ENOMEM;
	if (v->flags & VM_ACCOUNT && vm_charge(mm, grow))
		return -ENOMEM;
	vma_adjust(v, addr, v->end, v->pgoff - grow);
	vma_stat(mm, v->flags, grow);
	if (v->flags & VM_LOCKED)
		mm->locked_vm += grow;
	return 0;
}

/* The VMA of an address nobody maps yet: a stack that reaches down to it. Called and left with m held for reading. */
static struct vma *grow_to(struct mm *mm, u64 addr)
{
	struct vma *v = vma_find(mm, addr);

	if (!v || !(v->flags & VM_GROWSDOWN))
		return NULL;
	up_read(&mm->lock);
	down_write(&mm->lock);
	v = vma_find(mm, addr);
	if (v && v->start > addr && (!(v->flags & VM_GROWSDOWN) || stack_expand(mm, v, addr)))
		v = NULL;
	mm_end_write(mm);
	downgrade_write(&mm->lock);
	return v;
}

/* The fault under mm->lock. Apart: what it keeps on the stack would be prepared for every fault. */
static noinline int fault_slow(struct mm *mm, u64 addr, u32 fault_flags)
{
	struct fault f = { .addr = addr & PAGE_MASK, .real_addr = addr, .flags = fault_flags, .gfp = GFP_USER };
	int r = FR_SEGV_MAPERR;

	down_read(&mm->lock);
	f.vma = vma_at(mm, addr);
	if (unlikely(!f.vma) && !(f.vma = grow_to(mm, addr)))
		goto out;
	r = FR_SEGV_ACCERR;
	if (unlikely(!may_access(f.vma, fault_flags)))
		goto out;
	r = handle_fault(&f);
	if (unlikely(r == FR_UNLOCKED)) /* the access is tried again, unless it is a copy nobody will need */
		return !(fault_flags & FAULT_USER) && fatal_signal_pending_current() ? FR_SIGBUS : FR_RETRY;
out:
	up_read(&mm->lock);
	return r;
}

int mm_fault(struct mm *mm, u64 addr, u32 fault_flags, u64 user_sp)
{
	if (unlikely(addr >= TASK_SIZE_MAX))
		return FR_SEGV_MAPERR;
	if (likely(try_fast(mm, addr, fault_flags)))
		return FR_OK;
	return fault_slow(mm, addr, fault_flags);
}

/* Is the access done without a fault? */
static bool access_ready(struct vma *v, u64 addr, bool write)
{
	pmd_t *pmd = v->flags & VM_HUGETLB ? hugetlb_entry(v, addr) : pt_pmd(v->mm, addr), e;

	if (!pmd)
		return false;
	e = pte_read(pmd);
	if (pmd_has_table(e))
		e = pte_read(table_of(e) + pte_index(addr));
	return pte_present(e) && (!write || pte_write(e));
}

/* One page. *next is where to go on; 0 or -errno. => m read; -EAGAIN: m was released meanwhile, the page is to be tried again */
static int populate_page(struct mm *mm, u64 addr, u64 end, unsigned how, u64 *next)
{
	struct fault f = { .addr = addr, .real_addr = addr, .vma = vma_find(mm, addr), .gfp = GFP_USER };
	int r = FR_OK;

	*next = end;
	if (!f.vma || f.vma->start >= end)
		return 0;
	if (f.vma->start > addr)
		f.addr = f.real_addr = f.vma->start;
	*next = f.vma->end;
	if (how & POPULATE_LOCKED && (f.vma->flags & (VM_LOCKED | VM_LOCKONFAULT)) != VM_LOCKED)
		return 0;
	if (!(f.vma->flags & (VM_READ | VM_WRITE | VM_EXEC)) || f.vma->flags & (VM_IO | VM_PFNMAP))
		return -EFAULT;
	if (how & POPULATE_WRITE ||
	    (how & POPULATE_PRIVATE && (f.vma->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE))
		f.flags |= FAULT_WRITE;
	*next = (f.addr | (vma_page_size(f.vma) - 1)) + 1;
	/* a fault may need several rounds (a copy that lost a race) */
	for (int i = 0; i < 8 && r == FR_OK && !access_ready(f.vma, f.addr, f.flags & FAULT_WRITE); i++)
		r = handle_fault(&f);
	if (r == FR_UNLOCKED)
		*next = f.addr;
	return fault_to_errno(r);
}

int mm_populate(struct mm *mm, u64 start, u64 end, unsigned how)
{
	u64 next;

	for (u64 a = start; a < end; a = next) {
		int err;

		if (fatal_signal_pending_current())
			return -EINTR;
		down_read(&mm->lock);
		err = populate_page(mm, a, end, how, &next);
		if (unlikely(err == -EAGAIN))
			continue;
		up_read(&mm->lock);
		if (err && (err == -ENOMEM || !(how & POPULATE_BEST)))
			return err;
	}
	return 0;
}
