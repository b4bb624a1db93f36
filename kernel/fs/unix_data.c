/*
 * Local sockets: sending and receiving, readiness, and the file operations.
 *
 * A message is one allocation with its bytes inline. Streams cut what is written into messages of at most STREAM_CHUNK, or half the send buffer, and
 * readers glue them together, stopping before a message that carries files or comes with other credentials.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>
#include "unix_impl.h"

#define STREAM_CHUNK 16000u

void unix_msg_free(struct unix_msg *m)
{
	struct scm scm = { 0 };

	if (m->nfds)
		unix_land(m, &scm);
	for (u32 i = 0; i < scm.nfds; i++)
		file_put(scm.fds[i]);
	kfree(scm.fds);
	unix_addr_put(m->from);
	kvfree(m);
}

void unix_drop_queue(struct unix_sock *s)
{
	for (;;) {
		struct unix_msg *m = NULL;

		spin_lock(&s->lock);
		if (!list_empty(&s->queue)) {
			m = list_first_entry(&s->queue, struct unix_msg, link);
			list_del(&m->link);
			s->queued -= unix_msg_cost(m);
		}
		spin_unlock(&s->lock);
		if (!m)
			return;
		unix_msg_discard(m);
	}
}

/* Sending ---------------------------------------------------------------------------------------------------------------------- */

static bool has_room(struct unix_sock *to)
{
	return READ_ONCE(to->queued) < READ_ONCE(to->limit);
}

/* Waits for room at @to. 0 or -errno. */
static int wait_room(struct unix_sock *s, struct unix_sock *to, u32 flags)
{
	if (has_room(to))
		return 0;
	if (flags & MSG_DONTWAIT)
		return -EAGAIN;
	u64 deadline = s->sndtimeo ? ktime_ns() + s->sndtimeo : ~0ull;
	int r = wait_event_interruptible_until(to->space, has_room(to) || to->closed || (s->shut & SND_SHUT), deadline);
	return r == -ETIME ? -EAGAIN : r;
}

static struct unix_msg *msg_new(struct iov_iter *from, u32 n, int *err)
{
	struct unix_msg *m = kvmalloc(sizeof(*m) + n, GFP_KERNEL);

	*err = -ENOMEM;
	if (!m)
		return NULL;
	m->len = n;
	m->off = m->nfds = m->nsocks = 0;
	m->fds = NULL;
	m->from = NULL;
	*err = -EFAULT;
	if (copy_from_iter(m->data, from, n) != n) {
		kvfree(m);
		return NULL;
	}
	return m;
}

/* Puts a message on @to's queue. 0, -EPIPE or -ECONNREFUSED: then the message is still the caller's. */
static int enqueue(struct unix_sock *s, struct unix_sock *to, struct unix_msg *m)
{
	int r = 0;

	spin_lock(&to->lock);
	if (to->closed || (to->shut & RCV_SHUT)) {
		r = s->type == SOCK_DGRAM && to->closed ? -ECONNREFUSED : -EPIPE;
	} else {
		list_add_tail(&m->link, &to->queue);
		to->queued += unix_msg_cost(m);
	}
	spin_unlock(&to->lock);
	if (!r)
		wake_up_sync_poll(&to->wait, POLLIN | POLLRDNORM);
	return r;
}

static void msg_attach(struct unix_sock *s, struct unix_msg *m, struct scm *scm)
{
	m->cred = scm && scm->has_cred ? scm->cred : unix_my_cred();
	if (s->type == SOCK_DGRAM)
		m->from = unix_addr_get(s);
	if (scm) {
		m->fds = scm->fds;
		m->nfds = scm->nfds;
		scm->fds = NULL;
		scm->nfds = 0;
		if (m->nfds)
			unix_fly(m);
	}
}

/* One message of @n bytes to @to. Bytes or -errno. */
static s64 send_one(struct unix_sock *s, struct unix_sock *to, struct iov_iter *from, u32 n, u32 flags, struct scm *scm)
{
	int r = wait_room(s, to, flags);

	if (r)
		return r;
	if (s->shut & SND_SHUT)
		return -EPIPE;
	struct unix_msg *m = msg_new(from, n, &r);
	if (!m)
		return r;
	msg_attach(s, m, scm);
	r = enqueue(s, to, m);
	if (!r)
		return n;
	if (m->nfds)
		unix_land(m, scm); /* the caller still owns the files */
	unix_msg_free(m);
	return r;
}

static s64 send_stream(struct unix_sock *s, struct unix_sock *to, struct iov_iter *from, u32 flags, struct scm *scm)
{
	u32 chunk = min(STREAM_CHUNK, READ_ONCE(s->sndbuf) / 2); /* a small buffer holds two */
	s64 done = 0;

	while (from->count) {
		s64 r = send_one(s, to, from, min_t(u64, from->count, chunk), flags, done ? NULL : scm);

		if (r < 0)
			return done ?: r;
		done += r;
	}
	return done;
}

