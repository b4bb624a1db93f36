/*
 * hugetlbfs: names as in tmpfs, data in huge pages of one size a mount. It is read, mapped, truncated and given or robbed of pages by fallocate, but not written
 * (EINVAL, as in Linux): programs map it. The files of MAP_HUGETLB, memfd_create(MFD_HUGETLB) and shmget(SHM_HUGETLB) live in internal mounts of it, one
 * for each size.
 *
 * A regular file's inode->private is its struct huge_file, which holds the promises of shared mappings and, through the quota, what the mount's size= allows.
 * Sizes are whole pages; an mmap with PROT_WRITE makes a file as long as the mapping.
 *
 * Locks: inode->rwsem for the size and against two truncations; mmap, which comes with mm->lock held, raises the size under inode->lock.
 */
#include <fs/filemap.h>
#include <fs/hugetlbfs.h>
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <kernel/printk.h>
#include <lib/parse.h>
#include <lib/string.h>
#include <mm/hugetlb.h>
#include <mm/slab.h>

#define HUGETLBFS_MAGIC 0x958458f6
#define NO_LIMIT (~0ull >> 1)

struct hugetlbfs {
	struct tmpfs t; /* first */
	struct hstate *h; /* (I) */
	struct huge_quota quota; /* max NO_LIMIT: not limited */
};

static struct mount *internal_mounts[NR_HSTATES]; /* (I) */
static const struct inode_ops huge_iops;
static const struct file_ops huge_fops;

static inline struct hugetlbfs *fs_of(const struct super *s) { return s->private; }
static inline struct hstate *h_of(const struct inode *i) { return fs_of(i->super)->h; }

/* ---- files ---- */

/* Without memory for it the file stays an empty one of no kind: it cannot be mapped or grown. */
static void file_made(struct inode *i)
{
	struct huge_file *hf = kzalloc(sizeof(*hf), GFP_KERNEL);

	i->ops = &huge_iops;
	i->fops = &huge_fops;
	i->private = hf;
	if (hf)
		huge_file_init(hf, &i->mapping, h_of(i), &fs_of(i->super)->quota);
}

static void huge_evict(struct inode *i)
{
	struct huge_file *hf = S_ISREG(i->mode) ? i->private : NULL;

	if (hf) {
		huge_file_drop(&i->mapping, 0, ~0ull);
		ASSERT3U(i->mapping.nrpages, ==, 0);
		i->mapping.ops = NULL;
		i->private = NULL;
		i->blocks = 0;
		xa_destroy(&hf->resv.set);
		kfree(hf);
	}
	tmpfs_evict(i);
}

static s64 huge_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct inode *i = f->inode;
	u64 bytes = hstate_bytes(h_of(i)), done = 0;

	while (to->count) {
		u64 at = *pos, size = READ_ONCE(i->size), off = at & (bytes - 1), want, got;
		struct page *p;

		if (at >= size)
			break;
		want = min3(bytes - off, size - at, to->count);
		p = mapping_find(&i->mapping, (at - off) >> PAGE_SHIFT);
		if (unlikely(p && page_flag(p, PG_HWPOISON))) {
			page_put(p);
			return done ? (s64)done : -EIO;
		}
		got = p ? copy_to_iter(to, page_address(p) + off, want) : zero_to_iter(to, want);
		if (p)
			page_put(p);
		*pos += got;
		done += got;
		if (got < want)
			return done ? (s64)done : -EFAULT;
	}
	return done;
}

static unsigned huge_shift(struct file *f)
{
	return h_of(f->inode)->shift;
}

static int huge_mmap(struct file *f, struct vma *v)
{
	struct inode *i = f->inode;
	u64 end = (v->pgoff << PAGE_SHIFT) + (v->end - v->start);
	int err;

	if (!i->private)
		return -ENOMEM;
	if (end > S64_MAX || (v->pgoff << PAGE_SHIFT) > end)
		return -EINVAL;
	err = hugetlb_mmap(&i->mapping, v);
	if (err)
		return err;
	if (v->flags & VM_WRITE) {
		spin_lock(&i->lock);
		if ((u64)i->size < end)
			inode_set_size(i, end);
		spin_unlock(&i->lock);
	}
	return 0;
}

/* => inode rwsem */
static int size_checks(struct inode *i, u64 size)
{
	if (size & ~hstate_mask(h_of(i)))
		return -EINVAL;
	if (!i->private)
		return -ENOMEM;
	if (size > (u64)i->size)
		return size > current->signal->rlim[RLIMIT_FSIZE].rlim_cur ? -EFBIG : i->seals & F_SEAL_GROW ? -EPERM : 0;
	return size < (u64)i->size && i->seals & F_SEAL_SHRINK ? -EPERM : 0;
}

