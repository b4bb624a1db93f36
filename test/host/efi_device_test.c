/*
 * The EFI application's best-effort part against a fake firmware: graphics, tables, randomness.
 */
// SOURCES: test/host/fake_efi.c efi/main.c efi/console.c efi/pages.c efi/file.c efi/cmdline.c
// SOURCES: efi/tables.c efi/graphics.c efi/entropy.c efi/kernel.c efi/memmap.c efi/paging.c
// SOURCES: efi/exit.c loader/elf.c
// CFLAGS: -DGNU_EFI_USE_MS_ABI -fshort-wchar -mms-bitfields
// CFLAGS: -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
#include "efi_check.h"

static void quirk_13_graphics(void)
{
	struct handoff_framebuffer *fb;

	setup();			/* pitch > width, base above 4 GiB */
	add_gop(PixelBlueGreenRedReserved8BitPerColor, 0x4000000000ull, 1366, 768, 1376);
	boot_good();
	fb = &find_handoff()->fb;
	CHECK_EQ(fb->base, 0x4000000000ull);
	CHECK(fb->width == 1366 && fb->height == 768 && fb->pitch == 1376 * 4);
	CHECK(fb->red_mask == 0xff0000 && fb->blue_mask == 0xff && fb->bits_per_pixel == 32);

	setup();			/* the first only copies, the second has no memory */
	add_gop(PixelBltOnly, 0xc0000000, 800, 600, 800);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0, 800, 600, 800);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xd0000000, 800, 600, 800);
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0xd0000000);
	CHECK_EQ(find_handoff()->fb.red_mask, 0xff);

	setup();			/* a console device before the console's handle before others */
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xd0000000, 800, 600, 800);
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0xd0000000);
	setup();
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xd0000000, 800, 600, 800);
	fake.gops[0].console_device = true;
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0xc0000000);

	setup();			/* masks: 10 bits a colour */
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 800);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0x3ff00000, 0xffc00, 0x3ff, 0xc0000000 };
	boot_good();
	CHECK_EQ(find_handoff()->fb.red_mask, 0x3ff00000);
	setup();			/* masks that make no sense */
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 800);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0xf0f000, 0xff00, 0xff, 0xff000000 };
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0);
	setup();			/* 16 bits a pixel, 15 of them used, 24 */
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 832);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0xf800, 0x7e0, 0x1f, 0 };
	fake.gops[0].mode.FrameBufferSize = 832 * 600 * 2;
	boot_good();
	fb = &find_handoff()->fb;
	CHECK(fb->base == 0xc0000000 && fb->bits_per_pixel == 16 && fb->pitch == 832 * 2 && fb->height == 600);
	setup();
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 800);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0x7c00, 0x3e0, 0x1f, 0 };
	boot_good();
	CHECK_EQ(find_handoff()->fb.bits_per_pixel, 16);
	setup();
	add_gop(PixelBitMask, 0xc0000000, 1024, 768, 1024);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0xff, 0xff00, 0xff0000, 0 };
	fake.gops[0].mode.FrameBufferSize = 0;
	boot_good();
	fb = &find_handoff()->fb;
	CHECK(fb->bits_per_pixel == 24 && fb->pitch == 1024 * 3 && fb->size == 1024 * 3 * 768 && fb->red_mask == 0xff);
	setup();			/* 16 by masks of 4 bits; fewer than 15 bits: no */
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 800);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0xf000, 0x0f0, 0x00f, 0x0f00 };
	boot_good();
	CHECK_EQ(find_handoff()->fb.bits_per_pixel, 16);
	setup();
	add_gop(PixelBitMask, 0xc0000000, 800, 600, 800);
	fake.gops[0].info.PixelInformation = (EFI_PIXEL_BITMASK){ 0xf00, 0x0f0, 0x00f, 0 };
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0);

	setup();			/* sizes of the framebuffer: too small, none */
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
	fake.gops[0].mode.FrameBufferSize = 800 * 590 * 4;
	boot_good();
	CHECK_EQ(find_handoff()->fb.height, 590);
	setup();
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
	fake.gops[0].mode.FrameBufferSize = 0;
	boot_good();
	CHECK_EQ(find_handoff()->fb.height, 600);
	CHECK_EQ(find_handoff()->fb.size, 800 * 600 * 4);
	setup();			/* no mode set, no info, pitch below width */
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 700);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 0, 0, 0);
	add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
	fake.gops[2].mode.Info = NULL;
	boot_good();
	CHECK_EQ(find_handoff()->fb.base, 0);
}

