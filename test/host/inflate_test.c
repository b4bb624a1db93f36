/*
 * inflate against the host's gzip: several kinds of data, levels and sizes, into one buffer and
 * as a stream; every truncation and many bit flips of a member must give an error, never a crash.
 */
// SOURCES: kernel/lib/inflate.c kernel/lib/inflate_table.c
#include <unistd.h>
#include <lib/inflate.h>
#include "check.h"

static struct inflate work;

static uint8_t *make_data(int kind, size_t len)
{
	static const char *words[] = { "memory ", "page ", "the ", "of a process ", "kernel\n" };
	uint8_t *p = malloc(len + 1);
	size_t i = 0, n;
	const char *w;

	while (i < len) {
		switch (kind) {
		case 0:				/* zeroes: distance 1, length 258 */
			p[i++] = 0;
			break;
		case 1:				/* noise: stored blocks */
			p[i++] = (uint8_t)check_rand();
			break;
		case 2:				/* words */
			w = words[check_rand_below(5)];
			for (n = 0; w[n] && i < len; n++)
				p[i++] = (uint8_t)w[n];
			break;
		case 3:				/* skewed letters: long codes, subtables */
			for (n = 0; n < 40 && (check_rand() & 1); n++)
				;
			p[i++] = (uint8_t)(n * 5);
			break;
		default:			/* short periods 2..9 and far copies */
			n = 2 + check_rand_below(8);
			p[i] = i >= n && (check_rand() & 63) ? p[i - n] : (uint8_t)check_rand();
			if (i > 30000 && !(check_rand() & 127))
				p[i] = p[i - 30000];
			i++;
		}
	}
	return p;
}

static uint8_t *compress(const uint8_t *data, size_t len, int level, size_t *out_len)
{
	char in[] = "/tmp/inflate-test-XXXXXX", cmd[128];
	int fd = mkstemp(in);
	uint8_t *out = malloc(len + len / 100 + 4096);
	FILE *f;

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
	snprintf(cmd, sizeof(cmd), "gzip -c -N -%d %s", level, in);
	f = popen(cmd, "r");
	*out_len = fread(out, 1, len + len / 100 + 4096, f);
	pclose(f);
	unlink(in);
	return out;
}

struct stream {
	const uint8_t *expect;
	uint64_t len, at;
	bool same;
};

static bool take(void *ctx, const uint8_t *data, uint64_t len)
{
	struct stream *s = ctx;

	if (s->at + len > s->len || memcmp(s->expect + s->at, data, len))
		s->same = false;
	s->at += len;
	return s->same;
}

static void round_trip(int kind, size_t len, int level)
{
	uint8_t *data = make_data(kind, len), *out = malloc(len ? len : 1);
	uint8_t *window = malloc(INFLATE_STREAM_MIN);
	struct stream s = { data, len, 0, true };
	struct inflate_io io;
	size_t zlen;
	uint8_t *z = compress(data, len, level, &zlen);

	io = (struct inflate_io){ .in = z, .in_len = zlen, .out = out, .out_cap = len };
	CHECK_EQ(inflate_gzip(&work, &io), INFLATE_OK);
	CHECK_EQ(io.produced, len);
	CHECK_EQ(io.consumed, zlen);
	CHECK(!memcmp(out, data, len));
	io = (struct inflate_io){ .in = z, .in_len = zlen, .out = window,
				  .out_cap = INFLATE_STREAM_MIN, .sink = take, .ctx = &s };
	CHECK_EQ(inflate_gzip(&work, &io), INFLATE_OK);
	CHECK(s.same && s.at == len);
	if (len > 1) {
		io = (struct inflate_io){ .in = z, .in_len = zlen, .out = out, .out_cap = len - 1 };
		CHECK_EQ(inflate_gzip(&work, &io), INFLATE_NO_SPACE);
	}
	free(data);
	free(out);
	free(window);
	free(z);
}

static void inflate_round_trips(void)
{
	static const size_t sizes[] = { 0, 1, 2, 100, 1000, 65535, 65536, 65537, 300000 };
	static const int levels[] = { 1, 6, 9 };
	size_t i, l;
	int kind;

	for (kind = 0; kind < 5; kind++)
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			for (l = 0; l < 3; l++)
				round_trip(kind, sizes[i], levels[l]);
	round_trip(2, 5 << 20, 9);
	round_trip(4, 3 << 20, 6);
}

static void inflate_truncated(void)
{
	uint8_t *data = make_data(3, 3000), out[3000];
	size_t zlen, n;
	uint8_t *z = compress(data, 3000, 9, &zlen);
	struct inflate_io io;
	uint8_t *part;

	for (n = 0; n < zlen; n++) {
		/* An exact copy lets the sanitizer see every read past the end. */
		part = malloc(n ? n : 1);
		memcpy(part, z, n);
		io = (struct inflate_io){ .in = part, .in_len = n, .out = out, .out_cap = 3000 };
		CHECK_EQ(inflate_gzip(&work, &io), n < 18 ? INFLATE_NOT_GZIP : INFLATE_TRUNCATED);
		free(part);
	}
	free(z);
	free(data);
}

static void inflate_bit_flips(void)
{
	uint8_t *data = make_data(2, 20000), *out = malloc(20000);
	size_t zlen, n;
	uint8_t *z = compress(data, 20000, 6, &zlen);
	struct inflate_io io;

	for (n = 0; n < 4000; n++) {
		uint64_t bit = check_rand_below(zlen * 8);

		z[bit / 8] ^= 1u << bit % 8;
		io = (struct inflate_io){ .in = z, .in_len = zlen, .out = out, .out_cap = 20000 };
		/* Header time, flags and OS may differ freely; the data may not. */
		if (inflate_gzip(&work, &io) == INFLATE_OK)
			CHECK(io.produced == 20000 && !memcmp(out, data, 20000));
		z[bit / 8] ^= 1u << bit % 8;
	}
	free(z);
	free(data);
	free(out);
}

static void inflate_members(void)
{
	uint8_t *data = make_data(2, 1000), out[2000];
	size_t zlen;
	uint8_t *z = compress(data, 1000, 6, &zlen), *two = malloc(zlen * 2);
	struct inflate_io io = { .in = two, .in_len = zlen * 2, .out = out, .out_cap = 2000 };

	memcpy(two, z, zlen);
	memcpy(two + zlen, z, zlen);
	CHECK_EQ(inflate_gzip(&work, &io), INFLATE_OK);
	CHECK_EQ(io.consumed, zlen);
	CHECK(inflate_is_gzip(two + io.consumed, zlen));
	two[zlen - 8] ^= 1;
	CHECK_EQ(inflate_gzip(&work, &io), INFLATE_BAD_CHECK);
	free(two);
	free(z);
	free(data);
}

int main(void)
{
	RUN(inflate_round_trips);
	RUN(inflate_truncated);
	RUN(inflate_bit_flips);
	RUN(inflate_members);
	return check_done();
}
