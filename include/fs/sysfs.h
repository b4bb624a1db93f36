/* What the parts of /sys share. The tree itself is procfs's (fs/procfs.h). */
#ifndef FS_SYSFS_H
#define FS_SYSFS_H

#include <fs/procfs.h>

/* Adds a read-only file whose path is made here (below 96 bytes); file and path stay for ever. Boot; out of memory panics. */
__printf(3, 4) void sysfs_add_made(void (*show)(struct seq_buf *, void *), void *arg, const char *fmt, ...);
/* A set of CPUs or nodes as a line: ranges ("0-3,5") or 32-bit groups in hexadecimal. */
void sysfs_list_show(struct seq_buf *s, u64 mask);
void sysfs_map_show(struct seq_buf *s, u64 mask);

/* The directories of the CPUs. => boot, once, when all CPUs have been started */
void sysfs_cpus_init(void);
void sysfs_cache_init(void); /* part of it */

#endif
