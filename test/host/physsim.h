/*
 * physsim.h - included before everything else (CFLAGS -include) when the physical half of mm/ is compiled for the host: places
 * in the address space of a program for what the kernel has in its own.  Sanitizers leave different gaps.
 */
#ifndef TEST_HOST_PHYSSIM_H
#define TEST_HOST_PHYSSIM_H

#if __has_feature(thread_sanitizer)
#define DIRECT_MAP_PLACE	0x1000000000ull
#define PAGE_ARRAY_BASE		0x2000000000ull
#define VMALLOC_START		0x3000000000ull
#define VMALLOC_END		0x7effffffffull
#else
#define DIRECT_MAP_PLACE	0x200000000000ull
#define PAGE_ARRAY_BASE		0x210000000000ull
#define VMALLOC_START		0x220000000000ull
#define VMALLOC_END		0x22ffffffffffull
#endif

#endif
