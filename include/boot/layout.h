/*
 * The higher-half address map the loader builds and the kernel keeps.
 *
 *   0000_0000_0000_0000 .. 0000_7fff_ffff_ffff  user space
 *   ffff_8000_0000_0000 .. ffff_bfff_ffff_ffff  direct map: 32 TiB of random base (1 GiB steps),
 *                                               then at most 16 TiB of memory, the rest a guard
 *   ffff_c000_0000_0000 .. ffff_cfff_ffff_ffff  page array
 *   ffff_d000_0000_0000 .. ffff_dfff_ffff_ffff  vmalloc
 *   ffff_e000_0000_0000 .. ffff_efff_ffff_ffff  per-CPU areas
 *   ffff_ffff_8000_0000 .. ffff_ffff_bfff_ffff  kernel image: linked at the start, moved by a
 *                                               slide of 2 MiB steps
 *   ffff_ffff_c000_0000 .. ffff_ffff_ffff_ffff  modules, fixed mappings
 *
 * With 5-level paging all of this but the direct map stays where it is, below the last entry of the
 * root table, so that every address the kernel is compiled with holds for both. What changes:
 *
 *   0000_0000_0000_0000 .. 00ff_ffff_ffff_ffff  user space
 *   ff10_0000_0000_0000 .. ff60_0000_0000_0000  direct map: 16 PiB of random base (1 GiB steps)
 *
 * Plain macros with ULL constants, usable in assembly too: nothing here depends on `long`.
 */
#ifndef QUOIN_BOOT_LAYOUT_H
#define QUOIN_BOOT_LAYOUT_H

#ifdef __ASSEMBLER__
#define LAYOUT_U64(x)		x
#else
#define LAYOUT_U64(x)		x##ULL
#endif

#define LAYOUT_USER_END		LAYOUT_U64(0x0000800000000000)
#define LAYOUT_USER_END5	LAYOUT_U64(0x0100000000000000)
#define LAYOUT_KERNEL_START	LAYOUT_U64(0xffff800000000000)
#define LAYOUT_KERNEL_START5	LAYOUT_U64(0xff00000000000000)

/* The direct map's base is LAYOUT_DIRECT_START + n GiB, n below LAYOUT_DIRECT_SLOTS. */
#define LAYOUT_DIRECT_START	LAYOUT_U64(0xffff800000000000)
#define LAYOUT_DIRECT_END	LAYOUT_U64(0xffffc00000000000)
#define LAYOUT_DIRECT_STEP	LAYOUT_U64(0x0000000040000000)
#define LAYOUT_DIRECT_SLOTS	LAYOUT_U64(0x0000000000008000)
#define LAYOUT_DIRECT_MAX	LAYOUT_U64(0x0000100000000000)	/* physical bytes covered: 16 TiB */
#define LAYOUT_DIRECT5_START	LAYOUT_U64(0xff10000000000000)
#define LAYOUT_DIRECT5_END	LAYOUT_U64(0xff60000000000000)
#define LAYOUT_DIRECT5_SLOTS	LAYOUT_U64(0x0000000001000000)

#define LAYOUT_PAGES_START	LAYOUT_U64(0xffffc00000000000)
#define LAYOUT_PAGES_END	LAYOUT_U64(0xffffd00000000000)
#define LAYOUT_VMALLOC_START	LAYOUT_U64(0xffffd00000000000)
#define LAYOUT_VMALLOC_END	LAYOUT_U64(0xffffe00000000000)
#define LAYOUT_PERCPU_START	LAYOUT_U64(0xffffe00000000000)
#define LAYOUT_PERCPU_END	LAYOUT_U64(0xfffff00000000000)

/* The image is linked at LAYOUT_IMAGE_START and slides by multiples of LAYOUT_IMAGE_STEP. */
#define LAYOUT_IMAGE_START	LAYOUT_U64(0xffffffff80000000)
#define LAYOUT_IMAGE_END	LAYOUT_U64(0xffffffffc0000000)
#define LAYOUT_IMAGE_STEP	LAYOUT_U64(0x0000000000200000)

#define LAYOUT_MODULES_START	LAYOUT_U64(0xffffffffc0000000)
#define LAYOUT_MODULES_END	LAYOUT_U64(0xffffffffff000000)

#endif
