/*
 * Local sockets: life cycle, names, connections. Moving data is in unix_data.c; structure and locks in fs/unix.h.
 *
 * Names live in one hash: abstract names by their bytes, file names by the inode they were bound to. Connecting makes the
 * accepted socket at once and queues it on the listener, so that connect never waits for accept (but for a full backlog).
 */
#include <fs/fdtable.h>
#include <fs/internal.h>
#include <fs/pseudo.h>
#include <fs/unix.h>
#include <kernel/time.h>
#include <lib/hash.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include "unix_impl.h"

static struct pseudo_fs sockfs = PSEUDO_FS("socket", 0x534F434B);
static DEFINE_MUTEX(connect_mutex);
#define NAME_BUCKETS 256
static struct hlist_head names[NAME_BUCKETS]; /* (connect_mutex) */

void unix_addr_put(struct unix_addr *a)
{
	if (a && __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) == 0)
		kfree(a);
}

struct ucred_k unix_my_cred(void)
{
	const struct cred *c = current_cred();

	return (struct ucred_k){ current->tgid, c->euid, c->egid };
}

static void unix_wake_all(struct unix_sock *s)
{
	wake_up_key(&s->wait, TASK_NORMAL, 0, 0, 0);
	wake_up_key(&s->space, TASK_NORMAL, 0, 0, 0);
}

static struct unix_sock *sock_new(int type)
{
	struct unix_sock *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->refs = 1;
	s->type = type;
	spin_lock_init(&s->lock);
	init_wait_queue(&s->wait);
	init_wait_queue(&s->space);
	INIT_LIST_HEAD(&s->queue);
	INIT_LIST_HEAD(&s->backlog);
	INIT_LIST_HEAD(&s->backlog_link);
	INIT_LIST_HEAD(&s->gc_link);
	mutex_init(&s->read_mutex);
	s->limit = s->sndbuf = s->rcvbuf = UNIX_BUF;
	return s;
}

static void sock_get(struct unix_sock *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
}

void sock_put(struct unix_sock *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	unix_addr_put(s->addr);
	kfree(s);
}

struct unix_sock *file_sock(struct file *f)
{
	return f->ops == &unix_fops ? f->private : NULL;
}

static struct file *sock_file(struct unix_sock *s, u32 oflags)
{
	struct file *f = pseudo_file(&sockfs, S_IFSOCK | 0777, &unix_fops, O_RDWR | (oflags & O_NONBLOCK));

	if (!IS_ERR(f)) {
		f->fmode |= FMODE_STREAM;
		f->fmode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE);
		f->private = s;
	}
	return f;
}

struct file *unix_socket_file(int type, u32 oflags)
{
	struct unix_sock *s = sock_new(type);
	struct file *f = s ? sock_file(s, oflags) : ERR_PTR(-ENOMEM);

	if (s && IS_ERR(f))
		sock_put(s);
	return f;
}

/* Makes two sockets each other's peers. => both are new or connect_mutex is held */
static void join(struct unix_sock *a, struct unix_sock *b)
{
	sock_get(a);
	sock_get(b);
	a->peer = b;
	b->peer = a;
	if (a->type != SOCK_DGRAM) { /* one sender only: its buffer is the other's queue */
		a->limit = b->sndbuf;
		b->limit = a->sndbuf;
	}
	a->state = b->state = US_CONNECTED;
}

int unix_pair(struct file *out[2], int type, u32 oflags)
{
	out[0] = unix_socket_file(type, oflags);
	if (IS_ERR(out[0]))
		return PTR_ERR(out[0]);
	out[1] = unix_socket_file(type, oflags);
	if (IS_ERR(out[1])) {
		file_put(out[0]);
		return PTR_ERR(out[1]);
	}
	struct unix_sock *a = out[0]->private, *b = out[1]->private;
	a->peercred = b->peercred = unix_my_cred();
	join(a, b);
	return 0;
}

/* Names ----------------------------------------------------------------------------------------------------------------------- */

static struct hlist_head *bucket_of(const struct inode *i, const struct sockaddr_un_k *a, u32 len)
{
	u64 h = i ? (u64)i >> 6 : 5381;

	for (u32 k = 0; !i && k < len - 2; k++)
		h = h * 33 + (u8)a->path[k];
	return &names[(h ^ h >> 16) % NAME_BUCKETS];
}

static struct unix_sock *find_abstract(const struct sockaddr_un_k *a, u32 len)
{
	struct unix_sock *s;

