/*
 * Reading, writing and seeking on open files: the checks that do not depend on the kind of file. See sys/fs_rw.c for the calls.
 */
#include <fs/internal.h>
#include <proc/signal.h>

s64 vfs_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	if (unlikely(!(f->fmode & FMODE_READ)))
		return -EBADF;
	if (unlikely(!f->ops->read))
		return -EINVAL;
	s64 n = f->ops->read(f, to, pos);

	if (n > 0)
		fsnotify(f->path.dentry, FS_ACCESS);
	return n;
}

s64 vfs_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	if (unlikely(!(f->fmode & FMODE_WRITE)))
		return -EBADF;
	if (unlikely(!f->ops->write))
		return -EINVAL;
	s64 n = f->ops->write(f, from, pos);

	if (n > 0)
		fsnotify(f->path.dentry, FS_MODIFY);
	return n;
}

s64 kernel_read(struct file *f, void *buf, u64 n, loff_t *pos)
{
	struct iov_iter it;

	iov_init_kernel(&it, buf, min(n, MAX_RW_COUNT));
	return vfs_read(f, &it, pos);
}

s64 kernel_write(struct file *f, const void *buf, u64 n, loff_t *pos)
{
	struct iov_iter it;

	iov_init_kernel(&it, (void *)buf, min(n, MAX_RW_COUNT));
	return vfs_write(f, &it, pos);
}

int generic_write_checks(struct file *f, loff_t *pos, u64 *count)
{
	if (!*count)
		return 0;
	if (f->flags & O_APPEND)
		*pos = f->inode->size;
	u64 limit = current->signal->rlim[RLIMIT_FSIZE].rlim_cur;

	if (unlikely(limit != RLIM_INFINITY)) {
		if ((u64)*pos >= limit) {
			send_signal(SIGXFSZ, NULL, current, false);
			return -EFBIG;
		}
		*count = min(*count, limit - (u64)*pos);
	}
	if (unlikely(*pos >= (loff_t)(S64_MAX & PAGE_MASK)))
		return -EFBIG;
	*count = min(*count, (u64)((S64_MAX & PAGE_MASK) - *pos));
	return 0;
}

/* ---- seeking ---- */

loff_t fixed_size_llseek(struct file *f, loff_t off, int whence, loff_t size, loff_t max)
{
	loff_t to;

	switch (whence) {
	case SEEK_SET:
		to = off;
		break;
	case SEEK_CUR:
		if (__builtin_add_overflow(f->pos, off, &to))
			return -EINVAL;
		break;
	case SEEK_END:
		if (__builtin_add_overflow(size, off, &to))
			return -EINVAL;
		break;
	case SEEK_DATA: /* without knowledge of holes all is data, and the end is the only hole */
		if (off < 0 || off >= size)
			return -ENXIO;
		to = off;
		break;
	case SEEK_HOLE:
		if (off < 0 || off >= size)
			return -ENXIO;
		to = size;
		break;
	default:
		return -EINVAL;
	}
	if (to < 0 || to > max)
		return -EINVAL;
	f->pos = to;
	return to;
}

loff_t generic_llseek(struct file *f, loff_t off, int whence)
{
	return fixed_size_llseek(f, off, whence, READ_ONCE(f->inode->size), S64_MAX);
}

loff_t vfs_llseek(struct file *f, loff_t off, int whence)
{
	if (!(f->fmode & FMODE_LSEEK) || !f->ops->llseek)
		return -ESPIPE;
	return f->ops->llseek(f, off, whence);
}

int vfs_fsync(struct file *f, bool datasync)
{
	if (!f->ops->fsync)
		return -EINVAL;
	return f->ops->fsync(f, datasync);
}
