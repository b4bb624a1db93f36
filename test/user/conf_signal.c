// TIMEOUT: 60
/*
 * conf_signal.c - signals, clocks and timers as the manual pages have them: each call's success, each
 * errno that can be made, and what an unprivileged process may not.
 */
#include "conf.h"
#include <dirent.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static long remote_v = 5;

TEST(killing)
{
	pid_t p = sleeper();

	CHECK_ERRNO(kill(p, -1), EINVAL);
	CHECK_ERRNO(kill(p, 65), EINVAL);
	CHECK_OK(kill(p, 0));
	CHECK_ERRNO(kill(NOPID, 0), ESRCH);
	CHECK_ERRNO(kill(-NOPID, 0), ESRCH);
	CHECK_ERRNO(kill(INT_MIN, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tkill, -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, NOPID, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tkill, p, 65), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, -1, p, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, p, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), p, 0), ESRCH);
	CHECK_OK(syscall(SYS_tgkill, p, p, 0));
	siginfo_t si = { .si_code = SI_USER, .si_signo = SIGUSR1 };
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, p, SIGUSR1, &si), EPERM);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, p, SIGUSR1, BAD), EFAULT);
	si.si_code = SI_QUEUE;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, p, 65, &si), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, NOPID, 0, &si), ESRCH);
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, p, 0, &si));
	CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, -1, p, 0, &si), EINVAL);
	CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, p, p, 0, &si));
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(kill(p, 0), EPERM);
		    CHECK_OK(kill(p, SIGCONT)));
	/* pidfds */
	int fd = syscall(SYS_pidfd_open, p, 0);
	CHECK_GE(fd, 3);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_open, NOPID, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_pidfd_open, p, 0x100), EINVAL);
	CHECK_OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0x100), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 999, 0, NULL, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &si, 0), EINVAL);
	int dup = syscall(SYS_pidfd_getfd, fd, 1, 0);
	CHECK_GE(dup, 3);
	CHECK_EQ(fcntl(dup, F_GETFD), FD_CLOEXEC);
	close(dup);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, 0, 0, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 0, 1), EINVAL);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 1, 0), EPERM);
		    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), EPERM));
	/* process_vm */
	long v = 9, w = 0;
	struct iovec l = { &w, 8 }, r = { &remote_v, 8 };
	CHECK_EQ(process_vm_readv(p, &l, 1, &r, 1, 0), 8);
	CHECK_EQ(w, 5);
	l.iov_base = &v;
	CHECK_EQ(process_vm_writev(p, &l, 1, &r, 1, 0), 8);
	CHECK_EQ(remote_v, 5);
	l.iov_base = &w;
	CHECK_EQ(process_vm_readv(p, &l, 1, &r, 1, 0), 8);
	CHECK_EQ(w, 9);
	CHECK_ERRNO(process_vm_readv(p, &l, 1, &r, 1, 1), EINVAL);
	CHECK_ERRNO(process_vm_readv(NOPID, &l, 1, &r, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(p, &l, -1, &r, 1, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(p, &l, 1, &r, 1025, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(p, BAD, 1, &r, 1, 0), EFAULT);
	r.iov_base = (void *)4096;
	CHECK_ERRNO(process_vm_readv(p, &l, 1, &r, 1, 0), EFAULT);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(process_vm_readv(p, &l, 1, &r, 1, 0), EPERM));
	CHECK_ERRNO(syscall(SYS_kcmp, p, NOPID, 0, 0, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_kcmp, p, p, 99, 0, 0), EINVAL);
	CHECK_EQ(syscall(SYS_kcmp, p, getpid(), 0, 1, 1), 0);
	finish(p);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 1, 0), ESRCH);
	close(fd);
}

