/*
 * fork: a copy of an address space that shares every page.
 *
 * VMAs are copied in order, so each is appended. Entries are copied only where faults could not bring them back: anonymous pages
 * (and whatever else is in the same VMA). Shared and read-only file mappings start empty in the child and are refilled 16
 * pages a fault from the cache.
 *
 * A writable private entry becomes read-only in parent and child; refcount and mapcount rise by one locked addition. The parent's
 * translations are flushed once, before the child can run: until then the parent's other threads may write to pages that are
 * shared already, which the child, not yet running, sees as having happened before the fork.
 *
 * A pinned page (somebody does I/O into it on the parent's behalf) stays the parent's: the child gets a copy at once.
 */
#include <mm/ksm.h>
#include <mm/uffd.h>
#include "vm.h"

struct copy {
	struct mm *mm; /* child */
	struct vma *dst, *src;
	u64 cow; /* PTE_W when writable entries must lose it */
	s64 rss[NR_RSS];
	bool wrprotected;
	struct page *spare; /* for the copy of a pinned page */
};

/* A pinned page: the child's own copy. False: no page at hand. */
static bool copy_pinned(struct copy *c, pte_t *dst, pte_t e, u64 addr, struct page *p)
{
	struct page *n = c->spare;

	if (!n)
		return false;
	c->spare = NULL;
	copy_page(page_address(n), page_address(p));
	page_set_type(n, PT_ANON);
	n->anon = c->dst->anon;
	n->index = vma_index(c->dst, addr);
	n->mapcount = 1;
	n->private = 0;
	pte_set(dst, (pte_t){ page_to_phys(n) | (e.v & ~PTE_ADDR_MASK) });
	c->rss[RSS_ANON]++;
	return true;
}

/* Copies entries of one table. Returns where it stopped: short of @end when a spare page is needed. */
static u64 copy_table(struct copy *c, pte_t *dst, pte_t *src, u64 addr, u64 end)
{
	spinlock_t *lock = pt_lock_of(src);
	u64 cow = c->cow;

	spin_lock(lock); /* nobody knows the child's table yet but reverse-map walkers, who find it empty or complete enough */
	for (; addr < end; addr += PAGE_SIZE, src++, dst++) {
		pte_t e = pte_read(src);
		struct page *p;

		if (pte_none(e)) {
			u64 more = pte_none_after(src, (end - addr - 1) >> PAGE_SHIFT);

			addr += more << PAGE_SHIFT;
			src += more;
			dst += more;
			continue;
		}
		if (likely(pte_has_page(e))) {
			p = page_head(pte_frame(e));
			if (unlikely(p->private) && page_type(p) == PT_ANON) {
				if (!copy_pinned(c, dst, e, addr, pte_frame(e)))
					break;
				continue;
			}
			if (e.v & cow) {
				__atomic_fetch_and(&src->v, ~PTE_W, __ATOMIC_RELAXED);
				e.v &= ~PTE_W;
				c->wrprotected = true;
			}
			page_entry_add(p, 1);
			c->rss[page_rss(p)]++;
		} else if (!pte_mapped(e)) {
			if (!pte_poisoned(e))
				continue; /* other markers are not inherited */
		}
		pte_set(dst, e);
	}
	spin_unlock(lock);
	return addr;
}

static int copy_one_table(struct copy *c, pmd_t *dpmd, pmd_t se, u64 addr, u64 end)
{
	pte_t *d, *s = table_of(se);

	if (pte_none(pte_read(dpmd)) && pt_table_alloc(c->mm, dpmd))
		return -ENOMEM;
	d = table_of(pte_read(dpmd));
	while (addr < end) {
		addr = copy_table(c, d + pte_index(addr), s + pte_index(addr), addr, end);
		if (addr < end && !c->spare && !(c->spare = alloc_page(GFP_USER)))
			return -ENOMEM;
	}
	return 0;
}

static int copy_entries(struct copy *c)
{
	struct mm *from = c->src->mm;
	u64 addr = c->src->start, end = c->src->end, next;
	int err = 0;

	for (; addr < end && !err; addr = next) {
		pmd_t *spmd = pt_pmd(from, addr), *dpmd, se;

		next = min((addr | (PMD_SIZE - 1)) + 1, end);
		if (!spmd) {
			next = min((addr | (pt_hole_size(from, addr) - 1)) + 1, end);
			continue;
		}
		se = pte_settled(spmd);
		if (pte_none(se))
			continue;
		dpmd = pt_pmd_alloc(c->mm, addr);
		if (unlikely(!dpmd))
			return -ENOMEM;
		if (pmd_huge(se)) {
			err = huge_copy_pmd(c->mm, c->dst, c->src, addr, dpmd, spmd);
			c->wrprotected = true;
			if (err != -EAGAIN)
				continue;
			/* it had to be split */
			se = pte_read(spmd);
		}
		err = copy_one_table(c, dpmd, se, addr, next);
	}
	return err;
}

