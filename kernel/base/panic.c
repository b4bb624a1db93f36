/*
 * The end of the road: panic and oops.
 *
 * panic() stops the other CPUs with NMIs (they report in turn and halt), breaks the locks of log and consoles, and prints on
 * every console: the message, registers and backtrace of this CPU, the other CPUs', the memory map, the last lines of the
 * log. Then it tells the test host, and reboots ("panic=N" after N seconds; at once under the test host) or halts.
 *
 * oops() is the milder form for a fault in kernel mode on behalf of one task: where nothing is held (no spinlock, no
 * interrupt) only that task dies.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/lockcheck.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/assert.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <uapi/signal.h>
#include <x86/cpu.h>
#include <x86/layout.h>
#include <x86/pgtable.h>
#include <x86/ptregs.h>

/* Doors upward: the test host's channel (kernel/drivers), the end of a task (kernel/proc). */
void hostcon_write_ctl(const char *s);
bool hostcon_present(void);
void do_exit(long code) __attribute__((noreturn));
/* printk.c, for panics only */
void printk_panic_enter(void);
void printk_panic_tail(u64 n);

#define OTHER_CPU_WAIT_US 200000
#define TAIL_RECORDS 24
#define MAP_MAX 96

bool panic_in_progress;
u64 kernel_tainted; /* (a) */

void kernel_taint(int bit)
{
	__atomic_fetch_or(&kernel_tainted, 1ull << bit, __ATOMIC_RELAXED);
}

static s32 panic_cpu = -1; /* (a) */
static s32 panic_turn = -1; /* (a) CPU that may print */
static bool panic_nested;

static struct handoff_region map[MAP_MAX];
static u32 map_count;

void panic_set_memory_map(const struct handoff *h)
{
	const u8 *p = phys_to_virt(h->regions);

	printf_symbol = ksym_format;
	for (u32 i = 0; i < h->nr_regions && map_count < MAP_MAX; i++, p += h->region_size)
		map[map_count++] = *(const struct handoff_region *)p;
}

static void print_map(void)
{
	static const char *const names[HANDOFF_MEM_NR] = {
		"?", "usable", "boot services", "loader", "page tables", "kernel", "ACPI", "ACPI NVS",
		"runtime code", "runtime data", "device", "reserved", "unusable",
	};

	printk(LOG_EMERG, " memory map:");
	for (u32 i = 0; i < map_count; i++)
		printk(LOG_EMERG, "  %012llx-%012llx %s", (u64)map[i].base,
		       (u64)map[i].base + map[i].npages * PAGE_SIZE - 1,
		       map[i].type < HANDOFF_MEM_NR ? names[map[i].type] : "?");
}

static void print_code(u64 rip)
{
	char line[3 * 24 + 8];
	int n = 0;

	for (u64 a = rip - 8; a < rip + 16; a++) {
		if (a < kernel_half || kva_to_phys(a) == ~0ull)
			return;
		n += scnprintf(line + n, sizeof(line) - n, a == rip ? "<%02x> " : "%02x ", *(u8 *)a);
	}
	printk(LOG_EMERG, " code: %s", line);
}

static void print_regs(const struct pt_regs *r)
{
	char name[128];

	if (!user_mode(r) && ksym_format(name, sizeof(name), r->rip))
		printk(LOG_EMERG, " RIP %04llx:%016llx %s", r->cs, r->rip, name);
	else
		printk(LOG_EMERG, " RIP %04llx:%016llx", r->cs, r->rip);
	printk(LOG_EMERG, " RSP %04llx:%016llx FLAGS %08llx error/call %llx", r->ss, r->rsp, r->rflags,
	       r->orig_rax);
	printk(LOG_EMERG, " RAX %016llx RBX %016llx RCX %016llx RDX %016llx", r->rax, r->rbx, r->rcx, r->rdx);
	printk(LOG_EMERG, " RSI %016llx RDI %016llx RBP %016llx R8  %016llx", r->rsi, r->rdi, r->rbp, r->r8);
	printk(LOG_EMERG, " R9  %016llx R10 %016llx R11 %016llx R12 %016llx", r->r9, r->r10, r->r11, r->r12);
	printk(LOG_EMERG, " R13 %016llx R14 %016llx R15 %016llx", r->r13, r->r14, r->r15);
	if (!user_mode(r))
		print_code(r->rip);
}

