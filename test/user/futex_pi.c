// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* PI futexes: what a waiter lends to the owner, along chains; waiters moved from a plain word into the line for a lock. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

static long futex(uint32_t *u, int op, uint32_t val, const void *t, void *u2, uint32_t val3)
{
	return syscall(SYS_futex, u, op | FUTEX_PRIVATE_FLAG, val, t, u2, val3);
}

static uint32_t gettid_(void)
{
	return syscall(SYS_gettid);
}

/* Field 18 of stat: 20 for an ordinary thread, -1 - priority for a real-time one, lent priorities included. */
static long runs_at(int tid)
{
	char path[64], text[512], *p;
	long prio = 1000;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	FILE *f = fopen(path, "r");
	if (!f)
		return prio;
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	p = strrchr(text, ')') + 2;
	for (int i = 3; i < 18; i++)
		p = strchr(p, ' ') + 1;
	return atol(p);
}

static int eventually_runs_at(int tid, long prio)
{
	for (int i = 0; i < 2000 && runs_at(tid) != prio; i++)
		usleep(1000);
	return runs_at(tid);
}

static void set_rt(int tid, int prio)
{
	struct sched_param p = { .sched_priority = prio };

	CHECK_OK(syscall(SYS_sched_setscheduler, tid, prio ? SCHED_FIFO : SCHED_OTHER, &p));
}

