/* unshare(2), setns(2), I/O priorities: what a thread keeps to itself. */
#include <fs/fdtable.h>
#include <lib/err.h>
#include <proc/impl.h>

#define CLONE_UNSHARABLE                                                                            \
	(CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM | CLONE_NAMESPACES)

static int unshare_check(u64 flags)
{
	struct task *t = current;

	if (flags & ~CLONE_UNSHARABLE)
		return -EINVAL;
	if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) && !thread_group_empty(t))
		return -EINVAL;
	if ((flags & (CLONE_SIGHAND | CLONE_VM)) && READ_ONCE(t->sighand->refs) > 1)
		return -EINVAL;
	if ((flags & CLONE_VM) && READ_ONCE(t->thread.mm->users) > 1)
		return -EINVAL;
	if (flags & CLONE_NAMESPACES) /* there is one of each, as for clone */
		return (flags & CLONE_NAMESPACES & ~CLONE_NEWUSER) && !capable(CAP_SYS_ADMIN) ? -EPERM : -EINVAL;
	return 0;
}

long sys_unshare(u64 flags)
{
	struct task *t = current;
	struct files *files = NULL, *old_files;
	struct fs_context *fs = NULL, *old_fs;
	int err = unshare_check(flags);

	if (err)
		return err;
	if ((flags & CLONE_FILES) && READ_ONCE(t->files->refs) > 1) {
		files = files_dup(t->files);
		if (IS_ERR(files))
			return PTR_ERR(files);
	}
	if ((flags & CLONE_FS) && READ_ONCE(t->fs->refs) > 1) {
		fs = fs_dup(t->fs);
		if (!fs) {
			if (files)
				files_put(files);
			return -ENOMEM;
		}
	}
	/* commit: no failure below */
	spin_lock_irq(&t->alloc_lock);
	old_files = files ? t->files : NULL;
	old_fs = fs ? t->fs : NULL;
	if (files)
		t->files = files;
	if (fs)
		t->fs = fs;
	spin_unlock_irq(&t->alloc_lock);
	if (old_files)
		files_put(old_files);
	if (old_fs)
		fs_put(old_fs);
	if (flags & CLONE_SYSVSEM)
		sem_undo_exit(t);
	return 0;
}

/* No file names a namespace, and a pidfd's process is in the caller's own. */
long sys_setns(int fd, int type)
{
	struct fd f = fdget(fd);
	int err = fd_file(f) ? -EINVAL : -EBADF;

	fdput(f);
	return err;
}

/* ---- ioprio_set(2): kept and told; no disk scheduler asks for it yet ---- */

#define IOPRIO_CLASS(p) ((p) >> 13 & 7)
#define IOPRIO_DATA(p) ((p) & 0x1fff)
enum { IOPRIO_NONE, IOPRIO_RT, IOPRIO_BE, IOPRIO_IDLE };

/* Without one of its own a thread's follows from policy and nice value (ioprio_set(2)). */
static long ioprio_effective(const struct task *t)
{
	int policy = t->thread.policy;

	if (IOPRIO_CLASS(t->ioprio) != IOPRIO_NONE)
		return t->ioprio;
	return (policy == SCHED_IDLE ? IOPRIO_IDLE : t->thread.rt_priority ? IOPRIO_RT : IOPRIO_BE) << 13 |
	       (t->thread.nice + 20) / 5;
}

static int ioprio_check(int prio)
{
	switch (IOPRIO_CLASS(prio)) {
	case IOPRIO_RT:
		if (!capable(CAP_SYS_ADMIN) && !capable(CAP_SYS_NICE))
			return -EPERM;
		return IOPRIO_DATA(prio) < 8 ? 0 : -EINVAL;
	case IOPRIO_BE:
		return IOPRIO_DATA(prio) < 8 ? 0 : -EINVAL;
	case IOPRIO_IDLE:
		return 0;
	case IOPRIO_NONE:
		return IOPRIO_DATA(prio) ? -EINVAL : 0;
	}
	return -EINVAL;
}

static bool owned(struct task *t)
{
	const struct cred *c, *me = current->cred;
	bool r;

	rcu_read_lock();
	c = rcu_dereference(t->cred);
	r = c->uid == me->euid || c->uid == me->uid;
	rcu_read_unlock();
	return r || capable(CAP_SYS_NICE);
}

static bool selected(struct task *t, int which, int who)
{
	if (which == 2)
		return task_pgid(t) == (who ?: task_pgid(current));
	return t->cred->uid == (who ? (uid_t)who : current->cred->uid);
}

/* prio -1: get the best of all; else set. => tasklist_lock */
static long ioprio_each(int which, int who, int prio)
{
	struct task *p, *t;
	long best = -ESRCH;

	if (which == 1) {
		t = who ? task_find(who) : current;
		if (!t)
			return -ESRCH;
		if (prio < 0)
			return t->ioprio; /* as it was set */
		if (!owned(t))
			return -EPERM;
		t->ioprio = prio;
		return 0;
	}
	for_each_process(p) {
		for_each_thread(t, p) {
			if (!selected(t, which, who))
				continue;
			if (prio >= 0) {
				if (!owned(t))
					return -EPERM;
				t->ioprio = prio;
				best = 0;
			} else {
				long v = ioprio_effective(t);
				best = best < 0 ? v : min(best, v);
			}
		}
	}
	return best;
}

long sys_ioprio_get(int which, int who)
{
	if (which < 1 || which > 3)
		return -EINVAL;
	tasklist_read_lock();
	long r = ioprio_each(which, who, -1);
	tasklist_read_unlock();
	return r;
}

long sys_ioprio_set(int which, int who, int prio)
{
	int err = which < 1 || which > 3 || prio < 0 ? -EINVAL : ioprio_check(prio);

	if (err)
		return err;
	tasklist_read_lock();
	long r = ioprio_each(which, who, prio);
	tasklist_read_unlock();
	return r;
}
