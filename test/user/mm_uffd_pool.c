/*
 * userfaultfd on memory objects' write protection and on huge pages of pools: missing, minor, copies of 2 MiB, protection that outlives
 * entries, fork, alignment; the pool's promises are kept.
 */
// BOOT: --smp 2 --memory 1G
// TIMEOUT: 60
#include "uffd.h"
#include <pthread.h>

#define H (2ul << 20)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define HUGETLB 0x40000

static long number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

static long pool(const char *what)
{
	char path[96];

	snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	return number(path);
}

static bool pool_size(long n)
{
	char text[16];
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY), len = snprintf(text, sizeof text, "%ld", n);
	bool ok = fd >= 0 && write(fd, text, len) == len;

	close(fd);
	return ok && pool("nr_hugepages") == n;
}

static bool uffd_wp_bit(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 e = 0;

	if (pread(fd, &e, 8, (u64)p / PAGE * 8) != 8)
		e = 0;
	close(fd);
	return e >> 57 & 1;
}

static void kernel_checks(void)
{
	int fd = open("/proc/sys/vm/check", O_WRONLY);

	CHECK_EQ(write(fd, "1", 1), 1);
	close(fd);
	CHECK_EQ(number("/proc/sys/vm/check"), 0);
}

/* A thread that writes to an address, and what the reader of the descriptor hears of it. */
static struct { volatile char *at; pthread_t thread; } toucher;

static void *write_one(void *arg)
{
	*toucher.at = (char)(long)arg;
	return NULL;
}

static void *read_one(void *arg)
{
	(void)arg;
	return (void *)(long)*toucher.at;
}

static void begin_touch(void *(*fn)(void *), volatile char *at, long value)
{
	toucher.at = at;
	pthread_create(&toucher.thread, NULL, fn, (void *)value);
}

static long end_touch(void)
{
	void *r = NULL;

	pthread_join(toucher.thread, &r);
	return (long)r;
}

static int go_on(int fd, void *p, size_t len)
{
	struct fill f = { { (u64)p, len }, 0, 0 };

	return ioctl(fd, UFFDIO_CONTINUE, &f);
}

TEST(features)
{
	struct api a = { 0xaa, 0, 0 };
	int fd = uffd_raw(O_CLOEXEC);

	CHECK_OK(ioctl(fd, UFFDIO_API, &a));
	CHECK_EQ(a.features, 0x1fff);
	close(fd);
}

TEST(protected_object)
{
	char *p = mmap(NULL, 64 * PAGE, RW, SHARED, -1, 0);
	int fd = uffd_open(0);
	struct msg m;

	REQUIRE(p != MAP_FAILED && fd >= 0);
	memset(p, 1, 32 * PAGE); /* the rest is not there yet */
	CHECK_OK(add(fd, p, 64 * PAGE, WP));
	CHECK_OK(protect(fd, p, 64 * PAGE, 1));
	CHECK(uffd_wp_bit(p) && uffd_wp_bit(p + 40 * PAGE));
	CHECK_EQ(p[0] + p[40 * PAGE], 1); /* reading is free, and changes nothing */
	CHECK(uffd_wp_bit(p + 40 * PAGE));
	for (int i = 0; i < 2; i++) {
		char *at = p + (i ? 40 : 3) * PAGE;

		begin_touch(write_one, at, 9);
		REQUIRE(next(fd, &m));
		CHECK_EQ(m.event, EV_FAULT);
		CHECK_EQ(m.a, 3); /* written, protected */
		CHECK_EQ(m.b, (u64)at);
		CHECK_OK(protect(fd, at, PAGE, 0));
		end_touch();
		CHECK_EQ(*at, 9);
		CHECK(!uffd_wp_bit(at));
	}
	/* the entry goes, the protection stays */
	CHECK_OK(madvise(p, 16 * PAGE, MADV_DONTNEED));
	CHECK(uffd_wp_bit(p + PAGE) && !uffd_wp_bit(p + 3 * PAGE));
	CHECK_EQ(p[PAGE] + p[3 * PAGE], 10);
	CHECK_OK(madvise(p + PAGE, PAGE, MADV_REMOVE));
	begin_touch(write_one, p + PAGE, 5);
	REQUIRE(next(fd, &m));
	CHECK_EQ(m.a, 3);
	CHECK_OK(protect(fd, p + PAGE, PAGE, 0));
	end_touch();
	CHECK_EQ(p[PAGE], 5);
	/* rights given back do not lift it */
	CHECK_OK(mprotect(p, 8 * PAGE, PROT_READ));
	CHECK_OK(mprotect(p, 8 * PAGE, RW));
	begin_touch(write_one, p + 5 * PAGE, 6);
	REQUIRE(next(fd, &m));
	CHECK_OK(protect(fd, p + 5 * PAGE, PAGE, 0));
	end_touch();
	kernel_checks();
	close(fd);
	CHECK(!uffd_wp_bit(p + PAGE) && !uffd_wp_bit(p + 50 * PAGE));
	memset(p, 2, 64 * PAGE);
	munmap(p, 64 * PAGE);
}

