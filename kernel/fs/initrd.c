/*
 * The first contents of the root: cpio archives (newc) one after the other, each plain or gzip, unpacked by the ordinary
 * calls so that every rule about names, modes and links is the same.
 *
 * Hard links: entries with nlink > 1 carry the identity (device, inode number) of the archive; the first name of an identity is
 * made, later ones are linked to it. In newc the data comes with the last name, so data is written whenever there is some.
 * Directory times are set at the end, because making names in them changes them.
 *
 * A later entry wins over an earlier one of the same name. One thing stays: a link to a directory where a later archive has a
 * directory (the merged /usr), whose entries then go to where the link points.
 */
#include <fs/internal.h>
#include <kernel/printk.h>
#include <lib/inflate.h>
#include <lib/string.h>
#include <loader/cpio.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>

struct seen {
	u64 dev;
	u32 ino;
	struct seen *next;
	char name[];
};
struct dirtime {
	u32 mtime;
	struct dirtime *next;
	char name[];
};
struct unpack {
	struct seen *links[64];
	struct dirtime *dirs;
	u64 files;
};

static void set_mtime(const char *name, u32 mtime)
{
	struct path p;

	if (path_lookup(AT_FDCWD, name, 0, &p))
		return;
	struct inode *i = p.dentry->inode;

	i->atime = i->mtime = (struct timespec64){ mtime, 0 };
	path_put(&p);
}

/* Remembers the name of a multiply linked entry; the name given first, or NULL when this is it. */
static const char *first_name(struct unpack *u, const struct cpio_entry *e)
{
	u64 dev = (u64)e->dev_major << 32 | e->dev_minor;
	struct seen **bucket = &u->links[e->ino % ARRAY_SIZE(u->links)];

	for (struct seen *s = *bucket; s; s = s->next)
		if (s->ino == e->ino && s->dev == dev)
			return s->name;
	struct seen *s = kmalloc(sizeof(*s) + e->name_len + 8, GFP_KERNEL);

	if (s) {
		s->dev = dev;
		s->ino = e->ino;
		memcpy(s->name, e->name, e->name_len + 1);
		s->next = *bucket;
		*bucket = s;
	}
	return NULL;
}

static int write_data(const char *name, const struct cpio_entry *e)
{
	struct file *f = kernel_open(name, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW, e->mode & 07777);
	loff_t pos = 0;

	if (IS_ERR(f))
		return PTR_ERR(f);
	s64 n = e->data_len ? kernel_write(f, e->data, e->data_len, &pos) : 0;
	if (n == e->data_len) {
		f->inode->mode = S_IFREG | (e->mode & 07777);
		f->inode->uid = e->uid;
		f->inode->gid = e->gid;
	}
	file_put(f);
	return n < 0 ? (int)n : n < e->data_len ? -ENOSPC : 0;
}

/* Takes away what @name is, unless an entry of @type can be written over it. Errors come up again when the entry is made. */
static void clear_way(const char *name, u32 type)
{
	struct path p;
	u32 there = 0;

	if (!path_lookup(AT_FDCWD, name, 0, &p)) {
		there = p.dentry->inode->mode & S_IFMT;
		path_put(&p);
	}
	if (!there || (there == type && (type == S_IFREG || type == S_IFDIR)))
		return;
	if (there == S_IFDIR) {
		do_rmdirat(AT_FDCWD, name);
		return;
	}
	if (there == S_IFLNK && type == S_IFDIR && !path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p)) {
		path_put(&p);
		return;
	}
	do_unlinkat(AT_FDCWD, name);
}

static int make_file(struct unpack *u, const char *name, const struct cpio_entry *e)
{
	const char *first = e->nlink > 1 ? first_name(u, e) : NULL;

	if (first && !streq(first, name)) {
		do_unlinkat(AT_FDCWD, name);
		int err = do_linkat(AT_FDCWD, first, AT_FDCWD, name, 0);
		if (err || !e->data_len)
			return err;
	}
	return write_data(name, e);
}

static int make_link(const char *name, const struct cpio_entry *e)
{
	char *text = kmalloc((u64)e->data_len + 1, GFP_KERNEL);

	if (!text)
		return -ENOMEM;
	memcpy(text, e->data, e->data_len);
	text[e->data_len] = 0;
	int err = do_symlinkat(text, AT_FDCWD, name);

	kfree(text);
	return err;
}

static void own(const char *name, const struct cpio_entry *e)
{
	struct path p;

	if (path_lookup(AT_FDCWD, name, 0, &p))
		return;
	struct inode *i = p.dentry->inode;

	if (!S_ISLNK(i->mode))
		i->mode = (i->mode & S_IFMT) | (e->mode & 07777);
	i->uid = e->uid;
	i->gid = e->gid;
	path_put(&p);
}

