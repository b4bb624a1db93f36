/*
 * /sys/devices/system/cpu/cpuN/cache/indexM: what C libraries, numerical programs and lscpu size their work by. The CPUs of a
 * machine are taken to be alike: the boot CPU's CPUID speaks for all, and APIC ids tell who shares.
 */
#include <fs/sysfs.h>
#include <kernel/cpumask.h>
#include <lib/compiler.h>
#include <lib/seq_buf.h>
#include <x86/caches.h>

static struct cpu_cache caches[CPU_CACHES_MAX];

/* A file's arg names the cache and the CPU. */
static void *arg_of(u32 index, int cpu) { return (void *)(u64)(index << 8 | (u32)cpu); }
static const struct cpu_cache *cache_of(void *arg) { return &caches[(u64)arg >> 8]; }
static int cpu_of(void *arg) { return (u64)arg & 255; }

static void show_type(struct seq_buf *s, void *arg)
{
	static const char *const names[] = { [CACHE_DATA] = "Data", [CACHE_INSTRUCTION] = "Instruction", [CACHE_UNIFIED] = "Unified" };
	u32 type = cache_of(arg)->type;

	seq_printf(s, "%s\n", type < ARRAY_SIZE(names) ? names[type] : "Unknown");
}

static void show_size(struct seq_buf *s, void *arg)
{
	const struct cpu_cache *c = cache_of(arg);

	seq_printf(s, "%lluK\n", (unsigned long long)c->line * c->partitions * c->ways * c->sets / 1024);
}

static void show_shared_list(struct seq_buf *s, void *arg) { sysfs_list_show(s, cpu_cache_shared(cache_of(arg), cpu_of(arg))); }
static void show_shared_map(struct seq_buf *s, void *arg) { sysfs_map_show(s, cpu_cache_shared(cache_of(arg), cpu_of(arg))); }
static void show_id(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cpu_cache_id(cache_of(arg), cpu_of(arg))); }
static void show_level(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cache_of(arg)->level); }
static void show_line(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cache_of(arg)->line); }
static void show_partitions(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cache_of(arg)->partitions); }
static void show_ways(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cache_of(arg)->ways); }
static void show_sets(struct seq_buf *s, void *arg) { seq_printf(s, "%u\n", cache_of(arg)->sets); }

void sysfs_cache_init(void)
{
	static const struct { const char *leaf; void (*show)(struct seq_buf *, void *); } files[] = {
		{ "type", show_type }, { "level", show_level }, { "size", show_size }, { "id", show_id },
		{ "coherency_line_size", show_line }, { "physical_line_partition", show_partitions },
		{ "ways_of_associativity", show_ways }, { "number_of_sets", show_sets },
		{ "shared_cpu_list", show_shared_list }, { "shared_cpu_map", show_shared_map },
	};
	u32 n = cpu_caches(caches);
	int cpu;

	for_each_cpu_mask(cpu, cpu_present_mask)
		for (u32 i = 0; i < n; i++)
			for (u32 k = 0; k < ARRAY_SIZE(files); k++)
				sysfs_add_made(files[k].show, arg_of(i, cpu), "devices/system/cpu/cpu%d/cache/index%u/%s", cpu, i,
					       files[k].leaf);
}
