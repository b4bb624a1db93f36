// VARIANTS: musl
/* conf_clock.c - what setting the time of day does to timers, and adjustments of the clock. */
#include "conf.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET 2
#endif

static void shift_clock(long seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	CHECK_OK(clock_settime(CLOCK_REALTIME, &t));
}

static struct itimerspec at(long seconds_from_now)
{
	struct itimerspec s = { 0 };

	clock_gettime(CLOCK_REALTIME, &s.it_value);
	s.it_value.tv_sec += seconds_from_now;
	return s;
}

static int readable(int fd, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, ms);
}

TEST(posix_timers_and_a_clock_that_is_set)
{
	struct itimerspec in = { .it_value = { 600, 0 } }, when = at(600), left;
	timer_t relative, absolute;

	catch(SIGUSR1, 0);
	struct sigevent none = { .sigev_notify = SIGEV_NONE }, usr1 = { .sigev_signo = SIGUSR1 };
	REQUIRE(!timer_create(CLOCK_REALTIME, &none, &relative) && !timer_create(CLOCK_REALTIME, &usr1, &absolute));
	CHECK_OK(timer_settime(relative, 0, &in, NULL));
	CHECK_OK(timer_settime(absolute, TIMER_ABSTIME, &when, NULL));
	shift_clock(700);
	for (int i = 0; i < 1000 && !caught; i++)
		usleep(1000);
	CHECK_EQ(caught, SIGUSR1); /* that moment has come */
	CHECK_OK(timer_gettime(relative, &left));
	CHECK_GT(left.it_value.tv_sec, 500); /* that distance has not been gone */
	shift_clock(-700);
	CHECK_OK(timer_gettime(relative, &left));
	CHECK_LE(left.it_value.tv_sec, 600);
	timer_delete(relative);
	timer_delete(absolute);
}

TEST(timerfd_and_a_clock_that_is_set)
{
	int moment = timerfd_create(CLOCK_REALTIME, 0), distance = timerfd_create(CLOCK_REALTIME, 0);
	struct itimerspec when = at(600), in = { .it_value = { 600, 0 } }, left;
	uint64_t n;

	CHECK_OK(timerfd_settime(moment, TFD_TIMER_ABSTIME, &when, NULL));
	CHECK_OK(timerfd_settime(distance, 0, &in, NULL));
	CHECK_EQ(readable(moment, 0), 0);
	shift_clock(700);
	CHECK_EQ(readable(moment, 1000), 1);
	CHECK_EQ(read(moment, &n, 8), 8);
	CHECK_EQ(n, 1);
	CHECK_EQ(readable(distance, 0), 0);
	CHECK_OK(timerfd_gettime(distance, &left));
	CHECK_GT(left.it_value.tv_sec, 500);
	/* back: a moment that was near is far again */
	when = at(10);
	when.it_interval.tv_sec = 50;
	CHECK_OK(timerfd_settime(moment, TFD_TIMER_ABSTIME, &when, NULL));
	shift_clock(-700);
	CHECK_OK(timerfd_gettime(moment, &left));
	CHECK_GT(left.it_value.tv_sec, 690);
	CHECK_EQ(left.it_interval.tv_sec, 50);
	close(moment);
	close(distance);
}

TEST(timerfd_that_is_told_of_changes)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), mono = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec when = at(3600), in = { .it_value = { 3600, 0 } };
	uint64_t n;

	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL));
	CHECK_OK(timerfd_settime(mono, TFD_TIMER_CANCEL_ON_SET, &in, NULL));
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
	shift_clock(5);
	CHECK_EQ(readable(fd, 1000), 1);
	CHECK_ERRNO(read(fd, &n, 8), ECANCELED);
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN); /* once for each change */
	shift_clock(-5);
	CHECK_ERRNO(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL), ECANCELED);
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
	CHECK_EQ(readable(mono, 0), 0);
	/* a reader that sleeps */
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	CHECK_EXITS(0, if (!fork()) { usleep(100000); shift_clock(5); _exit(0); } CHECK_ERRNO(read(fd, &n, 8), ECANCELED));
	shift_clock(-5);
	close(fd);
	close(mono);
}

TEST(io_priorities)
{
	CHECK_EXITS(0, CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 0); /* none of its own */
		    CHECK_OK(nice(5));
		    setpgid(0, 0);
		    CHECK_EQ(syscall(SYS_ioprio_get, 2, 0), 2 << 13 | 5); /* of a group: what it comes to */
		    CHECK_OK(syscall(SYS_ioprio_set, 1, 0, 3 << 13));
		    CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 3 << 13);
		    CHECK_OK(syscall(SYS_ioprio_set, 1, 0, 0));
		    CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 0));
}

TEST(cpuid_never_faults)
{
	CHECK_EQ(syscall(SYS_arch_prctl, 0x1011, 0), 1);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1012, 0), ENODEV);
}

TEST_MAIN
