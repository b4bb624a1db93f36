/*
 * bitops.h - single bits in arrays of 64-bit words, and find-first-set in one word.
 *
 * `nr` may reach past the first word.  The address may be of any 64-bit type; anything else
 * does not compile.  set_bit and clear_bit are atomic and order nothing; test_and_* are full
 * barriers; the forms with __ are plain and need the caller's lock.
 */
#ifndef LIB_BITOPS_H
#define LIB_BITOPS_H

#include "lib/atomic.h"

#define BITS_PER_LONG		64
#define BITS_PER_WORD		64
#define BITS_TO_WORDS(n)	(((n) + 63) / 64)
#define BITS_TO_LONGS(n)	BITS_TO_WORDS(n)

#define __bits_ptr(addr) ({							\
	_Static_assert(sizeof(*(addr)) == 8, "bit arrays are of 64-bit words");	\
	(volatile u64 *)(uintptr_t)(addr); })

static __always_inline void __bit_set_atomic(u64 nr, volatile u64 *p)
{
	(void)__atomic_fetch_or(&p[nr >> 6], 1ULL << (nr & 63), __ATOMIC_RELAXED);
}

static __always_inline void __bit_clear_atomic(u64 nr, volatile u64 *p)
{
	(void)__atomic_fetch_and(&p[nr >> 6], ~(1ULL << (nr & 63)), __ATOMIC_RELAXED);
}

static __always_inline void __bit_change_atomic(u64 nr, volatile u64 *p)
{
	(void)__atomic_fetch_xor(&p[nr >> 6], 1ULL << (nr & 63), __ATOMIC_RELAXED);
}

/* clang 14 makes a compare-and-swap loop of fetch_or with a tested result: say it ourselves. */
#if defined(__x86_64__) && !defined(HOST_TEST)
#define __BIT_TEST_AND(name, insn)						\
static __always_inline bool __bit_test_and_##name(u64 nr, volatile u64 *p)	\
{										\
	bool old;								\
	__asm__ volatile("lock; " insn " %2, %1"				\
			 : "=@ccc"(old), "+m"(p[nr >> 6])			\
			 : "r"(nr & 63) : "memory");				\
	return old;								\
}
__BIT_TEST_AND(set, "btsq")
__BIT_TEST_AND(clear, "btrq")
__BIT_TEST_AND(change, "btcq")
#else
#define __BIT_TEST_AND(name, op, inv)						\
static __always_inline bool __bit_test_and_##name(u64 nr, volatile u64 *p)	\
{										\
	u64 m = 1ULL << (nr & 63);						\
	return __atomic_fetch_##op(&p[nr >> 6], inv m, __ATOMIC_SEQ_CST) & m;	\
}
__BIT_TEST_AND(set, or, )
__BIT_TEST_AND(clear, and, ~)
__BIT_TEST_AND(change, xor, )
#endif

static __always_inline bool __bit_test(u64 nr, const volatile u64 *p)
{
#if __has_feature(thread_sanitizer)
	return (__atomic_load_n(&p[nr >> 6], __ATOMIC_RELAXED) >> (nr & 63)) & 1;
#else
	return (p[nr >> 6] >> (nr & 63)) & 1;
#endif
}

static __always_inline bool __bit_test_and_set_plain(u64 nr, volatile u64 *p)
{
	u64 m = 1ULL << (nr & 63);
	u64 old = p[nr >> 6];

	p[nr >> 6] = old | m;
	return old & m;
}

static __always_inline bool __bit_test_and_clear_plain(u64 nr, volatile u64 *p)
{
	u64 m = 1ULL << (nr & 63);
	u64 old = p[nr >> 6];

	p[nr >> 6] = old & ~m;
	return old & m;
}

#define set_bit(nr, addr)		__bit_set_atomic(nr, __bits_ptr(addr))
#define clear_bit(nr, addr)		__bit_clear_atomic(nr, __bits_ptr(addr))
#define change_bit(nr, addr)		__bit_change_atomic(nr, __bits_ptr(addr))
#define test_bit(nr, addr)		__bit_test(nr, __bits_ptr(addr))
#define test_and_set_bit(nr, addr)	__bit_test_and_set(nr, __bits_ptr(addr))
#define test_and_clear_bit(nr, addr)	__bit_test_and_clear(nr, __bits_ptr(addr))
#define test_and_change_bit(nr, addr)	__bit_test_and_change(nr, __bits_ptr(addr))
#define __set_bit(nr, addr)		((void)(__bits_ptr(addr)[(nr) >> 6] |= 1ULL << ((nr) & 63)))
#define __clear_bit(nr, addr)		((void)(__bits_ptr(addr)[(nr) >> 6] &= ~(1ULL << ((nr) & 63))))
#define __test_and_set_bit(nr, addr)	__bit_test_and_set_plain(nr, __bits_ptr(addr))
#define __test_and_clear_bit(nr, addr)	__bit_test_and_clear_plain(nr, __bits_ptr(addr))

/* A bit used as a lock: taking is an acquire, dropping a release. */
#define test_and_set_bit_lock(nr, addr)	test_and_set_bit(nr, addr)
#define clear_bit_unlock(nr, addr)						\
	((void)__atomic_fetch_and(&__bits_ptr(addr)[(nr) >> 6],			\
				  ~(1ULL << ((nr) & 63)), __ATOMIC_RELEASE))

/* Lowest and highest set bit of a word that is not zero, counted from 0. */
static __always_inline unsigned int __ffs(u64 w)
{
	return (unsigned int)__builtin_ctzll(w);
}

static __always_inline unsigned int __fls(u64 w)
{
	return 63U - (unsigned int)__builtin_clzll(w);
}

/* Lowest clear bit of a word that is not all ones. */
static __always_inline unsigned int ffz(u64 w)
{
	return __ffs(~w);
}

/* The same counted from 1, with 0 for "none". */
#ifndef HOST_TEST
static __always_inline int ffs(int w)
{
	return w ? __builtin_ctz((unsigned int)w) + 1 : 0;
}
#endif

static __always_inline int fls(u32 w)
{
	return w ? 32 - __builtin_clz(w) : 0;
}

static __always_inline int fls64(u64 w)
{
	return w ? 64 - __builtin_clzll(w) : 0;
}

static __always_inline int ffs64(u64 w)
{
	return w ? __builtin_ctzll(w) + 1 : 0;
}

static __always_inline unsigned int hweight64(u64 w)
{
	return (unsigned int)__builtin_popcountll(w);
}

static __always_inline unsigned int hweight32(u32 w)
{
	return (unsigned int)__builtin_popcount(w);
}

static __always_inline u64 rol64(u64 w, unsigned int n)
{
	return (w << (n & 63)) | (w >> (-n & 63));
}

static __always_inline u64 ror64(u64 w, unsigned int n)
{
	return (w >> (n & 63)) | (w << (-n & 63));
}

static __always_inline u32 rol32(u32 w, unsigned int n)
{
	return (w << (n & 31)) | (w >> (-n & 31));
}

static __always_inline u32 ror32(u32 w, unsigned int n)
{
	return (w >> (n & 31)) | (w << (-n & 31));
}

#endif
