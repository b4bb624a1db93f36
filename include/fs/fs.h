/*
 * Files: superblocks, inodes, names (dentries), open files. docs/design/files.md is the chapter.
 *
 * Path walking is lock-free under RCU (hash lookup, generation check) and takes one reference at the end; it falls back to
 * a referenced walk. Locks, outer first: namespace_mutex (mount tree) -> rename_mutex (moves between two directories) ->
 * inode->rwsem (directory contents, file size; parents before children, then by address) -> mm's locks -> dentry->lock ->
 * parent's dentry->lock is never nested with it -> hash bucket locks; inode->lock, mount_lock and files->lock are leaves.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <kernel/mutex.h>
#include <kernel/rcu.h>
#include <lib/err.h>
#include <lib/list.h>
#include <lib/seq_buf.h>
#include <mm/mapping.h>
#include <uapi/fcntl.h>
#include <uapi/poll.h>
#include <uapi/stat.h>

struct file;
struct inode;
struct dentry;
struct super;
struct mount;
struct poll_table;
struct path;
struct kstatfs;
struct task;

/* Scatter/gather position in user or kernel memory. */
struct iov_iter {
	bool kernel; /* addresses are kernel memory */
	u32 nr;
	const struct iovec_k *iov; /* for nr > 1 */
	u64 base; /* current segment */
	u64 seg_left;
	u64 count; /* bytes left in all */
};
struct iovec_k { u64 base, len; };
static inline void iov_init_user(struct iov_iter *it, void __user *p, u64 n) { *it = (struct iov_iter){ false, 1, NULL, (u64)p, n, n }; }
static inline void iov_init_kernel(struct iov_iter *it, void *p, u64 n) { *it = (struct iov_iter){ true, 1, NULL, (u64)p, n, n }; }
/* Move n bytes and advance; return bytes moved (short on a fault). */
u64 copy_to_iter(struct iov_iter *it, const void *from, u64 n);
u64 copy_from_iter(void *to, struct iov_iter *it, u64 n);
u64 zero_to_iter(struct iov_iter *it, u64 n);
void iov_advance(struct iov_iter *it, u64 n);
u64 iov_segment(struct iov_iter *it, u64 *base); /* where the next bytes are, and how many there are in one piece. => count is not 0 */
/* Import an iovec array; *iov is kmalloc'ed when not NULL afterwards. Total bytes or -errno. */
s64 iov_import(struct iov_iter *it, const void __user *uvec, u64 nr, struct iovec_k **heap);

struct qstr { const char *name; u32 len; u32 hash; };


struct kstat { u64 ino; u64 dev, rdev; u32 mode, nlink, uid, gid, blksize; u64 size, blocks; struct timespec64 { s64 sec; s64 nsec; } atime, mtime, ctime, btime; u64 mnt_id; u64 attributes; };
struct iattr { u32 valid; u32 mode; uid_t uid; gid_t gid; u64 size; struct timespec64 atime, mtime; };
#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u
#define ATTR_ATIME_SET 64u
#define ATTR_MTIME_SET 128u
#define ATTR_CTIME 256u

struct inode_ops {
	struct dentry *(*lookup)(struct inode *dir, struct dentry *d); /* NULL: d now positive or negative; ERR_PTR. dir rwsem held */
	int (*create)(struct inode *dir, struct dentry *d, u32 mode);
	int (*mkdir)(struct inode *dir, struct dentry *d, u32 mode);
	int (*mknod)(struct inode *dir, struct dentry *d, u32 mode, u64 dev);
	int (*symlink)(struct inode *dir, struct dentry *d, const char *target);
	int (*link)(struct dentry *old, struct inode *dir, struct dentry *d);
	int (*unlink)(struct inode *dir, struct dentry *d);
	int (*rmdir)(struct inode *dir, struct dentry *d);
	int (*rename)(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd, u32 flags);
	int (*tmpfile)(struct inode *dir, struct file *f, u32 mode);
	/* Link text: pointer valid while the inode is referenced; or a jump (proc fd links): sets *jump to a referenced path. */
	const char *(*get_link)(struct inode *i, struct path *jump, char *buf, u64 n);
	int (*may_follow)(struct inode *i); /* of a jump, beyond reading it; NULL: anyone. 0 or -errno */
	int (*getattr)(struct inode *i, struct kstat *st); /* NULL: generic */
	int (*setattr)(struct inode *i, struct iattr *a); /* NULL: generic; permission already checked; rwsem held */
	int (*permission)(struct inode *i, int mask); /* NULL: generic mode bits. => must not sleep (called under RCU) */
	s64 (*getxattr)(struct inode *i, const char *name, void *buf, u64 n);
	int (*setxattr)(struct inode *i, const char *name, const void *buf, u64 n, int flags);
	s64 (*listxattr)(struct inode *i, char *buf, u64 n);
	int (*removexattr)(struct inode *i, const char *name);
};

