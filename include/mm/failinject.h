/*
 * failinject.h - making the Nth allocation fail.
 *
 * Armed for one thread (so that a test can aim at one system call) or, with NULL, for all.  The
 * count runs over every allocation of pages, objects and kernel stacks; the one that reaches it
 * fails, and so do the next count - 1.  Then it disarms, or starts again when there is a period.
 * Allocations that must not fail (GFP_NOFAIL) are not counted.
 *
 *	fail_nth=N[,COUNT[,PERIOD]]	on the command line: armed for all when process 1 has its program
 *	echo "N [COUNT]" >/proc/PID/task/TID/fail-nth	for one thread; reading gives what is left
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
/* Arms what fail_nth= on the command line says. */
void fail_nth_boot(void);

#endif
