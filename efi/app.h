/*
 * The EFI application's own interfaces: one state structure, a module per file.
 *
 * Everything here runs on one CPU at TPL_APPLICATION with boot services on, except what says
 * otherwise. Functions that can fail return EFI_STATUS. The one that finds the failure prints the
 * sentence with app_fail and the others hand the status up, so every failure is told once.
 *
 * Physical addresses are uint64_t and may be used as pointers (UEFI 2.10, 2.3.4: identity mapped);
 * `long` has 32 bits here and is not used. The same files are compiled for the host, where
 * test/host/efi_test.c is the firmware; only arch.c and jump.S are not.
 */
#ifndef QUOIN_EFI_APP_H
#define QUOIN_EFI_APP_H

#include <efi.h>
#ifdef __attribute__		/* gnu-efi takes the PE target for Microsoft's compiler */
#undef __attribute__
#endif
#include <stdbool.h>
#include <stdint.h>
#include <boot/handoff.h>
#include <loader/elf.h>

#define APP_PAGE	4096ull
#define APP_MAX_ALLOCS	48u
#define APP_CMDLINE_MAX	4096u		/* with the NUL */

/* Pages of ours: freed when the boot fails, typed in the hand-off when it does not. */
struct alloc {
	uint64_t base;
	uint64_t npages;
	uint32_t type;			/* enum handoff_mem */
};

/* A file or other bytes in pages of ours. phys is 0 when there are none. */
struct blob {
	uint64_t phys;
	uint64_t len;
};

/* A pool of randomness, see entropy.c. */
struct entropy {
	uint32_t state[16];
	uint32_t good;			/* unpredictable bytes absorbed, at most 64 count */
	uint32_t sources;		/* HANDOFF_ENTROPY_* */
};

/* One half-open piece of physical memory. */
struct range {
	uint64_t start, end;
};

/* The firmware's memory map and room for what is made of it, see memmap.c. */
struct memmap {
	uint64_t base;			/* pages holding all of the following, 0 before the first */
	EFI_MEMORY_DESCRIPTOR *raw;
	UINTN raw_cap, raw_size, key, stride;
	UINT32 version;
	struct handoff_region *regions;
	uint32_t nr_regions;
	struct map_entry *entries;	/* scratch */
	uint64_t *bounds;		/* scratch */
	uint32_t max_entries;
};

struct app {
	EFI_HANDLE image;
	EFI_SYSTEM_TABLE *st;
	EFI_BOOT_SERVICES *bs;
	EFI_LOADED_IMAGE *self;
	EFI_FILE_HANDLE root;		/* volume we come from, NULL when it has no files */
	bool debug;			/* "efi.debug" */
	bool nokaslr;			/* "nokaslr" */
	bool la57, nola57;		/* "la57"; "nola57" or "no5lvl" */
	bool told;			/* the failure has been printed */
	bool exiting;			/* ExitBootServices was tried: only memory services left */

	struct alloc allocs[APP_MAX_ALLOCS];
	uint32_t nr_allocs;

	char cmdline[APP_CMDLINE_MAX];
	struct blob kernel_file;
	struct blob initrd;

	struct elf_image elf;
	uint64_t kernel_phys, kernel_size, kernel_slide;
	uint64_t direct_virt, direct_len;
	uint32_t kaslr_flags, kaslr_off_reason;

	struct entropy entropy;
	struct handoff_framebuffer fb;
	uint64_t rsdp, smbios;
	uint32_t smbios_major;

	uint32_t levels;		/* of the kernel's page tables: 4 or 5 */
	uint64_t root_pt;
	struct range *direct;		/* what the direct map covers, in handoff pages */
	uint32_t nr_direct;
	struct memmap map;

	uint64_t handoff;		/* hand-off page, command line, stack: see main.c */
	uint64_t switch_page;		/* scratch below 4 GiB, only when LA57 changes */
	uint64_t tsc_entry, tsc_exit;
};

/* ---- console.c ---- */

