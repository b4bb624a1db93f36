/*
 * tmpfs: names in the name cache (pinned), data in the page cache (never written anywhere), symbolic links in the inode.
 *
 * Limits (size=, nr_inodes=) are kept in the superblock. A page is charged when a write or fault is about to add it, and settled
 * afterwards: i->blocks says how many pages of the file are in the account, mapping.nrpages how many there are; the
 * difference is booked by tmpfs_settle after every operation that changes it. So faults through mmap, which add pages without
 * us, are counted as soon as they return here, and the account is exact whenever the file is at rest.
 *
 * Directories: size is 20 bytes an entry, nlink 2 plus subdirectories, as Linux shows them.
 */
#include <fs/filemap.h>
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <kernel/printk.h>
#include <lib/parse.h>
#include <lib/string.h>
#include <mm/slab.h>

#define TMPFS_MAGIC 0x01021994
#define RAMFS_MAGIC 0x858458f6
#define BOGO_DIRENT 20

static const struct inode_ops tmpfs_dir_ops, tmpfs_file_iops, tmpfs_link_ops, tmpfs_special_ops;
static const struct file_ops tmpfs_file_ops;
static const struct super_ops tmpfs_super_ops;

static inline struct tmpfs *tmpfs_of(const struct super *s)
{
	return s->private;
}

/* ---- accounts ---- */

void tmpfs_settle(struct inode *i)
{
	u64 now = i->mapping.nrpages;

	if (likely(i->blocks == now << 3))
		return;
	spin_lock(&i->lock);
	now = i->mapping.nrpages;
	s64 delta = (s64)now - (s64)(i->blocks >> 3);
	i->blocks = now << 3;
	spin_unlock(&i->lock);
	__atomic_fetch_add(&tmpfs_of(i->super)->pages, delta, __ATOMIC_RELAXED);
}

/* Is there room for @n more pages? 0 or -ENOSPC. */
static int tmpfs_room(struct mapping *m, u64 n)
{
	struct inode *i = m->host;
	struct tmpfs *t = tmpfs_of(i->super);

	if (!t->max_pages)
		return 0;
	/* pages of this file not yet settled count too */
	u64 loose = m->nrpages - (i->blocks >> 3);

	return (u64)READ_ONCE(t->pages) + loose + n > t->max_pages ? -ENOSPC : 0;
}

static int tmpfs_charge(struct inode *i)
{
	return tmpfs_room(&i->mapping, 1);
}

/* ---- inodes ---- */

struct inode *tmpfs_inode(struct super *s, struct inode *dir, u32 mode, u64 rdev)
{
	struct tmpfs *t = tmpfs_of(s);

	if (t->max_inodes && (u64)READ_ONCE(t->inodes) >= t->max_inodes)
		return NULL;
	struct inode *i = inode_new(s, mode);

	if (!i)
		return NULL;
	__atomic_fetch_add(&t->inodes, 1, __ATOMIC_RELAXED);
	if (dir)
		inode_init_owner(i, dir);
	i->mapping.flags = MAPPING_SHMEM;
	switch (mode & S_IFMT) {
	case S_IFREG:
		i->ops = &tmpfs_file_iops;
		i->fops = &tmpfs_file_ops;
		i->flags = I_NOSEALS;
		i->mapping.runs = t->runs;
		if (unlikely(t->file_made))
			t->file_made(i);
		break;
	case S_IFDIR:
		i->ops = &tmpfs_dir_ops;
		i->fops = &dcache_dir_fops;
		i->nlink = 2;
		break;
	case S_IFLNK:
		i->ops = &tmpfs_link_ops;
		break;
	default:
		i->ops = &tmpfs_special_ops;
		inode_set_device(i, rdev);
	}
	return i;
}

struct inode *tmpfs_symlink_inode(struct super *s, struct inode *dir, const char *target)
{
	u64 len = strlen(target);
	char *text = kmalloc(len + 8, GFP_KERNEL); /* the walk reads whole words */

