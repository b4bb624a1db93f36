/*
 * ChaCha20: 10 double rounds over a 4x4 matrix of words (constants, key, counter, nonce), then the start matrix is
 * added. RFC 8439 section 2.3. Pure; tested against the RFC's vectors on the host.
 */
#include <kernel/chacha20.h>
#include <lib/bitops.h>
#include <lib/string.h>

#define QUARTER(a, b, c, d)                                       \
	do {                                                      \
		x[a] += x[b], x[d] = rol32(x[d] ^ x[a], 16);      \
		x[c] += x[d], x[b] = rol32(x[b] ^ x[c], 12);      \
		x[a] += x[b], x[d] = rol32(x[d] ^ x[a], 8);       \
		x[c] += x[d], x[b] = rol32(x[b] ^ x[c], 7);       \
	} while (0)

void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64])
{
	u32 start[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }; /* "expand 32-byte k" */
	u32 x[16];

	memcpy(start + 4, key, 32);
	start[12] = counter;
	memcpy(start + 13, nonce, 12);
	memcpy(x, start, sizeof(x));
	for (int i = 0; i < 10; i++) {
		QUARTER(0, 4, 8, 12);
		QUARTER(1, 5, 9, 13);
		QUARTER(2, 6, 10, 14);
		QUARTER(3, 7, 11, 15);
		QUARTER(0, 5, 10, 15);
		QUARTER(1, 6, 11, 12);
		QUARTER(2, 7, 8, 13);
		QUARTER(3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		x[i] += start[i];
	memcpy(out, x, 64); /* words are little endian, as this machine is */
}
