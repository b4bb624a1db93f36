/* System-call table: index is the number of Linux 6.1 x86-64; an entry is the function or sys_ni. */
#ifndef SYS_SYSCALL_H
#define SYS_SYSCALL_H

#include <lib/types.h>

#define NR_SYSCALLS 451
typedef long (*syscall_fn)(u64, u64, u64, u64, u64, u64);
extern syscall_fn syscall_table[NR_SYSCALLS];
extern const char *const syscall_names[NR_SYSCALLS];
void syscall_init(void); /* fills undefined entries with the logging ENOSYS */

#endif
