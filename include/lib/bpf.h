/*
 * Classic BPF, the filter language of socket(7) filters and seccomp(2): an accumulator, an index register, 16 words of
 * scratch, forward jumps only. Pure: no locks, no allocation. kernel/lib/bpf.c has the rules.
 */
#ifndef LIB_BPF_H
#define LIB_BPF_H

#include <lib/types.h>

struct bpf_insn { u16 code; u8 jt, jf; u32 k; };
#define BPF_MAXINSNS 4096

/* Is it a program that ends, touches only the 4 * words bytes of its input, and uses only what seccomp allows? */
bool bpf_check(const struct bpf_insn *prog, u32 len, u32 words);
/* Runs a checked program on @words words of input. */
u32 bpf_run(const struct bpf_insn *prog, const u32 *data, u32 words);

#endif
