/* Sealable files in memory. */
#ifndef FS_MEMFD_H
#define FS_MEMFD_H

#include <fs/fs.h>

int do_memfd_create(const char *name, u32 flags); /* a descriptor or -errno */
int file_add_seals(struct file *f, u32 seals); /* 0; -EPERM, -EINVAL, -EBUSY */
int file_get_seals(struct file *f); /* F_SEAL_*; -EINVAL when the file cannot have any */

#endif