TEST(signal_calls)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t s, o;
	siginfo_t si;
	struct timespec ts = { 0, 10000000 };
	stack_t ss = { 0 };

	CHECK_ERRNO(sigaction(SIGKILL, &sa, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGSTOP, &sa, NULL, 8L), EINVAL);
	CHECK_OK(syscall(SYS_rt_sigaction, SIGSTOP, NULL, &sa, 8L));
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8L), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8L), EFAULT);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 77, &s, NULL, 8L), EINVAL);
	CHECK_OK(syscall(SYS_rt_sigprocmask, 77, NULL, &o, 8L));
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 0, &s, NULL, 4L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 0, BAD, NULL, 8L), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 0, NULL, BAD, 8L), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigpending, BAD, 8L), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigpending, &o, 9L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &s, 4L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, BAD, 8L), EFAULT);
	sigprocmask(SIG_BLOCK, &s, NULL);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &s, &si, &ts, 8L), EAGAIN);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &s, &si, &ts, 4L), EINVAL);
	ts.tv_nsec = -1;
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &s, &si, &ts, 8L), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, BAD, &si, NULL, 8L), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &s, &si, BAD, 8L), EFAULT);
	raise(SIGUSR1);
	sigpending(&o);
	CHECK(sigismember(&o, SIGUSR1));
	CHECK_EQ(sigwaitinfo(&s, &si), SIGUSR1);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(syscall(SYS_rt_sigtimedwait, &s, &si, NULL, 8L), EINTR);
	CHECK_INTERRUPTED(pause(), EINTR);
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	CHECK_OK(sigaltstack(NULL, &ss));
	CHECK_EQ(ss.ss_flags, SS_DISABLE);
	ss.ss_flags = 99;
	CHECK_ERRNO(sigaltstack(&ss, NULL), EINVAL);
	static char st[8192];
	ss = (stack_t){ .ss_sp = st, .ss_size = 100 };
	CHECK_ERRNO(syscall(SYS_sigaltstack, &ss, NULL), ENOMEM);
	ss.ss_size = 8192;
	CHECK_OK(sigaltstack(&ss, NULL));
	CHECK_OK(sigaltstack(NULL, &ss));
	CHECK_EQ(ss.ss_flags, 0);
	CHECK_ERRNO(syscall(SYS_sigaltstack, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_sigaltstack, NULL, BAD), EFAULT);
	ss.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&ss, NULL));
	/* the queue is limited */
	CHECK_EXITS(0, struct rlimit rl = { 3, 3 }; setuid(65532);
		    setrlimit(RLIMIT_SIGPENDING, &rl);
		    sigaddset(&s, SIGRTMIN);
		    sigprocmask(SIG_BLOCK, &s, NULL);
		    for (int i = 0; i < 3; i++)
			    CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }));
		    CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 1 }), EAGAIN);
		    CHECK_OK(kill(getpid(), SIGUSR1)));
	/* each deadly default */
	static const int core[] = { SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS };
	static const int term[] = { SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, 34, 64 };
	struct rlimit rl = { 0, 0 };
	for (unsigned i = 0; i < sizeof(core) / 4; i++) {
		int r = IN_CHILD(setrlimit(RLIMIT_CORE, &rl); signal(core[i], SIG_DFL); kill(getpid(), core[i]));
		CHECK_EQ(r & 0x7f, core[i]);
	}
	for (unsigned i = 0; i < sizeof(term) / 4; i++) {
		int r = IN_CHILD(signal(term[i], SIG_DFL); kill(getpid(), term[i]));
		CHECK_EQ(r, term[i]);
	}
	CHECK_EXITS(0, kill(getpid(), SIGCHLD); kill(getpid(), SIGURG); kill(getpid(), SIGWINCH); kill(getpid(), SIGCONT));
}

