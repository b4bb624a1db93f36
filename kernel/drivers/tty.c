/*
 * Terminals as files: opening, controlling terminals, job control, hang-up. Structure and locks: drivers/tty.h.
 *
 * An open file holds a reference on its tty and the generation it was opened in; a hang-up raises the generation, after
 * which reads give end of file, writes EIO, and only a new open reaches the terminal again.
 */
#include <drivers/tty.h>
#include <drivers/drivers.h>
#include <fs/poll.h>
#include <fs/fdtable.h>
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/impl.h>
#include <proc/task.h>

DEFINE_MUTEX(tty_mutex);

static const struct termios_k termios_default = {
	.iflag = ICRNL | IXON | IUTF8,
	.oflag = OPOST | ONLCR,
	.cflag = B115200 | CS8 | CREAD | HUPCL,
	.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.cc = { [VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4, [VMIN] = 1, [VSTART] = 17, [VSTOP] = 19,
		[VSUSP] = 26, [VREPRINT] = 18, [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22 },
};

struct tty *tty_alloc(const struct tty_driver *drv, u32 major, u32 minor)
{
	struct tty *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;
	spin_lock_init(&t->lock);
	mutex_init(&t->read_mutex);
	mutex_init(&t->write_mutex);
	init_wait_queue(&t->read_wait);
	init_wait_queue(&t->write_wait);
	t->refs = 1;
	t->drv = drv;
	t->major = major;
	t->minor = minor;
	t->termios = termios_default;
	t->ispeed = t->ospeed = 115200;
	return t;
}

void tty_get(struct tty *t)
{
	__atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
}

void tty_put(struct tty *t)
{
	if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (t->session)
		pid_put(t->session);
	if (t->pgrp)
		pid_put(t->pgrp);
	if (t->drv->destroy)
		t->drv->destroy(t);
	else
		kfree(t);
}

int tty_attach_file(struct tty *t, struct file *f)
{
	struct tty_file *tf = kmalloc(sizeof(*tf), GFP_KERNEL);

	if (!tf)
		return -ENOMEM;
	if (t->exclusive && t->opens && !capable(CAP_SYS_ADMIN)) {
		kfree(tf);
		return -EBUSY;
	}
	tty_get(t);
	t->opens++;
	*tf = (struct tty_file){ t, t->gen };
	f->private = tf;
	f->ops = &tty_fops;
	f->fmode |= FMODE_STREAM;
	f->fmode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE);
	return 0;
}

static inline struct tty_file *file_tty(struct file *f) { return f->private; }

/* Job control ---------------------------------------------------------------------------------------------------------- */

struct pid *tty_own_pid(enum pid_kind kind)
{
	return READ_ONCE(current->group_leader->pids[kind]);
}

static struct pid *own_pid_get(enum pid_kind kind)
{
	tasklist_read_lock();
	struct pid *p = pid_get(tty_own_pid(kind));
	tasklist_read_unlock();
	return p;
}

/* Takes over the caller's reference to @session and @pgrp, or forgets both. */
static void set_session(struct tty *t, struct pid *session, struct pid *pgrp)
{
	struct pid *old[2];
	u64 flags;

	spin_lock_irqsave(&t->lock, flags);
	old[0] = t->session;
	old[1] = t->pgrp;
	t->session = session;
	t->pgrp = pgrp;
	spin_unlock_irqrestore(&t->lock, flags);
	for (u32 i = 0; i < ARRAY_SIZE(old); i++)
		if (old[i])
			pid_put(old[i]);
}

void tty_set_controlling(struct tty *t)
{
	set_session(t, own_pid_get(PIDK_SID), own_pid_get(PIDK_PGID));
	tty_get(t);
	current->signal->tty = t;
}

int tty_check_background(struct tty *t, int sig)
{
	struct pid *foreground = READ_ONCE(t->pgrp), *mine;
	bool orphan;

	if (current->signal->tty != t || !foreground || foreground == tty_own_pid(PIDK_PGID))
		return 0;
	if ((current->blocked & sigmask(sig)) || current->sighand->action[sig - 1].handler == SIG_IGN)
		return sig == SIGTTIN ? -EIO : 0;
	tasklist_read_lock();
	mine = pid_get(tty_own_pid(PIDK_PGID));
	orphan = pgrp_is_orphaned(mine, NULL);
	tasklist_read_unlock();
	if (!orphan) {
		send_sig_pgrp(sig, mine);
		thread_set_flag(&current->thread, TIF_SIGPENDING); /* another thread may take it: this one starts the call again */
	}
	pid_put(mine);
	return orphan ? -EIO : -ERESTARTSYS;
}

/*
 * Takes the terminal away from every process of its session. The session holds one reference, taken by tty_set_controlling();
 * the pointers of its processes are not counted, they are all cleared here.
 * => tty_mutex held; the caller holds a reference of its own
 */
void tty_drop_session(struct tty *t)
{
	struct task *p;

	if (!t->session)
		return;
	tasklist_read_lock();
	for_each_process(p)
		if (p->signal->tty == t)
			p->signal->tty = NULL;
	tasklist_read_unlock();
	__atomic_fetch_sub(&t->refs, 1, __ATOMIC_RELEASE);
	set_session(t, NULL, NULL);
}

static void signal_foreground(struct tty *t, int sig)
{
	struct pid *g = t->pgrp;

	if (!g)
		return;
	pid_get(g);
	send_sig_pgrp(sig, g);
	send_sig_pgrp(SIGCONT, g);
	pid_put(g);
}

static void tty_wake_all(struct tty *t)
{
	wake_up_key(&t->read_wait, TASK_NORMAL, 0, 0, 0);
	wake_up_key(&t->write_wait, TASK_NORMAL, 0, 0, 0);
}

static void tty_mark_hung(struct tty *t)
{
	u64 flags;

	spin_lock_irqsave(&t->lock, flags);
	t->gen++;
	t->in_tail = t->canon_head = t->in_head;
	t->out_tail = t->out_head;
	t->termios = termios_default;
	spin_unlock_irqrestore(&t->lock, flags);
	tty_wake_all(t);
}

void tty_hangup(struct tty *t)
{
	tty_get(t);
	mutex_lock(&tty_mutex);
	if (t->session) {
		struct task *leader;

		rcu_read_lock();
		leader = task_find(t->session->nr);
		if (leader) {
			send_signal(SIGHUP, NULL, leader, true);
			send_signal(SIGCONT, NULL, leader, true);
		}
		rcu_read_unlock();
		signal_foreground(t, SIGHUP);
	}
	tty_drop_session(t);
	tty_mark_hung(t);
	mutex_unlock(&tty_mutex);
	tty_put(t);
}

void tty_session_exit(struct task *leader)
{
	mutex_lock(&tty_mutex);
	struct tty *t = leader->signal->tty;
	if (!t) {
		mutex_unlock(&tty_mutex);
		return;
	}
	tty_get(t);
	signal_foreground(t, SIGHUP);
	tty_drop_session(t);
	if (!t->link)
		tty_mark_hung(t); /* the next login starts clean */
	mutex_unlock(&tty_mutex);
	tty_put(t);
}

s32 task_tty_number(struct task *t, s32 *foreground)
{
	s32 nr = 0;

	*foreground = -1;
	mutex_lock(&tty_mutex); /* who lets a terminal go clears the pointers to it first, under this lock */
	struct tty *tty = t->signal->tty;
	if (tty) {
		u64 flags;

		nr = encode_dev(MKDEV(tty->major, tty->minor));
		spin_lock_irqsave(&tty->lock, flags);
		if (tty->pgrp)
			*foreground = tty->pgrp->nr;
		spin_unlock_irqrestore(&tty->lock, flags);
	}
	mutex_unlock(&tty_mutex);
	return nr;
}

/* File operations -------------------------------------------------------------------------------------------------------- */

static s64 tty_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct tty_file *tf = file_tty(f);

	if (READ_ONCE(tf->tty->gen) != tf->gen)
		return 0;
	int r = tf->tty->is_master ? 0 : tty_check_background(tf->tty, SIGTTIN);
	return r ? r : tty_ldisc_read(tf->tty, f, to, tf->gen);
}

