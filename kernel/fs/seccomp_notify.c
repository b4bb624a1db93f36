/*
 * Listeners of seccomp filters: a call whose filter says USER_NOTIF waits until the program behind a descriptor has decided about it
 * (seccomp_unotify(2)).
 *
 * struct seccomp_notify belongs to a filter and to the listener's file, one reference each. A waiting call is a struct ask on
 * the caller's stack, on the list as long as it waits, under the mutex. It is NEW until the listener has read it, then SENT, then
 * REPLIED; the caller itself takes it off, for it may leave before an answer came (a signal). The listener names calls by numbers
 * that are never used again, so an answer that comes too late finds nothing (ENOENT).
 *
 * Descriptors that a listener gives to the caller (ADDFD) are installed by the caller: it is woken for each, does it, and tells.
 *
 * Lock: the mutex, nothing under it but wake-ups and copies to the listener.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <lib/err.h>
#include <lib/list.h>
#include <mm/slab.h>
#include <proc/seccomp.h>
#include <x86/ptregs.h>
#include <x86/uaccess.h>

#define IOCTL_RECV 0xc0502100u
#define IOCTL_SEND 0xc0182101u
#define IOCTL_ID_VALID 0x40082102u
#define IOCTL_ID_VALID_OLD 0x80082102u /* as first published, with the direction wrong */
#define IOCTL_ADDFD 0x40002103u /* its size says how much of the structure the program knows */
#define IOC_SIZE_MASK 0x3fff0000u
#define RESP_CONTINUE 1u
#define ADDFD_SETFD 1u
#define ADDFD_SEND 2u

struct notif { u64 id; u32 pid, flags; struct seccomp_data data; };
struct response { u64 id; s64 val; s32 error; u32 flags; };
struct addfd { u64 id; u32 flags, srcfd, newfd, newfd_flags; };
_Static_assert(sizeof(struct notif) == 80 && sizeof(struct response) == 24 && sizeof(struct addfd) == 24, "ABI");

enum ask_state { NEW, SENT, REPLIED };
struct ask {
	struct list_head link; /* (mutex) */
	struct list_head gifts; /* (mutex) struct gift: descriptors on their way to the caller */
	const struct seccomp_data *data; /* (I) */
	struct response resp; /* (mutex) */
	u64 id; /* (I) */
	enum ask_state state; /* (mutex) */
	bool news; /* (mutex to set) look at state and gifts */
	wait_queue_t wait; /* the caller */
	pid_t pid;
};
/* On the listener's stack. */
struct gift {
	struct list_head link; /* (mutex) */
	const struct addfd *a;
	struct file *file;
	bool done; /* (mutex) */
	s32 result;
};
struct seccomp_notify {
	s32 refs; /* (a) filter, file */
	bool killable; /* (I) SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV */
	bool closed; /* (mutex) no listener any more */
	bool abandoned; /* no task has the filter any more */
	u64 next_id; /* (mutex) */
	struct list_head asks; /* (mutex) */
	struct mutex mutex;
	wait_queue_t wait; /* listeners, and givers of descriptors */
};

static void put(struct seccomp_notify *n)
{
	if (__atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) == 0)
		kfree(n);
}

void seccomp_notify_gone(struct seccomp_notify *n)
{
	WRITE_ONCE(n->abandoned, true);
	wake_up_poll(&n->wait, POLLHUP);
	put(n);
}

bool seccomp_notify_heard(const struct seccomp_notify *n)
{
	return !READ_ONCE(n->closed);
}

/* ---- the caller's side ---- */

static void tell(struct ask *a)
{
	a->news = true;
	wake_up_all(&a->wait);
}

/* => mutex; the caller's own descriptor table */
static void take_gift(struct seccomp_notify *n, struct ask *a, struct gift *g)
{
	u32 flags = g->a->newfd_flags;

	list_del(&g->link);
	file_get(g->file);
	g->result = g->a->flags & ADDFD_SETFD ? fd_replace_file(g->file, g->a->newfd, flags) : fd_open_file(g->file, flags);
	if (g->a->flags & ADDFD_SEND) {
		if (g->result >= 0)
			a->resp.val = g->result;
		else
			a->state = SENT; /* not answered after all */
	}
	g->done = true;
	wake_up_all(&n->wait);
}

/* Sleeps for news; the mutex is let go meanwhile. 0, -ERESTARTSYS */
static int wait_for_news(struct seccomp_notify *n, struct ask *a)
{
	int err;

	do {
		bool killable = n->killable && a->state != NEW;
		mutex_unlock(&n->mutex);
		err = killable ? wait_event_killable(a->wait, READ_ONCE(a->news)) : wait_event_interruptible(a->wait, READ_ONCE(a->news));
		mutex_lock(&n->mutex);
		if (err && !killable && n->killable && a->state != NEW)
			err = -EAGAIN; /* it was read meanwhile: from now on only death ends the wait */
	} while (err == -EAGAIN);
	a->news = false;
	return err;
}