struct dir_sink; /* getdents: opaque to file systems */
/* False when the buffer is full: stop, do not advance pos past this entry. */
bool dir_emit(struct dir_sink *s, const char *name, u32 len, u64 ino, u8 type, u64 next_pos);

struct file_ops {
	s64 (*read)(struct file *f, struct iov_iter *to, loff_t *pos);
	s64 (*write)(struct file *f, struct iov_iter *from, loff_t *pos);
	loff_t (*llseek)(struct file *f, loff_t off, int whence); /* NULL: -ESPIPE */
	int (*iterate)(struct file *f, struct dir_sink *s); /* from f->pos */
	u32 (*poll)(struct file *f, struct poll_table *pt); /* NULL: always readable and writable */
	long (*ioctl)(struct file *f, u32 cmd, u64 arg);
	int (*mmap)(struct file *f, struct vma *v);
	unsigned (*huge_shift)(struct file *f); /* logarithm of its page size, when that is not the usual (hugetlbfs) */
	struct mapping *(*mapping)(struct file *f); /* whose pages a mapping of it has, when those are not its inode's */
	int (*open)(struct inode *i, struct file *f);
	int (*flush)(struct file *f); /* each close */
	void (*release)(struct inode *i, struct file *f); /* last reference */
	int (*fsync)(struct file *f, bool datasync);
	int (*fasync)(int fd, struct file *f, int on);
	s64 (*fallocate)(struct file *f, int mode, loff_t off, loff_t len);
	void (*show_fdinfo)(struct file *f, struct seq_buf *s);
	s64 (*splice_read)(struct file *f, loff_t *pos, struct file *pipe, u64 len, u32 flags);
};

struct super_ops {
	void (*evict_inode)(struct inode *i); /* last reference and no links */
	void (*free_inode)(struct inode *i);
	int (*statfs)(struct super *s, struct kstatfs *out);
	int (*sync)(struct super *s);
	void (*put_super)(struct super *s);
	int (*remount)(struct super *s, u32 flags, const char *data);
	void (*show_options)(struct super *s, struct seq_buf *b);
	/* Only for DENTRY_REVALIDATE: is this cached name still right? => must not sleep (called under RCU) */
	bool (*revalidate)(struct dentry *d);
	bool by_number; /* every name is pinned, and an inode's number never given again: handles can be made */
};
struct kstatfs { u64 type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags; };

struct super {
	const char *fstype;
	const struct super_ops *ops;
	u64 dev; /* st_dev */
	u32 flags;
	u64 magic;
	struct dentry *root;
	void *private;
	s32 refs;
	struct list_head inodes; /* (lock) */
	spinlock_t lock;
	bool noexec; /* (I) no mapping of its files may be executed, wherever it is mounted */
	bool root_numbered; /* (a) the first inode has its number, 1 */
	u32 id; /* minor number of dev */
	u32 max_links;
};

/* inode->flags */
#define I_DEAD 1u /* removed directory: nothing can be made in it (rwsem) */
#define I_LINKABLE 2u /* O_TMPFILE without O_EXCL: may be given a name though nlink is 0 */
#define I_NOATIME 4u
#define I_PERSIST 8u /* evict only when nlink is 0: the file system keeps it otherwise */
#define I_APPEND 16u
#define I_IMMUTABLE 32u
#define I_NOSEALS 64u /* F_ADD_SEALS refused: not a sealable memfd */
#define I_ACCOUNTED 128u /* shared memory object whose size was charged against the commit limit */

