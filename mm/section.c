/*
 * section.c - page structs for all memory, made when they are needed.
 *
 * A section is 128 MiB of frames, whose page structs fill exactly one 2 MiB page of the array at
 * PAGE_ARRAY_BASE.  States:
 *   NONE       no memory of ours in it
 *   DEFERRED   only free (or releasable) memory of one zone: no page structs; its usable pages
 *              are counted in zone->deferred and are as good as free
 *   BUSY       a CPU is making them, with preemption off; still counted in zone->deferred
 *   PRESENT    page structs exist, bit set in section_map
 * A section becomes PRESENT at boot when anything in it is in use, when it spans zones or nodes,
 * or when it is the first of its 64 GiB (so that the page tables above its slot exist); otherwise
 * when its zone runs low (zone_grow) or, on a big machine, when mm/pagearray.c comes to it.  So a large machine pays for page structs, in time and in
 * memory, as it uses its memory: 1.6 % of what was ever touched.
 *
 * Making one present: zero the 2 MiB, mark what is no memory as reserved, map the array's page,
 * publish the bit, free the memory into the buddy.  Structs of free memory stay all zero until
 * the block they are in is handed out: the buddy only marks heads.  The 2 MiB come from the
 * zone's buddy or, when it has none, from the section itself.
 *
 * grow_lock guards states, deferred and managed; zone locks nest inside.  It is held to claim a section (DEFERRED to BUSY)
 * and to finish one, not in between, so CPUs make sections side by side.  Who finds none to claim but some BUSY waits
 * for one of those: their makers are running, since preemption is off.
 * Readers of section_map need no lock: bits are only ever set, and after the structs are there.
 */
#include <mm/section.h>

#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/bitmap.h>
#include <lib/string.h>
#include <mm/pagedebug.h>
#include <x86/cpu.h>
#include <x86/pgtable.h>

#define NO_SECTION	U64_MAX

enum section_state { SECTION_NONE, SECTION_DEFERRED, SECTION_BUSY, SECTION_PRESENT };

#define ARRAY_PAGES	PAGEBLOCK_PAGES		/* page structs of one section */
#define GROUP_SECTIONS	512			/* one page-table page of the array */

u64 *section_map;
u64 nr_sections;
static u8 *section_state;
static u8 *block_mt;
static u64 array_pages;
static DEFINE_SPINLOCK(grow_lock);

bool pfn_valid(u64 pfn)
{
	return pfn < max_pfn && test_bit(pfn >> SECTION_ORDER, section_map);
}

u64 page_array_pages(void)
{
	return READ_ONCE(array_pages);
}

static bool will_be_ours(u32 type)
{
	return type == HANDOFF_MEM_USABLE || type == HANDOFF_MEM_BOOT_SERVICES ||
	       type == HANDOFF_MEM_LOADER;
}

static u64 home_bits(int node, enum zone_nr zone)
{
	return (u64)zone << PG_ZONE_SHIFT | (u64)node << PG_NODE_SHIFT;
}

static u64 section_end(u64 s)
{
	return min((s + 1) << SECTION_ORDER, max_pfn);
}

/* A naturally aligned 2 MiB of usable memory in the section, or 0. */
static u64 room_for_array(u64 s)
{
	struct phys_piece p;

	for_each_piece(p, s << SECTION_ORDER, section_end(s)) {
		u64 at = ALIGN(p.start, ARRAY_PAGES);

		if (region_usable(p.type) && at && at + ARRAY_PAGES <= p.end)
			return at;
	}
	return 0;
}

/* Must the section have its page structs from the start?  *ours: any memory of ours at all. */
static bool needed_at_boot(u64 s, bool *ours)
{
	u64 start = s << SECTION_ORDER, end = section_end(s);
	int node = -1, zone = -1;
	bool needed = bootmem_touches(start, end);
	struct phys_piece p;

	*ours = needed;
	for_each_piece(p, start, end) {
		if (p.type == HANDOFF_MEM_KERNEL || p.type == HANDOFF_MEM_PAGE_TABLES) {
			*ours = needed = true;
		} else if (will_be_ours(p.type)) {
			*ours = true;
			if (node >= 0 && (p.node != node || (int)p.zone != zone))
				needed = true;
			node = p.node;
			zone = (int)p.zone;
		}
	}
	return needed || (*ours && !room_for_array(s));
}

