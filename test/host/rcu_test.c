// SOURCES: test/host/simcpu.c
// ARGS: 40000
// PLANT_ARGS: 40000
// PLANT: kernel/sync/rcu.c: if (!waiting) => if (1)
// PLANT: kernel/sync/rcu.c: != before || => != before + 1 ||
// PLANT: include/lib/list.h: smp_store_release(&h->first, n); => h->first = n;
/*
 * RCU under ThreadSanitizer: CPUs look names up in hash chains without a lock while one of them takes entries out and frees
 * them, by call_rcu, kfree_rcu or synchronize_rcu.  Entries that stay are always found, what is found is whole, and nothing is
 * freed under a reader: the sanitizer sees that.  Beside it, readers of a sequence count see pairs that belong together.
 */
#include <kernel/rcu.h>
#include <kernel/spinlock.h>
#include <lib/list.h>
#include "simcpu.h"

enum { CPUS = 4, CHAINS = 8, KEYS = 64 };

struct entry {
	struct hlist_node link;
	struct rcu_head rcu;
	u64 key, check;
};

static struct hlist_head chains[CHAINS];
static struct entry *in[KEYS];	/* writer's */
static DEFINE_SPINLOCK(pair_lock);
static seqcount_t pair_seq;
static u64 pair[2];
static u64 rounds;
static u64 wrong, found;	/* (a) */
static bool over;

static u64 check_of(u64 key) { return key * 0x9e3779b97f4a7c15ULL + 1; }
static bool stays(u64 key) { return key % 4 == 0; }

static void add(u64 key)
{
	struct entry *e = malloc(sizeof(*e));

	e->key = key;
	e->check = check_of(key);
	hlist_add_head_rcu(&e->link, &chains[key % CHAINS]);
	in[key] = e;
}

static void free_entry(struct rcu_head *h)
{
	struct entry *e = container_of(h, struct entry, rcu);

	e->check = 0;
	free(e);
}

static void take_out(u64 key)
{
	struct entry *e = in[key];

	hlist_del_rcu(&e->link);
	in[key] = NULL;
	switch (sim_rand_below(50)) {
	case 0:
		synchronize_rcu();
		free_entry(&e->rcu);
		break;
	case 1 ... 10:
		kfree_rcu(e, rcu);
		break;
	default:
		call_rcu(&e->rcu, free_entry);
	}
}

static void writer(void)
{
	for (u64 i = 0; i < rounds; i++) {
		u64 key = sim_rand_below(KEYS);

		if (!in[key])
			add(key);
		else if (!stays(key))
			take_out(key);
		spin_lock(&pair_lock);
		write_seqbegin(&pair_seq);
		WRITE_ONCE(pair[0], i);
		WRITE_ONCE(pair[1], ~i);
		write_seqend(&pair_seq);
		spin_unlock(&pair_lock);
		sim_pass();
	}
	rcu_barrier();
	WRITE_ONCE(over, true);
}

static bool look_up(u64 key)
{
	struct entry *e;
	bool there = false;

	rcu_read_lock();
	hlist_for_each_entry_rcu(e, &chains[key % CHAINS], link)
		if (e->key == key) {
			there = true;
			if (e->check != check_of(key))
				__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
			break;
		}
	rcu_read_unlock();
	return there;
}

static void reader(void)
{
	u64 n = 0;

	while (!READ_ONCE(over)) {
		u64 key = sim_rand_below(KEYS), a, b;
		bool there = look_up(key);
		u32 seq;

		n += there;
		if (!there && stays(key))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		do {
			seq = read_seqbegin(&pair_seq);
			a = READ_ONCE(pair[0]);
			b = READ_ONCE(pair[1]);
		} while (read_seqretry(&pair_seq, seq));
		if (a != ~b)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		sim_pass();
	}
	__atomic_fetch_add(&found, n, __ATOMIC_RELAXED);
}

static void cpu(int n)
{
	n ? reader() : writer();
}

static void readers_beside_a_writer(void)
{
	pair[1] = ~0ULL;
	for (u64 key = 0; key < KEYS; key++)
		add(key);
	sim_run(cpu);
	CHECK_EQ(wrong, 0);
	CHECK(found > 100);
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 40000;
	sim_start(CPUS);
	RUN(readers_beside_a_writer);
	return check_done();
}
