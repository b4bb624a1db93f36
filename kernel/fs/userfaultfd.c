/*
 * userfaultfd(2), /dev/userfaultfd and ioctl_userfaultfd(2): the file half. What it does is in mm/uffd.c.
 *
 * A fork message carries a descriptor for the child's memory: it is made here while the message keeps its place in the
 * queue, so that a failure loses nothing.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <fs/procfs.h>
#include <lib/seq_buf.h>
#include <mm/uffd.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define UFFD_API 0xaaull
#define IOC(dir, nr, size) ((u32)(dir) << 30 | (u32)(size) << 16 | 0xaau << 8 | (nr))
#define NR_REGISTER 0x00
#define NR_UNREGISTER 0x01
#define NR_WAKE 0x02
#define NR_COPY 0x03
#define NR_ZEROPAGE 0x04
#define NR_WRITEPROTECT 0x06
#define NR_CONTINUE 0x07
#define NR_API 0x3f
#define USERFAULTFD_IOC_NEW IOC(0, 0x00, 0)

#define REGISTER_MODE_MISSING 1ull
#define REGISTER_MODE_WP 2ull
#define REGISTER_MODE_MINOR 4ull
#define MODE_DONTWAKE 1ull
#define COPY_MODE_WP 2ull
#define WRITEPROTECT_MODE_WP 1ull
#define WRITEPROTECT_MODE_DONTWAKE 2ull

#define API_IOCTLS (1ull << NR_REGISTER | 1ull << NR_UNREGISTER | 1ull << NR_API)
#define RANGE_IOCTLS (1ull << NR_WAKE | 1ull << NR_COPY | 1ull << NR_ZEROPAGE | 1ull << NR_WRITEPROTECT | 1ull << NR_CONTINUE)

struct range { u64 start, len; };
struct api { u64 api, features, ioctls; };
struct reg { struct range range; u64 mode, ioctls; };
struct copy { u64 dst, src, len, mode; s64 copy; };
struct fill { struct range range; u64 mode; s64 done; };
struct protect { struct range range; u64 mode; };

static u64 unprivileged_userfaultfd;
static const struct file_ops uffd_fops;

s32 uffd_current_id(void)
{
	return current->flags & PF_EXITING ? -1 : current->pid;
}

static int uffd_new(u32 flags)
{
	struct uffd *u;
	struct file *f;

	if (flags & ~(u32)(UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	u = uffd_create(current->thread.mm, flags, 0);
	if (!u)
		return -ENOMEM;
	f = anon_file("userfaultfd", &uffd_fops, u, O_RDONLY | (flags & O_NONBLOCK));
	if (IS_ERR(f)) {
		uffd_put(u);
		return PTR_ERR(f);
	}
	return fd_open_file(f, flags & O_CLOEXEC);
}

long sys_userfaultfd(s32 flags)
{
	if (!(flags & UFFD_USER_MODE_ONLY) && !unprivileged_userfaultfd && !capable(CAP_SYS_PTRACE))
		return -EPERM;
	return uffd_new(flags);
}

/* /dev/userfaultfd: whoever may open it may make one. */
static long uffd_dev_ioctl(struct file *f, u32 cmd, u64 arg)
{
	return cmd == USERFAULTFD_IOC_NEW ? uffd_new((u32)arg) : -EINVAL;
}

static const struct file_ops uffd_dev_fops = { .ioctl = uffd_dev_ioctl };

static int check_range(const struct range *r)
{
	if ((r->start | r->len) & ~PAGE_MASK || !r->len || r->start < current->thread.mm->mmap_min)
		return -EINVAL;
	return r->start >= TASK_SIZE_MAX || r->len > TASK_SIZE_MAX - r->start ? -EINVAL : 0;
}

/* ---- ioctls ---- */

static long ioctl_api(struct uffd *u, void __user *arg)
{
	struct api a;
	u32 none = 0;
	long err = -EINVAL;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	if (a.api != UFFD_API || a.features & ~(u64)UFFD_FEATURES)
		goto bad;
	err = -EPERM;
	if (a.features & UFFD_FEATURE_EVENT_FORK && !capable(CAP_SYS_PTRACE))
		goto bad;
	u32 wanted = (u32)a.features | UFFD_INITIALIZED;
	a.features = UFFD_FEATURES;
	a.ioctls = API_IOCTLS;
	if (copy_to_user(arg, &a, sizeof(a)))
		return -EFAULT;
	err = -EINVAL;
	if (try_cmpxchg(&u->features, &none, wanted))
		return 0;
bad:
	a = (struct api){ 0 };
	return copy_to_user(arg, &a, sizeof(a)) ? -EFAULT : err;
}

