/*
 * The machine half of ptrace.
 *
 * Registers are those saved at the top of the tracee's kernel stack, in the order of struct user_regs_struct but for the last
 * six words, which are bases and segments. Whoever changes them sends the thread out by the long way (TIF_FULL_REGS), which
 * also forces what a program may not choose (segments, IF).
 *
 * Stepping is the trap flag. TIF_FORCED_TF says it is the tracer's and not the program's own, so that the program's flags are
 * shown without it and it is taken back; TIF_SINGLESTEP makes a system call end in a trap of its own, because SYSCALL clears
 * the flag and IRET's next trap would come one instruction late.
 *
 * Debug registers are loaded at a switch to a thread that has any (TIF_DEBUG). Only addresses of user space are taken, so that
 * kernel code is never stopped; a copy that touches a watched word does not report it.
 *
 * Vector state lies in the thread's save area while it is switched out. XSAVEOPT leaves parts in their initial state unwritten
 * and says so in XSTATE_BV (SDM vol. 1 13.9): readers get the initial values for those.
 */
#include <kernel/current.h>
#include <lib/string.h>
#include <sched/thread.h>
#include <uapi/errno.h>
#include <x86/cpu.h>
#include <x86/fpu.h>
#include <x86/machine.h>
#include <x86/ptrace.h>

#define RFLAGS_TF 0x100ull
#define RFLAGS_USER 0x54dd5ull /* CF PF AF ZF SF TF DF OF NT AC */
#define REG_WORDS 27
#define DEBUG_AT 848 /* offsetof(struct user, u_debugreg) */

enum { R_FLAGS = 18, R_FS_BASE = 21, R_GS_BASE, R_DS, R_ES, R_FS, R_GS, R_CS = 17, R_SS = 20 };

/* ---- general registers ---- */

static u64 get_reg(struct thread *t, u32 i)
{
	const u64 *regs = (const u64 *)arch_user_regs(&t->arch);

	switch (i) {
	case R_FS_BASE:
		return arch_get_fsbase(t);
	case R_GS_BASE:
		return arch_get_gsbase(t);
	case R_DS: case R_ES: case R_FS: case R_GS:
		return 0;
	case R_FLAGS:
		return thread_test_flag(t, TIF_FORCED_TF) ? regs[i] & ~RFLAGS_TF : regs[i];
	}
	return regs[i];
}

static int put_flags(struct thread *t, u64 v)
{
	struct pt_regs *regs = arch_user_regs(&t->arch);

	/* a trap flag the tracer writes is the program's from now on; the one of a step stays */
	if (v & RFLAGS_TF)
		thread_clear_flag(t, TIF_FORCED_TF);
	else if (thread_test_flag(t, TIF_FORCED_TF))
		v |= RFLAGS_TF;
	regs->rflags = (regs->rflags & ~RFLAGS_USER) | (v & RFLAGS_USER);
	return 0;
}

static bool selector_ok(u64 v)
{
	return !(v >> 16) && (!v || (v & 3) == 3);
}

static int put_reg(struct thread *t, u32 i, u64 v)
{
	u64 *regs = (u64 *)arch_user_regs(&t->arch);

	thread_set_flag(t, TIF_FULL_REGS);
	switch (i) {
	case R_FS_BASE:
	case R_GS_BASE:
		if (v >= TASK_SIZE_MAX)
			return -EIO;
		(i == R_FS_BASE ? arch_set_fsbase : arch_set_gsbase)(t, v);
		return 0;
	case R_CS: case R_SS: /* there is one of each for a program; exit_slow sees to it */
		return selector_ok(v) && v ? 0 : -EIO;
	case R_DS: case R_ES: case R_FS: case R_GS:
		return selector_ok(v) ? 0 : -EIO;
	case R_FLAGS:
		return put_flags(t, v);
	}
	regs[i] = v;
	return 0;
}

void arch_ptrace_get_regs(struct thread *t, u64 out[27])
{
	for (u32 i = 0; i < REG_WORDS; i++)
		out[i] = get_reg(t, i);
}

int arch_ptrace_set_regs(struct thread *t, const u64 *in, u64 n)
{
	int err = 0;

	for (u32 i = 0; i < n && !err; i++)
		err = put_reg(t, i, in[i]);
	return err;
}

/* ---- debug registers (SDM vol. 3B 17.2) ---- */

