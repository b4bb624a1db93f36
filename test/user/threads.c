// DEBUG: -
/*
 * Threads as libc makes them: create, join, mutexes, conditions, thread-local data, cancellation, exit of
 * the group, futexes directly, robust lists, affinity, many threads at once.
 */
// VARIANTS: musl glibc dynamic
// BOOT: --smp 4 --memory 512M
#include "check.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter;
static __thread int local = 5;

static void *count_up(void *arg)
{
	local += (long)arg;
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(long)local;
}

TEST(mutex_and_tls)
{
	pthread_t t[8];
	void *ret;

	counter = 0;
	for (long i = 0; i < 8; i++)
		REQUIRE(!pthread_create(&t[i], NULL, count_up, (void *)i));
	for (long i = 0; i < 8; i++) {
		CHECK_EQ(pthread_join(t[i], &ret), 0);
		CHECK_EQ((long)ret, 5 + i);
	}
	CHECK_EQ(counter, 160000);
	CHECK_EQ(local, 5);
}

static int turn;

static void *player(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&lock);
		while (turn != (long)arg)
			pthread_cond_wait(&cond, &lock);
		turn = !turn;
		pthread_cond_signal(&cond);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

TEST(conditions)
{
	pthread_t a, b;

	turn = 0;
	REQUIRE(!pthread_create(&a, NULL, player, (void *)0));
	REQUIRE(!pthread_create(&b, NULL, player, (void *)1));
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	CHECK_EQ(turn, 0);
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += 50000000;
	if (t.tv_nsec >= 1000000000)
		t.tv_sec++, t.tv_nsec -= 1000000000;
	pthread_mutex_lock(&lock);
	CHECK_EQ(pthread_cond_timedwait(&cond, &lock, &t), ETIMEDOUT);
	pthread_mutex_unlock(&lock);
}

static long futex(void *word, int op, unsigned val, const struct timespec *t)
{
	return syscall(SYS_futex, word, op, val, t, NULL, 0);
}

static void *futex_waiter(void *word)
{
	return (void *)futex(word, FUTEX_WAIT_PRIVATE, 1, NULL);
}

TEST(futex_calls)
{
	unsigned word = 1;
	struct timespec t = { 0, 30000000 };
	pthread_t th[3];
	long woken = 0;

	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 2, NULL), EAGAIN);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, &t), ETIMEDOUT);
	CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL), 0);
	CHECK_ERRNO(futex((void *)0x1000, FUTEX_WAIT, 1, NULL), EFAULT);
	CHECK_ERRNO(futex((char *)&word + 1, FUTEX_WAIT, 1, NULL), EINVAL);
	CHECK_ERRNO(futex(&word, 99, 1, NULL), ENOSYS);
	for (int i = 0; i < 3; i++)
		REQUIRE(!pthread_create(&th[i], NULL, futex_waiter, &word));
	for (int i = 0; i < 1000 && woken < 3; i++) {
		woken += futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
		usleep(1000);
	}
	CHECK_EQ(woken, 3);
	for (int i = 0; i < 3; i++) {
		void *ret;

		pthread_join(th[i], &ret);
		CHECK_EQ((long)ret, 0);
	}
	unsigned *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*shared = 1;
	fflush(NULL);
	pid_t pid = fork();
	if (!pid)
		_exit(futex(shared, FUTEX_WAIT, 1, NULL) ? 1 : 0);
	woken = 0;
	for (int i = 0; i < 1000 && !woken; i++) {
		woken = futex(shared, FUTEX_WAKE, 1, NULL);
		usleep(1000);
	}
	CHECK_EQ(woken, 1);
	int status;
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

TEST(group_exit)
{
	CHECK_EXITS(6, {
		pthread_t t;
		for (int i = 0; i < 5; i++)
			pthread_create(&t, NULL, sleeper, NULL);
		exit(6);
	});
	CHECK_KILLED(SIGKILL, {
		pthread_t t;
		for (int i = 0; i < 5; i++)
			pthread_create(&t, NULL, sleeper, NULL);
		kill(getpid(), SIGKILL);
		pause();
	});
}

