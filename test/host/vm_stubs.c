/*
 * vm_stubs.c - what the virtual half of mm/ calls and the simulated machine (vm_machine.h) has not got: pools of huge pages,
 * policies, migration, userfaultfd, other threads.
 */
#include <mm/check.h>
#include <mm/hugetlb.h>
#include <mm/ksm.h>
#include <mm/shrinker.h>
#include <mm/uffd.h>
#include "vm_machine.h"

/* --- no pools of huge pages here: nothing has VM_HUGETLB --- */
static const char no_pool[] = "no pools in this test";
#define NO_POOL VERIFY(!no_pool[0])
void hugetlb_init_sizes(void) {}
int vma_file_may_punch(struct file *f) { return 0; }
unsigned vma_file_huge_shift(struct file *f) { return 0; }
struct mapping *vma_file_mapping(struct file *f) { return &f->m; }
u64 vm_state_sum(enum vm_state s) { return (u64)vm_states[s]; }
u64 vma_page_size(const struct vma *v) { return PAGE_SIZE; }
pte_t *hugetlb_entry(const struct vma *v, u64 addr) { NO_POOL; return NULL; }
pte_t *hugetlb_entry_alloc(const struct vma *v, u64 addr) { NO_POOL; return NULL; }
int hugetlb_fault(struct fault *f) { NO_POOL; return FR_SIGBUS; }
void hugetlb_zap(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how) { NO_POOL; }
int hugetlb_copy(struct vma *dst, struct vma *src, bool *wrprotected) { NO_POOL; return 0; }
bool hugetlb_rmap(struct rmap_walk *w, struct vma *v, struct page *p) { NO_POOL; return true; }
void hugetlb_forget(struct vma *v, u64 start, u64 end) { NO_POOL; }
void hugetlb_moved(struct vma *v) { NO_POOL; }
void hugetlb_punch(struct vma *v, u64 start, u64 end) { NO_POOL; }

/* --- the rest of a kernel --- */

u32 pagefault_off;
pgd_t *kernel_pgd;
struct cpu_features cpu_features = { .nx = true };
bool commit_privileged(void) { return true; }
bool fail_nth_armed;
u64 tlb_answered;
void synchronize_rcu(void) {}
void kfree_rcu_at(struct rcu_head *head, size_t off) { free((char *)head - off); }
u32 pkru_read(void) { return 0; }
void pkru_write(u32 v) {}
/* there is no zone Movable here to leave, and frames are checked by page_free_last */
struct migration *migration_alloc(void) { return NULL; }
void migration_free(struct migration *m) {}
int migrate_page(struct migration *m, struct page *p, struct page *to) { return -EBUSY; }
u64 frames_check(void) { return 0; }
void shrinker_register(struct shrinker *s) {}
/* one node, nothing in /proc */
u64 node_online_map = 1;
int this_node(void) { return 0; }
void seq_printf(struct seq_buf *m, const char *fmt, ...) {}
/* nobody sets a NUMA policy here */
bool mempolicy_used;
struct page *alloc_vma_policy(gfp_t gfp, unsigned order, const struct vma *v, u64 addr) { abort(); }
struct page *alloc_mapping_policy(gfp_t gfp, unsigned order, struct mapping *m, u64 index) { abort(); }
void mapping_policy_free(struct mapping *m) { abort(); }
bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b) { return a == b; }
void set_current_state(unsigned state) {}
u64 ktime_ns(void) { return 0; }
bool schedule_until(u64 deadline) { return true; }
/* nothing is ever registered here */
int uffd_fault(struct fault *f, u64 reason) { return FR_SIGBUS; }
int uffd_file_fault(struct fault *f) { return FR_OK; }
int uffd_marker_fault(struct fault *f, pte_t *entry, pte_t e) { return FR_SIGBUS; }
int uffd_copy_marks(struct vma *to, struct vma *from) { return 0; }
void uffd_strip(struct vma *v, u64 start, u64 end) {}
int uffd_unmap_prep(struct mm *mm, struct vma *v, u64 start, u64 end) { return 0; }
int uffd_remap(struct vma *new, u64 from, u64 len) { return 0; }
void uffd_remove(struct vma *v, u64 start, u64 end) {}
int uffd_fork(struct vma *n, struct mm *child) { return 0; }
void uffd_fork_done(struct mm *child, bool ok) {}
void uffd_tell(struct mm *mm) {}
/* No equal pages are merged here. */
bool ksm_can_merge(u64 vmflags) { return false; }
int ksm_enter(struct mm *mm) { return 0; }
void ksm_exit(struct mm *mm) {}
int ksm_unmerge(struct vma *v, u64 start, u64 end) { return 0; }
void ksm_page_release(struct page *p) {}
bool page_trylock(struct page *p) { p->flags |= 1 << PG_LOCKED; return true; }
void page_lock(struct page *p) { p->flags |= 1 << PG_LOCKED; }
void page_unlock(struct page *p) { p->flags &= ~(1ull << PG_LOCKED); }
void init_rwsem(struct rw_semaphore *s) { s->count = 0; }
void down_read_slow(struct rw_semaphore *s) { VERIFY(!"deadlock"); }
void down_write_slow(struct rw_semaphore *s) { VERIFY(!"deadlock"); }
void rwsem_wake(struct rw_semaphore *s) {}
void downgrade_write(struct rw_semaphore *s) { s->count = 1; }
bool fatal_signal_pending_current(void) { return false; }
void check_register(const char *name, u64 (*fn)(void)) {}
u64 get_random_u64(void) { return choose_word(); }
u64 vm_events[NR_VM_EVENTS];
u64 vm_event_sum(enum vm_event e) { return vm_events[e]; }
s64 vm_states[NR_VM_STATES];