static u64 debug_get(struct thread *t, u32 n)
{
	return n < 4 || n == 6 || n == 7 ? t->arch.debugreg[n] : 0;
}

/* Enabled breakpoints have an address of user space and a length that fits kind and address. */
static bool dr7_ok(const struct thread *t, u64 v)
{
	if (v >> 32)
		return false;
	for (u32 i = 0; i < 4; i++) {
		u32 ctl = v >> (16 + 4 * i) & 15, kind = ctl & 3, len = ctl >> 2;
		u64 mask = len == 0 ? 0 : len == 1 ? 1 : len == 3 ? 3 : 7;

		if (!(v >> (2 * i) & 3))
			continue;
		if (kind == 2 || (kind == 0 && len) || t->arch.debugreg[i] & mask)
			return false;
	}
	return true;
}

static int debug_put(struct thread *t, u32 n, u64 v)
{
	if (n == 4 || n == 5)
		return -EIO;
	if (n < 4 && v >= TASK_SIZE_MAX)
		return -EINVAL;
	if (n == 7) {
		v &= ~0xfc00ull; /* reserved, and general detect */
		if (!dr7_ok(t, v))
			return -EINVAL;
		if (v & 0xff)
			thread_set_flag(t, TIF_DEBUG);
	}
	t->arch.debugreg[n] = v;
	return 0;
}

static void load_dr7(u64 v)
{
	asm volatile("mov %0, %%dr7" ::"r"(v | 0x400));
}

void arch_debug_switch(const struct thread *next)
{
	const u64 *d = next->arch.debugreg;

	if (!thread_test_flag(next, TIF_DEBUG)) {
		load_dr7(0);
		return;
	}
	asm volatile("mov %0, %%dr0" ::"r"(d[0]));
	asm volatile("mov %0, %%dr1" ::"r"(d[1]));
	asm volatile("mov %0, %%dr2" ::"r"(d[2]));
	asm volatile("mov %0, %%dr3" ::"r"(d[3]));
	load_dr7(d[7]);
}

void arch_debug_clear(void)
{
	struct thread *t = current_thread();

	memset(t->arch.debugreg, 0, sizeof(t->arch.debugreg));
	if (likely(!thread_test_flag(t, TIF_DEBUG)))
		return;
	u64 flags = local_irq_save();
	thread_clear_flag(t, TIF_DEBUG);
	load_dr7(0);
	local_irq_restore(flags);
}

/* ---- struct user, word by word ---- */

int arch_ptrace_peek(struct thread *t, u64 off, u64 *v)
{
	if (off & 7 || off >= USER_AREA_SIZE)
		return -EIO;
	*v = off < USER_REGS_SIZE ? get_reg(t, (u32)(off / 8)) :
	     off >= DEBUG_AT && off < DEBUG_AT + 64 ? debug_get(t, (u32)(off - DEBUG_AT) / 8) : 0;
	return 0;
}

int arch_ptrace_poke(struct thread *t, u64 off, u64 v)
{
	if (off & 7 || off >= USER_AREA_SIZE)
		return -EIO;
	if (off < USER_REGS_SIZE)
		return put_reg(t, (u32)(off / 8), v);
	return off >= DEBUG_AT && off < DEBUG_AT + 64 ? debug_put(t, (u32)(off - DEBUG_AT) / 8, v) : -EIO;
}

/* ---- stepping ---- */

void arch_ptrace_step(struct thread *t, bool on)
{
	struct pt_regs *regs = arch_user_regs(&t->arch);

	if (on) {
		thread_set_flag(t, TIF_SINGLESTEP);
		if (!(regs->rflags & RFLAGS_TF))
			thread_set_flag(t, TIF_FORCED_TF);
		regs->rflags |= RFLAGS_TF;
		thread_set_flag(t, TIF_FULL_REGS);
		return;
	}
	if (!thread_test_flag(t, TIF_SINGLESTEP) && !thread_test_flag(t, TIF_FORCED_TF))
		return;
	thread_clear_flag(t, TIF_SINGLESTEP);
	if (thread_test_flag(t, TIF_FORCED_TF)) {
		regs->rflags &= ~RFLAGS_TF;
		thread_clear_flag(t, TIF_FORCED_TF);
		thread_set_flag(t, TIF_FULL_REGS);
	}
}

bool arch_stepping(void)
{
	return unlikely(thread_test_flag(current_thread(), TIF_SINGLESTEP));
}
