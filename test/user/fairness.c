// VARIANTS: musl
// BOOT: --smp 1 --memory 512M --icount 3
/*
 * Who gets how much of a CPU. Time is counted in instructions here: by the clock, a stretch in which the host does not run the emulated
 * CPU is charged to whoever has it, and one of half a second was seen to turn the shares around.
 */
#include "check.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static long long cpu_time(void)
{
	struct timespec t = { 0, 0 };

	CHECK_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/*
 * Three busy processes on one CPU, one of them nice: all run, the others get clearly more.
 */
TEST(nice_gets_less_and_equals_get_the_same)
{
	struct { atomic_int ready; atomic_llong got[3]; } *all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long long got[3];

	REQUIRE(all != MAP_FAILED);
	fflush(NULL);
	for (int i = 0; i < 3; i++)
		if (!fork()) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(0, &set);
			sched_setaffinity(0, sizeof set, &set);
			if (i == 2)
				setpriority(PRIO_PROCESS, 0, 10);
			all->ready++;
			while (all->ready < 3)
				usleep(1000);
			long long before = cpu_time();
			while (all->got[0] + all->got[1] + all->got[2] < 1000000000)
				all->got[i] = cpu_time() - before;
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < 3; i++)
		got[i] = all->got[i];
	munmap(all, 4096);
	CHECK_GT(got[2], 0);
	CHECK_GT(got[0], 2 * got[2]);
	CHECK_GT(got[1], 2 * got[2]);
	CHECK(got[0] < 2 * got[1] && got[1] < 2 * got[0]);
}

TEST_MAIN
