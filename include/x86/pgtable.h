/*
 * Page-table entries and walking.
 *
 * Entries are edited only here and in kernel/x86/pgtable.c, TLBs only by x86/tlb.h. A user table page is
 * protected by the spinlock in its struct page (pt_lock); upper levels by mm->page_table_lock. Readers without the
 * lock may walk inside a TLB gather's RCU-like protection (interrupts or preemption off), because table pages are
 * freed only after the shootdown and a grace period. Intel SDM vol. 3A, 4.5; caching types by PAT, 11.12.
 */
#ifndef X86_PGTABLE_H
#define X86_PGTABLE_H

#include <lib/compiler.h>
#include <lib/types.h>
#include <x86/layout.h>

typedef struct { u64 v; } pte_t;
typedef pte_t pmd_t, pud_t, pgd_t; /* one format for all levels */

#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_PWT (1ull << 3)
#define PTE_PCD (1ull << 4)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7) /* large page in PMD/PUD; in a PTE this bit is PAT */
#define PTE_PAT (1ull << 7)
#define PTE_G (1ull << 8)
#define PTE_SPECIAL (1ull << 9) /* software: no struct page accounting (zero page, vDSO, device) */
#define PTE_UFFD_WP (1ull << 10) /* software: write-protected for userfaultfd */
#define PTE_SOFT_DIRTY (1ull << 11) /* software: was written since clear_refs; also true of every entry with W and D */
#define PTE_WRITTEN (PTE_D | PTE_SOFT_DIRTY) /* of an entry that is made for a write */
#define PTE_PAT_LARGE (1ull << 12)
#define PTE_NX (1ull << 63)
#define PTE_PKEY_SHIFT 59
#define PTE_ADDR_MASK 0x000ffffffffff000ull
/* A not-present, non-zero entry is a software entry (swap, migration, marker): bit 0 clear. */

#define PTRS 512
static inline unsigned pte_index(u64 va) { return (va >> PAGE_SHIFT) & 511; }
static inline unsigned pmd_index(u64 va) { return (va >> PMD_SHIFT) & 511; }
static inline unsigned pud_index(u64 va) { return (va >> PUD_SHIFT) & 511; }
static inline unsigned pgd_index(u64 va) { return (va >> PGDIR_SHIFT) & 511; }
static inline unsigned pgd5_index(u64 va) { return (va >> PGDIR5_SHIFT) & 511; }

static inline pte_t pte_make(u64 pa, u64 prot) { return (pte_t){ pa | prot }; }
static inline u64 pte_pa(pte_t e) { return e.v & PTE_ADDR_MASK; }
static inline u64 pte_pfn(pte_t e) { return (e.v & PTE_ADDR_MASK) >> PAGE_SHIFT; }
static inline bool pte_none(pte_t e) { return e.v == 0; }
static inline bool pte_present(pte_t e) { return e.v & PTE_P; }
static inline bool pte_write(pte_t e) { return e.v & PTE_W; }
static inline bool pte_dirty(pte_t e) { return e.v & PTE_D; }
static inline bool pte_young(pte_t e) { return e.v & PTE_A; }
static inline bool pte_special(pte_t e) { return e.v & PTE_SPECIAL; }
static inline bool pmd_large(pmd_t e) { return (e.v & (PTE_P | PTE_PS)) == (PTE_P | PTE_PS); }
static inline bool pmd_table(pmd_t e) { return (e.v & (PTE_P | PTE_PS)) == PTE_P; }

static inline pte_t pte_read(const pte_t *p) { return (pte_t){ __atomic_load_n(&p->v, __ATOMIC_RELAXED) }; }
static inline void pte_set(pte_t *p, pte_t e) { __atomic_store_n(&p->v, e.v, __ATOMIC_RELEASE); }
/* Takes the entry out and leaves 0, losing no accessed/dirty bit the walker sets meanwhile. */
static inline pte_t pte_get_and_clear(pte_t *p) { return (pte_t){ __atomic_exchange_n(&p->v, 0, __ATOMIC_ACQ_REL) }; }
/* Changes an entry if it still is @old (A/D bits may have moved: then false and *old is the new value). */
static inline bool pte_cmpxchg(pte_t *p, pte_t *old, pte_t new)
{
	return __atomic_compare_exchange_n(&p->v, &old->v, new.v, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
static inline pte_t *table_of(pte_t e) { return phys_to_virt(pte_pa(e)); } /* next level from a table entry */

struct mm;
/* Kernel half. @prot holds PTE_* bits. Page size is chosen by alignment when large is true. 0 or -ENOMEM.
 * => caller owns the range; new mappings need no flush; unmap flushes all CPUs before it returns. */
int kmap_range(u64 va, u64 pa, u64 len, u64 prot, bool large);
void kunmap_range(u64 va, u64 len, bool free_tables);
int kprotect_range(u64 va, u64 len, u64 prot); /* splits large pages where needed */
/* Takes one page out of the direct map, or puts it back. -ENOMEM: a large page could not be split; then nothing changed.
 * => one caller at a time; may sleep */
int direct_map_set_present(u64 va, bool on);
/* Physical address behind any kernel address, or ~0 when nothing is mapped. */
u64 kva_to_phys(u64 va);
extern pgd_t *kernel_pgd; /* root table; its upper half is shared by every address space */
pgd_t *kernel_pgd_entry(u64 va); /* of the level with 512 GiB an entry, above ffff800000000000 */
#define PROT_KERNEL (PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX | PTE_G)
bool kva_cache_bits(u64 va, u64 *bits); /* PWT, PCD and PAT (as in a 4 KiB entry) of what is mapped at @va; false: nothing */
u64 cache_bits(int cache_type); /* enum cache_type (x86/io.h) -> PTE bits for a 4 KiB page */

/*
 * Root tables. The result has the kernel half; *pgd becomes the table of its lowest 256 TiB, which is the root itself
 * with 4 levels. NULL when out of memory. root_free takes both back: no other table is left below them.
 */
pgd_t *root_alloc(pgd_t **pgd);
void root_free(pgd_t *root, pgd_t *pgd);
pgd_t *root_user(pgd_t *root); /* its twin for user mode (x86/pti.h), NULL without page-table isolation */
/* Calls @fn for every present leaf of the upper half below @root; the sum of its results. */
u64 pgtable_for_leaves(const pgd_t *root, u64 (*fn)(u64 va, pte_t e, int level, void *arg), void *arg);

/* Boot check: walks the kernel half, returns the number of mappings both writable and executable (0 wanted). */
unsigned pgtable_audit_wx(void);
u64 pti_check_root(const pgd_t *user_root); /* pti.c: mismatches of the kernel half of a twin */
/* Mappings of the direct map by size: 4 KiB, 2 MiB, 1 GiB. */
void pgtable_count_direct(u64 n[3]);
/* The i-th part of the kernel image and its physical range, both ends included; false behind the last. */
bool kimage_part(unsigned i, const char **name, u64 *first, u64 *last);

#endif
