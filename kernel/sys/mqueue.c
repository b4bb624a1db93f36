/* Decode half of the POSIX message queue calls. */
#include <fs/fdtable.h>
#include <fs/mqueue.h>
#include <proc/impl.h>
#include <sys/util.h>

long sys_mq_open(const char __user *uname, int oflags, u32 mode, const struct mq_attr __user *uattr)
{
	struct mq_attr a;
	char *name;
	long r;

	if (uattr && copy_from_user(&a, uattr, sizeof(a)))
		return -EFAULT;
	name = getname(uname, 0);
	if (IS_ERR(name))
		return PTR_ERR(name);
	r = mq_open(name, (u32)oflags, mode, uattr ? &a : NULL);
	putname(name);
	return r;
}

long sys_mq_unlink(const char __user *uname)
{
	char *name = getname(uname, 0);

	if (IS_ERR(name))
		return PTR_ERR(name);
	long r = mq_unlink(name);
	putname(name);
	return r;
}

/* Points in time of the real-time clock. */
static int get_deadline(const void __user *u, u64 *deadline)
{
	u64 ns;

	*deadline = U64_MAX;
	if (!u)
		return 0;
	int err = get_timespec_ns(&ns, u);
	if (!err)
		*deadline = clock_to_mono(0, ns);
	return err;
}

/* The queue behind a descriptor; *fd is to be put when no error. */
static int get_mq(int nr, struct fd *fd, u32 fmode)
{
	*fd = fdget((unsigned)nr);
	if (!fd_file(*fd))
		return -EBADF;
	if (file_is_mq(fd_file(*fd)) && (!fmode || fd_file(*fd)->fmode & fmode))
		return 0;
	fdput(*fd);
	return -EBADF;
}

long sys_mq_timedsend(int nr, const void __user *buf, u64 len, u32 prio, const void __user *until)
{
	struct fd fd;
	u64 deadline;
	long r = get_deadline(until, &deadline);

	if (r)
		return r;
	if (prio >= MQ_PRIO_MAX)
		return -EINVAL;
	r = get_mq(nr, &fd, FMODE_WRITE);
	if (r)
		return r;
	r = mq_send(fd_file(fd), buf, len, prio, deadline);
	fdput(fd);
	return r;
}

long sys_mq_timedreceive(int nr, void __user *buf, u64 len, u32 __user *prio, const void __user *until)
{
	struct fd fd;
	u64 deadline;
	long r = get_deadline(until, &deadline);

	if (r)
		return r;
	r = get_mq(nr, &fd, FMODE_READ);
	if (r)
		return r;
	r = mq_receive(fd_file(fd), buf, len, prio, deadline);
	fdput(fd);
	return r;
}

long sys_mq_notify(int nr, const void __user *uevent)
{
	struct { u64 value; s32 sig, how; u8 rest[48]; } e;
	struct mq_notify n;
	struct fd fd;
	long r;

	if (uevent) {
		if (copy_from_user(&e, uevent, sizeof(e)))
			return -EFAULT;
		if (e.how != SIGEV_NONE && e.how != SIGEV_SIGNAL && e.how != SIGEV_THREAD)
			return -EINVAL;
		if (e.how == SIGEV_SIGNAL && !signal_valid((unsigned long)e.sig))
			return -EINVAL;
		if (e.how == SIGEV_THREAD) /* libraries pass a netlink socket, and there is none */
			return -EBADF;
		n = (struct mq_notify){ e.how, e.sig, e.value };
	}
	r = get_mq(nr, &fd, 0);
	if (r)
		return r;
	r = mq_set_notify(fd_file(fd), uevent ? &n : NULL);
	fdput(fd);
	return r;
}

long sys_mq_getsetattr(int nr, const struct mq_attr __user *unew, struct mq_attr __user *uold)
{
	struct mq_attr new, old;
	struct fd fd;
	long r;

	if (unew && copy_from_user(&new, unew, sizeof(new)))
		return -EFAULT;
	if (unew && new.flags & ~(s64)O_NONBLOCK)
		return -EINVAL;
	r = get_mq(nr, &fd, 0);
	if (r)
		return r;
	struct file *f = fd_file(fd);

	mq_get_attr(f, &old);
	if (unew) {
		spin_lock(&f->lock);
		f->flags = (f->flags & ~O_NONBLOCK) | ((u32)new.flags & O_NONBLOCK);
		spin_unlock(&f->lock);
	}
	fdput(fd);
	return uold && copy_to_user(uold, &old, sizeof(old)) ? -EFAULT : 0;
}
