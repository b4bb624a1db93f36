/*
 * Switching kernel stacks. What C keeps across a call is on the stack, the rest the compiler has
 * saved; the machine state beside the stack is arch_switch_state()'s.
 */
#include <x86/asm.h>

/* struct thread *arch_switch_to(struct thread *prev, struct thread *next) */
FUNC arch_switch_to
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, THREAD_KSP(%rdi)
	mov	THREAD_KSP(%rsi), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	mov	%rdi, %rax
	ret
ENDFUNC arch_switch_to

/* A kernel thread's first step: R12 function, R13 argument; RAX the thread that ran before. */
FUNC thread_start_kernel
	mov	%rax, %rdi
	call	arch_first_run
	mov	%r13, %rdi
	call	*%r12
	/* A kernel thread that was turned into a user program by exec leaves like any other. */
	mov	%rax, %rdi
	call	arch_kernel_thread_returned
	cli
	jmp	user_return_slow
ENDFUNC thread_start_kernel

/* A forked thread's first step: its pt_regs is 8 above RSP. */
FUNC thread_start_user
	mov	%rax, %rdi
	call	arch_first_run
	cli
	jmp	user_return_slow
ENDFUNC thread_start_user
