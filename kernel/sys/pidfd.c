/*
 * pidfds: descriptors that stand for a process (pidfd_open(2)). The file holds a reference to the
 * task; readable means the process has ended. The queue polled is its number's, which the task keeps
 * as long as it exists, and exit wakes.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <lib/err.h>
#include <proc/ptrace.h>
#include <proc/impl.h>

#define PIDFD_NONBLOCK O_NONBLOCK

static u32 pidfd_poll(struct file *f, struct poll_table *pt)
{
	struct task *t = f->private;

	poll_wait(f, &t->pids[PIDK_PID]->poll_wait, pt);
	return READ_ONCE(t->exit_state) && thread_group_empty(t) ? POLLIN | POLLRDNORM : 0;
}

static void pidfd_release(struct inode *i, struct file *f)
{
	task_put(f->private);
}

static void pidfd_show_fdinfo(struct file *f, struct seq_buf *s)
{
	struct task *t = f->private;
	pid_t nr = t->exit_state == EXIT_DEAD ? -1 : t->pid;

	seq_printf(s, "Pid:\t%d\nNSpid:\t%d\n", nr, nr);
}

static const struct file_ops pidfd_ops = {
	.poll = pidfd_poll,
	.release = pidfd_release,
	.show_fdinfo = pidfd_show_fdinfo,
};

int pidfd_install(struct task *t, u32 flags)
{
	struct file *f = anon_file("pidfd", &pidfd_ops, t, O_RDWR | (flags & O_NONBLOCK));

	if (IS_ERR(f))
		return PTR_ERR(f);
	task_get(t);
	return fd_open_file(f, O_CLOEXEC);
}

struct task *pidfd_task_get(unsigned fd)
{
	struct fd f = fdget(fd);
	struct task *t = ERR_PTR(-EBADF);

	if (fd_file(f) && fd_file(f)->ops == &pidfd_ops) {
		t = fd_file(f)->private;
		task_get(t);
	}
	fdput(f);
	return t;
}

long sys_pidfd_open(pid_t pid, u32 flags)
{
	if (flags & ~PIDFD_NONBLOCK || pid <= 0)
		return -EINVAL;
	struct task *t = task_find_get(pid);
	if (!t)
		return -ESRCH;
	long r = thread_group_leader(t) ? pidfd_install(t, flags) : -EINVAL;
	task_put(t);
	return r;
}

long sys_pidfd_getfd(int pidfd, int fd, u32 flags)
{
	struct file *f = NULL;
	long r;

	if (flags)
		return -EINVAL;
	struct task *t = pidfd_task_get(pidfd);
	if (IS_ERR(t))
		return PTR_ERR(t);
	if (ptrace_may_attach(t)) {
		r = -EPERM;
	} else if (t->flags & PF_EXITING) {
		r = -ESRCH;
	} else {
		f = fget_task(t, fd);
		r = f ? fd_open_file(f, O_CLOEXEC) : -EBADF;
	}
	task_put(t);
	return r;
}
