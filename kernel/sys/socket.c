/* The socket calls (socket(2) and its family). Only the local family exists; others are EAFNOSUPPORT. */
#include <fs/fdtable.h>
#include <fs/unix.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define FLAGS_OK (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* A socket for one call. ERR_PTR(-EBADF, -ENOTSOCK). */
static struct unix_sock *sock_of(struct fd f)
{
	if (!fd_file(f))
		return ERR_PTR(-EBADF);
	return file_sock(fd_file(f)) ?: ERR_PTR(-ENOTSOCK);
}

static int check_kind(int family, int type, int proto)
{
	int t = type & SOCK_TYPE_MASK;

	if (type & ~(SOCK_TYPE_MASK | FLAGS_OK))
		return -EINVAL;
	if (family != AF_UNIX)
		return -EAFNOSUPPORT;
	if (proto && proto != AF_UNIX)
		return -EPROTONOSUPPORT;
	return t == SOCK_STREAM || t == SOCK_DGRAM || t == SOCK_SEQPACKET ? t : t == 3 ? SOCK_DGRAM : -ESOCKTNOSUPPORT;
}

long sys_socket(int family, int type, int proto)
{
	int t = check_kind(family, type, proto);

	if (t < 0)
		return t;
	struct file *f = unix_socket_file(t, type & SOCK_NONBLOCK);
	return IS_ERR(f) ? PTR_ERR(f) : fd_open_file(f, type & SOCK_CLOEXEC);
}

long sys_socketpair(int family, int type, int proto, s32 __user *ufds)
{
	struct file *f[2];
	int t = check_kind(family, type, proto);

	if (t < 0)
		return t;
	int r = unix_pair(f, t, type & SOCK_NONBLOCK);

	return r ? r : fd_install_pair(f, type & SOCK_CLOEXEC, ufds);
}

/* Copies an address in. 0 or -errno. */
static int get_addr(struct sockaddr_un_k *a, const void __user *u, s32 len)
{
	if (len < (s32)sizeof(a->family) || len > (s32)sizeof(*a))
		return -EINVAL;
	memset(a, 0, sizeof(*a));
	return copy_from_user(a, u, len) ? -EFAULT : 0;
}

/* Copies an address out with the usual in/out length. */
static int put_addr(const struct unix_addr *a, void __user *u, s32 __user *ulen)
{
	struct sockaddr_un_k none = { .family = AF_UNIX };
	u32 full = a ? a->len : sizeof(none.family);
	s32 room;

	if (get_user(room, ulen))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (copy_to_user(u, a ? &a->sun : &none, min_t(u32, room, full)))
		return -EFAULT;
	return put_user((s32)full, ulen);
}

long sys_bind(s32 fd, const void __user *ua, s32 len)
{
	struct sockaddr_un_k a;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : get_addr(&a, ua, len);

	if (!r)
		r = a.family == AF_UNIX ? unix_bind(s, &a, len) : -EINVAL;
	fdput(f);
	return r;
}

long sys_connect(s32 fd, const void __user *ua, s32 len)
{
	struct sockaddr_un_k a;
	struct fd f = fdget(fd);
	long r = fd_file(f) ? get_addr(&a, ua, len) : -EBADF; /* as Linux: a bad address before a file that is no socket */
	struct unix_sock *s = sock_of(f);

	if (IS_ERR(s) && (!r || (r == -EINVAL && (u32)len <= 128)))
		r = PTR_ERR(s);
	if (!r && a.family != AF_UNIX && !(a.family == AF_UNSPEC && s->type == SOCK_DGRAM))
		r = -EINVAL;
	if (!r)
		r = unix_connect(s, &a, len, fd_file(f)->flags & O_NONBLOCK);
	fdput(f);
	return r;
}

long sys_listen(s32 fd, s32 backlog)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : unix_listen(s, backlog);

	fdput(f);
	return r;
}

/* A connection and its address. => the descriptor is there already, so that no connection is lost for want of one */
static struct file *accept_file(struct unix_sock *s, void __user *ua, s32 __user *ulen, s32 flags, bool nonblock)
{
	struct file *n = unix_accept(s, flags & SOCK_NONBLOCK, nonblock);

	if (!IS_ERR(n) && ua) {
		struct unix_sock *peer = file_sock(n)->peer;
		int r = put_addr(peer ? peer->addr : NULL, ua, ulen);

		if (r) {
			file_put(n);
			return ERR_PTR(r);
		}
	}
	return n;
}

