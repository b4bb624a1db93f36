/* Sums of what tasks have used. Private to kernel/proc and kernel/sys/proc*.c. */
#ifndef PROC_USAGE_H
#define PROC_USAGE_H

#include <proc/impl.h>

struct usage { u64 utime, stime, min_flt, maj_flt, nvcsw, nivcsw, maxrss; }; /* ns; pages */

/* A group with its dead threads, without children. => no sighand lock held */
void group_usage(struct task *t, struct usage *u);
u64 group_runtime(struct task *t); /* exact ns */
void usage_add_children(const struct signal_state *s, struct usage *u);
void usage_to_rusage(const struct usage *u, struct rusage *r);

#endif
