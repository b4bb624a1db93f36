/*
 * slab.c - slabs: blocks of pages cut into equal objects (pure).
 *
 * A slab's page struct holds everything: the first free object, the number in use, the address of
 * the first object (which colouring moves by whole alignments through the space left over, so
 * that equal fields of objects in different slabs fall into different cache sets).  Free objects
 * are linked through themselves; where the bytes of a free object matter (constructed objects,
 * objects that RCU readers may still look at) the link lies behind the object.
 *
 * Life cycle: formatted (all free) -> partial -> full -> partial -> empty, in any order, by
 * slab_take and slab_give only; an empty slab may be taken apart.
 *
 * Checking (debug): an object is then laid out as
 *	[red bytes of redzone][object, padded][8 bytes of redzone][link][8 bytes: last owner]
 * Redzones read 0xcc while the object is in use and 0xbb while it is free, so a second free is
 * seen as such; free objects without state are filled with 0x6b and end in 0xa5.
 */
#include <mm/slab_impl.h>

#include <lib/assert.h>
#include <lib/string.h>

#define RED_USED	0xcc
#define RED_FREE	0xbb
#define POISON		0x6b
#define POISON_END	0xa5

/* Objects and waste of a slab of this order. */
static u32 fit(const struct slab_shape *s, u32 order, u32 *waste)
{
	u32 bytes = (u32)PAGE_SIZE << order, n = bytes / s->stride;

	*waste = bytes - n * s->stride;
	return n;
}

void slab_shape_init(struct slab_shape *s, u32 size, u32 align, bool keep_state, bool debug)
{
	u32 waste;

	if (align < 8)
		align = 8;
	s->size = size;
	s->align = align;
	s->red = debug ? align : 0;
	s->poison = debug && !keep_state;
	if (debug) {
		u32 end = ALIGN(size, 8) + 8;

		s->free_off = end;
		s->stride = ALIGN(s->red + end + 16, align);
	} else if (keep_state) {
		s->free_off = ALIGN(size, 8);
		s->stride = ALIGN(s->free_off + 8, align);
	} else {
		s->free_off = 0;
		s->stride = ALIGN(max(size, 8u), align);
	}
	/* The smallest slab with at least 8 objects and at most an eighth lost, else the largest. */
	for (s->order = 0; s->order < SLAB_MAX_ORDER; s->order++) {
		s->count = fit(s, s->order, &waste);
		if (s->count >= 8 && waste <= ((u32)PAGE_SIZE << s->order) / 8)
			break;
	}
	s->count = fit(s, s->order, &waste);
	s->colours = waste / s->align + 1;
	VERIFY(s->count);
}

static __always_inline void **link_of(const struct slab_shape *s, void *obj)
{
	return (void **)((u8 *)obj + s->free_off);
}

static void set_red(const struct slab_shape *s, void *obj, u8 v)
{
	memset((u8 *)obj - s->red, v, s->red);
	memset((u8 *)obj + s->size, v, s->free_off - s->size);
}

/* The first byte of the redzones that is not @v, or NULL. */
static const u8 *red_broken(const struct slab_shape *s, const void *obj, u8 v)
{
	return memchr_inv((const u8 *)obj - s->red, v, s->red) ?: memchr_inv((const u8 *)obj + s->size, v, s->free_off - s->size);
}

static bool red_is(const struct slab_shape *s, const void *obj, u8 v)
{
	return !red_broken(s, obj, v);
}

static void fill_poison(const struct slab_shape *s, void *obj)
{
	memset(obj, POISON, s->size);
	((u8 *)obj)[s->size - 1] = POISON_END;
}

/* The first byte of a free object that is not as fill_poison left it, or NULL. */
static const u8 *poison_broken(const struct slab_shape *s, const void *obj)
{
	const u8 *last = (const u8 *)obj + s->size - 1;

	return memchr_inv(obj, POISON, s->size - 1) ?: *last == POISON_END ? NULL : last;
}

static bool poison_whole(const struct slab_shape *s, const void *obj)
{
	return !poison_broken(s, obj);
}

static u64 report_byte(const struct slab_shape *s, const char *what, const u8 *at, u8 should, slab_report_fn report)
{
	if (!at)
		return 0;
	report(s->name, what, at, *at, should);
	return 1;
}

