// SOURCES: mm/buddy.c mm/bootmem.c mm/section.c mm/zone.c mm/pcp.c mm/page.c mm/slab.c
// SOURCES: mm/magazine.c mm/kmem.c mm/kmem_cache.c mm/pagedebug.c mm/kmalloc.c mm/arena.c mm/vmalloc.c mm/kstack.c mm/check.c
// SOURCES: mm/compact.c mm/failinject.c mm/vmstat.c mm/show.c kernel/lib/string.c kernel/lib/seq_buf.c
// SOURCES: kernel/lib/rbtree.c kernel/lib/bitmap.c kernel/lib/xarray.c kernel/lib/parse.c
// CFLAGS: -DHOST_TEST -DDEBUG -DPAGE_ARRAY_BASE=0x210000000000ull -fno-sanitize=alignment
// CFLAGS: -DVMALLOC_START=0x220000000000ull -DVMALLOC_END=0x22ffffffffffull -Wno-format
/*
 * The whole physical and object level on the host: "physical memory" is a memory file, the direct
 * map, the page array and vmalloc are mappings of it, and one CPU is a thread whose per-CPU
 * variables are the templates themselves (GS is 0 here).  The hand-off has holes, firmware ranges
 * and two nodes.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <kernel/wait.h>
#include <lib/err.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <lib/xarray.h>
#include <mm/check.h>
#include <mm/failinject.h>
#include <mm/kstack.h>
#include <mm/migrate.h>
#include <mm/mm.h>
#include <mm/section.h>
#include <mm/show.h>
#include <mm/slab_impl.h>
#include <mm/vmalloc.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>
#include <x86/tlb.h>
#include "check.h"

/* No pools of huge pages here; their lines in the text files are missing. */
struct seq_buf;
void hugetlb_meminfo_show(struct seq_buf *s) {}
void hugetlb_node_meminfo_show(struct seq_buf *s, int node) {}
void hugetlb_vmstat_show(struct seq_buf *s) {}

/* The host's calls: its header and ours name the same constants. */
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int munmap(void *addr, size_t len);
int memfd_create(const char *name, unsigned int flags);
int ftruncate(int fd, off_t len);

#define MIB (1ull << 20)
#define PHYS_SIZE (700 * MIB)

/* ---- what the machine and the rest of the kernel would be ---- */

u64 direct_map_base = 0x200000000000ull, kimage_slide;
u64 percpu_delta[MAX_CPUS];
u64 this_percpu_delta;
u32 this_cpu_number;
u32 preempt_count = PREEMPT_NO_RESCHED;
struct thread *cpu_current;
cpumask_t cpu_online_mask = 1, cpu_present_mask = 1;
int nr_cpus = 1;
static pgd_t pgd_page[512];
pgd_t *kernel_pgd = pgd_page;
pgd_t *kernel_pgd_entry(u64 va) { return pgd_page + pgd_index(va); }
u64 overcommit_memory, overcommit_ratio = 50;
static int phys;
static u64 movablecore;
static bool verbose;

void preempt_schedule(void) { abort(); }
void spin_lock_slow(spinlock_t *l __unused) { panic("a lock is taken twice"); }
void spin_poll(void) {}
bool may_sleep(void) { return preempt_depth() == 0; }
void might_sleep_at(const char *f, int l)
{
	if (preempt_depth())
		panic("%s:%d: must not sleep here", f, l);
}

void printk(int level, const char *fmt, ...)
{
	va_list args;

	if (!verbose && level > LOG_ERR)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

bool cmdline_has(const char *w __unused) { return false; }

/* Object checking is on here, off in physmem_fast_test.c. */
#ifndef SLABDEBUG
#define SLABDEBUG "on"
#endif
int cmdline_get(const char *w, char *b, size_t n)
{
	return streq(w, "slabdebug") ? (int)strscpy(b, SLABDEBUG, n) : -ENOENT;
}

u64 cmdline_u64(const char *w, u64 otherwise)
{
	return streq(w, "movablecore") ? movablecore : otherwise;
}

void clear_page(void *p) { memset(p, 0, PAGE_SIZE); }
void clear_pages(void *p, unsigned n) { memset(p, 0, n * PAGE_SIZE); }
void smp_call_mask(u64 m __unused, void (*fn)(void *) __unused, void *a __unused, bool w __unused) {}
void pgtable_count_direct(u64 n[3]) { n[0] = n[1] = n[2] = 0; }
bool kimage_part(unsigned i, const char **name, u64 *first, u64 *last) { return false; }
void tlb_stats_sum(struct tlb_stats *s) { memset(s, 0, sizeof(*s)); }
u64 nr_file_pages(void) { return 0; }
u64 nr_shmem_pages(void) { return 0; }
struct mm *mm_next(struct mm *prev __unused, bool (*wanted)(const struct mm *) __unused) { return NULL; }
u64 vm_committed(void) { return 0; }
u64 vm_commit_limit(void) { return nr_total_pages() / 2; }
void __wake_up(wait_queue_t *q __unused, unsigned m __unused, int n __unused, int s __unused,
	       u64 k __unused) {}
void prepare_to_wait(wait_queue_t *q __unused, struct wait_entry *e __unused, unsigned s __unused) {}
void finish_wait(wait_queue_t *q __unused, struct wait_entry *e __unused) {}
int wait_autoremove(struct wait_entry *e __unused, unsigned m __unused, int s __unused,
		    u64 k __unused) { return 0; }
void schedule(void) { panic("deadlock on a page lock"); }

/* No user memory here: ranges are taken where all is free. */
struct migration *migration_alloc(void) { return (struct migration *)1; }
bool page_movable(const struct page *p __unused) { return false; }
int migrate_page(struct migration *m __unused, struct page *p __unused, struct page *to __unused) { return -EBUSY; }
void mutex_lock_slow(struct mutex *m __unused) { panic("a mutex is taken twice"); }
void mutex_unlock_slow(struct mutex *m __unused) {}
void cond_resched(void) {}
u64 mm_rss(const struct mm *mm __unused, int kind __unused) { return 0; }
u64 lru_pages(int node __unused, int kind __unused) { return 0; }
void lru_vmstat_show(struct seq_buf *m __unused, int node __unused, const char *indent __unused) {}

static struct rcu_head *rcu_list;

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *))
{
	head->func = func;
	head->next = rcu_list;
	rcu_list = head;
}

