// SOURCES: test/host/vm_machine.c test/host/vm_stubs.c test/host/kstubs.c
// ARGS: --steps 60000
// RUNS: 1000
// PLANT_ARGS: --steps 8000
// PLANT: mm/fork.c: 		tlb_flush_mm(from); => ;
// PLANT: mm/mprotect.c: tlb_gather_range(g, first, last); => (void)first;
// PLANT: mm/zap.c: tlb_gather_range(z->g, first, last); => ;
/*
 * The whole virtual half against a shadow model, on a simulated machine (vm_machine.h).
 *
 * Random programs map, unmap, protect, move, advise, fork, pin, truncate and touch. After every step: each value read through
 * the MMU is the model's; no cached translation gives more than the tables do; a page that is freed is in no cache. The
 * kernel's own checkers run after every 16th. At the end every page is free again.
 */
#include <mm/check.h>
#include "mm/lru.h"
#include "vm_machine.h"

#define BASE (1ull << 30)
#define PAGES 3072u /* 12 MiB: six huge pages */
#define FPAGES 700u /* of each file */
#define PROCS 4

struct mpage {
	bool mapped, write, read, shared, own; /* own: val counts, else the file's */
	s8 file;
	u16 index;
	u32 val;
};
struct proc { struct mm *mm; struct mpage p[PAGES]; };
static struct proc procs[PROCS];
static u32 contents[NR_FILES][FPAGES];
static u32 fsize[NR_FILES]; /* pages */

static u64 va_of(u32 page) { return BASE + ((u64)page << PAGE_SHIFT); }

static u32 *value_of(struct mpage *p)
{
	return p->file >= 0 && !p->own ? &contents[p->file][p->index] : &p->val;
}

static bool sigbus(const struct mpage *p)
{
	return p->file >= 0 && !p->own && p->index >= fsize[p->file];
}

static const int huge_within = SHMEM_HUGE_WITHIN_SIZE;
static const struct run_policy runs = { &huge_within, NULL };
static u32 checked_reads, checked_writes, last_value;
static u32 frames_before;
static bool failing, machine_is_on;

static u32 new_value(void) { return ++last_value & 0x7fffffff; }

/* Pinned pages: what is written through the pin later is seen through the mapping, forks or not, until that goes. */
static struct { struct page *p; struct proc *pr; u32 page; bool lost; } pin;

static void pin_lost(struct proc *pr, u32 at, u32 n)
{
	if (pin.pr == pr && pin.page >= at && pin.page < at + n)
		pin.lost = true;
}

static void read_page(struct proc *pr, u32 page)
{
	struct mpage *m = &pr->p[page];
	u64 off = choose(2) ? 0 : PAGE_SIZE - 8;
	u64 *w = touch(pr->mm, va_of(page) + off, false);

	if (!m->mapped || !(m->read || m->write) || sigbus(m)) {
		CHECK(!w);
		return;
	}
	checked_reads++;
	CHECK(w);
	if (w)
		CHECK_EQ(*w, *value_of(m));
	if (w && *w != *value_of(m))
		printf("  page %u file %d own %d index %u\n", page, m->file, m->own, m->index);
}

static void write_page(struct proc *pr, u32 page)
{
	struct mpage *m = &pr->p[page];
	u64 *w = touch(pr->mm, va_of(page), true), *w2;
	bool ok = m->mapped && m->write && !sigbus(m);

	CHECK_EQ(w != NULL, ok);
	if (!ok || !w)
		return;
	checked_writes++;
	if (!m->shared)
		m->own = true;
	*value_of(m) = new_value();
	*w = *value_of(m);
	w2 = touch(pr->mm, va_of(page) + PAGE_SIZE - 8, true);
	CHECK(w2);
	if (w2)
		*w2 = *value_of(m);
}

