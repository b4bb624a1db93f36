// VARIANTS: musl
/*
 * What a program sees when memory fails by itself. test/boot/mce.py starts this with an argument, reads "consumed ADDRESS" and the like
 * from its output, and has QEMU report an error at that physical address; each step ends with a line that says what came. Without an
 * argument there is no such machine: one page fails by MADV_HWPOISON, which ends in the same place.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define P 4096ul

static volatile sig_atomic_t got_code;
static volatile unsigned long got_addr;
static volatile int got_lsb;
static sigjmp_buf back;
static volatile sig_atomic_t jump;

static void on_bus(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	got_code = si->si_code;
	got_addr = (unsigned long)si->si_addr;
	got_lsb = si->si_addr_lsb;
	if (jump)
		siglongjmp(back, 1);
}

static unsigned long phys(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	unsigned long e = 0;

	if (pread(fd, &e, 8, (unsigned long)p / P * 8) != 8)
		e = 0;
	close(fd);
	return (e & ((1ul << 55) - 1)) * P;
}

static long corrupted(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = -1;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "HardwareCorrupted: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static char *page(int flags)
{
	char *p = mmap(NULL, P, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	memset(p, 7, P);
	return p;
}

static void ask(const char *step, const char *p)
{
	got_code = 0;
	printf("%s %#lx\n", step, p ? phys(p) : 0);
	fflush(stdout);
}

static void answer(const char *step, const char *p)
{
	printf("%s: code %d, %s address, lsb %d\n", step, (int)got_code, got_addr == (unsigned long)p ? "its" : "another", got_lsb);
	fflush(stdout);
}

/* The signal of a touch. */
static void touch(const char *step, volatile char *p)
{
	got_code = 0;
	jump = 1;
	if (!sigsetjmp(back, 1))
		(void)*p;
	jump = 0;
	answer(step, (char *)p);
}

static int alone(void)
{
	char *p = page(MAP_PRIVATE);

	if (madvise(p, P, 100 /* MADV_HWPOISON */))
		return 1;
	touch("touched", p);
	return got_code != BUS_MCEERR_AR || got_addr != (unsigned long)p;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	cpu_set_t one;
	long before;
	char *p;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof one, &one);
	sigaction(SIGBUS, &sa, NULL);

	(void)argv;
	if (argc < 2)
		return alone();
	p = page(MAP_PRIVATE); /* consumed by this program */
	ask("consumed", p);
	while (!got_code)
		;
	answer("consumed", p);
	touch("again", p);

	p = page(MAP_SHARED); /* found by a scrubber; we are told when we touch it */
	before = corrupted();
	ask("found", p);
	while (corrupted() == before)
		usleep(10000);
	printf("found: code %d\n", (int)got_code);
	touch("touched", p);

	p = page(MAP_PRIVATE); /* the same, and we want to know at once */
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	ask("early", p);
	while (!got_code)
		;
	answer("early", p);

	p = page(MAP_PRIVATE); /* nothing said by us: the machine's administrator decides */
	prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
	FILE *f = fopen("/proc/sys/vm/memory_failure_early_kill", "w");
	if (!f || fputs("1", f) < 0 || fclose(f))
		return 1;
	ask("default", p);
	while (!got_code)
		;
	answer("default", p);

	munmap(p, P);
	ask("fatal", NULL);
	for (;;)
		;
}
