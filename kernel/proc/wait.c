/*
 * Waiting for children.
 *
 * A waiter puts itself on its group's wait_chldexit, then looks at its children inside
 * tasklist_lock with the lock of its family. It may reap a zombie, or report a stop or a continuation; the one who turns exit_state from
 * ZOMBIE into DEAD owns the body, so two threads that wait never reap the same child. The locks are
 * dropped before results are copied and the task is released.
 *
 * Waiting for one pid looks it up instead of walking the children, so shells with thousands of
 * children stay linear.
 */
#include <lib/assert.h>
#include <lib/string.h>
#include <proc/usage.h>
#include <proc/ptrace.h>
#include <proc/wait.h>

/* Those whom the group made, and whom it traces, neither come nor go meanwhile, and children do not become zombies. */
static void look_begin(void)
{
	tasklist_enter();
	spin_lock(&current->signal->family);
}

static void look_end(void)
{
	spin_unlock(&current->signal->family);
	tasklist_leave();
}

/* Children made by clone with another signal than SIGCHLD are only for those who ask (wait(2)). */
static bool eligible(const struct wait_request *w, struct task *t, bool traced)
{
	struct pid *group = t->group_leader->pids[PIDK_PGID];

	if (w->which == WAIT_PGID && (!group || group->nr != w->nr))
		return false;
	if (w->which == WAIT_PID && t->pid != w->nr)
		return false;
	if (traced || w->options & __WALL)
		return true;
	return (t->exit_signal != SIGCHLD) == !!(w->options & __WCLONE);
}

static s32 final_status(struct task *t)
{
	return t->signal->flags & SIGNAL_GROUP_EXIT ? t->signal->group_exit_code : t->exit_code;
}

static void fill_exit(struct wait_request *w, s32 status)
{
	w->status = status;
	if (status & 0x7f) {
		w->why = status & 0x80 ? CLD_DUMPED : CLD_KILLED;
		w->si_status = status & 0x7f;
	} else {
		w->why = CLD_EXITED;
		w->si_status = status >> 8 & 0xff;
	}
}

static void identify(struct wait_request *w, struct task *t)
{
	w->pid = t->pid;
	w->uid = t->cred->uid;
}

/* The child's totals, and its children's, become the parent's. => sighand->lock of the parent is taken */
static void inherit_usage(struct task *t, const struct usage *u)
{
	struct signal_state *p = current->signal, *s = t->signal;

	spin_lock_irq(&current->sighand->lock);
	p->cutime += u->utime + s->cutime;
	p->cstime += u->stime + s->cstime;
	p->cmin_flt += u->min_flt + s->cmin_flt;
	p->cmaj_flt += u->maj_flt + s->cmaj_flt;
	p->cnvcsw += u->nvcsw + s->cnvcsw;
	p->cnivcsw += u->nivcsw + s->cnivcsw;
	p->cmaxrss = max3(p->cmaxrss, u->maxrss, s->cmaxrss);
	spin_unlock_irq(&current->sighand->lock);
}

static void report_usage(struct wait_request *w, struct task *t, struct usage *u)
{
	if (!w->want_usage)
		return;
	struct usage both = *u;
	usage_add_children(t->signal, &both);
	usage_to_rusage(&both, &w->usage);
}

/* The tracer has seen the end; now the real parent may. True: which does not want to. */
static bool return_zombie(struct task *t)
{
	bool dead;

	tasklist_write_lock();
	ptrace_unlink(t);
	dead = notify_parent(t, t->exit_signal);
	t->exit_state = dead ? EXIT_DEAD : EXIT_ZOMBIE;
	tasklist_write_unlock();
	return dead;
}

/* True: taken (the lock was dropped). */
static bool take_zombie(struct wait_request *w, struct task *t)
{
	struct usage u;
	s32 zombie = EXIT_ZOMBIE;

	if (w->options & WNOWAIT) {
		task_get(t);
		identify(w, t);
		fill_exit(w, final_status(t));
		look_end();
		group_usage(t, &u);
		report_usage(w, t, &u);
		task_put(t);
		return true;
	}
	bool lent = t->ptrace && ptrace_reparented(t) && thread_group_leader(t);
	if (!try_cmpxchg(&t->exit_state, &zombie, lent ? EXIT_TRACE : EXIT_DEAD))
		return false;
	/* commit: the body is ours */
	look_end();
	identify(w, t);
	fill_exit(w, final_status(t));
	group_usage(t, &u);
	report_usage(w, t, &u);
	if (thread_group_leader(t) && !lent)
		inherit_usage(t, &u);
	if (!lent || return_zombie(t))
		task_release(t);
	return true;
}

