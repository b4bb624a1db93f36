/*
 * Clocks and sleeping: monotonic, vDSO against system call, resolution, absolute sleeps, timers, CPU time,
 * scheduling calls. Who gets how much is fairness.c.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>
#include <time.h>

static long long ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static long long now(clockid_t c)
{
	struct timespec t = { 0, 0 };

	CHECK_OK(clock_gettime(c, &t));
	return ns(&t);
}

TEST(monotonic)
{
	long long last = 0;

	for (int i = 0; i < 100000; i++) {
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC, &t);
		REQUIRE(ns(&t) >= last);
		last = ns(&t);
	}
	CHECK_GT(last, 0);
}

TEST(vdso_agrees_with_the_call)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 100; j++) {
			struct timespec a, b, c;

			clock_gettime(clocks[i], &a);
			syscall(SYS_clock_gettime, clocks[i], &b);
			clock_gettime(clocks[i], &c);
			REQUIRE(ns(&a) <= ns(&b) && ns(&b) <= ns(&c));
		}
	CHECK_GT(now(CLOCK_REALTIME), 1700000000ll * 1000000000);
	struct timeval tv;
	CHECK_OK(gettimeofday(&tv, NULL));
	CHECK_LE(llabs(tv.tv_sec - now(CLOCK_REALTIME) / 1000000000), 1);
	CHECK_LE(llabs(time(NULL) - tv.tv_sec), 1);
	CHECK_ERRNO(clock_gettime(99, &(struct timespec){ 0 }), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
	struct timespec res;
	CHECK_OK(clock_getres(CLOCK_MONOTONIC, &res));
	CHECK_EQ(ns(&res), 1);
}

TEST(sleeping)
{
	struct timespec t = { 0, 50000000 };
	long long start = now(CLOCK_MONOTONIC);

	CHECK_OK(nanosleep(&t, NULL));
	CHECK_GE(now(CLOCK_MONOTONIC) - start, 50000000);
	CHECK_LT(now(CLOCK_MONOTONIC) - start, 2000000000);
	start = now(CLOCK_MONOTONIC) + 30000000;
	t = (struct timespec){ start / 1000000000, start % 1000000000 };
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	CHECK_GE(now(CLOCK_MONOTONIC), start);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);	/* past: at once */
	t.tv_nsec = 1000000000;
	CHECK_ERRNO(nanosleep(&t, NULL), EINVAL);
}

static volatile int ticks;

static void tick(int sig)
{
	ticks++;
}

TEST(interval_timer)
{
	struct itimerval it = { { 0, 20000 }, { 0, 20000 } }, old;

	ticks = 0;
	signal(SIGALRM, tick);
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	long long end = now(CLOCK_MONOTONIC) + 300000000;
	while (now(CLOCK_MONOTONIC) < end)
		;
	it = (struct itimerval){ 0 };
	CHECK_OK(setitimer(ITIMER_REAL, &it, &old));
	CHECK_EQ(old.it_interval.tv_usec, 20000);
	CHECK(ticks >= 5 && ticks <= 16);
	CHECK_EQ(alarm(100), 0);
	unsigned left = alarm(0);
	CHECK(left == 100 || left == 99);

	timer_t id;
	struct sigevent se = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct itimerspec its = { .it_value = { 0, 10000000 } };
	ticks = 0;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &se, &id));
	CHECK_OK(timer_settime(id, 0, &its, NULL));
	for (int i = 0; i < 200 && !ticks; i++)
		usleep(5000);
	CHECK_EQ(ticks, 1);
	CHECK_OK(timer_delete(id));
}

TEST(cpu_time)
{
	long long start = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
	struct rusage ru;
	struct tms tms;

	while (now(CLOCK_MONOTONIC) - wall < 200000000)
		;
	long long used = now(CLOCK_PROCESS_CPUTIME_ID) - start;
	CHECK(used > 20000000 && used < 1000000000);
	start = now(CLOCK_THREAD_CPUTIME_ID);
	usleep(200000);
	CHECK_LT(now(CLOCK_THREAD_CPUTIME_ID) - start, 100000000);
	CHECK_OK(getrusage(RUSAGE_SELF, &ru));
	CHECK_GT(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec +
		 ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec, 10000);
	CHECK_GT(ru.ru_maxrss, 0);
	CHECK_GT(times(&tms), 0);
}

TEST(scheduling_calls)
{
	struct sched_param sp = { 0 };

	CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
	CHECK_OK(syscall(SYS_sched_getparam, 0, &sp));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
	CHECK_EXITS(0, CHECK_OK(setpriority(PRIO_PROCESS, 0, 10)); CHECK_EQ(getpriority(PRIO_PROCESS, 0), 10);
		    CHECK_EQ(nice(5), 15));
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
	CHECK_ERRNO(sched_get_priority_max(77), EINVAL);
	for (int i = 0; i < 1000; i++)
		CHECK_OK(sched_yield());
	CHECK_EXITS(0, {
		sp.sched_priority = 5;
		CHECK_OK(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &sp));
		CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_FIFO);
	});
}

TEST(system_facts)
{
	struct utsname u;
	struct sysinfo si;

	CHECK_OK(uname(&u));
	CHECK_STR(u.machine, "x86_64");
	CHECK_STR(u.sysname, "Linux");
	CHECK_OK(sysinfo(&si));
	CHECK_GT(si.totalram, 100ul << 20);
	CHECK(si.freeram < si.totalram);
	CHECK_GE(si.uptime, 0);
	CHECK_ERRNO(syscall(9999), ENOSYS);
	CHECK_ERRNO(syscall(-1L), ENOSYS);
}

TEST_MAIN