/* Fills the zeroed page structs of what is not free memory. */
static void mark_pieces(u64 s)
{
	struct phys_piece p;

	for_each_piece(p, s << SECTION_ORDER, section_end(s)) {
		u64 flags = home_bits(p.node, p.zone) | (u64)PT_RESERVED << PG_TYPE_SHIFT;

		if (region_usable(p.type))
			continue;
		for (u64 pfn = p.start; pfn < p.end; pfn++) {
			page_array[pfn].flags = flags;
			page_array[pfn].refcount = 1;
		}
	}
}

static void mark_in_use(u64 pfn, u64 n, enum page_type type)
{
	struct phys_piece p;

	for_each_piece(p, pfn, pfn + n) {
		for (u64 i = p.start; i < p.end; i++) {
			page_array[i].flags = home_bits(p.node, p.zone) | (u64)type << PG_TYPE_SHIFT;
			page_array[i].refcount = 1;
		}
	}
}

static void publish(u64 s)
{
	smp_wmb();	/* structs before the bit: pairs with the address dependency of readers */
	set_bit(s, section_map);
	__atomic_fetch_add(&array_pages, ARRAY_PAGES, __ATOMIC_RELAXED);
}

/* Maps a section's page structs where the tables above exist: takes no lock and no memory. */
static bool map_array_entry(u64 va, u64 pfn)
{
	pgd_t *pgd = kernel_pgd_entry(va);
	pud_t *pud;
	pmd_t *pmd;

	if (!pte_present(pte_read(pgd)))
		return false;
	pud = table_of(pte_read(pgd)) + pud_index(va);
	if (!pte_present(pte_read(pud)))
		return false;
	pmd = table_of(pte_read(pud)) + pmd_index(va);
	pte_set(pmd, pte_make(pfn << PAGE_SHIFT, PROT_KERNEL | PTE_PS));
	return true;
}

static void map_array(u64 s, u64 pfn)
{
	u64 va = (u64)&page_array[s << SECTION_ORDER];

	if (!map_array_entry(va, pfn) &&
	    kmap_range(va, pfn << PAGE_SHIFT, ARRAY_PAGES << PAGE_SHIFT, PROT_KERNEL, true))
		panic("mm: cannot map the page array");
}

static void make_present_at_boot(u64 s)
{
	u64 start = s << SECTION_ORDER;
	struct page *array = bootmem_alloc(ARRAY_PAGES << PAGE_SHIFT, PMD_SIZE, pfn_to_node(start));

	map_array(s, virt_to_phys(array) >> PAGE_SHIFT);
	mark_pieces(s);
	publish(s);
	section_state[s] = SECTION_PRESENT;
}

static u64 usable_pages(u64 s)
{
	struct phys_piece p;
	u64 n = 0;

	for_each_piece(p, s << SECTION_ORDER, section_end(s)) {
		if (region_usable(p.type))
			n += p.end - p.start;
	}
	return n;
}

/* Frees a range of one zone whose structs are there; refcounts are 0. */
static void free_range(u64 start, u64 end)
{
	struct phys_piece p;

	for_each_piece(p, start, end) {
		struct zone *z = &nodes[p.node]->zone[p.zone];
		u64 flags;

		if (unlikely(page_debug))
			page_debug_fresh(p.start, p.end);
		spin_lock_irqsave(&z->lock, flags);
		buddy_free_range(&z->b, p.start, p.end);
		spin_unlock_irqrestore(&z->lock, flags);
	}
}

