/* What a checker of a pure structure found first: the rule broken, the address of the part, what is there and what should be. */
#ifndef LIB_FINDING_H
#define LIB_FINDING_H

#include <lib/types.h>

struct finding {
	const char *what; /* NULL: nothing yet */
	const void *at;
	u64 is, should;
};

/* => 1; only the first is kept */
static inline u64 found(struct finding *f, const char *what, const void *at, u64 is, u64 should)
{
	if (!f->what)
		*f = (struct finding){ what, at, is, should };
	return 1;
}

/* => 0 when both are the same */
static inline u64 expect_same(struct finding *f, const char *what, const void *at, u64 is, u64 should)
{
	return is == should ? 0 : found(f, what, at, is, should);
}

#endif