static int make_dir(struct unpack *u, const char *name, const struct cpio_entry *e)
{
	int err = do_mkdirat(AT_FDCWD, name, e->mode & 07777);

	if (err && err != -EEXIST)
		return err;
	struct dirtime *d = kmalloc(sizeof(*d) + e->name_len + 8, GFP_KERNEL);

	if (d) {
		memcpy(d->name, e->name, e->name_len + 1);
		d->mtime = e->mtime;
		d->next = u->dirs;
		u->dirs = d;
	}
	return 0;
}

static int make_entry(struct unpack *u, const struct cpio_entry *e)
{
	const char *name = e->name;
	u32 type = e->mode & S_IFMT;
	int err;

	clear_way(name, type);
	switch (type) {
	case S_IFREG:
		err = make_file(u, name, e);
		break;
	case S_IFDIR:
		err = make_dir(u, name, e);
		break;
	case S_IFLNK:
		err = make_link(name, e);
		break;
	default:
		err = do_mknodat(AT_FDCWD, name, e->mode, MKDEV(e->rdev_major, e->rdev_minor));
	}
	if (err)
		return err;
	if (type != S_IFREG)
		own(name, e);
	if (type != S_IFDIR)
		set_mtime(name, e->mtime);
	u->files++;
	return 0;
}

static void unpack_end(struct unpack *u)
{
	struct dirtime *d;

	for (unsigned i = 0; i < ARRAY_SIZE(u->links); i++)
		for (struct seen *s = u->links[i]; s;) {
			struct seen *next = s->next;
			kfree(s);
			s = next;
		}
	while ((d = u->dirs)) {
		set_mtime(d->name, d->mtime);
		u->dirs = d->next;
		kfree(d);
	}
}

static int unpack_cpio(struct unpack *u, const void *data, u64 len, u64 *used);

/* One gzip member at @in, unpacked into memory of a guessed size that doubles while it is too small. */
static int unpack_gzip(struct unpack *u, const u8 *in, u64 len, u64 *used)
{
	u64 size = len >= 4 ? get_unaligned_le32(in + len - 4) : 0; /* right when it is the only member (RFC 1952, 2.3.1) */
	struct inflate *w = vmalloc(sizeof(*w));
	int err = -ENOMEM;

	if (size < len || size > 64 * len)
		size = 4 * len;
	for (; w; size *= 2) {
		void *out = vmalloc(size);
		if (!out)
			break;
		struct inflate_io io = { .in = in, .in_len = len, .out = out, .out_cap = size };
		enum inflate_status st = inflate_gzip(w, &io);
		u64 inner = 0;
		if (st == INFLATE_OK) {
			err = unpack_cpio(u, out, io.produced, &inner);
			*used = io.consumed;
		} else if (st != INFLATE_NO_SPACE) {
			pr_err("initrd: compressed part: %s\n", inflate_status_text(st));
			err = -EINVAL;
		}
		vfree(out);
		if (st != INFLATE_NO_SPACE)
			break;
	}
	vfree(w);
	return err;
}

static int unpack_cpio(struct unpack *u, const void *data, u64 len, u64 *used)
{
	struct cpio_reader r;
	struct cpio_entry e;
	int err = 0;

	cpio_init(&r, data, len);
	for (;;) {
		enum cpio_status st = cpio_next(&r, &e);
		if (st == CPIO_END)
			break;
		if (st == CPIO_FOREIGN && inflate_is_gzip(r.buf + r.pos, r.len - r.pos)) {
			u64 n = 0;
			err = unpack_gzip(u, r.buf + r.pos, r.len - r.pos, &n);
			if (err)
				break;
			r.pos += n;
			continue;
		}
		if (st != CPIO_ENTRY) {
			pr_err("initrd: at byte %llu: %s\n", (unsigned long long)r.pos, cpio_status_text(st));
			err = -EINVAL;
			break;
		}
		int one = make_entry(u, &e);
		if (one) {
			pr_err("initrd: %s: error %d\n", e.name, -one);
			err = err ?: one;
			if (one == -ENOMEM || one == -ENOSPC)
				break;
		}
	}
	*used = r.pos;
	return err;
}

int initrd_unpack(const void *data, u64 len)
{
	struct unpack *u = kzalloc(sizeof(*u), GFP_KERNEL);
	u64 used;

	if (!current->fs)
		current->fs = fs_init_context();
	if (!u || !current->fs)
		return -ENOMEM;
	u32 umask = current->fs->umask;
	current->fs->umask = 0;
	int err = unpack_cpio(u, data, len, &used);

	unpack_end(u);
	current->fs->umask = umask;
	pr_info("initrd: %llu files from %llu KiB\n", (unsigned long long)u->files, (unsigned long long)len >> 10);
	kfree(u);
	return err;
}
