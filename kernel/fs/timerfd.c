/*
 * timerfd_create(2): a timer whose expirations are read from a file.
 *
 * The handler runs in the timer interrupt: it counts one tick and wakes readers. A periodic timer is not armed again there but by
 * who takes the ticks or asks for the time left, which adds those that went by since: so a program with a thousand timers of
 * a microsecond, which nobody could serve, costs no more interrupts than it reads. wait.lock protects everything.
 *
 * Timers set to moments of the time of day stand on a list: when the clock is set they are due at another monotonic time, and those with
 * TFD_TIMER_CANCEL_ON_SET tell their reader (ECANCELED). Locks: wall_mutex (the list) -> wait.lock.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <kernel/time.h>
#include <lib/seq_buf.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9

struct itimerspec_k {
	s64 int_sec, int_nsec, val_sec, val_nsec;
};
struct timerfd {
	struct ktimer timer;
	wait_queue_t wait; /* its lock: all below */
	u64 ticks;
	u64 interval; /* ns, 0 one shot */
	u64 expires; /* monotonic ns, 0 disarmed */
	bool expired; /* at that time; periodic, and not armed again yet */
	s64 offset; /* real time - monotonic when expires was computed from a moment of real time */
	bool canceled; /* the clock was set under a TFD_TIMER_CANCEL_ON_SET, and nobody was told yet */
	s32 clock; /* (I) */
	s32 set_flags;
	struct list_head wall; /* (wall_mutex) */
};
static DEFINE_MUTEX(wall_mutex);
static LIST_HEAD(wall_timers); /* set by TFD_TIMER_ABSTIME to real time */

static void timerfd_fire(struct ktimer *t)
{
	struct timerfd *d = container_of(t, struct timerfd, timer);
	u64 flags;

	spin_lock_irqsave(&d->wait.lock, flags);
	/* set anew while the interrupt waited for the lock: then it is not due */
	if (d->expires && !d->expired && ktime_ns() >= d->expires) {
		d->ticks++;
		if (d->interval)
			d->expired = true;
		else
			d->expires = 0;
	}
	spin_unlock_irqrestore(&d->wait.lock, flags);
	wake_up_key(&d->wait, TASK_NORMAL, 0, 0, POLLIN);
}

/* Arms a periodic timer that has expired, and counts the periods that went by. => wait.lock */
static void catch_up(struct timerfd *d)
{
	u64 n;

	if (!d->expired)
		return;
	n = (ktime_ns() - d->expires) / d->interval;
	d->ticks += n;
	d->expires += (n + 1) * d->interval;
	d->expired = false;
	ktimer_start(&d->timer, d->expires);
}

static u64 timerfd_take(struct timerfd *d)
{
	u64 flags, n;

	spin_lock_irqsave(&d->wait.lock, flags);
	catch_up(d);
	n = d->ticks;
	d->ticks = 0;
	spin_unlock_irqrestore(&d->wait.lock, flags);
	return n;
}

static bool was_canceled(struct timerfd *d)
{
	u64 flags;

	if (likely(!READ_ONCE(d->canceled)))
		return false;
	spin_lock_irqsave(&d->wait.lock, flags);
	bool r = d->canceled;
	d->canceled = false;
	if (r)
		d->ticks = 0;
	spin_unlock_irqrestore(&d->wait.lock, flags);
	return r;
}

static s64 timerfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct timerfd *d = f->private;
	u64 n;

	if (to->count < sizeof(n))
		return -EINVAL;
	if (was_canceled(d))
		return -ECANCELED;
	n = timerfd_take(d);
	if (!n) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_event_interruptible(d->wait, READ_ONCE(d->canceled) || (n = timerfd_take(d)) != 0);
		if (r)
			return r;
		if (was_canceled(d))
			return -ECANCELED;
	}
	return copy_to_iter(to, &n, sizeof(n)) == sizeof(n) ? (s64)sizeof(n) : -EFAULT;
}

static u32 timerfd_poll(struct file *f, struct poll_table *pt)
{
	struct timerfd *d = f->private;

	poll_wait(f, &d->wait, pt);
	smp_mb(); /* queued before the ticks are read */
	return READ_ONCE(d->ticks) || READ_ONCE(d->canceled) ? POLLIN : 0;
}

static void timerfd_release(struct inode *i, struct file *f)
{
	(void)i;
	struct timerfd *d = f->private;
	u64 flags;

	mutex_lock(&wall_mutex);
	list_del(&d->wall);
	mutex_unlock(&wall_mutex);
	spin_lock_irqsave(&d->wait.lock, flags);
	d->expires = d->interval = 0;
	spin_unlock_irqrestore(&d->wait.lock, flags);
	ktimer_cancel_sync(&d->timer);
	kfree(d);
}

static bool timerfd_is_real(const struct timerfd *d)
{
	return d->clock == CLOCK_REALTIME || d->clock == CLOCK_REALTIME_ALARM;
}

static void timerfd_fdinfo(struct file *f, struct seq_buf *s)
{
	struct timerfd *d = f->private;
	u64 left = d->expires ? d->expires - min_t(u64, ktime_ns(), d->expires) : 0;

	seq_printf(s, "clockid: %d\nticks: %llu\nsettime flags: 0%o\nit_value: (%llu, %llu)\nit_interval: (%llu, %llu)\n", d->clock,
		   (unsigned long long)d->ticks, d->set_flags, (unsigned long long)(left / NSEC_PER_SEC),
		   (unsigned long long)(left % NSEC_PER_SEC), (unsigned long long)(d->interval / NSEC_PER_SEC),
		   (unsigned long long)(d->interval % NSEC_PER_SEC));
}

