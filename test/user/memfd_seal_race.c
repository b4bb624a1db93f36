// BOOT: --smp 4 --memory 1G
/* A memfd is sealed against writing while another thread maps it writable: one of the two is refused, never none. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#define ROUNDS 3000

static atomic_int round_nr, fd, mapped_round;
static char *mapped;

/* Spins, so that both go on at the same moment; but on a busy machine the other is to run. False: it is over. */
static bool wait_for(atomic_int *what, int value)
{
	int now;

	for (int spins = 0; (now = *what) != value && now >= 0; spins++)
		if (spins > 1000)
			sched_yield();
	return now == value;
}

static void *mapper(void *arg)
{
	(void)arg;
	for (int i = 1; wait_for(&round_nr, i); i++) {
		mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		mapped_round = i;
	}
	return NULL;
}

TEST(one_is_refused)
{
	pthread_t t;
	time_t end = time(NULL) + 10; /* a machine whose CPUs take turns on the host's does fewer rounds */
	int sealed = 0, maps = 0, rounds;

	CHECK(!pthread_create(&t, NULL, mapper, NULL));
	for (rounds = 0; rounds < ROUNDS && time(NULL) < end;) {
		int i = ++rounds;

		fd = memfd_create("race", MFD_ALLOW_SEALING);
		ftruncate(fd, 4096);
		round_nr = i;
		for (volatile int spin = 0; spin < i * 7 % 4000; spin++)
			;
		int r = fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
		wait_for(&mapped_round, i);
		CHECK((r == 0) != (mapped != MAP_FAILED));
		sealed += r == 0;
		maps += mapped != MAP_FAILED;
		if (mapped != MAP_FAILED)
			munmap(mapped, 4096);
		close(fd);
	}
	round_nr = -1;
	pthread_join(t, NULL);
	printf("  sealed %d, mapped %d\n", sealed, maps);
	CHECK_EQ(sealed + maps, rounds);
}

int main(int argc, char **argv)
{
	return check_main(argc, argv);
}
