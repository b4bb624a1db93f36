// BOOT: --smp 2 --append la57
/*
 * 5-level paging: addresses above 2^47 are there for who asks for them by a hint, and work like all others; nobody gets
 * one unasked.
 */
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define P 4096ul
#define HIGH (1ul << 48)
#define LIMIT (1ul << 47)
#define TOP (1ul << 56)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *high(unsigned long at, unsigned long len, int flags)
{
	char *p = mmap((void *)at, len, RW, ANON | flags, -1, 0);

	CHECK(p == (char *)at);
	return p == (char *)at ? p : NULL;
}

static long mismatches(void)
{
	char buf[32] = "";
	int fd = open("/proc/sys/vm/check", O_RDWR);
	long n = -1;

	if (fd >= 0 && write(fd, "1", 1) == 1 && pread(fd, buf, sizeof(buf) - 1, 0) > 0)
		n = atol(buf);
	close(fd);
	return n;
}

TEST(only_when_asked)
{
	char *a = mmap(NULL, P, RW, ANON, -1, 0), *b, *c;

	CHECK((unsigned long)a < LIMIT);
	b = mmap((void *)(LIMIT - 2 * P), 4 * P, RW, ANON, -1, 0); /* lies on both sides: not valid */
	CHECK((unsigned long)b < LIMIT);
	c = mmap((void *)(TOP + HIGH), P, RW, ANON, -1, 0); /* beyond the end, yet a wish for high addresses */
	CHECK(c != MAP_FAILED && (unsigned long)c < TOP);
	CHECK((unsigned long)&a < LIMIT && (unsigned long)sbrk(0) < LIMIT);
	munmap(a, P), munmap(b, 4 * P), munmap(c, P);
}

TEST(hints_and_limits)
{
	char *p = high(HIGH + 5 * P, P, 0), *q;

	REQUIRE(p);
	*p = 7;
	q = mmap(p, P, RW, ANON, -1, 0); /* taken: another place, as high */
	CHECK(q != MAP_FAILED && q != p && (unsigned long)q > LIMIT);
	*q = 8;
	CHECK_EQ(*p, 7);
	munmap(p, P), munmap(q, P);
	p = high(TOP - 2 * P, P, MAP_FIXED); /* the last page there is */
	REQUIRE(p);
	*p = 1;
	munmap(p, P);
	CHECK_ERRNO((long)mmap((void *)(TOP - P), P, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO((long)mmap((void *)TOP, P, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO(munmap((void *)TOP, P), EINVAL);
}

/* A mapping over the end of the lowest 256 TiB, touched, protected, moved, forked, dropped. */
TEST(across_2_48)
{
	char *p = high(HIGH - 8 * P, 16 * P, 0), *q;
	int status, fd[2];

	REQUIRE(p);
	for (int i = 0; i < 16; i++)
		p[i * P] = (char)(i + 1);
	CHECK_OK(mprotect(p + 7 * P, 2 * P, PROT_READ));
	CHECK_OK(pipe(fd));
	CHECK_EQ(write(fd[1], p + 8 * P - 8, 16), 16); /* out of both halves */
	CHECK_EQ(read(fd[0], p + 9 * P, 16), 16);
	CHECK_EQ(p[9 * P + 8], 9);
	CHECK_EQ(write(fd[1], "x", 1), 1);
	CHECK_ERRNO(read(fd[0], p + 8 * P, 1), EFAULT);
	close(fd[0]), close(fd[1]);
	pid_t pid = fork();
	if (!pid) {
		p[0] = 99, p[15 * P] = 98;
		_exit(p[5 * P] == 6 && p[10 * P] == 11 ? 0 : 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(p[0], 1);
	CHECK_EQ(p[15 * P], 16);
	CHECK_OK(mprotect(p, 16 * P, RW)); /* one mapping again: mremap moves no more than one */
	q = mremap(p, 16 * P, 16 * P, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(HIGH * 3 + P));
	REQUIRE(q == (char *)(HIGH * 3 + P));
	CHECK_EQ(q[15 * P], 16);
	CHECK_EQ(madvise(q, P, MADV_DONTNEED), 0);
	CHECK_EQ(q[0], 0);
	CHECK_EQ(mismatches(), 0);
	CHECK_OK(munmap(q, 16 * P));
	CHECK_EQ(mismatches(), 0);
}

TEST(huge_and_far)
{
	unsigned long at[] = { 1ul << 47, 1ul << 49, 5ul << 51, (1ul << 55) + (1ul << 30) };

	for (unsigned i = 0; i < 4; i++) {
		char *p = high(at[i], 4 << 20, 0);

		REQUIRE(p);
		madvise(p, 4 << 20, MADV_HUGEPAGE);
		memset(p, (int)i + 1, 4 << 20);
		munmap(p + (1 << 20), P); /* splits */
		CHECK_EQ(p[(1 << 20) + P], i + 1);
	}
	CHECK_EQ(mismatches(), 0);
	for (unsigned i = 0; i < 4; i++)
		munmap((void *)at[i], 4 << 20);
}

/* Code up there makes system calls: SYSRET and IRET go back to more than 47 bits. */
TEST(run_there)
{
	static const unsigned char code[] = { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3 }; /* getpid() */
	char *p = high(HIGH * 17, P, 0);

	REQUIRE(p);
	memcpy(p, code, sizeof(code));
	CHECK_OK(mprotect(p, P, PROT_READ | PROT_EXEC));
	CHECK_EQ(((long (*)(void))p)(), getpid());
	munmap(p, P);
}

static sigjmp_buf back;
static void *seen;

static void on_segv(int sig, siginfo_t *si, void *uc)
{
	seen = si->si_addr;
	siglongjmp(back, 1);
}

TEST(faults_there)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	char *volatile p = (char *)(HIGH * 9 + 123);

	sigaction(SIGSEGV, &sa, NULL);
	if (!sigsetjmp(back, 1))
		*p = 1;
	CHECK(seen == p);
	signal(SIGSEGV, SIG_DFL);
}

TEST(shown_in_maps)
{
	char line[256], want[64];
	FILE *f = fopen("/proc/self/maps", "r");
	int found = 0;

	REQUIRE(f && high(HIGH * 2, P, 0));
	snprintf(want, sizeof(want), "%lx-%lx rw-p", HIGH * 2, HIGH * 2 + P);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, want, strlen(want));
	CHECK(found);
	fclose(f);
	munmap((void *)(HIGH * 2), P);
}

TEST_MAIN
