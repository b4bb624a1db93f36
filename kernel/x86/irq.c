/*
 * Device interrupts: the vector table, the IOAPICs, messages.
 *
 * A vector belongs to one line or message; a line may have several handlers (shared PCI lines), which
 * are all called. Vectors are given out once and kept, and mean the same on every CPU, so that moving
 * an interrupt changes its target only: eight bits of an IOAPIC entry or of a message's address, one
 * store each. New interrupts take the online CPUs in turn; /proc/irq moves them.
 *
 * Locking: irq_lock for changes of the table; the interrupt path reads the handler list without a
 * lock: entries are complete before they are linked, and are never taken out.
 *
 * References: Intel 82093AA IOAPIC; SDM vol. 3A 10.11 (messages); PCI Local Bus 3.0 6.8.
 */
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <kernel/spinlock.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <uapi/errno.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>
#include <x86/ptregs.h>
#include <x86/tlb.h>

struct irq_action {
	irq_handler_t fn;
	void *arg;
	const char *name;
	struct irq_action *next;
};
struct irq_line {
	struct irq_action *actions; /* (irq_lock; readers RCU-like: never freed) */
	s32 gsi; /* -1: message */
	bool level;
	s8 cpu; /* (irq_lock) where it goes */
	cpumask_t affinity; /* (irq_lock) where it may go */
	irq_msi_writer_t write; /* (irq_lock) changes the address of a message */
	void *write_arg;
};
static struct irq_line lines[256];
static DEFINE_SPINLOCK(irq_lock);
static unsigned next_vector = VECTOR_DEVICE;
static u32 next_cpu; /* (irq_lock) the turn of new interrupts */
static DEFINE_PER_CPU(u32, irq_counts[256]);

static volatile char *ioapic_regs[ARRAY_SIZE(acpi.ioapics)];
static u32 ioapic_pins[ARRAY_SIZE(acpi.ioapics)];

u64 irq_count(unsigned vector, int cpu)
{
	return vector < 256 ? per_cpu(irq_counts, cpu)[vector] : 0;
}

const char *irq_name(unsigned vector)
{
	switch (vector) {
	case VECTOR_TIMER:
		return "Local timer interrupts";
	case VECTOR_RESCHED:
		return "Rescheduling interrupts";
	case VECTOR_CALL:
		return "Function call interrupts";
	case VECTOR_TLB:
		return "TLB shootdowns";
	default:
		return vector < 256 && lines[vector].actions ? lines[vector].actions->name : NULL;
	}
}

static u32 ioapic_read(u32 i, u32 reg)
{
	writel(ioapic_regs[i], reg);
	return readl(ioapic_regs[i] + 0x10);
}

static void ioapic_write(u32 i, u32 reg, u32 v)
{
	writel(ioapic_regs[i], reg);
	writel(ioapic_regs[i] + 0x10, v);
}

void ioapic_init(void)
{
	for (u32 i = 0; i < acpi.nr_ioapics; i++) {
		ioapic_regs[i] = ioremap(acpi.ioapics[i].phys, 4096, CACHE_UC);
		if (!ioapic_regs[i])
			continue;
		ioapic_pins[i] = (ioapic_read(i, 1) >> 16 & 255) + 1;
		for (u32 pin = 0; pin < ioapic_pins[i]; pin++)
			ioapic_write(i, 0x10 + 2 * pin, 1u << 16); /* masked */
	}
}

static bool find_pin(unsigned gsi, u32 *ioapic, u32 *pin)
{
	for (u32 i = 0; i < acpi.nr_ioapics; i++)
		if (ioapic_regs[i] && gsi - acpi.ioapics[i].gsi_base < ioapic_pins[i]) {
			*ioapic = i;
			*pin = gsi - acpi.ioapics[i].gsi_base;
			return true;
		}
	return false;
}

static void add_action(struct irq_line *l, struct irq_action *a)
{
	a->next = l->actions;
	smp_store_release(&l->actions, a);
}

static struct irq_action *new_action(irq_handler_t fn, void *arg, const char *name)
{
	struct irq_action *a = kmalloc(sizeof(*a), GFP_KERNEL);

	if (a)
		*a = (struct irq_action){ fn, arg, name, NULL };
	return a;
}

