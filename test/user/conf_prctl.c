/* conf_prctl.c - prctl(2): the time stamp counter, calls dispatched to the program, PR_SET_MM; numbers of IPC objects by sysctl. */
#include "conf.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <ucontext.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

static unsigned long tsc(void)
{
	unsigned lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (unsigned long)hi << 32 | lo;
}

static int tsc_mode(void)
{
	int mode = 0;

	CHECK_OK(prctl(PR_GET_TSC, &mode));
	return mode;
}

TEST(tsc_can_be_forbidden)
{
	CHECK_EQ(tsc_mode(), PR_TSC_ENABLE);
	CHECK_ERRNO(prctl(PR_SET_TSC, 3), EINVAL);
	CHECK_KILLED(SIGSEGV, CHECK_OK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV)); tsc());
	/* it stays with the thread across a switch, a child has it too, and others do not */
	CHECK_EXITS(0, CHECK_OK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV)); usleep(1000);
		    CHECK_EQ(tsc_mode(), PR_TSC_SIGSEGV);
		    CHECK_KILLED(SIGSEGV, tsc());
		    CHECK_OK(prctl(PR_SET_TSC, PR_TSC_ENABLE));
		    CHECK(tsc()));
	CHECK(tsc());
}

static volatile char selector;
static volatile int dispatched_nr, dispatched_code;

static void on_sys(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *c = uc;

	selector = 0;
	dispatched_nr = si->si_syscall;
	dispatched_code = si->si_code;
	CHECK_EQ(sig, SIGSYS);
	CHECK_EQ(c->uc_mcontext.gregs[REG_RAX], si->si_syscall); /* as the program had them */
	c->uc_mcontext.gregs[REG_RAX] = 4711;
}

TEST_FORK(calls_dispatched_to_the_program)
{
	struct sigaction sa = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };

	CHECK_OK(sigaction(SIGSYS, &sa, NULL));
	CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 2, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 1, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 1, -1L, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, BAD), EFAULT);
	CHECK_OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector));
	CHECK_EQ(getppid() > 0, 1); /* allowed */
	selector = 1;
	long r = syscall(SYS_getuid);
	CHECK_EQ(r, 4711);
	CHECK_EQ(dispatched_nr, SYS_getuid);
	CHECK_EQ(dispatched_code, 2); /* SYS_USER_DISPATCH */
	CHECK_EQ(selector, 0);
	CHECK_EXITS(0, selector = 1; _exit(0)); /* children begin without */
	CHECK_KILLED(SIGSYS, CHECK_OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector)); selector = 2; getuid());
	/* the whole of memory is the range: nothing is dispatched */
	CHECK_OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, -1L, &selector));
	selector = 1;
	CHECK_EQ(syscall(SYS_getuid), getuid());
	CHECK_OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0));
	CHECK_OK(getppid());
}

TEST(mce_kill_and_io_flusher)
{
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
	CHECK_OK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
	CHECK_OK(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
	CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 3, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 0);
	CHECK_OK(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
	CHECK_EXITS(1, _exit(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0)));
	CHECK_OK(prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_SET_IO_FLUSHER, 2, 0, 0, 0), EINVAL);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0), EPERM));
}

static void cmdline(char *to, size_t n)
{
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t r = read(fd, to, n - 1);

	to[r > 0 ? r : 0] = 0;
	close(fd);
}

/* A new title in memory of its own. */
TEST_FORK(arguments_moved)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), line[64];
	unsigned size = 0;

	REQUIRE(p != MAP_FAILED);
	strcpy(p, "new title");
	/* the end cannot come before the beginning at any step */
	int down = prctl(PR_SET_MM, PR_SET_MM_ARG_START, p, 0, 0) != 0;
	CHECK_OK(prctl(PR_SET_MM, PR_SET_MM_ARG_END, p + 10, 0, 0));
	if (down)
		CHECK_OK(prctl(PR_SET_MM, PR_SET_MM_ARG_START, p, 0, 0));
	cmdline(line, sizeof(line));
	CHECK_STR(line, "new title");
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_END, p - 1, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_START, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_START, p, 1, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_MM, 99, p, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_END, 0x7fffffffe000, 0, 0), EFAULT); /* nothing there, nor above */
	CHECK_OK(prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
	CHECK_EQ(size, 104);
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, BAD, 104, 0), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, p, 103, 0), EINVAL);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_START, &size, 0, 0), EPERM));
}

TEST_FORK(all_places_at_once)
{
	char name[] = "restored", line[64];
	unsigned long brk = (unsigned long)sbrk(0), code = (unsigned long)&check_main & ~4095ul;
	unsigned long map[13] = { code, code + 4096, brk, brk, brk, brk, (unsigned long)&name, (unsigned long)name,
				  (unsigned long)name + sizeof(name), (unsigned long)name, (unsigned long)name, 0, -1ul << 32 };

	CHECK_EXITS(0, become_nobody(); CHECK_OK(prctl(PR_SET_MM, PR_SET_MM_MAP, map, 104, 0)); /* no right needed */
		    cmdline(line, sizeof(line)); CHECK_STR(line, "restored"));
	map[1] = map[0];
	CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, map, 104, 0), EINVAL);
}

static void next_id(const char *kind, int id)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s_next_id", kind);
	FILE *f = fopen(path, "w");
	REQUIRE(f);
	fprintf(f, "%d", id);
	fclose(f);
}

/* Slots far beyond those in use, and one that is taken. */
TEST(ipc_numbers_asked_for)
{
	next_id("msg", 20000);
	int a = msgget(IPC_PRIVATE, 0600);
	CHECK_EQ(a, 20000);
	next_id("msg", 7 << 15 | 20000);
	int b = msgget(IPC_PRIVATE, 0600);
	CHECK_EQ(b, 7 << 15 | 20001);
	next_id("msg", 0x7fffffff);
	int c = msgget(IPC_PRIVATE, 0600);
	CHECK_EQ(c, 0x7fffffff);
	next_id("msg", 0x7fffffff); /* the last slot is taken, and no other is looked at */
	CHECK_ERRNO(msgget(IPC_PRIVATE, 0600), ENOSPC);
	next_id("msg", 3);
	CHECK_OK(msgctl(msgget(IPC_PRIVATE, 0600), IPC_RMID, NULL));
	CHECK_OK(msgctl(a, IPC_RMID, NULL));
	CHECK_OK(msgctl(b, IPC_RMID, NULL));
	CHECK_OK(msgctl(c, IPC_RMID, NULL));
}

TEST_MAIN