static void pick(u32 *at, u32 *n)
{
	*at = choose(PAGES);
	*n = 1 + choose(choose(4) ? 20 : 1300);
	if (choose(3) == 0) {
		*at &= ~511u;
		*n = 512 * (1 + choose(2));
	}
	if (*at + *n > PAGES)
		*n = PAGES - *at;
}

static void model_unmap(struct proc *pr, u32 at, u32 n)
{
	pin_lost(pr, at, n);
	memset(&pr->p[at], 0, n * sizeof(struct mpage));
}

static void op_mmap(struct proc *pr)
{
	static const u32 prots[] = { 0, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };
	u32 at, n, prot = prots[choose(5)], index = 0;
	int file = (int)choose(NR_FILES * 3) - NR_FILES * 2;
	bool shared = choose(2);
	s64 r;

	pick(&at, &n);
	if (file >= 0) {
		index = choose(FPAGES);
		if (!(at & 511) && choose(2)) /* where a run can be mapped by one entry */
			index = 0;
		n = min(n, FPAGES - index);
	} else {
		file = -1;
		shared = false;
	}
	pin_lost(pr, at, n);
	r = do_mmap(pr->mm, file >= 0 ? &files[file] : NULL, va_of(at), (u64)n << PAGE_SHIFT, prot,
		    MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (file < 0 ? MAP_ANONYMOUS : 0), index);
	if (r == -ENOMEM) {
		/* an injected failure may come after the old mapping went, as in Linux */
		for (u32 i = at; i < at + n; i++)
			if (!vma_at(pr->mm, va_of(i)))
				model_unmap(pr, i, 1);
		return;
	}
	CHECK_EQ(r, va_of(at));
	for (u32 i = 0; i < n; i++)
		pr->p[at + i] = (struct mpage){ .mapped = true, .read = prot & PROT_READ, .write = prot & PROT_WRITE, .shared = shared,
						.own = file < 0, .file = file, .index = index + i };
}

static void op_munmap(struct proc *pr)
{
	u32 at, n;
	int r;

	pick(&at, &n);
	r = do_munmap(pr->mm, va_of(at), (u64)n << PAGE_SHIFT);
	if (r == -ENOMEM)
		return;
	CHECK_EQ(r, 0);
	model_unmap(pr, at, n);
}

static void op_mprotect(struct proc *pr)
{
	u32 at, n, prot = choose(4) ? PROT_READ | (choose(2) ? PROT_WRITE : 0) : 0, k = 0;
	int r;

	pick(&at, &n);
	r = do_mprotect(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, prot, -1);
	while (k < n && pr->p[at + k].mapped)
		k++;
	CHECK(r == (k == n ? 0 : -ENOMEM) || r == -ENOMEM);
	/* the part up to a hole (or a failure) has changed: the VMAs tell how far */
	for (u32 i = at; i < at + k; i++) {
		struct vma *v = vma_at(pr->mm, va_of(i));

		CHECK(v);
		if (r == 0 && v)
			CHECK_EQ(v->flags & 7, prot);
		pr->p[i].read = v && v->flags & VM_READ;
		pr->p[i].write = v && v->flags & VM_WRITE;
	}
}

