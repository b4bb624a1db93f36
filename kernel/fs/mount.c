/*
 * mount(2), umount2(2), pivot_root(2): what may be done to the tree (mount_tree.c), checked under namespace_mutex.
 *
 * Order everywhere: look the paths up without the lock, take it, follow what was mounted there meanwhile (lock_place), check, change,
 * unlock and tell who polls /proc/mounts.
 */
#include "mount_impl.h"
#include <lib/string.h>

#define MNT_EXPIRING (1u << 29)

DEFINE_WAIT_QUEUE(mount_event_wait);

static void mounts_changed(void)
{
	wake_up_poll(&mount_event_wait, POLLERR | POLLPRI);
}

/* ---- mount(2) ---- */

/* Locks the tree and follows *at to the top mount of the place. The place must be a live name. */
static int lock_place(struct path *at)
{
	mutex_lock(&namespace_mutex);
	while (READ_ONCE(at->dentry->flags) & DENTRY_MOUNTED && path_mounted_on(at))
		;
	if (dentry_unlinked(at->dentry) || at->dentry->inode->flags & I_DEAD) {
		mutex_unlock(&namespace_mutex);
		return -ENOENT;
	}
	return 0;
}

static void unlock_place(void)
{
	mutex_unlock(&namespace_mutex);
	mounts_changed();
}

/* Puts a new mount on *at. => takes over the caller's reference on m when 0 */
static int graft(struct mount *m, struct path *at)
{
	int err = lock_place(at);

	if (err)
		return err;
	if (dentry_is_dir(at->dentry) != dentry_is_dir(m->root))
		err = -ENOTDIR;
	else if (at->mnt->super == m->super && at->dentry == at->mnt->root && at->mnt->root == m->root)
		err = -EBUSY;
	else
		mount_attach(m, at);
	unlock_place();
	return err;
}

static u32 mount_flags(u32 flags)
{
	if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
		flags |= MS_RELATIME;
	if (flags & MS_STRICTATIME)
		flags &= ~(MS_RELATIME | MS_NOATIME);
	return flags & MNT_KEEP;
}

static int mount_new(struct path *at, const char *source, const char *fstype, u32 flags, const char *data)
{
	if (!fstype)
		return -EINVAL;
	struct fs_type *t = fs_type_find(fstype);

	if (!t)
		return -ENODEV;
	struct super *s = t->mount(t, source, flags, data);

	if (IS_ERR(s))
		return PTR_ERR(s);
	if (flags & MS_RDONLY)
		s->flags |= MS_RDONLY;
	struct mount *m = mount_alloc(s, s->root, source, mount_flags(flags));
	int err = m ? graft(m, at) : -ENOMEM;

	super_put(s); /* the mount has its own */
	if (err && m)
		mount_free(m);
	return err;
}

/* A copy of the subtree of mounts at *from below m (already attached). => namespace_mutex */
static int bind_children(struct mount *m, const struct path *from)
{
	struct mount *c, *map_from = from->mnt;

	list_for_each_entry(c, &map_from->children, child) {
		if (c == m || !dentry_is_under(c->mountpoint, from->dentry))
			continue;
		struct mount *copy = mount_alloc(c->super, c->root, c->source, c->flags);
		if (!copy)
			return -ENOMEM;
		mount_attach(copy, &(struct path){ m, c->mountpoint });
		int err = bind_children(copy, &(struct path){ c, c->root });
		if (err)
			return err;
	}
	return 0;
}

static int mount_bind(struct path *at, const char *source, u32 flags)
{
	struct path from;

	if (!source || !*source)
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	struct mount *m = mount_alloc(from.mnt->super, from.dentry, from.mnt->source, from.mnt->flags);
	err = -ENOMEM;
	if (!m)
		goto put_from;
	err = -EINVAL;
	if (from.mnt->flags & (MNT_INTERNAL | MNT_DETACHED))
		goto free;
	err = lock_place(at);
	if (err)
		goto free;
	err = dentry_is_dir(at->dentry) != dentry_is_dir(from.dentry) ? -ENOTDIR : 0;
	if (!err) {
		mount_attach(m, at);
		err = flags & MS_REC ? bind_children(m, &from) : 0;
		m = NULL;
	}
	unlock_place();
free:
	if (m)
		mount_free(m);
put_from:
	path_put(&from);
	return err;
}

static int mount_move(struct path *at, const char *source)
{
	struct path from;

	if (!source || !*source)
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	err = lock_place(at);
	if (err)
		goto out;
	if (from.dentry != from.mnt->root || !from.mnt->parent)
		err = -EINVAL;
	else if (dentry_is_dir(at->dentry) != dentry_is_dir(from.dentry))
		err = -EINVAL;
	else if (mount_is_under(at->mnt, from.mnt))
		err = -ELOOP;
	else
		mount_relocate(from.mnt, at);
	unlock_place();
out:
	path_put(&from);
	return err;
}

