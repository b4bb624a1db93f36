/*
 * Processes: fork, vfork, clone, wait, exit codes, groups and sessions, execve with arguments,
 * environment and scripts, the auxiliary vector, orphans, limits on what is inherited.
 */
// VARIANTS: musl glibc dynamic
#include "check.h"
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

TEST(fork_copies)
{
	int value = 1;
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(shared != MAP_FAILED);
	CHECK_EXITS(7, value = 2; *shared = 5; _exit(7));
	CHECK_EQ(value, 1);
	CHECK_EQ(*shared, 5);
	munmap(shared, 4096);
}

TEST(ids)
{
	pid_t parent = getpid();

	CHECK_EXITS(0, CHECK_EQ(getppid(), parent); CHECK_NE(getpid(), parent);
		    CHECK_EQ(getpid(), syscall(SYS_gettid)));
	CHECK_EQ(getpgid(0), getpgrp());
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(geteuid(), 0);
	CHECK_ERRNO(getpgid(99999999), ESRCH);
}

TEST(wait_flavours)
{
	siginfo_t si;
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(3);
	memset(&si, 0, sizeof si);
	CHECK_OK(waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(si.si_status, 3);
	CHECK_EQ(si.si_signo, SIGCHLD);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 3);
	CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD);

	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK(WIFCONTINUED(status));
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(-1, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(wait_usage)
{
	struct rusage ru;
	int status;
	pid_t pid = fork();

	if (!pid) {
		volatile unsigned long n = 0;

		while (n < 20000000)
			n++;
		_exit(0);
	}
	memset(&ru, 0xff, sizeof ru);
	CHECK_EQ(wait4(pid, &status, 0, &ru), pid);
	CHECK(ru.ru_utime.tv_sec >= 0 && ru.ru_utime.tv_sec < 60);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec > 1000);
}

