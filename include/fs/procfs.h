/*
 * /proc and /sys: text made on demand.
 *
 * A proc_file is a path below the root of its file system and the functions behind it. show writes the whole text into a
 * seq_buf (it is run again with a larger buffer when that overflows); an open file keeps the text of its last read from
 * offset 0, so that a reader in pieces sees one state. Where the text may be very long (maps) it is made in pieces, each of one state. write gets the bytes of one write call, NUL-terminated.
 */
#ifndef FS_PROCFS_H
#define FS_PROCFS_H

#include <fs/fs.h>

struct proc_file {
	const char *path; /* "meminfo", "sys/vm/swappiness" */
	u32 mode; /* permission bits */
	void (*show)(struct seq_buf *s, void *arg);
	int (*write)(const char *text, u64 n, void *arg); /* 0 or -errno */
	void *arg;
	const struct file_ops *fops; /* instead of show and write */
};
/* Adds a file; directories are made as needed. @f stays referenced. Boot, thread context; out of memory panics. */
void proc_add(const struct proc_file *f);
void proc_add_table(const struct proc_file *f, u32 n);
void sysfs_add(const struct proc_file *f); /* the same in /sys */
void sysfs_add_table(const struct proc_file *f, u32 n);
void proc_symlink(const char *path, const char *target); /* a link in /proc; both texts are static */
void sysfs_mkdir(const char *path); /* an empty directory in /sys */

/* A number that may be read and written between two bounds: arg of sysctl_show and sysctl_write. */
struct sysctl { u64 *value; u64 min, max; };
void sysctl_show(struct seq_buf *s, void *arg);
int sysctl_write(const char *text, u64 n, void *arg);
#define SYSCTL_U64(p, var, lo, hi) \
	{ .path = (p), .mode = 0644, .show = sysctl_show, .write = sysctl_write, .arg = &(struct sysctl){ &(var), lo, hi } }

/* Text files by themselves, for other dynamic trees. */
struct text_source { void (*show)(struct seq_buf *s, void *arg); int (*write)(const char *, u64, void *); void *arg; };
int text_open(struct file *f, const struct text_source *src); /* these five are the operations of a file whose text show() makes at the first read */
s64 text_read(struct file *f, struct iov_iter *to, loff_t *pos);
s64 text_write(struct file *f, struct iov_iter *from, loff_t *pos);
loff_t text_llseek(struct file *f, loff_t off, int whence);
void text_release(struct inode *i, struct file *f);

void procfs_init(void); /* registers proc and sysfs, fills the static files */

/* Inside procfs. */
struct proc_node { /* inode->private of dynamic inodes */
	struct pid *pid; /* referenced */
	const struct pid_entry *entry; /* NULL: the process directory */
	bool thread; /* below task/ */
	s32 fd; /* -1, or a descriptor */
	u64 start, end; /* map_files: the mapping; ns: which (start) */
};
struct task;
struct pid_entry {
	const char *name;
	u32 mode; /* with type */
	void (*show)(struct seq_buf *s, struct task *t);
	int (*write)(struct task *t, const char *text, u64 n);
	int (*link)(struct task *t, struct path *out); /* magic link: referenced path */
	const struct inode_ops *iops; /* directories */
	const struct file_ops *fops;
	bool guarded; /* needs ptrace-like access */
	bool process_only; /* not in task/TID */
	bool thread_only; /* only there */
};
extern const struct pid_entry pid_entries[];
extern const u32 nr_pid_entries;
struct task *proc_node_task(struct inode *i); /* referenced, or NULL when gone */
bool proc_may_look(struct task *t); /* same owner or capable */
int proc_look_permission(struct inode *i, int mask); /* .permission of directories for those who may look */
bool proc_emit_dots(struct file *f, struct dir_sink *s); /* "." and ".."; false when the sink is full */
void proc_dynamic_dentry(struct dentry *d, struct inode *i); /* a name that is looked up on every walk */
/* Of one file of /proc/PID; referenced, NULL: no memory. */
struct inode *proc_pid_inode(struct super *s, struct pid *p, const struct pid_entry *e, bool thread, s32 fd, u32 mode);
struct dentry *proc_lookup_pid(struct inode *dir, struct dentry *d, bool thread); /* a number in /proc or a task directory: as inode_ops->lookup */
extern const struct inode_ops pid_dir_iops, fd_dir_iops, fdinfo_dir_iops, task_dir_iops, fd_link_iops, map_files_iops, ns_dir_iops;
extern const struct file_ops pid_dir_fops, fd_dir_fops, fdinfo_dir_fops, task_dir_fops, map_files_fops, ns_dir_fops, pagemap_fops, mem_fops;
u64 proc_ino(struct pid *p, u32 what); /* inode number of that file of that process */
void proc_system_init(void); /* these make their files; boot */
void proc_sysctl_init(void);
void proc_sysvm_init(void); /* part of it */
void sysfs_tree_init(void);
void proc_irq_init(void); /* /proc/irq: after the devices */
void sysfs_thp_init(void);
void sysfs_ksm_init(void);
void sysfs_clock_init(void);
void sysfs_hugetlb_init(void); /* and /proc/sys/vm/nr_hugepages */
void pid_stat_show(struct seq_buf *s, struct task *t); /* /proc/PID/stat, status and so on: one a file, of a referenced task. => may sleep */
void pid_status_show(struct seq_buf *s, struct task *t);
/* proc_mem.c */
void cmdline_show(struct seq_buf *s, struct task *t);
void environ_show(struct seq_buf *s, struct task *t);
void auxv_show(struct seq_buf *s, struct task *t);
void maps_show(struct seq_buf *s, struct task *t);
void smaps_show(struct seq_buf *s, struct task *t);
void rollup_show(struct seq_buf *s, struct task *t);
void numa_maps_show(struct seq_buf *s, struct task *t);
void pagetables_show(struct seq_buf *s, struct task *t);
void statm_show(struct seq_buf *s, struct task *t);
int clear_refs_write(struct task *t, const char *text, u64 n);
/* proc_wait.c */
void syscall_show(struct seq_buf *s, struct task *t);
void stack_show(struct seq_buf *s, struct task *t);
void wchan_show(struct seq_buf *s, struct task *t);
void children_show(struct seq_buf *s, struct task *t);

#endif
