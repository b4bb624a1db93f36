// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 240
/*
 * Staleness: after munmap, mprotect, madvise(DONTNEED), mremap or a copy on write returned, no CPU sees the old page.
 *
 * One thread edits, the others read (and one writes) in a loop on other CPUs, each access guarded by SIGSEGV. A round is: every
 * reader has made whole accesses, so its CPU has the translation cached; the call; the number of the oldest contents that may
 * still be seen goes up; every reader has made whole accesses that began after that. An access that began and ended under one such
 * number, and saw contents that were gone, is a failure.
 *
 * What a round costs is not work: each of its three meetings (all looked, all acknowledged, all looked) waits until the host
 * has run every CPU, a time slice each where CPUs outnumber the host's. So with small pages a call edits SPAN of them, all
 * cached by all readers, all looked at afterwards: one shootdown must take away SPAN translations on each CPU, and SPAN rounds
 * meet at once. None hides another, since no second flush comes between the call and the look.
 *
 * Usage: mm_stale [--rounds N] [--kind NAME] [--small | --huge]. Without --rounds each kind runs for about a second, because
 * where CPUs outnumber those of the host a round waits until the host runs the readers. The long form is quickest when the emulator runs all
 * CPUs in one thread: PAUSE in the loops below and in the kernel's hands over to the next CPU (docs/testing.md).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define P 4096ul
#define READERS 3
#define SPAN 32 /* small pages edited by one call: no more than are flushed one by one */
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static _Thread_local sigjmp_buf jump;
static atomic_ulong gone; /* contents below this number may not be seen any more; 0: anything may */
static atomic_bool read_only; /* a write that begins and ends under it must fail */
static atomic_ulong epoch; /* raised whenever read_only changes */
static atomic_int stop, failed, ready;
static volatile uint64_t *target;
static atomic_int span = 1; /* pages from target on, SPAN or 1 */
static int cpus;
/* Accesses each reader has finished, one line each. */
static struct { _Alignas(64) atomic_ulong n, faults; } done[READERS];

static inline void relax(void)
{
	if (cpus == 1)
		sched_yield();
	else
		__builtin_ia32_pause();
}

static void on_fault(int sig)
{
	siglongjmp(jump, 1);
}

static void access_page(int me, volatile uint64_t *target)
{
	unsigned long limit = atomic_load(&gone), v;

	v = *target;
	if (v && v < limit && atomic_load(&gone) == limit) {
		printf("reader %d read %lu after %lu was gone\n", me, v, limit);
		failed = 1;
	}
	if (me)
		return;
	unsigned long e = atomic_load(&epoch);
	bool ro = atomic_load(&read_only);

	target[1] = 1;
	if (ro && atomic_load(&epoch) == e) {
		printf("reader %d wrote to a read-only page\n", me);
		failed = 1;
	}
}

static void *reader(void *arg)
{
	int me = (int)(intptr_t)arg, n = cpus;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n > 1 ? 1 + me % (n - 1) : 0, &set);
	sched_setaffinity(0, sizeof set, &set);
	atomic_fetch_add(&ready, 1);
	volatile int at = 0;
	while (!stop) {
		if (sigsetjmp(jump, 0))
			atomic_fetch_add_explicit(&done[me].faults, 1, memory_order_relaxed);
		while (at < atomic_load(&span))
			access_page(me, target + at++ * (P / sizeof(*target)));
		at = 0;
		atomic_fetch_add(&done[me].n, 1);
		relax();
	}
	return NULL;
}

/* Until every reader has begun and finished a turn, an access to each page, from now on. */
static void all_looked(void)
{
	unsigned long before[READERS];

	for (int i = 0; i < READERS; i++)
		before[i] = atomic_load(&done[i].n);
	for (int i = 0; i < READERS; i++)
		while (atomic_load(&done[i].n) < before[i] + 2)
			relax();
}

static void *must(void *p)
{
	if (p == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
	return p;
}

enum { UNMAP, DONTNEED, REMAP, PROTECT, COW, KINDS };
static const char *const names[] = { "munmap", "madvise", "mremap", "mprotect", "cow" };

#define SMALL (SPAN * P) /* what a call edits */
#define HUGE (2ul << 20)

static void map_target(char *at, size_t len)
{
	must(mmap(at, len, RW, ANON | MAP_FIXED, -1, 0));
	if (len == HUGE)
		madvise(at, len, MADV_HUGEPAGE);
}

/* The number of the contents, into every page. */
static void fill(unsigned long n)
{
	for (int i = 0; i < span; i++)
		target[i * (P / sizeof(*target))] = n;
}

/* Takes the pages away: what is below n may not be seen after it. */
static void edit(int kind, char *at, char *other, size_t len)
{
	if (kind == UNMAP)
		munmap(at, len);
	else if (kind == DONTNEED)
		madvise(at, len, MADV_DONTNEED);
	else
		must(mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, other));
}

