/*
 * Several CPUs, by the wall clock (multi-threaded emulation or a real machine): what it costs to
 * reach the other CPUs that use an address space, and whether work on different things scales.
 *
 * The emulator's CPUs are threads of the host: where the host has fewer, the times are trends.  The
 * interrupts are counts, and exact.
 *
 * With --shift (under -icount) the CPUs take turns and the clock counts what all of them execute: then
 * a row is the instructions of all CPUs for one operation.  A CPU that waits with PAUSE ends its turn.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "bench.h"

static void need_cpus(int n)
{
	if (cpus_online() < n)
		bench_skip(ENODEV);
}

/* TLB interrupts taken by all CPUs so far: the line "TLB:" of /proc/interrupts */
static long tlb_interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "r");
	static char text[8192];
	long sum = -1;

	NEED(f);
	while (fgets(text, sizeof text, f)) {
		char *p = strstr(text, "TLB:"), *end;

		if (!p)
			continue;
		for (p += 4, sum = 0;; p = end) {
			long n = strtol(p, &end, 10);

			if (end == p)
				break;
			sum += n;
		}
	}
	fclose(f);
	if (sum < 0)
		bench_skip(ENOENT);
	return sum;
}

static volatile int spinning, stop;

static void *spin(void *arg)
{
	pin_to((intptr_t)arg);
	__atomic_add_fetch(&spinning, 1, __ATOMIC_SEQ_CST);
	/* PAUSE also ends the turn of an emulated CPU when they run in turns (-icount) */
	while (!stop)
		__builtin_ia32_pause();
	return NULL;
}

/* CPUs 1 to n - 1 execute this address space until the program ends. */
static void occupy_cpus(int n)
{
	pthread_t thread;

	need_cpus(n);
	pin_to(0);
	for (intptr_t i = 1; i < n; i++)
		NEED(!pthread_create(&thread, NULL, spin, (void *)i));
	while (spinning < n - 1)
		sched_yield();
}

enum { ROUNDS = 50 };

static bool count_ipis;		/* measure interrupts, not time */
static long ipis;

static void part_begin(struct bench *b)
{
	if (count_ipis)
		ipis -= tlb_interrupts();
	piece_begin(b);
}

static void part_end(struct bench *b)
{
	piece_end(b);
	if (count_ipis)
		ipis += tlb_interrupts();
}

/* One revocation each round; the rest of the round is not measured. */
static void revoke_munmap(struct bench *b)
{
	char *p = map_small(HUGE);

	touch(p, PAGE);
	part_begin(b);
	munmap(p, HUGE);
	part_end(b);
}

static char *kept;

static void revoke_mprotect(struct bench *b)
{
	if (!kept)
		kept = map_small(HUGE);
	touch(kept, PAGE);
	part_begin(b);
	CHECK(!mprotect(kept, PAGE, PROT_READ));
	part_end(b);
	CHECK(!mprotect(kept, PAGE, PROT_READ | PROT_WRITE));
}

/* The page is shared with a file's cache privately: the first write replaces it. */
static void revoke_cow(struct bench *b)
{
	static int fd = -1;
	char *p;

	if (fd < 0)
		fd = make_file("cow", PAGE);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED);
	CHECK(*(volatile char *)p == pattern(0));
	part_begin(b);
	*(volatile char *)p = 99;
	part_end(b);
	CHECK(p[0] == 99 && p[1] == pattern(1));
	munmap(p, PAGE);
}

static void (*const revoke[])(struct bench *) = { revoke_munmap, revoke_mprotect, revoke_cow };

/* arg: which, number of CPUs, count interrupts? */
#define REVOKE(which, n, count) ((which) << 16 | (count) << 8 | (n))

static void shootdown(struct bench *b, long arg)
{
	count_ipis = arg >> 8 & 1;
	occupy_cpus(arg & 0xff);
	while (bench_more(b)) {
		ipis = 0;
		for (int i = 0; i < ROUNDS; i++)
			revoke[arg >> 16](b);
		if (count_ipis)
			bench_record(b, (double)ipis / ROUNDS);
		else
			pieces_end(b, ROUNDS);
		b->sum = 0;
	}
	stop = 1;
}

