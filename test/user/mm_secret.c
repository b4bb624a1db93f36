/* memfd_secret(2), where the command line allows it. */
// BOOT: --append secretmem.enable=1
#include "fail.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE P
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

TEST(secret)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	char buf[64] = "";

	REQUIRE(fd >= 0);
	CHECK_ERRNO(syscall(SYS_memfd_secret, 1), EINVAL);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(ftruncate(fd, 4 * PAGE));
	CHECK_ERRNO(ftruncate(fd, 8 * PAGE), EINVAL);
	CHECK_ERRNO(read(fd, buf, 1), EINVAL);
	CHECK_ERRNO(write(fd, buf, 1), EINVAL);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(p[i * PAGE], 0);
		memset(p + i * PAGE, 'a' + i, PAGE);
	}
	/* copies on our own behalf work, from outside not */
	int pf[2];
	CHECK_OK(pipe(pf));
	CHECK_EQ(write(pf[1], p, 8), 8);
	CHECK_EQ(read(pf[0], p + PAGE, 8), 8);
	CHECK_EQ(p[PAGE + 7], 'a');
	struct iovec l = { buf, 8 }, r = { p, 8 };
	CHECK_ERRNO(process_vm_readv(getpid(), &l, 1, &r, 1, 0), EFAULT);
	int mem = open("/proc/self/mem", O_RDONLY);
	CHECK_EQ(pread(mem, buf, 8, (off_t)(long)p), -1);
	close(mem);
	/* a child shares it */
	CHECK_EXITS(0, { CHECK_EQ(p[2 * PAGE], 'c'); p[3 * PAGE] = 'z'; });
	CHECK_EQ(p[3 * PAGE], 'z');
	munmap(p, 4 * PAGE);
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	CHECK_EQ(p[3 * PAGE], 'z');
	munmap(p, 4 * PAGE);
	close(fd);
	CHECK_EXITS(0, {
		struct rlimit lim = { 2 * PAGE, 2 * PAGE };
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &lim));
		CHECK_OK(setuid(1000));
		fd = syscall(SYS_memfd_secret, 0);
		CHECK_OK(ftruncate(fd, 4 * PAGE));
		CHECK(mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED);
		CHECK_EQ(errno, EAGAIN);
		CHECK(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0) != MAP_FAILED);
	});
}

/* Pages come back: many rounds, and what others get afterwards is usable and clean. */
TEST(given_back)
{
	for (int k = 0; k < 20; k++) {
		int fd = syscall(SYS_memfd_secret, 0);
		CHECK_OK(ftruncate(fd, 64 * PAGE));
		char *p = mmap(NULL, 64 * PAGE, RW, MAP_SHARED, fd, 0);
		memset(p, 0x5a, 64 * PAGE);
		munmap(p, 64 * PAGE);
		close(fd);
		p = mmap(NULL, 256 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		bool clean = true;
		for (size_t i = 0; i < 256 * PAGE; i += 512)
			clean &= !p[i];
		CHECK(clean);
		memset(p, 1, 256 * PAGE);
		munmap(p, 256 * PAGE);
	}
}

/* With every allocation failing in turn: no descriptor, no page of which the direct map knows nothing, is left. */
static int secret_fd;
static int c_secret(void)
{
	int err = 0;
	char *p;

	TRY(secret_fd = syscall(SYS_memfd_secret, 0));
	TRY(ftruncate(secret_fd, 4 * PAGE));
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, secret_fd, 0);
	TRY((long)p);
	p[0] = p[3 * PAGE] = 1;
	munmap(p, 4 * PAGE);
out:
	if (secret_fd >= 0)
		close(secret_fd);
	return err;
}

TEST(secret_without_memory)
{
	static const struct fail_case c[] = { FAIL("memfd_secret", NULL, c_secret, NULL, .child = true) };

	FAIL_FAMILY(c);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
