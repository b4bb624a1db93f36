/*
 * fail.h - what the sweeps of failing allocations share (fail_sweep.c, fail_mm.c, fail_huge.c, fail_files.c, fail_ipc.c, fail_proc.c).
 *
 * A case is a row: `set` prepares, `call` is made with its Nth allocation failing, `undo` is told how that ended, looks whether the state is
 * what the answer promises (all of it or nothing) and takes everything away. Only `call` is armed. For N = 1, 2, ... until nothing is left to
 * fail, with one failure and with three in a row:
 *
 *	- the call succeeds or gives ENOMEM or an errno of the row's `also`; when no allocation failed it succeeds
 *	- undo gives 0
 *	- the lowest free descriptor is the same as before
 *
 * The case is gone through twice, and after the second time there are no more objects and no fewer free pages than after the first. After
 * each family (TEST) the kernel's checkers run; with --long as first argument after each case, and with more failures in a row.
 *
 * A case with `child` is gone through in a child of its own for each N: for what may be killed (faults nobody can serve) or changes a process
 * for good. Needs Quoin's fail-nth: elsewhere everything is skipped.
 */
#ifndef FAIL_H
#define FAIL_H

#include "check.h"
#include "leaks.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define P 4096ul
#ifndef RW
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#endif
#define FAIL_ROOF 400

struct fail_case {
	const char *name;
	int (*set)(void);	/* 0, or the errno of what failed */
	int (*call)(void);	/* 0 or the errno of what failed */
	int (*undo)(int err);	/* 0: the state was right */
	int also[3];		/* right beside ENOMEM */
	int roof;		/* N goes no further; 0: FAIL_ROOF */
	int dies;		/* a child dies of this signal in any case */
	bool child;		/* in a child, that SIGKILL, SIGBUS and SIGSEGV may end */
	bool loose;		/* the number of allocations varies, or the call itself copes: an errno without a failure is right too */
};

#define FAIL(n, s, c, u, ...) { .name = n, .set = s, .call = c, .undo = u, ##__VA_ARGS__ }

static int fail_fd = -1, fail_bad;
static bool fail_long;
static const char *fail_only; /* --case NAME */
static char *fail_self; /* argv[0]; with --ok it only exits */
static struct { int fired, err, state; bool done; } *fail_note; /* what a child says */

/* ---- arming ---- */

/* Opens the calling thread's file: false where there is none. */
static inline bool fail_there(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
	if (fail_fd >= 0)
		close(fail_fd);
	fail_fd = open(path, O_RDWR | O_CLOEXEC);
	return fail_fd >= 0;
}

static inline void fail_arm(int n, int count)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%d %d", n, count);

	/* the write's own buffer may be what fails: then it is tried again */
	for (int tries = 0; write(fail_fd, text, len) != len; tries++)
		if (errno != ENOMEM || tries > count + 5)
			_exit(99);
}

/* Had the failures begun when the call ended with err? Reading counts as well: if a failure hits it, only the call's answer can tell. */
static inline bool fail_disarm(int err)
{
	char text[32] = "";
	ssize_t n = pread(fail_fd, text, sizeof text - 1, 0);
	bool fired = n > 0 ? atoi(text) == 0 : err != 0;

	fail_arm(0, 1);
	return fired;
}

/* errno of a call that gives -1. */
static inline int fail_of(long r)
{
	return r == -1 ? errno : 0;
}

#define TRY(c)                         \
	do {                           \
		if ((long)(c) == -1) { \
			err = errno;   \
			goto out;      \
		}                      \
	} while (0)

/* ---- what is left behind (leaks.h) ---- */

static inline int fail_checkers(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/vm/check", O_RDWR);

	if (write(fd, "1", 1) != 1 || pread(fd, text, sizeof text - 1, 0) < 1)
		text[0] = '9';
	close(fd);
	return atoi(text);
}

/* ---- the sweep ---- */

static inline void fail_say(const struct fail_case *c, int n, int count, const char *what, int err)
{
	if (fail_bad++ < 8)
		printf("  %s, allocation %d (%d fail): %s (%s)\n", c->name, n, count, what, strerror(err));
}

static inline bool fail_allowed(const struct fail_case *c, int err)
{
	return !err || err == ENOMEM || err == c->also[0] || err == c->also[1] || err == c->also[2];
}

