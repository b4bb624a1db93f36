// DEBUG: -
// VARIANTS: musl glibc
// TIMEOUT: 60
/*
 * ptrace.c - tracing as ptrace(2) has it: attaching in its three ways, every stop and event, registers,
 * memory, signals, stepping, watchpoints, group stops, what wait says, and who may not.  The same
 * program passes on Linux.
 */
#include "check.h"
#include <elf.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

/* glibc's and the kernel's headers for this do not go together: the numbers are the ABI. */
enum {
	TRACEME, PEEKTEXT, PEEKDATA, PEEKUSR, POKETEXT, POKEDATA, POKEUSR, CONT, KILL, STEP,
	GETREGS = 12, SETREGS, GETFPREGS, SETFPREGS, ATTACH, DETACH, SYSC = 24, SYSEMU = 31,
	SETOPTIONS = 0x4200, GETEVENTMSG, GETSIGINFO, SETSIGINFO, GETREGSET, SETREGSET, SEIZE, INTERRUPT, LISTEN,
	PEEKSIGINFO, GETSIGMASK, SETSIGMASK, GET_SYSCALL_INFO = 0x420e,
};
enum { OPT_SYSGOOD = 1, OPT_FORK = 2, OPT_VFORK = 4, OPT_CLONE = 8, OPT_EXEC = 16, OPT_VFORKDONE = 32, OPT_EXIT = 64, OPT_EXITKILL = 1 << 20 };
enum { EV_FORK = 1, EV_VFORK, EV_CLONE, EV_EXEC, EV_VFORKDONE, EV_EXIT, EV_STOP = 128 };
#define BAD ((void *)-4096L)

static long pt(long req, pid_t p, unsigned long addr, unsigned long data)
{
	return syscall(SYS_ptrace, req, p, addr, data);
}
#define PT(req, p, addr, data) pt(req, p, (unsigned long)(addr), (unsigned long)(data))

static int wait_for(pid_t p)
{
	int st = -1;

	return waitpid(p, &st, __WALL) == p ? st : -1;
}
#define STOPPED(sig) ((sig) << 8 | 0x7f)
#define EVENT(ev) ((ev) << 16 | SIGTRAP << 8 | 0x7f)

