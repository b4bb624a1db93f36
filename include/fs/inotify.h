/* inotify(7): events of files and directories. Bits 0-11 of a mask are the FS_* events of fs.h. */
#ifndef FS_INOTIFY_H
#define FS_INOTIFY_H

#include <fs/fs.h>

#define IN_Q_OVERFLOW 0x4000u
#define IN_IGNORED 0x8000u
#define IN_ONLYDIR 0x01000000u
#define IN_DONT_FOLLOW 0x02000000u
#define IN_EXCL_UNLINK 0x04000000u
#define IN_MASK_CREATE 0x10000000u
#define IN_MASK_ADD 0x20000000u
#define IN_ISDIR 0x40000000u
#define IN_ONESHOT 0x80000000u

int do_inotify_init(u32 flags); /* O_NONBLOCK, O_CLOEXEC: a descriptor or -errno */
int do_inotify_add(struct file *f, const char __user *name, u32 mask); /* a watch number or -errno */
int do_inotify_remove(struct file *f, int wd);
/* The inode is at its end: its watches get their last events. */
void fsnotify_inode_gone(struct inode *i);

/* sysctl fs.inotify.*; limits per user. */
extern u64 inotify_max_queued_events, inotify_max_user_instances, inotify_max_user_watches;

#endif