TEST(clocks_and_timers)
{
	struct timespec ts, bad = { 0, 1000000000 }, neg = { -1, 0 }, rem;
	struct timeval tv;
	struct itimerval iv = { { 0, 0 }, { 0, 10000 } }, ov;
	struct itimerspec is = { { 0, 0 }, { 100, 0 } };
	int id;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };

	CHECK_ERRNO(syscall(SYS_clock_gettime, 99, &ts), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_gettime, 0, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_getres, 99, &ts), EINVAL);
	CHECK_OK(syscall(SYS_clock_getres, 0, NULL));
	CHECK_OK(syscall(SYS_clock_getres, 1, &ts));
	CHECK_EQ(ts.tv_nsec, 1);
	for (int i = 0; i < 12; i++)
		if (i != 10 && i != 8 && i != 9)
			CHECK_OK(syscall(SYS_clock_gettime, i, &ts));
	CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &ts), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_settime, 0, &bad), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_settime, 0, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_settimeofday, BAD, NULL), EFAULT);
	tv = (struct timeval){ 100, 1000000 };
	CHECK_ERRNO(syscall(SYS_settimeofday, &tv, NULL), EINVAL);
	CHECK_EXITS(0, become_nobody(); syscall(SYS_clock_gettime, 0, &ts);
		    CHECK_ERRNO(syscall(SYS_clock_settime, 0, &ts), EPERM);
		    tv.tv_usec = 0;
		    CHECK_ERRNO(syscall(SYS_settimeofday, &tv, NULL), EPERM));
	CHECK_ERRNO(syscall(SYS_gettimeofday, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_time, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_times, BAD), EFAULT);
	/* sleeping */
	CHECK_ERRNO(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_nanosleep, &neg, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_nanosleep, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_nanosleep, 99, 0, &neg, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &rem, NULL), EOPNOTSUPP);
	ts = (struct timespec){ 0, 1 };
	CHECK_OK(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	catch(SIGALRM, 0);
		ts = (struct timespec){ 1, 0 };
	CHECK_INTERRUPTED(syscall(SYS_nanosleep, &ts, &rem), EINTR);
	CHECK(rem.tv_sec == 0 && rem.tv_nsec > 400000000);
	CHECK_INTERRUPTED(syscall(SYS_nanosleep, &ts, BAD), EFAULT);
	/* interval timers */
	CHECK_ERRNO(syscall(SYS_setitimer, 9, &iv, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_getitimer, 9, &iv), EINVAL);
	CHECK_ERRNO(syscall(SYS_getitimer, 0, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_setitimer, 0, BAD, NULL), EFAULT);
	iv.it_value.tv_usec = 1000000;
	CHECK_ERRNO(syscall(SYS_setitimer, 0, &iv, NULL), EINVAL);
	iv.it_value = (struct timeval){ 50, 0 };
	CHECK_OK(setitimer(ITIMER_REAL, &iv, NULL));
	CHECK_EQ(alarm(10), 50);
	CHECK_OK(getitimer(ITIMER_REAL, &ov));
	CHECK(ov.it_value.tv_sec == 9 || ov.it_value.tv_sec == 10);
	CHECK_EQ(alarm(0), 10);
	CHECK_EQ(alarm(0), 0);
	/* POSIX timers */
	CHECK_ERRNO(syscall(SYS_timer_create, 99, &ev, &id), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, 0, BAD, &id), EFAULT);
	CHECK_ERRNO(syscall(SYS_timer_create, 0, &ev, BAD), EFAULT);
	ev.sigev_signo = 99;
	CHECK_ERRNO(syscall(SYS_timer_create, 0, &ev, &id), EINVAL);
	ev.sigev_signo = SIGUSR1;
	ev.sigev_notify = 77;
	CHECK_ERRNO(syscall(SYS_timer_create, 0, &ev, &id), EINVAL);
	ev.sigev_notify = SIGEV_SIGNAL;
	CHECK_OK(syscall(SYS_timer_create, 0, &ev, &id));
	CHECK_ERRNO(syscall(SYS_timer_settime, 12345, 0, &is, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, BAD, NULL), EFAULT);
	is.it_value.tv_nsec = -1;
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &is, NULL), EINVAL);
	is.it_value.tv_nsec = 0;
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &is, BAD), EFAULT);
	CHECK_OK(syscall(SYS_timer_settime, id, 0, &is, NULL));
	CHECK_OK(syscall(SYS_timer_gettime, id, &is));
	CHECK_EQ(is.it_value.tv_sec, 99);
	CHECK_ERRNO(syscall(SYS_timer_gettime, id, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_timer_gettime, 12345, &is), EINVAL);
	CHECK_EQ(syscall(SYS_timer_getoverrun, id), 0);
	CHECK_ERRNO(syscall(SYS_timer_getoverrun, 12345), EINVAL);
	CHECK_OK(syscall(SYS_timer_delete, id));
	CHECK_ERRNO(syscall(SYS_timer_delete, id), EINVAL);
	CHECK_OK(syscall(SYS_timer_create, 1, NULL, &id));
	is = (struct itimerspec){ { 0, 0 }, { 0, 1000000 } };
	catch(SIGALRM, 0);
	sigset_t alarm_only, before;
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarm_only, &before); /* it may come before we wait */
	syscall(SYS_timer_settime, id, 0, &is, NULL);
	sigsuspend(&before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	CHECK_EQ(caught, SIGALRM);
	CHECK_EQ(caught_info.si_code, SI_TIMER);
	CHECK_EQ(caught_info.si_value.sival_int, id);
	syscall(SYS_timer_delete, id);
	/* adjtimex */
	struct { unsigned modes; int pad; long v[40]; } tx = { 0 };
	CHECK_GE(syscall(SYS_adjtimex, &tx), 0);
	CHECK_ERRNO(syscall(SYS_adjtimex, BAD), EFAULT);
	CHECK_GE(syscall(SYS_clock_adjtime, 0, &tx), 0);
	tx.modes = 0x4000;
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(syscall(SYS_adjtimex, &tx), EPERM));
	tx.modes = 0x4000;
	tx.v[6] = 0;
	((long *)&tx)[11] = 1;
	CHECK_ERRNO(syscall(SYS_adjtimex, &tx), EINVAL);
	tx.modes = 0x8000; /* ADJ_ADJTIME without its bit 0 */
	CHECK_ERRNO(syscall(SYS_adjtimex, &tx), EINVAL);
}

TEST_MAIN