static void lock_pi(uint32_t *u)
{
	uint32_t zero = 0;

	if (!__atomic_compare_exchange_n(u, &zero, gettid_(), 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		CHECK_OK(futex(u, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
}

static void unlock_pi(uint32_t *u)
{
	uint32_t me = gettid_();

	if (!__atomic_compare_exchange_n(u, &me, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		CHECK_OK(futex(u, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

/* A thread that takes `first` (or none), says so, then `second`, with its own real-time priority. */
struct taker { uint32_t *first, *second; int prio; volatile int tid; pthread_t t; int err; };

static void *take(void *arg)
{
	struct taker *k = arg;

	if (k->prio)
		set_rt(0, k->prio);
	if (k->first)
		lock_pi(k->first);
	k->tid = gettid_();
	k->err = futex(k->second, FUTEX_LOCK_PI, 0, NULL, NULL, 0) ? errno : 0;
	if (!k->err)
		unlock_pi(k->second);
	if (k->first)
		unlock_pi(k->first);
	return NULL;
}

static void start(struct taker *k)
{
	if (pthread_create(&k->t, NULL, take, k))
		abort();
	while (!k->tid)
		usleep(1000);
}

TEST(owner_runs_at_the_waiters_priority)
{
	uint32_t l = 0;
	struct taker a = { .first = NULL, .second = &l, .prio = 30 }, b = { .first = NULL, .second = &l, .prio = 50 };
	int me = gettid_();

	lock_pi(&l);
	CHECK_EQ(runs_at(me), 20);
	start(&a);
	CHECK_EQ(eventually_runs_at(me, -31), -31);
	start(&b);
	CHECK_EQ(eventually_runs_at(me, -51), -51);
	CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER); /* lent, not its own */
	CHECK_EXITS(20, _exit(runs_at(getpid())));	/* and not inherited */
	unlock_pi(&l);
	CHECK_EQ(runs_at(me), 20);
	pthread_join(a.t, NULL);
	pthread_join(b.t, NULL);
	CHECK_EQ(a.err | b.err | (int)l, 0);
}

TEST(priority_goes_along_the_chain)
{
	uint32_t l1 = 0, l2 = 0;
	struct taker a = { .first = &l2, .second = &l1, .prio = 0 }, b = { .first = NULL, .second = &l2, .prio = 40 };
	int me = gettid_();

	lock_pi(&l1);
	start(&a); /* holds l2, waits for l1 */
	start(&b);
	CHECK_EQ(eventually_runs_at(me, -41), -41);
	CHECK_EQ(runs_at(a.tid), -41);
	FILE *check = fopen("/proc/sys/vm/check", "w"); /* on Quoin: every checker, also of lines and lent priorities */
	if (check) {
		fputs("1", check);
		CHECK_EQ(fclose(check), 0);
	}
	set_rt(b.tid, 60); /* the waiter's own priority changes meanwhile */
	CHECK_EQ(runs_at(me), -61);
	set_rt(b.tid, 0);
	CHECK_EQ(runs_at(me), 20);
	CHECK_EQ(runs_at(a.tid), 20);
	set_rt(a.tid, 10);
	CHECK_EQ(runs_at(me), -11);
	unlock_pi(&l1);
	pthread_join(a.t, NULL);
	pthread_join(b.t, NULL);
	CHECK_EQ(a.err | b.err, 0);
	CHECK_EQ(runs_at(me), 20);
}

static struct timespec give_up_at;
static void *wait_a_second(void *arg)
{
	set_rt(0, 20);
	return (void *)(long)(futex(arg, FUTEX_LOCK_PI, 0, &give_up_at, NULL, 0) ? errno : 0);
}

TEST(a_waiter_that_gives_up_takes_back_what_it_lent)
{
	uint32_t l = 0;
	int me = gettid_();
	pthread_t w;
	void *r;

	lock_pi(&l);
	clock_gettime(CLOCK_REALTIME, &give_up_at);
	give_up_at.tv_sec += 1;
	REQUIRE(!pthread_create(&w, NULL, wait_a_second, &l));
	CHECK_EQ(eventually_runs_at(me, -21), -21);
	pthread_join(w, &r);
	CHECK_EQ((long)r, ETIMEDOUT);
	CHECK_EQ(runs_at(me), 20);
	unlock_pi(&l);
	CHECK_EQ(l, 0);
}

static volatile int order, low_at, high_at;
static void *low(void *arg)
{
	set_rt(0, 5);
	lock_pi(arg);
	low_at = ++order;
	unlock_pi(arg);
	return NULL;
}

static void *high(void *arg)
{
	set_rt(0, 6);
	lock_pi(arg);
	high_at = ++order;
	unlock_pi(arg);
	return NULL;
}

TEST(the_lock_goes_to_the_highest_priority)
{
	uint32_t l = 0;
	pthread_t t[2];
	int me = gettid_();

	lock_pi(&l);
	REQUIRE(!pthread_create(&t[0], NULL, low, &l));
	CHECK_EQ(eventually_runs_at(me, -6), -6);
	REQUIRE(!pthread_create(&t[1], NULL, high, &l));
	CHECK_EQ(eventually_runs_at(me, -7), -7);
	unlock_pi(&l);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	CHECK_EQ(high_at, 1);
	CHECK_EQ(low_at, 2);
}

TEST(circles_are_refused)
{
	uint32_t l1 = 0, l2 = 0;
	struct taker a = { .first = &l2, .second = &l1, .prio = 9 };

	lock_pi(&l1);
	start(&a);
	CHECK_EQ(eventually_runs_at(gettid_(), -10), -10);
	CHECK_ERRNO(futex(&l2, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	unlock_pi(&l1);
	pthread_join(a.t, NULL);
	CHECK_EQ(a.err, 0);
}

/* ---- moving waiters ---- */

static uint32_t cond, mutex;
static volatile int in_line, got;

struct sleeper { pthread_t t; int err; int timeout_ms; };

static void *wait_moved(void *arg)
{
	struct sleeper *s = arg;
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += s->timeout_ms % 1000 * 1000000l;
	t.tv_sec += s->timeout_ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	__atomic_fetch_add(&in_line, 1, __ATOMIC_SEQ_CST);
	s->err = futex(&cond, FUTEX_WAIT_REQUEUE_PI, 0, s->timeout_ms ? &t : NULL, &mutex, 0) ? errno : 0;
	if (s->err)
		return NULL;
	CHECK_EQ(mutex & FUTEX_TID_MASK, gettid_());
	got++;
	unlock_pi(&mutex);
	return NULL;
}

static void sleepers(struct sleeper *s, int n, int timeout_ms)
{
	in_line = got = 0;
	cond = mutex = 0;
	for (int i = 0; i < n; i++) {
		s[i].timeout_ms = timeout_ms;
		if (pthread_create(&s[i].t, NULL, wait_moved, &s[i]))
			abort();
	}
	while (in_line < n)
		usleep(1000);
	usleep(100000); /* and asleep */
}

TEST(requeue_errors)
{
	uint32_t other = 0;

	cond = mutex = 0;
	CHECK_ERRNO(futex(&cond, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &cond, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_WAIT_REQUEUE_PI, 1, NULL, &mutex, 0), EAGAIN);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 2, (void *)1, &mutex, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &cond, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &mutex, 1), EAGAIN);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &mutex, 0), 0);
	struct sleeper s;
	sleepers(&s, 1, 500);
	CHECK_ERRNO(futex(&cond, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &other, 0), EINVAL);
	pthread_join(s.t, NULL);
	CHECK_EQ(s.err, ETIMEDOUT);
}

TEST(broadcast_while_the_lock_is_free)
{
	struct sleeper s[5];

	sleepers(s, 5, 0);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)(long)0x7fffffff, &mutex, 0), 5);
	for (int i = 0; i < 5; i++) {
		pthread_join(s[i].t, NULL);
		CHECK_EQ(s[i].err, 0);
	}
	CHECK_EQ(got, 5);
	CHECK_EQ(mutex & FUTEX_TID_MASK, 0);
}

TEST(signals_while_the_lock_is_held)
{
	struct sleeper s[3];

	sleepers(s, 3, 0);
	lock_pi(&mutex);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)0, &mutex, 0), 1);
	usleep(50000);
	CHECK_EQ(got, 0);
	CHECK(mutex & FUTEX_WAITERS);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &mutex, 0), 2);
	unlock_pi(&mutex);
	for (int i = 0; i < 3; i++) {
		pthread_join(s[i].t, NULL);
		CHECK_EQ(s[i].err, 0);
	}
	CHECK_EQ(got, 3);
}

