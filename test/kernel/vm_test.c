/*
 * In-kernel tests of the virtual level: an address space that no CPU runs in is edited from here, and its page tables, counters and
 * reverse map are looked at directly. What programs see of the same is tested in test/user.
 */
#include <kernel/ktest.h>
#include <kernel/rcu.h>
#include <lib/string.h>
#include <mm/check.h>
#include <uapi/mman.h>
#include <x86/tlb.h>
#include "../../mm/vm.h"

#define BASE 0x40000000ull /* aligned to every table */
#define ANON_RW PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED

static struct mm *new_mm(void)
{
	struct mm *mm = mm_alloc();

	KCHECK(mm);
	mm_publish(mm);
	return mm;
}

static u64 at(u64 page) { return BASE + page * PAGE_SIZE; }

static void put_value(struct mm *mm, u64 page, u32 v) { KCHECK_EQ(mm_access(mm, at(page), &v, 4, true, false), 4); }

static u32 value(struct mm *mm, u64 page)
{
	u32 v = ~0u;

	KCHECK_EQ(mm_access(mm, at(page), &v, 4, false, false), 4);
	return v;
}

static struct page *frame_of(struct mm *mm, u64 page)
{
	pte_t *e = pt_pte(mm, at(page));

	return e && pte_has_page(*e) ? pte_frame(*e) : NULL;
}

static bool count_one(struct rmap_walk *w, struct vma *v, u64 addr, pte_t *entry, bool huge)
{
	(void)v, (void)addr, (void)entry, (void)huge;
	++*(u64 *)w->arg;
	return true;
}

static u64 mappings_found(struct page *p)
{
	u64 n = 0;
	struct rmap_walk w = { .fn = count_one, .arg = &n };

	rmap_walk(p, &w);
	return n;
}

static void map_small(struct mm *mm, u64 page, u64 n)
{
	KCHECK_EQ(do_mmap(mm, NULL, at(page), n * PAGE_SIZE, ANON_RW, 0), at(page));
	KCHECK_EQ(do_madvise(mm, at(page), n * PAGE_SIZE, MADV_NOHUGEPAGE), 0);
}

KTEST(vm_map_and_unmap)
{
	struct mm *mm = new_mm();
	u64 tables = mm->pgtables_bytes;

	map_small(mm, 0, 64);
	KCHECK_EQ(mm->total_vm, 64);
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 0);
	KCHECK(!pt_pmd(mm, BASE) || !frame_of(mm, 0));
	for (u64 i = 0; i < 64; i++)
		put_value(mm, i, 100 + i);
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 64);
	KCHECK_EQ(mm_check(mm), 0);
	/* a hole in the middle makes two mappings, and takes the pages with it */
	KCHECK_EQ(do_munmap(mm, at(10), 20 * PAGE_SIZE), 0);
	KCHECK_EQ(mm->nr_vmas, 2);
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 44);
	KCHECK(!frame_of(mm, 10) && !frame_of(mm, 29) && frame_of(mm, 9) && frame_of(mm, 30));
	KCHECK_EQ(value(mm, 9), 109);
	KCHECK_EQ(value(mm, 30), 130);
	KCHECK_EQ(mm_check(mm), 0);
	/* mapped again it is one, and zero where it was */
	map_small(mm, 10, 20);
	KCHECK_EQ(mm->nr_vmas, 1);
	KCHECK_EQ(value(mm, 15), 0);
	KCHECK_EQ(do_munmap(mm, at(0), 64 * PAGE_SIZE), 0);
	KCHECK_EQ(mm->total_vm, 0);
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 0);
	KCHECK_EQ(mm->pgtables_bytes, tables);
	KCHECK_EQ(mm_check(mm), 0);
	mm_put(mm);
}

