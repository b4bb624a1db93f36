/*
 * zone.c - zones, watermarks and the order of fallback: locks over the pure buddy.
 *
 * A request walks its zonelist and takes the first zone that stays above a watermark after it:
 * first LOW, which keeps a stock for those who cannot wait; when no zone has that, deferred
 * sections are made present; then MIN; then, if the caller may sleep, caches are emptied and the
 * door to the virtual half is tried; callers of high priority may go down to half of MIN, and
 * interrupt context counts as such, and what must not fail takes the last.  Nobody else waits or loops.
 *
 * Fallback order: nodes by SLIT distance; on a node the most plentiful kind first, so that DMA
 * memory goes last, and requests that do not need it leave zone->reserve pages alone.
 *
 * Locking: zone->lock with interrupts off, because interrupt handlers free and allocate.  It is
 * a leaf: nothing is called under it but the buddy.
 */
#include <mm/zone.h>

#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <lib/assert.h>
#include <lib/bitops.h>
#include <lib/math64.h>
#include <lib/string.h>
#include <mm/kstack.h>
#include <mm/pagedebug.h>
#include <mm/section.h>
#include <mm/slab.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>

struct node *nodes[MAX_NODES];
int nr_nodes;
bool mm_ready;
const char *const zone_names[NR_ZONES] = {
	[ZONE_DMA] = "DMA", [ZONE_DMA32] = "DMA32", [ZONE_NORMAL] = "Normal",
	[ZONE_MOVABLE] = "Movable",
};
static u8 cpu_nodes[MAX_CPUS];
static u64 total_pages;		/* sum of managed; changes only at boot */
u64 min_free_kbytes, watermark_scale_factor = 10;

int cpu_to_node(int cpu)
{
	return cpu_nodes[cpu];
}

int this_node(void)
{
	return cpu_nodes[smp_processor_id()];
}

void cpu_set_node(int cpu, int node)
{
	/* A CPU on a node without memory works from the nearest that has some. */
	if (node < 0 || node >= MAX_NODES)
		node = 0;
	if (mm_ready && !nodes[node]) {
		int best = -1;

		for (int n = 0; n < MAX_NODES; n++)
			if (nodes[n] && (best < 0 ||
					 node_distance[node][n] < node_distance[node][best]))
				best = n;
		node = best;
	}
	cpu_nodes[cpu] = (u8)node;
}

/* Takes a block if the zone keeps `mark` pages after it. */
static struct page *zone_take(struct zone *z, unsigned int order, enum mobility mt, u64 mark)
{
	struct page *p = NULL;
	u64 flags;

	if (READ_RACY(z->b.nr_free) < mark + (1ull << order))
		return NULL;
	spin_lock_irqsave(&z->lock, flags);
	if (z->b.nr_free >= mark + (1ull << order)) {
		p = buddy_alloc(&z->b, order, mt);
		z->allocs += p ? 1ull << order : 0;
	}
	spin_unlock_irqrestore(&z->lock, flags);
	return p;
}

/* The stock a request of this class must leave in the zone. */
static __always_inline u64 mark_for(const struct zone *z, enum zone_nr class, u64 mark)
{
	return mark + (z->nr == class ? 0 : z->reserve);
}

/* Levels of try_zones below the watermarks: half of min, and nothing at all. */
#define LEVEL_HALF (-1)
#define LEVEL_LAST (-2)

static struct page *try_zones(struct zone **list, gfp_t gfp, unsigned int order, int level)
{
	enum zone_nr class = gfp_zone(gfp);
	int node = *list ? (*list)->node : -1;
	bool deferred = false;

	for (struct zone *z; (z = *list); list++) {
		u64 mark = level >= 0 ? z->wmark[level] : level == LEVEL_HALF ? z->wmark[WMARK_MIN] / 2 : 0;
		struct page *p;

		/* Rather more of this node's own memory than another node's. */
		if (z->node != node && ((gfp & GFP_THISNODE) || (deferred && level == WMARK_LOW)))
			break;
		deferred |= READ_ONCE(z->deferred) != 0;
		p = zone_take(z, order, gfp_mobility(gfp), mark_for(z, class, mark));
		if (p)
			return p;
	}
	return NULL;
}

