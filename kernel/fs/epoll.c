/*
 * epoll(7).
 *
 * An eventpoll holds items in a red-black tree by (file, descriptor) and a list of those that may be ready. A wake-up on a
 * watched file's queue puts the item on the ready list and wakes waiters; epoll_wait takes the list, asks each file again,
 * and reports what is true now. Level-triggered items go back to the tail of the list after they were reported.
 *
 * An item's on_ready flag is true while it is on the ready list or on the private list of a running scan; a wake-up that
 * comes after the scan cleared the flag puts it on the ready list anew, so no event is lost between the question and the list.
 *
 * Locks: epoll_mutex (adding a nested epoll, closing files and eventpolls) -> ep->mutex (tree, scans) -> the watched file's
 * wait queue lock -> ep->lock (ready list, irq-safe). Items hold no reference on their file: a dying file removes its items
 * first (epoll_release_file), and an item is only looked at under ep->mutex, which that removal needs.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <kernel/time.h>
#include <lib/rbtree.h>
#include <lib/seq_buf.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define EP_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EP_MAX_EVENTS ((s32)(0x7fffffff / sizeof(struct epoll_event_k)))
#define EP_MAX_NEST 4

struct epoll_event_k {
	u32 events;
	u64 data;
} __packed;

struct eventpoll {
	struct mutex mutex;
	spinlock_t lock;
	wait_queue_t wait; /* epoll_wait */
	wait_queue_t poll_wait; /* this epoll in a poll or another epoll */
	struct list_head ready; /* (lock) */
	struct rb_root items; /* (mutex) */
	struct file *file; /* (I) */
	u32 nitems; /* (mutex) */
};
struct epoll_hook { /* one wait queue an item hangs on */
	struct wait_entry wait;
	wait_queue_t *queue;
	struct epoll_item *item;
	struct epoll_hook *next;
};
struct epoll_item {
	struct rb_node node; /* (ep->mutex) */
	struct list_head ready; /* (ep->lock) */
	struct list_head file_link; /* (file->lock) */
	struct eventpoll *ep;
	struct file *file;
	s32 fd;
	bool on_ready; /* (ep->lock) */
	u32 events; /* (ep->mutex; read racily by wake-ups) */
	u64 data; /* (ep->mutex) */
	struct epoll_hook *hooks;
	struct epoll_hook first;
	bool first_used;
	s32 error;
};
static DEFINE_MUTEX(epoll_mutex);
static const struct file_ops epoll_fops;

static void ep_wake(struct eventpoll *ep)
{
	wake_up_sync_poll(&ep->wait, POLLIN);
	wake_up_poll(&ep->poll_wait, POLLIN | POLLRDNORM);
}

/* Puts the item on the ready list unless it is there. */
static void ep_mark_ready(struct epoll_item *it)
{
	u64 flags;

	spin_lock_irqsave(&it->ep->lock, flags);
	if (!it->on_ready) {
		it->on_ready = true;
		list_add_tail(&it->ready, &it->ep->ready);
	}
	spin_unlock_irqrestore(&it->ep->lock, flags);
}

static int ep_callback(struct wait_entry *w, unsigned mode, int sync, u64 key)
{
	struct epoll_item *it = container_of(w, struct epoll_hook, wait)->item;
	u32 events = READ_ONCE(it->events);
	(void)mode, (void)sync;

	if (!(events & ~EP_PRIVATE) || (key && !(key & events)))
		return 0;
	ep_mark_ready(it);
	ep_wake(it->ep);
	return 1;
}

struct ep_queue_table {
	struct poll_table pt;
	struct epoll_item *item;
};

