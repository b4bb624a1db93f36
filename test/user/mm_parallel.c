// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 60
/*
 * Faults of several threads go past mm->lock: counted in /proc/vmstat (vma_lock_success, vma_lock_abort). Each case checks every
 * byte pattern it wrote, that all but a few faults were of the fast kind, and that the counters of the address space agree.
 *
 *	own	each thread its own mapping
 *	shared	all threads one mapping, page by page in turn
 *	edited	the same while another thread maps, protects and unmaps beside it
 *	moved	a mapping that another thread moves, protects and unmaps under the readers: what is read is old, new or a signal
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define P 4096ul
#define THREADS 4
#define PAGES 2048ul /* of a thread */

static int failures;
static atomic_int stop;
static pthread_barrier_t start;

static void check(int ok, const char *what, long a, long b)
{
	if (ok)
		return;
	printf("FAIL %s: %ld, %ld\n", what, a, b);
	failures++;
}

static long counter(const char *name)
{
	char line[128], key[96];
	long v = -1, n;
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%95s %ld", key, &n) == 2 && !strcmp(key, name))
			v = n;
	if (f)
		fclose(f);
	return v;
}

static long rss_pages(void)
{
	long size = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%ld %ld", &size, &rss) != 2)
		rss = 0;
	if (f)
		fclose(f);
	return rss;
}

static char *map(unsigned long pages)
{
	char *p = mmap(NULL, pages * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(2);
	madvise(p, pages * P, MADV_NOHUGEPAGE);
	return p;
}

struct work { char *base; unsigned long first, step; };

static void *toucher(void *arg)
{
	struct work *w = arg;

	pthread_barrier_wait(&start);
	for (unsigned long i = 0, n = w->first; i < PAGES; i++, n += w->step)
		*(unsigned long *)(w->base + n * P) = n ^ 0x5a5a;
	return NULL;
}

static void *editor(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		char *p = mmap(NULL, 8 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		mprotect(p + P, P, PROT_READ | PROT_WRITE);
		p[P] = 1;
		munmap(p, 8 * P);
	}
	return NULL;
}

/* Runs the threads and checks contents and counters. */
static void run(const char *what, struct work *w, int edited)
{
	long fast = counter("vma_lock_success"), slow = counter("vma_lock_abort"), rss = rss_pages(), all = PAGES * THREADS;
	pthread_t t[THREADS], e;

	atomic_store(&stop, 0);
	if (edited)
		pthread_create(&e, NULL, editor, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, toucher, &w[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	atomic_store(&stop, 1);
	if (edited)
		pthread_join(e, NULL);
	fast = counter("vma_lock_success") - fast;
	slow = counter("vma_lock_abort") - slow;
	rss = rss_pages() - rss;
	for (int i = 0; i < THREADS; i++)
		for (unsigned long k = 0, n = w[i].first; k < PAGES; k++, n += w[i].step)
			if (*(unsigned long *)(w[i].base + n * P) != (n ^ 0x5a5a)) {
				check(0, what, i, (long)n);
				return;
			}
	check(fast >= all * 95 / 100, "fast faults", fast, all);
	if (!edited)
		check(slow <= all / 20, "faults with the lock", slow, all);
	check(rss >= all && rss < all + 200, "resident pages", rss, all);
	printf("%s: %ld fast, %ld with the lock\n", what, fast, slow);
}

static _Thread_local sigjmp_buf jump;
static _Thread_local volatile int expecting;

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	if (!expecting) {
		dprintf(1, "FAIL signal %d code %d at %p\n", sig, si->si_code, si->si_addr);
		_exit(1);
	}
	siglongjmp(jump, sig);
}

static char *window;

static void *reader(void *arg)
{
	volatile unsigned long n = 0, bad = 0; /* kept over siglongjmp */

	(void)arg;
	expecting = 1;
	while (!atomic_load(&stop)) {
		volatile unsigned long *at = (unsigned long *)(window + (n++ * 7 % 64) * P);

		if (!sigsetjmp(jump, 1)) {
			unsigned long v = *at;

			bad += v != 0 && v != 77;
			if (n % 3 == 0)
				*at = 77;
		}
	}
	return (void *)bad;
}

static void moved(void)
{
	pthread_t t[THREADS - 1];
	char *away = map(64);
	time_t until = time(NULL) + 3;
	long sum = 0;

	window = map(64);
	atomic_store(&stop, 0);
	for (int i = 0; i < THREADS - 1; i++)
		pthread_create(&t[i], NULL, reader, NULL);
	for (int round = 0; round < 300 && time(NULL) < until; round++) { /* slow where CPUs outnumber the host's */
		mprotect(window, 32 * P, PROT_READ);
		mprotect(window, 32 * P, PROT_READ | PROT_WRITE);
		if (mremap(window, 64 * P, 64 * P, MREMAP_MAYMOVE | MREMAP_FIXED, away) != away) {
			check(0, "mremap", round, 0);
			break;
		}
		for (int i = 0; i < 64; i++) {
			unsigned long v = *(volatile unsigned long *)(away + i * P);

			check(v == 0 || v == 77, "moved page", round, (long)v);
		}
		munmap(away, 64 * P);
		mmap(window, 64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS - 1; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		sum += (long)bad;
	}
	check(!sum, "values read", sum, 0);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct work w[THREADS];
	char *all = map(PAGES * THREADS);

	setvbuf(stdout, NULL, _IOLBF, 0);
	pthread_barrier_init(&start, NULL, THREADS);
	sigaction(SIGSEGV, &sa, NULL);
	for (int i = 0; i < THREADS; i++)
		w[i] = (struct work){ map(PAGES), 0, 1 };
	run("own", w, 0);
	for (int i = 0; i < THREADS; i++)
		w[i] = (struct work){ all, i, THREADS };
	run("shared", w, 0);
	madvise(all, PAGES * THREADS * P, MADV_DONTNEED);
	run("edited", w, 1);
	moved();
	printf("%s mm_parallel\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
