/*
 * Signals. Pending sets per thread and per group; handlers in struct sighand. All under sighand->lock (irq-safe).
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include <kernel/mutex.h>
#include <kernel/time.h>
#include <lib/list.h>
#include <uapi/resource.h>
#include <uapi/signal.h>

struct task;
struct tty;
struct pid;

typedef u64 sigset_t; /* bit n-1 is signal n */
#define sigmask(n) (1ull << ((n) - 1))
#define SIG_KERNEL_ONLY (sigmask(9) | sigmask(19)) /* SIGKILL, SIGSTOP */

struct k_sigaction { u64 handler, flags, restorer; sigset_t mask; };
struct user;
struct sigqueue { struct list_head link; siginfo_t info; void *timer; struct user *user; };
struct sigpending { struct list_head list; sigset_t set; };
struct sighand {
	spinlock_t lock;
	s32 refs;
	struct k_sigaction action[64];
	wait_queue_t signalfd_wait;
};
struct signal_state { /* shared by a thread group */
	s32 refs, live, nr_threads; /* (a), (a), (sighand->lock) */
	struct list_head threads; /* (sighand->lock, RCU; nobody changes it while tasklist_lock is read) */
	/*
	 * (inside tasklist_lock) The children of all threads of this group: the lists, their becoming zombies and dead, and
	 * telling this group of it. So who waits finds either no zombie, and is woken later, or one that was announced.
	 */
	spinlock_t family;
	struct sigpending shared_pending;
	struct task *curr_target;
	wait_queue_t wait_chldexit;
	s32 group_exit_code;
	u32 flags; /* SIGNAL_* */
	s32 group_stop_count, stop_code;
	struct task *group_exec_task;
	s32 notify_count;
	struct tty *tty; /* (sighand lock) controlling terminal */
	s32 leader; /* session leader */
	struct rlimit rlim[RLIM_NLIMITS]; /* (alloc_lock of leader) */
	u64 utime, stime, cutime, cstime; /* ns of dead threads / reaped children */
	u64 min_flt, maj_flt, cmin_flt, cmaj_flt, nvcsw, nivcsw, cnvcsw, cnivcsw, maxrss, cmaxrss;
	struct ktimer real_timer; /* ITIMER_REAL */
	u64 it_real_incr;
	struct { u64 value, incr; } it_cpu[2]; /* (sighand lock) ITIMER_VIRTUAL, PROF: CPU time of expiry, 0 off; ns */
	struct ktimer cpu_timer; /* looks at it_cpu and RLIMIT_CPU when they may be due */
	struct list_head posix_timers;
	s32 next_timer_id;
	s32 oom_score_adj;
	struct core_dump *core; /* (sighand lock) the group is being dumped */
	u32 coredump_filter; /* which mappings (core(5)) */
	s32 is_child_subreaper;
	u64 sum_exec; /* ns run by dead threads */
	bool has_child_subreaper; /* an ancestor is one */
	u32 rlimit_cpu_warned; /* seconds at which SIGXCPU was last sent */
};
#define SIGNAL_GROUP_EXIT 1u
#define SIGNAL_STOPPED 2u
#define SIGNAL_CONTINUED 4u
#define SIGNAL_UNKILLABLE 8u
#define SIGNAL_CLD_STOPPED 16u /* the parent is to be told, by the next thread that looks at its signals */
#define SIGNAL_CLD_CONTINUED 32u
#define SIGNAL_CLD_MASK (SIGNAL_CLD_STOPPED | SIGNAL_CLD_CONTINUED)

/* Sending: 0 or -errno. group: to the process, else to that thread. info NULL: from the kernel (SI_KERNEL). => any context */
int send_signal(int sig, const siginfo_t *info, struct task *t, bool group);
int send_sig_pgrp(int sig, struct pid *pgrp); /* from the kernel: terminals */
void force_signal(int sig, int code, u64 addr, struct task *t); /* cannot be blocked or ignored */
void force_signal_info(const siginfo_t *info, struct task *t, bool deadly); /* the same; deadly: nor handled */
int set_user_sigmask(const void __user *mask, u64 sigsetsize); /* ppoll, pselect, epoll_pwait: sets and saves; 0/-errno */
void restore_saved_sigmask_unless(bool interrupted);
void recalc_sigpending(void);
void set_current_blocked(sigset_t s);
/* signalfd: takes one of @mask; signal number or 0. */
int dequeue_signal(sigset_t mask, siginfo_t *info);
u64 rlimit_current(int res); /* rlim_cur of the running process */

#endif
