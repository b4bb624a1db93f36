/* What mount_tree.c (the tree and its references) gives to mount.c (the calls) and mount_show.c (the text). */
#ifndef KERNEL_FS_MOUNT_IMPL_H
#define KERNEL_FS_MOUNT_IMPL_H

#include <fs/internal.h>
#include <kernel/mutex.h>

/* The flags that a mount has for itself; all others are the superblock's. */
#define MNT_KEEP (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME | MS_NOSYMFOLLOW)

extern struct mutex namespace_mutex; /* changes of the tree, one at a time */
extern struct list_head all_mounts; /* (namespace_mutex) attached, in order of mounting */

/* A mount of the subtree at root, in no tree, with one reference. NULL: no memory. => may sleep; takes references of its own on both */
struct mount *mount_alloc(struct super *s, struct dentry *root, const char *source, u32 flags);
/* => nobody has a reference, or it was never attached; may sleep */
void mount_free(struct mount *m);
/* Sums over all CPUs; of a mount that is not detached only a lower or higher bound while references move. => any context */
s32 mount_count_refs(const struct mount *m);
s32 mount_count_writers(const struct mount *m);
/* Files open for writing in all mounts of a superblock. => namespace_mutex */
s32 mount_super_writers(const struct super *s);

/* Around a change that walkers must not see half of. => namespace_mutex; preemption is off in between */
void mount_tree_begin(void);
void mount_tree_end(void);
/* Puts a new mount at a place. The tree takes over the caller's reference on m. => namespace_mutex */
void mount_attach(struct mount *m, const struct path *at);
/* Moves m to another place. => namespace_mutex; m is not the root of the tree */
void mount_relocate(struct mount *m, const struct path *at);
/* Takes a mount and all below it out of the tree, children first. => namespace_mutex; sleeps */
void mount_detach_tree(struct mount *top);
/* Is m top, or below it? => namespace_mutex */
bool mount_is_under(const struct mount *m, const struct mount *top);

#endif
