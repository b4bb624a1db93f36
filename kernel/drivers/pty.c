/*
 * Pseudo terminals (pty(7)): two ttys joined; what one puts out is the other's input.
 *
 * The slave has the line discipline; the master's own discipline is raw (no flags set), so bytes pass unchanged. A side's kick
 * runs with its own lock held and may not take the other's, so the bytes are moved by pty_move, which is called after the
 * lock was dropped: kick only queues the work item that moves. The pair holds a reference on both sides until neither is
 * open; open files hold their own, and the memory goes when both sides have none, so a closing side may look at the other.
 */
#include <drivers/drivers.h>
#include <drivers/tty.h>
#include <fs/devpts.h>
#include <fs/fdtable.h>
#include <kernel/kthread.h>
#include <lib/ida.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/impl.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define PTY_MAX 4096
#define PTMX_MAJOR 5
#define PTS_MAJOR 136

struct pty_pair {
	struct tty *master, *slave;
	struct work move;
	u32 index;
	s32 sides; /* (a) ttys that still have references */
};
static struct tty *slaves[PTY_MAX]; /* (tty_mutex) by index */

/* Moves output of @from to the input of @to while there is room. */
static void pty_move_one(struct tty *from, struct tty *to)
{
	u8 buf[256];
	u64 flags;

	for (;;) {
		const u8 *p;

		spin_lock_irqsave(&to->lock, flags);
		u32 room = tty_input_room(to);
		spin_unlock_irqrestore(&to->lock, flags);
		bool canon = to->termios.lflag & ICANON; /* a full line is cut by the discipline, not held back */
		room = canon && !tty_input_available(to) ? sizeof(buf) : room > 1 ? room - 1 : 0;
		spin_lock_irqsave(&from->lock, flags);
		u32 n = min_t(u32, min_t(u32, tty_out_peek(from, &p), sizeof(buf)), room);
		memcpy(buf, p, n);
		tty_out_skip(from, n);
		spin_unlock_irqrestore(&from->lock, flags);
		if (!n)
			return;
		tty_input(to, buf, n);
		tty_out_wake(from);
	}
}

static void pty_move(struct work *w)
{
	struct pty_pair *p = container_of(w, struct pty_pair, move);

	pty_move_one(p->master, p->slave);
	pty_move_one(p->slave, p->master);
}

static void pty_kick(struct tty *t)
{
	struct pty_pair *p = t->driver_data;

	if (tty_out_used(t) && !t->stopped)
		schedule_work(&p->move);
}

static void pty_unthrottle(struct tty *t)
{
	struct pty_pair *p = t->driver_data;

	if (tty_out_used(t->link))
		schedule_work(&p->move);
}

/* One side has no references left; both sides and the pair go with the second. */
static void pty_destroy(struct tty *t)
{
	struct pty_pair *p = t->driver_data;

	if (__atomic_sub_fetch(&p->sides, 1, __ATOMIC_ACQ_REL))
		return;
	flush_work(&p->move);
	kfree(p->master);
	kfree(p->slave);
	kfree(p);
}

/* Drops the references by which an open pair holds its sides. */
static void pty_release_pair(struct pty_pair *p)
{
	struct tty *m = p->master, *s = p->slave;

	tty_put(m);
	tty_put(s);
}

static void pty_last_close(struct tty *t)
{
	struct pty_pair *p = t->driver_data;
	struct tty *other = t->link;

	flush_work(&p->move); /* what was written is still delivered */
	pty_move(&p->move);
	mutex_lock(&tty_mutex);
	bool free = false;
	if (t->opens == 0) {
		WRITE_ONCE(other->other_closed, true);
		if (t->is_master && slaves[p->index] == p->slave) {
			slaves[p->index] = NULL;
			devpts_remove(p->index);
		}
		free = other->opens == 0 && (t->is_master || !slaves[p->index]);
		if (free)
			t->opens = other->opens = 1u << 30; /* nobody else frees the pair */
	}
	mutex_unlock(&tty_mutex);
	if (t->is_master)
		tty_hangup(p->slave);
	wake_up_key(&other->read_wait, TASK_NORMAL, 0, 0, 0);
	wake_up_key(&other->write_wait, TASK_NORMAL, 0, 0, 0);
	if (free)
		pty_release_pair(p);
}

static const struct tty_driver pty_driver = { .kick = pty_kick, .unthrottle = pty_unthrottle, .last_close = pty_last_close,
					      .destroy = pty_destroy };

