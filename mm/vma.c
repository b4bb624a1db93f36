/*
 * Single VMAs: creation, splitting, merging and their places in the three structures that know them (tree, reverse map
 * of the file, anonymous group).
 *
 * Life cycle: vma_new or vma_dup (private to the caller) -> vma_link (visible to faults and to reverse-map walks) ->
 * vma_adjust as neighbours are unmapped or merged -> out of the tree -> entries zapped -> vma_unlink_rmap (waits for
 * walkers) -> page tables freed -> vma_free.
 *
 * A walk of the reverse map computes addresses from start and pgoff under the lock of its structure only. So whoever moves
 * an end of a linked VMA holds, besides mm->lock for writing, those locks: vma_adjust.
 */
#include <lib/string.h>
#include <mm/mempolicy.h>
#include "vm.h"

static struct kmem_cache *vma_cache;

static void vma_ctor(void *p)
{
	memset(p, 0, sizeof(struct vma));
}

/* Type-stable for faults that come without mm->lock: vmalock.h. */
void vma_init_cache(void)
{
	vma_cache = kmem_cache_create("vm_area_struct", sizeof(struct vma), 64, SLAB_PANIC | SLAB_RCU, vma_ctor);
}

#define VMA_HEAD offsetof(struct vma, start)
#define VMA_REST (sizeof(struct vma) - VMA_HEAD)

/* The memory is about to become a VMA of @mm, locked: until v->mm is set, last, nobody takes it for one. */
static inline void vma_begin(struct vma *v, struct mm *mm)
{
	v->gen++;
	v->wlock = mm->write_seq;
	barrier();
}

static inline void vma_begun(struct vma *v, struct mm *mm)
{
	barrier();
	WRITE_ONCE(v->mm, mm);
}

struct vma *vma_new(struct mm *mm, u64 start, u64 end, u64 flags, u64 pgoff)
{
	struct vma *v = kmem_cache_alloc(vma_cache, GFP_KERNEL);
	u8 *rest = (u8 *)v + VMA_HEAD;

	if (unlikely(!v))
		return NULL;
	vma_begin(v, mm);
	/* in two parts, which are stores; the whole would be a call */
	_Static_assert(VMA_REST > 128 && VMA_REST <= 256, "two parts");
	__builtin_memset(rest, 0, 128);
	__builtin_memset(rest + 128, 0, VMA_REST - 128);
	v->start = start;
	v->end = end;
	v->flags = flags;
	v->pgoff = pgoff;
	v->prot = vm_prot(flags);
	vma_begun(v, mm);
	return v;
}

void vma_free(struct vma *v)
{
	if (v->ops && v->ops->close)
		v->ops->close(v);
	if (v->anon)
		anon_group_leave(v);
	if (v->file)
		vma_file_put(v->file);
	if (unlikely(v->policy))
		kfree_rcu((struct mempolicy *)v->policy, rcu); /* a fault without m may still look at it */
	WRITE_ONCE(v->mm, NULL);
	kmem_cache_free(vma_cache, v);
}

struct vma *vma_dup(struct vma *v, struct mm *mm, u64 start)
{
	struct vma *n = kmem_cache_alloc(vma_cache, GFP_KERNEL);

	if (unlikely(!n))
		return NULL;
	vma_begin(n, mm);
	memcpy((u8 *)n + VMA_HEAD, (const u8 *)v + VMA_HEAD, VMA_REST);
	vma_begun(n, mm);
	n->anon = NULL;
	n->start = start;
	n->pgoff = vma_index(v, start);
	if (unlikely(v->policy)) {
		n->policy = kmemdup(v->policy, ksize(v->policy), GFP_KERNEL);
		if (!n->policy) {
			WRITE_ONCE(n->mm, NULL);
			kmem_cache_free(vma_cache, n);
			return NULL;
		}
	}
	if (v->anon)
		anon_group_join(n, v->anon);
	if (n->file)
		vma_file_get(n->file);
	if (n->ops && n->ops->open)
		n->ops->open(n);
	return n;
}

void vma_link(struct mm *mm, struct vma *v)
{
	vmatree_insert(mm, v);
	mm->last = v; /* the next fault is likely here */
	if (v->mapping)
		mapping_add_vma(v->mapping, v);
}

void vma_unlink_rmap(struct vma *v)
{
	if (v->mapping)
		mapping_del_vma(v->mapping, v);
	if (v->anon)
		anon_group_leave(v);
}

