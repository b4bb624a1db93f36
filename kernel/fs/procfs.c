/*
 * procfs and sysfs trees.
 *
 * Static files are pinned names made at boot (dentry_add_child); their inode->private is the proc_file. Process directories
 * are looked up by number on every walk (never cached past the last user), so a dead process disappears at once; their
 * inodes hold a reference on the struct pid, not on the task. Both file systems have one instance, shown by every mount.
 */
#include <fs/procfs.h>
#include <fs/readdir.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <kernel/printk.h>
#include <proc/impl.h>
#include <proc/task.h>

static struct super *proc_super, *sysfs_super; /* (I) after procfs_init */
static const struct inode_ops static_dir_iops, proc_root_iops;
static const struct file_ops proc_root_fops;

/* Static files ------------------------------------------------------------------------------------------------------------ */

static int static_open(struct inode *i, struct file *f)
{
	const struct proc_file *p = i->private;
	struct text_source src = { p->show, p->write, p->arg };

	return text_open(f, &src);
}

static const struct file_ops static_fops = {
	.open = static_open,
	.read = text_read,
	.write = text_write,
	.llseek = text_llseek,
	.release = text_release,
};

/* Times and sizes cannot be set here; mode and owner may. Truncation (O_TRUNC of a shell's >) is accepted and does nothing. */
static int static_setattr(struct inode *i, struct iattr *a)
{
	a->valid &= ~ATTR_SIZE;
	return a->valid ? generic_setattr(i, a) : 0;
}

static const struct inode_ops static_file_iops = { .setattr = static_setattr };

static struct inode *dir_inode(struct super *s)
{
	struct inode *i = inode_new(s, S_IFDIR | 0555);

	if (i) {
		i->ops = &static_dir_iops;
		i->fops = &dcache_dir_fops;
		i->nlink = 2;
		i->uid = i->gid = 0;
	}
	return i;
}

/* The directory of @path's last component, made as needed; *last is that component. Referenced. */
static struct dentry *walk_parents(struct super *s, const char *path, const char **last)
{
	struct dentry *d = s->root;

	dentry_get(d);
	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		char name[64];
		u32 n = slash - path;

		memcpy(name, path, n);
		name[n] = 0;
		struct dentry *sub = dentry_lookup(d, name, n);
		if (!sub) {
			struct inode *i = dir_inode(s);

			sub = i ? dentry_add_child(d, name, i) : ERR_PTR(-ENOMEM);
			if (IS_ERR(sub))
				panic("%s: no memory for directory %s", s->fstype, path);
			sub->flags |= DENTRY_COMPLETE;
			d->inode->nlink++;
			dentry_get(sub);
		}
		dentry_put(d);
		d = sub;
	}
	*last = path;
	return d;
}

static void add_inode(struct super *s, const char *path, struct inode *i)
{
	const char *last;
	struct dentry *dir = walk_parents(s, path, &last);

	if (!i)
		panic("%s: no memory for %s", s->fstype, path);
	i->uid = i->gid = 0;
	struct dentry *d = dentry_add_child(dir, last, i);
	if (IS_ERR(d) && PTR_ERR(d) != -EEXIST)
		panic("%s: no memory for %s", s->fstype, path);
	dentry_put(dir);
}

static void add_file(struct super *s, const struct proc_file *p)
{
	struct inode *i = inode_new(s, S_IFREG | p->mode);

	if (i) {
		i->private = (void *)p;
		i->ops = &static_file_iops;
		i->fops = p->fops ?: &static_fops;
	}
	add_inode(s, p->path, i);
}

static void add_dir(struct super *s, const char *path)
{
	struct inode *i = dir_inode(s);
	const char *last;
	struct dentry *dir = walk_parents(s, path, &last), *d;

	d = i ? dentry_add_child(dir, last, i) : ERR_PTR(-ENOMEM);
	if (!IS_ERR(d)) {
		d->flags |= DENTRY_COMPLETE;
		dir->inode->nlink++;
	}
	dentry_put(dir);
}

static const char *static_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	(void)jump, (void)buf, (void)n;
	return i->private;
}
static const struct inode_ops static_link_iops = { .get_link = static_link };

static void add_link(struct super *s, const char *path, const struct inode_ops *ops, const char *target)
{
	struct inode *i = inode_new(s, S_IFLNK | 0777);

	if (i) {
		i->ops = ops;
		i->private = (void *)target;
	}
	add_inode(s, path, i);
}

