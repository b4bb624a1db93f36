/*
 * The machine half of threads: their first stack frames, and what a switch moves besides the stack.
 *
 * A kernel stack from the top: the user's pt_regs (168 bytes), one word that keeps calls aligned, then
 * frames. A new thread's stack ends in what arch_switch_to pops, with a return to its first step.
 *
 * FS.base and GS.base are live in the registers while a user thread runs (with FSGSBASE user code
 * may change them at any time); GS.base is swapped away while in the kernel. Kernel threads have none
 * and leave the registers as they are: the next user thread loads its own. User code without FSGSBASE
 * can only set them through the kernel, and arch_thread is always right.
 */
#include <kernel/current.h>
#include <lib/string.h>
#include <sched/thread.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/fpu.h>
#include <x86/machine.h>
#include <x86/ptrace.h>
#include <x86/thread.h>

#define MSR_FS_BASE 0xc0000100
#define MSR_KERNEL_GS_BASE 0xc0000102
#define CR4_TSD (1ull << 2)

/* Door upward, kernel/proc. */
void do_exit(long code) __attribute__((noreturn));

extern char thread_start_kernel[], thread_start_user[];
void user_return_slow(void) __attribute__((noreturn));

static u64 read_user_gs(void)
{
	u64 v;

	asm volatile("swapgs\n\trdgsbase %0\n\tswapgs" : "=r"(v));
	return v;
}

static void write_user_gs(u64 v)
{
	asm volatile("swapgs\n\twrgsbase %0\n\tswapgs" ::"r"(v));
}

/* CR4.TSD as @t wants it. SDM vol. 3A 2.5: it binds user mode only. => irqs off */
static void load_tsd(struct thread *t)
{
	u64 cr4 = read_cr4() & ~CR4_TSD;

	write_cr4(t->flags & 1u << TIF_NOTSC ? cr4 | CR4_TSD : cr4);
}

void arch_allow_tsc(bool allow)
{
	struct thread *t = current_thread();
	u64 flags = local_irq_save();

	if (allow)
		thread_clear_flag(t, TIF_NOTSC);
	else
		thread_set_flag(t, TIF_NOTSC);
	load_tsd(t);
	local_irq_restore(flags);
}

/* What only few threads have. */
static void rare_switch(struct thread *prev, struct thread *next)
{
	if ((prev->flags | next->flags) & 1u << TIF_DEBUG)
		arch_debug_switch(next);
	if (next->flags & 1u << TIF_RSEQ)
		sched_rseq_switch(next);
	if ((prev->flags ^ next->flags) & 1u << TIF_NOTSC)
		load_tsd(next);
}

/* => irqs off */
void arch_switch_state(struct thread *prev, struct thread *next)
{
	bool direct = cpu_has(fsgsbase);

	if (prev->arch.fpu && direct) {
		asm volatile("rdfsbase %0" : "=r"(prev->arch.fsbase));
		prev->arch.gsbase = read_user_gs();
	}
	__pcp(cpu_tss.rsp0) = next->arch.kstack_top;
	if (next->arch.fpu) {
		if (direct) {
			asm volatile("wrfsbase %0" ::"r"(next->arch.fsbase));
			write_user_gs(next->arch.gsbase);
		} else {
			wrmsr(MSR_FS_BASE, next->arch.fsbase);
			wrmsr(MSR_KERNEL_GS_BASE, next->arch.gsbase);
		}
	}
	if (unlikely((prev->flags | next->flags) & TIF_SWITCH_MASK))
		rare_switch(prev, next);
	fpu_switch(prev, next);
}

/* The frame that arch_switch_to pops, below a pt_regs and its word. */
static void first_frame(struct thread *t, struct pt_regs *regs, void *start, u64 r12, u64 r13)
{
	u64 *sp = (u64 *)regs - 2 - 6;

	sp[0] = 0; /* r15, r14, r13, r12, rbx, rbp, return address */
	sp[1] = 0;
	sp[2] = r13;
	sp[3] = r12;
	sp[4] = 0;
	sp[5] = 0;
	sp[6] = (u64)start;
	sp[7] = 0;
	t->arch.ksp = (u64)sp;
}

static struct pt_regs *new_stack(struct thread *t)
{
	t->arch.kstack_top = (u64)t->kstack + KSTACK_SIZE;
	return arch_user_regs(&t->arch);
}

void arch_thread_setup_kernel(struct thread *t, int (*fn)(void *), void *arg)
{
	struct pt_regs *regs = new_stack(t);

	memset(regs, 0, sizeof(*regs));
	t->arch.fpu_cpu = ~0u;
	first_frame(t, regs, thread_start_kernel, (u64)fn, (u64)arg);
}

struct pt_regs *arch_thread_setup_user(struct thread *t, const struct pt_regs *from)
{
	struct pt_regs *regs = new_stack(t);

	*regs = *from;
	t->arch.fpu_cpu = ~0u; /* a CPU may remember an earlier thread at this address */
	t->arch.fsbase = arch_get_fsbase(current_thread());
	t->arch.gsbase = arch_get_gsbase(current_thread());
	first_frame(t, regs, thread_start_user, 0, 0);
	return regs;
}

void arch_first_run(struct thread *prev)
{
	schedule_tail(prev);
}

/* A kernel thread's function came back: a thread with an address space is a user program by now. */
void arch_kernel_thread_returned(long code)
{
	if (!current_thread()->mm)
		do_exit(code);
}

void arch_regs_edited(void)
{
	thread_set_flag(current_thread(), TIF_FULL_REGS);
}

void arch_start_user(struct pt_regs *regs, u64 ip, u64 sp)
{
	u64 nr = regs->orig_rax; /* a tracer sees execve return 0 */
	memset(regs, 0, sizeof(*regs));
	regs->rip = ip;
	regs->rsp = sp;
	regs->cs = USER_CS;
	regs->ss = USER_DS;
	regs->rflags = X86_EFLAGS_IF | 2;
	regs->orig_rax = nr;
	arch_set_fsbase(current_thread(), 0);
	arch_set_gsbase(current_thread(), 0);
	arch_regs_edited();
}

void arch_set_fsbase(struct thread *t, u64 base)
{
	u64 flags = local_irq_save();

	t->arch.fsbase = base;
	if (t == current_thread()) {
		if (cpu_has(fsgsbase))
			asm volatile("wrfsbase %0" ::"r"(base));
		else
			wrmsr(MSR_FS_BASE, base);
	}
	local_irq_restore(flags);
}

void arch_set_gsbase(struct thread *t, u64 base)
{
	u64 flags = local_irq_save();

	t->arch.gsbase = base;
	if (t == current_thread()) {
		if (cpu_has(fsgsbase))
			write_user_gs(base);
		else
			wrmsr(MSR_KERNEL_GS_BASE, base);
	}
	local_irq_restore(flags);
}

u64 arch_get_fsbase(struct thread *t)
{
	u64 v = t->arch.fsbase;

	if (t == current_thread() && cpu_has(fsgsbase))
		asm volatile("rdfsbase %0" : "=r"(v));
	return v;
}

u64 arch_get_gsbase(struct thread *t)
{
	u64 v = t->arch.gsbase;

	if (t == current_thread() && cpu_has(fsgsbase)) {
		u64 flags = local_irq_save();
		v = read_user_gs();
		local_irq_restore(flags);
	}
	return v;
}
