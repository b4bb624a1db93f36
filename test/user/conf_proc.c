// TIMEOUT: 60
/*
 * conf_proc.c - processes, identities, limits and scheduling as the manual pages have them: each call's
 * success, each errno that can be made, and what an unprivileged process may not.
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

TEST(identities)
{
	uid_t r, e, s;
	gid_t g[4] = { 1, 2, 3, 4 };

	CHECK_OK(syscall(SYS_getresuid, &r, &e, &s));
	CHECK_ERRNO(syscall(SYS_getresuid, BAD, &e, &s), EFAULT);
	CHECK_ERRNO(syscall(SYS_getresgid, &r, &e, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_setuid, -1), EINVAL);
	CHECK_ERRNO(syscall(SYS_setgid, -1), EINVAL);
	CHECK_ERRNO(syscall(SYS_setgroups, 65537, g), EINVAL);
	CHECK_ERRNO(syscall(SYS_setgroups, -1, g), EINVAL);
	CHECK_ERRNO(syscall(SYS_setgroups, 2, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_getgroups, -1, g), EINVAL);
	CHECK_EXITS(0, CHECK_OK(syscall(SYS_setgroups, 4, g));
		    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 4);
		    CHECK_ERRNO(syscall(SYS_getgroups, 3, g), EINVAL);
		    CHECK_ERRNO(syscall(SYS_getgroups, 4, BAD), EFAULT);
		    CHECK_EQ(syscall(SYS_getgroups, 4, g), 4));
	CHECK_EXITS(0,
		CHECK_OK(syscall(SYS_setresuid, 1000, 1001, 1002));
		syscall(SYS_getresuid, &r, &e, &s);
		CHECK(r == 1000 && e == 1001 && s == 1002);
		CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM);
		CHECK_ERRNO(syscall(SYS_setuid, 1001 + 100), EPERM);
		CHECK_OK(syscall(SYS_setuid, 1002));
		CHECK_EQ(geteuid(), 1002);
		CHECK_OK(syscall(SYS_setresuid, -1, 1000, -1));
		CHECK_ERRNO(syscall(SYS_setresuid, 5, -1, -1), EPERM);
		CHECK_ERRNO(syscall(SYS_setreuid, 5, -1), EPERM);
		CHECK_ERRNO(syscall(SYS_setreuid, -1, 5), EPERM);
		CHECK_OK(syscall(SYS_setreuid, 1000, 1002));
		syscall(SYS_getresuid, &r, &e, &s);
		CHECK(r == 1000 && e == 1002 && s == 1002);
		CHECK_ERRNO(syscall(SYS_setgroups, 1, g), EPERM);
		CHECK_OK(syscall(SYS_setgid, getgid()));
		CHECK_ERRNO(syscall(SYS_setgid, 77), EPERM));
	CHECK_EXITS(0,
		CHECK_OK(syscall(SYS_setresgid, 10, 11, 12));
		CHECK_OK(syscall(SYS_setresuid, 1000, 1000, 1000));
		CHECK_ERRNO(syscall(SYS_setregid, 12, -1), EPERM);
		CHECK_OK(syscall(SYS_setregid, 11, 12));
		CHECK_ERRNO(syscall(SYS_setresgid, 13, -1, -1), EPERM);
		CHECK_EQ(syscall(SYS_setfsgid, 13), 12);
		CHECK_EQ(syscall(SYS_setfsgid, -1), 12));
	/* capabilities go with the ids */
	CHECK_EXITS(0,
		struct { unsigned v; int pid; } h = { 0x20080522, 0 };
		struct { unsigned e; unsigned p; unsigned i; } d[2];
		CHECK_OK(syscall(SYS_capget, &h, d));
		CHECK_NE(d[0].e, 0);
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
		CHECK_OK(setuid(1000));
		CHECK_OK(syscall(SYS_capget, &h, d));
		CHECK_EQ(d[0].e, 0);
		CHECK_NE(d[0].p, 0);
		d[0].e = 1 << 7;
		d[0].p = 1 << 7;
		d[1].e = d[1].p = d[1].i = 0;
		CHECK_OK(syscall(SYS_capset, &h, d));
		d[0].p = ~0;
		CHECK_ERRNO(syscall(SYS_capset, &h, d), EPERM);
		CHECK_OK(setuid(1234));
		h.v = 1;
		CHECK_ERRNO(syscall(SYS_capget, &h, d), EINVAL);
		CHECK_EQ(h.v, 0x20080522);
		h.pid = -1;
		CHECK_ERRNO(syscall(SYS_capget, &h, d), EINVAL);
		h.pid = NOPID;
		CHECK_ERRNO(syscall(SYS_capget, &h, d), ESRCH);
		h.pid = 1;
		CHECK_ERRNO(syscall(SYS_capset, &h, d), EPERM);
		CHECK_ERRNO(syscall(SYS_capget, BAD, d), EFAULT));
}

