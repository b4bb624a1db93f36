/*
 * Page faults on user addresses: from the trap to mm_fault, and what becomes of the answer.
 *
 *	result		user mode			kernel mode (copy_to_user and the like)
 *	FR_OK		again				again
 *	MAPERR, ACCERR	SIGSEGV with the address	exception table: EFAULT
 *	SIGBUS		SIGBUS BUS_ADRERR		exception table
 *	HWPOISON	SIGBUS BUS_MCEERR_AR		exception table
 *	OOM		kill somebody, again		the same, then exception table
 */
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/vmstat.h>
#include <proc/oom.h>
#include <proc/task.h>

/* Error code of #PF, SDM vol. 3A 4.7 */
#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u
#define PF_PK 32u

/* si_pkey says which key forbade it; it lies where other codes have the lower bound. */
static void pkey_signal(struct pt_regs *regs, u64 addr)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGSEGV;
	info.si_code = SEGV_PKUERR;
	info.addr = addr;
	info.lower = mm_pkey_at(current->thread.mm, addr);
	regs->orig_rax = -1ull;
	force_signal_info(&info, current, false);
}

/* What was there is lost; si_addr_lsb says how much. */
static void poison_signal(struct pt_regs *regs, u64 addr)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = BUS_MCEERR_AR;
	info.addr = addr;
	info.addr_lsb = (s16)mm_page_shift(current->thread.mm, addr);
	regs->orig_rax = -1ull;
	force_signal_info(&info, current, false);
}

static void signal_fault(struct pt_regs *regs, u64 addr, int fr)
{
	switch (fr) {
	case FR_SIGBUS:
		trap_user_signal(regs, SIGBUS, BUS_ADRERR, addr);
		break;
	case FR_HWPOISON:
		poison_signal(regs, addr);
		break;
	case FR_SEGV_ACCERR:
		trap_user_signal(regs, SIGSEGV, SEGV_ACCERR, addr);
		break;
	case FR_SEGV_PKUERR:
		pkey_signal(regs, addr);
		break;
	default:
		trap_user_signal(regs, SIGSEGV, SEGV_MAPERR, addr);
		break;
	}
}

bool page_fault_user(struct pt_regs *regs, u64 addr, u64 error)
{
	struct task *t = current;
	struct mm *mm = t->thread.mm;
	u32 flags = 0;
	int r;

	if (error & PF_W)
		flags |= FAULT_WRITE;
	if (unlikely(error & PF_I))
		flags |= FAULT_EXEC;
	if (likely(user_mode(regs)))
		flags |= FAULT_USER;
	if (unlikely(!mm))
		return false; /* a kernel thread, or a task that gave its memory up */
	if (unlikely(error & PF_PK))
		r = FR_SEGV_PKUERR;
	else
		r = mm_fault(mm, addr, flags, regs->rsp);
	if (likely(r == FR_OK || r == FR_RETRY)) {
		t->min_flt++;
		count_vm_event(PGFAULT);
		return true;
	}
	if (r == FR_OOM) {
		oom_kill();
		if (!(flags & FAULT_USER))
			return false;
		return true;
	}
	if (!(flags & FAULT_USER))
		return false;
	signal_fault(regs, addr, r);
	return true;
}
