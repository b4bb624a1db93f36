// TIMEOUT: 60
/*
 * conf_fd.c - descriptors as the manual pages have them: dup, close, fcntl and its locks, leases.
 * Each call: what succeeds, each errno that can be made, the limits.
 */
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/file.h>

#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#endif

TEST(dup_family)
{
	struct rlimit old, low;
	int fd = scratch("d"), a, b;

	CHECK_ERRNO(dup(-1), EBADF);
	CHECK_ERRNO(dup(1000), EBADF);
	CHECK_ERRNO(dup2(-1, 5), EBADF);
	CHECK_ERRNO(dup2(fd, -1), EBADF);
	CHECK_ERRNO(dup2(1000, 1000), EBADF);
	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_ERRNO(syscall(SYS_dup3, fd, fd, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_dup3, fd, 50, O_NONBLOCK), EINVAL);
	CHECK_ERRNO(syscall(SYS_dup3, 1000, 50, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_dup3, fd, -1, O_CLOEXEC), EBADF);
	CHECK_EQ(syscall(SYS_dup3, fd, 50, O_CLOEXEC), 50);
	CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
	a = dup(50);
	CHECK_EQ(fcntl(a, F_GETFD), 0);
	CHECK_EQ(write(a, "abc", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 60;
	setrlimit(RLIMIT_NOFILE, &low);
	CHECK_ERRNO(dup2(fd, 60), EBADF);
	CHECK_EQ(dup2(fd, 59), 59);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 60), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 59), EMFILE);
	while ((b = dup(fd)) >= 0)
		;
	CHECK_EQ(errno, EMFILE);
	CHECK_ERRNO(open("d", O_RDONLY), EMFILE);
	int pp[2];
	CHECK_ERRNO(pipe(pp), EMFILE);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
	CHECK_ERRNO(epoll_create1(0), EMFILE);
	CHECK_ERRNO(eventfd(0, 0), EMFILE);
	CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 0), EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	for (int i = 3; i < 60; i++)
		close(i);
}

TEST(close_family)
{
	int fd = scratch("c"), i;

	CHECK_OK(close(fd));
	CHECK_ERRNO(close(fd), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
	fd = scratch("c");
	for (i = 40; i < 50; i++)
		dup2(fd, i);
	CHECK_ERRNO(syscall(SYS_close_range, 45, 44, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_close_range, 40, 44, 1), EINVAL);
	CHECK_OK(syscall(SYS_close_range, 40, 44, 4));
	CHECK_EQ(fcntl(42, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(45, F_GETFD), 0);
	CHECK_OK(syscall(SYS_close_range, 42, 46, 2));
	CHECK_ERRNO(fcntl(42, F_GETFD), EBADF);
	CHECK_EQ(fcntl(47, F_GETFD), 0);
	CHECK_OK(syscall(SYS_close_range, 40, ~0U, 0));
	CHECK_ERRNO(fcntl(47, F_GETFD), EBADF);
	close(fd);
}

TEST(fcntl_flags)
{
	int fd = scratch("f"), p[2], path;

	CHECK_ERRNO(fcntl(-1, F_GETFD), EBADF);
	CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(fcntl(fd, F_SETFD, 0));
	CHECK_EQ(fcntl(fd, F_GETFL) & ~0100000, O_RDWR);
	CHECK_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_CREAT | O_EXCL));
	CHECK_EQ(fcntl(fd, F_GETFL) & ~0100000, O_RDWR | O_APPEND | O_NONBLOCK);
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	CHECK_EQ(fcntl(fd, F_GETFL) & ~0100000, O_RDWR);
	CHECK_OK(fcntl(fd, F_SETFL, O_NOATIME));
	pipe(p);
	CHECK_EQ(fcntl(p[0], F_GETFL), O_RDONLY);
	CHECK_EQ(fcntl(p[1], F_GETFL), O_WRONLY);
	CHECK_OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	char c;
	CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
	path = open("f", O_PATH);
	CHECK_ERRNO(fcntl(path, F_SETFL, 0), EBADF);
	CHECK_ERRNO(fcntl(path, F_SETLK, BAD), EBADF);
	CHECK_EQ(fcntl(path, F_GETFL) & O_PATH, O_PATH);
	CHECK_OK(close(fcntl(path, F_DUPFD, 0)));
	CHECK_ERRNO(read(path, &c, 1), EBADF);
	CHECK_ERRNO(syscall(SYS_fchmod, path, 0600), EBADF);
	CHECK_ERRNO(ioctl(path, FIONREAD, &c), EBADF);
	struct stat st;
	CHECK_OK(fstat(path, &st));
	close(path);

	/* owners */
	struct { int type, pid; } ex = { 2, 0 };
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	CHECK_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
	CHECK_OK(syscall(SYS_fcntl, p[0], 16, &ex));
	CHECK_EQ(ex.type, 2);
	CHECK_EQ(ex.pid, getpgrp());
	CHECK_ERRNO(fcntl(p[0], F_SETOWN, INT_MIN), EINVAL);
	CHECK_ERRNO(fcntl(p[0], F_SETOWN, 0x3fffffff), ESRCH);
	ex.type = 9;
	CHECK_ERRNO(syscall(SYS_fcntl, p[0], 15, &ex), EINVAL);
	CHECK_ERRNO(syscall(SYS_fcntl, p[0], 15, BAD), EFAULT);
	ex.type = 0;
	ex.pid = gettid();
	CHECK_OK(syscall(SYS_fcntl, p[0], 15, &ex));
	CHECK_ERRNO(fcntl(p[0], F_SETSIG, 100), EINVAL);
	CHECK_ERRNO(fcntl(p[0], F_SETSIG, -1), EINVAL);
	CHECK_EQ(fcntl(p[0], F_GETSIG), 0);
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
	CHECK_EQ(fcntl(p[0], F_GETSIG), SIGUSR1);

	close(p[0]);
	close(p[1]);
	close(fd);
}

