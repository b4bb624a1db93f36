/* /proc/sys: numbers and names that tune a running kernel (sysctl(8)). What has no effect here is not here. Those about memory: proc_sysvm.c. */
#include <fs/dnotify.h>
#include <fs/fdtable.h>
#include <fs/inotify.h>
#include <fs/internal.h>
#include <fs/mqueue.h>
#include <fs/pipe.h>
#include <fs/procfs.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <lib/parse.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <proc/coredump.h>
#include <proc/impl.h>
#include <proc/ipc.h>
#include <proc/task.h>
#include <proc/uts.h>

typedef unsigned long long ull;

static void text_show(struct seq_buf *s, void *arg) { seq_printf(s, "%s\n", (const char *)arg); }

/* A host or domain name of at most 64 bytes. */
static int name_write(const char *text, u64 n, void *arg)
{
	char *to = arg;

	if (n && text[n - 1] == '\n')
		n--;
	if (n > 64)
		return -EINVAL;
	memcpy(to, text, n);
	to[n] = 0;
	return 0;
}

/* kernel.core_pattern: up to 127 bytes, without the newline. */
static int pattern_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (n && text[n - 1] == '\n')
		n--;
	if (n >= sizeof(core_pattern))
		n = sizeof(core_pattern) - 1;
	memcpy(core_pattern, text, n);
	core_pattern[n] = 0;
	return 0;
}

static void uses_pid_show(struct seq_buf *s, void *arg) { (void)arg; seq_printf(s, "%u\n", core_uses_pid); }
static int uses_pid_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	u64 v = 0;
	struct sysctl c = { &v, 0, 1 };
	int r = sysctl_write(text, n, &c);

	if (!r)
		core_uses_pid = (u32)v;
	return r;
}

static void uuid_text(struct seq_buf *s, const u8 *u)
{
	for (int i = 0; i < 16; i++)
		seq_printf(s, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
	seq_putc(s, '\n');
}

static void uuid_make(u8 *u)
{
	get_random_bytes(u, 16);
	u[6] = (u[6] & 15) | 0x40;
	u[8] = (u[8] & 0x3f) | 0x80;
}

static void uuid_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	u8 u[16];

	uuid_make(u);
	uuid_text(s, u);
}

static void boot_id_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	static u8 id[16];
	static DEFINE_MUTEX(once);

	mutex_lock(&once);
	if (!id[6])
		uuid_make(id);
	mutex_unlock(&once);
	uuid_text(s, id);
}

static void printk_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_printf(s, "%d\t4\t1\t7\n", console_loglevel);
}
static int printk_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (!n || text[0] < '0' || text[0] > '8')
		return -EINVAL;
	console_loglevel = text[0] - '0';
	return 0;
}

static void file_nr_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_printf(s, "%llu\t0\t%llu\n", (ull)nr_open_files(), (ull)files_max);
}

static void sem_show(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_printf(s, "%llu\t%llu\t%llu\t%llu\n", (ull)ipc_limits.semmsl, (ull)ipc_limits.semmns, (ull)ipc_limits.semopm,
		   (ull)ipc_limits.semmni);
}

/* One to four numbers: those not given stay. */
static int sem_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	u64 *const to[] = { &ipc_limits.semmsl, &ipc_limits.semmns, &ipc_limits.semopm, &ipc_limits.semmni };
	static const u64 most[] = { 32000, S32_MAX, 32000, IPC_MAX };
	u64 v[4];
	u32 k = 0;

	for (u64 i = 0; i < n;) {
		if (text[i] == ' ' || text[i] == '\t' || text[i] == '\n') {
			i++;
			continue;
		}
		if (k == 4 || text[i] < '0' || text[i] > '9')
			return -EINVAL;
		for (v[k] = 0; i < n && text[i] >= '0' && text[i] <= '9' && v[k] <= S32_MAX; i++)
			v[k] = v[k] * 10 + text[i] - '0';
		if (v[k] > most[k])
			return -EINVAL;
		k++;
	}
	for (u32 i = 0; i < k; i++)
		WRITE_ONCE(*to[i], v[i]);
	return k ? 0 : -EINVAL;
}

static void pid_max_show(struct seq_buf *s, void *arg) { (void)arg; seq_printf(s, "%d\n", pid_max); }
static int pid_max_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	u64 v = 0;
	struct sysctl c = { &v, 301, 4194304 };
	int r = sysctl_write(text, n, &c);

	return r ?: pid_set_max(v);
}

static void threads_max_show(struct seq_buf *s, void *arg) { (void)arg; seq_printf(s, "%d\n", max_threads); }
static int threads_max_write(const char *text, u64 n, void *arg)
{
	(void)arg;
	u64 v = 0;
	struct sysctl c = { &v, 20, 4194304 };
	int r = sysctl_write(text, n, &c);

	if (!r)
		WRITE_ONCE(max_threads, (s32)v);
	return r;
}

