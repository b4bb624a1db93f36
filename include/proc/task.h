/*
 * struct task: a Linux thread; a process is a thread group (shared struct signal_state).
 *
 * Life cycle: created by do_clone (invisible) -> attached to its pid and parents (inside tasklist_lock) -> running ->
 * EXIT_ZOMBIE (do_exit; memory, files gone) -> reaped by wait (EXIT_DEAD, unhashed) -> freed after a grace period when its last
 * reference and its stack are gone. Locks: tasklist_lock (tree, pids, groups; proc/tasklist.h), signal->family (children of a
 * group, see there), sighand->lock (signals), alloc_lock (mm, files, fs, creds pointers for others).
 */
#ifndef PROC_TASK_H
#define PROC_TASK_H

#include <kernel/rcu.h>
#include <lib/list.h>
#include <mm/mempolicy.h>
#include <proc/cred.h>
#include <proc/signal.h>
#include <proc/tasklist.h>
#include <sched/thread.h>
#include <uapi/resource.h>

struct files; /* fs/fdtable.h */
struct fs_context; /* fs/fs.h: root, cwd, umask */
struct tty;
struct pid;
struct file;

enum pid_kind { PIDK_PID, PIDK_TGID, PIDK_PGID, PIDK_SID, NR_PIDK };
struct pid { /* a number with the tasks that use it; RCU-safe lookup */
	s32 refs; /* (a) */
	pid_t nr;
	spinlock_t lock; /* lists, when only inside tasklist_lock */
	struct hlist_head tasks[NR_PIDK]; /* (tasklist_lock, lock) */
	wait_queue_t poll_wait; /* pidfd */
	struct rcu_head rcu;
};
/* A task keeps a reference to pids[PIDK_PID] until it is freed: a pidfd may use ->poll_wait of a reaped task. The other kinds
 * are only set in group leaders, and only while hashed. */

#define EXIT_ZOMBIE 1
#define EXIT_DEAD 2
#define EXIT_TRACE 3 /* its tracer has seen the end and gives it to the parent */

#define PF_EXITING 0x4u
#define PF_KTHREAD 0x200000u
#define PF_FORKNOEXEC 0x40u
#define PF_SIGNALED 0x400u
#define PF_VFORK 0x800u
#define PF_SUPERPRIV 0x100u
#define PF_RANDOMIZE 0x400000u
#define PF_IO_FLUSHER 0x180000u /* Linux's MEMALLOC_NOIO and LOCAL_THROTTLE; nothing here reclaims by writing, it is only kept */
#define PF_MCE_PROCESS 0x80u /* PR_MCE_KILL: set, and how: early or late */
#define PF_MCE_EARLY 0x8000000u
extern u64 memory_failure_early_kill; /* sysctl: early for those who did not say */

/* jobctl: low 16 bits are the signal of the last group stop */
#define JOBCTL_STOP_SIGMASK 0xffffu
#define JOBCTL_STOP_DEQUEUED (1u << 16) /* a stop signal was dequeued and no SIGCONT came since */
#define JOBCTL_STOP_PENDING (1u << 17) /* this thread must stop for the group */
#define JOBCTL_STOP_CONSUME (1u << 18) /* and counts in group_stop_count */
#define JOBCTL_TRAP_STOP (1u << 19) /* a tracee is to stop for its tracer */
#define JOBCTL_TRAP_NOTIFY (1u << 20) /* the group stopped or went on: a seized tracee tells */
#define JOBCTL_TRAPPING (1u << 21) /* the tracer waits for the stop */
#define JOBCTL_LISTENING (1u << 22) /* stopped, but for news only */
#define JOBCTL_FROZEN (1u << 23) /* the tracer works on it: not even SIGKILL wakes it now */
#define JOBCTL_TRAP_MASK (JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY)
#define JOBCTL_PENDING_MASK (JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK)

