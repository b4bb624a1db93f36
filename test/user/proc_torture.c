// DEBUG: 6
// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 120
/*
 * Processes, threads and signals at random, against what must hold whatever the order of things:
 *   - a child is waited for exactly once, with the status it left with or the signal it was killed by;
 *   - a signal that was queued n times to one that waits for it is taken n times; a blocked one is pending until unblocked;
 *   - a thread that was joined has done its work; a futex handed round is never lost;
 *   - stopped children report the stop, continue and die; an exec from any thread leaves one thread;
 *   - an orphan gets a new parent and is not seen any more.
 * Each worker is a process of several threads that pick actions at random. The parent runs the kernel's checkers meanwhile, and at
 * the end there are as many processes and as much memory as before.
 *
 * Usage: proc_torture [seconds [workers [threads [seed]]]]; 8 s, 6, 3 and a random one without.
 */
#define _GNU_SOURCE
#include "torture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <dirent.h>

static int seconds = 8, workers = 6, nthreads = 3;
static uint64_t seed;
static char *self;
static atomic_int stop, bad;
static atomic_ulong counts[16];
static _Thread_local uint64_t rng;

static uint32_t below(uint32_t n)
{
	uint64_t z = (rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % n;
}

static void holds(bool ok, const char *what, int line, long value)
{
	if (ok)
		return;
	printf("FAIL %d line %d: %s (value %#lx, errno %d)\n", getpid(), line, what, value, errno);
	atomic_store(&bad, 1);
	atomic_store(&stop, 1);
}
#define HOLDS(cond, value) holds(cond, #cond, __LINE__, (long)(value))

static int wait_for(pid_t p, int options)
{
	int st = -1;

	while (waitpid(p, &st, options) < 0)
		if (errno != EINTR) {
			HOLDS(false, p);
			return -1;
		}
	return st;
}

static bool no_room(void)
{
	return errno == EAGAIN || errno == ENOMEM;
}

/* ---- actions ---- */

static void a_fork_exit(void)
{
	int code = below(256);
	pid_t p = below(3) ? fork() : vfork();

	if (!p)
		_exit(code);
	if (p < 0)
		return HOLDS(no_room(), p);
	int st = wait_for(p, 0);
	HOLDS(WIFEXITED(st) && WEXITSTATUS(st) == code, st);
	errno = 0;
	HOLDS(waitpid(p, &st, WNOHANG) == -1 && errno == ECHILD, p);
}

static void a_fork_kill(void)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGHUP, SIGUSR2, SIGKILL };
	int sig = signals[below(5)];
	pid_t p = fork();

	if (!p) {
		if (below(2))
			for (;;)
				;
		for (;;)
			pause();
	}
	if (p < 0)
		return HOLDS(no_room(), p);
	if (below(2))
		sched_yield();
	HOLDS(kill(p, sig) == 0, p);
	int st = wait_for(p, 0);
	HOLDS(WIFSIGNALED(st) && WTERMSIG(st) == sig, st);
}

static void a_stop_continue(void)
{
	pid_t p = fork();
	int st;

	if (!p)
		for (;;)
			below(2) ? (void)sched_yield() : (void)getppid();
	if (p < 0)
		return HOLDS(no_room(), p);
	for (int i = below(4); i > 0; i--) {
		HOLDS(kill(p, SIGSTOP) == 0, p);
		st = wait_for(p, WUNTRACED);
		HOLDS(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP, st);
		HOLDS(kill(p, SIGCONT) == 0, p);
		st = wait_for(p, WCONTINUED);
		HOLDS(WIFCONTINUED(st), st);
	}
	if (below(2))
		kill(p, SIGSTOP);
	HOLDS(kill(p, SIGKILL) == 0, p);
	do
		st = wait_for(p, 0);
	while (WIFSTOPPED(st));
	HOLDS(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL, st);
}

static void a_exec(void)
{
	char code[8];
	int want = below(200);
	pid_t p = below(2) ? fork() : vfork();

	if (!p) {
		char *argv[] = { self, "--exit", code, NULL };

		snprintf(code, sizeof code, "%d", want);
		execv(self, argv);
		_exit(errno == ENOMEM ? want : 255);
	}
	if (p < 0)
		return HOLDS(no_room(), p);
	int st = wait_for(p, 0);
	HOLDS(WIFEXITED(st) && WEXITSTATUS(st) == want, st);
}

