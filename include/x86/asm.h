/*
 * What assembly files share: offsets into C structures (checked in kernel/x86/traps.c), the order
 * of saved registers, the exception table, and the places where SMAP is opened and closed.
 */
#ifndef X86_ASM_H
#define X86_ASM_H

/* struct pt_regs */
#define REG_R15		0
#define REG_R14		8
#define REG_R13		16
#define REG_R12		24
#define REG_RBP		32
#define REG_RBX		40
#define REG_R11		48
#define REG_R10		56
#define REG_R9		64
#define REG_R8		72
#define REG_RAX		80
#define REG_RCX		88
#define REG_RDX		96
#define REG_RSI		104
#define REG_RDI		112
#define REG_ORIG_RAX	120
#define REG_RIP		128
#define REG_CS		136
#define REG_RFLAGS	144
#define REG_RSP		152
#define REG_SS		160
#define REG_SIZE	168

/* struct thread */
#define THREAD_FLAGS	0
#define THREAD_KSP	8

/* struct cpu_tss, per CPU */
#define TSS_RSP0	8
#define TSS_RSP2	24

/* thread->flags that forbid the short way back to user mode: TIF_WORK_MASK | TIF_FULL_REGS */
#define EXIT_SLOW_MASK	0x207

/* thread->flags that send a system call through syscall_traced: TIF_ENTRY_MASK */
#define ENTRY_SLOW_MASK	0x10d00

#define ASM_KERNEL_CS	0x10
#define ASM_KERNEL_DS	0x18
#define ASM_USER_DS	0x2b
#define ASM_USER_CS	0x33
#define ASM_NR_SYSCALLS	451

#define MSR_GS_BASE	0xc0000101

/* An IST stack: aligned to its size, the CPU's GS.base in its last 16 bytes. */
#define IST_STACK_SIZE	8192

#ifdef __ASSEMBLER__
/* A fault at label \from goes on at label \to instead of being an oops. */
.macro EXTABLE from, to
	.pushsection __ex_table, "a", @progbits
	.balign	4
	.long	\from - ., \to - .
	.popsection
.endm

/* Three bytes of no-op that become STAC or CLAC where SMAP is used (smap_patch). */
.macro SMAP_SITE modrm
661:	nopl	(%rax)
	.pushsection __smap_sites, "a", @progbits
	.balign	8
	.long	661b - .
	.long	\modrm
	.popsection
.endm
.macro USER_OPEN
	SMAP_SITE 0xcb			/* STAC is 0f 01 cb */
.endm
.macro USER_CLOSE
	SMAP_SITE 0xca			/* CLAC is 0f 01 ca */
.endm

.macro FUNC name, section=.text
	.section \section, "ax", @progbits
	.balign	16
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
.endm
.macro ENDFUNC name
	.size	\name, . - \name
.endm
#endif

#endif
