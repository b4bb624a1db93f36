/*
 * vmalloc.c - virtually contiguous kernel memory: an arena of addresses, pages of any kind, and
 * the kernel's page tables.
 *
 * Every area is followed by one unmapped page, so that running off its end faults.  Areas are
 * found by address in the arena's tree; a struct vm_area hangs on the busy segment.
 *
 * Locking: arena_lock guards the arena and nothing sleeps under it; structs are made before it
 * is taken and freed after.  Page tables are edited without it: nobody else knows the range.
 * Freeing: the area leaves the arena only after its mappings are gone from every TLB
 * (kunmap_range waits), so an address is never reused while stale.
 */
#include <mm/vmalloc.h>

#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/overflow.h>
#include <lib/printf.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/arena.h>
#include <mm/kstack.h>
#include <mm/show.h>
#include <mm/slab.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>
#include <x86/pgtable.h>

enum area_kind { AREA_VMALLOC, AREA_VMAP, AREA_RESERVED };

struct vm_area {
	struct page **pages;	/* AREA_VMALLOC: ours, one reference each */
	u64 npages;
	enum area_kind kind;
	const void *caller;
};

static DEFINE_SPINLOCK(arena_lock);
struct arena vmalloc_arena;		/* (arena_lock) */
static struct kmem_cache *seg_cache;
static struct arena_seg first_seg;	/* of the whole range: not from the cache */

#define CALLER __builtin_return_address(0)

static void seg_free(struct arena_seg *s)
{
	if (s && s != &first_seg)
		kmem_cache_free(seg_cache, s);
}

/* len bytes and a guard page. => NULL when out of memory or addresses */
static struct arena_seg *area_create(u64 len, u64 align, enum area_kind kind, const void *caller)
{
	struct vm_area *area = kzalloc(sizeof(*area), GFP_KERNEL);
	struct arena_seg *spare[2] = {
		kmem_cache_alloc(seg_cache, GFP_KERNEL), kmem_cache_alloc(seg_cache, GFP_KERNEL),
	};
	struct arena_seg *seg = NULL;

	if (area && spare[0] && spare[1]) {
		area->kind = kind;
		area->caller = caller;
		area->npages = len >> PAGE_SHIFT;
		spin_lock(&arena_lock);
		seg = arena_alloc(&vmalloc_arena, len + PAGE_SIZE, align, spare);
		if (seg)
			seg->owner = area;
		spin_unlock(&arena_lock);
	}
	seg_free(spare[0]);
	seg_free(spare[1]);
	if (!seg)
		kfree(area);
	return seg;
}

static void area_destroy(struct arena_seg *seg)
{
	struct vm_area *area = seg->owner;
	struct arena_seg *gone[2];

	spin_lock(&arena_lock);
	arena_free(&vmalloc_arena, seg, gone);
	spin_unlock(&arena_lock);
	seg_free(gone[0]);
	seg_free(gone[1]);
	kfree(area);
}

/* Maps pages at va, runs of neighbouring frames at once. */
static int map_pages(u64 va, struct page **pages, u64 n, u64 prot)
{
	for (u64 i = 0, run; i < n; i += run) {
		int err;

		for (run = 1; i + run < n && pages[i + run] == pages[i] + run; run++)
			;
		err = kmap_range(va + (i << PAGE_SHIFT), page_to_phys(pages[i]), run << PAGE_SHIFT,
				 prot, false);
		if (err) {
			if (i)
				kunmap_range(va, i << PAGE_SHIFT, false);
			return err;
		}
	}
	return 0;
}

static void free_area_pages(struct vm_area *area)
{
	for (u64 i = 0; i < area->npages && area->pages[i]; i++)
		page_put(area->pages[i]);
	mod_vm_state(NR_VMALLOC, -(s64)area->npages);
	kvfree(area->pages);
}

static bool fill_area(struct vm_area *area, gfp_t gfp)
{
	area->pages = kvmalloc(array_size(area->npages, sizeof(struct page *)), GFP_KERNEL | GFP_ZERO);
	if (!area->pages)
		return false;
	mod_vm_state(NR_VMALLOC, (s64)area->npages);
	for (u64 i = 0; i < area->npages; i++) {
		area->pages[i] = alloc_page(gfp);
		if (!area->pages[i]) {
			free_area_pages(area);
			return false;
		}
	}
	return true;
}