/* => irq_lock held. 0 when there is none left. */
static unsigned take_vector_locked(void)
{
	ASSERT_LOCKED(&irq_lock);
	return next_vector < VECTOR_DEVICE_END ? next_vector++ : 0;
}

/* Destinations have eight bits: a CPU with a larger APIC id gets no device interrupts. */
static bool can_target(int cpu)
{
	return acpi_cpu_apic_id(cpu) < 255;
}

/* The next CPU of @mask in turn; the boot CPU when there is none. => irq_lock held */
static int choose_cpu(cpumask_t mask)
{
	cpumask_t ok = 0;
	int cpu;

	for_each_cpu_mask(cpu, mask & READ_ONCE(cpu_online_mask))
		if (can_target(cpu))
			ok |= cpumask_of(cpu);
	if (!ok)
		return 0;
	do
		cpu = (int)(next_cpu++ % MAX_CPUS);
	while (!(ok & cpumask_of(cpu)));
	return cpu;
}

static u64 msi_address(int cpu)
{
	return 0xfee00000ull | (u64)(acpi_cpu_apic_id(cpu) & 255) << 12;
}

bool irq_affinity(unsigned vector, cpumask_t *may, int *cpu)
{
	if (vector < VECTOR_DEVICE || vector >= VECTOR_DEVICE_END || !READ_ONCE(lines[vector].actions))
		return false;
	*may = READ_ONCE(lines[vector].affinity);
	*cpu = READ_ONCE(lines[vector].cpu);
	return true;
}

int irq_set_affinity(unsigned vector, cpumask_t mask)
{
	struct irq_line *l = &lines[vector];
	u32 ioapic, pin;
	cpumask_t may;
	u64 flags;
	int cpu, err = 0;

	if (!irq_affinity(vector, &may, &cpu))
		return -EIO;
	if (!(mask & READ_ONCE(cpu_online_mask)))
		return -EINVAL;
	spin_lock_irqsave(&irq_lock, flags);
	cpu = mask & cpumask_of(l->cpu) ? l->cpu : choose_cpu(mask);
	if (!(mask & cpumask_of(cpu)))
		err = -EINVAL;
	else if (l->gsi >= 0 && find_pin((unsigned)l->gsi, &ioapic, &pin))
		ioapic_write(ioapic, 0x11 + 2 * pin, acpi_cpu_apic_id(cpu) << 24);
	else if (l->write)
		l->write(l->write_arg, msi_address(cpu));
	else if (cpu != l->cpu)
		err = -EIO;
	if (!err) {
		l->cpu = (s8)cpu;
		l->affinity = mask;
	}
	spin_unlock_irqrestore(&irq_lock, flags);
	return err;
}

void irq_set_msi_writer(unsigned vector, irq_msi_writer_t fn, void *arg)
{
	u64 flags;

	spin_lock_irqsave(&irq_lock, flags);
	lines[vector].write_arg = arg;
	lines[vector].write = fn;
	spin_unlock_irqrestore(&irq_lock, flags);
}

int irq_request_gsi(unsigned gsi, bool level, bool active_low, irq_handler_t fn, void *arg, const char *name)
{
	u32 ioapic, pin;
	u64 flags;

	if (!find_pin(gsi, &ioapic, &pin))
		return -ENODEV;
	struct irq_action *a = new_action(fn, arg, name);
	if (!a)
		return -ENOMEM;
	spin_lock_irqsave(&irq_lock, flags);
	for (unsigned v = VECTOR_DEVICE; v < next_vector; v++)
		if (lines[v].actions && lines[v].gsi == (s32)gsi) {
			add_action(&lines[v], a);
			spin_unlock_irqrestore(&irq_lock, flags);
			return 0;
		}
	unsigned v = take_vector_locked();
	if (v) {
		lines[v].gsi = (s32)gsi;
		lines[v].level = level;
		lines[v].affinity = ~0ull;
		lines[v].cpu = (s8)choose_cpu(~0ull);
		add_action(&lines[v], a);
		ioapic_write(ioapic, 0x11 + 2 * pin, acpi_cpu_apic_id(lines[v].cpu) << 24);
		ioapic_write(ioapic, 0x10 + 2 * pin, v | (active_low ? 1u << 13 : 0) | (level ? 1u << 15 : 0));
	}
	spin_unlock_irqrestore(&irq_lock, flags);
	if (!v)
		kfree(a);
	return v ? 0 : -ENOSPC;
}