/* Keeps walkers of the reverse map out while ends of @v move; out of the interval tree, whose order they are. */
static inline void rmap_lock_write(struct vma *v)
{
	if (v->mapping) {
		down_write(&v->mapping->rmap_lock);
		mapping_vma_remove_locked(v->mapping, v);
	}
	if (v->anon)
		spin_lock(&v->anon->lock);
}

static inline void rmap_unlock_write(struct vma *v)
{
	if (v->anon)
		spin_unlock(&v->anon->lock);
	if (v->mapping) {
		mapping_vma_insert_locked(v->mapping, v);
		up_write(&v->mapping->rmap_lock);
	}
}

void vma_adjust(struct vma *v, u64 start, u64 end, u64 pgoff)
{
	vma_write_lock(v);
	rmap_lock_write(v);
	v->pgoff = pgoff;
	vmatree_resize(v->mm, v, start, end);
	rmap_unlock_write(v);
}

struct vma *vma_split(struct vma *v, u64 addr)
{
	struct mm *mm = v->mm;
	struct vma *n;
	int err;

	ASSERT(v->start < addr && addr < v->end);
	if (mm->nr_vmas >= max_map_count)
		return ERR_PTR(-ENOMEM);
	if (v->ops && v->ops->may_split && (err = v->ops->may_split(v, addr)))
		return ERR_PTR(err);
	if (huge_split_at(v, addr))
		return ERR_PTR(-ENOMEM);
	n = vma_dup(v, mm, addr);
	if (!n)
		return ERR_PTR(-ENOMEM);
	vma_write_lock(v);
	/* both cover the upper part for a moment: a walk of the reverse map must never find neither */
	if (n->mapping)
		mapping_add_vma(n->mapping, n);
	rmap_lock_write(v);
	vmatree_split(mm, v, n);
	rmap_unlock_write(v);
	return n;
}

struct vma *vma_isolate(struct vma *v, u64 start, u64 end)
{
	if (v->start < start) {
		v = vma_split(v, start);
		if (IS_ERR(v))
			return v;
	}
	if (end < v->end) {
		struct vma *rest = vma_split(v, end);

		if (IS_ERR(rest))
			return rest;
	}
	return v;
}

bool vma_can_follow(const struct vma *a, const struct vma *b)
{
	if (a->end != b->start || a->flags != b->flags || a->file != b->file || a->ops != b->ops)
		return false;
	if (a->pgoff + npages_of(a) != b->pgoff)
		return false;
	if (a->flags & (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB))
		return false;
	if (a->anon != b->anon && a->anon && b->anon)
		return false;
	if (a->ops && a->ops->close)
		return false;
	return a->uffd == b->uffd && a->special_name == b->special_name && (likely(!a->policy && !b->policy) || mpol_equal(a->policy, b->policy)) && a->private == b->private;
}

/* b, which follows a, is swallowed. */
static void merge_pair(struct vma *a, struct vma *b)
{
	vma_write_lock(a);
	vma_write_lock(b);
	if (!a->anon && b->anon)
		anon_group_join(a, b->anon); /* before b's pages become a's */
	rmap_lock_write(a);
	vmatree_join(a->mm, a, b);
	rmap_unlock_write(a);
	vma_unlink_rmap(b);
	vma_free(b);
}

struct vma *vma_try_merge(struct vma *v)
{
	struct vma *n = vma_prev(v);

	if (n && vma_can_follow(n, v)) {
		merge_pair(n, v);
		v = n;
	}
	n = vma_next(v);
	if (n && vma_can_follow(v, n))
		merge_pair(v, n);
	return v;
}

void vma_stat(struct mm *mm, u64 flags, s64 npages)
{
	mm->total_vm += npages;
	if ((flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC)
		mm->exec_vm += npages;
	else if (flags & VM_GROWSDOWN)
		mm->stack_vm += npages;
	else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		mm->data_vm += npages;
}

bool mm_may_expand(struct mm *mm, u64 flags, u64 npages)
{
	if (mm->total_vm + npages > mm->rlimit_as >> PAGE_SHIFT)
		return false;
	if ((flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE &&
	    mm->data_vm + npages > mm->rlimit_data >> PAGE_SHIFT)
		return false;
	return true;
}

bool vma_range_full(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = vma_find(mm, start);

	for (; v && v->start <= start; v = vma_next(v)) {
		if (v->end >= end)
			return true;
		start = v->end;
	}
	return false;
}
