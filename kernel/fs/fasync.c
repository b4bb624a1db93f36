/*
 * Signal-driven I/O (fcntl(2), F_SETOWN, F_SETSIG, O_ASYNC).
 *
 * A file with O_ASYNC keeps an entry on each wait queue its poll registers; the entry's function sends the signal. So every kind
 * of file that can be polled can have it by naming poll_fasync in its operations, and nothing is added to the path of files
 * that do not use it.
 *
 * The function runs under the queue's lock, which may be taken in interrupt context. What it takes: the task list (for groups) and a
 * sighand lock, both of which are outside no file's queue but signalfd's, which therefore must not name poll_fasync; nor may
 * epoll, whose queue is woken under those of the files it watches.
 */
#include <fs/internal.h>
#include <fs/poll.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/impl.h>

#define FASYNC_QUEUES 4

struct fasync {
	struct poll_table pt; /* first: the queue function finds the rest */
	struct file *file; /* no reference: the file's release takes this down */
	int fd;
	u32 n;
	struct { struct wait_entry wait; wait_queue_t *queue; } e[FASYNC_QUEUES];
};

static void signal_one(struct task *t, int sig, const siginfo_t *info, bool group, const struct cred *from)
{
	const struct cred *c = t->cred;

	if (from->euid && from->euid != c->suid && from->euid != c->uid && from->uid != c->suid && from->uid != c->uid)
		return;
	if (send_signal(sig, info, t, group) == -EAGAIN)
		send_signal(SIGIO, NULL, t, group); /* the queue was full */
}

void file_send_sigio(struct file *f, int fd, int code, u64 band)
{
	int pid = READ_ONCE(f->owner_pid), sig = f->owner_sig ?: SIGIO;
	siginfo_t info = { .si_signo = sig, .si_code = code, .band = band, .fd = fd };
	const siginfo_t *with = f->owner_sig ? &info : NULL;
	struct task *t;
	u64 flags;

	if (!pid)
		return;
	if (pid > 0) {
		rcu_read_lock();
		t = task_find(pid);
		if (t)
			signal_one(t, sig, with, !f->owner_thread, f->cred);
		rcu_read_unlock();
		return;
	}
	tasklist_read_lock_irqsave(flags);
	struct pid *p = pid_find(-pid);
	if (p)
		for_each_pid_task(t, p, PIDK_PGID)
			signal_one(t, sig, with, true, f->cred);
	tasklist_read_unlock_irqrestore(flags);
}

static int fasync_woken(struct wait_entry *w, unsigned mode, int sync, u64 key)
{
	struct fasync *a = w->private;
	u64 bits = key ?: POLLIN | POLLRDNORM;

	(void)mode;
	(void)sync;
	if (bits & (POLLIN | POLLRDNORM))
		file_send_sigio(a->file, a->fd, 1, POLLIN | POLLRDNORM); /* POLL_IN */
	else if (bits & (POLLOUT | POLLWRNORM))
		file_send_sigio(a->file, a->fd, 2, POLLOUT | POLLWRNORM | POLLWRBAND); /* POLL_OUT */
	else if (bits & POLLERR)
		file_send_sigio(a->file, a->fd, 4, POLLERR);
	else
		file_send_sigio(a->file, a->fd, 6, POLLHUP | POLLERR);
	return 0;
}

static void fasync_hook(struct poll_table *pt, struct file *f, wait_queue_t *q)
{
	struct fasync *a = container_of(pt, struct fasync, pt);

	(void)f;
	if (a->n == FASYNC_QUEUES)
		return;
	a->e[a->n].queue = q;
	a->e[a->n].wait = (struct wait_entry){ .func = fasync_woken, .private = a };
	INIT_LIST_HEAD(&a->e[a->n].wait.link);
	add_wait_queue(q, &a->e[a->n].wait);
	a->n++;
}

static void fasync_free(struct fasync *a)
{
	for (u32 i = 0; i < a->n; i++)
		remove_wait_queue(a->e[i].queue, &a->e[i].wait);
	kfree(a);
}

int poll_fasync(int fd, struct file *f, int on)
{
	struct fasync *a = NULL, *old;

	if (on) {
		a = kzalloc(sizeof(*a), GFP_KERNEL);
		if (!a)
			return -ENOMEM;
		a->pt.queue = fasync_hook;
		a->pt.key = ~0u;
		a->file = f;
		a->fd = fd;
	}
	spin_lock(&f->lock);
	old = f->fasync;
	f->fasync = a;
	spin_unlock(&f->lock);
	if (old)
		fasync_free(old);
	if (a)
		vfs_poll(f, &a->pt);
	return 0;
}
