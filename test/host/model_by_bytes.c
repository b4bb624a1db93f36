/*
 * model_by_bytes.c - the fuzzer of a model (model.h): choices are bytes of the input, one, two or eight as their
 * range needs.  An input is one life of the structure, from start to finish.
 */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;

static uint64_t take(size_t n)
{
	uint64_t v = 0;

	if (left < n) {
		left = 0;
		return 0;
	}
	memcpy(&v, input, n);
	input += n;
	left -= n;
	return v;
}

uint64_t choose(uint64_t n)
{
	return n <= 1 ? 0 : take(n <= 256 ? 1 : n <= 65536 ? 2 : 8) % n;
}

uint64_t choose_word(void)
{
	return take(8);
}

static void stop_if_wrong(void)
{
	if (!check_failed_now)
		return;
	fflush(stdout);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = data;
	left = size;
	model.start();
	while (left) {
		model.step();
		model.check();
		stop_if_wrong();
	}
	if (model.finish)
		model.finish();
	stop_if_wrong();
	return 0;
}