	if (!text)
		return NULL;
	memcpy(text, target, len + 1);
	struct inode *i = tmpfs_inode(s, dir, S_IFLNK | 0777, 0);

	if (!i) {
		kfree(text);
		return NULL;
	}
	i->link = text;
	inode_set_size(i, len);
	return i;
}

void tmpfs_evict(struct inode *i)
{
	struct tmpfs *t = tmpfs_of(i->super);

	if (i->mapping.nrpages)
		mapping_truncate(&i->mapping, 0);
	tmpfs_settle(i);
	if (i->flags & I_ACCOUNTED)
		vm_uncharge(i->size >> PAGE_SHIFT);
	__atomic_fetch_sub(&t->inodes, 1, __ATOMIC_RELAXED);
}

/* ---- directories. => dir rwsem held for writing ---- */

static void dir_grew(struct inode *dir, s64 entries)
{
	inode_set_size(dir, dir->size + entries * BOGO_DIRENT);
	dir->mtime = dir->ctime = current_time();
}

static int tmpfs_add(struct inode *dir, struct dentry *d, struct inode *i)
{
	if (!i)
		return -ENOSPC;
	dir_grew(dir, 1);
	dentry_add_pinned(d, i);
	return 0;
}

static int tmpfs_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 dev)
{
	return tmpfs_add(dir, d, tmpfs_inode(dir->super, dir, mode, dev));
}

static int tmpfs_create(struct inode *dir, struct dentry *d, u32 mode)
{
	return tmpfs_mknod(dir, d, mode, 0);
}

static int tmpfs_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
	int err = tmpfs_mknod(dir, d, mode | S_IFDIR, 0);

	if (!err)
		dir->nlink++;
	return err;
}

static int tmpfs_symlink(struct inode *dir, struct dentry *d, const char *target)
{
	return tmpfs_add(dir, d, tmpfs_symlink_inode(dir->super, dir, target));
}

static int tmpfs_link(struct dentry *old, struct inode *dir, struct dentry *d)
{
	struct inode *i = old->inode;

	inode_get(i);
	i->nlink++;
	dir_grew(dir, 1);
	i->ctime = dir->ctime;
	dentry_add_pinned(d, i);
	return 0;
}

static int tmpfs_unlink(struct inode *dir, struct dentry *d)
{
	dir_grew(dir, -1);
	d->inode->nlink--;
	d->inode->ctime = dir->ctime;
	return 0;
}

static int tmpfs_rmdir(struct inode *dir, struct dentry *d)
{
	if (!list_empty(&d->children))
		return -ENOTEMPTY;
	d->inode->nlink -= 2;
	dir->nlink--;
	dir_grew(dir, -1);
	d->inode->ctime = dir->ctime;
	return 0;
}

static void rename_victim(struct inode *ndir, struct inode *victim)
{
	if (S_ISDIR(victim->mode)) {
		victim->nlink -= 2;
		ndir->nlink--;
	} else {
		victim->nlink--;
	}
	inode_set_size(ndir, ndir->size - BOGO_DIRENT);
	victim->ctime = current_time();
}

static int tmpfs_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd, u32 flags)
{
	struct inode *i = od->inode, *victim = nd->inode;
	int odirs = S_ISDIR(i->mode) ? 1 : 0, ndirs = victim && S_ISDIR(victim->mode) ? 1 : 0;

	if (flags & RENAME_EXCHANGE) {
		odir->nlink += ndirs - odirs;
		ndir->nlink += odirs - ndirs;
		victim->ctime = current_time();
	} else {
		if (ndirs && !list_empty(&nd->children))
			return -ENOTEMPTY;
		if (victim)
			rename_victim(ndir, victim);
		odir->nlink -= odirs;
		ndir->nlink += odirs;
		inode_set_size(odir, odir->size - BOGO_DIRENT);
		inode_set_size(ndir, ndir->size + BOGO_DIRENT);
	}
	odir->mtime = odir->ctime = ndir->mtime = ndir->ctime = i->ctime = current_time();
	return 0;
}

