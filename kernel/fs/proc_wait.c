/*
 * What a thread is waiting for, and whose it is (proc(5)): syscall, stack, wchan, children, ns.
 *
 * A waiting thread is looked at without stopping it: it may wake and run meanwhile, and its stack with it. What is read then is
 * old or mixed, never outside of its stack; a thread found running has nothing to show.
 *
 * There is one namespace of each kind. Its file has the number that Linux gives its first one, so that programs which compare
 * them find all processes in the same.
 */
#include <fs/procfs.h>
#include <fs/pseudo.h>
#include <fs/readdir.h>
#include <kernel/printk.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <proc/impl.h>
#include <proc/task.h>
#include <x86/ptregs.h>
#include <x86/uaccess.h>

static bool waiting(const struct task *t)
{
	return t != current && READ_ONCE(t->thread.state) != TASK_RUNNING && !READ_ONCE(t->thread.on_cpu);
}

void syscall_show(struct seq_buf *s, struct task *t)
{
	const struct pt_regs *r = arch_user_regs(&t->thread.arch);

	if (t != current && !waiting(t)) {
		seq_puts(s, "running\n");
		return;
	}
	if (t->flags & PF_KTHREAD) {
		seq_puts(s, "-1 0x0 0x0\n");
		return;
	}
	if ((s64)r->orig_rax >= 0)
		seq_printf(s, "%lld 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx\n", (s64)r->orig_rax, r->rdi, r->rsi, r->rdx,
			   r->r10, r->r8, r->r9, r->rsp, r->rip);
	else
		seq_printf(s, "-1 0x%llx 0x%llx\n", r->rsp, r->rip);
}

/* Where it waits, the innermost first. */
static u32 waiting_at(struct task *t, u64 *ips, u32 max)
{
	const struct thread *th = &t->thread;

	return waiting(t) ? backtrace_waiting((u64)th->kstack, th->arch.kstack_top, READ_ONCE(th->arch.ksp), ips, max) : 0;
}

void stack_show(struct seq_buf *s, struct task *t)
{
	u64 ips[32];
	char name[128];

	if (!capable(CAP_SYS_ADMIN))
		return; /* where the kernel's functions are */
	u32 n = waiting_at(t, ips, ARRAY_SIZE(ips));
	for (u32 i = 0; i < n; i++)
		if (ksym_format(name, sizeof(name), ips[i]))
			seq_printf(s, "[<0>] %s\n", name);
}

