/*
 * User memory by page: reading and writing other address spaces, pinning, and the identity of a word.
 *
 * A pin is a reference plus one in page->private, both taken under the lock of the table whose entry led to the page. So
 * "refcount - 1 == pins and mapcount == 1" tells that a page is still ours alone, and a write through the mapping goes on hitting the pinned page; fork
 * gives the child a copy of a pinned page instead of sharing it; a huge page with pins is not split into pages.
 * Writing through a pin makes the page dirty when it is released.
 */
#include <lib/string.h>
#include "vm.h"

#define GET_WRITE 1u
#define GET_FORCE 2u
#define GET_PIN 4u

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
		    (pte_has_page(e) || pte_frame(e) == zero_page || (v->ops && !(how & (GET_WRITE | GET_PIN))))) {
			p = pte_frame(e) + (huge ? (addr & (max(size, PMD_SIZE) - 1)) >> PAGE_SHIFT : 0);
			head = page_head(p);
			page_get(head);
			if (how & GET_PIN)
				__atomic_fetch_add(&head->private, 1, __ATOMIC_RELAXED);
			if (how & GET_WRITE && page_type(head) == PT_FILE && !page_flag(head, PG_DIRTY))
				page_set_flag(head, PG_DIRTY);
			if (how & GET_WRITE && page_type(head) == PT_ANON && unlikely(page_flag(head, PG_LAZYFREE)))
				page_clear_flag(head, PG_LAZYFREE); /* the entry's dirty bit will not tell */
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
	for (int i = 0; i < 64; i++) {
		int r;

		p = take_mapped(f.vma, f.addr, how);
		if (p)
			return p;
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
			*err = fault_to_errno(r);
			return NULL;
		}
	}
	return NULL;
}

s64 mm_access(struct mm *mm, u64 addr, void *buf, u64 len, bool write, bool force)
{
	unsigned how = (write ? GET_WRITE : 0) | (force ? GET_FORCE : 0);
	u64 done = 0;
	int err = -EFAULT;

	down_read(&mm->lock);
	while (done < len) {
		u64 a = addr + done, off = a & ~PAGE_MASK, n = min(PAGE_SIZE - off, len - done);
		struct vma *v = vma_at(mm, a);
		struct page *p;
		void *at;

		if (!v && a < TASK_SIZE_MAX) {
			/* below a stack: exec writes arguments there, a debugger pushes frames */
			struct vma *s = vma_find(mm, a);

			if (s && s->flags & VM_GROWSDOWN) {
				bool grown;

				up_read(&mm->lock);
				down_write(&mm->lock);
				s = vma_find(mm, a);
				grown = s && s->flags & VM_GROWSDOWN && !stack_expand(mm, s, a);
				mm_end_write(mm);
				downgrade_write(&mm->lock);
				if (grown)
					continue;
			}
		}
		p = get_user_page(mm, a, how, &err);
		if (!p)
			break;
		at = (u8 *)page_address(p) + off;
		if (write)
			memcpy(at, (u8 *)buf + done, n);
		else
			memcpy((u8 *)buf + done, at, n);
		page_put(page_head(p));
		done += n;
	}
	up_read(&mm->lock);
	return done ? (s64)done : len ? err : 0;
}

s64 mm_pin_pages(struct mm *mm, u64 addr, u64 npages, bool write, struct page **pages)
{
	unsigned how = GET_PIN | (write ? GET_WRITE : 0);
	int err = 0;
	u64 i;

	down_read(&mm->lock);
	for (i = 0; i < npages; i++) {
		pages[i] = get_user_page(mm, addr + (i << PAGE_SHIFT), how, &err);
		if (!pages[i])
			break;
	}
	if (i)
		__atomic_fetch_add(&mm->pinned_vm, i, __ATOMIC_RELAXED);
	up_read(&mm->lock);
	return i ? (s64)i : err;
}

void mm_unpin_pages(struct page **pages, u64 npages, bool dirty)
{
	for (u64 i = 0; i < npages; i++) {
		struct page *head = page_head(pages[i]);

		if (dirty && !page_flag(head, PG_DIRTY))
			page_set_flag(head, PG_DIRTY);
		__atomic_fetch_sub(&head->private, 1, __ATOMIC_RELEASE);
		page_put(head);
	}
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
