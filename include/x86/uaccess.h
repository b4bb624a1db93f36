/*
 * User memory. Reached only through these; a fault inside is recovered through the exception table and reported,
 * never fatal. SMAP is opened (STAC) only around the copy. Each checks that the range lies below TASK_SIZE_MAX.
 * => may sleep (page faults) unless between pagefault_disable/enable: then a missing page is reported at once.
 */
#ifndef X86_UACCESS_H
#define X86_UACCESS_H

#include <lib/string.h>
#include <kernel/percpu.h>
#include <lib/compiler.h>
#include <uapi/errno.h>
#include <lib/types.h>
#include <x86/layout.h>

static inline bool access_ok(const void __user *p, u64 n)
{
	u64 a = (u64)p;
	return likely(n <= TASK_SIZE_MAX && a <= TASK_SIZE_MAX - n);
}
/* Return the number of bytes NOT copied (0: all). On a short copy_from_user the rest of @to is zeroed. */
u64 __must_check copy_to_user_any(void __user *to, const void *from, u64 n);
u64 __must_check copy_from_user_any(void *to, const void __user *from, u64 n);
#ifndef HOST_TEST
/* The bare copy, one of the two a checked user address; see uaccess.S. Bytes left. */
u64 copy_user(void *to, const void *from, u64 n);
#define COPY_SMALL 512 /* below it string moves win */

/* Structures of fixed size need no choice of method: check and copy, in place. What begins below the limit and
 * crosses it runs into the page that is never mapped. */
static __always_inline u64 __must_check copy_to_user(void __user *to, const void *from, u64 n)
{
	if (!__builtin_constant_p(n) || n >= COPY_SMALL)
		return copy_to_user_any(to, from, n);
	return likely((u64)to < TASK_SIZE_MAX) ? copy_user(to, from, n) : n;
}
static __always_inline u64 __must_check copy_from_user(void *to, const void __user *from, u64 n)
{
	if (__builtin_constant_p(n) && n < COPY_SMALL && likely((u64)from < TASK_SIZE_MAX) &&
	    likely(!copy_user(to, from, n)))
		return 0;
	return copy_from_user_any(to, from, n);
}
#else
u64 copy_to_user(void __user *to, const void *from, u64 n);
u64 copy_from_user(void *to, const void __user *from, u64 n);
#endif
u64 __must_check clear_user(void __user *to, u64 n);
/* Length without NUL, or -EFAULT; at most n bytes: returns n when no NUL was found (not terminated then). */
s64 strncpy_from_user(char *to, const char __user *from, u64 n);
/* Length including NUL, 0 on fault, n+1 when longer than n. */
s64 strnlen_user(const char __user *s, u64 n);

/* One scalar of 1, 2, 4 or 8 bytes. 0 or -EFAULT. */
int __get_user_1(u64 *v, const void __user *p);
int __get_user_2(u64 *v, const void __user *p);
int __get_user_4(u64 *v, const void __user *p);
int __get_user_8(u64 *v, const void __user *p);
int __put_user_1(u64 v, void __user *p);
int __put_user_2(u64 v, void __user *p);
int __put_user_4(u64 v, void __user *p);
int __put_user_8(u64 v, void __user *p);
#define get_user(x, ptr)                                                                     \
	({                                                                                   \
		u64 __gv = 0;                                                                \
		int __ge = sizeof(*(ptr)) == 1 ? __get_user_1(&__gv, ptr) :                  \
			   sizeof(*(ptr)) == 2 ? __get_user_2(&__gv, ptr) :                  \
			   sizeof(*(ptr)) == 4 ? __get_user_4(&__gv, ptr) :                  \
						 __get_user_8(&__gv, ptr);                   \
		(x) = (__typeof__(x))__gv;                                                   \
		__ge;                                                                        \
	})
#define put_user(x, ptr)                                                                     \
	({                                                                                   \
		__typeof__(*(ptr)) __pv = (x);                                               \
		sizeof(*(ptr)) == 1 ? __put_user_1((u64)__pv, ptr) :                         \
		sizeof(*(ptr)) == 2 ? __put_user_2((u64)__pv, ptr) :                         \
		sizeof(*(ptr)) == 4 ? __put_user_4((u64)__pv, ptr) :                         \
				      __put_user_8((u64)__pv, ptr);                          \
	})
/* Futex primitives: compare-and-exchange of a user u32; *old gets the value seen. 0 or -EFAULT. */
int user_cmpxchg_u32(u32 __user *p, u32 expect, u32 new, u32 *old);
int user_atomic_op_u32(u32 __user *p, int op, u32 arg, u32 *old); /* FUTEX_OP_SET/ADD/OR/ANDN/XOR */

DECLARE_PER_CPU(u32, pagefault_off);
static inline void pagefault_disable(void) { this_cpu_inc(pagefault_off); barrier(); } /* => preemption off too */
static inline void pagefault_enable(void) { barrier(); this_cpu_dec(pagefault_off); }

/*
 * Extensible structures (openat2(2), "Extensibility"): copies min(usize, ksize) bytes and zeroes the rest; bytes beyond what
 * we know must be zero. 0, -E2BIG or -EFAULT.
 */
static inline int copy_struct_from_user(void *dst, u64 ksize, const void __user *src, u64 usize)
{
	u64 n = usize < ksize ? usize : ksize;

	if (copy_from_user(dst, src, n))
		return -EFAULT;
	memset((char *)dst + n, 0, ksize - n);
	for (u64 i = ksize; i < usize; i++) {
		u8 b;
		if (get_user(b, (const u8 __user *)src + i))
			return -EFAULT;
		if (b)
			return -E2BIG;
	}
	return 0;
}

#endif
