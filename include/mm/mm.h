/*
 * Address spaces.
 *
 * struct mm owns a page-table tree and a set of VMAs: half-open, page-aligned, disjoint ranges in an
 * augmented red-black tree (largest gap) and an ordered list. Every present user entry of the tree lies in exactly
 * one VMA (checked by mm_check). Lock order: mm->lock (read: faults, write: edits of the VMA set) -> page lock ->
 * mapping->rmap_lock -> anon_group->lock -> page_table_lock -> pt_lock of one table page -> zone locks.
 */
#ifndef MM_MM_H
#define MM_MM_H

#include <kernel/mutex.h>
#include <kernel/rcu.h>
#include <lib/rbtree.h>
#include <mm/page.h>
#include <uapi/mman.h>
#include <x86/pgtable.h>
#include <x86/tlb.h>

struct file;
struct mapping;
struct seq_buf;
struct uffd;
struct uffd_pending;

#define VM_READ 0x1ull
#define VM_WRITE 0x2ull
#define VM_EXEC 0x4ull
#define VM_SHARED 0x8ull
#define VM_MAYREAD 0x10ull
#define VM_MAYWRITE 0x20ull
#define VM_MAYEXEC 0x40ull
#define VM_MAYSHARE 0x80ull
#define VM_GROWSDOWN 0x100ull
#define VM_SOFTTRACK 0x400ull /* soft-dirty bits were cleared: unwritten pages are clean (Linux's VM_SOFTDIRTY, inverted) */
#define VM_LOCKED 0x2000ull
#define VM_LOCKONFAULT 0x4000ull
#define VM_IO 0x8000ull
#define VM_SEQ_READ 0x10000ull
#define VM_RAND_READ 0x20000ull
#define VM_DONTCOPY 0x40000ull
#define VM_DONTEXPAND 0x80000ull
#define VM_ACCOUNT 0x100000ull
#define VM_NORESERVE 0x200000ull
#define VM_HUGETLB 0x400000ull
#define VM_SYNC 0x800000ull
#define VM_PFNMAP 0x1000000ull
#define VM_WIPEONFORK 0x2000000ull
#define VM_DONTDUMP 0x4000000ull
#define VM_MIXEDMAP 0x10000000ull
#define VM_HUGEPAGE 0x20000000ull
#define VM_NOHUGEPAGE 0x40000000ull
#define VM_MERGEABLE 0x80000000ull
#define VM_UFFD_MISSING 0x100000000ull
#define VM_UFFD_WP 0x200000000ull
#define VM_UFFD_MINOR 0x400000000ull
#define VM_STACK 0x800000000ull
#define VM_SECRET 0x1000000000ull
#define VM_PKEY_SHIFT 60

enum { RSS_ANON, RSS_FILE, RSS_SHMEM, RSS_SWAP, NR_RSS };

/* Faults read what is marked (m write) without m as well: mm/vmalock.h. */
struct vma {
	u64 gen; /* (m write) raised before each change, never set back, not even when the memory is another VMA */
	u64 wlock; /* (m write) mm->write_seq while a holder of m changes this VMA */
	struct mm *mm; /* (I) NULL: not in use */
	u64 start, end; /* (m write) the first field of those that vma_dup copies */
	u64 flags; /* (m write) VM_* */
	u64 prot; /* PTE bits of a mapping with all rights the flags allow, without PTE_W for private COW */
	const struct vma_ops *ops; /* (I) NULL: plain anonymous */
	struct file *file; /* (I) one reference; NULL anonymous */
	u64 pgoff; /* (m) page offset of start in the file / anon group */
	struct mapping *mapping; /* (I) page cache of a file mapping */
	struct anon_group *anon; /* (m, page_table_lock) set at the first anonymous page */
	struct rb_node rb; /* (m) */
	u64 gap; /* (m) free bytes below start to the previous VMA */
	u64 rb_max_gap; /* (m) largest gap in the subtree */
	struct list_head list; /* (m) in address order, mm->vma_list */
	struct list_head anon_link; /* (anon->lock) */
	struct rb_node file_rb; /* (mapping->rmap_lock) */
	u64 file_rb_max;
	void *private;
	void *policy; /* NUMA */
	struct uffd *uffd; /* (m) registered with a userfaultfd */
	const char *special_name; /* (I) of a special mapping: [vdso], [vvar] */
};

