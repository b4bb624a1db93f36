/* When memory is out: choose a process and kill it. */
#ifndef PROC_OOM_H
#define PROC_OOM_H

/* Kills the process whose death frees most (weighed by oom_score_adj), or waits for one that is dying. Returns when it makes sense to try
 * again, or when the caller itself was chosen. => may sleep */
void oom_kill(void);

struct task;
/* 0..2000, as /proc/PID/oom_score shows it. */
long oom_score(struct task *t);

#endif
