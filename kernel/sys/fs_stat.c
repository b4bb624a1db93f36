/* Decode half: stat in all its forms, statfs, access. */
#include <fs/internal.h>
#include <lib/string.h>
#include <x86/uaccess.h>

/*
 * stat by path ends under RCU: what the inode says is copied into a struct on the stack where the walk stands, without
 * taking a reference on anything. Inodes with a getattr of their own go the referenced way.
 */
static int fill_rcu(struct inode *i, struct mount *m, void *arg)
{
	struct ustat64 *u = arg;

	if (unlikely(i->ops->getattr))
		return -ECHILD;
	u->st_dev = encode_dev(i->super->dev);
	u->st_ino = i->ino;
	u->st_nlink = i->nlink;
	u->st_mode = i->mode;
	u->st_uid = i->uid;
	u->st_gid = i->gid;
	u->pad0 = 0;
	u->st_rdev = i->rdev ? encode_dev(i->rdev) : 0;
	u->st_size = i->size;
	u->st_blksize = PAGE_SIZE;
	u->st_blocks = i->blocks;
	u->st_atime = i->atime.sec;
	u->st_atime_nsec = i->atime.nsec;
	u->st_mtime = i->mtime.sec;
	u->st_mtime_nsec = i->mtime.nsec;
	u->st_ctime = i->ctime.sec;
	u->st_ctime_nsec = i->ctime.nsec;
	u->unused[0] = u->unused[1] = u->unused[2] = 0;
	return 0;
}

static int stat_path(int dirfd, const char *name, u32 lookup, struct ustat64 *u)
{
	struct kstat st;
	struct path p;
	int err = path_lookup_rcu(dirfd, name, lookup, fill_rcu, u);

	if (likely(err != -ECHILD))
		return err;
	err = path_lookup(dirfd, name, lookup, &p);
	if (err)
		return err;
	err = vfs_getattr(&p, &st);
	path_put(&p);
	if (!err)
		kstat_to_user(&st, u);
	return err;
}

static long stat_user_path(int dirfd, const char __user *name, struct ustat64 __user *to, u32 lookup)
{
	struct pathbuf pb;
	struct ustat64 u;
	int err = pathbuf_get(&pb, name, lookup);

	if (unlikely(err))
		return err;
	err = stat_path(dirfd, pb.name, lookup, &u);
	pathbuf_put(&pb);
	if (!err && copy_to_user(to, &u, sizeof(u)))
		err = -EFAULT;
	return err;
}

long sys_stat(const char __user *name, struct ustat64 __user *to)
{
	return stat_user_path(AT_FDCWD, name, to, LOOKUP_FOLLOW);
}

long sys_lstat(const char __user *name, struct ustat64 __user *to)
{
	return stat_user_path(AT_FDCWD, name, to, 0);
}

long sys_fstat(unsigned fd, struct ustat64 __user *to)
{
	struct fd f = fdget_raw(fd);
	struct ustat64 u;
	struct kstat st;

	if (!fd_file(f))
		return -EBADF;
	int err = fill_rcu(fd_file(f)->inode, NULL, &u);

	if (err) {
		err = vfs_getattr(&fd_file(f)->path, &st);
		kstat_to_user(&st, &u);
	}
	fdput(f);
	if (!err && copy_to_user(to, &u, sizeof(u)))
		err = -EFAULT;
	return err;
}

long sys_newfstatat(int dirfd, const char __user *name, struct ustat64 __user *to, int flags)
{
	char first;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	/* fstat of the C library: an empty path needs no walk */
	if (flags & AT_EMPTY_PATH && dirfd >= 0 && !get_user(first, name) && !first)
		return sys_fstat(dirfd, to);
	return stat_user_path(dirfd, name, to, (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0));
}

/* ---- statx ---- */

static struct statx_ts ts_to_user(struct timespec64 t)
{
	return (struct statx_ts){ t.sec, t.nsec, 0 };
}

static void statx_fill(const struct kstat *st, struct statx_k *x)
{
	memset(x, 0, sizeof(*x));
	x->stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
	x->stx_blksize = st->blksize;
	x->stx_attributes = st->attributes;
	x->stx_attributes_mask = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_MOUNT_ROOT;
	x->stx_nlink = st->nlink;
	x->stx_uid = st->uid;
	x->stx_gid = st->gid;
	x->stx_mode = st->mode;
	x->stx_ino = st->ino;
	x->stx_size = st->size;
	x->stx_blocks = st->blocks;
	x->stx_atime = ts_to_user(st->atime);
	x->stx_btime = ts_to_user(st->btime);
	x->stx_ctime = ts_to_user(st->ctime);
	x->stx_mtime = ts_to_user(st->mtime);
	x->stx_rdev_major = st->rdev >> 20;
	x->stx_rdev_minor = st->rdev & 0xfffff;
	x->stx_dev_major = st->dev >> 20;
	x->stx_dev_minor = st->dev & 0xfffff;
	x->stx_mnt_id = st->mnt_id;
}

