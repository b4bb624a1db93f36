/*
 * What the files of kernel/fs share among themselves and with the decode half in kernel/sys; not for file systems or drivers.
 */
#ifndef FS_INTERNAL_H
#define FS_INTERNAL_H

#include <fs/fdtable.h>
#include <fs/fs.h>
#include <lib/assert.h>
#include <lib/byteorder.h>
#include <lib/hash.h>
#include <proc/task.h>
#include <uapi/fsabi.h>
#include <uapi/mount.h>
#include <x86/layout.h>

/* ---- names ---- */

/* Eight bytes of a name; does not touch the next page, bytes past a NUL are of no meaning. */
static inline u64 name_word(const char *s)
{
	if (likely(((u64)s & (PAGE_SIZE - 1)) <= PAGE_SIZE - 8))
		return get_unaligned_le64(s);
	u64 w = 0;
	for (int i = 0; i < 8 && s[i]; i++)
		w |= (u64)(u8)s[i] << (8 * i);
	return w;
}
#define NAME_ONES 0x0101010101010101ull
/* High bit set in the first byte of w that is zero (exact for the lowest one). */
static inline u64 name_zero(u64 w) { return (w - NAME_ONES) & ~w & (NAME_ONES << 7); }
/* The half of hash_mix()'s result that every byte of its last word has a part in. */
static inline u32 name_fold(u64 h) { return (u32)(h >> 32); }
u32 name_hash(const char *name, u32 len);

/* A path copied from user space: short ones live on the caller's stack. */
struct pathbuf {
	char *name;
	char small[120];
};
/* 0, -ENOENT (empty and not allowed), -ENAMETOOLONG, -EFAULT, -ENOMEM. => pathbuf_put only after success */
int pathbuf_get_slow(struct pathbuf *pb, const char __user *u);
int pathbuf_get(struct pathbuf *pb, const char __user *u, u32 lookup_flags);
static inline void pathbuf_put(struct pathbuf *pb)
{
	if (unlikely(pb->name != pb->small))
		putname(pb->name);
}

/* ---- dcache.c ---- */
extern seqcount_t rename_seq;
extern struct mutex rename_mutex;
void dcache_init(void);
struct dentry *dentry_alloc_q(struct dentry *parent, const struct qstr *q);
extern struct hlist_head *dcache_buckets; /* (I) */
extern u32 dcache_shift; /* (I) 64 - log2 of the number of buckets */
static inline u64 dcache_bucket(const struct dentry *parent, u32 hash)
{
	return (((u64)hash << 32 ^ (u64)parent) * GOLDEN_RATIO_64) >> dcache_shift;
}
/* The key of a name: length and hash in one word. */
static inline u64 qstr_key(const struct qstr *q) { return *(const volatile u64 *)&q->len; }
/* @name is zero padded to whole words; q is followed by anything. */
static inline bool name_equal(const char *name, const char *q, u32 len)
{
	for (; len >= 8; len -= 8, name += 8, q += 8)
		if (get_unaligned_le64(name) != get_unaligned_le64(q))
			return false;
	return !len || !((name_word(q) ^ get_unaligned_le64(name)) & (~0ull >> (64 - 8 * len)));
}
bool dentry_long_name_equal(const struct dentry *d, const struct qstr *q, u32 seq);
/*
 * A child as it stood in its chain, with the seq read before it was compared. It counts when the caller, after taking what he
 * wants of it, finds d->seq unchanged, even, and DENTRY_HASHED. NULL: none met; that counts when rename_seq,
 * read before, is unchanged and even. => RCU
 */
static inline struct dentry *dentry_find_rcu(struct dentry *parent, const struct qstr *q, u32 *seqp)
{
	u64 key = qstr_key(q);
	struct hlist_node *n = READ_ONCE(dcache_buckets[dcache_bucket(parent, q->hash)].first);

	for (; n; n = READ_ONCE(n->next)) {
		struct dentry *d = container_of(n, struct dentry, hash);
		u32 seq = smp_load_acquire(&d->seq);
		if (qstr_key(&d->name) != key || READ_ONCE(d->parent) != parent)
			continue;
		/* A short name is compared in place, whatever name.name says: torn or not, these bytes may be read. */
		if (likely(q->len < DNAME_INLINE) ? name_equal(d->iname, q->name, q->len) : dentry_long_name_equal(d, q, seq)) {
			*seqp = seq;
			return d;
		}
	}
	return NULL;
}
struct dentry *dentry_find(struct dentry *parent, const struct qstr *q); /* referenced or NULL */
bool dentry_get_live(struct dentry *d); /* false: dead. => RCU or an indirect reference */
static inline bool dentry_is_dir(const struct dentry *d) { return READ_ONCE(d->flags) & DENTRY_DIR; }
static inline bool dentry_unlinked(const struct dentry *d) { return !(READ_ONCE(d->flags) & DENTRY_HASHED) && d->parent != d; }
/* d takes name and parent of @target, which goes away (dropped when it was a name); exchange: they swap. => both directories' rwsem, rename_mutex when two */
void dentry_move(struct dentry *d, struct dentry *target);
void dentry_exchange(struct dentry *a, struct dentry *b);
bool dentry_is_under(const struct dentry *d, const struct dentry *ancestor); /* or the same. => rename_mutex, or a hint */
void dentry_kill_tree(struct dentry *root); /* no users left */
void dentry_mark_mounted(struct dentry *d, int delta); /* one mountpoint more or less at this name. => namespace_mutex */
u64 dentry_count(void); /* how many there are, negative ones too */
u64 dcache_check(void); /* mismatches found, each printed */

