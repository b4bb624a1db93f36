/* Files by number, for handles: kernel/fs/handle.c. */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include <fs/fs.h>

/* A path to the inode with that number in the mount's file system; referenced. 0, -ESTALE. => may sleep, walks the whole tree */
int path_by_number(struct mount *m, u64 ino, struct path *out);

#endif
