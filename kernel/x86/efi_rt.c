/*
 * EFI runtime services, used for nothing but the time of day at boot, power-off and reset.
 *
 * Firmware code is not trusted: it runs on a root table of its own, in which the lower half maps 1:1
 * what the firmware declared as runtime memory (code may be written too, because images keep their
 * data in it; the kernel half stays W^X). SetVirtualAddressMap is never called. A fault inside a call
 * is recovered at its caller, reported, and the services are not used again.
 *
 * Locking: efi_lock, interrupts off for the length of a call.
 * References: UEFI 2.10 chapters 4.3, 8; 7.2 for memory attributes.
 */
#include <boot/handoff.h>
#include <boot/layout.h>
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>
#include <x86/ptregs.h>
#include <x86/tlb.h>

#define SYSTAB_RUNTIME 88
#define RT_GET_TIME 24
#define RT_RESET 104
#define EFI_ERROR_BIT (1ull << 63)
#define EFI_MEMORY_RUNTIME (1ull << 63)
#define EFI_MEMORY_WB 8ull
#define EFI_RUNTIME_CODE 5
#define EFI_MMIO 11
#define EFI_MMIO_PORT 12

struct efi_descriptor { u32 type, pad; u64 phys, virt, npages, attribute; };

struct efi_time {
	u16 year;
	u8 month, day, hour, minute, second, pad1;
	u32 nanosecond;
	s16 timezone;
	u8 daylight, pad2;
};

extern char efi_call_fault[];
u64 efi_call_raw(u64 fn, u64 a, u64 b, u64 c, u64 d);

static pgd_t *efi_pgd;
static u64 systab;
static DEFINE_SPINLOCK(efi_lock);
static s32 efi_cpu = -1; /* (efi_lock) CPU inside a call */
static bool efi_broken;
static struct efi_time efi_now;
static u8 fx_area[512] __aligned(16);

static bool map_descriptor(const struct efi_descriptor *d)
{
	u64 prot = PTE_P | PTE_W | PTE_A | PTE_D;

	if (!(d->attribute & EFI_MEMORY_RUNTIME) || !d->npages)
		return true;
	if (d->phys & ~PAGE_MASK || d->npages > (1ull << 30) || d->phys + d->npages * PAGE_SIZE > 1ull << 46)
		return false;
	if (d->type != EFI_RUNTIME_CODE)
		prot |= PTE_NX;
	if (d->type == EFI_MMIO || d->type == EFI_MMIO_PORT || !(d->attribute & EFI_MEMORY_WB))
		prot |= cache_bits(CACHE_UC);
	return !pgtable_map_in(efi_pgd, d->phys, d->phys, d->npages * PAGE_SIZE, prot, true);
}

void efi_rt_init(const struct handoff *h)
{
	const char *map = phys_to_virt(h->efi_map);

	if (!h->efi_systab || !h->efi_map_stride || h->efi_map_stride < sizeof(struct efi_descriptor) ||
	    cmdline_has("noefi"))
		return;
	pgd_t *low;

	efi_pgd = root_alloc(&low);
	if (!efi_pgd)
		return;
	for (u64 off = 0; off + h->efi_map_stride <= h->efi_map_size; off += h->efi_map_stride)
		if (!map_descriptor((const void *)(map + off))) {
			pr_warn("efi: runtime memory cannot be mapped, services are off\n");
			return;
		}
	systab = h->efi_systab;
}

/* A fault while this CPU is in a call: it returns EFI_ABORTED there. */
bool efi_rt_recover(struct pt_regs *regs)
{
	if (likely(READ_ONCE(efi_cpu) != smp_processor_id()) || (s64)regs->rip < 0)
		return false;
	pr_err("efi: a runtime service faulted at %#llx (address %#llx); they are not used any more\n",
	       regs->rip, read_cr2());
	efi_broken = true;
	regs->rip = (u64)efi_call_fault;
	regs->rflags &= ~(X86_EFLAGS_IF | 1ull << 10);
	return true;
}

/* A pointer of the firmware's tables, 0 where it is not in runtime memory. => on efi_pgd */
static u64 read_mapped(u64 addr)
{
	if (addr & 7 || pgtable_lookup_in(efi_pgd, addr) == ~0ull)
		return 0;
	return *(const u64 *)addr;
}

/* Calls the service at @offset of the runtime table. */
static u64 efi_call(u32 offset, u64 a, u64 b, u64 c, u64 d)
{
	u64 flags, status = EFI_ERROR_BIT;

	if (!systab || efi_broken)
		return status;
	spin_lock_irqsave(&efi_lock, flags);
	u64 cr3 = read_cr3();
	WRITE_ONCE(efi_cpu, smp_processor_id());
	asm volatile("fxsave64 %0" : "=m"(fx_area));
	write_cr3(virt_to_phys(efi_pgd));
	u64 table = read_mapped(systab + SYSTAB_RUNTIME);
	u64 fn = table ? read_mapped(table + offset) : 0;
	if (fn)
		status = efi_call_raw(fn, a, b, c, d);
	write_cr3(cr3);
	asm volatile("fxrstor64 %0" ::"m"(fx_area));
	WRITE_ONCE(efi_cpu, -1);
	spin_unlock_irqrestore(&efi_lock, flags);
	return status;
}

u64 efi_rt_time(void)
{
	static const u16 before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

	if (efi_call(RT_GET_TIME, (u64)&efi_now, 0, 0, 0) & EFI_ERROR_BIT)
		return 0;
	const struct efi_time *t = &efi_now;
	if (t->year < 1998 || t->year > 9999 || t->month < 1 || t->month > 12 || t->day < 1 || t->day > 31 ||
	    t->hour > 23 || t->minute > 59 || t->second > 59)
		return 0;
	u64 y = t->year, days = (y - 1970) * 365 + (y - 1969) / 4 - (y - 1901) / 100 + (y - 1601) / 400;
	bool leap = (y % 4 == 0 && y % 100) || y % 400 == 0;
	days += before[t->month - 1] + (leap && t->month > 2) + t->day - 1u;
	s64 zone = t->timezone >= -1440 && t->timezone <= 1440 ? t->timezone : 0;
	return days * 86400 + t->hour * 3600 + t->minute * 60 + t->second + (u64)(zone * 60);
}

void efi_rt_reset(unsigned type)
{
	efi_call(RT_RESET, type, 0, 0, 0);
}
