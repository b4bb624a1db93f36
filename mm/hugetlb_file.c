/*
 * hugetlb_file.c - promises of pool pages to indices of an object, and the files that hold pool pages. The pools are in hugetlb.c.
 */
#include <mm/hugetlb.h>
#include "vm.h"

/* --- promises --- */

bool huge_quota_charge(struct huge_quota *q, u64 n)
{
	if (!q)
		return true;
	if ((u64)__atomic_add_fetch(&q->used, n, __ATOMIC_RELAXED) <= q->max)
		return true;
	__atomic_fetch_sub(&q->used, n, __ATOMIC_RELAXED);
	return false;
}

void huge_quota_uncharge(struct huge_quota *q, u64 n)
{
	if (q)
		__atomic_fetch_sub(&q->used, n, __ATOMIC_RELAXED);
}

void huge_resv_init(struct huge_resv *r, struct hstate *h, struct huge_quota *quota)
{
	*r = (struct huge_resv){ .h = h, .quota = quota };
	mutex_init(&r->lock);
	xa_init(&r->set, &xa_slab_ops);
}

static bool has_page(struct mapping *m, u64 small_index)
{
	struct page *p = m ? mapping_find(m, small_index) : NULL;

	if (p)
		page_put(p);
	return p;
}

static bool wants_promise(struct huge_resv *r, u64 i, struct mapping *skip)
{
	return !xa_load(&r->set, i) && !has_page(skip, i << r->h->order);
}

/* Forgets the promises the call numbered @gen made. => r->lock */
static void undo_add(struct huge_resv *r, u64 first, u64 end, u64 gen)
{
	u64 i = first;
	void *e;

	for (; i < end && (e = xa_find(&r->set, &i, end - 1)); i++)
		if (xa_to_value(e) == gen)
			xa_erase(&r->set, i);
}

int huge_resv_add(struct huge_resv *r, u64 first, u64 end, struct mapping *skip)
{
	u64 need = 0, made = 0, i;
	int err = -ENOMEM;

	mutex_lock(&r->lock);
	for (i = first; i < end; i++)
		need += wants_promise(r, i, skip);
	if (!huge_quota_charge(r->quota, need))
		goto out;
	if (hugetlb_reserve(r->h, need)) {
		huge_quota_uncharge(r->quota, need);
		goto out;
	}
	r->gen++;
	err = 0;
	for (i = first; i < end && made < need && !err; i++) {
		/* a page may have come meanwhile, none can go: who drops pages waits for the lock */
		if (!wants_promise(r, i, skip))
			continue;
		err = xa_insert(&r->set, i, xa_mk_value(r->gen), GFP_KERNEL);
		made += !err;
	}
	if (err) {
		undo_add(r, first, end, r->gen);
		made = 0;
	}
	r->count += made;
	hugetlb_unreserve(r->h, need - made);
	huge_quota_uncharge(r->quota, need - made);
out:
	mutex_unlock(&r->lock);
	return err;
}

/*
 * A file's promise is being redeemed: its page is taken and on the way into the tree. The entry stays in the set, so that a mapping made
 * meanwhile asks for no other page, and counts no more.
 */
#define REDEEMED xa_mk_value(0)

static bool redeem_begin(struct huge_resv *r, u64 index)
{
	bool there;
	void *e;

	mutex_lock(&r->lock);
	e = xa_load(&r->set, index);
	there = e && e != REDEEMED;
	if (there) {
		xa_replace(&r->set, index, REDEEMED);
		r->count--;
	}
	mutex_unlock(&r->lock);
	return there;
}

/* The page is there, or will not come. A promise made where there was none before is given back. */
static void redeem_end(struct huge_resv *r, u64 index)
{
	void *e;

	mutex_lock(&r->lock);
	e = xa_erase(&r->set, index);
	if (e && e != REDEEMED)
		r->count--;
	mutex_unlock(&r->lock);
	if (e && e != REDEEMED) {
		hugetlb_unreserve(r->h, 1);
		huge_quota_uncharge(r->quota, 1);
	}
}