struct task {
	struct thread thread; /* first: task and thread convert for free */
	pid_t pid, tgid; /* (I) */
	u32 flags; /* PF_*, own */
	s32 exit_state; /* (family of the parent; threads: own) */
	s32 exit_code; /* wait status format */
	s32 exit_signal; /* sent to the parent; -1 thread */
	s32 pdeath_signal;
	struct files *files; /* (own; others under alloc_lock) NULL after exit */
	struct fs_context *fs;
	const struct cred *cred; /* (own; RCU for others) */
	struct signal_state *signal; /* (I) shared by the group */
	struct sighand *sighand; /* shared with CLONE_SIGHAND */
	sigset_t blocked, saved_sigmask; /* (own; sighand->lock to write) */
	sigset_t real_blocked; /* (sighand->lock) during sigtimedwait: blocked but for the wait */
	struct sigpending pending; /* (sighand->lock) */
	u32 jobctl; /* (sighand->lock) JOBCTL_* */
	u64 sas_sp, sas_size;
	u32 sas_flags;
	spinlock_t alloc_lock;
	struct task *real_parent, *parent; /* (tasklist_lock write) */
	struct list_head children, sibling; /* (family of the parent) */
	struct task *group_leader; /* (tasklist_lock write) */
	struct list_head thread_group; /* (sighand->lock, RCU) list of the group, headed by signal->threads */
	struct pid *pids[NR_PIDK];
	struct hlist_node pid_links[NR_PIDK];
	u32 __user *set_child_tid, *clear_child_tid;
	void __user *robust_list;
	struct completion *vfork_done;
	void *futex_wait; /* owned by futex.c */
	struct list_head pi_state; /* (futex_pi.c's pi_lock) contended PI locks it holds */
	struct futex_q *pi_wait; /* (pi_lock) in line for such a lock */
	u64 rseq; /* (own) the area shared with the program, 0: none */
	u32 rseq_len, rseq_sig;
	bool rseq_event; /* (own; the switch to it) it was away since it last returned to user mode */
	struct mempolicy mempolicy; /* (own; alloc_lock to change it and for other readers) */
	u32 interleave; /* (own) pages placed by turns */
	u64 oom_nodes; /* (own) found no memory on these, its policy allows no others */
	u64 min_flt, maj_flt;
	u64 timer_slack_ns, timer_slack_default; /* PR_SET_TIMERSLACK; what 0 sets it to */
	u64 ioac[6];
	struct { int kind; u64 deadline; void *arg[4]; long (*fn)(struct task *); } restart;
	void *io_context;
	void *nsproxy;
	u32 personality;
	s32 ioprio; /* ioprio_set(2), 0: by nice value */
	u32 no_new_privs, dumpable, keep_caps, securebits, child_subreaper;
	void (*start_fn)(void); /* runs once before the first return to user mode: PID 1 */
	void *sem_undo; /* owned by ipc_sem.c */
	bool make_it_fail; /* its allocations fail at random (mm/failinject.h) */
	struct seccomp_filter *seccomp; /* (sighand->lock to change) newest filter, referenced */
	u32 seccomp_mode; /* SECCOMP_MODE_*, 0: off */
	struct { u64 start, len; const u8 __user *selector; } dispatch; /* (own) TIF_DISPATCH: calls made from there pass */
	bool syscall_watched; /* (own) in a system call that a tracer saw begin */
	bool syscall_exit_due; /* (own) it shall see the end of one it did not see begin */
	u32 ptrace; /* (tasklist_lock write and sighand->lock) PT_*; 0: nobody traces it */
	struct list_head ptraced, ptrace_entry; /* (tasklist_lock write) tracees; on the tracer's list */
	u64 ptrace_message; /* (sighand->lock) of the stop */
	siginfo_t *last_siginfo; /* (sighand->lock) of the stop, on the tracee's stack */
	struct rcu_head rcu;
};
#define current ((struct task *)current_thread())
static inline struct task *task_of(struct thread *t) { return (struct task *)t; }

