/*
 * Faults without mm->lock: the per-VMA lock, of which a fault writes nothing.
 *
 * A fast fault runs with interrupts off. It finds the VMA in the tree as it is, notes v->gen, sees that the VMA is this
 * mm's, covers the address and is not being changed (v->wlock != mm->write_seq), and copies what it needs of it. It
 * allocates its page, takes the table's pt_lock with a trylock, and only if v->gen is still what it was it changes the entry.
 * It writes the table page, its pt_lock, and per-CPU data: no line that a fault in another table touches.
 *
 * Writers (mm->lock held for writing) call vma_write_lock before they change anything about a VMA, or its entries in a way that
 * must not meet a fault. The VMA stays locked until they release mm->lock: one increment of mm->write_seq frees all of them.
 * Fast faults that find a VMA locked take mm->lock for reading and so wait.
 *
 * Rule W: after vma_write_lock(v) and before relying on, moving or freeing what a table holds of v, a writer takes that
 * table's pt_lock at least once. (All do it anyway: zap, change_rights, copy_table, collapse; mremap where it moves whole tables.)
 *
 * Proof. Let F be the fault's section under pt_lock and W a writer's section under the same lock after vma_write_lock.
 * F before W: the writer sees the entry, as if the fault had come before the call. W before F: the raised gen is seen in F, and F
 * changes nothing. What F uses was read after gen and before gen was compared, so it is what it was when v was not locked,
 * all of one time; F reads nothing of the VMA after the comparison, when a writer may have begun to change it.
 *
 * The VMA may be freed and reused while the fault looks at it: its cache is SLAB_RCU, with interrupts off no grace period ends, so it
 * is a VMA still. vma_free clears v->mm; vma_init_lock raises gen and locks before v->mm is set again. gen is never set
 * back, so an equal gen means the same VMA in the same state.
 *
 * The tree may be rotated under the walk: it may miss the VMA (then mm->lock is taken) or find one that left the tree, which
 * is locked until its memory is given back with v->mm cleared. The number of steps is bounded.
 *
 * The table may be freed: its owner empties the VMAs it served (gen raised), takes it out of its PMD entry and then asks
 * all CPUs that have the mm loaded to flush, lazy or not (tlb_gather_flush with tables). We answer with interrupts on only, or where a
 * spinning loop polls; f->answers, noted before the walk, tells that this CPU answered nobody since. So the pt_lock
 * is tried, never waited for, and tried only on a table that was not given back.
 *
 * A fast fault makes no tables and no huge pages: a walk that finds a missing table (PMD none) while m is held for writing may
 * pass over it. It handles what needs one page from this CPU's list: demand-zero, COW, file pages that are in the
 * cache. The rest is FR_SLOW.
 *
 * Who must find no fault at all in an address space (the checkers) locks all its VMAs and waits with synchronize_rcu.
 */
#ifndef MM_VMALOCK_H
#define MM_VMALOCK_H

#include "vm.h"

/* Faults in these are for the slow path. */
#define VM_NO_FAST (VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB | VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR | VM_SECRET)

#define FAST_TREE_STEPS 64

/* The VMA at @addr, or what a tree in motion gave. => irqs off; check it with vma_fast_begin */
static inline struct vma *vma_find_fast(struct mm *mm, u64 addr)
{
	struct vma *v = READ_ONCE(mm->last);
	struct rb_node *n;

	if (likely(v && READ_ONCE(v->start) <= addr && addr < READ_ONCE(v->end)))
		return v;
	n = READ_ONCE(mm->vmas.rb_node);
	for (unsigned i = 0; n && i < FAST_TREE_STEPS; i++) {
		v = rb_entry(n, struct vma, rb);
		if (addr >= READ_ONCE(v->end))
			n = READ_ONCE(n->rb_right);
		else if (addr < READ_ONCE(v->start))
			n = READ_ONCE(n->rb_left);
		else
			return v;
	}
	return NULL;
}

/* False: not this VMA, or it is being changed. f->vma may be read from here to fault_lock. => irqs off */
static inline bool vma_fast_begin(struct fault *f, struct mm *mm)
{
	struct vma *v = f->vma;

	f->gen = __atomic_load_n(&v->gen, __ATOMIC_ACQUIRE);
	return READ_ONCE(v->mm) == mm && READ_ONCE(v->start) <= f->addr && f->addr < READ_ONCE(v->end) &&
	       READ_ONCE(v->wlock) != __atomic_load_n(&mm->write_seq, __ATOMIC_ACQUIRE);
}

/* Takes the table's lock for a change of an entry of f->vma. False (fast faults): try again, from the start. */
static inline bool fault_lock(const struct fault *f, spinlock_t *lock)
{
	if (!f->fast) {
		spin_lock(lock);
		return true;
	}
	if (unlikely(tlb_answers() != f->answers || !spin_trylock(lock)))
		return false;
	if (likely(__atomic_load_n(&f->vma->gen, __ATOMIC_ACQUIRE) == f->gen))
		return true;
	spin_unlock(lock);
	return false;
}

#endif
