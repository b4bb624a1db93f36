/*
 * Opening files and changing their attributes by path or descriptor.
 *
 * do_filp_open walks like any lookup, with the last component treated by kind: found (perhaps a link to go on with), or to be
 * created under the directory's lock. The checks stand between the walk and vfs_open: kind of file, permission, the
 * mount's nodev and noexec, then ETXTBSY and the file's own open. A truncation comes last, so that a failed open changes nothing.
 */
#include <fs/internal.h>
#include <fs/pipe.h>
#include <lib/string.h>
#include <mm/slab.h>

struct open_want {
	u32 oflags;
	u32 mode; /* of a new file */
	int acc; /* MAY_* */
	bool created;
	struct file *file; /* what opens it, made before a name is: none is left when there is no memory */
};

/* ---- struct file from a path ---- */

static u32 fmode_of(u32 oflags)
{
	return ((oflags + 1) & O_ACCMODE) | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE | (oflags & O_NOATIME ? FMODE_NOATIME : 0);
}

static const struct file_ops path_only_fops;
static int do_truncate(const struct path *p, u64 size, struct file *f);

static int open_ops(struct file *f)
{
	struct inode *i = f->inode;

	f->ops = i->fops;
	int err = f->ops->open ? f->ops->open(i, f) : 0;
	if (err)
		return err;
	if (!f->ops->llseek)
		f->fmode &= ~FMODE_LSEEK;
	if (f->flags & O_DIRECT && S_ISREG(i->mode)) {
		if (f->ops->release)
			f->ops->release(i, f);
		return -EINVAL; /* memory has no device to reach directly */
	}
	return 0;
}

/* takes over the path references, also on failure */
static int vfs_open(struct file *f, const struct path *p)
{
	struct inode *i = p->dentry->inode;
	int err = 0;

	f->path = *p;
	f->inode = i;
	if (f->flags & O_PATH) {
		f->fmode = FMODE_PATH;
		f->ops = &path_only_fops;
		return 0;
	}
	f->fmode = fmode_of(f->flags);
	if (f->fmode & FMODE_WRITE && (S_ISREG(i->mode) || S_ISDIR(i->mode))) {
		err = sb_rdonly(p) ? -EROFS : inode_get_write(i);
		if (err)
			goto fail;
		mnt_writer(p->mnt, 1);
		f->fmode |= FMODE_WRITER;
	}
	err = open_ops(f);
	if (err)
		goto fail;
	f->flags &= ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);
	return 0;
fail:
	f->ops = &path_only_fops; /* file_put must not release what was not opened */
	f->fmode |= FMODE_PATH;
	return err;
}

struct file *path_open(const struct path *p, int oflags)
{
	int err;
	struct file *f = file_alloc_err(&err);

	if (!f)
		return ERR_PTR(err);
	f->flags = oflags | O_LARGEFILE;
	path_get(p);
	err = vfs_open(f, p);
	if (err) {
		file_put(f);
		return ERR_PTR(err);
	}
	return f;
}

/* ---- open(2) ---- */

