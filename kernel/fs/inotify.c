/*
 * inotify(7).
 *
 * A watch ties an inode to an instance; it holds no reference on the inode: the inode's end removes it (IN_DELETE_SELF,
 * IN_IGNORED). Events are queued where they happen: hooks in the name and data operations call fsnotify(), which is one load while
 * nobody in the system watches anything. One spinlock covers all watch lists and queues: watching is rare and events are short.
 * An event that equals the last one still queued is not repeated; a full queue gets one IN_Q_OVERFLOW.
 */
#include <fs/dnotify.h>
#include <fs/handle.h>
#include <fs/inotify.h>
#include <fs/internal.h>
#include <fs/poll.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

#define IN_ALL_EVENTS 0xfffu

struct event {
	struct list_head link;
	s32 wd;
	u32 mask, cookie, len; /* len: padded name, 0 none */
	char name[];
};
struct watch {
	struct list_head link; /* instance->watches */
	struct watch *next; /* of the inode */
	struct inode *inode;
	struct instance *owner;
	s32 wd;
	u32 mask;
};
struct instance {
	struct list_head watches, events;
	u32 queued, max_queued; /* max_queued: (I) as the sysctl was */
	s32 next_wd;
	struct inotify_user *user;
	wait_queue_t wait;
};
/* What one user has; entries stay. */
struct inotify_user {
	struct inotify_user *next;
	uid_t uid;
	u32 instances, watches;
};
struct user_event { s32 wd; u32 mask, cookie, len; };

u32 fsnotify_watches;
u64 inotify_max_queued_events = 16384, inotify_max_user_instances = 128, inotify_max_user_watches = 65536;
static struct inotify_user *users; /* (watch_lock) */
static DEFINE_SPINLOCK(watch_lock); /* everything above */

/* ---- queueing. => watch_lock ---- */

static bool same_as_last(struct instance *in, s32 wd, u32 mask, u32 cookie, const char *name, u32 n)
{
	if (list_empty(&in->events))
		return false;
	struct event *e = list_last_entry(&in->events, struct event, link);

	return e->wd == wd && e->mask == mask && !cookie && !e->cookie && (n ? e->len && strlen(e->name) == n && !memcmp(e->name, name, n) : !e->len);
}

static void queue_event(struct instance *in, s32 wd, u32 mask, u32 cookie, const char *name, u32 n)
{
	u32 len = n ? ALIGN(n + 1, sizeof(struct user_event)) : 0;

	if (in->queued > in->max_queued || same_as_last(in, wd, mask, cookie, name, n))
		return;
	if (in->queued == in->max_queued) {
		wd = -1;
		mask = IN_Q_OVERFLOW;
		cookie = len = n = 0;
	}
	struct event *e = kzalloc(sizeof(*e) + len, GFP_ATOMIC);

	if (!e)
		return;
	e->wd = wd;
	e->mask = mask;
	e->cookie = cookie;
	e->len = len;
	memcpy(e->name, name, n);
	list_add_tail(&e->link, &in->events);
	in->queued++;
	wake_up_poll(&in->wait, POLLIN | POLLRDNORM);
}

static void watch_unlink(struct watch *w)
{
	struct watch **pp = (struct watch **)&w->inode->watches;

	while (*pp != w)
		pp = &(*pp)->next;
	*pp = w->next;
	list_del(&w->link);
	__atomic_fetch_sub(&fsnotify_watches, 1, __ATOMIC_RELAXED);
	w->owner->user->watches--;
	kfree(w);
}

static void watch_end(struct watch *w)
{
	queue_event(w->owner, w->wd, IN_IGNORED, 0, NULL, 0);
	watch_unlink(w);
}

static void notify_inode(struct inode *i, u32 mask, u32 cookie, const char *name, u32 n, u32 isdir)
{
	struct watch *w, *next;

	for (w = i->watches; w; w = next) {
		next = w->next;
		if (!(w->mask & mask))
			continue;
		queue_event(w->owner, w->wd, mask | isdir, cookie, name, n);
		if (w->mask & IN_ONESHOT)
			watch_end(w);
	}
}

