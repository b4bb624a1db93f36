/*
 * /proc/irq/N: where a device's interrupt may go. N is the number of /proc/interrupts, the vector. proc_irq_init() runs when
 * the drivers have asked for theirs.
 */
#include <fs/procfs.h>
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <lib/assert.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <uapi/errno.h>

static void show_list(struct seq_buf *s, cpumask_t mask)
{
	const char *comma = "";

	mask &= cpu_present_mask;
	for (int a = 0, b; a < MAX_CPUS; a = b + 1) {
		b = a;
		if (!(mask >> a & 1))
			continue;
		while (b + 1 < MAX_CPUS && mask >> (b + 1) & 1)
			b++;
		seq_printf(s, b > a ? "%s%d-%d" : "%s%d", comma, a, b);
		comma = ",";
	}
	seq_putc(s, '\n');
}

static void show_mask(struct seq_buf *s, cpumask_t mask)
{
	mask &= cpu_present_mask;
	if (nr_cpus > 32)
		seq_printf(s, "%08x,%08x\n", (u32)(mask >> 32), (u32)mask);
	else
		seq_printf(s, "%0*x\n", (nr_cpus + 3) / 4, (u32)mask);
}

/* Words of hexadecimal digits with commas between words of 32 bits. */
static int parse_mask(const char *p, u64 n, cpumask_t *mask)
{
	*mask = 0;
	if (!n)
		return -EINVAL;
	for (; n; n--, p++) {
		int d = *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) >= 'a' && (*p | 32) <= 'f' ? (*p | 32) - 'a' + 10 : -1;

		if (*p == ',')
			continue;
		if (d < 0)
			return -EINVAL;
		if (*mask >> 60)
			return -EOVERFLOW;
		*mask = *mask << 4 | (u64)d;
	}
	return 0;
}

static bool number(const char **p, const char *end, unsigned *v)
{
	const char *start = *p;

	for (*v = 0; *p < end && **p >= '0' && **p <= '9' && *v < 10000; (*p)++)
		*v = *v * 10 + (unsigned)(**p - '0');
	return *p > start;
}

/* "0-3,7" */
static int parse_list(const char *p, u64 n, cpumask_t *mask)
{
	const char *end = p + n;
	unsigned a, b;

	for (*mask = 0; p < end; p++) {
		if (!number(&p, end, &a))
			return -EINVAL;
		b = a;
		if (p < end && *p == '-' && (p++, !number(&p, end, &b)))
			return -EINVAL;
		if (b < a || (p < end && *p != ','))
			return -EINVAL;
		if (b >= MAX_CPUS)
			return -ERANGE;
		*mask |= (~0ull >> (63 - (b - a))) << a;
	}
	return *mask ? 0 : -EINVAL;
}

static u64 trimmed(const char *text, u64 n)
{
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	return n;
}

static int write_affinity(const char *text, u64 n, unsigned irq, int (*parse)(const char *, u64, cpumask_t *))
{
	cpumask_t mask;
	int err = parse(text, trimmed(text, n), &mask);

	return err ?: irq_set_affinity(irq, mask);
}

static cpumask_t may_go(void *arg)
{
	cpumask_t mask = 0;
	int cpu;

	irq_affinity((unsigned)(u64)arg, &mask, &cpu);
	return mask;
}

static cpumask_t goes(void *arg)
{
	cpumask_t mask;
	int cpu = 0;

	irq_affinity((unsigned)(u64)arg, &mask, &cpu);
	return cpumask_of(cpu);
}

static void mask_show(struct seq_buf *s, void *arg) { show_mask(s, may_go(arg)); }
static void list_show(struct seq_buf *s, void *arg) { show_list(s, may_go(arg)); }
static void effective_mask_show(struct seq_buf *s, void *arg) { show_mask(s, goes(arg)); }
static void effective_list_show(struct seq_buf *s, void *arg) { show_list(s, goes(arg)); }
static int mask_write(const char *t, u64 n, void *arg) { return write_affinity(t, n, (unsigned)(u64)arg, parse_mask); }
static int list_write(const char *t, u64 n, void *arg) { return write_affinity(t, n, (unsigned)(u64)arg, parse_list); }

static const struct proc_file files[] = {
	{ .path = "smp_affinity", .mode = 0644, .show = mask_show, .write = mask_write },
	{ .path = "smp_affinity_list", .mode = 0644, .show = list_show, .write = list_write },
	{ .path = "effective_affinity", .mode = 0444, .show = effective_mask_show },
	{ .path = "effective_affinity_list", .mode = 0444, .show = effective_list_show },
};

static void add_irq(unsigned irq)
{
	struct { struct proc_file f; char path[64]; } *made = kzalloc(sizeof(*made) * ARRAY_SIZE(files), GFP_KERNEL);

	VERIFY(made); /* boot */
	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		made[i].f = files[i];
		snprintf(made[i].path, sizeof(made[i].path), "irq/%u/%s", irq, files[i].path);
		made[i].f.path = made[i].path;
		made[i].f.arg = (void *)(u64)irq;
		proc_add(&made[i].f);
	}
}

static void default_show(struct seq_buf *s, void *arg) { (void)arg; show_mask(s, ~0ull); }

void proc_irq_init(void)
{
	static const struct proc_file standard = { .path = "irq/default_smp_affinity", .mode = 0444, .show = default_show };
	cpumask_t mask;
	int cpu;

	proc_add(&standard);
	for (unsigned v = 0; v < 256; v++)
		if (irq_affinity(v, &mask, &cpu))
			add_irq(v);
}
