/*
 * Changing rights.
 *
 * The VMA gets its new flags first, then the entries that exist get its new bits. An entry of a private mapping becomes writable at
 * once when the page is ours alone; otherwise the first write faults. Translations that only gain rights need no flush: the
 * CPU drops a stale one when it faults on it. So a flush happens exactly when a present entry lost a right.
 */
#include "vm.h"

#define RIGHTS (PTE_P | PTE_W | PTE_U | PTE_NX | PTE_PROTNONE | 0xfull << PTE_PKEY_SHIFT)

/* New value of an entry under the VMA's rights. */
static inline pte_t entry_with_rights(const struct vma *v, pte_t e, struct page *head)
{
	u64 bits = v->prot & RIGHTS & ~PTE_W;

	if (v->flags & VM_SHARED) {
		/* writable only where the write was seen already, if the file wants to see it */
		if (v->prot & PTE_W || (v->flags & VM_WRITE && e.v & PTE_W))
			bits |= PTE_W;
	} else if (v->flags & VM_WRITE && head && page_type(head) == PT_ANON && page_exclusive(head)) {
		bits |= PTE_W;
	}
	if (unlikely(e.v & PTE_UFFD_WP))
		bits &= ~PTE_W;
	if (unlikely(v->flags & VM_SOFTTRACK)) {
		e.v = soft_dirty_kept(e.v);
		if (!(e.v & PTE_SOFT_DIRTY))
			bits &= ~PTE_W; /* its next write is to be seen */
	}
	return (pte_t){ (e.v & ~RIGHTS) | bits };
}

static inline bool lost_rights(u64 old, u64 new)
{
	if (!(old & PTE_P))
		return false;
	return (old & ~new & (PTE_P | PTE_W)) || (new & ~old & PTE_NX) || ((old ^ new) >> PTE_PKEY_SHIFT & 15);
}

/* Sets one entry, losing no accessed or dirty bit. True when a flush is needed. */
static bool change_entry(struct vma *v, pte_t *entry, pte_t e)
{
	struct page *head = pte_has_page(e) ? page_head(pte_frame(e)) : NULL;
	pte_t n;

	do {
		n = entry_with_rights(v, e, head);
		if (n.v == e.v)
			return false;
	} while (!pte_cmpxchg(entry, &e, n));
	return lost_rights(e.v, n.v);
}

static void change_table(struct vma *v, pte_t *entry, u64 addr, u64 end, struct tlb_gather *g)
{
	spinlock_t *lock = pt_lock_of(entry);
	u64 first = 0, last = 0;

	spin_lock(lock);
	for (; addr < end; addr += PAGE_SIZE, entry++) {
		pte_t e = pte_read(entry);

		if (!pte_mapped(e) || !change_entry(v, entry, e))
			continue;
		if (!last)
			first = addr;
		last = addr + PAGE_SIZE;
	}
	spin_unlock(lock);
	if (last)
		tlb_gather_range(g, first, last);
}

static void change_huge(struct vma *v, pmd_t *pmd, u64 addr, u64 size, struct tlb_gather *g)
{
	spinlock_t *lock = pt_lock_of(pmd);
	pmd_t e;

	spin_lock(lock);
	e = pte_read(pmd);
	if (pmd_huge(e) && change_entry(v, pmd, e))
		size == PMD_SIZE ? tlb_gather_huge(g, addr) : tlb_gather_range(g, addr, addr + size);
	spin_unlock(lock);
}

static void change_pool_pages(struct vma *v, u64 start, u64 end, struct tlb_gather *g)
{
	u64 size = vma_page_size(v);

	for (u64 a = start; a < end; a += size) {
		pte_t *entry = hugetlb_entry(v, a);

		if (entry)
			change_huge(v, entry, a, size, g);
	}
}

/* Applies v->prot to what is mapped in [start, end). */
static void change_rights(struct vma *v, u64 start, u64 end)
{
	struct tlb_gather g;
	u64 addr = start, next;

	tlb_gather_init(&g, v->mm, false);
	if (unlikely(v->flags & VM_HUGETLB)) {
		change_pool_pages(v, start, end, &g);
		addr = end;
	}
	for (; addr < end; addr = next) {
		pmd_t *pmd = pt_pmd(v->mm, addr), e;

		next = min((addr | (PMD_SIZE - 1)) + 1, end);
		if (!pmd) {
			next = min((addr | (PUD_SIZE - 1)) + 1, end);
			continue;
		}
		e = pte_settled(pmd);
		if (pmd_huge(e))
			change_huge(v, pmd, addr, PMD_SIZE, &g);
		else if (pmd_has_table(e))
			change_table(v, table_of(e) + pte_index(addr), addr, next, &g);
	}
	tlb_gather_flush(&g);
}