/* A copy that arrives protected, into an object. */
TEST(copy_protected)
{
	char *p = mmap(NULL, 4 * PAGE, RW, SHARED, -1, 0);
	static char from[PAGE] __attribute__((aligned(4096)));
	int fd = uffd_open(0);
	struct msg m;

	REQUIRE(p != MAP_FAILED && fd >= 0);
	memset(from, 7, PAGE);
	CHECK_OK(add(fd, p, 4 * PAGE, MISSING | WP));
	CHECK_OK(copy_in(fd, p, from, PAGE, 2));
	CHECK(uffd_wp_bit(p));
	CHECK_EQ(p[9], 7);
	begin_touch(write_one, p, 8);
	REQUIRE(next(fd, &m));
	CHECK_EQ(m.a, 3);
	CHECK_OK(protect(fd, p, PAGE, 0));
	end_touch();
	CHECK_EQ(p[0] + p[1], 15);
	close(fd);
	munmap(p, 4 * PAGE);
}

static void one_pool(int flags)
{
	char *p, *from = mmap(NULL, H, RW, ANON, -1, 0);
	int fd = uffd_open(0);
	struct reg r;
	struct msg m;

	REQUIRE(from != MAP_FAILED && fd >= 0);
	p = mmap(NULL, 4 * H, RW, flags | MAP_ANONYMOUS | HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(pool("resv_hugepages"), 4);
	memset(from, 0x31, H);
	CHECK_ERRNO(add(fd, p + PAGE, H, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, p, H + PAGE, MISSING), EINVAL);
	r = (struct reg){ { (u64)p, 4 * H }, MISSING | WP, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &r));
	CHECK_EQ(r.ioctls, 1 << 2 | 1 << 3 | 1 << 6); /* wake, copy, protect: no pages of zeros */
	begin_touch(read_one, p + 5 * PAGE + 7, 0);
	REQUIRE(next(fd, &m));
	CHECK_EQ(m.event, EV_FAULT);
	CHECK_EQ(m.a, 0);
	CHECK_EQ(m.b, (u64)p); /* the huge page's */
	CHECK_ERRNO(copy_in(fd, p, from, PAGE, 0), EINVAL);
	CHECK_ERRNO(copy_in(fd, p + PAGE, from, H, 0), EINVAL);
	CHECK_ERRNO(copy_in(fd, p, (char *)H, H, 0), EFAULT);
	CHECK_EQ(pool("resv_hugepages"), 4); /* nothing was used up */
	CHECK_OK(copy_in(fd, p, from, H, 0));
	CHECK_EQ(end_touch(), 0x31);
	CHECK_EQ(p[H - 1], 0x31);
	CHECK_EQ(pool("resv_hugepages"), 3);
	CHECK_ERRNO(copy_in(fd, p, from, H, 0), EEXIST);
	/* protection: of a page that is there, of a place where none is, of a copy */
	CHECK_ERRNO(protect(fd, p, PAGE, 1), EINVAL);
	CHECK_OK(protect(fd, p, 2 * H, 1));
	CHECK(uffd_wp_bit(p) && uffd_wp_bit(p + H));
	CHECK_OK(copy_in(fd, p + 2 * H, from, H, 2));
	CHECK(uffd_wp_bit(p + 2 * H));
	for (int i = 0; i < 3; i += 2) {
		begin_touch(write_one, p + i * H + 9 * PAGE, 4);
		REQUIRE(next(fd, &m));
		CHECK_EQ(m.a, 3);
		CHECK_EQ(m.b, (u64)p + i * H);
		CHECK_OK(protect(fd, p + i * H, H, 0));
		end_touch();
		CHECK_EQ(p[i * H + 9 * PAGE] + p[i * H + 1], 0x35);
	}
	kernel_checks();
	close(fd);
	CHECK_EQ(p[H] + p[3 * H], 0);
	p[H] = 1;
	munmap(p, 4 * H);
	munmap(from, H);
	CHECK_EQ(pool("free_hugepages"), 8);
	CHECK_EQ(pool("resv_hugepages"), 0);
}