static bool grow_zones(struct zone **list, gfp_t gfp)
{
	int node = list[0] ? list[0]->node : -1;

	for (; *list; list++) {
		if ((gfp & GFP_THISNODE) && (*list)->node != node)
			break;
		if (zone_grow(*list))
			return true;
	}
	return false;
}

/*
 * What caches can give: in the first round what is beyond their working sets, and of unused names an eighth; from the
 * second on everything, what each CPU keeps for itself too.  => pages, at least 1 when anything was freed
 */
static u64 shrink_caches(unsigned int round)
{
	u64 objects = shrink_objects ? shrink_objects(round ? 0 : 3) : 0, pages;

	if (objects)
		rcu_barrier();	/* most objects are freed a grace period late */
	if (!round) {
		pages = kmem_trim();
	} else {
		pcp_request_drain(PCP_DRAIN_PAGES | PCP_DRAIN_STACKS);
		pages = kmem_reap_all();
	}
	return pages + kstack_reap() + (objects != 0);
}

static struct page *reclaim_and_retry(struct zone **list, gfp_t gfp, unsigned int order)
{
	count_vm_event(ALLOCSTALL);
	for (unsigned int round = 0; round < 4; round++) {
		u64 freed = shrink_caches(round);
		struct page *p;

		if (mm_reclaim_pages)
			freed += mm_reclaim_pages(gfp, order);
		p = try_zones(list, gfp, order, WMARK_MIN);
		if (p || (!freed && round))
			return p;
	}
	return NULL;
}

static void warn_failed(gfp_t gfp, unsigned int order)
{
	static u32 shown;

	if ((gfp & GFP_NOWARN) || __atomic_fetch_add(&shown, 1, __ATOMIC_RELAXED) > 10)
		return;
	pr_warn("mm: no memory for a block of order %u (gfp 0x%x): %llu of %llu pages free\n", order,
		gfp, nr_free_pages(), nr_total_pages());
}

/* A block asked for on one node came from another, or not. */
static void count_placement(int wanted, int got, u64 n)
{
	count_numa(got, got == wanted ? NUMA_HIT : NUMA_MISS, n);
	if (got != wanted)
		count_numa(wanted, NUMA_FOREIGN, n);
	count_numa(got, got == this_node() ? NUMA_LOCAL : NUMA_OTHER, n);
}

struct page *zones_alloc(int node, gfp_t gfp, unsigned int order)
{
	struct zone **list;
	struct page *p;

	if (unlikely(order > MAX_ORDER))
		return NULL;
	if (!(gfp & GFP_NOFAIL) && fail_alloc())
		return NULL;
	if (unlikely(node < 0 || node >= MAX_NODES || !nodes[node]))
		node = this_node();
	list = nodes[node]->zonelist[gfp_zone(gfp)];
	do {
		p = try_zones(list, gfp, order, WMARK_LOW);
		if (likely(p))
			goto got;
	} while (grow_zones(list, gfp));
	p = try_zones(list, gfp, order, WMARK_MIN);
	if (!p && (gfp & GFP_WAIT) && may_sleep()) {
		if (order && compact_alloc)
			p = compact_alloc(list, gfp, order);
		if (!p)
			p = reclaim_and_retry(list, gfp, order);
	}
	if (!p && ((gfp & GFP_HIGHPRI) || in_interrupt()))
		p = try_zones(list, gfp, order, LEVEL_HALF);
	if (!p && (gfp & GFP_NOFAIL))
		p = try_zones(list, gfp, order, LEVEL_LAST);
	if (!p) {
		if (gfp & GFP_NOFAIL)
			panic("mm: no memory for a block of order %u that must be there", order);
		warn_failed(gfp, order);
		return NULL;
	}
got:
	count_placement(node, page_node(p), 1ull << order);
	prep_pages(p, order, gfp);
	return p;
}

static unsigned int zone_take_bulk(struct zone *z, enum mobility mt, struct page **out,
				   unsigned int n)
{
	unsigned int got = 0;
	u64 flags;

	if (READ_RACY(z->b.nr_free) < z->wmark[WMARK_LOW] + n)
		return 0;
	spin_lock_irqsave(&z->lock, flags);
	if (z->b.nr_free >= z->wmark[WMARK_LOW] + n)
		got = buddy_alloc_bulk(&z->b, mt, out, n);
	z->allocs += got;
	spin_unlock_irqrestore(&z->lock, flags);
	return got;
}

