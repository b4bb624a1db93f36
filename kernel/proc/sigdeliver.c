/*
 * Delivering signals: what happens to a thread on its way back to user mode.
 *
 * exit_to_user_work is entered with interrupts off whenever a thread flag wants work, and loops
 * until none does. get_signal takes the next signal off the queues and deals with everything that
 * runs no handler: ignoring, stopping with the whole group, continuing, dying. What remains gets a
 * user frame (sigframe.c).
 *
 * Restarting system calls. A call that was interrupted returns -ERESTART*; nothing of that may reach
 * user space, so the return path decides, knowing whether a handler will run:
 *     ERESTARTSYS          handler with SA_RESTART, or none: again; else EINTR
 *     ERESTARTNOINTR       again in any case
 *     ERESTARTNOHAND       none: again; else EINTR
 *     ERESTART_RESTARTBLOCK none: restart_syscall(2), which continues with task->restart; else EINTR
 * "Again" means: step back over the 2-byte SYSCALL instruction with the old number in rax. Only
 * system calls have orig_rax >= 0 here; traps and interrupts store -1.
 *
 * Group stop: one thread dequeues the stop signal and marks all threads (JOBCTL_STOP_PENDING);
 * each parks itself in TASK_STOPPED; the last one to arrive sets SIGNAL_STOPPED and tells the parent.
 * The state is set under sighand->lock, so a SIGCONT cannot slip between the mark and the sleep.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <proc/coredump.h>
#include <proc/ptrace.h>
#include <proc/rseq.h>
#include <x86/ptrace.h>
#include <x86/thread.h>
#include <x86/uaccess.h>

#define SIG_DEFAULT_IGNORE (sigmask(SIGCONT) | sigmask(SIGCHLD) | sigmask(SIGWINCH) | sigmask(SIGURG))
#define SIG_STOPS (sigmask(SIGSTOP) | sigmask(SIGTSTP) | sigmask(SIGTTIN) | sigmask(SIGTTOU))
#define SIG_CORE                                                                            \
	(sigmask(SIGQUIT) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGABRT) | sigmask(SIGFPE) | \
	 sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGSYS) | sigmask(SIGXCPU) | sigmask(SIGXFSZ))
#define SIG_SYNCHRONOUS                                                                         \
	(sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGFPE) | \
	 sigmask(SIGSYS))

/* ---- taking one off the queues ---- */

/* Lowest number first, but faults of the thread's own doing before anything else. */
static int next_signal(sigset_t pending)
{
	if (pending & SIG_SYNCHRONOUS)
		pending &= SIG_SYNCHRONOUS;
	return pending ? __builtin_ctzll(pending) + 1 : 0;
}

static void collect(struct sigpending *p, int sig, siginfo_t *info, struct sigqueue **timerq)
{
	struct sigqueue *q, *found = NULL;
	bool more = false;

	list_for_each_entry(q, &p->list, link) {
		if (q->info.si_signo != sig)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = q;
		if (sig < SIGRTMIN)
			break;
	}
	if (!more)
		p->set &= ~sigmask(sig);
	if (!found) { /* sent without memory: all that is known is the number */
		siginfo_clear(info);
		info->si_signo = sig;
		info->si_code = SI_USER;
		return;
	}
	siginfo_copy(info, &found->info);
	list_del_init(&found->link);
	if (found->timer)
		*timerq = found;
	else
		sigqueue_free(found);
}

int dequeue_signal_locked(struct task *t, sigset_t blocked, siginfo_t *info, struct sigqueue **timerq)
{
	struct sigpending *p = &t->pending;
	int sig = next_signal(p->set & ~blocked);

	*timerq = NULL;
	if (!sig) {
		p = &t->signal->shared_pending;
		sig = next_signal(p->set & ~blocked);
	}
	if (!sig)
		return 0;
	collect(p, sig, info, timerq);
	if (sigmask(sig) & SIG_STOPS)
		t->jobctl |= JOBCTL_STOP_DEQUEUED;
	return sig;
}

