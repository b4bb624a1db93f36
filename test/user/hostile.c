/*
 * A program that means no good: bad pointers to every system call, jumps to kernel addresses, divides by
 * zero, non-canonical addresses, privileged instructions, broken stacks.  Each gets the signal or errno
 * that Linux gives, and the system goes on.
 */
// TIMEOUT: 120
// BOOT: --smp 4 --memory 512M
#include "check.h"
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

static int seen_sig, seen_code;
static unsigned long seen_addr;
static sigjmp_buf jump;
static char alt[65536];

static void caught(int sig, siginfo_t *si, void *uc)
{
	seen_sig = sig;
	seen_code = si->si_code;
	seen_addr = (unsigned long)si->si_addr;
	siglongjmp(jump, 1);
}

static void catch_all(void)
{
	struct sigaction sa = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };

	sigaltstack(&ss, NULL);
	for (int i = 0; i < 6; i++)
		sigaction(sigs[i], &sa, NULL);
}

#define TRY(...)                                                                                 \
	do {                                                                                     \
		seen_sig = 0;                                                                    \
		if (!sigsetjmp(jump, 1)) {                                                       \
			__VA_ARGS__;                                                             \
		}                                                                                \
	} while (0)
#define GIVES(sig, code, ...)                                                                    \
	do {                                                                                     \
		TRY(__VA_ARGS__);                                                                \
		CHECK_EQ(seen_sig, sig);                                                         \
		CHECK_EQ(seen_code, code);                                                       \
	} while (0)