TEST(groups_and_sessions)
{
	pid_t p;

	CHECK_ERRNO(getpgid(-1), ESRCH);
	CHECK_ERRNO(getpgid(NOPID), ESRCH);
	CHECK_ERRNO(getsid(NOPID), ESRCH);
	CHECK_ERRNO(getsid(-1), ESRCH);
	CHECK_ERRNO(setpgid(-1, 0), EINVAL);
	CHECK_ERRNO(setpgid(0, -1), EINVAL);
	CHECK_ERRNO(setpgid(1, 1), ESRCH);
	CHECK_EXITS(0, CHECK_OK(setpgid(0, 0)); CHECK_EQ(getpgrp(), getpid());
		    CHECK_ERRNO(setsid(), EPERM);
		    CHECK_ERRNO(setpgid(0, 1), EPERM);
		    CHECK_ERRNO(setpgid(0, NOPID), EPERM));
	CHECK_EXITS(0, CHECK_EQ(setsid(), getpid()); CHECK_EQ(getsid(0), getpid());
		    CHECK_ERRNO(setpgid(0, 0), EPERM);
		    CHECK_ERRNO(setsid(), EPERM));
	p = sleeper();
	CHECK_OK(setpgid(p, p));
	CHECK_EQ(getpgid(p), p);
	finish(p);
	p = fork();
	if (!p) {
		execve("/proc/self/exe", (char *[]){ "x", NULL }, (char *[]){ "CONF_SELF=sleeping", NULL });
		_exit(1);
	}
	usleep(100000);
	CHECK_ERRNO(setpgid(p, p), EACCES);
	finish(p);
}

TEST(waiting)
{
	int st;
	struct rusage ru;
	siginfo_t si;
	pid_t p;

	CHECK_ERRNO(waitpid(-1, &st, 0), ECHILD);
	CHECK_ERRNO(waitpid(1, &st, 0), ECHILD);
	CHECK_ERRNO(waitpid(-1, &st, 0x100), EINVAL);
	CHECK_ERRNO(syscall(SYS_wait4, INT_MIN, &st, 0, NULL), ESRCH);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, 0), EINVAL);
	CHECK_ERRNO(waitid(77, 0, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, 0, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, -3, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, WEXITED), ECHILD);
	CHECK_ERRNO(waitid(P_PIDFD, 999, &si, WEXITED), EBADF);
	CHECK_ERRNO(waitid(P_PIDFD, 0, &si, WEXITED), EBADF);
	p = sleeper();
	CHECK_EQ(waitpid(-1, &st, WNOHANG), 0);
	si.si_pid = 5;
	CHECK_OK(waitid(P_PID, p, &si, WEXITED | WNOHANG));
	CHECK_EQ(si.si_pid, 0);
	CHECK_ERRNO(waitid(P_PID, 1, &si, WEXITED), ECHILD);
	CHECK_EQ(waitpid(p, &st, WNOHANG | WUNTRACED), 0);
	kill(p, SIGSTOP);
	CHECK_EQ(waitpid(p, &st, WUNTRACED), p);
	CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	CHECK_EQ(waitpid(p, &st, WNOHANG | WUNTRACED), 0);
	kill(p, SIGCONT);
	CHECK_EQ(waitpid(p, &st, WCONTINUED), p);
	CHECK(WIFCONTINUED(st));
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(waitpid(p, &st, 0), EINTR);
	kill(p, SIGTERM);
	CHECK_OK(waitid(P_PID, p, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_pid, p);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGTERM);
	CHECK_EQ(si.si_signo, SIGCHLD);
	CHECK_EQ(syscall(SYS_wait4, p, &st, 0, &ru), p);
	CHECK_EQ(st, SIGTERM);
	p = fork();
	if (!p)
		_exit(3);
	CHECK_ERRNO(syscall(SYS_wait4, p, BAD, 0, NULL), EFAULT);
	CHECK_ERRNO(waitpid(p, &st, 0), ECHILD);
	/* nobody waits */
	signal(SIGCHLD, SIG_IGN);
	p = fork();
	if (!p)
		_exit(0);
	CHECK_ERRNO(waitpid(p, &st, 0), ECHILD);
	signal(SIGCHLD, SIG_DFL);
	CHECK_ERRNO(waitpid(-getpgrp() - 1000, &st, 0), ECHILD);
}