long sys_statx(int dirfd, const char __user *name, unsigned flags, unsigned mask, struct statx_k __user *to)
{
	u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
	struct statx_k x;
	struct kstat st;
	struct path p;

	if (mask & STATX_RESERVED || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	if (flags & ~(u32)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	int err = user_path(dirfd, name, lookup, &p);
	if (err)
		return err;
	err = vfs_getattr(&p, &st);
	path_put(&p);
	if (err)
		return err;
	statx_fill(&st, &x);
	return copy_to_user(to, &x, sizeof(x)) ? -EFAULT : 0;
}

/* ---- statfs ---- */

static long statfs_to_user(const struct path *p, struct statfs_k __user *to)
{
	struct kstatfs k;
	struct statfs_k u;
	u32 mf = p->mnt->flags;
	int err = vfs_statfs(p->mnt->super, &k);

	if (err)
		return err;
	memset(&u, 0, sizeof(u));
	u.f_type = k.type;
	u.f_bsize = k.bsize;
	u.f_blocks = k.blocks;
	u.f_bfree = k.bfree;
	u.f_bavail = k.bavail;
	u.f_files = k.files;
	u.f_ffree = k.ffree;
	u.f_fsid[0] = (s32)k.fsid;
	u.f_fsid[1] = (s32)(k.fsid >> 32);
	u.f_namelen = k.namelen;
	u.f_frsize = k.frsize;
	u.f_flags = ST_VALID | (sb_rdonly(p) ? ST_RDONLY : 0) | (mf & MS_NOSUID ? ST_NOSUID : 0) | (mf & MS_NODEV ? ST_NODEV : 0) |
		    (mf & MS_NOEXEC ? ST_NOEXEC : 0) | (mf & MS_NOATIME ? ST_NOATIME : 0) | (mf & MS_NODIRATIME ? ST_NODIRATIME : 0) |
		    (mf & MS_RELATIME ? ST_RELATIME : 0);
	return copy_to_user(to, &u, sizeof(u)) ? -EFAULT : 0;
}

long sys_statfs(const char __user *name, struct statfs_k __user *to)
{
	struct path p;
	long r = user_path(AT_FDCWD, name, LOOKUP_FOLLOW, &p);

	if (r)
		return r;
	r = statfs_to_user(&p, to);
	path_put(&p);
	return r;
}

long sys_fstatfs(unsigned fd, struct statfs_k __user *to)
{
	struct fd f = fdget_raw(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = statfs_to_user(&fd_file(f)->path, to);

	fdput(f);
	return r;
}

/* ustat(2): the free blocks and inodes of the mounted file system on a device. */
long sys_ustat(u32 dev, void __user *to)
{
	struct { s32 tfree, pad; u64 tinode; char name[6], pack[6], tail[4]; } u = { 0 };
	struct kstatfs st;
	struct mount *m = mount_of_device(decode_dev(dev));
	int err;

	if (!m)
		return -EINVAL;
	err = vfs_statfs(m->super, &st);
	mnt_put(m);
	u.tfree = st.bfree;
	u.tinode = st.ffree;
	return err ?: copy_to_user(to, &u, sizeof(u)) ? -EFAULT : 0;
}

/* sysfs(2): the types of file systems by number and by name. */
long sys_sysfs(int option, u64 a, u64 b)
{
	const char *name;
	char in[32];
	s64 n;

	switch (option) {
	case 1:
		n = strncpy_from_user(in, (const char __user *)a, sizeof(in));
		return n < 0 ? n : !n ? -ENOENT : n == sizeof(in) ? -EINVAL : fs_type_index(in);
	case 2:
		name = fs_type_name(a);
		return !name ? -EINVAL : copy_to_user((void __user *)b, name, strlen(name) + 1) ? -EFAULT : 0;
	case 3:
		return fs_type_index(NULL);
	}
	return -EINVAL;
}

/* ---- access ---- */

static long access_user(int dirfd, const char __user *name, int mode, int flags)
{
	struct pathbuf pb;
	int err;

	if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = pathbuf_get(&pb, name, flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
	if (err)
		return err;
	err = do_faccessat(dirfd, pb.name, mode, flags);
	pathbuf_put(&pb);
	return err;
}

long sys_access(const char __user *name, int mode)
{
	return access_user(AT_FDCWD, name, mode, 0);
}

long sys_faccessat(int dirfd, const char __user *name, int mode)
{
	return access_user(dirfd, name, mode, 0);
}

long sys_faccessat2(int dirfd, const char __user *name, int mode, int flags)
{
	return access_user(dirfd, name, mode, flags);
}
