// DEBUG: 6
// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 240
/*
 * Random memory calls by processes of several threads against a model held in each process.
 *
 * A worker process owns a window of address space; each of its threads owns a slice of it, and nothing in the slice changes but by
 * that thread, so its model is exact without locks while the calls of all threads meet in the kernel. A page's content is one
 * number, written at its start and its end. Threads also read each other's pages, without looking at the value.
 * Children are forked now and then; they check their copy against the model at the time of the fork and leave.
 *
 * Meanwhile the parent has the kernel's checkers run every few seconds, and at the end once more; then memory is as free as before.
 *
 * Usage: mm_torture [seconds [processes [threads [seed]]]]; 30 s, 8, 4 and a random one (it is printed) without.
 */
#define _GNU_SOURCE
#include "torture.h"
#include <errno.h>
#include <pthread.h>
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
#define SLICE 2048 /* pages of a thread: 8 MiB, four huge pages */
#define MAX_THREADS 8
#define SHARED_PAGES 1024 /* two runs, under the policy that main sets */

struct page { uint32_t val; bool mapped, read, write, shared; uint16_t index; };
struct slice {
	char *base;
	struct page p[SLICE];
	uint32_t shared[SHARED_PAGES]; /* contents of this thread's shared object */
	int fd;
	uint64_t rng;
	unsigned long ops, reads;
};
static struct slice *slices;
static int nthreads = 4, seconds = 30;
static uint64_t seed;
static _Thread_local sigjmp_buf jump;
static _Thread_local volatile int expecting;
static atomic_int failed, stop;

