/*
 * The PS/2 keyboard behind an i8042, as input of tty1: scan code set 1 (the controller translates), US layout.
 *
 * Keys become the bytes a Linux console sends: characters in the terminal's encoding, "\033[A" and the like for the others.
 * Control takes the low five bits, Alt puts an escape in front. Everything waits in the controller with a bounded number
 * of polls: laptops without one must not stall the boot.
 */
#include <drivers/drivers.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <kernel/time.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <x86/acpi.h>
#include <x86/cpu.h>
#include <x86/io.h>

#define DATA 0x60
#define STATUS 0x64 /* write: command */
#define ST_OUT 0x01 /* a byte for us */
#define ST_IN 0x02 /* the controller has not taken ours */
#define ST_AUX 0x20 /* the byte is the mouse's */

#define CMD_READ_CONFIG 0x20
#define CMD_WRITE_CONFIG 0x60
#define CMD_DISABLE_AUX 0xa7
#define CMD_SELF_TEST 0xaa
#define CMD_DISABLE_KBD 0xad
#define CMD_ENABLE_KBD 0xae
#define CONFIG_IRQ1 0x01
#define CONFIG_IRQ12 0x02
#define CONFIG_KBD_OFF 0x10
#define CONFIG_TRANSLATE 0x40
#define KBD_LEDS 0xed
#define KBD_ENABLE 0xf4

/* Scan codes of set 1 with a meaning of their own. */
enum { SC_CTRL = 0x1d, SC_LSHIFT = 0x2a, SC_RSHIFT = 0x36, SC_ALT = 0x38, SC_CAPS = 0x3a, SC_F1 = 0x3b, SC_F10 = 0x44,
       SC_NUM = 0x45, SC_PAD = 0x47, SC_PAD_END = 0x53, SC_F11 = 0x57, SC_F12 = 0x58, SC_EXT = 0xe0, SC_PAUSE = 0xe1 };

static const char plain[] = "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
static const char pad_digits[] = "789-456+1230.";
/* What the pad's keys send without Num Lock, and the grey ones always: final letter, or digit before '~'. */
static const char pad_keys[] = "1A5-DGC+4B623"; /* Home Up PgUp - Left 5 Right + End Down PgDn Ins Del */

static bool shift, ctrl, alt, caps, num = true, extended;
static u8 skip; /* bytes of a Pause sequence to ignore */

static bool wait_in(void)
{
	for (int i = 0; i < 20000; i++) {
		if (!(inb(STATUS) & ST_IN))
			return true;
		udelay(5);
	}
	return false;
}

static int read_byte(void)
{
	for (int i = 0; i < 20000; i++) {
		if (inb(STATUS) & ST_OUT)
			return inb(DATA);
		udelay(5);
	}
	return -1;
}

static bool command(u8 c)
{
	if (!wait_in())
		return false;
	outb(STATUS, c);
	return true;
}

static bool command_data(u8 c, u8 data)
{
	if (!command(c) || !wait_in())
		return false;
	outb(DATA, data);
	return true;
}

static void drain(void)
{
	for (int i = 0; i < 64 && (inb(STATUS) & ST_OUT); i++)
		(void)inb(DATA);
}

/* --- keys to bytes --------------------------------------------------------------------------------- */

static void send(const char *s, u32 n)
{
	struct tty_backend *b = fbcon_backend();

	if (b && n)
		tty_backend_input(b, (const u8 *)s, n);
}

static void set_leds(void)
{
	if (wait_in())
		outb(DATA, KBD_LEDS);
	if (wait_in())
		outb(DATA, (num ? 2 : 0) | (caps ? 4 : 0));
	/* the two acknowledgements (FAh) come through the interrupt and are ignored */
}

