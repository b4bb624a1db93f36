/*
 * KSM: which pages are looked at, and when.
 *
 * A thread goes round the mappings that have VM_MERGEABLE, pages_to_scan pages at a time, sleeping sleep_millisecs in between; it sleeps
 * for good while ksm_run is not 1 or nobody offers memory. Of each anonymous page it takes a hash of the bytes, under the lock of the table:
 *
 *	a merged page has this hash		the page becomes a mapping of that, if the bytes are equal
 *	the hash is not that of the last pass	it is noted; the page changes too often to be merged (volatile)
 *	a page seen before in this pass has it	the two become a new merged page
 *	otherwise				it is remembered for the rest of the pass (unshared)
 *
 * Nothing is trusted but the comparison of bytes in ksm_merge_at, when neither page can change. A hash that lies costs a merge, no more.
 *
 * What a pass remembers of pages (struct seen) names an address, not a page: whoever comes back looks at what is there then. It holds a count
 * of the address space, not a use: its memory goes when its process ends.
 *
 * Pages a device or system call uses, of memory registered with userfaultfd (which must see writes), of other kinds of mapping: never merged. A huge page is split
 * when one of its parts has found its like.
 *
 * Locks: ksm_mutex (passes, the tree of pages seen, changes of the policy) -> m for reading (a second one is only tried) -> table lock -> stable_lock.
 * list_lock guards the list of address spaces and the cursor; nothing is taken under it.
 */
#include <kernel/kthread.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/xarray.h>
#include "ksm_impl.h"

/* What is known about an address space; its memory belongs to mm->ksm. */
struct ksm_mm {
	struct list_head list; /* (list_lock) */
	struct mm *mm;
	struct xarray hashes; /* (ksm_mutex) by page number: the hash of the last pass */
	u64 at; /* (ksm_mutex) where to go on */
	u64 unmerged; /* (ksm_mutex) number of the last KSM_UNMERGE that was here */
};

struct seen {
	struct rb_node rb;
	u64 hash, addr;
	struct mm *mm; /* counted */
};

u64 ksm_run, ksm_pages_to_scan = 100, ksm_sleep_ms = 20, ksm_merge_across_nodes = 1, ksm_max_sharing = 256, ksm_use_zero_pages, ksm_prune_ms = 2000;
static u64 full_scans, nr_unshared, nr_volatile; /* of the last whole pass */
static u64 pass_unshared, pass_volatile; /* (ksm_mutex) of this one */
static u64 unmerge_round; /* (ksm_mutex) */
static DEFINE_MUTEX(ksm_mutex);
static DEFINE_SPINLOCK(list_lock);
static LIST_HEAD(offered); /* (list_lock) struct ksm_mm */
static struct ksm_mm *cursor; /* (list_lock) the next to be looked at; NULL: the pass is over */
static bool in_pass; /* (ksm_mutex) */
static struct rb_root seen_tree = RB_ROOT; /* (ksm_mutex) */
static DEFINE_WAIT_QUEUE(ksm_wait);

/* --- who offers memory --- */

#define NOT_MERGED (VM_SHARED | VM_MAYSHARE | VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_HUGETLB | VM_MIXEDMAP | VM_SECRET)

bool ksm_can_merge(u64 vmflags)
{
	return !(vmflags & NOT_MERGED);
}

int ksm_enter(struct mm *mm)
{
	struct ksm_mm *k;

	if (mm->ksm)
		return 0;
	k = kzalloc(sizeof(*k), GFP_KERNEL);
	if (!k)
		return -ENOMEM;
	k->mm = mm;
	xa_init(&k->hashes, &xa_slab_ops);
	mm->ksm = k;
	spin_lock(&list_lock);
	list_add_tail(&k->list, &offered);
	spin_unlock(&list_lock);
	ksm_wake();
	return 0;
}

/* => list_lock */
static void advance(struct ksm_mm *k)
{
	cursor = k->list.next == &offered ? NULL : list_entry(k->list.next, struct ksm_mm, list);
}

void ksm_exit(struct mm *mm)
{
	struct ksm_mm *k = mm->ksm;

	if (likely(!k))
		return;
	mm->ksm = NULL;
	spin_lock(&list_lock);
	if (cursor == k)
		advance(k);
	list_del(&k->list);
	spin_unlock(&list_lock);
	xa_destroy(&k->hashes);
	kfree(k);
}