long sys_accept4(s32 fd, void __user *ua, s32 __user *ulen, s32 flags)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = fd_file(f) && flags & ~FLAGS_OK ? ERR_PTR(-EINVAL) : sock_of(f);
	long new = IS_ERR(s) ? PTR_ERR(s) : fd_alloc(flags & SOCK_CLOEXEC, 0);

	if (new >= 0) {
		struct file *n = accept_file(s, ua, ulen, flags, fd_file(f)->flags & O_NONBLOCK);

		if (IS_ERR(n)) {
			fd_release(new);
			new = PTR_ERR(n);
		} else {
			fd_install(new, n);
		}
	}
	fdput(f);
	return new;
}

long sys_accept(s32 fd, void __user *ua, s32 __user *ulen)
{
	return sys_accept4(fd, ua, ulen, 0);
}

long sys_shutdown(s32 fd, s32 how)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : unix_shutdown(s, how);

	fdput(f);
	return r;
}

long sys_getsockname(s32 fd, void __user *ua, s32 __user *ulen)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : put_addr(s->addr, ua, ulen);

	fdput(f);
	return r;
}

long sys_getpeername(s32 fd, void __user *ua, s32 __user *ulen)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : s->peer ? put_addr(s->peer->addr, ua, ulen) : -ENOTCONN;

	fdput(f);
	return r;
}

/* Ancillary data ------------------------------------------------------------------------------------------------------------------- */

static void scm_drop(struct scm *scm)
{
	for (u32 i = 0; i < scm->nfds; i++)
		file_put(scm->fds[i]);
	kfree(scm->fds);
	*scm = (struct scm){ 0 };
}

static int scm_rights(struct scm *scm, const u8 *data, u64 len)
{
	u32 n = len / 4;

	if (scm->nfds + n > SCM_MAX_FD)
		return -EINVAL;
	if (!n)
		return 0;
	if (!unix_may_fly())
		return -ETOOMANYREFS;
	/* a message may have several such parts; the receiver sees one */
	struct file **fds = kcalloc(scm->nfds + n, sizeof(*fds), GFP_KERNEL);
	if (!fds)
		return -ENOMEM;
	if (scm->fds)
		memcpy(fds, scm->fds, scm->nfds * sizeof(*fds));
	kfree(scm->fds);
	scm->fds = fds;
	for (u32 i = 0; i < n; i++) {
		s32 fd;

		memcpy(&fd, data + 4 * i, 4);
		struct file *f = fget(fd);
		if (!f)
			return -EBADF;
		scm->fds[scm->nfds++] = f;
	}
	return 0;
}

static int scm_cred(struct scm *scm, const u8 *data, u64 len)
{
	const struct cred *c = current_cred();

	if (len != sizeof(scm->cred))
		return -EINVAL;
	memcpy(&scm->cred, data, sizeof(scm->cred));
	bool pid_ok = scm->cred.pid == current->tgid || capable(CAP_SYS_ADMIN);
	bool uid_ok = scm->cred.uid == c->uid || scm->cred.uid == c->euid || scm->cred.uid == c->suid || capable(CAP_SETUID);
	bool gid_ok = scm->cred.gid == c->gid || scm->cred.gid == c->egid || scm->cred.gid == c->sgid || capable(CAP_SETGID);
	if (!pid_ok || !uid_ok || !gid_ok)
		return -EPERM;
	scm->has_cred = true;
	return 0;
}

/* Reads the control buffer of a send. On failure nothing is left referenced. */
static int scm_get(struct scm *scm, u64 control, u64 len)
{
	*scm = (struct scm){ 0 };
	if (!len)
		return 0;
	if (len > 20480)
		return -ENOBUFS;
	u8 *buf = kmalloc(len, GFP_KERNEL);
	int r = buf ? 0 : -ENOMEM;

	if (buf && copy_from_user(buf, (void __user *)control, len))
		r = -EFAULT;
	for (u64 at = 0; !r && len - at >= sizeof(struct cmsghdr_k);) {
		struct cmsghdr_k h;

		memcpy(&h, buf + at, sizeof(h));
		if (h.len < sizeof(h) || h.len > len - at) {
			r = -EINVAL;
			break;
		}
		if (h.level == SOL_SOCKET && h.type == SCM_RIGHTS)
			r = scm_rights(scm, buf + at + sizeof(h), h.len - sizeof(h));
		else if (h.level == SOL_SOCKET && h.type == SCM_CREDENTIALS)
			r = scm_cred(scm, buf + at + sizeof(h), h.len - sizeof(h));
		else if (h.level == SOL_SOCKET)
			r = -EINVAL;
		at += ALIGN(h.len, 8);
		if (at > len)
			break;
	}
	kfree(buf);
	if (r)
		scm_drop(scm);
	return r;
}

