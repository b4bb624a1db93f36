/* seq_buf.c - the bounded text sink of include/lib/seq_buf.h. */
#include "lib/seq_buf.h"
#include "lib/ctype.h"
#include "lib/printf.h"
#include "lib/string.h"

void seq_write(struct seq_buf *m, const void *data, size_t n)
{
	size_t room = m->size - m->len;

	if (unlikely(n > room)) {
		m->overflow = true;
		n = room;
	}
	memcpy(m->buf + m->len, data, n);
	m->len += n;
}

void seq_puts(struct seq_buf *m, const char *s)
{
	seq_write(m, s, strlen(s));
}

void seq_vprintf(struct seq_buf *m, const char *fmt, va_list args)
{
	size_t room = m->size - m->len;
	int n = vsnprintf(m->buf + m->len, room, fmt, args);

	if (likely((size_t)n < room)) {
		m->len += (size_t)n;
		return;
	}
	/* The last byte of the room went to the NUL: the text is cut anyway. */
	m->overflow = true;
	m->len = m->size;
}

void seq_printf(struct seq_buf *m, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	seq_vprintf(m, fmt, args);
	va_end(args);
}

void seq_pad_to(struct seq_buf *m, size_t start, size_t col)
{
	while (m->len < start + col && !m->overflow)
		seq_putc(m, ' ');
}

void seq_escape(struct seq_buf *m, const char *s, const char *esc)
{
	u8 esc_max = 0;

	for (const char *e = esc; *e; e++)
		esc_max = max(esc_max, (u8)*e);
	for (const char *plain = s;; s++) { /* from plain on nothing needs it */
		u8 c = (u8)*s;

		if (likely(c && c != '\\' && !iscntrl(c) && (c > esc_max || !strchr(esc, c))))
			continue;
		seq_write(m, plain, (size_t)(s - plain));
		if (!c)
			return;
		seq_printf(m, "\\%03o", c);
		plain = s + 1;
	}
}
