/* Requests on terminals (tty_ioctl(4)): settings, window size, job control, queues. */
#include <drivers/tty.h>
#include <fs/fdtable.h>
#include <lib/string.h>
#include <proc/impl.h>
#include <proc/task.h>
#include <x86/uaccess.h>

/* Old struct termio: 16-bit flags and 8 characters. */
struct termio_k { u16 iflag, oflag, cflag, lflag; u8 line; u8 cc[8]; };

/* Requests on a pty master about settings mean the slave's. */
static struct tty *real_tty(struct tty *t)
{
	return t->is_master ? t->link : t;
}

static void wait_drained(struct tty *t, struct file *f)
{
	(void)f;
	(void)wait_event_interruptible(t->write_wait, tty_out_used(t) == 0 || t->link || t->stopped);
}

/* How TCSETS* behave: wait for output first, drop input. */
#define SET_WAIT 1
#define SET_FLUSH 2

/* What is locked stays as it is. => t->lock */
static void keep_locked(const struct termios_k *locked, const struct termios_k *old, struct termios2_k *n)
{
	n->iflag = (old->iflag & locked->iflag) | (n->iflag & ~locked->iflag);
	n->oflag = (old->oflag & locked->oflag) | (n->oflag & ~locked->oflag);
	n->cflag = (old->cflag & locked->cflag) | (n->cflag & ~locked->cflag);
	n->lflag = (old->lflag & locked->lflag) | (n->lflag & ~locked->lflag);
	if (locked->line)
		n->line = old->line;
	for (u32 i = 0; i < NCCS; i++)
		if (locked->cc[i])
			n->cc[i] = old->cc[i];
}

static long ioctl_locked(struct tty *t, u32 cmd, u64 arg)
{
	struct termios_k l;
	u64 flags;

	if (cmd == TIOCSLCKTRMIOS) {
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		if (copy_from_user(&l, (void __user *)arg, sizeof(l)))
			return -EFAULT;
	}
	spin_lock_irqsave(&t->lock, flags);
	if (cmd == TIOCSLCKTRMIOS)
		t->locked = l;
	else
		l = t->locked;
	spin_unlock_irqrestore(&t->lock, flags);
	return cmd == TIOCGLCKTRMIOS && copy_to_user((void __user *)arg, &l, sizeof(l)) ? -EFAULT : 0;
}

static long set_termios(struct tty *t, struct file *f, struct termios2_k *n, int how)
{
	u64 flags;
	int r = tty_check_background(t, SIGTTOU);

	if (r)
		return r;
	if (how & SET_WAIT)
		wait_drained(t, f);
	if (how & SET_FLUSH)
		tty_flush_input(t);
	spin_lock_irqsave(&t->lock, flags);
	u32 old = t->termios.lflag;
	keep_locked(&t->locked, &t->termios, n);
	memcpy(&t->termios, n, sizeof(t->termios));
	t->ispeed = n->ispeed;
	t->ospeed = n->ospeed;
	tty_termios_changed(t, old);
	t->drv->kick(t);
	spin_unlock_irqrestore(&t->lock, flags);
	if (t->drv->set_termios)
		t->drv->set_termios(t);
	wake_up_all(&t->read_wait);
	return 0;
}

static const u32 speeds[] = { 0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400 };
static const u32 speeds_ex[] = { 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000 };

static u32 speed_of(u32 cflag, u32 otherwise)
{
	u32 b = cflag & CBAUD;

	if (b == 0x1000)
		return otherwise; /* BOTHER: the numbers say */
	if (b & 0x1000)
		return (b & 15) < ARRAY_SIZE(speeds_ex) ? speeds_ex[b & 15] : otherwise;
	return speeds[b];
}

static void get_termios(struct tty *t, struct termios2_k *o)
{
	u64 flags;

	spin_lock_irqsave(&t->lock, flags);
	memset(o, 0, sizeof(*o));
	memcpy(o, &t->termios, sizeof(t->termios));
	o->ispeed = t->ispeed;
	o->ospeed = t->ospeed;
	spin_unlock_irqrestore(&t->lock, flags);
}