void fsnotify_slow(struct dentry *d, u32 mask, u32 cookie)
{
	const u32 of_dir = FS_MOVED_FROM | FS_MOVED_TO | FS_CREATE | FS_DELETE, of_self = FS_DELETE_SELF | FS_MOVE_SELF;
	struct inode *i = d->inode;
	u32 isdir = i && S_ISDIR(i->mode) ? IN_ISDIR : 0;

	spin_lock(&watch_lock);
	struct inode *dir = d->parent->inode; /* our reference on d keeps its parent */
	bool named = d->parent != d && !(mask & of_self) && (d->flags & DENTRY_HASHED || mask & of_dir);

	if (named && dir && dir->watches)
		notify_inode(dir, mask, cookie, d->name.name, d->name.len, isdir);
	if (!(mask & of_dir) && i && i->watches)
		notify_inode(i, mask, cookie, NULL, 0, mask & of_self ? 0 : isdir); /* what happens to itself needs no telling */
	spin_unlock(&watch_lock);
	if (unlikely(READ_ONCE(dnotify_marks))) {
		if (named && dir)
			dnotify_event(dir, mask);
		if (!(mask & of_dir) && isdir)
			dnotify_event(i, mask);
	}
}

void fsnotify_inode_gone(struct inode *i)
{
	struct watch *w;

	spin_lock(&watch_lock);
	if (!i->nlink || (S_ISDIR(i->mode) && i->flags & I_DEAD))
		notify_inode(i, FS_DELETE_SELF, 0, NULL, 0, 0);
	while ((w = i->watches))
		watch_end(w);
	spin_unlock(&watch_lock);
}

/* ---- the file ---- */

/* Copies the oldest event out. Bytes, 0 none, -EINVAL too small, -EFAULT. */
static s64 take_event(struct instance *in, struct iov_iter *to)
{
	spin_lock(&watch_lock);
	struct event *e = list_first_entry_or_null(&in->events, struct event, link);

	if (!e || sizeof(struct user_event) + e->len > to->count) {
		spin_unlock(&watch_lock);
		return e ? -EINVAL : 0;
	}
	list_del(&e->link);
	in->queued--;
	spin_unlock(&watch_lock);
	struct user_event u = { e->wd, e->mask, e->cookie, e->len };
	s64 n = sizeof(u) + e->len;

	if (copy_to_iter(to, &u, sizeof(u)) < sizeof(u) || copy_to_iter(to, e->name, e->len) < e->len)
		n = -EFAULT;
	kfree(e);
	return n;
}

static s64 inotify_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct instance *in = f->private;
	s64 done = 0;

	for (;;) {
		s64 n = take_event(in, to);
		if (n < 0)
			return done ? done : n;
		done += n;
		if (n)
			continue;
		if (done)
			return done;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_event_interruptible(in->wait, !list_empty(&in->events));
		if (err)
			return err;
	}
}

static u32 inotify_poll(struct file *f, struct poll_table *pt)
{
	struct instance *in = f->private;

	poll_wait(f, &in->wait, pt);
	return list_empty(&in->events) ? 0 : POLLIN | POLLRDNORM;
}

static long inotify_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct instance *in = f->private;
	struct event *e;
	int n = 0;

	if (cmd != FIONREAD)
		return -ENOTTY;
	spin_lock(&watch_lock);
	list_for_each_entry(e, &in->events, link)
		n += sizeof(struct user_event) + e->len;
	spin_unlock(&watch_lock);
	return put_user(n, (int __user *)arg);
}

static void inotify_release(struct inode *i, struct file *f)
{
	struct instance *in = f->private;
	struct watch *w, *wn;
	struct event *e, *en;

	if (!in)
		return;
	spin_lock(&watch_lock);
	list_for_each_entry_safe(w, wn, &in->watches, link)
		watch_unlink(w);
	in->user->instances--;
	spin_unlock(&watch_lock);
	list_for_each_entry_safe(e, en, &in->events, link)
		kfree(e);
	kfree(in);
}

/* The handle of what is watched, as checkpointing tools look for it; nothing where there are no handles. */
static void show_handle(struct seq_buf *s, const struct inode *i)
{
	struct handle_body b = handle_of(i);
	const u8 *p = (const u8 *)&b;

	if (!i->super->ops->by_number)
		return;
	seq_printf(s, "fhandle-bytes:%x fhandle-type:%x f_handle:", (u32)sizeof(b), HANDLE_TYPE);
	for (u32 n = 0; n < sizeof(b); n++)
		seq_printf(s, "%02x", p[n]);
}

