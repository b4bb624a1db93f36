/* /sys/devices/system/clocksource: the counters that can make the time, and the one that does. */
#include <fs/procfs.h>
#include <kernel/time.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <uapi/errno.h>

#define DIR "devices/system/clocksource/clocksource0/"
#define NAME_LEN 32

static void available_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	for (enum clock_source c = 0; c < NR_CLOCK_SOURCES; c++) {
		const char *name = clock_source_name(c);
		if (name)
			seq_printf(s, "%s ", name);
	}
	seq_putc(s, '\n');
}

static void current_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_printf(s, "%s\n", clock_source_name(READ_ONCE(clock_scale)->source) ?: "");
}

/* As Linux's: a name nobody has is taken without an error, and changes nothing. */
static int current_write(const char *text, u64 n, void *arg)
{
	char name[NAME_LEN];

	(void)arg;
	if (!n || n >= NAME_LEN)
		return -EINVAL;
	memcpy(name, text, n);
	name[n - (text[n - 1] == '\n')] = name[n] = '\0';
	clock_use(name);
	return 0;
}

static const struct proc_file files[] = {
	{ .path = DIR "available_clocksource", .mode = 0444, .show = available_show },
	{ .path = DIR "current_clocksource", .mode = 0644, .show = current_show, .write = current_write },
};

void sysfs_clock_init(void)
{
	sysfs_add_table(files, ARRAY_SIZE(files));
}
