/*
 * Finding a file by its number (open_by_handle_at(2)), for file systems whose names are all pinned in the cache (super_ops->by_number).
 *
 * There is no table of numbers: the tree is walked, one step at a time, in the order of readdir. A step holds one directory's rwsem and ends
 * with a reference on the next name; references keep parents. When the name we stand on was moved or removed meanwhile the walk
 * begins again, a bounded number of times. A file that has no name any more is not found (Linux would find it while it is open).
 */
#include <fs/handle.h>
#include <fs/internal.h>
#include <fs/readdir.h>

#define TRIES 16

/* The name after @after in @dir, the first for NULL; referenced; NULL: none. -EAGAIN: @after is not there any more. */
static int step(struct dentry *dir, struct dentry *after, struct dentry **next)
{
	int err = 0;

	down_read(&dir->inode->rwsem);
	if (after && (after->parent != dir || dentry_unlinked(after))) {
		err = -EAGAIN;
	} else {
		*next = pinned_child_after(dir, after);
		if (*next)
			dentry_get(*next);
	}
	up_read(&dir->inode->rwsem);
	return err;
}

/* From @d, which is given up, to what comes after it in the tree below @root; NULL at the end. */
static int advance(struct dentry *root, struct dentry **d)
{
	struct dentry *at = *d, *next = NULL, *up;
	int err = dentry_is_dir(at) ? step(at, NULL, &next) : 0;

	while (!err && !next && at != root) {
		spin_lock(&at->lock);
		up = at->parent;
		dentry_get(up);
		spin_unlock(&at->lock);
		err = step(up, at, &next);
		dentry_put(at);
		at = up;
	}
	dentry_put(at);
	*d = next;
	return err;
}

/* A referenced name of the inode; NULL with *err. */
static struct dentry *search(struct dentry *root, u64 ino, int *err)
{
	struct dentry *d = root;

	dentry_get(d);
	while (d && d->inode->ino != ino) {
		*err = advance(root, &d);
		if (*err)
			return NULL;
		cond_resched();
	}
	*err = d ? 0 : -ESTALE;
	return d;
}

int path_by_number(struct mount *m, u64 ino, struct path *out)
{
	int err = m->super->ops->by_number ? -EAGAIN : -ESTALE;

	for (int i = 0; i < TRIES && err == -EAGAIN; i++) {
		struct dentry *d = search(m->super->root, ino, &err);
		if (d) {
			mnt_get(m);
			*out = (struct path){ m, d };
		}
	}
	return err == -EAGAIN ? -ESTALE : err;
}
