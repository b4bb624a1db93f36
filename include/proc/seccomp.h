/* Filters on system calls (seccomp(2)): kernel/proc/seccomp.c. */
#ifndef PROC_SECCOMP_H
#define PROC_SECCOMP_H

#include <lib/bpf.h>
#include <proc/impl.h>

#define SECCOMP_MODE_STRICT 1
#define SECCOMP_MODE_FILTER 2
#define SECCOMP_RET_KILL_PROCESS 0x80000000u
#define SECCOMP_RET_KILL_THREAD 0u
#define SECCOMP_RET_TRAP 0x00030000u
#define SECCOMP_RET_ERRNO 0x00050000u
#define SECCOMP_RET_USER_NOTIF 0x7fc00000u
#define SECCOMP_RET_TRACE 0x7ff00000u
#define SECCOMP_RET_LOG 0x7ffc0000u
#define SECCOMP_RET_ALLOW 0x7fff0000u
#define SECCOMP_FLAG_TSYNC 1u
#define SECCOMP_FLAG_LOG 2u
#define SECCOMP_FLAG_SPEC_ALLOW 4u
#define SECCOMP_FLAG_NEW_LISTENER 8u
#define SECCOMP_FLAG_TSYNC_ESRCH 16u
#define SECCOMP_FLAG_WAIT_KILLABLE_RECV 32u
#define SECCOMP_FLAGS 63u

#define SYS_SECCOMP 1 /* si_code of SIGSYS */
#define SYS_USER_DISPATCH 2

struct seccomp_filter;
/* A call is about to be made. False: it is not, RAX is final. => may sleep, may not return */
bool seccomp_allows(struct pt_regs *regs);
/* The child starts with the parent's mode and filters. => parent's sighand->lock */
void seccomp_inherit(struct task *child);
/* SIGSYS to @t for the call in @r, with @code and si_errno @data; @deadly: no handler gets it. */
void signal_sigsys(struct task *t, const struct pt_regs *r, s32 code, u32 data, bool deadly);
void seccomp_put(struct seccomp_filter *f);
int seccomp_set_strict(void); /* 0, -EINVAL */
/* Takes over @f (from seccomp_prepare), also on failure. 0, -EINVAL, -ENOMEM, -EACCES, or the thread id that TSYNC failed for. */
long seccomp_attach(struct seccomp_filter *f, u32 flags);
/* A filter's listener: doors to kernel/fs/seccomp_notify.c, which has the theory. */
struct seccomp_data { s32 nr; u32 arch; u64 ip, args[6]; };
struct seccomp_notify;
struct file;
/* Its file, ERR_PTR; *n is for seccomp_set_notify. When the filter is not attached, seccomp_put and file_put end both. */
struct file *seccomp_listener(bool killable, struct seccomp_notify **n);
void seccomp_set_notify(struct seccomp_filter *f, struct seccomp_notify *n); /* before it is attached; takes over *n */
bool seccomp_notify_ask(struct seccomp_notify *n, const struct seccomp_data *d, struct pt_regs *r); /* true: make the call; false: RAX is final. => may sleep */
bool seccomp_notify_heard(const struct seccomp_notify *n); /* the listener is there */
void seccomp_notify_gone(struct seccomp_notify *n); /* no task has the filter any more; drops its reference. => any context */
/* prctl(2)'s way to the same, kernel/sys/seccomp.c */
long prctl_set_seccomp(u64 mode, void __user *filter);
/* Room for a program of @len instructions at *prog; NULL: out of memory. */
struct seccomp_filter *seccomp_prepare(u32 len, struct bpf_insn **prog);

#endif