/* Functions that only put a thread to sleep say nothing of why. */
static bool only_sleeps(const char *name)
{
	static const char *const prefixes[] = { "schedule", "sched_", "__schedule", "switch", "wait_", "prepare_", "mutex_lock", "down_", "do_nanosleep" };

	for (u32 i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

void wchan_show(struct seq_buf *s, struct task *t)
{
	u64 ips[16];
	char name[128];
	u32 n = proc_may_look(t) ? waiting_at(t, ips, ARRAY_SIZE(ips)) : 0;

	for (u32 i = 0; i < n; i++) {
		if (!ksym_format(name, sizeof(name), ips[i]) || only_sleeps(name))
			continue;
		*strchrnul(name, '+') = 0;
		seq_puts(s, name);
		return;
	}
	seq_puts(s, "0");
}

void children_show(struct seq_buf *s, struct task *t)
{
	struct task *c;

	tasklist_read_lock();
	list_for_each_entry(c, &t->children, sibling)
		seq_printf(s, "%d ", c->tgid);
	tasklist_read_unlock();
}

/* ns ------------------------------------------------------------------------------------------------------------------------ */

static const struct { const char *name, *kind; u32 nr; } ns_names[] = {
	{ "cgroup", "cgroup", 0xeffffffb }, { "ipc", "ipc", 0xefffffff }, { "mnt", "mnt", 0xf0000000 }, { "net", "net", 0xf0000098 },
	{ "pid", "pid", 0xeffffffc }, { "pid_for_children", "pid", 0xeffffffc }, { "time", "time", 0xeffffffa },
	{ "time_for_children", "time", 0xeffffffa }, { "user", "user", 0xeffffffd }, { "uts", "uts", 0xeffffffe },
};
static struct pseudo_fs nsfs = PSEUDO_FS("nsfs", 0x6e736673);

/* ioctl_ns(2). The owner and the parent of the first namespace are out of anyone's sight (EPERM). */
#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704
static long ns_ioctl(struct file *f, u32 cmd, u64 arg)
{
	static const struct { u32 nr, type; } types[] = {
		{ 0xeffffffb, CLONE_NEWCGROUP }, { 0xefffffff, CLONE_NEWIPC }, { 0xf0000000, CLONE_NEWNS }, { 0xf0000098, CLONE_NEWNET },
		{ 0xeffffffc, CLONE_NEWPID }, { 0xeffffffa, CLONE_NEWTIME }, { 0xeffffffd, CLONE_NEWUSER }, { 0xeffffffe, CLONE_NEWUTS },
	};
	u32 k = 0;

	while (types[k].nr != f->inode->ino)
		k++;
	switch (cmd) {
	case NS_GET_USERNS:
		return -EPERM;
	case NS_GET_PARENT:
		return types[k].type & (CLONE_NEWPID | CLONE_NEWUSER) ? -EPERM : -EINVAL;
	case NS_GET_NSTYPE:
		return types[k].type;
	case NS_GET_OWNER_UID:
		return types[k].type == CLONE_NEWUSER ? put_user(0u, (u32 __user *)arg) : -EINVAL;
	}
	return -ENOTTY;
}
static const struct file_ops ns_file_ops = { .ioctl = ns_ioctl };

static const char *ns_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	u32 k = ((struct proc_node *)i->private)->start;
	struct task *t = proc_node_task(i);
	bool ok = t && proc_may_look(t);

	(void)buf, (void)n;
	if (t)
		task_put(t);
	if (!ok)
		return ERR_PTR(t ? -EACCES : -ENOENT);
	struct file *f = pseudo_file_as(&nsfs, ns_names[k].kind, ns_names[k].nr, S_IFREG | 0444, &ns_file_ops);
	if (IS_ERR(f))
		return ERR_CAST(f);
	*jump = f->path;
	path_get(jump);
	file_put(f);
	return NULL;
}
static const struct inode_ops ns_link_iops = { .get_link = ns_link };

static struct dentry *ns_lookup(struct inode *dir, struct dentry *d)
{
	struct proc_node *n = dir->private;

	for (u32 k = 0; k < ARRAY_SIZE(ns_names); k++) {
		if (strlen(ns_names[k].name) != d->name.len || memcmp(ns_names[k].name, d->name.name, d->name.len))
			continue;
		struct inode *i = proc_pid_inode(dir->super, n->pid, n->entry, n->thread, -1, S_IFLNK | 0777);
		if (!i)
			return ERR_PTR(-ENOMEM);
		i->ops = &ns_link_iops;
		i->ino = proc_ino(n->pid, 0x8000 + k);
		((struct proc_node *)i->private)->start = k;
		proc_dynamic_dentry(d, i);
		return NULL;
	}
	return ERR_PTR(-ENOENT);
}
const struct inode_ops ns_dir_iops = { .lookup = ns_lookup };

static int ns_iterate(struct file *f, struct dir_sink *s)
{
	struct proc_node *n = f->inode->private;

	if (proc_emit_dots(f, s))
		for (u32 k; (k = f->pos - 2) < ARRAY_SIZE(ns_names); f->pos++)
			if (!dir_emit(s, ns_names[k].name, strlen(ns_names[k].name), proc_ino(n->pid, 0x8000 + k), DT_LNK, f->pos + 1))
				break;
	return 0;
}
const struct file_ops ns_dir_fops = { .iterate = ns_iterate, .llseek = text_llseek };
