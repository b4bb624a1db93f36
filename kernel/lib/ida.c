/*
 * ida.c - numbers from a tree of bitmaps.
 *
 * Invariant: bit b of level k+1 is set exactly when word b of level k is all ones.  Bits past
 * the end of a level are set from the start, so "all ones" needs no special case at the end.
 * Searching goes up while there is nothing at or after the place wanted, then down to the left.
 */
#include "lib/ida.h"
#include "lib/assert.h"
#include "lib/err.h"

void ida_init(struct ida *ida, u64 *storage, u32 n)
{
	u32 bits = n;

	VERIFY(n > 0 && n <= 1U << 24);
	ida->levels = 0;
	ida->size = n;
	ida->used = 0;
	ida->next = 0;
	for (u32 k = 0; k < IDA_LEVELS; k++) {
		u32 words = BITS_TO_WORDS(bits);

		for (u32 i = 0; i < words; i++)
			storage[i] = 0;
		if (bits & 63)
			storage[words - 1] = ~0ULL << (bits & 63);
		ida->level[k] = storage;
		ida->words[k] = words;
		ida->levels = k + 1;
		storage += words;
		bits = words;
		if (words == 1)
			break;
	}
}

static void mark(struct ida *ida, u32 id)
{
	for (u32 k = 0; k < ida->levels; k++, id >>= 6) {
		u64 *w = &ida->level[k][id >> 6];

		*w |= 1ULL << (id & 63);
		if (*w != ~0ULL)
			break;
	}
	ida->used++;
}

/* The first free number >= from, or -1. */
static s64 find_free(const struct ida *ida, u32 from)
{
	u64 at = from;
	u32 k = 0;

	for (;; k++, at = (at >> 6) + 1) {
		u64 w;

		if (k == ida->levels || (at >> 6) >= ida->words[k])
			return -1;
		w = ~ida->level[k][at >> 6] & (~0ULL << (at & 63));
		if (w) {
			at = (at & ~63ULL) + __ffs(w);
			break;
		}
	}
	while (k-- > 0)
		at = (at << 6) + ffz(ida->level[k][at]);
	return (s64)at;
}

int ida_alloc_range(struct ida *ida, u32 min, u32 limit)
{
	s64 id = find_free(ida, min);

	if (id < 0 || (limit && id >= limit))
		return -ENOSPC;
	mark(ida, (u32)id);
	return (int)id;
}

int ida_alloc_cyclic(struct ida *ida, u32 min, u32 limit)
{
	int id = -ENOSPC;

	if (ida->next > min)
		id = ida_alloc_range(ida, ida->next, limit);
	if (id < 0)
		id = ida_alloc_range(ida, min, limit);
	if (id >= 0)
		ida->next = (u32)id + 1;
	return id;
}

bool ida_taken(const struct ida *ida, u32 id)
{
	return id >= ida->size || test_bit(id, ida->level[0]);
}

int ida_take(struct ida *ida, u32 id)
{
	if (ida_taken(ida, id))
		return -EBUSY;
	mark(ida, id);
	return 0;
}

void ida_free(struct ida *ida, u32 id)
{
	VERIFY3U(id, <, ida->size);
	VERIFY(test_bit(id, ida->level[0]));
	for (u32 k = 0; k < ida->levels; k++, id >>= 6) {
		u64 *w = &ida->level[k][id >> 6], old = *w;

		*w &= ~(1ULL << (id & 63));
		if (old != ~0ULL)
			break;
	}
	ida->used--;
}

int ida_check(const struct ida *ida, const char **what)
{
	u32 used = 0;

	for (u32 id = 0; id < ida->size; id++)
		used += test_bit(id, ida->level[0]);
	*what = "used count";
	if (used != ida->used)
		return -1;
	*what = "summary bit";
	for (u32 k = 0; k + 1 < ida->levels; k++)
		for (u32 i = 0; i < ida->words[k]; i++)
			if (test_bit(i, ida->level[k + 1]) != (ida->level[k][i] == ~0ULL))
				return -1;
	return 0;
}