static void inotify_fdinfo(struct file *f, struct seq_buf *s)
{
	struct instance *in = f->private;
	struct watch *w;

	spin_lock(&watch_lock);
	list_for_each_entry(w, &in->watches, link) {
		seq_printf(s, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:0 ", w->wd, (unsigned long long)w->inode->ino,
			   (u32)w->inode->super->dev, w->mask);
		show_handle(s, w->inode);
		seq_puts(s, "\n");
	}
	spin_unlock(&watch_lock);
}

static const struct file_ops inotify_fops = {
	.read = inotify_read,
	.poll = inotify_poll,
	.fasync = poll_fasync,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
	.show_fdinfo = inotify_fdinfo,
};

/* Counts one more instance of the caller's user. -EMFILE, -ENOMEM */
static int user_enter(struct instance *in)
{
	struct inotify_user *u, *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	uid_t uid = current_cred()->euid;
	int err = 0;

	if (!fresh)
		return -ENOMEM;
	spin_lock(&watch_lock);
	for (u = users; u && u->uid != uid; u = u->next)
		;
	if (!u) {
		u = fresh;
		fresh = NULL;
		u->uid = uid;
		u->next = users;
		users = u;
	}
	if (u->instances >= inotify_max_user_instances)
		err = -EMFILE;
	else
		u->instances++;
	in->user = u;
	spin_unlock(&watch_lock);
	kfree(fresh);
	return err;
}

int do_inotify_init(u32 flags)
{
	struct instance *in = kzalloc(sizeof(*in), GFP_KERNEL);
	int err = in ? user_enter(in) : -ENOMEM;

	if (err) {
		kfree(in);
		return err;
	}
	in->max_queued = inotify_max_queued_events;
	INIT_LIST_HEAD(&in->watches);
	INIT_LIST_HEAD(&in->events);
	init_wait_queue(&in->wait);
	in->next_wd = 1;
	struct file *f = anon_file("inotify", &inotify_fops, in, O_RDONLY | (flags & O_NONBLOCK));

	if (IS_ERR(f)) {
		spin_lock(&watch_lock);
		in->user->instances--;
		spin_unlock(&watch_lock);
		kfree(in);
		return PTR_ERR(f);
	}
	return fd_open_file(f, flags);
}

static struct watch *watch_of(struct instance *in, const struct inode *i)
{
	for (struct watch *w = i->watches; w; w = w->next)
		if (w->owner == in)
			return w;
	return NULL;
}

static int add_watch(struct instance *in, struct inode *i, u32 mask)
{
	struct watch *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);

	if (!fresh)
		return -ENOMEM;
	spin_lock(&watch_lock);
	struct watch *w = watch_of(in, i);
	int wd;

	if (w && mask & IN_MASK_CREATE) {
		wd = -EEXIST;
	} else if (w) {
		w->mask = (mask & IN_MASK_ADD ? w->mask : 0) | (mask & (IN_ALL_EVENTS | IN_ONESHOT));
		wd = w->wd;
	} else if (in->user->watches >= inotify_max_user_watches) {
		wd = -ENOSPC;
	} else {
		w = fresh;
		fresh = NULL;
		in->user->watches++;
		*w = (struct watch){ .inode = i, .owner = in, .wd = in->next_wd++, .mask = mask & (IN_ALL_EVENTS | IN_ONESHOT), .next = i->watches };
		i->watches = w;
		list_add_tail(&w->link, &in->watches);
		__atomic_fetch_add(&fsnotify_watches, 1, __ATOMIC_RELAXED);
		wd = w->wd;
	}
	spin_unlock(&watch_lock);
	kfree(fresh);
	return wd;
}

int do_inotify_add(struct file *f, const char __user *name, u32 mask)
{
	struct path p;

	if (mask & IN_MASK_ADD && mask & IN_MASK_CREATE)
		return -EINVAL;
	if (f->ops != &inotify_fops)
		return -EINVAL;
	int err = user_path(AT_FDCWD, name, (mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW) | (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0), &p);
	if (err)
		return err;
	err = inode_permission(p.dentry->inode, MAY_READ);
	if (!err)
		err = add_watch(f->private, p.dentry->inode, mask);
	path_put(&p);
	return err;
}

int do_inotify_remove(struct file *f, int wd)
{
	struct watch *w;
	int err = -EINVAL;

	if (f->ops != &inotify_fops)
		return -EINVAL;
	struct instance *in = f->private;

	spin_lock(&watch_lock);
	list_for_each_entry(w, &in->watches, link)
		if (w->wd == wd) {
			watch_end(w);
			err = 0;
			break;
		}
	spin_unlock(&watch_lock);
	return err;
}