/* Life cycle: inode_new (refs 1) -> names and open files hold references -> last inode_put: evict_inode, pages dropped ->
 * freed after a grace period, because RCU walkers look at mode, owner and ops of an inode without a reference. */
struct inode {
	u32 mode; /* type (I) and permission (rwsem) */
	uid_t uid; /* (rwsem) */
	gid_t gid; /* (rwsem) */
	u32 flags; /* I_* (lock) */
	const struct inode_ops *ops; /* (I) */
	const struct file_ops *fops; /* (I) */
	struct super *super; /* (I) */
	const char *link; /* (I) text of a plain symbolic link, freed by the RCU end of the inode (kfree); else NULL */
	u32 nlink; /* (rwsem) */
	s32 refs; /* (a) */
	u64 ino; /* (I) */
	u64 rdev; /* (I) kernel form */
	loff_t size; /* (rwsem; racy readers) change by inode_set_size only */
	u64 blocks; /* 512-byte units */
	struct timespec64 atime, mtime, ctime, btime; /* (rwsem, racy) */
	s32 writers; /* (a) open for writing; negative: denied (running executable) */
	spinlock_t lock; /* flags, flocks, watches */
	struct rw_semaphore rwsem; /* "i": directory contents, size */
	struct mapping mapping; /* page cache of regular files */
	void *private; /* file system's */
	void *xattrs; /* (rwsem) */
	struct pipe *pipe; /* FIFOs: pipe.c's, under inode->lock */
	struct list_head flocks; /* (lock) */
	struct list_head sb_link; /* (super->lock) */
	wait_queue_t lease_wait; /* sleepers for locks */
	u32 seals; /* (rwsem) */
	u32 generation;
	void *watches; /* (lock) inotify */
	struct lease *leases; /* lease.c */
	struct rcu_head rcu;
};

/* dentry->flags; changed under d->lock */
#define DENTRY_PINNED 1u /* the file system holds a reference: the name exists only here */
#define DENTRY_COMPLETE 2u /* directory whose every name is cached: a miss is ENOENT without asking ->lookup */
#define DENTRY_REVALIDATE 4u /* ask super_ops->revalidate on each use */
#define DENTRY_NOCACHE 8u /* not kept after the last reference */
#define DENTRY_MOUNTED 16u /* d->mounted is not 0 */
#define DENTRY_SYMLINK 32u /* inode types, for the walk */
#define DENTRY_DIR 64u
#define DENTRY_LRU 128u
#define DENTRY_HASHED 256u
#define DENTRY_PSEUDO 512u /* shown as name:[ino] */
#define DENTRY_VERBATIM 2048u /* shown as it is, without place or (deleted) */
#define DENTRY_USED 1024u /* second chance on the LRU */

/* Life cycle: dentry_alloc (unhashed, refs 1, holds its parent) -> dentry_add (hashed, positive or negative) -> cached with
 * refs 0 on the LRU, or pinned -> dentry_drop or shrinking -> last put: dead (refs -1), freed after a grace period. */
#define DNAME_INLINE 40
struct dentry {
	struct hlist_node hash; /* (bucket lock; RCU) */
	struct dentry *parent; /* (rename; RCU with seq) itself for a root */
	struct qstr name; /* (rename; RCU with seq) */
	u32 seq; /* (lock) odd while it changes; RCU walkers check it */
	u32 flags; /* (lock) DENTRY_* */
	struct inode *inode; /* (lock; RCU with seq) NULL: negative */
	s32 refs; /* (a) -1: dead */
	spinlock_t lock;
	char iname[DNAME_INLINE]; /* short names, zero padded */
	struct list_head children, sibling; /* (parent->lock; pinned names also dir rwsem) hashed names in order of dir_pos */
	struct list_head lru; /* (LRU lock) */
	struct super *super; /* (I) */
	u64 dir_pos; /* (dir rwsem) place in its directory, for readdir */
	u64 next_pos; /* (own rwsem) directories: next dir_pos */
	u32 version; /* (own rwsem) directories: counts removals, for readdir cursors */
	u32 mounted; /* (lock) something is mounted here */
	void *private; /* file system's */
	struct rcu_head rcu;
};

