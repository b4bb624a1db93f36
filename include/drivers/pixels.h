/*
 * Pixels of a linear framebuffer: 2, 3 or 4 bytes, little endian, a mask of bits for each colour (UEFI 2.10, 12.9).
 * Pure: the host tests draw with it too.
 */
#ifndef DRIVERS_PIXELS_H
#define DRIVERS_PIXELS_H

#include <lib/types.h>

/* A colour 0xrrggbb in the format the masks describe. */
u32 pixel_of(u32 rgb, u32 red_mask, u32 green_mask, u32 blue_mask);
/* Stores one pixel of @bytes bytes. */
void pixel_put(u8 *at, u32 pixel, u32 bytes);
/* One line of a glyph, the leftmost pixel in bit 7, each @scale pixels wide. */
void pixel_row(u8 *at, u8 bits, u32 fg, u32 bg, u32 bytes, u32 scale);

#endif
