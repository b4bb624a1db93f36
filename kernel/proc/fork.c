/*
 * Creating tasks.
 *
 * decode (clone_flags_check) refuses impossible flag combinations; task_copy builds a child nobody
 * can see, each resource either shared by reference or duplicated, undone in reverse order on
 * failure; task_attach makes it visible inside tasklist_lock and cannot fail but for a signal that
 * must be handled first; then the scheduler gets it.
 *
 * Signals and fork: a signal sent to several processes at once (kill of a group) must not miss a
 * child born meanwhile. Every such sender raises multi_signal_seq while it reads tasklist_lock; a
 * fork that finds the number changed and a signal pending starts over, so the child is a copy of a
 * parent that has handled it. A single timer signal does not restart fork: large forks get done.
 *
 * Cost: one task, stack and pid from per-CPU caches, one page-table copy (mm_fork), 2 KiB of
 * handlers; all else is references.
 */
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <proc/seccomp.h>
#include <x86/fpu.h>
#include <x86/uaccess.h>

static int clone_flags_check(const struct clone_args_k *a)
{
	u64 f = a->flags;

	if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS) ||
	    (f & (CLONE_NEWUSER | CLONE_FS)) == (CLONE_NEWUSER | CLONE_FS))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_PARENT) && (current->signal->flags & SIGNAL_UNKILLABLE))
		return -EINVAL;
	if ((f & CLONE_THREAD) && (f & (CLONE_NEWUSER | CLONE_NEWPID)))
		return -EINVAL;
	if (f & CLONE_PIDFD) {
		if (f & (CLONE_DETACHED | CLONE_THREAD))
			return -EINVAL;
		if ((f & CLONE_PARENT_SETTID) && a->pidfd == a->parent_tid)
			return -EINVAL;
	}
	if (f & CLONE_NAMESPACES) /* there is one of each: what a kernel without them answers */
		return (f & CLONE_NAMESPACES & ~CLONE_NEWUSER) && !capable(CAP_SYS_ADMIN) ? -EPERM : -EINVAL;
	if (f & CLONE_INTO_CGROUP)
		return -EOPNOTSUPP;
	return 0;
}

static int copy_creds(struct task *t, const struct task *from, u64 f)
{
	struct user *u = from->cred->user;

	/* Two forks at one time may both see the last place free: over by one for each CPU at most. */
	if (u->uid && spread_reaches(&u->processes, (s64)min_t(u64, from->signal->rlim[RLIMIT_NPROC].rlim_cur, S32_MAX)) &&
	    !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN))
		return -EAGAIN;
	if (spread_reaches(&nr_tasks, READ_ONCE(max_threads)))
		return -EAGAIN;
	t->cred = cred_get(from->cred);
	spread_add(&u->processes, 1);
	return 0;
}

static void put_creds(struct task *t)
{
	spread_add(&t->cred->user->processes, -1);
	cred_put(t->cred);
}

static int copy_files(struct task *t, const struct task *from, u64 f)
{
	if (!from->files)
		return 0;
	t->files = f & CLONE_FILES ? files_share(from->files) : files_dup(from->files);
	if (likely(!IS_ERR(t->files)))
		return 0;
	int err = PTR_ERR(t->files);
	t->files = NULL;
	return err;
}

static int copy_fs(struct task *t, const struct task *from, u64 f)
{
	if (!from->fs)
		return 0;
	t->fs = f & CLONE_FS ? fs_share(from->fs) : fs_dup(from->fs);
	return t->fs ? 0 : -ENOMEM;
}

static int copy_sighand(struct task *t, struct task *from, u64 f)
{
	struct sighand *s;

	if (f & CLONE_SIGHAND) {
		__atomic_fetch_add(&from->sighand->refs, 1, __ATOMIC_RELAXED);
		t->sighand = from->sighand;
		return 0;
	}
	s = sighand_alloc();
	if (!s)
		return -ENOMEM;
	spin_lock_irq(&from->sighand->lock);
	memcpy(s->action, from->sighand->action, sizeof(s->action));
	spin_unlock_irq(&from->sighand->lock);
	t->sighand = s;
	if (f & CLONE_CLEAR_SIGHAND)
		flush_signal_handlers(t, false);
	return 0;
}

