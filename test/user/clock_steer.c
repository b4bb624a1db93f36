/*
 * adjtimex(2), clock_adjtime(2), adjtime(3): frequency, tick, phase, leap seconds and the offset of TAI; that the clocks follow,
 * by the vDSO and by system calls, and never go back. MONOTONIC_RAW is what rates are measured against.
 */
// TIMEOUT: 90
// BOOT: --smp 2 --memory 512M
#include "check.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

#define SECOND 1000000000L
#define PPM 65536L

static long ns_of(struct timespec ts)
{
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

static long now(int clock, bool by_call)
{
	struct timespec ts;

	by_call ? syscall(SYS_clock_gettime, clock, &ts) : clock_gettime(clock, &ts);
	return ns_of(ts);
}

/* How far @clock is ahead of the raw clock: of some tries the one where least passed in between. */
static long ahead(int clock, bool by_call)
{
	long best = 1L << 62, value = 0;

	for (int i = 0; i < 50; i++) {
		long a = now(clock, by_call), raw = now(CLOCK_MONOTONIC_RAW, by_call), b = now(clock, by_call);

		if (b - a < best) {
			best = b - a;
			value = a + best / 2 - raw;
		}
	}
	return value;
}

static void doze(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* What @clock gains on the raw clock, in parts in a million, over about @ms. */
static long gain(int clock, bool by_call, long ms)
{
	long raw = now(CLOCK_MONOTONIC_RAW, by_call), before = ahead(clock, by_call);

	doze(ms);
	long after = ahead(clock, by_call);
	return (after - before) * 1000 / ((now(CLOCK_MONOTONIC_RAW, by_call) - raw) / 1000);
}

static int adjust(unsigned modes, long value)
{
	struct timex x = { .modes = modes, .freq = value, .tick = value, .status = value, .constant = value, .offset = value };

	return adjtimex(&x);
}

static struct timex look(void)
{
	struct timex x = { 0 };

	adjtimex(&x);
	return x;
}

TEST(as_it_comes)
{
	struct timex x = { 0 };

	CHECK_EQ(adjtimex(&x), TIME_ERROR);
	CHECK_EQ(x.status, STA_UNSYNC);
	CHECK_EQ(x.tick, 10000);
	CHECK_EQ(x.freq, 0);
	CHECK_EQ(x.tolerance, 500 * PPM);
	CHECK_EQ(x.tai, 0);
	for (int by_call = 0; by_call < 2; by_call++)
		CHECK(labs(ahead(CLOCK_MONOTONIC, by_call)) < 20000);
}

TEST(limits)
{
	struct timex x = { .modes = ADJ_OFFSET_SINGLESHOT & ~ADJ_OFFSET };

	CHECK_ERRNO(adjust(ADJ_TICK, 8999), EINVAL);
	CHECK_ERRNO(adjust(ADJ_TICK, 11001), EINVAL);
	CHECK_ERRNO(adjust(ADJ_FREQUENCY, INT64_MAX), EINVAL);
	CHECK_ERRNO(adjust(ADJ_FREQUENCY, INT64_MIN), EINVAL);
	CHECK_ERRNO(syscall(SYS_adjtimex, &x), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_adjtime, 99, &x), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &x), EOPNOTSUPP);
	CHECK_GE(adjust(ADJ_FREQUENCY, 550 * PPM), 0);
	CHECK_EQ(look().freq, 500 * PPM);
	CHECK_GE(adjust(ADJ_FREQUENCY, -100000 * PPM), 0);
	CHECK_EQ(look().freq, -500 * PPM);
	CHECK_GE(adjust(ADJ_FREQUENCY, -1000), 0);
	CHECK_EQ(look().freq, -1000);
	CHECK_GE(adjust(ADJ_FREQUENCY, 0), 0);
	CHECK_EXITS(0, setuid(65534); CHECK_ERRNO(adjust(ADJ_FREQUENCY, 0), EPERM); CHECK_GE(adjust(0, 0), 0);
		    CHECK_ERRNO(adjust(ADJ_OFFSET_SINGLESHOT, 1), EPERM); CHECK_GE(adjust(ADJ_OFFSET_SS_READ, 1), 0));
}