static int thread_fn(void *a)
{
	return *(int *)a;
}

TEST(cloning)
{
	static char stack[65536] __attribute__((aligned(16)));
	int v = 7, st, pidfd = -1;
	pid_t p;
	struct { uint64_t flags, pidfd, ctid, ptid, sig, stack, size, tls, set, setn, cgroup; } c = { 0 };

	CHECK_OK(p = clone(thread_fn, stack + 65536, SIGCHLD, &v));
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(WEXITSTATUS(st), 7);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID, 0, 0, 0, 0), EINVAL);
	CHECK_OK(p = clone(thread_fn, stack + 65536, CLONE_PIDFD | SIGCHLD, &v, &pidfd));
	CHECK_GE(pidfd, 3);
	CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(waitpid(p, &st, 0), p);
	close(pidfd);
	/* without a signal only __WALL or __WCLONE sees it */
	CHECK_OK(p = clone(thread_fn, stack + 65536, 0, &v));
	usleep(10000);
	CHECK_ERRNO(waitpid(p, &st, 0), ECHILD);
	CHECK_EQ(waitpid(p, &st, __WCLONE), p);
	CHECK_ERRNO(syscall(SYS_clone3, &c, 8L), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone3, BAD, 64L), EFAULT);
	CHECK_ERRNO(syscall(SYS_clone3, &c, 5000L), E2BIG);
	c.flags = SIGCHLD;
	CHECK_ERRNO(syscall(SYS_clone3, &c, 64L), EINVAL);
	c.flags = 0;
	c.sig = 100;
	CHECK_ERRNO(syscall(SYS_clone3, &c, 64L), EINVAL);
	c.sig = SIGCHLD;
	c.size = 100;
	CHECK_ERRNO(syscall(SYS_clone3, &c, 64L), EINVAL);
	c.size = 0;
	c.setn = 1;
	CHECK_ERRNO(syscall(SYS_clone3, &c, 80L), EINVAL);
	CHECK_ERRNO(syscall(SYS_set_robust_list, NULL, 1L), EINVAL);
	void *hp; size_t hl;
	CHECK_ERRNO(syscall(SYS_get_robust_list, NOPID, &hp, &hl), ESRCH);
	CHECK_OK(syscall(SYS_get_robust_list, 0, &hp, &hl));
	CHECK_EQ(hl, 24);
	/* the number of processes */
	CHECK_EXITS(0, struct rlimit rl = { 0, 0 };
		    setuid(65533);
		    setrlimit(RLIMIT_NPROC, &rl);
		    CHECK_ERRNO(fork(), EAGAIN));
}

