/*
 * Translation look-aside buffers: switching address spaces, and batched shootdown.
 *
 * Protocol: an editor changes page tables, raises mm->tlb_gen, then sends one request for the gathered range to the CPUs in
 * mm->cpus that may hold the translation; lazy or idle CPUs are not sent anything, they compare generations when they next load
 * the mm. The editor waits for acknowledgements; a waiting or lock-spinning CPU answers requests by polling (tlb_poll). Pages and
 * page-table pages are freed only after the wait. docs/design/memory.md has the proof.
 */
#ifndef X86_TLB_H
#define X86_TLB_H

#include <kernel/cpumask.h>
#include <kernel/percpu.h>
#include <lib/types.h>
#include <x86/layout.h>

struct mm;
struct page;

/* The part of struct mm the TLB code owns. */
struct mm_tlb {
	u64 gen; /* (a) raised by every edit that needs a flush */
	u64 ctx_id; /* unique, never reused */
	cpumask_t cpus; /* (a) CPUs that may hold translations of this mm */
};
void mm_tlb_init(struct mm_tlb *t);

/* Loads @next's tables on this CPU. next NULL: keep the old tables lazily (kernel thread). => irqs off, called by the scheduler. */
void tlb_switch_mm(struct mm *prev, struct mm *next);
/* Leaves any lazily kept mm (its tables are about to be freed). => preemption off */
void tlb_leave_lazy(void);

/* Flush user range [start,end) of mm on all CPUs and wait. stride_shift 12 or 21. => may be called with spinlocks held, any irq state */
void tlb_flush_range(struct mm *mm, u64 start, u64 end, unsigned stride_shift);
static inline void tlb_flush_page(struct mm *mm, u64 va) { tlb_flush_range(mm, va, va + PAGE_SIZE, PAGE_SHIFT); }
void tlb_flush_mm(struct mm *mm);
/* This CPU only; for spurious faults (a stale entry that only gained rights). */
void tlb_flush_local(u64 va);
void tlb_flush_kernel_range(u64 start, u64 end); /* all CPUs */
/* Answers requests sent to this CPU; called by every spin loop, any irq state. */
void tlb_poll(void);
/* Changes whenever this CPU has answered. => preemption off */
DECLARE_PER_CPU(u64, tlb_answered);
static inline u64 tlb_answers(void) { return this_cpu_read(tlb_answered); }

/*
 * A gather collects the pages of an unmap or protect and frees them after one flush.
 * tlb_gather_page puts the page on the list (taking over one reference); tlb_gather_table likewise for a page-table page.
 * tlb_gather_flush flushes now and frees what was gathered; it may be called in the middle (list full).
 */
#define TLB_GATHER_PAGES 126
struct tlb_gather {
	struct mm *mm;
	u64 start, end; /* range that needs a flush, empty when start >= end */
	u32 npages, ntables;
	bool fullmm; /* the mm is dying: nobody runs in it, flush nothing */
	u8 shift; /* stride of the flush: 2 MiB while there are whole huge entries only, else 4 KiB */
	struct page *pages[TLB_GATHER_PAGES];
	struct page *tables[16];
};
void tlb_gather_init(struct tlb_gather *g, struct mm *mm, bool fullmm);
static inline void tlb_gather_range(struct tlb_gather *g, u64 start, u64 end)
{
	g->shift = PAGE_SHIFT;
	if (start < g->start)
		g->start = start;
	if (end > g->end)
		g->end = end;
}
/* One entry of 2 MiB: a single INVLPG drops all of it (SDM vol. 3A 4.10.4.1). */
static inline void tlb_gather_huge(struct tlb_gather *g, u64 addr)
{
	u8 shift = g->shift;

	tlb_gather_range(g, addr, addr + PMD_SIZE);
	g->shift = shift;
}
void tlb_gather_flush(struct tlb_gather *g); /* implemented in kernel/x86/tlb.c; frees through free_pages_list() of mm */
/* True when the caller must call tlb_gather_flush (after dropping its page-table lock). */
static inline bool tlb_gather_page(struct tlb_gather *g, struct page *p)
{
	g->pages[g->npages++] = p;
	return g->npages == TLB_GATHER_PAGES;
}
void tlb_gather_table(struct tlb_gather *g, struct page *p); /* flushes by itself when full; no pt lock held */

/* Requests: shootdowns that asked another CPU, received: answered by one; IPIs: sent, avoided because the CPU was lazy, merged
 * with one on its way; flushes of this CPU by page and whole. */
struct tlb_stats { u64 requests, received, ipis_sent, ipis_avoided, ipis_merged, flush_local, flush_full; };
void tlb_stats_sum(struct tlb_stats *s);

#endif