/* I: immutable while there is a reference; T: namespace_mutex, and read under RCU between two looks at mount_seq. */
struct mount {
	struct super *super; /* (I) referenced */
	struct dentry *root; /* (I) of the mounted tree; referenced */
	struct mount *parent; /* (T) referenced; NULL: root of the tree, or in none */
	struct dentry *mountpoint; /* (T) referenced */
	struct hlist_node hash; /* (T) by (parent, mountpoint) */
	struct list_head list; /* (namespace_mutex) all attached ones */
	struct mount_count *count; /* (per CPU) references and writers; a sum is exact once detached, under mount_lock */
	u32 flags; /* (namespace_mutex; read freely) MS_* that hold per mount, MNT_* */
	u32 id; /* (I) */
	s32 parent_id; /* (namespace_mutex) as last attached */
	char *source; /* (I) */
	struct list_head children, child; /* (namespace_mutex) */
	struct rcu_head rcu;
};
#define MNT_DETACHED (1u << 31) /* not in the tree: the last put frees it */
#define MNT_INTERNAL (1u << 30) /* never attached, never freed */

struct path { struct mount *mnt; struct dentry *dentry; };
void path_get(const struct path *p); /* mount and name, one reference each */
void path_put(const struct path *p);

#define FMODE_READ 1u
#define FMODE_WRITE 2u
#define FMODE_LSEEK 4u
#define FMODE_PREAD 8u
#define FMODE_PWRITE 16u
#define FMODE_EXEC 32u
#define FMODE_PATH 64u
#define FMODE_STREAM 128u /* no position: read/write do not lock pos */
#define FMODE_NOWAIT_OK 256u
#define FMODE_DENYWRITE 512u /* running executable: writers are refused as long as it is open */
#define FMODE_WRITER 1024u /* counted in inode->writers */
#define FMODE_CREATED 2048u
#define FMODE_NOATIME 4096u
struct file {
	s32 refs; /* (a) */
	u32 fmode; /* (I) FMODE_* */
	u32 flags; /* O_*; changed by fcntl under lock */
	const struct file_ops *ops; /* (I) */
	struct inode *inode; /* (I) */
	struct path path; /* (I) references held */
	loff_t pos; /* (pos_lock when shared) */
	struct mutex pos_lock;
	void *private;
	spinlock_t lock;
	s32 owner_pid; /* F_SETOWN: >0 process, <0 group */
	u16 owner_sig; /* F_SETSIG; 0: SIGIO */
	bool owner_thread; /* F_OWNER_TID */
	struct list_head epoll_links; /* (lock) epoll items watching this file */
	void *fasync;
	const struct cred *cred; /* (I) of the opener; referenced */
	u64 ra_pos; /* a word for the kind of file: read-ahead, pipes */
	void *cursor; /* readdir of cached directories: next name, good while the directory's version is cursor_version */
	u32 cursor_version;
};
/* The memory of a file stays a file for a grace period after its last put (SLAB_RCU): lookups take a reference unless 0, then look again. */
static inline struct file *file_get(struct file *f) { __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED); return f; }
void file_put(struct file *f); /* the last one closes it: ->release, locks, leases. => may sleep */
/* An anonymous file (pipe ends, eventfd, epoll...): ERR_PTR. name shows as anon_inode:[name]. */
struct file *anon_file(const char *name, const struct file_ops *ops, void *private, u32 oflags);
/* A file on an inode without a place in the tree (pipe, socket, memfd): takes over the inode reference, also on failure. With
 * DENTRY_PSEUDO in dflags it shows as name:[ino]. ops NULL: the inode's. fmode follows oflags. ERR_PTR. A second file on the same object: file_clone. */
struct file *inode_file(struct mount *m, struct inode *i, const char *name, u32 dflags, const struct file_ops *ops, u32 oflags);
struct file *file_clone(struct file *f, const struct file_ops *ops, u32 oflags); /* same path and inode; private NULL; ERR_PTR */