	hlist_for_each_entry(s, bucket_of(NULL, a, len), name_hash)
		if (!s->inode && s->addr->len == len && !memcmp(&s->addr->sun, a, len))
			return s;
	return NULL;
}

static struct unix_sock *find_inode(struct inode *i)
{
	struct unix_sock *s;

	hlist_for_each_entry(s, bucket_of(i, NULL, 0), name_hash)
		if (s->inode == i)
			return s;
	return NULL;
}

static struct unix_addr *addr_new(const struct sockaddr_un_k *a, u32 len)
{
	struct unix_addr *n = kzalloc(sizeof(*n), GFP_KERNEL);

	if (n) {
		n->refs = 1;
		n->len = len;
		memcpy(&n->sun, a, len);
	}
	return n;
}

/* A free abstract name of five hexadecimal digits. => connect_mutex held */
static int autobind_name(struct sockaddr_un_k *a)
{
	static u32 next;

	for (u32 tries = 0; tries < 1u << 20; tries++) {
		char digits[8];

		snprintf(digits, sizeof(digits), "%05x", next++ & 0xfffff);
		a->family = AF_UNIX;
		a->path[0] = 0;
		memcpy(a->path + 1, digits, 5);
		if (!find_abstract(a, 8))
			return 0;
	}
	return -ENOSPC;
}

static int bind_abstract(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len)
{
	struct sockaddr_un_k made;
	int r = 0;

	mutex_lock(&connect_mutex);
	if (len == sizeof(a->family)) {
		r = s->addr ? 1 : autobind_name(&made);
		a = &made;
		len = 8;
	} else if (s->addr) {
		r = -EINVAL;
	} else if (find_abstract(a, len)) {
		r = -EADDRINUSE;
	}
	if (!r && !(s->addr = addr_new(a, len)))
		r = -ENOMEM;
	if (!r)
		hlist_add_head(&s->name_hash, bucket_of(NULL, a, len));
	mutex_unlock(&connect_mutex);
	return r > 0 ? 0 : r;
}

static int bind_path(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len)
{
	char path[UNIX_PATH_MAX + 1];
	struct path p;
	u32 n = strnlen(a->path, len - sizeof(a->family));

	memcpy(path, a->path, n);
	path[n] = 0;
	if (READ_ONCE(s->addr))
		return -EINVAL;
	struct unix_addr *addr = addr_new(a, sizeof(a->family) + n + 1);
	if (!addr)
		return -ENOMEM;
	addr->sun.path[n < UNIX_PATH_MAX ? n : UNIX_PATH_MAX - 1] = 0;
	int r = path_mknod(path, S_IFSOCK | (0777 & ~current->fs->umask), 0, &p);
	if (r) {
		unix_addr_put(addr);
		return r == -EEXIST ? -EADDRINUSE : r;
	}
	mutex_lock(&connect_mutex);
	if (s->addr)
		r = -EINVAL;
	if (!r) {
		s->addr = addr;
		s->inode = p.dentry->inode;
		inode_get(s->inode);
		hlist_add_head(&s->name_hash, bucket_of(s->inode, NULL, 0));
	} else {
		unix_addr_put(addr);
	}
	mutex_unlock(&connect_mutex);
	path_put(&p);
	return r;
}

int unix_bind(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len)
{
	return len == sizeof(a->family) || !a->path[0] ? bind_abstract(s, a, len) : bind_path(s, a, len);
}

/* The bound socket an address means, referenced, of the right type. ERR_PTR. */
static struct unix_sock *sock_by_addr(const struct sockaddr_un_k *a, u32 len, int type)
{
	struct unix_sock *s;
	int err = -ECONNREFUSED;

	if (len <= sizeof(a->family))
		return ERR_PTR(-EINVAL);
	if (a->path[0]) {
		char path[UNIX_PATH_MAX + 1];
		u32 n = strnlen(a->path, len - sizeof(a->family));
		struct path p;

		memcpy(path, a->path, n);
		path[n] = 0;
		err = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &p);
		if (!err)
			err = inode_permission(p.dentry->inode, MAY_WRITE);
		else
			return ERR_PTR(err);
		if (!err && !S_ISSOCK(p.dentry->inode->mode))
			err = -ECONNREFUSED;
		mutex_lock(&connect_mutex);
		s = err ? NULL : find_inode(p.dentry->inode);
		if (s)
			sock_get(s);
		mutex_unlock(&connect_mutex);
		path_put(&p);
		if (!s)
			return ERR_PTR(err ?: -ECONNREFUSED);
	} else {
		mutex_lock(&connect_mutex);
		s = find_abstract(a, len);
		if (s)
			sock_get(s);
		mutex_unlock(&connect_mutex);
		if (!s)
			return ERR_PTR(err);
	}
	if (s->type != type) {
		sock_put(s);
		return ERR_PTR(-EPROTOTYPE);
	}
	return s;
}

