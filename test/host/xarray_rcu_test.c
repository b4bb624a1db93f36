// SOURCES: kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG -fno-sanitize=all -fsanitize=thread
/*
 * Readers beside a writer, under ThreadSanitizer.  Nodes are freed when all is over, as if a grace
 * period were endless.  A reader must see, for each index, NULL or an entry made for that index;
 * entries that are never taken out it must always see.
 */
#include "check.h"
#include <pthread.h>
#include "lib/xarray.h"

enum { READERS = 3, ROUNDS = 60000 };

static struct xarray xa;
static struct xa_node *dead;
static bool stop;
static long wrong, looked;

static struct xa_node *node_alloc(gfp_t gfp __unused)
{
	return malloc(sizeof(struct xa_node));
}

static void node_free(struct xa_node *node)
{
	node->owner_words[0] = dead;
	dead = node;
}

static const struct xa_node_ops ops = { node_alloc, node_free };

static u64 rnd(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

/* Indices of all heights; those divisible by 16 below 4096 always stay. */
static u64 pick(u64 *seed)
{
	u64 r = rnd(seed);

	return r % 3 ? r % 4096 : (r % 64) << (6 * (r >> 8) % 54);
}

static bool stays(u64 index)
{
	return index < 4096 && index % 16 == 0;
}

static void *entry_for(u64 index)
{
	return xa_mk_value(index & ((1ull << 60) - 1));
}

static void *reader(void *arg)
{
	u64 seed = (u64)(uintptr_t)arg;
	long bad = 0, n = 0;

	while (!READ_ONCE(stop)) {
		u64 i = pick(&seed), at = i;
		void *e = xa_load(&xa, i);

		bad += e ? e != entry_for(i) : stays(i);
		e = xa_find(&xa, &at, U64_MAX);
		bad += e && e != entry_for(at);
		/* The next one that stays is the farthest it may be. */
		if (i < 4080)
			bad += !e || at > ALIGN(i, 16);
		at = 0;
		e = xa_find_marked(&xa, &at, U64_MAX, XA_MARK_1);
		bad += e && e != entry_for(at);
		xa_get_mark(&xa, i, XA_MARK_1);
		n++;
	}
	__atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
	__atomic_fetch_add(&looked, n, __ATOMIC_RELAXED);
	return NULL;
}

static void test_readers_beside_a_writer(void)
{
	pthread_t t[READERS];
	u64 seed = 99;

	xa_init(&xa, &ops);
	for (u64 i = 0; i < 4096; i += 16)
		CHECK_EQ(xa_store(&xa, i, entry_for(i), 0), 0);
	for (long k = 0; k < READERS; k++)
		pthread_create(&t[k], NULL, reader, (void *)(k + 1));
	for (int round = 0; round < ROUNDS; round++) {
		u64 i = pick(&seed);

		switch (rnd(&seed) % 4) {
		case 0:
			if (!stays(i))
				xa_erase(&xa, i);
			break;
		case 1:
			xa_set_mark(&xa, i, XA_MARK_1);
			break;
		case 2:
			xa_clear_mark(&xa, i, XA_MARK_1);
			break;
		default:
			CHECK_EQ(xa_store(&xa, i, entry_for(i), 0), 0);
		}
	}
	WRITE_ONCE(stop, true);
	for (int k = 0; k < READERS; k++)
		pthread_join(t[k], NULL);
	CHECK_EQ(wrong, 0);
	CHECK(looked > 100);
	xa_destroy(&xa);
	while (dead) {
		struct xa_node *n = dead;

		dead = n->owner_words[0];
		free(n);
	}
}

int main(void)
{
	RUN(test_readers_beside_a_writer);
	return check_done();
}
