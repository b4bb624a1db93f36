/* ChaCha20 block function, RFC 8439 section 2.3. Pure. */
#ifndef KERNEL_CHACHA20_H
#define KERNEL_CHACHA20_H

#include <lib/types.h>

/* @key 8 words, @nonce 3 words (both as little-endian words); writes 64 bytes. */
void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64]);

#endif