void rcu_barrier(void)
{
	while (rcu_list) {
		struct rcu_head *h = rcu_list;

		rcu_list = h->next;
		h->func(h);
	}
}

int kmap_range(u64 va, u64 pa, u64 len, u64 prot __unused, bool large __unused)
{
	if (fail_alloc())
		return -ENOMEM;
	if (mmap((void *)va, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, phys,
		 (off_t)pa) != (void *)va)
		panic("mmap at %llx", va);
	return 0;
}

void kunmap_range(u64 va, u64 len, bool free_tables __unused)
{
	munmap((void *)va, len);
}

/* The mappings are the kernel's to know; a stack's pages carry their own address. */
static u64 stack_pa[64][4];

u64 kva_to_phys(u64 va)
{
	u64 slot = (va - KSTACK_AREA) / KSTACK_SLOT, k = (va & (KSTACK_SIZE - 1)) >> PAGE_SHIFT;

	return stack_pa[slot][k];
}

/* ---- the machine ---- */

static struct handoff_region regions[32];
static u32 nregions;

static void region(u64 base, u64 end, u32 type)
{
	regions[nregions++] = (struct handoff_region){
		base, (end - base) >> PAGE_SHIFT, type, HANDOFF_REGION_DIRECT,
	};
}

static struct handoff h;
static u64 boot_free;

static void boot(void)
{
	struct handoff_region *copy;
	u64 base = direct_map_base;

	phys = memfd_create("phys", 0);
	CHECK_OR_RETURN(phys >= 0 && !ftruncate(phys, PHYS_SIZE));
	CHECK_OR_RETURN(mmap((void *)base, PHYS_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, phys, 0) == (void *)base);
	region(0, 0xa0000, HANDOFF_MEM_USABLE);
	region(0x100000, 8 * MIB, HANDOFF_MEM_USABLE);
	region(8 * MIB, 9 * MIB, HANDOFF_MEM_ACPI_NVS);
	region(9 * MIB, 100 * MIB, HANDOFF_MEM_USABLE);
	region(100 * MIB, 104 * MIB, HANDOFF_MEM_KERNEL);
	region(104 * MIB, 300 * MIB, HANDOFF_MEM_USABLE);
	region(300 * MIB, 310 * MIB, HANDOFF_MEM_LOADER);
	region(310 * MIB, 500 * MIB, HANDOFF_MEM_USABLE);
	region(510 * MIB, 650 * MIB, HANDOFF_MEM_USABLE);
	region(650 * MIB, 655 * MIB, HANDOFF_MEM_BOOT_SERVICES);
	region(655 * MIB, 656 * MIB, HANDOFF_MEM_RUNTIME_DATA);
	region(656 * MIB, 690 * MIB + 0x3000, HANDOFF_MEM_USABLE);
	copy = phys_to_virt(300 * MIB);
	memcpy(copy, regions, sizeof(regions));
	h = (struct handoff){
		.regions = 300 * MIB, .nr_regions = nregions, .region_size = sizeof(regions[0]),
		.stack = 301 * MIB, .stack_len = 16384, .trampoline = 0x8000,
	};
	node_add_range(0, 0, 384 * MIB);
	node_add_range(1, 384 * MIB, 400 * MIB);
	bootmem_init(&h);
	mm_init_physical(&h);
	kmem_init();
	vmalloc_init();
	memset(copy, 0xee, sizeof(regions));	/* the hand-off may go */
}

static u64 quiet_free(void)
{
	rcu_barrier();
	kmem_reap_all();
	pcp_drain_all();
	return nr_free_pages();
}

static void test_boot(void)
{
	u64 usable = 0, total;

	boot();
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
		if (verbose)
			printf("%.*s\n", (int)m.len, text);
	}
	seq_buf_init(&m, text, sizeof(text));
	iomem_show(&m);
	text[m.len] = 0;
	CHECK(strstr(text, "System RAM"));
}

int main(int argc, char **argv __unused)
{
	verbose = argc > 1;
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
