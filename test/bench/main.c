/*
 * bench - what operations cost on the kernel that runs it.
 *
 *	bench [--shift N | --wall] [--set core|scale|smp|self] [--ops A,B,...] [--quick] [--processes N]
 *	      [--settle SECONDS] [--tune] [--spread] [--list]
 *
 * Prints one line an operation: "NAME VALUE UNIT", or "NAME skipped ERRNO", or "NAME FAILED why".
 * With --tune, limits below /proc/sys are raised where an operation needs it: for a machine that is
 * thrown away afterwards.  The exit code is 1 when something FAILED or nothing was chosen.
 *
 * The parent starts each operation as a process of its own that executes this program again (see
 * bench.h), so an operation that crashes costs its own line only.  Counted operations run in
 * several such processes, one after the other, because some of the cost is decided by where ASLR
 * has put stack and heap: how many pages and tables they touch.  The parent reads each child's
 * answer from a pipe; the result is the mean of the processes' results without the lowest and
 * highest tenth (of few: quarter), which moves less than either the median (answers come in a few sizes, and the
 * median jumps between them) or the mean (one process in many meets something rare).  --spread
 * prints the processes' results too.
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
const char *bench_dir;

enum { WARM = 1, WARM_PROCESSES = 5, MAX_PROCESSES = 100, TMPFS_MAGIC = 0x01021994 };

static bool spread;
static int processes;		/* 0: what the operation's set says */
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

/* The mean without the cut lowest and the cut highest.  Sorts. */
static double trimmed_mean(double *value, int n, int cut)
{
	double sum = 0;

	qsort(value, n, sizeof *value, by_value);
	for (int i = cut; i < n - cut; i++)
		sum += value[i];
	return sum / (n - 2 * cut);
}

/* The answer of one process. */
static double answer_of(enum bench_answer how, double *sample, int n)
{
	switch (how) {
	case MEAN:
		return trimmed_mean(sample, n, 0);
	case MIDDLE:
		return trimmed_mean(sample, n, n / 4);
	default:
		qsort(sample, n, sizeof *sample, by_value);
		return sample[n / 2];
	}
}

/*
 * Take chance out of where mmap puts things: everything that is mapped from here on lies below a
 * page that is 1 MiB above a multiple of 1 GiB, whose page table exists.  What ASLR chose lies above;
 * the space between is taken by one forbidden mapping.  Both kernels map downwards.
 */
