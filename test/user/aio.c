// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* Asynchronous I/O by its system calls: the ring, what is done at once, waiting for readiness, cancelling, limits. */
#include "conf.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static long setup(unsigned n, aio_context_t *c) { return syscall(SYS_io_setup, n, c); }
static long destroy(aio_context_t c) { return syscall(SYS_io_destroy, c); }
static long submit(aio_context_t c, long n, struct iocb **v) { return syscall(SYS_io_submit, c, n, v); }
static long cancel(aio_context_t c, struct iocb *i, struct io_event *e) { return syscall(SYS_io_cancel, c, i, e); }
static long events(aio_context_t c, long min, long n, struct io_event *e, struct timespec *t)
{
	return syscall(SYS_io_getevents, c, min, n, e, t);
}

static struct timespec none;

static struct iocb iocb(int op, int fd, const void *buf, size_t n, long off)
{
	return (struct iocb){ .aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = n,
			      .aio_offset = off, .aio_data = 0x1234 };
}

static long submit_one(aio_context_t c, struct iocb *i)
{
	return submit(c, 1, &i);
}

static long sysctl_value(const char *path)
{
	long v = -1;
	FILE *f = fopen(path, "r");

	if (f) {
		if (fscanf(f, "%ld", &v) != 1)
			v = -1;
		fclose(f);
	}
	return v;
}

TEST(contexts)
{
	aio_context_t c = 0, d = 0;
	long before = sysctl_value("/proc/sys/fs/aio-nr"), max = sysctl_value("/proc/sys/fs/aio-max-nr");

	CHECK_GE(before, 0);
	CHECK_ERRNO(setup(0, &c), EINVAL);
	CHECK_ERRNO(setup(1, BAD), EFAULT);
	CHECK_ERRNO(setup(max + 1, &c), EAGAIN);
	c = 1;
	CHECK_ERRNO(setup(1, &c), EINVAL);
	c = 0;
	CHECK_OK(setup(5, &c));
	CHECK_OK(setup(7, &d));
	CHECK_NE(c, d);
	CHECK_EQ(sysctl_value("/proc/sys/fs/aio-nr"), before + 12);
	unsigned *ring = (unsigned *)c; /* id, nr, head, tail, magic, features, incompatible features, header */
	CHECK_EQ(ring[4], 0xa10a10a1);
	CHECK_EQ(ring[7], 32);
	CHECK_GE(ring[1], 5);
	CHECK_EQ(ring[2] | ring[3], 0);
	CHECK_EXITS(0, CHECK_ERRNO(destroy(c), EINVAL)); /* not the child's */
	CHECK_OK(destroy(c));
	CHECK_ERRNO(destroy(c), EINVAL);
	CHECK_ERRNO(events(c, 0, 1, NULL, &none), EINVAL);
	CHECK_ERRNO(submit(c, 0, NULL), EINVAL);
	CHECK_OK(destroy(d));
	CHECK_EXITS(0, c = 0; CHECK_OK(setup(100, &c))); /* given up at the end of the process */
	for (int i = 0; i < 100 && sysctl_value("/proc/sys/fs/aio-nr") != before; i++)
		usleep(10000);
	CHECK_EQ(sysctl_value("/proc/sys/fs/aio-nr"), before);
}

TEST(reading_and_writing)
{
	aio_context_t c = 0;
	char in[64] = { 0 }, a[4], b[8];
	struct io_event e[8] = { 0 };
	int fd = scratch("aio-file");
	struct iovec v[2] = { { a, 4 }, { b, 8 } };

	REQUIRE(!setup(8, &c));
	struct iocb w = iocb(IOCB_CMD_PWRITE, fd, "hello, world", 12, 3), r = iocb(IOCB_CMD_PREAD, fd, in, 64, 0);
	struct iocb vec = iocb(IOCB_CMD_PREADV, fd, v, 2, 3), sync = iocb(IOCB_CMD_FSYNC, fd, NULL, 0, 0);
	struct iocb *all[] = { &w, &r, &vec, &sync };
	CHECK_EQ(submit(c, 4, all), 4);
	CHECK_EQ(events(c, 4, 8, e, NULL), 4);
	CHECK_EQ(e[0].res, 12);
	CHECK_EQ(e[0].data, 0x1234);
	CHECK_EQ(e[0].obj, (uintptr_t)&w);
	CHECK_EQ(e[1].res, 15);
	CHECK(!memcmp(in, "\0\0\0hello, world", 16));
	CHECK_EQ(e[2].res, 12);
	CHECK(!memcmp(a, "hell", 4) && !memcmp(b, "o, world", 8));
	CHECK_EQ(e[3].res, 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0); /* the position is not touched */
	w.aio_rw_flags = RWF_APPEND;
	CHECK_EQ(submit_one(c, &w), 1);
	CHECK_EQ(events(c, 1, 1, e, NULL), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 27);
	/* what the operation says is the event's, what is wrong with the request is the call's */
	struct iocb fault = iocb(IOCB_CMD_PREAD, fd, (void *)4096, 5, 0);
	CHECK_EQ(submit_one(c, &fault), 1);
	CHECK_EQ(events(c, 1, 1, e, NULL), 1);
	CHECK_EQ(e[0].res, -EFAULT);
	close(fd);
	destroy(c);
}

