/*
 * What stat(2) tells. The fast form (sys/fs_stat.c) fills the answer under RCU from the inode where the walk ended, without a
 * reference; kinds of files with a getattr of their own go the referenced way.
 */
#include <fs/internal.h>
#include <lib/string.h>

u64 encode_dev(u64 dev)
{
	u64 ma = dev >> 20, mi = dev & 0xfffff;

	return (mi & 0xff) | ma << 8 | (mi & ~0xffull) << 12;
}

u64 decode_dev(u64 udev)
{
	u64 ma = (udev & 0xfff00) >> 8, mi = (udev & 0xff) | (udev >> 12 & 0xfff00);

	return MKDEV(ma, mi);
}

static void generic_fill(struct inode *i, struct kstat *st)
{
	st->ino = i->ino;
	st->dev = i->super->dev;
	st->rdev = i->rdev;
	st->mode = i->mode;
	st->nlink = i->nlink;
	st->uid = i->uid;
	st->gid = i->gid;
	st->blksize = PAGE_SIZE;
	st->size = i->size;
	st->blocks = i->blocks;
	st->atime = i->atime;
	st->mtime = i->mtime;
	st->ctime = i->ctime;
	st->btime = i->btime;
	st->attributes = i->flags & (I_APPEND | I_IMMUTABLE) ? (i->flags & I_APPEND ? STATX_ATTR_APPEND : 0) |
							       (i->flags & I_IMMUTABLE ? STATX_ATTR_IMMUTABLE : 0) : 0;
	st->mnt_id = 0;
}

int vfs_getattr(const struct path *p, struct kstat *st)
{
	struct inode *i = p->dentry->inode;
	int err = 0;

	generic_fill(i, st);
	if (i->ops->getattr)
		err = i->ops->getattr(i, st);
	st->mnt_id = p->mnt->id;
	if (p->dentry == p->mnt->root)
		st->attributes |= STATX_ATTR_MOUNT_ROOT;
	return err;
}

void kstat_to_user(const struct kstat *st, struct ustat64 *u)
{
	u->st_dev = encode_dev(st->dev);
	u->st_ino = st->ino;
	u->st_nlink = st->nlink;
	u->st_mode = st->mode;
	u->st_uid = st->uid;
	u->st_gid = st->gid;
	u->pad0 = 0;
	u->st_rdev = encode_dev(st->rdev);
	u->st_size = st->size;
	u->st_blksize = st->blksize;
	u->st_blocks = st->blocks;
	u->st_atime = st->atime.sec;
	u->st_atime_nsec = st->atime.nsec;
	u->st_mtime = st->mtime.sec;
	u->st_mtime_nsec = st->mtime.nsec;
	u->st_ctime = st->ctime.sec;
	u->st_ctime_nsec = st->ctime.nsec;
	u->unused[0] = u->unused[1] = u->unused[2] = 0;
}