/* --- pages seen in this pass. => ksm_mutex --- */

static struct seen *seen_find(u64 hash)
{
	struct rb_node *n = seen_tree.rb_node;

	while (n) {
		struct seen *s = rb_entry(n, struct seen, rb);

		if (s->hash == hash)
			return s;
		n = hash < s->hash ? n->rb_left : n->rb_right;
	}
	return NULL;
}

static void seen_forget(struct seen *s)
{
	rb_erase(&s->rb, &seen_tree);
	mm_drop(s->mm);
	kfree(s);
	pass_unshared--;
}

static void seen_forget_all(void)
{
	struct rb_node *n;

	while ((n = rb_first(&seen_tree)))
		seen_forget(rb_entry(n, struct seen, rb));
	pass_unshared = 0;
}

static void seen_add(struct mm *mm, u64 addr, u64 hash)
{
	struct rb_node **link = &seen_tree.rb_node, *parent = NULL;
	struct seen *s = kmalloc(sizeof(*s), GFP_KERNEL | GFP_NOWARN);

	if (!s)
		return; /* not this time */
	*s = (struct seen){ .hash = hash, .addr = addr, .mm = mm };
	mm_grab(mm);
	while (*link) {
		parent = *link;
		link = hash < rb_entry(parent, struct seen, rb)->hash ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&s->rb, parent, link);
	rb_insert_color(&s->rb, &seen_tree);
	pass_unshared++;
}

/* --- one page --- */

/* The mapping at @addr whose pages may be merged. => m */
static struct vma *offered_at(struct mm *mm, u64 addr)
{
	struct vma *v = vma_at(mm, addr);

	return v && v->flags & VM_MERGEABLE && ksm_can_merge(v->flags) && !v->uffd ? v : NULL;
}

enum { LOOK_NONE, LOOK_MERGED, LOOK_ANON };

