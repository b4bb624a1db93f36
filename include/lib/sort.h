/* sort.h - in-place heap sort (no recursion, no memory, O(n log n) always) and bisection. */
#ifndef LIB_SORT_H
#define LIB_SORT_H

#include "lib/compiler.h"

typedef int (*sort_cmp_fn)(const void *a, const void *b);

void sort(void *base, size_t n, size_t size, sort_cmp_fn cmp);

#ifdef HOST_TEST
#include <stdlib.h>
#else
#endif

#endif