struct fault {
	struct vma *vma;
	u64 addr; /* page aligned */
	u64 real_addr;
	u32 flags; /* FAULT_* */
	u64 pgoff; /* of addr in the mapping */
	struct page *page; /* out of ops->fault: referenced, (locked when FAULT_RET_LOCKED) */
	bool fast; /* without m, interrupts off: vmalock.h */
	u32 gfp; /* how pages are allocated */
	u64 gen, answers; /* fast: what must not have changed */
};
#define FAULT_WRITE 1u
#define FAULT_EXEC 2u
#define FAULT_USER 4u
#define FAULT_REMOTE 8u
#define FAULT_NOWAIT 16u

/* Results of faults: 0 done, or one of */
#define FR_OK 0
#define FR_SEGV_MAPERR 1
#define FR_SEGV_ACCERR 2
#define FR_SIGBUS 3
#define FR_OOM 4
#define FR_RETRY 5
#define FR_SEGV_PKUERR 6
#define FR_UNLOCKED 7 /* inside mm: waited for a userfaultfd, m was released; try again */
#define FR_HWPOISON 10 /* the page failed */
#define FR_BUSY 8 /* inside mm, fast faults: something changed meanwhile, try again */
#define FR_SLOW 9 /* inside mm, fast faults: needs m */

struct vma_ops {
	void (*open)(struct vma *v); /* a copy was made (fork, split) */
	void (*close)(struct vma *v);
	int (*fault)(struct fault *f); /* FR_*; fills f->page */
	bool map_cached; /* pages found in v->mapping may be mapped without asking fault */
	int (*page_mkwrite)(struct fault *f); /* shared file page becomes writable */
	const char *(*name)(struct vma *v);
	int (*may_split)(struct vma *v, u64 addr);
	int (*mremap)(struct vma *v);
};

/* What each CPU counts for an mm. A sum may be read while they go on; one CPU's share may be below 0. */
struct mm_cpu {
	s64 rss[NR_RSS]; /* (its CPU, preemption off) */
} __aligned(64);

struct mm {
	/* read-mostly */
	pgd_t *pgd; /* (I) table of the lowest 256 TiB */
	pgd_t *user_root; /* (I) what CR3 points to in user mode, NULL: root */
	pgd_t *root; /* (I) what CR3 points to: the same, with 5 levels the table above */
	struct mm_tlb tlb;
	s32 users; /* (a) threads and temporary users of the mappings */
	s32 count; /* (a) users count as one; lazy references */
	struct rw_semaphore lock; /* "m" */
	u64 write_seq; /* (m write) raised when a writer is done: VMAs it had locked are free */
	struct rb_root vmas; /* (m; read by faults without) */
	struct list_head vma_list; /* (m) */
	struct vma *last; /* (racy hint, verified under m) */
	u32 nr_vmas; /* (m) */
	spinlock_t page_table_lock;
	u64 mmap_base; /* (I) highest address for top-down placement, the lowest for bottom-up */
	bool mmap_bottomup; /* (I) an unlimited stack: mappings grow towards it from a third of the space */
	u64 mmap_min; /* lowest */
	u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack; /* (m) */
	u64 arg_start, arg_end, env_start, env_end;
	u64 auxv[50];
	u64 total_vm, locked_vm, data_vm, exec_vm, stack_vm; /* (m) pages */
	s64 hugetlb_pages; /* (a) small pages' worth of pool pages mapped; not in rss */
	u64 hiwater_rss, hiwater_vm;
	u64 pgtables_bytes; /* (a) */
	u64 rlimit_as, rlimit_data, rlimit_stack, rlimit_memlock; /* bytes; copied by proc when limits change; ~0 none */
	bool may_lock_unlimited; /* CAP_IPC_LOCK */
	u64 def_flags; /* mlockall(MCL_FUTURE) */
	u32 flags; /* MMF_* */
	u32 personality_norandom;
	struct file *exe_file; /* (m) */
	u64 vdso; /* base, 0 none */
	u32 membarrier_state;
	u64 thp_scan; /* khugepaged's: where to look next */
	struct hlist_node mm_list; /* (lock of the list) all mms, a list for each CPU */
	int mm_list_cpu; /* (I) whose list */
	u16 pkey_map; /* (m write) protection keys given out; 0 without the hardware */
	s16 pkey_exec_only; /* (m write) key of execute-only mappings; -1 none yet */
	s32 uffd_count; /* (a) userfaultfd contexts */
	struct uffd_pending *uffd_pending; /* (m write) what they are to be told */
	void *futex_private; /* owned by proc/futex */
	void *aio; /* spare for fs */
	struct ksm_mm *ksm; /* (m write) it offers memory for merging: mm/ksm.c */
	void (*dtor)(struct mm *);
	struct mm_cpu cpu[]; /* cpus_possible() of them, none in init_mm */
};
#define MMF_NO_THP 1u
#define MMF_OOM_VICTIM 2u
extern s32 oom_victims; /* (a) mms with it that are not empty yet */
#define MMF_DUMPABLE 4u

