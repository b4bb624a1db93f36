/* Saving and restoring a struct pt_regs; shared by entry.S and entry_pti.S. */
#ifndef KERNEL_X86_ENTRY_H
#define KERNEL_X86_ENTRY_H

#include <x86/asm.h>

/* After the vector was pushed: the rest of pt_regs; RSI is the vector. */
.macro SAVE_REGS
	push	%rsi
	mov	8(%rsp), %rsi
	mov	%rdi, 8(%rsp)
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
	cld
	USER_CLOSE
.endm

/* Reload everything; RSP at the return frame. */
.macro RESTORE_REGS
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