/* A child that is traced and has stopped itself. */
static pid_t traced_child(void (*fn)(void))
{
	pid_t p = fork();

	if (!p) {
		pt(TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	CHECK_EQ(wait_for(p), STOPPED(SIGSTOP));
	return p;
}
static void end(pid_t p)
{
	int st;

	kill(p, SIGKILL);
	while (waitpid(p, &st, __WALL) == p && !WIFEXITED(st) && !WIFSIGNALED(st))
		;
}

static volatile long word = 0x1122334455667788;
static const volatile long ro_word = 42;
static void exit_word(void) { _exit(word == 7 ? ro_word == 43 ? 3 : 2 : 1); }

TEST(memory)
{
	pid_t p = traced_child(exit_word);
	long v = 0;

	CHECK_OK(PT(PEEKDATA, p, &word, &v));
	CHECK_EQ(v, 0x1122334455667788);
	CHECK_OK(PT(PEEKTEXT, p, (char *)&word + 1, &v));
	CHECK_EQ(v & 0xffff, 0x6677);
	CHECK_ERRNO(PT(PEEKDATA, p, 8, &v), EIO);
	CHECK_ERRNO(PT(POKEDATA, p, 8, 1), EIO);
	CHECK_ERRNO(PT(PEEKDATA, p, &word, BAD), EFAULT);
	CHECK_OK(PT(POKEDATA, p, &word, 7));
	CHECK_OK(PT(POKETEXT, p, &ro_word, 43)); /* read-only for the program itself */
	CHECK_EQ(word, 0x1122334455667788);
	CHECK_ERRNO(PT(CONT, p, 0, 65), EIO);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 3 << 8);
}

static void nothing(void) { }

TEST(refusals)
{
	pid_t p;

	CHECK_ERRNO(PT(ATTACH, 0x3ffffff0, 0, 0), ESRCH);
	CHECK_ERRNO(PT(ATTACH, getpid(), 0, 0), EPERM);
	CHECK_ERRNO(PT(CONT, 1, 0, 0), ESRCH);
	CHECK_ERRNO(PT(CONT, getpid(), 0, 0), ESRCH);
	p = fork();
	if (!p)
		for (;;)
			pause();
	CHECK_ERRNO(PT(CONT, p, 0, 0), ESRCH);
	CHECK_ERRNO(PT(SEIZE, p, 1, 0), EIO);
	CHECK_ERRNO(PT(SEIZE, p, 0, 0x40000000), EIO);
	CHECK_OK(PT(SEIZE, p, 0, 0));
	CHECK_ERRNO(PT(SEIZE, p, 0, 0), EPERM);
	CHECK_ERRNO(PT(ATTACH, p, 0, 0), EPERM);
	CHECK_ERRNO(PT(GETREGS, p, 0, &(struct user_regs_struct){ 0 }), ESRCH); /* it runs */
	CHECK_ERRNO(PT(DETACH, p, 0, 0), ESRCH);
	CHECK_OK(PT(INTERRUPT, p, 0, 0));
	CHECK_EQ(wait_for(p), EV_STOP << 16 | STOPPED(SIGTRAP));
	CHECK_ERRNO(PT(SETOPTIONS, p, 0, 0x40000000), EINVAL);
	CHECK_ERRNO(PT(9999, p, 0, 0), EIO);
	CHECK_OK(PT(DETACH, p, 0, 0));
	CHECK_ERRNO(PT(CONT, p, 0, 0), ESRCH);
	end(p);
	p = fork();
	if (!p) {
		CHECK_OK(PT(TRACEME, 0, 0, 0));
		CHECK_ERRNO(PT(TRACEME, 0, 0, 0), EPERM);
		_exit(check_failures);
	}
	CHECK_EQ(wait_for(p), 0);
	/* an unprivileged process: its own kind yes, others no, an undumpable one no */
	pid_t victim = fork();
	if (!victim)
		for (;;)
			pause();
	CHECK_EXITS(0, setgroups(0, NULL); if (setgid(65534) || setuid(65534)) _exit(9);
		    CHECK_ERRNO(PT(ATTACH, victim, 0, 0), EPERM);
		    prctl(PR_SET_DUMPABLE, 1);
		    pid_t q = fork();
		    if (!q) { for (;;) pause(); }
		    CHECK_OK(PT(ATTACH, q, 0, 0));
		    CHECK_EQ(wait_for(q), STOPPED(SIGSTOP));
		    end(q);
		    int fds[2]; char c; pipe(fds);
		    q = fork();
		    if (!q) { prctl(PR_SET_DUMPABLE, 0); write(fds[1], "x", 1); for (;;) pause(); }
		    read(fds[0], &c, 1);
		    CHECK_ERRNO(PT(ATTACH, q, 0, 0), EPERM);
		    end(q));
	end(victim);
}

static void getppid_loop(void)
{
	long r = syscall(SYS_getppid);

	r = syscall(12345, 1, 2, 3, 4, 5, 6);
	_exit(r == -1 && errno == ENOSYS ? 5 : (int)r);
}

TEST(system_calls)
{
	pid_t p = traced_child(getppid_loop);
	struct user_regs_struct r;
	struct { uint8_t op, pad[3]; uint32_t arch; uint64_t ip, sp, nr, args[6]; } si;
	unsigned long msg;

	CHECK_OK(PT(SETOPTIONS, p, 0, OPT_SYSGOOD));
	CHECK_OK(PT(SYSC, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP | 0x80));
	do { /* libc may do some of its own */
		CHECK_OK(PT(GETREGS, p, 0, &r));
		if (r.orig_rax == SYS_getppid)
			break;
		PT(SYSC, p, 0, 0);
	} while (wait_for(p) == STOPPED(SIGTRAP | 0x80));
	CHECK_EQ(r.orig_rax, SYS_getppid);
	CHECK_EQ((long)r.rax, -ENOSYS);
	CHECK_EQ(r.cs, 0x33);
	CHECK_EQ(r.ss, 0x2b);
	CHECK_EQ(PT(GET_SYSCALL_INFO, p, sizeof(si), &si), 80);
	CHECK_EQ(si.op, 1);
	CHECK_EQ(si.arch, 0xc000003e);
	CHECK_EQ(si.nr, SYS_getppid);
	CHECK_EQ(si.ip, r.rip);
	CHECK_EQ(si.sp, r.rsp);
	CHECK_OK(PT(GETEVENTMSG, p, 0, &msg));
	CHECK_EQ(msg, 1);
	CHECK_OK(PT(SYSC, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP | 0x80));
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_EQ((long)r.rax, getpid());
	CHECK_EQ(PT(GET_SYSCALL_INFO, p, sizeof(si), &si), 33);
	CHECK_EQ(si.op, 2);
	CHECK_EQ((long)si.nr, getpid());
	/* the tracer makes another call of it, with other arguments, and another result */
	CHECK_OK(PT(SYSC, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP | 0x80));
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_EQ(r.orig_rax, 12345);
	CHECK_EQ(r.rdi, 1);
	CHECK_EQ(r.r10, 4);
	CHECK_EQ(r.r9, 6);
	r.orig_rax = SYS_exit_group;
	r.rdi = 77;
	CHECK_OK(PT(SETREGS, p, 0, &r));
	CHECK_OK(PT(SYSC, p, 0, 0));
	CHECK_EQ(wait_for(p), 77 << 8);

	/* a skipped call, with a result of the tracer's */
	p = traced_child(getppid_loop);
	CHECK_OK(PT(SYSC, p, 0, 0));
	while (wait_for(p) == STOPPED(SIGTRAP) && !PT(GETREGS, p, 0, &r) && r.orig_rax != 12345)
		PT(SYSC, p, 0, 0);
	CHECK_OK(PT(POKEUSR, p, offsetof(struct user_regs_struct, orig_rax), -1));
	CHECK_OK(PT(SYSC, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(POKEUSR, p, offsetof(struct user_regs_struct, rax), 9));
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 9 << 8);
	/* SYSEMU: the call is the tracer's altogether */
	p = traced_child(getppid_loop);
	CHECK_OK(PT(SYSEMU, p, 0, 0));
	while (wait_for(p) == STOPPED(SIGTRAP) && !PT(GETREGS, p, 0, &r) && r.orig_rax != SYS_getppid)
		PT(SYSEMU, p, 0, 0);
	CHECK_EQ(r.orig_rax, SYS_getppid);
	CHECK_OK(PT(SYSEMU, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_EQ(r.orig_rax, 12345);
	end(p);
}

TEST(registers)
{
	pid_t p = traced_child(nothing);
	struct user_regs_struct r, r2;
	struct user_fpregs_struct fp, fp2;
	struct iovec v = { &r2, sizeof(r2) };
	static unsigned char xs[16384], xs2[16384];
	long w;

	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_OK(PT(GETREGSET, p, NT_PRSTATUS, &v));
	CHECK_EQ(v.iov_len, sizeof(r));
	CHECK(!memcmp(&r, &r2, sizeof(r)));
	CHECK_OK(PT(PEEKUSR, p, offsetof(struct user_regs_struct, rip), &w));
	CHECK_EQ(w, r.rip);
	CHECK_ERRNO(PT(PEEKUSR, p, 3, &w), EIO);
	CHECK_ERRNO(PT(PEEKUSR, p, 1000, &w), EIO);
	CHECK_ERRNO(PT(POKEUSR, p, 1000, 1), EIO);
	CHECK_ERRNO(PT(POKEUSR, p, offsetof(struct user_regs_struct, cs), 0x10), EIO);
	CHECK_ERRNO(PT(POKEUSR, p, offsetof(struct user_regs_struct, fs_base), 1UL << 63), EIO);
	CHECK_OK(PT(POKEUSR, p, offsetof(struct user_regs_struct, r15), 0x1234));
	CHECK_OK(PT(PEEKUSR, p, offsetof(struct user_regs_struct, r15), &w));
	CHECK_EQ(w, 0x1234);
	v = (struct iovec){ &r2, 8 };
	CHECK_OK(PT(GETREGSET, p, NT_PRSTATUS, &v));
	CHECK_EQ(r2.r15, 0x1234);
	CHECK_EQ(v.iov_len, 8);
	v.iov_len = 9;
	CHECK_ERRNO(PT(GETREGSET, p, NT_PRSTATUS, &v), EINVAL);
	CHECK_ERRNO(PT(GETREGSET, p, 0x7777, &v), EINVAL);
	CHECK_ERRNO(PT(GETREGS, p, 0, BAD), EFAULT);
	CHECK_ERRNO(PT(SETREGS, p, 0, BAD), EFAULT);
	/* interrupts cannot be turned off, nor the I/O level raised */
	r.eflags = 0x3002;
	CHECK_OK(PT(SETREGS, p, 0, &r));
	CHECK_OK(PT(GETREGS, p, 0, &r2));
	CHECK_EQ(r2.eflags & 0x3200, 0x200);
	/* vector state */
	CHECK_OK(PT(GETFPREGS, p, 0, &fp));
	CHECK_EQ(fp.mxcsr, 0x1f80);
	fp.xmm_space[8] = 0xabcd;
	CHECK_OK(PT(SETFPREGS, p, 0, &fp));
	CHECK_OK(PT(GETFPREGS, p, 0, &fp2));
	CHECK_EQ(fp2.xmm_space[8], 0xabcd);
	v = (struct iovec){ xs, sizeof(xs) };
	CHECK_OK(PT(GETREGSET, p, NT_X86_XSTATE, &v));
	CHECK_GE(v.iov_len, 576);
	CHECK_EQ(*(uint32_t *)(xs + 160 + 32), 0xabcd);
	CHECK_EQ(*(uint64_t *)(xs + 464) & 3, 3); /* what the CPU has */
	*(uint32_t *)(xs + 160 + 36) = 0x9876;
	*(uint64_t *)(xs + 512) |= 3;
	CHECK_OK(PT(SETREGSET, p, NT_X86_XSTATE, &v));
	v = (struct iovec){ xs2, sizeof(xs2) };
	CHECK_OK(PT(GETREGSET, p, NT_X86_XSTATE, &v));
	CHECK_EQ(*(uint32_t *)(xs2 + 160 + 36), 0x9876);
	*(uint64_t *)(xs + 512) |= 1UL << 62;
	v = (struct iovec){ xs, v.iov_len };
	CHECK_ERRNO(PT(SETREGSET, p, NT_X86_XSTATE, &v), EINVAL);
	end(p);
}

static int handled;
static void on_usr1(int s) { handled = s; }
static void raises(void)
{
	signal(SIGUSR1, on_usr1);
	raise(SIGUSR1);
	_exit(handled);
}

TEST(signals)
{
	pid_t p = traced_child(raises);
	siginfo_t si;
	uint64_t mask;

	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGUSR1));
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_EQ(si.si_signo, SIGUSR1);
	CHECK_EQ(si.si_code, SI_TKILL);
	CHECK_EQ(si.si_pid, p);
	CHECK_OK(PT(GETSIGMASK, p, 8, &mask));
	CHECK_ERRNO(PT(GETSIGMASK, p, 4, &mask), EINVAL);
	CHECK_OK(PT(CONT, p, 0, 0)); /* taken away */
	CHECK_EQ(wait_for(p), 0);
	p = traced_child(raises);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGUSR1));
	CHECK_OK(PT(CONT, p, 0, SIGUSR1));
	CHECK_EQ(wait_for(p), SIGUSR1 << 8);
	/* changed into one that kills */
	p = traced_child(raises);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGUSR1));
	CHECK_OK(PT(CONT, p, 0, SIGTERM));
	CHECK_EQ(wait_for(p), SIGTERM);
	/* ignored signals are seen as well; siginfo may be changed; what is queued may be looked at */
	p = traced_child(nothing);
	struct { uint64_t off; uint32_t flags; int32_t nr; } a = { 0, 1, 4 };
	siginfo_t q[4];
	sigset_t s;
	kill(p, SIGCHLD);
	CHECK_EQ(PT(PEEKSIGINFO, p, &a, q), 1);
	CHECK_EQ(q[0].si_signo, SIGCHLD);
	a.flags = 2;
	CHECK_ERRNO(PT(PEEKSIGINFO, p, &a, q), EINVAL);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGCHLD));
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_OK(PT(SETSIGINFO, p, 0, &si));
	mask = 1UL << (SIGUSR2 - 1);
	CHECK_OK(PT(SETSIGMASK, p, 8, &mask));
	CHECK_OK(PT(GETSIGMASK, p, 8, &mask));
	CHECK_EQ(mask, 1UL << (SIGUSR2 - 1));
	(void)s;
	/* SIGKILL ends it in a stop as well */
	kill(p, SIGKILL);
	CHECK_EQ(wait_for(p), SIGKILL);
	CHECK_ERRNO(PT(CONT, p, 0, 0), ESRCH);
}

