/* Mappings of pool pages: between hugetlb_vm.c (faults, walks), hugetlb_map.c (their life) and uffd_pool.c (filling). */
#ifndef MM_HUGETLB_IMPL_H
#define MM_HUGETLB_IMPL_H

#include <mm/hugetlb.h>
#include "vm.h"

#define HUGE_ROBBED ((void *)1) /* v->private of a child that lost a page */

/* Promises of one private mapping and how many VMAs it is in. */
struct huge_private {
	struct huge_resv resv;
	struct mm *mm; /* (I) the owner */
	struct huge_quota *quota; /* (I) charged for the whole range, used or not */
	s32 refs; /* (a) */
};

static inline struct huge_private *hugetlb_private(const struct vma *v)
{
	void *p = READ_ONCE(v->private);

	return v->flags & VM_MAYSHARE || p == HUGE_ROBBED ? NULL : p;
}

static inline u64 huge_index(const struct vma *v, u64 addr)
{
	return vma_index(v, addr) >> vma_hstate(v)->order;
}

static inline u64 hugetlb_own_bits(const struct vma *v)
{
	return v->prot | PTE_PS | PTE_D | (v->flags & VM_WRITE ? PTE_W : 0);
}

static inline void hugetlb_count_mapped(struct mm *mm, const struct hstate *h, int sign)
{
	__atomic_fetch_add(&mm->hugetlb_pages, sign * (s64)hstate_pages(h), __ATOMIC_RELAXED);
}

/* Of faults at this place. */
struct mutex *hugetlb_fault_mutex(const struct vma *v, u64 addr);
/* Identity of a page of a private mapping that has this one entry. */
void hugetlb_own_page(struct vma *v, struct page *p, u64 base);
/* Puts a page of the file into a vacant entry; its reference becomes the entry's. False: not vacant, or truncated. */
enum hugetlb_protect { PROTECT_NO, PROTECT_YES, PROTECT_AS_MARKED }; /* for userfaultfd */
bool hugetlb_map_cached(struct vma *v, pte_t *entry, u64 base, struct page *p, enum hugetlb_protect protect);
/* Bits for what comes to a vacant entry @old. */
static inline u64 hugetlb_bits_over(pte_t old, u64 bits, enum hugetlb_protect protect)
{
	bool wp = protect == PROTECT_YES || (protect == PROTECT_AS_MARKED && pte_marker(old));

	return unlikely(wp) ? (bits & ~PTE_W) | PTE_UFFD_WP : bits;
}

#endif
