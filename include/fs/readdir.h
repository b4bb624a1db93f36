/* getdents(2), performing half. */
#ifndef FS_READDIR_H
#define FS_READDIR_H

#include <lib/types.h>

struct file;
/* Fills @to with records: bytes, 0 at the end, -errno. old: struct linux_dirent. => may sleep */
s64 do_getdents(struct file *f, void __user *to, u64 n, bool old);

#endif