static void round_protect(char *at, size_t len)
{
	all_looked();
	mprotect(at, len, PROT_READ);
	atomic_store(&read_only, true);
	atomic_fetch_add(&epoch, 1);
	all_looked();
	atomic_store(&read_only, false);
	atomic_fetch_add(&epoch, 1);
	mprotect(at, len, RW);
}

/*
 * The pages are shared with a child, which holds it while we write: readers must see the new page at once. Every 16th
 * round with a new child; between them the page comes back from the child-less kind of sharing, a private file page.
 */
static void round_cow(char *at, size_t len, unsigned long n)
{
	int fd[2];
	char c;

	if (len == SMALL && n % 16) {
		atomic_store(&gone, 0);
		madvise(at, len, MADV_DONTNEED); /* back to the file's pages, which say 1 */
		all_looked();
		fill(n);
		atomic_store(&gone, n);
		all_looked();
		return;
	}
	if (pipe(fd))
		_exit(1);
	pid_t pid = fork();
	if (!pid) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1) != 0);
	}
	close(fd[0]);
	all_looked();
	fill(n);
	atomic_store(&gone, n);
	all_looked();
	close(fd[1]);
	waitpid(pid, NULL, 0);
}

static void round_of(int kind, char *at, char *other, size_t len, unsigned long n)
{
	if (kind == PROTECT) {
		round_protect(at, len);
		return;
	}
	if (kind == COW) {
		round_cow(at, len, n);
		return;
	}
	if (kind == UNMAP)
		map_target(at, len);
	fill(n);
	all_looked();
	edit(kind, at, other, len);
	atomic_store(&gone, n + 1);
	all_looked();
	if (kind == REMAP)
		map_target(at, len);
}

static void run(int kind, size_t len, unsigned long rounds)
{
	size_t area = len * 4;
	char *base = must(mmap(NULL, area, PROT_NONE, ANON | MAP_NORESERVE, -1, 0)), *at;
	struct timespec from, now;
	unsigned long i = 0, faults = 0, first = gone + 2, each = len == SMALL ? SPAN : 1;

	at = (char *)(((uintptr_t)base + len - 1) & ~(len - 1));
	map_target(at, len);
	if (kind == COW && len == SMALL) {
		atomic_store(&gone, 0); /* the file's page says 1 */
		int fd = memfd_create("cow", 0);
		uint64_t one = 1;

		if (fd < 0 || ftruncate(fd, SMALL))
			_exit(1);
		for (int k = 0; k < SPAN; k++)
			if (pwrite(fd, &one, 8, k * P + P / 2) != 8)
				_exit(1);
		must(mmap(at, SMALL, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
		close(fd);
	}
	target = (volatile uint64_t *)(at + (len == SMALL ? P : len) / 2);
	span = len == SMALL ? SPAN : 1;
	for (int r = 0; r < READERS; r++)
		done[r].faults = 0;
	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		round_of(kind, at, at + len, len, first + i++);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!failed && (rounds ? i * each < rounds : (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < 1000));
	atomic_store(&gone, kind == COW ? 0 : gone);
	span = 1;
	all_looked(); /* nobody is behind the first page */
	munmap(base, area);
	gone = first + i;
	for (int r = 0; r < READERS; r++)
		faults += done[r].faults;
	printf("%s %s of %lu KiB: %lu rounds, %lu at once, %lu faults, %ld s\n", failed ? "FAIL" : "ok", names[kind], len / each >> 10, i * each, each, faults,
	       (long)(now.tv_sec - from.tv_sec));
}

int main(int argc, char **argv)
{
	unsigned long rounds = 0;
	const char *only = NULL;
	bool small = true, huge = true;
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	pthread_t t[READERS];
	static uint64_t idle[2];
	cpu_set_t set;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--kind") && i + 1 < argc)
			only = argv[++i];
		else if (!strcmp(argv[i], "--small"))
			huge = false;
		else if (!strcmp(argv[i], "--huge"))
			small = false;
	}
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	target = idle;
	cpus = (int)sysconf(_SC_NPROCESSORS_ONLN); /* before affinity changes what that says */
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof set, &set);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&t[i], NULL, reader, (void *)(intptr_t)i))
			return 1;
	while (ready < READERS)
		sched_yield();
	for (int kind = 0; kind < KINDS && small; kind++)
		if (!only || !strcmp(only, names[kind]))
			run(kind, SMALL, rounds);
	for (int kind = 0; kind < KINDS && huge; kind++)
		if (!only || !strcmp(only, names[kind]))
			run(kind, HUGE, rounds);
	target = idle;
	stop = 1;
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	printf("%s mm_stale\n", failed ? "FAIL" : "ok");
	return failed;
}