int dequeue_signal(sigset_t mask, siginfo_t *info)
{
	struct task *t = current;
	struct sigqueue *tq;

	spin_lock_irq(&t->sighand->lock);
	int sig = dequeue_signal_locked(t, ~mask, info, &tq);
	recalc_sigpending();
	spin_unlock_irq(&t->sighand->lock);
	if (tq)
		posix_timer_delivered(tq, info);
	return sig;
}

/* ---- stopping ---- */

static void mark_for_stop(struct task *t, int sig)
{
	t->jobctl = (t->jobctl & ~JOBCTL_STOP_SIGMASK) | sig | JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME;
}

/* This thread's part of the group stop is done; true when it was the last. => sighand->lock */
bool participate_in_stop(struct task *t)
{
	struct signal_state *s = t->signal;
	bool counts = t->jobctl & JOBCTL_STOP_CONSUME;

	ptrace_clear_jobctl(t, JOBCTL_STOP_PENDING);
	if (!counts)
		return false;
	if (s->group_stop_count > 0)
		s->group_stop_count--;
	if (s->group_stop_count || (s->flags & SIGNAL_STOPPED))
		return false;
	s->flags = (s->flags & ~(SIGNAL_CONTINUED | SIGNAL_CLD_MASK)) | SIGNAL_STOPPED;
	return true;
}

static bool start_group_stop(struct task *t, int sig)
{
	struct signal_state *s = t->signal;
	struct task *o;

	if (!(t->jobctl & JOBCTL_STOP_DEQUEUED) || group_exiting(s))
		return false;
	if (!(s->flags & SIGNAL_STOPPED))
		s->group_exit_code = sig;
	s->group_stop_count = 1;
	mark_for_stop(t, sig);
	for_each_thread(o, t) {
		if (o == t || (o->flags & PF_EXITING) || (o->jobctl & JOBCTL_STOP_PENDING) ||
		    (READ_ONCE(o->thread.state) & TASK_STOPPED))
			continue;
		mark_for_stop(o, sig);
		s->group_stop_count++;
		if (likely(!(o->ptrace & PT_SEIZED)))
			signal_wake_up(o, false);
		else
			ptrace_trap_notify(o);
	}
	return true;
}

/* Stops this thread until SIGCONT or SIGKILL. True: stopped and back, the lock was dropped.
 * False: it is not the time to stop, the lock is still held. */
static bool do_signal_stop(int sig)
{
	struct task *t = current;

	if (!(t->jobctl & JOBCTL_STOP_PENDING) && !start_group_stop(t, sig))
		return false;
	if (unlikely(t->ptrace)) { /* stops for its tracer, which decides when to go on */
		ptrace_set_jobctl(t, JOBCTL_TRAP_STOP);
		return false;
	}
	bool last = participate_in_stop(t);
	WRITE_ONCE(t->thread.state, TASK_STOPPED);
	spin_unlock_irq(&t->sighand->lock);
	if (last) {
		tasklist_enter();
		notify_parent_stop(t, false, CLD_STOPPED);
		tasklist_leave();
	}
	schedule();
	return true;
}

void exit_signals(struct task *t)
{
	bool last = false;

	if (thread_group_empty(t) || (READ_ONCE(t->signal->flags) & SIGNAL_GROUP_EXIT)) {
		t->flags |= PF_EXITING;
		return;
	}
	spin_lock_irq(&t->sighand->lock);
	t->flags |= PF_EXITING;
	/* signals for the group that this thread was woken for: somebody else must take them */
	sigset_t left = t->signal->shared_pending.set & ~t->blocked;
	if (left) {
		struct task *o;
		for_each_thread(o, t) {
			if (o == t || (o->flags & PF_EXITING) || !(left & ~o->blocked))
				continue;
			left &= o->blocked;
			signal_wake_up(o, false);
			if (!left)
				break;
		}
	}
	if (unlikely(t->jobctl & JOBCTL_STOP_PENDING))
		last = participate_in_stop(t);
	spin_unlock_irq(&t->sighand->lock);
	if (unlikely(last)) {
		tasklist_enter();
		notify_parent_stop(t, false, CLD_STOPPED);
		tasklist_leave();
	}
}

static bool own_pgrp_orphaned(void)
{
	tasklist_read_lock();
	bool r = pgrp_is_orphaned(current->group_leader->pids[PIDK_PGID], NULL);
	tasklist_read_unlock();
	return r;
}

