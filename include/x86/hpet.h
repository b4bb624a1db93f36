/*
 * The HPET's main counter (IA-PC HPET specification 1.0a): a clock that all CPUs share, and what the TSC is measured against.
 * Only its low 32 bits are read, as every HPET has them; hpet_count() makes 64 of them.
 */
#ifndef X86_HPET_H
#define X86_HPET_H

#include <lib/types.h>

extern u64 hpet_period_fs; /* of a tick; 0: there is none */
bool hpet_start(void); /* finds it and has it count; true when it does. => boot, after acpi_init */
u32 hpet_read(void);
/* The counter as 64 bits. => any context, without a lock; at least once in half a turn of the 32 bits from hpet_keep() on */
u64 hpet_count(void);
void hpet_keep(void); /* from now on a timer sees to that. => timers work; again is harmless */

#endif
