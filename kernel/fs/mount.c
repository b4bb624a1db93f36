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
#include <fs/internal.h>
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/check.h>
#include <mm/slab.h>

#define MNT_KEEP (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME | MS_NOSYMFOLLOW)
#define MNT_EXPIRING (1u << 29)
#define HASH_BITS 7

static DEFINE_MUTEX(namespace_mutex);
static DEFINE_SPINLOCK(mount_lock); /* counts of detached mounts */
seqcount_t mount_seq; /* (namespace_mutex) */
struct mount *root_mount; /* top of the tree */
static struct hlist_head mount_hash[1 << HASH_BITS]; /* (namespace_mutex; RCU) */
static LIST_HEAD(all_mounts); /* (namespace_mutex) attached, in order of mounting */
static u32 next_mount_id = 20; /* (namespace_mutex) */
u64 mount_event = 1;
DEFINE_WAIT_QUEUE(mount_event_wait);

static struct hlist_head *hash_of(const struct mount *parent, const struct dentry *d)
{
	return &mount_hash[hash_64((u64)parent + ((u64)d << 1), HASH_BITS)];
}

/* ---- references ---- */

static struct mount *mount_alloc(struct super *s, struct dentry *root, const char *source, u32 flags)
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

static void mount_free(struct mount *m)
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

static s32 count_refs(const struct mount *m)
{
	s32 n = 0;

	for (int i = 0; i < MAX_CPUS; i++)
		n += READ_ONCE(m->count[i].refs);
	return n;
}

static s32 count_writers(const struct mount *m)
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
	bool last = count_refs(m) == 0;
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

static void tree_change_begin(void)
{
	preempt_disable();
	write_seqbegin(&mount_seq);
	smp_mb();
}

static void tree_change_end(void)
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