static void op_madvise(struct proc *pr)
{
	static const int advices[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_WILLNEED,
				       MADV_COLD, MADV_DONTDUMP, MADV_POPULATE_WRITE, MADV_POPULATE_READ };
	int advice = advices[choose(ARRAY_SIZE(advices))], r;
	u32 at, n;

	pick(&at, &n);
	if (advice == MADV_DONTNEED)
		pin_lost(pr, at, n);
	r = do_madvise(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, advice);
	if (advice == MADV_POPULATE_WRITE && r == 0)
		for (u32 i = at; i < at + n; i++)
			if (!pr->p[i].shared && !pr->p[i].own) {
				pr->p[i].own = true;
				pr->p[i].val = contents[pr->p[i].file][pr->p[i].index];
			}
	if (advice == MADV_POPULATE_WRITE && r && r != -ENOMEM) {
		/* stopped in the middle: read what happened from the tables */
		for (u32 i = at; i < at + n; i++) {
			pte_t *e = pr->p[i].mapped ? pt_pte(pr->mm, va_of(i)) : NULL;

			if (e && !pr->p[i].shared && !pr->p[i].own && pte_has_page(*e) && page_type(page_head(pte_frame(*e))) == PT_ANON) {
				pr->p[i].own = true;
				pr->p[i].val = contents[pr->p[i].file][pr->p[i].index];
			}
		}
	}
	if (advice == MADV_DONTNEED && r != -EAGAIN)
		for (u32 i = at; i < at + n; i++) {
			struct mpage *m = &pr->p[i];

			if (!m->mapped)
				continue;
			m->val = 0;
			m->own = m->file < 0;
		}
	CHECK(r == 0 || r == -ENOMEM || r == -EINVAL || r == -EAGAIN || r == -EFAULT);
}

/* The pages [at, at+n) are one VMA? */
static bool one_vma(struct proc *pr, u32 at, u32 n)
{
	struct vma *v = vma_at(pr->mm, va_of(at));

	return v && va_of(at + n) <= v->end;
}

static void op_mremap(struct proc *pr)
{
	u32 at, n, to = choose(PAGES), m;
	static struct mpage moved[PAGES];
	s64 r;

	pick(&at, &n);
	m = choose(2) ? n : 1 + choose(n + 20);
	if (choose(3) == 0)
		to = (to & ~511u) | (at & 511);
	if (to + m > PAGES || at + n > PAGES || (to < at + n && at < to + m))
		return;
	if (!one_vma(pr, at, n) || (m > n && pr->p[at].file >= 0 && pr->p[at].index + m > FPAGES))
		return;
	pin_lost(pr, at, n);
	pin_lost(pr, to, m);
	r = do_mremap(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, (u64)m << PAGE_SHIFT, MREMAP_MAYMOVE | MREMAP_FIXED, va_of(to));
	if (r < 0) {
		CHECK_EQ(r, -ENOMEM);
		for (u32 i = 0; i < PAGES; i++)
			if (pr->p[i].mapped && !vma_at(pr->mm, va_of(i)))
				model_unmap(pr, i, 1);
		return;
	}
	CHECK_EQ(r, va_of(to));
	memcpy(moved, &pr->p[at], n * sizeof(struct mpage));
	for (u32 i = n; i < m; i++) {
		moved[i] = (struct mpage){ .mapped = true, .read = moved[0].read, .write = moved[0].write, .shared = moved[0].shared,
					   .own = moved[0].file < 0, .file = moved[0].file, .index = moved[0].index + i };
	}
	model_unmap(pr, at, n);
	memcpy(&pr->p[to], moved, m * sizeof(struct mpage));
}

static void op_fork(struct proc *pr)
{
	struct proc *c = &procs[choose(PROCS)];

	if (c->mm && c != pr) {
		pin_lost(c, 0, PAGES);
		mm_put(c->mm);
		c->mm = NULL;
	}
	if (c == pr)
		return;
	c->mm = mm_fork(pr->mm);
	if (IS_ERR(c->mm)) {
		c->mm = NULL;
		return;
	}
	memcpy(c->p, pr->p, sizeof(c->p));
}

static void op_access(struct proc *pr)
{
	u32 page = choose(PAGES);
	struct mpage *m = &pr->p[page];
	bool write = choose(2);
	u64 buf[512];
	s64 r;

	if (write) {
		memset(buf, 0, sizeof(buf));
		buf[0] = buf[511] = new_value();
	}
	r = mm_access(pr->mm, va_of(page), buf, PAGE_SIZE, write, false);
	if (!m->mapped || sigbus(m) || !(write ? m->write : m->read || m->write)) {
		CHECK(r == -EFAULT || r == -ENOMEM);
		return;
	}
	if (r == -ENOMEM)
		return;
	CHECK_EQ(r, PAGE_SIZE);
	if (write) {
		if (!m->shared)
			m->own = true;
		*value_of(m) = buf[0];
	} else {
		CHECK_EQ(buf[0], *value_of(m));
		CHECK_EQ(buf[511], *value_of(m));
	}
}

