/*
 * Pipes, FIFOs, poll, select, epoll, eventfd, timerfd, signalfd, the send buffer of local sockets.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* An edge is a change: reading half of a page is none to the reader, and none to a writer who still has no room. */
TEST(epoll_edges)
{
	char buf[4096] = { 0 };
	struct epoll_event ev = { 0 };
	int p[2], ep = epoll_create1(0);

	CHECK_OK(pipe2(p, O_NONBLOCK));
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 4096), 4096);
	for (int i = 0; i < 2; i++)
		CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[i], &(struct epoll_event){
			.events = (i ? EPOLLOUT : EPOLLIN) | EPOLLET, .data.fd = p[i] }));
	CHECK_EQ(write(p[1], buf, 4096), 4096);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.data.fd, p[0]);
	CHECK_EQ(read(p[0], buf, 2048), 2048);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	CHECK_EQ(read(p[0], buf, 2048), 2048);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.data.fd, p[1]);
	CHECK_EQ(write(p[1], buf, 1), 1); /* each write is an edge to readers */
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(write(p[1], buf, 1), 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.data.fd, p[0]);
	close(p[0]);
	close(p[1]);
	close(ep);
}

/* vmsplice waits for room, not until all of a large buffer is in. */
TEST(vmsplice_takes_what_fits)
{
	static _Alignas(4096) char big[200000]; /* aligned: a slot a page */
	struct iovec v = { big, sizeof(big) };
	int p[2];

	CHECK_OK(pipe(p));
	CHECK_EQ(vmsplice(p[1], &v, 1, 0), 65536);
	CHECK_ERRNO(vmsplice(p[1], &v, 1, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(read(p[0], big, sizeof(big)), 65536);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(vmsplice(p[1], &v, 1, 0), EPIPE);
	close(p[1]);
}

TEST(basics)
{
	char buf[100000];
	int p[2], n = 0;

	CHECK_OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(read(p[0], buf, 1), EAGAIN);
	CHECK_EQ(write(p[1], buf, sizeof buf), 65536);
	CHECK_ERRNO(write(p[1], buf, 1), EAGAIN);
	CHECK_OK(ioctl(p[0], FIONREAD, &n));
	CHECK_EQ(n, 65536);
	CHECK_EQ(read(p[0], buf, sizeof buf), 65536);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 1 << 17), 1 << 17);
	CHECK_ERRNO(lseek(p[0], 0, SEEK_SET), ESPIPE);
	close(p[1]);
	CHECK_EQ(read(p[0], buf, 1), 0);
	close(p[0]);
	CHECK_ERRNO(pipe((int *)8), EFAULT);
	signal(SIGPIPE, SIG_IGN);
	CHECK_OK(pipe(p));
	close(p[0]);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
	close(p[1]);
}

TEST(large_transfer)
{
	enum { TOTAL = 4 << 20 };
	static unsigned char buf[30011];
	int p[2];
	unsigned long sum = 0, want = 0, got = 0;

	CHECK_OK(pipe(p));
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		close(p[0]);
		for (unsigned long at = 0; at < TOTAL;) {
			unsigned long n = TOTAL - at < sizeof buf ? TOTAL - at : sizeof buf;

			for (unsigned long i = 0; i < n; i++)
				buf[i] = (at + i) * 31 >> 3;
			if (write(p[1], buf, n) != (long)n)
				_exit(1);
			at += n;
		}
		_exit(0);
	}
	close(p[1]);
	for (long n; (n = read(p[0], buf, 20000)) > 0; got += n)
		for (long i = 0; i < n; i++)
			sum += buf[i];
	for (unsigned long i = 0; i < TOTAL; i++)
		want += (unsigned char)(i * 31 >> 3);
	CHECK_EQ(got, TOTAL);
	CHECK_EQ(sum, want);
	int status;
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	close(p[0]);
}

