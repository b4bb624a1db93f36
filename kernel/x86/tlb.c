/*
 * Address-space switches and TLB shootdown.
 *
 * Generations. mm->tlb.gen counts the edits that need a flush. Every CPU remembers, for each of its
 * address-space slots, which generation the slot's cached translations are at least as new as. A slot
 * is a PCID when the CPU has them; without PCID there is one slot, which every switch flushes. The
 * code is the same.
 *
 * mm->tlb.cpus holds the CPUs whose CR3 points to the mm. A switch sets the bit before it reads the
 * generation; an editor raises the generation before it reads the bits (both are locked operations,
 * hence full barriers): either the editor sees the CPU and asks it, or the CPU sees the new
 * generation and flushes. The same argument holds for a CPU that was lazy and wakes up, with the
 * lazy flag in place of the bit.
 *
 * Lazy: a kernel thread keeps the old tables. Such a CPU uses no user translation, so it is asked for
 * nothing, except when page-table pages are about to be freed (its walker may still follow them
 * speculatively, SDM vol. 3A 4.10.3.1): then it leaves the mm for good, and is not asked again.
 *
 * Requests. An editor fills its own CPU's descriptor, sets its bit in the inbox of each target, sends
 * an interrupt where the inbox was empty (else one is on its way already: merged), and waits until
 * the targets have cleared themselves from the descriptor. The target takes its whole inbox at once,
 * in the interrupt or in tlb_poll(), which every spinning loop calls: two editors with interrupts off
 * that wait for each other, or for each other's locks, both make progress.
 *
 * Locking: the slots belong to their CPU, interrupts off. docs/design/memory.md has the proof.
 */
#include <kernel/cpumask.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/assert.h>
#include <mm/alloc.h>
#include <mm/mm.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/machine.h>
#include <x86/pti.h>
#include <x86/tlb.h>

#define NR_SLOTS 6 /* PCIDs 1..6; 0 is kernel_pgd */
#define PCID_TWIN 0x800ull /* the PCID of the same slot for user mode */
#define CR3_NOFLUSH (1ull << 63)
/* Above so many pages one full flush of the address space is cheaper than INVLPGs. */
#define FLUSH_CEILING 33

struct slot { u64 ctx_id, gen; };

struct tlb_state {
	struct mm *loaded; /* whose tables are in CR3; NULL: kernel_pgd */
	u32 slot; /* of loaded */
	u32 next_slot;
	bool lazy; /* a kernel thread runs on them */
	u32 twin_stale; /* bit per slot: its PCID for user mode must be flushed before use */
	struct slot slots[NR_SLOTS];
};

/* RANGE: flush. TABLES: flush, or leave when lazy. EVICT: leave, the mm is dying. KERNEL: global range. */
enum { REQ_RANGE, REQ_TABLES, REQ_EVICT, REQ_KERNEL };
struct request {
	cpumask_t pending; /* (a) targets that have not answered */
	struct mm *mm;
	u64 start, end, gen;
	u32 kind;
	u32 shift;
};

static DEFINE_PER_CPU(struct tlb_state, tlb_state) __aligned(64);
/* What other CPUs write stands on lines of its own. */
static DEFINE_PER_CPU(struct request, tlb_request) __aligned(64);
static DEFINE_PER_CPU(cpumask_t, tlb_inbox) __aligned(64);
static DEFINE_PER_CPU(struct tlb_stats, tlb_stats) __aligned(64);
DEFINE_PER_CPU(u64, tlb_answered);
static DEFINE_PER_CPU(u64, last_ctx_id); /* counts up from 0; the CPU's number makes it unique, see mm_tlb_init */

void mm_tlb_init(struct mm_tlb *t)
{
	t->gen = 1;
	t->cpus = 0;
	preempt_disable();
	this_cpu_inc(last_ctx_id);
	t->ctx_id = this_cpu_read(last_ctx_id) * MAX_CPUS + (u64)smp_processor_id();
	preempt_enable();
}