/* Frees a section's usable memory but the 2 MiB at `self` (0: none), which hold its own structs. */
static void free_section(u64 s, u64 self)
{
	struct phys_piece p;

	for_each_piece(p, s << SECTION_ORDER, section_end(s)) {
		if (!region_usable(p.type))
			continue;
		if (self >= p.start && self < p.end) {
			free_range(p.start, self);
			free_range(self + ARRAY_PAGES, p.end);
		} else {
			free_range(p.start, p.end);
		}
	}
}

/* 2 MiB from the zone itself, if it can spare them. */
static u64 array_from_buddy(struct zone *z)
{
	struct page *p = NULL;
	u64 flags;

	spin_lock_irqsave(&z->lock, flags);
	if (z->b.nr_free > z->wmark[WMARK_MIN] + ARRAY_PAGES)
		p = buddy_alloc(&z->b, PAGEBLOCK_ORDER, MT_UNMOVABLE);
	spin_unlock_irqrestore(&z->lock, flags);
	return p ? page_to_pfn(p) : 0;
}

/* A claimed section. => preemption off */
static void make_present(struct zone *z, u64 s)
{
	u64 pfn = array_from_buddy(z), self = 0;

	if (!pfn)
		self = pfn = room_for_array(s);
	clear_pages(phys_to_virt(pfn << PAGE_SHIFT), ARRAY_PAGES);
	map_array(s, pfn);
	mark_pieces(s);
	publish(s);
	mark_in_use(pfn, ARRAY_PAGES, PT_BOOT);
	free_section(s, self);
	spin_lock(&grow_lock);
	section_state[s] = SECTION_PRESENT;
	z->deferred -= usable_pages(s);
	z->growing--;
	WRITE_ONCE(z->grown, z->grown + 1);
	spin_unlock(&grow_lock);
}

/* Of a deferred section every usable piece is of one zone. */
static bool section_of_zone(u64 s, const struct zone *z)
{
	struct phys_piece p;

	for_each_piece(p, s << SECTION_ORDER, section_end(s))
		if (region_usable(p.type))
			return p.node == z->node && p.zone == z->nr;
	return false;
}

bool zone_grow_share(struct zone *z, u64 k, u64 n)
{
	u64 s, last, found = NO_SECTION;

	if (!READ_ONCE(z->deferred) || in_interrupt())
		return false;
	preempt_disable();
	spin_lock(&grow_lock);
	last = (z->end_pfn - 1) >> SECTION_ORDER;
	for (s = z->start_pfn >> SECTION_ORDER; s <= last && found == NO_SECTION; s++)
		if (section_state[s] == SECTION_DEFERRED && s % n == k && section_of_zone(s, z))
			found = s;
	if (found != NO_SECTION) {
		section_state[found] = SECTION_BUSY;
		z->growing++;
	}
	spin_unlock(&grow_lock);
	if (found != NO_SECTION)
		make_present(z, found);
	preempt_enable();
	return found != NO_SECTION;
}

bool zone_grow(struct zone *z)
{
	u64 grown = READ_ONCE(z->grown);

	if (zone_grow_share(z, 0, 1))
		return true;
	if (!READ_ONCE(z->growing) || in_interrupt())
		return READ_ONCE(z->grown) != grown;
	while (READ_ONCE(z->growing) && READ_ONCE(z->grown) == grown)
		spin_poll();
	return true;
}

/* Counts a section's usable pages as deferred. */
static void defer(u64 s)
{
	struct phys_piece p;

	section_state[s] = SECTION_DEFERRED;
	for_each_piece(p, s << SECTION_ORDER, section_end(s)) {
		struct zone *z = &nodes[p.node]->zone[p.zone];

		if (!region_usable(p.type))
			continue;
		z->deferred += p.end - p.start;
		z->managed += p.end - p.start;
	}
}

static void take_over(u64 start, u64 end)
{
	struct phys_piece p;

	for_each_piece(p, start, end) {
		u64 at = p.start;

		while (at < p.end) {
			u64 stop = min(section_end(at >> SECTION_ORDER), p.end);

			if (section_state[at >> SECTION_ORDER] == SECTION_PRESENT) {
				nodes[p.node]->zone[p.zone].managed += stop - at;
				free_range(at, stop);
			}
			at = stop;
		}
	}
}