struct control_out { u64 at, left; u32 flags; };

static int put_cmsg(struct control_out *o, s32 type, const void *data, u64 len)
{
	struct cmsghdr_k h = { sizeof(h) + len, SOL_SOCKET, type };

	if (o->left < sizeof(h)) {
		o->flags |= MSG_CTRUNC;
		return 0;
	}
	if (h.len > o->left) {
		o->flags |= MSG_CTRUNC;
		h.len = o->left;
	}
	if (copy_to_user((void __user *)o->at, &h, sizeof(h)) || copy_to_user((void __user *)(o->at + sizeof(h)), data, h.len - sizeof(h)))
		return -EFAULT;
	u64 step = min_t(u64, ALIGN(h.len, 8), o->left);
	o->at += step;
	o->left -= step;
	return 0;
}

/* Received files become descriptors, as many as fit. */
static int put_rights(struct control_out *o, struct scm *scm, bool cloexec)
{
	u64 room = o->left > sizeof(struct cmsghdr_k) ? (o->left - sizeof(struct cmsghdr_k)) / 4 : 0;
	u32 n = min_t(u64, room, scm->nfds), done = 0;
	s32 fds[SCM_MAX_FD]; /* not allocated: the message has left its queue */
	int r = 0;

	while (done < n) {
		s32 fd = fd_alloc(cloexec ? O_CLOEXEC : 0, 0);

		if (fd < 0)
			break;
		fd_install(fd, file_get(scm->fds[done]));
		fds[done++] = fd;
	}
	if (done < scm->nfds)
		o->flags |= MSG_CTRUNC;
	if (done)
		r = put_cmsg(o, SCM_RIGHTS, fds, 4 * done);
	return r;
}

/* Messages --------------------------------------------------------------------------------------------------------------------------- */

static s64 send_user(struct file *f, struct unix_sock *s, const struct msghdr_k *h, u32 flags)
{
	struct sockaddr_un_k a;
	struct iov_iter it;
	struct iovec_k *heap = NULL;
	struct scm scm;
	int r = h->name && h->namelen ? get_addr(&a, (void __user *)h->name, h->namelen) : 0;

	if (r)
		return r;
	s64 n = iov_import(&it, (void __user *)h->iov, h->iovlen, &heap);
	if (n < 0)
		return n;
	r = scm_get(&scm, h->control, h->control ? h->controllen : 0);
	n = r;
	if (!r) {
		if (f->flags & O_NONBLOCK)
			flags |= MSG_DONTWAIT;
		n = unix_send(s, &it, flags, h->name && h->namelen ? &a : NULL, h->namelen, &scm);
		scm_drop(&scm);
	}
	kfree(heap);
	return n;
}

static s64 recv_user(struct file *f, struct unix_sock *s, struct msghdr_k *h, u32 flags)
{
	struct iov_iter it;
	struct iovec_k *heap = NULL;
	struct recv_info info = { 0 };
	struct control_out out = { h->control, h->control ? h->controllen : 0, 0 };
	s64 n = iov_import(&it, (void __user *)h->iov, h->iovlen, &heap);

	if (n < 0)
		return n;
	if (f->flags & O_NONBLOCK)
		flags |= MSG_DONTWAIT;
	n = unix_recv(s, &it, flags, &info);
	kfree(heap);
	int r = 0;
	if (n >= 0 && s->passcred && info.scm.has_cred)
		r = put_cmsg(&out, SCM_CREDENTIALS, &info.scm.cred, sizeof(info.scm.cred));
	if (n >= 0 && !r && info.scm.nfds)
		r = put_rights(&out, &info.scm, flags & MSG_CMSG_CLOEXEC);
	if (n >= 0 && !r && h->name) {
		u32 len = info.from ? info.from->len : 0;

		if (info.from && copy_to_user((void __user *)h->name, &info.from->sun, min_t(u32, len, h->namelen)))
			r = -EFAULT;
		h->namelen = len;
	}
	h->controllen = out.at - h->control;
	h->flags = info.flags | out.flags | (flags & MSG_CMSG_CLOEXEC);
	scm_drop(&info.scm);
	unix_addr_put(info.from);
	return r ?: n;
}

long sys_sendto(s32 fd, const void __user *buf, u64 len, u32 flags, const void __user *ua, s32 alen)
{
	struct sockaddr_un_k a;
	struct iov_iter it;

	if (!access_ok(buf, min(len, 0x7ffff000ull)))
		return -EFAULT;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = IS_ERR(s) ? PTR_ERR(s) : ua ? get_addr(&a, ua, alen) : 0;

	if (!r) {
		iov_init_user(&it, (void __user *)buf, len);
		if (fd_file(f)->flags & O_NONBLOCK)
			flags |= MSG_DONTWAIT;
		r = unix_send(s, &it, flags, ua ? &a : NULL, alen, NULL);
	}
	fdput(f);
	return r;
}

