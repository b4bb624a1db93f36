// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* POSIX timers, interval timers, CPU-time clocks and limits. */
#include "check.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static volatile int fired, last_code, last_value, last_overrun;

static void on_timer(int sig, siginfo_t *si, void *uc)
{
	fired++;
	last_code = si->si_code;
	last_value = si->si_value.sival_int;
	last_overrun = si->si_overrun;
}

static void catch(int sig)
{
	struct sigaction sa = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };

	sigaction(sig, &sa, NULL);
	fired = 0;
}

static void spin(double seconds)
{
	struct timespec a, b;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	do {
		for (volatile int i = 0; i < 100000; i++) /* mostly user time */
			;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	} while ((b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9 < seconds);
}

TEST(posix_timer)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec it = { { 0, 10000000 }, { 0, 5000000 } }, cur;
	timer_t t;

	ev.sigev_value.sival_int = 77;
	catch(SIGUSR1);
	REQUIRE(!timer_create(CLOCK_MONOTONIC, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	struct timespec w = { 0, 100000000 };
	while (fired < 5 && !nanosleep(&w, &w))
		;
	while (fired < 5)
		usleep(1000);
	CHECK_EQ(last_code, SI_TIMER);
	CHECK_EQ(last_value, 77);
	CHECK_OK(timer_gettime(t, &cur));
	CHECK_EQ(cur.it_interval.tv_nsec, 10000000);
	CHECK(cur.it_value.tv_nsec > 0 && cur.it_value.tv_nsec <= 10000000);
	/* blocked for some periods: one signal, the rest is overrun */
	sigset_t s, pend;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, NULL);
	usleep(100000);
	sigpending(&pend);
	CHECK(sigismember(&pend, SIGUSR1));
	fired = 0;
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	CHECK_GE(last_overrun, 5);
	CHECK_GE(timer_getoverrun(t), 0);
	memset(&it, 0, sizeof it);
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	CHECK_OK(timer_delete(t));
	CHECK_ERRNO(syscall(SYS_timer_delete, 99), EINVAL);
}

TEST(absolute_and_none)
{
	struct sigevent ev = { .sigev_notify = SIGEV_NONE };
	struct itimerspec it = { { 0, 0 }, { 0, 0 } };
	timer_t t;

	REQUIRE(!timer_create(CLOCK_REALTIME, &ev, &t));
	clock_gettime(CLOCK_REALTIME, &it.it_value);
	it.it_value.tv_sec += 100;
	CHECK_OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
	CHECK_OK(timer_gettime(t, &it));
	CHECK(it.it_value.tv_sec >= 98 && it.it_value.tv_sec <= 100);
	CHECK_OK(timer_delete(t));
	CHECK_ERRNO(timer_create(12345, NULL, &t), EINVAL);
}

TEST(cpu_timer)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec it = { { 0, 0 }, { 0, 30000000 } };
	timer_t t;

	catch(SIGUSR2);
	REQUIRE(!timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	usleep(60000);
	CHECK_EQ(fired, 0); /* sleeping takes no CPU time */
	spin(0.06);
	CHECK_EQ(fired, 1);
	timer_delete(t);
}

/* Timers on the CPU time of another thread and of another process: its time counts, nobody else's. */
static volatile int working;

static void *work_when_told(void *unused)
{
	while (working >= 0)
		for (volatile int i = 0; working > 0 && i < 100000; i++)
			;
	return NULL;
}

static int fires_on(clockid_t clock)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec it = { { 0, 0 }, { 0, 30000000 } }, cur;
	timer_t t;

	catch(SIGUSR2);
	if (timer_create(clock, &ev, &t) || timer_settime(t, 0, &it, NULL))
		return -1;
	for (int i = 0; i < 1000 && !fired; i++)
		usleep(5000);
	CHECK_OK(timer_gettime(t, &cur));
	CHECK_EQ(cur.it_value.tv_nsec, fired ? 0 : cur.it_value.tv_nsec);
	timer_delete(t);
	return fired;
}

TEST(cpu_timers_of_others)
{
	clockid_t clock;
	pthread_t worker;
	pid_t child;

	working = 1;
	pthread_create(&worker, NULL, work_when_told, NULL);
	CHECK_EQ(pthread_getcpuclockid(worker, &clock), 0);
	CHECK_EQ(fires_on(clock), 1);
	working = -1;
	pthread_join(worker, NULL);
	child = fork();
	if (!child)
		for (;;)
			;
	CHECK_EQ(clock_getcpuclockid(child, &clock), 0);
	CHECK_EQ(fires_on(clock), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK_ERRNO(fires_on(clock), EINVAL);
	/* by SIGEV_SIGNAL, which goes to the process, a thread still has its own time measured */
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec it = { { 0, 0 }, { 0, 30000000 } };
	timer_t t;
	catch(SIGUSR2);
	REQUIRE(!timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &it, NULL));
	spin(0.06);
	CHECK_EQ(fired, 1);
	timer_delete(t);
}

