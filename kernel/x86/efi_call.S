/*
 * u64 efi_call_raw(u64 fn, u64 a, u64 b, u64 c, u64 d): a runtime service in Microsoft's calling
 * convention (UEFI 2.10, 2.3.4): arguments in RCX, RDX, R8, R9, 32 bytes of shadow space.
 * => irqs off, on the runtime page table. A fault inside goes on at efi_call_fault.
 */
#include <x86/asm.h>

FUNC efi_call_raw
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rbp, efi_saved_rbp(%rip)
	mov	%rdi, %rax
	mov	%rsi, %r10
	mov	%rcx, %r11
	mov	%r8, %r9
	mov	%r10, %rcx
	/* RDX is the second argument in both conventions; the third moves from RCX to R8 */
	mov	%r11, %r8
	sub	$64, %rsp
	and	$-16, %rsp
	call	*%rax
1:	lea	-40(%rbp), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.globl	efi_call_fault
	.hidden	efi_call_fault
efi_call_fault:
	mov	efi_saved_rbp(%rip), %rbp
	cld
	movabs	$0x8000000000000015, %rax	/* EFI_ABORTED */
	jmp	1b
ENDFUNC efi_call_raw

	.section .bss, "aw", @nobits
	.balign	8
efi_saved_rbp:
	.skip	8
