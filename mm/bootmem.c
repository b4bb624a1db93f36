/*
 * bootmem.c - memory before there is an allocator.
 *
 * bootmem_init copies the hand-off's regions and lists the frames that are free from the first
 * instruction on: HANDOFF_MEM_USABLE and covered by the direct map, less page 0 and the
 * start-up trampoline.  bootmem_alloc cuts pieces off the low end of the lowest range that fits
 * (above 16 MiB while there is any, so that DMA memory stays), zeroed, never given back.
 *
 * Both arrays live in memory taken from the first range that can hold them: nothing has a fixed
 * size, and the hand-off may be forgotten afterwards.
 *
 * One CPU, interrupts off: no locks.  mm_init_physical takes over what is left.
 */
#include <mm/section.h>

#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/string.h>

struct range {
	u64 start, end;		/* pfns */
};

struct phys_region *phys_regions;
u32 nr_phys_regions;
u64 max_pfn;

static struct range *free_ranges, *used_ranges;
static u32 nr_free_ranges, max_ranges, nr_used;
static u64 used_pages;
static bool retired;

static struct {
	u64 start, end;
	int node;
} node_ranges[2 * MAX_NODES];
static u32 nr_node_ranges;
static struct range kept[3];	/* free or loader memory that stays in use: page 0, stack, trampoline */

u64 node_online_map;
u8 node_distance[MAX_NODES][MAX_NODES];

void node_add_range(int node, u64 base, u64 len)
{
	if (node < 0 || node >= MAX_NODES || !len)
		return;
	if (nr_node_ranges == ARRAY_SIZE(node_ranges)) {
		pr_warn("mm: more than %u ranges in SRAT, the rest counts as node 0\n",
			nr_node_ranges);
		return;
	}
	node_ranges[nr_node_ranges].start = base >> PAGE_SHIFT;
	node_ranges[nr_node_ranges].end = (base + len) >> PAGE_SHIFT;
	node_ranges[nr_node_ranges++].node = node;
	node_online_map |= 1ull << node;
}

/* Node of a frame; *end is moved down to where that answer ends. */
static int node_at(u64 pfn, u64 *end)
{
	for (u32 i = 0; i < nr_node_ranges; i++) {
		if (pfn >= node_ranges[i].start && pfn < node_ranges[i].end) {
			*end = min(*end, node_ranges[i].end);
			return node_ranges[i].node;
		}
		if (node_ranges[i].start > pfn)
			*end = min(*end, node_ranges[i].start);
	}
	/* Outside every range: the lowest node there is. */
	return node_online_map ? __builtin_ctzll(node_online_map) : 0;
}

int pfn_to_node(u64 pfn)
{
	u64 end = U64_MAX;

	return node_at(pfn, &end);
}

