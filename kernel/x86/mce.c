/*
 * Machine checks.
 *
 * Each CPU has banks of registers; an error sets one bank's MCi_STATUS, and with MCi_ADDR and MCi_MISC says where. Errors that
 * were corrected are only logged. Those that were not raise #MC (vector 18). What can be done is in the status (SDM vol. 3B
 * 15.6.3, "UCR error classification"), if IA32_MCG_CAP.SER_P says that the CPU tells these apart; otherwise it is fatal:
 *
 *	PCC					the CPU's own state is damaged		panic
 *	UC, S=0				reported, nothing was consumed		logged
 *	UC, S=1, AR=0			memory is bad, nobody consumed it	the page is taken out of use, all go on
 *	UC, S=1, AR=1			the instruction would consume it	in user mode: the same, and SIGBUS; in kernel mode: panic
 *
 * and nothing is recovered when the interrupted code cannot be resumed (RIPV=0 and no action possible), when a second error
 * overwrote the first (OVER with AR), or when the address is not a physical one. A panic prints all banks.
 *
 * Until IA32_MCG_STATUS.MCIP is clear another #MC shuts the machine down, so the banks are read and cleared first, and acted on
 * afterwards. From user mode #MC comes on the thread's stack like any trap, and acting may sleep. In kernel mode it comes at any
 * instruction, like an NMI: nothing may be locked. The address goes to a ring that a worker empties; the timer interrupt wakes that. CPUs that
 * share a bank or are told of another's error find no valid bank and go on: they are not gathered.
 */
#include <kernel/kthread.h>
#include <kernel/percpu.h>
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/atomic.h>
#include <x86/cpu.h>
#include <x86/mce.h>
#include <x86/thread.h>

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MC_CTL(i) (0x400 + 4 * (i))
#define MSR_MC_STATUS(i) (0x401 + 4 * (i))
#define MSR_MC_ADDR(i) (0x402 + 4 * (i))
#define MSR_MC_MISC(i) (0x403 + 4 * (i))

#define MCG_CAP_BANKS 0xffu
#define MCG_CAP_CTL (1ull << 8)
#define MCG_CAP_SER (1ull << 24)
#define MCG_RIPV 1ull
#define MCI_VAL (1ull << 63)
#define MCI_OVER (1ull << 62)
#define MCI_UC (1ull << 61)
#define MCI_MISCV (1ull << 59)
#define MCI_ADDRV (1ull << 58)
#define MCI_PCC (1ull << 57)
#define MCI_S (1ull << 56)
#define MCI_AR (1ull << 55)
#define MISC_MODE(m) ((m) >> 6 & 7)
#define MISC_PHYSICAL 2

enum severity { MCE_NONE, MCE_LOG, MCE_BAD_MEMORY, MCE_CONSUMED, MCE_FATAL };

struct bank { u64 status, addr, misc; };

static u64 mcg_cap; /* of this machine's CPUs; 0: none of this */

static unsigned bank_count(void)
{
	return mcg_cap & MCG_CAP_BANKS;
}

static struct bank read_bank(unsigned i)
{
	struct bank b = { .status = rdmsr(MSR_MC_STATUS(i)) };

	if (b.status & MCI_VAL && b.status & MCI_ADDRV)
		b.addr = rdmsr(MSR_MC_ADDR(i));
	if (b.status & MCI_VAL && b.status & MCI_MISCV)
		b.misc = rdmsr(MSR_MC_MISC(i));
	return b;
}

static enum severity judge(const struct bank *b)
{
	u64 where = MCI_ADDRV | MCI_MISCV;

	if (!(b->status & MCI_VAL))
		return MCE_NONE;
	if (!(b->status & MCI_UC))
		return MCE_LOG;
	if (b->status & MCI_PCC || !(mcg_cap & MCG_CAP_SER))
		return MCE_FATAL;
	if (!(b->status & MCI_S))
		return MCE_LOG;
	if ((b->status & where) != where || MISC_MODE(b->misc) != MISC_PHYSICAL)
		return b->status & MCI_AR ? MCE_FATAL : MCE_LOG;
	if (!(b->status & MCI_AR))
		return MCE_BAD_MEMORY;
	return b->status & MCI_OVER ? MCE_FATAL : MCE_CONSUMED;
}

