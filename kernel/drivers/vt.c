/*
 * The terminal emulator (drivers/vt.h): a state machine over bytes (ECMA-48, and what "man 4 console_codes" describes).
 *
 * States: GROUND, ESC, CSI (parameters), OSC (skipped up to BEL or ST), CHARSET (one byte more), HASH. Control characters
 * act in every state; CAN and SUB abort a sequence. What a sequence does to the screen is vt_screen.c's.
 */
#include "vt_impl.h"
#include <lib/compiler.h>
#include <lib/string.h>

enum { GROUND, ESC, CSI, OSC, OSC_ESC, CHARSET_G0, CHARSET_G1, HASH };

/* --- CSI sequences --------------------------------------------------------------------------------- */

static u32 param(struct vt *t, u32 i, u32 otherwise)
{
	u32 v = i < t->nparams ? t->params[i] : 0;

	return v ? v : otherwise;
}

/* One of the six levels of the colour cube. */
static u32 cube_level(u32 v)
{
	return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
}

static s32 distance(u32 rgb, u32 r, u32 g, u32 b)
{
	s32 dr = (s32)(rgb >> 16) - (s32)r, dg = (s32)(rgb >> 8 & 255) - (s32)g, db = (s32)(rgb & 255) - (s32)b;

	return dr * dr + dg * dg + db * db;
}

/* The nearest of the cube, or of the 24 greys. */
static u8 nearest(u32 r, u32 g, u32 b)
{
	u8 cube = (u8)(16 + cube_level(r) * 36 + cube_level(g) * 6 + cube_level(b));
	u32 mean = (r + g + b) / 3;
	u8 grey = (u8)(232 + (mean < 8 ? 0 : min((mean - 3) / 10, 23u)));

	return distance(vt_rgb(grey), r, g, b) < distance(vt_rgb(cube), r, g, b) ? grey : cube;
}

/* 38;5;n and 38;2;r;g;b (and 48): returns how many parameters belong to it. */
static u32 extended_colour(struct vt *t, u32 i, u8 *colour)
{
	if (i + 1 >= t->nparams)
		return 0;
	if (t->params[i + 1] == 5 && i + 2 < t->nparams) {
		*colour = (u8)t->params[i + 2];
		return 2;
	}
	if (t->params[i + 1] == 2 && i + 4 < t->nparams) {
		*colour = nearest(t->params[i + 2] & 255, t->params[i + 3] & 255, t->params[i + 4] & 255);
		return 4;
	}
	return 1;
}

static void select_rendition(struct vt *t)
{
	struct vt_pen *p = &t->pen;

	for (u32 i = 0; i < max(t->nparams, 1u); i++) {
		u32 v = i < t->nparams ? t->params[i] : 0;

		if (v == 0)
			*p = (struct vt_pen){ .fg = DEFAULT_FG, .bg = DEFAULT_BG };
		else if (v == 1)
			p->bold = true;
		else if (v == 2)
			p->dim = true;
		else if (v == 4)
			p->underline = true;
		else if (v == 7)
			p->reverse = true;
		else if (v == 21 || v == 22)
			p->bold = p->dim = false;
		else if (v == 24)
			p->underline = false;
		else if (v == 27)
			p->reverse = false;
		else if (v >= 30 && v <= 37)
			p->fg = (u8)(v - 30);
		else if (v == 38)
			i += extended_colour(t, i, &p->fg);
		else if (v == 39)
			p->fg = DEFAULT_FG;
		else if (v >= 40 && v <= 47)
			p->bg = (u8)(v - 40);
		else if (v == 48)
			i += extended_colour(t, i, &p->bg);
		else if (v == 49)
			p->bg = DEFAULT_BG;
		else if (v >= 90 && v <= 97)
			p->fg = (u8)(v - 90 + 8);
		else if (v >= 100 && v <= 107)
			p->bg = (u8)(v - 100 + 8);
	}
}

static void erase_display(struct vt *t, u32 what)
{
	u32 from = what == 0 ? t->row + 1 : 0, to = what == 1 ? t->row : t->rows;

	if (what > 3)
		return;
	for (u32 r = from; r < to; r++)
		screen_fill(t, r, 0, t->cols);
	if (what == 0)
		screen_fill(t, t->row, t->col, t->cols);
	else if (what == 1)
		screen_fill(t, t->row, 0, t->col + 1);
}

static void erase_line(struct vt *t, u32 what)
{
	if (what == 0)
		screen_fill(t, t->row, t->col, t->cols);
	else if (what == 1)
		screen_fill(t, t->row, 0, t->col + 1);
	else if (what == 2)
		screen_fill(t, t->row, 0, t->cols);
}

