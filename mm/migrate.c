/*
 * migrate.c - moving the contents of a user page to another frame while programs run.
 *
 * The entries are the lock. Every use of a user page begins at a page-table entry, under the lock of the entry's table, or in the
 * page cache, under mapping->lock or with a reference taken from a count that is not zero. So a move does, without ever sleeping:
 *
 *	1. find all entries of the page by the reverse map, and hold the lock of each of their tables
 *	2. empty the entries, and flush the translations
 *	3. freeze: the page's counts are replaced by zero in one compare-and-swap, if they are just those of the entries and the
 *	   cache's; somebody with another reference (a pin, a system call at work on the page, a gather not flushed) makes it fail
 *	4. copy; the page's place in the cache goes to the new page
 *	5. store the entries again, with the new frame, and let go of the locks
 *
 * A fault meanwhile finds an empty entry, prepares what an empty entry needs, takes the table's lock and sees that the entry is not
 * empty: it backs out and the access is tried again. So nobody needs to know a kind of entry that says "moving": the wait is that for the
 * lock. Nothing is lost: writes before the flush are in the old page before it is copied, there are none after the flush, and accessed and dirty bits are in
 * the entries, taken away and given back whole. If step 3 fails the old entries are stored again.
 *
 * Several table locks of one level are taken by trying, a bounded number of times: with no order among them nobody may wait.
 * Held above them are anon_group->lock, or rmap_lock (tried) and mapping->lock. The price of this scheme is that all tables of the
 * page are locked for as long as a copy takes (1 us, a huge page 100 us), and that a page in more than MAX_LOCKS tables stays where it is.
 *
 * Nothing holds a reference to a page that is only looked at, so identity needs an argument. Anonymous: the group
 * is read first, then the page is seen mapped, anonymous and of this group; a mapped page's group is alive, and the group's memory is type-stable in
 * an RCU section. Page cache: a mapping is freed a grace period after its pages left it, and they leave under its lock; we hold that lock
 * when we look whether the page is in it.
 */
#include <mm/migrate.h>

#include <kernel/rcu.h>
#include <lib/string.h>
#include <mm/pagedebug.h>
#include <mm/vmstat.h>
#include <mm/zone.h>
#include "lru.h"
#include "pool.h"
#include "run.h"

#define MAX_LOCKS 64
#define MAX_ENTRIES 1024 /* a huge page mapped in parts by two address spaces */
#define LOCK_TRIES 200

struct mig_entry {
	pte_t *entry, old;
	struct mm *mm;
	u64 addr;
};

struct migration {
	struct page *p;
	unsigned n, nlocks;
	bool refuse; /* found something that stays where it is */
	spinlock_t *locks[MAX_LOCKS];
	struct mig_entry e[MAX_ENTRIES];
};

struct migration *migration_alloc(void)
{
	return kvmalloc(sizeof(struct migration), GFP_KERNEL);
}

void migration_free(struct migration *m)
{
	kvfree(m);
}

bool page_movable(const struct page *p)
{
	enum page_type t = page_type(p);
	u64 stays = 1ull << PG_HUGETLB | 1ull << PG_TAIL | 1ull << PG_WRITEBACK;

	if (READ_ONCE(p->flags) & stays || READ_ONCE(p->private))
		return false;
	/* PG_PRIVATE1 of a file's page: secret memory */
	return (t == PT_ANON && READ_ONCE(p->mapcount) > 0) || (t == PT_FILE && READ_ONCE(p->mapping) && !page_flag(p, PG_PRIVATE1));
}

/* --- finding and locking the entries --- */

static bool lock_table(struct migration *m, spinlock_t *lock)
{
	for (unsigned i = 0; i < m->nlocks; i++)
		if (m->locks[i] == lock)
			return true;
	if (m->nlocks == MAX_LOCKS)
		return false;
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (spin_trylock(lock)) {
			m->locks[m->nlocks++] = lock;
			return true;
		}
		spin_poll(); /* the owner may wait for our answer to a shootdown */
	}
	return false;
}

static void unlock_tables(struct migration *m)
{
	while (m->nlocks)
		spin_unlock(m->locks[--m->nlocks]);
}

static bool note_entry(struct migration *m, struct vma *v, u64 addr, pte_t *entry, pte_t e)
{
	if (m->n == MAX_ENTRIES || v->flags & (VM_SECRET | VM_PFNMAP) || !(v->flags & VM_HUGETLB) != !page_flag(m->p, PG_HUGETLB)) {
		m->refuse = true;
		return false;
	}
	m->e[m->n++] = (struct mig_entry){ entry, e, v->mm, addr };
	return true;
}

