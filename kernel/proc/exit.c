/*
 * The end of tasks.
 *
 * do_exit gives up what a task holds, from the inside out: signals (nobody is sent to it any more),
 * memory, files; then exit_notify, holding tasklist_lock, hands its children to another thread, a
 * subreaper or init, tells the parent, and makes it a zombie. task_release ("reap") takes a zombie
 * out of all lists; it is called by the parent's wait, or by the dying task itself when nobody
 * wants its status (threads but the leader, SIGCHLD ignored).
 *
 *   running -> PF_EXITING -> EXIT_ZOMBIE --wait--> EXIT_DEAD -> released -> freed by RCU
 *                        \-> EXIT_DEAD (autoreap) ---^
 *
 * Who has no children, tracer or tracees and breaks no tie between process groups is only inside tasklist_lock, with the lock
 * of the parent's family: that is nearly everybody. Others hold the lock for writing.
 *
 * A leader that dies before its threads stays a zombie nobody can wait for; the last thread's release
 * notifies the parent on its behalf.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <proc/coredump.h>
#include <proc/ptrace.h>
#include <x86/tlb.h>
#include <x86/uaccess.h>

/* ---- memory ---- */

static void vfork_release(struct task *t)
{
	struct completion *c;

	spin_lock_irq(&t->alloc_lock);
	c = t->vfork_done;
	t->vfork_done = NULL;
	if (c)
		complete(c); /* under the lock: the parent's stack frame holds it, see wait_for_vfork */
	spin_unlock_irq(&t->alloc_lock);
}

void task_mm_release(struct task *t, struct mm *mm)
{
	futex_exit(t);
	if (t->clear_child_tid) {
		/* Written only when somebody else may look: the last user's memory is about to go. */
		if (READ_ONCE(mm->users) > 1) {
			u32 __user *p = t->clear_child_tid;
			(void)put_user((u32)0, p);
			futex_wake(mm, (u64)p, true, 1, ~0u);
		}
		t->clear_child_tid = NULL;
	}
	if (t->vfork_done)
		vfork_release(t);
}

static void update_maxrss(struct signal_state *s, struct mm *mm)
{
	s64 rss = 0;

	for (int i = 0; i < RSS_SWAP; i++)
		rss += mm_rss(mm, i);
	u64 high = max_t(u64, rss > 0 ? rss : 0, mm->hiwater_rss);
	if (high > s->maxrss)
		s->maxrss = high;
}

static void exit_mm(struct task *t)
{
	struct mm *mm = t->thread.mm;

	if (!mm)
		return;
	task_mm_release(t, mm);
	update_maxrss(t->signal, mm);
	spin_lock_irq(&t->alloc_lock);
	t->thread.mm = NULL;
	t->thread.active_mm = NULL;
	/* This CPU must not walk the tables any more when the last user frees them. */
	tlb_switch_mm(mm, NULL);
	tlb_leave_lazy();
	spin_unlock_irq(&t->alloc_lock);
	mm_put(mm);
}

static void exit_files(struct task *t)
{
	struct files *files;
	struct fs_context *fs;

	spin_lock_irq(&t->alloc_lock);
	files = t->files;
	fs = t->fs;
	t->files = NULL;
	t->fs = NULL;
	spin_unlock_irq(&t->alloc_lock);
	if (files)
		files_put(files);
	if (fs)
		fs_put(fs);
}

/* ---- family ---- */

/* No member has a parent in another group of the same session: nobody could continue it. */
bool pgrp_is_orphaned(struct pid *pgrp, struct task *except)
{
	struct task *t;

	for_each_pid_task(t, pgrp, PIDK_PGID) {
		struct task *p = t->real_parent;
		if (t == except || (t->exit_state && thread_group_empty(t)) || p == init_task_ptr || p->flags & PF_KTHREAD)
			continue;
		p = p->group_leader;
		if (p->pids[PIDK_PGID] != pgrp && p->pids[PIDK_SID] == t->pids[PIDK_SID])
			return false;
	}
	return true;
}

static bool pgrp_has_stopped(struct pid *pgrp)
{
	struct task *t;

	for_each_pid_task(t, pgrp, PIDK_PGID)
		if (t->signal->flags & SIGNAL_STOPPED)
			return true;
	return false;
}

