/* Decode half: splice, tee, vmsplice, sendfile, copy_file_range, inotify. */
#include <fs/inotify.h>
#include <fs/internal.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

/* An offset by reference: read before, written back after when the call moved data. */
static int get_offset(loff_t *v, const loff_t __user *u)
{
	return !u ? 0 : get_user(*v, u) ? -EFAULT : *v < 0 ? -EINVAL : 0;
}

static long put_offset(long r, loff_t v, loff_t __user *u)
{
	return u && r >= 0 && put_user(v, u) ? -EFAULT : r;
}

long sys_sendfile(int out, int in, loff_t __user *uoff, u64 count)
{
	loff_t off = 0;
	long r = get_offset(&off, uoff);

	if (r)
		return r;
	struct fd fin = fdget(in), fout = fdget(out);

	r = -EBADF;
	if (fd_file(fin) && fd_file(fout)) {
		r = do_sendfile(fd_file(fout), fd_file(fin), uoff ? &off : NULL, min(count, MAX_RW_COUNT));
		r = put_offset(r, off, uoff);
	}
	fdput(fin);
	fdput(fout);
	return r;
}

long sys_copy_file_range(int in, loff_t __user *uin, int out, loff_t __user *uout, u64 len, unsigned flags)
{
	struct fd fin = fdget(in), fout = fdget(out);
	struct file *a = fd_file(fin), *b = fd_file(fout);
	long r = -EBADF;

	if (a && b) {
		loff_t pa = a->pos, pb = b->pos;
		r = uin && get_user(pa, uin) ? -EFAULT : uout && get_user(pb, uout) ? -EFAULT : flags ? -EINVAL : 0;
		if (!r)
			r = do_copy_file_range(a, pa, b, pb, len);
		if (r > 0) {
			if (uin ? put_user(pa + r, uin) : (a->pos = pa + r, 0))
				r = -EFAULT;
			if (uout ? put_user(pb + r, uout) : (b->pos = pb + r, 0))
				r = -EFAULT;
		}
	}
	fdput(fin);
	fdput(fout);
	return r;
}

long sys_splice(int in, loff_t __user *uin, int out, loff_t __user *uout, u64 len, unsigned flags)
{
	loff_t pin = 0, pout = 0;

	if (!len)
		return 0;
	if (flags & ~(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return -EINVAL;
	struct fd fin = fdget(in), fout = fdget(out);
	long r = -EBADF;

	if (fd_file(fin) && fd_file(fout)) {
		r = get_offset(&pin, uin);
		if (!r)
			r = get_offset(&pout, uout);
		if (!r)
			r = do_splice(fd_file(fin), uin ? &pin : NULL, fd_file(fout), uout ? &pout : NULL, min(len, MAX_RW_COUNT), flags);
		r = put_offset(put_offset(r, pin, uin), pout, uout);
	}
	fdput(fin);
	fdput(fout);
	return r;
}

long sys_tee(int in, int out, u64 len, unsigned flags)
{
	if (flags & ~(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return -EINVAL;
	if (!len)
		return 0;
	struct fd fin = fdget(in), fout = fdget(out);
	long r = fd_file(fin) && fd_file(fout) ? do_tee(fd_file(fin), fd_file(fout), min(len, MAX_RW_COUNT), flags) : -EBADF;

	fdput(fin);
	fdput(fout);
	return r;
}

long sys_vmsplice(int fd, const void __user *vec, u64 nr, unsigned flags)
{
	struct iovec_k *heap;
	struct iov_iter it;

	if (flags & ~(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return -EINVAL;
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = iov_import(&it, vec, nr, &heap);
	if (r >= 0) {
		r = r ? do_vmsplice(fd_file(f), &it, flags) : 0;
		kfree(heap);
	}
	fdput(f);
	return r;
}

/* ---- inotify ---- */

long sys_inotify_init1(int flags)
{
	return flags & ~(O_CLOEXEC | O_NONBLOCK) ? -EINVAL : do_inotify_init(flags);
}

long sys_inotify_init(void)
{
	return do_inotify_init(0);
}

#define IN_ALL_BITS 0xf700efffu /* events, what the kernel adds to them, flags (inotify(7)) */
long sys_inotify_add_watch(int fd, const char __user *name, u32 mask)
{
	if (mask & ~IN_ALL_BITS || !(mask & IN_ALL_BITS))
		return -EINVAL;
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = do_inotify_add(fd_file(f), name, mask);

	fdput(f);
	return r;
}

long sys_inotify_rm_watch(int fd, int wd)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = do_inotify_remove(fd_file(f), wd);

	fdput(f);
	return r;
}
