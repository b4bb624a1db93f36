/*
 * The clock: a counter, scaled, and the per-CPU event timer.
 *
 * The counter is the time-stamp counter as long as it is good. It is measured once against whatever else the machine has: HPET, ACPI
 * PM timer or PIT. CPUID leaf 0x15 is preferred where it names a crystal and agrees with the measurement within 1 %.
 * ns = base_ns + ((count - base_count) * mult >> shift) with a product of 128 bits, so that the scale never has to be renewed, and the
 * vDSO can use it as it is. Only turning renews it, to another rate (clock_steer) or another counter (clock_use): readers of
 * ktime_ns() then see time go on from where the old scale had brought it, because they read again when clock_turns changed
 * meanwhile; it is odd while a scale is being published. vDSO readers wait for vdso_release().
 *
 * Every CPU that comes up is checked against the boot CPU: if time can be seen to run backwards
 * between them the TSC is given up for the HPET, or without one for the TSC clamped to never go back. The scale says which counter
 * it is for: all who read a TSC and scale it by themselves (the vDSO, sched_clock) look there, and ask ktime_ns() when it is another.
 * Raw time and steering work with each counter.
 *
 * Events: TSC deadline where the CPU has it, else the APIC timer's one-shot count, measured against
 * the TSC. Both are each CPU's own and do not care whether CPUs agree; an event that comes early finds nothing due and is set again.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <lib/atomic.h>
#include <lib/math64.h>
#include <lib/string.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/hpet.h>
#include <x86/io.h>
#include <x86/machine.h>

#define MSR_TSC_DEADLINE 0x6e0
#define CALIBRATE_MS 10
#define SCALE_SHIFT 32

/* Two scales for each counter: a reader who is held up may see a mixture of two, which must not be of two counters. */
static struct clock_scale scales[NR_CLOCK_SOURCES][2] = {
	/* until the measurement a guess of 1 GHz serves timestamps and delays */
	[CLOCK_TSC] = { { .mult = 1u << 30, .shift = 30, .raw_mult = 1u << 30 } },
};
struct clock_scale *clock_scale = &scales[CLOCK_TSC][0];
static u32 clock_turns;
u64 tsc_khz = 1000000;
s64 realtime_offset_ns;

static const char *const source_names[NR_CLOCK_SOURCES] = { "tsc", "hpet", "clamped" };
static struct rate { u32 mult, shift; } rates[NR_CLOCK_SOURCES]; /* as measured */
static u64 steered = NSEC_PER_SEC << 32; /* (vdso_hold) what clock_steer() was told */
static bool tsc_bad;
static u64 clamp_last; /* (a) the greatest count given out, of CLOCK_CLAMPED */

static bool deadline;
static u64 event_mult; /* event timer ticks per ns, 32.32 */

static u64 mul_shift(u64 a, u64 mult, unsigned shift)
{
	return (u64)((unsigned __int128)a * mult >> shift);
}

static u64 clamped_count(void)
{
	u64 now = rdtsc(), seen = READ_ONCE(clamp_last);

	while (now > seen)
		if (try_cmpxchg(&clamp_last, &seen, now))
			return now;
	return seen;
}

static u64 count_of(enum clock_source source)
{
	return source == CLOCK_TSC ? rdtsc() : source == CLOCK_HPET ? hpet_count() : clamped_count();
}

static u64 raw_at(const struct clock_scale *c, u64 count)
{
	return c->raw_ns + (u64)((__int128)(s64)(count - c->base_count) * c->raw_mult >> c->shift);
}

/*
 * What a TSC's scale and one look cannot answer, or not now: another counter, the raw clock, a scale that was turned while the clock
 * was read. An NMI in the midst of a turn takes what it gets.
 */
static noinline u64 read_clock(u64 (*at)(const struct clock_scale *c, u64 count))
{
	u64 ns = 0;

	for (u32 tries = 0; tries < 1000000; tries++) {
		u32 turns = READ_ONCE(clock_turns);
		barrier();
		const struct clock_scale *c = READ_ONCE(clock_scale);
		ns = at(c, count_of(c->source));
		barrier();
		if (!(turns & 1) && turns == READ_ONCE(clock_turns))
			break;
		cpu_relax();
	}
	return ns;
}

