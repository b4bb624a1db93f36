/*
 * gzip (RFC 1952) and raw deflate (RFC 1951) decompression from memory to memory.
 *
 * Pure: no allocation (the caller gives a work area), no locks. Two ways to use it:
 *
 *   into one buffer    sink NULL; the output buffer must hold everything.
 *   as a stream        the buffer, INFLATE_STREAM_MIN bytes or more, is used as a window; sink is
 *                      called with every new piece, in order.
 */
#ifndef QUOIN_LIB_INFLATE_H
#define QUOIN_LIB_INFLATE_H

#include <stdbool.h>
#include <stdint.h>

enum inflate_status {
	INFLATE_OK = 0,
	INFLATE_TRUNCATED,	/* the input ends too early */
	INFLATE_NOT_GZIP,	/* no gzip header, or a method that is not deflate */
	INFLATE_BAD_DATA,	/* impossible code, length or distance */
	INFLATE_BAD_CHECK,	/* CRC or length differ from the gzip trailer */
	INFLATE_NO_SPACE,	/* output buffer full */
	INFLATE_STOPPED,	/* the sink said so */
};

#define INFLATE_WINDOW		32768u
#define INFLATE_STREAM_MIN	65536u
#define INFLATE_LIT_ENTRIES	2400u	/* 11-bit table of 288 symbols and its subtables */
#define INFLATE_DIST_ENTRIES	512u	/* 8-bit table of 32 symbols and its subtables */

/* Takes `len` new bytes; returns false to stop. */
typedef bool (*inflate_sink_t)(void *ctx, const uint8_t *data, uint64_t len);

struct inflate_io {
	const uint8_t *in;
	uint64_t in_len;
	uint8_t *out;
	uint64_t out_cap;
	inflate_sink_t sink;	/* or NULL */
	void *ctx;
	uint64_t consumed;	/* out: input bytes used */
	uint64_t produced;	/* out: bytes decompressed in total */
};

/* Work area, about 20 KiB: the caller's storage, contents of no interest. */
struct inflate {
	uint64_t bits;			/* input bits not yet used, next one lowest */
	uint32_t nr_bits;
	const uint8_t *in, *in_end;
	uint8_t *out, *out_base, *out_end;
	uint8_t *unsent;		/* first byte neither counted nor given to the sink */
	uint64_t total;
	uint32_t crc;
	bool want_crc;
	struct inflate_io *io;
	uint32_t lit[INFLATE_LIT_ENTRIES];
	uint32_t dist[INFLATE_DIST_ENTRIES];
	uint8_t lengths[320];
	uint32_t crc_table[8][256];
};

/* Does a gzip member begin here? */
bool inflate_is_gzip(const void *in, uint64_t len);

/*
 * Decompress one gzip member, and check its CRC and length.
 * => io->consumed and io->produced are set, after errors too (as far as it came)
 */
enum inflate_status inflate_gzip(struct inflate *w, struct inflate_io *io);

/* Decompress one raw deflate stream; otherwise the same. */
enum inflate_status inflate_raw(struct inflate *w, struct inflate_io *io);

/* A short reason for people: "checksum mismatch". */
const char *inflate_status_text(enum inflate_status status);

#endif