static struct pty_pair *pty_pair_new(u32 index)
{
	struct pty_pair *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return NULL;
	p->master = tty_alloc(&pty_driver, 128, index);
	p->slave = tty_alloc(&pty_driver, PTS_MAJOR, index);
	if (!p->master || !p->slave) {
		kfree(p->master);
		kfree(p->slave);
		kfree(p);
		return NULL;
	}
	work_init(&p->move, pty_move);
	p->index = index;
	p->sides = 2;
	p->master->driver_data = p->slave->driver_data = p;
	p->master->link = p->slave;
	p->slave->link = p->master;
	p->master->is_master = true;
	p->master->index = p->slave->index = index;
	p->master->termios.iflag = p->master->termios.oflag = p->master->termios.lflag = 0;
	p->master->termios.cc[VMIN] = 1;
	p->master->termios.cc[VTIME] = 0;
	p->slave->pty_locked = true;
	p->slave->other_closed = false;
	p->slave->termios.cflag = 0xbf; /* B38400 | CS8 | CREAD */
	p->slave->ispeed = p->slave->ospeed = 38400;
	return p;
}

/* /dev/ptmx: a new pair; the file is the master side. */
static int ptmx_open(struct inode *i, struct file *f)
{
	(void)i;
	int r = -ENOSPC;

	mutex_lock(&tty_mutex);
	for (u32 n = 0; n < PTY_MAX; n++) {
		if (slaves[n])
			continue;
		struct pty_pair *p = pty_pair_new(n);

		r = p ? devpts_add(n, MKDEV(PTS_MAJOR, n)) : -ENOMEM;
		if (p && !r) {
			r = tty_attach_file(p->master, f);
			if (r)
				devpts_remove(n);
		}
		if (!r)
			slaves[n] = p->slave;
		else if (p)
			pty_release_pair(p);
		break;
	}
	mutex_unlock(&tty_mutex);
	return r;
}

static const struct file_ops ptmx_fops = { .open = ptmx_open };

static int pts_attach(u32 index, struct file *f)
{
	struct tty *t = index < PTY_MAX ? slaves[index] : NULL;

	if (!t)
		return -EIO;
	if (t->pty_locked)
		return -EIO;
	int r = tty_attach_file(t, f);
	if (r)
		return r;
	WRITE_ONCE(t->link->other_closed, false);
	if (!(f->flags & O_NOCTTY) && current->signal->leader && !current->signal->tty && !t->session)
		tty_set_controlling(t);
	return 0;
}

static int pts_open(struct inode *i, struct file *f)
{
	mutex_lock(&tty_mutex);
	int r = pts_attach(i->rdev & 0xfffff, f);
	mutex_unlock(&tty_mutex);
	return r;
}

static const struct file_ops pts_fops = { .open = pts_open };

/* TIOCGPTPEER: the slave as a new descriptor without a path. */
static long pty_open_peer(struct tty *t, u64 oflags)
{
	char name[24] = "/dev/pts/";
	u32 v = t->index, n = 0;
	char digits[12];

	do
		digits[n++] = '0' + v % 10;
	while (v /= 10);
	for (u32 i = 0; i < n; i++)
		name[9 + i] = digits[n - 1 - i];
	struct file *f = kernel_open(name, oflags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK), 0);
	return IS_ERR(f) ? PTR_ERR(f) : fd_open_file(f, oflags & O_CLOEXEC);
}

long pty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg)
{
	(void)f;
	s32 v;

	if (!t->is_master)
		return -ENOIOCTLCMD;
	switch (cmd) {
	case TIOCGPTN:
		return put_user(t->index, (u32 __user *)arg);
	case TIOCSPTLCK:
		if (get_user(v, (s32 __user *)arg))
			return -EFAULT;
		t->link->pty_locked = v != 0;
		return 0;
	case TIOCGPTLCK:
		return put_user((s32)t->link->pty_locked, (s32 __user *)arg);
	case TIOCGPTPEER:
		return pty_open_peer(t, arg);
	}
	return -ENOIOCTLCMD;
}

int pty_init(void)
{
	int r = chrdev_register(PTMX_MAJOR, 2, 1, "ptmx", 0666, &ptmx_fops, NULL);

	return r ?: chrdev_register(PTS_MAJOR, 0, PTY_MAX, NULL, 0, &pts_fops, NULL);
}