static int tmpfs_tmpfile(struct inode *dir, struct file *f, u32 mode)
{
	struct inode *i = tmpfs_inode(dir->super, dir, mode, 0);

	if (!i)
		return -ENOSPC;
	i->nlink = 0;
	f->path.dentry->inode = i;
	return 0;
}

/* ---- files ---- */

static s64 tmpfs_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	struct inode *i = f->inode;
	u64 count = from->count;

	down_write(&i->rwsem);
	s64 r = generic_write_checks(f, pos, &count);
	if (r || !count)
		goto out;
	if (unlikely(i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW))) {
		r = -EPERM;
		if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) || *pos >= i->size)
			goto out;
		count = min(count, (u64)(i->size - *pos));
	}
	file_modified(f);
	r = filemap_write_locked(i, from, *pos, count, tmpfs_charge);
	if (r > 0)
		*pos += r;
	tmpfs_settle(i);
out:
	up_write(&i->rwsem);
	return r;
}

loff_t tmpfs_llseek(struct file *f, loff_t off, int whence)
{
	struct inode *i = f->inode;
	struct mapping *m = &i->mapping;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return generic_llseek(f, off, whence);
	if (off < 0 || off >= i->size)
		return -ENXIO;
	u64 index = off >> PAGE_SHIFT, end = DIV_ROUND_UP(i->size, PAGE_SIZE), to;

	down_read(&i->rwsem);
	if (whence == SEEK_DATA) {
		to = mapping_next_index(m, index);
	} else {
		for (to = index; to < end && mapping_next_index(m, to) == to; to++)
			;
	}
	up_read(&i->rwsem);
	if (whence == SEEK_DATA && to >= end)
		return -ENXIO;
	if (to != index)
		off = min_t(u64, to << PAGE_SHIFT, i->size);
	return fixed_size_llseek(f, off, SEEK_SET, i->size, S64_MAX);
}

/* A size change against limits and seals. => inode rwsem */
static int size_checks(struct inode *i, u64 size)
{
	u64 limit = current->signal->rlim[RLIMIT_FSIZE].rlim_cur;

	if (size > (u64)i->size) {
		if (size > limit) {
			send_signal(SIGXFSZ, NULL, current, false);
			return -EFBIG;
		}
		if (size > (S64_MAX & PAGE_MASK))
			return -EFBIG;
		return i->seals & F_SEAL_GROW ? -EPERM : 0;
	}
	return size < (u64)i->size && i->seals & F_SEAL_SHRINK ? -EPERM : 0;
}

static int tmpfs_setattr(struct inode *i, struct iattr *a)
{
	int err = a->valid & ATTR_SIZE && S_ISREG(i->mode) ? size_checks(i, a->size) : 0;

	if (err)
		return err;
	err = generic_setattr(i, a);
	tmpfs_settle(i);
	return err;
}

/* Pages for a range, zeros when they are used; on failure none of those that nobody uses, as on Linux. => inode rwsem */
static s64 populate(struct inode *i, u64 from, u64 to)
{
	u64 first = from >> PAGE_SHIFT, end = DIV_ROUND_UP(to, PAGE_SIZE), index;
	struct tmpfs *t = tmpfs_of(i->super);
	int err = 0;

	if (t->max_pages && end - first > t->max_pages)
		return -ENOSPC;
	for (index = first; index < end && !err; index++) {
		struct page *p = mapping_find(&i->mapping, index);
		if (!p)
			err = tmpfs_charge(i);
		if (p)
			page_put(p);
		else if (!err)
			err = mapping_allocate(&i->mapping, index);
		if (err == -EEXIST)
			err = 0; /* a fault was faster */
		if (!err && fatal_signal_pending_current())
			err = -EINTR;
	}
	if (err)
		mapping_drop_unused(&i->mapping, first, index);
	return err;
}

