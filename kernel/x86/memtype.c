/*
 * Memory types: which caching every range of physical addresses is mapped with.
 *
 * IA32_PAT (PAT_VALUE) makes of an entry's PAT, PCD and PWT bits: WB (0), WT (PWT), UC- (PCD), UC (PCD PWT), WC (PAT). A physical page
 * that is mapped with two types at once behaves in ways the manual leaves undefined (SDM vol. 3A 11.12.4), so there is one type
 * for each: RAM is write-back, through the direct map and everywhere; a device range has the type it was first mapped with, and
 * who maps it again while that mapping lives gets the same, whatever was asked for.
 *
 * memtype_check reads the PAT of every CPU and every leaf of the kernel's tables: each must have the type of its physical range.
 */
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/compiler.h>
#include <mm/check.h>
#include <uapi/errno.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/machine.h>
#include <x86/pgtable.h>

#define MSR_PAT 0x277
#define NR_RANGES 256

static const char *const names[] = { [CACHE_WB] = "WB", [CACHE_WC] = "WC", [CACHE_UC] = "UC", [CACHE_WT] = "WT", [CACHE_UC_MINUS] = "UC-" };

static struct memtype {
	u64 start, end; /* (lock) end 0: not in use */
	enum cache_type type;
} ranges[NR_RANGES];
static DEFINE_SPINLOCK(memtype_lock);

u64 cache_bits(int type)
{
	switch (type) {
	case CACHE_WC:
		return cpu_has(pat) ? PTE_PAT : PTE_PCD;
	case CACHE_WT:
		return PTE_PWT;
	case CACHE_UC_MINUS:
		return PTE_PCD;
	case CACHE_UC:
		return PTE_PCD | PTE_PWT;
	default:
		return 0;
	}
}

/* The type that entry bits mean. */
static int type_of_bits(u64 bits)
{
	for (unsigned t = 0; t < ARRAY_SIZE(names); t++)
		if (cache_bits(t) == bits && (t != CACHE_WC || cpu_has(pat)))
			return t;
	return -1;
}

int kva_cache_type(u64 va)
{
	u64 bits;

	return kva_cache_bits(va, &bits) ? type_of_bits(bits) : -1;
}

int memtype_reserve(u64 start, u64 len, enum cache_type *type)
{
	struct memtype *free = NULL;
	u64 flags, end = start + len;
	bool other = false;

	spin_lock_irqsave(&memtype_lock, flags);
	for (struct memtype *r = ranges; r < ranges + NR_RANGES; r++) {
		if (!r->end) {
			free = free ?: r;
		} else if (r->start < end && start < r->end && r->type != *type) {
			other = true;
			*type = r->type;
		}
	}
	if (free)
		*free = (struct memtype){ start, end, *type };
	spin_unlock_irqrestore(&memtype_lock, flags);
	if (other)
		pr_warn("memtype: %#llx-%#llx is mapped as %s already\n", start, end, names[*type]);
	return free ? 0 : -ENOSPC;
}

void memtype_release(u64 start, u64 len)
{
	u64 flags;

	spin_lock_irqsave(&memtype_lock, flags);
	for (struct memtype *r = ranges; r < ranges + NR_RANGES; r++)
		if (r->start == start && r->end == start + len) {
			r->end = 0;
			break;
		}
	spin_unlock_irqrestore(&memtype_lock, flags);
}

/* ---- checking ---- */

static u32 wrong_pats;

static void check_pat(void *arg)
{
	if (rdmsr(MSR_PAT) != PAT_VALUE)
		__atomic_fetch_add(&wrong_pats, 1, __ATOMIC_RELAXED);
}

static int type_of_range(u64 start, u64 end)
{
	int type = CACHE_WB;
	u64 flags;

	spin_lock_irqsave(&memtype_lock, flags);
	for (struct memtype *r = ranges; r < ranges + NR_RANGES; r++)
		if (r->end && r->start < end && start < r->end)
			type = r->type;
	spin_unlock_irqrestore(&memtype_lock, flags);
	return type;
}

static u64 check_leaf(u64 va, pte_t e, int level, void *arg)
{
	u64 size = 1ull << (PAGE_SHIFT + 9 * level), pa = pte_pa(e) & ~(size - 1);
	u64 bits = e.v & (PTE_PWT | PTE_PCD);
	int is, should;

	if (e.v & (level ? PTE_PAT_LARGE : PTE_PAT))
		bits |= PTE_PAT;
	is = type_of_bits(bits);
	should = type_of_range(pa, pa + size);
	if (bits == cache_bits(should))
		return 0;
	pr_err("memtype_check: %#llx maps %#llx as %s, its type is %s\n", va, pa, is < 0 ? "?" : names[is], names[should]);
	return 1;
}

static u64 memtype_check(void)
{
	u64 bad = pgtable_for_leaves(kernel_pgd, check_leaf, NULL);

	if (!cpu_has(pat))
		return bad;
	wrong_pats = 0;
	preempt_disable();
	check_pat(NULL);
	smp_call_mask(cpu_online_mask & ~(1ull << smp_processor_id()), check_pat, NULL, true);
	preempt_enable();
	if (wrong_pats)
		pr_err("memtype_check: %u CPUs have another IA32_PAT than %#llx\n", wrong_pats, PAT_VALUE);
	return bad + wrong_pats;
}

void memtype_init(void)
{
	check_register("memtype", memtype_check);
}