static int mount_remount(struct path *at, u32 flags, const char *data)
{
	struct super *s = at->mnt->super;
	int err = 0;

	if (at->dentry != at->mnt->root)
		return -EINVAL;
	mutex_lock(&namespace_mutex);
	if (flags & MS_RDONLY && !((flags & MS_BIND ? at->mnt->flags : s->flags) & MS_RDONLY) &&
	    (flags & MS_BIND ? mount_count_writers(at->mnt) : mount_super_writers(s)))
		err = -EBUSY;
	if (!err && !(flags & MS_BIND)) {
		err = s->ops->remount ? s->ops->remount(s, flags, data) : 0;
		if (!err)
			s->flags = (s->flags & ~MS_RDONLY) | (flags & MS_RDONLY);
	}
	if (!err)
		at->mnt->flags = (at->mnt->flags & ~MNT_KEEP) | mount_flags(flags);
	unlock_place();
	return err;
}

int do_mount(const char *source, const char *target, const char *fstype, u32 flags, const char *data)
{
	struct path at;

	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~MS_MGC_MSK;
	int err = path_lookup(AT_FDCWD, target, LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	if (!capable(CAP_SYS_ADMIN))
		err = -EPERM;
	else if (flags & MS_REMOUNT)
		err = mount_remount(&at, flags, data);
	else if (flags & MS_BIND)
		err = mount_bind(&at, source, flags);
	else if (flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))
		err = at.dentry == at.mnt->root ? 0 : -EINVAL; /* one namespace: there is nobody to propagate to */
	else if (flags & MS_MOVE)
		err = mount_move(&at, source);
	else
		err = mount_new(&at, source, fstype, flags, data);
	path_put(&at);
	return err;
}

/* ---- umount2(2) ---- */

/* umount of what is our root means: make it read-only (that is what shutdown scripts want). => namespace_mutex */
static int umount_root(struct super *s)
{
	if (s->flags & MS_RDONLY)
		return 0;
	if (mount_super_writers(s))
		return -EBUSY;
	s->flags |= MS_RDONLY;
	return 0;
}

/* => namespace_mutex; one reference on m is the caller's */
static int umount_locked(struct mount *m, int flags)
{
	struct path root;

	if (!m->parent || m->flags & (MNT_INTERNAL | MNT_DETACHED)) {
		if (m != root_mount)
			return -EINVAL;
		return flags & MNT_DETACH ? -EBUSY : umount_root(m->super);
	}
	fs_get_root(current->fs, &root);
	bool is_root = root.mnt == m && root.dentry == m->root;
	path_put(&root);
	if (is_root && !(flags & MNT_DETACH))
		return umount_root(m->super);
	if (!(flags & MNT_DETACH)) {
		mount_tree_begin();
		bool busy = mount_count_refs(m) > 2; /* the tree and our caller */
		mount_tree_end();
		if (busy)
			return -EBUSY;
		if (flags & MNT_EXPIRE && !(m->flags & MNT_EXPIRING)) {
			m->flags |= MNT_EXPIRING;
			return -EAGAIN;
		}
	}
	mount_detach_tree(m);
	return 0;
}

int do_umount(const char *target, int flags)
{
	struct path at;

	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	if (!capable(CAP_SYS_ADMIN))
		err = -EPERM;
	else if (at.dentry != at.mnt->root || (flags & MNT_EXPIRE && flags & (MNT_FORCE | MNT_DETACH)))
		err = -EINVAL;
	dentry_put(at.dentry); /* it is the mount's root, or we are leaving */
	if (!err) {
		mutex_lock(&namespace_mutex);
		err = umount_locked(at.mnt, flags);
		unlock_place();
	}
	mnt_put(at.mnt);
	return err;
}

/* ---- pivot_root(2) ---- */

static int pivot_checks(const struct path *new, const struct path *old, const struct path *root)
{
	if (new->mnt == root->mnt || old->mnt == root->mnt)
		return -EBUSY;
	if (root->mnt->root != root->dentry || !root->mnt->parent)
		return -EINVAL;
	if (new->mnt->root != new->dentry || !new->mnt->parent)
		return -EINVAL;
	if (dentry_unlinked(new->dentry) || dentry_unlinked(old->dentry))
		return -ENOENT;
	if (!mount_is_under(old->mnt, new->mnt) || !mount_is_under(new->mnt, root->mnt))
		return -EINVAL;
	return 0;
}

int do_pivot_root(const char *new_root, const char *put_old)
{
	struct path new, old, root;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	int err = path_lookup(AT_FDCWD, new_root, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &new);
	if (err)
		return err;
	err = path_lookup(AT_FDCWD, put_old, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &old);
	if (err)
		goto put_new;
	fs_get_root(current->fs, &root);
	err = lock_place(&old);
	if (err)
		goto put_root;
	err = pivot_checks(&new, &old, &root);
	if (!err) {
		struct path top = { root.mnt->parent, root.mnt->mountpoint };
		path_get(&top);
		mount_relocate(root.mnt, &old);
		mount_relocate(new.mnt, &top);
		path_put(&top);
		fs_contexts_move(&root, &new);
	}
	unlock_place();
put_root:
	path_put(&root);
	path_put(&old);
put_new:
	path_put(&new);
	return err;
}
