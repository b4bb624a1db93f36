/*
 * The clock: the time-stamp counter, scaled, and the per-CPU event timer.
 *
 * The TSC is measured once against whatever counter the machine has: HPET, else the ACPI PM timer,
 * else the PIT. CPUID leaf 0x15 is preferred where it names a crystal and agrees with the
 * measurement within 1 %. ns = base_ns + ((tsc - base_tsc) * mult >> shift) with a product of 128
 * bits, so that the scale never has to be renewed, and the vDSO can use it as it is. Only steering renews it (clock_steer): readers of
 * ktime_ns() then see time go on from where the old scale had brought it, because they read again when clock_turns changed
 * meanwhile; it is odd while a scale is being published.
 *
 * Every CPU that comes up is checked against the boot CPU: if time can be seen to run backwards
 * between them the TSC is given up, clock_scale->mult becomes 0 (the vDSO then makes system calls),
 * and the HPET is the clock, or without one the TSC clamped to never go back.
 *
 * Events: TSC deadline where the CPU has it, else the APIC timer's one-shot count, measured against
 * the TSC.
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
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>

#define MSR_TSC_DEADLINE 0x6e0
#define CALIBRATE_MS 10
#define SCALE_SHIFT 32

/* Until the measurement a guess of 1 GHz serves timestamps and delays. */
static struct clock_scale scales[2] = { { .mult = 1u << 30, .shift = 30, .raw_mult = 1u << 30 } };
struct clock_scale *clock_scale = &scales[0];
static u32 clock_turns;
u64 tsc_khz = 1000000;
s64 realtime_offset_ns;

static volatile char *hpet;
static u64 hpet_period_fs, hpet_mult; /* ns per tick, 32.32 */
static bool tsc_bad;
static u64 clamp_last; /* (a) the greatest time given out, when tsc_bad without HPET */
static u64 hpet_base_ns;
static u64 hpet_last; /* (hpet_lock) 64-bit extension of the 32-bit counter */
static DEFINE_SPINLOCK(hpet_lock);

static bool deadline;
static u64 event_mult; /* event timer ticks per ns, 32.32 */

static u64 mul_shift(u64 a, u64 mult, unsigned shift)
{
	return (u64)((unsigned __int128)a * mult >> shift);
}

static u64 tsc_ns(u64 tsc)
{
	return clock_scale_ns(READ_ONCE(clock_scale), tsc);
}

/* The scale was turned while the clock was read. An NMI in the midst of a turn takes what it gets. */
static noinline u64 read_again(void)
{
	u64 ns = 0;

	for (u32 tries = 0; tries < 1000000; tries++) {
		u32 turns = READ_ONCE(clock_turns);
		ns = tsc_ns(rdtsc());
		barrier();
		if (!(turns & 1) && turns == READ_ONCE(clock_turns))
			break;
		cpu_relax();
	}
	return ns;
}

static noinline u64 slow_clock_ns(void)
{
	u64 flags, now, seen;

	if (hpet) {
		spin_lock_irqsave(&hpet_lock, flags);
		hpet_last += (u32)(readl(hpet + 0xf0) - (u32)hpet_last);
		now = hpet_base_ns + mul_shift(hpet_last, hpet_mult, 32);
		spin_unlock_irqrestore(&hpet_lock, flags);
		return now;
	}
	now = tsc_ns(rdtsc());
	seen = READ_ONCE(clamp_last);
	while (now > seen)
		if (try_cmpxchg(&clamp_last, &seen, now))
			return now;
	return seen;
}

u64 ktime_ns(void)
{
	if (unlikely(tsc_bad))
		return slow_clock_ns();
	u32 turns = READ_ONCE(clock_turns) & ~1u;
	u64 ns = tsc_ns(rdtsc());
	barrier(); /* loads are not reordered (SDM vol. 3A 8.2.2) */
	return likely(turns == READ_ONCE(clock_turns)) ? ns : read_again();
}

