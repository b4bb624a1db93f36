/*
 * Steering the clock (adjtimex(2)), after the model of RFC 1589 and RFC 5905 that time daemons know.
 *
 * What a daemon gives is kept here: a frequency, the length of a tick, a phase still to be made up, a time constant, leap seconds.
 * Once a second (ntp_second, in a worker) part of the phase becomes that second's rate: a fraction 1 / 2^(2 + constant) of what is
 * left, and up to 500 us of adjtime(3)'s offset. The sum is what clock_steer() is told. Without anything left to do the seconds are
 * not counted: a machine nobody steers has no timer here.
 *
 * Fixed point: rates and phases are nanoseconds with 32 bits of fraction; a frequency in struct timex is parts in a million with 16.
 *
 * Locking: ntp_mutex for all of it. The clock is told under it, whoever waits for the time of day after it (clock_was_set).
 */
#include <kernel/kthread.h>
#include <kernel/mutex.h>
#include <lib/compiler.h>
#include <proc/impl.h>
#include <proc/ntp.h>
#include <uapi/errno.h>

#define NOMINAL ((s64)(NSEC_PER_SEC << 32))
#define FREQ_MAX ((s64)500000 << 32) /* 500 ppm, as ns a second */
#define FREQ_UNIT 65536000 /* of one unit of timex->freq: 1000 ns / 2^16, << 32 */
#define PHASE_MAX 500000000 /* ns */
#define ERROR_MAX 16000000 /* us */
#define ERROR_GROWTH 500 /* us a second: the frequency's greatest error */
#define SLEW_MAX 500 /* us a second, of adjtime(3) */
#define CONSTANT_MAX 10
#define PLL_SHIFT 2
#define FLL_SHIFT 2
#define FLL_MIN_SECONDS 256 /* below: phase only */
#define FLL_MAX_SECONDS 2048 /* above: frequency whether asked for or not */
#define DAY 86400
#define TAI_MAX 100000

static DEFINE_MUTEX(ntp_mutex);
static struct {
	s64 freq, phase; /* ns << 32, a second; left to be made up */
	s64 slew; /* us left of adjtime(3)'s offset */
	s64 tick; /* us */
	s64 constant, maxerror, esterror;
	s64 reference; /* second of the last offset */
	s64 leap_at; /* second of the leap, when state is INS or DEL */
	s64 rate; /* what the clock was told */
	s32 status, state, tai;
} ntp = { .tick = 1000000 / USER_HZ, .constant = 2, .maxerror = ERROR_MAX, .esterror = ERROR_MAX, .status = STA_UNSYNC, .rate = NOMINAL };

static void second_over(struct ktimer *t);
static void ntp_second(struct work *w);
static struct ktimer second_timer = { .func = second_over, .cpu = -1 };
static struct work second_work = { .func = ntp_second };

static s64 real_seconds(void)
{
	return (s64)(ktime_real_ns() / NSEC_PER_SEC);
}

static void steer(s64 rate)
{
	if (rate == ntp.rate)
		return;
	ntp.rate = rate;
	clock_steer((u64)rate);
}

/* The rate without this second's part of what is to be made up. */
static s64 base_rate(void)
{
	return ((ntp.tick * USER_HZ * 1000) << 32) + ntp.freq;
}

/* Is there anything that a new second changes? */
static bool seconds_count(void)
{
	return ntp.phase || ntp.slew || ntp.state != TIME_OK || ntp.status & (STA_INS | STA_DEL) || !(ntp.status & STA_UNSYNC) ||
	       ntp.rate != base_rate();
}

static void arm(void)
{
	if (seconds_count())
		ktimer_start(&second_timer, clock_to_mono(0, (u64)(real_seconds() + 1) * NSEC_PER_SEC));
}

static void second_over(struct ktimer *t)
{
	(void)t;
	schedule_work(&second_work);
}

/* To zero, whatever the sign. */
static s64 shift_down(s64 v, unsigned n)
{
	return v < 0 ? -(-v >> n) : v >> n;
}

/* This second's part of the phase and of adjtime(3)'s offset, as ns << 32. */
static s64 take_part(void)
{
	s64 part = shift_down(ntp.phase, PLL_SHIFT + (unsigned)ntp.constant) ?: ntp.phase;
	s64 slew = clamp_t(s64, ntp.slew, -SLEW_MAX, SLEW_MAX);

	ntp.phase -= part;
	ntp.slew -= slew;
	return part + slew * 1000 * (1ll << 32);
}

