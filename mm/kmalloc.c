/*
 * kmalloc.c - memory by size: a cache for each size class, pages above the largest.
 *
 * Classes are powers of two and, where that would waste much, the step between; all multiples of
 * 16, so every result is 16-byte aligned, and those of a power of two are aligned to their size.
 * kfree finds the cache through the page struct of the address.
 */
#include <mm/slab_impl.h>

#include <kernel/rcu.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <lib/overflow.h>
#include <lib/string.h>
#include <lib/xarray.h>
#include <mm/vmalloc.h>
#include <x86/layout.h>

#define KMALLOC_CACHED	8192u
#define KMALLOC_MAX	(4u << 20)

static const u16 sizes[] = {
	16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192,
};
static struct kmem_cache *classes[ARRAY_SIZE(sizes)];
/* Class of sizes up to 1024, by 16-byte steps, and of larger ones by 512-byte steps. */
static u8 small_class[1024 / 16 + 1], large_class[KMALLOC_CACHED / 512 + 1];

void kmalloc_init(void);

void kmalloc_init(void)
{
	static const char *const names[] = {
		"kmalloc-16", "kmalloc-32", "kmalloc-48", "kmalloc-64", "kmalloc-96",
		"kmalloc-128", "kmalloc-192", "kmalloc-256", "kmalloc-384", "kmalloc-512",
		"kmalloc-768", "kmalloc-1k", "kmalloc-1536", "kmalloc-2k", "kmalloc-4k",
		"kmalloc-8k",
	};
	u8 k = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		classes[i] = kmem_cache_create(names[i], sizes[i],
					       is_power_of_2(sizes[i]) ?
					       min(sizes[i], (u16)PAGE_SIZE) : 16, SLAB_PANIC, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(small_class); i++) {
		while (sizes[k] < i * 16)
			k++;
		small_class[i] = k;
	}
	k = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(large_class); i++) {
		while (sizes[k] < i * 512)
			k++;
		large_class[i] = k;
	}
}

static __always_inline struct kmem_cache *class_of(size_t n)
{
	if (likely(n <= 1024))
		return classes[small_class[(n + 15) / 16]];
	return classes[large_class[(n + 511) / 512]];
}

static noinline void *kmalloc_pages(size_t n, gfp_t gfp)
{
	unsigned int order = 0;
	struct page *p;

	if (n > KMALLOC_MAX)
		return NULL;
	while ((PAGE_SIZE << order) < n)
		order++;
	p = alloc_pages((gfp & ~GFP_MOVABLE) | GFP_COMP, order);
	return p ? page_address(p) : NULL;
}

void *kmalloc(size_t n, gfp_t gfp)
{
	if (unlikely(n > KMALLOC_CACHED))
		return kmalloc_pages(n, gfp);
	return kmem_cache_alloc(class_of(n), gfp);
}

void *kzalloc(size_t n, gfp_t gfp)
{
	void *p;

	if (unlikely(n > KMALLOC_CACHED))
		return kmalloc_pages(n, gfp | GFP_ZERO);
	p = kmem_cache_alloc(class_of(n), gfp & ~GFP_ZERO);
	return likely(p) ? memset(p, 0, n) : NULL;
}

void *kcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kzalloc(array_size(n, size), gfp);
}

void kfree(const void *p)
{
	struct page *page;

	if (!p)
		return;
	page = page_head(virt_to_page(p));
	if (likely(page_type(page) == PT_SLAB)) {
		kmem_cache_free(page->slab_cache, (void *)(uintptr_t)p);
		return;
	}
	VERIFY(page_type(page) == PT_KERNEL && page_flag(page, PG_HEAD) &&
	       page_address(page) == p);
	page_put(page);
}

size_t ksize(const void *p)
{
	const struct page *page;

	if (!p)
		return 0;
	page = page_head(virt_to_page(p));
	return page_type(page) == PT_SLAB ? page->slab_cache->shape.size :
					    PAGE_SIZE << page_order(page);
}

void *krealloc(void *p, size_t n, gfp_t gfp)
{
	size_t old = ksize(p);
	void *q;

	if (p && n <= old && (n > old / 2 || old <= 64))
		return p;
	q = kmalloc(n, gfp);
	if (q && p) {
		memcpy(q, p, min(n, old));
		kfree(p);
	}
	return q;
}

void *kmemdup(const void *p, size_t n, gfp_t gfp)
{
	void *q = kmalloc(n, gfp);

	return q ? memcpy(q, p, n) : NULL;
}

char *kstrdup(const char *s, gfp_t gfp)
{
	return s ? kmemdup(s, strlen(s) + 1, gfp) : NULL;
}

void *kvmalloc(size_t n, gfp_t gfp)
{
	void *p = n <= KMALLOC_MAX ? kmalloc(n, gfp | (n > PAGE_SIZE ? GFP_NOWARN : 0)) : NULL;

	if (p || n <= PAGE_SIZE || !(gfp & GFP_WAIT))
		return p;
	return gfp & GFP_ZERO ? vzalloc(n) : vmalloc(n);
}

void kvfree(const void *p)
{
	if ((u64)p >= VMALLOC_START && (u64)p < VMALLOC_END)
		vfree(p);
	else
		kfree(p);
}

/* ---- nodes of lib/xarray ---- */

static struct kmem_cache *xa_cache;

static struct xa_node *xa_node_alloc(gfp_t gfp)
{
	/* Made at the first use: arrays are used by code that starts before and after us. */
	if (unlikely(!xa_cache)) {
		struct kmem_cache *c = kmem_cache_create("xa_node", sizeof(struct xa_node), 0,
							 SLAB_HWCACHE_ALIGN, NULL);

		if (c && cmpxchg(&xa_cache, NULL, c) != NULL)
			kmem_cache_destroy(c);
		if (!xa_cache)
			return NULL;
	}
	return kmem_cache_alloc(xa_cache, gfp & ~(GFP_ZERO | GFP_MOVABLE));
}

static void xa_node_rcu(struct rcu_head *head)
{
	kmem_cache_free(xa_cache, container_of((void **)head, struct xa_node, owner_words[0]));
}

static void xa_node_free(struct xa_node *node)
{
	BUILD_BUG_ON(sizeof(struct rcu_head) > sizeof(node->owner_words));
	call_rcu((struct rcu_head *)node->owner_words, xa_node_rcu);
}

const struct xa_node_ops xa_slab_ops = { .alloc = xa_node_alloc, .free = xa_node_free };