void proc_add(const struct proc_file *f) { add_file(proc_super, f); }
void sysfs_add(const struct proc_file *f) { add_file(sysfs_super, f); }
void sysfs_mkdir(const char *path) { add_dir(sysfs_super, path); }
void proc_symlink(const char *path, const char *target) { add_link(proc_super, path, &static_link_iops, target); }
void proc_add_table(const struct proc_file *f, u32 n)
{
	while (n--)
		proc_add(f++);
}
void sysfs_add_table(const struct proc_file *f, u32 n)
{
	while (n--)
		sysfs_add(f++);
}

/* Process directories -------------------------------------------------------------------------------------------------------- */

u64 proc_ino(struct pid *p, u32 what)
{
	return ((u64)p->nr << 24) + 0x100000000ull + what;
}

struct task *proc_node_task(struct inode *i)
{
	struct proc_node *n = i->private;
	struct task *t;

	rcu_read_lock();
	t = pid_task(n->pid, PIDK_PID);
	if (t)
		task_get(t);
	rcu_read_unlock();
	return t;
}

bool proc_may_look(struct task *t)
{
	const struct cred *me = current_cred(), *c;
	bool ok;

	if (same_thread_group(t, current))
		return true;
	rcu_read_lock();
	c = rcu_dereference(t->cred);
	ok = me->fsuid == c->uid && me->fsuid == c->euid && me->fsuid == c->suid && me->fsgid == c->gid && me->fsgid == c->egid &&
	     me->fsgid == c->sgid && t->dumpable == 1;
	rcu_read_unlock();
	return ok || capable(CAP_SYS_PTRACE);
}

/*
 * The process's effective ids; root's where it may not be dumped, save for the directories that anybody may read (proc(5)). They
 * change with the process, so each look at a name sets them again.
 */
static void node_owner(struct inode *i, struct task *t)
{
	bool hidden = t->dumpable != 1 && t->thread.mm && i->mode != (S_IFDIR | 0555);

	rcu_read_lock();
	const struct cred *c = rcu_dereference(t->cred);
	WRITE_ONCE(i->uid, hidden ? 0 : c->euid);
	WRITE_ONCE(i->gid, hidden ? 0 : c->egid);
	rcu_read_unlock();
}

static const struct file_ops pid_text_fops;
static const struct inode_ops pid_file_iops, pid_link_iops;

struct inode *proc_pid_inode(struct super *s, struct pid *p, const struct pid_entry *e, bool thread, s32 fd, u32 mode)
{
	struct inode *i = inode_new(s, mode);
	struct proc_node *n = i ? kzalloc(sizeof(*n), GFP_KERNEL) : NULL;

	if (!n) {
		if (i)
			inode_put(i);
		return NULL;
	}
	*n = (struct proc_node){ .pid = pid_get(p), .entry = e, .thread = thread, .fd = fd };
	i->private = n;
	i->ino = proc_ino(p, fd >= 0 ? 0x10000 + (u32)fd : e ? (u32)(e - pid_entries) + 1 : 0);
	i->nlink = S_ISDIR(mode) ? 2 : 1;
	i->ops = S_ISLNK(mode) ? &pid_link_iops : &pid_file_iops;
	if (e && e->iops)
		i->ops = e->iops;
	i->fops = e && e->fops ? e->fops : &pid_text_fops;
	rcu_read_lock();
	struct task *t = pid_task(p, PIDK_PID);
	if (t)
		node_owner(i, t);
	rcu_read_unlock();
	return i;
}

static void node_free(struct inode *i)
{
	struct proc_node *n = i->private;

	if (!n)
		return;
	pid_put(n->pid);
	kfree(n);
}

/* Only dynamic inodes ever lose their last reference: static ones are pinned by their names. */
static void proc_evict(struct inode *i)
{
	node_free(i);
	i->private = NULL;
}

/* A name is right while its process lives (and, for directories of threads, is a member). */
static bool proc_revalidate(struct dentry *d)
{
	struct inode *i = READ_ONCE(d->inode);
	struct proc_node *n = i ? i->private : NULL;
	struct task *t = n ? pid_task(n->pid, PIDK_PID) : NULL;

	if (t)
		node_owner(i, t);
	return t;
}

static const struct super_ops proc_super_ops = { .evict_inode = proc_evict, .revalidate = proc_revalidate };
static const struct super_ops sysfs_super_ops;

void proc_dynamic_dentry(struct dentry *d, struct inode *i)
{
	d->flags |= DENTRY_NOCACHE | DENTRY_REVALIDATE;
	dentry_add(d, i);
}