TEST(groups_and_sessions)
{
	int p[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = fork();
	if (!pid) {
		CHECK_OK(setsid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_ERRNO(setsid(), EPERM);
		CHECK_ERRNO(setpgid(0, 0), EPERM);
		(void)!write(p[1], "x", 1);
		fflush(stdout);
		_exit(check_failures);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(getsid(pid), pid);
	int status;
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);

	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	CHECK_OK(setpgid(pid, pid));
	CHECK_EQ(getpgid(pid), pid);
	CHECK_OK(kill(-pid, SIGTERM));
	CHECK_EQ(waitpid(-pid, &status, 0), pid);
	CHECK_EQ(WTERMSIG(status), SIGTERM);
	CHECK_ERRNO(kill(-pid, 0), ESRCH);
	close(p[0]);
	close(p[1]);
}

TEST(vfork_shares_memory)
{
	static volatile int shared;
	pid_t pid = vfork();
	int status;

	if (!pid) {
		shared = 42;
		_exit(0);
	}
	CHECK_EQ(shared, 42);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
}

static int clone_fn(void *arg)
{
	*(int *)arg = 99;
	return 11;
}

TEST(clone_vm)
{
	static char stack[65536] __attribute__((aligned(16)));
	int value = 0, status;
	int pid = clone(clone_fn, stack + sizeof stack, CLONE_VM | SIGCHLD, &value);

	REQUIRE(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 11);
	CHECK_EQ(value, 99);
	CHECK_ERRNO(clone(clone_fn, stack + sizeof stack, CLONE_THREAD | SIGCHLD, &value), EINVAL);
	CHECK_ERRNO(clone(clone_fn, stack + sizeof stack, CLONE_SIGHAND | SIGCHLD, &value), EINVAL);
}

TEST(orphans_get_a_new_parent)
{
	int p[2];
	pid_t seen = 0;

	CHECK_OK(pipe(p));
	CHECK_EXITS(0, if (!fork()) {
		while (getppid() == seen || kill(getppid(), 0))
			;
		for (int i = 0; i < 200 && getppid() != 1; i++)
			usleep(10000);
		pid_t pp = getppid();
		(void)!write(p[1], &pp, sizeof pp);
		_exit(0);
	} _exit(0););
	CHECK_EQ(read(p[0], &seen, sizeof seen), sizeof seen);
	CHECK_EQ(seen, 1);
	close(p[0]);
	close(p[1]);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		CHECK_FAIL_("write %s", path);
	fchmod(fd, mode);
	close(fd);
}

TEST(exec_scripts)
{
	write_file("script", "#!/bin/sh -e\nexit $1\n", 0755);
	CHECK_EXITS(33, execl("./script", "script", "33", NULL); _exit(1));
	write_file("nested", "#!./script 44\n", 0755);
	CHECK_EXITS(44, execl("./nested", "nested", NULL); _exit(1));
	write_file("loop", "#!./loop\n", 0755);
	CHECK_ERRNO(execl("./loop", "loop", NULL), ELOOP);
	write_file("plain", "exit 5\n", 0755);
	CHECK_ERRNO(execl("./plain", "plain", NULL), ENOEXEC);
	write_file("empty", "", 0755);
	CHECK_ERRNO(execl("./empty", "empty", NULL), ENOEXEC);
	write_file("nomode", "#!/bin/sh\n", 0644);
	CHECK_ERRNO(execl("./nomode", "nomode", NULL), EACCES);
	CHECK_ERRNO(execl("./absent", "absent", NULL), ENOENT);
	CHECK_ERRNO(execl("/", "dir", NULL), EACCES);
	CHECK_ERRNO(execl("./plain/x", "x", NULL), ENOTDIR);
	write_file("badinterp", "#!/no/such/interpreter\n", 0755);
	CHECK_ERRNO(execl("./badinterp", "x", NULL), ENOENT);
	CHECK_ERRNO(execve("./script", (char **)1, NULL), EFAULT);
}

TEST(exec_environment)
{
	char *argv[] = { "sh", "-c", "[ \"$A\" = b ] && [ $# = 2 ] && [ -z \"$HOME\" ] && exit 21",
			 "x", "y", "z", NULL };
	char *envp[] = { "A=b", "PATH=/bin", NULL };

	CHECK_EXITS(21, execve("/bin/sh", argv, envp); _exit(1));
}

TEST(exec_closes_and_resets)
{
	CHECK_EXITS(9, {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		char cmd[100];

		dup2(fd, 50);
		signal(SIGUSR1, SIG_IGN);
		snprintf(cmd, sizeof cmd,
			 "[ -e /proc/self/fd/50 ] && [ ! -e /proc/self/fd/%d ] && exit 9", fd);
		execl("/bin/sh", "sh", "-c", cmd, NULL);
		_exit(1);
	});
}

TEST(exec_long_arguments)
{
	static char big[100000];
	char *argv[] = { "sh", "-c", "[ ${#1} = 99999 ] && exit 8", "x", big, NULL };
	static char huge[140000];

	memset(big, 'a', sizeof big - 1);
	CHECK_EXITS(8, execv("/bin/sh", argv); _exit(1));
	memset(huge, 'a', sizeof huge - 1);
	argv[4] = huge;
	CHECK_ERRNO(execv("/bin/sh", argv), E2BIG);	/* one string is at most 128 KiB */
}

TEST(auxiliary_vector)
{
	CHECK_EQ(getauxval(AT_PAGESZ), 4096);
	CHECK_NE(getauxval(AT_PHDR), 0);
	CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
	CHECK_NE(getauxval(AT_ENTRY), 0);
	CHECK_NE(getauxval(AT_RANDOM), 0);
	CHECK_EQ(getauxval(AT_CLKTCK), 100);
	CHECK_EQ(getauxval(AT_SECURE), 0);
	CHECK_EQ(getauxval(AT_UID), getuid());
	CHECK_NE(getauxval(AT_HWCAP), 0);
	REQUIRE(getauxval(AT_EXECFN));
	CHECK(strstr((char *)getauxval(AT_EXECFN), "proc") != NULL);
	REQUIRE(getauxval(AT_PLATFORM));
	CHECK_STR((char *)getauxval(AT_PLATFORM), "x86_64");
	REQUIRE(getauxval(AT_SYSINFO_EHDR));
	CHECK(!memcmp((char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG));
}

TEST(exit_codes)
{
	CHECK_EXITS(255, _exit(-1));
	CHECK_EXITS(44, _exit(300));
	CHECK_KILLED(SIGABRT, signal(SIGABRT, SIG_DFL); struct rlimit r = { 0, 0 };
		     setrlimit(RLIMIT_CORE, &r); abort());
}

TEST(pdeathsig_and_name)
{
	char name[16] = "";
	int sig = -1;

	CHECK_OK(prctl(PR_SET_NAME, "quoin-test-name-too-long"));
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STR(name, "quoin-test-name");
	CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
	CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
	CHECK_EQ(sig, SIGUSR1);
	CHECK_OK(prctl(PR_SET_PDEATHSIG, 0));
	CHECK_ERRNO(prctl(12345, 0, 0, 0, 0), EINVAL);
}

TEST(many_children)
{
	enum { N = 100 };
	int sum = 0, status;

	fflush(NULL);
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();

		REQUIRE(pid >= 0);
		if (!pid)
			_exit(i);
	}
	for (int i = 0; i < N; i++) {
		REQUIRE(wait(&status) > 0);
		sum += WEXITSTATUS(status);
	}
	CHECK_EQ(sum, N * (N - 1) / 2);
	CHECK_ERRNO(wait(&status), ECHILD);
}

TEST(limits)
{
	struct rlimit r;

	CHECK_OK(getrlimit(RLIMIT_STACK, &r));
	CHECK_EQ(r.rlim_cur, 8 << 20);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK_GE(r.rlim_cur, 1024);
	CHECK_EXITS(0, {
		r.rlim_cur = 10;
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
		int fd;
		while ((fd = open("/dev/null", O_RDONLY)) >= 0)
			CHECK_LT(fd, 10);
		CHECK_EQ(errno, EMFILE);
	});
	CHECK_ERRNO(getrlimit(99, &r), EINVAL);
}

TEST_MAIN
