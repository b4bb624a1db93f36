/*
 * Descriptor tables of one CPU: GDT, task state with its IST stacks, and the shared IDT.
 * Selectors have Linux's numbers (x86/ptregs.h), which user programs can see.
 */
#ifndef X86_DESC_H
#define X86_DESC_H

#include <kernel/percpu.h>
#include <x86/asm.h>

/* 64-bit task state segment, SDM vol. 3A figure 8-11; a word in front aligns the stack pointers. */
struct cpu_tss {
	u32 align;
	u32 reserved0; /* the segment begins here */
	u64 rsp0; /* top of the running thread's kernel stack */
	u64 rsp1;
	u64 rsp2; /* scratch of syscall_entry: the user's RSP */
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 iomap; /* beyond the limit: no port is open to user mode */
} __packed;
_Static_assert(offsetof(struct cpu_tss, rsp0) == TSS_RSP0, "entry.S");
_Static_assert(offsetof(struct cpu_tss, rsp2) == TSS_RSP2, "entry.S");
DECLARE_PER_CPU(struct cpu_tss, cpu_tss);

enum { IST_DB = 1, IST_NMI, IST_DF, IST_MC, NR_IST = 4 };

#define GDT_ENTRIES 16
#define GDT_TSS 8 /* two entries */
#define GDT_CPU 15 /* limit is cpu | node << 12, read by LSL in user mode */

/* Fills and loads the tables of the running CPU. @ist_stacks: NR_IST stacks of IST_STACK_SIZE, aligned to it. */
void gdt_init_cpu(int cpu, int node, void *ist_stacks);
/* The boot CPU's, from static memory. */
void gdt_init_boot(void);
void gdt_init_again(void); /* page-table isolation was chosen: another TSS */
u64 idt_address(void); /* one page */
void idt_init(void); /* fills the table; the boot CPU */
void idt_load(void);
/* MSRs of SYSCALL for the running CPU. */
void syscall_msr_init(void);
/* Bottom and top of the running CPU's IST stack n (1..NR_IST). */
u64 ist_stack_base(int n);

#endif
