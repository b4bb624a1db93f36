// DEBUG: -
/*
 * Signals: handlers, masks, pending, restart, alternate stacks, queueing, siginfo, default actions,
 * interrupted calls, and the machine state across a handler.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last;
static siginfo_t last_info;

static void handler(int sig)
{
	count++;
	last = sig;
}

static void info_handler(int sig, siginfo_t *si, void *uc)
{
	count++;
	last = sig;
	last_info = *si;
}

static void install(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = { .sa_handler = fn, .sa_flags = flags };

	CHECK_OK(sigaction(sig, &sa, NULL));
}

static void install_info(int sig, int flags)
{
	struct sigaction sa = { .sa_sigaction = info_handler, .sa_flags = flags | SA_SIGINFO };

	CHECK_OK(sigaction(sig, &sa, NULL));
}

TEST(handler_runs)
{
	count = 0;
	install(SIGUSR1, handler, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(count, 1);
	CHECK_EQ(last, SIGUSR1);
	install(SIGUSR1, SIG_IGN, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(count, 1);
	CHECK_ERRNO(sigaction(SIGKILL, &(struct sigaction){ .sa_handler = handler }, NULL), EINVAL);
	CHECK_ERRNO(kill(getpid(), 65), EINVAL);
	CHECK_ERRNO(kill(99999999, 0), ESRCH);
}

TEST(blocked_is_pending)
{
	sigset_t set, old, pending;

	count = 0;
	install(SIGUSR1, handler, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, &old));
	raise(SIGUSR1);
	raise(SIGUSR1);
	CHECK_EQ(count, 0);
	CHECK_OK(sigpending(&pending));
	CHECK(sigismember(&pending, SIGUSR1));
	CHECK_OK(sigprocmask(SIG_SETMASK, &old, NULL));
	CHECK_EQ(count, 1);	/* a standard signal is pending once */
	CHECK_ERRNO(sigprocmask(77, &set, NULL), EINVAL);
}

TEST(realtime_queue)
{
	sigset_t set, old;
	union sigval v;

	count = 0;
	install_info(SIGRTMIN + 1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (int i = 0; i < 3; i++) {
		v.sival_int = 100 + i;
		CHECK_OK(sigqueue(getpid(), SIGRTMIN + 1, v));
	}
	struct timespec zero = { 0, 0 };
	siginfo_t si;
	CHECK_EQ(sigtimedwait(&set, &si, &zero), SIGRTMIN + 1);
	CHECK_EQ(si.si_value.sival_int, 100);
	CHECK_EQ(si.si_code, SI_QUEUE);
	CHECK_EQ(si.si_pid, getpid());
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_EQ(count, 2);
	CHECK_EQ(last_info.si_value.sival_int, 102);
	CHECK_ERRNO(sigtimedwait(&set, &si, &zero), EAGAIN);
}

TEST(restart_and_eintr)
{
	struct itimerval it = { .it_value = { 0, 50000 } };
	char c;
	int p[2];

	CHECK_OK(pipe(p));
	install(SIGALRM, handler, 0);
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_ERRNO(read(p[0], &c, 1), EINTR);

	install(SIGALRM, handler, SA_RESTART);
	fflush(NULL);
	pid_t child = fork();
	if (!child) {
		usleep(200000);
		(void)!write(p[1], "x", 1);
		_exit(0);
	}
	count = 0;
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(count, 1);
	waitpid(child, NULL, 0);

	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));	/* poll is never restarted */
	CHECK_ERRNO(poll(NULL, 0, 1000), EINTR);
	struct timespec t = { 1, 0 }, rem = { 0, 0 };
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_ERRNO(nanosleep(&t, &rem), EINTR);
	CHECK(rem.tv_sec == 0 && rem.tv_nsec > 500000000);
	close(p[0]);
	close(p[1]);
}

TEST(mask_in_handler)
{
	static sigset_t during;
	struct sigaction sa = { .sa_flags = SA_NODEFER };

	sa.sa_handler = ({ void f(int s) { sigprocmask(SIG_BLOCK, NULL, &during); } f; });
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	CHECK(sigismember(&during, SIGUSR2));
	CHECK(!sigismember(&during, SIGUSR1));
	install(SIGUSR1, handler, SA_RESETHAND);
	raise(SIGUSR1);
	struct sigaction now;
	sigaction(SIGUSR1, NULL, &now);
	CHECK(now.sa_handler == SIG_DFL);
}

static char alt_stack[65536];
static volatile int on_alt;

static void alt_handler(int sig)
{
	char here;

	on_alt = &here >= alt_stack && &here < alt_stack + sizeof alt_stack;
}

TEST(alternate_stack)
{
	stack_t ss = { .ss_sp = alt_stack, .ss_size = sizeof alt_stack }, old;

	CHECK_OK(sigaltstack(&ss, NULL));
	CHECK_OK(sigaltstack(NULL, &old));
	CHECK(old.ss_sp == alt_stack);
	install(SIGUSR1, alt_handler, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(on_alt, 1);
	ss.ss_size = 100;
	CHECK_ERRNO(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&ss, NULL));
}

static sigjmp_buf jump;

static void segv(int sig, siginfo_t *si, void *uc)
{
	last_info = *si;
	siglongjmp(jump, 1);
}

