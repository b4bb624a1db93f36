/*
 * Sending signals.
 *
 * A signal is a bit in a set (of a thread, or of the group) and, mostly, a queue entry with its
 * siginfo. Signals below SIGRTMIN are not queued twice; real-time ones are, up to RLIMIT_SIGPENDING
 * per user. Everything about a group's signals is under its sighand->lock, which is taken in
 * interrupt context; sending never sleeps and works from there.
 *
 * Steps of a send: prepare_signal (SIGCONT and the stop signals undo each other at once, ignored
 * signals end here) -> queue -> complete_signal (choose a thread that wants it; a signal that will
 * certainly kill turns into SIGKILL for every thread here, not at delivery) -> wake that thread.
 *
 * Delivery is in sigdeliver.c, user frames in sigframe.c.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <x86/cpu.h>

u64 multi_signal_seq;
static struct kmem_cache *sigqueue_cache;

#define SIG_DEFAULT_IGNORE (sigmask(SIGCONT) | sigmask(SIGCHLD) | sigmask(SIGWINCH) | sigmask(SIGURG))
#define SIG_STOPS (sigmask(SIGSTOP) | sigmask(SIGTSTP) | sigmask(SIGTTIN) | sigmask(SIGTTOU))
#define SIG_CORE                                                                            \
	(sigmask(SIGQUIT) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGABRT) | sigmask(SIGFPE) | \
	 sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGSYS) | sigmask(SIGXCPU) | sigmask(SIGXFSZ))

void sigqueue_init_cache(void)
{
	sigqueue_cache = kmem_cache_create("sigqueue", sizeof(struct sigqueue), 0, SLAB_PANIC, NULL);
}

bool signal_valid(unsigned long sig)
{
	return sig <= NSIG;
}

/* ---- queue entries ---- */

/* A user with pending signals has one reference for all of them, taken by the first and dropped by the last. */
static void user_unpend(struct user *u)
{
	if (__atomic_sub_fetch(&u->sigpending, 1, __ATOMIC_ACQ_REL) == 0)
		user_put(u);
}

struct sigqueue *sigqueue_alloc(struct task *t, bool override_limit)
{
	struct user *u;
	struct sigqueue *q;

	rcu_read_lock();
	u = rcu_dereference(t->cred)->user; /* t holds its cred, the cred its user */
	s32 n = __atomic_add_fetch(&u->sigpending, 1, __ATOMIC_RELAXED);
	if (n == 1)
		user_get(u);
	rcu_read_unlock();
	if (unlikely(!override_limit && n > (s64)min_t(u64, t->signal->rlim[RLIMIT_SIGPENDING].rlim_cur, S32_MAX)))
		q = NULL;
	else
		q = kmem_cache_alloc(sigqueue_cache, GFP_ATOMIC);
	if (unlikely(!q)) {
		user_unpend(u);
		return NULL;
	}
	INIT_LIST_HEAD(&q->link);
	q->timer = NULL;
	q->user = u;
	return q;
}

void sigqueue_free(struct sigqueue *q)
{
	user_unpend(q->user);
	kmem_cache_free(sigqueue_cache, q);
}

/* A timer's entry belongs to its timer: only unlinked. */
static void sigqueue_drop(struct sigqueue *q)
{
	list_del_init(&q->link);
	if (!q->timer)
		sigqueue_free(q);
}

void sigpending_flush(struct sigpending *p)
{
	struct sigqueue *q, *n;

	p->set = 0;
	list_for_each_entry_safe(q, n, &p->list, link)
		sigqueue_drop(q);
}

void flush_sigqueue_mask(sigset_t mask, struct sigpending *p)
{
	struct sigqueue *q, *n;

	if (!(p->set & mask))
		return;
	p->set &= ~mask;
	list_for_each_entry_safe(q, n, &p->list, link)
		if (sigmask(q->info.si_signo) & mask)
			sigqueue_drop(q);
}

/* ---- waking ---- */

