/*
 * POSIX timers (timer_create(2)).
 *
 * Each has its signal queue entry from birth, so expiry needs no memory and at most one signal of a
 * timer is pending. A periodic timer is not armed again when it fires but when its signal is taken
 * (posix_timer_delivered); the periods missed meanwhile are its overrun count.
 *
 * All fields are under the owner's sighand->lock, also taken by the handler. A timer is found by
 * number only, under that lock; deletion unlinks it, waits for a running handler, then frees. When
 * its signal is still queued then, the entry becomes an ordinary one (q->timer = NULL) and is freed
 * by whoever takes it.
 *
 * Timers on CPU-time clocks look at the clock when the time can have been used, as itimers.c does. Another process' clock is read
 * before the owner's lock is taken (two sighand locks are never held at once) and kept in `seen`: what is under the lock uses that.
 */
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/usage.h>

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD 2
#define SIGEV_THREAD_ID 4

struct posix_timer {
	struct list_head link; /* signal->posix_timers */
	s32 id; /* (I) */
	s32 clock; /* what it counts by: as it was made, but a relative setting by the time of day counts by the monotonic clock */
	s32 made_clock; /* (I) */
	int notify; /* (I) SIGEV_* */
	bool dead; /* being deleted: nothing arms it */
	bool armed; /* will expire at `expires` */
	struct task *target; /* (I) reference: the thread, or the group's leader */
	struct task *of; /* (I) reference: whose CPU time, NULL for other clocks */
	u64 seen; /* another process' clock, as it was read last */
	struct sigqueue *q; /* (I) NULL for SIGEV_NONE */
	u64 expires, interval; /* ns of the clock */
	s32 overrun, overrun_last;
	struct ktimer timer;
};

static u64 clock_now(const struct posix_timer *t)
{
	u64 ns = 0;

	(void)clock_read(t->clock, &ns);
	return ns;
}

static bool of_thread(const struct posix_timer *t)
{
	return t->clock == 3 || (t->clock < 0 && t->clock & 4);
}

static bool of_other_process(const struct posix_timer *t)
{
	return t->of && !same_thread_group(t->of, t->target);
}

/* CPU time of the group, with its lock held. */
static u64 group_runtime_locked(struct task *t)
{
	u64 sum = t->signal->sum_exec;
	struct task *o;

	for_each_thread(o, t)
		sum += sched_runtime_ns(&o->thread);
	return sum;
}

static u64 now_locked(const struct posix_timer *t)
{
	if (!t->of)
		return clock_now(t);
	if (of_thread(t)) /* in the handler `current` is anybody: never by the clock's number */
		return sched_runtime_ns(&t->of->thread);
	return of_other_process(t) ? t->seen : group_runtime_locked(t->target);
}

static void arm(struct posix_timer *t)
{
	u64 now;

	t->armed = true;
	if (clock_is_cpu(t->clock)) {
		if (READ_ONCE(t->of->exit_state) && (of_thread(t) || thread_group_empty(t->of)))
			return; /* the dead use no time */
		now = now_locked(t);
		ktimer_start(&t->timer, cpu_time_earliest(t->expires > now ? t->expires - now : 0,
							  of_thread(t) ? 1 : READ_ONCE(t->of->signal->nr_threads)));
	} else {
		ktimer_start(&t->timer, clock_to_mono(t->clock, t->expires));
	}
}

/* Moves expires past now; the number of periods that were skipped. */
static u64 forward(struct posix_timer *t, u64 now)
{
	u64 n;

	if (now < t->expires)
		return 0;
	n = (now - t->expires) / t->interval + 1;
	t->expires += n * t->interval;
	return n;
}

static s32 add_overrun(s32 a, u64 n)
{
	return (u64)a + n > S32_MAX ? S32_MAX : (s32)(a + n);
}

static void fire(struct posix_timer *t)
{
	int r;

	t->armed = false;
	if (!t->q) {
		if (t->interval) {
			forward(t, now_locked(t));
			arm(t);
		}
		return;
	}
	t->overrun = 0;
	r = send_sigqueue_locked(t->q, t->target, t->notify != SIGEV_THREAD_ID);
	if (r > 0)
		t->overrun = add_overrun(t->overrun, 1);
	if (r < 0 && t->interval) { /* ignored: nobody will take it and arm the timer */
		forward(t, max_t(u64, now_locked(t), t->expires));
		arm(t);
	}
}

