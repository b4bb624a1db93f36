/*
 * The page cache: pages of one file by index, and the VMAs that map them.
 *
 * A page in the tree holds one reference for the tree and names its place (mapping, index); both are set before it is visible and
 * mapping is cleared when it leaves. Lookup takes no lock: load under RCU, take a reference unless the count is zero, look
 * again. A page that left the tree meanwhile may be taken by a reader that is about to notice; struct pages are never
 * unmapped, so that is only a wasted reference.
 *
 * Memory objects (ops NULL: tmpfs, memfd, shared anonymous memory) make zeroed, up-to-date pages on demand. Files with ops insert a
 * locked page, fill it through read_page and unlock it; who finds it not up to date waits for the lock. A page of a memory object that is not
 * up to date was allocated ahead (fallocate) and holds anything: the first use makes it zeros; to reading and SEEK_DATA it is a hole. Or it failed
 * (PG_HWPOISON, poison.c): nobody gets it.
 *
 * VMAs are in an interval tree: a red-black tree by first page index, each node with the largest last index of its subtree.
 */
#include <kernel/rcu.h>
#include <lib/string.h>
#include <mm/mempolicy.h>
#include "run.h"

static DEFINE_PER_CPU(s64, file_pages);
static DEFINE_PER_CPU(s64, shmem_pages);

static u64 percpu_sum(s64 *var)
{
	s64 sum = 0;
	int cpu;

	for_each_online_cpu(cpu)
		sum += *per_cpu_ptr(var, cpu);
	return sum > 0 ? sum : 0;
}

u64 nr_file_pages(void)
{
	return percpu_sum(&file_pages) + percpu_sum(&shmem_pages);
}

u64 nr_shmem_pages(void)
{
	return percpu_sum(&shmem_pages);
}

void mapping_count_pages(struct mapping *m, s64 n)
{
	m->nrpages += n;
	if (unlikely(m->flags & MAPPING_HUGE))
		return; /* the pool counts them */
	if (m->flags & MAPPING_SHMEM)
		this_cpu_add(shmem_pages, n);
	else
		this_cpu_add(file_pages, n);
}

void mapping_init(struct mapping *m, const struct mapping_ops *ops, void *host, u32 flags)
{
	*m = (struct mapping){ .ops = ops, .host = host, .flags = flags };
	spin_lock_init(&m->lock);
	xa_init(&m->pages, &xa_slab_ops);
	init_rwsem(&m->rmap_lock);
	m->vmas = RB_ROOT;
	INIT_LIST_HEAD(&m->run_link);
}

/* --- pages --- */

struct page *mapping_find(struct mapping *m, u64 index)
{
	struct page *p;

	if (xa_empty(&m->pages))
		return NULL;
	rcu_read_lock();
	for (;;) {
		p = xa_load(&m->pages, index);
		if (!p || xa_is_value(p)) {
			p = NULL;
			break;
		}
		if (likely(page_get_unless_zero(p))) {
			if (likely(READ_ONCE(p->mapping) == m && p->index == index))
				break;
			page_put(p);
		}
		cpu_relax();
	}
	rcu_read_unlock();
	return p;
}

unsigned mapping_find_run(struct mapping *m, u64 index, unsigned n, struct page **pages)
{
	u64 at = index, indices[MAPPING_RUN];
	unsigned got, k;

	rcu_read_lock();
	got = xa_gather(&m->pages, &at, index + n - 1, (void **)pages, indices, n);
	for (k = 0; k < got; k++) {
		struct page *p = pages[k];

		if (indices[k] != index + k || xa_is_value(p) || !page_get_unless_zero(p))
			break;
		if (unlikely(READ_ONCE(p->mapping) != m || p->index != index + k)) {
			page_put(p);
			break;
		}
	}
	rcu_read_unlock();
	return k;
}

int mapping_insert(struct mapping *m, u64 index, struct page *p)
{
	int err;

	page_set_type(p, PT_FILE);
	p->mapping = m;
	p->index = index;
	p->mapcount = 0;
	p->private = 0;
	if (m->flags & MAPPING_SHMEM)
		p->flags |= 1ull << PG_SWAPBACKED;
	page_get(p);
	spin_lock(&m->lock);
	err = xa_insert(&m->pages, index, p, GFP_ATOMIC);
	if (likely(!err))
		mapping_count_pages(m, 1);
	spin_unlock(&m->lock);
	if (unlikely(err)) {
		p->mapping = NULL;
		page_put(p);
		return err == -EBUSY ? -EEXIST : err;
	}
	return 0;
}

