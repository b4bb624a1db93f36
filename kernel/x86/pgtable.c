/*
 * The kernel half of the address space. (Root tables of user address spaces: pgroot.c; walks over all of it: pgwalk.c.)
 *
 * The loader's tables are adopted: its root becomes kernel_pgd, its lower half (the switch
 * trampoline) is dropped. Every root table of the machine has the same upper 256 entries. To keep
 * that true without ever visiting all address spaces, the second-level tables of everything the
 * kernel may map later (page array, vmalloc, per-CPU areas, fixed mappings) are made at boot and
 * never freed; below them tables come and go.
 *
 * Locking: none. The caller owns the virtual range. Two callers that need the same missing table
 * both make one, one wins the compare-and-exchange, the other gives its table back. A table is freed
 * only when the range being unmapped covers all of it, hence nobody else can be in it.
 *
 * Splitting a large page replaces one entry by a table that translates the same: no moment exists
 * in which the range is unmapped (SDM vol. 3A 4.10.2 allows it as long as both agree).
 */
#include "pgtable_impl.h"
#include <boot/handoff.h>
#include <boot/layout.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/vmalloc.h>
#include <uapi/errno.h>
#include <x86/cpu.h>
#include <x86/machine.h>
#include <x86/pgtable.h>
#include <x86/tlb.h>

u64 direct_map_base = LAYOUT_DIRECT_START;
u64 task_size_max = TASK_SIZE_DEFAULT;
u64 kernel_half = LAYOUT_KERNEL_START;
u64 kimage_slide;
pgd_t *kernel_pgd;
static u64 kimage_phys, kimage_virt;
static bool late;
int pgtable_top = 3;

/* Before anything else may translate an address. */
void pgtable_note_handoff(const struct handoff *h)
{
	direct_map_base = h->direct_virt;
	kimage_slide = h->kernel_slide;
	kimage_phys = h->kernel_phys;
	kimage_virt = h->kernel_virt;
	kernel_pgd = phys_to_virt(h->root_pt_phys);
	if (h->paging_levels == 5) {
		pgtable_top = 4;
		task_size_max = LAYOUT_USER_END5 - PAGE_SIZE;
		kernel_half = LAYOUT_KERNEL_START5;
	}
}

u64 kimage_to_phys(const void *sym)
{
	return (u64)sym - kimage_virt + kimage_phys;
}

/* Physical address of a zeroed table page, 0 when out of memory. */
static u64 table_new(void)
{
	if (!late)
		return virt_to_phys(bootmem_alloc(PAGE_SIZE, PAGE_SIZE, NUMA_NO_NODE));
	struct page *p = page_table_alloc(NULL, GFP_ATOMIC);
	return p ? page_to_phys(p) : 0;
}

static void table_free(u64 pa)
{
	if (late)
		page_table_free(phys_to_page(pa));
}

/* Large entries have PAT in bit 12 instead of 7, and PS. */
static u64 leaf_bits(u64 prot, int level)
{
	if (level == 0)
		return prot;
	return (prot & ~PTE_PAT) | (prot & PTE_PAT ? PTE_PAT_LARGE : 0) | PTE_PS;
}

static u64 small_bits(u64 v)
{
	return (v & ~(PTE_PS | PTE_PAT_LARGE | PTE_ADDR_MASK)) | (v & PTE_PAT_LARGE ? PTE_PAT : 0);
}

static u64 large_pa(u64 v, int level)
{
	return v & PTE_ADDR_MASK & ~(level_size(level) - 1);
}

/* Replaces a large entry of @level by a table with the same translation. */
static bool split(pte_t *e, int level)
{
	pte_t old = pte_read(e);
	u64 pa = table_new(), base = large_pa(old.v, level);

	if (!pa)
		return false;
	pte_t *t = phys_to_virt(pa);
	for (unsigned i = 0; i < PTRS; i++)
		t[i].v = (base + i * level_size(level - 1)) | leaf_bits(small_bits(old.v), level - 1);
	if (!pte_cmpxchg(e, &old, pte_make(pa, TABLE_BITS)))
		table_free(pa);
	return true;
}

/* The table below @e, made when missing, split when it is a large page; NULL when out of memory. */
static pte_t *next_table(pte_t *e, int level)
{
	for (;;) {
		pte_t v = pte_read(e);

		if (pmd_table(v))
			return table_of(v);
		if (pmd_large(v)) {
			if (!split(e, level))
				return NULL;
			continue;
		}
		u64 pa = table_new();
		if (!pa)
			return NULL;
		if (!pte_cmpxchg(e, &v, pte_make(pa, TABLE_BITS)))
			table_free(pa);
	}
}

