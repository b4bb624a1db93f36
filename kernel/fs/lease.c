/*
 * Leases (fcntl(2), F_SETLEASE): the holder is told before another open or truncation changes the file under it, and has
 * lease-break-time seconds to put its things in order.
 *
 * A lease belongs to an open file and hangs on its inode. Whoever opens the file in a way that conflicts marks it as breaking to what
 * may stay (nothing, or a read lease), signals the holder once, and sleeps on the inode's queue until the lease is lowered, removed
 * or out of time, when it is lowered for the holder. Rare: one lock for all, and inode->leases is all that an open looks at.
 * Lock: lease_lock, under nothing but the caller's mutexes; signals are sent under it (-> tasklist, sighand).
 */
#include <fs/internal.h>
#include <kernel/time.h>
#include <mm/slab.h>
#include <proc/task.h>

#define CAP_LEASE 28
#define NOT_BREAKING 0xff
#define POLL_MSG 3

struct lease {
	struct lease *next;
	struct file *file; /* no reference: its last put removes the lease */
	int fd;
	u8 type, target; /* F_RDLCK, F_WRLCK; what it breaks to */
	u64 deadline; /* monotonic; U64_MAX: none */
};

static DEFINE_SPINLOCK(lease_lock);
u64 lease_break_time = 45; /* seconds; sysctl fs.lease-break-time */

static struct lease *lease_of(struct file *f)
{
	struct lease *l;

	for (l = f->inode->leases; l && l->file != f; l = l->next)
		;
	return l;
}

static void lease_remove(struct inode *i, struct lease *l)
{
	struct lease **p;

	for (p = &i->leases; *p != l; p = &(*p)->next)
		;
	WRITE_ONCE(*p, l->next);
	kfree(l);
}

static void lease_lower(struct inode *i, struct lease *l, int type)
{
	if (type == F_UNLCK) {
		lease_remove(i, l);
	} else {
		l->type = type;
		l->target = NOT_BREAKING;
	}
	wake_up_all(&i->lease_wait);
}

/* ---- fcntl ---- */

/* May @f have a lease of @type, as far as other open files go? A write lease wants to be the only one. */
static bool opens_allow(struct file *f, int type)
{
	struct dentry *d = f->path.dentry;

	if (type == F_RDLCK)
		return f->inode->writers <= 0;
	return READ_ONCE(d->refs) - (d->flags & DENTRY_PINNED ? 1 : 0) <= 1 && f->inode->writers <= (f->fmode & FMODE_WRITE ? 1 : 0);
}

static int lease_set(struct file *f, int fd, int type, struct lease **fresh)
{
	struct inode *i = f->inode;
	struct lease *l, *mine = lease_of(f);

	if (!opens_allow(f, type))
		return -EAGAIN;
	for (l = i->leases; l; l = l->next) {
		if (l->target == F_UNLCK || (type == F_WRLCK && l->target != NOT_BREAKING))
			return -EAGAIN;
		if (l != mine && (type == F_WRLCK || l->type == F_WRLCK))
			return -EAGAIN;
	}
	if (mine) {
		mine->type = type;
		mine->fd = fd;
		return 0;
	}
	l = *fresh;
	*fresh = NULL;
	*l = (struct lease){ .next = i->leases, .file = f, .fd = fd, .type = type, .target = NOT_BREAKING };
	WRITE_ONCE(i->leases, l);
	if (!f->owner_pid)
		f->owner_pid = current->tgid;
	return 0;
}

int do_setlease(struct file *f, int fd, int type)
{
	struct inode *i = f->inode;
	struct lease *l, *fresh = NULL;
	int err = 0;

	if (current_cred()->fsuid != i->uid && !capable(CAP_LEASE))
		return -EACCES;
	if (!S_ISREG(i->mode) || (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK))
		return -EINVAL;
	if (type != F_UNLCK) {
		fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return -ENOMEM;
	}
	spin_lock(&lease_lock);
	if (type != F_UNLCK)
		err = lease_set(f, fd, type, &fresh);
	else if ((l = lease_of(f)))
		lease_lower(i, l, F_UNLCK);
	else
		err = -EAGAIN;
	if (!err && type == F_RDLCK) { /* a broken write lease that became a read lease */
		l = lease_of(f);
		lease_lower(i, l, F_RDLCK);
	}
	spin_unlock(&lease_lock);
	kfree(fresh);
	return err;
}

int do_getlease(struct file *f)
{
	struct lease *l;
	int type = F_UNLCK;

	spin_lock(&lease_lock);
	l = lease_of(f);
	if (l)
		type = l->target != NOT_BREAKING ? l->target : l->type;
	spin_unlock(&lease_lock);
	return type;
}

void lease_file_closed(struct file *f)
{
	struct lease *l;

	spin_lock(&lease_lock);
	l = lease_of(f);
	if (l)
		lease_lower(f->inode, l, F_UNLCK);
	spin_unlock(&lease_lock);
}

/* ---- breaking ---- */

/* Marks what conflicts, lowers what is out of time. The latest deadline that is left, 0: nothing conflicts. => lease_lock */
static u64 lease_press(struct inode *i, bool write)
{
	struct lease *l, *next;
	int target = write ? F_UNLCK : F_RDLCK;
	u64 now = ktime_ns(), until = 0;

	for (l = i->leases; l; l = next) {
		next = l->next;
		if (!write && l->type != F_WRLCK)
			continue;
		if (l->target == NOT_BREAKING) {
			l->deadline = lease_break_time ? now + lease_break_time * NSEC_PER_SEC : U64_MAX;
			l->target = target;
			file_send_sigio(l->file, l->fd, POLL_MSG, POLLIN | POLLRDNORM | POLLMSG);
		} else if (write) {
			l->target = F_UNLCK;
		}
		if (now >= l->deadline)
			lease_lower(i, l, l->target);
		else
			until = max(until, l->deadline);
	}
	return until;
}

int lease_break(struct inode *i, bool write, bool nonblock)
{
	int err = 0;
	u64 until;

	spin_lock(&lease_lock);
	while (!err && (until = lease_press(i, write))) {
		if (nonblock) {
			err = -EAGAIN;
			break;
		}
		DEFINE_WAIT(e);
		prepare_to_wait(&i->lease_wait, &e, TASK_INTERRUPTIBLE);
		spin_unlock(&lease_lock);
		if (signal_pending_current())
			err = -ERESTARTSYS;
		else
			schedule_until(until);
		finish_wait(&i->lease_wait, &e);
		spin_lock(&lease_lock);
	}
	spin_unlock(&lease_lock);
	return err;
}
