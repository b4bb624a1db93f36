/*
 * What the files of the virtual level share among themselves.
 *
 * Page-table entries of user space. Present entries have PTE_P, or PTE_PROTNONE when the mapping gives no right at all:
 * the page stays mapped for us (counted, found by every walk) while the CPU faults on each access, kernel mode included.
 * Software entries (markers) have neither bit. A table page's pt_lock guards its entries at the PTE and PMD level; PUD and PGD
 * entries are set under mm->page_table_lock and, like table entries in a PMD, are taken away only with mm->lock held for writing and
 * the range out of the reverse map. So a walker that holds mm->lock (any way), or the lock of a reverse-map structure the VMA is in,
 * may follow table entries without a lock. A huge PMD may turn into a table under the PMD lock at any time, never back
 * without mm->lock held for writing.
 *
 * Every entry that maps a page (not PTE_SPECIAL) stands for one in refcount and one in mapcount of the page's head.
 */
#ifndef MM_VM_H
#define MM_VM_H

#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <mm/alloc.h>
#include <mm/mapping.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <mm/vmatree.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>

#define PTE_PROTNONE PTE_G /* with PTE_P clear */
#define PAGE_ALIGN(x) (((x) + PAGE_SIZE - 1) & PAGE_MASK)
#define HPAGE_ORDER 9
#define HPAGE_PAGES 512u
#define MAX_MAP_COUNT 65530

static inline bool pte_mapped(pte_t e) { return e.v & (PTE_P | PTE_PROTNONE); }
static inline bool pmd_huge(pmd_t e) { return (e.v & PTE_PS) && pte_mapped(e); }
static inline bool pmd_has_table(pmd_t e) { return (e.v & (PTE_P | PTE_PS)) == PTE_P; }
/* Two comparisons, the first of which nearly always holds; of the bits one by one it would be three. */
static inline bool pte_has_page(pte_t e)
{
	return likely((e.v & (PTE_P | PTE_SPECIAL)) == PTE_P) || (e.v & (PTE_PROTNONE | PTE_SPECIAL)) == PTE_PROTNONE;
}
/* Of a page that failed (poison.c): not mapped, but not empty. */
static inline bool pte_poisoned(pte_t e) { return !pte_mapped(e) && e.v & PTE_U; }
static inline pte_t poison_entry(const struct page *p) { return (pte_t){ page_to_phys(p) | PTE_U }; }
static inline struct page *pte_frame(pte_t e) { return pfn_to_page(pte_pfn(e)); } /* may be a tail */
/* An entry that maps nothing and says that what comes here is protected for userfaultfd (mm/uffd_wp.c), and one that maps nothing at all events. */
#define PTE_MARKER_WP ((pte_t){ PTE_UFFD_WP })
static inline bool pte_marker(pte_t e) { return e.v == PTE_UFFD_WP; }
static inline bool pte_vacant(pte_t e) { return !(e.v & ~PTE_UFFD_WP); }
/* Was it written since clear_refs? And the same entry so that it says so without being writable. */
static inline bool pte_soft_dirty(u64 e) { return e & PTE_SOFT_DIRTY || (e & (PTE_W | PTE_D)) == (PTE_W | PTE_D); }
static inline u64 soft_dirty_kept(u64 e) { return pte_soft_dirty(e) ? e | PTE_SOFT_DIRTY : e; }
/* Memory of a process, be it merged with others' (KSM) or not. */
static inline bool page_of_process(const struct page *p) { return page_type(p) == PT_ANON || page_type(p) == PT_KSM; }
static inline spinlock_t *pt_lock_of(const pte_t *p) { return &virt_to_page(p)->pt_lock; }

/*
 * An entry that is looked at without its table's lock, at the level of huge pages (those of small ones are read with it): not empty because its page
 * is just being moved (migrate.c: then the table is locked). Who acts on "nothing there" needs that.
 */
static inline pte_t pte_settled(pte_t *entry)
{
	pte_t e = pte_read(entry);

	if (unlikely(pte_none(e))) {
		spin_lock(pt_lock_of(entry));
		e = pte_read(entry);
		spin_unlock(pt_lock_of(entry));
	}
	return e;
}

/* Eight entries in a cache line: all empty? */
static inline bool pte_line_none(const pte_t *p)
{
	return !(pte_read(p).v | pte_read(p + 1).v | pte_read(p + 2).v | pte_read(p + 3).v | pte_read(p + 4).v |
		 pte_read(p + 5).v | pte_read(p + 6).v | pte_read(p + 7).v);
}

