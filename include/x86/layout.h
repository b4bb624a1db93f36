/*
 * The map of the address space, 4-level paging (docs/design/memory.md has the picture).
 * direct_map_base moves with KASLR in 1 GiB steps within its 32 TiB window.
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

#define TASK_SIZE_MAX 0x00007ffffffff000ull /* end of user space; one guard page below the canonical hole */
#define DIRECT_MAP_START 0xffff800000000000ull
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
