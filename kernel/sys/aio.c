/* Decode half of the old asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2). */
#include <fs/aio.h>
#include <fs/internal.h>
#include <kernel/time.h>
#include <mm/slab.h>
#include <proc/signal.h>
#include <sys/util.h>

enum { PREAD, PWRITE, FSYNC, FDSYNC, POLL = 5, PREADV = 7, PWRITEV };
#define FLAG_RESFD 1u

struct iocb_user {
	u64 data;
	u32 key;
	s32 rw_flags;
	u16 opcode;
	s16 prio;
	u32 fd;
	u64 buf, n;
	s64 offset;
	u64 reserved2;
	u32 flags, resfd;
};
_Static_assert(sizeof(struct iocb_user) == 64, "ABI");

long sys_io_setup(u32 nr, u64 __user *uid)
{
	u64 id;

	if (get_user(id, uid))
		return -EFAULT;
	if (id || !nr)
		return -EINVAL;
	int err = aio_setup(nr, &id);
	if (!err && put_user(id, uid)) {
		aio_destroy(id);
		err = -EFAULT;
	}
	return err;
}

long sys_io_destroy(u64 id)
{
	return aio_destroy(id);
}

/* ---- submitting ---- */

static s64 rw_result(s64 n)
{
	return n == -ERESTARTSYS || n == -ERESTARTNOINTR || n == -ERESTARTNOHAND || n == -ERESTART_RESTARTBLOCK ? -EINTR : n;
}

/* An error here is io_submit's; what the operation itself says is the event's result. */
static int submit_rw(struct aio_request *r, const struct iocb_user *u, bool write, bool vector)
{
	struct file *f = r->file;
	struct iovec_k *heap = NULL;
	struct iov_iter it;
	loff_t pos = u->offset;
	s64 n = 0;

	if (!(f->fmode & (write ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	if (write ? !f->ops->write : !f->ops->read)
		return -EINVAL;
	int err = rwf_checks(f, u->rw_flags);
	if (err)
		return err;
	if (vector)
		n = iov_import(&it, (const void __user *)u->buf, u->n, &heap);
	else if (access_ok((void __user *)u->buf, u->n))
		iov_init_user(&it, (void __user *)u->buf, min(u->n, MAX_RW_COUNT));
	else
		n = -EFAULT;
	if (n >= 0 && (pos < 0 || pos > S64_MAX - (loff_t)it.count))
		n = -EINVAL;
	if (n < 0) {
		kfree(heap);
		return (int)n;
	}
	if (write && u->rw_flags & RWF_APPEND && S_ISREG(f->inode->mode))
		pos = f->inode->size;
	n = write ? vfs_write(f, &it, &pos) : vfs_read(f, &it, &pos);
	kfree(heap);
	aio_complete(r, rw_result(n));
	return 0;
}

static int submit_sync(struct aio_request *r, const struct iocb_user *u, bool data)
{
	if (u->buf || u->offset || u->n || u->rw_flags || !r->file->ops->fsync)
		return -EINVAL;
	aio_complete(r, vfs_fsync(r->file, data));
	return 0;
}

static int submit_poll(struct aio_request *r, const struct iocb_user *u)
{
	if (u->buf != (u16)u->buf || u->offset || u->n || u->rw_flags)
		return -EINVAL;
	return aio_poll(r, (u32)u->buf);
}

static int dispatch(struct aio_request *r, const struct iocb_user *u)
{
	switch (u->opcode) {
	case PREAD:
	case PREADV:
		return submit_rw(r, u, false, u->opcode == PREADV);
	case PWRITE:
	case PWRITEV:
		return submit_rw(r, u, true, u->opcode == PWRITEV);
	case FSYNC:
	case FDSYNC:
		return submit_sync(r, u, u->opcode == FDSYNC);
	case POLL:
		return submit_poll(r, u);
	}
	return -EINVAL;
}

static int submit_one(struct aio_context *c, struct iocb_user __user *up)
{
	struct aio_request *r;
	struct iocb_user u;
	int err = 0;

	if (copy_from_user(&u, up, sizeof(u)))
		return -EFAULT;
	if (u.reserved2 || (s64)u.n < 0)
		return -EINVAL;
	r = aio_request_new(c);
	if (IS_ERR(r))
		return PTR_ERR(r);
	r->data = u.data;
	r->iocb = (u64)up;
	r->file = fget(u.fd);
	if (!r->file || r->file->fmode & FMODE_PATH)
		err = -EBADF;
	if (!err && u.flags & FLAG_RESFD) {
		r->eventfd = fget(u.resfd);
		err = !r->eventfd ? -EBADF : is_eventfd(r->eventfd) ? 0 : -EINVAL;
	}
	if (!err && put_user(0u, &up->key))
		err = -EFAULT;
	if (!err)
		err = dispatch(r, &u);
	if (err)
		aio_drop(r);
	return err;
}

long sys_io_submit(u64 id, long nr, struct iocb_user __user *__user *ups)
{
	struct iocb_user __user *up;
	int err = 0;
	long i;

	if (nr < 0)
		return -EINVAL;
	struct aio_context *c = aio_find(id);
	if (!c)
		return -EINVAL;
	nr = min_t(long, nr, aio_capacity(c));
	for (i = 0; i < nr && !err; i += !err)
		err = get_user(up, &ups[i]) ? -EFAULT : submit_one(c, up);
	aio_context_put(c);
	return i ?: err;
}

long sys_io_cancel(u64 id, struct iocb_user __user *up, void __user *event)
{
	struct aio_request *r;
	u32 key;
	int err = -EINVAL;

	(void)event; /* the event comes through the ring */
	if (get_user(key, &up->key))
		return -EFAULT;
	if (key)
		return -EINVAL;
	struct aio_context *c = aio_find(id);
	if (!c)
		return -EINVAL;
	r = aio_find_active(c, (u64)up);
	if (r && aio_deactivate(r)) {
		aio_poll_cancel(r, true);
		err = -EINPROGRESS;
	}
	if (r)
		aio_request_put(r);
	aio_context_put(c);
	return err;
}

/* ---- events ---- */

static long get_events(u64 id, long min, long nr, struct io_event_k __user *to, const void __user *uts)
{
	u64 deadline = U64_MAX, ns;

	if (uts) {
		int err = get_timespec_ns(&ns, uts);
		if (err)
			return err;
		deadline = ns ? ns_add_sat(ktime_ns(), ns) : 0;
	}
	struct aio_context *c = aio_find(id);
	if (!c)
		return -EINVAL;
	long r = min < 0 || min > nr ? -EINVAL : aio_read_events(c, min, nr, to, deadline);
	aio_context_put(c);
	return r;
}

long sys_io_getevents(u64 id, long min, long nr, struct io_event_k __user *to, const void __user *uts)
{
	return get_events(id, min, nr, to, uts);
}

long sys_io_pgetevents(u64 id, long min, long nr, struct io_event_k __user *to, const void __user *uts, const void __user *usig)
{
	struct { u64 mask, size; } sig = { 0, 0 };

	if (usig && copy_from_user(&sig, usig, sizeof(sig)))
		return -EFAULT;
	int err = set_user_sigmask((const void __user *)sig.mask, sig.size);
	if (err)
		return err;
	long r = get_events(id, min, nr, to, uts);
	restore_saved_sigmask_unless(r == -EINTR);
	return r == -EINTR ? -ERESTARTNOHAND : r;
}
