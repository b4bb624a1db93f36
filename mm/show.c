/*
 * show.c - text about physical memory for /proc and /sys.
 *
 * Numbers are read without stopping anything: each is right at some moment, their sum may be off
 * by what moved meanwhile.
 */
#include <mm/show.h>

#include <kernel/cpumask.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/hugetlb.h>
#include <mm/mapping.h>
#include <mm/section.h>
#include <mm/slab_impl.h>
#include <mm/vmstat.h>
#include "lru.h"

static void kb(struct seq_buf *m, const char *name, u64 pages)
{
	size_t start = m->len;

	seq_puts(m, name);
	seq_putc(m, ':');
	seq_pad_to(m, start, 16);
	seq_printf(m, "%8llu kB\n", pages * 4);
}

static u64 sat_sub(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

/* That address spaces have locked, whether they are there or not (mlock2 on fault). */
static u64 nr_mlocked_pages(void)
{
	u64 n = 0;

	for (struct mm *mm = NULL; (mm = mm_next(mm, NULL));)
		n += READ_ONCE(mm->locked_vm);
	return n;
}

/* User memory and the page cache, in pages. */
struct user_pages {
	u64 anon, mapped, cached, shmem, mlocked, unevictable;
};

/* Pages mapped are summed over the address spaces: one that is shared by fork counts once in each, so no more than there are at all. */
static void sum_user_pages(struct user_pages *u)
{
	s64 anon = 0, mapped = 0;

	for (struct mm *mm = NULL; (mm = mm_next(mm, NULL));) {
		anon += mm_rss(mm, RSS_ANON);
		mapped += mm_rss(mm, RSS_FILE) + mm_rss(mm, RSS_SHMEM);
	}
	u->shmem = nr_shmem_pages();
	u->cached = max(nr_file_pages(), u->shmem); /* one in the other */
	u->anon = (u64)clamp_t(s64, anon, 0, (s64)nr_total_pages());
	u->mapped = (u64)clamp_t(s64, mapped, 0, (s64)u->cached);
	u->mlocked = min(nr_mlocked_pages(), u->anon + u->cached);
	/* without swap all that is not on the lists of mm/lru.c */
	u->unevictable = sat_sub(u->anon + u->cached, lru_pages(-1, LRU_ACTIVE) + lru_pages(-1, LRU_INACTIVE));
}

void user_pages_vmstat_show(struct seq_buf *m)
{
	struct user_pages u;

	sum_user_pages(&u);
	seq_printf(m, "nr_unevictable %llu\nnr_mlock %llu\nnr_anon_pages %llu\nnr_mapped %llu\nnr_file_pages %llu\nnr_dirty 0\n"
		      "nr_writeback 0\nnr_shmem %llu\n", u.unevictable, u.mlocked, u.anon, u.mapped, u.cached, u.shmem);
}

/* Linux has these by zone. */
void zone_vmstat_show(struct seq_buf *m)
{
	u64 allocs[NR_ZONES] = { 0 }, frees = 0;
	struct zone *z;

	for_each_zone(z) {
		allocs[z->nr] += READ_ONCE(z->allocs);
		frees += READ_ONCE(z->frees);
	}
	seq_printf(m, "pgalloc_dma %llu\npgalloc_dma32 %llu\npgalloc_normal %llu\npgalloc_movable %llu\npgfree %llu\n", allocs[ZONE_DMA],
		   allocs[ZONE_DMA32], allocs[ZONE_NORMAL], allocs[ZONE_MOVABLE], frees);
}

void meminfo_show(struct seq_buf *m)
{
	u64 total = nr_total_pages(), free = nr_free_pages(), low = 0;
	u64 active = lru_pages(-1, LRU_ACTIVE), inactive = lru_pages(-1, LRU_INACTIVE);
	u64 slab_r = vm_state_sum(NR_SLAB_RECLAIMABLE), slab_u = vm_state_sum(NR_SLAB);
	struct user_pages u;
	struct zone *z;

	sum_user_pages(&u);
	for_each_zone(z)
		low += z->wmark[WMARK_LOW];
	kb(m, "MemTotal", total);
	kb(m, "MemFree", free);
	/* What could be had without swapping: free memory, what may be evicted and half of the caches that shrink, less the reserves. */
	kb(m, "MemAvailable", min(sat_sub(free, low) + active + inactive + slab_r / 2, total));
	kb(m, "Buffers", 0);
	kb(m, "Cached", u.cached);
	kb(m, "SwapCached", 0);
	/* the lists of mm/lru.c; without swap all other user memory is on none */
	kb(m, "Active", active);
	kb(m, "Inactive", inactive);
	kb(m, "Active(anon)", 0);
	kb(m, "Inactive(anon)", 0);
	kb(m, "Active(file)", active);
	kb(m, "Inactive(file)", inactive);
	kb(m, "Unevictable", u.unevictable);
	kb(m, "Mlocked", u.mlocked);
	kb(m, "SwapTotal", 0);
	kb(m, "SwapFree", 0);
	kb(m, "Dirty", 0); /* no file has another place than memory */
	kb(m, "Writeback", 0);
	kb(m, "AnonPages", u.anon);
	kb(m, "Mapped", u.mapped);
	kb(m, "Shmem", u.shmem);
	kb(m, "KReclaimable", slab_r);
	kb(m, "Slab", slab_r + slab_u);
	kb(m, "SReclaimable", slab_r);
	kb(m, "SUnreclaim", slab_u);
	kb(m, "KernelStack", vm_state_sum(NR_KSTACK_PAGES));
	kb(m, "PageTables", vm_state_sum(NR_PAGETABLE));
	kb(m, "CommitLimit", vm_commit_limit());
	kb(m, "Committed_AS", vm_committed());
	kb(m, "VmallocTotal", (VMALLOC_END - VMALLOC_START) >> PAGE_SHIFT);
	kb(m, "VmallocUsed", vm_state_sum(NR_VMALLOC));
	kb(m, "Percpu", vm_state_sum(NR_PERCPU));
	kb(m, "PageArray", page_array_pages());
	kb(m, "AnonHugePages", vm_state_sum(NR_ANON_THPS) << PAGEBLOCK_ORDER);
	kb(m, "ShmemHugePages", vm_state_sum(NR_SHMEM_THPS) << PAGEBLOCK_ORDER);
	kb(m, "ShmemPmdMapped", vm_state_sum(NR_SHMEM_PMDS) << PAGEBLOCK_ORDER);
	kb(m, "FileHugePages", 0);
	kb(m, "FilePmdMapped", 0);
	kb(m, "HardwareCorrupted", vm_state_sum(NR_POISONED));
	hugetlb_meminfo_show(m);
	u64 direct[3];
	pgtable_count_direct(direct);
	kb(m, "DirectMap4k", direct[0]);
	kb(m, "DirectMap2M", direct[1] << (PMD_SHIFT - PAGE_SHIFT));
	kb(m, "DirectMap1G", direct[2] << (PUD_SHIFT - PAGE_SHIFT));
}

void node_meminfo_show(struct seq_buf *m, int node)
{
	u64 total = 0, free = nr_free_pages_node(node);

	if (node < 0 || node >= MAX_NODES || !nodes[node])
		return;
	for (int i = 0; i < NR_ZONES; i++)
		total += nodes[node]->zone[i].managed;
	seq_printf(m, "Node %d MemTotal:       %8llu kB\n", node, total * 4);
	seq_printf(m, "Node %d MemFree:        %8llu kB\n", node, free * 4);
	seq_printf(m, "Node %d MemUsed:        %8llu kB\n", node, sat_sub(total, free) * 4);
	seq_printf(m, "Node %d Active:         %8llu kB\n", node, lru_pages(node, LRU_ACTIVE) * 4);
	seq_printf(m, "Node %d Inactive:       %8llu kB\n", node, lru_pages(node, LRU_INACTIVE) * 4);
	seq_printf(m, "Node %d Active(anon):   %8llu kB\n", node, 0ull);
	seq_printf(m, "Node %d Inactive(anon): %8llu kB\n", node, 0ull);
	seq_printf(m, "Node %d Active(file):   %8llu kB\n", node, lru_pages(node, LRU_ACTIVE) * 4);
	seq_printf(m, "Node %d Inactive(file): %8llu kB\n", node, lru_pages(node, LRU_INACTIVE) * 4);
	hugetlb_node_meminfo_show(m, node);
}

void node_distance_show(struct seq_buf *m, int node)
{
	bool first = true;

	for (int n = 0; n < MAX_NODES; n++) {
		if (!nodes[n])
			continue;
		seq_printf(m, "%s%u", first ? "" : " ", node_distance[node][n]);
		first = false;
	}
	seq_putc(m, '\n');
}

/* Orders 0..10 as elsewhere; larger blocks count as so many of order 10. */
#define SHOWN_ORDERS 11

static u64 blocks_shown(const u64 *nr_blocks, unsigned int order)
{
	u64 n = READ_ONCE(nr_blocks[order]);

	if (order == SHOWN_ORDERS - 1)
		for (unsigned int o = order + 1; o < NR_ORDERS; o++)
			n += READ_ONCE(nr_blocks[o]) << (o - order);
	return n;
}

/* Zones in the order people expect, lowest addresses first. */
static const u8 zone_order[NR_ZONES] = { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE };
#define for_each_zone_shown(z) for (int __zi = 0; __zi < MAX_NODES * NR_ZONES; __zi++)	\
	if (nodes[__zi / NR_ZONES] &&							\
	    ((z) = &nodes[__zi / NR_ZONES]->zone[zone_order[__zi % NR_ZONES]])->present)

void buddyinfo_show(struct seq_buf *m)
{
	struct zone *z;

	for_each_zone_shown(z) {
		seq_printf(m, "Node %d, zone %8s ", z->node, zone_names[z->nr]);
		for (unsigned int o = 0; o < SHOWN_ORDERS; o++) {
			u64 n = 0;

			for (unsigned int mt = 0; mt < MT_NR; mt++)
				n += blocks_shown(z->b.nr_blocks[mt], o);
			if (o == SHOWN_ORDERS - 1)
				n += READ_ONCE(z->deferred) >> o;
			seq_printf(m, "%6llu ", n);
		}
		seq_putc(m, '\n');
	}
}

static const char *const mt_names[MT_NR] = { "Unmovable", "Movable", "Reclaimable", "Isolate" };

void pagetypeinfo_show(struct seq_buf *m)
{
	struct zone *z;

	seq_printf(m, "Page block order: %d\nPages per block:  %llu\n\n", PAGEBLOCK_ORDER,
		   PAGEBLOCK_PAGES);
	seq_puts(m, "Free pages count per migrate type at order  ");
	for (unsigned int o = 0; o < SHOWN_ORDERS; o++)
		seq_printf(m, "%6u ", o);
	seq_putc(m, '\n');
	for_each_zone_shown(z) {
		for (unsigned int mt = 0; mt < MT_NR; mt++) {
			seq_printf(m, "Node %4d, zone %8s, type %12s ", z->node, zone_names[z->nr],
				   mt_names[mt]);
			for (unsigned int o = 0; o < SHOWN_ORDERS; o++)
				seq_printf(m, "%6llu ", blocks_shown(z->b.nr_blocks[mt], o));
			seq_putc(m, '\n');
		}
	}
	seq_puts(m, "\nNumber of blocks type     Unmovable      Movable  Reclaimable      Isolate \n");
	for_each_zone_shown(z) {
		u64 count[MT_NR] = { 0 };

		for (u64 b = z->start_pfn >> PAGEBLOCK_ORDER; b < z->end_pfn >> PAGEBLOCK_ORDER; b++)
			count[z->b.block_mt[b] % MT_NR]++;
		seq_printf(m, "Node %d, zone %8s ", z->node, zone_names[z->nr]);
		for (unsigned int mt = 0; mt < MT_NR; mt++)
			seq_printf(m, "%12llu ", count[mt]);
		seq_putc(m, '\n');
	}
}

/* How much a request of each class, from DMA to Movable, must leave in the zone beyond its watermark. */
static void protection_line(struct seq_buf *m, const struct zone *z)
{
	bool above = false;

	seq_puts(m, "        protection: (");
	for (unsigned int i = 0; i < NR_ZONES; i++) {
		seq_printf(m, "%s%llu", i ? ", " : "", above ? z->reserve : 0);
		above |= zone_order[i] == z->nr;
	}
	seq_puts(m, ")\n");
}

/* Lists are a CPU's, for its node: what is shown of each is what is on them of this zone. */
static void pageset_lines(struct seq_buf *m, const struct zone *z)
{
	int cpu;

	seq_puts(m, "  pagesets\n");
	for_each_online_cpu(cpu) {
		struct pcp_usage u;

		pcp_usage(cpu, z, &u);
		seq_printf(m, "    cpu: %d\n              count: %u\n              high:  %u\n              batch: %u\n", cpu,
			   u.count, u.high, u.batch);
	}
}

static void zone_lines(struct seq_buf *m, const struct zone *z)
{
	u64 free = READ_ONCE(z->b.nr_free) + READ_ONCE(z->deferred);

	seq_printf(m, "  pages free     %llu\n        boost    0\n        min      %llu\n        low      %llu\n"
		      "        high     %llu\n", free, z->wmark[WMARK_MIN], z->wmark[WMARK_LOW], z->wmark[WMARK_HIGH]);
	seq_printf(m, "        spanned  %llu\n        present  %llu\n        managed  %llu\n        cma      0\n",
		   z->spanned, z->present, z->managed);
	protection_line(m, z);
	seq_printf(m, "      nr_free_pages %llu\n", free);
	pageset_lines(m, z);
	seq_printf(m, "  vm stats threshold: 0\n  node_unreclaimable:  0\n  start_pfn:           %llu\n", z->start_pfn);
	/* ours alone, behind what others know */
	seq_printf(m, "  deferred:            %llu\n  grown:               %llu\n  allocs:              %llu\n"
		      "  frees:               %llu\n", z->deferred, z->grown, z->allocs, z->frees);
}

void zoneinfo_show(struct seq_buf *m)
{
	struct zone *z;
	int node = -1;

	for_each_zone_shown(z) {
		seq_printf(m, "Node %d, zone %8s\n", z->node, zone_names[z->nr]);
		if (z->node != node) {
			node = z->node;
			seq_puts(m, "  per-node stats\n");
			lru_vmstat_show(m, node, "      ");
			numa_vmstat_show(m, node, "      ");
		}
		zone_lines(m, z);
	}
}

static const char *region_name(u32 type)
{
	switch (type) {
	case HANDOFF_MEM_USABLE:
	case HANDOFF_MEM_BOOT_SERVICES:
	case HANDOFF_MEM_LOADER:
	case HANDOFF_MEM_PAGE_TABLES:
	case HANDOFF_MEM_KERNEL:
		return "System RAM";
	case HANDOFF_MEM_ACPI_RECLAIM:
		return "ACPI Tables";
	case HANDOFF_MEM_ACPI_NVS:
		return "ACPI Non-volatile Storage";
	case HANDOFF_MEM_UNUSABLE:
		return "Unusable memory";
	case HANDOFF_MEM_MMIO:
		return "MMIO";
	default:
		return "Reserved";
	}
}

static void kernel_image_lines(struct seq_buf *m)
{
	const char *name;
	u64 first, last;

	for (unsigned int i = 0; kimage_part(i, &name, &first, &last); i++)
		seq_printf(m, "  %08llx-%08llx : Kernel %s\n", first, last, name);
}

/* Neighbours of one name are one line; the kernel image stands inside its RAM. */
void iomem_show(struct seq_buf *m)
{
	for (u32 i = 0, k; i < nr_phys_regions; i = k) {
		const struct phys_region *r = &phys_regions[i];
		const char *name = region_name(r->type);

		for (k = i + 1; k < nr_phys_regions; k++)
			if (phys_regions[k].start != phys_regions[k - 1].end ||
			    !streq(region_name(phys_regions[k].type), name))
				break;
		seq_printf(m, "%08llx-%08llx : %s\n", r->start << PAGE_SHIFT,
			   (phys_regions[k - 1].end << PAGE_SHIFT) - 1, name);
		for (u32 j = i; j < k; j++)
			if (phys_regions[j].type == HANDOFF_MEM_KERNEL)
				kernel_image_lines(m);
	}
}

static void slabinfo_line(struct kmem_cache *c, void *arg)
{
	struct kmem_usage u;
	size_t start;
	struct seq_buf *m = arg;

	kmem_usage(c, &u);
	start = m->len;
	seq_puts(m, c->name);
	seq_pad_to(m, start, 17);
	seq_printf(m, " %6llu %6llu %6u %4u %4u : tunables %4u %4u %4u : slabdata %6llu %6llu %6llu\n",
		   u.active, u.total, c->shape.stride, c->shape.count, 1u << c->shape.order, 0u, 0u,
		   0u, u.slabs, u.slabs, u.cached);
}

void slabinfo_show(struct seq_buf *m)
{
	seq_puts(m, "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> "
		    "<objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : "
		    "slabdata <active_slabs> <num_slabs> <sharedavail>\n");
	kmem_for_each(slabinfo_line, m);
}
