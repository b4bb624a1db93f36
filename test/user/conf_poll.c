// TIMEOUT: 60
/*
 * conf_poll.c - descriptors that wait: epoll, poll, select, eventfd, signalfd, timerfd, inotify as the
 * manual pages have them: what succeeds, each errno that can be made, the limits.
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

TEST(eventfd_calls)
{
	uint64_t v;
	int fd;

	CHECK_ERRNO(syscall(SYS_eventfd2, 0, 4), EINVAL);
	CHECK_OK(fd = syscall(SYS_eventfd, 5));
	CHECK_EQ(read(fd, &v, 8), 8);
	CHECK_EQ(v, 5);
	close(fd);
	CHECK_OK(fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
	CHECK_ERRNO(read(fd, &v, 7), EINVAL);
	v = 1;
	CHECK_ERRNO(write(fd, &v, 7), EINVAL);
	v = ~0ULL;
	CHECK_ERRNO(write(fd, &v, 8), EINVAL);
	v = ~0ULL - 1;
	CHECK_EQ(write(fd, &v, 8), 8);
	v = 1;
	CHECK_ERRNO(write(fd, &v, 8), EAGAIN);
	struct pollfd p = { fd, POLLIN | POLLOUT, 0 };
	poll(&p, 1, 0);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_ERRNO(write(fd, BAD, 8), EFAULT);
	CHECK_EQ(read(fd, &v, 8), 8);
	CHECK_EQ(v, ~0ULL - 1);
	poll(&p, 1, 0);
	CHECK_EQ(p.revents, POLLOUT);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	close(fd);
	CHECK_OK(fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(read(fd, &v, 8), 8);
		CHECK_EQ(v, 1);
	}
	CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
	close(fd);
}

TEST(epoll_calls)
{
	int ep, p[2], fd = scratch("e"), ep2, i;
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 77 }, out[4];

	CHECK_ERRNO(syscall(SYS_epoll_create, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_epoll_create, -1), EINVAL);
	CHECK_ERRNO(epoll_create1(1), EINVAL);
	CHECK_OK(ep = epoll_create1(EPOLL_CLOEXEC));
	CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	pipe(p);
	CHECK_ERRNO(epoll_ctl(-1, EPOLL_CTL_ADD, p[0], &ev), EBADF);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &ev), EBADF);
	CHECK_ERRNO(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(ep, 77, p[0], &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], BAD), EFAULT);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], NULL), EFAULT);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), EPERM);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev), ENOENT);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &ev), ENOENT);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
	CHECK_ERRNO(epoll_wait(ep, out, 0, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(ep, out, -1, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(p[0], out, 1, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(-1, out, 1, 0), EBADF);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 0);
	CHECK_EQ(epoll_wait(ep, out, 4, 10), 0);
	write(p[1], "xx", 2);
	CHECK_EQ(epoll_wait(ep, out, 4, -1), 1);
	CHECK_EQ(out[0].events, EPOLLIN);
	CHECK_EQ(out[0].data.u64, 77);
	CHECK_ERRNO(epoll_wait(ep, BAD, 4, 0), EFAULT);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	/* edge triggered, one shot */
	ev.events = EPOLLIN | EPOLLET;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 0);
	write(p[1], "x", 1);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	ev.events = EPOLLIN | EPOLLONESHOT;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 0);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	/* exclusive */
	ev.events = EPOLLIN | EPOLLEXCLUSIVE;
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev), EINVAL);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev), EINVAL);
	epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL);
	ev.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), EINVAL);
	/* nesting and loops */
	ev.events = EPOLLIN;
	CHECK_OK(ep2 = epoll_create1(0));
	CHECK_OK(epoll_ctl(ep2, EPOLL_CTL_ADD, ep, &ev));
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep2, &ev), ELOOP);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev);
	CHECK_EQ(epoll_wait(ep2, out, 4, 0), 1);
	int chain[8];
	chain[0] = ep2;
	for (i = 1; i < 8; i++) {
		chain[i] = epoll_create1(0);
		if (epoll_ctl(chain[i], EPOLL_CTL_ADD, chain[i - 1], &ev))
			break;
	}
	CHECK_EQ(i, 4);
	CHECK_EQ(errno, ELOOP);
	/* hang-up comes unasked */
	ev.events = 0;
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev);
	close(p[1]);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
	CHECK_EQ(out[0].events, EPOLLHUP);
	/* a closed file leaves by itself */
	close(p[0]);
	CHECK_EQ(epoll_wait(ep, out, 4, 0), 0);
	/* signals and masks */
	sigset_t s;
	sigemptyset(&s);
	catch(SIGALRM, SA_RESTART);
	CHECK_INTERRUPTED(epoll_wait(ep, out, 4, 1000), EINTR);
	CHECK_ERRNO(syscall(SYS_epoll_pwait, ep, out, 4, 0, &s, 4L), EINVAL);
	CHECK_ERRNO(syscall(SYS_epoll_pwait, ep, out, 4, 0, BAD, 8L), EFAULT);
	struct timespec ts = { 0, 1000000 }, tbad = { 0, 1000000000 };
	CHECK_EQ(syscall(SYS_epoll_pwait2, ep, out, 4, &ts, NULL, 0L), 0);
	CHECK_ERRNO(syscall(SYS_epoll_pwait2, ep, out, 4, &tbad, NULL, 0L), EINVAL);
	sigaddset(&s, SIGALRM);
	sigprocmask(SIG_BLOCK, &s, NULL);
	raise(SIGALRM);
	sigset_t none;
	sigemptyset(&none);
	CHECK_ERRNO(epoll_pwait(ep, out, 4, 1000, &none), EINTR);
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	for (i = 3; i < 30; i++)
		close(i);
}

