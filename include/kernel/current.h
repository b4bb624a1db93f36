/*
 * The running thread, for the ranks that may not see struct thread or struct task.
 * current_thread() never changes as seen by the thread itself, so the compiler may keep it.
 */
#ifndef KERNEL_CURRENT_H
#define KERNEL_CURRENT_H

#include <kernel/percpu.h>

struct thread;
DECLARE_PER_CPU(struct thread *, cpu_current);

static inline struct thread *current_thread(void)
{
	return __pcp(cpu_current);
}

#endif
