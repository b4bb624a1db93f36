/*
 * The vDSO: code of the kernel's that runs in user mode, a shared object mapped into every process (vdso(7)). Compiled
 * for user space, by itself, without libc or kernel headers; position-independent and without relocations.
 *
 * A reading is: sequence, time-stamp counter, scale, sequence again. LFENCE keeps the counter from being read early
 * (Intel SDM 2B, RDTSC): two readings in program order never run backwards, also across CPUs.
 */
#include "../../../include/proc/vvar.h"

typedef uint64_t u64;
typedef int64_t s64;
typedef uint32_t u32;
struct timespec { s64 sec, nsec; };
struct timeval { s64 sec, usec; };
struct timezone { int minuteswest, dsttime; };

#define EXPORT __attribute__((visibility("default")))
#define NSEC_PER_SEC 1000000000ull
#define NR_gettimeofday 96
#define NR_time 201
#define NR_clock_gettime 228
#define NR_clock_getres 229
#define NR_getcpu 309

/* Not const: others write the page, and what is read of it must not be taken for constant. */
extern char __ehdr_start[] __attribute__((visibility("hidden")));
#define VVAR ((struct vvar *)(__ehdr_start - 4096))
#define LOOK(field) (*(const volatile u32 *)&VVAR->field)

static inline long syscall3(long nr, long a, long b, long c)
{
	long r;
	asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static inline u64 read_tsc(void)
{
	u64 lo, hi; /* RDTSC clears the upper halves */
	asm volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return hi << 32 | lo;
}

/* a * *b >> 32, of which 64 bits are wanted; signed: another CPU's counter may be a little behind a new base */
static inline __attribute__((always_inline)) u64 mul_shift_32(u64 a, const u64 *b)
{
	asm("imulq %1\n\tshrdq $32, %%rdx, %0" : "+a"(a) : "m"(*b) : "rdx", "cc");
	return a;
}

/*
 * ns of clock @which (VVAR_MONO, VVAR_REAL). False: ask the kernel, which leaves the sequence odd while it has no usable clock.
 * An odd sequence is not looked for beforehand: it differs from itself without the lowest bit.
 */
static inline __attribute__((always_inline)) int now(unsigned which, u64 *out)
{
	int same;

	for (;;) {
		u32 seq = LOOK(seq) & ~1u;
		u64 tsc = read_tsc(); /* orders the loads: after the first look at seq */
		u64 ns = mul_shift_32(tsc - VVAR->base_tsc, &VVAR->mult[which]) + VVAR->base_ns[which];

		/* and before the second; in RAX, where the division wants it */
		asm volatile("cmp %3, %2" : "=@cce"(same), "+a"(ns) : "m"(VVAR->seq), "r"(seq) : "memory");
		*out = ns;
		if (__builtin_expect(same, 1))
			return 1;
		if (!LOOK(mode) && LOOK(seq) & 1)
			return 0;
		asm volatile("pause");
	}
}

/* Bits of the clocks we answer: REALTIME 0, MONOTONIC 1, RAW 4, both COARSE 5 6, BOOTTIME 7, TAI 11; and for each which it is. */
#define CLOCKS (1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 11)
#define WHICH(id) ((u32)(0x300011020010ull >> 4 * (id)) & 3)

static inline __attribute__((always_inline)) int answer(unsigned which, struct timespec *ts)
{
	u64 ns;

	if (!now(which, &ns))
		return 0;
	u64 sec = ns / NSEC_PER_SEC;
	ts->sec = sec;
	ts->nsec = ns - sec * NSEC_PER_SEC;
	return 1;
}

/* Clocks that are another one's reading, and all the kernel must answer. */
static __attribute__((noinline)) int other_clock(int id, struct timespec *ts)
{
	if ((u32)id < 12 && CLOCKS >> id & 1 && answer(WHICH(id), ts))
		return 0;
	return (int)syscall3(NR_clock_gettime, id, (long)ts, 0);
}

/* The two clocks everybody asks for: code of their own, whose data are at known places. */
EXPORT int __vdso_clock_gettime(int id, struct timespec *ts)
{
	if (__builtin_expect(id == 1, 1)) {
		if (__builtin_expect(answer(VVAR_MONO, ts), 1))
			return 0;
	} else if (id == 0 && answer(VVAR_REAL, ts)) {
		return 0;
	}
	return other_clock(id, ts);
}

EXPORT int __vdso_gettimeofday(struct timeval *tv, struct timezone *tz)
{
	u64 ns;

	if (tz || !tv || !now(VVAR_REAL, &ns))
		return (int)syscall3(NR_gettimeofday, (long)tv, (long)tz, 0);
	u64 sec = ns / NSEC_PER_SEC;
	tv->sec = sec;
	tv->usec = (ns - sec * NSEC_PER_SEC) / 1000;
	return 0;
}

EXPORT s64 __vdso_time(s64 *t)
{
	u64 ns;
	s64 sec;

	if (!now(VVAR_REAL, &ns))
		return syscall3(NR_time, (long)t, 0, 0);
	sec = ns / NSEC_PER_SEC;
	if (t)
		*t = sec;
	return sec;
}

EXPORT int __vdso_clock_getres(int id, struct timespec *ts)
{
	/* the coarse clocks have another one: the kernel knows it */
	if ((u32)id > 11 || !(CLOCKS >> id & 1) || id == 5 || id == 6)
		return (int)syscall3(NR_clock_getres, id, (long)ts, 0);
	if (ts) {
		ts->sec = 0;
		ts->nsec = 1;
	}
	return 0;
}

EXPORT long __vdso_getcpu(u32 *cpu, u32 *node, void *unused)
{
	u32 lo, hi, aux;

	(void)unused;
	if (!VVAR->cpu_mode)
		return syscall3(NR_getcpu, (long)cpu, (long)node, 0);
	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
	if (cpu)
		*cpu = aux & 0xfff;
	if (node)
		*node = aux >> 12;
	return 0;
}

#define WEAK(name) __attribute__((weak, visibility("default"), alias("__vdso_" #name)))
int clock_gettime(int id, struct timespec *ts) WEAK(clock_gettime);
int gettimeofday(struct timeval *tv, struct timezone *tz) WEAK(gettimeofday);
s64 time(s64 *t) WEAK(time);
int clock_getres(int id, struct timespec *ts) WEAK(clock_getres);
long getcpu(u32 *cpu, u32 *node, void *unused) WEAK(getcpu);
