/*
 * The console's bitmap font: 8x16 glyphs by Unicode code point, made at build time by kernel/drivers/mkfont
 * from Debian's unifont package.
 *
 * font_ranges is sorted by code point; glyph 0 is the one for everything that is not there. A glyph has 16
 * rows of one byte, top first, the highest bit left.
 */
#ifndef DRIVERS_FONT_H
#define DRIVERS_FONT_H

#include <lib/types.h>

#define FONT_WIDTH 8
#define FONT_HEIGHT 16

struct font_range {
	u32 first, last; /* code points, both included */
	u32 glyph; /* index of first's glyph */
};
extern const u32 font_nranges;
extern const struct font_range font_ranges[];
extern const u8 font_glyphs[][FONT_HEIGHT];

/* The rows of a code point's glyph, the replacement's when the font has none. */
static inline const u8 *font_glyph(u32 code)
{
	u32 low = 0, high = font_nranges;

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (code > font_ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == font_nranges || code < font_ranges[low].first)
		return font_glyphs[0];
	return font_glyphs[font_ranges[low].glyph + code - font_ranges[low].first];
}

#endif
