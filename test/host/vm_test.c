// SOURCES: mm/vmatree.c mm/vma.c mm/mm.c mm/mmap.c mm/munmap.c mm/mprotect.c mm/mremap.c mm/madvise.c mm/mlock.c mm/fault.c
// SOURCES: mm/filemap.c mm/fork.c mm/huge.c mm/collapse.c mm/rmap.c mm/mapping.c mm/zap.c mm/ptwalk.c mm/commit.c mm/gup.c
// SOURCES: mm/vmcheck.c mm/pkeys.c mm/lazyfree.c mm/lru.c kernel/lib/rbtree.c kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG -include test/host/vmsim.h -fno-sanitize=alignment
/*
 * The whole virtual half against a shadow model, on a simulated machine: real page tables and struct pages in an array, a
 * software MMU with two caches of translations that are only ever invalidated by the flush functions.
 *
 * Random programs map, unmap, protect, move, advise, fork, pin, truncate and touch. After every step: each value read through
 * the MMU is the model's; no cached translation gives more than the tables do; a page that is freed is in no cache; the
 * kernel's own checkers find nothing. At the end every page is free again.
 */
#include "../../mm/lru.h"
#include "mm/check.h"
#include "check.h"
#include "mm/uffd.h"

/* --- no pools of huge pages here: nothing has VM_HUGETLB --- */

#include "mm/hugetlb.h"
static const char no_pool[] = "no pools in this test";
#define NO_POOL VERIFY(!no_pool[0])
void hugetlb_init_sizes(void) {}
unsigned vma_file_huge_shift(struct file *f) { return 0; }
u64 vma_page_size(const struct vma *v) { return PAGE_SIZE; }
pte_t *hugetlb_entry(const struct vma *v, u64 addr) { NO_POOL; return NULL; }
pte_t *hugetlb_entry_alloc(const struct vma *v, u64 addr) { NO_POOL; return NULL; }
int hugetlb_fault(struct fault *f) { NO_POOL; return FR_SIGBUS; }
void hugetlb_zap(struct tlb_gather *g, struct vma *v, u64 start, u64 end, unsigned how) { NO_POOL; }
int hugetlb_copy(struct vma *dst, struct vma *src, bool *wrprotected) { NO_POOL; return 0; }
bool hugetlb_rmap(struct rmap_walk *w, struct vma *v, struct page *p) { NO_POOL; return true; }
void hugetlb_forget(struct vma *v, u64 start, u64 end) { NO_POOL; }
void hugetlb_moved(struct vma *v) { NO_POOL; }
void hugetlb_punch(struct vma *v, u64 start, u64 end) { NO_POOL; }

/* --- physical memory --- */

#define FRAMES 16384u /* 64 MiB */
char sim_page_array[FRAMES * sizeof(struct page)] __attribute__((aligned(64)));
static u8 memory[(u64)FRAMES << PAGE_SHIFT] __attribute__((aligned(2 << 20)));
u64 direct_map_base;
u64 task_size_max = (1ull << 56) - PAGE_SIZE; /* the machine has 5 levels */
static u8 used[FRAMES];
static u32 frames_used;
static u32 fail_in; /* the n-th allocation from now fails; 0 never */

static bool fail_now(void)
{
	return fail_in && !--fail_in;
}

struct page *alloc_pages(gfp_t gfp, unsigned order)
{
	u32 n = 1u << order;
	static u32 hint;