static int leaf_level(u64 va, u64 pa, u64 len, bool large)
{
	if (large && cpu_has(gb_pages) && !((va | pa) & ~PUD_MASK) && len >= PUD_SIZE)
		return 2;
	if (large && !((va | pa) & ~PMD_MASK) && len >= PMD_SIZE)
		return 1;
	return 0;
}

int pgtable_map_in(pgd_t *root, u64 va, u64 pa, u64 len, u64 prot, bool large)
{
	ASSERT(!((va | pa | len) & ~PAGE_MASK));
	while (len) {
		int level = leaf_level(va, pa, len, large);
		pte_t *t = root;

		for (int l = pgtable_top; t; l--) {
			pte_t *e = &t[level_index(va, l)];

			if (l == level && (!l || !pmd_table(pte_read(e)))) {
				pte_set(e, pte_make(pa, leaf_bits(prot, l)));
				break;
			}
			if (l == level) /* a table that smaller mappings left behind stays in use */
				level--;
			t = next_table(e, l);
		}
		if (!t)
			return -ENOMEM;
		u64 step = level_size(level);
		va += step;
		pa += step;
		len -= step;
	}
	return 0;
}

int kmap_range(u64 va, u64 pa, u64 len, u64 prot, bool large)
{
	return pgtable_map_in(kernel_pgd, va, pa, len, prot, large);
}

/* The entry that maps @va, its level in *level; NULL when a table above is missing. */
static pte_t *lookup(pgd_t *pgd, u64 va, int *level)
{
	pte_t *t = pgd;

	for (int l = pgtable_top;; l--) {
		pte_t *e = &t[level_index(va, l)];
		pte_t v = pte_read(e);

		*level = l;
		if (l == 0 || pmd_large(v))
			return e;
		if (!pte_present(v))
			return NULL;
		t = table_of(v);
	}
}

u64 pgtable_lookup_in(pgd_t *root, u64 va)
{
	int level;
	pte_t *e = lookup(root, va, &level);

	if (!e || !pte_present(*e))
		return ~0ull;
	return large_pa(e->v, level) + (va & (level_size(level) - 1));
}

u64 kva_to_phys(u64 va)
{
	return pgtable_lookup_in(kernel_pgd, va);
}

/* First address after @va that another entry of @level covers. */
static u64 next_boundary(u64 va, int level)
{
	return (va & ~(level_size(level) - 1)) + level_size(level);
}

#define UNMAP_BATCH 32

/* Takes the table of 2 MiB at @va out when the range covers it all. */
static bool take_table(u64 va, u64 end, u64 *pa)
{
	pte_t *t = kernel_pgd;

	if (va & ~PMD_MASK || end - va < PMD_SIZE)
		return false;
	for (int l = pgtable_top; l > 1; l--) {
		pte_t v = pte_read(&t[level_index(va, l)]);
		if (!pmd_table(v))
			return false;
		t = table_of(v);
	}
	pte_t *e = &t[level_index(va, 1)];
	if (!pmd_table(pte_read(e)))
		return false;
	*pa = pte_pa(pte_get_and_clear(e));
	return true;
}

void kunmap_range(u64 va, u64 len, bool free_tables)
{
	u64 start = va, end = va + len, tables[UNMAP_BATCH];
	unsigned n = 0;
	int level;

	while (va < end) {
		if (free_tables && late && take_table(va, end, &tables[n])) {
			va += PMD_SIZE;
			if (++n < UNMAP_BATCH)
				continue;
			tlb_flush_kernel_range(start, va);
			while (n)
				table_free(tables[--n]);
			start = va;
			continue;
		}
		pte_t *e = lookup(kernel_pgd, va, &level);
		if (!e) {
			va = next_boundary(va, level);
			continue;
		}
		if (level && pte_present(*e) && (va & (level_size(level) - 1) || end - va < level_size(level))) {
			VERIFY(split(e, level));
			continue;
		}
		pte_set(e, pte_make(0, 0));
		va = next_boundary(va, level);
	}
	tlb_flush_kernel_range(start, end);
	while (n)
		table_free(tables[--n]);
}

int kprotect_range(u64 va, u64 len, u64 prot)
{
	u64 start = va, end = va + len;
	int level;

	while (va < end) {
		pte_t *e = lookup(kernel_pgd, va, &level);

		if (!e || !pte_present(*e)) {
			va = next_boundary(va, level);
			continue;
		}
		if (level && (va & (level_size(level) - 1) || end - va < level_size(level))) {
			if (!split(e, level))
				return -ENOMEM;
			continue;
		}
		pte_set(e, pte_make(large_pa(e->v, level), leaf_bits(prot, level)));
		va = next_boundary(va, level);
	}
	tlb_flush_kernel_range(start, end);
	return 0;
}

