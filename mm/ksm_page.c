/*
 * Merged pages (PT_KSM): the tree of them, and how an anonymous page becomes one.
 *
 * A merged page never changes: no entry of it is writable, nothing pins it for writing, no one takes it over for being the last. It belongs
 * to no group and has no index: whoever maps it maps it at an address of his own. It lives as long as somebody maps it; the tree has no
 * reference. The tree is ordered by hash, then by frame; equal bytes are more than one page only when the first has as many mappings as
 * max_page_sharing allows.
 *
 * Becoming one. Under the lock of the entry's table the entry is emptied and flushed: from then on nobody writes to the page, for its
 * references are entries and nothing else, and those of other processes are read-only as it is shared with them. Now it can
 * be compared, and the entry stored again, with the merged page's frame or with its own. A fault meanwhile finds an empty entry, waits for the lock and sees
 * that it is not empty: as with migration.
 *
 * Leaving the tree. The last page_put calls ksm_page_release, which takes the page out before its memory can be anything else. Between
 * refcount 0 and that moment it is found in the tree, but no reference can be taken.
 *
 * Invariants (ksm_check): a page in the tree has the type PT_KSM, the hash of its bytes is what it was inserted with, the order is right, and it has no fewer
 * references than mappings. Locks: stable_lock is a leaf, interrupts off (the last reference may go anywhere).
 */
#include <lib/string.h>
#include <mm/check.h>
#include "ksm_impl.h"

static struct rb_root stable = RB_ROOT; /* (stable_lock) by (hash, frame) */
static DEFINE_SPINLOCK(stable_lock);
static u64 nr_stable; /* (stable_lock) */
u64 ksm_zero_hash;

#define page_of(node) rb_entry(node, struct page, ksm_rb)
#define WALK_CHUNK 256 /* pages looked at with the lock held */

/* --- hash --- */

static inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0x9fb21c651e98df25ull;
	return h ^ h >> 29;
}

u64 ksm_hash_page(struct page *p)
{
	const u64 *w = page_address(p);
	u64 h[4] = { 1, 2, 3, 4 };

	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 4)
		for (unsigned k = 0; k < 4; k++)
			h[k] = mix(h[k], w[i + k]);
	h[0] = mix(mix(mix(h[0], h[1]), h[2]), h[3]);
	if (!READ_ONCE(ksm_merge_across_nodes))
		h[0] = mix(h[0], page_node(p) + 1);
	return h[0] >> 2;
}

/* --- the tree --- */

static inline bool before(const struct page *p, u64 hash, const struct page *q)
{
	return p->ksm_hash != hash ? p->ksm_hash < hash : p < q;
}

/* First page at or after (hash, q). => stable_lock */
static struct page *first_from(u64 hash, const struct page *q)
{
	struct rb_node *n = stable.rb_node;
	struct page *found = NULL;

	while (n) {
		struct page *p = page_of(n);

		if (before(p, hash, q)) {
			n = n->rb_right;
		} else {
			found = p;
			n = n->rb_left;
		}
	}
	return found;
}

static inline struct page *next_page(struct page *p)
{
	struct rb_node *n = rb_next(&p->ksm_rb);

	return n ? page_of(n) : NULL;
}

struct page *ksm_find(u64 hash)
{
	struct page *p;
	u64 flags;

	spin_lock_irqsave(&stable_lock, flags);
	for (p = first_from(hash, NULL); p; p = next_page(p)) {
		if (p->ksm_hash != hash) {
			p = NULL;
			break;
		}
		if ((u64)READ_ONCE(p->mapcount) < READ_ONCE(ksm_max_sharing) && page_get_unless_zero(p))
			break;
	}
	spin_unlock_irqrestore(&stable_lock, flags);
	return p;
}

void ksm_insert(struct page *k, u64 hash)
{
	struct rb_node **link = &stable.rb_node, *parent = NULL;
	u64 flags;

	k->ksm_hash = hash;
	page_set_flag(k, PG_PRIVATE1); /* its end is told: ksm_page_release */
	page_set_type(k, PT_KSM);
	spin_lock_irqsave(&stable_lock, flags);
	while (*link) {
		parent = *link;
		link = before(page_of(parent), hash, k) ? &parent->rb_right : &parent->rb_left;
	}
	rb_link_node(&k->ksm_rb, parent, link);
	rb_insert_color(&k->ksm_rb, &stable);
	nr_stable++;
	spin_unlock_irqrestore(&stable_lock, flags);
}

void ksm_page_release(struct page *p)
{
	u64 flags;

	spin_lock_irqsave(&stable_lock, flags);
	rb_erase(&p->ksm_rb, &stable);
	nr_stable--;
	spin_unlock_irqrestore(&stable_lock, flags);
}

