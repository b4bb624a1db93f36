/* clear_page and copy_page: preemption off around the routine that page_ops_init() has picked (page.S). */
#include <kernel/preempt.h>
#include <x86/cpu.h>
#include <x86/layout.h>
#include <x86/machine.h>

void clear_page_sse(void *page);
void clear_page_avx(void *page);
void clear_page_avx512(void *page);
void copy_page_sse(void *to, const void *from);
void copy_page_avx(void *to, const void *from);
void copy_page_avx512(void *to, const void *from);

static void (*clear_one)(void *) = clear_page_sse;
static void (*copy_one)(void *, const void *) = copy_page_sse;

void page_ops_init(void)
{
	if (cpu_has(avx512)) {
		clear_one = clear_page_avx512;
		copy_one = copy_page_avx512;
	} else if (cpu_has(avx)) {
		clear_one = clear_page_avx;
		copy_one = copy_page_avx;
	}
}

void clear_page(void *page)
{
	preempt_disable();
	clear_one(page);
	preempt_enable();
}

void clear_pages(void *page, unsigned npages)
{
	for (char *p = page; npages--; p += PAGE_SIZE)
		clear_page(p);
}

void copy_page(void *to, const void *from)
{
	preempt_disable();
	copy_one(to, from);
	preempt_enable();
}
