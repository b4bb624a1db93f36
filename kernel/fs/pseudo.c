/* Pseudo files: an inode on an internal mount that is made at first use. */
#include <fs/pseudo.h>

static const struct super_ops pseudo_super_ops;

struct super *pseudo_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)source, (void)flags, (void)data;
	struct pseudo_fs *p = container_of(t, struct pseudo_fs, type);
	struct super *s = super_alloc(t->name, &pseudo_super_ops, p->magic);
	struct inode *root = s ? inode_new(s, S_IFDIR | 0755) : NULL;

	if (!root || super_make_root(s, root)) {
		if (s)
			super_put(s);
		return ERR_PTR(-ENOMEM);
	}
	return s;
}

static struct mount *pseudo_mnt(struct pseudo_fs *p)
{
	static DEFINE_MUTEX(first_use);
	struct mount *m = __atomic_load_n(&p->mnt, __ATOMIC_ACQUIRE);

	if (likely(m))
		return m;
	mutex_lock(&first_use);
	if (!p->mnt)
		__atomic_store_n(&p->mnt, mount_internal(&p->type), __ATOMIC_RELEASE);
	mutex_unlock(&first_use);
	return p->mnt;
}

struct file *pseudo_file(struct pseudo_fs *p, u32 mode, const struct file_ops *ops, u32 oflags)
{
	struct mount *m = pseudo_mnt(p);
	struct inode *i = m ? inode_new(m->super, mode) : NULL;

	return i ? inode_file(m, i, p->type.name, DENTRY_PSEUDO, ops, oflags) : ERR_PTR(-ENOMEM);
}

struct file *pseudo_file_as(struct pseudo_fs *p, const char *name, u64 ino, u32 mode, const struct file_ops *ops)
{
	struct mount *m = pseudo_mnt(p);
	struct inode *i = m ? inode_new(m->super, mode) : NULL;

	if (!i)
		return ERR_PTR(-ENOMEM);
	i->ino = ino;
	i->fops = ops;
	return inode_file(m, i, name, DENTRY_PSEUDO, ops, O_RDONLY);
}