/* Must the child get entries, or can faults bring them back? */
static inline bool needs_copy(const struct vma *v)
{
	return v->anon || v->flags & VM_PFNMAP;
}

static int copy_vma(struct mm *mm, struct vma *v, bool *flush)
{
	struct copy c = { .mm = mm, .src = v, .cow = vm_private_write(v->flags) ? PTE_W : 0 };
	struct vma *n;
	int err = 0;

	if (v->flags & VM_ACCOUNT && vm_charge(mm, npages_of(v)))
		return -ENOMEM;
	vma_write_lock(v); /* what is written after a page was shared must not reach the child through another page */
	n = vma_dup(v, mm, v->start);
	if (!n) {
		if (v->flags & VM_ACCOUNT)
			vm_uncharge(npages_of(v));
		return -ENOMEM;
	}
	n->flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
	if (unlikely(n->uffd))
		err = uffd_fork(n, mm);
	if (n->flags & VM_WIPEONFORK && n->anon)
		anon_group_leave(n);
	vmatree_append(mm, n);
	if (n->mapping)
		mapping_add_vma(n->mapping, n);
	vma_stat(mm, n->flags, npages_of(n));
	if (!err && v->flags & VM_HUGETLB) {
		err = hugetlb_copy(n, v, flush);
	} else if (!err && !(v->flags & VM_WIPEONFORK) && needs_copy(v)) {
		c.dst = n;
		err = copy_entries(&c);
		if (c.spare)
			page_put(c.spare);
		for (int i = 0; i < NR_RSS; i++)
			if (c.rss[i])
				mm_add_rss(mm, i, c.rss[i]);
		*flush |= c.wrprotected;
	}
	if (unlikely(v->flags & VM_UFFD_WP) && !err)
		err = uffd_copy_marks(n, v);
	return err;
}

static void copy_fields(struct mm *to, const struct mm *from)
{
	to->mmap_base = from->mmap_base;
	to->mmap_bottomup = from->mmap_bottomup;
	to->mmap_min = from->mmap_min;
	to->start_code = from->start_code;
	to->end_code = from->end_code;
	to->start_data = from->start_data;
	to->end_data = from->end_data;
	to->start_brk = from->start_brk;
	to->brk = from->brk;
	to->start_stack = from->start_stack;
	to->arg_start = from->arg_start;
	to->arg_end = from->arg_end;
	to->env_start = from->env_start;
	to->env_end = from->env_end;
	for (unsigned i = 0; i < ARRAY_SIZE(to->auxv); i++)
		to->auxv[i] = from->auxv[i];
	to->rlimit_as = from->rlimit_as;
	to->rlimit_data = from->rlimit_data;
	to->rlimit_stack = from->rlimit_stack;
	to->rlimit_memlock = from->rlimit_memlock;
	to->may_lock_unlimited = from->may_lock_unlimited;
	to->flags = from->flags & ~MMF_OOM_VICTIM;
	to->personality_norandom = from->personality_norandom;
	to->vdso = from->vdso;
	to->membarrier_state = from->membarrier_state;
	to->pkey_map = from->pkey_map;
	to->pkey_exec_only = from->pkey_exec_only;
	to->dtor = from->dtor;
	if (from->exe_file)
		to->exe_file = vma_file_get(from->exe_file);
}

struct mm *mm_fork(struct mm *from)
{
	struct mm *mm = mm_alloc();
	bool flush = false;
	struct vma *v;
	int err = 0;

	if (unlikely(!mm))
		return ERR_PTR(-ENOMEM);
	down_write(&from->lock);
	copy_fields(mm, from);
	list_for_each_entry(v, &from->vma_list, list) {
		if (v->flags & VM_DONTCOPY)
			continue;
		err = copy_vma(mm, v, &flush);
		if (unlikely(err))
			break;
	}
	if (flush)
		tlb_flush_mm(from);
	mm_up_write(from);
	mm_end_write(mm); /* the child's VMAs were made locked */
	if (unlikely(from->ksm) && !err)
		err = ksm_enter(mm);
	if (unlikely(mm->uffd_pending))
		uffd_fork_done(mm, !err);
	if (unlikely(err)) {
		mm_put(mm);
		return ERR_PTR(err);
	}
	mm_publish(mm); /* it was copied without its lock: nobody knew it */
	return mm;
}
