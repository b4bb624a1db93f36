/*
 * newc: a 110-byte header of "070701" and thirteen 8-digit hexadecimal fields, the name with its
 * NUL, zeroes up to a multiple of 4 from the archive's start, the data, zeroes again. An entry
 * named "TRAILER!!!" ends the archive. "070702" is the same with a checksum nobody fills; it is
 * read and the checksum is not looked at, as in Linux.
 *
 * A hard-linked file appears once per name with the same ino; its data comes with one of them
 * (the last, as cpio writes it), the others have data_len 0. Joining them is the caller's work:
 * it knows what files are.
 */
#include <stdbool.h>
#include <loader/cpio.h>

#define HEADER_SIZE	110u
#define NR_FIELDS	13u

enum { F_INO, F_MODE, F_UID, F_GID, F_NLINK, F_MTIME, F_SIZE, F_MAJ, F_MIN, F_RMAJ, F_RMIN,
       F_NAMESIZE, F_CHECK };

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_field(const uint8_t *p, uint32_t *out)
{
	uint32_t v = 0;
	int i, d;

	for (i = 0; i < 8; i++) {
		d = hex_digit(p[i]);
		if (d < 0)
			return false;
		v = v << 4 | (uint32_t)d;
	}
	*out = v;
	return true;
}

/* `pos` rounded up to a multiple of 4 counted from the archive's start. */
static uint64_t align4(const struct cpio_reader *r, uint64_t pos)
{
	return r->base + ((pos - r->base + 3) & ~3ull);
}

static bool has_magic(const uint8_t *p)
{
	return !__builtin_memcmp(p, "070701", 6) || !__builtin_memcmp(p, "070702", 6);
}

static bool is_trailer(const struct cpio_entry *e)
{
	return e->name_len == 10 && !__builtin_memcmp(e->name, "TRAILER!!!", 10);
}

void cpio_init(struct cpio_reader *r, const void *buf, uint64_t len)
{
	*r = (struct cpio_reader){ .buf = buf, .len = len };
}

/* Between archives: pass over zeroes; is there another archive? */
static enum cpio_status find_archive(struct cpio_reader *r)
{
	while (r->pos < r->len && !r->buf[r->pos])
		r->pos++;
	if (r->pos == r->len)
		return CPIO_END;
	if (r->len - r->pos < 6 || !has_magic(r->buf + r->pos))
		return CPIO_FOREIGN;
	r->base = r->pos;
	r->in_archive = 1;
	return CPIO_ENTRY;
}

static enum cpio_status read_entry(struct cpio_reader *r, struct cpio_entry *e)
{
	const uint8_t *p = r->buf + r->pos;
	uint32_t f[NR_FIELDS], i;
	uint64_t data, left = r->len - r->pos;

	if (left < 6)
		return CPIO_OVERRUN;
	if (!has_magic(p))
		return CPIO_BAD_MAGIC;
	if (left < HEADER_SIZE)
		return CPIO_OVERRUN;
	for (i = 0; i < NR_FIELDS; i++)
		if (!parse_field(p + 6 + i * 8, &f[i]))
			return CPIO_BAD_FIELD;
	if (f[F_NAMESIZE] > left - HEADER_SIZE)
		return CPIO_OVERRUN;
	if (f[F_NAMESIZE] < 2 || p[HEADER_SIZE + f[F_NAMESIZE] - 1] || !p[HEADER_SIZE])
		return CPIO_BAD_FIELD;
	data = align4(r, r->pos + HEADER_SIZE + f[F_NAMESIZE]);
	if (f[F_SIZE] && (data > r->len || f[F_SIZE] > r->len - data))
		return CPIO_OVERRUN;

	*e = (struct cpio_entry){
		.name = (const char *)p + HEADER_SIZE,
		.name_len = (uint32_t)__builtin_strlen((const char *)p + HEADER_SIZE),
		.data = f[F_SIZE] ? r->buf + data : r->buf,
		.data_len = f[F_SIZE],
		.ino = f[F_INO], .mode = f[F_MODE], .uid = f[F_UID], .gid = f[F_GID],
		.nlink = f[F_NLINK], .mtime = f[F_MTIME],
		.dev_major = f[F_MAJ], .dev_minor = f[F_MIN],
		.rdev_major = f[F_RMAJ], .rdev_minor = f[F_RMIN],
	};
	/* The last padding of a buffer may be missing. */
	r->pos = align4(r, data + f[F_SIZE]);
	if (r->pos > r->len)
		r->pos = r->len;
	return CPIO_ENTRY;
}

enum cpio_status cpio_next(struct cpio_reader *r, struct cpio_entry *entry)
{
	enum cpio_status status;

	for (;;) {
		if (!r->in_archive) {
			status = find_archive(r);
			if (status != CPIO_ENTRY)
				return status;
		}
		status = read_entry(r, entry);
		if (status != CPIO_ENTRY || !is_trailer(entry))
			return status;
		r->in_archive = 0;
	}
}

const char *cpio_status_text(enum cpio_status status)
{
	switch (status) {
	case CPIO_ENTRY:
		return "entry";
	case CPIO_END:
		return "end of archive";
	case CPIO_FOREIGN:
		return "not a cpio archive";
	case CPIO_BAD_MAGIC:
		return "header magic missing";
	case CPIO_BAD_FIELD:
		return "bad header field";
	case CPIO_OVERRUN:
		return "truncated archive";
	}
	return "unknown error";
}