static uint64_t rnd(struct slice *s)
{
	uint64_t z = (s->rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint32_t below(struct slice *s, uint32_t n) { return rnd(s) % n; }

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	if (!expecting)
		_exit(99);
	siglongjmp(jump, sig);
}

static void fail(struct slice *s, const char *what, unsigned i, unsigned long got, unsigned long want)
{
	struct page *p = &s->p[i];

	printf("FAIL %d: %s: page %u at %p: got %#lx, wanted %#lx (mapped %d r %d w %d shared %d index %u), errno %d, op %lu\n", getpid(),
	       what, i, s->base + i * P, got, want, p->mapped, p->read, p->write, p->shared, p->index, errno, s->ops);
	atomic_store(&failed, 1);
	atomic_store(&stop, 1);
}

static uint32_t *value(struct slice *s, struct page *p) { return p->shared ? &s->shared[p->index] : &p->val; }

static void check_read(struct slice *s, unsigned i)
{
	struct page *p = &s->p[i];
	volatile uint32_t *w = (void *)(s->base + i * P);
	bool ok = p->mapped && (p->read || p->write);

	s->reads++;
	expecting = 1;
	if (sigsetjmp(jump, 0)) {
		expecting = 0;
		if (ok)
			fail(s, "signal on a readable page", i, 1, 0);
		return;
	}
	uint32_t a = w[0], b = w[1023];
	expecting = 0;
	if (!ok)
		fail(s, "no signal", i, a, 0);
	else if (a != *value(s, p) || b != *value(s, p))
		fail(s, "content", i, a != *value(s, p) ? a : b, *value(s, p));
}

static void check_write(struct slice *s, unsigned i)
{
	struct page *p = &s->p[i];
	volatile uint32_t *w = (void *)(s->base + i * P);
	uint32_t v = rnd(s) | 1;

	expecting = 1;
	if (sigsetjmp(jump, 0)) {
		expecting = 0;
		if (p->mapped && p->write)
			fail(s, "signal on a writable page", i, 1, 0);
		return;
	}
	w[0] = v;
	w[1023] = v;
	expecting = 0;
	if (!p->mapped || !p->write)
		fail(s, "no signal for a write", i, v, 0);
	else
		*value(s, p) = v;
}

static void pick(struct slice *s, unsigned *at, unsigned *n)
{
	*at = below(s, SLICE);
	*n = 1 + below(s, below(s, 4) ? 16 : 700);
	if (!below(s, 3)) {
		*at &= ~511u;
		*n = 512 * (1 + below(s, 2));
	}
	if (*at + *n > SLICE)
		*n = SLICE - *at;
}

static int random_prot(struct slice *s)
{
	int r = below(s, 6);

	return r == 0 ? PROT_NONE : r == 1 ? PROT_READ : PROT_READ | PROT_WRITE;
}

static void do_map(struct slice *s)
{
	unsigned at, n, index = 0;
	int prot = random_prot(s), shared = !below(s, 3);
	void *r;

	pick(s, &at, &n);
	if (shared) {
		index = below(s, SHARED_PAGES);
		if (!(at & 511) && below(s, 2)) /* one entry can map a run */
			index &= ~511u;
		if (n > SHARED_PAGES - index)
			n = SHARED_PAGES - index;
		r = mmap(s->base + at * P, n * P, prot, MAP_SHARED | MAP_FIXED, s->fd, index * P);
	} else {
		r = mmap(s->base + at * P, n * P, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	}
	if (r == MAP_FAILED) {
		fail(s, "mmap", at, errno, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		s->p[at + i] = (struct page){ .mapped = true, .read = prot & PROT_READ, .write = prot & PROT_WRITE, .shared = shared,
					      .index = index + i };
}

/* The slice is never left unmapped: another thread's mmap could land there.  PROT_NONE stands for a hole after the munmap. */
static void do_unmap(struct slice *s)
{
	unsigned at, n;

	pick(s, &at, &n);
	if (mmap(s->base + at * P, n * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		fail(s, "unmap", at, errno, 0);
	for (unsigned i = at; i < at + n; i++)
		s->p[i] = (struct page){ .mapped = true };
}

static void do_protect(struct slice *s)
{
	unsigned at, n;
	int prot = random_prot(s);

	pick(s, &at, &n);
	if (mprotect(s->base + at * P, n * P, prot))
		fail(s, "mprotect", at, errno, 0);
	for (unsigned i = at; i < at + n; i++) {
		s->p[i].read = prot & PROT_READ;
		s->p[i].write = prot & PROT_WRITE;
	}
}

static void do_advise(struct slice *s)
{
	static const int advice[] = { MADV_DONTNEED, MADV_DONTNEED, 14 /* HUGEPAGE */, 15 /* NOHUGEPAGE */, MADV_WILLNEED, 25 /* COLLAPSE */,
				      22 /* POPULATE_READ */, 20 /* COLD */ };
	int a = advice[below(s, sizeof advice / sizeof *advice)];
	unsigned at, n;

	pick(s, &at, &n);
	if (madvise(s->base + at * P, n * P, a) && a == MADV_DONTNEED)
		fail(s, "MADV_DONTNEED", at, errno, 0);
	for (unsigned i = at; a == MADV_DONTNEED && i < at + n; i++)
		if (!s->p[i].shared)
			s->p[i].val = 0;
}

/* Moves a stretch of like pages inside the slice; the old place becomes a hole (PROT_NONE). */
static void do_move(struct slice *s)
{
	unsigned at, n, to = below(s, SLICE), k = 1;
	static _Thread_local struct page moved[SLICE];
	void *r;

	pick(s, &at, &n);
	if (!below(s, 2))
		to = (to & ~511u) | (at & 511);
	while (k < n && s->p[at + k].read == s->p[at].read && s->p[at + k].write == s->p[at].write &&
	       s->p[at + k].shared == s->p[at].shared && (!s->p[at].shared || s->p[at + k].index == s->p[at].index + k))
		k++;
	n = k;
	if (to + n > SLICE || (to < at + n && at < to + n))
		return;
	/* a hole of other threads' mmaps must not open: DONTUNMAP for private memory keeps the place */
	if (s->p[at].shared)
		return;
	r = mremap(s->base + at * P, n * P, n * P, MREMAP_MAYMOVE | MREMAP_FIXED | 4, s->base + to * P);
	if (r == MAP_FAILED)
		return; /* several VMAs (EFAULT): fine */
	memcpy(moved, &s->p[at], n * sizeof *moved);
	for (unsigned i = 0; i < n; i++)
		s->p[at + i].val = 0;
	memcpy(&s->p[to], moved, n * sizeof *moved);
}

static void do_fork(struct slice *s)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return;
	if (!pid) {
		/* shared pages go on changing in the parent's other... no: only its own thread changes them, and that waits */
		for (int i = 0; i < 60 && !failed; i++)
			check_read(s, below(s, SLICE));
		for (int i = 0; i < 20 && !failed; i++) {
			unsigned k = below(s, SLICE);

			if (!s->p[k].shared)
				check_write(s, k);
		}
		fflush(stdout);
		_exit(failed ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		fail(s, "child", 0, status, 0);
}

/* Another thread's page: whatever happens there, the read gives a value or a signal. */
static void peek(struct slice *s)
{
	struct slice *o = &slices[below(s, nthreads)];

	expecting = 1;
	if (!sigsetjmp(jump, 0))
		(void)*(volatile uint32_t *)(o->base + below(s, SLICE) * P);
	expecting = 0;
}

static void *thread(void *arg)
{
	struct slice *s = arg;

	while (!stop) {
		s->ops++;
		switch (below(s, 24)) {
		case 0 ... 2: do_map(s); break;
		case 3: do_unmap(s); break;
		case 4 ... 6: do_protect(s); break;
		case 7 ... 8: do_advise(s); break;
		case 9 ... 10: do_move(s); break;
		case 11: if (!below(s, 12)) do_fork(s); break;
		case 12: peek(s); break;
		default:
			for (int i = 0; i < 10; i++)
				below(s, 2) ? check_read(s, below(s, SLICE)) : check_write(s, below(s, SLICE));
		}
	}
	return NULL;
}

static int worker(int number)
{
	pthread_t t[MAX_THREADS];
	unsigned long ops = 0, reads = 0;
	char *window;

	slices = calloc(nthreads, sizeof *slices);
	window = mmap(NULL, nthreads * SLICE * P + (2 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (window == MAP_FAILED)
		return 1;
	window = (char *)(((uintptr_t)window + (2 << 20) - 1) & ~((2ul << 20) - 1));
	for (int i = 0; i < nthreads; i++) {
		struct slice *s = &slices[i];
		char name[] = "/tmp/torture_XXXXXX";

		s->base = window + i * SLICE * P;
		s->rng = seed + ((uint64_t)number << 32 | i);
		s->fd = mkstemp(name);
		unlink(name);
		if (s->fd < 0 || ftruncate(s->fd, SHARED_PAGES * P))
			return 1;
		for (int k = 0; k < SLICE; k++)
			s->p[k].mapped = true; /* PROT_NONE */
	}
	for (int i = 0; i < nthreads; i++)
		if (pthread_create(&t[i], NULL, thread, &slices[i]))
			return 1;
	for (time_t end = time(NULL) + seconds; time(NULL) < end && !stop;)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	stop = 1;
	for (int i = 0; i < nthreads; i++) {
		pthread_join(t[i], NULL);
		ops += slices[i].ops;
		reads += slices[i].reads;
	}
	printf("process %d: %lu operations, %lu checked reads\n", number, ops, reads);
	fflush(stdout);
	return failed;
}

/* Descriptors of memory that was never used are made when it is first needed: 64 bytes a page, for good. */
static long not_described(void)
{
	char line[128];
	long pages, sum = 0;
	FILE *f = fopen("/proc/zoneinfo", "r");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, " deferred: %ld", &pages) == 1)
			sum += pages;
	if (f)
		fclose(f);
	return sum / 16;
}

/* In KiB: what is free or cached by the kernel for itself. */
static long memory_left(void)
{
	static const char *const fields[] = { "MemFree:", "Slab:", "KernelStack:", "PageTables:" };
	char line[128];
	long kib, sum = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof line, f))
		for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++)
			if (!strncmp(line, fields[i], strlen(fields[i])) && sscanf(line + strlen(fields[i]), "%ld", &kib) == 1)
				sum += kib;
	if (f)
		fclose(f);
	return sum - not_described();
}

/* Shared memory in huge pages, wherever they can be had. Not on Linux, and not if it cannot be set. */
static void shared_policy(const char *word)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "w");

	if (f) {
		fputs(word, f);
		fclose(f);
	}
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l }, NULL);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	int processes = 8, left, bad = 0, status;
	long before, after = 0;

	if (argc > 1)
		seconds = atoi(argv[1]);
	if (argc > 2)
		processes = atoi(argv[2]);
	if (argc > 3)
		nthreads = atoi(argv[3]);
	getentropy(&seed, sizeof seed);
	if (argc > 4)
		seed = strtoull(argv[4], NULL, 0);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %#lx\n", (unsigned long)seed);
	bad |= kernel_check() != 0;
	shared_policy("force");
	before = memory_left();
	for (int i = 0; i < processes; i++)
		if (!fork())
			_exit(worker(i));
	left = processes;
	for (int ms = 0; left; ms += 100) {
		pid_t p;

		while (left && (p = waitpid(-1, &status, WNOHANG)) != 0) {
			if (p < 0 || status) {
				printf("a process ended with status %#x\n", status);
				bad = 1;
			}
			left--;
		}
		pause_ms(100);
		if (ms % 5000 == 4000)
			bad |= kernel_check() != 0;
	}
	bad |= kernel_check() != 0;
	shared_policy("never");
	for (int i = 0; i < 30; i++) { /* what RCU and idle CPUs hold comes back soon */
		after = memory_left();
		if (after > before - 4096)
			break;
		pause_ms(100);
	}
	printf("%ld KiB were left before, %ld KiB after\n", before, after);
	if (after < before - 4096)
		bad = 1;
	printf("%s mm_torture\n", bad ? "FAIL" : "ok");
	return bad;
}
