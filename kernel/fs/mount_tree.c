/*
 * The mount tree.
 *
 * A mount shows a subtree (root) of a superblock at a place (parent mount, mountpoint). Walkers find the mount at a place
 * in a hash table under RCU; mount_seq is odd while the tree changes, so that a walker knows whether what it combined (place,
 * mount, parent) belonged together. namespace_mutex serialises changes.
 *
 * References are counted per CPU, since every open file and every directory of every process holds one and no cache line may
 * be shared by all opens. Per-CPU counts can only be added up when nobody changes them: while a mount is in the tree, the tree's own
 * reference keeps it alive and nobody adds up (umount does, to say EBUSY, and may be wrong when references
 * move between CPUs meanwhile: the mount is then detached while used, as with MNT_DETACH, which is safe). Once detached
 * (MNT_DETACHED, and a grace period later so that no put still runs without seeing it) puts take mount_lock and add up; the last one frees.
 * A holder may take more references without the lock: his own keeps the sum above zero until he puts it, under the lock.
 *
 * Each attached mount holds a reference on its parent mount and on its mountpoint; so a mount with children is busy.
 */
#include "mount_impl.h"
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/check.h>
#include <mm/slab.h>

#define HASH_BITS 7

DEFINE_MUTEX(namespace_mutex);
static DEFINE_SPINLOCK(mount_lock); /* counts of detached mounts */
seqcount_t mount_seq; /* (namespace_mutex) */
struct mount *root_mount; /* top of the tree */
static struct hlist_head mount_hash[1 << HASH_BITS]; /* (namespace_mutex; RCU) */
LIST_HEAD(all_mounts); /* (namespace_mutex) attached, in order of mounting */
static u32 next_mount_id = 20; /* (atomic) */
u64 mount_event = 1; /* (namespace_mutex) */

static struct hlist_head *hash_of(const struct mount *parent, const struct dentry *d)
{
	return &mount_hash[hash_64((u64)parent + ((u64)d << 1), HASH_BITS)];
}

/* ---- references ---- */

struct mount *mount_alloc(struct super *s, struct dentry *root, const char *source, u32 flags)
{
	struct mount *m = kzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return NULL;
	m->count = kcalloc(MAX_CPUS, sizeof(*m->count), GFP_KERNEL);
	m->source = kstrdup(source ?: "none", GFP_KERNEL);
	if (!m->count || !m->source) {
		kfree(m->count);
		kfree(m->source);
		kfree(m);
		return NULL;
	}
	super_get(s);
	dentry_get(root);
	m->super = s;
	m->root = root;
	m->flags = flags & MNT_KEEP;
	m->id = __atomic_fetch_add(&next_mount_id, 1, __ATOMIC_RELAXED);
	INIT_LIST_HEAD(&m->list);
	INIT_LIST_HEAD(&m->children);
	INIT_LIST_HEAD(&m->child);
	m->count[0].refs = 1;
	return m;
}

void mount_free(struct mount *m)
{
	dentry_put(m->root);
	super_put(m->super);
	kfree(m->source);
	kfree(m->count);
	kfree_rcu(m, rcu);
}

void mnt_get(struct mount *m)
{
	preempt_disable();
	m->count[smp_processor_id()].refs++;
	preempt_enable();
}

s32 mount_count_refs(const struct mount *m)
{
	s32 n = 0;

	for (int i = 0; i < MAX_CPUS; i++)
		n += READ_ONCE(m->count[i].refs);
	return n;
}

s32 mount_count_writers(const struct mount *m)
{
	s32 n = 0;

	for (int i = 0; i < MAX_CPUS; i++)
		n += READ_ONCE(m->count[i].writers);
	return n;
}

static bool put_detached(struct mount *m)
{
	spin_lock(&mount_lock);
	m->count[0].refs--;
	bool last = mount_count_refs(m) == 0;
	spin_unlock(&mount_lock);
	return last;
}

void mnt_put(struct mount *m)
{
	preempt_disable();
	if (likely(!(READ_ONCE(m->flags) & MNT_DETACHED))) {
		m->count[smp_processor_id()].refs--;
		preempt_enable();
		return;
	}
	preempt_enable();
	if (put_detached(m))
		mount_free(m);
}

bool mnt_legitimize(struct mount *m, u32 mseq)
{
	s32 *refs = &m->count[smp_processor_id()].refs;

	(*refs)++;
	smp_mb(); /* pairs with umount: it makes mount_seq odd, then adds up */
	if (likely(READ_ONCE(mount_seq.seq) == mseq))
		return true;
	/* Undone before the read section ends: a mount found through the tree is freed a grace period after it left it. */
	(*refs)--;
	return false;
}

void mnt_writer(struct mount *m, int delta)
{
	preempt_disable();
	m->count[smp_processor_id()].writers += delta;
	preempt_enable();
}

void path_get(const struct path *p)
{
	mnt_get(p->mnt);
	dentry_get(p->dentry);
}

void path_put(const struct path *p)
{
	dentry_put(p->dentry);
	mnt_put(p->mnt);
}

/* ---- the tree ---- */

struct mount *mnt_lookup_rcu(struct mount *parent, struct dentry *mountpoint)
{
	struct mount *m;

	hlist_for_each_entry_rcu(m, hash_of(parent, mountpoint), hash)
		if (READ_ONCE(m->parent) == parent && READ_ONCE(m->mountpoint) == mountpoint)
			return m;
	return NULL;
}

