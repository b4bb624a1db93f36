/*
 * The kernel's first page tables: 4 levels, or 5 (Intel SDM 3A, 4.5). The number stays what the firmware
 * uses, unless the command line says "la57" (and the CPU can) or "nola57".
 *
 *   lower half    one page of this application, the code that loads CR3: read and execute, at its
 *                 identity address (and the scratch page of the LA57 switch when that is needed)
 *   direct map    every piece of RAM and of ACPI and runtime-services memory: writable, NX, global,
 *                 by 1 GiB pages where a whole GiB is memory and the CPU has them, else 2 MiB,
 *                 4 KiB at ragged edges. Never a page over a hole or over MMIO: the processor could
 *                 fetch from it speculatively, with the wrong memory type.
 *   image         4 KiB pages, per segment R-X, R--NX or RW-NX, global
 *
 * Table pages come from chunks that grow, so that a machine with hundreds of ragged edges needs
 * few allocations; the unused end of the last chunk is given back. Accessed and dirty are set from
 * the start: no CPU has to write them later.
 */
#include <boot/layout.h>
#include "app.h"

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_A		(1ull << 5)
#define PTE_D		(1ull << 6)
#define PTE_PS		(1ull << 7)
#define PTE_G		(1ull << 8)
#define PTE_NX		(1ull << 63)
#define PTE_ADDR	0x000ffffffffff000ull

#define FIRST_CHUNK	16u
#define SIZE_2M		(1ull << 21)
#define SIZE_1G		(1ull << 30)

struct builder {
	struct app *app;
	uint64_t chunk, used, size;	/* current chunk: base, pages used, pages */
	uint64_t next_size;
	bool gib_pages;
	EFI_STATUS status;
};

/* One zeroed table page; 0 when there is no memory, b->status says why. */
static uint64_t new_table(struct builder *b)
{
	uint64_t page;

	if (b->used == b->size) {
		b->status = pages_alloc(b->app, b->next_size, 0, HANDOFF_MEM_PAGE_TABLES, &b->chunk);
		if (EFI_ERROR(b->status))
			return 0;
		b->size = b->next_size;
		b->used = 0;
		b->next_size *= 2;
	}
	page = b->chunk + b->used++ * APP_PAGE;
	__builtin_memset((void *)page, 0, APP_PAGE);
	return page;
}

/* The table below *entry, made when it is not there. */
static uint64_t *descend(struct builder *b, uint64_t *entry)
{
	uint64_t page;

	if (!(*entry & PTE_P)) {
		page = new_table(b);
		if (!page)
			return NULL;
		*entry = page | PTE_P | PTE_W | PTE_A;
	}
	return (uint64_t *)(*entry & PTE_ADDR);
}

static uint64_t *at(uint64_t *table, uint64_t virt, uint32_t shift)
{
	return &table[virt >> shift & 511];
}

/* Greatest page size that fits here. */
static uint64_t page_size(const struct builder *b, uint64_t virt, uint64_t phys, uint64_t len,
			  uint64_t max)
{
	if (max >= SIZE_1G && b->gib_pages && len >= SIZE_1G && !((virt | phys) & (SIZE_1G - 1)))
		return SIZE_1G;
	if (max >= SIZE_2M && len >= SIZE_2M && !((virt | phys) & (SIZE_2M - 1)))
		return SIZE_2M;
	return APP_PAGE;
}

/* Map [virt, virt + len) to phys with pages of at most `max` bytes. */
static bool map(struct builder *b, uint64_t virt, uint64_t phys, uint64_t len, uint64_t flags,
		uint64_t max)
{
	uint64_t *table, size;

	flags |= PTE_P | PTE_A;
	if (flags & PTE_W)
		flags |= PTE_D;
	for (; len; virt += size, phys += size, len -= size) {
		size = page_size(b, virt, phys, len, max);
		table = (uint64_t *)b->app->root_pt;
		if (b->app->levels == 5)
			table = descend(b, at(table, virt, 48));
		if (table)
			table = descend(b, at(table, virt, 39));
		if (!table)
			return false;
		if (size == SIZE_1G) {
			*at(table, virt, 30) = phys | flags | PTE_PS;
			continue;
		}
		table = descend(b, at(table, virt, 30));
		if (!table)
			return false;
		if (size == SIZE_2M) {
			*at(table, virt, 21) = phys | flags | PTE_PS;
			continue;
		}
		table = descend(b, at(table, virt, 21));
		if (!table)
			return false;
		*at(table, virt, 12) = phys | flags;
	}
	return true;
}

