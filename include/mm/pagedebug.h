/*
 * pagedebug.h - what is done to the bytes of pages and objects while nobody owns them.
 *
 *	page_poison=1		free pages are filled with 0xaa, and looked at when they are handed out
 *	init_on_free=1		pages and objects are cleared when they are given back
 *	init_on_alloc=1		pages and objects are cleared before they are handed out
 *
 * With none of the words (or 0, n, off) nothing happens and the fast paths are as they were: the hooks hang on
 * conditions those test anyway (alloc_hooks, free_slow_flags in mm/pcp.c, kmem_free_hooks in mm/kmem.c).
 */
#ifndef MM_PAGEDEBUG_H
#define MM_PAGEDEBUG_H

#include <mm/alloc.h>

#define PAGE_POISON	1u
#define INIT_ON_ALLOC	2u
#define INIT_ON_FREE	4u
extern u8 page_debug;		/* (I) after page_debug_init */

#define POISON_BYTE	0xaa	/* as elsewhere: people know it from dumps */

/* Reads the words. => before the first page is freed */
void page_debug_init(void);
/* A block that nobody has any more; @who (a code address, may be NULL) is remembered for the report. */
void page_debug_free(struct page *p, unsigned int order, void *who);
/* A block on its way to an owner: verified, cleared where the words say so and GFP_ZERO does not. */
void page_debug_alloc(struct page *p, unsigned int order, gfp_t gfp);
/* Memory that enters the allocator for the first time. */
void page_debug_fresh(u64 pfn, u64 end);
/* Pages found written to while free, since boot. */
u64 page_poison_errors(void);
/* Looks at every page of every free block. => mismatches */
u64 page_poison_check(void);

#endif
