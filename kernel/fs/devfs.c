/*
 * Character devices by number, and /dev.
 *
 * Drivers register ranges of numbers; opening a device inode looks its number up and puts the driver's operations into the
 * open file. /dev is one tmpfs instance, filled as drivers register, that every mount of type devtmpfs shows; programs
 * may make, change and remove nodes in it like anywhere.
 */
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/slab.h>

struct chrdev {
	u32 major, minor, count;
	const char *name;
	const struct file_ops *ops;
	void *private;
	struct chrdev *next;
};
#define CHR_BUCKETS 64
static struct chrdev *chrdevs[CHR_BUCKETS]; /* (chr_lock; readers without: entries are added complete and never removed) */
static DEFINE_SPINLOCK(chr_lock);
static struct super *devfs_super; /* (I) */
struct mount *devfs_mount;

static struct chrdev *chrdev_find(u64 rdev)
{
	u32 ma = rdev >> 20, mi = rdev & 0xfffff;

	for (struct chrdev *c = rcu_dereference(chrdevs[ma % CHR_BUCKETS]); c; c = c->next)
		if (c->major == ma && mi >= c->minor && mi - c->minor < c->count)
			return c;
	return NULL;
}

static int chrdev_open(struct inode *i, struct file *f)
{
	struct chrdev *c = chrdev_find(i->rdev);

	if (!c)
		return -ENXIO;
	f->ops = c->ops;
	f->private = c->private;
	if (!c->ops->llseek)
		f->fmode |= FMODE_STREAM;
	return c->ops->open ? c->ops->open(i, f) : 0;
}

static int no_device(struct inode *i, struct file *f)
{
	return -ENXIO;
}

const struct file_ops chrdev_fops = { .open = chrdev_open };
const struct file_ops blkdev_fops = { .open = no_device };
const struct file_ops nosock_fops = { .open = no_device };

int chrdev_register(u32 major, u32 minor, u32 count, const char *name, u32 mode, const struct file_ops *ops, void *private)
{
	struct chrdev *c = kmalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return -ENOMEM;
	*c = (struct chrdev){ major, minor, count, name, ops, private, NULL };
	spin_lock(&chr_lock);
	if (chrdev_find(MKDEV(major, minor))) {
		spin_unlock(&chr_lock);
		kfree(c);
		return -EBUSY;
	}
	c->next = chrdevs[major % CHR_BUCKETS];
	rcu_assign_pointer(chrdevs[major % CHR_BUCKETS], c);
	spin_unlock(&chr_lock);
	return name ? devfs_add(name, mode | S_IFCHR, MKDEV(major, minor)) : 0;
}

void chrdevs_show(struct seq_buf *b)
{
	seq_puts(b, "Character devices:\n");
	for (u32 ma = 0; ma < 512; ma++)
		for (struct chrdev *c = rcu_dereference(chrdevs[ma % CHR_BUCKETS]); c; c = c->next)
			if (c->major == ma) {
				seq_printf(b, "%3u %s\n", ma, ma == 1 ? "mem" : c->name ?: "char");
				break;
			}
	seq_puts(b, "\nBlock devices:\n");
}

/* ---- nodes ---- */

/* The directory of a path like "pts/0", made as needed; *leaf is the last part. Referenced. */
static struct dentry *devfs_dir(const char *name, const char **leaf)
{
	struct dentry *d = devfs_super->root;
	const char *slash;
	char part[NAME_MAX + 1];

	dentry_get(d);
	while ((slash = strchr(name, '/'))) {
		if (slash - name > NAME_MAX) {
			dentry_put(d);
			return ERR_PTR(-ENAMETOOLONG);
		}
		strscpy(part, name, slash - name + 1);
		struct dentry *next = dentry_lookup(d, part, slash - name);
		if (!next) {
			struct inode *i = tmpfs_inode(devfs_super, NULL, S_IFDIR | 0755, 0);
			next = i ? dentry_add_child(d, part, i) : ERR_PTR(-ENOMEM);
			if (!IS_ERR(next))
				dentry_get(next);
		}
		dentry_put(d);
		if (IS_ERR(next))
			return next;
		d = next;
		name = slash + 1;
	}
	*leaf = name;
	return d;
}

int devfs_add(const char *name, u32 mode, u64 rdev)
{
	const char *leaf;

	if (!(mode & S_IFMT))
		mode |= S_IFCHR;
	struct dentry *dir = devfs_dir(name, &leaf);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	struct inode *i = tmpfs_inode(devfs_super, NULL, mode, rdev);
	struct dentry *d = i ? dentry_add_child(dir, leaf, i) : ERR_PTR(-ENOMEM);

	if (i && !IS_ERR(d))
		i->uid = i->gid = 0;
	dentry_put(dir);
	return PTR_ERR_OR_ZERO(d);
}

static struct super *devtmpfs_mount_fs(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	super_get(devfs_super);
	return devfs_super;
}

struct fs_type devtmpfs_type = { .name = "devtmpfs", .mount = devtmpfs_mount_fs };

void devfs_init(void)
{
	static const struct { const char *name, *target; } links[] = {
		{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	};

	devfs_super = tmpfs_type.mount(&tmpfs_type, "devtmpfs", 0, "mode=0755");
	VERIFY(!IS_ERR(devfs_super));
	devfs_super->fstype = "devtmpfs";
	fs_register(&devtmpfs_type);
	devfs_mount = mount_internal(&devtmpfs_type);
	VERIFY(devfs_mount);
	for (unsigned k = 0; k < ARRAY_SIZE(links); k++) {
		struct inode *i = tmpfs_symlink_inode(devfs_super, NULL, links[k].target);
		if (i)
			dentry_add_child(devfs_super->root, links[k].name, i);
	}
}
