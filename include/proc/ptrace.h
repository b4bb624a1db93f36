/*
 * Tracing another task (ptrace(2)). A tracee hangs on its tracer's ->ptraced list with ->parent pointing there; ->real_parent
 * stays who made it. The stops are made by the tracee itself; the theory is in kernel/proc/ptrace.c.
 */
#ifndef PROC_PTRACE_H
#define PROC_PTRACE_H

#include <proc/impl.h>

#define PTRACE_TRACEME 0
#define PTRACE_PEEKTEXT 1
#define PTRACE_PEEKDATA 2
#define PTRACE_PEEKUSR 3
#define PTRACE_POKETEXT 4
#define PTRACE_POKEDATA 5
#define PTRACE_POKEUSR 6
#define PTRACE_CONT 7
#define PTRACE_KILL 8
#define PTRACE_SINGLESTEP 9
#define PTRACE_GETREGS 12
#define PTRACE_SETREGS 13
#define PTRACE_GETFPREGS 14
#define PTRACE_SETFPREGS 15
#define PTRACE_ATTACH 16
#define PTRACE_DETACH 17
#define PTRACE_SYSCALL 24
#define PTRACE_ARCH_PRCTL 30
#define PTRACE_SYSEMU 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#define PTRACE_SETOPTIONS 0x4200
#define PTRACE_GETEVENTMSG 0x4201
#define PTRACE_GETSIGINFO 0x4202
#define PTRACE_SETSIGINFO 0x4203
#define PTRACE_GETREGSET 0x4204
#define PTRACE_SETREGSET 0x4205
#define PTRACE_SEIZE 0x4206
#define PTRACE_INTERRUPT 0x4207
#define PTRACE_LISTEN 0x4208
#define PTRACE_PEEKSIGINFO 0x4209
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#define PTRACE_GET_SYSCALL_INFO 0x420e
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f

#define PTRACE_EVENT_FORK 1
#define PTRACE_EVENT_VFORK 2
#define PTRACE_EVENT_CLONE 3
#define PTRACE_EVENT_EXEC 4
#define PTRACE_EVENT_VFORK_DONE 5
#define PTRACE_EVENT_EXIT 6
#define PTRACE_EVENT_SECCOMP 7
#define PTRACE_EVENT_STOP 128

#define PTRACE_O_TRACESYSGOOD 1u
#define PTRACE_O_EXITKILL (1u << 20)
#define PTRACE_O_SUSPEND_SECCOMP (1u << 21)
#define PTRACE_O_MASK (0xffu | PTRACE_O_EXITKILL)

/* task->ptrace: two state bits, the options above them (event n is option bit n) */
#define PT_PTRACED 1u
#define PT_SEIZED 2u
#define PT_SYSEMU 4u
#define PT_OPT_SHIFT 4
#define PT_OPTIONS(o) ((u32)(o) << PT_OPT_SHIFT)
#define PT_TRACESYSGOOD PT_OPTIONS(PTRACE_O_TRACESYSGOOD)
#define PT_EXITKILL PT_OPTIONS(PTRACE_O_EXITKILL)

/* ptrace_message of a system-call stop */
#define PTRACE_EVENTMSG_SYSCALL_ENTRY 1
#define PTRACE_EVENTMSG_SYSCALL_EXIT 2

static inline bool ptrace_event_enabled(const struct task *t, int event)
{
	return t->ptrace & PT_OPTIONS(1u << event);
}
/* The tracer is somebody else than the one who made it. => tasklist_lock */
static inline bool ptrace_reparented(const struct task *t)
{
	return t->real_parent->signal != t->parent->signal;
}

/* ---- the tracee's side, all for current ---- */

/* Stops until the tracer goes on; the signal it wants. => sighand->lock, dropped meanwhile; may sleep */
int ptrace_stop(int exit_code, int why, u64 message, siginfo_t *info);
/* An event with its option on stops; PTRACE_EVENT_EXEC without it is a SIGTRAP for tracees of the old kind. => may sleep */
void ptrace_event_slow(int event, u64 message);
static inline void ptrace_event(int event, u64 message)
{
	if (unlikely(current->ptrace))
		ptrace_event_slow(event, message);
}
/* A system-call or step stop with @exit_code as status; the signal the tracer wants. => may sleep */
int ptrace_notify(int exit_code, u64 message);
/* The stop before or after a system call (PTRACE_EVENTMSG_*). False: killed meanwhile. => may sleep */
bool ptrace_report_syscall(u64 message);
/* A signal was dequeued: what the tracer makes of it, 0 when nothing. => sighand->lock, dropped meanwhile */
int ptrace_signal(struct task *t, int sig, siginfo_t *info);
/* JOBCTL_TRAP_*: a stop by INTERRUPT, SEIZE, or with the group. => sighand->lock, dropped meanwhile */
void ptrace_jobctl_trap(struct task *t);

/* ---- bookkeeping ---- */

void ptrace_unlink(struct task *t); /* no longer traced. => tasklist_lock for writing; takes sighand->lock */
/* A tracer exits: its tracees are free, dead, or on *dead (by ->sibling) to be released. => tasklist_lock for writing */
void ptrace_exit(struct task *tracer, struct list_head *dead);
/* A new child or thread of a tracee becomes one too. => tasklist_lock for writing, child invisible */
void ptrace_inherit(struct task *child);
void ptrace_trap_notify(struct task *t); /* news for a seized tracee. => sighand->lock */
bool ptrace_set_jobctl(struct task *t, u32 mask); /* => sighand->lock; false: it is dying */
void ptrace_clear_jobctl(struct task *t, u32 mask); /* pending bits; => sighand->lock */
bool participate_in_stop(struct task *t); /* sigdeliver.c */
/* The caller's credentials (real ones) let it look into and change t: 0, -EPERM. */
int ptrace_may_attach(struct task *t);

/* ---- the tracer's requests, decoded in kernel/sys/ptrace.c ---- */

int ptrace_traceme(void);
int ptrace_attach(struct task *t, bool seize, u32 options);
/* t is current's tracee, stopped and off its CPU, and stays so until ptrace_release. @running: need not be stopped. 0, -ESRCH */
int ptrace_hold(struct task *t, bool running);
void ptrace_release(struct task *t);
int ptrace_resume(struct task *t, long request, u64 sig);
int ptrace_detach(struct task *t, u64 sig);
int ptrace_interrupt(struct task *t);
int ptrace_listen(struct task *t);

#endif
