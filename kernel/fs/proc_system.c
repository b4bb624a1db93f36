/* The files of /proc that are about the whole system (proc(5)). */
#include <fs/fdtable.h>
#include <fs/procfs.h>
#include <kernel/cmdline.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/time.h>
#include <lib/seq_buf.h>
#include <mm/show.h>
#include <proc/impl.h>
#include <proc/task.h>
#include <proc/uts.h>
#include <x86/apic.h>
#include <x86/cpu.h>

typedef unsigned long long ull;
#define TICKS(ns) ((ull)((ns) / (NSEC_PER_SEC / USER_HZ)))

static void meminfo(struct seq_buf *s, void *a) { (void)a; meminfo_show(s); }
static void vmstat(struct seq_buf *s, void *a) { (void)a; vmstat_show(s); }
static void buddyinfo(struct seq_buf *s, void *a) { (void)a; buddyinfo_show(s); }
static void memmap(struct seq_buf *s, void *a) { (void)a; memmap_show(s); }
static void zoneinfo(struct seq_buf *s, void *a) { (void)a; zoneinfo_show(s); }
static void pagetypeinfo(struct seq_buf *s, void *a) { (void)a; pagetypeinfo_show(s); }
static void slabinfo(struct seq_buf *s, void *a) { (void)a; slabinfo_show(s); }
static void vmallocinfo(struct seq_buf *s, void *a) { (void)a; vmallocinfo_show(s); }
static void iomem(struct seq_buf *s, void *a) { (void)a; iomem_show(s); }
static void filesystems(struct seq_buf *s, void *a) { (void)a; filesystems_show(s); }
static void devices(struct seq_buf *s, void *a) { (void)a; chrdevs_show(s); }
static void locks(struct seq_buf *s, void *a) { (void)a; locks_show(s); }
static void cmdline(struct seq_buf *s, void *a) { (void)a; seq_printf(s, "%s\n", kernel_cmdline); }

static void cpuinfo(struct seq_buf *s, void *a)
{
	(void)a;
	for (int cpu = 0; cpu < nr_cpus; cpu++)
		cpuinfo_show(s, cpu);
}

static void version(struct seq_buf *s, void *a)
{
	(void)a;
	seq_printf(s, "%s version %s %s\n", uts_name.sysname, uts_name.release, uts_name.version);
}

static void uptime(struct seq_buf *s, void *a)
{
	(void)a;
	u64 up = ktime_ns(), idle = 0;

	for (int cpu = 0; cpu < nr_cpus; cpu++)
		idle += sched_idle_ns(cpu);
	seq_printf(s, "%llu.%02llu %llu.%02llu\n", TICKS(up) / 100, TICKS(up) % 100, TICKS(idle) / 100, TICKS(idle) % 100);
}

static void loadavg(struct seq_buf *s, void *a)
{
	(void)a;
	for (int i = 0; i < 3; i++) {
		u64 v = avenrun[i] + 10; /* rounds to the hundredth; 11 bits of fraction */

		seq_printf(s, "%llu.%02llu ", (ull)(v >> 11), (ull)((v & 2047) * 100 >> 11));
	}
	seq_printf(s, "%llu/%llu %d\n", (ull)nr_running(), (ull)spread_sum(&nr_tasks), pid_last());
}

/* One line of /proc/stat: user nice system idle iowait irq softirq steal guest guest_nice. */
static void stat_line(struct seq_buf *s, u64 user, u64 nice, u64 sys, u64 idle)
{
	seq_printf(s, " %llu %llu %llu %llu 0 0 0 0 0 0\n", TICKS(user), TICKS(nice), TICKS(sys), TICKS(idle));
}

static void cpu_times(int cpu, u64 t[4])
{
	t[0] = sched_user_ns(cpu);
	t[1] = sched_nice_ns(cpu);
	t[2] = sched_system_ns(cpu);
	t[3] = sched_idle_ns(cpu);
}

static void stat(struct seq_buf *s, void *a)
{
	(void)a;
	u64 sum[4] = { 0 }, t[4], irqs = 0;

	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		cpu_times(cpu, t);
		for (int i = 0; i < 4; i++)
			sum[i] += t[i];
	}
	seq_puts(s, "cpu ");
	stat_line(s, sum[0], sum[1], sum[2], sum[3]);
	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		cpu_times(cpu, t);
		seq_printf(s, "cpu%d", cpu);
		stat_line(s, t[0], t[1], t[2], t[3]);
		for (unsigned v = 32; v < 256; v++)
			irqs += irq_count(v, cpu);
	}
	seq_printf(s, "intr %llu\nctxt %llu\nbtime %llu\nprocesses %llu\nprocs_running %llu\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		   (ull)irqs, (ull)sched_switches(), (ull)((ktime_real_ns() - ktime_ns()) / NSEC_PER_SEC), (ull)total_forks(), (ull)nr_running());
}

