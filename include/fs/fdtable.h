/*
 * Descriptor tables. Lookup is lock-free: a table that is not shared needs no reference on the file
 * (fdget/fdput); a shared one takes one under RCU.
 */
#ifndef FS_FDTABLE_H
#define FS_FDTABLE_H

#include <fs/fs.h>
#include <proc/task.h>

/* full: one bit per word of open, set when that word is all ones, so that the lowest free fd is found in two steps. */
struct fdtable {
	u32 max; /* (I) multiple of 64 */
	struct file **fd; /* (files->lock; RCU) */
	u64 *open, *cloexec, *full; /* (files->lock) */
	struct rcu_head rcu;
};
struct files {
	s32 refs; /* (a) tasks sharing */
	struct fdtable *t; /* (RCU) */
	spinlock_t lock;
	u32 next_fd;
	struct fdtable inline_table;
	struct file *inline_fd[64];
	u64 inline_open[1], inline_cloexec[1], inline_full[1];
};
/* A file for the length of one system call; bit 0 of the word: fdput drops a reference. */
struct fd { u64 w; };
static inline struct file *fd_file(struct fd f) { return (struct file *)(f.w & ~3ull); }
struct fd fdget_shared(struct files *fs, unsigned fd);
static inline struct fd fdget_raw(unsigned fd) /* O_PATH too */
{
	struct files *fs = current->files;

	if (unlikely(READ_ONCE(fs->refs) != 1))
		return fdget_shared(fs, fd);
	return (struct fd){ likely(fd < fs->t->max) ? (u64)fs->t->fd[fd] : 0 };
}
static inline struct fd fdget(unsigned fd) /* file NULL when closed or O_PATH */
{
	struct fd f = fdget_raw(fd);

	if (unlikely(f.w && fd_file(f)->fmode & FMODE_PATH)) {
		if (f.w & 1)
			file_put(fd_file(f));
		f.w = 0;
	}
	return f;
}
static inline void fdput(struct fd f) { if (f.w & 1) file_put(fd_file(f)); }
struct file *fget(unsigned fd); /* referenced or NULL */
struct file *fget_task(struct task *t, unsigned fd);
int fd_alloc(u32 oflags, u32 from); /* reserves the lowest free fd; -EMFILE. O_CLOEXEC honoured */
void fd_install(int fd, struct file *f); /* takes over the reference */
void fd_release(int fd); /* a reserved one that was not installed */
/* Two files under new numbers, which are written to @fds. Takes over both references, also when it fails. => may sleep; -EMFILE, -EFAULT */
long fd_install_pair(struct file *f[2], u32 oflags, s32 __user *fds);
int fd_open_file(struct file *f, u32 oflags); /* alloc + install, puts f on failure */
int close_fd(unsigned fd);
/* dup2, fcntl, close_range */
int fd_replace(unsigned from, unsigned to, u32 oflags);
int fd_replace_file(struct file *f, unsigned to, u32 oflags); /* under the number @to, whatever was there; takes over the reference, also on failure */
int fd_get_cloexec(unsigned fd); /* => fd is open */
void fd_set_cloexec(unsigned fd, bool on);
int fd_close_range(u32 first, u32 last, bool unshare, bool cloexec);
u32 files_next_open(struct files *f, u32 from); /* first open fd >= from or ~0u; for /proc/PID/fd */

extern u64 nr_open_max; /* sysctl fs.nr_open: one past the highest descriptor any process may have */

#endif
