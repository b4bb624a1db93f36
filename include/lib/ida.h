/*
 * ida.h - small numbers handed out lowest first: pids, minor numbers, mount ids.
 *
 * A tree of bitmaps, 64 to 1: a bit in a summary word is set when the 64 bits below it are all
 * taken, so the first free number is found by looking at one word per level (at most four for
 * 16 M numbers).  Storage is the caller's; locking is the caller's.
 */
#ifndef LIB_IDA_H
#define LIB_IDA_H

#include "lib/bitops.h"

#define IDA_LEVELS	4

struct ida {
	u64 *level[IDA_LEVELS];		/* [0] one bit per number; each level sums up the last */
	u32 words[IDA_LEVELS];
	u32 levels;
	u32 size;			/* numbers are 0..size-1 */
	u32 used;
	u32 next;			/* where ida_alloc_cyclic goes on */
};

/* Words of storage for n numbers (n up to 16 M). */
#define IDA_W0(n)	BITS_TO_WORDS((u64)(n))
#define IDA_W1(n)	BITS_TO_WORDS(IDA_W0(n))
#define IDA_W2(n)	BITS_TO_WORDS(IDA_W1(n))
#define IDA_W3(n)	BITS_TO_WORDS(IDA_W2(n))
#define IDA_WORDS(n)	(IDA_W0(n) + IDA_W1(n) + IDA_W2(n) + IDA_W3(n))

#define DEFINE_IDA_STORAGE(name, n)	u64 name[IDA_WORDS(n)]

/* => storage has IDA_WORDS(n) words. */
void ida_init(struct ida *ida, u64 *storage, u32 n);
/* The lowest free number >= min and < limit (0 limit: no limit). => or -ENOSPC. */
int ida_alloc_range(struct ida *ida, u32 min, u32 limit);
/* The first free one after the last given, from min again at the end. => or -ENOSPC. */
int ida_alloc_cyclic(struct ida *ida, u32 min, u32 limit);
/* Takes one number. => -EBUSY when it is taken. */
int ida_take(struct ida *ida, u32 id);
void ida_free(struct ida *ida, u32 id);
bool ida_taken(const struct ida *ida, u32 id);
/* => 0, or -1 and *what. */
int ida_check(const struct ida *ida, const char **what);

static inline int ida_alloc(struct ida *ida)
{
	return ida_alloc_range(ida, 0, 0);
}

static inline int ida_alloc_min(struct ida *ida, u32 min)
{
	return ida_alloc_range(ida, min, 0);
}

#endif
