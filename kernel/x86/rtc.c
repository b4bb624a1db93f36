/* Time of day at boot: the CMOS clock (Motorola MC146818), or the firmware's where ACPI says there is none. */
#include <kernel/printk.h>
#include <kernel/time.h>
#include <x86/acpi.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>

static u8 cmos(u8 reg)
{
	outb(0x70, reg | 0x80); /* NMI stays off while the index is ours */
	u8 v = inb(0x71);
	outb(0x70, 0x0d);
	return v;
}

struct rtc { u32 sec, min, hour, day, month, year; };

static bool read_rtc(struct rtc *t)
{
	for (int i = 0; i < 100000 && cmos(0x0a) & 0x80; i++) /* update in progress */
		cpu_relax();
	*t = (struct rtc){ cmos(0), cmos(2), cmos(4), cmos(7), cmos(8), cmos(9) };
	return t->month && t->day;
}

static u32 from_bcd(u32 v)
{
	return (v & 15) + (v >> 4) * 10;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static u64 days_from_date(u32 y, u32 m, u32 d)
{
	y -= m <= 2;
	u32 era = y / 400, yoe = y - era * 400;
	u32 doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;

	return (u64)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static u64 rtc_seconds(void)
{
	struct rtc a, b;

	/* Twice the same: no update slipped in between the registers. */
	for (int i = 0; i < 5; i++) {
		if (!read_rtc(&a) || !read_rtc(&b))
			return 0;
		if (a.sec == b.sec && a.min == b.min && a.hour == b.hour && a.day == b.day)
			break;
	}
	u8 mode = cmos(0x0b);
	bool pm = a.hour & 0x80;
	a.hour &= 0x7f;
	if (!(mode & 4)) {
		a.sec = from_bcd(a.sec);
		a.min = from_bcd(a.min);
		a.hour = from_bcd(a.hour);
		a.day = from_bcd(a.day);
		a.month = from_bcd(a.month);
		a.year = from_bcd(a.year);
	}
	if (!(mode & 2))
		a.hour = a.hour % 12 + (pm ? 12 : 0);
	if (a.sec > 60 || a.min > 59 || a.hour > 23 || a.day > 31 || a.month > 12 || a.year > 99)
		return 0;
	a.year += a.year < 70 ? 2000 : 1900;
	return days_from_date(a.year, a.month, a.day) * 86400 + a.hour * 3600 + a.min * 60 + a.sec;
}

void clock_realtime_init(void)
{
	u64 s = acpi.no_cmos_rtc ? 0 : rtc_seconds();

	if (!s)
		s = efi_rt_time();
	if (!s)
		pr_warn("clock: no time of day, starting at 1970\n");
	ktime_set_real(s * NSEC_PER_SEC);
}