struct unix_sock *unix_find_dgram(const struct sockaddr_un_k *a, u32 len)
{
	return sock_by_addr(a, len, SOCK_DGRAM);
}

/* Connections ------------------------------------------------------------------------------------------------------------------- */

int unix_listen(struct unix_sock *s, int backlog)
{
	int r = -EINVAL;

	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	mutex_lock(&connect_mutex);
	if (s->addr && s->state != US_CONNECTED) {
		s->state = US_LISTEN;
		s->max_backlog = backlog < 0 || backlog > 4096 ? 4096 : backlog;
		s->peercred = unix_my_cred();
		r = 0;
	}
	mutex_unlock(&connect_mutex);
	return r;
}

static bool backlog_full(struct unix_sock *l)
{
	return READ_ONCE(l->nbacklog) > READ_ONCE(l->max_backlog) && !READ_ONCE(l->closed);
}

/* Under connect_mutex: queue @made on the listener, joined with @s. 0, -EAGAIN (backlog full), -errno. */
static int connect_to(struct unix_sock *s, struct unix_sock *l, struct unix_sock *made)
{
	if (s->state != US_FREE)
		return s->state == US_CONNECTED ? -EISCONN : -EINVAL;
	if (l->state != US_LISTEN || l->closed || (l->shut & RCV_SHUT))
		return -ECONNREFUSED;
	if (backlog_full(l))
		return -EAGAIN;
	/* commit: no failure below */
	made->peercred = unix_my_cred();
	s->peercred = l->peercred;
	if (l->addr) {
		made->addr = l->addr;
		__atomic_fetch_add(&l->addr->refs, 1, __ATOMIC_RELAXED);
	}
	join(s, made);
	spin_lock(&l->lock);
	list_add_tail(&made->backlog_link, &l->backlog);
	l->nbacklog++;
	spin_unlock(&l->lock);
	return 0;
}

static int connect_stream(struct unix_sock *s, struct unix_sock *l, bool nonblock)
{
	struct unix_sock *made = sock_new(s->type);
	int r = made ? 0 : -ENOMEM;

	while (!r) {
		mutex_lock(&connect_mutex);
		r = connect_to(s, l, made);
		mutex_unlock(&connect_mutex);
		if (r != -EAGAIN || nonblock)
			break;
		r = wait_event_interruptible(l->space, !backlog_full(l));
	}
	if (!r)
		wake_up_sync_poll(&l->wait, POLLIN | POLLRDNORM);
	else if (made)
		sock_put(made);
	return r;
}

static int connect_dgram(struct unix_sock *s, struct unix_sock *to)
{
	mutex_lock(&connect_mutex);
	struct unix_sock *old = s->peer;
	if (to)
		sock_get(to);
	s->peer = to;
	s->state = to ? US_CONNECTED : US_FREE;
	mutex_unlock(&connect_mutex);
	if (old)
		sock_put(old);
	return 0;
}

int unix_connect(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len, bool nonblock)
{
	if (s->type == SOCK_DGRAM && a->family == AF_UNSPEC)
		return connect_dgram(s, NULL);
	struct unix_sock *to = sock_by_addr(a, len, s->type);
	if (IS_ERR(to))
		return PTR_ERR(to);
	int r = s->type == SOCK_DGRAM ? connect_dgram(s, to) : connect_stream(s, to, nonblock);
	sock_put(to);
	return r;
}

static struct unix_sock *backlog_take(struct unix_sock *l)
{
	struct unix_sock *s = NULL;

	spin_lock(&l->lock);
	if (!list_empty(&l->backlog)) {
		s = list_first_entry(&l->backlog, struct unix_sock, backlog_link);
		list_del_init(&s->backlog_link);
		l->nbacklog--;
	}
	spin_unlock(&l->lock);
	return s;
}

/* The connection that waits longest, or a wait for one. ERR_PTR. */
static struct unix_sock *accept_one(struct unix_sock *l, bool nonblock)
{
	struct unix_sock *s = backlog_take(l);

