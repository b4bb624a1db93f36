/*
 * Tracing: links between tracer and tracee, the stops, and going on.
 *
 * A tracee is always stopped by itself, in ptrace_stop: it sets TASK_TRACED under its sighand->lock, leaves what happened in
 * exit_code, last_siginfo and ptrace_message, tells the tracer (SIGCHLD and a wake-up of wait), and sleeps until the tracer's
 * request or SIGKILL. Where it stops:
 *
 *     a signal was dequeued      ptrace_signal, from get_signal           the tracer may change or drop it
 *     system call                ptrace_notify, from kernel/sys/trace.c   before and after
 *     events                     ptrace_event, fork.c, exec.c, exit.c     status is SIGTRAP | event << 8
 *     group stop, INTERRUPT      ptrace_jobctl_trap, from get_signal
 *
 * Two kinds of tracee. TRACEME and ATTACH make the old kind: the attaching is a SIGSTOP, a group stop looks like a signal stop
 * and ends whenever the tracer says so. SEIZE makes the new kind: no SIGSTOP; group stops are PTRACE_EVENT_STOP with the stop
 * signal, INTERRUPT stops with SIGTRAP, and after LISTEN it sleeps on but tells when the group goes on (JOBCTL_TRAP_NOTIFY).
 *
 * Lifetime and races. ->ptrace, ->parent and the lists change under tasklist_lock for writing, so that wait and the
 * notifications, which are inside it, agree. A request first holds its tracee (ptrace_hold): traced by the caller, in
 * TASK_TRACED, switched out. JOBCTL_FROZEN then keeps even SIGKILL from waking it, because its stack and registers are being
 * read; ptrace_release makes up for a SIGKILL that came meanwhile. A tracer that exits frees its tracees.
 *
 * Attaching to a thread in a group stop turns TASK_STOPPED into TASK_TRACED by way of running for a moment; the tracer waits
 * until that is over (JOBCTL_TRAPPING), so that nobody sees the moment.
 */
#include <lib/assert.h>
#include <lib/string.h>
#include <proc/ptrace.h>
#include <x86/ptrace.h>

static DEFINE_WAIT_QUEUE(trapping_wait);

/* ---- jobctl bits; all => sighand->lock ---- */

static void trapping_done(struct task *t)
{
	if (likely(!(t->jobctl & JOBCTL_TRAPPING)))
		return;
	t->jobctl &= ~JOBCTL_TRAPPING;
	wake_up_all(&trapping_wait);
}

bool ptrace_set_jobctl(struct task *t, u32 mask)
{
	if (t->flags & PF_EXITING || t->pending.set & sigmask(SIGKILL))
		return false;
	t->jobctl |= mask;
	return true;
}

void ptrace_clear_jobctl(struct task *t, u32 mask)
{
	if (mask & JOBCTL_STOP_PENDING)
		mask |= JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED;
	t->jobctl &= ~mask;
	if (!(t->jobctl & JOBCTL_PENDING_MASK))
		trapping_done(t);
}

/* Makes it look at its jobctl bits; @resume: also out of the stop it is in. */
static void wake_tracee(struct task *t, bool resume)
{
	signal_wake_up(t, false);
	if (resume && !(t->jobctl & JOBCTL_FROZEN))
		wake_thread(&t->thread, TASK_TRACED, 0);
}

void ptrace_trap_notify(struct task *t)
{
	t->jobctl |= JOBCTL_TRAP_NOTIFY;
	wake_tracee(t, t->jobctl & JOBCTL_LISTENING);
}

/* ---- stopping ---- */

int ptrace_stop(int exit_code, int why, u64 message, siginfo_t *info)
{
	struct task *t = current;
	bool group_stopped = false;

	ASSERT_LOCKED(&t->sighand->lock);
	if (!t->ptrace || t->pending.set & sigmask(SIGKILL))
		return exit_code;
	WRITE_ONCE(t->thread.state, TASK_TRACED);
	t->ptrace_message = message;
	t->last_siginfo = info;
	t->exit_code = exit_code;
	if (why == CLD_STOPPED && t->jobctl & JOBCTL_STOP_PENDING)
		group_stopped = participate_in_stop(t);
	ptrace_clear_jobctl(t, JOBCTL_TRAP_STOP);
	if (info && info->si_code >> 8 == PTRACE_EVENT_STOP)
		ptrace_clear_jobctl(t, JOBCTL_TRAP_NOTIFY);
	trapping_done(t);
	spin_unlock_irq(&t->sighand->lock);
	tasklist_enter();
	/* The tracer may be gone by now: ptrace_unlink has woken us then, and schedule returns at once. */
	if (t->ptrace)
		notify_parent_stop(t, true, why);
	if (group_stopped && (!t->ptrace || ptrace_reparented(t)))
		notify_parent_stop(t, false, why);
	tasklist_leave();
	schedule();
	spin_lock_irq(&t->sighand->lock);
	exit_code = t->exit_code;
	t->last_siginfo = NULL;
	t->ptrace_message = 0;
	t->exit_code = 0;
	t->jobctl &= ~JOBCTL_LISTENING;
	recalc_sigpending();
	return exit_code;
}