/* => mutex. 0: answered; -ERESTARTSYS, -ENOSYS: nobody listens any more */
static int wait_for_answer(struct seccomp_notify *n, struct ask *a)
{
	int err = 0;

	for (;;) {
		while (!list_empty(&a->gifts))
			take_gift(n, a, list_first_entry(&a->gifts, struct gift, link));
		if (a->state == REPLIED || err)
			return a->state == REPLIED ? 0 : err;
		err = n->closed ? -ENOSYS : wait_for_news(n, a);
	}
}

bool seccomp_notify_ask(struct seccomp_notify *n, const struct seccomp_data *d, struct pt_regs *r)
{
	struct ask a = { .data = d, .pid = current->pid };
	struct gift *g;
	int err = -ENOSYS;

	INIT_LIST_HEAD(&a.gifts);
	init_wait_queue(&a.wait);
	mutex_lock(&n->mutex);
	if (!n->closed) {
		a.id = n->next_id++;
		list_add_tail(&a.link, &n->asks);
		wake_up_poll(&n->wait, POLLIN | POLLRDNORM);
		err = wait_for_answer(n, &a);
		list_del(&a.link);
		list_for_each_entry(g, &a.gifts, link) { /* we leave without them */
			g->result = -ESRCH;
			g->done = true;
		}
		wake_up_all(&n->wait);
	}
	mutex_unlock(&n->mutex);
	if (!err && a.resp.flags & RESP_CONTINUE)
		return true;
	r->rax = (u64)(s64)(err ?: a.resp.error ?: a.resp.val);
	return false;
}

/* ---- the listener's side ---- */

/* => mutex */
static struct ask *find(struct seccomp_notify *n, u64 id)
{
	struct ask *a;

	list_for_each_entry(a, &n->asks, link)
		if (a->id == id)
			return a;
	return NULL;
}

static struct ask *find_state(struct seccomp_notify *n, enum ask_state s)
{
	struct ask *a;

	list_for_each_entry(a, &n->asks, link)
		if (a->state == s)
			return a;
	return NULL;
}

static bool has_new(struct seccomp_notify *n)
{
	mutex_lock(&n->mutex);
	bool r = find_state(n, NEW) != NULL;
	mutex_unlock(&n->mutex);
	return r;
}

/* The structure must be zero as it comes: fields of the future. */
static int check_zero(const u8 __user *p, u64 n)
{
	u8 buf[sizeof(struct notif)];

	if (copy_from_user(buf, p, n))
		return -EFAULT;
	for (u64 i = 0; i < n; i++)
		if (buf[i])
			return -EINVAL;
	return 0;
}

/* The oldest unread one, with the mutex held; ERR_PTR without. */
static struct ask *wait_for_new(struct seccomp_notify *n)
{
	struct ask *a;

	for (;;) {
		int err = wait_event_interruptible(n->wait, has_new(n));
		if (err)
			return ERR_PTR(err);
		mutex_lock(&n->mutex);
		a = find_state(n, NEW);
		if (a)
			return a;
		mutex_unlock(&n->mutex); /* another listener was faster, or the caller left */
	}
}

static long receive(struct seccomp_notify *n, struct notif __user *up)
{
	struct notif out = { 0 };
	struct ask *a;
	int err = check_zero((const u8 __user *)up, sizeof(out));

	if (err)
		return err;
	a = wait_for_new(n);
	if (IS_ERR(a))
		return PTR_ERR(a);
	out.id = a->id;
	out.pid = (u32)a->pid;
	out.data = *a->data;
	if (copy_to_user(up, &out, sizeof(out))) {
		err = -EFAULT; /* it stays new */
	} else {
		a->state = SENT;
		wake_up_poll(&n->wait, POLLOUT | POLLWRNORM);
	}
	mutex_unlock(&n->mutex);
	return err;
}

static long answer(struct seccomp_notify *n, const struct response __user *up)
{
	struct response r;
	struct ask *a;
	long err = 0;

	if (copy_from_user(&r, up, sizeof(r)))
		return -EFAULT;
	if (r.flags & ~RESP_CONTINUE || (r.flags && (r.error || r.val)))
		return -EINVAL;
	mutex_lock(&n->mutex);
	a = find(n, r.id);
	if (!a)
		err = -ENOENT;
	else if (a->state != SENT)
		err = -EINPROGRESS;
	else {
		a->resp = r;
		a->state = REPLIED;
		tell(a);
	}
	mutex_unlock(&n->mutex);
	return err;
}

