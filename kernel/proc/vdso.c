/*
 * The vDSO's kernel half: its pages, the data page, mapping both into new address spaces.
 *
 * The data page is written by whoever changes a clock, serialised by vvar_lock, under an even/odd
 * sequence that user code checks. It holds the scale of the time-stamp counter and what each clock
 * showed at one counter value. The clock's scale is turned inside (vdso_hold, vdso_release): who reads the page sees time go on
 * only when system calls see it, too.
 */
#include <kernel/printk.h>
#include <kernel/random.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/mm.h>
#include <proc/impl.h>
#include <proc/vvar.h>
#include <x86/cpu.h>

extern const char vdso_blob[], vdso_blob_end[];

#define VDSO_PAGES_MAX 2
static struct page *vdso_pages[VDSO_PAGES_MAX], *vvar_page;
static unsigned vdso_npages;
static struct vvar *vvar;
static DEFINE_SPINLOCK(vvar_lock);

static struct page *kernel_page(void)
{
	struct page *p = alloc_page(GFP_KERNEL | GFP_ZERO);

	VERIFY(p);
	return p;
}

void vdso_init(void)
{
	u64 size = vdso_blob_end - vdso_blob;

	vdso_npages = DIV_ROUND_UP(size, PAGE_SIZE);
	VERIFY3U(vdso_npages, <=, VDSO_PAGES_MAX);
	for (unsigned i = 0; i < vdso_npages; i++) {
		vdso_pages[i] = kernel_page();
		memcpy(page_address(vdso_pages[i]), vdso_blob + i * PAGE_SIZE, min(size - i * PAGE_SIZE, PAGE_SIZE));
	}
	vvar_page = kernel_page();
	vvar = page_address(vvar_page);
	vdso_update();
}

u64 vdso_hold(void)
{
	u64 flags;

	spin_lock_irqsave(&vvar_lock, flags);
	if (vvar) {
		WRITE_ONCE(vvar->seq, vvar->seq | 1);
		smp_wmb();
	}
	return flags;
}

static void fill(const struct clock_scale *c)
{
	vvar->mode = c->source == CLOCK_TSC && c->shift <= 32;
	vvar->base_tsc = c->base_count;
	vvar->base_ns[VVAR_MONO] = c->base_ns;
	vvar->base_ns[VVAR_REAL] = c->base_ns + realtime_offset_ns;
	vvar->base_ns[VVAR_TAI] = vvar->base_ns[VVAR_REAL] + tai_offset_ns;
	vvar->base_ns[VVAR_RAW] = c->raw_ns;
	/* the same product as ktime_ns(), so that the two clocks never disagree */
	for (unsigned i = 0; i < VVAR_CLOCKS; i++)
		vvar->mult[i] = vvar->mode ? (u64)(i == VVAR_RAW ? c->raw_mult : c->mult) << (32 - c->shift) : 0;
	smp_wmb();
	if (vvar->mode)
		WRITE_ONCE(vvar->seq, vvar->seq + 1);
}

void vdso_release(u64 flags)
{
	if (vvar)
		fill(clock_scale);
	spin_unlock_irqrestore(&vvar_lock, flags);
}

void vdso_update(void)
{
	vdso_release(vdso_hold());
}

/* Somewhere above the stack, in the same 512 GiB at most, when there is room. 0: anywhere. */
static u64 place(u64 stack_top, u64 len, bool randomize)
{
	u64 room = TASK_SIZE_DEFAULT - stack_top;

	if (!randomize || room < len + 2 * PAGE_SIZE)
		return 0;
	room = min_t(u64, room, 1ull << 30) - len - PAGE_SIZE;
	return stack_top + PAGE_SIZE + (get_random_u32() % (u32)(room >> PAGE_SHIFT)) * PAGE_SIZE;
}

int vdso_map(struct mm *mm, u64 stack_top, bool randomize)
{
	u64 at = place(stack_top, (vdso_npages + 1) * PAGE_SIZE, randomize);
	s64 code, data;

	/* code first: when it lands elsewhere than asked for, the page below it is what counts */
	code = mm_install_special(mm, at ? at + PAGE_SIZE : 0, vdso_pages, vdso_npages,
				  VM_READ | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC, "[vdso]");
	if (code < 0)
		return (int)code;
	data = mm_install_special(mm, code - PAGE_SIZE, &vvar_page, 1, VM_READ | VM_MAYREAD | VM_IO | VM_DONTDUMP | VM_PFNMAP,
				  "[vvar]");
	if (data < 0)
		return (int)data;
	/* without its data page the code would read somebody else's: programs do without it */
	mm->vdso = data + (s64)PAGE_SIZE == code ? code : 0;
	return 0;
}
