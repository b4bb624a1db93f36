/*
 * model.h - one text for the random test and the fuzzer of a structure.
 *
 * X_model.c defines `model`: the structure beside a naive model of it, and operations on both.  Every
 * decision of an operation is asked for with choose(), and nothing else is random.  model_by_seed.c answers
 * with random numbers from a seed, model_by_bytes.c with the bytes of the fuzzer's input.  Both call check
 * after every step and stop at the first difference.
 *
 * The first lines of X_model.c name, beside SOURCES and CFLAGS:
 *	RUNS: 20000			of the fuzzer in `make test`
 *	ARGS, PLANT_ARGS		of the random test, as it is and with faults: --steps N
 *	PLANT: FILE: OLD => NEW		a fault: FILE is built with NEW in place of OLD, and the test must fail.
 *					OLD must stand in FILE exactly once; \n and \t are what they are in C
 */
#ifndef TEST_HOST_MODEL_H
#define TEST_HOST_MODEL_H

#include "check.h"

struct model {
	unsigned int round;	/* steps from start to finish in the random test */
	void (*start)(void);	/* a fresh structure and a fresh model; it may choose */
	void (*step)(void);	/* one operation on both, results compared */
	void (*check)(void);	/* the structure's own checker, and what it has in common with the model */
	void (*finish)(void);	/* all goes away, nothing is left; may be NULL */
	void (*covered)(void);	/* after all random steps: did they reach what they should?  may be NULL */
	void (*others)(void);	/* tests of single properties (RUN), before the random steps; may be NULL */
};
extern const struct model model;

/* A number below n (1 <= n). */
uint64_t choose(uint64_t n);
/* Any 64 bits. */
uint64_t choose_word(void);

/* True once in n times. */
static inline int one_in(uint64_t n)
{
	return choose(n) == 0;
}

#endif
