/*
 * Protection keys: pkey_alloc, pkey_free, pkey_mprotect, PKRU in threads, children and handlers, SEGV_PKUERR,
 * execute-only mappings, the kernel's own accesses, smaps. Without the hardware: the errors Linux gives.
 */
// BOOT: --smp 2 --cpu max
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define NO_ACCESS 1
#define NO_WRITE 2

static long pk_alloc(unsigned long flags, unsigned long rights) { return syscall(SYS_pkey_alloc, flags, rights); }
static long pk_free(long key) { return syscall(SYS_pkey_free, key); }
static long pk_mprotect(void *p, size_t n, long prot, long key) { return syscall(SYS_pkey_mprotect, p, n, prot, key); }

static unsigned rdpkru(void)
{
	unsigned v;
	__asm__ volatile(".byte 0x0f,0x01,0xee" : "=a"(v) : "c"(0) : "edx");
	return v;
}
static void wrpkru(unsigned v) { __asm__ volatile(".byte 0x0f,0x01,0xef" ::"a"(v), "c"(0), "d"(0) : "memory"); }
static void set_key(int key, unsigned rights) { wrpkru((rdpkru() & ~(3u << 2 * key)) | rights << 2 * key); }

static bool have_pku(void)
{
	unsigned a = 7, b, c = 0, d;
	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 4 & 1;
}

static sigjmp_buf jump;
static siginfo_t info;
static unsigned handler_pkru;
static void on_segv(int sig, siginfo_t *i, void *uc)
{
	info = *i;
	handler_pkru = have_pku() ? rdpkru() : 0;
	siglongjmp(jump, sig);
}

/* => si_code of the fault, 0 when there was none */
static int probe(volatile char *p, bool write)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO }, old;
	unsigned before = rdpkru();
	int sig;

	sigaction(SIGSEGV, &sa, &old);
	sig = sigsetjmp(jump, 1);
	if (!sig) {
		if (write)
			*p = 1;
		else
			(void)*p;
	} else {
		wrpkru(before); /* a jump is no sigreturn: the handler's rights would stay */
	}
	sigaction(SIGSEGV, &old, NULL);
	return sig ? info.si_code : 0;
}

#define NEED_PKU                                     \
	do {                                         \
		if (!have_pku()) {                   \
			printf("  no PKU here\n");   \
			return;                      \
		}                                    \
	} while (0)

TEST(errors)
{
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

	CHECK_ERRNO(pk_alloc(1, 0), EINVAL);
	CHECK_ERRNO(pk_alloc(0, 4), EINVAL);
	CHECK_ERRNO(pk_free(-1), EINVAL);
	CHECK_ERRNO(pk_free(16), EINVAL);
	CHECK_ERRNO(pk_free(5), EINVAL);
	CHECK_ERRNO(pk_mprotect(p, PAGE, RW, 5), EINVAL);
	CHECK_ERRNO(pk_mprotect(p, PAGE, RW, 16), EINVAL);
	CHECK_ERRNO(pk_mprotect(p, PAGE, RW, -2), EINVAL);
	CHECK_OK(pk_mprotect(p, PAGE, RW, -1));
	CHECK_ERRNO(pk_mprotect(p + 1, PAGE, RW, -1), EINVAL);
	CHECK_ERRNO(pk_mprotect(p, PAGE, 0x100, -1), EINVAL);
	if (!have_pku()) {
		CHECK_ERRNO(pk_alloc(0, 0), ENOSPC);
		CHECK_ERRNO(pk_mprotect(p, PAGE, RW, 0), EINVAL);
	} else {
		CHECK_OK(pk_mprotect(p, PAGE, RW, 0));
	}
	munmap(p, PAGE);
}

