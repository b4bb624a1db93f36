/*
 * Memory that failed by itself: from the machine check to the programs that have it.
 *
 * The frame is given up as by MADV_HWPOISON (mm/poison.c). The thread whose instruction would have used it gets SIGBUS with BUS_MCEERR_AR at
 * once; others when they touch it. A process that asked to be told early (prctl PR_MCE_KILL; or did not say, and
 * vm.memory_failure_early_kill is on) gets BUS_MCEERR_AO before that, with the address, and may give the page back.
 */
#include <kernel/rcu.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <proc/signal.h>
#include <proc/task.h>
#include <x86/mce.h>

u64 memory_failure_early_kill;

static void mce_signal(struct task *t, int code, u64 addr, unsigned shift)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = code;
	info.addr = addr;
	info.addr_lsb = (s16)shift;
	if (code == BUS_MCEERR_AR)
		force_signal_info(&info, t, false);
	else
		send_signal(SIGBUS, &info, t, false);
}

static void tell_one(struct task *t, u64 pfn)
{
	struct mm *mm = task_mm_get(t);
	u64 addr = mm ? mm_find_frame(mm, pfn) : 0;

	if (addr)
		mce_signal(t, BUS_MCEERR_AO, addr, mm_page_shift(mm, addr));
	if (mm)
		mm_put(mm);
}

/* Processes whose first thread wants to know now, but @not. */
static void tell_early(u64 pfn, const struct task *not)
{
	pid_t at = 1;

	for (;;) {
		struct task *t;

		rcu_read_lock();
		t = process_next(&at);
		if (t)
			task_get(t);
		rcu_read_unlock();
		if (!t)
			return;
		if (t != not && (t->flags & PF_MCE_PROCESS ? t->flags & PF_MCE_EARLY : memory_failure_early_kill))
			tell_one(t, pfn);
		task_put(t);
	}
}

void memory_failed(u64 phys)
{
	tell_early(phys >> PAGE_SHIFT, NULL);
	(void)memory_failure(phys >> PAGE_SHIFT); /* what cannot be given up is left, and said so */
}

void memory_failed_under(struct pt_regs *regs, u64 phys)
{
	struct task *t = current;
	u64 addr = mm_find_frame(t->thread.mm, phys >> PAGE_SHIFT);
	unsigned shift = addr ? mm_page_shift(t->thread.mm, addr) : PAGE_SHIFT;

	tell_early(phys >> PAGE_SHIFT, t);
	(void)memory_failure(phys >> PAGE_SHIFT); /* the signal comes either way: the instruction cannot be done */
	regs->orig_rax = -1ull;
	mce_signal(t, BUS_MCEERR_AR, addr, shift);
}
