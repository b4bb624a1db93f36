/* Instructions, model-specific registers and CPUID features. */
#ifndef X86_CPU_H
#define X86_CPU_H

#include <lib/compiler.h>
#include <lib/types.h>
#include <x86/irqflags.h>

static inline void cpu_relax(void) { asm volatile("pause" ::: "memory"); }
static inline u64 rdtsc(void)
{
	u32 lo, hi;
	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}
/*
 * IA32_PAT. PA0 WB, PA1 WT, PA2 UC-, PA3 UC: as after reset, so that entries made by the loader keep their
 * meaning. PA4 WC, PA5 WP, PA6 UC-, PA7 UC: the PAT bit alone makes write-combining.
 */
#define PAT_VALUE 0x0007050100070406ull

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 read_cr0(void) { u64 v; asm volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u64 read_cr2(void) { u64 v; asm volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline u64 read_cr3(void) { u64 v; asm volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u64 read_cr4(void) { u64 v; asm volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void write_cr0(u64 v) { asm volatile("mov %0, %%cr0" ::"r"(v) : "memory"); }
static inline void write_cr3(u64 v) { asm volatile("mov %0, %%cr3" ::"r"(v) : "memory"); }
static inline void write_cr4(u64 v) { asm volatile("mov %0, %%cr4" ::"r"(v) : "memory"); }
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

/* Interrupts on, then sleep until the next one: STI takes effect after the following instruction (SDM vol. 2B, STI), so none is
 * lost between. => irqs off before, on after */
static inline void cpu_halt_irqs_on(void) { asm volatile("sti; hlt" ::: "memory"); }

/* Hardware random numbers; false when the unit had none ready. => only with cpu_has(rdrand) / cpu_has(rdseed) */
static inline bool rdrand64(u64 *v)
{
	bool ok;
	asm volatile("rdrand %0" : "=r"(*v), "=@ccc"(ok));
	return ok;
}
static inline bool rdseed64(u64 *v)
{
	bool ok;
	asm volatile("rdseed %0" : "=r"(*v), "=@ccc"(ok));
	return ok;
}

/* Features in use (present on every CPU and not switched off on the command line). Immutable after SMP bring-up. */
struct cpu_features {
	bool nx, smep, smap, umip, pge, pcid, invpcid, fsgsbase, la57, gb_pages, pku, pti;
	bool xsave, xsaveopt, xsavec, avx, avx2, avx512;
	bool rdrand, rdseed, rdtscp, rdpid, tsc_deadline, tsc_invariant, x2apic, monitor, arat, erms, fsrm, pat, hypervisor;
	char vendor[13], model[49];
	u32 family, model_nr, stepping;
	u8 phys_bits, virt_bits;
};
extern struct cpu_features cpu_features;
#define cpu_has(f) (cpu_features.f)
u32 cpu_hwcap(void); /* AT_HWCAP: CPUID.1:EDX */
/* Text of /proc/cpuinfo for one CPU into a seq_buf. */
struct seq_buf;
void cpuinfo_show(struct seq_buf *s, int cpu);

/* Zero / copy one 4096-byte page (direct-map addresses); uses the widest stores the CPU has. */
void clear_page(void *page);
void copy_page(void *to, const void *from);
void clear_pages(void *page, unsigned npages);

/* Power: through EFI runtime services, then ACPI/keyboard/triple fault. => never return */
void machine_poweroff(void) __attribute__((noreturn));
void machine_reboot(void) __attribute__((noreturn));
void machine_halt(void) __attribute__((noreturn));

/* Cross-CPU calls. @fn runs in interrupt context on every CPU of @mask except this one; wait: until all are done.
 * => preemption off or caller pinned; interrupts on when waiting. */
void smp_call_mask(u64 mask, void (*fn)(void *), void *arg, bool wait);
void smp_send_reschedule(int cpu);

#endif
