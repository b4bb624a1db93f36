/* Between ksm.c (what is looked at when) and ksm_page.c (merged pages). */
#ifndef MM_KSM_IMPL_H
#define MM_KSM_IMPL_H

#include <mm/ksm.h>
#include "vm.h"

/* A number for the bytes of a page; the node is part of it where pages are merged within nodes only. Below 2^62. */
u64 ksm_hash_page(struct page *p);
extern u64 ksm_zero_hash;
/* A merged page with this hash that may have one more mapping, referenced; NULL: none. => any context */
struct page *ksm_find(u64 hash);
/* A fresh page becomes a merged one. The reference stays the caller's. => filled */
void ksm_insert(struct page *k, u64 hash);
/* Makes the anonymous page at @addr (a small one) an entry of @k, if it still is only mapped and has the same bytes; with @fill @k is given its bytes
 * first, which must have the hash @fill. 0 or -EAGAIN. => m read */
int ksm_merge_at(struct vma *v, u64 addr, struct page *k, u64 fill);
/* Sums over merged pages: shared, sharing, chains, dups. */
void ksm_sum_pages(struct ksm_stats *s);
u64 ksm_nr_pages(void);
u64 ksm_check(void); /* checker of merged pages and their tree */
void ksm_pages_init(void);

#endif
