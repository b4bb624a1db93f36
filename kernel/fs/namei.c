/*
 * Making and removing names (renaming: rename.c).
 *
 * Each call walks to the parent directory, locks it (rwsem), looks the name up once more under the lock, checks, and lets the
 * file system act; then the cache is brought in line. Order of errors: what the walk finds, then the kind of the last
 * component, then EEXIST / ENOENT, then EROFS, then permission, as the manual pages and their test suites want it.
 */
#include <fs/inotify.h>
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

/* ---- paths from user space ---- */

int pathbuf_get_slow(struct pathbuf *pb, const char __user *u)
{
	char *page = kmalloc(PATH_MAX + 8, GFP_KERNEL);

	if (!page)
		return -ENOMEM;
	s64 n = strncpy_from_user(page, u, PATH_MAX);
	if (n < 0 || n >= PATH_MAX) {
		kfree(page);
		return n < 0 ? -EFAULT : -ENAMETOOLONG;
	}
	pb->name = page;
	return 0;
}

int pathbuf_get(struct pathbuf *pb, const char __user *u, u32 lookup_flags)
{
	enum { ROOM = sizeof(pb->small) - 8 };
	s64 n = strncpy_from_user(pb->small, u, ROOM);

	if (unlikely(n < 0))
		return -EFAULT;
	if (unlikely(n >= ROOM))
		return pathbuf_get_slow(pb, u);
	pb->name = pb->small;
	return unlikely(!n) && !(lookup_flags & LOOKUP_EMPTY) ? -ENOENT : 0;
}

char *getname(const char __user *name, u32 lookup_flags)
{
	struct pathbuf pb;
	int err = pathbuf_get_slow(&pb, name);

	if (!err && !*pb.name && !(lookup_flags & LOOKUP_EMPTY)) {
		kfree(pb.name);
		err = -ENOENT;
	}
	return err ? ERR_PTR(err) : pb.name;
}

void putname(char *name)
{
	kfree(name);
}

u32 apply_umask(u32 mode)
{
	return current->fs ? mode & ~current->fs->umask : mode;
}

/* ---- permission to change a directory ---- */