static void set_mode(struct vt *t, bool on)
{
	for (u32 i = 0; i < t->nparams; i++) {
		u32 v = t->params[i];

		if (t->intermediate == '?') {
			if (v == 1)
				t->app_cursor = on;
			else if (v == 7)
				t->autowrap = on;
			else if (v == 25)
				t->cursor_on = on;
			else if (v == 6) {
				t->origin = on;
				screen_go(t, on ? (s32)t->top : 0, 0);
			} else if (v == 1049 || v == 47 || v == 1047) {
				/* no second screen: leave a clean one */
				if (on)
					screen_save_cursor(t);
				erase_display(t, 2);
				if (!on)
					screen_restore_cursor(t);
			}
		} else if (v == 4) {
			t->insert = on;
		} else if (v == 20) {
			t->newline = on;
		}
	}
}

static u32 decimal(char *to, u32 v)
{
	char digits[10];
	u32 n = 0, len = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		to[len++] = digits[--n];
	return len;
}

static void report(struct vt *t, u32 what)
{
	char buf[32] = "\033[";
	u32 n = 2;

	if (!t->reply)
		return;
	if (what == 5) {
		t->reply(t, "\033[0n", 4);
	} else if (what == 6) {
		n += decimal(buf + n, t->row + 1 - (t->origin ? t->top : 0));
		buf[n++] = ';';
		n += decimal(buf + n, t->col + 1);
		buf[n++] = 'R';
		t->reply(t, buf, n);
	}
}

static void set_region(struct vt *t)
{
	u32 top = param(t, 0, 1) - 1, bottom = min(param(t, 1, t->rows), t->rows);

	if (top + 1 >= bottom)
		return;
	t->top = top;
	t->bottom = bottom;
	screen_go(t, t->origin ? (s32)top : 0, 0);
}

static void csi_edit(struct vt *t, u8 c, u32 n)
{
	bool inside = t->row >= t->top && t->row < t->bottom;

	switch (c) {
	case '@':
		screen_insert_cells(t, n);
		break;
	case 'L':
		if (inside)
			screen_scroll_down(t, t->row, t->bottom, n);
		break;
	case 'M':
		if (inside)
			screen_scroll_up(t, t->row, t->bottom, n);
		break;
	case 'P':
		screen_delete_cells(t, n);
		break;
	case 'S':
		screen_scroll_up(t, t->top, t->bottom, n);
		break;
	case 'T':
		screen_scroll_down(t, t->top, t->bottom, n);
		break;
	case 'X':
		screen_fill(t, t->row, t->col, t->col + min(n, t->cols));
		break;
	}
	t->wrap_next = false;
}

static void csi_move(struct vt *t, u8 c, s32 n)
{
	s32 row = (s32)t->row, col = (s32)t->col, base = t->origin ? (s32)t->top : 0;
	/* up and down stop at the region's border when they start inside it */
	s32 low = t->row >= t->top ? (s32)t->top : 0, high = (s32)(t->row < t->bottom ? t->bottom : t->rows) - 1;

	switch (c) {
	case 'A':
		return screen_go(t, max(row - n, low), col);
	case 'B':
	case 'e':
		return screen_go(t, min(row + n, high), col);
	case 'C':
	case 'a':
		return screen_go(t, row, col + n);
	case 'D':
		return screen_go(t, row, col - n);
	case 'E':
		return screen_go(t, min(row + n, high), 0);
	case 'F':
		return screen_go(t, max(row - n, low), 0);
	case 'G':
	case '`':
		return screen_go(t, row, n - 1);
	case 'd':
		return screen_go(t, base + n - 1, col);
	case 'H':
	case 'f':
		return screen_go(t, base + n - 1, (s32)min(param(t, 1, 1), 100000u) - 1);
	}
}

static void csi(struct vt *t, u8 c)
{
	u32 n = min(param(t, 0, 1), 100000u), first = t->nparams ? t->params[0] : 0;

	t->state = GROUND;
	if (t->intermediate && t->intermediate != '?')
		return;
	switch (c) {
	case 'J':
		return erase_display(t, first);
	case 'K':
		return erase_line(t, first);
	case '@': case 'L': case 'M': case 'P': case 'S': case 'T': case 'X':
		return csi_edit(t, c, n);
	case 'A': case 'B': case 'C': case 'D': case 'E': case 'F': case 'G': case 'H': case 'a': case 'd': case 'e':
	case 'f': case '`':
		return csi_move(t, c, (s32)n);
	case 'c':
		if (t->reply && !t->intermediate && !first)
			t->reply(t, "\033[?6c", 5);
		return;
	case 'g':
		if (first == 3)
			memset(t->tabs, 0, sizeof(t->tabs));
		else if (first == 0 && t->col < VT_TAB_WORDS * 64)
			t->tabs[t->col / 64] &= ~(1ull << (t->col % 64));
		return;
	case 'h':
		return set_mode(t, true);
	case 'l':
		return set_mode(t, false);
	case 'm':
		if (!t->intermediate)
			select_rendition(t);
		return;
	case 'n':
		return report(t, first);
	case 'r':
		if (!t->intermediate)
			set_region(t);
		return;
	case 's':
		return screen_save_cursor(t);
	case 'u':
		return screen_restore_cursor(t);
	}
}

