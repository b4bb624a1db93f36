/* Machine checks: errors the CPU or its memory reports by #MC (Intel SDM vol. 3B chapter 16). */
#ifndef X86_MCE_H
#define X86_MCE_H

#include <lib/types.h>

struct pt_regs;

void mce_cpu_init(void); /* the running CPU: logs what its banks have from before, and has all of them report. Before CR4.MCE is set */
/* #MC. From user mode it comes on the thread's stack, interrupts off, and may sleep; the other on an IST stack, where nothing may be locked. */
void mce_from_user(struct pt_regs *regs);
void mce_from_kernel(struct pt_regs *regs);
void mce_init(void); /* workqueues work: what is found in kernel mode is dealt with from now on */
void mce_tick(void); /* in the timer's interrupt */

/* Doors upward (kernel/proc/memfail.c). The memory at a physical address failed. => may sleep */
void memory_failed(u64 phys); /* nobody consumed it yet: it is taken out of use */
void memory_failed_under(struct pt_regs *regs, u64 phys); /* the running program did: it is told besides */

#endif