/* Print to the firmware's console: %s %S %c %u %llu %llx %%, nothing else; no width. */
void app_print(struct app *app, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, only with "efi.debug". */
void app_debug(struct app *app, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Print "Quoin loader: SENTENCE: STATUS" and return the status. */
EFI_STATUS app_fail(struct app *app, EFI_STATUS status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "812 KiB" into buf; returns buf. */
const char *size_text(uint64_t bytes, char buf[24]);

/* ---- pages.c ---- */

/* Allocate pages below `limit` (0: anywhere) of EFI type LoaderData, known as `type` afterwards.
 * => page 0 is never given out; prints nothing */
EFI_STATUS pages_alloc(struct app *app, uint64_t npages, uint64_t limit, enum handoff_mem type,
		       uint64_t *base);
/* The same, with a base that is a multiple of `align` bytes. */
EFI_STATUS pages_alloc_aligned(struct app *app, uint64_t npages, uint64_t align,
			       enum handoff_mem type, uint64_t *base);
/* Give back the end of an allocation, so that npages are left. => npages may be 0: all of it */
void pages_shrink(struct app *app, uint64_t base, uint64_t npages);
/* Give back everything. */
void pages_free_all(struct app *app);

/* ---- file.c ---- */

/* Open the volume the application was loaded from; app->root stays NULL when there is none. */
void volume_open(struct app *app);
void volume_close(struct app *app);
/* Read a whole file into pages. => prints nothing; an empty file is a blob with len 0 */
EFI_STATUS file_read(struct app *app, const CHAR16 *path, enum handoff_mem type,
		     struct blob *out);
/* Read the initrd that a boot manager offers by LoadFile2. => EFI_NOT_FOUND when nobody does */
EFI_STATUS initrd_from_protocol(struct app *app, struct blob *out);

/* ---- cmdline.c ---- */

/* Find the command line: load options, else the file, else empty. => tells its failures */
EFI_STATUS cmdline_get(struct app *app);
/* Is `word` one of the blank-separated words of `line`? */
bool cmdline_has(const char *line, const char *word);

/* ---- tables.c, graphics.c ---- */

/* Find RSDP and SMBIOS entry point; 0 when there is none with a good checksum. */
void tables_find(struct app *app);
/* Find a linear framebuffer; app->fb.base stays 0 when there is none. */
void graphics_find(struct app *app);

/* ---- entropy.c ---- */

/* Start the pool and feed it from every source; never fails. */
void entropy_gather(struct app *app);
void entropy_mix(struct entropy *e, const void *data, uint64_t len);
/* Take `len` bytes that tell nothing about others taken. */
void entropy_take(struct entropy *e, void *out, uint64_t len);

/* ---- kernel.c ---- */

/* Read \EFI\quoin\kernel.elf, choose its place, copy and relocate it. => tells its failures */
EFI_STATUS kernel_load(struct app *app);
/* Choose where the direct map begins. */
void kaslr_direct(struct app *app);

/* ---- memmap.c ---- */

/* Fetch the memory map, growing the buffers while they are too small. => prints nothing */
EFI_STATUS memmap_fetch(struct app *app);
/* Make sorted, disjoint, merged regions of the raw map and the application's allocations.
 * => allocates nothing: may run after ExitBootServices */
void memmap_regions(struct app *app, const struct alloc *extra);
/* May the kernel reach such memory through the direct map? */
bool memmap_is_ram(uint32_t type);

/* ---- paging.c ---- */

/* Decide app->levels: what the firmware uses, unless the command line says otherwise. */
void paging_choose(struct app *app);
/* Build the kernel's page tables from the current memory map. => tells its failures */
EFI_STATUS paging_build(struct app *app);

/* ---- exit.c ---- */

/* Leave boot services. => on success nothing of the firmware but runtime services is left;
 * tells its failures as far as the console still can */
EFI_STATUS exit_boot_services(struct app *app);
/* Two free pages below 640 KiB for CPU start-up: the highest, from usable memory if possible.
 * => 0 when the regions have none */
uint64_t trampoline_find(const struct memmap *m);
/* Fill the hand-off. => after exit_boot_services */
void handoff_fill(struct app *app);

/* ---- arch.c, jump.S: not on the host ---- */

struct arch_jump {
	uint64_t entry;			/* virtual */
	uint64_t handoff;		/* virtual */
	uint64_t stack;			/* virtual, top */
	uint64_t root;			/* CR3 */
	uint64_t switch_page;		/* 0, or identity-mapped scratch below 4 GiB: LA57 changes */
	uint64_t la57;			/* to this: 1 on, 0 off */
};

uint64_t arch_tsc(void);
void arch_cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4]);
bool arch_rdrand(uint64_t *v);
bool arch_rdseed(uint64_t *v);
bool arch_la57_on(void);
void arch_irq_off(void);
/* Address of the code that changes CR3: its page must be identity mapped, executable. */
uint64_t arch_switch_code(void);
/* Never returns on a machine. */
void arch_jump(const struct arch_jump *j);

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

/* Layout of the hand-off pages. */
#define HANDOFF_OFF_CMDLINE	APP_PAGE
#define HANDOFF_OFF_STACK	(2 * APP_PAGE)
#define HANDOFF_PAGES		(2 + HANDOFF_STACK_SIZE / APP_PAGE)

#define APP_CMDLINE_PATH	u"\\EFI\\quoin\\cmdline.txt"
#define APP_KERNEL_PATH		u"\\EFI\\quoin\\kernel.elf"
#define APP_INITRD_PATH		u"\\EFI\\quoin\\initrd.img"

#endif