/* Registers and backtrace of this CPU. */
static void print_state(const struct pt_regs *regs)
{
	printk(LOG_EMERG, " CPU %d, thread \"%s\", CR2 %016llx CR3 %016llx, preemption count %#x",
	       smp_processor_id(), thread_comm(current_thread()), read_cr2(), read_cr3(),
	       this_cpu_read(preempt_count));
	if (regs)
		print_regs(regs);
	backtrace(regs);
}

static __noreturn void halt(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

void panic_other_cpu(struct pt_regs *regs)
{
	if (!READ_ONCE(panic_in_progress) || READ_ONCE(panic_cpu) == smp_processor_id())
		return;
	while (READ_ONCE(panic_turn) != smp_processor_id())
		cpu_relax();
	print_state(regs);
	__atomic_store_n(&panic_turn, -1, __ATOMIC_RELEASE);
	halt();
}

static void other_cpus(void)
{
	int cpu;

	for_each_online_cpu(cpu) {
		if (cpu == panic_cpu)
			continue;
		__atomic_store_n(&panic_turn, cpu, __ATOMIC_RELEASE);
		for (u64 us = 0; READ_ONCE(panic_turn) == cpu && us < OTHER_CPU_WAIT_US; us += 50)
			udelay(50);
		if (READ_ONCE(panic_turn) == cpu)
			printk(LOG_EMERG, " CPU %d does not answer", cpu);
	}
}

static __noreturn void finish(void)
{
	u64 seconds = cmdline_u64("panic", 0);

	hostcon_write_ctl("panic\n");
	if (!hostcon_present() && !seconds) {
		printk(LOG_EMERG, "halted (\"panic=N\" on the command line reboots after N seconds)");
		halt();
	}
	if (!hostcon_present())
		udelay(seconds * 1000000);
	machine_reboot();
}

static __noreturn void do_panic(struct pt_regs *regs, const char *fmt, va_list args)
{
	char text[256];
	s32 nobody = -1;

	local_irq_disable();
	preempt_disable();
	if (!__atomic_compare_exchange_n(&panic_cpu, &nobody, smp_processor_id(), 0, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST)) {
		if (nobody != smp_processor_id())
			halt(); /* another CPU is at it; its NMI wakes us to report */
		if (!xchg(&panic_nested, true))
			finish(); /* reporting itself fails: no more output */
		halt();
	}
	WRITE_ONCE(panic_in_progress, true);
	lockcheck_off();
	smp_panic_stop();
	printk_panic_enter();
	vscnprintf(text, sizeof(text), fmt, args);
	printk(LOG_EMERG, "kernel panic: %s", text);
	print_state(regs);
	other_cpus();
	print_map();
	printk(LOG_EMERG, " last messages before:");
	printk_panic_tail(TAIL_RECORDS);
	/* A screen has scrolled by now, and shows its last lines only: what matters most once more. */
	print_state(regs);
	printk(LOG_EMERG, "end of kernel panic: %s", text);
	finish();
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	do_panic(NULL, fmt, args);
}

void panic_regs(struct pt_regs *regs, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	do_panic(regs, fmt, args);
}

void oops(struct pt_regs *regs, const char *what)
{
	char mode[8] = "";

	cmdline_get("oops", mode, sizeof(mode));
	if (in_interrupt() || preempt_depth() || strcmp(mode, "panic") == 0 || READ_ONCE(panic_in_progress))
		panic_regs(regs, "%s", what);
	printk(LOG_EMERG, "oops: %s", what);
	print_state(regs);
	printk(LOG_EMERG, "the task is killed");
	local_irq_enable();
	do_exit(SIGSEGV);
}
