// DEBUG: -
// TIMEOUT: 60
/*
 * mqueues.c - POSIX message queues as mq_overview(7) and the pages of the calls have them.  The same program
 * passes on Linux.
 */
#include "conf.h"
#include <dirent.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>

#define Q "/conf_q"
#define Q2 "/conf_q2"
static struct mq_attr two = { .mq_maxmsg = 2, .mq_msgsize = 16 };

static int count;
TEST(opening)
{
	mqd_t q;
	struct mq_attr a = two;
	char long_name[300];

	mq_unlink(Q);
	mq_unlink(Q2);
	CHECK_ERRNO(mq_open(Q, O_RDWR), ENOENT);
	CHECK_OK(q = mq_open(Q, O_RDWR | O_CREAT, 0600, &two));
	CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(mq_open(Q, O_RDWR | O_CREAT | O_EXCL, 0600, &two), EEXIST);
	CHECK_ERRNO(mq_open(Q, 3), EINVAL);
	CHECK_OK(mq_getattr(q, &a));
	CHECK_EQ(a.mq_maxmsg, 2);
	CHECK_EQ(a.mq_msgsize, 16);
	CHECK_EQ(a.mq_curmsgs, 0);
	CHECK_EQ(a.mq_flags, 0);
	a = (struct mq_attr){ .mq_flags = O_NONBLOCK };
	CHECK_OK(mq_setattr(q, &a, NULL));
	CHECK_OK(mq_getattr(q, &a));
	CHECK_EQ(a.mq_flags, O_NONBLOCK);
	a.mq_flags = O_APPEND;
	CHECK_ERRNO(mq_setattr(q, &a, NULL), EINVAL);
	CHECK_ERRNO(mq_getattr(0, &a), EBADF);
	CHECK_ERRNO(mq_getattr(-1, &a), EBADF);
	a = (struct mq_attr){ .mq_maxmsg = 0, .mq_msgsize = 16 };
	CHECK_ERRNO(mq_open(Q2, O_RDWR | O_CREAT, 0600, &a), EINVAL);
	a = (struct mq_attr){ .mq_maxmsg = 2, .mq_msgsize = -1 };
	CHECK_ERRNO(mq_open(Q2, O_RDWR | O_CREAT, 0600, &a), EINVAL);
	CHECK_ERRNO(syscall(SYS_mq_open, BAD, O_RDWR, 0, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_open, "x", O_RDWR, 0, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_open, "a/b", O_RDWR | O_CREAT, 0600, 0), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, 0), ENOENT);
	memset(long_name, 'x', 299);
	long_name[299] = 0;
	CHECK_ERRNO(syscall(SYS_mq_open, long_name, O_RDWR | O_CREAT, 0600, 0), ENAMETOOLONG);
	CHECK_ERRNO(mq_unlink("/nothere"), ENOENT);
	/* rights */
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(mq_open(Q, O_RDONLY), EACCES); CHECK_ERRNO(syscall(SYS_mq_unlink, Q + 1), EPERM);
		    a = (struct mq_attr){ .mq_maxmsg = 11, .mq_msgsize = 16 };
		    CHECK_ERRNO(mq_open(Q2, O_RDWR | O_CREAT, 0600, &a), EINVAL);
		    a = (struct mq_attr){ .mq_maxmsg = 10, .mq_msgsize = 8193 };
		    CHECK_ERRNO(mq_open(Q2, O_RDWR | O_CREAT, 0600, &a), EINVAL);
		    struct rlimit l = { 1000, 1000 };
		    setrlimit(RLIMIT_MSGQUEUE, &l);
		    CHECK_ERRNO(mq_open(Q2, O_RDWR | O_CREAT, 0600, NULL), EMFILE));
	mqd_t r = mq_open(Q, O_RDONLY), w = mq_open(Q, O_WRONLY);
	CHECK_ERRNO(mq_send(r, "x", 1, 0), EBADF);
	CHECK_ERRNO(mq_receive(w, long_name, 300, NULL), EBADF);
	mq_close(r);
	mq_close(w);
	mq_close(q);
	CHECK_OK(mq_unlink(Q));
	/* default size */
	CHECK_OK(q = mq_open(Q, O_RDWR | O_CREAT, 0600, NULL));
	CHECK_OK(mq_getattr(q, &a));
	CHECK_EQ(a.mq_maxmsg, 10);
	CHECK_EQ(a.mq_msgsize, 8192);
	CHECK_OK(mq_unlink(Q));
	CHECK_OK(mq_send(q, "alive", 5, 0)); /* as long as it is open */
	mq_close(q);
}