TEST(fault_address_and_code)
{
	struct sigaction sa = { .sa_sigaction = segv, .sa_flags = SA_SIGINFO };
	char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK_OK(sigaction(SIGSEGV, &sa, NULL));
	if (!sigsetjmp(jump, 1)) {
		*(volatile char *)(p + 123) = 1;
		CHECK(!"write to a read-only page");
	}
	CHECK_EQ(last_info.si_code, SEGV_ACCERR);
	CHECK_EQ((long)last_info.si_addr, (long)p + 123);
	munmap(p, 8192);
	if (!sigsetjmp(jump, 1)) {
		(void)*(volatile char *)(p + 4096);
		CHECK(!"read of an unmapped page");
	}
	CHECK_EQ(last_info.si_code, SEGV_MAPERR);
	CHECK_EQ((long)last_info.si_addr, (long)p + 4096);
	signal(SIGSEGV, SIG_DFL);
}

TEST(handler_changes_context)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO };

	sa.sa_sigaction = ({
		void f(int s, siginfo_t *si, void *uc)
		{
			((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] += 2;	/* over the ud2 */
			((ucontext_t *)uc)->uc_mcontext.gregs[REG_RBX] = 0x1234;
		}
		f;
	});
	CHECK_OK(sigaction(SIGILL, &sa, NULL));
	long rbx;
	__asm__ volatile("xorl %%ebx, %%ebx\n\tud2" : "=b"(rbx) : : "memory");
	CHECK_EQ(rbx, 0x1234);
	signal(SIGILL, SIG_DFL);
}

/* Vector registers and flags survive a handler that uses them. */
TEST(registers_survive)
{
	double a[4] = { 1.5, 2.5, 3.5, 4.5 }, out = 0;
	struct sigaction sa = { 0 };

	sa.sa_handler = ({ void f(int s) { volatile double x = 3.0; x = x * x / 7; count++; } f; });
	sigaction(SIGUSR1, &sa, NULL);
	long pid = getpid(), tid = syscall(SYS_gettid), ret = SYS_tgkill;

	__asm__ volatile("movsd %2, %%xmm7\n\tmovsd %3, %%xmm15\n\tstd\n\tcld\n\t"
			 "syscall\n\t"
			 "addsd %%xmm15, %%xmm7\n\tmovsd %%xmm7, %1"
			 : "+a"(ret), "=m"(out)
			 : "m"(a[0]), "m"(a[3]), "D"(pid), "S"(tid), "d"(SIGUSR1)
			 : "rcx", "r11", "memory", "xmm7", "xmm15");
	CHECK_EQ(ret, 0);
	CHECK(out == 6.0);
}

TEST(default_actions)
{
	CHECK_KILLED(SIGTERM, raise(SIGTERM); _exit(1));
	CHECK_KILLED(SIGUSR2, signal(SIGUSR2, SIG_DFL); raise(SIGUSR2); _exit(1));
	CHECK_KILLED(SIGKILL, raise(SIGKILL); _exit(1));
	CHECK_EXITS(0, raise(SIGCHLD); raise(SIGURG); raise(SIGWINCH); raise(SIGCONT));
	CHECK_KILLED(SIGPIPE, int p[2]; signal(SIGPIPE, SIG_DFL); (void)!pipe(p); close(p[0]);
		     (void)!write(p[1], "x", 1); _exit(1));
	CHECK_KILLED(SIGALRM, signal(SIGALRM, SIG_DFL); alarm(1); pause(); _exit(1));
}

TEST(child_signals)
{
	sigset_t set, old;
	siginfo_t si;

	install_info(SIGCHLD, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	pid_t pid = fork();
	if (!pid)
		_exit(4);
	CHECK_EQ(sigwaitinfo(&set, &si), SIGCHLD);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_status, 4);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	signal(SIGCHLD, SIG_IGN);	/* children are not kept */
	pid = fork();
	if (!pid)
		_exit(4);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

TEST(sigsuspend_waits)
{
	sigset_t set, none;

	count = 0;
	install(SIGUSR1, handler, 0);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	CHECK_ERRNO(sigsuspend(&none), EINTR);
	CHECK_EQ(count, 1);
	sigset_t now;
	sigprocmask(SIG_UNBLOCK, &set, &now);
	CHECK(sigismember(&now, SIGUSR1));
}

static void *waiter(void *arg)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &sig);
	return (void *)(long)sig;
}

TEST(threads_and_signals)
{
	pthread_t t;
	sigset_t set;
	void *ret;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	REQUIRE(!pthread_create(&t, NULL, waiter, NULL));
	usleep(50000);
	CHECK_OK(kill(getpid(), SIGUSR1));	/* any thread that waits for it */
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, SIGUSR1);
	REQUIRE(!pthread_create(&t, NULL, waiter, NULL));
	usleep(20000);
	CHECK_EQ(pthread_kill(t, SIGUSR1), 0);
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

TEST(storm)
{
	count = 0;
	install(SIGUSR1, handler, 0);
	pid_t parent = getpid(), child = fork();

	if (!child) {
		for (int i = 0; i < 2000; i++)
			kill(parent, SIGUSR1);
		_exit(0);
	}
	int status;
	while (waitpid(child, &status, 0) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK_EQ(status, 0);
	CHECK_GE(count, 1);
}

TEST_MAIN
