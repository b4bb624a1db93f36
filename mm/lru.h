/*
 * lru.h - pages that can be evicted, oldest last, and what takes them (mm/lru.c has the theory). Inside mm only.
 */
#ifndef MM_LRU_H
#define MM_LRU_H

#include "vm.h"

enum lru_kind { LRU_INACTIVE, LRU_ACTIVE, NR_LRU };

/* Pages go on this CPU's inactive list, newest first, with PG_LRU and PG_LAZYFREE. => each mapped, its entry's lock held, on no list */
#define LRU_BATCH 32
void lru_add(struct page **pages, unsigned n);
/* Off its list: may not be taken any more. Nothing if it is on none. => its entry's lock, or nobody else has the page */
void lru_del(struct page *p);
/* To the young end of the inactive list. => as lru_del, and it is on a list */
void lru_deactivate(struct page *p);
/* @to takes the place of @p, if that has one. => both of the caller alone */
void lru_moved(struct page *p, struct page *to);
u64 lru_pages(int node, enum lru_kind kind); /* node < 0: all; in small pages */
u64 lru_changes(void); /* in small pages: by no more than this has grown can the sum of lru_pages differ from what it was */
void lru_vmstat_show(struct seq_buf *m, int node, const char *indent); /* nr_active_file and so on, as /proc/vmstat names them */
void lru_init(void);
u64 lru_check(void);

/* lazyfree.c: takes pages the program may do without out of the entries around @entry, those in use left unless @force. How many small
 * pages. => the entry's lock; its page is on a list, clean and exclusive */
u64 lazyfree_take_around(struct vma *v, u64 addr, pte_t *entry, bool huge, bool force);

#endif