/* Leap seconds at the end of the UTC day. Returns what is to be added to the time of day: -1, 0 or 1 seconds. */
static int leap(s64 now)
{
	s32 asked = ntp.status & (STA_INS | STA_DEL);

	switch (ntp.state) {
	case TIME_OK:
		if (asked & STA_INS) {
			ntp.state = TIME_INS;
			ntp.leap_at = now + DAY - now % DAY;
		} else if (asked) {
			ntp.state = TIME_DEL;
			ntp.leap_at = now + DAY - (now + 1) % DAY;
		}
		return 0;
	case TIME_INS:
	case TIME_DEL:
		if (!(asked & (ntp.state == TIME_INS ? STA_INS : STA_DEL))) {
			ntp.state = TIME_OK;
			return 0;
		}
		if (now < ntp.leap_at)
			return 0;
		bool insert = ntp.state == TIME_INS;
		ntp.state = insert ? TIME_OOP : TIME_WAIT;
		return insert ? -1 : 1;
	case TIME_OOP: /* the second that was there twice */
		ntp.state = TIME_WAIT;
		return 0;
	}
	if (!asked)
		ntp.state = TIME_OK;
	return 0;
}

static void ntp_set_tai(s32 tai)
{
	ntp.tai = tai;
	WRITE_ONCE(tai_offset_ns, tai * (s64)NSEC_PER_SEC);
}

static void ntp_second(struct work *w)
{
	(void)w;
	mutex_lock(&ntp_mutex);
	int step = leap(real_seconds());
	if (step) {
		ktime_set_real(ktime_real_ns() + (u64)(step * (s64)NSEC_PER_SEC));
		ntp_set_tai(ntp.tai - step);
	}
	ntp.maxerror += ERROR_GROWTH;
	if (ntp.maxerror > ERROR_MAX) {
		ntp.maxerror = ERROR_MAX;
		ntp.status |= STA_UNSYNC;
	}
	steer(base_rate() + take_part());
	arm();
	mutex_unlock(&ntp_mutex);
	if (step)
		clock_was_set();
}

/* Frequency from how the phase developed since the last offset: @seconds of it. */
static s64 frequency_of(s64 offset, s64 seconds)
{
	s64 f = 0;

	ntp.status &= ~STA_MODE;
	if (seconds >= FLL_MIN_SECONDS && (ntp.status & STA_FLL || seconds > FLL_MAX_SECONDS)) {
		ntp.status |= STA_MODE;
		f = offset * (1ll << (32 - FLL_SHIFT)) / seconds;
	}
	seconds = min_t(s64, seconds, 1ll << (PLL_SHIFT + 1 + ntp.constant));
	return f + offset * seconds * (1ll << (32 - 2 * (PLL_SHIFT + 2 + ntp.constant)));
}

static void set_offset(s64 offset)
{
	s64 now = real_seconds(), seconds;

	if (!(ntp.status & STA_PLL))
		return;
	if (!(ntp.status & STA_NANO))
		offset = clamp_t(s64, offset, -1000000, 1000000) * 1000;
	offset = clamp_t(s64, offset, -PHASE_MAX, PHASE_MAX);
	seconds = ntp.status & STA_FREQHOLD ? 0 : now - ntp.reference;
	ntp.reference = now;
	ntp.freq = clamp_t(s64, ntp.freq + frequency_of(offset, seconds), -FREQ_MAX, FREQ_MAX);
	ntp.phase = offset * (1ll << 32);
}

static void set_status(s32 status)
{
	if (ntp.status & STA_PLL && !(status & STA_PLL)) {
		ntp.state = TIME_OK;
		ntp.status = STA_UNSYNC;
	}
	if (!(ntp.status & STA_PLL) && status & STA_PLL)
		ntp.reference = real_seconds();
	ntp.status = (ntp.status & STA_RONLY) | (status & ~STA_RONLY);
}

