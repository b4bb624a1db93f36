/*
 * devpts: the directory of pseudo terminals. One instance: every mount shows the same tree. Nodes come and go with the terminals.
 */
#include <fs/devpts.h>
#include <fs/fs.h>
#include <lib/printf.h>
#include <proc/cred.h>

static struct super *instance; /* (devpts_mutex) made by the first use */
static DEFINE_MUTEX(devpts_mutex);
static const struct super_ops devpts_super_ops;
static const struct inode_ops devpts_dir_ops;

static struct super *devpts_get(void)
{
	mutex_lock(&devpts_mutex);
	if (!instance) {
		struct super *s = super_alloc("devpts", &devpts_super_ops, 0x1cd1);
		struct inode *root = s ? inode_new(s, S_IFDIR | 0755) : NULL;

		if (root) {
			root->ops = &devpts_dir_ops;
			root->fops = &dcache_dir_fops;
			root->nlink = 2;
		}
		if (root && !super_make_root(s, root)) {
			s->root->flags |= DENTRY_COMPLETE;
			instance = s;
		} else if (s) {
			super_put(s);
		}
	}
	mutex_unlock(&devpts_mutex);
	return instance;
}

static struct super *devpts_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)t, (void)source, (void)flags, (void)data;
	struct super *s = devpts_get();

	if (!s)
		return ERR_PTR(-ENOMEM);
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

static struct fs_type devpts_type = { .name = "devpts", .mount = devpts_mount };

void devpts_init(void)
{
	fs_register(&devpts_type);
}

int devpts_add(u32 index, u64 rdev)
{
	char name[16];
	struct super *s = devpts_get();
	struct inode *i = s ? inode_new(s, S_IFCHR | 0620) : NULL;

	if (!i)
		return -ENOMEM;
	inode_set_device(i, rdev);
	snprintf(name, sizeof(name), "%u", index);
	struct dentry *d = dentry_add_child(s->root, name, i);
	return IS_ERR(d) ? PTR_ERR(d) : 0;
}

void devpts_remove(u32 index)
{
	char name[16];
	int n = snprintf(name, sizeof(name), "%u", index);
	struct super *s = devpts_get();

	if (!s)
		return;
	down_write(&s->root->inode->rwsem);
	struct dentry *d = dentry_lookup(s->root, name, n);
	if (d) {
		d->inode->nlink = 0;
		dentry_drop(d);
		dentry_put(d);
	}
	up_write(&s->root->inode->rwsem);
}