#define SHOOTDOWN(which, number, n) \
	BENCH_ROW(shoot_##which##_##n, SMP, shootdown, REVOKE(number, n, 0), \
		  #which " with " #n " CPUs in the address space", 9); \
	static const struct bench_op bench_op_ipis_##which##_##n BENCH_ENTRY = { \
		.name = "ipis_" #which "_" #n, .set = SMP, .run = shootdown, .unit = "IPIs", \
		.what = "TLB interrupts for it", .arg = REVOKE(number, n, 1), .batches = 5 }
SHOOTDOWN(munmap, 0, 1);
SHOOTDOWN(munmap, 0, 2);
SHOOTDOWN(munmap, 0, 4);
SHOOTDOWN(munmap, 0, 8);
SHOOTDOWN(mprotect, 1, 1);
SHOOTDOWN(mprotect, 1, 2);
SHOOTDOWN(mprotect, 1, 4);
SHOOTDOWN(mprotect, 1, 8);
SHOOTDOWN(cow, 2, 1);
SHOOTDOWN(cow, 2, 2);
SHOOTDOWN(cow, 2, 4);
SHOOTDOWN(cow, 2, 8);

/* Other processes run on all other CPUs: they must not be interrupted. */
static void strangers(struct bench *b, long n)
{
	pid_t pids[64];

	need_cpus(n);
	pin_to(0);
	for (int i = 1; i < n; i++) {
		NEED((pids[i] = fork()) >= 0);
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pin_to(i);
			for (;;)
				__builtin_ia32_pause();
		}
	}
	usleep(100000);
	count_ipis = true;
	while (bench_more(b)) {
		ipis = 0;
		for (int i = 0; i < ROUNDS; i++)
			revoke_munmap(b);
		b->sum = 0;
		bench_record(b, (double)ipis / ROUNDS);
	}
	for (int i = 1; i < n; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

static const struct bench_op bench_op_strangers BENCH_ENTRY = {
	.name = "ipis_strangers_4", .set = SMP, .run = strangers, .arg = 4, .unit = "IPIs",
	.what = "TLB interrupts for a munmap while 3 other CPUs run other processes", .batches = 5 };

/* ---- work on different things, and faults in one address space ---- */

enum { FAULT_SPAN = 2048 * PAGE };

struct team {
	volatile int ready, go, wrong;
};

static struct team *team;

static void work_faults(int i, char *p)
{
	for (size_t at = 0; at < FAULT_SPAN; at += PAGE)
		*(volatile char *)(p + at) = i + 1;
}

struct worker {
	pthread_t thread;
	int cpu;
	char *region;
};

static void *fault_worker(void *arg)
{
	struct worker *w = arg;

	pin_to(w->cpu);
	__atomic_add_fetch(&team->ready, 1, __ATOMIC_SEQ_CST);
	while (!team->go)
		__builtin_ia32_pause();
	work_faults(w->cpu, w->region);
	return NULL;
}

/* Cost of all threads together over the number of faults; in regions of their own, or in one. */
static void parallel_faults(struct bench *b, long arg)
{
	int n = arg & 0xff;
	bool own = arg >> 8;

	need_cpus(n);
	team = (struct team *)map_anon(PAGE, PAGE, PROT_READ | PROT_WRITE);
	while (bench_more(b)) {
		struct worker w[64];
		char *one = own ? NULL : map_small((size_t)n * FAULT_SPAN);
		int wrong = 0;

		team->ready = team->go = 0;
		for (int i = 0; i < n; i++) {
			w[i].cpu = i;
			w[i].region = own ? map_small(FAULT_SPAN) : one + (size_t)i * FAULT_SPAN;
			if (own)	/* mappings that do not merge */
				mprotect(w[i].region + FAULT_SPAN - PAGE, PAGE, PROT_READ | PROT_WRITE |
					 (i & 1 ? PROT_EXEC : 0));
			NEED(!pthread_create(&w[i].thread, NULL, fault_worker, &w[i]));
		}
		while (team->ready < n)
			sched_yield();
		begin(b);
		team->go = 1;
		for (int i = 0; i < n; i++)
			pthread_join(w[i].thread, NULL);
		end(b, n * (double)(FAULT_SPAN / PAGE));
		for (int i = 0; i < n; i++)
			for (size_t at = 0; at < FAULT_SPAN; at += PAGE)
				wrong += w[i].region[at] != i + 1;
		CHECK(!wrong);
		for (int i = 0; i < n; i++)
			munmap(w[i].region, FAULT_SPAN);
	}
}

#define FAULTS_OF(n) \
	BENCH_ROW(faults_own_##n, SMP, parallel_faults, 1 << 8 | n, \
		  "a fault, " #n " threads in regions of their own", 5); \
	BENCH_ROW(faults_one_##n, SMP, parallel_faults, n, "a fault, " #n " threads in one region", 5)
FAULTS_OF(1);
FAULTS_OF(2);
FAULTS_OF(4);
FAULTS_OF(8);

static bool job_getppid(int i)
{
	(void)i;
	return syscall(SYS_getppid) > 0;
}

static bool job_open(int i)
{
	static char path[256];
	int fd;

	if (!path[0]) {
		snprintf(path, sizeof path, "%s/b-job%d", bench_dir, i);
		close(open(path, O_RDWR | O_CREAT, 0644));
	}
	fd = open(path, O_RDONLY);
	return fd >= 0 && !close(fd);
}

static bool job_mmap(int i)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	*p = i;
	return !munmap(p, PAGE);
}

static bool job_pipe(int i)
{
	static int fds[2];
	char c = i;

	if (!fds[1] && pipe(fds))
		return false;
	return write(fds[1], &c, 1) == 1 && read(fds[0], &c, 1) == 1 && c == (char)i;
}

static bool job_fork(int i)
{
	pid_t pid = fork();

	if (!pid)
		_exit(i);
	return exits_with(pid, i);
}

static const struct {
	bool (*run)(int i);
	int times;
} jobs[] = { { job_getppid, 20000 }, { job_open, 2000 }, { job_mmap, 1000 }, { job_pipe, 4000 },
	     { job_fork, 40 } };

/* n processes, each on its CPU, do the same to things of their own; cost of all over the number done. */
static void side_by_side(struct bench *b, long arg)
{
	int n = arg & 0xff, which = arg >> 8;
	int times = jobs[which].times / (bench_shift < 0 ? 1 : 2);

	need_cpus(n);
	team = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(team != MAP_FAILED);
	while (bench_more(b)) {
		pid_t pids[64];

		team->ready = team->go = 0;
		for (int i = 0; i < n; i++) {
			NEED((pids[i] = fork()) >= 0);
			if (pids[i])
				continue;
			pin_to(i);
			team->wrong |= !jobs[which].run(i);
			__atomic_add_fetch(&team->ready, 1, __ATOMIC_SEQ_CST);
			while (!team->go)
				__builtin_ia32_pause();
			for (int k = 0; k < times; k++)
				team->wrong |= !jobs[which].run(i);
			_exit(0);
		}
		while (team->ready < n)
			sched_yield();
		begin(b);
		team->go = 1;
		for (int i = 0; i < n; i++)
			CHECK(exits_with(pids[i], 0));
		end(b, (double)n * times);
		CHECK(!team->wrong);
	}
}

#define SIDE_BY_SIDE(name, which, n) \
	BENCH_ROW(par_##name##_##n, SMP, side_by_side, which << 8 | n, \
		  #name " by " #n " processes at a time, one of them", 5)
#define SIDE_BY_SIDES(name, which) \
	SIDE_BY_SIDE(name, which, 1); \
	SIDE_BY_SIDE(name, which, 2); \
	SIDE_BY_SIDE(name, which, 4); \
	SIDE_BY_SIDE(name, which, 8)
SIDE_BY_SIDES(getppid, 0);
SIDE_BY_SIDES(open, 1);
SIDE_BY_SIDES(mmap, 2);
SIDE_BY_SIDES(pipe, 3);
SIDE_BY_SIDES(fork, 4);
