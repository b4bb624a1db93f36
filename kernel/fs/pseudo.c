/*
 * Pseudo files: an inode on an internal mount and an unhashed dentry that carries the name, so that fstat, /proc/PID/fd and
 * the ordinary release path work without special cases.
 */
#include <fs/pseudo.h>

static void pseudo_free_inode(struct inode *i)
{
	(void)i;
}

static const struct super_ops pseudo_super_ops = { .free_inode = pseudo_free_inode };

struct super *pseudo_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)source, (void)flags, (void)data;
	struct pseudo_fs *p = container_of(t, struct pseudo_fs, type);
	struct super *s = super_alloc(t->name, &pseudo_super_ops, p->magic);

	if (!s)
		return ERR_PTR(-ENOMEM);
	struct inode *root = inode_new(s, S_IFDIR | 0755);
	int err = root ? super_make_root(s, root) : -ENOMEM;

	if (err) {
		super_put(s);
		return ERR_PTR(err);
	}
	return s;
}

static struct mount *pseudo_mnt(struct pseudo_fs *p)
{
	struct mount *m = __atomic_load_n(&p->mnt, __ATOMIC_ACQUIRE);

	if (likely(m))
		return m;
	static DEFINE_MUTEX(first_use);
	mutex_lock(&first_use);
	m = p->mnt;
	if (!m) {
		m = mount_internal(&p->type);
		if (IS_ERR(m))
			m = NULL;
		__atomic_store_n(&p->mnt, m, __ATOMIC_RELEASE);
	}
	mutex_unlock(&first_use);
	return m;
}

struct inode *pseudo_inode(struct pseudo_fs *p, u32 mode)
{
	struct mount *m = pseudo_mnt(p);

	return m ? inode_new(m->super, mode) : NULL;
}

struct file *pseudo_file(struct pseudo_fs *p, struct inode *i, const struct file_ops *ops, u32 oflags)
{
	struct mount *m = pseudo_mnt(p);

	if (!m)
		return ERR_PTR(-ENOMEM);
	inode_get(i);
	return inode_file(m, i, p->type.name, DENTRY_PSEUDO, ops, oflags);
}
