/*
 * What the files of kernel/proc (and the decode halves in kernel/sys) share among themselves.
 * Nobody else includes this.
 *
 * Lock order inside proc:
 *   tasklist_lock -> signal->family of the parent -> sighand->lock -> user/timer internals
 *   tasklist_lock -> pid->lock
 *   task->alloc_lock is innermost but for files' and fs' own spinlocks; it is never taken with
 *   tasklist_lock or a sighand lock held.
 * tasklist_lock is read in interrupt context (terminal signals), so those inside and writers turn interrupts off;
 * sighand->lock is taken in interrupt context, so everybody turns interrupts off.
 */
#ifndef PROC_IMPL_H
#define PROC_IMPL_H

#include <proc/task.h>

/* clone(2) flags */
#define CSIGNAL 0xffull
#define CLONE_VM 0x100ull
#define CLONE_FS 0x200ull
#define CLONE_FILES 0x400ull
#define CLONE_SIGHAND 0x800ull
#define CLONE_PIDFD 0x1000ull
#define CLONE_PTRACE 0x2000ull
#define CLONE_VFORK 0x4000ull
#define CLONE_PARENT 0x8000ull
#define CLONE_THREAD 0x10000ull
#define CLONE_NEWNS 0x20000ull
#define CLONE_SYSVSEM 0x40000ull
#define CLONE_SETTLS 0x80000ull
#define CLONE_PARENT_SETTID 0x100000ull
#define CLONE_CHILD_CLEARTID 0x200000ull
#define CLONE_DETACHED 0x400000ull
#define CLONE_UNTRACED 0x800000ull
#define CLONE_CHILD_SETTID 0x1000000ull
#define CLONE_NEWCGROUP 0x2000000ull
#define CLONE_NEWUTS 0x4000000ull
#define CLONE_NEWIPC 0x8000000ull
#define CLONE_NEWUSER 0x10000000ull
#define CLONE_NEWPID 0x20000000ull
#define CLONE_NEWNET 0x40000000ull
#define CLONE_IO 0x80000000ull
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#define CLONE_INTO_CGROUP 0x200000000ull
#define CLONE_NEWTIME 0x80ull
#define CLONE_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET | CLONE_NEWTIME)

/* task.c */
struct task *task_alloc(void); /* zeroed but for comm; stack attached; one reference; or NULL */
void task_free_unused(struct task *t); /* one that never ran: stack and FPU area too */
void *task_fpu_alloc(void); /* a save area of fpu_size bytes, not cleared; NULL. => may sleep */
struct signal_state *signal_state_alloc(void); /* refs, live, nr_threads = 1 */
void signal_state_put(struct signal_state *s); /* the last reference frees it. => any context */
struct sighand *sighand_alloc(void); /* refs = 1, handlers not set */
void sighand_put(struct sighand *s); /* the last reference frees it; the memory stays a sighand for a grace period */
/* sighand of any task with its lock held and irqs off, or NULL when it was reaped. => rcu or a reference */
struct sighand *task_lock_sighand(struct task *t, u64 *flags);
static inline void task_unlock_sighand(struct sighand *s, u64 flags) { spin_unlock_irqrestore(&s->lock, flags); }
void task_set_comm(struct task *t, const char *name); /* at most 15 bytes of it; readers may see a mix of old and new, always terminated */

void task_born(void); /* counts it */

/* pid.c */
void pid_init(void); /* the table and its cache; boot */
u64 pid_check(void); /* of the table of numbers */
struct pid *pid_alloc(pid_t want, u64 now); /* want 0: next; now in ns. One reference and a number; ERR_PTR */
void pid_free_unused(struct pid *p); /* a number that was never attached: free again at once */
void pid_put(struct pid *p); /* the last reference frees it a grace period late. => any context */
static inline struct pid *pid_get(struct pid *p) { __atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED); return p; }
struct pid *pid_find(pid_t nr); /* => rcu_read_lock or tasklist_lock */
struct task *pid_task(struct pid *p, enum pid_kind kind); /* first user; => rcu or tasklist_lock */
/* @p as the number of a group or session @t is in, and its end. => inside tasklist_lock */
void pid_attach(struct task *t, enum pid_kind kind, struct pid *p);
void pid_detach(struct task *t, enum pid_kind kind);
/* The same for a new task and its own number, t->pids[PIDK_PID], as a thread and, @leader, as a process. */
void pid_attach_own(struct task *t, struct pid *p, bool leader);
void pid_detach_own(struct task *t, bool leader);
void pid_exchange(struct task *a, struct task *b); /* => tasklist_lock for writing, as the next */
void pid_transfer(struct task *from, struct task *to, enum pid_kind kind);
#define for_each_pid_task(t, p, kind) \
	for ((t) = pid_task_entry((p)->tasks[kind].first, kind); (t); (t) = pid_task_entry((t)->pid_links[kind].next, kind))
static inline struct task *pid_task_entry(struct hlist_node *n, enum pid_kind kind)
{
	return n ? (struct task *)((char *)n - offsetof(struct task, pid_links) - kind * sizeof(struct hlist_node)) : NULL;
}

