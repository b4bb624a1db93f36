/* The mounts as text: /proc/mounts, /proc/PID/mountinfo, /proc/PID/mountstats. */
#include "mount_impl.h"
#include <lib/string.h>
#include <mm/slab.h>

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

	if (!buf) {
		b->nomem = true;
		return;
	}
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