static int notify_locked(int sig, int exit_code, int why, u64 message)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = sig;
	info.si_code = exit_code;
	info.pid = current->pid;
	info.uid = current->cred->uid;
	return ptrace_stop(exit_code, why, message, &info);
}

int ptrace_notify(int exit_code, u64 message)
{
	struct task *t = current;

	spin_lock_irq(&t->sighand->lock);
	int sig = notify_locked(SIGTRAP, exit_code, CLD_TRAPPED, message);
	spin_unlock_irq(&t->sighand->lock);
	return sig;
}

/* PTRACE_SYSCALL from here on shows the end of the running call, even when its beginning was not shown. */
static void report_event(struct task *t, int event, u64 message)
{
	ptrace_notify(event << 8 | SIGTRAP, message);
	if (thread_test_flag(&t->thread, TIF_SYSCALL_TRACE) && !t->syscall_watched && event != PTRACE_EVENT_EXIT) {
		t->syscall_exit_due = true;
		thread_set_flag(&t->thread, TIF_NOTIFY_RESUME);
	}
}

bool ptrace_report_syscall(u64 message)
{
	struct task *t = current;

	if (!(t->ptrace & PT_PTRACED))
		return true;
	int sig = ptrace_notify(SIGTRAP | (t->ptrace & PT_TRACESYSGOOD ? 0x80 : 0), message);
	if (sig)
		send_signal(sig, &(siginfo_t){ .si_signo = sig, .si_code = SI_USER, .pid = t->tgid, .uid = t->cred->uid }, t, false);
	return !fatal_signal_pending_current();
}

void ptrace_event_slow(int event, u64 message)
{
	struct task *t = current;

	if (ptrace_event_enabled(t, event))
		report_event(t, event, message);
	else if (event == PTRACE_EVENT_EXEC && (t->ptrace & (PT_PTRACED | PT_SEIZED)) == PT_PTRACED)
		send_signal(SIGTRAP, &(siginfo_t){ .si_signo = SIGTRAP, .pid = t->tgid, .uid = t->cred->uid }, t, false);
}

void ptrace_jobctl_trap(struct task *t)
{
	struct signal_state *s = t->signal;
	int sig = (int)(t->jobctl & JOBCTL_STOP_SIGMASK);

	if (t->ptrace & PT_SEIZED) {
		if (!s->group_stop_count && !(s->flags & SIGNAL_STOPPED))
			sig = SIGTRAP;
		notify_locked(sig, sig | PTRACE_EVENT_STOP << 8, CLD_STOPPED, 0);
	} else {
		ptrace_stop(sig, CLD_STOPPED, 0, NULL);
	}
	if (!t->ptrace) /* detached meanwhile, or never: nobody to stop for */
		ptrace_clear_jobctl(t, JOBCTL_TRAP_MASK);
}

int ptrace_signal(struct task *t, int sig, siginfo_t *info)
{
	/* a stop signal that the tracer lets pass stops the group, unless a SIGCONT comes first */
	t->jobctl |= JOBCTL_STOP_DEQUEUED;
	int want = ptrace_stop(sig, CLD_TRAPPED, 0, info);

	if (!want)
		return 0;
	if (want != info->si_signo) {
		rcu_read_lock();
		struct task *tracer = rcu_dereference(t->parent);
		siginfo_clear(info);
		info->si_signo = want;
		info->si_code = SI_USER;
		info->pid = tracer->tgid;
		info->uid = rcu_dereference(tracer->cred)->uid;
		rcu_read_unlock();
	}
	if (t->blocked & sigmask(want)) { /* changed into one that waits */
		send_signal_locked(want, info, t, false);
		return 0;
	}
	return want;
}

/* ---- links; all => tasklist_lock for writing ---- */

static void link(struct task *t, struct task *tracer)
{
	list_add_tail(&t->ptrace_entry, &tracer->ptraced);
	t->parent = tracer;
}

