/*
 * The data page the vDSO reads, one page below its code in every address space. Read-only for user space; written by
 * kernel/proc/vdso.c under seq (odd while it changes). mode 0: no usable clock, make system calls.
 */
#ifndef PROC_VVAR_H
#define PROC_VVAR_H

#include <stdint.h>

struct vvar {
	uint32_t seq, mode;
	uint64_t base_tsc;
	uint64_t mono_ns; /* CLOCK_MONOTONIC at base_tsc */
	uint64_t real_ns; /* CLOCK_REALTIME at base_tsc */
	uint32_t mult, shift;
	uint32_t cpu_mode; /* 1: RDTSCP gives the CPU number in bits 0-11, the node above */
};

#endif