#define for_each_thread(t, of) list_for_each_entry(t, &(of)->signal->threads, thread_group)
static inline bool thread_group_leader(const struct task *t) { return t->exit_signal >= 0; }
static inline bool same_thread_group(const struct task *a, const struct task *b) { return a->signal == b->signal; }
static inline bool task_sigpending(const struct task *t) { return thread_test_flag(&t->thread, TIF_SIGPENDING); }

/* fork.c */
void task_mm_release(struct task *t, struct mm *mm); /* exec and exit: clear_child_tid, robust futexes, vfork parent */

/* dethread.c: ends the other threads of the group for exec and makes the caller its leader. 0, or -EAGAIN/-EINTR when
 * the group is being killed. => may sleep */
int de_thread(void);

/* Door upward (kernel/sys/init.c): /dev/console on descriptors 0, 1, 2 of the running task. */
void init_open_console(void);

/* exec.c: strings in kernel memory, for PID 1 */
int exec_kernel(const char *path, const char *const *argv, const char *const *envp);

/* exit.c */
void task_release(struct task *t); /* reap; => no locks */
bool pgrp_is_orphaned(struct pid *pgrp, struct task *except); /* => tasklist_lock, reading or writing */
/* To a thread of the group, a subreaper or init; those nobody will wait for go to @dead. => tasklist_lock for writing */
void task_reparent_children(struct task *t, struct list_head *dead);

/* Of siginfo's 128 bytes these carry meaning; only they are kept and copied inside the kernel (the rest is for the future,
 * and zero when user space gets it). */
#define SIGINFO_USED 48
_Static_assert(offsetof(siginfo_t, stime) + sizeof(s64) <= SIGINFO_USED && offsetof(siginfo_t, upper) + 8 <= SIGINFO_USED, "all kinds fit");
static inline void siginfo_copy(siginfo_t *to, const siginfo_t *from) { __builtin_memcpy(to, from, SIGINFO_USED); }
static inline void siginfo_clear(siginfo_t *i) { __builtin_memset(i, 0, SIGINFO_USED); }
static inline void siginfo_clear_rest(siginfo_t *i) { __builtin_memset((char *)i + SIGINFO_USED, 0, sizeof(*i) - SIGINFO_USED); }

/* signal.c */
void sigqueue_init_cache(void); /* boot */
/* An entry, charged to t's user; NULL: RLIMIT_SIGPENDING (unless overridden) or no memory. => any context */
struct sigqueue *sigqueue_alloc(struct task *t, bool override_limit);
void sigqueue_free(struct sigqueue *q); /* gives the charge back. => in no list */
void sigpending_flush(struct sigpending *p); /* frees all entries. => sighand->lock, or nobody else sees p */
int send_signal_locked(int sig, const siginfo_t *info, struct task *t, bool group); /* => t->sighand->lock */
/* A preallocated entry (POSIX timer). 0 queued, 1 was pending (overrun), -1 ignored. => t->sighand->lock; any context */
int send_sigqueue_locked(struct sigqueue *q, struct task *t, bool group);
/* Out of the queue it may be in, so that it can be freed. => t->sighand->lock */
void drop_sigqueue_locked(struct sigqueue *q, struct task *t, bool group);
/* The task shall look at its signals; @fatal wakes it from every sleep a kill may end. => t->sighand->lock */
void signal_wake_up(struct task *t, bool fatal);
bool signal_valid(unsigned long sig); /* 1 to 64, as what kill(2) may name (0 is checked apart) */
int kill_permission(int sig, bool from_user, struct task *t); /* may the caller send it? 0, -EPERM; in RCU, or t referenced */
int send_signal_checked(int sig, const siginfo_t *info, struct task *t, bool group); /* with permission check */
int kill_process_nr(int sig, const siginfo_t *info, pid_t pid); /* kill(2)'s three forms of pid */
bool notify_parent(struct task *t, int sig); /* true: nobody waits, reap it; => the parent's family lock, or tasklist_lock for writing */
/* CLD_* of a stop or continuation, to the parent of the group or to the tracer of the thread. => inside tasklist_lock */
void notify_parent_stop(struct task *t, bool for_tracer, int why);
void exit_signals(struct task *t); /* t takes no more signals to the group; what it held for the group wakes another thread. => no locks */
int zap_other_threads(struct task *t); /* => sighand->lock; number of other threads told to die */
void flush_signal_handlers(struct task *t, bool force_default); /* all to default, but ignored ones unless @force_default. => t is current, or new */
void flush_sigqueue_mask(sigset_t mask, struct sigpending *p); /* takes the signals of mask off the queue. => sighand->lock */
int do_sigaction(int sig, const struct k_sigaction *act, struct k_sigaction *old); /* both may be NULL. 0 or -EINVAL. => takes sighand->lock */
/* The next signal not blocked, its own queue first; 0: none. *timerq: a timer's entry, see posix_timer_delivered. => sighand->lock */
int dequeue_signal_locked(struct task *t, sigset_t blocked, siginfo_t *info, struct sigqueue **timerq);
struct ksignal { int sig; struct k_sigaction ka; siginfo_t info; };
bool get_signal(struct ksignal *ks);
void signal_setup_done(const struct ksignal *ks); /* the frame is written: blocks what the handler wants blocked */
static inline bool group_exiting(const struct signal_state *s) { return s->flags & SIGNAL_GROUP_EXIT || s->group_exec_task; }
extern u64 multi_signal_seq; /* (tasklist_lock read, a) raised by every signal sent to several processes */

