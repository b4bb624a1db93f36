/*
 * Huge pages of shared memory, as they lie in the object.
 *
 * A run is an aligned range of 512 pages of a memory object whose frames are an aligned block of 2 MiB in the same order. Each
 * page is a page like any other: it is in the tree by itself, with its own references, mappings, pins and flags. What makes them a run is
 * PG_RUN, which all 512 have or none. One PMD entry can map a run (run_map.c); it stands for one reference and one mapping of each of the 512.
 *
 * So there is nothing to split: who reads, writes, pins, truncates or moves single pages need not know of runs. A page that leaves the tree,
 * or its frame, takes PG_RUN from its 511 neighbours, and that is all; the memory of a punched page is free at once. The
 * alternative, a compound page in the tree, has one count to raise where an entry is made, but needs every user of the cache to
 * know heads from parts, a split that can fail while somebody looks at the page, and a list of those that did. The price here is
 * 512 counts for each entry made or taken away, about two instructions a page fault of 4 KiB would have taken 200 for.
 *
 * Rules (checked by frames_check and mm_check):
 *	1. a page with PG_RUN is in the tree of a memory object, index and frame number have the same lower 9 bits, and so have all
 *	   of its block: same mapping, following indices, PG_RUN. PG_RUN changes under mapping->lock only; m->nr_runs counts.
 *	2. a PMD entry in a mapping of a file maps 512 pages that follow each other in frame and index.
 *	3. the number of runs is nr_shmem_hugepages, that of such entries nr_shmem_pmdmapped.
 *
 * A run is made whole: its pages are put into the tree with a count of zero, so that whoever finds one waits (a lookup takes a page whose
 * count is not zero, and looks again until it is); the counts are set when all are there. When a node of the tree cannot be had they are taken out again, and nobody saw
 * them. Small pages are used then, silently, as for every other reason not to have a huge one.
 *
 * Who wants runs is Linux's choice (Documentation/admin-guide/mm/transhuge.rst): the mount option huge= for a tmpfs, shmem_enabled for the kernel's own
 * mount (memfd, shared anonymous memory, System V segments), where deny and force overrule both. With "always" a run may reach past
 * the end of the file. That part is nobody's: it has never been written and cannot be mapped, so under pressure it is given back
 * (scan), run by run: every page of it that has no other reference than the tree's and was never written.
 */
#include <kernel/rcu.h>
#include <mm/mempolicy.h>
#include <mm/shrinker.h>
#include "run.h"

int shmem_enabled = SHMEM_HUGE_NEVER;

static DEFINE_SPINLOCK(run_list_lock);
static LIST_HEAD(run_list); /* (run_list_lock) mappings that had a run */

bool run_wanted(const struct mapping *m, u64 index, const struct vma *v)
{
	if (!run_possible(m))
		return false;
	if (v && (v->flags & VM_NOHUGEPAGE || v->mm->flags & MMF_NO_THP))
		return false;
	if (READ_ONCE(shmem_enabled) == SHMEM_HUGE_FORCE)
		return true;
	switch (READ_ONCE(*m->runs->huge)) {
	case SHMEM_HUGE_ALWAYS:
		return true;
	case SHMEM_HUGE_WITHIN_SIZE:
		if (run_base(index) + HPAGE_PAGES <= run_limit(m))
			return true;
		return v && v->flags & VM_HUGEPAGE;
	case SHMEM_HUGE_ADVISE:
		return v && v->flags & VM_HUGEPAGE;
	default:
		return false;
	}
}

/* --- making --- */

struct page *run_alloc(struct mapping *m, u64 base, const struct vma *v)
{
	struct page *p = alloc_mapping_pages(huge_gfp(v), HPAGE_ORDER, m, base);

	if (!p)
		return NULL;
	split_page(p, HPAGE_ORDER);
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		page_set_type(p + i, PT_FILE);
		p[i].flags |= 1ull << PG_SWAPBACKED | 1ull << PG_RUN;
		p[i].mapping = m;
		p[i].index = base + i;
		p[i].private = 0;
		*page_counts(p + i) = 0;
	}
	return p;
}

static void free_part(struct page *p)
{
	p->flags &= ~(1ull << PG_RUN | 1ull << PG_UPTODATE);
	p->mapping = NULL;
	__atomic_store_n(&p->refcount, 1, __ATOMIC_RELEASE);
	page_put(p);
}

void run_free_parts(struct page *first)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		free_part(first + i);
}

int run_insert_locked(struct mapping *m, u64 base, struct page *first, struct page *const *old)
{
	int err = 0;
	unsigned i;

	for (i = 0; i < HPAGE_PAGES; i++)
		if ((!old || !old[i]) && (err = xa_insert(&m->pages, base + i, first + i, GFP_ATOMIC)))
			break;
	if (likely(!err))
		return 0;
	while (i--)
		if (!old || !old[i])
			xa_erase(&m->pages, base + i);
	return err;
}