long sys_recvfrom(s32 fd, void __user *buf, u64 len, u32 flags, void __user *ua, s32 __user *ulen)
{
	struct iov_iter it;
	struct recv_info info = { 0 };

	if (!access_ok(buf, min(len, 0x7ffff000ull)))
		return -EFAULT;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = IS_ERR(s) ? PTR_ERR(s) : 0;

	if (!r) {
		iov_init_user(&it, buf, len);
		if (fd_file(f)->flags & O_NONBLOCK)
			flags |= MSG_DONTWAIT;
		r = unix_recv(s, &it, flags, &info);
		if (r >= 0 && ua) {
			int e = info.from ? put_addr(info.from, ua, ulen) : put_user((s32)0, ulen);

			r = e ?: r;
		}
		scm_drop(&info.scm);
		unix_addr_put(info.from);
	}
	fdput(f);
	return r;
}

long sys_sendmsg(s32 fd, const struct msghdr_k __user *uh, u32 flags)
{
	struct msghdr_k h;
	if (flags & MSG_CMSG_COMPAT) /* for 32-bit callers only */
		return -EINVAL;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = IS_ERR(s) ? PTR_ERR(s) : copy_from_user(&h, uh, sizeof(h)) ? -EFAULT : 0;

	if (!r)
		r = send_user(fd_file(f), s, &h, flags);
	fdput(f);
	return r;
}

static s64 recv_one(struct fd f, struct unix_sock *s, struct msghdr_k __user *uh, u32 flags)
{
	struct msghdr_k h;

	if (copy_from_user(&h, uh, sizeof(h)))
		return -EFAULT;
	s64 r = recv_user(fd_file(f), s, &h, flags);
	if (r >= 0 && (put_user(h.namelen, &uh->namelen) || put_user(h.controllen, &uh->controllen) || put_user(h.flags, &uh->flags)))
		r = -EFAULT;
	return r;
}

long sys_recvmsg(s32 fd, struct msghdr_k __user *uh, u32 flags)
{
	if (flags & MSG_CMSG_COMPAT) /* for 32-bit callers only */
		return -EINVAL;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = IS_ERR(s) ? PTR_ERR(s) : recv_one(f, s, uh, flags);

	fdput(f);
	return r;
}

long sys_sendmmsg(s32 fd, struct mmsghdr_k __user *v, u32 n, u32 flags)
{
	if (flags & MSG_CMSG_COMPAT) /* for 32-bit callers only */
		return -EINVAL;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = IS_ERR(s) ? PTR_ERR(s) : 0;
	u32 done = 0;

	for (n = min_t(u32, n, 1024); r >= 0 && !IS_ERR(s) && done < n; done++) {
		struct msghdr_k h;

		r = copy_from_user(&h, &v[done].hdr, sizeof(h)) ? -EFAULT : send_user(fd_file(f), s, &h, flags);
		if (r >= 0 && put_user((u32)r, &v[done].len))
			r = -EFAULT;
		if (r < 0)
			break;
	}
	fdput(f);
	return done ?: r;
}

long sys_recvmmsg(s32 fd, struct mmsghdr_k __user *v, u32 n, u32 flags, const s64 __user *uts)
{
	if (flags & MSG_CMSG_COMPAT) /* for 32-bit callers only */
		return -EINVAL;
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	s64 r = 0, ts[2];
	u64 deadline = ~0ull;
	u32 done = 0;

	if (uts) {
		if (copy_from_user(ts, uts, sizeof(ts)))
			r = -EFAULT;
		else if (ts[0] < 0 || (u64)ts[1] >= NSEC_PER_SEC)
			r = -EINVAL;
		else
			deadline = ktime_ns() + ts[0] * NSEC_PER_SEC + ts[1];
	}
	if (!r && IS_ERR(s))
		r = PTR_ERR(s);
	for (n = min_t(u32, n, 1024); r >= 0 && !IS_ERR(s) && done < n; done++) {
		r = recv_one(f, s, &v[done].hdr, flags & ~MSG_WAITFORONE);
		if (r >= 0 && put_user((u32)r, &v[done].len))
			r = -EFAULT;
		if (r < 0)
			break;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (ktime_ns() > deadline) {
			done++;
			break;
		}
	}
	fdput(f);
	return done ?: r;
}