TEST(all_keys)
{
	long keys[16];
	int n = 0;

	NEED_PKU;
	CHECK_EQ(rdpkru() & 3, 0);
	while (n < 16 && (keys[n] = pk_alloc(0, n & 3)) > 0) {
		CHECK_EQ(rdpkru() >> 2 * keys[n] & 3, n & 3);
		n++;
	}
	CHECK_EQ(n, 15);
	CHECK_ERRNO(pk_alloc(0, 0), ENOSPC);
	CHECK_OK(pk_free(keys[3]));
	CHECK_ERRNO(pk_free(keys[3]), EINVAL);
	CHECK_EQ(pk_alloc(0, 0), keys[3]);
	while (n--)
		CHECK_OK(pk_free(keys[n]));
}

TEST(access_rights)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0), buf[16] = "";
	int fd[2];

	NEED_PKU;
	memset(p, 7, 4 * PAGE);
	long k = pk_alloc(0, NO_ACCESS);
	REQUIRE(k > 0);
	CHECK_OK(pk_mprotect(p + PAGE, PAGE, RW, k));
	CHECK_EQ(probe(p, true), 0);
	CHECK_EQ(probe(p + PAGE + 9, false), SEGV_PKUERR);
	CHECK(info.si_addr == p + PAGE + 9);
	CHECK_EQ(info.si_pkey, k);
	CHECK_EQ(handler_pkru, 0x55555554);
	CHECK_EQ(probe(p + 2 * PAGE, true), 0);
	/* the kernel on our behalf is held to it too */
	CHECK_OK(pipe(fd));
	CHECK_ERRNO(write(fd[1], p + PAGE, 4), EFAULT);
	set_key(k, NO_WRITE);
	CHECK_EQ(probe(p + PAGE, false), 0);
	CHECK_EQ(probe(p + PAGE, true), SEGV_PKUERR);
	CHECK_EQ(write(fd[1], p + PAGE, 4), 4);
	CHECK_ERRNO(read(fd[0], p + PAGE, 4), EFAULT);
	set_key(k, 0);
	CHECK_EQ(probe(p + PAGE, true), 0);
	/* rights of the mapping count besides */
	CHECK_OK(pk_mprotect(p + PAGE, PAGE, PROT_READ, k));
	CHECK_EQ(probe(p + PAGE, true), SEGV_ACCERR);
	CHECK_OK(mprotect(p + PAGE, PAGE, RW)); /* keeps the key */
	set_key(k, NO_ACCESS);
	CHECK_EQ(probe(p + PAGE, false), SEGV_PKUERR);
	/* an untouched page */
	CHECK_OK(madvise(p + PAGE, PAGE, MADV_DONTNEED));
	CHECK_EQ(probe(p + PAGE, false), SEGV_PKUERR);
	/* mremap takes the key along */
	char *q = mremap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, mmap(NULL, PAGE, RW, ANON, -1, 0));
	CHECK_EQ(probe(q, false), SEGV_PKUERR);
	CHECK_OK(pk_mprotect(q, PAGE, RW, 0));
	CHECK_EQ(probe(q, true), 0);
	CHECK_OK(pk_free(k));
	munmap(p, 4 * PAGE);
	munmap(q, PAGE);
	close(fd[0]);
	close(fd[1]);
	(void)buf;
}

static void *thread_pkru(void *p)
{
	unsigned inherited = rdpkru();
	wrpkru(0x55555554);
	return (void *)(unsigned long)inherited;
}

static volatile unsigned seen;
static void on_usr1(int sig) { seen = rdpkru(); wrpkru(0); }

