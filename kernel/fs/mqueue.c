/*
 * POSIX message queues (mq_overview(7)): files of a file system of their own, which programs reach by mq_open and, where it is
 * mounted, by name. One instance: every mount shows the same directory.
 *
 * A queue keeps its messages sorted by priority, oldest first among equals, and two lists of waiters, highest scheduling
 * priority first: at most one of them is not empty. Messages are handed over, never stolen: a sender that finds a receiver
 * waiting gives it the message; a receiver that frees a place puts the first waiting sender's message in. So a waiter is done
 * when somebody says so (->ready), and its message is where it belongs.
 *
 * mq->lock covers all of a queue; waiters lie on their owners' stacks and are touched under the lock only. A queue lives as
 * long as its inode. Its greatest possible size is charged to its maker when it is made (RLIMIT_MSGQUEUE).
 */
#include <fs/fdtable.h>
#include <fs/internal.h>
#include <fs/mqueue.h>
#include <fs/poll.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/impl.h>
#include <x86/uaccess.h>

#define MQUEUE_MAGIC 0x19800202
#define HARD_MSGMAX 65536
#define HARD_MSGSIZEMAX (16 << 20)
#define SIZE_SHOWN 80
#define MESSAGE_COST 48 /* what Linux counts beside the bytes, per message and per priority */

struct mq_limits mq_limits = { .queues_max = 256, .msg_max = 10, .msgsize_max = 8192, .msg_default = 10, .msgsize_default = 8192 };

struct message {
	struct list_head link;
	u32 prio;
	u64 len;
	u8 data[];
};

struct waiter {
	struct list_head link;
	struct thread *thread;
	struct message *msg; /* a sender's, until it is put in; a receiver's, once it is there */
	s32 prio;
	bool ready;
};

struct mq {
	spinlock_t lock;
	struct list_head messages, senders, receivers;
	s64 max, size, count;
	u64 bytes; /* queued */
	u64 charge; /* (I) */
	struct user *user; /* (I) who is charged, referenced */
	wait_queue_t poll_wait;
	struct pid *notify_pid; /* NULL: nobody */
	s32 notify_how, notify_sig;
	u64 notify_value;
	uid_t notify_uid;
};

static s32 queues; /* (a) */
static struct mount *mq_mnt;
static struct super *mq_super;
static const struct file_ops mq_fops;
static const struct inode_ops mq_file_iops, mq_dir_iops;

/* ---- queues ---- */

static int attr_check(const struct mq_attr *a)
{
	if (a->maxmsg <= 0 || a->msgsize <= 0 || a->maxmsg > HARD_MSGMAX || a->msgsize > HARD_MSGSIZEMAX)
		return -EINVAL;
	if (!capable(CAP_SYS_RESOURCE) && ((u64)a->maxmsg > mq_limits.msg_max || (u64)a->msgsize > mq_limits.msgsize_max))
		return -EINVAL;
	return 0;
}

static u64 charge_of(const struct mq_attr *a)
{
	return (u64)a->maxmsg * (u64)a->msgsize + (u64)(a->maxmsg + min_t(s64, a->maxmsg, MQ_PRIO_MAX)) * MESSAGE_COST;
}

static struct mq *mq_alloc(const struct mq_attr *a, int *err)
{
	struct user *u = current_cred()->user;
	u64 charge = charge_of(a);
	struct mq *q;

	*err = -EMFILE;
	if (__atomic_add_fetch(&u->mq_bytes, charge, __ATOMIC_RELAXED) > rlimit_current(RLIMIT_MSGQUEUE))
		goto uncharge;
	*err = -ENOMEM;
	q = kzalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		goto uncharge;
	spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->messages);
	INIT_LIST_HEAD(&q->senders);
	INIT_LIST_HEAD(&q->receivers);
	init_wait_queue(&q->poll_wait);
	q->max = a->maxmsg;
	q->size = a->msgsize;
	q->charge = charge;
	q->user = user_get(u);
	return q;
uncharge:
	__atomic_fetch_sub(&u->mq_bytes, charge, __ATOMIC_RELAXED);
	return NULL;
}

static void mq_free(struct mq *q)
{
	struct message *m, *n;

	list_for_each_entry_safe(m, n, &q->messages, link)
		kfree(m);
	__atomic_fetch_sub(&q->user->mq_bytes, q->charge, __ATOMIC_RELAXED);
	user_put(q->user);
	if (q->notify_pid)
		pid_put(q->notify_pid);
	kfree(q);
}