static int open_flags(struct open_want *o, u32 *lookup)
{
	u32 fl = o->oflags;

	if (fl & O_PATH)
		fl &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if (fl & __O_TMPFILE) {
		if ((fl & (O_TMPFILE | O_CREAT)) != O_TMPFILE || !(fl & (O_WRONLY | O_RDWR)))
			return -EINVAL;
	}
	if (fl & __O_SYNC)
		fl |= O_DSYNC;
	o->oflags = fl;
	o->acc = "\004\002\006\006"[fl & O_ACCMODE];
	if (fl & O_TRUNC)
		o->acc |= MAY_WRITE;
	if (fl & O_PATH)
		o->acc = 0;
	o->mode = fl & (O_CREAT | __O_TMPFILE) ? o->mode & 07777 : 0;
	o->created = false;
	if (fl & O_DIRECTORY)
		*lookup |= LOOKUP_DIRECTORY;
	if (!(fl & O_NOFOLLOW) && (fl & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
		*lookup |= LOOKUP_FOLLOW;
	return 0;
}

static int may_open(const struct path *p, struct open_want *o)
{
	struct inode *i = p->dentry->inode;
	int acc = o->created ? 0 : o->acc;

	switch (i->mode & S_IFMT) {
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		if (acc & MAY_WRITE || o->oflags & O_CREAT)
			return -EISDIR;
		break;
	case S_IFBLK:
	case S_IFCHR:
		if (p->mnt->flags & MS_NODEV)
			return -EACCES;
		fallthrough;
	case S_IFIFO:
	case S_IFSOCK:
		o->oflags &= ~O_TRUNC;
		break;
	}
	int err = acc ? path_permission(p, acc) : 0;
	if (err)
		return err;
	if (unlikely(i->flags & I_APPEND) && (o->acc & MAY_WRITE && (!(o->oflags & O_APPEND) || o->oflags & O_TRUNC)))
		return -EPERM;
	if (o->oflags & O_NOATIME && !inode_owner_or_capable(i))
		return -EPERM;
	return 0;
}

static bool breaks_lease(const struct walk *w, const struct open_want *o)
{
	return unlikely(w->path.dentry->inode->leases) && !(o->oflags & O_PATH);
}

/* Creates the last component. => w referenced at the directory; afterwards at the new file. -EEXIST: somebody else was faster */
static int create_last(struct walk *w, struct open_want *o)
{
	struct dentry *dir = w->path.dentry;
	int err;

	down_write(&dir->inode->rwsem);
	struct dentry *d = lookup_one(dir, &w->last, true);
	if (IS_ERR(d)) {
		up_write(&dir->inode->rwsem);
		return PTR_ERR(d);
	}
	if (d->inode)
		err = -EEXIST;
	else
		err = mnt_want_write(&w->path);
	if (!err && !o->file)
		o->file = file_alloc_err(&err);
	if (!err)
		err = vfs_create(&w->path, d, apply_umask(o->mode));
	up_write(&dir->inode->rwsem);
	if (err) {
		dentry_put(d);
		return err;
	}
	fsnotify(d, FS_CREATE);
	o->created = true;
	w->path.dentry = d;
	w->inode = d->inode;
	dentry_put(dir);
	return 0;
}

/* The last component of an open with O_CREAT. As walk_last. */
static const char *last_or_create(struct walk *w, struct open_want *o)
{
	if (w->last_type != LAST_NORM)
		return walk_last(w);
	if (w->last.name[w->last.len])
		return ERR_PTR(-EISDIR); /* trailing slash */
	for (;;) {
		const char *text = walk_last(w);
		if (text != ERR_PTR(-ENOENT))
			return text;
		if (w->rcu && w->depth)
			return ERR_PTR(-ECHILD); /* the name lies in a link's text, which nobody would hold */
		int err = walk_legitimize(w);
		if (!err)
			err = create_last(w, o);
		if (err != -EEXIST || o->oflags & O_EXCL)
			return err ? ERR_PTR(err) : NULL;
	}
}

static int open_walk(struct walk *w, const char *name, struct open_want *o)
{
	do {
		int err = walk_links(w, name);
		if (err)
			return err;
		name = o->oflags & O_CREAT ? last_or_create(w, o) : walk_last(w);
		if (IS_ERR(name))
			return PTR_ERR(name);
	} while (name);
	return w->rcu || w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT) ? walk_legitimize(w) : 0;
}

static int open_checks(struct walk *w, struct open_want *o)
{
	u32 mode = w->path.dentry->inode->mode;

	if (o->oflags & O_CREAT && !o->created) {
		if (o->oflags & O_EXCL)
			return -EEXIST;
		if (S_ISDIR(mode))
			return -EISDIR;
	}
	if (w->flags & LOOKUP_DIRECTORY && !S_ISDIR(mode))
		return -ENOTDIR;
	return o->oflags & O_PATH ? 0 : may_open(&w->path, o);
}

/* O_TMPFILE: a file without a name in the directory at w. */
static int open_tmpfile(struct walk *w, struct open_want *o, struct file *f)
{
	struct inode *dir = w->path.dentry->inode;
	int err = mnt_want_write(&w->path);

	if (!err)
		err = inode_permission(dir, MAY_WRITE | MAY_EXEC);
	if (err)
		return err;
	if (!dir->ops->tmpfile)
		return -EOPNOTSUPP;
	struct dentry *d = dentry_alloc(w->path.dentry, "#tmpfile", 8);

	if (!d)
		return -ENOMEM;
	f->path = (struct path){ w->path.mnt, d };
	mnt_get(w->path.mnt);
	down_write(&dir->rwsem);
	err = dir->ops->tmpfile(dir, f, apply_umask(o->mode) | S_IFREG); /* sets d->inode */
	up_write(&dir->rwsem);
	if (err)
		return err;
	if (!(o->oflags & O_EXCL))
		d->inode->flags |= I_LINKABLE;
	return vfs_open(f, &f->path);
}

static int open_file(struct walk *w, struct open_want *o, struct file *f)
{
	if (o->oflags & __O_TMPFILE)
		return open_tmpfile(w, o, f);
	f->flags = o->oflags;
	int err = vfs_open(f, &w->path); /* gives the references away */

	w->path.mnt = NULL;
	if (!err && o->oflags & O_TRUNC && !o->created && S_ISREG(f->inode->mode))
		err = do_truncate(&f->path, 0, f);
	return err;
}

static struct file *open_mode(int dirfd, const char *name, struct open_want *o, u32 lookup, bool rcu)
{
	struct file *f;
	struct walk w;
	int err = walk_start(&w, dirfd, name, lookup, rcu);

	if (err)
		return ERR_PTR(err);
	err = open_walk(&w, name, o);
	if (!err && !(o->oflags & __O_TMPFILE))
		err = open_checks(&w, o);
	else if (!err && !dentry_is_dir(w.path.dentry))
		err = -ENOTDIR;
	if (!err && breaks_lease(&w, o))
		err = lease_break(w.path.dentry->inode, o->acc & MAY_WRITE, o->oflags & O_NONBLOCK);
	f = o->file;
	o->file = NULL;
	if (!err && !f)
		f = file_alloc_err(&err);
	if (!err) {
		f->flags = o->oflags;
		err = open_file(&w, o, f);
	}
	walk_abort(&w);
	if (!err) {
		fsnotify(f->path.dentry, FS_OPEN);
		return f;
	}
	if (f)
		file_put(f);
	return ERR_PTR(err);
}

struct file *do_filp_open(int dirfd, const char *name, int oflags, u32 mode, u32 lookup)
{
	struct open_want o = { .oflags = oflags, .mode = mode };
	int err = open_flags(&o, &lookup);

	if (err)
		return ERR_PTR(err);
	if (!*name && !(lookup & LOOKUP_EMPTY))
		return ERR_PTR(-ENOENT);
	struct file *f = open_mode(dirfd, name, &o, lookup, true);

	while (unlikely(f == ERR_PTR(-ECHILD)))
		f = lookup & LOOKUP_CACHED ? ERR_PTR(-EAGAIN) : open_mode(dirfd, name, &o, lookup, false);
	return f;
}

struct file *kernel_open(const char *path, int oflags, u32 mode)
{
	return do_filp_open(AT_FDCWD, path, oflags | O_LARGEFILE, mode, 0);
}

/* ---- truncation and allocation ---- */

/* permission checked */
static int do_truncate(const struct path *p, u64 size, struct file *f)
{
	struct inode *i = p->dentry->inode;
	struct iattr a = { .valid = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME, .size = size };

	a.mtime = current_time();
	if (i->mode & (S_ISUID | S_ISGID) && !capable(CAP_FSETID)) {
		u32 mode = i->mode & ~S_ISUID;
		i->mode = mode & 0010 ? mode & ~S_ISGID : mode;
	}
	return notify_change(p, &a);
}

int do_sys_truncate(const char *name, s64 size)
{
	struct path p;

	if (size < 0)
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &p);
	if (err)
		return err;
	struct inode *i = p.dentry->inode;

	if (S_ISDIR(i->mode))
		err = -EISDIR;
	else if (!S_ISREG(i->mode))
		err = -EINVAL;
	else if (!(err = mnt_want_write(&p)))
		err = inode_permission(i, MAY_WRITE);
	if (!err && i->flags & I_APPEND)
		err = -EPERM;
	if (!err && unlikely(i->leases))
		err = lease_break(i, true, false);
	if (!err)
		err = inode_get_write(i);
	if (!err) {
		err = do_truncate(&p, size, NULL);
		inode_put_write(i);
	}
	path_put(&p);
	return err;
}

