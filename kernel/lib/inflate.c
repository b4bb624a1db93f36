/*
 * Deflate decoder: table driven, 64-bit bit buffer, made for initrds of megabytes at boot.
 *
 * 1. Bits. `bits` holds nr_bits (at most 63) unread bits, lowest first. refill_fast loads eight
 *    bytes at once and needs eight readable bytes; refill_slow takes single bytes and stops at the
 *    end of the input, after which missing bits read as zero and need() reports truncation.
 * 2. Tables (inflate_table.c). A code of at most `root` bits (11 literal/length, 8 distance) is one lookup; longer
 *    ones go through a subtable. Codes with equal first `root` bits are neighbours in canonical
 *    order, so one pass over the symbols sorted by length fills everything.
 * 3. Entries are 32 bits: 0-7 code bits to drop, 8-12 extra bits (or index bits of a subtable),
 *    13 end of block, 14 subtable, 15 exceptional (end, subtable or invalid), 16-30 value (literal,
 *    base length or distance, subtable place), 31 literal. An entry of only bit 15 is invalid.
 * 4. Two loops. decode_fast runs while FAST_IN input bytes and FAST_OUT output bytes are left, so it
 *    checks bounds once a round: at most three literals or one match. A match costs at most
 *    15 + 5 + 15 + 13 = 48 bits, one refill gives 56. decode_slow does one symbol with all checks.
 * 5. The window. Output goes to one buffer; a distance may reach back to the buffer's start. In
 *    stream mode a full buffer is given to the sink and its last 32 KiB move to the front.
 *
 * RFC 1951 3.2.2 (canonical codes), 3.2.5 (lengths, distances), 3.2.7 (dynamic blocks).
 */
#include "inflate_impl.h"

#define MAX_MATCH	258
#define FAST_IN		16
#define FAST_OUT	(MAX_MATCH + 16)

/* ---- CRC-32 (RFC 1952 section 8), eight bytes a step ---- */