TEST_FORK(exceptions)
{
	catch_all();
	GIVES(SIGFPE, FPE_INTDIV, __asm__ volatile("xorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\tcltd\n\tidivl %%ecx" ::: "eax", "ecx", "edx"));
	GIVES(SIGILL, ILL_ILLOPN, __asm__ volatile("ud2"));
	GIVES(SIGTRAP, SI_KERNEL, __asm__ volatile("int3"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("hlt"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("cli"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("outb %%al, $0x80" ::: "memory"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("int $0x21"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("mov %%rax, %%cr3" ::: "memory"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("rdmsr" ::: "eax", "edx"));
	GIVES(SIGSEGV, SI_KERNEL, __asm__ volatile("mov %0, %%ds" :: "r"(0x1234)));
	GIVES(SIGSEGV, SI_KERNEL, (void)*(volatile char *)0x800000000000000ul);	/* not canonical */
	GIVES(SIGTRAP, TRAP_TRACE, __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop" ::: "memory", "cc"));
}

TEST_FORK(kernel_addresses)
{
	static const unsigned long addresses[] = {
		0xffff800000000000, 0xffff888000000000, 0xffffc00000000000, 0xffffffff80000000,
		0xffffffff81000000, 0xffffffffff5fc000, 0xfffffffffffff000,
	};

	catch_all();
	for (int i = 0; i < (int)(sizeof addresses / sizeof *addresses); i++) {
		volatile char *p = (volatile char *)addresses[i];

		GIVES(SIGSEGV, SEGV_MAPERR, (void)*p);
		CHECK_EQ(seen_addr, addresses[i]);
		GIVES(SIGSEGV, SEGV_MAPERR, *p = 1);
		GIVES(SIGSEGV, SEGV_MAPERR, ((void (*)(void))p)());
	}
	TRY(((void (*)(void))0)());
	CHECK_EQ(seen_sig, SIGSEGV);
	GIVES(SIGSEGV, SEGV_ACCERR, ((void (*)(void))alt)());		/* data is not executable */
	GIVES(SIGSEGV, SEGV_ACCERR, *(volatile char *)catch_all = 1);	/* text is not writable */
}

TEST_FORK(broken_stacks)
{
	struct rlimit core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &core);
	catch_all();
	GIVES(SIGSEGV, SEGV_MAPERR, __asm__ volatile("xorl %%esp, %%esp\n\tpush %%rax" ::: "memory"));
	TRY(__asm__ volatile("movabs $0x8000000000000000, %%rsp\n\tpush %%rax" ::: "memory"));
	CHECK(seen_sig == SIGBUS || seen_sig == SIGSEGV);
	/* a signal that cannot be delivered kills */
	CHECK_KILLED(SIGSEGV, stack_t ss = { .ss_flags = SS_DISABLE }; sigaltstack(&ss, NULL);
		     __asm__ volatile("xorl %%esp, %%esp\n\tpush %%rax" ::: "memory"));
	/* sigreturn from nothing */
	CHECK_KILLED(SIGSEGV, signal(SIGSEGV, SIG_DFL);
		     __asm__ volatile("xorl %%esp, %%esp\n\tmovl $15, %%eax\n\tsyscall" ::: "memory"));
	CHECK_KILLED(SIGSEGV, {
		static char zeros[4096];
		signal(SIGSEGV, SIG_DFL);
		__asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall" :: "r"(zeros + 1024) : "memory");
	});
}

/* A signal frame whose registers the handler spoiled: kernel selectors, non-canonical RIP and RSP, RFLAGS. */
static unsigned long spoil_value;
static int spoil_reg;

static void spoil(int sig, siginfo_t *si, void *uc)
{
	((ucontext_t *)uc)->uc_mcontext.gregs[spoil_reg] = spoil_value;
}

TEST_FORK(spoiled_contexts)
{
	static const struct {
		int reg;
		unsigned long value;
	} cases[] = {
		{ REG_RIP, 0x8000000000000000 }, { REG_RIP, 0xffffffff81000000 }, { REG_RIP, 0x7ffffffff000 },
		{ REG_RIP, 0x7fffffffffff }, { REG_RIP, 0x800000000000 }, { REG_RSP, 0x8000000000000000 },
		{ REG_RSP, 0xffffffff81000000 }, { REG_CSGSFS, 0 }, { REG_CSGSFS, 0x10 }, { REG_CSGSFS, 0x8 },
		{ REG_CSGSFS, 0xffffffffffffffff },
	};
	struct rlimit core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &core);
	for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
		int status = IN_CHILD({
			struct sigaction sa = { .sa_sigaction = spoil, .sa_flags = SA_SIGINFO };
			spoil_reg = cases[i].reg;
			spoil_value = cases[i].value;
			sigaction(SIGUSR1, &sa, NULL);
			raise(SIGUSR1);
			_exit(0);
		});

		CHECK((WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS ||
					      WTERMSIG(status) == SIGILL)) || status == 0);
	}
	/* interrupt and I/O flags asked for in RFLAGS are not given */
	CHECK_EXITS(0, {
		struct sigaction sa = { .sa_sigaction = spoil, .sa_flags = SA_SIGINFO };
		unsigned long flags;
		spoil_reg = REG_EFL;
		spoil_value = 0x3202 | 1 << 14 | 1 << 17;
		sigaction(SIGUSR1, &sa, NULL);
		raise(SIGUSR1);
		__asm__ volatile("pushfq\n\tpop %0" : "=r"(flags));
		CHECK_EQ(flags & (0x3000 | 1 << 14 | 1 << 17), 0);
		CHECK_EQ(flags & 0x200, 0x200);
	});
}

/* A context that leads nowhere is entered all the same: the handler of the fault sees where it was to go. */
static unsigned long seen_rip;

static void caught_where(int sig, siginfo_t *si, void *uc)
{
	seen_rip = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
	caught(sig, si, uc);
}

TEST_FORK(returns_to_nowhere)
{
	static const struct {
		unsigned long rip;
		int code;
	} cases[] = {
		{ 0x100000000000000, SI_KERNEL }, { 0x8000000000000000, SI_KERNEL }, { 0x7ffffffff000, SEGV_MAPERR },
		{ 0xffffffff81000000, SEGV_MAPERR }, { 0xffff800000000000, SEGV_MAPERR },
	};
	struct sigaction sa = { .sa_sigaction = spoil, .sa_flags = SA_SIGINFO };

	catch_all();
	sigaction(SIGUSR1, &sa, NULL);
	sa = (struct sigaction){ .sa_sigaction = caught_where, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &sa, NULL);
	spoil_reg = REG_RIP;
	for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
		seen_rip = 0;
		spoil_value = cases[i].rip;
		GIVES(SIGSEGV, cases[i].code, raise(SIGUSR1));
		CHECK_EQ(seen_rip, cases[i].rip);
		CHECK_EQ(seen_addr, cases[i].code == SI_KERNEL ? 0 : cases[i].rip);
	}
}

/* What a program puts into its flags stays there through system calls, also when each instruction traps. */
static void ignored(int sig)
{
}

static unsigned long flags_after_call(unsigned long set)
{
	unsigned long flags, nr = SYS_getppid;

	__asm__ volatile("pushfq\n\torq %2, (%%rsp)\n\tpopfq\n\tsyscall\n\tpushfq\n\tpopq %1\n\tpushq $0x202\n\tpopfq"
			 : "+a"(nr), "=&r"(flags) : "r"(set) : "rcx", "r11", "memory", "cc");
	return flags & set;
}

TEST_FORK(flags_stay)
{
	static const unsigned long sets[] = { 1 << 14, 1 << 18, 0x100, 1 << 14 | 0x100, 1 << 18 | 0x100, 1 << 14 | 1 << 18 | 0x100 };

	signal(SIGTRAP, ignored);
	for (int i = 0; i < (int)(sizeof sets / sizeof *sets); i++)
		CHECK_EQ(flags_after_call(sets[i]), sets[i]);
}

/* Calls that end or replace the process, stop it, or wait for what never comes. */
static bool skipped(long nr)
{
	static const long list[] = {
		SYS_rt_sigreturn, SYS_exit, SYS_exit_group, SYS_pause, SYS_fork, SYS_vfork, SYS_clone, SYS_reboot,
		SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_wait4, SYS_waitid,
		SYS_select, SYS_pselect6, SYS_poll, SYS_ppoll, SYS_futex, SYS_epoll_wait, SYS_epoll_pwait,
		SYS_epoll_pwait2, SYS_nanosleep, SYS_clock_nanosleep, SYS_munmap, SYS_brk, SYS_mremap, SYS_mprotect,
		SYS_pkey_mprotect, SYS_mmap, SYS_alarm, SYS_setitimer, SYS_vhangup, SYS_setrlimit, SYS_prlimit64,
		SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_clone3, SYS_arch_prctl, SYS_prctl, SYS_seccomp,
		SYS_ptrace, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_mlockall, SYS_personality,
		SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_close, SYS_close_range, SYS_dup2, SYS_dup3, SYS_sync,
		SYS_setsid, SYS_chroot, SYS_pivot_root, SYS_umount2, SYS_swapoff, SYS_kexec_load, SYS_syslog,
		SYS_sched_setscheduler, SYS_sched_setattr, SYS_remap_file_pages, SYS_madvise, SYS_process_madvise,
		SYS_unshare, SYS_setns, 449 /* futex_waitv */, SYS_io_pgetevents, SYS_io_getevents, SYS_sigaltstack,
		SYS_userfaultfd, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_shmat, SYS_mlock, SYS_mlock2,
	};

	for (int i = 0; i < (int)(sizeof list / sizeof *list); i++)
		if (list[i] == nr)
			return true;
	return false;
}

TEST_FORK(bad_pointers_to_every_call)
{
	static const unsigned long bad[] = {
		8, 0xffff888000000000, 0xffffffff81000000, 0x7ffffffff000, 0x800000000000,
		0x8000000000000000, 0xfffffffffffffff8,
	};
	int calls = 0;

	for (int b = 0; b < (int)(sizeof bad / sizeof *bad); b++) {
		int status = IN_CHILD({
			alarm(40);
			for (long nr = 0; nr < 452; nr++) {
				if (skipped(nr))
					continue;
				unsigned long p = bad[b];
				int fd = open("/dev/zero", O_RDWR);

				syscall(nr, p, p, p, p, p, p);
				syscall(nr, fd, p, 64, p, p, p);
				syscall(nr, fd, p, p, p, 16, 0);
				syscall(nr, AT_FDCWD, p, p, p, 0, 0);
				close(fd);
				(void)calls;
			}
		});
		if (status)
			CHECK_FAIL_("pointer %#lx: child status 0x%x", bad[b], status);
	}
}

TEST(efault_where_linux_says_so)
{
	struct iovec iov = { (void *)0xffffffff81000000, 10 };
	struct stat st;
	int fd = open("/dev/zero", O_RDWR), p[2];
	char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(edge + 4096, 4096);
	CHECK_ERRNO(read(fd, (void *)0xffffffff81000000, 1), EFAULT);
	CHECK_ERRNO(read(fd, (void *)8, 1), EFAULT);
	CHECK_ERRNO(readv(fd, &iov, 1), EFAULT);
	CHECK_ERRNO(readv(fd, (void *)0xffffffff81000000, 1), EFAULT);
	CHECK_ERRNO(stat((char *)0xffff888000000000, &st), EFAULT);
	CHECK_ERRNO(syscall(SYS_stat, "/", 0xffff888000000000), EFAULT);
	CHECK_ERRNO(pipe((int *)0xffff888000000000), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 0xffff888000000000, 0, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_uname, 0xffffffff81000000), EFAULT);
	CHECK_ERRNO(syscall(SYS_gettimeofday, 0xffffffff81000000, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_nanosleep, 8, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_getcwd, 0xffff888000000000, 100), EFAULT);
	CHECK_ERRNO(syscall(SYS_execve, 0xffff888000000000, 0, 0), EFAULT);
	memset(edge + 4096 - 4, 'x', 4);
	CHECK_ERRNO(open(edge + 4096 - 4, O_RDONLY), EFAULT);	/* a string that runs off the page */
	CHECK_OK(pipe(p));
	CHECK_ERRNO(write(p[1], (void *)8, 10), EFAULT);
	/* half of the buffer is there: what fitted counts */
	CHECK_EQ(read(fd, edge + 4096 - 100, 200), 100);
	CHECK_EQ(write(p[1], edge + 4096 - 100, 100), 100);
	CHECK_ERRNO(read(p[0], (void *)8, 10), EFAULT);
	close(fd), close(p[0]), close(p[1]);
	munmap(edge, 4096);
}

/* Strings that run off the last page of user space: what lies behind is not looked at. */
TEST(the_last_page)
{
	const unsigned long end = (1ul << 47) - 4096;
	char *last = mmap((void *)(end - 4096), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *name = last + 4096 - 8, *args[] = { "true", name, NULL };

	REQUIRE(last == (char *)(end - 4096));
	memset(last, 'x', 4096);
	CHECK_ERRNO(open(name, O_RDONLY), EFAULT);
	CHECK_ERRNO(open(name, O_CREAT | O_RDWR, 0600), EFAULT);
	CHECK_ERRNO(execv("/bin/true", args), EFAULT);
	name[7] = 0;
	CHECK_ERRNO(open(name, O_RDONLY), ENOENT);
	CHECK_EXITS(0, execv("/bin/true", args));
	munmap(last, 4096);
}

TEST(huge_sizes)
{
	static char small[16];
	int fd = open("/dev/null", O_RDWR);
	struct iovec iov[2] = { { small, -1 }, { small, 1 } };

	CHECK_ERRNO(writev(fd, iov, 2), EINVAL);
	CHECK_ERRNO(syscall(SYS_munmap, 0x1000, -4096L), EINVAL);
	CHECK_ERRNO(syscall(SYS_mprotect, 0x1000, -8192L, 0), ENOMEM);
	CHECK_ERRNO(syscall(SYS_poll, small, 0x7fffffff, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, -4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, -4096L), EOVERFLOW);
	close(fd);
}

TEST(the_system_goes_on)
{
	CHECK_EXITS(0, execl("/bin/true", "true", NULL); _exit(1));
}

TEST_MAIN