static void *exec_it(void *arg)
{
	execl("/bin/sh", "sh", "-c", "exit 12", NULL);
	return NULL;
}

TEST(exec_from_thread)
{
	CHECK_EXITS(12, {
		pthread_t t;
		pthread_create(&t, NULL, sleeper, NULL);
		pthread_create(&t, NULL, exec_it, NULL);
		pause();
	});
}

static void *ids(void *arg)
{
	CHECK_EQ(getpid(), (long)arg);
	CHECK_NE(syscall(SYS_gettid), (long)arg);
	return NULL;
}

TEST(ids_and_cancel)
{
	pthread_t t;
	void *ret;

	REQUIRE(!pthread_create(&t, NULL, ids, (void *)(long)getpid()));
	pthread_join(t, NULL);
	REQUIRE(!pthread_create(&t, NULL, sleeper, NULL));
	usleep(20000);
	CHECK_EQ(pthread_cancel(t), 0);
	pthread_join(t, &ret);
	CHECK(ret == PTHREAD_CANCELED);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 99999999, 0), ESRCH);
}

static void *nothing(void *arg)
{
	return arg;
}

TEST(many_threads)
{
	pthread_t t[64];

	for (int round = 0; round < 20; round++) {
		for (long i = 0; i < 64; i++)
			REQUIRE(!pthread_create(&t[i], NULL, nothing, (void *)i));
		for (long i = 0; i < 64; i++) {
			void *ret;

			pthread_join(t[i], &ret);
			CHECK_EQ((long)ret, i);
		}
	}
}

static atomic_int spin_hits;
static atomic_bool spin_go;

static void *spinner(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((long)arg, &set);
	if (sched_setaffinity(0, sizeof set, &set))
		return NULL;
	while (!spin_go)
		;
	if (sched_getcpu() == (long)arg)
		spin_hits++;
	return NULL;
}

TEST(affinity)
{
	int n = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t t[8];
	cpu_set_t set;

	CHECK_EQ(n, 4);
	CHECK_OK(sched_getaffinity(0, sizeof set, &set));
	CHECK_EQ(CPU_COUNT(&set), n);
	for (long i = 0; i < n; i++)
		REQUIRE(!pthread_create(&t[i], NULL, spinner, (void *)i));
	usleep(20000);
	spin_go = true;
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(spin_hits, n);
	CPU_ZERO(&set);
	CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
}

static void *die_holding(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

TEST(robust_mutex)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &a);
	REQUIRE(!pthread_create(&t, NULL, die_holding, &m));
	pthread_join(t, NULL);
	CHECK_EQ(pthread_mutex_lock(&m), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(&m), 0);
	CHECK_EQ(pthread_mutex_unlock(&m), 0);
}

/* One thread changes mappings while others fault: the address space is shared for real. */
static void *toucher(void *arg)
{
	for (int i = 0; i < 200; i++) {
		char *p = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return (void *)1;
		for (int j = 0; j < 16; j++)
			p[j * 4096] = j;
		for (int j = 0; j < 16; j++)
			if (p[j * 4096] != j)
				return (void *)2;
		munmap(p, 16 * 4096);
	}
	return NULL;
}

TEST(parallel_faults)
{
	pthread_t t[8];

	for (long i = 0; i < 8; i++)
		REQUIRE(!pthread_create(&t[i], NULL, toucher, NULL));
	for (long i = 0; i < 8; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		CHECK_EQ((long)ret, 0);
	}
}

TEST(fork_with_threads)
{
	pthread_t t;

	REQUIRE(!pthread_create(&t, NULL, sleeper, NULL));
	for (int i = 0; i < 20; i++)
		CHECK_EXITS(3, _exit(3));
	pthread_cancel(t);
	pthread_join(t, NULL);
}

TEST_MAIN