void ptrace_unlink(struct task *t)
{
	struct signal_state *s = t->signal;

	thread_clear_flag(&t->thread, TIF_SYSCALL_TRACE);
	t->parent = t->real_parent;
	list_del_init(&t->ptrace_entry);
	spin_lock(&t->sighand->lock);
	t->ptrace = 0;
	ptrace_clear_jobctl(t, JOBCTL_TRAP_MASK);
	trapping_done(t);
	/* the group is stopped: so will this thread be */
	if (!(t->flags & PF_EXITING) && (s->flags & SIGNAL_STOPPED || s->group_stop_count)) {
		t->jobctl |= JOBCTL_STOP_PENDING;
		if (!(t->jobctl & JOBCTL_STOP_SIGMASK))
			t->jobctl |= SIGSTOP;
	}
	if (t->jobctl & JOBCTL_STOP_PENDING || READ_ONCE(t->thread.state) & TASK_TRACED)
		wake_tracee(t, true);
	spin_unlock(&t->sighand->lock);
}

/* True: a zombie that its real parent does not want either; it is EXIT_DEAD now. */
static bool unlink_or_bury(struct task *tracer, struct task *t)
{
	bool dead = false;

	ptrace_unlink(t);
	if (t->exit_state != EXIT_ZOMBIE)
		return false;
	if (!thread_group_leader(t)) {
		dead = true;
	} else if (thread_group_empty(t)) {
		if (t->real_parent->signal != tracer->signal)
			dead = notify_parent(t, t->exit_signal);
		else if (tracer->sighand->action[SIGCHLD - 1].handler == SIG_IGN ||
			 tracer->sighand->action[SIGCHLD - 1].flags & SA_NOCLDWAIT)
			dead = true;
	}
	if (dead)
		t->exit_state = EXIT_DEAD;
	return dead;
}

void ptrace_exit(struct task *tracer, struct list_head *dead)
{
	struct task *t, *n;

	list_for_each_entry_safe(t, n, &tracer->ptraced, ptrace_entry) {
		if (unlikely(t->ptrace & PT_EXITKILL))
			send_signal(SIGKILL, NULL, t, true);
		if (unlink_or_bury(tracer, t))
			list_move_tail(&t->sibling, dead);
	}
}

void ptrace_inherit(struct task *child)
{
	struct task *from = current;

	if (!from->ptrace)
		return;
	link(child, from->parent);
	child->ptrace = from->ptrace;
	if (child->ptrace & PT_SEIZED)
		child->jobctl |= JOBCTL_TRAP_STOP;
	else
		child->pending.set |= sigmask(SIGSTOP);
	thread_set_flag(&child->thread, TIF_SIGPENDING);
}

/* ---- attaching ---- */

int ptrace_may_attach(struct task *t)
{
	const struct cred *me = current->cred, *c;
	bool same, caps;

	if (same_thread_group(t, current))
		return 0;
	rcu_read_lock();
	c = rcu_dereference(t->cred);
	same = me->uid == c->uid && me->uid == c->euid && me->uid == c->suid && me->gid == c->gid &&
	       me->gid == c->egid && me->gid == c->sgid;
	caps = !(c->cap_permitted & ~me->cap_permitted);
	rcu_read_unlock();
	return (same && caps && t->dumpable == 1) || capable(CAP_SYS_PTRACE) ? 0 : -EPERM;
}

int ptrace_traceme(void)
{
	struct task *t = current;
	int err = 0;

	tasklist_write_lock();
	if (t->ptrace) {
		err = -EPERM;
	} else if (!(t->real_parent->flags & (PF_EXITING | PF_KTHREAD))) {
		t->ptrace = PT_PTRACED;
		link(t, t->real_parent);
	}
	tasklist_write_unlock();
	return err;
}

/* => tasklist_lock for writing */
static int attach_locked(struct task *t, bool seize, u32 options)
{
	struct sighand *s = t->sighand;

	if (t->exit_state || t->ptrace || !s)
		return -EPERM;
	t->ptrace = PT_PTRACED | (seize ? PT_SEIZED | PT_OPTIONS(options) : 0);
	link(t, current);
	spin_lock(&s->lock);
	if (!seize)
		send_signal_locked(SIGSTOP, NULL, t, false);
	if (READ_ONCE(t->thread.state) & TASK_STOPPED && ptrace_set_jobctl(t, JOBCTL_TRAP_STOP | JOBCTL_TRAPPING)) {
		thread_set_flag(&t->thread, TIF_SIGPENDING);
		wake_thread(&t->thread, TASK_STOPPED, 0);
	}
	spin_unlock(&s->lock);
	return 0;
}