TEST(attach_and_detach)
{
	int st;
	pid_t p = fork();

	if (!p)
		for (;;)
			pause();
	CHECK_OK(PT(ATTACH, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGSTOP));
	char path[64], text[4096], want[64];
	snprintf(path, sizeof(path), "/proc/%d/status", p);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	snprintf(want, sizeof(want), "TracerPid:\t%d\n", getpid());
	CHECK(strstr(text, want));
	CHECK(strstr(text, "State:\tt (tracing stop)"));
	CHECK_OK(PT(DETACH, p, 0, SIGTERM));
	CHECK_EQ(wait_for(p), SIGTERM);
	/* one that is stopped already is in a stop of the tracer's when attach returns */
	p = fork();
	if (!p)
		for (;;)
			pause();
	kill(p, SIGSTOP);
	CHECK_EQ(waitpid(p, &st, WUNTRACED), p);
	CHECK_OK(PT(ATTACH, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGSTOP));
	CHECK_OK(PT(DETACH, p, 0, 0));
	end(p);
	/* not our child: wait works all the same, and the parent gets its status afterwards */
	int fds[2];
	pipe(fds);
	pid_t mid = fork(), q;
	if (!mid) {
		q = fork();
		if (!q)
			for (;;)
				pause();
		write(fds[1], &q, sizeof(q));
		_exit(wait_for(q) == SIGKILL ? 11 : 12);
	}
	read(fds[0], &q, sizeof(q));
	CHECK_ERRNO(waitpid(q, &st, 0), ECHILD);
	CHECK_OK(PT(SEIZE, q, 0, 0));
	kill(q, SIGKILL);
	CHECK_EQ(wait_for(q), SIGKILL);
	CHECK_EQ(wait_for(mid), 11 << 8);
	close(fds[0]);
	close(fds[1]);
}

