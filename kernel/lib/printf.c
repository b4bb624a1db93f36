/*
 * printf.c - vsnprintf.
 *
 * A conversion is parsed into a spec (flags, width, precision, length), its text built at the
 * end of a small buffer or taken from the argument, and put out with padding.  `out` counts
 * every character and stores those that fit.  No recursion, no allocation, about 200 bytes of
 * stack: it must work in a panic on any stack.
 */
#include "lib/printf.h"
#include "lib/ctype.h"
#include "lib/string.h"

int (*printf_symbol)(char *buf, size_t size, u64 addr);

struct out {
	char *buf;
	size_t size;
	size_t len;
};

struct spec {
	bool left, plus, space, alt, zero, upper;
	int width;
	int prec;		/* -1: none given */
	int length;		/* bytes of the integer argument */
};

static inline void out_char(struct out *o, char c)
{
	if (o->len < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void out_fill(struct out *o, char c, int n)
{
	while (n-- > 0)
		out_char(o, c);
}

static void out_bytes(struct out *o, const char *s, size_t n)
{
	if (o->len < o->size) {
		size_t room = o->size - o->len;

		memcpy(o->buf + o->len, s, n < room ? n : room);
	}
	o->len += n;
}

static void out_padded(struct out *o, const struct spec *sp, const char *s, int n)
{
	if (!sp->left)
		out_fill(o, ' ', sp->width - n);
	out_bytes(o, s, (size_t)n);
	if (sp->left)
		out_fill(o, ' ', sp->width - n);
}

/* Digits of v ending at `end`; returns where they begin. */
static char *digits(char *end, u64 v, unsigned int base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	if (base == 10) {
		do {
			*--end = (char)('0' + v % 10);
			v /= 10;
		} while (v);
	} else {
		unsigned int shift = base == 16 ? 4 : base == 8 ? 3 : 1;

		do {
			*--end = set[v & (base - 1)];
			v >>= shift;
		} while (v);
	}
	return end;
}

/* prefix, zeros, digits: the precision counts digits, the width everything. */
static void out_number(struct out *o, const struct spec *sp, u64 v, unsigned int base, char sign)
{
	char tmp[72], prefix[3];
	char *end = tmp + sizeof(tmp), *s = digits(end, v, base, sp->upper);
	int n = (int)(end - s), zeros, np = 0;

	if (sp->prec == 0 && v == 0)
		n = 0;
	if (sign)
		prefix[np++] = sign;
	if (sp->alt && base == 16 && v) {
		prefix[np++] = '0';
		prefix[np++] = sp->upper ? 'X' : 'x';
	}
	zeros = sp->prec > n ? sp->prec - n : 0;
	if (sp->alt && base == 8 && !zeros && (v || n == 0))
		zeros = 1;
	if (sp->zero && !sp->left && sp->prec < 0 && sp->width > n + np)
		zeros = sp->width - n - np;
	if (!sp->left)
		out_fill(o, ' ', sp->width - n - np - zeros);
	out_bytes(o, prefix, (size_t)np);
	out_fill(o, '0', zeros);
	out_bytes(o, s, (size_t)n);
	if (sp->left)
		out_fill(o, ' ', sp->width - n - np - zeros);
}

static void out_string(struct out *o, const struct spec *sp, const char *s)
{
	if (!s)
		s = "(null)";
	out_padded(o, sp, s, (int)strnlen(s, sp->prec < 0 ? 0x7fffffff : (size_t)sp->prec));
}

/* %p: 0x and 16 digits.  %pS: a symbol. => characters of the format used beyond the p. */
static int out_pointer(struct out *o, struct spec *sp, const void *p, const char *next)
{
	u64 v = (u64)(uintptr_t)p;
	char name[96];
	int n = *next == 'S' && printf_symbol ? printf_symbol(name, sizeof(name), v) : 0;

	if (n > 0) {
		out_padded(o, sp, name, n);
	} else {
		out_bytes(o, "0x", 2);
		sp->prec = 16;
		sp->width -= 2;
		out_number(o, sp, v, 16, 0);
	}
	return *next == 'S';
}

static const char *parse_flags(const char *f, struct spec *sp)
{
	for (;; f++) {
		switch (*f) {
		case '-':
			sp->left = true;
			break;
		case '+':
			sp->plus = true;
			break;
		case ' ':
			sp->space = true;
			break;
		case '#':
			sp->alt = true;
			break;
		case '0':
			sp->zero = true;
			break;
		default:
			return f;
		}
	}
}

static int parse_int(const char **f)
{
	int n = 0;

	while (isdigit((u8)**f) && n < 100000)
		n = n * 10 + (*(*f)++ - '0');
	return n;
}

static const char *parse_length(const char *f, struct spec *sp)
{
	sp->length = sizeof(int);
	switch (*f) {
	case 'h':
		sp->length = f[1] == 'h' ? 1 : 2;
		return f + (f[1] == 'h' ? 2 : 1);
	case 'l':
		sp->length = f[1] == 'l' ? (int)sizeof(long long) : (int)sizeof(long);
		return f + (f[1] == 'l' ? 2 : 1);
	case 'z':
	case 't':
		sp->length = sizeof(size_t);
		return f + 1;
	case 'j':
	case 'L':
		sp->length = 8;
		return f + 1;
	default:
		return f;
	}
}

/* The argument as it was passed, cut to its length. */
static u64 cut_unsigned(u64 v, int length)
{
	return length >= 8 ? v : v & ((1ULL << (length * 8)) - 1);
}

static s64 cut_signed(u64 v, int length)
{
	int drop = 64 - length * 8;

	return length >= 8 ? (s64)v : (s64)(v << drop) >> drop;
}

static void out_signed(struct out *o, const struct spec *sp, s64 v)
{
	char sign = v < 0 ? '-' : sp->plus ? '+' : sp->space ? ' ' : 0;

	out_number(o, sp, v < 0 ? 0 - (u64)v : (u64)v, 10, sign);
}

#ifdef HOST_TEST
#define vsnprintf	quoin_vsnprintf
#define snprintf	quoin_snprintf
#endif

int vsnprintf(char *buf, size_t size, const char *f, va_list args)
{
	struct out o = { buf, size, 0 };

	for (; *f; f++) {
		struct spec sp = { .prec = -1 };
		const char *start = f;
		u64 v;

		if (*f != '%') {
			while (f[1] && f[1] != '%')
				f++;
			out_bytes(&o, start, (size_t)(f + 1 - start));
			continue;
		}
		f = parse_flags(f + 1, &sp);
		if (*f == '*') {
			sp.width = va_arg(args, int);
			if (sp.width < 0) {
				sp.left = true;
				sp.width = -sp.width;
			}
			f++;
		} else {
			sp.width = parse_int(&f);
		}
		if (*f == '.') {
			f++;
			sp.prec = *f == '*' ? (f++, va_arg(args, int)) : parse_int(&f);
			if (sp.prec < 0)
				sp.prec = -1;
		}
		f = parse_length(f, &sp);
		switch (*f) {
		case 'd':
		case 'i':
			v = sp.length == 8 ? va_arg(args, u64) : (u64)va_arg(args, int);
			out_signed(&o, &sp, cut_signed(v, sp.length));
			break;
		case 'X':
			sp.upper = true;
			fallthrough;
		case 'u':
		case 'x':
		case 'o':
		case 'b':
			v = sp.length == 8 ? va_arg(args, u64) : va_arg(args, unsigned int);
			out_number(&o, &sp, cut_unsigned(v, sp.length),
				   *f == 'u' ? 10 : *f == 'o' ? 8 : *f == 'b' ? 2 : 16, 0);
			break;
		case 'c': {
			char c = (char)va_arg(args, int);

			out_padded(&o, &sp, &c, 1);
			break;
		}
		case 's':
			out_string(&o, &sp, va_arg(args, const char *));
			break;
		case 'p':
			f += out_pointer(&o, &sp, va_arg(args, const void *), f + 1);
			break;
		case '%':
			out_char(&o, '%');
			break;
		default:	/* unknown: shown as it is, so that the mistake is seen */
			out_bytes(&o, start, (size_t)(f - start) + (*f != '\0'));
			if (!*f)
				f--;
		}
	}
	if (size)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}

#ifndef HOST_TEST
int vscnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(buf, size, fmt, args);

	return (size_t)n < size ? n : size ? (int)size - 1 : 0;
}

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vscnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}
#endif