u64 ktime_raw_ns(void)
{
	const struct clock_scale *c = READ_ONCE(clock_scale);

	if (unlikely(tsc_bad))
		return slow_clock_ns(); /* which is never steered */
	return c->raw_ns + (u64)((__int128)(s64)(rdtsc() - c->base_tsc) * c->raw_mult >> c->shift);
}

bool clock_can_steer(void)
{
	return !tsc_bad;
}

bool clock_steer(u64 ns)
{
	const struct clock_scale *c = clock_scale;
	struct clock_scale *n = &scales[c == &scales[0]];
	u64 flags;

	if (tsc_bad)
		return false;
	*n = *c;
	n->mult = (u32)mul_u64_u64_div_u64(c->raw_mult, ns, NSEC_PER_SEC << 32);
	flags = local_irq_save();
	WRITE_ONCE(clock_turns, clock_turns + 1);
	smp_wmb();
	n->base_tsc = rdtsc();
	n->base_ns = clock_scale_ns(c, n->base_tsc);
	n->raw_ns = c->raw_ns + mul_shift(n->base_tsc - c->base_tsc, c->raw_mult, c->shift);
	smp_store_release(&clock_scale, n);
	smp_wmb();
	WRITE_ONCE(clock_turns, clock_turns + 1);
	local_irq_restore(flags);
	return true;
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

static u32 hpet_read(void)
{
	return readl(hpet + 0xf0);
}

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

static bool hpet_start(void)
{
	if (!acpi.hpet_phys)
		return false;
	volatile char *regs = early_ioremap(acpi.hpet_phys, 1024, CACHE_UC);
	u32 period = regs ? readl(regs + 4) : 0;
	if (!period || period > 100000000) /* IA-PC HPET 1.0a 2.3.4: at most 100 ns */
		return false;
	writel(regs + 0x10, (readl(regs + 0x10) & ~2u) | 1); /* counting, no legacy routing */
	u32 a = readl(regs + 0xf0);
	for (int i = 0; i < 10000; i++)
		if (readl(regs + 0xf0) != a) {
			hpet = regs;
			hpet_period_fs = period;
			hpet_mult = ((u64)period << 32) / 1000000;
			return true;
		}
	return false;
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

static void set_scale(u64 khz)
{
	unsigned shift = SCALE_SHIFT;
	u64 mult;

	while ((mult = (1000000ull << shift) / khz) >> 31)
		shift--; /* below 2 GHz; one bit is left for steering */
	/* Time goes on from where the guess had brought it, so that it never goes back. */
	u64 now = rdtsc();
	clock_scale->base_ns = clock_scale->raw_ns = tsc_ns(now);
	clock_scale->base_tsc = now;
	tsc_khz = khz;
	clock_scale->mult = clock_scale->raw_mult = (u32)mult;
	clock_scale->shift = shift;
}

void clock_early_init(void)
{
	clock_scale->base_tsc = rdtsc();
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
		u64 ns = mul_shift(t1 - t0, clock_scale->mult, clock_scale->shift);
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
	if (unlikely(c->mult != c->raw_mult && c->mult)) /* the event timer counts at its own rate */
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

static void give_up_tsc(int cpu)
{
	pr_warn("clock: the TSC of CPU %d is %llu cycles behind; %s is the clock now\n", cpu, sync.worst,
		hpet ? "the HPET" : "the clamped TSC");
	u64 now = ktime_ns();
	if (hpet) {
		hpet_last = readl(hpet + 0xf0);
		hpet_base_ns = now - mul_shift(hpet_last, hpet_mult, 32);
	}
	clamp_last = now;
	clock_scale->mult = hpet ? 0 : clock_scale->mult;
	WRITE_ONCE(tsc_bad, true);
	if (deadline) {
		deadline = false; /* a deadline in another CPU's time is no use */
		clock_event_init();
	}
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
	if (sync.worst && !tsc_bad)
		give_up_tsc(cpu);
	__atomic_store_n(&sync.phase, 4, __ATOMIC_RELEASE);
}

void clock_sync_reset(void)
{
	__atomic_store_n(&sync.phase, 0, __ATOMIC_RELEASE);
}
