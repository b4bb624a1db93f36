/* Virtually contiguous kernel memory, page granular, each area followed by an unmapped guard page. */
#ifndef MM_VMALLOC_H
#define MM_VMALLOC_H

#include <lib/types.h>
#include <mm/page.h>

extern u64 vmalloc_base; /* where the range begins: random, VMALLOC_START at least; immutable after vmalloc_init */
void *vmalloc(u64 len); /* may sleep; NULL when out of memory or address space */
void *vzalloc(u64 len);
void vfree(const void *p); /* NULL is fine; thread context */
/* Address space only (device mappings, fixed tables): no pages. Guard page included. */
u64 vmalloc_reserve(u64 len, u64 align);
void vmalloc_release(u64 va);
/* Kernel stacks: KSTACK_SIZE with a guard page below; recycled per CPU so that fork maps nothing. */
void *kstack_alloc(void);
void kstack_free(void *stack);
/* True when @va lies in the guard page of a kernel stack. */
bool kstack_guard_hit(u64 va);

#endif