/* The first region that ends after pfn. */
static u32 region_after(u64 pfn)
{
	u32 lo = 0, hi = nr_phys_regions;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (phys_regions[mid].end <= pfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void phys_piece_at(u64 pfn, u64 end, struct phys_piece *p)
{
	u32 i = region_after(pfn);

	p->start = pfn;
	p->type = 0;
	if (i < nr_phys_regions) {
		const struct phys_region *r = &phys_regions[i];

		if (pfn >= r->start) {
			p->type = r->type;
			end = min(end, r->end);
		} else {
			end = min(end, r->start);
		}
	}
	for (u32 k = 0; k < ARRAY_SIZE(kept); k++) {
		if (pfn >= kept[k].start && pfn < kept[k].end) {
			p->type = HANDOFF_MEM_RESERVED;
			end = min(end, kept[k].end);
		} else if (kept[k].start > pfn) {
			end = min(end, kept[k].start);
		}
	}
	p->node = node_at(pfn, &end);
	if (pfn < DMA_END_PFN) {
		p->zone = ZONE_DMA;
		end = min(end, DMA_END_PFN);
	} else if (pfn >= node_movable_start[p->node]) {
		p->zone = ZONE_MOVABLE;
	} else {
		p->zone = pfn < DMA32_END_PFN ? ZONE_DMA32 : ZONE_NORMAL;
		if (p->zone == ZONE_DMA32)
			end = min(end, DMA32_END_PFN);
		end = min(end, node_movable_start[p->node]);
	}
	p->end = end;
}

static void add_free(u64 start, u64 end)
{
	if (start >= end)
		return;
	VERIFY3U(nr_free_ranges, <, max_ranges);
	free_ranges[nr_free_ranges++] = (struct range){ start, end };
}

/* Takes [start, end) out of the free ranges. */
static void carve(u64 start, u64 end)
{
	for (u32 i = 0; i < nr_free_ranges; i++) {
		struct range r = free_ranges[i];

		if (r.end <= start || r.start >= end)
			continue;
		free_ranges[i].end = max(r.start, start);
		add_free(max(min(end, r.end), r.start), r.end);
	}
}

static void note_used(u64 start, u64 end)
{
	used_pages += end - start;
	for (u32 i = 0; i < nr_used; i++) {
		if (used_ranges[i].end == start) {
			used_ranges[i].end = end;
			return;
		}
	}
	VERIFY3U(nr_used, <, max_ranges);
	used_ranges[nr_used++] = (struct range){ start, end };
}

static const struct handoff_region *region_nr(const struct handoff *h, u32 i)
{
	return (const void *)((const u8 *)phys_to_virt(h->regions) + (u64)i * h->region_size);
}

/* Room for the three arrays: the first usable range above 1 MiB that can hold them. */
static u64 place_arrays(const struct handoff *h, u64 npages)
{
	for (u32 i = 0; i < h->nr_regions; i++) {
		const struct handoff_region *r = region_nr(h, i);
		u64 base = max((u64)r->base, SZ_1M);

		if (r->type == HANDOFF_MEM_USABLE && (r->flags & HANDOFF_REGION_DIRECT) &&
		    r->base + (r->npages << PAGE_SHIFT) >= base + (npages << PAGE_SHIFT))
			return base >> PAGE_SHIFT;
	}
	panic("mm: no %llu KiB of usable memory for the memory map", npages * 4);
}

void bootmem_init(const struct handoff *h)
{
	u64 bytes, npages, at;

	max_ranges = h->nr_regions * 2 + 64;
	bytes = h->nr_regions * sizeof(struct phys_region) + 2 * max_ranges * sizeof(struct range);
	npages = DIV_ROUND_UP(bytes, PAGE_SIZE);
	at = place_arrays(h, npages);
	phys_regions = phys_to_virt(at << PAGE_SHIFT);
	memset(phys_regions, 0, npages << PAGE_SHIFT);
	free_ranges = (struct range *)(phys_regions + h->nr_regions);
	used_ranges = free_ranges + max_ranges;
	for (u32 i = 0; i < MAX_NODES; i++)
		node_movable_start[i] = U64_MAX;
	for (u32 i = 0; i < h->nr_regions; i++) {
		const struct handoff_region *r = region_nr(h, i);
		u64 start = r->base >> PAGE_SHIFT, end = start + r->npages;
		bool direct = r->flags & HANDOFF_REGION_DIRECT;

		phys_regions[nr_phys_regions++] = (struct phys_region){
			.start = start, .end = end, .flags = r->flags,
			/* What we cannot reach is not ours. */
			.type = direct || r->type > HANDOFF_MEM_LOADER ? r->type :
				HANDOFF_MEM_RESERVED,
		};
		if (r->type == HANDOFF_MEM_USABLE && direct)
			add_free(start, end);
		if (r->type <= HANDOFF_MEM_KERNEL && direct)
			max_pfn = max(max_pfn, end);
	}
	kept[0] = (struct range){ 0, 1 };
	kept[1] = (struct range){ h->stack >> PAGE_SHIFT,
				  DIV_ROUND_UP(h->stack + h->stack_len, PAGE_SIZE) };
	if (h->trampoline)
		kept[2] = (struct range){ h->trampoline >> PAGE_SHIFT,
			(h->trampoline >> PAGE_SHIFT) + HANDOFF_TRAMPOLINE_PAGES };
	for (u32 k = 0; k < ARRAY_SIZE(kept); k++)
		carve(kept[k].start, kept[k].end);
	carve(at, at + npages);
	note_used(at, at + npages);
}

/* Where `n` pages fit in [lo, hi) of the range, or 0. */
static u64 fit(struct range r, u64 n, u64 align, u64 lo, u64 hi)
{
	u64 start = ALIGN(max(r.start, lo), align);

	return start && start < min(r.end, hi) && n <= min(r.end, hi) - start ? start : 0;
}

static u64 find_range(u64 n, u64 align, int node, u64 lo)
{
	u64 best = U64_MAX;

	for (u32 i = 0; i < nr_free_ranges; i++) {
		if (node < 0 || !nr_node_ranges) {
			u64 at = fit(free_ranges[i], n, align, lo, U64_MAX);

			if (at && at < best)
				best = at;
			continue;
		}
		for (u32 k = 0; k < nr_node_ranges; k++) {
			u64 at;

			if (node_ranges[k].node != node)
				continue;
			at = fit(free_ranges[i], n, align, max(lo, node_ranges[k].start),
				 node_ranges[k].end);
			if (at && at < best)
				best = at;
		}
	}
	return best;
}

void *bootmem_alloc(u64 len, u64 align, int node)
{
	u64 n = DIV_ROUND_UP(len, PAGE_SIZE), a = max(DIV_ROUND_UP(align, PAGE_SIZE), 1ull);
	u64 at;

	VERIFY(!retired && n);
	at = find_range(n, a, node, DMA_END_PFN);
	if (at == U64_MAX)
		at = find_range(n, a, NUMA_NO_NODE, DMA_END_PFN);
	if (at == U64_MAX)
		at = find_range(n, a, NUMA_NO_NODE, 16);
	if (at == U64_MAX)
		panic("mm: out of boot memory (%llu KiB wanted)", n * 4);
	carve(at, at + n);
	note_used(at, at + n);
	return memset(phys_to_virt(at << PAGE_SHIFT), 0, n << PAGE_SHIFT);
}

u64 bootmem_used_pages(void)
{
	return used_pages;
}

bool bootmem_touches(u64 start, u64 end)
{
	for (u32 i = 0; i < nr_used; i++)
		if (used_ranges[i].start < end && used_ranges[i].end > start)
			return true;
	return false;
}

void bootmem_retire(void (*fn)(u64 start_pfn, u64 end_pfn))
{
	retired = true;
	for (u32 i = 0; i < nr_free_ranges; i++)
		if (free_ranges[i].start < free_ranges[i].end)
			fn(free_ranges[i].start, free_ranges[i].end);
}
