/* signalfd(2): pending signals of the reading thread as 128-byte records. The mask belongs to the file. */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

struct signalfd_siginfo {
	u32 signo;
	s32 err, code;
	u32 pid, uid;
	s32 fd;
	u32 tid, band, overrun, trapno;
	s32 status, int_value;
	u64 ptr, utime, stime, addr;
	u16 addr_lsb, pad2;
	s32 syscall;
	u64 call_addr;
	u32 arch;
	u8 pad[28];
};
_Static_assert(sizeof(struct signalfd_siginfo) == 128, "signalfd(2)");

struct signalfd {
	sigset_t mask; /* (a) */
};

static void signalfd_fill(struct signalfd_siginfo *o, const siginfo_t *i)
{
	memset(o, 0, sizeof(*o));
	o->signo = i->si_signo;
	o->err = i->si_errno;
	o->code = i->si_code;
	if (i->si_code == SI_TIMER) {
		o->tid = i->timerid;
		o->overrun = i->overrun;
		o->ptr = i->tvalue;
		o->int_value = i->tvalue;
	} else if (i->si_code > 0 && i->si_code != SI_KERNEL && i->si_signo != SIGCHLD) {
		o->addr = i->addr;
	} else {
		o->pid = i->pid;
		o->uid = i->uid;
		if (i->si_signo == SIGCHLD) {
			o->status = i->status;
			o->utime = i->utime;
			o->stime = i->stime;
		} else {
			o->ptr = i->value;
			o->int_value = i->value;
		}
	}
}

static s64 signalfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct signalfd *s = f->private;
	struct signalfd_siginfo out;
	siginfo_t info;
	s64 done = 0;

	if (to->count < sizeof(out))
		return -EINVAL;
	while (to->count >= sizeof(out)) {
		int sig = dequeue_signal(s->mask, &info);

		if (!sig) {
			if (done)
				break;
			if (f->flags & O_NONBLOCK)
				return -EAGAIN;
			int r = wait_event_interruptible(current->sighand->signalfd_wait, (sig = dequeue_signal(s->mask, &info)) != 0);
			if (r)
				return r;
		}
		signalfd_fill(&out, &info);
		if (copy_to_iter(to, &out, sizeof(out)) != sizeof(out))
			return done ?: -EFAULT;
		done += sizeof(out);
	}
	return done;
}

static u32 signalfd_poll(struct file *f, struct poll_table *pt)
{
	struct signalfd *s = f->private;

	poll_wait(f, &current->sighand->signalfd_wait, pt);
	smp_mb(); /* queued before the pending sets are read */
	sigset_t pending = READ_ONCE(current->pending.set) | READ_ONCE(current->signal->shared_pending.set);
	return pending & READ_ONCE(s->mask) ? POLLIN : 0;
}

static void signalfd_release(struct inode *i, struct file *f)
{
	(void)i;
	kfree(f->private);
}

static void signalfd_fdinfo(struct file *f, struct seq_buf *b)
{
	seq_printf(b, "sigmask:\t%016llx\n", (unsigned long long)((struct signalfd *)f->private)->mask);
}

static const struct file_ops signalfd_fops = {
	.read = signalfd_read,
	.poll = signalfd_poll,
	.release = signalfd_release,
	.show_fdinfo = signalfd_fdinfo,
};

static long signalfd_change(s32 fd, sigset_t mask)
{
	struct fd f = fdget(fd);
	long r = -EINVAL;

	if (!fd_file(f))
		return -EBADF;
	if (fd_file(f)->ops == &signalfd_fops) {
		WRITE_ONCE(((struct signalfd *)fd_file(f)->private)->mask, mask);
		wake_up_all(&current->sighand->signalfd_wait);
		r = fd;
	}
	fdput(f);
	return r;
}

long sys_signalfd4(s32 fd, const sigset_t __user *umask, u64 size, s32 flags)
{
	sigset_t mask;

	if (size != sizeof(mask))
		return -EINVAL;
	if (copy_from_user(&mask, umask, sizeof(mask)))
		return -EFAULT;
	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	mask &= ~SIG_KERNEL_ONLY;
	if (fd != -1)
		return signalfd_change(fd, mask);
	struct signalfd *s = kmalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	s->mask = mask;
	struct file *f = anon_file("signalfd", &signalfd_fops, s, O_RDWR | (flags & O_NONBLOCK));
	if (IS_ERR(f)) {
		kfree(s);
		return PTR_ERR(f);
	}
	return fd_open_file(f, flags);
}

long sys_signalfd(s32 fd, const sigset_t __user *umask, u64 size)
{
	return sys_signalfd4(fd, umask, size, 0);
}
