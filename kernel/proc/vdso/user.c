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

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
#define VVAR ((const volatile struct vvar *)(__ehdr_start - 4096))

static inline long syscall3(long nr, long a, long b, long c)
{
	long r;
	asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static inline u64 read_tsc(void)
{
	u32 lo, hi;
	asm volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

/* ns of the monotonic or real-time clock; 0: ask the kernel. */
static inline u64 now(int real)
{
	const volatile struct vvar *v = VVAR;
	u64 ns;
	u32 seq;

	do {
		while ((seq = v->seq) & 1)
			asm volatile("pause");
		asm volatile("" ::: "memory");
		if (__builtin_expect(!v->mode, 0))
			return 0;
		ns = real ? v->real_ns : v->mono_ns;
		ns += (u64)(((unsigned __int128)(read_tsc() - v->base_tsc) * v->mult) >> (v->shift & 63));
		asm volatile("" ::: "memory");
	} while (__builtin_expect(v->seq != seq, 0));
	return ns;
}

/* Bits of the clocks we answer: REALTIME 0, MONOTONIC 1, RAW 4, both COARSE 5 6, BOOTTIME 7, TAI 11. */
#define CLOCKS_REAL (1u << 0 | 1u << 5 | 1u << 11)
#define CLOCKS_MONO (1u << 1 | 1u << 4 | 1u << 6 | 1u << 7)

EXPORT int __vdso_clock_gettime(int id, struct timespec *ts)
{
	u32 bit = (u32)id < 32 ? 1u << id : 0;
	u64 ns;

	if (__builtin_expect(bit & (CLOCKS_REAL | CLOCKS_MONO), 1)) {
		ns = now(!!(bit & CLOCKS_REAL));
		if (__builtin_expect(!!ns, 1)) {
			u64 sec = ns / NSEC_PER_SEC;
			ts->sec = sec;
			ts->nsec = ns - sec * NSEC_PER_SEC;
			return 0;
		}
	}
	return (int)syscall3(NR_clock_gettime, id, (long)ts, 0);
}

EXPORT int __vdso_gettimeofday(struct timeval *tv, struct timezone *tz)
{
	u64 ns = tz ? 0 : now(1);

	if (!ns || !tv)
		return (int)syscall3(NR_gettimeofday, (long)tv, (long)tz, 0);
	u64 sec = ns / NSEC_PER_SEC;
	tv->sec = sec;
	tv->usec = (ns - sec * NSEC_PER_SEC) / 1000;
	return 0;
}

EXPORT s64 __vdso_time(s64 *t)
{
	u64 ns = now(1);
	s64 sec;

	if (!ns)
		return syscall3(NR_time, (long)t, 0, 0);
	sec = ns / NSEC_PER_SEC;
	if (t)
		*t = sec;
	return sec;
}

EXPORT int __vdso_clock_getres(int id, struct timespec *ts)
{
	/* the coarse clocks have another one: the kernel knows it */
	if ((u32)id > 11 || !((CLOCKS_REAL | CLOCKS_MONO) >> id & 1) || id == 5 || id == 6)
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
