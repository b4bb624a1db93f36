/*
 * list.h - circular doubly linked lists (list_head) and lists with a one-pointer head for hash
 * tables (hlist).  The objects embed the links; nothing is allocated.  A writer needs a lock;
 * the forms with _rcu let readers walk beside one writer: an entry is complete before it is
 * linked, and a removed entry keeps its forward pointer until a grace period is over.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include "lib/atomic.h"

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

/* What a removed entry points to: never a valid address, and told apart in a dump. */
#define LIST_POISON1	((void *)0xdead000000000100ULL)
#define LIST_POISON2	((void *)0xdead000000000122ULL)

#define LIST_HEAD_INIT(name)	{ &(name), &(name) }
#define LIST_HEAD(name)		struct list_head name = LIST_HEAD_INIT(name)

static __always_inline void INIT_LIST_HEAD(struct list_head *h)
{
	h->next = h;
	h->prev = h;
}

static __always_inline void __list_add(struct list_head *e, struct list_head *prev,
				       struct list_head *next)
{
	next->prev = e;
	e->next = next;
	e->prev = prev;
	WRITE_ONCE(prev->next, e);
}

static __always_inline void list_add(struct list_head *e, struct list_head *h)
{
	__list_add(e, h, h->next);
}

static __always_inline void list_add_tail(struct list_head *e, struct list_head *h)
{
	__list_add(e, h->prev, h);
}

static __always_inline void __list_del(struct list_head *prev, struct list_head *next)
{
	next->prev = prev;
	WRITE_ONCE(prev->next, next);
}

static __always_inline void __list_del_entry(struct list_head *e)
{
	__list_del(e->prev, e->next);
}

static __always_inline void list_del(struct list_head *e)
{
	__list_del_entry(e);
	e->next = LIST_POISON1;
	e->prev = LIST_POISON2;
}

static __always_inline void list_del_init(struct list_head *e)
{
	__list_del_entry(e);
	INIT_LIST_HEAD(e);
}

static __always_inline bool list_empty(const struct list_head *h)
{
	return READ_ONCE(h->next) == h;
}

static __always_inline bool list_is_singular(const struct list_head *h)
{
	return !list_empty(h) && h->next == h->prev;
}

static __always_inline bool list_is_first(const struct list_head *e, const struct list_head *h)
{
	return e->prev == h;
}

static __always_inline bool list_is_last(const struct list_head *e, const struct list_head *h)
{
	return e->next == h;
}

static __always_inline void list_move(struct list_head *e, struct list_head *h)
{
	__list_del_entry(e);
	list_add(e, h);
}

static __always_inline void list_move_tail(struct list_head *e, struct list_head *h)
{
	__list_del_entry(e);
	list_add_tail(e, h);
}

static __always_inline void list_replace(struct list_head *old, struct list_head *e)
{
	e->next = old->next;
	e->next->prev = e;
	e->prev = old->prev;
	WRITE_ONCE(e->prev->next, e);
}

static __always_inline void list_replace_init(struct list_head *old, struct list_head *e)
{
	list_replace(old, e);
	INIT_LIST_HEAD(old);
}

static inline void __list_splice(struct list_head *list, struct list_head *prev,
				 struct list_head *next)
{
	list->next->prev = prev;
	prev->next = list->next;
	list->prev->next = next;
	next->prev = list->prev;
}

/* Moves all of `list` to the front (tail) of h; `list` is empty after the _init forms. */
static inline void list_splice(struct list_head *list, struct list_head *h)
{
	if (!list_empty(list))
		__list_splice(list, h, h->next);
}

static inline void list_splice_tail(struct list_head *list, struct list_head *h)
{
	if (!list_empty(list))
		__list_splice(list, h->prev, h);
}

static inline void list_splice_init(struct list_head *list, struct list_head *h)
{
	list_splice(list, h);
	INIT_LIST_HEAD(list);
}

static inline void list_splice_tail_init(struct list_head *list, struct list_head *h)
{
	list_splice_tail(list, h);
	INIT_LIST_HEAD(list);
}

