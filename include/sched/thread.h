/*
 * struct thread: what the scheduler sees: a kernel stack, a machine state, a policy, an address space.
 * States: TASK_* (kernel/wait.h). A thread is on exactly one run queue while runnable (on_rq), and on_cpu while it runs.
 */
#ifndef SCHED_THREAD_H
#define SCHED_THREAD_H

#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/wait.h>
#include <lib/rbtree.h>
#include <x86/thread.h>

struct mm;

/* thread->flags, changed by atomic bit operations; any set bit of TIF_WORK_MASK sends a return to user mode through exit_to_user_work */
#define TIF_SIGPENDING 0
#define TIF_NEED_RESCHED 1
#define TIF_NOTIFY_RESUME 2
#define TIF_RESTORE_SIGMASK 3
#define TIF_MEMDIE 4
#define TIF_SYSCALL_TRACE 8 /* system calls go through the slow path */
#define TIF_WORK_MASK ((1u << TIF_SIGPENDING) | (1u << TIF_NEED_RESCHED) | (1u << TIF_NOTIFY_RESUME))

#define SCHED_NORMAL 0
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_BATCH 3
#define SCHED_IDLE 5
#define SCHED_DEADLINE 6

struct sched_class;
struct run_queue;

struct sched_entity {
	struct rb_node node; /* (rq) */
	struct list_head rt_link; /* (rq) */
	u64 vruntime, deadline, slice_ns; /* (rq) */
	u64 min_deadline;
	u32 weight, inv_weight;
	u64 exec_start, sum_exec, prev_sum_exec; /* ns */
	s64 vlag;
};

struct thread {
	u32 flags; /* (a) TIF_*; first, for the entry code */
	u32 state; /* (a) TASK_* */
	struct arch_thread arch;
	struct mm *mm; /* NULL: kernel thread */
	struct mm *active_mm; /* tables loaded while running */
	s32 cpu; /* (rq) CPU whose queue it belongs to */
	s32 last_cpu;
	u8 on_rq, on_cpu; /* (rq) / (a) */
	u8 policy;
	u8 reset_on_fork;
	u8 is_idle;
	s8 nice; /* -20..19 */
	u8 rt_priority; /* 1..99 for FIFO, RR */
	const struct sched_class *class; /* (rq) */
	struct sched_entity se;
	cpumask_t affinity; /* (rq) */
	s32 refs; /* (a) */
	void *kstack; /* lowest address */
	struct ktimer *sleep_timer;
	u64 utime_ns, stime_ns; /* (own CPU) sampled by the tick, scaled to se.sum_exec when read */
	u64 nvcsw, nivcsw;
	u64 start_time; /* monotonic ns */
	char comm[16];
	u32 vfork_pad;
	s32 preempt_pad;
};

/* Scheduler, used by proc. */
void sched_init(void); /* boot CPU: the running context becomes its idle thread */
void sched_cpu_init(int cpu, struct thread *idle);
void sched_fork(struct thread *t, const struct thread *parent); /* policy, weight, vruntime; not yet runnable */
void sched_wake_new(struct thread *t); /* first time runnable; picks a CPU */
void sched_exit(void) __attribute__((noreturn)); /* last switch of a dead thread: state TASK_DEAD; its stack is released by the next */
void sched_thread_release(struct thread *t); /* implemented by proc: called after the dead thread's stack is no longer in use */
void sched_tick(void); /* timer interrupt, irqs off */
void sched_yield(void);
void resched_cpu(int cpu);
int sched_set_policy(struct thread *t, int policy, int rt_priority, int nice);
int sched_set_affinity(struct thread *t, cpumask_t mask);
void sched_set_nice(struct thread *t, int nice);
u64 sched_runtime_ns(struct thread *t); /* exact up to now */
void idle_loop(void) __attribute__((noreturn));
u64 nr_running(void);
u64 sched_idle_ns(int cpu); /* for /proc/stat */
u64 sched_switches(void);
extern u64 avenrun[3]; /* load average, fixed point 11 bits */
u64 sched_check(void); /* checker of run queues */
extern int load_balance_enabled;

static inline void thread_set_flag(struct thread *t, int bit) { __atomic_fetch_or(&t->flags, 1u << bit, __ATOMIC_ACQ_REL); }
static inline void thread_clear_flag(struct thread *t, int bit) { __atomic_fetch_and(&t->flags, ~(1u << bit), __ATOMIC_ACQ_REL); }
static inline bool thread_test_flag(const struct thread *t, int bit) { return READ_ONCE(t->flags) >> bit & 1; }

#endif
