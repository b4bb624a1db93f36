/*
 * atomic.h - atomic counters and memory ordering, in the names everybody knows.
 *
 * Ordering as in Linux: operations that return a value are full barriers, those that do not
 * order nothing.  On x86 the difference is only what the compiler may move.  refcount_t is an
 * atomic counter that never leaves zero again and saturates instead of wrapping: a leak is
 * better than a use after free.
 */
#ifndef LIB_ATOMIC_H
#define LIB_ATOMIC_H

#include "lib/compiler.h"

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef struct { long counter; } atomic_long_t;
typedef struct { atomic_t refs; } refcount_t;

#define ATOMIC_INIT(i)		{ (i) }
#define ATOMIC64_INIT(i)	{ (i) }
#define ATOMIC_LONG_INIT(i)	{ (i) }
#define REFCOUNT_INIT(i)	{ ATOMIC_INIT(i) }

#if defined(HOST_TEST) || !defined(__x86_64__)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#else
/*
 * Stores may only be delayed past later loads on x86 (Intel SDM 3A 9.2.2), so a locked
 * operation is the one fence needed and the others only hold the compiler.
 */
#define smp_mb()		__asm__ volatile("lock; addl $0, (%%rsp)" ::: "memory", "cc")
#define smp_rmb()		barrier()
#define smp_wmb()		barrier()
#endif
#define smp_mb__before_atomic()	barrier()
#define smp_mb__after_atomic()	barrier()
#define smp_load_acquire(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_store_mb(var, v)	((void)__atomic_exchange_n(&(var), (v), __ATOMIC_SEQ_CST))

/* Exchange and compare-and-exchange of any plain word; cmpxchg returns what was there. */
#define xchg(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define cmpxchg(p, old, new) ({							\
	__typeof__(*(p)) __cold_v = (old);					\
	__atomic_compare_exchange_n((p), &__cold_v, (new), false,		\
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);	\
	__cold_v; })