static void attach(struct mount *m, const struct path *at)
{
	path_get(at);
	dentry_mark_mounted(at->dentry, 1);
	tree_change_begin();
	place_locked(m, at->mnt, at->dentry);
	tree_change_end();
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

static void mounts_changed(void)
{
	wake_up_poll(&mount_event_wait, POLLERR | POLLPRI);
}

/* Takes top and everything below it out of the tree, children first. => namespace_mutex; sleeps */
static void detach_tree(struct mount *top)
{
	struct mount *m;

	do {
		m = top;
		while (!list_empty(&m->children))
			m = list_last_entry(&m->children, struct mount, child);
		struct path at = { m->parent, m->mountpoint };
		tree_change_begin();
		unplace_locked(m);
		tree_change_end();
		list_del_init(&m->child);
		list_del_init(&m->list);
		m->flags |= MNT_DETACHED;
		synchronize_rcu(); /* no walker holds it by the tree, no put misses the flag */
		dentry_mark_mounted(at.dentry, -1);
		path_put(&at);
		mnt_put(m); /* the tree's reference */
	} while (m != top);
}

/* ---- mount(2) ---- */

/* Locks the tree and follows *at to the top mount of the place. The place must be a live name. */
static int lock_place(struct path *at)
{
	mutex_lock(&namespace_mutex);
	while (READ_ONCE(at->dentry->flags) & DENTRY_MOUNTED && path_mounted_on(at))
		;
	if (dentry_unlinked(at->dentry) || at->dentry->inode->flags & I_DEAD) {
		mutex_unlock(&namespace_mutex);
		return -ENOENT;
	}
	return 0;
}

static void unlock_place(void)
{
	mutex_unlock(&namespace_mutex);
	mounts_changed();
}

/* Puts a new mount on *at. => takes over the caller's reference on m when 0 */
static int graft(struct mount *m, struct path *at)
{
	int err = lock_place(at);

	if (err)
		return err;
	if (dentry_is_dir(at->dentry) != dentry_is_dir(m->root))
		err = -ENOTDIR;
	else if (at->mnt->super == m->super && at->dentry == at->mnt->root && at->mnt->root == m->root)
		err = -EBUSY;
	else
		attach(m, at);
	unlock_place();
	return err;
}

static u32 mount_flags(u32 flags)
{
	if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
		flags |= MS_RELATIME;
	if (flags & MS_STRICTATIME)
		flags &= ~(MS_RELATIME | MS_NOATIME);
	return flags & MNT_KEEP;
}

static int mount_new(struct path *at, const char *source, const char *fstype, u32 flags, const char *data)
{
	if (!fstype)
		return -EINVAL;
	struct fs_type *t = fs_type_find(fstype);

	if (!t)
		return -ENODEV;
	struct super *s = t->mount(t, source, flags, data);

	if (IS_ERR(s))
		return PTR_ERR(s);
	if (flags & MS_RDONLY)
		s->flags |= MS_RDONLY;
	struct mount *m = mount_alloc(s, s->root, source, mount_flags(flags));
	int err = m ? graft(m, at) : -ENOMEM;

	super_put(s); /* the mount has its own */
	if (err && m)
		mount_free(m);
	return err;
}

/* A copy of the subtree of mounts at *from below m (already attached). => namespace_mutex */
static int bind_children(struct mount *m, const struct path *from)
{
	struct mount *c, *map_from = from->mnt;

	list_for_each_entry(c, &map_from->children, child) {
		if (c == m || !dentry_is_under(c->mountpoint, from->dentry))
			continue;
		struct mount *copy = mount_alloc(c->super, c->root, c->source, c->flags);
		if (!copy)
			return -ENOMEM;
		attach(copy, &(struct path){ m, c->mountpoint });
		int err = bind_children(copy, &(struct path){ c, c->root });
		if (err)
			return err;
	}
	return 0;
}

static int mount_bind(struct path *at, const char *source, u32 flags)
{
	struct path from;

	if (!source || !*source)
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	struct mount *m = mount_alloc(from.mnt->super, from.dentry, from.mnt->source, from.mnt->flags);
	err = -ENOMEM;
	if (!m)
		goto put_from;
	err = -EINVAL;
	if (from.mnt->flags & (MNT_INTERNAL | MNT_DETACHED))
		goto free;
	err = lock_place(at);
	if (err)
		goto free;
	err = dentry_is_dir(at->dentry) != dentry_is_dir(from.dentry) ? -ENOTDIR : 0;
	if (!err) {
		attach(m, at);
		err = flags & MS_REC ? bind_children(m, &from) : 0;
		m = NULL;
	}
	unlock_place();
free:
	if (m)
		mount_free(m);
put_from:
	path_put(&from);
	return err;
}

static bool mount_is_under(const struct mount *m, const struct mount *top)
{
	for (; m; m = m->parent)
		if (m == top)
			return true;
	return false;
}

/* Moves m from where it is to *at, which holds references for it. => namespace_mutex, not the root of the tree */
static void relocate(struct mount *m, const struct path *at)
{
	struct path old = { m->parent, m->mountpoint };

	path_get(at);
	dentry_mark_mounted(at->dentry, 1);
	tree_change_begin();
	unplace_locked(m);
	place_locked(m, at->mnt, at->dentry);
	tree_change_end();
	list_move_tail(&m->child, &at->mnt->children);
	dentry_mark_mounted(old.dentry, -1);
	path_put(&old);
}

static int mount_move(struct path *at, const char *source)
{
	struct path from;

	if (!source || !*source)
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	err = lock_place(at);
	if (err)
		goto out;
	if (from.dentry != from.mnt->root || !from.mnt->parent)
		err = -EINVAL;
	else if (dentry_is_dir(at->dentry) != dentry_is_dir(from.dentry))
		err = -EINVAL;
	else if (mount_is_under(at->mnt, from.mnt))
		err = -ELOOP;
	else
		relocate(from.mnt, at);
	unlock_place();
out:
	path_put(&from);
	return err;
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

static s32 super_writers(const struct super *s)
{
	struct mount *m;
	s32 n = 0;

	list_for_each_entry(m, &all_mounts, list)
		if (m->super == s)
			n += count_writers(m);
	return n;
}

static int mount_remount(struct path *at, u32 flags, const char *data)
{
	struct super *s = at->mnt->super;
	int err = 0;

	if (at->dentry != at->mnt->root)
		return -EINVAL;
	mutex_lock(&namespace_mutex);
	if (flags & MS_RDONLY && !((flags & MS_BIND ? at->mnt->flags : s->flags) & MS_RDONLY) &&
	    (flags & MS_BIND ? count_writers(at->mnt) : super_writers(s)))
		err = -EBUSY;
	if (!err && !(flags & MS_BIND)) {
		err = s->ops->remount ? s->ops->remount(s, flags, data) : 0;
		if (!err)
			s->flags = (s->flags & ~MS_RDONLY) | (flags & MS_RDONLY);
	}
	if (!err)
		at->mnt->flags = (at->mnt->flags & ~MNT_KEEP) | mount_flags(flags);
	unlock_place();
	return err;
}

int do_mount(const char *source, const char *target, const char *fstype, u32 flags, const char *data)
{
	struct path at;

	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~MS_MGC_MSK;
	int err = path_lookup(AT_FDCWD, target, LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	if (!capable(CAP_SYS_ADMIN))
		err = -EPERM;
	else if (flags & MS_REMOUNT)
		err = mount_remount(&at, flags, data);
	else if (flags & MS_BIND)
		err = mount_bind(&at, source, flags);
	else if (flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))
		err = at.dentry == at.mnt->root ? 0 : -EINVAL; /* one namespace: there is nobody to propagate to */
	else if (flags & MS_MOVE)
		err = mount_move(&at, source);
	else
		err = mount_new(&at, source, fstype, flags, data);
	path_put(&at);
	return err;
}

/* ---- umount2(2) ---- */

/* umount of what is our root means: make it read-only (that is what shutdown scripts want). => namespace_mutex */
static int umount_root(struct super *s)
{
	if (s->flags & MS_RDONLY)
		return 0;
	if (super_writers(s))
		return -EBUSY;
	s->flags |= MS_RDONLY;
	return 0;
}

/* => namespace_mutex; one reference on m is the caller's */
static int umount_locked(struct mount *m, int flags)
{
	struct path root;

	if (!m->parent || m->flags & (MNT_INTERNAL | MNT_DETACHED)) {
		if (m != root_mount)
			return -EINVAL;
		return flags & MNT_DETACH ? -EBUSY : umount_root(m->super);
	}
	fs_get_root(current->fs, &root);
	bool is_root = root.mnt == m && root.dentry == m->root;
	path_put(&root);
	if (is_root && !(flags & MNT_DETACH))
		return umount_root(m->super);
	if (!(flags & MNT_DETACH)) {
		tree_change_begin();
		bool busy = count_refs(m) > 2; /* the tree and our caller */
		tree_change_end();
		if (busy)
			return -EBUSY;
		if (flags & MNT_EXPIRE && !(m->flags & MNT_EXPIRING)) {
			m->flags |= MNT_EXPIRING;
			return -EAGAIN;
		}
	}
	detach_tree(m);
	return 0;
}

int do_umount(const char *target, int flags)
{
	struct path at;

	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	int err = path_lookup(AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	if (!capable(CAP_SYS_ADMIN))
		err = -EPERM;
	else if (at.dentry != at.mnt->root || (flags & MNT_EXPIRE && flags & (MNT_FORCE | MNT_DETACH)))
		err = -EINVAL;
	dentry_put(at.dentry); /* it is the mount's root, or we are leaving */
	if (!err) {
		mutex_lock(&namespace_mutex);
		err = umount_locked(at.mnt, flags);
		unlock_place();
	}
	mnt_put(at.mnt);
	return err;
}

/* ---- pivot_root(2) ---- */

static int pivot_checks(const struct path *new, const struct path *old, const struct path *root)
{
	if (new->mnt == root->mnt || old->mnt == root->mnt)
		return -EBUSY;
	if (root->mnt->root != root->dentry || !root->mnt->parent)
		return -EINVAL;
	if (new->mnt->root != new->dentry || !new->mnt->parent)
		return -EINVAL;
	if (dentry_unlinked(new->dentry) || dentry_unlinked(old->dentry))
		return -ENOENT;
	if (!mount_is_under(old->mnt, new->mnt) || !mount_is_under(new->mnt, root->mnt))
		return -EINVAL;
	return 0;
}

int do_pivot_root(const char *new_root, const char *put_old)
{
	struct path new, old, root;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	int err = path_lookup(AT_FDCWD, new_root, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &new);
	if (err)
		return err;
	err = path_lookup(AT_FDCWD, put_old, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &old);
	if (err)
		goto put_new;
	fs_get_root(current->fs, &root);
	err = lock_place(&old);
	if (err)
		goto put_root;
	err = pivot_checks(&new, &old, &root);
	if (!err) {
		struct path top = { root.mnt->parent, root.mnt->mountpoint };
		path_get(&top);
		relocate(root.mnt, &old);
		relocate(new.mnt, &top);
		path_put(&top);
		fs_contexts_move(&root, &new);
	}
	unlock_place();
put_root:
	path_put(&root);
	path_put(&old);
put_new:
	path_put(&new);
	return err;
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

/* ---- text ---- */

static void show_flags(struct seq_buf *b, u32 flags)
{
	static const struct { u32 flag; const char *text; } names[] = {
		{ MS_NOSUID, ",nosuid" }, { MS_NODEV, ",nodev" }, { MS_NOEXEC, ",noexec" }, { MS_NOATIME, ",noatime" },
		{ MS_NODIRATIME, ",nodiratime" }, { MS_RELATIME, ",relatime" }, { MS_NOSYMFOLLOW, ",nosymfollow" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			seq_puts(b, names[i].text);
}

static void show_super_options(struct seq_buf *b, struct super *s)
{
	if (s->ops->show_options)
		s->ops->show_options(s, b);
}

static void show_mount(struct seq_buf *b, struct mount *m, const char *at)
{
	seq_escape(b, m->source, " \t\n\\#");
	seq_putc(b, ' ');
	seq_escape(b, at, " \t\n\\");
	seq_printf(b, " %s %s", m->super->fstype, (m->flags | m->super->flags) & MS_RDONLY ? "ro" : "rw");
	show_flags(b, m->flags);
	show_super_options(b, m->super);
	seq_puts(b, " 0 0\n");
}

static void show_mountinfo(struct seq_buf *b, struct mount *m, const char *at, char *buf)
{
	struct mount loose = { .root = m->super->root, .super = m->super };
	struct path inner = { &loose, m->root }, top = { &loose, m->super->root };
	bool outside;
	char *root = path_name_from(&inner, &top, buf, PATH_MAX, &outside);

	seq_printf(b, "%u %d 0:%u ", m->id, m->parent ? m->parent_id : (s32)m->id, m->super->id);
	seq_escape(b, IS_ERR(root) ? "/" : root, " \t\n\\");
	seq_putc(b, ' ');
	seq_escape(b, at, " \t\n\\");
	seq_puts(b, m->flags & MS_RDONLY ? " ro" : " rw");
	show_flags(b, m->flags);
	seq_printf(b, " - %s ", m->super->fstype);
	seq_escape(b, m->source, " \t\n\\#");
	seq_puts(b, m->super->flags & MS_RDONLY ? " ro" : " rw");
	show_super_options(b, m->super);
	seq_putc(b, '\n');
}

void mounts_show(struct seq_buf *b, int kind, const struct path *root)
{
	char *buf = kmalloc(2 * PATH_MAX, GFP_KERNEL);
	struct mount *m;

	if (!buf)
		return;
	mutex_lock(&namespace_mutex);
	list_for_each_entry(m, &all_mounts, list) {
		bool outside;
		struct path p = { m, m->root };
		char *at = path_name_from(&p, root, buf, PATH_MAX, &outside);
		if (IS_ERR(at) || outside)
			continue;
		if (kind == 1)
			show_mountinfo(b, m, at, buf + PATH_MAX);
		else if (kind == 2)
			seq_printf(b, "device %s mounted on %s with fstype %s\n", m->source, at, m->super->fstype);
		else
			show_mount(b, m, at);
	}
	mutex_unlock(&namespace_mutex);
	kfree(buf);
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
