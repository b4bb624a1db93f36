/* Saving and restoring a struct pt_regs; shared by entry.S and entry_pti.S. */
#ifndef KERNEL_X86_ENTRY_H
#define KERNEL_X86_ENTRY_H

#include <x86/asm.h>

/* pt_regs from RDX down, and up to RSI: the part that every way in and out has in common. */
.macro PUSH_FROM_RDX
	push	%rdx
	push	%rcx
	push	%rax
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
.endm
.macro POP_TO_RSI
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rsi
.endm

/* On an IST stack: the CPU's own GS.base, from the stack's top; what was there goes to R13D and R14D, and comes back. */
.macro OWN_GS
	mov	$MSR_GS_BASE, %ecx
	rdmsr
	mov	%eax, %r13d
	mov	%edx, %r14d
	mov	%rsp, %rax
	or	$(IST_STACK_SIZE - 1), %rax
	mov	-15(%rax), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
.endm
.macro FORMER_GS
	mov	$MSR_GS_BASE, %ecx
	mov	%r13d, %eax
	mov	%r14d, %edx
	wrmsr
.endm

/* After the vector was pushed: the rest of pt_regs; RSI is the vector. */
.macro SAVE_REGS
	push	%rsi
	mov	8(%rsp), %rsi
	mov	%rdi, 8(%rsp)
	PUSH_FROM_RDX
	cld
	USER_CLOSE
.endm

/* Reload everything; RSP at the return frame. */
.macro RESTORE_REGS
	POP_TO_RSI
	pop	%rdi
	add	$8, %rsp
.endm

/* A place that the other file jumps to, or that pti_patch() overwrites: five bytes that nothing else jumps into. */
.macro LABEL name
	.globl	\name
	.hidden	\name
\name:
.endm

#endif
