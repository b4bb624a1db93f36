/* F_NOTIFY: kernel/fs/dnotify.c. */
#ifndef FS_DNOTIFY_H
#define FS_DNOTIFY_H

#include <fs/fdtable.h>

extern u64 dnotify_enable; /* sysctl fs.dir-notify-enable */
extern u32 dnotify_marks; /* how many; a hint */
int dnotify_set(int fd, struct file *f, u32 what); /* DN_*; 0 or only DN_MULTISHOT removes. 0, -ENOTDIR, -ENOMEM, -EINVAL */
void dnotify_event(const struct inode *dir, u32 mask); /* FS_* happened to it or to a name in it */
void dnotify_close(const struct file *f, const struct files *table); /* a descriptor of @f in @table is closed */

#endif
