/* Decode half: reading, writing, seeking, syncing, truncating. */
#include <fs/internal.h>
#include <fs/readdir.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

/*
 * read and write at the file's own position. The position is locked only when the open file is shared with another descriptor,
 * task or in-flight call; a file that is only ours cannot be used twice at once.
 */
long sys_read(unsigned fd, char __user *buf, u64 n)
{
	struct fd fd_ = fdget(fd);
	struct file *f = fd_file(fd_);
	struct iov_iter it;
	long r;

	if (unlikely(!f))
		return -EBADF;
	if (unlikely(!(f->fmode & FMODE_READ)))
		r = -EBADF;
	else if (unlikely(!f->ops->read))
		r = -EINVAL;
	else if (unlikely(!access_ok(buf, n)))
		r = -EFAULT;
	else {
		iov_init_user(&it, buf, min(n, MAX_RW_COUNT));
		bool shared = file_pos_shared(f);
		if (unlikely(shared))
			mutex_lock(&f->pos_lock);
		r = f->ops->read(f, &it, &f->pos);
		if (unlikely(shared))
			mutex_unlock(&f->pos_lock);
		if (r > 0)
			fsnotify(f->path.dentry, FS_ACCESS);
	}
	fdput(fd_);
	return r;
}

long sys_write(unsigned fd, const char __user *buf, u64 n)
{
	struct fd fd_ = fdget(fd);
	struct file *f = fd_file(fd_);
	struct iov_iter it;
	long r;

	if (unlikely(!f))
		return -EBADF;
	if (unlikely(!(f->fmode & FMODE_WRITE)))
		r = -EBADF;
	else if (unlikely(!f->ops->write))
		r = -EINVAL;
	else if (unlikely(!access_ok(buf, n)))
		r = -EFAULT;
	else {
		iov_init_user(&it, (void __user *)buf, min(n, MAX_RW_COUNT));
		bool shared = file_pos_shared(f);
		if (unlikely(shared))
			mutex_lock(&f->pos_lock);
		r = f->ops->write(f, &it, &f->pos);
		if (unlikely(shared))
			mutex_unlock(&f->pos_lock);
		if (r > 0)
			fsnotify(f->path.dentry, FS_MODIFY);
	}
	fdput(fd_);
	return r;
}

/* At a position given. => pos >= 0 checked */
static long rw_at(struct file *f, struct iov_iter *it, loff_t pos, bool write)
{
	if (!(f->fmode & (write ? FMODE_PWRITE : FMODE_PREAD)))
		return -ESPIPE;
	if (pos > S64_MAX - (loff_t)it->count)
		return -EINVAL;
	return write ? vfs_write(f, it, &pos) : vfs_read(f, it, &pos);
}

static long p64(unsigned fd, char __user *buf, u64 n, loff_t pos, bool write)
{
	struct iov_iter it;

	if (pos < 0)
		return -EINVAL;
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	iov_init_user(&it, buf, min(n, MAX_RW_COUNT));
	long r = access_ok(buf, n) ? rw_at(fd_file(f), &it, pos, write) : -EFAULT;

	fdput(f);
	return r;
}

long sys_pread64(unsigned fd, char __user *buf, u64 n, loff_t pos)
{
	return p64(fd, buf, n, pos, false);
}

long sys_pwrite64(unsigned fd, const char __user *buf, u64 n, loff_t pos)
{
	return p64(fd, (char __user *)buf, n, pos, true);
}

/* ---- vectors ---- */

static long rw_here(struct file *f, struct iov_iter *it, bool write)
{
	bool shared = file_pos_shared(f);

	if (shared)
		mutex_lock(&f->pos_lock);
	long r = write ? vfs_write(f, it, &f->pos) : vfs_read(f, it, &f->pos);

	if (shared)
		mutex_unlock(&f->pos_lock);
	return r;
}

/* RWF_* flags this kernel honours: everything here is in memory, so synchronous and high-priority ask for nothing more. */
int rwf_checks(struct file *f, int flags)
{
	if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND))
		return -EOPNOTSUPP;
	return flags & RWF_NOWAIT && !(f->fmode & FMODE_NOWAIT_OK) ? -EOPNOTSUPP : 0;
}

/* pos -1: the file's own position. */
static long rw_vector(unsigned fd, const void __user *vec, u64 nr, loff_t pos, int flags, bool write)
{
	struct iovec_k *heap;
	struct iov_iter it;
	struct fd fd_ = fdget(fd);
	struct file *f = fd_file(fd_);
	long r;

	if (!f)
		return -EBADF;
	r = pos != -1 && f->fmode & FMODE_STREAM ? -ESPIPE : f->fmode & (write ? FMODE_WRITE : FMODE_READ) ? 0 : -EBADF;
	if (r)
		goto out;
	r = iov_import(&it, vec, nr, &heap);
	if (r < 0)
		goto out;
	r = rwf_checks(f, flags);
	if (!r && !it.count) { /* nothing asked for: not even a directory minds */
		kfree(heap);
		goto out;
	}
	if (!r && flags & RWF_APPEND && write && S_ISREG(f->inode->mode)) {
		r = rw_at(f, &it, f->inode->size, true);
		if (r > 0 && pos == -1) /* the file's own position moves with what was written (pwritev2(2)) */
			f->pos = f->inode->size;
	} else if (!r) {
		r = pos == -1 ? rw_here(f, &it, write) : rw_at(f, &it, pos, write);
	}
	kfree(heap);
out:
	fdput(fd_);
	return r;
}

