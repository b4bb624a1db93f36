/*
 * Address spaces: birth, references, death.
 *
 * Life cycle of a struct mm: mm_alloc (or mm_fork) -> live while users > 0 (threads, and whoever works on its mappings) ->
 * the last mm_put empties it: all mappings and tables but the top one are gone -> kept while count > 0 (CPUs that
 * still have its tables loaded lazily) -> the last mm_drop frees the top table and the struct. All users together hold one count.
 *
 * Nobody runs in an mm whose last user is gone; lazily loaded tables are not walked for user addresses. So emptying it
 * flushes no TLB: the top table is freed only when no CPU has it loaded, and an address-space tag is never
 * given to another mm without a flush.
 */
#include <kernel/random.h>
#include <mm/check.h>
#include <mm/hugetlb.h>
#include <mm/ksm.h>
#include "lru.h"
#include "run.h"

struct mm_list { spinlock_t lock; struct hlist_head mms; };

static struct kmem_cache *mm_cache;
/* All address spaces, each on the list of the CPU that published it: fork and exit share no line with other CPUs'. */
static DEFINE_PER_CPU(struct mm_list, mm_lists) __aligned(64);
LOCK_DECLARE(mm_lists);
struct page *zero_page;
s32 oom_victims;
static unsigned mm_cpus; /* (I) */
u64 max_map_count = MAX_MAP_COUNT, mmap_min_addr = 65536, mmap_rnd_bits = 28, legacy_va_layout;

struct mm init_mm = {
	.users = 1,
	.count = 1,
	.lock = RWSEM_INIT(init_mm.lock),
	.vma_list = LIST_HEAD_INIT(init_mm.vma_list),
	.page_table_lock = SPINLOCK_INIT,
};

void mm_init(void)
{
	mm_cpus = (unsigned)cpus_possible();
	mm_cache = kmem_cache_create("mm_struct", sizeof(struct mm) + mm_cpus * sizeof(struct mm_cpu), 64, SLAB_PANIC | SLAB_HWCACHE_ALIGN, NULL);
	vma_init_cache();
	anon_group_init();
	init_mm.pgd = init_mm.root = kernel_pgd;
	mm_tlb_init(&init_mm.tlb);
	zero_page = alloc_page(GFP_KERNEL | GFP_ZERO);
	VERIFY(zero_page);
	/* as Linux: a machine this small cannot spare 2 MiB for a few touched bytes */
	if (nr_total_pages() < 512 * SZ_1M >> PAGE_SHIFT)
		thp_enabled = THP_NEVER;
	hugetlb_init_sizes();
	check_register("mm", mm_check_all);
	check_register("mm lists", mm_lists_check);
	check_register("rmap", rmap_check);
	lru_init();
	runs_init();
	check_register("lru", lru_check);
	check_register("frames", frames_check);
#ifdef LOCKCHECK
	check_register("locks", lock_check);
#endif
}

/* The root, and with 5 levels the table below it that is always there. */
static inline u64 root_bytes(const struct mm *mm)
{
	return mm->root == mm->pgd ? PAGE_SIZE : 2 * PAGE_SIZE;
}

struct mm *mm_alloc(void)
{
	struct mm *mm = kmem_cache_zalloc(mm_cache, GFP_KERNEL);

	if (unlikely(!mm))
		return NULL;
	mm->root = root_alloc(&mm->pgd);
	if (unlikely(!mm->root)) {
		kmem_cache_free(mm_cache, mm);
		return NULL;
	}
	mm->user_root = root_user(mm->root);
	mm->pgtables_bytes = root_bytes(mm);
	mm_tlb_init(&mm->tlb);
	mm->users = mm->count = 1;
	mm->write_seq = 1; /* no VMA is locked that never was */
	init_rwsem(&mm->lock);
	vmatree_init(mm);
	spin_lock_init(&mm->page_table_lock);
	mm->rlimit_as = mm->rlimit_data = ~0ull;
	mm->rlimit_stack = 8 * SZ_1M;
	mm->rlimit_memlock = 8 * SZ_1M;
	mm->mmap_min = PAGE_ALIGN(mmap_min_addr);
	mm->mmap_base = TASK_SIZE_DEFAULT;
	mm->flags = MMF_DUMPABLE;
	pkeys_init(mm);
	return mm;
}

void mm_publish(struct mm *mm)
{
	preempt_disable();
	struct mm_list *l = this_cpu_ptr(&mm_lists);
	mm->mm_list_cpu = smp_processor_id();
	spin_lock(&l->lock);
	hlist_add_head(&mm->mm_list, &l->mms);
	spin_unlock(&l->lock);
	preempt_enable();
}