	if (fail_now())
		return NULL;
	for (u32 k = 0, at = order ? 0 : hint; k < FRAMES; k += n, at = (at + n) % FRAMES) {
		u32 i = 0;

		while (i < n && !used[at + i])
			i++;
		if (i < n)
			continue;
		memset(used + at, 1, n);
		frames_used += n;
		for (i = 0; i < n; i++)
			page_array[at + i] = (struct page){ .flags = (u64)PT_KERNEL << PG_TYPE_SHIFT, .refcount = 1 };
		if (order && gfp & GFP_COMP) {
			page_array[at].flags |= 1ull << PG_HEAD | (u64)order << PG_ORDER_SHIFT;
			for (i = 1; i < n; i++) {
				page_array[at + i].flags |= 1ull << PG_TAIL;
				page_array[at + i].refcount = 0;
				page_array[at + i].head = &page_array[at];
			}
		}
		if (gfp & GFP_ZERO)
			memset(memory + ((u64)at << PAGE_SHIFT), 0, (u64)n << PAGE_SHIFT);
		else
			memset(memory + ((u64)at << PAGE_SHIFT), 0xa5, (u64)n << PAGE_SHIFT);
		hint = (at + n) % FRAMES;
		return &page_array[at];
	}
	return NULL;
}

static void no_translation_to(u64 pfn, u64 n);

void page_free_last(struct page *p)
{
	u32 n = page_flag(p, PG_HEAD) ? 1u << page_order(p) : 1, at = page_to_pfn(p);

	VERIFY3S(p->refcount, ==, 0);
	VERIFY3S(p->mapcount, ==, 0);
	VERIFY3U(p->private, ==, 0);
	VERIFY(!page_flag(p, PG_TAIL) && used[at]);
	mm_page_release(p);
	no_translation_to(at, n);
	memset(used + at, 0, n);
	memset(memory + ((u64)at << PAGE_SHIFT), 0x5a, (u64)n << PAGE_SHIFT);
	for (u32 i = 0; i < n; i++)
		page_array[at + i] = (struct page){ .flags = (u64)PT_FREE << PG_TYPE_SHIFT };
	frames_used -= n;
}

bool page_get_unless_zero(struct page *p)
{
	return p->refcount ? p->refcount++, true : false;
}

void join_pages(struct page *p, unsigned order)
{
	for (u32 i = 0; i < 1u << order; i++) {
		VERIFY(!p[i].refcount && !p[i].mapcount);
		p[i].flags = (u64)PT_KERNEL << PG_TYPE_SHIFT | 1ull << (i ? PG_TAIL : PG_HEAD);
		p[i].mapping = NULL;
		p[i].head = p;
	}
	p->flags |= (u64)order << PG_ORDER_SHIFT;
	p->refcount = 1;
}

void split_page(struct page *p, unsigned order)
{
	for (u32 i = 0; i < 1u << order; i++) {
		p[i].flags &= ~(1ull << PG_HEAD | 1ull << PG_TAIL | 63ull << PG_ORDER_SHIFT);
		p[i].refcount = 1;
	}
}

struct page *page_table_alloc(struct mm *mm, gfp_t gfp)
{
	struct page *p = alloc_pages(gfp | GFP_ZERO, 0);

	if (!p)
		return NULL;
	page_set_type(p, PT_TABLE);
	spin_lock_init(&p->pt_lock);
	p->pt_mm = mm;
	if (mm)
		mm->pgtables_bytes += PAGE_SIZE;
	return p;
}

void page_table_free(struct page *p)
{
	u64 *t = page_address(p);

	for (int i = 0; i < PTRS; i++)
		VERIFY3U(t[i], ==, 0); /* what ptwalk.c promises */
	if (p->pt_mm)
		p->pt_mm->pgtables_bytes -= PAGE_SIZE;
	p->private = 0;
	p->mapping = NULL;
	page_put(p);
}

pgd_t *root_alloc(pgd_t **low)
{
	struct page *p = page_table_alloc(NULL, 0), *q = p ? page_table_alloc(NULL, 0) : NULL;
	struct page *twin = q ? page_table_alloc(NULL, 0) : NULL;

	if (p && !q)
		page_table_free(p);
	if (q && !twin)
		page_table_free(p), page_table_free(q);
	if (!twin)
		return NULL;
	*low = page_address(q);
	p->pt_va = (u64)page_address(twin);
	((pgd_t *)page_address(twin))[0] = pte_make(page_to_phys(q), PTE_P | PTE_W | PTE_U);
	((pgd_t *)page_address(p))[0] = pte_make(page_to_phys(q), PTE_P | PTE_W | PTE_U);
	return page_address(p);
}