static int copy_signal(struct task *t, const struct task *from, u64 f)
{
	struct signal_state *s;

	if (f & CLONE_THREAD) {
		t->signal = from->signal;
		return 0; /* counted when attached */
	}
	s = signal_state_alloc();
	if (!s)
		return -ENOMEM;
	memcpy(s->rlim, from->signal->rlim, sizeof(s->rlim));
	s->oom_score_adj = from->signal->oom_score_adj;
	s->coredump_filter = from->signal->coredump_filter;
	s->has_child_subreaper = from->signal->has_child_subreaper || from->signal->is_child_subreaper;
	t->signal = s;
	return 0;
}

static int copy_mm(struct task *t, struct task *from, u64 f)
{
	struct mm *mm = from->thread.mm;

	if (!mm)
		return 0;
	if (f & CLONE_VM) {
		mm_get(mm);
	} else {
		mm = mm_fork(mm);
		if (IS_ERR(mm))
			return PTR_ERR(mm);
	}
	t->thread.mm = t->thread.active_mm = mm;
	return 0;
}

/* Machine state: the parent's registers, its live vector state, a new stack and TLS when asked. */
static int copy_machine(struct task *t, struct task *from, const struct clone_args_k *a)
{
	struct arch_thread *at = &t->thread.arch;
	const struct pt_regs *parent = arch_user_regs(&from->thread.arch);

	at->fpu = task_fpu_alloc();
	if (!at->fpu)
		return -ENOMEM;
	at->pkru = from->thread.arch.pkru;
	fpu_fork(at->fpu);
	struct pt_regs *regs = arch_thread_setup_user(&t->thread, parent); /* takes over FS and GS bases */
	if (a->flags & CLONE_SETTLS)
		at->fsbase = a->tls;
	regs->rax = 0;
	if (unlikely(thread_test_flag(&from->thread, TIF_FORCED_TF)))
		regs->rflags &= ~0x100ull; /* the tracer steps the parent */
	if (a->stack)
		regs->rsp = a->stack + a->stack_size;
	return 0;
}

static void copy_plain(struct task *t, struct task *from, const struct clone_args_k *a)
{
	u64 f = a->flags;

	t->flags = (from->flags & ~(PF_SUPERPRIV | PF_EXITING | PF_SIGNALED | PF_KTHREAD)) | PF_FORKNOEXEC;
	t->blocked = from->blocked;
	memcpy(t->thread.comm, from->thread.comm, sizeof(t->thread.comm));
	t->thread.start_time = ktime_ns();
	t->timer_slack_ns = t->timer_slack_default = from->timer_slack_ns;
	t->personality = from->personality;
	t->ioprio = from->ioprio;
	t->make_it_fail = from->make_it_fail;
	if (unlikely(thread_test_flag(&from->thread, TIF_NOTSC)))
		thread_set_flag(&t->thread, TIF_NOTSC);
	t->mempolicy = from->mempolicy;
	t->interleave = from->interleave;
	t->dumpable = from->dumpable;
	t->keep_caps = from->keep_caps;
	if (!(f & CLONE_VM) || (f & CLONE_VFORK)) { /* a thread starts without an alternate stack */
		t->sas_sp = from->sas_sp;
		t->sas_size = from->sas_size;
		t->sas_flags = from->sas_flags;
	} else {
		t->sas_flags = SS_DISABLE;
	}
	if (!(f & CLONE_VM)) {
		t->rseq = from->rseq;
		if (t->rseq)
			thread_set_flag(&t->thread, TIF_RSEQ);
		t->rseq_len = from->rseq_len;
		t->rseq_sig = from->rseq_sig;
	}
	t->clear_child_tid = f & CLONE_CHILD_CLEARTID ? a->child_tid : NULL;
	/* A new address space can only be written by the child itself, on its way out. */
	if ((f & CLONE_CHILD_SETTID) && !(f & CLONE_VM)) {
		t->set_child_tid = a->child_tid;
		thread_set_flag(&t->thread, TIF_NOTIFY_RESUME);
	}
}

/* A child that nobody knows yet, or ERR_PTR. */
static struct task *task_copy(const struct clone_args_k *a)
{
	struct task *from = current, *t;
	u64 f = a->flags;
	int err;

