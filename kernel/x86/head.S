/*
 * Where the loader jumps to (include/boot/handoff.h says in what state), and where the other CPUs
 * arrive from the trampoline. Both leave with a kernel stack, GS.base of the CPU, and no frame to
 * return to: RBP 0 ends every backtrace.
 *
 * Until the boot CPU loads its own GDT no segment register is touched; CS is the firmware's.
 */
	.section .text.head, "ax", @progbits
	.globl	kernel_entry
	.hidden	kernel_entry
	.type	kernel_entry, @function
kernel_entry:
	cli
	cld
	lea	boot_stack_top(%rip), %rsp
	xor	%ebp, %ebp
	/* The per-CPU template stays pristine: the boot CPU works on a copy in .bss. */
	mov	%rdi, %rbx
	lea	__percpu_start(%rip), %rsi
	lea	__percpu_end(%rip), %rcx
	sub	%rsi, %rcx
	lea	__percpu_boot(%rip), %rdi
	mov	%rdi, %rax
	sub	%rsi, %rax			/* the distance is GS.base */
	shr	$3, %rcx
	rep movsq
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$0xc0000101, %ecx		/* IA32_GS_BASE, SDM vol. 4 table 2-2 */
	wrmsr
	mov	%rbx, %rdi
	call	kernel_main
1:	hlt
	jmp	1b
	.size	kernel_entry, . - kernel_entry

/*
 * Another CPU, from the trampoline: long mode on the trampoline's tables, RDI = struct ap_boot
 * (see smp.c): CR3 at 0, stack at 8, GS.base at 16.
 */
	.globl	ap_entry
	.hidden	ap_entry
	.type	ap_entry, @function
ap_entry:
	cld
	mov	(%rdi), %rax
	mov	%rax, %cr3
	mov	8(%rdi), %rsp
	xor	%ebp, %ebp
	mov	16(%rdi), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$0xc0000101, %ecx
	wrmsr
	call	smp_ap_main
1:	hlt
	jmp	1b
	.size	ap_entry, . - ap_entry

	.section .bss.page_aligned, "aw", @nobits
	.balign	4096
	.globl	boot_stack, boot_stack_top
	.hidden	boot_stack, boot_stack_top
boot_stack:
	.skip	16384
boot_stack_top:
