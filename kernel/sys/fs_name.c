/* Decode half: names: making, removing, renaming, linking; owners, modes, times. */
#include <fs/internal.h>
#include <x86/uaccess.h>

/* Runs @call with the path in pb.name. */
#define WITH_PATH(uname, flags, call)                         \
	({                                                    \
		struct pathbuf pb;                            \
		long __r = pathbuf_get(&pb, uname, flags);    \
		if (!__r) {                                   \
			__r = (call);                         \
			pathbuf_put(&pb);                     \
		}                                             \
		__r;                                          \
	})

long sys_mkdirat(int dirfd, const char __user *name, u32 mode)
{
	return WITH_PATH(name, 0, do_mkdirat(dirfd, pb.name, mode));
}

long sys_mkdir(const char __user *name, u32 mode)
{
	return sys_mkdirat(AT_FDCWD, name, mode);
}

long sys_mknodat(int dirfd, const char __user *name, u32 mode, u32 dev)
{
	u32 type = mode & S_IFMT;

	if (type == S_IFDIR) /* before the name, as Linux */
		return -EPERM;
	if (type && type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
		return -EINVAL;
	return WITH_PATH(name, 0, do_mknodat(dirfd, pb.name, (u16)mode, decode_dev(dev)));
}

long sys_mknod(const char __user *name, u32 mode, u32 dev)
{
	return sys_mknodat(AT_FDCWD, name, mode, dev);
}

long sys_unlinkat(int dirfd, const char __user *name, int flags)
{
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	return WITH_PATH(name, 0, flags ? do_rmdirat(dirfd, pb.name) : do_unlinkat(dirfd, pb.name));
}

long sys_unlink(const char __user *name)
{
	return WITH_PATH(name, 0, do_unlinkat(AT_FDCWD, pb.name));
}

long sys_rmdir(const char __user *name)
{
	return WITH_PATH(name, 0, do_rmdirat(AT_FDCWD, pb.name));
}

static long two_paths(int d1, const char __user *n1, u32 look1, int d2, const char __user *n2,
		      int (*fn)(int, const char *, int, const char *, u32), u32 flags)
{
	char *a = getname(n1, look1), *b;

	if (IS_ERR(a))
		return PTR_ERR(a);
	b = getname(n2, 0);
	long r = PTR_ERR_OR_ZERO(b);

	if (!r) {
		r = fn(d1, a, d2, b, flags);
		putname(b);
	}
	putname(a);
	return r;
}

long sys_renameat2(int d1, const char __user *n1, int d2, const char __user *n2, unsigned flags)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	return two_paths(d1, n1, 0, d2, n2, do_renameat2, flags);
}

long sys_renameat(int d1, const char __user *n1, int d2, const char __user *n2)
{
	return two_paths(d1, n1, 0, d2, n2, do_renameat2, 0);
}

long sys_rename(const char __user *n1, const char __user *n2)
{
	return two_paths(AT_FDCWD, n1, 0, AT_FDCWD, n2, do_renameat2, 0);
}

static int link_call(int d1, const char *n1, int d2, const char *n2, u32 flags)
{
	return do_linkat(d1, n1, d2, n2, flags);
}

long sys_linkat(int d1, const char __user *n1, int d2, const char __user *n2, int flags)
{
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return two_paths(d1, n1, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0, d2, n2, link_call, flags);
}

long sys_link(const char __user *n1, const char __user *n2)
{
	return two_paths(AT_FDCWD, n1, 0, AT_FDCWD, n2, link_call, 0);
}

static int symlink_call(int d1, const char *target, int d2, const char *name, u32 flags)
{
	return do_symlinkat(target, d2, name);
}

long sys_symlinkat(const char __user *target, int dirfd, const char __user *name)
{
	return two_paths(AT_FDCWD, target, 0, dirfd, name, symlink_call, 0);
}

long sys_symlink(const char __user *target, const char __user *name)
{
	return sys_symlinkat(target, AT_FDCWD, name);
}

long sys_readlinkat(int dirfd, const char __user *name, char __user *buf, int size)
{
	if (size <= 0)
		return -EINVAL;
	return WITH_PATH(name, LOOKUP_EMPTY, !*pb.name && dirfd == AT_FDCWD ? -ENOENT : do_readlinkat(dirfd, pb.name, buf, size));
}

long sys_readlink(const char __user *name, char __user *buf, int size)
{
	if (size <= 0)
		return -EINVAL;
	return WITH_PATH(name, 0, do_readlinkat(AT_FDCWD, pb.name, buf, size));
}

