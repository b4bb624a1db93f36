/*
 * Path walking.
 *
 * One walker, two modes. In RCU mode it holds nothing: preemption is off, every pointer it follows stays readable, and each step
 * proves itself by sequence numbers: the child's seq when it was found, the parent's seq after the child was found (so
 * that both held at one moment), mount_seq at every mount crossing. A step that cannot be proved, or that would have to sleep
 * (a directory that must be asked, a link without plain text), gives -ECHILD, and the walk starts again from the beginning in
 * reference mode, which holds a reference on where it is and on the root. An errno found in RCU mode counts only when the
 * directory it was found in still has the same seq. A walk in reference mode starts again too when it stands at the top of a
 * mount that was taken out of the tree since it began: whoever says m/../x means x beside m, whether m is mounted on or not.
 *
 * An RCU walk ends by walk_legitimize, which takes the two references (mount, name) and checks both seqs once more, or by
 * looking at the inode in place (path_lookup_rcu: stat, access).
 *
 * Links: the text of a link is walked in place of the component. walk_links recurses by an explicit stack of what is left of
 * the outer texts (40 links in all, ELOOP then, path_resolution(7)); a link in last position is given to the caller by
 * walk_last, who goes on with its text or not.
 *
 * Mounts and ".." are walk_up.c's.
 */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>

/* ---- starting places ---- */

/* Root or working directory as it is now; under RCU its seq too. => RCU */
static void context_path(const struct path *slot, struct path *out, u32 *dseq)
{
	struct fs_context *c = current->fs;
	u32 s;

	do {
		s = read_seqbegin(&c->seq);
		*out = *(const volatile struct path *)slot;
		*dseq = smp_load_acquire(&out->dentry->seq);
	} while (read_seqretry(&c->seq, s));
}

static void set_root(struct walk *w)
{
	u32 seq;

	if (w->root.mnt)
		return;
	if (w->rcu) {
		context_path(&current->fs->root, &w->root, &seq);
	} else {
		fs_get_root(current->fs, &w->root);
		w->root_ref = true;
	}
}

static int jump_to_root(struct walk *w)
{
	if (w->flags & LOOKUP_BENEATH)
		return -EXDEV;
	set_root(w);
	if (w->flags & LOOKUP_NO_XDEV && w->path.mnt && w->path.mnt != w->root.mnt)
		return -EXDEV;
	if (!w->rcu) {
		struct path old = w->path;
		w->path = w->root;
		path_get(&w->path);
		if (old.mnt)
			path_put(&old);
	} else {
		w->path = w->root;
		w->seq = smp_load_acquire(&w->path.dentry->seq);
	}
	return walk_here(w);
}

static int start_at_fd(struct walk *w, int dirfd, bool name_empty)
{
	struct fd fd = fdget_raw(dirfd);
	struct file *f = fd_file(fd);

	if (!f)
		return -EBADF;
	if (!name_empty && !dentry_is_dir(f->path.dentry)) {
		fdput(fd);
		return -ENOTDIR;
	}
	w->path = f->path;
	if (w->rcu) {
		w->dirfd = fd; /* an open file keeps its path */
		w->seq = smp_load_acquire(&w->path.dentry->seq);
	} else {
		path_get(&w->path);
		fdput(fd);
	}
	return 0;
}

static int start_path(struct walk *w, int dirfd, const char *name)
{
	if (*name == '/' && !(w->flags & LOOKUP_SCOPED)) {
		if (unlikely(!w->rcu))
			return jump_to_root(w);
		context_path(&current->fs->root, &w->root, &w->seq);
		w->path = w->root;
		return walk_here(w);
	}
	if (dirfd != AT_FDCWD) {
		int err = start_at_fd(w, dirfd, !*name);
		if (err)
			return err;
	} else if (w->rcu) {
		context_path(&current->fs->cwd, &w->path, &w->seq);
	} else {
		fs_get_cwd(current->fs, &w->path);
	}
	if (w->flags & LOOKUP_SCOPED) {
		w->root = w->path;
		if (!w->rcu) {
			path_get(&w->root);
			w->root_ref = true;
		}
		if (*name == '/' && w->flags & LOOKUP_BENEATH)
			return -EXDEV;
	}
	return walk_here(w);
}