#define list_entry(ptr, type, member)		container_of(ptr, type, member)
#define list_first_entry(h, type, member)	list_entry((h)->next, type, member)
#define list_last_entry(h, type, member)	list_entry((h)->prev, type, member)
#define list_next_entry(p, member)	list_entry((p)->member.next, __typeof__(*(p)), member)
#define list_prev_entry(p, member)	list_entry((p)->member.prev, __typeof__(*(p)), member)
#define list_first_entry_or_null(h, type, member) ({				\
	struct list_head *__lh = (h), *__lf = READ_ONCE(__lh->next);		\
	__lf != __lh ? list_entry(__lf, type, member) : NULL; })
#define list_entry_is_head(p, h, member)	(&(p)->member == (h))

#define list_for_each(pos, h)							\
	for (pos = (h)->next; pos != (h); pos = pos->next)
#define list_for_each_safe(pos, n, h)						\
	for (pos = (h)->next, n = pos->next; pos != (h); pos = n, n = pos->next)
#define list_for_each_prev(pos, h)						\
	for (pos = (h)->prev; pos != (h); pos = pos->prev)
#define list_for_each_entry(p, h, member)					\
	for (p = list_first_entry(h, __typeof__(*p), member);			\
	     !list_entry_is_head(p, h, member); p = list_next_entry(p, member))
#define list_for_each_entry_reverse(p, h, member)				\
	for (p = list_last_entry(h, __typeof__(*p), member);			\
	     !list_entry_is_head(p, h, member); p = list_prev_entry(p, member))
#define list_for_each_entry_continue(p, h, member)				\
	for (p = list_next_entry(p, member);					\
	     !list_entry_is_head(p, h, member); p = list_next_entry(p, member))
#define list_for_each_entry_from(p, h, member)					\
	for (; !list_entry_is_head(p, h, member); p = list_next_entry(p, member))
#define list_for_each_entry_safe(p, n, h, member)				\
	for (p = list_first_entry(h, __typeof__(*p), member),			\
	     n = list_next_entry(p, member);					\
	     !list_entry_is_head(p, h, member);					\
	     p = n, n = list_next_entry(n, member))
#define list_for_each_entry_safe_reverse(p, n, h, member)			\
	for (p = list_last_entry(h, __typeof__(*p), member),			\
	     n = list_prev_entry(p, member);					\
	     !list_entry_is_head(p, h, member);					\
	     p = n, n = list_prev_entry(n, member))

/* RCU forms.  Pairing: the release here with the dependent loads of list_for_each_entry_rcu. */
static __always_inline void __list_add_rcu(struct list_head *e, struct list_head *prev,
					   struct list_head *next)
{
	e->next = next;
	e->prev = prev;
	smp_store_release(&prev->next, e);
	next->prev = e;
}

static __always_inline void list_add_rcu(struct list_head *e, struct list_head *h)
{
	__list_add_rcu(e, h, h->next);
}

static __always_inline void list_add_tail_rcu(struct list_head *e, struct list_head *h)
{
	__list_add_rcu(e, h->prev, h);
}

/* The entry keeps `next`: a reader standing on it still finds the way. */
static __always_inline void list_del_rcu(struct list_head *e)
{
	__list_del_entry(e);
	e->prev = LIST_POISON2;
}

static __always_inline void list_replace_rcu(struct list_head *old, struct list_head *e)
{
	e->next = old->next;
	e->prev = old->prev;
	smp_store_release(&e->prev->next, e);
	e->next->prev = e;
	old->prev = LIST_POISON2;
}

#define list_entry_rcu(ptr, type, member) container_of(READ_POINTER(ptr), type, member)
#define list_for_each_entry_rcu(p, h, member)					\
	for (p = list_entry_rcu((h)->next, __typeof__(*p), member);		\
	     !list_entry_is_head(p, h, member);					\
	     p = list_entry_rcu(p->member.next, __typeof__(*p), member))

/* hlist */
#define HLIST_HEAD_INIT		{ NULL }
#define HLIST_HEAD(name)	struct hlist_head name = HLIST_HEAD_INIT
#define INIT_HLIST_HEAD(h)	((void)((h)->first = NULL))

