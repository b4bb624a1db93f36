/* The performing half of poll and select; decoding is in kernel/sys/poll.c. */
#ifndef FS_POLLSYS_H
#define FS_POLLSYS_H

#include <lib/types.h>

struct pollfd_k { s32 fd; s16 events, revents; };
/* Deadline: ns of the monotonic clock, 0 do not sleep, ~0 for ever. Number of ready files, or -errno. => may sleep */
int do_poll(struct pollfd_k *fds, u32 n, u64 deadline);
/* Three bitmaps in and out (read, write, exception). */
int do_select(u32 nfds, u64 *in[3], u64 *out[3], u64 deadline);

#endif
