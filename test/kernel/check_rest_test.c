/* As check_test.c, for the checkers above mm: run queues, tasks, names. */
#include <fs/internal.h>
#include <mm/check.h>
#include <proc/impl.h>
#include <sched/thread.h>
#include "expect.h"

KTEST(check_run_queues)
{
	struct thread *t = current_thread();

	preempt_disable(); /* on the CPU all the time: nobody else looks at these */
	EXPECT_COMPLAINT(t->se.weight, t->se.weight + 1, sched_check());
	EXPECT_COMPLAINT(t->cpu, !t->cpu, sched_check());
	preempt_enable();
}

KTEST(check_tasks)
{
	struct task *t = current;

	EXPECT_COMPLAINT(t->exit_signal, t->exit_signal < 0 ? 17 : -1, proc_check());
	EXPECT_COMPLAINT(t->signal->nr_threads, t->signal->nr_threads + 1, proc_check());
	EXPECT_COMPLAINT(t->pids[PIDK_PID]->nr, t->pid + 1, proc_check());
}

KTEST(check_names)
{
	struct path p;
	struct file *f = kernel_open("/ktest-check", O_CREAT | O_RDWR, 0644);

	KCHECK(!IS_ERR(f));
	if (IS_ERR(f))
		return;
	file_put(f);
	KCHECK_EQ(path_lookup(AT_FDCWD, "/ktest-check", 0, &p), 0);
	EXPECT_COMPLAINT(p.dentry->name.len, p.dentry->name.len - 1, vfs_check());
	EXPECT_COMPLAINT(p.dentry->flags, p.dentry->flags & ~DENTRY_HASHED, vfs_check());
	EXPECT_COMPLAINT(p.mnt->flags, p.mnt->flags | MNT_DETACHED, vfs_check());
	path_put(&p);
	KCHECK_EQ(do_unlinkat(AT_FDCWD, "/ktest-check"), 0);
}
