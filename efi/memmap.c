/*
 * From the firmware's memory map to the hand-off's regions.
 *
 * Theory: real maps are unsorted, overlap, nest, hold entries of zero length and are several
 * hundred entries long. So nothing is assumed of them: every entry becomes an interval with a
 * restriction (the order of enum handoff_mem), all interval ends are sorted, and each elementary
 * piece between two neighbouring ends takes the greatest restriction of the intervals that cover
 * it. Neighbours of equal type and flags merge. What nothing covers is a hole. The application's
 * own allocations are intervals like the others, more restrictive than the LoaderData under them.
 *
 * Cost: m intervals, at most 2m ends: 2m * m steps, for 400 entries a third of a million, which is
 * below a millisecond. Room: m intervals give at most 2m - 1 regions.
 *
 * The descriptor stride is the firmware's, never sizeof (UEFI 2.10, 7.2.3). Usable memory is
 * rounded inwards to pages and everything else outwards, though page alignment is promised.
 */
#include <boot/layout.h>
#include "app.h"

#define SPARE		64u		/* descriptors more than the firmware asks for */
#define OWN_ENTRIES	(APP_MAX_ALLOCS + 4u)
#define PHYS_MAX	(1ull << 52)

/* Values gnu-efi's headers lack: UEFI 2.10, 7.2.1 and 7.2.3. */
#define MEMORY_PERSISTENT	14u
#define MEMORY_ATTR_RELIABLE	0x10000ull
#define MEMORY_ATTR_SPECIAL	0x40000ull

struct map_entry {
	uint64_t start, end;
	uint32_t type, flags;
};

bool memmap_is_ram(uint32_t type)
{
	return type >= HANDOFF_MEM_USABLE && type <= HANDOFF_MEM_RUNTIME_DATA;
}

static uint32_t convert_type(const EFI_MEMORY_DESCRIPTOR *d)
{
	switch (d->Type) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiConventionalMemory:
		return HANDOFF_MEM_USABLE;
	case EfiBootServicesCode:
	case EfiBootServicesData:
		return HANDOFF_MEM_BOOT_SERVICES;
	case EfiRuntimeServicesCode:
		return HANDOFF_MEM_RUNTIME_CODE;
	case EfiRuntimeServicesData:
		return HANDOFF_MEM_RUNTIME_DATA;
	case EfiACPIReclaimMemory:
		return HANDOFF_MEM_ACPI_RECLAIM;
	case EfiACPIMemoryNVS:
		return HANDOFF_MEM_ACPI_NVS;
	case EfiMemoryMappedIO:
	case EfiMemoryMappedIOPortSpace:
		return HANDOFF_MEM_MMIO;
	case EfiUnusableMemory:
		return HANDOFF_MEM_UNUSABLE;
	default:		/* reserved, PAL code, persistent, unaccepted, the firmware's own */
		return HANDOFF_MEM_RESERVED;
	}
}

/* An interval for one descriptor; false for one without content. */
static bool convert(const EFI_MEMORY_DESCRIPTOR *d, struct map_entry *e)
{
	uint64_t start = d->PhysicalStart, npages = d->NumberOfPages, end;
	bool wants_cache;

	if (!npages || start >= PHYS_MAX)
		return false;
	end = npages > (PHYS_MAX - start) / APP_PAGE ? PHYS_MAX : start + npages * APP_PAGE;
	*e = (struct map_entry){ .type = convert_type(d) };
	if (e->type <= HANDOFF_MEM_BOOT_SERVICES) {
		/* Memory the firmware keeps using, or that cannot be cached, is not for us. */
		wants_cache = d->Attribute & (EFI_MEMORY_UC | EFI_MEMORY_WC | EFI_MEMORY_WT);
		if (d->Attribute & EFI_MEMORY_RUNTIME)
			e->type = HANDOFF_MEM_RUNTIME_DATA;
		else if (wants_cache && !(d->Attribute & EFI_MEMORY_WB))
			e->type = HANDOFF_MEM_RESERVED;
	}
	if (d->Attribute & MEMORY_ATTR_RELIABLE)
		e->flags |= HANDOFF_REGION_RELIABLE;
	if (d->Attribute & MEMORY_ATTR_SPECIAL)
		e->flags |= HANDOFF_REGION_SPECIAL;
	if (e->type <= HANDOFF_MEM_BOOT_SERVICES) {
		e->start = (start + APP_PAGE - 1) & ~(APP_PAGE - 1);
		e->end = end & ~(APP_PAGE - 1);
	} else {
		e->start = start & ~(APP_PAGE - 1);
		e->end = (end + APP_PAGE - 1) & ~(APP_PAGE - 1);
	}
	return e->start < e->end;
}