/* A stop or continuation of the group that nobody has reported yet. Lock held; true: was dropped. */
static bool report_group_change(struct task *t)
{
	u32 flags = t->signal->flags;

	if (likely(!(flags & SIGNAL_CLD_MASK)))
		return false;
	t->signal->flags &= ~SIGNAL_CLD_MASK;
	spin_unlock_irq(&t->sighand->lock);
	tasklist_enter();
	notify_parent_stop(t, false, flags & SIGNAL_CLD_CONTINUED ? CLD_CONTINUED : CLD_STOPPED);
	tasklist_leave();
	return true;
}

/* @info NULL: of what the group is dying of already. */
static void __attribute__((noreturn)) die_of_signal(struct task *t, int sig, const siginfo_t *info)
{
	int core = 0;

	t->flags |= PF_SIGNALED;
	if (info && sigmask(sig) & SIG_CORE)
		core = coredump(info);
	do_group_exit(sig | core);
}

/* The default action of @sig. True: look for the next signal, with the lock in the state *locked. */
static bool default_action(struct task *t, int sig, bool *locked)
{
	*locked = true;
	if (sigmask(sig) & SIG_DEFAULT_IGNORE)
		return true;
	if (unlikely(t->signal->flags & SIGNAL_UNKILLABLE) && !(sigmask(sig) & SIG_KERNEL_ONLY))
		return true;
	if (sigmask(sig) & SIG_STOPS) {
		if (sig != SIGSTOP) { /* an orphaned group is not stopped by its terminal */
			spin_unlock_irq(&t->sighand->lock);
			if (own_pgrp_orphaned()) {
				*locked = false;
				return true;
			}
			spin_lock_irq(&t->sighand->lock);
		}
		if (do_signal_stop(sig))
			*locked = false;
		return true;
	}
	return false;
}

/* One round under the lock. >0: a signal for a handler; 0: none; -1: again (lock dropped). */
static int get_signal_locked(struct task *t, struct ksignal *ks)
{
	struct sigqueue *tq;
	bool locked;

	for (;;) {
		struct signal_state *sg = t->signal;
		if (unlikely(sg->flags & SIGNAL_GROUP_EXIT || (sg->group_exec_task && sg->group_exec_task != t))) {
			if (t->ptrace) /* taken: the tracer's PTRACE_EVENT_EXIT can stop it once more */
				t->pending.set &= ~sigmask(SIGKILL);
			spin_unlock_irq(&t->sighand->lock);
			die_of_signal(t, sg->flags & SIGNAL_GROUP_EXIT ? sg->group_exit_code : SIGKILL, NULL);
		}
		if (unlikely(t->jobctl & JOBCTL_STOP_PENDING) && do_signal_stop(0))
			return -1;
		if (unlikely(t->jobctl & JOBCTL_TRAP_MASK)) {
			ptrace_jobctl_trap(t);
			spin_unlock_irq(&t->sighand->lock);
			return -1;
		}
		int sig = dequeue_signal_locked(t, t->blocked, &ks->info, &tq);
		if (unlikely(tq)) {
			spin_unlock_irq(&t->sighand->lock);
			posix_timer_delivered(tq, &ks->info);
			spin_lock_irq(&t->sighand->lock);
		}
		if (!sig)
			return 0;
		if (unlikely(t->ptrace) && sig != SIGKILL) {
			sig = ptrace_signal(t, sig, &ks->info);
			if (!sig)
				continue;
		}
		struct k_sigaction *ka = &t->sighand->action[sig - 1];
		if (ka->handler == SIG_IGN)
			continue;
		if (likely(ka->handler != SIG_DFL)) {
			ks->ka = *ka;
			ks->sig = sig;
			if (ka->flags & SA_RESETHAND)
				ka->handler = SIG_DFL;
			return sig;
		}
		if (default_action(t, sig, &locked)) {
			if (locked)
				continue;
			return -1;
		}
		spin_unlock_irq(&t->sighand->lock);
		ks->info.si_signo = sig;
		die_of_signal(t, sig, &ks->info);
	}
}