s64 memory_fallocate(struct file *f, int mode, loff_t off, loff_t len, const struct memory_file_ops *ops)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	struct inode *i = f->inode;
	s64 err;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	down_write(&i->rwsem);
	if (mode & FALLOC_FL_PUNCH_HOLE)
		err = i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ? -EPERM : ops->punch(i, off, off + len);
	else
		err = off + len > i->size && i->seals & F_SEAL_GROW ? -EPERM : ops->fill(i, off, off + len, keep);
	if (!err)
		file_modified(f);
	if (ops->settle)
		ops->settle(i);
	up_write(&i->rwsem);
	return err;
}

static s64 punch(struct inode *i, loff_t from, loff_t to)
{
	mapping_punch(&i->mapping, from, to);
	return 0;
}

static s64 fill(struct inode *i, loff_t from, loff_t to, bool keep_size)
{
	bool grows = !keep_size && to > i->size;
	s64 err = grows ? size_checks(i, to) : 0;

	if (!err)
		err = populate(i, from, to);
	if (!err && grows)
		inode_set_size(i, to);
	return err;
}

static s64 tmpfs_fallocate(struct file *f, int mode, loff_t off, loff_t len)
{
	static const struct memory_file_ops ops = { .punch = punch, .fill = fill, .settle = tmpfs_settle };

	return memory_fallocate(f, mode, off, len, &ops);
}

static int tmpfs_fault(struct fault *f)
{
	struct inode *i = f->vma->mapping->host;
	struct page *p = mapping_find(&i->mapping, f->pgoff);

	if (p)
		page_put(p);
	else if (tmpfs_charge(i))
		return FR_SIGBUS;
	int r = filemap_vma_ops.fault(f);

	tmpfs_settle(i);
	return r;
}

static struct vma_ops tmpfs_limited_vma_ops; /* filemap's with our fault; filled at init */

static int tmpfs_mmap(struct file *f, struct vma *v)
{
	generic_file_mmap(f, v);
	if (tmpfs_of(f->inode->super)->max_pages && v->flags & VM_SHARED)
		v->ops = &tmpfs_limited_vma_ops;
	return 0;
}

static int tmpfs_fsync(struct file *f, bool datasync)
{
	return 0;
}

/* ---- superblock ---- */

static int tmpfs_statfs(struct super *s, struct kstatfs *st)
{
	struct tmpfs *t = tmpfs_of(s);

	if (t->max_pages) {
		s64 used = max_t(s64, READ_ONCE(t->pages), 0);
		st->blocks = t->max_pages;
		st->bfree = st->bavail = t->max_pages - min_t(u64, used, t->max_pages);
	}
	if (t->max_inodes) {
		st->files = t->max_inodes;
		st->ffree = t->max_inodes - min_t(u64, READ_ONCE(t->inodes), t->max_inodes);
	}
	return 0;
}

static int parse_size(const char *v, u64 *pages)
{
	const char *end;
	u64 n = memparse(v, &end);

	if (*end == '%') {
		*pages = DIV_ROUND_UP(n * nr_total_pages(), 100);
		return end[1] ? -EINVAL : 0;
	}
	*pages = DIV_ROUND_UP(n, PAGE_SIZE);
	return *end || end == v ? -EINVAL : 0;
}

/* As SHMEM_HUGE_*: what a mount may say of huge pages. */
static const char *const huge_words[] = { "always", "within_size", "advise", "never", NULL };