static inline bool fail_in_child(const struct fail_case *c, int n, int count, int *err, int *state)
{
	int st = 0;
	pid_t p;

	memset(fail_note, 0, sizeof *fail_note);
	fflush(stdout);
	p = fork();
	if (!p) {
		if (!fail_there())
			_exit(98);
		if (c->set && (fail_note->err = c->set()))
			_exit(97);
		fail_arm(n, count);
		fail_note->err = c->call();
		fail_note->fired = fail_disarm(fail_note->err);
		fail_note->done = true;
		if (c->undo)
			fail_note->state = c->undo(fail_note->err);
		_exit(0);
	}
	if (p < 0 || waitpid(p, &st, 0) != p) {
		*state = EPROTO;
		return false;
	}
	*err = fail_note->err;
	*state = fail_note->state;
	if (fail_note->done)
		return fail_note->fired;
	/* what the child called never came back */
	bool fired = fail_disarm(st);
	bool killed = WIFSIGNALED(st) && (WTERMSIG(st) == SIGKILL || WTERMSIG(st) == SIGSEGV || WTERMSIG(st) == SIGBUS);
	*err = st == 0 || (c->dies && WIFSIGNALED(st) && WTERMSIG(st) == c->dies) ? 0 : killed && fired ? ENOMEM : WIFEXITED(st) ? WEXITSTATUS(st) : EPROTO;
	return fired;
}

static inline bool fail_once(const struct fail_case *c, int n, int count, int *failures)
{
	int err = 0, state = 0, fd = dup(1), fd2;
	bool fired;

	close(fd);
	if (c->child) {
		fired = fail_in_child(c, n, count, &err, &state);
	} else {
		int e = c->set ? c->set() : 0;

		if (e) {
			fail_say(c, n, count, "could not be prepared", e);
			return false;
		}
		fail_arm(n, count);
		err = c->call();
		fired = fail_disarm(err);
		if (c->undo)
			state = c->undo(err);
	}
	*failures += err != 0;
	if (!fail_allowed(c, err))
		fail_say(c, n, count, "wrong errno", err);
	else if (err && !fired && !c->loose)
		fail_say(c, n, count, "nothing failed, but", err);
	if (state)
		fail_say(c, n, count, err ? "failed and left a wrong state" : "succeeded and left a wrong state", state);
	fd2 = dup(1);
	close(fd2);
	if (fd2 > fd)
		fail_say(c, n, count, "a descriptor was left", 0);
	return fired;
}

static inline int fail_sweep_case(const struct fail_case *c, int *failures)
{
	static const int counts[] = { 1, 3, 2, 8, 40 };
	int quiet = 0, n;

	for (n = 1; n <= (c->roof && !fail_long ? c->roof : FAIL_ROOF) && quiet < (c->loose ? 6 : 2); n++) {
		bool fired = false;

		for (int i = 0; i < (fail_long ? 5 : 2); i++)
			fired |= fail_once(c, n, counts[i], failures);
		quiet = fired ? 0 : quiet + 1;
	}
	return n - 1 - quiet;
}

static inline void fail_case(const struct fail_case *c)
{
	static struct leaks_state before, after;
	int failures = 0, n, bad;
	struct timespec t0, t1;

	if (!fail_there() || (fail_only && strcmp(fail_only, c->name)))
		return; /* not Quoin, or not wanted */
	if (!fail_note)
		fail_note = mmap(NULL, P, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	fail_bad = 0;
	fail_sweep_case(c, &failures);
	bad = fail_bad;
	usleep(5000);
	leaks_look(&before);
	n = fail_sweep_case(c, &failures);
	for (int tries = 0; tries < 100; tries++) { /* frees come after grace periods */
		leaks_look(&after);
		if (!leaks_between(&before, &after, 0, false))
			break;
		usleep(10000);
	}
	CHECK_EQ(leaks_between(&before, &after, 0, true), 0);
	CHECK_EQ(fail_bad, 0);
	CHECK_GE(n, 1); /* it allocates */
	if (fail_long)
		CHECK_EQ(fail_checkers(), 0);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	printf("  %s: %d allocations, %d failures, %ld ms%s\n", c->name, n, failures,
	       (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000, bad || fail_bad ? ": BAD" : "");
}

static inline void fail_family(const struct fail_case *c, unsigned n)
{
	if (!fail_there())
		return;
	for (unsigned i = 0; i < n; i++)
		fail_case(&c[i]);
	CHECK_EQ(fail_checkers(), 0);
}
#define FAIL_FAMILY(table) fail_family(table, sizeof(table) / sizeof(*(table)))

static inline int fail_main(int argc, char **argv)
{
	fail_self = argv[0];
	if (argc > 1 && !strcmp(argv[1], "--ok"))
		return 0;
	if (argc > 1 && !strcmp(argv[1], "--long")) {
		fail_long = true;
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (argc > 2 && !strcmp(argv[1], "--case")) {
		fail_only = argv[2];
		argv += 2;
		argc -= 2;
	}
	signal(SIGUSR1, SIG_IGN);
	signal(SIGRTMIN, SIG_IGN);
	return check_main(argc, argv);
}

#endif