/* Life cycle. mm_alloc: empty, users=count=1, or NULL. mm_put drops a user (teardown by the last one; may sleep); mm_drop drops a count. */
struct mm *mm_alloc(void);
/* It is found by those who go over all address spaces from now on. => whoever edits it takes its lock from here on */
void mm_publish(struct mm *mm);
bool mm_is_listed(const struct mm *mm); /* found by mm_next: for the checkers */
/* The next of all published ones after @prev (NULL: the first) that is alive and @wanted (NULL: any), with a user reference;
 * @prev's is dropped. NULL at the end. => @wanted is called under a spinlock; may sleep */
struct mm *mm_next(struct mm *prev, bool (*wanted)(const struct mm *));
void mm_get(struct mm *mm);
bool mm_get_not_zero(struct mm *mm);
void mm_put(struct mm *mm);
void mm_grab(struct mm *mm); /* count++ */
void mm_drop(struct mm *mm); /* any context with irqs on */
/* fork: a copy-on-write copy of @from into a new mm, or ERR_PTR. => takes from->lock for writing */
struct mm *mm_fork(struct mm *from);
extern struct mm init_mm; /* kernel threads at boot: kernel_pgd */

/* Pages of a kind mapped; never below 0. */
u64 mm_rss(const struct mm *mm, int kind);
u64 mm_rss_total(const struct mm *mm); /* of all kinds of pages */

/* End of writing: faults may use the VMAs again. => m write */
static inline void mm_end_write(struct mm *mm)
{
	__atomic_store_n(&mm->write_seq, mm->write_seq + 1, __ATOMIC_RELEASE);
}
static inline void mm_up_write(struct mm *mm)
{
	mm_end_write(mm);
	up_write(&mm->lock);
}

/* VMAs. => m held (read suffices for find) */
struct vma *vma_find(struct mm *mm, u64 addr); /* first VMA with end > addr, or NULL */
static inline struct vma *vma_at(struct mm *mm, u64 addr)
{
	struct vma *v = vma_find(mm, addr);
	return v && v->start <= addr ? v : NULL;
}
struct vma *vma_next(struct vma *v); /* neighbours by address, NULL at the ends. => m held */
struct vma *vma_prev(struct vma *v);
#define for_each_vma(v, mm) list_for_each_entry(v, &(mm)->vma_list, list)

/* The calls. All take mm->lock themselves. They return an address or 0, or -errno; decode has checked types only. */
s64 do_mmap(struct mm *mm, struct file *file, u64 addr, u64 len, u64 prot, u64 flags, u64 pgoff);
/* Exact kernel-side mapping for exec: VM_* flags given, fixed address, file may be NULL. */
s64 mm_map_exec(struct mm *mm, struct file *file, u64 addr, u64 len, u64 vmflags, u64 pgoff);
int do_munmap(struct mm *mm, u64 addr, u64 len);
/*
 * Unmap the mappings from @addr on that wanted() says yes to, and nothing that lies between them.
 * => takes mm->lock, under which wanted() runs; it may lower p->end, where the search ends. -EINVAL: none was wanted
 */
struct munmap_pick {
	bool (*wanted)(struct munmap_pick *p, struct vma *v);
	u64 end;
};
int do_munmap_picked(struct mm *mm, u64 addr, struct munmap_pick *p);
int do_mprotect(struct mm *mm, u64 addr, u64 len, u64 prot, int pkey);
/* Protection keys. => PKRU of the running thread, which runs in @mm. The key or -ENOSPC; 0 or -EINVAL. */
int do_pkey_alloc(struct mm *mm, u32 rights);
int do_pkey_free(struct mm *mm, int pkey);
unsigned mm_page_shift(struct mm *mm, u64 addr); /* of the pages the mapping there is made of: 12, 21, 30 */
u32 mm_pkey_at(struct mm *mm, u64 addr); /* key of the mapping there */
s64 do_mremap(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 new_addr);
int do_madvise(struct mm *mm, u64 addr, u64 len, int advice);
/* Frames of the range are given up (mm/poison.c): what they hold is lost, or (@soft) moved first. 0 or -errno of the first that cannot be. => m not
 * held; the caller has the right to */