static void const_show(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", (ull)arg); }
#define CONST(p, v) { .path = "sys/" p, .mode = 0444, .show = const_show, .arg = (void *)(u64)(v) }

static const struct proc_file table[] = {
	{ .path = "sys/kernel/ostype", .mode = 0444, .show = text_show, .arg = uts_name.sysname },
	{ .path = "sys/kernel/osrelease", .mode = 0444, .show = text_show, .arg = uts_name.release },
	{ .path = "sys/kernel/version", .mode = 0444, .show = text_show, .arg = uts_name.version },
	{ .path = "sys/kernel/hostname", .mode = 0644, .show = text_show, .write = name_write, .arg = uts_name.nodename },
	{ .path = "sys/kernel/domainname", .mode = 0644, .show = text_show, .write = name_write, .arg = uts_name.domainname },
	{ .path = "sys/kernel/core_pattern", .mode = 0644, .show = text_show, .write = pattern_write, .arg = core_pattern },
	{ .path = "sys/kernel/core_uses_pid", .mode = 0644, .show = uses_pid_show, .write = uses_pid_write },
	{ .path = "sys/kernel/printk", .mode = 0644, .show = printk_show, .write = printk_write },
	{ .path = "sys/kernel/random/uuid", .mode = 0444, .show = uuid_show },
	{ .path = "sys/kernel/random/boot_id", .mode = 0444, .show = boot_id_show },
	CONST("kernel/random/entropy_avail", 256),
	CONST("kernel/random/poolsize", 256),
	CONST("kernel/ngroups_max", NGROUPS_MAX),
	CONST("kernel/cap_last_cap", CAP_LAST),
	CONST("kernel/overflowuid", 65534),
	CONST("kernel/overflowgid", 65534),
	SYSCTL_U64("sys/kernel/tainted", kernel_tainted, 0, ~0ull),
	SYSCTL_U64("sys/kernel/shmmax", ipc_limits.shmmax, 0, ~0ull),
	SYSCTL_U64("sys/kernel/shmall", ipc_limits.shmall, 0, ~0ull),
	SYSCTL_U64("sys/kernel/shmmni", ipc_limits.shmmni, 0, IPC_MAX),
	SYSCTL_U64("sys/kernel/msgmax", ipc_limits.msgmax, 0, 1 << 20),
	SYSCTL_U64("sys/kernel/msgmnb", ipc_limits.msgmnb, 0, S32_MAX),
	SYSCTL_U64("sys/kernel/msgmni", ipc_limits.msgmni, 0, IPC_MAX),
	{ .path = "sys/kernel/sem", .mode = 0644, .show = sem_show, .write = sem_write },
	SYSCTL_U64("sys/fs/inotify/max_queued_events", inotify_max_queued_events, 0, S32_MAX),
	SYSCTL_U64("sys/fs/inotify/max_user_instances", inotify_max_user_instances, 0, S32_MAX),
	SYSCTL_U64("sys/fs/inotify/max_user_watches", inotify_max_user_watches, 0, S32_MAX),
	SYSCTL_U64("sys/fs/lease-break-time", lease_break_time, 0, S32_MAX),
	SYSCTL_U64("sys/fs/mqueue/queues_max", mq_limits.queues_max, 0, S32_MAX),
	SYSCTL_U64("sys/fs/mqueue/msg_max", mq_limits.msg_max, 1, 65536),
	SYSCTL_U64("sys/fs/mqueue/msgsize_max", mq_limits.msgsize_max, 128, 16 << 20),
	SYSCTL_U64("sys/fs/mqueue/msg_default", mq_limits.msg_default, 1, 65536),
	SYSCTL_U64("sys/fs/mqueue/msgsize_default", mq_limits.msgsize_default, 128, 16 << 20),
	SYSCTL_U64("sys/fs/nr_open", nr_open_max, 64, 0x7fffffc0),
	SYSCTL_U64("sys/fs/dir-notify-enable", dnotify_enable, 0, 1),
	SYSCTL_U64("sys/fs/pipe-max-size", pipe_max_size, PAGE_SIZE, 1u << 31),
	CONST("fs/overflowuid", 65534),
	CONST("fs/overflowgid", 65534),
	{ .path = "sys/fs/file-nr", .mode = 0444, .show = file_nr_show },
	SYSCTL_U64("sys/fs/file-max", files_max, 1, ~0ull >> 1),
	{ .path = "sys/kernel/pid_max", .mode = 0644, .show = pid_max_show, .write = pid_max_write },
	{ .path = "sys/kernel/threads-max", .mode = 0644, .show = threads_max_show, .write = threads_max_write },
};


void proc_sysctl_init(void)
{
	proc_add_table(table, ARRAY_SIZE(table));
	proc_sysvm_init();
}
