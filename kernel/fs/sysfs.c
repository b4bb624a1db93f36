/* The fixed part of /sys: CPUs, nodes, and the directories programs look for. Other parts add theirs with sysfs_add. */
#include <fs/sysfs.h>
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <mm/alloc.h>
#include <mm/migrate.h>
#include <mm/show.h>
#include <mm/slab.h>
#include <x86/bugs.h>

void sysfs_list_show(struct seq_buf *s, u64 mask)
{
	bool first = true;

	for (int a = 0; a < 64; a++) {
		if (!(mask >> a & 1))
			continue;
		int b = a;
		while (b + 1 < 64 && (mask >> (b + 1) & 1))
			b++;
		seq_printf(s, b > a ? "%s%d-%d" : "%s%d", first ? "" : ",", a, b);
		first = false;
		a = b;
	}
	seq_putc(s, '\n');
}

void sysfs_map_show(struct seq_buf *s, u64 mask)
{
	if (mask >> 32)
		seq_printf(s, "%08x,", (u32)(mask >> 32));
	seq_printf(s, "%08x\n", (u32)mask);
}

static void mask_file(struct seq_buf *s, void *arg) { sysfs_list_show(s, *(u64 *)arg); }

static u64 cpus_of_node(int node)
{
	u64 m = 0;
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu_to_node(cpu) == node)
			m |= 1ull << cpu;
	return m;
}

static void node_cpulist(struct seq_buf *s, void *arg) { sysfs_list_show(s, cpus_of_node((u64)arg)); }
static void node_cpumap(struct seq_buf *s, void *arg) { sysfs_map_show(s, cpus_of_node((u64)arg)); }
static void node_distances(struct seq_buf *s, void *arg) { node_distance_show(s, (u64)arg); }
static void node_numastat(struct seq_buf *s, void *arg) { node_numastat_show(s, (u64)arg); }
static void node_vmstat(struct seq_buf *s, void *arg) { node_vmstat_show(s, (u64)arg); }
static void node_meminfo(struct seq_buf *s, void *arg) { node_meminfo_show(s, (u64)arg); }

void sysfs_add_made(void (*show)(struct seq_buf *, void *), void *arg, const char *fmt, ...)
{
	va_list ap;
	struct proc_file *f = kzalloc(sizeof(*f) + 96, GFP_KERNEL | GFP_NOFAIL);

	if (!f)
		panic("sysfs: no memory");
	char *path = (char *)(f + 1);
	va_start(ap, fmt);
	vsnprintf(path, 96, fmt, ap);
	va_end(ap);
	*f = (struct proc_file){ .path = path, .mode = 0444, .show = show, .arg = arg };
	sysfs_add(f);
}

static int node_compact(const char *text, u64 n, void *arg)
{
	(void)text;
	(void)n;
	compact_node((int)(u64)arg);
	return 0;
}

static void add_node(int n)
{
	static const struct { const char *leaf; void (*show)(struct seq_buf *, void *); } files[] = {
		{ "cpulist", node_cpulist }, { "cpumap", node_cpumap }, { "distance", node_distances },
		{ "meminfo", node_meminfo }, { "numastat", node_numastat }, { "vmstat", node_vmstat },
	};

	struct proc_file *compact = kzalloc(sizeof(*compact) + 48, GFP_KERNEL | GFP_NOFAIL);

	for (u32 i = 0; i < ARRAY_SIZE(files); i++)
		sysfs_add_made(files[i].show, (void *)(u64)n, "devices/system/node/node%d/%s", n, files[i].leaf);
	snprintf((char *)(compact + 1), 48, "devices/system/node/node%d/compact", n);
	*compact = (struct proc_file){ .path = (char *)(compact + 1), .mode = 0200, .write = node_compact, .arg = (void *)(u64)n };
	sysfs_add(compact);
}

static void nodes_with_cpus(struct seq_buf *s, void *arg)
{
	u64 m = 0;

	(void)arg;
	for (int n = 0; n < MAX_NODES; n++)
		if (node_online_map >> n & 1 && cpus_of_node(n))
			m |= 1ull << n;
	sysfs_list_show(s, m);
}

static void one_cpu(struct seq_buf *s, void *arg) { sysfs_list_show(s, 1ull << (u64)arg); }
static void zero(struct seq_buf *s, void *arg) { (void)arg; seq_puts(s, "0\n"); }
static void number(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", (unsigned long long)arg); }

static void add_cpu(int cpu)
{
	sysfs_add_made(zero, NULL, "devices/system/cpu/cpu%d/topology/%s", cpu, "physical_package_id");
	sysfs_add_made(number, (void *)(u64)cpu, "devices/system/cpu/cpu%d/topology/%s", cpu, "core_id");
	sysfs_add_made(one_cpu, (void *)(u64)cpu, "devices/system/cpu/cpu%d/topology/%s", cpu, "thread_siblings_list");
}

static void bug_file(struct seq_buf *s, void *arg) { cpu_bug_show(s, (enum cpu_bug)(u64)arg); }

void sysfs_tree_init(void)
{
	static const struct proc_file masks[] = {
		{ .path = "devices/system/cpu/online", .mode = 0444, .show = mask_file, .arg = &cpu_online_mask },
		{ .path = "devices/system/cpu/possible", .mode = 0444, .show = mask_file, .arg = &cpu_present_mask },
		{ .path = "devices/system/cpu/present", .mode = 0444, .show = mask_file, .arg = &cpu_present_mask },
		{ .path = "devices/system/node/online", .mode = 0444, .show = mask_file, .arg = &node_online_map },
		{ .path = "devices/system/node/possible", .mode = 0444, .show = mask_file, .arg = &node_online_map },
		{ .path = "devices/system/node/has_cpu", .mode = 0444, .show = nodes_with_cpus },
		{ .path = "devices/system/node/has_normal_memory", .mode = 0444, .show = mask_file, .arg = &node_online_map },
		{ .path = "devices/system/node/has_memory", .mode = 0444, .show = mask_file, .arg = &node_online_map },
	};
	static const char *const dirs[] = { "fs", "bus", "class", "block", "module", "firmware", "fs/cgroup" };

	sysfs_add_table(masks, ARRAY_SIZE(masks));
	for (u32 i = 0; i < ARRAY_SIZE(dirs); i++)
		sysfs_mkdir(dirs[i]);
	for (int b = 0; b < NR_CPU_BUGS; b++)
		sysfs_add_made(bug_file, (void *)(u64)b, "devices/system/cpu/vulnerabilities/%s", cpu_bug_name((enum cpu_bug)b));
	for (int n = 0; n < MAX_NODES; n++)
		if (node_online_map >> n & 1)
			add_node(n);
	sysfs_thp_init();
	sysfs_ksm_init();
	sysfs_hugetlb_init();
	sysfs_clock_init();
}

void sysfs_cpus_init(void)
{
	int cpu;

	for_each_cpu_mask(cpu, cpu_present_mask)
		add_cpu(cpu);
	sysfs_cache_init();
}
