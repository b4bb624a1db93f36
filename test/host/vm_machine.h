/*
 * vm_machine.h - a simulated machine for the virtual half of mm/: real page tables and struct pages in an array, objects from
 * malloc, three files, and two CPUs with caches of translations that are only ever invalidated by the flush functions.
 * Page tables are walked and translations cached by touch(); a frame that is freed while a translation leads to it is a panic.
 */
#ifndef TEST_HOST_VM_MACHINE_H
#define TEST_HOST_VM_MACHINE_H

#include "mm/vm.h"
#include "model.h"

#define FRAMES 16384u /* 64 MiB */
#define NR_FILES 3

struct file {
	s32 refs;
	bool shmem;
	struct mapping m;
};
extern struct file files[NR_FILES];

extern u8 memory[(u64)FRAMES << PAGE_SHIFT];
extern u32 frames_used;
extern u32 fail_in; /* the n-th allocation from now fails; 0 never */
extern u64 nr_flushes;

/* Before anything else. */
void machine_start(void);
/* Objects of all caches that are in use. */
u64 live_objects(void);
/* The entry that translates @va, or NULL. */
pte_t *walk(struct mm *mm, u64 va, u64 *size);
/* Panics when a cached translation gives more than the tables. */
void tlb_check(void);
/* One access to a word by one of the CPUs, with the faults it takes. NULL: it would be a signal. */
u64 *touch(struct mm *mm, u64 va, bool write);

#endif