static long ioctl_register(struct uffd *u, void __user *arg)
{
	u64 flags = 0, ioctls = RANGE_IOCTLS;
	struct reg r;
	bool pool;
	int err;

	if (copy_from_user(&r, arg, offsetof(struct reg, ioctls)))
		return -EFAULT;
	if (!r.mode || r.mode & ~(REGISTER_MODE_MISSING | REGISTER_MODE_WP | REGISTER_MODE_MINOR))
		return -EINVAL;
	if (r.mode & REGISTER_MODE_MISSING)
		flags |= VM_UFFD_MISSING;
	if (r.mode & REGISTER_MODE_WP)
		flags |= VM_UFFD_WP;
	else
		ioctls &= ~(1ull << NR_WRITEPROTECT);
	if (r.mode & REGISTER_MODE_MINOR)
		flags |= VM_UFFD_MINOR;
	else
		ioctls &= ~(1ull << NR_CONTINUE);
	err = check_range(&r.range);
	if (!err)
		err = uffd_register(u, r.range.start, r.range.start + r.range.len, flags, &pool);
	if (err)
		return err;
	if (pool)
		ioctls &= ~(1ull << NR_ZEROPAGE);
	return put_user(ioctls, &((struct reg __user *)arg)->ioctls) ? -EFAULT : 0;
}

static long ioctl_range(struct uffd *u, void __user *arg, bool unregister)
{
	struct range r;
	int err;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	err = check_range(&r);
	if (err)
		return err;
	if (unregister)
		return uffd_unregister(u, r.start, r.start + r.len);
	uffd_wake(u, r.start, r.start + r.len);
	return 0;
}

/* Result of a filling: to the user, to the sleepers, to the caller. */
static long fill_result(struct uffd *u, s64 done, s64 __user *where, u64 start, u64 len, bool wake)
{
	if (put_user(done, where))
		return -EFAULT;
	if (done < 0)
		return done;
	if (wake)
		uffd_wake(u, start, start + done);
	return (u64)done == len ? 0 : -EAGAIN;
}

/* The address space is changing: said in the result too, before anything is looked at. */
static bool is_changing(struct uffd *u, s64 __user *where, long *ret)
{
	if (!READ_ONCE(u->changing))
		return false;
	*ret = put_user((s64)-EAGAIN, where) ? -EFAULT : -EAGAIN;
	return true;
}

static long ioctl_copy(struct uffd *u, struct copy __user *arg)
{
	struct copy c;
	struct range r;
	long err;

	if (is_changing(u, &arg->copy, &err))
		return err;
	if (copy_from_user(&c, arg, offsetof(struct copy, copy)))
		return -EFAULT;
	r = (struct range){ c.dst, c.len };
	err = check_range(&r);
	if (err)
		return err;
	if (c.src + c.len <= c.src || c.mode & ~(MODE_DONTWAKE | COPY_MODE_WP))
		return -EINVAL;
	s64 done = uffd_fill(u, UFFD_COPY, c.dst, c.src, c.len, c.mode & COPY_MODE_WP);
	if (done == -ESRCH)
		return done;
	return fill_result(u, done, &arg->copy, c.dst, c.len, !(c.mode & MODE_DONTWAKE));
}

static long ioctl_fill(struct uffd *u, struct fill __user *arg, enum uffd_fill kind)
{
	struct fill f;
	long err;

	if (is_changing(u, &arg->done, &err))
		return err;
	if (copy_from_user(&f, arg, offsetof(struct fill, done)))
		return -EFAULT;
	err = check_range(&f.range);
	if (err)
		return err;
	if (f.mode & ~MODE_DONTWAKE)
		return -EINVAL;
	s64 done = uffd_fill(u, kind, f.range.start, 0, f.range.len, false);
	if (done == -ESRCH)
		return done;
	return fill_result(u, done, &arg->done, f.range.start, f.range.len, !(f.mode & MODE_DONTWAKE));
}

static long ioctl_protect(struct uffd *u, void __user *arg)
{
	struct protect p;
	int err;

	if (READ_ONCE(u->changing))
		return -EAGAIN;
	if (copy_from_user(&p, arg, sizeof(p)))
		return -EFAULT;
	err = check_range(&p.range);
	if (err)
		return err;
	if (p.mode & ~(WRITEPROTECT_MODE_WP | WRITEPROTECT_MODE_DONTWAKE) ||
	    p.mode == (WRITEPROTECT_MODE_WP | WRITEPROTECT_MODE_DONTWAKE))
		return -EINVAL;
	err = uffd_protect(u, p.range.start, p.range.len, p.mode & WRITEPROTECT_MODE_WP);
	if (!err && !p.mode)
		uffd_wake(u, p.range.start, p.range.start + p.range.len);
	return err;
}