void tlb_cpu_init(void)
{
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	*s = (struct tlb_state){ .loaded = NULL };
	__pcp(pti_kernel_cr3) = virt_to_phys(kernel_pgd);
	write_cr3(virt_to_phys(kernel_pgd));
}

static u64 cr3_of(const struct mm *mm, u32 slot)
{
	return virt_to_phys(mm->root) | (cpu_has(pcid) ? slot + 1 : 0);
}

/*
 * Page-table isolation: the words from which the entry code loads CR3 (pti.c), for the mm and slot about to be loaded; @keep: what is
 * cached of the twin is good, unless a flush of it was still due when the slot was left.
 */
static noinline void pti_load(struct tlb_state *s, struct mm *mm, bool keep)
{
	u64 noflush = cpu_has(pcid) ? CR3_NOFLUSH : 0;
	u64 user = virt_to_phys(mm->user_root) | (cpu_has(pcid) ? (s->slot + 1) | PCID_TWIN : 0);

	__pcp(pti_kernel_cr3) = cr3_of(mm, s->slot) | noflush;
	__pcp(pti_user_keep) = user | noflush;
	__pcp(pti_user_cr3) = user | (keep && !(s->twin_stale >> s->slot & 1) ? noflush : 0);
	s->twin_stale &= ~(1u << s->slot);
}

/* Before another mm, or none, is loaded: remembers a flush of the twin that is still due. */
static inline void pti_unload(struct tlb_state *s)
{
	if (unlikely(cpu_has(pti)) && s->loaded && __pcp(pti_user_cr3) != __pcp(pti_user_keep))
		s->twin_stale |= 1u << s->slot;
}

/* The next return to user mode flushes. */
static inline void pti_flush_twin(void)
{
	if (unlikely(cpu_has(pti)))
		__pcp(pti_user_cr3) = __pcp(pti_user_keep) & ~CR3_NOFLUSH;
}

/* Drops every user translation of the loaded mm. */
static void flush_loaded(struct tlb_state *s)
{
	write_cr3(cr3_of(s->loaded, s->slot));
	pti_flush_twin();
	this_cpu_inc(tlb_stats.flush_full);
}

/* Finds or takes the slot of @mm; true when its translations may be kept. */
static bool choose_slot(struct tlb_state *s, struct mm *mm, u64 gen)
{
	if (cpu_has(pcid)) {
		for (u32 i = 0; i < NR_SLOTS; i++)
			if (s->slots[i].ctx_id == mm->tlb.ctx_id) {
				s->slot = i;
				bool fresh = s->slots[i].gen >= gen;
				s->slots[i].gen = gen;
				return fresh;
			}
		s->slot = s->next_slot;
		s->next_slot = s->next_slot + 1 == NR_SLOTS ? 0 : s->next_slot + 1;
	}
	s->slots[s->slot] = (struct slot){ mm->tlb.ctx_id, gen };
	return false;
}

static void leave(struct tlb_state *s, int cpu)
{
	struct mm *mm = s->loaded;

	pti_unload(s);
	if (unlikely(cpu_has(pti)))
		__pcp(pti_kernel_cr3) = virt_to_phys(kernel_pgd);
	s->loaded = NULL;
	s->lazy = false;
	write_cr3(virt_to_phys(kernel_pgd));
	__atomic_fetch_and(&mm->tlb.cpus, ~cpumask_of(cpu), __ATOMIC_SEQ_CST);
}