bool get_signal(struct ksignal *ks)
{
	struct task *t = current;
	int r;

	do {
		spin_lock_irq(&t->sighand->lock);
		r = report_group_change(t) ? -1 : get_signal_locked(t, ks);
	} while (r < 0);
	if (r == 0) /* else signal_setup_done does, with the handler's mask */
		recalc_sigpending();
	spin_unlock_irq(&t->sighand->lock);
	return r > 0;
}

/* ---- masks ---- */

/* Group signals that @newly blocks may be meant for another thread. => sighand->lock */
static void retarget(struct task *t, sigset_t newly)
{
	sigset_t left = t->signal->shared_pending.set & newly;
	struct task *o;

	if (!left || t->signal->nr_threads <= 1)
		return;
	for_each_thread(o, t) {
		if (o == t || (o->flags & PF_EXITING) || !(left & ~o->blocked))
			continue;
		left &= o->blocked;
		if (!task_sigpending(o))
			signal_wake_up(o, false);
		if (!left)
			break;
	}
}

static void set_blocked_locked(struct task *t, sigset_t s)
{
	if (task_sigpending(t) && t->signal->nr_threads > 1)
		retarget(t, s & ~t->blocked);
	t->blocked = s;
	recalc_sigpending();
}

void set_current_blocked(sigset_t s)
{
	struct task *t = current;

	s &= ~SIG_KERNEL_ONLY;
	if (s == t->blocked)
		return;
	spin_lock_irq(&t->sighand->lock);
	set_blocked_locked(t, s);
	spin_unlock_irq(&t->sighand->lock);
}

int set_user_sigmask(const void __user *mask, u64 size)
{
	struct task *t = current;
	sigset_t s;

	if (!mask)
		return 0;
	if (size != sizeof(sigset_t))
		return -EINVAL;
	if (copy_from_user(&s, mask, sizeof(s)))
		return -EFAULT;
	t->saved_sigmask = t->blocked;
	thread_set_flag(&t->thread, TIF_RESTORE_SIGMASK);
	set_current_blocked(s);
	return 0;
}

static void restore_saved_sigmask(void)
{
	struct task *t = current;

	if (!thread_test_flag(&t->thread, TIF_RESTORE_SIGMASK))
		return;
	thread_clear_flag(&t->thread, TIF_RESTORE_SIGMASK);
	set_current_blocked(t->saved_sigmask);
}

void restore_saved_sigmask_unless(bool interrupted)
{
	if (!interrupted) /* else the handler's frame takes the saved mask along */
		restore_saved_sigmask();
}

/* After a frame was made: block what the handler wants blocked. */
void signal_setup_done(const struct ksignal *ks)
{
	struct task *t = current;
	sigset_t s = t->blocked | ks->ka.mask;

	if (thread_test_flag(&t->thread, TIF_RESTORE_SIGMASK))
		thread_clear_flag(&t->thread, TIF_RESTORE_SIGMASK);
	if (!(ks->ka.flags & SA_NODEFER))
		s |= sigmask(ks->sig);
	spin_lock_irq(&t->sighand->lock);
	set_blocked_locked(t, s);
	spin_unlock_irq(&t->sighand->lock);
}

/* ---- the way back to user mode ---- */

static bool in_syscall(const struct pt_regs *regs)
{
	return (s64)regs->orig_rax >= 0;
}

static void restart_syscall_again(struct pt_regs *regs, u64 nr)
{
	regs->rax = nr;
	regs->rip -= 2;
}

/* A handler will run. */
static void restart_with_handler(struct pt_regs *regs, const struct ksignal *ks)
{
	if (!in_syscall(regs))
		return;
	switch ((s64)regs->rax) {
	case -ERESTART_RESTARTBLOCK:
	case -ERESTARTNOHAND:
		regs->rax = -EINTR;
		break;
	case -ERESTARTSYS:
		if (!(ks->ka.flags & SA_RESTART)) {
			regs->rax = -EINTR;
			break;
		}
		fallthrough;
	case -ERESTARTNOINTR:
		restart_syscall_again(regs, regs->orig_rax);
		break;
	}
}

#define NR_restart_syscall 219