/* The CPUs' own interrupts have names that programs look for, and a line even when there was none. */
static const struct { u8 vector; char name[4]; } cpu_vectors[] = {
	{ VECTOR_TIMER, "LOC" }, { VECTOR_RESCHED, "RES" }, { VECTOR_CALL, "CAL" }, { VECTOR_TLB, "TLB" },
};

static void interrupt_line(struct seq_buf *s, unsigned vector)
{
	const char *name = irq_name(vector);

	for (int cpu = 0; cpu < nr_cpus; cpu++)
		seq_printf(s, " %10llu", (ull)irq_count(vector, cpu));
	seq_printf(s, "   %s\n", name ?: "");
}

static bool is_cpu_vector(unsigned vector)
{
	for (u32 i = 0; i < ARRAY_SIZE(cpu_vectors); i++)
		if (cpu_vectors[i].vector == vector)
			return true;
	return false;
}

static void interrupts(struct seq_buf *s, void *a)
{
	(void)a;
	seq_puts(s, "    ");
	for (int cpu = 0; cpu < nr_cpus; cpu++)
		seq_printf(s, "       CPU%d", cpu);
	seq_putc(s, '\n');
	for (unsigned v = 32; v < 256; v++) {
		u64 any = 0;

		for (int cpu = 0; cpu < nr_cpus; cpu++)
			any += irq_count(v, cpu);
		if ((!any && !irq_name(v)) || is_cpu_vector(v))
			continue;
		seq_printf(s, "%3u:", v);
		interrupt_line(s, v);
	}
	for (u32 i = 0; i < ARRAY_SIZE(cpu_vectors); i++) {
		seq_printf(s, "%3s:", cpu_vectors[i].name);
		interrupt_line(s, cpu_vectors[i].vector);
	}
}

static void swaps(struct seq_buf *s, void *a)
{
	(void)a;
	seq_puts(s, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}
static void partitions(struct seq_buf *s, void *a)
{
	(void)a;
	seq_puts(s, "major minor  #blocks  name\n\n");
}
static void empty(struct seq_buf *s, void *a) { (void)s, (void)a; }

static void config(struct seq_buf *s, void *arg)
{
	extern const char config_gz[], config_gz_end[];

	(void)arg;
	seq_write(s, config_gz, config_gz_end - config_gz);
}

static int sysrq_write(const char *text, u64 n, void *a)
{
	(void)a;
	if (n && text[0] == 'c')
		panic("sysrq: crash asked for by %s[%d]", current->thread.comm, current->pid);
	if (n && text[0] == 'b')
		machine_reboot();
	if (n && text[0] == 'o')
		machine_poweroff();
	return n ? 0 : -EINVAL;
}

void proc_system_init(void)
{
	static const struct proc_file table[] = {
		{ .path = "meminfo", .mode = 0444, .show = meminfo },
		{ .path = "vmstat", .mode = 0444, .show = vmstat },
		{ .path = "buddyinfo", .mode = 0444, .show = buddyinfo },
		{ .path = "quoin/memmap", .mode = 0444, .show = memmap },
		{ .path = "zoneinfo", .mode = 0444, .show = zoneinfo },
		{ .path = "pagetypeinfo", .mode = 0400, .show = pagetypeinfo },
		{ .path = "slabinfo", .mode = 0400, .show = slabinfo },
		{ .path = "vmallocinfo", .mode = 0400, .show = vmallocinfo },
		{ .path = "iomem", .mode = 0444, .show = iomem },
		{ .path = "cpuinfo", .mode = 0444, .show = cpuinfo },
		{ .path = "version", .mode = 0444, .show = version },
		{ .path = "uptime", .mode = 0444, .show = uptime },
		{ .path = "loadavg", .mode = 0444, .show = loadavg },
		{ .path = "stat", .mode = 0444, .show = stat },
		{ .path = "interrupts", .mode = 0444, .show = interrupts },
		{ .path = "filesystems", .mode = 0444, .show = filesystems },
		{ .path = "devices", .mode = 0444, .show = devices },
		{ .path = "locks", .mode = 0444, .show = locks },
		{ .path = "config.gz", .mode = 0444, .show = config },
		{ .path = "cmdline", .mode = 0444, .show = cmdline },
		{ .path = "swaps", .mode = 0444, .show = swaps },
		{ .path = "partitions", .mode = 0444, .show = partitions },
		{ .path = "diskstats", .mode = 0444, .show = empty },
		{ .path = "modules", .mode = 0444, .show = empty },
#ifdef LOCKCHECK
		{ .path = "quoin/locks", .mode = 0600, .show = lock_show, .write = lock_plant },
#endif
		{ .path = "sysrq-trigger", .mode = 0200, .write = sysrq_write },
	};

	proc_add_table(table, ARRAY_SIZE(table));
}
