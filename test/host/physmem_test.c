// SOURCES: test/host/phys_machine.c
/*
 * The whole physical and object level on a machine of one CPU (phys_machine.h), through the functions the kernel uses.
 * With an argument it prints what the kernel would.
 */
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <lib/seq_buf.h>
#include <lib/xarray.h>
#include <mm/check.h>
#include <mm/failinject.h>
#include <mm/kstack.h>
#include <mm/mm.h>
#include <mm/section.h>
#include <mm/show.h>
#include <mm/slab_impl.h>
#include <mm/vmalloc.h>
#include <mm/vmstat.h>
#include "kstubs.h"
#include "phys_machine.h"

/* Object checking is on here, off in physmem_fast_test.c. */
#ifndef SLABDEBUG
#define SLABDEBUG "on"
#endif

static u64 boot_free;

static void test_boot(void)
{
	u64 usable = 0, total;

	machine_boot();
	for (u32 i = 0; i < nregions; i++)
		if (regions[i].type == HANDOFF_MEM_USABLE)
			usable += regions[i].npages;
	total = nr_total_pages();
	CHECK_EQ(nr_nodes, 2);
	/* All that is usable is managed, less what boot memory gave out. */
	CHECK_EQ(total + bootmem_used_pages() + 1 + 2, usable);
	CHECK(nodes[0]->zone[ZONE_DMA].managed > 3000 && nodes[0]->zone[ZONE_DMA32].managed);
	CHECK(nodes[1]->zone[ZONE_DMA32].deferred > 0);
	CHECK(!pfn_valid(520 * MIB >> PAGE_SHIFT) && pfn_valid(102 * MIB >> PAGE_SHIFT));
	CHECK_EQ(page_type(pfn_to_page(102 * MIB >> PAGE_SHIFT)), PT_RESERVED);
	CHECK_EQ(check_everything(), 0);
	boot_free = quiet_free();
	CHECK(boot_free > total - 2048);
}

/* ---- pages ---- */

struct got {
	struct page *p;
	u32 order;
	bool comp;
	u64 stamp;
};
enum { MAXGOT = 200000 };
static struct got got[MAXGOT];
static u32 ngot;
static u8 *owned;

static bool own(struct page *p, u32 order, bool on)
{
	u64 pfn = page_to_pfn(p);

	for (u64 i = pfn; i < pfn + (1ull << order); i++) {
		struct phys_piece piece;

		phys_piece_at(i, i + 1, &piece);
		if (owned[i] == on || !region_usable(piece.type))
			return false;
		owned[i] = on;
	}
	return true;
}

static bool take(gfp_t gfp, u32 order, int node)
{
	struct page *p = alloc_pages_node(node, gfp, order);
	u64 *mem;

	if (!p)
		return false;
	mem = page_address(p);
	CHECK(own(p, order, true));
	CHECK(IS_ALIGNED(page_to_pfn(p), 1ull << order));
	CHECK_EQ(page_type(p), PT_KERNEL);
	CHECK_EQ(p->refcount, 1);
	if (gfp & GFP_DMA)
		CHECK(page_to_phys(p) < 16 * MIB);
	if (gfp & GFP_ZERO)
		for (u64 i = 0; i < 512ull << order; i += 64)
			CHECK(!mem[i]);
	got[ngot] = (struct got){ p, order, order && (gfp & GFP_COMP), check_rand() };
	mem[0] = mem[(512ull << order) - 1] = got[ngot].stamp;
	ngot++;
	return true;
}

static void drop(u32 i)
{
	struct got g = got[i];
	u64 *mem = page_address(g.p);

	got[i] = got[--ngot];
	CHECK(mem[0] == g.stamp && mem[(512ull << g.order) - 1] == g.stamp);
	CHECK(own(g.p, g.order, false));
	if (!g.comp && g.order && check_rand_below(2))
		for (u32 k = 0; k < 1u << g.order; k++)	/* one by one is as good */
			page_put(g.p + k);
	else
		free_pages(g.p, g.order);
}

