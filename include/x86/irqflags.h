/* Interrupt flag of this CPU. local_irq_save returns RFLAGS as they were. */
#ifndef X86_IRQFLAGS_H
#define X86_IRQFLAGS_H

#include <lib/types.h>

#define X86_EFLAGS_IF (1ull << 9)
#define X86_EFLAGS_RF (1ull << 16) /* the next instruction meets no breakpoint of its own */

#ifdef HOST_TEST
/* A test is one thread: nothing interrupts it. */
static inline u64 local_flags(void) { return X86_EFLAGS_IF; }
static inline void local_irq_disable(void) {}
static inline void local_irq_enable(void) {}
#else
static inline u64 local_flags(void)
{
	u64 f;
	asm volatile("pushfq; popq %0" : "=r"(f)::"memory");
	return f;
}
static inline void local_irq_disable(void)
{
	asm volatile("cli" ::: "memory");
}
static inline void local_irq_enable(void)
{
	asm volatile("sti" ::: "memory");
}
#endif
static inline u64 local_irq_save(void)
{
	u64 f = local_flags();
	local_irq_disable();
	return f;
}
static inline void local_irq_restore(u64 f)
{
	if (f & X86_EFLAGS_IF)
		local_irq_enable();
}
static inline bool irqs_disabled(void)
{
	return !(local_flags() & X86_EFLAGS_IF);
}

#endif
