/* Decode half: opening, closing, descriptors, fcntl, ioctl, flock, memfd. */
#include <fs/dnotify.h>
#include <fs/internal.h>
#include <fs/memfd.h>
#include <fs/pipe.h>
#include <lib/string.h>
#include <x86/uaccess.h>

static long open_path(int dirfd, const char __user *name, int flags, u32 mode, u32 lookup)
{
	struct pathbuf pb;
	int err = pathbuf_get(&pb, name, 0);

	if (err)
		return err;
	int fd = fd_alloc(flags, 0);
	if (fd >= 0) {
		struct file *f = do_filp_open(dirfd, pb.name, flags, mode, lookup);
		if (IS_ERR(f)) {
			fd_release(fd);
			fd = PTR_ERR(f);
		} else {
			fd_install(fd, f);
		}
	}
	pathbuf_put(&pb);
	return fd;
}

#define OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | FASYNC | O_DIRECT | \
		    O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | __O_TMPFILE)

long sys_openat(int dirfd, const char __user *name, int flags, u32 mode)
{
	return open_path(dirfd, name, (flags & OPEN_FLAGS) | O_LARGEFILE, mode, 0);
}

long sys_open(const char __user *name, int flags, u32 mode)
{
	return open_path(AT_FDCWD, name, (flags & OPEN_FLAGS) | O_LARGEFILE, mode, 0);
}

long sys_creat(const char __user *name, u32 mode)
{
	return open_path(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode, 0);
}

/* A structure that may grow: unknown bytes must be zero (openat2(2), E2BIG). */
static int copy_struct(void *to, u64 known, const void __user *from, u64 given)
{
	u8 rest[64];

	memset(to, 0, known);
	if (copy_from_user(to, from, min(known, given)))
		return -EFAULT;
	for (u64 at = known; at < given; at += sizeof(rest)) {
		u64 n = min_t(u64, given - at, sizeof(rest));
		if (copy_from_user(rest, (const u8 __user *)from + at, n))
			return -EFAULT;
		for (u64 i = 0; i < n; i++)
			if (rest[i])
				return -E2BIG;
	}
	return 0;
}

static int how_checks(const struct open_how *how, u32 *lookup)
{
	static const struct { u64 resolve; u32 lookup; } map[] = {
		{ RESOLVE_NO_XDEV, LOOKUP_NO_XDEV }, { RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS },
		{ RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS }, { RESOLVE_BENEATH, LOOKUP_BENEATH },
		{ RESOLVE_IN_ROOT, LOOKUP_IN_ROOT }, { RESOLVE_CACHED, LOOKUP_CACHED },
	};

	if (how->flags & ~(u64)OPEN_FLAGS || how->resolve & ~63ull)
		return -EINVAL;
	if (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT)
		return -EINVAL;
	if (how->flags & (O_CREAT | __O_TMPFILE) ? how->mode & ~07777ull : how->mode)
		return -EINVAL;
	if (how->flags & O_PATH && how->flags & ~(u64)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))
		return -EINVAL;
	if (how->resolve & RESOLVE_CACHED && how->flags & (O_TRUNC | O_CREAT | __O_TMPFILE))
		return -EAGAIN;
	*lookup = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		if (how->resolve & map[i].resolve)
			*lookup |= map[i].lookup;
	return 0;
}

long sys_openat2(int dirfd, const char __user *name, const struct open_how __user *uhow, u64 size)
{
	struct open_how how;
	u32 lookup;

	if (size < sizeof(how))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	int err = copy_struct(&how, sizeof(how), uhow, size);
	if (!err)
		err = how_checks(&how, &lookup);
	return err ? err : open_path(dirfd, name, how.flags | (how.flags & O_PATH ? 0 : O_LARGEFILE), how.mode, lookup);
}

/* A closed file cannot be closed again: an interrupted flush is not restarted. */
long sys_close(unsigned fd)
{
	int err = close_fd(fd);

	return unlikely(err == -ERESTARTSYS) ? -EINTR : err;
}

long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	return fd_close_range(first, last, flags & CLOSE_RANGE_UNSHARE, flags & CLOSE_RANGE_CLOEXEC);
}

/* ---- dup ---- */

static long dup_from(unsigned fd, u32 from, u32 oflags)
{
	struct fd f = fdget_raw(fd);

	if (!fd_file(f))
		return -EBADF;
	int new = fd_alloc(oflags, from);

	if (new >= 0)
		fd_install(new, file_get(fd_file(f)));
	fdput(f);
	return new;
}

