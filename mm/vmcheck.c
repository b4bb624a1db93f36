/*
 * Checkers of the virtual level.
 *
 * mm_check, with the mm's lock held for writing (nobody faults in it):
 *	1. the VMA tree is in order and agrees with the list and the count;
 *	2. every entry that maps something lies in a VMA, and gives no right the VMA does not give;
 *	3. an anonymous page sits where its group and index say, a page-cache page belongs to the VMA's mapping;
 *	4. entries add up to the rss counters, table pages to pgtables_bytes, VMAs to total_vm;
 *	5. the page is not free, and has at least as many references as mappings.
 * rmap_check: for every mapped page, a walk of the reverse map finds as many entries as mapcount says. Other address spaces go on
 * running; a page whose mapcount moves meanwhile is looked at again.
 */
#include <kernel/time.h>
#include <kernel/wait.h>
#include <mm/check.h>
#include "vm.h"

struct walk {
	struct mm *mm;
	s64 rss[NR_RSS], huge;
	u64 tables, bad, runs;
	bool rmap; /* second pass: reverse map only */
	bool quiet; /* count, do not print */
};

#define COMPLAIN(w, ...)                                     \
	do {                                                 \
		if ((w)->bad++ < 20 && !(w)->quiet)          \
			pr_err("mm_check: " __VA_ARGS__);    \
	} while (0)

/* Looking again after a pause; see check_rmap and check_locked. */
#define SILENT_TRIES 10
#define RMAP_TRIES 200
#define PAUSE_NS (5 * NSEC_PER_MSEC)

static void pause_a_little(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_until(ktime_ns() + PAUSE_NS);
}

static void check_place(struct walk *w, struct vma *v, u64 addr, struct page *p, struct page *head)
{
	u64 index = head->index + (u64)(p - head);

	if (page_type(head) == PT_ANON) {
		if (head->anon != v->anon)
			COMPLAIN(w, "mm %p %#llx: page %#llx has group %p, vma has %p\n", w->mm, addr, page_to_pfn(p), head->anon,
				 v->anon);
		if (index != vma_index(v, addr))
			COMPLAIN(w, "mm %p %#llx: page %#llx has index %#llx, address says %#llx\n", w->mm, addr, page_to_pfn(p),
				 index, vma_index(v, addr));
	} else if (page_type(head) == PT_FILE) {
		if (head->mapping && (head->mapping != v->mapping || (!(v->flags & VM_HUGETLB) && index != vma_index(v, addr))))
			COMPLAIN(w, "mm %p %#llx: page %#llx is %#llx of mapping %p, address says %#llx of %p\n", w->mm, addr,
				 page_to_pfn(p), index, head->mapping, vma_index(v, addr), v->mapping);
	} else if (page_type(head) == PT_KSM) {
		if (v->flags & VM_SHARED || v->uffd)
			COMPLAIN(w, "mm %p %#llx: merged page %#llx, vma flags %#llx\n", w->mm, addr, page_to_pfn(p), v->flags);
	} else {
		COMPLAIN(w, "mm %p %#llx: maps page %#llx of type %d\n", w->mm, addr, page_to_pfn(p), page_type(head));
	}
}

struct count {
	u64 n;
};

static bool count_entry(struct rmap_walk *rw, struct vma *v, u64 addr, pte_t *entry, bool huge)
{
	((struct count *)rw->arg)->n++;
	return true;
}

static void check_rmap(struct walk *w, u64 addr, struct page *head)
{
	struct count c = { 0 };
	struct rmap_walk rw = { .fn = count_entry, .arg = &c };
	s32 before = 0;

	/*
	 * A fork raises mapcount just before it writes the entry, and holds no lock that the walk takes: one that was
	 * interrupted there (by the host, under emulation) makes a difference for a while. A real one stays.
	 */
	for (int i = 0; i < RMAP_TRIES; i++) {
		c.n = 0;
		before = READ_ONCE(head->mapcount);
		rmap_walk(head, &rw);
		if (c.n == (u64)before || (page_type(head) == PT_FILE && !head->mapping))
			return;
		if (i >= 5)
			pause_a_little();
	}
	if (before == READ_ONCE(head->mapcount))
		COMPLAIN(w, "mm %p %#llx: page %#llx has mapcount %d, reverse map finds %llu\n", w->mm, addr, page_to_pfn(head),
			 before, c.n);
}

static void check_page(struct walk *w, struct vma *v, u64 addr, struct page *p, struct page *head)
{
	if (w->rmap) {
		if (page_type(head) != PT_KSM) /* it has no reverse map */
			check_rmap(w, addr, head);
		return;
	}
	check_place(w, v, addr, p, head);
	if (READ_ONCE(head->mapcount) < 1 || READ_ONCE(head->refcount) < READ_ONCE(head->mapcount))
		COMPLAIN(w, "mm %p %#llx: page %#llx has refcount %d, mapcount %d\n", w->mm, addr, page_to_pfn(p), head->refcount,
			 head->mapcount);
}

