/*
 * Pages from the firmware, each allocation remembered in app->allocs.
 *
 * - Only EfiLoaderData is asked for: types of our own (>= 0x80000000) make some firmware fail in
 *   ExitBootServices. What an allocation is for is in our table, not in the firmware's.
 * - No fixed addresses: any one address may be taken on some machine.
 * - Address 0 is refused: it is a legal answer, and it is NULL to everybody above us.
 * - The greatest allocation is a file's size, never "all memory": huge ones stall for minutes.
 * - Memory above what the direct map can reach is refused too, by a second try with a limit.
 */
#include <boot/layout.h>
#include "app.h"

static EFI_STATUS alloc_raw(struct app *app, uint64_t npages, uint64_t limit, uint64_t *base)
{
	EFI_PHYSICAL_ADDRESS addr = limit - 1;
	EFI_STATUS status;

	status = app->bs->AllocatePages(limit ? AllocateMaxAddress : AllocateAnyPages,
					EfiLoaderData, npages, &addr);
	*base = addr;
	return status;
}

/* Pages that are neither at 0 nor out of the direct map's reach. */
static EFI_STATUS alloc_usable(struct app *app, uint64_t npages, uint64_t limit, uint64_t *base)
{
	EFI_STATUS status = alloc_raw(app, npages, limit, base);
	uint64_t refused = *base;

	if (EFI_ERROR(status))
		return status;
	if (refused && refused + npages * APP_PAGE <= LAYOUT_DIRECT_MAX)
		return status;
	/* Keep what is refused until another is found, or the same would come again. */
	status = alloc_raw(app, npages, limit ? limit : LAYOUT_DIRECT_MAX, base);
	app->bs->FreePages(refused, npages);
	if (!EFI_ERROR(status) && !*base) {
		app->bs->FreePages(*base, npages);
		status = EFI_OUT_OF_RESOURCES;
	}
	return status;
}

EFI_STATUS pages_alloc(struct app *app, uint64_t npages, uint64_t limit, enum handoff_mem type,
		       uint64_t *base)
{
	EFI_STATUS status;

	if (app->nr_allocs == APP_MAX_ALLOCS || !npages || npages > LAYOUT_DIRECT_MAX / APP_PAGE)
		return EFI_OUT_OF_RESOURCES;
	status = alloc_usable(app, npages, limit, base);
	if (EFI_ERROR(status))
		return status;
	app->allocs[app->nr_allocs++] = (struct alloc){ *base, npages, type };
	return EFI_SUCCESS;
}

EFI_STATUS pages_alloc_aligned(struct app *app, uint64_t npages, uint64_t align,
			       enum handoff_mem type, uint64_t *base)
{
	uint64_t extra = align / APP_PAGE - 1, start, head;
	EFI_STATUS status;

	status = pages_alloc(app, npages + extra, 0, type, base);
	if (EFI_ERROR(status))
		return status;
	start = (*base + align - 1) & ~(align - 1);
	head = (start - *base) / APP_PAGE;
	if (head)
		app->bs->FreePages(*base, head);
	if (extra - head)
		app->bs->FreePages(start + npages * APP_PAGE, extra - head);
	app->allocs[app->nr_allocs - 1].base = start;
	app->allocs[app->nr_allocs - 1].npages = npages;
	*base = start;
	return EFI_SUCCESS;
}

void pages_shrink(struct app *app, uint64_t base, uint64_t npages)
{
	struct alloc *a;
	uint32_t i;

	for (i = 0; i < app->nr_allocs; i++) {
		a = &app->allocs[i];
		if (a->base != base || a->npages <= npages)
			continue;
		app->bs->FreePages(base + npages * APP_PAGE, a->npages - npages);
		a->npages = npages;
		if (!npages)
			*a = app->allocs[--app->nr_allocs];
		return;
	}
}

void pages_free_all(struct app *app)
{
	while (app->nr_allocs) {
		struct alloc *a = &app->allocs[--app->nr_allocs];

		app->bs->FreePages(a->base, a->npages);
	}
}
