/*
 * The built EFI application as a file: what strict firmware wants of it (NX_COMPAT, sections of
 * 4 KiB and never writable and executable, .sbat), read from its PE headers.
 */
#include <stdbool.h>
#include "check.h"

#define PE_FILE "build/efi/BOOTX64.EFI"

static uint8_t *file;
static size_t file_len;

static uint32_t get(size_t at, uint32_t len)
{
	uint32_t v = 0;

	if (at + len > file_len)
		exit(1);
	memcpy(&v, file + at, len);
	return v;
}

static void read_file(void)
{
	FILE *f = fopen(PE_FILE, "rb");

	CHECK_OR_RETURN(f);
	file = malloc(1 << 20);
	file_len = fread(file, 1, 1 << 20, f);
	fclose(f);
	CHECK(file_len > 4096 && file_len < 1 << 20);
}

/* PE format: DOS header 0x3c, COFF header, optional header (PE32+), section table. */
static void pe_strict_firmware(void)
{
	size_t pe, opt, sect;
	uint32_t n, i, flags;
	bool sbat = false;

	read_file();
	CHECK_OR_RETURN(file_len > 4096);
	pe = get(0x3c, 4);
	opt = pe + 24;
	CHECK(!memcmp(file + pe, "PE\0\0", 4));
	CHECK_EQ(get(pe + 4, 2), 0x8664);
	CHECK_EQ(get(opt, 2), 0x20b);
	CHECK_EQ(get(opt + 68, 2), 10);			/* EFI application */
	CHECK(get(opt + 70, 2) & 0x100);		/* NX_COMPAT */
	CHECK(get(opt + 70, 2) & 0x40);			/* can be moved */
	CHECK_EQ(get(opt + 32, 4), 4096);		/* section alignment */
	CHECK(!(get(pe + 22, 2) & 1));			/* relocations not stripped */
	sect = opt + get(pe + 20, 2);
	n = get(pe + 6, 2);
	for (i = 0; i < n; i++, sect += 40) {
		flags = get(sect + 36, 4);
		CHECK((flags & 0xa0000000) != 0xa0000000);
		CHECK_EQ(get(sect + 12, 4) % 4096, 0);
		if (!memcmp(file + sect, ".sbat\0\0\0", 8)) {
			sbat = true;
			CHECK(!memcmp(file + get(sect + 20, 4), "sbat,1,", 7));
		}
	}
	CHECK(sbat);
	free(file);
}

int main(void)
{
	RUN(pe_strict_firmware);
	return check_done();
}
