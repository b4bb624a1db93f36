/*
 * sysfuzz_args.h - an argument of each kind of sysfuzz_calls.h, at random: mostly good ones, some at the edge, some absurd.
 * Everything is decided by rng, of which each thread has its own.
 */
#ifndef SYSFUZZ_ARGS_H
#define SYSFUZZ_ARGS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long ulong_t;
#define LEN(a) (sizeof(a) / sizeof *(a))
/* Pages of all kinds, with holes (sysfuzz.c maps them). */
#define ARENA 0x20000000ul
#define ARENA_PAGES 4096ul
#define FIRST_UID 61000

static __thread uint64_t rng;
static __thread uint64_t scratch[1024], aux[256];

static uint64_t next(void)
{
	uint64_t z = (rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
static uint64_t below(uint64_t n) { return next() % n; }
static bool one_in(unsigned n) { return below(n) == 0; }
#define ONE_OF(table) table[below(LEN(table))]

static ulong_t absurd(void)
{
	static const ulong_t words[] = { 0, 1, 2, 7, 8, 4095, 4096, 4097, 65536, 0x1fffff, 0x200000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7fffffffefff, 0x7ffffffff000, 0x800000000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffff800000000000, 0xffff888000000000,
		0xffffffff80000000, 0xffffffffff600000, -4096ul, -4095ul, -2ul, -1ul };

	return one_in(3) ? next() >> below(64) : ONE_OF(words);
}

static ulong_t arena(void)
{
	return ARENA + below(ARENA_PAGES) * 4096;
}

static ulong_t pointer(void)
{
	switch (below(12)) {
	case 0: return absurd();
	case 1: return arena() - 1 - below(64); /* over the edge of a page */
	case 2: return arena() + below(4096);
	case 3: case 4: return arena();
	case 5: return 0;
	}
	for (unsigned i = 0; i < 16; i++)
		scratch[i] = one_in(2) ? below(64) : one_in(2) ? arena() : one_in(3) ? (ulong_t)aux : absurd();
	return (ulong_t)scratch;
}

static int descriptor(void)
{
	return one_in(30) ? (int)absurd() : (int)(3 + below(50));
}

static int dir(void)
{
	return one_in(2) ? -100 /* AT_FDCWD */ : descriptor();
}

static ulong_t path(void)
{
	static const char *const names[] = { "f0", "f0", "f1", "f2", "d0", "d0/f1", "d0/d1", "d1", "l0", "l1", "p0", "s0", ".", "..", "", "/", "f0/x", "d0/../f0",
		"/proc/self/maps", "/proc/self/status", "/proc/self/fd", "/proc/self/fd/7", "/proc/self/mem", "/proc/self/exe", "/proc/self/stat",
		"/proc/self/smaps", "/proc/self/task", "/proc/self/environ", "/proc/self/cwd/f0", "/proc/1/stat", "/proc/meminfo", "/proc/slabinfo", "/proc/mounts",
		"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/sys/devices/system/node", "/proc/interrupts", "/bin/true", "/proc/self/clear_refs",
		"/proc/self/oom_score_adj", "/proc/self/comm", "/proc/self/pagemap", "/proc/thread-self/fdinfo/9", "/dev/shm/x", "/proc/self/coredump_filter" };

	return one_in(12) ? pointer() : (ulong_t)ONE_OF(names);
}

static ulong_t length(void)
{
	return one_in(8) ? absurd() : one_in(4) ? below(70000) : below(300);
}

static ulong_t span(void)
{
	return one_in(20) ? absurd() : one_in(6) ? 512 * 4096 * (1 + below(3)) : (one_in(4) ? below(600) : below(16)) * 4096;
}

/* A time that passes while one waits for it. */
static ulong_t moment(void)
{
	static __thread struct timespec ts[2];

	if (one_in(8))
		return pointer();
	if (one_in(10)) {
		ts[0] = (struct timespec){ (long)absurd(), (long)absurd() };
	} else {
		ts[0] = ts[1] = (struct timespec){ 0, (long)below(3000) };
	}
	return (ulong_t)ts;
}

static ulong_t vectors(void)
{
	static __thread struct iovec v[8];

	if (one_in(12))
		return pointer();
	for (unsigned i = 0; i < LEN(v); i++)
		v[i] = (struct iovec){ (void *)(one_in(4) ? pointer() : arena()), one_in(20) ? absurd() : below(9000) };
	return (ulong_t)v;
}

static ulong_t message(void)
{
	static __thread struct msghdr h[4];
	static __thread union { struct cmsghdr c; char room[64]; } control;
	static __thread struct sockaddr_un name;

	if (one_in(12))
		return pointer();
	control.c = (struct cmsghdr){ .cmsg_len = one_in(8) ? absurd() : CMSG_LEN(4 * (1 + below(3))), .cmsg_level = SOL_SOCKET,
				      .cmsg_type = 1 + (int)below(2) };
	for (int i = 0; i < 3; i++)
		((int *)CMSG_DATA(&control.c))[i] = descriptor();
	name = (struct sockaddr_un){ AF_UNIX, "s0" };
	for (unsigned i = 0; i < LEN(h); i++)
		h[i] = (struct msghdr){ .msg_name = one_in(3) ? &name : NULL, .msg_namelen = (socklen_t)(one_in(9) ? absurd() : sizeof name),
					.msg_iov = (void *)vectors(), .msg_iovlen = (int)below(9), .msg_control = one_in(2) ? &control : NULL,
					.msg_controllen = one_in(2) ? CMSG_LEN(4) : sizeof control, .msg_flags = (int)below(4) };
	return (ulong_t)h;
}

static ulong_t flag_bits(void)
{
	ulong_t v = 0;

	if (one_in(3))
		return 0;
	for (int i = (int)below(4); i >= 0; i--)
		v |= 1ul << (one_in(30) ? below(64) : one_in(3) ? below(32) : below(14));
	return v;
}

static int process(void)
{
	switch (below(8)) {
	case 0: return (int)absurd();
	case 1: return -getpid();
	case 2: return getppid();
	case 3: return getpid() + (int)below(12);
	case 4: return (int)syscall(SYS_gettid);
	case 5: return 0;
	default: return getpid();
	}
}

static ulong_t fcntl_command(void)
{
	static const int commands[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 36, 37, 38, 1024, 1025, 1026, 1030, 1031, 1032, 1033, 1034,
					1035, 1036, 1037, 1038 };

	return one_in(12) ? absurd() : (ulong_t)ONE_OF(commands);
}

static ulong_t request(void)
{
	static const unsigned requests[] = {
		0x5401, 0x5402, 0x5403, 0x5404, 0x5405, 0x5406, 0x5409, 0x540a, 0x540b, 0x540c, 0x540d, 0x540e, 0x540f, 0x5410, 0x5411, 0x5412, 0x5413,
		0x5414, 0x541b, 0x5420, 0x5421, 0x5422, 0x5423, 0x5424, 0x5428, 0x5429, 0x5450, 0x5451, 0x5452, 0x5456, 0x5457, 0x5460, 0x80045430,
		0x40045431, 0x5441, 0x80045438, 0x802c542a, 0x402c542b, 0xc018aa3f, 0xc020aa00, 0x8010aa01, 0x8010aa02, 0xc028aa03, 0xc020aa04, 0xc018aa06,
		0xc020aa07, 0x80086601, 0x40086602, 0xc020660b, 0x40049409, 0x1, 0x2, 0x4004743c, 0xb701, 0xb703, 0xc0502100, 0xc0182101, 0x40082102,
		0x40047602, 0x80047601, 0x5300, 0x1260, 0x80081272 };

	return one_in(20) ? absurd() : ONE_OF(requests);
}

static ulong_t clone_flags(void)
{
	static const ulong_t some[] = { 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x40000, 0x80000, 0x100000, 0x200000,
					0x400000, 0x1000000, 0x10000000, 0x2000000, 0x20000000 };
	ulong_t v = one_in(2) ? SIGCHLD : one_in(2) ? 0 : below(70);

	if (one_in(4))
		return 0x50f00 | v; /* a thread */
	for (int i = (int)below(5); i > 0; i--)
		v |= ONE_OF(some);
	return v;
}

static ulong_t argument(char kind)
{
	static const char *const names[] = { "/q0", "/q1", "user.a", "trusted.b", "m0", "tmpfs", "proc", "security.x", "" };
	static const int options[] = { 35, 36, 37, 38, 39, 40, 41, 42, 43, 45, 46, 47, 50, 51, 52, 53, 59, 65, 0x53564d41, 0x59616d61 };
	static const ulong_t traces[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 24, 31, 0x4200, 0x4201, 0x4202, 0x4203, 0x4204, 0x4205,
					  0x4206, 0x4207, 0x4208, 0x4209, 0x420a, 0x420b, 0x420c, 0x420d, 0x420e, 0x420f };
	static const int clocks[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, -2, -3, -6, -10 };

	switch (kind) {
	case 'f': return (ulong_t)(long)descriptor();
	case 'd': return (ulong_t)(long)dir();
	case 'p': return pointer();
	case 'P': return one_in(2) ? 0 : pointer();
	case 's': return path();
	case 'l': return length();
	case 'n': return one_in(20) ? absurd() : below(20);
	case 'b': return flag_bits();
	case 'x': return absurd();
	case 'i': return (ulong_t)(long)process();
	case 'g': return one_in(20) ? absurd() : below(65);
	case 't': return moment();
	case 'v': return vectors();
	case 'c': return one_in(12) ? absurd() : below(9);
	case 'a': return one_in(12) ? absurd() : one_in(10) ? 0 : arena() + (one_in(20) ? below(4096) : 0);
	case 'L': return span();
	case 'o': return one_in(6) ? absurd() : below(200000) & (one_in(2) ? ~0xffful : ~0ul);
	case 'k': return (ulong_t)(long)(one_in(12) ? (int)absurd() : ONE_OF(clocks));
	case 'm': return one_in(4) ? next() : 0700 | below(0100) | (ulong_t)(one_in(3) ? below(16) << 12 : 0);
	case 'u': return one_in(3) ? absurd() : FIRST_UID + below(4);
	case 'A': return one_in(20) ? absurd() : one_in(12) ? 100 + below(3) : below(26);
	case 'D': return one_in(2) ? below(8) : (one_in(3) ? 1 : 2) | (one_in(2) ? 0x20 : 0) | (one_in(2) ? 0x10 : 0) | (one_in(4) ? 0x8000 : 0) | (one_in(4) ? flag_bits() : 0);
	case 'R': return one_in(12) ? absurd() : one_in(3) ? below(16) : 3;
	case 'q': return fcntl_command();
	case 'I': return request();
	case 'F': return one_in(20) ? absurd() : below(14) | (one_in(2) ? 128 : 0) | (one_in(4) ? 256 : 0);
	case 'C': return one_in(12) ? absurd() : one_in(3) ? below(40) : (ulong_t)ONE_OF(options);
	case 'O': return one_in(3) ? flag_bits() : below(4) | (one_in(2) ? 0100 : 0) | (one_in(2) ? 04000 : 0) | (one_in(6) ? 010000000 : 0);
	case 'Q': return clone_flags();
	case 'K': return one_in(6) ? absurd() : one_in(3) ? 0x5157 + below(4) : below(24);
	case 'T': return ONE_OF(traces);
	case 'S': return one_in(6) ? below(50) : 1;
	case 'y': return (1 + below(one_in(5) ? 12 : 5)) | (one_in(2) ? 04000 : 0);
	case 'r': return one_in(12) ? absurd() : below(16);
	case 'z': aux[0] = one_in(3) ? absurd() : 1 + below(15); return (ulong_t)aux;
	case 'E': return one_in(20) ? absurd() : 1 + below(3);
	case 'M': return message();
	case 'N': return one_in(8) ? pointer() : (ulong_t)ONE_OF(names);
	}
	return 0;
}

#endif
