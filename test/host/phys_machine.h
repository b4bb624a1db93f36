/*
 * phys_machine.h - a machine for the physical and object level of mm/: "physical memory" is a memory file, the direct map, the page
 * array and vmalloc are mappings of it.  The hand-off has holes, firmware ranges and two nodes.
 */
#ifndef TEST_HOST_PHYS_MACHINE_H
#define TEST_HOST_PHYS_MACHINE_H

#include <boot/handoff.h>
#include <lib/types.h>

#define MIB (1ull << 20)
#define PHYS_SIZE (700 * MIB)

/* "on" or "off": are objects checked?  Set it before machine_boot. */
extern const char *slabdebug;
/* The memory map. */
extern struct handoff_region regions[32];
extern u32 nregions;

/* Physical memory, object caches and vmalloc as after boot. */
void machine_boot(void);
/* Free pages when all caches and lists have given back what they can. */
u64 quiet_free(void);

#endif