int walk_start(struct walk *w, int dirfd, const char *name, u32 flags, bool rcu)
{
	w->path = (struct path){ NULL, NULL };
	w->root = (struct path){ NULL, NULL };
	w->flags = flags;
	w->rcu = rcu;
	w->root_ref = false;
	w->depth = w->total = 0;
	w->dirfd.w = 0;
	if (rcu)
		rcu_read_lock();
	w->mseq = read_seqbegin(&mount_seq);
	w->rseq = flags & LOOKUP_SCOPED ? read_seqbegin(&rename_seq) : 0;
	int err = start_path(w, dirfd, name);
	if (err)
		walk_abort(w);
	return err;
}

/* ---- ending ---- */

static void free_texts(struct walk *w)
{
	while (w->depth)
		kfree(w->stack[--w->depth].buf);
}

void walk_end(struct walk *w)
{
	if (w->depth)
		free_texts(w);
	if (w->root_ref)
		path_put(&w->root);
	w->root_ref = false;
	fdput(w->dirfd);
	w->dirfd.w = 0;
}

void walk_abort(struct walk *w)
{
	if (w->rcu) {
		rcu_read_unlock();
		w->depth = 0;
	} else if (w->path.mnt) {
		path_put(&w->path);
	}
	walk_end(w);
}

int walk_legitimize(struct walk *w)
{
	if (w->rcu) {
		if (unlikely(!mnt_legitimize(w->path.mnt, w->mseq)))
			return -ECHILD;
		bool got = dentry_get_live(w->path.dentry);
		struct path p = w->path;
		bool same = got && READ_ONCE(p.dentry->seq) == w->seq;
		if (unlikely(!same)) {
			rcu_read_unlock(); /* puts may sleep */
			if (got)
				dentry_put(p.dentry);
			mnt_put(p.mnt);
			rcu_read_lock();
			return -ECHILD;
		}
		w->rcu = false;
		w->depth = 0;
		rcu_read_unlock();
	}
	if (unlikely(w->flags & LOOKUP_SCOPED) && !walk_scoped_ok(w))
		return -EXDEV;
	return 0;
}

/* ---- steps ---- */

static inline bool rcu_valid(const struct walk *w)
{
	smp_rmb();
	return likely(READ_ONCE(w->path.dentry->seq) == w->seq);
}

/* An error counts in RCU mode only when what it was derived from still stands. */
static inline int step_error(struct walk *w, int err)
{
	return w->rcu && !rcu_valid(w) ? -ECHILD : err;
}

static inline int may_search(struct walk *w)
{
	struct inode *i = w->inode;

	if (likely((READ_ONCE(i->mode) & 0111) == 0111 && !i->ops->permission))
		return 0;
	int err = inode_permission(i, MAY_EXEC);
	return err ? step_error(w, err) : 0;
}

static int step_dots(struct walk *w)
{
	if (w->last_type != LAST_DOTDOT)
		return 0;
	set_root(w);
	return walk_up(w);
}

