/*
 * types.h - the basic types of every part of Quoin.
 *
 * The same text is compiled for the kernel (ELF, 64-bit long), the EFI application (PE, 32-bit
 * long) and the host's tests (glibc).  So u64 is `unsigned long long` in all three and prints
 * with %llu; on the host the POSIX names come from glibc, whose types may differ in width.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef HOST_TEST
#include <sys/types.h>
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;

#ifndef HOST_TEST
typedef __INTPTR_TYPE__ ssize_t;
typedef s64 loff_t;
typedef s64 off_t;
typedef s32 pid_t;
typedef u32 uid_t;
typedef u32 gid_t;
typedef u32 mode_t;
typedef u32 nlink_t;
typedef s64 blkcnt_t;
typedef s32 clockid_t;
typedef u64 dev_t;		/* in the user ABI's encoding, see MKDEV in the file layer */
typedef u64 ino_t;
#endif

typedef u32 gfp_t;		/* GFP_* allocation flags, see mm/alloc.h */
typedef u64 sector_t;		/* 512-byte units */
typedef u64 phys_addr_t;
typedef s64 time64_t;		/* seconds */

/* A pointer into user space: only reached through copy_to_user and friends. */
#define __user
/* A pointer to device registers: only reached through readl/writel and friends. */
#define __iomem
/* Marks a deliberate cast between the above and plain pointers. */
#define __force

#define U32_MAX		((u32)~0U)
#define S32_MAX		((s32)(U32_MAX >> 1))
#define S32_MIN		((s32)(-S32_MAX - 1))
#define U64_MAX		((u64)~0ULL)
#define S64_MAX		((s64)(U64_MAX >> 1))
#define S64_MIN		((s64)(-S64_MAX - 1))
#ifndef HOST_TEST
#define INT_MAX		S32_MAX
#define INT_MIN		S32_MIN
#define UINT_MAX	U32_MAX
#define LONG_MAX	__LONG_MAX__
#define LONG_MIN	(-LONG_MAX - 1L)
#define ULONG_MAX	(LONG_MAX * 2UL + 1UL)
#define SSIZE_MAX	INTPTR_MAX
#else
#include <limits.h>
#endif

#endif