u64 ksm_nr_pages(void)
{
	return READ_ONCE(nr_stable);
}

/* --- merging --- */

/* Its references are entries and nothing else. */
static inline bool only_mapped(struct page *head)
{
	u64 counts = READ_ONCE(*page_counts(head));

	return (u32)counts == counts >> 32 && !READ_ONCE(head->private);
}

int ksm_merge_at(struct vma *v, u64 addr, struct page *k, u64 fill)
{
	pte_t *entry = pt_pte(v->mm, addr), e;
	struct page *p = NULL, *head = NULL;
	spinlock_t *lock;
	bool same = false;

	if (!entry)
		return -EAGAIN;
	lock = pt_lock_of(entry);
	spin_lock(lock);
	e = pte_read(entry);
	if (pte_has_page(e) && !(e.v & PTE_UFFD_WP)) {
		p = pte_frame(e);
		head = page_head(p);
	}
	if (!head || page_type(head) != PT_ANON || !only_mapped(head)) {
		spin_unlock(lock);
		return -EAGAIN;
	}
	e = pte_get_and_clear(entry);
	tlb_flush_page(v->mm, addr);
	if (fill) {
		copy_page(page_address(k), page_address(p));
		same = ksm_hash_page(k) == fill;
	} else {
		same = !memcmp(page_address(k), page_address(p), PAGE_SIZE);
	}
	if (same) {
		u64 bits = soft_dirty_kept(e.v) & ~(PTE_ADDR_MASK | PTE_W);

		if (k == zero_page)
			bits |= PTE_SPECIAL;
		else
			page_entry_add(k, 1);
		e = pte_make(page_to_phys(k), bits);
	}
	pte_set(entry, e);
	spin_unlock(lock);
	if (!same)
		return -EAGAIN;
	if (k == zero_page)
		mm_add_rss(v->mm, RSS_ANON, -1);
	page_unmap_one(head);
	page_put(head);
	return 0;
}

/* --- sums and checker --- */

/* Calls @fn for every merged page, with the lock held for some of them at a time. */
static void for_pages(void (*fn)(struct page *p, void *arg), void *arg)
{
	u64 hash = 0, flags;
	struct page *p, *at = NULL;

	do {
		spin_lock_irqsave(&stable_lock, flags);
		p = first_from(hash, at);
		for (unsigned i = 0; p && i < WALK_CHUNK; i++, p = next_page(p)) {
			fn(p, arg);
			hash = p->ksm_hash;
			at = p + 1;
		}
		spin_unlock_irqrestore(&stable_lock, flags);
	} while (p);
}

struct sum { struct ksm_stats *s; u64 last; bool chained; };

static void sum_page(struct page *p, void *arg)
{
	struct sum *sum = arg;
	s32 maps = READ_ONCE(p->mapcount);

	sum->s->shared++;
	sum->s->sharing += maps > 1 ? maps - 1 : 0;
	if (sum->s->shared > 1 && p->ksm_hash == sum->last) {
		sum->s->chains += !sum->chained;
		sum->s->dups += sum->chained ? 1 : 2;
		sum->chained = true;
	} else {
		sum->chained = false;
	}
	sum->last = p->ksm_hash;
}

void ksm_sum_pages(struct ksm_stats *s)
{
	struct sum sum = { .s = s };

	for_pages(sum_page, &sum);
}

struct checked { u64 bad, hash; };

static void check_page(struct page *p, void *arg)
{
	struct checked *c = arg;
	u64 counts = READ_ONCE(*page_counts(p));

	if (page_type(p) != PT_KSM && ++c->bad)
		pr_err("ksm_check: page %#llx in the tree has type %d\n", page_to_pfn(p), page_type(p));
	if (ksm_hash_page(p) != p->ksm_hash && ++c->bad)
		pr_err("ksm_check: page %#llx has hash %#llx, its bytes %#llx\n", page_to_pfn(p), p->ksm_hash, ksm_hash_page(p));
	if (p->ksm_hash < c->hash && ++c->bad)
		pr_err("ksm_check: page %#llx has hash %#llx and comes after %#llx\n", page_to_pfn(p), p->ksm_hash, c->hash);
	if ((u32)counts < counts >> 32 && ++c->bad)
		pr_err("ksm_check: page %#llx has refcount %u, mapcount %u\n", page_to_pfn(p), (u32)counts, (u32)(counts >> 32));
	c->hash = p->ksm_hash;
}

u64 ksm_check(void)
{
	struct checked c = { 0 };

	for_pages(check_page, &c);
	return c.bad;
}

void ksm_pages_init(void)
{
	ksm_zero_hash = ksm_hash_page(zero_page);
	check_register("ksm", ksm_check);
}
