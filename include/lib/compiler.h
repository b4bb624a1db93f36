/*
 * compiler.h - what we expect of the compiler, and the arithmetic macros everybody uses.
 *
 * READ_ONCE/WRITE_ONCE make one access of a shared word, neither torn, repeated nor left out;
 * they order nothing.  min/max/swap evaluate each argument once.
 */
#ifndef LIB_COMPILER_H
#define LIB_COMPILER_H

#include "lib/types.h"

#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)

#ifndef __packed
#define __packed		__attribute__((__packed__))
#endif
#ifndef __aligned
#define __aligned(n)		__attribute__((__aligned__(n)))
#endif
#ifndef __must_check
#define __must_check		__attribute__((__warn_unused_result__))
#endif
#ifndef __noreturn
#define __noreturn		__attribute__((__noreturn__))
#endif
#ifndef __used
#define __used			__attribute__((__used__))
#endif
#ifndef __weak
#define __weak			__attribute__((__weak__))
#endif
#ifndef __unused
#define __unused		__attribute__((__unused__))
#endif
#define __maybe_unused		__attribute__((__unused__))
#ifndef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#endif
#define noinline		__attribute__((__noinline__))
#define __cold			__attribute__((__cold__))
#define __hot			__attribute__((__hot__))
#ifndef __section
#define __section(name)		__attribute__((__section__(name)))
#endif
#define __printf(fmt, args)	__attribute__((__format__(__printf__, fmt, args)))
#define __alias(sym)		__attribute__((__alias__(#sym)))
#ifndef fallthrough
#define fallthrough		__attribute__((__fallthrough__))
#endif

/* Code and data used only while booting.  Kept in sections of their own. */
#define __init			__section(".init.text") __cold
#define __initdata		__section(".init.data")

#ifndef __has_feature
#define __has_feature(x)	0
#endif

#define barrier()		__asm__ volatile("" ::: "memory")
#define unreachable()		__builtin_unreachable()
#define OPTIMIZER_HIDE_VAR(v)	__asm__("" : "+r"(v))

/*
 * Under ThreadSanitizer the accesses must be visible as atomic ones.  READ_POINTER reads a pointer that was published with
 * a release store: the CPU keeps what is read through it behind (Intel SDM 3A 9.2.2), the sanitizer must be told.
 * READ_RACY is for a word that others change by plain stores at the same time, where every value it ever had will do.
 */
#if __has_feature(thread_sanitizer)
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define READ_POINTER(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
static __attribute__((__noinline__, __unused__, no_sanitize("thread"))) u64 read_unseen(const volatile void *p, size_t n)
{
	return n == 8 ? *(const volatile u64 *)p : n == 4 ? *(const volatile u32 *)p :
	       n == 2 ? *(const volatile u16 *)p : *(const volatile u8 *)p;
}
#define READ_RACY(x)		((__typeof__(x))read_unseen(&(x), sizeof(x)))
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#else
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define READ_POINTER(x)		READ_ONCE(x)
#define READ_RACY(x)		READ_ONCE(x)
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))
#endif

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define sizeof_field(t, f)	sizeof(((t *)0)->f)
#define offsetofend(t, f)	(offsetof(t, f) + sizeof_field(t, f))
#define container_of(ptr, type, member) ({					\
	const __typeof__(((type *)0)->member) *__mptr = (ptr);			\
	(type *)((char *)(uintptr_t)__mptr - offsetof(type, member)); })
/* Like container_of, but NULL stays NULL. */
#define container_of_safe(ptr, type, member) ({					\
	__typeof__(ptr) __sptr = (ptr);						\
	__sptr ? container_of(__sptr, type, member) : NULL; })

#define BUILD_BUG_ON(cond)	_Static_assert(!(cond), "BUILD_BUG_ON: " #cond)
#define static_assert_size(t, n) _Static_assert(sizeof(t) == (n), "size of " #t)

#define __stringify_1(x...)	#x
#define __stringify(x...)	__stringify_1(x)
#define __concat_1(a, b)	a##b
#define __concat(a, b)		__concat_1(a, b)
#define __UNIQUE_ID(prefix)	__concat(prefix, __COUNTER__)

#define min(a, b) ({ __typeof__(a) __mina = (a); __typeof__(b) __minb = (b);	\
	(void)(&__mina == &__minb); __mina < __minb ? __mina : __minb; })
#define max(a, b) ({ __typeof__(a) __maxa = (a); __typeof__(b) __maxb = (b);	\
	(void)(&__maxa == &__maxb); __maxa > __maxb ? __maxa : __maxb; })
#define min_t(t, a, b) ({ t __mta = (a); t __mtb = (b); __mta < __mtb ? __mta : __mtb; })
#define max_t(t, a, b) ({ t __xta = (a); t __xtb = (b); __xta > __xtb ? __xta : __xtb; })
#define min3(a, b, c)		min((__typeof__(a))min(a, b), c)
#define max3(a, b, c)		max((__typeof__(a))max(a, b), c)
#define clamp(v, lo, hi)	min((__typeof__(v))max(v, lo), hi)
#define clamp_t(t, v, lo, hi)	min_t(t, max_t(t, v, lo), hi)
#define swap(a, b) do { __typeof__(a) __swp = (a); (a) = (b); (b) = __swp; } while (0)

/* Round to a power of two, which `a` must be. */
#define ALIGN(x, a) (((x) + ((__typeof__(x))(a) - 1)) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define IS_ALIGNED(x, a)	(((x) & ((__typeof__(x))(a) - 1)) == 0)
#define PTR_ALIGN(p, a)		((__typeof__(p))ALIGN((uintptr_t)(p), (uintptr_t)(a)))
#define PTR_ALIGN_DOWN(p, a)	((__typeof__(p))ALIGN_DOWN((uintptr_t)(p), (uintptr_t)(a)))

#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define roundup(x, y)		((((x) + (y) - 1) / (y)) * (y))
#define rounddown(x, y)		((x) - ((x) % (y)))
#define abs_diff(a, b)		((a) > (b) ? (a) - (b) : (b) - (a))

/* The number of the highest set bit; ilog2(0) is -1. */
#define ilog2(n)		((n) ? 63 - __builtin_clzll((u64)(n)) : -1)
#define is_power_of_2(n)	((n) != 0 && ((n) & ((n) - 1)) == 0)
#define roundup_pow_of_two(n)	((n) <= 1 ? 1ULL : 1ULL << (ilog2((u64)(n) - 1) + 1))
#define rounddown_pow_of_two(n)	(1ULL << ilog2(n))

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK_ULL(h, l)	(((~0ULL) << (l)) & (~0ULL >> (63 - (h))))

#define SZ_1K	0x400ULL
#define SZ_4K	0x1000ULL
#define SZ_64K	0x10000ULL
#define SZ_1M	0x100000ULL
#define SZ_2M	0x200000ULL
#define SZ_1G	0x40000000ULL
#define SZ_4G	0x100000000ULL

/* Clang's thread-safety annotations; a no-op where it does not know them. */
#if defined(__clang__)
#define __capability(x)		__attribute__((capability(x)))
#define __acquires_cap(...)	__attribute__((acquire_capability(__VA_ARGS__)))
#define __releases_cap(...)	__attribute__((release_capability(__VA_ARGS__)))
#else
#define __capability(x)
#define __acquires_cap(...)
#define __releases_cap(...)
#endif

#endif
