/*
 * Exceptions.
 *
 * From user mode each becomes the signal Linux sends, with its code and address. From kernel mode:
 * a fault inside an EFI runtime call is recovered there; an instruction of the exception table goes
 * on at its fixup; anything else is an oops, which ends the running task, not the machine.
 *
 * Page faults of the kernel on user addresses are legal only inside .text.uaccess (or another
 * instruction of the exception table): anything else is a bug, whatever is mapped there.
 *
 * A kernel stack that runs into its guard page cannot take the page fault, so that the CPU raises
 * #DF on an IST stack. The handler rewrites its own return frame: IRET lands on the same thread's
 * stack, near its top, in an oops. Only that task dies.
 */
#include <kernel/current.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <boot/layout.h>
#include <lib/assert.h>
#include <lib/printf.h>
#include <mm/vmalloc.h>
#include <sched/thread.h>
#include <uapi/signal.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/machine.h>
#include <x86/mce.h>
#include <x86/pgtable.h>
#include <x86/uaccess.h>

_Static_assert(sizeof(struct pt_regs) == REG_SIZE, "asm.h");
_Static_assert(offsetof(struct pt_regs, rdi) == REG_RDI, "asm.h");
_Static_assert(offsetof(struct pt_regs, orig_rax) == REG_ORIG_RAX, "asm.h");
_Static_assert(offsetof(struct pt_regs, rsp) == REG_RSP, "asm.h");
_Static_assert(offsetof(struct thread, flags) == THREAD_FLAGS, "asm.h");
_Static_assert(offsetof(struct thread, arch.ksp) == THREAD_KSP, "asm.h");
_Static_assert(ENTRY_SLOW_MASK == TIF_ENTRY_MASK, "asm.h");
_Static_assert(EXIT_SLOW_MASK == (TIF_WORK_MASK | 1u << TIF_FULL_REGS), "asm.h");

DEFINE_PER_CPU(u32, pagefault_off);

enum {
	TRAP_DE, TRAP_DB, TRAP_NMI, TRAP_BP, TRAP_OF, TRAP_BR, TRAP_UD, TRAP_NM, TRAP_DF,
	TRAP_TS = 10, TRAP_NP, TRAP_SS, TRAP_GP, TRAP_PF,
	TRAP_MF = 16, TRAP_AC, TRAP_MC, TRAP_XM, TRAP_VE, TRAP_CP,
};

static const char *const trap_names[32] = {
	[TRAP_DE] = "divide error", [TRAP_DB] = "debug exception", [TRAP_NMI] = "NMI",
	[TRAP_BP] = "breakpoint", [TRAP_OF] = "overflow", [TRAP_BR] = "bound range exceeded",
	[TRAP_UD] = "invalid opcode", [TRAP_NM] = "device not available", [TRAP_DF] = "double fault",
	[TRAP_TS] = "invalid TSS", [TRAP_NP] = "segment not present", [TRAP_SS] = "stack segment fault",
	[TRAP_GP] = "general protection fault", [TRAP_PF] = "page fault", [TRAP_MF] = "x87 error",
	[TRAP_AC] = "alignment check", [TRAP_MC] = "machine check", [TRAP_XM] = "SIMD exception",
	[TRAP_VE] = "virtualization exception", [TRAP_CP] = "control protection exception",
};

static const char *trap_name(unsigned v)
{
	return v < 32 && trap_names[v] ? trap_names[v] : "unknown exception";
}

struct ex_entry { s32 from, to; };
extern const struct ex_entry __ex_table_start[], __ex_table_end[];

/* traps.c */
static bool fixup_exception(struct pt_regs *regs)
{
	for (const struct ex_entry *e = __ex_table_start; e < __ex_table_end; e++)
		if ((u64)&e->from + (u64)(s64)e->from == regs->rip) {
			regs->rip = (u64)&e->to + (u64)(s64)e->to;
			return true;
		}
	return false;
}

static void note_user_trap(struct pt_regs *regs, unsigned vec, u64 addr)
{
	struct arch_thread *a = &current_thread()->arch;

	a->trap_nr = vec;
	a->error_code = regs->orig_rax;
	a->fault_addr = addr;
	regs->orig_rax = (u64)-1; /* no system call: signal delivery must not restart one */
}

/* x87 and SIMD errors tell by their status word which operation it was: lowest unmasked flag wins. */
static int fpe_code(u32 pending)
{
	if (pending & 0x01)
		return FPE_FLTINV;
	if (pending & 0x04)
		return FPE_FLTDIV;
	if (pending & 0x08)
		return FPE_FLTOVF;
	if (pending & 0x12) /* underflow, denormal operand */
		return FPE_FLTUND;
	if (pending & 0x20)
		return FPE_FLTRES;
	return 0;
}

