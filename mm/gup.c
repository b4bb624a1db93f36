/*
 * User memory by page: reading and writing other address spaces, pinning, and the identity of a word.
 *
 * A pin is a reference plus one in page->private of the head, both taken under the lock of the table whose entry led to the page. So
 * "refcount - 1 == pins and mapcount == 1" tells that a page is still ours alone, and a write through the mapping goes on hitting the pinned page. Who
 * holds a pin may use the page without any lock, and sees what the owner of the mapping writes until the mapping goes:
 *
 *	fork			the child gets a copy of a pinned anonymous page (or of each part of a huge one); the parent keeps it, writable
 *	copy on write		a pinned page with one mapping is made writable, not copied
 *	migration, compaction	leave it where it is (private is looked at before and the counts are compared after its entries are taken out)
 *	collapse, split		not into or out of a huge page: an entry may become 512, the page stays one
 *	MADV_FREE, reclaim	not marked, not taken
 *	unmap, MADV_DONTNEED	the entry goes, the page stays with whoever pinned it
 *
 * Short pins end with the call that took them: mm_access (process_vm_readv, ptrace, /proc/PID/mem), mm_node_of. Long ones (pages vmsplice put
 * into a pipe) would keep a zone from being emptied, so the page leaves zone Movable first; and they are pins of the mapping's own copy
 * where it may write, because a page shared after fork would be replaced by the first write.
 * Writing through a pin makes the page dirty when it is released. Pins of the zero pages are counted as others, though they keep nothing from happening; the kernel's
 * own pages (vDSO) are referenced, not counted.
 *
 * Books: nr_foll_pin_acquired and _released count pins (not pages) of counted pages; their difference is the sum over all pages (pagecheck.c).
 */
#include <lib/string.h>
#include <mm/migrate.h>
#include <mm/zone.h>
#include "lru.h"

#define GET_WRITE 1u
#define GET_FORCE 2u
#define GET_PIN 4u
#define GET_LONG 8u

/* --- pins --- */

/* Is a pin of this page counted? What a page is does not change while it is referenced. */
static inline bool pin_counts(const struct page *head)
{
	enum page_type t = page_type(head);

	return t == PT_ANON || t == PT_FILE || unlikely(page_is_zeros(head));
}

static void pin_head(struct page *head, bool longterm)
{
	if (!pin_counts(head))
		return;
	__atomic_fetch_add(&head->private, longterm ? PIN_ONE_LONG : PIN_ONE, __ATOMIC_RELAXED);
	count_vm_event(NR_FOLL_PIN_ACQUIRED);
	if (longterm)
		mod_vm_state(NR_PINNED_LONG, 1);
}

static void unpin_head(struct page *head, bool longterm)
{
	if (pin_counts(head)) {
		ASSERT(longterm ? page_pins_long(head) : page_pins(head));
		__atomic_fetch_sub(&head->private, longterm ? PIN_ONE_LONG : PIN_ONE, __ATOMIC_RELEASE);
		count_vm_event(NR_FOLL_PIN_RELEASED);
		if (longterm)
			mod_vm_state(NR_PINNED_LONG, -1);
	}
	page_put(head);
}

void mm_pin_again(struct page *p, unsigned how)
{
	struct page *head = page_head(p);

	page_get(head);
	pin_head(head, how & PIN_LONGTERM);
}

void mm_unpin_pages(struct page **pages, u64 npages, unsigned how)
{
	for (u64 i = 0; i < npages; i++) {
		struct page *head = page_head(pages[i]);

		if (how & PIN_WRITE && !page_flag(head, PG_DIRTY))
			page_set_flag(head, PG_DIRTY);
		unpin_head(head, how & PIN_LONGTERM);
	}
}

bool pinned_parts_ours(const pte_t *entry, const struct page *head)
{
	const pte_t *table = (const pte_t *)((u64)entry & PAGE_MASK);
	s32 n = READ_ONCE(head->mapcount), here = 0;

	if (!page_pins(head) || (u32)READ_ONCE(head->refcount) != (u32)n + page_pins(head))
		return false;
	for (unsigned i = 0; i < PTRS; i++) {
		pte_t e = pte_read(&table[i]);

		here += pte_has_page(e) && page_head(pte_frame(e)) == head;
	}
	return here == n;
}

/* --- finding the page --- */

