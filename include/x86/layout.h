/*
 * The map of the address space (boot/layout.h has the picture). direct_map_base moves with KASLR in 1 GiB steps.
 *
 * 4 or 5 levels of page tables is found out at boot. The kernel half is the same for both; of the user half everything
 * below 2^48 hangs below mm->pgd in both, so that a walk need not know (mm/ptwalk.c).
 */
#ifndef X86_LAYOUT_H
#define X86_LAYOUT_H

#include <lib/types.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PMD_SHIFT 21
#define PMD_SIZE (1ull << PMD_SHIFT)
#define PMD_MASK (~(PMD_SIZE - 1))
#define PUD_SHIFT 30
#define PUD_SIZE (1ull << PUD_SHIFT)
#define PUD_MASK (~(PUD_SIZE - 1))
#define PGDIR_SHIFT 39
#define PGDIR5_SHIFT 48

/* End of what a program gets without asking: programs keep tags in the upper bits of pointers. */
#define TASK_SIZE_DEFAULT 0x00007ffffffff000ull
/* End of user space, 2^47 or 2^56 less one page that is never mapped: an access that begins below it
 * and is no longer than a page needs no other check. Immutable after pgtable_note_handoff(). */
extern u64 task_size_max;
#define TASK_SIZE_MAX task_size_max
extern u64 kernel_half; /* lowest canonical kernel address */
#ifndef PAGE_ARRAY_BASE /* host tests have their own map */
#define PAGE_ARRAY_BASE 0xffffc00000000000ull /* struct page of pfn 0 */
#define VMALLOC_START 0xffffd00000000000ull
#define VMALLOC_END 0xffffdfffffffffffull
#endif
#define KIMAGE_LINK_BASE 0xffffffff80000000ull

extern u64 direct_map_base; /* immutable after entry */
extern u64 kimage_slide;
static inline void *phys_to_virt(u64 pa)
{
	return (void *)(pa + direct_map_base);
}
/* => only for direct-map addresses; kernel image and vmalloc go through the page tables */
static inline u64 virt_to_phys(const void *va)
{
	return (u64)va - direct_map_base;
}
u64 kimage_to_phys(const void *sym);

#endif
