/*
 * mempolicy.h - from which nodes user memory comes: per range of an address space, per shared object, per thread.
 *
 * Theory in mm/mempolicy.c.
 */
#ifndef MM_MEMPOLICY_H
#define MM_MEMPOLICY_H

#include <kernel/rcu.h>
#include <mm/alloc.h>
#include <mm/mm.h>

enum { MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_PREFERRED_MANY, MPOL_MAX };
#define MPOL_F_STATIC_NODES (1u << 15)
#define MPOL_F_RELATIVE_NODES (1u << 14)
#define MPOL_F_NUMA_BALANCING (1u << 13)
#define MPOL_MODE_FLAGS (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING)
#define MPOL_F_NODE 1u /* get_mempolicy */
#define MPOL_F_ADDR 2u
#define MPOL_F_MEMS_ALLOWED 4u
#define MPOL_MF_STRICT 1u /* mbind, move_pages */
#define MPOL_MF_MOVE 2u
#define MPOL_MF_MOVE_ALL 4u

/* mode MPOL_DEFAULT: none. */
struct mempolicy {
	u16 mode, flags;
	s16 home; /* set_mempolicy_home_node, or NUMA_NO_NODE */
	u64 nodes; /* what it means on this machine */
	u64 user_nodes; /* as given, when flags say to remember */
	struct rcu_head rcu; /* of a VMA's own copy */
};

/* A policy from what a program asked for. 0 or -EINVAL. */
int mpol_make(struct mempolicy *p, unsigned mode, unsigned flags, u64 nodes);
/* The nodes a policy names; all when it names none, the CPU's own for "local". */
u64 mpol_nodes(const struct mempolicy *p);
bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b); /* NULL: none */
/* "bind=static:0-3" as numa_maps has it; returns the length. */
int mpol_text(const struct mempolicy *p, char *buf, u64 n);

/* Somebody set a policy since boot: the one test the others pay for. */
extern bool mempolicy_used;
struct page *alloc_vma_policy(gfp_t gfp, unsigned order, const struct vma *v, u64 addr);
struct page *alloc_mapping_policy(gfp_t gfp, unsigned order, struct mapping *m, u64 index);
/* A page for @addr of @v, by its policy. */
static inline struct page *alloc_vma_pages(gfp_t gfp, unsigned order, const struct vma *v, u64 addr)
{
	return unlikely(mempolicy_used) ? alloc_vma_policy(gfp, order, v, addr) : alloc_pages(gfp, order);
}
/* A page for the page cache. */
static inline struct page *alloc_mapping_page(gfp_t gfp, struct mapping *m, u64 index)
{
	return unlikely(mempolicy_used) ? alloc_mapping_policy(gfp, 0, m, index) : alloc_page(gfp);
}
/* Several that lie together, for the page cache. */
static inline struct page *alloc_mapping_pages(gfp_t gfp, unsigned order, struct mapping *m, u64 index)
{
	return unlikely(mempolicy_used) ? alloc_mapping_policy(gfp, order, m, index) : alloc_pages(gfp, order);
}

/* The policy of an address: the range's or shared object's own; false when it has none. => m held */
bool vma_policy_at(const struct vma *v, u64 addr, struct mempolicy *out);
void mapping_policy_free(struct mapping *m);

int do_mbind(struct mm *mm, u64 start, u64 len, const struct mempolicy *p, unsigned flags, bool default_mode);
int do_set_home_node(struct mm *mm, u64 start, u64 len, int node);
/* The node of the page at addr, which is made present. => m not held; -errno */
int mm_node_of(struct mm *mm, u64 addr);
/* move_pages: the page at @addr to @node (node < 0: only say where it is). The node it is on now, or -errno. */
struct migration;
int mm_move_page(struct mm *mm, struct migration *m, u64 addr, int node, bool all);
/* migrate_pages: pages on nodes of @from to the corresponding one of @to; how many stayed, or -errno. */
s64 mm_migrate_nodes(struct mm *mm, u64 from, u64 to, bool all);

/* Doors upward. The running thread's policy (never NULL where there are threads), its turn for interleaving, and the note that
 * it failed to find memory on the nodes it is bound to. */
__weak struct mempolicy *thread_policy(void);
__weak u32 *thread_interleave(void);
__weak void thread_bound_oom(u64 nodes);

#endif
