/*
 * Making, removing and renaming names.
 *
 * Each call walks to the parent directory, locks it (rwsem), looks the name up once more under the lock, checks, and lets the
 * file system act; then the cache is brought in line. Order of errors: what the walk finds, then the kind of the last
 * component, then EEXIST / ENOENT, then EROFS, then permission, as the manual pages and their test suites want it.
 *
 * Two directories are locked by lock_two_dirs: rename_mutex first (no directory moves meanwhile, so "is an ancestor of" is
 * stable), then the ancestor before the descendant, else by address. A non-directory that is renamed over or linked is
 * locked after the directories.
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

static int may_delete(struct inode *dir, struct dentry *victim, bool isdir)
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

int vfs_mknod(const struct path *dir, struct dentry *d, u32 mode, u64 dev)
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

/* ---- renaming ---- */

/* Locks both directories. *trap: the ancestor's child on the way to the other, which must not be moved or replaced by it. */
static void lock_two_dirs(struct dentry *a, struct dentry *b)
{
	if (a == b) {
		down_write(&a->inode->rwsem);
		return;
	}
	mutex_lock(&rename_mutex);
	bool b_first = dentry_is_under(a, b) || (!dentry_is_under(b, a) && a > b);

	down_write(b_first ? &b->inode->rwsem : &a->inode->rwsem);
	down_write(b_first ? &a->inode->rwsem : &b->inode->rwsem);
}

static void unlock_two_dirs(struct dentry *a, struct dentry *b)
{
	up_write(&a->inode->rwsem);
	if (a == b)
		return;
	up_write(&b->inode->rwsem);
	mutex_unlock(&rename_mutex);
}

struct rename {
	struct walk from, to;
	struct dentry *od, *nd; /* referenced */
	u32 flags;
};

/* The two names, looked up under the locks; checks that need no permission. */
static int rename_find(struct rename *r)
{
	r->nd = NULL;
	r->od = lookup_one(r->from.path.dentry, &r->from.last, false);
	if (IS_ERR_OR_NULL(r->od)) {
		int err = r->od ? PTR_ERR(r->od) : -ENOENT;
		r->od = NULL;
		return err;
	}
	r->nd = lookup_one(r->to.path.dentry, &r->to.last, true);
	if (IS_ERR(r->nd)) {
		int err = PTR_ERR(r->nd);
		r->nd = NULL;
		return err;
	}
	bool odir = S_ISDIR(r->od->inode->mode), oslash = r->from.last.name[r->from.last.len], nslash = r->to.last.name[r->to.last.len];

	if (r->flags & RENAME_NOREPLACE && r->nd->inode)
		return -EEXIST;
	if (r->flags & RENAME_EXCHANGE) {
		if (!r->nd->inode)
			return -ENOENT;
		if (!S_ISDIR(r->nd->inode->mode) && nslash)
			return -ENOTDIR;
	}
	if (!odir && (oslash || (!(r->flags & RENAME_EXCHANGE) && nslash)))
		return -ENOTDIR;
	if (dentry_is_under(r->to.path.dentry, r->od))
		return -EINVAL; /* into itself */
	if (dentry_is_under(r->from.path.dentry, r->nd))
		return r->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int rename_permission(struct rename *r)
{
	struct inode *odir = r->from.path.dentry->inode, *ndir = r->to.path.dentry->inode;
	bool isdir = S_ISDIR(r->od->inode->mode);
	int err = may_delete(odir, r->od, isdir);

	if (err)
		return err;
	if (!r->nd->inode)
		err = may_create(ndir);
	else if (r->flags & RENAME_EXCHANGE)
		err = may_delete(ndir, r->nd, S_ISDIR(r->nd->inode->mode));
	else
		err = may_delete(ndir, r->nd, isdir);
	if (err)
		return err;
	if (!odir->ops->rename)
		return -EPERM;
	/* A directory that changes its parent has its ".." written. */
	if (odir != ndir && isdir && (err = inode_permission(r->od->inode, MAY_WRITE)))
		return err;
	if (odir != ndir && r->flags & RENAME_EXCHANGE && S_ISDIR(r->nd->inode->mode))
		return inode_permission(r->nd->inode, MAY_WRITE);
	return 0;
}

static int rename_act(struct rename *r)
{
	struct inode *odir = r->from.path.dentry->inode, *ndir = r->to.path.dentry->inode, *victim = r->nd->inode;
	static u32 cookie;

	if (victim == r->od->inode)
		return 0; /* two links of one file: nothing happens (rename(2)) */
	int err = rename_permission(r);
	if (err)
		return err;
	if ((r->od->flags | r->nd->flags) & DENTRY_MOUNTED)
		return -EBUSY;
	if (odir != ndir && S_ISDIR(r->od->inode->mode) && (!victim || r->flags & RENAME_EXCHANGE) && ndir->nlink >= ndir->super->max_links)
		return -EMLINK;
	if (victim)
		down_write(&victim->rwsem);
	err = odir->ops->rename(odir, r->od, ndir, r->nd, r->flags);
	if (!err && victim && !(r->flags & RENAME_EXCHANGE) && S_ISDIR(victim->mode))
		victim->flags |= I_DEAD;
	if (victim)
		up_write(&victim->rwsem);
	if (err)
		return err;
	u32 c = fsnotify_watches ? __atomic_add_fetch(&cookie, 1, __ATOMIC_RELAXED) : 0;
	if (c)
		fsnotify_slow(r->od, FS_MOVED_FROM, c);
	if (r->flags & RENAME_EXCHANGE)
		dentry_exchange(r->od, r->nd);
	else
		dentry_move(r->od, r->nd);
	if (c) {
		fsnotify_slow(r->od, FS_MOVED_TO, c);
		fsnotify_slow(r->od, FS_MOVE_SELF, 0);
	}
	return 0;
}

static int rename_locked(struct rename *r)
{
	struct dentry *a = r->from.path.dentry, *b = r->to.path.dentry;

	if (r->from.path.mnt != r->to.path.mnt)
		return -EXDEV;
	if (r->from.last_type != LAST_NORM)
		return -EBUSY;
	if (r->to.last_type != LAST_NORM)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	int err = mnt_want_write(&r->from.path);
	if (err)
		return err;
	lock_two_dirs(a, b);
	err = rename_find(r);
	if (!err)
		err = rename_act(r);
	unlock_two_dirs(a, b);
	if (r->nd)
		dentry_put(r->nd);
	if (r->od)
		dentry_put(r->od);
	return err;
}

int do_renameat2(int olddir, const char *old, int newdir, const char *new, u32 flags)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) && flags & RENAME_EXCHANGE)
		return -EINVAL;
	if (flags & RENAME_WHITEOUT)
		return -EINVAL; /* no overlays here */
	struct rename *r = kmalloc(sizeof(*r), GFP_KERNEL); /* two walks are too much for the stack */
	if (!r)
		return -ENOMEM;
	r->flags = flags;
	int err = walk_parent(&r->from, olddir, old, 0);
	if (err)
		goto free;
	err = walk_parent(&r->to, newdir, new, 0);
	if (err)
		goto end_from;
	err = rename_locked(r);
	path_put(&r->to.path);
	walk_end(&r->to);
end_from:
	path_put(&r->from.path);
	walk_end(&r->from);
free:
	kfree(r);
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
