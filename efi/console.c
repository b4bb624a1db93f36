/*
 * Words on the firmware's console. A machine may have none (ConOut NULL): then nothing is printed
 * and nothing fails. After the first ExitBootServices call the console is gone and printing is a
 * no-op, because a firmware may have taken its drivers down already.
 */
#include <stdarg.h>
#include "app.h"

#define LINE 96

struct out {
	struct app *app;
	CHAR16 buf[LINE + 1];
	uint32_t len;
};

static void flush(struct out *o)
{
	SIMPLE_TEXT_OUTPUT_INTERFACE *con = o->app->st->ConOut;

	o->buf[o->len] = 0;
	if (o->len && con && !o->app->exiting)
		con->OutputString(con, o->buf);
	o->len = 0;
}

static void put(struct out *o, CHAR16 c)
{
	if (o->len + 2 > LINE)
		flush(o);
	if (c == '\n')
		o->buf[o->len++] = '\r';
	o->buf[o->len++] = c;
}

static void put_string(struct out *o, const char *s)
{
	for (; *s; s++)
		put(o, (CHAR16)(uint8_t)*s);
}

static void put_number(struct out *o, uint64_t v, uint32_t base)
{
	char digits[24];
	uint32_t n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put(o, (CHAR16)digits[--n]);
}

static void format(struct out *o, const char *fmt, va_list args)
{
	const CHAR16 *wide;

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(o, (CHAR16)(uint8_t)*fmt);
			continue;
		}
		switch (*++fmt) {
		case 's':
			put_string(o, va_arg(args, const char *));
			break;
		case 'S':
			for (wide = va_arg(args, const CHAR16 *); *wide; wide++)
				put(o, *wide);
			break;
		case 'c':
			put(o, (CHAR16)va_arg(args, int));
			break;
		case 'u':
			put_number(o, va_arg(args, uint32_t), 10);
			break;
		case 'l':
			fmt += 2;
			put_number(o, va_arg(args, unsigned long long), *fmt == 'x' ? 16 : 10);
			break;
		default:
			put(o, '%');
		}
	}
}

void app_print(struct app *app, const char *fmt, ...)
{
	struct out o = { .app = app };
	va_list args;

	va_start(args, fmt);
	format(&o, fmt, args);
	va_end(args);
	flush(&o);
}

void app_debug(struct app *app, const char *fmt, ...)
{
	struct out o = { .app = app };
	va_list args;

	if (!app->debug)
		return;
	va_start(args, fmt);
	format(&o, fmt, args);
	va_end(args);
	flush(&o);
}

/* UEFI 2.10, appendix D. */
static const char *status_text(EFI_STATUS status)
{
	static const char *const text[] = {
		[1] = "load error", [2] = "invalid parameter", [3] = "unsupported",
		[4] = "bad buffer size", [5] = "buffer too small", [6] = "not ready",
		[7] = "device error", [8] = "write protected", [9] = "out of resources",
		[10] = "volume corrupted", [11] = "volume full", [12] = "no media",
		[13] = "media changed", [14] = "not found", [15] = "access denied",
		[16] = "no response", [17] = "no mapping", [18] = "timeout",
		[19] = "not started", [20] = "already started", [21] = "aborted",
		[25] = "incompatible version", [26] = "security violation", [27] = "CRC error",
		[31] = "end of file", [33] = "compromised data",
	};
	uint64_t code = status & ~EFI_ERROR_MASK;

	if (code < sizeof(text) / sizeof(text[0]) && text[code])
		return text[code];
	return "error";
}

EFI_STATUS app_fail(struct app *app, EFI_STATUS status, const char *fmt, ...)
{
	struct out o = { .app = app };
	va_list args;

	put_string(&o, "Quoin loader: ");
	va_start(args, fmt);
	format(&o, fmt, args);
	va_end(args);
	put_string(&o, ": ");
	put_string(&o, status_text(status));
	put_string(&o, " (EFI status ");
	put_number(&o, status & ~EFI_ERROR_MASK, 10);
	put_string(&o, ")\n");
	flush(&o);
	app->told = true;
	return status;
}

const char *size_text(uint64_t bytes, char buf[24])
{
	static const char units[] = "KMGT";
	uint64_t tenths = bytes * 10 / 1024;
	uint32_t unit = 0, n = 0, i;
	char digits[24];

	while (tenths >= 10240 && unit < 3) {
		tenths /= 1024;
		unit++;
	}
	/* One decimal below 10, none above. */
	if (tenths >= 100) {
		tenths /= 10;
	} else {
		digits[n++] = (char)('0' + tenths % 10);
		digits[n++] = '.';
		tenths /= 10;
	}
	do {
		digits[n++] = (char)('0' + tenths % 10);
		tenths /= 10;
	} while (tenths);
	for (i = 0; i < n; i++)
		buf[i] = digits[n - 1 - i];
	buf[n++] = ' ';
	buf[n++] = units[unit];
	buf[n++] = 'i';
	buf[n++] = 'B';
	buf[n] = 0;
	return buf;
}
