/*
 * rename(2): walks to the two directories, locks them, looks both names up once more under the locks, checks, lets the file system act,
 * and brings the cache in line.
 *
 * Two directories are locked by lock_two_dirs: rename_mutex first (no directory moves meanwhile, so "is an ancestor of" is
 * stable), then the ancestor before the descendant, else by address. A non-directory that is renamed over or linked is
 * locked after the directories.
 */
#include <fs/inotify.h>
#include <fs/internal.h>
#include <mm/slab.h>

/* Locks both directories, in the order the head of this file gives. */
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
