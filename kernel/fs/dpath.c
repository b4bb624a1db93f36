/*
 * From a place back to its name: up through parents and mountpoints, writing the name from the end of the buffer.
 * Reads under RCU; when a rename or a change of the mount tree interfered the whole is done again.
 */
#include <fs/internal.h>
#include <lib/printf.h>
#include <lib/string.h>

struct tail { char *buf, *p; bool full; };

static void prepend(struct tail *t, const char *s, u32 len)
{
	if (t->full || (u64)(t->p - t->buf) < len) {
		t->full = true;
		return;
	}
	t->p -= len;
	memcpy(t->p, s, len);
}

static void prepend_name(struct tail *t, const struct dentry *d)
{
	prepend(t, READ_ONCE(d->name.name), READ_ONCE(d->name.len));
	prepend(t, "/", 1);
}

/* Names from d up to the root of its tree or @root. => RCU. True when root was met */
static bool prepend_path(struct tail *t, const struct path *p, const struct path *root)
{
	const struct mount *m = p->mnt;
	const struct dentry *d = p->dentry;

	for (;;) {
		if (d == root->dentry && m == root->mnt)
			return true;
		if (d == m->root) {
			const struct mount *up = READ_ONCE(m->parent);
			if (!up || up == m)
				return false;
			d = READ_ONCE(m->mountpoint);
			m = up;
			continue;
		}
		const struct dentry *up = READ_ONCE(d->parent);
		if (up == d)
			return false;
		prepend_name(t, d);
		d = up;
	}
}

char *path_name_from(const struct path *p, const struct path *root, char *buf, u64 n, bool *outside)
{
	struct tail t;
	u32 rs, ms;
	bool found;

	rcu_read_lock();
	do {
		rs = read_seqbegin(&rename_seq);
		ms = read_seqbegin(&mount_seq);
		t = (struct tail){ buf, buf + n, false };
		prepend(&t, "", 1);
		if (dentry_unlinked(p->dentry))
			prepend(&t, " (deleted)", 10);
		char *end = t.p;
		found = prepend_path(&t, p, root);
		if (t.p == end)
			prepend(&t, "/", 1);
	} while (read_seqretry(&rename_seq, rs) || read_seqretry(&mount_seq, ms));
	rcu_read_unlock();
	*outside = !found;
	return t.full ? ERR_PTR(-ENAMETOOLONG) : t.p;
}

/* Files without a place. */
static char *loose_name(const struct path *p, char *buf, u64 n)
{
	const struct dentry *d = p->dentry;
	char text[NAME_MAX + 32];
	int len = d->flags & DENTRY_PSEUDO ?
		snprintf(text, sizeof(text), "%s:[%llu]", d->name.name, (unsigned long long)d->inode->ino) :
		d->flags & DENTRY_VERBATIM ? snprintf(text, sizeof(text), "%s", d->name.name) :
		snprintf(text, sizeof(text), "/%s (deleted)", d->name.name);

	if ((u64)len + 1 > n)
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buf + n - len - 1, text, len + 1);
}

char *path_name(const struct path *p, char *buf, u64 n)
{
	struct path root;
	bool outside;

	if (p->dentry->parent == p->dentry && !(p->dentry->flags & DENTRY_HASHED))
		return loose_name(p, buf, n);
	if (!current->fs)
		return path_name_from(p, &(struct path){ root_mount, root_mount->root }, buf, n, &outside);
	fs_get_root(current->fs, &root);
	char *r = path_name_from(p, &root, buf, n, &outside);

	path_put(&root);
	return r;
}
