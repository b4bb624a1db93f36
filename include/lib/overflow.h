/* overflow.h - checked arithmetic for sizes that come from users, disks or firmware. */
#ifndef LIB_OVERFLOW_H
#define LIB_OVERFLOW_H

#include "lib/compiler.h"

/* True when the result did not fit; *res is then the wrapped value. */
static __always_inline bool __must_check __overflowed(bool o)
{
	return unlikely(o);
}
#define check_add_overflow(a, b, res)	__overflowed(__builtin_add_overflow(a, b, res))
#define check_sub_overflow(a, b, res)	__overflowed(__builtin_sub_overflow(a, b, res))
#define check_mul_overflow(a, b, res)	__overflowed(__builtin_mul_overflow(a, b, res))

/* Sizes that stick at SIZE_MAX, which no allocator grants. */
static __always_inline size_t size_mul(size_t a, size_t b)
{
	size_t r;

	return check_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}

static __always_inline size_t size_add(size_t a, size_t b)
{
	size_t r;

	return check_add_overflow(a, b, &r) ? SIZE_MAX : r;
}

#define array_size(n, size)		size_mul(n, size)
#define struct_size(p, member, n)						\
	size_add(sizeof(*(p)), size_mul(n, sizeof((p)->member[0])))

/* [start, start+len) lies inside [0, limit) without wrapping. */
static __always_inline bool range_ok(u64 start, u64 len, u64 limit)
{
	return len <= limit && start <= limit - len;
}

#endif
