/*
 * seq_buf.h - a bounded sink for text: what the sources of /proc files write to.
 *
 * Text past the end is dropped and `overflow` set; the owner then gives a larger buffer and
 * runs the source again.  `len` never exceeds `size`.  No NUL is kept at the end.  A source that
 * had no memory for its work sets `nomem`: the text is not the truth then and must not be shown.
 *
 * A source whose text may be long gives it in pieces: it begins at `at`, which is 0 or what it gave to seq_cut, and looks
 * after each entry whether that still fitted.
 */
#ifndef LIB_SEQ_BUF_H
#define LIB_SEQ_BUF_H

#include "lib/compiler.h"

struct seq_buf {
	char *buf;
	size_t size;
	size_t len;
	bool overflow;
	bool nomem;
	bool more;	/* cut: the rest is to be had from `at` on */
	unsigned long long at;
};

static inline void seq_buf_init(struct seq_buf *m, char *buf, size_t size)
{
	m->buf = buf;
	m->size = size;
	m->len = 0;
	m->overflow = m->nomem = m->more = false;
	m->at = 0;
}

void seq_write(struct seq_buf *m, const void *data, size_t n);
void seq_puts(struct seq_buf *m, const char *s);
void seq_printf(struct seq_buf *m, const char *fmt, ...) __printf(2, 3);
void seq_vprintf(struct seq_buf *m, const char *fmt, va_list args) __printf(2, 0);
/* Spaces up to column `col` counted from `start` (an earlier m->len). */
void seq_pad_to(struct seq_buf *m, size_t start, size_t col);
/* s with the bytes in `esc`, control characters and '\' written as \ooo, as /proc files do. */
void seq_escape(struct seq_buf *m, const char *s, const char *esc);

/*
 * The entry that begins at @whole of the text goes to the next piece, which is to begin at @at.  False when the buffer
 * is too small for even this one.  => the entry overflowed
 */
static inline bool seq_cut(struct seq_buf *m, size_t whole, unsigned long long at)
{
	if (!whole)
		return false;
	m->len = whole;
	m->overflow = false;
	m->more = true;
	m->at = at;
	return true;
}

static inline void seq_putc(struct seq_buf *m, char c)
{
	if (likely(m->len < m->size))
		m->buf[m->len++] = c;
	else
		m->overflow = true;
}

#endif