s64 unix_send(struct unix_sock *s, struct iov_iter *from, u32 flags, const struct sockaddr_un_k *dest, u32 len, struct scm *scm)
{
	struct unix_sock *to;
	s64 r;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (s->type == SOCK_DGRAM && dest) {
		to = unix_find_dgram(dest, len);
		if (IS_ERR(to))
			return PTR_ERR(to);
	} else {
		if (dest)
			return s->state == US_CONNECTED ? -EISCONN : -EOPNOTSUPP;
		/* a stream's peer lives as long as the stream is open, which the caller's file holds */
		to = s->type != SOCK_DGRAM && s->state == US_CONNECTED ? READ_ONCE(s->peer) : unix_peer_get(s);
		if (!to)
			return -ENOTCONN;
	}
	if (s->shut & SND_SHUT)
		r = -EPIPE;
	else if (s->type == SOCK_STREAM)
		r = send_stream(s, to, from, flags, scm);
	else
		r = from->count > s->sndbuf ? -EMSGSIZE : send_one(s, to, from, from->count, flags, scm);
	if (s->type == SOCK_DGRAM)
		sock_put(to);
	if (r == -EPIPE && s->type != SOCK_DGRAM && !(flags & MSG_NOSIGNAL))
		send_signal(SIGPIPE, NULL, current, false);
	return r;
}

/* Receiving ---------------------------------------------------------------------------------------------------------------------- */

static struct unix_msg *queue_head(struct unix_sock *s)
{
	struct unix_msg *m = NULL;

	spin_lock(&s->lock);
	if (!list_empty(&s->queue))
		m = list_first_entry(&s->queue, struct unix_msg, link);
	spin_unlock(&s->lock);
	return m;
}

static void queue_pop(struct unix_sock *s, struct unix_msg *m)
{
	spin_lock(&s->lock);
	list_del(&m->link);
	u32 before = s->queued;
	s->queued -= unix_msg_cost(m);
	bool opened = before >= s->limit / 2 && s->queued < s->limit;
	spin_unlock(&s->lock);
	if (opened || wait_queue_active(&s->space))
		wake_up_key(&s->space, TASK_NORMAL, 0, 0, POLLOUT | POLLWRNORM);
}

static int take_error(struct unix_sock *s)
{
	spin_lock(&s->lock);
	int e = s->error;
	s->error = 0;
	spin_unlock(&s->lock);
	return -e;
}

/* Waits for a message. NULL and *err (0: end of stream). => read_mutex held; it is dropped while sleeping */
static struct unix_msg *wait_message(struct unix_sock *s, u32 flags, u64 deadline, int *err)
{
	for (;;) {
		struct unix_msg *m = queue_head(s);

		*err = 0;
		if (m)
			return m;
		*err = take_error(s);
		if (*err || (s->shut & RCV_SHUT))
			return NULL;
		if (s->type != SOCK_DGRAM && s->state != US_CONNECTED) {
			*err = s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
			return NULL;
		}
		if (flags & MSG_DONTWAIT) {
			*err = -EAGAIN;
			return NULL;
		}
		mutex_unlock(&s->read_mutex);
		int r = wait_event_interruptible_until(s->wait, !list_empty(&s->queue) || s->error || (s->shut & RCV_SHUT), deadline);
		mutex_lock(&s->read_mutex);
		if (r) {
			*err = r == -ETIME ? -EAGAIN : r;
			return NULL;
		}
	}
}

/* Gives what comes with a message to the receiver: moved, or (peek) copied with references. */
static int take_ancillary(struct unix_msg *m, struct recv_info *info, bool peek)
{
	info->scm.cred = m->cred;
	info->scm.has_cred = true;
	if (m->nfds && peek) {
		info->scm.fds = kcalloc(m->nfds, sizeof(*m->fds), GFP_KERNEL);
		if (!info->scm.fds)
			return -ENOMEM;
		unix_peek_files(m, &info->scm);
	} else if (m->nfds) {
		unix_land(m, &info->scm);
	}
	return 0;
}

static s64 recv_packet(struct unix_sock *s, struct iov_iter *to, u32 flags, struct recv_info *info, u64 deadline)
{
	int err;
	struct unix_msg *m = wait_message(s, flags, deadline, &err);

	if (!m)
		return err;
	u64 n = min_t(u64, to->count, m->len);
	if (copy_to_iter(to, m->data, n) != n)
		return -EFAULT;
	if (m->len > n)
		info->flags |= MSG_TRUNC;
	info->full_len = m->len;
	info->from = m->from;
	if (m->from)
		__atomic_fetch_add(&m->from->refs, 1, __ATOMIC_RELAXED);
	err = take_ancillary(m, info, flags & MSG_PEEK);
	if (err)
		return err;
	if (!(flags & MSG_PEEK)) {
		queue_pop(s, m);
		unix_msg_free(m);
	}
	return flags & MSG_TRUNC ? (s64)info->full_len : (s64)n;
}

