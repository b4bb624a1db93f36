/* /sys/kernel/mm/transparent_hugepage: the policy of huge pages. */
#include <fs/procfs.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <x86/layout.h>

/* A choice of words; the one in force in brackets. */
struct choice { int *value; const char *const *words; };

static void choice_show(struct seq_buf *s, void *arg)
{
	const struct choice *c = arg;

	for (int i = 0; c->words[i]; i++)
		seq_printf(s, i == *c->value ? "%s[%s]" : "%s%s", i ? " " : "", c->words[i]);
	seq_putc(s, '\n');
}

static int choice_write(const char *text, u64 n, void *arg)
{
	const struct choice *c = arg;

	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	for (int i = 0; c->words[i]; i++)
		if (strlen(c->words[i]) == n && !memcmp(c->words[i], text, n)) {
			WRITE_ONCE(*c->value, i);
			khugepaged_wake();
			return 0;
		}
	return -EINVAL;
}

/* A shorter pause counts from now on, not from after the one under way. */
static int pause_write(const char *text, u64 n, void *arg)
{
	int err = sysctl_write(text, n, arg);

	khugepaged_wake();
	return err;
}

static void pmd_size_show(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", PMD_SIZE); }
static void number_show(struct seq_buf *s, void *arg) { seq_printf(s, "%llu\n", *(u64 *)arg); }

static const char *const enabled_words[] = { "always", "madvise", "never", NULL };
static const char *const defrag_words[] = { "always", "defer", "defer+madvise", "madvise", "never", NULL }; /* DEFRAG_* */
static const char *const shmem_words[] = { "always", "within_size", "advise", "never", "deny", "force", NULL }; /* SHMEM_HUGE_* */
static struct choice shmem = { &shmem_enabled, shmem_words }, enabled = { &thp_enabled, enabled_words }, defrag = { &thp_defrag, defrag_words };

#define DIR "kernel/mm/transparent_hugepage/"
#define KDIR DIR "khugepaged/"
#define PAUSE(p, var) \
	{ .path = (p), .mode = 0644, .show = sysctl_show, .write = pause_write, .arg = &(struct sysctl){ &(var), 0, 1u << 31 } }
static const struct proc_file files[] = {
	{ .path = DIR "enabled", .mode = 0644, .show = choice_show, .write = choice_write, .arg = &enabled },
	{ .path = DIR "defrag", .mode = 0644, .show = choice_show, .write = choice_write, .arg = &defrag },
	{ .path = DIR "shmem_enabled", .mode = 0644, .show = choice_show, .write = choice_write, .arg = &shmem },
	SYSCTL_U64(DIR "use_zero_page", thp_use_zero_page, 0, 1),
	{ .path = DIR "hpage_pmd_size", .mode = 0444, .show = pmd_size_show },
	SYSCTL_U64(KDIR "pages_to_scan", khugepaged_pages_to_scan, 1, 1 << 30),
	PAUSE(KDIR "scan_sleep_millisecs", khugepaged_sleep_ms),
	PAUSE(KDIR "alloc_sleep_millisecs", khugepaged_alloc_sleep_ms),
	SYSCTL_U64(KDIR "defrag", khugepaged_defrag, 0, 1),
	SYSCTL_U64(KDIR "max_ptes_none", khugepaged_max_none, 0, 511),
	SYSCTL_U64(KDIR "max_ptes_shared", khugepaged_max_shared, 0, 511),
	SYSCTL_U64(KDIR "max_ptes_swap", khugepaged_max_swap, 0, 511),
	{ .path = KDIR "full_scans", .mode = 0444, .show = number_show, .arg = &khugepaged_full_scans },
	{ .path = KDIR "pages_collapsed", .mode = 0444, .show = number_show, .arg = &khugepaged_collapsed },
};

void sysfs_thp_init(void)
{
	sysfs_add_table(files, ARRAY_SIZE(files));
}