static int parse_word(const char *v, const char *const *words, int *out)
{
	for (int i = 0; words[i]; i++)
		if (streq(v, words[i])) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

static int parse_option(struct tmpfs *t, char *opt)
{
	char *v = strchr(opt, '=');
	const char *end;

	if (!v) /* flags Linux knows and that change nothing here */
		return streq(opt, "inode64") || streq(opt, "inode32") || streq(opt, "noswap") || streq(opt, "rw") || streq(opt, "ro") ? 0 : -EINVAL;
	*v++ = 0;
	if (streq(opt, "size"))
		return parse_size(v, &t->max_pages);
	if (streq(opt, "nr_blocks")) {
		t->max_pages = memparse(v, &end);
		return *end ? -EINVAL : 0;
	}
	if (streq(opt, "nr_inodes")) {
		t->max_inodes = memparse(v, &end);
		return *end ? -EINVAL : 0;
	}
	if (streq(opt, "huge"))
		return parse_word(v, huge_words, &t->huge);
	u32 n;
	if (streq(opt, "mode")) {
		if (kstrtouint(v, 8, &n))
			return -EINVAL;
		t->mode = n & 07777;
		return 0;
	}
	if (streq(opt, "uid"))
		return kstrtouint(v, 10, &t->uid) ? -EINVAL : 0;
	if (streq(opt, "gid"))
		return kstrtouint(v, 10, &t->gid) ? -EINVAL : 0;
	return streq(opt, "mpol") ? 0 : -EINVAL;
}

static int parse_options(struct tmpfs *t, const char *data)
{
	char *copy, *rest, *opt;
	int err = 0;

	if (!data || !*data)
		return 0;
	copy = rest = kstrdup(data, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	while (!err && (opt = strsep(&rest, ",")))
		if (*opt)
			err = parse_option(t, opt);
	kfree(copy);
	return err;
}

static int tmpfs_remount(struct super *s, u32 flags, const char *data)
{
	struct tmpfs *t = tmpfs_of(s), new = *t;
	int err = parse_options(&new, data);

	if (err)
		return err;
	if ((new.max_pages && new.max_pages < (u64)t->pages) || (new.max_inodes && new.max_inodes < (u64)t->inodes))
		return -EINVAL;
	if ((new.max_pages && !t->max_pages) || (new.max_inodes && !t->max_inodes))
		return -EINVAL; /* what was not counted cannot be limited */
	t->max_pages = new.max_pages;
	t->max_inodes = new.max_inodes;
	WRITE_ONCE(t->huge, new.huge);
	return 0;
}

static void tmpfs_show_options(struct super *s, struct seq_buf *b)
{
	struct tmpfs *t = tmpfs_of(s);

	if (t->max_pages && t->max_pages != nr_total_pages() / 2)
		seq_printf(b, ",size=%lluk", t->max_pages << (PAGE_SHIFT - 10));
	if (t->max_inodes && t->max_inodes != nr_total_pages() / 2)
		seq_printf(b, ",nr_inodes=%llu", t->max_inodes);
	if (t->mode != 01777)
		seq_printf(b, ",mode=%03o", t->mode);
	if (t->uid)
		seq_printf(b, ",uid=%u", t->uid);
	if (t->gid)
		seq_printf(b, ",gid=%u", t->gid);
	if (t->huge != SHMEM_HUGE_NEVER)
		seq_printf(b, ",huge=%s", huge_words[t->huge]);
}

static void tmpfs_put_super(struct super *s)
{
	kfree(s->private);
}

struct super *tmpfs_super(const char *name, u64 magic, const struct super_ops *ops, struct tmpfs *t)
{
	struct super *s = super_alloc(name, ops, magic);
	struct inode *root;
	int err = -ENOMEM;

	if (!s) {
		kfree(t);
		return ERR_PTR(-ENOMEM);
	}
	s->private = t;
	root = tmpfs_inode(s, NULL, S_IFDIR | t->mode, 0);
	if (root) {
		root->uid = t->uid;
		root->gid = t->gid;
		err = super_make_root(s, root);
	}
	if (err) {
		super_put(s);
		return ERR_PTR(err);
	}
	s->root->flags |= DENTRY_COMPLETE;
	return s;
}

static struct super *tmpfs_make(const char *name, u64 magic, u64 max, const char *data)
{
	struct tmpfs *t = kzalloc(sizeof(*t), GFP_KERNEL);
	int err;

	if (!t)
		return ERR_PTR(-ENOMEM);
	t->max_pages = t->max_inodes = max;
	t->huge = SHMEM_HUGE_NEVER;
	t->own_runs = (struct run_policy){ &t->huge, tmpfs_room };
	t->runs = magic == TMPFS_MAGIC ? &t->own_runs : NULL;
	t->mode = magic == TMPFS_MAGIC ? 01777 : 0755;
	t->uid = current_cred() ? current_cred()->fsuid : 0;
	t->gid = current_cred() ? current_cred()->fsgid : 0;
	err = parse_options(t, data);
	if (err) {
		kfree(t);
		return ERR_PTR(err);
	}
	return tmpfs_super(name, magic, &tmpfs_super_ops, t);
}

static struct super *tmpfs_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	return tmpfs_make(t->name, TMPFS_MAGIC, nr_total_pages() / 2, data);
}

static struct super *ramfs_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	return tmpfs_make(t->name, RAMFS_MAGIC, 0, NULL);
}

