// BOOT: --smp 4 --memory 1G
/*
 * What an address space may have and what it is said to have: limits at every place that makes it larger (mmap, brk, mremap, a stack
 * that grows, a split), what a child inherits of them, the guard below a stack, and the counts in /proc/self/status.
 */
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define P 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define GAP 256 /* pages below a stack that stay free */
#define ROOM 1024 /* pages of the place stacks are made in */
#define DONTUNMAP 4

static sigjmp_buf jump;

static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

/* The signal a write to the byte gives, 0 when it works. */
static int poke(volatile char *p)
{
	struct sigaction sa = { .sa_handler = on_fault };
	int sig;

	sigaction(SIGSEGV, &sa, NULL);
	sig = sigsetjmp(jump, 1);
	if (!sig)
		*p = 1;
	signal(SIGSEGV, SIG_DFL);
	return sig;
}

/* kB of a line of such a file. No stdio: that would map memory. */
static long field(const char *path, const char *name)
{
	static char text[8192];
	int fd = open(path, O_RDONLY);
	long n = read(fd, text, sizeof(text) - 1);
	char *at;

	close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strstr(text, name);
	return at && at[strlen(name)] == ':' ? atol(at + strlen(name) + 1) : -1;
}

static long status(const char *name)
{
	return field("/proc/self/status", name);
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

/* @n pages between two that keep them from becoming part of another mapping. */
static char *lone(size_t n)
{
	char *p = mmap(NULL, (n + 2) * P, PROT_NONE, ANON, -1, 0);

	return mprotect(p + P, n * P, RW) ? NULL : p + P;
}

/* The end of the heap, moved by @n bytes, or where it was; libc's sbrk() may refuse by itself. */
static char *heap(long n)
{
	long end = syscall(SYS_brk, 0);

	return (char *)(n ? syscall(SYS_brk, end + n) : end);
}

static bool present(char *p)
{
	unsigned char v = 0;

	return !mincore(p, P, &v) && v & 1;
}

static void limit(int what, unsigned long n)
{
	struct rlimit r = { n, n };

	CHECK_OK(setrlimit(what, &r));
}

/* Free addresses that nobody else is given: *top is a stack of one page at their upper end. */
static char *stack_at(char **top, int more_flags)
{
	char *base = mmap(NULL, ROOM * P, PROT_NONE, ANON, -1, 0);

	*top = base + (ROOM - 2) * P; /* the last page stays, a border */
	munmap(base, (ROOM - 1) * P);
	if (mmap(*top, P, RW, ANON | MAP_FIXED | MAP_GROWSDOWN | more_flags, -1, 0) != *top)
		*top = NULL;
	return base;
}

/* --- stacks --- */

TEST_FORK(guard_gap)
{
	char *top, *base = stack_at(&top, 0), *below = base + 100 * P;

	REQUIRE(top);
	CHECK(mmap(below, P, RW, ANON | MAP_FIXED, -1, 0) == below);
	CHECK_EQ(poke(below + (GAP + 1) * P), 0); /* GAP pages are left */
	CHECK_EQ(poke(below + GAP * P), SIGSEGV);
	/* what nobody can access is a guard itself */
	CHECK_OK(mprotect(below, P, PROT_NONE));
	CHECK_EQ(poke(below + P), 0);
	CHECK_EQ(poke(below), SIGSEGV);
}

TEST_FORK(hint_in_the_gap)
{
	char *top, *base = stack_at(&top, 0), *hint = top - 16 * P, *got;

	REQUIRE(top);
	got = mmap(hint, P, RW, ANON, -1, 0);
	CHECK(got != MAP_FAILED && got != hint);
	hint = top - (GAP + 1) * P;
	CHECK(hint > base);
	CHECK(mmap(hint, P, RW, ANON, -1, 0) == hint);
}

TEST_FORK(growth_is_counted)
{
	char *top;
	long size, stack;

	stack_at(&top, 0);
	REQUIRE(top);
	poke(top); /* what the counting itself touches is there now */
	size = status("VmSize");
	stack = status("VmStk");
	CHECK_EQ(poke(top - 9 * P), 0);
	CHECK_EQ(status("VmSize") - size, 36);
	CHECK_EQ(status("VmStk") - stack, 36);
}

TEST_FORK(growth_has_limits)
{
	char *top;

	stack_at(&top, 0);
	REQUIRE(top);
	poke(top);
	limit(RLIMIT_AS, (unsigned long)status("VmSize") * 1024 + 4 * P);
	CHECK_EQ(poke(top - 4 * P), 0);
	CHECK_EQ(poke(top - 5 * P), SIGSEGV);
	CHECK_EQ(poke(top), 0);
}

TEST_FORK(locked_growth)
{
	char *top;

	REQUIRE(!setgid(1000) && !setuid(1000)); /* no more CAP_IPC_LOCK */
	limit(RLIMIT_MEMLOCK, 4 * P);
	stack_at(&top, MAP_LOCKED);
	REQUIRE(top);
	CHECK_EQ(status("VmLck"), 4);
	CHECK_EQ(poke(top - 3 * P), 0);
	CHECK_EQ(status("VmLck"), 16);
	CHECK_EQ(poke(top - 4 * P), SIGSEGV);
	CHECK_EQ(status("VmLck"), 16);
}

TEST_FORK(protect_down_to_the_start)
{
	char *top;

	stack_at(&top, 0);
	REQUIRE(top);
	CHECK_EQ(poke(top - 7 * P), 0);
	CHECK_OK(mprotect(top, P, PROT_READ | PROT_GROWSDOWN));
	CHECK_EQ(poke(top), SIGSEGV);
	CHECK_EQ(poke(top - 7 * P), SIGSEGV);
}

/* --- what a child inherits --- */

TEST_FORK(child_limits)
{
	char *top;

	stack_at(&top, 0);
	REQUIRE(top);
	limit(RLIMIT_STACK, 8 * P);
	CHECK_EXITS(0, CHECK_EQ(poke(top - 7 * P), 0); CHECK_EQ(poke(top - 8 * P), SIGSEGV));
	CHECK_EXITS(0, {
		limit(RLIMIT_AS, 1 << 28);
		CHECK_EXITS(0, CHECK_ERRNO((long)mmap(NULL, 1 << 28, RW, ANON, -1, 0), ENOMEM));
	});
	CHECK_EXITS(0, {
		limit(RLIMIT_DATA, 0);
		CHECK_EXITS(0, CHECK_ERRNO((long)mmap(NULL, P, RW, ANON, -1, 0), ENOMEM));
	});
	CHECK_EXITS(0, {
		char *p = lone(3);

		REQUIRE(!setgid(1000) && !setuid(1000));
		limit(RLIMIT_MEMLOCK, 2 * P);
		CHECK_EXITS(0, CHECK_ERRNO(mlock(p, 3 * P), ENOMEM); CHECK_OK(mlock(p, 2 * P)));
	});
}

TEST_FORK(child_flags)
{
	char *p = lone(2);

	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_OK(mlock(p, 2 * P));
	CHECK_EQ(status("VmLck"), 8);
	CHECK_EXITS(0, {
		CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
		CHECK_EQ(status("VmLck"), 0);
		CHECK_OK(munmap(p, 2 * P)); /* not counted, not taken off */
		CHECK_EQ(status("VmLck"), 0);
		CHECK_OK(madvise(lone(1), P, MADV_DONTNEED));
	});
	CHECK_EXITS(0, CHECK_OK(madvise(p, P, MADV_DONTNEED))); /* refused where it is locked */
	CHECK_ERRNO(madvise(p, P, MADV_DONTNEED), EINVAL);
}

/* --- locked memory: how much, and there --- */

TEST_FORK(locked_counts)
{
	long l = status("VmLck");
	char *p = mmap(NULL, 8 * P, RW, ANON | MAP_LOCKED, -1, 0), *q, *brk = heap(0);

	CHECK_EQ(l, 0);
	CHECK_EQ(status("VmLck"), 32);
	CHECK(present(p + 7 * P));
	CHECK_OK(munmap(p + 4 * P, 4 * P));
	CHECK_EQ(status("VmLck"), 16);
	q = mremap(p, 4 * P, 6 * P, MREMAP_MAYMOVE); /* into the hole */
	CHECK_EQ(status("VmLck"), 24);
	CHECK(present(q + 5 * P));
	p = mremap(q, 6 * P, 300 * P, MREMAP_MAYMOVE);
	CHECK_EQ(status("VmLck"), 1200);
	CHECK(present(p + 299 * P));
	q = mremap(p, 300 * P, 300 * P, MREMAP_MAYMOVE | DONTUNMAP, NULL);
	REQUIRE(q != MAP_FAILED);
	CHECK_EQ(status("VmLck"), 1200); /* the new place; the old one is not locked any more */
	CHECK_OK(munmap(p, 300 * P));
	CHECK_EQ(status("VmLck"), 1200);
	CHECK_OK(munlock(q, 299 * P));
	CHECK_EQ(status("VmLck"), 4);
	CHECK_OK(munmap(q, 300 * P));
	CHECK_EQ(status("VmLck"), 0);

	CHECK_OK(mlockall(MCL_FUTURE));
	CHECK(heap(4 * P) == brk + 4 * P);
	CHECK_EQ(status("VmLck"), 16);
	CHECK(present((char *)(((unsigned long)brk + P - 1) & -P) + 3 * P));
	p = mmap(NULL, 2 * P, RW, ANON, -1, 0);
	CHECK_EQ(status("VmLck"), 24);
	CHECK(present(p + P));
}

TEST_FORK(lock_brings_in)
{
	char *p = lone(4), *q = mmap(NULL, 2 * P, PROT_NONE, ANON, -1, 0), *r;

	CHECK(!present(p));
	CHECK_OK(mlock(p + P, P));
	CHECK(!present(p) && present(p + P) && !present(p + 2 * P));
	CHECK_ERRNO(mlock(q, 2 * P), ENOMEM); /* nobody may touch it, so it cannot be brought in */
	r = mmap(NULL, 2 * P, RW, ANON | MAP_POPULATE, -1, 0);
	CHECK(present(r) && present(r + P));
	CHECK_OK(mlockall(MCL_CURRENT));
	CHECK(present(p) && present(p + 3 * P));
}

TEST_FORK(locked_heap_has_a_limit)
{
	char *brk = heap(0);

	REQUIRE(!setgid(1000) && !setuid(1000));
	limit(RLIMIT_MEMLOCK, 2 * P);
	CHECK_OK(mlockall(MCL_FUTURE));
	CHECK(heap(3 * P) == brk);
	CHECK(heap(2 * P) == brk + 2 * P);
	CHECK_ERRNO((long)mmap(NULL, P, RW, ANON, -1, 0), EAGAIN);
}

/* --- how many mappings, and where --- */

TEST_FORK(number_of_mappings)
{
	char old[32] = "", *base = mmap(NULL, 1024 * P, PROT_NONE, ANON, -1, 0), *free = mmap(NULL, 8 * P, RW, ANON, -1, 0);
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY), n = 0;

	REQUIRE(read(fd, old, sizeof(old) - 1) > 0);
	close(fd);
	REQUIRE(put("/proc/sys/vm/max_map_count", "200"));
	while (n < 400 && !mprotect(base + (2 * n + 1) * P, P, PROT_READ))
		n++; /* each splits what is left in two more */
	CHECK(n > 50 && n < 100);
	CHECK_EQ(errno, ENOMEM);
	CHECK_ERRNO(munmap(base + 1000 * P, P), ENOMEM); /* it would be one more */
	CHECK_ERRNO((long)mremap(free, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 900 * P), ENOMEM);
	CHECK_ERRNO((long)mremap(free, 4 * P, 4 * P, MREMAP_MAYMOVE | DONTUNMAP, NULL), ENOMEM);
	/* mmap itself goes one further than a split */
	n = 0;
	while (n < 8 && mmap(NULL, P, n & 1 ? PROT_READ | PROT_EXEC : PROT_EXEC, ANON | MAP_NORESERVE, -1, 0) != MAP_FAILED)
		n++;
	CHECK_LT(n, 8);
	CHECK_EQ(errno, ENOMEM);
	CHECK(put("/proc/sys/vm/max_map_count", old));
	CHECK_OK(munmap(base + 1000 * P, P));
}

