// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* clone and clone3, pidfds, exec from threads, wait's fine print, prctl, credentials. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/sched.h>

static long clone3(struct clone_args *a, size_t n)
{
	return syscall(SYS_clone3, a, n);
}

TEST(clone3_arguments)
{
	struct clone_args a = { .exit_signal = SIGCHLD };
	long p;

	CHECK_ERRNO(clone3(&a, 8), EINVAL);
	CHECK_ERRNO(clone3(&a, 5000), E2BIG);
	a.exit_signal = 300;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a.exit_signal = SIGCHLD;
	a.stack = 4096;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a.stack = 0;
	a.flags = CLONE_THREAD;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a.exit_signal = 0;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a.flags = CLONE_SIGHAND;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	char big[128] = { 0 };
	big[120] = 1;
	CHECK_ERRNO(syscall(SYS_clone3, big, sizeof big), E2BIG);
	a.flags = 0;
	a.exit_signal = SIGCHLD;
	p = clone3(&a, sizeof a);
	if (!p)
		_exit(7);
	int st;
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 7 << 8);
}

TEST(pidfd_life)
{
	int fd = -1, st;
	struct clone_args a = { .exit_signal = SIGCHLD, .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd };
	int gate[2];
	char c;

	CHECK_OK(pipe(gate));
	long p = clone3(&a, sizeof a);
	if (!p) {
		close(gate[1]);
		(void)!read(gate[0], &c, 1);
		_exit(3);
	}
	REQUIRE(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	struct pollfd pf = { fd, POLLIN, 0 };
	CHECK_EQ(poll(&pf, 1, 0), 0);
	CHECK_OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	int got = syscall(SYS_pidfd_getfd, fd, gate[0], 0);
	CHECK_OK(got);
	close(got);
	close(gate[1]);
	CHECK_EQ(poll(&pf, 1, 5000), 1);
	CHECK_EQ(pf.revents, POLLIN);
	siginfo_t si = { 0 };
	CHECK_OK(waitid(3 /* P_PIDFD */, fd, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_status, 3);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), ESRCH);
	close(fd);
	close(gate[0]);
	CHECK_ERRNO(syscall(SYS_pidfd_open, p, 0), ESRCH);
	fd = syscall(SYS_pidfd_open, getpid(), 0);
	CHECK_OK(fd);
	close(fd);
}

TEST(wait_options)
{
	int st;
	siginfo_t si;

	CHECK_ERRNO(waitid(P_ALL, 0, &si, 0), EINVAL);
	CHECK_ERRNO(waitpid(-1, &st, 0), ECHILD);
	pid_t p = fork();
	if (!p)
		for (;;)
			pause();
	CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
	kill(p, SIGSTOP);
	CHECK_EQ(waitpid(p, &st, WUNTRACED), p);
	CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	CHECK_EQ(waitpid(p, &st, WUNTRACED | WNOHANG), 0);
	kill(p, SIGCONT);
	CHECK_EQ(waitpid(p, &st, WCONTINUED), p);
	CHECK(WIFCONTINUED(st));
	memset(&si, 1, sizeof si);
	CHECK_EQ(waitid(P_PID, p, &si, WEXITED | WNOHANG), 0);
	CHECK_EQ(si.si_pid, 0);
	kill(p, SIGKILL);
	CHECK_EQ(waitid(P_PID, p, &si, WEXITED), 0);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGKILL);
	CHECK_EQ(si.si_pid, p);
	/* SIGCHLD ignored: no zombies */
	signal(SIGCHLD, SIG_IGN);
	p = fork();
	if (!p)
		_exit(0);
	CHECK_ERRNO(waitpid(p, &st, 0), ECHILD);
	signal(SIGCHLD, SIG_DFL);
	/* __WCLONE sees only children without SIGCHLD */
	p = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (!p)
		_exit(1);
	CHECK_ERRNO(waitpid(p, &st, 0), ECHILD);
	CHECK_EQ(waitpid(p, &st, 0x80000000), p);
}

static char *self;

static void *exec_thread(void *arg)
{
	char *argv[] = { self, "--exec-child", arg, NULL };

	execv(self, argv);
	return NULL;
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* exec from a thread that is not the leader: the pid stays, all others go. */
TEST(exec_from_thread)
{
	for (int round = 0; round < 10; round++) {
		int st;
		pid_t p = fork();
		if (!p) {
			pthread_t t;
			char pid[16];
			snprintf(pid, sizeof pid, "%d", getpid());
			for (int i = 0; i < 4; i++)
				pthread_create(&t, NULL, sleeper, NULL);
			pthread_create(&t, NULL, exec_thread, pid);
			for (;;)
				pause();
		}
		CHECK_EQ(waitpid(p, &st, 0), p);
		CHECK_EQ(st, 42 << 8);
	}
}

static void *exit_thread(void *arg)
{
	usleep(20000);
	_exit(9);
}

TEST(exit_group_from_thread)
{
	int st;
	pid_t p = fork();

	if (!p) {
		pthread_t t;
		pthread_create(&t, NULL, exit_thread, NULL);
		syscall(SYS_exit, 1); /* the leader alone */
	}
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 9 << 8);
}