static void *vmalloc_from(u64 len, gfp_t gfp, const void *caller)
{
	struct arena_seg *seg;
	struct vm_area *area;

	might_sleep();
	if (!len || len > nr_total_pages() << PAGE_SHIFT)
		return NULL;
	seg = area_create(ALIGN(len, PAGE_SIZE), PAGE_SIZE, AREA_VMALLOC, caller);
	if (!seg)
		return NULL;
	area = seg->owner;
	if (!fill_area(area, gfp))
		goto free_area;
	if (map_pages(seg->start, area->pages, area->npages, PROT_KERNEL))
		goto free_pages;
	return (void *)seg->start;

free_pages:
	free_area_pages(area);
free_area:
	area_destroy(seg);
	return NULL;
}

void *vmalloc(u64 len)
{
	return vmalloc_from(len, GFP_KERNEL, CALLER);
}

void *vzalloc(u64 len)
{
	return vmalloc_from(len, GFP_KERNEL | GFP_ZERO, CALLER);
}

static struct arena_seg *seg_at(const void *p, enum area_kind kind)
{
	struct arena_seg *seg;

	spin_lock(&arena_lock);
	seg = arena_find(&vmalloc_arena, (u64)p);
	spin_unlock(&arena_lock);
	if (!seg || seg->start != (u64)p || ((struct vm_area *)seg->owner)->kind != kind)
		panic("vmalloc: %p is not the start of an area of kind %d", p, kind);
	return seg;
}

void vfree(const void *p)
{
	struct arena_seg *seg;
	struct vm_area *area;

	if (!p)
		return;
	might_sleep();
	seg = seg_at(p, AREA_VMALLOC);
	area = seg->owner;
	kunmap_range(seg->start, area->npages << PAGE_SHIFT, false);
	free_area_pages(area);
	area_destroy(seg);
}

u64 vmalloc_reserve(u64 len, u64 align)
{
	struct arena_seg *seg = area_create(ALIGN(len, PAGE_SIZE), max(align, PAGE_SIZE),
					    AREA_RESERVED, CALLER);

	return seg ? seg->start : 0;
}

void vmalloc_release(u64 va)
{
	area_destroy(seg_at((const void *)va, AREA_RESERVED));
}

u64 vmalloc_base = VMALLOC_START;

void vmalloc_init(void)
{
	seg_cache = kmem_cache_create("arena_seg", sizeof(struct arena_seg), 0, SLAB_PANIC, NULL);
	arena_init(&vmalloc_arena);
	arena_add(&vmalloc_arena, &first_seg, KSTACK_AREA_END, VMALLOC_END & PAGE_MASK);
}

void vmallocinfo_show(struct seq_buf *m)
{
	static const char *const kinds[] = { "vmalloc", "vmap", "reserved" };
	u64 at = 0;

	for (;;) {
		struct arena_seg *seg;
		struct vm_area area;
		u64 start, end;

		spin_lock(&arena_lock);
		seg = arena_next_busy(&vmalloc_arena, at);
		if (seg) {
			start = seg->start;
			end = seg->end;
			area = *(struct vm_area *)seg->owner;
		}
		spin_unlock(&arena_lock);
		if (!seg)
			break;
		seq_printf(m, "0x%llx-0x%llx %7llu %pS pages=%llu %s\n", start, end, end - start,
			   area.caller, area.npages, kinds[area.kind]);
		at = end;
	}
	kstack_info_show(m);
}

/* The arena itself; a mismatch is reported as checkers do. */
u64 vmalloc_check(void)
{
	struct finding f;
	int bad;

	spin_lock(&arena_lock);
	bad = arena_check(&vmalloc_arena, &f);
	spin_unlock(&arena_lock);
	if (bad)
		pr_err("check: vmalloc arena: %p: %s is %#llx, should be %#llx\n", f.at, f.what, f.is, f.should);
	return bad != 0;
}
