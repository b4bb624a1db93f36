/* Mappings of device and firmware memory. */
#include "pgtable_impl.h"
#include <boot/layout.h>
#include <kernel/printk.h>
#include <mm/vmalloc.h>
#include <x86/io.h>

/*
 * One page, one memory type: what the direct map has write-back may not be mapped otherwise as well (SDM vol. 3A 11.12.4: the result
 * is undefined). Devices are not in the direct map.
 */
static bool type_conflict(u64 phys, u64 len, enum cache_type ct)
{
	if (ct == CACHE_WB)
		return false;
	for (u64 pa = phys; pa < phys + len; pa += PAGE_SIZE)
		if (kva_to_phys((u64)phys_to_virt(pa)) == pa) {
			pr_err("pgtable: %#llx is memory, it cannot be mapped uncached\n", pa);
			return true;
		}
	return false;
}

/*
 * Device and firmware memory before vmalloc: a bump allocation at the top of the address space.
 * => for the life of the kernel
 */
void *early_ioremap(u64 phys, u64 len, enum cache_type ct)
{
	static u64 next = LAYOUT_MODULES_END;
	u64 start = phys & PAGE_MASK, n = ALIGN(phys + len, PAGE_SIZE) - start;

	if (type_conflict(start, n, ct))
		return NULL;
	if (n > 0xe00000 || next + n > 0xffffffffffe00000ull || next + n < next || memtype_reserve(start, n, &ct))
		return NULL;
	u64 va = next;
	if (kmap_range(va, start, n, PROT_KERNEL | cache_bits(ct), false))
		return NULL;
	next += n + PAGE_SIZE;
	return (void *)(va + (phys - start));
}

void *ioremap(u64 phys, u64 len, enum cache_type ct)
{
	u64 start = phys & PAGE_MASK, n = ALIGN(phys + len, PAGE_SIZE) - start;
	u64 va = type_conflict(start, n, ct) ? 0 : vmalloc_reserve(n, n >= PMD_SIZE ? PMD_SIZE : PAGE_SIZE);

	if (!va)
		return NULL;
	if (memtype_reserve(start, n, &ct))
		goto release;
	if (kmap_range(va, start, n, PROT_KERNEL | cache_bits(ct), true)) {
		kunmap_range(va, n, true);
		memtype_release(start, n);
		goto release;
	}
	return (void *)(va + (phys - start));
release:
	vmalloc_release(va);
	return NULL;
}

void iounmap(void *p)
{
	u64 va = (u64)p & PAGE_MASK, end = va;

	if (!p)
		return;
	while (kva_to_phys(end) != ~0ull) /* the guard page ends the area */
		end += PAGE_SIZE;
	u64 start = kva_to_phys(va);
	kunmap_range(va, end - va, true);
	memtype_release(start, end - va);
	vmalloc_release(va);
}
