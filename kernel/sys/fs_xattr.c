/* Decode half: extended attributes. */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

static int copy_name(char name[XATTR_NAME_MAX + 1], const char __user *u)
{
	s64 n = strncpy_from_user(name, u, XATTR_NAME_MAX + 1);

	if (n < 0)
		return -EFAULT;
	return !n || n > XATTR_NAME_MAX ? -ERANGE : 0;
}

/* xattr(7): trusted.* belongs to the administrator; user.* only to files and directories. */
static int xattr_permission(struct inode *i, const char *name, int mask)
{
	if (mask & MAY_WRITE && i->flags & (I_APPEND | I_IMMUTABLE))
		return -EPERM;
	if (str_has_prefix(name, "security."))
		return mask & MAY_WRITE && !capable(CAP_SYS_ADMIN) ? -EPERM : 0;
	if (str_has_prefix(name, "system."))
		return 0;
	if (str_has_prefix(name, "trusted."))
		return capable(CAP_SYS_ADMIN) ? 0 : mask & MAY_WRITE ? -EPERM : -ENODATA;
	if (str_has_prefix(name, "user.")) {
		if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
			return mask & MAY_WRITE ? -EPERM : -ENODATA;
		if (S_ISDIR(i->mode) && i->mode & S_ISVTX && mask & MAY_WRITE && !inode_owner_or_capable(i))
			return -EPERM;
	} else {
		return -EOPNOTSUPP;
	}
	return inode_permission(i, mask);
}

static long set_value(const struct path *p, const char *name, const void *buf, u64 n, int flags)
{
	struct inode *i = p->dentry->inode;
	int err = mnt_want_write(p);

	if (err)
		return err;
	down_write(&i->rwsem);
	err = xattr_permission(i, name, MAY_WRITE);
	if (!err)
		err = i->ops->setxattr ? i->ops->setxattr(i, name, buf, n, flags) : -EOPNOTSUPP;
	up_write(&i->rwsem);
	if (!err)
		fsnotify(p->dentry, FS_ATTRIB);
	return err;
}

static long set(const struct path *p, const char __user *uname, const void __user *value, u64 n, int flags)
{
	char name[XATTR_NAME_MAX + 1];

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	long r = copy_name(name, uname);
	if (r)
		return r;
	if (n > XATTR_SIZE_MAX)
		return -E2BIG;
	void *buf = kvmalloc(n + 1, GFP_KERNEL);

	if (!buf)
		return -ENOMEM;
	r = n && copy_from_user(buf, value, n) ? -EFAULT : set_value(p, name, buf, n, flags);
	kvfree(buf);
	return r;
}

static long get(const struct path *p, const char __user *uname, void __user *value, u64 n)
{
	char name[XATTR_NAME_MAX + 1];
	struct inode *i = p->dentry->inode;
	long r = copy_name(name, uname);

	if (r)
		return r;
	n = min_t(u64, n, XATTR_SIZE_MAX);
	void *buf = kvmalloc(n + 1, GFP_KERNEL);

	if (!buf)
		return -ENOMEM;
	down_read(&i->rwsem);
	r = xattr_permission(i, name, MAY_READ);
	if (!r)
		r = i->ops->getxattr ? i->ops->getxattr(i, name, buf, n) : -EOPNOTSUPP;
	up_read(&i->rwsem);
	if (r > 0 && n && copy_to_user(value, buf, r))
		r = -EFAULT;
	kvfree(buf);
	return r;
}

static long list(const struct path *p, char __user *to, u64 n)
{
	struct inode *i = p->dentry->inode;

	n = min_t(u64, n, XATTR_LIST_MAX);
	char *buf = kvmalloc(n + 1, GFP_KERNEL);

	if (!buf)
		return -ENOMEM;
	down_read(&i->rwsem);
	long r = i->ops->listxattr ? i->ops->listxattr(i, buf, n) : 0;
	up_read(&i->rwsem);
	if (r > 0 && n && copy_to_user(to, buf, r))
		r = -EFAULT;
	kvfree(buf);
	return r;
}

static long remove(const struct path *p, const char __user *uname)
{
	char name[XATTR_NAME_MAX + 1];
	struct inode *i = p->dentry->inode;
	long r = copy_name(name, uname);

	if (!r)
		r = mnt_want_write(p);
	if (r)
		return r;
	down_write(&i->rwsem);
	r = xattr_permission(i, name, MAY_WRITE);
	if (!r)
		r = i->ops->removexattr ? i->ops->removexattr(i, name) : -EOPNOTSUPP;
	up_write(&i->rwsem);
	return r;
}

#define BY_PATH(uname, lookup, call)                                      \
	({                                                                \
		struct path p;                                            \
		long __r = user_path(AT_FDCWD, uname, lookup, &p);        \
		if (!__r) {                                               \
			__r = (call);                                     \
			path_put(&p);                                     \
		}                                                         \
		__r;                                                      \
	})
#define BY_FD(fd, call)                                                   \
	({                                                                \
		struct fd __f = fdget(fd);                                \
		long __r = -EBADF;                                        \
		if (fd_file(__f)) {                                       \
			struct path p = fd_file(__f)->path;               \
			__r = (call);                                     \
			fdput(__f);                                       \
		}                                                         \
		__r;                                                      \
	})

long sys_setxattr(const char __user *path, const char __user *name, const void __user *value, u64 n, int flags)
{
	return BY_PATH(path, LOOKUP_FOLLOW, set(&p, name, value, n, flags));
}

long sys_lsetxattr(const char __user *path, const char __user *name, const void __user *value, u64 n, int flags)
{
	return BY_PATH(path, 0, set(&p, name, value, n, flags));
}

long sys_fsetxattr(unsigned fd, const char __user *name, const void __user *value, u64 n, int flags)
{
	return BY_FD(fd, set(&p, name, value, n, flags));
}

long sys_getxattr(const char __user *path, const char __user *name, void __user *value, u64 n)
{
	return BY_PATH(path, LOOKUP_FOLLOW, get(&p, name, value, n));
}

long sys_lgetxattr(const char __user *path, const char __user *name, void __user *value, u64 n)
{
	return BY_PATH(path, 0, get(&p, name, value, n));
}

long sys_fgetxattr(unsigned fd, const char __user *name, void __user *value, u64 n)
{
	return BY_FD(fd, get(&p, name, value, n));
}

long sys_listxattr(const char __user *path, char __user *to, u64 n)
{
	return BY_PATH(path, LOOKUP_FOLLOW, list(&p, to, n));
}

long sys_llistxattr(const char __user *path, char __user *to, u64 n)
{
	return BY_PATH(path, 0, list(&p, to, n));
}

long sys_flistxattr(unsigned fd, char __user *to, u64 n)
{
	return BY_FD(fd, list(&p, to, n));
}

long sys_removexattr(const char __user *path, const char __user *name)
{
	return BY_PATH(path, LOOKUP_FOLLOW, remove(&p, name));
}

long sys_lremovexattr(const char __user *path, const char __user *name)
{
	return BY_PATH(path, 0, remove(&p, name));
}

long sys_fremovexattr(unsigned fd, const char __user *name)
{
	return BY_FD(fd, remove(&p, name));
}
