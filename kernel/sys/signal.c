/* Signals: kill and its kin, handlers, masks, waiting, the alternate stack. */
#include <fs/fdtable.h>
#include <fs/procfs.h>
#include <lib/err.h>
#include <lib/string.h>
#include <proc/impl.h>
#include <sys/util.h>

static void info_of_sender(siginfo_t *i, int sig, int code)
{
	memset(i, 0, sizeof(*i));
	i->si_signo = sig;
	i->si_code = code;
	i->pid = current->tgid;
	i->uid = current->cred->uid;
}

/* ---- sending ---- */

long sys_kill(pid_t pid, int sig)
{
	siginfo_t info;

	if (!signal_valid((u32)sig))
		return -EINVAL;
	info_of_sender(&info, sig, SI_USER);
	return kill_process_nr(sig, &info, pid);
}

/* To one thread; tgid 0: whatever group it is in. */
static long send_to_thread(pid_t tgid, pid_t tid, int sig, const siginfo_t *info)
{
	struct task *t;
	long r = -ESRCH;

	rcu_read_lock();
	t = task_find(tid);
	if (t && (!tgid || t->tgid == tgid)) {
		r = send_signal_checked(sig, info, t, false);
		if (r == -ESRCH && sig == 0)
			r = 0; /* dying, but there */
	}
	rcu_read_unlock();
	return r;
}

static long do_tkill(pid_t tgid, pid_t tid, int sig)
{
	siginfo_t info;

	if (tid <= 0 || !signal_valid((u32)sig))
		return -EINVAL;
	info_of_sender(&info, sig, SI_TKILL);
	return send_to_thread(tgid, tid, sig, &info);
}

long sys_tkill(pid_t tid, int sig)
{
	return do_tkill(0, tid, sig);
}

long sys_tgkill(pid_t tgid, pid_t tid, int sig)
{
	return tgid <= 0 ? -EINVAL : do_tkill(tgid, tid, sig);
}

/* A siginfo from user space; only the sender's own process may get one that looks like kill's. */
static int get_siginfo(siginfo_t *i, int sig, const siginfo_t __user *u, pid_t target)
{
	if (copy_from_user(i, u, sizeof(*i)))
		return -EFAULT;
	i->si_signo = sig;
	if ((i->si_code >= 0 || i->si_code == SI_TKILL) && target != current->tgid)
		return -EPERM;
	return 0;
}

long sys_rt_sigqueueinfo(pid_t pid, int sig, const siginfo_t __user *u)
{
	siginfo_t info;
	int err = get_siginfo(&info, sig, u, pid);

	if (err)
		return err;
	if (!signal_valid((u32)sig))
		return -EINVAL;
	if (pid <= 0)
		return -ESRCH;
	return kill_process_nr(sig, &info, pid);
}

long sys_rt_tgsigqueueinfo(pid_t tgid, pid_t tid, int sig, const siginfo_t __user *u)
{
	siginfo_t info;

	int err = get_siginfo(&info, sig, u, tgid);

	if (err == -EFAULT)
		return err;
	if (tgid <= 0 || tid <= 0)
		return -EINVAL;
	if (err)
		return err;
	if (!signal_valid((u32)sig))
		return -EINVAL;
	return send_to_thread(tgid, tid, sig, &info);
}

/* A pidfd, or the process' directory in /proc as well (pidfd_send_signal(2)). */
static struct task *task_of_fd(int n)
{
	struct task *t = pidfd_task_get(n);
	struct fd f;

	if (!IS_ERR(t))
		return t;
	f = fdget(n);
	if (fd_file(f) && fd_file(f)->ops == &pid_dir_fops)
		t = proc_node_task(fd_file(f)->inode) ?: ERR_PTR(-ESRCH);
	fdput(f);
	return t;
}

long sys_pidfd_send_signal(int fd, int sig, const siginfo_t __user *u, u32 flags)
{
	siginfo_t info;
	int err = 0;

	if (flags)
		return -EINVAL;
	struct task *t = task_of_fd(fd);
	if (IS_ERR(t))
		return PTR_ERR(t);
	if (u) {
		s32 said;
		err = get_user(said, &u->si_signo) ? -EFAULT : said != sig ? -EINVAL : get_siginfo(&info, sig, u, t->tgid);
	} else {
		info_of_sender(&info, sig, SI_USER);
	}
	if (!err && !signal_valid((u32)sig))
		err = -EINVAL;
	if (!err)
		err = send_signal_checked(sig, &info, t, true);
	task_put(t);
	return err;
}

/* ---- handlers and masks ---- */


long sys_rt_sigaction(int sig, const struct k_sigaction __user *uact, struct k_sigaction __user *uold, u64 size)
{
	struct k_sigaction act, old; /* laid out as user space sees them */
	int err;

	if (size != sizeof(sigset_t))
		return -EINVAL;
	if (uact && copy_from_user(&act, uact, sizeof(act)))
		return -EFAULT;
	err = do_sigaction(sig, uact ? &act : NULL, uold ? &old : NULL);
	if (err || !uold)
		return err;
	return copy_to_user(uold, &old, sizeof(old)) ? -EFAULT : 0;
}