/* Path walking. name in kernel memory. */
#define LOOKUP_FOLLOW 1u
#define LOOKUP_DIRECTORY 2u
#define LOOKUP_EMPTY 4u
#define LOOKUP_PARENT 8u
#define LOOKUP_NO_XDEV 16u
#define LOOKUP_BENEATH 32u
#define LOOKUP_IN_ROOT 64u
#define LOOKUP_NO_SYMLINKS 128u
#define LOOKUP_NO_MAGICLINKS 256u
#define LOOKUP_REVAL 512u
#define LOOKUP_CACHED 1024u
int path_lookup(int dirfd, const char *name, u32 flags, struct path *out); /* referenced */
int user_path(int dirfd, const char __user *name, u32 flags, struct path *out);
/* Copies a user path: page-sized kernel buffer or ERR_PTR (ENOENT for empty unless allowed, ENAMETOOLONG, EFAULT). */
char *getname(const char __user *name, u32 lookup_flags);
void putname(char *name);
int inode_permission(struct inode *i, int mask); /* MAY_* ; current's fs ids and capabilities */
#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4
#define MAY_APPEND 8
#define MAY_OPEN 16
#define MAY_CHDIR 32
struct file *do_filp_open(int dirfd, const char *name, int oflags, u32 mode, u32 lookup_flags); /* ERR_PTR */
struct file *kernel_open(const char *path, int oflags, u32 mode); /* from the root; ERR_PTR */
s64 kernel_read(struct file *f, void *buf, u64 n, loff_t *pos); /* these two with kernel memory: bytes or -errno. => may sleep */
s64 kernel_write(struct file *f, const void *buf, u64 n, loff_t *pos);
/* Name of a path in buf from its end (d_path): pointer into buf or ERR_PTR; " (deleted)" as Linux. */
char *path_name(const struct path *p, char *buf, u64 n);

struct inode *inode_new(struct super *s, u32 mode); /* refs 1, nlink 1, times now, current's fs ids; ops for FIFOs, devices and sockets set; NULL */
void inode_init_owner(struct inode *i, struct inode *dir); /* group and S_ISGID from a setgid directory */
static inline void inode_set_device(struct inode *i, u64 rdev) { i->rdev = rdev; } /* after inode_new of a device */
static inline void inode_set_size(struct inode *i, loff_t size) { WRITE_ONCE(i->size, size); WRITE_ONCE(i->mapping.size, (u64)size); }
void inode_get(struct inode *i); /* => the caller knows a reference */
void inode_put(struct inode *i); /* the last one ends it: ->evict_inode, then memory, a grace period later. => may sleep */
struct timespec64 current_time(void); /* coarse real time */
void dentry_get(struct dentry *d); /* => the caller knows a reference */
void dentry_put(struct dentry *d); /* without users it is kept or killed, see dcache.c. => may sleep */
struct dentry *dentry_alloc(struct dentry *parent, const char *name, u32 len); /* unhashed */
void dentry_add(struct dentry *d, struct inode *i); /* instantiate and hash; takes over the inode reference; NULL inode: negative */
void dentry_drop(struct dentry *d); /* unhash; forget the pin */
void dentry_pin(struct dentry *d); /* after dentry_add: the name lives in the cache only. Undone by dentry_drop */
void dentry_add_pinned(struct dentry *d, struct inode *i); /* both, for a dentry that was never hashed; directories become COMPLETE */
/* A pinned child made by the kernel (devfs, sysfs-like trees): takes over the inode reference. ERR_PTR(-EEXIST, -ENOMEM). => takes the directory's rwsem */
struct dentry *dentry_add_child(struct dentry *dir, const char *name, struct inode *i);
/* Generic readdir and seek for COMPLETE directories: file_ops of tmpfs, devfs and other pinned trees. */
extern const struct file_ops dcache_dir_fops;
loff_t generic_llseek(struct file *f, loff_t off, int whence); /* SEEK_SET, CUR, END by inode size */
loff_t fixed_size_llseek(struct file *f, loff_t off, int whence, loff_t size, loff_t max);
s64 generic_file_read(struct file *f, struct iov_iter *to, loff_t *pos); /* page cache */
int generic_file_mmap(struct file *f, struct vma *v); /* private and shared, through the page cache */
int generic_setattr(struct inode *i, struct iattr *a); /* what setattr NULL does */
struct dentry *dentry_lookup(struct dentry *parent, const char *name, u32 len); /* cached only; referenced or NULL */
u64 shrink_dcache(u64 n); /* drops up to n unused names, oldest first; how many went */