/* In this order: what a status allows and a constant divides by comes before an offset. */
static void set_values(const struct timex *x)
{
	if (x->modes & ADJ_STATUS)
		set_status(x->status);
	if (x->modes & ADJ_NANO)
		ntp.status |= STA_NANO;
	if (x->modes & ADJ_MICRO)
		ntp.status &= ~STA_NANO;
	if (x->modes & ADJ_FREQUENCY)
		ntp.freq = clamp_t(s64, x->freq * FREQ_UNIT, -FREQ_MAX, FREQ_MAX);
	if (x->modes & ADJ_MAXERROR)
		ntp.maxerror = x->maxerror;
	if (x->modes & ADJ_ESTERROR)
		ntp.esterror = x->esterror;
	if (x->modes & ADJ_TIMECONST) /* clamped first: any value of a user's may come */
		ntp.constant = clamp_t(s64, clamp_t(s64, x->constant, -16, CONSTANT_MAX) + (ntp.status & STA_NANO ? 0 : 4), 0, CONSTANT_MAX);
	if (x->modes & ADJ_TAI && x->constant >= 0 && x->constant <= TAI_MAX)
		ntp_set_tai((s32)x->constant);
	if (x->modes & ADJ_OFFSET)
		set_offset(x->offset);
	if (x->modes & ADJ_TICK)
		ntp.tick = x->tick;
}

/* All but the modes and the offset. */
static void show(struct timex *x)
{
	u64 now = ktime_real_ns();

	*x = (struct timex){
		.modes = x->modes, .offset = x->offset, .freq = ntp.freq / FREQ_UNIT, .maxerror = ntp.maxerror, .esterror = ntp.esterror,
		.status = ntp.status, .constant = ntp.constant, .precision = 1, .tolerance = FREQ_MAX / FREQ_UNIT,
		.sec = (s64)(now / NSEC_PER_SEC), .usec = (s64)(now % NSEC_PER_SEC / (ntp.status & STA_NANO ? 1 : 1000)),
		.tick = ntp.tick, .tai = ntp.tai,
	};
}

static int set_time_locked(u64 ns)
{
	if (ns < ktime_ns() || ns > S64_MAX) /* the monotonic clock would have begun before 1970 */
		return -EINVAL;
	ktime_set_real(ns);
	ntp.slew = ntp.phase = 0;
	ntp.status |= STA_UNSYNC;
	ntp.maxerror = ntp.esterror = ERROR_MAX;
	if (ntp.state == TIME_INS || ntp.state == TIME_DEL) /* midnight is elsewhere now */
		ntp.leap_at = real_seconds() + DAY - (real_seconds() + (ntp.state == TIME_DEL)) % DAY;
	steer(base_rate());
	arm();
	return 0;
}

static int adjust_locked(struct timex *x, bool *set)
{
	if (x->modes & ADJ_ADJTIME) {
		s64 left = ntp.slew;
		if (!(x->modes & ADJ_NANO))
			ntp.slew = x->offset;
		x->offset = left;
	} else {
		if (x->modes & ADJ_SETOFFSET) {
			s64 sub = x->usec * (x->modes & ADJ_NANO ? 1 : 1000);
			s64 ns;
			if (__builtin_mul_overflow(x->sec, (s64)NSEC_PER_SEC, &ns) || __builtin_add_overflow(ns, sub, &ns) ||
			    __builtin_add_overflow(ns, (s64)ktime_real_ns(), &ns) || ns < 0 || set_time_locked((u64)ns))
				return -EINVAL;
			*set = true;
		}
		s32 tai = ntp.tai;
		set_values(x);
		*set |= tai != ntp.tai;
		x->offset = shift_down(ntp.phase, 32) / (ntp.status & STA_NANO ? 1 : 1000);
	}
	if (x->modes & (ADJ_OFFSET | ADJ_FREQUENCY | ADJ_TICK) && !(x->modes & ADJ_ADJTIME))
		steer(base_rate());
	arm();
	show(x);
	return ntp.status & STA_UNSYNC ? TIME_ERROR : ntp.state;
}

int ntp_adjust(struct timex *x)
{
	bool set = false;

	mutex_lock(&ntp_mutex);
	int r = adjust_locked(x, &set);
	mutex_unlock(&ntp_mutex);
	if (set)
		clock_was_set();
	return r;
}

int ntp_set_time(u64 ns)
{
	mutex_lock(&ntp_mutex);
	int err = set_time_locked(ns);
	mutex_unlock(&ntp_mutex);
	if (!err)
		clock_was_set();
	return err;
}