static void signal_pgrp_locked(struct pid *pgrp, int sig)
{
	struct task *t;

	for_each_pid_task(t, pgrp, PIDK_PGID)
		send_signal(sig, NULL, t, true);
}

/* Is @parent what keeps the group of @leader from being orphaned? */
static bool tied(struct task *leader, struct task *parent)
{
	struct pid *pgrp = leader->pids[PIDK_PGID];

	parent = parent->group_leader;
	return pgrp && parent->pids[PIDK_PGID] != pgrp && parent->pids[PIDK_SID] == leader->pids[PIDK_SID];
}

/* POSIX: a stopped group that becomes orphaned by this exit gets SIGHUP and SIGCONT. @parent: whose
 * tie to t's group breaks (t exits: its own parent; reparenting: the dying parent). */
static void kill_orphaned_pgrp(struct task *t, struct task *dying_parent)
{
	struct task *leader = t->group_leader;
	struct task *parent = dying_parent ? dying_parent : leader->real_parent;
	struct pid *pgrp = leader->pids[PIDK_PGID];

	if (!tied(leader, parent))
		return;
	if (pgrp_is_orphaned(pgrp, dying_parent ? NULL : leader) && pgrp_has_stopped(pgrp)) {
		signal_pgrp_locked(pgrp, SIGHUP);
		signal_pgrp_locked(pgrp, SIGCONT);
	}
}

static struct task *alive_thread_of(struct task *t)
{
	struct task *o;

	for_each_thread(o, t)
		if (!(o->flags & PF_EXITING))
			return o;
	return NULL;
}

/* Another thread of the group, the nearest ancestor that asked for it, or init. */
static struct task *find_new_reaper(struct task *t)
{
	struct task *o = alive_thread_of(t);

	if (o)
		return o;
	if (t->signal->has_child_subreaper) {
		for (struct task *p = t->real_parent; p != init_task_ptr && !(p->flags & PF_KTHREAD); p = p->real_parent) {
			if (!p->signal->is_child_subreaper)
				continue;
			o = alive_thread_of(p);
			if (o)
				return o;
		}
	}
	return init_task_ptr;
}

static void reparent_leader(struct task *dying, struct task *c, struct list_head *dead)
{
	if (c->exit_state == EXIT_DEAD)
		return;
	c->exit_signal = SIGCHLD;
	if (!c->ptrace && c->exit_state == EXIT_ZOMBIE && thread_group_empty(c) && notify_parent(c, c->exit_signal)) {
		c->exit_state = EXIT_DEAD;
		list_move_tail(&c->sibling, dead);
	}
	kill_orphaned_pgrp(c, dying);
}

static void new_parent_of_threads(struct task *leader, struct task *reaper)
{
	struct task *t;

	for_each_thread(t, leader) {
		t->real_parent = reaper;
		if (likely(!t->ptrace))
			t->parent = reaper;
		if (t->pdeath_signal)
			send_signal(t->pdeath_signal, NULL, t, true);
	}
}

static void forget_children(struct task *t, struct list_head *dead)
{
	struct task *c, *n, *reaper;

	if (list_empty(&t->children))
		return;
	reaper = find_new_reaper(t);
	list_for_each_entry_safe(c, n, &t->children, sibling) {
		new_parent_of_threads(c, reaper);
		list_move_tail(&c->sibling, &reaper->children);
		/* no news for the parent's group when the new one is a thread of it */
		if (!same_thread_group(reaper, t))
			reparent_leader(t, c, dead);
	}
}

/* The end of a thread concerns more than its own group and its parent's. => inside tasklist_lock */
static bool exit_concerns_others(struct task *t, bool group_dead)
{
	return !list_empty(&t->children) || !list_empty(&t->ptraced) || t->ptrace ||
	       (group_dead && tied(t->group_leader, t->group_leader->real_parent));
}

static bool wants_no_status(struct task *t)
{
	if (unlikely(t->ptrace)) { /* the tracer hears of every thread; of its own child as any parent does */
		bool own = thread_group_leader(t) && thread_group_empty(t) && !ptrace_reparented(t);
		return notify_parent(t, own ? t->exit_signal : SIGCHLD);
	}
	if (!thread_group_leader(t))
		return true;
	return thread_group_empty(t) && notify_parent(t, t->exit_signal);
}

