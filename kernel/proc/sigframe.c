/*
 * User signal frames: making one (signal_frame_setup) and returning from it (rt_sigreturn).
 *
 * The layout is Linux's struct rt_sigframe for x86-64, which libc, unwinders and debuggers know:
 *
 *   sp (old) - 128        red zone of the interrupted function (psABI 3.2.2)
 *   fpstate, 64-aligned   fpu_save_frame's area
 *   siginfo               128 bytes
 *   ucontext              flags, link, stack, registers, mask
 *   return address        <- rsp at the handler's entry; (rsp + 8) is a multiple of 16
 *
 * What comes back with rt_sigreturn is the user's and not trusted: only flag bits a program may set,
 * only user segments. A rip outside user space is kept for the handler of the SIGSEGV that exit_slow() sends, which sees where it
 * was to go.
 */
#include <lib/assert.h>
#include <lib/string.h>
#include <proc/impl.h>
#include <x86/fpu.h>
#include <x86/uaccess.h>

struct sigcontext {
	u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct ucontext {
	u64 flags, link;
	struct stack_t_user stack;
	struct sigcontext mc;
	sigset_t mask;
};
struct rt_sigframe {
	u64 pretcode;
	struct ucontext uc;
	siginfo_t info;
};
_Static_assert(sizeof(struct sigcontext) == 256, "ABI");
_Static_assert(sizeof(struct ucontext) == 304, "ABI");
_Static_assert(sizeof(struct rt_sigframe) == 440, "ABI");

#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define RED_ZONE 128
#define RFLAGS_USER 0x50dd5ull /* CF PF AF ZF SF TF DF OF RF AC */
#define RFLAGS_TF 0x100ull
#define RFLAGS_DF 0x400ull

u64 signal_frame_max(void)
{
	return ALIGN(sizeof(struct rt_sigframe) + fpu_frame_size() + 63 + 16, 16);
}

/* ---- alternate stack ---- */

static bool on_altstack(const struct task *t, u64 sp)
{
	/* AUTODISARM: disarmed while it is used, so being on it does not count */
	if (t->sas_flags & SS_AUTODISARM)
		return false;
	return sp > t->sas_sp && sp - t->sas_sp <= t->sas_size;
}

static u32 altstack_flags(const struct task *t, u64 sp)
{
	return !t->sas_size ? SS_DISABLE : on_altstack(t, sp) ? SS_ONSTACK : 0;
}

int do_sigaltstack(const struct stack_t_user *new, struct stack_t_user *old, u64 sp)
{
	struct task *t = current;

	if (old)
		*old = (struct stack_t_user){ .sp = t->sas_sp, .size = t->sas_size,
			.flags = altstack_flags(t, sp) | (t->sas_flags & SS_AUTODISARM) };
	if (!new)
		return 0;
	u32 mode = new->flags & ~SS_AUTODISARM;
	if (on_altstack(t, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (new->sp == t->sas_sp && new->size == t->sas_size && (u32)new->flags == t->sas_flags)
		return 0; /* as it is */
	if (mode == SS_DISABLE) {
		t->sas_sp = t->sas_size = 0;
	} else {
		if (new->size < MINSIGSTKSZ)
			return -ENOMEM;
		t->sas_sp = new->sp;
		t->sas_size = new->size;
	}
	t->sas_flags = new->flags;
	return 0;
}

/* ---- setup ---- */

/* Address of the frame, 0 when it does not fit; *fp the FPU area's. */
static u64 frame_place(const struct task *t, const struct pt_regs *regs, bool want_alt, u64 *fp)
{
	u64 sp = regs->rsp - RED_ZONE;
	bool on_alt = on_altstack(t, regs->rsp), entering = false;

	if (want_alt && t->sas_size && !on_alt) {
		sp = t->sas_sp + t->sas_size;
		entering = true;
	}
	*fp = ALIGN_DOWN(sp - fpu_frame_size(), 64);
	u64 at = ALIGN_DOWN(*fp - sizeof(struct rt_sigframe), 16) - 8;
	/* an overflow of the alternate stack must not run into what lies below it */
	if ((entering || on_alt) && (at <= t->sas_sp || at > sp))
		return 0;
	return at;
}

static void save_registers(struct sigcontext *mc, const struct task *t, const struct pt_regs *r)
{
	mc->r8 = r->r8, mc->r9 = r->r9, mc->r10 = r->r10, mc->r11 = r->r11;
	mc->r12 = r->r12, mc->r13 = r->r13, mc->r14 = r->r14, mc->r15 = r->r15;
	mc->rdi = r->rdi, mc->rsi = r->rsi, mc->rbp = r->rbp, mc->rbx = r->rbx;
	mc->rdx = r->rdx, mc->rax = r->rax, mc->rcx = r->rcx, mc->rsp = r->rsp;
	mc->rip = r->rip, mc->rflags = r->rflags;
	mc->cs = r->cs, mc->gs = mc->fs = 0, mc->ss = r->ss;
	mc->err = t->thread.arch.error_code;
	mc->trapno = t->thread.arch.trap_nr;
	mc->cr2 = t->thread.arch.fault_addr;
	memset(mc->reserved, 0, sizeof(mc->reserved));
}

bool signal_frame_setup(struct ksignal *ks, struct pt_regs *regs)
{
	struct task *t = current;
	struct rt_sigframe f;
	u64 fp, at;

	if (unlikely(!(ks->ka.flags & SA_RESTORER)))
		return false; /* no way back: the x86-64 ABI wants one */
	at = frame_place(t, regs, ks->ka.flags & SA_ONSTACK, &fp);
	if (unlikely(!at || !access_ok((void __user *)at, sizeof(f))) || fpu_save_frame((void __user *)fp))
		return false;
	f.pretcode = ks->ka.restorer;
	f.uc.flags = (fpu_xcr0 ? UC_FP_XSTATE : 0) | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f.uc.link = 0;
	f.uc.stack = (struct stack_t_user){ .sp = t->sas_sp, .size = t->sas_size,
		.flags = altstack_flags(t, regs->rsp) | (t->sas_flags & SS_AUTODISARM) };
	f.uc.mask = thread_test_flag(&t->thread, TIF_RESTORE_SIGMASK) ? t->saved_sigmask : t->blocked;
	save_registers(&f.uc.mc, t, regs);
	f.uc.mc.oldmask = f.uc.mask;
	f.uc.mc.fpstate = fp;
	u64 n = offsetof(struct rt_sigframe, info);
	if (ks->ka.flags & SA_SIGINFO) {
		siginfo_copy(&f.info, &ks->info);
		siginfo_clear_rest(&f.info);
		n = sizeof(f);
	}
	if (copy_to_user((void __user *)at, &f, n))
		return false;
	/* commit: no failure below */
	fpu_exec(); /* the handler starts with default control words */
	if (t->sas_flags & SS_AUTODISARM) {
		t->sas_sp = t->sas_size = 0;
		t->sas_flags = SS_DISABLE;
	}
	regs->rdi = ks->sig;
	regs->rsi = at + offsetof(struct rt_sigframe, info);
	regs->rdx = at + offsetof(struct rt_sigframe, uc);
	regs->rax = 0;
	regs->rsp = at;
	regs->rip = ks->ka.handler;
	regs->cs = USER_CS;
	regs->ss = USER_DS;
	regs->rflags &= ~(RFLAGS_DF | X86_EFLAGS_RF | RFLAGS_TF);
	return true;
}

/* ---- return ---- */

static bool restore_registers(struct pt_regs *r, const struct sigcontext *mc)
{
	if ((mc->cs | 3) != USER_CS)
		return false;
	r->r8 = mc->r8, r->r9 = mc->r9, r->r10 = mc->r10, r->r11 = mc->r11;
	r->r12 = mc->r12, r->r13 = mc->r13, r->r14 = mc->r14, r->r15 = mc->r15;
	r->rdi = mc->rdi, r->rsi = mc->rsi, r->rbp = mc->rbp, r->rbx = mc->rbx;
	r->rdx = mc->rdx, r->rax = mc->rax, r->rcx = mc->rcx, r->rsp = mc->rsp;
	r->rip = mc->rip;
	r->rflags = (r->rflags & ~RFLAGS_USER) | (mc->rflags & RFLAGS_USER);
	r->cs = USER_CS;
	r->ss = USER_DS;
	r->orig_rax = -1ull; /* what rax holds is no result to restart by */
	return true;
}

long sys_rt_sigreturn(void);
long sys_rt_sigreturn(void)
{
	struct task *t = current;
	struct pt_regs *regs = arch_user_regs(&t->thread.arch);
	const struct rt_sigframe __user *f = (const void __user *)(regs->rsp - 8);
	struct ucontext uc;

	if (copy_from_user(&uc, &f->uc, sizeof(uc)))
		goto bad;
	set_current_blocked(uc.mask);
	if (!restore_registers(regs, &uc.mc))
		goto bad;
	if (!uc.mc.fpstate)
		fpu_exec();
	else if (fpu_restore_frame((const void __user *)uc.mc.fpstate))
		goto bad;
	arch_regs_edited();
	/* on purpose after the registers: whether it is in use depends on the new rsp */
	(void)do_sigaltstack(&uc.stack, NULL, regs->rsp);
	return (long)regs->rax;
bad:
	arch_regs_edited();
	force_signal(SIGSEGV, SI_KERNEL, 0, t);
	return (long)regs->rax;
}
