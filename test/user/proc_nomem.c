// TIMEOUT: 120
/* Every allocation of fork, exec, thread creation, signals and timers made to fail in turn: ENOMEM or EAGAIN or a clean
 * kill, and nothing left behind. Quoin's /proc/self/task/TID/fail-nth; skipped where it is not there. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define ROUNDS 200
static int fail_fd = -1;
static char *self;

static void arm(int n)
{
	char text[16];
	int len = snprintf(text, sizeof text, "%d", n);

	/* the write may be what the armed failure hits: that disarms */
	for (int tries = 0; write(fail_fd, text, len) != len; tries++)
		if (errno != ENOMEM || tries)
			_exit(99);
}

static bool there(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
	if (fail_fd >= 0)
		close(fail_fd);
	fail_fd = open(path, O_WRONLY | O_CLOEXEC);
	return fail_fd >= 0;
}

TEST(fork_fails)
{
	int failed = 0, st;

	if (!there())
		return;
	for (int n = 1; n <= ROUNDS; n++) {
		arm(n);
		pid_t p = fork();
		if (!p)
			_exit(0);
		int e = errno;
		arm(0);
		if (p < 0) {
			failed++;
			CHECK(e == ENOMEM || e == EAGAIN);
		} else {
			CHECK_EQ(waitpid(p, &st, 0), p);
			CHECK_EQ(st, 0);
		}
	}
	CHECK_GE(failed, 10);
}

TEST(exec_fails)
{
	int failed = 0, st;

	if (!there())
		return;
	for (int n = 1; n <= ROUNDS; n++) {
		pid_t p = fork();
		if (!p) {
			char *argv[] = { self, "--ok", NULL };
			if (!there())
				_exit(98);
			arm(n);
			execv(self, argv);
			int e = errno;
			arm(0);
			_exit(e == ENOMEM ? 50 : 51);
		}
		CHECK_EQ(waitpid(p, &st, 0), p);
		failed += st != 0;
		CHECK(st == 0 || st == 50 << 8 || (WIFSIGNALED(st) && (WTERMSIG(st) == SIGKILL || WTERMSIG(st) == SIGBUS)));
	}
	CHECK_GE(failed, 10);
}

static void *nothing(void *arg)
{
	return arg;
}

TEST(thread_fails)
{
	pthread_t t;

	if (!there())
		return;
	for (int n = 1; n <= ROUNDS; n++) {
		arm(n);
		int e = pthread_create(&t, NULL, nothing, NULL);
		arm(0);
		CHECK(e == 0 || e == EAGAIN || e == ENOMEM);
		if (!e)
			pthread_join(t, NULL);
	}
}

TEST(signals_and_timers_fail)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	union sigval v = { 0 };

	if (!there())
		return;
	signal(SIGUSR1, SIG_IGN);
	for (int n = 1; n <= 20; n++) {
		int id;
		arm(n);
		long r = syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id);
		int e = errno;
		arm(0);
		CHECK(r == 0 || e == EAGAIN || e == ENOMEM);
		if (!r)
			CHECK_OK(syscall(SYS_timer_delete, id));
		arm(n);
		r = sigqueue(getpid(), SIGUSR1, v);
		e = errno;
		arm(0);
		CHECK(r == 0 || e == EAGAIN);
	}
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 2 && !strcmp(argv[1], "--ok"))
		return 0;
	return check_main(argc, argv);
}