static bool parse_nr(const struct qstr *q, s32 *nr)
{
	u64 v = 0;

	if (!q->len || q->len > 9 || (q->name[0] == '0' && q->len > 1))
		return false;
	for (u32 i = 0; i < q->len; i++) {
		if (q->name[i] < '0' || q->name[i] > '9')
			return false;
		v = v * 10 + (q->name[i] - '0');
	}
	*nr = v;
	return true;
}

struct dentry *proc_lookup_pid(struct inode *dir, struct dentry *d, bool thread)
{
	struct pid *p = NULL;
	s32 nr;

	if (!parse_nr(&d->name, &nr))
		return ERR_PTR(-ENOENT);
	rcu_read_lock();
	struct task *t = task_find(nr), *owner = NULL;
	if (t && thread) {
		owner = pid_task(((struct proc_node *)dir->private)->pid, PIDK_PID);
		if (!owner || !same_thread_group(t, owner))
			t = NULL;
	}
	if (t && t->pids[PIDK_PID])
		p = pid_get(t->pids[PIDK_PID]);
	rcu_read_unlock();
	if (!p)
		return ERR_PTR(-ENOENT);
	struct inode *i = proc_pid_inode(dir->super, p, NULL, thread, -1, S_IFDIR | 0555);
	pid_put(p);
	if (!i)
		return ERR_PTR(-ENOMEM);
	i->ops = &pid_dir_iops;
	i->fops = &pid_dir_fops;
	proc_dynamic_dentry(d, i);
	return NULL;
}

static struct dentry *proc_root_lookup(struct inode *dir, struct dentry *d)
{
	return proc_lookup_pid(dir, d, false);
}
static const struct inode_ops proc_root_iops = { .lookup = proc_root_lookup };
static const struct inode_ops static_dir_iops;

static bool has_entry(const struct proc_node *n, const struct pid_entry *e)
{
	return !(n->thread ? e->process_only : e->thread_only);
}

static struct dentry *pid_dir_lookup(struct inode *dir, struct dentry *d)
{
	struct proc_node *n = dir->private;

	for (u32 k = 0; k < nr_pid_entries; k++) {
		const struct pid_entry *e = &pid_entries[k];

		if (strlen(e->name) != d->name.len || memcmp(e->name, d->name.name, d->name.len) || !has_entry(n, e))
			continue;
		struct inode *i = proc_pid_inode(dir->super, n->pid, e, n->thread, -1, e->mode);
		if (!i)
			return ERR_PTR(-ENOMEM);
		proc_dynamic_dentry(d, i);
		return NULL;
	}
	return ERR_PTR(-ENOENT);
}
const struct inode_ops pid_dir_iops = { .lookup = pid_dir_lookup };

static int pid_dir_iterate(struct file *f, struct dir_sink *s)
{
	struct proc_node *n = f->inode->private;

	if (!proc_emit_dots(f, s))
		return 0;
	while (f->pos - 2 < nr_pid_entries) {
		const struct pid_entry *e = &pid_entries[f->pos - 2];

		if (has_entry(n, e) &&
		    !dir_emit(s, e->name, strlen(e->name), proc_ino(n->pid, (u32)(e - pid_entries) + 1), (e->mode & S_IFMT) >> 12, f->pos + 1))
			return 0;
		f->pos++;
	}
	return 0;
}
const struct file_ops pid_dir_fops = { .iterate = pid_dir_iterate, .llseek = text_llseek };

/* The root directory: its static names first, then the processes in order of number. */
#define ROOT_STATIC 1000
static int root_static(struct file *f, struct dir_sink *s)
{
	struct dentry *d = NULL;
	loff_t at = 2;

	while ((d = pinned_child_after(f->path.dentry, d))) {
		if (at++ < f->pos)
			continue;
		if (!dir_emit(s, d->name.name, d->name.len, d->inode->ino, (d->inode->mode & S_IFMT) >> 12, at))
			return 1;
		f->pos = at;
	}
	return 0;
}

static pid_t next_process(pid_t from)
{
	rcu_read_lock();
	bool found = process_next(&from);
	rcu_read_unlock();
	return found ? from - 1 : 0;
}

