/*
 * Steering the clock: the kernel's half of adjtimex(2) and of setting the time.
 */
#ifndef PROC_NTP_H
#define PROC_NTP_H

#include <lib/types.h>

#define ADJ_OFFSET 0x0001u
#define ADJ_FREQUENCY 0x0002u
#define ADJ_MAXERROR 0x0004u
#define ADJ_ESTERROR 0x0008u
#define ADJ_STATUS 0x0010u
#define ADJ_TIMECONST 0x0020u
#define ADJ_TAI 0x0080u
#define ADJ_SETOFFSET 0x0100u
#define ADJ_MICRO 0x1000u
#define ADJ_NANO 0x2000u
#define ADJ_TICK 0x4000u
#define ADJ_ADJTIME 0x8000u /* adjtime(3): with ADJ_OFFSET (set), and with ADJ_NANO's bit too (read) */

#define STA_PLL 0x0001
#define STA_FLL 0x0008
#define STA_INS 0x0010
#define STA_DEL 0x0020
#define STA_UNSYNC 0x0040
#define STA_FREQHOLD 0x0080
#define STA_NANO 0x2000
#define STA_MODE 0x4000
#define STA_RONLY 0xff00

enum { TIME_OK, TIME_INS, TIME_DEL, TIME_OOP, TIME_WAIT, TIME_ERROR };

/* struct timex of the ABI. */
struct timex {
	u32 modes, pad0;
	s64 offset, freq, maxerror, esterror;
	s32 status, pad1;
	s64 constant, precision, tolerance;
	s64 sec, usec;
	s64 tick, ppsfreq, jitter;
	s32 shift, pad2;
	s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
	s32 tai, pad3[11];
};
_Static_assert(sizeof(struct timex) == 208, "ABI");

/* What @x asks for is done, and @x shows what is so. => may sleep; rights checked. A state, -EINVAL, -EOPNOTSUPP (no steering) */
int ntp_adjust(struct timex *x);
/* Sets the time of day, which ends all steering but the frequency's. => may sleep; rights checked. 0, -EINVAL */
int ntp_set_time(u64 ns);

#endif
