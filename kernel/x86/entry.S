/*
 * Ways into the kernel and out of it.
 *
 * SYSCALL is the short way: the user's registers are stored as a whole struct pt_regs at the top of
 * the thread's stack, and the function of the table is called with the argument registers as they
 * came. C keeps RBX, RBP and R12-R15, so that the way back reloads only what C may have changed.
 * Whoever edits the saved registers (exec, sigreturn, a tracer) sets TIF_FULL_REGS, which sends the
 * return through the long way: every register reloaded, SYSRET only where it is safe, else IRET.
 *
 * Every IDT gate is an interrupt gate. A stub leaves the error code (or 0, or -1 for an interrupt)
 * and the vector; the common parts turn that into a struct pt_regs: the vector's place is RDI's.
 *
 * GS: SWAPGS exactly when the interrupted code was user code. #DB, NMI, #MC and #DF can hit between
 * the entry and its SWAPGS, and user code may choose any GS.base (FSGSBASE), so for them neither CS
 * nor the value tells whose it is: they take their CPU's base from the top of their own IST stack
 * and put back what they found (SDM vol. 3A 6.14.5; vol. 3A 2.8.2 for WRGSBASE).
 *
 * The stack: RSP0 is 16-byte aligned and the CPU aligns the frame it pushes, so that a pt_regs is
 * always at 8 modulo 16, and one more word makes a call right.
 *
 * With page-table isolation the first bytes of syscall_entry, syscall_exit, user_sysret, user_iret and the four common parts are
 * jumps to their forms in entry_pti.S; without it nothing here knows of it.
 *
 * IRET never faults here: exit_slow() has checked what user code could have put into the frame.
 */
#include "entry.h"

FUNC syscall_entry, .text.entry
	swapgs
	mov	%rsp, %gs:cpu_tss+TSS_RSP2(%rip)
LABEL syscall_entry_stack
	mov	%gs:cpu_tss+TSS_RSP0(%rip), %rsp
	push	$ASM_USER_DS
	push	%gs:cpu_tss+TSS_RSP2(%rip)
	push	%r11
	push	$ASM_USER_CS
	push	%rcx
	push	%rax
	push	%rdi
	push	%rsi
	PUSH_FROM_RDX
	sti
	mov	%gs:cpu_current(%rip), %r11
	testl	$ENTRY_SLOW_MASK, THREAD_FLAGS(%r11)
	jnz	syscall_watched
	mov	%eax, %eax
	cmp	$ASM_NR_SYSCALLS, %eax
	jae	syscall_unknown
	mov	%r10, %rcx
	lea	syscall_table(%rip), %r11
	sub	$8, %rsp
	call	*(%r11, %rax, 8)
syscall_done:
	cli
	mov	%gs:cpu_current(%rip), %rcx
	testl	$EXIT_SLOW_MASK, THREAD_FLAGS(%rcx)
	jnz	syscall_slow
LABEL syscall_exit
	mov	8+REG_RDI(%rsp), %rdi
	mov	8+REG_RSI(%rsp), %rsi
	mov	8+REG_RDX(%rsp), %rdx
	mov	8+REG_R8(%rsp), %r8
	mov	8+REG_R9(%rsp), %r9
	mov	8+REG_R10(%rsp), %r10
	mov	8+REG_RFLAGS(%rsp), %r11
	mov	8+REG_RIP(%rsp), %rcx
	mov	8+REG_RSP(%rsp), %rsp
	swapgs
	sysretq

syscall_unknown:
	mov	$-38, %rax			/* ENOSYS */
	sub	$8, %rsp
	jmp	syscall_done

/* A tracer or a filter wants to see it: in C, with the saved registers, which they may change. */
syscall_watched:
	mov	%rsp, %rdi
	sub	$8, %rsp
	call	syscall_traced
	jmp	syscall_done

syscall_slow:
	mov	%rax, 8+REG_RAX(%rsp)
	/* fall through */
/* The long way back: RSP is 8 below a pt_regs, interrupts off. Also a new thread's first way out. */
	.globl	user_return_slow
	.hidden	user_return_slow
user_return_slow:
	lea	8(%rsp), %rdi
	call	exit_slow
	add	$8, %rsp
	test	%al, %al
	jz	user_iret