TEST(executing)
{
	int fd;
	char *argv[] = { "x", NULL };
	static char huge[200000];

	memset(huge, 'a', sizeof(huge) - 1);
	fd = open("ex", O_RDWR | O_CREAT, 0644);
	write(fd, "junk", 4);
	CHECK_ERRNO(execve("ex", argv, NULL), EACCES);
	fchmod(fd, 0755);
	CHECK_ERRNO(execve("ex", argv, NULL), ETXTBSY);
	close(fd);
	CHECK_ERRNO(execve("ex", argv, NULL), ENOEXEC);
	CHECK_ERRNO(execve(".", argv, NULL), EACCES);
	CHECK_ERRNO(execve("ex", BAD, NULL), EFAULT);
	CHECK_ERRNO(execve("/proc/self/exe", (char *[]){ "x", huge, NULL }, NULL), E2BIG);
	CHECK_ERRNO(execve("/proc/self/exe", (char *[]){ "x", BAD, NULL }, NULL), EFAULT);
	CHECK_EXITS(0, struct rlimit rl = { 100, 100 }; setrlimit(RLIMIT_STACK, &rl);
		    huge[131000] = 0; CHECK_ERRNO(execve("/proc/self/exe", (char *[]){ "x", huge, huge, NULL }, NULL), E2BIG));
	CHECK_ERRNO(syscall(SYS_execveat, -1, "ex", argv, NULL, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "ex", argv, NULL, 0x8000), EINVAL);
	symlink("ex", "exl");
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "exl", argv, NULL, AT_SYMLINK_NOFOLLOW), ELOOP);
	fd = open("ex", O_RDONLY);
	CHECK_ERRNO(syscall(SYS_execveat, fd, "x", argv, NULL, 0), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH), ENOEXEC);
	close(fd);
	fd = open("/proc/self/exe", O_RDONLY);
	CHECK_EXITS(42, syscall(SYS_execveat, fd, "", (char *[]){ "x", NULL }, (char *[]){ "CONF_SELF=leave42", NULL }, AT_EMPTY_PATH));
	close(fd);
	fd = open("sc", O_RDWR | O_CREAT, 0755);
	write(fd, "#!/nothere\n", 11);
	close(fd);
	CHECK_ERRNO(execve("sc", argv, NULL), ENOENT);
	fd = open("sc", O_RDWR | O_TRUNC);
	write(fd, "#!./sc\n", 7);
	close(fd);
	CHECK_ERRNO(execve("sc", argv, NULL), ELOOP);
	/* a script by a descriptor that its interpreter would find closed */
	fd = open("sc", O_RDWR | O_TRUNC);
	write(fd, "#!/proc/self/exe\n", 17);
	close(fd);
	fd = open("sc", O_RDONLY | O_CLOEXEC);
	CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH), ENOENT);
	close(fd);
	fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_ERRNO(syscall(SYS_execveat, fd, "sc", argv, NULL, 0), ENOENT);
	fcntl(fd, F_SETFD, 0);
	CHECK_EXITS(42, syscall(SYS_execveat, fd, "sc", (char *[]){ "x", NULL }, (char *[]){ "CONF_SELF=leave42", NULL }, 0));
	close(fd);
}

TEST(limits)
{
	struct rlimit rl;
	struct rusage ru;

	CHECK_ERRNO(getrlimit(99, &rl), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrlimit, 99, &rl), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrlimit, 1, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_setrlimit, 1, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_setrlimit, 99, &rl), EINVAL);
	rl = (struct rlimit){ 10, 5 };
	CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_CPU, &rl), EINVAL);
	rl = (struct rlimit){ 1 << 21, 1 << 21 };
	CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, &rl), EPERM);
	CHECK_ERRNO(syscall(SYS_prlimit64, NOPID, RLIMIT_CPU, NULL, &rl), ESRCH);
	CHECK_ERRNO(syscall(SYS_prlimit64, 0, 99, NULL, &rl), EINVAL);
	CHECK_ERRNO(syscall(SYS_prlimit64, 0, 1, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_prlimit64, 0, 1, NULL, BAD), EFAULT);
	CHECK_EXITS(0, pid_t parent = getppid(); become_nobody();
		    getrlimit(RLIMIT_NOFILE, &rl);
		    rl.rlim_max++;
		    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &rl), EPERM);
		    CHECK_ERRNO(syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, &rl), EPERM));
	CHECK_ERRNO(getrusage(99, &ru), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrusage, 0, BAD), EFAULT);
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
	CHECK_GT(ru.ru_maxrss, 0);
	CHECK_OK(getrusage(RUSAGE_THREAD, &ru));
	/* CPU time limit */
	int st = IN_CHILD(struct rlimit r1 = { 1, 2 }; signal(SIGXCPU, SIG_DFL); setrlimit(RLIMIT_CPU, &r1);
			  struct rlimit c0 = { 0, 0 }; setrlimit(RLIMIT_CORE, &c0);
			  for (;;) ;);
	CHECK_EQ(st & 0x7f, SIGXCPU);
}