/* A stop of the group, for its parent; or of the one thread, for its tracer. */
static bool take_stopped(struct wait_request *w, struct task *t, bool traced)
{
	s32 code = 0, *from;

	if (!traced && !(w->options & WUNTRACED))
		return false;
	if (traced ? !(READ_ONCE(t->thread.state) & TASK_TRACED) : !(t->signal->flags & SIGNAL_STOPPED))
		return false;
	spin_lock(&t->sighand->lock);
	from = !traced ? t->signal->flags & SIGNAL_STOPPED ? &t->signal->group_exit_code : NULL :
	       READ_ONCE(t->thread.state) & TASK_TRACED && !(t->jobctl & JOBCTL_LISTENING) ? &t->exit_code : NULL;
	if (from) {
		code = *from;
		if (code && !(w->options & WNOWAIT))
			*from = 0; /* reported once */
	}
	spin_unlock(&t->sighand->lock);
	if (!code)
		return false;
	identify(w, t);
	w->status = code << 8 | 0x7f;
	w->why = traced ? CLD_TRAPPED : CLD_STOPPED;
	w->si_status = code;
	return true;
}

static bool take_continued(struct wait_request *w, struct task *t)
{
	struct signal_state *s = t->signal;
	bool yes;

	if (!(w->options & WCONTINUED) || !(s->flags & SIGNAL_CONTINUED))
		return false;
	spin_lock(&t->sighand->lock);
	yes = s->flags & SIGNAL_CONTINUED;
	if (!(w->options & WNOWAIT))
		s->flags &= ~SIGNAL_CONTINUED;
	spin_unlock(&t->sighand->lock);
	if (!yes)
		return false;
	identify(w, t);
	w->status = 0xffff;
	w->why = CLD_CONTINUED;
	w->si_status = SIGCONT;
	return true;
}

/* One child. 1: result, lock dropped; 0: nothing now; *exists when it may have news later. */
static int look_at(struct wait_request *w, struct task *t, bool traced, bool *exists)
{
	s32 end = READ_ONCE(t->exit_state);

	if (end == EXIT_DEAD || !eligible(w, t, traced))
		return 0;
	if (end == EXIT_TRACE) { /* on its way from the tracer to the parent */
		*exists |= !traced;
		return 0;
	}
	if (!traced && unlikely(t->ptrace) && !ptrace_reparented(t))
		traced = true; /* found among the children, but it is the tracer who looks */
	*exists = true;
	if (end == EXIT_ZOMBIE) {
		/* a leader whose threads still run has not ended yet; a traced one is the tracer's first */
		if ((thread_group_leader(t) && !thread_group_empty(t)) || !(w->options & WEXITED) || (t->ptrace && !traced))
			return 0;
		return take_zombie(w, t);
	}
	if (take_stopped(w, t, traced) || take_continued(w, t)) {
		if (w->want_usage)
			task_get(t);
		look_end();
		if (w->want_usage) {
			struct usage u;
			group_usage(t, &u);
			report_usage(w, t, &u);
			task_put(t);
		}
		return 1;
	}
	return 0;
}

static bool is_own(const struct task *parent, bool only_this_thread)
{
	return only_this_thread ? parent == current : same_thread_group(parent, current);
}

static int look_at_one(struct wait_request *w, bool *exists)
{
	struct pid *p = pid_find(w->nr);
	struct task *t = p ? pid_task(p, PIDK_TGID) : NULL;

	if (t && thread_group_leader(t) && is_own(t->real_parent, w->options & __WNOTHREAD) && look_at(w, t, false, exists))
		return 1;
	t = p ? pid_task(p, PIDK_PID) : NULL;
	return t && unlikely(t->ptrace) && is_own(t->parent, w->options & __WNOTHREAD) && look_at(w, t, true, exists);
}

/* Children of one thread, then what it traces. */
static int look_at_all_of(struct wait_request *w, struct task *parent, bool *exists)
{
	struct task *t;

	list_for_each_entry(t, &parent->children, sibling)
		if (look_at(w, t, false, exists))
			return 1;
	list_for_each_entry(t, &parent->ptraced, ptrace_entry)
		if (look_at(w, t, true, exists))
			return 1;
	return 0;
}

/* 1: result; 0: nothing now; -ECHILD. => takes and drops the locks */
static int look_once(struct wait_request *w)
{
	bool exists = false;
	struct task *t;

	look_begin();
	if (w->which == WAIT_PID) {
		if (look_at_one(w, &exists))
			return 1;
	} else {
		list_for_each_entry_rcu(t, &current->signal->threads, thread_group) { /* one that leaves has no children */
			if ((w->options & __WNOTHREAD) && t != current)
				continue;
			if (look_at_all_of(w, t, &exists))
				return 1;
		}
	}
	look_end();
	return exists ? 0 : -ECHILD;
}

long do_wait(struct wait_request *w)
{
	wait_queue_t *q = &current->signal->wait_chldexit;
	int r = look_once(w);

	if (r == 0 && !(w->options & WNOHANG)) {
		DEFINE_WAIT(e);
		for (;;) {
			prepare_to_wait(q, &e, TASK_INTERRUPTIBLE);
			r = look_once(w);
			if (r)
				break;
			if (signal_pending_current()) {
				r = -ERESTARTSYS;
				break;
			}
			schedule();
		}
		finish_wait(q, &e);
	}
	return r > 0 ? w->pid : r;
}