static __always_inline void INIT_HLIST_NODE(struct hlist_node *n)
{
	n->next = NULL;
	n->pprev = NULL;
}

static __always_inline bool hlist_unhashed(const struct hlist_node *n)
{
	return !READ_ONCE(n->pprev);
}

static __always_inline bool hlist_empty(const struct hlist_head *h)
{
	return !READ_ONCE(h->first);
}

static __always_inline void __hlist_del(struct hlist_node *n)
{
	struct hlist_node *next = n->next, **pprev = n->pprev;

	WRITE_ONCE(*pprev, next);
	if (next)
		next->pprev = pprev;
}

static __always_inline void hlist_del(struct hlist_node *n)
{
	__hlist_del(n);
	n->next = LIST_POISON1;
	n->pprev = LIST_POISON2;
}

static __always_inline void hlist_del_init(struct hlist_node *n)
{
	if (!hlist_unhashed(n)) {
		__hlist_del(n);
		INIT_HLIST_NODE(n);
	}
}

static __always_inline void hlist_add_head(struct hlist_node *n, struct hlist_head *h)
{
	struct hlist_node *first = h->first;

	n->next = first;
	if (first)
		first->pprev = &n->next;
	WRITE_ONCE(h->first, n);
	n->pprev = &h->first;
}

static __always_inline void hlist_add_before(struct hlist_node *n, struct hlist_node *next)
{
	n->pprev = next->pprev;
	n->next = next;
	next->pprev = &n->next;
	WRITE_ONCE(*n->pprev, n);
}

static __always_inline void hlist_add_behind(struct hlist_node *n, struct hlist_node *prev)
{
	n->next = prev->next;
	WRITE_ONCE(prev->next, n);
	n->pprev = &prev->next;
	if (n->next)
		n->next->pprev = &n->next;
}

static inline void hlist_move_list(struct hlist_head *old, struct hlist_head *h)
{
	h->first = old->first;
	if (h->first)
		h->first->pprev = &h->first;
	old->first = NULL;
}

static __always_inline void hlist_add_head_rcu(struct hlist_node *n, struct hlist_head *h)
{
	struct hlist_node *first = h->first;

	n->next = first;
	n->pprev = &h->first;
	smp_store_release(&h->first, n);
	if (first)
		first->pprev = &n->next;
}

/* The entry keeps `next`, as list_del_rcu. */
static __always_inline void hlist_del_rcu(struct hlist_node *n)
{
	__hlist_del(n);
	WRITE_ONCE(n->pprev, LIST_POISON2);
}

static __always_inline void hlist_del_init_rcu(struct hlist_node *n)
{
	if (!hlist_unhashed(n)) {
		__hlist_del(n);
		WRITE_ONCE(n->pprev, NULL);
	}
}

#define hlist_entry(ptr, type, member)	container_of(ptr, type, member)
#define hlist_entry_safe(ptr, type, member) ({					\
	__typeof__(ptr) __hp = (ptr);						\
	__hp ? hlist_entry(__hp, type, member) : NULL; })
#define hlist_for_each(pos, h)	for (pos = (h)->first; pos; pos = pos->next)
#define hlist_for_each_entry(p, h, member)					\
	for (p = hlist_entry_safe((h)->first, __typeof__(*p), member); p;	\
	     p = hlist_entry_safe(p->member.next, __typeof__(*p), member))
#define hlist_for_each_entry_safe(p, n, h, member)				\
	for (p = hlist_entry_safe((h)->first, __typeof__(*p), member);		\
	     p && ({ n = p->member.next; 1; });					\
	     p = hlist_entry_safe(n, __typeof__(*p), member))
#define hlist_for_each_entry_rcu(p, h, member)					\
	for (p = hlist_entry_safe(READ_POINTER((h)->first), __typeof__(*p), member); p; \
	     p = hlist_entry_safe(READ_POINTER(p->member.next), __typeof__(*p), member))

#endif
