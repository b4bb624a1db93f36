/*
 * failinject.h - making the Nth allocation fail.
 *
 * Armed for one thread (so that a test can aim at one system call) or, with NULL, for all.  The
 * count runs over every allocation of pages and objects; the one that reaches it fails and
 * disarms.  fail_nth=N on the command line arms for all after boot.
 */
#ifndef MM_FAILINJECT_H
#define MM_FAILINJECT_H

#include <mm/alloc.h>

struct thread;
/* n = 1 is the next allocation; 0 disarms. */
void fail_nth_arm(struct thread *t, u64 n);
/* Allocations still to pass before the failure; 0: not armed, or it has happened. */
u64 fail_nth_left(void);
/* Arms what fail_nth= on the command line says. */
void fail_nth_boot(void);

#endif