int do_ftruncate(struct file *f, s64 size)
{
	if (size < 0 || !S_ISREG(f->inode->mode) || !(f->fmode & FMODE_WRITE))
		return -EINVAL;
	if (f->inode->flags & I_APPEND)
		return -EPERM;
	return do_truncate(&f->path, size, f);
}

int do_fallocate(struct file *f, int mode, s64 off, s64 len)
{
	s64 end;

	if (off < 0 || len <= 0)
		return -EINVAL;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_COLLAPSE_RANGE | 0x20 | 0x40))
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE && (mode & FALLOC_FL_ZERO_RANGE || !(mode & FALLOC_FL_KEEP_SIZE)))
		return -EOPNOTSUPP;
	if (!(f->fmode & FMODE_WRITE))
		return -EBADF;
	if (f->inode->flags & I_IMMUTABLE || (f->inode->flags & I_APPEND && mode & ~FALLOC_FL_KEEP_SIZE))
		return -EPERM;
	if (S_ISFIFO(f->inode->mode))
		return -ESPIPE;
	if (S_ISDIR(f->inode->mode))
		return -EISDIR;
	if (!S_ISREG(f->inode->mode))
		return -ENODEV;
	if (__builtin_add_overflow(off, len, &end))
		return -EFBIG;
	if (!f->ops->fallocate)
		return -EOPNOTSUPP;
	int err = f->ops->fallocate(f, mode, off, len);
	if (!err)
		fsnotify(f->path.dentry, FS_MODIFY);
	return err;
}