/* A new queue under a negative name. => directory's rwsem for writing */
static int make_queue(struct inode *dir, struct dentry *d, u32 mode, const struct mq_attr *a)
{
	struct mq *q;
	struct inode *i;
	int err;

	if (__atomic_add_fetch(&queues, 1, __ATOMIC_RELAXED) > (s64)mq_limits.queues_max && !capable(CAP_SYS_RESOURCE)) {
		err = -ENOSPC;
		goto uncount;
	}
	q = mq_alloc(a, &err);
	if (!q)
		goto uncount;
	i = inode_new(dir->super, mode);
	if (!i) {
		mq_free(q);
		err = -ENOMEM;
		goto uncount;
	}
	i->ops = &mq_file_iops;
	i->fops = &mq_fops;
	i->private = q;
	inode_set_size(i, SIZE_SHOWN);
	dir->mtime = dir->ctime = current_time();
	dentry_add_pinned(d, i);
	return 0;
uncount:
	__atomic_fetch_sub(&queues, 1, __ATOMIC_RELAXED);
	return err;
}

static void default_attr(struct mq_attr *a)
{
	a->maxmsg = (s64)min_t(u64, mq_limits.msg_max, mq_limits.msg_default);
	a->msgsize = (s64)min_t(u64, mq_limits.msgsize_max, mq_limits.msgsize_default);
}

static int mq_create(struct inode *dir, struct dentry *d, u32 mode)
{
	struct mq_attr a;

	default_attr(&a);
	return make_queue(dir, d, mode, &a);
}

static int mq_dir_unlink(struct inode *dir, struct dentry *d)
{
	dir->mtime = dir->ctime = current_time();
	d->inode->nlink--;
	return 0;
}

static void mq_evict(struct inode *i)
{
	if (i->private && S_ISREG(i->mode)) {
		mq_free(i->private);
		i->private = NULL;
		__atomic_fetch_sub(&queues, 1, __ATOMIC_RELAXED);
	}
}

/* ---- notification ---- */

/* => q->lock */
static void forget_notify(struct mq *q)
{
	struct pid *p = q->notify_pid;

	q->notify_pid = NULL;
	if (p)
		pid_put(p);
}

/* A message came to an empty queue that nobody reads. Once. => q->lock */
static void notify(struct mq *q)
{
	siginfo_t info;

	if (!q->notify_pid)
		return;
	if (q->notify_how == SIGEV_SIGNAL && q->notify_sig) {
		siginfo_clear(&info);
		info.si_signo = q->notify_sig;
		info.si_code = SI_MESGQ;
		info.value = q->notify_value;
		info.pid = current->tgid;
		info.uid = current_cred()->uid;
		rcu_read_lock();
		struct task *t = pid_task(q->notify_pid, PIDK_TGID);
		if (t)
			send_signal(q->notify_sig, &info, t, true);
		rcu_read_unlock();
	}
	forget_notify(q);
}

int mq_set_notify(struct file *f, const struct mq_notify *n)
{
	struct mq *q = f->private;
	struct pid *me = current->group_leader->pids[PIDK_PID];
	int err = 0;

	spin_lock(&q->lock);
	if (!n) {
		if (q->notify_pid == me)
			forget_notify(q);
	} else if (q->notify_pid) {
		err = -EBUSY;
	} else {
		q->notify_pid = pid_get(me);
		q->notify_how = n->how;
		q->notify_sig = n->sig;
		q->notify_value = n->value;
	}
	spin_unlock(&q->lock);
	return err;
}

/* ---- sending and receiving; all => q->lock ---- */

static void put_in(struct mq *q, struct message *m)
{
	struct list_head *at = &q->messages;
	struct message *o;

	list_for_each_entry_reverse(o, &q->messages, link)
		if (o->prio >= m->prio) {
			at = &o->link;
			break;
		}
	list_add(&m->link, at);
	q->count++;
	q->bytes += m->len;
}

static struct message *take_first(struct mq *q)
{
	struct message *m = list_first_entry(&q->messages, struct message, link);

	list_del(&m->link);
	q->count--;
	q->bytes -= m->len;
	return m;
}

static struct waiter *first_waiter(struct list_head *l)
{
	return list_empty(l) ? NULL : list_first_entry(l, struct waiter, link);
}

static void finish_waiter(struct waiter *w)
{
	list_del_init(&w->link);
	w->ready = true;
	wake_thread(w->thread, TASK_NORMAL, 1);
}

static void enqueue_waiter(struct list_head *l, struct waiter *w)
{
	struct list_head *at = l;
	struct waiter *o;

	list_for_each_entry_reverse(o, l, link)
		if (o->prio >= w->prio) {
			at = &o->link;
			break;
		}
	list_add(&w->link, at);
}