static const struct file_ops timerfd_fops = {
	.read = timerfd_read,
	.poll = timerfd_poll,
	.release = timerfd_release,
	.show_fdinfo = timerfd_fdinfo,
};

long sys_timerfd_create(s32 clock, s32 flags)
{
	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME_ALARM &&
	    clock != CLOCK_BOOTTIME_ALARM)
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) && !capable(CAP_WAKE_ALARM))
		return -EPERM;
	struct timerfd *d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (!d)
		return -ENOMEM;
	init_wait_queue(&d->wait);
	ktimer_init(&d->timer, timerfd_fire);
	INIT_LIST_HEAD(&d->wall);
	d->clock = clock;
	struct file *f = anon_file("timerfd", &timerfd_fops, d, O_RDWR | (flags & O_NONBLOCK));
	if (IS_ERR(f)) {
		kfree(d);
		return PTR_ERR(f);
	}
	return fd_open_file(f, flags);
}

static u64 spec_ns(s64 sec, s64 nsec)
{
	return (u64)sec >= (1ull << 33) ? 1ull << 62 : (u64)sec * NSEC_PER_SEC + nsec;
}

/* What gettime reports, and settime as the old value. */
static void timerfd_get(struct timerfd *d, struct itimerspec_k *out)
{
	u64 flags, now, left;

	spin_lock_irqsave(&d->wait.lock, flags);
	catch_up(d);
	now = ktime_ns();
	left = !d->expires ? 0 : d->expires > now ? d->expires - now : 1;
	*out = (struct itimerspec_k){ d->interval / NSEC_PER_SEC, d->interval % NSEC_PER_SEC, left / NSEC_PER_SEC,
				      left % NSEC_PER_SEC };
	spin_unlock_irqrestore(&d->wait.lock, flags);
}

/* => wait.lock. @value: a distance, or a moment of the timer's clock */
static void set_locked(struct timerfd *d, u64 value, bool wall, bool abs)
{
	ktimer_cancel(&d->timer);
	d->ticks = 0;
	d->expired = d->canceled = false;
	d->offset = READ_ONCE(realtime_offset_ns);
	if (value && wall)
		value = (s64)value > d->offset ? value - d->offset : 1;
	else if (value && !abs)
		value += ktime_ns();
	d->expires = value;
	if (value)
		ktimer_start(&d->timer, value);
}

/* 0, or -ECANCELED: set, but the clock had been set under the old setting and nobody was told */
static int timerfd_set(struct timerfd *d, const struct itimerspec_k *v, s32 how)
{
	u64 value = spec_ns(v->val_sec, v->val_nsec), flags;
	bool wall = how & TFD_TIMER_ABSTIME && timerfd_is_real(d), told;

	mutex_lock(&wall_mutex);
	list_del_init(&d->wall);
	if (value && wall)
		list_add(&d->wall, &wall_timers);
	spin_lock_irqsave(&d->wait.lock, flags);
	told = !d->canceled;
	set_locked(d, value, wall, how & TFD_TIMER_ABSTIME);
	d->set_flags = how;
	d->interval = spec_ns(v->int_sec, v->int_nsec);
	spin_unlock_irqrestore(&d->wait.lock, flags);
	mutex_unlock(&wall_mutex);
	return told || !value ? 0 : -ECANCELED;
}

/* => wait.lock; true: somebody is to be told */
static bool clock_moved(struct timerfd *d, s64 offset)
{
	if (!d->expires && !d->expired)
		return false;
	s64 due = (s64)d->expires + d->offset - offset;
	d->expires = due > 0 ? due : 1;
	d->offset = offset;
	if (!d->expired)
		ktimer_start(&d->timer, d->expires);
	if (d->set_flags & TFD_TIMER_CANCEL_ON_SET)
		d->canceled = true;
	return d->canceled;
}

void timerfd_clock_set(void)
{
	struct timerfd *d;
	u64 flags;

	mutex_lock(&wall_mutex);
	list_for_each_entry(d, &wall_timers, wall) {
		spin_lock_irqsave(&d->wait.lock, flags);
		bool tell = clock_moved(d, READ_ONCE(realtime_offset_ns));
		spin_unlock_irqrestore(&d->wait.lock, flags);
		if (tell)
			wake_up_key(&d->wait, TASK_NORMAL, 0, 0, POLLIN);
	}
	mutex_unlock(&wall_mutex);
}

long sys_timerfd_settime(s32 fd, s32 how, const struct itimerspec_k __user *unew, struct itimerspec_k __user *uold)
{
	struct itimerspec_k v, old;

	if (copy_from_user(&v, unew, sizeof(v)))
		return -EFAULT;
	if ((how & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) || v.int_sec < 0 || v.val_sec < 0 ||
	    (u64)v.int_nsec >= NSEC_PER_SEC || (u64)v.val_nsec >= NSEC_PER_SEC)
		return -EINVAL;
	struct fd f = fdget(fd);
	if (!fd_file(f))
		return -EBADF;
	long r = -EINVAL;
	if (fd_file(f)->ops == &timerfd_fops) {
		struct timerfd *d = fd_file(f)->private;

		timerfd_get(d, &old);
		r = timerfd_set(d, &v, how);
		if (!r && uold && copy_to_user(uold, &old, sizeof(old)))
			r = -EFAULT;
	}
	fdput(f);
	return r;
}

long sys_timerfd_gettime(s32 fd, struct itimerspec_k __user *ucur)
{
	struct itimerspec_k v;
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = -EINVAL;
	if (fd_file(f)->ops == &timerfd_fops) {
		timerfd_get(fd_file(f)->private, &v);
		r = copy_to_user(ucur, &v, sizeof(v)) ? -EFAULT : 0;
	}
	fdput(f);
	return r;
}