/* May an entry be used as it is? A forced write is content with a private copy the entry itself may not write. */
static bool entry_usable(const struct vma *v, pte_t e, unsigned how)
{
	struct page *head;

	if (!pte_present(e) && !(how & GET_FORCE && pte_mapped(e)))
		return false;
	if (!(how & GET_WRITE) || pte_write(e))
		return true;
	if (!(how & GET_FORCE) || !pte_has_page(e) || v->flags & VM_SHARED)
		return false;
	head = page_head(pte_frame(e));
	return page_type(head) == PT_ANON && page_exclusive(head);
}

/* The page behind @addr, referenced (pinned), if the tables allow the access now. NULL: fault first. */
static struct page *take_mapped(struct vma *v, u64 addr, unsigned how)
{
	u64 size = vma_page_size(v);
	pmd_t *pmd = size == PAGE_SIZE ? pt_pmd(v->mm, addr) : hugetlb_entry(v, addr & ~(size - 1));
	struct page *p = NULL, *head;
	spinlock_t *lock;
	bool huge;
	pte_t *entry, e;

	if (!pmd)
		return NULL;
	e = pte_read(pmd);
	huge = pmd_huge(e);
	if (!huge && !pmd_has_table(e))
		return NULL;
	entry = huge ? pmd : table_of(e) + pte_index(addr);
	lock = pt_lock_of(entry);
	spin_lock(lock);
	e = pte_read(entry);
	if (huge == pmd_huge(e) || !huge) {
		/* the kernel's own pages (vDSO) can be read: debuggers want its symbols */
		if (entry_usable(v, e, how) &&
		    (pte_has_page(e) || huge || pte_frame(e) == zero_page || (v->ops && !(how & (GET_WRITE | GET_LONG))))) {
			p = pte_frame(e) + (huge ? (addr & (max(size, PMD_SIZE) - 1)) >> PAGE_SHIFT : 0);
			head = page_head(p);
			page_get(head);
			if (how & GET_PIN)
				pin_head(head, how & GET_LONG);
			if (how & GET_WRITE && page_type(head) == PT_FILE && !page_flag(head, PG_DIRTY))
				page_set_flag(head, PG_DIRTY);
			if (how & GET_WRITE && page_type(head) == PT_ANON && unlikely(page_flag(head, PG_LAZYFREE)))
				lru_del(head); /* the entry's dirty bit will not tell */
		}
	}
	spin_unlock(lock);
	return p;
}

/* May the VMA be accessed like this? */
static bool vma_allows(const struct vma *v, unsigned how)
{
	if (v->flags & (VM_IO | VM_PFNMAP | VM_SECRET))
		return false;
	if (how & GET_WRITE) {
		if (v->flags & VM_WRITE)
			return true;
		return how & GET_FORCE && vm_private_write(v->flags);
	}
	if (v->flags & (VM_READ | VM_WRITE | VM_EXEC))
		return true;
	return how & GET_FORCE && v->flags & VM_MAYREAD;
}

/* Moves a page out of zone Movable, for good. 0, or -ENOMEM when it cannot go. */
static int leave_movable(struct page *head)
{
	unsigned order = page_flag(head, PG_HEAD) ? page_order(head) : 0;
	struct page *to = alloc_pages(GFP_WAIT | GFP_NOWARN | (order ? GFP_COMP : 0), min(order, (unsigned)MAX_ORDER));
	struct migration *m = to ? migration_alloc() : NULL;
	int err = -ENOMEM;

	if (m)
		err = migrate_page(m, head, to);
	if (err && to)
		page_put(to);
	if (m)
		migration_free(m);
	return err == -EAGAIN || err == -ENOENT || !err ? 0 : -ENOMEM; /* it may be another page by now: look again */
}

/* A page just pinned for long may have to go elsewhere first: then it is released, and 1; or -ENOMEM. */
static int check_zone(struct page *p)
{
	struct page *head = page_head(p);

	if (likely(page_zone_nr(head) != ZONE_MOVABLE) || !pin_counts(head) || page_is_zeros(head))
		return 0;
	unpin_head(head, true);
	return leave_movable(head) ?: 1;
}

/* A referenced page of user memory, or NULL with *err. The reference is on the head. => m read */
static struct page *get_user_page(struct mm *mm, u64 addr, unsigned how, int *err)
{
	struct fault f = { .addr = addr & PAGE_MASK, .real_addr = addr, .gfp = GFP_USER,
			   .flags = FAULT_REMOTE | (how & GET_WRITE ? FAULT_WRITE : 0) };
	struct page *p;