pgd_t *root_user(pgd_t *root) { return (pgd_t *)virt_to_page(root)->pt_va; }
u64 pti_check_root(const pgd_t *root) { return 0; }

void root_free(pgd_t *root, pgd_t *low)
{
	pgd_t *twin = root_user(root);

	root[0].v = twin[0].v = 0;
	page_table_free(virt_to_page(twin));
	page_table_free(virt_to_page(low));
	page_table_free(virt_to_page(root));
}
u64 nr_total_pages(void) { return FRAMES * 64ull; } /* large enough for huge pages to be on */
u64 nr_free_pages(void) { return FRAMES - frames_used; }
void pages_put_list(struct page **p, unsigned n) { while (n--) page_put(*p++); }
void clear_page(void *p) { memset(p, 0, PAGE_SIZE); }
void clear_pages(void *p, unsigned n) { memset(p, 0, n * PAGE_SIZE); }
void copy_page(void *to, const void *from) { memcpy(to, from, PAGE_SIZE); }

/* --- objects: malloc, so that ASan watches them --- */

struct kmem_cache { size_t size; u32 active; void (*ctor)(void *); };
static struct kmem_cache caches[8];
static int nr_caches;

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align, u32 flags, void (*ctor)(void *))
{
	caches[nr_caches] = (struct kmem_cache){ .size = (size + 63) & ~63ul, .ctor = ctor };
	return &caches[nr_caches++];
}

void *kmem_cache_alloc(struct kmem_cache *c, gfp_t gfp)
{
	void *p = fail_now() ? NULL : aligned_alloc(64, c->size);

	if (p && c->ctor)
		c->ctor(p);
	else if (p)
		memset(p, 0xa5, c->size);
	c->active += p != NULL;
	return p;
}

void *kmem_cache_zalloc(struct kmem_cache *c, gfp_t gfp)
{
	void *p = kmem_cache_alloc(c, gfp);

	return p ? memset(p, 0, c->size) : NULL;
}

void kmem_cache_free(struct kmem_cache *c, void *p) { c->active--; free(p); }
void *kmalloc(size_t n, gfp_t gfp) { return fail_now() ? NULL : malloc(n); }
void kfree(const void *p) { free((void *)p); }
size_t ksize(const void *p) { return 0; }
void *kmemdup(const void *p, size_t n, gfp_t gfp) { return NULL; }
static struct xa_node *node_alloc(gfp_t gfp) { return fail_now() ? NULL : calloc(1, sizeof(struct xa_node)); }
static void node_free(struct xa_node *n) { free(n); }
const struct xa_node_ops xa_slab_ops = { node_alloc, node_free };

/* --- the rest of a kernel --- */