/* File systems. */
struct fs_type {
	const char *name;
	u32 flags; /* 1: needs a device */
	struct super *(*mount)(struct fs_type *t, const char *source, u32 flags, const char *data); /* ERR_PTR */
	struct fs_type *next;
};
void fs_register(struct fs_type *t); /* => static, for ever */
/* The work of mount(2), CAP_SYS_ADMIN checked. => may sleep */
int do_mount(const char *source, const char *target, const char *fstype, u32 flags, const char *data);
struct super *super_alloc(const char *fstype, const struct super_ops *ops, u64 magic); /* refs 1; a device number of its own; NULL */
int super_make_root(struct super *s, struct inode *i); /* a pinned root name; takes over the inode reference, also on failure */
struct mount *mount_internal(struct fs_type *t); /* not attached: pipefs, sockfs, shm; NULL: no memory */
void super_put(struct super *s); /* one reference less; the last one takes the tree apart */
void mnt_get(struct mount *m); /* => the caller knows a reference */
void mnt_put(struct mount *m); /* the last one of a detached mount frees it. => may sleep */
/* Text of /proc/PID/mounts (0), mountinfo (1), mountstats (2), as seen from the root of @root. /proc/filesystems. */
void mounts_show(struct seq_buf *s, int kind, const struct path *root);
void filesystems_show(struct seq_buf *s); /* /proc/filesystems */
/* Poll of /proc/mounts: counts changes of the mount tree. */
extern u64 mount_event;
extern wait_queue_t mount_event_wait;

/* Task contexts. */
struct fs_context { s32 refs; u32 umask; spinlock_t lock; seqcount_t seq; struct path root, cwd; };
void fs_get_root(struct fs_context *c, struct path *out); /* referenced */
void fs_get_cwd(struct fs_context *c, struct path *out);

/* Device nodes: character devices by number; name also makes /dev/NAME. */
int chrdev_register(u32 major, u32 minor, u32 count, const char *name, u32 mode, const struct file_ops *ops, void *private);
int devfs_add(const char *name, u32 mode, u64 rdev); /* node, directories made as needed */
void chrdevs_show(struct seq_buf *s); /* /proc/devices */
#define MKDEV(ma, mi) ((u64)(ma) << 20 | (mi)) /* kernel form; new_encode_dev for stat */
u64 encode_dev(u64 dev); /* Linux's st_dev/st_rdev encoding */
u64 decode_dev(u64 udev); /* and back */

/* Boot. */
void userfaultfd_init(void); /* its device and sysctl */
void proc_kpage_init(void); /* /proc/kpagecount, kpageflags */
void vfs_init(void); /* caches, root tmpfs mounted */
int initrd_unpack(const void *data, u64 len); /* newc, several, each plain or gzip; into the root */
u64 vfs_check(void); /* names and mounts; mismatches found, each printed */

/* File locks of a file as /proc/locks lines; and what a task's exit or close must drop. */
void locks_show(struct seq_buf *s);
void locks_remove_posix(struct file *f, void *owner); /* each close of a descriptor */
void locks_remove_file(struct file *f); /* last reference */

/* inotify hooks: nothing but one load while nobody watches. */
#define FS_ACCESS 1u
#define FS_MODIFY 2u
#define FS_ATTRIB 4u
#define FS_CLOSE_WRITE 8u
#define FS_CLOSE_NOWRITE 16u
#define FS_OPEN 32u
#define FS_MOVED_FROM 64u
#define FS_MOVED_TO 128u
#define FS_CREATE 256u
#define FS_DELETE 512u
#define FS_DELETE_SELF 1024u
#define FS_MOVE_SELF 2048u
extern u32 fsnotify_watches; /* (a) in the whole system */
void fsnotify_slow(struct dentry *d, u32 mask, u32 cookie); /* an event for those who watch the name or its directory. => a reference on d; takes watch_lock */
static inline void fsnotify(struct dentry *d, u32 mask)
{
	if (unlikely(READ_ONCE(fsnotify_watches)))
		fsnotify_slow(d, mask, 0);
}

#endif
