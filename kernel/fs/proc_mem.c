/*
 * The memory of a process in its directory (proc(5)): its bytes (cmdline, environ, auxv, mem), its mappings (maps, smaps, numa_maps,
 * map_files), its pages (pagemap, clear_refs). mm/vmshow.c writes the texts.
 *
 * An address space that is being given up shows as empty. mem and pagemap work on the one that was there when they were opened.
 */
#include <fs/procfs.h>
#include <fs/readdir.h>
#include <lib/ctype.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/parse.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/impl.h>
#include <proc/task.h>
#include <x86/uaccess.h>

/* Bytes --------------------------------------------------------------------------------------------------------------------- */

/* A stretch of the process's memory as bytes. */
static void show_memory(struct seq_buf *s, struct mm *mm, u64 from, u64 to)
{
	char *page = kmalloc(PAGE_SIZE, GFP_KERNEL);

	for (u64 at = from; page && at < to;) {
		s64 n = mm_access(mm, at, page, min_t(u64, to - at, PAGE_SIZE), false, true);

		if (n <= 0)
			break;
		seq_write(s, page, n);
		at += n;
	}
	s->nomem |= !page;
	kfree(page);
}

void cmdline_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);

	if (!mm)
		return;
	show_memory(s, mm, mm->arg_start, mm->arg_end);
	/* setproctitle: a missing final NUL means that the text goes on over the environment */
	if (s->len && s->buf[s->len - 1] && mm->env_end > mm->arg_end) {
		size_t from = s->len;

		show_memory(s, mm, mm->env_start, mm->env_end);
		for (size_t i = from; i < s->len; i++)
			if (!s->buf[i]) {
				s->len = i;
				break;
			}
	}
	mm_put(mm);
}

void environ_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);

	if (!mm)
		return;
	show_memory(s, mm, mm->env_start, mm->env_end);
	mm_put(mm);
}

void auxv_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);
	u32 n = 0;

	if (!mm)
		return;
	while (n + 2 < ARRAY_SIZE(mm->auxv) && mm->auxv[n])
		n += 2;
	seq_write(s, mm->auxv, (n + 2) * sizeof(u64));
	mm_put(mm);
}

/* Mappings and pages ---------------------------------------------------------------------------------------------------------- */

static void maps_text(struct seq_buf *s, struct task *t, int detail)
{
	struct mm *mm = task_mm_get(t);
	struct mempolicy policy;

	if (!mm)
		return;
	spin_lock(&t->alloc_lock);
	policy = t->mempolicy;
	spin_unlock(&t->alloc_lock);
	mm_maps_show(mm, s, detail, &policy);
	mm_put(mm);
}
void pagetables_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);

	if (!mm)
		return;
	mm_pagetables_show(mm, s);
	mm_put(mm);
}
void maps_show(struct seq_buf *s, struct task *t) { maps_text(s, t, 0); }
void smaps_show(struct seq_buf *s, struct task *t) { maps_text(s, t, 1); }
void rollup_show(struct seq_buf *s, struct task *t) { maps_text(s, t, 2); }
void numa_maps_show(struct seq_buf *s, struct task *t) { maps_text(s, t, 3); }

int clear_refs_write(struct task *t, const char *text, u64 n)
{
	struct mm *mm;
	s32 what;
	int r;

	while (isspace(*text))
		text++;
	r = kstrtoint(text, 10, &what);
	if (r)
		return r;
	if (what < 1 || what > 5)
		return -EINVAL;
	mm = task_mm_get(t);
	if (!mm)
		return -ESRCH;
	r = mm_clear_refs(mm, what);
	mm_put(mm);
	return r;
}

void statm_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);
	u64 v[7] = { 0 };

	if (mm) {
		mm_statm(mm, v);
		mm_put(mm);
	}
	seq_printf(s, "%llu %llu %llu %llu %llu %llu %llu\n", (unsigned long long)v[0], (unsigned long long)v[1],
		   (unsigned long long)v[2], (unsigned long long)v[3], (unsigned long long)v[4], (unsigned long long)v[5],
		   (unsigned long long)v[6]);
}