TEST(frequency)
{
	static const long ppm[] = { 500, -500 };

	for (int i = 0; i < 2; i++) {
		CHECK_GE(adjust(ADJ_FREQUENCY, ppm[i] * PPM), 0);
		CHECK_EQ(look().freq, ppm[i] * PPM);
		long mono = gain(CLOCK_MONOTONIC, i, 500), real = gain(CLOCK_REALTIME, !i, 500);
		CHECK(mono > ppm[i] - 60 && mono < ppm[i] + 60);
		CHECK(real > ppm[i] - 60 && real < ppm[i] + 60);
	}
	CHECK_GE(adjust(ADJ_FREQUENCY, 0), 0);
}

/* A tenth faster or slower. Sleeps are by that clock, too. */
TEST(tick)
{
	for (long tick = 9000; tick <= 11000; tick += 2000) {
		long want = (tick - 10000) * 100;

		CHECK_GE(adjust(ADJ_TICK, tick), 0);
		CHECK_EQ(look().tick, tick);
		long mono = gain(CLOCK_MONOTONIC, false, 200);
		CHECK(mono > want - 300 && mono < want + 300);
		CHECK_EQ(labs(ahead(CLOCK_MONOTONIC, false) - ahead(CLOCK_MONOTONIC, true)) < 2000000, 1);
		long a = now(CLOCK_MONOTONIC, true);
		doze(50);
		CHECK_GE(now(CLOCK_MONOTONIC, true) - a, 50000000);
	}
	CHECK_GE(adjust(ADJ_TICK, 10000), 0);
}

/* Readers never see time go back while the rate is changed all the time. */
static volatile bool stop;

static void *watch_clock(void *by_call)
{
	long last = 0, worst = 0;

	while (!stop) {
		long t = now(CLOCK_MONOTONIC, by_call != NULL);

		if (last - t > worst)
			worst = last - t;
		last = t;
	}
	return (void *)worst;
}

TEST(never_back)
{
	pthread_t reader[2];
	void *worst;

	stop = false;
	for (int i = 0; i < 2; i++)
		pthread_create(&reader[i], NULL, watch_clock, i ? "" : NULL);
	for (int i = 0; i < 3000; i++)
		adjust(ADJ_TICK, i & 1 ? 9000 : 11000);
	stop = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(reader[i], &worst);
		CHECK_EQ((long)worst, 0);
	}
	CHECK_GE(adjust(ADJ_TICK, 10000), 0);
}

static long slew_left(void)
{
	struct timex x = { .modes = ADJ_OFFSET_SS_READ };

	adjtimex(&x);
	return x.offset;
}

/* adjtime(3): 600 us, of which 500 go in one second. */
TEST(slew)
{
	long before = ahead(CLOCK_REALTIME, false);

	CHECK_GE(adjust(ADJ_OFFSET_SINGLESHOT, 600), 0);
	CHECK_GE(slew_left(), 100);
	for (int i = 0; i < 50 && (ahead(CLOCK_REALTIME, false) - before) < 590000; i++)
		doze(100);
	CHECK_EQ(slew_left(), 0);
	doze(1200);
	long gained = ahead(CLOCK_REALTIME, false) - before;
	CHECK(gained > 560000 && gained < 640000);
}

