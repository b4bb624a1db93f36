/* For tests with another clock than the TSC: all of times.c, and what is to hold then. The including file says which by CLOCK. */
#include "times.c"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/timex.h>

#define SOURCES "/sys/devices/system/clocksource/clocksource0/"

static const char *line_of(const char *path)
{
	static char text[64];
	int fd = open(path, O_RDONLY);
	long n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int use(const char *name)
{
	int fd = open(SOURCES "current_clocksource", O_WRONLY);
	int r = write(fd, name, strlen(name)) < 0 ? -1 : 0, err = errno;

	close(fd);
	errno = err;
	return r;
}

/* In a child: exit code 0 when the vDSO reads the clock by itself, 1 when it makes the call, which a filter refuses. */
static int vdso_asks(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { 4, f };
	struct timespec t;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		return 2;
	return clock_gettime(CLOCK_MONOTONIC, &t) != 0;
}

TEST(which)
{
	CHECK_STR(line_of(SOURCES "current_clocksource"), CLOCK "\n");
	CHECK_ERRNO(use("a-name-that-has-more-than-31-letters"), EINVAL);
	CHECK_OK(use("nobody"));
	CHECK_STR(line_of(SOURCES "current_clocksource"), CLOCK "\n");
	CHECK_EXITS(1, _exit(vdso_asks()));
}

/* A tenth faster, as seen by the raw clock; which keeps its rate. */
TEST(steered)
{
	struct timex x = { .modes = ADJ_TICK, .tick = 11000 };

	CHECK_GE(adjtimex(&x), 0);
	long long mono = now(CLOCK_MONOTONIC), raw = now(CLOCK_MONOTONIC_RAW);
	usleep(200000);
	mono = now(CLOCK_MONOTONIC) - mono;
	raw = now(CLOCK_MONOTONIC_RAW) - raw;
	CHECK(mono > raw * 105 / 100 && mono < raw * 115 / 100);
	x.tick = 10000;
	CHECK_GE(adjtimex(&x), 0);
}

/* Two on one CPU: each gets its part of the CPU's time, and both together not more than there was. */
TEST(shared_cpu)
{
	cpu_set_t one;
	int fd[2];
	long long used, sum = 0, wall = now(CLOCK_MONOTONIC);

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	CHECK_OK(pipe(fd));
	for (int i = 0; i < 2; i++)
		if (!fork()) {
			sched_setaffinity(0, sizeof(one), &one);
			while (now(CLOCK_MONOTONIC) - wall < 500000000)
				;
			used = now(CLOCK_PROCESS_CPUTIME_ID);
			_exit(write(fd[1], &used, sizeof(used)) != sizeof(used));
		}
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(read(fd[0], &used, sizeof(used)), sizeof(used));
		CHECK_GT(used, 100000000);
		sum += used;
	}
	CHECK_LE(sum, now(CLOCK_MONOTONIC) - wall);
	CHECK(wait(NULL) > 0 && wait(NULL) > 0);
	close(fd[0]);
	close(fd[1]);
}

/* The greatest time that anybody has seen: nobody may be given an earlier one afterwards. */
static _Atomic long long greatest;
static _Atomic bool stop;

static void *watch(void *which)
{
	long long worst = 0, raw = 0;

	for (long i = (long)which; !stop; i++) {
		long long seen = greatest, t;
		struct timespec ts;

		i & 1 ? clock_gettime(CLOCK_MONOTONIC, &ts) : syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
		t = ns(&ts);
		worst = seen - t > worst ? seen - t : worst;
		while (t > seen && !__atomic_compare_exchange_n(&greatest, &seen, t, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		t = now(CLOCK_MONOTONIC_RAW);
		worst = raw - t > worst ? raw - t : worst;
		raw = t;
	}
	return (void *)worst;
}

/* Time while @turn is called @rounds times, seen by three others. */
static inline void watch_time(void (*turn)(int), int rounds)
{
	pthread_t t[3];
	void *worst;

	stop = false;
	greatest = 0;
	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, watch, (void *)i);
	for (int i = 0; i < rounds; i++)
		turn(i);
	stop = true;
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &worst);
		CHECK_EQ((long)worst, 0);
	}
}