/* ---- attributes ---- */

int path_chmod(const struct path *p, u32 mode)
{
	struct iattr a = { .valid = ATTR_MODE | ATTR_CTIME, .mode = mode & 07777 };

	if (S_ISLNK(p->dentry->inode->mode))
		return -EOPNOTSUPP;
	return notify_change(p, &a);
}

int do_fchmodat(int dirfd, const char *name, u32 mode, u32 lookup)
{
	struct path p;
	int err = path_lookup(dirfd, name, lookup, &p);

	if (err)
		return err;
	err = path_chmod(&p, mode);
	path_put(&p);
	return err;
}

int path_chown(const struct path *p, uid_t uid, gid_t gid)
{
	struct inode *i = p->dentry->inode;
	struct iattr a = { .valid = ATTR_CTIME, .uid = uid, .gid = gid };

	if (uid != (uid_t)-1)
		a.valid |= ATTR_UID;
	if (gid != (gid_t)-1)
		a.valid |= ATTR_GID;
	int err = notify_change(p, &a);

	/* chown(2): the set-id bits of a program go when its owner changes; a setgid bit without group execution stays. */
	if (!err && !S_ISDIR(i->mode) && i->mode & (S_ISUID | S_ISGID)) {
		down_write(&i->rwsem);
		i->mode &= ~(S_ISUID | (i->mode & 0010 ? S_ISGID : 0));
		up_write(&i->rwsem);
	}
	return err;
}

int do_fchownat(int dirfd, const char *name, uid_t uid, gid_t gid, u32 lookup)
{
	struct path p;
	int err = path_lookup(dirfd, name, lookup, &p);

	if (err)
		return err;
	err = path_chown(&p, uid, gid);
	path_put(&p);
	return err;
}

int path_utimes(const struct path *p, const struct timespec64 t[2], int omit[2])
{
	struct inode *i = p->dentry->inode;
	struct iattr a = { .valid = ATTR_CTIME | ATTR_ATIME | ATTR_MTIME };

	if (!t) { /* now: whoever may write */
		int err = mnt_want_write(p);
		if (!err && i->flags & I_IMMUTABLE)
			err = -EPERM;
		if (!err && !inode_owner_or_capable(i))
			err = inode_permission(i, MAY_WRITE);
		if (err)
			return err;
		a.atime = a.mtime = current_time();
		return notify_change(p, &a);
	}
	a.valid |= ATTR_ATIME_SET | ATTR_MTIME_SET;
	a.atime = t[0];
	a.mtime = t[1];
	if (omit[0])
		a.valid &= ~ATTR_ATIME;
	if (omit[1])
		a.valid &= ~ATTR_MTIME;
	return notify_change(p, &a);
}

/* ---- access(2) ---- */

static int access_path(int dirfd, const char *name, int mode, u32 lookup)
{
	struct path p;
	int err = path_lookup(dirfd, name, lookup, &p);

	if (err)
		return err;
	if (mode)
		err = path_permission(&p, mode);
	path_put(&p);
	return err;
}

/* access(2) asks for the real user: for the length of the call the file system ids and capabilities become his. */
static const struct cred *access_override(void)
{
	const struct cred *old = current_cred();
	u64 caps = old->uid ? 0 : old->cap_permitted;

	if (old->fsuid == old->uid && old->fsgid == old->gid && old->cap_effective == caps)
		return NULL;
	struct cred *c = cred_prepare();

	if (!c)
		return ERR_PTR(-ENOMEM);
	c->fsuid = c->uid;
	c->fsgid = c->gid;
	c->cap_effective = caps;
	current->cred = c;
	return old;
}

int do_faccessat(int dirfd, const char *name, int mode, int flags)
{
	u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);

	if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EACCESS)
		return access_path(dirfd, name, mode, lookup);
	const struct cred *old = access_override();

	if (IS_ERR(old))
		return PTR_ERR(old);
	int err = access_path(dirfd, name, mode, lookup);

	if (old) {
		struct cred *mine = (struct cred *)current->cred;
		current->cred = old;
		cred_abort(mine);
	}
	return err;
}