TEST(what_submit_refuses)
{
	aio_context_t c = 0;
	char buf[8];
	int fd = scratch("aio-file"), ro = open("aio-file", O_RDONLY);
	struct iocb good = iocb(IOCB_CMD_PREAD, fd, buf, 8, 0), bad;
	struct iocb *two[2] = { &good, &bad };
	struct io_event e[4];

	REQUIRE(!setup(4, &c));
	bad = iocb(IOCB_CMD_PREAD, -1, buf, 8, 0);
	CHECK_ERRNO(submit_one(c, &bad), EBADF);
	CHECK_EQ(submit(c, 2, two), 1); /* up to the first that is refused */
	CHECK_EQ(events(c, 1, 4, e, NULL), 1);
	bad = iocb(IOCB_CMD_PWRITE, ro, buf, 8, 0);
	CHECK_ERRNO(submit_one(c, &bad), EBADF);
	bad = iocb(99, fd, buf, 8, 0);
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	bad = iocb(IOCB_CMD_PREAD, fd, buf, 8, -1);
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	bad = iocb(IOCB_CMD_PREAD, fd, buf, -1ul, 0);
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	bad = iocb(IOCB_CMD_PREAD, fd, BAD, 8192, 0);
	CHECK_ERRNO(submit_one(c, &bad), EFAULT);
	bad = iocb(IOCB_CMD_FSYNC, fd, buf, 0, 0);
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	bad = good;
	bad.aio_reserved2 = 1;
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	bad = good;
	bad.aio_rw_flags = 0x4000;
	CHECK_ERRNO(submit_one(c, &bad), EOPNOTSUPP);
	bad = good;
	bad.aio_flags = IOCB_FLAG_RESFD;
	bad.aio_resfd = fd;
	CHECK_ERRNO(submit_one(c, &bad), EINVAL);
	CHECK_ERRNO(submit(c, 1, BAD), EFAULT);
	CHECK_ERRNO(submit(c, 1, (struct iocb *[]){ BAD }), EFAULT);
	CHECK_ERRNO(submit(c, -1, two), EINVAL);
	CHECK_EQ(submit(c, 0, two), 0);
	CHECK_ERRNO(events(c, 2, 1, e, NULL), EINVAL);
	CHECK_ERRNO(events(c, -1, 1, e, NULL), EINVAL);
	CHECK_EQ(events(c, 0, 4, e, NULL), 0);
	CHECK_EQ(events(c, 1, 4, e, &none), 0);
	CHECK_EQ(events(c, 1, 4, e, &(struct timespec){ 0, 10000000 }), 0);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(events(c, 1, 4, e, NULL), EINTR);
	close(fd);
	close(ro);
	destroy(c);
}

/* No more requests than the ring has room for; what a program takes from it by itself makes room. */
TEST(a_full_ring)
{
	aio_context_t c = 0;
	char buf[1];
	struct iocb r = iocb(IOCB_CMD_PREAD, scratch("aio-file"), buf, 1, 0);
	struct io_event e[2];
	long n = 0;

	REQUIRE(!setup(1, &c));
	unsigned *ring = (unsigned *)c;
	while (n < 10000 && submit_one(c, &r) == 1)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_LT(n, ring[1]); /* one slot tells full from empty */
	CHECK_GE(n, ring[1] / 2); /* Linux keeps some for each CPU */
	CHECK_EQ(ring[3], n);
	CHECK_EQ(events(c, 2, 2, e, NULL), 2);
	CHECK_EQ(ring[2], 2);
	ring[2] = ring[3];
	for (long i = 0; i < n / 2; i++)
		CHECK_EQ(submit_one(c, &r), 1);
	while (submit_one(c, &r) == 1)
		;
	CHECK_EQ(errno, EAGAIN);
	ring[2] = 0xfffffff0; /* nonsense stays the program's own */
	ring[3] = 0xfffffff0;
	ring[1] = 1u << 30;
	(void)events(c, 0, 2, e, &none);
	(void)submit_one(c, &r);
	CHECK_OK(destroy(c));
	close(r.aio_fildes);
}

