/*
 * section.h - the map of physical memory and the page structs over it.
 *
 * The regions of the hand-off are copied at boot and kept for good: they say what every frame
 * is.  Page structs are made by sections of 128 MiB: at boot where anything is in use, later
 * where memory is only free (mm/section.c).
 */
#ifndef MM_SECTION_H
#define MM_SECTION_H

#include <boot/handoff.h>
#include <mm/zone.h>

struct phys_region {
	u64 start, end;		/* pfns */
	u32 type;		/* enum handoff_mem; 0 in a piece that is no memory */
	u32 flags;
};
extern struct phys_region *phys_regions;	/* sorted, disjoint */
extern u32 nr_phys_regions;

/* A stretch of frames with one type, one node, one zone. */
struct phys_piece {
	u64 start, end;
	u32 type;
	int node;
	enum zone_nr zone;
};
/* The piece that begins at pfn, cut at `end`. */
void phys_piece_at(u64 pfn, u64 end, struct phys_piece *p);
#define for_each_piece(p, first, last)						\
	for (u64 __at = (first);						\
	     __at < (last) && (phys_piece_at(__at, last, &(p)), true); __at = (p).end)

int pfn_to_node(u64 pfn);
/* Whether memory of this type belongs to the allocator (now, or after boot). */
static inline bool region_usable(u32 type)
{
	return type == HANDOFF_MEM_USABLE;
}

/* Boot: sections, their page structs, and all free memory into the zones. */
void sections_init(void);
/* Makes page structs for one more deferred section of the zone. => false when there is none or
 * this context cannot; thread context, sleeps not */
bool zone_grow(struct zone *z);
/* The same for a section whose number is k modulo n, and never waiting for another CPU. => false: there is none */
bool zone_grow_share(struct zone *z, u64 k, u64 n);
/* Starts a thread per CPU to make the page structs of all memory, on a big machine (mm/pagearray.c). => process 1 is made */
void page_array_fill(void);
extern u64 *section_map;	/* bit per section: page structs exist */
extern u64 nr_sections;
u64 page_array_pages(void);	/* memory taken by page structs */

/* Zone Movable (mm/movable.c): a node's frames from here on. Set by movable_plan from the command line and the nodes' present
 * pages and highest frames (arrays by node). => false: nothing is Movable */
extern u64 node_movable_start[MAX_NODES];
bool movable_plan(const u64 *present, const u64 *top);

/* Boot memory (mm/bootmem.c): free ranges left, for sections_init; and what was given out. */
u64 bootmem_used_pages(void);
/* Calls fn for every range still free, and closes the boot allocator. */
void bootmem_retire(void (*fn)(u64 start_pfn, u64 end_pfn));
/* Some page in [start, end) was given out. */
bool bootmem_touches(u64 start_pfn, u64 end_pfn);

#endif
