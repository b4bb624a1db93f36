/*
 * Root, working directory and umask of a task (or of several, CLONE_FS). Walkers read them under RCU with c->seq; changes hold
 * c->lock. The references on the old place are put after the change; a walker that still uses it notices by the seqs.
 */
#include <fs/internal.h>
#include <mm/slab.h>

static struct fs_context *context_alloc(void)
{
	struct fs_context *c = kmalloc(sizeof(*c), GFP_KERNEL);

	if (c) {
		c->refs = 1;
		spin_lock_init(&c->lock);
		c->seq.seq = 0;
	}
	return c;
}

struct fs_context *fs_init_context(void)
{
	struct fs_context *c = context_alloc();

	if (!c)
		return NULL;
	c->umask = 0022;
	c->root = c->cwd = (struct path){ root_mount, root_mount->root };
	path_get(&c->root);
	path_get(&c->cwd);
	return c;
}

struct fs_context *fs_dup(struct fs_context *from)
{
	struct fs_context *c = context_alloc();

	if (!c)
		return NULL;
	spin_lock(&from->lock);
	c->umask = from->umask;
	c->root = from->root;
	c->cwd = from->cwd;
	path_get(&c->root);
	path_get(&c->cwd);
	spin_unlock(&from->lock);
	return c;
}

struct fs_context *fs_share(struct fs_context *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void fs_put(struct fs_context *c)
{
	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	path_put(&c->root);
	path_put(&c->cwd);
	kfree(c);
}

void fs_get_root(struct fs_context *c, struct path *out)
{
	spin_lock(&c->lock);
	*out = c->root;
	path_get(out);
	spin_unlock(&c->lock);
}

void fs_get_cwd(struct fs_context *c, struct path *out)
{
	spin_lock(&c->lock);
	*out = c->cwd;
	path_get(out);
	spin_unlock(&c->lock);
}

void fs_set_path(struct fs_context *c, struct path *slot, const struct path *to)
{
	path_get(to);
	spin_lock(&c->lock);
	struct path old = *slot;
	write_seqbegin(&c->seq);
	*slot = *to;
	write_seqend(&c->seq);
	spin_unlock(&c->lock);
	path_put(&old);
}

static void context_move(struct fs_context *c, const struct path *from, const struct path *to)
{
	if (c->root.mnt == from->mnt && c->root.dentry == from->dentry)
		fs_set_path(c, &c->root, to);
	if (c->cwd.mnt == from->mnt && c->cwd.dentry == from->dentry)
		fs_set_path(c, &c->cwd, to);
}

/* Contexts cannot be changed under tasklist_lock (the old place is put), so they are collected in rounds. */
void fs_contexts_move(const struct path *from, const struct path *to)
{
	enum { BATCH = 64 };
	struct fs_context *got[BATCH];
	int n;

	do {
		struct task *p, *t;
		n = 0;
		tasklist_read_lock();
		for_each_process(p) {
			list_for_each_entry(t, &p->signal->threads, thread_group) {
				spin_lock(&t->alloc_lock);
				struct fs_context *c = t->fs;
				bool hit = c && n < BATCH && ((c->root.mnt == from->mnt && c->root.dentry == from->dentry) ||
							      (c->cwd.mnt == from->mnt && c->cwd.dentry == from->dentry));
				if (hit)
					got[n++] = fs_share(c);
				spin_unlock(&t->alloc_lock);
			}
		}
		tasklist_read_unlock();
		for (int i = 0; i < n; i++) {
			context_move(got[i], from, to);
			fs_put(got[i]);
		}
	} while (n == BATCH);
}
