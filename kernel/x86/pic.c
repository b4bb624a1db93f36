/*
 * The 8259 pair: remapped to vectors 0x20-0x2f and masked. It serves only where no IOAPIC is known
 * (no ACPI tables): then irq_request_isa() opens single lines here, and the local APIC passes the
 * interrupt on. Intel 8259A.
 */
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/io.h>

#define PIC1 0x20
#define PIC2 0xa0
#define PIC_EOI 0x20
#define PIC_READ_ISR 0x0b

static u16 masked = 0xffff;

void pic_init(void)
{
	/* ICW1-4: edge, cascade; vector base; the cascade line; 8086 mode */
	static const u8 first[] = { 0x11, VECTOR_PIC, 0x04, 0x01 }, second[] = { 0x11, VECTOR_PIC + 8, 0x02, 0x01 };

	if (!acpi.pic_present)
		return;
	for (int i = 0; i < 4; i++) {
		outb(PIC1 + (i > 0), first[i]);
		outb(PIC2 + (i > 0), second[i]);
	}
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

bool pic_open(unsigned irq)
{
	if (!acpi.pic_present || irq > 15 || irq == 2)
		return false;
	masked &= (u16)~(1u << irq | (irq > 7 ? 1u << 2 : 0));
	outb(PIC1 + 1, (u8)masked);
	outb(PIC2 + 1, (u8)(masked >> 8));
	return true;
}

/* True when the line really is in service: 7 and 15 also come when a request vanished. */
bool pic_in_service(unsigned irq)
{
	u16 port = irq > 7 ? PIC2 : PIC1;

	if ((irq & 7) != 7)
		return true;
	outb(port, PIC_READ_ISR);
	if (inb(port) & 0x80)
		return true;
	if (irq > 7)
		outb(PIC1, PIC_EOI); /* the cascade line was real */
	return false;
}

void pic_eoi(unsigned irq)
{
	if (irq > 7)
		outb(PIC2, PIC_EOI);
	outb(PIC1, PIC_EOI);
}
