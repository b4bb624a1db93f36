/* The saved user (or interrupted) registers, in the order the entry code pushes them; equals Linux's user_regs_struct order. */
#ifndef X86_PTREGS_H
#define X86_PTREGS_H

#include <lib/types.h>

struct pt_regs {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	u64 orig_rax; /* system call number, or error code of a trap; -1 for interrupts */
	u64 rip, cs, rflags, rsp, ss;
};
static inline bool user_mode(const struct pt_regs *r)
{
	return r->cs & 3;
}
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_CS32 0x23
#define USER_DS 0x2b
#define USER_CS 0x33

#endif
