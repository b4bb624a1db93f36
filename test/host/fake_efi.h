/*
 * fake_efi.h - a firmware for host tests of efi/: system table, boot services, files, graphics,
 * memory. A test sets struct fake's knobs, calls fake_boot, and looks at what happened.
 *
 * Memory is real: FAKE_ARENA is mapped at its own address in this process, so that the loader's
 * "physical" addresses work as pointers. Other entries of the memory map (FAKE_MAX_EXTRA) are only
 * numbers. The fake watches the rules: first call, calls after ExitBootServices, memory types,
 * fixed addresses, pages and files not given back.
 */
#ifndef TEST_HOST_FAKE_EFI_H
#define TEST_HOST_FAKE_EFI_H

#include "../../efi/app.h"

#define FAKE_ARENA		0x10000000ull
#define FAKE_ARENA_PAGES	8192u		/* 32 MiB */
#define FAKE_MAX_EXTRA		512u
#define FAKE_MAX_FILES		4u
#define FAKE_MAX_GOPS		4u

struct fake_file {
	const CHAR16 *path;
	const void *data;
	uint64_t len;
	uint64_t info_size;		/* what EFI_FILE_INFO says */
	bool no_info, directory;
	uint64_t read_error_at;		/* reads at or beyond fail; 0: never */
};

struct fake_gop {
	EFI_GRAPHICS_OUTPUT_PROTOCOL gop;
	EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE mode;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION info;
	bool console_device;
};

struct fake {
	/* knobs */
	struct fake_file files[FAKE_MAX_FILES];
	uint32_t nr_files;
	uint64_t max_read;		/* larger reads fail; 0: no limit */
	uint64_t short_read;		/* reads return at most this; 0: no limit */
	const void *load_file2;		/* initrd offered by the protocol, or NULL */
	uint64_t load_file2_len;
	const void *options;
	uint32_t options_size;
	EFI_MEMORY_DESCRIPTOR extra[FAKE_MAX_EXTRA];
	uint32_t nr_extra;
	uint64_t stride;
	uint32_t stale_exits;		/* so many ExitBootServices calls find a stale key */
	uint32_t grow;			/* so many descriptors appear with each GetMemoryMap */
	uint32_t grow_in_exit;		/* so many appear in every stale ExitBootServices */
	EFI_STATUS exit_error;		/* ExitBootServices always fails so */
	bool zero_page;			/* the first AllocatePages returns address 0 */
	uint32_t fail_at;		/* the nth allocation fails, from 1; 0: none */
	bool no_volume, no_image_protocol, no_console;
	struct fake_gop gops[FAKE_MAX_GOPS];
	uint32_t nr_gops;
	EFI_CONFIGURATION_TABLE tables[8];
	uint32_t nr_tables;
	bool rng, rng_fails, rdrand, rdrand_stuck, no_nx, no_gib, la57, can_la57;

	/* what happened */
	char console[8192];
	uint32_t console_len;
	uint32_t calls, allocations;
	uint32_t exits, exit_tries;
	uint32_t open_files, pools, page_allocs_in_exit;
	bool watchdog_first, jumped, irq_off;
	const char *broken_rule;	/* or NULL */
	struct arch_jump jump;
	uint8_t page_type[FAKE_ARENA_PAGES];	/* EFI types */
	uint64_t map_key;
};

extern struct fake fake;

/* Fresh machine: kernel, initrd and a plain memory map; everything works. */
void fake_init(const void *kernel, uint64_t kernel_len, const void *initrd, uint64_t initrd_len);
/* Add an entry to the memory map. */
void fake_memory(uint32_t type, uint64_t start, uint64_t npages, uint64_t attribute);
/* Run the application. */
EFI_STATUS fake_boot(void);
/* Pages of the arena the application has not given back. */
uint32_t fake_pages_held(void);

#endif