KTEST(vm_protect)
{
	struct mm *mm = new_mm();

	map_small(mm, 0, 16);
	for (u64 i = 0; i < 16; i++)
		put_value(mm, i, i);
	KCHECK_EQ(do_mprotect(mm, at(4), 4 * PAGE_SIZE, PROT_READ, -1), 0);
	KCHECK_EQ(mm->nr_vmas, 3);
	KCHECK(!pte_write(*pt_pte(mm, at(4))) && pte_write(*pt_pte(mm, at(8))));
	KCHECK_EQ(mm_fault(mm, at(4), FAULT_USER | FAULT_WRITE, 0), FR_SEGV_ACCERR);
	/* without any right the page stays, and the CPU cannot reach it */
	KCHECK_EQ(do_mprotect(mm, at(4), 4 * PAGE_SIZE, PROT_NONE, -1), 0);
	KCHECK(pte_has_page(*pt_pte(mm, at(5))) && !pte_present(*pt_pte(mm, at(5))));
	KCHECK_EQ(mm_fault(mm, at(5), FAULT_USER, 0), FR_SEGV_ACCERR);
	KCHECK_EQ(mm_check(mm), 0);
	/* back again: one mapping, the contents as they were */
	KCHECK_EQ(do_mprotect(mm, at(4), 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, -1), 0);
	KCHECK_EQ(mm->nr_vmas, 1);
	for (u64 i = 0; i < 16; i++)
		KCHECK_EQ(value(mm, i), i);
	KCHECK_EQ(mm_check(mm), 0);
	mm_put(mm);
}

KTEST(vm_fault_cases)
{
	struct mm *mm = new_mm();

	map_small(mm, 0, 8);
	KCHECK_EQ(mm_fault(mm, at(100), FAULT_USER, 0), FR_SEGV_MAPERR);
	KCHECK_EQ(mm_fault(mm, at(0), FAULT_USER, 0), FR_OK);
	KCHECK(pte_mapped(*pt_pte(mm, at(0))) && !pte_has_page(*pt_pte(mm, at(0)))); /* the zero page */
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 0);
	KCHECK_EQ(mm_fault(mm, at(0), FAULT_USER | FAULT_WRITE, 0), FR_OK);
	KCHECK(frame_of(mm, 0) && pte_write(*pt_pte(mm, at(0))));
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 1);
	KCHECK_EQ(mm_fault(mm, at(0), FAULT_USER | FAULT_EXEC, 0), FR_SEGV_ACCERR);
	KCHECK_EQ(mm_fault(mm, at(0), FAULT_USER | FAULT_WRITE, 0), FR_OK); /* there already: somebody else was first */
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 1);
	KCHECK_EQ(do_madvise(mm, at(0), PAGE_SIZE, MADV_DONTNEED), 0);
	KCHECK(!frame_of(mm, 0));
	KCHECK_EQ(value(mm, 0), 0);
	KCHECK_EQ(mm_check(mm), 0);
	mm_put(mm);
}

KTEST(vm_fork_and_rmap)
{
	struct mm *mm = new_mm(), *child;
	struct page *p;

	map_small(mm, 0, 8);
	for (u64 i = 0; i < 8; i++)
		put_value(mm, i, i);
	p = frame_of(mm, 3);
	KCHECK_EQ(mappings_found(p), 1);
	child = mm_fork(mm);
	KCHECK(!IS_ERR(child));
	KCHECK_EQ(mappings_found(p), 2);
	KCHECK_EQ(p->mapcount, 2);
	KCHECK(frame_of(child, 3) == p && !pte_write(*pt_pte(mm, at(3))) && !pte_write(*pt_pte(child, at(3))));
	put_value(child, 3, 1000);
	KCHECK(frame_of(child, 3) != p);
	KCHECK_EQ(mappings_found(p), 1);
	KCHECK_EQ(value(mm, 3), 3);
	KCHECK_EQ(value(child, 3), 1000);
	/* moved in the child: found at the new place */
	p = frame_of(mm, 4);
	KCHECK_EQ(do_mremap(child, at(4), PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, at(600)), at(600));
	KCHECK_EQ(mappings_found(p), 2);
	KCHECK_EQ(value(child, 600), 4);
	KCHECK_EQ(mm_check(child) + rmap_check(), 0);
	/* the last one left writes in place */
	mm_put(child);
	put_value(mm, 4, 44);
	KCHECK(frame_of(mm, 4) == p && p->mapcount == 1);
	KCHECK_EQ(mm_check(mm), 0);
	mm_put(mm);
}

static bool is_huge(struct mm *mm, u64 page)
{
	pmd_t *e = pt_pmd(mm, at(page));

	return e && pmd_huge(*e);
}

static bool all_values(struct mm *mm, u64 from, u64 to)
{
	for (u64 i = from; i < to; i++)
		if (value(mm, i) != i + 1)
			return false;
	return true;
}