bool huge_resv_take(struct huge_resv *r, u64 index)
{
	bool there;

	mutex_lock(&r->lock);
	there = xa_load(&r->set, index);
	if (there) {
		xa_erase(&r->set, index);
		r->count--;
	}
	mutex_unlock(&r->lock);
	return there;
}

/* => r->lock */
static bool make_again(struct huge_resv *r, u64 index)
{
	void *e = xa_mk_value(++r->gen);

	if (xa_load(&r->set, index) == REDEEMED) {
		xa_replace(&r->set, index, e);
		return true;
	}
	return !xa_insert(&r->set, index, e, GFP_KERNEL);
}

void huge_resv_undo(struct huge_resv *r, u64 index, struct page *p, bool promised)
{
	mutex_lock(&r->lock);
	/* without memory for a number the promise is lost: as if it had never been made */
	if (promised && make_again(r, index)) {
		r->count++;
		hugetlb_give_back(r->h, p);
	} else {
		page_put(p);
		huge_quota_uncharge(r->quota, 1);
	}
	mutex_unlock(&r->lock);
}

void huge_resv_drop(struct huge_resv *r, u64 first, u64 end)
{
	u64 n = 0, i = first;

	mutex_lock(&r->lock);
	while (r->count && i < end && xa_find(&r->set, &i, end - 1)) {
		if (xa_erase(&r->set, i++) == REDEEMED)
			continue; /* it has its page */
		r->count--;
		n++;
	}
	mutex_unlock(&r->lock);
	hugetlb_unreserve(r->h, n);
	huge_quota_uncharge(r->quota, n);
}

/* --- files --- */

static void file_page_gone(struct mapping *m, struct page *p)
{
	huge_quota_uncharge(huge_file_of(m)->resv.quota, 1);
}

void huge_file_init(struct huge_file *hf, struct mapping *m, struct hstate *h, struct huge_quota *quota)
{
	hf->ops = (struct mapping_ops){ .free_page = file_page_gone };
	huge_resv_init(&hf->resv, h, quota);
	m->flags = MAPPING_HUGE;
	m->ops = &hf->ops;
}

void huge_file_drop(struct mapping *m, u64 first, u64 end)
{
	struct huge_file *hf = huge_file_of(m);
	struct hstate *h = hf->resv.h;

	end = min(end, 1ull << (63 - h->shift));
	mapping_punch(m, first << h->shift, end << h->shift);
	huge_resv_drop(&hf->resv, first, end);
}

struct page *huge_file_take(struct mapping *m, u64 index, bool *promised)
{
	struct huge_resv *r = &huge_file_of(m)->resv;
	struct page *p;

	*promised = redeem_begin(r, index);
	if (!*promised && !huge_quota_charge(r->quota, 1))
		return NULL;
	p = hugetlb_take(r->h, *promised);
	if (!p) {
		if (*promised)
			redeem_end(r, index);
		huge_quota_uncharge(r->quota, 1);
	}
	return p;
}

int huge_file_add(struct mapping *m, u64 index, struct page *p)
{
	struct huge_resv *r = &huge_file_of(m)->resv;
	int err;

	page_set_flag(p, PG_UPTODATE);
	page_set_flag(p, PG_DIRTY); /* there is nowhere to write it to */
	err = mapping_insert(m, index << r->h->order, p);
	if (err) {
		redeem_end(r, index);
		huge_quota_uncharge(r->quota, 1);
		page_put(p);
		return err;
	}
	redeem_end(r, index);
	return 0;
}

struct page *huge_file_get(struct mapping *m, u64 index, int *err)
{
	struct hstate *h = huge_file_of(m)->resv.h;
	struct page *p = mapping_find(m, index << h->order);
	bool promised;

	if (unlikely(p && page_flag(p, PG_HWPOISON))) {
		page_put(p);
		*err = -EHWPOISON;
		return NULL;
	}
	if (p)
		return p;
	*err = -ENOSPC;
	p = huge_file_take(m, index, &promised);
	if (!p)
		return NULL;
	clear_pages(page_address(p), hstate_pages(h));
	*err = huge_file_add(m, index, p);
	if (*err)
		return *err == -EEXIST ? mapping_find(m, index << h->order) : NULL;
	return p;
}
