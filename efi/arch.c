/*
 * The instructions the application needs, in one file so that the host tests can leave it out.
 */
#include "app.h"

#define CR4_LA57	(1u << 12)
#define RETRIES		10	/* Intel SDM 1, 7.3.17.1: more in a row means broken */

uint64_t arch_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

void arch_cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3])
			 : "a"(leaf), "c"(sub));
}

bool arch_rdrand(uint64_t *v)
{
	uint8_t ok = 0;
	int i;

	for (i = 0; i < RETRIES && !ok; i++)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(*v), "=qm"(ok) : : "cc");
	return ok;
}

bool arch_rdseed(uint64_t *v)
{
	uint8_t ok = 0;
	int i;

	for (i = 0; i < RETRIES && !ok; i++)
		__asm__ volatile("rdseed %0; setc %1; pause" : "=r"(*v), "=qm"(ok) : : "cc");
	return ok;
}

bool arch_la57_on(void)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	return cr4 & CR4_LA57;
}

void arch_irq_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* In jump.S. */
extern const uint8_t jump_switch[];

uint64_t arch_switch_code(void)
{
	return (uint64_t)jump_switch;
}
