/*
 * The data page the vDSO reads, one page below its code in every address space. Read-only for user space; written by
 * kernel/proc/vdso.c under seq (odd while it changes). mode 0: no usable clock, make system calls; seq stays odd then.
 */
#ifndef PROC_VVAR_H
#define PROC_VVAR_H

#include <stdint.h>

#define VVAR_REAL 0 /* as CLOCK_REALTIME */
#define VVAR_MONO 1 /* as CLOCK_MONOTONIC */
#define VVAR_RAW 2 /* as CLOCK_MONOTONIC_RAW */
#define VVAR_TAI 3 /* as CLOCK_TAI */
#define VVAR_CLOCKS 4

struct vvar {
	uint32_t seq, mode;
	uint64_t base_tsc;
	uint64_t mult[VVAR_CLOCKS]; /* ns a tick, 32 bits of fraction */
	uint64_t base_ns[VVAR_CLOCKS]; /* the clocks at base_tsc */
	uint32_t cpu_mode; /* 1: RDTSCP gives the CPU number in bits 0-11, the node above */
};

#endif
