/*
 * The hand-off: everything the EFI application tells the kernel, in one structure.
 *
 * Kernel entry: long mode, paging_levels levels, interrupts off, CR3 = root_pt_phys, CR0.WP and EFER.NXE
 * on, direction flag clear, RIP = ELF e_entry + kernel_slide, RDI = direct-map address of this
 * structure, RSP = a 16-byte aligned boot stack of HANDOFF_STACK_SIZE bytes in MEM_LOADER memory.
 * GDT, IDT, TR are the firmware's leftovers and must not be used: the kernel loads its own before
 * it touches a segment register or takes a trap. The lower half maps only the switch trampoline.
 *
 * All addresses are physical unless the name ends in _virt, all sizes are bytes unless named
 * npages or nr_. Fixed-width types only: the EFI application is compiled where `long` has 32
 * bits. The structure grows at the end: `size` is what the loader wrote, and a kernel must not
 * read past it; `version` changes when an existing field changes its meaning, and then the kernel
 * refuses. docs/design/boot.md describes every field.
 */
#ifndef QUOIN_BOOT_HANDOFF_H
#define QUOIN_BOOT_HANDOFF_H

#include <stdint.h>

#define HANDOFF_MAGIC		0x464f444e41484e51ULL	/* "QNHANDOF", little endian */
#define HANDOFF_VERSION		1u
#define HANDOFF_STACK_SIZE	16384u
#define HANDOFF_ENTROPY_SIZE	64u
#define HANDOFF_TRAMPOLINE_PAGES 2u

/*
 * What a piece of physical memory is. The list is ordered by restriction: where two firmware
 * entries overlap, the greater value wins. Whatever no region covers is not memory.
 */
enum handoff_mem {
	HANDOFF_MEM_USABLE = 1,		/* free from the first instruction on */
	HANDOFF_MEM_BOOT_SERVICES,	/* free once the kernel gives up EFI runtime calls or has
					 * proved them harmless; never needed otherwise */
	HANDOFF_MEM_LOADER,		/* hand-off, its arrays, initrd, command line, boot stack:
					 * free when the kernel has taken what it wants */
	HANDOFF_MEM_PAGE_TABLES,	/* the tables CR3 points to */
	HANDOFF_MEM_KERNEL,		/* the kernel image, .bss included */
	HANDOFF_MEM_ACPI_RECLAIM,	/* ACPI tables: free once copied */
	HANDOFF_MEM_ACPI_NVS,
	HANDOFF_MEM_RUNTIME_CODE,
	HANDOFF_MEM_RUNTIME_DATA,
	HANDOFF_MEM_MMIO,
	HANDOFF_MEM_RESERVED,
	HANDOFF_MEM_UNUSABLE,		/* the firmware found it broken */
	HANDOFF_MEM_NR
};

/* handoff_region.flags */
#define HANDOFF_REGION_DIRECT	(1u << 0)	/* covered by the direct map */
#define HANDOFF_REGION_RELIABLE	(1u << 1)	/* EFI_MEMORY_MORE_RELIABLE */
#define HANDOFF_REGION_SPECIAL	(1u << 2)	/* EFI_MEMORY_SP: not for general use by default */

/* One run of pages: sorted by base, disjoint, neighbours of equal type and flags merged. */
struct handoff_region {
	uint64_t base;			/* page aligned */
	uint64_t npages;		/* never 0 */
	uint32_t type;			/* enum handoff_mem */
	uint32_t flags;			/* HANDOFF_REGION_* */
};

/* A linear framebuffer of 16, 24 or 32 bits a pixel; base is 0 when there is none. */
struct handoff_framebuffer {
	uint64_t base;
	uint64_t size;			/* bytes that may be mapped */
	uint32_t width;			/* pixels */
	uint32_t height;
	uint32_t pitch;			/* bytes from one line to the next, >= width * bytes a pixel */
	uint32_t bits_per_pixel;	/* 16 (15 used ones too), 24, 32 */
	uint32_t red_mask;
	uint32_t green_mask;
	uint32_t blue_mask;
	uint32_t reserved_mask;
};