	if (!s) {
		if (nonblock)
			return ERR_PTR(-EAGAIN);
		u64 deadline = l->rcvtimeo ? ktime_ns() + l->rcvtimeo : ~0ull;
		int r = wait_event_interruptible_until(l->wait, (s = backlog_take(l)) || (l->shut & RCV_SHUT), deadline);
		if (r)
			return ERR_PTR(r == -ETIME ? -EAGAIN : r);
		if (!s)
			return ERR_PTR(-EINVAL);
	}
	wake_up_all(&l->space);
	return s;
}

struct file *unix_accept(struct unix_sock *l, u32 oflags, bool nonblock)
{
	if (l->type == SOCK_DGRAM)
		return ERR_PTR(-EOPNOTSUPP);
	if (l->state != US_LISTEN)
		return ERR_PTR(-EINVAL);
	struct file *f = sock_file(NULL, oflags); /* first: no connection is lost for want of memory */

	if (IS_ERR(f))
		return f;
	struct unix_sock *s = accept_one(l, nonblock);

	if (IS_ERR(s)) {
		file_put(f);
		return ERR_CAST(s);
	}
	f->private = s;
	return f;
}

int unix_shutdown(struct unix_sock *s, int how)
{
	if (how < 0 || how > 2)
		return -EINVAL;
	int mine = how == 0 ? RCV_SHUT : how == 1 ? SND_SHUT : RCV_SHUT | SND_SHUT;
	int theirs = (mine & RCV_SHUT ? SND_SHUT : 0) | (mine & SND_SHUT ? RCV_SHUT : 0);
	struct unix_sock *p;

	mutex_lock(&connect_mutex);
	p = s->type != SOCK_DGRAM ? s->peer : NULL;
	bool connected = s->peer != NULL;
	spin_lock(&s->lock);
	s->shut |= mine;
	spin_unlock(&s->lock);
	if (p) {
		sock_get(p);
		spin_lock(&p->lock);
		p->shut |= theirs;
		spin_unlock(&p->lock);
	}
	mutex_unlock(&connect_mutex);
	unix_wake_all(s);
	if (p) {
		unix_wake_all(p);
		sock_put(p);
	}
	return connected || s->state == US_LISTEN ? 0 : -ENOTCONN;
}

/* The last file is gone (or an accept queue is thrown away): no name, no data, and the peer learns of it. */
void unix_close(struct unix_sock *s)
{
	struct unix_sock *p, *waiting;
	struct inode *i;
	bool unread;

	mutex_lock(&connect_mutex);
	p = s->peer;
	i = s->inode;
	if (s->addr && !hlist_unhashed(&s->name_hash))
		hlist_del_init(&s->name_hash);
	s->inode = NULL;
	spin_lock(&s->lock);
	s->closed = true;
	s->shut = RCV_SHUT | SND_SHUT;
	unread = !list_empty(&s->queue);
	spin_unlock(&s->lock);
	if (p && s->type != SOCK_DGRAM) {
		spin_lock(&p->lock);
		p->shut |= RCV_SHUT | SND_SHUT;
		if (unread || s->state == US_LISTEN)
			p->error = ECONNRESET;
		spin_unlock(&p->lock);
	}
	s->peer = NULL;
	mutex_unlock(&connect_mutex);
	unix_wake_all(s);
	if (p) {
		unix_wake_all(p);
		sock_put(p);
	}
	if (i)
		inode_put(i);
	unix_drop_queue(s);
	while ((waiting = backlog_take(s))) {
		unix_close(waiting);
		sock_put(waiting);
	}
}

void unix_set_sndbuf(struct unix_sock *s, u32 bytes)
{
	mutex_lock(&connect_mutex);
	s->sndbuf = bytes;
	if (s->peer && s->type != SOCK_DGRAM) {
		WRITE_ONCE(s->peer->limit, bytes);
		wake_up_key(&s->peer->space, TASK_NORMAL, 0, 0, POLLOUT | POLLWRNORM);
	}
	mutex_unlock(&connect_mutex);
}

/* A reference on the peer, or NULL. */
struct unix_sock *unix_peer_get(struct unix_sock *s)
{
	struct unix_sock *p;

	mutex_lock(&connect_mutex);
	p = s->peer;
	if (p)
		sock_get(p);
	mutex_unlock(&connect_mutex);
	return p;
}

struct unix_addr *unix_addr_get(struct unix_sock *s)
{
	struct unix_addr *a;

	mutex_lock(&connect_mutex);
	a = s->addr;
	if (a)
		__atomic_fetch_add(&a->refs, 1, __ATOMIC_RELAXED);
	mutex_unlock(&connect_mutex);
	return a;
}
