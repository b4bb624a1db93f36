/*
 * simcpu.h - CPUs as threads, for what is lock-free or per CPU: each thread's GS base leads to a copy of the per-CPU variables, as
 * on a real CPU.  Spinlocks are the kernel's; RCU is kernel/sync/rcu.c with its thread.  For ThreadSanitizer.
 *
 * A CPU is interrupted where it says so (sim_poll, and where it waits for others), and passes a quiescent state in sim_pass.
 */
#ifndef TEST_HOST_SIMCPU_H
#define TEST_HOST_SIMCPU_H

#include <lib/types.h>
#include "kstubs.h"

/* Makes n CPUs (CPU 0 is the main thread's, whose variables are the templates) and starts RCU. => before anything used a
 * per-CPU variable */
void sim_start(int n);
/* Runs fn(cpu) on every CPU at once, CPU 0 too, and waits for all. */
void sim_run(void (*fn)(int cpu));
/* What other CPUs asked this one to run. */
void sim_poll(void);
/* No reader is active on this CPU now; interrupts come in. */
void sim_pass(void);
/* Random numbers of the calling thread. */
u64 sim_rand_below(u64 n);

#endif