LABEL user_sysret
	swapgs
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	add	$8, %rsp
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rax
	add	$8, %rsp
	pop	%rdx
	pop	%rsi
	pop	%rdi
	mov	8(%rsp), %rcx
	mov	24(%rsp), %r11
	mov	32(%rsp), %rsp
	sysretq
ENDFUNC syscall_entry

/* Exceptions and interrupts. */
FUNC trap_common, .text.entry
	SAVE_REGS
	testb	$3, REG_CS(%rsp)
	jz	1f
	swapgs
1:	mov	%rsp, %rdi
LABEL trap_call
	sub	$8, %rsp
	call	do_trap
	add	$8, %rsp
trap_return:
	testb	$3, REG_CS(%rsp)
	jnz	2f
	RESTORE_REGS
	iretq
2:	cli
	mov	%gs:cpu_current(%rip), %rcx
	testl	$EXIT_SLOW_MASK, THREAD_FLAGS(%rcx)
	jnz	3f
LABEL user_iret
	swapgs
	RESTORE_REGS
	iretq
3:	sub	$8, %rsp
	jmp	user_return_slow
ENDFUNC trap_common

FUNC irq_common, .text.entry
	SAVE_REGS
	testb	$3, REG_CS(%rsp)
	jz	1f
	swapgs
1:	mov	%rsp, %rdi
LABEL irq_call
	sub	$8, %rsp
	call	do_irq
	add	$8, %rsp
	jmp	trap_return
ENDFUNC irq_common

/* The page fault has its own way: CR2 is read before anything can fault again. */
FUNC page_fault_common, .text.entry
	SAVE_REGS
	mov	%cr2, %rsi
	testb	$3, REG_CS(%rsp)
	jz	1f
	swapgs
1:	mov	%rsp, %rdi
LABEL page_fault_call
	sub	$8, %rsp
	call	do_page_fault
	add	$8, %rsp
	jmp	trap_return
ENDFUNC page_fault_common

/* #DB, NMI, #DF, #MC on their IST stacks. */
FUNC paranoid_common, .text.entry
	SAVE_REGS
	testb	$3, REG_CS(%rsp)
	jz	1f
	cmp	$2, %esi
	jne	paranoid_user
1:	mov	%esi, %r12d
	OWN_GS
	mov	%rsp, %rdi
	mov	%r12d, %esi
	sub	$8, %rsp
	call	do_paranoid_trap
	add	$8, %rsp
	FORMER_GS
	RESTORE_REGS
	iretq

/* From user mode there is nothing to be afraid of: go on as an ordinary trap on the thread's stack. */
paranoid_user:
	swapgs
LABEL paranoid_user_swapped
	mov	%esi, %r12d
	mov	%rsp, %rsi
	mov	%gs:cpu_tss+TSS_RSP0(%rip), %rsp
	sub	$REG_SIZE, %rsp
	mov	%rsp, %rdi
	mov	$(REG_SIZE / 8), %ecx
	rep movsq
	mov	%rsp, %rdi
	mov	%r12d, %esi
	jmp	trap_call
ENDFUNC paranoid_common

/*
 * The stubs, 16 bytes each: vector n begins at idt_stubs + 16 * n. The CPU pushes an error code for
 * vectors 8, 10-14, 17, 21, 29 and 30 (SDM vol. 3A table 6-1; AMD vol. 2 8.2 for 29 and 30).
 */
	.section .text.entry, "ax", @progbits
	.balign	16
	.globl	idt_stubs
	.hidden	idt_stubs
idt_stubs:
	.set	vec, 0
	.rept	256
	.balign	16
	.if	vec < 32
	.if	(vec != 8) && (vec != 10) && (vec != 11) && (vec != 12) && (vec != 13) && (vec != 14) && (vec != 17) && (vec != 21) && (vec != 29) && (vec != 30)
	push	$0
	.endif
	.else
	push	$-1
	.endif
	push	$vec
	.if	vec == 14
	jmp	page_fault_common
	.elseif	(vec == 1) || (vec == 2) || (vec == 8) || (vec == 18)
	jmp	paranoid_common
	.elseif	vec < 32
	jmp	trap_common
	.else
	jmp	irq_common
	.endif
	.set	vec, vec + 1
	.endr
	.size	idt_stubs, . - idt_stubs
