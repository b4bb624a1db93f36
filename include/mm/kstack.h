/* kstack.h - the area of kernel stacks; the public half is in mm/vmalloc.h. */
#ifndef MM_KSTACK_H
#define MM_KSTACK_H

#include <lib/types.h>
#include <x86/layout.h>
#include <x86/thread.h>

extern u64 vmalloc_base; /* where the vmalloc range begins; immutable after vmalloc_init */
/* Its first 64 GiB: two million slots. */
#define KSTACK_SLOT	(2 * KSTACK_SIZE)
#define KSTACK_AREA	vmalloc_base
#define KSTACK_AREA_END	(vmalloc_base + (64ull << 30))

struct seq_buf;
void kstack_info_show(struct seq_buf *m);
/* Frees the stacks that wait for reuse; pages freed. => may sleep */
u64 kstack_reap(void);
u64 vmalloc_check(void);

#endif
