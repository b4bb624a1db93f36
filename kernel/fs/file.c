/*
 * Open files.
 *
 * A struct file lives from file_alloc to the last file_put, which undoes everything the open did. Its slab is SLAB_RCU: the
 * memory of a dead file may become another file at once, but nothing else, so fdget_shared may look at a file it holds no
 * reference on, take one unless the count is 0, and then check that the descriptor still names the same file.
 */
#include <fs/internal.h>
#include <fs/poll.h>
#include <lib/string.h>
#include <mm/slab.h>

static struct kmem_cache *file_cache;
static DEFINE_PER_CPU(s64, nr_files);
u64 files_max = 1u << 20; /* sysctl fs.file-max, from memory at boot */

static void file_ctor(void *p)
{
	struct file *f = p;

	memset(f, 0, sizeof(*f));
	mutex_init(&f->pos_lock);
	spin_lock_init(&f->lock);
	INIT_LIST_HEAD(&f->epoll_links);
}

void file_cache_init(void)
{
	file_cache = kmem_cache_create("file", sizeof(struct file), 64, SLAB_PANIC | SLAB_HWCACHE_ALIGN | SLAB_RCU, file_ctor);
	files_max = max_t(u64, nr_total_pages() * PAGE_SIZE / 1024 / 10, 8192); /* a tenth of memory at 1 KiB a file, as Linux */
}

u64 nr_open_files(void)
{
	s64 n = 0;
	int cpu;

	for_each_online_cpu(cpu)
		n += per_cpu(nr_files, cpu);
	return n < 0 ? 0 : n;
}

static const struct file_ops closed_fops;

struct file *file_alloc_err(int *err)
{
	/* The sum over all CPUs is only taken when the limit is near enough to matter. */
	if (unlikely(files_max < 65536) && nr_open_files() >= files_max && !capable(CAP_SYS_ADMIN)) {
		*err = -ENFILE;
		return NULL;
	}
	struct file *f = kmem_cache_alloc(file_cache, GFP_KERNEL);
	const struct cred *c = current_cred();

	if (unlikely(!f)) {
		*err = -ENOMEM;
		return NULL;
	}
	__atomic_fetch_add(&((struct cred *)c)->refs, 1, __ATOMIC_RELAXED);
	f->cred = c;
	f->fmode = 0;
	f->flags = 0;
	f->ops = &closed_fops;
	f->inode = NULL;
	f->path = (struct path){ NULL, NULL };
	f->pos = 0;
	f->private = NULL;
	f->owner_pid = 0;
	f->owner_sig = 0;
	f->owner_thread = false;
	f->fasync = NULL;
	f->ra_pos = 0;
	f->cursor = NULL;
	f->cursor_version = 0;
	this_cpu_inc(nr_files);
	__atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
	return f;
}

static void file_closed(struct file *f)
{
	struct inode *i = f->inode;

	if (!(f->fmode & FMODE_PATH))
		fsnotify(f->path.dentry, f->fmode & FMODE_WRITE ? FS_CLOSE_WRITE : FS_CLOSE_NOWRITE);
	if (unlikely(!list_empty(&f->epoll_links)))
		epoll_release_file(f);
	if (unlikely(!list_empty(&i->flocks)))
		locks_remove_file(f);
	if (unlikely(i->leases))
		lease_file_closed(f);
	if (unlikely(f->flags & FASYNC) && f->ops->fasync)
		f->ops->fasync(-1, f, 0);
	if (f->ops->release)
		f->ops->release(i, f);
	if (f->fmode & FMODE_WRITER) {
		inode_put_write(i);
		mnt_writer(f->path.mnt, -1);
	}
	if (unlikely(f->fmode & FMODE_DENYWRITE))
		__atomic_fetch_add(&i->writers, 1, __ATOMIC_RELEASE);
}

static noinline void file_free(struct file *f)
{
	if (likely(f->inode))
		file_closed(f);
	struct path p = f->path;
	const struct cred *c = f->cred;

	f->path.dentry = NULL;
	f->inode = NULL;
	this_cpu_dec(nr_files);
	kmem_cache_free(file_cache, f);
	cred_put(c);
	if (p.dentry)
		path_put(&p);
}

void file_put(struct file *f)
{
	ASSERT3S(f->refs, >, 0);
	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0)
		file_free(f);
}

/* ---- files without a place ---- */

struct file *inode_file(struct mount *m, struct inode *i, const char *name, u32 dflags, const struct file_ops *ops, u32 oflags)
{
	struct dentry *d = dentry_alloc(NULL, name, strlen(name));
	int err = -ENOMEM;
	struct file *f = d ? file_alloc_err(&err) : NULL;

	if (!f) {
		if (d)
			dentry_put(d);
		inode_put(i);
		return ERR_PTR(err);
	}
	d->super = m->super;
	d->inode = i;
	d->flags |= dflags;
	mnt_get(m);
	f->path = (struct path){ m, d };
	f->inode = i;
	f->ops = ops ?: i->fops;
	f->flags = oflags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
	f->fmode = (oflags + 1) & O_ACCMODE;
	if (S_ISREG(i->mode) && !(dflags & DENTRY_VERBATIM)) {
		f->fmode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
		if (f->fmode & FMODE_WRITE && !inode_get_write(i)) {
			f->fmode |= FMODE_WRITER;
			mnt_writer(m, 1);
		}
	} else {
		f->fmode |= FMODE_STREAM | (f->ops->llseek ? FMODE_LSEEK : 0);
	}
	return f;
}

struct file *file_clone(struct file *old, const struct file_ops *ops, u32 oflags)
{
	int err;
	struct file *f = file_alloc_err(&err);

	if (!f)
		return ERR_PTR(err);
	path_get(&old->path);
	f->path = old->path;
	f->inode = old->inode;
	f->ops = ops;
	f->flags = oflags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
	f->fmode = ((oflags + 1) & O_ACCMODE) | FMODE_STREAM;
	return f;
}

/* All anonymous files share one inode; their names are made per file. */
struct mount *anon_mount;
static struct inode *anon_inode; /* (I) */
static const struct super_ops anon_super_ops;

static struct super *anon_mount_fs(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	struct super *s = super_alloc("anon_inodefs", &anon_super_ops, 0x09041934);
	struct inode *i = s ? inode_new(s, S_IFDIR | 0500) : NULL;

	return i && !super_make_root(s, i) ? s : ERR_PTR(-ENOMEM);
}

static struct fs_type anon_type = { .name = "anon_inodefs", .mount = anon_mount_fs };

void anon_files_init(void)
{
	anon_mount = mount_internal(&anon_type);
	VERIFY(anon_mount);
	anon_inode = inode_new(anon_mount->super, 0600);
	VERIFY(anon_inode);
}

struct file *anon_file(const char *name, const struct file_ops *ops, void *private, u32 oflags)
{
	char full[64] = "anon_inode:";

	strlcat(full, "[", sizeof(full));
	strlcat(full, name, sizeof(full));
	strlcat(full, "]", sizeof(full));
	inode_get(anon_inode);
	struct file *f = inode_file(anon_mount, anon_inode, full, DENTRY_VERBATIM, ops, oflags);

	if (!IS_ERR(f))
		f->private = private;
	return f;
}
