// SOURCES: mm/buddy.c mm/bootmem.c mm/section.c mm/zone.c mm/pcp.c mm/page.c mm/slab.c
// SOURCES: mm/magazine.c mm/kmem.c mm/kmem_cache.c mm/pagedebug.c mm/kmalloc.c mm/arena.c mm/vmalloc.c mm/kstack.c mm/check.c
// SOURCES: mm/compact.c mm/failinject.c mm/vmstat.c mm/show.c kernel/lib/string.c kernel/lib/seq_buf.c
// SOURCES: kernel/lib/rbtree.c kernel/lib/bitmap.c kernel/lib/xarray.c kernel/lib/parse.c
// CFLAGS: -DHOST_TEST -DDEBUG -DPAGE_ARRAY_BASE=0x210000000000ull -fno-sanitize=alignment
// CFLAGS: -DVMALLOC_START=0x220000000000ull -DVMALLOC_END=0x22ffffffffffull -Wno-format
/* The same with objects going through the magazines, as in a kernel without object checking. */
#define SLABDEBUG "off"
#include "physmem_test.c"
