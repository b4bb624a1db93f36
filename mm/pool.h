/* pool.h - inside the pools of huge pages: between mm/hugetlb.c and mm/hugetlb_move.c. */
#ifndef MM_POOL_H
#define MM_POOL_H

#include <mm/hugetlb.h>

/* A free page of the node off its list, or NULL. => h->lock */
struct page *pool_unlist_free(struct hstate *h, int node);
/* A fresh page from the allocator (@node < 0: any), free (refcount 0), on no list and not counted yet; NULL: no memory. => sleeps */
struct page *pool_new_page(struct hstate *h, int node);
/* Back to the allocator: a page on no list, not counted any more. */
void pool_discard(struct page *p);

struct migration;
/* Moves a pool page in use to a page of node @node: of the pool there, else a fresh one, and the old one leaves the pool. As migrate_to_node;
 * -EBUSY: 1 GiB, which is too much to copy with tables locked. => sleeps */
int hugetlb_migrate(struct migration *m, struct page *p, int node);
/* Moves a pool page to a fresh page, on its node if there is one; of the old page frame @bad is kept for ever, the rest freed. The same errors. => sleeps */
int hugetlb_offline(struct migration *m, struct page *p, struct page *bad);

#endif
