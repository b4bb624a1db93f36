/*
 * struct thread: what the scheduler sees: a kernel stack, a machine state, a policy, an address space.
 * States: TASK_* (kernel/wait.h). A thread is on exactly one run queue while runnable (on_rq), and on_cpu while it runs.
 */
#ifndef SCHED_THREAD_H
#define SCHED_THREAD_H

#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/wait.h>
#include <lib/list.h>
#include <sched/fairq.h>
#include <x86/thread.h>

struct mm;

/* thread->flags, changed by atomic bit operations; any set bit of TIF_WORK_MASK sends a return to user mode through exit_to_user_work */
#define TIF_SIGPENDING 0
#define TIF_NEED_RESCHED 1
#define TIF_NOTIFY_RESUME 2
#define TIF_RESTORE_SIGMASK 3
#define TIF_MEMDIE 4
#define TIF_SYSCALL_TRACE 8 /* system calls go through the slow path */
#define TIF_FULL_REGS 9 /* the saved user registers were edited (exec, sigreturn): leave by the long way */
#define TIF_SECCOMP 10 /* a filter looks at each system call */
#define TIF_SINGLESTEP 11 /* a tracer steps it: system calls end in a trap */
#define TIF_FORCED_TF 12 /* RFLAGS.TF is the tracer's, not the program's */
#define TIF_DEBUG 13 /* debug registers in use */
#define TIF_RSEQ 14 /* wants to know of each switch to it */
#define TIF_NOTSC 15 /* RDTSC faults in user mode */
#define TIF_DISPATCH 16 /* its own handler gets system calls made outside a range (PR_SET_SYSCALL_USER_DISPATCH) */
#define TIF_SWITCH_MASK ((1u << TIF_DEBUG) | (1u << TIF_RSEQ) | (1u << TIF_NOTSC))
#define TIF_ENTRY_MASK ((1u << TIF_SYSCALL_TRACE) | (1u << TIF_SECCOMP) | (1u << TIF_SINGLESTEP) | (1u << TIF_DISPATCH))
#define TIF_WORK_MASK ((1u << TIF_SIGPENDING) | (1u << TIF_NEED_RESCHED) | (1u << TIF_NOTIFY_RESUME))

#define SCHED_NORMAL 0
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_BATCH 3
#define SCHED_IDLE 5
#define SCHED_DEADLINE 6

enum sched_kind { SK_FAIR, SK_RT, SK_IDLE };

struct thread {
	u32 flags; /* (a) TIF_*; first, for the entry code */
	u32 state; /* (a) TASK_* */
	struct arch_thread arch;
	struct mm *mm; /* NULL: kernel thread */
	struct mm *active_mm; /* tables loaded while running */
	s32 cpu; /* (rq) CPU whose queue it belongs to */
	s32 last_cpu;
	u8 on_rq, on_cpu; /* (rq) / (a) */
	u8 policy; /* (rq) SCHED_* */
	u8 reset_on_fork;
	u8 kind; /* (rq) enum sched_kind, follows policy and rt_boost */
	s8 nice; /* (rq) -20..19 */
	u8 rt_priority; /* (rq) 1..99 for FIFO, RR */
	u8 rt_boost; /* (rq) lent by those who wait for its locks; 0: none */
	struct list_head rt_link; /* (rq) */
	struct sched_entity se;
	cpumask_t affinity; /* (rq) */
	s32 refs; /* (a) */
	void *kstack; /* lowest address */
	u64 utime_ns, stime_ns; /* (own CPU) sampled by the tick, scaled to se.sum_exec when read (sched_cputime) */
	u64 nvcsw, nivcsw;
	u64 start_time; /* monotonic ns */
	char comm[16];
	u32 vfork_pad;
	s32 preempt_pad;
#ifdef LOCKCHECK
	struct lock_stack locks; /* sleeping locks it holds */
#endif
};

/* Scheduler, used by proc. */
/* Boot CPU: the running context becomes its idle thread (on the boot stack). The first call of all that touch current. */
void sched_init(void);
/* Another CPU: makes its idle thread with a kernel stack (arch.kstack_top) and its run queue. The CPU then starts on that
 * stack with cpu_current set (per_cpu(cpu_current, cpu)), and ends its bring-up in idle_loop(). NULL when out of memory. */
struct thread *sched_cpu_create(int cpu);
/* Idle threads are struct thread with THREAD_ROOM zero bytes in all, so that whoever embeds struct thread (struct task)
 * may look at an idle thread's other fields. */
#define THREAD_ROOM 4096
/* First thing a new thread does on its own stack, called by x86's trampoline with what arch_switch_to returned:
 * finishes the switch. => irqs off before, on after */
void schedule_tail(struct thread *prev);
void sched_fork(struct thread *t, const struct thread *parent); /* policy, weight, vruntime; not yet runnable */
void sched_wake_new(struct thread *t); /* first time runnable; picks a CPU */
void sched_exit(void) __attribute__((noreturn)); /* last switch of a dead thread: state TASK_DEAD; its stack is released by the next */
void sched_thread_release(struct thread *t); /* implemented by proc: called after the dead thread's stack is no longer in use */
void sched_rseq_switch(struct thread *t); /* implemented by proc: a thread with TIF_RSEQ is about to run again */
void sched_yield(void); /* moves the caller behind its equals */
void resched_cpu(int cpu);
int sched_set_policy(struct thread *t, int policy, int rt_priority, int nice);
int sched_set_affinity(struct thread *t, cpumask_t mask);
void sched_set_nice(struct thread *t, int nice);
/* Lends @t the real-time priority @prio, 0: takes it back. It runs as FIFO at the higher of its own and the lent one. => any
 * context but with a run queue locked */
void sched_boost(struct thread *t, int prio);
/* The real-time priority it runs at, 0: not real-time. */
static inline int sched_rt_prio(const struct thread *t)
{
	return t->rt_priority > t->rt_boost ? t->rt_priority : t->rt_boost;
}
u64 sched_runtime_ns(struct thread *t); /* exact up to now */
void idle_loop(void) __attribute__((noreturn));
u64 nr_running(void);
u64 sched_idle_ns(int cpu); /* for /proc/stat */
u64 sched_switches(void);
u64 sched_user_ns(int cpu), sched_system_ns(int cpu), sched_nice_ns(int cpu); /* tick samples, for /proc/stat */
/* utime and stime of a thread: sum_exec divided in the proportion of the tick samples. */
void sched_cputime(struct thread *t, u64 *utime, u64 *stime);
extern u64 avenrun[3]; /* load average, fixed point 11 bits */
u64 sched_check(void); /* checker of run queues */
extern int load_balance_enabled;

static inline void thread_set_flag(struct thread *t, int bit) { __atomic_fetch_or(&t->flags, 1u << bit, __ATOMIC_ACQ_REL); }
static inline void thread_clear_flag(struct thread *t, int bit) { __atomic_fetch_and(&t->flags, ~(1u << bit), __ATOMIC_ACQ_REL); }
static inline bool thread_test_flag(const struct thread *t, int bit) { return READ_ONCE(t->flags) >> bit & 1; }

#endif
