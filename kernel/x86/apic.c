/*
 * Local APIC (SDM vol. 3A chapter 10), as xAPIC through memory or as x2APIC through MSRs.
 *
 * x2APIC is used where firmware left it on, and where the CPU has it and an APIC id needs it or a
 * hypervisor offers it; else xAPIC. An interrupt command in xAPIC mode is two writes: interrupts are
 * off between them, and the delivery bit is waited for, so that a command cannot be overwritten.
 */
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <kernel/time.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2 (1ull << 10)

/* Register offsets of the memory form; the MSR is 0x800 + offset / 16. */
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SPURIOUS 0xf0
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PERF 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_INIT 0x380
#define APIC_TIMER_COUNT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define LVT_EXTINT (7u << 8)
#define LVT_DEADLINE (2u << 17)

#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)

static volatile char *regs; /* NULL in x2APIC mode */
static bool x2, present;

static u32 apic_read(u32 reg)
{
	return x2 ? (u32)rdmsr(0x800 + (reg >> 4)) : readl(regs + reg);
}

static void apic_write(u32 reg, u32 v)
{
	if (x2)
		wrmsr(0x800 + (reg >> 4), v);
	else
		writel(regs + reg, v);
}

bool apic_present(void)
{
	return present;
}

/* Also before apic_init: then from CPUID. */
u32 apic_id(void)
{
	u32 r[4];

	if (present)
		return x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
	cpuid(0, 0, r);
	if (r[0] >= 11) {
		cpuid(11, 0, r);
		if (r[1])
			return r[3];
	}
	cpuid(1, 0, r);
	return r[1] >> 24;
}

void apic_eoi(void)
{
	if (x2)
		wrmsr(0x800 + (APIC_EOI >> 4), 0);
	else
		writel(regs + APIC_EOI, 0);
}

static void icr_write(u32 id, u32 command)
{
	if (x2) {
		/* The MSR write is not ordered after earlier stores (SDM vol. 3A 10.12.3). */
		asm volatile("mfence; lfence" ::: "memory");
		wrmsr(0x800 + (APIC_ICR >> 4), (u64)id << 32 | command);
		return;
	}
	u64 flags = local_irq_save();
	for (u32 i = 0; readl(regs + APIC_ICR) & ICR_PENDING && i < 100000; i++)
		cpu_relax();
	writel(regs + APIC_ICR_HIGH, id << 24);
	writel(regs + APIC_ICR, command);
	local_irq_restore(flags);
}

void apic_send_ipi(int cpu, unsigned vector)
{
	icr_write(acpi_cpu_apic_id(cpu), vector | ICR_ASSERT);
}

void apic_send_nmi(int cpu)
{
	icr_write(acpi_cpu_apic_id(cpu), ICR_NMI | ICR_ASSERT);
}

void apic_send_init(u32 id, bool assert)
{
	if (assert)
		icr_write(id, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	else if (!x2) /* de-assert exists for the oldest ones only */
		icr_write(id, ICR_INIT | ICR_LEVEL);
}

void apic_send_startup(u32 id, unsigned page)
{
	icr_write(id, ICR_STARTUP | ICR_ASSERT | page);
}

/* Where no IOAPIC is known, the 8259s' output comes in through the boot CPU's LINT0. */
void apic_accept_pic(void)
{
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
}

void apic_timer_mode(bool tsc_deadline)
{
	apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_DEADLINE : 0));
	/* The LVT write must be seen before the first deadline (SDM vol. 3A 10.5.4.1). */
	asm volatile("mfence" ::: "memory");
}

void apic_timer_set(u32 count)
{
	apic_write(APIC_TIMER_INIT, count);
}

u32 apic_timer_read(void)
{
	return apic_read(APIC_TIMER_COUNT);
}

void apic_cpu_init(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if (!present)
		return;
	/* xAPIC -> x2APIC is one way; both bits at once from "off" is not allowed (SDM vol. 3A 10.12.5). */
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base |= APIC_BASE_ENABLE);
	if (x2 && !(base & APIC_BASE_X2))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	apic_write(APIC_TPR, 0);
	if (!x2) {
		apic_write(APIC_DFR, 0xffffffff);
		apic_write(APIC_LDR, 0);
	}
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | (acpi.nmi_lint & 1 ? LVT_NMI : 0));
	apic_write(APIC_LVT_LINT1, acpi.nmi_lint & 2 ? LVT_NMI : LVT_MASKED);
	apic_write(APIC_LVT_ERROR, VECTOR_ERROR);
	apic_write(APIC_SPURIOUS, VECTOR_SPURIOUS | 1u << 8);
	apic_write(APIC_ESR, 0);
	/* Whatever firmware left in service: at most 256 vectors. */
	for (int i = 0; i < 256; i++) {
		u32 any = 0;
		for (u32 r = 0x100; r < 0x180; r += 0x10)
			any |= apic_read(r);
		if (!any)
			break;
		apic_eoi();
	}
}

void apic_init(void)
{
	u32 r[4], highest = 0;

	cpuid(1, 0, r);
	pic_init();
	if (!(r[3] >> 9 & 1) && !(rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLE)) {
		pr_warn("apic: this CPU has none: no timer, no interrupts\n");
		return;
	}
	for (u32 i = 0; i < acpi.nr_cpus; i++)
		highest = max(highest, acpi_cpu_apic_id((int)i));
	bool on = rdmsr(MSR_APIC_BASE) & APIC_BASE_X2;
	x2 = on || (cpu_has(x2apic) && (highest > 254 || cpu_has(hypervisor) || cmdline_has("x2apic")));
	if (!x2) {
		regs = ioremap(acpi.lapic_phys, 4096, CACHE_UC);
		if (!regs)
			panic("no address space for the local APIC");
	}
	present = true;
	apic_cpu_init();
	pr_info("apic: %s, boot CPU has id %u\n", x2 ? "x2APIC" : "xAPIC", apic_id());
}
