/* Bring-up steps of the machine layer, in the order kernel/main.c takes them, and what its parts share. */
#ifndef X86_MACHINE_H
#define X86_MACHINE_H

#include <kernel/cpumask.h>
#include <lib/types.h>
#include <x86/pgtable.h>

struct handoff;
struct pt_regs;
struct thread;

/* percpu.c */
void percpu_boot_init(void); /* the first call of all */
int percpu_cpu_init(int cpu, int node); /* memory of another CPU's variables; 0 or -ENOMEM */

/* cpu.c */
void cpu_detect(void); /* CPUID of the boot CPU against the command line */
void cpu_enable(void); /* control registers and MSRs of the running CPU, as detected */
bool cpu_matches_boot(void); /* the running CPU has every feature in use */
void smap_patch(void); /* boot CPU, before interrupts */

/* pgtable.c */
void pgtable_note_handoff(const struct handoff *h); /* phys_to_virt works from here on */
void pgtable_init(const struct handoff *h); /* adopts the loader's tables; needs bootmem */
void pgtable_choose_vmalloc(const struct handoff *h); /* before vmalloc_init; random where the direct map is */
void pgtable_plant_wx(void); /* makes a writable and executable mapping: the audit must find it */
void pgtable_late(void); /* the page allocator works from now on */
u64 pgtable_trampoline(u64 page); /* fills a low page as a root table with an identity part; its address */
void pgtable_trampoline_done(void);

/* A root table of one's own: maps [va, va+len) in the lower half. 0 or -ENOMEM */
int pgtable_map_in(pgd_t *root, u64 va, u64 pa, u64 len, u64 prot, bool large);
u64 pgtable_lookup_in(pgd_t *root, u64 va); /* physical address, ~0 when nothing is mapped */

/* tlb.c */
void tlb_cpu_init(void); /* this CPU runs on kernel_pgd, nothing cached */

/* tsc.c, time of day */
void clock_early_init(void); /* raw TSC with a guess, until calibrated */
void clock_init(void); /* calibrates against HPET, PM timer or PIT; the APIC timer too */
void clock_realtime_init(void); /* RTC */
void clock_event_init(void); /* the APIC timer's rate; boot CPU, after apic_init */
void clock_cpu_init(void); /* this CPU's event timer */
void clock_sync_source(int cpu); /* boot CPU's half of the cross-CPU check */
void clock_sync_target(void); /* the new CPU's half */
void clock_sync_reset(void);
void clock_event_interrupt(void);

/* fpu.c */
void fpu_init(void); /* boot CPU: sizes */
void fpu_cpu_init(void);
void page_ops_init(void); /* picks clear_page and copy_page by the vector registers in use */

/* smp.c */
void smp_init(const struct handoff *h); /* starts the other CPUs */
void smp_call_interrupt(void);

/* efi_rt.c */
void efi_rt_init(const struct handoff *h);
void efi_rt_reset(unsigned type); /* 0 cold, 2 shut down; returns when the firmware does not do it */
bool efi_rt_recover(struct pt_regs *regs); /* a fault inside a runtime call: regs now return from it */
bool umip_emulate(struct pt_regs *regs); /* #GP of SGDT, SIDT, SLDT, STR or SMSW in user mode: done in software. => irqs on; false: another instruction */
u64 efi_rt_time(void); /* seconds since 1970, 0 when the firmware cannot tell */

/* thread.c */
void arch_first_run(struct thread *prev);

/* entry points in assembly */
extern char kernel_entry[], ap_entry[], syscall_entry[], idt_stubs[];
/* What ap_entry finds: head.S knows the layout. */
struct ap_boot { u64 cr3, stack, gs_base; };

#endif
