// SOURCES: kernel/lib/bitmap.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: kernel/lib/bitmap.c: return i < size ? i : size; => return i;
// PLANT: kernel/lib/bitmap.c: u64 mask = ~0ULL >> (-size & 63); => u64 mask = ~0ULL;
// PLANT: kernel/lib/bitmap.c: k = n < 64 - bit ? n : 64 - bit => k = n < 63 - bit ? n : 64 - bit
// PLANT: kernel/lib/bitmap.c: from = used + 1; => from = used + 65;
// PLANT: kernel/lib/bitmap.c: if (size & 63) => if (0)
/*
 * Bit arrays of all sizes against arrays of bytes: every bit after every step, and what lies behind the last one,
 * which no operation may change or look at.
 */
#include "model.h"
#include "lib/bitmap.h"

enum { MAXN = 300, WORDS = BITS_TO_WORDS(MAXN) + 1 };

static u64 map[WORDS];
static bool bits[MAXN];
static u64 size, tail, behind;

/* Bits of the last word that belong to nobody. */
static u64 tail_mask(void)
{
	return size & 63 ? ~0ULL << (size & 63) : 0;
}

static u64 first_of(bool v, u64 from)
{
	while (from < size && bits[from] != v)
		from++;
	return from < size ? from : size;
}

static u64 weight(u64 from, u64 end)
{
	u64 n = 0;

	while (from < end)
		n += bits[from++];
	return n;
}

static void step_range(void)
{
	u64 from = choose(size), n = choose(size - from + 1);
	bool on = choose(2);

	(on ? bitmap_set : bitmap_clear)(map, from, n);
	for (u64 i = from; i < from + n; i++)
		bits[i] = on;
}

static void step_bit(void)
{
	u64 i = choose(size);
	bool on = choose(2), was = bits[i];

	bits[i] = on;
	if (choose(2))
		CHECK_EQ(on ? test_and_set_bit(i, map) : test_and_clear_bit(i, map), was);
	else if (on)
		set_bit(i, map);
	else
		clear_bit(i, map);
}

static void step_search(void)
{
	u64 from = choose(size + 70), last = size;

	CHECK_EQ(find_next_bit(map, size, from), first_of(true, from));
	CHECK_EQ(find_next_zero_bit(map, size, from), first_of(false, from));
	for (u64 i = 0; i < size; i++)
		last = bits[i] ? i : last;
	CHECK_EQ(find_last_bit(map, size), last);
	CHECK_EQ(bitmap_weight(map, size), weight(0, size));
	CHECK_EQ(bitmap_empty(map, size), weight(0, size) == 0);
	CHECK_EQ(bitmap_full(map, size), weight(0, size) == size);
}

static void step_area(void)
{
	u64 from = choose(size), n = 1 + choose(20), align = 1ull << choose(5), at;

	for (at = ALIGN(from, align); at + n <= size && weight(at, at + n); at += align)
		;
	CHECK_EQ(bitmap_find_zero_area(map, size, from, n, align), at + n <= size ? at : size);
}

static void step_combine(void)
{
	u64 other[WORDS] = { 0 }, copy[WORDS];
	bool and = choose(2);
	u64 at = choose(size);

	bitmap_fill(other, size);
	clear_bit(at, other);
	bitmap_copy(copy, map, size);
	(and ? bitmap_and : bitmap_or)(copy, copy, other, size);
	for (u64 i = 0; i < size; i++)
		CHECK_EQ(test_bit(i, copy), and ? bits[i] && i != at : bits[i] || i != at);
}

static void start(void)
{
	static const u64 sizes[] = { 1, 63, 64, 65, 128, 200, MAXN };

	size = sizes[choose(ARRAY_SIZE(sizes))];
	memset(bits, 0, sizeof(bits));
	behind = choose(2) ? ~0ULL : 0;
	memset(map, (int)behind, sizeof(map));
	tail = tail_mask() & behind;
	bitmap_clear(map, 0, size);
}

static void step(void)
{
	switch (choose(5)) {
	case 0: step_range(); break;
	case 1: step_bit(); break;
	case 2: step_search(); break;
	case 3: step_area(); break;
	default: step_combine(); break;
	}
}

static void check(void)
{
	u64 w = BITS_TO_WORDS(size);

	for (u64 i = 0; i < size; i++)
		CHECK_OR_RETURN(test_bit(i, map) == bits[i]);
	CHECK_EQ(map[w - 1] & tail_mask(), tail);
	CHECK_EQ(map[w], behind);
}

const struct model model = { .round = 1000, .start = start, .step = step, .check = check };