TEST(pool_shared)
{
	REQUIRE(pool_size(8));
	one_pool(MAP_SHARED);
}

TEST(pool_private)
{
	REQUIRE(pool_size(8));
	one_pool(MAP_PRIVATE);
}

TEST(pool_minor)
{
	int f = syscall(SYS_memfd_create, "x", 4u /* MFD_HUGETLB */), fd = uffd_open(0);
	char *p, *q;
	struct msg m;

	REQUIRE(pool_size(8) && f >= 0 && fd >= 0);
	CHECK_OK(ftruncate(f, 2 * H));
	p = mmap(NULL, 2 * H, RW, MAP_SHARED, f, 0);
	q = mmap(NULL, 2 * H, RW, MAP_SHARED, f, 0);
	REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
	memset(q, 3, 2 * H);
	CHECK_OK(add(fd, p, 2 * H, MINOR));
	begin_touch(read_one, p + H + 3, 0);
	REQUIRE(next(fd, &m));
	CHECK_EQ(m.a, 4);
	CHECK_EQ(m.b, (u64)p + H);
	q[H + 3] = 5; /* what it is to see */
	CHECK_OK(go_on(fd, p + H, H));
	CHECK_EQ(end_touch(), 5);
	p[H + 4] = 6;
	CHECK_EQ(q[H + 4], 6);
	CHECK_ERRNO(go_on(fd, p + H, H), EEXIST);
	CHECK_ERRNO(go_on(fd, p, PAGE), EINVAL);
	kernel_checks();
	munmap(p, 2 * H);
	munmap(q, 2 * H);
	close(fd);
	close(f);
	CHECK_EQ(pool("free_hugepages"), 8);
}

static void *take_fork(void *arg)
{
	int fd = (int)(long)arg;
	struct msg m;

	return next(fd, &m) && m.event == EV_FORK ? (void *)(long)(int)m.a : (void *)-1l;
}

/* The child's memory is protected where the parent's was. */
TEST(fork_keeps_protection)
{
	char *p = mmap(NULL, 8 * PAGE, RW, SHARED, -1, 0), *h;
	int fd = uffd_open(F_FORK), st;
	pthread_t reader;
	void *child;
	pid_t pid;

	REQUIRE(p != MAP_FAILED && fd >= 0 && pool_size(8));
	h = mmap(NULL, 2 * H, RW, SHARED | HUGETLB, -1, 0);
	REQUIRE(h != MAP_FAILED);
	memset(p, 1, 4 * PAGE);
	h[0] = 1;
	CHECK_OK(add(fd, p, 8 * PAGE, WP));
	CHECK_OK(add(fd, h, 2 * H, WP));
	CHECK_OK(protect(fd, p, 8 * PAGE, 1));
	CHECK_OK(protect(fd, h, 2 * H, 1));
	pthread_create(&reader, NULL, take_fork, (void *)(long)fd);
	pid = fork(); /* waits for the reader */
	if (!pid)
		_exit(!(uffd_wp_bit(p) && uffd_wp_bit(p + 6 * PAGE) && uffd_wp_bit(h) && uffd_wp_bit(h + H)));
	pthread_join(reader, &child);
	CHECK_GE((long)child, 0);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(st, 0);
	kernel_checks();
	close((int)(long)child);
	close(fd);
	munmap(p, 8 * PAGE);
	munmap(h, 2 * H);
	CHECK(pool_size(0));
}

TEST_MAIN
