/* Processes: fork, exec, exit, wait, and who is who. */
#include <fs/fdtable.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/usage.h>
#include <proc/wait.h>
#include <sys/util.h>

#define AT_EMPTY_PATH_ 0x1000
#define AT_SYMLINK_NOFOLLOW_ 0x100

/* ---- creation ---- */

long sys_fork(void)
{
	struct clone_args_k a = { .exit_signal = SIGCHLD };
	return do_clone(&a);
}

long sys_vfork(void)
{
	struct clone_args_k a = { .flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD };
	return do_clone(&a);
}

long sys_clone(u64 flags, u64 newsp, u32 __user *parent_tid, u32 __user *child_tid, u64 tls)
{
	struct clone_args_k a = {
		.flags = (u32)flags & ~CSIGNAL,
		.pidfd = parent_tid, /* the old call has no argument of its own for it */
		.child_tid = child_tid,
		.parent_tid = parent_tid,
		.exit_signal = flags & CSIGNAL,
		.stack = newsp,
		.tls = tls,
	};
	return do_clone(&a);
}

struct clone_args_user {
	u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static int clone3_check(const struct clone_args_user *u)
{
	if (u->flags & ~(0xffffffffull | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP))
		return -EINVAL;
	if (u->flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
		return -EINVAL;
	if ((u->flags & (CLONE_THREAD | CLONE_PARENT)) && u->exit_signal)
		return -EINVAL;
	if ((u->exit_signal & ~CSIGNAL) || !signal_valid(u->exit_signal))
		return -EINVAL;
	if (!u->stack != !u->stack_size || !access_ok((void __user *)u->stack, u->stack_size))
		return -EINVAL;
	if (u->set_tid_size > 32 || !u->set_tid != !u->set_tid_size)
		return -EINVAL;
	if ((u->flags & CLONE_INTO_CGROUP) && u->cgroup > S32_MAX)
		return -EINVAL;
	return 0;
}

long sys_clone3(const void __user *uargs, u64 size)
{
	struct clone_args_user u;
	pid_t tids[32];
	int err;

	if (size > 4096)
		return -E2BIG;
	if (size < 64)
		return -EINVAL;
	err = copy_struct_from_user(&u, sizeof(u), uargs, size);
	if (!err)
		err = clone3_check(&u);
	if (err)
		return err;
	if (u.set_tid_size && copy_from_user(tids, (void __user *)u.set_tid, u.set_tid_size * sizeof(pid_t)))
		return -EFAULT;
	struct clone_args_k a = {
		.flags = u.flags,
		.pidfd = (u32 __user *)u.pidfd,
		.child_tid = (u32 __user *)u.child_tid,
		.parent_tid = (u32 __user *)u.parent_tid,
		.exit_signal = (s32)u.exit_signal,
		.stack = u.stack,
		.stack_size = u.stack_size,
		.tls = u.tls,
		.set_tid = tids,
		.set_tid_n = (u32)u.set_tid_size,
	};
	return do_clone(&a);
}

/* ---- exec and exit ---- */

static long exec_at(int dirfd, const char __user *path, const char __user *const __user *argv,
		    const char __user *const __user *envp, int flags)
{
	char *name = getname(path, flags & AT_EMPTY_PATH_ ? LOOKUP_EMPTY : 0);
	if (IS_ERR(name))
		return PTR_ERR(name);
	long r = flags & ~(AT_EMPTY_PATH_ | AT_SYMLINK_NOFOLLOW_) ? -EINVAL : do_execve(dirfd, name, argv, envp, flags);
	putname(name);
	return r;
}

long sys_execve(const char __user *path, const char __user *const __user *argv, const char __user *const __user *envp)
{
	return exec_at(-100, path, argv, envp, 0);
}

long sys_execveat(int dirfd, const char __user *path, const char __user *const __user *argv,
		  const char __user *const __user *envp, int flags)
{
	return exec_at(dirfd, path, argv, envp, flags);
}

long sys_exit(int code)
{
	do_exit((code & 0xff) << 8);
}

long sys_exit_group(int code)
{
	do_group_exit((code & 0xff) << 8);
}

/* ---- wait ---- */

long sys_wait4(pid_t pid, s32 __user *status, int options, struct rusage __user *ru)
{
	struct wait_request w = { .options = options | WEXITED, .want_usage = ru };

	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT_MIN)
		return -ESRCH;
	w.which = pid > 0 ? WAIT_PID : pid == -1 ? WAIT_ANY : WAIT_PGID;
	w.nr = pid > 0 ? pid : pid == 0 ? task_pgid(current) : -pid;
	long r = do_wait(&w);
	if (r <= 0)
		return r;
	if (status && put_user(w.status, status))
		return -EFAULT;
	if (ru && copy_to_user(ru, &w.usage, sizeof(w.usage)))
		return -EFAULT;
	return r;
}

static bool fd_nonblock(unsigned n)
{
	struct fd f = fdget(n);
	bool r = fd_file(f) && (fd_file(f)->flags & O_NONBLOCK);
	fdput(f);
	return r;
}

static int waitid_target(struct wait_request *w, int which, pid_t id, bool *nonblock)
{
	struct task *t;

	switch (which) {
	case 0: /* P_ALL */
		w->which = WAIT_ANY;
		return 0;
	case 1: /* P_PID */
		w->which = WAIT_PID;
		w->nr = id;
		return id > 0 ? 0 : -EINVAL;
	case 2: /* P_PGID */
		w->which = WAIT_PGID;
		w->nr = id ?: task_pgid(current);
		return id >= 0 ? 0 : -EINVAL;
	case 3: /* P_PIDFD */
		if (id < 0)
			return -EINVAL;
		t = pidfd_task_get(id);
		if (IS_ERR(t))
			return PTR_ERR(t);
		w->which = WAIT_PID;
		w->nr = t->pid;
		task_put(t);
		*nonblock = fd_nonblock(id);
		return 0;
	default:
		return -EINVAL;
	}
}

static int put_waitid_info(siginfo_t __user *info, const struct wait_request *w, bool found)
{
	siginfo_t i = { 0 };

	if (found) {
		i.si_signo = SIGCHLD;
		i.si_code = w->why;
		i.pid = w->pid;
		i.uid = w->uid;
		i.status = w->si_status;
	}
	/* the fields wait defines, not all 128 bytes */
	return copy_to_user(info, &i, offsetof(siginfo_t, value) + sizeof(u64)) ? -EFAULT : 0;
}

long sys_waitid(int which, pid_t id, siginfo_t __user *info, int options, struct rusage __user *ru)
{
	struct wait_request w = { .options = options, .want_usage = ru };
	bool nonblock = false;

	if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL) ||
	    !(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return info && put_waitid_info(info, &w, false) ? -EFAULT : -EINVAL;
	int err = waitid_target(&w, which, id, &nonblock);
	if (err)
		return info && put_waitid_info(info, &w, false) ? -EFAULT : err;
	if (nonblock)
		w.options |= WNOHANG;
	long r = do_wait(&w);
	if (r == 0 && nonblock && !(options & WNOHANG))
		r = -EAGAIN;
	if (r > 0 && ru && copy_to_user(ru, &w.usage, sizeof(w.usage)))
		return -EFAULT;
	if (info && put_waitid_info(info, &w, r > 0))
		return -EFAULT;
	return r > 0 ? 0 : r;
}

/* ---- identity ---- */

long sys_getpid(void)
{
	return current->tgid;
}

long sys_gettid(void)
{
	return current->pid;
}

long sys_getppid(void)
{
	return task_ppid(current);
}

long sys_getpgrp(void)
{
	return task_pgid(current);
}

/* Calls @fn on a process by number, 0 the caller's, under RCU. */
static long of_process(pid_t pid, pid_t (*fn)(struct task *))
{
	long r = -ESRCH;

	if (!pid)
		return fn(current);
	rcu_read_lock();
	struct task *t = task_find(pid);
	if (t)
		r = fn(t);
	rcu_read_unlock();
	return r;
}

long sys_getpgid(pid_t pid)
{
	return of_process(pid, task_pgid);
}

long sys_getsid(pid_t pid)
{
	return of_process(pid, task_sid);
}

/* setpgid(2), the rules in its order of errors. => tasklist_lock for writing */
static int check_setpgid(struct task *t, struct pid **pgrp, pid_t pid, pid_t pgid)
{
	struct task *me = current->group_leader;

	if (!thread_group_leader(t))
		return -EINVAL;
	if (same_thread_group(t->real_parent, me)) {
		if (t->pids[PIDK_SID] != me->pids[PIDK_SID])
			return -EPERM;
		if (!(t->flags & PF_FORKNOEXEC))
			return -EACCES;
	} else if (t != me) {
		return -ESRCH;
	}
	if (t->signal->leader)
		return -EPERM;
	*pgrp = t->pids[PIDK_PID];
	if (pgid != pid) {
		*pgrp = pid_find(pgid);
		struct task *g = *pgrp ? pid_task(*pgrp, PIDK_PGID) : NULL;
		if (!g || g->pids[PIDK_SID] != me->pids[PIDK_SID])
			return -EPERM;
	}
	return 0;
}

long sys_setpgid(pid_t pid, pid_t pgid)
{
	struct pid *pgrp;
	int err = -ESRCH;

	if (!pid)
		pid = current->tgid;
	if (!pgid)
		pgid = pid;
	if (pgid < 0)
		return -EINVAL;
	tasklist_write_lock();
	struct task *t = task_find(pid);
	if (t)
		err = check_setpgid(t, &pgrp, pid, pgid);
	if (!err && t->pids[PIDK_PGID] != pgrp) {
		pid_detach(t, PIDK_PGID);
		pid_attach(t, PIDK_PGID, pgrp);
	}
	tasklist_write_unlock();
	return err;
}

long sys_setsid(void)
{
	struct task *t = current->group_leader;
	struct pid *sid = t->pids[PIDK_PID];
	long r = -EPERM;

	tasklist_write_lock();
	if (!t->signal->leader && !pid_task(sid, PIDK_PGID)) {
		t->signal->leader = 1;
		pid_detach(t, PIDK_SID);
		pid_attach(t, PIDK_SID, sid);
		pid_detach(t, PIDK_PGID);
		pid_attach(t, PIDK_PGID, sid);
		spin_lock(&t->sighand->lock);
		t->signal->tty = NULL;
		spin_unlock(&t->sighand->lock);
		r = sid->nr;
	}
	tasklist_write_unlock();
	return r;
}

long sys_set_tid_address(u32 __user *p)
{
	current->clear_child_tid = p;
	return current->pid;
}

/* ---- usage ---- */

long sys_getrusage(int who, struct rusage __user *ru)
{
	struct rusage r;

	if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
		return -EINVAL;
	rusage_of_group(current, who, &r);
	return copy_to_user(ru, &r, sizeof(r)) ? -EFAULT : 0;
}

long sys_times(s64 __user *buf)
{
	const u64 tick = NSEC_PER_SEC / USER_HZ;

	if (buf) {
		struct usage u;
		group_usage(current, &u);
		s64 v[4] = { u.utime / tick, u.stime / tick, current->signal->cutime / tick,
			     current->signal->cstime / tick };
		if (copy_to_user(buf, v, sizeof(v)))
			return -EFAULT;
	}
	return (long)(ktime_ns() / tick);
}
