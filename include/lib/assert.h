/*
 * assert.h - kernel invariants.
 *
 * VERIFY is checked in every build, ASSERT only with DEBUG defined.  The forms with 3 take
 * (left, operator, right) and print both values.  What a user program can trigger is never an
 * assertion: it gets an errno.
 */
#ifndef LIB_ASSERT_H
#define LIB_ASSERT_H

#include "lib/compiler.h"

/* Stops the machine with a report. => never returns. */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn __cold;

#define VERIFY(cond) do {							\
	if (unlikely(!(cond)))							\
		panic("%s:%d: %s does not hold", __FILE__, __LINE__, #cond);	\
} while (0)

#define __VERIFY3(l, op, r, type, fmt) do {					\
	type __vl = (type)(l), __vr = (type)(r);				\
	if (unlikely(!(__vl op __vr)))						\
		panic("%s:%d: %s %s %s does not hold: " fmt " and " fmt,	\
		      __FILE__, __LINE__, #l, #op, #r, __vl, __vr);		\
} while (0)

#define VERIFY3U(l, op, r)	__VERIFY3(l, op, r, u64, "0x%llx")
#define VERIFY3S(l, op, r)	__VERIFY3(l, op, r, s64, "%lld")
#define VERIFY3P(l, op, r) do {							\
	const void *__vl = (l), *__vr = (r);					\
	if (unlikely(!((uintptr_t)__vl op (uintptr_t)__vr)))			\
		panic("%s:%d: %s %s %s does not hold: %p and %p",		\
		      __FILE__, __LINE__, #l, #op, #r, __vl, __vr);		\
} while (0)
/* Unsigned by default: addresses, counts and sizes. */
#define VERIFY3(l, op, r)	VERIFY3U(l, op, r)

#ifdef DEBUG
#define ASSERT(cond)		VERIFY(cond)
#define ASSERT3(l, op, r)	VERIFY3U(l, op, r)
#define ASSERT3U(l, op, r)	VERIFY3U(l, op, r)
#define ASSERT3S(l, op, r)	VERIFY3S(l, op, r)
#define ASSERT3P(l, op, r)	VERIFY3P(l, op, r)
#else
/* Not evaluated, but still compiled: an assertion cannot rot. */
#define ASSERT(cond)		((void)sizeof(!(cond)))
#define ASSERT3(l, op, r)	((void)sizeof((l) op (r)))
#define ASSERT3U(l, op, r)	ASSERT3(l, op, r)
#define ASSERT3S(l, op, r)	ASSERT3(l, op, r)
#define ASSERT3P(l, op, r)	ASSERT3(l, op, r)
#endif
#define IMPLY(a, b)		ASSERT(!(a) || (b))

#endif
