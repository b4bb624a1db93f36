/*
 * The kernel file: read, check, place, copy, relocate, and the two random choices of KASLR.
 *
 * The image goes to one contiguous piece of memory, 2 MiB aligned, wherever the firmware has one;
 * where it runs is a separate matter: link address + slide, a multiple of 2 MiB inside the image
 * window of boot/layout.h. The file's buffer is given back before the page tables are built.
 */
#include <boot/layout.h>
#include "app.h"

/* A random number below n; modulo bias is of no matter for n far below 2^64. */
static uint64_t pick(struct app *app, uint64_t n)
{
	uint64_t v;

	entropy_take(&app->entropy, &v, sizeof(v));
	return v % n;
}

/* May addresses be random? If not, the reason is noted. */
static bool kaslr_allowed(struct app *app)
{
	if (app->nokaslr)
		app->kaslr_off_reason = HANDOFF_KASLR_OFF_CMDLINE;
	else if (!app->entropy.good)
		app->kaslr_off_reason = HANDOFF_KASLR_OFF_ENTROPY;
	return !app->kaslr_off_reason;
}

static void choose_slide(struct app *app)
{
	uint64_t slots = (LAYOUT_IMAGE_END - app->elf.end) / LAYOUT_IMAGE_STEP + 1;

	if (!kaslr_allowed(app))
		return;
	if (slots == 1) {
		app->kaslr_off_reason = HANDOFF_KASLR_OFF_SPACE;
		return;
	}
	app->kernel_slide = pick(app, slots) * LAYOUT_IMAGE_STEP;
	app->kaslr_flags |= HANDOFF_KASLR_IMAGE;
}

void kaslr_direct(struct app *app)
{
	bool five = app->levels == 5;

	app->direct_virt = five ? LAYOUT_DIRECT5_START : LAYOUT_DIRECT_START;
	if (app->nokaslr || !app->entropy.good)
		return;
	app->direct_virt += pick(app, five ? LAYOUT_DIRECT5_SLOTS : LAYOUT_DIRECT_SLOTS) * LAYOUT_DIRECT_STEP;
	app->kaslr_flags |= HANDOFF_KASLR_DIRECT;
}

static EFI_STATUS copy_image(struct app *app)
{
	const uint8_t *file = (const uint8_t *)app->kernel_file.phys;
	uint8_t *copy = (uint8_t *)app->kernel_phys;
	struct elf_segment seg;
	enum elf_error err;
	uint32_t i = 0, bad_type;

	__builtin_memset(copy, 0, app->kernel_size);
	while (elf_next_load(&app->elf, &i, &seg))
		__builtin_memcpy(copy + (seg.vaddr - app->elf.start), file + seg.offset, seg.filesz);
	err = elf_relocate(&app->elf, copy, app->kernel_slide, &bad_type);
	if (err == ELF_BAD_RELOC)
		return app_fail(app, EFI_LOAD_ERROR, "%S: %s (type %u)", APP_KERNEL_PATH,
				elf_error_text(err), bad_type);
	if (err)
		return app_fail(app, EFI_LOAD_ERROR, "%S: %s", APP_KERNEL_PATH, elf_error_text(err));
	return EFI_SUCCESS;
}

static EFI_STATUS read_kernel(struct app *app)
{
	EFI_STATUS status;
	enum elf_error err;

	if (!app->root)
		return app_fail(app, EFI_NOT_FOUND, "cannot read %S: the device we were loaded from "
				"has no file system", APP_KERNEL_PATH);
	status = file_read(app, APP_KERNEL_PATH, HANDOFF_MEM_LOADER, &app->kernel_file);
	if (EFI_ERROR(status))
		return app_fail(app, status, "cannot read %S", APP_KERNEL_PATH);
	if (!app->kernel_file.len)
		return app_fail(app, EFI_LOAD_ERROR, "%S is empty", APP_KERNEL_PATH);
	err = elf_parse_kernel((void *)app->kernel_file.phys, app->kernel_file.len, &app->elf);
	if (err)
		return app_fail(app, EFI_LOAD_ERROR, "%S: %s", APP_KERNEL_PATH, elf_error_text(err));
	if (app->elf.start < LAYOUT_IMAGE_START || app->elf.end > LAYOUT_IMAGE_END)
		return app_fail(app, EFI_LOAD_ERROR, "%S is linked at 0x%llx, not in the kernel's "
				"window at 0x%llx", APP_KERNEL_PATH, (unsigned long long)app->elf.start,
				LAYOUT_IMAGE_START);
	return EFI_SUCCESS;
}

EFI_STATUS kernel_load(struct app *app)
{
	EFI_STATUS status = read_kernel(app);

	if (EFI_ERROR(status))
		return status;
	app->kernel_size = app->elf.end - app->elf.start;
	choose_slide(app);
	status = pages_alloc_aligned(app, app->kernel_size / APP_PAGE, LAYOUT_IMAGE_STEP,
				     HANDOFF_MEM_KERNEL, &app->kernel_phys);
	if (EFI_ERROR(status))
		return app_fail(app, status, "no memory for the kernel (%llu KiB)",
				(unsigned long long)app->kernel_size / 1024);
	return copy_image(app);
}