/* kcmp(2) KCMP_EPOLL_TFD: which file an epoll watches under a number. */
TEST(epoll_target)
{
	struct { uint32_t efd, tfd, skip; } slot = { 0 };
	pid_t me = getpid();
	int fd[2], ep = epoll_create1(0), keep;

	CHECK_OK(pipe(fd));
	keep = dup(fd[0]);
	struct epoll_event ev = { .events = EPOLLIN };
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev));
	slot.efd = ep;
	slot.tfd = fd[0];
	CHECK_EQ(syscall(SYS_kcmp, me, me, 7, fd[0], &slot), 0);
	CHECK_EQ(syscall(SYS_kcmp, me, me, 7, keep, &slot), 0);
	CHECK(syscall(SYS_kcmp, me, me, 7, fd[1], &slot) > 0);
	slot.skip = 1;
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, fd[0], &slot), ENOENT);
	/* the number means another file now, the first is open by another name: both are watched */
	CHECK_EQ(dup2(fd[1], fd[0]), fd[0]);
	ev.events = EPOLLOUT;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev));
	int of_first = 0, of_second = 0;
	for (slot.skip = 0; slot.skip < 2; slot.skip++) {
		of_first += syscall(SYS_kcmp, me, me, 7, keep, &slot) == 0;
		of_second += syscall(SYS_kcmp, me, me, 7, fd[1], &slot) == 0;
	}
	CHECK_EQ(of_first, 1);
	CHECK_EQ(of_second, 1);
	slot.tfd = 999;
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, keep, &slot), ENOENT);
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, 999, &slot), EBADF);
	slot.efd = keep;
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, keep, &slot), EINVAL);
	slot.efd = 999;
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, keep, &slot), EBADF);
	CHECK_ERRNO(syscall(SYS_kcmp, me, me, 7, keep, BAD), EFAULT);
	close(ep), close(keep), close(fd[0]), close(fd[1]);
}

