/*
 * check.h - the host tests' only framework.  A test program is functions called by RUN, which
 * prints "ok NAME" or "FAIL NAME"; CHECK marks the running test failed and says where.  main
 * ends with `return check_done();`.  panic() ends the program, as a failed ASSERT must.  A program
 * may have several files with this header: they share the counts and the random numbers.
 */
#ifndef TEST_HOST_CHECK_H
#define TEST_HOST_CHECK_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((weak)) int check_failed_tests, check_failed_now;

#define CHECK(cond) do {							\
	if (!(cond)) {								\
		printf("  %s:%d: %s\n", __FILE__, __LINE__, #cond);		\
		check_failed_now++;						\
	}									\
} while (0)

#define CHECK_EQ(a, b) do {							\
	long long ck_a = (long long)(a), ck_b = (long long)(b);			\
	if (ck_a != ck_b) {							\
		printf("  %s:%d: %s == %s: %lld (0x%llx) and %lld (0x%llx)\n",	\
		       __FILE__, __LINE__, #a, #b, ck_a, ck_a, ck_b, ck_b);	\
		check_failed_now++;						\
	}									\
} while (0)

#define CHECK_STR(a, b) do {							\
	const char *ck_a = (a), *ck_b = (b);					\
	if (strcmp(ck_a, ck_b) != 0) {						\
		printf("  %s:%d: %s == %s: \"%s\" and \"%s\"\n",			\
		       __FILE__, __LINE__, #a, #b, ck_a, ck_b);			\
		check_failed_now++;						\
	}									\
} while (0)

/* Leaves the test function when it fails, for what would crash after it. */
#define CHECK_OR_RETURN(cond) do {						\
	CHECK(cond);								\
	if (check_failed_now)							\
		return;								\
} while (0)

#define RUN(fn) do {								\
	check_failed_now = 0;							\
	fn();									\
	printf("%s %s\n", check_failed_now ? "FAIL" : "ok", #fn);		\
	fflush(stdout);								\
	check_failed_tests += !!check_failed_now;				\
} while (0)

static inline int check_done(void)
{
	return check_failed_tests ? 1 : 0;
}

/* Repeatable random numbers (splitmix64). */
__attribute__((weak)) uint64_t check_seed = 0x1234567;

static inline uint64_t check_rand(void)
{
	uint64_t z = (check_seed += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t check_rand_below(uint64_t n)
{
	return check_rand() % n;
}

__attribute__((weak, noreturn)) void panic(const char *fmt, ...);
__attribute__((weak, noreturn)) void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("panic: ");
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	abort();
}

#endif