/* The entry of one address, if it maps the page. False: a lock cannot be had. */
static bool collect_at(struct migration *m, struct vma *v, u64 addr)
{
	pmd_t *pmd = pt_pmd(v->mm, addr), e;
	pte_t *entry;

	if (!pmd)
		return true;
	e = pte_read(pmd);
	if (pmd_huge(e)) {
		if (pte_frame(e) != m->p || addr & ~PMD_MASK)
			return true;
		if (!lock_table(m, pt_lock_of(pmd)))
			return false;
		e = pte_read(pmd);
		if (pmd_huge(e))
			return pte_frame(e) != m->p || note_entry(m, v, addr, pmd, e);
	}
	if (!pmd_has_table(e))
		return true;
	entry = table_of(e) + pte_index(addr);
	e = pte_read(entry);
	/* an entry that changes now is missed here, and then the counts do not agree */
	if (!pte_has_page(e) || page_head(pte_frame(e)) != m->p)
		return true;
	if (!lock_table(m, pt_lock_of(entry)))
		return false;
	e = pte_read(entry);
	return !pte_has_page(e) || page_head(pte_frame(e)) != m->p || note_entry(m, v, addr, entry, e);
}

static bool collect_vma(struct migration *m, struct vma *v, u64 n)
{
	u64 index = m->p->index, first = max(index, v->pgoff), last = min(index + n, v->pgoff + npages_of(v));

	for (; first < last; first++)
		if (!collect_at(m, v, v->start + ((first - v->pgoff) << PAGE_SHIFT)))
			return false;
	return true;
}

static bool collect_file_vma(struct rmap_walk *w, struct vma *v, struct page *p, u64 n)
{
	(void)p;
	return collect_vma(w->arg, v, n);
}

/* --- the move itself. => all tables locked --- */

/* One flush for neighbours in one address space. */
static void flush_entries(const struct migration *m)
{
	for (unsigned i = 0; i < m->n;) {
		const struct mig_entry *e = &m->e[i];
		bool huge = pmd_huge(e->old);
		u64 size = huge ? PMD_SIZE : PAGE_SIZE, end = e->addr + size;

		for (i++; i < m->n && m->e[i].mm == e->mm && m->e[i].addr == end && pmd_huge(m->e[i].old) == huge; i++)
			end += size;
		tlb_flush_range(e->mm, e->addr, end, huge ? PMD_SHIFT : PAGE_SHIFT);
	}
}

static void empty_entries(struct migration *m)
{
	for (unsigned i = 0; i < m->n; i++)
		m->e[i].old = pte_get_and_clear(m->e[i].entry);
	if (m->n)
		flush_entries(m);
}

static void store_entries(struct migration *m, u64 from, u64 to)
{
	for (unsigned i = 0; i < m->n; i++) {
		pte_t old = m->e[i].old;

		pte_set(m->e[i].entry, (pte_t){ (old.v & ~PTE_ADDR_MASK) | (pte_pa(old) - from + to) });
	}
}

#define FLAGS_MOVED (1ull << PG_DIRTY | 1ull << PG_UPTODATE | 1ull << PG_REFERENCED | 1ull << PG_SWAPBACKED)

/* The new page becomes what the old one is. */
static void take_identity(struct page *to, struct page *p, s32 refs, s32 maps)
{
	page_set_type(to, page_type(p));
	to->flags |= p->flags & FLAGS_MOVED;
	to->mapping = p->mapping; /* or the group: one field */
	to->index = p->index;
	to->private = 0;
	to->mapcount = maps;
	lru_moved(p, to);
	to->refcount = refs;
}

/* p's counts are zero and nothing leads to it. Straight to the zone: who moves pages wants the frames. */
static void free_moved(struct page *p)
{
	unsigned order = page_flag(p, PG_HEAD) ? page_order(p) : 0;

	p->mapping = NULL;
	p->private = 0;
	p->flags &= PG_HOME_MASK | PG_MT_MASK;
	if (unlikely(page_debug))
		page_debug_free(p, order, __builtin_return_address(0));
	zone_free_block(p, order);
}