/* Fills a page that is in the tree, locked by us. Unlocks it. */
static int read_locked_page(struct mapping *m, struct page *p)
{
	int err = 0;

	if (page_flag(p, PG_HWPOISON))
		err = -EHWPOISON;
	else if (!page_flag(p, PG_UPTODATE) && m->ops && m->ops->read_page)
		err = m->ops->read_page(m, p);
	else if (!page_flag(p, PG_UPTODATE))
		clear_page(page_address(p)); /* allocated ahead: now it is used */
	if (!err)
		page_set_flag(p, PG_UPTODATE);
	page_unlock(p);
	return err;
}

int mapping_allocate(struct mapping *m, u64 index)
{
	struct page *p = NULL;
	int err = -ENOMEM;

	if (m->runs && !(err = run_make(m, index, NULL, false)))
		return 0;
	p = alloc_mapping_page(GFP_USER, m, index);
	err = -ENOMEM;
	if (p) {
		err = mapping_insert(m, index, p);
		page_put(p);
	}
	return err;
}

/* A new page in the tree. NULL with *err -EEXIST when another came first. */
static struct page *add_page(struct mapping *m, u64 index, bool overwrite, int *err)
{
	bool memory = !m->ops || !m->ops->read_page;
	struct page *p;

	if (m->runs && !run_make(m, index, NULL, true)) {
		*err = -EEXIST; /* it is there now */
		return NULL;
	}
	p = alloc_mapping_page(GFP_USER | (memory && !overwrite ? GFP_ZERO : 0), m, index);
	*err = -ENOMEM;
	if (unlikely(!p))
		return NULL;
	if (memory || overwrite)
		p->flags |= 1ull << PG_UPTODATE;
	else
		p->flags |= 1ull << PG_LOCKED;
	*err = mapping_insert(m, index, p);
	if (unlikely(*err)) {
		p->flags &= ~(1ull << PG_LOCKED | 1ull << PG_UPTODATE);
		page_put(p);
		return NULL;
	}
	if (!memory && !overwrite && (*err = read_locked_page(m, p))) {
		mapping_drop_page(m, p);
		page_put(p);
		return NULL;
	}
	return p;
}

struct page *mapping_get(struct mapping *m, u64 index, bool create, bool overwrite, int *err)
{
	struct page *p;

	for (;;) {
		p = mapping_find(m, index);
		if (likely(p)) {
			if (likely(page_flag(p, PG_UPTODATE)))
				return p;
			page_lock(p); /* the reader has it */
			if (p->mapping == m) {
				*err = read_locked_page(m, p);
				if (!*err)
					return p;
			} else {
				page_unlock(p);
				*err = 0;
			}
			page_put(p);
			if (*err)
				return NULL;
			continue;
		}
		if (!create && (!m->ops || !m->ops->read_page)) {
			*err = -ENOENT;
			return NULL;
		}
		p = add_page(m, index, overwrite, err);
		if (p || *err != -EEXIST)
			return p;
	}
}

/* Takes one page out of the tree. False when it was not there any more. The tree's reference is dropped. */
bool mapping_drop_page(struct mapping *m, struct page *p)
{
	bool there;

	spin_lock(&m->lock);
	there = p->mapping == m;
	if (there) {
		if (unlikely(page_flag(p, PG_RUN)))
			run_break_locked(m, p);
		xa_erase(&m->pages, p->index);
		WRITE_ONCE(p->mapping, NULL);
		mapping_count_pages(m, -1);
	}
	spin_unlock(&m->lock);
	if (!there)
		return false;
	if (m->ops && m->ops->free_page)
		m->ops->free_page(m, p);
	smp_mb(); /* pairs with mapcount-then-mapping in the fault path */
	if (READ_ONCE(p->mapcount) > 0)
		mapping_unmap(m, p->index, page_flag(p, PG_HEAD) ? 1ull << page_order(p) : 1, true);
	page_put(p);
	return true;
}

/* Drops pages with first <= index < end. */
static void drop_range(struct mapping *m, u64 first, u64 end)
{
	void *pages[16];
	u64 index = first;
	unsigned n;

	while (index < end) {
		rcu_read_lock();
		n = xa_gather(&m->pages, &index, end - 1, pages, NULL, ARRAY_SIZE(pages));
		for (unsigned i = 0; i < n; i++)
			if (xa_is_value(pages[i]) || !page_get_unless_zero(pages[i]))
				pages[i] = NULL;
		rcu_read_unlock();
		for (unsigned i = 0; i < n; i++) {
			struct page *p = pages[i];

			if (!p)
				continue;
			if (m->ops) {
				page_lock(p);
				mapping_drop_page(m, p);
				page_unlock(p);
			} else {
				mapping_drop_page(m, p);
			}
			page_put(p);
		}
		if (!n || !index)
			break;
	}
}