static void mm_unpublish(struct mm *mm)
{
	struct mm_list *l = per_cpu_ptr(&mm_lists, mm->mm_list_cpu);

	if (unlikely(hlist_unhashed(&mm->mm_list))) /* its making failed */
		return;
	spin_lock(&l->lock);
	hlist_del(&mm->mm_list);
	spin_unlock(&l->lock);
}

/* One CPU's list: who is on it says so, is linked both ways and still has its struct. => l->lock */
static u64 check_list(const struct mm_list *l, int cpu)
{
	struct hlist_node *const *link = &l->mms.first;
	u64 bad = 0;

	for (struct hlist_node *n = l->mms.first; n; link = &n->next, n = n->next) {
		const struct mm *mm = container_of(n, struct mm, mm_list);

		if (n->pprev == link && mm->mm_list_cpu == cpu && READ_ONCE(mm->count) > 0)
			continue;
		pr_err("mm_lists_check: mm %p (count %d) of CPU %d's list says CPU %d, is linked from %p, should be from %p\n", mm, mm->count, cpu,
		       (int)mm->mm_list_cpu, n->pprev, link);
		if (++bad == 8) /* what follows may be anything */
			break;
	}
	return bad;
}

u64 mm_lists_check(void)
{
	u64 bad = 0;

	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		struct mm_list *l = per_cpu_ptr(&mm_lists, cpu);

		spin_lock(&l->lock);
		bad += check_list(l, cpu);
		spin_unlock(&l->lock);
	}
	return bad;
}

bool mm_is_listed(const struct mm *mm)
{
	struct mm_list *l = per_cpu_ptr(&mm_lists, mm->mm_list_cpu);
	const struct hlist_node *n;

	spin_lock(&l->lock);
	for (n = l->mms.first; n && n != &mm->mm_list; n = n->next)
		;
	spin_unlock(&l->lock);
	return n;
}

struct mm *mm_next(struct mm *prev, bool (*wanted)(const struct mm *))
{
	struct mm *found = NULL;

	for (int cpu = prev ? prev->mm_list_cpu : 0; cpu < READ_ONCE(nr_cpus) && !found; cpu++) {
		struct mm_list *l = per_cpu_ptr(&mm_lists, cpu);

		spin_lock(&l->lock);
		/* the reference keeps prev on its list */
		struct hlist_node *n = prev && cpu == prev->mm_list_cpu ? prev->mm_list.next : l->mms.first;
		for (; n && !found; n = n->next) {
			struct mm *mm = container_of(n, struct mm, mm_list);
			if ((!wanted || wanted(mm)) && mm_get_not_zero(mm))
				found = mm;
		}
		spin_unlock(&l->lock);
	}
	if (prev)
		mm_put(prev);
	return found;
}

void mm_get(struct mm *mm)
{
	__atomic_fetch_add(&mm->users, 1, __ATOMIC_RELAXED);
}

