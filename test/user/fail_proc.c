// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G
/*
 * Processes, threads, their signals, timers, filters and tracers, with every allocation made to fail in turn (fail.h). A process that could
 * not be made leaves no child to wait for; a program that cannot be run leaves the old one, or dies beyond the point of no return.
 */
#include "fail.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER 8
#endif

extern char **environ;
static int fd = -1;
static pid_t pid;

static int keep(int f)
{
	fd = f;
	return fail_of(f);
}
static int u_close(int err)
{
	return err ? 0 : close(fd);
}

/* ---- new processes ---- */

struct clone_args_ {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
static int child_tid, parent_tid, pidfd, wanted;
static unsigned long clone_flags;
static int c_clone3(void)
{
	struct clone_args_ a = { .flags = clone_flags, .pidfd = (uint64_t)&pidfd, .child_tid = (uint64_t)&child_tid,
				 .parent_tid = (uint64_t)&parent_tid, .exit_signal = SIGCHLD };

	if (wanted) {
		a.set_tid = (uint64_t)&wanted;
		a.set_tid_size = 1;
	}
	pidfd = -1;
	pid = syscall(SYS_clone3, &a, sizeof a);
	if (!pid)
		_exit(0);
	return fail_of(pid);
}
/* No child, and no descriptor of one, when it failed. */
static int u_clone3(int err)
{
	int st, bad;

	if (err)
		return waitpid(-1, &st, WNOHANG) != -1 || errno != ECHILD || (pidfd >= 0 && !close(pidfd));
	bad = waitpid(pid, &st, 0) != pid || st || (clone_flags & CLONE_PARENT_SETTID && parent_tid != pid);
	if (pidfd >= 0)
		close(pidfd);
	return bad;
}
static int set_wanted(void)
{
	wanted = 31000;
	return 0;
}
static int u_wanted(int err)
{
	wanted = 0;
	return (!err && pid != 31000) || u_clone3(err);
}
static int c_vfork(void)
{
	pid = vfork();
	if (!pid)
		_exit(0);
	return fail_of(pid);
}
static int u_vfork(int err)
{
	int st;

	if (err)
		return waitpid(-1, &st, WNOHANG) != -1 || errno != ECHILD;
	return waitpid(pid, &st, 0) != pid || st;
}
/* The child's program is killed or gives 127 when it cannot be run. */
static char *words[] = { "fail", "--ok", "some", "words", NULL };
static int c_spawn(void)
{
	posix_spawn_file_actions_t fa;
	int err;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 9, "/dev/null", O_RDONLY, 0);
	words[0] = fail_self;
	err = posix_spawn(&pid, fail_self, &fa, NULL, words, environ);
	posix_spawn_file_actions_destroy(&fa);
	return err;
}
static void *thread_main(void *arg)
{
	return arg;
}
static pthread_t thread;
static int c_thread(void) { return pthread_create(&thread, NULL, thread_main, NULL); }
static int u_thread(int err) { return err ? 0 : pthread_join(thread, NULL); }

/* ---- programs: in a child, which may be killed ---- */

static const char script[] = "#!";
static int set_script(void)
{
	char line[256];
	int err = 0, len = snprintf(line, sizeof line, "%s%s --ok\n", script, fail_self);

	TRY(fd = open("/tmp/fail.sh", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755));
	TRY(write(fd, line, len));
out:
	close(fd);
	return err;
}
static int exec_path(const char *path)
{
	words[0] = fail_self;
	execve(path, words, environ);
	return errno;
}
static int c_script(void) { return exec_path("/tmp/fail.sh"); }
static int c_many(void)
{
	static char word[3000];
	static char *argv[16];

	memset(word, 'x', sizeof word - 1);
	argv[0] = fail_self;
	argv[1] = (char *)"--ok";
	for (int i = 2; i < 15; i++)
		argv[i] = word;
	execve(fail_self, argv, environ);
	return errno;
}
static int c_execveat(void)
{
	int f = open(fail_self, O_PATH), err = 0;

	TRY(f);
	syscall(SYS_execveat, f, "", words, environ, AT_EMPTY_PATH);
	err = errno;
out:
	return err;
}
/* From a thread: the others end first. */
static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}
static int set_threads(void) { return pthread_create(&thread, NULL, idle, NULL); }
static int c_exec(void) { return exec_path(fail_self); }

/* ---- a core: all of it, or none; the process dies in any case ---- */