/* => t->sighand->lock; any context */
void signal_wake_up(struct task *t, bool fatal)
{
	struct thread *th = &t->thread;

	thread_set_flag(th, TIF_SIGPENDING);
	/* who runs and is not about to sleep sees the flag on its way back, or when it tests before sleeping */
	if (t == current && READ_ONCE(th->state) == TASK_RUNNING)
		return;
	unsigned mode = TASK_INTERRUPTIBLE;
	if (fatal) /* while a tracer works on it, it stays asleep: ptrace_release looks again */
		mode |= TASK_WAKEKILL | TASK_STOPPED | (t->jobctl & JOBCTL_FROZEN ? 0 : TASK_TRACED);
	if (wake_thread(th, mode, 0))
		return;
	/* in user mode on another CPU: an interrupt makes it look */
	if (t != current && READ_ONCE(th->on_cpu) && READ_ONCE(th->cpu) != smp_processor_id())
		smp_send_reschedule(READ_ONCE(th->cpu));
}

static sigset_t unblocked_pending(struct task *t, sigset_t blocked)
{
	return (t->pending.set | t->signal->shared_pending.set) & ~blocked;
}

void recalc_sigpending(void)
{
	struct task *t = current;

	if (unblocked_pending(t, t->blocked) || (t->jobctl & JOBCTL_PENDING_MASK) ||
	    (t->signal->flags & SIGNAL_CLD_MASK))
		thread_set_flag(&t->thread, TIF_SIGPENDING);
	else if (task_sigpending(t))
		thread_clear_flag(&t->thread, TIF_SIGPENDING);
}

bool signal_pending_current(void)
{
	return unlikely(task_sigpending(current));
}

bool fatal_signal_pending_current(void)
{
	return unlikely(task_sigpending(current)) && (READ_ONCE(current->pending.set) & sigmask(SIGKILL));
}

/* ---- is it wanted at all? ---- */

static inline bool handler_ignores(struct task *t, int sig)
{
	u64 h = t->sighand->action[sig - 1].handler;
	return h == SIG_IGN || (h == SIG_DFL && (sigmask(sig) & SIG_DEFAULT_IGNORE));
}

static inline bool signal_ignored(struct task *t, int sig, bool from_kernel)
{
	/* blocked ones are kept: the handler may change before they are unblocked */
	if ((t->blocked | t->real_blocked) & sigmask(sig))
		return false;
	if (unlikely(t->signal->flags & SIGNAL_UNKILLABLE) &&
	    t->sighand->action[sig - 1].handler == SIG_DFL &&
	    !(from_kernel && (sigmask(sig) & SIG_KERNEL_ONLY)))
		return true;
	/* what is ignored is still news for a tracer, which may change it */
	if (unlikely(t->ptrace) && sig != SIGKILL)
		return false;
	return handler_ignores(t, sig);
}

/* SIGCONT: stop signals vanish, stopped threads go on, the parent will be told by one of them. */
static void continue_group(struct task *t)
{
	struct signal_state *s = t->signal;
	struct task *o;
	u32 why = 0;

	flush_sigqueue_mask(SIG_STOPS, &s->shared_pending);
	for_each_thread(o, t) {
		flush_sigqueue_mask(SIG_STOPS, &o->pending);
		ptrace_clear_jobctl(o, JOBCTL_STOP_PENDING);
		if (likely(!(o->ptrace & PT_SEIZED)))
			wake_thread(&o->thread, TASK_STOPPED, 0);
		else
			ptrace_trap_notify(o);
	}
	if (s->flags & SIGNAL_STOPPED)
		why = SIGNAL_CLD_CONTINUED;
	else if (s->group_stop_count)
		why = SIGNAL_CLD_STOPPED;
	if (why) {
		s->flags = (s->flags & ~(SIGNAL_STOPPED | SIGNAL_CLD_MASK)) | why | SIGNAL_CONTINUED;
		s->group_stop_count = 0;
		s->group_exit_code = 0;
	}
}

/* Immediate effects of sending. False: nothing is to be queued. */
static bool prepare_signal(int sig, struct task *t, bool from_kernel)
{
	struct task *o;

	if (t->signal->flags & SIGNAL_GROUP_EXIT)
		return sig == SIGKILL;
	if (unlikely(sigmask(sig) & SIG_STOPS)) {
		flush_sigqueue_mask(sigmask(SIGCONT), &t->signal->shared_pending);
		for_each_thread(o, t)
			flush_sigqueue_mask(sigmask(SIGCONT), &o->pending);
	} else if (unlikely(sig == SIGCONT)) {
		continue_group(t);
	}
	return !signal_ignored(t, sig, from_kernel);
}

/* ---- who takes it ---- */

