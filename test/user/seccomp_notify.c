// VARIANTS: musl
// BOOT: --smp 2
/*
 * seccomp_notify.c - listeners of seccomp filters (seccomp_unotify(2)): what a waiting call is answered, descriptors given to it, who may
 * leave when. The same program passes on Linux.
 */
#include "check.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 32
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND 2
#endif
#define RECV SECCOMP_IOCTL_NOTIF_RECV
#define SEND SECCOMP_IOCTL_NOTIF_SEND
#define VALID SECCOMP_IOCTL_NOTIF_ID_VALID
#define ADDFD SECCOMP_IOCTL_NOTIF_ADDFD

/* A filter for the calling thread that asks about getppid. */
static int listen_to(unsigned flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { 4, f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

static unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
static volatile int listener, go_on, tid;
static volatile long result;
static volatile int error;
static pthread_t caller;

/* Calls as often as it is told to. */
static void *calls(void *arg)
{
	long n = (long)arg;

	tid = syscall(SYS_gettid);
	listener = listen_to(flags);
	while (n--) {
		while (!go_on)
			usleep(1000);
		go_on = 0;
		errno = 0;
		long r = syscall(SYS_getppid, 1, 2, 3, 4, 5, 6);
		error = errno;
		result = r;
	}
	return NULL;
}

static void start(long n)
{
	listener = -2;
	go_on = 0;
	if (pthread_create(&caller, NULL, calls, (void *)n))
		abort();
	while (listener == -2)
		usleep(1000);
}

static void call(void)
{
	result = -99;
	go_on = 1;
}

static long answered(void)
{
	for (int i = 0; i < 5000 && result == -99; i++)
		usleep(1000);
	return result;
}

static uint64_t receive(void)
{
	struct seccomp_notif n = { 0 };

	CHECK_OK(ioctl(listener, RECV, &n));
	CHECK_EQ(n.pid, tid);
	CHECK_EQ(n.data.nr, SYS_getppid);
	CHECK_EQ(n.data.args[5], 6);
	return n.id;
}

static int respond(uint64_t id, long val, int err, unsigned fl)
{
	struct seccomp_notif_resp r = { id, val, err, fl };

	return ioctl(listener, SEND, &r);
}

static int ready(void)
{
	struct pollfd p = { listener, POLLIN | POLLOUT, 0 };

	poll(&p, 1, 0);
	return p.revents & (POLLIN | POLLOUT | POLLHUP);
}

TEST(answers)
{
	struct seccomp_notif dirty = { .flags = 1 };
	uint64_t id;

	start(4);
	REQUIRE(listener >= 0);
	CHECK_EQ(fcntl(listener, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(ready(), 0);
	call();
	id = receive();
	CHECK_EQ(ready(), POLLOUT);
	CHECK_OK(ioctl(listener, VALID, &id));
	CHECK_ERRNO(respond(id, 1, 0, 2), EINVAL);
	CHECK_ERRNO(respond(id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
	CHECK_ERRNO(respond(id + 100, 1, 0, 0), ENOENT);
	CHECK_EQ(result, -99);
	CHECK_OK(respond(id, 4711, 0, 0));
	CHECK_EQ(answered(), 4711);
	CHECK_ERRNO(respond(id, 1, 0, 0), ENOENT);
	CHECK_ERRNO(ioctl(listener, VALID, &id), ENOENT);
	call();
	while (ready() != POLLIN)
		usleep(1000);
	CHECK_ERRNO(ioctl(listener, RECV, &dirty), EINVAL);
	id = receive();
	CHECK_OK(respond(id, 0, -EPROTO, 0));
	CHECK_EQ(answered(), -1);
	CHECK_EQ(error, EPROTO);
	call();
	id = receive();
	CHECK_OK(respond(id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
	CHECK_EQ(answered(), getppid());
	CHECK_ERRNO(ioctl(listener, 0x1234, 0), EINVAL);
	call();
	id = receive();
	CHECK_OK(respond(id, 5, 0, 0));
	pthread_join(caller, NULL);
	for (int i = 0; i < 3000 && ready() != POLLHUP; i++)
		usleep(1000);
	CHECK_EQ(ready(), POLLHUP); /* nobody has the filter any more */
	close(listener);
}

TEST(given_descriptors)
{
	struct seccomp_notif_addfd a = { .newfd_flags = O_CLOEXEC };
	uint64_t id;
	int null = open("/dev/null", O_RDWR), fd;

	start(2);
	REQUIRE(listener >= 0);
	call();
	id = receive();
	a.id = id;
	a.srcfd = null;
	fd = ioctl(listener, ADDFD, &a);
	CHECK_GT(fd, null); /* the table is shared, so it can be seen from here */
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fd, "x", 1), 1);
	close(fd);
	a.newfd = 200;
	CHECK_ERRNO(ioctl(listener, ADDFD, &a), EINVAL);
	a.flags = SECCOMP_ADDFD_FLAG_SETFD;
	a.newfd_flags = 0;
	CHECK_EQ(ioctl(listener, ADDFD, &a), 200);
	CHECK_EQ(fcntl(200, F_GETFD), 0);
	close(200);
	a.srcfd = 999;
	CHECK_ERRNO(ioctl(listener, ADDFD, &a), EBADF);
	a.srcfd = null;
	a.id = id + 7;
	CHECK_ERRNO(ioctl(listener, ADDFD, &a), ENOENT);
	a.id = id;
	a.newfd_flags = O_NONBLOCK;
	CHECK_ERRNO(ioctl(listener, ADDFD, &a), EINVAL);
	CHECK_EQ(result, -99); /* it waits on */
	a.newfd_flags = a.newfd = 0;
	a.flags = SECCOMP_ADDFD_FLAG_SEND;
	fd = ioctl(listener, ADDFD, &a);
	CHECK_GE(fd, 0);
	CHECK_EQ(answered(), fd); /* given and answered at once */
	CHECK_OK(close(fd));
	call();
	id = receive();
	CHECK_OK(respond(id, 0, 0, 0));
	pthread_join(caller, NULL);
	close(listener);
	close(null);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(callers_that_leave)
{
	struct sigaction sa = { .sa_handler = nothing };
	uint64_t id;

	sigaction(SIGUSR1, &sa, NULL);
	start(3);
	REQUIRE(listener >= 0);
	call();
	id = receive();
	pthread_kill(caller, SIGUSR1);
	CHECK_EQ(answered(), -1);
	CHECK_EQ(error, EINTR);
	CHECK_ERRNO(respond(id, 1, 0, 0), ENOENT);
	call();
	receive();
	close(listener); /* its listener leaves */
	CHECK_EQ(answered(), -1);
	CHECK_EQ(error, ENOSYS);
	call();
	CHECK_EQ(answered(), -1);
	CHECK_EQ(error, ENOSYS);
	pthread_join(caller, NULL);
}

/* With WAIT_KILLABLE_RECV a call that was read is not left for a signal. */
TEST(callers_that_stay)
{
	uint64_t id;

	flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	start(2);
	flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	REQUIRE(listener >= 0);
	call();
	id = receive();
	pthread_kill(caller, SIGUSR1);
	usleep(50000);
	CHECK_OK(ioctl(listener, VALID, &id));
	CHECK_OK(respond(id, 8, 0, 0));
	CHECK_EQ(answered(), 8);
	call();
	while (ready() != POLLIN)
		usleep(1000);
	pthread_kill(caller, SIGUSR1); /* not read yet */
	CHECK_EQ(answered(), -1);
	CHECK_EQ(error, EINTR);
	pthread_join(caller, NULL);
	close(listener);
}

TEST_FORK(what_is_refused)
{
	unsigned avail = SECCOMP_RET_USER_NOTIF;

	CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &avail));
	CHECK_ERRNO(listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC), EINVAL);
	CHECK_ERRNO(listen_to(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), EINVAL);
	CHECK_ERRNO(listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER | 1 << 10), EINVAL);
	int fd = listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER);
	CHECK_GE(fd, 0);
	CHECK_ERRNO(listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
	close(fd);
	CHECK_GE(listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER), 0);
}

/* A child asks too, and one that is killed while it waits is gone. */
TEST_FORK(children_and_kills)
{
	struct seccomp_notif n = { 0 };
	int st;

	listener = listen_to(SECCOMP_FILTER_FLAG_NEW_LISTENER);
	REQUIRE(listener >= 0);
	pid_t p = fork();
	if (!p) {
		syscall(SYS_getppid);
		_exit(1);
	}
	CHECK_OK(ioctl(listener, RECV, &n));
	CHECK_EQ(n.pid, p);
	kill(p, SIGKILL);
	waitpid(p, &st, 0);
	CHECK(WIFSIGNALED(st));
	CHECK_ERRNO(respond(n.id, 0, 0, 0), ENOENT);
	p = fork();
	if (!p)
		_exit(syscall(SYS_getppid));
	memset(&n, 0, sizeof(n));
	CHECK_OK(ioctl(listener, RECV, &n));
	CHECK_OK(respond(n.id, 42, 0, 0));
	waitpid(p, &st, 0);
	CHECK_EQ(WEXITSTATUS(st), 42);
}

TEST_MAIN