int may_create(struct inode *dir)
{
	if (dir->flags & I_DEAD)
		return -ENOENT;
	return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

/* In a sticky directory only the owner of the file or of the directory removes a name. */
static bool sticky_forbids(const struct inode *dir, const struct inode *i)
{
	uid_t me = current_cred()->fsuid;

	return dir->mode & S_ISVTX && i->uid != me && dir->uid != me && !capable(CAP_FOWNER);
}

int may_delete(struct inode *dir, struct dentry *victim, bool isdir)
{
	struct inode *i = victim->inode;
	int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (err)
		return err;
	if (dir->flags & I_APPEND || sticky_forbids(dir, i) || i->flags & (I_APPEND | I_IMMUTABLE))
		return -EPERM;
	if (isdir && !S_ISDIR(i->mode))
		return -ENOTDIR;
	if (!isdir && S_ISDIR(i->mode))
		return -EISDIR;
	if (isdir && victim->parent == victim)
		return -EBUSY;
	return dir->flags & I_DEAD ? -ENOENT : 0;
}

/* ---- creating ---- */

/* Parent walked to and locked, the name free. *d: a negative dentry, referenced. => create_end after success */
static int create_begin(struct walk *w, int dirfd, const char *name, bool isdir, struct dentry **d)
{
	int err = walk_parent(w, dirfd, name, 0);

	if (err)
		return err;
	if (w->last_type != LAST_NORM) {
		err = -EEXIST;
		goto end;
	}
	struct inode *dir = w->path.dentry->inode;

	down_write(&dir->rwsem);
	*d = lookup_one(w->path.dentry, &w->last, true);
	if (IS_ERR(*d)) {
		err = PTR_ERR(*d);
		goto unlock;
	}
	if ((*d)->inode)
		err = -EEXIST;
	else if (!isdir && w->last.name[w->last.len])
		err = -ENOENT; /* trailing slash */
	else
		err = mnt_want_write(&w->path);
	if (!err)
		return 0;
	dentry_put(*d);
unlock:
	up_write(&dir->rwsem);
end:
	path_put(&w->path);
	walk_end(w);
	return err;
}

static void create_end(struct walk *w, struct dentry *d, int err)
{
	up_write(&w->path.dentry->inode->rwsem);
	if (!err)
		fsnotify(d, FS_CREATE);
	dentry_put(d);
	path_put(&w->path);
	walk_end(w);
}

int vfs_create(const struct path *dir, struct dentry *d, u32 mode)
{
	struct inode *i = dir->dentry->inode;
	int err = may_create(i);

	if (err)
		return err;
	return i->ops->create ? i->ops->create(i, d, (mode & 07777) | S_IFREG) : -EACCES;
}

static int vfs_mknod(const struct path *dir, struct dentry *d, u32 mode, u64 dev)
{
	struct inode *i = dir->dentry->inode;
	int err = may_create(i);

	if (err)
		return err;
	if ((S_ISCHR(mode) || S_ISBLK(mode)) && !capable(CAP_MKNOD))
		return -EPERM;
	return i->ops->mknod ? i->ops->mknod(i, d, mode, dev) : -EPERM;
}

static int mknod_kind(u32 *mode)
{
	switch (*mode & S_IFMT) {
	case 0:
		*mode |= S_IFREG;
		return 0;
	case S_IFREG:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int do_mknodat(int dirfd, const char *name, u32 mode, u64 dev)
{
	struct walk w;
	struct dentry *d;
	int err = mknod_kind(&mode);

	if (err)
		return err;
	err = create_begin(&w, dirfd, name, false, &d);
	if (err)
		return err;
	mode = apply_umask(mode);
	err = S_ISREG(mode) ? vfs_create(&w.path, d, mode) : vfs_mknod(&w.path, d, mode, S_ISCHR(mode) || S_ISBLK(mode) ? dev : 0);
	create_end(&w, d, err);
	return err;
}

int path_mknod(const char *name, u32 mode, u64 dev, struct path *out)
{
	struct walk w;
	struct dentry *d;
	int err = create_begin(&w, AT_FDCWD, name, false, &d);

	if (err)
		return err;
	err = vfs_mknod(&w.path, d, apply_umask(mode), dev);
	if (!err) {
		*out = (struct path){ w.path.mnt, d };
		path_get(out);
	}
	create_end(&w, d, err);
	return err;
}

int do_mkdirat(int dirfd, const char *name, u32 mode)
{
	struct walk w;
	struct dentry *d;
	int err = create_begin(&w, dirfd, name, true, &d);

	if (err)
		return err;
	struct inode *dir = w.path.dentry->inode;

	err = may_create(dir);
	if (!err && dir->nlink >= dir->super->max_links)
		err = -EMLINK;
	if (!err)
		err = dir->ops->mkdir ? dir->ops->mkdir(dir, d, apply_umask(mode & 01777)) : -EPERM;
	create_end(&w, d, err);
	return err;
}

int do_symlinkat(const char *target, int dirfd, const char *name)
{
	struct walk w;
	struct dentry *d;
	int err = create_begin(&w, dirfd, name, false, &d);

	if (err)
		return err;
	struct inode *dir = w.path.dentry->inode;

	err = may_create(dir);
	if (!err)
		err = dir->ops->symlink ? dir->ops->symlink(dir, d, target) : -EPERM;
	create_end(&w, d, err);
	return err;
}

static int link_checks(const struct path *old, const struct path *dir)
{
	struct inode *i = old->dentry->inode;

	if (old->mnt != dir->mnt)
		return -EXDEV;
	int err = may_create(dir->dentry->inode);
	if (err)
		return err;
	if (i->super != dir->dentry->super)
		return -EXDEV;
	if (i->flags & (I_APPEND | I_IMMUTABLE) || !dir->dentry->inode->ops->link || S_ISDIR(i->mode))
		return -EPERM;
	return 0;
}

int do_linkat(int olddir, const char *old, int newdir, const char *new, int flags)
{
	struct path src;
	struct walk w;
	struct dentry *d;
	u32 lookup = flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EMPTY_PATH) {
		if (!capable(CAP_DAC_READ_SEARCH))
			return -ENOENT;
		lookup |= LOOKUP_EMPTY;
	}
	int err = path_lookup(olddir, old, lookup, &src);
	if (err)
		return err;
	err = create_begin(&w, newdir, new, false, &d);
	if (err)
		goto put;
	err = link_checks(&src, &w.path);
	if (!err) {
		struct inode *i = src.dentry->inode, *dir = w.path.dentry->inode;
		down_write(&i->rwsem);
		if (!i->nlink && !(i->flags & I_LINKABLE))
			err = -ENOENT;
		else if (i->nlink >= i->super->max_links)
			err = -EMLINK;
		else
			err = dir->ops->link(src.dentry, dir, d);
		up_write(&i->rwsem);
	}
	create_end(&w, d, err);
put:
	path_put(&src);
	return err;
}

/* ---- removing ---- */

/* The victim w->last in the locked directory. NULL ref'd dentry never: ERR_PTR(-ENOENT). => dir locked, also on failure */
static struct dentry *find_victim(struct walk *w)
{
	int err = mnt_want_write(&w->path);

	if (err)
		return ERR_PTR(err);
	struct dentry *d = lookup_one(w->path.dentry, &w->last, false);

	return d ?: ERR_PTR(-ENOENT);
}

static int remove_dir(struct inode *dir, struct dentry *d)
{
	struct inode *i = d->inode;
	int err = may_delete(dir, d, true);

	if (err)
		return err;
	if (!dir->ops->rmdir)
		return -EPERM;
	down_write(&i->rwsem);
	err = d->flags & DENTRY_MOUNTED ? -EBUSY : dir->ops->rmdir(dir, d);
	if (!err)
		i->flags |= I_DEAD;
	up_write(&i->rwsem);
	return err;
}

static int remove_file(struct inode *dir, struct dentry *d)
{
	struct inode *i = d->inode;
	int err = may_delete(dir, d, false);

	if (err)
		return err;
	if (!dir->ops->unlink)
		return -EPERM;
	down_write(&i->rwsem);
	err = d->flags & DENTRY_MOUNTED ? -EBUSY : dir->ops->unlink(dir, d);
	up_write(&i->rwsem);
	return err;
}

int vfs_unlink(struct inode *dir, struct dentry *d)
{
	int err = remove_file(dir, d);

	if (!err)
		dentry_drop(d);
	return err;
}

/* Events of a removed name, in the order of inotify(7): the end of a file that nobody has open comes first. */
static void notify_removed(struct dentry *d, bool isdir)
{
	if (!isdir)
		fsnotify(d, FS_ATTRIB);
	if (READ_ONCE(d->refs) == 1 && (isdir || !d->inode->nlink))
		fsnotify_inode_gone(d->inode);
	fsnotify(d, FS_DELETE);
}

static int remove_name(struct walk *w, bool isdir)
{
	struct inode *dir = w->path.dentry->inode;
	int err;

	down_write(&dir->rwsem);
	struct dentry *d = find_victim(w);
	if (IS_ERR(d)) {
		err = PTR_ERR(d);
	} else if (!isdir && w->last.name[w->last.len]) {
		err = S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR; /* trailing slash */
	} else {
		err = isdir ? remove_dir(dir, d) : remove_file(dir, d);
		if (!err)
			dentry_drop(d);
	}
	up_write(&dir->rwsem);
	if (!IS_ERR(d)) {
		if (!err && unlikely(fsnotify_watches))
			notify_removed(d, isdir);
		dentry_put(d); /* frees the file: after the directory is unlocked */
	}
	return err;
}

int do_unlinkat(int dirfd, const char *name)
{
	struct walk w;
	int err = walk_parent(&w, dirfd, name, 0);

	if (err)
		return err;
	err = w.last_type != LAST_NORM ? -EISDIR : remove_name(&w, false);
	path_put(&w.path);
	walk_end(&w);
	return err;
}

int do_rmdirat(int dirfd, const char *name)
{
	static const int wrong[] = { [LAST_ROOT] = -EBUSY, [LAST_DOT] = -EINVAL, [LAST_DOTDOT] = -ENOTEMPTY };
	struct walk w;
	int err = walk_parent(&w, dirfd, name, 0);

	if (err)
		return err;
	err = w.last_type != LAST_NORM ? wrong[w.last_type] : remove_name(&w, true);
	path_put(&w.path);
	walk_end(&w);
	return err;
}

/* ---- reading links ---- */

static s64 link_to_user(const struct path *p, char __user *buf, int size)
{
	struct inode *i = p->dentry->inode;
	struct path jump = { NULL, NULL };
	const char *text = i->link;
	char *tmp = NULL;
	s64 n;

	if (!text) {
		tmp = kmalloc(PATH_MAX, GFP_KERNEL);
		if (!tmp)
			return -ENOMEM;
		text = i->ops->get_link(i, &jump, tmp, PATH_MAX);
		if (!text && jump.mnt) { /* a link that jumps: the name of where to */
			text = path_name(&jump, tmp, PATH_MAX);
			path_put(&jump);
		}
	}
	if (IS_ERR_OR_NULL(text)) {
		n = text ? PTR_ERR(text) : -ENOENT;
	} else {
		n = min_t(s64, strlen(text), size);
		if (copy_to_user(buf, text, n))
			n = -EFAULT;
	}
	kfree(tmp);
	return n;
}

s64 do_readlinkat(int dirfd, const char *name, char __user *buf, int size)
{
	struct path p;

	if (size <= 0)
		return -EINVAL;
	int err = path_lookup(dirfd, name, LOOKUP_EMPTY, &p);
	if (err)
		return err;
	struct inode *i = p.dentry->inode;
	s64 n = *name ? -EINVAL : -ENOENT;

	if (S_ISLNK(i->mode) && (i->link || i->ops->get_link)) {
		touch_atime(&p);
		n = link_to_user(&p, buf, size);
	}
	path_put(&p);
	return n;
}