static void init_buddies(void)
{
	struct zone *z;

	for_each_zone(z)
		buddy_init(&z->b, page_array, z->start_pfn, z->end_pfn, home_bits(z->node, z->nr),
			   block_mt, section_map);
}

/* What boot memory gave out, in sections that are present. */
static void mark_boot_memory(u64 s)
{
	u64 end = section_end(s);

	for (u64 pfn = s << SECTION_ORDER; pfn < end; pfn++) {
		struct page *p = &page_array[pfn];

		if (!p->flags && bootmem_touches(pfn, pfn + 1))
			mark_in_use(pfn, 1, PT_BOOT);
	}
}

void sections_init(void)
{
	u64 s, group = U64_MAX;
	bool ours, changed;

	nr_sections = DIV_ROUND_UP(max_pfn, SECTION_PAGES);
	section_map = bootmem_alloc(BITS_TO_WORDS(nr_sections) * 8, 8, NUMA_NO_NODE);
	section_state = bootmem_alloc(nr_sections, 8, NUMA_NO_NODE);
	block_mt = bootmem_alloc((nr_sections << (SECTION_ORDER - PAGEBLOCK_ORDER)), 8,
				 NUMA_NO_NODE);
	memset(block_mt, MT_MOVABLE, nr_sections << (SECTION_ORDER - PAGEBLOCK_ORDER));
	init_buddies();
	/* Each section made present takes boot memory, perhaps from another section. */
	do {
		changed = false;
		group = U64_MAX;
		for (s = 0; s < nr_sections; s++) {
			bool needed = needed_at_boot(s, &ours);

			if (ours && s / GROUP_SECTIONS != group) {
				group = s / GROUP_SECTIONS;
				needed = true;
			}
			if (!needed || section_state[s] == SECTION_PRESENT)
				continue;
			make_present_at_boot(s);
			changed = true;
		}
	} while (changed);
	for (s = 0; s < nr_sections; s++) {
		needed_at_boot(s, &ours);
		if (section_state[s] == SECTION_PRESENT)
			mark_boot_memory(s);
		else if (ours)
			defer(s);
	}
	bootmem_retire(take_over);
}

/* One region that the boot is done with. */
static u64 release_region(struct phys_region *r)
{
	struct phys_piece p;
	u64 n = 0;

	r->type = HANDOFF_MEM_USABLE;
	for_each_piece(p, r->start, r->end) {
		struct zone *z = &nodes[p.node]->zone[p.zone];

		if (!region_usable(p.type))	/* kept: the stack, the trampoline */
			continue;
		n += p.end - p.start;
		z->managed += p.end - p.start;
		for (u64 at = p.start; at < p.end;) {
			u64 stop = min(section_end(at >> SECTION_ORDER), p.end);

			if (section_state[at >> SECTION_ORDER] == SECTION_PRESENT) {
				for (u64 pfn = at; pfn < stop; pfn++)
					page_array[pfn].refcount = 0;
				free_range(at, stop);
			} else {
				z->deferred += stop - at;
			}
			at = stop;
		}
	}
	return n;
}

/* grow_lock with no section BUSY: what regions are called does not change under a maker. */
static void lock_quiet(void)
{
	for (;;) {
		struct zone *z;
		u32 growing = 0;

		spin_lock(&grow_lock);
		for_each_zone(z)
			growing += z->growing;
		if (!growing)
			return;
		spin_unlock(&grow_lock);
		spin_poll();
	}
}

void mm_release_boot_memory(void)
{
	u64 n = 0;

	lock_quiet();
	for (u32 i = 0; i < nr_phys_regions; i++) {
		struct phys_region *r = &phys_regions[i];

		if (r->type == HANDOFF_MEM_LOADER || r->type == HANDOFF_MEM_BOOT_SERVICES)
			n += release_region(r);
	}
	spin_unlock(&grow_lock);
	zones_set_watermarks();
	pr_info("mm: %llu KiB of loader and boot-services memory are free now\n", n * 4);
}