static int set_core(void)
{
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };

	return chdir("/tmp") ? errno : fail_of(setrlimit(RLIMIT_CORE, &l));
}
static int c_core(void)
{
	signal(SIGSEGV, SIG_DFL);
	kill(getpid(), SIGSEGV);
	return EPROTO;
}

/* ---- signals and timers ---- */

static int set_blocked(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN + 1);
	return fail_of(sigprocmask(SIG_BLOCK, &s, NULL));
}
static int c_sigqueue(void) { return fail_of(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 77 })); }
static int u_sigqueue(int err)
{
	sigset_t s;
	siginfo_t i;

	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN + 1);
	int sig = sigtimedwait(&s, &i, &(struct timespec){ 0, 0 });
	return err ? sig >= 0 : sig != SIGRTMIN + 1 || i.si_value.sival_int != 77;
}
static int timer_id;
static int c_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };

	return fail_of(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &timer_id));
}
static int u_timer(int err) { return err ? 0 : fail_of(syscall(SYS_timer_delete, timer_id)); }
static int c_cpu_timer(void)
{
	struct itimerspec t = { { 0, 0 }, { 100, 0 } };
	int err = fail_of(syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, NULL, &timer_id));

	if (!err && syscall(SYS_timer_settime, timer_id, 0, &t, NULL)) {
		err = errno;
		syscall(SYS_timer_delete, timer_id);
	}
	return err;
}

/* ---- rights, names, filters ---- */

static int c_groups(void)
{
	gid_t g[300];

	for (int i = 0; i < 300; i++)
		g[i] = i;
	return fail_of(syscall(SYS_setgroups, 300, g));
}
static int u_groups(int err)
{
	int n = syscall(SYS_getgroups, 0, NULL);

	return syscall(SYS_setgroups, 0, NULL) || n != (err ? 0 : 300);
}
static int c_uid(void) { return fail_of(syscall(SYS_setresuid, -1, 1, -1)); }
static int u_uid(int err)
{
	uid_t was = geteuid();

	return syscall(SYS_setresuid, -1, 0, -1) || was != (err ? 0 : 1);
}
static int c_caps(void) { return fail_of(prctl(PR_CAPBSET_DROP, 20, 0, 0, 0)); }
static int c_keepcaps(void) { return fail_of(prctl(PR_SET_SECUREBITS, 1 << 4, 0, 0, 0)); }
static int u_caps(int err) { return prctl(PR_CAPBSET_READ, 20, 0, 0, 0) != !!err; }
static int filter(unsigned flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 55),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { 4, f };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
static int c_filter(void) { return fail_of(filter(0)); }
static int u_filter(int err)
{
	return (syscall(SYS_getppid) == -1) == !!err;
}
static int c_listener(void) { return keep(filter(SECCOMP_FILTER_FLAG_NEW_LISTENER)); }
static int c_unshare(void)
{
	return fail_of(unshare(CLONE_FILES | CLONE_FS));
}
static void *pauses(void *arg)
{
	return idle(arg);
}
static int set_sharing(void) { return pthread_create(&thread, NULL, pauses, NULL); }

/* ---- other processes ---- */

static int set_sleeper(void)
{
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	return fail_of(pid);
}
static int reap(int bad)
{
	kill(pid, SIGKILL);
	return waitpid(pid, NULL, 0) != pid || bad;
}
static int c_pidfd(void) { return keep(syscall(SYS_pidfd_open, pid, 0)); }
static int u_pidfd(int err) { return reap(u_close(err)); }
static int c_getfd(void)
{
	int p = syscall(SYS_pidfd_open, pid, 0), err = 0;

	TRY(p);
	TRY(fd = syscall(SYS_pidfd_getfd, p, 1, 0));
out:
	close(p);
	return err;
}
static int u_attach(int err)
{
	(void)err;
	return reap(0);
}
static int set_stopped(void)
{
	int st, err = set_sleeper();

	if (err || ptrace(PTRACE_ATTACH, pid, 0, 0))
		return err ? err : errno;
	return waitpid(pid, &st, 0) == pid ? 0 : errno;
}
static int watched;
static int c_regs(void)
{
	struct user_regs_struct r;
	struct user_fpregs_struct f;
	int err = 0;

	TRY(ptrace(PTRACE_GETREGS, pid, 0, &r));
	TRY(ptrace(PTRACE_SETREGS, pid, 0, &r));
	TRY(ptrace(PTRACE_GETFPREGS, pid, 0, &f));
	TRY(ptrace(PTRACE_SETFPREGS, pid, 0, &f));
	TRY(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &watched));
