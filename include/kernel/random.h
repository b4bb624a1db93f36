/* Entropy: a ChaCha20 generator per CPU, reseeded from a pool fed by the loader's seed, RDRAND/RDSEED and interrupt times. */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <lib/types.h>

void random_init(const void *seed, size_t n, u32 good_bits);
void random_add(const void *data, size_t n); /* mixes, credits nothing; any context */
void get_random_bytes(void *buf, size_t n);
u64 get_random_u64(void);
u32 get_random_u32(void);
u32 get_random_below(u32 ceil); /* uniform in [0, ceil) */

#endif
