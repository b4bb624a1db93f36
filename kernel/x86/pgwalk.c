/* Walks over the whole kernel half: the audit of writable and executable mappings, leaves for other checks, counts for /proc/meminfo. */
#include "pgtable_impl.h"
#include <boot/layout.h>
#include <kernel/printk.h>

/* The walk of the audit: effective rights are the AND of W and the OR of NX over the levels. */
static void audit_table(unsigned *bad, const pte_t *t, int level, u64 va, bool w, bool x)
{
	unsigned first = level == pgtable_top ? PTRS / 2 : 0;

	for (unsigned i = first; i < PTRS; i++) {
		pte_t e = pte_read(&t[i]);
		u64 at = va + i * level_size(level);

		if (level == pgtable_top)
			at |= kernel_half;
		if (!pte_present(e))
			continue;
		bool ew = w && pte_write(e), ex = x && !(e.v & PTE_NX);
		if (!ew || !ex)
			continue; /* nothing below can be both */
		if (level && !(e.v & PTE_PS))
			audit_table(bad, table_of(e), level - 1, at, ew, ex);
		else if ((*bad)++ < 8)
			pr_err("pgtable: %#llx is writable and executable (%#llx)\n", at, e.v);
	}
}

unsigned pgtable_audit_wx(void)
{
	unsigned bad = 0;

	audit_table(&bad, kernel_pgd, pgtable_top, 0, true, true);
	return bad;
}

static u64 leaves_of(const pte_t *t, int level, u64 va, u64 (*fn)(u64, pte_t, int, void *), void *arg)
{
	u64 sum = 0;

	for (unsigned i = level == pgtable_top ? PTRS / 2 : 0; i < PTRS; i++) {
		pte_t e = pte_read(&t[i]);
		u64 at = va + i * level_size(level);

		if (level == pgtable_top)
			at |= kernel_half;
		if (!pte_present(e))
			continue;
		if (level && !(e.v & PTE_PS))
			sum += leaves_of(table_of(e), level - 1, at, fn, arg);
		else
			sum += fn(at, e, level, arg);
	}
	return sum;
}

u64 pgtable_for_leaves(const pgd_t *root, u64 (*fn)(u64, pte_t, int, void *), void *arg)
{
	return leaves_of(root, pgtable_top, 0, fn, arg);
}

static void count_level(const pte_t *table, int level, u64 n[3])
{
	for (unsigned i = 0; i < PTRS; i++) {
		pte_t e = pte_read(&table[i]);

		if (!pte_present(e))
			continue;
		if (level == 0 || e.v & PTE_PS)
			n[level]++;
		else
			count_level(table_of(e), level - 1, n);
	}
}

void pgtable_count_direct(u64 n[3])
{
	n[0] = n[1] = n[2] = 0;
	unsigned first = level_index(direct_map_base, pgtable_top);
	unsigned end = level_index(pgtable_top == 4 ? LAYOUT_DIRECT5_END : PAGE_ARRAY_BASE, pgtable_top);

	for (unsigned i = first; i < end; i++) {
		pgd_t e = pte_read(&kernel_pgd[i]);

		if (pte_present(e))
			count_level(table_of(e), pgtable_top - 1, n);
	}
}