u64 percpu_delta[MAX_CPUS];
u64 this_percpu_delta;
cpumask_t cpu_online_mask = 1;
u32 this_cpu_number, preempt_count, pagefault_off;
struct thread *cpu_current;
struct cpu_features cpu_features = { .nx = true };
pgd_t *kernel_pgd;
int nr_cpus = 1;
bool fail_nth_armed;
u64 tlb_answered;
int cpus_possible(void) { return 1; }
void synchronize_rcu(void) {}
void kfree_rcu_at(struct rcu_head *head, size_t off) { free((char *)head - off); }
void preempt_schedule(void) {}
u32 pkru_read(void) { return 0; }
void pkru_write(u32 v) {}
/* there is no zone Movable here to leave, and frames are checked by page_free_last */
struct migration *migration_alloc(void) { return NULL; }
void migration_free(struct migration *m) {}
int migrate_page(struct migration *m, struct page *p, struct page *to) { return -EBUSY; }
u64 frames_check(void) { return 0; }
/* one node, nothing in /proc */
u64 node_online_map = 1;
int this_node(void) { return 0; }
void seq_printf(struct seq_buf *m, const char *fmt, ...) {}
/* nobody sets a NUMA policy here */
bool mempolicy_used;
struct page *alloc_vma_policy(gfp_t gfp, unsigned order, const struct vma *v, u64 addr) { abort(); }
struct page *alloc_mapping_policy(gfp_t gfp, struct mapping *m, u64 index) { abort(); }
void mapping_policy_free(struct mapping *m) { abort(); }
bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b) { return a == b; }
void set_current_state(unsigned state) {}
u64 ktime_ns(void) { return 0; }
bool schedule_until(u64 deadline) { return true; }
/* nothing is ever registered here */
int uffd_fault(struct fault *f, u64 reason) { return FR_SIGBUS; }
int uffd_file_fault(struct fault *f) { return FR_OK; }
void uffd_strip(struct vma *v, u64 start, u64 end) {}
int uffd_unmap_prep(struct mm *mm, struct vma *v, u64 start, u64 end) { return 0; }
int uffd_remap(struct vma *new, u64 from, u64 len) { return 0; }
void uffd_remove(struct vma *v, u64 start, u64 end) {}
int uffd_fork(struct vma *n, struct mm *child) { return 0; }
void uffd_fork_done(struct mm *child, bool ok) {}
void uffd_tell(struct mm *mm) {}
void spin_lock_slow(spinlock_t *l) { VERIFY(!"deadlock"); }
void spin_poll(void) {}
void page_lock(struct page *p) { p->flags |= 1 << PG_LOCKED; }
void page_unlock(struct page *p) { p->flags &= ~(1ull << PG_LOCKED); }
void init_rwsem(struct rw_semaphore *s) { s->count = 0; }
void down_read_slow(struct rw_semaphore *s) { VERIFY(!"deadlock"); }
void down_write_slow(struct rw_semaphore *s) { VERIFY(!"deadlock"); }
void rwsem_wake(struct rw_semaphore *s) {}
void downgrade_write(struct rw_semaphore *s) { s->count = 1; }
bool fatal_signal_pending_current(void) { return false; }
void check_register(const char *name, u64 (*fn)(void)) {}
u64 get_random_u64(void) { return check_rand(); }
void might_sleep_at(const char *f, int l) { VERIFY3U(preempt_count, ==, 0); }
u64 vm_events[NR_VM_EVENTS];
s64 vm_states[NR_VM_STATES];

void printk(int level, const char *fmt, ...)
{
	va_list a;

	va_start(a, fmt);
	vprintf(fmt, a);
	va_end(a);
}

/* --- files --- */

#define NR_FILES 3
struct file { s32 refs; bool shmem; struct mapping m; };
static struct file files[NR_FILES];
struct file *vma_file_get(struct file *f) { f->refs++; return f; }
void vma_file_put(struct file *f) { VERIFY(f->refs-- > 1); }
struct file *shmem_zero_file(u64 size, u64 vmflags) { return ERR_PTR(-ENOMEM); }
int vma_file_path(struct file *f, char *buf, u64 n) { return 0; }
void vma_file_ids(struct file *f, u64 *dev, u64 *ino) {}

void vma_file_modified(struct file *f)
{
	(void)f;
}
int vma_file_mmap(struct file *f, struct vma *v)
{
	v->ops = &filemap_vma_ops;
	v->mapping = &f->m;
	return 0;
}

int vma_file_check(struct file *f, u64 prot, u64 flags, u64 *may)
{
	*may = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
	return 0;
}

/* --- CPUs: caches of translations --- */

#define TLB_SIZE 64
struct translation { struct mm *mm; u64 va, size; pte_t e; };
static struct translation tlb[2][TLB_SIZE];
static int cpu;
static u64 nr_flushes;

static void tlb_drop(int c, struct mm *mm, u64 start, u64 end)
{
	for (int i = 0; i < TLB_SIZE; i++) {
		struct translation *t = &tlb[c][i];

		if (t->mm == mm && t->va < end && start < t->va + t->size)
			t->mm = NULL;
	}
}

void mm_tlb_init(struct mm_tlb *t) {}
void tlb_flush_local(u64 va)
{
	for (int i = 0; i < TLB_SIZE; i++)
		if (tlb[cpu][i].va <= va && va < tlb[cpu][i].va + tlb[cpu][i].size)
			tlb[cpu][i].mm = NULL;
}

