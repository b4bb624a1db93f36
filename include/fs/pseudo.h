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
	struct mount *mnt; /* set once */
};
#define PSEUDO_FS(kind, magic_nr) { .type = { .name = kind, .mount = pseudo_mount }, .magic = (magic_nr) }
struct super *pseudo_mount(struct fs_type *t, const char *source, u32 flags, const char *data);

/* An open file on a new inode of @mode. ERR_PTR. => may sleep */
struct file *pseudo_file(struct pseudo_fs *p, u32 mode, const struct file_ops *ops, u32 oflags);
/* The same under another name, with a number of its own that several may share; read-only. */
struct file *pseudo_file_as(struct pseudo_fs *p, const char *name, u64 ino, u32 mode, const struct file_ops *ops);

#endif
