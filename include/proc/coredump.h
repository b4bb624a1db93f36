/* Core dumps: kernel/proc/coredump.c stops the threads, kernel/fs/coredump.c writes the file. */
#ifndef PROC_COREDUMP_H
#define PROC_COREDUMP_H

#include <proc/impl.h>

#define COREDUMP_FILTER_DEFAULT 0x33u
extern char core_pattern[128]; /* kernel.core_pattern; torn while it is written */
extern u32 core_uses_pid;

/* current's group dies of a signal that dumps: status bit 0x80 when a core was written, else 0. => may sleep, no locks */
int coredump(const siginfo_t *info);
/* do_exit of another thread of a group that dumps: waits until the dump is over. => may sleep */
void coredump_join(struct signal_state *s);
/* Door upward: the file of current and of the threads for_each_thread, all stopped. True: complete. */
bool coredump_write(const siginfo_t *info);

#endif
