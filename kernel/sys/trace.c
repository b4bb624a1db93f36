/*
 * System calls that somebody watches: the entry code comes here instead of calling the table when a thread flag of
 * TIF_ENTRY_MASK is set. Order as on Linux: the thread's own dispatcher, the tracer, then the seccomp filters, which see what the tracer made of the
 * call; after the call the tracer again, or the trap of a step.
 *
 * The saved registers are the truth: RAX is -ENOSYS before and the result after, ORIG_RAX the number; a number of -1 skips the
 * call and leaves RAX to whoever skipped it.
 */
#include <proc/ptrace.h>
#include <proc/seccomp.h>
#include <sys/syscall.h>
#include <uapi/errno.h>
#include <x86/ptrace.h>
#include <x86/uaccess.h>

long syscall_traced(struct pt_regs *regs);

static long call(const struct pt_regs *r)
{
	u32 nr = (u32)r->orig_rax;

	if (nr >= NR_SYSCALLS)
		return -ENOSYS;
	return syscall_table[nr](r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9);
}

/* False: the call is not made, RAX is final. */
static bool before(struct task *t, struct pt_regs *regs)
{
	if (thread_test_flag(&t->thread, TIF_SYSCALL_TRACE)) {
		bool skip = t->ptrace & PT_SYSEMU;

		t->syscall_watched = true;
		if (!ptrace_report_syscall(PTRACE_EVENTMSG_SYSCALL_ENTRY) || skip)
			return false;
	}
	if (thread_test_flag(&t->thread, TIF_SECCOMP) && !seccomp_allows(regs))
		return false;
	return (s32)regs->orig_rax != -1;
}

static void after(struct task *t)
{
	t->syscall_watched = false;
	if (thread_test_flag(&t->thread, TIF_SYSCALL_TRACE) && !(t->ptrace & PT_SYSEMU))
		ptrace_report_syscall(PTRACE_EVENTMSG_SYSCALL_EXIT);
	else if (arch_stepping())
		force_signal(SIGTRAP, TRAP_BRKPT, arch_user_regs(&t->thread.arch)->rip, t);
}

static void kill_with(struct task *t, int sig)
{
	siginfo_t info;

	siginfo_clear(&info);
	info.si_signo = sig;
	info.si_code = SI_KERNEL;
	force_signal_info(&info, t, true);
}

#define SELECTOR_ALLOW 0
#define SELECTOR_BLOCK 1

/*
 * PR_SET_SYSCALL_USER_DISPATCH (prctl(2)): calls from outside a range become SIGSYS while the program's selector byte says so.
 * The handler sees the registers as the program had them. True: the call is not made, and nobody else is told of it.
 */
static bool dispatched(struct task *t, struct pt_regs *regs)
{
	u8 state = SELECTOR_BLOCK;

	if (regs->rip - t->dispatch.start < t->dispatch.len)
		return false;
	if (t->dispatch.selector && get_user(state, t->dispatch.selector)) {
		kill_with(t, SIGSEGV);
		return true;
	}
	if (state == SELECTOR_ALLOW)
		return false;
	regs->rax = regs->orig_rax;
	if (state == SELECTOR_BLOCK)
		signal_sigsys(t, regs, SYS_USER_DISPATCH, 0, false);
	else
		kill_with(t, SIGSYS);
	return true;
}

long syscall_traced(struct pt_regs *regs)
{
	struct task *t = current;

	if (unlikely(thread_test_flag(&t->thread, TIF_DISPATCH)) && dispatched(t, regs)) {
		arch_regs_edited();
		return (long)regs->rax;
	}
	regs->rax = (u64)-ENOSYS;
	if (before(t, regs))
		regs->rax = (u64)call(regs);
	after(t);
	arch_regs_edited();
	return (long)regs->rax;
}