void run_publish_locked(struct mapping *m, struct page *first, u64 fresh)
{
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		__atomic_store_n(&first[i].refcount, 1, __ATOMIC_RELEASE);
	mapping_count_pages(m, (s64)fresh);
	run_mark_locked(m);
}

void run_mark_locked(struct mapping *m)
{
	if (!m->nr_runs++ && list_empty(&m->run_link)) {
		spin_lock(&run_list_lock);
		list_add_tail(&m->run_link, &run_list);
		spin_unlock(&run_list_lock);
	}
	mod_vm_state(NR_SHMEM_THPS, 1);
}

static bool occupied(struct mapping *m, u64 base)
{
	bool there;

	rcu_read_lock();
	there = xa_find(&m->pages, &base, base + HPAGE_PAGES - 1);
	rcu_read_unlock();
	return there;
}

int run_make(struct mapping *m, u64 index, const struct vma *v, bool data)
{
	u64 base = run_base(index);
	struct page *p;
	int err;

	if (likely(!run_wanted(m, index, v)))
		return -ENOENT;
	if (occupied(m, base))
		return -EEXIST;
	if (m->runs->room && (err = m->runs->room(m, HPAGE_PAGES))) {
		count_vm_event(THP_FILE_FALLBACK_CHARGE);
		return err;
	}
	p = run_alloc(m, base, v);
	if (!p) {
		count_vm_event(THP_FILE_FALLBACK);
		return -ENOMEM;
	}
	if (data) {
		clear_pages(page_address(p), HPAGE_PAGES);
		for (unsigned i = 0; i < HPAGE_PAGES; i++)
			p[i].flags |= 1ull << PG_UPTODATE;
	}
	spin_lock(&m->lock);
	err = occupied(m, base) ? -EEXIST : run_insert_locked(m, base, p, NULL);
	if (likely(!err))
		run_publish_locked(m, p, HPAGE_PAGES);
	spin_unlock(&m->lock);
	if (unlikely(err)) {
		run_free_parts(p);
		return err;
	}
	count_vm_event(THP_FILE_ALLOC);
	return 0;
}

/* --- breaking --- */

void run_break_locked(struct mapping *m, struct page *p)
{
	struct page *first = run_first(p);

	ASSERT(p->mapping == m && m->nr_runs);
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		page_clear_flag(first + i, PG_RUN);
	m->nr_runs--;
	mod_vm_state(NR_SHMEM_THPS, -1);
}

void run_break(struct page *p)
{
	struct mapping *m;

	rcu_read_lock(); /* a mapping goes a grace period after its pages left it */
	m = page_flag(p, PG_RUN) ? READ_ONCE(p->mapping) : NULL;
	if (m) {
		spin_lock(&m->lock);
		if (p->mapping == m && page_flag(p, PG_RUN))
			run_break_locked(m, p);
		spin_unlock(&m->lock);
	}
	rcu_read_unlock();
}

void run_forget(struct mapping *m)
{
	spin_lock(&run_list_lock);
	list_del_init(&m->run_link);
	spin_unlock(&run_list_lock);
}

/* --- giving back what lies behind the end of files --- */

/* Takes a page nobody has, wants or wrote out of everybody's reach. */
static bool freeze_unused(struct page *p)
{
	u64 want = 1;

	if (page_flag(p, PG_DIRTY) || !page_flag(p, PG_UPTODATE)) /* not up to date: fallocate wanted the room */
		return false;
	if (!__atomic_compare_exchange_n(page_counts(p), &want, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	if (likely(!page_flag(p, PG_DIRTY)))
		return true;
	__atomic_store_n(page_counts(p), 1, __ATOMIC_RELEASE);
	return false;
}

/* The run the end of the file lies in, from the end on. Pages freed. => m->lock */
static u64 trim_locked(struct mapping *m)
{
	u64 end = run_limit(m), base = run_base(end), freed = 0;
	struct page *first, *p;

	p = end == base ? NULL : xa_load(&m->pages, end);
	if (!p || xa_is_value(p) || !page_flag(p, PG_RUN))
		return 0;
	first = run_first(p);
	for (u64 i = end - base; i < HPAGE_PAGES; i++) {
		p = first + i;
		if (!freeze_unused(p))
			continue;
		if (!freed++)
			run_break_locked(m, p);
		xa_erase(&m->pages, base + i);
		free_part(p);
	}
	mapping_count_pages(m, -(s64)freed);
	return freed;
}

static u64 count_runs(void)
{
	return vm_state_sum(NR_SHMEM_THPS);
}

static u64 scan_runs(u64 n)
{
	struct mapping *m;
	u64 freed = 0;

	(void)n; /* one run of each object at most */
	spin_lock(&run_list_lock);
	list_for_each_entry(m, &run_list, run_link) {
		if (!m->nr_runs || !spin_trylock(&m->lock))
			continue;
		freed += trim_locked(m);
		spin_unlock(&m->lock);
	}
	spin_unlock(&run_list_lock);
	return freed;
}

static struct shrinker run_shrinker = { .name = "shmem runs", .count = count_runs, .scan = scan_runs };

void runs_init(void)
{
	shrinker_register(&run_shrinker);
}
