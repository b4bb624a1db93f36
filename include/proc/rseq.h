/* Restartable sequences: kernel/proc/rseq.c. */
#ifndef PROC_RSEQ_H
#define PROC_RSEQ_H

#include <proc/impl.h>
#include <x86/thread.h>

void rseq_resume_slow(struct pt_regs *regs, bool signal);
/* On the way back to user mode after a switch, and before a signal's frame. => may sleep */
static inline void rseq_resume(struct pt_regs *regs, bool signal)
{
	if (unlikely(current->rseq))
		rseq_resume_slow(regs, signal);
}
int rseq_write_cpu(struct task *t, u32 start, u32 cpu); /* -EFAULT */

#endif