TEST_FORK(heap_keeps_a_distance)
{
	char *brk = (char *)(((unsigned long)heap(0) + P - 1) & -P);

	CHECK((char *)syscall(SYS_brk, brk) == brk);
	REQUIRE(mmap(brk + 4 * P, P, RW, ANON | MAP_FIXED, -1, 0) == brk + 4 * P);
	CHECK((char *)syscall(SYS_brk, brk + 4 * P) == brk);
	CHECK((char *)syscall(SYS_brk, brk + 3 * P) == brk + 3 * P);
}

TEST(lowest_address)
{
	char text[32] = "";
	int fd = open("/proc/sys/vm/mmap_min_addr", O_RDONLY);
	unsigned long low;

	REQUIRE(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	low = strtoul(text, NULL, 10);
	char *p = mmap((void *)P, P, RW, ANON, -1, 0);
	CHECK((unsigned long)p >= low && (unsigned long)p <= 65536); /* the hint, raised */
	munmap(p, P);
}

TEST(mremap_overlaps)
{
	char *p = lone(16);

	p[8 * P] = 7;
	CHECK_ERRNO((long)mremap(p + 4 * P, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p), EINVAL);
	CHECK_ERRNO((long)mremap(p + 4 * P, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p + 11 * P), EINVAL);
	CHECK_EQ(p[8 * P], 7);
	CHECK(mremap(p + 8 * P, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p); /* side by side */
	CHECK_EQ(p[0], 7);
	munmap(p - P, 18 * P);
}

TEST_FORK(remap_limits)
{
	char *p = lone(16), *q;

	CHECK_OK(munmap(p + 8 * P, 8 * P));
	limit(RLIMIT_AS, (unsigned long)status("VmSize") * 1024 + 4 * P);
	CHECK_ERRNO((long)mremap(p, 8 * P, 8 * P, MREMAP_MAYMOVE | DONTUNMAP, NULL), ENOMEM);
	q = mremap(p, 8 * P, 12 * P, 0);
	CHECK(q == p);
	CHECK_ERRNO((long)mremap(p, 12 * P, 13 * P, 0), ENOMEM);
	CHECK_EQ(munmap(p, 12 * P), 0);
}

/* --- counts --- */

TEST_FORK(sizes)
{
	char *p = lone(16);
	long size = status("VmSize"), data = status("VmData");

	CHECK_OK(munmap(p + 8 * P, 8 * P));
	CHECK_EQ(status("VmSize"), size - 32);
	CHECK_EQ(status("VmData"), data - 32);
	CHECK(mremap(p, 8 * P, 12 * P, 0) == p);
	CHECK_EQ(status("VmSize"), size - 16);
	CHECK_EQ(status("VmData"), data - 16);
	CHECK_OK(mprotect(p, 4 * P, PROT_READ));
	CHECK_EQ(status("VmSize"), size - 16);
	CHECK_EQ(status("VmData"), data - 32);
	CHECK_OK(mprotect(p, 4 * P, RW));
	CHECK_EQ(status("VmData"), data - 16);
	/* the most there ever was */
	CHECK_GE(status("VmPeak"), size);
	p = mmap(NULL, 64 << 20, RW, ANON, -1, 0);
	CHECK_OK(munmap(p, 64 << 20));
	CHECK_GE(status("VmPeak"), size + (64 << 10) - 16);
	CHECK_LT(status("VmSize"), size + 1024);
	p = mmap(NULL, 4 << 20, RW, ANON | MAP_POPULATE, -1, 0);
	long rss = status("VmRSS");
	CHECK_OK(munmap(p, 4 << 20));
	CHECK_LE(status("VmRSS"), rss - 4000);
	CHECK_GE(status("VmHWM"), rss - 512); /* Linux adds up now and then */
}

/* Promised memory in MiB over @base, to the nearest: others promise and give back little. */
static long promised(long base)
{
	return (field("/proc/meminfo", "Committed_AS") - base + 512) >> 10;
}

#define MB (1ul << 20)

TEST_FORK(promises)
{
	char *top, *p;
	long base = field("/proc/meminfo", "Committed_AS");

	REQUIRE(base > 0);
	p = mmap(NULL, 64 * MB, RW, ANON, -1, 0);
	CHECK_EQ(promised(base), 64);
	CHECK_EXITS(0, CHECK_EQ(promised(base), 128); CHECK_OK(munmap(p, 16 * MB)); CHECK_EQ(promised(base), 112));
	CHECK_EQ(promised(base), 64);
	CHECK_OK(munmap(p + 16 * MB, 16 * MB));
	CHECK_EQ(promised(base), 48);
	CHECK(mremap(p, 16 * MB, 32 * MB, 0) == p);
	CHECK_EQ(promised(base), 64);
	p = mremap(p, 64 * MB, 128 * MB, MREMAP_MAYMOVE);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(promised(base), 128);
	CHECK(mremap(p, 128 * MB, 32 * MB, 0) == p);
	CHECK_EQ(promised(base), 32);
	p[0] = 1;
	CHECK_OK(mprotect(p, 16 * MB, PROT_READ)); /* once promised and used */
	CHECK_EQ(promised(base), 32);
	CHECK(mmap(p, 16 * MB, PROT_READ, ANON | MAP_FIXED, -1, 0) == p);
	CHECK_EQ(promised(base), 16);
	CHECK_OK(mprotect(p, 16 * MB, RW));
	CHECK_EQ(promised(base), 32);
	p[0] = 1;
	CHECK_OK(mprotect(p, 16 * MB, PROT_READ));
	CHECK_OK(mprotect(p, 16 * MB, RW)); /* not twice */
	CHECK_EQ(promised(base), 32);
	CHECK_OK(munmap(p, 32 * MB));
	CHECK_EQ(promised(base), 0);
	CHECK_EQ((heap(8 * MB), promised(base)), 8);
	CHECK_EQ((heap(-8 * (long)MB), promised(base)), 0);
	stack_at(&top, 0);
	REQUIRE(top);
	CHECK_EQ(poke(top - 768 * P), 0);
	CHECK_EQ(promised(base), 3);
	CHECK_OK(munmap(top - 768 * P, 769 * P));
	CHECK_EQ(promised(base), 0);
}

TEST_FORK(resident_by_kind)
{
	int fd = memfd_create("m", 0);
	char *p;

	CHECK_OK(ftruncate(fd, 4 * P));
	p = mmap(NULL, 4 * P, RW, MAP_PRIVATE, fd, 0);
	long shmem = status("RssShmem"), own = status("RssAnon");
	for (int i = 0; i < 4; i++)
		CHECK_EQ(*(volatile char *)(p + i * P), 0);
	CHECK_EQ(status("RssShmem") - shmem, 16);
	memset(p, 1, 4 * P); /* copies */
	CHECK_EQ(status("RssShmem"), shmem);
	CHECK_EQ(status("RssAnon") - own, 16);
	CHECK_OK(munmap(p, 4 * P));
	CHECK_EQ(status("RssAnon"), own);
}

TEST(only_locked_memory_is_filled_when_it_becomes_writable)
{
	unsigned char there[3];
	char *p = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK_OK(mlock(p, 4096));
	CHECK_OK(mlock(p + 2 * 4096, 4096));
	CHECK_OK(mprotect(p, 3 * 4096, PROT_READ | PROT_WRITE));
	CHECK_OK(mincore(p, 3 * 4096, there));
	CHECK((there[0] & 1) && !(there[1] & 1) && (there[2] & 1));
	munmap(p, 3 * 4096);
}

TEST_MAIN