static s64 tty_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	(void)pos;
	struct tty_file *tf = file_tty(f);

	if (READ_ONCE(tf->tty->gen) != tf->gen)
		return -EIO;
	if (tf->tty->termios.lflag & TOSTOP) {
		int r = tty_check_background(tf->tty, SIGTTOU);

		if (r)
			return r;
	}
	return tty_ldisc_write(tf->tty, f, from, tf->gen);
}

static u32 tty_poll(struct file *f, struct poll_table *pt)
{
	struct tty_file *tf = file_tty(f);
	struct tty *t = tf->tty;
	u32 ev = 0;

	poll_wait(f, &t->read_wait, pt);
	poll_wait(f, &t->write_wait, pt);
	smp_mb(); /* queued before the rings are read */
	if (tty_input_available(t))
		ev |= POLLIN | POLLRDNORM;
	if (READ_ONCE(t->gen) != tf->gen || (t->link && READ_ONCE(t->other_closed)))
		return ev | POLLHUP | POLLIN | POLLRDNORM | (t->is_master ? 0 : POLLERR);
	if (TTY_BUF - tty_out_used(t) > TTY_BUF / 4)
		ev |= POLLOUT | POLLWRNORM;
	return ev;
}

static void tty_release(struct inode *i, struct file *f)
{
	(void)i;
	struct tty_file *tf = file_tty(f);
	struct tty *t = tf->tty;

	mutex_lock(&tty_mutex);
	bool last = --t->opens == 0;
	if (last)
		t->exclusive = false;
	mutex_unlock(&tty_mutex);
	if (last && t->drv->last_close)
		t->drv->last_close(t);
	tty_put(t);
	kfree(tf);
}