/* ---- modes and owners ---- */

long sys_fchmodat(int dirfd, const char __user *name, u32 mode)
{
	return WITH_PATH(name, 0, do_fchmodat(dirfd, pb.name, mode, LOOKUP_FOLLOW));
}

long sys_chmod(const char __user *name, u32 mode)
{
	return sys_fchmodat(AT_FDCWD, name, mode);
}

long sys_fchmod(unsigned fd, u32 mode)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = path_chmod(&fd_file(f)->path, mode);

	fdput(f);
	return r;
}

long sys_fchownat(int dirfd, const char __user *name, uid_t uid, gid_t gid, int flags)
{
	u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return WITH_PATH(name, lookup, do_fchownat(dirfd, pb.name, uid, gid, lookup));
}

long sys_chown(const char __user *name, uid_t uid, gid_t gid)
{
	return sys_fchownat(AT_FDCWD, name, uid, gid, 0);
}

long sys_lchown(const char __user *name, uid_t uid, gid_t gid)
{
	return sys_fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long sys_fchown(unsigned fd, uid_t uid, gid_t gid)
{
	struct fd f = fdget(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = path_chown(&fd_file(f)->path, uid, gid);

	fdput(f);
	return r;
}

/* ---- times ---- */

/* Checks the nanoseconds and turns UTIME_NOW and UTIME_OMIT into values: *now when both are "now". */
static int times_decode(struct timespec64 t[2], int omit[2], bool *now)
{
	struct timespec64 time = current_time();

	*now = t[0].nsec == UTIME_NOW && t[1].nsec == UTIME_NOW;
	for (int i = 0; i < 2; i++) {
		omit[i] = t[i].nsec == UTIME_OMIT;
		if (t[i].nsec == UTIME_NOW)
			t[i] = time;
		else if (!omit[i] && (u64)t[i].nsec >= 1000000000ull)
			return -EINVAL;
	}
	return 0;
}

static int utimes_at(int dirfd, const char __user *name, struct timespec64 *t, int flags)
{
	u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
	int omit[2] = { 0, 0 }, err;
	struct path p;
	bool now = !t;

	if (t) {
		err = times_decode(t, omit, &now);
		if (err)
			return err;
	}
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!name && dirfd != AT_FDCWD) {
		if (flags)
			return -EINVAL;
		struct fd f = fdget(dirfd);
		if (!fd_file(f))
			return -EBADF;
		err = path_utimes(&fd_file(f)->path, now ? NULL : t, omit);
		fdput(f);
		return err;
	}
	err = user_path(dirfd, name, lookup, &p);
	if (err)
		return err;
	err = path_utimes(&p, now ? NULL : t, omit);
	path_put(&p);
	return err;
}

long sys_utimensat(int dirfd, const char __user *name, const struct timespec_k __user *ut, int flags)
{
	struct timespec64 t[2];

	if (!ut)
		return utimes_at(dirfd, name, NULL, flags);
	if (copy_from_user(t, ut, sizeof(t)))
		return -EFAULT;
	if (t[0].nsec == UTIME_OMIT && t[1].nsec == UTIME_OMIT)
		return 0; /* not even the path is looked at */
	return utimes_at(dirfd, name, t, flags);
}

struct timeval_k { s64 sec, usec; };

static long utimes_micro(int dirfd, const char __user *name, const struct timeval_k __user *utv)
{
	struct timeval_k tv[2];
	struct timespec64 t[2];

	if (!utv)
		return utimes_at(dirfd, name, NULL, 0);
	if (copy_from_user(tv, utv, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if ((u64)tv[i].usec >= 1000000)
			return -EINVAL;
		t[i] = (struct timespec64){ tv[i].sec, tv[i].usec * 1000 };
	}
	return utimes_at(dirfd, name, t, 0);
}

long sys_futimesat(int dirfd, const char __user *name, const struct timeval_k __user *tv)
{
	return utimes_micro(dirfd, name, tv);
}

long sys_utimes(const char __user *name, const struct timeval_k __user *tv)
{
	return utimes_micro(AT_FDCWD, name, tv);
}

long sys_utime(const char __user *name, const s64 __user *times)
{
	s64 s[2];

	if (!times)
		return utimes_at(AT_FDCWD, name, NULL, 0);
	if (copy_from_user(s, times, sizeof(s)))
		return -EFAULT;
	struct timespec64 t[2] = { { s[0], 0 }, { s[1], 0 } };

	return utimes_at(AT_FDCWD, name, t, 0);
}