static void *spin(void *arg)
{
	for (;;)
		(void)*(volatile int *)arg;
	return NULL;
}

static void *exec_it(void *arg)
{
	execv(self, arg);
	_exit(254);
}

/* A process of several threads ends by exit_group, by exec from one of them, or is killed. */
static void a_group(void)
{
	int want = 1 + below(100), how = below(3), n = 1 + below(4);
	pid_t p = fork();

	if (!p) {
		static int word;
		char code[8], *argv[] = { self, "--exit", code, NULL };
		pthread_t t;

		snprintf(code, sizeof code, "%d", want);
		for (int i = 0; i < n; i++)
			if (pthread_create(&t, NULL, spin, &word))
				_exit(want);
		if (how == 0)
			_exit(want);
		if (how == 1) {
			if (pthread_create(&t, NULL, exec_it, argv))
				_exit(want);
			for (;;)
				pause();
		}
		for (;;)
			sched_yield();
	}
	if (p < 0)
		return HOLDS(no_room(), p);
	if (how == 2)
		kill(p, SIGKILL);
	int st = wait_for(p, 0);
	HOLDS(how == 2 ? WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL : WIFEXITED(st) && WEXITSTATUS(st) == want, st);
}

static void *add_up(void *arg)
{
	atomic_int *n = arg;

	for (int i = 0; i < 100; i++)
		atomic_fetch_add(n, 1);
	return arg;
}

static void a_threads(void)
{
	pthread_t t[6];
	atomic_int n = 0;
	int made = 0;
	void *r;

	for (int i = 1 + below(6); i > 0; i--)
		if (!pthread_create(&t[made], NULL, add_up, &n))
			made++;
	for (int i = 0; i < made; i++)
		HOLDS(pthread_join(t[i], &r) == 0 && r == &n, i);
	HOLDS(n == made * 100, n);
}

/* Real-time signals do not get lost or change their order. */
static void a_queue(void)
{
	int n = 1 + below(20), p[2];
	pid_t c;

	if (pipe(p))
		return HOLDS(errno == EMFILE || errno == ENFILE || no_room(), 0);
	c = fork();
	if (!c) {
		sigset_t set;
		siginfo_t si;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + 3);
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (write(p[1], "x", 1) != 1)
			_exit(9);
		for (int i = 0; i < n; i++) {
			int s;

			while ((s = sigwaitinfo(&set, &si)) < 0 && errno == EINTR)
				;
			if (s != SIGRTMIN + 3 || si.si_value.sival_int != i)
				_exit(1);
		}
		_exit(0);
	}
	if (c < 0) {
		HOLDS(no_room(), c);
	} else {
		char x;

		HOLDS(read(p[0], &x, 1) == 1, 0);
		for (int i = 0; i < n; i++)
			while (sigqueue(c, SIGRTMIN + 3, (union sigval){ .sival_int = i }))
				if (errno != EAGAIN) {
					HOLDS(false, i);
					break;
				}
		int st = wait_for(c, 0);
		HOLDS(st == 0, st);
	}
	close(p[0]);
	close(p[1]);
}

/* A grandchild whose parent ends first belongs to somebody else. */
static void a_orphan(void)
{
	int p[2];
	pid_t c;
	char x;

	if (pipe(p))
		return;
	c = fork();
	if (!c) {
		if (!fork()) {
			while (getppid() == c)
				;
			close(p[0]);
			_exit(write(p[1], "o", 1) != 1);
		}
		_exit(3);
	}
	close(p[1]);
	if (c > 0) {
		int st = wait_for(c, 0);
		HOLDS(WIFEXITED(st) && WEXITSTATUS(st) == 3, st);
		ssize_t n = read(p[0], &x, 1);
		HOLDS(n == 1 || n == 0 /* the second fork failed */, n);
	}
	close(p[0]);
}

static long futex(atomic_int *w, int op, int v)
{
	return syscall(SYS_futex, w, op, v, NULL, NULL, 0);
}

