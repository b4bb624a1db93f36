/*
 * Page faults.
 *
 *	entry of the address		access		result
 *	----------------------------	--------------	-----------------------------------------------------------
 *	no VMA				any		stack grows, or MAPERR
 *	VMA without the right		any		ACCERR
 *	empty, anonymous		read		zero page, read-only
 *	empty, anonymous		write		huge page where one fits, else a zeroed page
 *	empty, file			read		page of the cache, and its cached neighbours (fault-around)
 *	empty, file shared		write		the same, writable and dirty (after page_mkwrite)
 *	empty, file private		write		copy of the cached page
 *	read-only, shared mapping	write		made writable (after page_mkwrite)
 *	read-only, private mapping	write		copy, unless nobody else has the page: then made writable
 *	allows the access		any		somebody else was faster, or our TLB was stale: drop the translation
 *
 * Nothing is decided on an entry read without the table's lock: the lock is taken once, with the page ready in hand,
 * and the entry compared. Only the page is allocated, tables aside, and never under the lock.
 */
#include <mm/uffd.h>
#include "vm.h"

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
	default:
		return -EFAULT;
	}
}

/* Installs the only mapping of a fresh anonymous page, if the entry is still @old. */
static bool install_anon(struct fault *f, pte_t *entry, pte_t old, struct page *p)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(entry);
	u64 bits = v->prot | PTE_WRITTEN;

	if (v->flags & VM_WRITE)
		bits |= PTE_W;
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, f->addr);
	p->mapcount = 1;
	p->private = 0;
	spin_lock(lock);
	if (unlikely(entry->v != old.v)) {
		spin_unlock(lock);
		p->mapcount = 0;
		page_put(p);
		return false;
	}
	pte_set(entry, pte_make(page_to_phys(p), bits));
	spin_unlock(lock);
	mm_add_rss(v->mm, RSS_ANON, 1);
	return true;
}

static int anon_fault(struct fault *f, pte_t *entry)
{
	struct vma *v = f->vma;
	struct page *p;

	if (unlikely(v->flags & VM_UFFD_MISSING))
		return uffd_fault(f, VM_UFFD_MISSING);
	if (!(f->flags & FAULT_WRITE)) {
		spinlock_t *lock = pt_lock_of(entry);

		spin_lock(lock);
		if (pte_none(*entry))
			pte_set(entry, pte_make(page_to_phys(zero_page), v->prot | PTE_SPECIAL));
		spin_unlock(lock);
		return FR_OK;
	}
	if (unlikely(anon_prepare(v)))
		return FR_OOM;
	p = alloc_page(GFP_USER | GFP_ZERO);
	if (unlikely(!p))
		return FR_OOM;
	install_anon(f, entry, (pte_t){ 0 }, p);
	return FR_OK;
}

/* A private mapping is written through a read-only entry @e. */
static int cow_fault(struct fault *f, pte_t *entry, pte_t e)
{
	struct vma *v = f->vma;
	spinlock_t *lock = pt_lock_of(entry);
	struct page *old = e.v & PTE_SPECIAL ? NULL : pte_frame(e), *head = old ? page_head(old) : NULL, *p;
	int kind;

	if (head && page_type(head) == PT_ANON && page_exclusive(head)) {
		spin_lock(lock);
		/* exclusive under the lock stays so: new references come through this entry only */
		if (pte_read(entry).v == e.v && page_exclusive(head)) {
			pte_set(entry, (pte_t){ e.v | PTE_WRITTEN | PTE_A | (v->flags & VM_WRITE ? PTE_W : 0) });
			spin_unlock(lock);
			tlb_flush_local(f->addr);
			return FR_OK;
		}
		spin_unlock(lock);
		return FR_OK; /* look again */
	}
	if (unlikely(anon_prepare(v)))
		return FR_OOM;
	if (!old && pte_pa(e) == page_to_phys(zero_page))
		p = alloc_page(GFP_USER | GFP_ZERO);
	else
		p = alloc_page(GFP_USER);
	if (unlikely(!p))
		return FR_OOM;
	spin_lock(lock);
	if (unlikely(pte_read(entry).v != e.v)) {
		spin_unlock(lock);
		page_put(p);
		return FR_OK;
	}
	if (old)
		copy_page(page_address(p), page_address(old));
	else if (pte_pa(e) != page_to_phys(zero_page))
		copy_page(page_address(p), phys_to_virt(pte_pa(e)));
	page_set_type(p, PT_ANON);
	p->anon = v->anon;
	p->index = vma_index(v, f->addr);
	p->mapcount = 1;
	p->private = 0;
	/* no CPU may read the old page after another wrote the new one: empty, flush, then the new entry */
	pte_set(entry, (pte_t){ 0 });
	tlb_flush_page(v->mm, f->addr);
	pte_set(entry, pte_make(page_to_phys(p), v->prot | PTE_WRITTEN | (v->flags & VM_WRITE ? PTE_W : 0)));
	spin_unlock(lock);
	kind = head ? page_rss(head) : -1;
	if (head) {
		page_unmap_one(head);
		page_put(head);
	}
	if (kind != RSS_ANON) {
		mm_add_rss(v->mm, RSS_ANON, 1);
		if (kind >= 0)
			mm_add_rss(v->mm, kind, -1);
	}
	return FR_OK;
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
		if (huge_eligible(v, f->addr) && f->flags & FAULT_WRITE) {
			r = huge_anon_fault(f, pmd);
			if (r != FR_RETRY)
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
		return FR_SIGBUS; /* a marker nobody knows */
	return present_fault(f, entry, e);
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
	downgrade_write(&mm->lock);
	return v;
}

static inline bool may_access(const struct vma *v, u32 flags)
{
	if (flags & FAULT_WRITE)
		return v->flags & VM_WRITE;
	if (unlikely(flags & FAULT_EXEC))
		return v->flags & VM_EXEC;
	return v->flags & (VM_READ | VM_WRITE | VM_EXEC);
}

int mm_fault(struct mm *mm, u64 addr, u32 fault_flags, u64 user_sp)
{
	struct fault f = { .addr = addr & PAGE_MASK, .real_addr = addr, .flags = fault_flags };
	int r = FR_SEGV_MAPERR;

	if (unlikely(addr >= TASK_SIZE_MAX))
		return FR_SEGV_MAPERR;
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
	struct fault f = { .addr = addr, .real_addr = addr, .vma = vma_find(mm, addr) };
	int r = FR_OK;

	*next = end;
	if (!f.vma || f.vma->start >= end)
		return 0;
	if (f.vma->start > addr)
		f.addr = f.real_addr = f.vma->start;
	*next = f.vma->end;
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
