/*
 * Page faults, mappings and protections.
 *
 * Faults are counted over 512 pages that share one page table, so a 512th of making that table is in
 * each of them.  Mappings of one page stand alone between holes: nothing is split or merged.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/wait.h>
#include "bench.h"

enum { FAULTS = 512, SPAN = FAULTS * PAGE };

BENCH(fault_anon_4k, CORE, "first write to a page of anonymous memory")
{
	while (bench_more(b)) {
		char *p = map_small(SPAN);
		int wrong = 0;

		begin(b);
		for (size_t i = 0; i < SPAN; i += PAGE)
			*(volatile char *)(p + i) = 1;
		end(b, FAULTS);
		for (size_t i = 0; i < SPAN; i++)
			wrong += p[i] != (i % PAGE == 0);
		CHECK(!wrong);
		munmap(p, SPAN);
	}
}

/* => is the range of zeros, but for its first byte? */
static bool zero_behind(const char *p, size_t len)
{
	const uint64_t *q = (const uint64_t *)p;
	uint64_t any = p[0] == 1 ? q[0] - 1 : 1;

	for (size_t i = 1; i < len / 8; i++)
		any |= q[i];
	return !any;
}

BENCH(fault_anon_2m, CORE, "first write to a huge page")
{
	while (bench_more(b)) {
		char *p = map_anon(4 * HUGE, HUGE, PROT_READ | PROT_WRITE);

		NEED(!madvise(p, 4 * HUGE, MADV_HUGEPAGE));
		begin(b);
		for (size_t i = 0; i < 4; i++)
			*(volatile char *)(p + i * HUGE) = 1;
		end(b, 4);
		for (size_t i = 0; i < 4; i++)
			CHECK(zero_behind(p + i * HUGE, HUGE));
		munmap(p, 4 * HUGE);
	}
}

BENCH(fault_zero_read, CORE, "read of an untouched page")
{
	while (bench_more(b)) {
		char *p = map_small(SPAN);
		int sum = 0;

		begin(b);
		for (size_t i = 0; i < SPAN; i += PAGE)
			sum += *(volatile char *)(p + i);
		end(b, FAULTS);
		CHECK(sum == 0);
		munmap(p, SPAN);
	}
}

/* What a child tells its parent. */
struct note {
	uint64_t elapsed;
	int wrong;
};

static struct note *shared_note(void)
{
	struct note *n = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEED(n != MAP_FAILED);
	return n;
}

BENCH(fault_cow, CORE, "the child writes to a page it shares since fork")
{
	struct note *note = shared_note();

	while (bench_more(b)) {
		char *p = map_small(SPAN);
		int wrong = 0;
		pid_t pid;

		touch(p, SPAN);
		note->wrong = 0;
		pid = fork();
		NEED(pid >= 0);
		if (!pid) {
			uint64_t start = mark_clock(b);

			for (size_t i = 0; i < SPAN; i += PAGE)
				*(volatile char *)(p + i + 1) = 1;
			note->elapsed = clock_mark(b) - start;
			for (size_t i = 0; i < SPAN; i += PAGE)
				note->wrong += p[i] != pattern(i) || p[i + 1] != 1 || p[i + 2];
			_exit(0);
		}
		CHECK(exits_with(pid, 0));
		bench_record(b, bench_units(note->elapsed) / FAULTS);
		for (size_t i = 0; i < SPAN; i += PAGE)
			wrong += p[i] != pattern(i) || p[i + 1];
		CHECK(!wrong && !note->wrong);
		munmap(p, SPAN);
	}
}

static char *map_file(int fd, int flags)
{
	char *p = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, flags, fd, 0);

	NEED(p != MAP_FAILED);
	return p;
}

BENCH(fault_file_read, CORE, "read of a mapped page-cache page")
{
	int fd = make_file("mapped", SPAN);

	while (bench_more(b)) {
		char *p = map_file(fd, MAP_SHARED);
		int sum = 0, want = 0;

		begin(b);
		for (size_t i = 0; i < SPAN; i += PAGE)
			sum += *(volatile char *)(p + i);
		end(b, FAULTS);
		for (size_t i = 0; i < SPAN; i += PAGE)
			want += pattern(i);
		CHECK(sum == want);
		munmap(p, SPAN);
	}
}

BENCH(fault_file_write, CORE, "write to a shared mapping of a page-cache page")
{
	int fd = make_file("mapped", SPAN);
	char round = 0;

	while (bench_more(b)) {
		char *p = map_file(fd, MAP_SHARED), c = 0;
		int wrong = 0;

		round++;
		begin(b);
		for (size_t i = 0; i < SPAN; i += PAGE)
			*(volatile char *)(p + i) = round;
		end(b, FAULTS);
		for (size_t i = 0; i < SPAN; i += PAGE)
			wrong += pread(fd, &c, 1, i) != 1 || c != round;
		CHECK(!wrong);
		munmap(p, SPAN);
	}
}

BENCH(fault_file_private, CORE, "write to a private mapping of a page-cache page")
{
	int fd = make_file("mapped", SPAN);

	while (bench_more(b)) {
		char *p = map_file(fd, MAP_PRIVATE), c = 0;
		int wrong = 0;

		begin(b);
		for (size_t i = 0; i < SPAN; i += PAGE)
			*(volatile char *)(p + i) = 99;
		end(b, FAULTS);
		for (size_t i = 0; i < SPAN; i += PAGE) {
			wrong += p[i] != 99 || p[i + 1] != pattern(i + 1);
			wrong += pread(fd, &c, 1, i) != 1 || c != pattern(i);
		}
		CHECK(!wrong);
		munmap(p, SPAN);
	}
}