/*
 * Becomes a zombie. True: at once a dead one, that nobody waits for. The last thread to be released tells of a leader that is a zombie
 * by then (release_one); both look at the other's step under sighand->lock, so just one of the two tells the parent.
 */
static bool become_zombie(struct task *t)
{
	struct signal_state *family = t->real_parent->signal;
	bool reap = true;

	if (thread_group_leader(t) || unlikely(t->ptrace)) {
		spin_lock(&family->family);
		spin_lock(&t->sighand->lock);
		t->exit_state = EXIT_ZOMBIE;
		spin_unlock(&t->sighand->lock);
		reap = wants_no_status(t);
		if (reap)
			t->exit_state = EXIT_DEAD;
		spin_unlock(&family->family);
	} else {
		t->exit_state = EXIT_DEAD;
	}
	return reap;
}

static void exit_notify(struct task *t, bool group_dead)
{
	struct task *c, *n;
	LIST_HEAD(dead);

	bool writing = tasklist_enter_or_write(exit_concerns_others(t, group_dead));
	if (unlikely(writing)) {
		if (!list_empty(&t->ptraced))
			ptrace_exit(t, &dead);
		forget_children(t, &dead);
		if (group_dead)
			kill_orphaned_pgrp(t->group_leader, NULL);
	}
	bool reap = become_zombie(t);
	/* A thread in exec waits for the leader to become a zombie or for the others to be gone. */
	if (unlikely(t->signal->notify_count < 0) && t->signal->group_exec_task)
		wake_thread(&t->signal->group_exec_task->thread, TASK_NORMAL | TASK_WAKEKILL, 0);
	tasklist_end(writing);
	wake_up_key(&t->pids[PIDK_PID]->poll_wait, TASK_NORMAL, 0, 0, 0);
	list_for_each_entry_safe(c, n, &dead, sibling) {
		list_del_init(&c->sibling);
		task_release(c);
	}
	if (reap)
		task_release(t);
}

/* ---- reaping ---- */

/* The group's totals take over the thread's; the last thread's stay readable through the leader. */
static void account_dead_thread(struct task *t)
{
	struct signal_state *s = t->signal;
	u64 ut, st;

	task_cputime(t, &ut, &st);
	s->utime += ut;
	s->stime += st;
	s->sum_exec += sched_runtime_ns(&t->thread);
	s->min_flt += t->min_flt;
	s->maj_flt += t->maj_flt;
	s->nvcsw += t->thread.nvcsw;
	s->nivcsw += t->thread.nivcsw;
}

static void unhash_task(struct task *t, bool leader)
{
	spread_add(&nr_tasks, -1);
	pid_detach_own(t, leader);
	if (leader) {
		pid_detach(t, PIDK_PGID);
		pid_detach(t, PIDK_SID);
		list_del_init(&t->sibling);
	}
}

static void task_put_rcu(struct rcu_head *h)
{
	task_put(container_of(h, struct task, rcu));
}

/*
 * Whose lock covers what the release of @t changes of its parent's family: a leader is among the children there, and of a
 * leader that is a zombie already the last thread tells. NULL: nothing. => inside tasklist_lock, which keeps the parent
 */
static struct signal_state *family_concerned(struct task *t)
{
	struct task *leader = t->group_leader;

	if (t == leader)
		return list_empty(&t->sibling) ? NULL : t->real_parent->signal; /* empty: of the dead of exit_notify */
	return READ_ONCE(leader->exit_state) ? leader->real_parent->signal : NULL;
}

/* Locks the family, if any, and the group of @t. Again when the leader became a zombie before we had the group. */
static struct signal_state *lock_for_release(struct task *t)
{
	for (;;) {
		struct signal_state *family = family_concerned(t);

		if (family)
			spin_lock(&family->family);
		spin_lock(&t->sighand->lock);
		if (likely(family || !family_concerned(t)))
			return family;
		spin_unlock(&t->sighand->lock);
	}
}

/* => sighand->lock */
static void leave_group(struct task *t, bool is_leader)
{
	struct signal_state *s = t->signal;

	if (!is_leader)
		account_dead_thread(t);
	WRITE_ONCE(s->nr_threads, s->nr_threads - 1);
	list_del_rcu(&t->thread_group);
	if (s->curr_target == t)
		s->curr_target = NULL;
	if (s->group_exec_task && s->notify_count > 0 && --s->notify_count == 0)
		wake_thread(&s->group_exec_task->thread, TASK_NORMAL | TASK_WAKEKILL, 0);
	sigpending_flush(&t->pending);
	if (is_leader)
		sigpending_flush(&s->shared_pending);
	WRITE_ONCE(t->sighand, NULL);
}