/* The text of the link at *link, or NULL after a jump (w->path is the target), or ERR_PTR. *link is consumed. */
static const char *link_text(struct walk *w, struct path *link, struct inode *i)
{
	struct path jump = { NULL, NULL };
	char *buf = NULL;
	const char *text;

	if (w->total++ >= MAXSYMLINKS || w->flags & LOOKUP_NO_SYMLINKS || link->mnt->flags & MS_NOSYMFOLLOW) {
		text = ERR_PTR(-ELOOP);
		goto out;
	}
	touch_atime(link);
	if (likely(i->link)) {
		if (w->rcu)
			return i->link;
		buf = kstrdup(i->link, GFP_KERNEL);
		text = buf ?: ERR_PTR(-ENOMEM);
	} else if (w->rcu) {
		return ERR_PTR(-ECHILD);
	} else if (!i->ops->get_link) {
		text = ERR_PTR(-EINVAL);
	} else if (i->ops->may_follow && i->ops->may_follow(i)) {
		text = ERR_PTR(i->ops->may_follow(i));
	} else {
		buf = kmalloc(PATH_MAX, GFP_KERNEL);
		text = buf ? i->ops->get_link(i, &jump, buf, PATH_MAX) : ERR_PTR(-ENOMEM);
		if (text && !IS_ERR(text) && text != buf) {
			strscpy(buf, text, PATH_MAX);
			text = buf;
		}
	}
out:
	if (w->rcu)
		return text;
	path_put(link);
	if (IS_ERR_OR_NULL(text)) {
		kfree(buf);
		buf = NULL;
	}
	w->stack[w->depth].buf = buf; /* freed when the text was walked */
	if (text || !jump.mnt)
		return text ?: ERR_PTR(-ENOENT);
	if (w->flags & (LOOKUP_NO_MAGICLINKS | LOOKUP_SCOPED)) {
		path_put(&jump);
		return ERR_PTR(w->flags & LOOKUP_NO_MAGICLINKS ? -ELOOP : -EXDEV);
	}
	if (w->flags & LOOKUP_NO_XDEV && jump.mnt != w->path.mnt) {
		path_put(&jump);
		return ERR_PTR(-EXDEV);
	}
	path_put(&w->path);
	w->path = jump;
	walk_here(w);
	return NULL;
}

/* Reads a link found in the current directory; w stays at the directory, or moves to the root for absolute text. */
static const char *follow(struct walk *w, struct path *link, struct inode *i)
{
	const char *text = link_text(w, link, i);

	if (IS_ERR_OR_NULL(text))
		return text;
	int err = *text ? 0 : step_error(w, -ENOENT);
	if (*text == '/') {
		err = jump_to_root(w);
		while (*text == '/')
			text++;
	}
	if (unlikely(err)) {
		if (!w->rcu)
			kfree(w->stack[w->depth].buf);
		return ERR_PTR(err);
	}
	return text;
}

/* A name of a kind the straight way does not know: mounted on, a link, to be revalidated, negative. As step_rcu. */
static noinline const char *step_rcu_special(struct walk *w, struct dentry *d, u32 flags, u32 seq, bool follow_link)
{
	struct path p = { w->path.mnt, d };

	if (!revalidated(d))
		return ERR_PTR(-ECHILD);
	struct inode *i = READ_ONCE(d->inode);

	if (i && flags & DENTRY_MOUNTED) {
		int err = walk_cross_rcu(w, &p, &seq);
		if (err)
			return ERR_PTR(err);
		i = READ_ONCE(p.dentry->inode);
		if (!i || seq & 1)
			return ERR_PTR(-ECHILD);
	}
	if (READ_ONCE(d->seq) != seq && p.dentry == d)
		return ERR_PTR(-ECHILD);
	if (!i)
		return ERR_PTR(-ENOENT);
	if (flags & DENTRY_SYMLINK && follow_link)
		return follow(w, &p, i);
	w->path = p;
	w->inode = i;
	w->seq = seq;
	return NULL;
}

static inline const char *step_rcu(struct walk *w, bool follow_link)
{
	u32 rseq = smp_load_acquire(&rename_seq.seq), seq;
	struct dentry *dir = w->path.dentry, *d = dentry_find_rcu(dir, &w->last, &seq);

	if (unlikely(!d)) {
		smp_rmb();
		if (rseq & 1 || READ_ONCE(rename_seq.seq) != rseq || !(READ_ONCE(dir->flags) & DENTRY_COMPLETE))
			return ERR_PTR(-ECHILD);
		return ERR_PTR(step_error(w, -ENOENT));
	}
	struct inode *i = READ_ONCE(d->inode);
	u32 flags = READ_ONCE(d->flags);
	smp_rmb();
	/* child and parent both as they were: the name stood in this directory at one moment */
	if (unlikely(seq & 1 || READ_ONCE(d->seq) != seq || !(flags & DENTRY_HASHED) || !rcu_valid(w)))
		return ERR_PTR(-ECHILD);
	if (unlikely(flags & (DENTRY_MOUNTED | DENTRY_REVALIDATE | DENTRY_SYMLINK) || !i))
		return step_rcu_special(w, d, flags, seq, follow_link);
	w->path.dentry = d;
	w->inode = i;
	w->seq = seq;
	return NULL;
}