/* pagemap: an array of u64 by page number, read at any multiple of 8. */
static s64 pagemap_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct task *t = proc_node_task(f->inode);
	struct mm *mm = t && proc_may_look(t) ? task_mm_get(t) : NULL;
	u64 buf[64];
	s64 done = 0, r = 0;
	bool hide = !(f->cred->cap_effective >> CAP_SYS_ADMIN & 1); /* of who opened it */

	if (t)
		task_put(t);
	if (!mm)
		return t ? 0 : -ESRCH;
	if (*pos & 7 || to->count & 7)
		r = -EINVAL;
	while (!r && to->count) {
		u64 n = min_t(u64, to->count / 8, ARRAY_SIZE(buf)), first = *pos / 8;

		if (first >= TASK_SIZE_MAX >> PAGE_SHIFT)
			break;
		n = min_t(u64, n, (TASK_SIZE_MAX >> PAGE_SHIFT) - first);
		r = mm_pagemap_read(mm, first, n, buf);
		if (r < 0)
			break;
		r = 0;
		for (u64 i = 0; hide && i < n; i++)
			buf[i] &= ~PAGEMAP_PFN;
		u64 got = copy_to_iter(to, buf, n * 8);
		done += got;
		*pos += got;
		if (got < n * 8)
			r = -EFAULT;
	}
	mm_put(mm);
	return done ?: r;
}
/* There is no end to go from. */
static loff_t memory_llseek(struct file *f, loff_t off, int whence)
{
	return whence == SEEK_SET || whence == SEEK_CUR ? text_llseek(f, off, whence) : -EINVAL;
}

const struct file_ops pagemap_fops = { .read = pagemap_read, .llseek = memory_llseek };

/* mem: the address space as a file. */
static s64 mem_rw(struct file *f, struct iov_iter *it, loff_t *pos, bool write)
{
	struct mm *mm = f->private;
	char *page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	s64 done = 0, r = page ? 0 : -ENOMEM;

	if (!page || !mm_get_not_zero(mm)) {
		kfree(page);
		return r;
	}
	while (it->count && !r) {
		u64 n = min_t(u64, it->count, PAGE_SIZE - (*pos & (PAGE_SIZE - 1)));

		if (write && copy_from_iter(page, it, n) != n)
			r = -EFAULT;
		s64 got = r ?: mm_access(mm, *pos, page, n, write, true);
		if (got <= 0) {
			r = -EIO;
			break;
		}
		if (!write && copy_to_iter(it, page, got) != (u64)got)
			r = -EFAULT;
		*pos += got;
		done += got;
	}
	mm_put(mm);
	kfree(page);
	return done ?: r;
}
static s64 mem_read(struct file *f, struct iov_iter *to, loff_t *pos) { return mem_rw(f, to, pos, false); }
static s64 mem_write(struct file *f, struct iov_iter *from, loff_t *pos) { return mem_rw(f, from, pos, true); }
static int mem_open(struct inode *i, struct file *f)
{
	struct task *t = proc_node_task(i);
	struct mm *mm = t && proc_may_look(t) ? task_mm_get(t) : NULL;

	if (t)
		task_put(t);
	if (!mm)
		return t ? -EACCES : -ESRCH;
	mm_grab(mm); /* the struct, not the mappings */
	mm_put(mm);
	f->private = mm;
	return 0;
}
static void mem_release(struct inode *i, struct file *f)
{
	(void)i;
	if (f->private)
		mm_drop(f->private);
}
const struct file_ops mem_fops = { .open = mem_open, .read = mem_read, .write = mem_write, .llseek = memory_llseek, .release = mem_release };

/* map_files: a link for each mapping of a file, named by its first address and its end ---------------------------------------------- */