/* What setitimer() was given comes back: long intervals, and none for a timer that is off. */
TEST(interval_values)
{
	struct itimerval it = { { 0x1ffffffff, 20 }, { 30, 40 } }, off = { 0 }, got;

	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_OK(setitimer(ITIMER_REAL, &off, &got));
	CHECK_EQ(got.it_interval.tv_sec, 0x1ffffffff);
	CHECK_EQ(got.it_interval.tv_usec, 20);
	CHECK(got.it_value.tv_sec == 30 || got.it_value.tv_sec == 29);
	it = (struct itimerval){ { 10, 20 }, { 0, 0 } };
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_OK(getitimer(ITIMER_REAL, &got));
	CHECK_EQ(got.it_interval.tv_sec * 1000000 + got.it_interval.tv_usec, 0);
	CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
	CHECK_OK(setitimer(ITIMER_PROF, &off, &got));
	CHECK_EQ(got.it_interval.tv_sec, 10);
	it = (struct itimerval){ { INT64_MAX, 999999 }, { INT64_MAX, 999999 } };
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_OK(setitimer(ITIMER_REAL, &off, &got));
	CHECK(got.it_value.tv_sec > 9000000000);
}

TEST(interval_timers)
{
	struct itimerval it = { { 0, 20000 }, { 0, 20000 } }, cur, off = { 0 };

	catch(SIGPROF);
	CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
	spin(0.15);
	CHECK_OK(setitimer(ITIMER_PROF, &off, &cur));
	CHECK_GE(fired, 2);
	CHECK_LE(fired, 9);
	CHECK_EQ(cur.it_interval.tv_usec, 20000);
	catch(SIGVTALRM);
	CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
	spin(0.15);
	CHECK_OK(setitimer(ITIMER_VIRTUAL, &off, NULL));
	CHECK_GE(fired, 1);
	CHECK_ERRNO(setitimer(7, &it, NULL), EINVAL);
	CHECK_EQ(alarm(10), 0);
	CHECK_EQ(alarm(0), 10);
}

TEST(cpu_limit)
{
	CHECK_KILLED(SIGXCPU, {
		struct rlimit l = { 1, 2 };
		setrlimit(RLIMIT_CPU, &l);
		for (;;)
			;
	});
}

TEST(sleeping)
{
	struct timespec a, b, t = { 0, 20000000 };

	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK_OK(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL));
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK_GE((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec, 20000000);
	b.tv_nsec += 10000000;
	if (b.tv_nsec >= 1000000000)
		b.tv_sec++, b.tv_nsec -= 1000000000;
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &b, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK_GE((a.tv_sec - b.tv_sec) * 1000000000ll + a.tv_nsec - b.tv_nsec, 0);
	t.tv_nsec = 1000000000;
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), EINVAL);
	t.tv_nsec = 0;
	CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL) < 0 ? errno : 0, EOPNOTSUPP);
	clockid_t c;
	CHECK_EQ(clock_getcpuclockid(getpid(), &c), 0);
	CHECK_OK(clock_gettime(c, &a));
}

TEST(vdso_agrees)
{
	for (int id = 0; id < 12; id++) {
		struct timespec k, v;
		if (id == 2 || id == 3 || id == 10 || id == 8 || id == 9)
			continue;
		CHECK_OK(syscall(SYS_clock_gettime, id, &k));
		CHECK_OK(clock_gettime(id, &v));
		long long d = (v.tv_sec - k.tv_sec) * 1000000000ll + v.tv_nsec - k.tv_nsec;
		CHECK_GE(d, id == 5 || id == 6 ? -4000000 : 0);
		CHECK_LT(d, 50000000);
	}
}

/* Nobody can serve so many interrupts: a timer is armed again when its ticks are taken. */
TEST(timerfd_storm)
{
	struct itimerspec every = { { 0, 1000 }, { 0, 1000 } }, left;
	enum { N = 400 };
	int fd[N];
	uint64_t n, before = 0, total = 0;
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < N; i++) {
		fd[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
		CHECK_OK(timerfd_settime(fd[i], 0, &every, NULL));
	}
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < N; i++)
			if (read(fd[i], &n, sizeof n) == sizeof n && i == 0)
				total += n;
		CHECK_OK(timerfd_gettime(fd[0], &left));
		CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 1000);
		CHECK(total >= before);
		before = total;
	}
	while (read(fd[0], &n, sizeof n) != sizeof n)
		;
	total += n;
	clock_gettime(CLOCK_MONOTONIC, &b);
	uint64_t us = (b.tv_sec - a.tv_sec) * 1000000ull + (b.tv_nsec - a.tv_nsec) / 1000;
	CHECK(total <= us && total + us / 10 + 20000 >= us); /* all periods are counted, however late; setting up took some */
	for (int i = 0; i < N; i++)
		close(fd[i]);
}

TEST_FORK(alarm_clocks_need_a_right)
{
	int fd = timerfd_create(8 /* CLOCK_REALTIME_ALARM */, 0), n = -1;

	CHECK_OK(fd);
	CHECK_OK(setuid(1000));
	CHECK_ERRNO(timerfd_create(8, 0), EPERM);
	CHECK_ERRNO(timerfd_create(9, 0), EPERM);
	/* as does feeding the random pool */
	fd = open("/dev/urandom", O_RDONLY);
	CHECK_OK(ioctl(fd, 0x80045200 /* RNDGETENTCNT */, &n));
	CHECK_EQ(n, 256);
	CHECK_ERRNO(ioctl(fd, 0x40045201 /* RNDADDTOENTCNT */, &n), EPERM);
	CHECK_ERRNO(ioctl(fd, 0x5204 /* RNDZAPENTCNT */), EPERM);
}

TEST_MAIN