TEST(atomic_writes)
{
	enum { WRITERS = 4, ROUNDS = 200, SIZE = 512 };
	int p[2];
	char buf[SIZE];

	CHECK_OK(pipe(p));
	fflush(NULL);
	for (int w = 0; w < WRITERS; w++)
		if (!fork()) {
			memset(buf, 'a' + w, SIZE);
			for (int i = 0; i < ROUNDS; i++)
				if (write(p[1], buf, SIZE) != SIZE)
					_exit(1);
			_exit(0);
		}
	close(p[1]);
	int records = 0;
	for (;;) {
		size_t have = 0;
		ssize_t n;

		while (have < SIZE && (n = read(p[0], buf + have, SIZE - have)) > 0)
			have += n;
		if (have < SIZE)
			break;
		records++;
		for (int i = 1; i < SIZE; i++)
			if (buf[i] != buf[0]) {
				CHECK(!"writes up to PIPE_BUF are mixed");
				i = SIZE;
			}
	}
	CHECK_EQ(records, WRITERS * ROUNDS);
	while (wait(NULL) > 0)
		;
	close(p[0]);
}

TEST(fifo)
{
	char c;

	CHECK_OK(mkfifo("ff", 0600));
	CHECK_ERRNO(open("ff", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = open("ff", O_RDONLY | O_NONBLOCK);
	CHECK_GE(r, 0);
	CHECK_EQ(read(r, &c, 1), 0);
	int w = open("ff", O_WRONLY);
	CHECK_GE(w, 0);
	CHECK_ERRNO(read(r, &c, 1), EAGAIN);
	CHECK_EQ(write(w, "f", 1), 1);
	CHECK_EQ(read(r, &c, 1), 1);
	close(r), close(w);
	CHECK_EXITS(0, pid_t pid = fork(); if (!pid) { usleep(50000); w = open("ff", O_WRONLY);
		(void)!write(w, "z", 1); _exit(0); } r = open("ff", O_RDONLY);
		CHECK_EQ(read(r, &c, 1), 1); CHECK_EQ(c, 'z'));
	unlink("ff");
}

TEST(polling)
{
	struct pollfd f[3];
	int p[2];
	long long start;

	CHECK_OK(pipe(p));
	f[0] = (struct pollfd){ .fd = p[0], .events = POLLIN };
	f[1] = (struct pollfd){ .fd = p[1], .events = POLLOUT };
	f[2] = (struct pollfd){ .fd = -1, .events = POLLIN };
	CHECK_EQ(poll(f, 3, 0), 1);
	CHECK_EQ(f[1].revents, POLLOUT);
	CHECK_EQ(f[2].revents, 0);
	start = now_ms();
	CHECK_EQ(poll(f, 1, 100), 0);
	CHECK_GE(now_ms() - start, 99);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(poll(f, 1, -1), 1);
	CHECK_EQ(f[0].revents, POLLIN);
	close(p[1]);
	CHECK_EQ(poll(f, 1, -1), 1);
	CHECK_EQ(f[0].revents, POLLIN | POLLHUP);
	f[0].fd = 999;
	CHECK_EQ(poll(f, 1, 0), 1);
	CHECK_EQ(f[0].revents, POLLNVAL);
	close(p[0]);
	CHECK_ERRNO(poll((struct pollfd *)8, 1, 0), EFAULT);
	CHECK_OK(pipe(p));
	fflush(NULL);
	if (!fork()) {
		usleep(100000);
		(void)!write(p[1], "y", 1);
		_exit(0);
	}
	f[0] = (struct pollfd){ .fd = p[0], .events = POLLIN };
	CHECK_EQ(poll(f, 1, 10000), 1);
	wait(NULL);
	close(p[0]), close(p[1]);
}

TEST(selecting)
{
	fd_set r, w;
	int p[2];
	struct timeval tv = { 0, 50000 };

	CHECK_OK(pipe(p));
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(p[0], &r);
	CHECK_EQ(syscall(SYS_select, p[1] + 1, &r, NULL, NULL, &tv), 0);
	CHECK_EQ(tv.tv_usec, 0);
	CHECK(!FD_ISSET(p[0], &r));
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(select(p[1] + 1, &r, &w, NULL, NULL), 2);
	CHECK(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
	close(p[0]), close(p[1]);
	CHECK_ERRNO(select(p[1] + 1, &r, NULL, NULL, NULL), EBADF);
}

TEST(epolling)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 77 }, got[4];
	int p[2], ep = epoll_create1(EPOLL_CLOEXEC);

	CHECK_OK(pipe(p));
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL), ENOENT);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 0);
	CHECK_EQ(write(p[1], "ab", 2), 2);
	CHECK_EQ(epoll_wait(ep, got, 4, -1), 1);
	CHECK_EQ(got[0].data.u64, 77);
	CHECK_EQ(got[0].events, EPOLLIN);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 1);		/* level triggered */
	ev.events = EPOLLIN | EPOLLET;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 1);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 0);		/* edge triggered */
	CHECK_EQ(write(p[1], "c", 1), 1);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 1);
	ev.events = EPOLLIN | EPOLLONESHOT;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 1);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 0);
	ev.events = EPOLLIN;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	close(p[1]);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 1);
	CHECK_EQ(got[0].events, EPOLLIN | EPOLLHUP);
	close(p[0]);
	CHECK_EQ(epoll_wait(ep, got, 4, 0), 0);		/* gone with its file */
	CHECK_ERRNO(epoll_wait(ep, got, 0, 0), EINVAL);
	int fd = open("plain", O_CREAT | O_RDWR, 0600);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), EPERM);
	close(fd), close(ep);
	unlink("plain");
}

