/* A memfd is sealed against writing while another thread maps it writable: one of the two is refused, never none. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define ROUNDS 3000

static atomic_int round_nr, fd, mapped_round;
static char *mapped;

static void *mapper(void *arg)
{
	(void)arg;
	for (int i = 1; i <= ROUNDS; i++) {
		while (round_nr != i)
			;
		mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		mapped_round = i;
	}
	return NULL;
}

TEST(one_is_refused)
{
	pthread_t t;
	int sealed = 0, maps = 0;

	CHECK(!pthread_create(&t, NULL, mapper, NULL));
	for (int i = 1; i <= ROUNDS; i++) {
		fd = memfd_create("race", MFD_ALLOW_SEALING);
		ftruncate(fd, 4096);
		round_nr = i;
		for (volatile int spin = 0; spin < i % 200; spin++)
			;
		int r = fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
		while (mapped_round != i)
			;
		CHECK((r == 0) != (mapped != MAP_FAILED));
		sealed += r == 0;
		maps += mapped != MAP_FAILED;
		if (mapped != MAP_FAILED)
			munmap(mapped, 4096);
		close(fd);
	}
	pthread_join(t, NULL);
	printf("  sealed %d, mapped %d\n", sealed, maps);
	CHECK_EQ(sealed + maps, ROUNDS);
}

int main(int argc, char **argv)
{
	return check_main(argc, argv);
}