TEST(readiness)
{
	aio_context_t c = 0;
	struct io_event e[4];
	int p[2], efd = eventfd(0, EFD_NONBLOCK);
	uint64_t told;

	REQUIRE(!setup(4, &c) && !pipe(p));
	struct iocb in = iocb(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0), out = iocb(IOCB_CMD_POLL, p[1], (void *)POLLOUT, 0, 0);
	in.aio_flags = IOCB_FLAG_RESFD;
	in.aio_resfd = efd;
	CHECK_EQ(submit(c, 2, (struct iocb *[]){ &in, &out }), 2);
	CHECK_EQ(events(c, 1, 4, e, NULL), 1); /* writable at once */
	CHECK_EQ(e[0].obj, (uintptr_t)&out);
	CHECK(e[0].res & POLLOUT);
	CHECK_EQ(events(c, 1, 4, e, &(struct timespec){ 0, 20000000 }), 0);
	CHECK_EQ(read(efd, &told, 8), -1);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(events(c, 1, 4, e, NULL), 1);
	CHECK_EQ(e[0].obj, (uintptr_t)&in);
	CHECK(e[0].res & POLLIN);
	CHECK_EQ(read(efd, &told, 8), 8);
	CHECK_EQ(told, 1);
	/* cancelled: its event says nothing is ready */
	char byte;
	CHECK_EQ(read(p[0], &byte, 1), 1);
	CHECK_EQ(submit_one(c, &in), 1);
	CHECK_ERRNO(cancel(c, &out, e), EINVAL);
	CHECK_ERRNO(cancel(c, &in, e), EINPROGRESS);
	CHECK_EQ(events(c, 1, 4, e, NULL), 1);
	CHECK_EQ(e[0].res, 0);
	CHECK_ERRNO(cancel(c, &in, e), EINVAL);
	CHECK_ERRNO(cancel(c, BAD, e), EFAULT);
	/* still waiting when the context goes */
	CHECK_EQ(submit_one(c, &in), 1);
	CHECK_OK(destroy(c));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EXITS(0, c = 0; CHECK_OK(setup(4, &c)); CHECK_EQ(read(p[0], &byte, 1), 1); CHECK_EQ(submit_one(c, &in), 1));
	CHECK_EQ(write(p[1], "x", 1), 1);
	close(p[0]);
	close(p[1]);
	close(efd);
}

static aio_context_t shared;
static int pipes[2][2], rounds;

static void *feed(void *arg)
{
	int fd = pipes[(long)arg][1];

	for (int i = 0; i < rounds; i++)
		if (write(fd, "x", 1) != 1)
			return (void *)1;
	return NULL;
}

/* Wake-ups and ends from two sides at once: each submission has exactly one event. */
TEST(readiness_raced)
{
	pthread_t t[2];
	struct io_event e;
	char byte;
	struct iocb in[2];
	int got[2] = { 0 };

	rounds = 2000;
	shared = 0;
	REQUIRE(!setup(8, &shared));
	for (long i = 0; i < 2; i++) {
		REQUIRE(!pipe(pipes[i]));
		in[i] = iocb(IOCB_CMD_POLL, pipes[i][0], (void *)POLLIN, 0, 0);
		in[i].aio_data = i;
		REQUIRE(submit_one(shared, &in[i]) == 1);
		REQUIRE(!pthread_create(&t[i], NULL, feed, (void *)i));
	}
	for (int n = 0; n < 2 * rounds; n++) {
		REQUIRE(events(shared, 1, 1, &e, &(struct timespec){ 20, 0 }) == 1);
		REQUIRE(e.data < 2 && e.res & POLLIN);
		REQUIRE(read(pipes[e.data][0], &byte, 1) == 1);
		if (++got[e.data] < rounds)
			REQUIRE(submit_one(shared, &in[e.data]) == 1);
	}
	CHECK_EQ(got[0], rounds);
	CHECK_EQ(got[1], rounds);
	CHECK_EQ(events(shared, 1, 1, &e, &none), 0);
	for (long i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	CHECK_OK(destroy(shared));
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(waiting_with_a_mask)
{
	aio_context_t c = 0;
	struct io_event e;
	sigset_t block, empty, now;
	struct { const sigset_t *set; size_t n; } with = { &empty, 8 };
	struct sigaction sa = { .sa_handler = nothing };

	REQUIRE(!setup(1, &c));
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&empty);
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	raise(SIGALRM);
	CHECK_ERRNO(syscall(SYS_io_pgetevents, c, 1, 1, &e, NULL, &with), EINTR);
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGALRM));
	with.n = 4;
	CHECK_ERRNO(syscall(SYS_io_pgetevents, c, 1, 1, &e, NULL, &with), EINVAL);
	CHECK_EQ(syscall(SYS_io_pgetevents, c, 1, 1, &e, &none, NULL), 0);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	destroy(c);
}

TEST_MAIN