/* ---- inode.c, perm.c ---- */
void inode_cache_init(void); /* boot */
extern const struct inode_ops empty_inode_ops;
void touch_atime(const struct path *p); /* by the mount's and the inode's rules (relatime) */
static inline void file_accessed(struct file *f)
{
	if (!(f->fmode & FMODE_NOATIME))
		touch_atime(&f->path);
}
void file_modified(struct file *f); /* mtime, ctime, S_ISUID/S_ISGID off. => inode rwsem held */
bool inode_owner_or_capable(const struct inode *i); /* CAP_FOWNER */
int notify_change(const struct path *p, struct iattr *a); /* => takes the inode's rwsem */
int path_permission(const struct path *p, int mask); /* with the mount's read-only and noexec */
static inline int sb_rdonly(const struct path *p)
{
	return (READ_ONCE(p->mnt->flags) | READ_ONCE(p->mnt->super->flags)) & MS_RDONLY;
}
static inline int mnt_want_write(const struct path *p) { return sb_rdonly(p) ? -EROFS : 0; }
int inode_get_write(struct inode *i); /* counts a writer; -ETXTBSY */
void inode_put_write(struct inode *i); /* the end of inode_get_write */
int inode_deny_write(struct inode *i); /* -ETXTBSY when open for writing */

/* ---- walk.c ---- */
enum last_type { LAST_NORM, LAST_ROOT, LAST_DOT, LAST_DOTDOT };
#define MAXSYMLINKS 40
struct walk {
	struct path path; /* where we are: referenced unless rcu */
	struct inode *inode; /* of path.dentry */
	u32 seq; /* RCU: of path.dentry */
	u32 mseq; /* mount_seq at the start */
	u32 rseq; /* LOOKUP_SCOPED: rename_seq at the start */
	u32 flags; /* LOOKUP_* */
	bool rcu;
	bool root_ref; /* root is referenced */
	u8 last_type;
	u8 depth;
	u8 total; /* links followed */
	struct qstr last;
	struct path root; /* mnt NULL: not looked up yet */
	struct fd dirfd; /* held during an RCU walk */
	struct { const char *rest; char *buf; } stack[MAXSYMLINKS + 1];
};
#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)
/* After w->path (and w->seq) moved. => 0 or -ECHILD */
static inline int walk_here(struct walk *w)
{
	w->inode = w->path.dentry->inode;
	if (w->rcu && unlikely(w->seq & 1 || !w->inode))
		return -ECHILD;
	return 0;
}
/* ---- walk_up.c ---- */
int walk_cross_rcu(struct walk *w, struct path *p, u32 *seq); /* down into whatever is mounted on *p; *seq is of p->dentry. => RCU */
int walk_cross(struct walk *w, struct path *p); /* the same with references. => may sleep */
int walk_up(struct walk *w); /* one "..", w->root is set. => -EXDEV, -ECHILD: begin again, -EAGAIN */
bool walk_scoped_ok(const struct walk *w); /* w->path is w->root or below it */
/* ---- walk.c ---- */
/* Walks to the parent of the last component: w->path (referenced), w->last, w->last_type. => walk_end after success */
int walk_parent(struct walk *w, int dirfd, const char *name, u32 flags);
void walk_end(struct walk *w); /* drops what a walk in reference mode holds */
/* For open: as walk_parent, but stays where it is (RCU perhaps); then one step at a time. See do_filp_open. */
int walk_start(struct walk *w, int dirfd, const char *name, u32 flags, bool rcu);
int walk_links(struct walk *w, const char *name); /* all but the last component */
const char *walk_last(struct walk *w); /* the last one: NULL done, text of a link to go on with, or ERR_PTR */
int walk_legitimize(struct walk *w); /* RCU -> referenced; -ECHILD: start again without RCU */
void walk_abort(struct walk *w); /* drops everything, in either mode */
static inline bool revalidated(struct dentry *d)
{
	return likely(!(READ_ONCE(d->flags) & DENTRY_REVALIDATE)) || d->super->ops->revalidate(d);
}
/* One name in a directory. => dir rwsem held for writing; a referenced dentry, negative when nothing is there (NULL: instead of that when !make), ERR_PTR */
struct dentry *lookup_one(struct dentry *dir, const struct qstr *q, bool make);
typedef int (*walk_rcu_fn)(struct inode *i, struct mount *m, void *arg);
/* Lookup that ends under RCU: fn sees the inode without a reference and must not sleep; it may run more than once. -ECHILD: use path_lookup. */
int path_lookup_rcu(int dirfd, const char *name, u32 flags, walk_rcu_fn fn, void *arg);

