/*
 * Interval timers of a process (setitimer(2)) and its CPU-time limit.
 *
 * ITIMER_REAL is a kernel timer that sends SIGALRM. The CPU-time ones have no tick behind them: a
 * timer is armed for the earliest moment at which the time can have been used, looks, and is armed
 * again for the rest. A process that runs is looked at about as often as its limit demands, one
 * that sleeps hardly ever.
 *
 * All state is under the group's sighand->lock, which the handlers take (interrupt context). They
 * are cancelled with waiting when the last thread exits, so a handler always finds a living thread.
 */
#include <lib/compiler.h>
#include <proc/usage.h>

#define INTERVAL_MIN (50 * NSEC_PER_USEC) /* a shorter one would only make interrupts */

/* A thread whose sighand is there; locked. NULL when the group is gone. => irq context or irqs off */
static struct task *lock_any_thread(struct signal_state *s, struct sighand **sh, u64 *flags)
{
	for (int tries = 0; tries < 3; tries++) {
		struct list_head *l = READ_ONCE(s->threads.next);
		if (l == &s->threads)
			return NULL;
		struct task *t = list_entry(l, struct task, thread_group);
		*sh = task_lock_sighand(t, flags);
		if (*sh)
			return t;
	}
	return NULL;
}

static void real_expired(struct ktimer *timer)
{
	struct signal_state *s = container_of(timer, struct signal_state, real_timer);
	struct sighand *sh;
	u64 flags, now = ktime_ns(), next;

	struct task *t = lock_any_thread(s, &sh, &flags);
	if (!t)
		return;
	send_signal_locked(SIGALRM, NULL, t, true);
	if (s->it_real_incr) {
		next = timer->expires + s->it_real_incr;
		if (next <= now)
			next = now + s->it_real_incr;
		ktimer_start(timer, next);
	}
	task_unlock_sighand(sh, flags);
}

/* ---- CPU time ---- */

/* => sighand lock */
static void group_times_locked(struct task *t, u64 *ut, u64 *st)
{
	struct task *o;
	u64 a, b;

	*ut = t->signal->utime;
	*st = t->signal->stime;
	for_each_thread(o, t) {
		task_cputime(o, &a, &b);
		*ut += a;
		*st += b;
	}
}

/* One of the two: sends when due; returns the CPU time left until it is due, U64_MAX when off. */
static u64 check_one(struct task *t, int i, u64 used)
{
	struct signal_state *s = t->signal;

	if (!s->it_cpu[i].value)
		return U64_MAX;
	if (used >= s->it_cpu[i].value) {
		send_signal_locked(i ? SIGPROF : SIGVTALRM, NULL, t, true);
		if (!s->it_cpu[i].incr) {
			s->it_cpu[i].value = 0;
			return U64_MAX;
		}
		s->it_cpu[i].value = used + s->it_cpu[i].incr;
	}
	return s->it_cpu[i].value - used;
}

/* RLIMIT_CPU: SIGXCPU each second from the soft limit on, SIGKILL at the hard one (getrlimit(2)). */
static u64 check_limit(struct task *t, u64 used)
{
	const struct rlimit *r = &t->signal->rlim[RLIMIT_CPU];
	u64 secs = used / NSEC_PER_SEC, next;

	if (r->rlim_cur == RLIM_INFINITY)
		return U64_MAX;
	if (r->rlim_max != RLIM_INFINITY && secs >= r->rlim_max) {
		send_signal_locked(SIGKILL, NULL, t, true);
		return U64_MAX;
	}
	if (secs >= r->rlim_cur && secs >= t->signal->rlimit_cpu_warned) {
		send_signal_locked(SIGXCPU, NULL, t, true);
		t->signal->rlimit_cpu_warned = (u32)secs + 1;
	}
	next = max_t(u64, r->rlim_cur, t->signal->rlimit_cpu_warned);
	if (r->rlim_max != RLIM_INFINITY && r->rlim_max < next)
		next = r->rlim_max;
	if (next > U64_MAX / NSEC_PER_SEC)
		return U64_MAX;
	return next * NSEC_PER_SEC > used ? next * NSEC_PER_SEC - used : 0;
}