	t = task_alloc();
	if (!t)
		return ERR_PTR(-ENOMEM);
	copy_plain(t, from, a);
	err = copy_creds(t, from, f);
	if (err)
		goto free_task;
	err = copy_files(t, from, f);
	if (err)
		goto undo_creds;
	err = copy_fs(t, from, f);
	if (err)
		goto undo_files;
	err = copy_sighand(t, from, f);
	if (err)
		goto undo_fs;
	err = copy_signal(t, from, f);
	if (err)
		goto undo_sighand;
	err = copy_machine(t, from, a);
	if (err)
		goto undo_signal;
	err = f & CLONE_SYSVSEM ? sem_undo_share(t) : 0;
	if (err)
		goto undo_signal;
	err = copy_mm(t, from, f);
	if (err)
		goto undo_sem;
	sched_fork(&t->thread, &from->thread);
	return t;
undo_sem:
	sem_undo_exit(t);
undo_signal:
	if (!(f & CLONE_THREAD))
		signal_state_put(t->signal);
undo_sighand:
	sighand_put(t->sighand);
undo_fs:
	if (t->fs)
		fs_put(t->fs);
undo_files:
	if (t->files)
		files_put(t->files);
undo_creds:
	put_creds(t);
free_task:
	task_free_unused(t);
	return ERR_PTR(err);
}

/* Undoes task_copy and child_pid. A pidfd may hold a reference already: it will see a dead task. */
static void task_uncopy(struct task *t, u64 f)
{
	struct sighand *sighand = t->sighand;

	t->exit_state = EXIT_DEAD;
	if (t->thread.mm)
		mm_put(t->thread.mm);
	t->thread.mm = NULL;
	sem_undo_exit(t);
	if (f & CLONE_THREAD)
		t->signal = NULL;
	WRITE_ONCE(t->sighand, NULL);
	sighand_put(sighand);
	if (t->fs)
		fs_put(t->fs);
	if (t->files)
		files_put(t->files);
	spread_add(&t->cred->user->processes, -1);
	sched_thread_release(&t->thread);
	task_put(t);
}

static void attach_thread(struct task *t, struct task *leader)
{
	t->group_leader = leader;
	t->signal->nr_threads++;
	t->signal->live++;
	__atomic_fetch_add(&t->signal->refs, 1, __ATOMIC_RELAXED);
	/* a group that is stopping takes the newcomer along */
	list_add_tail_rcu(&t->thread_group, &t->signal->threads);
	if (t->signal->group_stop_count && (current->jobctl & JOBCTL_STOP_PENDING)) {
		t->jobctl |= current->jobctl & (JOBCTL_STOP_SIGMASK | JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME);
		if (t->jobctl & JOBCTL_STOP_CONSUME)
			t->signal->group_stop_count++;
		thread_set_flag(&t->thread, TIF_SIGPENDING);
	}
	pid_attach_own(t, t->pids[PIDK_PID], false);
}

static void attach_leader(struct task *t, struct task *from)
{
	t->group_leader = t;
	t->signal->tty = from->signal->tty; /* only now: a hang-up walks all processes to take it away */
	list_add_tail(&t->thread_group, &t->signal->threads);
	list_add_tail(&t->sibling, &t->real_parent->children);
	/* from here on walkers under RCU may meet it: it is complete */
	pid_attach_own(t, t->pids[PIDK_PID], true);
	pid_attach(t, PIDK_PGID, from->group_leader->pids[PIDK_PGID] ?: t->pids[PIDK_PID]);
	pid_attach(t, PIDK_SID, from->group_leader->pids[PIDK_SID] ?: t->pids[PIDK_PID]);
}

/* The tracer's event that this clone is, 0 when it asked for none. */
static int traced_event(const struct clone_args_k *a)
{
	int event = a->flags & CLONE_VFORK ? PTRACE_EVENT_VFORK :
		    a->flags & CLONE_THREAD || a->exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK;

	return !(a->flags & CLONE_UNTRACED) && ptrace_event_enabled(current, event) ? event : 0;
}

/* Makes the child visible. 0, or -ERESTARTNOINTR when a signal comes first. */
static int task_attach(struct task *t, const struct clone_args_k *a, u64 seq)
{
	struct task *from = current;
	int err = 0;

	/* a new tracee: its tracer is of another family */
	bool writing = tasklist_enter_or_write(from->ptrace);
	if (a->flags & (CLONE_PARENT | CLONE_THREAD)) {
		t->real_parent = from->real_parent;
		t->exit_signal = a->flags & CLONE_THREAD ? -1 : from->group_leader->exit_signal;
	} else {
		t->real_parent = from;
		t->exit_signal = a->exit_signal;
	}
	t->parent = t->real_parent;
	struct signal_state *family = a->flags & CLONE_THREAD ? NULL : t->real_parent->signal;
	if (family)
		spin_lock(&family->family);
	spin_lock(&from->sighand->lock);
	if (unlikely(fatal_signal_pending_current() ||
		     (task_sigpending(from) && READ_ONCE(multi_signal_seq) != seq))) {
		err = -ERESTARTNOINTR;
	} else {
		seccomp_inherit(t); /* not before: a sibling's TSYNC may just have changed it */
		if (a->flags & CLONE_THREAD)
			attach_thread(t, from->group_leader);
		else
			attach_leader(t, from);
		task_born();
		if (unlikely(from->ptrace) && (a->flags & CLONE_PTRACE || traced_event(a)))
			ptrace_inherit(t);
	}
	spin_unlock(&from->sighand->lock);
	if (family)
		spin_unlock(&family->family);
	tasklist_end(writing);
	return err;
}