static long uffd_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct uffd *u = f->private;
	void __user *p = (void __user *)arg;

	if (cmd == IOC(3, NR_API, sizeof(struct api)))
		return ioctl_api(u, p);
	if (!READ_ONCE(u->features))
		return -EINVAL;
	switch (cmd) {
	case IOC(3, NR_REGISTER, sizeof(struct reg)):
		return ioctl_register(u, p);
	case IOC(2, NR_UNREGISTER, sizeof(struct range)):
		return ioctl_range(u, p, true);
	case IOC(2, NR_WAKE, sizeof(struct range)):
		return ioctl_range(u, p, false);
	case IOC(3, NR_COPY, sizeof(struct copy)):
		return ioctl_copy(u, p);
	case IOC(3, NR_ZEROPAGE, sizeof(struct fill)):
		return ioctl_fill(u, p, UFFD_ZERO);
	case IOC(3, NR_CONTINUE, sizeof(struct fill)):
		return ioctl_fill(u, p, UFFD_CONTINUE);
	case IOC(3, NR_WRITEPROTECT, sizeof(struct protect)):
		return ioctl_protect(u, p);
	default:
		return -EINVAL;
	}
}

/* ---- messages ---- */

/* One message, without waiting. 0, -EAGAIN when there is none, or what kept a fork's descriptor from being made. */
static int take(struct uffd *u, struct uffd_msg *m)
{
	struct uffd *fork;
	int fd;

	if (!uffd_take_message(u, m, &fork))
		return -EAGAIN;
	if (!fork)
		return 0;
	struct file *f = anon_file("userfaultfd", &uffd_fops, fork, O_RDONLY | (fork->flags & O_NONBLOCK));
	if (IS_ERR(f)) {
		uffd_fork_taken(u, fork, false);
		return PTR_ERR(f);
	}
	fd = fd_alloc(fork->flags & O_CLOEXEC, 0);
	if (fd < 0) {
		/* closing the file would end the context: it keeps a reference that way, the message stays */
		f->private = NULL;
		file_put(f);
		uffd_fork_taken(u, fork, false);
		return fd;
	}
	fd_install(fd, f);
	m->fork.ufd = fd;
	uffd_fork_taken(u, fork, true);
	return 0;
}

static s64 uffd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	bool wait = !(f->flags & O_NONBLOCK);
	struct uffd *u = f->private;
	struct uffd_msg m;
	s64 done = 0;

	if (!READ_ONCE(u->features))
		return -EINVAL;
	for (;;) {
		int err;

		if (to->count < sizeof(m))
			return done ? done : -EINVAL;
		err = take(u, &m);
		while (err == -EAGAIN && wait) {
			err = wait_event_interruptible(u->fd_wait, uffd_has_message(u));
			if (!err)
				err = take(u, &m);
		}
		if (err)
			return done ? done : err;
		if (copy_to_iter(to, &m, sizeof(m)) != sizeof(m))
			return done ? done : -EFAULT;
		done += sizeof(m);
		wait = false;
	}
}

static u32 uffd_poll(struct file *f, struct poll_table *pt)
{
	struct uffd *u = f->private;

	poll_wait(f, &u->fd_wait, pt);
	smp_mb(); /* queued before the lists are read */
	/* readiness promises nothing to a reader who would block: a sleeper may be woken by others */
	if (!READ_ONCE(u->features) || !(f->flags & O_NONBLOCK))
		return POLLERR;
	return uffd_has_message(u) ? POLLIN : 0;
}

static void uffd_file_release(struct inode *i, struct file *f)
{
	if (f->private)
		uffd_release(f->private);
}

static void uffd_fdinfo(struct file *f, struct seq_buf *s)
{
	struct uffd *u = f->private;
	struct list_head *at;
	u64 pending = 0, seen = 0;

	spin_lock(&u->lock);
	list_for_each(at, &u->pending)
		pending++;
	list_for_each(at, &u->seen)
		seen++;
	spin_unlock(&u->lock);
	seq_printf(s, "pending:\t%llu\ntotal:\t%llu\nAPI:\t%llx:%x:%llx\n", pending, pending + seen, UFFD_API, u->features,
		   API_IOCTLS | RANGE_IOCTLS);
}

static const struct file_ops uffd_fops = {
	.read = uffd_read,
	.poll = uffd_poll,
	.ioctl = uffd_ioctl,
	.release = uffd_file_release,
	.show_fdinfo = uffd_fdinfo,
};

static const struct proc_file uffd_sysctl[] = {
	SYSCTL_U64("sys/vm/unprivileged_userfaultfd", unprivileged_userfaultfd, 0, 1),
};

void userfaultfd_init(void)
{
	proc_add_table(uffd_sysctl, ARRAY_SIZE(uffd_sysctl));
	(void)chrdev_register(10, 126, 1, "userfaultfd", 0600, &uffd_dev_fops, NULL);
}
