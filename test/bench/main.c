/*
 * bench - what operations cost on the kernel that runs it.
 *
 *	bench [--shift N | --wall] [--set core|scale|smp] [--ops A,B,...] [--quick] [--json]
 *	      [--settle SECONDS] [--tune] [--list]
 *
 * Prints one line an operation: "NAME VALUE UNIT", or "NAME skipped ERRNO", or "NAME FAILED why".
 * With --tune, limits below /proc/sys are raised where an operation needs it: for a machine that is
 * thrown away afterwards.  The exit code is 1 when something FAILED or nothing was chosen.
 *
 * The parent starts each operation as a process of its own that executes this program again (see
 * bench.h), so an operation that crashes costs its own line only.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include "bench.h"

extern const struct bench_op __start_bench_ops[], __stop_bench_ops[];

int bench_shift = -1;
bool bench_quick, bench_tune;
const char *bench_dir = "/run/bench"; /* never a directory that others use: it is mounted over */

enum { WARM = 2, TMPFS_MAGIC = 0x01021994 };

static bool json;
static const struct bench_op *current;

uint64_t bench_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

bool bench_more(struct bench *b)
{
	b->recording = !b->warm;
	if (b->warm) {
		b->warm--;
		return true;
	}
	return b->left != 0;
}

void bench_record(struct bench *b, double value)
{
	if (!b->recording || !b->left)
		return;
	b->sample[b->count++] = value;
	b->left--;
}

static const char *unit_of(const struct bench_op *op)
{
	return op->unit ? op->unit : bench_shift < 0 ? "ns" : "insns";
}

static void line(const char *name, const char *result, const char *unit)
{
	if (json)
		printf("{\"op\": \"%s\", \"result\": \"%s\", \"unit\": \"%s\"}\n", name, result, unit);
	else
		printf("%s %s%s%s\n", name, result, *unit ? " " : "", unit);
	fflush(stdout);
}

void bench_fail(const char *file, int where, const char *text, ...)
{
	char why[300];
	int n = snprintf(why, sizeof why, "FAILED %s:%d: ", file, where);
	va_list ap;

	va_start(ap, text);
	vsnprintf(why + n, sizeof why - n, text, ap);
	va_end(ap);
	line(current->name, why, "");
	_exit(1);
}

static const char *errno_name(int err)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { EINTR, "EINTR" }, { EIO, "EIO" },
		{ E2BIG, "E2BIG" }, { ENOEXEC, "ENOEXEC" }, { EBADF, "EBADF" },
		{ ECHILD, "ECHILD" }, { EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" },
		{ EACCES, "EACCES" }, { EFAULT, "EFAULT" }, { EBUSY, "EBUSY" },
		{ EEXIST, "EEXIST" }, { ENODEV, "ENODEV" }, { ENOTDIR, "ENOTDIR" },
		{ EINVAL, "EINVAL" }, { ENFILE, "ENFILE" }, { EMFILE, "EMFILE" },
		{ ENOSPC, "ENOSPC" }, { ENOSYS, "ENOSYS" }, { EOPNOTSUPP, "EOPNOTSUPP" },
		{ EAFNOSUPPORT, "EAFNOSUPPORT" }, { EPROTONOSUPPORT, "EPROTONOSUPPORT" },
	};
	static char other[16];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].err == err)
			return names[i].name;
	snprintf(other, sizeof other, "E%d", err);
	return other;
}