static int huge_setattr(struct inode *i, struct iattr *a)
{
	int err = a->valid & ATTR_SIZE ? size_checks(i, a->size) : 0;

	if (!err)
		err = generic_setattr(i, a);
	if (!err && a->valid & ATTR_SIZE)
		huge_file_drop(&i->mapping, a->size >> h_of(i)->shift, ~0ull);
	return err;
}

static int huge_getattr(struct inode *i, struct kstat *st)
{
	st->blksize = hstate_bytes(h_of(i));
	st->blocks = i->mapping.nrpages << (h_of(i)->shift - 9);
	return 0;
}

/* Zeroes [from, to) of a page the file has; both in it. */
static void zero_part(struct inode *i, u64 from, u64 to)
{
	u64 off = from & ~hstate_mask(h_of(i));
	struct page *p = from < to ? mapping_find(&i->mapping, (from - off) >> PAGE_SHIFT) : NULL;

	if (!p)
		return;
	memset(page_address(p) + off, 0, to - from);
	page_put(p);
}

/* Whole pages go, parts are zeroed. => inode rwsem */
static s64 punch(struct inode *i, loff_t from, loff_t end)
{
	u64 bytes = hstate_bytes(h_of(i)), first = ALIGN(from, bytes), to = min(end, i->size), last;

	last = to & ~(bytes - 1);
	if ((u64)from >= to)
		return 0;
	if (first > last) {
		zero_part(i, from, to);
		return 0;
	}
	zero_part(i, from, first);
	if (first < last)
		huge_file_drop(&i->mapping, first / bytes, last / bytes);
	zero_part(i, last, to);
	return 0;
}

static s64 populate(struct inode *i, u64 from, u64 to)
{
	struct hstate *h = h_of(i);
	int err = 0;

	for (u64 n = from >> h->shift; n < ALIGN(to, hstate_bytes(h)) >> h->shift && !err; n++) {
		struct page *p = huge_file_get(&i->mapping, n, &err);

		if (p) {
			err = 0;
			page_put(p);
		} else if (!err) {
			err = -ENOSPC;
		}
		if (!err && fatal_signal_pending_current())
			err = -EINTR;
	}
	return err;
}

static s64 fill(struct inode *i, loff_t from, loff_t to, bool keep_size)
{
	s64 err = !keep_size && (u64)to > current->signal->rlim[RLIMIT_FSIZE].rlim_cur ? -EFBIG : populate(i, from, to);

	if (!err && !keep_size && to > i->size)
		inode_set_size(i, ALIGN(to, hstate_bytes(h_of(i))));
	return err;
}

static s64 huge_fallocate(struct file *f, int mode, loff_t off, loff_t len)
{
	static const struct memory_file_ops ops = { .punch = punch, .fill = fill };

	return f->inode->private ? memory_fallocate(f, mode, off, len, &ops) : -ENOMEM;
}

static int huge_fsync(struct file *f, bool datasync)
{
	return 0;
}

static const struct inode_ops huge_iops = {
	.setattr = huge_setattr,
	.getattr = huge_getattr,
	.getxattr = simple_getxattr,
	.setxattr = simple_setxattr,
	.listxattr = simple_listxattr,
	.removexattr = simple_removexattr,
};
static const struct file_ops huge_fops = {
	.read = huge_read,
	.llseek = generic_llseek,
	.mmap = huge_mmap,
	.huge_shift = huge_shift,
	.fsync = huge_fsync,
	.fallocate = huge_fallocate,
};

/* ---- superblock ---- */

static int huge_statfs(struct super *s, struct kstatfs *st)
{
	struct hugetlbfs *fs = fs_of(s);

	st->bsize = st->frsize = hstate_bytes(fs->h);
	if (fs->quota.max != NO_LIMIT) {
		st->blocks = fs->quota.max;
		st->bfree = st->bavail = fs->quota.max - min_t(u64, max_t(s64, fs->quota.used, 0), fs->quota.max);
	}
	if (fs->t.max_inodes) {
		st->files = fs->t.max_inodes;
		st->ffree = fs->t.max_inodes - min_t(u64, READ_ONCE(fs->t.inodes), fs->t.max_inodes);
	}
	return 0;
}

static void huge_show_options(struct super *s, struct seq_buf *b)
{
	struct hugetlbfs *fs = fs_of(s);

	seq_printf(b, ",pagesize=%lluM", hstate_bytes(fs->h) >> 20);
	if (fs->quota.max != NO_LIMIT)
		seq_printf(b, ",size=%lluK", fs->quota.max << (fs->h->shift - 10));
	if (fs->t.max_inodes)
		seq_printf(b, ",nr_inodes=%llu", fs->t.max_inodes);
	if (fs->t.mode != 0755)
		seq_printf(b, ",mode=%o", fs->t.mode);
	if (fs->t.uid)
		seq_printf(b, ",uid=%u", fs->t.uid);
	if (fs->t.gid)
		seq_printf(b, ",gid=%u", fs->t.gid);
}