extern struct task *init_task_ptr; /* PID 1 */
/* The leader of the process with the lowest number >= *@from, which then is that number + 1; NULL: no more. => RCU or tasklist_lock */
struct task *process_next(pid_t *from);
#define for_each_process(t) for (pid_t after_ = 1; ((t) = process_next(&after_)) != NULL;)

/* References. task_find: RCU or referenced by _get form. */
struct task *task_find(pid_t pid); /* => rcu_read_lock */
struct task *task_find_get(pid_t pid); /* NULL when none */
void task_get(struct task *t);
void task_put(struct task *t);
struct mm *task_mm_get(struct task *t); /* mm_get of its mm or NULL */
struct files *task_files_get(struct task *t);
pid_t task_ppid(struct task *t);
pid_t task_tracer_pid(struct task *t); /* thread id; 0: not traced */
pid_t task_pgid(struct task *t);
pid_t task_sid(struct task *t);
char task_state_letter(struct task *t);
bool thread_group_empty(struct task *t);

u32 seccomp_filters(const struct task *t); /* how many, for /proc */

struct clone_args_k { u64 flags; u32 __user *pidfd; u32 __user *child_tid; u32 __user *parent_tid; s32 exit_signal; u64 stack, stack_size, tls; const pid_t *set_tid; u32 set_tid_n; };
long do_clone(const struct clone_args_k *a);
long do_execve(int dirfd, const char *path, const char __user *const __user *argv, const char __user *const __user *envp, int flags);
void do_exit(long code) __attribute__((noreturn)); /* status format */
void do_group_exit(int code) __attribute__((noreturn));
/* Starts PID 1, which becomes init= or /sbin/init, /init, /bin/sh, and ends the calling kernel thread; -errno on failure.
 * => once, after the root is filled */
int run_init(void);
/* Caches, boot task, pid table. => after kmem_init, before the first kthread_run */
void proc_init(void);
/* Number 0: never runs, parent of init and of all kernel threads. */
extern struct task boot_task;
extern struct spread nr_tasks; /* threads that exist */
extern s32 max_threads; /* their ceiling, exact but for forks under way */
u64 total_forks(void); /* since boot */
extern s32 pid_max; /* kernel.pid_max; change with pid_set_max */
int pid_set_max(s32 n);
pid_t pid_last(void); /* last number given, for /proc/loadavg */
/* Times scaled to the exact run time; of one thread, or of the whole group with its dead threads. */
void task_cputime(struct task *t, u64 *utime, u64 *stime);
void group_cputime(struct task *t, u64 *utime, u64 *stime);

/* Doors to fs, implemented in kernel/fs. */
struct files *files_dup(struct files *f); /* ERR_PTR: -ENOMEM, -EMFILE */
struct files *files_share(struct files *f);
void files_put(struct files *f);
void files_close_on_exec(struct files *f);
struct fs_context *fs_dup(struct fs_context *f);
struct fs_context *fs_share(struct fs_context *f);
void fs_put(struct fs_context *f);
struct fs_context *fs_init_context(void);
struct files *files_init(void);
int fd_get_cloexec(unsigned fd); /* 0 when it is not open */
/* exec: opens for execution (permission, regular file, deny write). ERR_PTR. */
struct file *exec_open(int dirfd, const char *path, int flags);
s64 exec_read(struct file *f, void *buf, u64 n, u64 off); /* kernel buffer */
struct exec_attr { u32 uid, gid, mode; bool nosuid; u64 size; };
void exec_attr(struct file *f, struct exec_attr *a);
void file_put(struct file *f);
int file_allow_write(struct file *f);
int pidfd_install(struct task *t, u32 flags); /* new fd or -errno */
struct task *pidfd_task_get(unsigned fd); /* the process behind a pidfd, referenced; ERR_PTR(-EBADF) */
s32 task_tty_number(struct task *t, s32 *foreground); /* as /proc/PID/stat has them: 0 and -1 without a terminal; may sleep */
void tty_session_exit(struct task *leader); /* session leader exits: SIGHUP, disassociate */

#endif
