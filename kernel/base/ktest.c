/*
 * The runner of in-kernel tests (kernel/ktest.h).
 *
 * Tests run one after another in a kernel thread, in link order. Each is named on the host channel and in the log with
 * its result: "ktest NAME ok 12 ms". After every test the checkers of the whole kernel run (mm/check.h): a mismatch fails the
 * test that left it.
 */
#include <kernel/cmdline.h>
#include <kernel/ktest.h>
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <x86/cpu.h>

extern const struct ktest __ktests_start[], __ktests_end[];

/* Doors upward. */
u64 check_everything(void);
void hostcon_write_ctl(const char *s);
void hostcon_write_out(const char *s, u64 n);

static u32 failures; /* (a) of the running test */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vscnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	pr_notice("%s", line);
	line[n++] = '\n';
	hostcon_write_out(line, n);
}

void ktest_fail(const char *file, int line, const char *fmt, ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	vscnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
	say("  %s:%d: %s", file, line, text);
}

static bool run_one(const struct ktest *t)
{
	u64 start = ktime_ns(), wrong;

	failures = 0;
	t->fn();
	rcu_barrier();
	wrong = check_everything();
	if (wrong)
		say("  the checkers found %llu mismatches (see the log)", wrong);
	say("ktest %s %s %llu ms", t->name, failures || wrong ? "FAIL" : "ok",
	    (ktime_ns() - start) / NSEC_PER_MSEC);
	return !failures && !wrong;
}

int ktest_run_all(void)
{
	char prefix[64] = "";
	int failed = 0, run = 0;

	cmdline_get("ktest", prefix, sizeof(prefix));
	for (const struct ktest *t = __ktests_start; t < __ktests_end; t++) {
		if (!str_has_prefix(t->name, prefix) && prefix[0])
			continue;
		run++;
		failed += !run_one(t);
	}
	say("ktest: %d run, %d failed", run, failed);
	return failed;
}

void ktest_main(void)
{
	hostcon_write_ctl("start\n");
	hostcon_write_ctl(ktest_run_all() ? "exit 1\n" : "exit 0\n");
	machine_poweroff();
}
