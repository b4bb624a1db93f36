/* Calls about another process's memory by its descriptor: process_madvise(2), process_mrelease(2). */
#include <fs/fdtable.h>
#include <kernel/rcu.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <proc/task.h>
#include <x86/uaccess.h>

static bool may_advise(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == MADV_COLLAPSE;
}

static s64 advise_ranges(struct mm *mm, const struct iov_iter *it, int advice)
{
	u64 done = 0;

	for (u32 k = 0; k < it->nr; k++) {
		u64 base = it->nr > 1 ? it->iov[k].base : it->base, len = it->nr > 1 ? it->iov[k].len : it->seg_left;
		int err = do_madvise(mm, base, len, advice);

		if (err)
			return done ? (s64)done : err;
		done += len;
	}
	return done;
}

long sys_process_madvise(s32 pidfd, const void __user *uvec, u64 nr, s32 advice, u32 flags)
{
	struct iovec_k *heap = NULL;
	struct iov_iter it;
	struct task *t;
	struct mm *mm;
	s64 ret;

	if (flags)
		return -EINVAL;
	ret = iov_import(&it, uvec, nr, &heap);
	if (ret < 0)
		return ret;
	t = pidfd_task_get(pidfd);
	ret = PTR_ERR(t);
	if (IS_ERR(t))
		goto out;
	ret = -EINVAL;
	if (!may_advise(advice))
		goto put;
	ret = -ESRCH;
	mm = task_mm_get(t);
	if (!mm)
		goto put;
	/* EPERM is for the capability, as in Linux */
	ret = ptrace_may_attach(t) ? -EACCES : capable(CAP_SYS_NICE) ? advise_ranges(mm, &it, advice) : -EPERM;
	mm_put(mm);
put:
	task_put(t);
out:
	kfree(heap);
	return ret;
}

/* Nobody will run a program's instruction in it again, nor write its memory to a core. */
static bool is_dying(struct task *t)
{
	if (READ_ONCE(t->signal->core))
		return false;
	return READ_ONCE(t->signal->flags) & SIGNAL_GROUP_EXIT || (t->flags & PF_EXITING && thread_group_empty(t));
}

/* Is it so of every process that runs in @mm? A child of vfork or of a clone with CLONE_VM may die alone. */
static bool all_dying(const struct mm *mm)
{
	struct task *p, *t;
	bool dying = true;

	rcu_read_lock();
	for_each_process(p) {
		if (is_dying(p))
			continue;
		list_for_each_entry_rcu(t, &p->signal->threads, thread_group)
			dying &= READ_ONCE(t->thread.mm) != mm;
		if (!dying)
			break;
	}
	rcu_read_unlock();
	return dying;
}

long sys_process_mrelease(s32 pidfd, u32 flags)
{
	struct task *t;
	struct mm *mm;
	long ret = 0;

	if (flags)
		return -EINVAL;
	t = pidfd_task_get(pidfd);
	if (IS_ERR(t))
		return PTR_ERR(t);
	mm = task_mm_get(t);
	if (!mm)
		ret = -ESRCH;
	else if (!is_dying(t) || !all_dying(mm))
		ret = -EINVAL;
	else
		mm_reap(mm);
	if (mm)
		mm_put(mm);
	task_put(t);
	return ret;
}
