/*
 * Address spaces: mmap and its flags, munmap and mprotect with splitting, mremap, brk, copy-on-write,
 * file mappings, guard pages, stack growth, /proc/self/maps, madvise, mincore, mlock.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf jump;

static siginfo_t fault;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault = *info;
	siglongjmp(jump, sig);
}

/* => the signal a read (or write) of the byte gives, 0 when it works */
static int probe(volatile char *p, bool write)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, segv, bus;
	int sig;

	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);
	sig = sigsetjmp(jump, 1);
	if (!sig) {
		if (write)
			*p = *p;
		else
			(void)*p;
	} else {
		CHECK(fault.si_addr == p && fault.si_signo == sig);
		CHECK(sig == SIGBUS ? fault.si_code == BUS_ADRERR : fault.si_code == SEGV_MAPERR || fault.si_code == SEGV_ACCERR);
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static char *anon(size_t npages)
{
	char *p = mmap(NULL, npages * PAGE, RW, ANON, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* => how many lines of /proc/self/maps lie inside [start, end) */
static int regions(char *start, char *end)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long a, b;
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%lx-%lx", &a, &b) == 2 && a < (unsigned long)end &&
		    b > (unsigned long)start)
			n++;
	if (f)
		fclose(f);
	return n;
}

TEST(demand_zero)
{
	char *p = anon(64);
	bool zero = true;

	REQUIRE(p);
	for (size_t i = 0; i < 64 * PAGE; i++)
		zero &= !p[i];
	CHECK(zero);
	memset(p, 0xaa, 64 * PAGE);
	CHECK_OK(munmap(p, 64 * PAGE));
	CHECK_EQ(probe(p, false), SIGSEGV);
	p = anon(64);
	for (size_t i = 0; i < 64 * PAGE; i++)
		zero &= !p[i];
	CHECK(zero);
	munmap(p, 64 * PAGE);
}

TEST(split_and_merge)
{
	char *p = anon(10);

	REQUIRE(p);
	memset(p, 1, 10 * PAGE);
	CHECK_OK(munmap(p + 3 * PAGE, 2 * PAGE));
	CHECK_EQ(probe(p + 3 * PAGE, false), SIGSEGV);
	CHECK_EQ(probe(p + 2 * PAGE, true), 0);
	CHECK_EQ(probe(p + 5 * PAGE, true), 0);
	CHECK_OK(munmap(p, 10 * PAGE));		/* over a hole is fine */

	p = mmap(NULL, 12 * PAGE, PROT_NONE, ANON, -1, 0);	/* an island of its own */
	p += PAGE;
	CHECK_OK(mprotect(p, 10 * PAGE, RW));
	memset(p, 7, 10 * PAGE);
	CHECK_EQ(regions(p, p + 10 * PAGE), 1);
	CHECK_OK(mprotect(p + 4 * PAGE, 2 * PAGE, PROT_READ));
	CHECK_EQ(regions(p, p + 10 * PAGE), 3);
	CHECK_EQ(probe(p + 4 * PAGE, true), SIGSEGV);
	CHECK_EQ(probe(p + 4 * PAGE, false), 0);
	CHECK_EQ(p[4 * PAGE], 7);
	CHECK_OK(mprotect(p + 4 * PAGE, 2 * PAGE, RW));
	CHECK_EQ(regions(p, p + 10 * PAGE), 1);
	CHECK_OK(mprotect(p, 10 * PAGE, PROT_NONE));
	CHECK_EQ(probe(p, false), SIGSEGV);
	CHECK_OK(munmap(p - PAGE, 12 * PAGE));
	CHECK_ERRNO(mprotect(p, PAGE, RW), ENOMEM);
}

TEST(arguments)
{
	char *p = anon(4);

	CHECK_ERRNO(mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_mmap, NULL, PAGE, RW, ANON, -1, 5), EINVAL);
	CHECK_ERRNO(munmap(p + 1, PAGE), EINVAL);
	CHECK_ERRNO(munmap(p, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_mprotect, p + 1, PAGE, RW), EINVAL);
	CHECK_ERRNO(mmap((void *)0xffff800000000000ul, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, 1ul << 47, RW, ANON | MAP_NORESERVE, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	p[0] = 5;
	CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
	CHECK_EQ(p[0], 0);
	CHECK_OK(munmap(p, 4 * PAGE));
	CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p);
	munmap(p, PAGE);
	CHECK_EQ(probe(NULL, false), SIGSEGV);
}

TEST(copy_on_write)
{
	char *p = anon(100);

	REQUIRE(p);
	memset(p, 1, 100 * PAGE);
	CHECK_EXITS(0, {
		for (int i = 0; i < 100; i++)
			CHECK_EQ(p[i * PAGE], 1);
		memset(p, 2, 100 * PAGE);
		CHECK_EXITS(0, CHECK_EQ(p[50 * PAGE], 2); p[50 * PAGE] = 3);
		CHECK_EQ(p[50 * PAGE], 2);
	});
	for (int i = 0; i < 100; i++)
		CHECK_EQ(p[i * PAGE], 1);
	munmap(p, 100 * PAGE);
}

TEST(shared_anonymous)
{
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	CHECK_EXITS(0, memset(p, 9, 4 * PAGE));
	CHECK_EQ(p[3 * PAGE], 9);
	munmap(p, 4 * PAGE);
}

TEST(file_mappings)
{
	char text[10000];
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *shared, *private;

	memset(text, 'a', sizeof text);
	CHECK_EQ(write(fd, text, sizeof text), sizeof text);
	shared = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	REQUIRE(shared != MAP_FAILED && private != MAP_FAILED);
	CHECK_EQ(shared[9999], 'a');
	CHECK_EQ(shared[10000], 0);
	private[0] = 'p';
	shared[1] = 's';
	CHECK_EQ(shared[0], 'a');
	CHECK_EQ(pread(fd, text, 2, 0), 2);
	CHECK_EQ(text[0], 'a');
	CHECK_EQ(text[1], 's');
	CHECK_EQ(pwrite(fd, "W", 1, 5000), 1);
	CHECK_EQ(shared[5000], 'W');
	CHECK_EQ(private[5000], 'W');
	CHECK_EQ(probe(private + 3 * PAGE, false), SIGBUS);	/* beyond the end of the file */
	CHECK_OK(msync(shared, 3 * PAGE, MS_SYNC));
	CHECK_OK(ftruncate(fd, PAGE));
	CHECK_EQ(probe(shared + PAGE, false), SIGBUS);
	CHECK_EQ(probe(shared, true), 0);
	close(fd);
	CHECK_EQ(shared[1], 's');			/* outlives the descriptor */
	munmap(shared, 3 * PAGE);
	munmap(private, 4 * PAGE);
	fd = open("file", O_RDONLY);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EACCES);
	private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(private != MAP_FAILED);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100), EINVAL);
	munmap(private, PAGE);
	close(fd);
	unlink("file");
}