static void csi_byte(struct vt *t, u8 c)
{
	if (c >= '0' && c <= '9') {
		u32 *p = &t->params[t->nparams ? t->nparams - 1 : 0];

		if (!t->nparams)
			t->nparams = 1;
		if (*p < 100000)
			*p = *p * 10 + c - '0';
	} else if (c == ';' || c == ':') {
		if (!t->nparams)
			t->nparams = 1;
		if (t->nparams < VT_PARAMS)
			t->params[t->nparams++] = 0;
	} else if (c >= 0x40 && c <= 0x7e) {
		csi(t, c);
	} else {
		t->intermediate = c;
	}
}

static void escape(struct vt *t, u8 c)
{
	t->state = GROUND;
	switch (c) {
	case '[':
		t->state = CSI;
		t->intermediate = 0;
		t->nparams = 0;
		memset(t->params, 0, sizeof(t->params));
		break;
	case ']':
	case 'P':
	case '_':
	case '^':
		t->state = OSC;
		break;
	case '(':
		t->state = CHARSET_G0;
		break;
	case ')':
		t->state = CHARSET_G1;
		break;
	case '#':
	case '%':
		t->state = HASH;
		break;
	case 'c':
		screen_reset(t);
		break;
	case 'D':
		screen_line_feed(t);
		break;
	case 'E':
		t->col = 0;
		screen_line_feed(t);
		break;
	case 'H':
		if (t->col < VT_TAB_WORDS * 64)
			t->tabs[t->col / 64] |= 1ull << (t->col % 64);
		break;
	case 'M':
		screen_reverse_feed(t);
		break;
	case 'Z':
		if (t->reply)
			t->reply(t, "\033[?6c", 5);
		break;
	case '7':
		screen_save_cursor(t);
		break;
	case '8':
		screen_restore_cursor(t);
		break;
	}
}

/* --- bytes ----------------------------------------------------------------------------------------- */

static void control(struct vt *t, u8 c)
{
	switch (c) {
	case '\b':
		if (t->col)
			t->col--;
		t->wrap_next = false;
		break;
	case '\t':
		screen_tab(t);
		break;
	case '\n':
	case '\v':
	case '\f':
		if (t->newline)
			t->col = 0;
		screen_line_feed(t);
		break;
	case '\r':
		t->col = 0;
		t->wrap_next = false;
		break;
	case 0x0e:
		t->charset = 1;
		break;
	case 0x0f:
		t->charset = 0;
		break;
	case 0x18:
	case 0x1a:
		t->state = GROUND;
		break;
	case 0x1b:
		t->state = ESC;
		break;
	}
}

/* UTF-8; malformed input shows the replacement character once per broken sequence. */
static void text(struct vt *t, u8 c)
{
	if (t->utf8_left) {
		if ((c & 0xc0) == 0x80) {
			t->utf8_code = t->utf8_code << 6 | (c & 0x3f);
			if (--t->utf8_left)
				return;
			if (t->utf8_code < t->utf8_min || t->utf8_code > 0x10ffff ||
			    (t->utf8_code >= 0xd800 && t->utf8_code < 0xe000))
				t->utf8_code = 0xfffd;
			screen_put(t, t->utf8_code);
			return;
		}
		t->utf8_left = 0;
		screen_put(t, 0xfffd);
	}
	if (c < 0x80) {
		screen_put(t, c);
	} else if (c >= 0xc2 && c < 0xf5) {
		t->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		t->utf8_min = c < 0xe0 ? 0x80 : c < 0xf0 ? 0x800 : 0x10000;
		t->utf8_code = c & (0x3f >> t->utf8_left);
	} else {
		screen_put(t, 0xfffd);
	}
}

static void byte(struct vt *t, u8 c)
{
	if (t->state == OSC || t->state == OSC_ESC) {
		if (c == '\a' || c == 0x18 || c == 0x1a || (t->state == OSC_ESC && c == '\\'))
			t->state = GROUND;
		else
			t->state = c == 0x1b ? OSC_ESC : OSC;
		return;
	}
	if (c < 0x20) {
		t->utf8_left = 0;
		control(t, c);
		return;
	}
	if (c == 0x7f)
		return;
	switch (t->state) {
	case GROUND:
		text(t, c);
		break;
	case ESC:
		escape(t, c);
		break;
	case CSI:
		csi_byte(t, c);
		break;
	case CHARSET_G0:
	case CHARSET_G1:
		t->drawing[t->state == CHARSET_G1] = c == '0';
		t->state = GROUND;
		break;
	default:
		t->state = GROUND;
		break;
	}
}

void vt_write(struct vt *t, const u8 *s, u32 n)
{
	for (u32 i = 0; i < n; i++)
		byte(t, s[i]);
}

void vt_init(struct vt *t, struct vt_cell *cells, u32 rows, u32 cols)
{
	memset(t, 0, sizeof(*t));
	t->cells = cells;
	t->rows = rows;
	t->cols = cols;
	screen_reset(t);
}
