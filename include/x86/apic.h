/* Local APIC, IOAPIC and the vector map. */
#ifndef X86_APIC_H
#define X86_APIC_H

#include <kernel/cpumask.h>
#include <lib/types.h>

/* Vectors: 0x00-0x1f exceptions, 0x30-0xef devices, above them what is ours. Priority is the upper half (SDM 3A 10.8.3). */
#define VECTOR_PIC 0x20 /* the PICs' 16 lines, all masked where there is an IOAPIC */
#define VECTOR_DEVICE 0x30
#define VECTOR_DEVICE_END 0xf0
#define VECTOR_TIMER 0xf0
#define VECTOR_RESCHED 0xf8
#define VECTOR_CALL 0xf9
#define VECTOR_TLB 0xfa
#define VECTOR_ERROR 0xfe
#define VECTOR_SPURIOUS 0xff

void pic_init(void); /* remaps and masks both 8259s */
bool pic_open(unsigned irq); /* lets one line through; false when there is no PIC */
bool pic_in_service(unsigned irq);
void pic_eoi(unsigned irq);
void apic_accept_pic(void);
void apic_init(void); /* finds the mode and enables the boot CPU's; after vmalloc */
void ioapic_init(void); /* maps all, everything masked */
void apic_cpu_init(void); /* the running CPU's */
bool apic_present(void);
u32 apic_id(void); /* of the running CPU */
void apic_eoi(void);
void apic_send_ipi(int cpu, unsigned vector); /* => any context */
void apic_send_nmi(int cpu);
void apic_send_init(u32 id, bool assert);
void apic_send_startup(u32 id, unsigned page);
/* The timer: counts at apic_timer_khz; 0 stops it. */
void apic_timer_mode(bool tsc_deadline);
void apic_timer_set(u32 count);
u32 apic_timer_read(void);

#endif
