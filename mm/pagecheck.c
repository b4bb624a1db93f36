/*
 * Checker of page frames: one walk over every page struct there is.
 *
 *	references	each page has one for each mapping, each pin and its place in the page cache. An anonymous page has no others: who
 *		looks at one has a reference for a moment, who keeps one pins it. A page of a file may be in pipes, too
 *	pins	no more lasting ones than all; all pins together are those that were acquired and not released, all lasting ones
 *		nr_pinned_longterm
 *	lists	a page has PG_LRU and PG_LAZYFREE or neither; as many pages have them as the lists of lru.c count
 *
 *	runs	a page with PG_RUN is in a memory object, index and frame number end alike, and it follows its neighbour in both; as
 *		many pages have the flag as 512 times nr_shmem_hugepages
 *
 * Pages change while they are looked at, without a lock that could stop them. So a page that seems wrong is looked at again after a
 * pause, and so are sums: what stays wrong is told. The last time a sum may be wrong by as much as was changed during the walk: with
 * programs at work it may be wrong every time. A reference too many is looked at for longest, as its holder may be waiting for a CPU.
 */
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/finding.h>
#include <mm/check.h>
#include <mm/section.h>
#include "lru.h"
#include "run.h"

#define TRIES 6
#define EXCESS_TRIES 300
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

static u64 refs_known(const struct page *p)
{
	bool cached = page_type(p) == PT_FILE && READ_ONCE(p->mapping) && !page_flag(p, PG_HUGETLB);

	return page_pins(p) + (u64)max(READ_ONCE(p->mapcount), 0) + cached;
}

static u64 pins_wrong(const struct page *p, struct finding *f)
{
	u64 refs = (u64)READ_ONCE(p->refcount), known = refs_known(p);

	if (page_pins_long(p) > page_pins(p))
		return found(f, "lasting pins, at most all pins,", p, page_pins_long(p), page_pins(p));
	if (READ_ONCE(p->mapcount) < 0)
		return found(f, "mapcount", p, (u64)(s64)p->mapcount, 0);
	return refs < known ? found(f, "references, those of mappings, pins and cache at least,", p, refs, known) : 0;
}

static u64 excess(const struct page *p, struct finding *f)
{
	bool counted = page_type(p) == PT_ANON && !page_flag(p, PG_HUGETLB) && !page_flag(p, PG_HWPOISON);
	u64 refs = (u64)READ_ONCE(p->refcount), known = refs_known(p);

	return counted && refs > known ? found(f, "references, those of mappings and pins,", p, refs, known) : 0;
}

static u64 list_wrong(const struct page *p, struct finding *f)
{
	u64 both = 1ull << PG_LRU | 1ull << PG_LAZYFREE, has = READ_ONCE(p->flags) & both;

	return page_type(p) == PT_ANON && has ? expect_same(f, "flags of a page on a list", p, has, both) : 0;
}

static u64 run_wrong(const struct page *p, struct finding *f)
{
	const struct page *next = p + 1;

	if (!page_flag(p, PG_RUN))
		return 0;
	if (page_type(p) != PT_FILE || page_flag(p, PG_HEAD) || page_flag(p, PG_HWPOISON))
		return found(f, "type of a part of a run, whole and single,", p, page_type(p), PT_FILE);
	if (!READ_ONCE(p->mapping))
		return found(f, "mapping of a part of a run", p, 0, (u64)next->mapping);
	if ((p->index ^ page_to_pfn(p)) & (HPAGE_PAGES - 1))
		return found(f, "index of a part of a run, which ends like its frame,", p, p->index, page_to_pfn(p));
	if (!((p->index + 1) & (HPAGE_PAGES - 1)))
		return 0;
	if (!page_flag(next, PG_RUN) || next->mapping != p->mapping)
		return found(f, "mapping of the next part of a run", next, (u64)next->mapping, (u64)p->mapping);
	return expect_same(f, "index of the next part of a run", next, next->index, p->index + 1);
}

/* Looks until nothing is wrong, or for so long that it is. */
static struct finding look_at(const struct page *p)
{
	struct finding f = { 0 };

	for (int i = 0; i < EXCESS_TRIES && (!i || f.what); i++) {
		if (i)
			pause_a_little();
		f = (struct finding){ 0 };
		if (in_use(p) && !pins_wrong(p, &f) && !list_wrong(p, &f) && !run_wrong(p, &f))
			excess(p, &f);
		else if (f.what && i >= TRIES)
			break;
	}
	return f;
}

static void check_frame(const struct page *p, struct frame_sums *s)
{
	struct finding f = look_at(p);

	if (f.what && s->bad++ < 20)
		pr_err("check: page %p (pfn %#llx): %s is %#llx, should be %#llx: flags %#llx, refcount %d, mapcount %d, pins %#llx\n", p,
		       page_to_pfn(p), f.what, f.is, f.should, p->flags, p->refcount, p->mapcount, p->private);
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

static u64 expect(const char *what, u64 is, u64 should, u64 slack, bool quiet)
{
	if ((is > should ? is - should : should - is) <= slack)
		return 0;
	if (!quiet)
		pr_err("check: %s: pages have %llu, should be %llu\n", what, is, should);
	return 1;
}

static u64 pins_changed(void)
{
	return vm_event_sum(NR_FOLL_PIN_ACQUIRED) + vm_event_sum(NR_FOLL_PIN_RELEASED);
}

/* One walk, and what the sums should be. @last: tell what is wrong. => broken sums */
static u64 check_sums(struct frame_sums *s, bool last)
{
	u64 pins, pins_long, listed, pin_slack = pins_changed(), list_slack = lru_changes();

	walk_frames(s);
	pins = vm_event_sum(NR_FOLL_PIN_ACQUIRED) - vm_event_sum(NR_FOLL_PIN_RELEASED);
	pins_long = vm_state_sum(NR_PINNED_LONG);
	listed = lru_pages(-1, LRU_ACTIVE) + lru_pages(-1, LRU_INACTIVE);
	pin_slack = last ? pins_changed() - pin_slack : 0;
	list_slack = last ? lru_changes() - list_slack : 0;
	return expect("pins", s->pins, pins, pin_slack, !last) + expect("lasting pins", s->pins_long, pins_long, pin_slack, !last) +
	       expect("parts of runs", s->runs, vm_state_sum(NR_SHMEM_THPS) * HPAGE_PAGES, 0, !last) +
	       expect("listed pages", s->listed, listed, list_slack, !last);
}

u64 frames_check(void)
{
	struct frame_sums s;
	u64 bad = 1;

	for (int i = 0; i < TRIES && bad; i++) {
		if (i)
			pause_a_little();
		bad = check_sums(&s, i == TRIES - 1);
		if (s.bad)
			break;
	}
	return bad + s.bad;
}
