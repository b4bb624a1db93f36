/* Device interrupts: vectors are handed out per line or message; handlers run in hard interrupt context. */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include <lib/types.h>

typedef void (*irq_handler_t)(void *arg);
/* Routes an ISA IRQ (through MADT overrides) or a global system interrupt. 0 or -errno; handler may run at once. */
int irq_request_isa(unsigned isa_irq, irq_handler_t fn, void *arg, const char *name);
int irq_request_gsi(unsigned gsi, bool level, bool active_low, irq_handler_t fn, void *arg, const char *name);
/* Allocates a vector for MSI; fills address/data to program. 0 or -ENOSPC. */
int irq_request_msi(irq_handler_t fn, void *arg, const char *name, u64 *addr, u32 *data);
u64 irq_count(unsigned vector, int cpu); /* for /proc/interrupts */

#endif