TEST(poll_select)
{
	int p[2];
	struct pollfd f[3];
	struct timespec ts = { 0, 0 }, tbad = { 0, -1 };
	struct timeval tv = { 0, 10000 }, tvbad = { -1, 0 };
	fd_set r, w, e;

	pipe(p);
	f[0] = (struct pollfd){ p[0], POLLIN, -1 };
	f[1] = (struct pollfd){ -1, POLLIN, -1 };
	f[2] = (struct pollfd){ 999, POLLIN, 0 };
	CHECK_EQ(poll(f, 3, 0), 1);
	CHECK_EQ(f[0].revents, 0);
	CHECK_EQ(f[1].revents, 0);
	CHECK_EQ(f[2].revents, POLLNVAL);
	CHECK_ERRNO(poll(BAD, 1, 0), EFAULT);
	CHECK_EQ(poll(NULL, 0, 5), 0);
	CHECK_ERRNO(syscall(SYS_ppoll, f, 1, &tbad, NULL, 8L), EINVAL);
	CHECK_EQ(syscall(SYS_ppoll, f, 1, &ts, NULL, 8L), 0);
	CHECK_ERRNO(syscall(SYS_ppoll, f, 1, &ts, &r, 5L), EINVAL);
	CHECK_ERRNO(syscall(SYS_ppoll, f, 1, BAD, NULL, 8L), EFAULT);
	struct rlimit rl;
	getrlimit(RLIMIT_NOFILE, &rl);
	CHECK_ERRNO(syscall(SYS_poll, f, (unsigned)rl.rlim_cur + 1, 0), EINVAL);
	write(p[1], "x", 1);
	CHECK_EQ(poll(f, 1, -1), 1);
	CHECK_EQ(f[0].revents, POLLIN);
	f[0].fd = p[1];
	f[0].events = POLLOUT | POLLIN;
	CHECK_EQ(poll(f, 1, -1), 1);
	CHECK_EQ(f[0].revents, POLLOUT);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(p[0], &r);
	FD_SET(p[0], &w);
	FD_SET(p[1], &w);
	FD_SET(p[1], &e);
	CHECK_EQ(select(p[1] + 1, &r, &w, &e, NULL), 2);
	CHECK(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &w) && !FD_ISSET(p[1], &e));
	CHECK_ERRNO(syscall(SYS_select, -1, &r, NULL, NULL, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_select, 3, NULL, NULL, NULL, &tvbad), EINVAL);
	CHECK_ERRNO(syscall(SYS_select, 30, BAD, NULL, NULL, NULL), EFAULT);
	FD_ZERO(&r);
	FD_SET(60, &r);
	CHECK_ERRNO(select(61, &r, NULL, NULL, NULL), EBADF);
	read(p[0], &rl, 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK_EQ(syscall(SYS_select, p[0] + 1, &r, NULL, NULL, &tv), 0);
	CHECK(!FD_ISSET(p[0], &r));
	CHECK_EQ(tv.tv_usec, 0);
	tv = (struct timeval){ 1, 0 };
	catch(SIGALRM, SA_RESTART);
	CHECK_INTERRUPTED(syscall(SYS_select, 0, NULL, NULL, NULL, &tv), EINTR);
	CHECK(tv.tv_sec == 0 && tv.tv_usec > 500000);
	CHECK_INTERRUPTED(poll(NULL, 0, 1000), EINTR);
		ts = (struct timespec){ 1, 0 };
	CHECK_INTERRUPTED(syscall(SYS_ppoll, NULL, 0, &ts, NULL, 8L), EINTR);
	CHECK(ts.tv_sec == 0 && ts.tv_nsec > 500000000);
	struct { const void *p; size_t n; } six = { &r, 4 };
	ts = (struct timespec){ 0, 0 };
	CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, &six), EINVAL);
	six.n = 8;
	six.p = BAD;
	CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, &six), EFAULT);
	CHECK_EQ(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL), 0);
	close(p[1]);
	f[0] = (struct pollfd){ p[0], 0, 0 };
	CHECK_EQ(poll(f, 1, 0), 1);
	CHECK_EQ(f[0].revents, POLLHUP);
	close(p[0]);
	pipe(p);
	close(p[0]);
	f[0] = (struct pollfd){ p[1], POLLOUT, 0 };
	CHECK_EQ(poll(f, 1, 0), 1);
	CHECK_EQ(f[0].revents, POLLOUT | POLLERR);
	close(p[1]);
	int fd = scratch("p");
	f[0] = (struct pollfd){ fd, POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM, 0 };
	poll(f, 1, 0);
	CHECK_EQ(f[0].revents, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	close(fd);
}

