/* What the files about the kernel half (pgtable.c, pgroot.c, pgwalk.c, ioremap.c) share. */
#ifndef KERNEL_X86_PGTABLE_IMPL_H
#define KERNEL_X86_PGTABLE_IMPL_H

#include <x86/pgtable.h>

#define TABLE_BITS (PTE_P | PTE_W | PTE_A)

/* Level of the root: 3, or 4 with five levels. Written once, from the hand-off. */
extern int pgtable_top;

/* What one entry of a table of that level spans. */
static inline u64 level_size(int level)
{
	return PAGE_SIZE << (9 * level);
}

static inline unsigned level_index(u64 va, int level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) & 511;
}

#endif
