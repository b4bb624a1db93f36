/*
 * Files on inodes that have no place in the tree: pipes, sockets. Their names show in /proc/PID/fd as "kind:[ino]".
 */
#ifndef FS_PSEUDO_H
#define FS_PSEUDO_H

#include <fs/fs.h>

/* A kind of pseudo file with its own internal mount. Static; the mount is made at first use. */
struct pseudo_fs {
	struct fs_type type;
	u64 magic;
	struct mount *mnt; /* (init_lock) */
	struct mutex init_lock;
};
#define PSEUDO_FS(kind, magic_nr)                                                    \
	{ .type = { .name = kind, .mount = pseudo_mount }, .magic = (magic_nr) }
struct super *pseudo_mount(struct fs_type *t, const char *source, u32 flags, const char *data);

/* A new inode of @mode; NULL when out of memory. => may sleep */
struct inode *pseudo_inode(struct pseudo_fs *p, u32 mode);
/* An open file on @i (takes one reference of its own on @i). ERR_PTR. => may sleep */
struct file *pseudo_file(struct pseudo_fs *p, struct inode *i, const struct file_ops *ops, u32 oflags);

#endif
