/*
 * Several CPUs: what it costs to reach the other CPUs that use an address space, and whether work on
 * different things scales.
 *
 * With --shift (under -icount) the CPUs take turns and the clock counts what all of them execute: then
 * a row is the instructions of all CPUs for one operation, on any host.  A turn ends at the next timer
 * interrupt of any CPU, or when the CPU executes PAUSE or HLT.  With --wall the CPUs are threads of the
 * host: where the host has fewer, the times are trends.  The interrupts are counts, and exact.
 *
 * Nobody starts, sleeps, wakes or ends while the clock runs: who waits does so with PAUSE.  What the
 * scheduler would do then depends on the phase of its ticks, and is no part of the operation.
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

/*
 * TLB interrupts taken by all CPUs so far: the line "TLB:" of /proc/interrupts.  Read without stdio, whose
 * buffers come from mmap and go back with munmap: interrupts of their own.
 */
static long tlb_interrupts(void)
{
	static char text[1 << 17];
	int fd = open("/proc/interrupts", O_RDONLY);
	size_t len = 0;
	ssize_t n;
	long sum = 0;
	char *p, *end;

	NEED(fd >= 0);
	while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	p = strstr(text, "TLB:");
	if (!p)
		bench_skip(ENOENT);
	for (p += 4;; p = end) {
		long value = strtol(p, &end, 10);

		if (end == p)
			return sum;
		sum += value;
	}
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

static bool count_ipis;		/* measure interrupts, not time */
static long ipis;

static void part_begin(struct bench *b)
{
	if (count_ipis)
		ipis = tlb_interrupts();
	begin(b);
}

static void part_end(struct bench *b)
{
	if (count_ipis)
		bench_record(b, tlb_interrupts() - ipis);
	else
		end(b, 1);
}

/* One revocation is a batch; what prepares it and checks it is not measured. */
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
	while (bench_more(b))
		revoke[arg >> 16](b);
	stop = 1;
}

enum { ROUNDS = 40 };

