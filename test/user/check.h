/*
 * check.h - what a guest test program is written with.
 *
 * A program is a main() with CHECK lines, grouped by TEST:
 *
 *	#include "check.h"
 *
 *	TEST(pipe_eof)
 *	{
 *		int fd[2];
 *
 *		CHECK_OK(pipe(fd));
 *		close(fd[1]);
 *		CHECK_EQ(read(fd[0], &c, 1), 0);
 *	}
 *
 *	TEST_MAIN
 *
 * Each TEST runs in the order of the file and prints "ok NAME" or "FAIL NAME" after one line for
 * every check that did not hold (with both values).  A failed CHECK lets the test go on, a failed
 * REQUIRE leaves it.  The exit code is 0 when all passed, 1 when one failed.  Arguments, when given,
 * name the tests to run.  TEST_FORK runs the body in a child of its own: for what may kill the
 * process or changes it for good.
 *
 * The first lines of the file may carry comments for test/run:
 *	// BOOT: --smp 4 --memory 1G	options of the guest it needs (programs with the same share a boot)
 *	// VARIANTS: musl glibc dynamic	how it is linked; musl static alone is the default
 *	// TIMEOUT: 60			seconds for this program
 *
 * Only libc is used, and it works with musl and glibc.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct check_test {
	const char *name;
	void (*fn)(void);
	bool forked;
	struct check_test *next;
};

static struct check_test *check_first, **check_tail = &check_first;
static int check_failures;	/* of the running test */

#define CHECK_CAT_(a, b) a##b
#define CHECK_REGISTER_(tname, isforked)                                                         \
	static void tname(void);                                                                 \
	__attribute__((constructor)) static void CHECK_CAT_(check_reg_, tname)(void)            \
	{                                                                                        \
		static struct check_test t = { #tname, tname, isforked, NULL };                  \
		*check_tail = &t;                                                                \
		check_tail = &t.next;                                                            \
	}                                                                                        \
	static void tname(void)

#define TEST(tname) CHECK_REGISTER_(tname, false)
#define TEST_FORK(tname) CHECK_REGISTER_(tname, true)

#define CHECK_FAIL_(...)                                                                         \
	do {                                                                                     \
		check_failures++;                                                                \
		printf("  %s:%d: ", __FILE__, __LINE__);                                         \
		printf(__VA_ARGS__);                                                             \
		putchar('\n');                                                                   \
	} while (0)

/* The condition holds. */
#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond))                                                                     \
			CHECK_FAIL_("%s does not hold (errno %d)", #cond, errno);                \
	} while (0)

/* Integers: prints both values. */
#define CHECK_CMP_(a, op, b)                                                                     \
	do {                                                                                     \
		long long check_a = (long long)(a), check_b = (long long)(b);                    \
		if (!(check_a op check_b))                                                       \
			CHECK_FAIL_("%s is %lld (0x%llx), wanted %s %s %lld (0x%llx)", #a,       \
				    check_a, check_a, #op, #b, check_b, check_b);                \
	} while (0)
#define CHECK_EQ(a, b) CHECK_CMP_(a, ==, b)
#define CHECK_NE(a, b) CHECK_CMP_(a, !=, b)
#define CHECK_GE(a, b) CHECK_CMP_(a, >=, b)
#define CHECK_LE(a, b) CHECK_CMP_(a, <=, b)
#define CHECK_LT(a, b) CHECK_CMP_(a, <, b)
#define CHECK_GT(a, b) CHECK_CMP_(a, >, b)

#define CHECK_STR(a, b)                                                                          \
	do {                                                                                     \
		const char *check_a = (a), *check_b = (b);                                       \
		if (strcmp(check_a, check_b))                                                    \
			CHECK_FAIL_("%s is \"%s\", wanted \"%s\"", #a, check_a, check_b);        \
	} while (0)

/* A call that must succeed: anything but -1. */
#define CHECK_OK(call)                                                                           \
	do {                                                                                     \
		if ((long long)(call) == -1)                                                     \
			CHECK_FAIL_("%s: %s", #call, strerror(errno));                           \
	} while (0)

/* A call that must fail with this errno. */
#define CHECK_ERRNO(call, want)                                                                  \
	do {                                                                                     \
		errno = 0;                                                                       \
		long long check_r = (long long)(call);                                           \
		int check_e = errno;                                                             \
		if (check_r != -1)                                                               \
			CHECK_FAIL_("%s gave %lld, wanted " #want, #call, check_r);              \
		else if (check_e != (want))                                                      \
			CHECK_FAIL_("%s: %s, wanted " #want, #call, strerror(check_e));          \
	} while (0)

/* As CHECK, but leaves the test (TEST body or a void function). */
#define REQUIRE(cond)                                                                            \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			CHECK_FAIL_("%s does not hold (errno %d: %s)", #cond, errno,             \
				    strerror(errno));                                            \
			return;                                                                  \
		}                                                                                \
	} while (0)

/* Body runs in a child; the value is its wait status.  The child must not return past it. */
#define IN_CHILD(...)                                                                            \
	__extension__({                                                                          \
		int check_status = -1;                                                           \
		fflush(NULL);                                                                    \
		pid_t check_pid = fork();                                                        \
		if (!check_pid) {                                                                \
			check_failures = 0;                                                      \
			{ __VA_ARGS__; }                                                         \
			fflush(NULL);                                                            \
			_exit(check_failures ? 1 : 0);                                           \
		}                                                                                \
		while (waitpid(check_pid, &check_status, 0) < 0 && errno == EINTR)               \
			;                                                                        \
		check_status;                                                                    \
	})

/* The child leaves with this exit code, or dies of this signal. */
#define CHECK_EXITS(code, ...)                                                                   \
	do {                                                                                     \
		int check_s = IN_CHILD(__VA_ARGS__);                                             \
		if (!WIFEXITED(check_s) || WEXITSTATUS(check_s) != (code))                       \
			CHECK_FAIL_("child status 0x%x, wanted exit " #code, check_s);           \
	} while (0)
#define CHECK_KILLED(sig, ...)                                                                   \
	do {                                                                                     \
		int check_s = IN_CHILD(__VA_ARGS__);                                             \
		if (!WIFSIGNALED(check_s) || WTERMSIG(check_s) != (sig))                         \
			CHECK_FAIL_("child status 0x%x, wanted death by " #sig, check_s);        \
	} while (0)

static inline int check_run_one(struct check_test *t)
{
	check_failures = 0;
	if (t->forked) {
		int status = IN_CHILD(t->fn());

		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			check_failures++;
			if (WIFSIGNALED(status))
				printf("  %s: killed by signal %d\n", t->name, WTERMSIG(status));
		}
	} else {
		t->fn();
	}
	printf("%s %s\n", check_failures ? "FAIL" : "ok", t->name);
	fflush(stdout);
	return check_failures != 0;
}

static inline int check_main(int argc, char **argv)
{
	int failed = 0, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct check_test *t = check_first; t; t = t->next) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= !strcmp(argv[i], t->name);
		if (!wanted)
			continue;
		failed += check_run_one(t);
		ran++;
	}
	printf("ran %d\n", ran);	/* test/run looks for it: an end before the end is a failure */
	return failed ? 1 : 0;
}

#define TEST_MAIN                                                                                \
	int main(int argc, char **argv)                                                          \
	{                                                                                        \
		return check_main(argc, argv);                                                   \
	}

#endif