void mapping_drop_unused(struct mapping *m, u64 first, u64 end)
{
	for (u64 index = first; index < end; index++) { /* mapping_next_index passes them by */
		struct page *p = mapping_find(m, index);

		if (!p)
			continue;
		page_lock(p); /* its first use would hold it */
		if (!page_flag(p, PG_UPTODATE))
			mapping_drop_page(m, p);
		page_unlock(p);
		page_put(p);
	}
}

static void zero_part(struct mapping *m, u64 from, u64 to)
{
	struct page *p = mapping_find(m, from >> PAGE_SHIFT);

	if (!p)
		return;
	memset((u8 *)page_address(p) + (from & ~PAGE_MASK), 0, to - from);
	page_set_flag(p, PG_DIRTY);
	page_put(p);
}

void mapping_truncate(struct mapping *m, u64 from)
{
	u64 first = (from + PAGE_SIZE - 1) >> PAGE_SHIFT;

	if (!RB_EMPTY_ROOT(&m->vmas))
		mapping_unmap(m, first, ~0ull - first, true);
	if (!xa_empty(&m->pages)) {
		drop_range(m, first, ~0ull);
		if (from & ~PAGE_MASK)
			zero_part(m, from, PAGE_ALIGN(from));
	}
}

void mapping_punch(struct mapping *m, u64 from, u64 to)
{
	u64 first = (from + PAGE_SIZE - 1) >> PAGE_SHIFT, end = to >> PAGE_SHIFT;

	if (from >= to)
		return;
	if (first < end) {
		mapping_unmap(m, first, end - first, false);
		drop_range(m, first, end);
	}
	if (from >> PAGE_SHIFT == (to - 1) >> PAGE_SHIFT) {
		if ((from | to) & ~PAGE_MASK)
			zero_part(m, from, to);
		return;
	}
	if (from & ~PAGE_MASK)
		zero_part(m, from, PAGE_ALIGN(from));
	if (to & ~PAGE_MASK)
		zero_part(m, to & PAGE_MASK, to);
}

void mapping_destroy(struct mapping *m)
{
	ASSERT(RB_EMPTY_ROOT(&m->vmas));
	if (!xa_empty(&m->pages))
		drop_range(m, 0, ~0ull);
	ASSERT3U(m->nrpages, ==, 0);
	xa_destroy(&m->pages);
	if (unlikely(!list_empty(&m->run_link)))
		run_forget(m);
	if (unlikely(m->policy))
		mapping_policy_free(m);
}

u64 mapping_next_index(struct mapping *m, u64 start)
{
	void *e;

	rcu_read_lock();
	e = xa_find(&m->pages, &start, U64_MAX);
	/* what was only allocated ahead is no data */
	while (unlikely(e && !m->ops && !xa_is_value(e) && !page_flag(e, PG_UPTODATE) && !(m->flags & MAPPING_HUGE))) {
		start++;
		e = xa_find(&m->pages, &start, U64_MAX);
	}
	rcu_read_unlock();
	return e ? start : ~0ull;
}

/* --- VMAs --- */

static inline u64 vma_last(const struct vma *v) { return v->pgoff + npages_of(v) - 1; }

static u64 subtree_last(struct vma *v)
{
	u64 last = vma_last(v);

	if (v->file_rb.rb_left)
		last = max(last, rb_entry(v->file_rb.rb_left, struct vma, file_rb)->file_rb_max);
	if (v->file_rb.rb_right)
		last = max(last, rb_entry(v->file_rb.rb_right, struct vma, file_rb)->file_rb_max);
	return last;
}

RB_DECLARE_CALLBACKS(static, last_callbacks, struct vma, file_rb, u64, file_rb_max, subtree_last);

void mapping_vma_insert_locked(struct mapping *m, struct vma *v)
{
	struct rb_node **link = &m->vmas.rb_node, *parent = NULL;
	u64 last = vma_last(v);

	while (*link) {
		struct vma *at = rb_entry(*link, struct vma, file_rb);

		parent = *link;
		at->file_rb_max = max(at->file_rb_max, last);
		link = v->pgoff < at->pgoff ? &parent->rb_left : &parent->rb_right;
	}
	v->file_rb_max = last;
	rb_link_node(&v->file_rb, parent, link);
	rb_insert_augmented(&v->file_rb, &m->vmas, &last_callbacks);
}

