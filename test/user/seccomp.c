// VARIANTS: musl glibc
// BOOT: --smp 2
/*
 * seccomp.c - seccomp(2): both modes, every action, which of several filters wins, inheritance, all threads at
 * once, the checks of filters, and what a tracer gets to do.  The same program passes on Linux.
 */
#include "check.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define BAD ((void *)-4096L)
#define NR offsetof(struct seccomp_data, nr)
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, what)
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)
#define IF_NR(n, action) LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), RET(action)

static long install(struct sock_filter *f, unsigned n, unsigned flags)
{
	struct sock_fprog p = { n, f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
#define INSTALL(flags, ...)                                                                      \
	({                                                                                       \
		struct sock_filter f_[] = { __VA_ARGS__ };                                       \
		install(f_, sizeof(f_) / sizeof(*f_), flags);                                    \
	})
#define ON(nr, action) INSTALL(0, IF_NR(nr, action), RET(SECCOMP_RET_ALLOW))

static int run(void (*fn)(void))
{
	pid_t p = fork();
	int st;

	if (!p) {
		fn();
		_exit(check_failures ? 99 : 0);
	}
	waitpid(p, &st, 0);
	return st & ~0x80;
}

static void strict_write(void) { prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_write, -1, "", 0); syscall(SYS_exit, 5); }
static void strict_getpid(void) { syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0); syscall(SYS_getpid); }

TEST(strict)
{
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_seccomp, 77, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 7, 0), EINVAL);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_EQ(run(strict_write), 5 << 8);
	CHECK_EQ(run(strict_getpid), SIGKILL);
}

TEST(what_is_there)
{
	struct seccomp_notif_sizes s;
	unsigned a[] = { SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
			 SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000 };

	for (unsigned i = 0; i < 7; i++)
		CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a[i]));
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a[7]), EOPNOTSUPP);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &a[0]), EINVAL);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, BAD), EFAULT);
	CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &s));
	CHECK_EQ(s.seccomp_data, 64);
	CHECK_EQ(s.seccomp_notif, 80);
	CHECK_EQ(s.seccomp_notif_resp, 24);
}

static void bad_filters(void)
{
	struct sock_filter many[4097], ok[] = { RET(SECCOMP_RET_ALLOW) };
	struct sock_fprog p = { 1, BAD };

	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_ERRNO(install(ok, 0, 0), EINVAL);
	memset(many, 0, sizeof(many));
	CHECK_ERRNO(install(many, 4097, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p), EFAULT);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD), EFAULT);
	CHECK_ERRNO(install(ok, 1, 1 << 20), EINVAL);
	CHECK_ERRNO(INSTALL(0, LOAD(64), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, LOAD(3), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, LOAD(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0)), EINVAL); /* never written */
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_ST, 16), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET(0)), EINVAL);
	CHECK_ERRNO(INSTALL(0, BPF_STMT(0xffff, 0), RET(0)), EINVAL);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_OK(install(ok, 1, 0));
	CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
	/* the size of all together is limited */
	for (int i = 0; i < 4096; i++)
		many[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
	long r = 0;
	int n = 0;
	while (!r && n++ < 20)
		r = install(many, 4000, 0);
	CHECK_EQ(r, -1);
	CHECK_EQ(errno, ENOMEM);
	CHECK(n >= 5 && n <= 9); /* Linux counts its own form of them */
}

static void unprivileged(void)
{
	struct sock_filter ok[] = { RET(SECCOMP_RET_ALLOW) };
	struct sock_fprog p = { 1, ok };

	setgroups(0, NULL);
	if (setgid(65534) || setuid(65534))
		_exit(98);
	CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p), EACCES);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p), EACCES);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p));
}

TEST(checks)
{
	CHECK_EQ(run(bad_filters), 0);
	CHECK_EQ(run(unprivileged), 0);
}

static siginfo_t trapped;
static long trap_rax;
static void on_sys(int s, siginfo_t *si, void *uc)
{
	trapped = *si;
	trap_rax = ((ucontext_t *)uc)->uc_mcontext.gregs[13 /* RAX */];
	((ucontext_t *)uc)->uc_mcontext.gregs[13] = 1234;
	(void)s;
}