/* => sighand lock */
static void check_cpu_timers(struct task *t)
{
	struct signal_state *s = t->signal;
	u64 ut, st, left;

	group_times_locked(t, &ut, &st);
	left = check_one(t, 0, ut);
	left = min(left, check_one(t, 1, ut + st));
	left = min(left, check_limit(t, ut + st));
	if (left != U64_MAX && s->live > 0)
		ktimer_start(&s->cpu_timer, cpu_time_earliest(left, s->nr_threads));
}

static void cpu_expired(struct ktimer *timer)
{
	struct signal_state *s = container_of(timer, struct signal_state, cpu_timer);
	struct sighand *sh;
	u64 flags;

	struct task *t = lock_any_thread(s, &sh, &flags);
	if (!t)
		return;
	check_cpu_timers(t);
	task_unlock_sighand(sh, flags);
}

void cpu_limits_start(struct task *t)
{
	struct sighand *sh;
	u64 flags;

	sh = task_lock_sighand(t, &flags);
	if (!sh)
		return;
	check_cpu_timers(t);
	task_unlock_sighand(sh, flags);
}

/* ---- ---- */

void itimers_init(struct signal_state *s)
{
	ktimer_init(&s->real_timer, real_expired);
	ktimer_init(&s->cpu_timer, cpu_expired);
}

void itimers_exit(struct signal_state *s)
{
	s->it_real_incr = 0;
	if (ktimer_active(&s->real_timer) || s->real_timer.expires)
		ktimer_cancel_sync(&s->real_timer);
	if (ktimer_active(&s->cpu_timer) || s->cpu_timer.expires)
		ktimer_cancel_sync(&s->cpu_timer);
}

static void read_locked(struct task *t, int which, struct itimer_ns *out)
{
	struct signal_state *s = t->signal;
	u64 now, ut, st;

	if (which == 0) {
		now = ktime_ns();
		out->interval = s->it_real_incr;
		out->value = !ktimer_active(&s->real_timer) ? 0 :
			     s->real_timer.expires > now ? s->real_timer.expires - now : 1;
		return;
	}
	group_times_locked(t, &ut, &st);
	now = which == 1 ? ut : ut + st;
	out->interval = s->it_cpu[which - 1].incr;
	out->value = !s->it_cpu[which - 1].value ? 0 :
		     s->it_cpu[which - 1].value > now ? s->it_cpu[which - 1].value - now : 1;
}

int itimer_get(int which, struct itimer_ns *out)
{
	struct task *t = current;

	if (which < 0 || which > 2)
		return -EINVAL;
	spin_lock_irq(&t->sighand->lock);
	read_locked(t, which, out);
	spin_unlock_irq(&t->sighand->lock);
	return 0;
}

static void set_locked(struct task *t, int which, const struct itimer_ns *new)
{
	struct signal_state *s = t->signal;
	u64 ut, st;

	if (which == 0) {
		s->it_real_incr = new->value && new->interval ? max_t(u64, new->interval, INTERVAL_MIN) : 0;
		if (new->value)
			ktimer_start(&s->real_timer, ktime_ns() + new->value); /* S64_MAX at most: no overflow */
		else
			ktimer_cancel(&s->real_timer);
		return;
	}
	group_times_locked(t, &ut, &st);
	s->it_cpu[which - 1].incr = new->interval;
	s->it_cpu[which - 1].value = new->value ? (which == 1 ? ut : ut + st) + new->value : 0;
	check_cpu_timers(t);
}

int itimer_set(int which, const struct itimer_ns *new, struct itimer_ns *old)
{
	struct task *t = current;

	if (which < 0 || which > 2)
		return -EINVAL;
	spin_lock_irq(&t->sighand->lock);
	if (old)
		read_locked(t, which, old);
	set_locked(t, which, new);
	spin_unlock_irq(&t->sighand->lock);
	return 0;
}
