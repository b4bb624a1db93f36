/*
 * vmstat.h - counters of the memory manager, per CPU and summed when read.
 *
 * Events only grow (/proc/vmstat); states go up and down and are exact when quiet.  Counting is
 * one instruction on this CPU, safe against interrupts, no lock.
 */
#ifndef MM_VMSTAT_H
#define MM_VMSTAT_H

#include <kernel/percpu.h>

#define VM_EVENTS(X)								\
	X(PGFAULT, "pgfault") X(PGSCAN_DIRECT, "pgscan_direct")			\
	X(PGSTEAL_DIRECT, "pgsteal_direct") X(PGREFILL, "pgrefill")		\
	X(PGACTIVATE, "pgactivate") X(PGDEACTIVATE, "pgdeactivate")		\
	X(PGLAZYFREE, "pglazyfree") X(PGLAZYFREED, "pglazyfreed")		\
	X(PGMIGRATE_SUCCESS, "pgmigrate_success") X(PGMIGRATE_FAIL, "pgmigrate_fail") \
	X(COMPACT_STALL, "compact_stall") X(COMPACT_SUCCESS, "compact_success")	\
	X(COMPACT_FAIL, "compact_fail")						\
	X(COMPACT_MIGRATE_SCANNED, "compact_migrate_scanned")			\
	X(COMPACT_ISOLATED, "compact_isolated")					\
	X(THP_FAULT_ALLOC, "thp_fault_alloc") X(THP_FAULT_FALLBACK, "thp_fault_fallback") \
	X(THP_ZERO_PAGE, "thp_zero_page_alloc")					\
	X(THP_COLLAPSE_ALLOC, "thp_collapse_alloc") X(THP_COLLAPSE_INPLACE, "thp_collapse_inplace") \
	X(THP_COLLAPSE_FAILED, "thp_collapse_alloc_failed") X(THP_SPLIT_PAGE, "thp_split_page") \
	X(THP_SPLIT_PMD, "thp_split_pmd") X(THP_FILE_ALLOC, "thp_file_alloc")	\
	X(THP_FILE_FALLBACK, "thp_file_fallback")				\
	X(THP_FILE_FALLBACK_CHARGE, "thp_file_fallback_charge")			\
	X(THP_FILE_MAPPED, "thp_file_mapped")					\
	X(OOM_KILL, "oom_kill")							\
	X(VMA_LOCK_SUCCESS, "vma_lock_success") X(VMA_LOCK_ABORT, "vma_lock_abort")	\
	X(VMA_LOCK_RETRY, "vma_lock_retry")					\
	X(NR_FOLL_PIN_ACQUIRED, "nr_foll_pin_acquired")				\
	X(NR_FOLL_PIN_RELEASED, "nr_foll_pin_released")				\
	X(SLABS_MADE, "slabs_made") X(SLABS_FREED, "slabs_freed")		\
	X(SLABS_SCANNED, "slabs_scanned") X(ALLOCSTALL, "allocstall_normal") \
	X(MAGAZINE_GROWN, "magazine_grown")					\
	X(PAGE_ARRAY_FILLED, "page_array_filled")

#define VM_STATES(X)								\
	X(NR_SLAB_RECLAIMABLE, "nr_slab_reclaimable")				\
	X(NR_SLAB, "nr_slab_unreclaimable") X(NR_PAGETABLE, "nr_page_table_pages") \
	X(NR_KSTACK_PAGES, "nr_kernel_stack_pages") X(NR_VMALLOC, "nr_vmalloc_pages") \
	X(NR_ANON_THPS, "nr_anon_transparent_hugepages") \
	X(NR_SHMEM_THPS, "nr_shmem_hugepages") X(NR_SHMEM_PMDS, "nr_shmem_pmdmapped") \
	X(NR_PERCPU, "nr_percpu_pages") X(NR_PINNED_LONG, "nr_pinned_longterm") X(NR_POISONED, "nr_poisoned")

#define VM_ENUM(sym, text) sym,
enum vm_event { VM_EVENTS(VM_ENUM) NR_VM_EVENTS };
enum vm_state { VM_STATES(VM_ENUM) NR_VM_STATES };

DECLARE_PER_CPU(u64, vm_events[NR_VM_EVENTS]);
DECLARE_PER_CPU(s64, vm_states[NR_VM_STATES]);

/* Per node: where pages came from, seen from where they were asked for. Pages for a CPU's list count as they are put there. */
enum numa_event { NUMA_HIT, NUMA_MISS, NUMA_FOREIGN, NUMA_INTERLEAVE, NUMA_LOCAL, NUMA_OTHER, NR_NUMA_EVENTS };
DECLARE_PER_CPU(u64, numa_events[64][NR_NUMA_EVENTS]);
#define count_numa(node, e, n)	this_cpu_add(numa_events[node][e], n)
u64 numa_event_sum(int node, enum numa_event e);	/* node < 0: of all */

#define count_vm_event(e)	this_cpu_inc(vm_events[e])
#define count_vm_events(e, n)	this_cpu_add(vm_events[e], n)
#define mod_vm_state(s, n)	this_cpu_add(vm_states[s], (s64)(n))

u64 vm_event_sum(enum vm_event e);
/* Never below 0: a page may be counted up on one CPU and down on another. */
u64 vm_state_sum(enum vm_state s);

#endif