u64 ktime_ns(void)
{
	u32 turns = READ_ONCE(clock_turns) & ~1u;
	const struct clock_scale *c = READ_ONCE(clock_scale);
	if (unlikely(c->source != CLOCK_TSC))
		return read_clock(clock_scale_ns);
	u64 ns = clock_scale_ns(c, rdtsc());
	barrier(); /* loads are not reordered (SDM vol. 3A 8.2.2) */
	return likely(turns == READ_ONCE(clock_turns)) ? ns : read_clock(clock_scale_ns);
}

u64 ktime_raw_ns(void)
{
	return read_clock(raw_at);
}

static struct clock_scale scale_of(enum clock_source source)
{
	const struct rate *r = &rates[source];

	return (struct clock_scale){
		.source = source, .raw_mult = r->mult, .shift = r->shift,
		.mult = (u32)mul_u64_u64_div_u64(r->mult, steered, NSEC_PER_SEC << 32),
	};
}

/* Time goes on by @source at the rate asked for. => vdso_hold() */
static void turn_locked(enum clock_source source)
{
	const struct clock_scale *c = clock_scale;
	struct clock_scale *n = &scales[source][c == &scales[source][0]];

	WRITE_ONCE(clock_turns, clock_turns + 1);
	smp_wmb();
	*n = scale_of(source);
	/* the new counter is read first and a tick added: who reads it after the turn must not see less than who read the old one before */
	n->base_count = count_of(source);
	u64 old = source == c->source ? n->base_count : count_of(c->source);
	u64 tick = source == c->source ? 0 : mul_shift(1, n->mult, n->shift) + 1;
	n->base_ns = clock_scale_ns(c, old) + tick;
	n->raw_ns = raw_at(c, old) + tick;
	smp_store_release(&clock_scale, n);
	smp_wmb();
	WRITE_ONCE(clock_turns, clock_turns + 1);
}

void clock_steer(u64 ns)
{
	u64 flags = vdso_hold();

	steered = ns;
	turn_locked(clock_scale->source);
	vdso_release(flags);
}

const char *clock_source_name(enum clock_source source)
{
	bool there = source == CLOCK_TSC ? !tsc_bad : source == CLOCK_HPET ? hpet_period_fs != 0 : clock_scale->source == source;

	return there ? source_names[source] : NULL;
}

static void use_source(enum clock_source source)
{
	u64 flags = vdso_hold();
	bool other = source != clock_scale->source;

	if (other)
		turn_locked(source);
	vdso_release(flags);
	if (!other)
		return;
	if (source == CLOCK_HPET)
		hpet_keep();
	pr_info("clock: %s is the clock now\n", source_names[source]);
}

void clock_use(const char *name)
{
	for (enum clock_source s = 0; s < NR_CLOCK_SOURCES; s++)
		if (clock_source_name(s) && !strcmp(name, source_names[s]))
			use_source(s);
}

/* For good: nobody may choose it again. */
static void give_up_tsc(void)
{
	tsc_bad = true;
	use_source(hpet_period_fs ? CLOCK_HPET : CLOCK_CLAMPED);
}

void clock_sources_init(void)
{
	char word[32];

	if (cmdline_get("tsc", word, sizeof(word)) > 0 && !strcmp(word, "unstable") && !tsc_bad)
		give_up_tsc();
	if (cmdline_get("clocksource", word, sizeof(word)) > 0)
		clock_use(word);
}

u64 ktime_real_ns(void)
{
	return ktime_ns() + (u64)READ_ONCE(realtime_offset_ns);
}

void ktime_set_real(u64 ns)
{
	WRITE_ONCE(realtime_offset_ns, (s64)(ns - ktime_ns()));
}

void udelay(u64 us)
{
	u64 start = rdtsc(), ticks = us * tsc_khz / 1000 + 1;

	while (rdtsc() - start < ticks)
		cpu_relax();
}

/* A counter to measure by: 32 bits, fs per tick. */
struct reference {
	const char *name;
	u32 (*read)(void);
	u64 period_fs;
	u32 mask;
};

static u32 pm_read(void)
{
	return inl((u16)acpi.pm_timer_port);
}