/* The name w->last below w->path, referenced; NULL when there is none. */
static struct dentry *lookup_ref(struct walk *w)
{
	struct dentry *dir = w->path.dentry, *d = dentry_find(dir, &w->last);

	if (d && revalidated(d)) {
		if (likely(d->inode))
			return d;
		dentry_put(d);
		return NULL;
	}
	if (d) {
		dentry_drop(d);
		dentry_put(d);
	}
	if (dir->flags & DENTRY_COMPLETE)
		return NULL;
	down_write(&w->inode->rwsem);
	d = lookup_one(dir, &w->last, false);
	up_write(&w->inode->rwsem);
	return d;
}

static const char *step_ref(struct walk *w, bool follow_link)
{
	struct path p = { w->path.mnt, lookup_ref(w) };

	if (IS_ERR_OR_NULL(p.dentry))
		return p.dentry ? ERR_CAST(p.dentry) : ERR_PTR(-ENOENT);
	mnt_get(p.mnt);
	int err = walk_cross(w, &p);
	if (err) {
		path_put(&p);
		return ERR_PTR(err);
	}
	if (p.dentry->flags & DENTRY_SYMLINK && follow_link)
		return follow(w, &p, p.dentry->inode);
	path_put(&w->path);
	w->path = p;
	w->inode = p.dentry->inode;
	return NULL;
}

/* One component, w->last. NULL: w moved; else the text of a link, or ERR_PTR. */
static inline const char *step(struct walk *w, bool follow_link)
{
	if (unlikely(w->last_type != LAST_NORM)) {
		int err = w->last_type == LAST_ROOT ? 0 : step_dots(w);
		return err ? ERR_PTR(err) : NULL;
	}
	return likely(w->rcu) ? step_rcu(w, follow_link) : step_ref(w, follow_link);
}

/* Length and hash of the component at s, in one pass over words. */
static inline void scan_component(const char *s, struct qstr *q)
{
	u64 h = 0, w, stop;
	const char *p = s;

	for (;; p += 8) {
		w = name_word(p);
		stop = name_zero(w) | name_zero(w ^ ('/' * NAME_ONES));
		if (stop)
			break;
		h = hash_mix(h, w);
	}
	u32 n = __builtin_ctzll(stop) >> 3;
	/* Only the lowest flag of name_zero is exact; a false one above it does no harm. */
	q->hash = name_fold(hash_mix(h, w & ~(~0ull << (8 * n))));
	q->len = (p - s) + n;
	q->name = s;
}

static inline u8 component_type(const struct qstr *q)
{
	if (likely(q->name[0] != '.'))
		return LAST_NORM;
	return q->len == 1 ? LAST_DOT : q->len == 2 && q->name[1] == '.' ? LAST_DOTDOT : LAST_NORM;
}

int walk_links(struct walk *w, const char *s)
{
	u32 nested = 0;

	while (*s == '/')
		s++;
	w->last_type = LAST_ROOT;
	w->last = (struct qstr){ s, 0, 0 };
	if (!*s)
		return 0;
	for (;;) {
		if (unlikely(!(READ_ONCE(w->path.dentry->flags) & DENTRY_DIR)))
			return step_error(w, -ENOTDIR);
		int err = may_search(w);
		if (unlikely(err))
			return err;
		scan_component(s, &w->last);
		if (unlikely(w->last.len > NAME_MAX))
			return -ENAMETOOLONG;
		w->last_type = component_type(&w->last);
		s += w->last.len;
		while (*s == '/')
			s++;
		if (!*s) {
			if (!nested)
				return 0;
			/* The last component of a link's text: then what follows the link. */
			const char *text = step(w, true);
			if (IS_ERR(text))
				return PTR_ERR(text);
			if (text && !w->rcu) { /* a link at the end of a link: its text replaces the finished one */
				kfree(w->stack[w->depth - 1].buf);
				w->stack[w->depth - 1].buf = w->stack[w->depth].buf;
			}
			s = text;
			if (!text || !*text) { /* back to the outer text, of which something is left */
				nested--;
				s = w->stack[--w->depth].rest;
				if (!w->rcu)
					kfree(w->stack[w->depth].buf);
			}
			continue;
		}
		const char *text = step(w, true);
		if (likely(!text))
			continue;
		if (IS_ERR(text))
			return PTR_ERR(text);
		if (!*text) { /* the link was "/": we are there */
			if (!w->rcu)
				kfree(w->stack[w->depth].buf);
			continue;
		}
		w->stack[w->depth++].rest = s;
		nested++;
		s = text;
	}
}

