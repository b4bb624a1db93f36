/*
 * The files of a process directory (proc(5)): links, descriptors, threads, and the small texts. stat and status are in proc_stat.c,
 * what shows its memory in proc_mem.c, what a thread is doing in proc_wait.c.
 *
 * Another task's memory and files are reached through task_mm_get and task_files_get, which give a reference or NULL when the
 * task has already given them up.
 */
#include <fs/fdtable.h>
#include <fs/procfs.h>
#include <lib/parse.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/failinject.h>
#include <proc/impl.h>
#include <proc/oom.h>
#include <proc/task.h>
#include <x86/uaccess.h>

/* Links -------------------------------------------------------------------------------------------------------------------- */

static struct fs_context *task_fs_get(struct task *t)
{
	struct fs_context *c;

	spin_lock(&t->alloc_lock);
	c = t->fs ? fs_share(t->fs) : NULL;
	spin_unlock(&t->alloc_lock);
	return c;
}

static int link_cwd(struct task *t, struct path *out)
{
	struct fs_context *c = task_fs_get(t);

	if (!c)
		return -ENOENT;
	fs_get_cwd(c, out);
	fs_put(c);
	return 0;
}

static int link_root(struct task *t, struct path *out)
{
	struct fs_context *c = task_fs_get(t);

	if (!c)
		return -ENOENT;
	fs_get_root(c, out);
	fs_put(c);
	return 0;
}

static int link_exe(struct task *t, struct path *out)
{
	struct mm *mm = task_mm_get(t);
	int r = -ENOENT;

	if (!mm)
		return r;
	down_read(&mm->lock);
	if (mm->exe_file) {
		*out = mm->exe_file->path;
		path_get(out);
		r = 0;
	}
	up_read(&mm->lock);
	mm_put(mm);
	return r;
}

/* fd and fdinfo -------------------------------------------------------------------------------------------------------------- */

static const char *fd_get_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	(void)buf, (void)n;
	struct task *t = proc_node_task(i);
	struct file *f = NULL;
	bool ok = t && proc_may_look(t);

	if (ok)
		f = fget_task(t, ((struct proc_node *)i->private)->fd);
	if (t)
		task_put(t);
	if (!f)
		return ERR_PTR(t && !ok ? -EACCES : -ENOENT);
	*jump = f->path;
	path_get(jump);
	file_put(f);
	return NULL;
}
const struct inode_ops fd_link_iops = { .get_link = fd_get_link };

static void fdinfo_show(struct seq_buf *s, void *arg)
{
	struct inode *i = arg;
	struct task *t = proc_node_task(i);
	struct file *f = t ? fget_task(t, ((struct proc_node *)i->private)->fd) : NULL;

	if (f) {
		seq_printf(s, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", (long long)f->pos, f->flags, f->path.mnt->id,
			   (unsigned long long)f->inode->ino);
		if (f->ops->show_fdinfo)
			f->ops->show_fdinfo(f, s);
		file_put(f);
	}
	if (t)
		task_put(t);
}

static int fdinfo_open(struct inode *i, struct file *f)
{
	struct text_source src = { fdinfo_show, NULL, i };
	struct task *t = proc_node_task(i);
	bool ok = t && proc_may_look(t);

	if (t)
		task_put(t);
	return !t ? -ENOENT : ok ? text_open(f, &src) : -EACCES;
}
static const struct file_ops fdinfo_fops = { .open = fdinfo_open, .read = text_read, .llseek = text_llseek, .release = text_release };

static struct dentry *fd_lookup(struct inode *dir, struct dentry *d, bool info)
{
	struct proc_node *n = dir->private;
	struct task *t = proc_node_task(dir);
	struct file *f = NULL;
	u64 fd = 0;
	bool ok = d->name.len > 0 && d->name.len < 8;

	for (u32 k = 0; k < d->name.len && ok; k++) {
		ok = d->name.name[k] >= '0' && d->name.name[k] <= '9';
		fd = fd * 10 + (d->name.name[k] - '0');
	}
	if (t && ok)
		f = fget_task(t, fd);
	if (t)
		task_put(t);
	if (!f)
		return ERR_PTR(-ENOENT);
	u32 mode = info ? S_IFREG | 0444 : S_IFLNK | 0100 | (f->fmode & FMODE_READ ? 0400 : 0) | (f->fmode & FMODE_WRITE ? 0200 : 0);
	file_put(f);
	struct inode *i = proc_pid_inode(dir->super, n->pid, n->entry, n->thread, fd, mode);
	if (!i)
		return ERR_PTR(-ENOMEM);
	i->ops = info ? NULL : &fd_link_iops;
	static const struct inode_ops none;
	if (info) {
		i->ops = &none;
		i->fops = &fdinfo_fops;
	}
	proc_dynamic_dentry(d, i);
	return NULL;
}
static struct dentry *fd_dir_lookup(struct inode *dir, struct dentry *d) { return fd_lookup(dir, d, false); }
static struct dentry *fdinfo_dir_lookup(struct inode *dir, struct dentry *d) { return fd_lookup(dir, d, true); }

