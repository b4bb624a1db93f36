/*
 * failinject.c - see include/mm/failinject.h.
 *
 * alloc_hooks is the only byte the allocators read; while it is set their fast paths lead to
 * the slow ones, which ask fail_alloc_slow.  Allocations in interrupts are not counted: they
 * belong to nobody and would make runs differ.
 *
 * fail_left counts down over all CPUs.  From 0 to 1 - count it fails, and the one that reaches
 * 1 - count ends the round; nobody else can get that value, so the round ends once.  A CPU that
 * decremented beyond it saw armed before it fell and passes.
 *
 * At random, every draw is a hash of the seed and the number of the draw: with one CPU the same seed gives the same failures.
 */
#include <mm/failinject.h>

#include <kernel/cmdline.h>
#include <kernel/current.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <lib/atomic.h>
#include <lib/parse.h>

bool fail_nth_armed;
u8 alloc_hooks;
static struct thread *fail_thread;	/* compared, never followed */
static atomic64_t fail_left;
static s64 fail_count;
static u64 fail_period;
static bool nth_on; /* the Nth is waited for */
static u64 fail_every, fail_seed; /* at random: one in so many, 0: none */
static atomic64_t fail_draws;

static void set_armed(bool nth)
{
	bool on = nth || READ_ONCE(fail_every);

	WRITE_ONCE(nth_on, nth);
	smp_store_release(&fail_nth_armed, on);
	if (on)
		__atomic_fetch_or(&alloc_hooks, ALLOC_HOOK_FAIL, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(&alloc_hooks, (u8)~ALLOC_HOOK_FAIL, __ATOMIC_RELEASE);
}

/* The splitmix64 generator (Steele, Lea, Flood 2014), whose state after n draws is known without those before. */
static u64 draw(void)
{
	u64 x = fail_seed + (u64)atomic64_inc_return(&fail_draws) * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool random_due(void)
{
	u64 every = READ_ONCE(fail_every);

	return every && fail_marked() && draw() % every == 0;
}

static bool nth_due(void)
{
	s64 left;

	if (!READ_ONCE(nth_on) || (fail_thread && fail_thread != current_thread()))
		return false;
	left = atomic64_dec_return(&fail_left);
	if (left > 0 || left <= -fail_count)
		return false;
	if (left == 1 - fail_count) {
		if (fail_period)
			atomic64_set(&fail_left, (s64)fail_period);
		else
			set_armed(false);
	}
	return true;
}

bool fail_alloc_slow(void)
{
	return !in_interrupt() && (nth_due() || random_due());
}

void fail_rate_set(u64 every, u64 seed)
{
	WRITE_ONCE(fail_every, 0);
	fail_seed = seed;
	atomic64_set(&fail_draws, 0);
	WRITE_ONCE(fail_every, every);
	set_armed(READ_ONCE(nth_on));
	if (every)
		pr_info("mm: one of %llu allocations of marked threads will fail, seed %llu\n", every, seed);
}

u64 fail_rate(void)
{
	return READ_ONCE(fail_every);
}

void fail_nth_arm_many(struct thread *t, u64 n, u64 count, u64 period)
{
	set_armed(false);
	fail_thread = t;
	fail_count = count ? (s64)count : 1;
	fail_period = period;
	atomic64_set(&fail_left, (s64)n);
	set_armed(n != 0);
}

void fail_nth_arm(struct thread *t, u64 n)
{
	fail_nth_arm_many(t, n, 1, 0);
}

u64 fail_nth_left(void)
{
	s64 left = atomic64_read(&fail_left);

	return READ_ONCE(nth_on) && left > 0 ? (u64)left : 0;
}

void fail_nth_boot(void)
{
	u64 v[3] = { 0, 1, 0 };
	char text[48] = "";
	const char *at = text, *end;

	if (cmdline_get("fail_nth", text, sizeof(text)) <= 0)
		return;
	for (int i = 0; i < 3; i++) {
		u64 n = parse_u64(at, &end, 10);

		if (end == at)
			break;
		v[i] = n;
		if (*end != ',')
			break;
		at = end + 1;
	}
	if (v[0]) {
		pr_info("mm: from allocation number %llu on %llu will fail, every %llu\n", v[0], v[1], v[2]);
		fail_nth_arm_many(NULL, v[0], v[1], v[2]);
	}
}