static void test_pages_random(void)
{
	static const gfp_t kinds[] = {
		GFP_KERNEL, GFP_USER, GFP_USER | GFP_ZERO, GFP_KERNEL | GFP_ZERO, GFP_KERNEL | GFP_COMP,
		GFP_USER | GFP_COMP, GFP_DMA, GFP_DMA32 | GFP_NOWARN, GFP_RECLAIMABLE | GFP_KERNEL,
		GFP_ATOMIC,
	};

	free(owned);
	owned = calloc(1, PHYS_SIZE >> PAGE_SHIFT);
	for (int step = 0; step < 100000; step++) {
		u64 r = check_rand_below(100);

		if (r < (step / 10000 % 2 ? 40u : 55u)) {
			u32 order = check_rand_below(4) ? 0 : (u32)check_rand_below(
				check_rand_below(20) ? 5 : 11);

			take(kinds[check_rand_below(ARRAY_SIZE(kinds))] | GFP_NOWARN, order,
			     (int)check_rand_below(3) - 1);
		} else if (r < 98 && ngot) {
			drop((u32)check_rand_below(ngot));
		} else if (r == 98) {
			while (page_zero_idle() && check_rand_below(8))
				;
		}
		if (check_rand_below(3000) == 0)
			pcp_drain_all();
		if (step % 500 == 0)
			CHECK_EQ(check_everything(), 0);
		CHECK_OR_RETURN(!check_failed_now);
	}
	while (ngot)
		drop(ngot - 1);
	CHECK_EQ(check_everything(), 0);
	CHECK_EQ(nr_free_pages() + page_array_pages(), quiet_free() + page_array_pages());
}

/* Everything can be had, once; then there is nothing; then it all comes back. */
static void test_exhaustion(void)
{
	u64 before = quiet_free() + page_array_pages(), after;

	while (take(GFP_USER | GFP_NOWARN, check_rand_below(50) ? 0 : 3, NUMA_NO_NODE))
		CHECK_OR_RETURN(!check_failed_now);
	CHECK(nr_free_pages() < before / 16);
	CHECK(!alloc_pages(GFP_KERNEL | GFP_NOWARN, 9));
	CHECK_EQ(nodes[0]->zone[ZONE_DMA32].deferred + nodes[1]->zone[ZONE_DMA32].deferred, 0);
	CHECK(take(GFP_ATOMIC, 0, NUMA_NO_NODE));
	CHECK_EQ(check_everything(), 0);
	while (ngot)
		drop((u32)check_rand_below(ngot));
	after = quiet_free() + page_array_pages();
	/* What page structs took in between is the only difference. */
	CHECK_EQ(after, before);
	CHECK_EQ(check_everything(), 0);
}

static void test_huge_pages_are_cached(void)
{
	struct page *a = alloc_pages(GFP_USER | GFP_COMP, 9), *b;

	CHECK_OR_RETURN(a);
	CHECK(page_flag(a, PG_HEAD) && page_head(a + 511) == a && page_order(a) == 9);
	page_put(a);
	b = alloc_pages(GFP_USER | GFP_COMP | GFP_ZERO, 9);
	CHECK(b == a && page_head(b + 77) == b && b->refcount == 1);
	split_page(b, 9);
	for (int i = 0; i < 512; i++)
		page_put(b + i);
	CHECK_EQ(check_everything(), 0);
}

static void test_speculative_reference(void)
{
	struct page *p = alloc_pages(GFP_KERNEL, 3);
	u64 before;

	CHECK(page_get_unless_zero(p));
	before = quiet_free();
	free_pages(p, 3);
	CHECK_EQ(quiet_free(), before + 7);
	page_put(p);
	CHECK_EQ(quiet_free(), before + 8);
	CHECK_EQ(check_everything(), 0);
}

static void test_contiguous(void)
{
	u64 before = quiet_free();
	struct page *p = alloc_contig(700, 16, GFP_KERNEL);
	int taken = 0;

	CHECK_OR_RETURN(p && IS_ALIGNED(page_to_pfn(p), 16));
	CHECK_EQ(quiet_free(), before - 700);
	free_contig(p, 700);
	CHECK_EQ(quiet_free(), before);
	CHECK_EQ(check_everything(), 0);
	/* any range of free memory by its number, across pageblocks, and not when a page of it is in use */
	for (u64 start = page_to_pfn(p) & ~1023ull, i = 0; i < 40; i++) {
		u64 from = start + i * 37, n = 1 + i * 61;
		struct page *in_use;

		if (alloc_contig_range(from, n, GFP_KERNEL))
			continue;
		CHECK_EQ(quiet_free(), before - n);
		in_use = pfn_to_page(from + n / 2);
		CHECK(in_use->refcount == 1 && alloc_contig_range(from, n, GFP_KERNEL) == -EBUSY);
		CHECK_EQ(check_everything(), 0);
		free_contig(pfn_to_page(from), n);
		CHECK_EQ(quiet_free(), before);
		taken++;
	}
	CHECK(taken > 4);
	CHECK_EQ(alloc_contig_range(max_pfn - 1, 2, GFP_KERNEL), -EINVAL);
	CHECK_EQ(check_everything(), 0);
}