TEST(scheduling)
{
	struct sched_param sp = { 0 };
	struct timespec ts;
	unsigned long mask[16] = { 0 };
	pid_t p = sleeper();
	struct { unsigned size, policy; uint64_t flags; int nice; unsigned prio; uint64_t rt, dl, period; unsigned umin, umax; } at = { .size = 48 };

	errno = 0;
	CHECK_ERRNO(getpriority(9, 0), EINVAL);
	CHECK_ERRNO(getpriority(PRIO_PROCESS, NOPID), ESRCH);
	CHECK_ERRNO(getpriority(PRIO_PGRP, NOPID), ESRCH);
	CHECK_ERRNO(setpriority(9, 0, 0), EINVAL);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, NOPID, 0), ESRCH);
	CHECK_OK(setpriority(PRIO_PROCESS, p, 100));
	CHECK_EQ(getpriority(PRIO_PROCESS, p), 19);
	CHECK_OK(setpriority(PRIO_PROCESS, p, -100));
	CHECK_EQ(getpriority(PRIO_PROCESS, p), -20);
	setpriority(PRIO_PROCESS, p, 0);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(setpriority(PRIO_PROCESS, p, 1), EPERM);
		    CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
		    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 4), EACCES);
		    errno = 0;
		    CHECK_EQ(nice(3), 8);
		    CHECK_ERRNO(nice(-1), EPERM);
		    sp.sched_priority = 1;
		    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &sp), EPERM);
		    sp.sched_priority = 0;
		    CHECK_OK(syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &sp));
		    CHECK_ERRNO(syscall(SYS_sched_setscheduler, p, SCHED_BATCH, &sp), EPERM);
		    CHECK_ERRNO(syscall(SYS_sched_setaffinity, p, 8L, (long[]){ 1 }), EPERM));
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_FIFO), 99);
	CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_RR), 1);
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_OTHER), 0);
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_DEADLINE), 0);
	CHECK_ERRNO(syscall(SYS_sched_get_priority_max, 99), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, p, 99, &sp), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, -1, 0, &sp), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, NOPID, 0, &sp), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, p, 0, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, p, 0, NULL), EINVAL);
	sp.sched_priority = 5;
	CHECK_ERRNO(syscall(SYS_sched_setscheduler, p, SCHED_OTHER, &sp), EINVAL);
	CHECK_OK(syscall(SYS_sched_setscheduler, p, SCHED_RR | SCHED_RESET_ON_FORK, &sp));
	CHECK_EQ(syscall(SYS_sched_getscheduler, p), SCHED_RR | SCHED_RESET_ON_FORK);
	CHECK_OK(syscall(SYS_sched_rr_get_interval, p, &ts));
	CHECK_EQ(ts.tv_nsec, 100000000);
	sp.sched_priority = 0;
	CHECK_ERRNO(syscall(SYS_sched_setparam, p, &sp), EINVAL);
	sp.sched_priority = 100;
	CHECK_ERRNO(syscall(SYS_sched_setparam, p, &sp), EINVAL);
	sp.sched_priority = 7;
	CHECK_OK(syscall(SYS_sched_setparam, p, &sp));
	CHECK_OK(syscall(SYS_sched_getparam, p, &sp));
	CHECK_EQ(sp.sched_priority, 7);
	CHECK_ERRNO(syscall(SYS_sched_getparam, p, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getparam, -1, &sp), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getparam, NOPID, &sp), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_getparam, p, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_sched_setparam, -1, &sp), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getscheduler, NOPID), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, -1, &ts), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, NOPID, &ts), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, 0, BAD), EFAULT);
	CHECK_OK(syscall(SYS_sched_getattr, p, &at, 48, 0));
	CHECK_EQ(at.policy, SCHED_RR);
	CHECK_EQ(at.prio, 7);
	CHECK_EQ(at.flags, 1);
	CHECK_ERRNO(syscall(SYS_sched_getattr, p, &at, 40, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getattr, p, &at, 48, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getattr, NOPID, &at, 48, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_getattr, p, NULL, 48, 0), EINVAL);
	at.size = 48;
	at.policy = 0;
	at.nice = 5;
	at.prio = 0;
	CHECK_OK(syscall(SYS_sched_setattr, p, &at, 0));
	CHECK_EQ(getpriority(PRIO_PROCESS, p), 5);
	CHECK_ERRNO(syscall(SYS_sched_setattr, p, &at, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_setattr, p, NULL, 0), EINVAL);
	at.size = 4000;
	CHECK_ERRNO(syscall(SYS_sched_setattr, p, &at, 0), E2BIG);
	CHECK_ERRNO(syscall(SYS_sched_setaffinity, p, 8L, mask), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_setaffinity, p, 8L, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_sched_setaffinity, NOPID, 8L, mask), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, p, 0L, mask), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, p, 9L, mask), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, p, 128L, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, NOPID, 128L, mask), ESRCH);
	CHECK_GT(syscall(SYS_sched_getaffinity, p, 128L, mask), 0);
	CHECK_OK(syscall(SYS_getcpu, NULL, NULL, NULL));
	CHECK_ERRNO(syscall(SYS_getcpu, BAD, NULL, NULL), EFAULT);
	/* I/O priority */
	CHECK_OK(syscall(SYS_ioprio_get, 1, 0));
	CHECK_OK(syscall(SYS_ioprio_set, 1, p, (2 << 13) | 3));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, p), (2 << 13) | 3);
	CHECK_ERRNO(syscall(SYS_ioprio_set, 1, p, 7 << 13), EINVAL);
	CHECK_ERRNO(syscall(SYS_ioprio_set, 9, p, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_ioprio_get, 9, p), EINVAL);
	CHECK_ERRNO(syscall(SYS_ioprio_get, 1, NOPID), ESRCH);
	CHECK_ERRNO(syscall(SYS_ioprio_set, 1, NOPID, 0), ESRCH);
	finish(p);
}