/* Heap sort: no recursion, no extra room, n log n whatever the firmware gives. */
static void sift(uint64_t *v, uint64_t i, uint64_t n)
{
	uint64_t child, tmp;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && v[child + 1] > v[child])
			child++;
		if (v[i] >= v[child])
			return;
		tmp = v[i];
		v[i] = v[child];
		v[child] = tmp;
		i = child;
	}
}

static void sort(uint64_t *v, uint64_t n)
{
	uint64_t i, tmp;

	for (i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (i = n; i-- > 1;) {
		tmp = v[0];
		v[0] = v[i];
		v[i] = tmp;
		sift(v, 0, i);
	}
}

static void add_entry(struct memmap *m, uint32_t *n, struct map_entry e)
{
	if (*n < m->max_entries)
		m->entries[(*n)++] = e;
}

static uint32_t collect(struct app *app, const struct alloc *extra)
{
	struct memmap *m = &app->map;
	struct map_entry e;
	const struct alloc *a;
	uint32_t n = 0, i;
	UINTN at;

	for (at = 0; at + m->stride <= m->raw_size; at += m->stride)
		if (convert((EFI_MEMORY_DESCRIPTOR *)((uint8_t *)m->raw + at), &e))
			add_entry(m, &n, e);
	for (i = 0; i < app->nr_allocs; i++) {
		a = &app->allocs[i];
		add_entry(m, &n, (struct map_entry){ a->base, a->base + a->npages * APP_PAGE,
						     a->type, 0 });
	}
	if (extra)
		add_entry(m, &n, (struct map_entry){ extra->base,
						     extra->base + extra->npages * APP_PAGE,
						     extra->type, HANDOFF_REGION_DIRECT });
	/* Page 0 is NULL to most code, and memory out of the direct map's reach is no use. */
	for (i = 0; i < n; i++) {
		if (memmap_is_ram(m->entries[i].type) && !m->entries[i].start) {
			add_entry(m, &n, (struct map_entry){ 0, APP_PAGE, HANDOFF_MEM_RESERVED, 0 });
			break;
		}
	}
	for (i = 0; i < n; i++) {
		if (memmap_is_ram(m->entries[i].type) && m->entries[i].end > LAYOUT_DIRECT_MAX) {
			add_entry(m, &n, (struct map_entry){ LAYOUT_DIRECT_MAX, m->entries[i].end,
							     HANDOFF_MEM_RESERVED, 0 });
			break;
		}
	}
	return n;
}

/* Is [start, end) inside one piece of what the direct map covers? */
static bool is_direct(const struct app *app, uint64_t start, uint64_t end)
{
	uint32_t i;

	for (i = 0; i < app->nr_direct; i++)
		if (start >= app->direct[i].start && end <= app->direct[i].end)
			return true;
	return false;
}

/* Note a finished piece. What should be in the direct map and is not stays reserved. */
static void emit(struct app *app, uint64_t start, uint64_t end, uint32_t type, uint32_t flags)
{
	struct memmap *m = &app->map;
	struct handoff_region *last = m->nr_regions ? &m->regions[m->nr_regions - 1] : NULL;

	if (app->nr_direct && (memmap_is_ram(type) || (flags & HANDOFF_REGION_DIRECT))) {
		flags &= ~HANDOFF_REGION_DIRECT;
		if (is_direct(app, start, end))
			flags |= HANDOFF_REGION_DIRECT;
		else if (type <= HANDOFF_MEM_BOOT_SERVICES)
			type = HANDOFF_MEM_RESERVED;
	}
	if (last && last->type == type && last->flags == flags &&
	    last->base + last->npages * APP_PAGE == start) {
		last->npages += (end - start) / APP_PAGE;
		return;
	}
	m->regions[m->nr_regions++] = (struct handoff_region){
		.base = start, .npages = (end - start) / APP_PAGE, .type = type, .flags = flags,
	};
}

void memmap_regions(struct app *app, const struct alloc *extra)
{
	struct memmap *m = &app->map;
	uint32_t n = collect(app, extra), i, k, nr_bounds = 0;
	const struct map_entry *e, *top;

	for (i = 0; i < n; i++) {
		m->bounds[nr_bounds++] = m->entries[i].start;
		m->bounds[nr_bounds++] = m->entries[i].end;
	}
	sort(m->bounds, nr_bounds);
	m->nr_regions = 0;
	for (k = 0; k + 1 < nr_bounds; k++) {
		if (m->bounds[k] == m->bounds[k + 1])
			continue;
		top = NULL;
		for (i = 0; i < n; i++) {
			e = &m->entries[i];
			if (e->start <= m->bounds[k] && e->end > m->bounds[k] &&
			    (!top || e->type > top->type))
				top = e;
		}
		if (top)
			emit(app, m->bounds[k], m->bounds[k + 1], top->type, top->flags);
	}
}

/* (Re)allocate everything for a raw map of `size` bytes and some more. */
static EFI_STATUS make_room(struct app *app, uint64_t size, uint64_t stride)
{
	struct memmap *m = &app->map;
	uint64_t raw, regions, entries, bounds, n, base;
	EFI_STATUS status;

	if (stride < sizeof(EFI_MEMORY_DESCRIPTOR))
		stride = sizeof(EFI_MEMORY_DESCRIPTOR);
	raw = (size + SPARE * stride + 7) & ~7ull;
	n = raw / sizeof(EFI_MEMORY_DESCRIPTOR) + OWN_ENTRIES;
	regions = 2 * n * sizeof(struct handoff_region);
	entries = n * sizeof(struct map_entry);
	bounds = 2 * n * sizeof(uint64_t);
	if (m->base)
		pages_shrink(app, m->base, 0);
	m->base = 0;
	status = pages_alloc(app, (raw + regions + entries + bounds + APP_PAGE - 1) / APP_PAGE, 0,
			     HANDOFF_MEM_LOADER, &base);
	if (EFI_ERROR(status))
		return status;
	m->base = base;
	m->raw = (EFI_MEMORY_DESCRIPTOR *)base;
	m->raw_cap = raw;
	m->regions = (struct handoff_region *)(base + raw);
	m->entries = (struct map_entry *)(base + raw + regions);
	m->bounds = (uint64_t *)(base + raw + regions + entries);
	m->max_entries = (uint32_t)n;
	return EFI_SUCCESS;
}

EFI_STATUS memmap_fetch(struct app *app)
{
	struct memmap *m = &app->map;
	EFI_STATUS status;
	uint32_t tries;

	for (tries = 0; tries < 16; tries++) {
		m->raw_size = m->base ? m->raw_cap : 0;
		m->stride = 0;
		status = app->bs->GetMemoryMap(&m->raw_size, m->base ? m->raw : NULL, &m->key,
					       &m->stride, &m->version);
		if (!EFI_ERROR(status) && m->base) {
			if (m->stride < sizeof(EFI_MEMORY_DESCRIPTOR) || m->raw_size > m->raw_cap)
				return EFI_INCOMPATIBLE_VERSION;
			return EFI_SUCCESS;
		}
		if (EFI_ERROR(status) && status != EFI_BUFFER_TOO_SMALL)
			return status;
		/* Our own allocation may add descriptors: SPARE covers that, the loop the rest. */
		status = make_room(app, m->raw_size, m->stride);
		if (EFI_ERROR(status))
			return status;
	}
	return EFI_BUFFER_TOO_SMALL;
}