/* A phase: a quarter of what is left goes in each second. */
TEST(phase)
{
	long before = ahead(CLOCK_REALTIME, false);
	struct timex x = { .modes = ADJ_STATUS | ADJ_NANO | ADJ_TIMECONST, .status = STA_PLL | STA_FREQHOLD };

	CHECK_EQ(adjtimex(&x), TIME_OK);
	CHECK_EQ(x.status & STA_NANO, STA_NANO);
	CHECK_EQ(adjust(ADJ_OFFSET, 2000000), TIME_OK);
	CHECK_GE(look().offset, 1000000);
	doze(2500);
	long gained = ahead(CLOCK_REALTIME, false) - before, left = look().offset;
	CHECK(left > 500000 && left < 1600000);
	CHECK(gained > 300000 && gained < 1500000);
	CHECK_EQ(look().freq, 0);
	x = (struct timex){ .modes = ADJ_OFFSET | ADJ_STATUS | ADJ_MICRO, .status = STA_PLL | STA_FREQHOLD };
	adjtimex(&x);
	CHECK_EQ(adjust(ADJ_STATUS, STA_UNSYNC), TIME_ERROR);
	CHECK_EQ(look().status, STA_UNSYNC);
}

TEST(tai)
{
	CHECK_GE(adjust(ADJ_TAI, 37), 0);
	CHECK_EQ(look().tai, 37);
	for (int by_call = 0; by_call < 2; by_call++) {
		long d = now(CLOCK_TAI, by_call) - now(CLOCK_REALTIME, by_call);
		CHECK(d <= 37 * SECOND && d > 36 * SECOND + SECOND / 2);
	}
	struct timespec until = { (now(CLOCK_TAI, true) + SECOND / 10) / SECOND, (now(CLOCK_TAI, true) + SECOND / 10) % SECOND };
	long a = now(CLOCK_MONOTONIC, true);
	CHECK_EQ(clock_nanosleep(CLOCK_TAI, TIMER_ABSTIME, &until, NULL), 0);
	CHECK(now(CLOCK_TAI, true) >= ns_of(until) && now(CLOCK_MONOTONIC, true) - a < 5 * SECOND);
	CHECK_GE(adjust(ADJ_TAI, 0), 0);
}

/* Waits for @state, five seconds at most. */
static int state_within(int state)
{
	int s = -1;

	for (int i = 0; i < 500 && (s = adjust(0, 0)) != state; i++)
		doze(10);
	return s;
}

/* The last second of a day twice, or not at all. */
TEST(leap_seconds)
{
	static const struct { int status, before, after, step; } kind[] = {
		{ STA_INS, TIME_INS, TIME_OOP, -1 }, { STA_DEL, TIME_DEL, TIME_WAIT, 1 },
	};
	long real = now(CLOCK_REALTIME, true), mono = now(CLOCK_MONOTONIC, true);

	for (int i = 0; i < 2; i++) {
		long midnight = (real / SECOND / 86400 + 1) * 86400;
		struct timeval tv = { midnight - 3, 0 };

		CHECK_OK(settimeofday(&tv, NULL));
		CHECK_EQ(look().status, STA_UNSYNC);
		long before = ahead(CLOCK_REALTIME, true);
		/* an error at its limit would make the clock unsynchronised again in the next second */
		struct timex x = { .modes = ADJ_STATUS | ADJ_MAXERROR, .status = kind[i].status };
		CHECK_EQ(adjtimex(&x), TIME_OK);
		CHECK_EQ(state_within(kind[i].before), kind[i].before);
		CHECK_EQ(state_within(kind[i].after), kind[i].after);
		long step = ahead(CLOCK_REALTIME, true) - before, vdso = ahead(CLOCK_REALTIME, false) - before;
		CHECK(labs(step - kind[i].step * SECOND) < 1000000 && labs(vdso - step) < 1000000);
		CHECK_EQ(look().tai, i ? 0 : 1);
		CHECK_GE(adjust(ADJ_STATUS, 0), 0);
		CHECK_EQ(state_within(TIME_OK), TIME_OK);
	}
	adjust(ADJ_STATUS, STA_UNSYNC);
	real += now(CLOCK_MONOTONIC, true) - mono;
	struct timespec back = { real / SECOND, real % SECOND };
	CHECK_OK(clock_settime(CLOCK_REALTIME, &back));
}

TEST_MAIN
