/*
 * Pixels. Lines of 4 bytes a pixel are stored by words, which is nearly every screen there is; 2 and 3 bytes go by bytes: the
 * frame buffer is write-combining, so the stores leave the CPU together anyhow.
 */
#include <drivers/pixels.h>

static u32 channel(u32 value, u32 mask)
{
	u32 bits = (u32)__builtin_popcount(mask);

	if (!mask)
		return 0;
	value = bits >= 8 ? value << (bits - 8) : value >> (8 - bits);
	return value << __builtin_ctz(mask) & mask;
}

u32 pixel_of(u32 rgb, u32 red_mask, u32 green_mask, u32 blue_mask)
{
	return channel(rgb >> 16 & 255, red_mask) | channel(rgb >> 8 & 255, green_mask) | channel(rgb & 255, blue_mask);
}

void pixel_put(u8 *at, u32 pixel, u32 bytes)
{
	if (bytes == 4) {
		*(u32 *)(void *)at = pixel;
		return;
	}
	at[0] = (u8)pixel;
	at[1] = (u8)(pixel >> 8);
	if (bytes == 3)
		at[2] = (u8)(pixel >> 16);
}

void pixel_row(u8 *at, u8 bits, u32 fg, u32 bg, u32 bytes, u32 scale)
{
	u32 *p = (u32 *)(void *)at;

	if (bytes == 4 && scale == 1) {
		for (u32 x = 0; x < 8; x++, bits = (u8)(bits << 1))
			p[x] = bits & 0x80 ? fg : bg;
		return;
	}
	for (u32 x = 0; x < 8; x++, bits = (u8)(bits << 1))
		for (u32 i = 0; i < scale; i++, at += bytes)
			pixel_put(at, bits & 0x80 ? fg : bg, bytes);
}