out:
	return err;
}
/* ---- waiting words: priority inheritance takes memory ---- */

static int word;
static int c_lock_pi(void) { return fail_of(syscall(SYS_futex, &word, 6 /* LOCK_PI */, 0, NULL, NULL, 0)); }
static int u_lock_pi(int err) { return err ? word : syscall(SYS_futex, &word, 7 /* UNLOCK_PI */, 0, NULL, NULL, 0) || word; }
static int c_trylock_held(void)
{
	return syscall(SYS_futex, &word, 6, 0, &(struct timespec){ 0, 0 }, NULL, 0) && errno != ETIMEDOUT && errno != EDEADLK ? errno : 0;
}
static int set_held(void)
{
	word = set_sleeper() ? 0 : pid;
	return word ? 0 : EAGAIN;
}
static int u_held(int err)
{
	(void)err;
	word = 0;
	return reap(0);
}

static const struct fail_case births[] = {
	FAIL("clone3", NULL, c_clone3, u_clone3, .also = { EAGAIN, EFAULT }),
	FAIL("clone3 of a number", set_wanted, c_clone3, u_wanted, .also = { EAGAIN, EFAULT }),
	FAIL("vfork", NULL, c_vfork, u_vfork, .also = { EAGAIN }),
	FAIL("posix_spawn", NULL, c_spawn, u_vfork, .also = { EAGAIN }),
	FAIL("thread", NULL, c_thread, u_thread, .also = { EAGAIN }),
};

static const struct fail_case programs[] = {
	FAIL("script", set_script, c_script, NULL, .child = true, .loose = true),
	FAIL("many words", NULL, c_many, NULL, .also = { EFAULT, E2BIG }, .child = true, .loose = true),
	FAIL("execveat", NULL, c_execveat, NULL, .child = true, .loose = true),
	FAIL("exec of one of two threads", set_threads, c_exec, NULL, .roof = 16, .child = true, .loose = true),
};

static const struct fail_case signals[] = {
	FAIL("sigqueue", set_blocked, c_sigqueue, u_sigqueue, .also = { EAGAIN }),
	FAIL("timer_create", NULL, c_timer, u_timer, .also = { EAGAIN }),
	FAIL("timer of CPU time", NULL, c_cpu_timer, u_timer, .also = { EAGAIN }),
};

static const struct fail_case rights[] = {
	FAIL("setgroups", NULL, c_groups, u_groups),
	FAIL("setresuid", NULL, c_uid, u_uid, .also = { EAGAIN }),
	FAIL("bounding set", NULL, c_caps, u_caps, .child = true),
	FAIL("securebits", NULL, c_keepcaps, NULL, .child = true),
	FAIL("filter", NULL, c_filter, u_filter, .child = true),
	FAIL("listener", NULL, c_listener, NULL, .child = true),
	FAIL("unshare", set_sharing, c_unshare, NULL, .child = true),
};

static const struct fail_case others[] = {
	FAIL("pidfd_open", set_sleeper, c_pidfd, u_pidfd),
	FAIL("pidfd_getfd", set_sleeper, c_getfd, u_pidfd),
	FAIL("registers", set_stopped, c_regs, u_attach),
	FAIL("lock_pi", NULL, c_lock_pi, u_lock_pi),
	FAIL("lock_pi waiting", set_held, c_trylock_held, u_held),
};

TEST(new_processes)
{
	static const unsigned long flags[] = { CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PIDFD, CLONE_FS | CLONE_FILES,
					       CLONE_FS | CLONE_SYSVSEM | CLONE_IO, 0x100000000 /* CLEAR_SIGHAND */, 0 };

	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		clone_flags = flags[i];
		FAIL_FAMILY(births);
		if (!fail_long)
			i += 3;
	}
}

TEST(new_programs)
{
	FAIL_FAMILY(programs);
	unlink("/tmp/fail.sh");
}

TEST(cores)
{
	static const struct fail_case core = FAIL("core", set_core, c_core, NULL, .dies = SIGSEGV, .roof = 40, .child = true);

	fail_case(&core);
	unlink("/tmp/core");
}

TEST(signals_and_timers)
{
	FAIL_FAMILY(signals);
}

TEST(rights_and_filters)
{
	FAIL_FAMILY(rights);
}

TEST(other_processes)
{
	FAIL_FAMILY(others);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
