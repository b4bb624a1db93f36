// SOURCES: kernel/base/chacha20.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* ChaCha20's block function against RFC 8439: section 2.3.2 and the test vectors of appendix A.1. */
#include "check.h"
#include <kernel/chacha20.h>

static void hex(const char *s, uint8_t *out, int n)
{
	for (int i = 0; i < n; i++) {
		unsigned v;

		sscanf(s + 2 * i, "%2x", &v);
		out[i] = v;
	}
}

static void check_block(const char *key_hex, uint32_t counter, const char *nonce_hex, const char *want_hex)
{
	uint32_t key[8], nonce[3];
	uint8_t out[64], want[64];

	hex(key_hex, (uint8_t *)key, 32);
	hex(nonce_hex, (uint8_t *)nonce, 12);
	hex(want_hex, want, 64);
	chacha20_block(key, counter, nonce, out);
	CHECK(memcmp(out, want, 64) == 0);
}

static void section_2_3_2(void)
{
	check_block("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1,
		    "000000090000004a00000000",
		    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
		    "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
}

static void appendix_a_1_all_zero(void)
{
	check_block("0000000000000000000000000000000000000000000000000000000000000000", 0,
		    "000000000000000000000000",
		    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
		    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
}

static void appendix_a_1_counter_one(void)
{
	check_block("0000000000000000000000000000000000000000000000000000000000000000", 1,
		    "000000000000000000000000",
		    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
		    "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
}

int main(void)
{
	RUN(section_2_3_2);
	RUN(appendix_a_1_all_zero);
	RUN(appendix_a_1_counter_one);
	return check_done();
}
