/*
 * bitmap.h - arrays of bits: searching and filling.  Nothing here is atomic; the searches may
 * run beside atomic writers and then see each word at some moment.
 */
#ifndef LIB_BITMAP_H
#define LIB_BITMAP_H

#include "lib/bitops.h"

#define DECLARE_BITMAP(name, bits)	u64 name[BITS_TO_WORDS(bits)]

/* Each returns the bit's number, or `size` when there is none. */
u64 find_next_bit(const u64 *map, u64 size, u64 from);
u64 find_next_zero_bit(const u64 *map, u64 size, u64 from);
u64 find_last_bit(const u64 *map, u64 size);

static inline u64 find_first_bit(const u64 *map, u64 size)
{
	return find_next_bit(map, size, 0);
}

static inline u64 find_first_zero_bit(const u64 *map, u64 size)
{
	return find_next_zero_bit(map, size, 0);
}

/* First run of `n` clear bits at or after `from`, its start aligned to `align` (a power of 2).
 * => `size` when there is none. */
u64 bitmap_find_zero_area(const u64 *map, u64 size, u64 from, u64 n, u64 align);

void bitmap_set(u64 *map, u64 from, u64 n);
void bitmap_clear(u64 *map, u64 from, u64 n);
u64 bitmap_weight(const u64 *map, u64 size);

static inline void bitmap_zero(u64 *map, u64 size)
{
	for (u64 i = 0; i < BITS_TO_WORDS(size); i++)
		map[i] = 0;
}

/* Bits past `size` in the last word stay clear. */
static inline void bitmap_fill(u64 *map, u64 size)
{
	bitmap_zero(map, size);
	bitmap_set(map, 0, size);
}

static inline void bitmap_copy(u64 *to, const u64 *from, u64 size)
{
	for (u64 i = 0; i < BITS_TO_WORDS(size); i++)
		to[i] = from[i];
}

static inline void bitmap_or(u64 *to, const u64 *a, const u64 *b, u64 size)
{
	for (u64 i = 0; i < BITS_TO_WORDS(size); i++)
		to[i] = a[i] | b[i];
}

static inline void bitmap_and(u64 *to, const u64 *a, const u64 *b, u64 size)
{
	for (u64 i = 0; i < BITS_TO_WORDS(size); i++)
		to[i] = a[i] & b[i];
}

static inline bool bitmap_empty(const u64 *map, u64 size)
{
	return find_first_bit(map, size) == size;
}

static inline bool bitmap_full(const u64 *map, u64 size)
{
	return find_first_zero_bit(map, size) == size;
}

#define for_each_set_bit(bit, map, size)					\
	for ((bit) = find_first_bit(map, size); (bit) < (size);			\
	     (bit) = find_next_bit(map, size, (bit) + 1))
#define for_each_clear_bit(bit, map, size)					\
	for ((bit) = find_first_zero_bit(map, size); (bit) < (size);		\
	     (bit) = find_next_zero_bit(map, size, (bit) + 1))

#endif