static void timer_expired(struct ktimer *k)
{
	struct posix_timer *t = container_of(k, struct posix_timer, timer);
	u64 flags, seen = of_other_process(t) ? group_runtime(t->of) : 0;
	struct sighand *sh;

	sh = task_lock_sighand(t->target, &flags);
	if (!sh)
		return; /* the thread it was for is gone */
	t->seen = seen;
	if (!t->dead && t->armed) {
		if (clock_is_cpu(t->clock) && now_locked(t) < t->expires)
			arm(t);
		else
			fire(t);
	}
	task_unlock_sighand(sh, flags);
}

/* ---- lookup; => sighand lock ---- */

static struct posix_timer *find_timer(struct signal_state *s, s32 id)
{
	struct posix_timer *t;

	list_for_each_entry(t, &s->posix_timers, link)
		if (t->id == id)
			return t;
	return NULL;
}

static struct posix_timer *find_and_lock(s32 id)
{
	struct posix_timer *t;

	spin_lock_irq(&current->sighand->lock);
	t = find_timer(current->signal, id);
	if (!t)
		spin_unlock_irq(&current->sighand->lock);
	return t;
}

static void unlock_timer(void)
{
	spin_unlock_irq(&current->sighand->lock);
}

void posix_timer_delivered(const struct sigqueue *q, siginfo_t *info)
{
	struct posix_timer *t = find_and_lock(info->timerid);

	if (!t)
		return;
	if (t->q == q) {
		if (t->interval && !t->armed && !t->dead) {
			u64 n = forward(t, now_locked(t));
			t->overrun = add_overrun(t->overrun, n ? n - 1 : 0);
			arm(t);
		}
		t->overrun_last = t->overrun;
		info->overrun = t->overrun;
	}
	unlock_timer();
}

/* ---- calls ---- */

static struct task *timer_target(int notify, pid_t tid)
{
	struct task *t;

	if (notify != SIGEV_THREAD_ID) {
		t = current->group_leader;
		task_get(t);
		return t;
	}
	t = task_find_get(tid);
	if (t && !same_thread_group(t, current)) {
		task_put(t);
		t = NULL;
	}
	return t;
}

/* Whose CPU time @clock is, which exists. NULL for other clocks, and when he has died meanwhile. */
static struct task *clock_owner(s32 clock)
{
	struct task *t = clock == 3 || (clock < 0 && clock & 4) ? current : current->group_leader;

	if (!clock_is_cpu(clock))
		return NULL;
	if (clock < 0 && ~(clock >> 3))
		return task_find_get(~(clock >> 3));
	task_get(t);
	return t;
}

static void timer_free(struct posix_timer *t)
{
	if (t->of)
		task_put(t->of);
	if (t->target)
		task_put(t->target);
	if (t->q)
		sigqueue_free(t->q);
	kfree(t);
}

/* Number and place in the list. */
static void insert_timer(struct posix_timer *t, bool value_is_id)
{
	struct signal_state *s = current->signal;

	spin_lock_irq(&current->sighand->lock);
	while (find_timer(s, s->next_timer_id))
		s->next_timer_id = (s->next_timer_id + 1) & S32_MAX;
	t->id = s->next_timer_id;
	s->next_timer_id = (s->next_timer_id + 1) & S32_MAX;
	if (t->q) {
		t->q->info.timerid = t->id;
		if (value_is_id)
			t->q->info.tvalue = t->id;
	}
	list_add_tail(&t->link, &s->posix_timers);
	spin_unlock_irq(&current->sighand->lock);
}

int posix_timer_create(s32 clock, int notify, int sig, u64 value, pid_t tid, bool value_is_id, s32 *id)
{
	struct posix_timer *t;
	int err = clock_check(clock);

	if (err || clock == 4 || clock == 5 || clock == 6) /* raw and coarse clocks have no timers */
		return err ?: -EOPNOTSUPP;
	if ((clock == 8 || clock == 9) && !capable(CAP_WAKE_ALARM))
		return -EPERM;
	if (notify != SIGEV_NONE && (sig < 1 || sig > NSIG))
		return -EINVAL;
	if (notify != SIGEV_NONE && notify != SIGEV_SIGNAL && notify != SIGEV_THREAD && notify != SIGEV_THREAD_ID)
		return -EINVAL;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -EAGAIN;
	t->clock = t->made_clock = clock;
	t->notify = notify;
	ktimer_init(&t->timer, timer_expired);
	t->target = timer_target(notify, tid);
	t->of = clock_owner(clock);
	if (clock_is_cpu(clock) && !t->of) {
		timer_free(t);
		return -EINVAL;
	}
	if (t->target && notify != SIGEV_NONE)
		t->q = sigqueue_alloc(current, false);
	if (!t->target || (notify != SIGEV_NONE && !t->q)) {
		err = t->target ? -EAGAIN : -EINVAL;
		timer_free(t);
		return err;
	}
	if (t->q) {
		memset(&t->q->info, 0, sizeof(t->q->info));
		t->q->info.si_signo = sig;
		t->q->info.si_code = SI_TIMER;
		t->q->info.tvalue = value;
		t->q->timer = t;
	}
	insert_timer(t, value_is_id);
	*id = t->id;
	return 0;
}