TEST(facts)
{
	struct utsname u;
	struct sysinfo si;
	char host[70] = "";
	unsigned char r[300];

	CHECK_OK(uname(&u));
	CHECK_STR(u.sysname, "Linux");
	CHECK_STR(u.machine, "x86_64");
	CHECK_ERRNO(syscall(SYS_uname, BAD), EFAULT);
	CHECK_OK(sysinfo(&si));
	CHECK(si.totalram && si.mem_unit && si.procs);
	CHECK_ERRNO(syscall(SYS_sysinfo, BAD), EFAULT);
	CHECK_ERRNO(sethostname(host, -1), EINVAL);
	CHECK_ERRNO(sethostname(host, 65), EINVAL);
	CHECK_ERRNO(syscall(SYS_sethostname, BAD, 5), EFAULT);
	CHECK_ERRNO(syscall(SYS_setdomainname, BAD, 5), EFAULT);
	CHECK_ERRNO(syscall(SYS_setdomainname, host, 65), EINVAL);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(sethostname("x", 1), EPERM);
		    CHECK_ERRNO(syscall(SYS_setdomainname, "x", 1), EPERM);
		    CHECK_ERRNO(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, 0), EPERM);
		    CHECK_ERRNO(syscall(SYS_vhangup), EPERM);
		    CHECK_ERRNO(syscall(SYS_swapon, "x", 0), EPERM);
		    CHECK_ERRNO(syscall(SYS_swapoff, "x"), EPERM);
		    CHECK_ERRNO(syscall(SYS_acct, "x"), EPERM);
		    CHECK_ERRNO(syscall(SYS_init_module, r, 10, ""), EPERM);
		    CHECK_ERRNO(syscall(SYS_delete_module, "x", 0), EPERM);
		    CHECK_ERRNO(syscall(SYS_iopl, 3), EPERM);
		    CHECK_ERRNO(syscall(SYS_ioperm, 0x80, 1, 1), EPERM));
	CHECK_ERRNO(syscall(SYS_reboot, 1, 2, 3, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_iopl, 4), EINVAL);
	CHECK_EQ(syscall(SYS_getrandom, r, 256, 0), 256);
	CHECK_EQ(syscall(SYS_getrandom, r, 10, 1), 10);
	CHECK_EQ(syscall(SYS_getrandom, r, 10, 2), 10);
	CHECK_ERRNO(syscall(SYS_getrandom, r, 10, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrandom, r, 10, 6), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrandom, BAD, 10, 0), EFAULT);
	int old = personality(0xffffffff);
	CHECK_EQ(old, 0);
	CHECK_EQ(personality(ADDR_NO_RANDOMIZE), old);
	CHECK_EQ(personality(0), ADDR_NO_RANDOMIZE);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1003, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1002, -1L), EPERM);
	CHECK_ERRNO(syscall(SYS_sysfs, 9), EINVAL);
	CHECK_GT(syscall(SYS_sysfs, 3), 0);
	CHECK_ERRNO(syscall(SYS_sysfs, 1, "nofs"), EINVAL);
	CHECK_ERRNO(syscall(SYS_membarrier, 0x4000, 0, 0), EINVAL);
	CHECK_GT(syscall(SYS_membarrier, 0, 0, 0), 0);
	CHECK_ERRNO(syscall(SYS_membarrier, 0, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_quotactl, 0, "x", 0, NULL), errno);
	CHECK_ERRNO(syscall(1000), ENOSYS);
	CHECK_ERRNO(syscall(-1), ENOSYS);
}