static int x87_code(void)
{
	u16 cw, sw;

	asm volatile("fnstcw %0\n\tfnstsw %1" : "=m"(cw), "=m"(sw));
	return fpe_code(sw & ~cw & 0x3fu);
}

static int simd_code(void)
{
	u32 mxcsr;

	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	return fpe_code(mxcsr & ~(mxcsr >> 7) & 0x3f);
}

/* Did an instruction breakpoint stop it? That is a fault: the instruction is still to come (SDM vol. 3B 17.3.1.1). */
static bool at_instruction(const u64 *dr, u64 dr6)
{
	for (unsigned i = 0; i < 4; i++)
		if (dr6 >> i & 1 && dr[7] >> 2 * i & 3 && !(dr[7] >> (16 + 4 * i) & 3))
			return true;
	return false;
}

static void user_debug(struct pt_regs *regs)
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	asm volatile("mov %0, %%dr6" ::"r"(0xffff0ff0ull)); /* sticky: SDM vol. 3B 17.2.3 */
	dr6 ^= 0xffff0ff0ull;
	current_thread()->arch.debugreg[6] = dr6;
	if (at_instruction(current_thread()->arch.debugreg, dr6))
		regs->rflags |= X86_EFLAGS_RF; /* or it would stop there for ever */
	int code = dr6 & 0x4000 ? TRAP_TRACE : dr6 & 15 ? 4 /* TRAP_HWBKPT */ : TRAP_BRKPT;
	local_irq_enable();
	trap_user_signal(regs, SIGTRAP, code, regs->rip);
}

static void user_trap(struct pt_regs *regs, unsigned vec)
{
	int sig = SIGSEGV, code = SI_KERNEL;
	u64 addr = 0;

	note_user_trap(regs, vec, 0);
	if (vec == TRAP_DB) {
		user_debug(regs);
		return;
	}
	switch (vec) {
	case TRAP_DE:
		sig = SIGFPE, code = FPE_INTDIV, addr = regs->rip;
		break;
	case TRAP_BP:
		sig = SIGTRAP;
		break;
	case TRAP_UD:
	case TRAP_NM:
		sig = SIGILL, code = ILL_ILLOPN, addr = regs->rip;
		break;
	case TRAP_NP:
	case TRAP_SS:
		sig = SIGBUS;
		break;
	case TRAP_AC:
		sig = SIGBUS, code = BUS_ADRALN;
		break;
	case TRAP_MF:
		sig = SIGFPE, code = x87_code(), addr = regs->rip;
		break;
	case TRAP_XM:
		sig = SIGFPE, code = simd_code(), addr = regs->rip;
		break;
	case TRAP_GP:
		local_irq_enable();
		if (cpu_has(umip) && !current_thread()->arch.error_code && umip_emulate(regs))
			return;
		break;
	case TRAP_MC:
		mce_from_user(regs);
		return;
	default: /* OF, BR, TS, CP: SIGSEGV from the kernel, no address */
		break;
	}
	local_irq_enable();
	trap_user_signal(regs, sig, code, addr);
}

/* Every exception but #PF, and those of paranoid_common from kernel mode. */
void do_trap(struct pt_regs *regs, unsigned vec)
{
	if (likely(user_mode(regs))) {
		user_trap(regs, vec);
		return;
	}
	if (efi_rt_recover(regs) || fixup_exception(regs))
		return;
	if (regs->rflags & X86_EFLAGS_IF)
		local_irq_enable();
	oops(regs, trap_name(vec));
}

static void kernel_fault(struct pt_regs *regs, u64 addr, u64 error)
{
	char what[96];

	if (efi_rt_recover(regs) || fixup_exception(regs))
		return;
	const char *kind = error & 16 ? "execution" : error & 2 ? "write" : "read";
	const char *why = addr < PAGE_SIZE ? "NULL pointer" :
			  (s64)addr >= 0 ? "user address outside a user copy" :
			  kstack_guard_hit(addr) ? "guard page of a kernel stack" :
			  error & 1 ? "protected address" : "unmapped address";
	snprintf(what, sizeof(what), "page fault: %s of %s %#llx", kind, why, addr);
	if (regs->rflags & X86_EFLAGS_IF)
		local_irq_enable();
	oops(regs, what);
}

extern char __uaccess_text_start[], __uaccess_text_end[];

static bool may_touch_user(const struct pt_regs *regs)
{
	return regs->rip - (u64)__uaccess_text_start < (u64)(__uaccess_text_end - __uaccess_text_start);
}

