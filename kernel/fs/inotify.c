/* File change notification: the hooks of include/fs/fs.h. */
#include <fs/internal.h>

u32 fsnotify_watches;

void fsnotify_slow(struct dentry *d, u32 mask, u32 cookie)
{
}