static void send_char(char c)
{
	char buf[2] = { '\033', c };

	if (caps && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
		c ^= 0x20;
	if (ctrl) {
		if (c == ' ' || c == '2')
			c = 0;
		else if (c == '/')
			c = 0x1f;
		else if (c >= 0x40 && c < 0x7f)
			c &= 0x1f;
	}
	buf[1] = c;
	send(alt ? buf : buf + 1, alt ? 2 : 1);
}

static void send_key(char k)
{
	char buf[4] = { '\033', '[', k, '~' };

	if (k >= 'A') {
		if (fbcon_app_cursor())
			buf[1] = 'O';
		send(buf, 3);
	} else {
		send(buf, 4);
	}
}

static void function_key(u32 n)
{
	static const u8 codes[12] = { 0, 0, 0, 0, 0, 17, 18, 19, 20, 21, 23, 24 };
	char buf[5] = { '\033', '[', '[', (char)('A' + n), '~' };

	if (n < 5) {
		send(buf, 4);
		return;
	}
	buf[2] = (char)('0' + codes[n] / 10);
	buf[3] = (char)('0' + codes[n] % 10);
	send(buf, 5);
}

static void pad(u8 code, bool grey)
{
	u8 i = code - SC_PAD;
	char k = pad_keys[i];

	if (!grey && (num || k == '-' || k == '+'))
		send_char(pad_digits[i]);
	else if (k != '-' && k != '+')
		send_key(k);
}

static bool modifier(u8 code, bool down)
{
	switch (code) {
	case SC_CTRL:
		ctrl = down;
		return true;
	case SC_LSHIFT:
	case SC_RSHIFT:
		if (!extended) /* E0 2A is a made-up shift around grey keys */
			shift = down;
		return true;
	case SC_ALT:
		alt = down;
		return true;
	case SC_CAPS:
	case SC_NUM:
		if (down) {
			if (code == SC_CAPS)
				caps = !caps;
			else
				num = !num;
			set_leds();
		}
		return true;
	}
	return false;
}

static void key(u8 code, bool down)
{
	if (modifier(code, down) || !down)
		return;
	if (code >= SC_PAD && code <= SC_PAD_END) {
		if (ctrl && alt && code == SC_PAD_END) {
			pr_notice("keyboard: Ctrl-Alt-Del");
			machine_reboot();
		}
		pad(code, extended);
	} else if (code >= SC_F1 && code <= SC_F10) {
		function_key(code - SC_F1);
	} else if (code == SC_F11 || code == SC_F12) {
		function_key(code - SC_F11 + 10);
	} else if (extended) {
		if (code == 0x1c || code == 0x35) /* grey Enter and / */
			send_char(plain[code]);
	} else if (code < sizeof(plain) - 1 && plain[code]) {
		send_char(shift ? shifted[code] : plain[code]);
	}
}

static void keyboard_interrupt(void *arg)
{
	for (int i = 0; i < 32; i++) {
		u8 status = inb(STATUS), code;

		if (!(status & ST_OUT))
			break;
		code = inb(DATA);
		if (status & ST_AUX)
			continue;
		random_add(&code, 1);
		if (skip) {
			skip--;
		} else if (code == SC_EXT) {
			extended = true;
		} else if (code == SC_PAUSE) {
			skip = 5; /* E1 1D 45 E1 9D C5: make and break in one */
		} else if (code != 0xfa && code != 0xfe) {
			key(code & 0x7f, !(code & 0x80));
			extended = false;
		}
	}
}

/* False when there is no working controller. */
static bool controller_init(void)
{
	int config;

	if (inb(STATUS) == 0xff)
		return false;
	if (!command(CMD_DISABLE_KBD) || !command(CMD_DISABLE_AUX))
		return false;
	drain();
	if (!command(CMD_SELF_TEST) || read_byte() != 0x55)
		return false;
	if (!command(CMD_READ_CONFIG))
		return false;
	config = read_byte();
	if (config < 0)
		return false;
	config = (config | CONFIG_IRQ1 | CONFIG_TRANSLATE) & ~(CONFIG_IRQ12 | CONFIG_KBD_OFF);
	return command_data(CMD_WRITE_CONFIG, (u8)config) && command(CMD_ENABLE_KBD);
}

void keyboard_init(void)
{
	if (!fbcon_backend() || acpi.no_i8042)
		return;
	if (!controller_init()) {
		pr_info("keyboard: no i8042");
		return;
	}
	if (wait_in())
		outb(DATA, KBD_ENABLE);
	(void)read_byte();
	drain();
	if (irq_request_isa(1, keyboard_interrupt, NULL, "keyboard")) {
		pr_err("keyboard: no interrupt");
		return;
	}
	set_leds();
}