/* The same for one frame that failed by itself, whoever has it; a free one never comes back. 0, or -errno: the kernel's own, or somebody
 * works on it. => may sleep, no mm->lock held */
int memory_failure(u64 pfn);
u64 mm_find_frame(struct mm *mm, u64 pfn); /* where @mm (or NULL) maps the frame; 0: nowhere. => m not held; may not be true any more */
int do_poison(struct mm *mm, u64 start, u64 end, bool soft);
/* The memory of a dying process is given back ahead of its end: private pages go. => nobody runs user code in it any more */
void mm_reap(struct mm *mm);
s64 do_brk(struct mm *mm, u64 brk);
int do_mlock(struct mm *mm, u64 addr, u64 len, u64 vmflags, bool lock);
int do_mlockall(struct mm *mm, int flags); /* -1: munlockall */
int do_msync(struct mm *mm, u64 addr, u64 len, int flags);
u64 do_mincore(struct mm *mm, u64 addr, u64 npages, u8 *vec); /* how many it could tell: fewer than @npages at a hole */
/* exec: sets mmap_base (random unless personality) and makes the stack VMA [top - size, top) growing down. A stack without a
 * limit, or @bottomup (ADDR_COMPAT_LAYOUT), leaves the space below the stack to it and places mappings upwards. */
int mm_setup_layout(struct mm *mm, u64 stack_rlimit, bool randomize, bool bottomup, u64 *stack_top);
int mm_set_brk_start(struct mm *mm, u64 end_of_bss, bool randomize); /* the heap begins behind the program, at random if so. 0, -ENOMEM */
u64 mm_random_pie_base(bool randomize); /* where a position-independent program goes */
/* Special mapping of fixed pages (vDSO, vvar): pages stay referenced by the caller. */
s64 mm_install_special(struct mm *mm, u64 addr_hint, struct page **pages, unsigned n, u64 vmflags, const char *name);

/* Faults. FR_*. Takes m for reading (or the VMA's lock), may expand the stack. => may sleep */
int mm_fault(struct mm *mm, u64 addr, u32 fault_flags, u64 user_sp);

/* Memory of another address space (or ours, from a kernel thread): bytes done or -EFAULT. write: breaks COW; force ignores VM_WRITE. */
s64 mm_access(struct mm *mm, u64 addr, void *buf, u64 len, bool write, bool force);
/*
 * Pins user pages: each stays where it is and what the address maps, until it is released. The number of pages or -errno. Who keeps pages for
 * longer than a call says PIN_LONGTERM: they leave zone Movable first, and of a private writable mapping they are its own copies.
 * => m not held; may sleep
 */
#define PIN_WRITE 1u /* they will be written; at release: they were */
#define PIN_LONGTERM 2u
s64 mm_pin_pages(struct mm *mm, u64 addr, u64 npages, unsigned how, struct page **pages);
void mm_unpin_pages(struct page **pages, u64 npages, unsigned how); /* @how as they were pinned */
void mm_pin_again(struct page *p, unsigned how); /* one more pin of a page the caller has pinned */
/* Physical identity of a user word, for shared futexes: fills either (mm,addr) private or (mapping object id, offset). */
struct mem_key { u64 a, b; u32 off; };
int mm_mem_key(struct mm *mm, u64 addr, bool shared, struct mem_key *k);