static void settle_layout(void)
{
	enum { MIB = 1 << 20, GIB = 1 << 30 };
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *next = mmap(NULL, PAGE, PROT_NONE, flags, -1, 0);
	uintptr_t end = (uintptr_t)next + PAGE, mark = (end & -(uintptr_t)GIB) + MIB;

	NEED(next != MAP_FAILED && !munmap(next, PAGE));
	if (mark + PAGE >= end)
		mark -= GIB;
	next = mmap((void *)mark, end - mark, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	NEED(next == (char *)mark && !mprotect(next, PAGE, PROT_READ));
	CHECK(!*(volatile char *)next);
}

/*
 * The same for the stack: where in a page its end lies is chance, and decides whether the frames of the
 * operation are in one page or in two.
 */
static __attribute__((noinline)) void run_on_fresh_page(const struct bench_op *op, struct bench *b)
{
	size_t above = (uintptr_t)__builtin_frame_address(0) % PAGE;
	volatile char *gap = __builtin_alloca(above + 64);

	gap[0] = 0;
	op->run(b, op->arg);
}

/* In a process of its own: run one operation and print its line. */
static int run_here(const struct bench_op *op)
{
	static struct bench b;

	current = op;
	b.name = op->name;
	b.warm = WARM;
	b.left = bench_quick && op->batches > 5 ? 5 : op->batches;
	settle_layout();
	run_on_fresh_page(op, &b);
	if (!b.count)
		bench_fail(op->name, 0, "recorded nothing");
	printf("%s %.3f\n", op->name, answer_of(op->answer, b.sample, b.count));
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

/*
 * A tmpfs of its own for each process, and in it the directory "d".  No name on the way there is used
 * twice: where the hash of a name meets that of another is chance (KASLR), and must not be the same
 * chance for all processes.  Nobody else's directory is mounted over.
 */
static char mount_point[32];

static void make_dir(void)
{
	static char path[40];
	static int serial;
	struct statfs fs;

	snprintf(mount_point, sizeof mount_point, "/bench-%d.%d", getpid(), ++serial);
	snprintf(path, sizeof path, "%s/d", mount_point);
	if (mkdir(mount_point, 0755) || mount("tmpfs", mount_point, "tmpfs", 0, NULL) || mkdir(path, 0755) ||
	    statfs(path, &fs) || fs.f_type != TMPFS_MAGIC)
		fprintf(stderr, "bench: %s is not tmpfs (%s)\n", path, strerror(errno));
	setenv("BENCH_DIR", path, 1);
}

static void remove_dir(void)
{
	if (umount2(mount_point, MNT_DETACH) || rmdir(mount_point))
		fprintf(stderr, "bench: %s stays (%s)\n", mount_point, strerror(errno));
}

/* Run the operation in a new process and read what it prints.  => its exit code; 1 when it FAILED */
static int run_apart(const struct bench_op *op, char **self, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int out[2], status;
	pid_t pid;

	*text = '\0';
	make_dir();
	if (pipe(out) || (pid = fork()) < 0) {
		snprintf(text, size, "%s FAILED fork", op->name);
		return 1;
	}
	if (!pid) {
		setenv("BENCH_ONE", op->name, 1);
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execv("/proc/self/exe", self);
		execv(self[0], self);
		_exit(125);
	}
	close(out[1]);
	while (len < size - 1 && (n = read(out[0], text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	close(out[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	remove_dir();
	if (WIFSIGNALED(status))
		snprintf(text, size, "%s FAILED signal %d", op->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) > 1)
		snprintf(text, size, "%s FAILED exit %d", op->name, WEXITSTATUS(status));
	return WIFSIGNALED(status) ? 1 : WEXITSTATUS(status);
}

static int processes_of(const struct bench_op *op)
{
	if (processes)
		return processes;
	if (op->processes || op->unit)
		return op->processes ?: 1;
	return op->set != CORE ? 3 : bench_quick ? 9 : 25;
}

/* Run the operation and print its line.  => did it pass (or was it skipped)? */
static bool measure(const struct bench_op *op, char **self)
{
	static double value[MAX_PROCESSES];
	static char text[1000];
	size_t name_len = strlen(op->name);
	int n = processes_of(op), warm = n == 1 ? 0 : op->set != CORE ? 1 : WARM_PROCESSES;

	for (int i = -warm; i < n; i++) {
		int code = run_apart(op, self, text, sizeof text);
		char *answer = text + name_len, *end;

		text[strcspn(text, "\n")] = '\0';
		if (strncmp(text, op->name, name_len) || *answer++ != ' ')
			answer = strcpy(text, "FAILED said nothing"), code = 1;
		value[i < 0 ? 0 : i] = strtod(answer, &end);
		if (code || end == answer || *end) {
			line(op->name, answer, "");
			return !code;
		}
	}
	for (int i = 0; spread && i < n; i++)
		printf("  %.1f%s", value[i], i == n - 1 ? "\n" : "");
	snprintf(text, sizeof text, "%.1f", trimmed_mean(value, n, n < 10 ? n / 4 : n / 10));
	line(op->name, text, unit_of(op));
	/* let a process that relays our output do so now, not during the next operation */
	fflush(stdout);
	usleep(20000);
	return true;
}

static void usage(void)
{
	fprintf(stderr, "usage: bench [--shift N | --wall] [--set core|scale|smp|self] [--ops A,B]\n"
			"             [--quick] [--processes N] [--settle SECONDS] [--tune] [--spread] [--list]\n");
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
	static const char *const sets[] = { "core", "scale", "smp", "self" };

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--quick")) {
			bench_quick = true;
		} else if (!strcmp(argv[i], "--spread")) {
			spread = true;
		} else if (!strcmp(argv[i], "--tune")) {
			bench_tune = true;
		} else if (!strcmp(argv[i], "--list")) {
			o->list = true;
		} else if (!strcmp(argv[i], "--wall")) {
			bench_shift = -1;
		} else if (!strcmp(argv[i], "--shift") && more) {
			bench_shift = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--processes") && more) {
			processes = atoi(argv[++i]);
			if (processes < 1 || processes > MAX_PROCESSES)
				usage();
		} else if (!strcmp(argv[i], "--settle") && more) {
			o->settle = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--ops") && more) {
			o->ops = argv[++i];
		} else if (!strcmp(argv[i], "--set") && more) {
			for (o->set = 0, i++; o->set < 4 && strcmp(argv[i], sets[o->set]); o->set++)
				;
			if (o->set == 4)
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
	bench_dir = getenv("BENCH_DIR");
	if (one && bench_dir) {
		const struct bench_op *op = find(one);

		unsetenv("BENCH_ONE");
		return op ? run_here(op) : 125;
	}
	if (o.settle)
		sleep(o.settle);
	for (const struct bench_op *op = __start_bench_ops; op < __stop_bench_ops; op++) {
		if (o.ops ? !listed(o.ops, op->name) : op->set != (o.set < 0 ? CORE : o.set))
			continue;
		chosen++;
		if (o.list)
			printf("%-22s %s\n", op->name, op->what);
		else
			failed += !measure(op, argv);
	}
	if (!chosen)
		fprintf(stderr, "bench: no such operation, see --list\n");
	return failed || !chosen;
}
