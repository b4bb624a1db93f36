/*
 * eventfd(2): a 64-bit counter with readiness. All under the lock of its wait queue: a reader sleeps while the count is
 * zero, a writer while the sum would reach the maximum.
 */
#include <fs/aio.h>
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define EFD_SEMAPHORE 1
#define EVENTFD_MAX (~0ull - 1)

struct eventfd {
	wait_queue_t wait; /* its lock: count */
	u64 count;
	u32 semaphore;
	u32 id;
};

/* Takes the value to report, or false when there is none. */
static bool eventfd_take(struct eventfd *e, u64 *v)
{
	u64 flags;

	spin_lock_irqsave(&e->wait.lock, flags);
	bool ok = e->count != 0;
	*v = e->semaphore ? 1 : e->count;
	if (ok)
		e->count -= *v;
	spin_unlock_irqrestore(&e->wait.lock, flags);
	return ok;
}

static bool eventfd_give(struct eventfd *e, u64 v)
{
	u64 flags;

	spin_lock_irqsave(&e->wait.lock, flags);
	bool ok = EVENTFD_MAX - e->count >= v;
	if (ok)
		e->count += v;
	spin_unlock_irqrestore(&e->wait.lock, flags);
	return ok;
}

static s64 eventfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct eventfd *e = f->private;
	u64 v = 0;

	if (to->count < sizeof(v))
		return -EINVAL;
	if (!eventfd_take(e, &v)) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_event_interruptible(e->wait, eventfd_take(e, &v));
		if (r)
			return r;
	}
	wake_up_poll(&e->wait, POLLOUT | POLLWRNORM);
	return copy_to_iter(to, &v, sizeof(v)) == sizeof(v) ? (s64)sizeof(v) : -EFAULT;
}

static s64 eventfd_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	(void)pos;
	struct eventfd *e = f->private;
	u64 v;

	if (from->count < sizeof(v))
		return -EINVAL;
	if (copy_from_iter(&v, from, sizeof(v)) != sizeof(v))
		return -EFAULT;
	if (v == ~0ull)
		return -EINVAL;
	if (!eventfd_give(e, v)) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_event_interruptible(e->wait, eventfd_give(e, v));
		if (r)
			return r;
	}
	wake_up_poll(&e->wait, POLLIN | POLLRDNORM);
	return sizeof(v);
}

static u32 eventfd_poll(struct file *f, struct poll_table *pt)
{
	struct eventfd *e = f->private;

	poll_wait(f, &e->wait, pt);
	smp_mb(); /* queued before the count is read */
	u64 c = READ_ONCE(e->count);
	return (c ? POLLIN | POLLRDNORM : 0) | (c < EVENTFD_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_release(struct inode *i, struct file *f)
{
	(void)i;
	kfree(f->private);
}

static void eventfd_fdinfo(struct file *f, struct seq_buf *s)
{
	struct eventfd *e = f->private;

	seq_printf(s, "eventfd-count: %16llx\neventfd-id: %u\n", (unsigned long long)e->count, e->id);
}

/* Positions mean nothing here, and asking for one is no error (Linux 6.1). */
static loff_t eventfd_llseek(struct file *f, loff_t off, int whence)
{
	(void)off, (void)whence;
	return f->pos;
}

static const struct file_ops eventfd_fops = {
	.llseek = eventfd_llseek,
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.release = eventfd_release,
	.show_fdinfo = eventfd_fdinfo,
};

bool is_eventfd(const struct file *f)
{
	return f->ops == &eventfd_fops;
}

/* From inside the kernel nobody waits for room: a full counter stays full. */
bool eventfd_signal(struct file *f, u64 n)
{
	struct eventfd *e = f->private;
	u64 flags;

	if (!is_eventfd(f))
		return false;
	spin_lock_irqsave(&e->wait.lock, flags);
	e->count = n > EVENTFD_MAX - e->count ? EVENTFD_MAX : e->count + n;
	spin_unlock_irqrestore(&e->wait.lock, flags);
	wake_up_poll(&e->wait, POLLIN | POLLRDNORM);
	return true;
}

long sys_eventfd2(u32 count, s32 flags)
{
	static u32 ids;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE))
		return -EINVAL;
	struct eventfd *e = kmalloc(sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	init_wait_queue(&e->wait);
	e->count = count;
	e->semaphore = flags & EFD_SEMAPHORE;
	e->id = __atomic_fetch_add(&ids, 1, __ATOMIC_RELAXED);
	struct file *f = anon_file("eventfd", &eventfd_fops, e, O_RDWR | (flags & O_NONBLOCK));
	if (IS_ERR(f)) {
		kfree(e);
		return PTR_ERR(f);
	}
	return fd_open_file(f, flags);
}

long sys_eventfd(u32 count)
{
	return sys_eventfd2(count, 0);
}