TEST(group_stop)
{
	pid_t p = fork();
	siginfo_t si;
	int st;

	if (!p)
		for (;;)
			pause();
	CHECK_OK(PT(SEIZE, p, 0, 0));
	kill(p, SIGSTOP);
	CHECK_EQ(wait_for(p), STOPPED(SIGSTOP)); /* the signal */
	CHECK_OK(PT(CONT, p, 0, SIGSTOP));
	CHECK_EQ(wait_for(p), EV_STOP << 16 | STOPPED(SIGSTOP)); /* the stop */
	CHECK_OK(PT(LISTEN, p, 0, 0));
	CHECK_EQ(waitpid(p, &st, WNOHANG | __WALL), 0);
	CHECK_ERRNO(PT(CONT, p, 0, 0), ESRCH); /* only listening */
	kill(p, SIGCONT);
	CHECK_EQ(wait_for(p), EV_STOP << 16 | STOPPED(SIGTRAP));
	CHECK_ERRNO(PT(LISTEN, 1, 0, 0), ESRCH);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGCONT));
	CHECK_OK(PT(CONT, p, 0, SIGCONT));
	/* interrupting */
	CHECK_OK(PT(INTERRUPT, p, 0, 0));
	CHECK_EQ(wait_for(p), EV_STOP << 16 | STOPPED(SIGTRAP));
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_EQ(si.si_code, SIGTRAP | EV_STOP << 8);
	CHECK_OK(PT(DETACH, p, 0, 0));
	end(p);
	/* the old way: a group stop is a stop without siginfo */
	p = traced_child(nothing);
	CHECK_OK(PT(CONT, p, 0, SIGSTOP));
	CHECK_EQ(wait_for(p), STOPPED(SIGSTOP));
	CHECK_ERRNO(PT(GETSIGINFO, p, 0, &si), EINVAL);
	CHECK_ERRNO(PT(INTERRUPT, p, 0, 0), EIO);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 0);
}