/* sigframe.c */
/* False: the stack cannot be written, the thread is to get SIGSEGV. => may sleep */
bool signal_frame_setup(struct ksignal *ks, struct pt_regs *regs);
u64 signal_frame_max(void); /* AT_MINSIGSTKSZ */
struct stack_t_user { u64 sp; s32 flags; u32 pad; u64 size; };
/* The work of sigaltstack(2) with the stack pointer sp. 0, -EINVAL, -ENOMEM, -EPERM. */
int do_sigaltstack(const struct stack_t_user *new, struct stack_t_user *old, u64 sp);

/* futex.c */
void futex_exit(struct task *t); /* robust list and held PI futexes, owner died; => mm still there */
void futex_init(void); /* boot */
struct hrtimespec;
/* FUTEX_WAKE_BITSET on a word of mm: how many were woken, or -EFAULT. => may sleep */
long futex_wake(struct mm *mm, u64 uaddr, bool shared, int nr, u32 bitset);

/* itimers.c */
void itimers_init(struct signal_state *s); /* all off */
void itimers_exit(struct signal_state *s); /* => nobody arms them any more; may wait */
void cpu_limits_start(struct task *t); /* RLIMIT_CPU was set or inherited */
struct itimer_ns { u64 value, interval; }; /* ns from now, 0 off */
int itimer_get(int which, struct itimer_ns *out); /* ITIMER_*; 0, -EINVAL */
int itimer_set(int which, const struct itimer_ns *new, struct itimer_ns *old); /* old may be NULL. 0, -EINVAL */

/* ptimers.c */
void posix_timers_exit(struct signal_state *s); /* exec, group exit */
/* A timer's entry was dequeued (no locks held): re-arms it, puts the overrun count into *info. @q is only compared. */
void posix_timer_delivered(const struct sigqueue *q, siginfo_t *info);
void posix_timers_clock_set(void); /* those on moments of the time of day are armed anew */
void timerfd_clock_set(void); /* door to kernel/fs/timerfd.c */
struct ptimer_spec { u64 value, interval; }; /* ns */
/* Of the running process; 0 and *id, -EINVAL, -EAGAIN. => may sleep */
int posix_timer_create(s32 clock, int notify, int sig, u64 value, pid_t tid, bool value_is_id, s32 *id);
/* These four: 0 or -EINVAL where the process has no such timer; old may be NULL. */
int posix_timer_set(s32 id, bool absolute, const struct ptimer_spec *new, struct ptimer_spec *old);
int posix_timer_get(s32 id, struct ptimer_spec *out);
int posix_timer_overrun(s32 id);
int posix_timer_delete(s32 id);

/* clocks.c */
int clock_read(s32 id, u64 *ns); /* 0, -EINVAL */
int clock_check(s32 id); /* exists? */
bool clock_is_real(s32 id); /* moves when the time of day is set */
bool clock_is_cpu(s32 id); /* of a process or thread: counts CPU time */
u64 clock_to_mono(s32 id, u64 abs_ns); /* when the monotonic clock will show that moment; not for CPU clocks */
/* When, at the earliest, @left ns more of CPU time can have been used by @n threads. */
u64 cpu_time_earliest(u64 left, s32 n);
extern wait_queue_t clock_set_wait; /* woken when the time of day is set */
void clock_was_set(void); /* everything that depends on the time of day is told. => may sleep */
extern s64 tai_offset_ns; /* TAI - real; written by ntp.c */

/* ipc */
void sem_undo_exit(struct task *t); /* semaphore adjustments are undone by the last user of the list. => may sleep */
int sem_undo_share(struct task *child); /* CLONE_SYSVSEM */
void ipc_init(void); /* boot */

/* cred.c */
void cred_init(void); /* boot */
struct user *user_find(uid_t uid); /* referenced; NULL out of memory */
struct user *user_get(struct user *u); /* one more reference; any context, as user_put */
void user_put(struct user *u);
void cred_set_groups(struct cred *c, struct group_info *g); /* takes over the reference */

/* check.c */
u64 proc_check(void); /* checker of tasks and numbers: mismatches */
void proc_check_init(void); /* registers it */

/* vdso */
void vdso_init(void); /* prepares image and data page; boot */
int vdso_map(struct mm *mm, u64 stack_top, bool randomize); /* sets mm->vdso; 0 or -errno */
void vdso_update(void); /* clock or real-time offset changed */

/* wait.c */
void rusage_of_group(struct task *t, int who, struct rusage *r); /* RUSAGE_SELF, CHILDREN, BOTH of t's process. => t cannot be reaped */

/* limits: copies what mm needs to know */
void rlimits_to_mm(struct task *t, struct mm *mm);

struct task_times { u64 utime, stime; };

#endif