/* Only the owner may look in there, whatever the mode says for others. */
int proc_look_permission(struct inode *i, int mask)
{
	struct task *t = proc_node_task(i);

	if (!t)
		return -ESRCH;
	bool own = same_thread_group(t, current), look = own || proc_may_look(t);
	task_put(t);
	return !look ? -EACCES : mask & MAY_WRITE ? -EACCES : 0;
}
const struct inode_ops fd_dir_iops = { .lookup = fd_dir_lookup, .permission = proc_look_permission };
const struct inode_ops fdinfo_dir_iops = { .lookup = fdinfo_dir_lookup, .permission = proc_look_permission };

bool proc_emit_dots(struct file *f, struct dir_sink *s)
{
	if (f->pos == 0) {
		if (!dir_emit(s, ".", 1, f->inode->ino, DT_DIR, 1))
			return false;
		f->pos = 1;
	}
	if (f->pos == 1) {
		if (!dir_emit(s, "..", 2, f->inode->ino & ~0xffffffull, DT_DIR, 2))
			return false;
		f->pos = 2;
	}
	return true;
}

static int fd_iterate(struct file *f, struct dir_sink *s)
{
	struct proc_node *n = f->inode->private;
	struct task *t = proc_node_task(f->inode);

	if (!t)
		return -ENOENT;
	struct files *fl = task_files_get(t);
	u32 type = f->inode->ops == &fd_dir_iops ? DT_LNK : DT_REG;

	if (proc_emit_dots(f, s) && fl)
		for (u32 fd; (fd = files_next_open(fl, f->pos - 2)) != ~0u; f->pos = fd + 3) {
			char name[16];
			int len = snprintf(name, sizeof(name), "%u", fd);

			if (!dir_emit(s, name, len, proc_ino(n->pid, 0x10000 + fd), type, fd + 3))
				break;
		}
	if (fl)
		files_put(fl);
	task_put(t);
	return 0;
}
const struct file_ops fd_dir_fops = { .iterate = fd_iterate, .llseek = text_llseek };
const struct file_ops fdinfo_dir_fops = { .iterate = fd_iterate, .llseek = text_llseek };

/* task/ ------------------------------------------------------------------------------------------------------------------------ */

static struct dentry *task_dir_lookup(struct inode *dir, struct dentry *d)
{
	return proc_lookup_pid(dir, d, true);
}
const struct inode_ops task_dir_iops = { .lookup = task_dir_lookup };

static pid_t next_thread(struct task *of, pid_t from)
{
	struct task *t;
	pid_t best = 0;

	tasklist_read_lock();
	for_each_thread(t, of)
		if (t->pid >= from && (!best || t->pid < best))
			best = t->pid;
	tasklist_read_unlock();
	return best;
}

static int task_iterate(struct file *f, struct dir_sink *s)
{
	struct task *t = proc_node_task(f->inode);

	if (!t)
		return -ENOENT;
	if (proc_emit_dots(f, s))
		for (pid_t nr; (nr = next_thread(t, f->pos - 2)); f->pos = nr + 3) {
			char name[16];
			int len = snprintf(name, sizeof(name), "%d", nr);

			if (!dir_emit(s, name, len, ((u64)nr << 24) + 0x100000001ull, DT_DIR, nr + 3))
				break;
		}
	task_put(t);
	return 0;
}
const struct file_ops task_dir_fops = { .iterate = task_iterate, .llseek = text_llseek };

/* Texts ------------------------------------------------------------------------------------------------------------------------ */

static void comm_show(struct seq_buf *s, struct task *t)
{
	seq_printf(s, "%s\n", t->thread.comm);
}
static int comm_write(struct task *t, const char *text, u64 n)
{
	char name[16] = "";

	if (!same_thread_group(t, current))
		return -EINVAL;
	memcpy(name, text, min_t(u64, n, 15));
	for (char *c = name; *c; c++)
		if (*c == '\n')
			*c = 0;
	task_set_comm(t, name);
	return 0;
}

