/* A TSC that is not to be trusted, and no HPET: the TSC again, but for all CPUs together it never goes back. */
// BOOT: --smp 4 --memory 512M --append tsc=unstable --append nohpet
// TIMEOUT: 90
#define CLOCK "clamped"
#include "clock_source.h"

TEST(available)
{
	CHECK_STR(line_of(SOURCES "available_clocksource"), CLOCK " \n");
	CHECK_OK(use("tsc"));
	CHECK_STR(line_of(SOURCES "current_clocksource"), CLOCK "\n");
}

static void wait_a_little(int i)
{
	(void)i;
	usleep(2000);
}

TEST(all_agree)
{
	watch_time(wait_a_little, 200);
}
