/* What the firmware's ACPI tables say, checked and copied. Every count is 0 where there are no tables. */
#ifndef X86_ACPI_H
#define X86_ACPI_H

#include <kernel/percpu.h>
#include <lib/types.h>

struct handoff;

struct acpi_ioapic { u32 id, gsi_base; u64 phys; };
struct acpi_override { u8 isa_irq; bool level, active_low; u32 gsi; };
struct acpi_mcfg { u64 phys; u16 segment; u8 bus_start, bus_end; };
struct acpi_reg { u8 space; u8 width; u64 addr; }; /* space 0 memory, 1 ports; addr 0: none */

struct acpi_info {
	u64 lapic_phys;
	bool pic_present, no_i8042, no_cmos_rtc, reset_supported;
	u32 nr_ioapics, nr_overrides, nr_mcfg, nr_cpus;
	struct acpi_ioapic ioapics[16];
	struct acpi_override overrides[16];
	struct acpi_mcfg mcfg[16];
	u64 hpet_phys;
	u32 pm_timer_port;
	bool pm_timer_32bit;
	u32 pm1a_control, pm1b_control;
	struct acpi_reg reset;
	u8 reset_value;
	u8 slp_typ5a, slp_typ5b;
	bool have_s5;
	u32 nmi_lint; /* bit n: LINTn is NMI on all CPUs */
};
extern struct acpi_info acpi;

/* Reads all tables: CPUs, nodes and their distances reach mm by node_add_range and cpu_set_node. => bootmem works */
void acpi_init(const struct handoff *h);
/* APIC id of a CPU number; CPU 0 is the boot CPU, whatever its id. */
u32 acpi_cpu_apic_id(int cpu);
/* This CPU does not start: the ones behind it move down by one, with their nodes. */
void acpi_drop_cpu(int cpu);

#endif
