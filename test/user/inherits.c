// BOOT: --smp 4 --memory 1G
/*
 * What a child has of its parent, and what a new program has not of the old one: each set before fork or exec to something nobody has by
 * default, and looked at afterwards.
 */
#include "check.h"
#include <asm/prctl.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>

#define IOPRIO (2 << 13 | 6) /* best effort, 6 */
#define OLD_LIST 0x12345678ul
#define OLD_GS 0x1234000ul
#define ELSEWHERE 0x123400000000ul
#define USER_DISPATCH 59 /* PR_SET_SYSCALL_USER_DISPATCH */

static const char *self = "/proc/self/exe";

static int become(const char *what)
{
	execl(self, "inherits", what, NULL);
	return 99;
}

static long oom_adjustment(void)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY);

	if (read(fd, text, sizeof(text) - 1) <= 0)
		strcpy(text, "-9999");
	close(fd);
	return atol(text);
}

/* --- fork --- */

TEST_FORK(child_has)
{
	struct rlimit lim = { 123, 456 }, got;
	sigset_t set;
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	CHECK_EQ(write(fd, "321", 3), 3);
	close(fd);
	CHECK_OK(syscall(SYS_ioprio_set, 1, 0, IOPRIO));
	CHECK_OK(personality(ADDR_NO_RANDOMIZE));
	CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 77777, 0, 0, 0));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK_OK(umask(0135));
	CHECK_EXITS(0, {
		CHECK_EQ(oom_adjustment(), 321);
		CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), IOPRIO);
		CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
		CHECK_EQ(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
		CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 77777);
		CHECK_OK(getrlimit(RLIMIT_NOFILE, &got));
		CHECK(got.rlim_cur == 123 && got.rlim_max == 456);
		sigemptyset(&set);
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &set));
		CHECK(sigismember(&set, SIGUSR2) && !sigismember(&set, SIGUSR1));
		CHECK_EQ(umask(0), 0135);
	});
	/* libc's fork() sets the mask itself, so without it */
	int st = -1;
	pid_t child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);

	if (!child)
		_exit(sigprocmask(SIG_BLOCK, NULL, &set) || !sigismember(&set, SIGUSR2) || sigismember(&set, SIGUSR1));
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
}

/* --- exec: before, and after in main() --- */

static bool list_is_new(void)
{
	void *head = NULL;
	size_t len = 0;

	return !syscall(SYS_get_robust_list, 0, &head, &len) && (unsigned long)head != OLD_LIST;
}

static bool no_alternate_stack(void)
{
	stack_t s = { 0 };

	return !sigaltstack(NULL, &s) && s.ss_flags == SS_DISABLE;
}

static bool no_timer(void)
{
	struct itimerspec its;

	return syscall(SYS_timer_gettime, 0, &its) == -1 && errno == EINVAL;
}

static bool fresh_vector_unit(void)
{
	unsigned mxcsr = 0;
	unsigned short cw = 0;

	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	asm volatile("fnstcw %0" : "=m"(cw));
	return (mxcsr & ~0x3fu) == 0x1f80 && cw == 0x37f;
}

static bool no_gs(void)
{
	unsigned long gs = 1;

	return !syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) && !gs;
}

static bool still_has(void)
{
	struct rlimit got;
	sigset_t set;

	sigemptyset(&set);
	return oom_adjustment() == 322 && personality(0xffffffff) == ADDR_NO_RANDOMIZE && syscall(SYS_ioprio_get, 1, 0) == IOPRIO &&
	       !getrlimit(RLIMIT_NOFILE, &got) && got.rlim_cur == 124 && !sigprocmask(SIG_BLOCK, NULL, &set) && sigismember(&set, SIGUSR2);
}

/* The new program: how many things are not as they should be. */
static int after(void)
{
	int wrong = 0;
#define WANT(cond)                                        \
	do {                                              \
		if (!(cond)) {                            \
			printf("  after exec: %s does not hold\n", #cond); \
			wrong++;                          \
		}                                         \
	} while (0)
	WANT(list_is_new());
	WANT(no_alternate_stack());
	WANT(no_timer());
	WANT(fresh_vector_unit());
	WANT(no_gs());
	WANT(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) == 0);
	WANT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
	WANT(still_has());
	return wrong;
}

