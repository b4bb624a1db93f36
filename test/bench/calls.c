/*
 * System calls that do little, the clock, and signals.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include "bench.h"

BENCH(null_syscall, CORE, "getppid through syscall()")
{
	long parent = syscall(SYS_getppid), wrong = 0;

	while (bench_more(b)) {
		begin(b);
		for (int i = 0; i < 100; i++)
			wrong += syscall(SYS_getppid) != parent;
		end(b, 100);
		CHECK(!wrong);
	}
}

BENCH(read_zero_1, CORE, "one byte of /dev/zero")
{
	int fd = open("/dev/zero", O_RDONLY), done = 0, batches = 0;
	char c;

	NEED(fd >= 0);
	while (bench_more(b)) {
		c = 1;
		begin(b);
		for (int i = 0; i < 100; i++)
			done += read(fd, &c, 1);
		end(b, 100);
		CHECK(done == 100 * ++batches && c == 0);
	}
}

BENCH(write_null_1, CORE, "one byte to /dev/null")
{
	int fd = open("/dev/null", O_WRONLY), done = 0, batches = 0;

	NEED(fd >= 0);
	while (bench_more(b)) {
		begin(b);
		for (int i = 0; i < 100; i++)
			done += write(fd, "x", 1);
		end(b, 100);
		CHECK(done == 100 * ++batches);
	}
}

static uint64_t ns(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000ull + ts->tv_nsec;
}

BENCH(clock_gettime, CORE, "CLOCK_MONOTONIC through the vDSO")
{
	struct timespec ts, last = { 0 };

	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 100; i++)
			refused |= clock_gettime(CLOCK_MONOTONIC, &ts);
		end(b, 100);
		CHECK(!refused && ns(&ts) > ns(&last) && ts.tv_nsec < 1000000000);
		last = ts;
	}
}

BENCH(clock_gettime_call, CORE, "the same as a system call")
{
	struct timespec ts, last = { 0 };

	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 100; i++)
			refused |= syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
		end(b, 100);
		CHECK(!refused && ns(&ts) > ns(&last) && ts.tv_nsec < 1000000000);
		last = ts;
	}
}

BENCH(sched_yield, CORE, "alone on the CPU")
{
	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 100; i++)
			refused |= sched_yield();
		end(b, 100);
		CHECK(!refused);
	}
}

static volatile int handled;

static void count_signal(int sig)
{
	(void)sig;
	handled++;
}

BENCH(sig_install, CORE, "sigaction")
{
	struct sigaction sa = { .sa_handler = count_signal }, old;

	while (bench_more(b)) {
		int refused = 0;

		begin(b);
		for (int i = 0; i < 100; i++)
			refused |= sigaction(SIGUSR1, &sa, &old);
		end(b, 100);
		CHECK(!refused && old.sa_handler == count_signal);
	}
}

BENCH(sig_deliver, CORE, "kill oneself; the handler runs and returns")
{
	struct sigaction sa = { .sa_handler = count_signal };
	pid_t self = getpid();

	NEED(!sigaction(SIGUSR1, &sa, NULL));
	while (bench_more(b)) {
		handled = 0;
		begin(b);
		for (int i = 0; i < 100; i++)
			kill(self, SIGUSR1);
		end(b, 100);
		CHECK(handled == 100);
	}
}

static char *forbidden;
static volatile bool wrong_address;

/* Step over the faulting instruction, "movb $1, (%rax)", which is three bytes long. */
static void step_over(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	wrong_address |= sig != SIGSEGV || info->si_addr != forbidden;
	uc->uc_mcontext.gregs[REG_RIP] += 3;
	handled++;
}

BENCH(sig_segv, CORE, "write to a forbidden page; the handler runs and returns")
{
	struct sigaction sa = { .sa_sigaction = step_over, .sa_flags = SA_SIGINFO };

	forbidden = map_anon(PAGE, PAGE, PROT_NONE);
	NEED(!sigaction(SIGSEGV, &sa, NULL));
	while (bench_more(b)) {
		handled = 0;
		begin(b);
		for (int i = 0; i < 100; i++)
			__asm__ volatile("movb $1, (%0)" : : "a"(forbidden) : "memory");
		end(b, 100);
		CHECK(handled == 100 && !wrong_address);
	}
}
