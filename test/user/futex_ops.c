// DEBUG: -
// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* The futex operations one by one, PI and robust locks, futex_waitv, under contention. */
#include "check.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static long futex(uint32_t *u, int op, uint32_t val, const void *t, void *u2, uint32_t val3)
{
	return syscall(SYS_futex, u, op, val, t, u2, val3);
}

static uint32_t word, word2;

TEST(errors)
{
	struct timespec t = { 0, 1000000 }, bad = { 0, 2000000000 };

	CHECK_ERRNO(futex((uint32_t *)3, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex((uint32_t *)0x10, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &t, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
	CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_nsec += 5000000;
	if (now.tv_nsec >= 1000000000)
		now.tv_sec++, now.tv_nsec -= 1000000000;
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, ~0u), ETIMEDOUT);
}

static void *wait_thread(void *arg)
{
	long r;

	do
		r = futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, (uint32_t)(long)arg);
	while (r < 0 && errno == EINTR);
	return (void *)r;
}

TEST(bitsets_and_requeue)
{
	pthread_t t[4];

	word = word2 = 0;
	for (long i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&t[i], NULL, wait_thread, (void *)(1l << i)));
	usleep(50000);
	CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 4), 1);
	pthread_join(t[2], NULL);
	CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)10, &word2, 5), EAGAIN);
	CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)10, &word2, 0), 3);
	CHECK_EQ(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&word2, FUTEX_WAKE, 10, NULL, NULL, 0), 2);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	pthread_join(t[3], NULL);
}

TEST(wake_op)
{
	word = 0;
	word2 = 5;
	CHECK_EQ(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2,
		       FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)), 0);
	CHECK_EQ(word2, 8);
	CHECK_EQ(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)), 0);
	CHECK_EQ(word2, 0);
}

/* Processes over shared memory: the key is the page, not the address. */
TEST(shared_between_processes)
{
	uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int st;

	REQUIRE(a != MAP_FAILED);
	pid_t p = fork();
	if (!p) {
		while (!__atomic_load_n(a, __ATOMIC_ACQUIRE))
			futex(a, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(0);
	}
	/* it waits at last, and waits again as the word is still 0 */
	while (!(st = futex(a, FUTEX_WAKE, 1, NULL, NULL, 0)))
		usleep(1000);
	CHECK_EQ(st, 1);
	__atomic_store_n(a, 1, __ATOMIC_RELEASE);
	futex(a, FUTEX_WAKE, 1, NULL, NULL, 0);
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 0);
	munmap(a, 4096);
}

/* The same where the one who waits may only read the file: a shared mapping all the same. */
TEST(waits_on_a_read_only_mapping)
{
	int fd = memfd_create("m", 0), ro, st = 0, woken = 0;
	char path[64];

	CHECK_OK(ftruncate(fd, 4096));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	REQUIRE(a != MAP_FAILED && b != MAP_FAILED);
	pid_t p = fork();
	if (!p) {
		struct timespec limit = { 30, 0 };

		_exit(futex(b, FUTEX_WAIT, 0, &limit, NULL, 0) ? 1 : 0);
	}
	for (int i = 0; i < 5000 && !woken && !waitpid(p, &st, WNOHANG); i++) {
		woken = futex(a, FUTEX_WAKE, 1, NULL, NULL, 0);
		usleep(1000);
	}
	CHECK_EQ(woken, 1);
	if (!woken)
		kill(p, SIGKILL);
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 0);
	munmap(a, 4096);
	munmap(b, 4096);
	close(ro);
	close(fd);
}

struct waitv { uint64_t val, uaddr; uint32_t flags, reserved; };
static void *waitv_thread(void *arg)
{
	struct waitv v[3] = { { 0, (uintptr_t)&word, 2 | 128, 0 }, { 0, (uintptr_t)&word2, 2 | 128, 0 },
			      { 0, (uintptr_t)arg, 2 | 128, 0 } };
	return (void *)syscall(449, v, 3, 0, NULL, 1);
}