static const struct inode_ops tmpfs_dir_ops = {
	.create = tmpfs_create,
	.mkdir = tmpfs_mkdir,
	.mknod = tmpfs_mknod,
	.symlink = tmpfs_symlink,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rmdir = tmpfs_rmdir,
	.rename = tmpfs_rename,
	.tmpfile = tmpfs_tmpfile,
	.setattr = tmpfs_setattr,
	.getxattr = simple_getxattr,
	.setxattr = simple_setxattr,
	.listxattr = simple_listxattr,
	.removexattr = simple_removexattr,
};
static const struct inode_ops tmpfs_file_iops = {
	.setattr = tmpfs_setattr,
	.getxattr = simple_getxattr,
	.setxattr = simple_setxattr,
	.listxattr = simple_listxattr,
	.removexattr = simple_removexattr,
};
static const struct inode_ops tmpfs_link_ops = {
	.getxattr = simple_getxattr,
	.setxattr = simple_setxattr,
	.listxattr = simple_listxattr,
	.removexattr = simple_removexattr,
};
static const struct inode_ops tmpfs_special_ops = {
	.getxattr = simple_getxattr,
	.setxattr = simple_setxattr,
	.listxattr = simple_listxattr,
	.removexattr = simple_removexattr,
};
static const struct file_ops tmpfs_file_ops = {
	.read = generic_file_read,
	.write = tmpfs_write,
	.llseek = tmpfs_llseek,
	.mmap = tmpfs_mmap,
	.fsync = tmpfs_fsync,
	.fallocate = tmpfs_fallocate,
};
static const struct super_ops tmpfs_super_ops = {
	.evict_inode = tmpfs_evict,
	.statfs = tmpfs_statfs,
	.remount = tmpfs_remount,
	.show_options = tmpfs_show_options,
	.put_super = tmpfs_put_super,
	.by_number = true,
};

struct fs_type tmpfs_type = { .name = "tmpfs", .mount = tmpfs_mount };
struct fs_type ramfs_type = { .name = "ramfs", .mount = ramfs_mount };
struct mount *shm_mount; /* memfds, shared anonymous memory: no limits of its own */

void tmpfs_init(void)
{
	tmpfs_limited_vma_ops = filemap_vma_ops;
	tmpfs_limited_vma_ops.fault = tmpfs_fault;
	fs_register(&tmpfs_type);
	fs_register(&ramfs_type);
	shm_mount = mount_internal(&ramfs_type);
	VERIFY(shm_mount);
	shm_mount->super->magic = TMPFS_MAGIC;
	shm_mount->super->fstype = "tmpfs";
	static const struct run_policy shm_runs = { &shmem_enabled, NULL };
	tmpfs_of(shm_mount->super)->runs = &shm_runs;
}