static void restart_without_handler(struct pt_regs *regs)
{
	if (!in_syscall(regs))
		return;
	switch ((s64)regs->rax) {
	case -ERESTARTNOHAND:
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
		restart_syscall_again(regs, regs->orig_rax);
		break;
	case -ERESTART_RESTARTBLOCK:
		restart_syscall_again(regs, NR_restart_syscall);
		break;
	}
}

/* No room for the frame: SIGSEGV, and when that is what failed, death. */
static void signal_frame_failed(int sig)
{
	struct task *t = current;

	if (sig == SIGSEGV) {
		spin_lock_irq(&t->sighand->lock);
		t->sighand->action[SIGSEGV - 1].handler = SIG_DFL;
		spin_unlock_irq(&t->sighand->lock);
	}
	force_signal(SIGSEGV, SI_KERNEL, 0, t);
}

static void deliver_signals(struct pt_regs *regs)
{
	struct ksignal ks;

	if (get_signal(&ks)) {
		restart_with_handler(regs, &ks);
		rseq_resume(regs, true);
		bool stepping = arch_stepping();
		if (stepping) /* the frame has the program's own flags; the handler is stepped into below */
			arch_ptrace_step(&current->thread, false);
		if (signal_frame_setup(&ks, regs)) {
			signal_setup_done(&ks);
			if (stepping)
				ptrace_notify(SIGTRAP, 0);
		} else {
			signal_frame_failed(ks.sig);
		}
		regs->orig_rax = -1ull; /* the frame's own return is no system call to restart */
		return;
	}
	restart_without_handler(regs);
	regs->orig_rax = -1ull;
	restore_saved_sigmask();
}

/* TIF_NOTIFY_RESUME: before the first instruction in user mode, and now and then later. */
static void first_return(struct task *t, struct pt_regs *regs)
{
	if (t->start_fn) {
		void (*fn)(void) = t->start_fn;
		t->start_fn = NULL;
		fn();
	}
	if (t->set_child_tid) {
		(void)put_user((u32)t->pid, t->set_child_tid);
		t->set_child_tid = NULL;
	}
	if (unlikely(t->syscall_exit_due)) {
		t->syscall_exit_due = false;
		ptrace_report_syscall(PTRACE_EVENTMSG_SYSCALL_EXIT);
	}
	rseq_resume(regs, false);
}

void exit_to_user_work(struct pt_regs *regs)
{
	struct task *t = current;
	u32 f;

	while ((f = READ_ONCE(t->thread.flags)) & TIF_WORK_MASK) {
		local_irq_enable();
		if (f & (1u << TIF_NEED_RESCHED))
			schedule();
		if (f & (1u << TIF_NOTIFY_RESUME)) {
			thread_clear_flag(&t->thread, TIF_NOTIFY_RESUME);
			first_return(t, regs);
		}
		if (f & (1u << TIF_SIGPENDING))
			deliver_signals(regs);
		local_irq_disable();
	}
}

/* One line in the log for a fault that will kill, as administrators expect; at most ten in five seconds. */
static void log_fatal_fault(const struct task *t, const struct pt_regs *regs, int sig, int code, u64 addr)
{
	static u64 window;
	static u32 lines;
	u64 now = ktime_ns();

	if (now - READ_ONCE(window) > 5 * NSEC_PER_SEC) {
		WRITE_ONCE(window, now);
		WRITE_ONCE(lines, 0);
	}
	if (__atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) >= 10)
		return;
	pr_info("%s[%d]: signal %d (code %d) at %llx, ip %llx, sp %llx, error %llx\n", t->thread.comm, t->pid, sig,
		code, (unsigned long long)addr, (unsigned long long)regs->rip, (unsigned long long)regs->rsp,
		(unsigned long long)t->thread.arch.error_code);
}

/* A fault in user mode: remembered for the frame, then forced. */
void trap_user_signal(struct pt_regs *regs, int sig, int code, u64 addr)
{
	struct task *t = current;

	regs->orig_rax = -1ull;
	if (unlikely(t->sighand->action[sig - 1].handler == SIG_DFL && sig != SIGTRAP))
		log_fatal_fault(t, regs, sig, code, addr);
	force_signal(sig, code, addr, t);
}
