/*
 * Cache parameters: CPUID leaf 4 (SDM vol. 2A, CPUID, "deterministic cache parameters") or, where leaf 4 has nothing and
 * the topology extensions are there, leaf 0x8000001d, which AMD made in the same form (APM vol. 3, E.4.15). Older processors of
 * AMD's, and QEMU's own, have only leaves 0x80000005 and 0x80000006 (APM vol. 3, E.4.4): no word of who shares there, and the
 * third level was the package's.
 */
#include <kernel/cpumask.h>
#include <lib/bitops.h>
#include <lib/compiler.h>
#include <x86/acpi.h>
#include <x86/caches.h>
#include <x86/cpu.h>

#define LEAF_INTEL 4u
#define LEAF_AMD 0x8000001du
#define LEAF_AMD_OLD 0x80000006u /* and the one before it */
#define SHARED_BY_ALL 31u
#define ALL_WAYS 255u /* fully associative */

static u32 read_leaf(u32 leaf, struct cpu_cache *c)
{
	u32 n = 0, r[4];

	while (n < CPU_CACHES_MAX) {
		cpuid(leaf, n, r);
		u32 sharing = (r[0] >> 14 & 0xfff) + 1;

		if (!(r[0] & 31))
			break;
		c[n++] = (struct cpu_cache){
			.type = r[0] & 31,
			.level = r[0] >> 5 & 7,
			.line = (r[1] & 0xfff) + 1,
			.partitions = (r[1] >> 12 & 0x3ff) + 1,
			.ways = (r[1] >> 22) + 1,
			.sets = r[2] + 1,
			.id_shift = sharing > 1 ? 32 - (u32)__builtin_clz(sharing - 1) : 0,
		};
	}
	return n;
}

/* One cache of the old leaves; 0 when there is none. */
static u32 old_cache(struct cpu_cache *c, u32 level, u32 type, u32 kib, u32 ways, u32 line)
{
	if (!kib || !ways || !line)
		return 0;
	*c = (struct cpu_cache){ .level = level, .type = type, .line = line, .partitions = 1, .ways = ways };
	if (ways == ALL_WAYS)
		c->ways = kib * 1024 / line;
	c->sets = kib * 1024 / line / c->ways;
	c->id_shift = level == 3 ? SHARED_BY_ALL : 0;
	return 1;
}

static u32 read_old_leaves(struct cpu_cache *c)
{
	/* codes of associativity in 0x80000006 */
	static const u8 ways[16] = { 0, 1, 2, 3, 4, 6, 8, 0, 16, 0, 32, 48, 64, 96, 128, ALL_WAYS };
	u32 l1[4], l2[4], n = 0;

	cpuid(LEAF_AMD_OLD - 1, 0, l1);
	cpuid(LEAF_AMD_OLD, 0, l2);
	if (!l1[2]) /* reserved: another maker's */
		return 0;
	n += old_cache(c + n, 1, CACHE_DATA, l1[2] >> 24, l1[2] >> 16 & 255, l1[2] & 255);
	n += old_cache(c + n, 1, CACHE_INSTRUCTION, l1[3] >> 24, l1[3] >> 16 & 255, l1[3] & 255);
	n += old_cache(c + n, 2, CACHE_UNIFIED, l2[2] >> 16, ways[l2[2] >> 12 & 15], l2[2] & 255);
	n += old_cache(c + n, 3, CACHE_UNIFIED, (l2[3] >> 18) * 512, ways[l2[3] >> 12 & 15], l2[3] & 255);
	return n;
}

static bool has_leaf(u32 leaf)
{
	u32 r[4];

	cpuid(leaf & 0x80000000u, 0, r);
	if (r[0] < leaf)
		return false;
	if (leaf != LEAF_AMD)
		return true;
	cpuid(0x80000001u, 0, r);
	return r[2] >> 22 & 1; /* topology extensions */
}

u32 cpu_caches(struct cpu_cache *c)
{
	u32 n = has_leaf(LEAF_INTEL) ? read_leaf(LEAF_INTEL, c) : 0;

	if (!n && has_leaf(LEAF_AMD))
		n = read_leaf(LEAF_AMD, c);
	return !n && has_leaf(LEAF_AMD_OLD) ? read_old_leaves(c) : n;
}

u32 cpu_cache_id(const struct cpu_cache *c, int cpu)
{
	return acpi_cpu_apic_id(cpu) >> c->id_shift;
}

u64 cpu_cache_shared(const struct cpu_cache *c, int cpu)
{
	u64 m = 0;
	int other;

	for_each_online_cpu(other)
		if (cpu_cache_id(c, other) == cpu_cache_id(c, cpu))
			m |= 1ull << other;
	return m;
}
