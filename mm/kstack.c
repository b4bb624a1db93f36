/*
 * kstack.c - kernel stacks.
 *
 * A slot is 32 KiB of addresses: the upper 16 KiB are the stack, the lower 16 KiB stay unmapped,
 * so any address tells by its low bits whether it lies in a stack or below one.  Mapping and
 * unmapping costs page-table edits and a shootdown, so a stack that is given back stays mapped:
 * on a list of its CPU (no lock), then on a shared list, linked through its lowest word.  Memory
 * pressure has the CPUs put theirs on the shared list (PCP_DRAIN_STACKS) and unmaps that; such slots
 * are remembered for the next new stack.
 */
#include <mm/kstack.h>

#include <lib/assert.h>
#include <lib/list.h>
#include <lib/seq_buf.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <mm/vmstat.h>
#include <mm/zone.h>
#include <x86/pgtable.h>

#define PER_CPU		16
#define STACK_PAGES	(KSTACK_SIZE / PAGE_SIZE)

struct kstack_list {
	u32 count;
	void *stack[PER_CPU];
};
static DEFINE_PER_CPU(struct kstack_list, kstacks);

struct free_slot {
	struct free_slot *next;
	u64 slot;
};

static DEFINE_SPINLOCK(stack_lock);
static void *shared;			/* (stack_lock) mapped stacks nobody uses */
static u64 nr_shared, nr_mapped;	/* (stack_lock) */
static struct free_slot *free_slots;	/* (stack_lock) not mapped */
static u64 next_slot;			/* (stack_lock) */

static void *stack_of(u64 slot)
{
	return (void *)(KSTACK_AREA + slot * KSTACK_SLOT + KSTACK_SIZE);
}

bool kstack_guard_hit(u64 va)
{
	return va >= KSTACK_AREA && va < KSTACK_AREA_END &&
	       (va - KSTACK_AREA) % KSTACK_SLOT < KSTACK_SIZE;
}

static void unmap_pages(void *stack, u64 npages)
{
	struct page *pages[STACK_PAGES];

	for (u64 i = 0; i < npages; i++)
		pages[i] = phys_to_page(kva_to_phys((u64)stack + (i << PAGE_SHIFT)));
	if (npages)
		kunmap_range((u64)stack, npages << PAGE_SHIFT, false);
	for (u64 i = 0; i < npages; i++)
		page_put(pages[i]);
}

/* One block where there is one, else page by page. */
static bool map_stack(void *stack)
{
	struct page *p = alloc_pages(GFP_KERNEL | GFP_NOWARN, 2);

	BUILD_BUG_ON(STACK_PAGES != 4);
	if (p) {
		if (!kmap_range((u64)stack, page_to_phys(p), KSTACK_SIZE, PROT_KERNEL, false))
			return true;
		free_pages(p, 2);
		return false;
	}
	for (u64 i = 0; i < STACK_PAGES; i++) {
		p = alloc_page(GFP_KERNEL);
		if (p && !kmap_range((u64)stack + (i << PAGE_SHIFT), page_to_phys(p), PAGE_SIZE,
				     PROT_KERNEL, false))
			continue;
		if (p)
			page_put(p);
		unmap_pages(stack, i);
		return false;
	}
	return true;
}

static void slot_put(u64 slot, struct free_slot *f)
{
	f->slot = slot;
	spin_lock(&stack_lock);
	f->next = free_slots;
	free_slots = f;
	spin_unlock(&stack_lock);
}

static noinline void *kstack_new(void)
{
	struct free_slot *f;
	void *stack;
	u64 slot;

	spin_lock(&stack_lock);
	stack = shared;
	if (stack) {
		shared = *(void **)stack;
		nr_shared--;
		spin_unlock(&stack_lock);
		return stack;
	}
	f = free_slots;
	if (f) {
		free_slots = f->next;
		slot = f->slot;
	} else {
		slot = next_slot++;
	}
	nr_mapped++;
	spin_unlock(&stack_lock);
	/* The note stays at hand: a slot that cannot be mapped must not be lost. */
	if (!f)
		f = kmalloc(sizeof(*f), GFP_KERNEL);
	if (f && slot < (KSTACK_AREA_END - KSTACK_AREA) / KSTACK_SLOT && map_stack(stack_of(slot))) {
		mod_vm_state(NR_KSTACK_PAGES, STACK_PAGES);
		kfree(f);
		return stack_of(slot);
	}
	spin_lock(&stack_lock);
	nr_mapped--;
	spin_unlock(&stack_lock);
	if (f)
		slot_put(slot, f);
	return NULL;
}

void *kstack_alloc(void)
{
	struct kstack_list *l;
	void *stack = NULL;

	if (fail_alloc())
		return NULL;
	preempt_disable();
	l = this_cpu_ptr(&kstacks);
	if (likely(l->count))
		stack = l->stack[--l->count];
	preempt_enable();
	return likely(stack) ? stack : kstack_new();
}

void kstack_free(void *stack)
{
	struct kstack_list *l;

	ASSERT(!kstack_guard_hit((u64)stack) && IS_ALIGNED((u64)stack, KSTACK_SIZE));
	preempt_disable();
	l = this_cpu_ptr(&kstacks);
	if (likely(l->count < PER_CPU && !in_interrupt())) {
		l->stack[l->count++] = stack;
		preempt_enable();
		return;
	}
	preempt_enable();
	spin_lock(&stack_lock);
	*(void **)stack = shared;
	shared = stack;
	nr_shared++;
	spin_unlock(&stack_lock);
}

void kstack_drain_local(void)
{
	struct kstack_list *l = this_cpu_ptr(&kstacks);

	spin_lock(&stack_lock);
	while (l->count) {
		void *stack = l->stack[--l->count];

		*(void **)stack = shared;
		shared = stack;
		nr_shared++;
	}
	spin_unlock(&stack_lock);
}

u64 kstack_reap(void)
{
	u64 n = 0;

	for (;;) {
		struct free_slot *f;
		void *stack;

		spin_lock(&stack_lock);
		stack = shared;
		if (stack) {
			shared = *(void **)stack;
			nr_shared--;
			nr_mapped--;
		}
		spin_unlock(&stack_lock);
		if (!stack)
			return n;
		/* Without memory for the note of the slot the stack stays. */
		f = kmalloc(sizeof(*f), GFP_ATOMIC);
		if (!f) {
			spin_lock(&stack_lock);
			*(void **)stack = shared;
			shared = stack;
			nr_shared++;
			nr_mapped++;
			spin_unlock(&stack_lock);
			return n;
		}
		unmap_pages(stack, STACK_PAGES);
		mod_vm_state(NR_KSTACK_PAGES, -(s64)STACK_PAGES);
		slot_put(((u64)stack - KSTACK_AREA) / KSTACK_SLOT, f);
		n += STACK_PAGES;
	}
}

void kstack_info_show(struct seq_buf *m)
{
	seq_printf(m, "0x%llx-0x%llx %8llu kernel stacks=%llu free=%llu\n", KSTACK_AREA,
		   KSTACK_AREA_END, READ_ONCE(next_slot) * KSTACK_SLOT, READ_ONCE(nr_mapped),
		   READ_ONCE(nr_shared));
}
