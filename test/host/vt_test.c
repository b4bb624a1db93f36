// SOURCES: kernel/drivers/vt.c kernel/drivers/vt_screen.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* The console's terminal emulator: what a screen shows after bytes. */
#include "check.h"
#include <drivers/vt.h>

#define ROWS 5
#define COLS 10

static struct vt_cell cells[ROWS * COLS];
static struct vt t;
static char answer[64];

static void on_reply(struct vt *vt, const char *s, u32 n)
{
	memcpy(answer, s, n);
	answer[n] = 0;
}

static void show(const char *s)
{
	vt_write(&t, (const u8 *)s, strlen(s));
}

static void start(const char *s)
{
	vt_init(&t, cells, ROWS, COLS);
	t.reply = on_reply;
	answer[0] = 0;
	show(s);
}

/* A row as text, blanks at the end cut, other characters than ASCII as '#'. */
static const char *row(int r)
{
	static char buf[4][COLS + 1];
	static int turn;
	char *b = buf[turn = (turn + 1) % 4];
	int n = 0;

	for (int i = 0; i < COLS; i++) {
		u32 c = cells[r * COLS + i].code;

		b[i] = c < 128 ? (char)c : '#';
		if (c != ' ')
			n = i + 1;
	}
	b[n] = 0;
	return b;
}

static void text_and_line_ends(void)
{
	start("one\r\ntwo\nx");
	CHECK_STR(row(0), "one");
	CHECK_STR(row(1), "two");
	CHECK_STR(row(2), "   x");
	CHECK_EQ(t.row, 2);
	CHECK_EQ(t.col, 4);
}

static void wraps_only_when_more_comes(void)
{
	start("0123456789");
	CHECK_EQ(t.row, 0);
	CHECK_EQ(t.col, 9);
	show("a");
	CHECK_STR(row(1), "a");
	start("\033[?7l0123456789ab");
	CHECK_STR(row(0), "012345678b");
}

static void scrolls_at_the_bottom(void)
{
	start("1\r\n2\r\n3\r\n4\r\n5\r\n6");
	CHECK_STR(row(0), "2");
	CHECK_STR(row(4), "6");
	show("\033[1;1H\033M");
	CHECK_STR(row(0), "");
	CHECK_STR(row(1), "2");
}

static void region_keeps_the_rest(void)
{
	start("a\r\nb\r\nc\r\nd\r\ne\033[2;4r\033[4;1H\nX");
	CHECK_STR(row(0), "a");
	CHECK_STR(row(1), "c");
	CHECK_STR(row(2), "d");
	CHECK_STR(row(3), "X");
	CHECK_STR(row(4), "e");
}

static void cursor_is_clamped(void)
{
	start("\033[99;99Hx\033[99A\033[99Dy\033[99999999999999999Cz");
	CHECK_STR(row(4), "         x");
	CHECK_EQ(cells[0].code, 'y');
	CHECK_EQ(cells[9].code, 'z');
}

static void erases(void)
{
	start("0123456789\033[1;4H\033[K");
	CHECK_STR(row(0), "012");
	start("0123456789\033[1;4H\033[1K");
	CHECK_STR(row(0), "    456789");
	start("abc\r\ndef\033[2J");
	CHECK_STR(row(0), "");
	CHECK_STR(row(1), "");
	CHECK_EQ(t.row, 1);
	start("0123456789\033[1;3H\033[2P");
	CHECK_STR(row(0), "01456789");
	start("0123456789\033[1;3H\033[2@");
	CHECK_STR(row(0), "01  234567");
	start("a\r\nb\r\nc\033[2;1H\033[L");
	CHECK_STR(row(1), "");
	CHECK_STR(row(2), "b");
	show("\033[2M");
	CHECK_STR(row(1), "c");
}