TEST(mremap_cases)
{
	char *p = anon(4), *q;

	REQUIRE(p);
	strcpy(p + 3 * PAGE, "kept");
	q = mremap(p, 4 * PAGE, 100 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(q != MAP_FAILED);
	CHECK_STR(q + 3 * PAGE, "kept");
	CHECK_EQ(q[99 * PAGE], 0);
	p = mremap(q, 100 * PAGE, 4 * PAGE, 0);
	CHECK(p == q);
	CHECK_EQ(probe(q + 4 * PAGE, false), SIGSEGV);
	char *target = anon(8);
	q = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	CHECK(q == target);
	CHECK_STR(q + 3 * PAGE, "kept");
	CHECK_EQ(probe(p, false), SIGSEGV);
	CHECK_ERRNO(mremap(q + 1, PAGE, PAGE, 0), EINVAL);
	CHECK_ERRNO(mremap(q, PAGE, 0, 0), EINVAL);
	CHECK_ERRNO(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	munmap(q, 8 * PAGE);
}

TEST(brk_moves)
{
	char *start = (char *)syscall(SYS_brk, 0);
	char *end = (char *)syscall(SYS_brk, start + 10 * PAGE);

	CHECK(end == start + 10 * PAGE);
	memset(start, 1, 10 * PAGE);
	CHECK((char *)syscall(SYS_brk, start) == start);
	CHECK((char *)syscall(SYS_brk, start + PAGE) == start + PAGE);
	CHECK_EQ(start[((unsigned long)start & (PAGE - 1)) ? PAGE - 1 : 0], 0);
	CHECK((char *)syscall(SYS_brk, (char *)16) == start + PAGE);	/* refused: unchanged */
	syscall(SYS_brk, start);
}

static int deep(int n)
{
	volatile char frame[4000];

	frame[0] = n;
	return n ? deep(n - 1) + frame[0] * 0 + 1 : 0;
}

TEST_FORK(stack_grows)
{
	CHECK_EQ(deep(1500), 1500);		/* 6 MB of 8 */
	struct rlimit core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &core);
	CHECK_KILLED(SIGSEGV, deep(1 << 20));
}

TEST(guard_below_stack)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long a = 0, b, found = 0;

	REQUIRE(f);
	while (fgets(line, sizeof line, f))
		if (strstr(line, "[stack]") && sscanf(line, "%lx-%lx", &a, &b) == 2)
			found = a;
	fclose(f);
	CHECK_NE(found, 0);
	char local;
	CHECK((unsigned long)&local > found && (unsigned long)&local < b);
}

