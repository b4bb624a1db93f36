/*
 * The framebuffer console: a terminal (vt.c) drawn with the built-in font, as a kernel console and as tty1.
 *
 * The frame buffer is mapped write-combining and never read: what is on the screen is remembered as cells (shown), and after
 * each write the rows the terminal marked are compared and only differing cells drawn. So scrolling is moving cells in RAM,
 * and a burst of output draws each cell once. On screens of 2560 pixels and more each glyph pixel is drawn double.
 *
 * fb_lock (irqs off) protects terminal and screen. Answers to reports are sent by a work item: the terminal layer that called
 * us may hold its own locks.
 */
#include <boot/handoff.h>
#include <drivers/drivers.h>
#include <drivers/font.h>
#include <drivers/pixels.h>
#include <drivers/vt.h>
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/vmalloc.h>
#include <x86/io.h>
#include <x86/layout.h>

static DEFINE_SPINLOCK(fb_lock);
static struct vt vt; /* (fb_lock) */
static struct vt_cell *shown; /* (fb_lock) what the screen shows */
static u32 cursor_at; /* (fb_lock) index of the cell drawn as cursor, ~0 none */

static u8 *frame; /* (I) mapped frame buffer; NULL: no screen */
static u32 pitch, scale, bytes; /* (I) bytes of a line and of a pixel */
static u32 pixel[256]; /* (I) colours in the buffer's format */
static struct tty_backend backend;
static bool tty_ready;

#define REPLY_MAX 64
static char reply_buf[REPLY_MAX]; /* (fb_lock) */
static u32 reply_len; /* (fb_lock) */
static void send_reply(struct work *w);
static struct work reply_work = WORK_INIT(send_reply);

static void make_palette(const struct handoff_framebuffer *fb)
{
	for (u32 i = 0; i < 256; i++) {
		pixel[i] = pixel_of(vt_rgb((u8)i), fb->red_mask, fb->green_mask, fb->blue_mask);
	}
}

static void draw_cell(u32 row, u32 col, struct vt_cell c, bool cursor)
{
	const u8 *glyph = font_glyph(c.code);
	u32 fg = pixel[cursor ? c.bg : c.fg], bg = pixel[cursor ? c.fg : c.bg];
	u8 *at = frame + (u64)row * FONT_HEIGHT * scale * pitch + (u64)col * FONT_WIDTH * scale * bytes;

	for (u32 y = 0; y < FONT_HEIGHT * scale; y++, at += pitch)
		pixel_row(at, c.underline && y / scale == FONT_HEIGHT - 2 ? 0xff : glyph[y / scale], fg, bg, bytes, scale);
}