TEST(signalfd_calls)
{
	sigset_t m;
	int fd;
	struct signalfd_siginfo si[2];

	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGRTMIN);
	CHECK_ERRNO(syscall(SYS_signalfd4, -1, &m, 4L, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_signalfd4, -1, &m, 8L, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_signalfd4, -1, BAD, 8L, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_signalfd4, 999, &m, 8L, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_signalfd4, 0, &m, 8L, 0), EINVAL);
	sigprocmask(SIG_BLOCK, &m, NULL);
	CHECK_OK(fd = syscall(SYS_signalfd4, -1, &m, 8L, SFD_NONBLOCK | SFD_CLOEXEC));
	CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
	CHECK_ERRNO(read(fd, si, 127), EINVAL);
	raise(SIGUSR1);
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 42 });
	CHECK_EQ(read(fd, si, sizeof(si)), 256);
	CHECK_EQ(si[0].ssi_signo, SIGUSR1);
	CHECK_EQ(si[0].ssi_pid, getpid());
	CHECK_EQ(si[0].ssi_code, SI_TKILL);
	CHECK_EQ(si[1].ssi_int, 42);
	CHECK_EQ(si[1].ssi_code, SI_QUEUE);
	sigdelset(&m, SIGRTMIN);
	CHECK_EQ(syscall(SYS_signalfd4, fd, &m, 8L, 0), fd);
	kill(getpid(), SIGRTMIN);
	CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
	sigaddset(&m, SIGRTMIN);
	syscall(SYS_signalfd4, fd, &m, 8L, 0);
	CHECK_EQ(read(fd, si, sizeof(si)), 128);
	CHECK_EQ(si[0].ssi_code, SI_USER);
	close(fd);
	sigprocmask(SIG_UNBLOCK, &m, NULL);
}