static void crc_init(struct inflate *w)
{
	uint32_t i, k, c;

	for (i = 0; i < 256; i++) {
		c = i;
		for (k = 0; k < 8; k++)
			c = c >> 1 ^ (0xedb88320u & (0u - (c & 1)));
		w->crc_table[0][i] = c;
	}
	for (i = 0; i < 256; i++)
		for (k = 1; k < 8; k++) {
			c = w->crc_table[k - 1][i];
			w->crc_table[k][i] = c >> 8 ^ w->crc_table[0][c & 0xff];
		}
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static void crc_update(struct inflate *w, const uint8_t *p, uint64_t len)
{
	uint32_t (*t)[256] = w->crc_table, c = w->crc;
	uint64_t v;

	for (; len >= 8; p += 8, len -= 8) {
		v = load64(p) ^ c;
		c = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^ t[5][v >> 16 & 0xff] ^
		    t[4][v >> 24 & 0xff] ^ t[3][v >> 32 & 0xff] ^ t[2][v >> 40 & 0xff] ^
		    t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
	}
	while (len--)
		c = c >> 8 ^ t[0][(c ^ *p++) & 0xff];
	w->crc = c;
}

/* ---- bits ---- */

static void refill_slow(struct inflate *w)
{
	while (w->nr_bits <= 55 && w->in < w->in_end) {
		w->bits |= (uint64_t)*w->in++ << w->nr_bits;
		w->nr_bits += 8;
	}
}

/* Drop n bits; false when the input has not got so many. */
static bool drop(struct inflate *w, uint32_t n)
{
	if (n > w->nr_bits)
		return false;
	w->bits >>= n;
	w->nr_bits -= n;
	return true;
}

/* The next n (at most 16) bits into *v. */
static bool get_bits(struct inflate *w, uint32_t n, uint32_t *v)
{
	if (w->nr_bits < n)
		refill_slow(w);
	*v = (uint32_t)w->bits & ((1u << n) - 1);
	return drop(w, n);
}

/* Give whole unread bytes back to the input, forget the rest of the current one. */
static void to_byte(struct inflate *w)
{
	w->in -= w->nr_bits / 8;
	w->bits = 0;
	w->nr_bits = 0;
}

/* ---- output ---- */

/* Account for, and in stream mode hand out, what was written since the last time. */
static bool send(struct inflate *w)
{
	uint64_t len = (uint64_t)(w->out - w->unsent);

	if (w->want_crc)
		crc_update(w, w->unsent, len);
	w->total += len;
	if (len && w->io->sink && !w->io->sink(w->io->ctx, w->unsent, len))
		return false;
	w->unsent = w->out;
	return true;
}

/* The buffer is full: make room behind a window of history, or fail. */
static enum inflate_status make_room(struct inflate *w)
{
	if (!w->io->sink)
		return INFLATE_NO_SPACE;
	if (!send(w))
		return INFLATE_STOPPED;
	__builtin_memmove(w->out_base, w->out - INFLATE_WINDOW, INFLATE_WINDOW);
	w->out = w->out_base + INFLATE_WINDOW;
	w->unsent = w->out;
	return INFLATE_OK;
}

/* ---- block headers ---- */

static void fixed_tables(struct inflate *w)
{
	uint32_t i;

	for (i = 0; i < NR_LIT; i++)
		w->lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	inflate_lit_table(w, w->lengths, NR_LIT);
	for (i = 0; i < NR_DIST; i++)
		w->lengths[i] = 5;
	inflate_dist_table(w, w->lengths, NR_DIST);
}

/* Decode the run-length coded lists of code lengths, using w->lit as the code for them. */
static enum inflate_status read_lengths(struct inflate *w, uint32_t n)
{
	uint32_t i = 0, e, sym, rep;
	uint8_t value;

	while (i < n) {
		if (w->nr_bits < 16)
			refill_slow(w);
		e = w->lit[w->bits & ((1u << LENGTH_ROOT) - 1)];
		if (e & E_SPECIAL)
			return INFLATE_BAD_DATA;
		if (!drop(w, E_DROP(e)))
			return INFLATE_TRUNCATED;
		sym = E_VALUE(e);
		if (sym < 16) {
			w->lengths[i++] = (uint8_t)sym;
			continue;
		}
		if (sym == 16 && !i)
			return INFLATE_BAD_DATA;
		value = sym == 16 ? w->lengths[i - 1] : 0;
		if (!get_bits(w, sym == 16 ? 2 : sym == 17 ? 3 : 7, &rep))
			return INFLATE_TRUNCATED;
		rep += sym == 18 ? 11 : 3;
		if (rep > n - i)
			return INFLATE_BAD_DATA;
		while (rep--)
			w->lengths[i++] = value;
	}
	return INFLATE_OK;
}

static enum inflate_status dynamic_tables(struct inflate *w)
{
	static const uint8_t order[19] = {
		16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
	};
	uint32_t nr_lit, nr_dist, nr_code, i, v;
	enum inflate_status err;

	if (!get_bits(w, 5, &nr_lit) || !get_bits(w, 5, &nr_dist) || !get_bits(w, 4, &nr_code))
		return INFLATE_TRUNCATED;
	nr_lit += 257;
	nr_dist += 1;
	nr_code += 4;
	if (nr_lit > 286 || nr_dist > 30)
		return INFLATE_BAD_DATA;
	for (i = 0; i < 19; i++) {
		v = 0;
		if (i < nr_code && !get_bits(w, 3, &v))
			return INFLATE_TRUNCATED;
		w->lengths[order[i]] = (uint8_t)v;
	}
	if (!inflate_length_table(w, w->lengths, 19))
		return INFLATE_BAD_DATA;
	err = read_lengths(w, nr_lit + nr_dist);
	if (err)
		return err;
	/* Without an end-of-block code the block could not end. */
	if (!w->lengths[256] || !inflate_lit_table(w, w->lengths, nr_lit) ||
	    !inflate_dist_table(w, w->lengths + nr_lit, nr_dist))
		return INFLATE_BAD_DATA;
	return INFLATE_OK;
}

/* ---- symbols ---- */

/* Copy a match inside the output; may write up to 7 bytes past its end. */
static inline void copy_match(uint8_t *out, uint32_t dist, uint32_t len)
{
	const uint8_t *from = out - dist;
	uint8_t *end = out + len;
	uint64_t v;

	if (likely(dist >= 8)) {
		do {
			__builtin_memcpy(&v, from, 8);
			__builtin_memcpy(out, &v, 8);
			from += 8;
			out += 8;
		} while (out < end);
	} else if (dist == 1) {
		v = *from * 0x0101010101010101ull;
		do {
			__builtin_memcpy(out, &v, 8);
			out += 8;
		} while (out < end);
	} else {
		do {
			*out++ = *from++;
		} while (out < end);
	}
}

/*
 * The hot loop. Returns OK when a bound is near or the block ended (*ended).
 * => all state lives in locals while it runs
 */
/* What decode_fast works on: a copy of the state, for registers. All below is inlined into it. */
struct fast {
	const uint8_t *in;
	uint8_t *out;
	uint64_t bits;
	uint32_t nr;
};
#define FAST static inline __attribute__((always_inline))

FAST void fast_refill(struct fast *f)
{
	f->bits |= load64(f->in) << f->nr;
	f->in += (63 - f->nr) >> 3;
	f->nr |= 56;
}

FAST void fast_drop(struct fast *f, uint32_t n)
{
	f->bits >>= n;
	f->nr -= n;
}

/* The next n bits, which stay. */
FAST uint32_t fast_peek(const struct fast *f, uint32_t n)
{
	return (uint32_t)f->bits & ((1u << n) - 1);
}

FAST void fast_literal(struct fast *f, uint32_t e)
{
	fast_drop(f, E_DROP(e));
	*f->out++ = (uint8_t)(e >> 16);
}

/* Up to three literals that are one lookup each. => the entry that follows; a literal: that was the third. */
FAST uint32_t fast_literals(const struct inflate *w, struct fast *f)
{
	uint32_t e = w->lit[fast_peek(f, LIT_ROOT)];

	if (!(e & E_LITERAL))
		return e;
	fast_literal(f, e);
	e = w->lit[fast_peek(f, LIT_ROOT)];
	if (e & E_LITERAL) {
		fast_literal(f, e);
		e = w->lit[fast_peek(f, LIT_ROOT)];
		if (e & E_LITERAL) {
			fast_literal(f, e);
			return e;
		}
	}
	fast_refill(f);
	return e;
}

/* The entry of a code longer than the table's index bits. */
FAST uint32_t fast_subtable(const uint32_t *table, struct fast *f, uint32_t root, uint32_t e)
{
	fast_drop(f, root);
	return table[E_VALUE(e) + fast_peek(f, E_EXTRA(e))];
}

/* Drops an entry's code and extra bits. => its value with them: a length or distance */
FAST uint32_t fast_value(struct fast *f, uint32_t e)
{
	uint32_t v;

	fast_drop(f, E_DROP(e));
	v = E_VALUE(e) + fast_peek(f, E_EXTRA(e));
	fast_drop(f, E_EXTRA(e));
	return v;
}

/* The match whose length has entry e. => false: bad data */
FAST bool fast_match(const struct inflate *w, struct fast *f, uint32_t e)
{
	uint32_t len = fast_value(f, e), dist;

	e = w->dist[fast_peek(f, DIST_ROOT)];
	if (unlikely(e & E_SPECIAL)) {
		if (e & E_SUB)
			e = fast_subtable(w->dist, f, DIST_ROOT, e);
		if (e & E_SPECIAL)
			return false;
	}
	dist = fast_value(f, e);
	if (unlikely(dist > (uint64_t)(f->out - w->out_base)))
		return false;
	copy_match(f->out, dist, len);
	f->out += len;
	return true;
}

static enum inflate_status decode_fast(struct inflate *w, bool *ended)
{
	const uint8_t *in_safe = w->in_end - FAST_IN;
	uint8_t *out_safe = w->out_end - FAST_OUT;
	struct fast f = { w->in, w->out, w->bits, w->nr_bits };
	enum inflate_status err = INFLATE_OK;

	while (f.in <= in_safe && f.out <= out_safe) {
		uint32_t e;

		fast_refill(&f);
		e = fast_literals(w, &f);
		if (e & E_LITERAL)
			continue;
		if (unlikely(e & E_SPECIAL)) {
			if (e & E_SUB)
				e = fast_subtable(w->lit, &f, LIT_ROOT, e);
			if (e & E_LITERAL) {
				fast_literal(&f, e);
				continue;
			}
			if (e & E_END) {
				fast_drop(&f, E_DROP(e));
				*ended = true;
				break;
			}
			if (e & E_SPECIAL)
				goto bad;
		}
		if (unlikely(!fast_match(w, &f, e)))
			goto bad;
	}
out:
	w->in = f.in;
	w->out = f.out;
	/* refill loads more bits than it counts; those above nr would be loaded twice. */
	w->bits = f.bits & ((1ull << f.nr) - 1);
	w->nr_bits = f.nr;
	return err;
bad:
	err = INFLATE_BAD_DATA;
	goto out;
}

/* One symbol of a table with every check; drops its code. */
static enum inflate_status next_entry(struct inflate *w, const uint32_t *table, uint32_t root,
				      uint32_t *out)
{
	uint32_t e;

	refill_slow(w);
	e = table[w->bits & ((1u << root) - 1)];
	if (e & E_SUB) {
		if (!drop(w, root))
			return INFLATE_TRUNCATED;
		e = table[E_VALUE(e) + (w->bits & ((1u << E_EXTRA(e)) - 1))];
	}
	*out = e;
	/* Zeroes stand for missing bits: what they decode to proves nothing about the data. */
	if (!drop(w, E_DROP(e)) || (w->in == w->in_end && !w->nr_bits && !E_DROP(e)))
		return INFLATE_TRUNCATED;
	return (e & E_SPECIAL) && !(e & E_END) ? INFLATE_BAD_DATA : INFLATE_OK;
}

static enum inflate_status put_byte(struct inflate *w, uint8_t byte)
{
	enum inflate_status err;

	if (w->out == w->out_end) {
		err = make_room(w);
		if (err)
			return err;
	}
	*w->out++ = byte;
	return INFLATE_OK;
}

static enum inflate_status decode_slow(struct inflate *w, bool *ended)
{
	enum inflate_status err;
	uint32_t e, len, dist, extra;

	err = next_entry(w, w->lit, LIT_ROOT, &e);
	if (err)
		return err;
	if (e & E_LITERAL)
		return put_byte(w, (uint8_t)(e >> 16));
	if (e & E_END) {
		*ended = true;
		return INFLATE_OK;
	}
	if (!get_bits(w, E_EXTRA(e), &extra))
		return INFLATE_TRUNCATED;
	len = E_VALUE(e) + extra;
	err = next_entry(w, w->dist, DIST_ROOT, &e);
	if (err)
		return err;
	if (!get_bits(w, E_EXTRA(e), &extra))
		return INFLATE_TRUNCATED;
	dist = E_VALUE(e) + extra;
	if (dist > (uint64_t)(w->out - w->out_base))
		return INFLATE_BAD_DATA;
	while (len--) {
		/* make_room may move the window: out - dist stays right. */
		if (w->out == w->out_end) {
			err = make_room(w);
			if (err)
				return err;
		}
		*w->out = *(w->out - dist);
		w->out++;
	}
	return INFLATE_OK;
}

static enum inflate_status decode_block(struct inflate *w)
{
	enum inflate_status err = INFLATE_OK;
	bool ended = false;

	while (!err && !ended) {
		if (w->in_end - w->in >= FAST_IN && w->out_end - w->out >= FAST_OUT)
			err = decode_fast(w, &ended);
		else
			err = decode_slow(w, &ended);
	}
	return err;
}

static enum inflate_status stored_block(struct inflate *w)
{
	enum inflate_status err;
	uint64_t n;
	uint32_t len;

	to_byte(w);
	if (w->in_end - w->in < 4)
		return INFLATE_TRUNCATED;
	len = w->in[0] | (uint32_t)w->in[1] << 8;
	if ((len ^ 0xffff) != (w->in[2] | (uint32_t)w->in[3] << 8))
		return INFLATE_BAD_DATA;
	w->in += 4;
	if (len > (uint64_t)(w->in_end - w->in))
		return INFLATE_TRUNCATED;
	while (len) {
		if (w->out == w->out_end) {
			err = make_room(w);
			if (err)
				return err;
		}
		n = (uint64_t)(w->out_end - w->out);
		if (n > len)
			n = len;
		__builtin_memcpy(w->out, w->in, n);
		w->out += n;
		w->in += n;
		len -= (uint32_t)n;
	}
	return INFLATE_OK;
}

static enum inflate_status inflate_blocks(struct inflate *w)
{
	enum inflate_status err;
	uint32_t last, type;

	do {
		if (!get_bits(w, 1, &last) || !get_bits(w, 2, &type))
			return INFLATE_TRUNCATED;
		if (type == 3)
			return INFLATE_BAD_DATA;
		if (type == 0) {
			err = stored_block(w);
		} else {
			err = INFLATE_OK;
			if (type == 1)
				fixed_tables(w);
			else
				err = dynamic_tables(w);
			if (!err)
				err = decode_block(w);
		}
		if (err)
			return err;
	} while (!last);
	to_byte(w);
	return send(w) ? INFLATE_OK : INFLATE_STOPPED;
}

static enum inflate_status start(struct inflate *w, struct inflate_io *io, bool want_crc)
{
	w->bits = 0;
	w->nr_bits = 0;
	w->in = io->in;
	w->in_end = io->in + io->in_len;
	w->out = w->out_base = w->unsent = io->out;
	w->out_end = io->out + io->out_cap;
	w->total = 0;
	w->crc = ~0u;
	w->want_crc = want_crc;
	w->io = io;
	if (want_crc)
		crc_init(w);
	io->consumed = 0;
	io->produced = 0;
	return io->sink && io->out_cap < INFLATE_STREAM_MIN ? INFLATE_NO_SPACE : INFLATE_OK;
}

static void report(struct inflate *w)
{
	w->io->consumed = (uint64_t)(w->in - w->io->in);
	w->io->produced = w->total;
}

enum inflate_status inflate_raw(struct inflate *w, struct inflate_io *io)
{
	enum inflate_status err = start(w, io, false);

	if (!err)
		err = inflate_blocks(w);
	report(w);
	return err;
}

bool inflate_is_gzip(const void *in, uint64_t len)
{
	const uint8_t *p = in;

	return len >= 18 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

/* Move w->in behind a NUL-terminated header field. */
static bool skip_string(struct inflate *w)
{
	while (w->in < w->in_end)
		if (!*w->in++)
			return true;
	return false;
}

/* RFC 1952 2.3: fixed part, then optional extra field, name, comment, header CRC. */
static enum inflate_status gzip_header(struct inflate *w)
{
	uint8_t flags;
	uint32_t len;

	if (!inflate_is_gzip(w->in, (uint64_t)(w->in_end - w->in)))
		return INFLATE_NOT_GZIP;
	flags = w->in[3];
	if (flags & 0xe0)
		return INFLATE_NOT_GZIP;
	w->in += 10;
	if (flags & 4) {
		len = w->in[0] | (uint32_t)w->in[1] << 8;
		w->in += 2;
		if (len > (uint64_t)(w->in_end - w->in))
			return INFLATE_TRUNCATED;
		w->in += len;
	}
	if ((flags & 8) && !skip_string(w))
		return INFLATE_TRUNCATED;
	if ((flags & 16) && !skip_string(w))
		return INFLATE_TRUNCATED;
	if (flags & 2) {
		if (w->in_end - w->in < 2)
			return INFLATE_TRUNCATED;
		w->in += 2;
	}
	return INFLATE_OK;
}

static enum inflate_status gzip_trailer(struct inflate *w)
{
	uint64_t v;

	if (w->in_end - w->in < 8)
		return INFLATE_TRUNCATED;
	v = load64(w->in);
	w->in += 8;
	return (uint32_t)v == ~w->crc && v >> 32 == (uint32_t)w->total ? INFLATE_OK
								       : INFLATE_BAD_CHECK;
}

enum inflate_status inflate_gzip(struct inflate *w, struct inflate_io *io)
{
	enum inflate_status err = start(w, io, true);

	if (!err)
		err = gzip_header(w);
	if (!err)
		err = inflate_blocks(w);
	if (!err)
		err = gzip_trailer(w);
	report(w);
	return err;
}

const char *inflate_status_text(enum inflate_status status)
{
	switch (status) {
	case INFLATE_OK:
		return "no error";
	case INFLATE_TRUNCATED:
		return "truncated";
	case INFLATE_NOT_GZIP:
		return "not gzip data";
	case INFLATE_BAD_DATA:
		return "corrupt data";
	case INFLATE_BAD_CHECK:
		return "checksum mismatch";
	case INFLATE_NO_SPACE:
		return "output buffer too small";
	case INFLATE_STOPPED:
		return "stopped";
	}
	return "unknown error";
}
