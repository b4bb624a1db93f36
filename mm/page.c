/*
 * page.c - references, page locks, and allocation in the forms the rest of the kernel wants.
 *
 * The page lock is a bit with hashed wait queues: few pages are ever waited for.  PG_WAITERS says
 * that somebody may be asleep, so that unlocking an uncontended page looks at no queue.  A waiter
 * sets PG_WAITERS, then tries the lock again, then sleeps; the unlocker clears the lock in the
 * same atomic operation that reads PG_WAITERS, so one of the two sees the other.
 */
#include <mm/page.h>

#include <kernel/wait.h>
#include <lib/assert.h>
#include <lib/bitops.h>
#include <lib/hash.h>
#include <mm/mm.h>
#include <mm/section.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>

#define WAIT_BITS 6
static wait_queue_t page_waits[1 << WAIT_BITS];

static wait_queue_t *wait_queue_of(struct page *p)
{
	return &page_waits[hash_ptr(p, WAIT_BITS)];
}

bool page_get_unless_zero(struct page *p)
{
	s32 c = READ_ONCE(p->refcount);

	do {
		if (c <= 0)
			return false;
	} while (!__atomic_compare_exchange_n(&p->refcount, &c, c + 1, true, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	return true;
}

bool page_trylock(struct page *p)
{
	return !page_test_and_set_flag(p, PG_LOCKED);
}

static noinline void page_lock_slow(struct page *p)
{
	wait_queue_t *q = wait_queue_of(p);
	DEFINE_WAIT(w);

	for (;;) {
		prepare_to_wait(q, &w, TASK_UNINTERRUPTIBLE);
		page_set_flag(p, PG_WAITERS);
		smp_mb();	/* pairs with the locked operation of page_unlock */
		if (page_trylock(p))
			break;
		schedule();
	}
	finish_wait(q, &w);
}

void page_lock(struct page *p)
{
	might_sleep();
	if (unlikely(!page_trylock(p)))
		page_lock_slow(p);
}

void page_unlock(struct page *p)
{
	u64 old;

	ASSERT(page_flag(p, PG_LOCKED));
	old = __atomic_fetch_and(&p->flags, ~(1ull << PG_LOCKED), __ATOMIC_RELEASE);
	if (unlikely(old >> PG_WAITERS & 1)) {
		page_clear_flag(p, PG_WAITERS);
		/* All of them: the queue is shared by pages, and those who still wait set the
		 * flag again. */
		wake_up_all(wait_queue_of(p));
	}
}

void page_waits_init(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(page_waits); i++)
		init_wait_queue(&page_waits[i]);
}

void split_page(struct page *p, unsigned order)
{
	if (!page_flag(p, PG_HEAD))
		return;		/* single pages with references already */
	for (u64 i = 0; i < 1ull << order; i++) {
		p[i].flags &= ~(1ull << PG_HEAD | 1ull << PG_TAIL | 63ull << PG_ORDER_SHIFT);
		p[i].refcount = 1;
	}
}

void join_pages(struct page *p, unsigned order)
{
	u64 home = PG_HOME_MASK | PG_MT_MASK, type = (u64)PT_KERNEL << PG_TYPE_SHIFT;

	for (u64 i = 1; i < 1ull << order; i++) {
		p[i].mapping = NULL;
		p[i].private = 0;
		p[i].head = p;
		/* whoever looks at frames from outside sees a tail with its head */
		__atomic_store_n(&p[i].flags, (p[i].flags & home) | type | 1ull << PG_TAIL, __ATOMIC_RELEASE);
	}
	p->flags = (p->flags & home) | type | 1ull << PG_HEAD | (u64)order << PG_ORDER_SHIFT;
	p->refcount = 1;
}

void *get_free_pages(gfp_t gfp, unsigned order)
{
	struct page *p = alloc_pages(gfp, order);

	return p ? page_address(p) : NULL;
}

void put_free_pages(void *va, unsigned order)
{
	if (va)
		free_pages(virt_to_page(va), order);
}

struct page *page_table_alloc(struct mm *mm, gfp_t gfp)
{
	struct page *p = alloc_pages(gfp | GFP_ZERO, 0);

	/* Before there are page structs the section code marks the page as in use. */
	if (unlikely(!p || !mm_ready))
		return p;
	page_set_type(p, PT_TABLE);
	spin_lock_init(&p->pt_lock);
	p->pt_used = 0;
	p->pt_mm = mm;
	p->pt_va = 0;
	mod_vm_state(NR_PAGETABLE, 1);
	if (mm)
		__atomic_fetch_add(&mm->pgtables_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	return p;
}

void page_table_free(struct page *p)
{
	struct mm *mm = p->pt_mm;

	if (unlikely(page_type(p) == PT_BOOT))
		return;		/* made before there were page structs: stays */
	ASSERT3U(page_type(p), ==, PT_TABLE);
	mod_vm_state(NR_PAGETABLE, -1);
	if (mm)
		__atomic_fetch_sub(&mm->pgtables_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	page_put(p);
}
