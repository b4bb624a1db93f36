/*
 * err.h - an error number in a pointer.  The top 4095 addresses are never objects.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include "lib/compiler.h"
#include "uapi/errno.h"

#define MAX_ERRNO	4095
#define IS_ERR_VALUE(x)	unlikely((uintptr_t)(x) >= (uintptr_t)-MAX_ERRNO)

static __always_inline void *ERR_PTR(intptr_t error)
{
	return (void *)error;
}

static __always_inline intptr_t PTR_ERR(const void *p)
{
	return (intptr_t)p;
}

static __always_inline bool IS_ERR(const void *p)
{
	return IS_ERR_VALUE(p);
}

static __always_inline bool IS_ERR_OR_NULL(const void *p)
{
	return unlikely(!p) || IS_ERR_VALUE(p);
}

static __always_inline int PTR_ERR_OR_ZERO(const void *p)
{
	return IS_ERR(p) ? (int)PTR_ERR(p) : 0;
}

#define ERR_CAST(p)	((void *)(uintptr_t)(p))

#endif