/* ---- mount.c, mount_tree.c, super.c ---- */
struct mount_count { s32 refs, writers; u64 pad[7]; };
extern seqcount_t mount_seq;
extern struct mount *root_mount;
/* What is mounted there, unreferenced; NULL: nothing, if mount_seq did not change. => RCU */
struct mount *mnt_lookup_rcu(struct mount *parent, struct dentry *mountpoint);
bool mnt_legitimize(struct mount *m, u32 mseq); /* one reference, or false: the mount tree changed. => RCU; on false nothing is held */
void mnt_writer(struct mount *m, int delta); /* one open file for writing more or less; remounting read-only looks at the sum */
/* Name of p as seen from root (see path_name); *outside: not below root. ERR_PTR(-ENAMETOOLONG). */
char *path_name_from(const struct path *p, const struct path *root, char *buf, u64 n, bool *outside);
bool path_mounted_on(struct path *p); /* moves p to the mount on it, references adjusted */
int do_umount(const char *target, int flags); /* umount2(2). => may sleep, waits for a grace period */
int do_pivot_root(const char *new_root, const char *put_old); /* pivot_root(2) */
struct fs_type *fs_type_find(const char *name); /* NULL: not registered */
struct mount *mount_of_device(u64 dev); /* an attached one, referenced; NULL. => may sleep */
long fs_type_index(const char *name); /* position in /proc/filesystems, -EINVAL; NULL: how many there are */
const char *fs_type_name(u64 index); /* NULL: none there */
/* Gives every task whose root or working directory is @from the other one. */
void fs_contexts_move(const struct path *from, const struct path *to);
void super_get(struct super *s); /* => the caller has a reference already */
extern struct fs_type tmpfs_type, devtmpfs_type, ramfs_type;
void mount_init(void); /* the root file system is there; boot */
u64 mount_check(void); /* mismatches found, each printed */

/* ---- namei.c, rename.c ---- */
int do_mkdirat(int dirfd, const char *name, u32 mode);
int do_mknodat(int dirfd, const char *name, u32 mode, u64 dev);
int do_unlinkat(int dirfd, const char *name);
int do_rmdirat(int dirfd, const char *name);
int do_symlinkat(const char *target, int dirfd, const char *name);
int do_linkat(int olddir, const char *old, int newdir, const char *new, int flags);
int do_renameat2(int olddir, const char *old, int newdir, const char *new, u32 flags);
s64 do_readlinkat(int dirfd, const char *name, char __user *buf, int size);
/* May the caller put a name into dir, take this one out of it (isdir: as a directory)? 0, -EACCES, -EPERM, -ENOTDIR, ... => dir rwsem */
int may_create(struct inode *dir);
int may_delete(struct inode *dir, struct dentry *victim, bool isdir);
/* A regular file for the negative name d. 0 or -errno; may_create is asked. => dir rwsem for writing */
int vfs_create(const struct path *dir, struct dentry *d, u32 mode);
/* A name made by the kernel for someone else (bound sockets): checked as mknod(2). *out referenced. */
int path_mknod(const char *name, u32 mode, u64 dev, struct path *out);
int vfs_unlink(struct inode *dir, struct dentry *d); /* d is positive. => dir rwsem for writing */
u32 apply_umask(u32 mode); /* of the running task */

/* ---- context.c ---- */
void fs_set_path(struct fs_context *c, struct path *slot, const struct path *to); /* slot: c's root or cwd; takes its own reference */

/* ---- open.c ---- */
int do_sys_truncate(const char *name, s64 size); /* truncate(2), ftruncate(2): permission, seals, RLIMIT_FSIZE checked. => may sleep */
int do_ftruncate(struct file *f, s64 size);
int do_fallocate(struct file *f, int mode, s64 off, s64 len);
int do_fchmodat(int dirfd, const char *name, u32 mode, u32 lookup);
int do_fchownat(int dirfd, const char *name, uid_t uid, gid_t gid, u32 lookup);
int path_chmod(const struct path *p, u32 mode); /* these three: permission checked, seen by inotify. => take the inode's rwsem */
int path_chown(const struct path *p, uid_t uid, gid_t gid);
int path_utimes(const struct path *p, const struct timespec64 t[2], int omit[2]); /* t NULL: now */
int do_faccessat(int dirfd, const char *name, int mode, int flags);
struct file *path_open(const struct path *p, int oflags); /* takes its own references; for the kernel */

