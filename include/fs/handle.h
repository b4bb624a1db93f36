/* Files by number, for handles: kernel/fs/handle.c. */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include <fs/fs.h>

/* What a handle is made of: which instance of a file system it is of, and the inode's number. */
#define HANDLE_TYPE 1 /* FILEID_INO32_GEN */
struct handle_body { u32 instance, ino, ino_high; };
static inline u32 handle_instance(const struct super *s) { return s->id + 1; }
static inline struct handle_body handle_of(const struct inode *i)
{
	return (struct handle_body){ handle_instance(i->super), (u32)i->ino, (u32)(i->ino >> 32) };
}
/* A path to the inode with that number in the mount's file system; referenced. 0, -ESTALE. => may sleep, walks the whole tree */
int path_by_number(struct mount *m, u64 ino, struct path *out);

#endif
