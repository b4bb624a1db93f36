/* Any bytes as raw deflate and as gzip, into one buffer and as a stream: no crash, same result. */
// SOURCES: kernel/lib/inflate.c kernel/lib/inflate_table.c
// RUNS: 20000
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <lib/inflate.h>

static struct inflate work;
static uint8_t window[INFLATE_STREAM_MIN], whole[1 << 20], streamed[1 << 20];
static uint64_t streamed_len;

static bool take(void *ctx, const uint8_t *data, uint64_t len)
{
	(void)ctx;
	if (streamed_len + len > sizeof(streamed))
		return false;
	memcpy(streamed + streamed_len, data, len);
	streamed_len += len;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inflate_io a = { .in = data, .in_len = size, .out = whole, .out_cap = sizeof(whole) };
	struct inflate_io b = { .in = data, .in_len = size, .out = window,
				.out_cap = sizeof(window), .sink = take };
	enum inflate_status sa = inflate_raw(&work, &a), sb;

	streamed_len = 0;
	sb = inflate_raw(&work, &b);
	if (sa == INFLATE_OK &&
	    (sb != INFLATE_OK || streamed_len != a.produced || memcmp(whole, streamed, a.produced)))
		abort();
	inflate_gzip(&work, &a);
	return 0;
}