/* What timer_gettime shows: time until the next expiry, also of one whose signal waits. */
static void read_timer(struct posix_timer *t, struct ptimer_spec *out)
{
	u64 now = now_locked(t), exp = t->expires;

	out->interval = t->interval;
	out->value = 0;
	if (!t->armed && !(t->interval && t->expires))
		return;
	if (exp <= now && t->interval)
		exp += ((now - exp) / t->interval + 1) * t->interval;
	out->value = exp > now ? exp - now : 1;
}

/* find_and_lock(), with what another process has used until now. */
static struct posix_timer *find_and_look(s32 id)
{
	struct posix_timer *t = find_and_lock(id);

	if (!t || likely(!of_other_process(t)))
		return t;
	struct task *of = t->of;
	task_get(of);
	unlock_timer();
	u64 seen = group_runtime(of);
	t = find_and_lock(id);
	if (t && t->of == of)
		t->seen = seen;
	task_put(of);
	return t;
}

int posix_timer_get(s32 id, struct ptimer_spec *out)
{
	struct posix_timer *t = find_and_look(id);

	if (!t)
		return -EINVAL;
	read_timer(t, out);
	unlock_timer();
	return 0;
}

int posix_timer_set(s32 id, bool absolute, const struct ptimer_spec *new, struct ptimer_spec *old)
{
	struct posix_timer *t = find_and_look(id);

	if (!t)
		return -EINVAL;
	if (old)
		read_timer(t, old);
	ktimer_cancel(&t->timer); /* a handler that runs already waits for the lock and sees armed == false */
	t->armed = false;
	t->overrun = t->overrun_last = 0;
	t->interval = new->interval;
	t->expires = 0;
	if (t->q && !list_empty(&t->q->link)) /* a signal of the old setting is not this one's */
		drop_sigqueue_locked(t->q, t->target, t->notify != SIGEV_THREAD_ID);
	if (new->value) {
		/* setting the clock does not move what was asked for as a distance (timer_settime(2)) */
		t->clock = !absolute && t->made_clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : t->made_clock;
		t->expires = absolute ? new->value : now_locked(t) + new->value;
		arm(t);
	} else {
		t->interval = 0;
	}
	unlock_timer();
	return 0;
}

int posix_timer_overrun(s32 id)
{
	struct posix_timer *t = find_and_lock(id);
	int n;

	if (!t)
		return -EINVAL;
	n = t->overrun_last;
	unlock_timer();
	return n;
}

/* => sighand lock held; dropped */
static void delete_locked(struct posix_timer *t)
{
	list_del(&t->link);
	t->dead = true;
	t->armed = false;
	if (t->q) {
		t->q->timer = NULL; /* whether queued or not: an ordinary entry from now on */
		if (!list_empty(&t->q->link))
			t->q = NULL; /* freed when taken */
	}
	unlock_timer();
	ktimer_cancel_sync(&t->timer);
	timer_free(t);
}

int posix_timer_delete(s32 id)
{
	struct posix_timer *t = find_and_lock(id);

	if (!t)
		return -EINVAL;
	delete_locked(t);
	return 0;
}

void posix_timers_exit(struct signal_state *s)
{
	if (list_empty(&s->posix_timers))
		return;
	for (;;) {
		spin_lock_irq(&current->sighand->lock);
		if (list_empty(&s->posix_timers))
			break;
		delete_locked(list_first_entry(&s->posix_timers, struct posix_timer, link));
	}
	unlock_timer();
}

/* The time of day jumped: absolute timers on it are due at another monotonic time. */
void posix_timers_clock_set(void)
{
	struct posix_timer *t;
	struct sighand *sh;
	struct task *p;
	u64 flags;

	tasklist_read_lock();
	for_each_process(p) {
		if (list_empty(&p->signal->posix_timers))
			continue;
		sh = task_lock_sighand(p, &flags);
		if (!sh)
			continue;
		list_for_each_entry(t, &p->signal->posix_timers, link)
			if (t->armed && clock_is_real(t->clock))
				arm(t);
		task_unlock_sighand(sh, flags);
	}
	tasklist_read_unlock();
}