TEST(time_over_in_line)
{
	struct sleeper s;

	sleepers(&s, 1, 600);
	lock_pi(&mutex);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)0, &mutex, 0), 1);
	pthread_join(s.t, NULL);
	CHECK_EQ(s.err, ETIMEDOUT);
	unlock_pi(&mutex);
	CHECK_EQ(mutex, 0);
}

static void nothing(int sig)
{
	(void)sig;
}

/* Before it was moved a signal starts the wait again; in line it gives up, for the word has changed. */
TEST(signals_to_those_who_wait)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct sleeper s;

	sigaction(SIGUSR1, &sa, NULL);
	sleepers(&s, 1, 0);
	pthread_kill(s.t, SIGUSR1);
	usleep(50000);
	lock_pi(&mutex);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)0, &mutex, 0), 1); /* still there */
	usleep(20000);
	pthread_kill(s.t, SIGUSR1);
	pthread_join(s.t, NULL);
	CHECK_EQ(s.err, EAGAIN);
	unlock_pi(&mutex);
}

static void *die(void *arg)
{
	(void)arg;
	lock_pi(&mutex);
	CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)0, &mutex, 0), 1);
	usleep(50000);
	return NULL;
}

/* The owner of the lock dies without a word: the one in line gets it. */
TEST(owner_dies)
{
	struct sleeper s;
	pthread_t t;

	sleepers(&s, 1, 0);
	REQUIRE(!pthread_create(&t, NULL, die, NULL));
	pthread_join(t, NULL);
	pthread_join(s.t, NULL);
	CHECK_EQ(s.err, 0);
	CHECK_EQ(got, 1);
}

TEST_MAIN
