/*
 * Start of another CPU: copied to a page below 1 MiB, where the startup IPI sends the CPU in real
 * mode with CS = page / 16 (SDM vol. 3A 8.4.3). Real mode -> protected -> long mode in one page, on
 * the root table in the page behind it (a 32-bit CR3), then to ap_entry.
 *
 * The words from tramp_data on are filled in by smp.c. `claim` makes sure that one CPU at most goes
 * through at a time, and none after the boot CPU has given it up.
 */
#include <x86/asm.h>

	.section .rodata.trampoline, "a", @progbits
	.balign	16
	.globl	tramp_start, tramp_end, tramp_data
	.hidden	tramp_start, tramp_end, tramp_data
tramp_start:
	.code16
	cli
	cld
	xorl	%ebx, %ebx
	movw	%cs, %bx
	movw	%bx, %ds
	shll	$4, %ebx
	xorl	%eax, %eax
	xchgl	%eax, tramp_claim - tramp_start
	testl	%eax, %eax
	jz	3f
	leal	(tramp_gdt - tramp_start)(%ebx), %eax
	movl	%eax, tramp_gdtr - tramp_start + 2
	leal	(1f - tramp_start)(%ebx), %eax
	movl	%eax, tramp_far - tramp_start
	leal	(2f - tramp_start)(%ebx), %eax
	movl	%eax, tramp_far64 - tramp_start
	lgdtl	tramp_gdtr - tramp_start
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	*(tramp_far - tramp_start)
3:	hlt
	jmp	3b

	.code32
1:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	%cr4, %eax
	orl	$0x20, %eax			/* PAE */
	orl	(tramp_la57 - tramp_start)(%ebx), %eax
	movl	%eax, %cr4
	movl	(tramp_cr3 - tramp_start)(%ebx), %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x900, %eax			/* LME, NXE */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax		/* PG, WP */
	andl	$0x9fffffff, %eax		/* caches on: CD, NW off */
	movl	%eax, %cr0
	ljmpl	*(tramp_far64 - tramp_start)(%ebx)

	.code64
2:	movq	(tramp_boot - tramp_start)(%rbx), %rdi
	movq	(tramp_entry - tramp_start)(%rbx), %rax
	jmp	*%rax

	.balign	8
tramp_gdt:
	.quad	0
	.quad	0x00af9b000000ffff		/* 0x08: code 64 */
	.quad	0x00cf9b000000ffff		/* 0x10: code 32 */
	.quad	0x00cf93000000ffff		/* 0x18: data */
tramp_gdtr:
	.word	4 * 8 - 1
	.long	0
	.balign	8
tramp_far:
	.long	0
	.word	0x10
	.balign	8
tramp_far64:
	.long	0
	.word	0x08
	.balign	8
tramp_data:
tramp_cr3:
	.long	0
tramp_claim:
	.long	0
tramp_entry:
	.quad	0
tramp_boot:
	.quad	0
tramp_la57:				/* CR4.LA57 or 0: it has to be right before paging is on */
	.quad	0
tramp_end:
