// SOURCES: kernel/lib/xarray.c test/host/simcpu.c
// PLANT: kernel/lib/xarray.c: smp_store_release(&n->slots[i], value); => n->slots[i] = value;
// PLANT: kernel/lib/xarray.c: smp_store_release(&xa->head, mk_node(n)); => xa->head = mk_node(n);
// PLANT: kernel/lib/xarray.c: if (n->present > 1)\n\t\t\treturn; => ;
/*
 * Readers beside a writer, under ThreadSanitizer.  Nodes are freed after a grace period.  A reader must see,
 * for each index, NULL or an entry made for that index; entries that are never taken out it must always see.
 */
#include <kernel/rcu.h>
#include <lib/xarray.h>
#include "simcpu.h"

enum { CPUS = 4, ROUNDS = 60000 };

static struct xarray xa;
static bool stop;
static long wrong, looked;

static struct xa_node *node_alloc(gfp_t gfp __unused)
{
	return malloc(sizeof(struct xa_node));
}

static void node_free_late(struct rcu_head *head)
{
	free(container_of((void **)head, struct xa_node, owner_words[0]));
}

static void node_free(struct xa_node *node)
{
	call_rcu((struct rcu_head *)node->owner_words, node_free_late);
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

static void reader(int cpu)
{
	u64 seed = (u64)cpu;
	long bad = 0, n = 0;

	while (!READ_ONCE(stop)) {
		u64 i = pick(&seed), at = i;
		void *e;

		rcu_read_lock();
		e = xa_load(&xa, i);
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
		rcu_read_unlock();
		n++;
		sim_pass();
	}
	__atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
	__atomic_fetch_add(&looked, n, __ATOMIC_RELAXED);
}

static void writer(void)
{
	u64 seed = 99;

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
		sim_pass();
	}
	rcu_barrier();
	WRITE_ONCE(stop, true);
}

static void cpu(int n)
{
	n ? reader(n) : writer();
}

static void readers_beside_a_writer(void)
{
	const char *what = "";

	xa_init(&xa, &ops);
	for (u64 i = 0; i < 4096; i += 16)
		CHECK_EQ(xa_store(&xa, i, entry_for(i), 0), 0);
	sim_run(cpu);
	CHECK_EQ(wrong, 0);
	CHECK(looked > 100);
	CHECK_EQ(xa_check(&xa, &what), 0);
}

int main(void)
{
	sim_start(CPUS);
	RUN(readers_beside_a_writer);
	return check_done();
}
