/*
 * The pools of huge pages to the administrator: /sys/kernel/mm/hugepages, the same for each node under /sys/devices/system/node, and
 * /proc/sys/vm/nr_hugepages for the default size.
 *
 * Writing a number asks for that many pages; what can be had is what reading gives afterwards (hugetlbpage in Linux's own documentation).
 */
#include <fs/procfs.h>
#include <kernel/printk.h>
#include <lib/parse.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/hugetlb.h>
#include <mm/slab.h>
#include <proc/task.h>

/* What one file shows: a pool, on one node or (-1) as a whole. NULL h: the default size. */
struct pool { struct hstate *h; int node; };

static struct hstate *pool_h(const struct pool *p)
{
	return p->h ?: hstate_default;
}

static void show_nr(struct seq_buf *s, void *arg)
{
	struct pool *p = arg;
	struct hstate *h = pool_h(p);

	seq_printf(s, "%llu\n", p->node < 0 ? h->nr : h->node_nr[p->node]);
}

static void show_free(struct seq_buf *s, void *arg)
{
	struct pool *p = arg;

	seq_printf(s, "%llu\n", p->node < 0 ? p->h->free : p->h->node_free[p->node]);
}

static void show_surplus(struct seq_buf *s, void *arg)
{
	struct pool *p = arg;

	seq_printf(s, "%llu\n", p->node < 0 ? p->h->surplus : p->h->node_surplus[p->node]);
}

static void show_resv(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", ((struct pool *)arg)->h->resv); }
static void show_overcommit(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", pool_h(arg)->overcommit); }

static int parse(const char *text, u64 n, u64 *value)
{
	struct sysctl c = { value, 0, 1ull << 40 };

	return sysctl_write(text, n, &c);
}

static int write_nr(const char *text, u64 n, void *arg)
{
	struct pool *p = arg;
	u64 want = 0;
	int err = parse(text, n, &want);

	if (!err)
		hugetlb_resize(pool_h(p), p->node, want);
	return err;
}

/* By pages of the nodes that the writer's policy names. */
static int write_nr_by_policy(const char *text, u64 n, void *arg)
{
	u64 want = 0;
	int err = parse(text, n, &want);

	if (!err)
		hugetlb_resize_among(pool_h(arg), mpol_nodes(&current->mempolicy), want);
	return err;
}

static int write_overcommit(const char *text, u64 n, void *arg)
{
	u64 want = 0;
	int err = parse(text, n, &want);

	if (!err)
		hugetlb_set_overcommit(pool_h(arg), want);
	return err;
}

struct pool_file {
	const char *leaf;
	u32 mode;
	bool per_node;
	void (*show)(struct seq_buf *s, void *arg);
	int (*write)(const char *text, u64 n, void *arg);
};
static const struct pool_file pool_files[] = {
	{ "nr_hugepages", 0644, true, show_nr, write_nr },
	{ "free_hugepages", 0444, true, show_free, NULL },
	{ "surplus_hugepages", 0444, true, show_surplus, NULL },
	{ "resv_hugepages", 0444, false, show_resv, NULL },
	{ "nr_overcommit_hugepages", 0644, false, show_overcommit, write_overcommit },
	{ "nr_hugepages_mempolicy", 0644, false, show_nr, write_nr_by_policy },
};

/* The files of one pool below @dir; they and their paths stay for ever. */
static void add_pool(struct hstate *h, int node, const char *dir)
{
	for (u32 i = 0; i < ARRAY_SIZE(pool_files); i++) {
		const struct pool_file *pf = &pool_files[i];
		struct made { struct proc_file f; struct pool p; char path[104]; } *m;

		if (node >= 0 && !pf->per_node)
			continue;
		m = kzalloc(sizeof(*m), GFP_KERNEL | GFP_NOFAIL);
		if (!m)
			panic("sysfs: no memory");
		snprintf(m->path, sizeof(m->path), "%s/hugepages/hugepages-%s/%s", dir, h->name, pf->leaf);
		m->p = (struct pool){ h, node };
		m->f = (struct proc_file){ .path = m->path, .mode = pf->mode, .show = pf->show, .write = pf->write, .arg = &m->p };
		sysfs_add(&m->f);
	}
}

void sysfs_hugetlb_init(void)
{
	static struct pool by_default = { NULL, -1 };
	static const struct proc_file sysctls[] = {
		{ .path = "sys/vm/nr_hugepages", .mode = 0644, .show = show_nr, .write = write_nr, .arg = &by_default },
		{ .path = "sys/vm/nr_hugepages_mempolicy", .mode = 0644, .show = show_nr, .write = write_nr_by_policy, .arg = &by_default },
		{ .path = "sys/vm/nr_overcommit_hugepages", .mode = 0644, .show = show_overcommit, .write = write_overcommit,
		  .arg = &by_default },
	};
	char dir[48];

	for (struct hstate *h = hstates; h < hstates + NR_HSTATES; h++) {
		if (!h->usable)
			continue;
		add_pool(h, -1, "kernel/mm");
		for (int n = 0; n < MAX_NODES; n++) {
			if (!(node_online_map >> n & 1))
				continue;
			snprintf(dir, sizeof(dir), "devices/system/node/node%d", n);
			add_pool(h, n, dir);
		}
	}
	proc_add_table(sysctls, ARRAY_SIZE(sysctls));
}