TEST(timerfd_calls)
{
	int fd, f2 = scratch("t");
	uint64_t v;
	struct itimerspec it = { { 0, 5000000 }, { 0, 5000000 } }, old, bad = { { 0, 0 }, { 0, 1000000000 } };

	CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	CHECK_OK(fd = timerfd_create(CLOCK_BOOTTIME, 0));
	close(fd);
	CHECK_OK(fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
	CHECK_ERRNO(read(fd, &v, 7), EINVAL);
	CHECK_ERRNO(timerfd_settime(-1, 0, &it, NULL), EBADF);
	CHECK_ERRNO(timerfd_settime(f2, 0, &it, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(fd, 0, &bad, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(fd, 8, &it, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(fd, 0, BAD, NULL), EFAULT);
	CHECK_ERRNO(timerfd_gettime(f2, &old), EINVAL);
	CHECK_ERRNO(timerfd_gettime(fd, BAD), EFAULT);
	CHECK_OK(timerfd_settime(fd, 0, &it, NULL));
	usleep(17000);
	CHECK_EQ(read(fd, &v, 8), 8);
	CHECK_GE(v, 3);
	CHECK_OK(timerfd_gettime(fd, &old));
	CHECK_EQ(old.it_interval.tv_nsec, 5000000);
	CHECK(old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 5000000);
	it = (struct itimerspec){ 0 };
	CHECK_OK(timerfd_settime(fd, 0, &it, &old));
	CHECK_EQ(old.it_interval.tv_nsec, 5000000);
	CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
	it.it_value.tv_nsec = 1;
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
	struct pollfd p = { fd, POLLIN, 0 };
	CHECK_EQ(poll(&p, 1, 100), 1);
	CHECK_EQ(read(fd, &v, 8), 8);
	CHECK_EQ(v, 1);
	close(fd);
	close(f2);
}

TEST(inotify_calls)
{
	int fd, w, w2;
	char buf[4096] __attribute__((aligned(8)));
	struct inotify_event *e = (void *)buf;

	CHECK_ERRNO(inotify_init1(1), EINVAL);
	CHECK_OK(fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	mkdir("in", 0755);
	CHECK_ERRNO(inotify_add_watch(-1, "in", IN_CREATE), EBADF);
	CHECK_ERRNO(inotify_add_watch(0, "in", IN_CREATE), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, "nothere", IN_CREATE), ENOENT);
	CHECK_ERRNO(inotify_add_watch(fd, "in", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, BAD, IN_CREATE), EFAULT);
	close(scratch("in/f"));
	CHECK_ERRNO(inotify_add_watch(fd, "in/f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
	CHECK_OK(w = inotify_add_watch(fd, "in", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
	CHECK_EQ(inotify_add_watch(fd, "in", IN_CREATE | IN_DELETE | IN_MOVE), w);
	CHECK_ERRNO(inotify_add_watch(fd, "in", IN_CREATE | IN_MASK_CREATE), EEXIST);
	CHECK_ERRNO(inotify_add_watch(fd, "in", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
	CHECK_ERRNO(read(fd, buf, sizeof(buf)), EAGAIN);
	mkdir("in/d", 0755);
	CHECK_ERRNO(read(fd, buf, 10), EINVAL);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 32);
	CHECK_EQ(e->mask, IN_CREATE | IN_ISDIR);
	CHECK_EQ(e->wd, w);
	CHECK_EQ(e->len, 16);
	CHECK_STR(e->name, "d");
	rename("in/f", "in/g");
	int n = 0;
	ioctl(fd, FIONREAD, &n);
	CHECK_EQ(n, 64);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 64);
	uint32_t cookie = e->cookie;
	CHECK_EQ(e->mask, IN_MOVED_FROM);
	e = (void *)(buf + 32);
	CHECK_EQ(e->mask, IN_MOVED_TO);
	CHECK(cookie && e->cookie == cookie);
	e = (void *)buf;
	CHECK_OK(w2 = inotify_add_watch(fd, "in/g", IN_ALL_EVENTS));
	int f = open("in/g", O_RDWR);
	write(f, "x", 1);
	pread(f, buf, 1, 0);
	fchmod(f, 0600);
	close(f);
	unlink("in/g");
	int len = read(fd, buf, sizeof(buf));
	uint32_t seen[20];
	int k = 0;
	for (int i = 0; i < len && k < 20; i += 16 + ((struct inotify_event *)(buf + i))->len)
		seen[k++] = ((struct inotify_event *)(buf + i))->mask;
	uint32_t want[] = { IN_OPEN, IN_MODIFY, IN_ACCESS, IN_ATTRIB, IN_CLOSE_WRITE, IN_ATTRIB, IN_DELETE_SELF, IN_IGNORED, IN_DELETE };
	CHECK_EQ(k, 9);
	for (int i = 0; i < 9 && i < k; i++)
		CHECK_EQ(seen[i], want[i]);
	CHECK_ERRNO(inotify_rm_watch(fd, w2), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(-1, w), EBADF);
	CHECK_ERRNO(inotify_rm_watch(0, w), EINVAL);
	CHECK_OK(inotify_rm_watch(fd, w));
	CHECK_EQ(read(fd, buf, sizeof(buf)), 16);
	CHECK_EQ(e->mask, IN_IGNORED);
	CHECK_OK(inotify_add_watch(fd, "in", IN_CREATE | IN_ONESHOT));
	mkdir("in/e", 0755);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 48);
	close(fd);
}

TEST_MAIN