static const struct { const char *name, *unit; } limit_names[RLIM_NLIMITS] = {
	{ "Max cpu time", "seconds" }, { "Max file size", "bytes" }, { "Max data size", "bytes" }, { "Max stack size", "bytes" },
	{ "Max core file size", "bytes" }, { "Max resident set", "bytes" }, { "Max processes", "processes" },
	{ "Max open files", "files" }, { "Max locked memory", "bytes" }, { "Max address space", "bytes" },
	{ "Max file locks", "locks" }, { "Max pending signals", "signals" }, { "Max msgqueue size", "bytes" },
	{ "Max nice priority", "" }, { "Max realtime priority", "" }, { "Max realtime timeout", "us" },
};

static void limit_value(struct seq_buf *s, u64 v)
{
	if (v == RLIM_INFINITY)
		seq_printf(s, "%-20s ", "unlimited");
	else
		seq_printf(s, "%-20llu ", (unsigned long long)v);
}

static void limits_show(struct seq_buf *s, struct task *t)
{
	seq_printf(s, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		seq_printf(s, "%-25s ", limit_names[i].name);
		limit_value(s, t->signal->rlim[i].rlim_cur);
		limit_value(s, t->signal->rlim[i].rlim_max);
		seq_printf(s, limit_names[i].unit[0] ? "%-10s\n" : "\n", limit_names[i].unit);
	}
}

static void io_show(struct seq_buf *s, struct task *t)
{
	static const char *const names[6] = { "rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes" };

	for (int i = 0; i < 6; i++)
		seq_printf(s, "%s: %llu\n", names[i], (unsigned long long)t->ioac[i]);
	seq_printf(s, "cancelled_write_bytes: 0\n");
}

static void oom_score_show(struct seq_buf *s, struct task *t) { seq_printf(s, "%ld\n", oom_score(t)); }

static void oom_adj_show(struct seq_buf *s, struct task *t) { seq_printf(s, "%d\n", t->signal->oom_score_adj); }
static int oom_adj_write(struct task *t, const char *text, u64 n)
{
	bool neg = n && *text == '-';
	s64 v = 0;

	for (const char *c = text + neg; *c >= '0' && *c <= '9' && v <= 1000; c++)
		v = v * 10 + *c - '0';
	v = neg ? -v : v;
	if (v < -1000 || v > 1000)
		return -EINVAL;
	if (v < t->signal->oom_score_adj && !capable(CAP_SYS_RESOURCE))
		return -EACCES;
	t->signal->oom_score_adj = v;
	return 0;
}

static void mounts_text(struct seq_buf *s, struct task *t, int kind)
{
	struct path root;

	if (link_root(t, &root))
		return;
	mounts_show(s, kind, &root);
	path_put(&root);
}
static void mounts_kind0(struct seq_buf *s, struct task *t) { mounts_text(s, t, 0); }
static void mounts_kind1(struct seq_buf *s, struct task *t) { mounts_text(s, t, 1); }
static void mounts_kind2(struct seq_buf *s, struct task *t) { mounts_text(s, t, 2); }

static void schedstat_show(struct seq_buf *s, struct task *t)
{
	seq_printf(s, "%llu 0 %llu\n", (unsigned long long)sched_runtime_ns(&t->thread),
		   (unsigned long long)(t->thread.nvcsw + t->thread.nivcsw));
}
static void personality_show(struct seq_buf *s, struct task *t) { seq_printf(s, "%08x\n", t->personality); }
static void cgroup_show(struct seq_buf *s, struct task *t) { (void)t; seq_puts(s, "0::/\n"); }
static void cpuset_show(struct seq_buf *s, struct task *t) { (void)t; seq_puts(s, "/\n"); }
static void id_map_show(struct seq_buf *s, struct task *t) { (void)t; seq_printf(s, "%10u %10u %10u\n", 0u, 0u, 4294967295u); }
static void setgroups_show(struct seq_buf *s, struct task *t) { (void)t; seq_puts(s, "allow\n"); }
static void loginuid_show(struct seq_buf *s, struct task *t) { (void)t; seq_puts(s, "4294967295"); }
static void slack_show(struct seq_buf *s, struct task *t) { seq_printf(s, "%llu\n", (unsigned long long)t->timer_slack_ns); }
static void coredump_filter_show(struct seq_buf *s, struct task *t)
{
	if (!(t->flags & PF_KTHREAD))
		seq_printf(s, "%08x\n", t->signal->coredump_filter);
}
static int coredump_filter_write(struct task *t, const char *text, u64 n)
{
	u32 v;
	int err = kstrtouint(text, 0, &v);

	(void)n;
	if (!err)
		t->signal->coredump_filter = v & 0x1ff;
	return err;
}