static bool wants_signal(int sig, struct task *t)
{
	if ((t->blocked & sigmask(sig)) || (t->flags & PF_EXITING))
		return false;
	if (sig == SIGKILL)
		return true;
	if (READ_ONCE(t->thread.state) & (TASK_STOPPED | TASK_TRACED))
		return false;
	return READ_ONCE(t->thread.on_cpu) || !task_sigpending(t);
}

static struct task *choose_thread(int sig, struct task *t, bool group)
{
	struct signal_state *s = t->signal;
	struct task *o;

	if (wants_signal(sig, t))
		return t;
	if (!group || s->nr_threads <= 1)
		return NULL;
	/* go round, so that many signals spread over the threads */
	struct list_head *start = s->curr_target ? &s->curr_target->thread_group : s->threads.next, *l = start;
	do {
		if (l != &s->threads) {
			o = list_entry(l, struct task, thread_group);
			if (wants_signal(sig, o)) {
				s->curr_target = o;
				return o;
			}
		}
		l = l->next;
	} while (l != start);
	return NULL;
}

static bool signal_kills(struct task *t, int sig)
{
	return t->sighand->action[sig - 1].handler == SIG_DFL &&
	       !(sigmask(sig) & (SIG_DEFAULT_IGNORE | SIG_STOPS));
}

static void kill_group_now(struct task *t, int sig)
{
	struct task *o;

	t->signal->flags = SIGNAL_GROUP_EXIT;
	t->signal->group_exit_code = sig;
	t->signal->group_stop_count = 0;
	for_each_thread(o, t) {
		ptrace_clear_jobctl(o, JOBCTL_PENDING_MASK);
		o->pending.set |= sigmask(SIGKILL);
		signal_wake_up(o, true);
	}
}

static void complete_signal(int sig, struct task *t, bool group)
{
	struct task *o = choose_thread(sig, t, group);

	if (!o)
		return; /* somebody finds it when unblocking */
	if (signal_kills(o, sig) && !(t->signal->flags & SIGNAL_GROUP_EXIT) &&
	    !((o->blocked | o->real_blocked) & sigmask(sig)) && !(sigmask(sig) & SIG_CORE) &&
	    (sig == SIGKILL || !(t->signal->flags & SIGNAL_UNKILLABLE)) && (sig == SIGKILL || likely(!o->ptrace))) {
		kill_group_now(o, sig);
		return;
	}
	signal_wake_up(o, sig == SIGKILL);
}

/* ---- sending ---- */

static void info_from_kernel(siginfo_t *i, int sig)
{
	siginfo_clear(i);
	i->si_signo = sig;
	i->si_code = SI_KERNEL;
}

int send_signal_locked(int sig, const siginfo_t *info, struct task *t, bool group)
{
	struct sigpending *p = group ? &t->signal->shared_pending : &t->pending;
	struct sigqueue *q;

	ASSERT_LOCKED(&t->sighand->lock);
	if (!prepare_signal(sig, t, !info || info->si_code == SI_KERNEL))
		return 0;
	if (sig < SIGRTMIN && (p->set & sigmask(sig)))
		return 0; /* one is there already */
	if (sig != SIGKILL && !(t->flags & PF_KTHREAD)) {
		bool must = sig < SIGRTMIN && (!info || info->si_code >= 0);
		q = sigqueue_alloc(t, must);
		if (likely(q)) {
			if (info)
				siginfo_copy(&q->info, info);
			else
				info_from_kernel(&q->info, sig);
			q->info.si_signo = sig;
			list_add_tail(&q->link, &p->list);
		} else if (sig >= SIGRTMIN && info && info->si_code != SI_USER) {
			return -EAGAIN;
		} /* else the bit alone has to do */
	}
	p->set |= sigmask(sig);
	wake_up_key(&t->sighand->signalfd_wait, TASK_NORMAL, 1, 0, 1 /* POLLIN */);
	complete_signal(sig, t, group);
	return 0;
}

int send_signal(int sig, const siginfo_t *info, struct task *t, bool group)
{
	struct sighand *s;
	u64 flags;
	int err;

	s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	err = sig ? send_signal_locked(sig, info, t, group) : 0;
	task_unlock_sighand(s, flags);
	return err;
}

/* => t->sighand->lock */
int send_sigqueue_locked(struct sigqueue *q, struct task *t, bool group)
{
	int sig = q->info.si_signo;
	struct sigpending *p = group ? &t->signal->shared_pending : &t->pending;

	if (!prepare_signal(sig, t, false))
		return -1;
	if (!list_empty(&q->link))
		return 1; /* not taken yet: an overrun */
	list_add_tail(&q->link, &p->list);
	p->set |= sigmask(sig);
	wake_up_key(&t->sighand->signalfd_wait, TASK_NORMAL, 1, 0, 1);
	complete_signal(sig, t, group);
	return 0;
}