/* A huge entry of shared memory maps 512 pages of its object, in order, each by itself in its counts (run.c). */
static void check_run(struct walk *w, struct vma *v, u64 addr, pmd_t e)
{
	struct page *first = pte_frame(e);

	if (!(v->flags & VM_MAYSHARE) || page_to_pfn(first) & (HPAGE_PAGES - 1) || vma_index(v, addr) & (HPAGE_PAGES - 1))
		COMPLAIN(w, "mm %p %#llx: huge entry %#llx, vma flags %#llx, index %#llx\n", w->mm, addr, e.v, v->flags,
			 vma_index(v, addr));
	for (unsigned i = 0; i < HPAGE_PAGES; i++) {
		if (page_flag(first + i, PG_TAIL) || page_flag(first + i, PG_HEAD) || page_type(first + i) != PT_FILE) {
			COMPLAIN(w, "mm %p %#llx: huge entry maps page %#llx with flags %#llx\n", w->mm, addr, page_to_pfn(first + i),
				 first[i].flags);
			return;
		}
		check_page(w, v, addr + i * PAGE_SIZE, first + i, first + i);
	}
	if (!w->rmap) {
		w->rss[page_rss(first)] += HPAGE_PAGES;
		w->runs++;
	}
}

static void check_entry(struct walk *w, u64 addr, pte_t e, u64 size)
{
	struct vma *v = vma_at(w->mm, addr);
	struct page *p, *head;

	if (!v || addr + size > v->end) {
		COMPLAIN(w, "mm %p %#llx: entry %#llx outside all vmas\n", w->mm, addr, e.v);
		return;
	}
	if (pte_marker(e) && (!(v->flags & VM_UFFD_WP) || vma_anonymous(v)))
		COMPLAIN(w, "mm %p %#llx: marker, vma flags %#llx\n", w->mm, addr, v->flags);
	if (!pte_mapped(e))
		return;
	if (pte_write(e) && !(v->flags & VM_WRITE))
		COMPLAIN(w, "mm %p %#llx: entry %#llx writable, vma flags %#llx\n", w->mm, addr, e.v, v->flags);
	if (cpu_has(nx) && pte_present(e) && !(e.v & PTE_NX) && !(v->flags & VM_EXEC))
		COMPLAIN(w, "mm %p %#llx: entry %#llx executable, vma flags %#llx\n", w->mm, addr, e.v, v->flags);
	if ((e.v >> PTE_PKEY_SHIFT & 15) != vma_pkey(v))
		COMPLAIN(w, "mm %p %#llx: entry %#llx has another protection key than vma flags %#llx\n", w->mm, addr, e.v, v->flags);
	if (pte_write(e) && e.v & PTE_UFFD_WP)
		COMPLAIN(w, "mm %p %#llx: entry %#llx writable under userfaultfd's protection\n", w->mm, addr, e.v);
	if (!(v->flags & VM_UFFD_WP) && e.v & PTE_UFFD_WP)
		COMPLAIN(w, "mm %p %#llx: entry %#llx protected, vma flags %#llx\n", w->mm, addr, e.v, v->flags);
	if (e.v & PTE_SPECIAL)
		return;
	p = pte_frame(e);
	head = page_head(p);
	if (pte_write(e) && page_type(head) == PT_KSM)
		COMPLAIN(w, "mm %p %#llx: entry %#llx of a merged page is writable\n", w->mm, addr, e.v);
	if (size == PMD_SIZE && !vma_anonymous(v) && !(v->flags & VM_HUGETLB)) {
		check_run(w, v, addr, e);
		return;
	}
	check_page(w, v, addr, p, head);
	if (w->rmap)
		return;
	if (page_flag(head, PG_HUGETLB) != !!(v->flags & VM_HUGETLB))
		COMPLAIN(w, "mm %p %#llx: page %#llx has flags %#llx, vma %#llx\n", w->mm, addr, page_to_pfn(p), head->flags, v->flags);
	if (v->flags & VM_HUGETLB)
		w->huge += size >> PAGE_SHIFT;
	else
		w->rss[page_rss(head)] += size >> PAGE_SHIFT;
}

static void walk_level(struct walk *w, pte_t *table, unsigned shift, u64 base, unsigned n)
{
	w->tables++;
	for (unsigned i = 0; i < n; i++) {
		u64 addr = base + ((u64)i << shift);
		pte_t e = pte_read(&table[i]);

		if (pte_none(e))
			continue;
		if (shift == PAGE_SHIFT || ((shift == PMD_SHIFT || shift == PUD_SHIFT) && (pmd_huge(e) || pte_marker(e))))
			check_entry(w, addr, e, 1ull << shift);
		else if (pmd_has_table(e))
			walk_level(w, table_of(e), shift - 9, addr, PTRS);
		else if (!pte_poisoned(e)) /* a page of a pool that failed */
			COMPLAIN(w, "mm %p %#llx: upper entry is %#llx\n", w->mm, addr, e.v);
	}
}

