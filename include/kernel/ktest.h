/*
 * In-kernel tests. KTEST(name) { ... } registers a function that runs when the command line says "ktest";
 * "ktest=prefix" runs those with that prefix. A failed KCHECK is printed and makes the run fail; the run goes on.
 */
#ifndef KERNEL_KTEST_H
#define KERNEL_KTEST_H

#include <lib/compiler.h>
#include <lib/types.h>

struct ktest {
	const char *name;
	void (*fn)(void);
};
#define KTEST(tname)                                                                     \
	static void ktest_##tname(void);                                                 \
	static const struct ktest __ktest_##tname                                        \
		__attribute__((used, section(".ktests"), aligned(8))) = { #tname, ktest_##tname }; \
	static void ktest_##tname(void)
void ktest_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define KCHECK(cond)                                                     \
	do {                                                             \
		if (!(cond))                                             \
			ktest_fail(__FILE__, __LINE__, "%s", #cond);     \
	} while (0)
#define KCHECK_EQ(a, b)                                                                       \
	do {                                                                                  \
		u64 __a = (u64)(a), __b = (u64)(b);                                           \
		if (__a != __b)                                                               \
			ktest_fail(__FILE__, __LINE__, "%s is %#llx, %s is %#llx", #a,        \
				   (unsigned long long)__a, #b, (unsigned long long)__b);      \
	} while (0)
int ktest_run_all(void); /* number of failures; prints "ktest NAME ok|FAIL" lines to the log and host channel */

/* What main.c does in place of init when the command line says "ktest": runs the tests, tells the host "exit 0" or
 * "exit 1", powers off. The tests lie between the linker script's __ktests_start and __ktests_end (section .ktests). */
void ktest_main(void) __attribute__((noreturn));

#endif