TEST(order_and_limits)
{
	char b[64];
	unsigned prio;
	struct mq_attr a = { .mq_maxmsg = 8, .mq_msgsize = 16 };
	mqd_t q = mq_open(Q, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &a);

	CHECK_ERRNO(mq_receive(q, b, 64, &prio), EAGAIN);
	CHECK_ERRNO(mq_receive(q, b, 15, &prio), EMSGSIZE);
	CHECK_ERRNO(mq_send(q, b, 17, 0), EMSGSIZE);
	CHECK_ERRNO(mq_send(q, b, 1, 32768), EINVAL);
	CHECK_ERRNO(mq_send(q, BAD, 1, 0), EFAULT);
	CHECK_OK(mq_send(q, "a1", 2, 1));
	CHECK_OK(mq_send(q, "c5", 2, 5));
	CHECK_OK(mq_send(q, "a2", 2, 1));
	CHECK_OK(mq_send(q, "z", 1, 32767));
	CHECK_OK(mq_send(q, "", 0, 3));
	CHECK_OK(mq_send(q, "c6", 2, 5));
	static const struct { const char *s; unsigned p; } want[] = { { "z", 32767 }, { "c5", 5 }, { "c6", 5 }, { "", 3 }, { "a1", 1 }, { "a2", 1 } };
	for (int i = 0; i < 6; i++) {
		memset(b, 0, sizeof(b));
		CHECK_EQ(mq_receive(q, b, 64, &prio), (ssize_t)strlen(want[i].s));
		CHECK_STR(b, want[i].s);
		CHECK_EQ(prio, want[i].p);
	}
	struct pollfd p = { q, POLLIN | POLLOUT, 0 };
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	for (int i = 0; i < 8; i++)
		CHECK_OK(mq_send(q, "x", 1, 0));
	CHECK_ERRNO(mq_send(q, "x", 1, 0), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_EQ(syscall(SYS_read, q, b, 64), 60);
	CHECK(!memcmp(b, "QSIZE:8 ", 8));
	mq_close(q);
	mq_unlink(Q);
}

TEST(waiting)
{
	char b[16];
	struct timespec t, bad = { 0, 1000000000 };
	mqd_t q = mq_open(Q, O_RDWR | O_CREAT, 0600, &two);
	int st;

	clock_gettime(CLOCK_REALTIME, &t);
	CHECK_ERRNO(mq_timedreceive(q, b, 16, NULL, &t), ETIMEDOUT);
	t.tv_nsec += 20000000;
	if (t.tv_nsec >= 1000000000)
		t.tv_nsec -= 1000000000, t.tv_sec++;
	CHECK_ERRNO(mq_timedreceive(q, b, 16, NULL, &t), ETIMEDOUT);
	CHECK_ERRNO(mq_timedreceive(q, b, 16, NULL, &bad), EINVAL);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(mq_receive(q, b, 16, NULL), EINTR);
	pid_t p = fork();
	if (!p)
		_exit(mq_receive(q, b, 16, NULL) == 2 && b[0] == 'h' ? 0 : 1);
	usleep(20000);
	CHECK_OK(mq_send(q, "hi", 2, 0));
	waitpid(p, &st, 0);
	CHECK_EQ(st, 0);
	/* senders wait for room, and come in by their priority */
	CHECK_OK(mq_send(q, "1", 1, 5));
	CHECK_OK(mq_send(q, "2", 1, 5));
	CHECK_ERRNO(mq_timedsend(q, "3", 1, 0, &t), ETIMEDOUT);
	CHECK_INTERRUPTED(mq_send(q, "3", 1, 0), EINTR);
	p = fork();
	if (!p)
		_exit(mq_send(q, "3", 1, 9));
	usleep(20000);
	CHECK_EQ(mq_receive(q, b, 16, NULL), 1);
	CHECK_EQ(b[0], '1');
	waitpid(p, &st, 0);
	CHECK_EQ(st, 0);
	CHECK_EQ(mq_receive(q, b, 16, NULL), 1);
	CHECK_EQ(b[0], '3');
	mq_close(q);
	mq_unlink(Q);
}

TEST(notification)
{
	char b[16];
	struct sigevent e = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77 };
	mqd_t q = mq_open(Q, O_RDWR | O_CREAT, 0600, &two);

	catch(SIGUSR1, 0);
	CHECK_OK(mq_notify(q, &e));
	CHECK_ERRNO(mq_notify(q, &e), EBUSY);
	CHECK_EXITS(0, CHECK_ERRNO(mq_notify(q, &e), EBUSY); CHECK_OK(mq_notify(q, NULL)));
	CHECK_OK(mq_send(q, "x", 1, 0));
	CHECK_EQ(caught, SIGUSR1);
	CHECK_EQ(caught_info.si_code, SI_MESGQ);
	CHECK_EQ(caught_info.si_value.sival_int, 77);
	CHECK_EQ(caught_info.si_pid, getpid());
	caught = 0;
	CHECK_OK(mq_notify(q, &e)); /* not empty: nothing yet */
	CHECK_OK(mq_send(q, "x", 1, 0));
	CHECK_EQ(caught, 0);
	mq_receive(q, b, 16, NULL);
	mq_receive(q, b, 16, NULL);
	CHECK_OK(mq_send(q, "x", 1, 0));
	CHECK_EQ(caught, SIGUSR1);
	mq_receive(q, b, 16, NULL);
	e.sigev_notify = SIGEV_NONE;
	CHECK_OK(mq_notify(q, &e));
	CHECK_OK(mq_notify(q, NULL));
	CHECK_OK(mq_notify(q, NULL));
	e.sigev_notify = 99;
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &e), EINVAL);
	e = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65 };
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &e), EINVAL);
	CHECK_ERRNO(syscall(SYS_mq_notify, q, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_notify, 0, NULL), EBADF);
	mq_close(q);
	mq_unlink(Q);
}

TEST(names_in_the_tree)
{
	struct stat st;
	struct dirent *e;
	mqd_t q = mq_open(Q, O_RDWR | O_CREAT, 0640, &two);

	if (access("/dev/mqueue/conf_q", F_OK))
		goto out; /* not mounted here */
	CHECK_OK(stat("/dev/mqueue/conf_q", &st));
	CHECK_EQ(st.st_size, 80);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	DIR *d = opendir("/dev/mqueue");
	while ((e = readdir(d)))
		count += !strcmp(e->d_name, "conf_q");
	closedir(d);
	CHECK_EQ(count, 1);
	CHECK_OK(unlink("/dev/mqueue/conf_q"));
	CHECK_ERRNO(mq_open(Q, O_RDWR), ENOENT);
	int fd = open("/dev/mqueue/conf_q2", O_CREAT | O_RDWR, 0600);
	CHECK_GE(fd, 0);
	CHECK_OK(mq_send(fd, "x", 1, 0));
	close(fd);
	CHECK_OK(mq_unlink(Q2));
out:
	mq_close(q);
	mq_unlink(Q);
}

TEST_MAIN
