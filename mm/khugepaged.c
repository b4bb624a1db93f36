/*
 * Background promotion: a kernel thread that looks for aligned 2 MiB ranges mapped by small pages and collapses them.
 *
 * Every sleep_ms it looks at up to pages_to_scan entries of each address space. A range is worth it when it may hold a huge page, no
 * page in it is pinned, at most max_shared are shared with others and at most max_none entries are empty: those become memory. Looking is done
 * with mm->lock held for reading; the collapse takes it for writing, for one range at a time, and checks everything again. When
 * no huge page is to be had (defrag says whether work is done for one) the round ends, and the next begins after alloc_sleep_ms.
 *
 * The walk holds a user reference of the address space it is at, so that its place in the list stays.
 */
#include <kernel/kthread.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include "run.h"

u64 khugepaged_pages_to_scan = 4096, khugepaged_sleep_ms = 10000, khugepaged_alloc_sleep_ms = 60000, khugepaged_defrag = 1;
u64 khugepaged_max_none = 511, khugepaged_max_shared = 256, khugepaged_max_swap = 64;
u64 khugepaged_full_scans, khugepaged_collapsed;
static struct thread *scanner; /* (I) after start */

static struct huge_limits limits(void)
{
	return (struct huge_limits){ READ_ONCE(khugepaged_max_none), READ_ONCE(khugepaged_max_shared), READ_ONCE(khugepaged_defrag) };
}

/* Only a hint: the table's lock is not held. */
static bool worth_it(const pte_t *table)
{
	struct huge_limits max = limits();
	unsigned present;

	return huge_look(table, &max, &present) && present;
}

static bool candidate(struct vma *v, u64 base, pmd_t e)
{
	struct huge_limits max = limits();

	if (!pmd_has_table(e))
		return false;
	return vma_anonymous(v) ? worth_it(table_of(e)) : run_worth_it(v, base, &max);
}

/* May the range hold a huge page, by what is known of the mapping? */
static bool eligible(struct vma *v, u64 base)
{
	return vma_anonymous(v) ? huge_eligible(v, base) : run_fits(v, base) && run_wanted(v->mapping, vma_index(v, base), v);
}

/* First candidate at or after *addr; *budget entries may be looked at. False: none in this mm, or the budget is spent. */
static bool find_candidate(struct mm *mm, u64 *addr, s64 *budget)
{
	struct vma *v;
	bool found = false;

	down_read(&mm->lock);
	for (v = vma_find(mm, *addr); v && !found && *budget > 0; v = vma_next(v)) {
		u64 base = (max(v->start, *addr) + PMD_SIZE - 1) & PMD_MASK;

		for (; base + PMD_SIZE <= v->end && *budget > 0 && eligible(v, base); base += PMD_SIZE) {
			pmd_t *pmd = pt_pmd(mm, base), e = { 0 };

			if (pmd)
				e = pte_read(pmd);
			*addr = base;
			*budget -= pmd_has_table(e) ? PTRS : 1;
			found = candidate(v, base, e);
			if (found)
				break;
			*addr += PMD_SIZE;
		}
	}
	up_read(&mm->lock);
	return found;
}

/* 0, or -ENOMEM: no huge page is to be had. */
static int collapse_at(struct mm *mm, u64 base)
{
	struct huge_limits max = limits();
	struct vma *v;
	int err = 0;

	down_write(&mm->lock);
	v = vma_at(mm, base);
	if (v && eligible(v, base)) {
		err = vma_anonymous(v) ? huge_collapse(v, base, &max) : run_collapse(v, base, &max);
		khugepaged_collapsed += !err;
	}
	mm_up_write(mm);
	return err == -ENOMEM ? err : 0;
}

/* Goes on where the last round's budget of this mm was spent. 0 or -ENOMEM. */
static int scan_mm(struct mm *mm, s64 budget)
{
	u64 addr = mm->thp_scan;
	int err = 0;

	while (!err && budget > 0 && find_candidate(mm, &addr, &budget)) {
		err = collapse_at(mm, addr);
		addr += PMD_SIZE;
	}
	mm->thp_scan = err || budget <= 0 ? addr : 0;
	return err;
}

static bool not_dying(const struct mm *mm)
{
	return !(READ_ONCE(mm->flags) & MMF_OOM_VICTIM);
}

static void pause_ms(u64 ms)
{
	set_current_state(TASK_INTERRUPTIBLE);
	schedule_until(ktime_ns() + ms * NSEC_PER_MSEC);
	set_current_state(TASK_RUNNING);
}

static int khugepaged(void *arg)
{
	int err = 0;

	for (;;) {
		struct mm *mm = NULL;

		pause_ms(err ? READ_ONCE(khugepaged_alloc_sleep_ms) : READ_ONCE(khugepaged_sleep_ms));
		err = 0;
		if (thp_enabled == THP_NEVER)
			continue;
		/* without memory for one there is none for the next: the rest of the round is skipped */
		while ((mm = mm_next(mm, not_dying)))
			if (!err && (err = scan_mm(mm, khugepaged_pages_to_scan)))
				count_vm_event(THP_COLLAPSE_FAILED);
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
