/*
 * bench.h - the harness of the benchmark program.
 *
 * An operation is a function between BENCH(...) and its body.  It prepares what it needs, then asks
 * for batches until it has enough:
 *
 *	BENCH(null_syscall, CORE, "getppid by number")
 *	{
 *		while (bench_more(b)) {
 *			begin(b);
 *			for (int i = 0; i < 100; i++)
 *				sum += syscall(SYS_getppid);
 *			end(b, 100);
 *			CHECK(sum == 100 * parent);
 *		}
 *	}
 *
 * The first batches warm caches up and are not recorded; the result is the median over batches of
 * the cost of one operation.  Every operation runs in a process of its own, freshly executed, so
 * that the order and the choice of operations change nothing.
 *
 * What must hold is CHECKed after the clock was read: a wrong answer ends the operation with
 * "FAILED", a call that the kernel refuses ends it with "skipped ERRNO" (NEED).
 *
 * The clock is the time-stamp counter.  Under QEMU's -icount shift=N it advances by 1 << N for each
 * guest instruction, so that (tsc >> N) counts instructions; with --wall it is CLOCK_MONOTONIC.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum bench_set {
	CORE,		/* one CPU, counted: the table */
	SCALE,		/* one CPU, counted: curves over a size */
	SMP,		/* several CPUs, counted or by the wall clock */
	SELF,		/* tests of the harness */
};

struct bench {
	const char *name;
	unsigned warm;		/* batches still to be thrown away */
	unsigned left;		/* batches still to be recorded */
	bool recording;		/* the current batch is not for warming up */
	unsigned count;
	uint64_t started;
	uint64_t sum;		/* clock of the pieces of the current batch, see piece() */
	double sample[64];
};

/* What stands for all batches. */
enum bench_answer {
	MEDIAN,
	MEAN,		/* chance is in each batch and belongs to the operation */
	MIDDLE,		/* the mean of the middle half: many short batches, some with a tick in them */
};

struct bench_op {
	const char *name;
	enum bench_set set;
	const char *what;
	const char *unit;	/* NULL: instructions, or nanoseconds by the wall clock */
	void (*run)(struct bench *b, long arg);
	long arg;
	unsigned batches;	/* recorded by default; --quick takes fewer */
	unsigned processes;	/* that run it, one after the other; 0: as its set */
	enum bench_answer answer;
};

#define BENCH_ENTRY __attribute__((used, section("bench_ops"), aligned(8)))

/* An operation with a parameter that its rows differ in; the rest sets fields. */
#define BENCH_ROW_AS(row, kind, fn, value, text, n, ...) \
	static const struct bench_op bench_op_##row BENCH_ENTRY = { \
		.name = #row, .set = kind, .what = text, .run = fn, .arg = value, .batches = n, \
		__VA_ARGS__ }
#define BENCH_ROW(row, kind, fn, value, text, n) BENCH_ROW_AS(row, kind, fn, value, text, n,)
/* One that takes so long that one process must do. */
#define BENCH_LONG(row, kind, fn, value, text, n) \
	BENCH_ROW_AS(row, kind, fn, value, text, n, .processes = 1)
/* One in which the layout of the process has a part: more of them. */
#define BENCH_MANY(row, kind, fn, value, text, n, how) \
	BENCH_ROW_AS(row, kind, fn, value, text, n, .processes = 12, .answer = how)

#define BENCH_FN(row, kind, text, how) \
	static void bench_##row(struct bench *b, long arg); \
	static const struct bench_op bench_op_##row BENCH_ENTRY = { \
		.name = #row, .set = kind, .what = text, .run = bench_##row, .batches = 7, \
		.answer = how }; \
	static void bench_##row(struct bench *b, long arg __attribute__((unused)))
#define BENCH(row, kind, text) BENCH_FN(row, kind, text, MEDIAN)
#define BENCH_MEAN(row, kind, text) BENCH_FN(row, kind, text, MEAN)

