/*
 * The screen of a terminal: cells, cursor, pen, scrolling region. The parser (vt.c) says what to do to it.
 *
 * Every movement is clamped here and every row and column comes from a movement, so cells are only touched inside the array.
 */
#include "vt_impl.h"
#include <lib/compiler.h>
#include <lib/string.h>

static const u32 base_rgb[16] = {
	0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa,
	0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff,
};

u32 vt_rgb(u8 colour)
{
	static const u8 level[6] = { 0, 95, 135, 175, 215, 255 };
	u32 v = colour;

	if (v < 16)
		return base_rgb[v];
	if (v < 232) {
		v -= 16;
		return (u32)level[v / 36] << 16 | (u32)level[v / 6 % 6] << 8 | level[v % 6];
	}
	v = 8 + (v - 232) * 10;
	return v << 16 | v << 8 | v;
}

static void mark(struct vt *t, u32 row)
{
	t->dirty_first = min(t->dirty_first, row);
	t->dirty_last = max(t->dirty_last, row);
}

static struct vt_cell blank(struct vt *t)
{
	return (struct vt_cell){ .code = ' ', .fg = t->pen.fg, .bg = t->pen.bg };
}

void screen_fill(struct vt *t, u32 row, u32 from, u32 to)
{
	struct vt_cell b = blank(t);

	mark(t, row);
	for (u32 i = from; i < to && i < t->cols; i++)
		t->cells[row * t->cols + i] = b;
}

static void move_row(struct vt *t, u32 to, u32 from)
{
	mark(t, to);
	memmove(t->cells + (u64)to * t->cols, t->cells + (u64)from * t->cols, t->cols * sizeof(*t->cells));
}

/* Moves the lines [top, bottom) up by n. */
void screen_scroll_up(struct vt *t, u32 top, u32 bottom, u32 n)
{
	n = min(n, bottom - top);
	for (u32 r = top; r + n < bottom; r++)
		move_row(t, r, r + n);
	for (u32 r = bottom - n; r < bottom; r++)
		screen_fill(t, r, 0, t->cols);
}

void screen_scroll_down(struct vt *t, u32 top, u32 bottom, u32 n)
{
	n = min(n, bottom - top);
	for (u32 r = bottom; r-- > top + n;)
		move_row(t, r, r - n);
	for (u32 r = top; r < top + n; r++)
		screen_fill(t, r, 0, t->cols);
}

void screen_go(struct vt *t, s32 row, s32 col)
{
	s32 low = t->origin ? (s32)t->top : 0, high = t->origin ? (s32)t->bottom - 1 : (s32)t->rows - 1;

	t->row = (u32)clamp(row, low, high);
	t->col = (u32)clamp(col, 0, (s32)t->cols - 1);
	t->wrap_next = false;
}

void screen_line_feed(struct vt *t)
{
	if (t->row + 1 == t->bottom)
		screen_scroll_up(t, t->top, t->bottom, 1);
	else if (t->row + 1 < t->rows)
		t->row++;
	t->wrap_next = false;
}

void screen_reverse_feed(struct vt *t)
{
	if (t->row == t->top)
		screen_scroll_down(t, t->top, t->bottom, 1);
	else if (t->row)
		t->row--;
	t->wrap_next = false;
}

void screen_insert_cells(struct vt *t, u32 n)
{
	struct vt_cell *line = t->cells + (u64)t->row * t->cols;

	n = min(n, t->cols - t->col);
	mark(t, t->row);
	memmove(line + t->col + n, line + t->col, (t->cols - t->col - n) * sizeof(*line));
	screen_fill(t, t->row, t->col, t->col + n);
}

void screen_delete_cells(struct vt *t, u32 n)
{
	struct vt_cell *line = t->cells + (u64)t->row * t->cols;

	n = min(n, t->cols - t->col);
	mark(t, t->row);
	memmove(line + t->col, line + t->col + n, (t->cols - t->col - n) * sizeof(*line));
	screen_fill(t, t->row, t->cols - n, t->cols);
}

/* VT100 line drawing, from '_' on. */
static const u16 drawing_set[32] = {
	0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c,
	0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265,
	0x03c0, 0x2260, 0x00a3, 0x00b7,
};

void screen_put(struct vt *t, u32 code)
{
	struct vt_cell *c;
	u8 fg = t->pen.fg, bg = t->pen.bg;

	if (t->wrap_next && t->autowrap) {
		t->col = 0;
		screen_line_feed(t);
	}
	if (t->drawing[t->charset] && code >= 0x5f && code < 0x7f)
		code = drawing_set[code - 0x5f];
	if (t->insert)
		screen_insert_cells(t, 1);
	if (t->pen.bold && fg < 8)
		fg += 8;
	else if (t->pen.dim && fg == DEFAULT_FG)
		fg = 8;
	if (t->pen.reverse)
		swap(fg, bg);
	mark(t, t->row);
	c = &t->cells[(u64)t->row * t->cols + t->col];
	*c = (struct vt_cell){ .code = code, .fg = fg, .bg = bg, .underline = t->pen.underline };
	if (t->col + 1 < t->cols)
		t->col++;
	else
		t->wrap_next = true;
}

void screen_tab(struct vt *t)
{
	do
		t->col++;
	while (t->col < t->cols && t->col < VT_TAB_WORDS * 64 && !(t->tabs[t->col / 64] >> (t->col % 64) & 1));
	t->col = min(t->col, t->cols - 1);
	t->wrap_next = false;
}

static void default_tabs(struct vt *t)
{
	for (u32 i = 0; i < VT_TAB_WORDS; i++)
		t->tabs[i] = 0x0101010101010101ull;
}

void screen_save_cursor(struct vt *t)
{
	t->saved_row = t->row;
	t->saved_col = t->col;
	t->saved_pen = t->pen;
	t->saved_charset = t->charset;
	memcpy(t->saved_drawing, t->drawing, sizeof(t->drawing));
}

void screen_restore_cursor(struct vt *t)
{
	t->pen = t->saved_pen;
	t->charset = t->saved_charset;
	memcpy(t->drawing, t->saved_drawing, sizeof(t->drawing));
	t->row = min(t->saved_row, t->rows - 1);
	t->col = min(t->saved_col, t->cols - 1);
	t->wrap_next = false;
}

void screen_reset(struct vt *t)
{
	t->pen = (struct vt_pen){ .fg = DEFAULT_FG, .bg = DEFAULT_BG };
	t->top = 0;
	t->bottom = t->rows;
	t->cursor_on = t->autowrap = true;
	t->insert = t->origin = t->newline = t->app_cursor = false;
	t->drawing[0] = t->drawing[1] = false;
	t->charset = 0;
	default_tabs(t);
	for (u32 r = 0; r < t->rows; r++)
		screen_fill(t, r, 0, t->cols);
	screen_go(t, 0, 0);
	screen_save_cursor(t);
}