/* The numbers in set_tid are one a pid namespace; there is one. */
static struct pid *child_pid(const struct clone_args_k *a, u64 now)
{
	if (!a->set_tid_n)
		return pid_alloc(0, now);
	if (a->set_tid_n > 1 || a->set_tid[0] < 1)
		return ERR_PTR(-EINVAL);
	if (!capable(CAP_SYS_ADMIN))
		return ERR_PTR(-EPERM);
	return pid_alloc(a->set_tid[0], now);
}

static long wait_for_vfork(struct task *t, struct completion *done)
{
	int killed = wait_for_completion_killable(done);

	if (killed) {
		/* The child may be completing: taking its pointer away under the lock ends that. */
		spin_lock_irq(&t->alloc_lock);
		t->vfork_done = NULL;
		spin_unlock_irq(&t->alloc_lock);
	}
	return killed;
}

/* Results for user space, before the child runs. Faults are ignored as Linux does, but for pidfd. */
static void store_ids(struct task *t, const struct clone_args_k *a, pid_t nr)
{
	if (a->flags & CLONE_PARENT_SETTID)
		(void)put_user((u32)nr, a->parent_tid);
	if ((a->flags & CLONE_CHILD_SETTID) && (a->flags & CLONE_VM))
		(void)put_user((u32)nr, a->child_tid);
}

static int pidfd_for_child(struct task *t, const struct clone_args_k *a, int *fd)
{
	*fd = pidfd_install(t, 0);
	if (*fd < 0)
		return *fd;
	return put_user((u32)*fd, a->pidfd) ? -EFAULT : 0;
}

extern int close_fd(unsigned fd); /* fs/fdtable.h has a higher rank */

long do_clone(const struct clone_args_k *a)
{
	u64 seq = READ_ONCE(multi_signal_seq);
	struct completion vfork;
	int fd = -1, err;

	err = clone_flags_check(a);
	if (err)
		return err;
	if (unlikely(task_sigpending(current))) {
		/* handled before, not after: the child starts without pending signals */
		spin_lock_irq(&current->sighand->lock);
		recalc_sigpending();
		spin_unlock_irq(&current->sighand->lock);
		if (task_sigpending(current))
			return -ERESTARTNOINTR;
	}
	struct task *t = task_copy(a);
	if (IS_ERR(t))
		return PTR_ERR(t);
	struct pid *pid = child_pid(a, t->thread.start_time);
	if (IS_ERR(pid)) {
		task_uncopy(t, a->flags);
		return PTR_ERR(pid);
	}
	t->pids[PIDK_PID] = pid_get(pid);
	t->pid = pid->nr;
	t->tgid = a->flags & CLONE_THREAD ? current->tgid : t->pid;
	if (a->flags & CLONE_PIDFD) {
		err = pidfd_for_child(t, a, &fd);
		if (err)
			goto fail;
	}
	if (a->flags & CLONE_VFORK) {
		init_completion(&vfork);
		t->vfork_done = &vfork;
		task_get(t);
	}
	err = task_attach(t, a, seq);
	if (unlikely(err))
		goto fail_vfork;
	/* commit: no failure below */
	pid_t nr = t->pid;
	store_ids(t, a, nr);
	if (unlikely(t->signal->rlim[RLIMIT_CPU].rlim_cur != RLIM_INFINITY))
		cpu_limits_start(t);
	int event = unlikely(current->ptrace) ? traced_event(a) : 0;
	sched_wake_new(&t->thread);
	if (unlikely(event))
		ptrace_event(event, (u64)nr);
	if (a->flags & CLONE_VFORK) {
		if (!wait_for_vfork(t, &vfork))
			ptrace_event(PTRACE_EVENT_VFORK_DONE, (u64)nr);
		task_put(t);
	}
	return nr;

fail_vfork:
	if (a->flags & CLONE_VFORK)
		t->thread.refs--;
fail:
	if (fd >= 0)
		close_fd(fd);
	pid_free_unused(pid);
	task_uncopy(t, a->flags);
	return err;
}