/* Takes a queued entry back; the bit goes too when it was the last of its number. => t->sighand->lock */
void drop_sigqueue_locked(struct sigqueue *q, struct task *t, bool group)
{
	struct sigpending *p = group ? &t->signal->shared_pending : &t->pending;
	struct sigqueue *o;

	list_del_init(&q->link);
	list_for_each_entry(o, &p->list, link)
		if (o->info.si_signo == q->info.si_signo)
			return;
	p->set &= ~sigmask(q->info.si_signo);
}

/* A fault of t's own doing: unblocked and reset to the default when it could not be delivered. */
void force_signal(int sig, int code, u64 addr, struct task *t)
{
	siginfo_t info;

	siginfo_clear(&info);
	info.si_signo = sig;
	info.si_code = code;
	info.addr = addr;
	force_signal_info(&info, t, false);
}

void force_signal_info(const siginfo_t *info, struct task *t, bool deadly)
{
	int sig = info->si_signo;
	struct k_sigaction *ka;
	struct sighand *s;
	u64 flags;

	s = task_lock_sighand(t, &flags);
	if (!s)
		return;
	ka = &s->action[sig - 1];
	if (deadly || (t->blocked & sigmask(sig)) || ka->handler == SIG_IGN) {
		ka->handler = SIG_DFL;
		t->blocked &= ~sigmask(sig);
	}
	if (ka->handler == SIG_DFL && !t->ptrace)
		t->signal->flags &= ~SIGNAL_UNKILLABLE;
	send_signal_locked(sig, info, t, false);
	if (unblocked_pending(t, t->blocked))
		signal_wake_up(t, false);
	task_unlock_sighand(s, flags);
}

int zap_other_threads(struct task *t)
{
	struct task *o;
	int n = 0;

	t->signal->group_stop_count = 0;
	for_each_thread(o, t) {
		if (o == t)
			continue;
		ptrace_clear_jobctl(o, JOBCTL_PENDING_MASK);
		n++;
		if (o->exit_state)
			continue;
		o->pending.set |= sigmask(SIGKILL);
		signal_wake_up(o, true);
	}
	return n;
}

/* ---- many at once ---- */

/* => tasklist_lock for reading */
static int signal_pgrp(int sig, const siginfo_t *info, struct pid *pgrp, bool check)
{
	struct task *t;
	int err = -ESRCH, r;
	bool ok = false;

	__atomic_fetch_add(&multi_signal_seq, 1, __ATOMIC_RELAXED);
	for_each_pid_task(t, pgrp, PIDK_PGID) {
		r = check ? send_signal_checked(sig, info, t, true) : send_signal(sig, info, t, true);
		ok |= !r;
		err = r;
	}
	return ok ? 0 : err;
}

int send_sig_pgrp(int sig, struct pid *pgrp)
{
	u64 flags;
	int r;

	tasklist_read_lock_irqsave(flags);
	r = signal_pgrp(sig, NULL, pgrp, false);
	tasklist_read_unlock_irqrestore(flags);
	return r;
}

static int kill_everybody(int sig, const siginfo_t *info)
{
	struct task *t;
	int r = -ESRCH, err;

	__atomic_fetch_add(&multi_signal_seq, 1, __ATOMIC_RELAXED);
	for_each_process(t) {
		if (t->tgid <= 1 || same_thread_group(t, current) || (t->flags & PF_KTHREAD))
			continue;
		err = send_signal_checked(sig, info, t, true);
		if (err != -EPERM)
			r = err;
		else if (r == -ESRCH)
			r = err;
	}
	return r;
}

/* ---- permission, kill(2) ---- */

int kill_permission(int sig, bool from_user, struct task *t)
{
	const struct cred *me = current->cred, *c;
	bool ok;

	if (!from_user || same_thread_group(current, t))
		return 0;
	rcu_read_lock();
	c = rcu_dereference(t->cred);
	ok = me->euid == c->suid || me->euid == c->uid || me->uid == c->suid || me->uid == c->uid ||
	     (sig == SIGCONT && task_sid(t) == task_sid(current));
	rcu_read_unlock();
	return ok || capable(CAP_KILL) ? 0 : -EPERM;
}