/* Sleeps until somebody finishes it. 0, -ETIMEDOUT, -ERESTARTSYS. Lock dropped meanwhile. */
static int wait_on(struct mq *q, struct list_head *l, struct waiter *w, u64 deadline)
{
	int err = 0;

	w->thread = &current->thread;
	w->prio = current->thread.rt_priority;
	w->ready = false;
	enqueue_waiter(l, w);
	while (!w->ready && !err) {
		set_current_state(TASK_INTERRUPTIBLE);
		spin_unlock(&q->lock);
		bool late = schedule_until(deadline);
		spin_lock(&q->lock);
		if (!w->ready)
			err = signal_pending_current() ? -ERESTARTSYS : late ? -ETIMEDOUT : 0;
	}
	if (!w->ready)
		list_del(&w->link);
	return w->ready ? 0 : err;
}

static int send_locked(struct file *f, struct mq *q, struct message *m, u64 deadline)
{
	struct waiter self = { .msg = m }, *w;

	if (q->count == q->max)
		return f->flags & O_NONBLOCK ? -EAGAIN : wait_on(q, &q->senders, &self, deadline);
	w = first_waiter(&q->receivers);
	if (w) {
		w->msg = m;
		finish_waiter(w);
		return 0;
	}
	put_in(q, m);
	if (q->count == 1)
		notify(q);
	return 0;
}

int mq_send(struct file *f, const void __user *buf, u64 len, u32 prio, u64 deadline)
{
	struct mq *q = f->private;
	struct message *m;
	int err;

	if (len > (u64)q->size)
		return -EMSGSIZE;
	m = kmalloc(sizeof(*m) + len, GFP_KERNEL);
	if (!m)
		return -ENOMEM;
	m->prio = prio;
	m->len = len;
	if (copy_from_user(m->data, buf, len)) {
		kfree(m);
		return -EFAULT;
	}
	spin_lock(&q->lock);
	err = send_locked(f, q, m, deadline);
	spin_unlock(&q->lock);
	if (err)
		kfree(m);
	else
		wake_up_poll(&q->poll_wait, POLLIN | POLLRDNORM);
	f->inode->mtime = f->inode->ctime = current_time();
	return err;
}

static int receive_locked(struct file *f, struct mq *q, struct message **m, u64 deadline)
{
	struct waiter self = { .msg = NULL }, *w;
	int err;

	if (!q->count) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_on(q, &q->receivers, &self, deadline);
		*m = self.msg;
		return err;
	}
	*m = take_first(q);
	w = first_waiter(&q->senders);
	if (w) {
		put_in(q, w->msg);
		finish_waiter(w);
	}
	return 0;
}

s64 mq_receive(struct file *f, void __user *buf, u64 len, u32 __user *prio, u64 deadline)
{
	struct mq *q = f->private;
	struct message *m = NULL;
	s64 r;

	if (len < (u64)q->size)
		return -EMSGSIZE;
	spin_lock(&q->lock);
	r = receive_locked(f, q, &m, deadline);
	spin_unlock(&q->lock);
	if (r)
		return r;
	wake_up_poll(&q->poll_wait, POLLOUT | POLLWRNORM);
	f->inode->atime = current_time();
	r = (s64)m->len;
	if ((prio && put_user(m->prio, prio)) || copy_to_user(buf, m->data, m->len))
		r = -EFAULT;
	kfree(m);
	return r;
}

void mq_get_attr(struct file *f, struct mq_attr *a)
{
	struct mq *q = f->private;

	memset(a, 0, sizeof(*a));
	spin_lock(&q->lock);
	a->flags = f->flags & O_NONBLOCK;
	a->maxmsg = q->max;
	a->msgsize = q->size;
	a->curmsgs = q->count;
	spin_unlock(&q->lock);
}

/* ---- files ---- */

static int mq_file_open(struct inode *i, struct file *f)
{
	f->private = i->private;
	return 0;
}

static s64 mq_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct mq *q = f->private;
	char text[SIZE_SHOWN];

	spin_lock(&q->lock);
	struct pid *p = q->notify_pid;
	int n = snprintf(text, sizeof(text), "QSIZE:%-10llu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", (unsigned long long)q->bytes,
			 p ? q->notify_how : 0, p && q->notify_how == SIGEV_SIGNAL ? q->notify_sig : 0, p ? p->nr : 0);
	spin_unlock(&q->lock);
	if (*pos >= n)
		return 0;
	u64 got = copy_to_iter(to, text + *pos, min_t(u64, to->count, (u64)(n - *pos)));
	*pos += (loff_t)got;
	return (s64)got;
}

static u32 mq_poll(struct file *f, struct poll_table *pt)
{
	struct mq *q = f->private;

	poll_wait(f, &q->poll_wait, pt);
	smp_mb(); /* queued before the count is read */
	s64 n = READ_ONCE(q->count);
	return (n ? POLLIN | POLLRDNORM : 0) | (n < q->max ? POLLOUT | POLLWRNORM : 0);
}

