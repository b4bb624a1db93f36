/* The machine half of ptrace: registers, vector state, debug registers and stepping of a thread that is stopped and switched
 * out (or, for reading by a core dump, is the caller). */
#ifndef X86_PTRACE_H
#define X86_PTRACE_H

#include <lib/types.h>

struct thread;
struct pt_regs;

#define USER_REGS_SIZE 216 /* struct user_regs_struct: 27 words */
#define USER_AREA_SIZE 928 /* struct user, as PEEKUSR counts */
#define FPREGS_SIZE 512

/* A word of struct user. 0, -EIO. */
int arch_ptrace_peek(struct thread *t, u64 offset, u64 *value);
int arch_ptrace_poke(struct thread *t, u64 offset, u64 value);
void arch_ptrace_get_regs(struct thread *t, u64 regs[27]);
int arch_ptrace_set_regs(struct thread *t, const u64 *regs, u64 n); /* the first n words; -EIO at the first bad one */
/* One step, or on without. */
void arch_ptrace_step(struct thread *t, bool on);
/* current was told to step and has a signal handler to enter or a system call behind it. */
bool arch_stepping(void);
/* Hardware breakpoints of current are gone: exec. */
void arch_debug_clear(void);
/* From the context switch when either thread has TIF_DEBUG. => irqs off */
void arch_debug_switch(const struct thread *next);

/* Vector state in XSAVE's standard format with every part present; the first FPREGS_SIZE bytes alone are struct
 * user_fpregs_struct. @buf has room for arch_xstate_size(). */
u32 arch_xstate_size(void);
void arch_get_xstate(struct thread *t, void *buf);
int arch_set_xstate(struct thread *t, const void *buf); /* 0, -EINVAL */
int arch_set_fpregs(struct thread *t, const void *buf); /* 0, -EINVAL */

#endif