static int tty_open(struct inode *i, struct file *f);

const struct file_ops tty_fops = {
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.fasync = poll_fasync,
	.ioctl = tty_ioctl,
	.open = tty_open,
	.release = tty_release,
};

/* Opening ------------------------------------------------------------------------------------------------------------------ */

#define MAX_LINES 32
static struct tty *lines[MAX_LINES]; /* console lines; only grows, at boot */
static u32 nlines;
static struct tty *console_tty; /* what /dev/console means */

static struct tty *line_find(u64 rdev)
{
	for (u32 i = 0; i < nlines; i++)
		if (MKDEV(lines[i]->major, lines[i]->minor) == rdev)
			return lines[i];
	return NULL;
}

static struct tty *tty_of_node(u64 rdev, bool *noctty)
{
	*noctty = false;
	if (rdev == MKDEV(5, 0)) {
		*noctty = true;
		return current->signal->tty;
	}
	if (rdev == MKDEV(5, 1)) {
		*noctty = true;
		return console_tty;
	}
	if (rdev == MKDEV(4, 0))
		rdev = MKDEV(4, 1);
	return line_find(rdev);
}

static int tty_open(struct inode *i, struct file *f)
{
	bool noctty;

	mutex_lock(&tty_mutex);
	struct tty *t = tty_of_node(i->rdev, &noctty);
	int r = t ? tty_attach_file(t, f) : -ENXIO;
	if (!r && !noctty && !(f->flags & O_NOCTTY) && current->signal->leader && !current->signal->tty && !t->session)
		tty_set_controlling(t);
	mutex_unlock(&tty_mutex);
	return r;
}

/* Console lines ---------------------------------------------------------------------------------------------------------------- */

static void line_kick(struct tty *t)
{
	struct tty_backend *b = t->driver_data;
	const u8 *p;
	u32 n;

	while ((n = tty_out_peek(t, &p))) {
		u32 took = b->write(b, p, n);

		tty_out_skip(t, took);
		if (took < n)
			break;
	}
}

static void line_set_termios(struct tty *t)
{
	struct tty_backend *b = t->driver_data;

	if (b->set_termios)
		b->set_termios(b, t->termios.cflag, t->ospeed);
}

static const struct tty_driver line_driver = { .kick = line_kick, .set_termios = line_set_termios };

int tty_backend_register(struct tty_backend *b)
{
	struct tty *t = nlines < MAX_LINES ? tty_alloc(&line_driver, b->major, b->minor) : NULL;

	if (!t)
		return -ENOMEM;
	t->driver_data = b;
	t->winsize = (struct winsize_k){ 24, 80, 0, 0 };
	if (b->winsize)
		b->winsize(b, &t->winsize.row, &t->winsize.col);
	lines[nlines++] = t;
	b->tty = t;
	return chrdev_register(b->major, b->minor, 1, b->name, 0620, &tty_fops, t);
}

void tty_backend_input(struct tty_backend *b, const u8 *s, u32 n)
{
	if (b->tty)
		tty_input(b->tty, s, n);
}

void tty_backend_wakeup(struct tty_backend *b)
{
	struct tty *t = b->tty;
	u64 flags;

	if (!t)
		return;
	spin_lock_irqsave(&t->lock, flags);
	line_kick(t);
	spin_unlock_irqrestore(&t->lock, flags);
	tty_out_wake(t);
}

/* The console is the last console= of the command line that exists, else the first serial line, else the screen. */
static struct tty *console_choose(void)
{
	char name[32];
	struct tty *best = nlines ? lines[0] : NULL;
	int n = cmdline_get("console", name, sizeof(name));

	for (u32 i = 0; i < nlines; i++) {
		struct tty_backend *b = lines[i]->driver_data;

		if (n > 0 && !strncmp(name, b->name, strlen(b->name)))
			return lines[i];
		if (lines[i]->major == 4 && lines[i]->minor == 64)
			best = lines[i];
	}
	return best;
}

void tty_init(void)
{
	console_tty = console_choose();
	chrdev_register(5, 0, 1, "tty", 0666, &tty_fops, NULL);
	chrdev_register(5, 1, 1, "console", 0600, &tty_fops, NULL);
	if (line_find(MKDEV(4, 1)))
		chrdev_register(4, 0, 1, "tty0", 0620, &tty_fops, NULL);
	if (pty_init())
		pr_err("tty: no memory for pseudo terminals\n");
}
