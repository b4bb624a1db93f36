/*
 * printf.h - formatted text into a bounded buffer.
 *
 * Conversions: d i u x X o c s p % n-less; flags - + space # 0; width and precision as numbers
 * or *; lengths hh h l ll z t j.  %p prints 0x and 16 digits; %pS prints symbol+offset when the
 * kernel has set printf_symbol, else the address.  No floating point.  On the host libc's
 * functions serve and ours are built as quoin_*, for their own test.
 */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include "lib/compiler.h"

#ifdef HOST_TEST
#include <stdio.h>
int quoin_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
int quoin_snprintf(char *buf, size_t size, const char *fmt, ...);

static inline __printf(3, 0) int vscnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(buf, size, fmt, args);

	return (size_t)n < size ? n : size ? (int)size - 1 : 0;
}

static inline __printf(3, 4) int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vscnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}
#else
/* Both return the length the whole text would have; at most size - 1 bytes and a NUL are
 * written, nothing when size is 0. */
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args) __printf(3, 0);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
/* The same, but return the number of bytes really in the buffer, without the NUL. */
int vscnprintf(char *buf, size_t size, const char *fmt, va_list args) __printf(3, 0);
int scnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
#endif

/* Writes "name+0x12/0x34" for an address. => its length, 0 when the address has no symbol. */
extern int (*printf_symbol)(char *buf, size_t size, u64 addr);

#endif
