// SOURCES: mm/vmatree.c mm/vma.c mm/mm.c mm/mmap.c mm/munmap.c mm/mprotect.c mm/mremap.c mm/madvise.c mm/mlock.c mm/fault.c
// SOURCES: mm/filemap.c mm/fork.c mm/huge.c mm/collapse.c mm/run.c mm/run_map.c mm/run_collapse.c mm/rmap.c mm/mapping.c mm/zap.c mm/ptwalk.c mm/commit.c mm/gup.c
// SOURCES: mm/vmcheck.c mm/pkeys.c mm/lazyfree.c mm/lru.c kernel/lib/rbtree.c kernel/lib/xarray.c
// CFLAGS: -DHOST_TEST -DDEBUG -include test/host/vmsim.h -fno-sanitize=alignment
/*
 * vm_machine.c - the machine under the virtual half of mm/ on the host (vm_machine.h).
 */
#include <mm/check.h>
#include "mm/lru.h"
#include "vm_machine.h"

/* --- physical memory --- */

char sim_page_array[FRAMES * sizeof(struct page)] __attribute__((aligned(64)));
u8 memory[(u64)FRAMES << PAGE_SHIFT] __attribute__((aligned(2 << 20)));
u64 direct_map_base;
u64 task_size_max = (1ull << 56) - PAGE_SIZE; /* the machine has 5 levels */
static u8 used[FRAMES];
u32 frames_used, fail_in;

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

u64 live_objects(void)
{
	u64 n = 0;

	for (int i = 0; i < nr_caches; i++)
		n += caches[i].active;
	return n;
}

/* --- files --- */

struct file files[NR_FILES];
struct file *vma_file_get(struct file *f) { f->refs++; return f; }
void vma_file_put(struct file *f) { VERIFY(f->refs-- > 1); }
struct file *shmem_zero_file(u64 size, u64 vmflags) { return ERR_PTR(-ENOMEM); }
int vma_file_path(struct file *f, char *buf, u64 n) { return 0; }
void vma_file_ids(struct file *f, u64 *dev, u64 *ino) {}

void vma_file_modified(struct file *f) {}

int vma_file_mmap(struct file *f, struct vma *v)
{
	v->ops = &filemap_vma_ops;
	v->mapping = &f->m;
	return 0;
}

u64 vma_file_size_max(struct file *f) { return S64_MAX; }

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
u64 nr_flushes;

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

pte_t *walk(struct mm *mm, u64 va, u64 *size)
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

void tlb_check(void)
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

u64 *touch(struct mm *mm, u64 va, bool write)
{
	cpu = choose(2);
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
			t = &tlb[cpu][choose(TLB_SIZE)];
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

void machine_start(void)
{
	direct_map_base = (u64)memory;
	for (u32 i = 0; i < FRAMES; i++)
		page_array[i].flags = (u64)PT_FREE << PG_TYPE_SHIFT;
	used[0] = 1; /* frame 0 stays away: an entry for it could look empty */
	mm_init();
}