long sys_readv(unsigned fd, const void __user *vec, u64 nr)
{
	return rw_vector(fd, vec, nr, -1, 0, false);
}

long sys_writev(unsigned fd, const void __user *vec, u64 nr)
{
	return rw_vector(fd, vec, nr, -1, 0, true);
}

long sys_preadv(unsigned fd, const void __user *vec, u64 nr, u64 lo, u64 hi)
{
	return (loff_t)lo < 0 ? -EINVAL : rw_vector(fd, vec, nr, lo, 0, false);
}

long sys_pwritev(unsigned fd, const void __user *vec, u64 nr, u64 lo, u64 hi)
{
	return (loff_t)lo < 0 ? -EINVAL : rw_vector(fd, vec, nr, lo, 0, true);
}

long sys_preadv2(unsigned fd, const void __user *vec, u64 nr, u64 lo, u64 hi, int flags)
{
	return (loff_t)lo < -1 ? -EINVAL : rw_vector(fd, vec, nr, lo, flags, false);
}

long sys_pwritev2(unsigned fd, const void __user *vec, u64 nr, u64 lo, u64 hi, int flags)
{
	return (loff_t)lo < -1 ? -EINVAL : rw_vector(fd, vec, nr, lo, flags, true);
}

/* ---- position, directory entries ---- */

long sys_lseek(unsigned fd, loff_t off, unsigned whence)
{
	struct fd fd_ = fdget(fd);
	struct file *f = fd_file(fd_);

	if (!f)
		return -EBADF;
	bool shared = file_pos_shared(f);

	if (shared)
		mutex_lock(&f->pos_lock);
	loff_t r = whence > SEEK_HOLE ? -EINVAL : vfs_llseek(f, off, whence);

	if (shared)
		mutex_unlock(&f->pos_lock);
	fdput(fd_);
	return r;
}

static long getdents(unsigned fd, void __user *to, unsigned n, bool old)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = !S_ISDIR(fd_file(f)->inode->mode) ? -ENOTDIR : access_ok(to, n) ? do_getdents(fd_file(f), to, n, old) : -EFAULT;

	fdput(f);
	return r;
}

long sys_getdents64(unsigned fd, void __user *to, unsigned n)
{
	return getdents(fd, to, n, false);
}

long sys_getdents(unsigned fd, void __user *to, unsigned n)
{
	return getdents(fd, to, n, true);
}

/* ---- size ---- */

long sys_truncate(const char __user *name, s64 size)
{
	struct pathbuf pb;

	if (size < 0)
		return -EINVAL;
	int err = pathbuf_get(&pb, name, 0);
	if (err)
		return err;
	err = do_sys_truncate(pb.name, size);
	pathbuf_put(&pb);
	return err;
}

long sys_ftruncate(unsigned fd, s64 size)
{
	struct fd f = fdget(fd);

	if (size < 0) {
		fdput(f);
		return -EINVAL;
	}
	if (!fd_file(f))
		return -EBADF;
	long r = do_ftruncate(fd_file(f), size);

	fdput(f);
	return r;
}

long sys_fallocate(unsigned fd, int mode, s64 off, s64 len)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = do_fallocate(fd_file(f), mode, off, len);

	fdput(f);
	return r;
}

/* ---- sync: files live in memory; devices will have their own fsync ---- */

static long sync_fd(unsigned fd, bool data)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = vfs_fsync(fd_file(f), data);

	fdput(f);
	return r;
}

long sys_fsync(unsigned fd)
{
	return sync_fd(fd, false);
}

long sys_fdatasync(unsigned fd)
{
	return sync_fd(fd, true);
}

long sys_sync(void)
{
	return 0; /* no file system here has anything that is not where it belongs */
}

long sys_syncfs(unsigned fd)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	struct super *s = fd_file(f)->path.mnt->super;
	long r = s->ops->sync ? s->ops->sync(s) : 0;

	fdput(f);
	return r;
}

long sys_sync_file_range(unsigned fd, s64 off, s64 n, unsigned flags)
{
	struct fd f = fdget(fd);
	s64 end;
	long r = 0;

	if (!fd_file(f))
		return -EBADF;
	u32 mode = fd_file(f)->inode->mode;

	if (flags & ~7u || off < 0 || n < 0 || __builtin_add_overflow(off, n, &end))
		r = -EINVAL;
	else if (!S_ISREG(mode) && !S_ISBLK(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
		r = -ESPIPE;
	fdput(f);
	return r;
}

long sys_fadvise64(unsigned fd, s64 off, s64 len, int advice)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = S_ISFIFO(fd_file(f)->inode->mode) ? -ESPIPE : len < 0 || advice < 0 || advice > 5 ? -EINVAL : 0;

	fdput(f);
	return r;
}

long sys_readahead(unsigned fd, s64 off, u64 n)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = !(fd_file(f)->fmode & FMODE_READ) ? -EBADF : !S_ISREG(fd_file(f)->inode->mode) || (s64)n < 0 ? -EINVAL : 0;

	fdput(f);
	return r;
}