/* #PF with CR2 in @addr; interrupts off until it is clear what it was. */
void do_page_fault(struct pt_regs *regs, u64 addr)
{
	u64 error = regs->orig_rax;

	if (likely(user_mode(regs))) {
		struct arch_thread *a = &current_thread()->arch;

		a->trap_nr = TRAP_PF;
		a->fault_addr = addr;
		a->error_code = error;
		regs->orig_rax = (u64)-1; /* as in note_user_trap */
		local_irq_enable();
		if (likely(addr < TASK_SIZE_MAX)) {
			page_fault_user(regs, addr, error);
			return;
		}
		/* As Linux: a kernel address looks protected, whatever is there. */
		a->error_code = error | 1;
		trap_user_signal(regs, SIGSEGV, SEGV_MAPERR, addr);
		return;
	}
	if (addr < TASK_SIZE_MAX && may_touch_user(regs) && !this_cpu_read(pagefault_off)) {
		if (likely(regs->rflags & X86_EFLAGS_IF))
			local_irq_enable();
		if (likely(page_fault_user(regs, addr, error)))
			return;
	}
	kernel_fault(regs, addr, error);
}

/* Where a double fault's IRET lands after a stack overflow: on the thread's stack again. */
static void __noreturn stack_overflow(struct pt_regs *regs)
{
	local_irq_enable();
	oops(regs, "kernel stack overflow");
}

static void double_fault(struct pt_regs *regs)
{
	struct thread *t = current_thread();
	u64 cr2 = read_cr2();

	if (!t || !t->arch.kstack_top ||
	    (!kstack_guard_hit(cr2) && !kstack_guard_hit(regs->rsp) && !kstack_guard_hit(regs->rsp - 8)))
		panic_regs(regs, "double fault (cr2 %#llx)", cr2);
	/* The user's pt_regs at the very top stays; a copy of ours goes below it. */
	struct pt_regs *copy = (struct pt_regs *)(t->arch.kstack_top - 2 * sizeof(struct pt_regs) - 64);
	*copy = *regs;
	regs->rip = (u64)stack_overflow;
	regs->rdi = (u64)copy;
	regs->rsp = ((u64)copy & ~15ull) - 8;
	regs->rbp = 0;
}

/* Kernel-mode #DB, #DF and #MC, and every NMI, on their IST stacks with this CPU's GS. */
void do_paranoid_trap(struct pt_regs *regs, unsigned vec)
{
	switch (vec) {
	case TRAP_NMI:
		panic_other_cpu(regs); /* does not return when a panic sent it */
		pr_once(LOG_WARN, "NMI for no known reason on CPU %d\n", smp_processor_id());
		return;
	case TRAP_DB: /* a user watchpoint hit by a copy, or MOV SS games: no business of ours */
		asm volatile("mov %0, %%dr6" ::"r"(0xffff0ff0ull));
		regs->rflags &= ~(1ull << 8);
		return;
	case TRAP_DF:
		double_fault(regs);
		return;
	case TRAP_MC:
		mce_from_kernel(regs);
		return;
	default:
		panic_regs(regs, "%s in kernel mode", trap_name(vec));
	}
}

/*
 * The long way back to user mode. => irqs off
 * Returns true when SYSRET restores everything: it takes RIP from RCX and RFLAGS from R11, and a
 * non-canonical RIP would fault in kernel mode on the user's stack (SDM vol. 2B SYSRET).
 */
bool exit_slow(struct pt_regs *regs)
{
	struct thread *t = current_thread();

	for (;;) {
		if (READ_ONCE(t->flags) & TIF_WORK_MASK) {
			exit_to_user_work(regs);
			local_irq_disable();
			continue;
		}
		if (likely(regs->rip < TASK_SIZE_MAX + PAGE_SIZE))
			break;
		/* A handler or saved context pointed into the hole (IRET would fault) or the kernel (the fetch would). */
		bool hole = regs->rip < -TASK_SIZE_MAX - PAGE_SIZE;
		local_irq_enable();
		regs->orig_rax = (u64)-1;
		trap_user_signal(regs, SIGSEGV, hole ? SI_KERNEL : SEGV_MAPERR, hole ? 0 : regs->rip);
		local_irq_disable();
	}
	if (READ_ONCE(t->flags) & 1u << TIF_FULL_REGS)
		thread_clear_flag(t, TIF_FULL_REGS);
	/*
	 * What IRET would fault on, and IF, VM and IOPL which are not the user's. NT is: it is the flag IRET executes
	 * with that must be clear, not the one it loads (SDM vol. 2A IRET).
	 */
	regs->cs = USER_CS;
	regs->ss = USER_DS;
	regs->rflags = (regs->rflags & 0x254dd5) | X86_EFLAGS_IF | 2;
	return regs->rcx == regs->rip && regs->r11 == regs->rflags && !(regs->rflags & 0x10100);
}
