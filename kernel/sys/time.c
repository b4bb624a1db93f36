/* Clocks, sleeping, timers. */
#include <lib/string.h>
#include <proc/ntp.h>
#include <proc/usage.h>
#include <sys/util.h>
#include <uapi/errno.h>

#define TIMER_ABSTIME 1

/* ---- reading and setting ---- */

long sys_clock_gettime(s32 id, void __user *uts)
{
	u64 ns;
	int err = clock_read(id, &ns);

	return err ?: put_timespec_ns(ns, uts);
}

long sys_clock_getres(s32 id, void __user *uts)
{
	int err = clock_check(id);

	if (err || !uts)
		return err;
	return put_timespec_ns(id == 5 || id == 6 ? TICK_NS : 1, uts);
}

static int set_real(u64 ns)
{
	return capable(CAP_SYS_TIME) ? ntp_set_time(ns) : -EPERM;
}

long sys_clock_settime(s32 id, const void __user *uts)
{
	u64 ns;
	int err;

	if (id > 0)
		return -EINVAL;
	err = get_timespec_ns(&ns, uts);
	return err ?: id ? -EINVAL : set_real(ns);
}

struct timezone_k { s32 minuteswest, dsttime; };
static struct timezone_k timezone;

long sys_gettimeofday(struct timeval_user __user *utv, struct timezone_k __user *utz)
{
	if (utv) {
		u64 ns = ktime_real_ns();
		struct timeval_user tv = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000 };
		if (copy_to_user(utv, &tv, sizeof(tv)))
			return -EFAULT;
	}
	return utz && copy_to_user(utz, &timezone, sizeof(timezone)) ? -EFAULT : 0;
}

long sys_settimeofday(const struct timeval_user __user *utv, const struct timezone_k __user *utz)
{
	struct timeval_user tv;
	struct timezone_k tz;

	if (utv && copy_from_user(&tv, utv, sizeof(tv)))
		return -EFAULT;
	if (utz && copy_from_user(&tz, utz, sizeof(tz)))
		return -EFAULT;
	if (utv && (tv.sec < 0 || tv.sec > (s64)(S64_MAX / NSEC_PER_SEC) || tv.usec < 0 || tv.usec >= 1000000))
		return -EINVAL;
	if (utz && (tz.minuteswest > 15 * 60 || tz.minuteswest < -15 * 60))
		return -EINVAL;
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (utz)
		timezone = tz;
	return utv ? set_real(tv.sec * NSEC_PER_SEC + tv.usec * 1000) : 0;
}

long sys_time(s64 __user *p)
{
	s64 t = ktime_real_ns() / NSEC_PER_SEC;

	return p && put_user(t, p) ? -EFAULT : t;
}

/* ---- sleeping ---- */

/* Until the monotonic clock shows @deadline. 0, or -EINTR when a signal came. */
static int sleep_mono(u64 deadline)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (signal_pending_current()) {
			set_current_state(TASK_RUNNING);
			return -EINTR;
		}
		if (schedule_until(deadline) || ktime_ns() >= deadline)
			return 0;
	}
}

/* The same, for a wall clock that may be set meanwhile. */
static int sleep_real(s32 clock, u64 abs)
{
	u64 now;
	int r;

	for (;;) {
		s64 seen = READ_ONCE(realtime_offset_ns);
		u64 deadline = clock_to_mono(clock, abs);
		r = wait_event_interruptible_until(clock_set_wait, READ_ONCE(realtime_offset_ns) != seen, deadline);
		if (r == -ERESTARTSYS)
			return -EINTR;
		(void)clock_read(clock, &now);
		if (now >= abs)
			return 0;
	}
}

/* CPU time of the process, used by its other threads. */
static int sleep_cpu(s32 clock, u64 until)
{
	u64 now;
	int err;

	for (;;) {
		err = clock_read(clock, &now);
		if (err || now >= until)
			return err;
		err = sleep_mono(cpu_time_earliest(until - now, current->signal->nr_threads));
		if (err)
			return err;
	}
}

static int put_remaining(u64 deadline, void __user *urem)
{
	u64 now = ktime_ns();

	return urem ? put_timespec_ns(deadline > now ? deadline - now : 0, urem) : 0;
}

static long nanosleep_restart(struct task *t)
{
	u64 deadline = t->restart.deadline;
	void __user *urem = t->restart.arg[0];
	int err = sleep_mono(deadline);

	if (err != -EINTR)
		return err;
	if (put_remaining(deadline, urem))
		return -EFAULT;
	t->restart.fn = nanosleep_restart;
	return -ERESTART_RESTARTBLOCK;
}

static long sleep_relative(u64 ns, void __user *urem)
{
	struct task *t = current;

	t->restart.deadline = ns_add_sat(ktime_ns(), ns);
	t->restart.arg[0] = urem;
	return nanosleep_restart(t);
}

long sys_nanosleep(const void __user *uts, void __user *urem)
{
	u64 ns;
	int err = get_timespec_ns(&ns, uts);

	return err ?: sleep_relative(ns, urem);
}

static long sleep_cpu_clock(s32 id, int flags, u64 ns, void __user *urem)
{
	u64 now, until = ns;
	int err;

	/* a thread cannot sleep by its own CPU time; the errno tells how it named itself */
	if (id == 3)
		return -EOPNOTSUPP;
	if (id < 0 && (id & 4) && ((~(id >> 3)) == current->pid || !~(id >> 3)))
		return -EINVAL;
	err = clock_read(id, &now);
	if (err)
		return err;
	if (!(flags & TIMER_ABSTIME))
		until = ns_add_sat(now, ns);
	err = sleep_cpu(id, until);
	if (err != -EINTR)
		return err;
	if (flags & TIMER_ABSTIME)
		return -ERESTARTNOHAND;
	(void)clock_read(id, &now);
	if (urem && put_timespec_ns(until > now ? until - now : 0, urem))
		return -EFAULT;
	return -EINTR;
}

