/*
 * pipe_close_race: both ends of a pipe closed at the same moment by two threads or processes. The release of one end once woke
 * waiters through a pipe that the other end had freed meanwhile, and the kernel spun on the lock of memory that was
 * something else by then.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

static atomic_int go, done;
static int fds[2];

static void *closer(void *arg)
{
	for (int round = 1;; round++) {
		int now;

		for (int spins = 0; (now = atomic_load(&go)) < round && now >= 0; spins++)
			if (spins > 1000)
				sched_yield(); /* on one CPU the other must run */
		if (now < 0)
			return arg;
		close(fds[1]);
		atomic_store(&done, round);
	}
}

TEST(both_ends_close_together)
{
	pthread_t t;
	int rounds = 3000;

	CHECK_EQ(pthread_create(&t, NULL, closer, NULL), 0);
	for (int i = 1; i <= rounds; i++) {
		CHECK_EQ(pipe(fds), 0);
		atomic_store(&go, i);
		close(fds[0]);
		for (int spins = 0; atomic_load(&done) < i; spins++)
			if (spins > 1000)
				sched_yield();
	}
	atomic_store(&go, -1);
	pthread_join(t, NULL);
}

TEST_MAIN