static int proc_root_iterate(struct file *f, struct dir_sink *s)
{
	if (f->pos == 0) {
		if (!dir_emit(s, ".", 1, f->inode->ino, DT_DIR, 1))
			return 0;
		f->pos = 1;
	}
	if (f->pos == 1) {
		if (!dir_emit(s, "..", 2, f->inode->ino, DT_DIR, 2))
			return 0;
		f->pos = 2;
	}
	if (f->pos < ROOT_STATIC) {
		if (root_static(f, s))
			return 0;
		f->pos = ROOT_STATIC + 1;
	}
	for (pid_t nr; (nr = next_process(f->pos - ROOT_STATIC)); f->pos = ROOT_STATIC + nr + 1) {
		char name[16];
		int n = snprintf(name, sizeof(name), "%d", nr);

		if (!dir_emit(s, name, n, ((u64)nr << 24) + 0x100000000ull, DT_DIR, ROOT_STATIC + nr + 1))
			return 0;
	}
	return 0;
}
static const struct file_ops proc_root_fops = { .iterate = proc_root_iterate, .llseek = text_llseek };

/* Text files of a process -------------------------------------------------------------------------------------------------------- */

static void pid_show(struct seq_buf *s, void *arg)
{
	struct inode *i = arg;
	struct task *t = proc_node_task(i);

	if (!t)
		return;
	((struct proc_node *)i->private)->entry->show(s, t);
	task_put(t);
}

static int pid_write(const char *text, u64 n, void *arg)
{
	struct inode *i = arg;
	struct task *t = proc_node_task(i);

	if (!t)
		return -ESRCH;
	int r = ((struct proc_node *)i->private)->entry->write(t, text, n);
	task_put(t);
	return r;
}

static int pid_open(struct inode *i, struct file *f)
{
	const struct pid_entry *e = ((struct proc_node *)i->private)->entry;
	struct text_source src = { e->show ? pid_show : NULL, e->write ? pid_write : NULL, i };
	struct task *t = proc_node_task(i);

	if (!t)
		return -ESRCH;
	bool ok = !e->guarded || proc_may_look(t);
	task_put(t);
	return ok ? text_open(f, &src) : -EACCES;
}

static const struct file_ops pid_text_fops = {
	.open = pid_open,
	.read = text_read,
	.write = text_write,
	.llseek = text_llseek,
	.release = text_release,
};
static const struct inode_ops pid_file_iops = { .setattr = static_setattr };

static const char *pid_get_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	(void)buf, (void)n;
	struct task *t = proc_node_task(i);

	if (!t)
		return ERR_PTR(-ENOENT);
	int r = proc_may_look(t) ? ((struct proc_node *)i->private)->entry->link(t, jump) : -EACCES;
	task_put(t);
	return r ? ERR_PTR(r) : NULL;
}
static const struct inode_ops pid_link_iops = { .get_link = pid_get_link };

/* self and thread-self */
static const char *self_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	(void)jump;
	if (i->private)
		snprintf(buf, n, "%d/task/%d", current->tgid, current->pid);
	else
		snprintf(buf, n, "%d", current->tgid);
	return buf;
}
static const struct inode_ops self_iops = { .get_link = self_link };

/* Mounting ------------------------------------------------------------------------------------------------------------------------ */

static struct super *share(struct super *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}
static struct super *proc_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)t, (void)source, (void)flags, (void)data;
	return share(proc_super);
}
static struct super *sysfs_mount(struct fs_type *t, const char *source, u32 flags, const char *data)
{
	(void)t, (void)source, (void)flags, (void)data;
	return share(sysfs_super);
}
static struct fs_type proc_type = { .name = "proc", .mount = proc_mount };
static struct fs_type sysfs_type = { .name = "sysfs", .mount = sysfs_mount };

static struct super *make_super(const char *name, const struct super_ops *ops, u64 magic)
{
	struct super *s = super_alloc(name, ops, magic);
	struct inode *root = s ? dir_inode(s) : NULL;

	if (!root || super_make_root(s, root))
		panic("%s: no memory for the root", name);
	s->noexec = true;
	return s;
}

void procfs_init(void)
{
	proc_super = make_super("proc", &proc_super_ops, 0x9fa0);
	proc_super->root->inode->ops = &proc_root_iops;
	proc_super->root->inode->fops = &proc_root_fops;
	sysfs_super = make_super("sysfs", &sysfs_super_ops, 0x62656572);
	sysfs_super->root->flags |= DENTRY_COMPLETE;
	add_link(proc_super, "self", &self_iops, NULL);
	add_link(proc_super, "thread-self", &self_iops, "t");
	proc_symlink("mounts", "self/mounts");
	proc_system_init();
	proc_sysctl_init();
	sysfs_tree_init();
	fs_register(&proc_type);
	fs_register(&sysfs_type);
}