unsigned int zones_alloc_bulk(int node, gfp_t gfp, struct page **out, unsigned int n)
{
	struct zone **list = nodes[node]->zonelist[gfp_zone(gfp)];

	for (int round = 0; round < 2; round++) {
		bool grown = false;

		/* Only what a per-CPU list may hold: of this node, and not DMA memory. */
		for (struct zone **z = list; *z && (*z)->node == node && (*z)->nr != ZONE_DMA; z++) {
			unsigned int got = zone_take_bulk(*z, gfp_mobility(gfp), out, n);

			if (got)
				return got;
		}
		for (struct zone **z = list; *z && (*z)->node == node && !grown; z++)
			grown = zone_grow(*z);
		if (!grown)
			break;
	}
	return 0;
}

void zones_free_bulk(struct page **pages, unsigned int n)
{
	struct zone *z = NULL;
	u64 flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct page *p = pages[i];
		struct zone *pz = page_zone(p);

		if (pz != z) {
			if (z)
				spin_unlock_irqrestore(&z->lock, flags);
			z = pz;
			spin_lock_irqsave(&z->lock, flags);
		}
		z->frees++;
		buddy_free(&z->b, page_to_pfn(p), 0);
	}
	if (z)
		spin_unlock_irqrestore(&z->lock, flags);
}

void zone_free_block(struct page *p, unsigned int order)
{
	struct zone *z = page_zone(p);
	u64 flags;

	spin_lock_irqsave(&z->lock, flags);
	z->frees += 1ull << order;
	buddy_free(&z->b, page_to_pfn(p), order);
	spin_unlock_irqrestore(&z->lock, flags);
}

static u64 default_min_free(u64 npages)
{
	return clamp(int_sqrt(npages * 4 * 16), 128ull, 262144ull);
}

/*
 * min is min_free_kbytes, without which it is the square root of 16 times the size in KiB (1.4 MiB
 * of 128 MiB, 11 MiB of 8 GiB), spread over the zones by size; low and high are one and two steps
 * above, of a quarter of it or so many ten-thousandths of the zone, whichever is more.
 */
void zones_set_watermarks(void)
{
	static u64 made_up;	/* what is in min_free_kbytes when nobody has written it */
	u64 total = 0, min_free;
	struct zone *z;

	for_each_zone(z)
		total += z->managed;
	WRITE_ONCE(total_pages, total);
	if (READ_ONCE(min_free_kbytes) == made_up) {
		made_up = default_min_free(total);
		WRITE_ONCE(min_free_kbytes, made_up);
	}
	min_free = READ_ONCE(min_free_kbytes) / 4;
	for_each_zone(z) {
		u64 m = mul_u64_u64_div_u64(min_free, z->managed, max(total, 1ull));
		u64 step = max(m / 4, z->managed * READ_ONCE(watermark_scale_factor) / 10000);

		WRITE_ONCE(z->wmark[WMARK_MIN], m);
		WRITE_ONCE(z->wmark[WMARK_LOW], m + step);
		WRITE_ONCE(z->wmark[WMARK_HIGH], m + 2 * step);
		/* Others keep off what only this zone has. */
		z->reserve = z->nr == ZONE_DMA ? z->managed / 8 :
			     z->nr == ZONE_DMA32 && total > 2 * z->managed ? z->managed / 64 : 0;
	}
}

static struct node *node_create(int nid)
{
	struct node *n = bootmem_alloc(sizeof(*n), 64, nid);

	n->nid = nid;
	for (u8 i = 0; i < NR_ZONES; i++) {
		struct zone *z = &n->zone[i];

		spin_lock_init(&z->lock);
		z->nr = i;
		z->node = nid;
		z->start_pfn = U64_MAX;
	}
	nodes[nid] = n;
	nr_nodes++;
	return n;
}

/* Spans and present pages from the map of memory. */
static void size_zones(void)
{
	struct phys_piece p;

	for_each_piece(p, 0, max_pfn) {
		struct zone *z;

		if (p.type == 0 || p.type > HANDOFF_MEM_KERNEL)
			continue;
		if (!nodes[p.node])
			node_create(p.node);
		z = &nodes[p.node]->zone[p.zone];
		z->start_pfn = min(z->start_pfn, p.start);
		z->end_pfn = max(z->end_pfn, p.end);
		z->spanned = z->end_pfn - z->start_pfn;
		z->present += p.end - p.start;
		nodes[p.node]->present += p.end - p.start;
	}
}

