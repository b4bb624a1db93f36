/* Checkers: each walks one structure, prints every mismatch (structure, address, both values), returns how many. */
#ifndef MM_CHECK_H
#define MM_CHECK_H

#include <lib/types.h>

u64 buddy_check(void);
u64 slab_check(void);
u64 mm_check_all(void);
u64 mm_lists_check(void);
u64 rmap_check(void);
u64 frames_check(void); /* pagecheck.c: every page struct */
/* All of them, and those that other parts registered. Behind /proc/sys/vm/check and every in-kernel test. */
u64 check_everything(void);
void check_register(const char *name, u64 (*fn)(void));

#endif