TEST(maps_text)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], perm[5];
	unsigned long a, b, last = 0, off;
	int text = 0, n = 0, vdso = 0;

	REQUIRE(f);
	while (fgets(line, sizeof line, f)) {
		unsigned maj, min, ino;

		REQUIRE(sscanf(line, "%lx-%lx %4s %lx %x:%x %u", &a, &b, perm, &off, &maj, &min,
			       &ino) == 7);
		CHECK(a >= last && b > a && !(a & (PAGE - 1)) && !(b & (PAGE - 1)));
		last = b;
		if (a <= (unsigned long)regions && b > (unsigned long)regions) {
			text++;
			CHECK_STR(perm, "r-xp");
			CHECK(strchr(line, '/') != NULL);
		}
		vdso += strstr(line, "[vdso]") != NULL;
		n++;
	}
	fclose(f);
	CHECK_EQ(text, 1);
	CHECK_EQ(vdso, 1);
	CHECK_GE(n, 5);
}

TEST(execute_permission)
{
	static const unsigned char code[] = { 0xb8, 0x2a, 0, 0, 0, 0xc3 };	/* mov $42, %eax; ret */
	unsigned char *p = (unsigned char *)anon(1);
	struct rlimit core = { 0, 0 };

	memcpy(p, code, sizeof code);
	CHECK_KILLED(SIGSEGV, setrlimit(RLIMIT_CORE, &core); ((int (*)(void))p)());
	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	CHECK_EQ(((int (*)(void))p)(), 42);
	CHECK_EQ(probe((char *)p, true), SIGSEGV);
	munmap(p, PAGE);
}

/* The signal that calling the code gives, 0 when it returns 42. */
static int call(void *code)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, segv;
	int sig;

	sigaction(SIGSEGV, &sa, &segv);
	sig = sigsetjmp(jump, 1);
	if (!sig)
		sig = ((int (*)(void))code)() == 42 ? 0 : -1;
	sigaction(SIGSEGV, &segv, NULL);
	return sig;
}

/* A right that is taken away is gone at once, though the CPU has just used it. */
TEST(execute_permission_lost)
{
	static const unsigned char code[] = { 0xb8, 0x2a, 0, 0, 0, 0xc3 };
	char *p = anon(1);

	memcpy(p, code, sizeof code);
	for (int i = 0; i < 20; i++) {
		CHECK_OK(mprotect(p, PAGE, RW | PROT_EXEC));
		CHECK_EQ(call(p), 0);
		CHECK_OK(mprotect(p, PAGE, RW));
		CHECK_EQ(call(p), SIGSEGV);
	}
	munmap(p, PAGE);
}

/* A hole in a file is not one in what a program made of its private mapping of it. */
TEST(private_copies_survive_a_hole)
{
	int fd = memfd_create("m", 0);
	char *p, *shared;

	CHECK_OK(ftruncate(fd, 3 * PAGE));
	p = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
	shared = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	memset(shared, 1, 3 * PAGE);
	CHECK_EQ(p[0] + p[PAGE] + p[2 * PAGE], 3);
	p[PAGE] = 7;
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE));
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[PAGE], 7);
	CHECK_EQ(p[PAGE + 1], 1);
	CHECK_EQ(p[2 * PAGE], 1);
	CHECK_EQ(shared[PAGE], 0);
	munmap(p, 3 * PAGE);
	munmap(shared, 3 * PAGE);
	close(fd);
}

