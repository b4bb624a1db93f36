/* /sys/kernel/mm/ksm: the merging of equal pages, as Linux 6.1 shows it. */
#include <fs/procfs.h>
#include <lib/parse.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/ksm.h>

static void stat_show(struct seq_buf *s, void *arg)
{
	struct ksm_stats st;

	ksm_stats_get(&st);
	seq_printf(s, "%llu\n", *(u64 *)((u8 *)&st + (u64)arg));
}

/* A number whose change does something. */
struct switched { u64 *value; int (*set)(u64 v); };

static void switched_show(struct seq_buf *s, void *arg)
{
	const struct switched *w = arg;

	seq_printf(s, "%llu\n", READ_ONCE(*w->value));
}

static int switched_write(const char *text, u64 n, void *arg)
{
	const struct switched *w = arg;
	u64 v;
	struct sysctl number = { &v, 0, ~0ull };
	int err = sysctl_write(text, n, &number);

	return err ? err : w->set(v);
}

static int tempo_write(const char *text, u64 n, void *arg)
{
	int err = sysctl_write(text, n, arg);

	ksm_wake();
	return err;
}

#define DIR "kernel/mm/ksm/"
#define STAT(name, field) { .path = DIR name, .mode = 0444, .show = stat_show, .arg = (void *)offsetof(struct ksm_stats, field) }
#define SWITCHED(name, var, fn) \
	{ .path = DIR name, .mode = 0644, .show = switched_show, .write = switched_write, .arg = &(struct switched){ &(var), fn } }
#define TEMPO(name, var) \
	{ .path = DIR name, .mode = 0644, .show = sysctl_show, .write = tempo_write, .arg = &(struct sysctl){ &(var), 0, 0xffffffff } }

static const struct proc_file files[] = {
	SWITCHED("run", ksm_run, ksm_set_run),
	SWITCHED("merge_across_nodes", ksm_merge_across_nodes, ksm_set_across),
	TEMPO("pages_to_scan", ksm_pages_to_scan),
	TEMPO("sleep_millisecs", ksm_sleep_ms),
	SYSCTL_U64(DIR "max_page_sharing", ksm_max_sharing, 2, 0x7fffffff),
	SYSCTL_U64(DIR "use_zero_pages", ksm_use_zero_pages, 0, 1),
	SYSCTL_U64(DIR "stable_node_chains_prune_millisecs", ksm_prune_ms, 0, 0xffffffff),
	STAT("pages_shared", shared),
	STAT("pages_sharing", sharing),
	STAT("pages_unshared", unshared),
	STAT("pages_volatile", volatile_pages),
	STAT("full_scans", full_scans),
	STAT("stable_node_chains", chains),
	STAT("stable_node_dups", dups),
};

void sysfs_ksm_init(void)
{
	sysfs_add_table(files, ARRAY_SIZE(files));
}
