/* getdents(2), performing half. */
#ifndef FS_READDIR_H
#define FS_READDIR_H

#include <lib/types.h>

struct file;
struct dentry;
/* Fills @to with records: bytes, 0 at the end, -errno. old: struct linux_dirent. => may sleep */
s64 do_getdents(struct file *f, void __user *to, u64 n, bool old);
/* The first name pinned in memory after @after (NULL: of all) in a directory, in the order of its list. => the directory's rwsem, @after pinned */
struct dentry *pinned_child_after(struct dentry *dir, struct dentry *after);

#endif