KTEST(vm_split_and_collapse)
{
	struct mm *mm = new_mm();
	int before = thp_enabled;

	thp_enabled = THP_ALWAYS;
	KCHECK_EQ(do_mmap(mm, NULL, at(0), 1024 * PAGE_SIZE, ANON_RW, 0), at(0));
	for (u64 i = 0; i < 1024; i++)
		put_value(mm, i, i + 1);
	if (!is_huge(mm, 0) || !is_huge(mm, 512)) {
		pr_notice("vm_split_and_collapse: no huge page to be had\n");
		goto out;
	}
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 1024);
	/* one page away: the first block is small pages, the second is not touched */
	KCHECK_EQ(do_munmap(mm, at(7), PAGE_SIZE), 0);
	KCHECK(!is_huge(mm, 0) && is_huge(mm, 512));
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 1023);
	KCHECK(all_values(mm, 0, 7) && all_values(mm, 8, 1024));
	KCHECK_EQ(mm_check(mm) + rmap_check(), 0);
	/* a part read-only: split as well, all there */
	KCHECK_EQ(do_mprotect(mm, at(600), 3 * PAGE_SIZE, PROT_READ, -1), 0);
	KCHECK(!is_huge(mm, 512) && all_values(mm, 512, 1024));
	KCHECK_EQ(do_mprotect(mm, at(600), 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, -1), 0);
	/* and together again */
	KCHECK_EQ(do_madvise(mm, at(512), 512 * PAGE_SIZE, MADV_COLLAPSE), 0);
	KCHECK(is_huge(mm, 512) && all_values(mm, 512, 1024));
	KCHECK_EQ((s64)mm_rss(mm, RSS_ANON), 1023);
	KCHECK_EQ(mm_check(mm) + rmap_check(), 0);
	/* forked, then written: the child's is its own, in whatever size */
	struct mm *child = mm_fork(mm);
	KCHECK(!IS_ERR(child));
	put_value(child, 700, 5);
	KCHECK(all_values(mm, 512, 1024));
	KCHECK_EQ(value(child, 700), 5);
	KCHECK(all_values(child, 512, 700) && all_values(child, 701, 1024));
	KCHECK_EQ(mm_check(mm) + mm_check(child) + rmap_check(), 0);
	mm_put(child);
out:
	mm_put(mm);
	thp_enabled = before;
}

/* Where no CPU has the address space loaded, taking things away interrupts nobody. */
KTEST(vm_no_shootdown_for_nobody)
{
	struct mm *mm = new_mm();
	struct tlb_stats a, b;

	map_small(mm, 0, 256);
	for (u64 i = 0; i < 256; i++)
		put_value(mm, i, i);
	tlb_stats_sum(&a);
	KCHECK_EQ(do_mprotect(mm, at(0), 100 * PAGE_SIZE, PROT_READ, -1), 0);
	KCHECK_EQ(do_munmap(mm, at(0), 256 * PAGE_SIZE), 0);
	tlb_stats_sum(&b);
	KCHECK(b.ipis_sent - a.ipis_sent <= 2); /* others may do something meanwhile */
	mm_put(mm);
}

/* Many mappings and back: the tree's balance and gaps are looked at all along. */
KTEST(vm_many_mappings)
{
	struct mm *mm = new_mm();
	u64 seed = 12345;

	for (int step = 0; step < 600; step++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		u64 page = seed >> 33 & 1023, n = 1 + (seed >> 50 & 15);

		switch (seed >> 60 & 3) {
		case 0:
			KCHECK_EQ(do_munmap(mm, at(page), n * PAGE_SIZE), 0);
			break;
		case 1:
			(void)do_mprotect(mm, at(page), n * PAGE_SIZE, seed >> 45 & 1 ? PROT_READ : PROT_NONE, -1);
			break;
		default:
			KCHECK_EQ(do_mmap(mm, NULL, at(page), n * PAGE_SIZE, ANON_RW, 0), at(page));
			put_value(mm, page, (u32)seed);
		}
		if (step % 20 == 0)
			KCHECK_EQ(mm_check(mm), 0);
	}
	KCHECK_EQ(mm_check(mm), 0);
	mm_put(mm);
}
