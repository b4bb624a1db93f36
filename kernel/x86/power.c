/* Power-off and reset: the firmware's own service first, then ACPI's registers, then the old ways. */
#include <kernel/printk.h>
#include <kernel/time.h>
#include <x86/acpi.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>

void machine_halt(void)
{
	local_irq_disable();
	for (;;)
		asm volatile("cli; hlt");
}

/* ACPI 6.4 4.8.3.2: SLP_TYP in bits 10-12, SLP_EN bit 13. */
static void acpi_s5(void)
{
	if (!acpi.have_s5 || !acpi.pm1a_control)
		return;
	outw((u16)acpi.pm1a_control, (u16)(acpi.slp_typ5a << 10 | 1u << 13));
	if (acpi.pm1b_control)
		outw((u16)acpi.pm1b_control, (u16)(acpi.slp_typ5b << 10 | 1u << 13));
	udelay(100000);
}

void machine_poweroff(void)
{
	local_irq_disable();
	efi_rt_reset(2);
	acpi_s5();
	printk(LOG_EMERG, "power: the machine does not switch off; it is safe to do so by hand");
	machine_halt();
}

static void acpi_reset(void)
{
	if (!acpi.reset_supported || !acpi.reset.addr)
		return;
	if (acpi.reset.space == 1)
		outb((u16)acpi.reset.addr, acpi.reset_value);
	else if (acpi.reset.space == 0 && kva_to_phys((u64)phys_to_virt(acpi.reset.addr)) != ~0ull)
		*(volatile u8 *)phys_to_virt(acpi.reset.addr) = acpi.reset_value;
	udelay(50000);
}

void machine_reboot(void)
{
	local_irq_disable();
	efi_rt_reset(0);
	acpi_reset();
	outb(0xcf9, 0x02); /* PIIX and ICH reset control: hard reset in two steps */
	udelay(50);
	outb(0xcf9, 0x06);
	udelay(50000);
	for (int i = 0; i < 10; i++) { /* 8042: pulse the reset line */
		outb(0x64, 0xfe);
		udelay(10000);
	}
	/* A fault without an IDT is a triple fault, which resets. */
	struct { u16 limit; u64 base; } __attribute__((packed)) none = { 0, 0 };
	asm volatile("lidt %0; int3" ::"m"(none));
	machine_halt();
}
