/* /proc/sys/vm: numbers that tune memory (sysctl(8)), with Linux 6.1's names, bounds and errors. What has no effect here is not here. */
#include <fs/procfs.h>
#include <kernel/random.h>
#include <lib/parse.h>
#include <lib/seq_buf.h>
#include <mm/check.h>
#include <mm/failinject.h>
#include <mm/migrate.h>
#include <mm/mm.h>
#include <mm/shrinker.h>
#include <mm/slab.h>
#include <mm/zone.h>
#include <proc/ipc.h>
#include <proc/oom.h>
#include <proc/task.h>

typedef unsigned long long ull;

/* echo 1 > /proc/sys/vm/check runs every checker; reading shows the mismatches of the last run. */
static u64 check_last;
static void check_show(struct seq_buf *s, void *arg) { (void)arg; seq_printf(s, "%llu\n", (ull)check_last); }
static int check_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (!n || text[0] != '1')
		return -EINVAL;
	check_last = check_everything();
	return 0;
}

/* "K [SEED]": one of K allocations of marked threads fails. */
static void fail_rate_show(struct seq_buf *s, void *arg) { (void)arg; seq_printf(s, "%llu\n", (ull)fail_rate()); }
static int fail_rate_write(const char *text, u64 n, void *arg)
{
	const char *end, *rest;
	u64 every = parse_u64(text, &end, 10), seed;

	(void)n;
	(void)arg;
	if (end == text)
		return -EINVAL;
	seed = parse_u64(end + (*end == ' '), &rest, 10);
	fail_rate_set(every, rest > end + 1 ? seed : get_random_u64());
	return 0;
}

static int drop_caches_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (!n || text[0] < '1' || text[0] > '4')
		return -EINVAL;
	if (text[0] & 2)
		shrink_objects(0);
	kmem_reap_all();
	return 0;
}

static int compact_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (n != 1 + (n && text[n - 1] == '\n') || text[0] != '1')
		return -EINVAL;
	compact_node(-1);
	return 0;
}

/* Ratio and absolute limit exclude each other: setting one clears the other. */
static struct sysctl ratio_range = { &overcommit_ratio, 0, 0x7fffffff }, kbytes_range = { &overcommit_kbytes, 0, ~0ull >> 1 };
static int ratio_write(const char *text, u64 n, void *arg)
{
	int r = sysctl_write(text, n, arg);

	if (!r)
		overcommit_kbytes = 0;
	return r;
}
static int kbytes_write(const char *text, u64 n, void *arg)
{
	int r = sysctl_write(text, n, arg);

	if (!r)
		overcommit_ratio = 0;
	return r;
}

/* The zones' marks follow both at once. */
static struct sysctl free_range = { &min_free_kbytes, 0, S32_MAX }, scale_range = { &watermark_scale_factor, 1, 3000 };
static int watermark_write(const char *text, u64 n, void *arg)
{
	struct sysctl *c = arg;
	int r = sysctl_write(text, n, c);

	if (!r)
		zones_set_watermarks();
	return r;
}

#define WATERMARK(name, range) \
	{ .path = "sys/vm/" name, .mode = 0644, .show = sysctl_show, .write = watermark_write, .arg = &(range) }

static const struct proc_file table[] = {
	{ .path = "sys/vm/check", .mode = 0644, .show = check_show, .write = check_write },
	{ .path = "sys/vm/fail_rate", .mode = 0600, .show = fail_rate_show, .write = fail_rate_write },
	{ .path = "sys/vm/drop_caches", .mode = 0200, .write = drop_caches_write },
	{ .path = "sys/vm/compact_memory", .mode = 0200, .write = compact_write },
	SYSCTL_U64("sys/vm/overcommit_memory", overcommit_memory, 0, 2),
	{ .path = "sys/vm/overcommit_ratio", .mode = 0644, .show = sysctl_show, .write = ratio_write, .arg = &ratio_range },
	{ .path = "sys/vm/overcommit_kbytes", .mode = 0644, .show = sysctl_show, .write = kbytes_write, .arg = &kbytes_range },
	SYSCTL_U64("sys/vm/mmap_min_addr", mmap_min_addr, 0, 1ull << 40),
	SYSCTL_U64("sys/vm/user_reserve_kbytes", user_reserve_kbytes, 0, ~0ull >> 1),
	SYSCTL_U64("sys/vm/max_map_count", max_map_count, 1, 1 << 24),
	SYSCTL_U64("sys/vm/admin_reserve_kbytes", admin_reserve_kbytes, 0, ~0ull >> 1),
	SYSCTL_U64("sys/vm/legacy_va_layout", legacy_va_layout, 0, S32_MAX),
	{ .path = "sys/vm/mmap_rnd_bits", .mode = 0600, .show = sysctl_show, .write = sysctl_write,
	  .arg = &(struct sysctl){ &mmap_rnd_bits, 28, 32 } },
	WATERMARK("min_free_kbytes", free_range),
	WATERMARK("watermark_scale_factor", scale_range),
	SYSCTL_U64("sys/vm/panic_on_oom", panic_on_oom, 0, 2),
	SYSCTL_U64("sys/vm/oom_kill_allocating_task", oom_kill_allocating_task, 0, S32_MAX),
	SYSCTL_U64("sys/vm/memory_failure_early_kill", memory_failure_early_kill, 0, 1),
	SYSCTL_U64("sys/vm/hugetlb_shm_group", hugetlb_shm_group, 0, S32_MAX),
};

void proc_sysvm_init(void)
{
	proc_add_table(table, ARRAY_SIZE(table));
}