TEST(prctls)
{
	char n[20];
	int v;

	CHECK_OK(prctl(PR_SET_NAME, "averyverylongname"));
	CHECK_OK(prctl(PR_GET_NAME, n));
	CHECK_STR(n, "averyverylongna");
	CHECK_ERRNO(prctl(PR_SET_NAME, BAD), EFAULT);
	CHECK_ERRNO(prctl(999), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
	CHECK_OK(prctl(PR_SET_PDEATHSIG, 0));
	CHECK_OK(prctl(PR_GET_PDEATHSIG, &v));
	CHECK_EQ(v, 0);
	CHECK_ERRNO(prctl(PR_GET_PDEATHSIG, BAD), EFAULT);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
	CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL);
	CHECK_EXITS(0, CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1));
	CHECK_EQ(prctl(PR_GET_TIMING), 0);
	CHECK_ERRNO(prctl(PR_SET_TIMING, 1), EINVAL);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 1000));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1000);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 0));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 9, 0), EINVAL);
	CHECK_EQ(prctl(PR_CAPBSET_READ, 0), 1);
	CHECK_ERRNO(prctl(PR_CAPBSET_READ, 99), EINVAL);
	CHECK_ERRNO(prctl(PR_CAPBSET_DROP, 99), EINVAL);
	CHECK_EXITS(0, CHECK_OK(prctl(PR_CAPBSET_DROP, 5)); CHECK_EQ(prctl(PR_CAPBSET_READ, 5), 0);
		    become_nobody(); CHECK_ERRNO(prctl(PR_CAPBSET_DROP, 6), EPERM));
	CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 9, 0, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 1, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 99, 0, 0), EINVAL);
	CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &v));
	CHECK_EQ(v, 1);
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
	CHECK_OK(prctl(PR_GET_TSC, &v));
	CHECK_EQ(v, PR_TSC_ENABLE);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
	/* strict seccomp */
	int st = IN_CHILD(prctl(PR_SET_SECCOMP, 1); syscall(SYS_getpid));
	CHECK_EQ(st & 0x7f, SIGKILL);
}

__attribute__((constructor)) static void other_selves(void)
{
	const char *what = getenv("CONF_SELF");

	if (what && !strcmp(what, "leave42"))
		_exit(42);
	while (what && !strcmp(what, "sleeping"))
		pause();
}

static long number_in(const char *path)
{
	char buf[32] = "";
	int fd = open(path, O_RDONLY);

	CHECK(fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0);
	close(fd);
	return atol(buf);
}

static void put_in(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A share of memory in thousandths, moved by the adjustment, 1000 added, two thirds of it (fs/proc of 6.1). */
TEST(oom_score_follows_its_adjustment)
{
	put_in("/proc/self/oom_score_adj", "0");
	CHECK(number_in("/proc/self/oom_score") >= 666);
	put_in("/proc/self/oom_score_adj", "300");
	CHECK(number_in("/proc/self/oom_score") >= 866);
	put_in("/proc/self/oom_score_adj", "-999");
	CHECK(number_in("/proc/self/oom_score") < 100);
	put_in("/proc/self/oom_score_adj", "-1000");
	CHECK_EQ(number_in("/proc/self/oom_score"), 0);
	put_in("/proc/self/oom_score_adj", "0");
}

TEST_MAIN