/* => is nothing mapped at p? */
static bool unmapped(char *p)
{
	return madvise(p, PAGE, MADV_NORMAL) < 0 && errno == ENOMEM;
}

static void mmap_munmap(struct bench *b, long len)
{
	while (bench_more(b)) {
		char *p = NULL;
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 20; i++) {
			p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
			wrong |= p == MAP_FAILED || munmap(p, len);
		}
		end(b, 20);
		CHECK(!wrong && unmapped(p) && unmapped(p + len - PAGE));
	}
}

BENCH_ROW(mmap_munmap_4k, CORE, mmap_munmap, 4 << 10, "untouched", 7);
BENCH_ROW(mmap_munmap_64k, CORE, mmap_munmap, 64 << 10, "untouched", 7);
BENCH_ROW(mmap_munmap_16m, CORE, mmap_munmap, 16 << 20, "untouched", 7);

static void mmap_touch_munmap(struct bench *b, long len)
{
	int n = len > 1 << 20 ? 1 : 10;

	while (bench_more(b)) {
		char *p = NULL;
		int wrong = 0;

		begin(b);
		for (int i = 0; i < n; i++) {
			p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
			wrong |= p == MAP_FAILED;
			for (long at = 0; at < len; at += PAGE)
				((volatile char *)p)[at] = 1;
			wrong |= munmap(p, len);
		}
		end(b, n);
		CHECK(!wrong && unmapped(p));
	}
}

BENCH_ROW(mmap_touch_munmap_4k, CORE, mmap_touch_munmap, 4 << 10, "every page written", 7);
BENCH_ROW(mmap_touch_munmap_64k, CORE, mmap_touch_munmap, 64 << 10, "every page written", 7);
BENCH_ROW(mmap_touch_munmap_16m, CORE, mmap_touch_munmap, 16 << 20, "every page written", 7);

/* One page between holes. */
static char *lone_page(void)
{
	char *p = map_anon(3 * PAGE, PAGE, PROT_READ | PROT_WRITE);

	munmap(p, PAGE);
	munmap(p + 2 * PAGE, PAGE);
	return p + PAGE;
}

/* => can the byte be written? (the kernel's answer, without a signal) */
static bool writable(char *p)
{
	static int zero = -1;

	if (zero < 0)
		zero = open("/dev/zero", O_RDONLY);
	return read(zero, p, 1) == 1;
}

static void mprotect_flip(struct bench *b, long touched)
{
	char *p = lone_page();

	if (touched)
		touch(p, PAGE);
	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 50; i++) {
			refused |= mprotect(p, PAGE, PROT_READ);
			refused |= mprotect(p, PAGE, PROT_READ | PROT_WRITE);
		}
		end(b, 100);
		CHECK(!refused && !mprotect(p, PAGE, PROT_READ) && !writable(p));
		CHECK(!mprotect(p, PAGE, PROT_READ | PROT_WRITE));
		CHECK(!touched || writable(p));
	}
}

BENCH_ROW(mprotect_flip, CORE, mprotect_flip, 0, "one untouched page, one way", 7);
BENCH_ROW(mprotect_touched, CORE, mprotect_flip, 1, "one touched page, one way", 7);

BENCH(munmap_touched, CORE, "one touched page")
{
	while (bench_more(b)) {
		int wrong = 0;

		for (int i = 0; i < 20; i++) {
			char *p = map_anon(PAGE, PAGE, PROT_READ | PROT_WRITE);

			touch(p, PAGE);
			piece_begin(b);
			wrong |= munmap(p, PAGE);
			piece_end(b);
			wrong |= !unmapped(p);
		}
		pieces_end(b, 20);
		CHECK(!wrong);
	}
}

BENCH(mremap_grow, CORE, "map 64 KiB, grow it to 128 KiB, unmap")
{
	enum { SMALL = 64 << 10, BIG = 128 << 10 };

	while (bench_more(b)) {
		int wrong = 0;
		char *p = NULL;

		begin(b);
		for (int i = 0; i < 10; i++) {
			p = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
			wrong |= p == MAP_FAILED;
			p = mremap(p, SMALL, BIG, MREMAP_MAYMOVE);
			wrong |= p == MAP_FAILED || munmap(p, BIG);
		}
		end(b, 10);
		CHECK(!wrong && unmapped(p) && unmapped(p + BIG - PAGE));
	}
}

BENCH(mremap_move_256k, CORE, "64 touched pages to another address")
{
	enum { LEN = 256 << 10 };
	char *room = map_anon(2 * LEN + 3 * PAGE, HUGE, PROT_READ | PROT_WRITE);
	char *from = room + PAGE, *to = from + LEN + PAGE, *swap;

	munmap(room, 2 * LEN + 3 * PAGE);
	NEED(mmap(from, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     from);
	touch(from, LEN);
	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 10; i++) {
			wrong |= mremap(from, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to;
			swap = from, from = to, to = swap;
		}
		end(b, 10);
		for (size_t i = 0; i < LEN; i += PAGE)
			wrong |= from[i] != pattern(i);
		CHECK(!wrong && unmapped(to));
	}
}

BENCH(brk_grow_4k, CORE, "by one page, with the touch")
{
	while (bench_more(b)) {
		char *start = (char *)syscall(SYS_brk, 0), *at = start;
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 50; i++) {
			at += PAGE;
			wrong |= (char *)syscall(SYS_brk, at) != at;
			((volatile char *)at)[-PAGE] = 1;
		}
		end(b, 50);
		CHECK(!wrong && (char *)syscall(SYS_brk, start) == start);
	}
}