static void ep_hook_file(struct poll_table *pt, struct file *f, wait_queue_t *q)
{
	(void)f;
	struct epoll_item *it = container_of(pt, struct ep_queue_table, pt)->item;
	struct epoll_hook *h = it->first_used ? kmalloc(sizeof(*h), GFP_KERNEL) : &it->first;

	if (!h) {
		it->error = -ENOMEM;
		return;
	}
	it->first_used = true;
	h->wait = (struct wait_entry){ .func = ep_callback, .flags = it->events & EPOLLEXCLUSIVE ? WQ_EXCLUSIVE : 0 };
	INIT_LIST_HEAD(&h->wait.link);
	h->queue = q;
	h->item = it;
	h->next = it->hooks;
	it->hooks = h;
	add_wait_queue(q, &h->wait);
}

static void ep_unhook(struct epoll_item *it)
{
	while (it->hooks) {
		struct epoll_hook *h = it->hooks;

		it->hooks = h->next;
		remove_wait_queue(h->queue, &h->wait);
		if (h != &it->first)
			kfree(h);
	}
}

/* => ep->mutex held */
static void ep_remove(struct eventpoll *ep, struct epoll_item *it)
{
	u64 flags;

	ep_unhook(it);
	spin_lock(&it->file->lock);
	list_del(&it->file_link);
	spin_unlock(&it->file->lock);
	rb_erase(&it->node, &ep->items);
	spin_lock_irqsave(&ep->lock, flags);
	if (it->on_ready)
		list_del(&it->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	ep->nitems--;
	kfree(it);
}

void epoll_release_file(struct file *f)
{
	mutex_lock(&epoll_mutex);
	while (!list_empty(&f->epoll_links)) {
		struct epoll_item *it = list_first_entry(&f->epoll_links, struct epoll_item, file_link);
		struct eventpoll *ep = it->ep;

		mutex_lock(&ep->mutex);
		ep_remove(ep, it);
		mutex_unlock(&ep->mutex);
	}
	mutex_unlock(&epoll_mutex);
}

static void epoll_release(struct inode *i, struct file *f)
{
	(void)i;
	struct eventpoll *ep = f->private;
	struct rb_node *n;

	mutex_lock(&epoll_mutex);
	mutex_lock(&ep->mutex);
	while ((n = rb_first(&ep->items)))
		ep_remove(ep, rb_entry(n, struct epoll_item, node));
	mutex_unlock(&ep->mutex);
	mutex_unlock(&epoll_mutex);
	kfree(ep);
}

static int ep_compare(const struct file *f, s32 fd, const struct epoll_item *it)
{
	return f != it->file ? (f < it->file ? -1 : 1) : fd - it->fd;
}

static struct epoll_item *ep_find(struct eventpoll *ep, struct file *f, s32 fd)
{
	struct rb_node *n = ep->items.rb_node;

	while (n) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);
		int c = ep_compare(f, fd, it);

		if (!c)
			return it;
		n = c < 0 ? n->rb_left : n->rb_right;
	}
	return NULL;
}

const struct file *epoll_target(struct file *epfile, s32 fd, u32 skip)
{
	struct eventpoll *ep = epfile->private;
	const struct file *f = ERR_PTR(-ENOENT);

	if (epfile->ops != &epoll_fops)
		return ERR_PTR(-EINVAL);
	mutex_lock(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		if (it->fd == fd && !skip--) {
			f = it->file;
			break;
		}
	}
	mutex_unlock(&ep->mutex);
	return f;
}

static void ep_link(struct eventpoll *ep, struct epoll_item *it)
{
	struct rb_node **p = &ep->items.rb_node, *parent = NULL;

	while (*p) {
		parent = *p;
		p = ep_compare(it->file, it->fd, rb_entry(parent, struct epoll_item, node)) < 0 ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&it->node, parent, p);
	rb_insert_color(&it->node, &ep->items);
}

static u32 ep_item_poll(struct epoll_item *it, struct poll_table *pt)
{
	u32 want = it->events;

	if (pt)
		pt->key = want;
	return vfs_poll(it->file, pt) & want & ~EP_PRIVATE;
}