const char *walk_last(struct walk *w)
{
	if (w->last_type == LAST_NORM && w->last.name[w->last.len])
		w->flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY; /* trailing slash */
	const char *text = step(w, w->flags & LOOKUP_FOLLOW);
	if (!IS_ERR_OR_NULL(text)) {
		w->stack[w->depth++].rest = NULL; /* keeps the text until the end */
		w->last_type = LAST_ROOT;
	}
	return text;
}

/* ---- whole lookups ---- */

static int walk_whole(struct walk *w, const char *name)
{
	for (;;) {
		int err = walk_links(w, name);
		if (err)
			return err;
		name = walk_last(w);
		if (IS_ERR(name))
			return PTR_ERR(name);
		if (!name)
			break;
	}
	if (w->flags & LOOKUP_DIRECTORY && !(READ_ONCE(w->path.dentry->flags) & DENTRY_DIR))
		return step_error(w, -ENOTDIR);
	return 0;
}

static int lookup_mode(int dirfd, const char *name, u32 flags, struct path *out, bool rcu)
{
	struct walk w;
	int err = walk_start(&w, dirfd, name, flags, rcu);

	if (err)
		return err;
	err = walk_whole(&w, name);
	if (!err)
		err = walk_legitimize(&w);
	if (err) {
		walk_abort(&w);
		return err;
	}
	*out = w.path;
	walk_end(&w);
	return 0;
}

static inline int empty_name(const char *name, u32 flags)
{
	return likely(*name) || flags & LOOKUP_EMPTY ? 0 : -ENOENT;
}

int path_lookup(int dirfd, const char *name, u32 flags, struct path *out)
{
	int err = empty_name(name, flags);

	if (err)
		return err;
	err = lookup_mode(dirfd, name, flags, out, true);
	while (unlikely(err == -ECHILD))
		err = lookup_mode(dirfd, name, flags, out, false);
	return err;
}

int path_lookup_rcu(int dirfd, const char *name, u32 flags, walk_rcu_fn fn, void *arg)
{
	struct walk w;
	int err = empty_name(name, flags);

	if (!err)
		err = walk_start(&w, dirfd, name, flags, true);
	if (err)
		return err;
	err = walk_whole(&w, name);
	if (!err) {
		err = fn(w.inode, w.path.mnt, arg);
		if (!rcu_valid(&w) || read_seqretry(&mount_seq, w.mseq) || unlikely(w.flags & LOOKUP_SCOPED))
			err = -ECHILD;
	}
	walk_abort(&w);
	return err;
}

static int parent_mode(struct walk *w, int dirfd, const char *name, u32 flags, bool rcu)
{
	int err = walk_start(w, dirfd, name, flags, rcu);

	if (err)
		return err;
	err = walk_links(w, name);
	if (!err && unlikely(!(READ_ONCE(w->path.dentry->flags) & DENTRY_DIR)))
		err = step_error(w, -ENOTDIR);
	if (!err)
		err = walk_legitimize(w);
	if (err)
		walk_abort(w);
	return err;
}

int walk_parent(struct walk *w, int dirfd, const char *name, u32 flags)
{
	int err = empty_name(name, 0);

	if (err)
		return err;
	err = parent_mode(w, dirfd, name, flags, true);
	while (unlikely(err == -ECHILD))
		err = parent_mode(w, dirfd, name, flags, false);
	return err;
}

int user_path(int dirfd, const char __user *name, u32 flags, struct path *out)
{
	struct pathbuf pb;
	int err = pathbuf_get(&pb, name, flags);

	if (err)
		return err;
	err = path_lookup(dirfd, pb.name, flags, out);
	pathbuf_put(&pb);
	return err;
}