bool path_mounted_on(struct path *p)
{
	for (;;) {
		rcu_read_lock();
		u32 s = read_seqbegin(&mount_seq);
		struct mount *m = mnt_lookup_rcu(p->mnt, p->dentry);
		bool got = m && mnt_legitimize(m, s);
		bool none = !m && !read_seqretry(&mount_seq, s);
		rcu_read_unlock();
		if (none)
			return false;
		if (!got)
			continue;
		dentry_get(m->root);
		path_put(p);
		*p = (struct path){ m, m->root };
		return true;
	}
}

void mount_tree_begin(void)
{
	preempt_disable();
	write_seqbegin(&mount_seq);
	smp_mb();
}

void mount_tree_end(void)
{
	write_seqend(&mount_seq);
	preempt_enable();
	mount_event++;
}

/* => inside a tree change; the caller gives references on parent mount and mountpoint */
static void place_locked(struct mount *m, struct mount *parent, struct dentry *at)
{
	m->parent = parent;
	m->mountpoint = at;
	m->parent_id = parent->id;
	hlist_add_head_rcu(&m->hash, hash_of(parent, at));
}

void mount_attach(struct mount *m, const struct path *at)
{
	path_get(at);
	dentry_mark_mounted(at->dentry, 1);
	mount_tree_begin();
	place_locked(m, at->mnt, at->dentry);
	mount_tree_end();
	list_add_tail(&m->child, &at->mnt->children);
	list_add_tail(&m->list, &all_mounts);
}

static void unplace_locked(struct mount *m)
{
	hlist_del_rcu(&m->hash);
	WRITE_ONCE(m->parent, NULL);
}

static void attach_root(struct mount *m)
{
	root_mount = m;
	list_add_tail(&m->list, &all_mounts);
}

/* Takes top and everything below it out of the tree, children first. => namespace_mutex; sleeps */
void mount_detach_tree(struct mount *top)
{
	struct mount *m;

	do {
		m = top;
		while (!list_empty(&m->children))
			m = list_last_entry(&m->children, struct mount, child);
		struct path at = { m->parent, m->mountpoint };
		mount_tree_begin();
		unplace_locked(m);
		mount_tree_end();
		list_del_init(&m->child);
		list_del_init(&m->list);
		m->flags |= MNT_DETACHED;
		synchronize_rcu(); /* no walker holds it by the tree, no put misses the flag */
		dentry_mark_mounted(at.dentry, -1);
		path_put(&at);
		mnt_put(m); /* the tree's reference */
	} while (m != top);
}

bool mount_is_under(const struct mount *m, const struct mount *top)
{
	for (; m; m = m->parent)
		if (m == top)
			return true;
	return false;
}

/* Moves m from where it is to *at, which holds references for it. => namespace_mutex, not the root of the tree */
void mount_relocate(struct mount *m, const struct path *at)
{
	struct path old = { m->parent, m->mountpoint };

	path_get(at);
	dentry_mark_mounted(at->dentry, 1);
	mount_tree_begin();
	unplace_locked(m);
	place_locked(m, at->mnt, at->dentry);
	mount_tree_end();
	list_move_tail(&m->child, &at->mnt->children);
	dentry_mark_mounted(old.dentry, -1);
	path_put(&old);
}

struct mount *mount_of_device(u64 dev)
{
	struct mount *m, *found = NULL;

	mutex_lock(&namespace_mutex);
	list_for_each_entry(m, &all_mounts, list) {
		if (m->super->dev == dev) {
			mnt_get(m);
			found = m;
			break;
		}
	}
	mutex_unlock(&namespace_mutex);
	return found;
}

s32 mount_super_writers(const struct super *s)
{
	struct mount *m;
	s32 n = 0;

	list_for_each_entry(m, &all_mounts, list)
		if (m->super == s)
			n += mount_count_writers(m);
	return n;
}

/* ---- boot and kernel ---- */

struct mount *mount_internal(struct fs_type *t)
{
	struct super *s = t->mount(t, t->name, 0, NULL);
	struct mount *m = IS_ERR(s) ? NULL : mount_alloc(s, s->root, t->name, 0);

	if (!IS_ERR(s))
		super_put(s);
	if (!m)
		return NULL;
	m->flags |= MNT_INTERNAL;
	return m;
}

void mount_init(void)
{
	struct super *s = tmpfs_type.mount(&tmpfs_type, "rootfs", 0, NULL);
	struct mount *m = IS_ERR(s) ? NULL : mount_alloc(s, s->root, "rootfs", MS_RELATIME);

	if (!m)
		panic("no memory for the root file system");
	super_put(s);
	s->fstype = "rootfs";
	attach_root(m);
}

/* Attached mounts: linked both ways, alive, and found at their place. */
u64 mount_check(void)
{
	struct mount *m;
	u64 bad = 0;

	mutex_lock(&namespace_mutex);
	list_for_each_entry(m, &all_mounts, list) {
		rcu_read_lock();
		if (m->parent && (mnt_lookup_rcu(m->parent, m->mountpoint) != m || !(m->mountpoint->flags & DENTRY_MOUNTED))) {
			pr_err("mount %u: %p not found at its place %p, flags %#x\n", m->id, m, m->mountpoint, m->mountpoint->flags);
			bad++;
		}
		if (m->flags & MNT_DETACHED || READ_ONCE(m->root->refs) <= 0) {
			pr_err("mount %u: flags %#x, root refs %d\n", m->id, m->flags, m->root->refs);
			bad++;
		}
		rcu_read_unlock();
	}
	mutex_unlock(&namespace_mutex);
	return bad;
}