static void *thread_body(void *a) { return a; }
static void makes_children(void)
{
	pthread_t t;
	pid_t p = fork();

	if (!p)
		_exit(4);
	waitpid(p, NULL, 0);
	p = vfork();
	if (!p)
		_exit(5);
	waitpid(p, NULL, 0);
	pthread_create(&t, NULL, thread_body, NULL);
	pthread_join(t, NULL);
	execl("/proc/self/exe", "ptrace", "--exit6", NULL);
	_exit(1);
}

TEST(events)
{
	pid_t p = traced_child(makes_children), q, seen[8];
	int st, forks = 0, vforks = 0, dones = 0, clones = 0, execs = 0, exits = 0, n = 0, ended = 0;
	unsigned long msg, code = 0;

	CHECK_OK(PT(SETOPTIONS, p, 0, OPT_FORK | OPT_VFORK | OPT_CLONE | OPT_EXEC | OPT_VFORKDONE | OPT_EXIT | OPT_EXITKILL));
	CHECK_OK(PT(CONT, p, 0, 0));
	while ((q = waitpid(-1, &st, __WALL)) > 0) {
		int ev = st >> 16, sig = 0;

		if (WIFEXITED(st) || WIFSIGNALED(st)) {
			ended++;
			if (q == p)
				CHECK_EQ(st, 6 << 8);
			continue;
		}
		msg = 0;
		if (ev)
			CHECK_OK(PT(GETEVENTMSG, q, 0, &msg));
		if (ev == EV_FORK || ev == EV_VFORK || ev == EV_CLONE) {
			CHECK(msg && msg != (unsigned long)q && msg != (unsigned long)p);
			seen[n++ & 7] = (pid_t)msg;
		}
		forks += ev == EV_FORK;
		vforks += ev == EV_VFORK;
		clones += ev == EV_CLONE;
		dones += ev == EV_VFORKDONE;
		execs += ev == EV_EXEC;
		if (ev == EV_EXEC)
			CHECK_EQ(msg, (unsigned long)p);
		if (ev == EV_EXIT) {
			exits++;
			if (q == p)
				code = msg;
		}
		if (!ev && WSTOPSIG(st) != SIGSTOP)
			sig = WSTOPSIG(st);
		CHECK_OK(PT(CONT, q, 0, sig));
	}
	CHECK_EQ(forks, 1);
	CHECK_EQ(vforks, 1);
	CHECK_EQ(dones, 1);
	CHECK_EQ(clones, 1);
	CHECK_EQ(execs, 1);
	CHECK_EQ(exits, 4);
	CHECK_EQ(ended, 4);
	CHECK_EQ(code, 6 << 8);
	(void)seen;
}

