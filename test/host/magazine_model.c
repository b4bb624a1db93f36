// SOURCES: mm/magazine.c
// CFLAGS: -DHOST_TEST -DDEBUG
// PLANT: mm/magazine.c: if (c->prev)\n\t\tdepot_put(d, c->prev, c->prev_rounds); => ;
// PLANT: mm/magazine.c: swap(c->rounds, c->prev_rounds); => ;
// PLANT: mm/magazine.c: d->rounds -= m->rounds; => ;
// PLANT: mm/magazine.c: d->full_min = min(d->full_min, d->nfull); => ;
// PLANT: mm/magazine.c: c->rounds = rounds;\n\tc->size => c->rounds = rounds ? rounds - 1 : 0;\n\tc->size
/*
 * Magazines and depot as caches of three CPUs over a stock of numbered objects: an object is in one place only, and the
 * depot is asked at most once in as many operations as a magazine has rounds.
 */
#include "model.h"
#include <mm/slab_impl.h>

enum { CPUS = 3, OBJECTS = 300, MAX_ROUNDS = 8 };

static struct mag_cpu cpus[CPUS];
static struct depot depot;
static enum place { STOCK, LIVE, CACHED } place[OBJECTS];
static u32 count_of[3], live[OBJECTS];
static long mags;
static u32 mag_size;
static u32 since[CPUS];		/* operations of a CPU since the depot gave it a magazine */
static u32 at_least[CPUS];	/* so many must come before the next; 0: not known */
static u32 full_min, empty_min;	/* the least the depot had since the interval began */
static bool filling;

static void *obj_of(u32 n) { return (void *)(uintptr_t)(0x1000 + 8 * n); }

/* An object moves; it must come from where we think it is. */
static void moved(void *obj, enum place from, enum place to)
{
	u64 n = ((uintptr_t)obj - 0x1000) / 8;

	CHECK_OR_RETURN(n < OBJECTS && obj == obj_of((u32)n) && place[n] == from);
	place[n] = to;
	count_of[from]--;
	count_of[to]++;
	if (to == LIVE)
		live[count_of[LIVE] - 1] = (u32)n;
}

static struct magazine *mag_new(void)
{
	struct magazine *m = malloc(sizeof(*m) + MAX_ROUNDS * sizeof(void *));

	mags++;
	*m = (struct magazine){ .size = mag_size };
	return m;
}

/* The depot was of use: not before the magazine it gave last was used up. */
static void visited(u32 c, bool gave)
{
	CHECK(since[c] >= at_least[c]);
	at_least[c] = gave ? min(cpus[c].size, cpus[c].prev_size) : 0;
	since[c] = 0;
}

static void step_alloc(u32 k)
{
	struct mag_cpu *c = &cpus[k];
	u32 n = 0, full = depot.nfull;

	if (!c->rounds && !mag_swap_for_pop(c)) {
		if (mag_load_full(c, &depot)) {
			full_min = min(full_min, full - 1);
			visited(k, c->rounds == c->size && c->prev && !c->prev_rounds);
		} else {
			at_least[k] = 0;
			while (n < OBJECTS && place[n] != STOCK)
				n++;
			if (n < OBJECTS)
				moved(obj_of(n), STOCK, LIVE);
			return;
		}
	}
	CHECK_OR_RETURN(c->rounds);
	moved(mag_pop(c), CACHED, LIVE);
	since[k]++;
}

static void step_free(u32 k)
{
	struct mag_cpu *c = &cpus[k];
	u32 i = (u32)choose(count_of[LIVE]), empty = depot.nempty;
	void *obj = obj_of(live[i]);

	live[i] = live[count_of[LIVE] - 1];
	if (c->rounds >= c->size && !mag_swap_for_push(c)) {
		if (mag_load_empty(c, &depot)) {
			empty_min = min(empty_min, empty - 1);
			visited(k, c->prev && c->prev_rounds == c->prev_size);
		} else if (one_in(3)) {
			moved(obj, LIVE, STOCK);
			return;
		} else {
			mag_install(c, &depot, mag_new());
			at_least[k] = 0;
		}
	}
	CHECK_OR_RETURN(c->rounds < c->size);
	moved(obj, LIVE, CACHED);
	mag_push(c, obj);
	since[k]++;
}

static void empty_mag(struct magazine *m, u32 rounds)
{
	CHECK_OR_RETURN(rounds <= m->size);
	for (u32 i = 0; i < rounds; i++)
		moved(m->round[i], CACHED, STOCK);
	free(m);
	mags--;
}

static void drain(u32 k)
{
	struct mag_cpu old = cpus[k];

	cpus[k] = (struct mag_cpu){ 0 };
	at_least[k] = 0;
	if (old.loaded)
		empty_mag(old.loaded, old.rounds);
	if (old.prev)
		empty_mag(old.prev, old.prev_rounds);
}

static void reap(void)
{
	struct magazine *m;

	while ((m = depot_get_full(&depot)) || (m = depot_get_empty(&depot)))
		empty_mag(m, m->rounds);
	full_min = empty_min = 0;
}

static void new_interval(void)
{
	depot_new_interval(&depot);
	full_min = depot.nfull;
	empty_min = depot.nempty;
}

static void start(void)
{
	memset(cpus, 0, sizeof(cpus));
	memset(&depot, 0, sizeof(depot));
	memset(place, 0, sizeof(place));
	memset(at_least, 0, sizeof(at_least));
	full_min = empty_min = 0;
	count_of[STOCK] = OBJECTS;
	count_of[LIVE] = count_of[CACHED] = 0;
	mag_size = 1 + (u32)choose(MAX_ROUNDS);
	filling = true;
}

static void step(void)
{
	u64 r = choose(400), k = choose(CPUS);

	if (r == 0)
		drain((u32)k);
	else if (r == 1)
		reap();
	else if (r == 2 && mag_size < MAX_ROUNDS)
		mag_size++;	/* larger ones from now on */
	else if (r == 3)
		new_interval();
	else if (r < 8)
		filling = !filling;
	else if (r < (filling ? 240 : 160) || !count_of[LIVE])
		step_alloc((u32)k);
	else
		step_free((u32)k);
}

static void check(void)
{
	struct finding f = { 0 };
	u64 cached = depot.rounds, bad = depot_check_one(&depot, &f);

	for (u32 k = 0; k < CPUS && !bad; k++) {
		bad = mag_check_one(&cpus[k], &f);
		cached += cpus[k].rounds + cpus[k].prev_rounds;
	}
	if (bad)
		printf("  %s is %#llx, should be %#llx\n", f.what, (unsigned long long)f.is, (unsigned long long)f.should);
	CHECK_EQ(bad, 0);
	CHECK_EQ(cached, count_of[CACHED]);
	CHECK_EQ(depot.full_min, full_min);
	CHECK_EQ(depot.empty_min, empty_min);
}

static void finish(void)
{
	for (u32 k = 0; k < CPUS; k++)
		drain(k);
	reap();
	CHECK_EQ(count_of[CACHED], 0);
	CHECK_EQ(mags, 0);
}

const struct model model = { .round = 5000, .start = start, .step = step, .check = check, .finish = finish };
