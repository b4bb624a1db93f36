/*
 * Leaving boot services, and the hand-off.
 *
 * ExitBootServices wants the key of the current memory map, and event handlers that run inside it
 * may change the map again, on some machines several times. So: fetch, exit, and on a stale key the
 * same once more into the same buffer, with nothing in between. From the first try on no other
 * service may be called (UEFI 2.10, 7.4.6), nor printed: app->exiting. Only when the map
 * outgrows the buffer's spare room, memory services, which stay legal, get a larger one.
 */
#include <boot/layout.h>
#include "app.h"

#define MAX_TRIES 64u

EFI_STATUS exit_boot_services(struct app *app)
{
	EFI_STATUS status = EFI_SUCCESS;
	uint32_t tries;

	app->tsc_exit = arch_tsc();
	for (tries = 0; tries < MAX_TRIES; tries++) {
		status = memmap_fetch(app);
		if (EFI_ERROR(status))
			break;
		app->exiting = true;
		status = app->bs->ExitBootServices(app->image, app->map.key);
		if (status != EFI_INVALID_PARAMETER)
			break;
	}
	if (!EFI_ERROR(status)) {
		arch_irq_off();
		return status;
	}
	/* A sentence is worth the risk now: what is left of the firmware gets the machine back. */
	app->exiting = false;
	return app_fail(app, status, "cannot leave boot services after %u tries", tries);
}

uint64_t trampoline_find(const struct memmap *m)
{
	const uint64_t limit = 0xa0000, size = HANDOFF_TRAMPOLINE_PAGES * APP_PAGE;
	uint64_t best, end;
	uint32_t type, i;

	for (type = HANDOFF_MEM_USABLE; type <= HANDOFF_MEM_BOOT_SERVICES; type++) {
		best = 0;
		for (i = 0; i < m->nr_regions; i++) {
			const struct handoff_region *r = &m->regions[i];

			if (r->type != type || r->base >= limit)
				continue;
			end = r->base + r->npages * APP_PAGE;
			if (end > limit)
				end = limit;
			if (end - r->base >= size && r->base)
				best = end - size;
		}
		if (best)
			return best;
	}
	return 0;
}

static void fill_machine(struct app *app, struct handoff *h)
{
	h->efi_map = (uint64_t)app->map.raw;
	h->efi_map_size = app->map.raw_size;
	h->efi_map_stride = (uint32_t)app->map.stride;
	h->efi_map_version = app->map.version;
	h->efi_systab = (uint64_t)app->st;
	h->firmware_revision = app->st->FirmwareRevision;
	h->rsdp = app->rsdp;
	h->smbios = app->smbios;
	h->smbios_major = app->smbios_major;
	h->fb = app->fb;
	h->regions = (uint64_t)app->map.regions;
	h->nr_regions = app->map.nr_regions;
	h->region_size = sizeof(struct handoff_region);
}

static void fill_kernel(struct app *app, struct handoff *h)
{
	char *cmdline = (char *)(app->handoff + HANDOFF_OFF_CMDLINE);

	h->cmdline = (uint64_t)cmdline;
	h->cmdline_len = __builtin_strlen(app->cmdline);
	__builtin_memcpy(cmdline, app->cmdline, h->cmdline_len + 1);
	h->initrd = app->initrd.phys;
	h->initrd_len = app->initrd.len;
	h->kernel_phys = app->kernel_phys;
	h->kernel_size = app->kernel_size;
	h->kernel_virt = app->elf.start + app->kernel_slide;
	h->kernel_slide = app->kernel_slide;
	h->direct_virt = app->direct_virt;
	h->direct_len = app->direct_len;
	h->root_pt_phys = app->root_pt;
	h->paging_levels = app->levels;
	h->kaslr_flags = app->kaslr_flags;
	h->kaslr_off_reason = app->kaslr_off_reason;
	h->stack = app->handoff + HANDOFF_OFF_STACK;
	h->stack_len = HANDOFF_STACK_SIZE;
}

void handoff_fill(struct app *app)
{
	struct handoff *h = (struct handoff *)app->handoff;
	struct alloc trampoline = { 0, HANDOFF_TRAMPOLINE_PAGES, HANDOFF_MEM_RESERVED };

	__builtin_memset(h, 0, sizeof(*h));
	h->magic = HANDOFF_MAGIC;
	h->version = HANDOFF_VERSION;
	h->size = sizeof(*h);
	memmap_regions(app, NULL);
	trampoline.base = trampoline_find(&app->map);
	if (trampoline.base)
		memmap_regions(app, &trampoline);
	h->trampoline = trampoline.base;
	fill_machine(app, h);
	fill_kernel(app, h);
	h->entropy_good = app->entropy.good;
	h->entropy_sources = app->entropy.sources;
	entropy_take(&app->entropy, h->entropy, HANDOFF_ENTROPY_SIZE);
	h->tsc_entry = app->tsc_entry;
	h->tsc_exit = app->tsc_exit;
	h->tsc_jump = arch_tsc();
}
