/*
 * The ways in and out with page-table isolation (pti.c). pti_patch() makes the plain ones of entry.S jump here; what
 * follows the switch of tables and stacks is theirs again.
 *
 * Before TO_KERNEL and after TO_USER only the entry area is mapped: this code, the CPU's section ..percpu.entry, its IST
 * stacks. Interrupts are off there; the CR3 words are this CPU's own.
 */
#include "entry.h"

.macro PTI_SITE from, to
	.pushsection __pti_sites, "a", @progbits
	.balign	4
	.long	\from - ., \to - .
	.popsection
.endm

.macro TO_KERNEL reg
	mov	%gs:pti_kernel_cr3(%rip), \reg
	mov	\reg, %cr3
.endm

/* => RSP on the entry stack. A flush that was due happens now and is not due any more. */
.macro TO_USER reg
	push	%gs:pti_user_keep(%rip)
	mov	%gs:pti_user_cr3(%rip), \reg
	pop	%gs:pti_user_cr3(%rip)
	mov	\reg, %cr3
.endm

	PTI_SITE syscall_entry, syscall_entry_pti
FUNC syscall_entry_pti, .text.entry
	swapgs
	mov	%rsp, %gs:cpu_tss+TSS_RSP2(%rip)
	TO_KERNEL %rsp
	jmp	syscall_entry_stack
ENDFUNC syscall_entry_pti

/* RSP is 8 below a pt_regs, RAX the result. */
	PTI_SITE syscall_exit, syscall_exit_pti
FUNC syscall_exit_pti, .text.entry
	mov	8+REG_RSI(%rsp), %rsi
	mov	8+REG_RDX(%rsp), %rdx
	mov	8+REG_R8(%rsp), %r8
	mov	8+REG_R9(%rsp), %r9
	mov	8+REG_R10(%rsp), %r10
	mov	8+REG_RFLAGS(%rsp), %r11
	mov	8+REG_RIP(%rsp), %rcx
	mov	%rsp, %rdi
	mov	%gs:pti_tss+TSS_RSP0(%rip), %rsp
	push	8+REG_RSP(%rdi)
	push	8+REG_RDI(%rdi)
	TO_USER	%rdi
	pop	%rdi
	pop	%rsp
	swapgs
	sysretq
ENDFUNC syscall_exit_pti

/* RSP is a pt_regs. The long way back uses IRET always here. */
	PTI_SITE user_iret, user_iret_pti
	PTI_SITE user_sysret, user_iret_pti
FUNC user_iret_pti, .text.entry
	POP_TO_RSI
	mov	%rsp, %rdi		/* RDI, orig_rax, then the frame */
	mov	%gs:pti_tss+TSS_RSP0(%rip), %rsp
	push	48(%rdi)
	push	40(%rdi)
	push	32(%rdi)
	push	24(%rdi)
	push	16(%rdi)
	push	(%rdi)
	TO_USER	%rdi
	pop	%rdi
	swapgs
	iretq
ENDFUNC user_iret_pti

/* From user mode, on the entry stack with vector and error code: to the kernel's tables, the frame to the thread's stack. */
.macro ENTER_FROM_USER
	testb	$3, 24(%rsp)
	jz	1f
	swapgs
	push	%rdi
	TO_KERNEL %rdi
	mov	%rsp, %rdi
	mov	%gs:cpu_tss+TSS_RSP0(%rip), %rsp
	push	56(%rdi)
	push	48(%rdi)
	push	40(%rdi)
	push	32(%rdi)
	push	24(%rdi)
	push	16(%rdi)
	push	8(%rdi)
	mov	(%rdi), %rdi
1:	SAVE_REGS
.endm

	PTI_SITE trap_common, trap_common_pti
FUNC trap_common_pti, .text.entry
	ENTER_FROM_USER
	mov	%rsp, %rdi
	jmp	trap_call
ENDFUNC trap_common_pti

	PTI_SITE irq_common, irq_common_pti
FUNC irq_common_pti, .text.entry
	ENTER_FROM_USER
	mov	%rsp, %rdi
	jmp	irq_call
ENDFUNC irq_common_pti

	PTI_SITE page_fault_common, page_fault_common_pti
FUNC page_fault_common_pti, .text.entry
	ENTER_FROM_USER
	mov	%cr2, %rsi
	mov	%rsp, %rdi
	jmp	page_fault_call
ENDFUNC page_fault_common_pti

/* On an IST stack. CR3 may be either, whatever CS says: it is saved and put back. */
	PTI_SITE paranoid_common, paranoid_common_pti
FUNC paranoid_common_pti, .text.entry
	SAVE_REGS
	testb	$3, REG_CS(%rsp)
	jz	1f
	cmp	$2, %esi
	jne	2f
1:	mov	%esi, %r12d
	mov	%cr3, %rbx
	OWN_GS
	TO_KERNEL %rax
	mov	%rsp, %rdi
	mov	%r12d, %esi
	sub	$8, %rsp
	call	do_paranoid_trap
	add	$8, %rsp
	mov	%rbx, %cr3
	FORMER_GS
	RESTORE_REGS
	iretq
2:	swapgs
	TO_KERNEL %rax
	jmp	paranoid_user_swapped
ENDFUNC paranoid_common_pti
