/*
 * The jump: from the firmware's page tables to the kernel's.
 *
 * Called with Microsoft's convention: RCX = struct arch_jump (app.h), interrupts off, boot services
 * gone. Nothing is pushed after CR3 changes, because only jump_switch's page is mapped in both.
 *
 * When CR4.LA57 changes (switch_page not 0) paging has to go off on the way, since it cannot change
 * in long mode (Intel SDM 3A, 4.1.1), and without paging code runs in 32 bits. jump_la57 does that
 * where it is when this image lies below 4 GiB (its page is executable for certain), else in a
 * copy in switch_page; the page behind that holds a GDT, far pointer, registers and stack.
 */
	.text
	.code64

	/* struct arch_jump */
	.set J_ENTRY, 0
	.set J_HANDOFF, 8
	.set J_STACK, 16
	.set J_ROOT, 24
	.set J_SWITCH, 32
	.set J_LA57, 40

	.set CR4_CLEAR, 0x20080		/* PGE and PCIDE: no old translation may survive */
	.set CR4_LA57, 0x1000
	.set CR0_PG, 0x80000000
	.set CR0_WP, 0x10000
	.set MSR_EFER, 0xc0000080
	.set EFER_LME, 0x100
	.set EFER_NXE, 0x800

	.globl arch_jump
arch_jump:
	cli
	cld
	movq J_ENTRY(%rcx), %r8
	movq J_HANDOFF(%rcx), %rdi
	movq J_STACK(%rcx), %r9
	movq J_ROOT(%rcx), %r10
	movq J_SWITCH(%rcx), %r11
	movq J_LA57(%rcx), %rdx
	shll $12, %edx			/* CR4.LA57 or 0 */
	movl %edx, %r13d

	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_NXE, %eax
	wrmsr
	movq %cr0, %rax
	orq $CR0_WP, %rax
	movq %rax, %cr0
	testq %r11, %r11
	jnz 1f
	jmp jump_switch

1:	leaq 0x1000(%r11), %rbx		/* GDT at 0, far pointer at 0x40, registers at 0x50 */
	leaq jump_la57(%rip), %rsi
	movq %rsi, %rax
	shrq $32, %rax
	movq %r11, %rax
	cmovzq %rsi, %r11		/* below 4 GiB: in place */
	jz 2f
	movq %rdi, %r12
	movq %rax, %rdi
	movl $(jump_la57_end - jump_la57), %ecx
	rep movsb
	movq %r12, %rdi
2:
	movq $0, (%rbx)
	movabsq $0x00cf9a000000ffff, %rax	/* 0x08: 32-bit code */
	movq %rax, 8(%rbx)
	movabsq $0x00cf92000000ffff, %rax	/* 0x10: data */
	movq %rax, 16(%rbx)
	movabsq $0x00af9a000000ffff, %rax	/* 0x18: 64-bit code */
	movq %rax, 24(%rbx)
	movw $31, 0x30(%rbx)
	movq %rbx, 0x32(%rbx)
	lgdt 0x30(%rbx)
	leaq (jump_long - jump_la57)(%r11), %rax
	movl %eax, 0x40(%rbx)
	movl $0x18, 0x44(%rbx)
	leaq jump_switch(%rip), %rax
	movq %r8, 0x50(%rbx)
	movq %rdi, 0x58(%rbx)
	movq %r9, 0x60(%rbx)
	movq %r10, 0x68(%rbx)
	movq %rax, 0x70(%rbx)
	leaq 0x1000(%rbx), %rsp
	movl %r10d, %esi		/* new root, below 4 GiB */
	movl %r13d, %edi
	pushq $0x08
	pushq %r11
	lretq

	/*
	 * Both address spaces map this page here; 256 bytes hold it and jump_la57, so nothing
	 * straddles a page. R8 entry, RDI hand-off, R9 stack, R10 root.
	 */
	.balign 256
	.globl jump_switch
jump_switch:
	movq %cr4, %rax
	andq $~CR4_CLEAR, %rax
	movq %rax, %cr4
	movq %r10, %cr3
	movq %r9, %rsp
	xorl %ebp, %ebp
	jmpq *%r8

	/*
	 * 32-bit part: ESI = new root, EDI = CR4.LA57 to be, EBX = data page. The upper registers do not survive
	 * 32-bit mode for certain (Intel SDM 1, 3.4.1.1), so they wait in the data page.
	 */
jump_la57:
	.code32
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0
	movl %cr4, %eax
	andl $~(CR4_LA57 | CR4_CLEAR), %eax
	orl %edi, %eax
	movl %eax, %cr4
	movl %esi, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl %cr0, %eax
	orl $(CR0_PG | CR0_WP), %eax
	movl %eax, %cr0
	ljmpl *0x40(%ebx)
	.code64
jump_long:
	movl %ebx, %ebx
	movq 0x50(%rbx), %r8
	movq 0x58(%rbx), %rdi
	movq 0x60(%rbx), %r9
	movq 0x68(%rbx), %r10
	movq 0x70(%rbx), %r12
	jmpq *%r12
jump_la57_end:
	.if jump_la57_end - jump_switch > 256
	.error "the switch code outgrew its 256 bytes"
	.endif