static void make_rsdp(uint8_t *p, uint8_t revision, uint32_t rsdt, uint64_t xsdt)
{
	uint32_t len = 36;
	uint8_t sum = 0;
	int i;

	memset(p, 0, 36);
	memcpy(p, "RSD PTR ", 8);
	p[15] = revision;
	memcpy(p + 16, &rsdt, 4);
	for (i = 0; i < 20; i++)
		sum -= p[i];
	p[8] = sum;
	if (revision < 2)
		return;
	memcpy(p + 20, &len, 4);
	memcpy(p + 24, &xsdt, 8);
	for (sum = 0, i = 0; i < 36; i++)
		sum -= p[i];
	p[32] = sum;
}

static void quirk_19_rsdp(void)
{
	static uint8_t a[36], b[36], c[36], d[36], sm3[24], sm[31];
	const EFI_GUID acpi10 = ACPI_TABLE_GUID, acpi20 = ACPI_20_TABLE_GUID;
	const EFI_GUID smbios = SMBIOS_TABLE_GUID, smbios3 = SMBIOS3_TABLE_GUID;
	uint8_t sum = 0;
	int i;

	setup();			/* broken first, then old, then good */
	make_rsdp(a, 2, 0x1000, 0x2000);
	a[16] ^= 1;
	make_rsdp(b, 0, 0x1000, 0);
	make_rsdp(c, 2, 0x1000, 0x2000);
	fake.tables[0] = (EFI_CONFIGURATION_TABLE){ acpi20, a };
	fake.tables[1] = (EFI_CONFIGURATION_TABLE){ acpi10, b };
	fake.tables[2] = (EFI_CONFIGURATION_TABLE){ acpi20, c };
	fake.tables[3] = (EFI_CONFIGURATION_TABLE){ acpi20, NULL };
	fake.nr_tables = 4;
	boot_good();
	CHECK_EQ(find_handoff()->rsdp, (uint64_t)c);
	setup();			/* extended checksum broken: RSDT is left */
	make_rsdp(d, 2, 0x1000, 0x2000);
	d[33] ^= 1;
	fake.tables[0] = (EFI_CONFIGURATION_TABLE){ acpi20, d };
	fake.nr_tables = 1;
	boot_good();
	CHECK_EQ(find_handoff()->rsdp, (uint64_t)d);
	setup();			/* only broken ones */
	fake.tables[0] = (EFI_CONFIGURATION_TABLE){ acpi20, a };
	fake.nr_tables = 1;
	boot_good();
	CHECK_EQ(find_handoff()->rsdp, 0);

	setup();
	memcpy(sm, "_SM_", 4);
	sm[5] = 31;
	for (i = 0; i < 31; i++)
		sum -= sm[i];
	sm[4] = sum;
	memcpy(sm3, "_SM3_", 5);
	sm3[6] = 24;
	for (sum = 0, i = 0; i < 24; i++)
		sum -= sm3[i];
	sm3[5] = sum;
	fake.tables[0] = (EFI_CONFIGURATION_TABLE){ smbios3, sm3 };
	fake.tables[1] = (EFI_CONFIGURATION_TABLE){ smbios, sm };
	fake.nr_tables = 2;
	boot_good();
	CHECK_EQ(find_handoff()->smbios, (uint64_t)sm3);
	CHECK_EQ(find_handoff()->smbios_major, 3);
}

static void quirk_23_entropy(void)
{
	uint8_t first[64];

	setup();
	fake.rng = true;
	fake.rdrand = false;
	boot_good();
	CHECK_EQ(find_handoff()->entropy_sources, HANDOFF_ENTROPY_EFI_RNG | HANDOFF_ENTROPY_TSC);
	CHECK_EQ(find_handoff()->entropy_good, 64);
	memcpy(first, find_handoff()->entropy, 64);
	setup();			/* the same RNG answer, another time: another seed */
	fake.rng = true;
	fake.rdrand = false;
	boot_good();
	CHECK(memcmp(first, find_handoff()->entropy, 64));
	setup();
	fake.rng = fake.rng_fails = true;
	fake.rdrand_stuck = true;
	boot_good();
	CHECK_EQ(find_handoff()->entropy_sources, HANDOFF_ENTROPY_TSC);
	CHECK_EQ(find_handoff()->entropy_good, 0);
}

int main(void)
{
	RUN(quirk_13_graphics);
	RUN(quirk_19_rsdp);
	RUN(quirk_23_entropy);
	return check_done();
}
