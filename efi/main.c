/*
 * The EFI application: from firmware to kernel entry, one step a line in `boot`.
 *
 * Everything that can fail comes before ExitBootServices and has no effect that cannot be undone:
 * a failure prints one sentence, gives all pages back and returns to the firmware, which tries its
 * next boot entry. After it, nothing can fail.
 */
#include "app.h"

#define TELL_US 3000000u	/* how long a failure stays readable */

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

/* Shim and its kin refuse images without this section when they enforce revocation. */
__attribute__((section(".sbat"))) const char app_sbat[] =
	"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
	"quoin,1,Quoin,quoin,1,see README.md\n";

static EFI_STATUS find_self(struct app *app)
{
	EFI_STATUS status = app->bs->HandleProtocol(app->image, (EFI_GUID *)&loaded_image_guid,
						    (VOID **)&app->self);

	if (EFI_ERROR(status) || !app->self)
		return app_fail(app, EFI_ERROR(status) ? status : EFI_NOT_FOUND,
				"cannot find the loaded image protocol of the loader itself");
	volume_open(app);
	return EFI_SUCCESS;
}

/* What the kernel and our page tables need of the CPU. */
static EFI_STATUS check_cpu(struct app *app)
{
	uint32_t regs[4];

	arch_cpuid(0x80000000, 0, regs);
	if (regs[0] >= 0x80000001) {
		arch_cpuid(0x80000001, 0, regs);
		if (regs[3] & 1u << 20)
			return EFI_SUCCESS;
	}
	return app_fail(app, EFI_UNSUPPORTED, "this CPU has no NX, or the firmware switched it off");
}

static EFI_STATUS load_initrd(struct app *app)
{
	EFI_STATUS status = file_read(app, APP_INITRD_PATH, HANDOFF_MEM_LOADER, &app->initrd);

	if (status == EFI_NOT_FOUND) {
		status = initrd_from_protocol(app, &app->initrd);
		if (status == EFI_NOT_FOUND)
			return app_fail(app, status, "no initrd: neither %S nor the LoadFile2 "
					"protocol", APP_INITRD_PATH);
		if (EFI_ERROR(status))
			return app_fail(app, status, "cannot read the initrd by LoadFile2");
	}
	if (EFI_ERROR(status))
		return app_fail(app, status, "cannot read %S", APP_INITRD_PATH);
	if (!app->initrd.len)
		return app_fail(app, EFI_LOAD_ERROR, "the initrd is empty");
	return EFI_SUCCESS;
}

static EFI_STATUS make_handoff(struct app *app)
{
	EFI_STATUS status = pages_alloc(app, HANDOFF_PAGES, 0, HANDOFF_MEM_LOADER, &app->handoff);

	if (EFI_ERROR(status))
		return app_fail(app, status, "no memory for the hand-off");
	if (arch_la57_on() == (app->levels == 5))
		return status;
	status = pages_alloc(app, 2, 1ull << 32, HANDOFF_MEM_LOADER, &app->switch_page);
	if (EFI_ERROR(status))
		return app_fail(app, status, "the firmware uses %u-level paging and there is no memory "
				"below 4 GiB to change it", 9u - app->levels);
	return status;
}

static const char *kaslr_text(const struct app *app)
{
	switch (app->kaslr_off_reason) {
	case HANDOFF_KASLR_OFF_CMDLINE:
		return "off (nokaslr)";
	case HANDOFF_KASLR_OFF_ENTROPY:
		return "off (no source of randomness)";
	case HANDOFF_KASLR_OFF_SPACE:
		return "off (no room)";
	default:
		return "on";
	}
}

static void tell(struct app *app)
{
	char kernel[24], initrd[24], top[24];

	app_print(app, "Quoin loader: kernel %s, initrd %s, memory to %s, KASLR %s\n",
		  size_text(app->kernel_size, kernel), size_text(app->initrd.len, initrd),
		  size_text(app->direct_len, top), kaslr_text(app));
	if (!trampoline_find(&app->map))
		app_print(app, "Quoin loader: no free memory below 640 KiB, so the other CPUs cannot "
			  "be started\n");
	app_debug(app, "  %u-level paging%s\n", app->levels, app->switch_page ? ", to be switched" : "");
	app_debug(app, "  kernel at 0x%llx, slide 0x%llx, direct map at 0x%llx, tables at 0x%llx\n",
		  (unsigned long long)app->kernel_phys, (unsigned long long)app->kernel_slide,
		  (unsigned long long)app->direct_virt, (unsigned long long)app->root_pt);
	app_debug(app, "  RSDP 0x%llx, SMBIOS %u at 0x%llx, screen %u x %u at 0x%llx, "
		  "%u good bytes of entropy\n", (unsigned long long)app->rsdp, app->smbios_major,
		  (unsigned long long)app->smbios, app->fb.width, app->fb.height,
		  (unsigned long long)app->fb.base, app->entropy.good);
	app_debug(app, "  command line: %s\n", app->cmdline);
}

/* => returns only when a step failed and told so */
static EFI_STATUS boot(struct app *app)
{
	struct arch_jump jump;
	EFI_STATUS status;

	status = find_self(app);
	if (!EFI_ERROR(status))
		status = check_cpu(app);
	if (!EFI_ERROR(status))
		status = cmdline_get(app);
	if (EFI_ERROR(status))
		return status;
	paging_choose(app);
	entropy_gather(app);
	tables_find(app);
	graphics_find(app);
	status = kernel_load(app);
	if (!EFI_ERROR(status))
		status = load_initrd(app);
	if (!EFI_ERROR(status))
		status = make_handoff(app);
	if (EFI_ERROR(status))
		return status;
	volume_close(app);
	kaslr_direct(app);
	status = paging_build(app);
	if (EFI_ERROR(status))
		return status;
	/* The program headers lie in the file: its pages go only now. */
	pages_shrink(app, app->kernel_file.phys, 0);
	tell(app);
	status = exit_boot_services(app);
	if (EFI_ERROR(status))
		return status;

	/* commit: no failure below */
	handoff_fill(app);
	jump = (struct arch_jump){
		.entry = app->elf.entry + app->kernel_slide,
		.handoff = app->direct_virt + app->handoff,
		.stack = app->direct_virt + app->handoff + HANDOFF_OFF_STACK + HANDOFF_STACK_SIZE,
		.root = app->root_pt,
		.switch_page = app->switch_page,
		.la57 = app->levels == 5,
	};
	arch_jump(&jump);
	return EFI_SUCCESS;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	static struct app app;
	EFI_STATUS status;

	__builtin_memset(&app, 0, sizeof(app));
	/* First of all: a watchdog may fire within seconds. */
	st->BootServices->SetWatchdogTimer(0, 0, 0, NULL);
	app.tsc_entry = arch_tsc();
	app.image = image;
	app.st = st;
	app.bs = st->BootServices;
	status = boot(&app);
	if (!EFI_ERROR(status))
		return status;

	if (!app.told)
		app_fail(&app, status, "boot failed");
	volume_close(&app);
	pages_free_all(&app);
	app.bs->Stall(TELL_US);
	return status;
}