TEST(exec_without_options)
{
	pid_t p = fork();

	if (!p) {
		pt(TRACEME, 0, 0, 0);
		execl("/proc/self/exe", "ptrace", "--exit6", NULL);
		_exit(1);
	}
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	struct user_regs_struct r;
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_EQ(r.rax, 0);
	CHECK_EQ(r.orig_rax, SYS_execve);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 6 << 8);
}

static void __attribute__((noinline)) counted(void)
{
	asm volatile("nop\n\tnop\n\tnop\n\tint3\n\tnop\n\tsyscall\n\tnop\n\tint3" ::"a"(SYS_getpid) : "rcx", "r11", "memory");
	_exit(0);
}

TEST(stepping)
{
	pid_t p = traced_child(counted);
	struct user_regs_struct r, r2;
	siginfo_t si;

	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP)); /* int3 */
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_EQ(si.si_code, 0x80);
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_OK(PT(STEP, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_EQ(si.si_code, TRAP_TRACE);
	CHECK_OK(PT(GETREGS, p, 0, &r2));
	CHECK_EQ(r2.rip, r.rip + 1);
	CHECK_EQ(r2.eflags & 0x100, 0);
	CHECK_OK(PT(STEP, p, 0, 0)); /* the system call: stops just behind it */
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(GETREGS, p, 0, &r2));
	CHECK_EQ(r2.rip, r.rip + 3);
	CHECK_EQ((long)r2.rax, p);
	CHECK_OK(PT(STEP, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP)); /* the second int3 */
	CHECK_OK(PT(GETREGS, p, 0, &r2));
	CHECK_EQ(r2.rip, r.rip + 5);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 0);
	/* stepping into a handler */
	p = traced_child(raises);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGUSR1));
	CHECK_OK(PT(STEP, p, 0, SIGUSR1));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(GETREGS, p, 0, &r));
	CHECK_EQ(r.rip, (unsigned long)on_usr1);
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), SIGUSR1 << 8);
}

