/* When memory is out: choose a process and kill it. */
#ifndef PROC_OOM_H
#define PROC_OOM_H

#include <lib/types.h>

/* Kills the process whose death frees most (weighed by oom_score_adj), or waits for one that is dying. Returns when it makes sense to try
 * again, or when the caller itself was chosen. => may sleep */
void oom_kill(void);
extern u64 panic_on_oom, oom_kill_allocating_task; /* sysctls: 1 no panic when only some nodes are out, 2 always; whoever asks goes, not who has most */

struct task;
/* 0..2000, as /proc/PID/oom_score shows it. */
long oom_score(struct task *t);

#endif
