/*
 * A terminal as an array of cells: what the screen should show. Pure: no lock, no memory of its own.
 *
 * Understands UTF-8 and the control sequences of a Linux console ("TERM=linux"): cursor movement, erasing, inserting and
 * deleting, scrolling regions, colours (16, 256 and direct colours brought to 256), save and restore, line drawing,
 * reports. The owner draws the cells that changed and shows the cursor.
 */
#ifndef DRIVERS_VT_H
#define DRIVERS_VT_H

#include <lib/types.h>

struct vt_cell {
	u32 code : 21; /* Unicode code point */
	u32 underline : 1;
	u32 spare : 10;
	u8 fg, bg; /* of the 256 colours */
	u16 pad;
};

#define VT_PARAMS 16
#define VT_TAB_WORDS 8 /* 512 columns */

struct vt_pen {
	u8 fg, bg;
	bool bold, dim, underline, reverse;
};

struct vt {
	u32 rows, cols;
	struct vt_cell *cells; /* rows * cols, the owner's */
	u32 dirty_first, dirty_last; /* rows changed since the owner drew; first > last: none */
	u32 row, col;
	bool wrap_next; /* the last column was written: the next character goes to the next line */
	u32 top, bottom; /* scrolling region, bottom exclusive */
	struct vt_pen pen, saved_pen;
	u32 saved_row, saved_col;
	bool cursor_on, autowrap, insert, origin, newline, app_cursor;
	bool drawing[2], saved_drawing[2]; /* G0, G1 hold line drawing */
	u8 charset, saved_charset; /* G0 or G1 in use */
	u64 tabs[VT_TAB_WORDS];
	/* parser */
	u8 state;
	u8 intermediate; /* '?' and the like after CSI */
	u32 params[VT_PARAMS], nparams;
	u32 utf8_code, utf8_left, utf8_min;
	/* answers to reports: the owner sends them as input. May be NULL. */
	void (*reply)(struct vt *t, const char *s, u32 n);
};

/* Default state, blank cells. */
void vt_init(struct vt *t, struct vt_cell *cells, u32 rows, u32 cols);
void vt_write(struct vt *t, const u8 *s, u32 n);
/* Red, green and blue of one of the 256 colours, 8 bits each, as 0xRRGGBB. */
u32 vt_rgb(u8 colour);

#endif