#define IPIS(row, fn, value, text) \
	BENCH_ROW_AS(ipis_##row, SMP, fn, value, text, ROUNDS, .unit = "IPIs", .answer = MEAN)
#define SHOOTDOWN(which, number, n) \
	BENCH_ROW_AS(shoot_##which##_##n, SMP, shootdown, REVOKE(number, n, 0), \
		     #which " with " #n " CPUs in the address space", ROUNDS, .answer = MIDDLE); \
	IPIS(which##_##n, shootdown, REVOKE(number, n, 1), "TLB interrupts for it")
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
	usleep(5000);
	count_ipis = true;
	while (bench_more(b))
		revoke_munmap(b);
	for (int i = 1; i < n; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

IPIS(strangers_4, strangers, 4, "TLB interrupts for a munmap while 3 other CPUs run other processes");

/* ---- n CPUs at work on different things ---- */

/*
 * A crew: member 0 is the process that measures, the others are its threads or its children, each on
 * the CPU of its number.  All of them warm up, meet, work, and meet again; the time between the two
 * meetings is measured.
 */
struct job {
	bool (*once)(int member, int k);	/* => was the answer right?  k counts up to times */
	int times;
	bool threads;
};

struct line {		/* nobody waits for a word that others write near */
	volatile int n;
	char pad[60];
};

static struct crew {
	struct line ready, go, done, wrong;
} *crew;

static const struct job *crew_job;
static pid_t crew_tid[64];

static void await(const struct line *line, int n)
{
	while (__atomic_load_n(&line->n, __ATOMIC_ACQUIRE) < n)
		__builtin_ia32_pause();
}

static void arrive(struct line *line)
{
	__atomic_add_fetch(&line->n, 1, __ATOMIC_SEQ_CST);
}

static void work(int i)
{
	const struct job *job = crew_job;
	bool wrong = false;

	for (int k = 0; k < job->times; k++)
		wrong |= !job->once(i, k);
	if (wrong)
		arrive(&crew->wrong);
}

static void warm_up(int i)
{
	pin_to(i);
	if (!crew_job->once(i, crew_job->times))
		arrive(&crew->wrong);
}

static void *take_part(void *arg)
{
	int i = (intptr_t)arg;

	crew_tid[i] = gettid();
	warm_up(i);
	arrive(&crew->ready);
	await(&crew->go, 1);
	work(i);
	arrive(&crew->done);
	await(&crew->go, 2);
	return NULL;
}

union member {
	pthread_t thread;
	pid_t pid;
};

static union member member_start(intptr_t i)
{
	union member m;

	if (crew_job->threads) {
		NEED(!pthread_create(&m.thread, NULL, take_part, (void *)i));
	} else {
		NEED((m.pid = fork()) >= 0);
		if (!m.pid) {
			take_part((void *)i);
			_exit(0);
		}
	}
	return m;
}

/*
 * The member is gone, not only joined: the kernel still has work with a thread that said it ends, and on a CPU where the
 * next crew's member is waiting it does that work while the clock runs.
 */
static bool member_end(union member m, int i)
{
	if (!crew_job->threads)
		return exits_with(m.pid, 0);
	if (pthread_join(m.thread, NULL))
		return false;
	while (!syscall(SYS_tgkill, getpid(), crew_tid[i], 0))
		sched_yield();
	return errno == ESRCH;
}

/* One batch: n members do the job, and the cost of all is divided by what they did. */
static void crew_batch(struct bench *b, int n)
{
	union member m[64];

	memset(crew, 0, sizeof *crew);
	for (int i = 1; i < n; i++)
		m[i] = member_start(i);
	warm_up(0);
	await(&crew->ready, n - 1);
	begin(b);
	crew->go.n = 1;
	work(0);
	await(&crew->done, n - 1);
	end(b, (double)n * crew_job->times);
	crew->go.n = 2;
	for (int i = 1; i < n; i++)
		CHECK(member_end(m[i], i));
	CHECK(!crew->wrong.n);
}

static void crew_make(int n, const struct job *job)
{
	need_cpus(n);
	crew = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(crew != MAP_FAILED);
	crew_job = job;
}

/* ---- faults in one address space: a page each, in regions of their own or in one ---- */

enum { FAULTS = 1023, FAULT_SPAN = (FAULTS + 1) * PAGE };

static char *region[64];

/* Pages that a CPU cleared while it was idle, if the kernel does that: how many depends on how long it was. None is left. */
static void use_up_cleared(void)
{
	char *p = map_small(FAULT_SPAN);

	touch(p, FAULT_SPAN);
	munmap(p, FAULT_SPAN);
}

static bool job_fault(int i, int k)
{
	if (k == FAULTS)
		use_up_cleared();
	region[i][(size_t)k * PAGE] = i + 1;
	return true;
}

static void parallel_faults(struct bench *b, long arg)
{
	static const struct job job = { .once = job_fault, .times = FAULTS, .threads = true };
	int n = arg & 0xff;
	bool own = arg >> 8;

	crew_make(n, &job);
	while (bench_more(b)) {
		char *one = own ? NULL : map_small((size_t)n * FAULT_SPAN);
		int wrong = 0;

		for (int i = 0; i < n; i++) {
			region[i] = own ? map_small(FAULT_SPAN) : one + (size_t)i * FAULT_SPAN;
			if (own)	/* mappings that do not merge */
				mprotect(region[i] + FAULT_SPAN - PAGE, PAGE, PROT_READ | PROT_WRITE |
					 (i & 1 ? PROT_EXEC : 0));
		}
		crew_batch(b, n);
		for (int i = 0; i < n; i++) {
			for (size_t at = 0; at < FAULT_SPAN; at += PAGE)
				wrong += region[i][at] != i + 1;
			munmap(region[i], FAULT_SPAN);
		}
		CHECK(!wrong);
	}
}

#define FAULTS_OF(n) \
	BENCH_MANY(faults_own_##n, SMP, parallel_faults, 1 << 8 | n, \
		   "a fault, " #n " threads in regions of their own", 4, MEAN); \
	BENCH_MANY(faults_one_##n, SMP, parallel_faults, n, \
		   "a fault, " #n " threads in one region", 4, MEAN)
FAULTS_OF(1);
FAULTS_OF(2);
FAULTS_OF(4);
FAULTS_OF(8);

/* ---- processes that do the same, each to things of its own ---- */

static bool job_getppid(int i, int k)
{
	(void)i, (void)k;
	return syscall(SYS_getppid) > 0;
}

/* A child of a member that has its own already makes one more: owner tells. */
static bool job_open(int i, int k)
{
	static char path[256];
	static int owner = -1;
	int fd;

	(void)k;
	if (owner != i) {
		snprintf(path, sizeof path, "%s/b-job%d", bench_dir, i);
		close(open(path, O_RDWR | O_CREAT, 0644));
		owner = i;
	}
	fd = open(path, O_RDONLY);
	return fd >= 0 && !close(fd);
}

static bool job_mmap(int i, int k)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)k;
	if (p == MAP_FAILED)
		return false;
	*p = i;
	return !munmap(p, PAGE);
}

static bool job_pipe(int i, int k)
{
	static int fds[2], owner = -1;
	char c = k;

	if (owner != i && pipe(fds))
		return false;
	owner = i;
	return write(fds[1], &c, 1) == 1 && read(fds[0], &c, 1) == 1 && c == (char)k;
}

static bool job_fork(int i, int k)
{
	pid_t pid = fork();

	(void)k;
	if (!pid)
		_exit(i);
	return exits_with(pid, i);
}

static const struct job jobs[] = {
	{ .once = job_getppid, .times = 5000 },
	{ .once = job_open, .times = 500 },
	{ .once = job_mmap, .times = 250 },
	{ .once = job_pipe, .times = 1000 },
	{ .once = job_fork, .times = 50 },
};

static void side_by_side(struct bench *b, long arg)
{
	crew_make(arg & 0xff, &jobs[arg >> 8]);
	while (bench_more(b))
		crew_batch(b, arg & 0xff);
}

#define SIDE_BY_SIDE(name, which, n) \
	BENCH_MANY(par_##name##_##n, SMP, side_by_side, which << 8 | n, \
		   #name " by " #n " processes at a time, one of them", 4, MEAN)
#define FORK_SIDE_BY_SIDE(n) \
	BENCH_MANY(par_fork_##n, SMP, side_by_side, 4 << 8 | n, \
		   "fork, exit, wait by " #n " processes at a time, one of them", 2, MEAN)
#define SIDE_BY_SIDES(name, which) \
	SIDE_BY_SIDE(name, which, 1); \
	SIDE_BY_SIDE(name, which, 2); \
	SIDE_BY_SIDE(name, which, 4); \
	SIDE_BY_SIDE(name, which, 8)
SIDE_BY_SIDES(getppid, 0);
SIDE_BY_SIDES(open, 1);
SIDE_BY_SIDES(mmap, 2);
SIDE_BY_SIDES(pipe, 3);
FORK_SIDE_BY_SIDE(1);
FORK_SIDE_BY_SIDE(2);
FORK_SIDE_BY_SIDE(4);
FORK_SIDE_BY_SIDE(8);