extern int bench_shift;		/* of -icount, or -1: by the wall clock */
extern bool bench_quick;
extern bool bench_tune;		/* may raise limits of the system */
extern const char *bench_dir;	/* a directory in tmpfs */

/* => is there another batch to do? */
bool bench_more(struct bench *b);
/* Record a value of a batch that was not found with begin() and end(). */
void bench_record(struct bench *b, double value);
uint64_t bench_wall_ns(void);

__attribute__((noreturn, format(printf, 3, 4)))
void bench_fail(const char *file, int line, const char *text, ...);
__attribute__((noreturn))
void bench_skip(int err);

/* What the kernel answered is wrong. */
#define CHECK(cond) do { \
	if (!(cond)) \
		bench_fail(__FILE__, __LINE__, "%s (errno %d)", #cond, errno); \
} while (0)

/* What the operation needs first: when it is refused, the operation is skipped. */
#define NEED(cond) do { \
	if (!(cond)) \
		bench_skip(errno); \
} while (0)

static inline uint64_t bench_clock(void)
{
	if (bench_shift < 0)
		return bench_wall_ns();
	return __builtin_ia32_rdtsc();
}

static inline double bench_units(uint64_t ticks)
{
	return bench_shift < 0 ? ticks : ticks >> bench_shift;
}

/*
 * Two no-ops that the profiler's plugin knows: count from here, count to here.  (NOP with the
 * displacements 0x51554f31 and 0x51554f32; Intel SDM vol. 2, NOP.)
 */
#define MARK_START() __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00,0x31,0x4f,0x55,0x51" ::: "memory")
#define MARK_STOP()  __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00,0x32,0x4f,0x55,0x51" ::: "memory")

static inline uint64_t mark_clock(const struct bench *b)
{
	uint64_t now = bench_clock();

	if (b->recording)
		MARK_START();
	return now;
}

static inline uint64_t clock_mark(const struct bench *b)
{
	if (b->recording)
		MARK_STOP();
	return bench_clock();
}

/* The timed part of a batch. */
static inline void begin(struct bench *b)
{
	b->started = mark_clock(b);
}

/* => n operations were done since begin() */
static inline void end(struct bench *b, double n)
{
	uint64_t now = clock_mark(b);

	bench_record(b, bench_units(now - b->started) / n);
}

/* For operations between which something must be put back: pieces are summed up. */
static inline void piece_begin(struct bench *b)
{
	b->started = mark_clock(b);
}

static inline void piece_end(struct bench *b)
{
	b->sum += clock_mark(b) - b->started;
}

/* => n operations were done in the pieces since the last call */
static inline void pieces_end(struct bench *b, double n)
{
	bench_record(b, bench_units(b->sum) / n);
	b->sum = 0;
}

/* util.c */
enum { PAGE = 4096, HUGE = 2 << 20 };

/* Anonymous private memory, at an address that is a multiple of align; NEEDed. */
char *map_anon(size_t len, size_t align, int prot);
/* The same in 4 KiB pages only. */
char *map_small(size_t len);
/* Write one byte in each page. */
void touch(char *p, size_t len);
/* A file in bench_dir with len bytes whose byte i is pattern(i); => an open descriptor */
int make_file(const char *name, size_t len);
static inline char pattern(size_t i)
{
	return (char)(i * 31 + (i >> 12) * 7 + 1);
}
/* Path in bench_dir; => one of four static buffers */
char *in_dir(const char *name);
/* Wait for a child; => does it exit with this code? */
bool exits_with(pid_t pid, int code);
/* Bytes that can be had without harm. */
uint64_t memory_available(void);
/* CPUs that can be used. */
int cpus_online(void);
/* Run the calling thread on this CPU only. */
void pin_to(int cpu);
/* Write a number to a file of /proc/sys, with --tune; => did it work? */
bool tune(const char *path, long value);

/* embed.S: tiny.c, a static ELF program that exits with 42 */
extern const char tiny_elf[], tiny_elf_end[];
/* => the path of that program in bench_dir */
const char *tiny_program(void);
enum { TINY_EXIT = 42 };

#endif
