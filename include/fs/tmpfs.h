/* tmpfs: files that live in memory. Also the shape of devfs, of memfds and of shared anonymous memory. */
#ifndef FS_TMPFS_H
#define FS_TMPFS_H

#include <fs/fs.h>

struct tmpfs {
	const struct run_policy *runs; /* (I) of its files; NULL: small pages only */
	struct run_policy own_runs; /* (I) by huge= */
	int huge; /* (a) SHMEM_HUGE_ALWAYS to _NEVER: huge= */
	u64 max_pages, max_inodes; /* (a) 0: no limit */
	s64 pages, inodes; /* (a) in use */
	u32 mode;
	uid_t uid;
	gid_t gid;
	void (*file_made)(struct inode *i); /* (I) another kind of regular file; NULL: ours */
};
/* A node without a name: directories, files, devices. NULL: no memory or no inodes left. @dir may be NULL. */
struct inode *tmpfs_inode(struct super *s, struct inode *dir, u32 mode, u64 rdev);
/* A superblock over @t (first member of what put_super frees, kmalloc'ed; freed here on failure) with a root directory. ERR_PTR. */
struct super *tmpfs_super(const char *name, u64 magic, const struct super_ops *ops, struct tmpfs *t);
void tmpfs_evict(struct inode *i); /* super_ops->evict_inode */
/* Symbolic link with this text. */
struct inode *tmpfs_symlink_inode(struct super *s, struct inode *dir, const char *target);
/* SEEK_DATA and SEEK_HOLE of a file whose data is its cached pages. */
loff_t tmpfs_llseek(struct file *f, loff_t off, int whence);
/* fallocate of a file in memory: modes, seals, locks, times. */
struct memory_file_ops {
	s64 (*punch)(struct inode *i, loff_t from, loff_t to); /* whole pages go, parts are zeroed. => inode rwsem, as all */
	s64 (*fill)(struct inode *i, loff_t from, loff_t to, bool keep_size); /* pages are there; the size grows unless kept */
	void (*settle)(struct inode *i); /* in the end, or NULL */
};
s64 memory_fallocate(struct file *f, int mode, loff_t off, loff_t len, const struct memory_file_ops *ops);
/* Takes what mmap faults added or truncation freed into the accounts. */
void tmpfs_settle(struct inode *i);

#endif
