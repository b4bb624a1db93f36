/* sort.c - heap sort: in place, no recursion, no worst case; and bisection. */
#include "lib/sort.h"
#include "lib/string.h"

static void swap_bytes(u8 *a, u8 *b, size_t size)
{
	for (; size >= 8; size -= 8, a += 8, b += 8) {
		u64 x, y;

		memcpy(&x, a, 8);
		memcpy(&y, b, 8);
		memcpy(a, &y, 8);
		memcpy(b, &x, 8);
	}
	for (; size; size--, a++, b++)
		swap(*a, *b);
}

/* Restores the heap below i, where only i may be smaller than its children. */
static void sift(u8 *base, size_t i, size_t n, size_t size, sort_cmp_fn cmp)
{
	for (size_t c; (c = 2 * i + 1) < n; i = c) {
		if (c + 1 < n && cmp(base + c * size, base + (c + 1) * size) < 0)
			c++;
		if (cmp(base + i * size, base + c * size) >= 0)
			return;
		swap_bytes(base + i * size, base + c * size, size);
	}
}

void sort(void *array, size_t n, size_t size, sort_cmp_fn cmp)
{
	u8 *base = array;

	for (size_t i = n / 2; i-- > 0;)
		sift(base, i, n, size, cmp);
	while (n > 1) {
		n--;
		swap_bytes(base, base + n * size, size);
		sift(base, 0, n, size, cmp);
	}
}

#ifndef HOST_TEST
#endif
