/*
 * Curves: what an operation costs as a number grows - mappings, descriptors, processes, runnable
 * processes, waiters, memory.  Counted on one CPU.
 *
 * A row is skipped with the kernel's errno when the kernel refuses the number, and with ENOMEM when
 * memory would not suffice (it is asked first: the point is a count, not a swap storm).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "bench.h"

/*
 * Batches of twenty steps, each of them so many operations; step says whether the kernel was right.
 * Inlined, so that no calls are counted.
 */
static inline __attribute__((always_inline))
void measure_steps(struct bench *b, int operations, bool (*step)(void *arg), void *arg)
{
	enum { STEPS = 20 };

	while (bench_more(b)) {
		bool right = true;

		begin(b);
		for (int i = 0; i < STEPS; i++)
			right &= step(arg);
		end(b, STEPS * operations);
		CHECK(right);
	}
}

/* ---- mappings ---- */

/* n mappings of one page each: writable pages and forbidden ones in turn */
static char *many_vmas(long n)
{
	char *p;

	tune("/proc/sys/vm/max_map_count", 1 << 20);
	p = map_small(n * PAGE);
	for (long i = 1; i < n; i += 2)
		NEED(!mprotect(p + i * PAGE, PAGE, PROT_NONE));
	return p;
}

/* Executable: merges with no neighbour. */
static bool map_and_unmap(void *unused)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	return p != MAP_FAILED && !munmap(p, PAGE);
}

static void vma_mmap(struct bench *b, long n)
{
	many_vmas(n);
	measure_steps(b, 1, map_and_unmap, NULL);
}

static void vma_fault(struct bench *b, long n)
{
	enum { TOUCHED = 5 };
	char *p = many_vmas(n);
	long step = n / TOUCHED & ~1l;

	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < TOUCHED; i++)
			((volatile char *)p)[i * step * PAGE] = 1;
		end(b, TOUCHED);
		for (int i = 0; i < TOUCHED; i++)
			wrong |= p[i * step * PAGE] != 1 || madvise(p + i * step * PAGE, PAGE, MADV_DONTNEED);
		CHECK(!wrong);
	}
}

/* Read-only is neither neighbour's protection: nothing merges. */
static bool protect_and_back(void *p)
{
	return !mprotect(p, PAGE, PROT_READ) && !mprotect(p, PAGE, PROT_READ | PROT_WRITE);
}

static void vma_mprotect(struct bench *b, long n)
{
	measure_steps(b, 2, protect_and_back, many_vmas(n) + (n / 4) * 2 * PAGE);
}

BENCH_MANY(vma_mmap_10, SCALE, vma_mmap, 10, "mmap and munmap among 10 mappings", 7, MEDIAN);
BENCH_MANY(vma_mmap_1000, SCALE, vma_mmap, 1000, "among 1,000", 7, MEDIAN);
BENCH_MANY(vma_mmap_100000, SCALE, vma_mmap, 100000, "among 100,000", 7, MEDIAN);
BENCH_ROW(vma_fault_10, SCALE, vma_fault, 10, "first touch of a page among 10 mappings", 7);
BENCH_ROW(vma_fault_1000, SCALE, vma_fault, 1000, "among 1,000", 7);
BENCH_ROW(vma_fault_100000, SCALE, vma_fault, 100000, "among 100,000", 7);
BENCH_ROW(vma_mprotect_10, SCALE, vma_mprotect, 10, "mprotect of one among 10 mappings", 7);
BENCH_ROW(vma_mprotect_1000, SCALE, vma_mprotect, 1000, "among 1,000", 7);
BENCH_ROW(vma_mprotect_100000, SCALE, vma_mprotect, 100000, "among 100,000", 7);

/* ---- descriptors ---- */

static void many_fds(long n)
{
	struct rlimit limit = { n + 100, n + 100 };
	int fd = open("/dev/null", O_RDONLY);

	NEED(fd >= 0);
	if (n > 900)
		NEED(!setrlimit(RLIMIT_NOFILE, &limit));
	while (fd + 1 < n)
		NEED((fd = dup(fd)) >= 0);
}