TEST(threads_children_handlers)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	pthread_t t;
	void *got;

	NEED_PKU;
	long k = pk_alloc(0, 0);
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	CHECK_OK(pk_mprotect(p, PAGE, RW, k));
	set_key(k, NO_WRITE);
	unsigned mine = rdpkru();
	pthread_create(&t, NULL, thread_pkru, NULL);
	pthread_join(t, &got);
	CHECK_EQ((unsigned)(unsigned long)got, mine);
	CHECK_EQ(rdpkru(), mine); /* a register of each thread */
	CHECK_EXITS(0, {
		CHECK_EQ(rdpkru(), mine);
		CHECK_EQ(probe(p, true), SEGV_PKUERR);
		CHECK_OK(pk_free(k)); /* its own copy of the map */
	});
	CHECK_OK(pk_mprotect(p, PAGE, RW, k));
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	CHECK_EQ(seen, 0x55555554);
	CHECK_EQ(rdpkru(), mine); /* sigreturn brings it back */
	for (int i = 0; i < 50; i++) {
		sched_yield();
		usleep(100);
		CHECK_EQ(rdpkru(), mine);
	}
	munmap(p, PAGE);
	pk_free(k);
}

static int smaps_key(void *at)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[256];
	unsigned long a, b;
	bool in = false;
	int key = -1;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx", &a, &b) == 2)
			in = (unsigned long)at >= a && (unsigned long)at < b;
		if (in)
			sscanf(line, "ProtectionKey: %d", &key);
	}
	if (f)
		fclose(f);
	return key;
}

/* vmsplice takes pages for the program that calls it: its rights count, and only those to read. */
TEST(pages_given_away)
{
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	struct iovec v = { p, 4 };
	int fd[2], key;

	NEED_PKU;
	CHECK_OK(pipe(fd));
	memcpy(p, "abcd", 4);
	key = pk_alloc(0, 0);
	CHECK_GT(key, 0);
	CHECK_OK(pk_mprotect(p, PAGE, RW, key));
	set_key(key, NO_ACCESS);
	CHECK_ERRNO(vmsplice(fd[1], &v, 1, 0), EFAULT);
	set_key(key, NO_WRITE);
	CHECK_EQ(vmsplice(fd[1], &v, 1, 0), 4);
	set_key(key, 0);
	CHECK_EQ(vmsplice(fd[1], &v, 1, 0), 4);
	CHECK_OK(pk_free(key));
	close(fd[0]), close(fd[1]);
	munmap(p, PAGE);
}

TEST(execute_only)
{
	NEED_PKU;
	unsigned char *p = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	long k = pk_alloc(0, 0);

	memcpy(p, "\xb8\x2a\0\0\0\xc3", 6);
	CHECK_OK(mprotect(p, PAGE, PROT_EXEC));
	CHECK_EQ(((int (*)(void))(void *)p)(), 42);
	CHECK_EQ(probe((char *)p, false), SEGV_PKUERR);
	int x = smaps_key(p);
	CHECK(x > 0 && x != k);
	CHECK_ERRNO(pk_free(x), EINVAL); /* not the program's */
	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	CHECK_EQ(probe((char *)p, false), 0);
	CHECK_EQ(smaps_key(p), 0);
	CHECK_OK(pk_mprotect(p + PAGE, PAGE, RW, k));
	CHECK_EQ(smaps_key(p + PAGE), k);
	unsigned char *q = mmap(NULL, PAGE, PROT_EXEC, ANON, -1, 0);
	CHECK_EQ(smaps_key(q), x);
	CHECK_EQ(probe((char *)q, false), SEGV_PKUERR);
	munmap(p, 2 * PAGE);
	munmap(q, PAGE);
	pk_free(k);
}

/* Keys of a huge page, and of its parts. */
TEST(huge)
{
	NEED_PKU;
	size_t len = 4ul << 20;
	char *p = mmap(NULL, len, RW, ANON, -1, 0);
	long k = pk_alloc(0, NO_ACCESS);

	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 1, len);
	CHECK_OK(pk_mprotect(p, len, RW, k));
	CHECK_EQ(probe(p + len / 2, false), SEGV_PKUERR);
	CHECK_OK(pk_mprotect(p + len / 2, PAGE, RW, 0));
	CHECK_EQ(probe(p + len / 2, true), 0);
	CHECK_EQ(probe(p + len / 2 + PAGE, false), SEGV_PKUERR);
	munmap(p, len);
	pk_free(k);
}

TEST_MAIN
