// BOOT: --smp 2 --cpu max
/*
 * What CR4.UMIP forbids programs is imitated: SGDT, SIDT, SMSW, SLDT and STR give values that tell nothing, whatever their operand.
 */
#define _GNU_SOURCE 1
#include <cpuid.h>
#include <signal.h>
#include <sys/mman.h>
#include "check.h"

#define GDT 0xfffffffffffe0000ul
#define IDT 0xffffffffffff0000ul
#define CR0 0x80050033ul

static bool has_umip(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 2 & 1;
}

struct __attribute__((packed)) table {
	unsigned short limit;
	unsigned long base;
};

#define NEEDS_UMIP                                                         \
	if (!has_umip()) {                                                 \
		puts("skipped: this CPU has no UMIP");                     \
		return;                                                    \
	}

TEST(tables)
{
	struct table t[4];
	unsigned long at = (unsigned long)&t[1], four = 4;

	NEEDS_UMIP
	memset(t, 0x55, sizeof(t));
	asm volatile("sgdt %0" : "=m"(t[0]));
	CHECK_EQ(t[0].limit, 0);
	CHECK_EQ(t[0].base, GDT);
	asm volatile("sidt -16(%0)" ::"r"(at + 16) : "memory");
	CHECK_EQ(t[1].base, IDT);
	CHECK_EQ(t[1].limit, 0);
	CHECK_EQ(t[2].limit, 0x5555); /* ten bytes, no more */
	/* base, index and scale; registers that need REX */
	asm volatile("mov %0, %%r13\n\tmov %1, %%r12\n\tsidt 4(%%r13,%%r12,4)" ::"r"((unsigned long)t), "r"(four) : "r12", "r13", "memory");
	CHECK_EQ(*(unsigned long *)((char *)t + 22), IDT);
	/* a base out of r12 needs a SIB, one out of r13 a displacement */
	asm volatile("mov %0, %%r12\n\tsgdt (%%r12)" ::"r"((unsigned long)&t[3]) : "r12", "memory");
	CHECK_EQ(t[3].base, GDT);
}

static struct table relative;
static __thread struct table tls;

TEST(other_addresses)
{
	char *low;

	NEEDS_UMIP
	asm volatile("sgdt %0" : "=m"(relative));
	CHECK_EQ(relative.base, GDT);
	asm volatile("sgdt %0" : "=m"(tls)); /* %fs */
	CHECK_EQ(tls.base, GDT);
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	REQUIRE(low != MAP_FAILED);
	asm volatile("sidt (%k0)" ::"r"((unsigned long)low | 0x7ul << 40) : "memory"); /* 67: the low half counts */
	CHECK_EQ(((struct table *)low)->base, IDT);
	munmap(low, 4096);
}

TEST(words)
{
	unsigned long r = ~0ul;
	unsigned short m[2] = { 0x5555, 0x5555 };

	NEEDS_UMIP
	asm volatile("smsw %0" : "+r"(r));
	CHECK_EQ(r, CR0);
	r = ~0ul;
	asm volatile("smsw %w0" : "+r"(r));
	CHECK_EQ(r, 0xffffffffffff0033ul);
	asm volatile("smsw %0" : "=m"(m[0]));
	CHECK_EQ(m[0], 0x33);
	CHECK_EQ(m[1], 0x5555);
	r = ~0ul;
	asm volatile("sldt %0" : "+r"(r));
	CHECK_EQ(r, 0);
	asm volatile("mov $-1, %%r14\n\tstr %%r14\n\tmov %%r14, %0" : "=r"(r)::"r14");
	CHECK_EQ(r, 0x40);
}

static void *fault_at;
static int fault_code;

static void on_segv(int sig, siginfo_t *i, void *ctx)
{
	(void)sig;
	(void)ctx;
	fault_at = i->si_addr;
	fault_code = i->si_code;
	_exit(fault_code == SEGV_MAPERR && fault_at == (void *)0x10008 ? 7 : 8);
}

TEST(bad_address)
{
	NEEDS_UMIP
	CHECK_EXITS(7, {
		struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };

		sigaction(SIGSEGV, &sa, NULL);
		asm volatile("sgdt (%0)" ::"r"(0x10008ul) : "memory");
	});
	/* what is not imitated still ends the program */
	CHECK_KILLED(SIGSEGV, asm volatile("hlt"));
	CHECK_KILLED(SIGSEGV, asm volatile("lgdt (%0)" ::"r"(&relative)));
}

TEST_MAIN