/* handoff.entropy_sources */
#define HANDOFF_ENTROPY_EFI_RNG	(1u << 0)
#define HANDOFF_ENTROPY_RDRAND	(1u << 1)
#define HANDOFF_ENTROPY_RDSEED	(1u << 2)
#define HANDOFF_ENTROPY_TSC	(1u << 3)	/* always mixed in, never counted as good */

/* handoff.kaslr_flags */
#define HANDOFF_KASLR_IMAGE	(1u << 0)	/* kernel_slide is random */
#define HANDOFF_KASLR_DIRECT	(1u << 1)	/* direct_virt is random */

/* handoff.kaslr_off_reason */
enum handoff_kaslr_off {
	HANDOFF_KASLR_ON = 0,
	HANDOFF_KASLR_OFF_CMDLINE,	/* "nokaslr" */
	HANDOFF_KASLR_OFF_ENTROPY,	/* no source of entropy but the clock */
	HANDOFF_KASLR_OFF_SPACE,	/* the image leaves no other place in its window */
};

struct handoff {
	uint64_t magic;			/* HANDOFF_MAGIC */
	uint32_t version;		/* HANDOFF_VERSION */
	uint32_t size;			/* sizeof(struct handoff) of the loader */

	uint64_t cmdline;		/* NUL terminated UTF-8; never 0 */
	uint64_t cmdline_len;		/* without the NUL */
	uint64_t initrd;		/* page aligned; never 0 */
	uint64_t initrd_len;

	uint64_t kernel_phys;		/* where the image lies, 2 MiB aligned, contiguous */
	uint64_t kernel_size;		/* page multiple, .bss included */
	uint64_t kernel_virt;		/* where it runs: link address + kernel_slide */
	uint64_t kernel_slide;		/* run address - link address */

	uint64_t direct_virt;		/* physical address p is at direct_virt + p ... */
	uint64_t direct_len;		/* ... for p below this, where a region says DIRECT */
	uint64_t root_pt_phys;		/* CR3 */

	uint64_t regions;		/* array of struct handoff_region */
	uint32_t nr_regions;
	uint32_t region_size;		/* stride of that array */

	uint64_t efi_map;		/* the raw map as ExitBootServices saw it */
	uint64_t efi_map_size;
	uint32_t efi_map_stride;
	uint32_t efi_map_version;
	uint64_t efi_systab;		/* EFI_SYSTEM_TABLE; runtime services are identity addressed */

	uint64_t rsdp;			/* checksummed ACPI root pointer, 0 when there is none */
	uint64_t smbios;		/* entry point, 0 when there is none */
	uint32_t smbios_major;		/* 3: 64-bit "_SM3_" anchor; 2: "_SM_"; 0 none */
	uint32_t firmware_revision;

	struct handoff_framebuffer fb;

	uint8_t entropy[HANDOFF_ENTROPY_SIZE];
	uint32_t entropy_good;		/* leading bytes worth their bits; the rest is only mixed */
	uint32_t entropy_sources;	/* HANDOFF_ENTROPY_* */

	uint64_t tsc_entry;		/* TSC at efi_main */
	uint64_t tsc_exit;		/* before ExitBootServices */
	uint64_t tsc_jump;		/* last thing before the jump */

	uint64_t trampoline;		/* HANDOFF_TRAMPOLINE_PAGES pages below 640 KiB for CPU
					 * start-up, MEM_RESERVED with DIRECT; 0: there are none */
	uint32_t kaslr_flags;		/* HANDOFF_KASLR_* */
	uint32_t kaslr_off_reason;	/* enum handoff_kaslr_off */

	uint64_t stack;			/* lowest byte of the boot stack */
	uint64_t stack_len;

	uint32_t paging_levels;		/* 4, or 5: CR4.LA57 is on; 0 means 4 */
	uint32_t reserved0;		/* 0 */
	uint64_t reserved[5];		/* 0 */
};

_Static_assert(sizeof(struct handoff_region) == 24, "hand-off layout");
_Static_assert(sizeof(struct handoff_framebuffer) == 48, "hand-off layout");
_Static_assert(sizeof(struct handoff) == 400, "hand-off layout");

#endif
