/*
 * hash.h - hash functions: multiplicative for integers, a fast one for names (word at a time,
 * salted), and SipHash-2-4 where an attacker chooses the keys.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include "lib/byteorder.h"

#define GOLDEN_RATIO_64	0x9e3779b97f4a7c15ULL

/* The top `bits` bits of a multiplicative hash; bits is 1..64. */
static __always_inline u64 hash_64(u64 v, unsigned int bits)
{
	return (v * GOLDEN_RATIO_64) >> (64 - bits);
}

static __always_inline u32 hash_32(u32 v, unsigned int bits)
{
	return (v * 0x9e3779b1U) >> (32 - bits);
}

static __always_inline u64 hash_ptr(const void *p, unsigned int bits)
{
	return hash_64((u64)(uintptr_t)p, bits);
}

/* Mixes a word into a running hash. */
static __always_inline u64 hash_mix(u64 h, u64 w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

/* Hash of a name of known length, for directory entries: about one multiplication per 8 bytes.
 * The bytes past the last whole word are gathered without reading outside the name. */
static __always_inline u64 hash_name(const char *name, size_t len, u64 salt)
{
	u64 h = salt + len * GOLDEN_RATIO_64;

	for (; len >= 8; len -= 8, name += 8)
		h = hash_mix(h, get_unaligned_le64(name));
	if (len >= 4) {
		h = hash_mix(h, get_unaligned_le32(name) |
			     (u64)get_unaligned_le32(name + len - 4) << 32);
	} else if (len) {
		u64 w = (u8)name[0] | (u64)(u8)name[len >> 1] << 8 | (u64)(u8)name[len - 1] << 16;

		h = hash_mix(h, w);
	}
	return h;
}

/* SipHash-2-4 of a byte string under a 128-bit key. */
u64 siphash(const void *data, size_t len, const u64 key[2]);

#endif