static void check_sums(struct walk *w)
{
	struct mm *mm = w->mm;
	u64 total = 0;
	struct vma *v;

	for_each_vma(v, mm)
		total += npages_of(v);
	if (total != mm->total_vm)
		COMPLAIN(w, "mm %p: total_vm is %llu, vmas have %llu pages\n", mm, mm->total_vm, total);
	for (int i = 0; i < NR_RSS; i++)
		if (w->rss[i] != (s64)mm_rss(mm, i))
			COMPLAIN(w, "mm %p: rss[%d] is %llu, tables have %lld\n", mm, i, mm_rss(mm, i), w->rss[i]);
	if (w->huge != READ_ONCE(mm->hugetlb_pages))
		COMPLAIN(w, "mm %p: hugetlb_pages is %lld, tables have %lld\n", mm, mm->hugetlb_pages, w->huge);
	if (w->tables * PAGE_SIZE != READ_ONCE(mm->pgtables_bytes))
		COMPLAIN(w, "mm %p: pgtables_bytes is %llu, found %llu tables\n", mm, mm->pgtables_bytes, w->tables);
}

/* The twin for user mode has the same user entries, but for the NX of the kernel's copy, and of the kernel the entry area only. */
static void check_twin(struct walk *w)
{
	struct mm *mm = w->mm;

	for (unsigned i = 0; i < PTRS / 2; i++)
		if ((mm->root[i].v ^ mm->user_root[i].v) & ~PTE_NX)
			COMPLAIN(w, "mm %p: root entry %u is %#llx, for user mode %#llx\n", mm, i, mm->root[i].v,
				 mm->user_root[i].v);
	w->bad += pti_check_root(mm->user_root);
}

static u64 check_once(struct mm *mm, bool rmap, bool quiet, u64 *runs)
{
	struct walk w = { .mm = mm, .rmap = rmap, .quiet = quiet };
	struct finding f;

	walk_level(&w, mm->root, mm->root == mm->pgd ? PGDIR_SHIFT : PGDIR5_SHIFT, 0, PTRS / 2);
	if (rmap)
		return w.bad;
	*runs = w.runs;
	if (vmatree_check(mm, &f))
		COMPLAIN(&w, "mm %p: vma tree: %p: %s is %#llx, should be %#llx\n", mm, f.at, f.what, f.is, f.should);
	check_sums(&w);
	if (mm->user_root)
		check_twin(&w);
	return w.bad;
}

/* No fault is in @mm any more, nor comes: vmalock.h. => m write */
static void keep_faults_out(struct mm *mm)
{
	struct vma *v;

	for_each_vma(v, mm)
		vma_write_lock(v);
	synchronize_rcu();
}

/*
 * Whoever comes by the reverse map changes entries without mm->lock, under the lock of their table: migration empties them for
 * the time of a copy, lazy freeing settles its counts afterwards. So what is found wrong is looked at again; what stays wrong is told.
 */
static u64 check_locked(struct mm *mm, bool rmap, u64 *runs)
{
	if (rmap)
		return check_once(mm, true, false, runs);
	for (int i = 0; i < SILENT_TRIES; i++) {
		if (!check_once(mm, false, true, runs))
			return 0;
		pause_a_little();
	}
	return check_once(mm, false, false, runs);
}

u64 mm_check(struct mm *mm)
{
	u64 bad, runs;

	down_write(&mm->lock);
	keep_faults_out(mm);
	bad = check_locked(mm, false, &runs);
	mm_up_write(mm);
	return bad;
}

/* Calls the check for every live mm; each is held by a user reference meanwhile, so it cannot go under us. */
static u64 for_all(bool rmap, u64 *runs)
{
	u64 bad = 0, here = 0;

	for (struct mm *mm = NULL; (mm = mm_next(mm, NULL));) {
		if (rmap)
			down_read(&mm->lock);
		else {
			down_write(&mm->lock);
			keep_faults_out(mm);
		}
		bad += check_locked(mm, rmap, &here);
		*runs += here;
		if (rmap)
			up_read(&mm->lock);
		else
			mm_up_write(mm);
	}
	return bad;
}

/*
 * Address spaces are looked at one after the other: a sum over all is right when nothing happens meanwhile, and is tried for that.
 * Nothing did when no entry was made and there are as many as before.
 */
u64 mm_check_all(void)
{
	u64 bad, runs, before, after, made;

	for (int i = 0; i < SILENT_TRIES; i++) {
		runs = 0;
		made = vm_event_sum(THP_FILE_MAPPED);
		before = vm_state_sum(NR_SHMEM_PMDS);
		bad = for_all(false, &runs);
		after = vm_state_sum(NR_SHMEM_PMDS);
		if (bad || runs == after)
			return bad;
		pause_a_little();
	}
	if (before != after || made != vm_event_sum(THP_FILE_MAPPED))
		return 0; /* never at rest */
	pr_err("mm_check: %llu huge entries of shared memory, counted are %llu\n", runs, after);
	return 1;
}

u64 rmap_check(void)
{
	u64 none;

	return for_all(true, &none);
}