static long ioctl_set(struct tty *t, struct file *f, u32 cmd, u64 arg)
{
	static const struct { u32 cmd; int how; int form; } table[] = {
		{ TCSETS, 0, 1 }, { TCSETSW, SET_WAIT, 1 }, { TCSETSF, SET_WAIT | SET_FLUSH, 1 },
		{ TCSETS2, 0, 2 }, { TCSETSW2, SET_WAIT, 2 }, { TCSETSF2, SET_WAIT | SET_FLUSH, 2 }, { TCSETA, 0, 0 },
		{ TCSETAW, SET_WAIT, 0 }, { TCSETAF, SET_WAIT | SET_FLUSH, 0 },
	};
	struct termios2_k n;
	struct termio_k old;

	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].cmd != cmd)
			continue;
		get_termios(t, &n);
		if (table[i].form == 0) {
			if (copy_from_user(&old, (void __user *)arg, sizeof(old)))
				return -EFAULT;
			n.iflag = (n.iflag & 0xffff0000u) | old.iflag;
			n.oflag = (n.oflag & 0xffff0000u) | old.oflag;
			n.cflag = (n.cflag & 0xffff0000u) | old.cflag;
			n.lflag = (n.lflag & 0xffff0000u) | old.lflag;
			n.line = old.line;
			memcpy(n.cc, old.cc, sizeof(old.cc));
		} else if (copy_from_user(&n, (void __user *)arg, table[i].form == 1 ? sizeof(struct termios_k) : sizeof(n))) {
			return -EFAULT;
		}
		n.ospeed = speed_of(n.cflag, n.ospeed);
		n.ispeed = n.ospeed;
		return set_termios(t, f, &n, table[i].how);
	}
	return -ENOIOCTLCMD;
}

static long ioctl_get(struct tty *t, u32 cmd, u64 arg)
{
	struct termios2_k o;
	struct termio_k old = { 0 };

	get_termios(t, &o);
	if (cmd == TCGETS2)
		return copy_to_user((void __user *)arg, &o, sizeof(o)) ? -EFAULT : 0;
	if (cmd == TCGETS)
		return copy_to_user((void __user *)arg, &o, sizeof(struct termios_k)) ? -EFAULT : 0;
	old = (struct termio_k){ o.iflag, o.oflag, o.cflag, o.lflag, o.line, { 0 } };
	memcpy(old.cc, o.cc, sizeof(old.cc));
	return copy_to_user((void __user *)arg, &old, sizeof(old)) ? -EFAULT : 0;
}

static long ioctl_winsize(struct tty *t, struct tty *file_side, u32 cmd, u64 arg)
{
	struct winsize_k w;
	struct pid *g[2] = { NULL, NULL };
	u64 flags;

	if (cmd == TIOCGWINSZ)
		return copy_to_user((void __user *)arg, &t->winsize, sizeof(w)) ? -EFAULT : 0;
	if (copy_from_user(&w, (void __user *)arg, sizeof(w)))
		return -EFAULT;
	spin_lock_irqsave(&t->lock, flags);
	if (memcmp(&w, &t->winsize, sizeof(w))) {
		t->winsize = w;
		if (t->pgrp)
			g[0] = pid_get(t->pgrp);
	}
	spin_unlock_irqrestore(&t->lock, flags);
	if (t->link) {
		file_side = file_side == t ? t->link : file_side;
		file_side->winsize = w;
	}
	if (g[0]) {
		send_sig_pgrp(SIGWINCH, g[0]);
		pid_put(g[0]);
	}
	return 0;
}

static long set_foreground(struct tty *t, u64 arg)
{
	s32 nr;
	u64 flags;
	int r = tty_check_background(t, SIGTTOU);

	if (r == -EIO)
		return -ENOTTY;
	if (r)
		return r;
	if (get_user(nr, (s32 __user *)arg))
		return -EFAULT;
	if (current->signal->tty != t || t->session != tty_own_pid(PIDK_SID))
		return -ENOTTY;
	if (nr < 0)
		return -EINVAL;
	mutex_lock(&tty_mutex);
	r = -ESRCH;
	tasklist_read_lock();
	struct pid *g = pid_find(nr);
	struct task *member = g ? pid_task(g, PIDK_PGID) : NULL;
	if (g)
		pid_get(g);
	if (member)
		r = member->pids[PIDK_SID] == tty_own_pid(PIDK_SID) ? 0 : -EPERM;
	tasklist_read_unlock();
	if (!r) {
		spin_lock_irqsave(&t->lock, flags);
		struct pid *old = t->pgrp;
		t->pgrp = g;
		g = old;
		spin_unlock_irqrestore(&t->lock, flags);
	}
	mutex_unlock(&tty_mutex);
	if (g)
		pid_put(g);
	return r;
}

static long take_controlling(struct tty *t, u64 steal)
{
	long r = 0;

	mutex_lock(&tty_mutex);
	if (current->signal->leader && t->session == tty_own_pid(PIDK_SID))
		goto out; /* it is ours already */
	r = -EPERM;
	if (!current->signal->leader || current->signal->tty)
		goto out;
	if (t->session && !(steal == 1 && capable(CAP_SYS_ADMIN)))
		goto out;
	tty_drop_session(t); /* from those it is stolen from */
	tty_set_controlling(t);
	r = 0;
out:
	mutex_unlock(&tty_mutex);
	return r;
}

