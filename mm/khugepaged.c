/*
 * Background promotion: a kernel thread that looks for aligned 2 MiB ranges mapped by small pages and collapses them.
 *
 * Every scan_sleep_ms it looks at up to pages_to_scan entries, going round all address spaces. A range is worth it when it may hold a
 * huge page, no page in it is shared or pinned, and at most max_none entries are empty: those become memory. Looking is done
 * with mm->lock held for reading; the collapse takes it for writing, for one range at a time, and checks everything again.
 *
 * The walk holds a user reference of the address space it is at, so that its place in the list stays.
 */
#include <kernel/kthread.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include "vm.h"

u64 khugepaged_pages_to_scan = 4096, khugepaged_sleep_ms = 10000, khugepaged_max_none = 255;
u64 khugepaged_full_scans, khugepaged_collapsed;
static struct thread *scanner; /* (I) after start */

/* Does a table hold enough pages that are ours alone? Only a hint: the lock is not held. */
static bool worth_it(const pte_t *table)
{
	u64 none = 0;

	for (unsigned i = 0; i < PTRS; i++) {
		pte_t e = pte_read(&table[i]);
		struct page *p;

		if (!pte_present(e) || e.v & PTE_SPECIAL) {
			if (!pte_none(e) && !(e.v & PTE_SPECIAL))
				return false;
			if (++none > khugepaged_max_none)
				return false;
			continue;
		}
		p = pte_frame(e);
		if (page_flag(p, PG_HEAD) || page_flag(p, PG_TAIL) || page_type(p) != PT_ANON || !page_exclusive(p) || p->private)
			return false;
	}
	return true;
}

/* First candidate at or after *addr; *budget entries may be looked at. False: none in this mm, or the budget is spent. */
static bool find_candidate(struct mm *mm, u64 *addr, s64 *budget)
{
	struct vma *v;
	bool found = false;

	down_read(&mm->lock);
	for (v = vma_find(mm, *addr); v && !found && *budget > 0; v = vma_next(v)) {
		u64 base = (max(v->start, *addr) + PMD_SIZE - 1) & PMD_MASK;

		for (; base + PMD_SIZE <= v->end && *budget > 0 && huge_eligible(v, base); base += PMD_SIZE) {
			pmd_t *pmd = pt_pmd(mm, base), e = { 0 };

			if (pmd)
				e = pte_read(pmd);
			*addr = base;
			*budget -= pmd_has_table(e) ? PTRS : 1;
			found = pmd_has_table(e) && worth_it(table_of(e));
			if (found)
				break;
			*addr += PMD_SIZE;
		}
	}
	up_read(&mm->lock);
	return found;
}

static void collapse_at(struct mm *mm, u64 base)
{
	struct vma *v;

	down_write(&mm->lock);
	v = vma_at(mm, base);
	if (v && huge_eligible(v, base) && !huge_collapse(v, base))
		khugepaged_collapsed++;
	mm_up_write(mm);
}

/* Goes on where the last round's budget of this mm was spent. */
static void scan_mm(struct mm *mm, s64 budget)
{
	u64 addr = mm->thp_scan;

	while (budget > 0 && find_candidate(mm, &addr, &budget)) {
		collapse_at(mm, addr);
		addr += PMD_SIZE;
	}
	mm->thp_scan = budget > 0 ? 0 : addr;
}

/* The mm after @prev (NULL: the first), with a user reference; @prev's is dropped. NULL at the end of the list. */
static struct mm *next_mm(struct mm *prev)
{
	struct list_head *at;
	struct mm *found = NULL;

	spin_lock(&mm_list_lock);
	for (at = prev ? prev->mm_list.next : all_mms.next; at != &all_mms; at = at->next) {
		struct mm *mm = list_entry(at, struct mm, mm_list);

		if (mm->flags & MMF_OOM_VICTIM || !mm_get_not_zero(mm))
			continue;
		found = mm;
		break;
	}
	spin_unlock(&mm_list_lock);
	if (prev)
		mm_put(prev);
	return found;
}

static int khugepaged(void *arg)
{
	for (;;) {
		struct mm *mm = NULL;

		set_current_state(TASK_INTERRUPTIBLE);
		schedule_until(ktime_ns() + khugepaged_sleep_ms * NSEC_PER_MSEC);
		set_current_state(TASK_RUNNING);
		if (thp_enabled == THP_NEVER)
			continue;
		while ((mm = next_mm(mm)))
			scan_mm(mm, khugepaged_pages_to_scan);
		khugepaged_full_scans++;
	}
	return 0;
}

void khugepaged_wake(void)
{
	if (scanner)
		wake_up_process(scanner);
}

void khugepaged_start(void)
{
	scanner = kthread_run(khugepaged, NULL, -1, "khugepaged");
	if (!scanner)
		pr_warn("khugepaged: no memory for the thread, small pages stay small\n");
}