/* Which allocation of the thread, counted from now, will fail: for tests of error paths. Linux has it as well. */
static void fail_nth_show(struct seq_buf *s, struct task *t)
{
	(void)t;
	seq_printf(s, "%llu\n", (unsigned long long)fail_nth_left());
}
static int fail_nth_write(struct task *t, const char *text, u64 n)
{
	const char *end;
	u64 v = parse_u64(text, &end, 10), count = 1;

	(void)n;
	if (end == text)
		return -EINVAL;
	if (*end == ' ')
		count = parse_u64(end + 1, &end, 10);
	fail_nth_arm_many(&t->thread, v, count, 0);
	return 0;
}

/* A thread whose allocations fail at random, when /proc/sys/vm/fail_rate says how often. Linux has it as well. */
static void make_it_fail_show(struct seq_buf *s, struct task *t)
{
	seq_printf(s, "%d\n", t->make_it_fail);
}
static int make_it_fail_write(struct task *t, const char *text, u64 n)
{
	u32 v;
	int err = kstrtouint(text, 0, &v);

	(void)n;
	if (!err && v > 1)
		err = -EINVAL;
	if (!err)
		WRITE_ONCE(t->make_it_fail, v);
	return err;
}

#define REG(n, m, f, ...) { .name = n, .mode = S_IFREG | (m), .show = f, ##__VA_ARGS__ }
#define LNK(n, f) { .name = n, .mode = S_IFLNK | 0777, .link = f, .guarded = true }
#define DIR(n, m, i, f, ...) { .name = n, .mode = S_IFDIR | (m), .iops = &i, .fops = &f, ##__VA_ARGS__ }
const struct pid_entry pid_entries[] = {
	DIR("task", 0555, task_dir_iops, task_dir_fops, .process_only = true),
	DIR("fd", 0500, fd_dir_iops, fd_dir_fops),
	DIR("fdinfo", 0555, fdinfo_dir_iops, fdinfo_dir_fops),
	REG("environ", 0400, environ_show, .guarded = true),
	REG("auxv", 0400, auxv_show, .guarded = true),
	REG("status", 0444, pid_status_show),
	REG("personality", 0400, personality_show, .guarded = true),
	REG("limits", 0444, limits_show),
	REG("comm", 0644, comm_show, .write = comm_write),
	REG("cmdline", 0444, cmdline_show),
	REG("stat", 0444, pid_stat_show),
	REG("statm", 0444, statm_show),
	REG("maps", 0444, maps_show, .guarded = true),
	REG("numa_maps", 0444, numa_maps_show, .guarded = true),
	REG("mem", 0600, NULL, .fops = &mem_fops),
	LNK("cwd", link_cwd),
	LNK("root", link_root),
	LNK("exe", link_exe),
	REG("mounts", 0444, mounts_kind0),
	REG("mountinfo", 0444, mounts_kind1),
	REG("mountstats", 0400, mounts_kind2),
	REG("clear_refs", 0200, NULL, .write = clear_refs_write, .guarded = true),
	REG("pagetables", 0444, pagetables_show, .guarded = true),
	REG("smaps", 0444, smaps_show, .guarded = true),
	REG("smaps_rollup", 0444, rollup_show, .guarded = true),
	REG("pagemap", 0400, NULL, .fops = &pagemap_fops),
	REG("wchan", 0444, wchan_show),
	REG("syscall", 0400, syscall_show, .guarded = true),
	REG("stack", 0400, stack_show, .guarded = true),
	REG("children", 0444, children_show, .thread_only = true),
	REG("sessionid", 0444, loginuid_show),
	REG("projid_map", 0444, id_map_show),
	REG("cpuset", 0444, cpuset_show),
	DIR("map_files", 0500, map_files_iops, map_files_fops, .process_only = true),
	DIR("ns", 0511, ns_dir_iops, ns_dir_fops),
	REG("schedstat", 0444, schedstat_show),
	REG("cgroup", 0444, cgroup_show),
	REG("oom_score", 0444, oom_score_show),
	REG("oom_score_adj", 0644, oom_adj_show, .write = oom_adj_write),
	REG("loginuid", 0644, loginuid_show),
	REG("io", 0400, io_show, .guarded = true),
	REG("uid_map", 0444, id_map_show),
	REG("gid_map", 0444, id_map_show),
	REG("setgroups", 0444, setgroups_show),
	REG("timerslack_ns", 0644, slack_show),
	REG("make-it-fail", 0600, make_it_fail_show, .write = make_it_fail_write),
	REG("fail-nth", 0600, fail_nth_show, .write = fail_nth_write),
	REG("coredump_filter", 0644, coredump_filter_show, .write = coredump_filter_write),
};
const u32 nr_pid_entries = ARRAY_SIZE(pid_entries);