/* A word goes to and fro between processes a number of times; each sleeps until it is its turn. */
static void a_futex(void)
{
	atomic_int *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int turns = 2 * (1 + below(40));

	if (w == MAP_FAILED)
		return;
	pid_t p = fork();
	int mine = p ? 0 : 1;
	if (p < 0) {
		HOLDS(no_room(), p);
	} else {
		for (;;) {
			int v = *w;
			if (v >= turns)
				break;
			if (v % 2 == mine) {
				*w = v + 1;
				futex(w, 1, 1);
			} else {
				futex(w, 0, v);
			}
		}
		if (!p)
			_exit(0);
		int st = wait_for(p, 0);
		HOLDS(st == 0 && *w == turns, st);
	}
	munmap(w, 4096);
}

static void a_schedule(void)
{
	struct sched_param sp = { .sched_priority = 0 };
	cpu_set_t set;
	pid_t p = fork();

	if (!p) {
		for (int i = 0; i < 20; i++) {
			CPU_ZERO(&set);
			CPU_SET(below(4), &set);
			if (sched_setaffinity(0, sizeof set, &set) && errno != EINVAL)
				_exit(1);
			setpriority(PRIO_PROCESS, 0, below(20));
			sp.sched_priority = below(2);
			sched_setscheduler(0, sp.sched_priority ? SCHED_RR : below(2) ? SCHED_BATCH : SCHED_OTHER, &sp);
			sched_yield();
		}
		_exit(0);
	}
	if (p < 0)
		return HOLDS(no_room(), p);
	if (!below(3)) {
		CPU_ZERO(&set);
		CPU_SET(below(4), &set);
		sched_setaffinity(p, sizeof set, &set);
	}
	int st = wait_for(p, 0);
	HOLDS(st == 0, st);
}

static void (*const actions[])(void) = { a_fork_exit, a_fork_kill, a_stop_continue, a_exec, a_group, a_threads, a_queue, a_orphan,
					 a_futex, a_schedule };
#define NACTIONS (sizeof actions / sizeof *actions)

static void *act(void *arg)
{
	rng = seed + (uintptr_t)arg * 7919 + (uint64_t)getpid() * 104729;
	while (!stop) {
		unsigned k = below(NACTIONS);

		actions[k]();
		atomic_fetch_add(&counts[k], 1);
	}
	return NULL;
}

static int worker(void)
{
	pthread_t t[16];
	int made = 0;

	for (int i = 0; i < nthreads; i++)
		made += !pthread_create(&t[made], NULL, act, (void *)(intptr_t)i);
	for (time_t end = time(NULL) + seconds; time(NULL) < end && !stop;)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	stop = 1;
	for (int i = 0; i < made; i++)
		pthread_join(t[i], NULL);
	char line[256];
	int n = snprintf(line, sizeof line, "worker %d:", getpid());
	for (unsigned i = 0; i < NACTIONS; i++)
		n += snprintf(line + n, sizeof line - n, " %lu", counts[i]);
	puts(line);
	return bad;
}

/* ---- the parent ---- */

static int processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	if (d)
		closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	int left = 0, st, failed = 0, before, after = 0;

	self = argv[0];
	if (argc == 3 && !strcmp(argv[1], "--exit"))
		return atoi(argv[2]);
	if (argc > 1)
		seconds = atoi(argv[1]);
	if (argc > 2)
		workers = atoi(argv[2]);
	if (argc > 3)
		nthreads = atoi(argv[3]);
	getentropy(&seed, sizeof seed);
	if (argc > 4)
		seed = strtoull(argv[4], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %#lx\n", (unsigned long)seed);
	fflush(stdout);
	before = processes();
	for (int i = 0; i < workers; i++) {
		pid_t p = fork();

		if (!p)
			_exit(worker());
		left += p > 0;
	}
	for (int ms = 0; left; ms += 100) {
		pid_t p;

		while (left && (p = waitpid(-1, &st, WNOHANG)) > 0) {
			if (st)
				printf("FAIL: a worker ended with status %#x\n", st);
			failed |= st != 0;
			left--;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
		if (ms % 3000 == 2000)
			failed |= kernel_check() != 0;
	}
	failed |= kernel_check() != 0;
	for (int i = 0; i < 30; i++) { /* orphans end on their own */
		after = processes();
		if (after <= before)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	printf("%d processes before, %d after\n", before, after);
	failed |= after > before;
	printf("%s proc_torture\n", failed ? "FAIL" : "ok");
	return failed;
}