static void errno_action(void)
{
	CHECK_OK(ON(SYS_getppid, SECCOMP_RET_ERRNO | 77));
	CHECK_ERRNO(syscall(SYS_getppid), 77);
	CHECK_GT(syscall(SYS_getpid), 0);
	CHECK_OK(ON(SYS_getuid, SECCOMP_RET_ERRNO | 0));
	CHECK_EQ(syscall(SYS_getuid), 0);
	CHECK_OK(ON(SYS_gettid, SECCOMP_RET_ERRNO | 0xffff));
	CHECK_ERRNO(syscall(SYS_gettid), 4095);
	/* the newest of equals, the worst of different ones */
	CHECK_OK(ON(SYS_getppid, SECCOMP_RET_ERRNO | 78));
	CHECK_ERRNO(syscall(SYS_getppid), 78);
	CHECK_OK(ON(SYS_getppid, SECCOMP_RET_LOG));
	CHECK_ERRNO(syscall(SYS_getppid), 78);
	CHECK_OK(ON(SYS_getpgrp, SECCOMP_RET_LOG));
	CHECK_GT(syscall(SYS_getpgrp), 0);
	/* children have them, and programs they start */
	CHECK_EXITS(78, _exit(syscall(SYS_getppid) == -1 ? errno : 0));
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	CHECK(strstr(text, "Seccomp:\t2\n"));
	CHECK(strstr(text, "Seccomp_filters:\t6\n"));
	CHECK(strstr(text, "NoNewPrivs:\t1\n"));
}

static void trap_action(void)
{
	struct sigaction sa = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &sa, NULL);
	CHECK_OK(ON(SYS_getppid, SECCOMP_RET_TRAP | 5));
	CHECK_EQ(syscall(SYS_getppid, 1, 2), 1234);
	CHECK_EQ(trap_rax, SYS_getppid);
	CHECK_EQ(trapped.si_signo, SIGSYS);
	CHECK_EQ(trapped.si_code, 1);
	CHECK_EQ(trapped.si_errno, 5);
	CHECK_EQ(trapped.si_syscall, SYS_getppid);
	CHECK_EQ(trapped.si_arch, AUDIT_ARCH_X86_64);
	signal(SIGSYS, SIG_IGN); /* cannot be ignored */
	syscall(SYS_getppid);
}

static void kill_process(void) { signal(SIGSYS, SIG_IGN); ON(SYS_getppid, SECCOMP_RET_KILL_PROCESS); syscall(SYS_getppid); }
static void kill_thread(void) { ON(SYS_getppid, SECCOMP_RET_KILL_THREAD); syscall(SYS_getppid); }
static void unknown_action(void) { ON(SYS_getppid, 0x00010000); syscall(SYS_getppid); }
static void no_tracer(void)
{
	ON(SYS_getppid, SECCOMP_RET_TRACE | 1);
	CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
}
static void no_listener(void)
{
	ON(SYS_getppid, SECCOMP_RET_USER_NOTIF);
	CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
}
static volatile int reached;
static void *dies(void *a) { syscall(SYS_getppid); reached = 1; return a; }
static void one_thread_dies(void)
{
	pthread_t t;

	ON(SYS_getppid, SECCOMP_RET_KILL_THREAD);
	pthread_create(&t, NULL, dies, NULL);
	usleep(100000);
	CHECK_EQ(reached, 0);
	_exit(check_failures ? 99 : 4);
}

TEST(actions)
{
	CHECK_EQ(run(errno_action), 0);
	CHECK_EQ(run(trap_action), SIGSYS);
	CHECK_EQ(run(kill_process), SIGSYS);
	CHECK_EQ(run(kill_thread), SIGSYS);
	CHECK_EQ(run(unknown_action), SIGSYS);
	CHECK_EQ(run(no_tracer), 0);
	CHECK_EQ(run(no_listener), 0);
	CHECK_EQ(run(one_thread_dies), 4 << 8);
}

