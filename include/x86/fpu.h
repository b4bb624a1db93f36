/*
 * FPU and vector state. User state stays in the registers while its thread runs; it is saved at a context switch
 * away from a thread that has any (XSAVEOPT/XSAVE/FXSAVE by what the CPU has), and restored on the switch back.
 * The kernel itself uses vector registers only inside clear_page/copy_page and copies, which save what they touch.
 */
#ifndef X86_FPU_H
#define X86_FPU_H

#include <lib/types.h>

struct thread;
extern u32 fpu_size; /* bytes of one save area, 64-byte aligned */
extern u64 fpu_xcr0;
void fpu_switch(struct thread *prev, struct thread *next); /* => irqs off */
void fpu_init_thread(void *area); /* a fresh exec: default state into the registers and area */
void fpu_fork(void *dst_area); /* current's live state into a child's area */
/* Signal frames: user copies in the layout of Linux's _fpstate/xsave frames. 0 or -EFAULT. */
u32 fpu_frame_size(void);
int fpu_save_frame(void __user *p);
int fpu_restore_frame(const void __user *p); /* checks everything; bad state -> -EINVAL and default state */
void fpu_exec(void); /* resets current's live state */

/* Rights of protection keys (SDM vol. 3A 4.6.2): two bits a key in the running thread's PKRU, a part of its vector state.
 * A new program and a signal handler start with PKRU_DEFAULT: only key 0 may be used. => cpu_has(pku) */
#define PKRU_DEFAULT 0x55555554u
u32 pkru_read(void);
void pkru_write(u32 pkru);

#endif