TEST(subreaper)
{
	int st;
	pid_t p = fork();

	if (!p) {
		CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
		pid_t c = fork();
		if (!c) {
			if (!fork()) {
				usleep(50000);
				_exit(5);
			}
			_exit(0);
		}
		CHECK_EQ(waitpid(c, &st, 0), c);
		pid_t g = wait(&st);
		CHECK(g > 0);
		CHECK_EQ(st, 5 << 8);
		_exit(check_failures ? 1 : 0);
	}
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 0);
}

TEST_FORK(identity)
{
	uid_t r, e, s;

	if (getuid())
		return;
	CHECK_OK(setresuid(1000, 1000, 0));
	CHECK_OK(getresuid(&r, &e, &s));
	CHECK_EQ(s, 0);
	CHECK_ERRNO(setuid(2000), EPERM);
	CHECK_OK(seteuid(0));
	CHECK_OK(setuid(2000));
	CHECK_EQ(getuid(), 2000);
	CHECK_ERRNO(setuid(0), EPERM);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -5), EACCES);
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	struct rlimit l = { 100, 100 };
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &l));
	l.rlim_max = 200;
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &l), EPERM);
	CHECK_ERRNO(kill(1, 0), EPERM);
}

TEST_FORK(sched_calls)
{
	struct { int sched_priority; } sp = { 10 };
	struct timespec ts;
	cpu_set_t set;

	CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
	CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_FIFO), 99);
	CHECK_ERRNO(syscall(SYS_sched_get_priority_max, 77), EINVAL);
	if (!getuid()) {
		CHECK_OK(syscall(SYS_sched_setscheduler, 0, SCHED_RR, &sp));
		CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_RR);
		CHECK_OK(syscall(SYS_sched_rr_get_interval, 0, &ts));
		sp.sched_priority = 0;
		CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &sp), EINVAL);
		CHECK_OK(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &sp));
	}
	CPU_ZERO(&set);
	CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
	CPU_SET(0, &set);
	CHECK_OK(sched_setaffinity(0, sizeof set, &set));
	CHECK_EQ(sched_getcpu(), 0);
}

TEST(usage_counts)
{
	struct rusage a, b;
	volatile unsigned long x = 0;

	CHECK_OK(getrusage(RUSAGE_SELF, &a));
	struct timespec t0, t1;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
	for (long i = 0; i < 30000000; i++)
		x += i;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
	CHECK_OK(getrusage(RUSAGE_SELF, &b));
	CHECK(t1.tv_sec > t0.tv_sec || t1.tv_nsec > t0.tv_nsec);
	CHECK(b.ru_utime.tv_sec * 1000000 + b.ru_utime.tv_usec + b.ru_stime.tv_sec * 1000000 + b.ru_stime.tv_usec >
	      a.ru_utime.tv_sec * 1000000 + a.ru_utime.tv_usec);
	CHECK(b.ru_maxrss > 0);
	CHECK(b.ru_minflt > 0);
}

TEST(minor_faults_are_counted)
{
	enum { N = 200, P = 4096 };
	struct rusage a, b, t;
	char *p = mmap(NULL, N * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	madvise(p, N * P, MADV_NOHUGEPAGE);
	CHECK_OK(getrusage(RUSAGE_SELF, &a));
	for (int i = 0; i < N; i++)
		p[i * P] = 1;
	CHECK_OK(getrusage(RUSAGE_SELF, &b));
	CHECK_OK(getrusage(RUSAGE_THREAD, &t));
	CHECK(b.ru_minflt - a.ru_minflt >= N && b.ru_minflt - a.ru_minflt < N + 20);
	CHECK(t.ru_minflt >= N);
	munmap(p, N * P);
}

static void nothing(int sig) { (void)sig; }

TEST(handlers_are_cleared)
{
	struct clone_args a = { .exit_signal = SIGCHLD, .flags = 0x100000000ull /* CLONE_CLEAR_SIGHAND */ };
	struct sigaction sa;
	int st;
	pid_t child;

	signal(SIGUSR1, nothing);
	signal(SIGUSR2, SIG_IGN);
	child = clone3(&a, 64);
	REQUIRE(child >= 0);
	if (!child)
		_exit(sigaction(SIGUSR1, NULL, &sa) || sa.sa_handler != SIG_DFL || sigaction(SIGUSR2, NULL, &sa) || sa.sa_handler != SIG_IGN);
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK_EQ(st, 0);
	CHECK(!sigaction(SIGUSR1, NULL, &sa) && sa.sa_handler == nothing); /* the parent's stay */
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}

static void *stack_of_thread(void *arg)
{
	stack_t *s = arg;

	return (void *)(long)sigaltstack(NULL, s);
}

TEST(signal_stack_is_the_thread_s)
{
	static char room[65536];
	stack_t mine = { .ss_sp = room, .ss_size = sizeof room }, other = { .ss_flags = 77 };
	pthread_t t;
	void *ret;
	int st;
	pid_t child;

	CHECK_OK(sigaltstack(&mine, NULL));
	REQUIRE(!pthread_create(&t, NULL, stack_of_thread, &other) && !pthread_join(t, &ret));
	CHECK(!ret && other.ss_flags == SS_DISABLE);
	child = fork();
	if (!child)
		_exit(sigaltstack(NULL, &other) || other.ss_sp != room || other.ss_flags);
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK_EQ(st, 0);
	mine.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&mine, NULL));
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 3 && !strcmp(argv[1], "--exec-child"))
		return getpid() == atoi(argv[2]) && (long)syscall(SYS_gettid) == getpid() ? 42 : 1;
	return check_main(argc, argv);
}