/* mmap doors, implemented by fs. */
struct file *vma_file_get(struct file *f);
void vma_file_put(struct file *f);
/* Lets the file set v->ops, v->mapping, flags. 0 or -errno (-ENODEV not mappable). Called after permission checks. */
int vma_file_mmap(struct file *f, struct vma *v);
void vma_file_modified(struct file *f); /* its contents changed through a mapping: times. => no spinlock */
/* Rights of the open file and its mount: fills VM_MAY* that are allowed; -errno (EACCES, EPERM, ENODEV...). */
int vma_file_check(struct file *f, u64 prot, u64 flags, u64 *may);
/* "path" of the file for maps; device and inode numbers. */
int vma_file_path(struct file *f, char *buf, u64 n);
u64 vma_file_size_max(struct file *f); /* where the offsets of a mapping end. => no locks */
int vma_file_may_punch(struct file *f); /* 0, or -EPERM: sealed against it (memfd). => no locks: a seal that comes just now counts for the next */
struct mapping *vma_file_mapping(struct file *f); /* whose pages a mapping of it has */
void vma_file_ids(struct file *f, u64 *dev, u64 *ino);
/* Promises memory (commit.c): 0 or -ENOMEM. Mappings do it themselves, shared memory objects when they are made. */
int vm_charge(struct mm *mm, u64 npages);
void vm_uncharge(u64 npages);
struct file *shmem_zero_file(u64 size, u64 vmflags); /* for MAP_SHARED|MAP_ANONYMOUS; ERR_PTR */
struct file *shmem_named_file(const char *name, u64 size, u64 vmflags); /* the same with a name of its own for /proc/PID/maps */

/* /proc text. => take the locks themselves */
struct mempolicy;
/* The file of the mapping that is exactly there: referenced, or NULL. => takes m */
struct file *mm_mapped_file(struct mm *mm, u64 start, u64 end);
/* The first mapping of a file that starts at @from or above; false: none. => takes m */
bool mm_next_mapped(struct mm *mm, u64 from, u64 *start, u64 *end);
/* @detail: 0 maps, 1 smaps, 2 smaps_rollup, 3 numa_maps; all but 2 in pieces (seq_buf.h), whose place is an address. @task: its policy, for numa_maps */
int mm_maps_show(struct mm *mm, struct seq_buf *s, int detail, const struct mempolicy *task);
void mm_status_show(struct mm *mm, struct seq_buf *s); /* VmPeak: ... lines of status */
void mm_pagetables_show(struct mm *mm, struct seq_buf *s); /* the tables themselves */
void mm_statm(struct mm *mm, u64 v[7]); /* the seven numbers of /proc/PID/statm, in pages */
/* Entries of /proc/PID/pagemap, with frame numbers: PAGEMAP_PFN hides them. */
#define PAGEMAP_PFN ((1ull << 55) - 1)
int mm_pagemap_read(struct mm *mm, u64 first_page, u64 n, u64 *out);
int mm_clear_refs(struct mm *mm, int what); /* what: the number written to clear_refs. 0, -EINVAL. => takes m */

/* Checker: VMA tree, lists, page tables against VMAs, counters. Returns mismatches found (each printed). */
u64 mm_check(struct mm *mm);
u64 mm_check_all(void); /* of every address space */
void mm_init(void); /* caches, zero page */
void khugepaged_start(void); /* background promotion; threads can be made */
void khugepaged_wake(void); /* the policy changed: look now */
/* Huge-page policy and its numbers, behind /sys/kernel/mm/transparent_hugepage. */
enum { THP_ALWAYS, THP_MADVISE, THP_NEVER };
/* Work (reclaim, compaction) for a huge page at a fault: always, not at once (khugepaged does), not at once but for advised memory, for
 * advised memory only, never. */
enum { DEFRAG_ALWAYS, DEFRAG_DEFER, DEFRAG_DEFER_MADVISE, DEFRAG_MADVISE, DEFRAG_NEVER };
extern int thp_enabled, thp_defrag;
/* Huge pages of shared memory: what a mount or shmem_enabled says; the last two only shmem_enabled. */
enum { SHMEM_HUGE_ALWAYS, SHMEM_HUGE_WITHIN_SIZE, SHMEM_HUGE_ADVISE, SHMEM_HUGE_NEVER, SHMEM_HUGE_DENY, SHMEM_HUGE_FORCE };
extern int shmem_enabled;
extern u64 thp_use_zero_page; /* reads of untouched ranges map a huge page of zeros */
extern u64 khugepaged_pages_to_scan, khugepaged_sleep_ms, khugepaged_alloc_sleep_ms, khugepaged_defrag;
extern u64 khugepaged_max_none, khugepaged_max_shared, khugepaged_max_swap, khugepaged_full_scans, khugepaged_collapsed;
extern struct page *zero_page;
extern u64 overcommit_memory, overcommit_ratio, overcommit_kbytes, user_reserve_kbytes, admin_reserve_kbytes; /* sysctls */
extern u64 max_map_count, mmap_min_addr, mmap_rnd_bits, legacy_va_layout;
bool commit_privileged(void); /* implemented by proc: may the running task have what is kept for an administrator? */

#endif