TEST(event_descriptors)
{
	uint64_t v = 3;
	int e = eventfd(2, EFD_NONBLOCK);

	CHECK_EQ(write(e, &v, 8), 8);
	CHECK_EQ(read(e, &v, 8), 8);
	CHECK_EQ(v, 5);
	CHECK_ERRNO(read(e, &v, 8), EAGAIN);
	CHECK_ERRNO(read(e, &v, 4), EINVAL);
	v = ~0ull;
	CHECK_ERRNO(write(e, &v, 8), EINVAL);
	close(e);
	e = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	CHECK_EQ(read(e, &v, 8), 8);
	CHECK_EQ(v, 1);
	close(e);

	struct itimerspec it = { .it_value = { 0, 20000000 }, .it_interval = { 0, 20000000 } };
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	CHECK_OK(timerfd_settime(t, 0, &it, NULL));
	CHECK_EQ(read(t, &v, 8), 8);
	CHECK_GE(v, 1);
	usleep(100000);
	CHECK_EQ(read(t, &v, 8), 8);
	CHECK_GE(v, 4);
	close(t);

	sigset_t set;
	struct signalfd_siginfo si;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int s = signalfd(-1, &set, SFD_NONBLOCK);
	CHECK_ERRNO(read(s, &si, sizeof si), EAGAIN);
	raise(SIGUSR2);
	struct pollfd f = { .fd = s, .events = POLLIN };
	CHECK_EQ(poll(&f, 1, 1000), 1);
	CHECK_EQ(read(s, &si, sizeof si), sizeof si);
	CHECK_EQ(si.ssi_signo, SIGUSR2);
	close(s);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

TEST(ping_pong)
{
	int a[2], b[2];
	char c;

	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	fflush(NULL);
	if (!fork()) {
		for (int i = 0; i < 5000; i++)
			if (read(a[0], &c, 1) != 1 || write(b[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 5000; i++) {
		c = i;
		REQUIRE(write(a[1], &c, 1) == 1 && read(b[0], &c, 1) == 1 && c == (char)i);
	}
	int status;
	wait(&status);
	CHECK_EQ(status, 0);
}

/* SO_SNDBUF bounds what a stream has on its way, before and after it is connected. */
static void fills_up(int to, int from)
{
	static char data[65536];
	struct pollfd p = { to, POLLOUT, 0 };
	int size = 1;
	socklen_t len = sizeof(size);

	CHECK_OK(setsockopt(to, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	CHECK_OK(getsockopt(to, SOL_SOCKET, SO_SNDBUF, &size, &len));
	CHECK(size >= 2048 && size < 16384);
	long n = send(to, data, sizeof(data), MSG_DONTWAIT);
	CHECK(n > 0 && n < 16384);
	CHECK_ERRNO(send(to, data, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 0);
	while (recv(from, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	CHECK_EQ(poll(&p, 1, 0), 1);
	/* more room wakes who waits for it */
	while (send(to, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	size = 100000;
	CHECK_OK(setsockopt(to, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(send(to, data, sizeof(data), MSG_DONTWAIT) >= 16384);
}

TEST(send_buffer)
{
	int s[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fills_up(s[0], s[1]);
	fills_up(s[1], s[0]);
	close(s[0]);
	close(s[1]);
}

TEST_MAIN