static void unpin(void)
{
	if (!pin.p)
		return;
	mm_unpin_pages(&pin.p, 1, PIN_WRITE);
	pin.p = NULL;
}

static void op_pin(struct proc *pr)
{
	u32 page = choose(PAGES);
	struct mpage *m = &pr->p[page];

	if (pin.p) {
		struct mpage *pm = &pin.pr->p[pin.page];
		u64 *w = page_address(pin.p), size;

		if (pin.pr->mm && !pin.lost) {
			pte_t *e = walk(pin.pr->mm, va_of(pin.page), &size);

			CHECK(!pm->read || (e && pte_pfn(*e) + (size == PMD_SIZE ? pin.page % 512 : 0) == page_to_pfn(pin.p)));
			w[0] = w[511] = *value_of(pm) = new_value();
		}
		if (choose(3) == 0)
			unpin();
		return;
	}
	if (!m->mapped || !m->write || sigbus(m) || mm_pin_pages(pr->mm, va_of(page), 1, PIN_WRITE, &pin.p) != 1) {
		pin.p = NULL;
		return;
	}
	if (!m->shared && !m->own) {
		m->val = *value_of(m);
		m->own = true;
	}
	pin.pr = pr;
	pin.page = page;
	pin.lost = false;
}

/* Is there an entry for a page? */
static bool has_entry(struct mm *mm, u64 va)
{
	pmd_t *pmd = pt_pmd(mm, va);

	return pmd && !pte_none(*pmd) && (!pmd_has_table(*pmd) || !pte_none(table_of(*pmd)[pte_index(va)]));
}

/* Pages of nobody's now read as zeros, where MADV_FREE allowed it; what was not taken is what it was. */
static void op_lazyfree(struct proc *pr)
{
	u32 at, n;

	pick(&at, &n);
	(void)do_madvise(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, MADV_FREE);
	if (choose(2))
		read_page(pr, at);
	if (choose(2))
		write_page(pr, at + n / 2);
	if (one_in(3))
		(void)do_madvise(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, MADV_PAGEOUT);
	else if (one_in(3))
		(void)mm_reclaim_pages(GFP_KERNEL, 0);
	for (pr = procs; pr < procs + PROCS; pr++)
		for (u32 i = 0; pr->mm && i < PAGES; i++)
			if (pr->p[i].mapped && pr->p[i].file < 0 && !has_entry(pr->mm, va_of(i)))
				pr->p[i].val = 0;
}

static void op_truncate(void)
{
	int f = choose(NR_FILES);
	u32 n = choose(FPAGES + 1);

	unpin();
	if (n < fsize[f]) {
		files[f].m.size = (u64)n << PAGE_SHIFT;
		mapping_truncate(&files[f].m, files[f].m.size);
		for (u32 i = n; i < FPAGES; i++)
			contents[f][i] = 0;
		/* private copies beyond the end go too */
		for (struct proc *pr = procs; pr < procs + PROCS; pr++)
			for (u32 i = 0; pr->mm && i < PAGES; i++)
				if (pr->p[i].mapped && pr->p[i].file == f && pr->p[i].index >= n && !pr->p[i].shared)
					pr->p[i].own = false;
	}
	fsize[f] = n;
	files[f].m.size = (u64)n << PAGE_SHIFT;
}

static void touch_some(struct proc *pr)
{
	for (int i = 0; i < 12; i++) {
		u32 page = choose(PAGES);

		if (choose(2))
			read_page(pr, page);
		else
			write_page(pr, page);
	}
}