void tlb_switch_mm(struct mm *prev, struct mm *next)
{
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	(void)prev;
	if (!next) {
		if (s->loaded)
			WRITE_ONCE(s->lazy, true);
		return;
	}
	if (next->root == kernel_pgd) {
		if (s->loaded)
			leave(s, smp_processor_id());
		return;
	}
	if (s->loaded == next) {
		if (!s->lazy)
			return;
		__atomic_exchange_n(&s->lazy, false, __ATOMIC_SEQ_CST); /* before the generation is read */
		u64 gen = __atomic_load_n(&next->tlb.gen, __ATOMIC_ACQUIRE);
		if (s->slots[s->slot].gen < gen) {
			s->slots[s->slot].gen = gen;
			flush_loaded(s);
		}
		return;
	}
	int cpu = smp_processor_id();
	struct mm *old = s->loaded;
	__atomic_fetch_or(&next->tlb.cpus, cpumask_of(cpu), __ATOMIC_SEQ_CST);
	pti_unload(s);
	s->loaded = next;
	s->lazy = false;
	bool keep = choose_slot(s, next, __atomic_load_n(&next->tlb.gen, __ATOMIC_ACQUIRE));
	if (unlikely(cpu_has(pti)))
		pti_load(s, next, keep);
	write_cr3(cr3_of(next, s->slot) | (keep ? CR3_NOFLUSH : 0));
	if (old)
		__atomic_fetch_and(&old->tlb.cpus, ~cpumask_of(cpu), __ATOMIC_RELEASE);
}

void tlb_leave_lazy(void)
{
	u64 flags = local_irq_save();
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	if (s->loaded && s->lazy)
		leave(s, smp_processor_id());
	local_irq_restore(flags);
}

