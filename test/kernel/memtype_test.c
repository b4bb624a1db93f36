/* Caching types of device mappings: each variant has the bits of its type, and one range never has two. */
#include <kernel/ktest.h>
#include <x86/io.h>
#include <x86/pgtable.h>

/* A hole of every PC's address map (between the I/O APIC and the HPET): mapped, never touched. */
#define NOWHERE 0xfed90000ull

KTEST(memtype_variants)
{
	static const enum cache_type all[] = { CACHE_WC, CACHE_UC, CACHE_WT, CACHE_UC_MINUS };

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		void *p = ioremap(NOWHERE, 2 * PAGE_SIZE, all[i]);

		KCHECK(p);
		KCHECK(kva_cache_type((u64)p) == (int)all[i]);
		KCHECK(kva_cache_type((u64)p + PAGE_SIZE) == (int)all[i]);
		iounmap(p);
	}
}

KTEST(memtype_one_per_range)
{
	void *a = ioremap(NOWHERE, 2 * PAGE_SIZE, CACHE_WC), *b = ioremap(NOWHERE + PAGE_SIZE, PAGE_SIZE, CACHE_UC), *c;

	KCHECK(a && b);
	KCHECK(kva_cache_type((u64)b) == CACHE_WC);
	iounmap(a);
	iounmap(b);
	c = ioremap(NOWHERE, PAGE_SIZE, CACHE_UC);
	KCHECK(c && kva_cache_type((u64)c) == CACHE_UC);
	iounmap(c);
	/* memory is write-back */
	KCHECK(kva_cache_type(direct_map_base + 0x100000) == CACHE_WB);
	KCHECK(!ioremap(0x100000, PAGE_SIZE, CACHE_UC));
}
