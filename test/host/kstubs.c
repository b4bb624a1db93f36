/*
 * kstubs.c - what host programs with parts of mm/ all need of the rest of the kernel: one CPU whose per-CPU variables are
 * the templates themselves (GS is 0), locks that nobody else ever holds, messages on the output.  Symbols are weak:
 * a program that wants another of them defines its own.
 */
#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/mutex.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/string.h>
#include <x86/layout.h>
#include "kstubs.h"

u64 percpu_delta[MAX_CPUS];
DEFINE_PER_CPU(u64, this_percpu_delta);
DEFINE_PER_CPU(u32, this_cpu_number);
DEFINE_PER_CPU(u32, preempt_count) = PREEMPT_NO_RESCHED;
DEFINE_PER_CPU(struct thread *, cpu_current);
__weak cpumask_t cpu_online_mask = 1, cpu_present_mask = 1;
__weak int nr_cpus = 1;
int stub_log_level = LOG_ERR;

__weak int cpus_possible(void) { return 1; }
void preempt_schedule(void) { abort(); }
bool may_sleep(void) { return preempt_depth() == 0; }
__weak void cond_resched(void) {}
__weak void spin_poll(void) {}
__weak void spin_lock_slow(spinlock_t *l) { panic("a spinlock is taken twice"); }
__weak void mutex_lock_slow(struct mutex *m) { panic("a mutex is taken twice"); }
__weak void mutex_unlock_slow(struct mutex *m) {}

void might_sleep_at(const char *file, int line)
{
	if (preempt_depth())
		panic("%s:%d: must not sleep here", file, line);
}

void clear_page(void *p) { memset(p, 0, PAGE_SIZE); }
void clear_pages(void *p, unsigned n) { memset(p, 0, n * PAGE_SIZE); }
void copy_page(void *to, const void *from) { memcpy(to, from, PAGE_SIZE); }

void printk(int level, const char *fmt, ...)
{
	va_list args;

	if (level > stub_log_level)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}