static void invlpg(u64 va)
{
	asm volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* One page of one PCID that is not loaded: SDM vol. 2A INVPCID, type 0. */
static void invpcid_page(u64 pcid, u64 va)
{
	struct { u64 pcid, va; } d = { pcid, va };

	asm volatile("invpcid %0, %1" ::"m"(d), "r"(0ull) : "memory");
}

/* The pages of [start, end) in the twin's PCID; without PCIDs the way back to user mode flushes anyhow. */
static noinline void flush_twin(const struct tlb_state *s, u64 start, u64 end, u32 shift)
{
	if (!cpu_has(invpcid)) {
		pti_flush_twin();
		return;
	}
	for (; start < end; start += 1ull << shift)
		invpcid_page((s->slot + 1) | PCID_TWIN, start);
}

/* Brings this CPU to generation @gen of @mm, of which [start,end) is the last step. => irqs off */
static void flush_here(struct mm *mm, u64 start, u64 end, u32 shift, u64 gen)
{
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	if (s->loaded != mm)
		return;
	struct slot *slot = &s->slots[s->slot];
	if (slot->gen >= gen)
		return;
	if (slot->gen + 1 == gen && (end - start) >> shift <= FLUSH_CEILING) { /* the edit before was flushed too */
		slot->gen = gen;
		if (unlikely(cpu_has(pti)))
			flush_twin(s, start, end, shift);
		for (; start < end; start += 1ull << shift)
			invlpg(start);
		this_cpu_inc(tlb_stats.flush_local);
		return;
	}
	/* Steps were missed or it is cheaper: everything, as new as the mm is now. */
	slot->gen = __atomic_load_n(&mm->tlb.gen, __ATOMIC_ACQUIRE);
	flush_loaded(s);
}

/* Kernel pages are not global with isolation: what other PCIDs cached of them goes when they are loaded next. */
static noinline void forget_slots(void)
{
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	for (u32 i = 0; i < NR_SLOTS; i++)
		if (!s->loaded || i != s->slot)
			s->slots[i].ctx_id = 0;
}

static void flush_kernel_here(u64 start, u64 end)
{
	if (unlikely(cpu_has(pti)))
		forget_slots();
	if ((end - start) >> PAGE_SHIFT <= FLUSH_CEILING) {
		for (; start < end; start += PAGE_SIZE)
			invlpg(start);
		return;
	}
	u64 cr4 = read_cr4();
	if (cpu_has(pge)) { /* a change of PGE drops everything, all PCIDs, global too: SDM vol. 3A 4.10.4.1 */
		write_cr4(cr4 & ~(1ull << 7));
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
}

static void answer(struct request *r, int self)
{
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	this_cpu_inc(tlb_stats.received);
	switch (r->kind) {
	case REQ_RANGE:
		flush_here(r->mm, r->start, r->end, r->shift, r->gen);
		break;
	case REQ_TABLES:
		if (s->loaded == r->mm && s->lazy)
			leave(s, self);
		else
			flush_here(r->mm, r->start, r->end, r->shift, r->gen);
		break;
	case REQ_EVICT: /* lazy, or a thread of the mm that has exited but not yet switched away */
		if (s->loaded == r->mm)
			leave(s, self);
		break;
	case REQ_KERNEL:
		flush_kernel_here(r->start, r->end);
		break;
	}
	__atomic_fetch_and(&r->pending, ~cpumask_of(self), __ATOMIC_RELEASE);
}

void tlb_poll(void)
{
	if (likely(!this_cpu_read(tlb_inbox)))
		return;
	u64 flags = local_irq_save();
	int self = smp_processor_id(), cpu;
	cpumask_t from = __atomic_exchange_n(this_cpu_ptr(&tlb_inbox), 0, __ATOMIC_ACQUIRE);

	this_cpu_inc(tlb_answered);
	for_each_cpu_mask(cpu, from)
		answer(per_cpu_ptr(&tlb_request, cpu), self);
	local_irq_restore(flags);
}

/* Sends @r of this CPU to @mask and waits for the answers. => irqs off, this CPU not in @mask */
static void ask(struct request *r, cpumask_t mask)
{
	int self = smp_processor_id(), cpu;

	this_cpu_inc(tlb_stats.requests);
	__atomic_store_n(&r->pending, mask, __ATOMIC_RELEASE);
	for_each_cpu_mask(cpu, mask) {
		if (__atomic_fetch_or(per_cpu_ptr(&tlb_inbox, cpu), cpumask_of(self), __ATOMIC_ACQ_REL)) {
			this_cpu_inc(tlb_stats.ipis_merged);
			continue;
		}
		apic_send_ipi(cpu, VECTOR_TLB);
		this_cpu_inc(tlb_stats.ipis_sent);
	}
	while (__atomic_load_n(&r->pending, __ATOMIC_ACQUIRE)) {
		tlb_poll();
		cpu_relax();
		/* A CPU that panicked took the others down: nobody will answer. */
		if (unlikely(panic_in_progress))
			break;
	}
}

/* Those of mm->tlb.cpus that must be asked: all but this one, and lazy ones only when tables go. */
static cpumask_t targets(struct mm *mm, bool tables)
{
	cpumask_t mask = __atomic_load_n(&mm->tlb.cpus, __ATOMIC_SEQ_CST) & ~cpumask_of(smp_processor_id());
	int cpu;

	if (likely(!mask) || tables)
		return mask;
	for_each_cpu_mask(cpu, mask) {
		if (READ_ONCE(per_cpu(tlb_state, cpu).lazy)) {
			mask &= ~cpumask_of(cpu);
			this_cpu_inc(tlb_stats.ipis_avoided);
		}
	}
	return mask;
}

static void flush_mm_range(struct mm *mm, u64 start, u64 end, u32 shift, bool tables)
{
	u64 flags = local_irq_save();
	u64 gen = __atomic_add_fetch(&mm->tlb.gen, 1, __ATOMIC_SEQ_CST);

	flush_here(mm, start, end, shift, gen);
	cpumask_t mask = targets(mm, tables);
	if (unlikely(mask)) {
		struct request *r = this_cpu_ptr(&tlb_request);

		r->mm = mm;
		r->start = start;
		r->end = end;
		r->gen = gen;
		r->shift = shift;
		r->kind = tables ? REQ_TABLES : REQ_RANGE;
		ask(r, mask);
	}
	local_irq_restore(flags);
}

void tlb_flush_range(struct mm *mm, u64 start, u64 end, unsigned stride_shift)
{
	flush_mm_range(mm, start, end, stride_shift, false);
}

void tlb_flush_mm(struct mm *mm)
{
	flush_mm_range(mm, 0, TASK_SIZE_MAX, PAGE_SHIFT, false);
}

void tlb_flush_local(u64 va)
{
	pti_flush_twin();
	invlpg(va);
}

void tlb_flush_kernel_range(u64 start, u64 end)
{
	u64 flags = local_irq_save();
	cpumask_t mask = READ_ONCE(cpu_online_mask) & ~cpumask_of(smp_processor_id());

	flush_kernel_here(start, end);
	if (mask) {
		struct request *r = this_cpu_ptr(&tlb_request);

		r->start = start;
		r->end = end;
		r->kind = REQ_KERNEL;
		ask(r, mask);
	}
	local_irq_restore(flags);
}

/* Nobody runs in @mm any more: the CPUs that keep it lazily let go, this one too. */
static void evict(struct mm *mm)
{
	u64 flags = local_irq_save();
	struct tlb_state *s = this_cpu_ptr(&tlb_state);

	if (s->loaded == mm)
		leave(s, smp_processor_id());
	cpumask_t mask = targets(mm, true);
	if (unlikely(mask)) {
		struct request *r = this_cpu_ptr(&tlb_request);

		r->mm = mm;
		r->kind = REQ_EVICT;
		ask(r, mask);
	}
	local_irq_restore(flags);
}

void tlb_gather_init(struct tlb_gather *g, struct mm *mm, bool fullmm)
{
	g->mm = mm;
	g->start = ~0ull;
	g->end = 0;
	g->npages = 0;
	g->ntables = 0;
	g->fullmm = fullmm;
	g->shift = PMD_SHIFT;
	if (fullmm)
		evict(mm);
}

/*
 * Debug builds, before pages and tables are given back: no other CPU that runs in the mm (or, when the mm dies, has it loaded at
 * all) has a slot older than the generation there is now. A CPU that is just loading the mm sets its bit before it reads the
 * generation, so it may look late for a moment; hence the patience.
 */
static __maybe_unused bool behind(struct mm *mm, int cpu, u64 gen, bool dying)
{
	struct tlb_state *s = per_cpu_ptr(&tlb_state, cpu);

	if (READ_ONCE(s->loaded) != mm)
		return false;
	if (dying)
		return true;
	return !READ_ONCE(s->lazy) && READ_ONCE(s->slots[READ_ONCE(s->slot)].gen) < gen;
}

static __maybe_unused bool nobody_behind(struct mm *mm, bool dying)
{
	u64 gen = __atomic_load_n(&mm->tlb.gen, __ATOMIC_ACQUIRE);
	int cpu;

	for_each_online_cpu(cpu)
		for (int i = 0; behind(mm, cpu, gen, dying); i++) {
			if (i == 1000000)
				return false;
			spin_poll();
		}
	return true;
}

void tlb_gather_flush(struct tlb_gather *g)
{
	/* One INVLPG drops all paging-structure caches of the PCID (SDM vol. 3A 4.10.4.1): tables that
	 * held no translation need no range of their own, but at least one INVLPG. */
	if (g->ntables && g->start >= g->end)
		tlb_gather_range(g, 0, PAGE_SIZE);
	if (!g->fullmm && g->start < g->end)
		flush_mm_range(g->mm, g->start, g->end, g->shift, g->ntables);
	ASSERT(nobody_behind(g->mm, g->fullmm));
	if (g->npages)
		pages_put_list(g->pages, g->npages);
	for (u32 i = 0; i < g->ntables; i++)
		page_table_free(g->tables[i]);
	g->start = ~0ull;
	g->end = 0;
	g->npages = 0;
	g->ntables = 0;
	g->shift = PMD_SHIFT;
}

void tlb_gather_table(struct tlb_gather *g, struct page *p)
{
	g->tables[g->ntables++] = p;
	if (g->ntables == ARRAY_SIZE(g->tables))
		tlb_gather_flush(g);
}

void tlb_stats_sum(struct tlb_stats *sum)
{
	int cpu;

	*sum = (struct tlb_stats){ 0 };
	for_each_online_cpu(cpu) {
		const struct tlb_stats *s = per_cpu_ptr(&tlb_stats, cpu);

		sum->requests += s->requests;
		sum->received += s->received;
		sum->ipis_sent += s->ipis_sent;
		sum->ipis_avoided += s->ipis_avoided;
		sum->ipis_merged += s->ipis_merged;
		sum->flush_local += s->flush_local;
		sum->flush_full += s->flush_full;
	}
}