/* Each close by the process that registered ends its registration (mq_close(3)). */
static int mq_flush(struct file *f)
{
	struct mq *q = f->private;

	spin_lock(&q->lock);
	if (q->notify_pid && q->notify_pid == current->group_leader->pids[PIDK_PID])
		forget_notify(q);
	spin_unlock(&q->lock);
	return 0;
}

static loff_t mq_llseek(struct file *f, loff_t off, int whence)
{
	return generic_llseek(f, off, whence);
}

static const struct file_ops mq_fops = {
	.open = mq_file_open, .read = mq_read, .poll = mq_poll, .flush = mq_flush, .llseek = mq_llseek,
};
static const struct inode_ops mq_file_iops = { .setattr = NULL }; /* all as usual */
static const struct inode_ops mq_dir_iops = { .create = mq_create, .unlink = mq_dir_unlink };
static const struct super_ops mq_super_ops = { .evict_inode = mq_evict };

bool file_is_mq(const struct file *f)
{
	return f->ops == &mq_fops;
}

/* ---- names ---- */

static int name_qstr(const char *name, struct qstr *q)
{
	u64 n = strlen(name);

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	if (strchr(name, '/') || streq(name, ".") || streq(name, ".."))
		return -EACCES;
	*q = (struct qstr){ .name = name, .len = (u32)n, .hash = name_hash(name, (u32)n) };
	return n ? 0 : -ENOENT;
}

/* The name's dentry once it stands for a queue. => directory's rwsem for writing */
static struct dentry *open_or_make(const struct qstr *qn, u32 oflags, u32 mode, const struct mq_attr *a)
{
	static const u8 acc[] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE };
	struct inode *dir = mq_super->root->inode;
	struct dentry *d = lookup_one(mq_super->root, qn, true);
	int err;

	if (IS_ERR(d))
		return d;
	if (d->inode) {
		err = (oflags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? -EEXIST : inode_permission(d->inode, acc[oflags & O_ACCMODE]);
	} else if (!(oflags & O_CREAT)) {
		err = -ENOENT;
	} else {
		err = may_create(dir) ?: attr_check(a);
		if (!err)
			err = make_queue(dir, d, S_IFREG | apply_umask(mode & 07777), a);
	}
	if (!err)
		return d;
	dentry_put(d);
	return ERR_PTR(err);
}

int mq_open(const char *name, u32 oflags, u32 mode, const struct mq_attr *attr)
{
	struct inode *dir = mq_super->root->inode;
	struct mq_attr a;
	struct qstr qn;
	int err = name_qstr(name, &qn);

	if (err)
		return err;
	if ((oflags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (attr)
		a = *attr;
	else
		default_attr(&a);
	down_write(&dir->rwsem);
	struct dentry *d = open_or_make(&qn, oflags, mode, &a);
	up_write(&dir->rwsem);
	if (IS_ERR(d))
		return PTR_ERR(d);
	struct path p = { mq_mnt, d };
	struct file *f = path_open(&p, oflags & ~(O_CREAT | O_EXCL | O_TRUNC));
	dentry_put(d);
	return IS_ERR(f) ? PTR_ERR(f) : fd_open_file(f, O_CLOEXEC);
}

int mq_unlink(const char *name)
{
	struct inode *dir = mq_super->root->inode;
	struct dentry *d;
	struct qstr qn;
	int err = name_qstr(name, &qn);

	if (err)
		return err;
	down_write(&dir->rwsem);
	d = lookup_one(mq_super->root, &qn, false);
	err = IS_ERR(d) ? PTR_ERR(d) : d ? vfs_unlink(dir, d) : -ENOENT;
	up_write(&dir->rwsem);
	if (!IS_ERR_OR_NULL(d))
		dentry_put(d); /* frees the queue, perhaps: after the directory is unlocked */
	return err;
}

static struct super *mq_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)t, (void)source, (void)flags, (void)data;
	super_get(mq_super);
	return mq_super;
}

static struct fs_type mq_type = { .name = "mqueue", .mount = mq_mount };

void mqueue_init(void)
{
	struct super *s = super_alloc("mqueue", &mq_super_ops, MQUEUE_MAGIC);
	struct inode *root = s ? inode_new(s, S_IFDIR | S_ISVTX | 0777) : NULL;

	VERIFY(root);
	root->ops = &mq_dir_iops;
	root->fops = &dcache_dir_fops;
	root->nlink = 2;
	VERIFY(!super_make_root(s, root));
	s->root->flags |= DENTRY_COMPLETE;
	mq_super = s;
	fs_register(&mq_type);
	mq_mnt = mount_internal(&mq_type);
	VERIFY(mq_mnt);
}
