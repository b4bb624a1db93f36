/* The machine half of a thread: what a context switch saves beyond the kernel stack. */
#ifndef X86_THREAD_H
#define X86_THREAD_H

#include <lib/types.h>
#include <x86/ptregs.h>

struct arch_thread {
	u64 ksp; /* kernel stack pointer while switched out */
	u64 kstack_top; /* top of the kernel stack: TSS.RSP0 and SYSCALL stack */
	u64 fsbase, gsbase; /* user bases while switched out (and always when !FSGSBASE) */
	void *fpu; /* save area, NULL for kernel threads */
	u32 pkru;
	u32 fpu_cpu; /* CPU that saved the area last */
	u64 debugreg[8];
	u64 trap_nr, error_code, fault_addr; /* of the last user trap, for signal frames */
};

#define KSTACK_SIZE 16384ull
#define KSTACK_PAGES 4

struct thread;
/* Switches kernel stacks; returns in the new thread with the thread that ran before. => irqs off */
struct thread *arch_switch_to(struct thread *prev, struct thread *next);
/* Machine state of a switch besides the stack: TSS.RSP0, FS/GS bases, FPU. Called by the scheduler before arch_switch_to. */
void arch_switch_state(struct thread *prev, struct thread *next);
/* Prepares a new thread's stack so that its first run calls fn(arg) (kernel thread) or returns to user with the given regs copy. */
void arch_thread_setup_kernel(struct thread *t, int (*fn)(void *), void *arg);
struct pt_regs *arch_thread_setup_user(struct thread *t, const struct pt_regs *regs); /* child's regs, rax not yet set; FS and GS bases are current's */
/* pt_regs of a user thread at the top of its kernel stack. */
static inline struct pt_regs *arch_user_regs(struct arch_thread *a)
{
	return (struct pt_regs *)a->kstack_top - 1;
}
/* exec: sets current's user entry registers (all others 0) and clears its FS and GS bases. */
void arch_start_user(struct pt_regs *regs, u64 ip, u64 sp);
/* Sigreturn or a tracer edited current's saved registers: the return to user mode reloads all of them. */
void arch_regs_edited(void);
/* arch_prctl and clone TLS */
void arch_set_fsbase(struct thread *t, u64 base);
void arch_set_gsbase(struct thread *t, u64 base);
u64 arch_get_fsbase(struct thread *t);
u64 arch_get_gsbase(struct thread *t);
void arch_allow_tsc(bool allow); /* RDTSC and RDTSCP of current in user mode; else they fault */

/* Doors of the entry code, implemented in kernel/proc:
 * called with irqs off before a return to user mode when thread flags are set; loops until none are. */
void exit_to_user_work(struct pt_regs *regs);
/* A user-mode trap becomes a signal. */
void trap_user_signal(struct pt_regs *regs, int sig, int code, u64 addr);
/* A page fault, implemented in mm's glue in kernel/proc: user fault or kernel access to user memory.
 * Returns true when resolved (retry), false when kernel mode must use the exception table. */
bool page_fault_user(struct pt_regs *regs, u64 addr, u64 error_code);

#endif