/* Options ------------------------------------------------------------------------------------------------------------------------------ */

static int get_timeout(u64 *ns, const void __user *u, s32 len)
{
	s64 tv[2];

	if (len < (s32)sizeof(tv))
		return -EINVAL;
	if (copy_from_user(tv, u, sizeof(tv)))
		return -EFAULT;
	if (tv[1] < 0 || tv[1] >= 1000000)
		return -EDOM;
	*ns = tv[0] < 0 ? 0 : (u64)tv[0] * NSEC_PER_SEC + tv[1] * NSEC_PER_USEC;
	return 0;
}

static int set_option(struct unix_sock *s, s32 name, const void __user *u, s32 len)
{
	s32 v = 0;

	if (name == SO_RCVTIMEO)
		return get_timeout(&s->rcvtimeo, u, len);
	if (name == SO_SNDTIMEO)
		return get_timeout(&s->sndtimeo, u, len);
	if (len < 4)
		return -EINVAL;
	if (get_user(v, (s32 __user *)u))
		return -EFAULT;
	switch (name) {
	case SO_PASSCRED:
		s->passcred = v != 0;
		return 0;
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		unix_set_sndbuf(s, (u32)clamp(v, 2304, 212992) * 2);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		s->rcvbuf = clamp(v, 1152, 212992) * 2;
		return 0;
	case SO_REUSEADDR:
	case SO_KEEPALIVE:
	case SO_BROADCAST:
	case SO_LINGER:
	case SO_RCVLOWAT:
		return 0; /* accepted; they change nothing for local sockets */
	case SO_TYPE:
	case SO_DOMAIN:
	case SO_PROTOCOL:
	case SO_ERROR:
	case SO_ACCEPTCONN:
	case SO_PEERCRED:
		return -ENOPROTOOPT;
	}
	return -ENOPROTOOPT;
}

long sys_setsockopt(s32 fd, s32 level, s32 name, const void __user *u, s32 len)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	long r = IS_ERR(s) ? PTR_ERR(s) : len < 0 ? -EINVAL : level != SOL_SOCKET ? -EOPNOTSUPP : set_option(s, name, u, len);

	fdput(f);
	return r;
}

static int option_value(struct unix_sock *s, s32 name, u64 v[2], u32 *len)
{
	s32 n = 0;

	*len = 4;
	switch (name) {
	case SO_TYPE: n = s->type; break;
	case SO_DOMAIN: n = AF_UNIX; break;
	case SO_PROTOCOL: case SO_REUSEADDR: case SO_KEEPALIVE: case SO_BROADCAST: n = 0; break;
	case SO_RCVLOWAT: n = 1; break;
	case SO_ERROR: spin_lock(&s->lock); n = s->error; s->error = 0; spin_unlock(&s->lock); break;
	case SO_SNDBUF: n = s->sndbuf; break;
	case SO_RCVBUF: n = s->rcvbuf; break;
	case SO_PASSCRED: n = s->passcred; break;
	case SO_ACCEPTCONN: n = s->state == US_LISTEN; break;
	case SO_LINGER: v[0] = 0; *len = 8; return 0;
	case SO_RCVTIMEO:
	case SO_SNDTIMEO: {
		u64 ns = name == SO_RCVTIMEO ? s->rcvtimeo : s->sndtimeo;
		v[0] = ns / NSEC_PER_SEC;
		v[1] = ns % NSEC_PER_SEC / NSEC_PER_USEC;
		*len = 16;
		return 0;
	}
	case SO_PEERCRED: {
		struct ucred_k none = { 0, ~0u, ~0u };
		memcpy(v, s->peercred.pid ? &s->peercred : &none, sizeof(none));
		*len = sizeof(none);
		return 0;
	}
	default:
		return -ENOPROTOOPT;
	}
	memcpy(v, &n, 4);
	return 0;
}

long sys_getsockopt(s32 fd, s32 level, s32 name, void __user *u, s32 __user *ulen)
{
	struct fd f = fdget(fd);
	struct unix_sock *s = sock_of(f);
	u64 v[2] = { 0 };
	u32 n;
	s32 room = 0;
	long r = IS_ERR(s) ? PTR_ERR(s) : get_user(room, ulen) ? -EFAULT : room < 0 ? -EINVAL : 0;

	if (!r && level != SOL_SOCKET)
		r = -EOPNOTSUPP;
	if (!r)
		r = option_value(s, name, v, &n);
	if (!r) {
		n = min_t(u32, n, room);
		r = copy_to_user(u, v, n) || put_user((s32)n, ulen) ? -EFAULT : 0;
	}
	fdput(f);
	return r;
}