long sys_dup(unsigned fd)
{
	return dup_from(fd, 0, 0);
}

long sys_dup3(unsigned from, unsigned to, int flags)
{
	if (flags & ~O_CLOEXEC || from == to)
		return -EINVAL;
	return fd_replace(from, to, flags);
}

long sys_dup2(unsigned from, unsigned to)
{
	if (from != to)
		return fd_replace(from, to, 0);
	struct fd f = fdget_raw(from);

	if (!fd_file(f))
		return -EBADF;
	fdput(f);
	return to;
}

/* ---- fcntl ---- */

#define SETFL_MASK (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC)

static long set_flags(int fd, struct file *f, u32 flags)
{
	if (flags & O_NOATIME && !(f->flags & O_NOATIME) && !inode_owner_or_capable(f->inode))
		return -EPERM;
	if (flags & O_DIRECT && S_ISREG(f->inode->mode))
		return -EINVAL;
	if (f->inode->flags & I_APPEND && f->flags & O_APPEND && !(flags & O_APPEND))
		return -EPERM;
	if ((flags ^ f->flags) & FASYNC && f->ops->fasync) {
		int err = f->ops->fasync(fd, f, flags & FASYNC ? 1 : 0);
		if (err < 0)
			return err;
	}
	spin_lock(&f->lock);
	f->flags = (f->flags & ~SETFL_MASK) | (flags & SETFL_MASK);
	if (flags & O_NOATIME)
		f->fmode |= FMODE_NOATIME;
	else
		f->fmode &= ~FMODE_NOATIME;
	spin_unlock(&f->lock);
	return 0;
}

static long lock_call(int fd, struct file *f, u32 cmd, struct flock_k __user *u)
{
	struct flock_k l;

	if (copy_from_user(&l, u, sizeof(l)))
		return -EFAULT;
	int err = do_fcntl_lock(fd, f, cmd, &l);

	if (!err && (cmd == F_GETLK || cmd == F_OFD_GETLK) && copy_to_user(u, &l, sizeof(l)))
		return -EFAULT;
	return err;
}

static long set_owner(struct file *f, int pid)
{
	if (pid == S32_MIN)
		return -EINVAL;
	rcu_read_lock();
	bool none = pid > 0 && !task_find(pid);
	rcu_read_unlock();
	if (none)
		return -ESRCH;
	f->owner_pid = pid;
	f->owner_thread = false;
	return 0;
}

static long owner_ex(struct file *f, u32 cmd, struct f_owner_ex_k __user *u)
{
	struct f_owner_ex_k o;

	if (cmd == F_GETOWN_EX) {
		o.type = f->owner_pid < 0 ? F_OWNER_PGRP : f->owner_thread ? F_OWNER_TID : F_OWNER_PID;
		o.pid = f->owner_pid < 0 ? -f->owner_pid : f->owner_pid;
		return copy_to_user(u, &o, sizeof(o)) ? -EFAULT : 0;
	}
	if (copy_from_user(&o, u, sizeof(o)))
		return -EFAULT;
	if (o.type != F_OWNER_TID && o.type != F_OWNER_PID && o.type != F_OWNER_PGRP)
		return -EINVAL;
	long err = set_owner(f, o.type == F_OWNER_PGRP ? -o.pid : o.pid);

	if (!err)
		f->owner_thread = o.type == F_OWNER_TID;
	return err;
}

static long pipe_size_call(struct file *f, u32 cmd, u64 arg)
{
	struct pipe *p = file_pipe(f);

	if (!p)
		return -EBADF;
	return cmd == F_GETPIPE_SZ ? pipe_get_size(p) : pipe_set_size(p, (u32)arg);
}

