/* math64.h - wide multiplication and division without 128-bit library calls. */
#ifndef LIB_MATH64_H
#define LIB_MATH64_H

#include "lib/compiler.h"

/* (a * b) >> shift with a 128-bit product; shift < 128, the result must fit. */
static __always_inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (u64)(((unsigned __int128)a * b) >> shift);
}

static __always_inline u64 mul_u64_u32_shr(u64 a, u32 b, unsigned int shift)
{
	return mul_u64_u64_shr(a, b, shift);
}

/* a * b / c with a 128-bit product; U64_MAX when the result does not fit or c is 0. */
static __always_inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 c)
{
	unsigned __int128 p = (unsigned __int128)a * b;
	u64 hi = (u64)(p >> 64), lo = (u64)p;

	if (unlikely(hi >= c))
		return U64_MAX;
	__asm__("divq %2" : "+a"(lo), "+d"(hi) : "rm"(c) : "cc");
	return lo;
}

static __always_inline u64 div_u64_rem(u64 n, u64 d, u64 *rem)
{
	*rem = n % d;
	return n / d;
}

/* Greatest common divisor. */
static inline u64 gcd(u64 a, u64 b)
{
	while (b) {
		u64 t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* Integer square root, rounded down. */
static inline u64 int_sqrt(u64 x)
{
	u64 r = 0;

	for (u64 bit = 1ULL << 62; bit; bit >>= 2) {
		if (x >= r + bit) {
			x -= r + bit;
			r = (r >> 1) + bit;
		} else {
			r >>= 1;
		}
	}
	return r;
}

#endif
