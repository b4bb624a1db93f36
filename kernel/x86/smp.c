/*
 * The other CPUs: bringing them up, and calls between CPUs.
 *
 * Start-up is one at a time, SDM vol. 3A 8.4.4: INIT, 10 ms, startup IPI, and a second one when the CPU
 * does not show up soon (they get lost on real machines). The wait is bounded; a CPU that stays away
 * is put back to sleep by another INIT, reported, and its number goes to the next. A CPU that lacks a
 * feature the kernel uses is refused.
 *
 * Calls: each CPU has one descriptor for calls it makes and an inbox of CPUs that want something,
 * as in tlb.c. A descriptor is filled only after its last call was answered by all.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <sched/thread.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/machine.h>
#include <x86/pti.h>

extern char tramp_start[], tramp_end[], tramp_data[];
struct tramp_data { u32 cr3, claim; u64 entry, boot, la57; };

#define ONLINE_WAIT_MS 3000
#define STARTUP_RETRY_MS 20

enum { AP_OFF, AP_ALIVE, AP_REFUSED, AP_READY };
static u32 ap_state; /* (a) of the CPU being started */
static void *ap_ist; /* its IST stacks */

struct call {
	cpumask_t pending; /* (a) */
	void (*fn)(void *);
	void *arg;
};
static DEFINE_PER_CPU(struct call, cpu_call) __aligned(64);
static DEFINE_PER_CPU(cpumask_t, call_inbox) __aligned(64);

void smp_send_reschedule(int cpu)
{
	apic_send_ipi(cpu, VECTOR_RESCHED);
}

void smp_call_interrupt(void)
{
	int self = smp_processor_id(), cpu;
	cpumask_t from = __atomic_exchange_n(this_cpu_ptr(&call_inbox), 0, __ATOMIC_ACQUIRE);

	for_each_cpu_mask(cpu, from) {
		struct call *c = per_cpu_ptr(&cpu_call, cpu);

		c->fn(c->arg);
		__atomic_fetch_and(&c->pending, ~cpumask_of(self), __ATOMIC_RELEASE);
	}
}

void smp_call_mask(u64 mask, void (*fn)(void *), void *arg, bool wait)
{
	preempt_disable();
	int self = smp_processor_id(), cpu;
	struct call *c = this_cpu_ptr(&cpu_call);

	mask &= READ_ONCE(cpu_online_mask) & ~cpumask_of(self);
	while (__atomic_load_n(&c->pending, __ATOMIC_ACQUIRE))
		spin_poll();
	c->fn = fn;
	c->arg = arg;
	__atomic_store_n(&c->pending, mask, __ATOMIC_RELEASE);
	for_each_cpu_mask(cpu, mask)
		if (!__atomic_fetch_or(per_cpu_ptr(&call_inbox, cpu), cpumask_of(self), __ATOMIC_ACQ_REL))
			apic_send_ipi(cpu, VECTOR_CALL);
	while (wait && __atomic_load_n(&c->pending, __ATOMIC_ACQUIRE) && !panic_in_progress)
		spin_poll();
	preempt_enable();
}

void smp_panic_stop(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu != smp_processor_id())
			apic_send_nmi(cpu);
}

/* The new CPU, on its idle thread's stack; GS.base and CR3 are its own. => irqs off */
void __noreturn smp_ap_main(void)
{
	int cpu = smp_processor_id();

	cpu_enable();
	gdt_init_cpu(cpu, cpu_to_node(cpu), ap_ist);
	idt_load();
	if (!cpu_matches_boot()) {
		__atomic_store_n(&ap_state, AP_REFUSED, __ATOMIC_RELEASE);
		for (;;)
			asm volatile("cli; hlt");
	}
	tlb_cpu_init();
	fpu_cpu_init();
	apic_cpu_init();
	__pcp(cpu_tss.rsp0) = current_thread()->arch.kstack_top;
	__atomic_store_n(&ap_state, AP_ALIVE, __ATOMIC_RELEASE);
	clock_sync_target();
	clock_cpu_init();
	ktimer_cpu_init();
	__atomic_fetch_or(&cpu_online_mask, cpumask_of(cpu), __ATOMIC_SEQ_CST);
	__atomic_store_n(&ap_state, AP_READY, __ATOMIC_RELEASE);
	local_irq_enable();
	idle_loop();
}

static bool wait_state_change(u32 from, u64 ms)
{
	u64 end = ktime_ns() + ms * NSEC_PER_MSEC;

	while (__atomic_load_n(&ap_state, __ATOMIC_ACQUIRE) == from) {
		if (ktime_ns() > end)
			return false;
		spin_poll();
	}
	return true;
}

