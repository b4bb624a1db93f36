/*
 * inflate_impl.h - what kernel/lib/inflate.c and inflate_table.c share: the tables' form, described in inflate.c.
 */
#ifndef LIB_INFLATE_IMPL_H
#define LIB_INFLATE_IMPL_H

#include <lib/inflate.h>

#define LIT_ROOT	11
#define DIST_ROOT	8
#define LENGTH_ROOT	7
#define NR_LIT		288
#define NR_DIST		32

#define E_END		(1u << 13)
#define E_SUB		(1u << 14)
#define E_SPECIAL	(1u << 15)
#define E_LITERAL	(1u << 31)
#define E_DROP(e)	((e) & 0xff)
#define E_EXTRA(e)	((e) >> 8 & 31)
#define E_VALUE(e)	((e) >> 16 & 0x7fff)

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* Makes a table of n code lengths for literals and lengths, distances, or (its values are plain) code lengths.
 * => false: no prefix code, or an incomplete one */
bool inflate_lit_table(struct inflate *w, const uint8_t *lengths, uint32_t n);
bool inflate_dist_table(struct inflate *w, const uint8_t *lengths, uint32_t n);
bool inflate_length_table(struct inflate *w, const uint8_t *lengths, uint32_t n);

#endif