long sys_clock_nanosleep(s32 id, int flags, const void __user *uts, void __user *urem)
{
	u64 ns;
	int err = id < 0 ? 0 : clock_check(id); /* another process' clock is looked for last */

	if (err)
		return err;
	if (id == 3 || id == 4 || id == 5 || id == 6)
		return -EOPNOTSUPP;
	err = get_timespec_ns(&ns, uts) ?: clock_check(id);
	if (err)
		return err;
	if (clock_is_cpu(id))
		return sleep_cpu_clock(id, flags, ns, urem);
	if (!(flags & TIMER_ABSTIME))
		return sleep_relative(ns, urem);
	err = clock_is_real(id) ? sleep_real(id, ns) : sleep_mono(ns);
	return err == -EINTR ? -ERESTARTNOHAND : err;
}

/* ---- interval timers ---- */

/* S64_MAX for all that is longer. */
static u64 timeval_sat_ns(const struct timeval_user *v)
{
	const s64 most = S64_MAX / (s64)NSEC_PER_SEC;

	return v->sec >= most ? S64_MAX : v->sec * NSEC_PER_SEC + (u64)v->usec * 1000;
}

static int get_itimerval(struct itimer_ns *t, const void __user *u)
{
	struct itimerval_user v;

	if (copy_from_user(&v, u, sizeof(v)))
		return -EFAULT;
	if (v.value.sec < 0 || (u64)v.value.usec >= 1000000 || v.interval.sec < 0 || (u64)v.interval.usec >= 1000000)
		return -EINVAL;
	t->value = timeval_sat_ns(&v.value);
	t->interval = timeval_sat_ns(&v.interval);
	return 0;
}

static int put_itimerval(const struct itimer_ns *t, void __user *u)
{
	/* rounded up: a running timer never shows zero */
	u64 v = (t->value + 999) / 1000, i = (t->interval + 999) / 1000;
	struct itimerval_user k = { { i / 1000000, i % 1000000 }, { v / 1000000, v % 1000000 } };

	return copy_to_user(u, &k, sizeof(k)) ? -EFAULT : 0;
}

long sys_getitimer(int which, void __user *u)
{
	struct itimer_ns t;
	int err = itimer_get(which, &t);

	return err ?: put_itimerval(&t, u);
}

long sys_setitimer(int which, const void __user *unew, void __user *uold)
{
	struct itimer_ns new = { 0 }, old;
	int err = unew ? get_itimerval(&new, unew) : 0;

	if (!err)
		err = itimer_set(which, &new, &old);
	if (!err && uold)
		err = put_itimerval(&old, uold);
	return err;
}

long sys_alarm(u32 seconds)
{
	struct itimer_ns new = { seconds * NSEC_PER_SEC, 0 }, old;

	itimer_set(0, &new, &old);
	u64 s = old.value / NSEC_PER_SEC, rest = old.value % NSEC_PER_SEC;
	if ((!s && rest) || rest >= NSEC_PER_SEC / 2) /* to the nearest, but a running one is not 0 */
		s++;
	return (long)s;
}

/* ---- POSIX timers ---- */

struct sigevent_user { u64 value; s32 signo, notify; s32 tid; s32 pad[11]; };
_Static_assert(sizeof(struct sigevent_user) == 64, "ABI");

long sys_timer_create(s32 clock, const struct sigevent_user __user *uev, s32 __user *uid)
{
	struct sigevent_user ev = { .signo = SIGALRM };
	s32 id;

	if (uev && copy_from_user(&ev, uev, sizeof(ev)))
		return -EFAULT;
	int err = posix_timer_create(clock, ev.notify, ev.signo, ev.value, ev.tid, !uev, &id);
	if (!err && put_user(id, uid)) {
		posix_timer_delete(id);
		err = -EFAULT;
	}
	return err;
}

static int put_itimerspec(const struct ptimer_spec *s, void __user *u)
{
	struct itimerspec_user k = { { s->interval / NSEC_PER_SEC, s->interval % NSEC_PER_SEC },
				     { s->value / NSEC_PER_SEC, s->value % NSEC_PER_SEC } };

	return copy_to_user(u, &k, sizeof(k)) ? -EFAULT : 0;
}

long sys_timer_settime(s32 id, int flags, const struct itimerspec_user __user *unew, void __user *uold)
{
	struct itimerspec_user k;
	struct ptimer_spec new, old;

	if (!unew)
		return -EINVAL;
	if (copy_from_user(&k, unew, sizeof(k)))
		return -EFAULT;
	if (timespec_to_ns(&k.interval, &new.interval) || timespec_to_ns(&k.value, &new.value))
		return -EINVAL;
	int err = posix_timer_set(id, flags & TIMER_ABSTIME, &new, uold ? &old : NULL);
	return err ?: uold ? put_itimerspec(&old, uold) : 0;
}

long sys_timer_gettime(s32 id, void __user *u)
{
	struct ptimer_spec s;
	int err = posix_timer_get(id, &s);

	return err ?: put_itimerspec(&s, u);
}

long sys_timer_getoverrun(s32 id)
{
	return posix_timer_overrun(id);
}

long sys_timer_delete(s32 id)
{
	return posix_timer_delete(id);
}