/* Beyond the new end of a file nothing is left, copies of the program's own neither. */
TEST(private_copies_end_with_the_file)
{
	int fd = memfd_create("m", 0);
	char *p;

	CHECK_OK(ftruncate(fd, 2 * PAGE));
	p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
	memset(p, 3, 2 * PAGE);
	CHECK_OK(ftruncate(fd, PAGE));
	CHECK_EQ(probe(p + PAGE, false), SIGBUS);
	CHECK_EQ(probe(p, true), 0);
	CHECK_EQ(p[5], 3);
	CHECK_OK(ftruncate(fd, 2 * PAGE));
	CHECK_EQ(p[PAGE], 0);
	munmap(p, 2 * PAGE);
	close(fd);
}

/* A debugger may write where the program may not, but only to what is the program's own. */
TEST(writes_by_force)
{
	int fd = memfd_create("m", 0), mem = open("/proc/self/mem", O_RDWR);
	char *shared, *own = anon(1);

	CHECK_OK(ftruncate(fd, PAGE));
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(mem >= 0 && shared != MAP_FAILED && own);
	own[0] = 1;
	CHECK_OK(mprotect(own, PAGE, PROT_READ));
	CHECK_EQ(pwrite(mem, "x", 1, (off_t)own), 1);
	CHECK_EQ(own[0], 'x');
	CHECK_EQ(probe(own, true), SIGSEGV);
	CHECK_ERRNO(pwrite(mem, "x", 1, (off_t)shared), EIO);
	CHECK_EQ(shared[0], 0);
	munmap(own, PAGE);
	munmap(shared, PAGE);
	close(mem);
	close(fd);
}

/* Memory that a file has is resident, whether this process has looked at it or not. */
TEST(resident_in_the_cache)
{
	int fd = memfd_create("m", 0);
	unsigned char v[3];
	char *p;

	CHECK_OK(ftruncate(fd, 3 * PAGE));
	CHECK_EQ(pwrite(fd, "x", 1, PAGE), 1);
	p = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	CHECK_OK(mincore(p, 3 * PAGE, v));
	CHECK(!(v[0] & 1) && v[1] & 1 && !(v[2] & 1));
	munmap(p, 3 * PAGE);
	close(fd);
}

TEST(madvise_and_friends)
{
	char *p = anon(8);
	unsigned char vec[8];

	memset(p, 1, 4 * PAGE);
	CHECK_OK(mincore(p, 8 * PAGE, vec));
	CHECK_EQ(vec[0] & 1, 1);
	CHECK_EQ(vec[7] & 1, 0);
	CHECK_OK(madvise(p, 2 * PAGE, MADV_DONTNEED));
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[2 * PAGE], 1);
	CHECK_OK(madvise(p, 8 * PAGE, MADV_WILLNEED));
	CHECK_ERRNO(madvise(p, PAGE, 12345), EINVAL);
	CHECK_ERRNO(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DONTFORK));
	p[5 * PAGE] = 3;
	CHECK_EXITS(0, CHECK_EQ(p[5 * PAGE], 3); CHECK_EQ(probe(p, false), SIGSEGV));
	CHECK_OK(mlock(p, 2 * PAGE));
	CHECK_OK(munlock(p, 2 * PAGE));
	munmap(p, 8 * PAGE);
	CHECK_ERRNO(mincore(p, PAGE, vec), ENOMEM);
}

TEST(many_regions)
{
	enum { N = 1000 };
	char *base = mmap(NULL, 2 * N * PAGE, PROT_NONE, ANON, -1, 0);

	REQUIRE(base != MAP_FAILED);
	for (int i = 0; i < N; i++) {
		CHECK_OK(mprotect(base + 2 * i * PAGE, PAGE, RW));
		base[2 * i * PAGE] = i;
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(base[2 * i * PAGE], (char)i);
	CHECK_EQ(regions(base, base + 2 * N * PAGE), 2 * N);
	CHECK_OK(munmap(base, 2 * N * PAGE));
	CHECK_LE(regions(base, base + 2 * N * PAGE), 1);	/* stdio's own buffer may land there */
}

TEST(address_space_limit)
{
	CHECK_EXITS(0, {
		struct rlimit r = { 64 << 20, 64 << 20 };

		CHECK_OK(setrlimit(RLIMIT_AS, &r));
		CHECK_ERRNO(mmap(NULL, 128 << 20, RW, ANON, -1, 0), ENOMEM);
		CHECK(mmap(NULL, 1 << 20, RW, ANON, -1, 0) != MAP_FAILED);
	});
}

TEST_MAIN