void tlb_flush_range(struct mm *mm, u64 start, u64 end, unsigned shift)
{
	nr_flushes++;
	for (int c = 0; c < 2; c++)
		tlb_drop(c, mm, start, end);
}

void tlb_flush_mm(struct mm *mm) { tlb_flush_range(mm, 0, ~0ull, 12); }

void tlb_gather_init(struct tlb_gather *g, struct mm *mm, bool fullmm)
{
	*g = (struct tlb_gather){ .mm = mm, .start = ~0ull, .fullmm = fullmm };
}

void tlb_gather_flush(struct tlb_gather *g)
{
	if (g->fullmm)
		tlb_drop(0, g->mm, 0, ~0ull), tlb_drop(1, g->mm, 0, ~0ull);
	else if (g->start < g->end)
		tlb_flush_range(g->mm, g->start, g->end, 12);
	pages_put_list(g->pages, g->npages);
	for (u32 i = 0; i < g->ntables; i++)
		page_table_free(g->tables[i]);
	g->npages = g->ntables = 0;
	g->start = ~0ull;
	g->end = 0;
}

void tlb_gather_table(struct tlb_gather *g, struct page *p)
{
	g->tables[g->ntables++] = p;
	if (g->ntables == ARRAY_SIZE(g->tables))
		tlb_gather_flush(g);
}

static void no_translation_to(u64 pfn, u64 n)
{
	for (int c = 0; c < 2; c++)
		for (int i = 0; i < TLB_SIZE; i++) {
			struct translation *t = &tlb[c][i];
			u64 p = pte_pfn(t->e);

			if (t->mm && p < pfn + n && pfn < p + (t->size >> PAGE_SHIFT) && page_to_pfn(zero_page) != p)
				panic("frame %llx freed while cpu %d has %llx -> %llx", pfn, c, t->va, t->e.v);
		}
}

/* The entry that translates @va, or NULL. */
static pte_t *walk(struct mm *mm, u64 va, u64 *size)
{
	pmd_t *pmd = pt_pmd(mm, va);

	*size = PMD_SIZE;
	if (!pmd || !(pmd->v & PTE_P))
		return NULL;
	if (pmd->v & PTE_PS)
		return pmd;
	*size = PAGE_SIZE;
	return table_of(*pmd) + pte_index(va);
}

/* No cached translation gives more than the tables. */
static void tlb_check(void)
{
	for (int c = 0; c < 2; c++)
		for (int i = 0; i < TLB_SIZE; i++) {
			struct translation *t = &tlb[c][i];
			u64 size;
			pte_t *e;

			if (!t->mm)
				continue;
			e = walk(t->mm, t->va, &size);
			if (!e || !pte_present(*e) || pte_pa(*e) + (t->va & (size - 1)) != pte_pa(t->e) || (t->e.v & ~e->v & PTE_W))
				panic("stale translation %llx -> %llx on cpu %d, table has %llx", t->va, t->e.v, c, e ? e->v : 0);
		}
}

/* One access by a random CPU. NULL: it would be a signal. */
static u64 *touch(struct mm *mm, u64 va, bool write)
{
	cpu = check_rand_below(2);
	for (int round = 0; round < 10; round++) {
		struct translation *t = NULL;
		u64 size;
		pte_t *e;

		for (int i = 0; i < TLB_SIZE; i++)
			if (tlb[cpu][i].mm == mm && tlb[cpu][i].va <= va && va < tlb[cpu][i].va + tlb[cpu][i].size)
				t = &tlb[cpu][i];
		if (t && write && !pte_write(t->e)) {
			t->mm = NULL; /* a faulting access drops the translation */
			t = NULL;
		}
		if (!t && (e = walk(mm, va, &size)) && pte_present(*e) && (!write || pte_write(*e))) {
			t = &tlb[cpu][check_rand_below(TLB_SIZE)];
			*t = (struct translation){ mm, va & ~(size - 1), size, *e };
			e->v |= PTE_A;
		}
		if (t) {
			if (write && (e = walk(mm, va, &size)))
				e->v |= PTE_D;
			return (u64 *)(memory + pte_pa(t->e) + (va & (t->size - 1)));
		}
		switch (mm_fault(mm, va, (write ? FAULT_WRITE : 0) | FAULT_USER, va)) {
		case FR_OK:
		case FR_RETRY:
		case FR_OOM: /* injected: once */
			continue;
		default:
			return NULL;
		}
	}
	panic("no end of faults at %llx", va);
}