/*
 * A walk of a locked table met an empty entry at @entry and has @n more to see after it: how many of these it may pass,
 * whole cache lines with the first. Tables of programs are sparse: most of what is read of them are empty entries.
 */
static inline u64 pte_none_after(const pte_t *entry, u64 n)
{
	u64 run = 0;

	if ((u64)entry % (8 * sizeof(*entry)))
		return 0;
	while (run + 8 <= n + 1 && pte_line_none(entry + run))
		run += 8;
	return run ? run - 1 : 0;
}

/*
 * The CPU sets D in a present, writable entry at any moment. So such an entry is replaced by pte_cmpxchg or pte_get_and_clear
 * only, and a plain store may just put in what keeps the frame and has D, or the table's pointer. Asserted in debug builds.
 */
static inline bool pte_set_allowed(const pte_t *p, pte_t n)
{
	u64 o = pte_read(p).v, all = PTE_P | PTE_W | PTE_U;

	if ((o & all) != all || o & PTE_SPECIAL || page_type(phys_to_page(o & PTE_ADDR_MASK)) == PT_TABLE)
		return true;
	return !((o ^ n.v) & PTE_ADDR_MASK) && n.v & PTE_D;
}
static inline void pte_set_checked(pte_t *p, pte_t e)
{
	ASSERT(pte_set_allowed(p, e));
	pte_set(p, e);
}
#define pte_set pte_set_checked