static bool same(const struct vt_cell *a, const struct vt_cell *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Brings the screen up to date with the terminal. => fb_lock */
static void flush(void)
{
	u32 now = vt.cursor_on ? vt.row * vt.cols + vt.col : ~0u, old = cursor_at;

	for (u32 row = vt.dirty_first; row <= vt.dirty_last && row < vt.rows; row++) {
		u32 first = row * vt.cols;

		for (u32 i = first; i < first + vt.cols; i++) {
			if (same(&vt.cells[i], &shown[i]))
				continue;
			shown[i] = vt.cells[i];
			draw_cell(row, i - first, shown[i], i == now);
			if (i == old && i != now)
				old = ~0u;
		}
	}
	vt.dirty_first = ~0u;
	vt.dirty_last = 0;
	if (old != ~0u && old != now)
		draw_cell(old / vt.cols, old % vt.cols, shown[old], false);
	if (now != ~0u)
		draw_cell(vt.row, vt.col, shown[now], true);
	cursor_at = now;
}

static void on_reply(struct vt *t, const char *s, u32 n)
{
	if (reply_len + n > REPLY_MAX)
		return;
	memcpy(reply_buf + reply_len, s, n);
	reply_len += n;
}

static void send_reply(struct work *w)
{
	char buf[REPLY_MAX];
	u32 n;

	spin_lock_irq(&fb_lock);
	n = reply_len;
	memcpy(buf, reply_buf, n);
	reply_len = 0;
	spin_unlock_irq(&fb_lock);
	if (n)
		tty_backend_input(&backend, (u8 *)buf, n);
}

/* --- console --------------------------------------------------------------------------------------- */

static void console_write(struct console *c, const char *s, size_t n)
{
	u64 flags;

	spin_lock_irqsave(&fb_lock, flags);
	for (size_t i = 0, start = 0; i <= n; i++) {
		if (i < n && s[i] != '\n')
			continue;
		vt_write(&vt, (const u8 *)s + start, (u32)(i - start));
		if (i < n)
			vt_write(&vt, (const u8 *)"\r\n", 2);
		start = i + 1;
	}
	flush();
	__spin_release(&fb_lock);
	local_irq_restore(flags);
	preempt_enable_no_resched(); /* a console may be written with the run queue locked */
}

static void console_panic(struct console *c)
{
	spin_lock_init(&fb_lock);
	/* whatever a program left: whole screen, default colours */
	vt_write(&vt, (const u8 *)"\030\033[r\033[0m\033[999;1H\r\n", 21);
}

static struct console fb_console = { .name = "tty1", .write = console_write, .panic_enter = console_panic };

/* --- tty1 ------------------------------------------------------------------------------------------ */

static u32 tty_write(struct tty_backend *b, const u8 *s, u32 n)
{
	bool reply;
	u64 flags;

	spin_lock_irqsave(&fb_lock, flags);
	vt_write(&vt, s, n);
	flush();
	reply = reply_len;
	spin_unlock_irqrestore(&fb_lock, flags);
	if (reply)
		schedule_work(&reply_work);
	return n;
}

static void tty_winsize(struct tty_backend *b, u16 *rows, u16 *cols)
{
	*rows = (u16)vt.rows;
	*cols = (u16)vt.cols;
}

struct tty_backend *fbcon_backend(void)
{
	return tty_ready ? &backend : NULL;
}

bool fbcon_app_cursor(void)
{
	return READ_ONCE(vt.app_cursor);
}

/* --- bring-up -------------------------------------------------------------------------------------- */

static bool usable(const struct handoff_framebuffer *fb)
{
	u32 n = fb->bits_per_pixel / 8;

	return fb->base && (n == 2 || n == 3 || n == 4) && fb->width >= 80 * FONT_WIDTH && fb->height >= 24 * FONT_HEIGHT &&
	       fb->pitch >= (u64)fb->width * n && fb->size >= (u64)fb->pitch * (fb->height - 1) + (u64)fb->width * n;
}

static void clear_screen(const struct handoff_framebuffer *fb)
{
	for (u32 y = 0; y < fb->height; y++) {
		u8 *at = frame + (u64)y * pitch;

		for (u32 x = 0; x < fb->width; x++, at += bytes)
			pixel_put(at, pixel[0], bytes);
	}
}

void fbcon_init(const struct handoff *h)
{
	const struct handoff_framebuffer *fb = &h->fb;
	struct vt_cell *cells;
	u32 rows, cols;
	u8 *map;

	if (!usable(fb))
		return;
	scale = fb->width >= 2560 ? 2 : 1;
	rows = fb->height / (FONT_HEIGHT * scale);
	cols = fb->width / (FONT_WIDTH * scale);
	cells = vzalloc(2ull * rows * cols * sizeof(*cells));
	map = cells ? ioremap(fb->base, (u64)fb->pitch * fb->height, CACHE_WC) : NULL;
	if (!map) {
		vfree(cells);
		pr_err("fbcon: no memory for the screen");
		return;
	}
	shown = cells + rows * cols;
	pitch = fb->pitch;
	bytes = fb->bits_per_pixel / 8;
	make_palette(fb);
	vt_init(&vt, cells, rows, cols);
	vt.reply = on_reply;
	memcpy(shown, cells, (u64)rows * cols * sizeof(*cells));
	cursor_at = ~0u;
	frame = map;
	clear_screen(fb);
	console_register(&fb_console);
	backend = (struct tty_backend){ .name = "tty1", .major = 4, .minor = 1, .write = tty_write,
					.winsize = tty_winsize };
	tty_ready = tty_backend_register(&backend) == 0;
	pr_info("fbcon: %ux%u pixels of %u bits, %ux%u characters", fb->width, fb->height, fb->bits_per_pixel, cols, rows);
}
