/* The HPET as the clock, and turns between it and the TSC, which nobody may see. */
// BOOT: --smp 4 --memory 512M --append clocksource=hpet
// TIMEOUT: 90
#define CLOCK "hpet"
#include "clock_source.h"

TEST(available)
{
	CHECK_STR(line_of(SOURCES "available_clocksource"), "tsc hpet \n");
}

TEST(back_to_the_tsc)
{
	CHECK_OK(use("tsc\n"));
	CHECK_STR(line_of(SOURCES "current_clocksource"), "tsc\n");
	CHECK_EXITS(0, _exit(vdso_asks()));
	CHECK_OK(use(CLOCK));
	CHECK_EXITS(1, _exit(vdso_asks()));
}

static void turn(int i)
{
	use(i & 1 ? CLOCK : "tsc");
	usleep(i % 4 * 500);
}

TEST(turns)
{
	watch_time(turn, 400);
	CHECK_STR(line_of(SOURCES "current_clocksource"), CLOCK "\n");
}
