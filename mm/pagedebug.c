/*
 * pagedebug.c - poisoned and cleared pages.
 *
 * A page that is free as far as the allocator is concerned (in a buddy, on a CPU's list) holds 0xaa in every byte while
 * page_poison is on: filled when its last reference goes or when its memory enters the allocator, verified when it is
 * handed out and, on demand, by page_poison_check.  A mismatch is a write through a stale pointer, or bad memory.  It is
 * reported with the page, the first wrong byte and who freed the page; the system goes on, the page is handed out.
 *
 * Who freed it is kept in page->spare, which nothing else uses while a page is free.
 *
 * Poisoning takes precedence: init_on_alloc and init_on_free are off then, since a page cannot be both.  While anything
 * here is on the idle loop clears no pages and no huge pages are cached per CPU, so each page passes through here once.
 */
#include <mm/pagedebug.h>

#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/check.h>
#include <mm/section.h>
#include <x86/cpu.h>

#define MAX_REPORTS 20

u8 page_debug;
static u64 errors;	/* (a) */

static bool word_on(const char *word)
{
	char v[8];

	if (cmdline_get(word, v, sizeof(v)) <= 0)
		return false;
	return v[0] == '1' || (v[0] | 32) == 'y' || streq(v, "on");
}

void page_debug_init(void)
{
	page_debug = (word_on("init_on_alloc") ? INIT_ON_ALLOC : 0) | (word_on("init_on_free") ? INIT_ON_FREE : 0);
	if (word_on("page_poison")) {
		if (page_debug)
			pr_info("mem auto-init: page_poison takes precedence over init_on_alloc and init_on_free\n");
		page_debug = PAGE_POISON;
		check_register("page_poison", page_poison_check);
	}
	if (page_debug)
		pr_info("mem auto-init: page poison:%s, heap alloc:%s, heap free:%s\n",
			page_debug & PAGE_POISON ? "on" : "off", page_debug & INIT_ON_ALLOC ? "on" : "off",
			page_debug & INIT_ON_FREE ? "on" : "off");
}

static void fill(struct page *p)
{
	if (page_debug & PAGE_POISON)
		memset(page_address(p), POISON_BYTE, PAGE_SIZE);
	else if (page_debug & INIT_ON_FREE)
		clear_page(page_address(p));
}

void page_debug_free(struct page *p, unsigned int order, void *who)
{
	for (u64 i = 0; i < 1ull << order; i++) {
		fill(p + i);
		if (who)
			p[i].spare = (u64)(uintptr_t)who;
	}
}

void page_debug_fresh(u64 pfn, u64 end)
{
	for (; pfn < end; pfn++)
		fill(pfn_to_page(pfn));
}

static noinline void report(const struct page *p, const u8 *at)
{
	const u8 *mem = page_address(p);
	u64 wrong = 0;

	for (u64 i = 0; i < PAGE_SIZE; i++)
		wrong += mem[i] != POISON_BYTE;
	if (__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED) >= MAX_REPORTS)
		return;
	pr_err("page_poison: pfn %#llx written to while free: %llu bytes, the first at %p is %#x, should be %#x\n",
	       page_to_pfn(p), wrong, at, *at, POISON_BYTE);
	if (p->spare)
		pr_err("page_poison: pfn %#llx was freed by %pS\n", page_to_pfn(p), (void *)(uintptr_t)p->spare);
}

static bool whole(const struct page *p)
{
	const u8 *at = memchr_inv(page_address(p), POISON_BYTE, PAGE_SIZE);

	if (unlikely(at))
		report(p, at);
	return !at;
}

void page_debug_alloc(struct page *p, unsigned int order, gfp_t gfp)
{
	bool clear = (page_debug & INIT_ON_ALLOC) && !(gfp & GFP_ZERO);

	for (u64 i = 0; i < 1ull << order; i++) {
		if (page_debug & PAGE_POISON)
			(void)whole(p + i);
		p[i].spare = 0;
		if (clear)
			clear_page(page_address(p + i));
	}
}

u64 page_poison_errors(void)
{
	return __atomic_load_n(&errors, __ATOMIC_RELAXED);
}

/* The free pages of [pfn, end), a part of one zone. => mismatches; takes the zone's lock */
static u64 check_part(struct zone *z, u64 pfn, u64 end)
{
	unsigned int order;
	u64 flags, bad = 0;

	spin_lock_irqsave(&z->lock, flags);
	for (; pfn < end; pfn++)
		if (buddy_block_of(&z->b, pfn, &order))
			bad += !whole(pfn_to_page(pfn));
	spin_unlock_irqrestore(&z->lock, flags);
	return bad;
}

u64 page_poison_check(void)
{
	struct phys_piece p;
	u64 bad = 0;

	for_each_piece(p, 0, max_pfn) {
		if (!region_usable(p.type) || !nodes[p.node])
			continue;
		for (u64 at = p.start, stop; at < p.end; at = stop) {
			stop = min(p.end, (at | (PAGEBLOCK_PAGES - 1)) + 1);
			if (pfn_valid(at))
				bad += check_part(&nodes[p.node]->zone[p.zone], at, stop);
		}
	}
	return bad;
}
