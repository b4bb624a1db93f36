/*
 * Operations that test the harness itself (test/bench/selftest): one whose count is known, and one for
 * each way to end without a number.
 */
#define _GNU_SOURCE
#include "bench.h"

BENCH(self_count, SELF, "2,000 instructions in a loop, by 2")
{
	while (bench_more(b)) {
		unsigned long n = 2000;

		begin(b);
		__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n));
		end(b, 2);
		CHECK(!n);
	}
}

BENCH(self_skipped, SELF, "asks for a system call that does not exist")
{
	NEED(syscall(9999) >= 0);
	(void)b;
}

BENCH(self_wrong, SELF, "gets a wrong answer in the second batch")
{
	int batches = 0;

	while (bench_more(b)) {
		begin(b);
		end(b, 1);
		CHECK(++batches < 2);
	}
}

BENCH(self_crash, SELF, "dies of a signal")
{
	(void)b;
	*(volatile char *)map_anon(PAGE, PAGE, PROT_NONE) = 1;
}

BENCH(self_exit, SELF, "exits without a result")
{
	(void)b;
	_exit(3);
}

BENCH(self_silent, SELF, "records nothing")
{
	(void)b;
}
