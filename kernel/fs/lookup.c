/*
 * One name in a directory, for whoever holds the directory's rwsem: from the cache, or asked of the file system. A cached name that its
 * file system no longer stands by is dropped and asked for again.
 */
#include <fs/internal.h>

/* Asks the file system for a name that is not cached. => dir rwsem held; referenced, perhaps negative */
static struct dentry *lookup_new(struct dentry *dir, const struct qstr *q)
{
	struct inode *i = dir->inode;

	if (i->flags & I_DEAD)
		return ERR_PTR(-ENOENT);
	struct dentry *d = dentry_alloc_q(dir, q);

	if (!d)
		return ERR_PTR(-ENOMEM);
	if (dir->flags & DENTRY_COMPLETE || !i->ops->lookup)
		return d;
	struct dentry *r = i->ops->lookup(i, d);

	if (likely(!r))
		return d;
	dentry_put(d);
	return r;
}

struct dentry *lookup_one(struct dentry *dir, const struct qstr *q, bool make)
{
	struct dentry *d = dentry_find(dir, q);

	if (d && !revalidated(d)) {
		dentry_drop(d);
		dentry_put(d);
		d = NULL;
	}
	if (!d && (make || !(dir->flags & DENTRY_COMPLETE)))
		d = lookup_new(dir, q);
	if (!IS_ERR_OR_NULL(d) && !d->inode && !make) {
		dentry_put(d);
		d = NULL;
	}
	return d;
}
