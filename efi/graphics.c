/*
 * A linear framebuffer from the Graphics Output Protocol. All handles are looked at, because the
 * first may be one that only copies (PixelBltOnly) or has no memory; among the usable ones a real
 * console output device is best, then the console's own handle (which may be the firmware's
 * splitter in front of several), then any. Nothing here can stop a boot.
 *
 * UEFI 2.10, 12.9: formats 0 and 1 name their bytes and have 32 bits a pixel, format 2 gives masks, and its highest bit in
 * use tells the size of a pixel: 16, 24 or 32 bits. Masks that make no sense are refused, not guessed.
 */
#include "app.h"

static const EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
static const EFI_GUID console_device_guid = {
	0xd3b36f2c, 0xd551, 0x11d4, { 0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d }
};

/* One run of bits, at least 4 and at most 16 of them. */
static bool good_mask(uint32_t mask)
{
	uint32_t run;

	if (!mask)
		return false;
	run = mask >> __builtin_ctz(mask);
	return !(run & (run + 1)) && run >= 0xf && run <= 0xffff;
}

/* Bits of a pixel by its highest bit in use; 0: no size there is. */
static uint32_t mask_bits(uint32_t all)
{
	if (all >> 24)
		return 32;
	if (all >> 16)
		return 24;
	return all >> 14 ? 16 : 0;
}

static bool set_masks(struct handoff_framebuffer *fb, const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info)
{
	const EFI_PIXEL_BITMASK *m = &info->PixelInformation;

	switch (info->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
		fb->red_mask = 0x0000ff;
		fb->green_mask = 0x00ff00;
		fb->blue_mask = 0xff0000;
		fb->reserved_mask = 0xff000000;
		return true;
	case PixelBlueGreenRedReserved8BitPerColor:
		fb->red_mask = 0xff0000;
		fb->green_mask = 0x00ff00;
		fb->blue_mask = 0x0000ff;
		fb->reserved_mask = 0xff000000;
		return true;
	case PixelBitMask:
		fb->red_mask = m->RedMask;
		fb->green_mask = m->GreenMask;
		fb->blue_mask = m->BlueMask;
		fb->reserved_mask = m->ReservedMask;
		fb->bits_per_pixel = mask_bits(m->RedMask | m->GreenMask | m->BlueMask | m->ReservedMask);
		return fb->bits_per_pixel && good_mask(m->RedMask) && good_mask(m->GreenMask) && good_mask(m->BlueMask) &&
		       !(m->RedMask & m->GreenMask) && !(m->GreenMask & m->BlueMask) &&
		       !(m->RedMask & m->BlueMask);
	default:
		return false;
	}
}

/* Fill *fb from a handle's current mode; false when it cannot be drawn on by writing memory. */
static bool usable(struct app *app, EFI_HANDLE handle, struct handoff_framebuffer *fb)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop = NULL;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;
	uint64_t pitch;

	*fb = (struct handoff_framebuffer){ 0 };
	if (EFI_ERROR(app->bs->HandleProtocol(handle, (EFI_GUID *)&gop_guid, (VOID **)&gop)) ||
	    !gop || !gop->Mode || !gop->Mode->Info)
		return false;
	info = gop->Mode->Info;
	fb->base = gop->Mode->FrameBufferBase;
	fb->size = gop->Mode->FrameBufferSize;
	fb->width = info->HorizontalResolution;
	fb->height = info->VerticalResolution;
	fb->bits_per_pixel = 32;
	if (!fb->base || !fb->width || !fb->height || fb->width > 65535 || fb->height > 65535 ||
	    info->PixelsPerScanLine < fb->width || !set_masks(fb, info))
		return false;
	pitch = info->PixelsPerScanLine * (fb->bits_per_pixel / 8ull);
	if (pitch > 1u << 20)
		return false;
	fb->pitch = (uint32_t)pitch;
	/* Sizes of 0 and sizes too small by a line or two both exist. */
	if (!fb->size)
		fb->size = pitch * fb->height;
	if (fb->size / pitch < fb->height)
		fb->height = (uint32_t)(fb->size / pitch);
	return fb->height > 0;
}

static uint32_t rank(struct app *app, EFI_HANDLE handle)
{
	VOID *dummy = NULL;

	if (!EFI_ERROR(app->bs->HandleProtocol(handle, (EFI_GUID *)&console_device_guid, &dummy)))
		return 3;
	return handle == app->st->ConsoleOutHandle ? 2 : 1;
}

void graphics_find(struct app *app)
{
	struct handoff_framebuffer fb;
	EFI_HANDLE *handles = NULL;
	uint32_t best = 0, r;
	UINTN n = 0, i;

	if (EFI_ERROR(app->bs->LocateHandleBuffer(ByProtocol, (EFI_GUID *)&gop_guid, NULL, &n,
						  &handles)))
		return;
	for (i = 0; i < n; i++) {
		if (!usable(app, handles[i], &fb))
			continue;
		r = rank(app, handles[i]);
		if (r > best) {
			best = r;
			app->fb = fb;
		}
	}
	app->bs->FreePool(handles);
}
