/*
 * Checker of page frames: one walk over every page struct there is.
 *
 *	pins	each page has references for its mappings and its pins, and no more lasting pins than pins; all pins together are
 *		those that were acquired and not released, all lasting ones nr_pinned_longterm
 *	lists	a page has PG_LRU and PG_LAZYFREE or neither; as many pages have them as the lists of lru.c count
 *
 *	runs	a page with PG_RUN is in a memory object, index and frame number end alike, and it follows its neighbour in both; as
 *		many pages have the flag as 512 times nr_shmem_hugepages
 *
 * Pages change while they are looked at, without a lock that could stop them. So a page that seems wrong is looked at again after a
 * pause, and so are sums: what stays wrong is told.
 */
#include <kernel/time.h>
#include <kernel/wait.h>
#include <mm/check.h>
#include <mm/section.h>
#include "lru.h"
#include "run.h"

#define TRIES 6
#define PAUSE_NS (3 * NSEC_PER_MSEC)

struct frame_sums {
	u64 pins, pins_long, listed, runs, bad;
};

static void pause_a_little(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_until(ktime_ns() + PAUSE_NS);
}

/* Is it the page, or the head of the pages, of user memory or the page cache? */
static bool in_use(const struct page *p)
{
	enum page_type t = page_type(p);

	return (t == PT_ANON || t == PT_FILE || t == PT_KSM || page_is_zeros(p)) && !page_flag(p, PG_TAIL) && READ_ONCE(p->refcount) > 0;
}

static const char *pins_wrong(const struct page *p)
{
	u64 pins = page_pins(p);

	if (page_pins_long(p) > pins)
		return "more lasting pins than pins";
	if (READ_ONCE(p->mapcount) < 0)
		return "mapcount below 0";
	if ((u64)READ_ONCE(p->refcount) < pins + (u64)READ_ONCE(p->mapcount))
		return "fewer references than pins and mappings";
	return NULL;
}

static const char *list_wrong(const struct page *p)
{
	u64 both = 1ull << PG_LRU | 1ull << PG_LAZYFREE, has = READ_ONCE(p->flags) & both;

	return page_type(p) == PT_ANON && has && has != both ? "on a list without permission to be taken, or the other way round" : NULL;
}

static const char *run_wrong(const struct page *p)
{
	const struct page *next = p + 1;

	if (!page_flag(p, PG_RUN))
		return NULL;
	if (page_type(p) != PT_FILE || !READ_ONCE(p->mapping) || page_flag(p, PG_HEAD) || page_flag(p, PG_HWPOISON))
		return "part of a run outside a memory object, or bad";
	if ((p->index ^ page_to_pfn(p)) & (HPAGE_PAGES - 1))
		return "part of a run in another place than its frame";
	if ((p->index + 1) & (HPAGE_PAGES - 1) &&
	    (!page_flag(next, PG_RUN) || next->mapping != p->mapping || next->index != p->index + 1))
		return "part of a run without the next";
	return NULL;
}

static void check_frame(const struct page *p, struct frame_sums *s)
{
	const char *what = NULL;

	for (int i = 0; i < TRIES && (!i || what); i++) {
		if (i)
			pause_a_little();
		what = !in_use(p) ? NULL : pins_wrong(p) ?: list_wrong(p) ?: run_wrong(p);
	}
	if (what && s->bad++ < 20)
		pr_err("check: page %#llx: %s: flags %#llx, refcount %d, mapcount %d, pins %#llx\n", page_to_pfn(p), what, p->flags,
		       p->refcount, p->mapcount, p->private);
	if (!in_use(p))
		return;
	s->pins += page_pins(p);
	s->pins_long += page_pins_long(p);
	s->runs += page_flag(p, PG_RUN);
	if (page_flag(p, PG_LRU))
		s->listed += page_flag(p, PG_HEAD) ? HPAGE_PAGES : 1;
}

static void walk_frames(struct frame_sums *s)
{
	*s = (struct frame_sums){ 0 };
	for (u64 pfn = 0; pfn < max_pfn; pfn++) {
		if (!pfn_valid(pfn)) {
			pfn |= (1ull << SECTION_ORDER) - 1;
			continue;
		}
		check_frame(pfn_to_page(pfn), s);
		if (!(pfn & 0xffff))
			cond_resched();
	}
}

static u64 expect(const char *what, u64 is, u64 should, bool quiet)
{
	if (is == should)
		return 0;
	if (!quiet)
		pr_err("check: %s: pages have %llu, should be %llu\n", what, is, should);
	return 1;
}

u64 frames_check(void)
{
	struct frame_sums s;
	u64 bad = 1;

	for (int i = 0; i < TRIES && bad; i++) {
		bool quiet = i < TRIES - 1;

		if (i)
			pause_a_little();
		walk_frames(&s);
		bad = expect("pins", s.pins, vm_event_sum(NR_FOLL_PIN_ACQUIRED) - vm_event_sum(NR_FOLL_PIN_RELEASED), quiet) +
		      expect("lasting pins", s.pins_long, vm_state_sum(NR_PINNED_LONG), quiet) +
		      expect("parts of runs", s.runs, vm_state_sum(NR_SHMEM_THPS) * HPAGE_PAGES, quiet) +
		      expect("listed pages", s.listed, lru_pages(-1, LRU_ACTIVE) + lru_pages(-1, LRU_INACTIVE), quiet);
		if (s.bad)
			break;
	}
	return bad + s.bad;
}
