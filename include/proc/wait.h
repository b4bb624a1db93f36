/* Waiting for children: wait4, waitid. */
#ifndef PROC_WAIT_H
#define PROC_WAIT_H

#include <proc/impl.h>

#define WNOHANG 1u
#define WUNTRACED 2u
#define WSTOPPED 2u
#define WEXITED 4u
#define WCONTINUED 8u
#define WNOWAIT 0x01000000u
#define __WNOTHREAD 0x20000000u
#define __WALL 0x40000000u
#define __WCLONE 0x80000000u

enum wait_which { WAIT_ANY, WAIT_PID, WAIT_PGID };
struct wait_request {
	enum wait_which which;
	pid_t nr;
	u32 options; /* W* */
	bool want_usage;
	/* results */
	pid_t pid;
	uid_t uid;
	s32 status; /* wait status format */
	s32 why; /* CLD_* */
	s32 si_status;
	struct rusage usage;
};
/* A pid > 0, 0 (WNOHANG, nothing there), or -ECHILD, -ERESTARTSYS. => may sleep */
long do_wait(struct wait_request *w);

#endif