static long give_up_controlling(struct tty *t)
{
	if (current->signal->tty != t)
		return -ENOTTY;
	if (current->signal->leader) {
		tty_session_exit(current);
		return 0;
	}
	mutex_lock(&tty_mutex);
	current->signal->tty = NULL;
	mutex_unlock(&tty_mutex);
	return 0;
}

static long ioctl_job(struct tty *t, struct tty *file_side, u32 cmd, u64 arg)
{
	u64 flags;
	s32 nr = 0;

	switch (cmd) {
	case TIOCSPGRP:
		return set_foreground(t, arg);
	case TIOCSCTTY:
		return take_controlling(t, arg);
	case TIOCNOTTY:
		return give_up_controlling(t);
	}
	if (t == file_side && current->signal->tty != t)
		return -ENOTTY;
	spin_lock_irqsave(&t->lock, flags);
	if (cmd == TIOCGPGRP)
		nr = t->pgrp ? t->pgrp->nr : 0;
	else
		nr = t->session ? t->session->nr : -1;
	spin_unlock_irqrestore(&t->lock, flags);
	return nr < 0 ? -ENOTTY : put_user(nr, (s32 __user *)arg);
}

static long flow(struct tty *t, u64 arg)
{
	u64 flags;
	u8 c = t->termios.cc[arg == 2 ? VSTOP : VSTART];
	int r = tty_check_background(t, SIGTTOU);

	if (r)
		return r;
	if (arg > 3)
		return -EINVAL;
	spin_lock_irqsave(&t->lock, flags);
	if (arg < 2)
		t->stopped = arg == 0;
	else if (c && tty_out_used(t) < TTY_BUF)
		t->out[t->out_head++ & (TTY_BUF - 1)] = c;
	t->drv->kick(t);
	spin_unlock_irqrestore(&t->lock, flags);
	tty_out_wake(t);
	return 0;
}

static long flush(struct tty *t, u64 arg)
{
	int r = tty_check_background(t, SIGTTOU);

	if (r)
		return r;
	if (arg > 2)
		return -EINVAL;
	if (arg != 1)
		tty_flush_input(t);
	if (arg != 0)
		tty_flush_output(t);
	return 0;
}

static long simulate_input(struct tty *t, u64 arg)
{
	u8 c;

	if (current->signal->tty != t && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (get_user(c, (u8 __user *)arg))
		return -EFAULT;
	tty_input(t, &c, 1);
	return 0;
}

long tty_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct tty_file *tf = f->private;
	struct tty *side = tf->tty, *t = real_tty(side);

	if (READ_ONCE(side->gen) != tf->gen)
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	switch (cmd) {
	case TCGETS:
	case TCGETS2:
	case TCGETA:
		return ioctl_get(t, cmd, arg);
	case TIOCGLCKTRMIOS:
	case TIOCSLCKTRMIOS:
		return ioctl_locked(t, cmd, arg);
	case TIOCGWINSZ:
	case TIOCSWINSZ:
		return ioctl_winsize(t, side, cmd, arg);
	case TIOCGPGRP:
	case TIOCSPGRP:
	case TIOCGSID:
	case TIOCSCTTY:
	case TIOCNOTTY:
		return ioctl_job(t, side, cmd, arg);
	case TIOCINQ:
		return put_user((s32)tty_input_available(side), (s32 __user *)arg);
	case TIOCOUTQ:
		return put_user((s32)tty_out_used(side), (s32 __user *)arg);
	case TCXONC:
		return flow(t, arg);
	case TCFLSH:
		return flush(side, arg);
	case TCSBRK:
	case TCSBRKP:
		wait_drained(side, f);
		return signal_pending_current() ? -ERESTARTSYS : 0;
	case TIOCSTI:
		return simulate_input(t, arg);
	case TIOCEXCL:
	case TIOCNXCL:
		t->exclusive = cmd == TIOCEXCL;
		return 0;
	case TIOCGEXCL:
		return put_user((s32)t->exclusive, (s32 __user *)arg);
	case TIOCGETD:
		return put_user((s32)0, (s32 __user *)arg);
	case TIOCVHANGUP:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		tty_hangup(t);
		return 0;
	}
	long r = ioctl_set(t, f, cmd, arg);
	if (r == -ENOIOCTLCMD && side->link)
		r = pty_ioctl(side, f, cmd, arg);
	return r == -ENOIOCTLCMD ? -ENOTTY : r;
}

long sys_vhangup(void)
{
	if (!capable(CAP_SYS_TTY_CONFIG))
		return -EPERM;
	mutex_lock(&tty_mutex);
	struct tty *t = current->signal->tty;
	if (t)
		tty_get(t);
	mutex_unlock(&tty_mutex);
	if (t) {
		tty_hangup(t);
		tty_put(t);
	}
	return 0;
}