TEST_FORK(new_program_has_not)
{
	static char stack[16384];
	char *allow = mmap((void *)ELSEWHERE, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t s = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct itimerspec soon = { .it_value.tv_sec = 100 };
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct rlimit lim = { 124, 456 };
	unsigned mxcsr = 0x1f80 | 3 << 13; /* round towards zero */
	unsigned short cw = 0x37f | 3 << 10;
	int timer = -1, fd = open("/proc/self/oom_score_adj", O_WRONLY);
	sigset_t set;

	CHECK_EQ(write(fd, "322", 3), 3);
	close(fd);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
	CHECK_OK(syscall(SYS_ioprio_set, 1, 0, IOPRIO));
	CHECK_OK(personality(ADDR_NO_RANDOMIZE));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK_OK(syscall(SYS_set_robust_list, OLD_LIST, 24));
	CHECK_OK(sigaltstack(&s, NULL));
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &timer));
	CHECK_EQ(timer, 0);
	CHECK_OK(syscall(SYS_timer_settime, timer, 0, &soon, NULL));
	CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, OLD_GS));
	CHECK(allow == (char *)ELSEWHERE);
	CHECK_OK(prctl(USER_DISPATCH, 1, 0x1000, 0x1000, allow)); /* the new program has nothing where the switch was */
	fflush(NULL);
	asm volatile("ldmxcsr %0" ::"m"(mxcsr));
	asm volatile("fldcw %0" ::"m"(cw));
	_exit(become("after"));
}

/* Who had another signal for its end has the usual one as a program. */
TEST_FORK(signal_of_the_end)
{
	struct timespec limit = { 20, 0 };
	sigset_t set;
	int st;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	pid_t child = syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, 0);
	if (!child)
		_exit(0);
	CHECK_EQ(sigtimedwait(&set, NULL, &limit), SIGUSR1);
	CHECK_EQ(waitpid(child, &st, __WALL), child);
	child = syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, 0);
	if (!child)
		_exit(become("nothing"));
	CHECK_EQ(sigtimedwait(&set, NULL, &limit), SIGCHLD);
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
}

/* A program of its own has its own descriptors: what it closes stays open here. */
TEST_FORK(descriptors_part)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), st;
	pid_t child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);

	if (!child)
		_exit(become("nothing"));
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

/* The parent goes on when the child has become a program, not when that ends. */
TEST_FORK(vfork_ends_at_exec)
{
	int to[2], st = -1;

	alarm(20);
	CHECK_OK(pipe(to));
	CHECK_OK(dup2(to[0], 0));
	pid_t child = vfork();
	if (!child)
		_exit(become("wait"));
	CHECK_EQ(waitpid(child, &st, WNOHANG), 0);
	CHECK_EQ(write(to[1], "x", 1), 1);
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
}

/* The new program is not stopped where the old one was watched. */
TEST_FORK(breakpoints_go)
{
	long dr7 = offsetof(struct user, u_debugreg[7]), dr0 = offsetof(struct user, u_debugreg[0]);
	int st;
	pid_t child = fork();

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(become("nothing"));
	}
	REQUIRE(waitpid(child, &st, 0) == child && WIFSTOPPED(st));
	CHECK_OK(ptrace(PTRACE_POKEUSER, child, dr0, (void *)&become));
	CHECK_OK(ptrace(PTRACE_POKEUSER, child, dr7, (void *)0x101));
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	REQUIRE(waitpid(child, &st, 0) == child && WIFSTOPPED(st)); /* become() is reached */
	CHECK_EQ(WSTOPSIG(st), SIGTRAP);
	CHECK(ptrace(PTRACE_PEEKUSER, child, dr7, 0) & 1);
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	REQUIRE(waitpid(child, &st, 0) == child && WIFSTOPPED(st)); /* exec */
	CHECK_EQ(WSTOPSIG(st), SIGTRAP);
	CHECK_EQ(ptrace(PTRACE_PEEKUSER, child, dr7, 0) & 0xff, 0);
	CHECK_EQ(ptrace(PTRACE_PEEKUSER, child, dr0, 0), 0);
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(waitpid(child, &st, 0), child);
	CHECK(WIFEXITED(st) && !WEXITSTATUS(st));
}

int main(int argc, char **argv)
{
	char c;

	if (argc == 2 && !strcmp(argv[1], "after"))
		return after();
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc == 2 && !strcmp(argv[1], "wait"))
		return read(0, &c, 1) != 1;
	return check_main(argc, argv);
}