/* --- the model --- */

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

static u32 checked_reads, checked_writes;

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
	u64 off = check_rand_below(2) ? 0 : PAGE_SIZE - 8;
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
	*value_of(m) = check_rand() & 0x7fffffff;
	*w = *value_of(m);
	w2 = touch(pr->mm, va_of(page) + PAGE_SIZE - 8, true);
	CHECK(w2);
	if (w2)
		*w2 = *value_of(m);
}

static void pick(u32 *at, u32 *n)
{
	*at = check_rand_below(PAGES);
	*n = 1 + check_rand_below(check_rand_below(4) ? 20 : 1300);
	if (check_rand_below(3) == 0) {
		*at &= ~511u;
		*n = 512 * (1 + check_rand_below(2));
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
	u32 at, n, prot = prots[check_rand_below(5)], index = 0;
	int file = (int)check_rand_below(NR_FILES * 3) - NR_FILES * 2;
	bool shared = check_rand_below(2);
	s64 r;

	pick(&at, &n);
	if (file >= 0) {
		index = check_rand_below(FPAGES);
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
	u32 at, n, prot = check_rand_below(4) ? PROT_READ | (check_rand_below(2) ? PROT_WRITE : 0) : 0, k = 0;
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
	int advice = advices[check_rand_below(ARRAY_SIZE(advices))], r;
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
	u32 at, n, to = check_rand_below(PAGES), m;
	static struct mpage moved[PAGES];
	s64 r;

	pick(&at, &n);
	m = check_rand_below(2) ? n : 1 + check_rand_below(n + 20);
	if (check_rand_below(3) == 0)
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
	struct proc *c = &procs[check_rand_below(PROCS)];

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
	u32 page = check_rand_below(PAGES);
	struct mpage *m = &pr->p[page];
	bool write = check_rand_below(2);
	u64 buf[512];
	s64 r;

	if (write) {
		memset(buf, 0, sizeof(buf));
		buf[0] = buf[511] = check_rand() & 0x7fffffff;
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
	u32 page = check_rand_below(PAGES);
	struct mpage *m = &pr->p[page];

	if (pin.p) {
		struct mpage *pm = &pin.pr->p[pin.page];
		u64 *w = page_address(pin.p), size;

		if (pin.pr->mm && !pin.lost) {
			pte_t *e = walk(pin.pr->mm, va_of(pin.page), &size);

			CHECK(!pm->read || (e && pte_pfn(*e) + (size == PMD_SIZE ? pin.page % 512 : 0) == page_to_pfn(pin.p)));
			w[0] = w[511] = *value_of(pm) = check_rand() & 0x7fffffff;
		}
		if (check_rand_below(3) == 0)
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

/* Pages of nobody's now read as zeros, where MADV_FREE allowed it; what was not taken is what it was. */
static void op_lazyfree(struct proc *pr)
{
	u32 at, n;

	pick(&at, &n);
	(void)do_madvise(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, MADV_FREE);
	if (check_rand_below(2))
		read_page(pr, at);
	if (check_rand_below(2))
		write_page(pr, at + n / 2);
	if (check_rand_below(3) == 0)
		(void)do_madvise(pr->mm, va_of(at), (u64)n << PAGE_SHIFT, MADV_PAGEOUT);
	else if (check_rand_below(3) == 0)
		(void)mm_reclaim_pages(GFP_KERNEL, 0);
	for (pr = procs; pr < procs + PROCS; pr++)
		for (u32 i = 0; pr->mm && i < PAGES; i++) {
			pmd_t *pmd = pt_pmd(pr->mm, va_of(i));

			if (!pr->p[i].mapped || pr->p[i].file >= 0)
				continue;
			if (!pmd || pte_none(*pmd) || (pmd_has_table(*pmd) && pte_none(table_of(*pmd)[pte_index(va_of(i))])))
				pr->p[i].val = 0;
		}
}

static void op_truncate(void)
{
	int f = check_rand_below(NR_FILES);
	u32 n = check_rand_below(FPAGES + 1);

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

static void step(void)
{
	struct proc *pr = &procs[check_rand_below(PROCS)];

	if (!pr->mm)
		pr = &procs[0];
	if (!pr->mm) {
		pr->mm = mm_alloc();
		memset(pr->p, 0, sizeof(pr->p));
		return;
	}
	switch (check_rand_below(40)) {
	case 0 ... 3: op_mmap(pr); break;
	case 4 ... 5: op_munmap(pr); break;
	case 6 ... 8: op_mprotect(pr); break;
	case 9 ... 11: op_madvise(pr); break;
	case 12 ... 14: op_mremap(pr); break;
	case 15: op_fork(pr); break;
	case 16 ... 17: op_access(pr); break;
	case 18 ... 20: op_pin(pr); break;
	case 22: op_lazyfree(pr); break;
	case 21: if (check_rand_below(4) == 0) op_truncate(); break;
	default:
		for (int i = 0; i < 12; i++) {
			u32 page = check_rand_below(PAGES);

			if (check_rand_below(2))
				read_page(pr, page);
			else
				write_page(pr, page);
		}
	}
}

static void start(void)
{
	for (int i = 0; i < NR_FILES; i++) {
		files[i].refs = 1;
		mapping_init(&files[i].m, NULL, NULL, i == 0 ? MAPPING_SHMEM : 0);
		fsize[i] = FPAGES;
		files[i].m.size = (u64)FPAGES << PAGE_SHIFT;
	}
	memset(contents, 0, sizeof(contents));
}

static u64 live_objects(void)
{
	u64 n = 0;

	for (int i = 0; i < nr_caches; i++)
		n += caches[i].active;
	return n;
}

/* Everything goes away and nothing is left. */
static void finish(u32 frames_before)
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
}

static void run(int steps, bool failures)
{
	u32 before = frames_used;

	start();
	for (int i = 0; i < steps; i++) {
		if (failures && check_rand_below(3) == 0)
			fail_in = 1 + check_rand_below(12);
		step();
		fail_in = 0;
		tlb_check();
		if (i % 16 == 0) {
			CHECK_EQ(mm_check_all() + lru_check(), 0);
			CHECK_EQ(rmap_check(), 0);
		}
		CHECK_EQ(preempt_count, 0);
		if (check_failed_now) {
			printf("  at step %d\n", i);
			return;
		}
	}
	finish(before);
}

static void random_programs(void)
{
	run(40000, false);
	printf("  %u reads, %u writes, %llu flushes, %llu huge faults, %llu splits, %llu page splits, %llu collapses\n", checked_reads,
	       checked_writes, nr_flushes, vm_events[THP_FAULT_ALLOC], vm_events[THP_SPLIT_PMD], vm_events[THP_SPLIT_PAGE], vm_events[THP_COLLAPSE_ALLOC]);
	CHECK(vm_events[THP_FAULT_ALLOC] && vm_events[THP_SPLIT_PAGE] && vm_events[THP_COLLAPSE_ALLOC]);
}

static void failing_allocations(void)
{
	run(20000, true);
}

int main(void)
{
	direct_map_base = (u64)memory;
	for (u32 i = 0; i < FRAMES; i++)
		page_array[i].flags = (u64)PT_FREE << PG_TYPE_SHIFT;
	used[0] = 1; /* frame 0 stays away: an entry for it could look empty */
	mm_init();
	RUN(random_programs);
	RUN(failing_allocations);
	return check_done();
}