/* ---- read_write.c, iov.c ---- */
int rwf_checks(struct file *f, int flags); /* of preadv2(2): 0, -EOPNOTSUPP */
/* Permission of the open file, the file's operation, accounting, inotify. Bytes or -errno. => may sleep */
s64 vfs_read(struct file *f, struct iov_iter *to, loff_t *pos);
s64 vfs_write(struct file *f, struct iov_iter *from, loff_t *pos);
loff_t vfs_llseek(struct file *f, loff_t off, int whence); /* -ESPIPE where the file has no position */
/* Whether reads and writes at f->pos must take pos_lock: the open file is shared. */
static inline bool file_pos_shared(const struct file *f) { return !(f->fmode & FMODE_STREAM) && READ_ONCE(f->refs) > 1; }
/* RLIMIT_FSIZE and the file system's maximum: *count cut down, -EFBIG (with SIGXFSZ). */
int generic_write_checks(struct file *f, loff_t *pos, u64 *count);
int vfs_fsync(struct file *f, bool datasync); /* 0 where there is nothing to do */

/* ---- stat.c ---- */
int vfs_getattr(const struct path *p, struct kstat *st); /* stat(2); the file system's getattr, or the inode's fields */
int vfs_statfs(struct super *s, struct kstatfs *st); /* statfs(2): zeros, then what the file system fills in */
void kstat_to_user(const struct kstat *st, struct ustat64 *u); /* to Linux's struct stat */

/* ---- the rest ---- */
void tmpfs_init(void);
void devfs_init(void);
void file_cache_init(void);
void locks_init(void);
void anon_files_init(void);
extern struct mount *shm_mount, *devfs_mount, *anon_mount;
extern const struct file_ops chrdev_fops, blkdev_fops, nosock_fops;
extern u64 files_max;

u64 nr_open_files(void); /* of the whole system */
struct file *file_alloc_err(int *err); /* NULL: *err is -ENFILE or -ENOMEM */
int tmpfs_add_seals(struct file *f, u32 seals); /* fcntl(F_ADD_SEALS): 0, -EPERM, -EBUSY. => takes the inode's rwsem */
/* An unlinked file of memory with that name in /proc/PID/maps; ERR_PTR. */
struct file *shmem_file_create(struct mount *m, const char *name, u64 size, u32 flags);

/* xattr.c: a list on the inode for file systems without storage of their own (tmpfs). */
s64 simple_getxattr(struct inode *i, const char *name, void *buf, u64 n);
int simple_setxattr(struct inode *i, const char *name, const void *buf, u64 n, int flags);
s64 simple_listxattr(struct inode *i, char *buf, u64 n);
int simple_removexattr(struct inode *i, const char *name);
void simple_xattrs_free(struct inode *i);

/* locks.c */
int do_flock(struct file *f, int cmd); /* flock(2). => may sleep */
/* F_GETLK, F_SETLK, F_SETLKW and their OFD forms. => may sleep; f is what fd named */
int do_fcntl_lock(int fd, struct file *f, u32 cmd, struct flock_k *l);
/* F_SETOWN's process, thread or group gets F_SETSIG's signal (SIGIO) about @fd. => any context */
void file_send_sigio(struct file *f, int fd, int code, u64 band);
int do_setlease(struct file *f, int fd, int type); /* F_SETLEASE: 0, -EAGAIN, -EACCES, -EINVAL */
void lease_file_closed(struct file *f); /* an inode with leases: this file's goes */
/* Waits until no lease of a file's inode stands against opening it (@write: or truncating it). @nonblock: -EAGAIN instead; -ERESTARTSYS */
int lease_break(struct inode *i, bool write, bool nonblock);
extern u64 lease_break_time;
int do_getlease(struct file *f); /* F_GETLEASE: the type; it becomes lower while it is broken */

/* splice.c */
/* These five: bytes done or -errno, the files' modes checked. => may sleep */
s64 do_sendfile(struct file *out, struct file *in, loff_t *inpos, u64 count);
s64 do_copy_file_range(struct file *in, loff_t inpos, struct file *out, loff_t outpos, u64 len);
s64 do_splice(struct file *in, loff_t *inpos, struct file *out, loff_t *outpos, u64 len, u32 flags);
s64 do_tee(struct file *in, struct file *out, u64 len, u32 flags);
s64 do_vmsplice(struct file *f, struct iov_iter *it, u32 flags);

#endif