static void operation(struct proc *pr)
{
	switch (choose(40)) {
	case 0 ... 3: op_mmap(pr); break;
	case 4 ... 5: op_munmap(pr); break;
	case 6 ... 8: op_mprotect(pr); break;
	case 9 ... 11: op_madvise(pr); break;
	case 12 ... 14: op_mremap(pr); break;
	case 15: op_fork(pr); break;
	case 16 ... 17: op_access(pr); break;
	case 18 ... 20: op_pin(pr); break;
	case 21: if (one_in(4)) op_truncate(); break;
	case 22: op_lazyfree(pr); break;
	default: touch_some(pr);
	}
}

static void start(void)
{
	if (!machine_is_on)
		machine_start();
	machine_is_on = true;
	thp_use_zero_page = 0; /* the huge page of zeros stays when it is made: it would count as lost */
	frames_before = frames_used;
	failing = one_in(3);
	for (int i = 0; i < NR_FILES; i++) {
		files[i].refs = 1;
		mapping_init(&files[i].m, NULL, NULL, i == 0 ? MAPPING_SHMEM : 0);
		files[i].m.runs = i == 0 ? &runs : NULL;
		fsize[i] = FPAGES;
		files[i].m.size = (u64)FPAGES << PAGE_SHIFT;
	}
	memset(contents, 0, sizeof(contents));
}

static void step(void)
{
	struct proc *pr = &procs[choose(PROCS)];

	if (failing && one_in(3))
		fail_in = 1 + choose(12);
	if (!pr->mm)
		pr = &procs[0];
	if (pr->mm) {
		operation(pr);
	} else {
		pr->mm = mm_alloc();
		memset(pr->p, 0, sizeof(pr->p));
	}
	fail_in = 0;
}

static void check(void)
{
	static u32 turn;

	tlb_check();
	CHECK_EQ(preempt_depth(), 0);
	if (++turn % 16)
		return;
	CHECK_EQ(mm_check_all() + lru_check(), 0);
	CHECK_EQ(rmap_check(), 0);
}

/* Everything goes away and nothing is left. */
static void finish(void)
{
	unpin();
	for (int i = 0; i < PROCS; i++) {
		if (procs[i].mm)
			mm_put(procs[i].mm);
		procs[i].mm = NULL;
	}
	for (int i = 0; i < NR_FILES; i++) {
		CHECK_EQ(files[i].refs, 1);
		CHECK_EQ(files[i].m.writable, 0);
		mapping_destroy(&files[i].m);
	}
	CHECK_EQ(frames_used, frames_before);
	CHECK_EQ(live_objects(), 0);
	CHECK_EQ(vm_states[NR_ANON_THPS], 0);
	CHECK_EQ(vm_states[NR_SHMEM_THPS], 0);
	CHECK_EQ(vm_states[NR_SHMEM_PMDS], 0);
}

static void covered(void)
{
	printf("  %u reads, %u writes, %llu flushes, %llu huge faults, %llu splits, %llu page splits, %llu collapses\n", checked_reads,
	       checked_writes, nr_flushes, vm_events[THP_FAULT_ALLOC], vm_events[THP_SPLIT_PMD], vm_events[THP_SPLIT_PAGE], vm_events[THP_COLLAPSE_ALLOC]);
	printf("  %llu runs, %llu times mapped by one entry\n", vm_events[THP_FILE_ALLOC], vm_events[THP_FILE_MAPPED]);
	CHECK(vm_events[THP_FILE_ALLOC] && vm_events[THP_FILE_MAPPED]);
	CHECK(vm_events[THP_FAULT_ALLOC] && vm_events[THP_SPLIT_PAGE] && vm_events[THP_COLLAPSE_ALLOC]);
}

const struct model model = {
	.round = 10000, .start = start, .step = step, .check = check, .finish = finish, .covered = covered,
};