static bool map_image(struct builder *b)
{
	struct app *app = b->app;
	struct elf_segment seg;
	uint64_t start, end, flags;
	uint32_t i = 0;

	while (elf_next_load(&app->elf, &i, &seg)) {
		start = seg.vaddr & ~(APP_PAGE - 1);
		end = (seg.vaddr + seg.memsz + APP_PAGE - 1) & ~(APP_PAGE - 1);
		flags = PTE_G | (seg.flags & ELF_W ? PTE_W : 0) | (seg.flags & ELF_X ? 0 : PTE_NX);
		if (!map(b, start + app->kernel_slide, app->kernel_phys + (start - app->elf.start),
			 end - start, flags, APP_PAGE))
			return false;
	}
	return true;
}

static bool map_lower_half(struct builder *b)
{
	uint64_t code = arch_switch_code() & ~(APP_PAGE - 1), scratch = b->app->switch_page;

	if (!map(b, code, code, APP_PAGE, 0, APP_PAGE))
		return false;
	if (!scratch)
		return true;
	return map(b, scratch, scratch, APP_PAGE, 0, APP_PAGE) &&
	       map(b, scratch + APP_PAGE, scratch + APP_PAGE, APP_PAGE, PTE_W | PTE_NX, APP_PAGE);
}

/* Join neighbouring regions that belong into the direct map to ranges. */
static EFI_STATUS find_direct(struct app *app)
{
	struct memmap *m = &app->map;
	struct range *r;
	EFI_STATUS status;
	uint64_t base;
	uint32_t i;

	status = pages_alloc(app, (m->nr_regions * sizeof(struct range) + APP_PAGE) / APP_PAGE, 0,
			     HANDOFF_MEM_LOADER, &base);
	if (EFI_ERROR(status))
		return status;
	app->direct = (struct range *)base;
	for (i = 0; i < m->nr_regions; i++) {
		const struct handoff_region *reg = &m->regions[i];

		if (!memmap_is_ram(reg->type))
			continue;
		r = app->nr_direct ? &app->direct[app->nr_direct - 1] : NULL;
		if (!r || r->end != reg->base) {
			r = &app->direct[app->nr_direct++];
			r->start = reg->base;
		}
		r->end = reg->base + reg->npages * APP_PAGE;
		app->direct_len = r->end;
	}
	return EFI_SUCCESS;
}

static bool map_direct(struct builder *b)
{
	struct app *app = b->app;
	uint32_t i;

	for (i = 0; i < app->nr_direct; i++)
		if (!map(b, app->direct_virt + app->direct[i].start, app->direct[i].start,
			 app->direct[i].end - app->direct[i].start, PTE_W | PTE_NX | PTE_G, SIZE_1G))
			return false;
	return true;
}

void paging_choose(struct app *app)
{
	uint32_t regs[4];
	bool on = arch_la57_on(), can = on;

	arch_cpuid(0, 0, regs);
	if (!on && regs[0] >= 7) {
		arch_cpuid(7, 0, regs);
		can = regs[2] & 1u << 16;	/* SDM 2A, CPUID: LA57 */
	}
	app->levels = !app->nola57 && (on || (app->la57 && can)) ? 5 : 4;
}

static bool has_gib_pages(void)
{
	uint32_t regs[4];

	arch_cpuid(0x80000000, 0, regs);
	if (regs[0] < 0x80000001)
		return false;
	arch_cpuid(0x80000001, 0, regs);
	return regs[3] & 1u << 26;
}

EFI_STATUS paging_build(struct app *app)
{
	struct builder b = { .app = app, .next_size = FIRST_CHUNK, .gib_pages = has_gib_pages() };
	EFI_STATUS status;

	/* When LA57 changes, CR3 is loaded by 32-bit code. */
	if (app->switch_page) {
		status = pages_alloc(app, 1, 1ull << 32, HANDOFF_MEM_PAGE_TABLES, &app->root_pt);
		if (EFI_ERROR(status))
			return app_fail(app, status, "no memory below 4 GiB for the page tables");
		__builtin_memset((void *)app->root_pt, 0, APP_PAGE);
	}
	status = memmap_fetch(app);
	if (EFI_ERROR(status))
		return app_fail(app, status, "cannot get the memory map");
	memmap_regions(app, NULL);
	status = find_direct(app);
	if (EFI_ERROR(status))
		return app_fail(app, status, "no memory for the memory map");
	if (!app->nr_direct)
		return app_fail(app, EFI_NOT_FOUND, "the firmware's memory map has no memory");
	if (!app->root_pt)
		app->root_pt = new_table(&b);
	if (!app->root_pt || !map_lower_half(&b) || !map_direct(&b) || !map_image(&b))
		return app_fail(app, b.status, "no memory for the page tables");
	if (b.used != b.size)
		pages_shrink(app, b.chunk, b.used);
	return EFI_SUCCESS;
}