static bool prepare_cpu(int cpu, struct ap_boot *boot)
{
	int node = cpu_to_node(cpu);

	if (!percpu_delta[cpu] && percpu_cpu_init(cpu, node))
		return false;
	struct thread *idle = sched_cpu_create(cpu);
	struct page *ist = alloc_pages_node(node, GFP_KERNEL, ilog2(NR_IST * IST_STACK_SIZE / PAGE_SIZE));
	if (!idle || !ist)
		return false;
	ap_ist = page_address(ist);
	if (pti_map_cpu(cpu, ap_ist))
		return false;
	per_cpu(cpu_current, cpu) = idle;
	*boot = (struct ap_boot){ virt_to_phys(kernel_pgd), idle->arch.kstack_top, percpu_delta[cpu] };
	return true;
}

/* Sends the CPU off and waits until it has reported. True when it is online. */
static bool start_cpu(int cpu, struct tramp_data *d, u64 page)
{
	u32 id = acpi_cpu_apic_id(cpu);

	__atomic_store_n(&ap_state, AP_OFF, __ATOMIC_RELEASE);
	clock_sync_reset();
	__atomic_store_n(&d->claim, 1, __ATOMIC_SEQ_CST);
	apic_send_init(id, true);
	udelay(200);
	apic_send_init(id, false);
	udelay(10000);
	apic_send_startup(id, (unsigned)(page >> PAGE_SHIFT));
	if (!wait_state_change(AP_OFF, STARTUP_RETRY_MS) && READ_ONCE(d->claim))
		apic_send_startup(id, (unsigned)(page >> PAGE_SHIFT));
	if (!wait_state_change(AP_OFF, ONLINE_WAIT_MS) && !(xchg(&d->claim, 0) == 0 && wait_state_change(AP_OFF, ONLINE_WAIT_MS))) {
		apic_send_init(id, true);
		pr_warn("smp: the CPU with APIC id %u does not start, going on without it\n", id);
		return false;
	}
	if (READ_ONCE(ap_state) == AP_REFUSED) {
		pr_warn("smp: the CPU with APIC id %u lacks features of the boot CPU, going on without it\n", id);
		return false;
	}
	clock_sync_source(cpu);
	if (!wait_state_change(AP_ALIVE, ONLINE_WAIT_MS))
		panic("CPU %d started and then stopped", cpu);
	return true;
}

static struct tramp_data *trampoline_set_up(u64 page)
{
	char *code = phys_to_virt(page);
	struct tramp_data *d = (void *)(code + (tramp_data - tramp_start));
	u64 root = pgtable_trampoline(page + PAGE_SIZE);

	if (!root)
		return NULL;
	memcpy(code, tramp_start, (size_t)(tramp_end - tramp_start));
	*d = (struct tramp_data){ (u32)root, 0, (u64)ap_entry, 0, cpu_has(la57) ? 1u << 12 : 0 };
	return d;
}

int cpus_possible(void)
{
	static int n;

	if (!n)
		n = (int)clamp(acpi.nr_cpus, 1u, (u32)MAX_CPUS);
	return n;
}

void smp_init(const struct handoff *h)
{
	static struct ap_boot boot;
	u32 wanted = (u32)cmdline_u64("maxcpus", MAX_CPUS);

	cpu_matches_boot(); /* notes the boot CPU's words */
	if (cmdline_has("nosmp") || !apic_present() || acpi.nr_cpus == 1 || wanted <= 1)
		return;
	if (!h->trampoline) {
		pr_warn("smp: no free page below 1 MiB to start CPUs from: one CPU\n");
		return;
	}
	struct tramp_data *d = trampoline_set_up(h->trampoline);
	if (!d)
		return;
	d->boot = (u64)&boot;
	for (int cpu = 1; cpu < (int)acpi.nr_cpus && cpu < (int)wanted;) {
		if (!prepare_cpu(cpu, &boot)) {
			pr_warn("smp: no memory for CPU %d\n", cpu);
			break;
		}
		if (start_cpu(cpu, d, h->trampoline)) {
			cpu_present_mask |= cpumask_of(cpu);
			WRITE_ONCE(nr_cpus, ++cpu);
		} else {
			acpi_drop_cpu(cpu); /* numbers stay without holes */
		}
	}
	pgtable_trampoline_done();
	pr_info("smp: %d CPUs\n", nr_cpus);
}