struct opened {
	const char *path;
	int fd;		/* that it gets */
};

static bool open_and_close(void *arg)
{
	const struct opened *o = arg;

	return open(o->path, O_RDONLY) == o->fd && !close(o->fd);
}

static void fd_open(struct bench *b, long n)
{
	struct opened o = { in_dir("fds"), n };

	close(make_file("fds", 1));
	many_fds(n);
	measure_steps(b, 1, open_and_close, &o);
}

static bool close_and_dup(void *unused)
{
	(void)unused;
	return !close(5) && dup(4) == 5;
}

static void fd_dup_low(struct bench *b, long n)
{
	many_fds(n);
	measure_steps(b, 1, close_and_dup, NULL);
}

BENCH_ROW(fd_open_10, SCALE, fd_open, 10, "open and close with 10 descriptors open", 7);
BENCH_ROW(fd_open_1000, SCALE, fd_open, 1000, "with 1,000", 7);
BENCH_ROW(fd_open_100000, SCALE, fd_open, 100000, "with 100,000", 7);
BENCH_ROW(fd_dup_10, SCALE, fd_dup_low, 10, "close and dup of a low one with 10 open", 7);
BENCH_ROW(fd_dup_1000, SCALE, fd_dup_low, 1000, "with 1,000", 7);
BENCH_ROW(fd_dup_100000, SCALE, fd_dup_low, 100000, "with 100,000", 7);

/* ---- processes ---- */

static int sleeper(void *arg)
{
	(void)arg;
	for (;;)
		syscall(SYS_pause);
	return 0;
}

/* n processes that sleep for ever and share this one's memory, to be small */
static pid_t *many_processes(long n)
{
	enum { STACK = 512 };
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t *pids = (pid_t *)map_anon(n * sizeof *pids, PAGE, PROT_READ | PROT_WRITE);
	char *stacks = map_anon(n * STACK, PAGE, PROT_READ | PROT_WRITE);

	if (n > 10000 && memory_available() < n * 40960ull)
		bench_skip(ENOMEM);
	tune("/proc/sys/kernel/pid_max", 4 << 20);
	tune("/proc/sys/kernel/threads-max", 1 << 20);
	setrlimit(RLIMIT_NPROC, &limit);
	for (long i = 0; i < n; i++) {
		pids[i] = clone(sleeper, stacks + (i + 1) * STACK,
				CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD, NULL);
		if (pids[i] < 0) {
			int err = errno;

			while (i--)
				kill(pids[i], SIGKILL);
			bench_skip(err);
		}
		if (i % 100 == 99)
			usleep(1000);		/* let them go to sleep */
	}
	usleep(20000);
	return pids;
}

static void end_processes(const pid_t *pids, long n)
{
	for (long i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (long i = 0; i < n; i++)
		CHECK(waitpid(pids[i], NULL, 0) == pids[i]);
}

static void pid_fork(struct bench *b, long n)
{
	pid_t *pids = many_processes(n);

	while (bench_more(b)) {
		pid_t pid;

		begin(b);
		pid = vfork();
		if (!pid)
			_exit(7);
		CHECK(exits_with(pid, 7));
		end(b, 1);
	}
	end_processes(pids, n);
}

static void pid_kill(struct bench *b, long n)
{
	pid_t *pids = many_processes(n);
	long step = n / 10;

	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 10; i++)
			refused |= kill(pids[i * step], 0);
		end(b, 10);
		CHECK(!refused);
	}
	end_processes(pids, n);
}

BENCH_ROW(pid_fork_10, SCALE, pid_fork, 10, "vfork, exit, wait among 10 processes", 7);
BENCH_ROW(pid_fork_1000, SCALE, pid_fork, 1000, "among 1,000", 7);
BENCH_LONG(pid_fork_100000, SCALE, pid_fork, 100000, "among 100,000", 7);
BENCH_ROW(pid_kill_10, SCALE, pid_kill, 10, "find one of 10 processes: kill(pid, 0)", 7);
BENCH_ROW(pid_kill_1000, SCALE, pid_kill, 1000, "one of 1,000", 7);
BENCH_LONG(pid_kill_100000, SCALE, pid_kill, 100000, "one of 100,000", 7);