/* Charges what becomes private and writable. */
static int charge_for(struct mm *mm, const struct vma *v, u64 n, u64 *flags)
{
	if (!(*flags & VM_WRITE) || v->flags & VM_WRITE)
		return 0;
	if ((*flags & (VM_SHARED | VM_GROWSDOWN)) == 0 && mm->data_vm + n > mm->rlimit_data >> PAGE_SHIFT)
		return -ENOMEM;
	if (v->flags & (VM_ACCOUNT | VM_SHARED | VM_HUGETLB | VM_NORESERVE))
		return 0;
	if (vm_charge(mm, n))
		return -ENOMEM;
	*flags |= VM_ACCOUNT;
	return 0;
}

/* What is wanted, and where pages are to be made of it once the lock is released: locked memory that becomes writable. */
struct protect {
	u64 prot, grows;
	int pkey;
	u64 fill_from, fill_to;
};

static void note_fill(struct protect *p, u64 old, u64 new, u64 start, u64 end)
{
	if ((old & (VM_WRITE | VM_SHARED | VM_LOCKED | VM_LOCKONFAULT)) != VM_LOCKED || !(new & VM_WRITE))
		return;
	if (!p->fill_to)
		p->fill_from = start;
	p->fill_to = end;
}

/* One VMA's part of the range. *vp becomes the VMA that covers the end of it. */
static int protect_one(struct mm *mm, struct vma **vp, u64 start, u64 end, u64 flags)
{
	struct vma *v = *vp;
	u64 n = (end - start) >> PAGE_SHIFT, old = v->flags;
	int err;

	if (flags == old)
		return 0;
	err = charge_for(mm, v, n, &flags);
	if (err)
		return err;
	v = vma_isolate(v, start, end);
	if (IS_ERR(v)) {
		if (flags & ~old & VM_ACCOUNT)
			vm_uncharge(n);
		return PTR_ERR(v);
	}
	/* commit: no failure below */
	vma_stat(mm, v->flags, -(s64)n);
	vma_write_lock(v);
	v->flags = flags;
	vma_set_prot(v);
	vma_stat(mm, flags, n);
	change_rights(v, start, end);
	*vp = vma_try_merge(v);
	return 0;
}

/* The key a part of the range gets: the one asked for; an execute-only mapping has the key nobody may read with, and loses it
 * with its next rights. */
static u64 new_pkey(const struct vma *v, u64 prot, int pkey)
{
	u64 old = vma_pkey(v);

	if (!cpu_has(pku))
		return 0;
	if (pkey >= 0)
		return pkey;
	if (prot == PROT_EXEC) {
		u64 key = pkey_exec_only(v->mm);

		return key ?: old;
	}
	if ((v->flags & (VM_READ | VM_WRITE | VM_EXEC)) == VM_EXEC && (s64)old == v->mm->pkey_exec_only)
		return 0;
	return old;
}

static int protect_range(struct mm *mm, u64 start, u64 end, struct protect *p)
{
	struct vma *v = vma_find(mm, start);
	int err;

	if (!v)
		return -ENOMEM;
	if (p->grows & PROT_GROWSDOWN) {
		if (v->start >= end)
			return -ENOMEM;
		start = v->start;
		if (!(v->flags & VM_GROWSDOWN))
			return -EINVAL;
	} else {
		if (v->start > start)
			return -ENOMEM;
		if (p->grows & PROT_GROWSUP)
			return -EINVAL; /* no such mappings on this machine */
	}
	for (;;) {
		u64 next = min(v->end, end), old = v->flags, flags;

		flags = (old & ~(VM_READ | VM_WRITE | VM_EXEC)) | (p->prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
		if (cpu_has(pku))
			flags = (flags & ~(15ull << VM_PKEY_SHIFT)) | new_pkey(v, p->prot, p->pkey) << VM_PKEY_SHIFT;
		if (flags & ~(flags >> 4) & (VM_READ | VM_WRITE | VM_EXEC))
			return -EACCES;
		err = protect_one(mm, &v, start, next, flags);
		if (!err && unlikely(old & VM_LOCKED))
			note_fill(p, old, flags, start, next);
		if (err || next >= end)
			return err;
		start = next;
		if (v->end <= start)
			v = vma_next(v);
		if (!v || v->start > start)
			return -ENOMEM;
	}
}

int do_mprotect(struct mm *mm, u64 addr, u64 len, u64 prot, int pkey)
{
	u64 grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP), end;
	struct protect p = { .prot = prot & ~grows, .grows = grows, .pkey = pkey };
	int err;

	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || addr & ~PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	end = addr + PAGE_ALIGN(len);
	if (end <= addr)
		return -ENOMEM;
	if (p.prot & ~(u64)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	down_write(&mm->lock);
	err = pkey >= 0 && !pkey_allocated(mm, pkey) ? -EINVAL : protect_range(mm, addr, end, &p);
	mm_up_write(mm);
	if (unlikely(p.fill_to))
		mm_populate(mm, p.fill_from, p.fill_to, POPULATE_PRIVATE | POPULATE_BEST | POPULATE_LOCKED);
	return err;
}