void bench_skip(int err)
{
	char text[40];

	snprintf(text, sizeof text, "skipped %s", errno_name(err));
	line(current->name, text, "");
	_exit(0);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In a process of its own: run one operation and print its line. */
static int run_here(const struct bench_op *op)
{
	static struct bench b;
	char text[40];

	current = op;
	b.name = op->name;
	b.warm = bench_quick ? 1 : WARM;
	b.left = bench_quick && op->batches > 5 ? 5 : op->batches;
	op->run(&b, op->arg);
	if (!b.count)
		bench_fail(op->name, 0, "recorded nothing");
	qsort(b.sample, b.count, sizeof *b.sample, by_value);
	snprintf(text, sizeof text, "%.1f", b.sample[b.count / 2]);
	line(op->name, text, unit_of(op));
	return 0;
}

static const struct bench_op *find(const char *name)
{
	for (const struct bench_op *op = __start_bench_ops; op < __stop_bench_ops; op++)
		if (!strcmp(op->name, name))
			return op;
	return NULL;
}

/* => does the comma-separated list contain the name? */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += len)
		if ((p == list || p[-1] == ',') && (!p[len] || p[len] == ','))
			return true;
	return false;
}

/* => did it pass (or was it skipped)? */
static bool run_apart(const struct bench_op *op, char **self)
{
	pid_t pid = fork();
	char text[60];
	int status;

	if (pid < 0) {
		line(op->name, "FAILED fork", "");
		return false;
	}
	if (!pid) {
		setenv("BENCH_ONE", op->name, 1);
		execv("/proc/self/exe", self);
		execv(self[0], self);
		_exit(125);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* let a process that relays our output do so now, not during the next operation */
	usleep(20000);
	if (WIFSIGNALED(status)) {
		snprintf(text, sizeof text, "FAILED signal %d", WTERMSIG(status));
		line(op->name, text, "");
		return false;
	}
	if (WEXITSTATUS(status) > 1) {
		snprintf(text, sizeof text, "FAILED exit %d", WEXITSTATUS(status));
		line(op->name, text, "");
	}
	return WEXITSTATUS(status) == 0;
}

static void prepare_dir(void)
{
	struct statfs fs;

	mkdir("/run", 0755);
	mkdir(bench_dir, 01777);
	if (statfs(bench_dir, &fs) || fs.f_type != TMPFS_MAGIC)
		if (mount("tmpfs", bench_dir, "tmpfs", 0, NULL))
			fprintf(stderr, "bench: %s is not tmpfs (%s)\n", bench_dir, strerror(errno));
}

static void usage(void)
{
	fprintf(stderr, "usage: bench [--shift N | --wall] [--set core|scale|smp] [--ops A,B]\n"
			"             [--quick] [--json] [--settle SECONDS] [--tune] [--list]\n");
	exit(2);
}

struct options {
	const char *ops;
	int set;
	bool list;
	int settle;
};

static void parse(int argc, char **argv, struct options *o)
{
	static const char *const sets[] = { "core", "scale", "smp" };

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--quick")) {
			bench_quick = true;
		} else if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--tune")) {
			bench_tune = true;
		} else if (!strcmp(argv[i], "--list")) {
			o->list = true;
		} else if (!strcmp(argv[i], "--wall")) {
			bench_shift = -1;
		} else if (!strcmp(argv[i], "--shift") && more) {
			bench_shift = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--settle") && more) {
			o->settle = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--ops") && more) {
			o->ops = argv[++i];
		} else if (!strcmp(argv[i], "--set") && more) {
			for (o->set = 0, i++; o->set < 3 && strcmp(argv[i], sets[o->set]); o->set++)
				;
			if (o->set == 3)
				usage();
		} else {
			usage();
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = { .set = -1 };
	const char *one = getenv("BENCH_ONE");
	int chosen = 0, failed = 0;

	parse(argc, argv, &o);
	if (one) {
		const struct bench_op *op = find(one);

		unsetenv("BENCH_ONE");
		return op ? run_here(op) : 125;
	}
	prepare_dir();
	if (o.settle)
		sleep(o.settle);
	for (const struct bench_op *op = __start_bench_ops; op < __stop_bench_ops; op++) {
		if (o.ops ? !listed(o.ops, op->name) : op->set != (o.set < 0 ? CORE : o.set))
			continue;
		chosen++;
		if (o.list)
			printf("%-22s %s\n", op->name, op->what);
		else
			failed += !run_apart(op, argv);
	}
	if (!chosen)
		fprintf(stderr, "bench: no such operation, see --list\n");
	return failed || !chosen;
}
