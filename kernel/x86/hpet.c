/*
 * The HPET's counter.
 *
 * 64 bits of 32: count_seen is a value that the counter had not long ago, less than a turn. The counter's low half, taken after
 * it, tells how far it has gone since, whoever has moved count_seen meanwhile. A reader that finds it an eighth of a turn old
 * moves it on; a timer reads when nobody else does. At 10 ns a tick, which is an emulator's, a turn is 43 s.
 */
#include <kernel/time.h>
#include <lib/atomic.h>
#include <lib/math64.h>
#include <x86/acpi.h>
#include <x86/hpet.h>
#include <x86/io.h>

#define REG_PERIOD 4
#define REG_CONFIG 0x10
#define REG_COUNTER 0xf0
#define KEEP_TICKS (1ull << 30)

u64 hpet_period_fs;
static volatile char *regs;
static u64 count_seen; /* (a) */

static void keep(struct ktimer *t);
static struct ktimer keeper = { .func = keep, .cpu = -1 };

u32 hpet_read(void)
{
	return readl(regs + REG_COUNTER);
}

u64 hpet_count(void)
{
	u64 seen = __atomic_load_n(&count_seen, __ATOMIC_ACQUIRE);
	u64 now = seen + (u32)(hpet_read() - (u32)seen);

	if (now - seen > 1u << 29)
		try_cmpxchg(&count_seen, &seen, now); /* or somebody else has */
	return now;
}

void hpet_keep(void)
{
	ktimer_start(&keeper, ktime_ns() + mul_u64_u64_div_u64(KEEP_TICKS, hpet_period_fs, 1000000));
}

static void keep(struct ktimer *t)
{
	(void)t;
	hpet_count();
	hpet_keep();
}

bool hpet_start(void)
{
	if (!acpi.hpet_phys)
		return false;
	regs = early_ioremap(acpi.hpet_phys, 1024, CACHE_UC);
	u32 period = regs ? readl(regs + REG_PERIOD) : 0;
	if (!period || period > 100000000) /* IA-PC HPET 1.0a 2.3.4: at most 100 ns */
		return false;
	writel(regs + REG_CONFIG, (readl(regs + REG_CONFIG) & ~2u) | 1); /* counting, no legacy routing */
	u32 a = hpet_read();
	for (int i = 0; i < 10000; i++)
		if (hpet_read() != a) {
			hpet_period_fs = period;
			return true;
		}
	return false;
}