bool mm_get_not_zero(struct mm *mm)
{
	s32 n = READ_ONCE(mm->users);

	while (n > 0)
		if (__atomic_compare_exchange_n(&mm->users, &n, n + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

/*
 * All page tables, by the VMAs: the tables of a program are few, and looking at all entries of theirs costs more than anything else
 * at its end. Neighbours share tables, so VMAs closer than what one table covers go together, and a table that reaches
 * into the next group is left to that.
 */
static void free_tables(struct tlb_gather *g, struct mm *mm)
{
	struct vma *v = list_first_entry_or_null(&mm->vma_list, struct vma, list), *next;

	for (; v; v = next) {
		u64 start = v->start, end = v->end;

		while ((next = vma_next(v)) && next->start - end <= PMD_SIZE) {
			v = next;
			end = v->end;
		}
		pt_free_range(g, start, end, 0, next ? next->start : TASK_SIZE_MAX + PAGE_SIZE);
	}
}

/* Everything mapped goes. Reverse-map walkers may still look at the VMAs, so entries go under their locks. */
static void mm_empty(struct mm *mm)
{
	struct tlb_gather g;
	struct vma *v, *n;

	tlb_gather_init(&g, mm, true);
	list_for_each_entry(v, &mm->vma_list, list) {
		if (v->flags & VM_ACCOUNT)
			vm_uncharge(npages_of(v));
		zap_range(&g, v, v->start, v->end, 0);
		vma_unlink_rmap(v);
	}
	free_tables(&g, mm);
	tlb_gather_flush(&g);
	list_for_each_entry_safe(v, n, &mm->vma_list, list)
		vma_free(v);
	vmatree_init(mm);
}

void mm_put(struct mm *mm)
{
	if (likely(__atomic_sub_fetch(&mm->users, 1, __ATOMIC_ACQ_REL)))
		return;
	mm_unpublish(mm);
	ksm_exit(mm);
	mm_empty(mm);
	if (unlikely(mm->flags & MMF_OOM_VICTIM))
		__atomic_fetch_sub(&oom_victims, 1, __ATOMIC_RELAXED);
	if (mm->exe_file)
		vma_file_put(mm->exe_file);
	mm->exe_file = NULL;
	if (mm->dtor)
		mm->dtor(mm);
	mm_drop(mm);
}

u64 mm_rss(const struct mm *mm, int kind)
{
	s64 n = 0;

	if (unlikely(mm == &init_mm))
		return 0;
	for (unsigned i = 0; i < mm_cpus; i++)
		n += READ_ONCE(mm->cpu[i].rss[kind]);
	return n > 0 ? (u64)n : 0;
}

u64 mm_rss_total(const struct mm *mm)
{
	s64 n = 0;

	for (unsigned i = 0; i < mm_cpus; i++)
		n += mm->cpu[i].rss[RSS_ANON] + mm->cpu[i].rss[RSS_FILE] + mm->cpu[i].rss[RSS_SHMEM];
	return n > 0 ? (u64)n : 0;
}

void mm_grab(struct mm *mm)
{
	__atomic_fetch_add(&mm->count, 1, __ATOMIC_RELAXED);
}

void mm_drop(struct mm *mm)
{
	if (likely(__atomic_sub_fetch(&mm->count, 1, __ATOMIC_ACQ_REL)))
		return;
	ASSERT3U(mm->pgtables_bytes, ==, root_bytes(mm));
	for (int i = 0; i < NR_RSS; i++)
		ASSERT3U(mm_rss(mm, i), ==, 0);
	ASSERT3S(mm->hugetlb_pages, ==, 0);
	/* A root is used again as it is: one with tables left in it must not be. */
	if (likely(mm->pgtables_bytes == root_bytes(mm)))
		root_free(mm->root, mm->pgd);
	else
		pr_err("mm: %llu bytes of page tables were left behind\n", mm->pgtables_bytes - root_bytes(mm));
	kmem_cache_free(mm_cache, mm);
}

/* --- layout of a new program --- */

#define STACK_RANDOM_PAGES 0x3fffffull /* 16 GiB */
#define STACK_INITIAL (33 * PAGE_SIZE) /* what a new program's stack maps at once, as Linux */
#define BRK_RANDOM 0x02000000ull

int mm_setup_layout(struct mm *mm, u64 stack_rlimit, bool randomize, bool bottomup, u64 *stack_top)
{
	u64 top = TASK_SIZE_DEFAULT, gap = stack_rlimit, size, random;
	struct vma *v;

	if (randomize)
		top -= (get_random_u64() & STACK_RANDOM_PAGES) << PAGE_SHIFT;
	random = randomize ? get_random_u64() >> (64 - READ_ONCE(mmap_rnd_bits)) << PAGE_SHIFT : 0;
	gap = clamp(gap, 128 * SZ_1M, TASK_SIZE_DEFAULT / 6 * 5);
	gap += STACK_GUARD_GAP + (randomize ? STACK_RANDOM_PAGES << PAGE_SHIFT : 0);
	gap = min(gap, TASK_SIZE_DEFAULT / 6 * 5);
	mm->mmap_bottomup = bottomup || READ_ONCE(legacy_va_layout) || stack_rlimit == ~0ull;
	mm->mmap_base = mm->mmap_bottomup ? PAGE_ALIGN(TASK_SIZE_DEFAULT / 3) + random : PAGE_ALIGN(TASK_SIZE_DEFAULT - gap - random);
	mm->rlimit_stack = stack_rlimit;
	size = min(STACK_INITIAL, max(PAGE_SIZE, stack_rlimit & PAGE_MASK));
	v = vma_new(mm, top - size, top, VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_GROWSDOWN |
		    VM_STACK | VM_ACCOUNT, (top - size) >> PAGE_SHIFT);
	if (!v)
		return -ENOMEM;
	if (vm_charge(mm, npages_of(v))) {
		vma_free(v);
		return -ENOMEM;
	}
	down_write(&mm->lock);
	vma_link(mm, v);
	vma_stat(mm, v->flags, npages_of(v));
	mm->start_stack = top;
	mm_up_write(mm);
	*stack_top = top;
	return 0;
}

int mm_set_brk_start(struct mm *mm, u64 end_of_bss, bool randomize)
{
	u64 b = PAGE_ALIGN(end_of_bss);

	if (randomize)
		b += (get_random_u64() % (BRK_RANDOM >> PAGE_SHIFT)) << PAGE_SHIFT;
	if (b >= TASK_SIZE_DEFAULT)
		return -ENOMEM;
	mm->start_brk = mm->brk = b;
	return 0;
}

u64 mm_random_pie_base(bool randomize)
{
	u64 base = TASK_SIZE_DEFAULT / 3 * 2 & PAGE_MASK;

	if (randomize)
		base += get_random_u64() >> (64 - READ_ONCE(mmap_rnd_bits)) << PAGE_SHIFT;
	return base;
}