static void arguments(void)
{
	unsigned lo = offsetof(struct seccomp_data, args[1]), hi = lo + 4;

	CHECK_OK(INSTALL(0, LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 6), LOAD(hi),
			 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3), LOAD(lo), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 64, 0, 2),
			 RET(SECCOMP_RET_ERRNO | 11), RET(SECCOMP_RET_ERRNO | 12), RET(SECCOMP_RET_ALLOW)));
	CHECK_ERRNO(syscall(SYS_kill, 0, 1L << 40), 12);
	CHECK_ERRNO(syscall(SYS_kill, 0, 65), 11);
	/* arithmetic, scratch, index: errno is ((nr * 3 + 5) & 0x3f ^ 1) >> 1 by way of M[7] and X */
	CHECK_OK(INSTALL(0, LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 11), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
			 BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 5), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3f),
			 BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 1), BPF_STMT(BPF_ST, 7), BPF_STMT(BPF_LD | BPF_IMM, 99),
			 BPF_STMT(BPF_LDX | BPF_MEM, 7), BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1),
			 BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0), RET(SECCOMP_RET_ALLOW)));
	CHECK_ERRNO(syscall(SYS_getppid), (((SYS_getppid * 3 + 5) & 0x3f) ^ 1) >> 1);
	/* a division by an index of zero ends the filter with 0: death */
	CHECK_EXITS(0, (void)0);
	ON(SYS_gettid, SECCOMP_RET_ALLOW);
	INSTALL(0, LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettid, 0, 2), BPF_STMT(BPF_LDX | BPF_IMM, 0),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RET(SECCOMP_RET_ALLOW));
	if (check_failures)
		_exit(99);
	syscall(SYS_gettid);
}

TEST(filters_compute)
{
	CHECK_EQ(run(arguments), SIGSYS);
}

static pthread_barrier_t bar;
static void *asks(void *a)
{
	if (a)
		ON(SYS_getuid, SECCOMP_RET_ERRNO | 1); /* one of its own */
	pthread_barrier_wait(&bar);
	pthread_barrier_wait(&bar);
	long r = syscall(SYS_getppid) == -1 ? errno : 0;
	return (void *)r;
}

static void tsync(void)
{
	pthread_t t;
	void *r;

	pthread_barrier_init(&bar, NULL, 2);
	pthread_create(&t, NULL, asks, NULL);
	pthread_barrier_wait(&bar);
	CHECK_EQ(INSTALL(SECCOMP_FILTER_FLAG_TSYNC, IF_NR(SYS_getppid, SECCOMP_RET_ERRNO | 33), RET(SECCOMP_RET_ALLOW)), 0);
	pthread_barrier_wait(&bar);
	pthread_join(t, &r);
	CHECK_EQ((long)r, 33);
	pthread_create(&t, NULL, asks, (void *)1);
	pthread_barrier_wait(&bar);
	CHECK_GT(INSTALL(SECCOMP_FILTER_FLAG_TSYNC, RET(SECCOMP_RET_ALLOW)), 1);
	CHECK_ERRNO(INSTALL(SECCOMP_FILTER_FLAG_TSYNC | (1 << 4), RET(SECCOMP_RET_ALLOW)), ESRCH);
	pthread_barrier_wait(&bar);
	pthread_join(t, &r);
}

TEST(all_threads)
{
	CHECK_EQ(run(tsync), 0);
}

TEST(tracing)
{
	unsigned long msg, regs[27];
	int st;
	pid_t p = fork();

	if (!p) {
		syscall(SYS_ptrace, 0, 0, 0, 0);
		raise(SIGSTOP);
		ON(SYS_getppid, SECCOMP_RET_TRACE | 4321);
		_exit(syscall(SYS_getppid) == 55 ? 3 : 4);
	}
	waitpid(p, &st, 0);
	CHECK_OK(syscall(SYS_ptrace, 0x4200, p, 0, 1 << 7)); /* SETOPTIONS, TRACESECCOMP */
	CHECK_OK(syscall(SYS_ptrace, 7, p, 0, 0));
	waitpid(p, &st, 0);
	CHECK_EQ(st, 7 << 16 | SIGTRAP << 8 | 0x7f);
	CHECK_OK(syscall(SYS_ptrace, 0x4201, p, 0, &msg));
	CHECK_EQ(msg, 4321);
	CHECK_OK(syscall(SYS_ptrace, 12, p, 0, regs));
	CHECK_EQ(regs[15], SYS_getppid);
	regs[15] = -1UL; /* skipped, with a result of the tracer's */
	regs[10] = 55;
	CHECK_OK(syscall(SYS_ptrace, 13, p, 0, regs));
	CHECK_OK(syscall(SYS_ptrace, 7, p, 0, 0));
	waitpid(p, &st, 0);
	CHECK_EQ(st, 3 << 8);
}

TEST_MAIN