/* What is done to the open file, not to the descriptor. */
static long fcntl_file(unsigned fd, struct file *f, u32 cmd, u64 arg)
{
	switch (cmd) {
	case F_SETFL:
		return set_flags(fd, f, arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return lock_call(fd, f, cmd, (struct flock_k __user *)arg);
	case F_GETOWN:
		return f->owner_pid;
	case F_SETOWN:
		return set_owner(f, (int)arg);
	case F_GETOWN_EX:
	case F_SETOWN_EX:
		return owner_ex(f, cmd, (struct f_owner_ex_k __user *)arg);
	case F_GETSIG:
		return f->owner_sig;
	case F_SETSIG:
		if (arg > 64)
			return -EINVAL;
		f->owner_sig = arg;
		return 0;
	case F_NOTIFY:
		return dnotify_set((int)fd, f, (u32)arg);
	case F_GETLEASE:
		return do_getlease(f);
	case F_SETLEASE:
		return do_setlease(f, fd, arg);
	case F_SETPIPE_SZ:
	case F_GETPIPE_SZ:
		return pipe_size_call(f, cmd, arg);
	case F_ADD_SEALS:
		return file_add_seals(f, arg);
	case F_GET_SEALS:
		return file_get_seals(f);
	default:
		return -EINVAL;
	}
}

long sys_fcntl(unsigned fd, unsigned cmd, u64 arg)
{
	struct fd f = fdget_raw(fd);
	long r;

	if (!fd_file(f))
		return -EBADF;
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		r = arg >= current->signal->rlim[RLIMIT_NOFILE].rlim_cur ? -EINVAL :
			dup_from(fd, arg, cmd == F_DUPFD_CLOEXEC ? O_CLOEXEC : 0);
		break;
	case F_GETFD:
		r = fd_get_cloexec(fd) ? FD_CLOEXEC : 0;
		break;
	case F_SETFD:
		fd_set_cloexec(fd, arg & FD_CLOEXEC);
		r = 0;
		break;
	case F_GETFL:
		r = fd_file(f)->flags & ~O_CLOEXEC;
		break;
	default:
		r = fd_file(f)->fmode & FMODE_PATH ? -EBADF : fcntl_file(fd, fd_file(f), cmd, arg);
	}
	fdput(f);
	return r;
}

/* ---- ioctl ---- */

static long set_file_flag(unsigned fd, struct file *f, u32 flag, int __user *u)
{
	int on;

	if (get_user(on, u))
		return -EFAULT;
	if (flag == FASYNC && (f->flags & FASYNC ? 1 : 0) != (on ? 1 : 0)) {
		if (!f->ops->fasync)
			return -ENOTTY;
		int err = f->ops->fasync(fd, f, on ? 1 : 0);
		if (err < 0)
			return err;
	}
	spin_lock(&f->lock);
	f->flags = on ? f->flags | flag : f->flags & ~flag;
	spin_unlock(&f->lock);
	return 0;
}

static long ioctl_file(unsigned fd, struct file *f, u32 cmd, u64 arg)
{
	switch (cmd) {
	case FIOCLEX:
		fd_set_cloexec(fd, true);
		return 0;
	case FIONCLEX:
		fd_set_cloexec(fd, false);
		return 0;
	case FIONBIO:
		return set_file_flag(fd, f, O_NONBLOCK, (int __user *)arg);
	case FIOASYNC:
		return set_file_flag(fd, f, FASYNC, (int __user *)arg);
	case FIOQSIZE:
		if (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode) || S_ISLNK(f->inode->mode))
			return put_user(f->inode->size, (loff_t __user *)arg);
		return -ENOTTY;
	case FIONREAD:
		if (S_ISREG(f->inode->mode))
			return put_user((int)(f->inode->size - f->pos), (int __user *)arg);
		break;
	}
	long r = f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;

	return r == -ENOIOCTLCMD ? -ENOTTY : r;
}

long sys_ioctl(unsigned fd, unsigned cmd, u64 arg)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = ioctl_file(fd, fd_file(f), cmd, arg);

	fdput(f);
	return r;
}

#define LOCK_MAND 32
long sys_flock(unsigned fd, unsigned cmd)
{
	unsigned op = cmd & ~LOCK_NB;

	if (cmd & LOCK_MAND) /* mandatory locks are gone: accepted and ignored, as Linux does */
		return 0;
	if (op != LOCK_SH && op != LOCK_EX && op != LOCK_UN)
		return -EINVAL;
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = op != LOCK_UN && !(fd_file(f)->fmode & (FMODE_READ | FMODE_WRITE)) ? -EBADF : do_flock(fd_file(f), cmd);

	fdput(f);
	return r;
}

long sys_memfd_create(const char __user *uname, unsigned flags)
{
	char name[NAME_MAX + 1];

	u32 known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | (flags & MFD_HUGETLB ? MFD_HUGE_MASK << MFD_HUGE_SHIFT : 0);

	if (flags & ~known)
		return -EINVAL;
	s64 n = strncpy_from_user(name, uname, sizeof(name));
	if (n < 0)
		return -EFAULT;
	return n > NAME_MAX - 6 ? -EINVAL : do_memfd_create(name, flags);
}
