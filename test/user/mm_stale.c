// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 240
/*
 * Staleness: after munmap, mprotect, MADV_DONTNEED or mremap returned, no CPU sees the old page.
 *
 * One thread edits, the others read (and write) the page in a loop on other CPUs, each access guarded by SIGSEGV. The editor raises a
 * round number after each call; an access that began after that and still saw what the call took away is a failure.
 *
 * Usage: mm_stale [rounds]. Without, each kind does 20,000 rounds or as many as fit in five seconds: where CPUs outnumber those of
 * the host, a round waits until the host runs the reader.
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
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define P 4096ul
#define READERS 3

static _Thread_local sigjmp_buf jump;
static atomic_ulong gone; /* contents below this number may not be seen any more */
static atomic_bool read_only; /* a write that begins and ends under it must fail */
static atomic_ulong epoch; /* raised whenever read_only changes */
static atomic_int stop, failed, ready;
static volatile uint64_t *target;
static atomic_ulong seen, faults;

static void on_fault(int sig)
{
	siglongjmp(jump, 1);
}

static void *reader(void *arg)
{
	int cpu = (int)(intptr_t)arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	atomic_fetch_add(&ready, 1);
	while (!stop) {
		unsigned long limit = atomic_load(&gone), v;

		if (sigsetjmp(jump, 0)) {
			atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
			continue;
		}
		v = *target;
		atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed);
		if (v && v < limit) {
			printf("cpu %d read %lu after %lu was gone\n", cpu, v, limit);
			failed = 1;
		}
		if (cpu == 1) {
			unsigned long e = atomic_load(&epoch);
			bool ro = atomic_load(&read_only);

			target[1] = 1;
			if (ro && atomic_load(&epoch) == e) {
				printf("cpu %d wrote to a read-only page\n", cpu);
				failed = 1;
			}
		}
	}
	return NULL;
}

static void *must(void *p)
{
	if (p == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
	return p;
}

/* Until readers on other CPUs have used the page. */
static void let_them_in(void)
{
	unsigned long before = atomic_load(&seen);

	for (int i = 0; i < 200000 && atomic_load(&seen) < before + READERS; i++)
		;
}

enum { UNMAP, DONTNEED, REMAP, PROTECT, KINDS };
static const char *const names[] = { "munmap", "madvise", "mremap", "mprotect" };

static void round_of(int kind, char *at, char *other, size_t len, unsigned long n)
{
	switch (kind) {
	case UNMAP:
		must(mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		*target = n;
		let_them_in();
		munmap(at, len);
		break;
	case DONTNEED:
		*target = n;
		let_them_in();
		madvise(at, len, MADV_DONTNEED);
		break;
	case REMAP:
		*target = n;
		let_them_in();
		must(mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, other));
		/* the moved page gets the next number through its new address; the old address may not show it */
		break;
	case PROTECT:
		let_them_in();
		mprotect(at, len, PROT_READ);
		atomic_store(&read_only, true);
		atomic_fetch_add(&epoch, 1);
		for (int i = 0; i < 20; i++)
			(void)*target;
		atomic_store(&read_only, false);
		atomic_fetch_add(&epoch, 1);
		mprotect(at, len, PROT_READ | PROT_WRITE);
		break;
	}
	atomic_store(&gone, n + 1);
	if (kind == REMAP)
		must(mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

static void run(int kind, size_t len, unsigned long rounds)
{
	size_t area = len * 4;
	char *base = must(mmap(NULL, area, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)), *at, *other;

	at = (char *)(((uintptr_t)base + len - 1) & ~(len - 1));
	other = at + len;
	must(mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	target = (volatile uint64_t *)(at + len / 2);
	seen = faults = 0;
	time_t end = rounds ? 0 : time(NULL) + 5;
	unsigned long most = rounds ? rounds : len > P ? 200 : 20000;

	rounds = 0;
	for (; rounds < most && !failed && (!end || time(NULL) < end); rounds++)
		round_of(kind, at, other, len, atomic_load(&gone) + 1);
	munmap(base, area);
	printf("%s %s of %zu KiB: %lu rounds, %lu reads, %lu faults\n", failed ? "FAIL" : "ok", names[kind], len >> 10, rounds, seen, faults);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int n = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t t[READERS];
	static uint64_t idle[2];
	cpu_set_t set;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	target = idle;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof set, &set);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&t[i], NULL, reader, (void *)(intptr_t)(n > 1 ? 1 + i % (n - 1) : 0)))
			return 1;
	while (ready < READERS)
		sched_yield();
	for (int kind = 0; kind < KINDS; kind++)
		run(kind, P, rounds);
	for (int kind = 0; kind < KINDS; kind++)
		run(kind, 2 << 20, rounds ? rounds / 100 + 1 : 0);
	target = idle;
	stop = 1;
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	printf("%s mm_stale\n", failed ? "FAIL" : "ok");
	return failed;
}