static volatile long watched[2];
static void writes(void)
{
	watched[1] = 1;
	watched[0] = 2;
	watched[1] = 3;
	_exit(8);
}

TEST(watchpoints)
{
	pid_t p = traced_child(writes);
	long dr6, v;
	siginfo_t si;
#define DR(n) (offsetof(struct user, u_debugreg) + 8 * (n))

	CHECK_ERRNO(PT(POKEUSR, p, DR(0), 1UL << 63), EINVAL);
	CHECK_ERRNO(PT(POKEUSR, p, DR(4), 0), EIO);
	CHECK_OK(PT(POKEUSR, p, DR(0), &watched[0]));
	CHECK_OK(PT(POKEUSR, p, DR(7), 1 | 9 << 16)); /* 8 bytes long is 10b; 9: write, 8 bytes */
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), STOPPED(SIGTRAP));
	CHECK_OK(PT(GETSIGINFO, p, 0, &si));
	CHECK_EQ(si.si_code, 4 /* TRAP_HWBKPT */);
	CHECK_OK(PT(PEEKUSR, p, DR(6), &dr6));
	CHECK_EQ(dr6 & 15, 1);
	CHECK_OK(PT(PEEKDATA, p, &watched[0], &v));
	CHECK_EQ(v, 2);
	CHECK_OK(PT(PEEKDATA, p, &watched[1], &v));
	CHECK_EQ(v, 1);
	CHECK_OK(PT(POKEUSR, p, DR(7), 0));
	CHECK_OK(PT(CONT, p, 0, 0));
	CHECK_EQ(wait_for(p), 8 << 8);
}

static void *sleeps(void *a) { for (;;) pause(); return a; }

TEST(threads)
{
	pid_t p;
	int fds[2], st;
	char path[64];

	pipe(fds);
	p = fork();
	if (!p) {
		pthread_t t;
		pthread_create(&t, NULL, sleeps, NULL);
		write(fds[1], "x", 1);
		sleeps(NULL);
	}
	read(fds[0], &st, 1);
	/* the second thread alone */
	pid_t tid = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", p);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		if (atoi(e->d_name) > 0 && atoi(e->d_name) != p)
			tid = atoi(e->d_name);
	if (d)
		closedir(d);
	REQUIRE(tid);
	CHECK_OK(PT(SEIZE, tid, 0, 0));
	CHECK_OK(PT(INTERRUPT, tid, 0, 0));
	CHECK_EQ(wait_for(tid), EV_STOP << 16 | STOPPED(SIGTRAP));
	CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
	CHECK_OK(PT(CONT, tid, 0, 0));
	kill(p, SIGKILL);
	CHECK_EQ(wait_for(tid), SIGKILL);
	CHECK_EQ(wait_for(p), SIGKILL);
	/* a tracer that ends lets go, or takes along */
	for (int kills = 0; kills < 2; kills++) {
		p = fork();
		if (!p)
			for (;;)
				pause();
		CHECK_EXITS(0, CHECK_OK(PT(SEIZE, p, 0, kills ? OPT_EXITKILL : 0)));
		if (!kills) {
			usleep(20000);
			CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
			kill(p, SIGTERM);
		}
		CHECK_EQ(wait_for(p), kills ? SIGKILL : SIGTERM);
	}
}

__attribute__((constructor)) static void other_self(void)
{
	char b[200];
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, b, sizeof(b) - 1);

	close(fd);
	if (n > 8 && !memcmp(b + n - 8, "--exit6", 8))
		_exit(6);
}

TEST_MAIN
