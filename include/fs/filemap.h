/* Writing through the page cache, for file systems. */
#ifndef FS_FILEMAP_H
#define FS_FILEMAP_H

#include <fs/fs.h>

/* Asked before a page is added to the file; -ENOSPC. */
typedef int (*filemap_charge_fn)(struct inode *i);
/* Copies @count bytes into the cache at @pos, growing the size as it goes: bytes or -errno. => inode rwsem held for writing */
s64 filemap_write_locked(struct inode *i, struct iov_iter *from, u64 pos, u64 count, filemap_charge_fn charge);

#endif
