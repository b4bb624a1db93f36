/* Decode half: mounts, roots, working directories, umask; what this kernel does not have in the file area. */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

/* An optional string of at most a page; NULL stays NULL. */
static char *copy_string(const char __user *u)
{
	if (!u)
		return NULL;
	char *s = kmalloc(PAGE_SIZE + 8, GFP_KERNEL);

	if (!s)
		return ERR_PTR(-ENOMEM);
	s64 n = strncpy_from_user(s, u, PAGE_SIZE);
	if (n < 0 || n >= (s64)PAGE_SIZE) {
		kfree(s);
		return ERR_PTR(n < 0 ? -EFAULT : -EINVAL);
	}
	return s;
}

/* mount(2) data: up to a page, which may end before the page does. */
static char *copy_data(const void __user *u)
{
	if (!u)
		return NULL;
	char *s = kmalloc(PAGE_SIZE + 8, GFP_KERNEL);

	if (!s)
		return ERR_PTR(-ENOMEM);
	u64 left = copy_from_user(s, u, PAGE_SIZE - 1);
	if (left == PAGE_SIZE - 1) {
		kfree(s);
		return ERR_PTR(-EFAULT);
	}
	s[PAGE_SIZE - 1 - left] = 0;
	return s;
}

long sys_mount(const char __user *usource, const char __user *utarget, const char __user *utype, u64 flags, const void __user *udata)
{
	char *type = copy_string(utype), *source = NULL, *data = NULL, *target = NULL;
	long r = PTR_ERR_OR_ZERO(type);

	if (r)
		return r;
	source = copy_string(usource);
	r = PTR_ERR_OR_ZERO(source);
	if (!r) {
		data = copy_data(udata);
		r = PTR_ERR_OR_ZERO(data);
	}
	if (!r) {
		target = getname(utarget, 0);
		r = PTR_ERR_OR_ZERO(target);
	}
	if (!r) {
		r = do_mount(source, target, type, flags, data);
		putname(target);
	}
	if (!IS_ERR(data))
		kfree(data);
	if (!IS_ERR(source))
		kfree(source);
	kfree(type);
	return r;
}

long sys_umount2(const char __user *uname, int flags)
{
	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	char *name = getname(uname, 0);

	if (IS_ERR(name))
		return PTR_ERR(name);
	long r = do_umount(name, flags);

	putname(name);
	return r;
}

long sys_pivot_root(const char __user *unew, const char __user *uold)
{
	char *new, *old;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	new = getname(unew, 0);
	if (IS_ERR(new))
		return PTR_ERR(new);
	old = getname(uold, 0);
	long r = PTR_ERR_OR_ZERO(old);

	if (!r) {
		r = do_pivot_root(new, old);
		putname(old);
	}
	putname(new);
	return r;
}

/* ---- root and working directory ---- */

static long change_dir(const struct path *p, struct path *slot, bool root)
{
	int err = inode_permission(p->dentry->inode, MAY_EXEC);

	if (!err && root && !capable(CAP_SYS_CHROOT))
		err = -EPERM;
	if (!err)
		fs_set_path(current->fs, slot, p);
	return err;
}

static long change_dir_user(const char __user *name, struct path *slot, bool root)
{
	struct path p;
	long r = user_path(AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);

	if (r)
		return r;
	r = change_dir(&p, slot, root);
	path_put(&p);
	return r;
}

long sys_chdir(const char __user *name)
{
	return change_dir_user(name, &current->fs->cwd, false);
}

long sys_chroot(const char __user *name)
{
	return change_dir_user(name, &current->fs->root, true);
}

long sys_fchdir(unsigned fd)
{
	struct fd f = fdget_raw(fd);

	if (!fd_file(f))
		return -EBADF;
	long r = dentry_is_dir(fd_file(f)->path.dentry) ? change_dir(&fd_file(f)->path, &current->fs->cwd, false) : -ENOTDIR;

	fdput(f);
	return r;
}

long sys_getcwd(char __user *buf, u64 size)
{
	static const char unreachable[] = "(unreachable)";
	struct path cwd, root;
	bool outside;
	char *page = kmalloc(PATH_MAX + sizeof(unreachable), GFP_KERNEL);

	if (!page)
		return -ENOMEM;
	fs_get_root(current->fs, &root);
	fs_get_cwd(current->fs, &cwd);
	long r = -ENOENT;

	if (!dentry_unlinked(cwd.dentry)) {
		char *s = path_name_from(&cwd, &root, page + sizeof(unreachable) - 1, PATH_MAX, &outside);
		r = PTR_ERR_OR_ZERO(s);
		if (!r) {
			if (outside) {
				s -= sizeof(unreachable) - 1;
				memcpy(s, unreachable, sizeof(unreachable) - 1);
			}
			r = strlen(s) + 1;
			if ((u64)r > size)
				r = -ERANGE;
			else if (copy_to_user(buf, s, r))
				r = -EFAULT;
		}
	}
	path_put(&cwd);
	path_put(&root);
	kfree(page);
	return r;
}

long sys_umask(u32 mask)
{
	return __atomic_exchange_n(&current->fs->umask, mask & 0777, __ATOMIC_RELAXED);
}

/* ---- refused, with the errno of a kernel built without the feature or of a file system that cannot ---- */

long sys_quotactl(unsigned cmd, const char __user *special, int id, void __user *addr)
{
	return -ENOSYS;
}