/* Channel 2 counts down from 65536 at 1.193182 MHz in mode 2; latched, then read low, high (Intel 8254). */
static u32 pit_read(void)
{
	outb(0x43, 0x80);
	u32 v = inb(0x42);
	return 0x10000 - (v | (u32)inb(0x42) << 8);
}

static struct reference find_reference(void)
{
	if (hpet_start())
		return (struct reference){ "HPET", hpet_read, hpet_period_fs, 0xffffffff };
	if (acpi.pm_timer_port && !cmdline_has("nopmtimer"))
		return (struct reference){ "PM timer", pm_read, 279365114, 0xffffff };
	outb(0x61, (inb(0x61) & ~2) | 1); /* gate on, speaker off */
	outb(0x43, 0xb4);
	outb(0x42, 0);
	outb(0x42, 0);
	return (struct reference){ "PIT", pit_read, 838095345, 0xffff };
}

/* Both clocks at one moment: of a few tries the one where least passed in between. */
static u32 sample(const struct reference *ref, u64 *tsc)
{
	u64 best = ~0ull;
	u32 value = 0;

	for (int i = 0; i < 5; i++) {
		u64 a = rdtsc();
		u32 v = ref->read();
		u64 b = rdtsc();
		if (b - a < best) {
			best = b - a;
			value = v;
			*tsc = a + (b - a) / 2;
		}
	}
	return value;
}

/* kHz of the TSC, or 0 when the reference does not move. */
static u64 measure(const struct reference *ref)
{
	u64 t0, t1, spins = 0;
	u32 want = (u32)(CALIBRATE_MS * 1000000000000ull / ref->period_fs);
	u32 r0 = sample(ref, &t0), passed;

	do {
		passed = (ref->read() - r0) & ref->mask;
		if (++spins > 50000000)
			return 0;
	} while (passed < want);
	passed = (sample(ref, &t1) - r0) & ref->mask;
	u64 ns = (u64)passed * ref->period_fs / 1000000;
	return ns ? (t1 - t0) * 1000000 / ns : 0;
}

/* CPUID 0x15: TSC = crystal * EBX / EAX. 0 when the CPU does not say (quirk: crystal 0). */
static u64 cpuid_khz(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	if (r[0] < 0x15)
		return 0;
	cpuid(0x15, 0, r);
	return r[0] && r[1] && r[2] ? (u64)r[2] * r[1] / r[0] / 1000 : 0;
}

/* mult / 2^shift is @ns / @ticks; below 2^31, so that one bit is left for steering */
static struct rate rate_of(u64 ns, u64 ticks)
{
	unsigned shift = SCALE_SHIFT;
	u64 mult;

	while ((mult = (ns << shift) / ticks) >> 31)
		shift--;
	return (struct rate){ (u32)mult, shift };
}

static void set_scale(u64 khz)
{
	tsc_khz = khz;
	rates[CLOCK_TSC] = rates[CLOCK_CLAMPED] = rate_of(1000000, khz);
	if (hpet_period_fs)
		rates[CLOCK_HPET] = rate_of(hpet_period_fs, 1000000);
	/* Time goes on from where the guess had brought it, so that it never goes back. */
	u64 flags = vdso_hold();
	turn_locked(CLOCK_TSC);
	vdso_release(flags);
}

void clock_early_init(void)
{
	clock_scale->base_count = rdtsc();
}

void clock_init(void)
{
	struct reference ref = find_reference();
	u64 said = cpuid_khz(), khz = measure(&ref);
	const char *by = ref.name;

	if (said && (!khz || abs_diff(said, khz) < khz / 100)) {
		khz = said;
		by = "CPUID";
	}
	if (khz < 1000) {
		pr_warn("clock: no working reference, the TSC is taken for 1 GHz\n");
		khz = 1000000;
	}
	set_scale(khz);
	pr_info("clock: TSC at %llu.%03llu MHz by %s%s\n", khz / 1000, khz % 1000, by,
		cpu_has(tsc_invariant) ? ", invariant" : "");
}