TEST(fcntl_pipe_size)
{
	int p[2], fd = scratch("f");
	char big[65536] = "";

	pipe(p);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1), 4096);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 5000), 8192);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 8192);
	CHECK_EQ(write(p[1], big, 8192), 8192);
	CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 0), EBUSY);
	CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 0x80000001), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_GETPIPE_SZ), EBADF);
	CHECK_ERRNO(fcntl(fd, F_SETPIPE_SZ, 4096), EBADF);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 2 << 20), EPERM);
		    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20));
	int n = 0;
	ioctl(p[0], FIONREAD, &n);
	CHECK_EQ(n, 8192);
	close(p[0]);
	close(p[1]);
	close(fd);
}

static long lk(int fd, int cmd, int type, long start, long len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &l);
}

TEST(fcntl_locks)
{
	int fd = scratch("l"), ro = open("l", O_RDONLY), wo = open("l", O_WRONLY), p[2], st;
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	CHECK_ERRNO(lk(fd, F_SETLK, 77, 0, 0), EINVAL);
	CHECK_ERRNO(lk(fd, F_SETLK, F_WRLCK, -5, 0), EINVAL);
	CHECK_ERRNO(lk(fd, F_SETLK, F_WRLCK, 5, -6), EINVAL);
	CHECK_ERRNO(lk(fd, F_SETLK, F_WRLCK, LONG_MAX, 2), EOVERFLOW);
	CHECK_ERRNO(lk(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
	CHECK_ERRNO(lk(wo, F_SETLK, F_RDLCK, 0, 0), EBADF);
	CHECK_ERRNO(fcntl(fd, F_SETLK, BAD), EFAULT);
	CHECK_ERRNO(lk(1000, F_SETLK, F_RDLCK, 0, 0), EBADF);
	l.l_whence = 9;
	CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EINVAL);
	CHECK_ERRNO(lk(fd, F_GETLK, F_UNLCK, 0, 0), EINVAL);
	CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 10, 10));
	CHECK_OK(lk(fd, F_SETLK, F_RDLCK, 15, -3));	/* 12..14 */
	CHECK_EXITS(0,
		struct flock g = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0 };
		CHECK_OK(fcntl(fd, F_GETLK, &g));
		CHECK_EQ(g.l_type, F_WRLCK);
		CHECK_EQ(g.l_start, 10);
		CHECK_EQ(g.l_len, 2);
		CHECK_EQ(g.l_pid, getppid());
		CHECK_EQ(g.l_whence, SEEK_SET);
		CHECK_ERRNO(lk(fd, F_SETLK, F_RDLCK, 5, 6), EAGAIN);
		CHECK_OK(lk(fd, F_SETLK, F_RDLCK, 12, 3));
		CHECK_ERRNO(lk(fd, F_SETLK, F_WRLCK, 12, 1), EAGAIN);
		CHECK_OK(lk(fd, F_SETLK, F_UNLCK, 0, 0)));
	/* any close gives them back */
	close(dup(fd));
	CHECK_EXITS(0, CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 0, 0)));

	/* deadlock */
	pipe(p);
	CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 0, 1));
	pid_t pid = fork();
	if (!pid) {
		lk(fd, F_SETLK, F_WRLCK, 1, 1);
		write(p[1], "x", 1);
		_exit(lk(fd, F_SETLKW, F_WRLCK, 0, 1) ? 1 : 0);
	}
	char c;
	read(p[0], &c, 1);
	usleep(50000);
	CHECK_ERRNO(lk(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	lk(fd, F_SETLK, F_UNLCK, 0, 0);
	waitpid(pid, &st, 0);
	CHECK_EQ(st, 0);

	/* a signal ends the wait */
	pid = fork();
	if (!pid) {
		lk(fd, F_SETLK, F_WRLCK, 0, 0);
		write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	read(p[0], &c, 1);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(lk(fd, F_SETLKW, F_WRLCK, 0, 1), EINTR);
	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);

	/* open file description locks */
	int o = open("l", O_RDWR);
	l = (struct flock){ .l_type = F_WRLCK, .l_pid = 1 };
	CHECK_ERRNO(fcntl(fd, 37, &l), EINVAL);
	CHECK_OK(lk(fd, 37, F_WRLCK, 0, 10));
	CHECK_ERRNO(lk(o, 37, F_RDLCK, 5, 1), EAGAIN);
	CHECK_ERRNO(lk(o, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
	l = (struct flock){ .l_type = F_RDLCK };
	CHECK_OK(fcntl(o, 36, &l));
	CHECK_EQ(l.l_type, F_WRLCK);
	CHECK_EQ(l.l_pid, -1);
	close(dup(fd));
	CHECK_ERRNO(lk(o, 37, F_RDLCK, 5, 1), EAGAIN);
	close(fd);
	CHECK_OK(lk(o, 37, F_RDLCK, 5, 1));
	close(o);
	close(ro);
	close(wo);
	close(p[0]);
	close(p[1]);
}

#include <sys/file.h>
TEST(flock_calls)
{
	int a = scratch("fl"), b = open("fl", O_RDONLY), d;

	CHECK_ERRNO(flock(-1, LOCK_SH), EBADF);
	CHECK_ERRNO(flock(a, 0), EINVAL);
	CHECK_ERRNO(flock(a, LOCK_SH | LOCK_EX), EINVAL);
	CHECK_OK(flock(a, LOCK_EX));
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	d = dup(a);
	CHECK_OK(flock(d, LOCK_SH));
	CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(b, LOCK_UN));
	CHECK_OK(flock(b, LOCK_UN));
	CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
	close(a);
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(flock(b, LOCK_SH), EINTR);
	close(d);
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
	close(b);
}

/* Once refused: a descriptor that is only a place can be duplicated like any other. */
TEST(dup2_of_a_place)
{
	int p = open("/", O_PATH), q = dup(p);

	CHECK_EQ(dup2(p, 150), 150);
	CHECK(fcntl(150, F_GETFL) & O_PATH);
	CHECK_EQ(syscall(SYS_dup3, p, 151, O_CLOEXEC), 151);
	CHECK_EQ(fcntl(151, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(dup2(149, 150), EBADF);
	CHECK_GE(fcntl(150, F_GETFL), 0); /* what was there stays */
	close(p);
	close(q);
	close(150);
	close(151);
}

TEST_MAIN
