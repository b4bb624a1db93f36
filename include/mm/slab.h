/*
 * Object caches: constructed objects, per-CPU magazines over a depot over slabs (Bonwick, USENIX 1994 and 2001).
 */
#ifndef MM_SLAB_H
#define MM_SLAB_H

#include <lib/types.h>
#include <mm/alloc.h>

struct kmem_cache;
#define SLAB_HWCACHE_ALIGN 1u
#define SLAB_RCU 2u /* slab pages are freed a grace period late: an object may be reused but stays this type */
#define SLAB_PANIC 4u
#define SLAB_RECLAIM 8u /* unused objects can be dropped when memory is short (a shrinker does it): SReclaimable */
/* @ctor (may be NULL) runs once when a slab is filled; objects must be returned in constructed state. */
struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align, u32 flags, void (*ctor)(void *));
void kmem_cache_destroy(struct kmem_cache *c);
void *kmem_cache_alloc(struct kmem_cache *c, gfp_t gfp); /* NULL when out of memory */
void *kmem_cache_zalloc(struct kmem_cache *c, gfp_t gfp);
void kmem_cache_free(struct kmem_cache *c, void *obj);
u64 kmem_cache_active(struct kmem_cache *c); /* objects handed out, exact when quiet */
u64 kmem_trim(void); /* frees what depots did not need since the interval began, and empty slabs; pages freed */
u64 kmem_reap_all(void); /* empties depots and magazines; pages freed */
void kmem_new_interval(void); /* depots begin to measure their working sets anew. => thread context */

void *kmalloc(size_t n, gfp_t gfp); /* 8 bytes .. 4 MiB; 16-byte aligned; NULL when out of memory */
void *kzalloc(size_t n, gfp_t gfp);
void *kcalloc(size_t n, size_t size, gfp_t gfp); /* overflow-checked */
void *krealloc(void *p, size_t n, gfp_t gfp);
void kfree(const void *p); /* NULL is fine */
size_t ksize(const void *p);
char *kstrdup(const char *s, gfp_t gfp);
void *kmemdup(const void *p, size_t n, gfp_t gfp);
void *kvmalloc(size_t n, gfp_t gfp); /* kmalloc or vmalloc; kvfree */
void kvfree(const void *p);

#endif