static u64 check_free_bytes(const struct slab_shape *s, const void *obj, slab_report_fn report)
{
	const u8 *at = s->poison ? poison_broken(s, obj) : NULL;

	return report_byte(s, "byte of a free object's redzone", red_broken(s, obj, RED_FREE), RED_FREE, report) +
	       report_byte(s, "byte of a free object", at, at == (const u8 *)obj + s->size - 1 ? POISON_END : POISON, report);
}

void slab_format(const struct slab_shape *s, struct page *p, void *mem, u32 colour,
		 void (*ctor)(void *))
{
	u8 *first = (u8 *)mem + (u64)(colour % s->colours) * s->align + s->red;
	void *next = NULL;

	p->private = 0;
	p->spare = (u64)(uintptr_t)first;
	for (u32 i = s->count; i-- > 0;) {
		void *obj = first + (u64)i * s->stride;

		if (ctor)
			ctor(obj);
		if (s->poison)
			fill_poison(s, obj);
		if (s->red)
			set_red(s, obj, RED_FREE);
		*link_of(s, obj) = next;
		next = obj;
	}
	p->slab_free = next;
}

bool slab_holds(const struct slab_shape *s, const struct page *p, const void *obj)
{
	u64 off = (u64)(uintptr_t)obj - p->spare;

	return off < (u64)s->count * s->stride && off % s->stride == 0;
}

static noinline void check_free(const struct slab_shape *s, void *obj)
{
	if (!red_is(s, obj, RED_FREE))
		s->broken(s, obj, "redzone of a free object overwritten");
	if (s->poison && !poison_whole(s, obj))
		s->broken(s, obj, "free object written to");
}

/* => it is an object in use, if with a broken redzone: it can be taken back */
static noinline bool check_used(const struct slab_shape *s, const struct page *p, void *obj)
{
	if (!slab_holds(s, p, obj)) {
		s->broken(s, obj, "freed address is no object");
		return false;
	}
	if (red_is(s, obj, RED_FREE)) {
		s->broken(s, obj, "object freed twice");
		return false;
	}
	if (!red_is(s, obj, RED_USED))
		s->broken(s, obj, "redzone overwritten");
	return true;
}

void *slab_take(const struct slab_shape *s, struct page *p)
{
	void *obj = p->slab_free;

	ASSERT(obj && p->private < s->count);
	p->slab_free = *link_of(s, obj);
	p->private++;
	if (unlikely(s->red)) {
		check_free(s, obj);
		set_red(s, obj, RED_USED);
	}
	return obj;
}

bool slab_give(const struct slab_shape *s, struct page *p, void *obj)
{
	if (unlikely(s->red)) {
		if (!check_used(s, p, obj))
			return false;
		set_red(s, obj, RED_FREE);
		if (s->poison)
			fill_poison(s, obj);
	}
	ASSERT(p->private);
	*link_of(s, obj) = p->slab_free;
	p->slab_free = obj;
	p->private--;
	return true;
}

u64 slab_check_one(const struct slab_shape *s, const struct page *p, slab_report_fn report)
{
	u64 nfree = 0, bad = 0;

	if (p->private > s->count) {
		report(s->name, "objects in use", p, p->private, s->count);
		return 1;
	}
	for (void *o = p->slab_free; o; o = *link_of(s, o)) {
		if (!slab_holds(s, p, o)) {
			report(s->name, "free link", p, (u64)(uintptr_t)o, p->spare);
			return bad + 1;
		}
		if (++nfree > s->count) {
			report(s->name, "free list has a cycle", p, nfree, s->count);
			return bad + 1;
		}
		if (s->red)
			bad += check_free_bytes(s, o, report);
	}
	if (nfree + p->private != s->count) {
		report(s->name, "free and used objects", p, nfree + p->private, s->count);
		bad++;
	}
	for (u32 i = 0; s->red && i < s->count; i++) {
		const u8 *o = (const u8 *)(uintptr_t)p->spare + (u64)i * s->stride;

		if (!red_is(s, o, RED_FREE))
			bad += report_byte(s, "byte of a redzone", red_broken(s, o, RED_USED), RED_USED, report);
	}
	return bad;
}
