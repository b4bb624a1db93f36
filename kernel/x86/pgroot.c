/*
 * Root tables of user address spaces.
 *
 * A few are kept per CPU with the kernel half filled in and the user half zero, so that fork
 * copies nothing. The kernel half never changes after boot, so a kept root cannot go stale.
 * With 5 levels a root is kept together with the table of its first entry, the lowest 256 TiB.
 */
#include "pgtable_impl.h"
#include <kernel/preempt.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <x86/cpu.h>
#include <x86/pti.h>

#define PGD_KEPT 4
static DEFINE_PER_CPU(pgd_t *, pgd_kept[PGD_KEPT]);
static DEFINE_PER_CPU(u32, nr_pgd_kept);

static inline pgd_t *low_table(pgd_t *root)
{
	return pgtable_top == 3 ? root : table_of(root[0]);
}

pgd_t *root_user(pgd_t *root)
{
	return cpu_has(pti) ? (pgd_t *)virt_to_page(root)->pt_va : NULL;
}

static void root_destroy(pgd_t *root)
{
	pgd_t *low = low_table(root), *user = root_user(root);

	if (pgtable_top == 4 && pte_present(root[0]))
		page_table_free(virt_to_page(low));
	if (user) {
		memset(user, 0, PAGE_SIZE);
		page_table_free(virt_to_page(user));
	}
	memset(root, 0, PAGE_SIZE);
	page_table_free(virt_to_page(root));
}

static pgd_t *root_new(void)
{
	struct page *p = page_table_alloc(NULL, GFP_KERNEL), *low, *user;

	if (!p)
		return NULL;
	pgd_t *root = page_address(p);
	if (pgtable_top == 4) {
		low = page_table_alloc(NULL, GFP_KERNEL);
		if (!low)
			goto fail;
		root[0] = pte_make(page_to_phys(low), TABLE_BITS | PTE_U);
	}
	if (cpu_has(pti)) {
		user = page_table_alloc(NULL, GFP_KERNEL);
		if (!user)
			goto fail;
		p->pt_va = (u64)page_address(user);
		pti_fill_root(page_address(user));
		root_user(root)[0] = root[0];
		root[0].v |= root[0].v ? PTE_NX : 0;
	}
	memcpy(root + PTRS / 2, kernel_pgd + PTRS / 2, PAGE_SIZE / 2);
	return root;
fail:
	root_destroy(root);
	return NULL;
}

pgd_t *root_alloc(pgd_t **low)
{
	pgd_t *pgd = NULL;

	preempt_disable();
	u32 n = this_cpu_read(nr_pgd_kept);
	if (likely(n)) {
		this_cpu_write(nr_pgd_kept, n - 1);
		pgd = (*this_cpu_ptr(&pgd_kept))[n - 1];
	}
	preempt_enable();
	if (unlikely(!pgd))
		pgd = root_new();
	if (likely(pgd))
		*low = low_table(pgd);
	return pgd;
}

void root_free(pgd_t *pgd, pgd_t *low)
{
	ASSERT(low == low_table(pgd));
	preempt_disable();
	u32 n = this_cpu_read(nr_pgd_kept);
	if (likely(n < PGD_KEPT)) {
		(*this_cpu_ptr(&pgd_kept))[n] = pgd;
		this_cpu_write(nr_pgd_kept, n + 1);
		pgd = NULL;
	}
	preempt_enable();
	if (pgd)
		root_destroy(pgd);
}