/* Zones of one node from class downwards in plenty; returns the new end of the list. */
static struct zone **add_zones(struct zone **end, struct node *n, enum zone_nr class)
{
	static const u8 order[] = { ZONE_MOVABLE, ZONE_NORMAL, ZONE_DMA32, ZONE_DMA };
	bool on = false;

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		on = on || order[i] == class;
		if (on && n->zone[order[i]].present)
			*end++ = &n->zone[order[i]];
	}
	return end;
}

static void build_zonelists(struct node *n)
{
	for (u8 class = 0; class < NR_ZONES; class++) {
		u64 done = 0;
		struct zone **end;

		n->zonelist[class] = bootmem_alloc(
			((u64)nr_nodes * NR_ZONES + 1) * sizeof(struct zone *), 8, n->nid);
		end = n->zonelist[class];
		for (int i = 0; i < nr_nodes; i++) {
			int best = -1;

			for (int o = 0; o < MAX_NODES; o++) {
				if (!nodes[o] || (done >> o & 1))
					continue;
				if (o == n->nid) {
					best = o;
					break;
				}
				if (best < 0 || node_distance[n->nid][o] < node_distance[n->nid][best])
					best = o;
			}
			done |= 1ull << best;
			end = add_zones(end, nodes[best], class);
		}
		*end = NULL;
	}
}

/* The zones once more where part of the memory is to be Movable. */
static void place_movable(void)
{
	u64 present[MAX_NODES] = { 0 }, top[MAX_NODES] = { 0 };
	struct node *n;

	for_each_node(n) {
		present[n->nid] = n->present;
		for (int i = 0; i < NR_ZONES; i++)
			if (n->zone[i].present)
				top[n->nid] = max(top[n->nid], n->zone[i].end_pfn);
	}
	if (!movable_plan(present, top))
		return;
	for_each_node(n) {
		for (int i = 0; i < NR_ZONES; i++)
			n->zone[i] = (struct zone){ .lock = SPINLOCK_INIT, .nr = (u8)i,
						    .node = n->nid, .start_pfn = U64_MAX };
		n->present = 0;
	}
	size_zones();
}

void zones_init(void)
{
	struct node *n;

	size_zones();
	place_movable();
	node_online_map = 0;
	for_each_node(n)
		node_online_map |= 1ull << n->nid;
	for (int a = 0; a < MAX_NODES; a++)
		for (int b = 0; b < MAX_NODES; b++)
			if (node_distance[a][b] < 10)
				node_distance[a][b] = a == b ? 10 : 20;
	for_each_node(n)
		build_zonelists(n);
}

u64 nr_total_pages(void)
{
	return total_pages;
}

u64 nr_free_pages(void)
{
	struct zone *z;
	u64 n = pcp_pages();

	for_each_zone(z)
		n += READ_ONCE(z->b.nr_free) + READ_ONCE(z->deferred);
	return n;
}

u64 nr_free_pages_node(int node)
{
	u64 n = 0;

	if (node < 0 || node >= MAX_NODES || !nodes[node])
		return 0;
	for (int i = 0; i < NR_ZONES; i++)
		n += READ_ONCE(nodes[node]->zone[i].b.nr_free) +
		     READ_ONCE(nodes[node]->zone[i].deferred);
	return n + pcp_pages_node(node);
}

void mm_init_physical(const struct handoff *h __unused)
{
	struct zone *z;

	page_debug_init();
	zones_init();
	sections_init();
	zones_set_watermarks();
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		if (!nodes[cpu_nodes[cpu]])
			cpu_nodes[cpu] = (u8)__builtin_ctzll(node_online_map);
	page_waits_init();
	mm_ready = true;
	pcp_init();
	for_each_zone(z)
		pr_info("mm: node %d %-7s %#011llx-%#011llx %8llu KiB managed, %llu KiB deferred\n",
			z->node, zone_names[z->nr], z->start_pfn << PAGE_SHIFT,
			z->end_pfn << PAGE_SHIFT, z->managed * 4, z->deferred * 4);
}