/* ---- objects ---- */

struct obj {
	u8 *p;
	size_t n;
	u8 fill;
};
static struct obj objs[4000];

static void objects_random(int steps)
{
	u32 n = 0;

	for (int step = 0; step < steps; step++) {
		if (n < ARRAY_SIZE(objs) && check_rand_below(100) < (step / 5000 % 2 ? 45u : 55u)) {
			size_t len = 1 + check_rand_below(check_rand_below(10) ? 600 : 20000);
			u8 *p = check_rand() & 1 ? kmalloc(len, GFP_KERNEL) : kzalloc(len, GFP_KERNEL);

			CHECK_OR_RETURN(p && IS_ALIGNED((uintptr_t)p, 16) && ksize(p) >= len);
			objs[n] = (struct obj){ p, len, (u8)check_rand() };
			memset(p, objs[n++].fill, len);
		} else if (n) {
			u32 k = (u32)check_rand_below(n);
			struct obj o = objs[k];

			CHECK_OR_RETURN(o.p[0] == o.fill && o.p[o.n - 1] == o.fill);
			objs[k] = objs[--n];
			if (check_rand_below(8) == 0) {
				o.p = krealloc(o.p, o.n + 100, GFP_KERNEL);
				CHECK(o.p && o.p[o.n - 1] == o.fill);
			}
			kfree(o.p);
		}
		if (check_rand_below(5000) == 0)
			kmem_reap_all();
		if (step % 1000 == 0)
			CHECK_EQ(check_everything(), 0);
	}
	while (n)
		kfree(objs[--n].p);
}

static void test_kmalloc(void)
{
	u64 before = quiet_free();

	objects_random(100000);
	CHECK_EQ(check_everything(), 0);
	CHECK_EQ(quiet_free(), before);
}

static int constructed;

static void construct(void *obj)
{
	constructed++;
	*(u64 *)obj = 0x1234;
}

static void test_cache_life(void)
{
	u64 before = quiet_free();
	struct kmem_cache *c = kmem_cache_create("things", 72, 0, SLAB_RCU | SLAB_HWCACHE_ALIGN,
						 construct);
	void *o[500];

	CHECK_OR_RETURN(c);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 500; i++) {
			o[i] = kmem_cache_alloc(c, GFP_KERNEL);
			CHECK(*(u64 *)o[i] == 0x1234);
		}
		CHECK_EQ(kmem_cache_active(c), 500);
		for (int i = 0; i < 500; i++)
			kmem_cache_free(c, o[i]);
		CHECK_EQ(kmem_cache_active(c), 0);
	}
	CHECK(constructed >= 500);
	kmem_cache_destroy(c);
	CHECK_EQ(quiet_free(), before);
	CHECK_EQ(check_everything(), 0);
}

static void test_xarray_nodes(void)
{
	struct xarray xa = XARRAY_INIT(&xa_slab_ops);
	u64 before = quiet_free();

	for (u64 i = 0; i < 5000; i++)
		CHECK_EQ(xa_store(&xa, i * 7, xa_mk_value(i), GFP_KERNEL), 0);
	xa_destroy(&xa);
	CHECK_EQ(quiet_free(), before);
}

static void test_vmalloc(void)
{
	u8 *v[64] = { 0 };
	size_t len[64];
	u64 before;

	v[0] = vmalloc(10000);
	vfree(v[0]);
	v[0] = NULL;
	before = quiet_free();
	for (int step = 0; step < 3000; step++) {
		u32 k = (u32)check_rand_below(64);

		if (!v[k]) {
			len[k] = 1 + check_rand_below(300000);
			v[k] = vzalloc(len[k]);
			CHECK_OR_RETURN(v[k] && !v[k][0] && !v[k][len[k] - 1]);
			memset(v[k], (int)k + 1, len[k]);
		} else {
			CHECK_OR_RETURN(v[k][0] == k + 1 && v[k][len[k] - 1] == k + 1);
			vfree(v[k]);
			v[k] = NULL;
		}
		if (step % 100 == 0)
			CHECK_EQ(check_everything(), 0);
	}
	for (int k = 0; k < 64; k++)
		vfree(v[k]);
	/* The last free segment may be a struct of the cache now, where it was a static one. */
	CHECK(before - quiet_free() <= 1);
}

