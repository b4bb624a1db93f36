/*
 * Who may do what: mode bits, ownership, capabilities; and the changes of attributes (chmod, chown, utimes, truncate share
 * one path: notify_change). The decisions use the file system ids of the running task (credentials(7), capabilities(7)).
 *
 * inode_permission may run under RCU on an inode without a reference: it reads fields, takes no lock, never sleeps.
 */
#include <fs/internal.h>

static int generic_permission(struct inode *i, int mask)
{
	u32 mode = READ_ONCE(i->mode), bits = mode;

	if (READ_ONCE(i->uid) == current_cred()->fsuid)
		bits >>= 6;
	else if ((mode >> 3 & 7) != (mode & 7) && in_group(READ_ONCE(i->gid)))
		bits >>= 3;
	mask &= MAY_READ | MAY_WRITE | MAY_EXEC;
	if (!(mask & ~bits))
		return 0;
	if (S_ISDIR(mode)) {
		if (!(mask & MAY_WRITE) && capable(CAP_DAC_READ_SEARCH))
			return 0;
		return capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
	}
	if (mask == MAY_READ && capable(CAP_DAC_READ_SEARCH))
		return 0;
	if ((!(mask & MAY_EXEC) || mode & 0111) && capable(CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

int inode_permission(struct inode *i, int mask)
{
	if (mask & MAY_WRITE) {
		u32 type = i->mode & S_IFMT;
		if (i->super->flags & MS_RDONLY && (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
			return -EROFS;
		if (unlikely(i->flags & I_IMMUTABLE))
			return -EPERM;
	}
	return unlikely(i->ops->permission) ? i->ops->permission(i, mask) : generic_permission(i, mask);
}

int path_permission(const struct path *p, int mask)
{
	struct inode *i = p->dentry->inode;
	u32 type = i->mode & S_IFMT;

	if (mask & MAY_WRITE && p->mnt->flags & MS_RDONLY && (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
		return -EROFS;
	if (mask & MAY_EXEC && type == S_IFREG && p->mnt->flags & MS_NOEXEC)
		return -EACCES;
	return inode_permission(i, mask);
}

bool inode_owner_or_capable(const struct inode *i)
{
	return i->uid == current_cred()->fsuid || capable(CAP_FOWNER);
}

/* chown(2): the owner may give the file to a group he is in; everything else needs CAP_CHOWN. */
static int chown_allowed(const struct inode *i, const struct iattr *a)
{
	bool owner = i->uid == current_cred()->fsuid;

	if (a->valid & ATTR_UID && !(owner && a->uid == i->uid) && !capable(CAP_CHOWN))
		return -EPERM;
	if (a->valid & ATTR_GID && !(owner && (a->gid == i->gid || in_group(a->gid))) && !capable(CAP_CHOWN))
		return -EPERM;
	return 0;
}

/* permission half of notify_change */
static int setattr_prepare(struct inode *i, struct iattr *a)
{
	int err = chown_allowed(i, a);

	if (err)
		return err;
	if (a->valid & ATTR_MODE) {
		if (!inode_owner_or_capable(i))
			return -EPERM;
		gid_t g = a->valid & ATTR_GID ? a->gid : i->gid;
		if (!in_group(g) && !capable(CAP_FSETID))
			a->mode &= ~S_ISGID;
	}
	if (a->valid & (ATTR_ATIME_SET | ATTR_MTIME_SET) && !inode_owner_or_capable(i))
		return -EPERM;
	return 0;
}

int generic_setattr(struct inode *i, struct iattr *a)
{
	if (a->valid & ATTR_UID)
		i->uid = a->uid;
	if (a->valid & ATTR_GID)
		i->gid = a->gid;
	if (a->valid & ATTR_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	if (a->valid & ATTR_ATIME)
		i->atime = a->atime;
	if (a->valid & ATTR_MTIME)
		i->mtime = a->mtime;
	if (a->valid & ATTR_SIZE) {
		loff_t old = i->size;
		inode_set_size(i, a->size);
		if ((loff_t)a->size < old)
			mapping_truncate(&i->mapping, a->size);
	}
	if (a->valid & ATTR_CTIME)
		i->ctime = current_time();
	return 0;
}

int notify_change(const struct path *p, struct iattr *a)
{
	struct inode *i = p->dentry->inode;
	int err = mnt_want_write(p);

	if (err)
		return err;
	down_write(&i->rwsem);
	if (i->flags & (I_IMMUTABLE | I_APPEND) && a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME_SET | ATTR_MTIME_SET))
		err = -EPERM;
	if (!err)
		err = setattr_prepare(i, a);
	if (!err)
		err = i->ops->setattr ? i->ops->setattr(i, a) : generic_setattr(i, a);
	up_write(&i->rwsem);
	if (!err)
		fsnotify(p->dentry, a->valid & ATTR_SIZE ? FS_MODIFY : FS_ATTRIB);
	return err;
}
