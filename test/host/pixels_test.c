// SOURCES: kernel/drivers/pixels.c
// CFLAGS: -DHOST_TEST
/* Every format the loader hands on: 32, 24 and 16 bits a pixel, red first and blue first, drawn at both scales and read back. */
#include "check.h"
#include <drivers/pixels.h>

static const struct { const char *name; u32 bytes, r, g, b; } formats[] = {
	{ "RGBX", 4, 0x0000ff, 0x00ff00, 0xff0000 },	  { "BGRX", 4, 0xff0000, 0x00ff00, 0x0000ff },
	{ "10 bits", 4, 0x3ff00000, 0xffc00, 0x3ff },	  { "RGB", 3, 0x0000ff, 0x00ff00, 0xff0000 },
	{ "BGR", 3, 0xff0000, 0x00ff00, 0x0000ff },	  { "565", 2, 0xf800, 0x07e0, 0x001f },
	{ "565 blue first", 2, 0x001f, 0x07e0, 0xf800 }, { "555", 2, 0x7c00, 0x03e0, 0x001f },
};

static u32 read_pixel(const u8 *at, u32 bytes)
{
	u32 v = 0;

	__builtin_memcpy(&v, at, bytes);
	return v;
}

/* The upper bits of a channel, as 8. */
static u32 shade(u32 pixel, u32 mask)
{
	u32 bits = (u32)__builtin_popcount(mask), v = (pixel & mask) >> __builtin_ctz(mask);

	return bits >= 8 ? v >> (bits - 8) : v << (8 - bits);
}

static void colours(void)
{
	for (u32 f = 0; f < sizeof(formats) / sizeof(*formats); f++)
		for (u32 rgb = 0; rgb < 0x1000000; rgb += 0x010307) {
			u32 p = pixel_of(rgb, formats[f].r, formats[f].g, formats[f].b), low = formats[f].bytes == 2 ? 7 : 0;

			CHECK((shade(p, formats[f].r) | low) == (rgb >> 16 | low));
			CHECK((shade(p, formats[f].g) | low) == ((rgb >> 8 & 255) | low));
			CHECK((shade(p, formats[f].b) | low) == ((rgb & 255) | low));
			CHECK(formats[f].bytes == 4 || !(p >> 8 * formats[f].bytes));
		}
}

/* A glyph line changes its own pixels and no byte beside them. */
static void rows(void)
{
	for (u32 f = 0; f < sizeof(formats) / sizeof(*formats); f++)
		for (u32 scale = 1; scale <= 2; scale++)
			for (u32 bits = 0; bits < 256; bits++) {
				u32 n = formats[f].bytes, fg = pixel_of(0xff8040, formats[f].r, formats[f].g, formats[f].b);
				u32 bg = pixel_of(0x102030, formats[f].r, formats[f].g, formats[f].b);
				u8 line[16 + 2 * 8 * 4 + 16] __attribute__((aligned(16)));

				__builtin_memset(line, 0xa5, sizeof(line));
				pixel_row(line + 16, (u8)bits, fg, bg, n, scale);
				for (u32 x = 0; x < 8 * scale; x++)
					CHECK_EQ(read_pixel(line + 16 + x * n, n), bits >> (7 - x / scale) & 1 ? fg : bg);
				for (u32 i = 0; i < 16; i++)
					CHECK(line[i] == 0xa5 && line[16 + 8 * scale * n + i] == 0xa5);
			}
}

int main(void)
{
	RUN(colours);
	RUN(rows);
	return check_done();
}