void mapping_vma_remove_locked(struct mapping *m, struct vma *v)
{
	rb_erase_augmented(&v->file_rb, &m->vmas, &last_callbacks);
}

static inline bool counts_as_writer(const struct vma *v)
{
	return (v->flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
}

bool mapping_deny_seal(struct mapping *m, const struct vma *v)
{
	s32 n = READ_ONCE(m->writable);

	if (!counts_as_writer(v))
		return true;
	do {
		if (n < 0)
			return false;
	} while (!try_cmpxchg(&m->writable, &n, n + 1));
	return true;
}

void mapping_allow_seal(struct mapping *m, const struct vma *v)
{
	if (counts_as_writer(v))
		__atomic_fetch_sub(&m->writable, 1, __ATOMIC_RELAXED);
}

void mapping_add_vma(struct mapping *m, struct vma *v)
{
	down_write(&m->rmap_lock);
	mapping_vma_insert_locked(m, v);
	if (counts_as_writer(v))
		__atomic_fetch_add(&m->writable, 1, __ATOMIC_RELAXED);
	up_write(&m->rmap_lock);
}

void mapping_del_vma(struct mapping *m, struct vma *v)
{
	down_write(&m->rmap_lock);
	mapping_vma_remove_locked(m, v);
	mapping_allow_seal(m, v);
	up_write(&m->rmap_lock);
}

/* First VMA in tree order at or below @n whose range meets [first, last]. */
static struct vma *itree_first(struct rb_node *n, u64 first, u64 last)
{
	while (n) {
		struct vma *v = rb_entry(n, struct vma, file_rb);

		if (v->file_rb_max < first)
			return NULL;
		if (n->rb_left && rb_entry(n->rb_left, struct vma, file_rb)->file_rb_max >= first) {
			n = n->rb_left;
			continue;
		}
		if (v->pgoff > last)
			return NULL;
		if (vma_last(v) >= first)
			return v;
		n = n->rb_right;
	}
	return NULL;
}

static struct vma *itree_next(struct vma *v, u64 first, u64 last)
{
	struct rb_node *n = &v->file_rb, *child;

	for (;;) {
		if (n->rb_right) {
			struct vma *r = itree_first(n->rb_right, first, last);

			if (r)
				return r;
		}
		do {
			child = n;
			n = rb_parent(n);
			if (!n)
				return NULL;
		} while (child == n->rb_right);
		v = rb_entry(n, struct vma, file_rb);
		if (v->pgoff > last)
			return NULL;
		if (vma_last(v) >= first)
			return v;
	}
}

void mapping_walk_vmas_locked(struct mapping *m, struct page *p, struct rmap_walk *w, rmap_vma_fn fn, u64 n)
{
	u64 last = p->index + n - 1;
	struct vma *v;

	for (v = itree_first(m->vmas.rb_node, p->index, last); v; v = itree_next(v, p->index, last))
		if (!fn(w, v, p, n))
			break;
}

void mapping_walk_vmas(struct mapping *m, struct page *p, struct rmap_walk *w, rmap_vma_fn fn, u64 n)
{
	down_read(&m->rmap_lock);
	mapping_walk_vmas_locked(m, p, w, fn, n);
	up_read(&m->rmap_lock);
}

void mapping_unmap_locked(struct mapping *m, u64 first, u64 n, bool even_private)
{
	u64 last = n > ~0ull - first ? ~0ull : first + n - 1;
	struct vma *v;

	for (v = itree_first(m->vmas.rb_node, first, last); v; v = itree_next(v, first, last)) {
		u64 a = max(first, v->pgoff), b = min(last, vma_last(v)) + 1;
		struct tlb_gather g;

		tlb_gather_init(&g, v->mm, false);
		zap_range(&g, v, v->start + ((a - v->pgoff) << PAGE_SHIFT), v->start + ((b - v->pgoff) << PAGE_SHIFT),
			  ZAP_KEEP_WP | (even_private ? 0 : ZAP_KEEP_ANON));
		tlb_gather_flush(&g);
	}
}

void mapping_unmap(struct mapping *m, u64 first, u64 n, bool even_private)
{
	down_read(&m->rmap_lock);
	mapping_unmap_locked(m, first, n, even_private);
	up_read(&m->rmap_lock);
}
