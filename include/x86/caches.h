/* The caches of a CPU, as CPUID tells of them. */
#ifndef X86_CACHES_H
#define X86_CACHES_H

#include <lib/types.h>

enum { CACHE_DATA = 1, CACHE_INSTRUCTION, CACHE_UNIFIED };

struct cpu_cache {
	u32 level, type; /* CACHE_* */
	u32 line, partitions, ways, sets; /* their product is the size in bytes */
	u32 id_shift; /* CPUs whose APIC ids agree above so many bits share it */
};
#define CPU_CACHES_MAX 8u

/* Fills @c with the caches of the running CPU, at most CPU_CACHES_MAX; how many there are (0: CPUID does not tell). */
u32 cpu_caches(struct cpu_cache *c);
/* The online CPUs that share @c with @cpu, and the number Linux gives it: unique among caches of its level and type. */
u64 cpu_cache_shared(const struct cpu_cache *c, int cpu);
u32 cpu_cache_id(const struct cpu_cache *c, int cpu);

#endif