/* => ep->mutex held */
static int ep_insert(struct eventpoll *ep, const struct epoll_event_k *ev, struct file *f, s32 fd)
{
	struct epoll_item *it = kzalloc(sizeof(*it), GFP_KERNEL);
	struct ep_queue_table q = { .pt.queue = ep_hook_file, .item = it };

	if (!it)
		return -ENOMEM;
	it->ep = ep;
	it->file = f;
	it->fd = fd;
	it->events = ev->events;
	it->data = ev->data;
	ep_link(ep, it);
	ep->nitems++;
	spin_lock(&f->lock);
	list_add_tail(&it->file_link, &f->epoll_links);
	spin_unlock(&f->lock);
	u32 ready = ep_item_poll(it, &q.pt);
	if (it->error) {
		int e = it->error;

		ep_remove(ep, it);
		return e;
	}
	if (ready) {
		ep_mark_ready(it);
		ep_wake(ep);
	}
	return 0;
}

/* => ep->mutex held */
static int ep_modify(struct eventpoll *ep, struct epoll_item *it, const struct epoll_event_k *ev)
{
	if (it->events & EPOLLEXCLUSIVE)
		return -EINVAL;
	it->events = ev->events;
	it->data = ev->data;
	smp_mb(); /* the new mask is seen by wake-ups before the file is asked */
	if (ep_item_poll(it, NULL)) {
		ep_mark_ready(it);
		ep_wake(ep);
	}
	return 0;
}

/* Depth of epolls below @f, or -ELOOP when @top is among them. => epoll_mutex held */
static int ep_depth(struct file *f, struct file *top, int level)
{
	struct eventpoll *ep = f->private;
	int deepest = 0;

	if (f == top || level > EP_MAX_NEST)
		return -ELOOP;
	mutex_lock(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);
		int d = it->file->ops == &epoll_fops ? ep_depth(it->file, top, level + 1) : 0;

		if (d < 0) {
			deepest = d;
			break;
		}
		deepest = max_t(int, deepest, d + 1);
	}
	mutex_unlock(&ep->mutex);
	return deepest;
}

static int ep_ctl_locked(struct eventpoll *ep, int op, struct file *f, s32 fd, struct epoll_event_k *ev)
{
	struct epoll_item *it = ep_find(ep, f, fd);

	ev->events |= POLLERR | POLLHUP;
	if (op == EPOLL_CTL_ADD)
		return it ? -EEXIST : ep_insert(ep, ev, f, fd);
	if (!it)
		return -ENOENT;
	if (op == EPOLL_CTL_MOD)
		return ep_modify(ep, it, ev);
	ep_remove(ep, it);
	return 0;
}

static int ep_ctl(struct file *epf, int op, struct file *f, s32 fd, struct epoll_event_k *ev)
{
	struct eventpoll *ep = epf->private;
	bool nested = op == EPOLL_CTL_ADD && f->ops == &epoll_fops;
	int r = 0;

	if (nested) {
		mutex_lock(&epoll_mutex);
		r = ep_depth(f, epf, 1);
	}
	if (r >= 0) {
		mutex_lock(&ep->mutex);
		r = ep_ctl_locked(ep, op, f, fd, ev);
		mutex_unlock(&ep->mutex);
	}
	if (nested)
		mutex_unlock(&epoll_mutex);
	return r;
}

long sys_epoll_ctl(s32 epfd, s32 op, s32 fd, struct epoll_event_k __user *uev)
{
	struct epoll_event_k ev = { 0, 0 };
	long r = -EFAULT;

	if (op != EPOLL_CTL_DEL && copy_from_user(&ev, uev, sizeof(ev)))
		return -EFAULT;
	struct file *epf = fget(epfd), *f = epf ? fget(fd) : NULL;
	r = -EBADF;
	if (!f)
		goto put;
	r = -EPERM;
	if (!f->ops->poll)
		goto put;
	r = -EINVAL;
	if (f == epf || epf->ops != &epoll_fops || op < EPOLL_CTL_ADD || op > EPOLL_CTL_MOD)
		goto put;
	if (op != EPOLL_CTL_DEL && (ev.events & EPOLLEXCLUSIVE)) {
		u32 allowed = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

		if (op == EPOLL_CTL_MOD || f->ops == &epoll_fops || (ev.events & ~allowed))
			goto put;
	}
	r = ep_ctl(epf, op, f, fd, &ev);
put:
	if (f)
		file_put(f);
	if (epf)
		file_put(epf);
	return r;
}