static inline u64 npages_of(const struct vma *v) { return (v->end - v->start) >> PAGE_SHIFT; }
static inline u64 vma_index(const struct vma *v, u64 addr) { return v->pgoff + ((addr - v->start) >> PAGE_SHIFT); }
static inline bool vma_anonymous(const struct vma *v) { return !v->ops; }
static inline bool vm_private_write(u64 flags) { return (flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE; }
static inline void mm_add_rss(struct mm *mm, int kind, s64 n)
{
	preempt_disable();
	mm->cpu[smp_processor_id()].rss[kind] += n;
	preempt_enable();
}

/* refcount and mapcount lie side by side: an entry takes or gives both at once. */
#define PAGE_ENTRY ((1ull << 32) + 1)
_Static_assert(offsetof(struct page, mapcount) == offsetof(struct page, refcount) + 4, "one word");
static inline u64 *page_counts(struct page *p) { return (u64 *)(void *)&p->refcount; }
static inline void page_entry_add(struct page *p, u64 n) { __atomic_fetch_add(page_counts(p), n * PAGE_ENTRY, __ATOMIC_RELAXED); }
/* The mapping part only; the reference goes to a gather. */
static inline void page_unmap_one(struct page *p) { __atomic_fetch_sub(&p->mapcount, 1, __ATOMIC_RELEASE); }
/* Which counter a mapped page belongs to. */
static inline int page_rss(const struct page *p)
{
	if (likely(page_type(p) != PT_FILE))
		return RSS_ANON;
	return page_flag(p, PG_SWAPBACKED) ? RSS_SHMEM : RSS_FILE;
}
/*
 * Pins of an ANON or FILE page, in its head's private: all of them in the low half, in the high half those that last. Each stands for one
 * in refcount, too. Taken under the lock of the table whose entry led to the page; theory in gup.c.
 */
#define PIN_ONE 1ull
#define PIN_ONE_LONG ((1ull << 32) + 1)
static inline u32 page_pins(const struct page *p) { return (u32)READ_ONCE(p->private); }
static inline u32 page_pins_long(const struct page *p) { return (u32)(READ_ONCE(p->private) >> 32); }
bool page_is_zeros(const struct page *head); /* the one all map that read empty memory, small or huge (huge.c) */
/* An anonymous page nobody else can see: its references are this one entry and pins taken through it. */
static inline bool page_exclusive(const struct page *p)
{
	return READ_ONCE(p->mapcount) == 1 && (u32)READ_ONCE(p->refcount) == 1 + page_pins(p);
}
/* The same for a pinned huge page that is mapped by parts, all of them in @entry's table. => the table's lock */
bool pinned_parts_ours(const pte_t *entry, const struct page *head); /* gup.c */

/*
 * All VMAs that may map an anonymous page: those descended from one VMA by fork, split and move. A page names its group
 * and its index; a VMA of the group has it, if at all, at start + (index - pgoff). Freed (SLAB_RCU) with its last VMA; a
 * mapped page's group cannot go away under group->lock.
 */
struct anon_group {
	spinlock_t lock;
	struct list_head vmas; /* (lock) by anon_link */
};
int anon_group_attach(struct vma *v); /* gives v a group; 0 or -ENOMEM. => m read */
static inline int anon_prepare(struct vma *v) { return likely(READ_ONCE(v->anon)) ? 0 : anon_group_attach(v); }
void anon_group_join(struct vma *v, struct anon_group *g); /* v->anon is NULL and v invisible */
void anon_group_leave(struct vma *v);
void anon_group_init(void);

/* ptwalk.c: the PMD entry of an address, or NULL when an upper table is missing (_alloc: when out of memory). */
pmd_t *pt_pmd(struct mm *mm, u64 addr);
u64 pt_hole_size(struct mm *mm, u64 addr); /* where pt_pmd says NULL: the aligned span around addr that has no table */
pmd_t *pt_pmd_alloc(struct mm *mm, u64 addr);
pud_t *pt_pud(struct mm *mm, u64 addr); /* the PUD entry: a table, or a page of 1 GiB */
pud_t *pt_pud_alloc(struct mm *mm, u64 addr);
int pt_table_alloc(struct mm *mm, pmd_t *pmd); /* puts a PTE table into an empty PMD entry; 0 (also when there is one) or -ENOMEM */
struct page *pt_page_alloc(struct mm *mm); /* counted for the mm */
void pt_page_free(struct mm *mm, struct page *p); /* never was visible */
pte_t *pt_pte(struct mm *mm, u64 addr); /* PTE entry, NULL when there is no table (or a huge page) */
/* Frees the tables of [start, end) that hold nothing outside [floor, ceiling). => m write; entries already gone */
void pt_free_range(struct tlb_gather *g, u64 start, u64 end, u64 floor, u64 ceiling);
u64 vm_prot(u64 vmflags); /* entry bits of a mapping with these rights; no PTE_W when private */
void vma_set_prot(struct vma *v);

/* zap.c: takes out what is mapped in the range. Pages go to the gather. keep_anon: private copies stay (truncation without even_private).
 * => m write, or m read (MADV_DONTNEED), or the VMA's rmap lock; huge pages at partial edges were split */
#define ZAP_KEEP_ANON 1u
#define ZAP_KEEP_WP 2u /* the mapping stays: protected entries leave markers */
void zap_range(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how);
void zap_vma_range(struct vma *v, u64 start, u64 end); /* with its own gather, flushed */
bool huge_zap_pmd(struct vma *v, pmd_t *pmd, s64 *rss, struct page **p); /* huge.c: true: there was an entry; *p what it mapped, or NULL */

/* Keeps faults out of @v until m is released: mm/vmalock.h. => m write */
static inline void vma_write_lock(struct vma *v)
{
	WRITE_ONCE(v->wlock, v->mm->write_seq);
	__atomic_fetch_add(&v->gen, 1, __ATOMIC_SEQ_CST);
}

/* vma.c */
struct vma *vma_new(struct mm *mm, u64 start, u64 end, u64 flags, u64 pgoff); /* in no tree; empty but for these; NULL: no memory. => may sleep */
void vma_free(struct vma *v); /* drops file and group; unlinked before */
/* Copy of the part from @start on: not linked; file referenced, group joined, ops->open called; NULL when out of memory. */
struct vma *vma_dup(struct vma *v, struct mm *mm, u64 start);
void vma_link(struct mm *mm, struct vma *v); /* tree and reverse map */
void vma_unlink_rmap(struct vma *v); /* out of mapping and group: no walker finds it afterwards. => waits for walkers */
void vma_adjust(struct vma *v, u64 start, u64 end, u64 pgoff); /* moves ends under the reverse-map locks */
/* Splits at @addr: v keeps [start, addr), the new VMA (returned) has the rest. ERR_PTR(-ENOMEM, -EINVAL). => m write */
struct vma *vma_split(struct vma *v, u64 addr);
/* Makes [start,end)∩v a VMA of its own. The VMA or ERR_PTR. */
struct vma *vma_isolate(struct vma *v, u64 start, u64 end);
/* Joins v with neighbours that continue it; returns the VMA that now covers v's range. */
struct vma *vma_try_merge(struct vma *v);
/* Can a mapping like this be appended to @prev (or put before @next)? */
bool vma_can_follow(const struct vma *prev, const struct vma *v);
void vma_stat(struct mm *mm, u64 flags, s64 npages); /* total, data, exec, stack */
bool mm_may_expand(struct mm *mm, u64 flags, u64 npages); /* RLIMIT_AS and, for data, RLIMIT_DATA. => m held */
/* Is every page of [start, end) in some VMA? */
bool vma_range_full(struct mm *mm, u64 start, u64 end);
void vma_init_cache(void); /* boot */

/* commit.c: overcommit accounting in pages. 0 or -ENOMEM. */
u64 vm_committed(void); /* pages promised */
u64 vm_commit_limit(void); /* of mode 2, in pages */
static inline bool vm_accountable(u64 flags) { return (flags & (VM_NORESERVE | VM_SHARED | VM_WRITE | VM_HUGETLB)) == VM_WRITE; }

/* munmap.c. => m write */
int munmap_locked(struct mm *mm, u64 start, u64 end);
/* mmap.c */
s64 mm_find_area(struct mm *mm, u64 addr, u64 len, u64 flags, u64 align); /* a free place near addr, or by the layout; -ENOMEM. => m held */
bool mlock_allowed(struct mm *mm, u64 more_pages); /* RLIMIT_MEMLOCK, CAP_IPC_LOCK. => m held */

/* lazyfree.c. => m read; no huge page straddles the ends */
void lazyfree_mark(struct vma *v, u64 start, u64 end); /* MADV_FREE */
void softdirty_clear(struct vma *v); /* clear_refs 4. => m write */
void age_range(struct vma *v, u64 start, u64 end); /* MADV_COLD: not accessed, as far as we know */
void lazyfree_pageout(struct vma *v, u64 start, u64 end); /* MADV_PAGEOUT: what may go, goes */

/* pkeys.c. => m write */
void pkeys_init(struct mm *mm);
bool pkey_allocated(const struct mm *mm, int pkey); /* key 0 always is */
int pkey_exec_only(struct mm *mm); /* the key for execute-only mappings, 0 when there is none to be had */
bool pkey_permits(const struct vma *v, bool write); /* do the running thread's rights for the key of @v allow the access? => m */
static inline u64 vma_pkey(const struct vma *v) { return v->flags >> VM_PKEY_SHIFT; }

/* fault.c. => m read */
int handle_fault(struct fault *f);
int fault_to_errno(int fr); /* -ENOMEM, -EFAULT... */
/* Makes pages of the range present: private writable mappings written to, all of them, or as the first access would be a read.
 * BEST: goes on where a page cannot be had. 0 or -errno of the first failure. => takes m itself */
#define POPULATE_PRIVATE 1u
#define POPULATE_WRITE 2u
#define POPULATE_BEST 4u
#define POPULATE_LOCKED 8u /* of locked mappings only */
int mm_populate(struct mm *mm, u64 start, u64 end, unsigned how);
int map_page_at(struct fault *f, pmd_t *pmd, struct page *p, bool write); /* takes over the reference */
int file_fault(struct fault *f, pmd_t *pmd); /* a fault in a file's mapping where the table has nothing. FR_* */
int stack_expand(struct mm *mm, struct vma *v, u64 addr); /* => m write */
int filemap_map_around(struct fault *f, pte_t *table); /* filemap.c: the cached pages around */

/* huge.c */
gfp_t huge_gfp(const struct vma *v); /* for a huge page of @v's (NULL: of nobody's in particular): how much work it is worth */
bool huge_eligible(const struct vma *v, u64 addr); /* may the aligned 2 MiB around addr be a huge page: VMA and policy */
int huge_anon_fault(struct fault *f, pmd_t *pmd, pmd_t old); /* FR_OK, or FR_RETRY: use small pages. @old: none, or the page of zeros */
int huge_zero_fault(struct fault *f, pmd_t *pmd); /* a read of an empty range: the same */
int huge_wp_fault(struct fault *f, pmd_t *pmd, pmd_t e); /* a write to a read-only huge entry: reused, copied, or split and FR_RETRY */
/* Turns a huge entry into a table of 512 (nothing when it is none). 0 or -ENOMEM. */
int huge_split_pmd(struct vma *v, pmd_t *pmd, u64 addr);
int huge_split_at(struct vma *v, u64 addr); /* when a huge page straddles addr */
int huge_split_edges(struct vma *v, u64 start, u64 end); /* both ends. 0 or -ENOMEM */
int huge_collapse_range(struct vma *v, u64 start, u64 end); /* MADV_COLLAPSE. => m write */
/* What a promotion may use: empty places, pages shared with other processes, and work (compaction) for the page. */
struct huge_limits { unsigned none, shared; bool work; };
/* One aligned 2 MiB range. 0, -EINVAL: no table there, -ENOMEM, -EAGAIN: not now. => m write */
int huge_collapse(struct vma *v, u64 base, const struct huge_limits *max);
/* Could what the table maps become one page, and how? 0: no. Without the table's lock only a hint. */
int huge_look(const pte_t *table, const struct huge_limits *max, unsigned *present);
void huge_free_table(struct mm *mm, u64 base, pte_t *table); /* out of its PMD entry, its entries gone. => m write */
/* The part of fork for one huge entry: 0, -ENOMEM, -EAGAIN: it was split, copy the table. => both m write */
int huge_copy_pmd(struct mm *mm, struct vma *dst, struct vma *src, u64 addr, pmd_t *dpmd, pmd_t *spmd);

/* hugetlb_vm.c: VMAs with VM_HUGETLB. Addresses are aligned to their page size; entries have the lock of their table page. */
struct hstate;
struct rmap_walk;
void hugetlb_vm_init(void); /* boot */
struct hstate *vma_hstate(const struct vma *v); /* the pool its pages come from */
pte_t *hugetlb_entry(const struct vma *v, u64 addr); /* PMD or PUD entry; NULL: no table */
pte_t *hugetlb_entry_alloc(const struct vma *v, u64 addr); /* NULL: out of memory */
int hugetlb_fault(struct fault *f); /* FR_*. => m read */
void hugetlb_zap(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how); /* as zap_range; whole pages */
int hugetlb_copy(struct vma *dst, struct vma *src, bool *wrprotected); /* fork. 0 or -ENOMEM */
bool hugetlb_rmap(struct rmap_walk *w, struct vma *v, struct page *p); /* rmap_walk's part in one VMA; false: fn said stop */
void hugetlb_forget(struct vma *v, u64 start, u64 end); /* the range leaves the mapping: its promises too */
void hugetlb_moved(struct vma *v); /* the promises went to another VMA */
void hugetlb_punch(struct vma *v, u64 start, u64 end); /* MADV_REMOVE: whole pages of the file in the range go */
u64 vma_page_size(const struct vma *v); /* 4 KiB but for pools */

/* mapping.c. => mapping->rmap_lock for writing */
void mapping_vma_insert_locked(struct mapping *m, struct vma *v);
void mapping_vma_remove_locked(struct mapping *m, struct vma *v);

/* rmap.c: calls @fn for every entry that maps @p (a head): under the entry's lock. Stops when fn returns false. */
struct rmap_walk {
	bool (*fn)(struct rmap_walk *w, struct vma *v, u64 addr, pte_t *entry, bool huge);
	void *arg;
};
void rmap_walk(struct page *p, struct rmap_walk *w); /* => a reference, or something that keeps the page what it is */
/* The same for what was an anonymous page when it was last looked at; it may be anything by now, then nothing is found. => no lock, no reference */
void rmap_walk_anon(struct page *p, struct rmap_walk *w);
typedef bool (*rmap_vma_fn)(struct rmap_walk *w, struct vma *v, struct page *p, u64 n);
void mapping_walk_vmas(struct mapping *m, struct page *p, struct rmap_walk *w, rmap_vma_fn fn, u64 n);
void mapping_walk_vmas_locked(struct mapping *m, struct page *p, struct rmap_walk *w, rmap_vma_fn fn, u64 n); /* => rmap_lock held */
bool mapping_drop_page(struct mapping *m, struct page *p);
void mapping_unmap_locked(struct mapping *m, u64 first, u64 n, bool even_private); /* mapping_unmap. => rmap_lock held */
void mapping_count_pages(struct mapping *m, s64 n); /* so many came into the tree. => m->lock */
/* One reference and one mapping at once, unless the page is being freed (filemap.c). */
bool page_entry_add_unless_free(struct page *p);

#endif
