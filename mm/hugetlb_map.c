/*
 * hugetlb_map.c - mappings of pool pages: made, split, moved, gone, and with them their promises. Faults and walks are in hugetlb_vm.c.
 */
#include <mm/hugetlb.h>
#include "hugetlb_impl.h"

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
	struct huge_private *hp = hugetlb_private(v);

	if (!hp)
		return;
	huge_resv_drop(&hp->resv, huge_index(v, start), huge_index(v, start) + ((end - start) >> hp->resv.h->shift));
	huge_quota_uncharge(hp->quota, (end - start) >> hp->resv.h->shift);
}

void hugetlb_moved(struct vma *v)
{
	struct huge_private *hp = hugetlb_private(v);

	if (!hp)
		return;
	v->private = NULL;
	private_put(hp);
}

/* A part split off shares the promises; a child of fork has none. */
static void huge_vma_open(struct vma *v)
{
	struct huge_private *hp = hugetlb_private(v);

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