/* ---- runnable processes ---- */

/* Every process counts its own yields; the cost of one is the time over the sum of all. */
static void yield_among(struct bench *b, long n)
{
	struct { volatile uint64_t yields; char pad[56]; } *count = (void *)
		mmap(NULL, n * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[64];
	uint64_t before, after;

	NEED(count != MAP_FAILED);
	for (long i = 1; i < n; i++) {
		NEED((pids[i] = fork()) >= 0);
		while (!pids[i]) {
			sched_yield();
			count[i].yields++;
		}
	}
	while (bench_more(b)) {
		before = after = 0;
		for (long i = 0; i < n; i++)
			before += count[i].yields;
		piece_begin(b);
		for (int i = 0; i < 100; i++) {
			sched_yield();
			count[0].yields++;
		}
		piece_end(b);
		for (long i = 0; i < n; i++)
			after += count[i].yields;
		CHECK(after - before >= 100);
		pieces_end(b, after - before);
	}
	for (long i = 1; i < n; i++) {
		CHECK(count[i].yields);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

BENCH_ROW(yield_1, SCALE, yield_among, 1, "sched_yield, alone", 7);
BENCH_ROW(yield_2, SCALE, yield_among, 2, "with 2 runnable processes", 7);
BENCH_ROW(yield_4, SCALE, yield_among, 4, "with 4", 7);
BENCH_ROW(yield_16, SCALE, yield_among, 16, "with 16", 7);
BENCH_ROW(yield_64, SCALE, yield_among, 64, "with 64", 7);

/* ---- waiters ---- */

struct crowd {
	uint32_t round;		/* waited on */
	uint32_t arrived;	/* waiters that have seen the round */
	uint32_t done;		/* the last of them wakes us here */
	uint32_t lock;
	uint64_t guarded;
	uint32_t stop;
};

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void wake_crowd_member(struct crowd *c, uint32_t n)
{
	for (uint32_t round = 1;; round++) {
		while (__atomic_load_n(&c->round, __ATOMIC_ACQUIRE) < round)
			futex(&c->round, FUTEX_WAIT, round - 1);
		if (c->stop)
			_exit(0);
		if (__atomic_add_fetch(&c->arrived, 1, __ATOMIC_ACQ_REL) == n * round) {
			__atomic_store_n(&c->done, round, __ATOMIC_RELEASE);
			futex(&c->done, FUTEX_WAKE, 1);
		}
	}
}

static struct crowd *shared_crowd(void)
{
	struct crowd *c = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEED(c != MAP_FAILED);
	return c;
}

/* One wake-up of n waiters, until all of them have run and wait again. */
static void futex_wake_all(struct bench *b, long n)
{
	struct crowd *c = shared_crowd();
	uint32_t round = 0;
	pid_t pids[64];

	for (long i = 0; i < n; i++) {
		NEED((pids[i] = fork()) >= 0);
		if (!pids[i])
			wake_crowd_member(c, n);
	}
	usleep(50000);
	while (bench_more(b)) {
		begin(b);
		__atomic_store_n(&c->round, ++round, __ATOMIC_RELEASE);
		futex(&c->round, FUTEX_WAKE, 1 << 30);
		while (__atomic_load_n(&c->done, __ATOMIC_ACQUIRE) != round)
			futex(&c->done, FUTEX_WAIT, round - 1);
		end(b, n);
		CHECK(c->arrived == n * round);
		usleep(1000);
	}
	c->stop = 1;
	c->round = round + 1;
	futex(&c->round, FUTEX_WAKE, 1 << 30);
	for (long i = 0; i < n; i++)
		CHECK(exits_with(pids[i], 0));
}

BENCH_ROW(futex_wake_1, SCALE, futex_wake_all, 1, "wake all of 1 waiter; it runs and waits again", 7);
BENCH_ROW(futex_wake_4, SCALE, futex_wake_all, 4, "of 4, each", 7);
/* In which order a fair scheduler keeps the waiters is decided when they start, and stays: many starts. */
enum { STARTS = 96 };
BENCH_ROW_AS(futex_wake_16, SCALE, futex_wake_all, 16, "of 16, each", 7, .processes = STARTS);
BENCH_ROW_AS(futex_wake_64, SCALE, futex_wake_all, 64, "of 64, each", 7, .processes = STARTS);

/* The lock of futex(7)'s example: 0 free, 1 taken, 2 taken and waited for. */
static void lock_take(uint32_t *lock)
{
	uint32_t free = 0;

	if (__atomic_compare_exchange_n(lock, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE))
		futex(lock, FUTEX_WAIT, 2);
}

static void lock_drop(uint32_t *lock)
{
	if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2)
		futex(lock, FUTEX_WAKE, 1);
}

/* n processes take a lock, give the CPU away while they hold it, and drop it. */
static void futex_contended(struct bench *b, long n)
{
	struct crowd *c = shared_crowd();
	uint64_t before, after;
	pid_t pids[64];

	for (long i = 0; i < n; i++) {
		NEED((pids[i] = fork()) >= 0);
		while (!pids[i]) {
			lock_take(&c->lock);
			c->guarded++;
			sched_yield();
			if (c->stop) {
				lock_drop(&c->lock);
				_exit(0);
			}
			lock_drop(&c->lock);
		}
	}
	usleep(10000);
	while (bench_more(b)) {
		before = *(volatile uint64_t *)&c->guarded;
		piece_begin(b);
		usleep(10000);
		piece_end(b);
		after = *(volatile uint64_t *)&c->guarded;
		CHECK(after > before);
		pieces_end(b, after - before);
	}
	c->stop = 1;
	for (long i = 0; i < n; i++)
		CHECK(exits_with(pids[i], 0));
}

BENCH_ROW(futex_contended_2, SCALE, futex_contended, 2, "lock and unlock among 2 that want it", 7);
BENCH_ROW(futex_contended_8, SCALE, futex_contended, 8, "among 8", 7);
BENCH_ROW(futex_contended_32, SCALE, futex_contended, 32, "among 32", 7);

/* ---- memory ---- */

static void fork_touched(struct bench *b, long mib)
{
	size_t len = mib << 20;
	char *p;

	if (memory_available() < len + len / 8 + (64 << 20))
		bench_skip(ENOMEM);
	p = map_small(len);
	touch(p, len);
	while (bench_more(b)) {
		pid_t pid;

		begin(b);
		pid = fork();
		if (!pid)
			_exit(p[len / 2] & 0x7f);
		CHECK(exits_with(pid, pattern(len / 2) & 0x7f));
		end(b, 1);
	}
}

BENCH_MANY(fork_1m, SCALE, fork_touched, 1, "fork, exit, wait with 1 MiB touched", 5, MEDIAN);
BENCH_ROW(fork_16m, SCALE, fork_touched, 16, "with 16 MiB", 5);
BENCH_ROW(fork_64m, SCALE, fork_touched, 64, "with 64 MiB", 3);
BENCH_ROW(fork_256m, SCALE, fork_touched, 256, "with 256 MiB", 3);
BENCH_ROW(fork_1g, SCALE, fork_touched, 1024, "with 1 GiB", 3);

/* Linux 6.1's number, for headers that do not have it */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

BENCH(collapse_2m, SCALE, "512 touched pages become one huge page (MADV_COLLAPSE)")
{
	while (bench_more(b)) {
		char *p = map_small(HUGE);
		int wrong = 0;

		touch(p, HUGE);
		NEED(!madvise(p, HUGE, MADV_HUGEPAGE));
		begin(b);
		NEED(!madvise(p, HUGE, MADV_COLLAPSE));
		end(b, 1);
		for (size_t i = 0; i < HUGE; i += PAGE)
			wrong += p[i] != pattern(i) || p[i + 1];
		CHECK(!wrong);
		munmap(p, HUGE);
	}
}