static void tell(unsigned i, const struct bank *b)
{
	pr_err("mce: CPU %d bank %u: status %#llx, address %#llx, misc %#llx\n", smp_processor_id(), i, b->status, b->addr, b->misc);
}

static void __noreturn fatal(struct pt_regs *regs, u64 mcg, const char *why)
{
	for (unsigned i = 0; i < bank_count(); i++) {
		struct bank b = read_bank(i);

		if (b.status & MCI_VAL)
			tell(i, &b);
	}
	panic_regs(regs, "machine check: %s (IA32_MCG_STATUS %#llx)", why, mcg);
}

/* The worst there is, and where. The banks are clear afterwards. => nothing may be locked */
static enum severity look(struct pt_regs *regs, u64 *phys)
{
	u64 mcg = rdmsr(MSR_MCG_STATUS);
	enum severity worst = MCE_NONE;

	for (unsigned i = 0; i < bank_count(); i++) {
		struct bank b = read_bank(i);
		enum severity s = judge(&b);

		if (s == MCE_FATAL)
			fatal(regs, mcg, "the machine cannot go on");
		if (s > worst) {
			worst = s;
			*phys = b.addr & ~((1ull << (b.misc & 63)) - 1);
		}
	}
	if (!(mcg & MCG_RIPV) && worst != MCE_CONSUMED)
		fatal(regs, mcg, "the interrupted code cannot be resumed");
	if (worst == MCE_CONSUMED && !user_mode(regs))
		fatal(regs, mcg, "the kernel read memory that failed");
	for (unsigned i = 0; i < bank_count(); i++) {
		struct bank b = read_bank(i);

		if (!(b.status & MCI_VAL))
			continue;
		if (user_mode(regs))
			tell(i, &b);
		wrmsr(MSR_MC_STATUS(i), 0);
	}
	wrmsr(MSR_MCG_STATUS, 0);
	return worst;
}

void mce_from_user(struct pt_regs *regs)
{
	u64 phys = 0;
	enum severity s = look(regs, &phys);

	local_irq_enable();
	if (s == MCE_CONSUMED)
		memory_failed_under(regs, phys);
	else if (s == MCE_BAD_MEMORY)
		memory_failed(phys);
}

/* --- found in kernel mode --- */

#define RING 16 /* addresses that wait; one more and the error is forgotten until it is consumed */

static u64 ring[RING]; /* (a) 0: free */
static bool ring_used, ready;

static void empty_ring(struct work *w __unused)
{
	for (unsigned i = 0; i < RING; i++) {
		u64 phys = __atomic_exchange_n(&ring[i], 0, __ATOMIC_ACQ_REL);

		if (phys) {
			pr_err("mce: memory at %#llx failed\n", phys & ~1ull);
			memory_failed(phys & ~1ull);
		}
	}
}

static struct work ring_work = WORK_INIT(empty_ring);

void mce_from_kernel(struct pt_regs *regs)
{
	u64 phys = 0;

	if (look(regs, &phys) != MCE_BAD_MEMORY)
		return;
	for (unsigned i = 0; i < RING; i++) {
		u64 none = 0;

		if (__atomic_compare_exchange_n(&ring[i], &none, phys | 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	}
	WRITE_ONCE(ring_used, true);
}

void mce_tick(void)
{
	if (likely(!READ_ONCE(ring_used)) || !READ_ONCE(ready))
		return;
	WRITE_ONCE(ring_used, false);
	schedule_work(&ring_work);
}

void mce_init(void)
{
	WRITE_ONCE(ready, true);
}

/* --- the start of a CPU --- */

void mce_cpu_init(void)
{
	mcg_cap = rdmsr(MSR_MCG_CAP);
	if (mcg_cap & MCG_CAP_CTL)
		wrmsr(MSR_MCG_CTL, ~0ull);
	for (unsigned i = 0; i < bank_count(); i++) {
		struct bank b = read_bank(i);

		if (b.status & MCI_VAL) {
			pr_warn("mce: from before the start:\n");
			tell(i, &b);
		}
		wrmsr(MSR_MC_CTL(i), ~0ull);
		wrmsr(MSR_MC_STATUS(i), 0);
	}
	wrmsr(MSR_MCG_STATUS, 0);
}