int send_signal_checked(int sig, const siginfo_t *info, struct task *t, bool group)
{
	int err = kill_permission(sig, info && (info->si_code <= 0), t);
	return err ?: send_signal(sig, info, t, group);
}

int kill_process_nr(int sig, const siginfo_t *info, pid_t nr)
{
	int r = -ESRCH;

	if (nr > 0) {
		rcu_read_lock();
		struct pid *p = pid_find(nr);
		struct task *t = p ? pid_task(p, PIDK_PID) : NULL; /* a thread's number means its process */
		if (t)
			r = send_signal_checked(sig, info, t, true);
		rcu_read_unlock();
		return r;
	}
	if (nr == INT_MIN)
		return -ESRCH;
	tasklist_read_lock();
	if (nr == -1) {
		r = kill_everybody(sig, info);
	} else {
		struct pid *p = nr ? pid_find(-nr) : current->group_leader->pids[PIDK_PGID];
		if (p)
			r = signal_pgrp(sig, info, p, true);
	}
	tasklist_read_unlock();
	return r;
}

/* ---- telling the parent ---- */

static void fill_child_info(siginfo_t *i, struct task *t, int sig, bool times)
{
	u64 ut, st;

	siginfo_clear(i);
	i->si_signo = sig;
	i->pid = t->pid;
	i->uid = t->cred->uid;
	if (!times)
		return;
	group_cputime(t, &ut, &st);
	i->utime = (s64)(ut / (NSEC_PER_SEC / USER_HZ));
	i->stime = (s64)(st / (NSEC_PER_SEC / USER_HZ));
}

bool notify_parent(struct task *t, int sig)
{
	struct task *parent = t->parent;
	struct sighand *s = parent->sighand; /* the parent lives as long as tasklist_lock is held */
	bool reap = false;
	siginfo_t info;

	if (!s) /* the boot task's children */
		return true;
	/* Adding up run times is the dear part, and a SIGCHLD nobody handles shows them to nobody. */
	bool shown = sig != SIGCHLD || s->action[SIGCHLD - 1].handler > SIG_IGN ||
		     (READ_ONCE(parent->blocked) & sigmask(SIGCHLD));
	fill_child_info(&info, t, sig, shown);
	info.status = t->exit_code & 0x7f;
	if (t->exit_code & 0x80) {
		info.si_code = CLD_DUMPED;
	} else if (t->exit_code & 0x7f) {
		info.si_code = CLD_KILLED;
	} else {
		info.si_code = CLD_EXITED;
		info.status = t->exit_code >> 8;
	}
	if (parent->flags & PF_KTHREAD)
		return true;
	u64 flags;
	spin_lock_irqsave(&s->lock, flags);
	if (sig == SIGCHLD && !t->ptrace) {
		struct k_sigaction *ka = &s->action[SIGCHLD - 1];
		if (ka->handler == SIG_IGN) {
			reap = true;
			sig = 0;
		} else if (ka->flags & SA_NOCLDWAIT) {
			reap = true;
		}
	}
	if (sig > 0 && sig <= NSIG)
		send_signal_locked(sig, &info, parent, true);
	spin_unlock_irqrestore(&s->lock, flags);
	wake_up_key(&parent->signal->wait_chldexit, TASK_INTERRUPTIBLE, 0, 1, 0);
	return reap;
}

void notify_parent_stop(struct task *t, bool for_tracer, int why)
{
	struct task *who = for_tracer ? t : t->group_leader, *parent = for_tracer ? t->parent : who->real_parent;
	struct sighand *s = parent->sighand;
	struct k_sigaction *ka;
	siginfo_t info;
	u64 flags;

	if (!s || parent->flags & PF_KTHREAD)
		return;
	fill_child_info(&info, who, SIGCHLD, true);
	info.si_code = why;
	info.status = why == CLD_CONTINUED ? SIGCONT : (why == CLD_TRAPPED ? t->exit_code : t->signal->group_exit_code) & 0x7f;
	spin_lock_irqsave(&s->lock, flags);
	ka = &s->action[SIGCHLD - 1];
	if (ka->handler != SIG_IGN && !(ka->flags & SA_NOCLDSTOP))
		send_signal_locked(SIGCHLD, &info, parent, true);
	spin_unlock_irqrestore(&s->lock, flags);
	wake_up_key(&parent->signal->wait_chldexit, TASK_INTERRUPTIBLE, 0, 1, 0);
}