/* Takes the next item of a scan off its list. => ep->mutex held */
static struct epoll_item *ep_scan_next(struct eventpoll *ep, struct list_head *scan)
{
	struct epoll_item *it = NULL;
	u64 flags;

	spin_lock_irqsave(&ep->lock, flags);
	if (!list_empty(scan)) {
		it = list_first_entry(scan, struct epoll_item, ready);
		list_del(&it->ready);
		it->on_ready = false;
	}
	spin_unlock_irqrestore(&ep->lock, flags);
	return it;
}

/* Reports up to @max ready events. Number, or -EFAULT. */
static int ep_send(struct eventpoll *ep, struct epoll_event_k __user *out, s32 max)
{
	LIST_HEAD(scan);
	struct epoll_item *it;
	u64 flags;
	int n = 0;

	mutex_lock(&ep->mutex);
	spin_lock_irqsave(&ep->lock, flags);
	list_splice_init(&ep->ready, &scan);
	spin_unlock_irqrestore(&ep->lock, flags);
	while (n < max && (it = ep_scan_next(ep, &scan))) {
		u32 ev = ep_item_poll(it, NULL);

		if (!ev)
			continue;
		struct epoll_event_k k = { ev, it->data };
		if (copy_to_user(&out[n], &k, sizeof(k))) {
			ep_mark_ready(it);
			n = n ?: -EFAULT;
			break;
		}
		n++;
		if (it->events & EPOLLONESHOT)
			it->events &= EP_PRIVATE;
		else if (!(it->events & EPOLLET))
			ep_mark_ready(it);
	}
	spin_lock_irqsave(&ep->lock, flags);
	list_splice(&scan, &ep->ready); /* what was not looked at keeps its place in front */
	bool left = !list_empty(&ep->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	mutex_unlock(&ep->mutex);
	if (left && n > 0)
		ep_wake(ep);
	return n;
}

static inline bool ep_ready(struct eventpoll *ep)
{
	return READ_ONCE(ep->ready.next) != &ep->ready;
}

/* One sleep. 0: look again, -EINTR, or -ETIME. */
static int ep_sleep(struct eventpoll *ep, u64 deadline)
{
	DEFINE_WAIT(w);
	int r = 0;

	prepare_to_wait_exclusive(&ep->wait, &w, TASK_INTERRUPTIBLE);
	if (!ep_ready(ep)) {
		if (signal_pending_current())
			r = -EINTR;
		else if (schedule_until(deadline))
			r = -ETIME;
	}
	finish_wait(&ep->wait, &w);
	return r;
}

static long ep_wait(s32 epfd, struct epoll_event_k __user *out, s32 max, u64 deadline)
{
	if (max <= 0 || max > EP_MAX_EVENTS)
		return -EINVAL;
	if (!access_ok(out, max * sizeof(*out)))
		return -EFAULT;
	struct fd f = fdget(epfd);
	if (!fd_file(f))
		return -EBADF;
	long n = -EINVAL;
	if (fd_file(f)->ops != &epoll_fops)
		goto out;
	struct eventpoll *ep = fd_file(f)->private;
	for (;;) {
		n = ep_ready(ep) ? ep_send(ep, out, max) : 0;
		if (n || !deadline)
			break;
		int r = ep_sleep(ep, deadline);
		if (r == -EINTR) {
			n = r;
			break;
		}
		if (r == -ETIME)
			deadline = 0;
	}
out:
	fdput(f);
	return n;
}

static u64 ms_deadline(s32 ms)
{
	return ms < 0 ? ~0ull : ms == 0 ? 0 : ktime_ns() + (u64)ms * NSEC_PER_MSEC;
}

long sys_epoll_wait(s32 epfd, struct epoll_event_k __user *out, s32 max, s32 ms)
{
	return ep_wait(epfd, out, max, ms_deadline(ms));
}

static long ep_pwait(s32 epfd, struct epoll_event_k __user *out, s32 max, u64 deadline, const void __user *mask, u64 size)
{
	int r = set_user_sigmask(mask, size);

	if (r)
		return r;
	long n = ep_wait(epfd, out, max, deadline);
	restore_saved_sigmask_unless(n == -EINTR);
	return n;
}

long sys_epoll_pwait(s32 epfd, struct epoll_event_k __user *out, s32 max, s32 ms, const void __user *mask, u64 size)
{
	return ep_pwait(epfd, out, max, ms_deadline(ms), mask, size);
}

long sys_epoll_pwait2(s32 epfd, struct epoll_event_k __user *out, s32 max, const s64 __user *uts, const void __user *mask, u64 size)
{
	u64 deadline = ~0ull;
	s64 ts[2];

	if (uts) {
		if (copy_from_user(ts, uts, sizeof(ts)))
			return -EFAULT;
		if (ts[0] < 0 || (u64)ts[1] >= NSEC_PER_SEC)
			return -EINVAL;
		if (!ts[0] && !ts[1])
			deadline = 0;
		else if (ts[0] < (1ll << 33))
			deadline = ktime_ns() + (u64)ts[0] * NSEC_PER_SEC + ts[1];
	}
	return ep_pwait(epfd, out, max, deadline, mask, size);
}

static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
	struct eventpoll *ep = f->private;
	u32 r = 0;

	poll_wait(f, &ep->poll_wait, pt);
	if (!ep_ready(ep))
		return 0;
	mutex_lock(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n && !r; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		if (READ_ONCE(it->on_ready) && ep_item_poll(it, NULL))
			r = POLLIN | POLLRDNORM;
	}
	mutex_unlock(&ep->mutex);
	return r;
}