/* Steps 2 to 5. @cache: references that are not an entry's (the cache's own, of @map). */
static int move_locked(struct migration *m, struct page *to, struct mapping *map)
{
	struct page *p = m->p;
	unsigned n = m->n, npages = page_flag(p, PG_HEAD) ? 1u << page_order(p) : 1;
	s32 refs = (s32)n + (map ? 1 : 0);
	u64 want = (u64)(u32)refs | (u64)n << 32, from = page_to_phys(p);

	if (READ_ONCE(p->private))
		return -EBUSY;
	if (READ_ONCE(*page_counts(p)) != want)
		return -EAGAIN;
	empty_entries(m);
	if (!__atomic_compare_exchange_n(page_counts(p), &want, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
		store_entries(m, from, from);
		return -EAGAIN;
	}
	/* commit: no failure below */
	for (unsigned i = 0; i < npages; i++)
		copy_page(page_address(to + i), page_address(p + i));
	take_identity(to, p, refs, (s32)n);
	if (map)
		xa_replace(&map->pages, to->index, to);
	store_entries(m, from, page_to_phys(to));
	return 0;
}

static int migrate_anon(struct migration *m, struct page *to, u64 n)
{
	struct page *p = m->p;
	struct anon_group *g;
	struct vma *v;
	int err = -EAGAIN;

	rcu_read_lock();
	g = READ_ONCE(p->anon);
	smp_rmb(); /* see the theory: the group before the proof that it was the page's */
	if (READ_ONCE(p->mapcount) <= 0 || page_type(p) != PT_ANON || READ_ONCE(p->anon) != g) {
		rcu_read_unlock();
		return -ENOENT;
	}
	spin_lock(&g->lock);
	if (READ_ONCE(p->mapcount) > 0 && READ_ONCE(p->anon) == g) {
		list_for_each_entry(v, &g->vmas, anon_link)
			if (!collect_vma(m, v, n))
				break;
		/* entries found are entries of p, so p is what it was */
		err = m->refuse ? -EBUSY : m->n ? move_locked(m, to, NULL) : -EAGAIN;
		unlock_tables(m);
	}
	spin_unlock(&g->lock);
	rcu_read_unlock();
	return err;
}

/* May pages of this mapping be moved by copying them? */
static bool mapping_moves(const struct mapping *map)
{
	/* of a pool's file, free_page counts what leaves it */
	return map->flags == MAPPING_HUGE || (!(map->flags & ~(u32)MAPPING_SHMEM) && !(map->ops && map->ops->free_page));
}

static int migrate_file_locked(struct migration *m, struct page *to, struct mapping *map, u64 n)
{
	struct page *p = m->p;
	struct rmap_walk w = { .arg = m };
	int err = -EAGAIN;

	if (page_type(p) != PT_FILE || p->mapping != map || xa_load(&map->pages, p->index) != p)
		return -ENOENT;
	if (!mapping_moves(map))
		return -EBUSY;
	/* nobody fills or writes it back */
	if ((!page_flag(p, PG_UPTODATE) && map->ops) || page_flag(p, PG_LOCKED) || page_flag(p, PG_WRITEBACK) || page_flag(p, PG_HWPOISON))
		return -EAGAIN;
	if (!down_read_trylock(&map->rmap_lock))
		return -EAGAIN;
	if (page_flag(p, PG_RUN) && run_open_locked(map, p)) {
		up_read(&map->rmap_lock);
		return -EAGAIN;
	}
	mapping_walk_vmas_locked(map, p, &w, collect_file_vma, n);
	err = m->refuse ? -EBUSY : move_locked(m, to, map);
	unlock_tables(m);
	up_read(&map->rmap_lock);
	return err;
}

static int migrate_file(struct migration *m, struct page *to, u64 n)
{
	struct page *p = m->p;
	struct mapping *map;
	int err = -ENOENT;

	rcu_read_lock();
	map = READ_ONCE(p->mapping);
	smp_rmb();
	if (map && page_type(p) == PT_FILE && READ_ONCE(p->mapping) == map && READ_ONCE(p->refcount) > 0) {
		spin_lock(&map->lock);
		err = migrate_file_locked(m, to, map, n);
		spin_unlock(&map->lock);
	}
	rcu_read_unlock();
	return err;
}

/* As free_moved, but the frame stays with us for ever. */
static void retire(struct page *p)
{
	p->mapping = NULL;
	p->flags = (p->flags & (PG_HOME_MASK | PG_MT_MASK)) | (u64)PT_KERNEL << PG_TYPE_SHIFT | 1ull << PG_HWPOISON;
	__atomic_store_n(&p->refcount, 1, __ATOMIC_RELEASE);
}

static int move_page(struct migration *m, struct page *p, struct page *to, void (*dispose)(struct page *old))
{
	unsigned order = page_flag(to, PG_HEAD) ? page_order(to) : 0;
	int err = -ENOENT;

	m->p = p;
	m->n = m->nlocks = 0;
	m->refuse = false;
	if (page_flag(p, PG_HUGETLB) != page_flag(to, PG_HUGETLB))
		return -EBUSY;
	if ((page_flag(p, PG_HEAD) ? page_order(p) : 0) != order)
		return -EAGAIN;
	if (page_type(p) == PT_ANON)
		err = migrate_anon(m, to, 1ull << order);
	else if (page_type(p) == PT_FILE)
		err = migrate_file(m, to, 1ull << order);
	if (!err)
		dispose(p);
	count_vm_events(err ? PGMIGRATE_FAIL : PGMIGRATE_SUCCESS, 1ull << order);
	return err;
}

int migrate_page(struct migration *m, struct page *p, struct page *to)
{
	return move_page(m, p, to, free_moved);
}

/* The pool knows what to do with the old page. */
static void leave(struct page *p)
{
	(void)p;
}

int migrate_pool_page(struct migration *m, struct page *p, struct page *to)
{
	return move_page(m, p, to, leave);
}

int migrate_page_retire(struct migration *m, struct page *p, struct page *to)
{
	return move_page(m, p, to, retire);
}

int migrate_to_node(struct migration *m, struct page *p, int node, gfp_t gfp)
{
	unsigned order = page_flag(p, PG_HEAD) ? page_order(p) : 0;
	struct page *to;
	int err;

	if (page_flag(p, PG_HUGETLB))
		return hugetlb_migrate(m, p, node);
	to = zones_alloc(node, gfp | GFP_MOVABLE | GFP_THISNODE | GFP_NOWARN | (order ? GFP_COMP : 0), order);
	if (!to)
		return -ENOMEM;
	err = migrate_page(m, p, to);
	if (err)
		page_put(to);
	return err;
}