long sys_rt_sigprocmask(int how, const sigset_t __user *uset, sigset_t __user *uold, u64 size)
{
	sigset_t old = current->blocked, s;

	if (size != sizeof(sigset_t))
		return -EINVAL;
	if (uset) {
		if (get_user(s, uset))
			return -EFAULT;
		switch (how) {
		case SIG_BLOCK:
			s |= old;
			break;
		case SIG_UNBLOCK:
			s = old & ~s;
			break;
		case SIG_SETMASK:
			break;
		default:
			return -EINVAL;
		}
		set_current_blocked(s);
	}
	return uold ? put_user(old, uold) : 0;
}

long sys_rt_sigpending(void __user *uset, u64 size)
{
	struct task *t = current;
	sigset_t s;

	if (size > sizeof(s))
		return -EINVAL;
	spin_lock_irq(&t->sighand->lock);
	s = (t->pending.set | t->signal->shared_pending.set) & t->blocked;
	spin_unlock_irq(&t->sighand->lock);
	return copy_to_user(uset, &s, size) ? -EFAULT : 0;
}

/* ---- waiting ---- */

static long wait_for_signal(void)
{
	while (!signal_pending_current()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!signal_pending_current())
			schedule();
		set_current_state(TASK_RUNNING);
	}
	return -ERESTARTNOHAND;
}

long sys_pause(void)
{
	return wait_for_signal();
}

long sys_rt_sigsuspend(const sigset_t __user *uset, u64 size)
{
	struct task *t = current;
	sigset_t s;

	if (size != sizeof(s))
		return -EINVAL;
	if (get_user(s, uset))
		return -EFAULT;
	t->saved_sigmask = t->blocked;
	set_current_blocked(s);
	thread_set_flag(&t->thread, TIF_RESTORE_SIGMASK);
	return wait_for_signal();
}

static int take_signal(struct task *t, sigset_t set, siginfo_t *info)
{
	struct sigqueue *tq;
	int sig = dequeue_signal_locked(t, ~set, info, &tq);

	if (tq) {
		spin_unlock_irq(&t->sighand->lock);
		posix_timer_delivered(tq, info);
		spin_lock_irq(&t->sighand->lock);
	}
	return sig;
}

/* While it sleeps the wanted signals are unblocked, so that one wakes it; real_blocked keeps them from being thrown away
 * as ignored, and from killing. */
static int sigtimedwait(sigset_t set, siginfo_t *info, u64 deadline)
{
	struct task *t = current;
	bool late = false;
	int sig;

	set &= ~SIG_KERNEL_ONLY;
	spin_lock_irq(&t->sighand->lock);
	sig = take_signal(t, set, info);
	if (!sig && deadline) {
		t->real_blocked = t->blocked;
		t->blocked &= ~set;
		recalc_sigpending();
		while (!sig && !late && !task_sigpending(t)) {
			WRITE_ONCE(t->thread.state, TASK_INTERRUPTIBLE);
			spin_unlock_irq(&t->sighand->lock);
			late = schedule_until(deadline);
			spin_lock_irq(&t->sighand->lock);
			sig = take_signal(t, set, info);
		}
		if (!sig)
			sig = take_signal(t, set, info);
		t->blocked = t->real_blocked;
		t->real_blocked = 0;
		recalc_sigpending();
	}
	spin_unlock_irq(&t->sighand->lock);
	return sig ?: late || !deadline ? -EAGAIN : -EINTR;
}

long sys_rt_sigtimedwait(const sigset_t __user *uset, siginfo_t __user *uinfo, const void __user *uts, u64 size)
{
	u64 deadline = U64_MAX, ns;
	siginfo_t info;
	sigset_t s;

	if (size != sizeof(s))
		return -EINVAL;
	if (get_user(s, uset))
		return -EFAULT;
	if (uts) {
		int err = get_timespec_ns(&ns, uts);
		if (err)
			return err;
		deadline = ns ? ns_add_sat(ktime_ns(), ns) : 0;
	}
	int sig = sigtimedwait(s, &info, deadline);
	if (sig > 0 && uinfo && copy_to_user(uinfo, &info, sizeof(info)))
		return -EFAULT;
	return sig;
}

/* ---- the rest ---- */

long sys_sigaltstack(const struct stack_t_user __user *unew, struct stack_t_user __user *uold)
{
	struct stack_t_user new, old;

	if (unew && copy_from_user(&new, unew, sizeof(new)))
		return -EFAULT;
	int err = do_sigaltstack(unew ? &new : NULL, &old, arch_user_regs(&current->thread.arch)->rsp);
	if (!err && uold && copy_to_user(uold, &old, sizeof(old)))
		return -EFAULT;
	return err;
}

/* Entered when a call returned ERESTART_RESTARTBLOCK and no handler ran. */
long sys_restart_syscall(void)
{
	long (*fn)(struct task *) = current->restart.fn;

	current->restart.fn = NULL;
	return fn ? fn(current) : -EINTR;
}