static void huge_put_super(struct super *s)
{
	kfree(s->private);
}

static const struct super_ops huge_super_ops = {
	.evict_inode = huge_evict,
	.statfs = huge_statfs,
	.show_options = huge_show_options,
	.put_super = huge_put_super,
};

struct options { struct hugetlbfs *fs; u64 size; bool sized, percent; };

static int parse_option(struct options *o, const char *name, const char *v)
{
	struct hugetlbfs *fs = o->fs;
	const char *end = v;
	u32 n;

	if (streq(name, "pagesize")) {
		fs->h = hstate_of_size(memparse(v, &end));
		return fs->h && !*end && end != v ? 0 : -EINVAL;
	}
	if (streq(name, "size")) {
		o->size = memparse(v, &end);
		o->sized = end != v;
		o->percent = *end == '%';
		return !o->sized || end[o->percent] ? -EINVAL : 0;
	}
	if (streq(name, "nr_inodes")) {
		fs->t.max_inodes = memparse(v, &end);
		return *end || end == v ? -EINVAL : 0;
	}
	if (streq(name, "mode")) {
		if (kstrtouint(v, 8, &n))
			return -EINVAL;
		fs->t.mode = n & 01777;
		return 0;
	}
	if (streq(name, "uid"))
		return kstrtouint(v, 10, &fs->t.uid) ? -EINVAL : 0;
	if (streq(name, "gid"))
		return kstrtouint(v, 10, &fs->t.gid) ? -EINVAL : 0;
	return -EINVAL; /* min_size among them: a mount's own reserve is not made */
}

static int parse_options(struct hugetlbfs *fs, const char *data)
{
	struct options o = { .fs = fs };
	char *copy, *rest, *opt, *v;
	int err = 0;

	if (!data || !*data)
		return 0;
	copy = rest = kstrdup(data, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	while (!err && (opt = strsep(&rest, ","))) {
		if (!*opt)
			continue;
		v = strchr(opt, '=');
		if (v)
			*v++ = 0;
		err = v ? parse_option(&o, opt, v) : -EINVAL;
	}
	kfree(copy);
	if (!err && o.sized) /* a percentage is of the pool as it is now */
		fs->quota.max = o.percent ? fs->h->nr * o.size / 100 : o.size >> fs->h->shift;
	return err;
}

static struct super *mount_size(struct hstate *h, const char *data)
{
	struct hugetlbfs *fs = kzalloc(sizeof(*fs), GFP_KERNEL);
	int err;

	if (!fs)
		return ERR_PTR(-ENOMEM);
	fs->h = h;
	fs->quota.max = NO_LIMIT;
	fs->t.mode = 0755;
	fs->t.file_made = file_made;
	fs->t.uid = current_cred() ? current_cred()->fsuid : 0;
	fs->t.gid = current_cred() ? current_cred()->fsgid : 0;
	err = parse_options(fs, data);
	if (err) {
		kfree(fs);
		return ERR_PTR(err);
	}
	return tmpfs_super("hugetlbfs", HUGETLBFS_MAGIC, &huge_super_ops, &fs->t);
}

static struct super *huge_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	return mount_size(hstate_default, data);
}

static struct super *internal_1g(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	return mount_size(&hstates[HUGE_1G], NULL);
}

static struct super *internal_2m(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	return mount_size(&hstates[HUGE_2M], NULL);
}

struct file *hugetlb_file_create(struct hstate *h, const char *name, u64 size, bool reserve)
{
	struct mount *m = internal_mounts[h - hstates];
	struct inode *i = tmpfs_inode(m->super, NULL, S_IFREG | 0600, 0);

	if (!i)
		return ERR_PTR(-ENOMEM);
	i->nlink = 0;
	if (!i->private ||
	    (reserve && huge_resv_add(&((struct huge_file *)i->private)->resv, 0, size >> h->shift, &i->mapping))) {
		inode_put(i);
		return ERR_PTR(-ENOMEM);
	}
	inode_set_size(i, size);
	return inode_file(m, i, name, 0, NULL, O_RDWR | O_LARGEFILE);
}

void hugetlbfs_init(void)
{
	static struct fs_type type = { .name = "hugetlbfs", .mount = huge_mount };
	static struct fs_type internal[NR_HSTATES] = {
		[HUGE_2M] = { .name = "hugetlbfs", .mount = internal_2m },
		[HUGE_1G] = { .name = "hugetlbfs", .mount = internal_1g },
	};

	fs_register(&type);
	for (unsigned n = 0; n < NR_HSTATES; n++) {
		internal_mounts[n] = mount_internal(&internal[n]);
		VERIFY(internal_mounts[n]);
	}
}