/* What is at @addr, of an anonymous page the hash. *next: where to go on. => m read */
static int hash_at(struct mm *mm, u64 addr, u64 *hash, u64 *next)
{
	pmd_t *pmd = pt_pmd(mm, addr);
	int found = LOOK_NONE;
	bool huge;
	spinlock_t *lock;
	pte_t *entry, e;

	*next = addr + PAGE_SIZE;
	if (!pmd || pte_none(e = pte_read(pmd))) {
		*next = (addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1;
		return LOOK_NONE;
	}
	huge = pmd_huge(e);
	if (!huge && !pmd_has_table(e))
		return LOOK_NONE;
	entry = huge ? pmd : table_of(e) + pte_index(addr);
	lock = pt_lock_of(entry);
	spin_lock(lock);
	e = pte_read(entry);
	if (pte_has_page(e) && huge == pmd_huge(e)) {
		struct page *p = pte_frame(e) + (huge ? pte_index(addr) : 0);

		found = page_type(page_head(p)) == PT_KSM ? LOOK_MERGED : page_type(page_head(p)) == PT_ANON ? LOOK_ANON : LOOK_NONE;
		if (found == LOOK_ANON)
			*hash = ksm_hash_page(p);
	}
	spin_unlock(lock);
	return found;
}

/* => m read */
static int merge(struct vma *v, u64 addr, struct page *k, u64 fill)
{
	pmd_t *pmd = pt_pmd(v->mm, addr);

	if (pmd && pmd_huge(pte_read(pmd)) && huge_split_pmd(v, pmd, addr))
		return -EAGAIN;
	return ksm_merge_at(v, addr, k, fill);
}

/* The page seen before becomes a mapping of @k too. Where its m cannot be had it does so in the next pass. */
static void merge_seen(struct seen *s, struct mm *locked, struct page *k)
{
	struct mm *mm = s->mm;
	struct vma *v;

	if (mm == locked) {
		v = offered_at(mm, s->addr);
		if (v)
			(void)merge(v, s->addr, k, 0);
	} else if (mm_get_not_zero(mm)) {
		if (down_read_trylock(&mm->lock)) {
			v = offered_at(mm, s->addr);
			if (v)
				(void)merge(v, s->addr, k, 0);
			up_read(&mm->lock);
		}
		mm_put(mm);
	}
}

/* A page like this was seen in this pass: a merged page begins. => m read */
static void merge_pair(struct vma *v, u64 addr, u64 hash, struct seen *s)
{
	struct page *k = alloc_pages_node(NUMA_NO_NODE, GFP_KERNEL | GFP_NOWARN, 0);

	if (!k)
		return;
	k->mapcount = 0;
	k->private = 0;
	if (!merge(v, addr, k, hash)) {
		ksm_insert(k, hash);
		merge_seen(s, v->mm, k);
	}
	page_put(k);
	seen_forget(s);
}

/* True when it is a mapping of a merged page now. => m read */
static bool merge_known(struct vma *v, u64 addr, u64 hash)
{
	struct page *k;
	bool done;

	if (READ_ONCE(ksm_use_zero_pages) && hash == ksm_zero_hash && !merge(v, addr, zero_page, 0))
		return true;
	k = ksm_find(hash);
	if (!k)
		return false;
	done = !merge(v, addr, k, 0);
	page_put(k);
	return done;
}

static void look_at(struct ksm_mm *k, struct vma *v, u64 addr, u64 hash)
{
	u64 index = addr >> PAGE_SHIFT;
	void *last = xa_load(&k->hashes, index);
	struct seen *s;

	if (merge_known(v, addr, hash)) {
		if (last)
			xa_erase(&k->hashes, index);
		return;
	}
	if (!last || xa_to_value(last) != hash) {
		pass_volatile++;
		(void)xa_store(&k->hashes, index, xa_mk_value(hash), GFP_KERNEL | GFP_NOWARN);
		return;
	}
	s = seen_find(hash);
	if (!s)
		seen_add(v->mm, addr, hash);
	else if (s->mm != v->mm || s->addr != addr)
		merge_pair(v, addr, hash, s);
}

/* --- passes --- */

/* Up to *budget pages of one address space. True: its end was reached. => ksm_mutex, a use of the mm */
static bool scan_mm(struct ksm_mm *k, u64 *budget)
{
	struct mm *mm = k->mm;
	struct vma *v;
	u64 hash, next;

	down_read(&mm->lock);
	for (v = vma_find(mm, k->at); v && *budget; v = vma_next(v)) {
		k->at = max(k->at, v->start);
		if (!offered_at(mm, v->start)) {
			k->at = v->end;
			continue;
		}
		for (; k->at < v->end && *budget; k->at = next) {
			int what = hash_at(mm, k->at, &hash, &next);

			if (what == LOOK_ANON)
				look_at(k, v, k->at, hash);
			*budget -= what != LOOK_NONE;
		}
	}
	up_read(&mm->lock);
	if (v || !*budget)
		return false;
	k->at = 0;
	return true;
}

/* The next address space, with a use of it. NULL: the pass is over. */
static struct ksm_mm *next_offered(void)
{
	struct ksm_mm *k;

	spin_lock(&list_lock);
	if (!in_pass)
		cursor = list_first_entry_or_null(&offered, struct ksm_mm, list);
	in_pass = true;
	while ((k = cursor) && !mm_get_not_zero(k->mm))
		advance(k);
	spin_unlock(&list_lock);
	return k;
}

static void end_pass(void)
{
	in_pass = false;
	WRITE_ONCE(nr_unshared, pass_unshared);
	WRITE_ONCE(nr_volatile, pass_volatile);
	WRITE_ONCE(full_scans, full_scans + 1);
	seen_forget_all();
	pass_volatile = 0;
}

/* => ksm_mutex */
static void scan(u64 budget)
{
	while (budget) {
		struct ksm_mm *k = next_offered();
		struct mm *mm;

		if (!k) {
			end_pass();
			return;
		}
		mm = k->mm;
		if (scan_mm(k, &budget)) {
			spin_lock(&list_lock);
			advance(k);
			spin_unlock(&list_lock);
		}
		mm_put(mm);
	}
}

static bool has_work(void)
{
	return READ_ONCE(ksm_run) == KSM_RUN && !list_empty(&offered);
}

static int ksmd(void *arg)
{
	for (;;) {
		if (wait_event_interruptible(ksm_wait, has_work()))
			continue;
		mutex_lock(&ksm_mutex);
		if (ksm_run == KSM_RUN)
			scan(READ_ONCE(ksm_pages_to_scan));
		mutex_unlock(&ksm_mutex);
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_until(ktime_ns() + READ_ONCE(ksm_sleep_ms) * NSEC_PER_MSEC);
		set_current_state(TASK_RUNNING);
	}
	return 0;
}

void ksm_wake(void)
{
	wake_up_interruptible(&ksm_wait);
}

void ksm_start(void)
{
	ksm_pages_init();
	if (!kthread_run(ksmd, NULL, -1, "ksmd"))
		pr_warn("ksm: no memory for the thread, equal pages stay apart\n");
}

/* --- apart again --- */

static bool merged_at(struct mm *mm, u64 addr)
{
	pte_t *entry = pt_pte(mm, addr), e;

	if (!entry)
		return false;
	e = pte_read(entry);
	return pte_has_page(e) && page_type(pte_frame(e)) == PT_KSM;
}

int ksm_unmerge(struct vma *v, u64 start, u64 end)
{
	struct mm *mm = v->mm;

	for (u64 addr = start; addr < end; addr += PAGE_SIZE) {
		pmd_t *pmd = pt_pmd(mm, addr);

		if (!pmd || !pmd_has_table(pte_read(pmd))) {
			addr = ((addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1) - PAGE_SIZE;
			continue;
		}
		while (merged_at(mm, addr)) {
			struct fault f = { .vma = v, .addr = addr, .real_addr = addr, .flags = FAULT_WRITE | FAULT_REMOTE, .gfp = GFP_USER };
			int r = handle_fault(&f);

			if (r != FR_OK && r != FR_RETRY)
				return fault_to_errno(r);
			if (fatal_signal_pending_current())
				return -EINTR;
		}
	}
	return 0;
}

/* An address space this round of unmerging has not been to, with a use of it. => ksm_mutex */
static struct ksm_mm *next_merged(void)
{
	struct ksm_mm *k, *found = NULL;

	spin_lock(&list_lock);
	list_for_each_entry(k, &offered, list) {
		if (k->unmerged == unmerge_round)
			continue;
		k->unmerged = unmerge_round;
		if (mm_get_not_zero(k->mm)) {
			found = k;
			break;
		}
	}
	spin_unlock(&list_lock);
	return found;
}

/* => ksm_mutex */
static int unmerge_all(void)
{
	struct ksm_mm *k;
	int err = 0;

	unmerge_round++;
	while (!err && (k = next_merged())) {
		struct mm *mm = k->mm;
		struct vma *v;

		down_read(&mm->lock);
		for_each_vma(v, mm)
			if (!err && v->flags & VM_MERGEABLE)
				err = ksm_unmerge(v, v->start, v->end);
		up_read(&mm->lock);
		xa_destroy(&k->hashes);
		k->at = 0;
		mm_put(mm);
	}
	end_pass();
	full_scans--; /* that was none */
	nr_unshared = nr_volatile = 0;
	return err;
}

int ksm_set_run(u64 run)
{
	int err = 0;

	if (run > KSM_UNMERGE)
		return -EINVAL;
	mutex_lock(&ksm_mutex);
	if (run != ksm_run) {
		WRITE_ONCE(ksm_run, run);
		if (run == KSM_UNMERGE) {
			err = unmerge_all();
			if (err)
				WRITE_ONCE(ksm_run, KSM_STOP);
		}
	}
	mutex_unlock(&ksm_mutex);
	ksm_wake();
	return err;
}

int ksm_set_across(u64 across)
{
	int err = 0;

	if (across > 1)
		return -EINVAL;
	mutex_lock(&ksm_mutex);
	if (across != ksm_merge_across_nodes) {
		if (ksm_nr_pages()) {
			err = -EBUSY;
		} else {
			WRITE_ONCE(ksm_merge_across_nodes, across);
			ksm_zero_hash = ksm_hash_page(zero_page);
			seen_forget_all();
		}
	}
	mutex_unlock(&ksm_mutex);
	return err;
}

void ksm_stats_get(struct ksm_stats *s)
{
	*s = (struct ksm_stats){ .unshared = READ_ONCE(nr_unshared), .volatile_pages = READ_ONCE(nr_volatile), .full_scans = READ_ONCE(full_scans) };
	ksm_sum_pages(s);
}
