/*
 * Path walking between mounts: down into what is mounted on a directory, and "..".
 *
 * Escapes: with LOOKUP_BENEATH or LOOKUP_IN_ROOT (openat2(2)) the starting directory is the root of the walk, and ".." compares
 * with it at every step. That is not enough: a directory that is renamed out of the tree while we stand in it has a way up
 * that does not meet the root, and several ".." of one path may come to anywhere from there. So
 *   - each ".." of such a walk wants that nothing was renamed or mounted since the walk began (EAGAIN: openat2(2) tells callers to try again);
 *   - where the walk ends is looked at once more, from there to the top of all mounts (EXDEV).
 */
#include <fs/internal.h>

static inline bool path_same(const struct path *a, const struct path *b)
{
	return a->dentry == b->dentry && a->mnt == b->mnt;
}

int walk_cross_rcu(struct walk *w, struct path *p, u32 *seq)
{
	struct mount *m;

	while (READ_ONCE(p->dentry->flags) & DENTRY_MOUNTED && (m = mnt_lookup_rcu(p->mnt, p->dentry))) {
		if (w->flags & LOOKUP_NO_XDEV)
			return -EXDEV;
		p->mnt = m;
		p->dentry = m->root;
		*seq = smp_load_acquire(&p->dentry->seq);
	}
	return read_seqretry(&mount_seq, w->mseq) ? -ECHILD : 0;
}

int walk_cross(struct walk *w, struct path *p)
{
	while (READ_ONCE(p->dentry->flags) & DENTRY_MOUNTED && path_mounted_on(p))
		if (w->flags & LOOKUP_NO_XDEV)
			return -EXDEV;
	return 0;
}

static int up_rcu(struct walk *w)
{
	struct path p = w->path;
	u32 seq = w->seq;

	for (;;) {
		if (path_same(&p, &w->root)) {
			if (w->flags & LOOKUP_BENEATH)
				return -EXDEV;
			break;
		}
		if (p.dentry != p.mnt->root) {
			struct dentry *up = READ_ONCE(p.dentry->parent);
			u32 upseq = smp_load_acquire(&up->seq);
			if (READ_ONCE(p.dentry->seq) != seq)
				return -ECHILD;
			p.dentry = up;
			seq = upseq;
			break;
		}
		struct mount *m = READ_ONCE(p.mnt->parent);
		if (!m || m == p.mnt) {
			if (read_seqretry(&mount_seq, w->mseq))
				return -ECHILD;
			break;
		}
		if (w->flags & LOOKUP_NO_XDEV)
			return -EXDEV;
		p.dentry = READ_ONCE(p.mnt->mountpoint);
		p.mnt = m;
		if (read_seqretry(&mount_seq, w->mseq))
			return -ECHILD;
		seq = smp_load_acquire(&p.dentry->seq);
	}
	int err = READ_ONCE(p.dentry->flags) & DENTRY_MOUNTED ? walk_cross_rcu(w, &p, &seq) : 0;
	if (err)
		return err;
	w->path = p;
	w->seq = seq;
	return walk_here(w);
}

/* One step up in the mount tree: false at its top. => path referenced */
static bool mount_up(struct path *p)
{
	struct path up;

	for (;;) {
		rcu_read_lock();
		u32 s = read_seqbegin(&mount_seq);
		up.mnt = READ_ONCE(p->mnt->parent);
		up.dentry = READ_ONCE(p->mnt->mountpoint);
		if (!up.mnt || up.mnt == p->mnt) {
			rcu_read_unlock();
			return false;
		}
		bool got = dentry_get_live(up.dentry);
		bool done = got && mnt_legitimize(up.mnt, s);
		rcu_read_unlock();
		if (done)
			break;
		if (got)
			dentry_put(up.dentry);
	}
	path_put(p);
	*p = up;
	return true;
}

static int up_ref(struct walk *w)
{
	for (;;) {
		if (path_same(&w->path, &w->root)) {
			if (w->flags & LOOKUP_BENEATH)
				return -EXDEV;
			break;
		}
		if (w->path.dentry != w->path.mnt->root) {
			struct dentry *d = w->path.dentry;
			for (;;) {
				rcu_read_lock();
				struct dentry *up = READ_ONCE(d->parent);
				bool got = dentry_get_live(up);
				rcu_read_unlock();
				if (got) {
					w->path.dentry = up;
					break;
				}
			}
			dentry_put(d);
			break;
		}
		if (w->flags & LOOKUP_NO_XDEV)
			return -EXDEV;
		if (!mount_up(&w->path)) {
			if (read_seqretry(&mount_seq, w->mseq))
				return -ECHILD;
			break;
		}
	}
	int err = walk_cross(w, &w->path);
	return err ? err : walk_here(w);
}

int walk_up(struct walk *w)
{
	int err = w->rcu ? up_rcu(w) : up_ref(w);

	if (unlikely(w->flags & LOOKUP_SCOPED) && !err) {
		smp_rmb(); /* the step's reads first */
		if (read_seqretry(&mount_seq, w->mseq) || read_seqretry(&rename_seq, w->rseq))
			return -EAGAIN;
	}
	return err;
}

/* => RCU */
static bool place_is_under(const struct path *p, const struct path *top)
{
	const struct dentry *d = p->dentry;
	const struct mount *up;

	for (const struct mount *m = p->mnt;; d = READ_ONCE(m->mountpoint), m = up) {
		if (m == top->mnt && dentry_is_under(d, top->dentry))
			return true;
		up = READ_ONCE(m->parent);
		if (!up || up == m)
			return false;
	}
}

bool walk_scoped_ok(const struct walk *w)
{
	u32 rs, ms;
	bool ok;

	rcu_read_lock();
	do {
		rs = read_seqbegin(&rename_seq);
		ms = read_seqbegin(&mount_seq);
		ok = place_is_under(&w->path, &w->root);
	} while (read_seqretry(&rename_seq, rs) || read_seqretry(&mount_seq, ms));
	rcu_read_unlock();
	return ok;
}