/* "START-END" as the kernel writes it: hexadecimal, no leading zeros. */
static bool parse_range(const struct qstr *q, u64 *start, u64 *end)
{
	u64 v[2] = { 0, 0 };
	u32 at = 0;

	for (int k = 0; k < 2; k++) {
		u32 first = at;

		for (int digit; at < q->len && (digit = hex_digit(q->name[at])) >= 0; at++)
			v[k] = v[k] << 4 | digit;
		if (at == first || at - first > 16 || (q->name[first] == '0' && at - first > 1))
			return false;
		if (at != (k ? q->len : at) || (!k && (at == q->len || q->name[at++] != '-')))
			return false;
	}
	*start = v[0];
	*end = v[1];
	return true;
}

/* The file that is mapped exactly there, referenced, or NULL. */
static struct file *map_file(struct inode *i, u64 start, u64 end)
{
	struct task *t = proc_node_task(i);
	struct mm *mm = t && proc_may_look(t) ? task_mm_get(t) : NULL;
	struct file *f = NULL;

	if (mm) {
		f = mm_mapped_file(mm, start, end);
		mm_put(mm);
	}
	if (t)
		task_put(t);
	return f;
}

static const char *map_files_link(struct inode *i, struct path *jump, char *buf, u64 n)
{
	struct proc_node *node = i->private;
	struct file *f = map_file(i, node->start, node->end);

	(void)buf, (void)n;
	if (!f)
		return ERR_PTR(-ENOENT);
	*jump = f->path;
	path_get(jump);
	file_put(f);
	return NULL;
}

/* A mapping outlives descriptor, name and permission of its file: opening it again by way of it is for checkpoint and restore. */
static int map_files_may_follow(struct inode *i)
{
	(void)i;
	return capable(CAP_SYS_ADMIN) || capable(CAP_CHECKPOINT_RESTORE) ? 0 : -EPERM;
}
static const struct inode_ops map_files_link_iops = { .get_link = map_files_link, .may_follow = map_files_may_follow };

static struct dentry *map_files_lookup(struct inode *dir, struct dentry *d)
{
	struct proc_node *n = dir->private;
	u64 start, end;
	struct file *f = parse_range(&d->name, &start, &end) ? map_file(dir, start, end) : NULL;

	if (!f)
		return ERR_PTR(-ENOENT);
	u32 mode = S_IFLNK | (f->fmode & FMODE_READ ? 0400 : 0) | (f->fmode & FMODE_WRITE ? 0200 : 0);
	file_put(f);
	struct inode *i = proc_pid_inode(dir->super, n->pid, n->entry, n->thread, -1, mode);
	if (!i)
		return ERR_PTR(-ENOMEM);
	i->ops = &map_files_link_iops;
	i->ino = proc_ino(n->pid, 0x800000 | (start >> PAGE_SHIFT & 0x7fffff));
	((struct proc_node *)i->private)->start = start;
	((struct proc_node *)i->private)->end = end;
	proc_dynamic_dentry(d, i);
	return NULL;
}
const struct inode_ops map_files_iops = { .lookup = map_files_lookup, .permission = proc_look_permission };

static int map_files_iterate(struct file *f, struct dir_sink *s)
{
	struct proc_node *n = f->inode->private;
	struct task *t = proc_node_task(f->inode);
	u64 start, end;

	if (!t)
		return -ENOENT;
	struct mm *mm = proc_may_look(t) ? task_mm_get(t) : NULL;
	task_put(t);
	if (proc_emit_dots(f, s) && mm)
		/* a place in the directory is the page number of where to go on, two further */
		while (mm_next_mapped(mm, (u64)(f->pos - 2) << PAGE_SHIFT, &start, &end)) {
			char name[40];
			int len = snprintf(name, sizeof(name), "%llx-%llx", start, end);

			if (!dir_emit(s, name, len, proc_ino(n->pid, 0x800000 | (start >> PAGE_SHIFT & 0x7fffff)), DT_LNK, (end >> PAGE_SHIFT) + 2))
				break;
			f->pos = (end >> PAGE_SHIFT) + 2;
		}
	if (mm)
		mm_put(mm);
	return 0;
}
const struct file_ops map_files_fops = { .iterate = map_files_iterate, .llseek = text_llseek };
