/*
 * Segment descriptors, task state and the interrupt table (SDM vol. 3A chapters 3, 6 and 8).
 *
 * Long mode ignores base and limit of code and data segments; what counts is the privilege and, for
 * SYSCALL/SYSRET, the order: kernel code, kernel data, user code 32, user data, user code 64.
 * The descriptors are Linux's. Every gate is an interrupt gate (IF off); vectors 3 and 4 may be
 * raised by user code's INT n, all others answer it with #GP, which becomes SIGSEGV.
 */
#include <lib/string.h>
#include <mm/alloc.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/machine.h>
#include <x86/pti.h>
#include <x86/ptregs.h>

DEFINE_PER_CPU_ENTRY(struct cpu_tss, cpu_tss) __aligned(64);
static DEFINE_PER_CPU_ENTRY(u64, cpu_gdt[GDT_ENTRIES]) __aligned(64);

struct idt_gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, reserved;
};
static struct idt_gate idt[256] __aligned(4096);

static char boot_ist_stacks[NR_IST * IST_STACK_SIZE] __aligned(IST_STACK_SIZE);

struct table_register {
	u16 limit;
	u64 base;
} __packed;

static void gdt_load(u64 *gdt)
{
	struct table_register r = { GDT_ENTRIES * 8 - 1, (u64)gdt };

	/* A far return reloads CS; FS and GS keep their bases when a null selector is loaded
	 * only on some CPUs, so GS is left alone: its selector does not matter. */
	asm volatile("lgdt %0\n\t"
		     "pushq %1\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:\n\t"
		     "movl %2, %%eax\n\t"
		     "movl %%eax, %%ss\n\t"
		     "xorl %%eax, %%eax\n\t"
		     "movl %%eax, %%ds\n\t"
		     "movl %%eax, %%es\n\t"
		     "movl %%eax, %%fs"
		     :: "m"(r), "i"(KERNEL_CS), "i"(KERNEL_DS) : "rax", "memory");
}

static void gdt_fill(u64 *gdt, u64 tss_base, u32 cpu_node)
{
	memset(gdt, 0, GDT_ENTRIES * 8);
	gdt[KERNEL_CS / 8] = 0x00af9b000000ffffull;
	gdt[KERNEL_DS / 8] = 0x00cf93000000ffffull;
	gdt[USER_CS32 / 8] = 0x00cffb000000ffffull;
	gdt[USER_DS / 8] = 0x00cff3000000ffffull;
	gdt[USER_CS / 8] = 0x00affb000000ffffull;
	u64 limit = sizeof(struct cpu_tss) - 4 - 1;
	gdt[GDT_TSS] = limit | (tss_base & 0xffffff) << 16 | 0x89ull << 40 |
		       (tss_base >> 24 & 0xff) << 56;
	gdt[GDT_TSS + 1] = tss_base >> 32;
	gdt[GDT_CPU] = 0x0040f50000000000ull | (cpu_node & 0xffff) |
		       (u64)(cpu_node >> 16 & 0xf) << 48;
}

static void gdt_set_cpu_node(int cpu, int node)
{
	u32 v = (u32)cpu | (u32)(node < 0 ? 0 : node) << 12;
	u64 *gdt = *this_cpu_ptr(&cpu_gdt);

	gdt[GDT_CPU] = 0x0040f50000000000ull | (v & 0xffff) | (u64)(v >> 16 & 0xf) << 48;
	if (cpu_has(rdtscp) || cpu_has(rdpid))
		wrmsr(0xc0000103, v); /* IA32_TSC_AUX */
}

void gdt_init_cpu(int cpu, int node, void *ist_stacks)
{
	struct cpu_tss *tss = this_cpu_ptr(&cpu_tss);
	u64 *gdt = *this_cpu_ptr(&cpu_gdt);
	u64 rsp0 = tss->rsp0;

	memset(tss, 0, sizeof(*tss));
	tss->rsp0 = rsp0;
	for (int i = 0; i < NR_IST; i++) {
		u64 top = (u64)ist_stacks + (u64)(i + 1) * IST_STACK_SIZE - 16;
		*(u64 *)top = percpu_delta[cpu]; /* for paranoid_common */
		tss->ist[i] = top;
	}
	tss->iomap = sizeof(*tss) - 4;
	/* With isolation the CPU uses another segment, and cpu_tss.rsp0 still is the thread's stack. */
	if (cpu_has(pti)) {
		struct cpu_tss *entry = this_cpu_ptr(&pti_tss);

		*entry = *tss;
		entry->rsp0 = pti_stack_top();
		tss = entry;
	}
	gdt_fill(gdt, (u64)tss + 4, 0);
	gdt_load(gdt);
	/* The selector of GS may be anything; its base must survive, so it is set again. */
	wrmsr(MSR_GS_BASE, percpu_delta[cpu]);
	asm volatile("ltr %w0" ::"r"(GDT_TSS * 8));
	asm volatile("lldt %w0" ::"r"(0));
	gdt_set_cpu_node(cpu, node);
}

/* Once the features are known: the boot CPU's tables were loaded before. */
void gdt_init_again(void)
{
	if (cpu_has(pti))
		gdt_init_cpu(0, 0, boot_ist_stacks);
}

u64 idt_address(void)
{
	return (u64)idt;
}

void gdt_init_boot(void)
{
	gdt_init_cpu(0, 0, boot_ist_stacks);
}

u64 ist_stack_base(int n)
{
	u64 top = this_cpu_ptr(&cpu_tss)->ist[n - 1];
	return top & ~(u64)(IST_STACK_SIZE - 1);
}

static u8 gate_ist(unsigned vec)
{
	switch (vec) {
	case 1:
		return IST_DB;
	case 2:
		return IST_NMI;
	case 8:
		return IST_DF;
	case 18:
		return IST_MC;
	default:
		return 0;
	}
}

void idt_init(void)
{
	for (unsigned v = 0; v < 256; v++) {
		u64 a = (u64)idt_stubs + 16 * v;
		idt[v] = (struct idt_gate){
			.offset_low = (u16)a,
			.selector = KERNEL_CS,
			.ist = gate_ist(v),
			.type = v == 3 || v == 4 ? 0xee : 0x8e,
			.offset_mid = (u16)(a >> 16),
			.offset_high = (u32)(a >> 32),
		};
	}
}

void idt_load(void)
{
	struct table_register r = { sizeof(idt) - 1, (u64)idt };

	asm volatile("lidt %0" ::"m"(r));
}

void syscall_msr_init(void)
{
	wrmsr(0xc0000081, (u64)USER_CS32 << 48 | (u64)KERNEL_CS << 32); /* STAR */
	wrmsr(0xc0000082, (u64)syscall_entry); /* LSTAR */
	wrmsr(0xc0000083, 0); /* CSTAR: compatibility mode has no gate */
	/* SFMASK: TF, IF, DF, IOPL, NT, RF, AC, ID and the arithmetic flags are off in the kernel. */
	wrmsr(0xc0000084, 0x257fd5);
	wrmsr(0x174, 0); /* SYSENTER_CS: #GP */
	wrmsr(0xc0000102, 0); /* KERNEL_GS_BASE: the user's, 0 at first */
}
