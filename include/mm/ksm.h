/*
 * KSM: equal pages of memory that programs offered (MADV_MERGEABLE) become one, read-only; the first write to it gives the writer
 * a page of its own again. mm/ksm.c has the theory.
 */
#ifndef MM_KSM_H
#define MM_KSM_H

#include <mm/mm.h>

enum { KSM_STOP, KSM_RUN, KSM_UNMERGE };

/* Numbers behind /sys/kernel/mm/ksm, read racily. */
extern u64 ksm_run, ksm_pages_to_scan, ksm_sleep_ms, ksm_merge_across_nodes, ksm_max_sharing, ksm_use_zero_pages, ksm_prune_ms;
struct ksm_stats { u64 shared, sharing, unshared, volatile_pages, full_scans, chains, dups; };
void ksm_stats_get(struct ksm_stats *s);
/* 0, -EINVAL, -ENOMEM, -EINTR; KSM_UNMERGE gives everybody pages of their own again, as far as memory goes. => sleeps */
int ksm_set_run(u64 run);
int ksm_set_across(u64 across); /* -EBUSY while there are shared pages */
void ksm_wake(void);
void ksm_start(void); /* the thread. => threads can be made */

/* May the pages of a mapping with these flags be merged? Others ignore the advice. */
bool ksm_can_merge(u64 vmflags);
/* @mm has (or will have) a mapping with VM_MERGEABLE. 0 or -ENOMEM. => m write, or nobody knows @mm */
int ksm_enter(struct mm *mm);
void ksm_exit(struct mm *mm); /* its last user is gone */
/* No page in [start, end) is a merged one afterwards. 0, -ENOMEM, -EINTR. => m held; nobody merges (m write, or KSM does not run) */
int ksm_unmerge(struct vma *v, u64 start, u64 end);

/* The last reference to a merged page is gone. Any context. */
void ksm_page_release(struct page *p);

#endif