	*err = -EFAULT;
	f.vma = vma_at(mm, addr);
	if (!f.vma || !vma_allows(f.vma, how))
		return NULL;
	/* a long pin stands for an access of the running thread, whose keys count; a look into another process does not (pkeys(7)) */
	if (how & GET_LONG && !pkey_permits(f.vma, how & GET_WRITE))
		return NULL;
	if (how & GET_LONG && f.vma->flags & VM_WRITE && vm_private_write(f.vma->flags)) {
		how |= GET_WRITE;
		f.flags |= FAULT_WRITE;
	}
	for (int i = 0; i < 64; i++) {
		int r;

		p = take_mapped(f.vma, f.addr, how);
		if (p) {
			r = how & GET_LONG ? check_zone(p) : 0;
			if (likely(!r))
				return p;
			if (r > 0)
				continue;
			*err = r;
			return NULL;
		}
		r = handle_fault(&f);
		if (unlikely(r == FR_UNLOCKED)) {
			down_read(&mm->lock);
			f.vma = vma_at(mm, addr);
			if (!f.vma || !vma_allows(f.vma, how) || fatal_signal_pending_current())
				return NULL;
			i--; /* waiting is no attempt */
			continue;
		}
		if (r != FR_OK && r != FR_RETRY) {
			*err = r == FR_HWPOISON ? -EFAULT : fault_to_errno(r);
			return NULL;
		}
	}
	return NULL;
}

/* Nobody maps @addr: below a stack, where exec writes arguments and a debugger pushes frames, it grows. => m read, left so */
static bool grow_below(struct mm *mm, u64 addr)
{
	struct vma *s = vma_find(mm, addr);
	bool grown;

	if (addr >= TASK_SIZE_MAX || !s || !(s->flags & VM_GROWSDOWN))
		return false;
	up_read(&mm->lock);
	down_write(&mm->lock);
	s = vma_find(mm, addr);
	grown = s && s->flags & VM_GROWSDOWN && !stack_expand(mm, s, addr);
	mm_end_write(mm);
	downgrade_write(&mm->lock);
	return grown;
}

s64 mm_access(struct mm *mm, u64 addr, void *buf, u64 len, bool write, bool force)
{
	unsigned how = GET_PIN | (write ? GET_WRITE : 0) | (force ? GET_FORCE : 0);
	u64 done = 0;
	int err = -EFAULT;

	down_read(&mm->lock);
	while (done < len) {
		u64 a = addr + done, off = a & ~PAGE_MASK, n = min(PAGE_SIZE - off, len - done);
		struct page *p;
		void *at;

		if (!vma_at(mm, a) && grow_below(mm, a))
			continue;
		p = get_user_page(mm, a, how, &err);
		if (!p)
			break;
		at = (u8 *)page_address(p) + off;
		if (write)
			memcpy(at, (u8 *)buf + done, n);
		else
			memcpy((u8 *)buf + done, at, n);
		unpin_head(page_head(p), false);
		done += n;
	}
	up_read(&mm->lock);
	return done ? (s64)done : len ? err : 0;
}

s64 mm_pin_pages(struct mm *mm, u64 addr, u64 npages, unsigned how, struct page **pages)
{
	unsigned get = GET_PIN | (how & PIN_WRITE ? GET_WRITE : 0) | (how & PIN_LONGTERM ? GET_LONG : 0);
	int err = 0;
	u64 i;

	down_read(&mm->lock);
	for (i = 0; i < npages; i++) {
		pages[i] = get_user_page(mm, addr + (i << PAGE_SHIFT), get, &err);
		if (!pages[i])
			break;
	}
	up_read(&mm->lock);
	return i ? (s64)i : err;
}

int mm_mem_key(struct mm *mm, u64 addr, bool shared, struct mem_key *k)
{
	struct vma *v;

	*k = (struct mem_key){ (u64)mm, addr & PAGE_MASK, addr & ~PAGE_MASK };
	if (!shared)
		return 0;
	down_read(&mm->lock);
	v = vma_at(mm, addr);
	if (v && v->mapping && v->flags & VM_MAYSHARE) {
		k->a = (u64)v->mapping;
		k->b = vma_index(v, addr);
	}
	up_read(&mm->lock);
	return v && v->flags & (VM_READ | VM_WRITE) ? 0 : -EFAULT;
}
