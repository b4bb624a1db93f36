/*
 * failinject.h - making the Nth allocation fail, or any at random.
 *
 * Armed for one thread (so that a test can aim at one system call) or, with NULL, for all.  The
 * count runs over every allocation of pages, objects and kernel stacks; the one that reaches it
 * fails, and so do the next count - 1.  Then it disarms, or starts again when there is a period.
 * Allocations that must not fail (GFP_NOFAIL) are not counted.
 *
 *	fail_nth=N[,COUNT[,PERIOD]]	on the command line: armed for all when process 1 has its program
 *	echo "N [COUNT]" >/proc/PID/task/TID/fail-nth	for one thread; reading gives what is left
 *
 * At random: each allocation of a marked thread fails with probability 1/K. The mark is inherited by fork and survives exec.
 *
 *	echo "K [SEED]" >/proc/sys/vm/fail_rate	0 ends it; the kernel's log says the seed
 *	echo 1 >/proc/PID/make-it-fail			marks a thread, 0 takes the mark away
 */
#ifndef MM_FAILINJECT_H
#define MM_FAILINJECT_H

#include <mm/alloc.h>

struct thread;
/* n = 1 is the next allocation; 0 disarms. */
void fail_nth_arm(struct thread *t, u64 n);
/* The same with count failures in a row (at least 1), and again every period allocations (0: once). */
void fail_nth_arm_many(struct thread *t, u64 n, u64 count, u64 period);
/* Allocations still to pass before the first failure; 0: not armed, or it has happened. */
u64 fail_nth_left(void);
/* Of the marked threads' allocations one in @every fails from now on; 0: none. The same seed gives the same row of draws. */
void fail_rate_set(u64 every, u64 seed);
u64 fail_rate(void);
/* Implemented by proc: is the running thread marked? */
bool fail_marked(void);
/* Arms what fail_nth= on the command line says. */
void fail_nth_boot(void);

#endif