static long id_valid(struct seccomp_notify *n, const u64 __user *up)
{
	struct ask *a;
	u64 id;

	if (get_user(id, up))
		return -EFAULT;
	mutex_lock(&n->mutex);
	a = find(n, id);
	long r = a && a->state == SENT ? 0 : -ENOENT;
	mutex_unlock(&n->mutex);
	return r;
}

/* => mutex. The caller has it when this is 0. */
static int offer(struct seccomp_notify *n, struct gift *g)
{
	struct ask *a = find(n, g->a->id);

	if (!a)
		return -ENOENT;
	if (a->state != SENT)
		return -EINPROGRESS;
	if (g->a->flags & ADDFD_SEND) {
		if (!list_empty(&a->gifts))
			return -EBUSY;
		a->resp = (struct response){ .id = a->id };
		a->state = REPLIED;
	}
	list_add_tail(&g->link, &a->gifts);
	tell(a);
	return 0;
}

static long give(struct seccomp_notify *n, const struct addfd *a)
{
	struct gift g = { .a = a, .file = fget(a->srcfd) };
	long err;

	if (!g.file)
		return -EBADF;
	mutex_lock(&n->mutex);
	err = offer(n, &g);
	mutex_unlock(&n->mutex);
	if (!err) {
		err = wait_event_interruptible(n->wait, READ_ONCE(g.done));
		mutex_lock(&n->mutex);
		if (g.done)
			err = g.result;
		else
			list_del(&g.link); /* taken back: a signal */
		mutex_unlock(&n->mutex);
	}
	file_put(g.file);
	return err;
}

static long add_fd(struct seccomp_notify *n, u32 size, const void __user *up)
{
	struct addfd a;

	if (size < sizeof(a) || size >= PAGE_SIZE)
		return -EINVAL;
	int err = copy_struct_from_user(&a, sizeof(a), up, size);
	if (err)
		return err;
	if (a.newfd_flags & ~(u32)O_CLOEXEC || a.flags & ~(ADDFD_SETFD | ADDFD_SEND) || (a.newfd && !(a.flags & ADDFD_SETFD)))
		return -EINVAL;
	return give(n, &a);
}

static long notify_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct seccomp_notify *n = f->private;

	switch (cmd) {
	case IOCTL_RECV:
		return receive(n, (struct notif __user *)arg);
	case IOCTL_SEND:
		return answer(n, (const struct response __user *)arg);
	case IOCTL_ID_VALID:
	case IOCTL_ID_VALID_OLD:
		return id_valid(n, (const u64 __user *)arg);
	}
	if ((cmd & ~IOC_SIZE_MASK) == IOCTL_ADDFD)
		return add_fd(n, cmd >> 16 & 0x3fff, (const void __user *)arg);
	return -EINVAL;
}

static u32 notify_poll(struct file *f, struct poll_table *pt)
{
	struct seccomp_notify *n = f->private;
	u32 r = 0;

	poll_wait(f, &n->wait, pt);
	mutex_lock(&n->mutex);
	if (find_state(n, NEW))
		r |= POLLIN | POLLRDNORM;
	if (find_state(n, SENT))
		r |= POLLOUT | POLLWRNORM;
	mutex_unlock(&n->mutex);
	return r | (READ_ONCE(n->abandoned) ? POLLHUP : 0);
}

static void notify_release(struct inode *i, struct file *f)
{
	struct seccomp_notify *n = f->private;
	struct ask *a;

	(void)i;
	mutex_lock(&n->mutex);
	n->closed = true;
	list_for_each_entry(a, &n->asks, link)
		tell(a);
	mutex_unlock(&n->mutex);
	put(n);
}

static const struct file_ops notify_fops = {
	.ioctl = notify_ioctl,
	.poll = notify_poll,
	.release = notify_release,
};

struct file *seccomp_listener(bool killable, struct seccomp_notify **np)
{
	struct seccomp_notify *n = kzalloc(sizeof(*n), GFP_KERNEL);
	struct file *f;

	if (!n)
		return ERR_PTR(-ENOMEM);
	n->refs = 2;
	n->killable = killable;
	n->next_id = 1;
	INIT_LIST_HEAD(&n->asks);
	mutex_init(&n->mutex);
	init_wait_queue(&n->wait);
	f = anon_file("seccomp notify", &notify_fops, n, O_RDWR);
	if (IS_ERR(f))
		kfree(n);
	else
		*np = n;
	return f;
}
