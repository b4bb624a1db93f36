/* What vt_screen.c (cells and cursor) does for vt.c (bytes and sequences). Everything is clamped to the screen; counts may be too large. */
#ifndef KERNEL_DRIVERS_VT_IMPL_H
#define KERNEL_DRIVERS_VT_IMPL_H

#include <drivers/vt.h>

#define DEFAULT_FG 7
#define DEFAULT_BG 0

/* Blanks the columns [from, to) of a row. */
void screen_fill(struct vt *t, u32 row, u32 from, u32 to);
/* Moves the rows [top, bottom) by n; blank ones come in. */
void screen_scroll_up(struct vt *t, u32 top, u32 bottom, u32 n);
void screen_scroll_down(struct vt *t, u32 top, u32 bottom, u32 n);
/* The cursor to a place: inside the scrolling region in origin mode, else on the screen. */
void screen_go(struct vt *t, s32 row, s32 col);
/* One row down or up; at the border of the scrolling region its contents move instead. */
void screen_line_feed(struct vt *t);
void screen_reverse_feed(struct vt *t);
/* Cells at the cursor; the rest of the row moves. */
void screen_insert_cells(struct vt *t, u32 n);
void screen_delete_cells(struct vt *t, u32 n);
/* A character at the cursor, with pen, character set, insert mode and wrapping. */
void screen_put(struct vt *t, u32 code);
/* To the next tab stop. */
void screen_tab(struct vt *t);
/* Place, pen and character sets: ESC 7, ESC 8. */
void screen_save_cursor(struct vt *t);
void screen_restore_cursor(struct vt *t);
/* Everything but the parser's state as after power-on, blank. */
void screen_reset(struct vt *t);

#endif
