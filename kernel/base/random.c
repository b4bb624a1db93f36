/*
 * Random numbers (kernel/random.h).
 *
 * A pool of 256 bits takes input: 32 bytes at a time are added (exclusive or) and the pool is replaced by a ChaCha20 block of
 * itself, so nothing can be taken out again and no input can undo another. Each CPU has its own generator, seeded from
 * the pool: it makes output in batches with its key and takes the first 32 bytes of every batch as its next key (what was
 * given out cannot be computed from what is in memory later). When the pool has taken in enough, its generation moves
 * on, and a CPU that sees a new generation seeds again.
 *
 * Sources: the loader's seed (EFI RNG protocol, RDSEED/RDRAND), RDRAND at each seeding, interrupt times. Missing ones stop
 * nothing: the firmware's generator is best effort. Any context: irqs off around a CPU's own state; pool_lock is a leaf.
 */
#include <kernel/chacha20.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <kernel/spinlock.h>
#include <lib/math64.h>
#include <lib/string.h>
#include <x86/cpu.h>

#define RESEED_INPUT 256 /* bytes of input for a new generation */
#define RESEED_BATCHES 4096 /* batches of one CPU until it seeds again anyway */

static DEFINE_SPINLOCK(pool_lock);
static u32 pool[8]; /* (pool_lock) */
static u32 pool_extracts; /* (pool_lock) */
static u32 input_bytes; /* (pool_lock) since the last generation */
static u32 generation = 1; /* (pool_lock; read freely) */

#define BATCH_BLOCKS 4
struct generator {
	u32 key[8];
	u32 generation;
	u32 batches;
	u32 used; /* bytes of out that were given away */
	u8 out[BATCH_BLOCKS * 64];
};
static DEFINE_PER_CPU(struct generator, generator); /* (irqs off) */

static const u32 mix_nonce[3] = { 0x6d6978, 0, 0 }, seed_nonce[3] = { 0x73656564, 0, 0 }, out_nonce[3];

static void pool_mix(const u8 *data, size_t n)
{
	u8 block[64];
	u32 chunk[8];

	while (n) {
		size_t take = n < 32 ? n : 32;

		memset(chunk, 0, sizeof(chunk));
		memcpy(chunk, data, take);
		for (int i = 0; i < 8; i++)
			pool[i] ^= chunk[i];
		chacha20_block(pool, (u32)take, mix_nonce, block);
		memcpy(pool, block, sizeof(pool));
		data += take;
		n -= take;
	}
}

void random_add(const void *data, size_t n)
{
	u64 stamp = rdtsc(), flags;

	spin_lock_irqsave(&pool_lock, flags);
	pool_mix((u8 *)&stamp, sizeof(stamp));
	pool_mix(data, n);
	input_bytes += n;
	if (input_bytes >= RESEED_INPUT) {
		input_bytes = 0;
		WRITE_ONCE(generation, generation + 1);
	}
	spin_unlock_irqrestore(&pool_lock, flags);
}

void random_init(const void *seed, size_t n, u32 good_bits)
{
	random_add(seed, n);
	WRITE_ONCE(generation, generation + 1);
	if (good_bits < 128 && !cpu_has(rdrand))
		pr_warn("random: only %u bits from the firmware and no RDRAND: numbers are weak until interrupts have added time stamps",
			good_bits);
}

/* A fresh key for this CPU's generator. => irqs off */
static void seed_generator(struct generator *g)
{
	u64 hw[4] = { rdtsc() };
	u8 block[64];

	for (int i = 0; i < 4 && cpu_has(rdrand); i++)
		for (int tries = 10; tries && !rdrand64(&hw[i]); tries--) /* SDM vol. 1, 7.3.17.1: ten tries */
			;
	spin_lock(&pool_lock);
	pool_mix((u8 *)hw, sizeof(hw));
	chacha20_block(pool, ++pool_extracts, seed_nonce, block);
	g->generation = generation;
	spin_unlock(&pool_lock);
	for (int i = 0; i < 8; i++)
		g->key[i] ^= ((u32 *)block)[i];
	g->batches = 0;
}

static void refill(struct generator *g)
{
	if (g->generation != READ_ONCE(generation) || g->batches >= RESEED_BATCHES)
		seed_generator(g);
	for (u32 i = 0; i < BATCH_BLOCKS; i++)
		chacha20_block(g->key, i, out_nonce, g->out + 64 * i);
	memcpy(g->key, g->out, 32);
	memset(g->out, 0, 32);
	g->used = 32;
	g->batches++;
}

void get_random_bytes(void *buf, size_t n)
{
	u8 *to = buf;

	while (n) {
		u64 flags = local_irq_save();
		struct generator *g = this_cpu_ptr(&generator);
		size_t take;

		if (g->used == 0 || g->used == sizeof(g->out) || g->generation != READ_ONCE(generation))
			refill(g);
		take = sizeof(g->out) - g->used;
		if (take > n)
			take = n;
		memcpy(to, g->out + g->used, take);
		memset(g->out + g->used, 0, take);
		g->used += take;
		local_irq_restore(flags);
		to += take;
		n -= take;
	}
}

u64 get_random_u64(void)
{
	u64 v;

	get_random_bytes(&v, sizeof(v));
	return v;
}

u32 get_random_u32(void)
{
	u32 v;

	get_random_bytes(&v, sizeof(v));
	return v;
}

/* Lemire's multiplication method: the product's high half is the result, a short low half is biased and thrown away. */
u32 get_random_below(u32 ceil)
{
	u64 m;

	if (ceil <= 1)
		return 0;
	do
		m = (u64)get_random_u32() * ceil;
	while ((u32)m < -ceil % ceil);
	return (u32)(m >> 32);
}