TEST(waitv)
{
	static uint32_t third;
	pthread_t t;
	void *r;

	word = word2 = 0;
	struct waitv one = { 1, (uintptr_t)&word, 2 | 128, 0 };
	CHECK_ERRNO(syscall(449, &one, 1, 0, NULL, 1), EAGAIN);
	CHECK_ERRNO(syscall(449, &one, 0, 0, NULL, 1), EINVAL);
	one.flags = 3;
	CHECK_ERRNO(syscall(449, &one, 1, 0, NULL, 1), EINVAL);
	REQUIRE(!pthread_create(&t, NULL, waitv_thread, &third));
	usleep(30000);
	CHECK_EQ(futex(&word2, FUTEX_WAKE | 128, 1, NULL, NULL, 0), 1);
	pthread_join(t, &r);
	CHECK_EQ((long)r, 1);
}

static uint32_t pi;
static long counter;

static void *pi_thread(void *arg)
{
	uint32_t tid = syscall(SYS_gettid);

	for (int i = 0; i < 2000; i++) {
		uint32_t zero = 0, me = tid;
		if (!__atomic_compare_exchange_n(&pi, &zero, tid, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			while (futex(&pi, FUTEX_LOCK_PI | 128, 0, NULL, NULL, 0))
				if (errno != EINTR)
					return (void *)(long)errno;
		counter++;
		if (!__atomic_compare_exchange_n(&pi, &me, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			if (futex(&pi, FUTEX_UNLOCK_PI | 128, 0, NULL, NULL, 0))
				return (void *)(long)(errno + 1000);
	}
	return NULL;
}

TEST(pi_locks)
{
	pthread_t t[4];
	void *r;
	struct timespec past = { 1, 0 };

	pi = counter = 0;
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&t[i], NULL, pi_thread, NULL));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		CHECK_EQ((long)r, 0);
	}
	CHECK_EQ(counter, 8000);
	pi = syscall(SYS_gettid);
	CHECK_ERRNO(futex(&pi, FUTEX_LOCK_PI | 128, 0, NULL, NULL, 0), EDEADLK);
	CHECK_OK(futex(&pi, FUTEX_UNLOCK_PI | 128, 0, NULL, NULL, 0));
	CHECK_ERRNO(futex(&pi, FUTEX_UNLOCK_PI | 128, 0, NULL, NULL, 0), EPERM);
	pi = 1;
	CHECK_ERRNO(futex(&pi, FUTEX_LOCK_PI, 0, &past, NULL, 0), ETIMEDOUT);
	pi = 0;
}

static pthread_mutex_t *robust;

TEST(robust_mutex)
{
	pthread_mutexattr_t a;
	int st;

	robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(robust != MAP_FAILED);
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	REQUIRE(!pthread_mutex_init(robust, &a));
	pid_t p = fork();
	if (!p) {
		pthread_mutex_lock(robust);
		usleep(50000);
		kill(getpid(), SIGKILL);
	}
	usleep(20000);
	CHECK_EQ(pthread_mutex_lock(robust), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(robust), 0);
	CHECK_EQ(pthread_mutex_unlock(robust), 0);
	CHECK_EQ(waitpid(p, &st, 0), p);
	munmap(robust, 4096);
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static int turn;

static void *ring(void *arg)
{
	int me = (int)(long)arg;

	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&m);
		while (turn % 8 != me)
			pthread_cond_wait(&cv, &m);
		turn++;
		pthread_cond_broadcast(&cv);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

TEST(condition_ring)
{
	pthread_t t[8];

	turn = 0;
	for (long i = 0; i < 8; i++)
		REQUIRE(!pthread_create(&t[i], NULL, ring, (void *)i));
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(turn, 4000);
}

/* The file is truncated under its mapping: there is no word, not even one that nobody waits for. */
TEST(word_truncated_away)
{
	int fd = (int)syscall(SYS_memfd_create, "word", 0);
	int *w;

	CHECK_OK(ftruncate(fd, 4096));
	w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(w != MAP_FAILED);
	CHECK_EQ(syscall(SYS_futex, w, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0), 0);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_ERRNO(syscall(SYS_futex, w, 1, 1, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_futex, w, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_futex, w, 3 /* FUTEX_REQUEUE */, 1, 1, w + 1, 0), EFAULT);
	CHECK_OK(ftruncate(fd, 4096));
	CHECK_EQ(syscall(SYS_futex, w, 1, 1, NULL, NULL, 0), 0);
	munmap(w, 4096);
	close(fd);
}

TEST_MAIN