int ptrace_attach(struct task *t, bool seize, u32 options)
{
	int err = t->flags & PF_KTHREAD || same_thread_group(t, current) ? -EPERM : ptrace_may_attach(t);

	if (err)
		return err;
	tasklist_write_lock();
	err = attach_locked(t, seize, options);
	tasklist_write_unlock();
	if (!err)
		wait_event(trapping_wait, !(READ_ONCE(t->jobctl) & JOBCTL_TRAPPING));
	return err;
}

/* ---- requests on a stopped tracee ---- */

/* Its registers are in memory only when it has left its CPU, which takes a moment after the state was set. */
static void wait_switched_out(struct thread *th)
{
	for (int i = 0; READ_ONCE(th->on_cpu) || READ_ONCE(th->on_rq); i++) {
		if (i < 200) {
			spin_poll();
			continue;
		}
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_until(ktime_ns() + 50000);
	}
	smp_mb();
}

int ptrace_hold(struct task *t, bool running)
{
	bool mine, held = running;

	tasklist_enter();
	mine = t->ptrace && t->parent == current;
	if (mine && !running) {
		spin_lock(&t->sighand->lock);
		held = READ_ONCE(t->thread.state) & TASK_TRACED && !(t->jobctl & JOBCTL_LISTENING) &&
		       !(t->pending.set & sigmask(SIGKILL));
		if (held)
			t->jobctl |= JOBCTL_FROZEN;
		spin_unlock(&t->sighand->lock);
	}
	tasklist_leave();
	if (!mine || !held)
		return -ESRCH;
	if (!running)
		wait_switched_out(&t->thread);
	return 0;
}

void ptrace_release(struct task *t)
{
	struct sighand *s;
	u64 flags;

	s = task_lock_sighand(t, &flags);
	if (!s)
		return;
	if (t->jobctl & JOBCTL_FROZEN) {
		t->jobctl &= ~JOBCTL_FROZEN;
		if (t->pending.set & sigmask(SIGKILL) || !t->ptrace)
			wake_thread(&t->thread, TASK_TRACED, 0);
	}
	task_unlock_sighand(s, flags);
}

int ptrace_resume(struct task *t, long request, u64 sig)
{
	u64 flags;

	if (!signal_valid(sig))
		return -EIO;
	if (request == PTRACE_SYSCALL || request == PTRACE_SYSEMU || request == PTRACE_SYSEMU_SINGLESTEP)
		thread_set_flag(&t->thread, TIF_SYSCALL_TRACE);
	else
		thread_clear_flag(&t->thread, TIF_SYSCALL_TRACE);
	arch_ptrace_step(&t->thread, request == PTRACE_SINGLESTEP || request == PTRACE_SYSEMU_SINGLESTEP);
	struct sighand *s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	t->ptrace = request == PTRACE_SYSEMU || request == PTRACE_SYSEMU_SINGLESTEP ? t->ptrace | PT_SYSEMU :
										      t->ptrace & ~PT_SYSEMU;
	t->exit_code = (s32)sig;
	t->jobctl &= ~JOBCTL_FROZEN;
	wake_thread(&t->thread, TASK_TRACED, 0);
	task_unlock_sighand(s, flags);
	return 0;
}

int ptrace_detach(struct task *t, u64 sig)
{
	if (!signal_valid(sig))
		return -EIO;
	arch_ptrace_step(&t->thread, false);
	tasklist_write_lock();
	spin_lock(&t->sighand->lock);
	t->exit_code = (s32)sig;
	t->jobctl &= ~JOBCTL_FROZEN;
	spin_unlock(&t->sighand->lock);
	bool dead = unlink_or_bury(current, t);
	tasklist_write_unlock();
	if (dead)
		task_release(t);
	return 0;
}

/* INTERRUPT: a stop as soon as it may. */
int ptrace_interrupt(struct task *t)
{
	struct sighand *s;
	u64 flags;

	if (!(t->ptrace & PT_SEIZED))
		return -EIO;
	s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	if (ptrace_set_jobctl(t, JOBCTL_TRAP_STOP))
		wake_tracee(t, t->jobctl & JOBCTL_LISTENING);
	task_unlock_sighand(s, flags);
	return 0;
}

int ptrace_listen(struct task *t)
{
	struct sighand *s;
	int err = -EIO;
	u64 flags;

	if (!(t->ptrace & PT_SEIZED))
		return -EIO;
	s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	if (t->last_siginfo && t->last_siginfo->si_code >> 8 == PTRACE_EVENT_STOP) {
		t->jobctl = (t->jobctl | JOBCTL_LISTENING) & ~JOBCTL_FROZEN;
		if (t->jobctl & JOBCTL_TRAP_NOTIFY)
			wake_tracee(t, true);
		err = 0;
	}
	task_unlock_sighand(s, flags);
	return err;
}