static bool same_cred(const struct ucred_k *a, const struct ucred_k *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

static s64 recv_stream(struct unix_sock *s, struct iov_iter *to, u32 flags, struct recv_info *info, u64 deadline)
{
	struct unix_msg *m = NULL;
	s64 done = 0;
	int err = 0;

	while (to->count) {
		if (flags & MSG_PEEK && m) { /* walk on without taking */
			spin_lock(&s->lock);
			m = m->link.next == &s->queue ? NULL : list_entry(m->link.next, struct unix_msg, link);
			spin_unlock(&s->lock);
		} else {
			m = done && !(flags & MSG_WAITALL) ? queue_head(s) : wait_message(s, flags, deadline, &err);
		}
		if (!m || (done && (m->nfds || info->scm.nfds || (s->passcred && !same_cred(&m->cred, &info->scm.cred)))))
			break;
		u64 n = min_t(u64, to->count, m->len - m->off);
		u64 got = copy_to_iter(to, m->data + m->off, n);
		done += got;
		if (got < n) {
			err = -EFAULT;
			break;
		}
		if (!info->scm.has_cred || m->nfds)
			err = take_ancillary(m, info, flags & MSG_PEEK);
		if (err)
			break;
		if (flags & MSG_PEEK)
			continue;
		m->off += n;
		if (m->off == m->len) {
			queue_pop(s, m);
			unix_msg_free(m);
		}
	}
	return done ?: err;
}

s64 unix_recv(struct unix_sock *s, struct iov_iter *to, u32 flags, struct recv_info *info)
{
	u64 deadline = s->rcvtimeo ? ktime_ns() + s->rcvtimeo : ~0ull;
	s64 r;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	mutex_lock(&s->read_mutex);
	if (s->type == SOCK_STREAM)
		r = to->count ? recv_stream(s, to, flags, info, deadline) : 0;
	else
		r = recv_packet(s, to, flags, info, deadline);
	mutex_unlock(&s->read_mutex);
	return r;
}

/* Files -------------------------------------------------------------------------------------------------------------------------- */

static void info_drop(struct recv_info *info)
{
	for (u32 i = 0; i < info->scm.nfds; i++)
		file_put(info->scm.fds[i]);
	kfree(info->scm.fds);
	unix_addr_put(info->from);
}

static s64 sock_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct recv_info info = { 0 };
	s64 r = unix_recv(f->private, to, f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0, &info);

	info_drop(&info);
	return r;
}

static s64 sock_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	(void)pos;
	return unix_send(f->private, from, f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0, NULL, 0, NULL);
}

static u32 sock_poll(struct file *f, struct poll_table *pt)
{
	struct unix_sock *s = f->private, *p;
	u32 ev = 0;

	poll_wait(f, &s->wait, pt);
	p = unix_peer_get(s);
	if (p)
		poll_wait(f, &p->space, pt);
	smp_mb(); /* queued before the state is read */
	u8 shut = READ_ONCE(s->shut);
	if (!list_empty(&s->queue) || !list_empty(&s->backlog) || (shut & RCV_SHUT))
		ev |= POLLIN | POLLRDNORM;
	if (shut & RCV_SHUT)
		ev |= POLLRDHUP;
	if (s->error)
		ev |= POLLERR;
	if (shut == (RCV_SHUT | SND_SHUT) || (s->type != SOCK_DGRAM && s->state == US_FREE))
		ev |= POLLHUP;
	if (s->state != US_LISTEN && (!p || has_room(p)))
		ev |= POLLOUT | POLLWRNORM;
	if (p) /* the queue it registered on stays: a peer is only dropped when this file is released */
		sock_put(p);
	return ev;
}

#define SIOCINQ 0x541B
#define SIOCOUTQ 0x5411
static long sock_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct unix_sock *s = f->private;
	struct unix_msg *m;
	s32 n = 0;

	if (cmd == SIOCINQ) {
		spin_lock(&s->lock);
		list_for_each_entry(m, &s->queue, link) {
			n += m->len - m->off;
			if (s->type != SOCK_STREAM)
				break;
		}
		spin_unlock(&s->lock);
		return put_user(n, (s32 __user *)arg);
	}
	if (cmd == SIOCOUTQ) {
		struct unix_sock *p = unix_peer_get(s);

		if (p) {
			n = READ_ONCE(p->queued);
			sock_put(p);
		}
		return put_user(n, (s32 __user *)arg);
	}
	return -ENOTTY;
}

static void sock_release(struct inode *i, struct file *f)
{
	(void)i;
	struct unix_sock *s = f->private;

	if (!s)
		return;
	unix_close(s);
	sock_put(s);
	unix_collect();
}

const struct file_ops unix_fops = {
	.read = sock_read,
	.write = sock_write,
	.poll = sock_poll,
	.fasync = poll_fasync,
	.ioctl = sock_ioctl,
	.release = sock_release,
};