static void epoll_fdinfo(struct file *f, struct seq_buf *s)
{
	struct eventpoll *ep = f->private;

	mutex_lock(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		seq_printf(s, "tfd: %8d events: %8x data: %16llx  pos:%lld ino:%llx sdev:%llx\n", it->fd, it->events,
			   (unsigned long long)it->data, (long long)it->file->pos,
			   (unsigned long long)it->file->inode->ino, (unsigned long long)it->file->inode->super->dev);
	}
	mutex_unlock(&ep->mutex);
}

static const struct file_ops epoll_fops = {
	.poll = epoll_poll,
	.release = epoll_release,
	.show_fdinfo = epoll_fdinfo,
};

long sys_epoll_create1(s32 flags)
{
	if (flags & ~O_CLOEXEC)
		return -EINVAL;
	struct eventpoll *ep = kzalloc(sizeof(*ep), GFP_KERNEL);
	if (!ep)
		return -ENOMEM;
	mutex_init(&ep->mutex);
	spin_lock_init(&ep->lock);
	init_wait_queue(&ep->wait);
	init_wait_queue(&ep->poll_wait);
	INIT_LIST_HEAD(&ep->ready);
	struct file *f = anon_file("eventpoll", &epoll_fops, ep, O_RDWR);
	if (IS_ERR(f)) {
		kfree(ep);
		return PTR_ERR(f);
	}
	ep->file = f;
	return fd_open_file(f, flags);
}

long sys_epoll_create(s32 size)
{
	return size <= 0 ? -EINVAL : sys_epoll_create1(0);
}
