/*
 * Before a new program: the other threads of the group end, and a thread that is not the leader
 * becomes it, taking over its number, its place among the parent's children, and its parent.
 *
 * group_exec_task makes new signals and exits see a dying group (group_exiting) without an exit
 * code; notify_count counts the threads still to be reaped. The old leader does not reap itself: its
 * exit is awaited (notify_count -1 asks exit_notify for a wake-up), then it is released here.
 */
#include <lib/assert.h>
#include <proc/impl.h>

/* Everybody but the leader is gone when the count is zero. False: we are to die ourselves. */
static bool wait_for_threads(struct task *t)
{
	struct signal_state *s = t->signal;

	while (s->notify_count) {
		WRITE_ONCE(t->thread.state, TASK_KILLABLE);
		spin_unlock_irq(&t->sighand->lock);
		schedule();
		spin_lock_irq(&t->sighand->lock);
		if (s->flags & SIGNAL_GROUP_EXIT || fatal_signal_pending_current())
			return false;
	}
	return true;
}

/* => tasklist_lock for writing, leader is a zombie */
static void take_over(struct task *t, struct task *leader)
{
	t->thread.start_time = leader->thread.start_time;
	pid_exchange(t, leader);
	pid_transfer(leader, t, PIDK_TGID);
	pid_transfer(leader, t, PIDK_PGID);
	pid_transfer(leader, t, PIDK_SID);
	list_replace_init(&leader->sibling, &t->sibling);
	t->group_leader = t;
	leader->group_leader = t;
	t->exit_signal = SIGCHLD;
	leader->exit_signal = -1;
	leader->exit_state = EXIT_DEAD;
	if (unlikely(leader->ptrace)) /* its tracer waits for a number that is somebody else's now */
		wake_up_key(&leader->parent->signal->wait_chldexit, TASK_INTERRUPTIBLE, 0, 1, 0);
}

static int become_leader(struct task *t)
{
	struct signal_state *s = t->signal;
	struct task *leader = t->group_leader;

	for (;;) {
		tasklist_write_lock();
		s->notify_count = -1;
		if (leader->exit_state)
			break;
		WRITE_ONCE(t->thread.state, TASK_KILLABLE);
		tasklist_write_unlock();
		schedule();
		if (s->flags & SIGNAL_GROUP_EXIT || fatal_signal_pending_current())
			return -EAGAIN;
	}
	take_over(t, leader);
	s->notify_count = 0;
	tasklist_write_unlock();
	task_release(leader);
	return 0;
}

int de_thread(void)
{
	struct task *t = current;
	struct signal_state *s = t->signal;
	int err = 0;

	if (likely(thread_group_empty(t)))
		goto alone;
	spin_lock_irq(&t->sighand->lock);
	if (group_exiting(s)) { /* somebody else kills the group or execs: we are among the dead */
		spin_unlock_irq(&t->sighand->lock);
		return -EAGAIN;
	}
	s->group_exec_task = t;
	s->notify_count = zap_other_threads(t);
	if (t != t->group_leader)
		s->notify_count--;
	if (!wait_for_threads(t))
		err = -EAGAIN;
	spin_unlock_irq(&t->sighand->lock);
	if (!err && t != t->group_leader)
		err = become_leader(t);
	s->group_exec_task = NULL;
	s->notify_count = 0;
	if (err)
		return err;
alone:
	ASSERT(t == t->group_leader);
	return 0;
}
