// DEBUG: -
/* conf_lease.c - signal-driven input (O_ASYNC, F_SETOWN, F_SETSIG) and leases (F_SETLEASE) as fcntl(2) has them. */
#include "conf.h"
#include <poll.h>
#include <sys/wait.h>

#define RT (SIGRTMIN + 3)

static int wait_signal(int sig, siginfo_t *si, long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, sig);
	return sigtimedwait(&s, si, &ts);
}

static void block(int sig)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, sig);
	sigprocmask(SIG_BLOCK, &s, NULL);
}

TEST(sigio_from_pipe_and_socket)
{
	siginfo_t si;
	char c;

	block(SIGIO);
	block(RT);
	for (int k = 0; k < 2; k++) {
		int p[2];

		CHECK_OK(k ? socketpair(AF_UNIX, SOCK_STREAM, 0, p) : pipe(p));
		CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
		CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
		CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
		CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
		CHECK_EQ(write(p[1], "x", 1), 1);
		CHECK_EQ(wait_signal(SIGIO, &si, 2000), SIGIO);
		CHECK_EQ(read(p[0], &c, 1), 1);
		CHECK_OK(fcntl(p[0], F_SETSIG, RT));
		CHECK_EQ(fcntl(p[0], F_GETSIG), RT);
		while (wait_signal(SIGIO, &si, 0) == SIGIO || wait_signal(RT, &si, 0) == RT)
			;
		CHECK_EQ(write(p[1], "x", 1), 1);
		CHECK_EQ(wait_signal(RT, &si, 2000), RT);
		CHECK_EQ(si.si_fd, p[0]);
		CHECK_EQ(si.si_code, POLL_IN);
		CHECK(si.si_band & POLLIN);
		CHECK_EQ(read(p[0], &c, 1), 1);
		while (wait_signal(RT, &si, 0) == RT)
			;
		CHECK_OK(fcntl(p[0], F_SETFL, 0)); /* off */
		CHECK_EQ(write(p[1], "x", 1), 1);
		CHECK_ERRNO(wait_signal(RT, &si, 50), EAGAIN);
		close(p[0]);
		close(p[1]);
	}
	CHECK_ERRNO(fcntl(0, F_SETSIG, 65), EINVAL);
	CHECK_ERRNO(fcntl(0, F_SETOWN, NOPID), ESRCH);
}

TEST(sigio_to_thread_and_group)
{
	struct f_owner_ex o = { F_OWNER_TID, syscall(SYS_gettid) }, g = { 0 };
	siginfo_t si;
	int p[2];

	block(SIGIO);
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[0], F_SETOWN_EX, &o));
	CHECK_OK(fcntl(p[0], F_GETOWN_EX, &g));
	CHECK_EQ(g.type, F_OWNER_TID);
	CHECK_EQ(g.pid, o.pid);
	CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_signal(SIGIO, &si, 2000), SIGIO);
	CHECK_EXITS(0, char c; setpgid(0, 0); CHECK_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
		    CHECK_EQ(read(p[0], &c, 1), 1);
		    while (wait_signal(SIGIO, &si, 0) == SIGIO);
		    CHECK_EQ(write(p[1], "x", 1), 1);
		    CHECK_EQ(wait_signal(SIGIO, &si, 2000), SIGIO));
	close(p[0]);
	close(p[1]);
}

TEST(lease_rules)
{
	int w = scratch("leased"), r;

	CHECK_ERRNO(fcntl(w, F_SETLEASE, F_RDLCK), EAGAIN); /* open for writing */
	CHECK_EQ(fcntl(w, F_GETLEASE), F_UNLCK);
	CHECK_OK(fcntl(w, F_SETLEASE, F_WRLCK));
	CHECK_EQ(fcntl(w, F_GETLEASE), F_WRLCK);
	CHECK_OK(fcntl(w, F_SETLEASE, F_UNLCK));
	CHECK_ERRNO(fcntl(w, F_SETLEASE, F_UNLCK), EAGAIN);
	CHECK_ERRNO(fcntl(w, F_SETLEASE, 77), EINVAL);
	r = open("leased", O_RDONLY);
	CHECK_ERRNO(fcntl(w, F_SETLEASE, F_WRLCK), EAGAIN); /* open twice */
	close(w);
	CHECK_OK(fcntl(r, F_SETLEASE, F_RDLCK));
	CHECK_EQ(fcntl(r, F_GETLEASE), F_RDLCK);
	int other = open("leased", O_RDONLY | O_NONBLOCK); /* readers do not break it */
	CHECK(other >= 0);
	CHECK_OK(fcntl(other, F_SETLEASE, F_RDLCK));
	close(other);
	close(r);
	w = open("leased", O_RDWR | O_NONBLOCK); /* closing removed both */
	CHECK(w >= 0);
	close(w);
	CHECK_EXITS(0, int fd = open("leased", O_RDONLY); become_nobody();
		    CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES));
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fcntl(p[0], F_SETLEASE, F_RDLCK), EINVAL);
	close(p[0]);
	close(p[1]);
}

static void lease_time(const char *s)
{
	int fd = open("/proc/sys/fs/lease-break-time", O_WRONLY);

	CHECK_EQ(write(fd, s, strlen(s)), strlen(s));
	close(fd);
}

TEST(lease_broken)
{
	siginfo_t si;
	int st, fd;
	pid_t p;

	block(SIGIO);
	close(scratch("broken"));
	for (int writer = 0; writer < 2; writer++) {
		fd = open("broken", O_RDWR);
		CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
		CHECK_ERRNO(open("broken", O_NONBLOCK | (writer ? O_WRONLY : O_RDONLY)), EAGAIN);
		CHECK_EQ(wait_signal(SIGIO, &si, 2000), SIGIO);
		p = fork();
		if (!p)
			_exit(open("broken", writer ? O_WRONLY : O_RDONLY) < 0);
		CHECK_EQ(fcntl(fd, F_GETLEASE), writer ? F_UNLCK : F_RDLCK); /* what it breaks to */
		CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
		CHECK_EQ(waitpid(p, &st, 0), p);
		CHECK_EQ(st, 0);
		close(fd);
	}
	fd = open("broken", O_RDONLY); /* truncate(2) breaks a read lease; nobody answers: a second later it is gone */
	CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	lease_time("1");
	CHECK_OK(truncate("broken", 5));
	CHECK_EQ(wait_signal(SIGIO, &si, 2000), SIGIO);
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
	lease_time("45");
	close(fd);
}

TEST_MAIN
