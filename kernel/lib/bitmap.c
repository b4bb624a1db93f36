/* bitmap.c - searching and filling bit arrays a word at a time. */
#include "lib/bitmap.h"

/* First bit at or after `from` in map ^ flip. */
static __always_inline u64 find_next(const u64 *map, u64 size, u64 from, u64 flip)
{
	u64 i = from >> 6, w;

	if (unlikely(from >= size))
		return size;
	w = (READ_ONCE(map[i]) ^ flip) & (~0ULL << (from & 63));
	while (!w) {
		if (++i >= BITS_TO_WORDS(size))
			return size;
		w = READ_ONCE(map[i]) ^ flip;
	}
	i = (i << 6) + __ffs(w);
	return i < size ? i : size;
}

u64 find_next_bit(const u64 *map, u64 size, u64 from)
{
	return find_next(map, size, from, 0);
}

u64 find_next_zero_bit(const u64 *map, u64 size, u64 from)
{
	return find_next(map, size, from, ~0ULL);
}

u64 find_last_bit(const u64 *map, u64 size)
{
	u64 mask = ~0ULL >> (-size & 63);

	for (u64 i = BITS_TO_WORDS(size); i-- > 0; mask = ~0ULL) {
		u64 w = map[i] & mask;

		if (w)
			return (i << 6) + __fls(w);
	}
	return size;
}

u64 bitmap_find_zero_area(const u64 *map, u64 size, u64 from, u64 n, u64 align)
{
	for (;;) {
		u64 start = ALIGN(find_next_zero_bit(map, size, from), align), used;

		if (start >= size || n > size - start)
			return size;
		used = find_next_bit(map, start + n, start);
		if (used == start + n)
			return start;
		from = used + 1;
	}
}

/* Sets or clears [from, from + n). */
static __always_inline void change(u64 *map, u64 from, u64 n, bool on)
{
	while (n) {
		u64 bit = from & 63, k = n < 64 - bit ? n : 64 - bit;
		u64 m = (~0ULL >> (64 - k)) << bit;

		if (on)
			map[from >> 6] |= m;
		else
			map[from >> 6] &= ~m;
		from += k;
		n -= k;
	}
}

void bitmap_set(u64 *map, u64 from, u64 n)
{
	change(map, from, n, true);
}

void bitmap_clear(u64 *map, u64 from, u64 n)
{
	change(map, from, n, false);
}

u64 bitmap_weight(const u64 *map, u64 size)
{
	u64 n = 0, i;

	for (i = 0; i < size >> 6; i++)
		n += hweight64(map[i]);
	if (size & 63)
		n += hweight64(map[i] & (~0ULL >> (64 - (size & 63))));
	return n;
}