/* On failure *oldp is what was there. */
#define try_cmpxchg(p, oldp, new)						\
	__atomic_compare_exchange_n((p), (oldp), (new), false,			\
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

#define __ATOMIC_OPS(name, type, val)						\
static __always_inline val name##_read(const type *v)				\
{ return READ_ONCE(v->counter); }						\
static __always_inline val name##_read_acquire(const type *v)			\
{ return __atomic_load_n(&v->counter, __ATOMIC_ACQUIRE); }			\
static __always_inline void name##_set(type *v, val i)				\
{ WRITE_ONCE(v->counter, i); }							\
static __always_inline void name##_set_release(type *v, val i)			\
{ __atomic_store_n(&v->counter, i, __ATOMIC_RELEASE); }				\
static __always_inline void name##_add(val i, type *v)				\
{ (void)__atomic_fetch_add(&v->counter, i, __ATOMIC_RELAXED); }			\
static __always_inline void name##_sub(val i, type *v)				\
{ (void)__atomic_fetch_sub(&v->counter, i, __ATOMIC_RELAXED); }			\
static __always_inline void name##_inc(type *v)					\
{ (void)__atomic_fetch_add(&v->counter, 1, __ATOMIC_RELAXED); }			\
static __always_inline void name##_dec(type *v)					\
{ (void)__atomic_fetch_sub(&v->counter, 1, __ATOMIC_RELAXED); }			\
static __always_inline void name##_or(val i, type *v)				\
{ (void)__atomic_fetch_or(&v->counter, i, __ATOMIC_RELAXED); }			\
static __always_inline void name##_and(val i, type *v)				\
{ (void)__atomic_fetch_and(&v->counter, i, __ATOMIC_RELAXED); }			\
static __always_inline void name##_andnot(val i, type *v)			\
{ (void)__atomic_fetch_and(&v->counter, ~i, __ATOMIC_RELAXED); }		\
static __always_inline val name##_add_return(val i, type *v)			\
{ return __atomic_add_fetch(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_sub_return(val i, type *v)			\
{ return __atomic_sub_fetch(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_inc_return(type *v)				\
{ return __atomic_add_fetch(&v->counter, 1, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_dec_return(type *v)				\
{ return __atomic_sub_fetch(&v->counter, 1, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_add(val i, type *v)			\
{ return __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_sub(val i, type *v)			\
{ return __atomic_fetch_sub(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_inc(type *v)				\
{ return __atomic_fetch_add(&v->counter, 1, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_dec(type *v)				\
{ return __atomic_fetch_sub(&v->counter, 1, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_or(val i, type *v)			\
{ return __atomic_fetch_or(&v->counter, i, __ATOMIC_SEQ_CST); }			\
static __always_inline val name##_fetch_and(val i, type *v)			\
{ return __atomic_fetch_and(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_fetch_andnot(val i, type *v)			\
{ return __atomic_fetch_and(&v->counter, ~i, __ATOMIC_SEQ_CST); }		\
static __always_inline bool name##_dec_and_test(type *v)			\
{ return __atomic_sub_fetch(&v->counter, 1, __ATOMIC_SEQ_CST) == 0; }		\
static __always_inline bool name##_inc_and_test(type *v)			\
{ return __atomic_add_fetch(&v->counter, 1, __ATOMIC_SEQ_CST) == 0; }		\
static __always_inline bool name##_sub_and_test(val i, type *v)			\
{ return __atomic_sub_fetch(&v->counter, i, __ATOMIC_SEQ_CST) == 0; }		\
static __always_inline val name##_xchg(type *v, val i)				\
{ return __atomic_exchange_n(&v->counter, i, __ATOMIC_SEQ_CST); }		\
static __always_inline val name##_cmpxchg(type *v, val old, val new)		\
{ return cmpxchg(&v->counter, old, new); }					\
static __always_inline bool name##_try_cmpxchg(type *v, val *old, val new)	\
{ return try_cmpxchg(&v->counter, old, new); }					\
/* Adds `a` unless the counter is `u`; true when it added. */			\
static __always_inline bool name##_add_unless(type *v, val a, val u)		\
{										\
	val c = name##_read(v);							\
	do {									\
		if (unlikely(c == u))						\
			return false;						\
	} while (!name##_try_cmpxchg(v, &c, c + a));				\
	return true;								\
}										\
static __always_inline bool name##_inc_not_zero(type *v)			\
{ return name##_add_unless(v, 1, 0); }						\
/* Takes one off unless it would go below zero; the new value, or negative. */	\
static __always_inline val name##_dec_if_positive(type *v)			\
{										\
	val c = name##_read(v);							\
	do {									\
		if (unlikely(c <= 0))						\
			return c - 1;						\
	} while (!name##_try_cmpxchg(v, &c, c - 1));				\
	return c - 1;								\
}

__ATOMIC_OPS(atomic, atomic_t, int)
__ATOMIC_OPS(atomic64, atomic64_t, s64)
__ATOMIC_OPS(atomic_long, atomic_long_t, long)

#define REFCOUNT_SATURATED	(-0x40000000)

static __always_inline int refcount_read(const refcount_t *r)
{
	return atomic_read(&r->refs);
}

static __always_inline void refcount_set(refcount_t *r, int n)
{
	atomic_set(&r->refs, n);
}

static __always_inline void refcount_add(int n, refcount_t *r)
{
	if (unlikely(atomic_fetch_add(n, &r->refs) <= 0))
		atomic_set(&r->refs, REFCOUNT_SATURATED);
}

/* => the caller holds a reference already. */
static __always_inline void refcount_inc(refcount_t *r)
{
	refcount_add(1, r);
}

/* Takes a reference unless the object is on its way out. */
static __always_inline bool __must_check refcount_inc_not_zero(refcount_t *r)
{
	return atomic_inc_not_zero(&r->refs);
}

/* True for the one caller that dropped the last reference. */
static __always_inline bool __must_check refcount_dec_and_test(refcount_t *r)
{
	int old = atomic_fetch_sub(1, &r->refs);

	if (likely(old > 1))
		return false;
	if (likely(old == 1))
		return true;
	atomic_set(&r->refs, REFCOUNT_SATURATED);
	return false;
}

static __always_inline void refcount_dec(refcount_t *r)
{
	if (unlikely(atomic_fetch_sub(1, &r->refs) <= 1))
		atomic_set(&r->refs, REFCOUNT_SATURATED);
}

#endif
