/*
 * Randomness for KASLR and for the kernel's first seed: the RNG protocol, RDSEED, RDRAND and the
 * time stamp counter, all mixed, none trusted alone, none needed. Some firmware lacks the RNG
 * protocol, some CPUs have a RDRAND that is stuck.
 *
 * The pool is a sponge over the ChaCha permutation (20 rounds; RFC 8439 2.1-2.3 has the quarter
 * round): input is xored into the first 32 bytes, output is read from there, the other 32 bytes
 * are never shown. What has been taken tells nothing about what is taken next.
 */
#include "app.h"

#define RATE 32u

static const EFI_GUID rng_guid = EFI_RNG_PROTOCOL_GUID;

static uint32_t rotl(uint32_t v, uint32_t n)
{
	return v << n | v >> (32 - n);
}

static void quarter(uint32_t *s, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	s[a] += s[b];
	s[d] = rotl(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rotl(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rotl(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rotl(s[b] ^ s[c], 7);
}

static void permute(uint32_t *s)
{
	uint32_t round;

	for (round = 0; round < 10; round++) {
		quarter(s, 0, 4, 8, 12);
		quarter(s, 1, 5, 9, 13);
		quarter(s, 2, 6, 10, 14);
		quarter(s, 3, 7, 11, 15);
		quarter(s, 0, 5, 10, 15);
		quarter(s, 1, 6, 11, 12);
		quarter(s, 2, 7, 8, 13);
		quarter(s, 3, 4, 9, 14);
	}
}

void entropy_mix(struct entropy *e, const void *data, uint64_t len)
{
	const uint8_t *p = data;
	uint8_t *rate = (uint8_t *)e->state;
	uint64_t i, n;

	do {
		n = len < RATE ? len : RATE;
		for (i = 0; i < n; i++)
			rate[i] ^= p[i];
		/* The length of the last block is part of the input. */
		e->state[8] ^= (uint32_t)n + 1;
		permute(e->state);
		p += n;
		len -= n;
	} while (len);
}

void entropy_take(struct entropy *e, void *out, uint64_t len)
{
	uint8_t *p = out;
	uint64_t n;

	while (len) {
		n = len < RATE ? len : RATE;
		permute(e->state);
		__builtin_memcpy(p, e->state, n);
		p += n;
		len -= n;
	}
	/* Forget what was shown. */
	__builtin_memset(e->state, 0, RATE);
	permute(e->state);
}

static void credit(struct entropy *e, uint32_t bytes, uint32_t source)
{
	e->sources |= source;
	e->good = e->good + bytes > HANDOFF_ENTROPY_SIZE ? HANDOFF_ENTROPY_SIZE : e->good + bytes;
}

static void mix_tsc(struct entropy *e)
{
	uint64_t t = arch_tsc();

	entropy_mix(e, &t, sizeof(t));
	e->sources |= HANDOFF_ENTROPY_TSC;
}

static void mix_protocol(struct app *app)
{
	EFI_RNG_PROTOCOL *rng = NULL;
	uint8_t buf[HANDOFF_ENTROPY_SIZE] = { 0 };

	if (EFI_ERROR(app->bs->LocateProtocol((EFI_GUID *)&rng_guid, NULL, (VOID **)&rng)) || !rng)
		return;
	if (EFI_ERROR(rng->GetRNG(rng, NULL, sizeof(buf), buf)))
		return;
	entropy_mix(&app->entropy, buf, sizeof(buf));
	credit(&app->entropy, sizeof(buf), HANDOFF_ENTROPY_EFI_RNG);
	__builtin_memset(buf, 0, sizeof(buf));
}

/* Eight words; a generator that repeats itself or is stuck at all ones or zeroes earns nothing. */
static void mix_cpu(struct entropy *e, bool (*next)(uint64_t *), uint32_t source)
{
	uint64_t v[8];
	uint32_t i;

	for (i = 0; i < 8; i++)
		if (!next(&v[i]) || !v[i] || v[i] == UINT64_MAX || (i && v[i] == v[i - 1]))
			return;
	entropy_mix(e, v, sizeof(v));
	credit(e, sizeof(v), source);
	__builtin_memset(v, 0, sizeof(v));
}

void entropy_gather(struct app *app)
{
	struct entropy *e = &app->entropy;
	uint32_t regs[4], max;

	mix_tsc(e);
	mix_protocol(app);
	mix_tsc(e);
	arch_cpuid(0, 0, regs);
	max = regs[0];
	arch_cpuid(1, 0, regs);
	if (regs[2] & 1u << 30)
		mix_cpu(e, arch_rdrand, HANDOFF_ENTROPY_RDRAND);
	if (max >= 7) {
		arch_cpuid(7, 0, regs);
		if (regs[1] & 1u << 18)
			mix_cpu(e, arch_rdseed, HANDOFF_ENTROPY_RDSEED);
	}
	mix_tsc(e);
}