/* Takes one thread out. Returns the leader when its turn has come: last thread gone, nobody waits. */
static struct task *release_one(struct task *t)
{
	spread_add(&t->cred->user->processes, -1);
	bool writing = tasklist_enter_or_write(t->ptrace || t->group_leader->ptrace);
	struct task *leader = t->group_leader, *next = NULL;
	bool is_leader = t == leader;

	if (unlikely(t->ptrace))
		ptrace_unlink(t);
	struct sighand *sighand = t->sighand;
	struct signal_state *family = lock_for_release(t);
	leave_group(t, is_leader);
	bool last = !is_leader && t->signal->nr_threads == 1 && leader->exit_state == EXIT_ZOMBIE;
	spin_unlock(&sighand->lock);
	unhash_task(t, is_leader);
	if (last) { /* the leader went first: its parent hears of it now */
		if (notify_parent(leader, leader->exit_signal)) {
			leader->exit_state = EXIT_DEAD;
			next = leader;
		}
		wake_up_key(&leader->pids[PIDK_PID]->poll_wait, TASK_NORMAL, 0, 0, 0);
	}
	if (family)
		spin_unlock(&family->family);
	tasklist_end(writing);
	sighand_put(sighand);
	return next;
}

void task_release(struct task *t)
{
	while (t) {
		struct task *next = release_one(t);
		call_rcu(&t->rcu, task_put_rcu);
		t = next;
	}
}

/* ---- do_exit ---- */

static void exit_group_last(struct task *t)
{
	itimers_exit(t->signal);
	posix_timers_exit(t->signal);
}

void do_exit(long code)
{
	struct task *t = current;

	if (unlikely(in_interrupt()))
		panic("%s[%d] died in an interrupt handler", t->thread.comm, t->pid);
	if (unlikely(!t->pid))
		panic("the idle thread of CPU %d tried to exit", t->thread.cpu);
	if (unlikely(t->flags & PF_EXITING)) {
		/* a fault while dying: what it still holds is lost, but nobody waits for it */
		pr_err("%s[%d]: fault while exiting, left as it is\n", t->thread.comm, t->pid);
		for (;;) {
			set_current_state(TASK_UNINTERRUPTIBLE);
			schedule();
		}
	}
	if (unlikely(READ_ONCE(t->signal->core)))
		coredump_join(t->signal);
	ptrace_event(PTRACE_EVENT_EXIT, (u64)code);
	exit_signals(t); /* sets PF_EXITING */
	bool group_dead = __atomic_sub_fetch(&t->signal->live, 1, __ATOMIC_ACQ_REL) == 0;
	if (group_dead) {
		if (unlikely(t->tgid == 1))
			panic("Attempted to kill init! exit code 0x%lx",
			      (long)(t->signal->group_exit_code ?: code));
		exit_group_last(t);
	}
	t->exit_code = (s32)code;
	exit_mm(t);
	sem_undo_exit(t);
	exit_files(t);
	if (group_dead && t->signal->leader)
		tty_session_exit(t);
	exit_notify(t, group_dead);
	sched_exit();
}

void do_group_exit(int code)
{
	struct task *t = current;
	struct signal_state *s = t->signal;

	if (READ_ONCE(s->flags) & SIGNAL_GROUP_EXIT) {
		code = s->group_exit_code;
	} else if (READ_ONCE(s->group_exec_task)) {
		code = 0; /* an execing thread sends us away: its program's status counts */
	} else if (!thread_group_empty(t)) {
		spin_lock_irq(&t->sighand->lock);
		if (s->flags & SIGNAL_GROUP_EXIT) {
			code = s->group_exit_code;
		} else if (!s->group_exec_task) {
			s->group_exit_code = code;
			s->flags = SIGNAL_GROUP_EXIT;
			zap_other_threads(t);
		}
		spin_unlock_irq(&t->sighand->lock);
	} else {
		s->group_exit_code = code;
	}
	do_exit(code);
}
