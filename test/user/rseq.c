// BOOT: --smp 2
/*
 * rseq.c - restartable sequences: registering and its errors, the CPU number, sections that are left when the
 * thread was preempted or got a signal, and what a bad description costs.  The same program passes on Linux.
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define SIG 0x53053053
struct area { volatile uint32_t start, cpu; volatile uint64_t cs; uint32_t flags; uint32_t pad[3]; } __attribute__((aligned(32)));
static struct area a, other;
static long rseq(void *p, unsigned len, int flags, unsigned sig) { return syscall(SYS_rseq, p, len, flags, sig); }

TEST(registering)
{
	CHECK_ERRNO(rseq(&a, 32, 2, SIG), EINVAL);
	CHECK_ERRNO(rseq(&a, 31, 0, SIG), EINVAL);
	CHECK_ERRNO(rseq((char *)&a + 8, 32, 0, SIG), EINVAL);
	CHECK_ERRNO(rseq((void *)-4096L, 32, 0, SIG), EFAULT);
	CHECK_ERRNO(rseq(&a, 32, 1, SIG), EINVAL);
	CHECK_OK(rseq(&a, 32, 0, SIG));
	CHECK_ERRNO(rseq(&a, 32, 0, SIG), EBUSY);
	CHECK_ERRNO(rseq(&a, 32, 0, SIG + 1), EPERM);
	CHECK_ERRNO(rseq(&other, 32, 0, SIG), EINVAL);
	CHECK_EQ(a.cpu, a.start);
	CHECK(a.cpu < 64);
	CHECK_ERRNO(rseq(&a, 32, 1, SIG + 1), EPERM);
	CHECK_ERRNO(rseq(&other, 32, 1, SIG), EINVAL);
	CHECK_OK(rseq(&a, 32, 1, SIG));
	CHECK_EQ(a.cpu, -1u);
	CHECK_EQ(a.start, 0);
}

TEST(the_number)
{
	cpu_set_t all, one;

	CHECK_OK(rseq(&a, 32, 0, SIG));
	sched_getaffinity(0, sizeof(all), &all);
	for (int round = 0; round < 20; round++)
		for (int c = 0; c < 2; c++) {
			if (!CPU_ISSET(c, &all))
				continue;
			CPU_ZERO(&one);
			CPU_SET(c, &one);
			CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
			CHECK_EQ(a.cpu, c);
			CHECK_EQ(a.start, c);
		}
	sched_setaffinity(0, sizeof(all), &all);
	/* a forked child goes on with it, a new program does not */
	CHECK_EXITS(0, CHECK_ERRNO(rseq(&a, 32, 0, SIG), EBUSY));
	CHECK_OK(rseq(&a, 32, 1, SIG));
}

/* Spins inside a section until it is thrown out: how often it was. */
static int spin_section(unsigned flags, int signature_off)
{
	static struct { uint32_t version, flags; uint64_t start, len, abort; } cs __attribute__((aligned(32)));
	uint64_t begin, after, abort_at;
	int aborted = 0;

	asm volatile("lea 1f(%%rip), %0\n\tlea 2f(%%rip), %1\n\tlea 3f(%%rip), %2" : "=r"(begin), "=r"(after), "=r"(abort_at));
	cs.version = 0, cs.flags = flags, cs.start = begin, cs.len = after - begin, cs.abort = abort_at + signature_off;
	a.cs = (uint64_t)&cs;
	asm volatile("mov $4000000000, %%rcx\n"
		     "1:\tdec %%rcx\n\tpause\n\tjnz 1b\n"
		     "2:\tjmp 4f\n"
		     "\t.byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n"
		     "3:\tmovl $1, %0\n"
		     "4:" : "+r"(aborted) : : "rcx", "memory");
	return aborted;
}

static volatile int handled;
static void on_alarm(int s) { handled = s; }

TEST(aborts)
{
	struct itimerval t = { .it_value.tv_usec = 20000 };

	CHECK_OK(rseq(&a, 32, 0, SIG));
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &t, NULL);
	CHECK_EQ(spin_section(0, 0), 1);
	t.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &t, NULL);
	CHECK_EQ(a.cs, 0);
	/* outside the section the description is just taken away */
	static uint64_t nowhere[4] __attribute__((aligned(32)));
	nowhere[1] = (uint64_t)&spin_section, nowhere[2] = 1;
	asm("lea 1f(%%rip), %0\n\tjmp 1f\n\t.long 0x53053053\n1:" : "=r"(nowhere[3]));
	a.cs = (uint64_t)nowhere;
	raise(SIGALRM);
	CHECK_EQ(a.cs, 0);
	CHECK_OK(rseq(&a, 32, 1, SIG));
}

static volatile int stop;
static void *burn(void *x) { while (!stop) ; return x; }

TEST(preemption)
{
	pthread_t t;
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	pthread_create(&t, NULL, burn, NULL);
	CHECK_OK(rseq(&a, 32, 0, SIG));
	CHECK_EQ(spin_section(0, 0), 1);
	stop = 1;
	pthread_join(t, NULL);
	CHECK_OK(rseq(&a, 32, 1, SIG));
	sched_setaffinity(0, sizeof(all), &all);
}

static void wrong_signature(void) { rseq(&a, 32, 0, SIG); alarm(1); spin_section(0, -1); }
static void wrong_pointer(void) { rseq(&a, 32, 0, SIG); a.cs = 8; alarm(1); for (;;) ; }
static int dies(void (*fn)(void))
{
	pid_t p = fork();
	int st;

	if (!p) {
		signal(SIGALRM, on_alarm);
		fn();
		_exit(0);
	}
	waitpid(p, &st, 0);
	return st & 0x7f;
}

TEST(bad_descriptions)
{
	CHECK_EQ(dies(wrong_signature), SIGSEGV);
	CHECK_EQ(dies(wrong_pointer), SIGSEGV);
}

TEST_MAIN
