/*
 * Superblocks: one mounted file system each, however many mounts show it. refs counts mounts (and keepers such as
 * devfs); the last super_put takes the name tree apart, which releases the inodes, and tells the file system.
 */
#include <fs/internal.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/slab.h>

static u32 next_minor = 1; /* (a) of anonymous devices; never reused: 2^20 mounts of own file systems a boot are enough */

struct super *super_alloc(const char *fstype, const struct super_ops *ops, u64 magic)
{
	struct super *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->fstype = fstype;
	s->ops = ops;
	s->magic = magic;
	s->id = __atomic_fetch_add(&next_minor, 1, __ATOMIC_RELAXED) & 0xfffff;
	s->dev = MKDEV(0, s->id);
	s->refs = 1;
	s->max_links = 0x7fffffff;
	INIT_LIST_HEAD(&s->inodes);
	spin_lock_init(&s->lock);
	return s;
}

int super_make_root(struct super *s, struct inode *i)
{
	struct dentry *d = dentry_alloc(NULL, "/", 1);

	if (!d) {
		inode_put(i);
		return -ENOMEM;
	}
	d->super = s;
	dentry_add(d, i);
	s->root = d;
	return 0;
}

void super_get(struct super *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
}

void super_put(struct super *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (s->root)
		dentry_kill_tree(s->root);
	if (s->ops->put_super)
		s->ops->put_super(s);
	rcu_barrier(); /* walkers and callbacks that still look at s */
	kfree(s);
}

int vfs_statfs(struct super *s, struct kstatfs *st)
{
	memset(st, 0, sizeof(*st));
	st->type = s->magic;
	st->bsize = st->frsize = PAGE_SIZE;
	st->namelen = NAME_MAX;
	st->fsid = s->dev;
	return s->ops->statfs ? s->ops->statfs(s, st) : 0;
}

/* ---- types ---- */

static struct fs_type *types; /* (types_lock) append only */
static DEFINE_SPINLOCK(types_lock);

void fs_register(struct fs_type *t)
{
	struct fs_type **pp = &types;

	spin_lock(&types_lock);
	while (*pp)
		pp = &(*pp)->next;
	t->next = NULL;
	rcu_assign_pointer(*pp, t);
	spin_unlock(&types_lock);
}

struct fs_type *fs_type_find(const char *name)
{
	struct fs_type *t = rcu_dereference(types);

	while (t && !streq(t->name, name))
		t = rcu_dereference(t->next);
	return t;
}

long fs_type_index(const char *name)
{
	long n = 0;

	for (struct fs_type *t = rcu_dereference(types); t; t = rcu_dereference(t->next), n++)
		if (name && streq(t->name, name))
			return n;
	return name ? -EINVAL : n;
}

const char *fs_type_name(u64 index)
{
	struct fs_type *t = rcu_dereference(types);

	while (t && index--)
		t = rcu_dereference(t->next);
	return t ? t->name : NULL;
}

void filesystems_show(struct seq_buf *b)
{
	for (struct fs_type *t = rcu_dereference(types); t; t = rcu_dereference(t->next))
		seq_printf(b, "%s\t%s\n", t->flags & 1 ? "" : "nodev", t->name);
}