/* The boot CPU measures its APIC timer against the TSC; then every CPU sets its own up. */
void clock_event_init(void)
{
	if (!apic_present())
		return;
	deadline = cpu_has(tsc_deadline);
	if (deadline) {
		event_mult = (tsc_khz << 32) / 1000000;
	} else {
		apic_timer_mode(false);
		u64 flags = local_irq_save();
		apic_timer_set(0xffffffff);
		u64 t0 = rdtsc(), t1;
		while ((t1 = rdtsc()) - t0 < tsc_khz * 2)
			cpu_relax();
		u32 ticks = 0xffffffff - apic_timer_read();
		apic_timer_set(0);
		local_irq_restore(flags);
		u64 ns = mul_shift(t1 - t0, rates[CLOCK_TSC].mult, rates[CLOCK_TSC].shift);
		event_mult = ((u64)max(ticks, 1u) << 32) / max_t(u64, ns, 1);
	}
	pr_info("clock: events by %s, %llu.%03llu MHz\n", deadline ? "TSC deadline" : "APIC timer",
		mul_shift(1000000, event_mult, 32) / 1000, mul_shift(1000000, event_mult, 32) % 1000);
	clock_cpu_init();
}

void clock_cpu_init(void)
{
	if (apic_present())
		apic_timer_mode(deadline);
}

void clock_event_program(u64 ns)
{
	if (unlikely(!event_mult))
		return;
	if (ns == U64_MAX) {
		if (deadline)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			apic_timer_set(0);
		return;
	}
	u64 now = ktime_ns();
	u64 delta = ns > now ? min_t(u64, ns - now, 3600 * NSEC_PER_SEC) : 0;
	const struct clock_scale *c = clock_scale;
	u64 ticks = mul_shift(delta, event_mult, 32) + 1;
	if (unlikely(c->mult != c->raw_mult)) /* the event timer counts at its own rate */
		ticks = mul_u64_u64_div_u64(ticks, c->raw_mult, c->mult);
	if (deadline)
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks);
	else /* cut short, the interrupt finds nothing due and programs again */
		apic_timer_set((u32)min_t(u64, ticks, 0xffffffff));
}

void clock_event_interrupt(void)
{
	ktimer_interrupt();
	printk_tick();
}

/* The cross-CPU check: both CPUs pass one word back and forth and look whether the TSC ever goes back. */
static struct {
	u32 phase; /* (a) 0 idle, 1 target is there, 2 source is there, 3 target is done, 4 source is done */
	u64 last, worst; /* (lock) */
	spinlock_t lock;
} sync = { .lock = SPINLOCK_INIT };
LOCK_DECLARE(sync);

static void warp_loop(void)
{
	for (int i = 0; i < 400; i++) {
		spin_lock(&sync.lock);
		u64 now = rdtsc();
		if (now < sync.last)
			sync.worst = max(sync.worst, sync.last - now);
		else
			sync.last = now;
		spin_unlock(&sync.lock);
	}
}

static bool wait_phase(u32 phase)
{
	u64 start = rdtsc();

	while (__atomic_load_n(&sync.phase, __ATOMIC_ACQUIRE) < phase) {
		spin_poll();
		if (rdtsc() - start > tsc_khz * 1000)
			return false;
	}
	return true;
}

void clock_sync_target(void)
{
	__atomic_store_n(&sync.phase, 1, __ATOMIC_RELEASE);
	if (!wait_phase(2))
		return;
	warp_loop();
	__atomic_store_n(&sync.phase, 3, __ATOMIC_RELEASE);
	wait_phase(4);
}

/* => the target is in clock_sync_target, or comes there soon */
void clock_sync_source(int cpu)
{
	if (!wait_phase(1))
		return;
	sync.last = sync.worst = 0;
	preempt_disable();
	__atomic_store_n(&sync.phase, 2, __ATOMIC_RELEASE);
	warp_loop();
	wait_phase(3);
	preempt_enable();
	if (sync.worst && !tsc_bad) {
		pr_warn("clock: the TSC of CPU %d is %llu cycles behind\n", cpu, sync.worst);
		give_up_tsc();
	}
	__atomic_store_n(&sync.phase, 4, __ATOMIC_RELEASE);
}

void clock_sync_reset(void)
{
	__atomic_store_n(&sync.phase, 0, __ATOMIC_RELEASE);
}