/* Without an IOAPIC: a line of the 8259s, whose vectors are fixed. */
static int request_pic(unsigned irq, irq_handler_t fn, void *arg, const char *name)
{
	struct irq_action *a;
	u64 flags;

	if (!apic_present() || irq > 15)
		return -ENODEV;
	a = new_action(fn, arg, name);
	if (!a)
		return -ENOMEM;
	spin_lock_irqsave(&irq_lock, flags);
	add_action(&lines[VECTOR_PIC + irq], a);
	bool open = pic_open(irq);
	spin_unlock_irqrestore(&irq_lock, flags);
	if (!open)
		return -ENODEV; /* the action stays, and is never called */
	apic_accept_pic();
	return 0;
}

int irq_request_isa(unsigned isa_irq, irq_handler_t fn, void *arg, const char *name)
{
	if (!acpi.nr_ioapics)
		return request_pic(isa_irq, fn, arg, name);
	for (u32 i = 0; i < acpi.nr_overrides; i++) {
		const struct acpi_override *o = &acpi.overrides[i];
		if (o->isa_irq == isa_irq)
			return irq_request_gsi(o->gsi, o->level, o->active_low, fn, arg, name);
	}
	return irq_request_gsi(isa_irq, false, false, fn, arg, name);
}

int irq_request_msi(irq_handler_t fn, void *arg, const char *name, u64 *addr, u32 *data)
{
	u64 flags;

	if (!apic_present())
		return -ENODEV;
	struct irq_action *a = new_action(fn, arg, name);
	if (!a)
		return -ENOMEM;
	spin_lock_irqsave(&irq_lock, flags);
	unsigned v = take_vector_locked();
	if (v) {
		lines[v].gsi = -1;
		lines[v].affinity = ~0ull;
		lines[v].cpu = (s8)choose_cpu(~0ull);
		*addr = msi_address(lines[v].cpu);
		add_action(&lines[v], a);
	}
	spin_unlock_irqrestore(&irq_lock, flags);
	if (!v) {
		kfree(a);
		return -ENOSPC;
	}
	*data = v; /* fixed, edge: the vector */
	return 0;
}

static void device_interrupt(unsigned v)
{
	struct irq_action *a = smp_load_acquire(&lines[v].actions);
	u64 when = rdtsc();

	if (!a)
		pr_once(LOG_WARN, "irq: vector %#x fired and nobody asked for it\n", v);
	for (; a; a = a->next)
		a->fn(a->arg);
	random_add(&when, sizeof(when));
	apic_eoi(); /* after the handlers: a level line must be quiet by now */
}

static void pic_interrupt(unsigned irq)
{
	if (!pic_in_service(irq))
		return;
	for (struct irq_action *a = smp_load_acquire(&lines[VECTOR_PIC + irq].actions); a; a = a->next)
		a->fn(a->arg);
	pic_eoi(irq); /* the local APIC wants none for ExtINT: SDM vol. 3A 10.8.5 */
}

/* Every vector from 32 on. => irqs off */
void do_irq(struct pt_regs *regs, unsigned vec)
{
	struct pt_regs *outer;

	lock_enter_irq(user_mode(regs));
	outer = irq_enter(regs);
	(*this_cpu_ptr(&irq_counts))[vec]++;
	switch (vec) {
	case VECTOR_TIMER:
		apic_eoi();
		clock_event_interrupt();
		break;
	case VECTOR_RESCHED:
		apic_eoi();
		resched_interrupt();
		break;
	case VECTOR_CALL:
		apic_eoi();
		smp_call_interrupt();
		break;
	case VECTOR_TLB:
		apic_eoi();
		tlb_poll();
		break;
	case VECTOR_SPURIOUS: /* no EOI: SDM vol. 3A 10.9 */
		break;
	case VECTOR_ERROR:
		apic_eoi();
		pr_once(LOG_WARN, "apic: error interrupt\n");
		break;
	default:
		if (vec >= VECTOR_DEVICE)
			device_interrupt(vec);
		else
			pic_interrupt(vec - VECTOR_PIC);
		break;
	}
	if (irq_exit(outer) && !user_mode(regs))
		preempt_schedule_irq();
}
