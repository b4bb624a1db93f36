/*
 * magazine.c - magazines and depot (pure); after Bonwick and Adams, "Magazines and Vmem",
 * USENIX 2001.
 *
 * A CPU has two magazines, loaded and previous.  It takes objects from the loaded one and puts
 * them there.  When the loaded one cannot serve, the previous one may: they change places.  Only
 * when neither can is a magazine exchanged with the depot.  Because the one just swapped in is
 * full (or empty), at least `size` operations pass between two visits to the depot, whatever
 * the mix of allocations and frees: the depot's lock is taken once in `size` operations at most.
 *
 * Invariants: `prev` is full, empty, or (after a drain or a first install) anything; depot.full
 * holds magazines with at least one round, depot.empty those with none; rounds is their sum;
 * full_min and empty_min, the least numbers of the interval, are never above the numbers now.
 */
#include <mm/slab_impl.h>

#include <lib/assert.h>

static __always_inline void exchange(struct mag_cpu *c)
{
	swap(c->loaded, c->prev);
	swap(c->rounds, c->prev_rounds);
	swap(c->size, c->prev_size);
}

bool mag_swap_for_pop(struct mag_cpu *c)
{
	if (!c->prev_rounds)
		return false;
	exchange(c);
	return true;
}

bool mag_swap_for_push(struct mag_cpu *c)
{
	if (c->prev_rounds >= c->prev_size)
		return false;
	exchange(c);
	return true;
}

void depot_put(struct depot *d, struct magazine *m, u32 rounds)
{
	m->rounds = rounds;
	if (rounds) {
		m->next = d->full;
		d->full = m;
		d->nfull++;
		d->rounds += rounds;
	} else {
		m->next = d->empty;
		d->empty = m;
		d->nempty++;
	}
}

struct magazine *depot_get_full(struct depot *d)
{
	struct magazine *m = d->full;

	if (m) {
		d->full = m->next;
		d->nfull--;
		d->full_min = min(d->full_min, d->nfull);
		d->rounds -= m->rounds;
	}
	return m;
}

struct magazine *depot_get_empty(struct depot *d)
{
	struct magazine *m = d->empty;

	if (m) {
		d->empty = m->next;
		d->nempty--;
		d->empty_min = min(d->empty_min, d->nempty);
	}
	return m;
}

void depot_new_interval(struct depot *d)
{
	d->full_min = d->nfull;
	d->empty_min = d->nempty;
}

/* m becomes loaded, loaded becomes prev, prev goes to the depot. */
static void rotate(struct mag_cpu *c, struct depot *d, struct magazine *m, u32 rounds)
{
	if (c->prev)
		depot_put(d, c->prev, c->prev_rounds);
	c->prev = c->loaded;
	c->prev_rounds = c->rounds;
	c->prev_size = c->size;
	c->loaded = m;
	c->rounds = rounds;
	c->size = m->size;
}

bool mag_load_full(struct mag_cpu *c, struct depot *d)
{
	struct magazine *m = depot_get_full(d);

	if (!m)
		return false;
	rotate(c, d, m, m->rounds);
	return true;
}

bool mag_load_empty(struct mag_cpu *c, struct depot *d)
{
	struct magazine *m = depot_get_empty(d);

	if (!m)
		return false;
	rotate(c, d, m, 0);
	return true;
}

void mag_install(struct mag_cpu *c, struct depot *d, struct magazine *m)
{
	rotate(c, d, m, 0);
}

u64 mag_check_one(const struct mag_cpu *c, struct finding *f)
{
	u64 bad = expect_same(f, "size of the loaded magazine", c->loaded, c->size, c->loaded ? c->loaded->size : 0) +
		  expect_same(f, "size of the previous magazine", c->prev, c->prev_size, c->prev ? c->prev->size : 0);

	if (c->rounds > c->size)
		bad += found(f, "rounds of the loaded magazine, at most its size,", c->loaded, c->rounds, c->size);
	if (c->prev_rounds > c->prev_size)
		bad += found(f, "rounds of the previous magazine, at most its size,", c->prev, c->prev_rounds, c->prev_size);
	if (c->loaded && c->loaded == c->prev)
		bad += found(f, "previous magazine, another than the loaded one,", c, (u64)(uintptr_t)c->prev, (u64)(uintptr_t)c->loaded);
	return bad;
}

u64 depot_check_one(const struct depot *d, struct finding *f)
{
	u64 nfull = 0, nempty = 0, rounds = 0, bad = 0;

	for (const struct magazine *m = d->full; m; m = m->next, nfull++) {
		if (!m->rounds || m->rounds > m->size)
			bad += found(f, "rounds of a full magazine, 1 to its size,", m, m->rounds, m->size);
		rounds += m->rounds;
	}
	for (const struct magazine *m = d->empty; m; m = m->next, nempty++)
		bad += expect_same(f, "rounds of an empty magazine", m, m->rounds, 0);
	if (d->full_min > d->nfull)
		bad += found(f, "full magazines not needed, at most all,", d, d->full_min, d->nfull);
	if (d->empty_min > d->nempty)
		bad += found(f, "empty magazines not needed, at most all,", d, d->empty_min, d->nempty);
	return bad + expect_same(f, "full magazines of a depot", d, d->nfull, nfull) +
	       expect_same(f, "empty magazines of a depot", d, d->nempty, nempty) + expect_same(f, "rounds of a depot", d, d->rounds, rounds);
}
