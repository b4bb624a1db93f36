/* Port and memory-mapped device registers. */
#ifndef X86_IO_H
#define X86_IO_H

#include <lib/types.h>

static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { asm volatile("outw %0, %1" ::"a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" ::"a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u16 inw(u16 port) { u16 v; asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 inl(u16 port) { u32 v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void outsb(u16 port, const void *p, u64 n)
{
	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(port) : "memory");
}
static inline u8 readb(const volatile void *p) { return *(const volatile u8 *)p; }
static inline u16 readw(const volatile void *p) { return *(const volatile u16 *)p; }
static inline u32 readl(const volatile void *p) { return *(const volatile u32 *)p; }
static inline u64 readq(const volatile void *p) { return *(const volatile u64 *)p; }
static inline void writeb(volatile void *p, u8 v) { *(volatile u8 *)p = v; }
static inline void writew(volatile void *p, u16 v) { *(volatile u16 *)p = v; }
static inline void writel(volatile void *p, u32 v) { *(volatile u32 *)p = v; }
static inline void writeq(volatile void *p, u64 v) { *(volatile u64 *)p = v; }

enum cache_type { CACHE_WB, CACHE_WC, CACHE_UC, CACHE_WT, CACHE_UC_MINUS };
/* memtype.c: one caching type for each physical range. Reserve: *type becomes what an overlapping mapping has already; -ENOSPC when too
 * many ranges are mapped. => any context. kva_cache_type: type of a kernel mapping, or -1. */
int memtype_reserve(u64 start, u64 len, enum cache_type *type);
void memtype_release(u64 start, u64 len);
int kva_cache_type(u64 va);
void memtype_init(void); /* its checker */
/* Maps device memory into the kernel (vmalloc area). NULL when out of memory, or when it is RAM and @ct not CACHE_WB. */
void *ioremap(u64 phys, u64 len, enum cache_type ct);
void iounmap(void *p);
/* The same before vmalloc exists, for the life of the kernel. NULL when its small window is used up. */
void *early_ioremap(u64 phys, u64 len, enum cache_type ct);

#endif