static void test_kernel_stacks(void)
{
	void *s[40];
	u64 before = quiet_free();

	for (int i = 0; i < 40; i++) {
		s[i] = kstack_alloc();
		CHECK_OR_RETURN(s[i]);
		memset(s[i], 1, KSTACK_SIZE);
		CHECK(kstack_guard_hit((u64)s[i] - 1) && !kstack_guard_hit((u64)s[i]));
	}
	CHECK_EQ(vm_state_sum(NR_KSTACK_PAGES), 160);
	for (int i = 0; i < 40; i++)
		kstack_free(s[i]);
	CHECK(quiet_free() <= before - 160);
	for (int i = 0; i < 40; i++) {
		void *again = kstack_alloc();
		bool known = false;

		for (int k = 0; k < 40; k++)
			known |= again == s[k];
		CHECK(known);
	}
}

/* Whatever allocation fails, the callers cope and nothing is lost. */
static void test_fail_nth(void)
{
	u64 before, failed = 0;

	vfree(vmalloc(50000));
	kfree(kmalloc(100, GFP_KERNEL));
	before = quiet_free();
	for (u64 n = 1; n < 200; n++) {
		void *a, *b, *c;

		quiet_free();
		fail_nth_arm(NULL, n);
		a = vmalloc(50000);
		b = kmalloc(3000, GFP_KERNEL);
		c = get_zeroed_page(GFP_KERNEL);
		failed += !a + !b + !c;
		fail_nth_arm(NULL, 0);
		vfree(a);
		kfree(b);
		put_free_page(c);
		CHECK_EQ(check_everything(), 0);
		CHECK_OR_RETURN(quiet_free() == before);
	}
	CHECK(failed > 20);
}

static void test_release(void)
{
	u64 free = quiet_free() + page_array_pages(), total = nr_total_pages();

	mm_release_boot_memory();
	/* 15 MiB, less the boot stack's four pages. */
	CHECK_EQ(nr_total_pages() - total, 15 * 256 - 4);
	CHECK_EQ(quiet_free() + page_array_pages() - free, 15 * 256 - 4);
	CHECK_EQ(check_everything(), 0);
}

static void test_texts(void)
{
	static char text[20000];
	static void (*const shows[])(struct seq_buf *) = {
		meminfo_show, buddyinfo_show, pagetypeinfo_show, zoneinfo_show, slabinfo_show,
		iomem_show, vmallocinfo_show, vmstat_show,
	};
	struct seq_buf m;

	for (size_t i = 0; i < ARRAY_SIZE(shows); i++) {
		seq_buf_init(&m, text, sizeof(text));
		shows[i](&m);
		CHECK(!m.overflow && m.len > 20 && text[m.len - 1] == '\n');
		if (stub_log_level == LOG_DEBUG)
			printf("%.*s\n", (int)m.len, text);
	}
	seq_buf_init(&m, text, sizeof(text));
	iomem_show(&m);
	text[m.len] = 0;
	CHECK(strstr(text, "System RAM"));
}

int main(int argc, char **argv __unused)
{
	if (argc > 1)
		stub_log_level = LOG_DEBUG;
	slabdebug = SLABDEBUG;
	RUN(test_boot);
	if (check_failed_tests)
		return 1;
	RUN(test_pages_random);
	RUN(test_exhaustion);
	RUN(test_huge_pages_are_cached);
	RUN(test_speculative_reference);
	RUN(test_contiguous);
	RUN(test_kmalloc);
	RUN(test_cache_life);
	RUN(test_xarray_nodes);
	RUN(test_vmalloc);
	RUN(test_kernel_stacks);
	RUN(test_fail_nth);
	RUN(test_release);
	RUN(test_pages_random);
	RUN(test_texts);
	free(owned);
	return check_done();
}