static void colours(void)
{
	start("\033[31;44mA\033[1mB\033[0mC\033[7mD\033[38;5;196;48;2;255;255;255mE\033[0;95mF");
	CHECK_EQ(cells[0].fg, 1);
	CHECK_EQ(cells[0].bg, 4);
	CHECK_EQ(cells[1].fg, 9);
	CHECK_EQ(cells[2].fg, 7);
	CHECK_EQ(cells[3].bg, 7);
	CHECK_EQ(cells[4].bg, 196);
	CHECK_EQ(cells[4].fg, 231);
	CHECK_EQ(cells[5].fg, 13);
	start("\033[38;2;48;48;48;48;2;95;175;255mA\033[38;2;60;0;0;48;2;130;140;136mB\033[38;2;0;0;0;48;2;255;255;255mC");
	CHECK_EQ(cells[0].fg, 236); /* a grey of the ramp */
	CHECK_EQ(cells[0].bg, 75);
	CHECK_EQ(cells[1].fg, 52);
	CHECK_EQ(cells[1].bg, 102);
	CHECK_EQ(vt_rgb(cells[2].fg), 0);
	CHECK_EQ(vt_rgb(cells[2].bg), 0xffffff);
	CHECK_EQ(vt_rgb(196), 0xff0000);
	CHECK_EQ(vt_rgb(231), 0xffffff);
	CHECK_EQ(vt_rgb(232), 0x080808);
}

static void utf8(void)
{
	start("\xc3\xa4\xe2\x94\x80\xf0\x9f\x98\x80z");
	CHECK_EQ(cells[0].code, 0xe4);
	CHECK_EQ(cells[1].code, 0x2500);
	CHECK_EQ(cells[2].code, 0x1f600);
	CHECK_EQ(cells[3].code, 'z');
	start("\xff\xc3z\xc0\x80\xed\xa0\x80!");
	CHECK_EQ(cells[0].code, 0xfffd);
	CHECK_EQ(cells[1].code, 0xfffd);
	CHECK_EQ(cells[2].code, 'z');
	CHECK_EQ(cells[6].code, '!');
}

static void line_drawing(void)
{
	start("\033(0qx\033(Bq\033)0\016l\017l");
	CHECK_EQ(cells[0].code, 0x2500);
	CHECK_EQ(cells[1].code, 0x2502);
	CHECK_EQ(cells[2].code, 'q');
	CHECK_EQ(cells[3].code, 0x250c);
	CHECK_EQ(cells[4].code, 'l');
}

static void reports(void)
{
	start("\033[3;4H\033[6n");
	CHECK_STR(answer, "\033[3;4R");
	show("\033[5n");
	CHECK_STR(answer, "\033[0n");
	show("\033[c");
	CHECK_STR(answer, "\033[?6c");
}

static void save_and_restore(void)
{
	start("\033[2;3H\033[32m\0337\033[H\033[0mA\0338B");
	CHECK_EQ(cells[0].code, 'A');
	CHECK_EQ(cells[COLS + 2].code, 'B');
	CHECK_EQ(cells[COLS + 2].fg, 2);
}

static void other_sequences_leave_nothing(void)
{
	start("\033]0;title\aA\033]x\033\\B\033[?25lC\033%GD\033[>cE\033[1;2\030F\033#8G");
	CHECK_STR(row(0), "ABCDEFG");
	CHECK_EQ(t.cursor_on, 0);
}

static void tabs(void)
{
	start("a\tb\tc");
	CHECK_EQ(cells[8].code, 'b');
	CHECK_EQ(cells[9].code, 'c');
	start("\033[3g\033[1;4H\033H\r\tx");
	CHECK_EQ(cells[3].code, 'x');
}

/* Whatever comes, the cursor and the cells stay inside (the sanitizers watch the array). */
static void random_bytes(void)
{
	uint64_t s = 88172645463325252ull;
	static const char alphabet[] = "\033[[[;;?0123456789ABCDHJKLMPSTXhlmnrsu@\n\r\t\b(0)AZ\016\017\x9f\xc3\xe2";

	start("");
	for (int i = 0; i < 300000; i++) {
		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		u8 c = s % 16 ? (u8)alphabet[s / 16 % (sizeof(alphabet) - 1)] : (u8)(s >> 40);

		vt_write(&t, &c, 1);
		if (t.row >= ROWS || t.col >= COLS || t.top >= t.bottom || t.bottom > ROWS) {
			CHECK(!"outside");
			return;
		}
	}
}

int main(void)
{
	RUN(text_and_line_ends);
	RUN(wraps_only_when_more_comes);
	RUN(scrolls_at_the_bottom);
	RUN(region_keeps_the_rest);
	RUN(cursor_is_clamped);
	RUN(erases);
	RUN(colours);
	RUN(utf8);
	RUN(line_drawing);
	RUN(reports);
	RUN(save_and_restore);
	RUN(other_sequences_leave_nothing);
	RUN(tabs);
	RUN(random_bytes);
	return check_done();
}