int direct_map_set_present(u64 va, bool on)
{
	int level;
	pte_t *e;

	for (;;) {
		e = lookup(kernel_pgd, va, &level);
		VERIFY(e);
		if (!level)
			break;
		if (!split(e, level))
			return -ENOMEM;
	}
	pte_set(e, (pte_t){ on ? e->v | PTE_P : e->v & ~PTE_P });
	if (!on)
		tlb_flush_kernel_range(va, va + PAGE_SIZE);
	return 0;
}

bool kva_cache_bits(u64 va, u64 *bits)
{
	int level;
	pte_t *e = lookup(kernel_pgd, va, &level);

	if (!e || !pte_present(*e))
		return false;
	*bits = e->v & (PTE_PWT | PTE_PCD);
	if (e->v & (level ? PTE_PAT_LARGE : PTE_PAT))
		*bits |= PTE_PAT;
	return true;
}

pgd_t *kernel_pgd_entry(u64 va)
{
	return (pgtable_top == 3 ? kernel_pgd : table_of(kernel_pgd[PTRS - 1])) + pgd_index(va);
}

static void premake(u64 start, u64 end)
{
	for (u64 va = start; va < end && va >= start; va += level_size(3)) {
		pgd_t *e = kernel_pgd_entry(va);

		if (!pte_present(*e))
			pte_set(e, pte_make(table_new(), TABLE_BITS));
	}
}

void pgtable_init(const struct handoff *h)
{
	u64 max = 0;
	const char *r = phys_to_virt(h->regions);

	for (u32 i = 0; i < h->nr_regions; i++, r += h->region_size) {
		const struct handoff_region *reg = (const void *)r;
		if (reg->flags & HANDOFF_REGION_DIRECT)
			max = max_t(u64, max, reg->base + reg->npages * PAGE_SIZE);
	}
	for (unsigned i = 0; i < PTRS / 2; i++)
		kernel_pgd[i].v = 0;
	write_cr3(read_cr3());
	premake(LAYOUT_PAGES_START, LAYOUT_PAGES_START + (max >> PAGE_SHIFT) * 64 + 1);
	premake(LAYOUT_VMALLOC_START, LAYOUT_VMALLOC_END);
	premake(LAYOUT_IMAGE_START & ~(level_size(3) - 1), LAYOUT_IMAGE_END);
}

#define VMALLOC_RANDOM_STEPS (1ull << 21) /* of 2 MiB: 4 of the 16 TiB */

void pgtable_choose_vmalloc(const struct handoff *h)
{
	if (h->kaslr_flags & HANDOFF_KASLR_DIRECT)
		vmalloc_base += get_random_u64() % VMALLOC_RANDOM_STEPS * PMD_SIZE;
	pr_info("mm: vmalloc from %#llx\n", vmalloc_base);
}

void pgtable_plant_wx(void)
{
	struct page *p = alloc_page(GFP_KERNEL);
	u64 va = vmalloc_reserve(PAGE_SIZE, PAGE_SIZE);

	if (p && va)
		kmap_range(va, page_to_phys(p), PAGE_SIZE, PROT_KERNEL & ~PTE_NX, false);
}

void pgtable_late(void)
{
	late = true;
}

/* The low page becomes a root table for CPUs that start: the kernel half and 1:1 for the first 2 MiB. */
static u64 trampoline_tables[3];

u64 pgtable_trampoline(u64 page)
{
	pgd_t *root = phys_to_virt(page);

	pte_t *t = root;
	memset(root, 0, PAGE_SIZE / 2);
	memcpy(root + PTRS / 2, kernel_pgd + PTRS / 2, PAGE_SIZE / 2);
	for (int l = pgtable_top; l > 1; l--) {
		u64 pa = trampoline_tables[l - 2] = table_new();

		if (!pa)
			return 0;
		t[0] = pte_make(pa, TABLE_BITS);
		t = phys_to_virt(pa);
	}
	t[0] = pte_make(0, PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS);
	return page;
}

void pgtable_trampoline_done(void)
{
	for (int i = 0; i < 3; i++)
		if (trampoline_tables[i])
			table_free(trampoline_tables[i]);
}

bool kimage_part(unsigned i, const char **name, u64 *first, u64 *last)
{
	extern char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[], __data_end[],
		__bss_start[], __bss_end[];
	static const struct { const char *name; char *from, *to; } parts[] = {
		{ "code", __text_start, __text_end },
		{ "rodata", __rodata_start, __rodata_end },
		{ "data", __data_start, __data_end },
		{ "bss", __bss_start, __bss_end },
	};

	if (i >= ARRAY_SIZE(parts))
		return false;
	*name = parts[i].name;
	*first = kimage_to_phys(parts[i].from);
	*last = kimage_to_phys(parts[i].to - 1);
	return true;
}
